"""Network interfaces as sources of packets: AF_PACKET sockets with TPACKET_V3 rings.

The kernel writes frames into a ring that it shares with this process, and `qoe_native` reads them where they
lie; here is only what is done once, or once a second. Several rings of one interface form a fanout group: the
kernel gives both directions of a flow to the same ring.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from qoe.errors import CaptureError
from qoe.schema import PACKET_DTYPE, Burst
from qoe_native.engine import LiveRing

RETIRE_MS: Final = 50
"""The kernel hands over a block that is not full after so long, milliseconds."""
DEFAULT_RING_BYTES: Final = 64 << 20
DEFAULT_SNAP_BYTES: Final = 512
MAX_RINGS: Final = 64
MAX_RING_BYTES: Final = 2 << 30

_BLOCK_BYTES: Final = 1 << 20
_FRAME_BYTES: Final = 2048  # any will do: frames of a TPACKET_V3 ring take what they need
_WHOLE: Final = 0x7FFFFFFF

# linux/if_packet.h, linux/if_ether.h, linux/if.h, linux/sockios.h, asm-generic/socket.h, linux/filter.h
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
_IFF_UP, _IFF_LOOPBACK = 1, 8
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFHWADDR: Final = 0x8927
_SO_ATTACH_FILTER: Final = 26
_BPF_RET: Final = 6

_ETHERNET, _RAW_IP = 1, 101
_LINK_TYPES: Final = {
    1: _ETHERNET,  # ARPHRD_ETHER
    772: _ETHERNET,  # ARPHRD_LOOPBACK: Linux gives its frames Ethernet headers
    512: _RAW_IP,  # ARPHRD_PPP
    519: _RAW_IP,  # ARPHRD_RAWIP: cellular modems
    768: _RAW_IP,  # ARPHRD_TUNNEL: IP in IPv4
    769: _RAW_IP,  # ARPHRD_TUNNEL6
    776: _RAW_IP,  # ARPHRD_SIT
    778: _RAW_IP,  # ARPHRD_IPGRE
    0xFFFE: _RAW_IP,  # ARPHRD_NONE: TUN devices, WireGuard
    801: 105,  # ARPHRD_IEEE80211
    803: 127,  # ARPHRD_IEEE80211_RADIOTAP
}
"""LINKTYPE_ numbers of tcpdump.org, as a raw socket sees the frames, by ARPHRD_ numbers of linux/if_arp.h."""


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
        """Packets that came, and how many of them found the ring full."""
        with self._lock:  # reading the kernel's counts sets them to 0
            counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
            received, dropped, _ = struct.unpack("3I", counts)
            self._received += received
            self._dropped += dropped
            return self._received, self._dropped

    def close(self) -> None:
        """Give the ring back to the kernel."""
        self.ring.close()
        self._socket.close()
        self._map.close()


class Interface:
    """A network interface being read.

    Reading begins here: what comes from now on lies in the rings until it is taken, by one thread a ring.

    Parameters
    ----------
    name : str
        Such as ``eth0``.
    n_rings : int
        Rings among which the kernel spreads flows, 1 to 64, by the outermost addresses and ports, the same
        both ways.
    ring_bytes : int
        Memory of each ring, rounded up to whole MiB: what comes while nobody reads is kept up to so much.
    snap_bytes : int
        Captured bytes of a packet at most; 0: all. The engine looks at headers and at how payloads begin;
        sizes it takes from the length on the wire.
    promiscuous : bool
        Take frames that are addressed to others too.

    Attributes
    ----------
    name : str
    link_type : int
        LINKTYPE_ number of tcpdump.org.
    rings : list of LiveRing
        For `qoe.Engine.consume_live`.

    Raises
    ------
    CaptureError
        There is no such interface, it is down, its link type is not decoded, or it may not be read: that
        needs root or CAP_NET_RAW.

    Examples
    --------
    >>> with Interface("eth0") as interface:  # doctest: +SKIP
    ...     engine.consume_live(interface.rings[0], wait_ms=1000)
    """

    def __init__(
        self,
        name: str,
        *,
        n_rings: int = 1,
        ring_bytes: int = DEFAULT_RING_BYTES,
        snap_bytes: int = DEFAULT_SNAP_BYTES,
        promiscuous: bool = True,
    ) -> None:
        if not 1 <= n_rings <= MAX_RINGS:
            raise CaptureError(f"{name}: {n_rings} rings: give 1 to {MAX_RINGS}")
        if not 0 < ring_bytes <= MAX_RING_BYTES:
            raise CaptureError(f"{name}: a ring of {ring_bytes:,} bytes: give 1 to {MAX_RING_BYTES:,}")
        self.name = name
        self.link_type, is_loopback = _link(name)
        self._sockets: list[_RingSocket] = []
        try:
            for _ in range(n_rings):
                size = -(-ring_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
                self._sockets.append(_RingSocket(name, size, self.link_type))
            self._begin(snap_bytes or _WHOLE, promiscuous, is_loopback)
        except OSError as error:
            self.close()
            raise CaptureError(f"{name}: {_refusal(error, ring_bytes)}") from None
        self.rings = [one.ring for one in self._sockets]

    def _begin(self, snap_bytes: int, promiscuous: bool, is_loopback: bool) -> None:
        """Let packets in, once all rings stand: each is then in one of them."""
        group = None
        member = struct.pack("iHH8x", socket.if_nametoindex(self.name), _PACKET_MR_PROMISC, 0)
        for one in self._sockets:
            if promiscuous:
                one.set(_PACKET_ADD_MEMBERSHIP, member)
            if is_loopback:  # where packets are seen as they leave and again as they come
                one.set(_PACKET_IGNORE_OUTGOING, 1)
            if len(self._sockets) > 1:
                group = one.join(group)
        self._lost_before = _interface_losses(self.name)
        for one in self._sockets:
            one.admit(snap_bytes)

    def next_burst(self, max_packets: int = 256, wait_s: float = 0.1, ring: int = 0) -> Burst:
        """Copy the next packets of one ring.

        Parameters
        ----------
        max_packets : int
            At most so many, 1 to 65,536.
        wait_s : float
            Wait so long for the first.
        ring : int
            Which of the rings.

        Returns
        -------
        Burst
            Empty when none came.

        Raises
        ------
        CaptureError
            The interface went down, or was removed.
        """
        data, packets = self.rings[ring].next_burst(max_packets, round(wait_s * 1000))
        if not packets and self.rings[ring].status == "down":
            raise CaptureError(f"{self.name}: {self.failure()}")
        return Burst(np.frombuffer(data, np.uint8), np.frombuffer(packets, PACKET_DTYPE))

    def failure(self) -> str:
        """Say why a ring is down."""
        is_there = self.name in (name for _, name in socket.if_nameindex())
        return "went down" if is_there else "was removed"

    def stop(self) -> None:
        """Let no more packets in; those in the rings can be taken, the last of them `RETIRE_MS` from now."""
        for one in self._sockets:
            one.admit(0)

    def ring_counts(self, ring: int) -> tuple[int, int]:
        """Packets that came for a ring by the kernel's count, and how many of them found it full."""
        return self._sockets[ring].counts()

    def counters(self) -> dict[str, int]:
        """Return what the kernel counted of this interface since reading began.

        Returns
        -------
        dict
            ``kernel_received``: packets that came; ``kernel_dropped``: those of them that found their ring
            full; ``interface_dropped``: what the interface itself lost before, whoever was to have it.
        """
        counts = [one.counts() for one in self._sockets]
        return {
            "kernel_received": sum(received for received, _ in counts),
            "kernel_dropped": sum(dropped for _, dropped in counts),
            "interface_dropped": max(_interface_losses(self.name) - self._lost_before, 0),
        }

    def close(self) -> None:
        """Give the rings back to the kernel; no thread may be reading them."""
        for one in self._sockets:
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _link(name: str) -> tuple[int, bool]:
    """Return an interface's link type and whether it is loopback; it must be up."""
    request = struct.pack("16s24x", os.fsencode(name)[:15])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            socket.if_nametoindex(name)
            (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)
            (kind,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFHWADDR, request), 16)
    except OSError:
        there = ", ".join(sorted(other for _, other in socket.if_nameindex()))
        raise CaptureError(f"{name}: no such interface; there are: {there}") from None
    if kind not in _LINK_TYPES:
        raise CaptureError(
            f"{name}: link type {kind} of linux/if_arp.h is not decoded; name another interface"
        )
    if not flags & _IFF_UP:
        raise CaptureError(f"{name}: is down; bring it up, as in: ip link set {name} up")
    return _LINK_TYPES[kind], bool(flags & _IFF_LOOPBACK)


def _refusal(error: OSError, ring_bytes: int) -> str:
    """Say why an interface that is there cannot be read, and what to do."""
    if isinstance(error, PermissionError):
        return "reading an interface needs root or CAP_NET_RAW: run it with sudo"
    if error.errno == errno.ENOMEM:
        return f"no memory for a ring of {ring_bytes:,} bytes: ask for a smaller one"
    return f"cannot be read ({error.strerror or error})"


def _interface_losses(name: str) -> int:
    """Packets that an interface received and lost, by its own count; 0 where it is gone."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        label, _, counts = line.partition(":")
        if label.strip() == name:
            return int(counts.split()[3])
    return 0
