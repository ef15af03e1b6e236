"""The decoder's straight line beside the decoder: what `decode_plain` takes, `decode` must read alike.

The input is that of fuzz_decode.c, and so is the corpus; only Ethernet (link type 0 of its table) has a straight line.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcmp, memcpy

from qoe_native.headers cimport decode, decode_plain
from qoe_native.layers cimport QOE_PKT_FLOW, WHOLE, Headers
from qoe_native.links cimport LINK_ETHERNET


cdef enum:
    PREFIX_BYTES = 3


cdef void claim(bint holds, const char *what) noexcept nogil:
    if not holds:
        fprintf(stderr, b"fuzz_headers: this does not hold: %s\n", what)
        abort()


cdef void compare(const uint8_t *frame, uint32_t captured_len, uint32_t wire_len) noexcept nogil:
    cdef Headers plain, thorough
    if not decode_plain(frame, captured_len, wire_len, LINK_ETHERNET, &plain):
        return
    claim(decode(frame, captured_len, wire_len, LINK_ETHERNET, &thorough) == QOE_PKT_FLOW, b"both take it")
    claim(plain.fragment == WHOLE and not plain.carried, b"it is whole")
    if plain.payload_captured == 0:
        plain.payload = thorough.payload          # of nothing, either may point anywhere
    claim(memcmp(&plain, &thorough, <char *> &plain.piece - <char *> &plain) == 0, b"all fields are equal")


cdef public int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) noexcept nogil:
    cdef:
        uint32_t captured_len, wire_len
        uint8_t *frame
    if n_bytes < PREFIX_BYTES or data[0] != 0:
        return 0
    captured_len = <uint32_t> n_bytes - PREFIX_BYTES
    wire_len = data[1] | <uint32_t> data[2] << 8
    frame = <uint8_t *> malloc(captured_len if captured_len else 1)
    claim(frame != NULL, b"there is memory")
    memcpy(frame, data + PREFIX_BYTES, captured_len)
    compare(frame, captured_len, wire_len if wire_len else captured_len)
    free(frame)
    return 0
