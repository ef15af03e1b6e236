# How Python calls the engine: buffers in, buffers out, the GIL released. qoe/flows.py gives them dtypes.

cdef enum:
    EXPORT_AT = 8192               # ended flows that make consume() hand back; fewer in a small table


cdef struct PackedPacket:          # PACKET_DTYPE of qoe/schema.py
    uint64_t offset
    uint32_t captured_len, wire_len
    uint64_t ts_ns
    uint32_t link_type, cell_hint


FEATURE_NAMES = tuple((<bytes> QOE_FEATURE_NAMES).decode().split("\n"))
FEATURE_SCHEMA = crc32(<const uint8_t *> QOE_FEATURE_NAMES, text_bytes(QOE_FEATURE_NAMES))
SIZES = {
    "qoe_flow": sizeof(qoe_flow), "qoe_chunk": sizeof(qoe_chunk), "qoe_decision": sizeof(qoe_decision),
    "qoe_verdict": sizeof(qoe_verdict), "qoe_config": sizeof(qoe_config), "qoe_counters": sizeof(qoe_counters),
    "qoe_packet": sizeof(qoe_packet),
}
STATUS_NAMES = (
    "flow", "not_ip", "truncated", "bad_link", "bad_tunnel", "bad_ipv4", "bad_ipv6", "too_deep", "unknown_link_type",
    "other_shard",
)


cdef inline bint host_is_wanted(const qoe_engine *e) noexcept nogil:
    # whether flows or traced decisions should be fetched; a burst ends fewer flows than the spare half that stays
    if e.table.n_ended >= min(EXPORT_AT, (e.table.n_records - e.table.max_flows) // 2):
        return True
    if e.interim_head - e.interim_tail > e.interim_mask // 2:
        return True
    return e.config.options & QOE_TRACE_FEATURES and e.decision_head - e.decision_tail > e.config.max_decisions // 2


cdef class Engine:
    cdef qoe_engine *engine
    cdef bint busy                 # a thread is inside without the GIL

    def __cinit__(self, *, uint32_t max_flows=0, uint32_t max_extensions=0, uint32_t max_fragments=0,
                  uint32_t max_chunks=0, uint32_t max_decisions=0, uint64_t idle_timeout_ns=0,
                  uint64_t active_timeout_ns=0, uint64_t export_interval_ns=0, uint64_t seed=0, uint32_t options=0,
                  uint32_t shard=0, uint32_t n_shards=0,
                  float min_confidence=0.0, const unsigned char[::1] model=None):
        cdef:
            qoe_config config
            int code
        memset(&config, 0, sizeof(config))
        config.struct_size = sizeof(config)
        config.max_flows = max_flows
        config.max_extensions = max_extensions
        config.max_fragments = max_fragments
        config.max_chunks = max_chunks
        config.max_decisions = max_decisions
        config.idle_timeout_ns = idle_timeout_ns
        config.active_timeout_ns = active_timeout_ns
        config.export_interval_ns = export_interval_ns
        config.seed = seed
        config.shard = shard
        config.n_shards = n_shards
        config.options = options
        config.min_confidence = min_confidence
        if model is not None:
            config.model = &model[0] if model.shape[0] else <const uint8_t *> b""
            config.model_bytes = model.shape[0]
        code = qoe_engine_create(&self.engine, &config)
        if code == QOE_ENOMEM:
            raise MemoryError(qoe_strerror(code).decode())
        if code < 0:
            raise ValueError(code, qoe_strerror(code).decode())

    def __dealloc__(self):
        qoe_engine_destroy(self.engine)

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("another thread is using this engine: give each thread one of its own")
        self.busy = True
        return 0

    @property
    def now_ns(self):
        return self.engine.now_ns

    @property
    def n_live(self):
        return self.engine.table.n_live

    @property
    def n_ended(self):
        return self.engine.table.n_ended + (self.engine.interim_head - self.engine.interim_tail)

    def process(self, const unsigned char[::1] data, const unsigned char[::1] packets, unsigned char[::1] out=None):
        cdef:
            uint32_t n = packets.shape[0] // sizeof(PackedPacket), i
            const PackedPacket *given
            qoe_packet *burst
            qoe_verdict *verdicts = NULL
        if packets.shape[0] % sizeof(PackedPacket) or (n and <size_t> &packets[0] % 8):
            raise ValueError("packets: not a whole number of aligned PACKET_DTYPE records")
        if out is not None:
            if <uint64_t> out.shape[0] != n * sizeof(qoe_verdict):
                raise ValueError(f"out: {out.shape[0]} bytes, {n * sizeof(qoe_verdict)} needed for {n} verdicts")
            verdicts = <qoe_verdict *> &out[0] if n else NULL
        if n == 0:
            return 0
        given = <const PackedPacket *> &packets[0]
        for i in range(n):
            if given[i].offset > <uint64_t> data.shape[0] or \
                    given[i].captured_len > <uint64_t> data.shape[0] - given[i].offset:
                raise ValueError(f"packet {i}: bytes {given[i].offset} to {given[i].offset + given[i].captured_len}"
                                 f" lie outside the {data.shape[0]} bytes of data")
        self.enter()
        burst = <qoe_packet *> malloc(n * sizeof(qoe_packet))
        if burst == NULL:
            self.busy = False
            raise MemoryError
        for i in range(n):
            burst[i].data = (&data[0] if data.shape[0] else <const uint8_t *> b"") + given[i].offset
            burst[i].captured_len = given[i].captured_len
            burst[i].wire_len = given[i].wire_len
            burst[i].ts_ns = given[i].ts_ns
            burst[i].link_type = given[i].link_type
            burst[i].cell_hint = given[i].cell_hint
        with nogil:
            qoe_engine_process_burst(self.engine, burst, n, verdicts)
        self.busy = False
        free(burst)
        return n

    def consume(self, CaptureReader reader not None, uint64_t until_ns=0):
        cdef:
            qoe_packet burst[64]
            uint32_t n
            int status
        self.enter()
        with nogil:
            while True:
                n = capture_next(&reader.state, burst, BURST, until_ns)
                status = reader.state.status
                if n:
                    take_burst(self.engine, burst, n, NULL)
                if status == CAPTURE_MORE and reader.refilled < TURN_BYTES \
                        and refill(reader, reader.start, READ_BYTES):
                    continue
                if status != CAPTURE_READY or host_is_wanted(self.engine):
                    break
        self.busy = False
        if status == CAPTURE_READY:
            return "export"
        if status == CAPTURE_MORE:
            return "more"
        if status == CAPTURE_UNTIL:
            return "until"
        return "end" if status == CAPTURE_END else "error"

    def consume_live(self, LiveRing ring not None, uint64_t until_ns=0, uint32_t wait_ms=100):
        ring.check()
        self.enter()
        ring.busy = True
        with nogil:
            consume_ring(self.engine, &ring.state, ring.fd, until_ns, wait_ms)
        ring.busy = self.busy = False
        return ring.status

    def snapshot(self, unsigned char[::1] out, uint64_t since_ns, uint64_t cursor):
        cdef int n = 0
        cdef uint32_t capacity = out.shape[0] // sizeof(qoe_flow)
        if capacity:
            with nogil:                           # beside a thread that processes, if there is one
                n = qoe_engine_snapshot(self.engine, <qoe_flow *> &out[0], capacity, since_ns, &cursor)
        return n, cursor

    def export(self, unsigned char[::1] out):
        cdef int n = 0
        cdef uint32_t capacity = out.shape[0] // sizeof(qoe_flow)
        if capacity:
            self.enter()
            with nogil:
                n = qoe_engine_export(self.engine, <qoe_flow *> &out[0], capacity)
            self.busy = False
        return n

    def advance(self, uint64_t now_ns):
        cdef int n
        self.enter()
        with nogil:
            n = qoe_engine_advance(self.engine, now_ns)
        self.busy = False
        return n

    def flush(self, uint32_t n):
        cdef int ended
        self.enter()
        with nogil:
            ended = qoe_engine_flush(self.engine, n)
        self.busy = False
        return ended

    def chunks(self, unsigned char[::1] out):
        cdef uint32_t capacity = out.shape[0] // sizeof(qoe_chunk)
        return qoe_engine_chunks(self.engine, <qoe_chunk *> &out[0], capacity) if capacity else 0

    def decisions(self, unsigned char[::1] out):
        cdef uint32_t capacity = out.shape[0] // sizeof(qoe_decision)
        return qoe_engine_decisions(self.engine, <qoe_decision *> &out[0], capacity) if capacity else 0

    def predict(self, const float[:, ::1] features, float[:, ::1] out):
        cdef Py_ssize_t i
        if features.shape[1] != QOE_N_FEATURES or out.shape[1] != N_DECIDED or out.shape[0] != features.shape[0]:
            raise ValueError(f"{features.shape[0]} x {features.shape[1]} features and {out.shape[0]} x {out.shape[1]} "
                             f"results: n x {QOE_N_FEATURES} and n x {N_DECIDED} are needed")
        if self.engine.forest.header.n_trees == 0:
            raise ValueError("the engine has no model")
        with nogil:
            for i in range(features.shape[0]):
                forest_predict(&self.engine.forest, &features[i, 0], &out[i, 0])

    def n_chunks(self):
        return self.engine.chunk_head - self.engine.chunk_tail

    def n_decisions(self):
        return self.engine.decision_head - self.engine.decision_tail

    def counters(self):
        cdef qoe_counters c
        qoe_engine_counters(self.engine, &c)
        named = {"packets": c.packets, "bytes": c.bytes}
        for i, name in enumerate(STATUS_NAMES):
            named["packets_" + name] = c.by_status[i]
        named.update(
            zero_length=c.zero_length, fragments=c.fragments, fragments_unmatched=c.fragments_unmatched,
            flows_interim=c.flows_interim, flows_created=c.flows_created, flows_idle=c.flows_idle,
            flows_active_timeout=c.flows_active_timeout, flows_evicted=c.flows_evicted, flows_flushed=c.flows_flushed,
            exports_lost=c.exports_lost, extensions_full=c.extensions_full, chunks_lost=c.chunks_lost,
            decisions_lost=c.decisions_lost, clock_back=c.clock_back, decisions=c.decisions,
        )
        return named

    def set_weights(self, const uint32_t[::1] bearer, const float[::1] weight):
        cdef int code
        if bearer.shape[0] != weight.shape[0]:
            raise ValueError(f"{bearer.shape[0]} bearers, but {weight.shape[0]} weights")
        if bearer.shape[0] == 0:
            return
        code = qoe_engine_set_weights(self.engine, &bearer[0], &weight[0], bearer.shape[0])
        if code < 0:
            raise ValueError(qoe_strerror(code).decode())

    def get_weight(self, uint32_t bearer):
        return qoe_engine_get_weight(self.engine, bearer)


def format_addresses(const unsigned char[::1] flows, bint source):
    """Text addresses of packed ``struct qoe_flow`` records: (bytes of all texts, int32 offsets)."""
    cdef:
        Py_ssize_t n = flows.shape[0] // sizeof(qoe_flow), i
        const qoe_flow *f
        const uint8_t *address
        bytearray text = bytearray(46 * n)
        bytearray offsets = bytearray(4 * (n + 1))
        char *at
        int32_t *offset = <int32_t *> <char *> offsets
        int32_t end = 0
    if n:
        at = <char *> text
        f = <const qoe_flow *> &flows[0]
        for i in range(n):
            offset[i] = end
            address = &f[i].src[0] if source else &f[i].dst[0]
            end += address_text(address, f[i].ip_version, at + end)
        offset[n] = end
    return bytes(text[:end]), bytes(offsets)


def decode_one(const unsigned char[::1] data, uint32_t link_type=1, wire_len=None):
    """Headers that the decoder finds in one frame, by name, with its ``status``: a window for tests."""
    cdef:
        Headers h
        uint32_t n = data.shape[0]
        const uint8_t *isolated = qoe_isolate(&data[0] if n else NULL, n)
        int status
    memset(&h, 0, sizeof(h))
    status = decode(isolated, n, n if wire_len is None else wire_len, link_type, &h)
    found = {"status": status}
    if status == QOE_PKT_FLOW:
        found.update(
            src=bytes(h.src[:16]), dst=bytes(h.dst[:16]), src_port=h.src_port, dst_port=h.dst_port,
            protocol=h.protocol, ip_version=h.ip_version, dscp=h.dscp, fragment=h.fragment,
            tcp_flags=h.tcp_flags, tcp_window=h.tcp_window, tcp_seq=h.tcp_seq,
            tcp_ack=h.tcp_ack, payload_len=h.payload_len,
            payload_captured=h.payload_captured, tunnel=h.tunnel, vni=h.vni, teid=h.teid,
            mpls_label=h.mpls_label, context=h.context, vlan_id=h.vlan_id, pppoe_session=h.pppoe_session,
            qfi=h.qfi, carried=h.carried, payload=bytes(h.payload[:h.payload_captured]),
        )
    qoe_release(isolated)
    return found


def decode_both(const unsigned char[::1] data, uint32_t link_type, uint32_t wire_len):
    """Whether the decoder's short way takes a frame, and whether it then finds what the long way does."""
    cdef:
        Headers h, short_way
        uint32_t n = data.shape[0]
        const uint8_t *isolated = qoe_isolate(&data[0] if n else NULL, n)
        bint taken, agrees
    memset(&h, 0, sizeof(h))
    memset(&short_way, 0, sizeof(h))
    taken = decode_plain(isolated, n, wire_len, link_type, &short_way)
    agrees = decode(isolated, n, wire_len, link_type, &h) == QOE_PKT_FLOW and \
        memcmp(&h, &short_way, <char *> &h.piece - <char *> &h) == 0
    qoe_release(isolated)
    return bool(taken), bool(agrees)


def build_info():
    """How this kernel was built: compiler, instruction set, sanitizers, ABI version, record sizes."""
    return {
        "compiler": QOE_COMPILER.decode(),
        "instruction_set": QOE_INSTRUCTION_SET.decode(),
        "sanitized": bool(QOE_SANITIZED),
        "abi_version": qoe_abi_version(),
        "flow_record_bytes": sizeof(Flow) + sizeof(Opening) + sizeof(uint32_t),
        "ipv6_address_bytes": ADDRESS_BYTES,
        "index_bytes_per_flow": round(sizeof(Bucket) / <double> FLOWS_A_BUCKET, 1),
        "extension_bytes": sizeof(Extension),
    }
