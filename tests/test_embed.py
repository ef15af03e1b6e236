"""C and C++ hosts built from an installed wheel, and what they do to the kernel and it to them."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sysconfig
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from captures import Packet, pcap
from documents import README, blocks
from installed import ROOT, run

from qoe_native.engine import build_info

EMBED = Path(__file__).parent / "embed"
INCLUDE = f"-I{ROOT / 'qoe_native' / 'include'}"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic-errors")
N_SECONDS, N_CALLS, N_DOWNLOADS = 10, 4, 4  # what c_host.c and cpp_host.cpp ask of traffic.h

pytestmark = [
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("gcc", "g++", "make", "pkg-config")),
        reason="a C and C++ compiler, make or pkg-config is missing (Debian: gcc g++ make pkg-config)",
    ),
    pytest.mark.skipif(build_info()["sanitized"], reason=".ci/run builds the hosts of a sanitizers' build"),
]


def has_package(name: str, directory: str = "") -> bool:
    """Whether pkg-config knows a package, there or where it looks anyhow."""
    if shutil.which("pkg-config") is None:
        return False
    environment = {**os.environ, "PKG_CONFIG_PATH": directory}
    return subprocess.run(["pkg-config", "--exists", name], env=environment, check=False).returncode == 0


@pytest.fixture(scope="module")
def build(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that builds an example as its Makefile does, away from the tree."""
    examples = tmp_path_factory.mktemp("hosts") / "examples"
    shutil.copytree(ROOT / "examples", examples, ignore=shutil.ignore_patterns("*_host"))

    def make(name: str) -> Path:
        run("make", "-C", examples, name, f"PYTHON={installed}")
        return examples / name

    return make


@pytest.fixture(scope="module")
def pkg_config(installed: Path) -> str:
    """PKG_CONFIG_PATH of the installed wheel."""
    return run(installed, "-c", "import qoe_native; print(qoe_native.get_pkgconfig())").strip()


def compile_and_run(source: Path, standard: str, pkg_config: str, out: Path) -> str:
    """Build a host with one pkg-config line and run it with no variable set."""
    flags = run("pkg-config", "--cflags", "--libs", "qoe", PKG_CONFIG_PATH=pkg_config).split()
    run("gcc", f"-std={standard}", *STRICT, source, *flags, "-o", out)
    return run(out)


def exported(library: Path) -> set[str]:
    """Names that a shared object defines for others."""
    listing = run("nm", "-D", "--defined-only", library)
    return {line.split()[-1] for line in listing.splitlines()} - {"_init", "_fini"}


def declared() -> set[str]:
    """Names of the functions in qoe.h."""
    header = (ROOT / "qoe_native" / "include" / "qoe.h").read_text()
    return set(re.findall(r"^QOE_API .*?\b(qoe_\w+)\(", header, re.MULTILINE))


def test_only_the_abi_is_exported(wheel: Path, tmp_path: Path) -> None:
    """Of the wheel's shared objects libqoe exports the functions of qoe.h, the module its init as well."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (module,) = tmp_path.glob("qoe_native/engine.*.so")
    (library,) = tmp_path.glob("qoe_native/lib/libqoe.so.*")
    assert exported(library) == declared()
    assert exported(module) == declared() | {"PyInit_engine"}


def test_the_library_knows_nothing_of_python(installed: Path) -> None:
    """No symbol of Python's is asked for, and the soname, which hosts remember, carries the ABI version."""
    library = Path(run(installed, "-c", "import qoe_native; print(qoe_native.get_library())").strip())
    assert not re.search(r"\b_?Py", run("nm", "-D", library))
    dynamic = run("readelf", "-d", library)
    assert set(re.findall(r"NEEDED.*\[(.*?)\]", dynamic)) <= {"libc.so.6", "libm.so.6"}
    assert re.findall(r"SONAME.*\[(.*?)\]", dynamic) == [f"libqoe.so.{build_info()['abi_version']}"]
    assert library.name == f"libqoe.so.{build_info()['abi_version']}"


def test_the_header_stands_alone(tmp_path: Path) -> None:
    """C99, C11 and C++17 take it without a word, and without any other header or library."""
    source = tmp_path / "alone.c"
    source.write_text('#include "qoe.h"\nint main(void) { return qoe_abi_version() != QOE_ABI_VERSION; }\n')
    for compiler in (("gcc", "-std=c99"), ("gcc", "-std=c11"), ("g++", "-std=c++17", "-x", "c++")):
        run(*compiler, *STRICT, INCLUDE, "-fsyntax-only", source)


@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_a_host_runs_without_an_interpreter(standard: str, pkg_config: str, tmp_path: Path) -> None:
    """One packet in, one flow out, with no header or library of Python's and no library path set."""
    out = compile_and_run(EMBED / "host.c", standard, pkg_config, tmp_path / "host")
    assert out == "10.0.0.1:4000 17 packets 1\n"


def test_the_line_in_the_readme(installed: Path, tmp_path: Path) -> None:
    """README's build line works as it stands, in an environment that is active."""
    (line,) = (block for block in blocks(README.read_text(encoding="utf-8"), "sh") if "pkg-config" in block)
    shutil.copy(EMBED / "host.c", tmp_path)
    path = f"{installed.parent}:/usr/bin:/bin"
    run("sh", "-euc", line, cwd=tmp_path, PATH=path)
    assert run(tmp_path / "host") == "10.0.0.1:4000 17 packets 1\n"


def test_the_code_in_the_document(tmp_path: Path) -> None:
    """The life of an engine in docs/embedding.md compiles."""
    (code,) = blocks((ROOT / "docs" / "embedding.md").read_text(encoding="utf-8"), "c")
    (tmp_path / "life.c").write_text(code)
    run("gcc", "-std=c11", "-O2", *STRICT, INCLUDE, "-c", "life.c", cwd=tmp_path)


def test_the_files_may_be_moved(pkg_config: str, tmp_path: Path) -> None:
    """qoe.pc names its files relative to itself, and the model among them is the one that is installed."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(Path(pkg_config).parents[1], moved)
    moved_path = str(moved / "lib" / "pkgconfig")
    model = run("pkg-config", "--variable=model", "qoe", PKG_CONFIG_PATH=moved_path).strip()
    assert Path(model).resolve() == moved / "models" / "flows.qoemodel"
    assert Path(model).is_file()
    out = compile_and_run(EMBED / "host.c", "c11", moved_path, tmp_path / "host")
    assert out.startswith("10.0.0.1:4000")
    assert str(moved) in run("readelf", "-d", tmp_path / "host")


def test_bad_input(pkg_config: str, tmp_path: Path) -> None:
    """Every mistake of a host has its documented code and text, and all packets and flows add up."""
    assert compile_and_run(EMBED / "bad_input.c", "c99", pkg_config, tmp_path / "bad") == ""


def test_snapshots_beside_packets_are_whole(pkg_config: str, tmp_path: Path) -> None:
    """No record that a second thread takes while packets flow and flows are evicted is half written."""
    assert compile_and_run(EMBED / "snapshots.c", "c11", pkg_config, tmp_path / "snapshots") == "torn 0\n"


def traffic_totals() -> tuple[int, int, int]:
    """Packets, bytes and flows of traffic.h, worked out by hand."""
    seconds_of_calls, seconds_of_downloads = N_SECONDS * N_CALLS, N_SECONDS * N_DOWNLOADS
    lookups = seconds_of_calls + seconds_of_downloads
    packets = seconds_of_calls * 100 + seconds_of_downloads * 250 + lookups * 2
    n_bytes = (
        seconds_of_calls * 100 * (14 + 20 + 8 + 12 + 160)
        + seconds_of_downloads * (200 * 1514 + 50 * 54)
        + lookups * (2 * (14 + 20 + 8) + 32 + 120)
    )
    return packets, n_bytes, N_CALLS + N_DOWNLOADS + lookups


def test_the_c_host(build: Callable[[str], Path], pkg_config: str) -> None:
    """Its packets, flows, classes and weights are those that its traffic must have."""
    host = build("c_host")
    model = run("pkg-config", "--variable=model", "qoe", PKG_CONFIG_PATH=pkg_config).strip()
    packets, n_bytes, n_flows = traffic_totals()
    for out, download in ((run(host), "unknown"), (run(host, model), "bulk")):
        rows = dict(re.findall(r"^(\w+) +(\d+ +\d+) +\d+$", out, re.MULTILINE))
        assert out.startswith(f"{packets} packets, {n_bytes} bytes:")
        assert {name: tuple(map(int, row.split())) for name, row in rows.items()} == {
            "voip": (N_CALLS, N_SECONDS * N_CALLS * 100),
            download: (N_DOWNLOADS, N_SECONDS * N_DOWNLOADS * 250),
            "other": (n_flows - N_CALLS - N_DOWNLOADS, 2 * (n_flows - N_CALLS - N_DOWNLOADS)),
        }
        assert f"{n_flows} flows began, {n_flows - 8} fell silent, 8 were flushed, {n_flows} exported" in out
        over_weight = [float(row) for row in re.findall(r"^ +\d+ +[\d.]+ +(\d+)$", out, re.MULTILINE)]
        assert sum(over_weight[::2]) * 4 + sum(over_weight[1::2]) == pytest.approx(n_bytes, abs=16)


def test_the_cpp_host(build: Callable[[str], Path]) -> None:
    """Its shards see every packet once, and both directions of every flow."""
    out = run(build("cpp_host"))
    packets, n_bytes, n_flows = traffic_totals()
    shards = np.array(re.findall(r"^shard \d: (\d+) packets, (\d+) flows", out, re.MULTILINE), int)
    row = r"^  (\w+): (\d+) flows \((\d+) seen both ways\), (\d+) packets, (\d+) bytes$"
    classes = re.findall(row, out, re.MULTILINE)
    assert len(shards) == 2
    assert shards.sum(axis=0).tolist() == [packets, n_flows]
    assert shards.min() > 0
    sums = np.array([numbers for _, *numbers in classes], int).sum(axis=0)
    assert sums.tolist() == [n_flows, n_flows, packets, n_bytes]
    assert sum(int(n) for name, n, *_ in classes if name == "voip") == N_CALLS


@pytest.mark.skipif(
    not has_package(
        f"python-{sysconfig.get_config_var('LDVERSION')}-embed", str(sysconfig.get_config_var("LIBPC"))
    ),
    reason="the files for embedding this Python are missing (Debian: python3-dev)",
)
def test_the_control_host(build: Callable[[str], Path], installed: Path) -> None:
    """Python shares the cell by what it reads in the host's memory; the data thread reads those weights."""
    host = build("control_host")
    out = run(host, installed, cwd=host.parent)
    decisions = out.split("decision: ")[1:]
    assert len(decisions) == 3
    row = r"^  10\.0\.0\.(\d) (\w+): share ([\d.]+), weight ([\d.]+)"
    rows = re.findall(row, decisions[-1], re.MULTILINE)
    number = {"video": 1, "voip": 2, "gaming": 3, "web": 4, "bulk": 5, "other": 6}
    assert [(who, name) for who, name, *_ in rows if name == "voip"] == [("1", "voip"), ("3", "voip")]
    shares, weights = np.array([row[2:] for row in rows], float).T  # printed with three digits
    assert shares.sum() == pytest.approx(1, abs=0.005)
    np.testing.assert_allclose(weights, shares * len(rows), atol=0.005)  # shares at mean 1
    decided = {(int(who) - 1) * 7 + number[name]: float(weight) for who, name, _, weight in rows}
    read = dict(re.findall(r"^bearer (\d+): \d+ packets, the last with weight ([\d.]+)$", out, re.MULTILINE))
    taken = Counter(re.findall(r"^bearer \d+: (\d+) packets", out, re.MULTILINE))
    total = int(re.search(r"^(\d+) packets in \d+ flows$", out, re.MULTILINE)[1])
    assert sum(int(n) * times for n, times in taken.items()) == total
    used = {bearer: weight for bearer, weight in decided.items() if str(bearer) in read}
    assert {2, 16} <= used.keys()  # the calls
    assert {bearer: float(read[str(bearer)]) for bearer in used} == used
    assert all(float(read[str(who * 7)]) == 1 for who in range(4))  # of class unknown: never decided


def udp_frame(source: str, destination: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """An Ethernet frame by the book, checksums left out."""
    addresses = b"".join(bytes(map(int, text.split("."))) for text in (source, destination))
    ip = struct.pack(">BBHIBBH", 0x45, 0, 28 + len(payload), 0, 64, 17, 0) + addresses
    return bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def overload(seconds: int) -> bytes:
    """A capture: three streams of 3 Mbit/s each, in frames of three sizes, and a call, to 10.0.0.1 to .3."""
    random = np.random.default_rng(1)
    packets = []
    for who, size in ((1, 1400), (2, 700), (3, 300)):
        frame = udp_frame(f"198.51.100.{who}", f"10.0.0.{who}", (443, 5000), bytes(size))
        gaps = random.uniform(0.5, 1.5, int(seconds * 3e6 / 8 / len(frame))) * len(frame) * 8e9 / 3e6
        packets += [Packet(int(t), frame, len(frame)) for t in np.cumsum(gaps)]
    for i in range(seconds * 50):
        rtp = struct.pack(">BBHII", 0x80, 0, i, i * 160, 7) + bytes(160)
        frame = udp_frame("192.0.2.1", "10.0.0.1", (40002, 40000), rtp)
        packets.append(Packet(i * 20_000_000, frame, len(frame)))
    start_ns = 1_700_000_000 * 10**9
    return pcap([p._replace(ts_ns=p.ts_ns + start_ns) for p in sorted(packets)])


def bytes_by_destination(capture: bytes) -> Counter[str]:
    """Bytes to each IPv4 destination of a pcap, calls (to port 40000) apart."""
    found: Counter[str] = Counter()
    at = 24
    while at < len(capture):
        (length,) = struct.unpack_from("<I", capture, at + 8)
        frame = capture[at + 16 : at + 16 + length]
        is_call = frame[36:38] == (40000).to_bytes(2, "big")
        found[".".join(map(str, frame[30:34])) + "/call" * is_call] += length
        at += 16 + length
    return found


@pytest.mark.skipif(not has_package("libdpdk"), reason="DPDK is not installed (Debian: libdpdk-dev)")
def test_the_dpdk_host(build: Callable[[str], Path], tmp_path: Path) -> None:
    """Of an overloaded link each bearer gets its weight's part; a call within its part loses nothing."""
    host = build("dpdk_host")
    capture, sent_capture = tmp_path / "in.pcap", tmp_path / "out.pcap"
    capture.write_bytes(overload(seconds=10))
    core = str(min(os.sched_getaffinity(0)))
    eal = ("-l", core, "--no-huge", "-m", "512", "--no-shconf", "--no-pci", "--no-telemetry")
    device = f"--vdev=net_pcap0,rx_pcap={capture},tx_pcap={sent_capture}"
    terms = ("--rate", "3e6", "10.0.0.1=3", "10.0.0.2=2", "10.0.0.3=1", "10.0.0.1/voip=4")
    out = run(host, *eal, device, "--", *terms, XDG_RUNTIME_DIR=str(tmp_path))
    table = re.findall(r"^(10\.\S+) +(\w+) +[\d.]+ +(\d+) +(\d+) +(\d+)", out, re.MULTILINE)
    offered, sent, dropped = (
        {(who, name): int(row[column]) for who, name, *row in table} for column in range(3)
    )
    seen = bytes_by_destination(sent_capture.read_bytes())
    printed: Counter[str] = Counter()
    for (who, _), n_bytes in sent.items():
        printed[who] += n_bytes
    assert printed == {f"10.0.0.{i}": seen[f"10.0.0.{i}"] + seen[f"10.0.0.{i}/call"] for i in (1, 2, 3)}
    assert sum(offered.values()) == bytes_by_destination(capture.read_bytes()).total()
    assert sum(sent.values()) == pytest.approx(3e6 / 8 * 10, rel=0.01)  # the link is kept busy
    streams = np.array([sent[f"10.0.0.{i}", "unknown"] for i in (1, 2, 3)])
    np.testing.assert_allclose(streams / streams.sum(), np.array([3, 2, 1]) / 6, rtol=0.02)
    assert dropped["10.0.0.1", "voip"] == 0
    assert sent["10.0.0.1", "voip"] >= offered["10.0.0.1", "voip"] - 2 * 214  # one may wait at the end
