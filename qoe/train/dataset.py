"""The training matrix: what the classifier saw of every labelled flow, whole and in part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.schema import N_FEATURES, IntArray
from qoe.train.replay import Frames, Replayed, Thinning

WHOLE: Final = 0
FORWARD_ONLY: Final = 1
REVERSE_ONLY: Final = 2
LATE: Final = 3
PARTS: Final = {FORWARD_ONLY: "forward_only", REVERSE_ONLY: "reverse_only", LATE: "first_packets_missing"}
_LATE_PACKETS: Final = (3, 60)

TextArray = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled flows, and the feature vectors of the decisions on them.

    Attributes
    ----------
    capture : ndarray of int64, shape (n_flows,)
        Number of the capture, in the order they were given.
    label : ndarray of int64, shape (n_flows,)
        Number of the label within its capture.
    app_class : ndarray of int64, shape (n_flows,)
        1 to 6.
    app, source : ndarray of str, shape (n_flows,)
        Application and where it was recorded.
    n_packets : ndarray of int64, shape (n_flows,)
    features : ndarray of float32, shape (n_decisions, 64)
    flow : ndarray of int64, shape (n_decisions,)
        Which flow a decision was about.
    seen : ndarray of int64, shape (n_decisions,)
        Packets seen by then.
    variant : ndarray of int64, shape (n_decisions,)
        WHOLE; FORWARD_ONLY, REVERSE_ONLY: only one direction was shown; LATE: the first packets were not.
    last : ndarray of bool, shape (n_decisions,)
        The decision at the flow's end.
    """

    capture: IntArray
    label: IntArray
    app_class: IntArray
    app: TextArray
    source: TextArray
    n_packets: IntArray
    features: npt.NDArray[np.float32]
    flow: IntArray
    seen: IntArray
    variant: IntArray
    last: npt.NDArray[np.bool_]


def build(captures: Iterable[Frames], seed: int) -> Dataset:
    """Replay captures, whole and in part, and collect every decision on a labelled flow.

    Parameters
    ----------
    captures : iterable of Frames
    seed : int
        Of how many first packets the LATE variant leaves out of each flow: 3 to 59.
    """
    flows: list[tuple[int, int, int, str, str, int]] = []
    nothing = np.empty(0, np.int64)
    parts = [(np.empty((0, N_FEATURES), np.float32), nothing, nothing, nothing, np.empty(0, bool))]
    for number, frames in enumerate(captures):
        whole = frames.replay()
        row_of = _add_flows(flows, number, frames, whole)
        parts.append(_decisions(whole, row_of, WHOLE))
        for variant, keep in _thinnings(np.random.default_rng([seed, number])):
            parts.append(_decisions(frames.thinned(keep), row_of, variant))
    features, flow, seen, variant_of, last = (np.concatenate(column) for column in zip(*parts, strict=True))
    columns = list(zip(*flows, strict=True)) or [()] * 6
    numbers = [np.array(column, np.int64) for column in (*columns[:3], columns[5])]
    return Dataset(
        numbers[0], numbers[1], numbers[2], np.array(columns[3], np.str_), np.array(columns[4], np.str_),
        numbers[3], features, flow, seen, variant_of, last,
    )  # fmt: skip


def _add_flows(
    flows: list[tuple[int, int, int, str, str, int]], number: int, frames: Frames, whole: Replayed
) -> dict[int, int]:
    """Append the labelled flows of a capture; return the row of each label."""
    row_of: dict[int, int] = {}
    for flow in whole.flows:
        index = whole.label_of_flow.get(int(flow["flow_id"]))
        if index is None or index in row_of:
            continue
        label = frames.capture.labels[index]
        n_packets = int(flow["packets_forward"] + flow["packets_reverse"])
        row_of[index] = len(flows)
        flows.append((number, index, label.app_class, label.app, frames.capture.source, n_packets))
    return row_of


def _decisions(
    replayed: Replayed, row_of: dict[int, int], variant: int
) -> tuple[npt.NDArray[np.float32], IntArray, IntArray, IntArray, npt.NDArray[np.bool_]]:
    decisions = replayed.decisions
    row = np.array(
        [row_of.get(replayed.label_of_flow.get(int(i), -1), -1) for i in decisions["flow_id"]], np.int64
    )
    final = np.zeros(len(decisions), bool)
    reverse_at = np.unique(decisions["flow_id"][::-1], return_index=True)[1]
    final[len(decisions) - 1 - reverse_at] = True
    kept = row >= 0
    seen = decisions["packets"].astype(np.int64)
    features = decisions["features"].reshape(-1, N_FEATURES)
    return features[kept], row[kept], seen[kept], np.full(kept.sum(), variant), final[kept]


def _thinnings(rng: np.random.Generator) -> list[tuple[int, Thinning]]:
    skip = rng.integers(*_LATE_PACKETS, 4096)
    return [
        (FORWARD_ONLY, lambda flow, direction, number: direction == 0),
        (REVERSE_ONLY, lambda flow, direction, number: direction == 1),
        (LATE, lambda flow, direction, number: number >= skip[flow % 4096]),
    ]
