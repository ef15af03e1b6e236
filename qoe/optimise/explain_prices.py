"""What each promise costs the others: floors, what a tier counts more, minima of groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qoe.optimise.curves import evaluate
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Program, Relaxed
from qoe.optimise.promises import Kept
from qoe.schema import FloatArray, IntArray

_AT_FLOOR_RATIO: Final = 1e-9
_ALIKE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class PromisePrice:
    """What one promise costs the others.

    Attributes
    ----------
    kind : str
        ``"floor"``: of one bearer. ``"tier_weight"``: that a tier counts more than the others do; compared
        with weights scaled to the others' mean. ``"tier_floors"``: all floors of a tier together.
        ``"group_min"``.
    name : str
        The subscriber, the tier, or the group.
    members : tuple of int
        The bearers to whom it was made.
    own_mos, others_mos : float
        By how much the mean MOS of these is higher, and that of the others lower, than without it.
    """

    kind: str
    name: str
    members: tuple[int, ...]
    own_mos: float
    others_mos: float


@dataclass(frozen=True, slots=True)
class Lift:
    """A promise, and the program without it."""

    kind: str
    name: str
    members: tuple[int, ...]
    program: Program

    def price(self, with_it: FloatArray, without: FloatArray) -> PromisePrice:
        """Compare the MOS of all bearers with and without the promise."""
        own, others = split_means(with_it - without, self.members)
        return PromisePrice(self.kind, self.name, self.members, own, 0.0 - others)


def split_means(change: FloatArray, members: tuple[int, ...]) -> tuple[float, float]:
    """Mean over some bearers and over the others; 0 over none."""
    inside = np.zeros(change.size, np.bool_)
    inside[list(members)] = True
    own, others = change[inside], change[~inside]
    return float(own.mean()) if own.size else 0.0, float(others.mean()) if others.size else 0.0


def relaxed_mos(program: Program, relaxed: Relaxed) -> FloatArray:
    """MOS of a relaxation of the weighted sum, on the concave hulls."""
    weight = program.weight
    on_curve = evaluate(program.heights, relaxed.share)
    return np.divide(relaxed.hull, weight, out=on_curve, where=weight > 0.0)


def lifts(problem: CellProblem, kept: Kept, program: Program, now: Relaxed) -> Iterator[Lift]:
    """List the promises that bind somebody, each with the program that lacks it.

    Parameters
    ----------
    problem : CellProblem
        A checked cell.
    kept : Kept
        Its promises.
    program : Program
        The weighted sum of MOS under them.
    now : Relaxed
        Its relaxation.
    """
    binding = (kept.floor > 0.0) & (now.share <= program.low + _AT_FLOOR_RATIO * program.budget)
    for i in np.flatnonzero(binding):
        yield Lift("floor", problem.subscriber[i], (int(i),), _without_floors(program, kept, np.array([i])))
    for tier in dict.fromkeys(filter(None, problem.tier)):
        members = np.array([i for i, name in enumerate(problem.tier) if name == tier])
        levelled = _levelled(program, members)
        if levelled is not None:
            yield Lift("tier_weight", tier, tuple(members.tolist()), levelled)
        if binding[members].any():
            without = _without_floors(program, kept, members)
            yield Lift("tier_floors", tier, tuple(members.tolist()), without)
    for g, group in enumerate(program.groups):
        if group.min_share_ratio > 0.0:
            free = replace(group, min_share_ratio=0.0)
            groups = (*program.groups[:g], free, *program.groups[g + 1 :])
            yield Lift("group_min", group.name, group.members, replace(program, groups=groups))


def _without_floors(program: Program, kept: Kept, members: IntArray) -> Program:
    low = program.low.copy()
    low[members] -= kept.floor[members]
    return replace(program, low=low)


def _levelled(program: Program, members: IntArray) -> Program | None:
    """Scale the weights of some to the mean of the others'; None if they count no more than those."""
    inside = np.zeros(program.weight.size, np.bool_)
    inside[members] = True
    if inside.all():
        return None
    own, others = program.weight[inside].mean(), program.weight[~inside].mean()
    if own <= others * (1.0 + _ALIKE):
        return None
    return replace(program, weight=np.where(inside, program.weight * others / own, program.weight))
