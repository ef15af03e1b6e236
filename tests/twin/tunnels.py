"""The twin's tunnels over IP: each reads its own header and goes on with what lies inside."""

from __future__ import annotations

from .headers import Reader, read_ip, read_ipv4, read_ipv6
from .links import leads_to_ip, looks_like_ip, read_ethernet, read_ethertype, read_mpls, read_ppp
from .packet import Bytes, Packet, Status, Tunnel, unsound
from .rules import GTPU_MAX_EXTENSIONS

ERSPAN, ERSPAN_3, GRE_PPP = 0x88BE, 0x22EB, 0x880B
LEAST_ETHERTYPE = 0x600
T_PDU, PDU_SESSION = 255, 0x85


def tunnel_of_port(port: int) -> tuple[Tunnel, Reader] | None:
    """The tunnel that a UDP port stands for; 8472 is what Linux took before VXLAN had a number."""
    return {
        2152: (Tunnel.GTPU, read_gtpu),
        4789: (Tunnel.VXLAN, read_vxlan),
        8472: (Tunnel.VXLAN, read_vxlan),
        4790: (Tunnel.VXLAN, read_vxlan_gpe),
        6081: (Tunnel.GENEVE, read_geneve),
    }.get(port)


def tunnel_of_protocol(protocol: int) -> tuple[Tunnel, Reader] | None:
    """The tunnel that an IP protocol number stands for."""
    return {
        4: (Tunnel.IPIP, read_ipv4),
        41: (Tunnel.SIXIN4, read_ipv6),
        47: (Tunnel.GRE, read_gre),
    }.get(protocol)


def read_gre(b: Bytes, p: Packet) -> Packet:
    """RFC 2784, with key and sequence number (RFC 2890); source routing (RFC 1701) is not followed."""
    p = p.deeper()
    b.need(4)
    flags, protocol = b.u16(0), b.u16(2)
    has_checksum, has_routing, has_key, has_sequence = (
        flags & bit for bit in (0x8000, 0x4000, 0x2000, 0x1000)
    )
    version = flags & 7
    if version == 1:
        return read_pptp(b, p, flags)
    if version:
        unsound(Status.BAD_TUNNEL)
    if has_routing:
        unsound(Status.NOT_IP)
    b = b.behind(4 + sum(4 for field in (has_checksum, has_key, has_sequence) if field))
    if protocol == ERSPAN:
        return read_ethernet(b.behind(8 if has_sequence else 0), p)
    if protocol == ERSPAN_3:
        has_platform = len(b.captured) >= 12 and b.u8(11) & 1
        return read_ethernet(b.behind(20 if has_platform else 12), p)
    if protocol < LEAST_ETHERTYPE:
        unsound(Status.NOT_IP)
    return read_ethertype(b, p, protocol)


def read_pptp(b: Bytes, p: Packet, flags: int) -> Packet:
    """Enhanced GRE of PPTP (RFC 2637 section 4.1); one that only acknowledges carries nothing."""
    if b.u16(2) != GRE_PPP or not flags & 0x2000:
        unsound(Status.BAD_TUNNEL)
    has_sequence, has_acknowledgement = flags & 0x1000, flags & 0x80
    header_bytes = 8 + (4 if has_sequence else 0) + (4 if has_acknowledgement else 0)
    b.need(header_bytes)
    payload_bytes = b.u16(4)
    if not has_sequence or payload_bytes == 0:
        unsound(Status.NOT_IP)
    return read_ppp(b.behind(header_bytes).at_most(payload_bytes), p)


def with_vni(b: Bytes, p: Packet) -> Packet:
    """VXLAN and Geneve keep the network's identifier at the same place."""
    vni = b.u32(4) >> 8
    return p._replace(vni=vni).within("vni", vni)


def read_vxlan(b: Bytes, p: Packet) -> Packet:
    """RFC 7348, whatever the reserved bits say: extensions (group policy) set them."""
    p = p.deeper()
    if not leads_to_ip(b, 8):
        unsound(Status.NOT_IP)
    if b.u8(0) & 8:
        p = with_vni(b, p)
    return read_ethernet(b.behind(8), p)


def read_vxlan_gpe(b: Bytes, p: Packet) -> Packet:
    """The generic protocol extension: the last byte of the first word says what is inside."""
    p = p.deeper()
    b.need(8, otherwise=Status.NOT_IP)
    inside = b.u8(3) if b.u8(0) & 4 else 3
    if b.u8(0) & 8:
        p = with_vni(b, p)
    readers = {1: read_ipv4, 2: read_ipv6, 3: read_ethernet, 5: read_mpls}
    if inside not in readers:
        unsound(Status.NOT_IP)
    return readers[inside](b.behind(8), p)


def read_geneve(b: Bytes, p: Packet) -> Packet:
    """RFC 8926; options are stepped over."""
    p = p.deeper()
    b.need(8, otherwise=Status.NOT_IP)
    version, option_words, protocol = b.u8(0) >> 6, b.u8(0) & 0x3F, b.u16(2)
    if version or protocol < LEAST_ETHERTYPE:
        unsound(Status.BAD_TUNNEL)
    return read_ethertype(b.behind(8 + 4 * option_words), with_vni(b, p), protocol)


def read_gtpu(b: Bytes, p: Packet) -> Packet:
    """A T-PDU of version 1 (3GPP TS 29.281 section 5.1); all other messages are the outer flow's own."""
    p = p.deeper()
    b.need(8, otherwise=Status.NOT_IP)
    version_and_type, options, message, length = b.u8(0) >> 4, b.u8(0) & 7, b.u8(1), b.u16(2)
    if version_and_type != 3 or message != T_PDU:
        unsound(Status.NOT_IP)
    if length + 8 > b.length and p.carrier is None:
        unsound(Status.BAD_TUNNEL)
    p = p._replace(teid=b.u32(4))
    b = b.behind(8).at_most(length)
    if options:
        b.need(4)
        b = b.behind(3)
        if options & 4:
            b, p = behind_extensions(b, p)
        else:
            b = b.behind(1)
    b.need(1)
    if not looks_like_ip(b) and p.carrier is None:
        unsound(Status.NOT_IP)
    return read_ip(b, p)


def behind_extensions(b: Bytes, p: Packet) -> tuple[Bytes, Packet]:
    """Step over GTP-U's chain of extension headers (TS 29.281 section 5.2), from the first one's type on."""
    for _ in range(GTPU_MAX_EXTENSIONS + 1):
        kind, b = b.u8(0), b.behind(1)
        if kind == 0:
            return b, p
        b.need(4)
        length = 4 * b.u8(0)
        if length == 0:
            unsound(Status.BAD_TUNNEL)
        b.need(length)
        if kind == PDU_SESSION:
            p = p._replace(qfi=b.u8(2) & 0x3F)
        b = b.behind(length - 1)
    unsound(Status.TOO_DEEP)
