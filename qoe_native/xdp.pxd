# Frames of one AF_XDP queue, where the kernel put them (linux/if_xdp.h): it fills chunks of memory that it was
# given on the fill ring and names them on the receive ring; what was read goes back to the fill ring. Both rings
# have as many places as there are chunks, so neither can overflow.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from qoe_native.intrin cimport prefetch


cdef extern from "live.h" nogil:
    struct xdp_desc:
        uint64_t addr
        uint32_t len

    uint32_t read_index "qoe_read_index"(const uint32_t *index)
    void write_index "qoe_write_index"(uint32_t *index, uint32_t value)


cdef struct XdpQueue:
    uint8_t *memory
    uint64_t n_bytes
    uint32_t mask                  # places of each ring, less one
    const xdp_desc *received
    const uint32_t *producer       # of the receive ring: the kernel's
    uint32_t *consumer             # ours
    uint64_t *fill
    uint32_t *fill_producer        # ours
    uint32_t read, filled          # what we wrote to the last two
    uint32_t held                  # frames handed out since, not yet given back


cdef inline uint32_t xdp_waiting(XdpQueue *q) noexcept nogil:
    # how many frames there are; those handed out before are given back
    cdef uint32_t i
    for i in range(q.held):
        q.fill[(q.filled + i) & q.mask] = q.received[(q.read + i) & q.mask].addr
    if q.held:
        q.filled += q.held
        q.read += q.held
        q.held = 0
        write_index(q.consumer, q.read)
        write_index(q.fill_producer, q.filled)
    return read_index(q.producer) - q.read


cdef inline const uint8_t *xdp_frame(XdpQueue *q, uint32_t *n_bytes) noexcept nogil:
    # the next of the frames that wait; NULL if it does not lie in the memory
    cdef const xdp_desc *d = &q.received[(q.read + q.held) & q.mask]
    q.held += 1
    if d.addr > q.n_bytes or d.len > q.n_bytes - d.addr:
        return NULL
    n_bytes[0] = d.len
    prefetch(q.memory + d.addr)
    prefetch(q.memory + d.addr + 64)
    return q.memory + d.addr
