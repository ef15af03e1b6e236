"""Packet sequences for hypothesis: conversations with everything that can be odd about them, as captures.

What is drawn is small and shrinks well: a list of events. What they stand for (sequence numbers that run on,
times, tunnels around them) is put together here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from captures import Packet, pcapng
from hypothesis import strategies as st
from wire import RAW_IP, SECOND, ipv4, udp

MS, US = SECOND // 1000, SECOND // 1_000_000
START_NS = 1_700_000_000 * SECOND
HERE, THERE = "10.0.0.1", "192.0.2.1"
SYN, SYN_ACK, ACK, PUSH, FIN, RST = 2, 18, 16, 24, 17, 4

SMALL_GAPS = [0, 1, 999, US, 400 * US, MS, 3 * MS - 1, 3 * MS, 15 * MS, 20 * MS, 20 * MS, 60 * MS]
LARGE_GAPS = [
    SECOND - US,
    SECOND,
    3 * SECOND,
    70 * SECOND,
    120 * SECOND,
    120 * SECOND + 1,
    500 * SECOND,
    1801 * SECOND,
]
BACKWARD = [-1, -5 * MS, -SECOND, -130 * SECOND]
STEPS = [1, 1, 1, 1, 2, 3, 0, -1, -2, -5, 10, 62, 64, 70, -62, -63, 2999, 3000, 30_000]


class Event(NamedTuple):
    """One packet: what it is, how it travels, how long after the one before."""

    kind: str
    reverse: bool
    gap_ns: int
    step: int  # of a sequence number
    size: int
    choice: int  # among what the kind can vary
    around: str
    repeat: int = 1


def events(
    kinds: Sequence[str], around: Sequence[str] = ("",), gaps: Sequence[int] = SMALL_GAPS
) -> st.SearchStrategy[list[Event]]:
    """Lists of events of these kinds."""
    one = st.builds(
        Event,
        st.sampled_from(list(kinds)),
        st.booleans(),
        st.sampled_from(list(gaps)),
        st.sampled_from(STEPS),
        st.sampled_from([0, 1, 79, 80, 99, 100, 299, 300, 700, 1200, 1400, 25_000, 40_000]),
        st.integers(0, 7),
        st.sampled_from(list(around)),
        st.sampled_from([1] * 12 + [5, 40, 300]),
    )
    return st.lists(one, min_size=1, max_size=50)


@dataclass
class Conversation:
    """The numbers that run on from packet to packet."""

    now_ns: int = START_NS
    seq: list[int] = field(default_factory=lambda: [2**32 - 2000, 5000])
    rtp: list[int] = field(default_factory=lambda: [65_500, 10])
    datagram: int = 1
    frames: list[Packet] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Add an event's packet, or packets."""
        self.now_ns = max(self.now_ns + event.gap_ns, 0)
        packet = BUILDERS[event.kind](self, event)
        for piece in AROUND[event.around](self, event, packet):
            kept = piece[: -event.choice] if event.around == "cut" and event.choice else piece
            self.frames.append(Packet(self.now_ns, kept, len(piece), RAW_IP))

    def number(self) -> int:
        """A datagram's identification."""
        self.datagram += 1
        return self.datagram


def capture(drawn: Sequence[Event], start_ns: int = START_NS) -> bytes:
    """The capture of a list of events."""
    conversation = Conversation(start_ns)
    for event in drawn:
        for _ in range(event.repeat):
            conversation.take(event)
    return pcapng(conversation.frames, link=RAW_IP)


def between(event: Event) -> tuple[str, str]:
    """Source and destination."""
    return (THERE, HERE) if event.reverse else (HERE, THERE)


def ports(event: Event, here: int, there: int) -> tuple[int, int]:
    """Source and destination port."""
    return (there, here) if event.reverse else (here, there)


def tcp_packet(talk: Conversation, event: Event) -> bytes:
    """A segment that begins some hundred bytes before or behind the end of what was sent."""
    way = int(event.reverse)
    seq = (talk.seq[way] + 100 * (event.step if abs(event.step) < 100 else event.step * 1000) - 100) % 2**32
    flags = (SYN, SYN_ACK, ACK, PUSH, PUSH, FIN, RST, 0)[event.choice]
    window = 0 if event.size == 99 else 512
    header = struct.pack(
        ">HHIIBBHHH", *ports(event, 50_000, 443), seq, talk.seq[1 - way], 0x50, flags, window, 0, 0
    )
    if 0 < event.step < 100:
        talk.seq[way] = (seq + event.size + (flags & 3 != 0)) % 2**32
    opening = (b"\x16\x03\x01\0\x05", b"GET / ", b"")[event.step % 3]
    return ipv4(*between(event), 6, header + opening.ljust(event.size, b"x")[: event.size])


def rtp_packet(talk: Conversation, event: Event) -> bytes:
    """A packet some numbers on, or back, of one of two sources."""
    way = int(event.reverse)
    ssrc, kind = (7 if event.choice < 7 else 8), (0 if event.size < 300 else 97)
    talk.rtp[way] = (talk.rtp[way] + event.step) % 2**16
    timestamp = (talk.rtp[way] * (160 if kind == 0 else 960) + event.choice) % 2**32
    header = struct.pack(">BBHII", 0x80, kind, talk.rtp[way], timestamp, ssrc)
    if event.step < 0:  # late: what follows goes on where it was
        talk.rtp[way] = (talk.rtp[way] - event.step) % 2**16
    return udp(*_udp(event, 4000, 5004), header + bytes(event.size))


def _udp(event: Event, here: int, there: int) -> tuple[str, int, str, int]:
    (src, dst), (sport, dport) = between(event), ports(event, here, there)
    return src, sport, dst, dport


PAYLOADS = (
    b"\0\x01\0\x00\x21\x12\xa4\x42" + bytes(12),  # STUN
    b"\x16\xfe\xfd" + bytes(10),  # DTLS
    b"\x81\xc8\0\x06" + bytes(24),  # RTCP
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01",  # DNS
    b"\xc3\0\0\0\x01\x08" + bytes(40),  # QUIC
    b"\x43" + bytes(40),  # QUIC, short header
    b"\x80",
    b"",
)


def udp_packet(talk: Conversation, event: Event) -> bytes:
    """A datagram with one of the openings that are looked for."""
    payload = PAYLOADS[event.choice]
    return udp(*_udp(event, 40_000, 443), payload + bytes(event.size))


def ping(talk: Conversation, event: Event) -> bytes:
    """A packet without ports."""
    return ipv4(*between(event), 1, bytes(event.size))


def gtp_packet(talk: Conversation, event: Event) -> bytes:
    """A packet of a bearer, with a QoS flow identifier."""
    inside = tcp_packet(talk, event) if event.step % 2 else udp_packet(talk, event)
    container = bytes([1, 0x10, 9, 0])
    options = b"\0\0\0\x85" + container
    header = struct.pack(">BBHI", 0x34, 255, len(options) + len(inside), 70 + event.reverse) + options
    src, dst = ("198.51.100.2", "198.51.100.1") if event.reverse else ("198.51.100.1", "198.51.100.2")
    return udp(src, 2152, dst, 2152, header + inside)


BUILDERS = {"tcp": tcp_packet, "rtp": rtp_packet, "udp": udp_packet, "ping": ping, "gtp": gtp_packet}


def plain(talk: Conversation, event: Event, packet: bytes) -> list[bytes]:
    """As it is."""
    return [packet]


def marked(talk: Conversation, event: Event, packet: bytes) -> list[bytes]:
    """With a DSCP."""
    return [packet[:1] + bytes([event.choice << 2]) + packet[2:]]


def over_ipv6(talk: Conversation, event: Event, packet: bytes) -> list[bytes]:
    """Under an IPv6 header."""
    body, addresses = packet[20:], [b"\x20\x01\x0d\xb8" + bytes(8) + packet[at : at + 4] for at in (12, 16)]
    return [
        struct.pack(">IHBB", 6 << 28 | event.choice << 22, len(body), packet[9], 64)
        + b"".join(addresses)
        + body
    ]


def in_pieces(talk: Conversation, event: Event, packet: bytes) -> list[bytes]:
    """In three pieces, of which the choice says which come, and in which order."""
    head, body, number = packet[:20], packet[20:], talk.number()
    cut = max(8, len(body) // 24 * 8)
    pieces = [body[:cut], body[cut : 2 * cut], body[2 * cut :]]
    out = []
    for i, piece in enumerate(pieces):
        offset = (0x2000 if i < 2 else 0) | i * cut // 8
        fields = struct.pack(">HHH", 20 + len(piece), number, offset)
        out.append(head[:2] + fields + head[8:] + piece)
    orders = ([0, 1, 2], [0, 1, 2], [0, 2], [1, 0, 2], [2, 1, 0], [1, 2], [0], [0, 1, 2])
    return [out[i] for i in orders[event.choice]]


def in_ipip(talk: Conversation, event: Event, packet: bytes) -> list[bytes]:
    """In another IP packet, with or without a DSCP of its own."""
    src, dst = ("198.51.100.2", "198.51.100.1") if event.reverse else ("198.51.100.1", "198.51.100.2")
    outer = ipv4(src, dst, 4, packet)
    return marked(talk, event, outer)


def in_ipip_in_pieces(talk: Conversation, event: Event, packet: bytes) -> list[bytes]:
    """In another IP packet, which is cut."""
    return in_pieces(talk, event, in_ipip(talk, event, packet)[0])


AROUND = {
    "": plain,
    "cut": plain,
    "dscp": marked,
    "six": over_ipv6,
    "pieces": in_pieces,
    "ipip": in_ipip,
    "ipip pieces": in_ipip_in_pieces,
}
