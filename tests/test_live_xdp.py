"""Live capture by AF_XDP over a veth pair of our own, and AF_PACKET where it cannot be."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import QOE, Program, Start, capture, flows_of, frames

from qoe.tools.synth import mix, write_capture
from qoe.tools.veth import Wire, missing

NEEDS_WIRE = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def xdp(tmp_path: Path) -> Iterator[tuple[Wire, Start]]:
    """A wire of frames short enough, and what reads it by AF_XDP."""
    programs = []
    with Wire(mtu=1600) as laid:

        def begin(*options: str) -> Program:
            command = [
                *QOE,
                "replay",
                "--live",
                "receiver",
                "--live-method",
                "xdp",
                "--model",
                "none",
                *options,
            ]
            programs.append(Program(laid.command(laid.receiver, command), tmp_path))
            programs[-1].wait_for("reading")
            if "AF_PACKET reads it" in programs[-1].said():
                pytest.skip(f"no AF_XDP here: {programs[-1].said()}")
            return programs[-1]

        yield laid, begin
        for program in programs:
            program.process.kill()
            program.process.communicate()


@NEEDS_WIRE
def test_xdp_finds_what_the_file_has(xdp: tuple[Wire, Start], tmp_path: Path) -> None:
    """Packets and each flow's counts are those of the file, tags included; then the program is gone."""
    wire, start = xdp
    path = tmp_path / "mix.pcap"
    write_capture(mix(100_000, 5_000, seed=8), path)
    program = start("--json", "--out", str(tmp_path / "live"))
    assert "xdp" in wire.run(wire.receiver, ["ip", "-d", "link", "show", "receiver"])
    wire.replay(str(path), "--pps=50000", "--preload-pcap")
    code, out = program.end()
    found = json.loads(out)
    subprocess.run([*QOE, "flows", path, "-o", tmp_path / "file.csv", "--model", "none"], check=True)
    assert (code, found["warnings"], found["counters"]["kernel_dropped"]) == (0, [], 0)
    assert (found["packets"], found["counters"]["kernel_received"]) == (100_000, 100_000)
    assert flows_of(tmp_path / "live" / "flows.csv") == flows_of(tmp_path / "file.csv")
    assert "xdp" not in wire.run(wire.receiver, ["ip", "-d", "link", "show", "receiver"])


@NEEDS_WIRE
def test_xdp_counts_drops(xdp: tuple[Wire, Start], tmp_path: Path) -> None:
    """What found no free chunk is in the kernel's count, and all else is read."""
    wire, start = xdp
    path = tmp_path / "mix.pcap"
    write_capture(mix(5_000, 500, seed=8), path)
    program = start("--json", "--ring", "1")
    program.process.send_signal(signal.SIGSTOP)
    wire.replay(str(path), "--topspeed")
    program.process.send_signal(signal.SIGCONT)
    found = json.loads(program.end()[1])
    dropped = found["counters"]["kernel_dropped"]
    assert dropped > 0
    assert found["packets"] + dropped == found["counters"]["kernel_received"] == 5_000


@NEEDS_WIRE
@pytest.mark.parametrize("how", [("set", "receiver", "down"), ("del", "receiver")])
def test_xdp_ends_with_its_interface(xdp: tuple[Wire, Start], tmp_path: Path, how: tuple[str, ...]) -> None:
    """The report of what came before, one line that says what happened, exit code 1."""
    wire, start = xdp
    program = start("--json")
    wire.replay(capture(tmp_path, frames()), "--topspeed")
    wire.run(wire.receiver, ["ip", "link", *how])
    code, out = program.end(None)
    assert (code, json.loads(out)["packets"]) == (1, 20)
    assert program.said().splitlines()[1:] == [
        f"qoe: receiver: {'went down' if 'down' in how else 'was removed'}"
    ]


@NEEDS_WIRE
@pytest.mark.parametrize(
    ("interface", "options", "rights", "why"),
    [
        ("receiver", [], [], "its MTU of 9,000"),
        ("lo", [], [], "loopback"),
        ("receiver", ["--shards", "3"], [], "each of its receive queues needs a shard: give 1"),
        ("receiver", [], ["setpriv", "--bounding-set=-bpf,-net_admin,-sys_admin"], "not permitted"),
    ],
)
def test_where_xdp_cannot_be_packets_are_read_all_the_same(
    interface: str, options: list[str], rights: list[str], why: str
) -> None:
    """One line says why; the rest is as ever."""
    command = [*rights, *QOE, "replay", "--live", interface, "--live-method", "xdp", "--duration", "0.3"]
    with Wire(mtu=1500 if rights else 9000) as wire:
        done = subprocess.run(
            wire.command(wire.receiver, [*command, *options]), capture_output=True, text=True, check=False
        )
    notice, reading = done.stderr.splitlines()
    assert (done.returncode, reading) == (0, f"qoe: {interface}: reading, for 0.3 s")
    assert notice.startswith(f"qoe: warning: {interface}: AF_PACKET reads it, AF_XDP cannot: ")
    assert why in notice
