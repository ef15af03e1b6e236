# Tree-ensemble inference over a flow's features.
#
# A model file is little-endian: struct Header, then n_trees roots (uint32), nodes (struct Node) and
# leaves (struct Leaf: a probability a class). All offsets are checked on load: a child lies behind its
# parent, so every walk ends. qoe/train/forest.py writes the same layout.
from libc.math cimport powf
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from qoe_native.abi cimport *


cdef enum:
    N_DECIDED = 6                  # classes 1 to 6 of enum qoe_class
    FORMAT_VERSION = 1
    MAX_NODES = 1 << 24
    MAX_DEPTH = 64
    N_WALKS = 8                    # trees walked side by side: their cache misses and compares overlap


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
    float threshold                # go to child[0] if feature <= threshold
    int32_t feature                # -1: a leaf
    uint32_t child[2]              # node numbers; of a leaf, child[0] is the leaf's number


cdef struct Leaf:
    float probability[6]


cdef struct Forest:
    Header header
    uint32_t *roots
    Node *nodes
    Leaf *leaves
    void *memory
    uint32_t depth                 # steps after which every walk has ended


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
            if node.child[0] >= m.header.n_leaves:
                return False
        elif node.feature >= QOE_N_FEATURES or node.child[0] <= i or node.child[1] <= i \
                or node.child[0] >= m.header.n_nodes or node.child[1] >= m.header.n_nodes:
            return False
    return True


cdef inline int find_depth(Forest *m) noexcept nogil:
    # QOE_EMODEL when a walk is longer than MAX_DEPTH
    cdef:
        uint8_t *depth = <uint8_t *> calloc(m.header.n_nodes, 1)
        uint32_t i, k
        int code = QOE_OK
    if depth == NULL:
        return QOE_ENOMEM
    m.depth = 0
    for i in range(m.header.n_nodes):
        if depth[i] > MAX_DEPTH:
            code = QOE_EMODEL
            break
        if depth[i] > m.depth:
            m.depth = depth[i]
        if m.nodes[i].feature >= 0:
            for k in range(2):
                if depth[m.nodes[i].child[k]] <= depth[i]:
                    depth[m.nodes[i].child[k]] = depth[i] + 1
    free(depth)
    return code


cdef inline void close_leaves(Forest *m) noexcept nogil:
    # A leaf becomes a node that leads to itself, its number in the threshold's place: a walk of the full
    # depth then needs no branch.
    cdef uint32_t i
    for i in range(m.header.n_nodes):
        if m.nodes[i].feature < 0:
            memcpy(&m.nodes[i].threshold, &m.nodes[i].child[0], sizeof(uint32_t))
            m.nodes[i].feature = 0
            m.nodes[i].child[0] = i
            m.nodes[i].child[1] = i


cdef inline uint64_t body_bytes(const Header *h) noexcept nogil:
    return 4 * <uint64_t> h.n_trees + sizeof(Node) * <uint64_t> h.n_nodes + sizeof(Leaf) * <uint64_t> h.n_leaves


cdef inline int forest_load(Forest *m, const uint8_t *data, uint64_t n, uint32_t schema) noexcept nogil:
    # 0, QOE_EMODEL (not a model, damaged, or of another schema) or QOE_ENOMEM; copies what it needs
    cdef:
        uint8_t *body
        int code
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
    code = find_depth(m) if forest_is_sound(m) else QOE_EMODEL
    if code != QOE_OK:
        free(m.memory)
        m.memory = NULL
        m.header.n_trees = 0
        return code
    close_leaves(m)
    return QOE_OK


cdef inline void add_trees(const Forest *m, uint32_t first, uint32_t n, const float *features,
                           float *out) noexcept nogil:
    # the leaves of up to N_WALKS trees; without a branch on what a feature is
    cdef:
        uint32_t at[8]
        uint32_t _step, leaf
        int i, j
        const Node *node
    for j in range(N_WALKS):
        at[j] = m.roots[first + (<uint32_t> j if <uint32_t> j < n else n - 1)]
    for _step in range(m.depth):
        for j in range(N_WALKS):
            node = &m.nodes[at[j]]
            at[j] = node.child[not features[node.feature] <= node.threshold]
    for j in range(<int> n):
        memcpy(&leaf, &m.nodes[at[j]].threshold, sizeof(uint32_t))
        for i in range(N_DECIDED):
            out[i] += m.leaves[leaf].probability[i]


cdef inline void forest_predict(const Forest *m, const float *features, float *out) noexcept nogil:
    # calibrated probabilities of classes 1 to 6
    cdef:
        uint32_t tree = 0, n
        float total = 0
        int i
    for i in range(N_DECIDED):
        out[i] = 0
    while tree < m.header.n_trees:
        n = m.header.n_trees - tree if m.header.n_trees - tree < N_WALKS else N_WALKS
        add_trees(m, tree, n, features, out)
        tree += n
    for i in range(N_DECIDED):
        out[i] = powf(out[i] / m.header.n_trees, m.header.sharpness) if out[i] > 0 else 0
        total += out[i]
    for i in range(N_DECIDED):
        out[i] = out[i] / total if total > 0 else 0
