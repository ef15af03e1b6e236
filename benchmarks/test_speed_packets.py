"""From bytes to flow records, each stage beside a reference in its group: ``pytest benchmarks``.

The ratios within a group are what to read; whole jobs are measured by ``python -m benchmarks``.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from qoe.capture import Source
from qoe.flows import Engine, address_texts
from qoe.report.rows import FlowWriter
from qoe.schema import Burst, RecordArray
from qoe.tools.synth import mix, write_capture

N_PACKETS = 20_000
N_FLOWS = 2_000
WINDOW_BYTES = 1 << 20
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.compress}

Benchmark = Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One mix of all classes as pcap and pcapng, plain and compressed."""
    where = tmp_path_factory.mktemp("captures")
    for name in ("mix.pcap", "mix.pcapng"):
        write_capture(mix(N_PACKETS, N_FLOWS), where / name)
    plain = (where / "mix.pcap").read_bytes()
    for ending, pack in PACKERS.items():
        (where / f"mix.pcap.{ending}").write_bytes(pack(plain))
    return where


@pytest.fixture(scope="module")
def flows(folder: Path) -> RecordArray:
    """The records of the mix's flows."""
    engine = Engine(max_flows=2 * N_FLOWS, seed=1, model=None)
    assert _through(engine, folder / "mix.pcap") == N_PACKETS
    return engine.snapshot()


def _read(path: Path) -> int:
    """Read a capture by the burst; returns its packets."""
    n_packets = 0
    with Source(str(path)) as source:
        while (burst := source.next_burst(4096)) is not None:
            n_packets += len(burst.packets)
    return n_packets


def _through(engine: Engine, path: Path) -> int:
    """Take a capture through an engine; returns its packets."""
    with Source(str(path)) as source:
        while engine.consume(source.reader) == "more":
            source.fill()
    return engine.counters()["packets"]


@pytest.mark.benchmark(group="4,096 packets of a mix, handed over by the burst")
@pytest.mark.parametrize("n", [1, 16, 256, 4096])
def test_bursts(benchmark: Benchmark, folder: Path, n: int) -> None:
    """What a call from Python costs: the same packets in bursts of 1, 16, 256 and 4,096."""
    with Source(str(folder / "mix.pcap")) as source:
        burst = source.next_burst(4096)
    assert burst is not None
    bursts = [Burst(burst.data, burst.packets[at : at + n]) for at in range(0, len(burst.packets), n)]
    engine = Engine(max_flows=2 * N_FLOWS, seed=1, model=None)

    def take() -> None:
        for piece in bursts:
            engine.process(piece)

    benchmark(take)
    assert engine.n_live


@pytest.mark.benchmark(group=f"reading a capture of {N_PACKETS:,} packets")
@pytest.mark.parametrize("name", ["mix.pcap", "mix.pcapng", *(f"mix.pcap.{ending}" for ending in PACKERS)])
def test_reading(benchmark: Benchmark, folder: Path, name: str) -> None:
    """A capture into bursts, by format and compression."""
    assert benchmark(_read, folder / name) == N_PACKETS


@pytest.mark.benchmark(group=f"reading a capture of {N_PACKETS:,} packets")
def test_reading_bytes(benchmark: Benchmark, folder: Path) -> None:
    """The reference: the bytes alone, into a window of the same size."""
    path = folder / "mix.pcap"
    window = bytearray(WINDOW_BYTES)

    def read() -> int:
        with path.open("rb", buffering=0) as file:
            return sum(iter(lambda: file.readinto(window) or 0, 0))

    assert benchmark(read) == path.stat().st_size


@pytest.mark.benchmark(group=f"reading a capture of {N_PACKETS:,} packets")
def test_reading_scapy(benchmark: Benchmark, folder: Path) -> None:
    """A peer: scapy's raw reader, a tuple a packet."""
    from scapy.utils import RawPcapReader

    def read() -> int:
        with RawPcapReader(str(folder / "mix.pcap")) as reader:
            return sum(1 for _ in reader)

    assert benchmark(read) == N_PACKETS


@pytest.mark.benchmark(group=f"{N_PACKETS:,} packets of {N_FLOWS:,} flows, from the file")
@pytest.mark.parametrize("model", ["default", None], ids=["with the model", "by rules alone"])
def test_whole_path(benchmark: Benchmark, folder: Path, model: str | None) -> None:
    """Reading, decoding, tracking and classifying, with the shipped model and without."""

    def run() -> int:
        return _through(Engine(max_flows=2 * N_FLOWS, seed=1, model=model), folder / "mix.pcap")

    assert benchmark(run) == N_PACKETS


@pytest.mark.benchmark(group=f"{N_PACKETS:,} packets of {N_FLOWS:,} flows, from the file")
def test_whole_path_reading(benchmark: Benchmark, folder: Path) -> None:
    """The reference: the same file read, nothing decoded."""
    assert benchmark(_read, folder / "mix.pcap") == N_PACKETS


@pytest.mark.benchmark(group=f"snapshot of {N_FLOWS:,} flows")
def test_snapshot(benchmark: Benchmark, folder: Path) -> None:
    """All live flows as records."""
    engine = Engine(max_flows=2 * N_FLOWS, seed=1, model=None)
    _through(engine, folder / "mix.pcap")
    assert len(benchmark(engine.snapshot)) == N_FLOWS


@pytest.mark.benchmark(group=f"snapshot of {N_FLOWS:,} flows")
def test_snapshot_copy(benchmark: Benchmark, flows: RecordArray) -> None:
    """The reference: the same records copied."""
    assert len(benchmark(flows.copy)) == N_FLOWS


@pytest.mark.benchmark(group=f"{N_FLOWS:,} rows written")
@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_export(benchmark: Benchmark, flows: RecordArray, kind: Any) -> None:
    """Flow records as a table, all columns."""

    def write() -> int:
        sink = io.BytesIO()
        with FlowWriter(sink, kind, address_texts) as writer:
            writer.write(flows)
        return writer.n_rows

    assert benchmark(write) == N_FLOWS


@pytest.mark.benchmark(group=f"{N_FLOWS:,} rows written")
def test_export_csv_module(benchmark: Benchmark, flows: RecordArray) -> None:
    """The reference: Python's csv module, and of the columns only plain numbers."""
    numbers = [name for name in flows.dtype.names or () if not flows.dtype[name].shape]

    def write() -> int:
        sink = io.StringIO()
        csv.writer(sink).writerows(flows[numbers].tolist())
        return sink.getvalue().count("\n")

    assert benchmark(write) == N_FLOWS
