"""The packet kernel: bursts in, verdicts and flow records out.

The C functions of ``qoe.h`` are defined here and work without an interpreter; the classes below them are
how Python calls the same code. What each stage does stands in the ``.pxd`` files, one a stage.
"""
from libc.math cimport isfinite
from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from qoe_native.abi cimport *
from qoe_native.classify cimport close_verdict, decide
from qoe_native.export cimport export_flow
from qoe_native.features cimport IDLE_NS, count_packet
from qoe_native.flow cimport *
from qoe_native.flowtable cimport *
from qoe_native.forest cimport Forest, N_DECIDED, crc32, forest_free, forest_load, forest_predict
from qoe_native.headers cimport decode, decode_plain
from qoe_native.index cimport *
from qoe_native.intrin cimport be32, begin_write, end_write, likely, pause, prefetch, read_fence, read_mark, unlikely
from qoe_native.layers cimport FIRST_PIECE, LATER_PIECE, FragmentKey, Headers
from qoe_native.media cimport (
    ACK, N_INSPECT, SYN, TCP, UDP, chunk_packet, close_chunk, is_dns, is_rtp, rtp_packet, speaks_first,
    tcp_packet, tcp_signal, udp_signal,
)
from qoe_native.tunnels cimport is_tunnel_port


cdef extern from "host.h" nogil:
    const char *QOE_FEATURE_NAMES
    const char *QOE_COMPILER
    const char *QOE_INSTRUCTION_SET
    int QOE_SANITIZED
    void *qoe_map(uint64_t n_bytes)
    void qoe_unmap(void *p, uint64_t n_bytes)
    void qoe_touch(void *p, uint64_t n_bytes)
    uint64_t qoe_random_seed()
    uint64_t read_word "qoe_read_word"(const uint64_t *p)
    void write_word "qoe_write_word"(uint64_t *p, uint64_t v)
    const uint8_t *qoe_isolate(const uint8_t *data, uint32_t n)
    void qoe_release(const uint8_t *data)
    int address_text "qoe_address_text"(const uint8_t *address, int version, char *out)


include "pipeline.pxi"
include "ageing.pxi"
include "burst.pxi"
include "cabi.pxi"
include "reader.pxi"
include "live.pxi"
include "binding.pxi"
include "text.pxi"
include "columns.pxi"
include "pages.pxi"
include "sorting.pxi"
include "sharing.pxi"
