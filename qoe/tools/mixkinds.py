"""The kinds of flows in ``mix``, and what their packets look like as frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qoe.tools.busycell import START_NS
from qoe.tools.dice import Dice
from qoe.tools.packets import TCP, UDP, Columns

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
U8Array = npt.NDArray[np.uint8]

_PREFIX_BYTES: Final = 48
SYN, SYN_ACK, ACK, PSH_ACK, FIN_ACK = 0x02, 0x12, 0x10, 0x18, 0x11
TLS, QUIC, DNS, RTP, PLAIN = range(5)
QUIC_INITIAL_BYTES: Final = 1250


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of flow.

    Attributes
    ----------
    name : str
        For people.
    share : float
        Of all flows.
    protocol, port : int
        Transport and the server's port.
    opening : int
        How payloads begin: TLS, QUIC, DNS, RTP or PLAIN.
    down : float
        Probability that a packet goes down.
    packets, gaps_ms, up_bytes, down_bytes : sequence of float
        Packets a flow, gaps between them and payload bytes, as quantiles at equal steps of probability.
    """

    name: str
    share: float
    protocol: int
    port: int
    opening: int
    down: float
    packets: Sequence[float]
    gaps_ms: Sequence[float]
    up_bytes: Sequence[float]
    down_bytes: Sequence[float]


_WEB_MS: Final = (0.05, 0.2, 0.5, 1, 5, 12, 20, 30, 60, 200, 6000)
_CHUNK_MS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.4, 1, 2, 5, 30, 2500)
_BULK_MS: Final = (0.01, 0.02, 0.05, 0.08, 0.1, 0.12, 0.3, 1, 30)
_WEB_LENGTHS: Final = (4, 8, 10, 12, 14, 17, 20, 26, 36, 60, 700)
_CHUNK_LENGTHS: Final = (30, 60, 90, 120, 150, 200, 300, 450, 800, 6000)
_BULK_LENGTHS: Final = (6, 10, 16, 30, 60, 120, 300, 20_000)
_ACKS: Final = (0, 0, 0, 0, 0, 420)
_FULL: Final = (1448, 1448)

KINDS: Final = (
    Kind("dns", 0.40, UDP, 53, DNS, 0.5, (2, 2, 2, 2, 2, 4), (4, 12, 20, 35, 80), (31, 31), (47, 47)),
    Kind(
        "web", 0.34, TCP, 443, TLS, 0.55, _WEB_LENGTHS, _WEB_MS, (0, 0, 0, 0, 80, 500), (0, 300, 1000, *_FULL)
    ),
    Kind("video", 0.04, TCP, 443, TLS, 0.68, _CHUNK_LENGTHS, _CHUNK_MS, _ACKS, _FULL),
    Kind(
        "video-quic",
        0.03,
        UDP,
        443,
        QUIC,
        0.8,
        _CHUNK_LENGTHS,
        _CHUNK_MS,
        (33, 34, 35, 40, 80, 420),
        (400, 1229, 1229, 1229),
    ),
    Kind(
        "voip",
        0.02,
        UDP,
        16_384,
        RTP,
        0.5,
        (40, 100, 400, 3000),
        (9, 9.8, 10, 10.2, 11),
        (172, 172),
        (172, 172),
    ),
    Kind(
        "gaming",
        0.02,
        UDP,
        27_015,
        PLAIN,
        0.5,
        (10, 60, 200, 500, 3000),
        (2, 8, 16, 24, 32, 50),
        (30, 40, 48, 60),
        (60, 110, 180, 420),
    ),
    Kind("bulk", 0.05, TCP, 443, TLS, 0.7, _BULK_LENGTHS, _BULK_MS, (0, 0, 0, 0, 0, 0, 200), _FULL),
    Kind(
        "telemetry",
        0.10,
        TCP,
        8883,
        TLS,
        0.5,
        (1, 2, 4, 6, 8, 20),
        (1, 20, 200, 1000, 9000),
        (0, 40, 120),
        (0, 30, 90),
    ),
)


def of_kind(column: str) -> npt.NDArray[Any]:
    """Return one scalar attribute of all kinds, as an array to index by kind."""
    return np.array([getattr(kind, column) for kind in KINDS])


@dataclass(slots=True)
class Pool:
    """Packets of flows, one row a packet.

    Attributes
    ----------
    ts_ns : ndarray of int64, shape (n,)
        Since the start of the capture.
    flow, index, kind : ndarray of int64, shape (n,)
        Number of the flow, of the packet within it, and of its kind.
    down : ndarray of bool, shape (n,)
        To the subscriber.
    payload_bytes, seq, ack : ndarray of int64, shape (n,)
        Sequence numbers count from 0.
    flags : ndarray of uint8, shape (n,)
        TCP flags.
    """

    ts_ns: IntArray
    flow: IntArray
    index: IntArray
    kind: IntArray
    down: BoolArray
    payload_bytes: IntArray
    flags: U8Array
    seq: IntArray
    ack: IntArray

    def rows(self, which: npt.NDArray[np.intp]) -> Pool:
        """Return some of the packets."""
        return Pool(*(getattr(self, field.name)[which] for field in fields(self)))

    def with_more(self, more: Pool) -> Pool:
        """Return these packets and more."""
        return Pool(*(np.concatenate((getattr(self, f.name), getattr(more, f.name))) for f in fields(self)))


def mixed(values: IntArray, salt: int) -> IntArray:
    """Return 32 well-mixed bits of each value (the finaliser of SplitMix64)."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15 * (salt + 1) & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) & np.uint64(0xFFFFFFFF)).astype(np.int64)


def columns(dice: Dice, packets: Pool, n_flows: int) -> Columns:
    """Return the header fields of packets."""
    n, down = len(packets.ts_ns), packets.down
    is_tcp = of_kind("protocol")[packets.kind] == TCP
    local, remote, local_port, is_six = _endpoints(packets.flow, n_flows)
    remote_port = of_kind("port")[packets.kind]
    isn_up, isn_down = mixed(packets.flow, 2), mixed(packets.flow, 3)
    ack = (packets.ack + np.where(down, isn_up, isn_down)) & 0xFFFFFFFF
    options = _options(packets, is_tcp)
    prefix, n_prefix = _prefix(dice, packets)
    return Columns.of(
        n,
        ts_ns=START_NS + packets.ts_ns,
        src=np.where(down[:, None], remote, local),
        dst=np.where(down[:, None], local, remote),
        version=np.where(is_six, 6, 4),
        protocol=np.where(is_tcp, TCP, UDP),
        ttl=np.where(down, 55, 64),
        ip_id=(mixed(packets.flow, 4) + packets.index) & 0xFFFF,
        sport=np.where(down, remote_port, local_port),
        dport=np.where(down, local_port, remote_port),
        window=np.where(down, 501, 2050),
        vlan=np.where(packets.flow % 20 == 0, 100, 0),
        seq=(packets.seq + np.where(down, isn_down, isn_up)) & 0xFFFFFFFF,
        ack=np.where(packets.flags == SYN, 0, ack),
        tcp_flags=packets.flags,
        n_options=np.where(is_tcp, options.shape[1], 0),
        n_prefix=np.minimum(n_prefix, packets.payload_bytes),
        options=options,
        payload_bytes=packets.payload_bytes,
        prefix=prefix * (np.arange(_PREFIX_BYTES) < packets.payload_bytes[:, None]),
    )


def _endpoints(flow: IntArray, n_flows: int) -> tuple[U8Array, U8Array, IntArray, BoolArray]:
    """Return subscriber and server addresses, subscriber ports, and which flows are IPv6.

    Every subscriber has about 16 flows; IPv4 servers are of the range for benchmarks (RFC 2544).
    """
    n_hosts = max(n_flows // 16, 1)
    host, turn = flow % n_hosts, flow // n_hosts
    is_six = host % 8 == 7
    server = mixed(flow, 1) % 4096
    local, remote = np.zeros((len(flow), 16), np.uint8), np.zeros((len(flow), 16), np.uint8)
    local[:, 0], local[:, 1], local[:, 2], local[:, 3] = 10, host >> 16 & 0xFF, host >> 8 & 0xFF, host & 0xFF
    remote[:, 0], remote[:, 1], remote[:, 2], remote[:, 3] = 198, 18, server >> 8, server & 0xFF
    for address, net in ((local, 1), (remote, 2)):
        address[is_six, 12:16] = address[is_six, :4]
        address[is_six, :5] = (0x20, 0x01, 0x0D, 0xB8, net)
    return local, remote, 32_768 + turn * 7 + host % 7, is_six


def _options(packets: Pool, is_tcp: BoolArray) -> U8Array:
    """MSS, window scale and SACK permitted on SYN; time stamps else."""
    options = np.zeros((len(packets.ts_ns), 12), np.uint8)
    options[is_tcp, :4] = (1, 1, 8, 10)
    stamp = packets.ts_ns // 1_000_000
    big_endian(options, is_tcp, 4, stamp, 4)
    big_endian(options, is_tcp, 8, np.maximum(stamp - 20, 0), 4)
    options[(packets.flags & SYN) > 0] = (2, 4, 0x05, 0xB4, 1, 3, 3, 7, 1, 1, 4, 2)
    return options


def big_endian(octets: U8Array, which: BoolArray, at: int, values: IntArray, n_bytes: int) -> None:
    """Write integers into some rows, from column `at` on."""
    for k in range(n_bytes):
        octets[which, at + k] = values[which] >> 8 * (n_bytes - 1 - k) & 0xFF


def _prefix(dice: Dice, packets: Pool) -> tuple[U8Array, IntArray]:
    """First payload bytes: TLS records, QUIC headers, DNS messages, RTP headers; the rest is random."""
    n, index = len(packets.ts_ns), packets.index
    prefix = np.zeros((n, _PREFIX_BYTES), np.uint8)
    prefix[:, :16] = np.frombuffer(dice.octets(16 * n), np.uint8).reshape(n, 16)
    opening = of_kind("opening")[packets.kind]
    tls = opening == TLS
    prefix[tls & (index == 3), :11] = tuple(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    prefix[tls & (index == 4), :11] = tuple(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
    later = tls & (index > 4)
    prefix[later, :3] = (0x17, 3, 3)
    big_endian(prefix, later, 3, np.maximum(packets.payload_bytes - 5, 0), 2)
    _quic(prefix, packets, opening == QUIC)
    rtp, number = opening == RTP, index // 2
    big_endian(prefix, rtp, 0, (0x80 << 24) + (number & 0xFFFF), 4)
    big_endian(prefix, rtp, 4, 160 * number, 4)
    big_endian(prefix, rtp, 8, mixed(packets.flow, 5) ^ packets.down, 4)
    _dns(prefix, packets, opening == DNS)
    return prefix, np.where(opening == DNS, _PREFIX_BYTES, 18)


def _quic(prefix: U8Array, packets: Pool, which: BoolArray) -> None:
    """Write long headers of version 1 on the first packet each way, short ones after (RFC 9000)."""
    prefix[which, 0] = 0x40 | prefix[which, 0] & 0x1F
    up = which & ~packets.down
    identity = mixed(packets.flow, 9)
    big_endian(prefix, up, 1, identity, 8)
    initial = which & (packets.index < 2)
    prefix[initial, :6] = (0xC3, 0, 0, 0, 1, 8)
    prefix[initial, 14:18] = (0, 0, 0x44, 0xD0)
    big_endian(prefix, initial, 6, identity, 8)
    down = initial & packets.down
    prefix[down, 5:7] = (0, 8)
    big_endian(prefix, down, 7, identity, 8)
    prefix[down, 15:18] = (0, 0x44, 0xD0)


def _dns(prefix: U8Array, packets: Pool, which: BoolArray) -> None:
    """Write a query for one of 65,536 names of ``.example``, or its answer."""
    question = b"\x05wxxxx\x07example\0\0\x01\0\x01"
    query = b"\0\0\x01\0\0\x01\0\0\0\0\0\0" + question
    answer = (
        b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0"
        + question
        + b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc6\x12\0\x01"
    )
    prefix[which] = 0
    prefix[which & ~packets.down, : len(query)] = tuple(query)
    prefix[which & packets.down, : len(answer)] = tuple(answer)
    big_endian(prefix, which, 0, mixed(packets.flow, 6), 2)
    name = mixed(packets.flow, 7)
    for k in range(4):
        prefix[which, 14 + k] = ord("a") + (name[which] >> 4 * k & 15)
