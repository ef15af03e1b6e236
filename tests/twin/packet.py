"""What the layers of the twin's decoder share: a stretch of a frame, what was found so far, why it ends."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple, NoReturn

from .rules import MAX_LAYERS


class Status(IntEnum):
    """What becomes of a packet (``enum qoe_packet_status``)."""

    FLOW = 0
    NOT_IP = 1
    TRUNCATED = 2
    BAD_LINK = 3
    BAD_TUNNEL = 4
    BAD_IPV4 = 5
    BAD_IPV6 = 6
    TOO_DEEP = 7
    LINK_TYPE = 8


class Tunnel(IntEnum):
    """Encapsulations (``enum qoe_tunnel``, bits)."""

    VLAN = 1
    QINQ = 2
    MPLS = 4
    EOMPLS = 8
    PPPOE = 16
    GRE = 32
    IPIP = 64
    SIXIN4 = 128
    VXLAN = 256
    GENEVE = 512
    GTPU = 1024
    AH = 2048
    FRAGMENT = 4096


class Piece(IntEnum):
    """Whether an IP packet is a whole datagram."""

    WHOLE = 0
    FIRST = 1
    LATER = 2


class Enclosure(IntEnum):
    """How sure it is that a tunnel's packet is one."""

    NONE = 0
    CERTAIN = 1  # the IP protocol number says so
    GUESSED = 2  # only a UDP port does: what is inside must look right


class Unsound(Exception):  # noqa: N818 (it is no error of the program's)
    """Not a packet that the layer knows."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


def unsound(status: Status) -> NoReturn:
    """Give up on a layer."""
    raise Unsound(status)


class Bytes(NamedTuple):
    """The rest of a packet: what was captured of it, and how long it is by the length fields."""

    captured: bytes
    length: int

    def need(self, n: int, otherwise: Status = Status.TRUNCATED) -> None:
        """Go on only if `n` bytes were captured."""
        if len(self.captured) < n:
            unsound(otherwise)

    def u8(self, at: int) -> int:
        """One byte."""
        return self.captured[at]

    def u16(self, at: int) -> int:
        """Two bytes, most significant first."""
        return int(struct.unpack_from(">H", self.captured, at)[0])

    def u32(self, at: int) -> int:
        """Four bytes, most significant first."""
        return int(struct.unpack_from(">I", self.captured, at)[0])

    def behind(self, n: int) -> Bytes:
        """What follows `n` captured bytes."""
        self.need(n)
        return Bytes(self.captured[n:], self.length - n)

    def only(self, n: int) -> Bytes:
        """The first `n` bytes: what follows them is padding or a trailer."""
        return Bytes(self.captured[:n], n)

    def at_most(self, n: int) -> Bytes:
        """The first `n` bytes, or all if there are fewer."""
        return self.only(n) if n < self.length else self


class Datagram(NamedTuple):
    """What all pieces of one IP datagram have in common."""

    version: int
    src: bytes
    dst: bytes
    identification: int
    protocol: int  # 0 with IPv6, whose pieces need not agree on it (RFC 8200 section 4.5)


class Packet(NamedTuple):
    """The innermost flow's headers, and the encapsulations on the way to them."""

    # the flow: a tunnel starts these anew
    version: int = 0
    src: bytes = b""
    dst: bytes = b""
    protocol: int = 0
    src_port: int = 0
    dst_port: int = 0
    dscp: int = 0
    piece: Piece = Piece.WHOLE
    datagram: Datagram | None = None
    tcp_flags: int = 0  # none at all: the header was cut off
    seq: int = 0
    ack: int = 0
    window: int = 0
    payload_len: int = 0
    payload: bytes = b""
    # the encapsulation: the innermost of each kind
    tunnel: int = 0
    vlan_id: int = 0
    mpls_label: int = 0
    pppoe_session: int = 0
    vni: int = 0
    teid: int = 0
    qfi: int = 0
    context: tuple[
        tuple[str, int], ...
    ] = ()  # identifiers that are equal in both directions, outermost first
    carrier: Datagram | None = None  # the outermost tunnel's datagram in pieces, of which this is the first
    # the walk to it
    enclosure: Enclosure = Enclosure.NONE
    cut: bool = False  # the capture kept less of the frame than the wire carried
    layers: int = 0  # headers behind the link layer

    def deeper(self) -> Packet:
        """One more header; there is a limit."""
        if self.layers == MAX_LAYERS:
            unsound(Status.TOO_DEEP)
        return self._replace(layers=self.layers + 1)

    def through(self, *tunnels: Tunnel) -> Packet:
        """Note encapsulations."""
        return self._replace(tunnel=self.tunnel | sum(tunnels))

    def within(self, kind: str, identifier: int) -> Packet:
        """Note an identifier that tells flows of equal addresses apart."""
        return self._replace(context=(*self.context, (kind, identifier)))

    def enter(self, tunnel: Tunnel, enclosure: Enclosure) -> Packet:
        """Begin with the packet inside an IP tunnel."""
        first_piece = self.datagram if self.piece == Piece.FIRST else None
        return Packet(
            tunnel=self.tunnel | tunnel,
            vlan_id=self.vlan_id,
            mpls_label=self.mpls_label,
            pppoe_session=self.pppoe_session,
            vni=self.vni,
            teid=self.teid,
            qfi=self.qfi,
            context=self.context,
            carrier=self.carrier or first_piece,
            enclosure=enclosure,
            cut=self.cut,
            layers=self.layers,
        )

    def carrying(self, rest: Bytes, header_bytes: int) -> Packet:
        """Take everything behind a header for the flow's payload."""
        return self._replace(
            payload_len=max(rest.length - header_bytes, 0), payload=rest.captured[header_bytes:]
        )
