"""Per-packet CSV traces as packets, so that they pass through the kernel as a capture does.

A trace holds sessions. Each begins with a line ``session,NAME`` and a header ``rel_ts_us,len``; then
follows a line a packet: microseconds since the session's start, and the frame's length in bytes, positive
from client to server, negative from server to client.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.errors import CaptureError
from qoe.schema import PACKET_DTYPE, Burst, IntArray

SERVER: Final = bytes([198, 51, 100, 1])
_FIRST_CLIENT: Final = 10 << 24
PORTS: Final = (40_000, 443)
_TCP, _UDP = 6, 17
_HEAD_BYTES: Final = {_TCP: 54, _UDP: 42}
_LONGEST_SYN_BYTES: Final = 120
_GAP_BETWEEN_SESSIONS_US: Final = 3_600_000_000
_ACK: Final = 16


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a trace.

    Attributes
    ----------
    name : str
    ts_us : ndarray of int64, shape (n_packets,)
        Since the session's start.
    signed_bytes : ndarray of int64, shape (n_packets,)
        Frame lengths; negative from server to client.
    """

    name: str
    ts_us: IntArray
    signed_bytes: IntArray


def read_sessions(path: Path) -> list[Session] | None:
    """Read a CSV trace.

    Returns
    -------
    list of Session or None
        None for a CSV file of another shape, such as one line a video frame: it holds no packets.

    Raises
    ------
    CaptureError
        The file is unreadable or a line is malformed.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as text:
            blocks = text.read().split("session,")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CaptureError(f"{path}: cannot be read: {error}") from None
    if blocks[0].strip() or len(blocks) < 2:
        return None
    try:
        return [_session(block) for block in blocks[1:]]
    except ValueError as error:
        raise CaptureError(f"{path}: {error}; a line is 'rel_ts_us,len'") from None


def _session(block: str) -> Session:
    name, header, body = [*block.split("\n", 2), "", ""][:3]
    if header.strip() != "rel_ts_us,len":
        raise ValueError(f"session {name}: header {header!r}")
    numbers = np.array(body.replace("\n", ",").rstrip(",").split(",") if body.strip() else [], np.int64)
    if len(numbers) % 2:
        raise ValueError(f"session {name}: a line without two numbers")
    return Session(name.strip(), numbers[::2], numbers[1::2])


def bursts(sessions: list[Session]) -> Iterator[Burst]:
    """Turn each session into one burst of Ethernet frames, an hour apart.

    Frames hold their headers alone. Session `k` has client address 10.0.0.0 + k. A session whose first
    frame is longer than any TCP SYN is UDP (QUIC), else TCP.
    """
    for index, session in enumerate(sessions):
        if len(session.ts_us):
            yield _burst(session, client_address(index), index * _GAP_BETWEEN_SESSIONS_US)


def client_address(index: int) -> bytes:
    """Return the address of a session's client."""
    return (_FIRST_CLIENT + index).to_bytes(4, "big")


def transport(session: Session) -> int:
    """Return the IP protocol number that a session's first frame speaks of."""
    return _UDP if abs(int(session.signed_bytes[0])) > _LONGEST_SYN_BYTES else _TCP


def _burst(session: Session, client: bytes, start_us: int) -> Burst:
    protocol = transport(session)
    head_bytes = _HEAD_BYTES[protocol]
    wire = np.maximum(np.abs(session.signed_bytes), head_bytes)
    up = session.signed_bytes > 0
    sides = [_header(client, SERVER, PORTS, protocol), _header(SERVER, client, PORTS[::-1], protocol)]
    heads = np.where(up[:, None], *(np.frombuffer(side, np.uint8)[None] for side in sides))
    _put(heads, 16, wire - 14)
    if protocol == _TCP:
        _put_sequences(heads, up, wire - head_bytes)
    else:
        _put(heads, 38, wire - 34)
    packets = np.zeros(len(wire), PACKET_DTYPE)
    packets["offset"] = np.arange(len(wire)) * head_bytes
    packets["captured_len"] = head_bytes
    packets["wire_len"] = wire
    packets["ts_ns"] = (start_us + session.ts_us) * 1000
    packets["link_type"] = 1
    return Burst(np.ascontiguousarray(heads).reshape(-1), packets)


def _header(src: bytes, dst: bytes, ports: tuple[int, int], protocol: int) -> bytes:
    ethernet = b"\2" + bytes(10) + b"\2\x08\0"
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0, 64, protocol, 0) + src + dst
    rest = (
        struct.pack(">HH", 0, 0) if protocol == _UDP else struct.pack(">IIBBHHH", 0, 0, 80, _ACK, 65535, 0, 0)
    )
    return ethernet + ip + struct.pack(">HH", *ports) + rest


def _put(heads: npt.NDArray[np.uint8], at: int, values: IntArray) -> None:
    heads[:, at] = values >> 8 & 255
    heads[:, at + 1] = values & 255


def _put_sequences(heads: npt.NDArray[np.uint8], up: npt.NDArray[np.bool_], payload: IntArray) -> None:
    for way in (up, ~up):
        sent = np.where(way, payload, 0).cumsum()
        mine, seen = sent - np.where(way, payload, 0), sent
        for at, values, rows in ((38, mine, way), (42, seen, ~way)):
            octets = (values[rows, None] >> np.array([24, 16, 8, 0])) & 255
            heads[rows, at : at + 4] = octets
