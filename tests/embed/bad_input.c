/* A host that does everything wrong: each mistake gives a documented code with a text, or a count, and afterwards
 * every packet and flow is still accounted for. Prints a line a check that failed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qoe.h"

#define SECOND_NS 1000000000u
#define FRAME_BYTES 50

static int n_failed;

static void expect(const char *what, long long got, long long wanted)
{
    if (got != wanted) {
        printf("%s: %lld (%s) instead of %lld\n", what, got, qoe_strerror((int)got), wanted);
        n_failed++;
    }
    if (wanted < 0 && strlen(qoe_strerror((int)wanted)) < 10) {
        printf("%s: no text for %lld\n", what, wanted);
        n_failed++;
    }
}

/* Ethernet, IPv4, UDP and 8 bytes, in a heap buffer of its own size, so that the sanitizers see its ends. */
static uint8_t *make_frame(uint32_t flow)
{
    static const uint8_t head[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0};
    uint8_t *frame = calloc(1, FRAME_BYTES);
    if (!frame)
        exit(EXIT_FAILURE);
    memcpy(frame, head, sizeof head);
    frame[26] = 10;
    frame[27] = (uint8_t)(flow >> 16);
    frame[28] = (uint8_t)(flow >> 8);
    frame[29] = (uint8_t)flow;
    frame[30] = 192;
    frame[32] = 2;
    frame[35] = 99;
    frame[37] = 88;
    frame[39] = 16;
    return frame;
}

static struct qoe_packet packet_of(const uint8_t *data, uint32_t captured_len, uint32_t wire_len, uint64_t ts_ns)
{
    struct qoe_packet packet;
    memset(&packet, 0, sizeof packet);
    packet.data = data;
    packet.captured_len = captured_len;
    packet.wire_len = wire_len;
    packet.ts_ns = ts_ns;
    packet.link_type = 1;
    return packet;
}

static struct qoe_config sound_config(void)
{
    struct qoe_config config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.max_flows = 64;
    return config;
}

static struct qoe_engine *make_engine(uint32_t max_flows, uint64_t idle_timeout_ns)
{
    struct qoe_config config = sound_config();
    struct qoe_engine *engine = NULL;
    config.max_flows = max_flows;
    config.idle_timeout_ns = idle_timeout_ns;
    expect("a sound configuration", qoe_engine_create(&engine, &config), QOE_OK);
    if (!engine)
        exit(EXIT_FAILURE);
    return engine;
}

/* Every packet has one status, every flow one fate; gives the flows that ended and were not taken. */
static void expect_balance(const char *what, struct qoe_engine *engine, unsigned long long n_packets,
                           unsigned long long n_exported)
{
    struct qoe_counters c;
    struct qoe_flow flow;
    uint64_t cursor = 0;
    unsigned long long n_seen = 0, n_live = 0, n_ended;
    expect(what, qoe_engine_counters(engine, &c), QOE_OK);
    for (int i = 0; i < QOE_PKT_N_STATUS; i++)
        n_seen += c.by_status[i];
    while (qoe_engine_snapshot(engine, &flow, 1, 0, &cursor) == 1)
        n_live++;
    n_ended = c.flows_idle + c.flows_active_timeout + c.flows_evicted + c.flows_flushed;
    while (qoe_engine_export(engine, &flow, 1) == 1)
        n_exported++;
    expect(what, (long long)c.packets, (long long)n_packets);
    expect(what, (long long)n_seen, (long long)n_packets);
    expect(what, (long long)c.flows_created, (long long)(n_live + n_ended));
    expect(what, (long long)n_ended, (long long)(n_exported + c.exports_lost));
}

static void wrong_configurations(void)
{
    struct qoe_engine *engine = (struct qoe_engine *)&n_failed;
    struct qoe_config config = sound_config();
    uint8_t model[100] = {0};
    expect("create without out", qoe_engine_create(NULL, &config), QOE_EINVAL);
    expect("create without configuration", qoe_engine_create(&engine, NULL), QOE_EINVAL);
    for (uint32_t size = 0; size < 3 * sizeof config; size++)
        if (size != sizeof config) { /* another version's struct, shorter or longer */
            config.struct_size = size;
            engine = (struct qoe_engine *)&n_failed;
            expect("struct_size", qoe_engine_create(&engine, &config), QOE_EVERSION);
            expect("engine after a failure", engine == NULL, 1);
        }
#define REFUSED(field, value, code)                                                                                     \
    do {                                                                                                                \
        config = sound_config();                                                                                        \
        config.field = (value);                                                                                         \
        expect(#field " = " #value, qoe_engine_create(&engine, &config), code);                                        \
    } while (0)
    REFUSED(max_flows, UINT32_MAX, QOE_EINVAL);
    REFUSED(max_extensions, UINT32_MAX, QOE_EINVAL);
    REFUSED(max_fragments, UINT32_MAX, QOE_EINVAL);
    REFUSED(max_chunks, UINT32_MAX, QOE_EINVAL);
    REFUSED(max_decisions, UINT32_MAX, QOE_EINVAL);
    REFUSED(options, 0x80000000u, QOE_EINVAL);
    REFUSED(shard, 1, QOE_EINVAL);
    REFUSED(n_shards, UINT32_MAX, QOE_EINVAL);
    REFUSED(min_confidence, -0.1f, QOE_EINVAL);
    REFUSED(min_confidence, 1.1f, QOE_EINVAL);
    REFUSED(min_confidence, (float)NAN, QOE_EINVAL);
    config = sound_config();
    config.model = model;
    config.model_bytes = sizeof model;
    expect("a damaged model", qoe_engine_create(&engine, &config), QOE_EMODEL);
    qoe_engine_destroy(NULL);
}

static void missing_arguments(void)
{
    struct qoe_engine *engine = make_engine(64, 0);
    uint8_t *frame = make_frame(1);
    struct qoe_packet packet = packet_of(frame, FRAME_BYTES, FRAME_BYTES, SECOND_NS), nothing = packet_of(NULL, 0, 0, 0);
    struct qoe_verdict verdict;
    struct qoe_flow flow;
    struct qoe_chunk chunk;
    struct qoe_decision decision;
    struct qoe_counters counters;
    uint64_t cursor = 0;
    uint32_t bearer = 1;
    float weight = 2;
    expect("process_burst without engine", qoe_engine_process_burst(NULL, &packet, 1, &verdict), QOE_EINVAL);
    expect("process_burst without packets", qoe_engine_process_burst(engine, NULL, 1, &verdict), QOE_EINVAL);
    expect("verdicts over the packets", qoe_engine_process_burst(engine, &packet, 1, (struct qoe_verdict *)&packet),
           QOE_EINVAL);
    expect("shard of nothing", qoe_shard(NULL, 2, 1), 0);
    expect("shard of an empty packet", qoe_shard(&nothing, 2, 1), 0);
    expect("shard of none", qoe_shard(&packet, 0, 1), 0);
    expect("process_burst of too many", qoe_engine_process_burst(engine, &packet, 0x80000000u, NULL), QOE_EINVAL);
    expect("process_burst of none", qoe_engine_process_burst(engine, NULL, 0, NULL), 0);
    expect("process_burst without verdicts", qoe_engine_process_burst(engine, &packet, 1, NULL), 1);
    expect("snapshot without engine", qoe_engine_snapshot(NULL, &flow, 1, 0, &cursor), QOE_EINVAL);
    expect("snapshot without out", qoe_engine_snapshot(engine, NULL, 1, 0, &cursor), QOE_EINVAL);
    expect("snapshot without cursor", qoe_engine_snapshot(engine, &flow, 1, 0, NULL), QOE_EINVAL);
    expect("snapshot of capacity 0", qoe_engine_snapshot(engine, &flow, 0, 0, &cursor), 0);
    expect("its cursor", (long long)cursor, 0);
    cursor = UINT64_MAX;
    expect("snapshot from beyond the end", qoe_engine_snapshot(engine, &flow, 1, 0, &cursor), 0);
    expect("export without engine", qoe_engine_export(NULL, &flow, 1), QOE_EINVAL);
    expect("export without out", qoe_engine_export(engine, NULL, 1), QOE_EINVAL);
    expect("export of capacity 0", qoe_engine_export(engine, NULL, 0), 0);
    expect("chunks without engine", qoe_engine_chunks(NULL, &chunk, 1), QOE_EINVAL);
    expect("chunks without out", qoe_engine_chunks(engine, NULL, 1), QOE_EINVAL);
    expect("decisions without engine", qoe_engine_decisions(NULL, &decision, 1), QOE_EINVAL);
    expect("decisions without out", qoe_engine_decisions(engine, NULL, 1), QOE_EINVAL);
    expect("decisions that are not traced", qoe_engine_decisions(engine, &decision, 1), 0);
    expect("counters without engine", qoe_engine_counters(NULL, &counters), QOE_EINVAL);
    expect("counters without out", qoe_engine_counters(engine, NULL), QOE_EINVAL);
    expect("advance without engine", qoe_engine_advance(NULL, 1), QOE_EINVAL);
    expect("flush without engine", qoe_engine_flush(NULL, 1), QOE_EINVAL);
    expect("flush of none", qoe_engine_flush(engine, 0), 0);
    expect("set_weights without engine", qoe_engine_set_weights(NULL, &bearer, &weight, 1), QOE_EINVAL);
    expect("set_weights without bearers", qoe_engine_set_weights(engine, NULL, &weight, 1), QOE_EINVAL);
    expect("set_weights without weights", qoe_engine_set_weights(engine, &bearer, NULL, 1), QOE_EINVAL);
    expect("set_weights of none", qoe_engine_set_weights(engine, NULL, NULL, 0), 0);
    expect("get_weight without engine", (long long)qoe_engine_get_weight(NULL, 1), 1);
    expect("a code of nobody's has a text", strlen(qoe_strerror(-12345)) > 0, 1);
    expect_balance("after missing arguments", engine, 1, 0);
    qoe_engine_destroy(engine);
    free(frame);
}

/* A weight that makes no sense refuses the whole call: half a decision is worse than none. */
static void wrong_weights(void)
{
    enum { N_MANY = 100000 };
    struct qoe_engine *engine = make_engine(64, 0);
    const float wrong[] = {(float)NAN, (float)INFINITY, -1};
    uint32_t bearers[2] = {1, 2}, *many = calloc(N_MANY, sizeof *many);
    float weights[2] = {3, 0}, *ones = calloc(N_MANY, sizeof *ones);
    if (!many || !ones)
        exit(EXIT_FAILURE);
    for (int i = 0; i < 3; i++) {
        weights[1] = wrong[i];
        expect("a weight that is none", qoe_engine_set_weights(engine, bearers, weights, 2), QOE_EINVAL);
    }
    weights[1] = 0;
    bearers[1] = UINT32_MAX;
    expect("the bearer that none may be", qoe_engine_set_weights(engine, bearers, weights, 2), QOE_EINVAL);
    expect("its weight", (long long)qoe_engine_get_weight(engine, UINT32_MAX), 1);
    expect("nothing was set", (long long)qoe_engine_get_weight(engine, 1), 1);
    bearers[1] = bearers[0];
    expect("a bearer twice", qoe_engine_set_weights(engine, bearers, weights, 2), 2);
    expect("the last one counts", (long long)qoe_engine_get_weight(engine, 1), 0);
    for (uint32_t i = 0; i < N_MANY; i++)
        many[i] = i + 1;
    expect("more bearers than there is room", qoe_engine_set_weights(engine, many, ones, N_MANY), QOE_ENOMEM);
    expect("nothing was set", (long long)qoe_engine_get_weight(engine, 99999), 1);
    qoe_engine_destroy(engine);
    free(many);
    free(ones);
}

/* Lengths that lie: no byte beyond captured_len is read, every packet is counted. */
static void wrong_lengths(void)
{
    struct qoe_engine *engine = make_engine(64, 0);
    uint8_t *frame = make_frame(1);
    struct qoe_packet burst[FRAME_BYTES + 6];
    struct qoe_verdict verdicts[FRAME_BYTES + 6];
    struct qoe_counters counters;
    uint32_t n = 0;
    for (uint32_t cut = 0; cut <= FRAME_BYTES; cut++) /* each at the end of the buffer */
        burst[n++] = packet_of(frame + FRAME_BYTES - cut, cut, FRAME_BYTES, SECOND_NS);
    burst[n++] = packet_of(NULL, 0, FRAME_BYTES, SECOND_NS);             /* nothing, and no place for it */
    burst[n++] = packet_of(NULL, FRAME_BYTES, FRAME_BYTES, SECOND_NS);   /* a length without a place */
    burst[n++] = packet_of(NULL, 1500, 1500, SECOND_NS);                 /* enough for all headers */
    burst[n++] = packet_of(frame, FRAME_BYTES, 20, SECOND_NS);           /* more captured than was on the wire */
    burst[n++] = packet_of(frame, FRAME_BYTES, UINT32_MAX, SECOND_NS);
    expect("lengths that lie", qoe_engine_process_burst(engine, burst, n, verdicts), n);
    expect("an empty packet's status", verdicts[0].status, QOE_PKT_TRUNCATED);
    expect("an empty packet's flow", (long long)verdicts[0].flow_id, 0);
    expect("the whole packet's status", verdicts[FRAME_BYTES].status, QOE_PKT_FLOW);
    expect("counters", qoe_engine_counters(engine, &counters), QOE_OK);
    expect("packets without a byte", (long long)counters.zero_length, 2);
    expect_balance("after lengths that lie", engine, n, 0);
    qoe_engine_destroy(engine);
    free(frame);
}

/* A burst whose packets lie over one another, of link types that nobody has, is read and left as it was. */
static void overlapping_packets(void)
{
    struct qoe_engine *engine = make_engine(64, 0);
    uint8_t *frame = make_frame(1), *before = make_frame(1);
    struct qoe_packet burst[3 * FRAME_BYTES];
    struct qoe_verdict verdicts[3 * FRAME_BYTES];
    for (uint32_t i = 0; i < 3 * FRAME_BYTES; i++) {
        uint32_t start = i % FRAME_BYTES;
        burst[i] = packet_of(frame + start, FRAME_BYTES - start, FRAME_BYTES, SECOND_NS);
        burst[i].link_type = i < FRAME_BYTES ? 1 : i < 2 * FRAME_BYTES ? 101 : UINT32_MAX;
    }
    expect("overlapping packets", qoe_engine_process_burst(engine, burst, 3 * FRAME_BYTES, verdicts), 3 * FRAME_BYTES);
    expect("a link type of nobody's", verdicts[3 * FRAME_BYTES - 1].status, QOE_PKT_LINK_TYPE);
    expect("the buffer", memcmp(frame, before, FRAME_BYTES), 0);
    expect_balance("after overlapping packets", engine, 3 * FRAME_BYTES, 0);
    qoe_engine_destroy(engine);
    free(frame);
    free(before);
}

static void clocks_that_run_back(void)
{
    static const uint64_t times[] = {100, 50, 1000, UINT64_MAX, 0, 7, UINT64_MAX - 1};
    enum { N = sizeof times / sizeof *times };
    struct qoe_engine *engine = make_engine(64, SECOND_NS);
    uint8_t *frame = make_frame(1);
    struct qoe_packet packet;
    struct qoe_counters counters;
    for (int i = 0; i < N; i++) {
        packet = packet_of(frame, FRAME_BYTES, FRAME_BYTES, times[i]);
        expect("any time", qoe_engine_process_burst(engine, &packet, 1, NULL), 1);
    }
    expect("counters", qoe_engine_counters(engine, &counters), QOE_OK);
    expect("packets older than the one before", (long long)counters.clock_back, 2);
    expect("advance into the past", qoe_engine_advance(engine, 1) >= 0, 1);
    expect("advance to the end of time", qoe_engine_advance(engine, UINT64_MAX) >= 0, 1);
    expect_balance("after clocks that run back", engine, N, 0);
    qoe_engine_destroy(engine);
    free(frame);
}

/* More flows than memory: the table stays full, and what left it is counted, taken by the host or lost. */
static void more_flows_than_memory(void)
{
    enum { N = 10000 };
    struct qoe_engine *engine = make_engine(64, 0);
    struct qoe_counters counters;
    for (uint32_t i = 0; i < N; i++) {
        uint8_t *frame = make_frame(i);
        struct qoe_packet packet = packet_of(frame, FRAME_BYTES, FRAME_BYTES, SECOND_NS + i);
        expect("a flow more", qoe_engine_process_burst(engine, &packet, 1, NULL), 1);
        free(frame);
    }
    expect("counters", qoe_engine_counters(engine, &counters), QOE_OK);
    expect("flows that began", (long long)counters.flows_created, N);
    expect("flows that were evicted", (long long)counters.flows_evicted, N - 64);
    expect("flows that the host did not take in time", counters.exports_lost > 0, 1);
    expect_balance("after too many flows", engine, N, 0);
    expect("flush of more than live", qoe_engine_flush(engine, UINT32_MAX), 64);
    qoe_engine_destroy(engine);
}

int main(void)
{
    wrong_configurations();
    missing_arguments();
    wrong_weights();
    wrong_lengths();
    overlapping_packets();
    clocks_that_run_back();
    more_flows_than_memory();
    return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
