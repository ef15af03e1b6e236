"""What a replay found, as text of 80 to 100 columns."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, Final

from qoe.report import text
from qoe.report.answers import explanation_of
from qoe.report.explained import explained, policy_row
from qoe.report.result import (
    AllocationRow,
    CellResult,
    ClassSummary,
    Explanation,
    ReplayResult,
    SubscriberSummary,
)
from qoe.report.story import cell_details, change_sentence, load_sentence

WIDTH: Final = 96
MAX_ROWS: Final = 40

Style = Callable[[str], str]


def bold_for(stream: IO[str] | None) -> Style:
    """Give what sets headings in bold: only on a terminal, and not where ``NO_COLOR`` is set."""
    plain = (
        stream is None
        or not stream.isatty()
        or os.environ.get("NO_COLOR")
        or os.environ.get("TERM") == "dumb"
    )
    return str if plain else lambda line: f"\x1b[1m{line}\x1b[0m"


def aligned(header: str, rows: Iterable[Sequence[str]], bold: Style = str) -> Iterator[str]:
    """Lay rows out in columns.

    Parameters
    ----------
    header : str
        Names of the columns, apart by spaces; those that begin with ``>`` are set to the right.
    rows : iterable of sequences of str
        One cell a column.
    bold : callable
        Styles the header.

    Yields
    ------
    str
        Lines without a newline.
    """
    names = header.split()
    body = [list(row) for row in rows]
    if not body:
        return
    columns = [
        [name.lstrip(">").replace("_", " "), *cells]
        for name, cells in zip(names, zip(*body, strict=True), strict=True)
    ]
    widths = [max(map(len, column)) for column in columns]
    for i, row in enumerate(zip(*columns, strict=True)):
        line = "  ".join(
            cell.rjust(width) if name.startswith(">") else cell.ljust(width)
            for name, cell, width in zip(names, row, widths, strict=True)
        ).rstrip()
        yield bold(line) if i == 0 else line


def render(result: ReplayResult, bold: Style = str) -> str:
    """Write a replay's result as text.

    Parameters
    ----------
    result : ReplayResult
        Of `qoe.replay`.
    bold : callable
        Styles headings: `bold_for(stream)`.

    Returns
    -------
    str
        Lines, the last with its newline.
    """
    blocks = [_head(result, bold), _classes(result.classes, bold), _subscribers(result.subscribers, bold)]
    blocks += [_cell(cell, bold) for cell in result.cells]
    return "\n\n".join("\n".join(lines) for block in blocks if (lines := list(block))) + "\n"


def _head(result: ReplayResult, bold: Style) -> Iterator[str]:
    names = text.some([text.printable(c.name) for c in result.captures], 3)
    yield bold(
        f"{names}: {text.plural(result.packets, 'packet')}, {text.si(result.bytes, 'B')},"
        f" {text.plural(result.flows, 'flow')}, {text.duration(result.duration_s)}"
    )
    if result.partial:
        yield "PARTIAL: not all could be read; what follows is what was."


def _classes(classes: Sequence[ClassSummary], bold: Style) -> Iterator[str]:
    rows = (
        (
            c.app_class,
            f"{c.flows:,}",
            f"{c.packets:,}",
            text.si(c.bytes, "B"),
            text.mos(c.mos),
            text.mos_word(c.mos),
        )
        for c in classes
    )
    return aligned("Class >flows >packets >bytes >MOS _", rows, bold)


def _by_class(subscriber: SubscriberSummary) -> str:
    judged = [f"{c.app_class} {text.mos(c.mos)}" for c in subscriber.classes if c.mos is not None]
    return ", ".join(judged)


def _subscribers(subscribers: Sequence[SubscriberSummary], bold: Style) -> Iterator[str]:
    worst_first = sorted(subscribers, key=lambda s: (s.mos is None, s.mos or 0.0, -s.bytes))
    rows = (
        (
            text.printable(s.subscriber),
            text.printable(s.tier or "–"),
            f"{s.flows:,}",
            text.si(s.bytes_down, "B"),
            text.si(s.bytes_up, "B"),
            text.mos(s.mos),
            text.mos(s.mos_min),
            _by_class(s),
        )
        for s in worst_first[:MAX_ROWS]
    )
    yield from aligned("Subscriber Tier >flows >down >up >MOS >worst by_class", rows, bold)
    yield from _left_off(len(subscribers))


def _left_off(count: int) -> Iterator[str]:
    if count > MAX_ROWS:
        yield f"… and {count - MAX_ROWS:,} more: --json lists all"


def _allocation(a: AllocationRow) -> tuple[str, ...]:
    return (
        text.printable(a.subscriber),
        a.app_class,
        f"{a.weight:.2f}",
        text.percent(a.share_before_ratio),
        text.percent(a.share_ratio),
        text.si(a.rate_bps, "bit/s"),
        text.mos(a.mos_measured),
        text.mos(a.mos_before),
        text.mos(a.mos_after),
    )


def _observation(a: AllocationRow) -> tuple[str, ...]:
    name, app_class, weight, share, _, rate, seen, on_curve, _ = _allocation(a)
    return name, app_class, weight, share, rate, seen, on_curve


def _cell(cell: CellResult, bold: Style) -> Iterator[str]:
    source = "a lower bound, from the trace" if cell.capacity_is_lower_bound else cell.capacity_source
    yield bold(
        f"Cell {text.printable(cell.cell)}, {text.DIRECTION_WORDS[cell.direction]}:"
        f" capacity {text.si(cell.capacity_bps, 'bit/s')} ({source})"
    )
    for told in (load_sentence(cell), *change_sentence(cell), *cell_details(cell)):
        sentence = told[0].upper() + told[1:]
        yield from textwrap.wrap(
            text.printable(sentence), WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    yield from textwrap.wrap(_figures(cell), WIDTH, initial_indent="  ", subsequent_indent="    ")
    shown = sorted(cell.allocations, key=lambda a: -a.rate_before_bps)[:MAX_ROWS]
    header = "Subscriber Class >weight >share >new_share >new_rate >MOS_seen >before >after"
    rows = map(_allocation, shown)
    if cell.capacity_is_lower_bound:
        header = "Subscriber Class >weight >share >rate >MOS_seen >on_curve"
        rows = map(_observation, shown)
    for line in aligned(header, rows, bold):
        yield f"  {line}"
    yield from _left_off(len(cell.allocations))
    if cell.explanation:
        yield from _explanation(cell.explanation, cell.capacity_bps, bold)


def _figures(cell: CellResult) -> str:
    figures = [f"MOS measured {text.mos(cell.mos_measured)}, before {text.mos(cell.mos_before)}"]
    if not cell.capacity_is_lower_bound:
        figures[0] += f", after {text.mos(cell.mos_after)}, bound {text.mos(cell.mos_bound)}"
        figures.append(f"gap {text.percent(cell.gap_ratio)}")
        figures.append(f"fairness {text.mos(cell.fairness_before)} to {text.mos(cell.fairness_after)}")
        figures.append(f"{cell.status.replace('_', ' ')}")
    return "; ".join(figures)


def allocations(cells: Iterable[dict[str, Any]], bold: Style = str) -> str:
    """Write what the optimiser answered as text.

    Parameters
    ----------
    cells : iterable of dict
        Of `qoe.optimise.allocation_to_dict`.
    bold : callable
        Styles headings.

    Returns
    -------
    str
        Lines, the last with its newline.
    """
    return "\n\n".join("\n".join(_answer(cell, bold)) for cell in cells) + "\n"


def _answer(cell: dict[str, Any], bold: Style) -> Iterator[str]:
    yield bold(
        f"Cell {text.printable(cell['cell'])}, {text.DIRECTION_WORDS[cell['direction']]}:"
        f" {text.si(cell['capacity_bps'], 'bit/s')}, {cell['status'].replace('_', ' ')}"
    )
    yield (
        f"  weighted mean MOS before {text.mos(cell['mos_before'])}, after {text.mos(cell['mos_after'])},"
        f" bound {text.mos(cell['mos_bound'])}; gap {text.percent(cell['gap_ratio'])}"
    )
    rows = (
        (
            text.printable(a["subscriber"]),
            text.printable(a["class"]),
            f"{a['weight']:.2f}",
            text.percent(a["share_ratio"]),
            text.si(a["rate_bps"], "bit/s"),
            text.mos(a["mos_before"]),
            text.mos(a["mos_after"]),
        )
        for a in cell["allocations"]
    )
    for line in aligned("Subscriber Class >weight >share >rate >before >after", rows, bold):
        yield f"  {line}"
    explanation = explanation_of(cell)
    if explanation:
        yield from _explanation(explanation, cell["capacity_bps"], bold)


def _explanation(explanation: Explanation, capacity_bps: float, bold: Style) -> Iterator[str]:
    for told in explained(explanation, capacity_bps):
        yield from textwrap.wrap(text.printable(told), WIDTH, initial_indent="  ", subsequent_indent="    ")
    policies = map(policy_row, explanation.policies)
    for line in aligned("Policy >mean_MOS >5th_percentile >below_2 >below_3", policies, bold):
        yield f"  {line}"
