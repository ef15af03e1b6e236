"""The state of a moment while an interface is read: a table that comes again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from qoe.report import text
from qoe.report.tables import Style, aligned

MAX_ROWS: Final = 10
_HEADER: Final = "Subscriber Tier >flows >down >up >MOS by_class"


class RunningRow(msgspec.Struct, frozen=True, kw_only=True):
    """One class, or one subscriber, over the horizon: flows, mean rates, MOS.

    Attributes
    ----------
    name, tier : str
        Of the class or the subscriber; `tier` is empty for none.
    mos : float, optional
        None: nothing of it can be judged.
    by_class : dict of str to float
        A subscriber's MOS by class.
    """

    name: str
    tier: str = ""
    flows: int
    down_bps: float
    up_bps: float
    mos: float | None
    by_class: dict[str, float] = {}


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What is going on at a moment.

    Attributes
    ----------
    time_s, seconds : float
        Now, since 1970, and since reading began.
    packets, bytes, dropped : int
        Since reading began.
    live_flows : int
        Flows that are tracked.
    classes, subscribers : list of RunningRow
        What had packets within the horizon.
    cells : list of (str, str, float, float)
        Cell, direction, load in the last step and capacity, both in bit/s; only cells of known capacity.
    """

    time_s: float
    seconds: float
    packets: int
    bytes: int
    dropped: int
    live_flows: int
    classes: list[RunningRow]
    subscribers: list[RunningRow]
    cells: list[tuple[str, str, float, float]]


def headline(name: str, now: Running, before: Running | None) -> str:
    """Say in one line how much comes in.

    Parameters
    ----------
    name : str
        The interface.
    now, before : Running
        Rates are means from one to the other; None: since reading began.
    """
    packets, n_bytes, seconds = now.packets, now.bytes, now.seconds
    if before:
        packets, n_bytes = packets - before.packets, n_bytes - before.bytes
        seconds -= before.seconds
    seconds = max(seconds, 1e-9)
    return (
        f"{text.printable(name)}, {text.clock(now.time_s)}, {text.duration(now.seconds)}:"
        f" {packets / seconds:,.0f} packets/s, {text.si(n_bytes * 8 / seconds, 'bit/s')},"
        f" {text.plural(now.live_flows, 'live flow')}; {now.packets:,} packets, {now.dropped:,} dropped"
    )


def render(head: str, now: Running, bold: Style = str, max_rows: int = MAX_ROWS) -> str:
    """Write the running table.

    Parameters
    ----------
    head : str
        Its first line: `headline`.
    now : Running
    bold : callable
        Styles headings: `qoe.report.tables.bold_for`.
    max_rows : int
        Subscribers shown at most, the worst off first.

    Returns
    -------
    str
        Lines, the last with its newline.
    """
    blocks = [[bold(head)], _classes(now.classes, bold), _subscribers(now.subscribers, bold, max_rows)]
    blocks.append(_cells(now))
    return "\n\n".join("\n".join(lines) for block in blocks if (lines := list(block))) + "\n"


def _classes(rows: Sequence[RunningRow], bold: Style) -> Iterator[str]:
    cells = ((r.name, f"{r.flows:,}", *_rates(r), text.mos(r.mos), text.mos_word(r.mos)) for r in rows)
    return aligned("Class >flows >down >up >MOS _", cells, bold)


def _rates(row: RunningRow) -> tuple[str, str]:
    return text.si(row.down_bps, "bit/s"), text.si(row.up_bps, "bit/s")


def _subscribers(rows: Sequence[RunningRow], bold: Style, max_rows: int) -> Iterator[str]:
    worst_first = sorted(rows, key=lambda r: (r.mos is None, r.mos or 0.0, -r.down_bps - r.up_bps))
    cells = (
        (
            text.printable(r.name),
            text.printable(r.tier or "–"),
            f"{r.flows:,}",
            *_rates(r),
            text.mos(r.mos),
            ", ".join(f"{name} {text.mos(mos)}" for name, mos in r.by_class.items()),
        )
        for r in worst_first[:max_rows]
    )
    yield from aligned(_HEADER, cells, bold)
    if len(rows) > max_rows:
        yield f"… and {len(rows) - max_rows:,} more"


def _cells(now: Running) -> Iterator[str]:
    for cell, direction, load_bps, capacity_bps in now.cells:
        yield (
            f"Cell {text.printable(cell)}, {text.DIRECTION_WORDS[direction]}: {text.si(load_bps, 'bit/s')} of"
            f" {text.si(capacity_bps, 'bit/s')} ({text.percent(load_bps / capacity_bps)})"
        )
