# Packed records in order of a number they hold, textually included by engine.pyx.

cdef struct Keyed:
    uint64_t key
    uint64_t index


cdef inline bint is_sorted(const Keyed *keyed, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(1, n):
        if keyed[i].key < keyed[i - 1].key:
            return False
    return True


cdef void sort_keyed(Keyed *keyed, Keyed *spare, uint32_t n, uint64_t spread) noexcept nogil:
    # by radix, a byte a pass over those that differ; the keys are at most `spread`
    cdef:
        uint32_t starts[257]
        uint32_t i
        int shift = 0
        Keyed *to = spare
        Keyed *swap
        Keyed *first = keyed
    while shift < 64 and spread >> shift:
        memset(starts, 0, sizeof(starts))
        for i in range(n):
            starts[(keyed[i].key >> shift & 255) + 1] += 1
        for i in range(256):
            starts[i + 1] += starts[i]
        for i in range(n):
            to[starts[keyed[i].key >> shift & 255]] = keyed[i]
            starts[keyed[i].key >> shift & 255] += 1
        swap = keyed
        keyed = to
        to = swap
        shift += 8
    if keyed != first:
        memcpy(first, keyed, n * sizeof(Keyed))


cdef void move_records(uint8_t *records, uint32_t record_bytes, Keyed *keyed, uint32_t n,
                       uint8_t *spare) noexcept nogil:
    # each to its place, along the cycles of the permutation
    cdef uint64_t i, at, source
    for i in range(n):
        if keyed[i].index == i:
            continue
        memcpy(spare, records + i * record_bytes, record_bytes)
        at = i
        while keyed[at].index != i:
            source = keyed[at].index
            memcpy(records + at * record_bytes, records + source * record_bytes, record_bytes)
            keyed[at].index = at
            at = source
        memcpy(records + at * record_bytes, spare, record_bytes)
        keyed[at].index = at


cdef void order_records(uint8_t *records, uint32_t record_bytes, uint32_t key_offset, uint32_t n, Keyed *keyed,
                        uint8_t *spare) noexcept nogil:
    cdef:
        uint64_t least = <uint64_t> -1, most = 0
        uint32_t i
    for i in range(n):
        keyed[i].key = get_u8(records + <uint64_t> i * record_bytes + key_offset)
        keyed[i].index = i
        least = min(least, keyed[i].key)
        most = max(most, keyed[i].key)
    if is_sorted(keyed, n):
        return
    for i in range(n):
        keyed[i].key -= least
    sort_keyed(keyed, keyed + n, n, most - least)
    move_records(records, record_bytes, keyed, n, spare)


def sort_records(unsigned char[::1] records, uint32_t record_bytes, uint32_t key_offset):
    """Order packed records by the unsigned 64-bit number at `key_offset`, in place and stably."""
    cdef:
        uint32_t n = records.shape[0] // record_bytes if record_bytes else 0
        Keyed *keyed
        uint8_t *spare
    if record_bytes == 0 or records.shape[0] % record_bytes or <uint64_t> key_offset + 8 > record_bytes:
        raise ValueError("records must be whole, and hold the key")
    if n < 2:
        return
    keyed = <Keyed *> malloc(2 * n * sizeof(Keyed))
    spare = <uint8_t *> malloc(record_bytes)
    if keyed == NULL or spare == NULL:
        free(keyed)
        free(spare)
        raise MemoryError
    with nogil:
        order_records(&records[0], record_bytes, key_offset, n, keyed, spare)
    free(keyed)
    free(spare)
