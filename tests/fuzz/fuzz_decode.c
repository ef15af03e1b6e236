/* One frame of any link type. Its first bytes choose the link type and, unless they are 0, the length on the wire:
 *
 *     link type (1 byte, a place in the table below), length on the wire (2 bytes, little-endian), the frame
 *
 * The frame goes through an engine, twice and cut in half, and through two shards: one of them takes it, and for
 * what is whole it is the one that qoe_shard() says. The engines live on, emptied after every frame. */
#include "entry.h"
#include "qoe.h"

#define SEED 7
#define SECOND_NS 1000000000u

static const uint32_t link_types[] = {1, 0, 9, 12, 14, 50, 51, 101, 105, 108, 113, 119, 127, 163, 228, 229, 276, 147};

static struct qoe_engine *make_engine(uint32_t shard, uint32_t n_shards)
{
    struct qoe_config config = {.struct_size = sizeof config, .max_flows = 16, .max_extensions = 16};
    struct qoe_engine *engine = NULL;
    config.max_fragments = config.max_chunks = 16;
    config.seed = SEED;
    config.shard = shard;
    config.n_shards = n_shards;
    CLAIM(qoe_engine_create(&engine, &config) == QOE_OK && engine != NULL);
    return engine;
}

static struct qoe_packet read_packet(struct input *in)
{
    struct qoe_packet packet = {.ts_ns = SECOND_NS, .cell_hint = 1};
    packet.link_type = link_types[take(in, 1) % (sizeof link_types / sizeof *link_types)];
    packet.wire_len = (uint32_t)take(in, 2);
    packet.captured_len = (uint32_t)bytes_left(in);
    if (packet.wire_len == 0)
        packet.wire_len = packet.captured_len;
    packet.data = heap_copy(in->at, packet.captured_len);
    return packet;
}

/* All live flows together, counted and added up; gives the tunnels met. */
static uint32_t expect_flows(struct qoe_engine *engine, uint64_t n_packets, uint64_t n_bytes)
{
    struct qoe_flow flow;
    uint64_t cursor = 0;
    uint32_t tunnel = 0;
    while (qoe_engine_snapshot(engine, &flow, 1, 0, &cursor) == 1) {
        n_packets -= flow.packets_forward + flow.packets_reverse;
        n_bytes -= flow.bytes_forward + flow.bytes_reverse;
        tunnel |= flow.tunnel;
        CLAIM(flow.ip_version == 4 || flow.ip_version == 6);
        CLAIM(flow.ip_version == 6 || flow.src[4] + flow.dst[4] == 0);
    }
    CLAIM(n_packets == 0 && n_bytes == 0);
    return tunnel;
}

static void empty(struct qoe_engine *engine)
{
    struct qoe_flow flow;
    int n_ended = qoe_engine_flush(engine, UINT32_MAX);
    while (n_ended-- > 0)
        CLAIM(qoe_engine_export(engine, &flow, 1) == 1 && flow.end_reason == QOE_FLUSHED);
    CLAIM(qoe_engine_export(engine, &flow, 1) == 0);
}

static uint32_t through_engine(struct qoe_engine *engine, const struct qoe_packet *packet, uint8_t *status)
{
    struct qoe_packet burst[3] = {*packet, *packet, *packet};
    struct qoe_verdict verdicts[3];
    uint64_t n_packets = 0, n_bytes = 0;
    uint32_t tunnel;
    burst[1].ts_ns += 1000000;
    burst[2].captured_len /= 2;
    CLAIM(qoe_engine_process_burst(engine, burst, 3, verdicts) == 3);
    for (int i = 0; i < 3; i++) {
        CLAIM(verdicts[i].status < QOE_PKT_OTHER_SHARD);
        CLAIM((verdicts[i].status == QOE_PKT_FLOW) == (verdicts[i].flow_id != 0));
        if (verdicts[i].status == QOE_PKT_FLOW) {
            n_packets++;
            n_bytes += burst[i].wire_len;
        }
    }
    CLAIM(verdicts[0].status == verdicts[1].status && verdicts[0].flow_id == verdicts[1].flow_id);
    CLAIM(verdicts[0].direction == 0 && verdicts[1].direction == 0);
    tunnel = expect_flows(engine, n_packets, n_bytes);
    *status = verdicts[0].status;
    empty(engine);
    return tunnel;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static struct qoe_engine *whole, *shards[2];
    struct input in = {data, data + n_bytes};
    struct qoe_packet packet = read_packet(&in);
    struct qoe_verdict verdicts[2];
    uint32_t shard = qoe_shard(&packet, 2, SEED), tunnel, taker;
    uint8_t status;
    if (!whole) {
        whole = make_engine(0, 0);
        shards[0] = make_engine(0, 2);
        shards[1] = make_engine(1, 2);
    }
    tunnel = through_engine(whole, &packet, &status);
    for (int i = 0; i < 2; i++) {
        CLAIM(qoe_engine_process_burst(shards[i], &packet, 1, &verdicts[i]) == 1);
        empty(shards[i]);
    }
    taker = verdicts[0].status == QOE_PKT_OTHER_SHARD;
    CLAIM(verdicts[taker].status == status && verdicts[1 - taker].status == QOE_PKT_OTHER_SHARD);
    CLAIM(qoe_shard(&packet, 1, SEED) == 0 && shard < 2 && (shard == taker || tunnel & QOE_T_FRAGMENT));
    free((void *)packet.data);
    return 0;
}
