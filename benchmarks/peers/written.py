"""What a tool wrote: how many flows, and one line of it to look at."""

from __future__ import annotations

import csv
import re
import struct
import subprocess
from pathlib import Path
from typing import Final

_ARGUS_HEADER: Final = struct.Struct(">BBH")  # type and version, cause, length in words of four bytes
_ARGUS_FLOW, _ARGUS_START = 0x10, 0x10
_SAMPLE_CHARS: Final = 160


def csv_rows(file: Path) -> int:
    """Lines under the header."""
    with file.open("rb") as lines:
        return max(sum(piece.count(b"\n") for piece in iter(lambda: lines.read(1 << 20), b"")) - 1, 0)


def parquet_rows(file: Path) -> int:
    """Rows of a Parquet file."""
    from pyarrow import parquet

    rows: int = parquet.read_metadata(file).num_rows
    return rows


def argus_flows(file: Path) -> int:
    """Flows that began in a file of argus: records of a flow whose cause is START."""
    data = file.read_bytes()
    at = flows = 0
    while at < len(data):
        kind, cause, n_words = _ARGUS_HEADER.unpack_from(data, at)
        flows += kind & 0xF0 == _ARGUS_FLOW and cause & 0xF0 == _ARGUS_START
        at += 4 * max(n_words, 1)
    return flows


def nfdump_flows(file: Path) -> int:
    """Flows in all files of nfpcapd beside one, as nfdump counts them: each way is one."""
    flows = 0
    for each in file.parent.glob("nfcapd.*"):
        asked = ["nfdump", "-r", str(each), "-I"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        flows += first_number(r"^Flows: (\d+)", done.stdout)
    return flows


def softflowd_flows(file: Path) -> int:
    """Flows that softflowd says it sent."""
    return first_number(r"^Flows exported: (\d+)", file.read_text(errors="replace"))


def tshark_streams(file: Path) -> int:
    """Conversations in rows of tshark whose last two columns number those of TCP and of UDP."""
    last = [-1, -1]
    with file.open(newline="") as lines:
        for row in csv.reader(lines):
            for way, number in enumerate(row[-2:]):
                if number.isdigit():
                    last[way] = max(last[way], int(number))
    return sum(last) + 2


def first_number(pattern: str, text: str) -> int:
    """Return the number that a pattern finds in what a tool says; ValueError if it finds none."""
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise ValueError(f"nothing like {pattern!r} in {text[-_SAMPLE_CHARS:]!r}")
    return int(found[1])


def sample(file: Path) -> str | None:
    """Last line of a text, cut; None if it is none."""
    with file.open("rb") as data:
        data.seek(max(0, file.stat().st_size - 4096))
        tail = data.read()
    if b"\0" in tail:
        return None
    lines = tail.decode(errors="replace").splitlines()
    return next((line[:_SAMPLE_CHARS] for line in reversed(lines) if line), "")
