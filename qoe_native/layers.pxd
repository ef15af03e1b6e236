"""What the layers of the frame decoder share: its result, its position in a frame, its vocabulary.

A layer is a `cdef inline` function that reads one header at the cursor and returns the layer that comes
next, or an enum qoe_packet_status when there is none. The walk over them is in headers.pxd.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

cdef extern from "qoe.h" nogil:
    enum:
        QOE_PKT_FLOW, QOE_PKT_NOT_IP, QOE_PKT_TRUNCATED, QOE_PKT_BAD_LINK, QOE_PKT_BAD_TUNNEL
        QOE_PKT_BAD_IPV4, QOE_PKT_BAD_IPV6, QOE_PKT_TOO_DEEP, QOE_PKT_LINK_TYPE
    enum:
        QOE_T_VLAN, QOE_T_QINQ, QOE_T_MPLS, QOE_T_EOMPLS, QOE_T_PPPOE, QOE_T_GRE, QOE_T_IPIP, QOE_T_6IN4
        QOE_T_VXLAN, QOE_T_GENEVE, QOE_T_GTPU, QOE_T_AH, QOE_T_FRAGMENT

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
    uint8_t src[16]             # IPv4 in the first four bytes, the rest zero
    uint8_t dst[16]
    uint16_t src_port           # 0 in later pieces and in protocols without ports (ICMP, ESP, OSPF, ...)
    uint16_t dst_port
    uint8_t protocol
    uint8_t ip_version
    uint8_t dscp
    uint8_t fragment            # enum PieceOf; piece below is filled unless WHOLE
    uint8_t tcp_flags
    uint8_t has_tcp_ts
    uint16_t tcp_window         # raw
    uint32_t tcp_seq
    uint32_t tcp_ack
    uint32_t tcp_tsval
    uint32_t tcp_tsecr
    uint32_t payload_len        # transport payload by the IP length; 0 if its header is cut off
    uint32_t payload_captured   # of them, at payload
    const uint8_t *payload
    # The encapsulation: the innermost of each kind.
    uint32_t tunnel             # enum qoe_tunnel, bits
    uint32_t vni
    uint32_t teid
    uint32_t mpls_label         # bottom of stack
    uint32_t context            # mix of VLAN ids, VNI and PPPoE session, equal in both directions; 0: none
    uint16_t vlan_id
    uint16_t pppoe_session
    uint8_t qfi
    uint8_t carried             # 1: a tunnel's packet around the flow is a first piece; carrier is filled
    # Only filled when fragment or carried say so. Later pieces of either datagram belong to this flow.
    FragmentKey piece
    FragmentKey carrier
