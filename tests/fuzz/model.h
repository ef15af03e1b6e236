/* Model files (qoe_native/forest.pxd has the layout) whose header is right about what follows it. */
#ifndef MODEL_H
#define MODEL_H

#include "entry.h"
#include "host.h" /* the names of the features, whose checksum a model carries */
#include "qoe.h"

struct model_header {
    char magic[8];
    uint32_t version, header_bytes, n_features, n_classes, n_trees, n_nodes, n_leaves, feature_schema, body_crc;
    float min_confidence, sharpness;
    uint32_t reserved;
};

struct model_node {
    float threshold;
    int32_t feature;
    uint32_t child[2];
};

struct model_leaf {
    float probability[QOE_N_CLASSES - 1];
};

static inline uint32_t crc32_of(const void *bytes, size_t n_bytes)
{
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;
    while (n_bytes--) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static inline size_t model_body_bytes(const struct model_header *header)
{
    return 4 * (size_t)header->n_trees + sizeof(struct model_node) * header->n_nodes +
           sizeof(struct model_leaf) * header->n_leaves;
}

/* A model with this body, in a heap buffer of its exact size; the header's counts and calibration are the caller's. */
static inline uint8_t *make_model(struct model_header *header, const void *body, size_t *n_bytes)
{
    size_t n_body = model_body_bytes(header);
    uint8_t *model = malloc(sizeof *header + n_body);
    CLAIM(model != NULL);
    memcpy(header->magic, "QOEFORST", 8);
    header->version = 1;
    header->header_bytes = sizeof *header;
    header->n_features = QOE_N_FEATURES;
    header->n_classes = QOE_N_CLASSES - 1;
    header->feature_schema = crc32_of(QOE_FEATURE_NAMES, strlen(QOE_FEATURE_NAMES));
    header->body_crc = crc32_of(body, n_body);
    memcpy(model, header, sizeof *header);
    memcpy(model + sizeof *header, body, n_body);
    *n_bytes = sizeof *header + n_body;
    return model;
}

#endif
