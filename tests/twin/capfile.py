"""Captures by the book: all frames of a pcap or pcapng file, plain or compressed with gzip."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .pcapng import pcapng_frames
from .rules import MAX_PACKET_BYTES, MAX_SKIP_BYTES, SECOND

MICROSECOND_MAGIC, NANOSECOND_MAGIC, KUZNETZOV_MAGIC = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
GZIP_MAGIC = b"\x1f\x8b"


class Frame(NamedTuple):
    """One packet as captured."""

    ts_ns: int
    data: bytes
    wire_len: int
    link_type: int


def read_frames(path: Path) -> list[Frame]:
    """All frames of a file, up to where it ends or stops making sense."""
    content = path.read_bytes()
    if content.startswith(GZIP_MAGIC):
        content = gunzip(content)
    return list(frames(content))


def gunzip(content: bytes) -> bytes:
    """All members of a gzip file, as far as they go."""
    out = b""
    while content:
        member = zlib.decompressobj(wbits=31)
        out += member.decompress(content)
        content = member.unused_data
    return out


def frames(content: bytes) -> Iterator[Frame]:
    """All frames of a capture's bytes."""
    if content.startswith(b"\x0a\x0d\x0d\x0a"):
        return (Frame(*fields) for fields in pcapng_frames(content))
    return _pcap_frames(content)


def _pcap_frames(content: bytes) -> Iterator[Frame]:
    """draft-ietf-opsawg-pcap, with Kuznetzov's longer record header."""
    for order in "<>":
        if len(content) >= 24:
            magic, major, _, _, _, _, link = struct.unpack_from(order + "IHHiIII", content)
            if magic in (MICROSECOND_MAGIC, NANOSECOND_MAGIC, KUZNETZOV_MAGIC):
                break
    else:
        return
    if major != 2:
        return
    header_bytes = 24 if magic == KUZNETZOV_MAGIC else 16
    tick_ns = 1 if magic == NANOSECOND_MAGIC else 1000
    at = 24
    while at + header_bytes <= len(content):
        seconds, ticks, captured, wire = struct.unpack_from(order + "IIII", content, at)
        start, at = at + header_bytes, at + header_bytes + captured
        if captured > MAX_SKIP_BYTES or at > len(content):
            return
        if captured <= MAX_PACKET_BYTES:
            yield Frame(seconds * SECOND + ticks * tick_ns, content[start:at], wire, link & 0x03FFFFFF)
