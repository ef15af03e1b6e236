"""Traffic of all classes by the million, for benchmarks.

Frames leave as they are made: flows are made in order of their start, and a packet is written once no
later flow can come before it. So memory grows with the flows (some dozen bytes each) and with what is
under way, not with the packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.errors import ConfigError
from qoe.tools.dice import Dice
from qoe.tools.mixkinds import (
    ACK,
    FIN_ACK,
    KINDS,
    PSH_ACK,
    QUIC,
    QUIC_INITIAL_BYTES,
    SYN,
    SYN_ACK,
    TLS,
    BoolArray,
    FloatArray,
    IntArray,
    Pool,
    U8Array,
    columns,
    of_kind,
)
from qoe.tools.packets import ETHERNET, TCP, Batch, build

_CHUNK_PACKETS: Final = 131_072
_PIECE_PACKETS: Final = 16_384
_MEAN_RATE_PPS: Final = 25_000
_MIN_DURATION_NS: Final = 10_000_000_000
_N_QUANTILES: Final = 13


@dataclass(frozen=True, slots=True)
class _Flows:
    """Constants of flows, one row a flow, in order of start; the capture ends at `end_ns`."""

    kind: IntArray
    n_packets: IntArray
    start_ns: IntArray
    end_ns: int


def mix(
    packets: int = 2_500_000, flows: int = 200_000, seed: int = 1, snap_bytes: int = 0
) -> Iterator[Batch]:
    """Yield a mix of all classes in order of time: Ethernet, 12 % IPv6, 5 % in a VLAN.

    Parameters
    ----------
    packets, flows : int
        How many, exactly; at least one packet a flow.
    seed : int
        Of all random numbers.
    snap_bytes : int
        Captured bytes a frame at most; 0 captures whole frames.

    Raises
    ------
    ConfigError
        If there are more flows than packets, or no flow.
    """
    if not 0 < flows <= packets:
        raise ConfigError(f"{flows} flows in {packets} packets: give 1 flow or more, and a packet to each")
    dice = Dice(seed, 10)
    table = _draw_flows(dice, packets, flows)
    before = np.cumsum(table.n_packets) - table.n_packets
    cuts = np.unique(np.searchsorted(before, np.arange(0, packets, _CHUNK_PACKETS)))
    bounds = [*cuts[cuts < flows].tolist(), flows]
    pool: Pool | None = None
    for low, high in pairwise(bounds):
        made = _make(dice, table, np.arange(low, high))
        pool = pool.with_more(made) if pool else made
        is_due = pool.ts_ns < table.start_ns[high] if high < flows else np.ones(len(pool.ts_ns), np.bool_)
        due = pool.rows(np.flatnonzero(is_due))
        pool = pool.rows(np.flatnonzero(~is_due))
        order = np.argsort(due.ts_ns, kind="stable")
        for start in range(0, len(order), _PIECE_PACKETS):
            piece = due.rows(order[start : start + _PIECE_PACKETS])
            yield build(columns(dice, piece, flows), ETHERNET, snap_bytes)


def _draw_flows(dice: Dice, packets: int, flows: int) -> _Flows:
    """Draw kinds, lengths that add up, and starts."""
    duration_ns = max(packets * 1_000_000_000 // _MEAN_RATE_PPS, _MIN_DURATION_NS)
    edges = np.cumsum(of_kind("share"))
    kind = np.minimum(np.searchsorted(edges, dice.randoms(flows), "right"), len(KINDS) - 1)
    drawn = np.ones(flows)
    for number, of in enumerate(KINDS):
        which = np.flatnonzero(kind == number)
        drawn[which] = dice.quantiles(of.packets, len(which))
    start_ns = np.sort((dice.randoms(flows) * (0.97 * duration_ns)).astype(np.int64))
    return _Flows(kind, _lengths(drawn, packets), start_ns, duration_ns)


def _lengths(drawn: FloatArray, total: int) -> IntArray:
    """Scale drawn lengths to whole numbers of 1 and more that add up to a total.

    Flows of fewer than five packets keep their lengths where the others can take up the difference.
    """
    extra = np.maximum(drawn - 1, 1e-9)
    keep = (drawn < 5) & (len(drawn) * 5 < total)
    spare = total - len(drawn) - int(extra[keep].astype(np.int64).sum())
    scale = np.where(keep, 1.0, spare / max(float(extra[~keep].sum()), 1e-9))
    lengths: IntArray = 1 + (extra * scale).astype(np.int64)
    share, rest = divmod(total - int(lengths.sum()), len(lengths))
    lengths += share
    lengths[np.argsort(-lengths, kind="stable")[:rest]] += 1
    return lengths


def _table(column: str) -> FloatArray:
    """One distribution of each kind as a row of a matrix, resampled to as many points."""
    steps = np.arange(_N_QUANTILES)
    rows = [np.asarray(getattr(kind, column), np.float64) for kind in KINDS]
    return np.stack([row[(steps * (len(row) - 1) + _N_QUANTILES // 2) // (_N_QUANTILES - 1)] for row in rows])


def _draw(dice: Dice, column: str, kind: IntArray) -> IntArray:
    """Draw one number a row by the quantiles of its kind, in thousandths."""
    table = _table(column)
    where = dice.randoms(len(kind)) * (_N_QUANTILES - 1)
    below = where.astype(np.int64)
    low = table[kind, below]
    step = (table[kind, below + 1] - low) * (where - below)
    return ((low + step) * 1000.0).astype(np.int64)


def _make(dice: Dice, table: _Flows, flows: npt.NDArray[np.intp]) -> Pool:
    """Make all packets of some flows, flow after flow."""
    lengths = table.n_packets[flows]
    firsts = np.cumsum(lengths) - lengths
    flow = np.repeat(flows, lengths)
    index = np.arange(len(flow)) - np.repeat(firsts, lengths)
    kind = table.kind[flow]
    is_tcp = of_kind("protocol")[kind] == TCP
    down = _directions(dice, index, kind, is_tcp)
    flags = _flags(is_tcp, index, np.repeat(lengths, lengths), down)
    payload = np.where(down, _draw(dice, "down_bytes", kind), _draw(dice, "up_bytes", kind)) // 1000
    opening = of_kind("opening")[kind]
    payload = np.where((opening == TLS) & (index == 3), 517, payload)
    payload = np.where((opening == QUIC) & (index < 2), QUIC_INITIAL_BYTES, payload)
    payload[is_tcp & ((index < 3) | (flags == FIN_ACK))] = 0
    flags[(flags == ACK) & (payload > 0)] = PSH_ACK
    ts_ns = _times(dice, table, flows, firsts, kind)
    seq, ack = _sequence(payload + ((flags & (SYN | 0x01)) > 0), down, firsts, lengths)
    return Pool(ts_ns, flow, index, kind, down, payload, flags, seq, ack)


def _directions(dice: Dice, index: IntArray, kind: IntArray, is_tcp: BoolArray) -> BoolArray:
    """Return which packets go down: the first up, the second down, the handshake's as it must."""
    by_chance = dice.randoms(len(kind)) < of_kind("down")[kind]
    answers = (of_kind("name")[kind] == "dns") & (index % 2 == 1)
    down: BoolArray = np.where(index < 2, index == 1, by_chance & ~(is_tcp & (index < 4)))
    dns = of_kind("name")[kind] == "dns"
    down[dns] = answers[dns]
    return down


def _flags(is_tcp: BoolArray, index: IntArray, length: IntArray, down: BoolArray) -> U8Array:
    """TCP flags: handshake, data, and where a flow is long enough a FIN up, then one down (in `down`)."""
    flags = np.where(is_tcp, ACK, 0).astype(np.uint8)
    flags[is_tcp & (index == 0)] = SYN
    flags[is_tcp & (index == 1)] = SYN_ACK
    closing = is_tcp & (length >= 8) & (index >= length - 2)
    down[closing] = (index == length - 1)[closing]
    flags[closing] = FIN_ACK
    return flags


def _times(dice: Dice, table: _Flows, flows: IntArray, firsts: IntArray, kind: IntArray) -> IntArray:
    """Return times of packets: drawn gaps, squeezed where a flow would outlast the capture."""
    lengths, start = table.n_packets[flows], table.start_ns[flows]
    gaps_ns = _draw(dice, "gaps_ms", kind) * 1000
    gaps_ns[firsts] = 0
    since = np.cumsum(gaps_ns)
    since -= np.repeat(since[firsts], lengths)
    room = np.minimum((table.end_ns - start) / np.maximum(since[firsts + lengths - 1], 1), 1.0)
    times: IntArray = np.repeat(start, lengths) + (since * np.repeat(room, lengths)).astype(np.int64)
    return times


def _sequence(
    advance: IntArray, down: BoolArray, firsts: IntArray, lengths: IntArray
) -> tuple[IntArray, IntArray]:
    """Sequence and acknowledgement numbers, from 0: what each side has sent before."""
    sent = []
    for way in (~down, down):
        total = np.cumsum(advance * way) - advance * way
        sent.append(total - np.repeat(total[firsts], lengths))
    up, back = sent
    return np.where(down, back, up), np.where(down, up, back)
