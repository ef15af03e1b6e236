"""Frames out of columns of header fields, and capture files out of frames: NumPy throughout.

A frame is kept as its *head*, the bytes up to the last one that is not zero; the rest of the payload is
zeros, which no checksum notices. That is what makes gigabytes of well-formed traffic cheap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

U8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

ETHERNET: Final = 1
RAW: Final = 101
TCP: Final = 6
UDP: Final = 17
MIN_FRAME_BYTES: Final = 60
_PIECE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames of one link type, in order of time.

    Attributes
    ----------
    link_type : int
        LINKTYPE number of tcpdump.org.
    ts_ns : ndarray of int64, shape (n,)
        Time since 1970-01-01 UTC.
    wire_len, captured_len : ndarray of int64, shape (n,)
        Bytes of the frame on the wire and in the capture.
    heads : ndarray of uint8, shape (n, width)
        The first bytes of each frame, zeros after its end; what is captured beyond `width` is zeros.
    """

    link_type: int
    ts_ns: IntArray
    wire_len: IntArray
    captured_len: IntArray
    heads: U8Array

    def __len__(self) -> int:
        """Return the number of packets."""
        return len(self.ts_ns)

    def __getitem__(self, rows: slice) -> Batch:
        """Return some of the frames."""
        return Batch(
            self.link_type, self.ts_ns[rows], self.wire_len[rows], self.captured_len[rows], self.heads[rows]
        )

    def pieces(self) -> Iterable[Batch]:
        """Yield the frames in pieces small enough to be written out at once."""
        for start in range(0, len(self), _PIECE):
            yield self[slice(start, start + _PIECE)]


_TYPES: Final = {
    **dict.fromkeys(("ts_ns", "payload_bytes"), np.int64),
    **dict.fromkeys(("seq", "ack"), np.uint32),
    **dict.fromkeys(("ip_id", "sport", "dport", "window", "vlan"), np.uint16),
    **dict.fromkeys(("src", "dst", "version", "protocol", "ttl", "tos"), np.uint8),
    **dict.fromkeys(("tcp_flags", "n_options", "n_prefix", "options", "prefix"), np.uint8),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Header fields of packets, one row a packet; `n` rows.

    Attributes
    ----------
    ts_ns : ndarray of int64, shape (n,)
        Time since 1970-01-01 UTC.
    src, dst : ndarray of uint8, shape (n, 16)
        Addresses; IPv4 in the first four bytes.
    version, protocol, ttl, tos : ndarray of uint8, shape (n,)
        IP version (4 or 6), transport (6 TCP, 17 UDP), hop limit, traffic class.
    ip_id, sport, dport, window, vlan : ndarray of uint16, shape (n,)
        `vlan` 0 leaves the tag out.
    seq, ack : ndarray of uint32, shape (n,)
    tcp_flags, n_options, n_prefix : ndarray of uint8, shape (n,)
        TCP flags; bytes used of `options` (a multiple of 4) and of `prefix`.
    options : ndarray of uint8, shape (n, o)
        TCP options, zeros after their end.
    payload_bytes : ndarray of int64, shape (n,)
        Transport payload.
    prefix : ndarray of uint8, shape (n, p)
        First bytes of the payload, zeros after their end.
    """

    ts_ns: IntArray
    src: U8Array
    dst: U8Array
    version: U8Array
    protocol: U8Array
    ttl: U8Array
    tos: U8Array
    ip_id: npt.NDArray[np.uint16]
    sport: npt.NDArray[np.uint16]
    dport: npt.NDArray[np.uint16]
    window: npt.NDArray[np.uint16]
    vlan: npt.NDArray[np.uint16]
    seq: npt.NDArray[np.uint32]
    ack: npt.NDArray[np.uint32]
    tcp_flags: U8Array
    n_options: U8Array
    n_prefix: U8Array
    options: U8Array
    payload_bytes: IntArray
    prefix: U8Array

    def __len__(self) -> int:
        """Return the number of packets."""
        return len(self.ts_ns)

    @classmethod
    def of(cls, n: int, **given: npt.ArrayLike) -> Columns:
        """Return `n` rows out of columns that are cast and repeated as needed; what is not given is 0."""
        columns = {}
        for field in fields(cls):
            shape = (n, 16) if field.name in ("src", "dst") else (n,)
            if field.name in ("options", "prefix"):
                shape = (n, np.shape(given[field.name])[1] if field.name in given else 0)
            columns[field.name] = np.broadcast_to(given.get(field.name, 0), shape).astype(_TYPES[field.name])
        return cls(**columns)

    def rows(self, which: npt.NDArray[np.intp]) -> Columns:
        """Return some of the packets."""
        return Columns(*(getattr(self, field.name)[which] for field in fields(self)))


def build(columns: Columns, link_type: int = ETHERNET, snap_bytes: int | None = None) -> Batch:
    """Build frames with right lengths and checksums.

    Parameters
    ----------
    columns : Columns
        Header fields.
    link_type : int
        1 (Ethernet, padded to 60 bytes) or 101 (raw IP).
    snap_bytes : int, optional
        Captured bytes a frame at most; 0 captures whole frames. By default each frame is cut after its
        `prefix`, as a probe that keeps headers alone does.

    Returns
    -------
    Batch
        The frames, in the order of the columns.
    """
    n = len(columns)
    ethernet = link_type == ETHERNET
    link_bytes = np.where(columns.vlan > 0, 18, 14) if ethernet else np.zeros(n, np.int64)
    ip_bytes = np.where(columns.version == 4, 20, 40)
    l4_bytes = np.where(columns.protocol == TCP, 20 + columns.n_options.astype(np.int64), 8)
    ends = link_bytes + ip_bytes + l4_bytes
    wire_len = ends + columns.payload_bytes
    captured_len = np.minimum(ends + columns.n_prefix, wire_len)
    if ethernet:
        wire_len = np.maximum(wire_len, MIN_FRAME_BYTES)
    if snap_bytes is not None:
        captured_len = np.minimum(wire_len, snap_bytes) if snap_bytes else wire_len
    width = int((ends + columns.n_prefix).max(initial=0))
    heads = np.zeros((n, width), np.uint8)
    shape = link_bytes * 1000 + columns.version.astype(np.int64) * 100 + columns.protocol
    for kind in np.unique(shape):
        which = np.flatnonzero(shape == kind)
        head = _group(columns.rows(which), int(kind) // 1000, int(kind) % 1000 // 100)
        heads[which, : min(width, head.shape[1])] = head[:, :width]
    return Batch(link_type, columns.ts_ns, wire_len, captured_len, heads)


def _group(c: Columns, link_bytes: int, version: int) -> U8Array:
    """Heads of packets that share the shape of their headers."""
    is_tcp = bool(c.protocol[0] == TCP)
    ip_bytes = 20 if version == 4 else 40
    l4_width = (20 + c.options.shape[1] if is_tcp else 8) + c.prefix.shape[1]
    head = np.zeros((len(c), link_bytes + ip_bytes + l4_width + l4_width % 2), np.uint8)
    l4 = head[:, link_bytes + ip_bytes :]
    l4_len = c.payload_bytes + (20 + c.n_options if is_tcp else 8)
    _ports(l4, c)
    (_tcp if is_tcp else _udp)(l4, c, l4_len)
    _put_prefix(l4, c, is_tcp)
    checksum = _fold(_words(l4) + _words(c.src) + _words(c.dst) + c.protocol + l4_len)
    if not is_tcp:
        checksum[checksum == 0] = 0xFFFF
    _put(l4, 16 if is_tcp else 6, checksum, 2)
    (_ipv4 if version == 4 else _ipv6)(head[:, link_bytes : link_bytes + ip_bytes], c, l4_len)
    if link_bytes:
        _ethernet(head, c, 0x0800 if version == 4 else 0x86DD)
    return head


def _put(head: U8Array, at: int, values: npt.ArrayLike, n_bytes: int) -> None:
    """Write big-endian integers of `n_bytes` (2 or 4) into a column."""
    big = np.broadcast_to(np.asarray(values), len(head)).astype(f">u{n_bytes}")
    head[:, at : at + n_bytes] = big.view(np.uint8).reshape(-1, n_bytes)


def _words(octets: U8Array) -> IntArray:
    """Sum of 16-bit big-endian words along each row; an even number of bytes."""
    high: IntArray = octets[:, 0::2].sum(axis=1, dtype=np.int64)
    low: IntArray = octets[:, 1::2].sum(axis=1, dtype=np.int64)
    return high * 256 + low


def _fold(total: IntArray) -> IntArray:
    """One's complement of the one's complement sum (RFC 1071)."""
    for _ in range(2):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ports(l4: U8Array, c: Columns) -> None:
    _put(l4, 0, c.sport, 2)
    _put(l4, 2, c.dport, 2)


def _udp(l4: U8Array, _: Columns, l4_len: IntArray) -> None:
    _put(l4, 4, l4_len, 2)


def _tcp(l4: U8Array, c: Columns, _: IntArray) -> None:
    _put(l4, 4, c.seq, 4)
    _put(l4, 8, c.ack, 4)
    l4[:, 12] = (20 + c.n_options) // 4 << 4
    l4[:, 13] = c.tcp_flags
    _put(l4, 14, c.window, 2)
    l4[:, 20 : 20 + c.options.shape[1]] = c.options


def _put_prefix(l4: U8Array, c: Columns, is_tcp: bool) -> None:
    """Lay the payload's first bytes behind headers of differing length."""
    starts = 20 + c.n_options.astype(np.int64) if is_tcp else np.full(len(c), 8)
    for start in np.unique(starts):
        which = starts == start
        l4[which, start : start + c.prefix.shape[1]] = c.prefix[which]


def _ipv4(ip: U8Array, c: Columns, l4_len: IntArray) -> None:
    ip[:, 0] = 0x45
    ip[:, 1] = c.tos
    _put(ip, 2, l4_len + 20, 2)
    _put(ip, 4, c.ip_id, 2)
    ip[:, 6] = 0x40
    ip[:, 8] = c.ttl
    ip[:, 9] = c.protocol
    ip[:, 12:16] = c.src[:, :4]
    ip[:, 16:20] = c.dst[:, :4]
    _put(ip, 10, _fold(_words(ip)), 2)


def _ipv6(ip: U8Array, c: Columns, l4_len: IntArray) -> None:
    _put(ip, 0, 0x60000000 + (c.tos.astype(np.int64) << 20), 4)
    _put(ip, 4, l4_len, 2)
    ip[:, 6] = c.protocol
    ip[:, 7] = c.ttl
    ip[:, 8:24] = c.src
    ip[:, 24:40] = c.dst


def _ethernet(head: U8Array, c: Columns, ether_type: int) -> None:
    """Put locally administered addresses; the lower port talks as the network's side."""
    from_network = (c.sport < c.dport).astype(np.uint8)
    head[:, 0] = head[:, 6] = 0x02
    head[:, 5] = 2 - from_network
    head[:, 11] = 1 + from_network
    tagged = bool(c.vlan[0])
    if tagged:
        _put(head, 12, 0x8100, 2)
        _put(head, 14, c.vlan, 2)
    _put(head, 16 if tagged else 12, ether_type, 2)
