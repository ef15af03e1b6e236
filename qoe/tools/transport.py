"""Reliable streams over the cell: TCP, and QUIC as seen from outside.

One model serves both: selective acknowledgements, loss found by order of sending (RFC 8985 without its
timer), Reno's window with CUBIC's factor of 0.7, a retransmission timer (RFC 6298). A wire format turns
segments into packets. SYN and FIN are bytes of the stream, as TCP's sequence numbers have it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from qoe.tools.cellqueue import Flow, Network, Packet
from qoe.tools.events import MS, SECOND, Signal

FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
_N_DUPLICATES: Final = 3
_MTU: Final = 1500
_RTO_MIN_NS: Final = 200 * MS
_KEPT_BYTES: Final = 8
_QUIC_INITIAL_BYTES: Final = 1200

Ranges: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Segment:
    """A piece of the stream that is not acknowledged yet; `order` counts transmissions."""

    start: int
    length: int
    order: int = 0
    sent_ns: int = 0
    n_sent: int = 0
    sacked: bool = False
    lost: bool = False

    @property
    def end(self) -> int:
        """Offset after the last byte."""
        return self.start + self.length


class Wire(Protocol):
    """How an end's segments look in packets."""

    mss: int
    ack_every: int
    syn: int

    def packet(self, end: End, segment: Segment | None, head: bytes) -> Packet:
        """Return the packet of a segment, or of an acknowledgement alone."""


class End:
    """One end of a connection: a sender and a receiver.

    Parameters
    ----------
    net : Network
        What carries the packets.
    flow : Flow
        The connection.
    up : bool
        True for the subscriber's end.
    wire : Wire
        How its packets look.
    """

    peer: End

    def __init__(self, net: Network, flow: Flow, up: bool, wire: Wire) -> None:
        self.net, self.flow, self.up, self.wire = net, flow, up, wire
        self.isn = net.dice.integer(0, 1 << 32)
        self.written = self.una = self.nxt = 0
        self.fin_at, self.echo = -1, 0
        self.cwnd, self.ssthresh = 10.0 * wire.mss, 1e12
        self._heads: dict[int, bytes] = {}
        self._segments: deque[Segment] = deque()
        self._pipe = self._recover = self._order = self._newest = 0
        self._srtt_ns, self._rttvar_ns, self._rto_ns, self._timer = 0, 0, SECOND, 0
        self.received = self._expected = self._unacked = 0
        self.ranges: list[tuple[int, int]] = []
        self._waiting: deque[tuple[int, Signal]] = deque()
        self._ack_timer = 0

    def write(self, n_bytes: int, head: bytes = b"") -> None:
        """Hand bytes to the sender; `head` is how they begin."""
        self._heads[self.written] = head
        self.written += n_bytes
        self._pump()

    def close(self) -> None:
        """Send FIN after what was written, once."""
        if self.wire.syn and self.fin_at < 0:
            self.fin_at = self.written
            self.write(1)

    def expect(self, n_bytes: int) -> Signal:
        """Return a signal for the next `n_bytes` not spoken for yet."""
        self._expected += n_bytes
        signal = Signal()
        if self.received >= self._expected:
            signal.fire()
        else:
            self._waiting.append((self._expected, signal))
        return signal

    def _pump(self) -> None:
        """Send what the window allows: lost segments first, then new bytes."""
        while True:
            segment = next((s for s in self._segments if s.lost), None) or self._new_segment()
            if segment is None or (self._pipe and self._pipe + segment.length > self.cwnd):
                return
            if not segment.n_sent:
                self._segments.append(segment)
                self.nxt = segment.end
            self._transmit(segment)

    def _new_segment(self) -> Segment | None:
        if self.nxt >= self.written:
            return None
        length = min(self.wire.mss, self.written - self.nxt)
        if self.nxt < self.wire.syn:
            length = self.wire.syn
        elif self.nxt < self.fin_at:
            length = min(length, self.fin_at - self.nxt)
        return Segment(self.nxt, length)

    def _transmit(self, segment: Segment) -> None:
        self._order += 1
        segment.order, segment.sent_ns, segment.lost = self._order, self.net.loop.now_ns, False
        segment.n_sent += 1
        self._pipe += segment.length
        if len(self._segments) == 1 or segment is self._segments[0]:
            self._arm()
        self._emit(segment)

    def _emit(self, segment: Segment | None) -> None:
        """Put a segment or a bare acknowledgement on the wire."""
        head = self._heads.get(segment.start, b"") if segment else b""
        self._unacked = 0
        start, length = (segment.start, segment.length) if segment else (0, 0)
        ack, ranges = self.received, tuple(self.ranges[-3:])
        peer, stamp = self.peer, self.stamp
        packet = self.wire.packet(self, segment, head)
        self.net.send(packet, lambda _: peer.receive(start, length, ack, ranges, stamp))

    @property
    def stamp(self) -> int:
        """Time stamp of now, in ms from an origin of this end's own (RFC 7323)."""
        return (self.isn + self.net.loop.now_ns // MS) & 0xFFFFFFFF

    def receive(self, start: int, length: int, ack: int, ranges: Ranges, stamp: int) -> None:
        """Take one packet of the peer."""
        self.echo = stamp
        self._on_ack(ack, ranges)
        if length:
            self._on_data(start, start + length)

    def _on_ack(self, ack: int, ranges: Ranges) -> None:
        acked = 0
        while self._segments and self._segments[0].end <= ack:
            acked += self._delivered(self._segments.popleft())
        for low, high in ranges:
            for segment in self._segments:
                if low <= segment.start and segment.end <= high and not segment.sacked:
                    self._delivered(segment)
                    segment.sacked, segment.lost = True, False
        self._find_lost()
        if ack > self.una:
            self.una = ack
            if ack >= self._recover:
                self._grow(acked)
            self._arm()
        self._pump()

    def _delivered(self, segment: Segment) -> int:
        """Account for a segment that arrived; return its bytes if they were news."""
        if segment.sacked:
            return 0
        if not segment.lost:
            self._pipe -= segment.length
        self._newest = max(self._newest, segment.order)
        if segment.n_sent == 1:
            self._sample(self.net.loop.now_ns - segment.sent_ns)
        return segment.length

    def _find_lost(self) -> None:
        for segment in self._segments:
            late = segment.order + _N_DUPLICATES <= self._newest
            if late and not segment.sacked and not segment.lost:
                segment.lost = True
                self._pipe -= segment.length
                if segment.start >= self._recover:
                    self.ssthresh = self.cwnd = max(0.7 * self.cwnd, 2.0 * self.wire.mss)
                    self._recover = self.nxt

    def _grow(self, acked: int) -> None:
        if self.cwnd < self.ssthresh:
            self.cwnd += acked
        else:
            self.cwnd += self.wire.mss * acked / self.cwnd

    def _sample(self, rtt_ns: int) -> None:
        """RFC 6298 section 2."""
        if not self._srtt_ns:
            self._srtt_ns, self._rttvar_ns = rtt_ns, rtt_ns // 2
        else:
            self._rttvar_ns += (abs(rtt_ns - self._srtt_ns) - self._rttvar_ns) // 4
            self._srtt_ns += (rtt_ns - self._srtt_ns) // 8
        self._rto_ns = max(_RTO_MIN_NS, self._srtt_ns + 4 * self._rttvar_ns)

    def _arm(self) -> None:
        self._timer += 1
        mine = self._timer

        def expire() -> None:
            if mine == self._timer and self._segments:
                self._on_timeout()

        self.net.loop.after(self._rto_ns, expire)

    def _on_timeout(self) -> None:
        for segment in self._segments:
            segment.lost = not segment.sacked
        self._pipe = 0
        self.ssthresh, self.cwnd = max(self.cwnd / 2, 2.0 * self.wire.mss), float(self.wire.mss)
        self._recover = self.nxt
        self._rto_ns = min(2 * self._rto_ns, 60 * SECOND)
        self._pump()

    def _on_data(self, start: int, end: int) -> None:
        in_order = start <= self.received < end and not self.ranges
        self._merge(start, end)
        self._unacked += 1
        if end <= self.wire.syn and self.nxt:
            self._emit(None)
        while self._waiting and self._waiting[0][0] <= self.received:
            self._waiting.popleft()[1].fire(self.net.loop.now_ns)
        if not self._unacked:
            return
        if not in_order or self._unacked >= self.wire.ack_every:
            self._emit(None)
        else:
            self._delay_ack()

    def _merge(self, start: int, end: int) -> None:
        """Add a range to what was received."""
        ranges = sorted([*self.ranges, (start, end)])
        self.ranges = []
        for low, high in ranges:
            if low <= self.received:
                self.received = max(self.received, high)
            elif self.ranges and low <= self.ranges[-1][1]:
                self.ranges[-1] = (self.ranges[-1][0], max(high, self.ranges[-1][1]))
            else:
                self.ranges.append((low, high))

    def _delay_ack(self) -> None:
        self._ack_timer += 1
        mine = self._ack_timer

        def expire() -> None:
            if mine == self._ack_timer and self._unacked:
                self._emit(None)

        self.net.loop.after(40 * MS, expire)
