"""The congested cell: two queues, the way beyond, and the probe beside them.

A discrete-event model. Each direction is one server of fixed capacity with a finite queue for every
subscriber, served by deficit round robin (Shreedhar and Varghese, 1996): the packet-level twin of a
proportional-fair scheduler whose users all have the same weight. A subscriber's applications share that
subscriber's queue, first in, first out.

The probe is at the subscribers' side of the cell: it sees an uplink packet before the cell's queue and a
downlink packet after it. So the delay and loss of the downlink show in what it records (gaps in RTP
sequence numbers, retransmissions), and those of the uplink show as a far end would report them (RTCP).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from qoe.tools.dice import Dice
from qoe.tools.events import MS, SECOND, Loop
from qoe.tools.packets import UDP, Columns

_QUANTUM_BYTES: Final = 1500


@dataclass(slots=True)
class Subscriber:
    """Who is served, and what the cell did to the packets: `lost` and `sent` hold (down, up).

    `address` is IPv4 and `address6` IPv6, packed; `efficiency_bps` is the rate it would get alone,
    downlink, 0 for the whole capacity; `radio` decides for each downlink packet whether the air loses it;
    `air_ns` is the way from the probe to the application.
    """

    index: int
    name: str
    tier: str
    address: bytes
    address6: bytes = b""
    efficiency_bps: int = 0
    radio: Callable[[], bool] | None = None
    air_ns: int = 4 * MS
    sent: list[int] = field(default_factory=lambda: [0, 0])
    lost: list[int] = field(default_factory=lambda: [0, 0])
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def note(self, kind: str, **what: Any) -> dict[str, Any]:
        """Keep one event of the truth and return it, to be completed later."""
        self.events.setdefault(kind, []).append(what)
        return what


@dataclass(slots=True)
class Flow:
    """One 5-tuple as the subscriber sees it, with its label; `core_ns` is the way beyond the cell."""

    index: int
    subscriber: Subscriber
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    protocol: int
    app_class: str
    app: str
    core_ns: int
    tos: int = 0
    ip_id: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def version(self) -> int:
        """IP version."""
        return 4 if len(self.local) == 4 else 6

    @property
    def header_bytes(self) -> int:
        """IP and UDP header, or IP and TCP header without options."""
        return (20 if self.version == 4 else 40) + (8 if self.protocol == UDP else 20)


@dataclass(slots=True)
class Packet:
    """One packet on its way; `prefix` is what the probe keeps of the payload."""

    flow: Flow
    up: bool
    payload_bytes: int
    prefix: bytes
    seq: int = 0
    ack: int = 0
    tcp_flags: int = 0
    window: int = 0
    options: bytes = b""
    sent_ns: int = 0

    @property
    def size(self) -> int:
        """Bytes of the IP packet."""
        return self.flow.header_bytes + len(self.options) + self.payload_bytes


Deliver: TypeAlias = Callable[[Packet], None]


class Queue:
    """One direction of the cell.

    Parameters
    ----------
    loop : Loop
        The clock.
    capacity_bps : int
        Bits of IP packets a second.
    buffer_bytes : int
        Room of each subscriber's queue; what does not fit is lost.
    leave : callable
        Called with packet and receiver when the last bit has been sent.
    use_efficiency : bool
        Serve a subscriber no faster than `efficiency_bps`.
    """

    def __init__(
        self,
        loop: Loop,
        capacity_bps: int,
        buffer_bytes: int,
        leave: Callable[[Packet, Deliver], None],
        use_efficiency: bool = False,
    ) -> None:
        self._loop = loop
        self._capacity_bps = capacity_bps
        self._buffer_bytes = buffer_bytes
        self._leave = leave
        self._use_efficiency = use_efficiency
        self._waiting: dict[int, deque[tuple[Packet, Deliver]]] = {}
        self._backlog: dict[int, int] = {}
        self._deficit: dict[int, int] = {}
        self._active: deque[int] = deque()
        self._busy = False

    def push(self, packet: Packet, deliver: Deliver) -> bool:
        """Queue a packet; False if there was no room."""
        key = packet.flow.subscriber.index
        backlog = self._backlog.get(key, 0)
        if backlog + packet.size > self._buffer_bytes:
            return False
        queue = self._waiting.setdefault(key, deque())
        if not queue:
            self._active.append(key)
            self._deficit[key] = 0
        queue.append((packet, deliver))
        self._backlog[key] = backlog + packet.size
        if not self._busy:
            self._serve()
        return True

    def _serve(self) -> None:
        packet, deliver = self._take()
        self._busy = True
        efficiency = packet.flow.subscriber.efficiency_bps if self._use_efficiency else 0
        rate_bps = min(self._capacity_bps, efficiency or self._capacity_bps)

        def sent() -> None:
            self._busy = False
            self._leave(packet, deliver)
            if self._active and not self._busy:
                self._serve()

        self._loop.after(-(-packet.size * 8 * SECOND // rate_bps), sent)

    def _take(self) -> tuple[Packet, Deliver]:
        """Next packet by deficit round robin."""
        while True:
            key = self._active[0]
            queue = self._waiting[key]
            size = queue[0][0].size
            if size <= self._deficit[key]:
                self._deficit[key] -= size
                self._backlog[key] -= size
                item = queue.popleft()
                if not queue:
                    self._active.popleft()
                return item
            self._active.rotate(-1)
            self._deficit[self._active[0]] += _QUANTUM_BYTES


class Network:
    """Subscribers, the cell's two queues, the way beyond, and the probe's tape.

    Parameters
    ----------
    capacity_down_bps, capacity_up_bps : int
        The cell.
    buffer_down_bytes, buffer_up_bytes : int
        Room for each subscriber.
    dice : Dice
        Ports, sequence numbers and payload bytes are drawn from it.
    """

    def __init__(
        self,
        capacity_down_bps: int,
        capacity_up_bps: int,
        buffer_down_bytes: int,
        buffer_up_bytes: int,
        dice: Dice,
    ) -> None:
        self.loop = Loop()
        self.dice = dice
        self.flows: list[Flow] = []
        self._tape: list[tuple[int, Packet]] = []
        self._down = Queue(self.loop, capacity_down_bps, buffer_down_bytes, self._leave_down, True)
        self._up = Queue(self.loop, capacity_up_bps, buffer_up_bytes, self._leave_up)
        self._next_port: dict[int, int] = {}

    def flow(
        self,
        subscriber: Subscriber,
        remote: bytes,
        remote_port: int,
        protocol: int,
        label: tuple[str, str],
        core_ns: int,
        *,
        local_port: int = 0,
        tos: int = 0,
    ) -> Flow:
        """Open a flow of a subscriber; `label` is its class and application."""
        local = subscriber.address if len(remote) == 4 else subscriber.address6
        port = self._next_port.setdefault(subscriber.index, self.dice.integer(32_768, 50_000))
        self._next_port[subscriber.index] = port + self.dice.integer(1, 9)
        flow = Flow(
            len(self.flows),
            subscriber,
            local,
            remote,
            local_port or port,
            remote_port,
            protocol,
            *label,
            core_ns,
            tos,
            [self.dice.integer(0, 65_536), self.dice.integer(0, 65_536)],
        )
        self.flows.append(flow)
        return flow

    def send(self, packet: Packet, deliver: Deliver, extra_ns: int = 0) -> None:
        """Send a packet from its sender; `extra_ns` delays it before it comes to the cell."""
        subscriber = packet.flow.subscriber
        packet.sent_ns = self.loop.now_ns

        def arrive() -> None:
            subscriber.sent[packet.up] += 1
            if packet.up:
                self._tape.append((self.loop.now_ns, packet))
            if not (self._up if packet.up else self._down).push(packet, deliver):
                subscriber.lost[packet.up] += 1

        delay_ns = extra_ns + (0 if packet.up else packet.flow.core_ns)
        if delay_ns:
            self.loop.after(delay_ns, arrive)
        else:
            arrive()

    def _leave_down(self, packet: Packet, deliver: Deliver) -> None:
        subscriber = packet.flow.subscriber
        if subscriber.radio is not None and subscriber.radio():
            subscriber.lost[0] += 1
            return
        self._tape.append((self.loop.now_ns, packet))
        self.loop.after(subscriber.air_ns, lambda: deliver(packet))

    def _leave_up(self, packet: Packet, deliver: Deliver) -> None:
        self.loop.after(packet.flow.core_ns, lambda: deliver(packet))

    def columns(self, start_ns: int) -> Columns:
        """Return what the probe recorded, from a start of time on."""
        tape = self._tape
        packets = [packet for _, packet in tape]
        ends = [(p.flow.local, p.flow.remote) if p.up else (p.flow.remote, p.flow.local) for p in packets]
        ports = [(p.flow.local_port, p.flow.remote_port)[:: 1 if p.up else -1] for p in packets]
        return Columns.of(
            len(tape),
            ts_ns=[start_ns + ts for ts, _ in tape],
            src=_matrix([src for src, _ in ends], 16),
            dst=_matrix([dst for _, dst in ends], 16),
            version=[p.flow.version for p in packets],
            protocol=[p.flow.protocol for p in packets],
            ttl=[64 if p.up else 50 + p.flow.index % 8 for p in packets],
            tos=[p.flow.tos for p in packets],
            ip_id=[_next_id(p) for p in packets],
            sport=[sport for sport, _ in ports],
            dport=[dport for _, dport in ports],
            window=[p.window for p in packets],
            seq=[p.seq for p in packets],
            ack=[p.ack for p in packets],
            tcp_flags=[p.tcp_flags for p in packets],
            n_options=[len(p.options) for p in packets],
            n_prefix=[len(p.prefix) for p in packets],
            options=_matrix([p.options for p in packets], 40),
            payload_bytes=[p.payload_bytes for p in packets],
            prefix=_matrix([p.prefix for p in packets], max((len(p.prefix) for p in packets), default=0)),
        )

    def counts(self) -> dict[int, dict[str, int]]:
        """Return for each flow that was recorded its packets and bytes up and down."""
        counts: dict[int, dict[str, int]] = {}
        for _, packet in self._tape:
            row = counts.setdefault(
                packet.flow.index, {"packets_up": 0, "packets_down": 0, "bytes_up": 0, "bytes_down": 0}
            )
            way = "up" if packet.up else "down"
            row[f"packets_{way}"] += 1
            row[f"bytes_{way}"] += packet.size
        return counts


def _matrix(rows: list[bytes], width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Byte strings as rows of equal width, zeros after their end."""
    padded = b"".join(row.ljust(width, b"\0") for row in rows)
    return np.frombuffer(padded, np.uint8).reshape(len(rows), width)


def _next_id(packet: Packet) -> int:
    """Count a sender's IPv4 identification up."""
    packet.flow.ip_id[packet.up] = (packet.flow.ip_id[packet.up] + 1) & 0xFFFF
    return packet.flow.ip_id[packet.up]
