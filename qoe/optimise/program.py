"""What the solvers see of a cell: heights over shares, bounds and groups, and nothing of MOS or tiers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from qoe.optimise.curves import evaluate
from qoe.optimise.problem import MOS_MIN, CellProblem, Group
from qoe.optimise.promises import Kept
from qoe.schema import Curves, FloatArray

_MOS_STEP: Final = 0.1


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
    """

    heights: Curves
    low: FloatArray
    high: FloatArray
    weight: FloatArray
    groups: tuple[Group, ...]
    budget: float
    base: float


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
    high = np.minimum(problem.max_share_ratio, problem.budget_ratio)
    return Program(
        heights, kept.low, np.maximum(high, kept.low), weight, kept.groups, problem.budget_ratio, base
    )


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
    running = np.where(np.isnan(problem.share_running_ratio), 0.0, problem.share_running_ratio)
    held = evaluate(problem.curves, running)
    rows = [
        _refined(problem.curves.share[i], problem.curves.mos[i], float(running[i]), problem.alpha > 0.0)
        if not problem.curves.step[i]
        else (problem.curves.share[i], problem.curves.mos[i])
        for i in range(problem.n_bearers)
    ]
    n_points = max(share.size for share, _ in rows)
    share = np.array([np.pad(s, (0, n_points - s.size), mode="edge") for s, _ in rows])
    mos = np.array([np.pad(m, (0, n_points - m.size), mode="edge") for _, m in rows])
    held = np.where(np.isnan(problem.share_running_ratio), MOS_MIN, held)[:, None]
    bonus = _fair(np.minimum(mos, held), problem.alpha) - _fair(np.array(MOS_MIN), problem.alpha)
    return Curves(share, _fair(mos, problem.alpha) + (problem.stickiness - 1.0) * bonus, problem.curves.step)


def _refined(share: FloatArray, mos: FloatArray, running: float, fine: bool) -> tuple[FloatArray, FloatArray]:
    """Add points to a linear curve, at `running` and, if `fine`, so that MOS rises in small steps."""
    more = [np.array([min(running, share[-1])])]
    if fine:
        parts = np.maximum(1, np.ceil(np.diff(mos) / _MOS_STEP).astype(int))
        more += [
            np.linspace(a, b, n, endpoint=False)[1:]
            for a, b, n in zip(share, share[1:], parts, strict=False)
            if n > 1 and b > a
        ]
    added = np.setdiff1d(np.concatenate(more), share)
    level = evaluate(
        Curves(
            np.tile(share, (added.size, 1)), np.tile(mos, (added.size, 1)), np.zeros(added.size, np.bool_)
        ),
        added,
    )
    order = np.argsort(np.concatenate((share, added)), kind="stable")
    return np.concatenate((share, added))[order], np.concatenate((mos, level))[order]


def gap_ratio(value: float, bound: float, base: float) -> float:
    """(bound - value) / (bound - base), 0 where nothing can be gained over the base."""
    span = bound - base
    gap = (bound - value) / span if span > 0.0 else 0.0
    return float(0.0 if math.isnan(gap) else min(1.0, max(0.0, gap)))
