/* qoe.h: the C ABI of the qoe packet kernel.
 *
 * One opaque engine per thread; no global state; the caller owns every buffer. One thread at a time may
 * be inside an engine, but beside it another may call qoe_engine_snapshot(), qoe_engine_counters(),
 * qoe_engine_set_weights() and qoe_engine_get_weight(). A function returns a count or 0 when it succeeded
 * and a negative QOE_E* code when it did not: qoe_strerror() says it in words. All memory is reserved in
 * qoe_engine_create(), and taken from the system as it is first touched. A malformed packet is counted,
 * never an error.
 * Units end names: _ns _us _bytes. "forward" is the direction of a flow's first packet.
 * Python's twins of these structs are in qoe/schema.py; a test holds the two together.
 */
#ifndef QOE_H
#define QOE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QOE_API __attribute__((visibility("default")))
#define QOE_ABI_VERSION 2u
#define QOE_N_CLASSES 7
#define QOE_N_FIRST 12         /* first packets whose sizes and gaps a flow keeps */
#define QOE_N_SIZE_BINS 6      /* payload bytes: 0, 1-99, 100-299, 300-699, 700-1199, >=1200 */
#define QOE_N_GAP_BINS 8       /* gap to the flow's last packet, ms: <1 <5 <15 <30 <60 <200 <1000 >=1000 */

enum qoe_error { QOE_OK = 0, QOE_EINVAL = -1, QOE_ENOMEM = -2, QOE_EVERSION = -3, QOE_EMODEL = -4 };

enum qoe_class {                /* what qoe_flow.app_class holds */
    QOE_UNKNOWN = 0, QOE_VIDEO = 1, QOE_VOIP = 2, QOE_GAMING = 3, QOE_WEB = 4, QOE_BULK = 5, QOE_OTHER = 6
};
enum qoe_state { QOE_INSPECTING = 0, QOE_PARTIAL = 1, QOE_FINAL = 2, QOE_REVISED = 3 };
enum qoe_end_reason {
    QOE_LIVE = 0, QOE_IDLE_TIMEOUT = 1, QOE_ACTIVE_TIMEOUT = 2, QOE_EVICTED = 3, QOE_FLUSHED = 4,
    QOE_INTERIM = 5             /* it lives on: exported because export_interval_ns has passed */
};
enum qoe_evidence {             /* bits: what a verdict rests on */
    QOE_BY_MODEL = 1, QOE_BY_RTP = 2, QOE_BY_PORT = 4, QOE_BY_PROTOCOL = 8, QOE_BY_STUN = 16
};
enum qoe_signal {               /* bits: framing seen in a flow's payloads */
    QOE_SAW_RTP = 1, QOE_SAW_RTCP = 2, QOE_SAW_STUN = 4, QOE_SAW_DTLS = 8, QOE_SAW_QUIC = 16,
    QOE_SAW_TLS = 32, QOE_SAW_HTTP = 64, QOE_SAW_DNS = 128
};
enum qoe_flow_flag {            /* bits */
    QOE_MID_FLOW = 1,           /* TCP seen from the middle: no SYN */
    QOE_ONE_WAY = 2,            /* only one direction seen so far */
    QOE_CLOCK_BACK = 4,         /* the clock ran backwards at least once */
    QOE_NO_EXTENSION = 8        /* no side record was free: rtp_, rtt_, chunk and tunnel fields are 0 */
};
enum qoe_tunnel {               /* bits: encapsulations stripped to reach the flow */
    QOE_T_VLAN = 1, QOE_T_QINQ = 2, QOE_T_MPLS = 4, QOE_T_EOMPLS = 8, QOE_T_PPPOE = 16, QOE_T_GRE = 32,
    QOE_T_IPIP = 64, QOE_T_6IN4 = 128, QOE_T_VXLAN = 256, QOE_T_GENEVE = 512, QOE_T_GTPU = 1024,
    QOE_T_AH = 2048, QOE_T_FRAGMENT = 4096
};
enum qoe_option {               /* bits of qoe_config.options */
    QOE_NO_PORT_HINT = 1,       /* decide without port numbers */
    QOE_NO_PROTOCOL_HINT = 2,   /* decide without payload framing (RTP, STUN, QUIC, TLS, DNS) */
    QOE_TRACE_FEATURES = 4,     /* keep the feature vector of every decision for qoe_engine_decisions() */
    QOE_PREFAULT = 8            /* take the tables' memory from the system in qoe_engine_create(), not at first touch */
};

struct qoe_packet {
    const uint8_t *data;        /* captured bytes, link-layer header first */
    uint32_t captured_len;      /* bytes at data */
    uint32_t wire_len;          /* bytes the frame had on the wire */
    uint64_t ts_ns;             /* since 1970-01-01 UTC, or any clock of the host's; ends at 2^63 - 1 */
    uint32_t link_type;         /* LINKTYPE_ number of tcpdump.org: 1 = Ethernet */
    uint32_t cell_hint;         /* the host's own number for the cell or interface; 0 = none */
};

struct qoe_verdict {
    uint64_t flow_id;           /* 0: the packet belongs to no flow (not IP, malformed) */
    float confidence;           /* calibrated probability of app_class, 0 to 1 */
    uint32_t evidence;          /* enum qoe_evidence, bits */
    uint8_t app_class;          /* enum qoe_class */
    uint8_t state;              /* enum qoe_state */
    uint8_t direction;          /* 0 forward, 1 reverse */
    uint8_t status;             /* enum qoe_packet_status */
    uint32_t reserved;
};

enum qoe_packet_status {
    QOE_PKT_FLOW = 0, QOE_PKT_NOT_IP = 1, QOE_PKT_TRUNCATED = 2, QOE_PKT_BAD_LINK = 3,
    QOE_PKT_BAD_TUNNEL = 4, QOE_PKT_BAD_IPV4 = 5, QOE_PKT_BAD_IPV6 = 6, QOE_PKT_TOO_DEEP = 7,
    QOE_PKT_LINK_TYPE = 8,
    QOE_PKT_OTHER_SHARD = 9,    /* another engine's: see qoe_config.shard */
    QOE_PKT_N_STATUS = 10
};

struct qoe_config {             /* zero it, then set struct_size; 0 means the default */
    uint32_t struct_size;       /* sizeof(struct qoe_config) */
    uint32_t options;           /* enum qoe_option, bits */
    uint32_t max_flows;         /* default 1,048,576 */
    uint32_t max_extensions;    /* side records (RTP, RTT, chunks, tunnels); default max_flows / 4 */
    uint32_t max_fragments;     /* IP datagrams in pieces at once; default 4,096 */
    uint32_t max_chunks;        /* ring of chunk events; default 65,536 */
    uint64_t idle_timeout_ns;   /* 0 = never */
    uint64_t active_timeout_ns; /* 0 = never */
    uint64_t export_interval_ns; /* live flows are exported again this often (QOE_INTERIM); 0 = never */
    uint64_t seed;              /* of the flow hash; 0 = from the system's random source */
    uint32_t shard, n_shards;   /* take only the flows of this shard of so many that see the same packets
                                   with the same seed; n_shards 0 or 1 = all */
    float min_confidence;       /* below it a verdict stays QOE_UNKNOWN; default the model's own */
    uint32_t max_decisions;     /* ring of traced decisions; default 65,536 with QOE_TRACE_FEATURES */
    const uint8_t *model;       /* bytes of a model file, copied; NULL = the model-free rules alone */
    uint64_t model_bytes;
};

struct qoe_flow {
    uint64_t flow_id;           /* from 1, unique in its engine and over all shards; 48 bits */
    uint64_t first_ns, last_ns;
    uint64_t packets_forward, packets_reverse;
    uint64_t bytes_forward, bytes_reverse;                  /* frames' wire lengths */
    uint64_t payload_bytes_forward, payload_bytes_reverse;  /* transport payload, by the IP length */
    uint8_t src[16], dst[16];   /* IPv4: the first four bytes */
    uint16_t src_port, dst_port;
    uint8_t protocol, ip_version;
    uint16_t vlan_id;
    uint32_t tunnel;            /* enum qoe_tunnel, bits */
    uint32_t vni, teid_forward, teid_reverse, mpls_label, cell_hint;
    uint16_t pppoe_session;
    uint8_t qfi_forward, qfi_reverse;
    uint8_t dscp_forward, dscp_reverse;
    uint8_t app_class, state, end_reason, flags, signals, n_first;
    float confidence;
    uint32_t evidence;
    uint32_t decided_after_packets;                         /* 0: not decided */
    float probability[QOE_N_CLASSES];                       /* by enum qoe_class; [0] is 0 */
    float size_std_forward, size_std_reverse;               /* of payload bytes a packet */
    float iat_mean_us_forward, iat_mean_us_reverse;         /* inter-arrival time within a direction */
    float iat_std_us_forward, iat_std_us_reverse;
    float iat_max_us_forward, iat_max_us_reverse;           /* to 8 significant bits, rounded down */
    uint16_t size_hist_forward[QOE_N_SIZE_BINS], size_hist_reverse[QOE_N_SIZE_BINS]; /* all halved when one is full */
    uint16_t gap_hist[QOE_N_GAP_BINS];                      /* bins hold up to 255 */
    int16_t first_sizes[QOE_N_FIRST];                       /* payload bytes; negative = reverse */
    uint8_t first_gaps[QOE_N_FIRST];                        /* 8 e + m, 1 + gap in us = 2^e (1 + m/8) */
    uint8_t tcp_flags_forward, tcp_flags_reverse;           /* all flags seen */
    uint16_t zero_windows_forward, zero_windows_reverse;
    uint16_t n_idle;                                        /* gaps of one second or more */
    uint32_t retransmissions_forward, retransmissions_reverse;
    uint32_t out_of_order_forward, out_of_order_reverse;
    uint32_t handshake_rtt_us;                              /* SYN to ACK, or QUIC Initial round trip */
    uint32_t rtt_min_us, rtt_mean_us, n_rtt;                /* data to acknowledgement, both sides added */
    uint32_t n_chunks;                                      /* responses of 20 kB or more to one request */
    float chunk_bytes_mean, chunk_bytes_std, chunk_gap_mean_s;
    uint32_t quic_version;
    uint32_t rtp_ssrc_forward, rtp_ssrc_reverse;
    uint32_t rtp_packets_forward, rtp_packets_reverse;
    uint32_t rtp_lost_forward, rtp_lost_reverse;
    uint32_t rtp_loss_runs_forward, rtp_loss_runs_reverse;  /* runs of losses, less those filled late */
    uint32_t rtp_reordered_forward, rtp_reordered_reverse;
    float rtp_jitter_us_forward, rtp_jitter_us_reverse;     /* RFC 3550 section 6.4.1 */
    uint32_t rtp_clock_hz_forward, rtp_clock_hz_reverse;    /* from the payload type, else estimated; 0 unknown */
    uint32_t rtp_frames_forward, rtp_frames_reverse;        /* distinct RTP timestamps */
    uint8_t rtp_payload_type_forward, rtp_payload_type_reverse; /* 255: none */
    uint8_t reserved[2];
};

struct qoe_chunk {              /* one response of a server to one request, when it ended */
    uint64_t flow_id;
    uint64_t request_ns, first_ns, last_ns;
    uint64_t bytes;             /* payload bytes of the response */
    uint32_t request_bytes;
    uint32_t direction;         /* of the response: 0 forward, 1 reverse */
};

#define QOE_N_FEATURES 64
struct qoe_decision {           /* a traced decision: what the model saw, and when */
    uint64_t flow_id, ts_ns;
    uint32_t packets;
    uint32_t app_class;
    float features[QOE_N_FEATURES];
};

struct qoe_counters {
    uint64_t packets, bytes;    /* all that were handed in, but for other shards'; bytes on the wire */
    uint64_t by_status[QOE_PKT_N_STATUS];                   /* enum qoe_packet_status */
    uint64_t zero_length;       /* records without a byte (within truncated) */
    uint64_t fragments, fragments_unmatched;                /* later fragments; those with no first seen */
    uint64_t flows_interim;     /* exports of live flows */
    uint64_t flows_created, flows_idle, flows_active_timeout, flows_evicted, flows_flushed;
    uint64_t exports_lost;      /* ended flows overwritten before the host took them */
    uint64_t extensions_full, chunks_lost, decisions_lost;
    uint64_t clock_back;        /* packets older than the one before them */
    uint64_t decisions;         /* times the classifier ran */
};

struct qoe_engine;

QOE_API int qoe_engine_create(struct qoe_engine **out, const struct qoe_config *config);
QOE_API void qoe_engine_destroy(struct qoe_engine *engine);
/* Packets in, verdicts out (out may be NULL): returns how many packets were taken, all of them. */
QOE_API int qoe_engine_process_burst(struct qoe_engine *engine, const struct qoe_packet *packets, uint32_t n,
                                     struct qoe_verdict *out);
/* Live flows, in pieces: start with *cursor = 0; returns the number written, 0 at the end. Only flows
 * with a packet at or after since_ns. */
QOE_API int qoe_engine_snapshot(const struct qoe_engine *engine, struct qoe_flow *out, uint32_t capacity,
                                uint64_t since_ns, uint64_t *cursor);
/* Flows that ended since the last call, then live ones that are due (as many as max_flows / 64 wait at once,
 * others till the next advance or burst); returns the number written. */
QOE_API int qoe_engine_export(struct qoe_engine *engine, struct qoe_flow *out, uint32_t capacity);
/* The host's clock: ends idle flows though no packet comes. Returns how many ended. */
QOE_API int qoe_engine_advance(struct qoe_engine *engine, uint64_t now_ns);
/* Ends up to n live flows (QOE_FLUSHED, if they are not over anyhow), a final decision each if it had payload; returns
 * how many ended: fewer than n when no more live. */
QOE_API int qoe_engine_flush(struct qoe_engine *engine, uint32_t n);
QOE_API int qoe_engine_chunks(struct qoe_engine *engine, struct qoe_chunk *out, uint32_t capacity);
QOE_API int qoe_engine_decisions(struct qoe_engine *engine, struct qoe_decision *out, uint32_t capacity);
QOE_API int qoe_engine_counters(const struct qoe_engine *engine, struct qoe_counters *out);
/* Scheduler weights by bearer (the host's number), read per packet by the data plane. */
QOE_API int qoe_engine_set_weights(struct qoe_engine *engine, const uint32_t *bearer, const float *weight,
                                   uint32_t n);
QOE_API float qoe_engine_get_weight(const struct qoe_engine *engine, uint32_t bearer);
/* Which of n_shards engines a packet is for, the same for both directions of a flow; all pieces of an IP
 * datagram go together, by its addresses alone. For hosts that dispatch to several engines by themselves. */
QOE_API uint32_t qoe_shard(const struct qoe_packet *packet, uint32_t n_shards, uint64_t seed);
QOE_API const char *qoe_strerror(int code);
QOE_API uint32_t qoe_abi_version(void);

#ifdef __cplusplus
}
#endif
#endif
