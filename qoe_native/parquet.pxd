# What a Parquet page holds: the encodings of one column's values, and the Thrift around them.
#
# The format is https://github.com/apache/parquet-format (Encodings.md, parquet.thrift). Of its encodings
# those are used that cost least for what flows hold: a dictionary of few values whose runs cost nothing,
# packed differences of whole numbers, and plain values of the rest. A `put_` function writes at `out`
# and returns where it stopped; the caller provides the room.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    int __builtin_clzll(unsigned long long value) noexcept nogil

cdef enum:
    PLAIN = 0                  # enum Encoding
    LEVELS_RLE = 3
    DELTA_BINARY_PACKED = 5
    RLE_DICTIONARY = 8
    DATA_PAGE = 0              # enum PageType
    DICTIONARY_PAGE = 2
    DELTA_BLOCK = 128          # values that share a minimum
    DELTA_MINIBLOCK = 32       # values that share a width
    PAGE_HEADER_BYTES = 64          # no page header is longer


cdef inline uint8_t *put_varint(uint64_t value, uint8_t *out) noexcept nogil:
    while value > 127:
        out[0] = <uint8_t> value | 128
        value >>= 7
        out += 1
    out[0] = <uint8_t> value
    return out + 1


cdef inline uint8_t *put_zigzag(int64_t value, uint8_t *out) noexcept nogil:
    return put_varint((<uint64_t> value << 1) ^ <uint64_t> (value >> 63), out)


cdef inline uint8_t *put_integer(uint8_t field, int64_t value, uint8_t *out) noexcept nogil:
    # `field`: how far its number is from the one before it << 4 | its type (5: i32, 6: i64)
    out[0] = field
    return put_zigzag(value, out + 1)


cdef inline uint8_t *put_page_header(int kind, uint32_t n_bytes, uint32_t n_values, int encoding,
                                     uint8_t *out) noexcept nogil:
    out = put_integer(0x15, kind, out)
    out = put_integer(0x15, n_bytes, out)
    out = put_integer(0x15, n_bytes, out)
    out[0] = 0x2C if kind == DATA_PAGE else 0x4C
    out = put_integer(0x15, n_values, out + 1)
    out = put_integer(0x15, encoding, out)
    if kind == DATA_PAGE:
        out = put_integer(0x15, LEVELS_RLE, out)
        out = put_integer(0x15, LEVELS_RLE, out)
    out[0] = out[1] = 0
    return out + 2


cdef inline uint8_t *put_no_nulls(uint32_t n, uint8_t *out) noexcept nogil:
    # the definition levels of an optional column that has every value: one run of ones
    cdef uint8_t *end = put_varint(<uint64_t> n << 1, out + 4)
    cdef uint32_t n_bytes
    end[0] = 1
    n_bytes = <uint32_t> (end + 1 - (out + 4))
    memcpy(out, &n_bytes, 4)
    return end + 1


cdef inline bint eight_alike(const uint16_t *codes) noexcept nogil:
    cdef uint64_t low, high, all_of_it = codes[0] * <uint64_t> 0x0001000100010001
    memcpy(&low, codes, 8)
    memcpy(&high, codes + 4, 8)
    return (low ^ all_of_it) | (high ^ all_of_it) == 0


cdef inline uint8_t *put_eight(const uint16_t *codes, int width, uint8_t *out) noexcept nogil:
    # eight codes of up to 16 bits, packed; writes up to 16 bytes, of which `width` count
    cdef:
        uint64_t low = codes[0] | <uint64_t> codes[1] << width | <uint64_t> codes[2] << 2 * width \
            | <uint64_t> codes[3] << 3 * width
        uint64_t high = codes[4] | <uint64_t> codes[5] << width | <uint64_t> codes[6] << 2 * width \
            | <uint64_t> codes[7] << 3 * width
    if width == 16:
        memcpy(out, &low, 8)
        memcpy(out + 8, &high, 8)
    else:
        low |= high << 4 * width
        memcpy(out, &low, 8)
        if width > 8:
            high >>= 64 - 4 * width
            memcpy(out + 8, &high, 8)
    return out + width


cdef inline uint8_t *put_run(uint16_t code, uint32_t n, int width, uint8_t *out) noexcept nogil:
    out = put_varint(<uint64_t> n << 1, out)
    out[0] = <uint8_t> code
    out[1] = code >> 8
    return out + (width + 7) // 8


cdef inline uint8_t *put_hybrid(uint16_t *codes, uint32_t n, int width, uint8_t *out) noexcept nogil:
    # Runs of one code, and groups of eight packed codes where there is no run. Room: 3 n + 64 bytes,
    # and `codes` has eight spare elements.
    cdef uint32_t at = 0, end, group
    memset(codes + n, 0, 16)
    while at < n:
        end = at
        if n - at >= 8 and eight_alike(&codes[at]):
            end = at + 8
            while n - end >= 8 and codes[end] == codes[at] and eight_alike(&codes[end]):
                end += 8
            while end < n and codes[end] == codes[at]:
                end += 1
            out = put_run(codes[at], end - at, width, out)
            at = end
            continue
        while end < n and not (n - end >= 8 and eight_alike(&codes[end])):
            end += 8
        group = (end - at) // 8
        out = put_varint(<uint64_t> group << 1 | 1, out)
        while at < end:
            out = put_eight(&codes[at], width, out)
            at += 8
    return out


cdef inline int bits_of(uint64_t value) noexcept nogil:
    return 64 - __builtin_clzll(value) if value else 0


cdef inline uint8_t *put_packed(const uint64_t *values, uint64_t less, int width, uint8_t *out) noexcept nogil:
    # DELTA_MINIBLOCK values, each reduced by `less`, of `width` bits each; spills over by up to 8 bytes
    cdef:
        uint64_t word = 0, value
        int used = 0, i
    if width == 0:
        return out
    for i in range(DELTA_MINIBLOCK):
        value = values[i] - less
        word |= value << used
        used += width
        if used >= 64:
            memcpy(out, &word, 8)
            out += 8
            used -= 64
            word = value >> (width - used) if used else 0
    if used:
        memcpy(out, &word, 8)
        out += used // 8
    return out


cdef inline uint8_t *put_delta_block(uint64_t *deltas, uint32_t n, uint8_t *out) noexcept nogil:
    # up to DELTA_BLOCK differences, sign-extended
    cdef:
        int64_t least = <int64_t> deltas[0]
        uint64_t spread
        uint8_t *widths
        uint32_t i, k
    for i in range(1, n):
        least = min(least, <int64_t> deltas[i])
    for i in range(n, (n + DELTA_MINIBLOCK - 1) // DELTA_MINIBLOCK * DELTA_MINIBLOCK):
        deltas[i] = <uint64_t> least
    out = put_zigzag(least, out)
    widths = out
    memset(widths, 0, DELTA_BLOCK // DELTA_MINIBLOCK)
    out += DELTA_BLOCK // DELTA_MINIBLOCK
    for k in range((n + DELTA_MINIBLOCK - 1) // DELTA_MINIBLOCK):
        spread = 0
        for i in range(DELTA_MINIBLOCK):
            spread |= deltas[k * DELTA_MINIBLOCK + i] - <uint64_t> least
        widths[k] = bits_of(spread)
        out = put_packed(&deltas[k * DELTA_MINIBLOCK], <uint64_t> least, widths[k], out)
    return out


cdef inline uint8_t *put_delta_begin(uint32_t n, int64_t first, uint8_t *out) noexcept nogil:
    out = put_varint(DELTA_BLOCK, out)
    out = put_varint(DELTA_BLOCK // DELTA_MINIBLOCK, out)
    out = put_varint(n, out)
    return put_zigzag(first, out)
