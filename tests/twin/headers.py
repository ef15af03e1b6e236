"""The twin's IP and transport layers. A tunnel that holds nothing sound is itself the flow."""

from __future__ import annotations

from collections.abc import Callable

from .packet import Bytes, Datagram, Enclosure, Packet, Piece, Status, Tunnel, Unsound, unsound

TCP, UDP, DCCP, AH, SCTP, UDP_LITE = 6, 17, 33, 51, 132, 136
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT_HEADER, DESTINATION, MOBILITY = 0, 43, 44, 59, 60, 135
IPV6_EXTENSIONS = (HOP_BY_HOP, ROUTING, DESTINATION, MOBILITY, 139, 140)  # and HIP, Shim6

Reader = Callable[[Bytes, Packet], Packet]


def read_ip(b: Bytes, p: Packet) -> Packet:
    """IPv4 or IPv6 by the version nibble, where nothing else tells."""
    p = p.deeper()
    b.need(1)
    if b.u8(0) >> 4 == 4:
        return read_ipv4(b, p)
    if b.u8(0) >> 4 == 6:
        return read_ipv6(b, p)
    unsound(Status.BAD_LINK)


def fit(b: Bytes, p: Packet, total: int, otherwise: Status) -> Bytes:
    """End an IP packet where its length says. In a tunnel it cannot be longer than what holds it."""
    if p.enclosure == Enclosure.NONE or total <= b.length:
        return b.only(total)
    if p.enclosure == Enclosure.GUESSED and p.carrier is None:
        unsound(otherwise)
    return b


def read_ipv4(b: Bytes, p: Packet) -> Packet:
    """RFC 791. A total length of 0 is left to the network card to fill in."""
    p = p.deeper()
    b.need(20)
    header_bytes, total = (b.u8(0) & 15) * 4, b.u16(2)
    if b.u8(0) >> 4 != 4 or header_bytes < 20 or 0 < total < header_bytes:
        unsound(Status.BAD_IPV4)
    b = fit(b, p, total or b.length, Status.BAD_IPV4)
    p = p._replace(version=4, dscp=b.u8(1) >> 2, src=b.captured[12:16], dst=b.captured[16:20])
    b.need(header_bytes)
    identification, more_and_offset, protocol = b.u16(4), b.u16(6) & 0x3FFF, b.u8(9)
    b = b.behind(header_bytes)
    if more_and_offset:
        datagram = Datagram(4, p.src, p.dst, identification, protocol)
        p = in_pieces(p, datagram, is_later=more_and_offset & 0x1FFF != 0)
    return read_protocol(b, p, protocol)


def read_ipv6(b: Bytes, p: Packet) -> Packet:
    """RFC 8200. A payload length of 0 is a jumbogram's, or left to the network card to fill in."""
    p = p.deeper()
    b.need(40)
    if b.u8(0) >> 4 != 6:
        unsound(Status.BAD_IPV6)
    total, protocol = 40 + b.u16(4), b.u8(6)
    if total == 40 and protocol != NO_NEXT_HEADER:
        total = max(b.length, 40)
    b = fit(b, p, total, Status.BAD_IPV6)
    p = p._replace(version=6, dscp=b.u16(0) >> 6 & 0x3F, src=b.captured[8:24], dst=b.captured[24:40])
    return read_protocol(b.behind(40), p, protocol)


def in_pieces(p: Packet, datagram: Datagram, is_later: bool) -> Packet:
    """Note that a datagram was cut in pieces."""
    piece = Piece.LATER if is_later else Piece.FIRST
    return p._replace(piece=piece, datagram=datagram).through(Tunnel.FRAGMENT)


def read_protocol(b: Bytes, p: Packet, protocol: int) -> Packet:
    """What an IP protocol number stands for; a later piece has no header of it."""
    from .tunnels import tunnel_of_protocol  # which lead back to here

    p = p._replace(protocol=protocol)
    if p.piece == Piece.LATER:
        return p.carrying(b, 0)
    p = p.deeper()
    tunnel = tunnel_of_protocol(protocol)
    if tunnel:
        return tunnelled(b, p.carrying(b, 0), tunnel[0], Enclosure.CERTAIN, tunnel[1])
    return reader_of(p.version, protocol)(b, p)


def reader_of(version: int, protocol: int) -> Reader:
    """How to go on; with IPv6 there may be more headers."""
    if version == 6 and protocol == FRAGMENT:
        return read_ipv6_fragment
    if version == 6 and protocol in IPV6_EXTENSIONS:
        return read_ipv6_extension
    with_ports = dict.fromkeys((SCTP, UDP_LITE, DCCP), read_with_ports)
    return {TCP: read_tcp, UDP: read_udp, AH: read_ah, **with_ports}.get(protocol, read_without_ports)


def read_without_ports(b: Bytes, p: Packet) -> Packet:
    """ICMP, ESP, OSPF and their like."""
    return p.carrying(b, 0)


def tunnelled(b: Bytes, flow: Packet, tunnel: Tunnel, enclosure: Enclosure, read: Reader) -> Packet:
    """The flow inside a tunnel; the tunnel's own where there is none, unless the capture's cut hides it."""
    try:
        return read(b, flow.enter(tunnel, enclosure))
    except Unsound as reason:
        if reason.status == Status.TOO_DEEP or (reason.status == Status.TRUNCATED and flow.cut):
            raise
        return flow


def with_ports(b: Bytes, p: Packet) -> Packet:
    """The first four bytes of a transport header."""
    b.need(4)
    return p._replace(src_port=b.u16(0), dst_port=b.u16(2))


def read_tcp(b: Bytes, p: Packet) -> Packet:
    """RFC 9293; of a header that was cut off the ports at least."""
    p = with_ports(b, p)
    if len(b.captured) < 20:
        return p
    p = p._replace(seq=b.u32(4), ack=b.u32(8), tcp_flags=b.u8(13), window=b.u16(14))
    header_bytes = 4 * (b.u8(12) >> 4)
    return p.carrying(b, header_bytes) if header_bytes >= 20 else p


def read_udp(b: Bytes, p: Packet) -> Packet:
    """RFC 768; a port may stand for a tunnel."""
    from .tunnels import tunnel_of_port  # which lead back to here

    p = with_ports(b, p).carrying(b, 8)
    found = tunnel_of_port(p.dst_port) or tunnel_of_port(p.src_port)
    if found is None or len(b.captured) <= 8:
        return p
    return tunnelled(b.behind(8), p, found[0], Enclosure.GUESSED, found[1])


def read_with_ports(b: Bytes, p: Packet) -> Packet:
    """Other protocols that begin with two ports."""
    p = with_ports(b, p)
    if p.protocol == DCCP and len(b.captured) > 4:
        return p.carrying(b, 4 * b.u8(4))
    return p.carrying(b, 8 if p.protocol == UDP_LITE else 12)


def read_ah(b: Bytes, p: Packet) -> Packet:
    """The authentication header (RFC 4302); its length counts 32-bit words, less two."""
    b.need(12)
    length = 4 * (b.u8(1) + 2)
    if length < 12:
        unsound(Status.BAD_TUNNEL)
    return read_protocol(b.behind(length), p.through(Tunnel.AH), b.u8(0))


def read_ipv6_fragment(b: Bytes, p: Packet) -> Packet:
    """RFC 8200 section 4.5; one with neither offset nor more to come is whole (RFC 6946)."""
    b.need(8)
    offset, more = b.u16(2) >> 3, b.u16(2) & 1
    if offset or more:
        p = in_pieces(p, Datagram(6, p.src, p.dst, b.u32(4), 0), is_later=offset != 0)
    return read_protocol(b.behind(8), p, b.u8(0))


def read_ipv6_extension(b: Bytes, p: Packet) -> Packet:
    """Options, routing and their like; mobility's own messages end the chain and are the payload."""
    b.need(8)
    if p.protocol == MOBILITY and b.u8(0) == NO_NEXT_HEADER:
        return p.carrying(b, 0)
    return read_protocol(b.behind(8 * (b.u8(1) + 1)), p, b.u8(0))
