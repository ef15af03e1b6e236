# What time does to flows, textually included by engine.pyx. Time is the host's: that of its packets, or what it
# says through qoe_engine_advance().
#
# Every record has a tick at which it is next worth a look: the earliest moment at which it could be over or due
# for export. Packets do not move it; when it comes, the record tells whether it has been busy since, and a new
# tick is set. So ageing walks through 4 bytes a flow, sixteen flows a cache line, a few with every burst, and a
# flow costs it one look in a timeout.

cdef enum:
    TICK_SHIFT = 24                # a tick is 2^24 ns, 16.8 ms
    FAR_TICKS = 1 << 29            # 104 days: farther is "later"; compared modulo 2^32

cdef enum Moment:
    LAST_NS = 0x7FFFFFFFFFFFFFFF   # any later is taken for it: between two times lie fewer ns than 63 bits hold


cdef inline uint32_t tick_of(uint64_t ns) noexcept nogil:
    return <uint32_t> (ns >> TICK_SHIFT)


cdef inline bint is_due(const qoe_engine *e, uint32_t record) noexcept nogil:
    return <int32_t> (tick_of(e.now_ns) - e.table.due[record]) >= 0


cdef inline uint64_t earlier(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


cdef void schedule(qoe_engine *e, uint32_t record) noexcept nogil:
    cdef:
        const Flow *f = &e.table.flows[record]
        const qoe_config *c = &e.config
        uint64_t latest = e.now_ns + (<uint64_t> FAR_TICKS << TICK_SHIFT)
        uint64_t at = latest, passed
    if e.idle_ns < LAST_NS:                       # no time-out, or one that is never reached, sets no tick
        at = earlier(at, max(last_seen(f), f.first_ns) + e.idle_ns)
    if e.active_ns < LAST_NS:
        at = earlier(at, f.first_ns + e.active_ns)
    if c.export_interval_ns:
        passed = (e.now_ns - f.first_ns) // c.export_interval_ns if e.now_ns > f.first_ns else 0
        at = earlier(at, f.first_ns + (passed + 1) * c.export_interval_ns)
    e.table.due[record] = tick_of(at) + 1         # the tick after: then it is over for certain


cdef inline int expiry(const qoe_engine *e, const Flow *f, uint64_t last_ns, uint64_t now_ns) noexcept nogil:
    # the enum qoe_end_reason by which a flow is over at `now_ns`; QOE_LIVE when it is not
    cdef uint64_t distance
    if likely(last_ns <= now_ns and now_ns - last_ns <= e.idle_ns and now_ns - f.first_ns <= e.active_ns
              and (f.packets[0] | f.packets[1]) <= MOST_PACKETS):
        return QOE_LIVE
    distance = now_ns - last_ns if now_ns > last_ns else last_ns - now_ns
    if distance > e.idle_ns:
        return QOE_IDLE_TIMEOUT                   # also when the clock fell back behind it
    if (f.packets[0] | f.packets[1]) > MOST_PACKETS:
        return QOE_ACTIVE_TIMEOUT                 # before a counter wraps
    return QOE_ACTIVE_TIMEOUT if now_ns > f.first_ns and now_ns - f.first_ns > e.active_ns else QOE_LIVE


cdef bint queue_interim(qoe_engine *e, uint32_t record) noexcept nogil:
    # a live flow whose export is due, if it had a packet since the last one; False: the ring is full, ask again
    cdef:
        const Flow *f = &e.table.flows[record]
        Opening *o = &e.table.openings[record]
        uint64_t interval = e.config.export_interval_ns, passed = 0
        uint16_t since
        Interim *slot
    if e.now_ns > f.first_ns:
        passed = (e.now_ns - f.first_ns) // interval
    since = <uint16_t> (<uint16_t> passed - o.interim)    # intervals since the last look
    if since == 0:
        return True
    if passed >= since and last_seen(f) >= f.first_ns + (passed - since) * interval:
        if e.interim_head - e.interim_tail > e.interim_mask:
            return False
        slot = &e.interim[e.interim_head & e.interim_mask]
        slot.flow_id = flow_id_of(f)
        slot.record = record
        e.interim_head += 1
    o.interim = <uint16_t> passed
    return True


cdef uint32_t look_at(qoe_engine *e, uint32_t record) noexcept nogil:
    # 1 if the flow is over
    cdef:
        const Flow *f = &e.table.flows[record]
        int reason
    if not is_live(f):
        e.table.due[record] = tick_of(e.now_ns) + FAR_TICKS
        return 0
    reason = expiry(e, f, last_seen(f), e.now_ns)
    if reason != QOE_LIVE:
        end_flow(e, record, reason)
        return 1
    if e.config.export_interval_ns and not queue_interim(e, record):
        e.table.due[record] = tick_of(e.now_ns) + 1
        return 0
    schedule(e, record)
    return 0


cdef inline uint32_t age(qoe_engine *e, uint32_t n) noexcept nogil:
    # walks past the next n records; returns how many flows ended
    cdef:
        Table *t = &e.table
        uint32_t _i, ended = 0, record = t.hand
    for _i in range(n):
        record = record + 1 if record + 1 < t.high_water else 0
        if unlikely(is_due(e, record) or e.n_rescan):
            e.n_rescan -= e.n_rescan > 0
            ended += look_at(e, record)
    t.hand = record
    return ended


cdef void leap(qoe_engine *e, uint64_t now_ns) noexcept nogil:
    # a clock that leaps puts ticks out of order: every record is then looked at once
    cdef uint64_t distance = now_ns - e.now_ns if now_ns > e.now_ns else e.now_ns - now_ns
    if distance >> TICK_SHIFT >= FAR_TICKS or (now_ns < e.now_ns and distance > e.idle_ns):
        e.n_rescan = 2 * e.table.high_water + BURST


cdef inline void set_clock(qoe_engine *e, uint64_t now_ns) noexcept nogil:
    if unlikely(now_ns - e.now_ns >= <uint64_t> FAR_TICKS << TICK_SHIFT):     # also when it ran backwards
        leap(e, now_ns)
    e.now_ns = now_ns
