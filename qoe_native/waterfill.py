"""Shares of a cell by one dual price, rounded and certified: the per-cell solver, compiled by Numba.

For each cell, maximise ``sum weight_i * height_i(s_i)`` subject to ``sum s_i <= budget``,
``low_i <= s_i <= high_i`` and ``group_min_g <= sum_{i in g} s_i <= group_max_g`` for disjoint groups g,
where each height is a non-decreasing table, linear between points or a step.

1. *Hulls.* Each curve is replaced by its upper concave hull over [low, high] (Andrew's monotone chain).
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

Nothing is allocated after :func:`qoe_native.waterfill_data.make_work`; the same input gives the same
output, bit for bit. :mod:`qoe_native.waterfill_numpy` is the plain twin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from qoe_native.waterfill_data import SLACK_RATIO, Cells, Work

_Function = TypeVar("_Function", bound=Callable[..., Any])
_ZERO = cast(int, np.int64(0))  # a literal 0 as an argument would be compiled as a type of its own


def _compiled(function: _Function) -> _Function:
    """Compile; keep the machine code on disk where a cache can be written."""
    try:
        return njit(function, cache=True, nogil=True, error_model="numpy")  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": neither the package nor the user's cache is writable
        return njit(function, nogil=True, error_model="numpy")  # type: ignore[no-any-return]


@_compiled
def _stair(x: npt.NDArray[np.float64], b: int, share: float) -> int:
    """Index of the last point of row b of x at or before a share."""
    k = 0
    end = x.shape[1]
    while end - k > 1:
        middle = (k + end) >> 1
        if x[b, middle] <= share:
            k = middle
        else:
            end = middle
    return k


@_compiled
def _height(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], step: bool, b: int, share: float
) -> float:
    """Height of row b's true curve."""
    k = _stair(x, b, share)
    level = y[b, k]
    if not step and k + 1 < x.shape[1]:
        level += (y[b, k + 1] - level) * ((share - x[b, k]) / (x[b, k + 1] - x[b, k]))
    return level  # type: ignore[no-any-return]


@_compiled
def _make_hulls(c: Cells, w: Work, first: int, begin: int, end: int) -> None:
    """Build the hulls of bearers begin to end (of the cell that starts at first) over [low, high]."""
    x, y, hull_x, hull_y, slope = c.x, c.y, w.hull_x, w.hull_y, w.slope
    size = x.shape[1]
    for h in range(begin, end):
        b = first + h
        left, right, step, weight = (
            c.bearers[b].low,
            c.bearers[b].high,
            c.bearers[b].step,
            c.bearers[b].weight,
        )
        k = 0
        level, crest = y[b, 0], y[b, size - 1]
        if left > x[b, 0]:
            k = _stair(x, b, left) + 1
            level = _height(x, y, step, b, left)
        if right < x[b, size - 1]:
            crest = _height(x, y, step, b, right)
        top = 0
        at = left
        hull_x[h, 0] = left
        hull_y[h, 0] = level
        rise = run = 0.0
        while level < crest:
            point = min(x[b, k], right)
            height = crest if x[b, k] >= right else y[b, k]
            k += 1
            if height <= level:
                continue
            # cross products instead of slopes: a division costs more than all the rest of this loop
            while top > 0 and (height - level) * run >= rise * (point - at):
                top -= 1
                at, level = hull_x[h, top], hull_y[h, top]
                if top > 0:
                    run, rise = at - hull_x[h, top - 1], level - hull_y[h, top - 1]
            run, rise = point - at, height - level
            at, level = point, height
            top += run > 0.0
            hull_x[h, top], hull_y[h, top] = at, level
        for k in range(top):
            slope[h, k] = weight * ((hull_y[h, k + 1] - hull_y[h, k]) / (hull_x[h, k + 1] - hull_x[h, k]))
        for k in range(top + 1):
            hull_y[h, k] *= weight
        w.state[h].start = 0
        w.state[h].last = top if weight > 0.0 else 0


@_compiled
def _open_brackets(w: Work, begin: int, end: int) -> tuple[int, float, float]:
    """Bracket the vertex of each bearer; return how many are open, what the others use, the most all use."""
    state = w.state
    fixed = top = 0.0
    n_active = 0
    for h in range(begin, end):
        last = state[h].last
        state[h].few, state[h].many, state[h].pos = state[h].start, last, last
        top += w.hull_x[h, last]
        if state[h].start < last:
            state[n_active].active = h
            n_active += 1
        else:
            fixed += w.hull_x[h, last]
    return n_active, fixed, top


@_compiled
def _pivot(w: Work, n_active: int) -> float:
    """Median of three slopes, each in the middle of an open bracket."""
    state, slope = w.state, w.slope
    h, i, j = state[0].active, state[n_active >> 1].active, state[n_active - 1].active
    s0 = slope[h, (state[h].few + state[h].many) >> 1]
    s1 = slope[i, (state[i].few + state[i].many) >> 1]
    s2 = slope[j, (state[j].few + state[j].many) >> 1]
    return max(min(s0, s1), min(max(s0, s1), s2))  # type: ignore[no-any-return]


@_compiled
def _demand(w: Work, n_active: int, price: float) -> tuple[float, float]:
    """Put every open bearer where it stands at a price; return their use without and with ties."""
    hull_x, slope, state = w.hull_x, w.slope, w.state
    lean = full = 0.0
    for t in range(n_active):
        h = state[t].active
        p = state[h].few
        q = many = state[h].many
        while p < q:
            middle = (p + q) >> 1
            if slope[h, middle] > price:
                p = middle + 1
            else:
                q = middle
        state[h].pos = p
        lean += hull_x[h, p]
        if p < many and slope[h, p] == price:
            p += 1
        full += hull_x[h, p]
    return lean, full


@_compiled
def _narrow(w: Work, n_active: int, price: float, too_low: bool) -> tuple[int, float]:
    """Narrow the brackets with the demand at a price; return how many stay open, what the closed use."""
    state = w.state
    keep = 0
    closed = 0.0
    for t in range(n_active):
        h = state[t].active
        p = state[h].pos
        if too_low:
            state[h].many = p
        else:
            state[h].few = p + 1 if p < state[h].many and w.slope[h, p] == price else p
        if state[h].few < state[h].many:
            state[keep].active = h
            keep += 1
        else:
            state[h].pos = state[h].few
            closed += w.hull_x[h, state[h].few]
    return keep, closed


@_compiled
def _relax(w: Work, begin: int, end: int, budget: float, price: float) -> tuple[float, float, int]:
    """Spend `budget` on the hulls of bearers begin to end; `price` is a guess, 0 for none.

    Returns the price, the room left beyond the vertices `pos`, and the bearer whose next segment the room
    would go to (-1: none). Room below 0: not even the start vertices fit.
    """
    hull_x, slope, state = w.hull_x, w.slope, w.state
    n_active, fixed, top = _open_brackets(w, begin, end)
    most = budget * (1.0 + SLACK_RATIO)  # vertices may fit to rounding; what is left is counted without it
    if top <= most:
        return 0.0, max(0.0, budget - top), -1
    below = above = not 0.0 < price < np.inf
    stride = 1.1
    while n_active > 0:
        if below and above:
            price = _pivot(w, n_active)
        lean, full = _demand(w, n_active, price)
        if fixed + lean <= most < fixed + full:
            break
        too_low = fixed + lean > most
        n_active, closed = _narrow(w, n_active, price, too_low)
        fixed += closed
        # until both sides are known, walk away from the guess in growing strides
        below, above = below or too_low, above or not too_low
        price = price * stride if too_low else price / stride
        stride *= stride
    room = budget
    for h in range(begin, end):
        room -= hull_x[h, state[h].pos]
    if room < budget - most:
        return price, room, -1
    cut = -1
    for t in range(n_active):
        h = state[t].active
        p = state[h].pos
        if p < state[h].many and slope[h, p] == price:
            if hull_x[h, p + 1] - hull_x[h, p] <= room + (most - budget):
                room -= hull_x[h, p + 1] - hull_x[h, p]
                state[h].pos = p + 1
            else:
                cut = h
    return price, max(0.0, room), cut


@_compiled
def _cut_off(w: Work, begin: int, end: int, room: float, cut: int) -> None:
    """Let the hulls of bearers begin to end finish where the group's maximum left them."""
    for h in range(begin, end):
        w.state[h].last = w.state[h].pos
    if cut >= 0 and room > 0.0:
        p = w.state[cut].pos
        w.hull_x[cut, p + 1] = w.hull_x[cut, p] + room
        w.hull_y[cut, p + 1] = w.hull_y[cut, p] + room * w.slope[cut, p]
        w.state[cut].last = p + 1


@_compiled
def _force(w: Work, begin: int, end: int, room: float, cut: int) -> None:
    """Let the hulls of bearers begin to end start where the group's minimum put them."""
    for h in range(begin, end):
        w.state[h].start = w.state[h].pos
    if cut >= 0 and room > 0.0:
        p = w.state[cut].pos
        for k in range(w.state[cut].last, p, -1):
            w.hull_x[cut, k + 1] = w.hull_x[cut, k]
            w.hull_y[cut, k + 1] = w.hull_y[cut, k]
            w.slope[cut, k] = w.slope[cut, k - 1]
        w.hull_x[cut, p + 1] = w.hull_x[cut, p] + room
        w.hull_y[cut, p + 1] = w.hull_y[cut, p] + room * w.slope[cut, p]
        w.state[cut].last += 1
        w.state[cut].start = p + 1


@_compiled
def _relax_cell(c: Cells, w: Work, cell: int, price: float) -> tuple[float, float, int]:
    """Relax a cell whose hulls are built: its groups, then the whole; returns as :func:`_relax`."""
    budget = c.cells[cell].budget
    first_group = c.cells[cell].first_group
    for g in range(first_group, first_group + c.cells[cell].n_groups):
        begin, end = c.groups[g].begin, c.groups[g].end
        _, room, cut = _relax(w, begin, end, c.groups[g].max, price)
        if room < 0.0:
            return 0.0, -1.0, -1
        _cut_off(w, begin, end, room, cut)
        _, room, cut = _relax(w, begin, end, c.groups[g].min, price)
        if room >= 0.0:  # below 0: more than the minimum is there already
            _force(w, begin, end, room, cut)
            if cut < 0:
                budget -= room
    return _relax(w, _ZERO, c.cells[cell].n, budget, price)


@_compiled
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
        step, weight = c.bearers[b].step, c.bearers[b].weight
        hull = w.hull_y[h, p] + (w.slope[h, p] * room if h == cut else 0.0)
        loss = hull - weight * _height(c.x, c.y, step, b, state[h].share)
        if loss <= tiny:
            value -= loss
            continue
        if loss > worst:
            worst = loss
            split = h
            split_share = state[h].share
        state[h].share = w.hull_x[h, p if h == cut or p == 0 else p - 1]
        value += weight * _height(c.x, c.y, step, b, state[h].share) - hull
    return relaxed, value, split, split_share


@_compiled
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


@_compiled
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
            if end > share:
                gain = _height(c.x, c.y, step, b, end) - _height(c.x, c.y, step, b, share)
                gain *= c.bearers[b].weight
                if gain > best:
                    best, who, reach = gain, h, end
        if who < 0:
            return total
        total += best
        b = first + who
        state[who].share = c.x[b, _stair(c.x, b, reach)] if c.bearers[b].step else reach


@_compiled
def _restrict(c: Cells, w: Work, first: int, h: int, low: float, high: float) -> None:
    """Rebuild the hull of one bearer over other bounds."""
    b = first + h
    keep_low, keep_high = c.bearers[b].low, c.bearers[b].high
    c.bearers[b].low, c.bearers[b].high = low, high
    _make_hulls(c, w, first, h, h + 1)
    c.bearers[b].low, c.bearers[b].high = keep_low, keep_high


@_compiled
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
            _restrict(c, w, first, h, w.nodes[at].low, w.nodes[at].high)
        at = w.nodes[at].parent


@_compiled
def _evaluate(c: Cells, w: Work, cell: int, node: int) -> None:
    """Relax a node within the bound of its parent, round it, and keep the shares if they beat the best."""
    first, nodes = c.cells[cell].first, w.nodes
    nodes[node].split = -1
    price, room, cut = _relax_cell(c, w, cell, nodes[node].price)
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
            k = _stair(c.x, b, share)
            nodes[node].left = c.x[b, k]
            nodes[node].right = c.x[b, k + 1]
    if nodes[node].bound > c.cells[cell].value:
        value += _hand_out(c, w, cell)
        if value > c.cells[cell].value:
            c.cells[cell].value = value
            for h in range(c.cells[cell].n):
                c.bearers[first + h].share = w.state[h].share


@_compiled
def _branch(c: Cells, w: Work, cell: int, target: float, max_nodes: int) -> None:
    """Split the node with the highest bound until the gap is at its target."""
    first, nodes = c.cells[cell].first, w.nodes
    n_nodes = 1
    while True:
        best = _ZERO
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
                _make_hulls(c, w, first, _ZERO, c.cells[cell].n)
            if c.cells[cell].n_groups > 0 or side == 0:
                _enter(c, w, first, best)
            node = n_nodes + side
            nodes[node].parent = best
            nodes[node].who = h
            nodes[node].low = low if side == 0 else nodes[best].right
            nodes[node].high = max(low, nodes[best].left) if side == 0 else high
            nodes[node].bound = bound
            nodes[node].price = nodes[best].price
            _restrict(c, w, first, h, nodes[node].low, nodes[node].high)
            _evaluate(c, w, cell, node)
        nodes[best].bound = -np.inf
        at = n_nodes
        while at > 0:  # put the root's hulls back
            h = nodes[at].who
            _restrict(c, w, first, h, c.bearers[first + h].low, c.bearers[first + h].high)
            at = nodes[at].parent
        n_nodes += 2


@_compiled
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


@_compiled
def _relaxed_only(c: Cells, w: Work, cell: int) -> None:
    """Write the relaxation itself as the result."""
    first = c.cells[cell].first
    price, room, cut = _relax_cell(c, w, cell, c.cells[cell].price)
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


@_compiled
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
    for cell in range(c.cells.size):
        _make_hulls(c, w, c.cells[cell].first, _ZERO, c.cells[cell].n)
        if max_nodes == 0:
            _relaxed_only(c, w, cell)
            continue
        c.cells[cell].value = -np.inf
        w.nodes[0].price = c.cells[cell].price
        w.nodes[0].bound = np.inf
        _evaluate(c, w, cell, _ZERO)
        c.cells[cell].price = w.nodes[0].price
        c.cells[cell].relaxed = w.nodes[0].bound
        _branch(c, w, cell, target, max_nodes)
        if c.cells[cell].value > -np.inf:
            _top_up(c, cell)
