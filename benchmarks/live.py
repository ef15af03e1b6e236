"""`qoe replay --live` on a veth pair that tcpreplay sends into: what came, what was dropped, what it cost.

The pair lies between two namespaces that vanish with this process. Totals are compared with those of the
file, as often as it was sent. Cost is CPU of the whole process, from start to report; beside it stands
tcpdump, which reads the same traffic through the same kind of ring and looks at nothing. What the kernel
spends to copy frames into a ring is spent by the sender's core and in neither figure.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import UnavailableError
from qoe.tools.synth import mix, write_capture
from qoe.tools.veth import Wire, missing

RATE_PPS = 200_000
N_SHARDS = 2
SNAP_BYTES = 512
FILE_PACKETS, FILE_FLOWS = 400_000, 30_000
_START_S = 60.0
_SENT = re.compile(r"Actual: (\d+) packets \((\d+) bytes\) sent in ([\d.]+) seconds")
_TCPDUMP_SAID = re.compile(r"(\d+) packets received by filter\s+(\d+) packets dropped by kernel")


class _Reader:
    """A command that reads the wire's end until it is told to stop."""

    def __init__(self, wire: Wire, command: Sequence[str], folder: Path, begun: str) -> None:
        self._errors = folder / "errors"
        with self._errors.open("wb") as errors, (folder / "out").open("wb") as out:
            self._process = subprocess.Popen(wire.command(wire.receiver, command), stdout=out, stderr=errors)
        self._out = folder / "out"
        deadline_s = time.monotonic() + _START_S
        while begun not in self._errors.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self._process.kill()
                raise RuntimeError(f"{' '.join(command)} did not begin: {self._errors.read_text().strip()}")
            time.sleep(0.05)

    def stop(self) -> tuple[str, str, dict[str, float]]:
        """Stop it as Ctrl-C does; what it printed, what it said, and what it used."""
        self._process.send_signal(signal.SIGINT)
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            raise RuntimeError(f"the reader failed: {self._errors.read_text().strip()}")
        cost = {"cpu_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}
        return self._out.read_text(), self._errors.read_text(), cost


def _send(wire: Wire, capture: Path, n_loops: int) -> dict[str, Any]:
    """Send the file so many times, each with addresses of its own, and say what was sent."""
    options = (f"--pps={RATE_PPS}", "--preload-pcap", "--unique-ip", f"--loop={n_loops}", "--quiet")
    said = _SENT.search(wire.replay(str(capture), *options))
    if said is None:
        raise RuntimeError("tcpreplay did not say what it sent")
    packets, n_bytes, seconds = int(said[1]), int(said[2]), float(said[3])
    return {"sent_packets": packets, "sent_bytes": n_bytes, "seconds": seconds, "pps": packets / seconds}


def _tcpdump(wire: Wire, folder: Path, capture: Path, n_loops: int) -> dict[str, Any]:
    command = ["tcpdump", "-i", wire.receiver, "-s", str(SNAP_BYTES), "-B", "131072", "-w", "/dev/null"]
    reader = _Reader(wire, [*command, "-Z", "root"], folder, "listening on")
    sent = _send(wire, capture, n_loops)
    time.sleep(1)
    _, said, cost = reader.stop()
    counts = _TCPDUMP_SAID.search(said)
    received, dropped = (int(counts[1]), int(counts[2])) if counts else (0, 0)
    return {
        "case": "tcpdump -w /dev/null",
        **sent,
        "kernel_received": received,
        "kernel_dropped": dropped,
        "cpu_ns_per_packet": cost["cpu_s"] / max(received, 1) * 1e9,
        **cost,
    }


def _qoe(
    wire: Wire, folder: Path, capture: Path, file_totals: tuple[int, int], n_loops: int
) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "qoe", "replay", "--live", wire.receiver, "--json"]
    reader = _Reader(wire, [*command, "--shards", str(N_SHARDS)], folder, "reading")
    sent = _send(wire, capture, n_loops)
    out, _, cost = reader.stop()
    found = json.loads(out)
    counters = found["counters"]
    shards = [counters[f"shard_{i}_packets"] for i in range(N_SHARDS)]
    expected = tuple(n * n_loops for n in file_totals)
    return {
        "case": f"qoe replay --live --shards {N_SHARDS}",
        **sent,
        "n_packets": found["packets"],
        "n_bytes": found["bytes"],
        "n_flows": found["flows"],
        **{name: counters[name] for name in ("kernel_received", "kernel_dropped", "interface_dropped")},
        "totals_equal": (found["packets"], found["bytes"]) == expected,
        "shard_packets": shards,
        "shard_balance_ratio": min(shards) / max(*shards, 1),
        "cpu_ns_per_packet": cost["cpu_s"] / max(found["packets"], 1) * 1e9,
        **cost,
        "warnings": found["warnings"],
    }


def run(quick: bool) -> list[dict[str, Any]]:
    """Send a mix of all classes at 200 kpps for a minute, to tcpdump if it is installed, then to qoe."""
    if reason := missing():
        raise UnavailableError(reason)
    n_loops = 1 if quick else 60 * RATE_PPS // FILE_PACKETS
    with tempfile.TemporaryDirectory() as name, Wire() as wire:
        folder = Path(name)
        capture = folder / "mix.pcap"
        packets = write_capture(mix(FILE_PACKETS, FILE_FLOWS), capture)
        totals = (
            packets,
            capture.stat().st_size - 24 - 16 * packets,
        )  # without the headers of file and records
        cases = [_tcpdump(wire, folder, capture, n_loops)] if shutil.which("tcpdump") else []
        cases.append(_qoe(wire, folder, capture, totals, n_loops))
    for case in cases:
        case["ratio_to_tcpdump"] = (
            case["cpu_ns_per_packet"] / cases[0]["cpu_ns_per_packet"] if len(cases) > 1 else None
        )
    return cases
