"""When an intent holds: days of the week and hours of the day on the clock of a place.

The clock is the wall's: hours keep their place through changes to and from summer time. An hour that the
clock skips in spring does not come; one that it shows twice in autumn holds twice.
"""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from qoe.toml import require

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN: Final = 24 * 60
_QUARTER_S: Final = 900  # offsets from UTC change at whole quarters of an hour
_WEEK_DAYS: Final = 7
_LOOK_DAYS: Final = 14


@lru_cache(maxsize=64)
def zone(name: str) -> dt.tzinfo:
    """Give the time zone of an IANA name; empty: UTC.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if name in ("", "UTC"):
        return dt.UTC  # also where no time zones are installed
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = "write an IANA name such as Europe/Rome"
        if not zoneinfo.available_timezones():
            hint = "this system has no time zones: pip install tzdata"
        raise ValueError(f"no time zone {name!r}: {hint}") from None


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Days and hours.

    Attributes
    ----------
    days : str or tuple of str
        ``mon`` to ``sun``, and ranges such as ``mon-fri`` or ``sat-mon``; empty: every day.
    start, end : str
        ``HH:MM`` (``from`` and ``to`` in the file); `end` is not part of it and may be ``24:00``. An end
        before its start is on the next day, and `days` are those on which it starts. Alike: all day.
    time_zone : str
        IANA name; empty: the file's.
    """

    days: str | tuple[str, ...] = ()
    start: str = msgspec.field(name="from", default="00:00")
    end: str = msgspec.field(name="to", default="24:00")
    time_zone: str = ""

    def __post_init__(self) -> None:
        force_setattr(self, "days", _compact(weekdays(self.days)))
        force_setattr(self, "start", _clock(minute_of(self.start)))
        force_setattr(self, "end", _clock(minute_of(self.end)))
        zone(self.time_zone)

    def covers(self, at_s: float) -> bool:
        """Tell whether a time, in seconds since 1970, is within the days and hours."""
        local = dt.datetime.fromtimestamp(at_s, zone(self.time_zone))
        minute = local.hour * 60 + local.minute
        days, start, end = weekdays(self.days), minute_of(self.start), minute_of(self.end)
        if start < end:
            return local.weekday() in days and start <= minute < end
        yesterday = (local.weekday() - 1) % _WEEK_DAYS
        return (local.weekday() in days and minute >= start) or (yesterday in days and minute < end)

    def boundaries(self, from_s: float, n_days: int) -> Iterator[float]:
        """Give the times at which it may begin or end, over some days, in seconds since 1970."""
        place = zone(self.time_zone)
        first = dt.datetime.fromtimestamp(from_s, place).date() - dt.timedelta(days=1)
        for day in (first + dt.timedelta(days=i) for i in range(n_days + 2)):
            for minute in {minute_of(self.start), minute_of(self.end)}:
                wall = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minute)
                for fold in (0, 1):
                    yield wall.replace(tzinfo=place, fold=fold).timestamp()

    def __str__(self) -> str:
        days = ", ".join(self.days) or "every day"
        hours = "" if (self.start, self.end) == ("00:00", "24:00") else f" {self.start}-{self.end}"
        return f"{days}{hours} ({self.time_zone or 'UTC'})"


@lru_cache(maxsize=256)
def weekdays(days: str | tuple[str, ...]) -> frozenset[int]:
    """Give the days of the week, 0 for Monday; all of them where none is named.

    Raises
    ------
    ValueError
        A day is not one.
    """
    found: set[int] = set()
    for item in [days] if isinstance(days, str) else days:
        first, dash, last = (part.strip() for part in item.lower().partition("-"))
        for name in (first, last) if dash else (first,):
            require(name in DAYS, f"{item!r} is no day: write mon, tue, ... or mon-fri")
        at, to = DAYS.index(first), DAYS.index(last if dash else first)
        found.update((at + i) % _WEEK_DAYS for i in range((to - at) % _WEEK_DAYS + 1))
    return frozenset(found or range(_WEEK_DAYS))


def _compact(days: frozenset[int]) -> tuple[str, ...]:
    """Write days of the week as ranges, the same days always in the same way."""
    if len(days) == _WEEK_DAYS:
        return ()
    firsts = [day for day in sorted(days) if (day - 1) % _WEEK_DAYS not in days]
    ranges = []
    for first in firsts:
        n_days = next(n for n in range(1, _WEEK_DAYS + 1) if (first + n) % _WEEK_DAYS not in days)
        last = DAYS[(first + n_days - 1) % _WEEK_DAYS]
        ranges.append(DAYS[first] if n_days == 1 else f"{DAYS[first]}-{last}")
    return tuple(ranges)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


@lru_cache(maxsize=256)
def minute_of(text: str) -> int:
    """Give the minute of the day, 0 to 1440, that ``HH:MM`` names.

    Raises
    ------
    ValueError
        It names none.
    """
    hour, colon, minute = text.partition(":")
    good = colon and len(minute) == 2 and hour.isdecimal() and minute.isdecimal()
    value = int(hour) * 60 + int(minute) if good else -1
    require(0 <= value <= _DAY_MIN and int(minute) < 60, f"{text!r} is no time of day: write 08:00 to 24:00")
    return value


def changes(
    holds: Callable[[float], bool], when: When, span_s: tuple[float, float], at_s: float
) -> Iterator[float]:
    """Give the times at which something begins or ends to hold, in order.

    Looked at are its own boundaries on the wall's clock, the ends of its validity, and the quarters of an
    hour, at one of which a place changes its offset from UTC.

    Parameters
    ----------
    holds : callable
        Tells of a time, in seconds since 1970, whether it holds.
    when : When
        Its days and hours.
    span_s : (float, float)
        From when, and before when it is valid, in seconds since 1970.
    at_s : float
        Now.

    Yields
    ------
    float
        Seconds since 1970, above `at_s`, within two weeks of now and of its beginning.
    """
    begin, end = span_s
    times = {t for t in span_s if at_s < t < math.inf}
    for start in {at_s, max(at_s, begin)} - {math.inf}:
        first = int(start // _QUARTER_S) + 1
        times.update(float(q * _QUARTER_S) for q in range(first, first + _LOOK_DAYS * 96))
        times.update(when.boundaries(start, _LOOK_DAYS))
    state = holds(at_s)
    for time in sorted(t for t in times if at_s < t <= end):
        if holds(time) != state:
            state = not state
            yield time
