"""`qoe flows` as a whole process, start-up and output included, beside a bare reading of the same file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_READ = (
    "import sys\n"
    "from qoe.capture import open_captures\n"
    "for source in open_captures(sys.argv[1:]):\n"
    "    while source.reader.next_burst(65536)[1] or source.fill():\n"
    "        pass\n"
)


def _cost(command: list[str], folder: str) -> tuple[float, float]:
    """CPU seconds and peak resident megabytes of a command."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} failed: {errors.read().decode(errors='replace').strip()}"
            )
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _generate(path: Path, packets: int, flows: int) -> None:
    subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "qoe.tools.synth",
            "mix",
            "--packets",
            str(packets),
            "--flows",
            str(flows),
            "-o",
            str(path),
        ],
        cwd=path.parent,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def run(quick: bool) -> list[dict[str, Any]]:
    """CSV, Parquet and a bare reading of a mix of all classes."""
    packets, flows = (100_000, 8_000) if quick else (2_500_000, 200_000)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "mix.pcap"
        _generate(capture, packets, flows)
        qoe = [sys.executable, "-P", "-m", "qoe", "flows", str(capture)]
        commands = {
            "read only": [sys.executable, "-P", "-c", _READ, str(capture)],
            "flows csv": [*qoe, "-o", str(Path(folder) / "flows.csv")],
            "flows parquet": [*qoe, "-o", str(Path(folder) / "flows.parquet")],
        }
        for name, command in commands.items():
            cpu_s, rss_mb = _cost(command, folder)
            cases.append(
                {
                    "case": name,
                    "packets": packets,
                    "flows": flows,
                    "capture_bytes": capture.stat().st_size,
                    "cpu_ns_per_packet": cpu_s / packets * 1e9,
                    "cpu_s": cpu_s,
                    "rss_mb": rss_mb,
                    "ratio_to_reading": cpu_s / cases[0]["cpu_s"] if cases else 1.0,
                }
            )
    return cases
