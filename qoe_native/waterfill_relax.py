"""A budget spent on concave hulls at one price: the second step of :mod:`qoe_native.waterfill`."""

from __future__ import annotations

from typing import cast

import numpy as np
from numba import njit

from qoe_native.waterfill_data import LEAST_SLACK_RATIO, SLACK_RATIO, Cells, Work
from qoe_native.waterfill_hull import OPTIONS

ZERO = cast(int, np.int64(0))  # a literal 0 as an argument would be compiled as a type of its own
_SAMPLED = 40  # bearers from which a guess from some of them is worth its time
_compiled = njit(**OPTIONS)


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
    if room < -LEAST_SLACK_RATIO * budget:
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
def _sampled_price(w: Work, n: int, budget: float) -> float:
    """Guess the price of a cell by relaxing an eighth of its bearers with their part of the budget."""
    few = n >> 3
    start = top = 0.0
    for h in range(n):
        start += w.hull_x[h, w.state[h].start]
        top += w.hull_x[h, w.state[h].last]
    start_few = top_few = 0.0
    for h in range(few):
        start_few += w.hull_x[h, w.state[h].start]
        top_few += w.hull_x[h, w.state[h].last]
    if top <= budget or start >= budget:
        return 0.0
    part = start_few + (budget - start) * (top_few - start_few) / (top - start)
    price, _, _ = _relax(w, ZERO, few, part, 0.0)
    return price  # type: ignore[no-any-return]


@_compiled
def relax_cell(c: Cells, w: Work, cell: int, price: float) -> tuple[float, float, int]:
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
    n = c.cells[cell].n
    if n >= _SAMPLED and not 0.0 < price < np.inf:
        price = _sampled_price(w, n, budget)
    return _relax(w, ZERO, n, budget, price)
