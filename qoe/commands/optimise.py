"""``qoe optimise``: cells, bearers and MOS curves in, allocations out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from qoe.commands import common
from qoe.errors import ProblemError

_EXAMPLES: Final = """\
examples:
  qoe optimise cells.json > weights.json
  qoe optimise - --table < cells.json

A problem:
  {"cells": [{"cell": "busy", "direction": "down", "capacity_bps": 2e7, "bearers": [
    {"subscriber": "ana", "class": "video", "share_observed_ratio": 0.3,
     "curve": {"share_ratio": [0, 0.1, 0.3, 1], "mos": [1, 2.5, 4, 4.4]}},
    {"subscriber": "ben", "class": "bulk",
     "curve": {"share_ratio": [0, 0.5, 1], "mos": [1, 3.5, 4.2]}}]}]}
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "optimise",
        help="share cells so that the mean MOS is highest",
        description="Find the shares of each cell that give the highest weighted MOS, and prove how near.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("problem", metavar="PROBLEM.json", help="cells, bearers and MOS curves; - for stdin")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="write JSON (the default)")
    shape.add_argument("--table", action="store_true", help="write a table for people")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.optimise import (
        allocation_to_dict,
        coupled_to_dict,
        is_coupled,
        read_coupled,
        read_problem,
        solve,
        solve_coupled,
    )

    name = "standard input" if args.problem == "-" else args.problem
    try:
        text = _read(args.problem)
        if is_coupled(text):
            problem = read_coupled(text)
            return _write(args, coupled_to_dict(problem, solve_coupled(problem)))
        answers = [allocation_to_dict(a) for a in solve(read_problem(text))]
    except ProblemError as error:
        raise ProblemError(f"{name}: {error}") from None
    return _write(args, {"cells": answers})


def _write(args: argparse.Namespace, answer: dict[str, Any]) -> int:
    """Write the answer as a table or as JSON."""
    from qoe.report import tables
    from qoe.report.result import to_json

    if args.table:
        common.write_text(tables.allocations(answer["cells"], tables.bold_for(sys.stdout)))
    else:
        common.stdout_bytes().write(to_json(answer))
    return 0


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror or error}") from None
