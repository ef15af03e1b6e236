"""Coupled cells laid out as one program: own bearers and legs cell by cell, then split bearers as wholes.

A split bearer stands at the end with a "share" of its own, its rate over the last rate of its curve; a row
holds that to what its legs carry. The same rows serve the decomposition and, dense, ``milp``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qoe.optimise.allocation import Shed
from qoe.optimise.coupled import CoupledProblem
from qoe.optimise.curves import evaluate, invert
from qoe.optimise.general import reachable
from qoe.optimise.problem import MOS_MIN
from qoe.optimise.program import Program, Rows
from qoe.optimise.promises import Kept, keep_promises, shed_all
from qoe.schema import BoolArray, Curves, FloatArray, IntArray

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Joint:
    """The layout.

    Attributes
    ----------
    problem : CoupledProblem
        What it was made of.
    program : Program
        All as one, with a row for each cell's budget, link and split bearer.
    blocks : tuple of Program
        Each cell by itself, then each split bearer by itself; a leg is linear in its share.
    coupling : Rows
        The rows of links, then of split bearers, each scaled to its capacity or last rate.
    is_leg : ndarray of bool, shape (n,)
        Which positions are legs.
    leg_of : tuple of ndarray of int64
        Positions of each split bearer's legs.
    split_curves : Curves
        MOS over rate.
    shed : tuple of (str, Shed)
        Promises that do not fit.
    """

    problem: CoupledProblem
    program: Program
    blocks: tuple[Program, ...]
    coupling: Rows
    is_leg: BoolArray
    leg_of: tuple[IntArray, ...]
    split_curves: Curves
    shed: tuple[tuple[str, Shed], ...]

    def unpack(self, share: FloatArray) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
        """Part shares, as laid out, into those of each cell's own bearers and of each split bearer's legs."""
        own, first = [], 0
        for cell, block in zip(self.problem.cells, self.blocks, strict=False):
            own.append(share[first : first + cell.n_bearers])
            first += len(block.low)
        return tuple(own), tuple(share[leg] for leg in self.leg_of)

    def value(self, mos: tuple[FloatArray, ...], split_mos: FloatArray) -> float:
        """Weighted sum of MOS."""
        first, total = 0, 0.0
        for cell_mos, block in zip(mos, self.blocks, strict=False):
            total += float(self.program.weight[first : first + cell_mos.size] @ cell_mos)
            first += len(block.low)
        n = self.program.weight.size
        return total + float(self.program.weight[n - split_mos.size :] @ split_mos)

    def rates(self, share: FloatArray) -> FloatArray:
        """Rate of each split bearer, bit/s: the sum over its legs."""
        legs = zip(self.problem.split, self.leg_of, strict=True)
        return np.array([share[at] @ [leg.efficiency_bps for leg in b.legs] for b, at in legs])

    def split_mos(self, share: FloatArray) -> FloatArray:
        """MOS of each split bearer at its rate; a step counts as reached to rounding."""
        if not self.problem.split:
            return np.zeros(0)
        return evaluate(self.split_curves, self.rates(share) * (1.0 + _ROUNDING))

    def link_loads(self, share: FloatArray) -> FloatArray:
        """What each link carries, bit/s."""
        links = self.problem.links
        scale = np.array([_scale(link.capacity_bps) for link in links])
        return np.asarray(scale * (self.coupling.matrix[: len(links)] @ share))


def make_joint(problem: CoupledProblem) -> Joint:
    """Lay out a checked problem, with the promises that it can keep."""
    kept = [keep_promises(cell) for cell in problem.cells]
    legs = [
        [
            (u, k)
            for u, b in enumerate(problem.split)
            for k, leg in enumerate(b.legs)
            if (leg.cell, b.direction) == (cell.cell, cell.direction)
        ]
        for cell in problem.cells
    ]
    mean = _mean_weight(problem)
    blocks = [_cell_block(problem, c, kept[c], legs[c], mean) for c in range(len(kept))]
    split_curves = _split_curves(problem)
    blocks += [_split_block(split_curves, u, b.weight / mean) for u, b in enumerate(problem.split)]
    first = np.concatenate(([0], np.cumsum([len(b.low) for b in blocks])))
    place = {
        leg: int(first[c] + cell.n_bearers + i)
        for c, cell in enumerate(problem.cells)
        for i, leg in enumerate(legs[c])
    }
    leg_of = tuple(
        np.array([place[u, k] for k in range(len(b.legs))], dtype=np.int64)
        for u, b in enumerate(problem.split)
    )
    is_leg = np.zeros(first[-1], np.bool_)
    for positions in leg_of:
        is_leg[positions] = True
    coupling = _coupling(problem, first, leg_of)
    program = _one_program(problem, blocks, first, coupling)
    program, more = _admit(problem, program, kept, first, split_curves)
    shed = [
        (cell.cell, s)
        for cell, k in zip(problem.cells, kept, strict=True)
        for s in (k.shed if cell.capacity_bps > 0.0 else shed_all(cell))
    ]
    groups = iter(program.groups)
    admitted = [
        replace(
            block,
            low=program.low[i:j],
            high=program.high[i:j],
            groups=tuple(replace(g, min_share_ratio=next(groups).min_share_ratio) for g in block.groups),
        )
        for block, i, j in zip(blocks, first[:-1], first[1:], strict=True)
    ]
    return Joint(problem, program, tuple(admitted), coupling, is_leg, leg_of, split_curves, (*shed, *more))


def _scale(capacity_bps: float) -> float:
    return capacity_bps if capacity_bps > 0.0 else 1.0


def _mean_weight(problem: CoupledProblem) -> float:
    weights = np.concatenate([*(c.weight for c in problem.cells), [b.weight for b in problem.split]])
    return float(weights.mean()) if weights.any() else 1.0


def _cell_block(
    problem: CoupledProblem, c: int, kept: Kept, legs: list[tuple[int, int]], mean: float
) -> Program:
    """One cell with the legs in it, whose worth is what is paid for their rate."""
    cell = problem.cells[c]
    budget = cell.budget_ratio if cell.capacity_bps > 0.0 else 0.0
    most = np.array([min(problem.split[u].legs[k].max_share_ratio, budget) for u, k in legs])
    n_points = max(2, cell.curves.share.shape[1])
    grid = np.repeat(most[:, None], n_points, axis=1)
    grid[:, :1] = 0.0
    pad = ((0, 0), (0, n_points - cell.curves.share.shape[1]))
    heights = Curves(
        np.concatenate((np.pad(cell.curves.share, pad, mode="edge"), grid)),
        np.concatenate((np.pad(cell.curves.mos, pad, mode="edge"), grid)),
        np.concatenate((cell.curves.step, np.zeros(len(legs), np.bool_))),
    )
    own_high = np.minimum(kept.high, budget)
    weight = np.concatenate((cell.weight / mean, np.zeros(len(legs))))
    base = float(weight.sum() * MOS_MIN)
    low = np.concatenate((np.minimum(kept.low, own_high), np.zeros(len(legs))))
    return Program(heights, low, np.concatenate((own_high, most)), weight, kept.groups, budget, base)


def _split_curves(problem: CoupledProblem) -> Curves:
    n_points = max((b.rate_bps.size for b in problem.split), default=1)

    def padded(values: list[FloatArray]) -> FloatArray:
        rows = [np.pad(v, (0, n_points - v.size), mode="edge") for v in values]
        return np.array(rows).reshape(-1, n_points)

    return Curves(
        padded([b.rate_bps for b in problem.split]),
        padded([b.mos for b in problem.split]),
        np.array([b.step for b in problem.split], dtype=np.bool_),
    )


def _split_block(curves: Curves, u: int, weight: float) -> Program:
    part = slice(u, u + 1)
    heights = Curves(curves.share[part] / curves.share[u, -1], curves.mos[part], curves.step[part])
    return Program(heights, np.zeros(1), np.ones(1), np.array([weight]), (), 1.0, weight * MOS_MIN)


def _coupling(problem: CoupledProblem, first: IntArray, leg_of: tuple[IntArray, ...]) -> Rows:
    """Rates of a link's cells within its capacity; rate of a split bearer within that of its legs."""
    n_links, n_cells = len(problem.links), len(problem.cells)
    matrix = np.zeros((n_links + len(leg_of), first[-1]))
    efficiency = np.zeros(first[-1])
    for c, cell in enumerate(problem.cells):
        efficiency[first[c] : first[c] + cell.n_bearers] = cell.efficiency_bps
    for bearer, legs in zip(problem.split, leg_of, strict=True):
        efficiency[legs] = [leg.efficiency_bps for leg in bearer.legs]
    for row, link in zip(matrix, problem.links, strict=False):
        for c, cell in enumerate(problem.cells):
            if cell.cell in link.cells and cell.direction == link.direction:
                part = slice(first[c], first[c + 1])
                row[part] = efficiency[part] / _scale(link.capacity_bps)
    for u, (bearer, legs) in enumerate(zip(problem.split, leg_of, strict=True)):
        last = bearer.rate_bps[-1]
        matrix[n_links + u, first[n_cells + u]] = 1.0
        matrix[n_links + u, legs] = -efficiency[legs] / last
    carried = [1.0 if link.capacity_bps > 0.0 else 0.0 for link in problem.links]
    return Rows(matrix, np.array([*carried, *np.zeros(len(leg_of))]))


def _one_program(problem: CoupledProblem, blocks: list[Program], first: IntArray, coupling: Rows) -> Program:
    n_points = max(b.heights.share.shape[1] for b in blocks)

    def joined(tables: list[FloatArray]) -> FloatArray:
        return np.concatenate([np.pad(t, ((0, 0), (0, n_points - t.shape[1])), mode="edge") for t in tables])

    groups = tuple(
        replace(group, name=f"{c}/{group.name}", members=tuple(int(first[c]) + m for m in group.members))
        for c, block in enumerate(blocks)
        for group in block.groups
    )
    budgets = np.zeros((len(problem.cells), first[-1]))
    for c, row in enumerate(budgets):
        row[first[c] : first[c + 1]] = 1.0
    rows = Rows(
        np.vstack((budgets, coupling.matrix)),
        np.concatenate(([b.budget for b in blocks[: len(budgets)]], coupling.most)),
    )
    return Program(
        Curves(
            joined([b.heights.share for b in blocks]),
            joined([b.heights.mos for b in blocks]),
            np.concatenate([b.heights.step for b in blocks]),
        ),
        np.concatenate([b.low for b in blocks]),
        np.concatenate([b.high for b in blocks]),
        np.concatenate([b.weight for b in blocks]),
        groups,
        max(1.0, sum(b.budget for b in blocks)),
        sum(b.base for b in blocks),
        rows=rows,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A promise that is asked for: its place in the order, its position (or group), its cell, its name."""

    order: tuple[int, int, float]
    position: int
    where: str
    named: Shed


def _admit(
    problem: CoupledProblem, program: Program, kept: list[Kept], first: IntArray, split_curves: Curves
) -> tuple[Program, list[tuple[str, Shed]]]:
    """Keep the promises that fit on the links too: minima, minima of groups, then floors by tier and need."""
    asked, shed = _split_floors(problem, first, split_curves)
    low = program.low.copy()
    for promise in asked:
        low[promise.position] = promise.named.needed_share_ratio
    whole = replace(program, low=low, high=np.maximum(program.high, low))
    if reachable(whole):
        return whole, shed
    asked += _cell_promises(problem, program, kept, first)
    bare = tuple(replace(group, min_share_ratio=0.0) for group in program.groups)
    program = replace(program, low=np.zeros_like(low), groups=bare)
    for promise in sorted(asked, key=lambda p: (p.order, p.position)):
        more = _with(program, whole, promise)
        if reachable(more):
            program = more
        else:
            granted = 0.0 if promise.named.kind == "group_min" else float(program.low[promise.position])
            shed.append((promise.where, replace(promise.named, granted_share_ratio=granted)))
    return program, shed


def _split_floors(
    problem: CoupledProblem, first: IntArray, split_curves: Curves
) -> tuple[list[_Asked], list[tuple[str, Shed]]]:
    """Floors of split bearers, and those that their curves never reach."""
    asked: list[_Asked] = []
    shed: list[tuple[str, Shed]] = []
    need = invert(split_curves, np.array([b.floor_mos for b in problem.split])) if problem.split else ()
    for u, (bearer, rate_bps) in enumerate(zip(problem.split, need, strict=True)):
        if math.isnan(bearer.floor_mos):
            continue
        share = float(rate_bps / bearer.rate_bps[-1])
        named = Shed("floor", u, bearer.subscriber, "link", share, 0.0)
        if math.isnan(share):
            shed.append(("", replace(named, reason="unreachable")))
        else:
            asked.append(_Asked((2, 0, share), int(first[len(problem.cells) + u]), "", named))
    return asked, shed


def _cell_promises(
    problem: CoupledProblem, program: Program, kept: list[Kept], first: IntArray
) -> list[_Asked]:
    """All that the cells promise and could keep by themselves."""
    asked: list[_Asked] = []
    for c, (cell, k) in enumerate(zip(problem.cells, kept, strict=True)):
        rank = [cell.tiers.index(t) if t in cell.tiers else len(cell.tiers) for t in cell.tier]
        low = program.low[first[c] : first[c] + cell.n_bearers]
        for order, kind, shares in ((0, "min_share", low - k.floor), (2, "floor", low * (k.floor > 0.0))):
            for i in np.flatnonzero(shares > 0.0):
                named = Shed(kind, int(i), cell.subscriber[i], "link", float(shares[i]), 0.0)
                asked.append(_Asked((order, rank[i], float(shares[i])), int(first[c] + i), cell.cell, named))
    for g, group in enumerate(program.groups):
        if group.min_share_ratio > 0.0:
            at, _, name = group.name.partition("/")
            cell = problem.cells[int(at)]
            index = [other.name for other in cell.groups].index(name)
            named = Shed("group_min", index, name, "link", group.min_share_ratio, 0.0)
            asked.append(_Asked((1, 0, group.min_share_ratio), g, cell.cell, named))
    return asked


def _with(program: Program, whole: Program, promise: _Asked) -> Program:
    """Admit one more promise."""
    at = promise.position
    if promise.named.kind == "group_min":
        return replace(program, groups=(*program.groups[:at], whole.groups[at], *program.groups[at + 1 :]))
    low = program.low.copy()
    low[at] = max(low[at], promise.named.needed_share_ratio)
    return replace(program, low=low)
