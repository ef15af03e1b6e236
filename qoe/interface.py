"""Network interfaces as sources of packets.

The kernel writes frames into rings that it shares with this process, and `qoe_native` reads them where they
lie; here, in `qoe.afpacket` and in `qoe.afxdp` is only what is done once, or once a second.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import numpy as np

from qoe import afpacket, afxdp
from qoe.errors import CaptureError
from qoe.schema import PACKET_DTYPE, Burst

DEFAULT_SNAP_BYTES: Final = 512
MAX_RINGS: Final = 64
MAX_RING_BYTES: Final = 2 << 30

# linux/if.h, linux/sockios.h
_IFF_UP, _IFF_LOOPBACK = 1, 8
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFHWADDR: Final = 0x8927

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
        Memory of each ring, rounded up: what comes while nobody reads is kept up to so much. 0: 64 MiB; 256
        MiB of AF_XDP, where a packet takes 2 or 4 KiB whatever its size.
    snap_bytes : int
        Captured bytes of a packet at most; 0: all. The engine looks at headers and at how payloads begin;
        sizes it takes from the length on the wire.
    promiscuous : bool
        Take frames that are addressed to others too.
    method : {"packet", "xdp"}
        AF_PACKET, which sees what the host sees; or AF_XDP, which takes what comes in away from the host and
        needs a ring for each receive queue. Where AF_XDP cannot be, AF_PACKET reads.

    Attributes
    ----------
    name, method : str
        The interface, and how it is read.
    notice : str
        Why AF_XDP does not read it, if it was asked for; else empty.
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
        ring_bytes: int = 0,
        snap_bytes: int = DEFAULT_SNAP_BYTES,
        promiscuous: bool = True,
        method: Literal["packet", "xdp"] = "packet",
    ) -> None:
        if not 1 <= n_rings <= MAX_RINGS:
            raise CaptureError(f"{name}: {n_rings} rings: give 1 to {MAX_RINGS}")
        if not 0 <= ring_bytes <= MAX_RING_BYTES:
            raise CaptureError(f"{name}: a ring of {ring_bytes:,} bytes: give 0 to {MAX_RING_BYTES:,}")
        self.name = name
        self.link_type, is_loopback = _link(name)
        self.notice = ""
        self._lost_before = _interface_losses(name)
        xdp = self._xdp(n_rings, ring_bytes, promiscuous, is_loopback) if method == "xdp" else None
        try:
            self._rings: afpacket.PacketRings | afxdp.XdpRings = xdp or afpacket.PacketRings(
                name,
                self.link_type,
                n_rings,
                ring_bytes or afpacket.DEFAULT_RING_BYTES,
                snap_bytes,
                promiscuous,
                is_loopback,
            )
        except OSError as error:
            raise CaptureError(f"{name}: {_refusal(error)}") from None
        self.rings, self.method = self._rings.rings, self._rings.method

    def _xdp(
        self, n_rings: int, ring_bytes: int, promiscuous: bool, is_loopback: bool
    ) -> afxdp.XdpRings | None:
        """Try AF_XDP; None, and a notice, where it cannot be."""
        try:
            if is_loopback:
                raise OSError(0, "what is taken from loopback arrives nowhere")
            ring_bytes = ring_bytes or afxdp.DEFAULT_RING_BYTES
            return afxdp.XdpRings(self.name, self.link_type, n_rings, ring_bytes, promiscuous)
        except OSError as error:
            self.notice = f"{self.name}: AF_PACKET reads it, AF_XDP cannot: {error.strerror}"
            return None

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

    def is_up(self) -> bool:
        """Whether packets can still come."""
        try:
            return bool(_ask(self.name, _SIOCGIFFLAGS) & _IFF_UP)
        except OSError:
            return False

    def failure(self) -> str:
        """Say why none can."""
        is_there = self.name in (name for _, name in socket.if_nameindex())
        return "went down" if is_there else "was removed"

    def stop(self) -> None:
        """Let no more packets in; those in the rings can be taken, the last of them `RETIRE_MS` from now."""
        self._rings.stop()

    def ring_counts(self, ring: int) -> tuple[int, int]:
        """Packets that came for a ring by the kernel's count, and how many of them found it full."""
        return self._rings.counts(ring)

    def counters(self) -> dict[str, int]:
        """Return what the kernel counted of this interface since reading began.

        Returns
        -------
        dict
            ``kernel_received``: packets that came; ``kernel_dropped``: those of them that found their ring
            full; ``interface_dropped``: what the interface itself lost before, whoever was to have it.
        """
        counts = [self.ring_counts(ring) for ring in range(len(self.rings))]
        return {
            "kernel_received": sum(received for received, _ in counts),
            "kernel_dropped": sum(dropped for _, dropped in counts),
            "interface_dropped": max(_interface_losses(self.name) - self._lost_before, 0),
        }

    def close(self) -> None:
        """Give the rings back to the kernel; no thread may be reading them."""
        self._rings.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ask(name: str, request: int) -> int:
    """Return what the kernel has for an interface: its flags, or its hardware type."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, request, struct.pack("16s24x", os.fsencode(name)[:15]))
    return int(struct.unpack_from("H", answer, 16)[0])


def _link(name: str) -> tuple[int, bool]:
    """Return an interface's link type and whether it is loopback; it must be up."""
    try:
        socket.if_nametoindex(name)
        flags, kind = _ask(name, _SIOCGIFFLAGS), _ask(name, _SIOCGIFHWADDR)
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


def _refusal(error: OSError) -> str:
    """Say why an interface that is there cannot be read, and what to do."""
    if isinstance(error, PermissionError):
        return "reading an interface needs root or CAP_NET_RAW: run it with sudo"
    if error.errno == errno.ENOMEM:
        return "no memory for its rings: ask for smaller ones"
    return f"cannot be read ({error.strerror or error})"


def _interface_losses(name: str) -> int:
    """Packets that an interface received and lost, by its own count; 0 where it is gone."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        label, _, counts = line.partition(":")
        if label.strip() == name:
            return int(counts.split()[3])
    return 0
