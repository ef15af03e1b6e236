"""What a replay found, as one self-contained page: inline style, inline pictures, no script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qoe.report import charts, text
from qoe.report.charts import CLASS_COLOURS, Point, Series, escape, tag
from qoe.report.explained import explained, policy_row
from qoe.report.markup import class_name, document, items, scroll, section, table
from qoe.report.result import (
    AllocationRow,
    CellResult,
    ClassSummary,
    Explanation,
    ReplayResult,
    SubscriberSummary,
)
from qoe.report.story import cell_details, sentences, suffering
from qoe.report.trade_off import trade_off

MAX_STRIPS = 40
MAX_ROWS = 100

_TERMS = (
    ("MOS", "mean opinion score of ITU-T P.800.1, 1 (bad) to 5 (excellent), estimated from the packets."),
    (
        "Before, after",
        "MOS on the same utility curve, at the share each bearer had and at the share it would get.",
    ),
    (
        "Bound, gap",
        "no weights can give a higher mean MOS than the bound; the gap is how far from it the result may be.",
    ),
    ("Weight", "what a weighted scheduler is set to; the mean over the bearers of a cell is 1."),
    ("Fairness", "Hoßfeld index of the MOS of a cell's bearers, 0 to 1 (all alike)."),
)

_TRADE_OFF = (
    "The line is what could be had under the same promises, from the highest mean (alpha 0) to the best for"
    " the worst-off (max-min). Policies know of no promises."
)


def render(result: ReplayResult) -> str:
    """Write a replay's result as a page.

    Parameters
    ----------
    result : ReplayResult
        Of `qoe.replay`.

    Returns
    -------
    str
        A whole HTML document; every name in it is escaped, nothing is loaded from elsewhere.
    """
    title = ", ".join(c.name for c in result.captures) or "Replay"
    body = "\n".join([_header(result), _tiles(result), *_sections(result), _footer()])
    return document(f"{title}: quality of experience", body)


def _header(result: ReplayResult) -> str:
    names = text.some([c.name for c in result.captures], 3)
    when = (
        f"{text.date(result.first_s)}, {text.duration(result.duration_s)}" if result.packets else "no packets"
    )
    return tag("header", tag("h1", "Quality of experience"), tag("p", escape(f"{names} · {when}")))


def _tile(value: str, meaning: str) -> str:
    return tag("div", tag("b", escape(value)), tag("span", escape(meaning)), class_="tile")


def _tiles(result: ReplayResult) -> str:
    judged = sum(s.mos is not None for s in result.subscribers)
    tiles = [_tile(f"{len(suffering(result)):,} of {judged:,}", "subscribers below fair quality (MOS 3)")]
    for cell in _busiest_first(result.cells)[:1]:
        where = f"{cell.cell}, {text.DIRECTION_WORDS[cell.direction]}"
        if cell.capacity_is_lower_bound:
            tiles.append(
                _tile(
                    text.si(cell.capacity_bps, "bit/s"),
                    f"busiest second of {where}: a lower bound of its capacity",
                )
            )
            continue
        tiles.append(
            _tile(text.percent(cell.load_ratio), f"of the capacity in use at the busiest time of {where}")
        )
        tiles.append(
            _tile(
                f"{text.mos(cell.mos_before)} → {text.mos(cell.mos_after)}",
                f"mean MOS of {where}, before and after new weights",
            )
        )
        tiles.append(
            _tile(text.percent(cell.gap_ratio), "from the best that any weights could give, at most")
        )
    return tag("div", *tiles, class_="tiles")


def _busiest_first(cells: Iterable[CellResult]) -> list[CellResult]:
    return sorted(cells, key=lambda c: -c.load_bps)


def _sections(result: ReplayResult) -> Iterator[str]:
    if result.warnings:
        told = (
            "Not all could be read: this page shows what was."
            if result.partial
            else "All that could be read was."
        )
        yield section("Please note", told, items(result.warnings), class_="warning")
    yield section(
        "In short",
        "What was found, who suffers, and what other weights would change.",
        items(sentences(result)),
    )
    yield from _over_time(result)
    for cell in result.cells:
        yield _cell(result, cell)
    yield section(
        "Classes",
        "Traffic by application class; MOS is the mean over subscribers and time.",
        _class_table(result.classes),
    )
    yield section("Subscribers", "The worst served first.", _subscriber_table(result.subscribers))


def _span(result: ReplayResult) -> float:
    points = result.timeline
    return max(points[-1].time_s - _start(result), result.duration_s) if points else result.duration_s


def _start(result: ReplayResult) -> float:
    first = result.timeline[0] if result.timeline else None
    return min(first.time_s - first.duration_s, result.first_s) if first else result.first_s


def _series(result: ReplayResult, kind: str, names: Iterable[str]) -> list[Series]:
    start = _start(result)
    made = []
    for name in names:
        points = [
            Point(p.time_s - start, p.duration_s, value)
            for p in result.timeline
            if (value := getattr(p, kind).get(name)) is not None
        ]
        if points:
            made.append(Series(name, CLASS_COLOURS.get(name, "currentColor"), points))
    return made


def _over_time(result: ReplayResult) -> Iterator[str]:
    span = _span(result)
    classes = _series(result, "classes", [c.app_class for c in result.classes])
    if classes:
        picture = charts.mos_lines("MOS by application class over time", classes, span)
        yield section(
            "Experience by class",
            "Mean MOS of all subscribers' traffic of a class, over time.",
            scroll(picture),
        )
    worst_first = sorted(result.subscribers, key=lambda s: (s.mos is None, s.mos or 0.0))
    strips = _series(result, "subscribers", [s.subscriber for s in worst_first])
    if strips:
        told = "Each strip is one subscriber, the worst first; the number is the mean MOS."
        if len(strips) > MAX_STRIPS:
            told += f" The worst {MAX_STRIPS} of {len(strips):,} are shown."
        picture = charts.mos_strips("MOS by subscriber over time", strips[:MAX_STRIPS], span)
        yield section("Experience by subscriber", told, _mos_key(), scroll(picture))


def _mos_key() -> str:
    swatches = [
        tag(
            "span",
            tag("i", "", style=f"background:{charts.mos_colour(float(m))}"),
            f"{m} {text.mos_word(float(m))}",
        )
        for m in range(1, 6)
    ]
    return tag("div", *swatches, class_="key")


def _cell(result: ReplayResult, cell: CellResult) -> str:
    where = f"Cell {cell.cell}, {text.DIRECTION_WORDS[cell.direction]}"
    start = _start(result)
    points = [
        Point(p.time_s - start, p.duration_s, c.rate_bps)
        for p in result.timeline
        for c in p.cells
        if (c.cell, c.direction) == (cell.cell, cell.direction)
    ]
    name = "busiest second" if cell.capacity_is_lower_bound else "capacity"
    load = charts.load_area(f"Load of {where}", points, _span(result), cell.capacity_bps, name)
    return section(
        where,
        "Load over time, and each bearer's share of the capacity: at the busiest time, and with new weights.",
        scroll(load),
        items([_figures(cell), *cell_details(cell)]),
        scroll(_allocation_table(cell)),
        *(explanation_parts(where, cell.explanation, cell.capacity_bps) if cell.explanation else ()),
    )


def explanation_parts(where: str, explanation: Explanation, capacity_bps: float) -> Iterator[str]:
    """Lay out why a cell was shared so: sentences, a table of policies, the picture of the trade-off.

    Parameters
    ----------
    where : str
        Name of the cell and its direction.
    explanation : Explanation
    capacity_bps : float
        Of the cell.
    """
    yield tag("h3", "Why so")
    yield items(explained(explanation, capacity_bps))
    yield tag("h3", "What else there was")
    header = "Policy, >Mean MOS, >5th percentile, >Below MOS 2, >Below MOS 3"
    yield scroll(table(header, ([escape(c) for c in policy_row(p)] for p in explanation.policies)))
    yield scroll(trade_off(f"Trade-off of {where}", explanation))
    yield tag("p", escape(_TRADE_OFF), class_="told")


def _figures(cell: CellResult) -> str:
    source = "At least" if cell.capacity_is_lower_bound else "Capacity"
    told = f"{source} {text.si(cell.capacity_bps, 'bit/s')}. Mean MOS measured {text.mos(cell.mos_measured)}"
    if cell.capacity_is_lower_bound:
        return f"{told}. As the capacity is not known, the shares seen are kept and no gain is claimed."
    before, after = text.mos(cell.mos_before), text.mos(cell.mos_after)
    told += f"; on the curves before {before}, after {after}, bound {text.mos(cell.mos_bound)}"
    if cell.counterfactual_pf is not None:
        told += f" (proportional fairness alone: {text.mos(cell.counterfactual_pf)})"
    return f"{told}. Fairness {text.mos(cell.fairness_before)} before, {text.mos(cell.fairness_after)} after."


def _class_table(classes: Sequence[ClassSummary]) -> str:
    rows = (
        (
            class_name(c.app_class),
            f"{c.flows:,}",
            f"{c.packets:,}",
            text.si(c.bytes, "B"),
            text.mos(c.mos),
            text.mos_word(c.mos),
        )
        for c in classes
    )
    return scroll(table("Class, >Flows, >Packets, >Bytes, >MOS, &nbsp;", rows))


def _subscriber_table(subscribers: Sequence[SubscriberSummary]) -> str:
    worst_first = sorted(subscribers, key=lambda s: (s.mos is None, s.mos or 0.0, -s.bytes))
    rows = [
        (
            escape(s.subscriber),
            escape(s.cell),
            escape(s.tier),
            f"{s.flows:,}",
            text.si(s.bytes_down, "B"),
            text.si(s.bytes_up, "B"),
            text.mos(s.mos),
            text.mos(s.mos_min),
            ", ".join(f"{c.app_class} {text.mos(c.mos)}" for c in s.classes if c.mos is not None),
        )
        for s in worst_first[:MAX_ROWS]
    ]
    return scroll(
        table("Subscriber, Cell, Tier, >Flows, >Down, >Up, >MOS, >Worst, By class", rows)
    ) + _left_off(subscribers)


def _left_off(rows: Sequence[object]) -> str:
    return tag("p", f"… and {len(rows) - MAX_ROWS:,} more.") if len(rows) > MAX_ROWS else ""


def _allocation_table(cell: CellResult) -> str:
    shown = sorted(cell.allocations, key=lambda a: -max(a.share_ratio, a.share_before_ratio or 0.0))[
        :MAX_ROWS
    ]
    widest = max((max(a.share_ratio, a.share_before_ratio or 0.0) for a in shown), default=1.0) or 1.0
    rows = (
        (
            escape(a.subscriber),
            class_name(a.app_class),
            _bars(a, widest),
            f"{text.percent(a.share_before_ratio)} → {text.percent(a.share_ratio)}",
            text.si(a.rate_bps, "bit/s"),
            f"{a.weight:.2f}",
            _change(a),
        )
        for a in shown
    )
    return table(
        "Subscriber, Class, Share before and after, >&nbsp;, >Rate after, >Weight, >MOS", rows
    ) + _left_off(cell.allocations)


def _bars(a: AllocationRow, widest: float) -> str:
    def bar(ratio: float, **look: str) -> str:
        style = f"width:{100 * ratio / widest:.1f}%;{look.get('style', '')}"
        return tag("div", "", class_=look.get("class_", "now"), style=style)

    before = bar(a.share_before_ratio or 0.0, class_="was")
    after = bar(a.share_ratio, style=f"background:{CLASS_COLOURS.get(a.app_class, 'gray')}")
    return tag("div", before, after, class_="bars")


def _change(a: AllocationRow) -> str:
    told = f"{text.mos(a.mos_before)} → {text.mos(a.mos_after)}"
    if a.mos_before is None or a.mos_after is None or abs(a.mos_after - a.mos_before) < 0.05:
        return told
    return tag("span", told, class_="up" if a.mos_after > a.mos_before else "down")


def _footer() -> str:
    terms = (tag("dt", escape(term)) + tag("dd", escape(meaning)) for term, meaning in _TERMS)
    return tag("footer", tag("dl", *terms))
