# A flow record as the host sees it: struct qoe_flow.
from libc.math cimport sqrt
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from qoe_native.abi cimport *
from qoe_native.features cimport iat_mean_ms, iat_std_ms, size_std
from qoe_native.flowtable cimport (
    Extension, Flow, IS_IPV6, KEPT_FLAGS, NONE, RECORD_LIVE, RtpState, Table, TcpState, last_seen,
)
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


cdef inline void export_flow(const Table *t, const Flow *f, qoe_flow *out) noexcept nogil:
    cdef:
        uint32_t n = f.packets[0] + f.packets[1]
        int i
    memset(out, 0, sizeof(qoe_flow))
    out.flow_id = f.flow_id
    out.first_ns = f.first_ns
    out.last_ns = last_seen(f)
    out.packets_forward = f.packets[0]
    out.packets_reverse = f.packets[1]
    out.bytes_forward = f.n_bytes[0]
    out.bytes_reverse = f.n_bytes[1]
    out.payload_bytes_forward = f.payload_bytes[0]
    out.payload_bytes_reverse = f.payload_bytes[1]
    memcpy(out.src, f.addr[0], 16)
    memcpy(out.dst, f.addr[1], 16)
    out.src_port = f.port[0]
    out.dst_port = f.port[1]
    out.protocol = f.protocol
    out.ip_version = 6 if f.flags & IS_IPV6 else 4
    out.app_class = f.verdict & 15
    out.state = f.verdict >> 4
    out.end_reason = f.life >> 4
    out.flags = f.flags & KEPT_FLAGS
    if f.packets[1] == 0:
        out.flags |= QOE_ONE_WAY
    out.signals = f.signals
    out.n_first = n if n < QOE_N_FIRST else QOE_N_FIRST
    for i in range(6):
        out.probability[i + 1] = f.probability[i] / <float> 255.0
    out.confidence = out.probability[out.app_class] if out.app_class else 0
    out.evidence = f.evidence
    out.decided_after_packets = f.decided_after
    out.size_std_forward = <float> size_std(f, 0)
    out.size_std_reverse = <float> size_std(f, 1)
    out.iat_mean_us_forward = <float> (iat_mean_ms(f, 0) * 1e3)
    out.iat_mean_us_reverse = <float> (iat_mean_ms(f, 1) * 1e3)
    out.iat_std_us_forward = <float> (iat_std_ms(f, 0) * 1e3)
    out.iat_std_us_reverse = <float> (iat_std_ms(f, 1) * 1e3)
    out.iat_max_us_forward = f.iat_max[0] * 1000
    out.iat_max_us_reverse = f.iat_max[1] * 1000
    memcpy(out.size_hist_forward, f.size_hist[0], sizeof(f.size_hist[0]))
    memcpy(out.size_hist_reverse, f.size_hist[1], sizeof(f.size_hist[1]))
    memcpy(out.gap_hist, f.gap_hist, sizeof(f.gap_hist))
    memcpy(out.first_sizes, f.first_sizes, sizeof(f.first_sizes))
    memcpy(out.first_gaps, f.first_gaps, sizeof(f.first_gaps))
    out.tcp_flags_forward = f.tcp_flags[0]
    out.tcp_flags_reverse = f.tcp_flags[1]
    out.n_idle = f.n_idle
    out.rtp_payload_type_forward = RTP_NO_TYPE
    out.rtp_payload_type_reverse = RTP_NO_TYPE
    if f.extension != NONE:
        export_extension(f, &t.extensions[f.extension], out)
