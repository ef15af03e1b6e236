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
