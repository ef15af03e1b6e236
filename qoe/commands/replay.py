"""``qoe replay``: who had what quality, and the weights that would help."""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qoe.commands import common, live
from qoe.errors import ConfigError

if TYPE_CHECKING:
    from qoe.interface import Interface
    from qoe.replay import OnFlows, Replay
    from qoe.report.result import ReplayResult

_EXAMPLES: Final = """\
examples:
  qoe replay busy.pcapng                               one cell, its capacity as the trace shows it
  qoe replay busy.pcapng --capacity 20M                one cell of 20 Mbit/s each way
  qoe replay busy.pcapng --capacity 100M/20M           downlink and uplink
  qoe replay 'day/*.pcap.gz' --cells cells.toml --html day.html
  qoe replay busy.pcapng --cells cells.toml --json | jq '.cells[].gap_ratio'
  sudo qoe replay --live eth0 --cells cells.toml       what goes on now, every second; Ctrl-C: the report
  sudo qoe replay --live eth0 --duration 60 --json     a minute of it

A cells file names cells, their capacities, subscribers and tiers: see examples/busy-cell.toml. Without one
the whole capture is one cell and the subscribers are its private or lesser-served ends.
"""


_OUT_FILES: Final = ("result.json", "report.html", "weights.csv", "flows.csv")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "replay",
        help="judge the quality of experience in captures, and find the weights that raise it",
        description="Judge what every subscriber experienced, and find the scheduler weights that raise it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.add_captures(parser, nargs="*")
    cell = parser.add_mutually_exclusive_group()
    cell.add_argument("--cells", type=Path, metavar="FILE", help="cells, subscribers and tiers (TOML)")
    cell.add_argument(
        "--capacity",
        type=_capacity,
        metavar="RATE",
        help="the capture is one cell that carries RATE, such as 20M, or DOWN/UP, such as 100M/20M",
    )
    parser.add_argument(
        "--interval",
        type=common.positive_seconds,
        default=1.0,
        metavar="S",
        help="one point of the timeline (live: also one table) every S seconds of capture time, 0.1 or more"
        " (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object, not a table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write one page with pictures")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also write result.json, report.html, weights.csv and flows.csv into DIR",
    )
    live.add(parser)
    parser.set_defaults(run=run, parser=parser)


def _capacity(value: str) -> tuple[float, float]:
    """Read ``RATE`` or ``DOWN/UP``; the slash of ``Mbit/s`` separates nothing."""
    from qoe.toml import parse_rate

    try:
        rates = [parse_rate(part) for part in re.split(r"/(?!s)", value, maxsplit=1)]
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return rates[0], rates[-1]


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    live.check(args)
    with ExitStack() as stack:
        source = stack.enter_context(live.interface(args)) if args.live else _captures(args)
        if args.html:
            common.require_folder(args.html)
        replay = _replay(args, source, stack)
        with replay.feed.catching_interrupts():
            if args.live:
                live.announce(args)
            result = replay.run()
    code = common.tell(replay.feed)
    for line in replay.notes:
        common.say(f"warning: {line}")
    if result.captures:
        _write(args, result)
    return code


def _captures(args: argparse.Namespace) -> list[str]:
    """Give the captures to read, none of which will be written over."""
    from qoe.capture import expand

    captures = expand(args.captures)
    for output in _outputs(args):
        common.refuse_overwriting(output, captures)
    return captures


def _replay(args: argparse.Namespace, source: list[str] | Interface, stack: ExitStack) -> Replay:
    from qoe.replay import Replay

    return Replay(
        source,
        cells=args.cells,
        capacity_bps=args.capacity,
        interval_s=args.interval,
        model=common.model_of(args),
        max_flows=args.max_flows,
        duration_s=args.duration,
        on_flows=_flows_writer(args.out, stack) if args.out else None,
        on_running=stack.enter_context(live.screen(args)) if args.live else None,
        progress=stack.enter_context(common.progress()),
    )


def _outputs(args: argparse.Namespace) -> list[Path]:
    """Give every file that will be written."""
    return [args.html] * bool(args.html) + [args.out / name for name in _OUT_FILES if args.out]


def _flows_writer(folder: Path, stack: ExitStack) -> OnFlows:
    """Open ``flows.csv`` in `folder` for the flows that end."""
    from qoe.flows import address_texts
    from qoe.report.rows import FlowWriter

    common.make_folder(folder)
    sink = stack.enter_context(common.writing(folder / "flows.csv"))
    return stack.enter_context(FlowWriter(sink, "csv", address_texts)).write


def _write(args: argparse.Namespace, result: ReplayResult) -> None:
    from qoe.report import html, tables
    from qoe.report.result import to_json

    if args.json:
        common.stdout_bytes().write(to_json(result))
    else:
        common.write_text(tables.render(result, tables.bold_for(sys.stdout)))
    pages = [args.html] if args.html else []
    if args.out:
        pages.append(args.out / "report.html")
        common.write_file(args.out / "result.json", to_json(result))
        common.write_file(args.out / "weights.csv", weights_csv(result).encode())
    for page in pages:
        common.write_file(page, html.render(result).encode())


def weights_csv(result: ReplayResult) -> str:
    """Write the weights as CSV, one row a bearer."""
    sink = io.StringIO()
    rows = csv.writer(sink, lineterminator="\n")
    rows.writerow(
        [
            "cell",
            "direction",
            "subscriber",
            "class",
            "weight",
            "share_ratio",
            "rate_bps",
            "mos_before",
            "mos_after",
        ]
    )
    for cell in result.cells:
        for a in cell.allocations:
            rows.writerow(
                [
                    *(cell.cell, cell.direction, a.subscriber, a.app_class),
                    *(f"{a.weight:.6g}", f"{a.share_ratio:.6g}", f"{a.rate_bps:.0f}"),
                    *("" if mos is None else f"{mos:.4f}" for mos in (a.mos_before, a.mos_after)),
                ]
            )
    return sink.getvalue()
