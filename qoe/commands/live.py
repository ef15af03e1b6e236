"""What ``qoe replay --live`` adds: its options, the interface, and the table that comes again and again."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from qoe.commands import common

if TYPE_CHECKING:
    from qoe.interface import Interface
    from qoe.report.running import Running

_MIB: Final = 1 << 20
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CUT_LINES, _WRAP_LINES = "\x1b[?7l", "\x1b[?7h"
_ROWS_BESIDE: Final = 16  # of the table, besides subscribers
_FEWEST_ROWS: Final = 5


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group(
        "live", "Read an interface, not captures; as root, or with CAP_NET_RAW."
    )
    group.add_argument("--live", metavar="IFACE", help="the interface, such as eth0, until Ctrl-C")
    group.add_argument(
        "--duration",
        type=common.positive_seconds,
        default=math.inf,
        metavar="S",
        help="end after S seconds",
    )
    group.add_argument(
        "--shards",
        type=_shards,
        default=1,
        metavar="N",
        help="threads among which the kernel spreads flows by their outermost addresses (default: 1)",
    )
    group.add_argument(
        "--ring",
        type=_ring,
        default=0,
        metavar="MIB",
        help="memory of each shard for what waits to be read (default: 64; of xdp 256)",
    )
    group.add_argument(
        "--live-method",
        choices=("packet", "xdp"),
        default="packet",
        help="packet: AF_PACKET; xdp: AF_XDP, which takes what comes in away from the host (default: packet)",
    )


def _between(value: str, least: int, most: int) -> int:
    number = common.whole_number(value)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{value!r}: give {least} to {most}")
    return number


def _shards(value: str) -> int:
    """Read how many shards."""
    return _between(value, 1, 64)


def _ring(value: str) -> int:
    """Read the size of a ring, in bytes."""
    return _between(value, 1, 2047) * _MIB


def check(args: argparse.Namespace) -> None:
    """End with wrong usage unless there is either an interface or a capture."""
    if args.live and args.captures:
        args.parser.error(f"give captures or --live {args.live}, not both")
    if not args.live and not args.captures:
        args.parser.error("give one or more captures, or --live with an interface")
    given = (args.duration, args.shards, args.ring, args.live_method)
    if not args.live and given != (math.inf, 1, 0, "packet"):
        args.parser.error("--duration, --shards, --ring and --live-method are for --live")


def interface(args: argparse.Namespace) -> Interface:
    """Open the interface."""
    from qoe.interface import Interface

    opened = Interface(args.live, n_rings=args.shards, ring_bytes=args.ring, method=args.live_method)
    if opened.notice:
        common.say(f"warning: {opened.notice}")
    return opened


def announce(args: argparse.Namespace) -> None:
    """Say that the interface is being read; from now on a signal ends it with a report."""
    end = "Ctrl-C ends" if args.duration == math.inf else f"for {args.duration:g} s"
    common.say(f"{args.live}: reading, {end}")


@contextmanager
def screen(args: argparse.Namespace) -> Iterator[Callable[[Running], None] | None]:
    """Give what shows the running table, if anything does: in place on a terminal, else one after another.

    With ``--json`` standard output is kept for the object at the end; standard error has one line, if it is a
    terminal.
    """
    from qoe.report import running, tables

    before: Running | None = None
    to_terminal = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    line_only = args.json and sys.stderr is not None and sys.stderr.isatty()

    def show(now: Running) -> None:
        nonlocal before
        if before and now.seconds - before.seconds < args.interval - 0.05:
            return
        head = running.headline(args.live, now, before)
        before = now
        if line_only:
            print(f"\r{_CLEAR_LINE}{head}", end="", file=sys.stderr, flush=True)
        elif not args.json:
            n_lines = shutil.get_terminal_size().lines
            rows = max(n_lines - _ROWS_BESIDE, _FEWEST_ROWS) if to_terminal else running.MAX_ROWS
            table = running.render(head, now, tables.bold_for(sys.stdout), rows)
            common.write_text(_in_place(table, n_lines) if to_terminal else f"{table}\n")

    try:
        yield show if line_only or not args.json else None
    finally:
        if line_only:
            print(f"\r{_CLEAR_LINE}", end="", file=sys.stderr, flush=True)
        elif to_terminal and before:
            common.write_text(f"{_HOME}{_CLEAR_BELOW}")


def _in_place(table: str, n_lines: int) -> str:
    """Write over what was there without a flicker, and never so much that the terminal scrolls."""
    lines = [f"{line}{_CLEAR_LINE}\n" for line in table.splitlines()[: n_lines - 1]]
    return "".join((_CUT_LINES, _HOME, *lines, _CLEAR_BELOW, _WRAP_LINES))
