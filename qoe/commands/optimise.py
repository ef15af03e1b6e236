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
    if args.html:
        common.require_folder(args.html)
        common.refuse_overwriting(args.html, [args.problem])
    name = "standard input" if args.problem == "-" else args.problem
    try:
        text = _read(args.problem)
        with common.others_write_to_stderr():
            answer = _answer(text, args)
    except ProblemError as error:
        raise ProblemError(f"{name}: {error}") from None
    _write(args, answer)
    return 0


def _answer(text: bytes, args: argparse.Namespace) -> dict[str, Any]:
    """Solve the problems of a document; cells that hang together are not explained one by one."""
    from qoe import optimise

    if optimise.is_coupled(text):
        coupled = optimise.read_coupled(text)
        return optimise.coupled_to_dict(coupled, optimise.solve_coupled(coupled))
    problems = optimise.read_problem(text)
    allocations = optimise.solve(problems)
    if args.brief and not args.html:
        return {"cells": [optimise.allocation_to_dict(a) for a in allocations]}
    why = optimise.explain(problems, allocations, trade_off=bool(args.html))
    return {"cells": [optimise.explained_to_dict(*pair) for pair in zip(allocations, why, strict=True)]}


def _write(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    """Write the page if one is wanted, then the answer as a table or as JSON."""
    from qoe.report import answers, tables
    from qoe.report.result import to_json

    if args.html:
        common.write_file(args.html, answers.render(answer["cells"]).encode())
    if args.brief:
        answer["cells"] = [{k: v for k, v in cell.items() if k != "explanation"} for cell in answer["cells"]]
    if args.table:
        common.write_text(tables.allocations(answer["cells"], tables.bold_for(sys.stdout)))
    else:
        common.stdout_bytes().write(to_json(answer))


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror or error}") from None
