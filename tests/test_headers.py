"""The frame decoder finds the innermost flow in whatever it is wrapped, and survives any bytes."""

from __future__ import annotations

import csv
import shutil
import struct
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from encapsulations import (
    ENCAPSULATIONS,
    ETHERNET,
    PAYLOAD,
    RAW_IP,
    Built,
    Status,
    bad_ipv4,
    check,
    framed,
    gtpu_extensions,
    in_ethernet,
    innermost,
    outer4,
    outer6,
    outer_udp,
    stacks,
)
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.gtp import GTP_U_Header
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap
from wire import burst

from qoe.flows import Engine
from qoe.schema import Tunnel
from qoe_native.engine import decode_both, decode_one

LINK_TYPES = [0, 1, 9, 12, 14, 50, 51, 101, 105, 108, 113, 119, 127, 163, 228, 229, 276]
STACKED = tuple(e for e in ENCAPSULATIONS if e.stacked)
UDP_PACKET, TCP6_PACKET = innermost()


def alone() -> list[Built]:
    """Every encapsulation around either packet, and the packets themselves."""
    return [*stacks(0, ()), *stacks(1, ENCAPSULATIONS)]


@pytest.mark.parametrize("built", alone(), ids=lambda b: b.name)
def test_encapsulation_alone(built: Built) -> None:
    """Each encapsulation is stripped: inner flow, payload, identifiers and the bits of what was stripped."""
    check(built, built.data)


def test_encapsulations_in_pairs() -> None:
    """Any encapsulation within any other, variants included."""
    n = [check(built, built.data) for built in stacks(2, ENCAPSULATIONS)]
    assert len(n) > 1200


def test_encapsulations_three_deep() -> None:
    """Any three kinds of encapsulation within one another, in every order that fits."""
    n = [check(built, built.data) for built in stacks(3, STACKED)]
    assert len(n) > 4000


@pytest.mark.parametrize("n_tags", [10, 60])
def test_nesting_has_a_limit(n_tags: int) -> None:
    """Many tags are followed, but not without end."""
    tags = bytes(Dot1Q(vlan=5, type=0x8100)) * (n_tags - 1) + bytes(Dot1Q(vlan=5, type=0x0800))
    got = decode_one(framed(tags + UDP_PACKET.data, 0x8100))
    assert got["status"] == (Status.FLOW if n_tags == 10 else Status.TOO_DEEP)


VXLAN_ARP = (
    outer_udp(4789) / VXLAN(vni=1, flags=8) / Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ARP()
)
TOO_LONG = UDP_PACKET.data[:2] + b"\xff\xff" + UDP_PACKET.data[4:]


@pytest.mark.parametrize(
    ("packet", "ports"),
    [
        (VXLAN_ARP, (49152, 4789)),
        (outer_udp(4789) / Raw(b"no tunnel at all, a port by chance"), (49152, 4789)),
        (outer_udp(6081) / Raw(b"\xff" * 40), (49152, 6081)),
        (outer_udp(4790) / Raw(b"\x0c\0\0\7" + bytes(30)), (49152, 4790)),
        (outer_udp(2152) / GTP_U_Header(gtp_type=1, S=1, teid=0), (49152, 2152)),
        (outer_udp(2152) / GTP_U_Header(gtp_type=255) / Raw(b"\x10" * 40), (49152, 2152)),
        (outer_udp(2152) / GTP_U_Header(gtp_type=255, length=900) / Raw(UDP_PACKET.data), (49152, 2152)),
        (outer_udp(2152) / GTP_U_Header(gtp_type=255) / Raw(TOO_LONG), (49152, 2152)),
        (outer_udp(2152), (49152, 2152)),
        (outer4(47) / GRE(proto=0), (0, 0)),
        (outer4(47) / GRE(proto=0x0800, routing_present=1) / Raw(UDP_PACKET.data), (0, 0)),
        (outer4(47) / GRE(proto=0x880B, version=1, key_present=1) / Raw(bytes(8)), (0, 0)),
        (outer4(4) / Raw(b"\x99" * 40), (0, 0)),
        (outer4(41) / Raw(b"\x99" * 50), (0, 0)),
    ],
)  # fmt: skip
def test_tunnel_without_an_ip_packet_is_the_flow(packet: Packet, ports: tuple[int, int]) -> None:
    """Where no sound IP packet is inside, the tunnel's own packet is a flow, as if nothing were stripped."""
    got = decode_one(framed(packet))
    assert got["status"] == Status.FLOW
    assert got["src"][:4] == bytes([198, 51, 100, 1])
    assert (got["src_port"], got["dst_port"]) == ports
    assert (got["tunnel"], got["vni"], got["teid"], got["context"]) == (0, 0, 0, 0)
    assert got["payload_len"] == len(bytes(packet)) - (28 if got["protocol"] == 17 else 20)


def test_context_holds_what_both_directions_share() -> None:
    """VLAN ids and VNIs part flows, TEIDs and keys do not; priority tags (VLAN 0) are none."""
    wrap = {e.name: e for e in ENCAPSULATIONS}

    def contexts(name: str) -> set[int]:
        built = (wrap[name].around(UDP_PACKET, number) for number in range(5))
        return {decode_one(in_ethernet(b).data)["context"] for b in built if b is not None}

    assert len(contexts("vlan")) == len(contexts("vxlan")) == len(contexts("pppoe")) == 5
    assert contexts("gtpu") == contexts("gre_key_sequence") == contexts("mpls") == {0}
    got = decode_one(framed(bytes(Dot1Q(vlan=0, prio=5, type=0x0800)) + UDP_PACKET.data, 0x8100))
    assert (got["context"], got["vlan_id"], got["tunnel"]) == (0, 0, Tunnel.VLAN)


@pytest.mark.parametrize(
    ("packet", "protocol", "ports", "payload_len"),
    [
        (IP() / ICMP() / Raw(b"ping"), 1, (0, 0), 12),
        (IPv6() / ICMPv6EchoRequest(data=b"ping"), 58, (0, 0), 12),
        (IP() / SCTP(sport=7, dport=9) / SCTPChunkData(data=b"1234"), 132, (7, 9), 20),
        (IP(proto=136) / Raw(struct.pack(">HHHH", 7, 9, 8, 0) + b"lite"), 136, (7, 9), 4),
        (IP(proto=33) / Raw(struct.pack(">HHBBHI", 7, 9, 4, 0, 0, 0) + bytes(4) + b"abc"), 33, (7, 9), 3),
        (IP(proto=50) / Raw(b"sealed"), 50, (0, 0), 6),
        (IP(proto=89) / Raw(bytes(24)), 89, (0, 0), 24),
        (IP(proto=51) / AH(nh=50, icv=b"i" * 12, payloadlen=4), 50, (0, 0), 0),
        (IPv6(nh=59) / Raw(b"none"), 59, (0, 0), 4),
        (IPv6(nh=135) / Raw(struct.pack(">BBBBHH", 59, 0, 0, 0, 0, 0)), 135, (0, 0), 8),
        (IPv6(nh=135) / Raw(bytes([17, 0]) + bytes(6)) / UDP(sport=7, dport=9), 17, (7, 9), 0),
    ],
)
def test_transport_protocols(packet: Packet, protocol: int, ports: tuple[int, int], payload_len: int) -> None:
    """Ports are read where a protocol has them; the rest are flows with ports 0."""
    packet.src, packet.dst = (
        ("2001:db8::1", "2001:db8::2") if isinstance(packet, IPv6) else ("10.0.0.1", "10.0.0.2")
    )
    got = decode_one(bytes(packet), RAW_IP)
    assert (got["status"], got["protocol"]) == (Status.FLOW, protocol)
    assert (got["src_port"], got["dst_port"], got["payload_len"]) == (*ports, payload_len)


@pytest.mark.parametrize(
    "options",
    [
        [],
        [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5, 0)), ("WScale", 7)],
        [("EOL", None)],
        [(30, b"12345678")],
    ],
)
def test_tcp_options_are_passed_over(options: list[Any]) -> None:
    """The payload begins behind the options, whatever they are."""
    segment = TCP(sport=1, dport=2, flags="SEC", seq=2**32 - 1, ack=2**31, window=65535, options=options)
    got = decode_one(bytes(IP(src="10.0.0.1", dst="10.0.0.2") / segment / Raw(b"x")), RAW_IP)
    assert (got["tcp_seq"], got["tcp_ack"], got["tcp_window"]) == (2**32 - 1, 2**31, 65535)
    assert (got["tcp_flags"], got["payload"]) == (0xC2, b"x")


def test_lengths_come_from_the_ip_header() -> None:
    """Padding is no payload; a length left to the network card, or a jumbogram's, is the frame's."""
    frame = in_ethernet(UDP_PACKET).data
    assert decode_one(frame + bytes(30))["payload"] == PAYLOAD
    offloaded = frame[:16] + b"\0\0" + frame[18:]
    assert decode_one(offloaded)["payload"] == PAYLOAD
    assert decode_one(offloaded, ETHERNET, 70_000)["payload_len"] == 70_000 - 14 - 28
    six = in_ethernet(TCP6_PACKET).data
    assert decode_one(six[:18] + b"\0\0" + six[20:], ETHERNET, 90_000)["payload_len"] == 90_000 - 14 - 40 - 32
    edited = bad_ipv4(len=500)
    assert decode_one(edited)["payload_len"] == 472, "a wire length that an editor cut is not believed"
    assert decode_one(frame[:50])["payload_len"] == len(PAYLOAD)
    assert decode_one(frame[:50])["payload"] == PAYLOAD[:8]


@pytest.mark.parametrize("built", [in_ethernet(UDP_PACKET), in_ethernet(TCP6_PACKET)], ids=lambda b: b.name)
def test_cut_frame_is_a_flow_once_its_ports_are_there(built: Built) -> None:
    """Cut at every byte: truncated before the ports, the flow after them, TCP fields when they are whole."""
    keys = ("src", "src_port", "dst_port", "protocol", "dscp")
    ports_end = built.data.index(struct.pack(">HH", built.found["src_port"], built.found["dst_port"])) + 4
    for n in range(len(built.data)):
        got = decode_one(built.data[:n], ETHERNET, len(built.data))
        if n < ports_end:
            assert got == {"status": Status.TRUNCATED}
            continue
        assert {k: got[k] for k in keys} == {k: built.found[k] for k in keys}
        assert (got["tcp_seq"] == 1) == (built.found["protocol"] == 6 and n >= ports_end + 16)
        assert got["payload"] == built.data[built.data.index(PAYLOAD) : n]


@pytest.mark.parametrize("built", alone(), ids=lambda b: b.name)
def test_cut_encapsulation(built: Built) -> None:
    """However a frame is cut, it is the inner flow, the tunnel's own, or truncated: never something else."""
    endpoints = {
        built.found["src"],
        bytes([198, 51, 100, 1]) + bytes(12),
        bytes.fromhex("20010db8000f" + "00" * 9 + "01"),
    }
    inner_seen = []
    for n in range(len(built.data)):
        got = decode_one(built.data[:n], ETHERNET, len(built.data))
        assert got["status"] in (Status.FLOW, Status.TRUNCATED)
        if got["status"] == Status.FLOW:
            assert got["src"] in endpoints
            inner_seen.append(got["src"] == built.found["src"])
    assert all(later >= earlier for earlier, later in pairwise(inner_seen)), "once found, it stays found"
    assert inner_seen[-1]


def flow_packets(frames: list[bytes]) -> list[tuple[int, int]]:
    """(destination port, packets) of the flows that an engine makes of frames."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None, seed=1)
    engine.process(burst([(frame, n + 1) for n, frame in enumerate(frames)], link_type=RAW_IP))
    flows = engine.snapshot()
    return sorted((int(f["dst_port"]), int(f["packets_forward"] + f["packets_reverse"])) for f in flows)


def pieces4(packet: bytes, size: int = 64) -> list[bytes]:
    """An IPv4 packet in fragments."""
    return [bytes(piece) for piece in fragment(IP(packet), fragsize=size)]


def pieces6(packet: bytes, size: int = 120) -> list[bytes]:
    """An IPv6 packet in fragments."""
    whole = IPv6(packet)
    header = IPv6(src=whole.src, dst=whole.dst) / IPv6ExtHdrFragment(id=whole.fl + 5) / whole.payload
    return [bytes(piece) for piece in fragment6(header, size)]


def test_pieces_of_a_datagram() -> None:
    """The first piece has ports, later ones none, each its own share of the payload."""
    whole = bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=9) / UDP(sport=7, dport=9) / Raw(bytes(192)))
    first, *later = (decode_one(piece, RAW_IP) for piece in pieces4(whole))
    assert (first["fragment"], first["dst_port"], first["payload_len"]) == (1, 9, 56)
    assert {(p["fragment"], p["dst_port"], p["protocol"]) for p in later} == {(2, 0, 17)}
    assert first["payload_len"] + sum(p["payload_len"] for p in later) == 192
    assert all(Tunnel(p["tunnel"]) == Tunnel.FRAGMENT for p in (first, *later))
    six = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=7, dport=9) / Raw(bytes(192)))
    first, *later = (decode_one(piece, RAW_IP) for piece in pieces6(six))
    assert (first["fragment"], first["dst_port"]) == (1, 9)
    assert {(p["fragment"], p["dst_port"], p["protocol"]) for p in later} == {(2, 0, 17)}


@pytest.mark.parametrize("cut", [pieces4, pieces6])
def test_pieces_around_a_tunnel_belong_to_the_inner_flow(cut: Callable[[bytes], list[bytes]]) -> None:
    """A tunnel's packet in pieces: all count for the flow inside, that the first piece shows."""
    inner = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=9) / Raw(bytes(300)))
    pieces = cut(gtpu_extensions(inner, 1, outer4(17) if cut is pieces4 else outer6(17)))
    assert len(pieces) > 3
    assert flow_packets(pieces) == [(9, len(pieces))]


def test_pieces_within_pieces_belong_to_the_inner_flow() -> None:
    """A datagram in pieces, each in a tunnel's packet that is itself in pieces: one flow has them all."""
    inner = bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=3) / UDP(sport=7, dport=9) / Raw(bytes(300)))
    frames: list[bytes] = []
    for n, piece in enumerate(pieces4(inner, 160)):
        outer = IP(src="198.51.100.1", dst="198.51.100.2", proto=17, id=100 + n)
        frames += pieces4(gtpu_extensions(piece, 1, outer), 80)
    assert len(frames) >= 5
    assert flow_packets(frames) == [(9, len(frames))]


def check_anything(data: bytes, link_type: int, wire_len: int | None) -> None:
    """Whatever the bytes, the answer is a status and a payload that lies within them."""
    got = decode_one(data, link_type, wire_len)
    assert Status.FLOW <= got["status"] <= Status.LINK_TYPE
    if got["status"] == Status.FLOW:
        assert len(got["payload"]) == got["payload_captured"] <= got["payload_len"]
        assert got["payload"] in data
        assert got["ip_version"] in (4, 6)


@given(st.sampled_from([*LINK_TYPES, 147]), st.binary(max_size=120), st.integers(0, 2**32 - 1))
def test_any_bytes(link_type: int, data: bytes, wire_len: int) -> None:
    """Random bytes of any link type never confuse the decoder."""
    check_anything(data, link_type, wire_len)


FRAMES = [built.data for built in alone()]


@given(
    st.sampled_from(FRAMES),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 300),
)
def test_damaged_frames(frame: bytes, changes: list[tuple[int, int]], length: int) -> None:
    """Nor do frames with a few bytes changed and a tail cut off."""
    damaged = bytearray(frame)
    for at, value in changes:
        damaged[at % len(frame)] = value
    check_anything(bytes(damaged[:length]), ETHERNET, len(frame))


TSHARK = "tshark -n -T fields -E header=y -E occurrence=l -d udp.port==8472,vxlan"
TSHARK_FIELDS = ("ip.src", "ipv6.src", "udp.dstport", "tcp.dstport", "tcp.len", "udp.length")


def text_address(address: bytes, version: int) -> str:
    """An address as tshark writes it."""
    return str(ip_address(address if version == 6 else address[:4]))


def by_tshark(path: Path) -> list[dict[str, str]]:
    """The last, so innermost, occurrence of some fields in every frame of a capture."""
    fields = [word for name in (*TSHARK_FIELDS, "frame.protocols") for word in ("-e", name)]
    run = subprocess.run(
        [*TSHARK.split(), "-r", str(path), *fields], check=True, capture_output=True, text=True
    )
    return list(csv.DictReader(run.stdout.splitlines(), delimiter="\t"))


def innermost_of(row: dict[str, str]) -> tuple[str, int, int]:
    """Source address, destination port and payload length of the last IP header that tshark found."""
    protocols = row["frame.protocols"].split(":")
    version = next(name for name in reversed(protocols) if name in ("ip", "ipv6"))
    if "tcp" in protocols:
        return row[f"{version}.src"], int(row["tcp.dstport"]), int(row["tcp.len"])
    return row[f"{version}.src"], int(row["udp.dstport"]), int(row["udp.length"]) - 8


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_agrees(tmp_path: Path) -> None:
    """Wireshark's dissectors find the same innermost addresses, ports and payload lengths."""
    # Wireshark takes a destination address that begins with a zero for a pseudowire's control word
    understood = tuple(e for e in ENCAPSULATIONS if e.name != "eompls_no_control_word")
    frames = [built.data for built in (*stacks(1, understood), *stacks(2, STACKED))]
    wrpcap(str(tmp_path / "all.pcap"), frames, linktype=ETHERNET)
    decoded = [decode_one(frame) for frame in frames]
    ours = [
        (text_address(got["src"], got["ip_version"]), got["dst_port"], got["payload_len"]) for got in decoded
    ]
    assert ours == [innermost_of(row) for row in by_tshark(tmp_path / "all.pcap")]
    assert len(ours) > 400


PLAIN = [
    bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2", tos=184) / transport / Raw(b"q" * 40))
    for transport in (
        UDP(sport=4000, dport=8080),
        TCP(sport=4000, dport=443, seq=7, ack=9, options=[("NOP", None)]),
    )
]


@given(
    st.sampled_from(PLAIN),
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 255)), max_size=3),
    st.integers(0, 100),
    st.integers(-3, 40),
)
def test_the_short_way_agrees(frame: bytes, changes: list[tuple[int, int]], captured: int, cut: int) -> None:
    """Whatever frame the decoder's straight line takes, the walk over the layers finds the same in it."""
    damaged = bytearray(frame)
    for at, value in changes:
        damaged[at] = value
    taken, agrees = decode_both(bytes(damaged[:captured]), ETHERNET, max(0, len(damaged[:captured]) + cut))
    assert agrees or not taken


def test_the_short_way_is_taken() -> None:
    """Plain TCP and UDP over IPv4 take the straight line; tunnels and pieces do not."""
    assert all(decode_both(frame, ETHERNET, len(frame))[0] for frame in PLAIN)
    vxlan = bytes(Ether() / IP() / UDP(sport=1, dport=4789) / VXLAN() / Ether() / IP() / UDP() / Raw(b"x"))
    piece = bytes(Ether() / fragment(IP() / UDP() / Raw(b"x" * 2000), 1000)[0])
    assert not any(decode_both(frame, ETHERNET, len(frame))[0] for frame in (vxlan, piece))
