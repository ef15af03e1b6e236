"""The capture reader: a pcap or pcapng of any bytes must be the same read at once, in pieces and up to a moment.

    how much is read at a time (1 byte), packets a burst (1 byte), what follows (1 byte), the capture

The third byte sets a moment that the reader is to stop at (low four bits) and lets 0, 270 or 540 kB of zeros follow
the capture, enough for the longest record that is passed over. The window is a heap buffer of exactly the bytes that
are in it. This is the reader itself, compiled in: qoe.h has no function for it, and needs none.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcmp, memcpy, memset

from qoe_native.abi cimport qoe_packet
from qoe_native.capture cimport (
    CAPTURE_END, CAPTURE_ERROR, CAPTURE_MAX_INTERFACES, CAPTURE_MAX_PACKET, CAPTURE_MORE, CAPTURE_READY, CAPTURE_UNTIL,
    CaptureInterface, CaptureState, capture_next,
)


cdef enum:
    PREFIX_BYTES = 3
    BURST = 64
    ZEROS = 270000
    MAX_PIECES = 512               # a window that grows by a byte at a time costs the square of its length


cdef struct Reading:               # all that a capture says
    uint64_t digest                # over every packet handed out
    uint64_t packets, captured_bytes, wire_bytes, zero_length, longer_than_wire, zero_clock, clock_overflow
    uint64_t no_timestamp, no_interface, oversized, unknown_blocks, other_blocks, sections, n_interfaces_seen
    uint64_t truncated_at, error_at, offset
    uint64_t format, status, error, truncated, n_links
    uint64_t link_packets[64]


cdef void claim(bint holds, const char *what) noexcept nogil:
    if not holds:
        fprintf(stderr, b"fuzz_capture: this does not hold: %s\n", what)
        abort()


cdef void *take_memory(size_t n_bytes) noexcept nogil:
    cdef void *memory = malloc(n_bytes if n_bytes else 1)
    claim(memory != NULL, b"there is memory")
    return memory


cdef inline uint64_t mix(uint64_t digest, uint64_t value) noexcept nogil:
    return ((digest ^ value) * 0x9E3779B97F4A7C15ULL) ^ (digest >> 29)


cdef uint64_t digest_packets(const CaptureState *s, const qoe_packet *packets, uint32_t n,
                             uint64_t digest) noexcept nogil:
    cdef:
        uint32_t i, k
        const qoe_packet *p
    for i in range(n):
        p = &packets[i]
        claim(p.captured_len <= CAPTURE_MAX_PACKET, b"a packet is no longer than packets may be")
        claim(p.data >= s.window and p.data + p.captured_len <= s.window + s.pos, b"a packet is behind the cursor")
        digest = mix(mix(mix(mix(digest, p.ts_ns), p.captured_len), p.wire_len), p.link_type)
        for k in range(p.captured_len):           # read to its last byte, and found again in the other reading
            digest = mix(digest, p.data[k])
    return digest


cdef void slide(CaptureState *s, const uint8_t *capture, size_t n_bytes, size_t n_zeros, size_t step) noexcept nogil:
    # what is unread moves to a new window, and what comes next behind it
    cdef:
        size_t left = s.end - s.pos, at = s.base + s.end
        size_t n = min(step, n_bytes + n_zeros - at), n_real = min(n, n_bytes - min(at, n_bytes))
        uint8_t *window = <uint8_t *> take_memory(left + n)
    memcpy(window, s.window + s.pos, left)
    memcpy(window + left, capture + min(at, n_bytes), n_real)
    memset(window + left + n_real, 0, n - n_real)
    free(<void *> s.window)
    s.window = window
    s.base += s.pos
    s.pos = 0
    s.end = left + n
    s.eof = s.base + s.end == n_bytes + n_zeros


cdef void conclude(const CaptureState *s, Reading *out) noexcept nogil:
    cdef uint64_t by_link = 0
    cdef uint32_t i
    for i in range(s.n_links):
        by_link += s.link_packets[i]
        out.link_packets[i] = s.link_packets[i]
    claim(by_link == s.packets, b"every packet has a link type")
    claim(s.pos <= s.end, b"the cursor is in the window")
    out.packets, out.captured_bytes, out.wire_bytes = s.packets, s.captured_bytes, s.wire_bytes
    out.zero_length, out.longer_than_wire = s.zero_length, s.longer_than_wire
    out.zero_clock, out.clock_overflow = s.zero_clock, s.clock_overflow
    out.no_timestamp, out.no_interface, out.oversized = s.no_timestamp, s.no_interface, s.oversized
    out.unknown_blocks, out.other_blocks, out.sections = s.unknown_blocks, s.other_blocks, s.sections
    out.n_interfaces_seen, out.n_links = s.n_interfaces_seen, s.n_links
    out.truncated, out.truncated_at = s.truncated, s.truncated_at
    out.offset, out.format, out.status = s.base + s.pos, s.format, s.status
    out.error, out.error_at = s.error, s.error_at


cdef void read_all(const uint8_t *capture, size_t n_bytes, size_t n_zeros, size_t step, uint32_t capacity,
                   uint64_t until_ns, Reading *out) noexcept nogil:
    cdef:
        CaptureState s
        qoe_packet packets[BURST]
        uint32_t n
    memset(&s, 0, sizeof(s))
    memset(out, 0, sizeof(Reading))
    s.status = CAPTURE_MORE
    s.interfaces = <CaptureInterface *> take_memory(CAPTURE_MAX_INTERFACES * sizeof(CaptureInterface))
    s.window = <uint8_t *> take_memory(0)
    while s.status != CAPTURE_END and s.status != CAPTURE_ERROR:
        if s.status == CAPTURE_MORE:
            claim(not s.eof, b"nothing more is asked for at the end")
            slide(&s, capture, n_bytes, n_zeros, step)
        n = capture_next(&s, packets, capacity, until_ns)
        claim(n <= capacity and (n == capacity or s.status != CAPTURE_READY), b"a burst is full, or says why not")
        out.digest = digest_packets(&s, packets, n, out.digest)
        if s.status == CAPTURE_UNTIL:
            until_ns = 0                          # the moment has come: on to the end
    conclude(&s, out)
    free(<void *> s.window)
    free(s.interfaces)


cdef public int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) noexcept nogil:
    cdef:
        size_t n_zeros, n_capture, step
        uint32_t capacity
        uint64_t until_ns
        Reading at_once, in_pieces
    if n_bytes < PREFIX_BYTES:
        return 0
    n_capture = n_bytes - PREFIX_BYTES
    n_zeros = ZEROS * min(<size_t> data[2] >> 6, <size_t> 2)
    step = max(<size_t> data[0] * data[0] + 1, (n_capture + n_zeros) // MAX_PIECES + 1)
    capacity = data[1] % BURST + 1
    until_ns = <uint64_t> 1 << 4 * (data[2] & 15)
    read_all(data + PREFIX_BYTES, n_capture, n_zeros, n_capture + n_zeros, BURST, 0, &at_once)
    read_all(data + PREFIX_BYTES, n_capture, n_zeros, step, capacity, until_ns, &in_pieces)
    claim(memcmp(&at_once, &in_pieces, sizeof(Reading)) == 0, b"both readings are one")
    return 0
