"""The kernel against its slow, obvious twin: every field of every flow, decision and chunk."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from captures import Packet, pcap
from encapsulations import ENCAPSULATIONS, ETHERNET, Built, Encapsulation, in_ethernet
from hypothesis import given, settings
from sequences import BACKWARD, LARGE_GAPS, SMALL_GAPS, Event, capture, events
from twin.capfile import frames, read_frames
from twin.compare import IDENTITY, Comparison, compare, compare_flows, shipped_model
from twin.flows import Twin, twin_of
from twin.kernel import Kernel, kernel_of
from twin.moments import WAYS
from twin.rules import ACTIVE_TIMEOUT_NS, IDLE_TIMEOUT_NS

from qoe.schema import FLOW_DTYPE
from qoe.tools.mutate import corpus
from qoe.tools.synth import mix, write_capture
from qoe.tools.zoo import conversations, zoo

EXAMPLE = Path(__file__).parent.parent / "examples" / "busy-cell.pcapng"
MODEL = shipped_model()
MAX_FLOWS = 8192


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where captures are written to be read back."""
    return tmp_path_factory.mktemp("twin") / "capture"


def agree(path: Path, what: object = "") -> Comparison:
    """Compare a capture and fail on any difference."""
    result = compare(path, max_flows=MAX_FLOWS, model=MODEL)
    first = "\n".join(map(str, result.differences[:10]))
    assert not result.differences, f"{what}: {len(result.differences)} of {result.n_fields} fields:\n{first}"
    return result


def test_example() -> None:
    """The busy cell, where segments and RTP are lost, films have chunks and handshakes are timed."""
    records = agree(EXAMPLE).records
    assert sum(r["retransmissions_reverse"] for r in records) > 50
    assert sum(r[f"rtp_payload_type_{way}"] != 255 for r in records for way in WAYS) >= 6
    assert sum(r["rtp_lost_reverse"] > 0 for r in records) >= 3
    assert sum(r["handshake_rtt_us"] > 0 for r in records) > 10
    assert sum(r["n_chunks"] for r in records) > 10
    assert len({r["app_class"] for r in records}) >= 5


@pytest.mark.parametrize("name", zoo())
def test_zoo(file: Path, name: str) -> None:
    """The same conversations in every encapsulation, link type and file format."""
    file.write_bytes(zoo()[name])
    assert agree(file).n_flows >= 2


@pytest.mark.parametrize("seed", [1, 2])
def test_mix(file: Path, seed: int) -> None:
    """All classes of traffic, Ethernet, whole frames."""
    write_capture(mix(6000, 400, seed), file)
    assert agree(file).n_flows >= 400


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_mutated(file: Path, seed: int) -> None:
    """Captures that are nearly right: what can be read of them is read alike."""
    n_packets = 0
    for number, content in enumerate(corpus(120, seed)):
        if list(frames(content)):
            file.write_bytes(content)
            n_packets += agree(file, number).n_packets
    assert n_packets > 1000


def wrapped(packet: bytes, stack: tuple[Encapsulation, ...]) -> bytes | None:
    """A packet in these encapsulations, the last one outermost, as a frame; None: they do not fit."""
    built: Built | None = Built("ip6" if packet[0] >> 4 == 6 else "ip4", packet, {})
    for number, encapsulation in enumerate(stack):
        built = encapsulation.around(built, number) if built else None
    return in_ethernet(built).data if built else None


def encapsulated(stack: tuple[Encapsulation, ...]) -> bytes | None:
    """A capture of a call and a connection in these encapsulations, over IPv4 and IPv6 as far as they fit."""
    found = [wrapped(packet, stack) for six in (False, True) for packet in conversations(six)]
    frames = [frame for frame in found if frame]
    packets = [Packet(i * 10_000_000, frame, len(frame)) for i, frame in enumerate(frames, 1)]
    return pcap(packets, link=ETHERNET) if packets else None


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_encapsulated(file: Path, depth: int) -> None:
    """A call and a connection in each encapsulation; in some of all pairs and triples of them."""
    chosen = random.Random(depth)
    stacks = [(e,) for e in ENCAPSULATIONS]
    if depth > 1:
        stacks = [tuple(chosen.choices(ENCAPSULATIONS, k=depth)) for _ in range(150)]
    n_flows = 0
    for stack in stacks:
        content = encapsulated(stack)
        if content:
            file.write_bytes(content)
            n_flows += agree(file, [e.name for e in stack]).n_flows
    assert n_flows > 40


@settings(max_examples=30, deadline=None)
@given(events(["tcp"], ["", "", "dscp", "six", "cut"], SMALL_GAPS))
def test_tcp(file: Path, drawn: list[Event]) -> None:
    """Segments in any order, lost, repeated, cut off."""
    file.write_bytes(capture(drawn))
    agree(file)


@settings(max_examples=30, deadline=None)
@given(events(["rtp"], ["", "", "six"], SMALL_GAPS))
def test_rtp(file: Path, drawn: list[Event]) -> None:
    """Sources that lose, reorder, repeat, restart and change."""
    file.write_bytes(capture(drawn))
    agree(file)


@settings(max_examples=30, deadline=None)
@given(events(["udp", "udp", "rtp", "ping"], ["", "", "dscp", "cut"], SMALL_GAPS * 2 + LARGE_GAPS))
def test_udp(file: Path, drawn: list[Event]) -> None:
    """Framing of all kinds, with pauses that bring decisions forward or end flows."""
    file.write_bytes(capture(drawn))
    agree(file)


@settings(max_examples=30, deadline=None)
@given(
    events(["tcp", "gtp", "udp"], ["", "pieces", "ipip", "ipip pieces", "dscp"], SMALL_GAPS * 2 + LARGE_GAPS)
)
def test_tunnels_and_pieces(file: Path, drawn: list[Event]) -> None:
    """Bearers, tunnels and datagrams in pieces that come whole, in part or in another order."""
    file.write_bytes(capture(drawn))
    agree(file)


@settings(max_examples=30, deadline=None)
@given(events(["tcp", "rtp", "udp"], ["", "", "six"], SMALL_GAPS * 2 + LARGE_GAPS + BACKWARD))
def test_clocks(file: Path, drawn: list[Event]) -> None:
    """A clock that runs back, or leaps."""
    file.write_bytes(capture(drawn))
    agree(file)


@pytest.fixture(scope="module")
def example() -> tuple[Kernel, Twin]:
    """Both sides of the example."""
    timeouts = {"idle_timeout_ns": IDLE_TIMEOUT_NS, "active_timeout_ns": ACTIVE_TIMEOUT_NS}
    return kernel_of(EXAMPLE, **timeouts, max_flows=MAX_FLOWS), twin_of(
        read_frames(EXAMPLE), MODEL, **timeouts
    )


@pytest.mark.parametrize("name", FLOW_DTYPE.names)
def test_a_difference_is_seen(example: tuple[Kernel, Twin], name: str) -> None:
    """The comparison tells of every field of a flow, when it alone is wrong."""
    kernel, twin = example
    flows = kernel.flows.copy()
    wrong = flows[int(np.argmax(flows["packets_reverse"]))]
    wrong[name] = wrong[name] * 1.1 + 2 if wrong[name].dtype.kind == "f" else wrong[name] ^ 5
    result = Comparison()
    compare_flows(replace(kernel, flows=flows), twin, result)
    told = {"kernel alone", "twin alone"} if name in IDENTITY else {name}
    assert {difference.field for difference in result.differences} == told
