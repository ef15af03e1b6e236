# The per-packet update of a flow record, and the feature vector that the classifier reads out of it.
#
# Single precision and three divisions a packet: variances are kept by Welford's method with the mean out of exact
# integers, as themselves and not as sums, which would stop growing after some ten million packets. Histograms have
# one byte a bin and forget by halving.
from libc.math cimport sqrtf
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from qoe_native.abi cimport *
from qoe_native.flow cimport *
from qoe_native.intrin cimport from_upper_half, likely, log_code, unlikely, upper_half
from qoe_native.layers cimport Headers
from qoe_native.media cimport SYN, TCP


cdef extern from "host.h" nogil:
    int size_bin "qoe_size_bin"(uint32_t size)
    int gap_bin "qoe_gap_bin"(uint64_t gap_ns)


cdef enum:
    FULL_BIN = 255
    IDLE_NS = 1000000000       # a gap this long starts anew what the flow was doing


cdef inline uint8_t gap_code(uint64_t gap_ns) noexcept nogil:
    # 8 e + m of 1 + gap in us = 2^e (1 + m/8): a logarithm without computing one; 1 + 2^32 us have 255
    cdef uint32_t code = log_code((1000.0 + <double> <int64_t> gap_ns) / 1000.0)
    return 255 if code > 255 else <uint8_t> code


cdef inline void tally(uint8_t *histogram, int n_bins, int bin_) noexcept nogil:
    # a full bin halves them all: a long flow keeps its proportions
    cdef int i
    if unlikely(histogram[bin_] == FULL_BIN):
        for i in range(n_bins):
            histogram[i] //= 2
    histogram[bin_] += 1


cdef inline uint64_t way_first_ns(const Flow *f, int way) noexcept nogil:
    return f.first_ns + <uint64_t> (<int64_t> way * f.reverse_first_us * 1000)


cdef inline void note_opening(const Flow *f, Opening *o, uint32_t size, int way, uint64_t gap_ns) noexcept nogil:
    cdef uint32_t n = f.packets[0] + f.packets[1]
    cdef int16_t capped = <int16_t> (size if size < 32767 else 32767)
    o.first_sizes[n] = -capped if way else capped
    o.first_gaps[n] = gap_code(gap_ns)


cdef inline void note_first(Flow *f, int way, uint64_t ts_ns) noexcept nogil:
    if way == 1:
        f.reverse_first_us = <int32_t> max(min(<int64_t> (ts_ns - f.first_ns) // 1000, <int64_t> 0x7FFFFFFF),
                                           -<int64_t> 0x7FFFFFFF)


cdef inline void note_interval(Flow *f, int way, uint64_t ts_ns, float k, float inverse) noexcept nogil:
    # the k-th interval between packets of one direction; inverse = 1/k
    cdef:
        uint64_t last = f.last_ns[way], first = way_first_ns(f, way)
        float iat_ms = <float> <int64_t> (ts_ns - last) * <float> 1e-6 if ts_ns > last else 0
        float span_ms = <float> <int64_t> (last - first) * <float> 1e-6 if last > first else 0
        float d = iat_ms - span_ms / (k - <float> 1 if k > 1 else <float> 1)
        uint16_t half = upper_half(iat_ms)
    f.iat_variance[way] += (d * d * (<float> 1 - inverse) - f.iat_variance[way]) * inverse
    if half > f.iat_max[way]:
        f.iat_max[way] = half


cdef inline void carry(Flow *f, Opening *o, int counter) noexcept nogil:
    o.high[counter] += 1
    f.flags |= IS_LARGE


cdef inline void count_packet(Flow *f, Opening *o, const Headers *h, int way, uint64_t ts_ns, uint32_t wire_len,
                              uint64_t n, uint64_t gap_ns) noexcept nogil:
    # everything that needs no extension; n packets came before, the last one gap_ns ago
    cdef:
        uint32_t size = h.payload_len, total
        float k = <float> <int64_t> f.packets[way], inverse = <float> 1 / (k if k > 0 else <float> 1), d
    if unlikely(n < FIRST_PACKETS):
        note_opening(f, o, size, way, gap_ns)
    if likely(n):
        tally(f.gap_hist, GAP_BINS, gap_bin(gap_ns))
    if likely(k > 0):
        note_interval(f, way, ts_ns, k, inverse)
    else:
        note_first(f, way, ts_ns)
    d = <float> <int64_t> size - <float> <int64_t> payload_bytes(f, o, way) * inverse
    inverse = <float> 1 / (k + <float> 1)
    f.size_variance[way] += (d * d * k * inverse - f.size_variance[way]) * inverse
    tally(f.size_hist[way], SIZE_BINS, size_bin(size))
    f.last_ns[way] = max(ts_ns, f.last_ns[way])
    f.packets[way] += 1
    f.tcp_flags[way] |= h.tcp_flags
    total = f.n_bytes[way] + wire_len
    f.n_bytes[way] = total
    if unlikely(total < wire_len):
        carry(f, o, way)
    total = f.payload_bytes[way] + size
    f.payload_bytes[way] = total
    if unlikely(total < size):
        carry(f, o, 2 + way)


cdef inline float ratio(float part, float whole) noexcept nogil:
    return part / whole if whole > 0 else 0


cdef inline float iat_mean_ms(const Flow *f, int way) noexcept nogil:
    cdef uint64_t last = f.last_ns[way], first = way_first_ns(f, way)
    if f.packets[way] < 2 or last <= first:
        return 0
    return <float> (<double> <int64_t> (last - first) * 1e-6 / (f.packets[way] - 1))


cdef inline float iat_std_ms(const Flow *f, int way) noexcept nogil:
    return sqrtf(f.iat_variance[way])


cdef inline float size_mean(const Flow *f, const Opening *o, int way) noexcept nogil:
    return ratio(<float> <int64_t> payload_bytes(f, o, way), <float> <int64_t> f.packets[way])


cdef inline float size_std(const Flow *f, int way) noexcept nogil:
    return sqrtf(f.size_variance[way])


cdef inline void proportions(const uint8_t *histogram, int n_bins, float *out) noexcept nogil:
    cdef:
        int i, total = 0
        float scale
    for i in range(n_bins):
        total += histogram[i]
    scale = ratio(1, <float> total)
    for i in range(n_bins):
        out[i] = scale * histogram[i]


cdef inline void fill_way(const Flow *f, const Opening *o, int way, float *out) noexcept nogil:
    out[0] = size_mean(f, o, way)
    out[1] = size_std(f, way)
    out[2] = iat_mean_ms(f, way) * 1000
    out[3] = ratio(iat_std_ms(f, way), iat_mean_ms(f, way))
    out[4] = from_upper_half(f.iat_max[way]) * 1000
    out[5] = <float> <int64_t> payload_bytes(f, o, way)


cdef inline void fill_chunks(const Extension *x, float *out) noexcept nogil:
    out[0] = 0
    out[1] = 0
    out[2] = 0
    if x == NULL or x.n_chunks == 0:
        return
    out[0] = <float> <int64_t> x.n_chunks
    out[1] = <float> (x.chunk_sum / x.n_chunks)
    if x.n_chunks > 1 and x.last_chunk_ns > x.first_chunk_ns:
        out[2] = <float> (<double> <int64_t> (x.last_chunk_ns - x.first_chunk_ns) * 1e-6 / (x.n_chunks - 1))


cdef inline void fill_features(const Flow *f, const Opening *o, const Extension *x, float *out) noexcept nogil:
    # QOE_N_FEATURES numbers in the order of QOE_FEATURE_NAMES (host.h): no port, address or name.
    # Sizes in payload bytes, times in ms where no unit is named. No logarithm is taken here: trees compare, and
    # training puts the logarithm into its thresholds (qoe/train/forest.py).
    cdef:
        uint64_t last = last_seen(f)
        float n = <float> <int64_t> n_packets(f)
        float ms = <float> (<double> <int64_t> (last - f.first_ns) * 1e-6) if last > f.first_ns else 0
        float payload
        int i
    fill_way(f, o, 0, &out[6])
    fill_way(f, o, 1, &out[12])
    payload = out[11] + out[17]
    out[0] = n
    out[1] = ms
    out[2] = ratio(<float> <int64_t> f.packets[0], n)
    out[3] = ratio(out[11], payload)
    out[4] = 1000 * payload / ms if ms > 1 else 0
    out[5] = 1000 * n / ms if ms > 1 else 0
    proportions(f.size_hist[0], SIZE_BINS, &out[18])
    proportions(f.size_hist[1], SIZE_BINS, &out[24])
    proportions(f.gap_hist, GAP_BINS, &out[30])
    for i in range(FIRST_PACKETS):
        out[38 + i] = o.first_sizes[i]
    for i in range(8):
        out[50 + i] = o.first_gaps[i + 1]
    out[58] = 1 if f.protocol == TCP else 0
    out[59] = o.n_idle
    out[60] = 1 if (f.tcp_flags[0] | f.tcp_flags[1]) & SYN else 0
    fill_chunks(x, &out[61])
