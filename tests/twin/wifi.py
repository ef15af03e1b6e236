"""The twin's IEEE 802.11: capture headers, and data frames in the clear."""

from __future__ import annotations

import struct

from .links import read_llc
from .packet import Bytes, Packet, Status, unsound

PADDED = 0x20  # radiotap's flag: the header is padded to whole words


def read_radiotap(b: Bytes, p: Packet) -> Packet:
    """The capture header of radiotap.org."""
    b.need(8)
    (length,) = struct.unpack_from("<H", b.captured, 2)
    if b.u8(0) != 0 or length < 8:
        unsound(Status.BAD_LINK)
    b.need(length)
    padded = bool(radiotap_flags(b.captured[:length]) & PADDED)
    return read_80211(b.behind(length), p, padded)


def radiotap_flags(header: bytes) -> int:
    """The Flags field: behind all words of presence bits (bit 31: one more) and an aligned time stamp."""
    (present,) = struct.unpack_from("<I", header, 4)
    word, at = present, 8
    while word >> 31 and at + 4 <= len(header):
        (word,) = struct.unpack_from("<I", header, at)
        at += 4
    if present & 1:
        at += -at % 8 + 8
    return header[at] if present & 2 and at < len(header) else 0


def read_monitor(b: Bytes, p: Packet) -> Packet:
    """Prism or AVS: the second word is the length, in either byte order."""
    b.need(8)
    length = b.u32(4)
    if length > 0xFFFF:
        (length,) = struct.unpack_from("<I", b.captured, 4)
    if length < 8:
        unsound(Status.BAD_LINK)
    b.need(length)
    return read_80211(b.behind(length), p)


def read_80211(b: Bytes, p: Packet, padded: bool = False) -> Packet:
    """A data frame (IEEE 802.11 section 9.3.2); of an aggregate the first subframe."""
    b.need(2)
    version, kind, subtype = b.u8(0) & 3, b.u8(0) >> 2 & 3, b.u8(0) >> 4
    flags = b.u8(1)
    to_ds_and_from_ds, protected, order = flags & 3 == 3, flags & 0x40, flags & 0x80
    is_qos, has_no_body = subtype & 8, subtype & 4
    if version != 0:
        unsound(Status.BAD_LINK)
    if kind != 2 or has_no_body or protected:
        unsound(Status.NOT_IP)
    length = 30 if to_ds_and_from_ds else 24
    is_aggregate = False
    if is_qos:
        b.need(length + 2)
        is_aggregate = bool(b.u8(length) & 0x80)
        length += 6 if order else 2
    if padded:
        length += -length % 4
    if is_aggregate:
        length += 14
    b.need(length)
    if b.u8(22) & 15:  # a later fragment of a frame
        unsound(Status.NOT_IP)
    return read_llc(b.behind(length), p)
