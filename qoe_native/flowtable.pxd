# The flow table: how a flow is found, made, ended and evicted. What is kept of it is in flow.pxd, the index in
# index.pxd. Records are handed out in order, so a short capture touches little memory.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from qoe_native.abi cimport *
from qoe_native.flow cimport *
from qoe_native.index cimport (
    KIND_MASK, Bucket, Index, Key, home_bucket, home_of, index_insert, index_remove, lowest_bit, match_tags,
    next_bucket, qoe_load32, qoe_load64, tag_of,
)
from qoe_native.intrin cimport begin_write, unlikely
from qoe_native.layers cimport Headers


cdef enum:
    EVICT_PROBES = 8           # candidates looked at to evict one
    NURSERY_PROBES = 1024      # flows made lately that are looked at when all candidates are long; each once
    NURSERY_SHARE = 4          # the nursery remembers as many flows as a quarter of the table
    SHORT_PACKETS = 2          # a flow of no more may be one of a flood
    EVICT_SHORT_S = 10         # and counts as this much longer idle
    EVICT_MEDIA_FACTOR = 16    # a decided media flow counts as this much less idle


cdef struct Table:
    Index index
    Flow *flows
    Opening *openings
    uint8_t *addresses         # 32 bytes a record
    uint32_t *due              # ticks of ageing.pxd at which a record is to be looked at
    Extension *extensions
    uint32_t max_flows, n_records, high_water, n_live, n_ended
    uint32_t free_head, ended_head, ended_tail, hand, eviction_hand, flush_hand
    uint32_t max_extensions, extension_high_water, free_extension
    uint32_t *nursery          # ring: records in the order in which flows were made
    uint32_t nursery_head, nursery_tail, nursery_mask
    uint64_t seed[4]
    uint64_t next_id, id_step  # of the shard: flow identifiers are unique over all


cdef inline int match_ipv6(const uint8_t *addresses, const Headers *h, bint forward, bint reverse) noexcept nogil:
    if forward and memcmp(addresses, h.src, 16) == 0 and memcmp(addresses + 16, h.dst, 16) == 0:
        return 0
    if reverse and memcmp(addresses + 16, h.src, 16) == 0 and memcmp(addresses, h.dst, 16) == 0:
        return 1
    return -1


cdef inline int match_flow(const Table *t, uint32_t record, const Headers *h, const Key *key) noexcept nogil:
    # 0 forward, 1 reverse, -1 another flow; no branch on the direction, which nothing predicts
    cdef:
        const Flow *f = &t.flows[record]
        uint64_t pair = qoe_load64(f.addr), kind = qoe_load64(&f.protocol) & KIND_MASK
        uint32_t ports = qoe_load32(f.port)
        bint forward = ((pair ^ key.pair) | (ports ^ key.ports)) == 0
        bint reverse = ((pair ^ (key.pair << 32 | key.pair >> 32)) | (ports ^ (key.ports << 16 | key.ports >> 16))) == 0
    if unlikely(kind != key.kind or (forward | reverse) == 0):
        return -1
    if unlikely(h.ip_version == 6):
        return match_ipv6(&t.addresses[32 * <uint64_t> record], h, forward, reverse)
    return 1 - forward


cdef inline uint32_t find_flow(const Table *t, const Headers *h, const Key *key, int *direction) noexcept nogil:
    cdef:
        Bucket *home = home_bucket(&t.index, home_of(key.hashed))
        Bucket *b = home
        uint32_t found, record
    while True:
        found = match_tags(b.tag, tag_of(key.hashed))
        while found:
            record = b.record[lowest_bit(found)]
            found &= found - 1
            if record:
                direction[0] = match_flow(t, record - 1, h, key)
                if direction[0] >= 0:
                    return record - 1
        if b.n_passed == 0:
            return NONE
        b = next_bucket(&t.index, b)
        if unlikely(b == home):                   # a small table can have every bucket passed by
            return NONE


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
    f.context = t.free_head
    t.free_head = record


cdef inline uint32_t pop_ended(Table *t) noexcept nogil:
    cdef uint32_t record = t.ended_head
    if record != NONE:
        t.ended_head = t.flows[record].context
        if t.ended_head == NONE:
            t.ended_tail = NONE
        t.n_ended -= 1
    return record


cdef inline void push_ended(Table *t, uint32_t record, int reason) noexcept nogil:
    # takes a live record out of the index and queues it for export
    cdef Flow *f = &t.flows[record]
    index_remove(&t.index, t.openings[record].home, record)
    f.life = RECORD_ENDED | (reason << 4)
    f.context = NONE
    if t.ended_tail == NONE:
        t.ended_head = record
    else:
        t.flows[t.ended_tail].context = record
    t.ended_tail = record
    t.n_ended += 1
    t.n_live -= 1


cdef inline bint is_short(const Flow *f) noexcept nogil:
    return n_packets(f) <= SHORT_PACKETS


cdef inline double idle_s(const Flow *f, uint64_t now_ns) noexcept nogil:
    cdef uint64_t last = last_seen(f)
    return <double> <int64_t> (now_ns - last if now_ns > last else last - now_ns) * 1e-9


cdef inline double evictability(const Flow *f, uint64_t now_ns) noexcept nogil:
    # seconds idle, by a class-aware measure
    if is_short(f):
        return idle_s(f, now_ns) + EVICT_SHORT_S
    return idle_s(f, now_ns) / (EVICT_MEDIA_FACTOR if QOE_VIDEO <= f.verdict & 15 <= QOE_GAMING else 1)


cdef inline uint32_t oldest_short(Table *t) noexcept nogil:
    # of the flows made lately the first that is still short; NONE when those looked at have grown or ended
    cdef:
        uint32_t _i, record
    for _i in range(NURSERY_PROBES):
        if t.nursery_tail == t.nursery_head:
            return NONE
        record = t.nursery[t.nursery_tail & t.nursery_mask]
        t.nursery_tail += 1
        if is_live(&t.flows[record]) and is_short(&t.flows[record]):
            return record
    return NONE


cdef inline uint32_t choose_victim(Table *t, uint64_t now_ns) noexcept nogil:
    # The most evictable of a few candidates. The hand goes round, so that what was made last is met last. A flood of
    # one-packet flows pushes out itself, not what is beside it: where the hand meets long flows alone, one of the
    # flood is looked for among the flows that were made lately.
    cdef:
        uint32_t _i, seen = 0, best = NONE, young, record = t.eviction_hand
        double score, worst = -1.0
    for _i in range(t.high_water):
        record = record + 1 if record + 1 < t.high_water else 0
        if not is_live(&t.flows[record]):
            continue
        seen += 1
        score = evictability(&t.flows[record], now_ns)
        if score > worst:
            worst = score
            best = record
        if seen >= EVICT_PROBES:
            break
    t.eviction_hand = record
    if worst < EVICT_SHORT_S:
        young = oldest_short(t)
        return best if young == NONE else young
    return best


cdef inline uint32_t take_record(Table *t) noexcept nogil:
    cdef uint32_t record
    if t.free_head != NONE:
        record = t.free_head
        t.free_head = t.flows[record].context
        return record
    if t.high_water < t.n_records:
        record = t.high_water
        t.high_water += 1
        return record
    return NONE


cdef inline void start_flow(Table *t, uint32_t record, const Headers *h, const Key *key,
                            uint64_t ts_ns) noexcept nogil:
    # leaves the record marked busy: it is shown once its first packet is counted
    cdef:
        Flow *f = &t.flows[record]
        Opening *o = &t.openings[record]
    memset(f, 0, sizeof(Flow))
    begin_write(&f.busy)
    memset(o, 0, sizeof(Opening))
    memcpy(f.addr, &key.pair, 8)
    f.port[0] = h.src_port
    f.port[1] = h.dst_port
    f.context = h.context
    f.protocol = h.protocol
    if h.ip_version == 6:
        f.flags = IS_IPV6
        memcpy(&t.addresses[32 * <uint64_t> record], h.src, 16)
        memcpy(&t.addresses[32 * <uint64_t> record + 16], h.dst, 16)
    f.life = h.ip_version
    f.id_low = <uint32_t> t.next_id
    f.id_high = <uint16_t> (t.next_id >> 32)
    f.first_ns = ts_ns
    f.extension = NONE
    o.home = home_of(key.hashed)
    t.next_id += t.id_step
    t.n_live += 1
    t.nursery[t.nursery_head & t.nursery_mask] = record
    t.nursery_head += 1
    if t.nursery_head - t.nursery_tail > t.nursery_mask:
        t.nursery_tail += 1
    index_insert(&t.index, key.hashed, record)
