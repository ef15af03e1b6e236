# The flow table: what is kept of a flow, and how it is found, made, aged and evicted.
#
# An index of 8-byte entries (tag and record number; open addressing, linear probing, half full at most)
# points into records of four cache lines each. Records are handed out in order, so a short capture
# touches little memory. What some flows need (tunnel identifiers, TCP and RTP state, chunks) lies in an
# extension out of a bounded pool.
from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from qoe_native.abi cimport *
from qoe_native.layers cimport Headers


cdef extern from "host.h" nogil:
    uint64_t qoe_mum(uint64_t a, uint64_t b)
    uint64_t qoe_load64(const void *p)


cdef enum:
    NONE = 0xFFFFFFFF          # no record, no extension
    RECORD_FREE = 0
    RECORD_LIVE = 1
    RECORD_ENDED = 2           # waits for export
    IS_IPV6 = 128              # Flow.flags, beside enum qoe_flow_flag
    SERVER_FIRST = 64          # Flow.flags: the side that answers requests sent the first packet
    KEPT_FLAGS = 15            # Flow.flags that are enum qoe_flow_flag
    EVICT_PROBES = 16          # candidates looked at to evict one
    EVICT_MOST_PROBES = 256    # at most, while none of them is a short flow
    EVICT_MEDIA_FACTOR = 16    # a decided media flow counts as this much less idle
    EVICT_SHORT_S = 10         # a flow of one or two packets as this much longer idle


cdef struct Flow:
    # line 0: who
    uint8_t addr[2][16]        # [0] sent the first packet
    uint16_t port[2]
    uint32_t context
    uint32_t tag               # of the index entry; link to the next record once ended or free
    uint8_t protocol, flags, signals, life
    uint64_t flow_id, first_ns
    # line 1: what every packet touches
    uint64_t last_ns[2]
    uint64_t n_bytes[2]
    uint64_t payload_bytes[2]
    uint32_t packets[2]
    uint32_t next_decision
    uint32_t extension
    # line 2: moments and histograms
    float size_m2[2]           # sum of squared deviations from the mean (Welford): payload bytes
    float iat_m2[2]            # the same of inter-arrival times, ms^2
    float iat_max[2]           # ms
    uint16_t size_hist[2][6]
    uint16_t gap_hist[8]
    # line 3: the first packets, the verdict, TCP sequence numbers
    int16_t first_sizes[12]
    uint32_t next_seq[2]
    uint32_t reverse_first_us  # first_ns to the first reverse packet
    uint32_t decided_after
    uint8_t first_gaps[12]
    uint16_t n_idle
    uint8_t probability[6]     # of class 1..6, in 1/255
    uint8_t verdict            # class in the low four bits, state in the high four
    uint8_t evidence
    uint8_t tcp_flags[2]


cdef struct TcpState:
    uint64_t pending_ns[2]     # when the segment that ends at pending_seq was sent; 0 = none
    uint64_t rtt_sum_us[2]
    uint64_t syn_ack_ns        # 0: not seen; 1: seen twice, so that it times nothing (Karn)
    uint64_t hole_ns[2]        # when a segment last left a hole before it; 0 = never
    uint32_t pending_seq[2]
    uint32_t syn_seq[2]        # sequence number of the SYN that began it
    uint32_t n_rtt[2]
    uint32_t rtt_min_us[2]
    uint32_t retransmissions[2]
    uint32_t out_of_order[2]
    uint16_t zero_windows[2]
    uint8_t has_seq[2]


cdef struct RtpState:          # one direction's dominant source (RFC 3550 appendix A.1, A.3, A.8)
    uint64_t arrival_ns, first_ns
    uint64_t window            # bit d: the packet d before the newest came
    uint32_t ssrc, timestamp, first_timestamp, clock_hz
    uint32_t extended_max, extended_base, received
    uint32_t received_before, lost_before          # of the sources and restarts before this one
    uint32_t loss_runs, reordered, frames
    float jitter_us
    uint16_t bad_sequence      # what would follow a packet far off; believed when it comes
    uint8_t has_bad, payload_type, probation, confirmed, strangers


cdef union Transport:
    TcpState tcp
    RtpState rtp[2]


cdef struct Extension:
    uint32_t tunnel, vni, mpls_label, cell_hint
    uint32_t teid[2]
    uint16_t vlan_id, pppoe_session
    uint8_t qfi[2]
    uint8_t dscp[2]
    uint32_t handshake_rtt_us, quic_version
    uint32_t n_chunks, request_bytes
    uint64_t request_ns, chunk_first_ns, chunk_last_ns, chunk_bytes   # the response that is under way
    uint64_t first_chunk_ns, last_chunk_ns                           # requests of the first and last chunk
    double chunk_sum, chunk_sq
    Transport state


cdef struct Table:
    uint64_t *index            # tag << 32 | (record + 1); 0 = empty
    uint64_t mask
    Flow *flows
    Extension *extensions
    uint32_t max_flows, n_records, high_water, n_live, n_ended
    uint32_t free_head, ended_head, ended_tail, hand, eviction_hand, flush_hand
    uint32_t max_extensions, extension_high_water, free_extension
    uint64_t seed[4]
    uint64_t next_id, id_step  # of the shard: unique over all


cdef inline uint64_t hash_headers(const Table *t, const Headers *h) noexcept nogil:
    # Over the sorted endpoints, each whole: folding them first would let an attacker choose collisions.
    cdef:
        uint64_t s0 = qoe_load64(h.src), s1 = qoe_load64(h.src + 8)
        uint64_t d0 = qoe_load64(h.dst), d1 = qoe_load64(h.dst + 8)
        uint64_t sp = h.src_port, dp = h.dst_port, x
        uint64_t rest = (<uint64_t> h.context << 32) | (<uint64_t> h.protocol << 8) | h.ip_version
    if s0 > d0 or (s0 == d0 and (s1 > d1 or (s1 == d1 and sp > dp))):
        s0, d0 = d0, s0
        s1, d1 = d1, s1
        sp, dp = dp, sp
    x = qoe_mum(s0 ^ t.seed[0], d0 ^ t.seed[1])
    if h.ip_version == 6:
        x = qoe_mum(x ^ s1, d1 ^ t.seed[2])
    return qoe_mum(x ^ (sp << 16 | dp) ^ t.seed[3], rest ^ t.seed[1] ^ x)


cdef inline int match_flow(const Flow *f, const Headers *h) noexcept nogil:
    # 0 forward, 1 reverse, -1 another flow
    if f.context != h.context or f.protocol != h.protocol or f.life != RECORD_LIVE:
        return -1
    if ((f.flags & IS_IPV6) != 0) != (h.ip_version == 6):
        return -1
    if f.port[0] == h.src_port and f.port[1] == h.dst_port \
            and memcmp(f.addr[0], h.src, 16) == 0 and memcmp(f.addr[1], h.dst, 16) == 0:
        return 0
    if f.port[1] == h.src_port and f.port[0] == h.dst_port \
            and memcmp(f.addr[1], h.src, 16) == 0 and memcmp(f.addr[0], h.dst, 16) == 0:
        return 1
    return -1


cdef inline uint32_t find_flow(const Table *t, const Headers *h, uint64_t hashed, int *direction) noexcept nogil:
    cdef:
        uint64_t slot = hashed & t.mask, entry
        uint32_t tag = <uint32_t> (hashed >> 32), record
    while True:
        entry = t.index[slot]
        if entry == 0:
            return NONE
        if <uint32_t> (entry >> 32) == tag:
            record = <uint32_t> entry - 1
            direction[0] = match_flow(&t.flows[record], h)
            if direction[0] >= 0:
                return record
        slot = (slot + 1) & t.mask


cdef inline uint32_t guess_flow(const Table *t, uint64_t hashed) noexcept nogil:
    # the first record with this tag, unverified: what to prefetch
    cdef:
        uint64_t slot = hashed & t.mask, entry
        uint32_t tag = <uint32_t> (hashed >> 32)
    while True:
        entry = t.index[slot]
        if entry == 0:
            return NONE
        if <uint32_t> (entry >> 32) == tag:
            return <uint32_t> entry - 1
        slot = (slot + 1) & t.mask


cdef inline uint64_t home_slot(const Table *t, uint64_t slot) noexcept nogil:
    # where the entry in `slot` would like to be: the low hash bits are kept by the record's own hash
    cdef Flow *f = &t.flows[<uint32_t> t.index[slot] - 1]
    return <uint64_t> f.tag & t.mask


cdef inline void index_insert(Table *t, uint64_t hashed, uint32_t record) noexcept nogil:
    cdef uint64_t slot = hashed & t.mask
    while t.index[slot] != 0:
        slot = (slot + 1) & t.mask
    t.index[slot] = (hashed >> 32) << 32 | (record + 1)
    t.flows[record].tag = <uint32_t> hashed


cdef inline void index_remove(Table *t, uint32_t record) noexcept nogil:
    # Backward-shift deletion: no tombstones, so the table never degrades with churn.
    cdef uint64_t hole = <uint64_t> t.flows[record].tag & t.mask, slot, home
    while <uint32_t> t.index[hole] != record + 1:
        hole = (hole + 1) & t.mask
    slot = hole
    while True:
        slot = (slot + 1) & t.mask
        if t.index[slot] == 0:
            break
        home = home_slot(t, slot)
        if ((slot - home) & t.mask) >= ((slot - hole) & t.mask):
            t.index[hole] = t.index[slot]
            hole = slot
    t.index[hole] = 0


cdef inline uint32_t take_extension(Table *t) noexcept nogil:
    cdef uint32_t number
    if t.free_extension != NONE:
        number = t.free_extension
        t.free_extension = t.extensions[number].tunnel
    elif t.extension_high_water < t.max_extensions:
        number = t.extension_high_water
        t.extension_high_water += 1
    else:
        return NONE
    memset(&t.extensions[number], 0, sizeof(Extension))
    return number


cdef inline void release_record(Table *t, uint32_t record) noexcept nogil:
    cdef Flow *f = &t.flows[record]
    if f.extension != NONE:
        t.extensions[f.extension].tunnel = t.free_extension
        t.free_extension = f.extension
        f.extension = NONE
    f.life = RECORD_FREE
    f.tag = t.free_head
    t.free_head = record


cdef inline uint32_t pop_ended(Table *t) noexcept nogil:
    cdef uint32_t record = t.ended_head
    if record != NONE:
        t.ended_head = t.flows[record].tag
        if t.ended_head == NONE:
            t.ended_tail = NONE
        t.n_ended -= 1
    return record


cdef inline void push_ended(Table *t, uint32_t record, int reason) noexcept nogil:
    # takes a live record out of the index and queues it for export
    cdef Flow *f = &t.flows[record]
    index_remove(t, record)
    f.life = RECORD_ENDED | (reason << 4)
    f.tag = NONE
    if t.ended_tail == NONE:
        t.ended_head = record
    else:
        t.flows[t.ended_tail].tag = record
    t.ended_tail = record
    t.n_ended += 1
    t.n_live -= 1


cdef inline uint64_t last_seen(const Flow *f) noexcept nogil:
    return f.last_ns[0] if f.last_ns[0] > f.last_ns[1] else f.last_ns[1]


cdef inline double evictability(const Flow *f, uint64_t now_ns) noexcept nogil:
    # seconds idle, by a class-aware measure: a flood of one-packet flows pushes out itself, not the
    # calls and films beside it
    cdef:
        uint64_t last = last_seen(f)
        double idle_s = <double> (now_ns - last if now_ns > last else last - now_ns) * 1e-9
    if f.packets[0] + f.packets[1] <= 2:
        return idle_s + EVICT_SHORT_S
    return idle_s / EVICT_MEDIA_FACTOR if QOE_VIDEO <= f.verdict & 15 <= QOE_GAMING else idle_s


cdef inline uint32_t choose_victim(Table *t, uint64_t now_ns) noexcept nogil:
    # the most evictable of a few candidates; more are looked at while only long flows are found
    cdef:
        uint32_t _i, seen = 0, best = NONE, record = t.eviction_hand
        double score, worst = -1.0
    for _i in range(t.high_water):
        record = record + 1 if record + 1 < t.high_water else 0
        if t.flows[record].life != RECORD_LIVE:
            continue
        seen += 1
        score = evictability(&t.flows[record], now_ns)
        if score > worst:
            worst = score
            best = record
        if seen >= EVICT_PROBES and (worst >= EVICT_SHORT_S or seen >= EVICT_MOST_PROBES):
            break
    t.eviction_hand = record
    return best


cdef inline uint32_t take_record(Table *t) noexcept nogil:
    cdef uint32_t record
    if t.free_head != NONE:
        record = t.free_head
        t.free_head = t.flows[record].tag
        return record
    if t.high_water < t.n_records:
        record = t.high_water
        t.high_water += 1
        return record
    return NONE


cdef inline void start_flow(Table *t, uint32_t record, const Headers *h, uint64_t hashed,
                            uint64_t ts_ns) noexcept nogil:
    cdef Flow *f = &t.flows[record]
    memset(f, 0, sizeof(Flow))
    memcpy(f.addr[0], h.src, 16)
    memcpy(f.addr[1], h.dst, 16)
    f.port[0] = h.src_port
    f.port[1] = h.dst_port
    f.context = h.context
    f.protocol = h.protocol
    f.flags = IS_IPV6 if h.ip_version == 6 else 0
    f.life = RECORD_LIVE
    f.flow_id = t.next_id
    f.first_ns = ts_ns
    f.next_decision = 4
    f.extension = NONE
    t.next_id += t.id_step
    t.n_live += 1
    index_insert(t, hashed, record)
