"""``qoe flows --workers N``: the rows, the words and the exit code of one worker, whatever comes in."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from captures import Packet, pcap, pcapng
from wire import RAW_IP, SECOND, ipv4, udp

from qoe.capture import Source
from qoe.cli import main
from qoe.feed import Feed, SharedFeed
from qoe.flows import Engine
from qoe.tools.mix import mix
from qoe.tools.synth import write_capture
from qoe.tools.uniform import uniform
from qoe.tools.zoo import zoo
from qoe.workers import Workers
from qoe_native.engine import CaptureReader, SharedCapture

T0 = 1_700_000_000 * SECOND
Rows = list[tuple[str, ...]]


class Run:
    """What a listing said and wrote."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, err
        self.flows = list(csv.DictReader(io.StringIO(out)))

    @property
    def rows_but_for_the_end(self) -> Rows:
        """The same where a clock that jumps leaves it open whether idle flows time out or are flushed."""
        left = ("flow_id", "end_reason")
        return sorted(tuple(v for k, v in flow.items() if k not in left) for flow in self.flows)

    @property
    def rows(self) -> Rows:
        """Rows in an order of their own, without the numbers of flows."""
        return sorted(tuple(v for k, v in flow.items() if k != "flow_id") for flow in self.flows)


List = Callable[..., Run]


@pytest.fixture
def flows(capfd: pytest.CaptureFixture[str]) -> List:
    """Run ``qoe flows`` in this process."""

    def call(*argv: object, workers: int = 1) -> Run:
        capfd.readouterr()
        code = main(["flows", *map(str, argv), "--workers", str(workers)])
        return Run(code, *capfd.readouterr())

    return call


def program(*argv: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start ``qoe flows`` as a program."""
    command = [sys.executable, "-P", "-m", "qoe", "flows", *map(str, argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.fixture(scope="module")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix of all classes, 30 MB: many pieces of many flows that end at all times."""
    path = tmp_path_factory.mktemp("mix") / "mix.pcap"
    write_capture(mix(40_000, 4_000, seed=7), path)
    return path


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_the_rows_are_those_of_one_worker(flows: List, blend: Path, workers: int) -> None:
    """Every flow comes once, with the same values in every column, and a number of its own."""
    alone = flows(blend, "--idle-timeout", 1)
    shared = flows(blend, "--idle-timeout", 1, workers=workers)
    assert (shared.code, shared.err) == (alone.code, alone.err) == (0, "")
    assert shared.rows == alone.rows
    assert len({row["flow_id"] for row in shared.flows}) == len(alone.flows) > 4_000
    assert {row["end_reason"] for row in alone.flows} == {"idle_timeout", "flushed"}


def test_small_packets_through_many_pieces(flows: List, tmp_path: Path) -> None:
    """Pieces full of the smallest frames, far more than lie ready at once, lose and double none."""
    path = tmp_path / "uniform.pcap"
    write_capture(uniform(20_000, 400_000, seed=1), path)
    shared = flows(path, "--columns", "core", "--model", "none", workers=2)
    assert sum(int(row["packets"]) for row in shared.flows) == 400_000
    assert shared.rows == flows(path, "--columns", "core", "--model", "none").rows


@pytest.mark.parametrize("name", sorted(zoo()))
def test_encapsulations_and_formats(flows: List, tmp_path: Path, name: str) -> None:
    """Whatever hides a flow's addresses hides them from all workers alike; datagrams in pieces stay whole."""
    path = tmp_path / name
    path.write_bytes(zoo()[name])
    alone, shared = flows(path), flows(path, workers=3)
    assert (shared.code, shared.err, shared.rows) == (alone.code, alone.err, alone.rows)


def test_what_is_cut_off_tells_nothing(flows: List, tmp_path: Path) -> None:
    """Workers see the begin of a frame alone; damaged frames and tunnels, cut or not, are read as by one."""
    noise = random.Random(11)
    for name, whole in sorted(zoo().items()):
        path = tmp_path / name
        for _ in range(3):
            damaged = bytearray(whole)
            for _ in range(len(whole) // 400 + 1):
                damaged[noise.randrange(40, len(whole))] = noise.randrange(256)
            path.write_bytes(damaged)
            alone, shared = flows(path), flows(path, workers=2)
            assert (shared.code, shared.err) == (alone.code, alone.err), name
            assert shared.rows_but_for_the_end == alone.rows_but_for_the_end, name


def test_pieces_of_datagrams_stay_with_their_flow(flows: List, tmp_path: Path) -> None:
    """The later piece of a datagram, which has no ports, is taken by the worker of the first."""
    some = []
    for i in range(200):
        whole = udp("10.0.0.1", 1000 + i, f"192.0.2.{i % 5}", 2000, bytes(64))[20:]
        some.append(ipv4("10.0.0.1", f"192.0.2.{i % 5}", 17, whole[:40], identification=i, offset=0x2000))
        some.append(ipv4("10.0.0.1", f"192.0.2.{i % 5}", 17, bytes(32), identification=i, offset=5))
    path = tmp_path / "pieces.pcap"
    path.write_bytes(pcap([Packet(T0 + i, p, len(p), RAW_IP) for i, p in enumerate(some)], link=RAW_IP))
    alone, shared = flows(path), flows(path, workers=4)
    assert {row["packets"] for row in alone.flows} == {"2"}
    assert shared.rows == alone.rows


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_other_formats(flows: List, blend: Path, tmp_path: Path, kind: str) -> None:
    """JSON and Parquet that several workers write are whole documents of the same rows."""
    documents = []
    for workers in (1, 3):
        output = tmp_path / f"{workers}.{kind}"
        assert flows(blend, "--columns", "core", "-o", output, workers=workers).code == 0
        is_json = kind == "json"
        rows = json.loads(output.read_bytes()) if is_json else pq.read_table(output).to_pylist()
        documents.append(sorted(rows, key=str))
    assert documents[0] == documents[1]
    assert len(documents[0]) == 4_000


def some(n: int, port: int = 1000, flows: int = 50, start_ns: int = T0) -> list[Packet]:
    """Packets of several flows in turn."""
    data = [udp("10.0.0.1", port + i, "192.0.2.1", 2000) for i in range(flows)]
    return [Packet(start_ns + i * 10**6, data[i % flows], 48, RAW_IP) for i in range(n)]


def test_pipes_and_compressed_captures(flows: List, tmp_path: Path) -> None:
    """Standard input, a FIFO that is written in small parts, gzip: read once, taken by all."""
    whole = pcapng(some(5000), link=RAW_IP)
    plain, packed, fifo = tmp_path / "a.pcapng", tmp_path / "a.gz", tmp_path / "fifo"
    plain.write_bytes(whole)
    packed.write_bytes(gzip.compress(whole, 1))
    os.mkfifo(fifo)

    def trickle() -> None:
        with fifo.open("wb", buffering=0) as sink:
            for start in range(0, len(whole), 501):
                sink.write(whole[start : start + 501])

    want = flows(plain).rows
    assert flows(packed, workers=2).rows == want
    writer = threading.Thread(target=trickle)
    writer.start()
    assert flows(fifo, workers=2).rows == want
    writer.join()
    piped = program("-", "--workers", 2, stdin=subprocess.PIPE)
    out, err = piped.communicate(whole)
    assert (piped.returncode, err, Run(0, out.decode(), "").rows) == (0, b"", want)


def test_what_is_wrong_or_odd_is_said_once(flows: List, tmp_path: Path) -> None:
    """Errors and warnings, and the counts within them, do not multiply with the workers."""
    names = ["cut", "text", "odd", "link", "none"]
    paths = [tmp_path / f"{name}.pcap" for name in names]
    whole = pcap(some(3000), link=RAW_IP)
    backwards = [p._replace(ts_ns=2 * T0 - p.ts_ns) for p in some(3000, port=5000)]
    backwards[7] = backwards[7]._replace(data=b"")
    contents = [
        whole[:-9],
        b"no capture at all\n",
        pcap(backwards, link=RAW_IP),
        pcap(some(40), link=189),
        pcap([], link=RAW_IP),
    ]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    alone, shared = flows(*paths), flows(*paths, workers=3)
    assert (shared.code, shared.err, shared.rows) == (alone.code, alone.err, alone.rows)
    assert alone.code == 1
    assert [word in alone.err for word in ("cut off", "text", "backwards", "USB", "no packet")] == [True] * 5


def test_several_captures_are_one_after_another(flows: List, tmp_path: Path) -> None:
    """Flows go on from one capture to the next, in every worker."""
    for i in range(5):
        part = some(500, start_ns=T0 + i * SECOND)
        (tmp_path / f"{i}.pcapng").write_bytes(pcapng(part, link=RAW_IP))
    shared = flows(tmp_path / "*.pcapng", workers=2)
    assert {row["packets"] for row in shared.flows} == {"50"}
    assert shared.rows == flows(tmp_path / "*.pcapng").rows


def test_a_file_that_shrinks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is taken, and the loss is told, by one reader as by two workers."""
    noise = random.Random(1)
    data = [udp("10.0.0.1", 1000 + i % 9, "192.0.2.1", 2000, noise.randbytes(900)) for i in range(4000)]
    whole = pcap([Packet(T0 + i, d, len(d), RAW_IP) for i, d in enumerate(data)], link=RAW_IP)
    path = tmp_path / "a.pcap"

    class Shrinking(Source):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            os.truncate(path, 1_000_000)

    monkeypatch.setattr("qoe.feed.Source", Shrinking)
    n_kept = (1_000_000 - 24) // (16 + len(data[0]))
    for shared in (False, True):
        path.write_bytes(whole)
        engine, workers = Engine(max_flows=1000), Workers(2, lambda *_: None, max_flows=1000)
        feed = SharedFeed([str(path)], workers) if shared else Feed([str(path)], engine)
        assert list(feed.events()) == []
        counted = (workers if shared else engine).counters()
        assert counted["packets"] == feed.captures[0].packets == n_kept
        assert "shrank while it was read" in feed.errors[0]


def wait_until_read(pipe: int) -> None:
    """Wait until nothing is left in a pipe, and the reader is back to wait for more."""
    import fcntl
    import termios
    import time

    waiting = bytearray(4)
    for _ in range(2000):
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        if not int.from_bytes(waiting, sys.byteorder):
            break
        time.sleep(0.005)
    time.sleep(0.3)


def test_interrupted_it_prints_what_is_done(tmp_path: Path) -> None:
    """Ctrl-C while a pipe is quiet: all that came is printed, one line says so, exit code 1."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = program(fifo, "--model", "none", "--workers", 2)
    with fifo.open("r+b", buffering=0) as sink:
        sink.write(pcapng(some(300), link=RAW_IP))
        sink.flush()
        wait_until_read(sink.fileno())
        reading.send_signal(signal.SIGINT)
        out, err = reading.communicate(timeout=20)
    assert reading.returncode == 1
    (line,) = err.decode().splitlines()
    assert "interrupted" in line
    assert sum(int(row["packets"]) for row in Run(1, out.decode(), "").flows) == 300


def test_an_interruption_ends_the_reading_of_a_file(blend: Path) -> None:
    """Workers end with what was read when the reading is over, and every packet of that is counted."""
    workers = Workers(2, lambda _, engine: engine.export() and None, max_flows=10_000)
    feed = SharedFeed([str(blend)], workers)
    feed.interrupted = True
    assert list(feed.events()) == []
    assert workers.counters()["packets"] == feed.captures[0].packets <= 40_000
    assert feed.warnings[-1].startswith("interrupted")


@pytest.mark.parametrize("output", ["/dev/full", "/no/such/folder/flows.csv"])
def test_what_cannot_be_written_is_one_line(flows: List, blend: Path, output: str) -> None:
    """A worker that fails ends the others; the one line names the file."""
    done = flows(blend, "--idle-timeout", 1, "-o", output, workers=3)
    assert (done.code, done.flows, len(done.err.splitlines())) == (1, [], 1)
    assert output in done.err


def test_a_reader_that_leaves_is_quiet(blend: Path) -> None:
    """``qoe flows --workers 2 … | head -1``: no message, no traceback."""
    listing = program(blend, "--idle-timeout", 1, "--workers", 2)
    assert listing.stdout is not None
    assert listing.stderr is not None
    assert listing.stdout.read(4) == b"src,"
    listing.stdout.close()
    assert listing.stderr.read() == b""
    assert listing.wait(20) == 1
    listing.stderr.close()


@pytest.mark.parametrize("number", ["0", "65", "-1", "two", "1.5"])
def test_a_wrong_number_of_workers_is_wrong_usage(
    blend: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    assert main(["flows", str(blend), "--workers", number]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_flows_are_shared_out_of_one_limit(flows: List, tmp_path: Path) -> None:
    """As many flows as ``--max-flows`` allows live at once, also where hashes fall unevenly."""
    path = tmp_path / "many.pcap"
    path.write_bytes(pcap(some(4000, flows=2000), link=RAW_IP))
    alone = flows(path, "--max-flows", 2000)
    assert {row["end_reason"] for row in alone.flows} == {"flushed"}
    assert flows(path, "--max-flows", 2000, workers=2).rows == alone.rows


def test_a_capture_is_shared_by_a_number_of_workers() -> None:
    """Numbers that cannot be are refused, and so is a worker beyond them."""
    for n in (0, 65):
        with pytest.raises(ValueError, match="workers"):
            SharedCapture(CaptureReader(), n)
    with pytest.raises(ValueError, match="worker 2 of 2"):
        Engine(max_flows=1000).consume_shared(SharedCapture(CaptureReader(), 2), 2)


def test_who_waits_for_workers_sleeps() -> None:
    """`SharedCapture.wait` does not come back at once, time and again, while there is nothing to do."""
    capture, waits = SharedCapture(CaptureReader(), 2), 0
    over = threading.Event()
    timer = threading.Timer(0.5, over.set)
    timer.start()
    while not over.is_set():
        assert capture.wait() == "ready"
        waits += 1
    timer.join()
    assert waits <= 6


def resident_kb(*argv: object) -> int:
    """Peak resident memory of a listing as a whole process."""
    process = program(*argv)
    process.communicate()
    script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=-3);"
    script += " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    command = [sys.executable, "-P", "-m", "qoe", "flows", *map(str, argv)]
    told = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, check=True)
    return int(told.stdout)


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat_in_the_length_of_the_capture(tmp_path: Path, workers: int) -> None:
    """A capture four times as long, with the same flows, takes no more memory."""
    data = udp("10.0.0.1", 1000, "192.0.2.1", 2000, bytes(60_000))
    sizes = []
    for n in (500, 2000):
        path = tmp_path / f"{n}.pcap"
        path.write_bytes(
            pcap([Packet(T0 + i * 10**6, data, len(data), RAW_IP) for i in range(n)], link=RAW_IP)
        )
        sizes.append(resident_kb(path, "--model", "none", "--workers", workers))
    assert sizes[1] < sizes[0] + 15_000 * workers  # of the 90 MB by which the file is longer
