/* A configuration out of a few bytes, what must become of it, and the memory that it gets.
 *
 * The linker sends the kernel's malloc() and calloc() here (--wrap): in qoe_engine_create() no more than MAX_BYTES are
 * granted in all, so that nothing large is ever taken, and the input may let any one fail. */
#ifndef CONFIGURATION_H
#define CONFIGURATION_H

#include <math.h>

#include "entry.h"
#include "model.h"
#include "qoe.h"

#define MAX_BYTES ((size_t)32 << 20)

static struct {
    int armed, n_refused;
    unsigned fail_after;        /* so many are granted; 0: all */
    size_t granted;
} memory;

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n, size_t n_bytes);
void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n, size_t n_bytes);

static int grant(size_t n_bytes)
{
    if (!memory.armed)
        return 1;
    if (n_bytes > MAX_BYTES - memory.granted || (memory.fail_after && --memory.fail_after == 0)) {
        memory.n_refused++;
        return 0;
    }
    memory.granted += n_bytes;
    return 1;
}

void *__wrap_malloc(size_t n_bytes)
{
    return grant(n_bytes) ? __real_malloc(n_bytes) : NULL;
}

void *__wrap_calloc(size_t n, size_t n_bytes)
{
    return grant(n * n_bytes) ? __real_calloc(n, n_bytes) : NULL;
}

/* Few, many, the default or too many of something. */
static uint32_t take_limit(struct input *in)
{
    static const uint32_t odd[] = {0, 1u << 20, 1u << 30, (1u << 30) + 1, UINT32_MAX};
    uint32_t code = (uint32_t)take(in, 1);
    return code >= 251 ? odd[code - 251] : code * code / 64 + 1;
}

struct small_body {             /* one tree of one question */
    uint32_t root;
    struct model_node nodes[3];
    struct model_leaf leaves[2];
};

#define SMALL_MODEL_BYTES (sizeof(struct model_header) + sizeof(struct small_body))

static uint8_t *small_model(struct input *in, size_t *n_bytes)
{
    struct model_header header = {.n_trees = 1, .n_nodes = 3, .n_leaves = 2, .min_confidence = 0.5f, .sharpness = 1};
    struct small_body body = {.nodes = {{0, 0, {1, 2}}, {0, -1, {0, 0}}, {0, -1, {1, 0}}}};
    uint32_t choice = (uint32_t)take(in, 1);
    body.nodes[0].feature = (int32_t)(choice % QOE_N_FEATURES);
    body.nodes[0].threshold = (float)take_magnitude(in);
    body.leaves[0].probability[choice % 6] = 1;
    body.leaves[1].probability[choice % 5] = 0.75f;
    return make_model(&header, &body, n_bytes);
}

static struct qoe_config read_config(struct input *in, uint8_t **model)
{
    static const float confidences[] = {0, 0.3f, 0.9f, 1, -0.1f, 1.1f, NAN, 0};
    struct qoe_config config = {.struct_size = sizeof config};
    uint32_t odd = (uint32_t)take(in, 1);
    size_t n_model = 0;
    config.options = (uint32_t)take(in, 1) & 31;
    config.max_flows = take_limit(in);
    config.max_extensions = take_limit(in);
    config.max_fragments = take_limit(in);
    config.max_chunks = take_limit(in);
    config.max_decisions = take_limit(in);
    config.idle_timeout_ns = take_magnitude(in);
    config.active_timeout_ns = take_magnitude(in);
    config.export_interval_ns = take_magnitude(in);
    config.seed = take(in, 1);
    config.n_shards = (uint32_t)take_magnitude(in);
    config.shard = config.n_shards ? (uint32_t)take(in, 1) % config.n_shards : 0;
    config.min_confidence = confidences[odd & 7];
    if (odd & 8)
        config.shard++;
    if (odd & 16)
        config.struct_size += odd;
    if (odd & 32)
        *model = small_model(in, &n_model);
    config.model = *model;
    config.model_bytes = n_model - (odd >> 7 && n_model);
    memory.fail_after = odd & 64 ? 1 + (unsigned)take(in, 1) % 24 : 0;
    return config;
}

/* What qoe.h promises of a configuration. */
static int promised(const struct qoe_config *c, int n_refused)
{
    const uint32_t most = 1u << 30;
    if (c->struct_size != sizeof *c)
        return QOE_EVERSION;
    if (c->max_flows > most || c->max_extensions > most || c->max_fragments > most || c->max_chunks > most ||
        c->max_decisions > most || c->options > 15 || !(c->min_confidence >= 0 && c->min_confidence <= 1) ||
        c->n_shards > 4096 || c->shard >= (c->n_shards ? c->n_shards : 1))
        return QOE_EINVAL;
    if (n_refused)
        return QOE_ENOMEM;
    return c->model && c->model_bytes != SMALL_MODEL_BYTES ? QOE_EMODEL : QOE_OK;
}

#endif
