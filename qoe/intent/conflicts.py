"""Intents that cannot all be had, found before they apply: from what they say alone.

What depends on the cells' capacity is found by :func:`qoe.intent.admit`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from qoe.intent.model import MOS_RANGE, Intent, IntentsFile
from qoe.intent.schedule import zone
from qoe.intent.select import Crowd, Selector, cells_meet, in_cell, others_of, selector_of

_WEEKS_DAYS: Final = 15  # every day of the week, twice: an hour may be skipped once
_YEAR_DAYS: Final = 371  # summer and winter time, which may shift one place against another
_LONGEST_CIRCLE: Final = 4
_IDLE: Final = ("matches_nobody", "never_applies")
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Conflict:
    """Intents that cannot all be had, and what to do about it.

    Attributes
    ----------
    kind : str
        Static: ``"comparison_cycle"``, ``"two_weights"``, ``"out_of_range"``, ``"shares"``,
        ``"matches_nobody"``, ``"never_applies"``. Of a cell: ``"capacity"``, ``"airtime_cap"``, ``"radio"``,
        ``"share_cap"``.
    intents : tuple of str
        Their names; the last one gives way.
    who, when, why, change : str
        Whom it concerns, from when on, why it cannot be, and what would mend it.
    certain : bool
        False: as far as names tell, there may be nobody whom it concerns.
    cell : str
        Where, of those of a cell.
    shortfall_share_ratio : float
        Share of the cell that is missing; NaN where it is not a matter of shares.
    """

    kind: str
    intents: tuple[str, ...]
    who: str
    when: str
    why: str
    change: str
    certain: bool = True
    cell: str = ""
    shortfall_share_ratio: float = math.nan

    @property
    def idle(self) -> bool:
        """Whether it is but an intent without effect."""
        return self.kind in _IDLE

    def explain(self) -> str:
        """Say it in words, in one line."""
        names = " and ".join(f"'{name}'" for name in self.intents)
        verb = "has no effect" if self.idle else "cannot be met in full"
        if len(self.intents) > 1:
            verb = "conflict" if self.certain else "may conflict"
        place = f" in cell {self.cell}" if self.cell else ""
        what = f"{names} {verb}{place}: {self.why} (who: {self.who}; when: {self.when})"
        return f"{what}. To mend: {self.change}."


def find_conflicts(
    file: IntentsFile, at_s: float, crowds: Sequence[Crowd] | None = None
) -> tuple[Conflict, ...]:
    """Find what intents contradict in one another, now or within a year.

    Parameters
    ----------
    file : IntentsFile
        Of `load_intents`.
    at_s : float
        Now, in seconds since 1970: what has expired by then is left out.
    crowds : sequence of Crowd, optional
        Everyone whom intents may concern, cell by cell. Without them names and patterns alone tell whether
        two intents can mean the same bearers.

    Returns
    -------
    tuple of Conflict
    """
    finder = _Finder(file, at_s, crowds)
    return (
        *finder.idle(),
        *finder.two_weights(),
        *finder.cycles(),
        *finder.out_of_range(),
        *finder.shares(),
    )


class _Finder:
    def __init__(self, file: IntentsFile, at_s: float, crowds: Sequence[Crowd] | None) -> None:
        self.at_s, self.crowds = at_s, crowds
        self.all = file.intents
        self.selectors = {i.name: selector_of(i, file.groups) for i in file.intents}
        self.others = {
            i.name: others_of(i.target.better_than, file.groups)
            for i in file.intents
            if i.target.better_than is not None
        }
        self._firsts: dict[tuple[str, ...], float | None] = {}
        self.live = [i for i in file.intents if self._first(i) is not None]

    def idle(self) -> Iterator[Conflict]:
        """Intents that never hold, and those that concern nobody."""
        for intent in self.all:
            if intent not in self.live:
                yield Conflict(
                    "never_applies",
                    (intent.name,),
                    "everyone it means",
                    "from now on",
                    "it has expired" if intent.span_s[1] <= self.at_s else "its days and hours never come",
                    "change its expiry or its hours, or remove it",
                )
            elif self.crowds is not None and not self._concerns_any(intent):
                yield Conflict(
                    "matches_nobody",
                    (intent.name,),
                    "nobody",
                    self._when(intent),
                    f"no bearer of the cells is of {describe(intent)}",
                    "compare its names with those of the cells file",
                )

    def two_weights(self) -> Iterator[Conflict]:
        """The same bearers at two weights, neither of which ranks first."""
        weighing = [i for i in self.live if i.target.weight is not None]
        for one, two in combinations(weighing, 2):
            same = self.selectors[one.name] == self.selectors[two.name]
            if not same or one.priority != two.priority or one.target.weight == two.target.weight:
                continue
            if cells_meet(one.where, two.where) and self._first(one, two) is not None:
                yield Conflict(
                    "two_weights",
                    (one.name, two.name),
                    describe(one),
                    self._when(one, two),
                    f"weight {one.target.weight:g} and weight {two.target.weight:g} at the same priority"
                    f" {one.priority}, so the first in the file counts",
                    "give one of them a lower number as priority, or remove one",
                )

    def cycles(self) -> Iterator[Conflict]:
        """Better than one another, in a circle."""
        comparing = [i for i in self.live if i.name in self.others]
        for circle in _circles(comparing, self._above):
            margin = sum(i.target.margin_mos for i in circle)
            if self._first(*circle) is None or margin <= 0:
                continue
            yield Conflict(
                "comparison_cycle",
                tuple(i.name for i in sorted(circle, key=lambda i: i.priority)),
                " and ".join(describe(i) for i in circle),
                self._when(*circle),
                f"each is to be better than the next and the last than the first, by {margin:g} MOS in all",
                "remove one, or let its hours or its users not overlap the others'",
                certain=self.crowds is not None or self._mirrored(circle),
            )

    def out_of_range(self) -> Iterator[Conflict]:
        """Better than somebody who is promised so much that nobody can be better."""
        for better in self.live:
            for promised in self.live:
                floor = promised.target.mos_at_least
                if better.name not in self.others or floor is None or promised.target.users_ratio < 1:
                    continue
                need = floor + better.target.margin_mos
                if need <= MOS_RANGE[1] + _ROUNDING or not self._meet(
                    better, promised, self.others[better.name], self.selectors[promised.name]
                ):
                    continue
                yield Conflict(
                    "out_of_range",
                    (promised.name, better.name),
                    describe(better),
                    self._when(better, promised),
                    f"MOS {floor:g} for those it compares with, and {better.target.margin_mos:g} more,"
                    f" is above {MOS_RANGE[1]:g}",
                    f"lower the floor to {MOS_RANGE[1] - better.target.margin_mos:g} or the margin",
                    certain=self.crowds is not None
                    or self.others[better.name] == self.selectors[promised.name],
                )

    def shares(self) -> Iterator[Conflict]:
        """Parts of a cell that are more than the whole, or a minimum above another's maximum."""
        sharing = [i for i in self.live if i.target.kind == "share"]
        for one, two in combinations(sorted(sharing, key=lambda i: i.priority), 2):
            if not cells_meet(one.where, two.where) or self._first(one, two) is None:
                continue
            if self.selectors[one.name] == self.selectors[two.name]:
                yield from self._crossed(one, two)
            elif not self._meet(one, two, self.selectors[one.name], self.selectors[two.name]):
                yield from self._too_much(one, two)

    def _crossed(self, one: Intent, two: Intent) -> Iterator[Conflict]:
        for least, most in ((one, two), (two, one)):
            low, high = least.target.share_at_least, most.target.share_at_most
            if low is not None and high is not None and low > high:
                yield Conflict(
                    "shares",
                    (one.name, two.name),
                    describe(one),
                    self._when(one, two),
                    f"at least {low:.0%} of the cell and at most {high:.0%}",
                    "raise the maximum or lower the minimum",
                    shortfall_share_ratio=low - high,
                )

    def _too_much(self, one: Intent, two: Intent) -> Iterator[Conflict]:
        total = (one.target.share_at_least or 0.0) + (two.target.share_at_least or 0.0)
        if total > 1.0 + _ROUNDING:
            yield Conflict(
                "shares",
                (one.name, two.name),
                f"{describe(one)} and {describe(two)}",
                self._when(one, two),
                f"together they ask for {total:.0%} of the cell",
                f"lower one of them by {total - 1.0:.0%}",
                certain=self.crowds is not None,
                shortfall_share_ratio=total - 1.0,
            )

    def _above(self, one: Intent, two: Intent) -> bool:
        """Tell whether whom `one` looks down on, none of its own, are those whom `two` holds above others."""
        mine, theirs = self.selectors[one.name], self.selectors[two.name]
        return mine != theirs and self._meet(one, two, self.others[one.name], theirs, but=mine)

    def _mirrored(self, circle: tuple[Intent, ...]) -> bool:
        following = (*circle[1:], circle[0])
        return all(
            self.others[one.name] == self.selectors[two.name]
            for one, two in zip(circle, following, strict=True)
        )

    def _meet(
        self, one: Intent, two: Intent, first: Selector, second: Selector, but: Selector | None = None
    ) -> bool:
        if not cells_meet(one.where, two.where) or self._first(one, two) is None:
            return False
        if self.crowds is None:
            return first.may_meet(second)
        return any(
            bool(np.any(first.mask(crowd) & second.mask(crowd) & (True if but is None else ~but.mask(crowd))))
            for crowd in self.crowds
            if in_cell(one.where, crowd) and in_cell(two.where, crowd)
        )

    def _concerns_any(self, intent: Intent) -> bool:
        return any(
            in_cell(intent.where, crowd) and bool(self.selectors[intent.name].mask(crowd).any())
            for crowd in self.crowds or ()
        )

    def _first(self, *intents: Intent) -> float | None:
        """First time at which all of them hold; None: within a year there is none."""
        names = tuple(i.name for i in intents)
        if names not in self._firsts:
            self._firsts[names] = first_together(intents, self.at_s)
        return self._firsts[names]

    def _when(self, *intents: Intent) -> str:
        first = self._first(*intents)
        if first is None:
            return "never"
        place = intents[0].when.time_zone
        clock = dt.datetime.fromtimestamp(first, zone(place)).strftime("%Y-%m-%d %H:%M")
        return f"from {clock} ({place or 'UTC'}) on" if first > self.at_s else "now"


def describe(intent: Intent) -> str:
    """Say whom and what an intent concerns, in a few words."""
    parts = [
        (word, patterns)
        for word, patterns in (
            ("tier", intent.who.tier),
            ("group", intent.who.group),
            ("subscriber", intent.who.subscriber),
            ("class", intent.what.app_class),
            ("application", intent.what.application),
            ("cell", intent.where.cell),
        )
        if patterns
    ]
    named = [
        f"{word} {patterns if isinstance(patterns, str) else ', '.join(patterns)}" for word, patterns in parts
    ]
    return ", ".join(named) + (f" ({intent.where.direction})" if intent.where.direction else "") or "everyone"


def first_together(intents: Sequence[Intent], at_s: float) -> float | None:
    """Give the first time at which all of some intents hold.

    Windows of time that overlap do so where one of them begins.

    Parameters
    ----------
    intents : sequence of Intent
        One or more.
    at_s : float
        From when on, in seconds since 1970.

    Returns
    -------
    float or None
        Seconds since 1970; None: never within a year.
    """
    begin = max(at_s, *(i.span_s[0] for i in intents))
    same_clock = len({i.when.time_zone for i in intents}) == 1
    n_days = _WEEKS_DAYS if same_clock else _YEAR_DAYS
    if begin >= min(i.span_s[1] for i in intents):
        return None
    times = {begin, *(t for i in intents for t in i.when.boundaries(begin, n_days) if t > begin)}
    return next((t for t in sorted(times) if all(i.applies(t) for i in intents)), None)


def _circles(
    intents: Sequence[Intent], above: Callable[[Intent, Intent], bool]
) -> Iterator[tuple[Intent, ...]]:
    """Give each circle once, beginning with its intent that stands first."""
    follows = [[k for k, two in enumerate(intents) if above(one, two)] for one in intents]

    def walk(path: list[int]) -> Iterator[tuple[Intent, ...]]:
        for k in follows[path[-1]]:
            if k == path[0] and len(path) > 1:
                yield tuple(intents[i] for i in path)
            elif k > path[0] and k not in path and len(path) < _LONGEST_CIRCLE:
                yield from walk([*path, k])

    for start in range(len(intents)):
        yield from walk([start])
