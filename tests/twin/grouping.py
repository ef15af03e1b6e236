"""Packets by flow: the key, the two timeouts, and where the later pieces of a datagram belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .capfile import Frame
from .decoder import decode
from .packet import Datagram, Packet, Piece, Status, Unsound
from .rules import MAX_NS


class End(IntEnum):
    """Why a flow was handed out (``enum qoe_end_reason``)."""

    LIVE = 0
    IDLE_TIMEOUT = 1
    ACTIVE_TIMEOUT = 2
    FLUSHED = 4


class Seen(NamedTuple):
    """One packet of a flow."""

    packet: Packet
    way: int  # 0 forward, 1 reverse
    ts_ns: int
    wire_len: int


@dataclass
class Flow:
    """All packets of one flow, in the order of the capture."""

    flow_id: int
    seen: list[Seen] = field(default_factory=list)
    last_ns: int = 0
    newest: int = -1  # where its last packet stands among those of all flows
    ends: frozenset[End] = frozenset({End.LIVE})  # why it ended; of several reasons any is right

    @property
    def lives(self) -> bool:
        """Whether it has not ended yet."""
        return End.LIVE in self.ends


def key(p: Packet) -> tuple[object, ...]:
    """What all packets of a flow share, in both directions."""
    return p.version, p.protocol, p.context, frozenset({(p.src, p.src_port), (p.dst, p.dst_port)})


@dataclass
class Table:
    """Flows by the packet.

    A flow ends when the clock, which is the newest packet's time, is beyond its timeouts: at the latest
    with its own next packet, at the earliest with any packet before that. Which of these it is, is the
    kernel's business. It changes nothing but the reason, unless the clock runs back: then a flow may be over
    by one packet's time and not by a later one's, and `is_determined` says no.
    """

    idle_timeout_ns: int
    active_timeout_ns: int
    flows: list[Flow] = field(default_factory=list)
    live: dict[tuple[object, ...], Flow] = field(default_factory=dict)
    pieces: dict[Datagram, tuple[Flow, int]] = field(default_factory=dict)
    times_ns: list[int] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    is_determined: bool = True

    def take(self, frame: Frame) -> None:
        """Decode a frame and give it to its flow."""
        self.counters["packets"] += 1
        self.counters["bytes"] += frame.wire_len
        self.counters["zero_length"] += not frame.data
        try:
            packet, status = decode(frame.data, frame.wire_len, frame.link_type), Status.FLOW
        except Unsound as reason:
            packet, status = None, reason.status
        self.counters[f"packets_{_STATUS_NAMES[status]}"] += 1
        if packet is None:
            return
        self.counters["clock_back"] += bool(self.times_ns) and frame.ts_ns < self.times_ns[-1]
        flow, way = self._find(packet, frame.ts_ns)
        for datagram in (packet.datagram if packet.piece == Piece.FIRST else None, packet.carrier):
            if datagram is not None:
                self.pieces[datagram] = flow, way
        flow.seen.append(Seen(packet, way, frame.ts_ns, frame.wire_len))
        flow.last_ns = max(flow.last_ns, frame.ts_ns)
        flow.newest = len(self.times_ns)
        self.times_ns.append(frame.ts_ns)

    def _find(self, packet: Packet, ts_ns: int) -> tuple[Flow, int]:
        """The flow of a packet, and its direction there."""
        if packet.piece == Piece.LATER and packet.datagram is not None:
            self.counters["fragments"] += 1
            flow, way = self.pieces.get(packet.datagram, (None, 0))
            if flow is not None and flow.lives:  # whatever the time: a datagram is not split between flows
                self.is_determined &= not self._reasons_since(flow)
                return flow, way
            self.counters["fragments_unmatched"] += 1
        flow = self.live.get(key(packet))
        if flow is not None:
            reason = self._reason(flow, ts_ns)
            if reason == End.LIVE:
                if self.counters["clock_back"]:
                    self.is_determined &= not self._reasons_since(flow)
                first = flow.seen[0].packet
                is_forward = (packet.src, packet.src_port) == (first.src, first.src_port)
                return flow, 0 if is_forward else 1
            flow.ends = self._reasons_since(flow) | {reason}
        return self._begin(packet), 0

    def _begin(self, packet: Packet) -> Flow:
        flow = Flow(len(self.flows) + 1)
        self.flows.append(flow)
        self.live[key(packet)] = flow
        return flow

    def _reason(self, flow: Flow, now_ns: int) -> End:
        """Why a flow is over at a time; it is also when the clock fell back far behind it."""
        if self.idle_timeout_ns and abs(now_ns - flow.last_ns) > self.idle_timeout_ns:
            return End.IDLE_TIMEOUT
        if self.active_timeout_ns and now_ns - flow.seen[0].ts_ns > self.active_timeout_ns:
            return End.ACTIVE_TIMEOUT
        return End.LIVE

    def _reasons_since(self, flow: Flow) -> frozenset[End]:
        """Why a flow was over at the times of the packets since its last."""
        return self._reasons(flow, np.array(self.times_ns[flow.newest + 1 :], np.int64))

    def _reasons(self, flow: Flow, times_ns: npt.NDArray[np.int64]) -> frozenset[End]:
        """Why a flow was over at any of these times, as `_reason` has it."""
        is_idle = abs(times_ns - flow.last_ns) > (self.idle_timeout_ns or MAX_NS)
        is_old = times_ns - flow.seen[0].ts_ns > (self.active_timeout_ns or MAX_NS)
        found = {End.IDLE_TIMEOUT: is_idle.any(), End.ACTIVE_TIMEOUT: (is_old & ~is_idle).any()}
        return frozenset(reason for reason, is_so in found.items() if is_so)

    def finish(self) -> None:
        """End what still lives."""
        times_ns = np.array(self.times_ns, np.int64)
        for flow in self.live.values():
            flow.ends = self._reasons(flow, times_ns[flow.newest + 1 :]) | {End.FLUSHED}


def group(frames: Iterable[Frame], idle_timeout_ns: int, active_timeout_ns: int) -> Table:
    """All flows of a capture, in the order of their first packets."""
    table = Table(idle_timeout_ns, active_timeout_ns)
    for frame in frames:
        table.take(frame)
    table.finish()
    return table


_STATUS_NAMES = (
    *("flow", "not_ip", "truncated", "bad_link", "bad_tunnel", "bad_ipv4", "bad_ipv6", "too_deep"),
    "unknown_link_type",
)
