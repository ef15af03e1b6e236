"""From flow records to MOS: per flow, per subscriber, per cell, over a sliding horizon.

The rule by which scores combine: a flow has a MOS (`qoe.judgement` says how); a subscriber's class has the
mean of its flows, weighted by their bytes; a subscriber has the mean of its active classes, weighted by
class weight; a cell has the plain mean of its subscribers, and Hoßfeld's fairness index beside it. What has
no MOS (NaN) is left out of every mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from qoe.applications import MosModel
from qoe.judgement import COUNTERS, EXPERIENCE_DTYPE, Window, judge, life_s
from qoe.mos import aggregate
from qoe.playback import pages
from qoe.schema import CHUNK_DTYPE, CLASS_NAMES, AppClass, FloatArray, IntArray, RecordArray
from qoe.tracking import FlowStore, MediaMemory, count, whole_viewings

__all__ = [
    "ALL_CLASSES",
    "EXPERIENCE_DTYPE",
    "SUBSCRIBER_DTYPE",
    "MosModel",
    "Tracker",
    "by_subscriber",
    "cell_mos",
    "flow_mos",
]

_SHORTEST_S: Final = 0.1


class Tracker:
    """Experience of all flows with packets in the last `horizon_s` seconds.

    Parameters
    ----------
    horizon_s : float
        Seconds over which MOS is judged. Video looks further back: a minute of media.
    max_flows : int
        Beyond it the flows idle longest are dropped, counted in `n_dropped`.
    retention_s : float
        Flows idle for so long are forgotten. Take more than the engine's idle timeout: a flow that comes
        back after that is judged from its second interval on.
    """

    def __init__(self, horizon_s: float = 10.0, max_flows: int = 262_144, retention_s: float = 150.0) -> None:
        self._horizon_s = horizon_s
        self._flows = FlowStore(horizon_s, max_flows, retention_s)
        self._media = MediaMemory()

    @property
    def n_dropped(self) -> int:
        """Flows dropped for want of room."""
        return self._flows.n_dropped

    def update(
        self,
        snapshot: RecordArray,
        chunks: RecordArray,
        now_s: float,
        subscriber: IntArray | None = None,
        side: IntArray | None = None,
    ) -> RecordArray:
        """Take what the last interval brought and judge every flow active within the horizon.

        Parameters
        ----------
        snapshot : ndarray of FLOW_DTYPE, shape (n,)
            Flows with packets in the last interval (counters since their start), those that ended in it
            included, in any order.
        chunks : ndarray of CHUNK_DTYPE
            Responses that ended in the last interval.
        now_s : float
            The end of the interval, on the clock of the records' ``_ns``.
        subscriber, side : ndarray of int, shape (n,), optional
            Whose each flow is, from ``SubscriberTable.match(snapshot)``; None: nobody's.

        Returns
        -------
        ndarray of EXPERIENCE_DTYPE
            One row a flow seen within the horizon, by rising flow_id.
        """
        nobody = np.full(len(snapshot), -1)
        _, first = np.unique(snapshot["flow_id"], return_index=True)
        records = snapshot[first]
        owner = (nobody if subscriber is None else subscriber)[first]
        growth = self._flows.advance(records, owner, (nobody if side is None else side)[first], now_s)
        self._media.add(chunks, now_s)
        state, window = self._flows.active()
        flows = state["record"]
        rows = judge(
            flows,
            window,
            (state["subscriber"], state["side"]),
            self._media.viewings(flows[flows["app_class"] == AppClass.VIDEO], now_s),
            pages(flows, state["subscriber"], self._media.since(now_s - self._horizon_s)),
        )
        _add_interval(rows, records["flow_id"], growth)
        return rows


def _add_interval(rows: RecordArray, flow_id: RecordArray, growth: FloatArray) -> None:
    """Fill in what the last interval brought to the flows that had packets in it."""
    place = np.searchsorted(rows["flow_id"], flow_id)
    there = place < len(rows)
    there[there] = rows["flow_id"][place[there]] == flow_id[there]
    place, growth = place[there], growth[there]
    forward_is_down = rows["side"][place] == 1
    for name in ("bytes", "packets"):
        first = COUNTERS.index(f"{name}_forward")
        forward, reverse = growth[:, first], growth[:, first + 1]
        rows[f"{name}_down"][place] = np.where(forward_is_down, forward, reverse)
        rows[f"{name}_up"][place] = np.where(forward_is_down, reverse, forward)


def flow_mos(
    flows: RecordArray,
    chunks: RecordArray | None = None,
    subscriber: IntArray | None = None,
    side: IntArray | None = None,
) -> RecordArray:
    """Judge flows over their whole life.

    Parameters
    ----------
    flows : ndarray of FLOW_DTYPE, shape (n,)
        Final records.
    chunks : ndarray of CHUNK_DTYPE, optional
        All their chunks, in any order.
    subscriber, side : ndarray of int, shape (n,), optional
        From ``SubscriberTable.match(flows)``; None: nobody's, and ``src`` counts as the subscriber.

    Returns
    -------
    ndarray of EXPERIENCE_DTYPE, shape (n,)
        Rows in the order of `flows`; bytes and packets are those of the whole flow.
    """
    order = np.argsort(flows["flow_id"], kind="stable")
    flows = flows[order]
    nobody = np.full(len(flows), -1)
    owner = nobody if subscriber is None else subscriber[order]
    chunks = np.zeros(0, CHUNK_DTYPE) if chunks is None else chunks
    chunks = chunks[np.lexsort((chunks["request_ns"], chunks["flow_id"]))]
    growth = count(flows)
    window = Window(growth, np.maximum(life_s(flows), _SHORTEST_S), np.ones(len(flows)))
    rows = judge(
        flows,
        window,
        (owner, nobody if side is None else side[order]),
        whole_viewings(flows[flows["app_class"] == AppClass.VIDEO], chunks),
        pages(flows, owner, chunks),
    )
    _add_interval(rows, rows["flow_id"], growth)
    result = np.empty_like(rows)
    result[order] = rows
    return result


ALL_CLASSES: Final = 255
"""``app_class`` of the row that is a subscriber's own."""

SUBSCRIBER_DTYPE: Final = np.dtype(
    [
        ("subscriber", "i8"),  # -1: flows that are nobody's
        ("app_class", "u1"),  # AppClass, or ALL_CLASSES
        ("mos", "f8"),  # NaN: none of its flows has one
        ("mos_confidence", "f8"),
        ("n_flows", "u4"),
        ("bytes_down", "u8"),  # in the last interval
        ("bytes_up", "u8"),
    ],
    align=True,
)
"""What one subscriber experiences of one class, or of all its classes."""


def by_subscriber(experience: RecordArray, class_weights: Mapping[str, float] | None = None) -> RecordArray:
    """Combine flows to classes and classes to subscribers, by the rule at the head of this module.

    Parameters
    ----------
    experience : ndarray of EXPERIENCE_DTYPE, shape (n,)
    class_weights : mapping of class name to float, optional
        A class not named weighs 1.

    Returns
    -------
    ndarray of SUBSCRIBER_DTYPE
        Sorted by subscriber, then class; each subscriber's last row, ALL_CLASSES, is its own.
    """
    per_class = _combine(
        experience["subscriber"],
        experience["app_class"],
        np.ones(len(experience), np.int64),
        experience,
        experience["rate_down_bps"] + experience["rate_up_bps"],
    )
    weights = class_weights or {}
    weight = np.array([weights.get(name, 1.0) for name in CLASS_NAMES])[per_class["app_class"]]
    everything = np.full(len(per_class), ALL_CLASSES)
    own = _combine(per_class["subscriber"], everything, per_class["n_flows"], per_class, weight)
    rows = np.concatenate([per_class, own])
    return rows[np.lexsort((rows["app_class"], rows["subscriber"]))]


def _combine(
    subscriber: IntArray, app_class: IntArray, n_flows: IntArray, parts: RecordArray, weight: FloatArray
) -> RecordArray:
    """Merge rows of the same subscriber and class: MOS by weight, counts by sum."""
    key = (subscriber + 1) * (ALL_CLASSES + 1) + app_class
    distinct, group = np.unique(key, return_inverse=True)
    rows = np.zeros(len(distinct), SUBSCRIBER_DTYPE)
    rows["subscriber"], rows["app_class"] = distinct // (ALL_CLASSES + 1) - 1, distinct % (ALL_CLASSES + 1)
    weight = np.where(np.isnan(parts["mos"]), 0.0, weight)
    total = np.bincount(group, weight, minlength=len(rows))
    for name in ("mos", "mos_confidence"):
        rows[name] = np.nan if name == "mos" else 0.0
        summed = np.bincount(group, np.nan_to_num(parts[name]) * weight, minlength=len(rows))
        np.divide(summed, total, out=rows[name], where=total > 0)
    rows["n_flows"] = np.bincount(group, n_flows, minlength=len(rows))
    for name in ("bytes_down", "bytes_up"):
        rows[name] = np.bincount(group, parts[name].astype(np.float64), minlength=len(rows))
    return rows


def cell_mos(mos: FloatArray) -> tuple[float, float]:
    """Return the mean MOS of a cell's subscribers and the Hoßfeld fairness of it.

    Parameters
    ----------
    mos : ndarray of float64, shape (n,)
        One score a subscriber; NaN are left out.

    Returns
    -------
    mean, fairness : float
        NaN and 1 without a score.
    """
    return aggregate.mean_mos(mos), aggregate.fairness(mos)
