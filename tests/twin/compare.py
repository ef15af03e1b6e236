"""The kernel's records of a capture held against the twin's, field by field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qoe.flows import load_model
from qoe.schema import FLOW_DTYPE, RecordArray
from qoe_native.engine import FEATURE_NAMES

from .capfile import read_frames
from .flows import Decision, FeatureArray, Twin, twin_of
from .grouping import group
from .kernel import Kernel, kernel_of
from .moments import WAYS
from .record import Record
from .rules import ACTIVE_TIMEOUT_NS, IDLE_TIMEOUT_NS
from .verdict import Model


class Tolerance(NamedTuple):
    """How far the kernel may be off: a share of the value, and so much in the field's unit."""

    relative: float
    absolute: float


EXACT = Tolerance(0, 0)
ONE_WAY_TOLERANCES = {
    "size_std": Tolerance(1e-3, 1e-3),  # sums of squares are kept in single precision
    "iat_std_us": Tolerance(1e-3, 1),
    "iat_mean_us": Tolerance(1e-6, 1),  # when the first reverse packet came is kept in whole microseconds
    "iat_max_us": Tolerance(1e-6, 0),
    "rtp_jitter_us": Tolerance(1e-4, 0.01),
}
TOLERANCES = {f"{name}_{way}": t for name, t in ONE_WAY_TOLERANCES.items() for way in ("forward", "reverse")}
TOLERANCES |= {
    "handshake_rtt_us": Tolerance(0, 1),  # rounded up, so that 0 says that there is none
    "chunk_bytes_mean": Tolerance(1e-6, 0),
    "chunk_bytes_std": Tolerance(1e-4, 1),  # of nearly equal chunks, by the difference of two squares
    "chunk_gap_mean_s": Tolerance(1e-6, 0),
    "probability": Tolerance(0, 0.5 / 255 + 1e-4),  # kept in 1/255
    "confidence": Tolerance(0, 0.5 / 255 + 1e-4),
}
FEATURE_TOLERANCE = Tolerance(1e-3, 1e-3)
FATES = ("flows_idle", "flows_active_timeout", "flows_flushed")
IDENTITY = ("first_ns", "src", "dst", "src_port", "dst_port", "protocol", "vlan_id", "vni", "pppoe_session")


class Difference(NamedTuple):
    """Something that the kernel and the twin see otherwise."""

    what: str  # "flow 3", "flow 3 after 8 packets", "counters"
    field: str
    kernel: object
    twin: object


@dataclass
class Comparison:
    """How much was compared, and what differed."""

    n_packets: int = 0
    n_flows: int = 0
    n_fields: int = 0
    is_split: bool = True  # False: the clock runs back, so that only undivided flows are determined
    differences: list[Difference] = field(default_factory=list)

    def check(
        self, what: Sequence[str], name: str, kernel: RecordArray, twin: Sequence[Any], tolerance: Tolerance
    ) -> None:
        """Compare one field of many records."""
        wrong = ~_close(kernel, twin, tolerance)
        self.n_fields += len(wrong)
        for i in np.flatnonzero(wrong):
            self.differences.append(Difference(what[i], name, _plain(kernel[i]), _plain(twin[i])))


def _close(kernel: RecordArray, twin: Sequence[Any], tolerance: Tolerance) -> npt.NDArray[np.bool_]:
    """Whether each record's field, which may be a list, is as near as it must be."""
    if kernel.dtype.kind == "f":
        expected = np.array(twin, np.float64).reshape(kernel.shape)
        same = np.isclose(kernel, expected, rtol=tolerance.relative, atol=tolerance.absolute)
    elif tolerance is EXACT:
        same = kernel == np.array(twin, kernel.dtype).reshape(kernel.shape)
    else:
        expected = np.array(twin, np.int64).reshape(kernel.shape)
        same = abs(kernel.astype(np.int64) - expected) <= tolerance.absolute
    return same.all(axis=tuple(range(1, same.ndim)))


def _plain(value: Any) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def compare(path: Path, *, max_flows: int = 0, model: Model | None = None) -> Comparison:
    """Hold the kernel's flows, decisions, chunks and counters of a capture against the twin's.

    Flows are split by the timeouts of `qoe flows`; not at all where the clock of the capture runs back so
    that it depends on the moment of ageing whether a flow is split.
    """
    frames = read_frames(path)
    timeouts = {"idle_timeout_ns": IDLE_TIMEOUT_NS, "active_timeout_ns": ACTIVE_TIMEOUT_NS}
    is_split = group(frames, **timeouts).is_determined
    if not is_split:
        timeouts = dict.fromkeys(timeouts, 0)
    kernel = kernel_of(path, **timeouts, max_flows=max_flows)
    model = model or shipped_model()
    twin = twin_of(frames, model, **timeouts, rounded=lambda decisions: rounded(decisions, kernel))
    result = Comparison(len(frames), len(twin.records), is_split=is_split)
    compare_flows(kernel, twin, result)
    compare_decisions(kernel, twin, result)
    compare_chunks(kernel, twin, result)
    compare_counters(kernel, twin, result)
    return result


def shipped_model() -> Model:
    """The classifier that ships with qoe."""
    content = load_model()
    assert content is not None
    return Model.read(content)


def features_of(decisions: list[Decision]) -> FeatureArray:
    """The twin's own vectors, a row a decision."""
    return np.array([d.features for d in decisions], np.float32).reshape(-1, len(FEATURE_NAMES))


def rounded(decisions: list[Decision], kernel: Kernel) -> FeatureArray:
    """The twin's vectors, with the kernel's digits where these differ by rounding alone."""
    own = features_of(decisions)
    if len(own) != len(kernel.decisions):
        return own
    theirs = kernel.decisions["features"]
    near = np.isclose(
        in_units(theirs), in_units(own), rtol=FEATURE_TOLERANCE.relative, atol=FEATURE_TOLERANCE.absolute
    )
    return np.where(near, theirs, own)


def in_units(features: FeatureArray) -> npt.NDArray[np.float64]:
    """Features with the mean and deviation of gaps so scaled that a microsecond is the tolerance."""
    out = features.astype(np.float64)
    for way in WAYS:
        log, ratio = (FEATURE_NAMES.index(f"{way}_{name}") for name in ("iat_us_log", "iat_cv"))
        mean_us = 2 ** out[:, log] - 1
        out[:, log] = mean_us * FEATURE_TOLERANCE.absolute
        out[:, ratio] *= mean_us * FEATURE_TOLERANCE.absolute
    return out


def identity(row: Any) -> tuple[object, ...]:
    """What tells one flow of a capture from the others, of either side's records."""
    return tuple(bytes(row[name]) if name in ("src", "dst") else int(row[name]) for name in IDENTITY)


def pairs_of(flows: RecordArray, records: list[Record]) -> tuple[list[int], list[int]]:
    """Which rows of the kernel's are which of the twin's."""
    wanted = defaultdict(list)
    for number, record in enumerate(records):
        wanted[identity(record)].append(number)
    pairs = [(i, wanted[key].pop(0)) for i, row in enumerate(flows) if wanted[key := identity(row)]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def compare_flows(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """Every field of every flow."""
    ours, theirs = pairs_of(kernel.flows, twin.records)
    for side, rows, paired in (("kernel", kernel.flows, ours), ("twin", twin.records, theirs)):
        for number in sorted(set(range(len(rows))) - set(paired)):
            who = identity(rows[number])
            result.differences.append(Difference(f"flow {number + 1}", f"{side} alone", who, None))
    flows, records = kernel.flows[ours], [twin.records[j] for j in theirs]
    what = [f"flow {record['flow_id']}" for record in records]
    for name in FLOW_DTYPE.names or ():
        if name == "end_reason":
            possible = [twin.table.flows[j].ends for j in theirs]
            reasons = [r if r in ends else min(ends) for r, ends in zip(flows[name], possible, strict=True)]
            result.check(what, name, flows[name], reasons, EXACT)
            continue
        values = [r[name] for r in records]
        if isinstance(values[0] if values else None, bytes):
            values = [list(value) for value in values]
        result.check(what, name, flows[name], values, TOLERANCES.get(name, EXACT))


def compare_counters(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """Every counter but those of why flows ended, which the flows tell."""
    for name in sorted(set(kernel.counters) - set(FATES)):
        result.check(["counters"], name, np.array([kernel.counters[name]]), [twin.counters[name]], EXACT)


def compare_decisions(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """When flows were decided, what the model was shown, what came of it."""
    if len(kernel.decisions) != len(twin.decisions):
        return  # the counters tell
    rows = kernel.decisions
    what = [f"flow {d.flow_id} after {d.packets} packets" for d in twin.decisions]
    for name in ("flow_id", "ts_ns", "packets"):
        result.check(what, name, rows[name], [getattr(d, name) for d in twin.decisions], EXACT)
    result.check(what, "app_class", rows["app_class"], twin.verdicts, EXACT)
    theirs, own = in_units(rows["features"]), in_units(features_of(twin.decisions))
    for i, name in enumerate(FEATURE_NAMES):
        result.check(what, f"feature {name}", theirs[:, i], own[:, i], FEATURE_TOLERANCE)


def compare_chunks(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """Every response that counts."""
    rows = kernel.chunks
    chunks = [(flow_id, *chunk) for flow_id, chunk in twin.chunks]
    if len(rows) != len(chunks):
        result.differences.append(Difference("chunks", "how many", len(rows), len(chunks)))
        return
    names = ("flow_id", "request_ns", "first_ns", "last_ns", "bytes", "request_bytes", "direction")
    for i, name in enumerate(names):
        what = [f"chunk of flow {chunk[0]}" for chunk in chunks]
        result.check(what, name, rows[name], [chunk[i] for chunk in chunks], EXACT)
