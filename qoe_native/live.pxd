# Packets out of a ring that the kernel fills, where it put them: nothing is copied. Here are the blocks of
# TPACKET_V3; xdp.pxd has the queues of AF_XDP.
#
# The kernel fills a block and hands it over when it is full or some milliseconds old; ring_next() walks it and
# gives it back with the call that follows its last packet, so packets handed out hold until then. What the
# kernel took out of a frame's bytes, the outermost VLAN tag, is put back before the decoder sees it. Every
# offset is checked against the block: a ring of nonsense ends the block, not the process.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from qoe_native.abi cimport qoe_packet
from qoe_native.intrin cimport prefetch
from qoe_native.xdp cimport XdpQueue, xdp_frame, xdp_waiting


cdef extern from "live.h" nogil:
    enum:
        TP_STATUS_VLAN_VALID
        TP_STATUS_VLAN_TPID_VALID

    struct tpacket_hdr_variant1:
        uint32_t tp_vlan_tci
        uint16_t tp_vlan_tpid

    struct tpacket3_hdr:
        uint32_t tp_next_offset, tp_sec, tp_nsec, tp_snaplen, tp_len, tp_status
        uint16_t tp_mac
        tpacket_hdr_variant1 hv1

    struct tpacket_hdr_v1:
        uint32_t num_pkts, offset_to_first_pkt

    union tpacket_bd_header_u:
        tpacket_hdr_v1 bh1

    struct tpacket_block_desc:
        tpacket_bd_header_u hdr

    bint block_is_ours "qoe_block_is_ours"(const tpacket_block_desc *block)
    void give_back "qoe_block_give_back"(tpacket_block_desc *block)
    uint64_t monotonic_ns "qoe_monotonic_ns"()
    uint64_t real_ns "qoe_real_ns"()
    int wait_for "qoe_wait"(int fd, int ms)


cdef enum RingStatus:              # why a walk stopped
    RING_READY = 0                 # as many packets as were asked for, or a block's last: call again
    RING_IDLE = 1                  # no further block is ours
    RING_BUSY = 2                  # there is more, but the time that was given is over
    RING_UNTIL = 3                 # the next packet is not older than until_ns
    RING_EXPORT = 4                # ended flows or decisions wait
    RING_DOWN = 5                  # the socket has an error, and all that came before it was read

cdef enum:
    ETHERNET = 1                   # LINKTYPE_ETHERNET
    MAC_BYTES = 12                 # destination and source, after which a tag belongs
    TAG_BYTES = 4
    TPID_VLAN = 0x8100
    LATE_NS = 1000000000           # a packet stamped up to so long before the one ahead of it takes its time


cdef struct RingState:
    uint8_t *start
    uint64_t block_bytes
    uint32_t n_blocks
    uint32_t block                 # the one being walked, or waited for
    uint32_t left                  # packets of it that were not handed out
    uint64_t next                  # where in it the next one is
    bint is_open                   # it is ours
    bint is_queue                  # it is `queue` instead
    XdpQueue queue
    uint32_t link_type
    int status
    uint64_t last_ns
    uint64_t packets, captured_bytes, wire_bytes
    uint64_t retagged              # VLAN tags put back
    uint64_t late                  # packets stamped before the one ahead of them, by another core
    uint64_t malformed             # offsets that leave their block


cdef inline bint ring_open(RingState *s) noexcept nogil:
    # whether there is a packet to take; blocks used up go back to the kernel
    cdef tpacket_block_desc *block
    for _ in range(s.n_blocks + 1):
        block = <tpacket_block_desc *> (s.start + s.block * s.block_bytes)
        if not s.is_open:
            if not block_is_ours(block):
                return False
            s.is_open = True
            s.left = block.hdr.bh1.num_pkts
            s.next = block.hdr.bh1.offset_to_first_pkt
        if s.left:
            return True
        give_back(block)
        s.is_open = False
        s.block = s.block + 1 if s.block + 1 < s.n_blocks else 0
    return False


cdef inline uint8_t *put_tag_back(tpacket3_hdr *h, uint8_t *frame) noexcept nogil:
    # moves the addresses over the frame's socket address, which nobody reads and which always lies before it
    cdef:
        uint32_t tci = h.hv1.tp_vlan_tci
        uint32_t tpid = h.hv1.tp_vlan_tpid if h.tp_status & TP_STATUS_VLAN_TPID_VALID else TPID_VLAN
    memmove(frame - TAG_BYTES, frame, MAC_BYTES)
    frame[8] = tpid >> 8
    frame[9] = tpid & 0xFF
    frame[10] = tci >> 8 & 0xFF
    frame[11] = tci & 0xFF
    return frame - TAG_BYTES


cdef inline bint ring_packet(RingState *s, tpacket3_hdr *h, qoe_packet *out, uint64_t ts_ns) noexcept nogil:
    # one packet of the open block; False if its bytes do not lie in the block
    cdef uint8_t *frame = <uint8_t *> h + h.tp_mac
    if h.tp_mac < sizeof(tpacket3_hdr) or s.next + h.tp_mac + h.tp_snaplen > s.block_bytes:
        return False
    prefetch(frame)
    prefetch(frame + 64)
    out.data = frame
    out.captured_len = h.tp_snaplen
    out.wire_len = h.tp_len
    out.ts_ns = ts_ns
    out.link_type = s.link_type
    out.cell_hint = 0
    if h.tp_status & TP_STATUS_VLAN_VALID and s.link_type == ETHERNET and h.tp_snaplen >= MAC_BYTES \
            and h.tp_mac >= sizeof(tpacket3_hdr) + TAG_BYTES:
        out.data = put_tag_back(h, frame)
        out.captured_len += TAG_BYTES
        out.wire_len += TAG_BYTES
        s.retagged += 1
    s.packets += 1
    s.captured_bytes += out.captured_len
    s.wire_bytes += out.wire_len
    return True


cdef inline uint64_t in_order(RingState *s, uint64_t ts_ns, uint64_t now_ns) noexcept nogil:
    # Cores stamp packets and then queue for the ring: it tells their order better than the stamps do. A clock
    # that was set back for good is let through.
    cdef uint64_t floor_ns = max(s.last_ns, now_ns)
    if ts_ns < floor_ns and floor_ns - ts_ns < LATE_NS:
        s.late += 1
        ts_ns = floor_ns
    s.last_ns = ts_ns
    return ts_ns


cdef inline uint32_t queue_next(RingState *s, qoe_packet *out, uint32_t capacity, uint64_t now_ns,
                                uint64_t until_ns) noexcept nogil:
    # the same of a queue, whose frames carry no time: they take that at which they are read
    cdef:
        uint32_t n = 0, n_waiting = xdp_waiting(&s.queue)
        uint64_t ts_ns
    s.status = RING_IDLE
    if n_waiting == 0:
        return 0
    ts_ns = real_ns()
    if until_ns and ts_ns >= until_ns:
        s.status = RING_UNTIL
        return 0
    s.status = RING_READY
    ts_ns = in_order(s, ts_ns, now_ns)
    for _ in range(min(n_waiting, capacity)):
        out[n].data = xdp_frame(&s.queue, &out[n].captured_len)
        if out[n].data == NULL:
            s.malformed += 1
            continue
        out[n].wire_len = out[n].captured_len
        out[n].ts_ns = ts_ns
        out[n].link_type = s.link_type
        out[n].cell_hint = 0
        s.captured_bytes += out[n].captured_len
        n += 1
    s.packets += n
    s.wire_bytes = s.captured_bytes
    return n


cdef inline uint32_t ring_next(RingState *s, qoe_packet *out, uint32_t capacity, uint64_t now_ns,
                               uint64_t until_ns) noexcept nogil:
    # Fills up to `capacity` packets of one block and returns how many, none where s.status says why. `now_ns`
    # is the engine's clock, behind which no packet falls by less than LATE_NS.
    cdef:
        uint32_t n = 0
        uint64_t ts_ns
        tpacket3_hdr *h
    if s.is_queue:
        return queue_next(s, out, capacity, now_ns, until_ns)
    if not ring_open(s):
        s.status = RING_IDLE
        return 0
    s.status = RING_READY
    while n < capacity and s.left:
        if s.next + sizeof(tpacket3_hdr) > s.block_bytes or s.next & 3:
            s.malformed += 1
            s.left = 0
            break
        h = <tpacket3_hdr *> (s.start + s.block * s.block_bytes + s.next)
        ts_ns = <uint64_t> h.tp_sec * 1000000000 + h.tp_nsec
        if until_ns and ts_ns >= until_ns:
            s.status = RING_UNTIL
            break
        if ring_packet(s, h, &out[n], in_order(s, ts_ns, now_ns)):
            n += 1
        else:
            s.malformed += 1
        s.next += h.tp_next_offset
        s.left = s.left - 1 if h.tp_next_offset else 0
    return n
