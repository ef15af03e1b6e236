"""Captures for tests: written by the book with struct, and read back into plain tuples."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from qoe.capture import Source
from qoe.schema import PACKET_DTYPE
from qoe_native.engine import CaptureReader

MAX_NS = 2**63 - 1
MAX_PACKET = 262_144
MAX_BLOCK = 524_288


class Packet(NamedTuple):
    """One packet as written and as read."""

    ts_ns: int
    data: bytes
    wire_len: int
    link_type: int = 1


def some_packets(n: int, link_type: int = 1) -> list[Packet]:
    """Packets of many sizes whose bytes tell them apart, on whole microseconds."""
    return [
        Packet(
            1_700_000_000_000_000_000 + i * 1_001_000, bytes([i % 251]) * (i * 37 % 300), 1500 + i, link_type
        )
        for i in range(n)
    ]


def pcap(packets: list[Packet], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    """Write a pcap file by the book."""
    per_second = 10**9 if magic == 0xA1B23C4D else 10**6
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, MAX_PACKET, link)]
    for p in packets:
        second, ns = divmod(p.ts_ns, 10**9)
        out.append(struct.pack(order + "IIII", second, ns * per_second // 10**9, len(p.data), p.wire_len))
        out.append(bytes(8) if magic == 0xA1B2CD34 else b"")
        out.append(p.data)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """One pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """One pcapng option."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    """Section header block."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, options: bytes = b"", order: str = "<", snaplen: int = 0) -> bytes:
    """Interface description block, with a name before the options asked for."""
    name = option(2, b"eth0x", order)
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + name + options, order)


def enhanced(ticks: int, data: bytes, wire_len: int, index: int = 0, order: str = "<") -> bytes:
    """Enhanced packet block, with a comment behind the packet."""
    head = struct.pack(order + "IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire_len)
    return block(6, head + data + bytes(-len(data) % 4) + option(1, b"a comment", order), order)


def pcapng(packets: list[Packet], order: str = "<", link: int = 1) -> bytes:
    """Write a pcapng file of one section and one interface, in nanoseconds."""
    return b"".join(
        [
            section(order),
            interface(link, option(9, b"\x09", order), order),
            *(enhanced(p.ts_ns, p.data, p.wire_len, 0, order) for p in packets),
        ]
    )


def unpack(data: bytearray, packets: bytearray) -> Iterator[Packet]:
    """Packets of one burst as a reader hands it out."""
    for row in np.frombuffer(packets, PACKET_DTYPE):
        at, length = int(row["offset"]), int(row["captured_len"])
        yield Packet(
            int(row["ts_ns"]), bytes(data[at : at + length]), int(row["wire_len"]), int(row["link_type"])
        )


def parse(capture: bytes, step: int = 1 << 20, max_packets: int = 256) -> tuple[list[Packet], CaptureReader]:
    """Read a capture out of memory, at most `step` bytes at a time."""
    reader = CaptureReader(MAX_BLOCK)
    packets: list[Packet] = []
    at = 0
    while True:
        data, rows = reader.next_burst(max_packets)
        packets.extend(unpack(data, rows))
        if reader.status in ("end", "error"):
            return packets, reader
        if reader.status == "more":
            space = reader.space()
            piece = capture[at : at + min(step, len(space))]
            space[: len(piece)] = piece
            reader.commit(len(piece))
            at += len(piece)
            if at == len(capture):
                reader.finish()


def all_of(source: Source, max_packets: int = 256) -> list[Packet]:
    """Every packet of a source."""
    packets = []
    while (burst := source.next_burst(max_packets)) is not None:
        packets.extend(unpack(bytearray(burst.data), bytearray(burst.packets)))
    return packets
