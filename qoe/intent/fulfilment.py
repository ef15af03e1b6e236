"""Whether intents are met, interval by interval, and why not; what the loop learns from it.

An interval of one cell in one direction counts for every intent that holds there: met, not met, or not
applicable because nobody whom it concerns had traffic that can be judged. States are those of 3GPP TS 28.312
(FulfilStatus, NotFulfilledState).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from qoe.intent.admission import Admission, Reason
from qoe.intent.compiling import Compiled
from qoe.intent.judging import Allocation, Judge, Outcome, State, target_value
from qoe.intent.model import Intent, IntentsFile
from qoe.intent.steering import learn, learnt
from qoe.schema import FloatArray

_ROUNDING: Final = 1e-9


class Status(StrEnum):
    """State of an intent: FulfilStatus and NotFulfilledState of 3GPP TS 28.312 in one."""

    FULFILLED = "FULFILLED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """Read; it has not held in any interval yet."""
    COMPLIANT = "COMPLIANT"
    """It holds, and nothing speaks against it: nobody whom it concerns has traffic."""
    DEGRADED = "DEGRADED"
    """Not met of late, for a reason that may pass."""
    SUSPENDED = "SUSPENDED"
    """Outside its days and hours."""
    TERMINATED = "TERMINATED"
    """Expired."""
    FULFILMENTFAILED = "FULFILMENTFAILED"
    """Not met of late, and out of reach while radio or path stay as they are."""


@dataclass(slots=True)
class Spell:
    """Consecutive intervals of one cell in which an intent was in one state for one reason.

    Attributes
    ----------
    cell, direction, state, reason
        As in `Outcome`.
    from_s, to_s : float
        First and last interval.
    n_intervals : int
        How many.
    value : float
        Mean of what was measured.
    """

    cell: str
    direction: str
    state: State
    reason: Reason | None
    from_s: float
    to_s: float
    n_intervals: int
    value: float


@dataclass(frozen=True, slots=True)
class IntentSummary:
    """How one intent has fared.

    Attributes
    ----------
    intent : str
        Its name.
    status : Status
        At the time asked for.
    n_intervals, n_met, n_not_applicable : int
        Intervals in which somebody was concerned and judged; of these, those in which it was met; others.
    met_ratio : float
        n_met / n_intervals; NaN without any.
    value, target : float
        Mean of what was measured (as in `Outcome`), and what was asked for.
    reasons : dict of str to int
        Intervals not met, by reason.
    since_s : float
        When the last spell began; NaN without any.
    spells : tuple of Spell
        In order of time; the oldest are let go above 1,000.
    """

    intent: str
    status: Status
    n_intervals: int
    n_met: int
    n_not_applicable: int
    met_ratio: float
    value: float
    target: float
    reasons: dict[str, int]
    since_s: float
    spells: tuple[Spell, ...]

    def describe(self) -> str:
        """Say it in one sentence."""
        if not self.n_intervals:
            return f"{self.status}: it has concerned nobody whose quality could be judged"
        met = f"{self.status}: met in {self.met_ratio:.1%} of {self.n_intervals} intervals"
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.reasons.items())
        return f"{met}; not met for {reasons}" if reasons else met


_MOST_SPELLS: Final = 1000


class _Record:
    """The books of one intent."""

    def __init__(self) -> None:
        self.n_met = self.n_intervals = self.n_not_applicable = 0
        self.sum_value, self.n_value = 0.0, 0
        self.target = math.nan
        self.reasons: Counter[str] = Counter()
        self.spells: list[Spell] = []
        self._last: dict[tuple[str, str], Spell] = {}

    def add(self, outcome: Outcome) -> None:
        self.target = outcome.target
        if outcome.state is State.NOT_APPLICABLE:
            self.n_not_applicable += 1
        else:
            self.n_intervals += 1
            self.n_met += outcome.state is State.MET
        if outcome.reason is not None:
            self.reasons[str(outcome.reason)] += 1
        if math.isfinite(outcome.value):
            self.sum_value, self.n_value = self.sum_value + outcome.value, self.n_value + 1
        self._extend(outcome)

    def _extend(self, outcome: Outcome) -> None:
        place = (outcome.cell, outcome.direction)
        spell = self._last.get(place)
        if spell is None or (spell.state, spell.reason) != (outcome.state, outcome.reason):
            spell = Spell(*place, outcome.state, outcome.reason, outcome.at_s, outcome.at_s, 0, math.nan)
            self._last[place] = spell
            self.spells = [*self.spells[-_MOST_SPELLS + 1 :], spell]
        n = spell.n_intervals
        old = 0.0 if n == 0 or math.isnan(spell.value) else spell.value
        if math.isfinite(outcome.value):
            spell.value = old + (outcome.value - old) / (n + 1)
        spell.to_s, spell.n_intervals = outcome.at_s, n + 1

    def last(self) -> list[Spell]:
        """The spells of the latest interval, one a cell and direction."""
        latest = max((spell.to_s for spell in self._last.values()), default=math.nan)
        return [spell for spell in self._last.values() if spell.to_s == latest]


class Fulfilment:
    """Keeps what became of intents.

    Parameters
    ----------
    file : IntentsFile
        Of `load_intents`.
    tolerance_mos : float
        How much less than the target still counts as met.

    Attributes
    ----------
    steer : dict
        For `compile_intents`, see :data:`qoe.intent.steering.Steer`: head room above floors that are
        delivered less than promised (0 to 0.5 MOS), and logarithms of the weights of those that are to be
        better than others (0 to ln 64).
    """

    def __init__(self, file: IntentsFile, *, tolerance_mos: float = 0.0) -> None:
        self.steer: dict[tuple[int, str, str], float] = {}
        self._intents = file.intents
        self._tolerance = tolerance_mos + _ROUNDING
        self._records = {intent.name: _Record() for intent in file.intents}

    def add(
        self,
        compiled: Compiled,
        mos: FloatArray,
        allocation: Allocation | None = None,
        admission: Admission | None = None,
    ) -> list[Outcome]:
        """Judge one interval of one cell.

        Parameters
        ----------
        compiled : Compiled
            What the intents asked for in it.
        mos : ndarray of float64, shape (n_bearers,)
            Measured; NaN: no traffic, or none that can be judged.
        allocation : Allocation, optional
            What was granted: shares and rates are judged by it, and it tells why floors were missed.
        admission : Admission, optional
            Of `admit`: the same by priority.

        Returns
        -------
        list of Outcome
            One for each intent that holds here, in order of priority.
        """
        judge = Judge(compiled, mos, allocation, admission, self._tolerance)
        outcomes = []
        for i in compiled.in_order:
            outcome = judge.outcome(i)
            self._records[outcome.intent].add(outcome)
            self._learn(i, compiled, judge, outcome)
            outcomes.append(outcome)
        return outcomes

    def summaries(self, at_s: float) -> list[IntentSummary]:
        """Tell how each intent has fared, in the order of the file, and its status at a time."""
        return [self._summary(intent, at_s) for intent in self._intents]

    def _summary(self, intent: Intent, at_s: float) -> IntentSummary:
        record = self._records[intent.name]
        last = record.last()
        return IntentSummary(
            intent.name,
            _status(intent, last, at_s),
            record.n_intervals,
            record.n_met,
            record.n_not_applicable,
            record.n_met / record.n_intervals if record.n_intervals else math.nan,
            record.sum_value / record.n_value if record.n_value else math.nan,
            record.target if last else target_value(intent),
            dict(record.reasons.most_common()),
            max((spell.from_s for spell in last), default=math.nan),
            tuple(record.spells),
        )

    def _learn(self, i: int, compiled: Compiled, judge: Judge, outcome: Outcome) -> None:
        kind = compiled.intents[i].target.kind
        if kind not in ("mos_at_least", "better_than") or outcome.state is State.NOT_APPLICABLE:
            return
        key = (i, compiled.cell, compiled.direction)
        better = kind == "better_than"
        short = outcome.target - outcome.value if better else judge.undelivered_mos(i)
        self.steer[key] = learn(learnt(self.steer, key, kind), kind, short)


def _status(intent: Intent, last: list[Spell], at_s: float) -> Status:
    start, end = intent.span_s
    if at_s >= end:
        return Status.TERMINATED
    if at_s < start or not last:
        return Status.ACKNOWLEDGED
    if not intent.when.covers(at_s):
        return Status.SUSPENDED
    missed = [spell for spell in last if spell.state is State.NOT_MET]
    if any(spell.reason is not Reason.RADIO for spell in missed):
        return Status.DEGRADED
    if missed:
        return Status.FULFILMENTFAILED
    met = any(spell.state is State.MET for spell in last)
    return Status.FULFILLED if met else Status.COMPLIANT
