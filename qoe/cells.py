"""State of the cells: bearers, load and capacity."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from qoe.config import Direction
from qoe.schema import AppClass, FloatArray, IntArray, RecordArray
from qoe.subscribers import Match, SubscriberTable
from qoe.utility import BEARER_DTYPE, is_support

__all__ = ["LOAD_DTYPE", "CellLoad", "Match", "SubscriberTable", "bearers", "carried_bps"]

LOAD_DTYPE: Final = np.dtype(
    [
        ("cell", "i8"),
        ("direction", "u1"),  # Direction: 0 down, 1 up
        ("load_bps", "f8"),  # bytes on the wire in the last interval
        ("busiest_bps", "f8"),  # the busiest second of the clock so far
        ("capacity_bps", "f8"),  # configured, else the busiest second
        ("capacity_known", "?"),  # False: capacity_bps is but a lower bound
        ("n_flows", "u4"),  # with packets in this direction in the last interval
        ("n_subscribers", "u4"),
    ],
    align=True,
)
"""State of one direction of one cell over the last interval."""


class CellLoad:
    """Load of every cell and direction, and its busiest second.

    Parameters
    ----------
    table : SubscriberTable
    """

    def __init__(self, table: SubscriberTable) -> None:
        self._table = table
        n_cells = len(table.cell_names)
        self._busiest_bps = np.zeros((n_cells, 2))
        self._bytes = np.zeros((n_cells, 2))  # of the second under way
        self._second = 0
        self._end_s = 0.0

    def update(self, experience: RecordArray, interval_s: float, end_s: float | None = None) -> RecordArray:
        """Add one interval.

        Parameters
        ----------
        experience : ndarray of EXPERIENCE_DTYPE, shape (n,)
            Read are ``subscriber``, ``bytes_down``, ``bytes_up``.
        interval_s : float
            Its length, above 0. Shorter intervals of the same second of the clock add up, and what is
            missing of the second counts as silent; a longer interval counts by its mean.
        end_s : float, optional
            Its end, seconds since 1970. None: it follows the one before it.

        Returns
        -------
        ndarray of LOAD_DTYPE, shape (2 * n_cells,)
            By cell, down before up.
        """
        table = self._table
        owned = experience["subscriber"] >= 0
        subscriber = experience["subscriber"][owned]
        cell = np.full(len(experience), table.default_cell, np.int64)
        cell[owned] = table.cell[subscriber]
        rows = np.zeros(2 * len(table.cell_names), LOAD_DTYPE)
        rows["cell"] = np.arange(len(rows)) // 2
        rows["direction"] = np.arange(len(rows)) % 2
        n_bytes = np.zeros_like(self._bytes)
        for direction, name in ((Direction.DOWN, "bytes_down"), (Direction.UP, "bytes_up")):
            some = (experience[name] > 0) & (cell >= 0)
            n_bytes[:, direction] = _sums(cell[some], experience[name][some], len(n_bytes))
            rows["n_flows"][direction::2] = _sums(cell[some], None, len(n_bytes))
            served = np.unique(experience["subscriber"][some & owned])
            rows["n_subscribers"][direction::2] = _sums(table.cell[served], None, len(n_bytes))
        self._end_s = self._end_s + interval_s if end_s is None else end_s
        self._observe(n_bytes, interval_s)
        rows["load_bps"] = (n_bytes * 8 / interval_s).ravel()
        rows["busiest_bps"] = self._busiest_bps.ravel()
        rows["capacity_known"] = ~np.isnan(table.capacity_bps).ravel()
        rows["capacity_bps"] = np.where(
            rows["capacity_known"], table.capacity_bps.ravel(), rows["busiest_bps"]
        )
        return rows

    def _observe(self, n_bytes: FloatArray, interval_s: float) -> None:
        second = math.floor(self._end_s - interval_s / 2)
        self._bytes = n_bytes + (self._bytes if second == self._second else 0.0)
        self._second = second
        self._busiest_bps = np.maximum(self._busiest_bps, self._bytes * 8 / max(interval_s, 1.0))


def _sums(index: IntArray, values: Any, length: int) -> FloatArray:
    """Sum values (None: count) by index; uint64 counters sum exactly up to 2**53."""
    weights = None if values is None else values.astype(np.float64)
    return np.bincount(index, weights, minlength=length).astype(np.float64)


def carried_bps(experience: RecordArray, table: SubscriberTable) -> FloatArray:
    """Return the rate of all `bearers` of each cell, shape (n_cells, 2): down and up."""
    owned = experience[experience["subscriber"] >= 0]
    cell, n_cells = table.cell[owned["subscriber"]], len(table.cell_names)
    rates = [_sums(cell, owned[name], n_cells) for name in ("rate_down_bps", "rate_up_bps")]
    return np.stack(rates, axis=1)


_MEANS: Final = (
    ("mos", "mos"),
    ("mos_confidence", "mos_confidence"),
    ("rtt_ms", "path_rtt_ms"),
    ("queue_ms", "queue_ms"),
    ("jitter_ms", "jitter_ms"),
    ("stall_s", "stall_s"),
    ("buffer_s", "buffer_s"),
    ("page_s", "page_s"),
    ("page_bytes", "page_bytes"),
)
"""Fields of a bearer that are means of a field of its flows, by the flows' rates both ways."""


def bearers(experience: RecordArray, table: SubscriberTable, load: RecordArray) -> RecordArray:
    """Group the subscribers' flows into bearers: one subscriber, class and direction.

    Parameters
    ----------
    experience : ndarray of EXPERIENCE_DTYPE, shape (n,)
        Flows; those that are nobody's are left out.
    table : SubscriberTable
    load : ndarray of LOAD_DTYPE
        From `CellLoad.update`: the capacity is the efficiency of who has none of its own.

    Returns
    -------
    ndarray of BEARER_DTYPE, shape (n_bearers,)
        Sorted by cell, direction, subscriber, class. Rates add up; what is measured becomes a mean
        weighted by the flows' rates, without the unknown (NaN) ones; model and codec are the strongest
        flow's. The ladder of a player and fading are not to be seen from here and stay unknown. The floor of
        a tier is promised to every class but ``unknown`` and ``other``, and not to the direction that but
        feeds the other (`qoe.utility.is_support`).
    """
    rates = np.stack([experience["rate_down_bps"], experience["rate_up_bps"]], axis=1)
    flow, direction = np.nonzero((rates > 0) & (experience["subscriber"] >= 0)[:, None])
    flows, rate_bps = experience[flow], rates[flow, direction]
    subscriber, app_class = flows["subscriber"], flows["app_class"].astype(np.int64)
    cell = table.cell[subscriber]
    shape = (len(table.cell_names), len(Direction), len(table.names), len(AppClass))
    key = np.ravel_multi_index((cell, direction, subscriber, app_class), shape)
    distinct, group = np.unique(key, return_inverse=True)
    result = np.zeros(len(distinct), BEARER_DTYPE)
    names = ("cell", "direction", "subscriber", "app_class")
    for name, column in zip(names, np.unravel_index(distinct, shape), strict=True):
        result[name] = column
    _measure(result, group, flows, rate_bps)
    _terms(result, table, load)
    media_bps = np.nan_to_num(result["media_bps"])
    result["share_observed"] = np.minimum(
        np.maximum(result["rate_bps"], media_bps) / result["efficiency_bps"], 1
    )
    return result


def _measure(result: RecordArray, group: IntArray, flows: RecordArray, rate_bps: FloatArray) -> None:
    """Fill in what was seen of the bearers' flows."""
    n_bearers = len(result)
    down = result["direction"][group] == Direction.DOWN
    total_bps = flows["rate_down_bps"] + flows["rate_up_bps"]
    result["n_flows"] = _sums(group, None, n_bearers)
    result["rate_bps"] = _sums(group, rate_bps, n_bearers)
    result["down_fraction"] = _mean(group, flows["rate_down_bps"] / total_bps, total_bps, n_bearers)
    for name, of in _MEANS:
        result[name] = _mean(group, flows[of], total_bps, n_bearers)
    leading = np.lexsort((rate_bps, group))[np.cumsum(result["n_flows"], dtype=np.int64) - 1]
    result["model"], result["codec"] = flows["model"][leading], flows["codec"][leading]
    result["loss_ratio"] = _mean(
        group, np.where(down, flows["loss_down_ratio"], flows["loss_up_ratio"]), rate_bps, n_bearers
    )
    result["activity_ratio"] = _mean(group, flows["activity_ratio"], rate_bps, n_bearers)
    burstiness = np.where(down, flows["burstiness_down_ratio"], flows["burstiness_up_ratio"])
    result["burstiness_ratio"] = _mean(group, burstiness, rate_bps, n_bearers)
    packet_bytes = np.where(down, flows["packet_bytes_down"], flows["packet_bytes_up"])
    result["packet_bytes"] = 1 / _mean(group, 1 / packet_bytes, rate_bps, n_bearers)
    for app_class in AppClass:
        result["probability"][:, app_class] = _mean(
            group, flows["probability"][:, app_class], total_bps, n_bearers
        )
    plays = down & np.isfinite(flows["media_bps"])
    media_bps = _sums(group[plays], flows["media_bps"][plays], n_bearers)
    result["media_bps"] = np.where(media_bps > 0, media_bps, np.nan)


def _terms(result: RecordArray, table: SubscriberTable, load: RecordArray) -> None:
    """Fill in what the bearers' subscribers were granted."""
    subscriber, app_class = result["subscriber"], result["app_class"]
    result["weight"] = table.weight[subscriber] * table.class_weight[app_class]
    promised = (app_class != AppClass.UNKNOWN) & (app_class != AppClass.OTHER) & ~is_support(result)
    result["floor_mos"] = np.where(promised, table.floor_mos[subscriber], np.nan)
    capacity_bps = np.full((len(table.cell_names), 2), np.nan)
    capacity_bps[load["cell"], load["direction"]] = load["capacity_bps"]
    alone_bps = table.efficiency_bps[subscriber, result["direction"]]
    shared_bps = capacity_bps[result["cell"], result["direction"]]
    alone_bps = np.where(np.isnan(alone_bps), shared_bps, alone_bps)
    result["efficiency_bps"] = np.where(alone_bps > 0, alone_bps, result["rate_bps"])


def _mean(group: IntArray, values: FloatArray, weights: FloatArray, n_groups: int) -> FloatArray:
    """Weighted mean of each group without its NaN; NaN where nothing is left."""
    known = np.isfinite(values) & (weights > 0)
    total = _sums(group[known], weights[known], n_groups)
    summed = _sums(group[known], (values * weights)[known], n_groups)
    mean = np.full(n_groups, np.nan)
    np.divide(summed, total, out=mean, where=total > 0)
    return mean
