"""The picture of a cell's trade-off: mean MOS against the 5th percentile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from qoe.report import text
from qoe.report.charts import LEFT, RIGHT, WIDTH, escape, label, tag
from qoe.report.explained import POLICY_NAMES
from qoe.report.result import Explanation, PolicyResult, TradeOffPoint

_HEIGHT: Final = 300
_TOP: Final = 14
_BOTTOM: Final = 52
_DOT: Final = 6
_LINE: Final = 15.0  # of text
_LETTER: Final = 7.0
_SPAN_LEAST: Final = 0.4  # MOS that an axis shows at least
_COLOURS: Final = {
    "allocation": "#2f6fb0",
    "pf": "#ee6677",
    "weighted_pf": "#aa3377",
    "strict_priority": "#c9a227",
    "equal": "#8a8f98",
}


class _Axis:
    """A range of MOS, with a margin, on a stretch of the picture."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = min(values), max(values)
        margin = max(0.08 * (high - low), (_SPAN_LEAST - (high - low)) / 2.0, 0.02)
        self._low, self._span = low - margin, high - low + 2.0 * margin
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        """Give where a MOS lies."""
        return self._begin + (self._end - self._begin) * (value - self._low) / self._span

    def ticks(self) -> Iterator[float]:
        """Give round MOS within the range, 3 to 9 of them."""
        step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1.0) if self._span / s <= 9.0)
        k = -int(-(self._low / step) // 1)
        while k * step <= self._low + self._span:
            yield k * step
            k += 1


def trade_off(title: str, explanation: Explanation) -> str:
    """Draw what a cell could give, and what each policy would.

    Parameters
    ----------
    title : str
        Said by screen readers.
    explanation : Explanation
        Its front is a line, from the highest mean (alpha 0) to max-min, its policies are named dots.

    Returns
    -------
    str
        One SVG element; empty if there is nothing to draw.
    """
    dots = [p for p in explanation.policies if p.mean_mos is not None and p.p5_mos is not None]
    front = explanation.trade_off
    if not dots:
        return ""
    across = _Axis([*(p.p5_mos or 0.0 for p in dots), *(p.p5_mos for p in front)], LEFT, WIDTH - RIGHT)
    upward = _Axis([*(p.mean_mos or 0.0 for p in dots), *(p.mean_mos for p in front)], _TOP + _HEIGHT, _TOP)
    parts = [*_axes(across, upward), *_front(front, across, upward), *_dots(dots, front, across, upward)]
    box = f"0 0 {WIDTH} {_HEIGHT + _TOP + _BOTTOM}"
    return tag("svg", tag("title", escape(title)), *parts, viewBox=box, role="img")


def _axes(across: _Axis, upward: _Axis) -> Iterator[str]:
    bottom = float(_TOP + _HEIGHT)
    for value in upward.ticks():
        y = upward.at(value)
        yield tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        yield label(LEFT - 10, y + 4, f"{value:.2f}", "end", class_="tick")
    for value in across.ticks():
        x = across.at(value)
        yield tag("line", class_="axis", x1=x, x2=x, y1=bottom, y2=bottom + 5)
        yield label(x, bottom + 20, f"{value:.2f}", "middle", class_="tick")
    yield tag("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom)
    yield label((LEFT + WIDTH - RIGHT) / 2, bottom + 42, "5th percentile of the MOS", "middle", class_="tick")
    yield label(8, _TOP + 8, "mean MOS", class_="tick")


def _front(front: Sequence[TradeOffPoint], across: _Axis, upward: _Axis) -> Iterator[str]:
    if not front:
        return
    places = [(across.at(p.p5_mos), upward.at(p.mean_mos)) for p in front]
    path = "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(places))
    yield tag("path", class_="line axis", d=path)
    for point, (x, y) in zip(front, places, strict=True):
        name = "max-min" if point.alpha is None else f"alpha {point.alpha:g}"
        tip = tag(
            "title", f"{name}: mean {text.mos(point.mean_mos)}, 5th percentile {text.mos(point.p5_mos)}"
        )
        yield tag("circle", tip, class_="front", cx=x, cy=y, r=4)


def _dots(
    dots: Sequence[PolicyResult], front: Sequence[TradeOffPoint], across: _Axis, upward: _Axis
) -> Iterator[str]:
    places = [(across.at(p.p5_mos or 0.0), upward.at(p.mean_mos or 0.0)) for p in dots]
    traced = [(across.at(p.p5_mos), upward.at(p.mean_mos)) for p in front]
    taken = [_Box(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in places + traced]
    for policy, (x, y) in zip(dots, places, strict=True):
        colour = _COLOURS.get(policy.policy, "gray")
        name = POLICY_NAMES.get(policy.policy, policy.policy)
        told = f"{name}: mean {text.mos(policy.mean_mos)}, 5th percentile {text.mos(policy.p5_mos)}"
        yield tag("circle", tag("title", escape(told)), cx=x, cy=y, r=float(_DOT), fill=colour)
        box = _free_box(x, y, _LETTER * len(name), taken)
        taken.append(box)
        yield label(box.left, box.bottom - 4, name, class_="name", fill=colour)


class _Box(NamedTuple):
    """What a dot or a name covers."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        """Tell whether two overlap."""
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)


def _free_box(x: float, y: float, width: float, taken: Sequence[_Box]) -> _Box:
    """Find a place for a name near a dot: beside it, above, below, further below."""
    beside = [(x + 1.5 * _DOT, y), (x - 1.5 * _DOT - width, y)]
    stacked = [(x - width / 2.0, y + k * _LINE) for k in (-1.2, 1.2, 2.3, -2.3, 3.4, -3.4)]
    boxes = [_Box(left, at - _LINE / 2, left + width, at + _LINE / 2) for left, at in beside + stacked]
    inside = [b for b in boxes if b.left >= LEFT and b.right <= WIDTH and b.top >= 0.0]
    free = [b for b in inside if not any(b.meets(other) for other in taken)]
    return (free or inside or boxes)[0]
