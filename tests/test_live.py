"""Live capture over a veth pair of our own, sent by tcpreplay: counts, tags, links, and every way to end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from captures import Packet
from programs import MACS, QOE, T0, Program, Start, capture, flows_of, frames, refused
from wire import SECOND, udp

from qoe.tools.synth import mix, write_capture
from qoe.tools.veth import Wire, missing

EXAMPLE = Path(__file__).parent.parent / "examples" / "python_host.py"
NEEDS_WIRE = pytest.mark.skipif(bool(missing()), reason=missing())
NEEDS_TUN = pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no /dev/net/tun here")


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Two namespaces of our own."""
    with Wire() as laid:
        yield laid


@pytest.fixture
def start(wire: Wire, tmp_path: Path) -> Iterator[Start]:
    """Start a Python program on the receiving side; it is reading when this returns."""
    programs = []

    def begin(*arguments: str) -> Program:
        program = Program(wire.command(wire.receiver, [sys.executable, "-P", *arguments]), tmp_path)
        programs.append(program)
        program.wait_for("reading")
        return program

    yield begin
    for program in programs:
        program.process.kill()
        program.process.communicate()


@pytest.fixture
def live(start: Start) -> Start:
    """Read an interface, the receiving end by default."""

    def begin(*options: str, interface: str = Wire.receiver) -> Program:
        return start("-m", "qoe", "replay", "--live", interface, "--model", "none", *options)

    return begin


# counts


@NEEDS_WIRE
def test_two_shards_at_200_kpps_find_what_the_file_has(wire: Wire, live: Start, tmp_path: Path) -> None:
    """No packet is dropped; packets, bytes, and each flow's counts are those of reading the file."""
    path = tmp_path / "mix.pcap"
    write_capture(mix(300_000, 20_000, seed=7), path)
    program = live("--shards", "2", "--json", "--out", str(tmp_path / "live"))
    wire.replay(str(path), "--pps=200000", "--preload-pcap")
    code, out = program.end()
    found = json.loads(out)
    subprocess.run([*QOE, "flows", path, "-o", tmp_path / "file.csv", "--model", "none"], check=True)
    file_flows = flows_of(tmp_path / "file.csv")
    assert (code, found["warnings"], found["partial"]) == (0, [], False)
    assert (found["counters"]["kernel_received"], found["counters"]["kernel_dropped"]) == (300_000, 0)
    assert (found["packets"], found["flows"]) == (300_000, len(file_flows))
    assert found["bytes"] == sum(counts[2] for counts in file_flows.values())
    assert flows_of(tmp_path / "live" / "flows.csv") == file_flows
    assert any(key[-1] != "0" for key in file_flows)  # some in a VLAN
    assert json.loads((tmp_path / "live" / "result.json").read_text())["packets"] == 300_000


TAGS = {
    "none": "",
    "vlan": "81000064",
    "priority": "8100a000",
    "qinq": "88a8000581000064",
    "twice": "8100000781000064",
}


@NEEDS_WIRE
def test_frames_are_those_that_were_sent(wire: Wire, start: Start, tmp_path: Path) -> None:
    """Byte for byte, with every tag, and with the length on the wire where fewer bytes are captured."""
    tagged = [MACS + bytes.fromhex(t) + frames(1)[0].data[12:] + bytes(900) for t in TAGS.values()]
    sent = [Packet(T0 + i, data, len(data)) for i, data in enumerate(tagged)]
    code = """
import sys, time
from qoe.capture import Interface
with Interface("receiver", snap_bytes=int(sys.argv[1])) as interface:
    print("reading", file=sys.stderr, flush=True)
    n = 0
    until = time.monotonic() + 20
    while n < 5 and time.monotonic() < until:
        burst = interface.next_burst(wait_s=1)
        for row in burst.packets:
            data = burst.data[row["offset"] :][: row["captured_len"]].tobytes().hex()
            print(data, row["wire_len"], abs(time.time_ns() - int(row["ts_ns"])))
        n += len(burst.packets)
"""
    for snap in (0, 200):
        program = start("-c", code, str(snap))
        wire.replay(capture(tmp_path, sent))
        lines = [line.split() for line in program.end(None)[1].splitlines()]
        for (data, wire_len, age_ns), one in zip(lines, sent, strict=True):
            n_bytes = len(data) // 2
            assert bytes.fromhex(data) == one.data[:n_bytes]
            assert n_bytes == len(one.data) if snap == 0 else n_bytes in (snap, snap + 4)  # and a tag
            assert (int(wire_len), int(age_ns) < 10 * SECOND) == (one.wire_len, True)


@NEEDS_WIRE
def test_loopback_counts_a_packet_once(wire: Wire, live: Start) -> None:
    """What a host sends itself is seen as it leaves and as it comes, and counted as one."""
    program = live("--json", interface="lo")
    send = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range(10):
        sender.sendto(b"x", ("127.0.0.1", 9))
"""
    wire.run(wire.receiver, [sys.executable, "-c", send])
    found = json.loads(program.end()[1])
    datagram = 14 + 20 + 8 + 1  # each is answered: nobody listens
    answer = 14 + 20 + 8 + 20 + 8 + 1
    assert (found["packets"], found["bytes"]) == (20, 10 * (datagram + answer))


# links


LINK = """
import fcntl, os, struct, subprocess, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
fcntl.ioctl(tun, 0x400454CD, int(sys.argv[1]))
subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
from qoe.capture import Interface
from qoe.errors import QoeError
try:
    with Interface("tun0") as interface:
        os.write(tun, bytes.fromhex(sys.argv[2]))
        burst = interface.next_burst(wait_s=5)
        print(interface.link_type, burst.data.tobytes().hex())
except QoeError as error:
    print(error)
"""


@NEEDS_WIRE
@NEEDS_TUN
@pytest.mark.parametrize("kind", [0xFFFE, 519, 280])
def test_links_without_ethernet(wire: Wire, kind: int) -> None:
    """Of a TUN device and a modem come IP packets as they are; what is not decoded is refused in one line."""
    packet = udp("10.0.0.1", 1000, "192.0.2.1", 2000).hex()
    out = wire.run(wire.receiver, [sys.executable, "-P", "-c", LINK, str(kind), packet])
    if kind == 280:  # CAN
        assert out == "tun0: link type 280 of linux/if_arp.h is not decoded; name another interface\n"
    else:
        assert out == f"101 {packet}\n"


# what is shown


@NEEDS_WIRE
def test_a_terminal_is_written_over(wire: Wire, tmp_path: Path) -> None:
    """On a terminal the table comes in place and in its height; the report comes after it was cleared."""
    path = tmp_path / "mix.pcap"
    write_capture(mix(5_000, 500, seed=7), path)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 20, 80, 0, 0))
    command = [*QOE, "replay", "--live", "receiver", "--capacity", "50M", "--duration", "3"]
    with subprocess.Popen(
        wire.command(wire.receiver, command),
        stdin=follower,
        stdout=follower,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(follower)
        assert process.stderr is not None
        process.stderr.readline()
        wire.replay(str(path), "--pps=5000")
        shown = b""
        with suppress(OSError):  # EIO: all have left
            while data := os.read(leader, 65536):
                shown += data
    os.close(leader)
    screens = shown.decode().split("\x1b[H")[1:]
    *tables, report = screens
    assert process.returncode == 0
    assert len(tables) >= 2
    assert all(table.count("\n") <= 19 for table in tables)
    assert "Cell capture, downlink: " in tables[-1] or tables[-1].count("\n") == 19
    assert "receiver: 5,000 packets" in report
    assert "Subscriber" in report


# ways to end


@NEEDS_WIRE
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None])
def test_a_signal_or_the_time_ends_with_the_report(
    wire: Wire, live: Start, tmp_path: Path, number: int | None
) -> None:
    """A table a second, then the report of all; exit code 0; not partial."""
    program = live(*(["--duration", "2.5"] if number is None else []))
    wire.replay(capture(tmp_path, frames()), "--topspeed")
    if number is not None:
        time.sleep(2.5)
    code, out = program.end(number)
    tables, report = out.rsplit("\n\nreceiver", 1)[0], out[out.rindex("receiver: ") :]
    assert (code, program.said().count("\n")) == (0, 1)
    assert report.startswith("receiver: 20 packets, ")
    assert "PARTIAL" not in report
    assert tables.count("receiver, ") >= 2
    assert "1 live flow; 20 packets, 0 dropped" in tables


@NEEDS_WIRE
def test_an_impatient_user_gets_the_report_all_the_same(wire: Wire, live: Start, tmp_path: Path) -> None:
    """Ctrl-C twice in a row."""
    program = live("--json", "--shards", "2")
    wire.replay(capture(tmp_path, frames()), "--topspeed")
    program.process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    code, out = program.end()
    assert (code, json.loads(out)["packets"]) == (0, 20)


@NEEDS_WIRE
@pytest.mark.parametrize("how", [("set", "receiver", "down"), ("del", "receiver")])
def test_an_interface_that_goes_away(wire: Wire, live: Start, tmp_path: Path, how: tuple[str, ...]) -> None:
    """The report of what came before, one line that says what happened, exit code 1."""
    program = live("--shards", "2", "--html", str(tmp_path / "page.html"))
    wire.replay(capture(tmp_path, frames()), "--topspeed")
    wire.run(wire.receiver, ["ip", "link", *how])
    code, out = program.end(None)
    assert code == 1
    assert program.said().splitlines()[1:] == [
        f"qoe: receiver: {'went down' if 'down' in how else 'was removed'}"
    ]
    assert "receiver: 20 packets" in out
    assert "PARTIAL" in out
    assert (tmp_path / "page.html").stat().st_size > 1000


@NEEDS_WIRE
def test_drops_are_counted_and_told(wire: Wire, live: Start, tmp_path: Path) -> None:
    """A reader that stands still loses packets: the kernel says how many, and all others are counted."""
    path = tmp_path / "mix.pcap"
    write_capture(mix(20_000, 500, seed=7), path)
    program = live("--ring", "1", "--json")
    program.process.send_signal(signal.SIGSTOP)
    wire.replay(str(path), "--topspeed")
    program.process.send_signal(signal.SIGCONT)
    code, out = program.end()
    found = json.loads(out)
    dropped = found["counters"]["kernel_dropped"]
    assert (code, found["counters"]["kernel_received"]) == (0, 20_000)
    assert dropped > 0
    assert found["packets"] == 20_000 - dropped
    assert f"dropped {dropped:,} of 20,000" in found["warnings"][0]


# what cannot be read


def test_without_the_right_it_says_so_in_one_line() -> None:
    """Neither root nor CAP_NET_RAW: exit code 1 and what to do."""
    command = [*QOE, "replay", "--live", "lo"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed (Debian: util-linux): root cannot give up its rights")
        command = ["setpriv", "--bounding-set=-net_raw", *command]
    assert "lo: reading an interface needs root or CAP_NET_RAW" in refused(*command)


def test_an_interface_that_is_not_there() -> None:
    """Its name, and which there are."""
    assert "nosuch0: no such interface; there are: " in refused(*QOE, "replay", "--live", "nosuch0")


@NEEDS_WIRE
def test_an_interface_that_is_down(wire: Wire) -> None:
    """Its name, and how to bring it up."""
    wire.run(wire.receiver, ["ip", "link", "set", "receiver", "down"])
    said = refused(*wire.command(wire.receiver, [*QOE, "replay", "--live", "receiver"]))
    assert "receiver: is down; bring it up, as in: ip link set receiver up" in said


@pytest.mark.parametrize(
    "options",
    [
        ["--live", "lo", "a.pcap"],
        ["--duration", "5", "a.pcap"],
        ["--shards", "2", "a.pcap"],
        ["--live", "lo", "--shards", "0"],
        ["--live", "lo", "--ring", "4096"],
    ],
)
def test_wrong_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Captures beside an interface, its options without it, sizes out of range: one line, exit code 2."""
    from qoe.cli import main

    assert main(["replay", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@NEEDS_WIRE
@pytest.mark.parametrize(
    "options", [{"n_rings": 0}, {"n_rings": 65}, {"ring_bytes": -1}, {"ring_bytes": 1 << 40}]
)
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    """Are refused with the range."""
    from qoe.capture import Interface
    from qoe.errors import CaptureError

    with pytest.raises(CaptureError, match=r"lo: .*: give [01] to "):
        Interface("lo", **options)


# hosts


@NEEDS_WIRE
def test_the_python_host_prints_verdicts(wire: Wire, start: Start, tmp_path: Path) -> None:
    """The example, started on an interface, says each second what came, by class; Ctrl-C ends it."""
    path = tmp_path / "mix.pcap"
    write_capture(mix(20_000, 500, seed=7), path)
    program = start(str(EXAMPLE), "receiver")
    wire.replay(str(path), "--pps=20000")
    time.sleep(1.5)
    code, out = program.end()
    rows = [line.split() for line in out.splitlines() if not line.startswith("receiver")]
    packets = sum(int(row[1].replace(",", "")) for row in rows if row[0] != "Class")
    assert (code, packets) == (0, 20_000)
    assert {"video", "web", "unknown"} <= {row[0] for row in rows}
    assert out.count("receiver: ") >= 2
    assert "0 dropped" in out


def test_the_python_host_says_what_is_wrong() -> None:
    """An interface that is not there is one line, exit code 1."""
    assert "nosuch0: no such interface" in refused(sys.executable, "-P", str(EXAMPLE), "nosuch0")
