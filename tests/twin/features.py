"""The classifier's 64 numbers, out of a record of what was measured so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .chunks import Chunk
from .grouping import Seen
from .headers import TCP
from .moments import WAYS, Fields, count, mean
from .record import chunks_of
from .rules import MILLISECOND, SECOND
from .tcp import SYN
from .udp import Udp

LEAST_S = 0.001  # shorter flows have no rate


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole > 0 else 0.0


def proportions(histogram: list[int]) -> list[float]:
    """A histogram whose bins sum up to 1."""
    return [ratio(n, sum(histogram)) for n in histogram]


def features(seen: Sequence[Seen], udp: Udp, *, ended: bool) -> npt.NDArray[np.float64]:
    """The vector in the order of the kernel's FEATURE_NAMES; no port, address or name is in it."""
    record: Fields = count(seen)
    n = len(seen)
    seconds = max(record["last_ns"] - record["first_ns"], 0) / SECOND
    payload = record["payload_bytes_forward"] + record["payload_bytes_reverse"]
    has_rate = seconds > LEAST_S
    out = [
        n,
        seconds * 1e3,
        ratio(record["packets_forward"], n),
        ratio(record["payload_bytes_forward"], payload),
        payload / seconds if has_rate else 0,
        n / seconds if has_rate else 0,
    ]
    for way in WAYS:
        out += of_direction(record, way)
    for way in WAYS:
        out += proportions(record[f"size_hist_{way}"])
    out += proportions(record["gap_hist"])
    out += record["first_sizes"]
    out += record["first_gaps"][1:9]
    flags = record["tcp_flags_forward"] | record["tcp_flags_reverse"]
    out += [seen[0].packet.protocol == TCP, record["n_idle"], bool(flags & SYN)]
    out += of_chunks(chunks_of(seen, udp, ended=ended))
    return np.array(out, np.float64)


def of_direction(record: Fields, way: str) -> list[float]:
    """Six numbers of one direction."""
    return [
        ratio(record[f"payload_bytes_{way}"], record[f"packets_{way}"]),
        record[f"size_std_{way}"],
        record[f"iat_mean_us_{way}"],
        ratio(record[f"iat_std_us_{way}"], record[f"iat_mean_us_{way}"]),
        record[f"iat_max_us_{way}"],
        record[f"payload_bytes_{way}"],
    ]


def of_chunks(chunks: Sequence[Chunk]) -> list[float]:
    """How many, how large, how far apart in ms."""
    span_ms = max(chunks[-1].request_ns - chunks[0].request_ns, 0) / MILLISECOND if chunks else 0.0
    gap_ms = span_ms / (len(chunks) - 1) if len(chunks) > 1 else 0.0
    return [len(chunks), mean([chunk.n_bytes for chunk in chunks]), gap_ms]
