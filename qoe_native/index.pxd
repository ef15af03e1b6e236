# The index of the flow table: buckets of one cache line, ten flows each, told apart by 16-bit tags that are
# compared at once. Six flows a bucket on average when the table is full, so a look-up reads one line (96 %
# of the flows are in their home bucket); what does not fit goes to the next bucket, and a count of those
# that passed by ends the search for what is not there. Deleting leaves no tombstone.
#
# The order of a flow's endpoints does not matter, and the hash is over each whole: folding them first would
# let an attacker choose collisions. It is seeded anew for every engine.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from qoe_native.intrin cimport likely
from qoe_native.layers cimport Headers


cdef extern from "host.h" nogil:
    uint64_t qoe_mum(uint64_t a, uint64_t b)
    uint64_t qoe_load64(const void *p)
    uint32_t qoe_load32(const void *p)


cdef extern from "intrin.h" nogil:
    uint32_t match_tags "qoe_match_tags"(const uint16_t *tags, uint16_t tag)
    uint32_t lowest_bit "qoe_lowest_bit"(uint32_t bits)


cdef enum:
    BUCKET_FLOWS = 10
    FLOWS_A_BUCKET = 6         # on average, when as many flows live as the table may hold

cdef enum KindMask:
    KIND_MASK = 0xFFFFFFFF0000FFFF    # of the eight bytes from Headers.protocol, and from Flow.protocol, on


cdef struct Bucket:
    uint16_t tag[10]
    uint32_t n_passed          # flows that would like to be here or before, and lie behind
    uint32_t record[10]        # record + 1; 0 = empty


cdef struct Index:
    Bucket *buckets
    uint64_t n_buckets


cdef struct Key:               # what the table compares, in the layout of Flow
    uint64_t hashed
    uint64_t pair              # both addresses; of IPv6 a fold of each
    uint64_t kind              # protocol, IP version, context
    uint32_t ports


cdef inline uint64_t hash_ipv4(const uint64_t *seed, uint64_t pair, uint32_t ports, uint64_t kind) noexcept nogil:
    cdef:
        uint64_t a = pair << 32 | (ports & 0xFFFF)
        uint64_t b = (pair >> 32) << 32 | ports >> 16
        uint64_t low = a if a < b else b
        uint64_t x = qoe_mum(low ^ seed[0], (a ^ b ^ low) ^ seed[1])
    return qoe_mum(x ^ seed[3], kind ^ seed[2])


cdef inline uint64_t hash_ipv6(const uint64_t *seed, const Headers *h, uint64_t kind) noexcept nogil:
    cdef:
        uint64_t s0 = qoe_load64(h.src), s1 = qoe_load64(h.src + 8), sp = h.src_port
        uint64_t d0 = qoe_load64(h.dst), d1 = qoe_load64(h.dst + 8), dp = h.dst_port
        uint64_t x
    if s0 > d0 or (s0 == d0 and (s1 > d1 or (s1 == d1 and sp > dp))):
        s0, d0 = d0, s0
        s1, d1 = d1, s1
        sp, dp = dp, sp
    x = qoe_mum(s0 ^ seed[0], d0 ^ seed[1])
    x = qoe_mum(x ^ s1, d1 ^ seed[2])
    return qoe_mum(x ^ (sp << 16 | dp) ^ seed[3], kind ^ seed[1])


cdef inline uint32_t fold_address(const uint8_t *address) noexcept nogil:
    cdef uint64_t x = qoe_load64(address) ^ qoe_load64(address + 8)
    return <uint32_t> (x ^ (x >> 32))


cdef inline void make_key(const uint64_t *seed, const Headers *h, Key *key) noexcept nogil:
    # Field by field: the headers have just been written, and a wide load of narrow stores would wait for them.
    key.ports = h.src_port | <uint32_t> h.dst_port << 16
    key.kind = h.protocol | <uint64_t> h.ip_version << 8 | <uint64_t> h.context << 32
    if likely(h.ip_version == 4):
        key.pair = qoe_load32(h.src) | <uint64_t> qoe_load32(h.dst) << 32
        key.hashed = hash_ipv4(seed, key.pair, key.ports, key.kind)
    else:
        key.pair = fold_address(h.src) | <uint64_t> fold_address(h.dst) << 32
        key.hashed = hash_ipv6(seed, h, key.kind)


cdef inline uint32_t shard_of(uint64_t hashed, uint32_t n_shards) noexcept nogil:
    # by bits that neither the bucket nor the tag is taken from
    return <uint32_t> ((hashed >> 16 & 0xFFFF) * n_shards >> 16)


cdef inline uint32_t home_of(uint64_t hashed) noexcept nogil:
    return <uint32_t> (hashed >> 32)


cdef inline uint16_t tag_of(uint64_t hashed) noexcept nogil:
    return <uint16_t> hashed


cdef inline Bucket *home_bucket(const Index *index, uint32_t home) noexcept nogil:
    return &index.buckets[<uint64_t> home * index.n_buckets >> 32]


cdef inline Bucket *next_bucket(const Index *index, Bucket *b) noexcept nogil:
    return b + 1 if b + 1 < index.buckets + index.n_buckets else index.buckets


cdef inline uint32_t guess_record(const Index *index, uint64_t hashed) noexcept nogil:
    # record + 1 of the first flow of this tag in its home bucket, unverified: what to prefetch; 0: none
    cdef:
        Bucket *b = home_bucket(index, home_of(hashed))
        uint32_t found = match_tags(b.tag, tag_of(hashed))
    return b.record[lowest_bit(found)] if found else 0


cdef inline void index_insert(Index *index, uint64_t hashed, uint32_t record) noexcept nogil:
    cdef:
        Bucket *b = home_bucket(index, home_of(hashed))
        int i
    while True:
        for i in range(BUCKET_FLOWS):
            if b.record[i] == 0:
                b.tag[i] = tag_of(hashed)
                b.record[i] = record + 1
                return
        b.n_passed += 1
        b = next_bucket(index, b)


cdef inline void index_remove(Index *index, uint32_t home, uint32_t record) noexcept nogil:
    cdef:
        Bucket *b = home_bucket(index, home)
        int i
    while True:
        for i in range(BUCKET_FLOWS):
            if b.record[i] == record + 1:
                b.record[i] = 0
                return
        b.n_passed -= 1
        b = next_bucket(index, b)
