"""``qoe flows``: one row a flow."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qoe.commands import common
from qoe.fields import FLOW_BYTES

if TYPE_CHECKING:
    from qoe.feed import Feed
    from qoe.flows import Engine
    from qoe.report.rows import FlowWriter, Format

_FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "parquet")
_BATCH: Final = 8192  # flows that leave the engine together
_EXAMPLES: Final = """\
examples:
  qoe flows busy.pcapng                          CSV to standard output
  qoe flows 'day/*.pcap.zst' -o day.parquet      many captures, the format by the name
  tcpdump -w - | qoe flows - --columns core      from a pipe; rows come as flows end
  qoe flows call.pcap --idle-timeout 0 --active-timeout 0    never split a flow

Columns: addresses and ports as the first packet had them (forward is its direction), packets and bytes on
the wire, first_s and last_s in seconds since 1970, the class with its confidence and what it rests on,
then everything that was measured. The fields of struct qoe_flow in qoe.h name each ('qoe info' says
where it is); name_0, name_1, … are the elements of one field.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "flows",
        help="list the flows of captures with their class and all that was measured",
        description="List the flows of captures, one row a flow, written as the flows end.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.add_captures(parser)
    parser.add_argument(
        "--format", choices=_FORMATS, help="what to write (default: by the name after -o, else csv)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write here, not to standard output"
    )
    parser.add_argument(
        "--idle-timeout",
        type=common.seconds,
        default=120.0,
        metavar="S",
        help="a flow ends after S seconds without a packet; 0: never (default: 120)",
    )
    parser.add_argument(
        "--active-timeout",
        type=common.seconds,
        default=1800.0,
        metavar="S",
        help="a longer flow is split every S seconds; 0: never (default: 1800)",
    )
    parser.add_argument(
        "--columns", choices=("all", "core"), default="all", help="core: leave the measured features out"
    )
    parser.set_defaults(run=run, parser=parser)


def _format(args: argparse.Namespace) -> Format:
    if args.format:
        chosen: Format = args.format
        return chosen
    suffix = args.output.suffix.lower().lstrip(".") if args.output else ""
    if suffix and suffix not in _FORMATS:
        args.parser.error(f"{args.output}: no format is called {suffix!r}: name one with --format")
    return next((f for f in _FORMATS if suffix == f), "csv")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.capture import expand
    from qoe.feed import Feed
    from qoe.flows import Engine

    captures = expand(args.captures)
    if args.output:
        common.refuse_overwriting(args.output, captures)
    kind = _format(args)
    if kind == "parquet" and not args.output and sys.stdout is not None and sys.stdout.isatty():
        args.parser.error("parquet is binary: name a file with -o, or redirect the output")
    engine = Engine(
        max_flows=args.max_flows,
        idle_timeout_s=args.idle_timeout,
        active_timeout_s=args.active_timeout,
        model=common.model_of(args),
    )
    with common.progress() as progress:
        feed = Feed(captures, engine, progress=progress)
        with feed.catching_interrupts():
            _write(args, kind, feed, engine)
    return common.tell(feed)


def _write(args: argparse.Namespace, kind: Format, feed: Feed, engine: Engine) -> None:
    """Write flows as they end; the output is opened once a capture could be."""
    batch = memoryview(bytearray(_BATCH * FLOW_BYTES))
    with ExitStack() as stack:
        writer: FlowWriter | None = None
        for _ in feed.events():
            writer = writer or _open(args, kind, stack)
            _write_ended(engine, writer, batch)
        if not feed.captures:
            return
        writer = writer or _open(args, kind, stack)
        _write_ended(engine, writer, batch)
        while engine.flush(_BATCH):
            _write_ended(engine, writer, batch)


def _write_ended(engine: Engine, writer: FlowWriter, batch: memoryview) -> None:
    """Write what ended; flows that end together come as they began."""
    from qoe_native.engine import sort_records

    while n := engine.export_packed(batch):
        flows = batch[: n * FLOW_BYTES]
        sort_records(flows, FLOW_BYTES, 0)
        writer.write_packed(flows)


def _open(args: argparse.Namespace, kind: Format, stack: ExitStack) -> FlowWriter:
    from qoe.flows import address_texts
    from qoe.report.rows import FlowWriter

    sink = stack.enter_context(common.writing(args.output)) if args.output else common.stdout_bytes()
    return stack.enter_context(FlowWriter(sink, kind, address_texts, args.columns))
