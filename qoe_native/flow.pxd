# What is kept of a flow. One record is spread over arrays by how often its parts are touched:
#   Flow       two cache lines that every packet touches, found through the index (index.pxd)
#   Opening    one line for the first packets, decisions and rare overflows
#   addresses  32 bytes that only IPv6 touches; IPv4 addresses fit the Flow
#   due        4 bytes a record that ageing walks through (ageing.pxd), 16 records a cache line
#   Extension  what some flows need (tunnel identifiers, TCP and RTP state, chunks), out of a bounded pool
from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    NONE = 0xFFFFFFFF          # no record, no extension
    RECORD_FREE = 0
    RECORD_LIVE = 4            # Flow.life holds the IP version of a live flow, 4 or 6
    RECORD_ENDED = 2           # waits for export; enum qoe_end_reason in the high four bits
    IS_IPV6 = 128              # Flow.flags, beside enum qoe_flow_flag
    SERVER_FIRST = 64          # Flow.flags: the side that answers requests sent the first packet
    IS_LARGE = 32              # Flow.flags: a byte counter has passed 2^32, see Opening.high
    KEPT_FLAGS = 15            # Flow.flags that are enum qoe_flow_flag
    SIZE_BINS = 6              # QOE_N_SIZE_BINS
    GAP_BINS = 8               # QOE_N_GAP_BINS
    FIRST_PACKETS = 12         # QOE_N_FIRST


cdef struct Flow:
    # line 0
    uint64_t first_ns
    uint64_t last_ns[2]
    uint32_t addr[2]           # [0] sent the first packet; of IPv6 a fold, the whole is in Table.addresses
    uint16_t port[2]
    uint8_t protocol, life, flags, signals
    uint32_t context           # of the key; the next record's number once ended or free
    uint32_t extension
    uint32_t packets[2]
    uint32_t id_low            # of the flow's number
    int32_t reverse_first_us   # first_ns to the first reverse packet; negative when the clock ran back
    # line 1
    uint32_t n_bytes[2]        # low words
    uint32_t payload_bytes[2]
    float size_variance[2]     # of payload bytes
    float iat_variance[2]      # of inter-arrival times, ms^2
    uint16_t iat_max[2]        # ms: the upper half of a float
    uint8_t size_hist[2][SIZE_BINS]
    uint8_t gap_hist[GAP_BINS]
    uint16_t id_high
    uint8_t tcp_flags[2]
    uint8_t verdict            # class in the low four bits, state in the high four
    uint8_t evidence
    uint8_t confidence         # in 1/255
    uint8_t busy               # 1 while the record is being written: a snapshot beside waits


cdef struct Opening:
    int16_t first_sizes[FIRST_PACKETS]
    uint8_t first_gaps[FIRST_PACKETS]
    uint16_t high[4]           # high words of n_bytes[2] and payload_bytes[2]
    uint32_t decided_after
    uint32_t home              # where the index would like to have the flow
    uint8_t probability[6]     # of class 1..6, in 1/255
    uint16_t n_idle
    uint16_t interim           # export intervals that have passed, modulo 2^16
    uint16_t reserved


cdef struct TcpState:
    uint64_t pending_ns[2]     # when the segment that ends at pending_seq was sent; 0 = none
    uint64_t hole_ns[2]        # when a segment last left a hole before it; 0 = never
    uint64_t syn_ack_ns        # 0: not seen; 1: seen twice, so that it times nothing (Karn)
    uint64_t rtt_sum_us[2]
    uint32_t next_seq[2]
    uint32_t pending_seq[2]
    uint32_t syn_seq[2]        # sequence number of the SYN that began it
    uint32_t n_rtt[2]
    uint32_t rtt_min_us[2]
    uint32_t retransmissions[2]
    uint32_t out_of_order[2]
    uint16_t zero_windows[2]
    uint8_t has_seq[2]
    uint8_t has_syn[2]         # syn_seq holds one
    uint8_t followed           # a packet with payload, or in reverse, was seen


cdef struct RtpState:          # one direction's dominant source (RFC 3550 appendix A.1, A.3, A.8)
    uint64_t arrival_ns, first_ns
    uint64_t window            # bit d: the packet d before the newest came
    uint32_t ssrc, timestamp, first_timestamp, clock_hz
    uint32_t extended_max, extended_base, received
    uint32_t received_before, lost_before          # of the sources and restarts before this one
    uint32_t loss_runs, reordered, frames
    float jitter_us
    uint16_t bad_sequence      # what would follow a packet far off; believed when it comes
    uint8_t has_bad, payload_type, probation, confirmed, strangers


cdef union Transport:
    TcpState tcp
    RtpState rtp[2]


cdef struct Extension:
    uint64_t request_ns, chunk_first_ns, chunk_last_ns, chunk_bytes   # the response that is under way
    uint32_t request_bytes, n_chunks
    uint32_t tunnel            # the next free extension's number while it is free
    uint8_t qfi[2]
    uint8_t dscp[2]
    Transport state
    uint64_t first_chunk_ns, last_chunk_ns                           # requests of the first and last chunk
    double chunk_sum, chunk_sq
    uint32_t vni, mpls_label, cell_hint
    uint32_t teid[2]
    uint16_t vlan_id, pppoe_session
    uint32_t handshake_rtt_us, quic_version


cdef inline bint is_live(const Flow *f) noexcept nogil:
    return f.life & RECORD_LIVE


cdef inline uint64_t last_seen(const Flow *f) noexcept nogil:
    return f.last_ns[0] if f.last_ns[0] > f.last_ns[1] else f.last_ns[1]


cdef inline uint64_t flow_id_of(const Flow *f) noexcept nogil:
    return <uint64_t> f.id_high << 32 | f.id_low


cdef inline uint64_t n_packets(const Flow *f) noexcept nogil:
    return <uint64_t> f.packets[0] + f.packets[1]


cdef inline uint64_t wire_bytes(const Flow *f, const Opening *o, int way) noexcept nogil:
    return <uint64_t> o.high[way] << 32 | f.n_bytes[way]


cdef inline uint64_t payload_bytes(const Flow *f, const Opening *o, int way) noexcept nogil:
    # the Opening is only looked at where it holds something
    return <uint64_t> o.high[2 + way] << 32 | f.payload_bytes[way] if f.flags & IS_LARGE else f.payload_bytes[way]
