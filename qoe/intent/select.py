"""Which bearers an intent means, and whether two intents can mean the same ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from qoe.intent.model import Intent, Others, Patterns, What, Where, Who, listed
from qoe.schema import BoolArray


class Crowd(Protocol):
    """Bearers of one cell in one direction: an optimiser's problem is one, `Bearers` is another."""

    @property
    def cell(self) -> str:
        """Name of the cell."""

    @property
    def direction(self) -> str:
        """``"down"`` or ``"up"``."""

    @property
    def subscriber(self) -> Sequence[str]:
        """Whom each bearer serves."""

    @property
    def app_class(self) -> Sequence[str]:
        """Application class of each."""

    @property
    def tier(self) -> Sequence[str | None]:
        """Tier of each; None or empty for none."""


@dataclass(frozen=True, slots=True)
class Bearers:
    """Bearers of one cell in one direction, as far as intents care.

    Attributes
    ----------
    cell, direction : str
        Name of the cell; ``"down"`` or ``"up"``.
    subscriber, app_class, tier : sequence of str, length n_bearers
        As in `Crowd`.
    application : sequence of str, optional
        Name of each bearer's application, where known.
    """

    cell: str
    direction: str
    subscriber: Sequence[str]
    app_class: Sequence[str]
    tier: Sequence[str | None]
    application: Sequence[str | None] | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """Names and patterns that a bearer must match, one of each; an empty tuple matches all.

    Attributes
    ----------
    tier, subscriber, app_class, application : tuple of str
        Of the bearer.
    members : tuple of str or None
        Subscribers of the groups asked for; None: no group was asked for.
    """

    tier: tuple[str, ...] = ()
    subscriber: tuple[str, ...] = ()
    app_class: tuple[str, ...] = ()
    application: tuple[str, ...] = ()
    members: tuple[str, ...] | None = None

    @classmethod
    def of(cls, who: Who, what: What, groups: Mapping[str, Patterns]) -> Selector:
        """Make the selector of an intent, its groups looked up."""
        named = listed(who.group)
        members = _sorted(name for group in named for name in listed(groups[group])) if named else None
        return cls(
            _sorted(listed(who.tier)),
            _sorted(listed(who.subscriber)),
            _sorted(listed(what.app_class)),
            _sorted(listed(what.application)),
            members,
        )

    def mask(self, crowd: Crowd) -> BoolArray:
        """Tell which bearers match, shape (n_bearers,)."""
        application = getattr(crowd, "application", None) or ("",) * len(crowd.subscriber)
        chosen = matching(crowd.subscriber, self.subscriber)
        if self.members is not None:
            chosen &= matching(crowd.subscriber, self.members) if self.members else False
        chosen &= matching(crowd.tier, self.tier)
        chosen &= matching(crowd.app_class, self.app_class)
        return chosen & matching(application, self.application)

    def may_meet(self, other: Selector) -> bool:
        """Tell whether some bearer could match both, as far as names alone tell."""
        fields = ("tier", "subscriber", "app_class", "application", "members")
        pairs = [(getattr(self, field) or (), getattr(other, field) or ()) for field in fields]
        pairs += [(self.subscriber, other.members or ()), (self.members or (), other.subscriber)]
        return all(_meet_any(one, two) for one, two in pairs)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Order names, so that selectors of the same ones are equal."""
    return tuple(sorted(set(names)))


def in_cell(where: Where, crowd: Crowd) -> bool:
    """Tell whether a cell and direction are where an intent holds."""
    if where.direction not in ("", crowd.direction):
        return False
    return bool(matching([crowd.cell], listed(where.cell))[0])


def cells_meet(one: Where, two: Where) -> bool:
    """Tell whether two intents can hold in the same cell and direction, as far as names alone tell."""
    if one.direction and two.direction and one.direction != two.direction:
        return False
    return _meet_any(listed(one.cell), listed(two.cell))


def selector_of(intent: Intent, groups: Mapping[str, Patterns]) -> Selector:
    """Make the selector of whom an intent concerns."""
    return Selector.of(intent.who, intent.what, groups)


def others_of(others: Others, groups: Mapping[str, Patterns]) -> Selector:
    """Make the selector of whom an intent compares with."""
    return Selector.of(others.who, others.what, groups)


def matching(values: Sequence[str | None], patterns: tuple[str, ...]) -> BoolArray:
    """Tell which values match any of some patterns; all of them where there is no pattern.

    Parameters
    ----------
    values : sequence of str or None, length n
        None is as the empty text.
    patterns : tuple of str
        ``*`` stands for any text, ``?`` for one character; case counts.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if not patterns:
        return np.ones(len(values), dtype=np.bool_)
    pattern = _pattern(patterns)
    good = {value for value in set(values) if pattern.fullmatch(value or "")}
    return np.fromiter((value in good for value in values), dtype=np.bool_, count=len(values))


@lru_cache(maxsize=1024)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    parts = (re.escape(p).replace(r"\*", ".*").replace(r"\?", ".") for p in patterns)
    return re.compile("|".join(parts), re.DOTALL)


def _meet_any(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    return not one or not two or any(patterns_meet(a, b) for a in one for b in two)


@lru_cache(maxsize=4096)
def patterns_meet(one: str, two: str) -> bool:
    """Tell whether some text matches both patterns."""
    todo, seen = [(0, 0)], set()
    while todo:
        i, j = at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        a, b = one[i : i + 1], two[j : j + 1]
        if not a and not b:
            return True
        if "*" in (a, b):
            todo += [(i + 1, j)] * bool(a) + [(i, j + 1)] * bool(b)
        elif a and b and (a == b or "?" in (a, b)):
            todo.append((i + 1, j + 1))
    return False
