# When a flow is decided, what hints may add, and how a verdict settles.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from qoe_native.abi cimport *
from qoe_native.features cimport fill_features
from qoe_native.flow cimport Extension, Flow, Opening
from qoe_native.forest cimport Forest, N_DECIDED, forest_predict
from qoe_native.media cimport TCP, UDP


cdef enum:
    FINAL_PACKETS = 32             # a verdict from this many packets on is final until revised


cdef inline int port_class(uint8_t protocol, uint16_t port) noexcept nogil:
    # services whose port alone says the class (IANA registry); 0: none
    if port in (22, 23, 25, 53, 67, 68, 88, 110, 111, 123, 135, 137, 138, 143, 161, 162, 179, 389, 465, 500,
                502, 514, 546, 547, 587, 636, 646, 853, 993, 995, 1080, 1194, 1701, 1883, 1900, 3306, 3389,
                3702, 4500, 5222, 5223, 5246, 5247, 5353, 5355, 5432, 6667, 8883):
        return QOE_OTHER
    if port in (1719, 1720, 2427, 2727, 5060, 5061):
        return QOE_VOIP
    if port in (1119, 3074, 3724, 6112, 25565, 27015):
        return QOE_GAMING
    if protocol == TCP:
        if port == 21:
            return QOE_OTHER
        if port in (139, 445, 873, 2049):
            return QOE_BULK
        if port in (554, 1935):
            return QOE_VIDEO
    return 0


cdef inline uint32_t apply_framing(uint8_t signals, float *p) noexcept nogil:
    # Odds by what a flow's payloads begin with, rounded from how often each framing occurs in each class of
    # the training captures, held back where few flows say so. Returns the evidence used.
    cdef uint32_t evidence = 0
    if signals & (QOE_SAW_RTP | QOE_SAW_RTCP):      # calls, and the frames of streamed games
        p[QOE_VOIP - 1] *= 20
        p[QOE_GAMING - 1] *= 10
        evidence |= QOE_BY_RTP
    if signals & QOE_SAW_STUN:
        p[QOE_VOIP - 1] *= 10
        p[QOE_GAMING - 1] *= 4
        evidence |= QOE_BY_STUN
    if signals & (QOE_SAW_TLS | QOE_SAW_QUIC | QOE_SAW_HTTP):
        p[QOE_VOIP - 1] *= <float> 0.1
        p[QOE_GAMING - 1] *= <float> 0.1
        evidence |= QOE_BY_PROTOCOL
    if signals & (QOE_SAW_QUIC | QOE_SAW_HTTP):
        p[QOE_OTHER - 1] *= <float> 0.2
    if signals & QOE_SAW_DNS:
        p[QOE_OTHER - 1] *= 50
        evidence |= QOE_BY_PROTOCOL
    return evidence


cdef inline uint32_t apply_hints(const Flow *f, uint32_t options, float *p) noexcept nogil:
    # multiplies the odds by what framing and ports add; returns the evidence used
    cdef:
        uint32_t evidence = 0
        int by_port
    if f.protocol != TCP and f.protocol != UDP:
        p[QOE_OTHER - 1] *= 100
        evidence |= QOE_BY_PROTOCOL
    if not options & QOE_NO_PROTOCOL_HINT:
        evidence |= apply_framing(f.signals, p)
    if not options & QOE_NO_PORT_HINT:
        by_port = port_class(f.protocol, f.port[1])
        if by_port == 0:
            by_port = port_class(f.protocol, f.port[0])
        if by_port:
            p[by_port - 1] *= 10 if by_port == QOE_BULK else 20
            evidence |= QOE_BY_PORT
    return evidence


cdef inline int settle(const Flow *f, const float *p, float min_confidence) noexcept nogil:
    # the likeliest class if likely enough; the standing one stays unless clearly beaten
    cdef int i, best = 0, standing = f.verdict & 15
    for i in range(1, N_DECIDED):
        if p[i] > p[best]:
            best = i
    if standing and p[best] < p[standing - 1] + 0.1 and p[standing - 1] >= min_confidence:
        return standing
    return best + 1 if p[best] >= min_confidence else QOE_UNKNOWN


cdef inline void record_verdict(Flow *f, Opening *o, const float *p, int app_class, uint32_t evidence,
                                bint last) noexcept nogil:
    cdef:
        uint32_t packets = f.packets[0] + f.packets[1]
        int before = f.verdict & 15, state = f.verdict >> 4, i
    for i in range(N_DECIDED):
        o.probability[i] = <uint8_t> (p[i] * 255 + <float> 0.5)
    f.evidence = <uint8_t> evidence
    if app_class != before:
        if state == QOE_FINAL:
            state = QOE_REVISED
        o.decided_after = packets if app_class else 0
    if state < QOE_FINAL:
        if app_class == QOE_UNKNOWN:
            state = QOE_INSPECTING
        else:
            state = QOE_FINAL if packets >= FINAL_PACKETS else QOE_PARTIAL
    if last and state < QOE_FINAL:
        state = QOE_FINAL
    f.confidence = o.probability[app_class - 1] if app_class else 0
    f.verdict = <uint8_t> (app_class | state << 4)


cdef inline void close_verdict(Flow *f) noexcept nogil:
    # what was said so far is what will be said
    if f.verdict >> 4 < QOE_FINAL:
        f.verdict = <uint8_t> (f.verdict & 15 | QOE_FINAL << 4)


cdef inline void decide(Flow *f, Opening *o, const Extension *x, const Forest *forest, uint32_t options,
                        float min_confidence, bint last, float *features) noexcept nogil:
    # one stage of classification; `features` (QOE_N_FEATURES) is left filled for tracing
    cdef:
        float p[6]
        float total = 0
        uint32_t evidence = 0
        int i
    fill_features(f, o, x, features)
    if forest.header.n_trees:
        forest_predict(forest, features, p)
        evidence = QOE_BY_MODEL
    else:
        for i in range(N_DECIDED):
            p[i] = <float> (1.0 / N_DECIDED)
    evidence |= apply_hints(f, options, p)
    for i in range(N_DECIDED):
        total += p[i]
    for i in range(N_DECIDED):
        p[i] = p[i] / total if total > 0 else 0
    record_verdict(f, o, p, settle(f, p, min_confidence), evidence, last)
