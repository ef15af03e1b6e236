"""Runs benchmarks and prints what they measured, as tables or as one JSON object each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module

from benchmarks.machine import UnavailableError, describe_machine, describe_versions
from qoe.errors import QoeError

NAMES = {
    "kernel": "packets of 64 bytes through the whole kernel, beside a bare floor",
    "soak": "an hour of mixed traffic with flows that come and go: flat memory, accounts that add up",
    "flows": "`qoe flows` of a realistic mix as a whole process, beside a bare reading of the file",
    "live": "`qoe replay --live` at 200 kpps over a veth pair, beside tcpdump (root)",
    "optimise": "cells through the fast path, beside SciPy's solvers",
    "explain": "explaining the shares of cells, beside finding them",
    "forecast": "loads ahead by rolling origin over real cells, beside seasonal naive and statsforecast",
    "mos": "MOS of many flows at once, beside one at a time; MOS of bearers at all shares",
    "cellsim": "TTIs a second through the cell simulator, by scheduler and number of bearers",
    "simulate": "mean MOS of policies in a simulated cell, on the same users, by load",
    "ns3": "what users get in the simulated cell, beside ns-3's LTE cell (libns3-dev)",
    "peers": "other flow meters beside `qoe flows` on the same captures, whole processes",
    "agreement": "packets, bytes and flows of a labelled collection, beside other tools' counts",
    "twin": "every field of every record of a labelled collection, beside a slow, obvious twin",
    "accuracy": "the classifier under cross-validation that leaves out applications and sources",
}

LONG = ("peers", "soak")
"""Only run where named, or with --quick: half an hour and an hour."""


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:<10} {what}" for name, what in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Benchmarks of qoe:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="which to run; when none is named, all but the long ones"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a benchmark, a line each")
    parser.add_argument("--quick", action="store_true", help="small cases: does it run, not how fast")
    return parser


def _print_table(name: str, results: list[dict[str, object]]) -> None:
    print(f"\n{name}: {NAMES[name]}")
    for case in results:
        print("  " + "  ".join(f"{key}={_short(value)}" for key, value in case.items()))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are named; returns the exit code."""
    options = _parser().parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        print(f"benchmarks: no benchmark {unknown[0]!r}: choose from {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in options.names or [name for name in NAMES if options.quick or name not in LONG]:
        try:
            results = import_module(f"benchmarks.{name}").run(options.quick)
        except QoeError as error:
            print(f"benchmarks: {name}: {error}", file=sys.stderr)
            if isinstance(error, UnavailableError) and not options.names:
                continue
            return 1
        if options.json:
            report = {
                "benchmark": name,
                "quick": options.quick,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": describe_machine(),
                "versions": describe_versions(),
                "results": results,
            }
            print(json.dumps(report), flush=True)
        else:
            _print_table(name, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
