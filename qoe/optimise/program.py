"""What the solvers see of a cell: heights over shares, bounds and groups, and nothing of MOS or tiers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from qoe.optimise.curves import evaluate
from qoe.optimise.problem import MOS_MIN, CellProblem, Group
from qoe.optimise.promises import Kept, keep_promises
from qoe.schema import Curves, FloatArray

_MOS_STEP: Final = 0.1


@dataclass(frozen=True, slots=True)
class Keep:
    """A constraint on heights: ``weight @ height(share) >= least`` (what a better tier has won).

    Attributes
    ----------
    weight : ndarray of float64, shape (n_bearers,)
        0 or more.
    least : float
        What is kept.
    """

    weight: FloatArray
    least: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Constraints on shares: ``matrix @ share <= most`` (links that several cells share).

    Attributes
    ----------
    matrix : ndarray of float64, shape (n_rows, n_bearers)
    most : ndarray of float64, shape (n_rows,)
    """

    matrix: FloatArray
    most: FloatArray


@dataclass(frozen=True, slots=True)
class Program:
    """Maximise ``sum weight * height(share)`` within bounds, groups and a budget.

    Attributes
    ----------
    heights : Curves
        Its `mos` is the height: MOS, or what alpha-fairness and stickiness make of it.
    low, high, weight : ndarray of float64, shape (n_bearers,)
        Bounds of the shares, weights of mean 1.
    groups : tuple of Group
        Bounds on sums of shares.
    budget : float
        Bound on the sum of all.
    base : float
        Value with MOS 1 for all.
    keep, rows
        Further constraints, for the general path alone.
    """

    heights: Curves
    low: FloatArray
    high: FloatArray
    weight: FloatArray
    groups: tuple[Group, ...]
    budget: float
    base: float
    keep: tuple[Keep, ...] = ()
    rows: Rows | None = None


@dataclass(frozen=True, slots=True)
class Solution:
    """What a solver returns.

    Attributes
    ----------
    share : ndarray of float64, shape (n_bearers,)
        Within all bounds to 1e-9.
    value, bound : float
        Of these shares, and what no shares can exceed.
    """

    share: FloatArray
    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The relaxation: every curve replaced by its upper concave hull.

    Attributes
    ----------
    bound : float
        Its value, which no shares on the true curves can exceed.
    share, hull : ndarray of float64, shape (n_bearers,)
        Its shares, and the weighted heights of the hulls there.
    """

    bound: float
    share: FloatArray
    hull: FloatArray


def transformed(problem: CellProblem) -> bool:
    """Tell whether the objective is anything but the weighted sum of MOS."""
    sticky = problem.stickiness > 1.0 and not np.isnan(problem.share_running_ratio).all()
    return sticky or problem.alpha > 0.0


def make_program(problem: CellProblem, kept: Kept, *, plain: bool = False) -> Program:
    """Reduce a checked cell with bearers to what is to be maximised.

    Parameters
    ----------
    problem : CellProblem
        The cell.
    kept : Kept
        Its promises.
    plain : bool
        Leave alpha-fairness and stickiness out: the weighted sum of MOS.

    Returns
    -------
    Program
    """
    weight = problem.weight / problem.weight.max()
    weight = weight / weight.mean()
    heights, base = problem.curves, weight.sum() * MOS_MIN
    if not plain and transformed(problem):
        heights = _heights(problem)
        base = float(weight.sum() * _fair(np.array(MOS_MIN), problem.alpha))
    high = np.minimum(kept.high, problem.budget_ratio)
    return Program(
        heights, kept.low, np.maximum(high, kept.low), weight, kept.groups, problem.budget_ratio, base
    )


def to_program(problem: CellProblem) -> Program:
    """Reduce a checked cell with bearers, as `make_program` does, with the promises that it can keep."""
    return make_program(problem, keep_promises(problem))


def value_at(program: Program, share: FloatArray) -> float:
    """Value of shares on the true curves."""
    return float(program.weight @ evaluate(program.heights, share))


def _fair(mos: FloatArray, alpha: float) -> FloatArray:
    """Alpha-fair utility of a MOS (Mo and Walrand, IEEE/ACM Trans. Networking 8(5), 2000, eq. 2)."""
    if alpha == 0.0:
        return mos
    if alpha == 1.0:
        return np.log(mos)
    return np.asarray(mos ** (1.0 - alpha) / (1.0 - alpha))


def _heights(problem: CellProblem) -> Curves:
    """Make the heights: alpha-fair in MOS, and `stickiness` times that up to what the running share gives.

    Between the points they are linear as the curves are; points are added so that a step of MOS between two
    is 0.1 at most, and where the running share lies.
    """
    curves = problem.curves
    unknown = np.isnan(problem.share_running_ratio)
    held = np.where(unknown, MOS_MIN, evaluate(curves, np.where(unknown, 0.0, problem.share_running_ratio)))
    last_share, last_mos = curves.share[:, -1:], curves.mos[:, -1:]
    inside = ~(unknown | curves.step)[:, None] & (problem.share_running_ratio[:, None] < last_share)
    shares = [curves.share, np.where(inside, problem.share_running_ratio[:, None], last_share)]
    levels = [curves.mos, np.where(inside, held[:, None], last_mos)]
    if problem.alpha > 0.0:
        more_share, more_mos = _between(curves)
        shares.append(more_share)
        levels.append(more_mos)
    share, mos = np.concatenate(shares, axis=1), np.concatenate(levels, axis=1)
    order = np.argsort(share, axis=1, kind="stable")  # where a curve jumps, its points keep their order
    share, mos = np.take_along_axis(share, order, axis=1), np.take_along_axis(mos, order, axis=1)
    bonus = _fair(np.minimum(mos, held[:, None]), problem.alpha) - _fair(np.array(MOS_MIN), problem.alpha)
    return Curves(share, _fair(mos, problem.alpha) + (problem.stickiness - 1.0) * bonus, curves.step)


def _between(curves: Curves) -> tuple[FloatArray, FloatArray]:
    """Points to add to linear curves so that MOS rises in small steps; rows end in repeated last points."""
    rise, width = np.diff(curves.mos, axis=1), np.diff(curves.share, axis=1)
    bent = ~curves.step[:, None] & (width > 0.0)  # a jump has nothing in between
    n_parts = np.where(bent, np.ceil(rise / _MOS_STEP), 1.0).astype(np.int64)
    row, k = np.nonzero(n_parts > 1)
    n_new = n_parts[row, k] - 1
    row, k, n_all = (np.repeat(values, n_new) for values in (row, k, n_parts[row, k]))
    part = (1 + np.arange(row.size) - np.repeat(np.cumsum(n_new) - n_new, n_new)) / n_all
    column = np.arange(row.size) - np.searchsorted(row, row)
    n_columns = int(column.max(initial=-1)) + 1
    share, mos = (np.repeat(values[:, -1:], n_columns, axis=1) for values in (curves.share, curves.mos))
    share[row, column] = curves.share[row, k] + part * width[row, k]
    mos[row, column] = curves.mos[row, k] + part * rise[row, k]
    return share, mos


def gap_ratio(value: float, bound: float, base: float) -> float:
    """(bound - value) / (bound - base), 0 where nothing can be gained over the base."""
    span = bound - base
    gap = (bound - value) / span if span > 0.0 else 0.0
    return float(0.0 if math.isnan(gap) else min(1.0, max(0.0, gap)))
