"""Curves and their upper concave hulls: the first step of :mod:`qoe_native.waterfill`.

A hull does not depend on the bearer's weight, nor on what a share costs (that tilts curve and hull alike):
its vertices are kept from one solve to the next, and weighed anew.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from qoe_native.waterfill_data import Cells, Work

OPTIONS: Final[dict[str, object]] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""For Numba. Without its runtime nothing can be allocated (it would not compile), and references to arrays
are not counted, which took ten times as long as reading a hull."""

_compiled = njit(**OPTIONS)


@_compiled
def stair(x: npt.NDArray[np.float64], b: int, share: float) -> int:
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
def height(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], step: bool, b: int, share: float) -> float:
    """Height of row b's true curve."""
    k = stair(x, b, share)
    level = y[b, k]
    if not step and k + 1 < x.shape[1]:
        level += (y[b, k + 1] - level) * ((share - x[b, k]) / (x[b, k + 1] - x[b, k]))
    return level  # type: ignore[no-any-return]


@_compiled
def worth(c: Cells, b: int, share: float) -> float:
    """What a share is worth to bearer b: weighted height of its true curve, less what it costs."""
    level = height(c.x, c.y, c.bearers[b].step, b, share)
    return c.bearers[b].weight * level - c.bearers[b].cost * share  # type: ignore[no-any-return]


@_compiled
def _chain(
    c: Cells, w: Work, vertices: npt.NDArray[np.uint16], row: int, b: int, h: int, left: float, right: float
) -> int:
    """Andrew's monotone chain over [left, right]: vertices to `vertices` and, unweighted, to the scratch.

    Returns the index of the last vertex. Only points that rise matter, as nobody must use all of a share.
    """
    x, y, hull_x, hull_y = c.x, c.y, w.hull_x, w.hull_y
    size = x.shape[1]
    step = c.bearers[b].step
    k = 0
    level, crest = y[b, 0], y[b, size - 1]
    if left > x[b, 0]:
        k = stair(x, b, left) + 1
        level = height(x, y, step, b, left)
    if right < x[b, size - 1]:
        crest = height(x, y, step, b, right)
    top = 0
    at = left
    hull_x[h, 0] = left
    hull_y[h, 0] = level
    vertices[row, 0] = size
    rise = run = 0.0
    while level < crest:
        point = x[b, k]
        next_level = y[b, k]
        name = k
        if point >= right:
            point, next_level, name = right, crest, size + 1
        k += 1
        if next_level <= level:
            continue
        # cross products instead of slopes: a division costs more than all the rest of this loop
        while top > 0 and (next_level - level) * run >= rise * (point - at):
            top -= 1
            at, level = hull_x[h, top], hull_y[h, top]
            if top > 0:
                run, rise = at - hull_x[h, top - 1], level - hull_y[h, top - 1]
        run, rise = point - at, next_level - level
        at, level = point, next_level
        top += run > 0.0
        hull_x[h, top], hull_y[h, top] = at, level
        vertices[row, top] = name
    return top


@_compiled
def _recall(c: Cells, w: Work, b: int, h: int) -> int:
    """Read the vertices of bearer b's kept hull into the scratch; return the index of the last."""
    x, y, hull_x, hull_y = c.x, c.y, w.hull_x, w.hull_y
    size = x.shape[1]
    top = c.bearers[b].n_hull - 1
    for v in range(top + 1):
        k = min(np.int64(c.hulls[b, v]), size - 1)
        hull_x[h, v], hull_y[h, v] = x[b, k], y[b, k]
    step = c.bearers[b].step
    if c.hulls[b, 0] == size:
        low = c.bearers[b].low
        hull_x[h, 0] = low
        hull_y[h, 0] = height(x, y, step, b, low) if low > x[b, 0] else y[b, 0]
    if c.hulls[b, top] == size + 1:
        high = c.bearers[b].high
        hull_x[h, top] = high
        hull_y[h, top] = height(x, y, step, b, high) if high < x[b, size - 1] else y[b, size - 1]
    return top  # type: ignore[no-any-return]


@_compiled
def _weigh(c: Cells, w: Work, b: int, h: int, top: int) -> None:
    """Weigh the hull in the scratch, take off what shares cost, and end it where it stops to rise."""
    hull_x, hull_y, slope = w.hull_x, w.hull_y, w.slope
    weight, cost = c.bearers[b].weight, c.bearers[b].cost
    for k in range(top):
        rise, run = hull_y[h, k + 1] - hull_y[h, k], hull_x[h, k + 1] - hull_x[h, k]
        slope[h, k] = weight * (rise / run) - cost
    for k in range(top + 1):
        hull_y[h, k] = weight * hull_y[h, k] - cost * hull_x[h, k]
    if weight <= 0.0:
        top = 0
    while top > 0 and slope[h, top - 1] <= 0.0:
        top -= 1
    w.state[h].start = 0
    w.state[h].last = top


@_compiled
def make_hulls(c: Cells, w: Work, cell: int) -> None:
    """Put the hulls of a cell's bearers over their bounds into the scratch, kept ones where there are any."""
    first = c.cells[cell].first
    for h in range(c.cells[cell].n):
        b = first + h
        if c.bearers[b].n_hull > 0:
            top = _recall(c, w, b, h)
        else:
            top = _chain(c, w, c.hulls, b, b, h, c.bearers[b].low, c.bearers[b].high)
            c.bearers[b].n_hull = top + 1
        _weigh(c, w, b, h, top)


@_compiled
def restore(c: Cells, w: Work, first: int, h: int) -> None:
    """Put the kept hull of one bearer back into the scratch."""
    _weigh(c, w, first + h, h, _recall(c, w, first + h, h))


@_compiled
def restrict(c: Cells, w: Work, first: int, h: int, low: float, high: float) -> None:
    """Put the hull of one bearer over other bounds into the scratch."""
    _weigh(c, w, first + h, h, _chain(c, w, w.spare, 0, first + h, h, low, high))
