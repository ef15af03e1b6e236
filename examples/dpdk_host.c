/* dpdk_host.c: a shaper on DPDK that gives each bearer its weight's part of a link.
 *
 *     make dpdk_host
 *     ./dpdk_host -l 0 --no-huge -m 512 --no-shconf --no-pci --no-telemetry \
 *         --vdev=net_pcap0,rx_pcap=IN.pcap,tx_pcap=OUT.pcap -- --rate 3e6 10.0.0.1=3 10.0.0.2=1 10.0.0.2/voip=4
 *
 * Polls bursts of Ethernet frames from port 0 (IN.pcap must hold such), shows them to the engine, queues each packet
 * with its bearer and sends what a link of RATE bit/s can take, in the order of a deficit round robin (Shreedhar and Varghese, 1996) whose quanta are the bearers'
 * weights. A bearer is one subscriber's traffic of one class; subscribers are the destinations named on the command
 * line, all others together are one more. Ends at Ctrl-C, or when no packet came for a second, as after a file's end.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include <qoe.h>

enum {
    BURST = 32,
    N_MBUFS = 16383,
    QUEUE = 128, /* packets a bearer may keep waiting; then it drops its own newest */
    MAX_SUBSCRIBERS = 64,
    N_BEARERS = (MAX_SUBSCRIBERS + 1) * QOE_N_CLASSES,
    QUANTUM_BYTES = 1514, /* a turn of a bearer of weight 1 */
};
#define LEAST_WEIGHT 0.01f /* a weight of 0 still gets a turn now and then, so that nothing waits for ever */
#define SECOND_NS UINT64_C(1000000000)

static const char *const class_names[QOE_N_CLASSES] = {"unknown", "video", "voip", "gaming", "web", "bulk", "other"};

struct bearer {
    struct rte_mbuf *queue[QUEUE];
    uint32_t first, n;
    bool in_turn; /* this turn's quantum has been added */
    double deficit_bytes;
    uint64_t offered_bytes, sent_bytes, dropped_bytes;
};

struct host {
    struct qoe_engine *engine;
    uint32_t subscribers[MAX_SUBSCRIBERS]; /* addresses in network order; bearers of number 0 are everyone else's */
    uint32_t n_subscribers;
    struct bearer bearers[N_BEARERS];
    uint16_t turns[N_BEARERS]; /* ring of the bearers that have something to send */
    uint32_t first_turn, n_turns, n_queued;
    struct rte_mbuf *tx[BURST];
    uint16_t n_tx;
    double rate_bps, credit_bytes; /* what the link can take now */
    uint64_t now_ns, next_tick_ns, n_flows, n_packets;
    int timestamp_offset; /* where net_pcap writes a packet's time of capture; -1 for another driver */
};

static struct host host = {.rate_bps = 10e6, .timestamp_offset = -1};
static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static uint32_t check(int code, const char *what)
{
    if (code < 0)
        rte_exit(EXIT_FAILURE, "dpdk_host: %s: %s\n", what, qoe_strerror(code));
    return (uint32_t)code;
}

/* -- Who: packets to bearers. */

static uint32_t bearer_number(uint32_t subscriber, uint32_t app_class)
{
    return subscriber * QOE_N_CLASSES + app_class;
}

/* 1 + the index of the address; 0 when it was not named. A host with many subscribers would use rte_hash. */
static uint32_t find_subscriber(uint32_t address)
{
    for (uint32_t i = 0; i < host.n_subscribers; i++)
        if (host.subscribers[i] == address)
            return i + 1;
    return 0;
}

static uint32_t subscriber_of(const struct rte_mbuf *m)
{
    const struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    struct rte_ipv4_hdr ip;
    if (rte_pktmbuf_data_len(m) < sizeof *ethernet + sizeof ip || ethernet->ether_type != htons(RTE_ETHER_TYPE_IPV4))
        return 0;
    memcpy(&ip, ethernet + 1, sizeof ip);
    return find_subscriber(ip.dst_addr);
}

/* -- When: the processor's time; of a packet out of a file, the file's. */

static uint64_t clock_ns(void)
{
    return (uint64_t)((double)rte_get_timer_cycles() * 1e9 / (double)rte_get_timer_hz());
}

static uint64_t time_of(const struct rte_mbuf *m)
{
    if (host.timestamp_offset >= 0) /* net_pcap writes microseconds since 1970 */
        return *RTE_MBUF_DYNFIELD(m, host.timestamp_offset, const rte_mbuf_timestamp_t *) * 1000;
    return clock_ns();
}

/* -- What is sent when: deficit round robin within the link's rate. */

static void flush_tx(void)
{
    uint16_t n_taken = rte_eth_tx_burst(0, 0, host.tx, host.n_tx);
    if (n_taken < host.n_tx)
        rte_pktmbuf_free_bulk(host.tx + n_taken, host.n_tx - n_taken);
    host.n_tx = 0;
}

static void enqueue(struct rte_mbuf *m, uint32_t number)
{
    struct bearer *b = &host.bearers[number];
    b->offered_bytes += rte_pktmbuf_pkt_len(m);
    if (b->n == QUEUE || host.n_queued == N_MBUFS / 2) {
        b->dropped_bytes += rte_pktmbuf_pkt_len(m);
        rte_pktmbuf_free(m);
        return;
    }
    if (b->n == 0)
        host.turns[(host.first_turn + host.n_turns++) % N_BEARERS] = (uint16_t)number;
    b->queue[(b->first + b->n++) % QUEUE] = m;
    host.n_queued++;
}

static void send_first(struct bearer *b)
{
    struct rte_mbuf *m = b->queue[b->first];
    b->first = (b->first + 1) % QUEUE;
    b->n--;
    b->deficit_bytes -= rte_pktmbuf_pkt_len(m);
    b->sent_bytes += rte_pktmbuf_pkt_len(m);
    host.credit_bytes -= rte_pktmbuf_pkt_len(m);
    host.n_queued--;
    host.tx[host.n_tx++] = m;
    if (host.n_tx == BURST)
        flush_tx();
}

/* Sends while the link is free; a turn that it cuts short goes on here next time. */
static void serve(void)
{
    while (host.n_turns) {
        uint16_t number = host.turns[host.first_turn];
        struct bearer *b = &host.bearers[number];
        if (!b->in_turn) /* the weight as it is now: another thread may set it at any time */
            b->deficit_bytes += QUANTUM_BYTES * RTE_MAX(qoe_engine_get_weight(host.engine, number), LEAST_WEIGHT);
        b->in_turn = true;
        while (b->n && rte_pktmbuf_pkt_len(b->queue[b->first]) <= b->deficit_bytes) {
            if (host.credit_bytes < rte_pktmbuf_pkt_len(b->queue[b->first]))
                return;
            send_first(b);
        }
        b->in_turn = false;
        host.first_turn = (host.first_turn + 1) % N_BEARERS;
        host.n_turns--;
        if (b->n)
            host.turns[(host.first_turn + host.n_turns++) % N_BEARERS] = number;
        else
            b->deficit_bytes = 0; /* who waits for nothing saves nothing */
    }
}

/* Time goes on: the link has room again, up to 2 ms of it saved, and flows that fell silent end. */
static void move_clock(uint64_t now_ns)
{
    struct qoe_flow ended[BURST];
    double most = RTE_MAX(2.0 * RTE_ETHER_MAX_LEN, host.rate_bps * 2e-3 / 8);
    if (host.now_ns && now_ns > host.now_ns)
        host.credit_bytes += (double)(now_ns - host.now_ns) * host.rate_bps / 8e9;
    host.credit_bytes = RTE_MIN(host.credit_bytes, most);
    host.now_ns = now_ns;
    if (now_ns >= host.next_tick_ns) {
        check(qoe_engine_advance(host.engine, now_ns), "advance");
        for (uint32_t n; (n = check(qoe_engine_export(host.engine, ended, BURST), "export")) > 0;)
            host.n_flows += n; /* a probe would write them out here */
        host.next_tick_ns = now_ns + SECOND_NS;
    }
}

static void take(struct rte_mbuf **mbufs, uint16_t n)
{
    struct qoe_packet packets[BURST];
    struct qoe_verdict verdicts[BURST];
    for (uint16_t i = 0; i < n; i++)
        packets[i] = (struct qoe_packet){
            .data = rte_pktmbuf_mtod(mbufs[i], const uint8_t *),
            .captured_len = rte_pktmbuf_data_len(mbufs[i]), /* of a chained packet, its first part */
            .wire_len = rte_pktmbuf_pkt_len(mbufs[i]),
            .ts_ns = time_of(mbufs[i]),
            .link_type = 1,
        };
    check(qoe_engine_process_burst(host.engine, packets, n, verdicts), "process_burst");
    host.n_packets += n;
    for (uint16_t i = 0; i < n; i++) {
        /* when a flow's class becomes known it goes on in another queue; once, a packet may overtake another */
        enqueue(mbufs[i], bearer_number(subscriber_of(mbufs[i]), verdicts[i].app_class));
        move_clock(packets[i].ts_ns);
        serve();
    }
}

static void run(void)
{
    struct rte_mbuf *mbufs[BURST];
    uint64_t last_ns = clock_ns();
    while (!stopped && clock_ns() - last_ns < SECOND_NS) {
        uint16_t n = rte_eth_rx_burst(0, 0, mbufs, BURST);
        if (n) {
            last_ns = clock_ns();
            take(mbufs, n);
        } else if (host.timestamp_offset < 0) { /* a file's time stands still between its packets */
            move_clock(clock_ns());
            serve();
        }
        flush_tx();
    }
}

/* Overloaded are those that had to drop: of what they got together, each should have its weight's part. */
static void report(void)
{
    double weights = 0, got = 0;
    uint64_t offered = 0, sent = 0, dropped = 0, left = 0;
    for (uint32_t i = 0; i < N_BEARERS; i++)
        if (host.bearers[i].dropped_bytes) {
            weights += (double)qoe_engine_get_weight(host.engine, i);
            got += (double)host.bearers[i].sent_bytes;
        }
    printf("subscriber       class    weight    offered       sent    dropped   share  by weight\n");
    for (uint32_t i = 0; i < N_BEARERS; i++) {
        const struct bearer *b = &host.bearers[i];
        uint32_t subscriber = i / QOE_N_CLASSES;
        char name[INET_ADDRSTRLEN] = "others";
        double weight = (double)qoe_engine_get_weight(host.engine, i);
        if (!b->offered_bytes)
            continue;
        if (subscriber)
            inet_ntop(AF_INET, &host.subscribers[subscriber - 1], name, sizeof name);
        printf("%-16s %-7s %7.2f %10" PRIu64 " %10" PRIu64 " %10" PRIu64, name, class_names[i % QOE_N_CLASSES], weight,
               b->offered_bytes, b->sent_bytes, b->dropped_bytes);
        if (b->dropped_bytes)
            printf(" %5.1f %%    %5.1f %%", 100 * (double)b->sent_bytes / got, 100 * weight / weights);
        printf("\n");
        offered += b->offered_bytes;
        sent += b->sent_bytes;
        dropped += b->dropped_bytes;
    }
    for (uint32_t i = 0; i < N_BEARERS; i++)
        for (struct bearer *b = &host.bearers[i]; b->n; b->first = (b->first + 1) % QUEUE, b->n--) {
            left += rte_pktmbuf_pkt_len(b->queue[b->first]);
            rte_pktmbuf_free(b->queue[b->first]);
        }
    printf("%" PRIu64 " packets, %" PRIu64 " bytes: %" PRIu64 " sent, %" PRIu64 " dropped, %" PRIu64
           " left in the queues; %" PRIu64 " flows ended\n",
           host.n_packets, offered, sent, dropped, left, host.n_flows);
}

/* -- Setting up. */

static void usage(const char *wrong)
{
    rte_exit(EXIT_FAILURE, "dpdk_host: %s: give --rate BPS --model FILE ADDRESS[/CLASS]=WEIGHT... after --\n", wrong);
}

/* ADDRESS=WEIGHT, for all classes, or ADDRESS/CLASS=WEIGHT. */
static void set_weight(char *term)
{
    char *value = strchr(term, '='), *name = strchr(term, '/'), *end;
    uint32_t address, subscriber;
    float weight;
    bool known = !name;
    if (!value)
        usage(term);
    *value++ = 0;
    weight = strtof(value, &end);
    if (name)
        *name++ = 0;
    if (end == value || *end || inet_pton(AF_INET, term, &address) != 1)
        usage(term);
    subscriber = find_subscriber(address);
    if (!subscriber) {
        if (host.n_subscribers == MAX_SUBSCRIBERS)
            rte_exit(EXIT_FAILURE, "dpdk_host: %s: at most %d subscribers\n", term, MAX_SUBSCRIBERS);
        host.subscribers[host.n_subscribers++] = address;
        subscriber = host.n_subscribers;
    }
    for (uint32_t c = 0; c < QOE_N_CLASSES; c++)
        if (!name || strcmp(name, class_names[c]) == 0) {
            uint32_t number = bearer_number(subscriber, c);
            check(qoe_engine_set_weights(host.engine, &number, &weight, 1), term);
            known = true;
        }
    if (!known)
        usage(name);
}

static void make_engine(const char *model_path)
{
    struct qoe_config config = {.struct_size = sizeof config, .max_flows = 65536, .idle_timeout_ns = 60 * SECOND_NS};
    static uint8_t model[8 << 20];
    FILE *file = model_path ? fopen(model_path, "rb") : NULL;
    if (file) {
        config.model = model;
        config.model_bytes = fread(model, 1, sizeof model, file);
        fclose(file);
    }
    if (model_path && !config.model_bytes)
        rte_exit(EXIT_FAILURE, "dpdk_host: cannot read the model %s\n", model_path);
    check(qoe_engine_create(&host.engine, &config), "create");
}

static void start_port(void)
{
    struct rte_eth_conf config = {0};
    struct rte_eth_dev_info info;
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("mbufs", N_MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (!pool || !rte_eth_dev_is_valid_port(0) || rte_eth_dev_configure(0, 1, 1, &config) != 0 ||
        rte_eth_rx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL, pool) != 0 ||
        rte_eth_tx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL) != 0 || rte_eth_dev_start(0) != 0)
        rte_exit(EXIT_FAILURE, "dpdk_host: cannot start port 0: is there a --vdev or a bound device, and memory?\n");
    if (rte_eth_dev_info_get(0, &info) == 0 && strcmp(info.driver_name, "net_pcap") == 0)
        host.timestamp_offset = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rate", 1, NULL, 'r'}, {"model", 1, NULL, 'm'}, {0}};
    const char *model = NULL;
    int n_eal = rte_eal_init(argc, argv), option;
    if (n_eal < 0)
        return EXIT_FAILURE; /* EAL has said why */
    argc -= n_eal;
    argv += n_eal;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (option == 'r')
            host.rate_bps = strtod(optarg, NULL);
        else if (option == 'm')
            model = optarg;
        else
            usage("unknown option");
    if (!(host.rate_bps > 0))
        usage("--rate");
    make_engine(model);
    while (optind < argc)
        set_weight(argv[optind++]);
    start_port();
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    run();
    report();
    rte_eth_dev_stop(0);
    rte_eth_dev_close(0);
    qoe_engine_destroy(host.engine);
    rte_eal_cleanup();
    return EXIT_SUCCESS;
}
