"""The frame decoder: bytes of one frame in, the innermost flow's headers out.

`decode` walks from layer to layer until it meets a transport header. What most frames are, plain IPv4 over
Ethernet with TCP or UDP, whole and without options, `decode_plain` reads in a straight line. Lengths are
always the smaller of what was captured and what the length fields say, so that no byte outside the frame
is read and padding is no payload. An IP packet whose tunnel holds no sound IP packet
is itself the flow, unless only the capture's cut keeps it from being seen.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from qoe_native.intrin cimport be16, be32, likely, unlikely
from qoe_native.layers cimport (
    CERTAIN, ETHERNET, ETHERTYPE, FIRST_PIECE, GENEVE, GRE, GTPU, IP, IPV4, IPV6, LATER_PIECE, MPLS,
    NOT_ENCLOSED, OTHER_PROTOCOL, PPP, PPPOE, TCP, UDP, VXLAN, VXLAN_GPE, WHOLE,
    QOE_PKT_BAD_IPV4, QOE_PKT_BAD_IPV6, QOE_PKT_BAD_LINK, QOE_PKT_BAD_TUNNEL, QOE_PKT_FLOW, QOE_PKT_NOT_IP,
    QOE_PKT_TOO_DEEP, QOE_PKT_TRUNCATED,
    QOE_T_6IN4, QOE_T_AH, QOE_T_FRAGMENT, QOE_T_IPIP,
    Cursor, FragmentKey, Headers, Layer, available, enter_tunnel, limit, set_payload, skip, start_headers,
)
from qoe_native.links cimport LINK_ETHERNET, by_ethertype, by_link_type, read_ethernet, read_mpls, read_ppp, read_pppoe
from qoe_native.tunnels cimport (
    is_tunnel_port, read_geneve, read_gre, read_gtpu, read_vxlan, read_vxlan_gpe, tunnel_of_port,
)

cdef enum:
    MAX_LAYERS = 40             # a frame of more headers is not worth its time

cdef enum Protocol:             # of the IP header
    HOP_BY_HOP = 0
    IP_IN_IP = 4
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    DCCP = 33
    IPV6_IN_IP = 41
    ROUTING = 43
    FRAGMENT = 44
    PROTOCOL_GRE = 47
    AUTHENTICATION = 51
    NO_NEXT_HEADER = 59
    DESTINATION_OPTIONS = 60
    SCTP = 132
    MOBILITY = 135
    UDP_LITE = 136
    HIP = 139
    SHIM6 = 140


cdef inline bint read_ports(const Cursor *c, Headers *h) noexcept nogil:
    if unlikely(available(c) < 4):
        return False
    h.src_port = be16(c.at)
    h.dst_port = be16(c.at + 2)
    return True


cdef inline int read_tcp(Cursor *c, Headers *h) noexcept nogil:
    cdef uint32_t length
    if not read_ports(c, h):
        return QOE_PKT_TRUNCATED
    if unlikely(available(c) < 20):
        return QOE_PKT_FLOW
    h.tcp_seq = be32(c.at + 4)
    h.tcp_ack = be32(c.at + 8)
    h.tcp_flags = c.at[13]
    h.tcp_window = be16(c.at + 14)
    length = (c.at[12] >> 4) * 4
    if unlikely(length < 20):
        return QOE_PKT_FLOW
    set_payload(c, h, length)
    return QOE_PKT_FLOW


cdef inline int read_udp(Cursor *c, Headers *h) noexcept nogil:
    cdef int tunnel
    if not read_ports(c, h):
        return QOE_PKT_TRUNCATED
    set_payload(c, h, 8)
    tunnel = tunnel_of_port(h.dst_port)
    if likely(tunnel == QOE_PKT_FLOW):
        tunnel = tunnel_of_port(h.src_port)
        if likely(tunnel == QOE_PKT_FLOW):
            return QOE_PKT_FLOW
    if available(c) <= 8:
        return QOE_PKT_FLOW
    skip(c, 8)
    return tunnel


cdef inline int read_with_ports(Cursor *c, Headers *h, uint32_t header_bytes) noexcept nogil:
    if not read_ports(c, h):
        return QOE_PKT_TRUNCATED
    set_payload(c, h, header_bytes)
    return QOE_PKT_FLOW


cdef inline int by_protocol(Headers *h, uint8_t protocol) noexcept nogil:
    h.protocol = protocol
    if protocol == PROTOCOL_UDP:
        return UDP
    return TCP if protocol == PROTOCOL_TCP else OTHER_PROTOCOL


cdef inline int later_piece(Cursor *c, Headers *h) noexcept nogil:
    """No ports here: the engine knows the flow by the first piece's key."""
    set_payload(c, h, 0)
    return QOE_PKT_FLOW


cdef inline void set_piece(Headers *h, bint later, uint32_t datagram_id, uint8_t protocol) noexcept nogil:
    h.fragment = LATER_PIECE if later else FIRST_PIECE
    h.tunnel |= QOE_T_FRAGMENT
    memset(&h.piece, 0, sizeof(FragmentKey))
    memcpy(h.piece.src, h.src, 16)
    memcpy(h.piece.dst, h.dst, 16)
    h.piece.id = datagram_id
    h.piece.ip_version = h.ip_version
    h.piece.protocol = protocol


cdef inline int read_ah(Cursor *c, Headers *h) noexcept nogil:
    """The authentication header (RFC 4302); its length counts 32-bit words, less two."""
    cdef uint32_t length
    cdef uint8_t protocol
    if available(c) < 12:
        return QOE_PKT_TRUNCATED
    protocol = c.at[0]
    length = 4 * (<uint32_t> c.at[1] + 2)
    if length < 12:
        return QOE_PKT_BAD_TUNNEL
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    h.tunnel |= QOE_T_AH
    skip(c, length)
    return by_protocol(h, protocol)


cdef inline int read_ipv6_fragment(Cursor *c, Headers *h) noexcept nogil:
    """RFC 8200 section 4.5; one with neither offset nor more to come is whole (RFC 6946)."""
    cdef uint16_t offset
    cdef uint8_t protocol
    if available(c) < 8:
        return QOE_PKT_TRUNCATED
    protocol = c.at[0]
    offset = be16(c.at + 2)
    if offset & 0xFFF9:
        set_piece(h, offset >> 3 != 0, be32(c.at + 4), 0)
    skip(c, 8)
    h.protocol = protocol
    if h.fragment == LATER_PIECE:
        return later_piece(c, h)
    return by_protocol(h, protocol)


cdef inline int read_ipv6_extension(Cursor *c, Headers *h) noexcept nogil:
    """Options, routing, mobility and their like: type of the next header, length in 8 bytes less one."""
    cdef uint32_t length
    cdef uint8_t protocol
    if available(c) < 8:
        return QOE_PKT_TRUNCATED
    protocol = c.at[0]
    length = 8 * (<uint32_t> c.at[1] + 1)
    if h.protocol == MOBILITY and protocol == NO_NEXT_HEADER:
        return later_piece(c, h)
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    skip(c, length)
    return by_protocol(h, protocol)


cdef inline int read_other_protocol(Cursor *c, Headers *h) noexcept nogil:
    cdef uint8_t protocol = h.protocol
    if protocol == PROTOCOL_GRE:
        return GRE
    if protocol == IP_IN_IP or protocol == IPV6_IN_IP:
        set_payload(c, h, 0)
        enter_tunnel(c, h, QOE_T_IPIP if protocol == IP_IN_IP else QOE_T_6IN4, CERTAIN)
        return IPV4 if protocol == IP_IN_IP else IPV6
    if protocol == AUTHENTICATION:
        return read_ah(c, h)
    if h.ip_version == 6:
        if protocol == FRAGMENT:
            return read_ipv6_fragment(c, h)
        if (protocol == HOP_BY_HOP or protocol == ROUTING or protocol == DESTINATION_OPTIONS
                or protocol == MOBILITY or protocol == HIP or protocol == SHIM6):
            return read_ipv6_extension(c, h)
    if protocol == SCTP:
        return read_with_ports(c, h, 12)
    if protocol == UDP_LITE:
        return read_with_ports(c, h, 8)
    if protocol == DCCP:
        return read_with_ports(c, h, 4 * <uint32_t> c.at[4] if available(c) > 4 else 12)
    set_payload(c, h, 0)
    return QOE_PKT_FLOW


cdef inline bint fit_packet(Cursor *c, uint32_t total) noexcept nogil:
    """Ends the packet where its IP length says; false if a guessed tunnel's packet exceeds the tunnel."""
    if likely(c.enclosed == NOT_ENCLOSED) or total <= c.left:
        limit(c, total)
        return True
    return c.enclosed == CERTAIN


cdef inline int read_ipv4(Cursor *c, Headers *h) noexcept nogil:
    cdef uint32_t length, total
    cdef uint16_t piece
    cdef const uint8_t *p = c.at
    if unlikely(available(c) < 20):
        return QOE_PKT_TRUNCATED
    length = (p[0] & 15) * 4
    total = be16(p + 2)
    if unlikely(p[0] >> 4 != 4 or length < 20):
        return QOE_PKT_BAD_IPV4
    if unlikely(total < length):
        if total != 0:
            return QOE_PKT_BAD_IPV4
        total = c.left          # segmentation is left to the card, which fills the length in
    if unlikely(not fit_packet(c, total)) and not h.carried:
        return QOE_PKT_BAD_IPV4
    h.ip_version = 4
    h.dscp = p[1] >> 2
    memcpy(h.src, p + 12, 4)
    memcpy(h.dst, p + 16, 4)
    if unlikely(available(c) < length):
        return QOE_PKT_TRUNCATED
    skip(c, length)
    piece = be16(p + 6) & 0x3FFF
    if unlikely(piece):
        set_piece(h, piece & 0x1FFF != 0, be16(p + 4), p[9])
        if h.fragment == LATER_PIECE:
            h.protocol = p[9]
            return later_piece(c, h)
    return by_protocol(h, p[9])


cdef inline int read_ipv6(Cursor *c, Headers *h) noexcept nogil:
    cdef uint32_t total
    cdef const uint8_t *p = c.at
    if unlikely(available(c) < 40):
        return QOE_PKT_TRUNCATED
    if unlikely(p[0] >> 4 != 6):
        return QOE_PKT_BAD_IPV6
    total = be16(p + 4) + <uint32_t> 40
    if unlikely(total == 40) and p[6] != NO_NEXT_HEADER and c.left > 40:
        total = c.left          # a jumbogram, or segmentation is left to the card
    if unlikely(not fit_packet(c, total)) and not h.carried:
        return QOE_PKT_BAD_IPV6
    h.ip_version = 6
    h.dscp = (be16(p) >> 6) & 0x3F
    memcpy(h.src, p + 8, 16)
    memcpy(h.dst, p + 24, 16)
    skip(c, 40)
    return by_protocol(h, p[6])


cdef inline int read_ip(Cursor *c) noexcept nogil:
    """IPv4 or IPv6 by the version nibble, where nothing else tells."""
    if available(c) < 1:
        return QOE_PKT_TRUNCATED
    if c.at[0] >> 4 == 4:
        return IPV4
    return IPV6 if c.at[0] >> 4 == 6 else QOE_PKT_BAD_LINK


cdef inline int read_layer(Cursor *c, Headers *h, int layer) noexcept nogil:
    if layer == ETHERNET:
        return read_ethernet(c)
    if layer == ETHERTYPE:
        return by_ethertype(c, h)
    if layer == IPV4:
        return read_ipv4(c, h)
    if layer == IPV6:
        return read_ipv6(c, h)
    if layer == IP:
        return read_ip(c)
    if layer == UDP:
        return read_udp(c, h)
    if layer == TCP:
        return read_tcp(c, h)
    if layer == OTHER_PROTOCOL:
        return read_other_protocol(c, h)
    if layer == MPLS:
        return read_mpls(c, h)
    if layer == PPPOE:
        return read_pppoe(c, h)
    if layer == PPP:
        return read_ppp(c)
    if layer == GRE:
        return read_gre(c, h)
    if layer == GTPU:
        return read_gtpu(c, h)
    if layer == VXLAN:
        return read_vxlan(c, h)
    if layer == GENEVE:
        return read_geneve(c, h)
    return read_vxlan_gpe(c, h)


cdef inline int walk(Cursor *c, Headers *h, int layer) noexcept nogil:
    """From layer to layer to the flow; back to the tunnel's own flow where none is inside."""
    cdef int n_layers = 0
    while layer >= <int> ETHERNET:
        n_layers += 1
        layer = read_layer(c, h, layer) if n_layers <= MAX_LAYERS else QOE_PKT_TOO_DEEP
    if (layer == QOE_PKT_FLOW or layer == QOE_PKT_TOO_DEEP or c.enclosed == NOT_ENCLOSED
            or (layer == QOE_PKT_TRUNCATED and c.cut)):
        return layer
    h[0] = c.enclosing[0]
    return QOE_PKT_FLOW


cdef inline bint decode_plain(const uint8_t *p, uint32_t captured_len, uint32_t wire_len, uint32_t link_type,
                              Headers *h) noexcept nogil:
    """Ethernet, IPv4 without options or pieces, TCP or UDP but no tunnel's port; False: `decode` must look."""
    cdef uint32_t length, header = 8
    if unlikely(p == NULL or link_type != LINK_ETHERNET or captured_len < 54 or captured_len > wire_len):
        return False
    if unlikely(be32(p + 12) >> 8 != 0x080045 or be16(p + 20) & 0x3FFF):
        return False
    length = be16(p + 16)
    h.src_port = be16(p + 34)
    h.dst_port = be16(p + 36)
    h.protocol = p[23]
    h.tcp_seq = h.tcp_ack = 0
    h.tcp_flags = h.zero = 0
    h.tcp_window = 0
    if h.protocol == PROTOCOL_UDP:
        if unlikely(is_tunnel_port(h.src_port) or is_tunnel_port(h.dst_port)):
            return False
    else:
        if unlikely(h.protocol != PROTOCOL_TCP):
            return False
        header = 4 * <uint32_t> (p[46] >> 4)
        h.tcp_seq = be32(p + 38)
        h.tcp_ack = be32(p + 42)
        h.tcp_flags = p[47]
        h.tcp_window = be16(p + 48)
        if unlikely(header < 20):
            return False
    header += 20
    if unlikely(length < header or length > wire_len - 14 or captured_len < 14 + header):
        return False
    h.payload = p + 14 + header
    h.payload_len = length - header
    h.payload_captured = min(captured_len - 14 - header, h.payload_len)
    memset(h.src, 0, 16)
    memset(h.dst, 0, 16)
    memcpy(h.src, p + 26, 4)
    memcpy(h.dst, p + 30, 4)
    h.ip_version = 4
    h.dscp = p[15] >> 2
    h.fragment = WHOLE
    memset(&h.context, 0, <char *> &h.piece - <char *> &h.context)
    return True


cdef inline int decode(const uint8_t *data, uint32_t captured_len, uint32_t wire_len, uint32_t link_type,
                       Headers *h) noexcept nogil:
    """One frame's innermost flow into `h`; returns enum qoe_packet_status. `h` holds it for QOE_PKT_FLOW."""
    cdef Headers enclosing
    cdef Cursor c
    cdef int layer
    start_headers(h)            # in two steps: past 96 bytes, gcc's own `rep stos` costs three times as much
    memset(&h.context, 0, <char *> &h.piece - <char *> &h.context)
    if unlikely(captured_len == 0 or data == NULL):
        return QOE_PKT_TRUNCATED
    c.at = data
    c.end = data + captured_len
    c.left = max(captured_len, wire_len)
    c.next = 0
    c.enclosed = NOT_ENCLOSED
    c.cut = captured_len < wire_len
    c.enclosing = &enclosing
    layer = by_link_type(&c, link_type)
    return layer if layer == QOE_PKT_FLOW else walk(&c, h, layer)
