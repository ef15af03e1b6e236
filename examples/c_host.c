/* c_host.c: a packet host in plain C, without an interpreter.
 *
 *     make c_host && ./c_host [MODEL]
 *
 * A capture thread fills a ring of buffers, as a NIC does. The data thread polls bursts out of it, shows each to the
 * engine where it lies, and knows per packet whose it is, what it is for and which weight its bearer has. Once a second
 * of the host's clock it ages the table and takes the flows that ended. In the end every packet and flow is accounted
 * for.
 * MODEL is a classifier, such as $(pkg-config --variable=model qoe); without it framing and ports alone decide.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <qoe.h>

#include "traffic.h"

enum { RING = 1024, BURST = 32, N_SUBSCRIBERS = 8, N_SECONDS = 10 };
#define SECOND_NS 1000000000u
#define IDLE_NS (5u * UINT64_C(1000000000))

static const char *const class_names[QOE_N_CLASSES] = {"unknown", "video", "voip", "gaming", "web", "bulk", "other"};
static const char *const state_names[] = {"inspecting", "partial", "final", "revised"};

/* One producer, one consumer: each index is written by one side alone, on a cache line of its own. */
struct ring {
    struct frame slots[RING];
    _Alignas(64) atomic_uint head;
    _Alignas(64) atomic_uint tail;
    atomic_bool closed;
};

struct host {
    struct qoe_engine *engine;
    uint64_t packets_by_state[4];
    double finish[N_SUBSCRIBERS]; /* bytes over weight so far: what a weighted fair queue orders bearers by */
    uint64_t flows[QOE_N_CLASSES], packets[QOE_N_CLASSES], bytes[QOE_N_CLASSES], n_exported;
};

static struct ring ring;

/* Ends the program with the library's words for what went wrong; else gives the count. */
static uint32_t check(int code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "c_host: %s: %s\n", what, qoe_strerror(code));
        exit(EXIT_FAILURE);
    }
    return (uint32_t)code;
}

static void *capture(void *unused)
{
    struct traffic traffic = {N_SUBSCRIBERS, N_SECONDS, 0, 0, 0};
    unsigned head = 0;
    (void)unused;
    for (;;) {
        while (head - atomic_load_explicit(&ring.tail, memory_order_acquire) == RING)
            sched_yield();
        if (!traffic_next(&traffic, &ring.slots[head % RING]))
            break;
        atomic_store_explicit(&ring.head, ++head, memory_order_release);
    }
    atomic_store_explicit(&ring.closed, true, memory_order_release);
    return NULL;
}

/* What lies ready, up to a burst: the engine reads the packets in the ring's own buffers. */
static uint32_t poll_ring(struct qoe_packet *burst)
{
    unsigned tail = atomic_load_explicit(&ring.tail, memory_order_relaxed);
    unsigned n = atomic_load_explicit(&ring.head, memory_order_acquire) - tail;
    if (n > BURST)
        n = BURST;
    for (unsigned i = 0; i < n; i++) {
        const struct frame *frame = &ring.slots[(tail + i) % RING];
        burst[i] = (struct qoe_packet){
            .data = frame->bytes,
            .captured_len = frame->len,
            .wire_len = frame->len,
            .ts_ns = frame->ts_ns,
            .link_type = 1,
        };
    }
    return n;
}

/* The packets of a burst, each with its verdict; then their slots may be filled again. */
static void forward_burst(struct host *host, const struct qoe_verdict *verdicts, uint32_t n)
{
    unsigned tail = atomic_load_explicit(&ring.tail, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++) {
        const struct frame *frame = &ring.slots[(tail + i) % RING];
        uint32_t bearer = frame->subscriber; /* the host's own numbers: any but 2^32 - 1 */
        float weight = qoe_engine_get_weight(host->engine, bearer);
        host->finish[bearer] += frame->len / weight;
        host->packets_by_state[verdicts[i].state]++;
    }
    atomic_store_explicit(&ring.tail, tail + n, memory_order_release);
}

/* Takes all flows that ended, so that their records are free for new ones. */
static void take_ended(struct host *host)
{
    struct qoe_flow ended[64];
    uint32_t n;
    while ((n = check(qoe_engine_export(host->engine, ended, 64), "export")) > 0) {
        host->n_exported += n;
        for (uint32_t i = 0; i < n; i++) {
            host->flows[ended[i].app_class]++;
            host->packets[ended[i].app_class] += ended[i].packets_forward + ended[i].packets_reverse;
            host->bytes[ended[i].app_class] += ended[i].bytes_forward + ended[i].bytes_reverse;
        }
    }
}

static void run(struct host *host)
{
    struct qoe_packet burst[BURST];
    struct qoe_verdict verdicts[BURST];
    uint64_t now_ns = TRAFFIC_START_NS, next_ns = now_ns + SECOND_NS;
    bool over;
    do {
        over = atomic_load_explicit(&ring.closed, memory_order_acquire);
        uint32_t n = poll_ring(burst);
        if (n) {
            check(qoe_engine_process_burst(host->engine, burst, n, verdicts), "process_burst");
            now_ns = burst[n - 1].ts_ns; /* a live host asks its clock, whether packets come or not */
            forward_burst(host, verdicts, n);
            over = false;
        } else {
            sched_yield();
        }
        if (now_ns >= next_ns) {
            check(qoe_engine_advance(host->engine, now_ns), "advance");
            take_ended(host);
            next_ns += SECOND_NS;
        }
    } while (!over);
    /* No packet comes any more, yet time goes on: what had been silent for a while ends by the clock alone ... */
    check(qoe_engine_advance(host->engine, now_ns + IDLE_NS - SECOND_NS / 2), "advance");
    while (check(qoe_engine_flush(host->engine, 64), "flush") > 0) /* ... and the rest because we stop */
        take_ended(host);
    take_ended(host);
}

/* Prints the accounts; gives whether they balance. */
static bool report(const struct host *host)
{
    struct qoe_counters c;
    uint64_t n_ended, n_seen = 0;
    check(qoe_engine_counters(host->engine, &c), "counters");
    printf("%" PRIu64 " packets, %" PRIu64 " bytes:", c.packets, c.bytes);
    for (int i = 0; i < 4; i++)
        printf(" %" PRIu64 " %s", host->packets_by_state[i], state_names[i]);
    printf("\n\nclass     flows  packets      bytes\n");
    for (int i = 0; i < QOE_N_CLASSES; i++)
        if (host->flows[i])
            printf("%-8s %6" PRIu64 " %8" PRIu64 " %10" PRIu64 "\n", class_names[i], host->flows[i], host->packets[i],
                   host->bytes[i]);
    printf("\nbearer  weight  bytes over weight\n");
    for (uint32_t i = 0; i < N_SUBSCRIBERS; i++)
        printf("%6" PRIu32 " %7.1f %18.0f\n", i, (double)qoe_engine_get_weight(host->engine, i), host->finish[i]);
    for (int i = 0; i < QOE_PKT_N_STATUS; i++)
        n_seen += c.by_status[i];
    n_ended = c.flows_idle + c.flows_active_timeout + c.flows_evicted + c.flows_flushed;
    printf("\n%" PRIu64 " flows began, %" PRIu64 " fell silent, %" PRIu64 " were flushed, %" PRIu64 " exported\n",
           c.flows_created, c.flows_idle, c.flows_flushed, host->n_exported);
    return n_seen == c.packets && c.flows_created == n_ended && n_ended == host->n_exported + c.exports_lost;
}

/* A whole file; NULL with *n_bytes = 0 for no name. */
static uint8_t *read_model(const char *path, uint64_t *n_bytes)
{
    FILE *file = path ? fopen(path, "rb") : NULL;
    uint8_t *bytes = NULL;
    long size;
    *n_bytes = 0;
    if (!path)
        return NULL;
    if (file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0 &&
        (bytes = malloc((size_t)size)) != NULL)
        *n_bytes = fread(bytes, 1, (size_t)size, file);
    if (!*n_bytes) {
        fprintf(stderr, "c_host: cannot read the model %s\n", path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    struct qoe_config config = {.struct_size = sizeof config, .max_flows = 10000, .idle_timeout_ns = IDLE_NS};
    struct host host = {0};
    uint8_t *model = read_model(argc > 1 ? argv[1] : NULL, &config.model_bytes);
    pthread_t capturer;
    bool balanced;

    config.model = model;
    check(qoe_engine_create(&host.engine, &config), "create");
    free(model); /* the engine has its own copy */
    for (uint32_t bearer = 0; bearer < N_SUBSCRIBERS; bearer += 2) { /* calls count four times as much */
        float weight = 4;
        check(qoe_engine_set_weights(host.engine, &bearer, &weight, 1), "set_weights");
    }
    if (pthread_create(&capturer, NULL, capture, NULL) != 0) {
        fprintf(stderr, "c_host: cannot start the capture thread\n");
        return EXIT_FAILURE;
    }
    run(&host);
    pthread_join(capturer, NULL);
    balanced = report(&host);
    qoe_engine_destroy(host.engine);
    return balanced ? EXIT_SUCCESS : EXIT_FAILURE;
}
