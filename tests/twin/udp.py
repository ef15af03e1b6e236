"""UDP of a flow: what frames its payloads, its RTP, its QUIC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .framing import Signal, is_dns, quic_version, udp_signal
from .grouping import Seen
from .headers import UDP
from .moments import WAYS, Fields
from .packet import Piece
from .rtp import Source, is_rtp, parse
from .rules import MAX_RTT_US, MICROSECOND, N_INSPECT


@dataclass
class Udp:
    """What a flow's datagrams told, packet by packet."""

    signals: int = 0
    rtp: tuple[Source, Source] = field(default_factory=lambda: (Source(), Source()))
    quic: list[Seen] = field(default_factory=list)  # from the first long header on, what may be QUIC
    long_headers: list[Seen] = field(default_factory=list)

    def take(self, number: int, s: Seen) -> None:
        """Look at the flow's packet of this number, from 1: DNS first, then RTP, then all else."""
        if number <= N_INSPECT and not self.signals & Signal.RTP and is_dns(s.packet):
            self.signals |= Signal.DNS
        elif is_rtp(s.packet):
            self.rtp[s.way].packet(parse(s.packet, s.ts_ns))
            self.signals |= Signal.RTP if self.rtp[s.way].confirmed else 0
        else:
            signal = udp_signal(s.packet)
            self.signals |= signal
            if signal == Signal.QUIC:
                self.long_headers.append(s)
            if self.signals & Signal.QUIC:
                self.quic.append(s)


def follow_udp(seen: Sequence[Seen]) -> Udp:
    """Look at all packets of a flow; later pieces have no header to look at."""
    udp = Udp()
    if seen[0].packet.protocol == UDP:
        for number, s in enumerate(seen, 1):
            if s.packet.piece != Piece.LATER:
                udp.take(number, s)
    return udp


def quic_handshake_us(seen: Sequence[Seen], udp: Udp) -> int:
    """The flow's first packet to its first in reverse, when that is a long header."""
    first_reverse = next((s for s in seen if s.way), None)
    if first_reverse is None or not any(s is first_reverse for s in udp.long_headers):
        return 0
    elapsed_ns = first_reverse.ts_ns - seen[0].ts_ns
    return min(elapsed_ns // MICROSECOND + 1, MAX_RTT_US) if elapsed_ns > 0 else 0


def measure_udp(seen: Sequence[Seen], udp: Udp) -> Fields:
    """The QUIC and RTP fields of a record."""
    out: Fields = {"quic_version": quic_version(udp.long_headers[-1].packet) if udp.long_headers else 0}
    for source, name in zip(udp.rtp, WAYS, strict=True):
        out.update({f"{what}_{name}": value for what, value in source.fields().items()})
    return out
