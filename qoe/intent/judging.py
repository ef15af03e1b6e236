"""What became of the intents in one interval of one cell, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import numpy as np

from qoe.intent.admission import Admission, Reason
from qoe.intent.compiling import Compiled
from qoe.intent.model import Intent
from qoe.schema import BoolArray, FloatArray

_ROUNDING: Final = 1e-9
_SHED_REASONS: Final = {"airtime_cap": Reason.AIRTIME_CAP, "unreachable": Reason.RADIO}


class Shed(Protocol):
    """A promise that the optimiser could not keep."""

    @property
    def kind(self) -> str:
        """What it is: ``"floor"`` is one."""

    @property
    def index(self) -> int:
        """Of the bearer."""

    @property
    def reason(self) -> str:
        """Why."""


class Allocation(Protocol):
    """What an optimiser granted: shares, rates and MOS of the bearers, and what it shed."""

    @property
    def share_ratio(self) -> FloatArray:
        """Share of each bearer."""

    @property
    def rate_bps(self) -> FloatArray:
        """Rate of each."""

    @property
    def mos_after(self) -> FloatArray:
        """MOS that the share is worth on the bearer's curve."""

    @property
    def shed(self) -> Sequence[Shed]:
        """Promises that were not kept."""


class State(StrEnum):
    """What became of an intent in one interval."""

    MET = "met"
    NOT_MET = "not_met"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One intent in one interval of one cell.

    Attributes
    ----------
    at_s : float
        Seconds since 1970.
    cell, direction, intent : str
        Where, and its name.
    state : State
    n_bearers, n_met : int
        Bearers concerned that could be judged, and those that have what was asked for.
    value, target : float
        What was measured and what was asked for: MOS (mean of the bearers), difference in MOS, rate (least,
        bit/s), share or weight; NaN: not measured.
    reason : Reason or None
        Of those that miss it, the most frequent; None where it is met or does not apply.
    """

    at_s: float
    cell: str
    direction: str
    intent: str
    state: State
    n_bearers: int
    n_met: int
    value: float
    target: float
    reason: Reason | None


class Judge:
    """Judges the intents of one interval of one cell."""

    def __init__(
        self,
        compiled: Compiled,
        mos: FloatArray,
        allocation: Allocation | None,
        admission: Admission | None,
        tolerance: float,
    ) -> None:
        self._compiled, self._mos = compiled, mos
        self._allocation, self._admission, self._tolerance = allocation, admission, tolerance
        self._judged = np.isfinite(mos)

    def outcome(self, i: int) -> Outcome:
        """Judge one intent."""
        intent = self._compiled.intents[i]
        target, kind = target_value(intent), intent.target.kind
        who = self._compiled.concerned[i] & self._judged
        match kind:
            case "mos_at_least":
                good = who & (self._mos >= target - self._tolerance)
                met = good.sum() >= intent.target.users_ratio * who.sum() - _ROUNDING
                value = _mean(self._mos[who])
            case "better_than":
                against = self._compiled.others[i] & self._judged
                value = _mean(self._mos[who]) - _mean(self._mos[against])
                met = value >= target - self._tolerance
                good = who & met
            case "weight":
                good, met, value = who, True, target
            case "rate_at_least":
                rate = self._granted("rate_bps")
                good = who & (rate >= target * (1.0 - _ROUNDING))
                met, value = bool(good.sum() == who.sum()), float(rate[who].min(initial=math.inf))
            case _:
                value = float(self._granted("share_ratio")[self._compiled.concerned[i]].sum())
                met = self._within(i, value)
                good = who & met
        return self._outcome(i, who, good, bool(met), value, target)

    def _outcome(
        self, i: int, who: BoolArray, good: BoolArray, met: bool, value: float, target: float
    ) -> Outcome:
        n_bearers = int(who.sum())
        state = State.MET if met else State.NOT_MET
        if n_bearers == 0 or not math.isfinite(value):
            state, value = State.NOT_APPLICABLE, math.nan
        return Outcome(
            self._compiled.at_s,
            self._compiled.cell,
            self._compiled.direction,
            self._compiled.intents[i].name,
            state,
            n_bearers,
            int(good.sum()),
            value,
            target,
            self._reason(i, who & ~good) if state is State.NOT_MET else None,
        )

    def undelivered_mos(self, i: int) -> float:
        """How much less than the target the worst bearer got that was promised it; 0: none."""
        if self._allocation is None:
            return 0.0
        target = target_value(self._compiled.intents[i])
        promised = self._compiled.concerned[i] & self._judged
        promised &= self._allocation.mos_after >= target - self._tolerance
        return float(np.max(target - self._mos[promised], initial=0.0))

    def _granted(self, what: str) -> FloatArray:
        """Read from the allocation; NaN without one."""
        if self._allocation is None:
            return np.full(self._mos.size, np.nan)
        granted: FloatArray = getattr(self._allocation, what)
        return granted

    def _within(self, i: int, value: float) -> bool:
        least = self._compiled.intents[i].target.share_at_least or 0.0
        most = self._compiled.intents[i].target.share_at_most
        return least - _ROUNDING <= value and (most is None or value <= most + _ROUNDING)

    def _reason(self, i: int, missing: BoolArray) -> Reason:
        """Of the bearers that miss it, the most frequent reason; the first in doubt."""
        group = self._admission.group_reasons.get(i) if self._admission else None
        if group is not None:
            return group
        counts = Counter(self._why(i, int(b)) for b in np.flatnonzero(missing))
        return counts.most_common(1)[0][0] if counts else Reason.CAPACITY

    def _why(self, i: int, b: int) -> Reason:
        if self._admission and (i, b) in self._admission.reasons:
            return self._admission.reasons[i, b]
        if self._allocation is None:
            return Reason.CAPACITY
        for shed in self._allocation.shed:
            if shed.kind == "floor" and shed.index == b:
                return _SHED_REASONS.get(shed.reason, Reason.CAPACITY)
        intent = self._compiled.intents[i]
        if intent.target.mos_at_least is None:
            return Reason.CAPACITY
        promised = self._allocation.mos_after[b] >= intent.target.mos_at_least - self._tolerance
        return Reason.DELIVERY if promised else Reason.CAPACITY


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else math.nan


def target_value(intent: Intent) -> float:
    """Give the number that an intent asks for: MOS, difference in MOS, weight, bit/s or share."""
    target = intent.target
    values = {
        "mos_at_least": target.mos_at_least,
        "better_than": target.margin_mos,
        "weight": target.weight,
        "rate_at_least": target.rate_at_least_bps,
        "share": target.share_at_least if target.share_at_least is not None else target.share_at_most,
    }
    value = values[target.kind]
    return math.nan if value is None else float(value)
