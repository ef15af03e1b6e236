"""The frame decoder's link layers: every link type leads to the same flow, and the rest is named."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from encapsulations import Built, Status, bad_ipv4, check, framed, innermost
from scapy.layers.dot11 import Dot11, Dot11QoS, RadioTap
from scapy.layers.l2 import ARP, LLC, SNAP, STP, CookedLinux, CookedLinuxV2, Dot3
from scapy.layers.ppp import HDLC, PPP, PPP_LCP, PPPoE, PPPoED
from scapy.packet import Packet, Raw

from qoe_native.engine import decode_one

TO_DS, FROM_DS, PROTECTED, ORDER = 1, 2, 0x40, 0x80
UDP_PACKET, TCP6_PACKET = innermost()


def bare(build: Callable[[bytes, int], bytes]) -> Callable[[Built], bytes]:
    """A link layer whose header depends on the IP version and nothing else."""
    return lambda built: build(built.data, 4 if built.kind == "ip4" else 6)


def by_version(four: bytes, six: bytes) -> Callable[[Built], bytes]:
    """A link layer header for each IP version, given as bytes."""
    return bare(lambda packet, version: (four if version == 4 else six) + packet)


def ethertype(version: int) -> int:
    """EtherType of an IP version."""
    return 0x0800 if version == 4 else 0x86DD


def snap(version: int) -> bytes:
    """Logical link control with an EtherType, as on Wi-Fi."""
    return bytes(LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=ethertype(version)))


def wifi(header: Packet, trailer: bytes = b"") -> Callable[[Built], bytes]:
    """An 802.11 data frame, perhaps with bytes between its header and what it carries."""
    return bare(lambda packet, version: bytes(header) + trailer + snap(version) + packet)


def data_frame(subtype: int = 0, direction: int = TO_DS, **fields: Any) -> Packet:
    """An 802.11 data frame's header."""
    return Dot11(type=2, subtype=subtype, FCfield=direction, addr1="02:00:00:00:00:01", **fields)


HERE, THERE = "02:00:00:00:00:01", "02:00:00:00:00:02"
PADDED = RadioTap(present="TSFT+Flags", Flags="pad")
SUBFRAME = bytes(12) + b"\x00\x40"
PRISM = struct.pack("<II", 0x44, 144) + bytes(136)
AVS = struct.pack(">II", 0x80211001, 64) + bytes(56)
LINKS: list[tuple[str, int, Callable[[Built], bytes]]] = [
    ("802.3 with SNAP", 1, bare(lambda p, v: bytes(Dot3(src=HERE, dst=THERE) / Raw(snap(v) + p)))),
    ("loopback, little-endian", 0, by_version(b"\2\0\0\0", b"\x1e\0\0\0")),
    ("loopback, big-endian", 0, by_version(b"\0\0\0\2", b"\0\0\0\x1c")),
    ("loopback of Linux and NetBSD", 0, by_version(b"\2\0\0\0", b"\x0a\0\0\0")),
    ("loopback of OpenBSD", 108, by_version(b"\0\0\0\2", b"\0\0\0\x18")),
    *((f"raw IP as {n}", n, lambda b: b.data) for n in (12, 14, 101)),
    ("PPP", 9, bare(lambda p, v: bytes(PPP(proto=0x21 if v == 4 else 0x57)) + p)),
    ("PPP with address and control", 9, by_version(b"\xff\3\0\x21", b"\xff\3\0\x57")),
    ("PPP with a compressed protocol field", 9, by_version(b"\x21", b"\x57")),
    ("PPP like HDLC", 50, bare(lambda p, v: bytes(HDLC() / PPP(proto=0x21 if v == 4 else 0x57)) + p)),
    ("Cisco HDLC", 50, by_version(b"\x0f\0\x08\0", b"\x0f\0\x86\xdd")),
    ("802.11", 105, wifi(data_frame())),
    ("802.11 QoS", 105, wifi(data_frame(8) / Dot11QoS())),
    ("802.11 with four addresses", 105, wifi(data_frame(0, TO_DS | FROM_DS, addr4="02:00:00:00:00:04"))),
    ("802.11 QoS with HT control", 105, wifi(data_frame(8, FROM_DS | ORDER), bytes(6))),
    ("802.11 aggregate, first subframe", 105, wifi(data_frame(8) / Dot11QoS(A_MSDU_Present=1), SUBFRAME)),
    ("radiotap", 127, wifi(RadioTap(present="Flags", Flags=0) / data_frame())),
    ("radiotap, time stamp, padding", 127, wifi(PADDED / data_frame(8) / Dot11QoS(), b"\0\0")),
    ("Prism", 119, wifi(Raw(PRISM) / data_frame())),
    ("AVS", 163, wifi(Raw(AVS) / data_frame())),
    ("cooked v1", 113, bare(lambda p, v: bytes(CookedLinux(proto=ethertype(v))) + p)),
    ("cooked v2", 276, bare(lambda p, v: bytes(CookedLinuxV2(proto=ethertype(v))) + p)),
]  # fmt: skip


@pytest.mark.parametrize("built", [UDP_PACKET, TCP6_PACKET], ids=lambda b: b.name)
@pytest.mark.parametrize(
    ("link_type", "build"), [link[1:] for link in LINKS], ids=[link[0] for link in LINKS]
)
def test_link_layer(link_type: int, build: Callable[[Built], bytes], built: Built) -> None:
    """Every link type leads to the same flow."""
    check(built, build(built), link_type)


def test_link_types_of_one_version() -> None:
    """Link types 228 and 229 carry IPv4 and IPv6 alone, 51 PPPoE without Ethernet."""
    check(UDP_PACKET, UDP_PACKET.data, 228)
    check(TCP6_PACKET, TCP6_PACKET.data, 229)
    assert decode_one(UDP_PACKET.data, 229)["status"] == Status.BAD_IPV6
    session = bytes(PPPoE(sessionid=7) / PPP(proto=0x21) / Raw(UDP_PACKET.data))
    assert decode_one(session, 51)["pppoe_session"] == 7


@pytest.mark.parametrize(
    ("frame", "link_type", "status"),
    [
        (framed(ARP(), 0x0806), 1, Status.NOT_IP),
        (framed(b"\x02\x07\x04" + bytes(20), 0x88CC), 1, Status.NOT_IP),
        (bytes(Dot3(src="02:00:00:00:00:01") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()), 1, Status.NOT_IP),
        (framed(PPPoED(code=9), 0x8863), 1, Status.NOT_IP),
        (framed(PPPoE(sessionid=1) / PPP(proto=0xC021) / PPP_LCP(), 0x8864), 1, Status.NOT_IP),
        (bytes(Dot11(type=0, subtype=8)) + bytes(30), 105, Status.NOT_IP),
        (bytes(data_frame(0, TO_DS | PROTECTED)) + bytes(30), 105, Status.NOT_IP),
        (bytes(data_frame(4)), 105, Status.NOT_IP),
        (bytes(data_frame(SC=1)) + snap(4) + UDP_PACKET.data, 105, Status.NOT_IP),
        (b"\7\0\0\0" + bytes(20), 0, Status.NOT_IP),
        (b"\x01" + bytes(30), 105, Status.BAD_LINK),
        (b"\x01\0\x08\0" + bytes(30), 127, Status.BAD_LINK),
        (bytes(20), 101, Status.BAD_LINK),
        (framed(b"\x21\0\0\1\0\x16\0\x21" + UDP_PACKET.data, 0x8864), 1, Status.BAD_TUNNEL),
        (bad_ipv4(version=5), 1, Status.BAD_IPV4),
        (bad_ipv4(ihl=4), 1, Status.BAD_IPV4),
        (bad_ipv4(len=19), 1, Status.BAD_IPV4),
        (framed(b"\x40" + TCP6_PACKET.data[1:], 0x86DD), 1, Status.BAD_IPV6),
        (UDP_PACKET.data, 147, Status.LINK_TYPE),
        (b"", 1, Status.TRUNCATED),
    ],
)
def test_what_is_no_flow(frame: bytes, link_type: int, status: int) -> None:
    """What carries no IP packet, or a damaged one, is told by its reason."""
    assert decode_one(frame, link_type) == {"status": status}
