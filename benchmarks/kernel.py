"""Frames of 64 bytes in bursts through the whole kernel, beside a bare floor.

A small ring of frames stays in cache; between timed bursts a generator rewrites their addresses, so that
flows come in uniform random order. Decoding, tracking, measuring, staged classification with the shipped
model, ageing and eviction are all on. The floor hashes the same frames, probes once and updates one cache
line: what memory alone costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.floor import Floor
from qoe.flows import Engine
from qoe.schema import PACKET_DTYPE, Burst

FRAME_BYTES = 64
BURST = 256
RING = 4096
GAP_NS = 67


def ring() -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
    """Frames of Ethernet, IPv4 and UDP, 60 bytes captured (64 with the frame check sequence)."""
    frames = np.zeros((RING, FRAME_BYTES), np.uint8)
    frames[:, 12:14] = (0x08, 0x00)
    frames[:, 14:24] = (0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17)
    frames[:, 38:42] = (0, 26, 0, 0)
    packets = np.zeros(RING, PACKET_DTYPE)
    packets["offset"] = np.arange(RING) * FRAME_BYTES
    packets["captured_len"] = packets["wire_len"] = FRAME_BYTES - 4
    packets["link_type"] = 1
    return frames, packets


def rewrite(frames: npt.NDArray[np.uint8], flows: npt.NDArray[np.uint32]) -> None:
    """Give each frame of the ring the tuple of its flow."""
    wide = flows.astype(">u4").view(np.uint8).reshape(-1, 4)
    frames[:, 26:30] = wide
    frames[:, 26] = 10
    frames[:, 30:34] = (192, 0, 2, 1)
    frames[:, 34:36] = wide[:, 2:4]
    frames[:, 36:38] = (0x1F, 0x90)


def _time(
    take: Callable[[int], object],
    n_flows: int,
    n_packets: int,
    frames: npt.NDArray[np.uint8],
    packets: npt.NDArray[Any],
    order: npt.NDArray[np.uint32],
) -> float:
    """Nanoseconds a packet of `take(first)`, called burst by burst over rings rewritten untimed."""
    spent = done = 0
    clock = int(packets["ts_ns"][-1])
    while done < n_packets:
        chosen = order[done % len(order) : done % len(order) + RING]
        rewrite(frames, chosen)
        packets["ts_ns"] = clock + GAP_NS * np.arange(1, RING + 1, dtype=np.uint64)
        clock = int(packets["ts_ns"][-1])
        start = time.perf_counter_ns()
        for first in range(0, RING, BURST):
            take(first)
        spent += time.perf_counter_ns() - start
        done += RING
    return spent / done


def _case(n_flows: int, n_packets: int) -> dict[str, Any]:
    rng = np.random.default_rng(n_flows)
    warm = rng.permutation(n_flows).astype(np.uint32)
    warm = np.resize(warm, -(-n_flows // RING) * RING)
    order = rng.integers(0, n_flows, max(n_packets, RING) // RING * RING, dtype=np.uint32)
    frames, packets = ring()
    flat = frames.reshape(-1)
    engine = Engine(max_flows=max(2 * n_flows, 4096), seed=1)

    def through_kernel(first: int) -> None:
        engine.process(Burst(flat, packets[first : first + BURST]))

    _time(through_kernel, n_flows, len(warm), frames, packets, warm)
    measured = _time(through_kernel, n_flows, n_packets, frames, packets, order)
    floor = Floor(n_flows)

    def through_floor(first: int) -> None:
        floor.take(flat, first * FRAME_BYTES, BURST)

    _time(through_floor, n_flows, len(warm), frames, packets, warm)
    bare = _time(through_floor, n_flows, n_packets, frames, packets, order)
    counters = engine.counters()
    return {
        "flows": n_flows,
        "frame_bytes": FRAME_BYTES,
        "burst": BURST,
        "packets": n_packets,
        "ns_per_packet": measured,
        "floor_ns_per_packet": bare,
        "ratio_to_floor": measured / bare,
        "flows_created": counters["flows_created"],
        "decisions": counters["decisions"],
    }


def run(quick: bool) -> list[dict[str, Any]]:
    """Cases of 1 k, 64 k and 1 M flows."""
    n_packets = 2**18 if quick else 2**22
    return [_case(n_flows, n_packets) for n_flows in (1_000, 65_536, 1_000_000)]
