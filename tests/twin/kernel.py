"""What the kernel says of a capture, read as `qoe flows` reads it, with room for all flows at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qoe.capture import open_captures
from qoe.flows import Engine
from qoe.schema import Option, RecordArray

from .rules import SECOND

LOST = ("flows_evicted", "exports_lost", "extensions_full", "chunks_lost", "decisions_lost")


@dataclass
class Kernel:
    """Everything that an engine hands out; flows and decisions in the order of the flows' first packets."""

    flows: RecordArray
    decisions: RecordArray
    chunks: RecordArray
    counters: dict[str, int]


def kernel_of(path: Path, *, idle_timeout_ns: int, active_timeout_ns: int, max_flows: int = 0) -> Kernel:
    """Take a capture through an engine and end all flows.

    Parameters
    ----------
    path : Path
    idle_timeout_ns, active_timeout_ns : int
        0 never splits a flow.
    max_flows : int, optional
        Enough that none is evicted; 0 for the engine's default, a million.

    Raises
    ------
    RuntimeError
        The engine was too small for the capture, so that its records say nothing.
    """
    engine = Engine(
        max_flows=max_flows,
        idle_timeout_s=idle_timeout_ns / SECOND,
        active_timeout_s=active_timeout_ns / SECOND,
        seed=1,
        options=Option.TRACE_FEATURES,
    )
    taken: list[tuple[RecordArray, RecordArray, RecordArray]] = []
    for source in open_captures([str(path)]):
        while (status := engine.consume(source.reader)) in ("more", "export"):
            if status == "more":
                source.fill()
            else:
                taken.append((engine.export(), engine.decisions(), engine.chunks()))
    engine.flush()
    taken.append((engine.export(), engine.decisions(), engine.chunks()))
    flows, decisions, chunks = (np.concatenate(pieces) for pieces in zip(*taken, strict=True))
    counters = engine.counters()
    if lost := {name: counters[name] for name in LOST if counters[name]}:
        raise RuntimeError(f"{path}: the engine has no room for all flows: {lost}; give it more max_flows")
    return Kernel(_by_flow(flows), _by_flow(decisions), _by_flow(chunks), counters)


def _by_flow(rows: RecordArray) -> RecordArray:
    return rows[np.argsort(rows["flow_id"], kind="stable")]
