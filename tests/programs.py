"""Programs that run beside a test of live capture, and what is sent to them."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from captures import Packet, pcap
from wire import SECOND, udp

T0 = 1_700_000_000 * SECOND
MACS = bytes.fromhex("020000000001020000000002")
QOE = [sys.executable, "-P", "-m", "qoe"]
DEADLINE_S = 60
COUNTS = ("packets", "packets_reverse", "bytes", "bytes_reverse")


class Program:
    """A command that runs beside the test."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.errors = folder / "stderr"
        with self.errors.open("wb") as sink:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink)

    def wait_for(self, words: str) -> None:
        """Wait until it says something."""
        deadline_s = time.monotonic() + DEADLINE_S
        while words not in self.said() and time.monotonic() < deadline_s and self.process.poll() is None:
            time.sleep(0.02)
        assert words in self.said()

    def said(self) -> str:
        """What it wrote to stderr so far."""
        return self.errors.read_text()

    def end(self, number: int | None = signal.SIGINT) -> tuple[int, str]:
        """End it, by a signal if one is given: exit code and what it printed."""
        if number is not None:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out.decode()


Start = Callable[..., Program]


def frames(n: int = 20) -> list[Packet]:
    """Ethernet frames of one flow."""
    data = MACS + b"\x08\x00" + udp("10.0.0.1", 1000, "192.0.2.1", 2000)
    return [Packet(T0 + i * 1_000_000, data, len(data)) for i in range(n)]


def capture(folder: Path, packets: list[Packet]) -> str:
    """Write them down."""
    path = folder / "sent.pcap"
    path.write_bytes(pcap(packets))
    return str(path)


def flows_of(path: Path) -> dict[tuple[str, ...], list[int]]:
    """Counts of each flow in a CSV, by what it is."""
    with path.open() as source:
        names = ("src", "dst", "src_port", "dst_port", "protocol", "vlan_id")
        rows = [
            (tuple(row[n] for n in names), [int(row[n]) for n in COUNTS]) for row in csv.DictReader(source)
        ]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def refused(*command: str) -> str:
    """The one line of a command that fails with exit code 1 and prints nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    return done.stderr
