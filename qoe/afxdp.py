"""AF_XDP sockets in copy mode, one a receive queue, and the program that sends packets to them.

Plain system calls: the program is seven instructions, and the kernel removes it with the link that attaches
it, whatever ends this process. What it redirects, the host's own network stack does not see.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import socket
import struct
import threading
from typing import Final

import numpy as np

from qoe.afpacket import promiscuity
from qoe_native.engine import LiveRing

# linux/if_xdp.h, linux/bpf.h, linux/if_link.h, linux/sockios.h, linux/ethtool.h
_AF_XDP: Final = 44
_SOL_XDP: Final = 283
_XDP_MMAP_OFFSETS, _XDP_RX_RING, _XDP_UMEM_REG = 1, 2, 4
_XDP_UMEM_FILL_RING, _XDP_UMEM_COMPLETION_RING, _XDP_STATISTICS = 5, 6, 7
_XDP_UMEM_PGOFF_FILL_RING: Final = 0x100000000
_XDP_COPY: Final = 2
_BPF_MAP_CREATE, _BPF_MAP_UPDATE_ELEM, _BPF_PROG_LOAD, _BPF_LINK_CREATE = 0, 2, 5, 28
_BPF_MAP_TYPE_XSKMAP: Final = 17
_BPF_PROG_TYPE_XDP: Final = 6
_BPF_XDP: Final = 37
_BPF_FUNC_REDIRECT_MAP: Final = 51
_XDP_PASS: Final = 2
_XDP_FLAGS_SKB_MODE, _XDP_FLAGS_DRV_MODE = 2, 4
_RX_QUEUE_INDEX: Final = 16  # offset in struct xdp_md
_SIOCETHTOOL: Final = 0x8946
_SIOCGIFMTU: Final = 0x8921
_ETHTOOL_GCHANNELS: Final = 0x3C
_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280}
_ATTRIBUTE_BYTES: Final = 128

DEFAULT_RING_BYTES: Final = 256 << 20
"""More than of AF_PACKET: each packet takes a whole chunk."""

_CHUNK_BYTES: Final = (2048, 4096)  # the kernel takes no other
_ROOM_BYTES: Final = 256 + 22  # of a chunk, for the kernel's own use and an Ethernet header with two tags
_COMPLETION_PLACES: Final = 64  # never used, but a socket must have them

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attribute: bytes) -> int:
    """bpf(2)."""
    number = _SYS_BPF.get(platform.machine())
    if number is None:
        raise OSError(0, f"bpf(2) is not known on {platform.machine()}")
    memory = ctypes.create_string_buffer(attribute, _ATTRIBUTE_BYTES)
    return _checked(_libc.syscall(number, command, memory, _ATTRIBUTE_BYTES))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, src << 4 | dst, offset, immediate)


class _Redirect:
    """The program on an interface that sends each packet to the socket of its queue."""

    def __init__(self, name: str, n_queues: int) -> None:
        self._index = socket.if_nametoindex(name)
        self._link = -1
        self._map = _bpf(_BPF_MAP_CREATE, struct.pack("=4I", _BPF_MAP_TYPE_XSKMAP, 4, 4, n_queues))
        try:
            self._program = self._load()
        except OSError:
            os.close(self._map)
            raise

    def _load(self) -> int:
        code = b"".join(
            [
                _instruction(0x61, 2, 1, _RX_QUEUE_INDEX),  # r2 = context.rx_queue_index
                _instruction(0x18, 1, 1, 0, self._map) + _instruction(0),  # r1 = the map
                _instruction(0xB7, 3, 0, 0, _XDP_PASS),  # r3 = what to do where it has no socket
                _instruction(0x85, 0, 0, 0, _BPF_FUNC_REDIRECT_MAP),
                _instruction(0x95),  # return
            ]
        )
        text, licence = (
            ctypes.create_string_buffer(code, len(code)),
            ctypes.create_string_buffer(b"Apache-2.0"),
        )
        where = ctypes.addressof(text), ctypes.addressof(licence)
        return _bpf(_BPF_PROG_LOAD, struct.pack("=IIQQ", _BPF_PROG_TYPE_XDP, len(code) // 8, *where))

    def add(self, queue: int, fd: int) -> None:
        """Name the socket of a queue."""
        key, value = ctypes.c_uint32(queue), ctypes.c_uint32(fd)
        where = ctypes.addressof(key), ctypes.addressof(value)
        _bpf(_BPF_MAP_UPDATE_ELEM, struct.pack("=IxxxxQQQ", self._map, *where, 0))

    def attach(self) -> None:
        """Begin, in the driver if it can, else before the stack."""
        target = struct.pack("=3I", self._program, self._index, _BPF_XDP)
        try:
            self._link = _bpf(_BPF_LINK_CREATE, target + struct.pack("=I", _XDP_FLAGS_DRV_MODE))
        except OSError:
            self._link = _bpf(_BPF_LINK_CREATE, target + struct.pack("=I", _XDP_FLAGS_SKB_MODE))

    def detach(self) -> None:
        """End; packets go to the stack again."""
        if self._link >= 0:
            os.close(self._link)
            self._link = -1

    def close(self) -> None:
        """End, and leave nothing."""
        self.detach()
        os.close(self._program)
        os.close(self._map)


class _QueueSocket:
    """One socket: memory for packets, and the rings that say who has which part of it."""

    def __init__(self, name: str, queue: int, n_chunks: int, chunk_bytes: int, link_type: int) -> None:
        self._lock = threading.Lock()
        self._received = self._seen = 0
        self._socket = socket.socket(_AF_XDP, socket.SOCK_RAW, 0)
        try:
            self._memory = mmap.mmap(-1, n_chunks * chunk_bytes)
            memory = np.frombuffer(self._memory, np.uint8)
            area = struct.pack("=QQIIIxxxx", memory.ctypes.data, len(memory), chunk_bytes, 0, 0)
            self._set(_XDP_UMEM_REG, area)
            self._set(_XDP_UMEM_FILL_RING, n_chunks)
            self._set(_XDP_UMEM_COMPLETION_RING, _COMPLETION_PLACES)
            self._set(_XDP_RX_RING, n_chunks)
            rx, _, fill, _ = struct.iter_unpack(
                "=4Q", self._socket.getsockopt(_SOL_XDP, _XDP_MMAP_OFFSETS, 128)
            )
            self._rx_map = self._shared(rx[2] + 16 * n_chunks, 0)
            self._fill_map = self._shared(fill[2] + 8 * n_chunks, _XDP_UMEM_PGOFF_FILL_RING)
            rx_ring, fill_ring = (np.frombuffer(m, np.uint8) for m in (self._rx_map, self._fill_map))
            fill_ring[fill[2] :].view(np.uint64)[:] = np.arange(n_chunks) * chunk_bytes
            fill_ring[fill[0] :][:4].view(np.uint32)[:] = n_chunks
            self._producer = rx_ring[rx[0] :][:4].view(np.uint32)
            offsets = rx[0], rx[1], rx[2], fill[0], fill[2]
            self.ring = LiveRing(memory, self.fd, chunk_bytes, link_type, rx_ring, fill_ring, offsets)
            address = struct.pack("=HHIII", _AF_XDP, _XDP_COPY, socket.if_nametoindex(name), queue, 0)
            _checked(_libc.bind(self.fd, address, len(address)))
        except BaseException:
            self._socket.close()
            raise

    @property
    def fd(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def _set(self, option: int, value: int | bytes) -> None:
        self._socket.setsockopt(_SOL_XDP, option, value)

    def _shared(self, n_bytes: int, offset: int) -> mmap.mmap:
        return mmap.mmap(self.fd, n_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=offset)

    def counts(self) -> tuple[int, int]:
        """See `XdpRings.counts`."""
        with self._lock:
            now = int(self._producer[0])
            self._received += (now - self._seen) % 2**32
            self._seen = now
            told = self._socket.getsockopt(_SOL_XDP, _XDP_STATISTICS, 48)
            dropped, _, _, full, _, _ = struct.unpack("=6Q", told)
            return self._received + dropped + full, dropped + full

    def close(self) -> None:
        """See `XdpRings.close`."""
        self.ring.close()
        self._socket.close()


class XdpRings:
    """Rings of one interface, one for each of its receive queues.

    Parameters
    ----------
    name : str
        The interface.
    link_type : int
        LINKTYPE_ number of what it carries.
    n_rings : int
        How many receive queues it has.
    ring_bytes : int
        Bytes of each ring, rounded up to a power of two.
    promiscuous : bool
        Take what is addressed to others.

    Raises
    ------
    OSError
        The kernel, or the interface, cannot do it.
    """

    method: Final = "xdp"

    def __init__(self, name: str, link_type: int, n_rings: int, ring_bytes: int, promiscuous: bool) -> None:
        chunk_bytes = _chunk_bytes(name, n_rings)
        n_chunks = 1 << max(ring_bytes // chunk_bytes - 1, 63).bit_length()
        self._sockets: list[_QueueSocket] = []
        self._redirect = _Redirect(name, n_rings)
        self._member = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            if promiscuous:
                self._member.setsockopt(263, 1, promiscuity(name))
            for queue in range(n_rings):
                self._sockets.append(_QueueSocket(name, queue, n_chunks, chunk_bytes, link_type))
                self._redirect.add(queue, self._sockets[-1].fd)
            self._redirect.attach()
        except OSError:
            self.close()
            raise
        self.rings = [one.ring for one in self._sockets]

    def counts(self, ring: int) -> tuple[int, int]:
        """Packets that came for a ring, and how many of them found it full or did not fit."""
        return self._sockets[ring].counts()

    def stop(self) -> None:
        """Let no more packets in: they go to the host again."""
        self._redirect.detach()

    def close(self) -> None:
        """Give everything back to the kernel."""
        self._redirect.close()
        for one in self._sockets:
            one.close()
        self._member.close()


def _chunk_bytes(name: str, n_rings: int) -> int:
    """Return how large chunks must be; refuse what would lose packets without a word."""
    request = struct.pack("16si20x", os.fsencode(name), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        (mtu,) = struct.unpack_from("i", fcntl.ioctl(any_socket, _SIOCGIFMTU, request), 16)
        n_queues = _n_queues(name, any_socket)
    if n_queues != n_rings:
        raise OSError(0, f"each of its receive queues needs a shard: give {n_queues}")
    for chunk_bytes in _CHUNK_BYTES:
        if mtu <= chunk_bytes - _ROOM_BYTES:
            return chunk_bytes
    raise OSError(0, f"its MTU of {mtu:,} is above {_CHUNK_BYTES[-1] - _ROOM_BYTES:,}")


def _n_queues(name: str, any_socket: socket.socket) -> int:
    channels = ctypes.create_string_buffer(struct.pack("=9I", _ETHTOOL_GCHANNELS, *[0] * 8))
    try:
        fcntl.ioctl(
            any_socket, _SIOCETHTOOL, struct.pack("16sP16x", os.fsencode(name), ctypes.addressof(channels))
        )
    except OSError:  # it has no such thing as several
        return 1
    _, _, _, _, _, rx, _, _, combined = struct.unpack_from("=9I", channels)
    return int(rx + combined)
