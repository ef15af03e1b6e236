/* The packet path timed from C: frames of 64 bytes in a small ring of buffers that stays in cache, as a network
 * card's would. Between timed passes over the ring a generator rewrites the tuples, so that flows come in the
 * order asked for; only the calls of qoe_engine_process_burst() are on the clock. Beside them runs the floor:
 * the same frames through a hash, one probe with prefetch and one cache line updated, nothing else.
 *
 * benchmarks/native.py builds this and calls it through ctypes, the kernel's symbols coming from the module. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "qoe.h"

enum { RING = 1024, FRAME = 64, MOST_BURST = 64, GAP_NS = 67 };
/* at random; every flow once a round, rounds in different orders; a new flow with every packet */
enum order { UNIFORM = 0, ROUNDS = 1, NEW = 2 };

struct traffic {
    uint32_t n_flows, burst, order, protocol;
    uint64_t n_packets, ts_ns;
    uint64_t random;            /* state of the generator */
    uint64_t done;              /* packets generated so far */
    uint32_t *round;            /* a permutation of the flows, for ROUNDS */
    uint32_t first_flow;        /* number of flow 0: keeps the flows of several runs apart */
};

struct ring {
    uint8_t frames[RING][FRAME] __attribute__((aligned(64)));
    struct qoe_packet packets[RING];
    struct qoe_verdict verdicts[RING];
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint32_t draw_below(uint64_t *state, uint32_t n) { return (uint32_t)((draw(state) >> 32) * n >> 32); }

static void shuffle(struct traffic *t)
{
    uint32_t i, j, kept;
    for (i = t->n_flows - 1; i > 0; i--) {
        j = draw_below(&t->random, i + 1);
        kept = t->round[i];
        t->round[i] = t->round[j];
        t->round[j] = kept;
    }
}

static uint32_t next_flow(struct traffic *t)
{
    uint64_t at = t->done++;
    if (t->order == NEW)
        return (uint32_t)at;
    if (t->order == UNIFORM)
        return draw_below(&t->random, t->n_flows);
    at %= t->n_flows;
    if (at == 0)
        shuffle(t);
    return t->round[at];
}

/* Ethernet, IPv4 and UDP or TCP: 60 bytes, 64 with the frame check sequence. */
static void lay_out(struct ring *r, uint32_t protocol)
{
    uint32_t i;
    memset(r, 0, sizeof *r);
    for (i = 0; i < RING; i++) {
        uint8_t *p = r->frames[i];
        p[12] = 8;
        p[14] = 0x45;
        p[17] = 46;
        p[22] = 64;
        p[23] = (uint8_t)protocol;
        if (protocol == 17) {
            p[39] = 26;
        } else { /* a SYN */
            p[46] = 0x50;
            p[47] = 2;
            p[48] = 0x20;
        }
        r->packets[i].data = p;
        r->packets[i].captured_len = r->packets[i].wire_len = 60;
        r->packets[i].link_type = 1;
    }
}

/* The tuple of a flow: 10.x.x.x to 192.0.2.1:8080. */
static void address(uint8_t *p, uint32_t flow)
{
    p[26] = 10;
    p[27] = (uint8_t)(flow >> 16);
    p[28] = (uint8_t)(flow >> 8);
    p[29] = (uint8_t)flow;
    p[30] = 192;
    p[32] = 2;
    p[33] = 1;
    p[34] = (uint8_t)(flow >> 24);
    p[35] = (uint8_t)flow;
    p[36] = 0x1f;
    p[37] = 0x90;
}

static void rewrite(struct ring *r, struct traffic *t)
{
    uint32_t i;
    for (i = 0; i < RING; i++) {
        address(r->frames[i], t->first_flow + next_flow(t));
        r->packets[i].ts_ns = t->ts_ns += GAP_NS;
    }
}

static int begin(struct traffic *t)
{
    uint32_t i;
    if (t->order != ROUNDS || t->round)
        return 0;
    t->round = malloc(t->n_flows * sizeof *t->round);
    if (!t->round)
        return -1;
    for (i = 0; i < t->n_flows; i++)
        t->round[i] = i;
    return 0;
}

/* Nanoseconds a packet of the kernel over at least t->n_packets packets; below 0: out of memory. */
double hot_kernel(struct qoe_engine *engine, struct traffic *t)
{
    struct ring *r = aligned_alloc(64, sizeof *r);
    double spent = 0, start;
    uint64_t done;
    uint32_t i;
    if (!r || begin(t))
        return -1;
    lay_out(r, t->protocol);
    for (done = 0; done < t->n_packets; done += RING) {
        rewrite(r, t);
        start = now_ns();
        for (i = 0; i < RING; i += t->burst)
            qoe_engine_process_burst(engine, &r->packets[i], t->burst, &r->verdicts[i]);
        spent += now_ns() - start;
    }
    free(r);
    return spent / (double)done;
}

/* The same frames through the bare floor: a table of one cache line a flow, at most half full. */
struct line {
    uint64_t addresses;
    uint32_t ports, used;
    uint64_t packets, bytes, last_ns, rest[3];
};

struct floor {
    struct line *lines;
    uint64_t mask;
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static void floor_burst(struct floor *f, const struct qoe_packet *packets, uint32_t n)
{
    struct line *home[MOST_BURST];
    uint64_t addresses[MOST_BURST];
    uint32_t ports[MOST_BURST], i;
    for (i = 0; i < n; i++) {
        memcpy(&addresses[i], packets[i].data + 26, 8);
        memcpy(&ports[i], packets[i].data + 34, 4);
        home[i] = &f->lines[mix(addresses[i] ^ 0x9E3779B97F4A7C15u, ports[i] ^ 0xD6E8FEB86659FD93u) & f->mask];
        __builtin_prefetch(home[i], 1);
    }
    for (i = 0; i < n; i++) {
        struct line *at = home[i];
        while (at->used && (at->addresses != addresses[i] || at->ports != ports[i]))
            at = at == f->lines + f->mask ? f->lines : at + 1;
        at->addresses = addresses[i];
        at->ports = ports[i];
        at->used = 1;
        at->packets++;
        at->bytes += packets[i].wire_len;
        at->last_ns = packets[i].ts_ns;
    }
}

double hot_floor(struct traffic *t, uint64_t n_warm)
{
    struct ring *r = aligned_alloc(64, sizeof *r);
    struct floor f = {NULL, 1};
    double spent = 0, start;
    uint64_t done, size;
    uint32_t i;
    while (f.mask < 2 * (uint64_t)t->n_flows)
        f.mask *= 2;
    size = f.mask * sizeof *f.lines;
    f.mask--;
    f.lines = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!r || f.lines == MAP_FAILED || begin(t))
        return -1;
    madvise(f.lines, size, MADV_HUGEPAGE);
    memset(f.lines, 0, size);
    lay_out(r, t->protocol);
    for (done = 0; done < n_warm + t->n_packets; done += RING) {
        rewrite(r, t);
        start = now_ns();
        for (i = 0; i < RING; i += t->burst)
            floor_burst(&f, &r->packets[i], t->burst);
        if (done >= n_warm)
            spent += now_ns() - start;
    }
    munmap(f.lines, size);
    free(r);
    return spent / (double)t->n_packets;
}

/* A call of one packet each, into ns[n]: what a packet costs by itself, decision or not. */
int hot_single(struct qoe_engine *engine, struct traffic *t, float *ns)
{
    struct ring *r = aligned_alloc(64, sizeof *r);
    uint64_t done, i;
    double start;
    if (!r || begin(t))
        return -1;
    lay_out(r, t->protocol);
    for (done = 0; done < t->n_packets; done += RING) {
        rewrite(r, t);
        for (i = 0; i < RING; i++) {
            start = now_ns();
            qoe_engine_process_burst(engine, &r->packets[i], 1, &r->verdicts[i]);
            ns[done + i] = (float)(now_ns() - start);
        }
    }
    free(r);
    return 0;
}

/* Several engines, a thread each, all at once; nanoseconds a packet of each by its own clock. */
struct lane {
    struct qoe_engine *engine;
    struct traffic *traffic;
    pthread_barrier_t *gate;
    double ns;
};

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    pthread_barrier_wait(lane->gate);
    lane->ns = hot_kernel(lane->engine, lane->traffic);
    return NULL;
}

int hot_lanes(struct qoe_engine **engines, struct traffic *traffic, uint32_t n, double *ns)
{
    pthread_t threads[64];
    struct lane lanes[64];
    pthread_barrier_t gate;
    uint32_t i;
    if (n > 64)
        return -1;
    pthread_barrier_init(&gate, NULL, n);
    for (i = 0; i < n; i++) {
        lanes[i] = (struct lane){engines[i], &traffic[i], &gate, 0};
        if (pthread_create(&threads[i], NULL, run_lane, &lanes[i]))
            return -1;
    }
    for (i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        ns[i] = lanes[i].ns;
    }
    pthread_barrier_destroy(&gate);
    return 0;
}

/* Takes and drops what has ended, as a host would that only counts; returns how many, and their packets. */
uint64_t hot_drain(struct qoe_engine *engine, struct qoe_flow *out, uint32_t capacity, uint64_t *n_packets)
{
    uint64_t all = 0;
    int n, i;
    while ((n = qoe_engine_export(engine, out, capacity)) > 0) {
        all += (uint64_t)n;
        for (i = 0; i < n; i++)
            *n_packets += out[i].packets_forward + out[i].packets_reverse;
    }
    return all;
}

/* Ordinary traffic and a flood in turn, a ring each; what ends is taken off the clock. Nanoseconds a packet of
 * either into ns[2]. */
int hot_flood(struct qoe_engine *engine, struct traffic *ordinary, struct traffic *flood, struct qoe_flow *out,
              uint32_t capacity, double *ns)
{
    struct ring *r = aligned_alloc(64, 2 * sizeof *r);
    struct traffic *t[2] = {ordinary, flood};
    uint64_t done, n_packets = 0;
    double start;
    uint32_t i, k;
    if (!r || begin(ordinary))
        return -1;
    lay_out(&r[0], ordinary->protocol);
    lay_out(&r[1], flood->protocol);
    ns[0] = ns[1] = 0;
    for (done = 0; done < flood->n_packets; done += RING) {
        for (k = 0; k < 2; k++) {
            t[k]->ts_ns = t[1 - k]->ts_ns;
            rewrite(&r[k], t[k]);
            start = now_ns();
            for (i = 0; i < RING; i += MOST_BURST)
                qoe_engine_process_burst(engine, &r[k].packets[i], MOST_BURST, &r[k].verdicts[i]);
            ns[k] += now_ns() - start;
            t[1 - k]->ts_ns = t[k]->ts_ns;
        }
        hot_drain(engine, out, capacity, &n_packets);
    }
    ns[0] /= (double)done;
    ns[1] /= (double)done;
    free(r);
    return 0;
}

/* One pass over a capture in memory: its times are shifted, and both addresses of each IPv4 frame changed by the
 * same bits, so that every pass brings new flows. Frames are Ethernet. */
int hot_pass(struct qoe_engine *engine, struct qoe_packet *packets, uint32_t n, uint32_t change, uint64_t later_ns)
{
    uint32_t i, k, piece;
    for (i = 0; i < n; i++) {
        uint8_t *p = (uint8_t *)(uintptr_t)packets[i].data;
        packets[i].ts_ns += later_ns;
        if (packets[i].captured_len < 34 || p[12] != 8 || p[13] != 0)
            continue;
        for (k = 0; k < 3; k++) {
            p[27 + k] ^= (uint8_t)(change >> 8 * k);
            p[31 + k] ^= (uint8_t)(change >> 8 * k);
        }
    }
    for (i = 0; i < n; i += piece) {
        piece = n - i < 256 ? n - i : 256;
        if (qoe_engine_process_burst(engine, packets + i, piece, NULL) != (int)piece)
            return -1;
    }
    return 0;
}
