"""From promises to lower bounds that can all be kept: what does not fit is shed, by tier, and named."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qoe.optimise.allocation import Shed
from qoe.optimise.curves import evaluate, invert
from qoe.optimise.problem import CellProblem, Group
from qoe.schema import FloatArray

_SLACK_RATIO: Final = 1e-12
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Kept:
    """The promises that a cell can keep together.

    Attributes
    ----------
    low, floor : ndarray of float64, shape (n_bearers,)
        Lower bounds of the shares, all promises included; the part that stands for a floor alone (what
        `low` would be without it is ``low - floor``).
    groups : tuple of Group
        As in the problem, minima that cannot be met set to 0.
    shed : tuple of Shed
        Promises not kept in full.
    """

    low: FloatArray
    floor: FloatArray
    groups: tuple[Group, ...]
    shed: tuple[Shed, ...]


@dataclass(frozen=True, slots=True)
class _Promise:
    kind: str
    index: int
    share: float  # that it reserves


def disjoint(groups: tuple[Group, ...]) -> bool:
    """Tell whether no bearer is in two groups."""
    members = [m for group in groups for m in group.members]
    return len(members) == len(set(members))


def keep_promises(problem: CellProblem) -> Kept:
    """Find out which minima and floors fit together.

    A floor is turned into the least share that reaches it, and capped at `floor_cap_ratio` of the budget.
    If all promises fit, all are kept. Otherwise they are admitted one by one while the rest fits: minima
    of bearers, minima of groups, floors; each kind by tier, and within a tier the cheapest first, so that
    most are kept.

    Parameters
    ----------
    problem : CellProblem
        A checked cell.

    Returns
    -------
    Kept
    """
    need = invert(problem.curves, problem.floor_mos)
    grant = _capped(problem, need)
    floors = np.where(np.isnan(problem.floor_mos), 0.0, np.maximum(grant, problem.min_share_ratio))
    low = np.maximum(problem.min_share_ratio, floors)
    shed = list(_cut_floors(problem, need, floors))
    if _fits(problem, low, problem.groups):
        return Kept(low, low - problem.min_share_ratio, problem.groups, tuple(shed))
    low, groups, refused = _admit(problem, floors)
    dropped = {p.index for p in refused if p.kind == "floor"}
    shed = [s for s in shed if s.index not in dropped]
    for promise in refused:
        share = float(need[promise.index]) if promise.kind == "floor" else promise.share
        granted = float(low[promise.index]) if promise.kind == "floor" else 0.0
        shed.append(Shed(promise.kind, promise.index, _name(problem, promise), "capacity", share, granted))
    floor = np.maximum(low - problem.min_share_ratio, 0.0)
    return Kept(low, floor, groups, tuple(shed))


def shed_all(problem: CellProblem) -> tuple[Shed, ...]:
    """Name every promise of a cell that has nothing to give."""
    need = invert(problem.curves, problem.floor_mos)
    floors = np.where(np.isnan(problem.floor_mos), 0.0, np.where(np.isnan(need), np.inf, need))
    return tuple(
        Shed(
            p.kind,
            p.index,
            _name(problem, p),
            "capacity",
            p.share if math.isfinite(p.share) else math.nan,
            0.0,
        )
        for p in _in_order(problem, floors)
    )


def _name(problem: CellProblem, promise: _Promise) -> str:
    if promise.kind == "group_min":
        return problem.groups[promise.index].name
    return problem.subscriber[promise.index]


def _capped(problem: CellProblem, need: FloatArray) -> FloatArray:
    """Least share that gives what the floor would give within the cap and the bearer's own maximum."""
    cap = np.minimum(problem.floor_cap_ratio * problem.budget_ratio, problem.max_share_ratio)
    within = evaluate(problem.curves, cap)
    best = invert(problem.curves, np.fmin(within, problem.floor_mos))
    return np.where(need <= cap, need, np.minimum(best, cap))


def _cut_floors(problem: CellProblem, need: FloatArray, grant: FloatArray) -> Iterator[Shed]:
    reached = evaluate(problem.curves, grant)
    for i in np.flatnonzero(reached < problem.floor_mos - _ROUNDING):
        reachable = not math.isnan(need[i]) and need[i] <= problem.max_share_ratio[i]
        reason = "airtime_cap" if reachable else "unreachable"
        yield Shed("floor", int(i), problem.subscriber[i], reason, float(need[i]), float(grant[i]))


def _admit(problem: CellProblem, floors: FloatArray) -> tuple[FloatArray, tuple[Group, ...], list[_Promise]]:
    low = np.zeros(problem.n_bearers)
    groups = tuple(replace(group, min_share_ratio=0.0) for group in problem.groups)
    refused: list[_Promise] = []
    for promise in _in_order(problem, floors):
        more_low, more_groups = low, groups
        if promise.kind == "group_min":
            same = problem.groups[promise.index]
            more_groups = (*groups[: promise.index], same, *groups[promise.index + 1 :])
        else:
            more_low = low.copy()
            more_low[promise.index] = max(low[promise.index], promise.share)
        if _fits(problem, more_low, more_groups):
            low, groups = more_low, more_groups
        else:
            refused.append(promise)
    return low, groups, refused


def _in_order(problem: CellProblem, floors: FloatArray) -> list[_Promise]:
    worst = len(problem.tiers)
    rank = [problem.tiers.index(t) if t in problem.tiers else worst for t in problem.tier]

    def by_tier(kind: str, shares: FloatArray) -> list[_Promise]:
        who = sorted(np.flatnonzero(shares > 0.0), key=lambda i: (rank[i], shares[i], i))
        return [_Promise(kind, int(i), float(shares[i])) for i in who]

    groups = [
        _Promise("group_min", g, group.min_share_ratio)
        for g, group in enumerate(problem.groups)
        if group.min_share_ratio > 0.0
    ]
    return by_tier("min_share", problem.min_share_ratio) + groups + by_tier("floor", floors)


def _fits(problem: CellProblem, low: FloatArray, groups: tuple[Group, ...]) -> bool:
    """Tell whether some shares respect these lower bounds and everything else."""
    if not disjoint(groups):
        from qoe.optimise.general import feasible

        return feasible(low, problem.max_share_ratio, groups, problem.budget_ratio)
    total = low.sum()
    for group in groups:
        members = list(group.members)
        sure = low[members].sum()
        need = max(group.min_share_ratio, sure)
        if (
            need > group.max_share_ratio * (1.0 + _SLACK_RATIO)
            or need > problem.max_share_ratio[members].sum()
        ):
            return False
        total += need - sure
    return bool(total <= problem.budget_ratio * (1.0 + _SLACK_RATIO))
