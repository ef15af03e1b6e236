/* intrin.h: the few lines Cython cannot say. Loads go through memcpy: any alignment, one instruction. */
#ifndef QOE_INTRIN_H
#define QOE_INTRIN_H

#include <stdint.h>
#include <string.h>

#define qoe_likely(condition) __builtin_expect(!!(condition), 1)
#define qoe_unlikely(condition) __builtin_expect(!!(condition), 0)
#define qoe_prefetch(address) __builtin_prefetch((const void *)(address))

static inline uint16_t qoe_native16(const uint8_t *at) { uint16_t value; memcpy(&value, at, 2); return value; }
static inline uint32_t qoe_native32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return value; }

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline uint16_t qoe_be16(const uint8_t *at) { return __builtin_bswap16(qoe_native16(at)); }
static inline uint32_t qoe_be32(const uint8_t *at) { return __builtin_bswap32(qoe_native32(at)); }
static inline uint16_t qoe_le16(const uint8_t *at) { return qoe_native16(at); }
static inline uint32_t qoe_le32(const uint8_t *at) { return qoe_native32(at); }
#else
static inline uint16_t qoe_be16(const uint8_t *at) { return qoe_native16(at); }
static inline uint32_t qoe_be32(const uint8_t *at) { return qoe_native32(at); }
static inline uint16_t qoe_le16(const uint8_t *at) { return __builtin_bswap16(qoe_native16(at)); }
static inline uint32_t qoe_le32(const uint8_t *at) { return __builtin_bswap32(qoe_native32(at)); }
#endif

#endif
