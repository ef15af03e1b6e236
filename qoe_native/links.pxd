"""The frame decoder's link layers: from a capture's link type to an IP header."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from qoe_native.intrin cimport be16, be32, le16, le32, likely
from qoe_native.layers cimport (
    ETHERNET, ETHERTYPE, IP, IPV4, IPV6, MPLS, PPP, PPPOE,
    QOE_PKT_BAD_LINK, QOE_PKT_BAD_TUNNEL, QOE_PKT_LINK_TYPE, QOE_PKT_NOT_IP, QOE_PKT_TRUNCATED,
    QOE_T_EOMPLS, QOE_T_MPLS, QOE_T_PPPOE, QOE_T_QINQ, QOE_T_VLAN,
    Cursor, Headers, add_context, available, limit, skip,
)

cdef enum LinkType:             # tcpdump.org/linktypes.html, and what old BSD writers put for raw IP
    LINK_NULL = 0
    LINK_ETHERNET = 1
    LINK_PPP = 9
    LINK_RAW_BSD = 12
    LINK_RAW_OPENBSD = 14
    LINK_PPP_HDLC = 50
    LINK_PPP_ETHER = 51
    LINK_RAW = 101
    LINK_IEEE802_11 = 105
    LINK_LOOP = 108
    LINK_LINUX_SLL = 113
    LINK_PRISM = 119
    LINK_RADIOTAP = 127
    LINK_AVS = 163
    LINK_IPV4 = 228
    LINK_IPV6 = 229
    LINK_LINUX_SLL2 = 276

cdef enum EtherType:
    LAST_LLC_LENGTH = 0x05DC    # up to here the field is an IEEE 802.3 length
    TYPE_IPV4 = 0x0800
    TYPE_BRIDGED = 0x6558       # transparent Ethernet bridging
    TYPE_VLAN = 0x8100
    TYPE_IPV6 = 0x86DD
    TYPE_PPP = 0x880B
    TYPE_MPLS = 0x8847
    TYPE_MPLS_MULTICAST = 0x8848
    TYPE_PPPOE_SESSION = 0x8864
    TYPE_SERVICE_VLAN = 0x88A8
    TYPE_OLD_SERVICE_VLAN = 0x9100

cdef enum ContextKind:          # keeps equal numbers of different kinds apart in add_context
    CONTEXT_VLAN = 1 << 24
    CONTEXT_PPPOE = 2 << 24
    CONTEXT_VNI = 3 << 24


cdef inline int read_ethertype(Cursor *c, uint32_t offset) noexcept nogil:
    """The packet's EtherType is at `offset`, its payload right behind."""
    if available(c) < offset + 2:
        return QOE_PKT_TRUNCATED
    c.next = be16(c.at + offset)
    skip(c, offset + 2)
    return IPV4 if likely(c.next == TYPE_IPV4) else ETHERTYPE


cdef inline int read_ethernet(Cursor *c) noexcept nogil:
    return read_ethertype(c, 12)


cdef inline bint is_vlan(uint16_t ethertype) noexcept nogil:
    return ethertype == TYPE_VLAN or ethertype == TYPE_SERVICE_VLAN or ethertype == TYPE_OLD_SERVICE_VLAN


cdef inline bint is_ethernet(const Cursor *c, uint32_t offset) noexcept nogil:
    """Whether the bytes at `offset` look like an Ethernet header that leads to IP."""
    cdef uint16_t ethertype
    cdef const uint8_t *inside
    if available(c) < offset + 17:
        return False
    ethertype = be16(c.at + offset + 12)
    inside = c.at + offset + 14
    if ethertype == TYPE_IPV4:
        return inside[0] >> 4 == 4
    if ethertype == TYPE_IPV6:
        return inside[0] >> 4 == 6
    if ethertype <= LAST_LLC_LENGTH:
        return be16(inside) == 0xAAAA and inside[2] == 3
    return (is_vlan(ethertype) or ethertype == TYPE_MPLS or ethertype == TYPE_MPLS_MULTICAST
            or ethertype == TYPE_PPPOE_SESSION)


cdef inline int read_llc(Cursor *c) noexcept nogil:
    """IEEE 802.2: SNAP with an EtherType, or IP's own service access point."""
    cdef uint32_t oui
    if available(c) < 3:
        return QOE_PKT_TRUNCATED
    if c.at[0] == 0xAA and c.at[1] == 0xAA and c.at[2] == 3:
        if available(c) < 8:
            return QOE_PKT_TRUNCATED
        oui = be32(c.at + 2) & 0xFFFFFF
        return read_ethertype(c, 6) if oui == 0 or oui == 0xF8 else QOE_PKT_NOT_IP
    if c.at[0] == 6 and c.at[1] == 6 and c.at[2] == 3:
        skip(c, 3)
        return IPV4
    return QOE_PKT_NOT_IP


cdef inline int read_vlan(Cursor *c, Headers *h) noexcept nogil:
    """One tag: IEEE 802.1Q, or 802.1ad in either of its types. Id 0 is a priority without a VLAN."""
    cdef uint16_t vlan_id, ethertype = c.next
    if available(c) < 4:
        return QOE_PKT_TRUNCATED
    vlan_id = be16(c.at) & 0xFFF
    if vlan_id != 0:
        h.vlan_id = vlan_id
        add_context(h, CONTEXT_VLAN | vlan_id)
    h.tunnel |= QOE_T_VLAN
    if ethertype != TYPE_VLAN or is_vlan(be16(c.at + 2)):
        h.tunnel |= QOE_T_QINQ
    return read_ethertype(c, 2)


cdef inline int by_ethertype(Cursor *c, Headers *h) noexcept nogil:
    cdef uint16_t ethertype = c.next
    if ethertype == TYPE_IPV4:
        return IPV4
    if ethertype == TYPE_IPV6:
        return IPV6
    if is_vlan(ethertype):
        return read_vlan(c, h)
    if ethertype == TYPE_MPLS or ethertype == TYPE_MPLS_MULTICAST:
        return MPLS
    if ethertype == TYPE_PPPOE_SESSION:
        return PPPOE
    if ethertype == TYPE_BRIDGED:
        return ETHERNET
    if ethertype == TYPE_PPP:
        return PPP
    return read_llc(c) if ethertype <= LAST_LLC_LENGTH else QOE_PKT_NOT_IP


cdef inline bint is_ip(const Cursor *c) noexcept nogil:
    """Whether an IP header at the cursor, as far as it was captured, agrees with the packet's length."""
    cdef uint32_t total
    if c.at[0] >> 4 == 4:
        if available(c) < 4:
            return True
        total = be16(c.at + 2)
        return c.at[0] & 15 >= 5 and (total == 0 or 20 <= total <= c.left)
    if c.at[0] >> 4 == 6:
        return available(c) < 6 or be16(c.at + 4) + <uint32_t> 40 <= c.left
    return False


cdef inline int read_mpls(Cursor *c, Headers *h) noexcept nogil:
    """One label; below the last one IP, or Ethernet with or without a control word (RFC 4448)."""
    cdef uint32_t entry
    if available(c) < 4:
        return QOE_PKT_TRUNCATED
    entry = be32(c.at)
    skip(c, 4)
    h.tunnel |= QOE_T_MPLS
    h.mpls_label = entry >> 12
    if not entry & 0x100:
        return MPLS
    if available(c) < 1:
        return QOE_PKT_TRUNCATED
    if is_ip(c):
        return IP
    if is_ethernet(c, 0):
        h.tunnel |= QOE_T_EOMPLS
        return ETHERNET
    if c.at[0] >> 4 == 0 and is_ethernet(c, 4):
        skip(c, 4)
        h.tunnel |= QOE_T_EOMPLS
        return ETHERNET
    if c.at[0] >> 4 == 4 or c.at[0] >> 4 == 6:
        return IP
    return QOE_PKT_TRUNCATED if c.cut and available(c) < 21 else QOE_PKT_NOT_IP


cdef inline int read_pppoe(Cursor *c, Headers *h) noexcept nogil:
    """A session's data packet (RFC 2516 section 4)."""
    cdef uint32_t length
    if available(c) < 6:
        return QOE_PKT_TRUNCATED
    if c.at[0] != 0x11:
        return QOE_PKT_BAD_TUNNEL
    if c.at[1] != 0:
        return QOE_PKT_NOT_IP
    h.tunnel |= QOE_T_PPPOE
    h.pppoe_session = be16(c.at + 2)
    add_context(h, CONTEXT_PPPOE | h.pppoe_session)
    length = be16(c.at + 4)
    skip(c, 6)
    if length < c.left:
        limit(c, length)
    return PPP


cdef inline int read_ppp(Cursor *c) noexcept nogil:
    """PPP with or without address and control, with a protocol field of one or two bytes (RFC 1661)."""
    cdef uint16_t protocol
    if available(c) >= 2 and c.at[0] == 0xFF and c.at[1] == 3:
        skip(c, 2)
    if available(c) < 1:
        return QOE_PKT_TRUNCATED
    if c.at[0] & 1:
        protocol = c.at[0]
        skip(c, 1)
    elif available(c) < 2:
        return QOE_PKT_TRUNCATED
    else:
        protocol = be16(c.at)
        skip(c, 2)
    if protocol == 0x21:
        return IPV4
    if protocol == 0x57:
        return IPV6
    return MPLS if protocol == 0x281 or protocol == 0x283 else QOE_PKT_NOT_IP


cdef inline int read_ppp_hdlc(Cursor *c) noexcept nogil:
    """PPP in HDLC-like framing, or Cisco's framing, which has an EtherType."""
    if available(c) < 2:
        return QOE_PKT_TRUNCATED
    if (c.at[0] == 0x0F or c.at[0] == 0x8F) and c.at[1] == 0:
        return read_ethertype(c, 2)
    return PPP


cdef inline int read_null(Cursor *c) noexcept nogil:
    """BSD loopback: an address family in the writer's byte order or the network's."""
    cdef uint32_t family
    if available(c) < 4:
        return QOE_PKT_TRUNCATED
    family = le32(c.at)
    if family > 0xFFFF:
        family = be32(c.at)
    skip(c, 4)
    if family == 2:
        return IPV4
    if family == 10 or family == 24 or family == 28 or family == 30:    # Linux, NetBSD, FreeBSD, Darwin
        return IPV6
    return QOE_PKT_NOT_IP


cdef inline int read_ieee80211(Cursor *c, bint padded) noexcept nogil:
    """A data frame in the clear: QoS, four addresses, HT control, and an A-MSDU's first subframe."""
    cdef uint32_t length = 24
    cdef bint aggregate = False
    if available(c) < 2:
        return QOE_PKT_TRUNCATED
    if c.at[0] & 3:
        return QOE_PKT_BAD_LINK
    if c.at[0] & 0x4C != 0x08 or c.at[1] & 0x40:        # not data, no body, or encrypted
        return QOE_PKT_NOT_IP
    if c.at[1] & 3 == 3:
        length += 6
    if c.at[0] & 0x80:
        if available(c) < length + 2:
            return QOE_PKT_TRUNCATED
        aggregate = c.at[length] & 0x80
        length += 6 if c.at[1] & 0x80 else 2
    if padded:
        length = (length + 3) & ~<uint32_t> 3
    if aggregate:
        length += 14
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    if c.at[22] & 15:                                   # a later fragment of a frame
        return QOE_PKT_NOT_IP
    skip(c, length)
    return read_llc(c)


cdef inline uint8_t radiotap_flags(const uint8_t *header, uint32_t length) noexcept nogil:
    """The Flags field, behind the words of presence bits and an aligned 8-byte time stamp."""
    cdef uint32_t present = le32(header + 4), offset = 8
    while offset + 4 <= length and le32(header + offset - 4) >> 31:
        offset += 4
    if present & 1:
        offset = ((offset + 7) & ~<uint32_t> 7) + 8
    return header[offset] if present & 2 and offset < length else 0


cdef inline int read_radiotap(Cursor *c) noexcept nogil:
    """The capture header before an 802.11 frame (radiotap.org); flag 0x20 tells of padding behind that."""
    cdef uint32_t length
    cdef uint8_t flags
    if available(c) < 8:
        return QOE_PKT_TRUNCATED
    length = le16(c.at + 2)
    if c.at[0] != 0 or length < 8:
        return QOE_PKT_BAD_LINK
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    flags = radiotap_flags(c.at, length)
    skip(c, length)
    return read_ieee80211(c, flags & 0x20)


cdef inline int read_monitor_header(Cursor *c) noexcept nogil:
    """Prism or AVS before an 802.11 frame: the second word is the length, in either byte order."""
    cdef uint32_t length
    if available(c) < 8:
        return QOE_PKT_TRUNCATED
    length = be32(c.at + 4)
    if length > 0xFFFF:
        length = le32(c.at + 4)
    if length < 8:
        return QOE_PKT_BAD_LINK
    if available(c) < length:
        return QOE_PKT_TRUNCATED
    skip(c, length)
    return read_ieee80211(c, False)


cdef inline int by_link_type(Cursor *c, uint32_t link_type) noexcept nogil:
    if link_type == LINK_ETHERNET:
        return read_ethernet(c)
    if link_type == LINK_LINUX_SLL:
        return read_ethertype(c, 14)
    if link_type == LINK_LINUX_SLL2:
        if available(c) < 20:
            return QOE_PKT_TRUNCATED
        c.next = be16(c.at)
        skip(c, 20)
        return ETHERTYPE
    if link_type == LINK_RAW or link_type == LINK_RAW_BSD or link_type == LINK_RAW_OPENBSD:
        return IP
    if link_type == LINK_IPV4:
        return IPV4
    if link_type == LINK_IPV6:
        return IPV6
    if link_type == LINK_NULL or link_type == LINK_LOOP:
        return read_null(c)
    if link_type == LINK_RADIOTAP:
        return read_radiotap(c)
    if link_type == LINK_IEEE802_11:
        return read_ieee80211(c, False)
    if link_type == LINK_PRISM or link_type == LINK_AVS:
        return read_monitor_header(c)
    if link_type == LINK_PPP:
        return PPP
    if link_type == LINK_PPP_HDLC:
        return read_ppp_hdlc(c)
    return PPPOE if link_type == LINK_PPP_ETHER else QOE_PKT_LINK_TYPE
