"""`qoe flows` as a whole process, start-up and output included, beside a bare reading of the same file.

The mix is realistic traffic of whole frames; 1M is frames of 64 bytes over a million flows in uniform random
order. The floor reads the file in the same pieces and looks at nothing. Takes two minutes and 8 GB of
temporary space.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.treemeter import Cost, measure
from qoe.tools.mix import mix
from qoe.tools.packets import Batch
from qoe.tools.synth import write_capture
from qoe.tools.uniform import uniform

_FLOOR: Final = (
    "import io, sys\n"
    "piece = bytearray(262144)\n"
    "with io.FileIO(sys.argv[1]) as capture:\n"
    "    while capture.readinto(piece):\n"
    "        pass\n"
)
_QOE: Final = [sys.executable, "-P", "-m", "qoe"]
_REPEATS: Final = 3
_START_REPEATS: Final = 9
_COLUMNS: Final = {"all": "all columns", "core": "core"}


@dataclass(frozen=True, slots=True)
class _Capture:
    """A capture to be listed, and what a bare reading of it costs."""

    name: str
    path: Path
    packets: int
    flows: int
    floor: Cost


def _run(command: list[str], folder: Path, repeats: int) -> Cost:
    """Median cost of a command."""
    costs = [measure(command, folder) for _ in range(repeats)]
    if any(cost.exit_code for cost in costs):
        raise RuntimeError(f"{' '.join(command)} failed: {(folder / 'stderr').read_text()}")
    return Cost(
        cpu_s=median(c.cpu_s for c in costs),
        wall_s=median(c.wall_s for c in costs),
        rss_mb=median(c.rss_mb for c in costs),
    )


def _written(folder: Path, name: str, packets: int, flows: int, batches: Iterable[Batch]) -> _Capture:
    path = folder / f"{name}.pcap"
    write_capture(batches, path)
    floor = _run([sys.executable, "-I", "-S", "-c", _FLOOR, str(path)], folder, _REPEATS)
    return _Capture(name, path, packets, flows, floor)


def _listed(capture: _Capture, case: str, options: list[str], suffix: str = "parquet") -> dict[str, Any]:
    """One case: a listing of a capture."""
    output = capture.path.parent / f"flows.{suffix}"
    command = [*_QOE, "flows", str(capture.path), "-o", str(output), *options]
    cost = _run(command, capture.path.parent, _REPEATS)
    return {
        "case": case,
        "packets": capture.packets,
        "flows": capture.flows,
        "capture_bytes": capture.path.stat().st_size,
        "output_bytes": output.stat().st_size,
        "cpu_ns_per_packet": cost.cpu_s / capture.packets * 1e9,
        "floor_ns_per_packet": capture.floor.cpu_s / capture.packets * 1e9,
        "cpu_s": cost.cpu_s,
        "wall_s": cost.wall_s,
        "rss_mb": cost.rss_mb,
    }


def _waited_ms(command: list[str], folder: Path) -> float:
    """Milliseconds until a command is done, without the meter's own steps."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def _shared(capture: _Capture) -> dict[str, Any]:
    """The same listing by one worker and by two in turn: how much less time, how much more work."""
    folder, costs = capture.path.parent, []
    command = [*_QOE, "flows", str(capture.path), "-o", str(folder / "flows.parquet"), "--workers"]
    for workers in ("1", "2"):
        costs.append(_run([*command, workers], folder, 1))
    waits = [[_waited_ms([*command, workers], folder) for workers in ("1", "2")] for _ in range(_REPEATS)]
    alone_ms, shared_ms = (median(times) for times in zip(*waits, strict=True))
    return {
        "case": f"{capture.name} workers 2",
        "packets": capture.packets,
        "flows": capture.flows,
        "wall_s_by_one": alone_ms / 1e3,
        "wall_s": shared_ms / 1e3,
        "wall_ratio": alone_ms / shared_ms,
        "cpu_ratio": costs[1].cpu_s / costs[0].cpu_s,
        "rss_mb": costs[1].rss_mb,
    }


def _cases(capture: _Capture) -> list[dict[str, Any]]:
    cases = [_listed(capture, f"{capture.name} {_COLUMNS[c]}", ["--columns", c]) for c in _COLUMNS]
    cases.append(_listed(capture, f"{capture.name} csv", [], "csv"))
    return [*cases, _shared(capture)]


def _start(folder: Path) -> list[dict[str, Any]]:
    """What is waited for before anything is done."""
    few = folder / "few.pcap"
    write_capture(mix(100, 20), few)
    commands = {
        "start --help": [*_QOE, "--help"],
        "start 100 packets": [*_QOE, "flows", str(few)],
        "start Python alone": [sys.executable, "-P", "-c", "pass"],
    }
    return [
        {
            "case": case,
            "wall_ms": median(_waited_ms(command, folder) for _ in range(_START_REPEATS)),
            "rss_mb": _run(command, folder, 1).rss_mb,
        }
        for case, command in commands.items()
    ]


def run(quick: bool) -> list[dict[str, Any]]:
    """The mix and 1M in all columns, core columns, CSV and by two workers; start-up; memory."""
    scale = 100 if quick else 1
    n_mix, n_blend = 10_000_000 // scale, 800_000 // scale
    n_even, n_million = 8_000_000 // scale, 1_000_000 // scale
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = _start(folder)
        blend = _written(folder, "mix", n_mix, n_blend, mix(n_mix, n_blend))
        results += _cases(blend)
        blend.path.unlink()
        even = _written(folder, "1M", n_even, n_million, uniform(n_million, n_even))
        results += _cases(even)
        even.path.unlink()
        longer = _written(folder, "1M x4", 4 * n_even, n_million, uniform(n_million, 4 * n_even))
        return [*results, _listed(longer, "1M four times as long", [])]
