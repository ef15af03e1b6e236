# Packed records as columns, textually included by engine.pyx after text.pxi: records are transposed a block at
# a time, while they lie in the cache, into one array a column, and what comes again and again is coded by a
# dictionary. pages.pxi makes Parquet of them.
from libc.stdlib cimport realloc
from libc.string cimport memcmp


cdef enum:
    PAGE_ROWS = 8192
    BLOCK_ROWS = 64                # transposed together: their records fit the innermost cache
    MOST_WORDS = 4096              # of a dictionary of numbers or names; with more, it does not pay
    MOST_ADDRESSES = 16384
    SLOTS_A_VALUE = 4
    FIRST_VALUES = 256             # a dictionary has room for, before it grows
    STAGGER_BYTES = 320            # between arrays: at equal offsets in their pages they would evict one another
    MOST_PROBES = 64               # of a dictionary; whoever chooses values that collide gets none


cdef struct Address:
    uint64_t half[2]
    uint64_t version


cdef struct Column:
    Cell cell
    void *staged                   # PAGE_ROWS values: uint32_t, uint64_t or Address
    uint32_t n_staged, page_rows   # values that are there, and that make the next page
    void *values                   # the dictionary: uint32_t or Address, in order of appearance; NULL: none
    uint16_t *slots                # number of a value + 1, by its hash
    uint16_t small[256]            # the same of words below 256
    uint32_t n_values, room_values
    bint given_up                  # the dictionary is full: what follows is encoded without
    bint coded, uncoded            # whether there are pages with and without it
    uint8_t *pages
    uint64_t n_bytes, room_bytes


cdef inline int staged_bytes(int kind) noexcept nogil:
    if kind == CELL_ADDRESS:
        return sizeof(Address)
    return 8 if kind in (CELL_U8, CELL_SUM, CELL_SECONDS, CELL_SPAN) else 4


cdef void stage_words(const Cell *cell, const uint8_t *record, uint32_t n, uint32_t record_bytes,
                      uint32_t *out) noexcept nogil:
    cdef:
        const uint8_t *at = record + cell.offset
        int kind = cell.kind
        int16_t small
        uint16_t half
        uint32_t i
    if kind == CELL_U2:
        for i in range(n):
            memcpy(&half, at + <uint64_t> i * record_bytes, 2)
            out[i] = half
    elif kind == CELL_I2:
        for i in range(n):
            memcpy(&small, at + <uint64_t> i * record_bytes, 2)
            out[i] = <uint32_t> <int32_t> small
    elif kind in (CELL_U4, CELL_F4, CELL_BITS_4):
        for i in range(n):
            memcpy(&out[i], at + <uint64_t> i * record_bytes, 4)
    else:
        for i in range(n):
            out[i] = at[<uint64_t> i * record_bytes]


cdef void stage_longs(const Cell *cell, const uint8_t *record, uint32_t n, uint32_t record_bytes,
                      uint64_t *out) noexcept nogil:
    cdef:
        int kind = cell.kind
        uint64_t other
        uint32_t i
    for i in range(n):
        out[i] = get_u8(record + cell.offset)
        if kind == CELL_SUM:
            out[i] += get_u8(record + cell.other)
        elif kind == CELL_SPAN:
            other = get_u8(record + cell.other)
            out[i] = other - out[i] if other > out[i] else 0
        record += record_bytes


cdef void stage_addresses(const Cell *cell, const uint8_t *record, uint32_t n, uint32_t record_bytes,
                          Address *out) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        out[i].half[0] = get_u8(record + cell.offset)
        out[i].half[1] = get_u8(record + cell.offset + 8)
        out[i].version = record[cell.other]
        record += record_bytes


cdef void stage(Column *c, const uint8_t *record, uint32_t n, uint32_t record_bytes) noexcept nogil:
    # copies what a column shows of `n` records
    cdef int width = staged_bytes(c.cell.kind)
    if width == 4:
        stage_words(&c.cell, record, n, record_bytes, <uint32_t *> c.staged + c.n_staged)
    elif width == 8:
        stage_longs(&c.cell, record, n, record_bytes, <uint64_t *> c.staged + c.n_staged)
    else:
        stage_addresses(&c.cell, record, n, record_bytes, <Address *> c.staged + c.n_staged)
    c.n_staged += n


cdef inline uint32_t hash_value(const Column *c, const void *values, uint32_t i) noexcept nogil:
    cdef const Address *a
    if c.cell.kind != CELL_ADDRESS:
        return (<const uint32_t *> values)[i] * 0x9E3779B1U >> 16
    a = &(<const Address *> values)[i]
    return <uint32_t> qoe_mum(a.half[0] ^ 0x9E3779B97F4A7C15ULL, a.half[1] ^ 0xD6E8FEB86659FD93ULL)


cdef inline bint same_value(const Column *c, uint32_t code, const void *values, uint32_t i) noexcept nogil:
    if c.cell.kind != CELL_ADDRESS:
        return (<const uint32_t *> c.values)[code] == (<const uint32_t *> values)[i]
    return memcmp(&(<const Address *> c.values)[code], &(<const Address *> values)[i], sizeof(Address)) == 0


cdef bint grow_dictionary(Column *c) noexcept nogil:
    # room for four times as many values; False: no more pay, or there is no memory
    cdef:
        uint32_t room = 4 * c.room_values if c.room_values else FIRST_VALUES, mask = SLOTS_A_VALUE * room - 1, i, slot
        void *values
        uint16_t *slots
    if room > (MOST_ADDRESSES if c.cell.kind == CELL_ADDRESS else MOST_WORDS):
        return False
    slots = <uint16_t *> calloc(mask + 1, sizeof(uint16_t))
    values = realloc(c.values, <uint64_t> room * staged_bytes(c.cell.kind))
    if values != NULL:
        c.values = values
    if values == NULL or slots == NULL:
        free(slots)
        return False
    for i in range(c.n_values):
        slot = hash_value(c, values, i) & mask
        while slots[slot]:
            slot = (slot + 1) & mask
        slots[slot] = i + 1
    free(c.slots)
    c.slots = slots
    c.room_values = room
    return True


cdef int code_of(Column *c, const void *staged, uint32_t i) noexcept nogil:
    # number in the dictionary of value `i`, which is put there when it is new; -1: it has no place
    cdef uint32_t mask = SLOTS_A_VALUE * c.room_values - 1, slot = hash_value(c, staged, i) & mask, probes = 0
    while c.slots[slot]:
        if same_value(c, c.slots[slot] - 1, staged, i):
            return c.slots[slot] - 1
        slot = (slot + 1) & mask
        probes += 1
        if probes == MOST_PROBES:
            return -1
    if c.n_values == c.room_values:
        return code_of(c, staged, i) if grow_dictionary(c) else -1
    memcpy(<uint8_t *> c.values + <uint64_t> c.n_values * staged_bytes(c.cell.kind),
           <const uint8_t *> staged + <uint64_t> i * staged_bytes(c.cell.kind), staged_bytes(c.cell.kind))
    c.n_values += 1
    c.slots[slot] = c.n_values
    return c.n_values - 1


cdef inline int code_of_word(Column *c, const uint32_t *words, uint32_t i) noexcept nogil:
    cdef int code
    if words[i] < 256 and c.small[words[i]]:
        return c.small[words[i]] - 1
    code = code_of(c, words, i)
    if words[i] < 256:
        c.small[words[i]] = code + 1
    return code


cdef inline bint eight_are(const uint32_t *words, uint32_t word) noexcept nogil:
    cdef uint32_t differ = 0
    cdef int i
    for i in range(8):
        differ |= words[i] ^ word
    return differ == 0


cdef inline bint are_alike(const uint32_t *words, uint32_t n) noexcept nogil:
    return memcmp(words, words + 1, 4 * (<uint64_t> n - 1)) == 0


cdef bint code_words(Column *c, uint32_t n, uint16_t *codes) noexcept nogil:
    cdef:
        const uint32_t *words = <const uint32_t *> c.staged
        uint32_t i = 0, k, end
        int code = code_of_word(c, words, 0)
    while i < n and code >= 0:
        if i and n - i >= 8 and eight_are(&words[i], words[i - 1]):
            for k in range(8):
                codes[i + k] = code
            i += 8
            continue
        end = min(i + 8, n)
        while i < end and code >= 0:
            code = code_of_word(c, words, i)
            codes[i] = code
            i += 1
    return code >= 0


cdef bint code_addresses(Column *c, uint32_t n, uint16_t *codes) noexcept nogil:
    cdef:
        uint32_t i
        int code
    for i in range(n):
        code = code_of(c, c.staged, i)
        if code < 0 or (c.n_values > n // 2 and not c.coded and n == PAGE_ROWS):
            return False                          # hardly any comes twice
        codes[i] = code
    return True
