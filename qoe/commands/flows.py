"""``qoe flows``: one row a flow."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from qoe.commands import common

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from qoe.feed import Feed, Progress
    from qoe.flows import Engine
    from qoe.report.columns import Columns
    from qoe.report.rows import FlowWriter, Format

_Hand: TypeAlias = "tuple[Callable[[memoryview], None], memoryview]"
"""What writes packed flows, and room for a batch of them."""

_FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "parquet")
_MOST_WORKERS: Final = 64
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
    parser.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help="share the flows out to N threads, so that a file takes less time on N cores, but more of their"
        " time in all; rows then come in no order (default: 1)",
    )
    parser.set_defaults(run=run, parser=parser)


def _workers(value: str) -> int:
    """Read how many workers: 1 to 64."""
    number = common.whole_number(value)
    if not 1 <= number <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of workers of 1 to {_MOST_WORKERS}")
    return number


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

    captures = expand(args.captures)
    if args.output:
        common.refuse_overwriting(args.output, captures)
    kind = _format(args)
    if kind == "parquet" and not args.output and sys.stdout is not None and sys.stdout.isatty():
        args.parser.error("parquet is binary: name a file with -o, or redirect the output")
    options = {
        "max_flows": args.max_flows,
        "idle_timeout_s": args.idle_timeout,
        "active_timeout_s": args.active_timeout,
        "model": common.model_of(args),
    }
    with common.progress() as progress, _Listing(args.output, kind, args.columns) as listing:
        if args.workers > 1:
            feed = _by_workers(args.workers, captures, options, listing, progress)
        else:
            feed = _by_one(captures, options, listing, progress)
    return common.tell(feed)


def _by_one(
    captures: list[str], options: dict[str, Any], listing: _Listing, progress: Progress | None
) -> Feed:
    """List the flows of captures in this thread; gives what was read."""
    from qoe.feed import Feed
    from qoe.flows import Engine

    engine = Engine(**options)
    feed = Feed(captures, engine, progress=progress)
    with feed.catching_interrupts():
        for _ in feed.events():
            listing.write_ended(0, engine)
        if feed.has_begun:
            engine.advance(engine.now_ns)  # what is over by now ends so, not by being flushed
            listing.write_ended(0, engine)
            while engine.flush(_BATCH):
                listing.write_ended(0, engine)
    return feed


def _by_workers(
    n: int, captures: list[str], options: dict[str, Any], listing: _Listing, progress: Progress | None
) -> Feed:
    """The same in so many threads: each file is read once, each flow tracked by one."""
    from qoe.feed import SharedFeed
    from qoe.workers import Workers

    workers = Workers(n, listing.write_ended, **options)
    feed = SharedFeed(captures, workers, progress)
    with feed.catching_interrupts():
        for _ in feed.events():
            pass
        if feed.has_begun:
            workers.finish(_BATCH)
    return feed


class _Listing:
    """The listing as it is written: opened once flows come, with a writer for every worker."""

    def __init__(self, output: Path | None, kind: Format, columns: Columns) -> None:
        self._output, self._kind, self._columns = output, kind, columns
        self._stack = ExitStack()
        self._lock = Lock()
        self._writer: FlowWriter | None = None
        self._hands: dict[int, _Hand] = {}

    def write_ended(self, worker: int, engine: Engine) -> None:
        """Write what ended; flows that end together come as they began."""
        from qoe.fields import FLOW_BYTES
        from qoe_native.engine import sort_records

        write, batch = self._hand(worker)
        while n := engine.export_packed(batch):
            flows = batch[: n * FLOW_BYTES]
            sort_records(flows, FLOW_BYTES, 0)
            write(flows)

    def _hand(self, worker: int) -> _Hand:
        from qoe.fields import FLOW_BYTES

        with self._lock:
            if worker not in self._hands:
                write = self._writer.hand() if self._writer else self._open()
                self._hands[worker] = write, memoryview(bytearray(_BATCH * FLOW_BYTES))
        return self._hands[worker]

    def _open(self) -> Callable[[memoryview], None]:
        from qoe.flows import address_texts
        from qoe.report.rows import FlowWriter

        sink = (
            self._stack.enter_context(common.writing(self._output)) if self._output else common.stdout_bytes()
        )
        self._writer = self._stack.enter_context(FlowWriter(sink, self._kind, address_texts, self._columns))
        return self._writer.write_packed

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)
