"""The program as matrices for HiGHS, each curve written in increments.

A share is its lower bound plus segments, each filled from 0 to 1 (Markowitz and Manne, Econometrica 25,
1957); a segment of a step is filled or not, and where a linear curve turns steeper a binary lets the next
segments be used only when those before are full. Without the binaries that is the upper concave hull, so
the linear relaxation has the bound that the fast path certifies.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from qoe.optimise.curves import evaluate
from qoe.optimise.program import Program, Relaxed, value_at
from qoe.schema import BoolArray, Curves, FloatArray, IntArray

TOLERANCE: Final = 1e-10  # of a sum of shares, relative to the budget
SHRINK: Final = 1e-7  # HiGHS's feasibility tolerance: the budget is cut by it where it was made use of
_ABSOLUTE_GAP: Final = 1e-6  # at which HiGHS calls a solution optimal


class Model:
    """Variables: segments of all bearers, then unused shares, then binaries.

    Shares are in units of the budget, as HiGHS's tolerances are absolute.

    Attributes
    ----------
    integral : ndarray of float64, shape (n_variables,)
        1 where a variable must be whole; all 0: the curves are concave, and the relaxation is exact.
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
        share, bound, x = self.linear(np.zeros(self.n_variables), self.upper)
        hull = program.weight * evaluate(program.heights, program.low)
        if x is None:
            return Relaxed(np.inf, program.low, hull)
        np.add.at(hull, self.owner, program.weight[self.owner] * self.rise * x[: self.rise.size])
        return Relaxed(bound, share, hull)

    def linear(
        self, lower: FloatArray, upper: FloatArray, room: float = 1.0
    ) -> tuple[FloatArray, float, FloatArray | None]:
        """Solve the linear program between bounds; return shares, value and variables (None: infeasible)."""
        from scipy.optimize import linprog

        matrix, most = self._constraints(room)
        result = linprog(self._cost(), matrix, most, bounds=np.column_stack((lower, upper)), method="highs")
        if result.x is None:
            return self.program.low, np.inf, None
        share = self.program.low + self.program.budget * (self.shares @ result.x)
        return share, float(self.start - result.fun), result.x

    def best(self, time_limit_s: float) -> tuple[FloatArray, float]:
        """Solve exactly; return the shares and the bound.

        The integers that the solver found are fixed and the rest is solved again, so that it is exact. If
        they only fit within the solver's tolerance, all is done again with every sum bounded tighter by that.
        """
        zero = np.zeros(self.n_variables)
        whole = self.integral > 0.0
        share, bound, _ = self.linear(zero, self.upper)
        if not whole.any():
            return share, bound
        found = self.program.low  # not even the time limit's best: the caller moves it within bounds
        for room in (1.0, 1.0 - 2.0 * SHRINK):
            result = self._search(room, time_limit_s)
            if result.x is None:
                break
            if room == 1.0:
                bound = min(bound, float(self.start - result.mip_dual_bound) + _ABSOLUTE_GAP)
            fixed = np.where(whole, np.round(result.x), 0.0)
            for exact_room in (room, 1.0 - 2.0 * SHRINK):
                _, _, exact = self.linear(fixed, np.where(whole, fixed, self.upper), exact_room)
                if exact is not None:
                    found = self._share(exact)
                    if within(self.program, found):
                        return found, bound
        return found, bound

    def _search(self, room: float, time_limit_s: float) -> Any:
        from scipy.optimize import Bounds, LinearConstraint, milp

        matrix, most = self._constraints(room)
        return milp(
            self._cost(),
            integrality=self.integral,
            bounds=Bounds(np.zeros(self.n_variables), self.upper),
            constraints=[LinearConstraint(matrix, -np.inf, most)],
            options={"mip_rel_gap": 0.0, "time_limit": time_limit_s},
        )

    def _cost(self) -> FloatArray:
        cost = np.zeros(self.n_variables)
        cost[: self.rise.size] = -self.program.weight[self.owner] * self.rise
        return cost

    def _constraints(self, room: float) -> tuple[Any, FloatArray]:
        """All rows of ``matrix @ variables <= most``; sums of shares are bounded tighter by 1 less `room`."""
        from scipy.sparse import vstack

        program, budget = self.program, self.program.budget
        rows, least, most = sums(program)
        base = rows @ program.low
        both = np.vstack((rows, -rows))
        right = np.concatenate((most - base, base - least)) / budget - (1.0 - room)
        finite = np.isfinite(right)
        kept, short = self._keeps()
        matrix = vstack((self.order, self.shares, both[finite] @ self.shares, kept), format="csr")
        ways = (program.high - program.low) / budget
        return matrix, np.concatenate((np.zeros(self.order.shape[0]), ways, right[finite], short))

    def _keeps(self) -> tuple[FloatArray, FloatArray]:
        """Rows of the constraints on heights."""
        program = self.program
        kept = np.zeros((len(program.keep), self.n_variables))
        at_low = evaluate(program.heights, program.low)
        for row, keep in zip(kept, program.keep, strict=True):
            row[: self.rise.size] = -keep.weight[self.owner] * self.rise
        return kept, np.array([keep.weight @ at_low - keep.least for keep in program.keep])

    def _share(self, x: FloatArray) -> FloatArray:
        """Shares of a solution; on a step exactly where it begins, plus what is unused."""
        program = self.program
        n_segments, n = self.owner.size, len(program.low)
        share = program.low + program.budget * (self.shares @ x)
        begin = program.low.copy()
        filled = x[:n_segments] > 0.5
        np.maximum.at(begin, self.owner[filled], self.end[filled])
        unused = x[n_segments : n_segments + n]
        begin += np.where(unused > TOLERANCE, unused * program.budget, 0.0)
        share = np.where(program.heights.step, begin, share)
        return np.asarray(np.clip(share, program.low, program.high))


def within(program: Program, share: FloatArray) -> bool:
    """Tell whether shares satisfy all bounds on sums, to rounding."""
    matrix, least, most = sums(program)
    total, slack = matrix @ share, TOLERANCE * program.budget
    return bool((total <= most + slack).all() and (total >= least - slack).all())


def sums(program: Program) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Write all bounds on sums of shares as rows, the largest coefficient of each being 1.

    Parameters
    ----------
    program : Program
        Budget, groups, and rows if it has any.

    Returns
    -------
    matrix : ndarray of float64, shape (n_rows, n_bearers)
    least, most : ndarray of float64, shape (n_rows,)
        Infinite where there is no bound.
    """
    groups, n = program.groups, len(program.low)
    matrix = np.zeros((1 + len(groups), n))
    matrix[0] = 1.0
    for g, group in enumerate(groups):
        matrix[1 + g, list(group.members)] = 1.0
    least = np.array([-np.inf, *(g.min_share_ratio for g in groups)])
    most = np.array([program.budget, *(g.max_share_ratio for g in groups)])
    if program.rows is None:
        return matrix, least, most
    scale = np.abs(program.rows.matrix).max(axis=1)
    scale[scale == 0.0] = 1.0
    return (
        np.vstack((matrix, program.rows.matrix / scale[:, None])),
        np.concatenate((least, np.full(scale.size, -np.inf))),
        np.concatenate((most, program.rows.most / scale)),
    )


def _segments(program: Program, i: int) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Ends, widths, rises of bearer i's segments within bounds; which are steeper than the one before."""
    share, low, high = program.heights.share[i], program.low[i], program.high[i]
    inside = (share > low) & (share < high)
    x = np.concatenate(([low], share[inside], [high]))
    n = x.size
    one = Curves(
        np.tile(share, (n, 1)), np.tile(program.heights.mos[i], (n, 1)), np.repeat(program.heights.step[i], n)
    )
    y = evaluate(one, x)
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
