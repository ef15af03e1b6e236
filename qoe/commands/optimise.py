"""``qoe optimise``: cells, bearers and MOS curves in, allocations out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qoe.commands import common
from qoe.errors import ProblemError

if TYPE_CHECKING:
    from qoe.optimise import Allocation, CellProblem

_EXAMPLES: Final = """\
examples:
  qoe optimise cells.json > weights.json
  qoe optimise - --table < cells.json
  qoe optimise cells.json --brief --html cells.html > weights.json

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
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with pictures")
    parser.add_argument("--brief", action="store_true", help="leave explanations out of what is printed")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.optimise import allocation_to_dict, read_problem, solve
    from qoe.report import answers, tables
    from qoe.report.result import to_json

    if args.html:
        common.require_folder(args.html)
        common.refuse_overwriting(args.html, [args.problem])
    name = "standard input" if args.problem == "-" else args.problem
    try:
        problems = read_problem(_read(args.problem))
        allocations = solve(problems)
    except ProblemError as error:
        raise ProblemError(f"{name}: {error}") from None
    told = [allocation_to_dict(a) for a in allocations]
    explained = _explained(problems, allocations) if args.html or not args.brief else told
    if args.html:
        common.write_file(args.html, answers.render(explained).encode())
    shown = told if args.brief else explained
    if args.table:
        common.write_text(tables.allocations(shown, tables.bold_for(sys.stdout)))
    else:
        common.stdout_bytes().write(to_json({"cells": shown}))
    return 0


def _explained(problems: list[CellProblem], allocations: list[Allocation]) -> list[dict[str, Any]]:
    from qoe.optimise import allocation_to_dict, explain

    why = explain(problems, allocations)
    return [allocation_to_dict(a, e) for a, e in zip(allocations, why, strict=True)]


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror or error}") from None
