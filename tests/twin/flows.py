"""The twin as a whole: frames of a capture in; records, decisions and chunks out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .capfile import Frame
from .chunks import Chunk
from .features import features
from .grouping import Flow, Table, group
from .moments import Fields
from .record import chunks_of, measured, signals_of
from .rules import ACTIVE_TIMEOUT_NS, IDLE_TIMEOUT_NS
from .udp import follow_udp
from .verdict import Evidence, Model, Verdict, decision_points, hinted

FeatureArray = npt.NDArray[np.float64]


class Decision(NamedTuple):
    """One time that a flow was decided (``struct qoe_decision``)."""

    flow_id: int
    ts_ns: int
    packets: int
    signals: int
    features: FeatureArray


@dataclass
class Twin:
    """Everything the twin has to say of a capture, flows by their first packets."""

    table: Table
    records: list[Fields]
    decisions: list[Decision]
    verdicts: list[int]  # the class after each decision
    chunks: list[tuple[int, Chunk]]  # with the flow's number

    @property
    def counters(self) -> Counter[str]:
        """What the engine's counters must be."""
        return self.table.counters + Counter(flows_created=len(self.records), decisions=len(self.decisions))


def decisions_of(flow: Flow) -> list[Decision]:
    """All decisions on a flow, with what the model is shown each time; the last at its end."""
    points = [(n, False) for n in decision_points(flow.seen)]
    if any(s.packet.payload_len for s in flow.seen):
        points.append((len(flow.seen), True))
    out = []
    for n, last in points:
        so_far = flow.seen[:n]
        udp = follow_udp(so_far)
        vector = features(so_far, udp, ended=last)
        newest_ns = max(s.ts_ns for s in so_far)
        out.append(Decision(flow.flow_id, newest_ns, n, signals_of(so_far, udp), vector))
    return out


def twin_of(
    frames: Iterable[Frame],
    model: Model,
    *,
    idle_timeout_ns: int = IDLE_TIMEOUT_NS,
    active_timeout_ns: int = ACTIVE_TIMEOUT_NS,
    rounded: Callable[[list[Decision]], npt.NDArray[np.float32]] | None = None,
) -> Twin:
    """Records of all flows of a capture.

    Parameters
    ----------
    frames : iterable of Frame
    model : Model
    idle_timeout_ns, active_timeout_ns : int, optional
        0 never splits a flow.
    rounded : callable, optional
        Gives the vectors that the model is shown in place of the twin's own, a row a decision: those of the
        kernel where they differ by rounding alone, which must not send a decision down another branch.
    """
    table = group(frames, idle_timeout_ns, active_timeout_ns)
    decisions = [decision for flow in table.flows for decision in decisions_of(flow)]
    shown = rounded(decisions) if rounded else np.array([d.features for d in decisions], np.float32)
    probabilities = model.probabilities(shown) if decisions else np.zeros((0, 6))
    verdicts = {flow.flow_id: Verdict() for flow in table.flows}
    classes = []
    for d, said in zip(decisions, probabilities, strict=True):
        first = table.flows[d.flow_id - 1].seen[0].packet
        p, evidence = hinted(said, first, d.signals)
        verdict = verdicts[d.flow_id]
        verdict.decide(p, evidence | Evidence.MODEL, d.packets, model.min_confidence)
        classes.append(verdict.app_class)
    records, chunks = [], []
    for flow in table.flows:
        verdicts[flow.flow_id].close()
        about = {"flow_id": flow.flow_id, "reserved": [0, 0]}
        records.append(about | measured(flow.seen) | verdicts[flow.flow_id].fields())
        chunks += [(flow.flow_id, c) for c in chunks_of(flow.seen, follow_udp(flow.seen), ended=True)]
    return Twin(table, records, decisions, classes, chunks)
