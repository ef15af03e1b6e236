/* A byte string as a program of calls on one engine: a configuration, then bursts of any packets at any times, with
 * whatever a host may do between them, and in the end the accounts (accounts.h). Nothing is refused that a host could
 * do with memory of its own; what the functions must refuse is asked for, too. */
#include "accounts.h"
#include "configuration.h"
#include "frames.h"

enum { MAX_BURST = 256, MAX_FETCHED = 32, MAX_BEARERS = 8, N_BEARERS = 64 };

struct host {
    struct input in;
    struct qoe_engine *engine;
    struct qoe_engine *sibling; /* the other shard, where there are two; else NULL */
    struct qoe_config config;
    struct accounts accounts;
    uint64_t clock_ns, cursor;
    float weights[N_BEARERS];
};

static void create(struct host *host)
{
    uint8_t *model = NULL;
    int code;
    memory.n_refused = 0;
    memory.granted = 0;
    host->config = read_config(&host->in, &model);
    host->engine = (struct qoe_engine *)host;
    memory.armed = 1;
    code = qoe_engine_create(&host->engine, &host->config);
    memory.armed = 0;
    free(model); /* the engine has a copy */
    CLAIM(code == promised(&host->config, memory.n_refused));
    CLAIM((code == QOE_OK) == (host->engine != NULL) && strlen(qoe_strerror(code)) > 5);
}

/* Of two shards with one seed, the other one. */
static void create_sibling(struct host *host)
{
    struct qoe_config config = host->config;
    if (config.n_shards != 2 || config.seed == 0)
        return;
    config.shard ^= 1;
    config.model = NULL;
    CLAIM(qoe_engine_create(&host->sibling, &config) == QOE_OK);
}

/* A packet is for one of them. */
static void expect_shared(const struct host *host, const struct qoe_packet *packets, uint32_t n,
                          const struct qoe_verdict *verdicts)
{
    struct qoe_verdict others[MAX_BURST];
    if (!host->sibling)
        return;
    CLAIM(qoe_engine_process_burst(host->sibling, packets, n, others) == (int)n);
    for (uint32_t i = 0; i < n && verdicts; i++)
        CLAIM((verdicts[i].status == QOE_PKT_OTHER_SHARD) != (others[i].status == QOE_PKT_OTHER_SHARD));
}

static uint64_t tick(struct host *host, uint64_t step_ns, int back)
{
    return host->clock_ns = back ? host->clock_ns - step_ns : host->clock_ns + step_ns;
}

static uint32_t fill_burst(struct host *host, struct qoe_packet *burst, uint8_t (*room)[MAX_FRAME_BYTES])
{
    uint32_t n_plans = 1 + (uint32_t)take(&host->in, 1) % 4, n = 0;
    for (uint32_t i = 0; i < n_plans; i++) {
        struct frame_plan plan = read_plan(&host->in);
        uint32_t n_times = 1 + (uint32_t)take(&host->in, 1) % 64;
        uint64_t step_ns = take_magnitude(&host->in);
        for (uint32_t nth = 0; nth < n_times && host->accounts.n_given + n < MAX_PACKETS; nth++, n++) {
            burst[n] = put_packet(room[n], &plan, nth);
            burst[n].ts_ns = tick(host, step_ns, plan.wire & 32 && nth & 1);
            if (burst[n].data)
                burst[n].data = heap_copy(burst[n].data, burst[n].captured_len);
            plan.hosts ^= plan.wire & 64 ? 128 : 0; /* a conversation */
        }
    }
    return n;
}

static void process(struct host *host)
{
    static uint8_t room[MAX_BURST][MAX_FRAME_BYTES];
    struct qoe_packet packets[MAX_BURST];
    struct qoe_verdict *verdicts = NULL;
    uint32_t n = fill_burst(host, packets, room);
    if (take(&host->in, 1) % 16)
        verdicts = malloc(n * sizeof *verdicts + 1);
    CLAIM(qoe_engine_process_burst(host->engine, packets, n, verdicts) == (int)n);
    expect_shared(host, packets, n, verdicts);
    book_burst(&host->accounts, packets, n, verdicts);
    for (uint32_t i = 0; i < n; i++)
        free((void *)packets[i].data);
    free(verdicts);
}

/* Verdicts somewhere in, behind or before the packets: refused where the two share a byte. */
static void process_overlapping(struct host *host)
{
    enum { N = 4, ROOM = N * sizeof(struct qoe_packet) };
    uint8_t *room = calloc(3, ROOM);
    struct qoe_packet *packets = (struct qoe_packet *)(room + ROOM);
    size_t offset = (size_t)take(&host->in, 1) * 8 % (2 * ROOM + 8);
    struct qoe_verdict *verdicts = (struct qoe_verdict *)(room + offset), copy[N];
    int apart = offset + N * sizeof *verdicts <= ROOM || offset >= 2 * ROOM, n;
    CLAIM(room != NULL);
    n = qoe_engine_process_burst(host->engine, packets, N, verdicts);
    CLAIM(n == (apart ? N : QOE_EINVAL));
    if (apart) {
        memcpy(copy, verdicts, sizeof copy);
        book_burst(&host->accounts, packets, N, copy);
    }
    free(room);
}

static void fetch_flows(struct host *host, int live)
{
    uint32_t capacity = (uint32_t)take(&host->in, 1) % (MAX_FETCHED + 1);
    struct qoe_flow *flows = malloc(capacity * sizeof *flows + 1);
    uint64_t before = host->cursor, since_ns = live ? take_magnitude(&host->in) : 0;
    int n = live ? qoe_engine_snapshot(host->engine, flows, capacity, since_ns, &host->cursor)
                 : qoe_engine_export(host->engine, flows, capacity);
    CLAIM(n >= 0 && (uint32_t)n <= capacity);
    CLAIM(!live || (host->cursor >= before && (capacity || host->cursor == before)));
    for (int i = 0; i < n; i++) {
        CLAIM(!live || (flows[i].end_reason == QOE_LIVE && flows[i].last_ns >= since_ns));
        CLAIM(live || flows[i].end_reason != QOE_LIVE);
        book_flow(&host->accounts, &flows[i]);
    }
    free(flows);
}

static int fetch_chunks(struct host *host, uint32_t capacity)
{
    struct qoe_chunk *chunks = malloc(capacity * sizeof *chunks + 1);
    int n = qoe_engine_chunks(host->engine, chunks, capacity);
    CLAIM(n >= 0 && (uint32_t)n <= capacity);
    for (int i = 0; i < n; i++)
        CLAIM(chunks[i].bytes >= 20000 && chunks[i].flow_id >= 1 && chunks[i].direction <= 1);
    host->accounts.n_chunks += (uint64_t)n;
    free(chunks);
    return n;
}

static int fetch_decisions(struct host *host, uint32_t capacity)
{
    struct qoe_decision *decisions = malloc(capacity * sizeof *decisions + 1);
    int n = qoe_engine_decisions(host->engine, decisions, capacity);
    CLAIM(n >= 0 && (uint32_t)n <= capacity);
    for (int i = 0; i < n; i++) {
        CLAIM(decisions[i].app_class < QOE_N_CLASSES && decisions[i].packets > 0 && decisions[i].flow_id >= 1);
        expect_finite(decisions[i].features, 38); /* the first packets' sizes have a sign */
        expect_finite(decisions[i].features + 50, QOE_N_FEATURES - 50);
    }
    host->accounts.n_decisions += (uint64_t)n;
    free(decisions);
    return n;
}

static void set_weights(struct host *host)
{
    static const float odd[] = {NAN, INFINITY, -1, 0};
    uint32_t bearers[MAX_BEARERS], n = (uint32_t)take(&host->in, 1) % (MAX_BEARERS + 1), bearer;
    float weights[MAX_BEARERS], was;
    int sound = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t code = (uint32_t)take(&host->in, 1);
        bearers[i] = code >= 252 ? UINT32_MAX : code % N_BEARERS;
        code = (uint32_t)take(&host->in, 1);
        weights[i] = code >= 252 ? odd[code - 252] : (float)code / 16;
        sound &= bearers[i] != UINT32_MAX && weights[i] >= 0 && isfinite(weights[i]);
    }
    CLAIM(qoe_engine_set_weights(host->engine, bearers, weights, n) == (sound ? (int)n : QOE_EINVAL));
    for (uint32_t i = 0; i < n && sound; i++)
        host->weights[bearers[i]] = weights[i];
    for (bearer = 0; bearer < N_BEARERS; bearer++) {
        was = qoe_engine_get_weight(host->engine, bearer);
        CLAIM(was == host->weights[bearer]);
    }
}

static void count(struct host *host)
{
    struct qoe_counters counters;
    CLAIM(qoe_engine_counters(host->engine, &counters) == QOE_OK);
    expect_counters(&host->accounts, &counters);
}

static void advance(struct host *host, uint64_t now_ns)
{
    host->clock_ns = now_ns;
    host->accounts.now_ns = within_time(now_ns);
    CLAIM(qoe_engine_advance(host->engine, now_ns) >= 0);
}

/* Calls that must be refused and leave no trace; `engine` may be NULL. */
static void misuse(struct qoe_engine *engine)
{
    struct qoe_packet packet = {0};
    struct qoe_flow flow;
    uint64_t cursor = 0;
    CLAIM(qoe_engine_process_burst(engine, NULL, 1, NULL) == QOE_EINVAL);
    CLAIM(qoe_engine_process_burst(engine, &packet, 0x80000000u, NULL) == QOE_EINVAL);
    CLAIM(qoe_engine_process_burst(NULL, &packet, 1, NULL) == QOE_EINVAL);
    CLAIM(qoe_engine_snapshot(engine, NULL, 1, 0, &cursor) == QOE_EINVAL);
    CLAIM(qoe_engine_snapshot(engine, &flow, 1, 0, NULL) == QOE_EINVAL);
    CLAIM(qoe_engine_snapshot(NULL, &flow, 1, 0, &cursor) == QOE_EINVAL);
    CLAIM(qoe_engine_export(engine, NULL, 1) == QOE_EINVAL && qoe_engine_export(NULL, &flow, 1) == QOE_EINVAL);
    CLAIM(qoe_engine_chunks(engine, NULL, 1) == QOE_EINVAL && qoe_engine_chunks(NULL, NULL, 0) == QOE_EINVAL);
    CLAIM(qoe_engine_decisions(engine, NULL, 1) == QOE_EINVAL && qoe_engine_decisions(NULL, NULL, 0) == QOE_EINVAL);
    CLAIM(qoe_engine_counters(engine, NULL) == QOE_EINVAL && qoe_engine_counters(NULL, NULL) == QOE_EINVAL);
    CLAIM(qoe_engine_set_weights(engine, NULL, NULL, 1) == QOE_EINVAL);
    CLAIM(qoe_engine_advance(NULL, 1) == QOE_EINVAL && qoe_engine_flush(NULL, 1) == QOE_EINVAL);
    CLAIM(qoe_engine_get_weight(NULL, 1) == 1 && qoe_engine_get_weight(engine, UINT32_MAX) == 1);
    CLAIM(qoe_engine_create(NULL, NULL) == QOE_EINVAL);
}

static void step(struct host *host)
{
    switch (take(&host->in, 1) % 16) {
    case 0: case 1: case 2: case 3: case 4:
        process(host);
        break;
    case 5:
        process_overlapping(host);
        break;
    case 6:
        advance(host, tick(host, take_magnitude(&host->in), 0));
        break;
    case 7:
        advance(host, take(&host->in, 8));
        break;
    case 8:
        fetch_flows(host, 1);
        break;
    case 9:
        host->cursor = take_magnitude(&host->in);
        break;
    case 10:
        fetch_flows(host, 0);
        break;
    case 11:
        CLAIM(qoe_engine_flush(host->engine, (uint32_t)take(&host->in, 1)) >= 0);
        break;
    case 12:
        fetch_chunks(host, (uint32_t)take(&host->in, 1) % MAX_FETCHED);
        break;
    case 13:
        fetch_decisions(host, (uint32_t)take(&host->in, 1) % MAX_FETCHED);
        break;
    case 14:
        set_weights(host);
        break;
    default:
        misuse(host->engine);
        count(host);
    }
}

/* Ends everything, takes everything, and balances the books. */
static void close_books(struct host *host)
{
    struct qoe_counters counters;
    struct qoe_flow flow;
    uint64_t n_live = 0;
    host->cursor = 0;
    for (; qoe_engine_snapshot(host->engine, &flow, 1, 0, &host->cursor) == 1; n_live++)
        book_flow(&host->accounts, &flow);
    CLAIM(qoe_engine_flush(host->engine, UINT32_MAX) == (int)n_live);
    while (qoe_engine_export(host->engine, &flow, 1) == 1)
        book_flow(&host->accounts, &flow);
    while (fetch_chunks(host, MAX_FETCHED) + fetch_decisions(host, MAX_FETCHED) > 0)
        continue;
    CLAIM(qoe_engine_counters(host->engine, &counters) == QOE_OK);
    expect_balance(&host->accounts, &counters, (host->config.options & QOE_TRACE_FEATURES) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static struct host host;
    memset(&host, 0, offsetof(struct host, accounts) + offsetof(struct accounts, flows));
    host.in = (struct input){data, data + n_bytes};
    host.clock_ns = host.cursor = 0;
    for (int i = 0; i < N_BEARERS; i++)
        host.weights[i] = 1;
    create(&host);
    if (!host.engine) {
        misuse(NULL);
        return 0;
    }
    create_sibling(&host);
    while (bytes_left(&host.in))
        step(&host);
    close_books(&host);
    qoe_engine_destroy(host.engine);
    qoe_engine_destroy(host.sibling);
    return 0;
}
