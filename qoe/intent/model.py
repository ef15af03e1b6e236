"""Intents: who is to have what, when, where, and how it ranks; read from a TOML file.

An intents file::

    time_zone = "Europe/Rome"        # of the hours below; default UTC
    [group]                          # names for lists of subscribers
    rescue = ["ana", "unit-*"]
    [[intent]]
    name = "enterprise first at peak"
    priority = 10                    # 1 (first) to 100; default 50
    who = { tier = "enterprise" }    # tier, group, subscriber: names, lists, patterns (* and ?)
    what = { class = "video" }       # class, application; default: any
    when = { days = "mon-fri", from = "08:00", to = "18:00" }
    where = { cell = "city-*" }      # cell, direction; default: everywhere
    target = { mos_at_least = 4.0 }  # or better_than, weight, rate_at_least, share_at_least, share_at_most
    expires = 2027-01-01T00:00:00    # and valid_from
    [profile.QOS_E]                  # a QoS profile that a session may ask for
    target = { mos_at_least = 4.2 }
    priority = 5
    max_duration_s = 3600
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import force_setattr, replace

from qoe.errors import ConfigError
from qoe.intent.schedule import When, zone
from qoe.schema import CLASS_NAMES
from qoe.toml import Rate, read_toml, require, require_positive, require_weight, suggestion

Patterns: TypeAlias = str | tuple[str, ...]
"""A name or names; ``*`` stands for any text, ``?`` for one character."""

PRIORITY: Final = 50
MARGIN_MOS: Final = 0.1
MOS_RANGE: Final = (1.0, 5.0)
_DIRECTIONS: Final = ("down", "up")


def listed(patterns: Patterns) -> tuple[str, ...]:
    """Give one name or several as several."""
    return (patterns,) if isinstance(patterns, str) else patterns


def _list(of: msgspec.Struct, *fields: str) -> None:
    """Hold names in one form, so that what means the same is equal."""
    for field in fields:
        force_setattr(of, field, listed(getattr(of, field)))


class Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Whose bearers: all of what is given must match, each by any of its names.

    Attributes
    ----------
    tier, group, subscriber : str or tuple of str
        Names or patterns; empty: any. A group is one of the file's.
    """

    tier: Patterns = ()
    group: Patterns = ()
    subscriber: Patterns = ()

    def __post_init__(self) -> None:
        _list(self, "tier", "group", "subscriber")


class What(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which of their traffic.

    Attributes
    ----------
    app_class : str or tuple of str
        Names of application classes (``class`` in the file).
    application : str or tuple of str
        Names or patterns, where the bearers' applications are known.
    """

    app_class: Patterns = msgspec.field(name="class", default=())
    application: Patterns = ()

    def __post_init__(self) -> None:
        _list(self, "app_class", "application")
        for name in self.app_class:
            require(name in CLASS_NAMES, f"unknown class {name!r}; {suggestion(name, CLASS_NAMES)}")


class Where(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """In which cells, and in which direction.

    Attributes
    ----------
    cell : str or tuple of str
        Names or patterns.
    direction : str
        ``"down"``, ``"up"``, or empty for both.
    """

    cell: Patterns = ()
    direction: str = ""

    def __post_init__(self) -> None:
        _list(self, "cell")
        require(
            self.direction in ("", *_DIRECTIONS), f"direction must be 'down' or 'up', not {self.direction!r}"
        )


class Others(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Whom a ``better_than`` compares with: as `Who` and `What`; nothing given: everyone else."""

    tier: Patterns = ()
    group: Patterns = ()
    subscriber: Patterns = ()
    app_class: Patterns = msgspec.field(name="class", default=())
    application: Patterns = ()

    def __post_init__(self) -> None:
        What(app_class=self.app_class)
        _list(self, "tier", "group", "subscriber", "app_class", "application")

    @property
    def who(self) -> Who:
        """Whose bearers."""
        return Who(tier=self.tier, group=self.group, subscriber=self.subscriber)

    @property
    def what(self) -> What:
        """Which of their traffic."""
        return What(app_class=self.app_class, application=self.application)


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What is asked for: one of the kinds below.

    Attributes
    ----------
    mos_at_least : float, optional
        MOS, 1 to 5, that each bearer is to reach.
    users_ratio : float
        Part of the bearers, above 0 to 1, that must reach it for the intent to be met.
    better_than : Others, optional
        The mean MOS is to be above the mean of these ...
    margin_mos : float
        ... by at least this, 0 to 4.
    weight : float, optional
        What one MOS of these bearers counts, as a multiple.
    rate_at_least_bps : Rate, optional
        Rate that each bearer is to be granted.
    share_at_least, share_at_most : float, optional
        Part of the cell that all of them together are to have, 0 to 1.
    """

    mos_at_least: float | None = None
    users_ratio: float = 1.0
    better_than: Others | None = None
    margin_mos: float = MARGIN_MOS
    weight: float | None = None
    rate_at_least_bps: Rate | None = msgspec.field(name="rate_at_least", default=None)
    share_at_least: float | None = None
    share_at_most: float | None = None

    def __post_init__(self) -> None:
        kinds = [kind for kind in _KINDS if any(getattr(self, key) is not None for key in _KINDS[kind])]
        require(len(kinds) == 1, f"one target is needed, of {', '.join(_KINDS)}; here are {len(kinds)}")
        low, high = MOS_RANGE
        require(
            self.mos_at_least is None or low <= self.mos_at_least <= high,
            f"mos_at_least must be 1 to 5, not {self.mos_at_least}",
        )
        require(0 < self.users_ratio <= 1, f"users_ratio must be above 0, to 1, not {self.users_ratio}")
        require(
            0 <= self.margin_mos <= high - low,
            f"margin_mos must be 0 to {high - low:g}, not {self.margin_mos}",
        )
        require(self.users_ratio == 1 or self.kind == "mos_at_least", "users_ratio belongs to mos_at_least")
        require(
            self.margin_mos == MARGIN_MOS or self.kind == "better_than", "margin_mos belongs to better_than"
        )
        if self.weight is not None:
            require_weight("weight", self.weight)
        require_positive("rate_at_least", self.rate_at_least_bps)
        self._check_shares()

    def _check_shares(self) -> None:
        least, most = self.share_at_least, self.share_at_most
        for name, value in (("share_at_least", least), ("share_at_most", most)):
            require(value is None or 0 <= value <= 1, f"{name} must be 0 to 1, not {value}")
        require(
            least is None or most is None or least <= most,
            f"share_at_least {least} is above share_at_most {most}",
        )

    @property
    def kind(self) -> str:
        """``"mos_at_least"``, ``"better_than"``, ``"weight"``, ``"rate_at_least"`` or ``"share"``."""
        return next(
            kind for kind, keys in _KINDS.items() if any(getattr(self, key) is not None for key in keys)
        )

    def __str__(self) -> str:
        match self.kind:
            case "mos_at_least":
                part = f" for {self.users_ratio:.0%} of them" if self.users_ratio < 1 else ""
                return f"MOS at least {self.mos_at_least:g}{part}"
            case "better_than":
                return f"MOS better by {self.margin_mos:g}"
            case "weight":
                return f"weight {self.weight:g}"
            case "rate_at_least":
                return f"at least {(self.rate_at_least_bps or 0) / 1e6:g} Mbit/s"
        bounds = (("at least", self.share_at_least), ("at most", self.share_at_most))
        words = [f"{word} {value:.0%}" for word, value in bounds if value is not None]
        return f"{' and '.join(words)} of the cell"


_KINDS: Final = {
    "mos_at_least": ("mos_at_least",),
    "better_than": ("better_than",),
    "weight": ("weight",),
    "rate_at_least": ("rate_at_least_bps",),
    "share": ("share_at_least", "share_at_most"),
}


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One intent: ``[[intent]]``.

    Attributes
    ----------
    name : str
        Unique in the file.
    target : Target
    who : Who
    what : What
    when : When
        Its time zone is the file's unless it has one of its own.
    where : Where
    priority : int
        1, kept first, to 100, as ``intentPriority`` of 3GPP TS 28.312.
    valid_from, expires : datetime, optional
        It holds from the first (inclusive) until the second (exclusive); without an offset, local time.
    """

    name: str
    target: Target
    who: Who = Who()
    what: What = What()
    when: When = When()
    where: Where = Where()
    priority: int = PRIORITY
    valid_from: dt.datetime | None = None
    expires: dt.datetime | None = None

    def __post_init__(self) -> None:
        require(bool(self.name.strip()), "name must not be empty")
        require(1 <= self.priority <= 100, f"priority must be 1 (first) to 100, not {self.priority}")
        start, end = self.span_s
        require(start < end, f"intent {self.name!r} expires before it is valid")

    @property
    def span_s(self) -> tuple[float, float]:
        """Seconds since 1970 from which and before which it holds; infinite where not given."""
        return _epoch(self.valid_from, self.when, -math.inf), _epoch(self.expires, self.when, math.inf)

    def applies(self, at_s: float) -> bool:
        """Tell whether it holds at a time, in seconds since 1970."""
        start, end = self.span_s
        return start <= at_s < end and self.when.covers(at_s)


def _epoch(value: dt.datetime | None, when: When, otherwise: float) -> float:
    if value is None:
        return otherwise
    return (value if value.tzinfo else value.replace(tzinfo=zone(when.time_zone))).timestamp()


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a temporary session may ask for: ``[profile.NAME]``.

    Attributes
    ----------
    target : Target
        What a session of this profile is promised.
    priority : int
        1, first, to 100.
    max_duration_s : int
        Longest session, extensions included.
    what : What
        Traffic that it covers.
    """

    target: Target
    priority: int = PRIORITY
    max_duration_s: int = 86_400
    what: What = What()

    def __post_init__(self) -> None:
        require(1 <= self.priority <= 100, f"priority must be 1 (first) to 100, not {self.priority}")
        require(self.max_duration_s >= 1, f"max_duration_s must be 1 or more, not {self.max_duration_s}")


class IntentsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A whole intents file, checked: names are unique, groups exist, the hours have a time zone.

    Attributes
    ----------
    intents : tuple of Intent
        In the order of the file.
    groups : dict of str to tuple of str
        Names or patterns of subscribers.
    profiles : dict of str to Profile
    time_zone : str
        IANA name, for intents that give none.

    Raises
    ------
    ConfigError
        When intents contradict the rules above.
    """

    intents: tuple[Intent, ...] = msgspec.field(name="intent", default=())
    groups: dict[str, Patterns] = msgspec.field(name="group", default_factory=dict)
    profiles: dict[str, Profile] = msgspec.field(name="profile", default_factory=dict)
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            zone(self.time_zone)
        except ValueError as error:
            raise ConfigError(str(error), "$.time_zone") from None
        force_setattr(self, "groups", {name: listed(members) for name, members in self.groups.items()})
        for name, members in self.groups.items():
            if not members:
                raise ConfigError("a group needs a member", f"$.group.{name}")
        seen: dict[str, int] = {}
        for i, intent in enumerate(self.intents):
            if intent.name in seen:
                where = f"$.intent[{seen[intent.name]}]"
                raise ConfigError(f"{intent.name!r} is already the name of {where}", f"$.intent[{i}].name")
            seen[intent.name] = i
            self._check_groups(intent, f"$.intent[{i}]")
        force_setattr(self, "intents", tuple(_localised(intent, self.time_zone) for intent in self.intents))

    def _check_groups(self, intent: Intent, path: str) -> None:
        for where, names in _groups_named(intent):
            for name in names:
                if name not in self.groups:
                    hint = suggestion(name, tuple(self.groups)) or f"add it to [group]: {name} = [...]"
                    raise ConfigError(f"no group {name!r}; {hint}", f"{path}.{where}")

    def without_groups(self, intent: Intent) -> Intent:
        """Give an intent with the members of its groups in place of the groups, for those who know none.

        Raises
        ------
        ConfigError
            Its groups and its subscribers together cannot be said without groups.
        """
        target = intent.target
        try:
            if target.better_than is not None:
                than = _ungrouped(target.better_than.who, self.groups)
                others = replace(target.better_than, group=(), subscriber=than.subscriber)
                target = replace(target, better_than=others)
            return replace(intent, who=_ungrouped(intent.who, self.groups), target=target)
        except ValueError as error:
            raise ConfigError(str(error), f"intent {intent.name!r}") from None

    def with_intents(self, more: tuple[Intent, ...]) -> IntentsFile:
        """Give the same file with more intents at its end.

        Raises
        ------
        ConfigError
            A name occurs twice, or a group does not exist.
        """
        return replace(self, intents=self.intents + more)


def _ungrouped(who: Who, groups: dict[str, Patterns]) -> Who:
    """Name the members of the groups in place of the groups."""
    if not who.group:
        return who
    members = tuple(name for group in listed(who.group) for name in listed(groups[group]))
    names = listed(who.subscriber)
    if not names:
        return Who(tier=who.tier, subscriber=members)
    both = tuple(n for n in names if n in members) or tuple(m for m in members if m in names)
    require(bool(both), "group and subscriber have no name in common, which no other standard can say")
    return Who(tier=who.tier, subscriber=both)


def _groups_named(intent: Intent) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "who.group", listed(intent.who.group)
    if intent.target.better_than is not None:
        yield "target.better_than.group", listed(intent.target.better_than.group)


def _localised(intent: Intent, time_zone: str) -> Intent:
    when = replace(intent.when, time_zone=intent.when.time_zone or time_zone)
    start, end = (
        time.replace(tzinfo=zone(when.time_zone)) if time is not None and time.tzinfo is None else time
        for time in (intent.valid_from, intent.expires)
    )
    return replace(intent, when=when, valid_from=start, expires=end)


def load_intents(path: str | Path) -> IntentsFile:
    """Read and check an intents file.

    Parameters
    ----------
    path : str or Path
        A TOML file; its format stands at the head of this module.

    Returns
    -------
    IntentsFile

    Raises
    ------
    ConfigError
        When the file cannot be read, is not TOML, or says what cannot be, with the key's path, such as
        ``intents.toml: $.intent[0].who.teir``.
    """
    return read_toml(path, IntentsFile)
