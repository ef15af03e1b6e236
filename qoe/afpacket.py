"""AF_PACKET sockets with TPACKET_V3 rings, several of them a fanout group: packet(7)."""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
import threading
from typing import Final

import numpy as np

from qoe_native.engine import LiveRing

RETIRE_MS: Final = 50
"""The kernel hands over a block that is not full after so long, milliseconds."""
DEFAULT_RING_BYTES: Final = 64 << 20

_BLOCK_BYTES: Final = 1 << 20
_FRAME_BYTES: Final = 2048  # any will do: frames of a TPACKET_V3 ring take what they need
_WHOLE: Final = 0x7FFFFFFF

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h, linux/filter.h
_SOL_PACKET: Final = 263
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_RX_RING: Final = 5
_PACKET_STATISTICS: Final = 6
_PACKET_VERSION: Final = 10
_PACKET_FANOUT: Final = 18
_PACKET_IGNORE_OUTGOING: Final = 23
_PACKET_FANOUT_HASH: Final = 0
_PACKET_FANOUT_FLAG_UNIQUEID: Final = 0x2000
_PACKET_MR_PROMISC: Final = 1
_TPACKET_V3: Final = 2
_ETH_P_ALL: Final = 3
_SO_ATTACH_FILTER: Final = 26
_BPF_RET: Final = 6


class _RingSocket:
    """One socket and its ring; no packet comes in until `admit` lets it."""

    def __init__(self, name: str, ring_bytes: int, link_type: int) -> None:
        self._lock = threading.Lock()
        self._received = self._dropped = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self.admit(0)
            self.set(_PACKET_VERSION, _TPACKET_V3)
            shape = (_BLOCK_BYTES, ring_bytes // _BLOCK_BYTES, _FRAME_BYTES, ring_bytes // _FRAME_BYTES)
            self.set(_PACKET_RX_RING, struct.pack("7I", *shape, RETIRE_MS, 0, 0))
            self._map = mmap.mmap(self._socket.fileno(), ring_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE)
            self.ring = LiveRing(
                np.frombuffer(self._map, np.uint8), self._socket.fileno(), _BLOCK_BYTES, link_type
            )
            self._socket.bind((name, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def set(self, option: int, value: int | bytes) -> None:
        """Set a packet option of the socket."""
        self._socket.setsockopt(_SOL_PACKET, option, value)

    def admit(self, n_bytes: int) -> None:
        """Let packets in, so many bytes of each; 0: none."""
        program = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RET, 0, 0, n_bytes))
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program))
        )

    def join(self, group: int | None) -> int:
        """Join a fanout group, or found one; returns its number."""
        kind = _PACKET_FANOUT_HASH | (_PACKET_FANOUT_FLAG_UNIQUEID if group is None else 0)
        self.set(_PACKET_FANOUT, kind << 16 | (group or 0))
        return self._socket.getsockopt(_SOL_PACKET, _PACKET_FANOUT) & 0xFFFF

    def counts(self) -> tuple[int, int]:
        """See `PacketRings.counts`."""
        with self._lock:  # reading the kernel's counts sets them to 0
            counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
            received, dropped, _ = struct.unpack("3I", counts)
            self._received += received
            self._dropped += dropped
            return self._received, self._dropped

    def close(self) -> None:
        """See `PacketRings.close`."""
        self.ring.close()
        self._socket.close()
        self._map.close()


class PacketRings:
    """Rings of one interface, over which the kernel spreads flows.

    Parameters
    ----------
    name : str
        The interface.
    link_type : int
        LINKTYPE_ number of what it carries.
    n_rings, ring_bytes, snap_bytes : int
        How many rings, the bytes of each, and of each packet at most (0: all).
    promiscuous, ignore_outgoing : bool
        Take what is addressed to others; leave out what this host sends.

    Raises
    ------
    OSError
    """

    method: Final = "packet"

    def __init__(
        self,
        name: str,
        link_type: int,
        n_rings: int,
        ring_bytes: int,
        snap_bytes: int,
        promiscuous: bool,
        ignore_outgoing: bool,
    ) -> None:
        whole_bytes = -(-ring_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        self._sockets: list[_RingSocket] = []
        try:
            for _ in range(n_rings):
                self._sockets.append(_RingSocket(name, whole_bytes, link_type))
            self._begin(name, snap_bytes or _WHOLE, promiscuous, ignore_outgoing)
        except OSError:
            self.close()
            raise
        self.rings = [one.ring for one in self._sockets]

    def _begin(self, name: str, snap_bytes: int, promiscuous: bool, ignore_outgoing: bool) -> None:
        """Let packets in, once all rings stand: each is then in one of them."""
        group = None
        for one in self._sockets:
            if promiscuous:
                one.set(_PACKET_ADD_MEMBERSHIP, promiscuity(name))
            if ignore_outgoing:
                one.set(_PACKET_IGNORE_OUTGOING, 1)
            if len(self._sockets) > 1:
                group = one.join(group)
        for one in self._sockets:
            one.admit(snap_bytes)

    def counts(self, ring: int) -> tuple[int, int]:
        """Packets that came for a ring, and how many of them found it full."""
        return self._sockets[ring].counts()

    def stop(self) -> None:
        """Let no more packets in."""
        for one in self._sockets:
            one.admit(0)

    def close(self) -> None:
        """Give the rings back to the kernel."""
        for one in self._sockets:
            one.close()


def promiscuity(name: str) -> bytes:
    """Return the value of ``PACKET_ADD_MEMBERSHIP`` that asks an interface for frames addressed to others."""
    return struct.pack("iHH8x", socket.if_nametoindex(name), _PACKET_MR_PROMISC, 0)
