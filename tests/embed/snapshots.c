/* A thread that takes snapshots while packets flow sees no record half written, also as flows are evicted and their
 * records filled anew. Every packet is alike and the ways of a flow take turns, so a whole record agrees with itself. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "qoe.h"

enum { N_FLOWS = 100, MAX_FLOWS = 80, N_ROUNDS = 300000, FRAME = 34, PAYLOAD = 6, STEP_NS = 1000, PIECE = 16 };

static struct qoe_engine *engine;
static volatile int done;
static unsigned long n_seen, n_torn;

static int is_torn(const struct qoe_flow *f)
{
    const uint64_t forward = f->packets_forward, reverse = f->packets_reverse, n = forward + reverse;
    const unsigned number = f->src_port > 9 ? f->src[3] : f->dst[3];
    uint64_t i, gaps = 0;
    for (i = 0; i < QOE_N_GAP_BINS; i++)
        gaps += f->gap_hist[i];
    return n == 0 || forward - reverse > 1 || f->bytes_forward != forward * FRAME || f->bytes_reverse != reverse * FRAME ||
           f->payload_bytes_forward != forward * PAYLOAD || f->payload_bytes_reverse != reverse * PAYLOAD ||
           f->last_ns - f->first_ns < (n - 1) * STEP_NS || (gaps == 0) != (n == 1) ||
           number + 1000u != (f->src_port > 9 ? f->src_port : f->dst_port);
}

static void *watch(void *unused)
{
    struct qoe_flow flows[PIECE];
    (void)unused;
    while (!done) {
        uint64_t cursor = 0;
        int i, n;
        while ((n = qoe_engine_snapshot(engine, flows, PIECE, 0, &cursor)) > 0)
            for (i = 0; i < n; i++, n_seen++)
                n_torn += (unsigned long)is_torn(&flows[i]);
        sched_yield();
    }
    return NULL;
}

/* Raw IPv4 with UDP: 10.0.0.k port 1000 + k, to or from 192.0.2.1 port 9. */
static void fill(uint8_t *p, unsigned k, int back)
{
    const uint8_t ends[2][4] = {{10, 0, 0, (uint8_t)k}, {192, 0, 2, 1}};
    const uint16_t ports[2] = {(uint16_t)(1000 + k), 9};
    memset(p, 0, FRAME);
    p[0] = 0x45;
    p[3] = FRAME;
    p[9] = 17;
    memcpy(p + 12, ends[back], 4);
    memcpy(p + 16, ends[!back], 4);
    p[20] = (uint8_t)(ports[back] >> 8);
    p[21] = (uint8_t)ports[back];
    p[22] = (uint8_t)(ports[!back] >> 8);
    p[23] = (uint8_t)ports[!back];
    p[25] = FRAME - 20;
}

int main(void)
{
    static uint8_t frames[2][N_FLOWS][FRAME];
    struct qoe_config config;
    struct qoe_packet burst[N_FLOWS];
    struct qoe_flow ended[PIECE];
    pthread_t watcher;
    unsigned round, k, n;

    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.max_flows = MAX_FLOWS;
    if (qoe_engine_create(&engine, &config) || pthread_create(&watcher, NULL, watch, NULL))
        return 1;
    for (k = 0; k < N_FLOWS; k++) {
        fill(frames[0][k], k, 0);
        fill(frames[1][k], k, 1);
    }
    for (round = 0; round < N_ROUNDS; round++) {
        n = round / 64 % 2 ? N_FLOWS : MAX_FLOWS / 2; /* in turn more flows than fit, and fewer */
        for (k = 0; k < n; k++) {
            burst[k].data = frames[round % 2][k];
            burst[k].captured_len = burst[k].wire_len = FRAME;
            burst[k].ts_ns = 1 + (uint64_t)round * STEP_NS;
            burst[k].link_type = 101;
            burst[k].cell_hint = 0;
        }
        if (qoe_engine_process_burst(engine, burst, n, NULL) != (int)n)
            return 2;
        while (qoe_engine_export(engine, ended, PIECE) > 0)
            ;
    }
    done = 1;
    pthread_join(watcher, NULL);
    qoe_engine_destroy(engine);
    printf("torn %lu\n", n_torn);
    return n_seen < 1000 ? 3 : 0;
}
