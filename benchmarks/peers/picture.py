"""The peers as a picture: CPU a packet on a logarithmic scale, one panel a capture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

_ROW, _TOP, _LEFT, _PANEL, _GAP, _RIGHT = 24, 58, 180, 230, 100, 100
_OURS, _OTHERS, _FAINT, _INK = "#0a6c74", "#8a5a00", "#d9d9d9", "#222222"

_Cases = Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]]


def draw(tools: _Cases, captures: Sequence[str]) -> str:
    """An SVG of the cases.

    Parameters
    ----------
    tools : mapping
        Cases by tool and variant, then by capture; drawn in this order.
    captures : sequence of str
        Panels, from the left.
    """
    values = [
        case["cpu_ns_per_packet"]
        for cases in tools.values()
        for name, case in cases.items()
        if name in captures and "cpu_ns_per_packet" in case
    ]
    low = math.floor(math.log10(min(values, default=1.0)))
    high = max(math.ceil(math.log10(max(values, default=10.0))), low + 1)
    bottom = _TOP + _ROW * len(tools)
    width = _LEFT + len(captures) * _PANEL + (len(captures) - 1) * _GAP + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 28}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(14, 22, "CPU time a packet, whole process (logarithmic; less is better)", bold=True),
    ]
    for row, (tool, variant) in enumerate(tools):
        name = f"{tool}, {variant}" if variant else tool
        colour = _OURS if tool == "qoe" else _INK
        parts.append(_text(_LEFT - 14, _middle(row) + 4, name, colour, "end", bold=tool == "qoe"))
    for number, capture in enumerate(captures):
        left = _LEFT + number * (_PANEL + _GAP)
        parts += _panel(left, bottom, capture, (low, high))
        for row, ((tool, _), cases) in enumerate(tools.items()):
            parts += _mark(
                left, row, cases.get(capture, {}), (low, high), _OURS if tool == "qoe" else _OTHERS
            )
    return "\n".join([*parts, "</svg>", ""])


def _middle(row: int) -> int:
    return _TOP + _ROW * row + _ROW // 2


def _place(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return _PANEL * (math.log10(value) - low) / (high - low)


def _panel(left: int, bottom: int, capture: str, decades: tuple[int, int]) -> list[str]:
    parts = [_text(left, 46, capture, bold=True)]
    for power in range(decades[0], decades[1] + 1):
        x = left + _place(10**power, decades)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="{_FAINT}"/>')
        parts.append(_text(x, bottom + 18, duration(10**power), anchor="middle"))
    return parts


def _mark(left: int, row: int, case: Mapping[str, Any], decades: tuple[int, int], colour: str) -> list[str]:
    """A dot with its value; the ratio to ours where there is one."""
    y = _middle(row)
    if "cpu_ns_per_packet" not in case:
        return [_text(left + 6, y + 4, "failed" if "error" in case else "not measured", _INK)]
    x = left + _place(case["cpu_ns_per_packet"], decades)
    label = duration(case["cpu_ns_per_packet"])
    if case.get("ratio_to_ours", 1.0) != 1.0:
        label += f" · {case['ratio_to_ours']:.2g}×"
    return [
        f'<path d="M{left} {y}H{x:.1f}" stroke="{colour}" stroke-opacity="0.35" stroke-width="2"/>',
        f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}"/>',
        _text(x + 10, y + 4, label),
    ]


def duration(value_ns: float) -> str:
    """Nanoseconds as people read them: three digits."""
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if value_ns >= size:
            return f"{value_ns / size:.3g} {unit}"
    return f"{value_ns:.3g} ns"


def _text(
    x: float, y: float, words: str, colour: str = _INK, anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y}" fill="{colour}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'
