/* traffic.h: the packets of a small cell, made in code so that the examples need no capture.
 *
 * Subscribers 10.0.0.1, 10.0.0.2, … are in turn in a call (RTP, 50 packets a second each way) and downloading
 * (TCP, 200 full frames a second, every fourth acknowledged). Once a second each asks a name server, from a
 * port of its own: a flow of two packets that ends by falling silent. All of it follows from the subscriber and
 * the time, so that totals can be worked out by hand. Checksums stay 0: qoe does not verify them.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdint.h>
#include <string.h>

#define TRAFFIC_START_NS 1767225600000000000u /* 2026-01-01 UTC */
#define TRAFFIC_TICK_NS 20000000u             /* a voice packet's 20 ms */
#define TRAFFIC_TICKS_PER_S 50u
#define TRAFFIC_FIRST_ADDRESS 0x0a000001u     /* 10.0.0.1: subscriber 0 */

struct frame {
    uint8_t bytes[1514];
    uint32_t len;
    uint64_t ts_ns;
    uint32_t subscriber; /* from 0: what a host would look up by address or by port */
};

struct traffic {
    uint32_t n_subscribers, n_seconds;
    uint32_t tick, subscriber, step; /* what comes next: start at 0 */
};

static inline void traffic_put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void traffic_put32(uint8_t *p, uint32_t value)
{
    traffic_put16(p, value >> 16);
    traffic_put16(p + 2, value);
}

/* Ethernet, IPv4 and ports; returns where the transport header begins. */
static inline uint8_t *traffic_headers(struct frame *f, int up, uint32_t far_end, uint16_t near_port,
                                       uint16_t far_port, uint8_t protocol, uint32_t transport_bytes)
{
    uint32_t near_end = TRAFFIC_FIRST_ADDRESS + f->subscriber;
    uint8_t *ip = f->bytes + 14;
    f->len = 14 + 20 + transport_bytes;
    memset(f->bytes, 0, f->len);
    traffic_put16(f->bytes + 12, 0x0800);
    ip[0] = 0x45;
    traffic_put16(ip + 2, 20 + transport_bytes);
    ip[8] = 64;
    ip[9] = protocol;
    traffic_put32(ip + (up ? 12 : 16), near_end);
    traffic_put32(ip + (up ? 16 : 12), far_end);
    traffic_put16(ip + 20 + (up ? 0 : 2), near_port);
    traffic_put16(ip + 20 + (up ? 2 : 0), far_port);
    return ip + 20;
}

static inline uint8_t *traffic_udp(struct frame *f, int up, uint32_t far_end, uint16_t near_port,
                                   uint16_t far_port, uint32_t payload_bytes)
{
    uint8_t *udp = traffic_headers(f, up, far_end, near_port, far_port, 17, 8 + payload_bytes);
    traffic_put16(udp + 4, 8 + payload_bytes);
    return udp + 8;
}

static inline void traffic_call(struct frame *f, uint32_t tick, int up)
{
    uint8_t *rtp = traffic_udp(f, up, 0xc0000201, 40000, 40002, 12 + 160); /* 20 ms of G.711 */
    rtp[0] = 0x80;
    traffic_put16(rtp + 2, tick);
    traffic_put32(rtp + 4, tick * 160);
    traffic_put32(rtp + 8, f->subscriber * 2 + (up ? 1 : 2));
}

static inline void traffic_download(struct frame *f, uint32_t tick, uint32_t step)
{
    int up = step == 4;
    uint8_t *tcp = traffic_headers(f, up, 0xc6336401, 50000, 443, 6, up ? 20 : 20 + 1460);
    traffic_put32(tcp + 4, up ? 1 : (tick * 4 + step) * 1460);
    traffic_put32(tcp + 8, up ? (tick + 1) * 4 * 1460 : 1);
    tcp[12] = 5 << 4;
    tcp[13] = 0x10; /* ACK */
    traffic_put16(tcp + 14, 65535);
}

static inline void traffic_lookup(struct frame *f, uint32_t tick, int up)
{
    uint16_t port = (uint16_t)(20000 + tick / TRAFFIC_TICKS_PER_S);
    uint8_t *dns = traffic_udp(f, up, 0xcb007135, port, 53, up ? 32 : 120);
    traffic_put16(dns, tick);
    traffic_put16(dns + 2, up ? 0x0100 : 0x8180);
    traffic_put16(dns + 4, 1); /* one question */
}

/* The next packet of the cell, in order of time; 0 when there is none. */
static inline int traffic_next(struct traffic *t, struct frame *out)
{
    uint32_t n_media = t->subscriber % 2 ? 5 : 2;
    uint32_t n_steps = n_media + (t->tick % TRAFFIC_TICKS_PER_S ? 0 : 2);
    if (t->tick == t->n_seconds * TRAFFIC_TICKS_PER_S)
        return 0;
    out->subscriber = t->subscriber;
    out->ts_ns = TRAFFIC_START_NS + (uint64_t)t->tick * TRAFFIC_TICK_NS + (t->subscriber * 8 + t->step) * 50000u;
    if (t->step >= n_media)
        traffic_lookup(out, t->tick, t->step == n_media);
    else if (t->subscriber % 2)
        traffic_download(out, t->tick, t->step);
    else
        traffic_call(out, t->tick, t->step == 0);
    if (++t->step == n_steps) {
        t->step = 0;
        if (++t->subscriber == t->n_subscribers) {
            t->subscriber = 0;
            t->tick++;
        }
    }
    return 1;
}

#endif
