"""Frames of 64 bytes in bursts from a C loop through the whole kernel, beside a bare floor.

Decoding, tracking, measuring, staged classification with the shipped model, ageing and eviction are all on;
hot.c says what is on the clock. The floor hashes the same frames, probes once with prefetch and updates one
cache line.

Cases
-----
steady
    Flows in uniform random order, after each has had 32 packets on average.
first 8
    Every flow's first eight packets, rounds over all flows in different orders: every flow is made, and
    decided twice.
decisions
    A call of one packet each: those that decide against those that do not.
two engines
    A thread and an engine each, all at once, against one alone.
flood
    Ordinary traffic and a flood of SYNs, a new flow each, in turn; the table is full throughout.
"""

from __future__ import annotations

import ctypes
import statistics
from ctypes import byref, c_double, c_void_p
from typing import Any

import numpy as np

from benchmarks.native import NEW, ROUNDS, TCP, HotEngine, Traffic, load, resident_bytes, traffic
from qoe.schema import FLOW_DTYPE

REPEATS = 5
WARM = 32


def _margin(n_flows: int) -> int:
    return n_flows + n_flows // 8


def _memory(n_flows: int) -> int:
    """Bytes that this many flows take, all in, of an engine that holds no more."""
    before = resident_bytes()
    engine = HotEngine(n_flows, options=0)
    engine.take(traffic(n_flows, 8 * n_flows, order=ROUNDS))
    memory = resident_bytes() - before
    engine.close()
    return memory


def _steady(n_flows: int, n_packets: int) -> dict[str, Any]:
    memory = _memory(n_flows)
    engine = HotEngine(_margin(n_flows))
    flows = traffic(n_flows, max(WARM * n_flows, n_packets))
    engine.take(flows)
    flows.n_packets = n_packets
    decided = engine.counters()["decisions"]
    measured = [engine.take(flows) for _ in range(REPEATS)]
    counters = engine.counters()
    engine.close()
    floors = [load().hot_floor(byref(traffic(n_flows, n_packets)), 4 * n_flows) for _ in range(REPEATS)]
    ns, floor = statistics.median(measured), statistics.median(floors)
    return {
        "case": "steady",
        "n_flows": n_flows,
        "frame_bytes": 64,
        "burst": flows.burst,
        "n_packets": REPEATS * n_packets,
        "ns_per_packet": ns,
        "ns_per_packet_least": min(measured),
        "floor_ns_per_packet": floor,
        "ratio_to_floor": ns / floor,
        "mpps": 1000 / ns,
        "bytes_per_flow": memory / n_flows,
        "n_decisions": counters["decisions"] - decided,
        "flows_created": counters["flows_created"],
    }


def _first_packets(n_flows: int) -> dict[str, Any]:
    measured = []
    for _ in range(3):
        engine = HotEngine(_margin(n_flows))
        engine.take(traffic(1, 1024, first_flow=0xF0000000))
        measured.append(engine.take(traffic(n_flows, 8 * n_flows, order=ROUNDS)))
        decisions = engine.counters()["decisions"]
        engine.close()
    return {
        "case": "first 8",
        "n_flows": n_flows,
        "n_packets": 8 * n_flows,
        "ns_per_packet": statistics.median(measured),
        "ns_per_packet_least": min(measured),
        "n_decisions": decisions,
    }


def _decisions(n_flows: int) -> dict[str, Any]:
    """What the 4th and 8th packet of a flow cost beyond the others, a call of one packet each."""
    engine = HotEngine(_margin(n_flows))
    n_flows -= n_flows % 1024
    ns = np.empty(8 * n_flows, np.float32)
    load().hot_single(engine.pointer, byref(traffic(n_flows, 8 * n_flows, order=ROUNDS)), ns.ctypes.data)
    engine.close()
    rounds = ns.reshape(8, n_flows)
    plain = float(np.median(rounds[[2, 4, 5, 6]]))
    extra = rounds[[3, 7]].ravel() - plain
    return {
        "case": "decisions",
        "n_flows": n_flows,
        "n_decisions": int(extra.size),
        "call_without_decision_ns": plain,
        "decision_ns_median": float(np.median(extra)),
        "decision_ns_p99": float(np.quantile(extra, 0.99)),
        "decision_ns_p999": float(np.quantile(extra, 0.999)),
        "decision_ns_max": float(extra.max()),
        "other_call_ns_max": float(rounds[[2, 4, 5, 6]].max() - plain),
    }


def _lanes(n_flows: int, n_packets: int, n: int) -> float:
    """Packets a second of `n` engines together."""
    engines = [HotEngine(_margin(n_flows)) for _ in range(n)]
    runs = (Traffic * n)(*(traffic(n_flows, 8 * n_flows, first_flow=k << 24) for k in range(n)))
    pointers, ns = (c_void_p * n)(*(e.pointer for e in engines)), (c_double * n)()
    load().hot_lanes(pointers, runs, n, ns)
    rates = []
    for _ in range(REPEATS):
        for run in runs:
            run.n_packets = n_packets
        load().hot_lanes(pointers, runs, n, ns)
        rates.append(sum(1e9 / each for each in ns))
    for engine in engines:
        engine.close()
    return statistics.median(rates)


def _two_engines(n_flows: int, n_packets: int) -> dict[str, Any]:
    alone, together = _lanes(n_flows, n_packets, 1), _lanes(n_flows, n_packets, 2)
    return {
        "case": "two engines",
        "n_flows": n_flows,
        "mpps_one": alone / 1e6,
        "mpps_two": together / 1e6,
        "speed_up_ratio": together / alone,
    }


def _flood(n_flows: int, n_syns: int) -> dict[str, Any]:
    engine = HotEngine(4 * n_flows)
    ordinary = traffic(n_flows, 64 * n_flows)
    engine.take(ordinary)
    ordinary.n_packets = n_syns
    alone = engine.take(ordinary)
    records, ns = np.empty(4096, FLOW_DTYPE), (c_double * 2)()
    syns = traffic(n_flows, n_syns, order=NEW, protocol=TCP, first_flow=1 << 28)
    syns.ts_ns = ordinary.ts_ns
    load().hot_flood(
        engine.pointer,
        byref(ordinary),
        byref(syns),
        records.ctypes.data,
        len(records),
        ctypes.cast(ns, ctypes.POINTER(c_double)),
    )
    made = engine.counters()["flows_created"]
    again = traffic(n_flows, n_flows - n_flows % 1024, order=ROUNDS)
    again.ts_ns = max(ordinary.ts_ns, syns.ts_ns)
    engine.take(again)
    counters = engine.counters()
    engine.close()
    return {
        "case": "flood",
        "n_flows": n_flows,
        "max_flows": 4 * n_flows,
        "n_syns": n_syns,
        "ns_per_packet_alone": alone,
        "ns_per_packet_in_flood": ns[0],
        "slowdown_ratio": ns[0] / alone,
        "ns_per_syn": ns[1],
        "n_evicted": counters["flows_evicted"],
        "n_ordinary_flows_lost": counters["flows_created"] - made,
        "exports_lost": counters["exports_lost"],
    }


def run(quick: bool) -> list[dict[str, Any]]:
    """All cases, at 1 k, 64 k, 1 M and 4 M flows; `quick`: small tables, to see that it runs."""
    sizes = (1_000, 65_536) if quick else (1_000, 65_536, 1_000_000, 4_000_000)
    many, n_packets = (65_536, 2**18) if quick else (1_000_000, 2**22)
    return [
        *(_steady(n_flows, n_packets) for n_flows in sizes),
        _first_packets(many),
        _decisions(4_096 if quick else 131_072),
        _two_engines(many, n_packets),
        _flood(65_536, 2**18 if quick else 10_000_384),
    ]
