"""All that is measured of a flow, under the names of ``struct qoe_flow``."""

from __future__ import annotations

from collections.abc import Sequence

from .chunks import Chunk, chunk_fields, find_chunks
from .framing import tcp_signal
from .grouping import Seen
from .headers import TCP
from .identifiers import identify
from .moments import Fields, count
from .packet import Piece
from .rules import N_INSPECT
from .tcp import measure_tcp
from .udp import Udp, follow_udp, measure_udp, quic_handshake_us


def measured(seen: Sequence[Seen]) -> Fields:
    """Everything but the verdict, out of all packets of a flow that ended."""
    udp = follow_udp(seen)
    out = identify(seen) | count(seen) | measure_tcp(seen) | measure_udp(seen, udp)
    out |= chunk_fields(chunks_of(seen, udp, ended=True)) | {"signals": signals_of(seen, udp)}
    if seen[0].packet.protocol != TCP:
        out["handshake_rtt_us"] = quic_handshake_us(seen, udp)
    return out


def signals_of(seen: Sequence[Seen], udp: Udp) -> int:
    """Framing seen in a flow's payloads."""
    signals = udp.signals
    if seen[0].packet.protocol == TCP:
        for s in seen[:N_INSPECT]:
            if s.packet.tcp_flags:
                signals |= tcp_signal(s.packet)
    return signals


def chunks_of(seen: Sequence[Seen], udp: Udp, *, ended: bool) -> list[Chunk]:
    """Chunks over TCP, or over UDP from QUIC's first long header on."""
    first = seen[0].packet
    if first.protocol == TCP:
        segments = [s for s in seen if s.packet.tcp_flags and s.packet.piece != Piece.LATER]
        return find_chunks(first, segments, ended)
    return find_chunks(first, udp.quic, ended)
