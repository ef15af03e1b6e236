"""An hour of mixed traffic at full speed with flows that come and go: flat memory, accounts that add up.

A generated mix of all classes lies in memory and passes through one engine again and again, from C. Each pass
is later than the one before and has other addresses, so every pass makes all its flows anew, while those of
the passes before grow idle and end. What ends is taken as a host would. QOE_SOAK_S sets the seconds (3,600;
15 with --quick).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.native import PACKET_POINTERS, HotEngine, load, resident_bytes
from qoe.capture import Source
from qoe.tools.synth import mix, write_capture

N_PACKETS, N_FLOWS = 500_000, 40_000
MAX_FLOWS = 1 << 18
PASS_NS = 30 * 10**9


def _in_memory(n_packets: int, n_flows: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
    """Bytes and packets of a mix, each packet with the address of its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mix.pcap"
        write_capture(mix(n_packets, n_flows), path)
        bursts = []
        with Source(str(path)) as source:
            while (burst := source.next_burst(65_536)) is not None:
                bursts.append(burst)
    data = np.concatenate([burst.data for burst in bursts])
    packets = np.concatenate([burst.packets for burst in bursts]).astype(PACKET_POINTERS)
    starts = np.cumsum([0, *(len(burst.data) for burst in bursts[:-1])])
    packets["data"] += np.repeat(starts, [len(burst.packets) for burst in bursts]).astype(np.uint64)
    packets["data"] += np.uint64(data.ctypes.data)
    return data, packets


def run(quick: bool) -> list[dict[str, Any]]:
    """One case; `resident_growth_ratio` is the second half's mean over the first half's, start left out."""
    seconds = float(os.environ.get("QOE_SOAK_S", "15" if quick else "3600"))
    _data, packets = _in_memory(*((50_000, 4_000) if quick else (N_PACKETS, N_FLOWS)))
    span_ns = int(packets["ts_ns"][-1] - packets["ts_ns"][0])
    engine, n_passes, resident, records, drained = HotEngine(MAX_FLOWS), 0, [], 0, 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        n_passes += 1
        if load().hot_pass(engine.pointer, packets.ctypes.data, len(packets), n_passes, span_ns + PASS_NS):
            raise RuntimeError("the engine refused a burst")
        n, their_packets = engine.drain()
        records, drained = records + n, drained + their_packets
        resident.append(resident_bytes() / 1e6)
    taken_s = time.monotonic() - start
    engine.flush()
    while (taken := engine.drain())[0]:
        records, drained = records + taken[0], drained + taken[1]
    counters = engine.counters()
    engine.close()
    settled = resident[len(resident) // 5 :]
    half = len(settled) // 2
    ended = sum(counters[f"flows_{how}"] for how in ("idle", "active_timeout", "evicted", "flushed"))
    return [
        {
            "case": "soak",
            "seconds": taken_s,
            "n_passes": n_passes,
            "n_packets": n_passes * len(packets),
            "ns_per_packet": 1e9 * taken_s / (n_passes * len(packets)),
            "flows_created": counters["flows_created"],
            "flows_per_s": counters["flows_created"] / taken_s,
            "resident_mb_first": settled[0],
            "resident_mb_last": settled[-1],
            "resident_mb_most": max(resident),
            "resident_growth_ratio": float(np.mean(settled[half:]) / np.mean(settled[:half])),
            "packets_add_up": counters["packets"] == n_passes * len(packets) == sum(counters["by_status"]),
            "flows_add_up": counters["flows_created"] == ended == records + counters["exports_lost"],
            "exported_packets_add_up": drained == counters["by_status"][0],
            "exports_lost": counters["exports_lost"],
            "n_evicted": counters["flows_evicted"],
        }
    ]
