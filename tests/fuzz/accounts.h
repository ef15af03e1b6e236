/* The books of one engine, kept outside it from what it is given and what it says, packet by packet and flow by flow,
 * and compared with its own. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include <math.h>

#include "entry.h"
#include "qoe.h"

enum { MAX_PACKETS = 20000, N_REASONS = QOE_INTERIM + 1 };

struct kept_flow {
    uint64_t id, n_packets, n_bytes, first_ns, last_ns;
    int is_over;
};

struct accounts {
    uint64_t n_given;           /* packets, of whatever shard */
    uint64_t n_ours, n_bytes, by_status[QOE_PKT_N_STATUS], zero_length, clock_back;
    uint64_t now_ns;
    uint64_t n_flows, n_ended, by_reason[N_REASONS];
    uint64_t n_chunks, n_chunks_of_flows, n_decisions;
    int blind;                  /* a burst went in without verdicts: what it did is unknown */
    int shared;                 /* other shards' packets, of which verdicts tell nothing, may have moved the clock */
    struct kept_flow flows[MAX_PACKETS]; /* in the order of their numbers, which is that in which they began */
};

/* The flow of a number; NULL when none has it. */
static inline struct kept_flow *find_kept(struct accounts *a, uint64_t id)
{
    uint64_t low = 0, high = a->n_flows;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (a->flows[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < a->n_flows && a->flows[low].id == id ? &a->flows[low] : NULL;
}

/* The same; an unknown number must be higher than all before, and begins a flow. */
static inline struct kept_flow *keep_flow(struct accounts *a, const struct qoe_verdict *verdict, uint64_t ts_ns)
{
    struct kept_flow *kept = find_kept(a, verdict->flow_id);
    if (kept)
        return kept;
    CLAIM(a->n_flows < MAX_PACKETS && (a->n_flows == 0 || verdict->flow_id > a->flows[a->n_flows - 1].id));
    CLAIM(verdict->direction == 0);
    kept = &a->flows[a->n_flows++];
    *kept = (struct kept_flow){.id = verdict->flow_id, .first_ns = ts_ns};
    return kept;
}

/* The clock ends where 63 bits do. */
static inline uint64_t within_time(uint64_t ns)
{
    return ns < INT64_MAX ? ns : INT64_MAX;
}

static inline void expect_finite(const float *numbers, int n)
{
    for (int i = 0; i < n; i++)
        CLAIM(isfinite(numbers[i]) && numbers[i] >= 0);
}

static inline void expect_sane(const struct qoe_flow *f)
{
    CLAIM(f->app_class < QOE_N_CLASSES && f->state <= QOE_REVISED && f->end_reason <= QOE_INTERIM);
    CLAIM(f->ip_version == 4 || f->ip_version == 6);
    CLAIM(f->confidence >= 0 && f->confidence <= 1);
    CLAIM(f->n_first == (f->packets_forward + f->packets_reverse < QOE_N_FIRST
                             ? f->packets_forward + f->packets_reverse : QOE_N_FIRST));
    CLAIM(!(f->flags & QOE_ONE_WAY) == (f->packets_reverse > 0));
    CLAIM(f->decided_after_packets <= f->packets_forward + f->packets_reverse);
    expect_finite(f->probability, QOE_N_CLASSES);
    expect_finite(&f->size_std_forward, 8); /* to iat_max_us_reverse */
    expect_finite(&f->chunk_bytes_mean, 3); /* to chunk_gap_mean_s */
    expect_finite(&f->rtp_jitter_us_forward, 2);
    CLAIM(f->rtt_min_us <= f->rtt_mean_us + 2 && f->rtp_loss_runs_forward <= f->packets_forward);
}

/* What a burst's verdicts say. Without any the packets are counted, and the books are blind from then on. */
static inline void book_burst(struct accounts *a, const struct qoe_packet *packets, uint32_t n,
                              const struct qoe_verdict *verdicts)
{
    a->n_given += n;
    a->blind |= verdicts == NULL && n > 0;
    for (uint32_t i = 0; i < n && !a->blind; i++) {
        const struct qoe_verdict *v = &verdicts[i];
        struct kept_flow *kept;
        uint64_t ts_ns = within_time(packets[i].ts_ns);
        CLAIM(v->status < QOE_PKT_N_STATUS && v->app_class < QOE_N_CLASSES && v->state <= QOE_REVISED);
        a->by_status[v->status]++;
        if (v->status == QOE_PKT_OTHER_SHARD) {
            a->shared = 1;
            continue;
        }
        a->n_ours++;
        a->n_bytes += packets[i].wire_len;
        CLAIM((v->flow_id == 0) == (v->status != QOE_PKT_FLOW));
        if (v->flow_id == 0) {
            a->zero_length += packets[i].captured_len == 0;
            continue;
        }
        kept = keep_flow(a, v, ts_ns);
        CLAIM(!kept->is_over && v->direction <= 1);
        kept->n_packets++;
        kept->n_bytes += packets[i].wire_len;
        kept->last_ns = ts_ns > kept->last_ns ? ts_ns : kept->last_ns;
        a->clock_back += ts_ns < a->now_ns;
        a->now_ns = ts_ns;
    }
}

/* A record of a live flow, or of one that is over. */
static inline void book_flow(struct accounts *a, const struct qoe_flow *f)
{
    struct kept_flow *kept = find_kept(a, f->flow_id);
    expect_sane(f);
    a->by_reason[f->end_reason]++;
    if (f->end_reason != QOE_LIVE && f->end_reason != QOE_INTERIM) {
        CLAIM(f->state >= QOE_FINAL);
        a->n_ended++;
        a->n_chunks_of_flows += f->n_chunks;
    }
    if (a->blind)
        return;
    CLAIM(kept != NULL && !kept->is_over);
    CLAIM(f->packets_forward + f->packets_reverse == kept->n_packets);
    CLAIM(f->bytes_forward + f->bytes_reverse == kept->n_bytes);
    CLAIM(f->first_ns == kept->first_ns && f->last_ns == kept->last_ns);
    kept->is_over = f->end_reason != QOE_LIVE && f->end_reason != QOE_INTERIM;
}

/* The engine's counters beside ours, at any moment. */
static inline void expect_counters(const struct accounts *a, const struct qoe_counters *c)
{
    uint64_t n_ours = 0;
    for (int i = 0; i < QOE_PKT_N_STATUS; i++)
        n_ours += i == QOE_PKT_OTHER_SHARD ? 0 : c->by_status[i];
    CLAIM(c->packets == n_ours && n_ours + c->by_status[QOE_PKT_OTHER_SHARD] == a->n_given);
    CLAIM(c->fragments_unmatched <= c->fragments);
    CLAIM(c->flows_interim == a->by_reason[QOE_INTERIM]);
    if (a->blind)
        return;
    CLAIM(memcmp(c->by_status, a->by_status, sizeof c->by_status) == 0);
    CLAIM(c->packets == a->n_ours && c->bytes == a->n_bytes && c->zero_length == a->zero_length);
    CLAIM(c->flows_created == a->n_flows && (a->shared || c->clock_back == a->clock_back));
}

/* At the end, when all flows were flushed and all there is was fetched. */
static inline void expect_balance(const struct accounts *a, const struct qoe_counters *c, int traced)
{
    uint64_t n_over = c->flows_idle + c->flows_active_timeout + c->flows_evicted + c->flows_flushed;
    uint64_t n_packets = 0;
    expect_counters(a, c);
    CLAIM(c->flows_created == n_over && n_over == a->n_ended + c->exports_lost);
    CLAIM(!traced || c->decisions == a->n_decisions + c->decisions_lost);
    CLAIM(c->exports_lost || a->n_chunks_of_flows == a->n_chunks + c->chunks_lost);
    CLAIM(c->flows_idle >= a->by_reason[QOE_IDLE_TIMEOUT] && c->flows_evicted >= a->by_reason[QOE_EVICTED]);
    CLAIM(c->flows_active_timeout >= a->by_reason[QOE_ACTIVE_TIMEOUT]);
    CLAIM(c->flows_flushed >= a->by_reason[QOE_FLUSHED]);
    if (a->blind)
        return;
    for (uint64_t i = 0; i < a->n_flows; i++)
        n_packets += a->flows[i].n_packets;
    CLAIM(n_packets == c->by_status[QOE_PKT_FLOW]);
}

#endif
