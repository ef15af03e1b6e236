"""pcapng by the book (draft-ietf-opsawg-pcapng): sections, interfaces and the three kinds of packet block."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .rules import MAX_BLOCK_BYTES, MAX_NS, MAX_OFFSET_S, MAX_PACKET_BYTES, MAX_SKIP_BYTES, SECOND

SECTION, INTERFACE, OBSOLETE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
LEAST_BYTES = {SECTION: 28, INTERFACE: 20, SIMPLE: 16, OBSOLETE: 32, ENHANCED: 32}
TIME_RESOLUTION, TIME_OFFSET = 9, 14
NOBODYS = -1  # link type of a packet whose interface was never described

Fields = tuple[int, bytes, int, int]  # ts_ns, data, wire_len, link_type


@dataclass
class Interface:
    """What an interface description block says."""

    link_type: int
    snaplen: int
    ticks_per_s: int = 10**6
    offset_s: int = 0

    def time_ns(self, ticks: int) -> int:
        """Nanoseconds since 1970, from 0 to the end of 63 bits."""
        since_offset = ticks * SECOND // self.ticks_per_s
        if since_offset > MAX_NS:
            return MAX_NS
        return min(max(since_offset + self.offset_s * SECOND, 0), MAX_NS)


def pcapng_frames(content: bytes) -> Iterator[Fields]:
    """All packets of all sections, up to where the file ends or stops making sense."""
    interfaces: list[Interface] = []
    order, last_ns = "<", 0
    for kind, block, order in _blocks(content):
        if len(block) < LEAST_BYTES.get(kind, 12):
            return
        if kind == SECTION:
            if struct.unpack_from(order + "H", block, 12) != (1,):
                return
            interfaces = []
        elif kind == INTERFACE:
            interfaces.append(_interface(block, order))
        elif kind in (OBSOLETE, SIMPLE, ENHANCED):
            fields = (
                _simple(block, order, interfaces, last_ns)
                if kind == SIMPLE
                else _packet(block, order, interfaces, kind)
            )
            if fields is None:
                return
            if fields[3] != NOBODYS and len(fields[1]) <= MAX_PACKET_BYTES:
                last_ns = fields[0]
                yield fields


def _blocks(content: bytes) -> Iterator[tuple[int, bytes, str]]:
    """Type, bytes and byte order of each block of bearable length."""
    at, order = 0, "<"
    while at + 12 <= len(content):
        (kind,) = struct.unpack_from(order + "I", content, at)
        if kind == SECTION:
            marks = {struct.unpack_from(o + "I", content, at + 8)[0]: o for o in "><"}
            if BYTE_ORDER_MAGIC not in marks:
                return
            order = marks[BYTE_ORDER_MAGIC]
        (length,) = struct.unpack_from(order + "I", content, at + 4)
        if length < 12 or length % 4:
            return
        if length > MAX_BLOCK_BYTES:
            if length > MAX_SKIP_BYTES or kind in (SECTION, INTERFACE):
                return
        else:
            block = content[at : at + length]
            if len(block) < length or struct.unpack_from(order + "I", block, length - 4) != (length,):
                return
            yield kind, block, order
        at += length


def _interface(block: bytes, order: str) -> Interface:
    link_type, _, snaplen = struct.unpack_from(order + "HHI", block, 8)
    interface = Interface(link_type, snaplen)
    for code, value in _options(block[16:-4], order):
        if code == TIME_RESOLUTION and len(value) == 1:
            base, exponent = (2, value[0] - 128) if value[0] > 127 else (10, value[0])
            interface.ticks_per_s = base**exponent
        elif code == TIME_OFFSET and len(value) == 8:
            (offset_s,) = struct.unpack(order + "q", value)
            interface.offset_s = min(max(offset_s, -MAX_OFFSET_S), MAX_OFFSET_S)
    return interface


def _options(area: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    while len(area) >= 4:
        code, length = struct.unpack_from(order + "HH", area)
        if code == 0 or len(area) < 4 + length:
            return
        yield code, area[4 : 4 + length]
        area = area[4 + length + -length % 4 :]


def _packet(block: bytes, order: str, interfaces: list[Interface], kind: int) -> Fields | None:
    """An enhanced or obsolete packet block; None: its length is impossible; or nobody's."""
    index = struct.unpack_from(order + ("I" if kind == ENHANCED else "H"), block, 8)[0]
    high, low, captured, wire = struct.unpack_from(order + "IIII", block, 12)
    if captured > len(block) - 32:
        return None
    data = block[28 : 28 + captured]
    if index >= len(interfaces):
        return 0, data, wire, NOBODYS
    return interfaces[index].time_ns(high << 32 | low), data, wire, interfaces[index].link_type


def _simple(block: bytes, order: str, interfaces: list[Interface], last_ns: int) -> Fields | None:
    """A simple packet block: of the first interface, at the time of the packet before."""
    (wire,) = struct.unpack_from(order + "I", block, 8)
    captured = min(wire, len(block) - 16)
    if not interfaces:
        return 0, b"", wire, NOBODYS
    if interfaces[0].snaplen:
        captured = min(captured, interfaces[0].snaplen)
    return last_ns, block[12 : 12 + captured], wire, interfaces[0].link_type
