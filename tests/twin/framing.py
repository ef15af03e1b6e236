"""What the beginning of a payload tells of the protocol in it."""

from __future__ import annotations

from enum import IntEnum

from .packet import Packet


class Signal(IntEnum):
    """Framing seen (``enum qoe_signal``, bits)."""

    RTP = 1
    RTCP = 2
    STUN = 4
    DTLS = 8
    QUIC = 16
    TLS = 32
    HTTP = 64
    DNS = 128


HTTP_OPENINGS = (b"GET ", b"POST", b"HTTP", b"PUT ", b"HEAD")
STUN_COOKIE = bytes.fromhex("2112a442")
QUIC_1, QUIC_2 = 1, 0x6B3343CF


def u16(octets: bytes, at: int) -> int:
    """Two bytes, most significant first."""
    return int.from_bytes(octets[at : at + 2], "big")


def tcp_signal(p: Packet) -> int:
    """TLS records (RFC 8446 section 5.1) and HTTP/1 openings."""
    head = p.payload[:5]
    if len(head) < 5:
        return 0
    if head[0] in range(20, 24) and head[1] == 3 and head[2] <= 4:
        return Signal.TLS
    return Signal.HTTP if head[:4] in HTTP_OPENINGS else 0


def is_dns(p: Packet) -> bool:
    """RFC 1035 section 4.1.1, by the message alone: a known operation, a few records, a label that fits."""
    head = p.payload
    if len(head) < 13:
        return False
    operation, counts, label = head[2] >> 3 & 15, [u16(head, at) for at in (4, 6, 8, 10)], head[12]
    if operation not in (0, 4, 5) or counts[0] > 4 or max(counts[1:]) > 64 or counts[0] + counts[1] == 0:
        return False
    return label < 64 and 13 + label <= p.payload_len


def udp_signal(p: Packet) -> int:
    """RTCP, STUN, DTLS and QUIC's long headers."""
    head = p.payload
    if len(head) < 5:
        return 0
    if head[0] >> 6 == 2:
        return Signal.RTCP if is_rtcp(p) else 0
    if len(head) >= 20 and head[0] < 4 and head[4:8] == STUN_COOKIE and u16(head, 2) + 20 <= p.payload_len:
        return Signal.STUN
    if len(head) >= 13 and head[0] in range(20, 64) and head[1:3] in (b"\xfe\xff", b"\xfe\xfd"):
        return Signal.DTLS
    return Signal.QUIC if head[0] >> 6 == 3 and is_quic_version(quic_version(p)) else 0


def is_rtcp(p: Packet) -> bool:
    """A packet type of RTCP's (RFC 5761) and a length that fits (RFC 3550 section 6.4)."""
    head = p.payload
    return len(head) >= 8 and 192 <= head[1] <= 223 and 4 * (u16(head, 2) + 1) <= p.payload_len


def quic_version(p: Packet) -> int:
    """The version of a long header (RFC 8999)."""
    return int.from_bytes(p.payload[1:5], "big")


def is_quic_version(version: int) -> bool:
    """RFC 9000, RFC 9369, IETF drafts, Google QUIC "Q0xx" and "T0xx", Facebook mvfst."""
    text = version.to_bytes(4, "big")
    return version in (QUIC_1, QUIC_2) or text.startswith((b"\xff\0\0", b"Q0", b"T0", b"\xfa\xce\xb0"))
