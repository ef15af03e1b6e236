"""TCP of a flow: sequence numbers, acknowledgements, the handshake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .grouping import Seen
from .headers import TCP
from .moments import WAYS, Fields
from .packet import Packet, Piece
from .rules import MAX_COUNT_16, MAX_RTT_US, MICROSECOND, REORDER_NS, TCP_MAX_JUMP_BYTES

FIN, SYN, RST, ACK = 1, 2, 4, 16


def after(a: int, b: int) -> int:
    """How far a sequence number lies behind another, around the circle; negative: before it."""
    return (a - b + 2**31) % 2**32 - 2**31


def segment_len(p: Packet) -> int:
    """Sequence numbers that a segment takes (RFC 9293): its payload, SYN and FIN."""
    return p.payload_len + bool(p.tcp_flags & SYN) + bool(p.tcp_flags & FIN)


@dataclass
class Direction:
    """What one side sent."""

    end: int | None = None  # behind the highest sequence number; None: nothing was sent yet
    isn: int | None = None  # of the newest SYN
    hole_ns: int | None = None  # when a segment last left a hole before it
    timed: tuple[int, int] | None = None  # end and time of the one segment whose round trip is measured
    rtts_us: list[int] = field(default_factory=list)
    n_retransmitted: int = 0
    n_reordered: int = 0
    n_zero_windows: int = 0

    def send(self, p: Packet, ts_ns: int) -> None:
        """One segment: in order, behind a hole, into one, or sent again."""
        length = segment_len(p)
        end = (p.seq + length) % 2**32
        if p.tcp_flags & SYN and p.seq != self.isn:
            self.end, self.isn = None, p.seq  # the ports serve another connection
        if length == 0:
            return
        ahead = None if self.end is None else after(p.seq, self.end)
        if ahead is None or abs(ahead) >= TCP_MAX_JUMP_BYTES:
            self.hole_ns, self.end, self.timed = None, end, (end, ts_ns)
        elif ahead >= 0:
            if ahead > 0:
                self.hole_ns = ts_ns
            self.end = end
            self.timed = self.timed or (end, ts_ns)
        elif not (length == 1 and ahead == -1):  # which is a keep-alive
            self.send_late(end, ts_ns)

    def send_late(self, end: int, ts_ns: int) -> None:
        """A segment from before the highest sequence number."""
        if self.hole_ns is not None and 0 <= ts_ns - self.hole_ns < REORDER_NS:
            self.n_reordered += 1
        else:
            self.n_retransmitted += 1
            self.timed = None  # Karn: no round trip from what was sent twice
        assert self.end is not None
        if after(end, self.end) > 0:
            self.end = end

    def acknowledge(self, ack: int, ts_ns: int) -> None:
        """What the other side acknowledges."""
        if self.timed is not None and after(ack, self.timed[0]) >= 0:
            elapsed_ns = ts_ns - self.timed[1]
            if elapsed_ns >= 0:
                self.rtts_us.append(min(max(elapsed_ns // MICROSECOND, 1), MAX_RTT_US))
            self.timed = None


def followed(seen: Sequence[Seen]) -> list[Seen]:
    """Segments whose numbers are looked at: from the first one with payload or in reverse on.

    A SYN that nobody answers is counted and not followed.
    """
    segments = [s for s in seen if s.packet.tcp_flags and s.packet.piece != Piece.LATER]
    begin = next((i for i, s in enumerate(segments) if s.way or s.packet.payload_len), len(segments))
    return segments[begin:]


def handshake_us(seen: Sequence[Seen]) -> int:
    """SYN to the acknowledgement of its answer, as the capture point saw them; 0: not seen, or repeated.

    Between the SYN and its answer nothing else may have come from the SYN's side.
    """
    first = seen[0]
    if first.packet.tcp_flags & (SYN | ACK) != SYN:
        return 0
    answers = [i for i, s in enumerate(seen) if s.way and s.packet.tcp_flags & (SYN | ACK) == SYN | ACK]
    if not answers or sum(s.way == 0 for s in seen[: answers[0]]) != 1:
        return 0
    done = next((i for i in range(answers[0], len(seen)) if acknowledges(seen[i])), None)
    if done is None or (len(answers) > 1 and answers[1] < done):
        return 0
    elapsed_ns = seen[done].ts_ns - first.ts_ns
    return min(elapsed_ns // MICROSECOND + 1, MAX_RTT_US) if elapsed_ns > 0 else 0


def acknowledges(s: Seen) -> bool:
    """Whether a packet is the first side's acknowledgement of something."""
    return s.way == 0 and bool(s.packet.tcp_flags & ACK)


def measure_tcp(seen: Sequence[Seen]) -> Fields:
    """All TCP fields of a record."""
    sides = (Direction(), Direction())
    if seen[0].packet.protocol == TCP:
        for s in followed(seen):
            if s.packet.tcp_flags & ACK:
                sides[1 - s.way].acknowledge(s.packet.ack, s.ts_ns)
            sides[s.way].n_zero_windows += s.packet.window == 0 and not s.packet.tcp_flags & (SYN | RST)
            sides[s.way].send(s.packet, s.ts_ns)
    measured = [side.rtts_us for side in sides if side.rtts_us]
    out: Fields = {
        "handshake_rtt_us": handshake_us(seen),
        "rtt_min_us": sum(min(rtts) for rtts in measured),
        "rtt_mean_us": sum(sum(rtts) // len(rtts) for rtts in measured),
        "n_rtt": sum(len(rtts) for rtts in measured),
    }
    for side, name in zip(sides, WAYS, strict=True):
        out[f"retransmissions_{name}"] = side.n_retransmitted
        out[f"out_of_order_{name}"] = side.n_reordered
        out[f"zero_windows_{name}"] = min(side.n_zero_windows, MAX_COUNT_16)
    return out
