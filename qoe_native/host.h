/* What Cython cannot say for the flow table: a seeded 64-bit mix (multiply and fold), huge pages,
 * a random seed, and, in a sanitizer build, a heap buffer of its own for every packet. */
#ifndef QOE_HOST_H
#define QOE_HOST_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/random.h>

static inline uint64_t qoe_mum(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t qoe_load32(const void *p)
{
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

static inline uint64_t qoe_load64(const void *p)
{
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

/* The bins of qoe.h: between two powers of two lies at most one edge, so the highest bit finds it, and one
 * comparison tells the side. */
static inline int qoe_gap_bin(uint64_t gap_ns)
{
    static const uint64_t edge_ns[64] = { /* 0: all of the octave lies above an edge */
        [0 ... 18] = UINT64_MAX, [19] = 1000000,   [22] = 5000000,   [23] = 15000000,
        [24] = 30000000,         [25] = 60000000,  [27] = 200000000, [29] = 1000000000,
    };
    static const uint8_t below[64] = {[22] = 1, 2, 3, 4, 4, 5, 5, [29 ... 63] = 6};
    int octave = 63 - __builtin_clzll(gap_ns | 1);
    return below[octave] + (gap_ns >= edge_ns[octave]);
}

static inline int qoe_size_bin(uint32_t size)
{
    static const uint32_t edge[32] = {[0] = 1, [6] = 100, [8] = 300, [9] = 700, [10] = 1200};
    static const uint8_t below[32] = {[6] = 1, 1, 2, 3, [10 ... 31] = 4};
    int octave = 31 - __builtin_clz(size | 1);
    return below[octave] + (size >= edge[octave]);
}

#ifdef QOE_ISOLATE_PACKETS
/* On the heap, where the sanitizers see its ends. */
static inline void *qoe_map(uint64_t n_bytes) { return calloc(1, n_bytes); }
static inline void qoe_unmap(void *p, uint64_t n_bytes) { (void)n_bytes; free(p); }
#else
/* Zeroed memory on huge pages where the kernel gives them; pages are taken when first touched. */
static inline void *qoe_map(uint64_t n_bytes)
{
    void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (n_bytes >= (4u << 20))
        (void)madvise(p, n_bytes, MADV_HUGEPAGE);
#endif
    return p;
}

static inline void qoe_unmap(void *p, uint64_t n_bytes)
{
    if (p)
        munmap(p, n_bytes);
}
#endif

/* Takes memory from the system now, which else would happen, a page at a time, at the first touch. */
static inline void qoe_touch(void *p, uint64_t n_bytes)
{
    uint64_t at;
    for (at = 0; p && at < n_bytes; at += 4096)
        ((volatile uint8_t *)p)[at] = 0;
}

/* One aligned word that one thread writes and another reads: old or new, nothing between. */
static inline uint64_t qoe_read_word(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void qoe_write_word(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

static inline int qoe_swap_word(uint64_t *p, uint64_t old, uint64_t new)
{
    return __atomic_compare_exchange_n(p, &old, new, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
static inline uint64_t qoe_set_bits(uint64_t *p, uint64_t bits) { return __atomic_fetch_or(p, bits, __ATOMIC_ACQ_REL); }
static inline uint64_t qoe_clear_bits(uint64_t *p, uint64_t bits) { return __atomic_fetch_and(p, ~bits, __ATOMIC_ACQ_REL); }
static inline uint64_t qoe_add_word(uint64_t *p, uint64_t n) { return __atomic_fetch_add(p, n, __ATOMIC_ACQ_REL); }

/* In a loop that waits for another thread: spins for some 20 us, lets others run for some 100, then sleeps, longer from
 * time to time, up to a millisecond. */
static inline void qoe_rest(uint32_t n_rests)
{
    struct timespec nap = {0, 50000};
    if (n_rests < 1000) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    } else if (n_rests < 1100) {
        sched_yield();
    } else {
        nap.tv_nsec <<= n_rests < 1140 ? (n_rests - 1100) / 8 : 5;
        nanosleep(&nap, NULL);
    }
}

/* A condition whose waits end by a clock that nobody sets back. */
static inline int qoe_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    return pthread_cond_init(condition, &attributes);
}

/* Waits on it for a tenth of a second at most. */
static inline int qoe_wait_a_while(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_cond_timedwait(condition, lock, &until);
}

static inline uint64_t qoe_random_seed(void)
{
    uint64_t seed = 0;
    struct timespec now;
    if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed && seed)
        return seed;
    clock_gettime(CLOCK_MONOTONIC, &now); /* a sandbox that denies getrandom: less of a secret, but one */
    return qoe_mum((uint64_t)now.tv_nsec ^ 0x9E3779B97F4A7C15u, (uint64_t)(uintptr_t)&seed) | 1;
}

#ifdef QOE_ISOLATE_PACKETS
#define QOE_SANITIZED 1
static inline const uint8_t *qoe_isolate(const uint8_t *data, uint32_t n)
{
    uint8_t *copy = data ? malloc(n ? n : 1) : NULL;
    if (copy && n)
        memcpy(copy, data, n);
    return copy;
}
static inline void qoe_release(const uint8_t *data) { free((void *)data); }
#else
#define QOE_SANITIZED 0
static inline const uint8_t *qoe_isolate(const uint8_t *data, uint32_t n) { (void)n; return data; }
static inline void qoe_release(const uint8_t *data) { (void)data; }
#endif

/* The text of an IPv6 address as inet_ntop() spells it, by hand: a fifth of its time. */
static inline int qoe_ipv6_text(const uint8_t *address, char *out)
{
    static const char digits[] = "0123456789abcdef";
    int groups[8], i, shift, n = 0, best = -1, best_n = 1, run = 0;
    for (i = 0; i < 8; i++) {
        groups[i] = address[2 * i] << 8 | address[2 * i + 1];
        run = groups[i] ? 0 : run + 1;
        if (run > best_n) { /* the longest run of zeros, the first of equals */
            best_n = run;
            best = i + 1 - run;
        }
    }
    if (best == 0 && best_n >= 5) /* may hold an IPv4 address */
        return inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN) ? (int)strlen(out) : 0;
    for (i = 0; i < 8; i++) {
        if (i == best) {
            out[n++] = ':';
            out[n] = ':'; /* stays if nothing follows */
            i += best_n - 1;
            if (i == 7)
                n++;
            continue;
        }
        if (i)
            out[n++] = ':';
        for (shift = 12; shift > 0 && groups[i] >> shift == 0;)
            shift -= 4;
        for (; shift >= 0; shift -= 4)
            out[n++] = digits[groups[i] >> shift & 15];
    }
    return n;
}

/* The text of an address at `out` (room for 46 bytes); returns its length. */
static inline int qoe_address_text(const uint8_t *address, int version, char *out)
{
    int i, n = 0;
    if (version == 6)
        return qoe_ipv6_text(address, out);
    for (i = 0; i < 4; i++) { /* by hand: four times as fast as inet_ntop */
        int byte = address[i];
        if (i)
            out[n++] = '.';
        if (byte >= 100)
            out[n++] = (char)('0' + byte / 100);
        if (byte >= 10)
            out[n++] = (char)('0' + byte / 10 % 10);
        out[n++] = (char)('0' + byte % 10);
    }
    return n;
}

#ifdef __clang__
#define QOE_COMPILER __VERSION__
#else
#define QOE_COMPILER "GCC " __VERSION__
#endif
#if defined(__AVX2__)
#define QOE_INSTRUCTION_SET "x86-64-v3"
#elif defined(__x86_64__)
#define QOE_INSTRUCTION_SET "x86-64"
#elif defined(__aarch64__)
#define QOE_INSTRUCTION_SET "armv8-a"
#else
#define QOE_INSTRUCTION_SET "generic"
#endif

/* The names of the classifier's features, in order; their CRC-32 is the schema a model is made for.
 * A C string, since a host without an interpreter needs it too. */
#define QOE_FEATURE_NAMES \
    "n_packets\nduration_ms\nforward_packet_ratio\nforward_payload_ratio\npayload_rate\npacket_rate\n" \
    "forward_size_mean\nforward_size_std\nforward_iat_us\nforward_iat_cv\nforward_iat_max_us\nforward_payload\n" \
    "reverse_size_mean\nreverse_size_std\nreverse_iat_us\nreverse_iat_cv\nreverse_iat_max_us\nreverse_payload\n" \
    "forward_size_0\nforward_size_1\nforward_size_100\nforward_size_300\nforward_size_700\nforward_size_1200\n" \
    "reverse_size_0\nreverse_size_1\nreverse_size_100\nreverse_size_300\nreverse_size_700\nreverse_size_1200\n" \
    "gap_0\ngap_1\ngap_5\ngap_15\ngap_30\ngap_60\ngap_200\ngap_1000\n" \
    "size_1\nsize_2\nsize_3\nsize_4\nsize_5\nsize_6\nsize_7\nsize_8\nsize_9\nsize_10\nsize_11\nsize_12\n" \
    "first_gap_2\nfirst_gap_3\nfirst_gap_4\nfirst_gap_5\nfirst_gap_6\nfirst_gap_7\nfirst_gap_8\nfirst_gap_9\n" \
    "is_tcp\nn_idle\nsaw_syn\nn_chunks\nchunk_bytes\nchunk_gap_ms"
#endif
