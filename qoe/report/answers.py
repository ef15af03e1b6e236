"""The page of ``qoe optimise``: what each cell was given, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from qoe.report import text
from qoe.report.charts import escape, tag
from qoe.report.html import MAX_ROWS, explanation_parts
from qoe.report.markup import class_name, document, scroll, section, table
from qoe.report.result import Explanation


def render(cells: Iterable[dict[str, Any]]) -> str:
    """Write what the optimiser answered as a page.

    Parameters
    ----------
    cells : iterable of dict
        Of `qoe.optimise.allocation_to_dict`.

    Returns
    -------
    str
        A whole HTML document; every name in it is escaped, nothing is loaded from elsewhere.
    """
    body = [tag("header", tag("h1", "Optimised cells")), *map(_cell, cells)]
    return document("Optimised cells", "\n".join(body))


def explanation_of(cell: dict[str, Any]) -> Explanation | None:
    """Give the explanation of an answer; None if it has none."""
    return msgspec.convert(cell["explanation"], Explanation) if "explanation" in cell else None


def _cell(cell: dict[str, Any]) -> str:
    where = f"Cell {cell['cell']}, {text.DIRECTION_WORDS[cell['direction']]}"
    told = (
        f"{text.si(cell['capacity_bps'], 'bit/s')}, {cell['status'].replace('_', ' ')}. Weighted mean MOS"
        f" before {text.mos(cell['mos_before'])}, after {text.mos(cell['mos_after'])}, bound"
        f" {text.mos(cell['mos_bound'])}; gap {text.percent(cell['gap_ratio'])}."
    )
    explanation = explanation_of(cell)
    parts = explanation_parts(where, explanation, cell["capacity_bps"]) if explanation else ()
    return section(where, told, *_allocations(cell["allocations"]), *parts)


def _allocations(rows: list[dict[str, Any]]) -> Iterator[str]:
    shown = sorted(rows, key=lambda a: -a["share_ratio"])[:MAX_ROWS]
    cells = (
        (
            escape(a["subscriber"]),
            class_name(a["class"]),
            f"{a['weight']:.2f}",
            text.percent(a["share_ratio"]),
            text.si(a["rate_bps"], "bit/s"),
            text.mos(a["mos_before"]),
            text.mos(a["mos_after"]),
        )
        for a in shown
    )
    yield scroll(table("Subscriber, Class, >Weight, >Share, >Rate, >MOS before, >After", cells))
    if len(rows) > MAX_ROWS:
        yield tag("p", f"… and {len(rows) - MAX_ROWS:,} more.")
