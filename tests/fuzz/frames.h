/* Frames out of a few bytes of input: of each protocol as much as the kernel looks at, of few hosts and ports, so
 * that flows meet. */
#ifndef FRAMES_H
#define FRAMES_H

#include "entry.h"
#include "qoe.h"

enum { MAX_FRAME_BYTES = 192, PAYLOAD_BYTES = 48 };

enum frame_kind {
    KIND_UDP, KIND_TCP, KIND_RTP, KIND_DNS, KIND_QUIC, KIND_STUN, KIND_ICMP, KIND_FIRST_PIECE, KIND_LATER_PIECE,
    KIND_VLAN, KIND_GTPU, KIND_RAW, KIND_NOTHING, KIND_NO_PLACE, N_KINDS
};

struct frame_plan {             /* one frame, and how those that follow it differ */
    uint8_t kind, hosts, ports, size, number, flags, wire, link_type;
    const uint8_t *raw;
    uint32_t n_raw;
};

static inline struct frame_plan read_plan(struct input *in)
{
    struct frame_plan plan = {0};
    plan.kind = (uint8_t)(take(in, 1) % N_KINDS);
    plan.hosts = (uint8_t)take(in, 1);
    plan.ports = (uint8_t)take(in, 1);
    plan.size = (uint8_t)take(in, 1);
    plan.number = (uint8_t)take(in, 1);
    plan.flags = (uint8_t)take(in, 1);
    plan.wire = (uint8_t)take(in, 1);
    if (plan.kind == KIND_RAW) {
        plan.link_type = plan.number;
        plan.n_raw = plan.size % 128;
        if (plan.n_raw > bytes_left(in))
            plan.n_raw = (uint32_t)bytes_left(in);
        plan.raw = in->at;
        in->at += plan.n_raw;
    }
    return plan;
}

static inline uint8_t *put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static inline uint8_t *put32(uint8_t *at, uint32_t value)
{
    return put16(put16(at, value >> 16), value);
}

/* Source and destination of one of eight hosts each; the highest bit turns them round. */
static inline uint8_t *put_address(uint8_t *at, const struct frame_plan *plan, int destination, int n_bytes)
{
    int turned = plan->hosts >> 7 ^ destination;
    memset(at, 0, (size_t)n_bytes);
    at[0] = turned ? 192 : 10;
    at[n_bytes - 1] = turned ? plan->hosts >> 3 & 7 : plan->hosts & 7;
    return at + n_bytes;
}

static inline uint8_t *put_ip(uint8_t *at, const struct frame_plan *plan, uint8_t protocol, uint32_t n_inside)
{
    int is_piece = plan->kind == KIND_FIRST_PIECE || plan->kind == KIND_LATER_PIECE;
    uint32_t piece = plan->kind == KIND_FIRST_PIECE ? 0x2000 : plan->kind == KIND_LATER_PIECE ? 100 : 0;
    if (plan->hosts & 64 && !is_piece) {
        at = put16(put32(at, 0x60000000), plan->wire & 128 ? 0 : n_inside);
        *at++ = protocol;
        *at++ = 64;
        return put_address(put_address(at, plan, 0, 16), plan, 1, 16);
    }
    *at++ = 0x45;
    *at++ = (uint8_t)(plan->flags & 0xB8);
    at = put16(at, plan->wire & 128 ? 0 : 20 + n_inside); /* 0: as cards that segment leave it */
    at = put16(put16(at, plan->number), piece);
    *at++ = 64;
    *at++ = protocol;
    at = put16(at, 0);
    return put_address(put_address(at, plan, 0, 4), plan, 1, 4);
}

static inline uint8_t *put_ports(uint8_t *at, const struct frame_plan *plan)
{
    static const uint16_t servers[] = {443, 53, 5060, 2152, 4789, 6081, 80, 3478, 27015, 22, 0, 65535, 1935, 445, 4790, 9};
    uint32_t client = 40000 + (plan->ports >> 4), server = servers[plan->ports & 15];
    return plan->hosts >> 7 ? put16(put16(at, server), client) : put16(put16(at, client), server);
}

static inline uint8_t *put_payload(uint8_t *at, const struct frame_plan *plan, uint32_t nth)
{
    static const uint8_t dns[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'w', 'w', 'w', 0};
    static const uint8_t stun[] = {0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    static const uint8_t tls[] = {0x16, 3, 1}, http[] = "GET / HTTP/1.1";
    uint32_t number = plan->number + nth;
    memset(at, plan->flags, PAYLOAD_BYTES);
    if (plan->kind == KIND_RTP) {
        put16(at, 0x8000 | (plan->flags & 0x7F));
        put32(put32(put16(at + 2, number), number * 160), plan->flags >> 7);
    } else if (plan->kind == KIND_DNS)
        memcpy(at, dns, sizeof dns);
    else if (plan->kind == KIND_QUIC)
        put32(at, 0xC0000000), at[4] = 1;
    else if (plan->kind == KIND_STUN)
        memcpy(at, stun, sizeof stun);
    else if (plan->kind == KIND_TCP && plan->ports & 16)
        memcpy(at, tls, sizeof tls);
    else if (plan->kind == KIND_TCP && plan->ports & 32)
        memcpy(at, http, sizeof http);
    return at + PAYLOAD_BYTES;
}

static inline uint8_t *put_tcp(uint8_t *at, const struct frame_plan *plan, uint32_t nth, uint32_t n_payload)
{
    at = put_ports(at, plan);
    at = put32(at, plan->number * 256u + nth * n_payload);
    at = put32(at, plan->wire * 64u);
    *at++ = 0x50;
    *at++ = plan->flags;
    at = put16(at, plan->size & 1 ? 0 : 512);
    return put32(at, 0);
}

static inline uint8_t *put_datagram(uint8_t *at, const struct frame_plan *plan, uint32_t nth, uint32_t n_payload)
{
    if (plan->kind == KIND_TCP) {
        at = put_tcp(put_ip(at, plan, 6, 20 + n_payload), plan, nth, n_payload);
        return put_payload(at, plan, nth);
    }
    if (plan->kind == KIND_ICMP)
        return put_payload(put_ip(at, plan, plan->flags, 8 + n_payload), plan, nth);
    at = put_ports(put_ip(at, plan, 17, 8 + n_payload), plan);
    return put_payload(put32(at, (8 + n_payload) << 16), plan, nth);
}

/* A tunnel between two other hosts: IPv4, UDP and GTP-U. */
static inline uint8_t *put_gtpu(uint8_t *at, const struct frame_plan *plan, uint32_t n_inside)
{
    struct frame_plan outer = {.hosts = 9, .number = plan->number};
    at = put_ip(at, &outer, 17, 16 + n_inside);
    at = put32(put32(at, 2152u << 16 | 2152), (16 + n_inside) << 16);
    return put32(put32(at, 0x30FF0000 | n_inside), plan->number);
}

/* The nth frame of a plan into `at` (MAX_FRAME_BYTES): Ethernet, its payload captured in part. */
static inline uint32_t put_frame(uint8_t *at, const struct frame_plan *plan, uint32_t nth, uint32_t *wire_len)
{
    uint8_t *begin = at, *inside;
    uint32_t n_payload = plan->size * 6u, n_bytes;
    memset(at, 2, 12);
    at += 12;
    if (plan->kind == KIND_VLAN)
        at = put16(put16(at, 0x8100), plan->number);
    at = put16(at, plan->hosts & 64 && plan->kind != KIND_GTPU ? 0x86DD : 0x0800);
    if (plan->kind == KIND_GTPU)
        at = put_gtpu(at, plan, (plan->hosts & 64 ? 40 : 20) + 8 + n_payload);
    inside = put_datagram(at, plan, nth, n_payload);
    n_bytes = (uint32_t)(inside - begin);
    *wire_len = n_bytes - PAYLOAD_BYTES + n_payload;
    return *wire_len < n_bytes ? *wire_len : n_bytes;
}

/* The nth packet of a plan; its bytes go to `room`, of MAX_FRAME_BYTES. */
static inline struct qoe_packet put_packet(uint8_t *room, const struct frame_plan *plan, uint32_t nth)
{
    static const uint32_t odd_lengths[] = {0, 1, 65535, UINT32_MAX};
    struct qoe_packet packet = {.data = room, .link_type = 1};
    if (plan->kind == KIND_RAW) {
        memcpy(room, plan->raw, plan->n_raw);
        packet.captured_len = packet.wire_len = plan->n_raw;
        packet.link_type = plan->link_type;
    } else if (plan->kind == KIND_NOTHING || plan->kind == KIND_NO_PLACE) {
        packet.data = NULL;
        packet.wire_len = plan->size;
        packet.captured_len = plan->kind == KIND_NO_PLACE ? plan->size : 0;
    } else
        packet.captured_len = put_frame(room, plan, nth, &packet.wire_len);
    if (plan->wire & 8)
        packet.wire_len = odd_lengths[plan->wire & 3];
    if (plan->wire & 16)
        packet.cell_hint = plan->number;
    return packet;
}

#endif
