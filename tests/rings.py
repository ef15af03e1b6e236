"""Rings for tests, written by the books (linux/if_packet.h, linux/if_xdp.h) as the kernel would."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 1 << 16
HEADER_BYTES = 48
MAC_AT = 82  # where the kernel puts an Ethernet frame, from its header on
VLAN_VALID, TPID_VALID = 0x10, 0x40


class Frame(NamedTuple):
    """One frame as the kernel hands it over: a VLAN tag that it took out stands beside it."""

    ts_ns: int
    data: bytes
    wire_len: int = 0
    tci: int | None = None
    tpid: int | None = None


class Ring:
    """Memory of a ring; `write` fills blocks as the kernel does, in turn."""

    def __init__(self, n_blocks: int = 4) -> None:
        self.memory: npt.NDArray[np.uint8] = np.zeros(n_blocks * BLOCK_BYTES, np.uint8)
        self.n_blocks = n_blocks
        self._turn = 0

    def is_ours(self, block: int) -> bool:
        """Whether a block waits to be read."""
        return bool(self.memory[block * BLOCK_BYTES + 8] & 1)

    def write(self, frames: list[Frame]) -> None:
        """Put frames into the next block and hand it over; it must be the kernel's."""
        assert not self.is_ours(self._turn)
        body = b""
        for i, frame in enumerate(frames):
            record = _record(frame)
            following = 0 if i == len(frames) - 1 else len(record)
            body += struct.pack("I", following) + record[4:]
        begin = self._turn * BLOCK_BYTES
        head = struct.pack("IIIIIIQ16x", 3, 48, 0, len(frames), HEADER_BYTES, 48 + len(body), self._turn)
        self.memory[begin : begin + 48 + len(body)] = np.frombuffer(head + body, np.uint8)
        self.memory[begin + 8] = 1
        self._turn = (self._turn + 1) % self.n_blocks


def _record(frame: Frame) -> bytes:
    second, ns = divmod(frame.ts_ns, 10**9)
    status = 1
    if frame.tci is not None:
        status |= VLAN_VALID | (TPID_VALID if frame.tpid is not None else 0)
    header = struct.pack(
        "IIIIIIHHIIHH8x",
        *(0, second, ns, len(frame.data), frame.wire_len or len(frame.data), status),
        *(MAC_AT, MAC_AT + 14, 0, frame.tci or 0, frame.tpid or 0, 0),
    )
    record = header + bytes(MAC_AT - len(header)) + frame.data
    return record + bytes(-len(record) % 8)


CHUNK_BYTES = 4096
OFFSETS = (
    0,
    64,
    128,
    0,
    128,
)  # of the receive ring's producer, consumer, places; the fill ring's producer, places


class Queue:
    """Memory of an AF_XDP socket; `write` takes chunks off the fill ring and says where it put frames."""

    def __init__(self, n_chunks: int = 8) -> None:
        self.n_chunks = n_chunks
        self.memory: npt.NDArray[np.uint8] = np.zeros(n_chunks * CHUNK_BYTES, np.uint8)
        self.received: npt.NDArray[np.uint8] = np.zeros(128 + 16 * n_chunks, np.uint8)
        self.fill: npt.NDArray[np.uint8] = np.zeros(128 + 8 * n_chunks, np.uint8)
        self.places = self.fill[128:].view(np.uint64)
        self.places[:] = np.arange(n_chunks) * CHUNK_BYTES
        self.fill[:4].view(np.uint32)[0] = n_chunks
        self._taken = 0

    @property
    def n_free(self) -> int:
        """Chunks that the kernel has."""
        return int(self.fill[:4].view(np.uint32)[0]) - self._taken

    def write(self, frames: list[bytes]) -> None:
        """Let frames arrive."""
        for data in frames:
            assert self.n_free
            at = int(self.places[self._taken % self.n_chunks]) // CHUNK_BYTES * CHUNK_BYTES + 256
            self.memory[at : at + len(data)] = np.frombuffer(data, np.uint8)
            self.describe(at, len(data))

    def describe(self, at: int, n_bytes: int) -> None:
        """Say that a frame lies somewhere."""
        place = 128 + 16 * (self._taken % self.n_chunks)
        self.received[place : place + 16] = np.frombuffer(struct.pack("QII", at, n_bytes, 0), np.uint8)
        self._taken += 1
        self.received[:4].view(np.uint32)[0] = self._taken
