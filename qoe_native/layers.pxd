"""What the layers of the frame decoder share: its result, its position in a frame, its vocabulary.

A layer is a `cdef inline` function that reads one header at the cursor and returns the layer that comes
next, or an enum qoe_packet_status when there is none. The walk over them is in headers.pxd.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from qoe_native.abi cimport (
    QOE_PKT_BAD_IPV4, QOE_PKT_BAD_IPV6, QOE_PKT_BAD_LINK, QOE_PKT_BAD_TUNNEL, QOE_PKT_FLOW, QOE_PKT_LINK_TYPE,
    QOE_PKT_NOT_IP, QOE_PKT_TOO_DEEP, QOE_PKT_TRUNCATED,
    QOE_T_6IN4, QOE_T_AH, QOE_T_EOMPLS, QOE_T_FRAGMENT, QOE_T_GENEVE, QOE_T_GRE, QOE_T_GTPU, QOE_T_IPIP,
    QOE_T_MPLS, QOE_T_PPPOE, QOE_T_QINQ, QOE_T_VLAN, QOE_T_VXLAN,
)

cdef enum PieceOf:              # what Headers.fragment holds
    WHOLE = 0
    FIRST_PIECE = 1
    LATER_PIECE = 2

cdef struct FragmentKey:        # one fragmented datagram; equal for all its pieces
    uint8_t src[16]
    uint8_t dst[16]
    uint32_t id
    uint8_t ip_version
    uint8_t protocol            # IPv4; 0 for IPv6, whose pieces need not agree on it (RFC 8200 section 4.5)
    uint8_t zero[2]             # so that keys compare by memcmp

cdef struct Headers:            # the innermost flow's headers
    # The flow: a tunnel starts these anew.
    const uint8_t *payload
    uint32_t payload_len        # transport payload by the IP length; 0 if its header is cut off
    uint32_t payload_captured   # of them, at payload
    uint32_t tcp_seq
    uint32_t tcp_ack
    uint16_t tcp_window         # raw
    uint8_t tcp_flags
    uint8_t zero
    uint16_t src_port           # 0 in later pieces and in protocols without ports (ICMP, ESP, OSPF, ...)
    uint16_t dst_port
    uint8_t src[16]             # IPv4 in the first four bytes, the rest zero
    uint8_t dst[16]
    uint8_t protocol            # with the next and context, in the order of Flow: see make_key
    uint8_t ip_version
    uint8_t dscp
    uint8_t fragment            # enum PieceOf; piece below is filled unless WHOLE
    # The encapsulation: the innermost of each kind.
    uint32_t context            # mix of VLAN ids, VNI and PPPoE session, equal in both directions; 0: none
    uint32_t tunnel             # enum qoe_tunnel, bits
    uint32_t vni
    uint32_t teid
    uint32_t mpls_label         # bottom of stack
    uint16_t vlan_id
    uint16_t pppoe_session
    uint8_t qfi
    uint8_t carried             # 1: a tunnel's packet around the flow is a first piece; carrier is filled
    # Only filled when fragment or carried say so. Later pieces of either datagram belong to this flow.
    FragmentKey piece
    FragmentKey carrier

cdef enum Layer:                # above every enum qoe_packet_status
    ETHERNET = 32
    ETHERTYPE                   # Cursor.next holds the type
    MPLS
    PPPOE
    PPP
    IP                          # IPv4 or IPv6, by the version nibble
    IPV4
    IPV6
    TCP
    UDP
    OTHER_PROTOCOL              # Headers.protocol says which
    GRE
    VXLAN
    VXLAN_GPE
    GENEVE
    GTPU

cdef enum Enclosure:            # what Cursor.enclosed holds
    NOT_ENCLOSED = 0
    CERTAIN = 1                 # the IP protocol number says that there is a tunnel
    GUESSED = 2                 # only a UDP port does: what is inside must look right

cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end          # of the captured bytes of the packet that is being read
    uint32_t left               # bytes from `at` to that packet's end by the length fields; >= end - at
    uint16_t next               # the EtherType to read
    uint8_t enclosed            # enum Enclosure of the tunnel that was entered last
    bint cut                    # the capture kept less than the wire carried
    Headers *enclosing          # the tunnel's own flow, for when there is none inside


cdef inline uint32_t available(const Cursor *c) noexcept nogil:
    return <uint32_t> (c.end - c.at)


cdef inline void skip(Cursor *c, uint32_t n) noexcept nogil:
    """Steps over `n` bytes; the caller has seen that they are available."""
    c.at += n
    c.left -= n


cdef inline void limit(Cursor *c, uint32_t length) noexcept nogil:
    """Ends the packet `length` bytes from the cursor: what follows is padding or a trailer."""
    if length < available(c):
        c.end = c.at + length
    c.left = length


cdef inline void add_context(Headers *h, uint32_t value) noexcept nogil:
    """Mixes one more identifier into the flow's context; the order counts, 0 stays for "none"."""
    cdef uint32_t mixed = (h.context ^ value) * <uint32_t> 0x9E3779B1
    h.context = (mixed ^ (mixed >> 15)) | 1


cdef inline void start_headers(Headers *h) noexcept nogil:
    """The flow's own part is emptied; the encapsulation stands."""
    memset(h, 0, <char *> &h.context - <char *> h)


cdef inline void set_payload(const Cursor *c, Headers *h, uint32_t header_bytes) noexcept nogil:
    """Everything after `header_bytes` at the cursor is the flow's payload."""
    cdef uint32_t captured = available(c)
    h.payload_len = c.left - header_bytes if header_bytes < c.left else 0
    if header_bytes < captured:
        h.payload = c.at + header_bytes
        h.payload_captured = captured - header_bytes


cdef inline void enter_tunnel(Cursor *c, Headers *h, uint32_t tunnel_bit, Enclosure enclosed) noexcept nogil:
    """Keeps the tunnel's own flow aside and starts that of the packet inside."""
    c.enclosing[0] = h[0]
    c.enclosed = enclosed
    if h.fragment == FIRST_PIECE and not h.carried:
        h.carrier = h.piece
        h.carried = 1
    start_headers(h)
    h.tunnel |= tunnel_bit
