"""The per-cell solver again, slow and plain: the twin that :mod:`qoe_native.waterfill` is tested against.

Same problem, same arrays, same answers up to rounding; where slopes tie, the bearer that is left inside a
segment may be another. The relaxation sorts all hull segments by slope and takes them in that order.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qoe_native.waterfill_data import LEAST_SLACK_RATIO, SLACK_RATIO, Cells

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Hull:
    """Concave hull of one bearer's curve; it may not stand before vertex `start`."""

    x: _Floats
    y: _Floats
    start: int = 0


@dataclass(frozen=True)
class _Relaxed:
    """Shares and weighted hull heights of all bearers, price of capacity, room that nobody wants."""

    share: _Floats
    height: _Floats
    back: _Floats  # beginning of the segment that each bearer stands in
    price: float
    room: float


class _Cell:
    """One cell of the arrays, in plain terms."""

    def __init__(self, c: Cells, i: int) -> None:
        record = c.cells[i]
        part = slice(record["first"], record["first"] + record["n"])
        self.x, self.y, self.bearers = c.x[part], c.y[part], c.bearers[part]
        self.groups = c.groups[record["first_group"] : record["first_group"] + record["n_groups"]]
        self.budget = float(record["budget"])
        self.n = int(record["n"])

    def worth(self, h: int, share: float) -> float:
        """Weighted height of bearer h's true curve, less what the share costs."""
        x, y = self.x[h], self.y[h]
        k = self.stair(h, share)
        level = y[k]
        if not self.bearers["step"][h] and k + 1 < x.size:
            level += (y[k + 1] - y[k]) * ((share - x[k]) / (x[k + 1] - x[k]))
        return float(self.bearers["weight"][h] * level - self.bearers["cost"][h] * share)

    def worths(self, share: _Floats) -> _Floats:
        return np.array([self.worth(h, share[h]) for h in range(self.n)])

    def stair(self, h: int, share: float) -> int:
        """Index of the last point of bearer h's curve at or before a share."""
        return max(0, int(np.searchsorted(self.x[h], share, side="right")) - 1)

    def hull(self, h: int, low: float, high: float) -> _Hull:
        """Andrew's monotone chain over the rising points within [low, high]."""
        inside = (self.x[h] > low) & (self.x[h] < high)
        x = [low, *self.x[h][inside], high]
        weight, cost = self.bearers["weight"][h], self.bearers["cost"][h]
        y = [
            self.worth(h, low),
            *(weight * self.y[h][inside] - cost * self.x[h][inside]),
            self.worth(h, high),
        ]
        top = [(low, y[0])]
        for point in zip(x[1:], y[1:], strict=True):
            if point[1] <= top[-1][1]:
                continue
            while len(top) > 1 and _slope(top[-1], point) >= _slope(top[-2], top[-1]):
                top.pop()
            if point[0] == top[-1][0]:
                top.pop()
            top.append(point)
        return _Hull(np.array([p[0] for p in top]), np.array([p[1] for p in top]))


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0]) if b[0] > a[0] else np.inf


def _spend(hulls: list[_Hull], budget: float) -> _Relaxed | None:
    """Take segments of the hulls by falling slope until the budget is spent; None if they start above it."""
    share = np.array([hull.x[hull.start] for hull in hulls])
    height = np.array([hull.y[hull.start] for hull in hulls])
    back = np.array([hull.x[max(0, hull.start - 1)] for hull in hulls])
    room = budget - share.sum()
    spare = budget * SLACK_RATIO  # segments may fit to rounding; what is left is counted without it
    if room < -LEAST_SLACK_RATIO * budget:
        return None
    # of points that are in line, rounding may put the later segment first
    slopes = [np.minimum.accumulate(np.diff(hull.y) / np.diff(hull.x)) for hull in hulls]
    segments = [
        (-slopes[h][k], h, k) for h, hull in enumerate(hulls) for k in range(hull.start, slopes[h].size)
    ]
    price = 0.0
    for slope, h, k in sorted(segments):
        width = hulls[h].x[k + 1] - hulls[h].x[k]
        taken = width if width <= room + spare else max(0.0, room)
        back[h] = hulls[h].x[k]
        share[h] = hulls[h].x[k + 1] if taken == width else share[h] + taken
        height[h] += -slope * taken
        room -= taken
        if taken < width:
            price = -slope
            break
    return _Relaxed(share, height, back, price, max(0.0, room))


def _split(hull: _Hull, share: float) -> tuple[_Hull, int]:
    """Give the hull a vertex at a share; return it and the vertex."""
    k = int(np.searchsorted(hull.x, share))
    if k < hull.x.size and hull.x[k] == share:
        return hull, k
    y = np.interp(share, hull.x, hull.y)
    return _Hull(np.insert(hull.x, k, share), np.insert(hull.y, k, y), hull.start), k


def _relax(cell: _Cell, hulls: list[_Hull]) -> _Relaxed | None:
    """Relax the groups, each by itself, then the whole cell."""
    hulls, budget = list(hulls), cell.budget
    for group in cell.groups:
        members = range(group["begin"], group["end"])
        most = _spend([hulls[h] for h in members], group["max"])
        if most is None:
            return None
        for h, share in zip(members, most.share, strict=True):
            hull, k = _split(hulls[h], share)
            hulls[h] = _Hull(hull.x[: k + 1], hull.y[: k + 1], hull.start)
        least = _spend([hulls[h] for h in members], group["min"])
        if least is not None:
            budget -= least.room
            for h, share in zip(members, least.share, strict=True):
                hull, k = _split(hulls[h], share)
                hulls[h] = _Hull(hull.x, hull.y, k)
    return _spend(hulls, budget)


def _limits(cell: _Cell, share: _Floats) -> _Floats:
    """How much more each bearer could take, given budget and groups."""
    used = [share[g["begin"] : g["end"]].sum() for g in cell.groups]
    lack = [max(0.0, g["min"] - u) for g, u in zip(cell.groups, used, strict=True)]
    free = cell.budget - share.sum() - sum(lack)
    limit = np.full(cell.n, free)
    for group, u, own in zip(cell.groups, used, lack, strict=True):
        limit[group["begin"] : group["end"]] = min(group["max"] - u, free + own)
    return limit


def _hand_out(cell: _Cell, share: _Floats) -> _Floats:
    """Give what is left, over and over, to the bearer whose true curve gains most."""
    while True:
        spare = np.where(cell.bearers["step"], cell.budget * SLACK_RATIO, 0.0)
        end = np.minimum(share + _limits(cell, share) + spare, cell.bearers["high"])
        stairs = np.array([cell.x[h, cell.stair(h, end[h])] for h in range(cell.n)])
        end = np.where(cell.bearers["step"], stairs, end)
        gain = np.where(end > share, cell.worths(np.maximum(end, share)) - cell.worths(share), 0.0)
        who = int(np.argmax(gain))
        if gain[who] <= 0.0:
            return share
        share[who] = end[who]


@dataclass(order=True)
class _Node:
    """Bounds of the shares, and what they allow at most; the smallest is the one to split next."""

    minus_bound: float
    number: int
    low: _Floats = field(compare=False)
    high: _Floats = field(compare=False)
    split: int = field(compare=False, default=-1)
    at: float = field(compare=False, default=0.0)


class _Search:
    """Best-first branch and bound over the bounds of one cell's bearers."""

    def __init__(self, cell: _Cell) -> None:
        self.cell = cell
        self.value = self.relaxed = -np.inf
        self.share = cell.bearers["low"].copy()
        self.price = 0.0
        self.n_nodes = 0
        self.open: list[_Node] = []

    @property
    def bound(self) -> float:
        return max([self.value, *(-node.minus_bound for node in self.open[:1])])

    def evaluate(self, low: _Floats, high: _Floats, limit: float) -> None:
        """Relax a node of which the parent allows `limit`, round it, and keep it if it can be split."""
        cell = self.cell
        self.n_nodes += 1
        relaxed = _relax(cell, [cell.hull(h, low[h], high[h]) for h in range(cell.n)])
        if relaxed is None:
            return
        bound = min(limit, float(relaxed.height.sum()))
        if self.n_nodes == 1:
            self.relaxed, self.price = bound, relaxed.price
        loss = relaxed.height - cell.worths(relaxed.share)
        inside = loss > 1e-13 * abs(relaxed.height.sum())
        if bound > self.value:
            share = _hand_out(cell, np.where(inside, relaxed.back, relaxed.share))
            value = float(cell.worths(share).sum())
            if value > self.value:
                self.value, self.share = value, share
        if inside.any():
            split = int(np.argmax(loss))
            node = _Node(-bound, self.n_nodes, low, high, split, float(relaxed.share[split]))
            heapq.heappush(self.open, node)

    def branch(self) -> None:
        """Split the best open node in two, at the share of its worst bearer."""
        node = heapq.heappop(self.open)
        h, left, right = node.split, node.at, node.at
        if self.cell.bearers["step"][h]:
            k = self.cell.stair(h, node.at)
            left, right = max(node.low[h], self.cell.x[h, k]), self.cell.x[h, k + 1]
        low, high = node.low.copy(), node.high.copy()
        low[h], high[h] = right, left
        self.evaluate(node.low, high, -node.minus_bound)
        self.evaluate(low, node.high, -node.minus_bound)


def _top_up(cell: _Cell, share: _Floats) -> None:
    """Fill groups up to their minimum with share that is of use to nobody."""
    for group in cell.groups:
        lack = group["min"] - share[group["begin"] : group["end"]].sum()
        for h in range(group["begin"], group["end"]):
            more = max(0.0, min(lack, cell.bearers["high"][h] - share[h]))
            share[h] += more
            lack -= more


def solve_cells_numpy(c: Cells, target: float, max_nodes: int) -> None:
    """Solve every cell: the twin of :func:`qoe_native.waterfill.solve_cells`, without its guesses of prices.

    Parameters
    ----------
    c : Cells
        The problem, and where the results go.
    target : float
        Gap, as a fraction of (bound - base), at which the search ends.
    max_nodes : int
        Relaxations at most a cell. 0: only the relaxation's own shares and bound, not rounded.
    """
    for i in range(c.cells.size):
        cell, record = _Cell(c, i), c.cells[i]
        if max_nodes == 0:
            relaxed = _relax(cell, [cell.hull(h, b["low"], b["high"]) for h, b in enumerate(cell.bearers)])
            total = -np.inf if relaxed is None else float(relaxed.height.sum())
            record["value"] = record["bound"] = record["relaxed"] = total
            record["n_nodes"] = 1
            if relaxed is not None:
                cell.bearers["share"], cell.bearers["hull"] = relaxed.share, relaxed.height
                record["price"] = relaxed.price
            continue
        search = _Search(cell)
        search.evaluate(cell.bearers["low"].copy(), cell.bearers["high"].copy(), np.inf)
        while (
            search.open
            and search.bound - search.value > target * (search.bound - record["base"])
            and search.n_nodes + 2 <= max_nodes
        ):
            search.branch()
        record["value"], record["bound"], record["relaxed"] = search.value, search.bound, search.relaxed
        record["price"], record["n_nodes"] = search.price, search.n_nodes
        if search.value > -np.inf:
            _top_up(cell, search.share)
            cell.bearers["share"] = search.share
