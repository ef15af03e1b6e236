/* live.h: a ring that this process shares with the kernel (TPACKET_V3): whose turn a block is, and waiting
 * for one. The kernel writes a block and then its status; what we read of it must not be read before. */
#ifndef QOE_LIVE_H
#define QOE_LIVE_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>
#include <linux/if_packet.h>

static inline int qoe_block_is_ours(const struct tpacket_block_desc *block)
{
    return (__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

static inline void qoe_block_give_back(struct tpacket_block_desc *block)
{
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

static inline uint64_t qoe_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

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
