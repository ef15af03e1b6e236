# A flow record as the host sees it: struct qoe_flow.
from libc.math cimport sqrt
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from qoe_native.abi cimport *
from qoe_native.features cimport iat_mean_ms, iat_std_ms, size_std
from qoe_native.flow cimport (
    Extension, Flow, IS_IPV6, KEPT_FLAGS, Opening, RtpState, TcpState, flow_id_of, last_seen, n_packets, payload_bytes,
    wire_bytes,
)
from qoe_native.intrin cimport from_upper_half
from qoe_native.media cimport RTP_NO_TYPE, TCP, UDP, rtp_lost


cdef inline void export_tcp(const TcpState *s, qoe_flow *out) noexcept nogil:
    cdef uint64_t mean_us = 0
    cdef int side
    out.zero_windows_forward = s.zero_windows[0]
    out.zero_windows_reverse = s.zero_windows[1]
    out.retransmissions_forward = s.retransmissions[0]
    out.retransmissions_reverse = s.retransmissions[1]
    out.out_of_order_forward = s.out_of_order[0]
    out.out_of_order_reverse = s.out_of_order[1]
    for side in range(2):
        if s.n_rtt[side]:
            mean_us += s.rtt_sum_us[side] // s.n_rtt[side]
    out.rtt_mean_us = <uint32_t> min(mean_us, <uint64_t> 0xFFFFFFFF)
    out.rtt_min_us = s.rtt_min_us[0] + s.rtt_min_us[1]
    out.n_rtt = s.n_rtt[0] + s.n_rtt[1]


cdef inline void export_rtp(const RtpState *r, qoe_flow *out) noexcept nogil:
    if r[0].confirmed:
        out.rtp_ssrc_forward = r[0].ssrc
        out.rtp_packets_forward = r[0].received_before + r[0].received
        out.rtp_lost_forward = r[0].lost_before + rtp_lost(&r[0])
        out.rtp_loss_runs_forward = r[0].loss_runs
        out.rtp_reordered_forward = r[0].reordered
        out.rtp_jitter_us_forward = r[0].jitter_us
        out.rtp_clock_hz_forward = r[0].clock_hz
        out.rtp_frames_forward = r[0].frames
        out.rtp_payload_type_forward = r[0].payload_type
    if r[1].confirmed:
        out.rtp_ssrc_reverse = r[1].ssrc
        out.rtp_packets_reverse = r[1].received_before + r[1].received
        out.rtp_lost_reverse = r[1].lost_before + rtp_lost(&r[1])
        out.rtp_loss_runs_reverse = r[1].loss_runs
        out.rtp_reordered_reverse = r[1].reordered
        out.rtp_jitter_us_reverse = r[1].jitter_us
        out.rtp_clock_hz_reverse = r[1].clock_hz
        out.rtp_frames_reverse = r[1].frames
        out.rtp_payload_type_reverse = r[1].payload_type


cdef inline void export_extension(const Flow *f, const Extension *x, qoe_flow *out) noexcept nogil:
    cdef double mean, variance
    out.tunnel = x.tunnel
    out.vni = x.vni
    out.mpls_label = x.mpls_label
    out.cell_hint = x.cell_hint
    out.teid_forward = x.teid[0]
    out.teid_reverse = x.teid[1]
    out.vlan_id = x.vlan_id
    out.pppoe_session = x.pppoe_session
    out.qfi_forward = x.qfi[0]
    out.qfi_reverse = x.qfi[1]
    out.dscp_forward = x.dscp[0]
    out.dscp_reverse = x.dscp[1]
    out.handshake_rtt_us = x.handshake_rtt_us
    out.quic_version = x.quic_version
    out.n_chunks = x.n_chunks
    if x.n_chunks:
        mean = x.chunk_sum / x.n_chunks
        variance = x.chunk_sq / x.n_chunks - mean * mean
        out.chunk_bytes_mean = <float> mean
        out.chunk_bytes_std = <float> sqrt(variance) if variance > 0 else 0
    if x.n_chunks > 1 and x.last_chunk_ns > x.first_chunk_ns:
        out.chunk_gap_mean_s = <float> (<double> (x.last_chunk_ns - x.first_chunk_ns) * 1e-9 / (x.n_chunks - 1))
    if f.protocol == TCP:
        export_tcp(&x.state.tcp, out)
    elif f.protocol == UDP:
        export_rtp(x.state.rtp, out)


cdef inline void export_opening(const Flow *f, const Opening *o, qoe_flow *out) noexcept nogil:
    cdef:
        uint64_t n = n_packets(f)
        int i
    out.bytes_forward = wire_bytes(f, o, 0)
    out.bytes_reverse = wire_bytes(f, o, 1)
    out.payload_bytes_forward = payload_bytes(f, o, 0)
    out.payload_bytes_reverse = payload_bytes(f, o, 1)
    out.n_first = <uint8_t> n if n < QOE_N_FIRST else QOE_N_FIRST
    for i in range(6):
        out.probability[i + 1] = o.probability[i] / <float> 255.0
    out.decided_after_packets = o.decided_after
    memcpy(out.first_sizes, o.first_sizes, sizeof(out.first_sizes))
    memcpy(out.first_gaps, o.first_gaps, sizeof(out.first_gaps))
    out.n_idle = o.n_idle


cdef inline void export_moments(const Flow *f, qoe_flow *out) noexcept nogil:
    cdef int i
    out.size_std_forward = size_std(f, 0)
    out.size_std_reverse = size_std(f, 1)
    out.iat_mean_us_forward = iat_mean_ms(f, 0) * 1000
    out.iat_mean_us_reverse = iat_mean_ms(f, 1) * 1000
    out.iat_std_us_forward = iat_std_ms(f, 0) * 1000
    out.iat_std_us_reverse = iat_std_ms(f, 1) * 1000
    out.iat_max_us_forward = from_upper_half(f.iat_max[0]) * 1000
    out.iat_max_us_reverse = from_upper_half(f.iat_max[1]) * 1000
    for i in range(QOE_N_SIZE_BINS):
        out.size_hist_forward[i] = f.size_hist[0][i]
        out.size_hist_reverse[i] = f.size_hist[1][i]
    for i in range(QOE_N_GAP_BINS):
        out.gap_hist[i] = f.gap_hist[i]


cdef inline void export_key(const Flow *f, const uint8_t *addresses, qoe_flow *out) noexcept nogil:
    if f.flags & IS_IPV6:
        memcpy(out.src, addresses, 16)
        memcpy(out.dst, addresses + 16, 16)
    else:
        memcpy(out.src, &f.addr[0], 4)
        memcpy(out.dst, &f.addr[1], 4)
    out.src_port = f.port[0]
    out.dst_port = f.port[1]
    out.protocol = f.protocol
    out.ip_version = 6 if f.flags & IS_IPV6 else 4


cdef inline void export_flow(const Flow *f, const Opening *o, const uint8_t *addresses, const Extension *x,
                             qoe_flow *out) noexcept nogil:
    # `addresses` is looked at for IPv6 alone; `x` may be NULL
    memset(out, 0, sizeof(qoe_flow))
    out.flow_id = flow_id_of(f)
    out.first_ns = f.first_ns
    out.last_ns = last_seen(f)
    out.packets_forward = f.packets[0]
    out.packets_reverse = f.packets[1]
    export_key(f, addresses, out)
    out.app_class = f.verdict & 15
    out.state = f.verdict >> 4
    out.end_reason = f.life >> 4
    out.flags = f.flags & KEPT_FLAGS
    if f.packets[1] == 0:
        out.flags |= QOE_ONE_WAY
    out.signals = f.signals
    out.confidence = f.confidence / <float> 255.0
    out.evidence = f.evidence
    out.tcp_flags_forward = f.tcp_flags[0]
    out.tcp_flags_reverse = f.tcp_flags[1]
    out.rtp_payload_type_forward = RTP_NO_TYPE
    out.rtp_payload_type_reverse = RTP_NO_TYPE
    export_opening(f, o, out)
    export_moments(f, out)
    if x != NULL:
        export_extension(f, x, out)
