# Tree-ensemble inference over a flow's features.
#
# A model file is little-endian: struct Header, then n_trees roots (uint32), nodes (struct Node) and
# leaves (struct Leaf: a probability a class). All offsets are checked on load: a child lies behind its
# parent, so every walk ends. qoe/train.py writes the same layout.
from libc.math cimport powf
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from qoe_native.abi cimport *


cdef enum:
    N_DECIDED = 6                  # classes 1 to 6 of enum qoe_class
    FORMAT_VERSION = 1
    MAX_NODES = 1 << 24


cdef struct Header:
    char magic[8]                  # "QOEFORST"
    uint32_t version, header_bytes
    uint32_t n_features, n_classes, n_trees, n_nodes, n_leaves
    uint32_t feature_schema        # CRC-32 of the feature names, joined by "\n"
    uint32_t body_crc              # CRC-32 of all that follows the header
    float min_confidence           # below it: unknown
    float sharpness                # calibration: p_i^sharpness, normalised
    uint32_t reserved


cdef struct Node:
    float threshold                # go left if feature <= threshold
    int32_t feature                # -1: a leaf
    uint32_t left, right           # node numbers; of a leaf, left is the leaf's number


cdef struct Leaf:
    float probability[6]


cdef struct Forest:
    Header header
    uint32_t *roots
    Node *nodes
    Leaf *leaves
    void *memory


cdef inline uint32_t crc32(const uint8_t *data, uint64_t n) noexcept nogil:
    # IEEE 802.3, as zlib computes it; load time only
    cdef:
        uint32_t crc = 0xFFFFFFFFU
        uint64_t i
        int _bit
    for i in range(n):
        crc ^= data[i]
        for _bit in range(8):
            crc = (crc >> 1) ^ (0xEDB88320U * (crc & 1))
    return ~crc


cdef inline bint forest_is_sound(const Forest *m) noexcept nogil:
    cdef uint32_t i, k
    cdef const Node *node
    for i in range(m.header.n_leaves):
        for k in range(N_DECIDED):
            if not 0 <= m.leaves[i].probability[k] <= 1:      # NaN, too
                return False
    for i in range(m.header.n_trees):
        if m.roots[i] >= m.header.n_nodes:
            return False
    for i in range(m.header.n_nodes):
        node = &m.nodes[i]
        if node.feature < 0:
            if node.left >= m.header.n_leaves:
                return False
        elif node.feature >= QOE_N_FEATURES or node.left <= i or node.right <= i \
                or node.left >= m.header.n_nodes or node.right >= m.header.n_nodes:
            return False
    return True


cdef inline uint64_t body_bytes(const Header *h) noexcept nogil:
    return 4 * <uint64_t> h.n_trees + sizeof(Node) * <uint64_t> h.n_nodes + sizeof(Leaf) * <uint64_t> h.n_leaves


cdef inline int forest_load(Forest *m, const uint8_t *data, uint64_t n, uint32_t schema) noexcept nogil:
    # 0, QOE_EMODEL (not a model, damaged, or of another schema) or QOE_ENOMEM; copies what it needs
    cdef uint8_t *body
    m.memory = NULL
    m.header.n_trees = 0
    if data == NULL:
        return QOE_OK
    if n < sizeof(Header):
        return QOE_EMODEL
    memcpy(&m.header, data, sizeof(Header))
    if memcmp(m.header.magic, b"QOEFORST", 8) != 0 or m.header.version != FORMAT_VERSION \
            or m.header.header_bytes != sizeof(Header) or m.header.n_features != QOE_N_FEATURES \
            or m.header.n_classes != N_DECIDED or m.header.feature_schema != schema \
            or m.header.n_trees == 0 or m.header.n_trees > 65536 or m.header.n_nodes > MAX_NODES \
            or m.header.n_leaves > MAX_NODES or body_bytes(&m.header) != n - sizeof(Header) \
            or not 0 < m.header.sharpness < 100 or not 0 <= m.header.min_confidence <= 1 \
            or crc32(data + sizeof(Header), n - sizeof(Header)) != m.header.body_crc:
        m.header.n_trees = 0
        return QOE_EMODEL
    body = <uint8_t *> malloc(n - sizeof(Header))
    if body == NULL:
        m.header.n_trees = 0
        return QOE_ENOMEM
    memcpy(body, data + sizeof(Header), n - sizeof(Header))
    m.memory = body
    m.roots = <uint32_t *> body
    m.nodes = <Node *> (body + 4 * <uint64_t> m.header.n_trees)
    m.leaves = <Leaf *> (body + 4 * <uint64_t> m.header.n_trees + sizeof(Node) * <uint64_t> m.header.n_nodes)
    if not forest_is_sound(m):
        free(m.memory)
        m.memory = NULL
        m.header.n_trees = 0
        return QOE_EMODEL
    return QOE_OK


cdef inline void forest_predict(const Forest *m, const float *features, float *out) noexcept nogil:
    # calibrated probabilities of classes 1 to 6
    cdef:
        uint32_t tree, at
        const Node *node
        const Leaf *leaf
        float total = 0
        int i
    for i in range(N_DECIDED):
        out[i] = 0
    for tree in range(m.header.n_trees):
        at = m.roots[tree]
        node = &m.nodes[at]
        while node.feature >= 0:
            at = node.left if features[node.feature] <= node.threshold else node.right
            node = &m.nodes[at]
        leaf = &m.leaves[node.left]
        for i in range(N_DECIDED):
            out[i] += leaf.probability[i]
    for i in range(N_DECIDED):
        out[i] = powf(out[i] / m.header.n_trees, m.header.sharpness) if out[i] > 0 else 0
        total += out[i]
    for i in range(N_DECIDED):
        out[i] = out[i] / total if total > 0 else 0
