"""Shares of a cell by one dual price, rounded and certified: the per-cell solver, compiled by Numba.

For each cell, maximise ``sum weight_i * height_i(s_i)`` subject to ``sum s_i <= budget``,
``low_i <= s_i <= high_i`` and ``group_min_g <= sum_{i in g} s_i <= group_max_g`` for disjoint groups g,
where each height is a non-decreasing table, linear between points or a step.

1. *Hulls.* Each curve is replaced by its upper concave hull over [low, high] (Andrew's monotone chain). Hulls
   are kept between solves: only where bounds or a curve are new, a hull is built anew.
2. *Relaxation.* With concave curves the best is to spend the budget on hull segments in order of slope; the
   slope at which it runs out is the price of capacity (Fox, "Discrete optimization via marginal analysis",
   Management Science 13, 1966). It is found without sorting, by pivoting on slopes inside brackets that
   only shrink. A group's maximum cuts its members' hulls off where the group alone would run out, its
   minimum forces what the group alone would take first; for disjoint groups that is exact. The value of the
   relaxation is the Lagrangian bound: no allocation can be above it.
3. *Rounding.* At most one bearer, and one more a binding group, is left inside a hull segment, where its
   true curve may lie below (Shapley and Folkman). Its room goes, over and over, to the bearer whose true
   curve gains most.
4. *Branch and bound.* While the gap is above its target, the bearer with the largest loss is split at its
   share, best bound first.

A share may cost something besides (``cost``, the price of a constraint that several cells share): the bound
is right with it; the rounding weighs it, but is at its best without.

Nothing is allocated after :func:`qoe_native.waterfill_data.make_work`; the same input gives the same
output, bit for bit. :mod:`qoe_native.waterfill_numpy` is the plain twin.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit

from qoe_native.waterfill_data import SLACK_RATIO, Cells, Work
from qoe_native.waterfill_hull import OPTIONS, make_hulls, restore, restrict, stair, worth
from qoe_native.waterfill_relax import ZERO, relax_cell

_Function = TypeVar("_Function", bound=Callable[..., Any])
_inlined = njit(**OPTIONS)


def _compiled(function: _Function) -> _Function:
    """Compile; keep the machine code on disk where a cache can be written."""
    try:
        return njit(function, cache=True, **OPTIONS)  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": neither the package nor the user's cache is writable
        return njit(function, **OPTIONS)  # type: ignore[no-any-return]


@_inlined
def _stand(c: Cells, w: Work, cell: int, room: float, cut: int) -> tuple[float, float, int, float]:
    """Put the relaxation's shares into the state; bearers inside a hull segment go back to its beginning.

    Returns the value of the relaxation, that of the shares set on the true curves, and the bearer that
    loses most by standing inside a segment (-1: none does) with its share there.
    """
    first, n, state = c.cells[cell].first, c.cells[cell].n, w.state
    value = 0.0
    for h in range(n):
        state[h].share = w.hull_x[h, state[h].pos]
        value += w.hull_y[h, state[h].pos]
    relaxed = value
    begin, end = max(cut, 0), cut + 1
    if cut >= 0:
        state[cut].share += room
        relaxed += w.slope[cut, state[cut].pos] * room
        value = relaxed
    if c.cells[cell].n_groups > 0:
        begin, end = 0, n  # a group leaves members inside segments of their own
    tiny = 1e-13 * abs(relaxed)
    worst = 0.0
    split = -1
    split_share = 0.0
    for h in range(begin, end):
        b, p = first + h, state[h].pos
        hull = w.hull_y[h, p] + (w.slope[h, p] * room if h == cut else 0.0)
        loss = hull - worth(c, b, state[h].share)
        if loss <= tiny:
            value -= loss
            continue
        if loss > worst:
            worst = loss
            split = h
            split_share = state[h].share
        state[h].share = w.hull_x[h, p if h == cut or p == 0 else p - 1]
        value += worth(c, b, state[h].share) - hull
    return relaxed, value, split, split_share


@_inlined
def _set_limits(c: Cells, w: Work, cell: int) -> None:
    """Set how much more each bearer could take, given budget and groups."""
    n, state = c.cells[cell].n, w.state
    groups = range(c.cells[cell].first_group, c.cells[cell].first_group + c.cells[cell].n_groups)
    free = c.cells[cell].budget
    for h in range(n):
        free -= state[h].share
    for g in groups:
        lack = c.groups[g].min
        for h in range(c.groups[g].begin, c.groups[g].end):
            lack -= state[h].share
        free -= max(0.0, lack)
    for h in range(n):
        state[h].limit = free
    for g in groups:
        used = 0.0
        for h in range(c.groups[g].begin, c.groups[g].end):
            used += state[h].share
        more = min(c.groups[g].max - used, free + max(0.0, c.groups[g].min - used))
        for h in range(c.groups[g].begin, c.groups[g].end):
            state[h].limit = more


@_inlined
def _hand_out(c: Cells, w: Work, cell: int) -> float:
    """Give what is left, over and over, to the bearer whose true curve gains most; return the gain."""
    first, n, state = c.cells[cell].first, c.cells[cell].n, w.state
    spare = c.cells[cell].budget * SLACK_RATIO
    total = 0.0
    while True:
        _set_limits(c, w, cell)
        best = 0.0
        who = -1
        reach = 0.0
        for h in range(n):
            b, p = first + h, state[h].pos
            step, share = c.bearers[b].step, state[h].share
            more = state[h].limit + (spare if step else 0.0)
            whole = c.cells[cell].n_groups == 0 and share == w.hull_x[h, p]
            if whole and (p == state[h].last or w.slope[h, p] * more <= best):
                continue  # the hull says that there is not enough to gain
            end = min(share + more, c.bearers[b].high)
            if step:
                end = c.x[b, stair(c.x, b, end)]
            if end > share:
                gain = worth(c, b, end) - worth(c, b, share)
                if gain > best:
                    best, who, reach = gain, h, end
        if who < 0:
            return total
        total += best
        state[who].share = reach


@_inlined
def _enter(c: Cells, w: Work, first: int, node: int) -> None:
    """Build the hulls of a node: the latest restriction of a bearer on the way to the root counts."""
    at = node
    while at > 0:
        w.state[w.nodes[at].who].few = -1
        at = w.nodes[at].parent
    at = node
    while at > 0:
        h = w.nodes[at].who
        if w.state[h].few < 0:
            w.state[h].few = 0
            restrict(c, w, first, h, w.nodes[at].low, w.nodes[at].high)
        at = w.nodes[at].parent


@_inlined
def _evaluate(c: Cells, w: Work, cell: int, node: int) -> None:
    """Relax a node within the bound of its parent, round it, and keep the shares if they beat the best."""
    first, nodes = c.cells[cell].first, w.nodes
    nodes[node].split = -1
    price, room, cut = relax_cell(c, w, cell, nodes[node].price)
    if room < 0.0:
        nodes[node].bound = -np.inf
        return
    relaxed, value, split, share = _stand(c, w, cell, room, cut)
    nodes[node].price = price
    nodes[node].bound = min(nodes[node].bound, relaxed)
    if split >= 0:
        b = first + split
        nodes[node].split = split
        nodes[node].left = nodes[node].right = share
        if c.bearers[b].step:
            k = stair(c.x, b, share)
            nodes[node].left = c.x[b, k]
            nodes[node].right = c.x[b, k + 1]
    if nodes[node].bound > c.cells[cell].value:
        value += _hand_out(c, w, cell)
        if value > c.cells[cell].value:
            c.cells[cell].value = value
            for h in range(c.cells[cell].n):
                c.bearers[first + h].share = w.state[h].share


@_inlined
def _branch(c: Cells, w: Work, cell: int, target: float, max_nodes: int) -> None:
    """Split the node with the highest bound until the gap is at its target."""
    first, nodes = c.cells[cell].first, w.nodes
    n_nodes = 1
    while True:
        best = ZERO
        for node in range(n_nodes):
            if nodes[node].bound > nodes[best].bound:
                best = node
        value = c.cells[cell].value
        bound = max(nodes[best].bound, value)
        h = nodes[best].split
        if h < 0 or bound - value <= target * (bound - c.cells[cell].base) or n_nodes + 2 > max_nodes:
            c.cells[cell].bound = bound
            c.cells[cell].n_nodes = n_nodes
            return
        low, high = c.bearers[first + h].low, c.bearers[first + h].high
        at = best
        while at > 0:
            if nodes[at].who == h:
                low, high = nodes[at].low, nodes[at].high
                break
            at = nodes[at].parent
        for side in range(2):
            if c.cells[cell].n_groups > 0:  # relaxing groups alters the hulls of their members
                make_hulls(c, w, cell)
            if c.cells[cell].n_groups > 0 or side == 0:
                _enter(c, w, first, best)
            node = n_nodes + side
            nodes[node].parent = best
            nodes[node].who = h
            nodes[node].low = low if side == 0 else nodes[best].right
            nodes[node].high = max(low, nodes[best].left) if side == 0 else high
            nodes[node].bound = bound
            nodes[node].price = nodes[best].price
            restrict(c, w, first, h, nodes[node].low, nodes[node].high)
            _evaluate(c, w, cell, node)
        nodes[best].bound = -np.inf
        at = n_nodes
        while at > 0:  # put the root's hulls back
            h = nodes[at].who
            restore(c, w, first, h)
            at = nodes[at].parent
        n_nodes += 2


@_inlined
def _top_up(c: Cells, cell: int) -> None:
    """Fill groups up to their minimum with share that is of use to nobody: it was kept free for them."""
    first, first_group = c.cells[cell].first, c.cells[cell].first_group
    for g in range(first_group, first_group + c.cells[cell].n_groups):
        lack = c.groups[g].min
        for b in range(first + c.groups[g].begin, first + c.groups[g].end):
            lack -= c.bearers[b].share
        for b in range(first + c.groups[g].begin, first + c.groups[g].end):
            more = max(0.0, min(lack, c.bearers[b].high - c.bearers[b].share))
            c.bearers[b].share += more
            lack -= more


@_inlined
def _relaxed_only(c: Cells, w: Work, cell: int) -> None:
    """Write the relaxation itself as the result."""
    first = c.cells[cell].first
    price, room, cut = relax_cell(c, w, cell, c.cells[cell].price)
    total = 0.0 if room >= 0.0 else -np.inf
    for h in range(c.cells[cell].n):
        p = w.state[h].pos
        c.bearers[first + h].share = w.hull_x[h, p]
        c.bearers[first + h].hull = w.hull_y[h, p]
        if h == cut:
            c.bearers[first + h].share += room
            c.bearers[first + h].hull += w.slope[h, p] * room
        total += c.bearers[first + h].hull
    c.cells[cell].price = price
    c.cells[cell].value = c.cells[cell].bound = c.cells[cell].relaxed = total
    c.cells[cell].n_nodes = 1


@_inlined
def _solve_cell(c: Cells, w: Work, cell: int, target: float, max_nodes: int) -> None:
    """Solve one cell and write the results into its arrays."""
    make_hulls(c, w, cell)
    if max_nodes == 0:
        _relaxed_only(c, w, cell)
        return
    c.cells[cell].value = -np.inf
    w.nodes[0].price = c.cells[cell].price
    w.nodes[0].bound = np.inf
    _evaluate(c, w, cell, ZERO)
    c.cells[cell].price = w.nodes[0].price
    c.cells[cell].relaxed = w.nodes[0].bound
    _branch(c, w, cell, target, max_nodes)
    if c.cells[cell].value > -np.inf:
        _top_up(c, cell)


def _entry(sources: int) -> Callable[[Cells, Work, float, int], None]:
    """Compile the solver. Numba's cache looks at this file alone: `sources` makes it look at all."""

    @_compiled
    def solve_cells(c: Cells, w: Work, target: float, max_nodes: int) -> None:
        for cell in range(c.cells.size):
            if sources >= 0:
                _solve_cell(c, w, cell, target, max_nodes)

    return solve_cells


_solve_cells = _entry(
    zlib.crc32(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("waterfill*.py"))))
)


def solve_cells(c: Cells, w: Work, target: float, max_nodes: int) -> None:
    """Solve every cell, each by itself, and write the results into its arrays.

    Parameters
    ----------
    c : Cells
        The problem, and where the results go.
    w : Work
        Scratch for the largest cell.
    target : float
        Gap, as a fraction of (bound - base), at which the search ends.
    max_nodes : int
        Relaxations at most a cell. 0: only the relaxation's own shares and bound, not rounded.
    """
    _solve_cells(c, w, target, max_nodes)
