"""Other flow meters and `qoe flows` on the same captures, each as a whole process with all its children.

``QOE_PEERS_LIMIT_S`` bounds one run (1800 s if not given, 30 s if quick), ``TMPDIR`` is where captures and
outputs go for the while: 10 GB. ``python -m benchmarks.peers.chart`` makes README's table and picture of the
JSON.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.peers import written
from benchmarks.peers.tools import OURS, OURS_TOO, PEERS, Tool, shown
from benchmarks.treemeter import Cost, measure
from qoe.errors import ConfigError
from qoe.tools.mix import mix
from qoe.tools.synth import write_capture
from qoe.tools.uniform import uniform

_LIMIT_S: Final = 1800.0
_QUICK_LIMIT_S: Final = 30.0
_MAX_RUNS: Final = 3
# a case that has taken this much CPU is not run again
_ENOUGH_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture to generate; `peers`: whether other tools read it too."""

    name: str
    n_packets: int
    n_flows: int
    peers: bool = True

    def write(self, path: Path) -> None:
        """Generate it and have it on disk."""
        batches = (
            uniform(self.n_flows, self.n_packets) if self.name == "1M" else mix(self.n_packets, self.n_flows)
        )
        write_capture(batches, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())  # else the first tools would pay for writing it back


CAPTURES: Final = (
    Capture("mix", 2_500_000, 200_000),
    Capture("1M", 8_000_000, 1_000_000),
    Capture("mix of 10 M", 10_000_000, 800_000, peers=False),
)
QUICK: Final = (Capture("mix", 20_000, 2_000), Capture("1M", 20_000, 5_000))


def run(quick: bool) -> list[dict[str, Any]]:
    """All tools on all captures, then the tools that are missing.

    Raises
    ------
    ConfigError
        If the limit is no time, or the captures cannot be written.
    """
    limit_s = _limit_s(_QUICK_LIMIT_S if quick else _LIMIT_S)
    versions = {tool: tool.version() for tool in (OURS, *OURS_TOO, *PEERS)}
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for capture in QUICK if quick else CAPTURES:
            file = Path(folder) / f"{capture.name.replace(' ', '-')}.pcap"
            try:
                capture.write(file)
            except OSError as error:
                raise ConfigError(f"{file}: {error.strerror}: TMPDIR names the folder to use") from error
            chosen = (OURS, *OURS_TOO, *(PEERS if capture.peers else ()))
            cases += _cases(capture, file, {t: versions[t] for t in chosen if versions[t]}, limit_s, quick)
            file.unlink()
    missing = {t.name: t.install for t in PEERS if not versions[t]}
    return cases + [{"tool": t, "missing": True, "install": how} for t, how in missing.items()]


def _limit_s(usual_s: float) -> float:
    given = os.environ.get("QOE_PEERS_LIMIT_S", str(usual_s))
    try:
        limit_s = float(given)
    except ValueError:
        limit_s = 0.0
    if not 0 < limit_s < float("inf"):
        raise ConfigError(f"QOE_PEERS_LIMIT_S={given}: give seconds, more than 0")
    return limit_s


def _cases(
    capture: Capture, file: Path, versions: dict[Tool, str | None], limit_s: float, quick: bool
) -> Iterator[dict[str, Any]]:
    """One case a tool: run in turns, so that what disturbs the machine disturbs all of them."""
    cases = {tool: _case(tool, version, capture, file) for tool, version in versions.items()}
    costs: dict[Tool, list[Cost]] = {tool: [] for tool in cases}
    for turn in range(1 if quick else _MAX_RUNS):
        for tool, case in cases.items():
            if "error" in case or (turn and sum(cost.cpu_s for cost in costs[tool]) > _ENOUGH_S):
                continue
            cost, found = run_once(tool, capture, file, limit_s)
            case.update(found)
            if "error" not in case:
                costs[tool].append(cost)
                each_ns = cost.cpu_s / capture.n_packets * 1e9
                print(f"peers: {capture.name}: {tool.name} {tool.variant}: {each_ns:.0f} ns", file=sys.stderr)
    for tool, case in cases.items():
        yield case | _figures(capture, costs[tool], costs[OURS])


def _case(tool: Tool, version: str | None, capture: Capture, file: Path) -> dict[str, Any]:
    """What is known of a case before it is run."""
    return {
        "tool": tool.name,
        "variant": tool.variant,
        "version": version,
        "capture": capture.name,
        "n_packets": capture.n_packets,
        "n_flows": capture.n_flows,
        "capture_bytes": file.stat().st_size,
        "command": shown(_command(tool, capture, file, 9995)),
        "writes": tool.writes,
    }


def _command(tool: Tool, capture: Capture, file: Path, port: int) -> list[str]:
    return tool.command(capture=f"../{file.name}", port=port, max_flows=2 * capture.n_flows)


def run_once(tool: Tool, capture: Capture, file: Path, limit_s: float) -> tuple[Cost, dict[str, Any]]:
    """Run a tool once: what it took and what it wrote, or an error."""
    folder = file.parent / "run"
    folder.mkdir()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
            sink.bind(("127.0.0.1", 0))  # nobody reads it; without it every datagram would be refused
            command = _command(tool, capture, file, sink.getsockname()[1])
            cost = measure(command, folder, limit_s, tool.output)
        return cost, _outcome(tool, cost, folder, limit_s)
    finally:
        shutil.rmtree(folder)


def _outcome(tool: Tool, cost: Cost, folder: Path, limit_s: float) -> dict[str, Any]:
    if cost.timed_out:
        return {"error": f"not done after {limit_s:g} s: QOE_PEERS_LIMIT_S allows more"}
    if cost.exit_code:
        said = " / ".join(written.sample(folder / name) or "" for name in (tool.output, "stderr"))
        return {"error": f"exit code {cost.exit_code}: {said.strip(' /')}"}
    try:
        result = next(folder.glob(tool.result))
        flows = tool.flows(result)
    except (StopIteration, OSError, ValueError, struct.error, subprocess.SubprocessError) as error:
        return {"error": f"it wrote no {tool.result} that can be read: {str(error) or 'there is none'}"}
    return {
        "flows_out": flows,
        "output_bytes": sum(each.stat().st_size for each in folder.iterdir()),
        "output_sample": written.sample(result),
    }


def _figures(capture: Capture, costs: list[Cost], ours: list[Cost]) -> dict[str, Any]:
    """Median and spread over the runs of a case, and the ratio to ours."""
    if not costs:
        return {}
    each_s = [cost.cpu_s for cost in costs]
    cpu_s = statistics.median(each_s)
    found = {
        "cpu_ns_per_packet": cpu_s / capture.n_packets * 1e9,
        "cpu_s": cpu_s,
        "wall_s": statistics.median(cost.wall_s for cost in costs),
        "rss_mb": statistics.median(cost.rss_mb for cost in costs),
        "n_runs": len(costs),
        "spread_ratio": (max(each_s) - min(each_s)) / cpu_s if cpu_s else 0.0,
    }
    if ours:
        found["ratio_to_ours"] = cpu_s / statistics.median(cost.cpu_s for cost in ours)
    return found
