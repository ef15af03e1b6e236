"""Lexicographic by tier: the best tier first, and what it won is kept while the next is served.

With tiers 1 to m - 1 served at values ``c_k``, tier m is given

    max V_m(s)  subject to  V_k(s) >= c_k for k < m  and all bounds,

where ``V_k`` is the weighted sum over tier k and ``c_k`` its value less a tolerance. For any multipliers
``u_k >= 0``, ``max (V_m + sum u_k V_k) - sum u_k c_k`` is an upper bound on it (Lagrange), and that maximum
is a cell with other weights: the fast path's. The multipliers are tuned one after the other, so that a
stage costs some 20 solves, in which all hulls are kept, for each tier above. ``milp`` has the constraints
as rows, and is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from qoe.optimise.allocation import Stage
from qoe.optimise.curves import evaluate
from qoe.optimise.fast import FastSolver
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Keep, Program, Solution
from qoe.schema import BoolArray, FloatArray, IntArray

_STRIDE: Final = 8.0
_N_SOLVES: Final = 20
_N_SWEEPS: Final = 3
_CLOSE: Final = 1.02
_N_REPAIRS: Final = 30
_N_HALVINGS: Final = 30
_ROUNDING: Final = 1e-12
REST: Final = "none"
EXACT: Final = ("linprog", "milp")


@dataclass(frozen=True, slots=True)
class Ranked:
    """The tiers of a cell that have bearers.

    Attributes
    ----------
    names : tuple of str
        Best first; bearers of no tier come last, as ``"none"``.
    rank : ndarray of int64, shape (n_bearers,)
        Index of each bearer's tier.
    """

    names: tuple[str, ...]
    rank: IntArray


def rank_tiers(problem: CellProblem) -> Ranked:
    """Rank the bearers of a cell by tier."""
    order = {tier: k for k, tier in enumerate(problem.tiers)}
    place = np.array([order.get(tier or "", len(order)) for tier in problem.tier], dtype=np.int64)
    found, rank = np.unique(place, return_inverse=True)
    return Ranked(tuple((*problem.tiers, REST)[k] for k in found), rank)


def solve_tiers(
    program: Program, ranked: Ranked, tolerance_ratio: float, method: str, gap_target_ratio: float
) -> tuple[Solution, tuple[Stage, ...]]:
    """Serve the tiers of one cell in turn.

    Parameters
    ----------
    program : Program
        The cell, with the weights of all its bearers.
    ranked : Ranked
        Their tiers.
    tolerance_ratio : float
        Part of what a tier gains over MOS 1 that it may lose to those below.
    method : str
        ``"fast"``, ``"numpy"``, ``"linprog"`` or ``"milp"``.
    gap_target_ratio : float
        Certified gap at which the search of one solve ends.

    Returns
    -------
    solution : Solution
        The shares; value and bound are sums over the stages.
    stages : tuple of Stage
        Value of each tier, and what it could be at most while those above are kept.
    """
    cell: _Cell = (
        _Exact(program, ranked, method)
        if method in EXACT
        else _Fast(program, ranked, gap_target_ratio, method == "numpy")
    )
    share = program.low
    keeps: list[float] = []
    bounds: list[float] = []
    for stage in range(len(ranked.names)):
        share, bound = cell.serve(stage, keeps, share)
        value = cell.values(share)[stage]
        base = cell.bases[stage]
        keeps.append(value - tolerance_ratio * max(0.0, value - base))
        bounds.append(max(bound, value))
    share = cell.fill(np.ones(cell.n), share)
    values = cell.values(share)
    stages = tuple(
        Stage(name, float(value), max(float(bound), float(value)))
        for name, value, bound in zip(ranked.names, values, bounds, strict=True)
    )
    total = float(program.weight @ evaluate(program.heights, share))
    return Solution(share, total, max(total, sum(stage.bound for stage in stages))), stages


class _Cell:
    """One cell and its tiers."""

    def __init__(self, program: Program, ranked: Ranked) -> None:
        self.program, self.rank = program, ranked.rank
        self.n = len(ranked.names)
        per_weight = program.base / program.weight.sum()
        self.bases = per_weight * np.bincount(self.rank, program.weight, self.n)

    def values(self, share: FloatArray) -> FloatArray:
        """Weighted sum of heights of each tier."""
        heights = self.program.weight * evaluate(self.program.heights, share)
        return np.bincount(self.rank, heights, self.n).astype(np.float64)

    def serve(self, stage: int, keeps: list[float], share: FloatArray) -> tuple[FloatArray, float]:
        """Maximise the value of a tier while those above keep theirs; `share` does so.

        Returns the shares and a bound on the tier's value.
        """
        raise NotImplementedError

    def fill(self, multiplier: FloatArray, low: FloatArray) -> FloatArray:
        """Give what is left beyond these shares by the weights of each tier times a multiplier."""
        raise NotImplementedError


class _Exact(_Cell):
    """Stages with the constraints as rows of a linear or mixed-integer program."""

    def __init__(self, program: Program, ranked: Ranked, method: str) -> None:
        super().__init__(program, ranked)
        self.method = method

    def serve(self, stage: int, keeps: list[float], share: FloatArray) -> tuple[FloatArray, float]:
        from qoe.optimise.general import solve_general

        weight = self.program.weight
        rows = tuple(Keep(np.where(self.rank == k, weight, 0.0), least) for k, least in enumerate(keeps))
        own = np.where(self.rank == stage, weight, 0.0)
        found = solve_general(replace(self.program, weight=own, keep=rows), self.method)
        values = self.values(found.share)
        if any(value < least - 1e-6 for value, least in zip(values, keeps, strict=False)):
            return share, found.bound
        return found.share, found.bound

    def fill(self, multiplier: FloatArray, low: FloatArray) -> FloatArray:
        from qoe.optimise.general import solve_general

        weight = self.program.weight * multiplier[self.rank]
        left = replace(self.program, weight=weight, low=np.minimum(low, self.program.high))
        return solve_general(left, self.method).share


@dataclass(slots=True)
class _Search:
    """What a stage has found: its best shares that keep all, some that do not, and a bound."""

    best: FloatArray
    short: FloatArray
    bound: float
    seen: list[FloatArray] = field(default_factory=list)


class _Fast(_Cell):
    """Stages by multipliers over the fast path."""

    def __init__(self, program: Program, ranked: Ranked, gap_target_ratio: float, twin: bool) -> None:
        super().__init__(program, ranked)
        self.solver = FastSolver([program], gap_target_ratio=gap_target_ratio, twin=twin)
        self.multiplier = np.ones(self.n)  # of each tier, while the next is served

    def serve(self, stage: int, keeps: list[float], share: FloatArray) -> tuple[FloatArray, float]:
        only = np.zeros(self.n)
        only[stage] = 1.0
        alone, bound = self.solve(only)
        if self.kept(alone, keeps).all():
            self.multiplier[:stage] = 0.0
            return alone, bound
        search = _Search(self.fill(only, self.above(stage, share)), alone, bound)
        for _ in range(_N_SWEEPS if stage > 1 else 1):
            for tier in range(stage):
                self.tune(tier, stage, keeps, search)
        weights, factor = self.multiplier[:stage].copy(), _CLOSE
        for _ in range(_N_REPAIRS):
            kept = self.look(weights, keeps, search)
            if kept.all():
                break
            weights[~kept] *= factor
            factor *= _CLOSE
        for mixed in (self.mix(search.short, search.best, keeps), self.mixture(stage, keeps, search)):
            held = self.above(stage, mixed)
            missed = np.append(~self.kept(held, keeps), np.zeros(self.n - stage, np.bool_))
            if missed.any():  # as much as brings them back
                held = self.mix(held, self.above(stage, self.fill(missed.astype(float), held)), keeps)
            filled = self.fill(only, held)
            if self.kept(filled, keeps).all():
                search.best = self.better(stage, search.best, filled)
        return search.best, search.bound

    def mixture(self, stage: int, keeps: list[float], search: _Search) -> FloatArray:
        """Mix all shares seen so that a tier has most while those above keep theirs (a linear program)."""
        from scipy.optimize import linprog

        values = np.array([self.values(share) for share in search.seen])
        found = linprog(
            -values[:, stage],
            -values[:, :stage].T,
            -np.array(keeps),
            np.ones((1, len(values))),
            [1.0],
            method="highs-ds",
        )
        return search.best if found.x is None else np.asarray(found.x @ np.array(search.seen))

    def tune(self, tier: int, stage: int, keeps: list[float], search: _Search) -> None:
        """Find the least multiplier at which a tier keeps its value, with those of the others as they are."""
        low, high = 0.0, np.inf
        weights = self.multiplier[:stage].copy()
        scale = weights[tier] = weights[tier] or 1.0
        for _ in range(_N_SOLVES):
            weights[tier] = scale
            if self.look(weights, keeps, search)[tier]:
                high = scale
            else:
                low = scale
            scale = _between(low, high)
            if high <= low * _CLOSE:
                break
        self.multiplier[tier] = min(high, scale)

    def above(self, stage: int, share: FloatArray) -> FloatArray:
        """Lower bounds that hold the tiers above at these shares, less what a step has no use for."""
        heights, low = self.program.heights, self.program.low
        k = np.maximum(np.count_nonzero(heights.share <= share[:, None], axis=1) - 1, 0)
        useful = np.where(heights.step, heights.share[np.arange(share.size), k], share)
        return np.where(self.rank < stage, np.maximum(useful, low), low)

    def solve(self, multiplier: FloatArray) -> tuple[FloatArray, float]:
        """Solve with the weights of each tier times a multiplier; return the shares and the bound."""
        base = float(multiplier @ self.bases)
        self.solver.update(0, weight=self.program.weight * multiplier[self.rank], base=base)
        self.solver.solve()
        return self.solver.shares(0), float(self.solver.data.cells["bound"][0])

    def look(self, weights: FloatArray, keeps: list[float], search: _Search) -> BoolArray:
        """Solve with multipliers of the tiers above; tell which of them keep their value."""
        stage = weights.size
        found, above = self.solve(np.concatenate((weights, [1.0], np.zeros(self.n - stage - 1))))
        search.bound = min(search.bound, above - float(weights @ keeps))
        search.seen.append(found)
        kept = self.kept(found, keeps)
        if kept.all():
            search.best = self.better(stage, search.best, found)
        else:
            search.short = found
        return kept

    def kept(self, share: FloatArray, keeps: list[float]) -> BoolArray:
        """Tell which of the tiers above have what they are to keep."""
        least = np.array(keeps)
        return np.asarray(self.values(share)[: least.size] >= least - _ROUNDING * np.abs(least))

    def better(self, stage: int, a: FloatArray, b: FloatArray) -> FloatArray:
        """Choose the shares that give a tier more."""
        return a if self.values(a)[stage] >= self.values(b)[stage] else b

    def mix(self, short: FloatArray, enough: FloatArray, keeps: list[float]) -> FloatArray:
        """Go from shares that keep the tiers above towards shares that do not, as far as they stay kept."""
        far, near = 1.0, 0.0
        for _ in range(_N_HALVINGS):
            middle = 0.5 * (far + near)
            if self.kept(enough + middle * (short - enough), keeps).all():
                near = middle
            else:
                far = middle
        return enough + near * (short - enough)

    def fill(self, multiplier: FloatArray, low: FloatArray) -> FloatArray:
        self.solver.update(0, low=np.minimum(low, self.program.high))
        filled, _ = self.solve(multiplier)
        self.solver.update(0, low=self.program.low)
        return filled


def _between(low: float, high: float) -> float:
    """Next multiplier to try: far strides until it is bracketed, then the geometric mean."""
    if low == 0.0:
        return high / _STRIDE
    return low * _STRIDE if high == np.inf else float(np.sqrt(low * high))
