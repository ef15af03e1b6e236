"""Which promises a cell can keep together, by the priority of the intents behind them.

Promises are admitted one by one while the rest fits: intents in order of their priority, within an intent the
cheapest bearer first, so that most are kept; what the cells file promises to tiers comes last. What is left
out is a conflict that names the intents that came first, and the share that is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qoe.intent.compiling import Compiled, GroupTarget
from qoe.intent.conflicts import Conflict, describe
from qoe.intent.model import MOS_RANGE
from qoe.schema import FloatArray

Need: TypeAlias = Callable[[FloatArray], FloatArray]
"""Least share at which each bearer reaches a MOS, shape (n_bearers,) both; NaN where none does."""

_SLACK_RATIO: Final = 1e-12
_STEP_MOS: Final = 0.5


class Reason(StrEnum):
    """Why an intent is not met."""

    CAPACITY = "capacity"
    """The cell is too small for it, whoever else there is."""
    PRIORITY = "priority"
    """It would fit were it not for intents that rank before it."""
    AIRTIME_CAP = "airtime_cap"
    """It would take more of the cell than one promise may."""
    RADIO = "radio"
    """The whole cell would not do: the bearer's radio, or its path, is too poor."""
    SHARE_CAP = "share_cap"
    """An intent holds the bearer's group to less."""
    DELIVERY = "delivery"
    """It was granted what should have done, and got less."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What of the intents fits into the cell.

    Attributes
    ----------
    floor_mos : ndarray of float64, shape (n_bearers,)
        MOS to promise; NaN: none.
    min_share_ratio : ndarray of float64, shape (n_bearers,)
        Least shares: those given, and what the rates need.
    groups : tuple of GroupTarget
        Bounds on shares that fit.
    reasons : mapping of (int, int) to Reason
        By intent and bearer, why what the intent asks for is not (wholly) granted.
    group_reasons : mapping of int to Reason
        By intent, why its group's minimum is not granted.
    left_out : tuple of int
        Bearers whose floor, promised anyway, finds no room beside the intents.
    conflicts : tuple of Conflict
        The same in words, one an intent and reason.
    """

    floor_mos: FloatArray
    min_share_ratio: FloatArray
    groups: tuple[GroupTarget, ...]
    reasons: Mapping[tuple[int, int], Reason]
    group_reasons: Mapping[int, Reason]
    left_out: tuple[int, ...]
    conflicts: tuple[Conflict, ...]


def admit(
    compiled: Compiled,
    need: Need,
    *,
    efficiency_bps: npt.ArrayLike = math.inf,
    floor_mos: npt.ArrayLike = math.nan,
    min_share_ratio: npt.ArrayLike = 0.0,
    budget_ratio: float = 1.0,
    floor_cap_ratio: float = 0.5,
) -> Admission:
    """Find out which promises fit together.

    Parameters
    ----------
    compiled : Compiled
        Of `compile_intents`.
    need : callable
        Least share that reaches a MOS, by bearer: the inverse of the curves.
    efficiency_bps : array_like, shape (n_bearers,)
        Rate of each bearer had it the whole cell.
    floor_mos, min_share_ratio : array_like, shape (n_bearers,)
        What is promised anyway (NaN, 0: nothing); the shares are kept whatever the intents say.
    budget_ratio, floor_cap_ratio : float
        Sum of all shares; largest part of it that one bearer's floor may reserve.

    Returns
    -------
    Admission
    """
    n_bearers = len(compiled.subscriber)
    base_floor = np.broadcast_to(np.asarray(floor_mos, np.float64), (n_bearers,))
    low = np.array(np.broadcast_to(np.asarray(min_share_ratio, np.float64), (n_bearers,)))
    desk = _Desk(compiled, low, budget_ratio, budget_ratio * floor_cap_ratio)
    efficiency = np.broadcast_to(np.asarray(efficiency_bps, np.float64), (n_bearers,))
    for i in compiled.in_order:
        target = compiled.intents[i].target
        if target.mos_at_least is not None:
            desk.floors(i, compiled.floors_mos[i], target.mos_at_least, need)
        elif target.rate_at_least_bps is not None:
            desk.rates(i, compiled.rates_bps[i], efficiency)
        elif target.kind == "share" and i in compiled.group_intent:
            desk.group(i, compiled.groups[compiled.group_intent.index(i)])
    desk.base(base_floor, need)
    return Admission(
        desk.floor,
        desk.min_share,
        tuple(desk.granted),
        desk.reasons,
        desk.group_reasons,
        tuple(desk.left_out),
        desk.conflicts(),
    )


@dataclass
class _Missing:
    """What one intent lacks for one reason: shares beyond what is reserved anyway, and what room is left."""

    bearers: list[int] = field(default_factory=list)
    share: float = 0.0
    room: float = 0.0


class _Desk:
    """Takes promises one after another and keeps the books."""

    def __init__(self, compiled: Compiled, low: FloatArray, budget: float, cap: float) -> None:
        self._compiled, self._budget, self._cap = compiled, budget, cap
        self._low = low  # with all that was admitted
        self._without = low.copy()  # with no intent
        self._alone = low.copy()  # with the intent at hand and no other
        self.min_share = low.copy()
        self.floor = np.full(low.size, np.nan)
        self.left_out: list[int] = []
        self.granted = [
            g._replace(min_share_ratio=0.0) for g in compiled.groups if g.max_share_ratio < math.inf
        ]
        self.reasons: dict[tuple[int, int], Reason] = {}
        self.group_reasons: dict[int, Reason] = {}
        self._admitted: list[int] = []
        self._missing: dict[tuple[int, Reason], _Missing] = {}

    def floors(self, i: int, asked_mos: FloatArray, target_mos: float, need: Need) -> None:
        """Take the floors of one intent, those that had to be lowered last."""
        self._alone = self._without.copy()
        plain = np.where(np.isnan(asked_mos), np.nan, target_mos)
        share = need(plain)
        for b in map(int, np.flatnonzero(~np.isnan(plain) & ~(share <= self._cap))):
            hopeless = math.isnan(share[b]) or share[b] > self._budget
            reason, short = (
                (Reason.RADIO, math.nan) if hopeless else (Reason.AIRTIME_CAP, share[b] - self._cap)
            )
            self._lack(i, b, reason, short)
        floor, share = self._within_cap(asked_mos, plain, need)
        for b in sorted(self._cheapest_first(i, share), key=lambda b: bool(floor[b] < plain[b])):
            if self._take(i, b, share[b]):
                self.floor[b] = np.fmax(self.floor[b], floor[b])

    def rates(self, i: int, asked_bps: FloatArray, efficiency_bps: FloatArray) -> None:
        """Take the rates of one intent."""
        self._alone = self._without.copy()
        share = np.divide(
            asked_bps, efficiency_bps, out=np.full(asked_bps.size, math.inf), where=efficiency_bps > 0
        )
        for b in self._cheapest_first(i, share):
            if share[b] > self._budget:
                self._lack(i, b, Reason.RADIO, math.nan)
            elif self._take(i, b, share[b]):
                self.min_share[b] = max(self.min_share[b], share[b])

    def group(self, i: int, group: GroupTarget) -> None:
        """Take the minimum of a group; its maximum holds anyway."""
        self._alone = self._without
        others = [g for g in self.granted if g.name != group.name]
        short = self._short(self._low, [*others, group])
        if short <= 0.0:
            self.granted = [*others, group]
            self._admitted += [i] * (group.min_share_ratio > 0.0)
        else:
            reason = self._why([*self._maxima(others), group])
            self.group_reasons[i] = reason
            self._missing[i, reason] = _Missing(list(group.members), min(short, group.min_share_ratio))

    def base(self, floor_mos: FloatArray, need: Need) -> None:
        """Take what is promised anyway, as far as the intents leave room for it."""
        share = np.minimum(need(floor_mos), self._cap)
        share = np.where(np.isnan(share), self._cap, share)
        who = np.flatnonzero(~np.isnan(floor_mos))
        for b in who[np.argsort(share[who], kind="stable")]:
            low = self._low.copy()
            low[b] = max(low[b], share[b])
            if self._short(low, self.granted) > 0.0:
                self.left_out.append(int(b))
                continue
            self._low = low
            self.floor[b] = np.fmax(self.floor[b], floor_mos[b])

    def conflicts(self) -> tuple[Conflict, ...]:
        """Say what was left out, first for whom ranks first."""
        missing = sorted(self._missing, key=lambda key: (self._compiled.intents[key[0]].priority, key))
        return tuple(self._conflict(i, reason, self._missing[i, reason]) for i, reason in missing)

    def _within_cap(
        self, asked_mos: FloatArray, plain: FloatArray, need: Need
    ) -> tuple[FloatArray, FloatArray]:
        """Lower each floor, by half a MOS at a time, to what the cap lets it have; NaN: nothing."""
        floor, share = asked_mos.copy(), need(asked_mos)
        while (over := ~np.isnan(floor) & ~(share <= self._cap)).any():
            lower = np.where(floor > plain, plain, floor - _STEP_MOS)
            floor = np.where(over, np.where(lower > MOS_RANGE[0], lower, np.nan), floor)
            share = need(floor)
        return floor, share

    def _cheapest_first(self, i: int, share: FloatArray) -> list[int]:
        who = np.flatnonzero(self._compiled.concerned[i] & ~np.isnan(share))
        return [int(b) for b in who[np.argsort(share[who], kind="stable")]]

    def _take(self, i: int, b: int, share: float) -> bool:
        """Reserve a share for a bearer, if everything still fits."""
        low = self._low.copy()
        low[b] = max(low[b], share)
        self._alone[b] = max(self._alone[b], share)
        short = self._short(low, self.granted)
        if short > 0.0:
            more = share - self._low[b]
            self._lack(i, b, self._why(self._maxima(self.granted)), more, max(more - short, 0.0))
            self._alone[b] = self._without[b]
            return False
        self._low = low
        if i not in self._admitted:
            self._admitted.append(i)
        return True

    def _lack(self, i: int, b: int, reason: Reason, share: float, room: float = 0.0) -> None:
        if (i, b) in self.reasons:
            return
        self.reasons[i, b] = reason
        missing = self._missing.setdefault((i, reason), _Missing())
        missing.bearers.append(b)
        missing.share, missing.room = missing.share + share, room

    @staticmethod
    def _maxima(groups: list[GroupTarget]) -> list[GroupTarget]:
        return [group._replace(min_share_ratio=0.0) for group in groups]

    def _why(self, groups: list[GroupTarget]) -> Reason:
        """Tell why the intent at hand does not fit, by whether it would if no other were there."""
        if any(self._alone[list(g.members)].sum() > g.max_share_ratio * (1 + _SLACK_RATIO) for g in groups):
            return Reason.SHARE_CAP
        return Reason.CAPACITY if self._short(self._alone, groups) > 0.0 else Reason.PRIORITY

    def _short(self, low: FloatArray, groups: list[GroupTarget]) -> float:
        """Share that is missing for lower bounds and groups to hold together; 0: none.

        Groups that overlap are taken one by one, which may ask for more than is needed, never for less.
        """
        total, short = float(low.sum()), 0.0
        for group in groups:
            sure = float(low[list(group.members)].sum())
            short = max(short, sure - group.max_share_ratio * (1.0 + _SLACK_RATIO))
            total += max(group.min_share_ratio - sure, 0.0)
        return max(short, total - self._budget * (1.0 + _SLACK_RATIO), 0.0)

    def _conflict(self, i: int, reason: Reason, missing: _Missing) -> Conflict:
        intent = self._compiled.intents[i]
        before = [k for k in self._admitted if k != i] if reason is Reason.PRIORITY else []
        names = (*(self._compiled.intents[k].name for k in before), intent.name)
        who = ", ".join(sorted({self._compiled.subscriber[b] for b in missing.bearers}))
        asked = f"{intent.target} for {describe(intent)}"
        shortfall = missing.share - missing.room
        share = f"{shortfall:.1%} of the cell"
        why, change = {
            Reason.CAPACITY: (
                f"{asked} needs {share} more than there is",
                "lower the target, name fewer users, or add capacity",
            ),
            Reason.PRIORITY: (
                f"{asked} needs {share} more than the intents before it leave",
                "lower their targets, or give it a lower number as priority",
            ),
            Reason.AIRTIME_CAP: (
                f"{asked} needs {share} more than one promise may reserve ({self._cap:.0%})",
                "lower the target or raise the cap on one floor",
            ),
            Reason.RADIO: (
                f"{asked} is out of reach: the whole cell would not do",
                "lower the target for them, or mend their radio or path",
            ),
            Reason.SHARE_CAP: (
                f"{asked} needs {share} more than the group's maximum",
                "raise share_at_most or lower the target",
            ),
        }[reason]
        return Conflict(
            str(reason),
            names,
            who,
            "now",
            why,
            change,
            cell=self._compiled.cell,
            shortfall_share_ratio=shortfall,
        )
