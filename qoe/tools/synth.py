"""Seeded traffic for the example, the tests and the benchmarks.

The same seed gives the same bytes on every machine and Python. A name that ends in .pcapng makes a
pcapng of 1 ns, any other a pcap of 1 us.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from qoe.errors import QoeError
from qoe.tools.busycell import CAPACITY_DOWN_BPS, CAPACITY_UP_BPS, Recording
from qoe.tools.busycell import record as busy_cell
from qoe.tools.capfile import write_capture
from qoe.tools.mix import mix
from qoe.tools.uniform import uniform
from qoe.tools.zoo import zoo

__all__ = ["Recording", "busy_cell", "main", "mix", "uniform", "write", "write_capture", "zoo"]


def write(recording: Recording, path: Path | str) -> int:
    """Write a recording as pcapng or pcap, by the name's ending; return its packets."""
    return write_capture([recording.batch], path, recording.comment, "cell")


def _busy_cell(options: argparse.Namespace) -> str:
    recording = busy_cell(options.seed, options.duration, options.capacity_down, options.capacity_up)
    if "truth" in options:
        options.truth.write_text(json.dumps(recording.truth, indent=1) + "\n")
    if "cells" in options:
        options.cells.write_text(recording.cells)
    return f"{write(recording, options.output)} packets"


def _mix(options: argparse.Namespace) -> str:
    batches = mix(options.packets, options.flows, options.seed, options.snap)
    return f"{write_capture(batches, options.output)} packets"


def _uniform(options: argparse.Namespace) -> str:
    batches = uniform(options.flows, options.packets, options.seed)
    return f"{write_capture(batches, options.output)} packets"


def _zoo(options: argparse.Namespace) -> str:
    options.output.mkdir(parents=True, exist_ok=True)
    captures = zoo()
    for name, capture in captures.items():
        (options.output / name).write_bytes(capture)
    return f"{len(captures)} captures"


def _natural(text: str) -> int:
    """Parse a whole number of 0 or more, such as ``2500000`` or ``2_500_000``."""
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def _rate(text: str) -> int:
    """Parse bits a second above 0, such as ``3.4e6``."""
    if not 1 <= (rate := float(text)) < 1e12:
        raise ValueError(text)
    return int(rate)


def _seconds(text: str) -> float:
    """Parse a length of time, 1 s to an hour."""
    if not 1 <= (seconds := float(text)) <= 3600:
        raise ValueError(text)
    return seconds


_natural.__name__, _rate.__name__, _seconds.__name__ = "number of 0 or more", "rate", "time of 1 to 3600 s"


_QUIET: Final[dict[str, Any]] = {"default": argparse.SUPPRESS}
_BUSY: Final = """
Players, calls, games, pages and transfers that adapt to what two finite queues leave them. The probe is at
the subscribers' side: it sees the downlink after the cell's queue and the uplink before it, so loss and delay
of the downlink show in the capture, and those of the uplink in what the far end reports. Link type is raw IP;
of each packet the headers and a few bytes of payload are kept."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qoe.tools.synth", description=__doc__)
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")

    def scenario(
        name: str, run: Callable[[argparse.Namespace], str], text: str, more: str = ""
    ) -> argparse.ArgumentParser:
        one = scenarios.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.{more}",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        one.set_defaults(run=run)
        what = "directory" if name == "zoo" else "capture"
        one.add_argument(
            "-o",
            "--output",
            type=Path,
            required=True,
            metavar="PATH",
            help=f"{what} to write",
            **_QUIET,
        )
        return one

    busy = scenario(
        "busy-cell", _busy_cell, "fifteen subscribers of all classes in one congested cell", _BUSY
    )
    busy.add_argument("--duration", type=_seconds, default=30.0, metavar="S", help="length of the capture")
    for way, rate in (("down", CAPACITY_DOWN_BPS), ("up", CAPACITY_UP_BPS)):
        busy.add_argument(f"--capacity-{way}", type=_rate, default=rate, metavar="BPS", help="of the cell")
    busy.add_argument(
        "--truth", type=Path, metavar="FILE", help="write what really happened as JSON", **_QUIET
    )
    busy.add_argument("--cells", type=Path, metavar="FILE", help="write the cells file that fits", **_QUIET)
    blend = scenario("mix", _mix, "all classes by the million packets, Ethernet, whole frames")
    blend.add_argument("--packets", type=_natural, default=2_500_000, help="how many, exactly")
    blend.add_argument("--flows", type=_natural, default=200_000, help="how many, exactly")
    blend.add_argument("--snap", type=_natural, default=0, metavar="BYTES", help="capture no more; 0 = all")
    even = scenario("uniform", _uniform, "UDP frames of 64 bytes in random order over many flows")
    even.add_argument("--packets", type=_natural, default=4_000_000, help="how many")
    even.add_argument("--flows", type=_natural, default=1_000_000, help="how many")
    scenario("zoo", _zoo, "one small capture of each encapsulation, link type and file format")
    for one in (busy, blend, even):
        one.add_argument("--seed", type=_natural, default=1, help="of all random numbers")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        print(f"{options.output}: {options.run(options)}", file=sys.stderr)
    except (QoeError, OSError) as error:
        print(f"synth: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
