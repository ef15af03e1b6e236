"""Numbers and names as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_SI: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MOS_WORDS: Final = ((1.5, "bad"), (2.5, "poor"), (3.5, "fair"), (4.5, "good"))
_GAP_WORDS: Final = (
    (5e-4, "the best on these curves"),
    (0.01, "as good as the best"),
    (0.05, "near the best"),
)
DIRECTION_WORDS: Final = {"down": "downlink", "up": "uplink"}


def si(value: float, unit: str) -> str:
    """Write a quantity with an SI prefix and three digits: ``19.2 Mbit/s``."""
    for scale, prefix in _SI:
        if abs(value) >= scale * 0.9995:
            return (
                f"{value / scale:.3g} {prefix}{unit}"
                if value < scale * 999.5
                else f"{value / scale:,.0f} {prefix}{unit}"
            )
    return f"{value:.3g} {unit}"


def mos(value: float | None) -> str:
    """Write a MOS with two decimals; what could not be judged is a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def percent(ratio: float | None) -> str:
    """Write a ratio in percent: ``96 %``, ``0.3 %``, ``<0.01 %``."""
    if ratio is None or not math.isfinite(ratio):
        return "–"
    value = ratio * 100
    if 0 < value < 0.01:
        return "<0.01 %"
    digits = 0 if abs(value) >= 10 or value == 0 else 1 if abs(value) >= 1 else 2
    return f"{value:.{digits}f} %"


def mos_word(value: float | None) -> str:
    """Name a MOS by the scale of ITU-T P.800: bad, poor, fair, good, excellent; empty for none."""
    if value is None:
        return ""
    return next((word for limit, word in _MOS_WORDS if value < limit), "excellent")


def gap_word(gap_ratio: float) -> str:
    """Say what a certified gap means."""
    return next((word for limit, word in _GAP_WORDS if gap_ratio <= limit), "maybe not the best")


def date(time_s: float) -> str:
    """Write a date and time of day in UTC."""
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time_s:.0f} s"


def clock(time_s: float) -> str:
    """Write a time of day in UTC; one that no calendar has is written in seconds."""
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time_s:.0f} s"


def duration(seconds: float) -> str:
    """Write a length of time: ``59.8 s``, ``12 min 5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 120:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s".replace(".0 s", " s")
    for unit_s, unit, part_s, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= 2 * unit_s or unit == "min":
            whole, rest = divmod(round(seconds), unit_s)
            return f"{whole:,} {unit} {rest // part_s} {part}"
    raise AssertionError("seconds >= 120 always reaches minutes")


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 flow``, ``1,204 flows``, ``2 classes``."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def printable(name: str) -> str:
    """Make a name safe for a terminal: what is not printable is written as an escape."""
    return name if name.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def some(items: list[str], limit: int) -> str:
    """Join the first few: ``a, b and 3 more``."""
    if len(items) > limit:
        return f"{', '.join(items[:limit])} and {len(items) - limit:,} more"
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""
