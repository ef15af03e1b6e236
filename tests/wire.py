"""Packets for tests: raw IPv4 (link type 101), built with struct, and bursts of them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

import numpy as np

from qoe.schema import PACKET_DTYPE, Burst

RAW_IP = 101
SECOND = 1_000_000_000


def ipv4(
    src: str, dst: str, protocol: int, payload: bytes, *, identification: int = 0, offset: int = 0
) -> bytes:
    """One IPv4 packet; `offset` is the flags and fragment offset field."""
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), identification, offset, 64, protocol, 0)
    return header + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + payload


def udp(src: str, sport: int, dst: str, dport: int, payload: bytes = b"x" * 20) -> bytes:
    """One UDP datagram over IPv4."""
    return ipv4(src, dst, 17, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload)


def tcp(
    src: str, sport: int, dst: str, dport: int, flags: int, seq: int = 0, ack: int = 0, n: int = 0
) -> bytes:
    """One TCP segment with `n` payload bytes over IPv4."""
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + bytes(n)
    return ipv4(src, dst, 6, segment)


def rtp(sequence: int, timestamp: int, payload_type: int = 0, ssrc: int = 7, n: int = 160) -> bytes:
    """One RTP packet."""
    return struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + bytes(
        n
    )


def burst(frames: Sequence[tuple[bytes, int]], link_type: int = RAW_IP) -> Burst:
    """A burst of (frame, ts_ns)."""
    packets = np.zeros(len(frames), PACKET_DTYPE)
    lengths = np.array([len(frame) for frame, _ in frames], np.uint32)
    packets["offset"] = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(frames) else 0
    packets["captured_len"] = packets["wire_len"] = lengths
    packets["ts_ns"] = [ts for _, ts in frames]
    packets["link_type"] = link_type
    return Burst(np.frombuffer(b"".join(frame for frame, _ in frames), np.uint8), packets)
