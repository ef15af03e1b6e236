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
from .grouping import Flow, group
from .kernel import Kernel, kernel_of
from .moments import Fields
from .rules import ACTIVE_TIMEOUT_NS, IDLE_TIMEOUT_NS
from .slack import feature_slack, flow_slack
from .verdict import Model

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
    records: list[Fields] = field(default_factory=list)  # the twin's

    def check(
        self, what: Sequence[str], name: str, kernel: RecordArray, twin: Sequence[Any], slack: Any = None
    ) -> None:
        """Compare one field of many records; `slack` is by how much each may differ, None: not at all."""
        if slack is None:
            same = kernel == np.array(twin, kernel.dtype).reshape(kernel.shape)
        else:
            apart = abs(kernel.astype(np.float64) - np.array(twin, np.float64).reshape(kernel.shape))
            same = apart <= np.array(slack).reshape(-1, *[1] * (kernel.ndim - 1))
        wrong = ~same.all(axis=tuple(range(1, same.ndim)))
        self.n_fields += len(wrong)
        for i in np.flatnonzero(wrong).tolist():
            self.differences.append(Difference(what[i], name, _plain(kernel[i]), _plain(twin[i])))


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
    result = Comparison(len(frames), len(twin.records), is_split=is_split, records=twin.records)
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
    return np.array([d.features for d in decisions], np.float64).reshape(-1, len(FEATURE_NAMES))


def rounded(decisions: list[Decision], kernel: Kernel) -> npt.NDArray[np.float32]:
    """The twin's vectors, with the kernel's digits where these differ by rounding alone."""
    own = features_of(decisions)
    if len(own) != len(kernel.decisions):
        return own.astype(np.float32)
    theirs = kernel.decisions["features"].astype(np.float64)
    return np.where(abs(theirs - own) <= feature_slack(own), theirs, own).astype(np.float32)


def identity(row: Any) -> tuple[object, ...]:
    """What tells one flow of a capture from the others, of either side's records."""
    return tuple(bytes(row[name]) if name in ("src", "dst") else int(row[name]) for name in IDENTITY)


def pairs_of(flows: RecordArray, records: list[Fields]) -> tuple[list[int], list[int]]:
    """Which rows of the kernel's are which of the twin's."""
    wanted = defaultdict(list)
    for number, record in enumerate(records):
        wanted[identity(record)].append(number)
    pairs = [(i, wanted[key].pop(0)) for i, row in enumerate(flows) if wanted[key := identity(row)]]
    return [i for i, _ in pairs], [j for _, j in pairs]


def end_like(reason: int, record: Fields, flow: Flow) -> Fields:
    """A record with the kernel's reason for the flow's end where it is one of those that are right."""
    return record | {"end_reason": reason if reason in flow.ends else min(flow.ends)}


def compare_flows(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """Every field of every flow."""
    ours, theirs = pairs_of(kernel.flows, twin.records)
    for side, rows, paired in (("kernel", kernel.flows, ours), ("twin", twin.records, theirs)):
        for number in sorted(set(range(len(rows))) - set(paired)):
            who = identity(rows[number])
            result.differences.append(Difference(f"flow {number + 1}", f"{side} alone", who, None))
    flows = kernel.flows[ours]
    reasons = flows["end_reason"].tolist()
    records = [
        end_like(r, twin.records[j], twin.table.flows[j]) for r, j in zip(reasons, theirs, strict=True)
    ]
    what = [f"flow {record['flow_id']}" for record in records]
    slacks = [flow_slack(record) for record in records]
    for name in FLOW_DTYPE.names or ():
        allowed = [slack[name] for slack in slacks if name in slack] or None
        result.check(what, name, flows[name], [record[name] for record in records], allowed)


def compare_counters(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """Every counter but those of why flows ended, which the flows tell."""
    for name in sorted(set(kernel.counters) - set(FATES)):
        result.check(["counters"], name, np.array([kernel.counters[name]]), [twin.counters[name]])


def compare_decisions(kernel: Kernel, twin: Twin, result: Comparison) -> None:
    """When flows were decided, what the model was shown, what came of it."""
    if len(kernel.decisions) != len(twin.decisions):
        return  # the counters tell
    rows = kernel.decisions
    what = [f"flow {d.flow_id} after {d.packets} packets" for d in twin.decisions]
    for name in ("flow_id", "ts_ns", "packets"):
        result.check(what, name, rows[name], [getattr(d, name) for d in twin.decisions])
    result.check(what, "app_class", rows["app_class"], twin.verdicts)
    own = features_of(twin.decisions)
    slack = feature_slack(own)
    for i, name in enumerate(FEATURE_NAMES):
        result.check(what, f"feature {name}", rows["features"][:, i], own[:, i].tolist(), slack[:, i])


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
        result.check(what, name, rows[name], [chunk[i] for chunk in chunks])
