"""The twin's link layers, down to an IP packet."""

from __future__ import annotations

import struct

from .headers import read_ip, read_ipv4, read_ipv6
from .packet import Bytes, Packet, Status, Tunnel, unsound

IPV4, IPV6, BRIDGED, PPP_TYPE, PPPOE_SESSION = 0x0800, 0x86DD, 0x6558, 0x880B, 0x8864
VLANS = (0x8100, 0x88A8, 0x9100)
MPLS = (0x8847, 0x8848)
LAST_LLC_LENGTH = 1500
LOOPBACK_IPV6 = (10, 24, 28, 30)  # AF_INET6 of Linux, NetBSD, FreeBSD, Darwin


def typed(b: Bytes, p: Packet, at: int) -> Packet:
    """Take the EtherType at `at` and what lies right behind it."""
    b.need(at + 2)
    ethertype, b = b.u16(at), b.behind(at + 2)
    return read_ipv4(b, p) if ethertype == IPV4 else read_ethertype(b, p, ethertype)


def read_ethernet(b: Bytes, p: Packet) -> Packet:
    """Ethernet II, or IEEE 802.3 where the type is a length."""
    return typed(b, p.deeper(), 12)


def read_ethertype(b: Bytes, p: Packet, ethertype: int) -> Packet:
    """Whatever an EtherType stands for."""
    p = p.deeper()
    if ethertype in VLANS:
        return read_vlan(b, p, ethertype)
    if ethertype <= LAST_LLC_LENGTH:
        return read_llc(b, p)
    readers = {
        IPV4: read_ipv4,
        IPV6: read_ipv6,
        PPPOE_SESSION: read_pppoe,
        BRIDGED: read_ethernet,
        PPP_TYPE: read_ppp,
        **dict.fromkeys(MPLS, read_mpls),
    }
    if ethertype not in readers:
        unsound(Status.NOT_IP)
    return readers[ethertype](b, p)


def read_llc(b: Bytes, p: Packet) -> Packet:
    """IEEE 802.2: SNAP with an EtherType, or IP's own service access point."""
    b.need(3)
    if b.captured[:3] == b"\xaa\xaa\x03":
        b.need(8)
        if b.captured[3:6] in (b"\0\0\0", b"\0\0\xf8"):
            return typed(b, p, 6)
    elif b.captured[:3] == b"\x06\x06\x03":
        return read_ipv4(b.behind(3), p)
    unsound(Status.NOT_IP)


def read_vlan(b: Bytes, p: Packet, ethertype: int) -> Packet:
    """One tag: IEEE 802.1Q, or 802.1ad in either of its types. Id 0 is a priority without a VLAN."""
    b.need(4)
    vlan_id = b.u16(0) & 0xFFF
    if vlan_id:
        p = p._replace(vlan_id=vlan_id).within("vlan", vlan_id)
    p = p.through(Tunnel.VLAN)
    if ethertype != 0x8100 or b.u16(2) in VLANS:
        p = p.through(Tunnel.QINQ)
    return typed(b, p, 2)


def leads_to_ip(b: Bytes, at: int) -> bool:
    """Whether the bytes at `at` look like an Ethernet header that leads to IP."""
    if len(b.captured) < at + 17:
        return False
    ethertype, inside = b.u16(at + 12), b.captured[at + 14 : at + 17]
    if ethertype in (IPV4, IPV6):
        return inside[0] >> 4 == (4 if ethertype == IPV4 else 6)
    if ethertype <= LAST_LLC_LENGTH:
        return inside == b"\xaa\xaa\x03"
    return ethertype in (*VLANS, *MPLS, PPPOE_SESSION)


def looks_like_ip(b: Bytes) -> bool:
    """Whether an IP header, as far as it was captured, agrees with the length of what holds it."""
    version = b.captured[0] >> 4 if b.captured else 0
    if version == 4:
        if len(b.captured) < 4:
            return True
        return b.u8(0) & 15 >= 5 and (b.u16(2) == 0 or 20 <= b.u16(2) <= b.length)
    return version == 6 and (len(b.captured) < 6 or 40 + b.u16(4) <= b.length)


def read_mpls(b: Bytes, p: Packet) -> Packet:
    """Labels (RFC 3032); below the last one IP, or Ethernet with or without a control word (RFC 4448)."""
    p = p.deeper().through(Tunnel.MPLS)
    b.need(4)
    entry, b = b.u32(0), b.behind(4)
    p = p._replace(mpls_label=entry >> 12)
    if not entry & 0x100:
        return read_mpls(b, p)
    b.need(1)
    if looks_like_ip(b):
        return read_ip(b, p)
    if leads_to_ip(b, 0):
        return read_ethernet(b, p.through(Tunnel.EOMPLS))
    if b.u8(0) >> 4 == 0 and leads_to_ip(b, 4):
        return read_ethernet(b.behind(4), p.through(Tunnel.EOMPLS))
    if b.u8(0) >> 4 in (4, 6):
        return read_ip(b, p)
    unsound(Status.TRUNCATED if p.cut and len(b.captured) < 21 else Status.NOT_IP)


def read_pppoe(b: Bytes, p: Packet) -> Packet:
    """A session's data packet (RFC 2516 section 4)."""
    p = p.deeper()
    b.need(6)
    if b.u8(0) != 0x11:
        unsound(Status.BAD_TUNNEL)
    if b.u8(1) != 0:
        unsound(Status.NOT_IP)
    session = b.u16(2)
    p = p._replace(pppoe_session=session).through(Tunnel.PPPOE).within("pppoe", session)
    return read_ppp(b.behind(6).at_most(b.u16(4)), p)


def read_ppp(b: Bytes, p: Packet) -> Packet:
    """PPP with or without address and control, with a protocol field of one or two bytes (RFC 1661)."""
    p = p.deeper()
    if b.captured[:2] == b"\xff\x03":
        b = b.behind(2)
    b.need(1)
    n = 1 if b.u8(0) & 1 else 2
    b.need(n)
    protocol, b = (b.u8(0) if n == 1 else b.u16(0)), b.behind(n)
    if protocol == 0x21:
        return read_ipv4(b, p)
    if protocol == 0x57:
        return read_ipv6(b, p)
    if protocol in (0x281, 0x283):
        return read_mpls(b, p)
    unsound(Status.NOT_IP)


def read_ppp_hdlc(b: Bytes, p: Packet) -> Packet:
    """PPP in HDLC-like framing, or Cisco's framing, which has an EtherType."""
    b.need(2)
    if b.captured[:2] in (b"\x0f\0", b"\x8f\0"):
        return typed(b, p, 2)
    return read_ppp(b, p)


def read_loopback(b: Bytes, p: Packet) -> Packet:
    """BSD loopback: an address family in the writer's byte order or the network's."""
    b.need(4)
    (family,) = struct.unpack_from("<I", b.captured)
    if family > 0xFFFF:
        family = b.u32(0)
    if family == 2:
        return read_ipv4(b.behind(4), p)
    if family in LOOPBACK_IPV6:
        return read_ipv6(b.behind(4), p)
    unsound(Status.NOT_IP)
