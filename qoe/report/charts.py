"""Pictures of a replay as inline SVG: no script, no font and nothing else is fetched.

Colours that must follow the page's light or dark scheme are CSS classes; those that mean something
(application classes, MOS) are fixed and can be told apart with every kind of colour vision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape as escape_html
from typing import Final, NamedTuple

from qoe.report import text

CLASS_COLOURS: Final[dict[str, str]] = {
    "video": "#4477aa",
    "voip": "#ee6677",
    "gaming": "#228833",
    "web": "#c9a227",
    "bulk": "#aa3377",
    "other": "#8a8f98",
    "unknown": "#b5b8be",
}
_MOS_COLOURS: Final = ((165, 0, 38), (244, 109, 67), (254, 224, 144), (116, 173, 209), (49, 54, 149))
_STEPS_S: Final = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
)
_STEPS_LONG_S: Final = (14400, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000, 315360000)

WIDTH: Final = 1000
LEFT: Final = 112
RIGHT: Final = 104
_TOP: Final = 14
_BOTTOM: Final = 30
_N_COLUMNS: Final = 240


class Point(NamedTuple):
    """A value over a span of time: its end and length in seconds from the start of the picture."""

    time_s: float
    duration_s: float
    value: float


class Series(NamedTuple):
    """A named line."""

    name: str
    colour: str
    points: Sequence[Point]


def escape(content: str) -> str:
    """Make any text safe in markup; what is not printable is written as an escape."""
    return escape_html(text.printable(content))


def tag(name: str, *children: str, **attributes: object) -> str:
    """Write an element; underscores in attributes stand for dashes, one at the end is dropped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def _short(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def label(x: float, y: float, content: str, anchor: str = "start", **attributes: object) -> str:
    """Write text into a picture."""
    return tag("text", escape(content), x=x, y=y, text_anchor=anchor, **attributes)


def mos_colour(value: float) -> str:
    """Give the colour of a MOS: red for bad over yellow for fair to blue for excellent."""
    position = min(max(value, 1.0), 5.0) - 1.0
    low = min(int(position), 3)
    mix = position - low
    channels = (
        round(a + (b - a) * mix) for a, b in zip(_MOS_COLOURS[low], _MOS_COLOURS[low + 1], strict=True)
    )
    return "#{:02x}{:02x}{:02x}".format(*channels)


def _time_text(seconds: float, step_s: float) -> str:
    if step_s < 1:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if step_s < 60 and whole < 600:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d} h" if step_s >= 60 and hours else f"{whole // 60}:{whole % 60:02d} min"


def time_ticks(span_s: float) -> list[tuple[float, str]]:
    """Choose round times along `span_s` seconds, with their names."""
    steps = _STEPS_S + _STEPS_LONG_S
    step = next((s for s in steps if span_s / s <= 10), steps[-1])
    return [(i * step, _time_text(i * step, step)) for i in range(int(span_s / step * (1 + 1e-9)) + 1)]


class Frame:
    """The axes of a picture: where seconds and values lie.

    Parameters
    ----------
    span_s : float
        Seconds that the width shows.
    height : int
        Of the plot, in units of the picture.
    low, high : float
        Range of the values.
    """

    def __init__(self, span_s: float, height: int, low: float, high: float) -> None:
        self.span_s = max(span_s, 1e-3)
        self.height, self._low, self._high = height, low, high

    def x(self, time_s: float) -> float:
        """Give where a time lies."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(time_s / self.span_s, 0.0), 1.0)

    def y(self, value: float) -> float:
        """Give where a value lies."""
        return _TOP + self.height * (1 - (value - self._low) / (self._high - self._low))

    def axes(self, values: Iterable[tuple[float, str]]) -> list[str]:
        """Draw the grid: lines for `values`, ticks for the time."""
        parts = []
        for value, name in values:
            y = self.y(value)
            parts.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
            parts.append(label(LEFT - 10, y + 4, name, "end", class_="tick"))
        bottom = _TOP + self.height
        for time_s, name in time_ticks(self.span_s):
            x = self.x(time_s)
            parts.append(tag("line", class_="axis", x1=x, x2=x, y1=bottom, y2=bottom + 5))
            parts.append(label(x, bottom + 20, name, "middle", class_="tick"))
        parts.append(tag("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom))
        return parts

    def picture(self, title: str, parts: Iterable[str]) -> str:
        """Close the picture; the title is what a screen reader says."""
        box = f"0 0 {WIDTH} {self.height + _TOP + _BOTTOM}"
        return tag("svg", tag("title", escape(title)), *parts, viewBox=box, role="img")


def binned(points: Sequence[Point], span_s: float, n_bins: int = _N_COLUMNS) -> list[Point]:
    """Average points into at most `n_bins` equal spans, weighted by their lengths."""
    if len(points) <= n_bins:
        return list(points)
    width = span_s / n_bins
    sums: dict[int, list[float]] = {}
    for p in points:
        total = sums.setdefault(min(max(math.ceil(p.time_s / width) - 1, 0), n_bins - 1), [0.0, 0.0])
        total[0] += p.value * p.duration_s
        total[1] += p.duration_s
    return [Point((i + 1) * width, width, s / d) for i, (s, d) in sorted(sums.items()) if d > 0]


def _path(frame: Frame, points: Sequence[Point]) -> str:
    """Join points by lines; where nothing was measured in between the line breaks."""
    steps, last = [], -math.inf
    for p in points:
        middle = p.time_s - p.duration_s / 2
        joined = p.time_s - p.duration_s - last <= 2 * p.duration_s
        steps.append(f"{'L' if joined else 'M'}{_short(frame.x(middle))} {_short(frame.y(p.value))}")
        last = p.time_s
    return "".join(steps)


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart: at least `gap` between two, as near as may be to where they belong."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = [0.0] * len(wanted)
    edge = low - gap
    for i in order:
        edge = placed[i] = max(wanted[i], edge + gap)
    edge = high + gap
    for i in reversed(order):
        edge = placed[i] = min(placed[i], edge - gap)
    return placed


def mos_lines(title: str, series: Sequence[Series], span_s: float) -> str:
    """Draw MOS over time, one line a series, named at its end.

    Parameters
    ----------
    title : str
        Said by screen readers.
    series : sequence of Series
        Points of MOS, 1 to 5.
    span_s : float
        Seconds that the width shows.

    Returns
    -------
    str
        One SVG element.
    """
    frame = Frame(span_s, 240, 1.0, 5.0)
    parts = frame.axes([(m, f"{m} {text.mos_word(m)}") for m in range(1, 6)])
    drawn = [s._replace(points=binned(s.points, span_s)) for s in series if s.points]
    ends = _spread([frame.y(s.points[-1].value) for s in drawn], 15, _TOP, _TOP + frame.height)
    for s, end in zip(drawn, ends, strict=True):
        mean = sum(p.value * p.duration_s for p in s.points) / sum(p.duration_s for p in s.points)
        tip = tag("title", escape(f"{s.name}: mean MOS {mean:.2f}"))
        parts.append(tag("path", tip, class_="line", d=_path(frame, s.points), stroke=s.colour))
        last = s.points[-1]
        parts.append(
            tag(
                "circle",
                cx=frame.x(last.time_s - last.duration_s / 2),
                cy=frame.y(last.value),
                r=3.5,
                fill=s.colour,
            )
        )
        parts.append(label(WIDTH - RIGHT + 10, end + 4, s.name, class_="name", fill=s.colour))
    return frame.picture(title, parts)


def mos_strips(title: str, series: Sequence[Series], span_s: float) -> str:
    """Draw MOS over time as one coloured strip a series.

    Parameters are those of `mos_lines`.
    """
    row = 22
    frame = Frame(span_s, row * max(len(series), 1), 0.0, 1.0)
    parts = frame.axes([])
    for i, s in enumerate(series):
        y = _TOP + i * row
        points = binned(s.points, span_s)
        parts.append(label(LEFT - 10, y + 15, shortened(s.name, 15), "end", class_="tick"))
        parts.extend(_strip(frame, s.name, points, y, row - 4))
        if points:
            mean = sum(p.value * p.duration_s for p in points) / sum(p.duration_s for p in points)
            parts.append(label(WIDTH - RIGHT + 10, y + 15, text.mos(mean), class_="tick"))
    return frame.picture(title, parts)


def shortened(name: str, limit: int) -> str:
    """Cut a name to `limit` characters."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _strip(frame: Frame, name: str, points: Sequence[Point], y: float, height: float) -> Iterable[str]:
    """Draw runs of one colour as one rectangle each."""
    i = 0
    while i < len(points):
        level, j = round(points[i].value * 4), i + 1
        while j < len(points) and round(points[j].value * 4) == level and _adjacent(points[j - 1], points[j]):
            j += 1
        start, end = points[i].time_s - points[i].duration_s, points[j - 1].time_s
        told = f"{name}, {start:.0f} to {end:.0f} s: MOS {level / 4:.1f}, {text.mos_word(level / 4)}"
        x = frame.x(start)
        yield tag(
            "rect",
            tag("title", escape(told)),
            x=x,
            y=y,
            height=height,
            width=max(frame.x(end) - x, 0.5) + 0.25,
            fill=mos_colour(level / 4),
        )
        i = j


def _adjacent(a: Point, b: Point) -> bool:
    return b.time_s - b.duration_s - a.time_s <= 0.5 * b.duration_s


def _value_ticks(high: float) -> list[float]:
    raw = high / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    return [i * step for i in range(int(high / step * (1 + 1e-9)) + 1)]


def load_area(
    title: str, points: Sequence[Point], span_s: float, capacity_bps: float, capacity_name: str
) -> str:
    """Draw the load of a cell over time against its capacity.

    Parameters
    ----------
    title : str
        Said by screen readers.
    points : sequence of Point
        Load in bit/s.
    span_s : float
        Seconds that the width shows.
    capacity_bps : float
        Drawn as a line.
    capacity_name : str
        What stands at that line.

    Returns
    -------
    str
        One SVG element.
    """
    shown = binned(points, span_s)
    high = max([capacity_bps, *(p.value for p in shown), 1.0]) * 1.08
    frame = Frame(span_s, 150, 0.0, high)
    parts = frame.axes([(v, text.si(v, "bit/s") if v else "0") for v in _value_ticks(high)])
    for p in shown:
        x, y = frame.x(p.time_s - p.duration_s), frame.y(p.value)
        tip = tag("title", escape(f"{p.time_s:.0f} s: {text.si(p.value, 'bit/s')}"))
        parts.append(
            tag(
                "rect",
                tip,
                class_="load",
                x=x,
                y=y,
                width=max(frame.x(p.time_s) - x, 0.5) + 0.25,
                height=frame.y(0) - y,
            )
        )
    y = frame.y(capacity_bps)
    parts.append(tag("line", class_="capacity", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
    parts.append(label(WIDTH - RIGHT + 10, y + 4, capacity_name, class_="name capacity-name"))
    return frame.picture(title, parts)
