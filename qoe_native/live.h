/* live.h: rings that this process shares with the kernel (TPACKET_V3, AF_XDP): whose turn it is, and waiting
 * for it. The kernel writes frames and then says so; what we read of them must not be read before. */
#ifndef QOE_LIVE_H
#define QOE_LIVE_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>

static inline int qoe_block_is_ours(const struct tpacket_block_desc *block)
{
    return (__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

static inline void qoe_block_give_back(struct tpacket_block_desc *block)
{
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

static inline uint32_t qoe_read_index(const uint32_t *index) { return __atomic_load_n(index, __ATOMIC_ACQUIRE); }
static inline void qoe_write_index(uint32_t *index, uint32_t value) { __atomic_store_n(index, value, __ATOMIC_RELEASE); }

static inline uint64_t qoe_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint64_t qoe_monotonic_ns(void) { return qoe_clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t qoe_real_ns(void) { return qoe_clock_ns(CLOCK_REALTIME); }

/* 1: something came, or a signal did; 0: nothing in `ms` milliseconds; -1: the socket is broken. */
static inline int qoe_wait(int fd, int ms)
{
    struct pollfd one = { fd, POLLIN, 0 };
    int n = poll(&one, 1, ms);
    if (n < 0)
        return errno == EINTR ? 1 : -1;
    return one.revents & (POLLERR | POLLHUP | POLLNVAL) ? -1 : n;
}

#endif
