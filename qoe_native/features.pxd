# The per-packet update of a flow record, and the feature vector that the classifier reads out of it.
from libc.math cimport log2, sqrt
from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t

from qoe_native.abi cimport *
from qoe_native.flowtable cimport Extension, Flow, last_seen
from qoe_native.layers cimport Headers
from qoe_native.media cimport SYN, TCP


cdef inline int size_bin(uint32_t size) noexcept nogil:
    if size < 300:
        return (size >= 1) + (size >= 100)
    return 3 + (size >= 700) + (size >= 1200)


cdef inline int gap_bin(float gap_ms) noexcept nogil:
    if gap_ms < 30:
        return (gap_ms >= 1) + (gap_ms >= 5) + (gap_ms >= 15)
    return 4 + (gap_ms >= 60) + (gap_ms >= 200) + (gap_ms >= 1000)


cdef inline uint8_t log_gap(uint64_t gap_ns) noexcept nogil:
    cdef double code = 8 * log2(1 + <double> gap_ns * 1e-3)
    return 255 if code > 255 else <uint8_t> code


cdef inline void tally(uint16_t *histogram, int n_bins, int bin_) noexcept nogil:
    # a full bin halves them all: a long flow keeps its proportions
    cdef int i
    if histogram[bin_] == 65535:
        for i in range(n_bins):
            histogram[i] //= 2
    histogram[bin_] += 1


cdef inline double iat_mean_ms(const Flow *f, int way) noexcept nogil:
    cdef uint64_t first = f.first_ns + (<uint64_t> f.reverse_first_us * 1000 if way else 0)
    if f.packets[way] < 2 or f.last_ns[way] <= first:
        return 0.0
    return <double> (f.last_ns[way] - first) * 1e-6 / (f.packets[way] - 1)


cdef inline double size_mean(const Flow *f, int way) noexcept nogil:
    return <double> f.payload_bytes[way] / f.packets[way] if f.packets[way] else 0.0


cdef inline void count_packet(Flow *f, const Headers *h, int way, uint64_t ts_ns, uint32_t wire_len,
                              uint64_t gap_ns) noexcept nogil:
    # everything that needs no extension; gap_ns is the time since the flow's last packet
    cdef:
        uint64_t n = <uint64_t> f.packets[0] + f.packets[1]
        uint32_t size = h.payload_len, size16
        double mean
        float gap_ms = <float> (<double> gap_ns * 1e-6), iat
        int bin_
    if n < QOE_N_FIRST:
        size16 = size if size < 32767 else 32767
        f.first_sizes[n] = <int16_t> size16 if way == 0 else -<int16_t> size16
        f.first_gaps[n] = log_gap(gap_ns)
    if n:
        bin_ = gap_bin(gap_ms)
        tally(f.gap_hist, QOE_N_GAP_BINS, bin_)
        if bin_ == QOE_N_GAP_BINS - 1 and f.n_idle < 65535:
            f.n_idle += 1
    if f.packets[way]:
        iat = <float> (<double> (ts_ns - f.last_ns[way]) * 1e-6) if ts_ns > f.last_ns[way] else 0
        mean = iat_mean_ms(f, way)
        f.iat_m2[way] += <float> ((iat - mean) * (iat - (mean + (iat - mean) / f.packets[way])))
        if iat > f.iat_max[way]:
            f.iat_max[way] = iat
    elif way == 1:
        f.reverse_first_us = <uint32_t> min((ts_ns - f.first_ns) // 1000, <uint64_t> 0xFFFFFFFF) \
            if ts_ns > f.first_ns else 0
    if ts_ns > f.last_ns[way]:
        f.last_ns[way] = ts_ns
    mean = size_mean(f, way)
    f.packets[way] += 1
    f.n_bytes[way] += wire_len
    f.payload_bytes[way] += size
    f.size_m2[way] += <float> ((size - mean) * (size - size_mean(f, way)))
    tally(f.size_hist[way], QOE_N_SIZE_BINS, size_bin(size))
    f.tcp_flags[way] |= h.tcp_flags


cdef inline double deviation(double m2, uint32_t n) noexcept nogil:
    return sqrt(m2 / n) if n and m2 > 0 else 0.0


cdef inline double iat_std_ms(const Flow *f, int way) noexcept nogil:
    return deviation(f.iat_m2[way], f.packets[way] - 1) if f.packets[way] > 1 else 0.0


cdef inline double size_std(const Flow *f, int way) noexcept nogil:
    return deviation(f.size_m2[way], f.packets[way])


cdef inline float ratio(double part, double whole) noexcept nogil:
    return <float> (part / whole) if whole > 0 else 0


cdef inline float log1(double x) noexcept nogil:
    return <float> log2(1 + x)


cdef inline void proportions(const uint16_t *histogram, int n_bins, float *out) noexcept nogil:
    cdef:
        uint32_t total = 0
        int i
    for i in range(n_bins):
        total += histogram[i]
    for i in range(n_bins):
        out[i] = ratio(histogram[i], total)


cdef inline void fill_features(const Flow *f, const Extension *x, float *out) noexcept nogil:
    # QOE_N_FEATURES numbers in the order of QOE_FEATURE_NAMES (host.h): no port, address or name.
    # Sizes in payload bytes, times in ms; logarithms to base 2 of 1 + x keep scales comparable.
    cdef:
        double n = <double> f.packets[0] + f.packets[1]
        double seconds = 0 if last_seen(f) <= f.first_ns else <double> (last_seen(f) - f.first_ns) * 1e-9
        double payload = <double> f.payload_bytes[0] + <double> f.payload_bytes[1]
        int i, way, k
    out[0] = log1(n)
    out[1] = log1(seconds * 1e3)
    out[2] = ratio(f.packets[0], n)
    out[3] = ratio(<double> f.payload_bytes[0], payload)
    out[4] = log1(payload / seconds if seconds > 0.001 else 0)
    out[5] = log1(n / seconds if seconds > 0.001 else 0)
    for way in range(2):
        k = 6 + 6 * way
        out[k] = <float> size_mean(f, way)
        out[k + 1] = <float> size_std(f, way)
        out[k + 2] = log1(iat_mean_ms(f, way) * 1e3)
        out[k + 3] = ratio(iat_std_ms(f, way), iat_mean_ms(f, way))
        out[k + 4] = log1(<double> f.iat_max[way] * 1e3)
        out[k + 5] = log1(<double> f.payload_bytes[way])
        proportions(f.size_hist[way], QOE_N_SIZE_BINS, &out[18 + 6 * way])
    proportions(f.gap_hist, QOE_N_GAP_BINS, &out[30])
    for i in range(QOE_N_FIRST):
        out[38 + i] = f.first_sizes[i]
    for i in range(8):
        out[50 + i] = f.first_gaps[i + 1]
    out[58] = 1 if f.protocol == TCP else 0
    out[59] = f.n_idle
    out[60] = 1 if (f.tcp_flags[0] | f.tcp_flags[1]) & SYN else 0
    out[61] = 0
    out[62] = 0
    out[63] = 0
    if x != NULL:
        out[61] = log1(x.n_chunks)
        out[62] = log1(x.chunk_sum / x.n_chunks if x.n_chunks else 0)
        if x.n_chunks > 1 and x.last_chunk_ns > x.first_chunk_ns:
            out[63] = log1(<double> (x.last_chunk_ns - x.first_chunk_ns) * 1e-6 / (x.n_chunks - 1))
