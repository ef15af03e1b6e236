"""Coupled cells by prices: column generation over the fast path, with the bound that the prices prove.

For prices ``y >= 0`` on the coupling rows ``A s <= b`` the Lagrangian falls apart into cells,

    D(y) = sum_c max_{s in cell c} (f_c(s) - (A_c' y) s)  +  y' b,

and is a bound on all of it, whatever the prices. Each cell is one solve of the fast path in which a share
costs something besides; hulls are kept from round to round. What the cells answer is collected, and the
best mixture of all answers so far (Dantzig and Wolfe, Oper. Res. 8, 1960: a linear program of few rows)
gives the next prices and shares that respect the rows. When the mixture is worth as much as D, the
relaxation is solved. Few bearers are then mixed or stand inside a segment of their hull, two a row at most
(Shapley and Folkman): they are moved back, and what that frees goes to whoever gains most on the true
curves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from qoe.optimise.curves import evaluate
from qoe.optimise.fast import FastSolver
from qoe.optimise.general import nearest
from qoe.optimise.joint import Joint
from qoe.optimise.model import sums
from qoe.optimise.program import value_at
from qoe.schema import Curves, FloatArray, IntArray

_MAX_ROUNDS: Final = 300
_MAX_PASSES: Final = 50
_CENTRE: Final = 0.5  # weight of the best prices so far in those that are tried next
_ROUNDING: Final = 1e-9


def decompose(joint: Joint, gap_ratio: float) -> tuple[FloatArray, float, FloatArray, int]:
    """Solve coupled cells.

    Parameters
    ----------
    joint : Joint
        The layout; its promises fit.
    gap_ratio : float
        Gap, as a fraction of (bound - base), to which the relaxation is solved.

    Returns
    -------
    share : ndarray of float64
        As laid out; within all constraints.
    bound : float
        The best value of the dual.
    price : ndarray of float64, shape (n_links,)
        What 1 Mbit/s more of each link would add to the relaxation.
    n_rounds : int
        Solves of all cells.
    """
    cells = _Pricing(joint)
    columns = _Columns(joint, cells.first)
    start = _start(joint)
    columns.add(start, joint.program.weight * evaluate(joint.program.heights, start))
    n_rows = joint.coupling.most.size
    bound, best = np.inf, np.zeros(n_rows)
    price, mixture = np.zeros(n_rows), columns.mixture()
    n_rounds = 0
    while n_rounds < _MAX_ROUNDS:
        n_rounds += 1
        share, height, dual = cells.answer(price)
        if dual < bound:
            bound, best = dual, price
        columns.add(share, height)
        mixture = columns.mixture()
        if bound - mixture.value <= gap_ratio * (bound - joint.program.base) + _ROUNDING * abs(bound):
            break
        price = _CENTRE * best + (1.0 - _CENTRE) * mixture.price if n_rounds % 2 else mixture.price
    share = _settle(joint, mixture)
    n_links = len(joint.problem.links)
    capacity = np.array([max(link.capacity_bps, 1.0) for link in joint.problem.links])
    return share, bound, best[:n_links] * 1e6 / capacity, n_rounds


def _start(joint: Joint) -> FloatArray:
    """Shares that satisfy everything."""
    start = nearest(joint.program, joint.program.low)
    return joint.program.low if start is None else start


class _Pricing:
    """All blocks in one batch: what each does at given prices."""

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self.solver = FastSolver(joint.blocks, max_nodes=0)
        self.first = np.concatenate(([0], np.cumsum([len(block.low) for block in joint.blocks])))

    def answer(self, price: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Solve all blocks; return the shares, the weighted heights of the hulls, the value of the dual.

        A leg is worth what is paid for its rate; anything else costs what its rate costs.
        """
        joint = self.joint
        cost = price @ joint.coupling.matrix
        weight = np.where(joint.is_leg, np.maximum(-cost, 0.0), joint.program.weight)
        cost = np.where(joint.is_leg, 0.0, np.maximum(cost, 0.0))
        self.solver.update(weight=weight, cost=cost)
        self.solver.solve()
        relaxed = self.solver.relaxed()
        share, hull = (np.concatenate([getattr(r, key) for r in relaxed]) for key in ("share", "hull"))
        height = np.where(joint.is_leg, 0.0, hull + cost * share)
        self._top_up(share, cost)
        return share, height, float(self.solver.data.cells["bound"].sum() + price @ joint.coupling.most)

    def _top_up(self, share: FloatArray, cost: FloatArray) -> None:
        """Fill groups up to their minima with share of use to nobody, where it costs least.

        The dual leaves out what that costs: it is a bound all the same, if not the best.
        """
        program = self.joint.program
        for group in program.groups:
            lack = group.min_share_ratio - share[list(group.members)].sum()
            for i in sorted(group.members, key=cost.__getitem__) if lack > 0.0 else ():
                more = max(0.0, min(lack, program.high[i] - share[i]))
                share[i] += more
                lack -= more


@dataclass(frozen=True, slots=True)
class _Mixture:
    """The best mixture of answers: shares, which of them are mixed, their value on the hulls, the prices."""

    share: FloatArray
    value: float
    price: FloatArray


class _Columns:
    """Answers of all blocks so far, and the linear program that mixes them."""

    def __init__(self, joint: Joint, first: IntArray) -> None:
        self.joint, self.first = joint, first
        self.n_blocks = first.size - 1
        self.shares: list[FloatArray] = []
        self.values: list[FloatArray] = []
        self.uses: list[FloatArray] = []

    def add(self, share: FloatArray, height: FloatArray) -> None:
        """Take one answer of every block, and what it is worth."""
        use = self.joint.coupling.matrix * share
        self.shares.append(share)
        self.values.append(np.add.reduceat(height, self.first[:-1]))
        self.uses.append(np.add.reduceat(use, self.first[:-1], axis=1))

    def mixture(self) -> _Mixture:
        """Mix the answers best: at weights that add up to 1 for every block, within the coupling rows."""
        from scipy.optimize import linprog
        from scipy.sparse import csr_array, kron

        values, uses = np.concatenate(self.values), np.concatenate(self.uses, axis=1)
        n_rounds = len(self.shares)
        ones = csr_array(kron(np.ones((1, n_rounds)), np.eye(self.n_blocks)))
        result = linprog(
            -values,
            csr_array(uses),
            self.joint.coupling.most,
            ones,
            np.ones(self.n_blocks),
            method="highs",
        )
        part = np.maximum(result.x.reshape(n_rounds, self.n_blocks), 0.0)
        part /= part.sum(axis=0)
        sizes = np.diff(self.first)
        share = sum(s * np.repeat(p, sizes) for s, p in zip(self.shares, part, strict=True))
        return _Mixture(np.asarray(share), float(-result.fun), np.maximum(-result.ineqlin.marginals, 0.0))


def _settle(joint: Joint, mixture: _Mixture) -> FloatArray:
    """From the mixture to shares that are good on the true curves."""
    program = joint.program
    share = _set_back(joint, np.clip(mixture.share, program.low, program.high))
    share = _Completion(joint, share).run()
    if value_at(program, share) < value_at(program, mixture.share):
        share = mixture.share
    return share


def _set_back(joint: Joint, share: FloatArray) -> FloatArray:
    """Move bearers that stand inside a segment of their hull back to its beginning, where they may."""
    program = joint.program
    held = np.zeros(share.size, np.bool_)
    for group in program.groups:
        if group.min_share_ratio > 0.0:
            held[list(group.members)] = True
    n_split = len(joint.leg_of)
    movable = ~held & ~joint.is_leg & (share > program.low)
    movable[share.size - n_split :] = False
    out = share.copy()
    for i in np.flatnonzero(movable):
        x, y = program.heights.share[i], program.heights.mos[i]
        if program.heights.step[i]:
            begin = x[np.searchsorted(x, share[i] * (1.0 + _ROUNDING), side="right") - 1]
            begin = begin if begin <= share[i] * (1.0 + _ROUNDING) else share[i]
        else:
            begin = _segment_start(x, y, float(share[i]))
        out[i] = min(max(begin, program.low[i]), share[i])
    return out


def _segment_start(x: FloatArray, y: FloatArray, share: float) -> float:
    """Beginning of the segment of a linear curve's hull that a share lies inside; itself if on the curve."""
    before, after = x <= share, x > share
    if not after.any():
        return share
    xa, ya, xb, yb = x[before][:, None], y[before][:, None], x[after], y[after]
    height = ya + (yb - ya) * (share - xa) / (xb - xa)
    a = int(np.argmax(height.max(axis=1)))
    true = height[-1, 0]  # between the two points that are next to it
    return share if height.max() <= true * (1.0 + _ROUNDING) else float(xa[a, 0])


class _Completion:
    """Hands out what is left, to whoever gains most on the true curves."""

    def __init__(self, joint: Joint, share: FloatArray) -> None:
        self.joint = joint
        self.matrix, _, self.most = sums(joint.program)
        self.n_split = len(joint.leg_of)
        n = share.size
        self.split = np.arange(n - self.n_split, n)
        self.row_of_split = self.matrix.shape[0] - self.n_split + np.arange(self.n_split)
        self.share = share
        self.share[self.split] = np.minimum(self._carried(), joint.program.high[self.split])

    def run(self) -> FloatArray:
        """Hand out until nobody gains."""
        for _ in range(_MAX_PASSES):
            gains = self._gains()
            order = [int(i) for i in np.argsort(-gains, kind="stable") if gains[i] > _ROUNDING]
            if not order:
                break
            for i in order:
                self._give(i)
        return self.share

    def _carried(self) -> FloatArray:
        """Rates of the split bearers' legs, in units of their last rates."""
        coupling = self.joint.coupling.matrix
        first = coupling.shape[0] - self.n_split
        return np.array(
            [-coupling[first + u, legs] @ self.share[legs] for u, legs in enumerate(self.joint.leg_of)]
        )

    def _rooms(self) -> FloatArray:
        """How much more each bearer or leg could take by itself."""
        left = np.maximum(self.most - self.matrix @ self.share, 0.0)
        left[self.row_of_split] = np.inf
        room = np.full(self.share.size, np.inf)
        for row, rest in zip(self.matrix, left, strict=True):
            uses = row > 0.0
            room[uses] = np.minimum(room[uses], rest / row[uses])
        return np.asarray(np.minimum(room, self.joint.program.high - self.share))

    def _ends(self, room: FloatArray) -> FloatArray:
        """Where each bearer would get with all the room, as far as its true curve has use for it."""
        program = self.joint.program
        end = self.share + np.maximum(room, 0.0)
        end[self.joint.is_leg] = self.share[self.joint.is_leg]
        coupling = self.joint.coupling.matrix[-self.n_split :] if self.n_split else None
        for u, (position, legs) in enumerate(zip(self.split, self.joint.leg_of, strict=True)):
            assert coupling is not None
            more = float(-coupling[u, legs] @ room[legs])
            end[position] = min(program.high[position], self.share[position] + more)
        return _useful(program.heights, self.share, end)

    def _gains(self) -> FloatArray:
        program = self.joint.program
        end = self._ends(self._rooms())
        rise = evaluate(program.heights, end) - evaluate(program.heights, self.share)
        return np.asarray(program.weight * rise)

    def _give(self, i: int) -> None:
        """Give one bearer what it has use for, if there is still room."""
        room = self._rooms()
        end = float(self._ends(room)[i])
        if end <= self.share[i]:
            return
        if i < self.split[0] if self.n_split else True:
            self.share[i] = end
            return
        u = i - int(self.split[0])
        row = self.joint.coupling.matrix[self.joint.coupling.matrix.shape[0] - self.n_split + u]
        lack = end - self._carried()[u]
        for leg in self.joint.leg_of[u]:
            more = min(max(lack, 0.0) / -row[leg], max(self._rooms()[leg], 0.0))
            self.share[leg] += more
            lack -= more * -row[leg]
        self.share[i] = min(self._carried()[u], self.joint.program.high[i])


def _useful(heights: Curves, share: FloatArray, end: FloatArray) -> FloatArray:
    """Cut ends back to the last point of a step curve, or to where a linear curve stops to rise."""
    last = heights.share.shape[1] - 1
    k = np.maximum(np.count_nonzero(heights.share <= end[:, None], axis=1) - 1, 0)
    rows = np.arange(end.size)
    point = heights.share[rows, k]
    flat = heights.mos[rows, k] >= heights.mos[rows, last]
    top = np.argmax(heights.mos >= heights.mos[:, -1:], axis=1)
    cut = np.where(heights.step, point, np.where(flat, heights.share[rows, top], end))
    return np.where(cut > share, cut, share)
