// cpp_host.cpp: a packet host in C++17 on two cores, without an interpreter.
//
//     make cpp_host && ./cpp_host
//
// An engine is one thread's, so two threads have two engines and share nothing: the dispatcher gives each flow, in
// both of its directions, to one of them. In a NIC this is what symmetric RSS does.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <future>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <qoe.h>

#include "traffic.h"

namespace {

constexpr std::uint32_t n_shards = 2;
constexpr std::uint64_t seed = 1; // of the shards: a live host takes a random one, so that nobody can choose a core
constexpr std::uint32_t n_subscribers = 8;
constexpr std::uint32_t n_seconds = 10;
constexpr std::size_t burst_size = 32;
constexpr std::uint64_t second_ns = 1'000'000'000;

// What a negative code of the library becomes.
class EngineError : public std::runtime_error {
public:
    EngineError(const std::string &what, int code) : std::runtime_error(what + ": " + qoe_strerror(code)) {}
};

std::uint32_t checked(const char *what, int code)
{
    if (code < 0)
        throw EngineError(what, code);
    return static_cast<std::uint32_t>(code);
}

// Owns an engine. Movable, not copyable; used by one thread at a time.
class Engine {
public:
    explicit Engine(qoe_config config)
    {
        config.struct_size = sizeof config;
        qoe_engine *made = nullptr;
        checked("create", qoe_engine_create(&made, &config));
        engine_.reset(made);
    }

    void process(const std::vector<qoe_packet> &burst, std::vector<qoe_verdict> &verdicts)
    {
        verdicts.resize(burst.size());
        const auto n = static_cast<std::uint32_t>(burst.size());
        checked("process_burst", qoe_engine_process_burst(engine_.get(), burst.data(), n, verdicts.data()));
    }

    // The host's clock: ends what has been idle too long.
    void advance(std::uint64_t now_ns) { checked("advance", qoe_engine_advance(engine_.get(), now_ns)); }

    // Ends what still lives; the flows come out of for_each_ended().
    std::uint32_t flush(std::uint32_t n) { return checked("flush", qoe_engine_flush(engine_.get(), n)); }

    template <class Visitor> void for_each_ended(Visitor visit)
    {
        std::array<qoe_flow, 64> ended;
        while (const auto n = checked("export", qoe_engine_export(engine_.get(), ended.data(), 64)))
            for (std::uint32_t i = 0; i < n; i++)
                visit(ended[i]);
    }

    void set_weight(std::uint32_t bearer, float weight)
    {
        checked("set_weights", qoe_engine_set_weights(engine_.get(), &bearer, &weight, 1));
    }

    float weight(std::uint32_t bearer) const noexcept { return qoe_engine_get_weight(engine_.get(), bearer); }

    qoe_counters counters() const
    {
        qoe_counters c;
        checked("counters", qoe_engine_counters(engine_.get(), &c));
        return c;
    }

private:
    struct Destroy {
        void operator()(qoe_engine *engine) const noexcept { qoe_engine_destroy(engine); }
    };
    std::unique_ptr<qoe_engine, Destroy> engine_;
};

// Frames on their way from the dispatcher to a shard, a batch at a time. Either side may close it.
class Channel {
public:
    void send(std::vector<frame> batch)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || batches_.size() < depth; });
        batches_.push_back(std::move(batch));
        changed_.notify_all();
    }

    // Nothing once it is closed and all was received.
    std::optional<std::vector<frame>> receive()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !batches_.empty(); });
        if (batches_.empty())
            return std::nullopt;
        auto batch = std::move(batches_.front());
        batches_.pop_front();
        changed_.notify_all();
        return batch;
    }

    void close()
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

private:
    static constexpr std::size_t depth = 16;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::vector<frame>> batches_;
    bool closed_ = false;
};

qoe_packet packet_of(const frame &f)
{
    return {f.bytes, f.len, f.len, f.ts_ns, 1 /* Ethernet */, 0};
}

struct Totals {
    std::uint64_t flows = 0, packets = 0, bytes = 0, two_way = 0;

    void add(const qoe_flow &flow)
    {
        flows++;
        packets += flow.packets_forward + flow.packets_reverse;
        bytes += flow.bytes_forward + flow.bytes_reverse;
        two_way += flow.packets_forward && flow.packets_reverse;
    }
};

// One core's work: an engine, where its frames come from, and what became of them.
class Shard {
public:
    explicit Shard(const qoe_config &config) : engine_(config)
    {
        for (std::uint32_t bearer = 0; bearer < n_subscribers; bearer += 2)
            engine_.set_weight(bearer, 4); // calls count four times as much
    }

    void run()
    try {
        std::vector<qoe_packet> burst;
        std::vector<qoe_verdict> verdicts;
        while (const auto batch = channel.receive()) {
            burst.clear();
            for (const auto &f : *batch)
                burst.push_back(packet_of(f));
            engine_.process(burst, verdicts);
            for (std::size_t i = 0; i < burst.size(); i++) {
                const auto &f = (*batch)[i];
                finish[f.subscriber] += static_cast<double>(f.len) / engine_.weight(f.subscriber);
                n_decided += verdicts[i].state != QOE_INSPECTING;
            }
            tick(batch->back().ts_ns);
        }
        while (engine_.flush(1024))
            take_ended();
    } catch (...) {
        channel.close(); // the dispatcher must not wait for us
        throw;
    }

    qoe_counters counters() const { return engine_.counters(); }

    Channel channel;
    std::array<Totals, QOE_N_CLASSES> by_class;
    std::array<double, n_subscribers> finish = {}; // bytes over weight: what a fair queue orders bearers by
    std::uint64_t n_decided = 0;                   // packets whose flow had a verdict

private:
    // A live host asks its clock, whether packets come or not; here the packets tell the time.
    void tick(std::uint64_t now_ns)
    {
        if (now_ns < next_ns_)
            return;
        next_ns_ = now_ns + second_ns;
        engine_.advance(now_ns);
        take_ended();
    }

    void take_ended()
    {
        engine_.for_each_ended([this](const qoe_flow &flow) { by_class[flow.app_class].add(flow); });
    }

    Engine engine_;
    std::uint64_t next_ns_ = 0;
};

void dispatch(traffic source, std::vector<std::unique_ptr<Shard>> &shards)
{
    std::vector<std::vector<frame>> batches(shards.size());
    frame f;
    while (traffic_next(&source, &f)) {
        const auto packet = packet_of(f);
        const auto shard = qoe_shard(&packet, n_shards, seed); // looks inside tunnels, same for both directions
        batches[shard].push_back(f);
        if (batches[shard].size() == burst_size)
            shards[shard]->channel.send(std::exchange(batches[shard], {}));
    }
    for (std::size_t i = 0; i < shards.size(); i++) {
        if (!batches[i].empty())
            shards[i]->channel.send(std::move(batches[i]));
        shards[i]->channel.close();
    }
}

// Prints the accounts of all shards; gives whether they balance.
bool report(const std::vector<std::unique_ptr<Shard>> &shards)
{
    static const std::array<const char *, QOE_N_CLASSES> names = {"unknown", "video", "voip", "gaming",
                                                                  "web",     "bulk",  "other"};
    bool balanced = true;
    for (std::size_t i = 0; i < shards.size(); i++) {
        const auto c = shards[i]->counters();
        std::uint64_t n_packets = 0;
        std::cout << "shard " << i << ": " << c.packets << " packets, " << c.flows_created << " flows, "
                  << shards[i]->n_decided << " packets with a verdict\n";
        for (std::size_t k = 0; k < names.size(); k++) {
            const auto &t = shards[i]->by_class[k];
            n_packets += t.packets;
            if (t.flows)
                std::cout << "  " << names[k] << ": " << t.flows << " flows (" << t.two_way << " seen both ways), "
                          << t.packets << " packets, " << t.bytes << " bytes\n";
        }
        balanced = balanced && n_packets == c.by_status[QOE_PKT_FLOW];
    }
    for (std::uint32_t bearer = 0; bearer < n_subscribers; bearer++) {
        double finish = 0;
        for (const auto &shard : shards)
            finish += shard->finish[bearer];
        std::cout << "bearer " << bearer << ": " << std::fixed << std::setprecision(0) << finish
                  << " bytes over weight\n";
    }
    return balanced;
}

} // namespace

int main()
try {
    qoe_config config = {};
    config.max_flows = 10000;
    config.idle_timeout_ns = 5 * second_ns;
    std::vector<std::unique_ptr<Shard>> shards;
    std::vector<std::future<void>> running;
    for (std::uint32_t i = 0; i < n_shards; i++)
        shards.push_back(std::make_unique<Shard>(config));
    for (auto &shard : shards)
        running.push_back(std::async(std::launch::async, &Shard::run, shard.get())); // a thread each
    dispatch({n_subscribers, n_seconds, 0, 0, 0}, shards);
    for (auto &shard : running)
        shard.get(); // what it threw, if it did
    return report(shards) ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception &error) {
    std::cerr << "cpp_host: " << error.what() << '\n';
    return EXIT_FAILURE;
}
