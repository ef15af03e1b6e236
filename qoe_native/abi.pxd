# What the kernel uses of qoe.h, as Cython sees it. The header is the source of truth.
from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "qoe.h" nogil:
    enum:
        QOE_ABI_VERSION
        QOE_N_CLASSES
        QOE_N_FIRST
        QOE_N_SIZE_BINS
        QOE_N_GAP_BINS
        QOE_N_FEATURES
        QOE_OK
        QOE_EINVAL
        QOE_ENOMEM
        QOE_EVERSION
        QOE_EMODEL
        QOE_UNKNOWN
        QOE_VIDEO
        QOE_VOIP
        QOE_GAMING
        QOE_WEB
        QOE_BULK
        QOE_OTHER
        QOE_INSPECTING
        QOE_PARTIAL
        QOE_FINAL
        QOE_REVISED
        QOE_LIVE
        QOE_IDLE_TIMEOUT
        QOE_ACTIVE_TIMEOUT
        QOE_EVICTED
        QOE_FLUSHED
        QOE_BY_MODEL
        QOE_BY_RTP
        QOE_BY_PORT
        QOE_BY_PROTOCOL
        QOE_BY_STUN
        QOE_SAW_RTP
        QOE_SAW_RTCP
        QOE_SAW_STUN
        QOE_SAW_DTLS
        QOE_SAW_QUIC
        QOE_SAW_TLS
        QOE_SAW_HTTP
        QOE_SAW_DNS
        QOE_MID_FLOW
        QOE_ONE_WAY
        QOE_CLOCK_BACK
        QOE_NO_EXTENSION
        QOE_NO_PORT_HINT
        QOE_NO_PROTOCOL_HINT
        QOE_TRACE_FEATURES
        QOE_PKT_FLOW
        QOE_PKT_NOT_IP
        QOE_PKT_TRUNCATED
        QOE_PKT_BAD_LINK
        QOE_PKT_BAD_TUNNEL
        QOE_PKT_BAD_IPV4
        QOE_PKT_BAD_IPV6
        QOE_PKT_TOO_DEEP
        QOE_PKT_LINK_TYPE
        QOE_PKT_OTHER_SHARD
        QOE_PKT_N_STATUS
        QOE_T_VLAN
        QOE_T_QINQ
        QOE_T_MPLS
        QOE_T_EOMPLS
        QOE_T_PPPOE
        QOE_T_GRE
        QOE_T_IPIP
        QOE_T_6IN4
        QOE_T_VXLAN
        QOE_T_GENEVE
        QOE_T_GTPU
        QOE_T_AH
        QOE_T_FRAGMENT

    struct qoe_packet:
        const uint8_t *data
        uint32_t captured_len, wire_len
        uint64_t ts_ns
        uint32_t link_type, cell_hint

    struct qoe_verdict:
        uint64_t flow_id
        float confidence
        uint32_t evidence
        uint8_t app_class, state, direction, status
        uint32_t reserved

    struct qoe_config:
        uint32_t struct_size, options, max_flows, max_extensions, max_fragments, max_chunks
        uint64_t idle_timeout_ns, active_timeout_ns, seed
        uint32_t shard, n_shards
        float min_confidence
        uint32_t max_decisions
        const uint8_t *model
        uint64_t model_bytes

    struct qoe_flow:
        uint64_t flow_id, first_ns, last_ns
        uint64_t packets_forward, packets_reverse, bytes_forward, bytes_reverse
        uint64_t payload_bytes_forward, payload_bytes_reverse
        uint8_t src[16]
        uint8_t dst[16]
        uint16_t src_port, dst_port
        uint8_t protocol, ip_version
        uint16_t vlan_id
        uint32_t tunnel, vni, teid_forward, teid_reverse, mpls_label, cell_hint
        uint16_t pppoe_session
        uint8_t qfi_forward, qfi_reverse, dscp_forward, dscp_reverse
        uint8_t app_class, state, end_reason, flags, signals, n_first
        float confidence
        uint32_t evidence, decided_after_packets
        float probability[7]
        float size_std_forward, size_std_reverse
        float iat_mean_us_forward, iat_mean_us_reverse, iat_std_us_forward, iat_std_us_reverse
        float iat_max_us_forward, iat_max_us_reverse
        uint16_t size_hist_forward[6]
        uint16_t size_hist_reverse[6]
        uint16_t gap_hist[8]
        int16_t first_sizes[12]
        uint8_t first_gaps[12]
        uint8_t tcp_flags_forward, tcp_flags_reverse
        uint16_t zero_windows_forward, zero_windows_reverse, n_idle
        uint32_t retransmissions_forward, retransmissions_reverse, out_of_order_forward, out_of_order_reverse
        uint32_t handshake_rtt_us, rtt_min_us, rtt_mean_us, n_rtt
        uint32_t n_chunks
        float chunk_bytes_mean, chunk_bytes_std, chunk_gap_mean_s
        uint32_t quic_version
        uint32_t rtp_ssrc_forward, rtp_ssrc_reverse, rtp_packets_forward, rtp_packets_reverse
        uint32_t rtp_lost_forward, rtp_lost_reverse, rtp_loss_runs_forward, rtp_loss_runs_reverse
        uint32_t rtp_reordered_forward, rtp_reordered_reverse
        float rtp_jitter_us_forward, rtp_jitter_us_reverse
        uint32_t rtp_clock_hz_forward, rtp_clock_hz_reverse, rtp_frames_forward, rtp_frames_reverse
        uint8_t rtp_payload_type_forward, rtp_payload_type_reverse

    struct qoe_chunk:
        uint64_t flow_id, request_ns, first_ns, last_ns, bytes
        uint32_t request_bytes, direction

    struct qoe_decision:
        uint64_t flow_id, ts_ns
        uint32_t packets, app_class
        float features[64]

    struct qoe_counters:
        uint64_t packets, bytes
        uint64_t by_status[10]
        uint64_t zero_length, fragments, fragments_unmatched
        uint64_t flows_created, flows_idle, flows_active_timeout, flows_evicted, flows_flushed
        uint64_t exports_lost, extensions_full, chunks_lost, decisions_lost
        uint64_t clock_back, decisions
