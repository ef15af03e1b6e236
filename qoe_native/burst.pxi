# What every packet passes through, textually included by engine.pyx: a burst is decoded and hashed, the index
# lines it needs are fetched, then the records, then what belongs to them; only then is anything updated, so that
# the memory of 64 packets is on its way at once.

cdef enum:
    BURST = 64                     # packets decoded, hashed and prefetched together
    DECIDE_IDLE_PACKETS = 4        # a long gap brings a decision forward from this many packets on
    DECIDE_EVERY = 4096            # packets between decisions at most
    DEFER_PACKETS = 3              # before a mark alone (DSCP, cell hint) is worth an extension


cdef inline bint decision_is_due(uint64_t n) noexcept nogil:
    # after 4, 8, 16, ... packets, then every 4,096
    return n & (DECIDE_EVERY - 1) == 0 or (n & (n - 1) == 0 and n >= 4)


cdef void note_identifiers(Extension *x, const Headers *h, const qoe_packet *packet, int way) noexcept nogil:
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
    if n_packets(f) <= N_INSPECT:
        f.signals |= tcp_signal(h)
    if x == NULL:
        return
    tcp_packet(f, x, h, way, ts_ns)
    if chunk_packet(f, x, h, way, ts_ns, &chunk):
        keep_chunk(e, &chunk)


cdef void measure_rtp(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    cdef Extension *x = want_extension(e, f)
    if x != NULL:
        rtp_packet(&x.state.rtp[way], h, ts_ns)
        if x.state.rtp[way].confirmed:
            f.signals |= QOE_SAW_RTP


cdef void note_quic(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    cdef Extension *x = want_extension(e, f)
    if x != NULL:
        x.quic_version = be32(h.payload + 1)
        if way == 1 and x.handshake_rtt_us == 0 and ts_ns > f.first_ns and f.packets[1] == 1:
            x.handshake_rtt_us = <uint32_t> min((ts_ns - f.first_ns) // 1000 + 1, <uint64_t> 60000000)


cdef inline void measure_udp(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    cdef:
        Extension *x
        uint8_t signal
        qoe_chunk chunk
    if n_packets(f) <= N_INSPECT and not f.signals & QOE_SAW_RTP and is_dns(h):
        f.signals |= QOE_SAW_DNS
        return
    if is_rtp(h):
        measure_rtp(e, f, h, way, ts_ns)
        return
    signal = udp_signal(h)
    f.signals |= signal
    if signal == QOE_SAW_QUIC:
        note_quic(e, f, h, way, ts_ns)
    if f.signals & QOE_SAW_QUIC:
        x = extension_of(e, f)
        if x != NULL and chunk_packet(f, x, h, way, ts_ns, &chunk):
            keep_chunk(e, &chunk)


cdef inline uint32_t find_or_make(qoe_engine *e, const Headers *h, uint64_t hashed, uint32_t guess, uint64_t ts_ns,
                                  int *way) noexcept nogil:
    # guess: record + 1 that the index gave before the burst, or 0
    cdef:
        uint32_t record = NONE
        int reason
    if unlikely(h.fragment == LATER_PIECE):
        record = flow_of_piece(e, &h.piece, way)
        if record != NONE:
            return record                         # a datagram is not split between flows
    if guess:
        way[0] = match_flow(&e.table, guess - 1, h)
        if likely(way[0] >= 0):
            record = guess - 1
    if record == NONE:
        record = find_flow(&e.table, h, hashed, way)
    if record != NONE:
        reason = expiry(e, &e.table.flows[record], ts_ns)
        if likely(reason == QOE_LIVE):
            return record
        end_flow(e, record, reason)
    way[0] = 0
    return new_flow(e, h, hashed, ts_ns)


cdef inline uint64_t gap_before(Flow *f, uint64_t ts_ns) noexcept nogil:
    # time since the flow's last packet; 0 for its first and where the clock ran backwards
    cdef uint64_t last = last_seen(f)
    if unlikely(n_packets(f) == 0):
        return 0
    if unlikely(ts_ns < last):
        f.flags |= QOE_CLOCK_BACK
        return 0
    return ts_ns - last


cdef inline void measure(qoe_engine *e, uint32_t record, const Headers *h, const qoe_packet *packet,
                         int way) noexcept nogil:
    cdef:
        Flow *f = &e.table.flows[record]
        Opening *o = &e.table.openings[record]
        uint64_t gap_ns = gap_before(f, packet.ts_ns), n
        Extension *x
        bint idle = gap_ns >= IDLE_NS
    count_packet(f, o, h, way, packet.ts_ns, packet.wire_len, gap_ns)
    n = n_packets(f)
    if unlikely(idle):
        o.n_idle += o.n_idle < 65535
    if h.tunnel or (h.dscp | packet.cell_hint and n >= DEFER_PACKETS):
        x = want_extension(e, f)
        if x != NULL:
            note_identifiers(x, h, packet, way)
    if likely(h.fragment != LATER_PIECE):
        if h.protocol == TCP and h.tcp_flags:     # none at all: the header was cut off
            measure_tcp(e, f, h, way, packet.ts_ns)
        elif h.protocol == UDP:
            measure_udp(e, f, h, way, packet.ts_ns)
    if unlikely(decision_is_due(n)):
        decide_flow(e, record, False)
    elif unlikely(idle) and n >= DECIDE_IDLE_PACKETS and o.n_idle & (o.n_idle - 1) == 0:
        decide_flow(e, record, False)


cdef inline void fill_verdict(qoe_verdict *out, const Flow *f, int way) noexcept nogil:
    out.flow_id = flow_id_of(f)
    out.confidence = f.confidence * <float> (1.0 / 255.0)
    out.evidence = f.evidence
    out.app_class = f.verdict & 15
    out.state = f.verdict >> 4
    out.direction = <uint8_t> way
    out.status = QOE_PKT_FLOW
    out.reserved = 0


cdef inline void track(qoe_engine *e, const Headers *h, const qoe_packet *packet, uint64_t hashed, uint32_t guess,
                       qoe_verdict *out) noexcept nogil:
    cdef:
        int way = 0
        uint32_t record
        Flow *f
    e.counters.clock_back += packet.ts_ns < e.now_ns
    set_clock(e, packet.ts_ns)
    record = find_or_make(e, h, hashed, guess, packet.ts_ns, &way)
    f = &e.table.flows[record]
    if unlikely(h.fragment == FIRST_PIECE or h.carried):
        note_pieces(e, h, record, way)
    begin_write(&f.busy)
    measure(e, record, h, packet, way)
    end_write(&f.busy)
    if out != NULL:
        fill_verdict(out, f, way)


cdef void pass_over(qoe_engine *e, const qoe_packet *packet, int status, qoe_verdict *out) noexcept nogil:
    # a packet that belongs to no flow, or to none of ours
    e.counters.by_status[QOE_PKT_FLOW] -= 1
    e.counters.by_status[status] += 1
    if status == QOE_PKT_OTHER_SHARD:
        e.counters.packets -= 1
        e.counters.bytes -= packet.wire_len
    elif packet.captured_len == 0:
        e.counters.zero_length += 1
    if out != NULL:
        memset(out, 0, sizeof(qoe_verdict))
        out.status = <uint8_t> status


cdef inline int sort_out(qoe_engine *e, const Headers *h, int status, uint64_t hashed) noexcept nogil:
    # what is for the other shards of an engine that shares its packets; the first takes what is in no flow
    if status == QOE_PKT_FLOW:
        return QOE_PKT_FLOW if is_ours(e, h, hashed) else QOE_PKT_OTHER_SHARD
    return status if e.config.shard == 0 else QOE_PKT_OTHER_SHARD


cdef inline void fetch_record(const qoe_engine *e, uint32_t guess) noexcept nogil:
    cdef const Flow *f = &e.table.flows[guess - 1]
    prefetch(f)
    prefetch(&f.n_bytes)


cdef inline void fetch_rest(const qoe_engine *e, uint32_t guess) noexcept nogil:
    # what belongs to a record, as its first line tells
    cdef:
        const Flow *f = &e.table.flows[guess - 1]
        uint64_t n = n_packets(f)
        const Extension *x
    if n < FIRST_PACKETS or decision_is_due(n + 1):
        prefetch(&e.table.openings[guess - 1])
    if f.extension != NONE:
        x = &e.table.extensions[f.extension]
        prefetch(x)
        prefetch(&x.state)
        prefetch(&x.state.tcp.next_seq)
    if f.flags & IS_IPV6:
        prefetch(&e.table.addresses[32 * <uint64_t> (guess - 1)])


cdef void take_burst(qoe_engine *e, const qoe_packet *packets, uint32_t n, qoe_verdict *out) noexcept nogil:
    cdef:
        Headers headers[BURST]
        uint64_t hashed[BURST]
        int status[BURST]
        const uint8_t *data[BURST]
        uint32_t guess[BURST]
        uint32_t i
    for i in range(n):
        data[i] = qoe_isolate(packets[i].data, packets[i].captured_len)
        status[i] = decode(data[i], packets[i].captured_len, packets[i].wire_len, packets[i].link_type, &headers[i])
        e.counters.bytes += packets[i].wire_len
        if likely(status[i] == QOE_PKT_FLOW):
            hashed[i] = hash_headers(e.table.seed, &headers[i])
            prefetch(home_bucket(&e.table.index, home_of(hashed[i])))
        if e.config.n_shards > 1:
            status[i] = sort_out(e, &headers[i], status[i], hashed[i])
    e.counters.packets += n
    e.counters.by_status[QOE_PKT_FLOW] += n
    for i in range(n):
        guess[i] = guess_record(&e.table.index, hashed[i]) if likely(status[i] == QOE_PKT_FLOW) else 0
        if guess[i]:
            fetch_record(e, guess[i])
    for i in range(n):
        if guess[i]:
            fetch_rest(e, guess[i])
    for i in range(n):
        if likely(status[i] == QOE_PKT_FLOW):
            track(e, &headers[i], &packets[i], hashed[i], guess[i], &out[i] if out != NULL else NULL)
        else:
            pass_over(e, &packets[i], status[i], &out[i] if out != NULL else NULL)
        qoe_release(data[i])
    if e.table.high_water:
        age(e, n // 4 + 1)
