"""Counts, sizes and gaps of a flow, each from the whole list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, TypeAlias

from .grouping import Seen
from .rules import (
    FULL_BIN,
    GAP_EDGES_NS,
    IDLE_GAP_NS,
    MAX_COUNT_16,
    MAX_FIRST_SIZE,
    MAX_GAP_CODE,
    MICROSECOND,
    N_FIRST,
    SIZE_EDGES_BYTES,
)

Fields: TypeAlias = dict[str, Any]
"""Fields of a record by their names in ``struct qoe_flow``."""
WAYS = ("forward", "reverse")


def gaps_ns(times_ns: Sequence[int]) -> list[int]:
    """Time from the newest packet so far to each next one; 0 where the clock ran back."""
    newest = accumulate(times_ns, max)
    return [max(now - before, 0) for before, now in zip(newest, times_ns[1:], strict=False)]


def histogram(values: Sequence[int], edges: tuple[int, ...]) -> list[int]:
    """How many values lie below the first edge, between two, from the last on; all halved as one fills up."""
    bins = [0] * (len(edges) + 1)
    for value in values:
        which = sum(value >= edge for edge in edges)
        if bins[which] == FULL_BIN:
            bins = [n // 2 for n in bins]
        bins[which] += 1
    return bins


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of the whole population, in two passes."""
    middle = mean(values)
    return math.sqrt(mean([(value - middle) ** 2 for value in values]))


def gap_code(gap_ns: int) -> int:
    """8 e + m, where 1 + gap in us = 2^e (1 + m / 8), m rounded down: nearly 8 times the logarithm."""
    value = Fraction(MICROSECOND + gap_ns, MICROSECOND)
    exponent = math.floor(value).bit_length() - 1
    eighths = math.floor(8 * (value / Fraction(2**exponent) - 1))
    return min(8 * exponent + eighths, MAX_GAP_CODE)


def padded(values: list[int]) -> list[int]:
    """The first twelve, filled up with zeros."""
    return (values + [0] * N_FIRST)[:N_FIRST]


def count(seen: Sequence[Seen]) -> Fields:
    """What needs both directions, then each by itself."""
    gaps = gaps_ns([s.ts_ns for s in seen])
    sizes = [min(s.packet.payload_len, MAX_FIRST_SIZE) for s in seen[:N_FIRST]]
    out: Fields = {
        "first_ns": seen[0].ts_ns,
        "last_ns": max(s.ts_ns for s in seen),
        "gap_hist": histogram(gaps, GAP_EDGES_NS),
        "n_idle": min(sum(gap >= IDLE_GAP_NS for gap in gaps), MAX_COUNT_16),
        "n_first": min(len(seen), N_FIRST),
        "first_sizes": padded([-n if s.way else n for n, s in zip(sizes, seen, strict=False)]),
        "first_gaps": padded([gap_code(gap) for gap in [0, *gaps[: N_FIRST - 1]]]),
    }
    for way, name in enumerate(WAYS):
        one_way = count_direction([s for s in seen if s.way == way])
        out.update({f"{what}_{name}": value for what, value in one_way.items()})
    return out


def count_direction(seen: Sequence[Seen]) -> Fields:
    """Packets, bytes, payload sizes and inter-arrival times of one direction."""
    sizes = [s.packet.payload_len for s in seen]
    gaps = [gap / MICROSECOND for gap in gaps_ns([s.ts_ns for s in seen])]
    flags = 0
    for s in seen:
        flags |= s.packet.tcp_flags
    return {
        "packets": len(seen),
        "bytes": sum(s.wire_len for s in seen),
        "payload_bytes": sum(sizes),
        "size_std": deviation(sizes),
        "size_hist": histogram(sizes, SIZE_EDGES_BYTES),
        "iat_mean_us": mean(gaps),
        "iat_std_us": deviation(gaps),
        "iat_max_us": max(gaps, default=0.0),
        "tcp_flags": flags,
    }
