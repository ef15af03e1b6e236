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
from qoe.schema import BoolArray, FloatArray

_SLACK_RATIO: Final = 1e-12
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Kept:
    """The promises that a cell can keep together.

    Attributes
    ----------
    low, floor, high : ndarray of float64, shape (n_bearers,)
        Lower bounds of the shares, all promises included; the part that stands for a floor alone (what
        `low` would be without it is ``low - floor``); upper bounds, 0 for who was not admitted.
    groups : tuple of Group
        As in the problem, minima that cannot be met set to 0.
    shed : tuple of Shed
        Promises not kept in full.
    """

    low: FloatArray
    floor: FloatArray
    high: FloatArray
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
    """Find out which minima, guaranteed rates and floors fit together.

    A floor is turned into the least share that reaches it, and capped at `floor_cap_ratio` of the budget; a
    guaranteed rate that needs more than that is refused. If all promises fit, all are kept. Otherwise they
    are admitted one by one while the rest fits: minima of bearers, minima of groups, guaranteed rates,
    floors. Minima and floors go by tier, and within a tier the cheapest first, so that most are kept;
    guaranteed rates by their level of priority, and within a level by what they are worth a share, those
    that run already ahead by the stickiness. Who is refused its rate gets nothing.

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
    rates = _rate_shares(problem)
    hopeless = rates > _airtime_cap(problem)
    admission = _Admission(problem, hopeless)
    low = np.maximum(np.maximum(problem.min_share_ratio, floors), rates)
    if not hopeless.any() and fits(problem, low, admission.high, problem.groups):
        shed = tuple(_cut_floors(problem, need, floors))
        plain = np.maximum(problem.min_share_ratio, rates)
        return Kept(low, low - plain, admission.high, problem.groups, shed)
    for promise in _in_order(problem, floors, np.where(hopeless, 0.0, rates)):
        admission.ask(promise)
    plain = np.minimum(admission.low, np.maximum(problem.min_share_ratio, rates))
    return Kept(
        admission.low,
        admission.low - plain,
        admission.high,
        admission.groups,
        _all_shed(problem, admission, need, rates, floors),
    )


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
        for p in _in_order(problem, floors, _rate_shares(problem))
    )


def _name(problem: CellProblem, promise: _Promise) -> str:
    if promise.kind == "group_min":
        return problem.groups[promise.index].name
    return problem.subscriber[promise.index]


def _capped(problem: CellProblem, need: FloatArray) -> FloatArray:
    """Least share that gives what the floor would give within the cap and the bearer's own maximum."""
    cap = _airtime_cap(problem)
    within = evaluate(problem.curves, cap)
    best = invert(problem.curves, np.fmin(within, problem.floor_mos))
    return np.where(need <= cap, need, np.minimum(best, cap))


def _cut_floors(problem: CellProblem, need: FloatArray, grant: FloatArray) -> Iterator[Shed]:
    reached = evaluate(problem.curves, grant)
    for i in np.flatnonzero(reached < problem.floor_mos - _ROUNDING):
        reachable = not math.isnan(need[i]) and need[i] <= problem.max_share_ratio[i]
        reason = "airtime_cap" if reachable else "unreachable"
        yield Shed("floor", int(i), problem.subscriber[i], reason, float(need[i]), float(grant[i]))


def _airtime_cap(problem: CellProblem) -> FloatArray:
    """Largest share that one promise may reserve."""
    return np.minimum(problem.floor_cap_ratio * problem.budget_ratio, problem.max_share_ratio)


def _rate_shares(problem: CellProblem) -> FloatArray:
    """Share that each guaranteed rate needs, 0 where none is promised; infinite without efficiency."""
    none = np.isnan(problem.gbr_bps)
    with np.errstate(divide="ignore"):
        return np.where(none, 0.0, np.where(none, 1.0, problem.gbr_bps) / problem.efficiency_bps)


class _Admission:
    """Promises admitted so far, and those refused."""

    def __init__(self, problem: CellProblem, hopeless: BoolArray) -> None:
        self.problem = problem
        self.low = np.zeros(problem.n_bearers)
        self.high = np.where(hopeless, 0.0, problem.max_share_ratio)
        self.groups = tuple(replace(group, min_share_ratio=0.0) for group in problem.groups)
        self.refused: list[_Promise] = []

    def ask(self, promise: _Promise) -> None:
        """Admit a promise if it fits with all that are admitted; refuse it otherwise."""
        low, groups, i = self.low.copy(), self.groups, promise.index
        if promise.kind == "group_min":
            groups = (*groups[:i], self.problem.groups[i], *groups[i + 1 :])
        else:
            low[i] = max(low[i], promise.share)
        if fits(self.problem, low, self.high, groups):
            self.low, self.groups = low, groups
            return
        self.refused.append(promise)
        if promise.kind == "gbr":
            self.low[i] = self.high[i] = 0.0
            self._recall_minima(i)

    def _recall_minima(self, i: int) -> None:
        """Give up the minima of groups that cannot be met without bearer i."""
        for g, group in enumerate(self.groups):
            if i in group.members and not fits(self.problem, self.low, self.high, self.groups):
                self.refused.append(_Promise("group_min", g, group.min_share_ratio))
                bare = replace(group, min_share_ratio=0.0)
                self.groups = (*self.groups[:g], bare, *self.groups[g + 1 :])


def _all_shed(
    problem: CellProblem, admission: _Admission, need: FloatArray, rates: FloatArray, floors: FloatArray
) -> tuple[Shed, ...]:
    """Name every promise that is not kept in full, each once."""
    out = admission.high < problem.max_share_ratio  # refused their rate
    shed = [
        Shed("gbr", int(i), problem.subscriber[i], _why_not(problem, float(rates[i])), float(rates[i]), 0.0)
        for i in np.flatnonzero(out)
    ]
    unkept = evaluate(problem.curves, np.zeros(out.size)) < problem.floor_mos
    for kind, shares, lost in (
        ("min_share", problem.min_share_ratio, problem.min_share_ratio > 0.0),
        ("floor", need, unkept),
    ):
        shed += [
            Shed(kind, int(i), problem.subscriber[i], "not_admitted", float(shares[i]), 0.0)
            for i in np.flatnonzero(out & lost)
        ]
    dropped = {p.index for p in admission.refused if p.kind == "floor"} | set(np.flatnonzero(out).tolist())
    shed += [s for s in _cut_floors(problem, need, floors) if s.index not in dropped]
    for promise in admission.refused:
        if promise.kind == "gbr" or (promise.kind != "group_min" and out[promise.index]):
            continue
        is_floor = promise.kind == "floor"
        share = float(need[promise.index]) if is_floor else promise.share
        granted = float(admission.low[promise.index]) if is_floor else 0.0
        shed.append(Shed(promise.kind, promise.index, _name(problem, promise), "capacity", share, granted))
    return tuple(shed)


def _why_not(problem: CellProblem, share: float) -> str:
    """Why a guaranteed rate is refused."""
    if share <= problem.floor_cap_ratio * problem.budget_ratio:
        return "capacity"
    return "airtime_cap" if math.isfinite(share) else "unreachable"


def _in_order(problem: CellProblem, floors: FloatArray, rates: FloatArray) -> list[_Promise]:
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
    worth = _worth(problem, rates)
    who = sorted(np.flatnonzero(rates > 0.0), key=lambda i: (problem.arp_level[i], -worth[i], i))
    guaranteed = [_Promise("gbr", int(i), float(rates[i])) for i in who]
    return by_tier("min_share", problem.min_share_ratio) + groups + guaranteed + by_tier("floor", floors)


def _worth(problem: CellProblem, rates: FloatArray) -> FloatArray:
    """Weighted MOS that each guaranteed rate brings, for a unit of share."""
    gain = evaluate(problem.curves, rates) - evaluate(problem.curves, np.zeros_like(rates))
    running = np.nan_to_num(problem.share_running_ratio) >= rates * (1.0 - _ROUNDING)
    gain = problem.weight * gain * np.where(running, problem.stickiness, 1.0)
    return np.divide(gain, rates, out=np.zeros_like(rates), where=rates > 0.0)


def fits(problem: CellProblem, low: FloatArray, high: FloatArray, groups: tuple[Group, ...]) -> bool:
    """Tell whether some shares respect these bounds and everything else.

    Parameters
    ----------
    problem : CellProblem
        The cell: its budget.
    low, high : ndarray of float64, shape (n_bearers,)
        Bounds of the shares.
    groups : tuple of Group
        Bounds of sums.

    Returns
    -------
    bool
    """
    if not (low <= high * (1.0 + _SLACK_RATIO)).all():
        return False
    if not disjoint(groups):
        from qoe.optimise.general import feasible

        return feasible(low, high, groups, problem.budget_ratio)
    total = low.sum()
    for group in groups:
        members = list(group.members)
        sure = low[members].sum()
        need = max(group.min_share_ratio, sure)
        most = high[members].sum() * (1.0 + _SLACK_RATIO)
        if need > group.max_share_ratio * (1.0 + _SLACK_RATIO) or need > most:
            return False
        total += need - sure
    return bool(total <= problem.budget_ratio * (1.0 + _SLACK_RATIO))
