# The engine itself, textually included by engine.pyx: bursts of packets through decode, lookup, update
# and classification, and what ends, ages and overflows around them.

cdef enum:
    BURST = 64                     # packets decoded, hashed and prefetched together
    DECIDE_IDLE_PACKETS = 4        # a long gap brings a decision forward from this many packets on
    DECIDE_EVERY = 4096            # packets between decisions at most
    MOST_PACKETS = 0xFFFFFFF0      # of one direction of one flow
    DEFER_PACKETS = 3              # before a mark alone (DSCP, cell hint) is worth an extension


cdef struct Fragment:              # the first piece of a datagram whose later pieces carry no ports
    uint64_t key, flow_id
    uint32_t record
    uint32_t way


cdef public struct qoe_engine:
    Table table
    Forest forest
    qoe_config config
    qoe_counters counters
    uint64_t now_ns
    Fragment *fragments
    uint32_t fragment_mask
    qoe_chunk *chunks              # ring: [chunk_tail, chunk_head)
    uint64_t chunk_head, chunk_tail
    qoe_decision *decisions        # ring
    uint64_t decision_head, decision_tail
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
    d.flow_id = f.flow_id
    d.ts_ns = last_seen(f)
    d.packets = f.packets[0] + f.packets[1]
    d.app_class = f.verdict & 15
    memcpy(d.features, features, sizeof(d.features))
    e.decision_head += 1


cdef inline Extension *extension_of(qoe_engine *e, const Flow *f) noexcept nogil:
    return &e.table.extensions[f.extension] if f.extension != NONE else NULL


cdef inline void decide_flow(qoe_engine *e, Flow *f, bint last) noexcept nogil:
    cdef float features[64]
    decide(f, extension_of(e, f), &e.forest, e.config.options, e.config.min_confidence, last, features)
    e.counters.decisions += 1
    if e.config.options & QOE_TRACE_FEATURES:
        trace_decision(e, f, features)


cdef inline void end_flow(qoe_engine *e, uint32_t record, int reason) noexcept nogil:
    cdef:
        Flow *f = &e.table.flows[record]
        qoe_chunk chunk
    if f.extension != NONE and e.table.extensions[f.extension].chunk_bytes:
        if close_chunk(f, &e.table.extensions[f.extension], &chunk):
            keep_chunk(e, &chunk)
    decide_flow(e, f, True)
    push_ended(&e.table, record, reason)
    if reason == QOE_IDLE_TIMEOUT:
        e.counters.flows_idle += 1
    elif reason == QOE_ACTIVE_TIMEOUT:
        e.counters.flows_active_timeout += 1
    elif reason == QOE_EVICTED:
        e.counters.flows_evicted += 1
    else:
        e.counters.flows_flushed += 1


cdef inline int expiry(const qoe_engine *e, const Flow *f, uint64_t now_ns) noexcept nogil:
    # the enum qoe_end_reason by which a flow is over at `now_ns`; QOE_LIVE when it is not
    cdef:
        uint64_t last = last_seen(f)
        uint64_t distance = now_ns - last if now_ns > last else last - now_ns
    if e.config.idle_timeout_ns and distance > e.config.idle_timeout_ns:
        return QOE_IDLE_TIMEOUT                   # also when the clock fell back behind it
    if (f.packets[0] | f.packets[1]) > MOST_PACKETS:
        return QOE_ACTIVE_TIMEOUT                 # before a counter wraps
    if e.config.active_timeout_ns and now_ns > f.first_ns and now_ns - f.first_ns > e.config.active_timeout_ns:
        return QOE_ACTIVE_TIMEOUT
    return QOE_LIVE


cdef inline uint32_t age(qoe_engine *e, uint32_t n) noexcept nogil:
    # looks at the next n records; returns how many flows ended
    cdef:
        Table *t = &e.table
        uint32_t i, ended = 0
        int reason
    for i in range(n):
        t.hand = t.hand + 1 if t.hand + 1 < t.high_water else 0
        if t.flows[t.hand].life == RECORD_LIVE:
            reason = expiry(e, &t.flows[t.hand], e.now_ns)
            if reason != QOE_LIVE:
                end_flow(e, t.hand, reason)
                ended += 1
    return ended


cdef inline uint32_t new_flow(qoe_engine *e, const Headers *h, uint64_t hashed, uint64_t ts_ns) noexcept nogil:
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
    start_flow(t, record, h, hashed, ts_ns)
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


cdef inline void note_identifiers(Extension *x, const Headers *h, const qoe_packet *packet, int way) noexcept nogil:
    # what a packet does not carry (later pieces of a tunnel's datagram) leaves what is known
    x.tunnel |= h.tunnel
    x.dscp[way] = h.dscp
    if packet.cell_hint:
        x.cell_hint = packet.cell_hint
    if h.vni:
        x.vni = h.vni
    if h.mpls_label:
        x.mpls_label = h.mpls_label
    if h.vlan_id:
        x.vlan_id = h.vlan_id
    if h.pppoe_session:
        x.pppoe_session = h.pppoe_session
    if h.teid:
        x.teid[way] = h.teid
        x.qfi[way] = h.qfi


cdef inline void measure_tcp(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    cdef:
        Extension *x = extension_of(e, f)
        qoe_chunk chunk
    if x == NULL and (way == 1 or h.payload_len):
        x = want_extension(e, f)
    if f.packets[0] + f.packets[1] <= N_INSPECT:
        f.signals |= tcp_signal(h)
    if x == NULL:
        return
    tcp_packet(f, x, h, way, ts_ns)
    if chunk_packet(f, x, h, way, ts_ns, &chunk):
        keep_chunk(e, &chunk)


cdef inline void measure_udp(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    cdef:
        Extension *x = extension_of(e, f)
        uint8_t signal
        qoe_chunk chunk
    if f.packets[0] + f.packets[1] <= N_INSPECT and not f.signals & QOE_SAW_RTP and is_dns(h):
        f.signals |= QOE_SAW_DNS
        return
    if is_rtp(h):
        if x == NULL:
            x = want_extension(e, f)
        if x != NULL:
            rtp_packet(&x.state.rtp[way], h, ts_ns)
            if x.state.rtp[way].confirmed:
                f.signals |= QOE_SAW_RTP
        return
    signal = udp_signal(h)
    f.signals |= signal
    if signal == QOE_SAW_QUIC:
        if x == NULL:
            x = want_extension(e, f)
        if x != NULL:
            x.quic_version = be32(h.payload + 1)
            if way == 1 and x.handshake_rtt_us == 0 and ts_ns > f.first_ns and f.packets[1] == 1:
                x.handshake_rtt_us = <uint32_t> min((ts_ns - f.first_ns) // 1000 + 1, <uint64_t> 60000000)
    if f.signals & QOE_SAW_QUIC and x != NULL and chunk_packet(f, x, h, way, ts_ns, &chunk):
        keep_chunk(e, &chunk)


cdef inline uint64_t fragment_key(const qoe_engine *e, const FragmentKey *k) noexcept nogil:
    cdef uint64_t x = qoe_mum(qoe_load64(k.src) ^ e.table.seed[0], qoe_load64(k.src + 8) ^ e.table.seed[1])
    x ^= qoe_mum(qoe_load64(k.dst) ^ e.table.seed[2], qoe_load64(k.dst + 8) ^ e.table.seed[3])
    x = qoe_mum(x ^ k.id, e.table.seed[1] ^ (<uint32_t> k.ip_version << 8 | k.protocol))
    return x | 1                                  # 0 marks an empty slot


cdef inline uint32_t flow_of_piece(qoe_engine *e, const FragmentKey *k, int *way) noexcept nogil:
    cdef:
        uint64_t key = fragment_key(e, k)
        Fragment *slot = &e.fragments[(key >> 32) & e.fragment_mask]
        Flow *f
    e.counters.fragments += 1
    if slot.key == key and slot.record < NONE - 1:
        f = &e.table.flows[slot.record]
        if f.life == RECORD_LIVE and f.flow_id == slot.flow_id:
            way[0] = <int> slot.way
            return slot.record
    e.counters.fragments_unmatched += 1
    return NONE


cdef inline void note_piece(qoe_engine *e, const FragmentKey *k, uint32_t record, int way) noexcept nogil:
    cdef:
        uint64_t key = fragment_key(e, k)
        Fragment *slot = &e.fragments[(key >> 32) & e.fragment_mask]
    slot.key = key
    slot.flow_id = e.table.flows[record].flow_id if record < NONE - 1 else 0
    slot.record = record
    slot.way = way


cdef bint is_ours(qoe_engine *e, const Headers *h, uint64_t hashed) noexcept nogil:
    # Is this packet of our shard? A datagram's later pieces go where its first piece went.
    cdef uint64_t key
    cdef Fragment *slot
    cdef bint ours
    if h.fragment == LATER_PIECE:
        key = fragment_key(e, &h.piece)
        slot = &e.fragments[(key >> 32) & e.fragment_mask]
        if slot.key == key:
            return slot.record != NONE
    ours = (hashed >> 16 & 0xFFFF) * e.config.n_shards >> 16 == e.config.shard
    if h.fragment == FIRST_PIECE:
        note_piece(e, &h.piece, NONE - 1 if ours else NONE, 0)
    if h.carried:
        note_piece(e, &h.carrier, NONE - 1 if ours else NONE, 0)
    return ours


cdef inline uint32_t find_or_make(qoe_engine *e, const Headers *h, uint64_t hashed, uint64_t ts_ns,
                                  int *way) noexcept nogil:
    cdef:
        uint32_t record = NONE
        int reason
    if h.fragment == LATER_PIECE:
        record = flow_of_piece(e, &h.piece, way)
        if record != NONE:
            return record                         # a datagram is not split between flows
    if record == NONE:
        record = find_flow(&e.table, h, hashed, way)
    if record != NONE:
        reason = expiry(e, &e.table.flows[record], ts_ns)
        if reason == QOE_LIVE:
            return record
        end_flow(e, record, reason)
    way[0] = 0
    return new_flow(e, h, hashed, ts_ns)


cdef inline void measure(qoe_engine *e, Flow *f, const Headers *h, const qoe_packet *packet, int way) noexcept nogil:
    cdef:
        uint64_t last = last_seen(f), ts_ns = packet.ts_ns, gap_ns = 0
        uint64_t n
        bint was_idle
        Extension *x
    if f.packets[0] + f.packets[1]:
        if ts_ns >= last:
            gap_ns = ts_ns - last
        else:
            f.flags |= QOE_CLOCK_BACK
    was_idle = gap_ns >= 1000000000ULL
    count_packet(f, h, way, ts_ns, packet.wire_len, gap_ns)
    n = <uint64_t> f.packets[0] + f.packets[1]
    if h.tunnel or (h.dscp | packet.cell_hint and n >= DEFER_PACKETS):
        x = want_extension(e, f)
        if x != NULL:
            note_identifiers(x, h, packet, way)
    if h.fragment != LATER_PIECE:
        if h.protocol == TCP and h.tcp_flags:     # none at all: the header was cut off
            measure_tcp(e, f, h, way, ts_ns)
        elif h.protocol == UDP:
            measure_udp(e, f, h, way, ts_ns)
    if n >= f.next_decision:
        f.next_decision = <uint32_t> min(n + min(n, <uint64_t> DECIDE_EVERY), <uint64_t> 0xFFFFFFFF)
        decide_flow(e, f, False)
    elif was_idle and n >= DECIDE_IDLE_PACKETS and f.n_idle & (f.n_idle - 1) == 0:
        decide_flow(e, f, False)


cdef inline void fill_verdict(qoe_verdict *out, const Flow *f, int way, int status) noexcept nogil:
    out.status = status
    out.reserved = 0
    if f == NULL:
        out.flow_id = 0
        out.confidence = 0
        out.evidence = 0
        out.app_class = QOE_UNKNOWN
        out.state = QOE_INSPECTING
        out.direction = 0
        return
    out.flow_id = f.flow_id
    out.app_class = f.verdict & 15
    out.state = f.verdict >> 4
    out.confidence = f.probability[out.app_class - 1] / <float> 255.0 if out.app_class else 0
    out.evidence = f.evidence
    out.direction = way


cdef inline void track(qoe_engine *e, const Headers *h, const qoe_packet *packet, uint64_t hashed,
                       qoe_verdict *out) noexcept nogil:
    cdef:
        int way = 0
        uint32_t record
        Flow *f = NULL
    if packet.ts_ns < e.now_ns:
        e.counters.clock_back += 1
    e.now_ns = packet.ts_ns
    record = find_or_make(e, h, hashed, packet.ts_ns, &way)
    if record != NONE:
        f = &e.table.flows[record]
        if h.fragment == FIRST_PIECE:
            note_piece(e, &h.piece, record, way)
        if h.carried:
            note_piece(e, &h.carrier, record, way)
        measure(e, f, h, packet, way)
    if out != NULL:
        fill_verdict(out, f, way, QOE_PKT_FLOW)


cdef inline void count_status(qoe_engine *e, const qoe_packet *packet, int status) noexcept nogil:
    if status == QOE_PKT_N_STATUS:
        return
    e.counters.by_status[status] += 1
    if status == QOE_PKT_OTHER_SHARD:
        return
    e.counters.packets += 1
    e.counters.bytes += packet.wire_len
    if packet.captured_len == 0:
        e.counters.zero_length += 1


cdef void take_burst(qoe_engine *e, const qoe_packet *packets, uint32_t n, qoe_verdict *out) noexcept nogil:
    # up to BURST packets in three passes, so that the memory each needs is on its way before it is used
    cdef:
        Headers headers[64]
        uint64_t hashed[64]
        int status[64]
        const uint8_t *data[64]
        uint32_t guessed[64]
        uint32_t i, record
    for i in range(n):
        data[i] = qoe_isolate(packets[i].data, packets[i].captured_len)
        status[i] = decode(data[i], packets[i].captured_len, packets[i].wire_len, packets[i].link_type, &headers[i])
        hashed[i] = 0
        if status[i] == QOE_PKT_FLOW:
            hashed[i] = hash_headers(&e.table, &headers[i])
        if e.config.n_shards > 1:
            if status[i] == QOE_PKT_FLOW:
                if not is_ours(e, &headers[i], hashed[i]):
                    status[i] = QOE_PKT_OTHER_SHARD
            elif e.config.shard:
                status[i] = QOE_PKT_N_STATUS              # told by the first shard
        count_status(e, &packets[i], status[i])
        if status[i] == QOE_PKT_FLOW:
            prefetch(&e.table.index[hashed[i] & e.table.mask])
    for i in range(n):
        record = NONE
        if status[i] == QOE_PKT_FLOW:
            record = guess_flow(&e.table, hashed[i])
            if record != NONE:
                prefetch(&e.table.flows[record])
                prefetch(&e.table.flows[record].last_ns)
                prefetch(&e.table.flows[record].size_m2)
                prefetch(&e.table.flows[record].next_seq)
        guessed[i] = record
    for i in range(n):
        if guessed[i] != NONE and e.table.flows[guessed[i]].extension != NONE:
            prefetch(&e.table.extensions[e.table.flows[guessed[i]].extension])
    for i in range(n):
        if status[i] == QOE_PKT_FLOW:
            track(e, &headers[i], &packets[i], hashed[i], &out[i] if out != NULL else NULL)
        elif status[i] == QOE_PKT_OTHER_SHARD:            # it moves the clock, and may end a flow of ours
            e.counters.clock_back += packets[i].ts_ns < e.now_ns
            e.now_ns = packets[i].ts_ns
        if status[i] != QOE_PKT_FLOW and out != NULL:
            fill_verdict(&out[i], NULL, 0, status[i])
        qoe_release(data[i])
    if e.table.high_water:
        age(e, n // 4 + 1)
