# Tree-ensemble inference over a flow's features.
#
# A model file is little-endian: struct Header, then n_trees roots (uint32), nodes (struct Node) and
# leaves (struct Leaf: a probability a class). All offsets are checked on load: a child lies behind its
# parent, so every walk ends. qoe/train/forest.py writes the same layout.
from libc.math cimport powf
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from qoe_native.abi cimport *


cdef enum:
    N_DECIDED = 6                  # classes 1 to 6 of enum qoe_class
    FORMAT_VERSION = 1
    MAX_NODES = 1 << 22            # what a NaN has room for
    MAX_TREES = 512                # more would leave too few of 65,535 parts to a leaf
    LEAF_NAN = 0x7FC00000
    LEAF_MASK = 0x3FFFFF
    FEATURE_BITS = 6
    N_POWERS = 1024
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


cdef extern from "intrin.h" nogil:
    struct Walk "qoe_walk":        # a node as it is walked: 8 bytes, no branch
        float threshold            # of a leaf a NaN that holds its number: nothing is greater
        # feature in the low bits; above, the place of the left child, the right one behind it; of a leaf its own
        # place: a walk of the full depth stays there
        uint32_t next
    struct Share "qoe_share":      # a leaf, added up in one go
        uint16_t share[8]
    void walk_eight "qoe_walk_eight"(const Walk *nodes, const float *features, uint32_t depth, uint32_t *at)
    void add_share "qoe_add_share"(Share *sum, const Share *leaf)


cdef struct Forest:
    Header header
    uint32_t *roots
    Walk *walks
    Share *leaves
    uint32_t depth                 # steps after which every walk has ended
    float power[1026]              # N_POWERS + 2: i / N_POWERS to the power of the sharpness


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


cdef inline bint forest_is_sound(const Forest *m, const Node *nodes, const Leaf *leaves) noexcept nogil:
    cdef uint32_t i, k
    cdef const Node *node
    for i in range(m.header.n_leaves):
        for k in range(N_DECIDED):
            if not 0 <= leaves[i].probability[k] <= 1:      # NaN, too
                return False
    for i in range(m.header.n_trees):
        if m.roots[i] >= m.header.n_nodes:
            return False
    for i in range(m.header.n_nodes):
        node = &nodes[i]
        if node.feature < 0:
            if node.child[0] >= m.header.n_leaves:
                return False
        elif node.feature >= QOE_N_FEATURES or node.child[0] <= i or node.child[1] <= i \
                or node.child[0] >= m.header.n_nodes or node.child[1] >= m.header.n_nodes:
            return False
    return True


cdef inline int find_depth(Forest *m, const Node *nodes) noexcept nogil:
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
        if nodes[i].feature >= 0:
            for k in range(2):
                if depth[nodes[i].child[k]] <= depth[i]:
                    depth[nodes[i].child[k]] = depth[i] + 1
    free(depth)
    return code


cdef inline uint32_t lay_out_tree(const Node *nodes, uint32_t root, Walk *walks, uint32_t at,
                                  uint32_t *origin) noexcept nogil:
    # one tree breadth first, siblings side by side, from walks[at] on; returns where it ends. origin is room
    # for the node that each place was made of.
    cdef:
        uint32_t end = at + 1
        uint32_t bits
        const Node *node
    origin[at] = root
    while at < end:
        node = &nodes[origin[at]]
        if node.feature < 0:
            bits = LEAF_NAN | node.child[0]
            memcpy(&walks[at].threshold, &bits, sizeof(bits))
            walks[at].next = at << FEATURE_BITS
        else:
            walks[at].threshold = node.threshold
            walks[at].next = end << FEATURE_BITS | <uint32_t> node.feature
            origin[end] = node.child[0]
            origin[end + 1] = node.child[1]
            end += 2
        at += 1
    return end


cdef inline bint is_tree(const Forest *m, const Node *nodes, uint8_t *seen) noexcept nogil:
    # no node has two parents, so that what is laid out is no longer than what was read
    cdef uint32_t i, k
    for i in range(m.header.n_trees):
        if seen[m.roots[i]]:
            return False
        seen[m.roots[i]] = 1
    for i in range(m.header.n_nodes):
        if nodes[i].feature >= 0:
            for k in range(2):
                if seen[nodes[i].child[k]]:
                    return False
                seen[nodes[i].child[k]] = 1
    return True


cdef inline void lay_out_leaves(Forest *m, const Leaf *leaves) noexcept nogil:
    # rounded shares of some 65,535 / n_trees, so that the sum over all trees fits 16 bits; the factor cancels out
    cdef:
        uint32_t i
        int k
        float scale = (<float> 65535.0 - <float> m.header.n_trees) / <float> m.header.n_trees
    for i in range(m.header.n_leaves):
        for k in range(N_DECIDED):
            m.leaves[i].share[k] = <uint16_t> (leaves[i].probability[k] * scale + <float> 0.5)


cdef inline void lay_out_powers(Forest *m) noexcept nogil:
    cdef uint32_t i
    for i in range(N_POWERS + 1):
        m.power[i] = powf(<float> i / <float> N_POWERS, m.header.sharpness)
    m.power[N_POWERS + 1] = m.power[N_POWERS]


cdef inline uint64_t body_bytes(const Header *h) noexcept nogil:
    return 4 * <uint64_t> h.n_trees + sizeof(Node) * <uint64_t> h.n_nodes + sizeof(Leaf) * <uint64_t> h.n_leaves


cdef inline bint header_is_sound(const Header *h, uint64_t n, uint32_t schema) noexcept nogil:
    return memcmp(h.magic, b"QOEFORST", 8) == 0 and h.version == FORMAT_VERSION \
        and h.header_bytes == sizeof(Header) and h.n_features == QOE_N_FEATURES and h.n_classes == N_DECIDED \
        and h.feature_schema == schema and 0 < h.n_trees <= MAX_TREES and h.n_nodes <= MAX_NODES \
        and h.n_leaves <= MAX_NODES and body_bytes(h) == n - sizeof(Header) \
        and 0 < h.sharpness < 100 and 0 <= h.min_confidence <= 1


cdef inline int lay_out(Forest *m, const uint8_t *body) noexcept nogil:
    # the file's arrays into those that walks go through
    cdef:
        const Node *nodes = <const Node *> (body + 4 * <uint64_t> m.header.n_trees)
        const Leaf *leaves = <const Leaf *> (<const uint8_t *> nodes + sizeof(Node) * <uint64_t> m.header.n_nodes)
        uint32_t *origin = <uint32_t *> calloc(<uint64_t> m.header.n_nodes + 2, sizeof(uint32_t))
        uint8_t *seen = <uint8_t *> calloc(m.header.n_nodes, 1)
        uint32_t i, at = 0, start
        int code = QOE_ENOMEM
    m.roots = <uint32_t *> malloc(4 * <uint64_t> m.header.n_trees)
    m.walks = <Walk *> malloc(sizeof(Walk) * <uint64_t> m.header.n_nodes)
    m.leaves = <Share *> calloc(m.header.n_leaves, sizeof(Share))
    if origin != NULL and seen != NULL and m.roots != NULL and m.walks != NULL and m.leaves != NULL:
        memcpy(m.roots, body, 4 * <uint64_t> m.header.n_trees)
        code = find_depth(m, nodes) if forest_is_sound(m, nodes, leaves) and is_tree(m, nodes, seen) else QOE_EMODEL
    if code == QOE_OK:
        for i in range(m.header.n_trees):
            start = at
            at = lay_out_tree(nodes, m.roots[i], m.walks, at, origin)
            m.roots[i] = start
        lay_out_leaves(m, leaves)
        lay_out_powers(m)
    free(origin)
    free(seen)
    return code


cdef inline void forest_free(Forest *m) noexcept nogil:
    free(m.roots)
    free(m.walks)
    free(m.leaves)
    memset(m, 0, sizeof(Forest))


cdef inline int forest_load(Forest *m, const uint8_t *data, uint64_t n, uint32_t schema) noexcept nogil:
    # 0, QOE_EMODEL (not a model, damaged, or of another schema) or QOE_ENOMEM; copies what it needs
    cdef int code
    memset(m, 0, sizeof(Forest))
    if data == NULL:
        return QOE_OK
    if n < sizeof(Header):
        return QOE_EMODEL
    memcpy(&m.header, data, sizeof(Header))
    if not header_is_sound(&m.header, n, schema) \
            or crc32(data + sizeof(Header), n - sizeof(Header)) != m.header.body_crc:
        memset(m, 0, sizeof(Forest))
        return QOE_EMODEL
    code = lay_out(m, data + sizeof(Header))
    if code != QOE_OK:
        forest_free(m)
    return code


cdef inline void add_trees(const Forest *m, uint32_t first, uint32_t n, const float *features,
                           Share *sum) noexcept nogil:
    # the leaves of up to N_WALKS trees
    cdef:
        uint32_t at[N_WALKS]
        uint32_t j, bits
    for j in range(N_WALKS):
        at[j] = m.roots[first + (j if j < n else n - 1)]
    walk_eight(m.walks, features, m.depth, at)
    for j in range(n):
        memcpy(&bits, &m.walks[at[j]].threshold, sizeof(bits))
        add_share(sum, &m.leaves[bits & LEAF_MASK])


cdef inline float calibrated(const Forest *m, uint32_t sum) noexcept nogil:
    # (sum / 65535)^sharpness, between two points of a table
    cdef:
        float at = <float> <int32_t> sum * <float> (1024.0 / 65535.0)
        int32_t i = <int32_t> at
    return m.power[i] + (at - <float> i) * (m.power[i + 1] - m.power[i])


cdef inline void forest_predict(const Forest *m, const float *features, float *out) noexcept nogil:
    # calibrated probabilities of classes 1 to 6
    cdef:
        uint32_t tree = 0, n
        Share sum
        float total = 0
        int i
    memset(&sum, 0, sizeof(sum))
    while tree < m.header.n_trees:
        n = m.header.n_trees - tree if m.header.n_trees - tree < N_WALKS else N_WALKS
        add_trees(m, tree, n, features, &sum)
        tree += n
    for i in range(N_DECIDED):
        out[i] = calibrated(m, sum.share[i])
        total += out[i]
    total = 1 / total if total > 0 else 0
    for i in range(N_DECIDED):
        out[i] *= total
