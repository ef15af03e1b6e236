# The functions of qoe.h. No Python object, no interpreter.

cdef enum:
    DEFAULT_FLOWS = 1 << 20
    MAX_FLOWS = 1 << 30
    DEFAULT_FRAGMENTS = 4096
    DEFAULT_RING = 65536
    MAX_SHARDS = 4096
    N_WEIGHTS = 1 << 17            # slots; half of them can be used
    SPARE_SHARE = 64               # one record in so many, and
    SPARE_RECORDS = 1024           # these, hold ended flows until they are exported
    ADDRESS_BYTES = 32             # of an IPv6 flow


cdef inline uint64_t power_of_two(uint64_t n) noexcept nogil:
    cdef uint64_t p = 1
    while p < n:
        p *= 2
    return p


cdef inline uint64_t index_bytes(const Table *t) noexcept nogil:
    return t.index.n_buckets * sizeof(Bucket)


cdef int take_table(qoe_engine *e) noexcept nogil:
    cdef:
        Table *t = &e.table
        uint64_t n
    t.max_flows = e.config.max_flows
    t.n_records = t.max_flows + t.max_flows // SPARE_SHARE + SPARE_RECORDS
    t.max_extensions = e.config.max_extensions
    t.index.n_buckets = t.max_flows // FLOWS_A_BUCKET + 1
    n = t.n_records
    t.index.buckets = <Bucket *> qoe_map(index_bytes(t))
    t.flows = <Flow *> qoe_map(sizeof(Flow) * n)
    t.openings = <Opening *> qoe_map(sizeof(Opening) * n)
    t.addresses = <uint8_t *> qoe_map(ADDRESS_BYTES * n)
    t.due = <uint32_t *> qoe_map(sizeof(uint32_t) * n)
    t.extensions = <Extension *> qoe_map(sizeof(Extension) * <uint64_t> t.max_extensions)
    t.nursery_mask = <uint32_t> power_of_two(t.max_flows // NURSERY_SHARE + 1) - 1
    t.nursery = <uint32_t *> qoe_map(sizeof(uint32_t) * (<uint64_t> t.nursery_mask + 1))
    if t.index.buckets == NULL or t.flows == NULL or t.openings == NULL or t.addresses == NULL or t.due == NULL \
            or t.extensions == NULL or t.nursery == NULL:
        return QOE_ENOMEM
    return QOE_OK


cdef void prefault(const Table *t) noexcept nogil:
    qoe_touch(t.index.buckets, index_bytes(t))
    qoe_touch(t.flows, sizeof(Flow) * <uint64_t> t.n_records)
    qoe_touch(t.openings, sizeof(Opening) * <uint64_t> t.n_records)
    qoe_touch(t.addresses, ADDRESS_BYTES * <uint64_t> t.n_records)
    qoe_touch(t.due, sizeof(uint32_t) * <uint64_t> t.n_records)
    qoe_touch(t.extensions, sizeof(Extension) * <uint64_t> t.max_extensions)


cdef int take_rings(qoe_engine *e) noexcept nogil:
    cdef qoe_config *c = &e.config
    e.fragment_mask = <uint32_t> power_of_two(c.max_fragments) - 1
    e.weight_mask = N_WEIGHTS - 1
    e.interim_mask = power_of_two(max(c.max_flows // SPARE_SHARE, <uint32_t> SPARE_RECORDS)) - 1 \
        if c.export_interval_ns else 0
    e.fragments = <Fragment *> calloc(<uint64_t> e.fragment_mask + 1, sizeof(Fragment))
    e.chunks = <qoe_chunk *> qoe_map(sizeof(qoe_chunk) * <uint64_t> c.max_chunks)
    e.weights = <uint64_t *> qoe_map(N_WEIGHTS * sizeof(uint64_t))
    e.interim = <Interim *> qoe_map((e.interim_mask + 1) * sizeof(Interim))
    if c.options & QOE_TRACE_FEATURES:
        e.decisions = <qoe_decision *> qoe_map(sizeof(qoe_decision) * <uint64_t> c.max_decisions)
        if e.decisions == NULL:
            return QOE_ENOMEM
    if e.fragments == NULL or e.chunks == NULL or e.weights == NULL or e.interim == NULL:
        return QOE_ENOMEM
    return QOE_OK


cdef inline void set_defaults(qoe_config *c) noexcept nogil:
    if c.max_flows == 0:
        c.max_flows = DEFAULT_FLOWS
    if c.max_extensions == 0:
        c.max_extensions = c.max_flows // 4 + 1
    if c.max_fragments == 0:
        c.max_fragments = DEFAULT_FRAGMENTS
    if c.max_chunks == 0:
        c.max_chunks = DEFAULT_RING
    if c.max_decisions == 0:
        c.max_decisions = DEFAULT_RING
    if c.seed == 0:
        c.seed = qoe_random_seed()


cdef inline void spread_seed(uint64_t seed, uint64_t *out) noexcept nogil:
    cdef int i
    for i in range(4):
        out[i] = qoe_mum(seed + <uint64_t> i * 0x9E3779B97F4A7C15ULL, 0xD6E8FEB86659FD93ULL) | 1


cdef public int qoe_engine_create(qoe_engine **out, const qoe_config *config) noexcept nogil:
    cdef:
        qoe_engine *e
        int code
    if out == NULL or config == NULL:
        return QOE_EINVAL
    out[0] = NULL
    if config.struct_size != sizeof(qoe_config):
        return QOE_EVERSION
    if config.max_flows > MAX_FLOWS or config.max_extensions > MAX_FLOWS or config.max_fragments > MAX_FLOWS \
            or config.max_chunks > MAX_FLOWS or config.max_decisions > MAX_FLOWS \
            or not 0 <= config.min_confidence <= 1 or config.n_shards > MAX_SHARDS \
            or config.shard >= max(config.n_shards, <uint32_t> 1) \
            or config.options & ~<uint32_t> (QOE_NO_PORT_HINT | QOE_NO_PROTOCOL_HINT | QOE_TRACE_FEATURES
                                             | QOE_PREFAULT):
        return QOE_EINVAL
    e = <qoe_engine *> calloc(1, sizeof(qoe_engine))
    if e == NULL:
        return QOE_ENOMEM
    e.config = config[0]
    e.config.model = NULL                         # the caller's bytes are copied below, not kept
    set_defaults(&e.config)
    code = forest_load(&e.forest, config.model, config.model_bytes,
                       crc32(<const uint8_t *> QOE_FEATURE_NAMES, text_bytes(QOE_FEATURE_NAMES)))
    if code == QOE_OK:
        code = take_table(e)
    if code == QOE_OK:
        code = take_rings(e)
    if code != QOE_OK:
        qoe_engine_destroy(e)
        return code
    if e.config.min_confidence <= 0:
        e.config.min_confidence = e.forest.header.min_confidence if e.forest.header.n_trees else 0.5
    if e.config.options & QOE_PREFAULT:
        prefault(&e.table)
    spread_seed(e.config.seed, e.table.seed)
    e.idle_ns = e.config.idle_timeout_ns if e.config.idle_timeout_ns else <uint64_t> -1
    e.active_ns = e.config.active_timeout_ns if e.config.active_timeout_ns else <uint64_t> -1
    e.table.next_id = 1 + e.config.shard
    e.table.id_step = max(e.config.n_shards, <uint32_t> 1)
    e.table.free_head = e.table.ended_head = e.table.ended_tail = NONE
    e.table.hand = NONE                           # one before the first record
    e.table.free_extension = NONE
    out[0] = e
    return QOE_OK


cdef inline uint64_t text_bytes(const char *text) noexcept nogil:
    cdef uint64_t n = 0
    while text[n] != 0:
        n += 1
    return n


cdef public void qoe_engine_destroy(qoe_engine *engine) noexcept nogil:
    cdef Table *t
    if engine == NULL:
        return
    t = &engine.table
    qoe_unmap(t.index.buckets, index_bytes(t))
    qoe_unmap(t.flows, sizeof(Flow) * <uint64_t> t.n_records)
    qoe_unmap(t.openings, sizeof(Opening) * <uint64_t> t.n_records)
    qoe_unmap(t.addresses, ADDRESS_BYTES * <uint64_t> t.n_records)
    qoe_unmap(t.due, sizeof(uint32_t) * <uint64_t> t.n_records)
    qoe_unmap(t.nursery, sizeof(uint32_t) * (<uint64_t> t.nursery_mask + 1))
    qoe_unmap(t.extensions, sizeof(Extension) * <uint64_t> t.max_extensions)
    free(engine.fragments)
    qoe_unmap(engine.chunks, sizeof(qoe_chunk) * <uint64_t> engine.config.max_chunks)
    qoe_unmap(engine.decisions, sizeof(qoe_decision) * <uint64_t> engine.config.max_decisions)
    qoe_unmap(engine.weights, N_WEIGHTS * sizeof(uint64_t))
    qoe_unmap(engine.interim, (engine.interim_mask + 1) * sizeof(Interim))
    forest_free(&engine.forest)
    free(engine)


cdef inline bint overlap(const void *a, uint64_t a_bytes, const void *b, uint64_t b_bytes) noexcept nogil:
    return <uint64_t> a < <uint64_t> b + b_bytes and <uint64_t> b < <uint64_t> a + a_bytes


cdef public int qoe_engine_process_burst(qoe_engine *engine, const qoe_packet *packets, uint32_t n,
                                         qoe_verdict *out) noexcept nogil:
    cdef uint32_t at = 0, piece
    if engine == NULL or (packets == NULL and n) or n > 0x7FFFFFFF:
        return QOE_EINVAL
    if out != NULL and overlap(packets, n * sizeof(qoe_packet), out, n * sizeof(qoe_verdict)):
        return QOE_EINVAL                         # verdicts would be written over packets still to be read
    while at < n:
        piece = n - at if n - at < BURST else BURST
        take_burst(engine, packets + at, piece, out + at if out != NULL else NULL)
        at += piece
    return <int> n


cdef struct Record:                # a copy of all that is kept of a flow
    Flow flow
    Opening opening
    Extension extension
    uint8_t addresses[ADDRESS_BYTES]


cdef bint copy_record(const qoe_engine *e, uint32_t number, Record *out) noexcept nogil:
    # False when there is no live flow; else a whole copy, while another thread may be writing. Every packet
    # moves a packet count, every new flow the identifier.
    cdef:
        const Table *t = &e.table
        const Flow *f = &t.flows[number]
        uint32_t identifier
        uint64_t n
    while True:
        # the count before the mark: a count that a packet had moved already, and would not move again, while the
        # rest was still being written would pass for a whole record's
        identifier = f.id_low
        n = n_packets(f)
        read_fence()
        if read_mark(&f.busy):
            pause()
            continue
        memcpy(&out.flow, f, sizeof(Flow))
        if not is_live(&out.flow) and not out.flow.busy:
            return False
        memcpy(&out.opening, &t.openings[number], sizeof(Opening))
        memcpy(out.addresses, &t.addresses[ADDRESS_BYTES * <uint64_t> number], ADDRESS_BYTES)
        if out.flow.extension < t.max_extensions:
            memcpy(&out.extension, &t.extensions[out.flow.extension], sizeof(Extension))
        read_fence()
        if not read_mark(&f.busy) and is_live(f) and f.id_low == identifier and n_packets(f) == n:
            return True


cdef public int qoe_engine_snapshot(const qoe_engine *engine, qoe_flow *out, uint32_t capacity, uint64_t since_ns,
                                    uint64_t *cursor) noexcept nogil:
    cdef:
        Record r
        uint32_t n = 0, number
    if engine == NULL or out == NULL or cursor == NULL:
        return QOE_EINVAL
    while cursor[0] < engine.table.high_water and n < capacity:
        number = <uint32_t> cursor[0]
        cursor[0] += 1
        if last_seen(&engine.table.flows[number]) >= since_ns and copy_record(engine, number, &r):
            export_flow(&r.flow, &r.opening, r.addresses, &r.extension if r.flow.extension != NONE else NULL, &out[n])
            n += 1
    return <int> n


cdef inline void export_record(qoe_engine *e, uint32_t record, qoe_flow *out) noexcept nogil:
    cdef Flow *f = &e.table.flows[record]
    export_flow(f, &e.table.openings[record], &e.table.addresses[ADDRESS_BYTES * <uint64_t> record],
                extension_of(e, f), out)


cdef inline bint export_interim(qoe_engine *e, qoe_flow *out) noexcept nogil:
    # the next of the live flows that are due, as it is now; False when it has ended since
    cdef Interim *due = &e.interim[e.interim_tail & e.interim_mask]
    cdef Flow *f = &e.table.flows[due.record]
    e.interim_tail += 1
    if not is_live(f) or flow_id_of(f) != due.flow_id:
        return False
    export_record(e, due.record, out)
    out.end_reason = QOE_INTERIM
    e.counters.flows_interim += 1
    return True


cdef public int qoe_engine_export(qoe_engine *engine, qoe_flow *out, uint32_t capacity) noexcept nogil:
    cdef uint32_t n = 0, record
    if engine == NULL or (out == NULL and capacity):
        return QOE_EINVAL
    while n < capacity and engine.table.n_ended:
        record = pop_ended(&engine.table)
        export_record(engine, record, &out[n])
        release_record(&engine.table, record)
        n += 1
    while n < capacity and engine.interim_tail < engine.interim_head:
        n += export_interim(engine, &out[n])
    return <int> n


cdef public int qoe_engine_advance(qoe_engine *engine, uint64_t now_ns) noexcept nogil:
    if engine == NULL:
        return QOE_EINVAL
    set_clock(engine, earlier(now_ns, LAST_NS))
    return <int> age(engine, engine.table.high_water)


cdef public int qoe_engine_flush(qoe_engine *engine, uint32_t n) noexcept nogil:
    cdef:
        Table *t
        const Flow *f
        uint32_t ended = 0
        int reason
    if engine == NULL:
        return QOE_EINVAL
    t = &engine.table
    while ended < n and t.n_live:
        if t.flush_hand >= t.high_water:
            t.flush_hand = 0
        f = &t.flows[t.flush_hand]
        if is_live(f):
            reason = expiry(engine, f, last_seen(f), engine.now_ns)
            end_flow(engine, t.flush_hand, reason if reason != QOE_LIVE else QOE_FLUSHED)
            ended += 1
        t.flush_hand += 1
    if t.n_live == 0:
        t.flush_hand = 0                          # the next flush goes by age again
    return <int> ended


cdef public int qoe_engine_chunks(qoe_engine *engine, qoe_chunk *out, uint32_t capacity) noexcept nogil:
    cdef uint32_t n = 0
    if engine == NULL or (out == NULL and capacity):
        return QOE_EINVAL
    while n < capacity and engine.chunk_tail < engine.chunk_head:
        out[n] = engine.chunks[engine.chunk_tail % engine.config.max_chunks]
        engine.chunk_tail += 1
        n += 1
    return <int> n


cdef public int qoe_engine_decisions(qoe_engine *engine, qoe_decision *out, uint32_t capacity) noexcept nogil:
    cdef uint32_t n = 0
    if engine == NULL or (out == NULL and capacity):
        return QOE_EINVAL
    while n < capacity and engine.decision_tail < engine.decision_head:
        out[n] = engine.decisions[engine.decision_tail % engine.config.max_decisions]
        engine.decision_tail += 1
        n += 1
    return <int> n


cdef public int qoe_engine_counters(const qoe_engine *engine, qoe_counters *out) noexcept nogil:
    if engine == NULL or out == NULL:
        return QOE_EINVAL
    out[0] = engine.counters
    return QOE_OK


cdef inline uint32_t weight_slot(const qoe_engine *e, uint32_t bearer) noexcept nogil:
    # where a bearer's weight is, or the empty slot where it would be
    cdef uint32_t slot = <uint32_t> (qoe_mum(bearer + 1, 0x9E3779B97F4A7C15ULL)) & e.weight_mask
    cdef uint64_t entry = read_word(&e.weights[slot])
    while entry != 0 and <uint32_t> (entry >> 32) != bearer + 1:
        slot = (slot + 1) & e.weight_mask
        entry = read_word(&e.weights[slot])
    return slot


cdef public int qoe_engine_set_weights(qoe_engine *engine, const uint32_t *bearer, const float *weight,
                                       uint32_t n) noexcept nogil:
    # One aligned 8-byte store a bearer: a reader sees the old weight or the new one, nothing between.
    cdef:
        uint32_t i, slot, bits, n_new = 0
    if engine == NULL or ((bearer == NULL or weight == NULL) and n) or n > 0x7FFFFFFF:
        return QOE_EINVAL
    for i in range(n):
        if bearer[i] == 0xFFFFFFFFU or not isfinite(weight[i]) or weight[i] < 0:
            return QOE_EINVAL
        n_new += engine.weights[weight_slot(engine, bearer[i])] == 0
    if engine.n_weights + n_new > N_WEIGHTS // 2:
        return QOE_ENOMEM                         # nothing is set: half a decision is worse than none
    for i in range(n):
        slot = weight_slot(engine, bearer[i])
        engine.n_weights += engine.weights[slot] == 0
        memcpy(&bits, &weight[i], 4)
        write_word(&engine.weights[slot], <uint64_t> (bearer[i] + 1) << 32 | bits)
    return <int> n


cdef public float qoe_engine_get_weight(const qoe_engine *engine, uint32_t bearer) noexcept nogil:
    # 1 for a bearer that was given none: the weight of an equal
    cdef:
        uint64_t entry
        uint32_t bits
        float weight
    if engine == NULL or bearer == 0xFFFFFFFFU:
        return 1
    entry = read_word(&engine.weights[weight_slot(engine, bearer)])
    if entry == 0:
        return 1
    bits = <uint32_t> entry
    memcpy(&weight, &bits, 4)
    return weight


cdef public uint32_t qoe_shard(const qoe_packet *packet, uint32_t n_shards, uint64_t seed) noexcept nogil:
    cdef:
        Headers h
        Key key
        uint64_t spread[4]
    if packet == NULL or packet.data == NULL or n_shards < 2:
        return 0
    if decode(packet.data, packet.captured_len, packet.wire_len, packet.link_type, &h) != QOE_PKT_FLOW:
        return 0
    spread_seed(seed, spread)
    if h.fragment:                                # its other pieces know no ports
        h.src_port = h.dst_port = 0
    make_key(spread, &h, &key)
    return shard_of(key.hashed, n_shards)


cdef public const char *qoe_strerror(int code) noexcept nogil:
    if code >= 0:
        return b"success"
    if code == QOE_EINVAL:
        return b"an argument is NULL, out of range, or overlaps another"
    if code == QOE_ENOMEM:
        return b"no memory for the tables asked for"
    if code == QOE_EVERSION:
        return b"qoe_config.struct_size is not this library's: rebuild the host with its qoe.h"
    if code == QOE_EMODEL:
        return b"the model is damaged, or made for another version's features"
    return b"unknown error"


cdef public uint32_t qoe_abi_version() noexcept nogil:
    return QOE_ABI_VERSION
