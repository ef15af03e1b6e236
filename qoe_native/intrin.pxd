"""What intrin.h says, under the names the kernel uses."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef extern from "intrin.h" nogil:
    bint likely "qoe_likely"(bint condition)
    bint unlikely "qoe_unlikely"(bint condition)
    void prefetch "qoe_prefetch"(const void *address)
    uint16_t be16 "qoe_be16"(const uint8_t *at)
    uint32_t be32 "qoe_be32"(const uint8_t *at)
    uint16_t le16 "qoe_le16"(const uint8_t *at)
    uint32_t le32 "qoe_le32"(const uint8_t *at)
    void begin_write "qoe_begin_write"(uint8_t *mark)
    void end_write "qoe_end_write"(uint8_t *mark)
    uint8_t read_mark "qoe_read_mark"(const uint8_t *mark)
    void read_fence "qoe_read_fence"()
    void pause "qoe_pause"()
    uint16_t upper_half "qoe_upper_half"(float value)
    float from_upper_half "qoe_from_upper_half"(uint16_t half)
    uint32_t log_code "qoe_log_code"(double value)
