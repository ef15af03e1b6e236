# What transport and media framing tell without decryption: TCP sequence and acknowledgement numbers,
# RTP and RTCP, STUN, DTLS, QUIC long headers, TLS and HTTP openings; and the request-response rhythm
# ("chunks") of players and browsers.
from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from qoe_native.abi cimport *
from qoe_native.flow cimport Extension, Flow, RtpState, SERVER_FIRST, TcpState, flow_id_of
from qoe_native.intrin cimport be16, be32
from qoe_native.layers cimport Headers


cdef enum:
    TCP = 6
    UDP = 17
    FIN = 1
    SYN = 2
    RST = 4
    ACK = 16
    RTP_PROBATION = 3              # packets in sequence before a source is believed
    RTP_STRANGERS = 4              # packets of others in a row that end a candidate
    RTP_SILENCE_NS = 2000000000    # of a source, after which another takes its place
    RTP_MAX_JUMP = 3000            # RFC 3550 appendix A.1, MAX_DROPOUT
    RTP_MAX_LATE = 100             # the same, MAX_MISORDER
    RTP_NO_TYPE = 255
    CLOCK_FROM_S = 1               # of an RTP stream from which its timestamp clock is guessed,
    CLOCK_UNTIL_S = 30             # and until when the guess may change
    REORDER_NS = 3000000           # a late segment this soon after a hole is reordering, not retransmission
    TCP_MAX_JUMP = 1 << 24         # bytes; a segment farther off starts the count anew
    CHUNK_MIN_BYTES = 20000        # a response smaller than this is no chunk
    TCP_REQUEST_BYTES = 80         # smaller uplink payloads are acknowledgements of HTTP/2 or TLS
    UDP_REQUEST_BYTES = 300        # QUIC: smaller ones are acknowledgement frames
    N_INSPECT = 8                  # packets of a flow whose payload is looked at for openings


cdef inline bint is_rtp(const Headers *h) noexcept nogil:
    # version 2, not an RTCP packet type (RFC 5761 section 4), header and CSRC list within the payload
    cdef uint32_t kind
    if h.payload_captured < 12 or h.payload_len < 13 or h.payload[0] >> 6 != 2:
        return False
    kind = h.payload[1] & 127
    if 64 <= kind <= 95:
        return False
    return h.payload_len > 12 + 4 * <uint32_t> (h.payload[0] & 15)


cdef inline bint is_quic_version(uint32_t version) noexcept nogil:
    # RFC 9000, RFC 9369, IETF drafts, Google QUIC "Q0xx" and "T0xx", Facebook mvfst
    return (version == 1 or version == 0x6B3343CF or (version >> 8) == 0xFF0000 or (version >> 16) == 0x5130
            or (version >> 16) == 0x5430 or (version >> 8) == 0xFACEB0)


cdef inline uint8_t udp_signal(const Headers *h) noexcept nogil:
    # framing of one UDP payload, as enum qoe_signal; 0 when nothing is recognised
    cdef:
        const uint8_t *p = h.payload
        uint32_t n = h.payload_captured
    if n < 5:
        return 0
    if p[0] >> 6 == 2:
        if n >= 8 and 192 <= p[1] <= 223 and 4 * (<uint32_t> be16(p + 2) + 1) <= h.payload_len:
            return QOE_SAW_RTCP
        return 0
    if n >= 20 and p[0] < 4 and be32(p + 4) == 0x2112A442 and <uint32_t> be16(p + 2) + 20 <= h.payload_len:
        return QOE_SAW_STUN
    if n >= 13 and 20 <= p[0] <= 63 and p[1] == 0xFE and (p[2] == 0xFF or p[2] == 0xFD):
        return QOE_SAW_DTLS
    if p[0] & 0xC0 == 0xC0 and is_quic_version(be32(p + 1)):
        return QOE_SAW_QUIC
    return 0


cdef inline bint is_dns(const Headers *h) noexcept nogil:
    # RFC 1035 section 4.1.1, by the message alone: a known operation, a few records, a label that fits
    cdef const uint8_t *p = h.payload
    if h.payload_captured < 13 or p[2] >> 3 & 15 not in (0, 4, 5):
        return False
    if be16(p + 4) > 4 or be16(p + 6) > 64 or be16(p + 8) > 64 or be16(p + 10) > 64:
        return False
    return be16(p + 4) + be16(p + 6) > 0 and p[12] < 64 and 13 + <uint32_t> p[12] <= h.payload_len


cdef inline uint8_t tcp_signal(const Headers *h) noexcept nogil:
    cdef:
        const uint8_t *p = h.payload
        uint32_t n = h.payload_captured, word
    if n < 5:
        return 0
    if 20 <= p[0] <= 23 and p[1] == 3 and p[2] <= 4:
        return QOE_SAW_TLS
    word = be32(p)
    if word == 0x47455420 or word == 0x504F5354 or word == 0x48545450 or word == 0x50555420 \
            or word == 0x48454144:      # "GET ", "POST", "HTTP", "PUT ", "HEAD"
        return QOE_SAW_HTTP
    return 0


cdef inline uint32_t static_clock_hz(uint32_t payload_type) noexcept nogil:
    # RFC 3551 tables 4 and 5; 0: dynamic or unassigned
    if payload_type == 6:
        return 16000
    if payload_type == 10 or payload_type == 11:
        return 44100
    if payload_type == 16:
        return 11025
    if payload_type == 17:
        return 22050
    if payload_type == 14 or 25 <= payload_type <= 34:
        return 90000
    return 8000 if payload_type <= 18 else 0


cdef inline uint32_t nearest_clock_hz(double measured) noexcept nogil:
    # the usual clock within 4 % of what timestamps over arrival times show; 0 when none fits
    cdef:
        double[7] usual = [8000.0, 16000.0, 24000.0, 32000.0, 44100.0, 48000.0, 90000.0]
        int i
    for i in range(7):
        if fabs(measured - usual[i]) < 0.04 * usual[i]:
            return <uint32_t> usual[i]
    return 0


cdef inline uint32_t rtp_lost(const RtpState *r) noexcept nogil:
    cdef uint32_t expected = r.extended_max - r.extended_base + 1
    return expected - r.received if expected > r.received else 0


cdef inline void rtp_begin(RtpState *r, const Headers *h, uint64_t ts_ns) noexcept nogil:
    # counts from this packet on; what was counted before stands
    r.ssrc = be32(h.payload + 8)
    r.payload_type = h.payload[1] & 127
    r.clock_hz = static_clock_hz(r.payload_type)
    r.extended_base = be16(h.payload + 2)
    r.extended_max = r.extended_base
    r.window = 0xFFFFFFFFFFFFFFFFULL
    r.timestamp = be32(h.payload + 4)
    r.first_timestamp = r.timestamp
    r.arrival_ns = ts_ns
    r.first_ns = ts_ns
    r.received = 1
    r.frames += 1
    r.has_bad = 0
    r.strangers = 0
    r.jitter_us = 0


cdef inline void rtp_candidate(RtpState *r, const Headers *h, uint64_t ts_ns) noexcept nogil:
    r.frames = 0
    r.probation = RTP_PROBATION - 1
    rtp_begin(r, h, ts_ns)


cdef inline void rtp_change(RtpState *r, const Headers *h, uint64_t ts_ns) noexcept nogil:
    # another source, or a restart of this one
    r.lost_before += rtp_lost(r)
    r.received_before += r.received
    rtp_begin(r, h, ts_ns)


cdef inline void guess_clock(RtpState *r, uint32_t timestamp, uint64_t ts_ns) noexcept nogil:
    # Dynamic payload types do not tell their clock; arrival times do, the better the longer: a queue that
    # builds up makes the first second look slow.
    cdef:
        double elapsed_s = <double> (ts_ns - r.first_ns) * 1e-9
        uint32_t clock_hz
    if elapsed_s < CLOCK_FROM_S or elapsed_s > CLOCK_UNTIL_S:
        return
    clock_hz = nearest_clock_hz(<double> <int32_t> (timestamp - r.first_timestamp) / elapsed_s)
    if clock_hz != 0 and clock_hz != r.clock_hz:
        r.clock_hz = clock_hz
        r.jitter_us = 0


cdef inline void rtp_clock(RtpState *r, const Headers *h, uint64_t ts_ns) noexcept nogil:
    cdef:
        uint32_t timestamp = be32(h.payload + 4)
        double gap_us
        int32_t step = <int32_t> (timestamp - r.timestamp)
    if ts_ns > r.first_ns and static_clock_hz(r.payload_type) == 0:
        guess_clock(r, timestamp, ts_ns)
    if r.clock_hz != 0:
        gap_us = (<double> <int64_t> (ts_ns - r.arrival_ns)) * 1e-3 - 1e6 * <double> step / r.clock_hz
        r.jitter_us += <float> ((fabs(gap_us) - r.jitter_us) / 16)
    if step != 0:
        r.frames += 1
    r.timestamp = timestamp
    r.arrival_ns = ts_ns


cdef inline void rtp_stranger(RtpState *r, const Headers *h, uint64_t ts_ns) noexcept nogil:
    # One flow can carry several sources (RFC 8843): the first to be believed is measured until it falls
    # silent.
    r.strangers += r.strangers < 255
    if not r.confirmed:
        if r.strangers >= RTP_STRANGERS:
            rtp_candidate(r, h, ts_ns)
    elif ts_ns > r.arrival_ns and ts_ns - r.arrival_ns > RTP_SILENCE_NS:
        rtp_change(r, h, ts_ns)


cdef inline void rtp_late(RtpState *r, uint32_t back) noexcept nogil:
    # `back` before the newest: a duplicate, or it fills (part of) a run of losses
    cdef bint older, newer
    if back > r.extended_max - r.extended_base:
        return                                    # from before the first
    if back < 63:
        if r.window >> back & 1:
            return
        older = r.window >> (back + 1) & 1
        newer = r.window >> (back - 1) & 1
        if older and newer and r.loss_runs:
            r.loss_runs -= 1
        elif not older and not newer:
            r.loss_runs += 1
        r.window |= 1ULL << back
    r.reordered += 1
    r.received += 1


cdef inline void rtp_far(RtpState *r, const Headers *h, uint32_t sequence, uint64_t ts_ns) noexcept nogil:
    # far from what was expected: believed when its successor comes (RFC 3550 appendix A.1, bad_seq)
    if r.has_bad and sequence == r.bad_sequence:
        rtp_change(r, h, ts_ns)
        return
    r.has_bad = 1
    r.bad_sequence = <uint16_t> ((sequence + 1) & 0xFFFF)


cdef inline void rtp_packet(RtpState *r, const Headers *h, uint64_t ts_ns) noexcept nogil:
    # one RTP packet of this direction (RFC 3550 appendix A.1)
    cdef:
        uint32_t sequence = be16(h.payload + 2)
        uint32_t step
    if r.received == 0:
        rtp_candidate(r, h, ts_ns)
        return
    if be32(h.payload + 8) != r.ssrc:
        rtp_stranger(r, h, ts_ns)
        return
    r.strangers = 0
    step = (sequence - r.extended_max) & 0xFFFF
    if not r.confirmed:
        if step != 1:
            rtp_candidate(r, h, ts_ns)
            return
        r.probation -= 1
        r.confirmed = r.probation == 0
    if step == 0:
        return                                    # a duplicate
    if step < RTP_MAX_JUMP:
        r.loss_runs += step > 1
        r.window = (r.window << step if step < 64 else 0) | 1
        r.extended_max += step
        r.received += 1
        rtp_clock(r, h, ts_ns)
    elif step > 65536 - RTP_MAX_LATE:
        rtp_late(r, 65536 - step)
    else:
        rtp_far(r, h, sequence, ts_ns)


cdef inline void rtt_sample(TcpState *s, int side, uint64_t ns) noexcept nogil:
    cdef uint32_t us = <uint32_t> (ns // 1000) if ns < 60000000000ULL else 60000000
    if us == 0:
        us = 1
    s.rtt_sum_us[side] += us
    s.n_rtt[side] += 1
    if s.rtt_min_us[side] == 0 or us < s.rtt_min_us[side]:
        s.rtt_min_us[side] = us


cdef inline void tcp_acknowledge(TcpState *s, const Headers *h, int other, uint64_t ts_ns) noexcept nogil:
    if s.pending_ns[other] and <int32_t> (h.tcp_ack - s.pending_seq[other]) >= 0:
        if ts_ns >= s.pending_ns[other]:
            rtt_sample(s, other, ts_ns - s.pending_ns[other])
        s.pending_ns[other] = 0


cdef inline void tcp_begin(TcpState *s, int way, uint32_t end, uint64_t ts_ns) noexcept nogil:
    s.has_seq[way] = 1
    s.hole_ns[way] = 0
    s.next_seq[way] = end
    s.pending_seq[way] = end
    s.pending_ns[way] = ts_ns


cdef inline void tcp_segment(TcpState *s, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    # sequence numbers of one direction: in order, after a hole, into one (reordering) or sent again
    cdef:
        bint syn = (h.tcp_flags & SYN) != 0
        uint32_t length = h.payload_len + syn + ((h.tcp_flags & FIN) != 0)
        uint32_t end = h.tcp_seq + length
        int32_t ahead = <int32_t> (h.tcp_seq - s.next_seq[way])
    if syn and (h.tcp_seq != s.syn_seq[way] or not s.has_syn[way]):
        s.has_syn[way] = 1
        s.has_seq[way] = 0                        # the ports serve another connection
        s.syn_seq[way] = h.tcp_seq
    if length == 0:
        return
    if not s.has_seq[way] or not -TCP_MAX_JUMP < ahead < TCP_MAX_JUMP:
        tcp_begin(s, way, end, ts_ns)
        return
    if ahead >= 0:
        if ahead > 0:
            s.hole_ns[way] = ts_ns
        s.next_seq[way] = end
        if s.pending_ns[way] == 0:
            s.pending_seq[way] = end
            s.pending_ns[way] = ts_ns
        return
    if length == 1 and ahead == -1:
        return                                    # a keep-alive
    if s.hole_ns[way] and ts_ns >= s.hole_ns[way] and ts_ns - s.hole_ns[way] < REORDER_NS:
        s.out_of_order[way] += 1
    else:
        s.retransmissions[way] += 1
        s.pending_ns[way] = 0                     # Karn: no round trip from what was sent twice
    if <int32_t> (end - s.next_seq[way]) > 0:
        s.next_seq[way] = end


cdef inline void tcp_handshake(Flow *f, Extension *x, TcpState *s, const Headers *h, int way,
                               uint64_t ts_ns) noexcept nogil:
    # SYN to the acknowledgement of its answer; neither may have been sent twice
    if way == 1 and (h.tcp_flags & (SYN | ACK)) == (SYN | ACK):
        s.syn_ack_ns = ts_ns if s.syn_ack_ns == 0 and f.packets[0] == 1 and f.tcp_flags[0] & SYN else 1
    elif way == 0 and s.syn_ack_ns > 1 and h.tcp_flags & ACK and not f.flags & QOE_MID_FLOW:
        if ts_ns > f.first_ns:
            x.handshake_rtt_us = <uint32_t> min((ts_ns - f.first_ns) // 1000 + 1, <uint64_t> 60000000)
        s.syn_ack_ns = 1


cdef inline void tcp_packet(Flow *f, Extension *x, const Headers *h, int way, uint64_t ts_ns) noexcept nogil:
    cdef TcpState *s = &x.state.tcp
    tcp_handshake(f, x, s, h, way, ts_ns)
    if h.tcp_flags & ACK:
        tcp_acknowledge(s, h, 1 - way, ts_ns)
    if h.tcp_window == 0 and not h.tcp_flags & (SYN | RST) and s.zero_windows[way] < 65535:
        s.zero_windows[way] += 1
    tcp_segment(s, h, way, ts_ns)


cdef inline bint speaks_first(const Headers *h) noexcept nogil:
    # Is a flow's first packet the server's? Its flags tell, where the beginning was missed its lower port.
    if h.protocol == TCP and h.tcp_flags & SYN:
        return h.tcp_flags & ACK
    return h.src_port < h.dst_port


cdef inline int server_side(const Flow *f) noexcept nogil:
    return 0 if f.flags & SERVER_FIRST else 1


cdef inline bint close_chunk(Flow *f, Extension *x, qoe_chunk *out) noexcept nogil:
    # True when a response large enough to count has ended: `out` then holds it
    cdef bint counts = x.chunk_bytes >= CHUNK_MIN_BYTES
    if counts:
        out.flow_id = flow_id_of(f)
        out.request_ns = x.request_ns if x.request_ns else x.chunk_first_ns
        out.first_ns = x.chunk_first_ns
        out.last_ns = x.chunk_last_ns
        out.bytes = x.chunk_bytes
        out.request_bytes = x.request_bytes
        out.direction = server_side(f)
        x.n_chunks += 1
        x.chunk_sum += <double> x.chunk_bytes
        x.chunk_sq += <double> x.chunk_bytes * <double> x.chunk_bytes
        if x.n_chunks == 1:
            x.first_chunk_ns = out.request_ns
        x.last_chunk_ns = out.request_ns
    x.chunk_bytes = 0
    x.request_bytes = 0
    x.request_ns = 0
    return counts


cdef inline bint chunk_packet(Flow *f, Extension *x, const Headers *h, int way, uint64_t ts_ns,
                              qoe_chunk *out) noexcept nogil:
    cdef:
        uint32_t threshold = TCP_REQUEST_BYTES if f.protocol == TCP else UDP_REQUEST_BYTES
        bint closed = False
    if h.payload_len == 0:
        return False
    if way == server_side(f):
        if x.chunk_bytes == 0:
            x.chunk_first_ns = ts_ns
        x.chunk_bytes += h.payload_len
        x.chunk_last_ns = ts_ns
        return False
    if h.payload_len < threshold:
        return False
    if x.chunk_bytes:
        closed = close_chunk(f, x, out)
    if x.request_ns == 0:
        x.request_ns = ts_ns
    x.request_bytes += h.payload_len
    return closed
