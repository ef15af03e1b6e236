"""``qoe simulate``: policies side by side in a simulated cell."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qoe.commands import common
from qoe.errors import QoeError

if TYPE_CHECKING:
    from qoe.report.simulation import SimulationReport
    from qoe.simulate import Run, Scenario

_EXAMPLES: Final = """\
examples:
  qoe simulate examples/evening.toml
  qoe simulate examples/evening.toml --policies qoe,pf --seeds 5 --json
  qoe simulate examples/evening.toml --traces 'drives/*.csv' --loads 1.2,1.6,2,3 --out results/

A scenario names the users and what they do, the cell, the radio, the loads and the policies:
docs/simulate.md tells more. The MOS is what the simulated applications went through, not what was promised.
"""
_OUT_FILES: Final = ("simulation.json", "simulation.html", "simulation.txt")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "simulate",
        help="run policies side by side in a simulated cell",
        description="Run schedulers and the optimiser's weights on the same simulated users, and score them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", type=Path, metavar="SCENARIO.toml", help="users, cell, radio, policies")
    parser.add_argument("--policies", metavar="A,B", help="instead of the scenario's")
    parser.add_argument("--loads", metavar="X,Y", help="instead of the scenario's")
    parser.add_argument("--seeds", type=common.whole_number, metavar="N", help="how many, instead of n_seeds")
    parser.add_argument("--seed", type=common.whole_number, metavar="N", help="the first one")
    parser.add_argument("--duration", type=common.positive_seconds, metavar="S", help="of each run")
    parser.add_argument(
        "--traces", action="append", metavar="GLOB", help="logs of CQI, instead of the scenario's radio"
    )
    parser.add_argument(
        "--workers",
        type=common.whole_number,
        default=0,
        metavar="N",
        help="runs at once (default: all cores)",
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object, not a table")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"also write {', '.join(_OUT_FILES)} (with pictures) into DIR"
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.report import simulation, tables
    from qoe.report.result import to_json
    from qoe.simulate import simulate, summarise

    scenario = _scenario(args)
    folder = args.scenario.parent
    progress = _Progress(scenario)
    runs = simulate(
        scenario,
        folder=folder,
        n_threads=args.workers or os.cpu_count() or 1,
        on_run=progress,
        on_note=common.say,
    )
    report = summarise(runs, scenario)
    if args.json:
        common.stdout_bytes().write(to_json(report))
    else:
        common.write_text(simulation.render(report, tables.bold_for(sys.stdout)))
    if args.out:
        _write(args.out, report)
    return 0


def _scenario(args: argparse.Namespace) -> Scenario:
    """Read the scenario; what the command line says replaces what it says."""
    import msgspec

    from qoe.simulate import load_scenario
    from qoe.simulate.scenario import Scenario
    from qoe.toml import convert

    scenario = load_scenario(args.scenario)
    raw = msgspec.to_builtins(scenario)
    given = {
        "policies": args.policies and _parts(args.policies),
        "loads": args.loads and [_number(x) for x in _parts(args.loads)],
        "n_seeds": args.seeds,
        "seed": args.seed,
        "duration_s": args.duration,
    }
    raw |= {key: value for key, value in given.items() if value not in (None, "")}
    if args.traces:
        raw["radio"]["traces"] = [str(Path(pattern).absolute()) for pattern in args.traces]
    return convert(raw, Scenario)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise QoeError(f"--loads: {text!r} is not a number; write 1.2,1.6") from None


class _Progress:
    """One line on stderr that tells how many runs are done; only on a terminal."""

    def __init__(self, scenario: Scenario) -> None:
        self._total = max(1, len(scenario.loads)) * scenario.n_seeds * len(scenario.policies)
        self._done = 0

    def __call__(self, run: Run) -> None:
        self._done += 1
        if sys.stderr is not None and sys.stderr.isatty():
            line = f"{self._done} of {self._total} runs" if self._done < self._total else ""
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _write(folder: Path, report: SimulationReport) -> None:
    from qoe.report import simulation
    from qoe.report.result import to_json

    common.make_folder(folder)
    pages = (to_json(report), simulation.page(report).encode(), simulation.render(report).encode())
    for name, data in zip(_OUT_FILES, pages, strict=True):
        common.write_file(folder / name, data)
