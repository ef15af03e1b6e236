"""The tools that are measured, ours among them: how each is run, and what it is to write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.peers import written

_HERE: Final = Path(__file__).resolve().parent
# Debian keeps some of them where only root looks
_PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to run one tool.

    Attributes
    ----------
    name, variant : str
        For people; the variant tells apart several ways to run one tool.
    install : str
        The command that installs it.
    words : tuple of str
        Command line, run in an empty folder; ``{capture}``, ``{port}`` (of a UDP sink on loopback) and
        ``{max_flows}`` are filled in.
    writes : str
        What comes out, in words.
    result : str
        Name, perhaps a pattern, of the file that shows what came out.
    flows : callable
        Counts the flows in that file.
    output : str
        Name of the file that takes standard output.
    asks_version : tuple of str
        Command that says the version; empty: `name` is a Python package.
    """

    name: str
    variant: str
    install: str
    words: tuple[str, ...]
    writes: str
    result: str
    flows: Callable[[Path], int]
    output: str = "stdout"
    asks_version: tuple[str, ...] = ()

    def version(self) -> str | None:
        """Version of the installed tool; None if it is missing."""
        if not self.asks_version:
            try:
                return version(self.name)
            except PackageNotFoundError:
                return None
        program = _which(self.asks_version[0])
        if program is None:
            return None
        asked = [program, *self.asks_version[1:]]
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False)
        return version_in(done.stdout + done.stderr)

    def command(self, **values: object) -> list[str]:
        """Command line for a capture."""
        program, *rest = [word.format(**values) for word in self.words]
        return [_which(program) or program, *rest]


def _which(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def version_in(text: str) -> str:
    """Return the first thing that looks like a version in what a program says of itself."""
    found = re.search(r"\d+\.\d+(?:\.\d+)*", text)
    return found[0] if found else "unknown"


def shown(command: list[str]) -> str:
    """Return a command line as people type it, without this machine's folders."""
    words = ("python" if word == sys.executable else word for word in command)
    return " ".join(Path(word).name if word.startswith("/") else word for word in words)


def _ours(columns: str, kind: str) -> Tool:
    file = f"flows.{kind}"
    command = (sys.executable, "-P", "-m", "qoe", "flows", "{capture}", "--columns", columns, "-o", file)
    measured = " and all that was measured" if columns == "all" else ""
    return Tool(
        name="qoe",
        variant=f"{columns}, {kind}",
        install="pip install -e .",
        words=command,
        writes=f"{kind}, a row a flow: addresses, counts, times, class{measured}",
        result=file,
        flows=written.csv_rows if kind == "csv" else written.parquet_rows,
    )


OURS: Final = _ours("core", "parquet")
OURS_TOO: Final = (_ours("all", "parquet"), _ours("core", "csv"), _ours("all", "csv"))


def _ndpi_reader(variant: str, words: str, which: str) -> Tool:
    return Tool(
        name="ndpiReader",
        variant=variant,
        install="apt install libndpi-bin",
        words=tuple(words.split()),
        writes=f"CSV, a row a flow {which}: application by inspection of payload, sizes, gaps, flags",
        result="flows.csv",
        flows=written.csv_rows,
        asks_version=("ndpiReader", "-h"),
    )


def _script(package: str, writes: str) -> Tool:
    return Tool(
        name=package,
        variant="",
        install=f"pip install {package}",
        words=(sys.executable, "-P", str(_HERE / f"{package}_flows.py"), "{capture}", "flows.csv"),
        writes=writes,
        result="flows.csv",
        flows=written.csv_rows,
    )


_ENDPOINTS: Final = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst")
_PORTS: Final = ("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")
_TSHARK_FIELDS: Final = (
    *("frame.time_epoch", "frame.len", "_ws.col.Protocol"),
    *(*_ENDPOINTS, *_PORTS, "tcp.stream", "udp.stream"),
)

PEERS: Final = (
    Tool(
        name="softflowd",
        variant="",
        install="apt install softflowd",
        words=(
            *("softflowd", "-d", "-r", "{capture}", "-m", "{max_flows}"),
            *("-v", "9", "-n", "127.0.0.1:{port}", "-c", "none"),
        ),
        writes="NetFlow 9 to a socket: addresses, counts, times",
        result="stdout",
        flows=written.softflowd_flows,
        asks_version=("softflowd", "-h"),
    ),
    Tool(
        name="nfpcapd",
        variant="",
        install="apt install nfdump",
        words=("nfpcapd", "-r", "{capture}", "-w", "."),
        writes="nfdump's file, a record a direction: addresses, counts, times",
        result="nfcapd.*",
        flows=written.nfdump_flows,
        asks_version=("nfpcapd", "-V"),
    ),
    Tool(
        name="argus",
        variant="",
        install="apt install argus-server",
        words=("argus", "-X", "-r", "{capture}", "-w", "flows.argus"),
        writes="argus's file: addresses, counts, times, TCP state",
        result="flows.argus",
        flows=written.argus_flows,
        asks_version=("argus", "-h"),
    ),
    _ndpi_reader("known flows", "ndpiReader -q -i {capture} -C flows.csv", "that it recognised"),
    _ndpi_reader("all flows", "ndpiReader -q -v 2 -i {capture} -C flows.csv", "and a line of text"),
    _script("nfstream", "CSV, a row a flow: application by inspection of payload, sizes, gaps, flags"),
    _script("dpkt", "CSV, a row a flow: addresses, counts, times; a loop of plain Python"),
    Tool(
        name="tshark",
        variant="",
        install="apt install tshark",
        words=(
            *("tshark", "-n", "-r", "{capture}", "-T", "fields", "-E", "separator=,"),
            *(word for field in _TSHARK_FIELDS for word in ("-e", field)),
        ),
        writes="CSV, a row a packet: time, length, addresses, protocol, number of its conversation",
        result="packets.csv",
        flows=written.tshark_streams,
        output="packets.csv",
        asks_version=("tshark", "--version"),
    ),
)
