/* intrin.h: the few lines Cython cannot say. Loads go through memcpy: any alignment, one instruction. */
#ifndef QOE_INTRIN_H
#define QOE_INTRIN_H

#include <sched.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define qoe_likely(condition) __builtin_expect(!!(condition), 1)
#define qoe_unlikely(condition) __builtin_expect(!!(condition), 0)
#define qoe_prefetch(address) __builtin_prefetch((const void *)(address))
#define qoe_lowest_bit(bits) ((uint32_t)__builtin_ctz(bits))

/* A reader in another thread sees a record that is marked busy, or one that is whole. */
#define qoe_begin_write(mark) \
    do { __atomic_store_n((mark), 1, __ATOMIC_RELAXED); __atomic_thread_fence(__ATOMIC_RELEASE); } while (0)
#define qoe_end_write(mark) __atomic_store_n((mark), 0, __ATOMIC_RELEASE)
#define qoe_read_mark(mark) __atomic_load_n((mark), __ATOMIC_ACQUIRE)
#define qoe_read_fence() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define qoe_pause() sched_yield()

/* Whether a UDP port stands for a tunnel: one comparison, by a hash that holds the five apart. */
static inline int qoe_is_tunnel_port(uint16_t port)
{
    static const uint16_t tunnels[8] = {6081, 2152, 0, 8472, 0, 4789, 4790, 0};
    return tunnels[(uint16_t)(port * 65u) >> 13] == port && port;
}

/* Which of ten tags equal `tag`: bit i for tags[i]. */
#ifdef __SSE2__
static inline uint32_t qoe_match_tags(const uint16_t *tags, uint16_t tag)
{
    const __m128i wanted = _mm_set1_epi16((short)tag);
    const __m128i first = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)tags), wanted);
    const __m128i last = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)(tags + 2)), wanted);
    uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, last));
    return (found & 0xFF) | (found >> 6 & 0x300);
}
#else
static inline uint32_t qoe_match_tags(const uint16_t *tags, uint16_t tag)
{
    uint32_t i, found = 0;
    for (i = 0; i < 10; i++)
        found |= (uint32_t)(tags[i] == tag) << i;
    return found;
}
#endif

/* Trees as forest.pxd lays them out. Eight walks at once, each of `depth` steps, all in registers: one walk alone
 * would wait for the cache at every step. */
struct qoe_walk { float threshold; uint32_t next; };
struct qoe_share { uint16_t share[8]; };
static inline void qoe_walk_eight(const struct qoe_walk *nodes, const float *features, uint32_t depth, uint32_t *at)
{
#define QOE_STEP(a) a = (nodes[a].next >> 6) + (features[nodes[a].next & 63] > nodes[a].threshold)
    uint32_t a = at[0], b = at[1], c = at[2], d = at[3], e = at[4], f = at[5], g = at[6], h = at[7];
    while (depth--) {
        QOE_STEP(a); QOE_STEP(b); QOE_STEP(c); QOE_STEP(d);
        QOE_STEP(e); QOE_STEP(f); QOE_STEP(g); QOE_STEP(h);
    }
    at[0] = a; at[1] = b; at[2] = c; at[3] = d; at[4] = e; at[5] = f; at[6] = g; at[7] = h;
#undef QOE_STEP
}

static inline void qoe_add_share(struct qoe_share *sum, const struct qoe_share *leaf)
{
#ifdef __SSE2__
    __m128i *to = (__m128i *)sum->share;
    _mm_storeu_si128(to, _mm_add_epi16(_mm_loadu_si128(to), _mm_loadu_si128((const __m128i *)leaf->share)));
#else
    int i;
    for (i = 0; i < 8; i++)
        sum->share[i] = (uint16_t)(sum->share[i] + leaf->share[i]);
#endif
}

/* The upper half of a float that is not negative: eight significant bits, rounded down. */
static inline uint16_t qoe_upper_half(float value) { uint32_t bits; memcpy(&bits, &value, 4); return (uint16_t)(bits >> 16); }
static inline float qoe_from_upper_half(uint16_t half) { uint32_t bits = (uint32_t)half << 16; float value; memcpy(&value, &bits, 4); return value; }
/* 8 e + m for a value of 2^e (1 + m/8), m rounded down; for values from 1. */
static inline uint32_t qoe_log_code(double value) { uint64_t bits; memcpy(&bits, &value, 8); return (uint32_t)(bits >> 49) - (1023u << 3); }

static inline uint16_t qoe_native16(const uint8_t *at) { uint16_t value; memcpy(&value, at, 2); return value; }
static inline uint32_t qoe_native32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline uint16_t qoe_be16(const uint8_t *at) { return __builtin_bswap16(qoe_native16(at)); }
static inline uint32_t qoe_be32(const uint8_t *at) { return __builtin_bswap32(qoe_native32(at)); }
static inline uint16_t qoe_le16(const uint8_t *at) { return qoe_native16(at); }
static inline uint32_t qoe_le32(const uint8_t *at) { return qoe_native32(at); }
#else
static inline uint16_t qoe_be16(const uint8_t *at) { return qoe_native16(at); }
static inline uint32_t qoe_be32(const uint8_t *at) { return qoe_native32(at); }
static inline uint16_t qoe_le16(const uint8_t *at) { return __builtin_bswap16(qoe_native16(at)); }
static inline uint32_t qoe_le32(const uint8_t *at) { return __builtin_bswap32(qoe_native32(at)); }
#endif

#endif
