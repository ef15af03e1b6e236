# What every packet passes through, textually included by engine.pyx: a burst is decoded and hashed, the index
# lines it needs are fetched, then the records, then what belongs to them; only then is anything updated, so that
# the memory of 64 packets is on its way at once.
#
# What the stages cost, in instructions a packet (callgrind; 64-byte UDP, 64 a burst, steady state; GCC 12 -O3):
#   read      145   decode_plain 75, key and hash 60, prefetches
#   guess      25   ten tags at once, two prefetches of a record and one of its opening
#   fetch      10   prefetch of extension and IPv6 addresses
#   find       80   compare the key, both ways at once; time-outs; clock
#   count     150   moments (30), intervals (40), histograms (45), counts
#   UDP        25   is it DNS, RTP, RTCP, STUN, DTLS, QUIC?
#   verdict    22
#   loops      50   and ageing 5: a quarter of a record a packet
# 520 in all, 24 ns on a Zen 5 core with 1,000 flows, 49 with a million. A decision is 3,000 more, some 170 ns; a
# new flow 600.

cdef enum:
    BURST = 64                     # packets decoded, hashed and prefetched together
    HEADER_BYTES = 66              # Ethernet, IPv4 and TCP with time stamps: what is read of most packets
    DECIDE_IDLE_PACKETS = 4        # a long gap brings a decision forward from this many packets on
    DECIDE_EVERY = 4096            # packets between decisions at most
    NO_FLOW_OF_OURS = QOE_PKT_N_STATUS    # belongs to no flow: the first shard's
    DEFER_PACKETS = 3              # before a mark alone (DSCP, cell hint) is worth an extension


cdef inline bint decision_is_due(uint64_t n) noexcept nogil:
    # after 4, 8, 16, ... packets, then every 4,096
    return n & (DECIDE_EVERY - 1) == 0 or (n & (n - 1) == 0 and n >= 4)


cdef inline bint is_own_header(const Flow *f, const Headers *h, int way) noexcept nogil:
    # or that of the tunnel whose later piece this is
    return h.fragment != LATER_PIECE or (f.addr[way] == fold_address(h.src) and f.addr[1 - way] == fold_address(h.dst))


cdef void note_identifiers(Extension *x, const Headers *h, const qoe_packet *packet, int way,
                           bint own) noexcept nogil:
    # what a packet does not carry (later pieces of a tunnel's datagram) leaves what is known
    x.tunnel |= h.tunnel
    if h.dscp and own:
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


cdef inline void measure_tcp(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns,
                             uint64_t n) noexcept nogil:
    cdef:
        Extension *x = extension_of(e, f)
        qoe_chunk chunk
    if x == NULL and (way == 1 or h.payload_len):
        x = want_extension(e, f)
    if unlikely(n <= N_INSPECT):
        f.signals |= tcp_signal(h)
    if x == NULL or not (x.state.tcp.followed or way == 1 or h.payload_len):
        return                                    # the same in a tunnel, whose packets all have an extension
    x.state.tcp.followed = 1
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


cdef inline void measure_udp(qoe_engine *e, Flow *f, const Headers *h, int way, uint64_t ts_ns,
                             uint64_t n) noexcept nogil:
    cdef:
        Extension *x
        uint8_t signal
        qoe_chunk chunk
    if unlikely(n <= N_INSPECT) and not f.signals & QOE_SAW_RTP and is_dns(h):
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


cdef inline uint32_t find(const qoe_engine *e, const Headers *h, const Key *key, uint32_t guess,
                          int *way) noexcept nogil:
    # guess: record + 1 that the index gave before the burst, or 0
    if likely(guess):
        way[0] = match_flow(&e.table, guess - 1, h, key)
        if likely(way[0] >= 0):
            return guess - 1
    return find_flow(&e.table, h, key, way)


cdef uint32_t renew(qoe_engine *e, const Headers *h, const Key *key, uint32_t record, int reason, uint64_t ts_ns,
                    int *way) noexcept nogil:
    # another flow of this key, or the first
    if record != NONE:
        end_flow(e, record, reason)
    way[0] = 0
    return new_flow(e, h, key, ts_ns)


cdef inline void measure(qoe_engine *e, uint32_t record, const Headers *h, const qoe_packet *packet, int way,
                         uint64_t ts_ns, uint64_t n, uint64_t gap_ns) noexcept nogil:
    # n packets came before, the last one gap_ns ago
    cdef:
        Flow *f = &e.table.flows[record]
        Opening *o = &e.table.openings[record]
        Extension *x
        bint idle = gap_ns >= IDLE_NS
    count_packet(f, o, h, way, ts_ns, packet.wire_len, n, gap_ns)
    n += 1
    if unlikely(idle):
        o.n_idle += o.n_idle < 65535
    if unlikely(h.tunnel or (h.dscp | packet.cell_hint and n >= DEFER_PACKETS)):
        x = want_extension(e, f)
        if x != NULL:
            note_identifiers(x, h, packet, way, is_own_header(f, h, way))
    if likely(h.fragment != LATER_PIECE):
        if h.protocol == TCP and h.tcp_flags:     # none at all: the header was cut off
            measure_tcp(e, f, h, way, ts_ns, n)
        elif h.protocol == UDP:
            measure_udp(e, f, h, way, ts_ns, n)
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


cdef inline void track(qoe_engine *e, const Headers *h, const qoe_packet *packet, const Key *key, uint32_t guess,
                       qoe_verdict *out) noexcept nogil:
    cdef:
        int way = 0, reason = QOE_LIVE
        uint32_t record = NONE
        uint64_t ts_ns = earlier(packet.ts_ns, LAST_NS), last = 0, n = 0, gap_ns = 0
        Flow *f
    e.counters.clock_back += ts_ns < e.now_ns
    set_clock(e, ts_ns)
    if unlikely(h.fragment == LATER_PIECE):
        record = flow_of_piece(e, &h.piece, &way)      # a datagram is not split between flows
    if likely(record == NONE):
        record = find(e, h, key, guess, &way)
        if likely(record != NONE):
            f = &e.table.flows[record]
            reason = expiry(e, f, last_seen(f), ts_ns)
        if unlikely(record == NONE or reason != QOE_LIVE):
            record = renew(e, h, key, record, reason, ts_ns, &way)
    f = &e.table.flows[record]
    n = n_packets(f)
    last = last_seen(f)
    if unlikely(h.fragment == FIRST_PIECE or h.carried):
        note_pieces(e, h, record, way)
    begin_write(&f.busy)
    if likely(ts_ns >= last):
        gap_ns = ts_ns - last if n else 0
    else:
        f.flags |= QOE_CLOCK_BACK
    measure(e, record, h, packet, way, ts_ns, n, gap_ns)
    end_write(&f.busy)
    if out != NULL:
        fill_verdict(out, f, way)


cdef void pass_over(qoe_engine *e, const qoe_packet *packet, int status, qoe_verdict *out) noexcept nogil:
    # a packet that belongs to no flow, or to none of ours; the clock is that of all shards' flows
    if status == QOE_PKT_OTHER_SHARD:
        set_clock(e, earlier(packet.ts_ns, LAST_NS))
    elif status == NO_FLOW_OF_OURS:
        status = QOE_PKT_OTHER_SHARD
    e.counters.by_status[status] += 1
    if status != QOE_PKT_OTHER_SHARD and packet.captured_len == 0:
        e.counters.zero_length += 1
    if out != NULL:
        memset(out, 0, sizeof(qoe_verdict))
        out.status = <uint8_t> status


cdef inline int sort_out(qoe_engine *e, const Headers *h, int status, uint64_t hashed) noexcept nogil:
    # what is for the other shards of an engine that shares its packets; the first takes what is in no flow
    if status == QOE_PKT_FLOW:
        return QOE_PKT_FLOW if is_ours(e, h, hashed) else QOE_PKT_OTHER_SHARD
    return status if e.config.shard == 0 else NO_FLOW_OF_OURS


cdef inline void fetch_headers(const qoe_packet *packet) noexcept nogil:
    # by numbers: there is no pointer behind NULL, which a packet without bytes may have
    prefetch(packet.data)
    prefetch(<const void *> (<size_t> packet.data + HEADER_BYTES))


cdef inline void fetch_record(const qoe_engine *e, uint32_t guess) noexcept nogil:
    cdef const Flow *f = &e.table.flows[guess - 1]
    prefetch(f)
    prefetch(&f.n_bytes)
    prefetch(&e.table.openings[guess - 1])        # young flows and decisions need it; waiting to know costs more


cdef inline void fetch_rest(const qoe_engine *e, uint32_t guess) noexcept nogil:
    # what belongs to a record, as its first line tells
    cdef:
        const Flow *f = &e.table.flows[guess - 1]
        const Extension *x
    if f.extension != NONE:
        x = &e.table.extensions[f.extension]
        prefetch(x)
        prefetch(&x.state)
        prefetch(&x.state.tcp.next_seq)
    if unlikely(f.flags & IS_IPV6):
        prefetch(&e.table.addresses[32 * <uint64_t> (guess - 1)])


cdef inline int read_packet(qoe_engine *e, const uint8_t *data, const qoe_packet *packet, Headers *h,
                            Key *key) noexcept nogil:
    # decodes and hashes; the index's line is on its way
    cdef int status = QOE_PKT_FLOW
    if unlikely(not decode_plain(data, packet.captured_len, packet.wire_len, packet.link_type, h)):
        status = decode(data, packet.captured_len, packet.wire_len, packet.link_type, h)
        if unlikely(status != QOE_PKT_FLOW):
            return status
    make_key(e.table.seed, h, key)
    prefetch(home_bucket(&e.table.index, home_of(key.hashed)))
    return status


cdef void take_burst(qoe_engine *e, const qoe_packet *packets, uint32_t n, qoe_verdict *out) noexcept nogil:
    cdef:
        Headers headers[BURST]
        Key keys[BURST]
        int status[BURST]
        const uint8_t *data[BURST]
        uint32_t guess[BURST]
        uint32_t i, n_ours = 0, n_tracked = 0
        uint64_t n_bytes = 0
    for i in range(n):
        fetch_headers(&packets[i])
    for i in range(n):
        data[i] = qoe_isolate(packets[i].data, packets[i].captured_len)
        status[i] = read_packet(e, data[i], &packets[i], &headers[i], &keys[i])
        if unlikely(e.config.n_shards > 1):
            status[i] = sort_out(e, &headers[i], status[i], keys[i].hashed)
            if status[i] >= QOE_PKT_OTHER_SHARD:
                continue
        n_ours += 1
        n_tracked += status[i] == QOE_PKT_FLOW
        n_bytes += packets[i].wire_len
    e.counters.packets += n_ours
    e.counters.bytes += n_bytes
    e.counters.by_status[QOE_PKT_FLOW] += n_tracked
    for i in range(n):
        guess[i] = guess_record(&e.table.index, keys[i].hashed) if likely(status[i] == QOE_PKT_FLOW) else 0
        if likely(guess[i]):
            fetch_record(e, guess[i])
    for i in range(n):
        if likely(guess[i]):
            fetch_rest(e, guess[i])
    for i in range(n):
        if likely(status[i] == QOE_PKT_FLOW):
            track(e, &headers[i], &packets[i], &keys[i], guess[i], &out[i] if out != NULL else NULL)
        else:
            pass_over(e, &packets[i], status[i], &out[i] if out != NULL else NULL)
        qoe_release(data[i])
    if likely(e.table.high_water):
        age(e, n // 4 + 1)
