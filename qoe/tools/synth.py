"""``python -m qoe.tools.synth``: seeded traffic, for the example, the tests and the benchmarks.

The same seed gives the same bytes on every machine and Python. From Python: :func:`busy_cell` and
:func:`write`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from qoe.tools.busycell import CAPACITY_DOWN_BPS, CAPACITY_UP_BPS, Recording
from qoe.tools.busycell import record as busy_cell
from qoe.tools.packets import write_capture

__all__ = ["Recording", "busy_cell", "main", "write"]


def write(recording: Recording, path: Path | str) -> int:
    """Write a recording as pcapng or pcap, by the name's ending; return its packets."""
    return write_capture([recording.batch], path, recording.comment, "cell")


def _busy_cell(options: argparse.Namespace) -> int:
    recording = busy_cell(options.seed, options.duration, options.capacity_down, options.capacity_up)
    if options.truth:
        options.truth.write_text(json.dumps(recording.truth, indent=1) + "\n")
    if options.cells:
        options.cells.write_text(recording.cells)
    return write(recording, options.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qoe.tools.synth", description=__doc__)
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    busy = scenarios.add_parser(
        "busy-cell",
        help="fifteen subscribers of all classes in one congested cell, half a minute",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    busy.add_argument("--duration", type=float, default=30.0, metavar="S", help="length of the capture")
    busy.add_argument(
        "--capacity-down", type=int, default=CAPACITY_DOWN_BPS, metavar="BPS", help="of the cell"
    )
    busy.add_argument("--capacity-up", type=int, default=CAPACITY_UP_BPS, metavar="BPS", help="of the cell")
    busy.add_argument("--truth", type=Path, metavar="FILE", help="write what really happened, as JSON")
    busy.add_argument("--cells", type=Path, metavar="FILE", help="write the cells file that fits, as TOML")
    busy.set_defaults(run=_busy_cell)
    for scenario in scenarios.choices.values():
        scenario.add_argument("-o", "--output", required=True, metavar="FILE", help="capture to write")
        scenario.add_argument("--seed", type=int, default=1, help="0 or more")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    options = _parser().parse_args(arguments)
    print(f"{options.output}: {options.run(options)} packets", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
