# The engine itself, textually included by engine.pyx: how flows begin, are decided and end, and the rings of
# what they leave behind. burst.pxi has what every packet passes through, ageing.pxi what time does.

cdef enum:
    MOST_PACKETS = 0xFFFFFFF0      # of one direction of one flow


cdef struct Fragment:              # first pieces of datagrams whose later pieces carry no ports
    uint64_t key, flow_id          # the one that was tracked last, and its flow
    uint32_t record
    uint8_t way
    uint8_t ours                   # the one that was read last, whose shard's it is: all shards know the same
    uint64_t read_key


cdef struct Interim:               # a live flow that is due for export
    uint64_t flow_id
    uint32_t record


cdef public struct qoe_engine:
    Table table
    Forest forest
    qoe_config config
    qoe_counters counters
    uint64_t now_ns
    uint64_t idle_ns, active_ns    # the timeouts; never is UINT64_MAX
    uint32_t n_rescan              # records whose clock is not to be trusted: ageing looks at each
    Fragment *fragments
    uint32_t fragment_mask
    qoe_chunk *chunks              # ring: [chunk_tail, chunk_head)
    uint64_t chunk_head, chunk_tail
    qoe_decision *decisions        # ring
    uint64_t decision_head, decision_tail
    Interim *interim               # ring
    uint64_t interim_head, interim_tail, interim_mask
    uint64_t *weights              # open addressing: bearer + 1 in the high half, float bits in the low
    uint32_t weight_mask, n_weights


cdef inline void keep_chunk(qoe_engine *e, const qoe_chunk *chunk) noexcept nogil:
    if e.chunk_head - e.chunk_tail >= e.config.max_chunks:
        e.counters.chunks_lost += 1
        return
    e.chunks[e.chunk_head % e.config.max_chunks] = chunk[0]
    e.chunk_head += 1


cdef inline void trace_decision(qoe_engine *e, const Flow *f, const float *features) noexcept nogil:
    cdef qoe_decision *d
    if e.decision_head - e.decision_tail >= e.config.max_decisions:
        e.counters.decisions_lost += 1
        return
    d = &e.decisions[e.decision_head % e.config.max_decisions]
    d.flow_id = flow_id_of(f)
    d.ts_ns = last_seen(f)
    d.packets = <uint32_t> n_packets(f)
    d.app_class = f.verdict & 15
    memcpy(d.features, features, sizeof(d.features))
    e.decision_head += 1


cdef inline Extension *extension_of(qoe_engine *e, const Flow *f) noexcept nogil:
    return &e.table.extensions[f.extension] if f.extension != NONE else NULL


cdef void decide_flow(qoe_engine *e, uint32_t record, bint last) noexcept nogil:
    # not inline: the packet path stays small enough for the instruction cache
    cdef:
        float features[64]
        Flow *f = &e.table.flows[record]
    decide(f, &e.table.openings[record], extension_of(e, f), &e.forest, e.config.options, e.config.min_confidence,
           last, features)
    e.counters.decisions += 1
    if e.config.options & QOE_TRACE_FEATURES:
        trace_decision(e, f, features)


cdef void end_flow(qoe_engine *e, uint32_t record, int reason) noexcept nogil:
    cdef:
        Flow *f = &e.table.flows[record]
        Extension *x = extension_of(e, f)
        qoe_chunk chunk
    begin_write(&f.busy)
    if x != NULL and x.chunk_bytes and close_chunk(f, x, &chunk):
        keep_chunk(e, &chunk)
    if f.payload_bytes[0] | f.payload_bytes[1] or f.flags & IS_LARGE:
        decide_flow(e, record, True)
    else:
        close_verdict(f)                          # it said nothing that a model could go by
    push_ended(&e.table, record, reason)
    end_write(&f.busy)
    if reason == QOE_IDLE_TIMEOUT:
        e.counters.flows_idle += 1
    elif reason == QOE_ACTIVE_TIMEOUT:
        e.counters.flows_active_timeout += 1
    elif reason == QOE_EVICTED:
        e.counters.flows_evicted += 1
    else:
        e.counters.flows_flushed += 1


cdef uint32_t new_flow(qoe_engine *e, const Headers *h, const Key *key, uint64_t ts_ns) noexcept nogil:
    cdef:
        Table *t = &e.table
        uint32_t record
    if t.n_live >= t.max_flows:
        record = choose_victim(t, ts_ns)
        if record != NONE:
            end_flow(e, record, QOE_EVICTED)
    record = take_record(t)
    if record == NONE:                            # all spare records hold ended flows
        release_record(t, pop_ended(t))
        e.counters.exports_lost += 1
        record = take_record(t)
    start_flow(t, record, h, key, ts_ns)
    schedule(e, record)
    if h.protocol == TCP and h.tcp_flags and (h.tcp_flags & (SYN | ACK)) != SYN:
        t.flows[record].flags |= QOE_MID_FLOW
    if speaks_first(h):
        t.flows[record].flags |= SERVER_FIRST
    e.counters.flows_created += 1
    return record


cdef inline Extension *want_extension(qoe_engine *e, Flow *f) noexcept nogil:
    if f.extension == NONE:
        f.extension = take_extension(&e.table)
        if f.extension == NONE and not f.flags & QOE_NO_EXTENSION:
            f.flags |= QOE_NO_EXTENSION
            e.counters.extensions_full += 1
    return extension_of(e, f)


cdef uint64_t fragment_key(const qoe_engine *e, const FragmentKey *k) noexcept nogil:
    cdef uint64_t x = qoe_mum(qoe_load64(k.src) ^ e.table.seed[0], qoe_load64(k.src + 8) ^ e.table.seed[1])
    x ^= qoe_mum(qoe_load64(k.dst) ^ e.table.seed[2], qoe_load64(k.dst + 8) ^ e.table.seed[3])
    x = qoe_mum(x ^ k.id, e.table.seed[1] ^ (<uint32_t> k.ip_version << 8 | k.protocol))
    return x | 1                                  # 0 marks an empty slot


cdef inline Fragment *fragment_slot(const qoe_engine *e, uint64_t key) noexcept nogil:
    return &e.fragments[(key >> 32) & e.fragment_mask]


cdef void note_piece(qoe_engine *e, const FragmentKey *k, uint32_t record, int way) noexcept nogil:
    cdef:
        uint64_t key = fragment_key(e, k)
        Fragment *slot = fragment_slot(e, key)
    slot.key = key
    slot.flow_id = flow_id_of(&e.table.flows[record])
    slot.record = record
    slot.way = <uint8_t> way


cdef void note_pieces(qoe_engine *e, const Headers *h, uint32_t record, int way) noexcept nogil:
    if h.fragment == FIRST_PIECE:
        note_piece(e, &h.piece, record, way)
    if h.carried:
        note_piece(e, &h.carrier, record, way)


cdef void note_shard(qoe_engine *e, const FragmentKey *k, bint ours) noexcept nogil:
    cdef:
        uint64_t key = fragment_key(e, k)
        Fragment *slot = fragment_slot(e, key)
    slot.read_key = key
    slot.ours = ours


cdef bint is_ours(qoe_engine *e, const Headers *h, uint64_t hashed) noexcept nogil:
    # Is this packet of our shard? A datagram's later pieces go where its first piece went. This is told as packets
    # are read, before any of the burst is tracked, and in every shard by the same.
    cdef:
        bint ours = shard_of(hashed, e.config.n_shards) == e.config.shard
        uint64_t key
        Fragment *slot
    if h.fragment == LATER_PIECE:
        key = fragment_key(e, &h.piece)
        slot = fragment_slot(e, key)
        if slot.read_key == key:
            ours = slot.ours
    elif h.fragment == FIRST_PIECE:
        note_shard(e, &h.piece, ours)
    if h.carried:
        note_shard(e, &h.carrier, ours)
    return ours


cdef uint32_t flow_of_piece(qoe_engine *e, const FragmentKey *k, int *way) noexcept nogil:
    cdef:
        uint64_t key = fragment_key(e, k)
        Fragment *slot = fragment_slot(e, key)
        Flow *f
    e.counters.fragments += 1
    if slot.key == key:
        f = &e.table.flows[slot.record]
        if is_live(f) and flow_id_of(f) == slot.flow_id:
            way[0] = <int> slot.way
            return slot.record
    e.counters.fragments_unmatched += 1
    return NONE
