"""`qoe flows` as a whole process, start-up and output included, beside a bare reading of the same file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.treemeter import measure
from qoe.tools.mix import mix
from qoe.tools.synth import write_capture

_READ = (
    "import sys\n"
    "from qoe.capture import open_captures\n"
    "for source in open_captures(sys.argv[1:]):\n"
    "    while source.reader.next_burst(65536)[1] or source.fill():\n"
    "        pass\n"
)


def run(quick: bool) -> list[dict[str, Any]]:
    """CSV, Parquet and a bare reading of a mix of all classes."""
    packets, flows = (100_000, 8_000) if quick else (2_500_000, 200_000)
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "mix.pcap"
        write_capture(mix(packets, flows), capture)
        qoe = [sys.executable, "-P", "-m", "qoe", "flows", str(capture)]
        commands = {
            "read only": [sys.executable, "-P", "-c", _READ, str(capture)],
            "flows csv": [*qoe, "-o", "flows.csv"],
            "flows parquet": [*qoe, "-o", "flows.parquet"],
        }
        for name, command in commands.items():
            cost = measure(command, Path(folder))
            if cost.exit_code:
                raise RuntimeError(f"{' '.join(command)} failed: {(Path(folder) / 'stderr').read_text()}")
            cases.append(
                {
                    "case": name,
                    "packets": packets,
                    "flows": flows,
                    "capture_bytes": capture.stat().st_size,
                    "cpu_ns_per_packet": cost.cpu_s / packets * 1e9,
                    "cpu_s": cost.cpu_s,
                    "rss_mb": cost.rss_mb,
                    "ratio_to_reading": cost.cpu_s / cases[0]["cpu_s"] if cases else 1.0,
                }
            )
    return cases
