/* What the entries share: a byte string read as numbers, and claims that end the process when they do not hold. */
#ifndef ENTRY_H
#define ENTRY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define CLAIM(claim)                                                                       \
    do {                                                                                   \
        if (!(claim)) {                                                                    \
            fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #claim); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

struct input {
    const uint8_t *at, *end;
};

static inline size_t bytes_left(const struct input *in)
{
    return (size_t)(in->end - in->at);
}

/* The next number, of so many bytes; beyond the end follow zeros. */
static inline uint64_t take(struct input *in, int n_bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < n_bytes && in->at < in->end; i++)
        value |= (uint64_t)*in->at++ << 8 * i;
    return value;
}

/* A number of any magnitude out of one byte: 0 to 7 as they are, then (8 to 15) * 4^n, up to 2^64. */
static inline uint64_t take_magnitude(struct input *in)
{
    uint64_t code = take(in, 1);
    return code < 8 ? code : (8 | (code & 7)) << 2 * ((code >> 3) - 1);
}

/* Bytes in a heap buffer of exactly their number, so that the sanitizers see its ends. */
static inline uint8_t *heap_copy(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t *copy = malloc(n_bytes ? n_bytes : 1);
    CLAIM(copy != NULL);
    if (n_bytes)
        memcpy(copy, bytes, n_bytes);
    return copy;
}

#endif
