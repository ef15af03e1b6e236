"""The arrays of the per-cell solver: what :mod:`qoe_native.waterfill` and its NumPy twin read and write."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SLACK_RATIO = 1e-12
"""Relative excess over a budget that counts as rounding."""

LEAST_SLACK_RATIO = 16.0 * SLACK_RATIO
"""The same for lower bounds: sums of sums, which must fit whatever order they were added in."""

MAX_POINTS = 65_000
"""Points that a curve may have: vertices are kept as 16-bit numbers."""

BEARER_DTYPE = np.dtype(
    [
        ("low", "f8"),  # bounds of the share
        ("high", "f8"),
        ("weight", "f8"),  # what one unit of height counts, 0 or more
        ("cost", "f8"),  # what one unit of share costs besides, 0 or more: the price of a constraint outside
        ("step", "?"),  # the curve holds each height until the next point
        ("n_hull", "i8"),  # vertices of the hull that is kept, 0: to be built (bounds or curve are new)
        ("share", "f8"),  # result: the share; of the relaxation itself if `max_nodes` was 0
        ("hull", "f8"),  # result, only if `max_nodes` was 0: worth of the hull there
    ],
    align=True,
)
CELL_DTYPE = np.dtype(
    [
        ("first", "i8"),  # its bearers: first, and how many
        ("n", "i8"),
        ("first_group", "i8"),  # its groups: first, and how many
        ("n_groups", "i8"),
        ("budget", "f8"),  # bound on the sum of shares
        ("base", "f8"),  # value from which gaps are measured
        ("price", "f8"),  # in: a guess (warm start), 0 for none; result: value of one more unit of share
        ("value", "f8"),  # result: value of the shares; -inf: the bounds contradict one another
        ("bound", "f8"),  # result: upper bound after branching
        ("relaxed", "f8"),  # result: upper bound before branching
        ("n_nodes", "i8"),  # result: relaxations solved
    ],
    align=True,
)
GROUP_DTYPE = np.dtype(
    [
        ("begin", "i8"),  # first member and one past the last, counted from the first bearer of the cell
        ("end", "i8"),
        ("min", "f8"),  # bounds on the sum of the members' shares
        ("max", "f8"),
    ],
    align=True,
)
_STATE_DTYPE = np.dtype(
    [
        ("start", "i8"),  # vertices of the hull: first allowed, last, and where the bearer stands
        ("last", "i8"),
        ("pos", "i8"),
        ("few", "i8"),  # bracket of `pos`
        ("many", "i8"),
        ("active", "i8"),  # a list of bearers, not a property of this one
        ("limit", "f8"),  # how much more it could take
        ("share", "f8"),
    ],
    align=True,
)
_NODE_DTYPE = np.dtype(
    [
        ("parent", "i8"),
        ("who", "i8"),  # bearer that this node restricts to [low, high], on top of its parents' restrictions
        ("low", "f8"),
        ("high", "f8"),
        ("split", "i8"),  # bearer to split next, -1 for none, into shares up to `left` and from `right`
        ("left", "f8"),
        ("right", "f8"),
        ("bound", "f8"),
        ("price", "f8"),
    ],
    align=True,
)


class Cells(NamedTuple):
    """Many cells: bearers one cell after the other, in each cell the members of a group side by side.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n_bearers, n_points)
        The curves: height y at share x; both non-decreasing along a row.
    hulls : ndarray of uint16, shape (n_bearers, n_points + 2)
        Kept hulls: which points of the curve are vertices; n_points stands for the lower bound, one more for
        the upper. They do not depend on weights and costs, so that these may change for nothing.
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
    cells : ndarray of CELL_DTYPE, shape (n_cells,)
    groups : ndarray of GROUP_DTYPE, shape (n_groups,)
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    hulls: npt.NDArray[np.uint16]
    bearers: npt.NDArray[Any]
    cells: npt.NDArray[Any]
    groups: npt.NDArray[Any]


class Work(NamedTuple):
    """Scratch for the cell in hand: hulls with their vertices and slopes, states, nodes of the search."""

    hull_x: npt.NDArray[np.float64]
    hull_y: npt.NDArray[np.float64]
    slope: npt.NDArray[np.float64]
    spare: npt.NDArray[np.uint16]  # vertices of a hull that is not kept
    state: npt.NDArray[Any]
    nodes: npt.NDArray[Any]


def make_work(n_bearers: int, n_points: int, max_nodes: int) -> Work:
    """Take the memory for cells of up to `n_bearers` bearers and a search of up to `max_nodes` nodes."""
    hull_x, hull_y, slope = (np.empty((n_bearers, n_points + 4)) for _ in range(3))
    nodes = np.zeros(max(1, max_nodes), _NODE_DTYPE)
    spare = np.empty((1, n_points + 2), np.uint16)
    return Work(hull_x, hull_y, slope, spare, np.zeros(n_bearers, _STATE_DTYPE), nodes)
