# Records of pcap and pcapng out of a window of bytes: no copy, no allocation, safe on any bytes.
#
# The owner of a CaptureState (reader.pxi) moves unread bytes to the front of the window, appends what it
# reads and calls capture_next(), which hands out packets that lie wholly in the window: their `data`
# points into it and holds until the window is next written to.
#
# Formats: pcap (draft-ietf-opsawg-pcap), also with nanoseconds and with Kuznetzov's longer record
# header; pcapng (draft-ietf-opsawg-pcapng): every section, either byte order, enhanced, simple and
# obsolete packet blocks.
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from qoe_native.abi cimport qoe_packet


cdef extern from *:
    uint16_t bswap16 "__builtin_bswap16"(uint16_t value) noexcept nogil
    uint32_t bswap32 "__builtin_bswap32"(uint32_t value) noexcept nogil
    uint64_t bswap64 "__builtin_bswap64"(uint64_t value) noexcept nogil


cdef enum CaptureStatus:           # why capture_next() stopped
    CAPTURE_READY = 0              # `capacity` packets were filled: call again
    CAPTURE_MORE = 1               # no further whole record in the window: read on
    CAPTURE_UNTIL = 2              # the next packet is not older than until_ns
    CAPTURE_END = 3                # nothing is left; see CaptureState.truncated
    CAPTURE_ERROR = 4              # the bytes at error_at make no sense; what came before stands

cdef enum CaptureFormat:
    CAPTURE_UNKNOWN = 0
    CAPTURE_PCAP = 1
    CAPTURE_PCAPNG = 2

cdef enum CaptureError:
    CAPTURE_BAD_MAGIC = 1
    CAPTURE_BAD_VERSION = 2
    CAPTURE_BAD_LENGTH = 3         # a record's or block's length that nothing writes
    CAPTURE_BAD_TRAILER = 4        # a block's two lengths differ
    CAPTURE_BAD_BYTE_ORDER = 5     # a section header without its byte-order magic

cdef enum:
    CAPTURE_MAX_PACKET = 262144    # captured bytes of one packet, as libpcap's MAXIMUM_SNAPLEN
    CAPTURE_MAX_BLOCK = 524288     # bytes of one block, with options; a window holds at least this
    CAPTURE_MAX_SKIP = 0x10000000  # a longer record or block is corruption, not data
    CAPTURE_MAX_INTERFACES = 4096  # of one section
    CAPTURE_MAX_LINKS = 64         # link types told apart; the last slot takes the rest
    CAPTURE_OTHER_LINKS = 0xFFFFFFFF
    PCAP_MICROSECONDS = 0xA1B2C3D4
    PCAP_NANOSECONDS = 0xA1B23C4D
    PCAP_KUZNETZOV = 0xA1B2CD34
    PCAP_LINK_MASK = 0x03FFFFFF    # above it: whether and how much frame check sequence there is
    BLOCK_SECTION = 0x0A0D0D0A
    BLOCK_INTERFACE = 1
    BLOCK_PACKET = 2               # obsolete
    BLOCK_SIMPLE = 3
    BLOCK_ENHANCED = 6
    BYTE_ORDER_MAGIC = 0x1A2B3C4D
    OPTION_TSRESOL = 9
    OPTION_TSOFFSET = 14
    NS_PER_S = 1000000000
    MAX_SECONDS = 9223372036       # of which the ns fit 63 bits: until the year 2262


cdef struct CaptureInterface:
    uint64_t multiplier            # ns a tick, for decimal resolutions down to 1 ns; else 0
    uint64_t max_ticks             # more would not fit
    uint64_t divisor               # ticks a ns, for finer decimal ones; else 0
    uint32_t shift                 # 2^shift ticks a second, for binary ones; else 0
    uint32_t link_type
    uint32_t snaplen               # 0 = no limit
    uint32_t slot                  # in CaptureState.link_packets
    int64_t offset_ns


cdef struct CaptureState:
    const uint8_t *window
    uint64_t pos, end              # the unread bytes of the window
    uint64_t base                  # where window[0] lies in the capture
    uint64_t skip_bytes            # of a record too long for the window, still to pass over
    uint64_t skip_from             # where that record begins in the capture
    uint64_t *skip_counter         # what to count once it is passed
    CaptureInterface *interfaces   # room for CAPTURE_MAX_INTERFACES
    uint32_t n_interfaces          # of this section
    uint32_t n_links
    uint32_t header_bytes          # of a pcap record
    int format, status, error
    bint swapped                   # the bytes are in the other order than this machine's
    bint eof                       # set by the owner: nothing follows what is in the window
    bint truncated                 # the capture ends within a record, which was dropped
    uint64_t truncated_at, error_at
    uint64_t last_ns
    uint64_t packets, captured_bytes, wire_bytes
    uint64_t zero_length, longer_than_wire, zero_clock
    uint64_t clock_overflow        # times beyond the year 2262, set to its end
    uint64_t no_timestamp          # simple packet blocks: they take the time of the packet before
    uint64_t no_interface          # packets of an interface that was never described, skipped
    uint64_t oversized             # packets of more than CAPTURE_MAX_PACKET bytes, skipped
    uint64_t unknown_blocks, other_blocks, sections, n_interfaces_seen
    uint32_t link_type[CAPTURE_MAX_LINKS]
    uint64_t link_packets[CAPTURE_MAX_LINKS]


cdef inline uint32_t capture_u32(const CaptureState *s, const uint8_t *p) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, p, 4)
    return bswap32(value) if s.swapped else value


cdef inline uint32_t capture_u16(const CaptureState *s, const uint8_t *p) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, p, 2)
    return bswap16(value) if s.swapped else value


cdef inline uint64_t capture_u64(const CaptureState *s, const uint8_t *p) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, p, 8)
    return bswap64(value) if s.swapped else value


cdef inline void capture_fail(CaptureState *s, int error) noexcept nogil:
    s.error = error
    s.error_at = s.base + s.pos
    s.status = CAPTURE_ERROR


cdef inline void capture_starve(CaptureState *s) noexcept nogil:
    # no further whole record: more is to be read, or this is the end, clean or within a record
    s.status = CAPTURE_MORE
    if not s.eof:
        return
    if s.skip_bytes or s.pos < s.end:
        s.truncated = True
        s.truncated_at = s.skip_from if s.skip_bytes else s.base + s.pos
    s.skip_bytes = 0
    s.pos = s.end
    s.status = CAPTURE_END


cdef inline bint capture_skip(CaptureState *s) noexcept nogil:
    # passes over a record that may be longer than the window; False while it goes on
    cdef uint64_t step = min(s.skip_bytes, s.end - s.pos)
    s.pos += step
    s.skip_bytes -= step
    if s.skip_bytes:
        capture_starve(s)
        return False
    s.skip_counter[0] += 1
    return True


cdef inline bint capture_skip_record(CaptureState *s, uint64_t n_bytes, uint64_t *counter) noexcept nogil:
    s.skip_from = s.base + s.pos
    s.skip_bytes = n_bytes
    s.skip_counter = counter
    return capture_skip(s)


cdef inline uint32_t capture_link_slot(CaptureState *s, uint32_t link_type) noexcept nogil:
    cdef uint32_t i
    for i in range(s.n_links):
        if s.link_type[i] == link_type:
            return i
    if s.n_links == CAPTURE_MAX_LINKS - 1:
        link_type = CAPTURE_OTHER_LINKS
    if s.n_links == CAPTURE_MAX_LINKS:
        return CAPTURE_MAX_LINKS - 1
    s.link_type[s.n_links] = link_type
    s.n_links += 1
    return s.n_links - 1


cdef inline void capture_set_resolution(CaptureInterface *interface, uint32_t tsresol) noexcept nogil:
    # if_tsresol: 10^-n s, or 2^-n s when the top bit is set
    cdef uint32_t _i, n = tsresol & 127
    interface.multiplier = interface.divisor = interface.shift = 0
    if tsresol > 127 and n:
        interface.shift = n
    elif n <= 9 or tsresol > 127:
        interface.multiplier = 1
        for _i in range(0 if tsresol > 127 else n, 9):
            interface.multiplier *= 10
        interface.max_ticks = <uint64_t> INT64_MAX // interface.multiplier
    elif n <= 28:
        interface.divisor = 1
        for _i in range(9, n):
            interface.divisor *= 10


cdef inline uint64_t capture_binary_ns(uint64_t ticks, uint32_t shift) noexcept nogil:
    # floor(ticks * 10^9 / 2^shift) without a wider type; UINT64_MAX when it does not fit
    cdef uint64_t seconds = ticks >> shift if shift < 64 else 0
    cdef uint64_t part = ticks & ((<uint64_t> 1 << shift) - 1) if shift < 64 else ticks
    cdef uint64_t high
    if seconds >= MAX_SECONDS:
        return <uint64_t> -1
    if shift < 32:
        return seconds * NS_PER_S + (part * NS_PER_S >> shift)
    high = (part >> 32) * NS_PER_S + (<uint64_t> <uint32_t> part * NS_PER_S >> 32)
    return seconds * NS_PER_S + (high >> (shift - 32) if shift < 96 else 0)


cdef inline uint64_t capture_time_ns(const CaptureInterface *interface, uint64_t ticks) noexcept nogil:
    # ticks since the interface's epoch as ns since 1970, kept within 0 and INT64_MAX
    cdef uint64_t ns = 0
    if interface.multiplier:
        ns = ticks * interface.multiplier if ticks <= interface.max_ticks else <uint64_t> -1
    elif interface.divisor:
        ns = ticks // interface.divisor
    elif interface.shift:
        ns = capture_binary_ns(ticks, interface.shift)
    if interface.offset_ns < 0 and ns <= INT64_MAX:
        return max(ns, <uint64_t> -interface.offset_ns) - <uint64_t> -interface.offset_ns
    if ns > INT64_MAX or ns > INT64_MAX - <uint64_t> interface.offset_ns:
        return INT64_MAX
    return ns + <uint64_t> interface.offset_ns


cdef inline bint pcap_is_magic(uint32_t magic) noexcept nogil:
    return magic == PCAP_MICROSECONDS or magic == PCAP_NANOSECONDS or magic == PCAP_KUZNETZOV


cdef inline bint pcap_begin(CaptureState *s, uint32_t magic) noexcept nogil:
    cdef const uint8_t *p = s.window + s.pos
    if s.end - s.pos < 24:
        capture_starve(s)
        return False
    s.format = CAPTURE_PCAP
    if capture_u16(s, p + 4) != 2:
        capture_fail(s, CAPTURE_BAD_VERSION)
        return False
    s.header_bytes = 24 if magic == PCAP_KUZNETZOV else 16
    s.sections = s.n_interfaces = s.n_interfaces_seen = 1
    s.interfaces[0].multiplier = 1 if magic == PCAP_NANOSECONDS else 1000
    s.interfaces[0].snaplen = capture_u32(s, p + 16)
    s.interfaces[0].link_type = capture_u32(s, p + 20) & PCAP_LINK_MASK
    s.interfaces[0].slot = capture_link_slot(s, s.interfaces[0].link_type)
    s.pos += 24
    return True


cdef inline bint capture_begin(CaptureState *s) noexcept nogil:
    # which format the first bytes are of
    cdef uint32_t magic
    if s.end - s.pos < 4:
        capture_starve(s)
        return False
    s.swapped = False
    magic = capture_u32(s, s.window + s.pos)
    if magic == BLOCK_SECTION:
        s.format = CAPTURE_PCAPNG
        return True
    s.swapped = not pcap_is_magic(magic)
    magic = capture_u32(s, s.window + s.pos)
    if pcap_is_magic(magic):
        return pcap_begin(s, magic)
    capture_fail(s, CAPTURE_BAD_MAGIC)
    return False


cdef inline uint32_t pcap_fill(
    CaptureState *s, qoe_packet *out, uint32_t capacity, uint64_t until_ns
) noexcept nogil:
    cdef:
        uint32_t captured_len, n = 0
        uint32_t header_bytes = s.header_bytes
        uint32_t link_type = s.interfaces[0].link_type
        uint64_t ts_ns, ns_per_tick = s.interfaces[0].multiplier
        const uint8_t *p
    s.status = CAPTURE_READY
    while n < capacity:
        p = s.window + s.pos
        if s.end - s.pos < header_bytes:
            capture_starve(s)
            break
        captured_len = capture_u32(s, p + 8)
        if captured_len > CAPTURE_MAX_PACKET:
            if captured_len > CAPTURE_MAX_SKIP:
                capture_fail(s, CAPTURE_BAD_LENGTH)
                break
            if not capture_skip_record(s, <uint64_t> header_bytes + captured_len, &s.oversized):
                break
            continue
        if s.end - s.pos - header_bytes < captured_len:
            capture_starve(s)
            break
        ts_ns = <uint64_t> capture_u32(s, p) * NS_PER_S + capture_u32(s, p + 4) * ns_per_tick
        if until_ns and ts_ns >= until_ns:
            s.status = CAPTURE_UNTIL
            break
        out[n].data = p + header_bytes
        out[n].captured_len = captured_len
        out[n].wire_len = capture_u32(s, p + 12)
        out[n].ts_ns = ts_ns
        out[n].link_type = link_type
        out[n].cell_hint = 0
        s.pos += header_bytes + captured_len
        n += 1
    s.link_packets[0] += n
    return n


cdef inline bint pcapng_section(CaptureState *s, const uint8_t *p) noexcept nogil:
    # sets the byte order, which even the length of the section header's own block is in
    s.swapped = False
    if capture_u32(s, p + 8) == BYTE_ORDER_MAGIC:
        return True
    s.swapped = True
    return capture_u32(s, p + 8) == BYTE_ORDER_MAGIC


cdef inline void pcapng_options(
    const CaptureState *s, CaptureInterface *interface, const uint8_t *p, const uint8_t *end
) noexcept nogil:
    cdef uint32_t code, n_bytes
    while end - p >= 4:
        code = capture_u16(s, p)
        n_bytes = capture_u16(s, p + 2)
        p += 4
        if code == 0 or end - p < n_bytes:
            return
        if code == OPTION_TSRESOL and n_bytes == 1:
            capture_set_resolution(interface, p[0])
        elif code == OPTION_TSOFFSET and n_bytes == 8:
            interface.offset_ns = NS_PER_S * min(
                max(<int64_t> capture_u64(s, p), -<int64_t> MAX_SECONDS), <int64_t> MAX_SECONDS)
        n_bytes = (n_bytes + 3) & ~<uint32_t> 3
        if end - p < n_bytes:
            return
        p += n_bytes


cdef inline void pcapng_interface(CaptureState *s, const uint8_t *p, uint32_t length) noexcept nogil:
    cdef CaptureInterface *interface = &s.interfaces[s.n_interfaces]
    s.n_interfaces_seen += 1
    if s.n_interfaces == CAPTURE_MAX_INTERFACES:
        return
    s.n_interfaces += 1
    interface.link_type = capture_u16(s, p + 8)
    interface.snaplen = capture_u32(s, p + 12)
    interface.slot = capture_link_slot(s, interface.link_type)
    interface.offset_ns = 0
    capture_set_resolution(interface, 6)
    pcapng_options(s, interface, p + 16, p + length - 4)


cdef inline bint pcapng_holds_packet(uint32_t kind) noexcept nogil:
    return kind == BLOCK_ENHANCED or kind == BLOCK_PACKET or kind == BLOCK_SIMPLE


cdef inline bint pcapng_is_known(uint32_t kind) noexcept nogil:
    # name resolution, statistics, systemd journal, decryption secrets, custom: nothing for us to read
    return kind == 4 or kind == 5 or kind == 9 or kind == 10 or kind == 0xBAD or kind == 0x40000BAD


cdef inline CaptureInterface *pcapng_packet(
    CaptureState *s, const uint8_t *p, uint32_t kind, uint32_t length, qoe_packet *out
) noexcept nogil:
    # one packet block; NULL when there is none to hand out, with the reason counted or s.status set
    cdef:
        uint32_t index = 0
        uint32_t fixed_bytes = 12 if kind == BLOCK_SIMPLE else 28
        CaptureInterface *interface
    if length < fixed_bytes + 4:
        capture_fail(s, CAPTURE_BAD_LENGTH)
        return NULL
    if kind != BLOCK_SIMPLE:
        index = capture_u32(s, p + 8) if kind == BLOCK_ENHANCED else capture_u16(s, p + 8)
        out.captured_len = capture_u32(s, p + 20)
        out.wire_len = capture_u32(s, p + 24)
        if out.captured_len > length - fixed_bytes - 4:
            capture_fail(s, CAPTURE_BAD_LENGTH)
            return NULL
    if index >= s.n_interfaces:
        s.no_interface += 1
        return NULL
    interface = &s.interfaces[index]
    if kind != BLOCK_SIMPLE:
        out.ts_ns = capture_time_ns(
            interface, <uint64_t> capture_u32(s, p + 12) << 32 | capture_u32(s, p + 16))
    else:
        out.wire_len = capture_u32(s, p + 8)
        out.captured_len = min(out.wire_len, length - fixed_bytes - 4)
        if interface.snaplen:
            out.captured_len = min(out.captured_len, interface.snaplen)
        out.ts_ns = s.last_ns
    if out.captured_len > CAPTURE_MAX_PACKET:
        s.oversized += 1
        return NULL
    out.data = p + fixed_bytes
    out.link_type = interface.link_type
    out.cell_hint = 0
    return interface


cdef inline bint pcapng_other(
    CaptureState *s, const uint8_t *p, uint32_t kind, uint32_t length
) noexcept nogil:
    # a block that holds no packet; False: its length is impossible
    if length < (28 if kind == BLOCK_SECTION else 20 if kind == BLOCK_INTERFACE else 12):
        capture_fail(s, CAPTURE_BAD_LENGTH)
        return False
    if kind == BLOCK_SECTION:
        if capture_u16(s, p + 12) != 1:
            capture_fail(s, CAPTURE_BAD_VERSION)
            return False
        s.sections += 1
        s.n_interfaces = 0
    elif kind == BLOCK_INTERFACE:
        pcapng_interface(s, p, length)
    elif pcapng_is_known(kind):
        s.other_blocks += 1
    else:
        s.unknown_blocks += 1
    return True


cdef inline bint pcapng_skip_block(CaptureState *s, uint32_t kind, uint32_t length) noexcept nogil:
    # a block longer than any window must be; False: stop, it goes on or makes no sense
    if length > CAPTURE_MAX_SKIP or kind == BLOCK_SECTION or kind == BLOCK_INTERFACE:
        capture_fail(s, CAPTURE_BAD_LENGTH)
        return False
    if pcapng_holds_packet(kind):
        return capture_skip_record(s, length, &s.oversized)
    return capture_skip_record(s, length, &s.other_blocks if pcapng_is_known(kind) else &s.unknown_blocks)


cdef inline uint32_t pcapng_fill(
    CaptureState *s, qoe_packet *out, uint32_t capacity, uint64_t until_ns
) noexcept nogil:
    cdef:
        uint32_t kind, length, n = 0
        const uint8_t *p
        CaptureInterface *interface
    s.status = CAPTURE_READY
    while n < capacity:
        if s.end - s.pos < 12:
            capture_starve(s)
            break
        p = s.window + s.pos
        kind = capture_u32(s, p)
        if kind == BLOCK_SECTION and not pcapng_section(s, p):
            capture_fail(s, CAPTURE_BAD_BYTE_ORDER)
            break
        length = capture_u32(s, p + 4)
        if length < 12 or length & 3:
            capture_fail(s, CAPTURE_BAD_LENGTH)
            break
        if length > CAPTURE_MAX_BLOCK:
            if not pcapng_skip_block(s, kind, length):
                break
            continue
        if s.end - s.pos < length:
            capture_starve(s)
            break
        if capture_u32(s, p + length - 4) != length:
            capture_fail(s, CAPTURE_BAD_TRAILER)
            break
        if pcapng_holds_packet(kind):
            interface = pcapng_packet(s, p, kind, length, &out[n])
            if s.status == CAPTURE_ERROR:
                break
            if interface != NULL:
                if until_ns and out[n].ts_ns >= until_ns:
                    s.status = CAPTURE_UNTIL
                    break
                s.link_packets[interface.slot] += 1
                s.no_timestamp += kind == BLOCK_SIMPLE
                s.last_ns = out[n].ts_ns
                n += 1
        elif not pcapng_other(s, p, kind, length):
            break
        s.pos += length
    return n


cdef inline void capture_account(CaptureState *s, const qoe_packet *packets, uint32_t n) noexcept nogil:
    cdef:
        uint32_t i
        uint64_t captured = 0, wire = 0, zero = 0, longer = 0, zero_clock = 0, overflow = 0
    for i in range(n):
        captured += packets[i].captured_len
        wire += packets[i].wire_len
        zero += packets[i].captured_len == 0
        longer += packets[i].captured_len > packets[i].wire_len
        zero_clock += packets[i].ts_ns == 0
        overflow += packets[i].ts_ns == INT64_MAX
    s.packets += n
    s.captured_bytes += captured
    s.wire_bytes += wire
    s.zero_length += zero
    s.longer_than_wire += longer
    s.zero_clock += zero_clock
    s.clock_overflow += overflow


cdef inline uint32_t capture_next(
    CaptureState *s, qoe_packet *out, uint32_t capacity, uint64_t until_ns
) noexcept nogil:
    # Fills up to `capacity` packets that lie wholly in the window and returns how many. Stops before
    # the first packet of until_ns or later (0: no limit); s.status, an enum CaptureStatus, says why it
    # stopped. Packets point into the window.
    cdef uint32_t n
    if s.status == CAPTURE_ERROR or (s.skip_bytes and not capture_skip(s)):
        return 0
    if s.format == CAPTURE_UNKNOWN and not capture_begin(s):
        return 0
    if s.format == CAPTURE_PCAP:
        n = pcap_fill(s, out, capacity, until_ns)
    else:
        n = pcapng_fill(s, out, capacity, until_ns)
    capture_account(s, out, n)
    return n
