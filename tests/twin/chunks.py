"""Chunks: what a server sent in answer to one request, where it was much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .grouping import Seen
from .headers import TCP
from .moments import Fields, deviation, mean
from .packet import Packet
from .rules import CHUNK_MIN_BYTES, SECOND, TCP_REQUEST_BYTES, UDP_REQUEST_BYTES
from .tcp import ACK, SYN


class Chunk(NamedTuple):
    """One response (``struct qoe_chunk``)."""

    request_ns: int
    first_ns: int
    last_ns: int
    n_bytes: int
    request_bytes: int
    direction: int


@dataclass
class Response:
    """Requests without an answer between them, and the packets that answered."""

    requests: list[Seen]
    answers: list[Seen]

    def chunk(self) -> Chunk:
        """What is known of it; where its beginning was missed, it was asked for when it began."""
        return Chunk(
            (self.requests or self.answers)[0].ts_ns,
            self.answers[0].ts_ns,
            self.answers[-1].ts_ns,
            sum(s.packet.payload_len for s in self.answers),
            sum(s.packet.payload_len for s in self.requests),
            self.answers[0].way,
        )


def server_side(first: Packet) -> int:
    """Which direction is the server's: a flow's first packet tells by its flags, else by its lower port."""
    if first.protocol == TCP and first.tcp_flags & SYN:
        is_server = bool(first.tcp_flags & ACK)
    else:
        is_server = first.src_port < first.dst_port
    return 0 if is_server else 1


def find_chunks(first: Packet, seen: Sequence[Seen], ended: bool) -> list[Chunk]:
    """Responses of 20 kB or more; the last one only once the flow ended, as it may go on.

    Parameters
    ----------
    first : Packet
        The flow's first.
    seen : sequence of Seen
        Its packets among which requests and responses are looked for.
    ended : bool
        Whether nothing follows.
    """
    server = server_side(first)
    least = TCP_REQUEST_BYTES if first.protocol == TCP else UDP_REQUEST_BYTES
    responses = [Response([], [])]
    for s in seen:
        if s.way == server and s.packet.payload_len:
            responses[-1].answers.append(s)
        elif s.way != server and s.packet.payload_len >= least:
            if responses[-1].answers:
                responses.append(Response([], []))
            responses[-1].requests.append(s)
    complete = [r.chunk() for r in (responses if ended else responses[:-1]) if r.answers]
    return [chunk for chunk in complete if chunk.n_bytes >= CHUNK_MIN_BYTES]


def chunk_fields(chunks: Sequence[Chunk]) -> Fields:
    """The chunk fields of a record."""
    sizes = [chunk.n_bytes for chunk in chunks]
    span_ns = max(chunks[-1].request_ns - chunks[0].request_ns, 0) if chunks else 0
    return {
        "n_chunks": len(chunks),
        "chunk_bytes_mean": mean(sizes),
        "chunk_bytes_std": deviation(sizes),
        "chunk_gap_mean_s": span_ns / SECOND / (len(chunks) - 1) if len(chunks) > 1 else 0.0,
    }
