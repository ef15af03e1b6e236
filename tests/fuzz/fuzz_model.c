/* A model file of any bytes, then packets to decide by it.
 *
 *     which kind (1 byte), ...
 *
 * Odd: what follows is the file as it stands. Even: what follows is trees, nodes, leaves (2 bytes each, little-endian,
 * taken modulo a few), the calibration (two floats) and the body, filled up with zeros, around which a sound header
 * is put: a mutation alone would never get past the checksum. */
#include <math.h>

#include "frames.h"
#include "model.h"

enum { MAX_TREES = 32, MAX_NODES = 512, N_PACKETS = 64 };

static float take_float(struct input *in)
{
    uint32_t bits = (uint32_t)take(in, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint8_t *read_model(struct input *in, size_t *n_bytes)
{
    struct model_header header = {0};
    uint8_t *body, *model;
    size_t n_body, n_given;
    if (take(in, 1) & 1) {
        *n_bytes = bytes_left(in);
        return heap_copy(in->at, *n_bytes);
    }
    header.n_trees = (uint32_t)take(in, 2) % (MAX_TREES + 1);
    header.n_nodes = (uint32_t)take(in, 2) % (MAX_NODES + 1);
    header.n_leaves = (uint32_t)take(in, 2) % (MAX_NODES + 1);
    header.min_confidence = take_float(in);
    header.sharpness = take_float(in);
    n_body = model_body_bytes(&header);
    n_given = bytes_left(in) < n_body ? bytes_left(in) : n_body;
    body = calloc(1, n_body + 1);
    CLAIM(body != NULL);
    memcpy(body, in->at, n_given);
    model = make_model(&header, body, n_bytes);
    free(body);
    return model;
}

static void expect_sound(const struct qoe_flow *flow)
{
    float total = 0;
    CLAIM(flow->app_class < QOE_N_CLASSES && flow->state <= QOE_REVISED && flow->probability[0] == 0);
    CLAIM(flow->confidence >= 0 && flow->confidence <= 1);
    for (int i = 1; i < QOE_N_CLASSES; i++) {
        CLAIM(flow->probability[i] >= 0 && flow->probability[i] <= 1);
        total += flow->probability[i];
    }
    CLAIM(total < 1.02f); /* each is rounded to 1/255 */
    CLAIM(flow->app_class != QOE_UNKNOWN || flow->confidence == 0);
}

/* Calls, connections and look-ups, so that all that a model may ask for differs between flows. */
static void decide_flows(struct qoe_engine *engine)
{
    static const uint8_t kinds[] = {KIND_RTP, KIND_TCP, KIND_UDP, KIND_DNS};
    uint8_t room[MAX_FRAME_BYTES];
    struct qoe_flow flow;
    struct qoe_verdict verdict;
    struct qoe_decision decision;
    int n_decisions = 0;
    for (uint32_t i = 0; i < N_PACKETS; i++) {
        struct frame_plan plan = {.kind = kinds[i & 3], .ports = (uint8_t)(i & 3), .size = (uint8_t)(60 * (i & 3))};
        struct qoe_packet packet;
        plan.hosts = i & 16 ? 128 : 0;
        packet = put_packet(room, &plan, i);
        packet.ts_ns = 1000000000u + (uint64_t)i * i * 5000000;
        CLAIM(qoe_engine_process_burst(engine, &packet, 1, &verdict) == 1 && verdict.status == QOE_PKT_FLOW);
        CLAIM(verdict.confidence >= 0 && verdict.confidence <= 1 && verdict.app_class < QOE_N_CLASSES);
    }
    CLAIM(qoe_engine_flush(engine, UINT32_MAX) == 4);
    while (qoe_engine_export(engine, &flow, 1) == 1)
        expect_sound(&flow);
    for (; qoe_engine_decisions(engine, &decision, 1) == 1; n_decisions++)
        for (int i = 0; i < QOE_N_FEATURES; i++)
            CLAIM(isfinite(decision.features[i]));
    CLAIM(n_decisions >= 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct input in = {data, data + n_bytes};
    struct qoe_config config = {.struct_size = sizeof config, .max_flows = 8, .options = QOE_TRACE_FEATURES};
    struct qoe_engine *engine = (struct qoe_engine *)&config;
    size_t n_model;
    uint8_t *model = read_model(&in, &n_model);
    int code;
    config.max_extensions = config.max_fragments = config.max_chunks = 8;
    config.max_decisions = 256;
    config.seed = 1;
    config.model = model;
    config.model_bytes = n_model;
    code = qoe_engine_create(&engine, &config);
    free(model); /* the engine has a copy */
    CLAIM(code == QOE_OK || code == QOE_EMODEL);
    CLAIM((code == QOE_OK) == (engine != NULL));
    if (engine)
        decide_flows(engine);
    qoe_engine_destroy(engine);
    return 0;
}
