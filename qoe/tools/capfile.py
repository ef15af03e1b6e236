"""Capture files out of frames: pcap and pcapng, in any byte order, a batch at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qoe.tools.packets import Batch, IntArray


def pcap_header(link_type: int, snap_bytes: int = 0, nanosecond: bool = False, order: str = "<") -> bytes:
    """Return the file header of a pcap; `order` is ``<`` or ``>``."""
    magic = 0xA1B23C4D if nanosecond else 0xA1B2C3D4
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap_bytes or 262_144, link_type)


def pcap_records(batch: Batch, nanosecond: bool = False, order: str = "<") -> bytearray:
    """Return frames as pcap records; the arguments as of :func:`pcap_header`."""
    seconds, rest = np.divmod(batch.ts_ns, 1_000_000_000)
    words = [seconds, rest if nanosecond else rest // 1000, batch.captured_len, batch.wire_len]
    return _lay(batch, words, order, 0, batch.captured_len)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """Return one pcapng option, padded."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return one pcapng block around a body, which is padded."""
    length = 12 + len(body) + -len(body) % 4
    return (
        struct.pack(order + "II", kind, length)
        + body
        + bytes(-len(body) % 4)
        + struct.pack(order + "I", length)
    )


def section(comment: str = "", order: str = "<") -> bytes:
    """Return a pcapng section header block of unknown section length."""
    options = option(1, comment.encode(), order) + option(0, b"", order) if comment else b""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options, order)


def interface(link_type: int, name: str = "", ts_resolution: int = 9, order: str = "<") -> bytes:
    """Return a pcapng interface description block; `ts_resolution` as the byte of ``if_tsresol``."""
    options = (option(2, name.encode(), order) if name else b"") + option(9, bytes([ts_resolution]), order)
    return block(1, struct.pack(order + "HHI", link_type, 0, 0) + options + option(0, b"", order), order)


def enhanced_packets(batch: Batch, interface_id: int = 0, order: str = "<") -> bytearray:
    """Return frames as pcapng enhanced packet blocks, in units of 1 ns."""
    padded = batch.captured_len + (-batch.captured_len) % 4
    words: list[IntArray | np.int64] = [np.int64(6), padded + 32, np.int64(interface_id)]
    words += [batch.ts_ns >> 32, batch.ts_ns & 0xFFFFFFFF, batch.captured_len, batch.wire_len]
    return _lay(batch, words, order, 4, padded)


def _lay(
    batch: Batch, words: Sequence[npt.NDArray[Any] | np.int64], order: str, tail: int, body_len: IntArray
) -> bytearray:
    """Lay out record headers (32-bit words), frames and, if `tail`, the second word once more.

    A slice a record beats NumPy's fancy indexing, which touches eight bytes of index for each byte.
    """
    n_header = 4 * len(words)
    sizes = body_len + (n_header + tail)
    header = np.stack([np.broadcast_to(word, len(batch)) for word in words], axis=1).astype(order + "u4")
    octets = np.ascontiguousarray(header).view(np.uint8)
    rows = np.concatenate((octets, batch.heads), axis=1)
    blob, width = rows.tobytes(), rows.shape[1]
    used = np.minimum(n_header + batch.captured_len, width)
    out = bytearray(int(sizes.sum()))
    starts, froms = np.cumsum(sizes) - sizes, np.arange(len(batch)) * width
    for start, begin, n_used in zip(starts.tolist(), froms.tolist(), used.tolist(), strict=True):
        out[start : start + n_used] = blob[begin : begin + n_used]
    if tail:
        for end, begin in zip((starts + sizes).tolist(), froms.tolist(), strict=True):
            out[end - tail : end] = blob[begin + 4 : begin + 4 + tail]
    return out


def write_capture(batches: Iterable[Batch], path: Path | str, comment: str = "", name: str = "") -> int:
    """Write frames to a file: pcapng (1 ns) if its name ends so, else pcap (1 us); return how many.

    Parameters
    ----------
    batches : iterable of Batch
        Frames of one link type, in order of time; at least one batch.
    path : path-like
        Where to.
    comment, name : str, optional
        Section comment and interface name, in a pcapng alone.
    """
    is_pcapng = str(path).endswith(".pcapng")
    rest = iter(batches)
    first = next(rest)
    header = pcap_header(first.link_type)
    if is_pcapng:
        header = section(comment) + interface(first.link_type, name)
    n_written = 0
    with open(path, "wb") as file:
        file.write(header)
        for batch in chain([first], rest):
            for piece in batch.pieces():
                file.write(enhanced_packets(piece) if is_pcapng else pcap_records(piece))
                n_written += len(piece)
    return n_written
