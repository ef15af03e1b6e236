"""Who talks, and what the way to the flow was: addresses, tunnels, marks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from .grouping import Seen
from .headers import TCP
from .moments import WAYS, Fields
from .packet import Packet, Piece
from .rules import DSCP_FROM_PACKET
from .tcp import ACK, SYN


class Flag(IntEnum):
    """Limits of what was seen (``enum qoe_flow_flag``, bits)."""

    MID_FLOW = 1
    ONE_WAY = 2
    CLOCK_BACK = 4


LASTING = ("vlan_id", "vni", "mpls_label", "pppoe_session")


def last(values: Sequence[int]) -> int:
    """The last one that is not 0: what a packet does not carry leaves what is known."""
    return next((value for value in reversed(values) if value), 0)


def identify(seen: Sequence[Seen]) -> Fields:
    """All fields of a record that name things."""
    first = seen[0].packet
    tunnel = 0
    for s in seen:
        tunnel |= s.packet.tunnel
    out: Fields = {
        "src": list(first.src.ljust(16, b"\0")),
        "dst": list(first.dst.ljust(16, b"\0")),
        "src_port": first.src_port,
        "dst_port": first.dst_port,
        "protocol": first.protocol,
        "ip_version": first.version,
        "tunnel": tunnel,
        "cell_hint": 0,  # a capture has none
        "flags": flags(seen),
    }
    for name in LASTING:
        out[name] = last([getattr(s.packet, name) for s in seen])
    for way, name in enumerate(WAYS):
        carrying = [s.packet for s in seen if s.way == way and s.packet.teid]
        out[f"teid_{name}"] = carrying[-1].teid if carrying else 0
        out[f"qfi_{name}"] = carrying[-1].qfi if carrying else 0
        out[f"dscp_{name}"] = last(marks(seen, way))
    return out


def marks(seen: Sequence[Seen], way: int) -> list[int]:
    """DSCP of one direction's packets: of all in tunnels, of others from the flow's third on."""
    return [
        s.packet.dscp
        for number, s in enumerate(seen, 1)
        if s.way == way and is_own(s.packet, seen[0].packet)
        if s.packet.tunnel or number >= DSCP_FROM_PACKET
    ]


def is_own(packet: Packet, first: Packet) -> bool:
    """Whether an IP header is the flow's own, not that of a tunnel whose later piece this is."""
    return packet.piece != Piece.LATER or {packet.src, packet.dst} == {first.src, first.dst}


def flags(seen: Sequence[Seen]) -> int:
    """What was missed, or odd."""
    first = seen[0].packet
    is_syn = first.tcp_flags & (SYN | ACK) == SYN
    newest, ran_back = 0, False
    for s in seen:
        ran_back |= s.ts_ns < newest
        newest = max(newest, s.ts_ns)
    return (
        (Flag.MID_FLOW if first.protocol == TCP and first.tcp_flags and not is_syn else 0)
        | (0 if any(s.way for s in seen) else Flag.ONE_WAY)
        | (Flag.CLOCK_BACK if ran_back else 0)
    )
