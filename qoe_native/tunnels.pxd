"""The frame decoder's tunnels over IP: each reads its own header and says what lies inside."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from qoe_native.intrin cimport be16, be32
from qoe_native.layers cimport (
    CERTAIN, ETHERNET, ETHERTYPE, GENEVE, GTPU, GUESSED, IP, IPV4, IPV6, MPLS, PPP, VXLAN, VXLAN_GPE,
    QOE_PKT_BAD_TUNNEL, QOE_PKT_FLOW, QOE_PKT_NOT_IP, QOE_PKT_TOO_DEEP, QOE_PKT_TRUNCATED,
    QOE_T_GENEVE, QOE_T_GRE, QOE_T_GTPU, QOE_T_VXLAN,
    Cursor, Headers, add_context, available, enter_tunnel, limit, set_payload, skip,
)
from qoe_native.links cimport CONTEXT_VNI, is_ethernet, is_ip

cdef extern from "intrin.h" nogil:
    bint is_tunnel_port "qoe_is_tunnel_port"(uint16_t port)


cdef enum TunnelPort:           # UDP, as in qoe_is_tunnel_port; 8472 is what Linux took before VXLAN had a number
    PORT_GTPU = 2152
    PORT_VXLAN = 4789
    PORT_VXLAN_GPE = 4790
    PORT_GENEVE = 6081
    PORT_VXLAN_LINUX = 8472

cdef enum:
    GTPU_MAX_EXTENSIONS = 8
    GTPU_T_PDU = 255
    GTPU_PDU_SESSION = 0x85     # extension header type: PDU session container (3GPP TS 38.415)
    GRE_ERSPAN = 0x88BE
    GRE_ERSPAN_3 = 0x22EB
    GRE_PPP = 0x880B


cdef inline int tunnel_of_port(uint16_t port) noexcept nogil:
    """The tunnel that a UDP port stands for, or QOE_PKT_FLOW."""
    if port == PORT_GTPU:
        return GTPU
    if port == PORT_VXLAN or port == PORT_VXLAN_LINUX:
        return VXLAN
    if port == PORT_GENEVE:
        return GENEVE
    return VXLAN_GPE if port == PORT_VXLAN_GPE else QOE_PKT_FLOW


cdef inline int read_gre_pptp(Cursor *c, uint16_t flags) noexcept nogil:
    """Enhanced GRE of PPTP (RFC 2637 section 4.1); one that only acknowledges carries nothing."""
    cdef uint32_t length = 8 + (4 if flags & 0x1000 else 0) + (4 if flags & 0x80 else 0)
    cdef uint32_t payload
    if be16(c.at + 2) != GRE_PPP or not flags & 0x2000:
        return QOE_PKT_BAD_TUNNEL
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    payload = be16(c.at + 4)
    if not flags & 0x1000 or payload == 0:
        return QOE_PKT_NOT_IP
    skip(c, length)
    if payload < c.left:
        limit(c, payload)
    return PPP


cdef inline int read_erspan(Cursor *c, uint16_t protocol, bint has_sequence) noexcept nogil:
    """Type I has no header of its own, II one of 8 bytes, III of 12 and perhaps 8 for the platform."""
    cdef uint32_t length = 8 if has_sequence else 0
    if protocol == GRE_ERSPAN_3:
        length = 12
        if available(c) >= 12 and c.at[11] & 1:
            length = 20
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    skip(c, length)
    return ETHERNET


cdef inline int read_gre(Cursor *c, Headers *h) noexcept nogil:
    """RFC 2784, with key and sequence number (RFC 2890); source routing (RFC 1701) is not followed."""
    cdef uint16_t flags, protocol
    cdef uint32_t length
    set_payload(c, h, 0)
    enter_tunnel(c, h, QOE_T_GRE, CERTAIN)
    if available(c) < 4:
        return QOE_PKT_TRUNCATED
    flags = be16(c.at)
    protocol = be16(c.at + 2)
    if flags & 7 == 1:
        return read_gre_pptp(c, flags)
    if flags & 7:
        return QOE_PKT_BAD_TUNNEL
    if flags & 0x4000:
        return QOE_PKT_NOT_IP
    length = 4 + (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0) + (4 if flags & 0x1000 else 0)
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    skip(c, length)
    if protocol == GRE_ERSPAN or protocol == GRE_ERSPAN_3:
        return read_erspan(c, protocol, flags & 0x1000)
    c.next = protocol
    return ETHERTYPE if protocol >= 0x600 else QOE_PKT_NOT_IP


cdef inline void take_vni(Cursor *c, Headers *h) noexcept nogil:
    """VXLAN and Geneve keep it at the same place."""
    h.vni = be32(c.at + 4) >> 8
    add_context(h, CONTEXT_VNI | h.vni)


cdef inline int read_vxlan(Cursor *c, Headers *h) noexcept nogil:
    """RFC 7348, whatever the reserved bits say: extensions (group policy) set them."""
    enter_tunnel(c, h, QOE_T_VXLAN, GUESSED)
    if not is_ethernet(c, 8):
        return QOE_PKT_NOT_IP
    if c.at[0] & 8:
        take_vni(c, h)
    skip(c, 8)
    return ETHERNET


cdef inline int read_vxlan_gpe(Cursor *c, Headers *h) noexcept nogil:
    """The generic protocol extension: the last byte of the first word says what is inside."""
    cdef uint8_t inside
    enter_tunnel(c, h, QOE_T_VXLAN, GUESSED)
    if available(c) < 8:
        return QOE_PKT_NOT_IP
    inside = c.at[3] if c.at[0] & 4 else 3
    if c.at[0] & 8:
        take_vni(c, h)
    skip(c, 8)
    if inside == 1:
        return IPV4
    if inside == 2:
        return IPV6
    if inside == 3:
        return ETHERNET
    return MPLS if inside == 5 else QOE_PKT_NOT_IP


cdef inline int read_geneve(Cursor *c, Headers *h) noexcept nogil:
    """RFC 8926; options are stepped over."""
    cdef uint32_t length
    enter_tunnel(c, h, QOE_T_GENEVE, GUESSED)
    if available(c) < 8:
        return QOE_PKT_NOT_IP
    length = 8 + 4 * (c.at[0] & 0x3F)
    if c.at[0] >> 6 or be16(c.at + 2) < 0x600:
        return QOE_PKT_BAD_TUNNEL
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    take_vni(c, h)
    c.next = be16(c.at + 2)
    skip(c, length)
    return ETHERTYPE


cdef inline int skip_gtpu_extensions(Cursor *c, Headers *h) noexcept nogil:
    """The chain behind the optional fields (TS 29.281 section 5.2); the cursor is at the first's type."""
    cdef uint32_t length
    cdef uint8_t kind
    cdef int _n
    for _n in range(GTPU_MAX_EXTENSIONS + 1):
        kind = c.at[0]
        skip(c, 1)
        if kind == 0:
            return QOE_PKT_FLOW
        if available(c) < 4:
            return QOE_PKT_TRUNCATED
        length = 4 * c.at[0]
        if length == 0:
            return QOE_PKT_BAD_TUNNEL
        if available(c) < length:
            return QOE_PKT_TRUNCATED
        if kind == GTPU_PDU_SESSION:
            h.qfi = c.at[2] & 0x3F
        skip(c, length - 1)
    return QOE_PKT_TOO_DEEP


cdef inline int read_gtpu(Cursor *c, Headers *h) noexcept nogil:
    """A T-PDU of version 1 (3GPP TS 29.281 section 5.1); all other messages are the outer flow's own."""
    cdef uint32_t length
    cdef uint8_t flags
    cdef int status
    enter_tunnel(c, h, QOE_T_GTPU, GUESSED)
    if available(c) < 8:
        return QOE_PKT_NOT_IP
    flags = c.at[0]
    if flags & 0xF0 != 0x30 or c.at[1] != GTPU_T_PDU:
        return QOE_PKT_NOT_IP
    length = be16(c.at + 2)
    if length + 8 > c.left and not h.carried:
        return QOE_PKT_BAD_TUNNEL
    h.teid = be32(c.at + 4)
    skip(c, 8)
    if length < c.left:
        limit(c, length)
    if flags & 7:
        if available(c) < 4:
            return QOE_PKT_TRUNCATED
        skip(c, 3)
        if flags & 4:
            status = skip_gtpu_extensions(c, h)
            if status != QOE_PKT_FLOW:
                return status
        else:
            skip(c, 1)
    if available(c) < 1:
        return QOE_PKT_TRUNCATED
    return IP if is_ip(c) or h.carried else QOE_PKT_NOT_IP
