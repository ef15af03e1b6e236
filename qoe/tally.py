"""What a replay adds up: by subscriber and class, and over time; bounded however long the capture is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qoe.cells import Match, SubscriberTable
from qoe.experience import ALL_CLASSES
from qoe.report.result import CellPoint, ClassSummary, SubscriberSummary, TimelinePoint
from qoe.schema import CLASS_NAMES, FloatArray, RecordArray

_N_CLASSES: Final = len(CLASS_NAMES)
_SUMS: Final = ("flows", "packets", "bytes_down", "bytes_up")
_ORDER: Final = (*range(1, _N_CLASSES), 0)  # unknown last


def _grown(values: npt.NDArray[Any], n_rows: int, fill: float = 0) -> npt.NDArray[Any]:
    """The same rows and as many new ones as are needed, with room for more."""
    if n_rows <= len(values):
        return values
    more = max(n_rows, 2 * len(values)) - len(values)
    return np.concatenate([values, np.full((more, *values.shape[1:]), fill, values.dtype)])


class Tally:
    """Flows and bytes of those that ended, and MOS interval by interval, by subscriber and class.

    Memory grows with the number of subscribers, which their table bounds, and with nothing else.
    """

    def __init__(self) -> None:
        # row 0 is nobody's traffic; the last column of MOS is the subscriber's own
        self._sums = {name: np.zeros((1, _N_CLASSES), np.int64) for name in _SUMS}
        self._mos_sum = np.zeros((1, _N_CLASSES + 1))
        self._mos_count = np.zeros((1, _N_CLASSES + 1))
        self._mos_min = np.full(1, np.inf)

    def add_flows(self, flows: RecordArray, match: Match) -> None:
        """Add flows that ended.

        Parameters
        ----------
        flows : ndarray of FLOW_DTYPE, shape (n,)
        match : Match
            Whose they are; what is nobody's counts as sent by its first packet's source.
        """
        row, column = match.subscriber + 1, flows["app_class"].astype(np.int64)
        n_rows = int(row.max(initial=0)) + 1
        forward_is_down = match.side == 1
        forward, reverse = flows["bytes_forward"], flows["bytes_reverse"]
        added = {
            "flows": np.ones(len(flows), np.int64),
            "packets": flows["packets_forward"] + flows["packets_reverse"],
            "bytes_down": np.where(forward_is_down, forward, reverse),
            "bytes_up": np.where(forward_is_down, reverse, forward),
        }
        for name, values in added.items():
            self._sums[name] = _grown(self._sums[name], n_rows)
            np.add.at(self._sums[name], (row, column), values.astype(np.int64))

    def add_mos(self, rows: RecordArray) -> None:
        """Add the MOS of one interval: rows of `qoe.experience.by_subscriber`."""
        rows = rows[np.isfinite(rows["mos"]) & (rows["subscriber"] >= 0)]
        row = rows["subscriber"] + 1
        own = rows["app_class"] == ALL_CLASSES
        column = np.where(own, _N_CLASSES, rows["app_class"])
        n_rows = int(row.max(initial=0)) + 1
        self._mos_sum = _grown(self._mos_sum, n_rows)
        self._mos_count = _grown(self._mos_count, n_rows)
        self._mos_min = _grown(self._mos_min, n_rows, np.inf)
        np.add.at(self._mos_sum, (row, column), rows["mos"])
        np.add.at(self._mos_count, (row, column), 1)
        np.minimum.at(self._mos_min, row[own], rows["mos"][own])

    @property
    def n_flows(self) -> int:
        """Flows added."""
        return int(self._sums["flows"].sum())

    @property
    def nobodys(self) -> tuple[int, int]:
        """Flows and bytes that are no subscriber's."""
        n_bytes = self._sums["bytes_down"][0].sum() + self._sums["bytes_up"][0].sum()
        return int(self._sums["flows"][0].sum()), int(n_bytes)

    def _mos(self, row: int | slice, column: int) -> float | None:
        count = float(np.sum(self._mos_count[row, column]))
        return float(np.sum(self._mos_sum[row, column])) / count if count else None

    def _summaries(self, row: int | slice) -> list[ClassSummary]:
        found = []
        for column in _ORDER:
            total = {name: int(np.sum(values[row, column])) for name, values in self._sums.items()}
            if total["flows"]:
                found.append(
                    ClassSummary(
                        app_class=CLASS_NAMES[column],
                        flows=total["flows"],
                        packets=total["packets"],
                        bytes=total["bytes_down"] + total["bytes_up"],
                        mos=self._mos(row, column),
                    )
                )
        return found

    def classes(self) -> list[ClassSummary]:
        """Sum up by class, over all subscribers and what is nobody's."""
        self._level()
        return self._summaries(slice(None))

    def subscribers(self, table: SubscriberTable) -> list[SubscriberSummary]:
        """Sum up by subscriber: those that had a flow, in the order of the table."""
        self._level()
        had_flows = np.flatnonzero(self._sums["flows"][1 : len(table.names) + 1].sum(axis=1))
        return [self._subscriber(table, int(index)) for index in had_flows]

    def _subscriber(self, table: SubscriberTable, index: int) -> SubscriberSummary:
        row = index + 1
        total = {name: int(values[row].sum()) for name, values in self._sums.items()}
        worst = float(self._mos_min[row])
        return SubscriberSummary(
            subscriber=table.names[index],
            cell=table.cell_names[table.cell[index]],
            tier=table.tiers[index],
            flows=total["flows"],
            packets=total["packets"],
            bytes=total["bytes_down"] + total["bytes_up"],
            bytes_down=total["bytes_down"],
            bytes_up=total["bytes_up"],
            mos=self._mos(row, _N_CLASSES),
            mos_min=worst if np.isfinite(worst) else None,
            classes=self._summaries(row),
        )

    def _level(self) -> None:
        """Give all sums the same number of rows."""
        n_rows = max(len(self._mos_sum), *(len(values) for values in self._sums.values()))
        self._sums = {name: _grown(values, n_rows) for name, values in self._sums.items()}
        self._mos_sum = _grown(self._mos_sum, n_rows)
        self._mos_count = _grown(self._mos_count, n_rows)
        self._mos_min = _grown(self._mos_min, n_rows, np.inf)


@dataclass(slots=True)
class _Span:
    """Sums over a span of time; MOS by ("class" or "subscriber", index), loads by row of LOAD_DTYPE."""

    end_s: float
    duration_s: float
    mos: dict[tuple[str, int], tuple[float, float]]  # sum of MOS times seconds, seconds
    load_bits: FloatArray

    def absorb(self, later: _Span) -> None:
        """Take in the span that follows."""
        self.end_s = later.end_s
        self.duration_s += later.duration_s
        self.load_bits = self.load_bits + later.load_bits
        for key, (total, seconds) in later.mos.items():
            before = self.mos.get(key, (0.0, 0.0))
            self.mos[key] = (before[0] + total, before[1] + seconds)


class Timeline:
    """MOS and load over time, in at most `max_points` spans: neighbours are merged when there are more.

    Parameters
    ----------
    spacing_s : float
        Intervals of the same `spacing_s` seconds, counted from the first one's begin, make one span;
        0: each its own.
    max_points : int
        Spans at most, 2 or more.
    max_values : int
        MOS values at most in all of them.
    max_subscribers : int
        Only the first so many of the table are followed over time.
    """

    def __init__(
        self,
        spacing_s: float = 0.0,
        *,
        max_points: int = 4096,
        max_values: int = 200_000,
        max_subscribers: int = 256,
    ) -> None:
        self._spacing_s = spacing_s
        self._first_s: float | None = None
        self._place = 0  # of the last span: how many spacings after the first
        self._spans: list[_Span] = []
        self._max_points, self._max_values = max_points, max_values
        self._max_subscribers = max_subscribers
        self._n_values = 0

    def add(self, end_s: float, duration_s: float, rows: RecordArray, load: RecordArray) -> None:
        """Add one interval.

        Parameters
        ----------
        end_s, duration_s : float
            When it ended, seconds since 1970, and its length.
        rows : ndarray
            Of `qoe.experience.by_subscriber`.
        load : ndarray of LOAD_DTYPE
            The same cells and directions each time.
        """
        rows = rows[np.isfinite(rows["mos"]) & (rows["subscriber"] >= 0)]
        own = (rows["app_class"] == ALL_CLASSES) & (rows["subscriber"] < self._max_subscribers)
        mos: dict[tuple[str, int], tuple[float, float]] = {}
        for subscriber, value in zip(
            rows["subscriber"][own].tolist(), rows["mos"][own].tolist(), strict=True
        ):
            mos["subscriber", subscriber] = (value * duration_s, duration_s)
        for app_class in range(_N_CLASSES):
            values = rows["mos"][rows["app_class"] == app_class]
            if len(values):
                mos["class", app_class] = (float(values.mean()) * duration_s, duration_s)
        self._append(_Span(end_s, duration_s, mos, load["load_bps"] * duration_s))
        if len(self._spans) > self._max_points or (
            self._n_values > self._max_values and len(self._spans) > 2
        ):
            self._merge()

    def _append(self, span: _Span) -> None:
        """Add a span, or merge it with the last one if both lie within the same spacing."""
        if self._first_s is None:
            self._first_s = span.end_s - span.duration_s
        place = self._place
        if self._spacing_s:
            self._place = math.floor((span.end_s - span.duration_s / 2 - self._first_s) / self._spacing_s)
        if self._spacing_s and self._spans and self._place == place:
            last = self._spans[-1]
            self._n_values -= len(last.mos)
            last.absorb(span)
            self._n_values += len(last.mos)
        else:
            self._spans.append(span)
            self._n_values += len(span.mos)

    def _merge(self) -> None:
        for first, second in zip(self._spans[::2], self._spans[1::2], strict=False):
            first.absorb(second)
        self._spans = self._spans[::2]
        self._n_values = sum(len(span.mos) for span in self._spans)

    def points(
        self, table: SubscriberTable, capacity_bps: Mapping[tuple[int, int], float]
    ) -> list[TimelinePoint]:
        """Give the points in order of time.

        Parameters
        ----------
        table : SubscriberTable
            Names.
        capacity_bps : mapping of (cell, direction) to float
            What loads are measured against.
        """
        return [_point(span, table, capacity_bps) for span in sorted(self._spans, key=lambda s: s.end_s)]


def _point(
    span: _Span, table: SubscriberTable, capacity_bps: Mapping[tuple[int, int], float]
) -> TimelinePoint:
    mean = {key: total / seconds for key, (total, seconds) in span.mos.items()}
    rates = (span.load_bits / span.duration_s).reshape(-1, 2)
    return TimelinePoint(
        time_s=span.end_s,
        duration_s=span.duration_s,
        classes={CLASS_NAMES[i]: v for (kind, i), v in mean.items() if kind == "class"},
        subscribers={table.names[i]: v for (kind, i), v in mean.items() if kind == "subscriber"},
        cells=[
            CellPoint(
                cell=table.cell_names[cell],
                direction=name,
                rate_bps=float(rates[cell, direction]),
                load_ratio=float(rates[cell, direction])
                / (capacity_bps.get((cell, direction), 0.0) or np.inf),
            )
            for cell in range(len(rates))
            for direction, name in enumerate(("down", "up"))
        ],
    )
