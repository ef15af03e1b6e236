"""The general path: SciPy's solvers on the same program, for groups that overlap and as oracles.

``milp`` is exact. Each curve is written in increments (Markowitz and Manne, Econometrica 25, 1957): a share
is its lower bound plus segments, each filled from 0 to 1; a segment of a step is filled or not, and where
a linear curve turns steeper a binary lets the next segments be used only when those before are full. The
linear relaxation of that is the upper concave hull, so its optimum is the same bound that the fast path
certifies. ``slsqp`` and ``trust-constr`` climb from one point: they find a local optimum, and the bound is
that of the relaxation.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from qoe.optimise.curves import evaluate
from qoe.optimise.problem import Group
from qoe.optimise.program import Program, Relaxed, Solution, value_at
from qoe.schema import BoolArray, Curves, FloatArray, IntArray

_TOLERANCE: Final = 1e-10  # of a sum of shares, relative to the budget
_SHRINK: Final = 1e-7  # HiGHS's feasibility tolerance: the budget is cut by it where it was made use of
_ABSOLUTE_GAP: Final = 1e-6  # at which HiGHS calls a solution optimal
_MAX_ITERATIONS: Final = 300
_ROUNDS: Final = 10


def solve_general(program: Program, method: str, *, time_limit_s: float = 60.0) -> Solution:
    """Solve one cell with SciPy.

    Parameters
    ----------
    program : Program
        Its groups may overlap.
    method : str
        ``"milp"``, ``"slsqp"`` or ``"trust-constr"``.
    time_limit_s : float
        For milp: the best found by then is returned, with the bound proven by then.

    Returns
    -------
    Solution
    """
    model = _Model(program)
    if method == "milp":
        share, bound = model.best(time_limit_s)
    else:
        share, bound = _climb(program, method), model.relaxed().bound
    share = _repair(program, share)
    value = value_at(program, share)
    return Solution(share, value, max(bound, value))


def relax_general(program: Program) -> Relaxed:
    """Solve the relaxation of one cell, its groups may overlap."""
    return _Model(program).relaxed()


def feasible(low: FloatArray, high: FloatArray, groups: tuple[Group, ...], budget: float) -> bool:
    """Tell whether some shares lie within these bounds, groups and budget (a linear program)."""
    return _nearest(low, low, high, groups, budget) is not None


class _Model:
    """The program as matrices; variables: segments of all bearers, then unused shares, then binaries.

    Shares are in units of the budget, as HiGHS's tolerances are absolute.
    """

    def __init__(self, program: Program) -> None:
        from scipy.sparse import coo_array

        self.program = program
        n = len(program.low)
        tables = [_segments(program, i) for i in range(n)]
        self.owner = np.repeat(np.arange(n), [end.size for end, _, _, _ in tables])
        self.end, width, self.rise = (np.concatenate([table[k] for table in tables]) for k in range(3))
        steeper = np.concatenate([table[3] for table in tables])
        n_segments = self.owner.size
        rows, columns, n_links = _order(steeper, self.owner, program.heights.step, n_segments + n)
        signs = np.tile([1.0, -1.0], len(rows) // 2)
        self.n_variables = n_segments + n + n_links
        self.order = coo_array((signs, (rows, columns)), shape=(len(rows) // 2, self.n_variables)).tocsr()
        self.integral = np.zeros(self.n_variables)
        self.integral[:n_segments] = program.heights.step[self.owner]
        self.integral[n_segments + n :] = 1
        widths = np.concatenate((width / program.budget, np.ones(n)))
        places = np.concatenate((self.owner, np.arange(n))), np.arange(n_segments + n)
        self.shares = coo_array((widths, places), shape=(n, self.n_variables)).tocsr()
        self.upper = np.ones(self.n_variables)
        self.upper[n_segments : n_segments + n] = (program.high - program.low) / program.budget
        self.start = value_at(program, program.low)

    def relaxed(self) -> Relaxed:
        """Solve the relaxation."""
        program = self.program
        zero = np.zeros(self.n_variables)
        result = self._run(1.0, zero, zero, self.upper)
        hull = program.weight * evaluate(program.heights, program.low)
        if result.x is None:
            return Relaxed(np.inf, program.low, hull)
        np.add.at(hull, self.owner, self.rise * result.x[: self.rise.size])
        share = program.low + program.budget * (self.shares @ result.x)
        return Relaxed(float(self.start - result.fun), share, hull)

    def best(self, time_limit_s: float) -> tuple[FloatArray, float]:
        """Solve exactly; return the shares and the bound.

        The integers that the solver found are fixed and the rest is solved again, so that it is exact; if
        they only fit within the solver's tolerance, all is done again in a budget smaller by that.
        """
        zero = np.zeros(self.n_variables)
        whole = self.integral > 0.0
        if not whole.any():
            relaxed = self.relaxed()
            return relaxed.share, relaxed.bound
        bound = self.relaxed().bound
        for room in (1.0, 1.0 - _SHRINK):
            result = self._run(room, self.integral, zero, self.upper, time_limit_s)
            if result.x is None:
                break
            if room == 1.0:
                bound = min(bound, float(self.start - result.mip_dual_bound) + _ABSOLUTE_GAP)
            fixed = np.where(whole, np.round(result.x), 0.0)
            exact = self._run(1.0, zero, fixed, np.where(whole, fixed, self.upper))
            if exact.x is not None:
                return self._share(exact.x), bound
        return self.program.low, bound  # not even the time limit's best: the caller moves it within bounds

    def _run(
        self,
        room: float,
        integral: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        time_limit_s: float = np.inf,
    ) -> Any:
        from scipy.optimize import Bounds, LinearConstraint, milp

        program = self.program
        cost = np.zeros(self.n_variables)
        cost[: self.rise.size] = -self.rise
        sums, least, most = _sums(program.groups, len(program.low), program.budget * room)
        base = sums @ program.low
        constraints = [
            LinearConstraint(self.order, -np.inf, 0.0),
            LinearConstraint(self.shares, -np.inf, (program.high - program.low) / program.budget),
            LinearConstraint(
                sums @ self.shares, (least - base) / program.budget, (most - base) / program.budget
            ),
        ]
        options = {"mip_rel_gap": 0.0, "time_limit": time_limit_s}
        bounds = Bounds(lower, upper)
        return milp(cost, integrality=integral, bounds=bounds, constraints=constraints, options=options)

    def _share(self, x: FloatArray) -> FloatArray:
        """Shares of a solution; on a step exactly where it begins, plus what is unused."""
        program = self.program
        n_segments, n = self.owner.size, len(program.low)
        share = program.low + program.budget * (self.shares @ x)
        begin = program.low.copy()
        filled = x[:n_segments] > 0.5
        np.maximum.at(begin, self.owner[filled], self.end[filled])
        unused = x[n_segments : n_segments + n]
        begin += np.where(unused > _TOLERANCE, unused * program.budget, 0.0)
        share = np.where(program.heights.step, begin, share)
        return np.asarray(np.clip(share, program.low, program.high))


def _segments(program: Program, i: int) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Ends, widths, weighted rises of bearer i's segments within bounds; which are steeper than before."""
    share, low, high = program.heights.share[i], program.low[i], program.high[i]
    inside = (share > low) & (share < high)
    x = np.concatenate(([low], share[inside], [high]))
    n = x.size
    one = Curves(
        np.tile(share, (n, 1)), np.tile(program.heights.mos[i], (n, 1)), np.repeat(program.heights.step[i], n)
    )
    y = program.weight[i] * evaluate(one, x)
    rising = np.concatenate(([True], np.diff(y) > 0.0)) if one.step[0] else np.ones(x.size, np.bool_)
    end, width, rise = x[rising][1:], np.diff(x[rising]), np.diff(y[rising])
    slope = np.divide(rise, width, out=np.full_like(rise, np.inf), where=width > 0.0)
    steeper = np.concatenate(([False], slope[1:] > slope[:-1])) if slope.size else np.zeros(0, np.bool_)
    return end, width, rise, steeper


def _order(
    steeper: BoolArray, owner: IntArray, step: BoolArray, first_link: int
) -> tuple[list[int], list[int], int]:
    """Order the filling of segments: sparse rows and columns of ``a - b <= 0``, number of binaries."""
    rows: list[int] = []
    columns: list[int] = []
    n_links = 0
    begin = 0
    link = -1

    def after(a: int, b: int) -> None:
        rows.extend([len(rows) // 2] * 2)
        columns.extend((a, b))

    for k in range(owner.size):
        if k == 0 or owner[k] != owner[k - 1]:
            begin, link = k, -1
        elif step[owner[k]]:
            after(k, k - 1)
        elif steeper[k]:
            link = first_link + n_links
            n_links += 1
            for before in range(begin, k):
                after(link, before)
            begin = k
        if link >= 0:
            after(k, link)
    return rows, columns, n_links


def _sums(groups: tuple[Group, ...], n: int, budget: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Matrix of all sums of shares that are bounded (the first is that of all), and their bounds."""
    sums = np.zeros((1 + len(groups), n))
    sums[0] = 1.0
    for g, group in enumerate(groups):
        sums[1 + g, list(group.members)] = 1.0
    least = np.array([-np.inf, *(g.min_share_ratio for g in groups)])
    most = np.array([budget, *(g.max_share_ratio for g in groups)])
    return sums, least, most


def _within(share: FloatArray, groups: tuple[Group, ...], budget: float) -> bool:
    sums, least, most = _sums(groups, share.size, budget)
    total, slack = sums @ share, _TOLERANCE * budget
    return bool((total <= most + slack).all() and (total >= least - slack).all())


def _repair(program: Program, share: FloatArray) -> FloatArray:
    """Move shares that a solver's tolerance let out of bounds back in, by little."""
    low, high = program.low, program.high
    share = np.clip(share, low, high)
    sums, least, most = _sums(program.groups, share.size, program.budget)
    for _ in range(_ROUNDS):
        if _within(share, program.groups, program.budget):
            return share
        for member, at_least, at_most in zip(sums > 0.0, least, most, strict=True):
            total = share[member].sum()
            target, amount = (low, total - at_most) if total > at_most else (high, at_least - total)
            way = (target - share) * member
            if amount > 0.0 and way.any():
                share = share + way * min(1.0, amount / np.abs(way).sum())
    near = _nearest(share, low, high, program.groups, program.budget)
    return low if near is None else near


def _nearest(
    share: FloatArray, low: FloatArray, high: FloatArray, groups: tuple[Group, ...], budget: float
) -> FloatArray | None:
    """Shares within all bounds, at about the least sum of differences; None if there are none."""
    from scipy.optimize import linprog

    n = share.size
    sums, least, most = _sums(groups, n, budget)
    up_down = np.hstack((sums, -sums))
    right = np.concatenate((most - sums @ share, sums @ share - least)) / budget
    finite = np.isfinite(right)
    matrix = np.vstack((up_down, -up_down))[finite]
    ways = np.concatenate((high - share, share - low)) / budget
    for margin in (2.0 * _SHRINK, 0.0):  # the solver may overstep by its tolerance: try to stay clear of it
        bounds = np.column_stack((np.zeros(2 * n), ways))
        result = linprog(np.ones(2 * n), matrix, right[finite] - margin, bounds=bounds, method="highs-ds")
        if result.x is None:
            continue
        moved = np.clip(share + budget * (result.x[:n] - result.x[n:]), low, high)
        if _within(moved, groups, budget):
            return np.asarray(moved)
    return None


def _climb(program: Program, method: str) -> FloatArray:
    """Climb from equal shares with a method of ``scipy.optimize.minimize``, in units of the budget."""
    from scipy.optimize import Bounds, LinearConstraint, minimize

    n, budget, heights = len(program.low), program.budget, program.heights
    sums, least, most = _sums(program.groups, n, budget)
    rows = np.arange(n)

    def downhill(ratio: FloatArray) -> FloatArray:
        k = np.maximum(np.count_nonzero(heights.share <= budget * ratio[:, None], axis=1) - 1, 0)
        after = np.minimum(k + 1, heights.share.shape[1] - 1)
        width = (heights.share[rows, after] - heights.share[rows, k]) / budget
        rise = np.where(heights.step, 0.0, heights.mos[rows, after] - heights.mos[rows, k])
        return np.asarray(-program.weight * np.divide(rise, width, out=np.zeros(n), where=width > 0.0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # trust-constr: "delta_grad == 0.0", as on every segment
        result = minimize(
            lambda ratio: -value_at(program, np.maximum(ratio * budget, 0.0)),
            _repair(program, np.full(n, budget / n)) / budget,
            jac=downhill,
            method=method.upper() if method == "slsqp" else method,
            bounds=Bounds(program.low / budget, program.high / budget),
            constraints=[LinearConstraint(sums, least / budget, most / budget)],
            options={"maxiter": _MAX_ITERATIONS},
        )
    return np.asarray(result.x * budget, dtype=np.float64)
