"""Labelled captures through the kernel: what the classifier saw of each labelled flow, and what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.capture import Source
from qoe.errors import CaptureError
from qoe.flows import Engine, addresses
from qoe.schema import DECISION_DTYPE, FLOW_DTYPE, Burst, Option, RecordArray
from qoe.train import traces
from qoe.train.labels import SESSION, Key, LabelledCapture

_MAX_FLOWS: Final = 1 << 15
_BURST: Final = 4096
_ENGINE_SEED: Final = 1

Flags = npt.NDArray[np.bool_]
Thinning = Callable[[npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.int64]], Flags]
"""Which packets to keep, given each packet's flow, direction and number within its flow (from 0)."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What an engine made of one capture.

    Attributes
    ----------
    label_of_flow : dict of int to int
        Index into the capture's labels, by flow_id; unlabelled flows are missing.
    decisions : ndarray of DECISION_DTYPE
        In order of time.
    flows : ndarray of FLOW_DTYPE
        As exported at the end; none is ever split.
    """

    label_of_flow: dict[int, int]
    decisions: RecordArray
    flows: RecordArray


class Frames:
    """A labelled capture in memory: read once, replayed as often as training needs.

    Parameters
    ----------
    capture : LabelledCapture
    packets : iterable of Burst, optional
        Its packets, when they are not to be read from its file.

    Attributes
    ----------
    bursts : list of Burst
        Empty for a CSV file that holds no packets.
    """

    def __init__(self, capture: LabelledCapture, packets: Iterable[Burst] | None = None) -> None:
        self.capture = capture
        self._sessions: dict[str, Key] = {}
        self.bursts = list(self._read(capture.path) if packets is None else packets)

    def _read(self, path: Path) -> Iterator[Burst]:
        if not path.name.removesuffix(".gz").endswith(".csv"):
            yield from _capture_bursts(path)
            return
        sessions = traces.read_sessions(path) or []
        server = ".".join(map(str, traces.SERVER))
        for index, session in enumerate(sessions):
            client = ".".join(map(str, traces.client_address(index)))
            if len(session.ts_us):
                protocol = traces.transport(session)
                self._sessions[SESSION + session.name] = (
                    client,
                    traces.PORTS[0],
                    server,
                    traces.PORTS[1],
                    protocol,
                )
        yield from traces.bursts(sessions)

    def replay(
        self, *, model: bytes | None = None, options: int = 0, min_confidence: float = 0.0
    ) -> Replayed:
        """Pass all packets through a new engine.

        Parameters
        ----------
        model : bytes, optional
            The classifier; None for none.
        options : int
            `qoe.schema.Option` bits besides TRACE_FEATURES.
        min_confidence : float
            0 for the model's own.
        """
        return self._pass(self.bursts, model, options, min_confidence)

    def thinned(self, keep: Thinning) -> Replayed:
        """Pass some of the packets through a new engine without a model: flows seen in part."""
        engine = _engine(None, 0, 0.0)
        verdicts = [engine.process(burst) for burst in self.bursts]
        joined = (
            np.concatenate(verdicts) if verdicts else np.empty(0, [("flow_id", "u8"), ("direction", "u1")])
        )
        flow = joined["flow_id"]
        kept = keep(flow, joined["direction"], number_within(flow)) & (flow > 0)
        ends = np.cumsum([len(burst.packets) for burst in self.bursts])
        pieces = np.split(kept, ends[:-1]) if len(ends) else []
        some = [Burst(b.data, b.packets[k]) for b, k in zip(self.bursts, pieces, strict=True) if k.any()]
        return self._pass(some, None, 0, 0.0)

    def _pass(
        self, bursts: list[Burst], model: bytes | None, options: int, min_confidence: float
    ) -> Replayed:
        engine = _engine(model, options, min_confidence)
        decisions, flows = [np.empty(0, DECISION_DTYPE)], [np.empty(0, FLOW_DTYPE)]

        def collect() -> None:
            decisions.append(engine.decisions())
            flows.append(engine.export())
            engine.chunks()

        for burst in bursts:
            engine.process(burst)
            collect()
        while engine.flush(_BURST):
            collect()
        all_flows = np.concatenate(flows)
        return Replayed(self._join(all_flows), np.concatenate(decisions), all_flows)

    def _join(self, flows: RecordArray) -> dict[int, int]:
        number: dict[Key, int] = {}
        for index, label in enumerate(self.capture.labels):
            key = self._sessions.get(label.key[0], label.key)
            number.setdefault(key, index)
            number.setdefault((key[2], key[3], key[0], key[1], key[4]), index)
        joined: dict[int, int] = {}
        for flow, src, dst in zip(flows, *addresses(flows), strict=True):
            key = (src, int(flow["src_port"]), dst, int(flow["dst_port"]), int(flow["protocol"]))
            if key in number:
                joined[int(flow["flow_id"])] = number[key]
        return joined


def number_within(groups: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Number the members of each group from 0, in order."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = (
        np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(groups) else np.empty(0, np.int64)
    )
    lengths = np.diff(np.r_[starts, len(groups)])
    number = np.empty(len(groups), np.int64)
    number[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return number


def _engine(model: bytes | None, options: int, min_confidence: float) -> Engine:
    return Engine(
        max_flows=_MAX_FLOWS,
        idle_timeout_s=0,
        active_timeout_s=0,
        seed=_ENGINE_SEED,
        options=options | Option.TRACE_FEATURES,
        model=model,
        min_confidence=min_confidence,
    )


def _capture_bursts(path: Path) -> Iterator[Burst]:
    with Source(str(path)) as source:
        while (burst := source.next_burst(_BURST)) is not None:
            yield burst
        if source.reader.error:
            raise CaptureError(source.warnings()[0])
