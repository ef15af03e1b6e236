"""What is remembered between intervals: how flows grew within the horizon, and the chunks of players.

All is bounded: flows by number and by idle time, chunks by number and by age.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qoe.judgement import COUNTERS, Window
from qoe.playback import Viewing, view
from qoe.schema import CHUNK_DTYPE, FLOW_DTYPE, BoolArray, FloatArray, FlowFlag, IntArray, RecordArray

_STATE_DTYPE: Final = np.dtype(
    [
        ("record", FLOW_DTYPE),  # the latest
        ("subscriber", "i8"),
        ("side", "i1"),
        ("counted", "f8", (len(COUNTERS),)),  # counters at the latest record
        ("grown", "f8", (len(COUNTERS),)),  # growth within the horizon
        ("n_steps", "i8"),  # intervals within the horizon that had packets
        ("active_s", "f8"),  # their length
        ("seen_s", "f8"),  # end of the latest
        ("admitted_s", "f8"),
    ]
)
_SHORTEST_S: Final = 0.1  # a flow counts as active for so long at least

_MEDIA_MEMORY_S: Final = 300.0
_VIEWING_ENDS_S: Final = 45.0  # without a chunk for so long a video is over
_OPENING_S: Final = 10.0  # a viewing began with its flow if its first chunk was asked for so soon


def count(records: RecordArray) -> FloatArray:
    """Return flow records' counters, shape (n, len(COUNTERS)); up to 2**53, where float64 is exact."""
    counters: FloatArray = np.stack([records[name] for name in COUNTERS], axis=1).astype(np.float64)
    return np.minimum(counters, 2.0**53)


class _Step(NamedTuple):
    """What one interval brought; growth in float32, so that what is added is what is taken off again."""

    now_s: float
    length_s: float
    flow_id: RecordArray
    growth: npt.NDArray[np.float32]


def _locate(known: RecordArray, wanted: RecordArray) -> tuple[IntArray, BoolArray]:
    """Return where each of the wanted ids stands among the known, sorted ones, and whether it is there."""
    place = np.searchsorted(known, wanted)
    there = place < len(known)
    there[there] = known[place[there]] == wanted[there]
    return place, there


class FlowStore:
    """Flows seen of late, by rising flow_id, and how they grew within the horizon.

    Parameters
    ----------
    horizon_s : float
        What the growth covers.
    max_flows : int
        Beyond it the flows idle longest are dropped.
    retention_s : float
        Flows idle for so long are forgotten.

    Attributes
    ----------
    n_dropped : int
        Flows dropped for want of room.
    """

    def __init__(self, horizon_s: float, max_flows: int, retention_s: float) -> None:
        self.n_dropped = 0
        self._horizon_s, self._max_flows = horizon_s, max_flows
        self._retention_s = max(retention_s, horizon_s)
        self._rows: RecordArray = np.zeros(0, _STATE_DTYPE)
        self._steps: deque[_Step] = deque()
        self._began_s = self._now_s = np.nan
        self._interval_s = np.inf

    def advance(self, records: RecordArray, subscriber: IntArray, side: IntArray, now_s: float) -> FloatArray:
        """Take an interval's records (sorted by flow_id, each once); return how their counters grew in it."""
        before_s = self._now_s
        length_s = self._clock(records, now_s)
        place = self._admit(records, now_s, now_s - length_s if np.isnan(before_s) else before_s)
        counted = count(records)
        growth: FloatArray = np.maximum(counted - self._rows["counted"][place], 0.0)
        rounded = growth.astype(np.float32)
        for name, values in (
            ("record", records),
            ("subscriber", subscriber),
            ("side", side),
            ("counted", counted),
            ("seen_s", now_s),
        ):
            self._rows[name][place] = values
        self._steps.append(_Step(now_s, length_s, records["flow_id"].copy(), rounded))
        self._shift(place, rounded, length_s, 1)
        self._forget()
        return growth

    def active(self) -> tuple[RecordArray, Window]:
        """Return the state of the flows with packets within the horizon, and their growth over it."""
        rows = self._rows[self._rows["n_steps"] > 0]
        covered_s = min(max(self._now_s - self._began_s, _SHORTEST_S), self._horizon_s)
        age_s = self._now_s - rows["record"]["first_ns"] / 1e9
        active_s = np.clip(np.minimum(rows["active_s"], age_s), _SHORTEST_S, covered_s)
        seconds = np.full(len(rows), covered_s)
        return rows, Window(np.maximum(rows["grown"], 0.0), seconds, active_s / covered_s)

    def _clock(self, records: RecordArray, now_s: float) -> float:
        """Return the interval's length. After a pause it is that of the shortest: only that was looked at."""
        if np.isnan(self._now_s):
            earliest_s = float(records["first_ns"].min(initial=np.uint64(now_s * 1e9))) / 1e9
            length_s = min(max(now_s - earliest_s, _SHORTEST_S), self._horizon_s)
            self._began_s = now_s - length_s
        else:
            length_s = max(now_s - self._now_s, 0.0)
            if length_s > 0:
                self._interval_s = min(self._interval_s, length_s)
            length_s = min(length_s, self._interval_s)
        self._now_s = now_s
        return length_s

    def _admit(self, records: RecordArray, now_s: float, before_s: float) -> IntArray:
        """Return the rows of `records`, new ones added.

        A flow that began before `before_s`, the end of the last interval, but is not known here (it was
        dropped, or tracking began later) grows from its counters now: how much of them is new is not known.
        """
        known = self._rows["record"]["flow_id"]
        place, is_known = _locate(known, records["flow_id"])
        if is_known.all():
            return place
        fresh = np.zeros(np.count_nonzero(~is_known), _STATE_DTYPE)
        fresh["record"] = records[~is_known]
        fresh["admitted_s"] = now_s
        is_old = fresh["record"]["first_ns"] / 1e9 < before_s - _SHORTEST_S
        fresh["counted"][is_old] = count(fresh["record"][is_old])
        rows = np.concatenate([self._rows, fresh])
        if len(known) and fresh["record"]["flow_id"][0] < known[-1]:
            rows = rows[np.argsort(rows["record"]["flow_id"], kind="stable")]
        self._rows = rows
        return np.searchsorted(rows["record"]["flow_id"], records["flow_id"])

    def _take_off(self, step: _Step) -> None:
        """Take a step off the sums of those of its flows that are still here."""
        place, there = _locate(self._rows["record"]["flow_id"], step.flow_id)
        there[there] = self._rows["admitted_s"][place[there]] <= step.now_s  # else dropped and come back
        place = place[there]
        self._shift(place, step.growth[there], step.length_s, -1)
        self._rows["grown"][place[self._rows["n_steps"][place] == 0]] = 0.0

    def _shift(self, place: IntArray, growth: npt.NDArray[np.float32], length_s: float, sign: int) -> None:
        """Add a step of these rows to the sums, or take it off again."""
        self._rows["grown"][place] += sign * growth
        self._rows["n_steps"][place] += sign
        self._rows["active_s"][place] += sign * length_s

    def _forget(self) -> None:
        while self._steps and self._steps[0].now_s <= self._now_s - self._horizon_s + 1e-6:
            self._take_off(self._steps.popleft())
        idle_s = self._now_s - self._rows["seen_s"]
        if len(idle_s) > self._max_flows:
            self.n_dropped += len(idle_s) - self._max_flows
            kept = np.sort(np.argpartition(idle_s, self._max_flows - 1)[: self._max_flows])
            self._rows = self._rows[kept]
        elif np.any(idle_s > self._retention_s):
            self._rows = self._rows[idle_s <= self._retention_s]


class MediaMemory:
    """The chunks of the last minutes, and how the videos among them play.

    Parameters
    ----------
    max_chunks : int
        Beyond it the oldest are forgotten.
    """

    def __init__(self, max_chunks: int = 262_144) -> None:
        self._max_chunks = max_chunks
        self._chunks: RecordArray = np.zeros(0, CHUNK_DTYPE)
        self._viewings: dict[int, tuple[int, Viewing]] = {}

    def add(self, chunks: RecordArray, now_s: float) -> None:
        """Take the chunks of an interval that ends at `now_s`."""
        kept = np.concatenate([self._chunks, chunks])
        kept = kept[kept["last_ns"] / 1e9 > now_s - _MEDIA_MEMORY_S]
        if len(kept) > self._max_chunks:
            kept = kept[np.sort(np.argsort(kept["last_ns"], kind="stable")[-self._max_chunks :])]
        self._chunks = kept[np.lexsort((kept["request_ns"], kept["flow_id"]))]

    def since(self, begin_s: float) -> RecordArray:
        """Return the chunks that ended after a time."""
        return self._chunks[self._chunks["last_ns"] / 1e9 > begin_s]

    def viewings(self, videos: RecordArray, now_s: float) -> dict[int, Viewing]:
        """Return how the flows among `videos` (FLOW_DTYPE) play that had a chunk of late."""
        found: dict[int, tuple[int, Viewing]] = {}
        for record, chunks in of_flows(videos, self._chunks):
            if chunks["last_ns"][-1] / 1e9 < now_s - _VIEWING_ENDS_S:
                continue
            key, latest = int(record["flow_id"]), int(chunks["request_ns"][-1])
            before = self._viewings.get(key)
            if before is None or before[0] != latest:
                known_s = before[1].segment_s if before and before[1].segment_known else 0.0
                before = latest, view(chunks, from_start=_from_start(record, chunks), segment_s=known_s)
            found[key] = before
        self._viewings = found
        return {key: viewing for key, (_, viewing) in found.items()}


def whole_viewings(videos: RecordArray, chunks: RecordArray) -> dict[int, Viewing]:
    """Return how flows (FLOW_DTYPE) played from all their chunks, which are sorted by flow, then request."""
    return {
        int(record["flow_id"]): view(own, from_start=_from_start(record, own))
        for record, own in of_flows(videos, chunks)
    }


def of_flows(flows: RecordArray, chunks: RecordArray) -> Iterator[tuple[RecordArray, RecordArray]]:
    """Give each flow that has chunks with them; chunks are sorted by flow."""
    begin = np.searchsorted(chunks["flow_id"], flows["flow_id"], "left")
    end = np.searchsorted(chunks["flow_id"], flows["flow_id"], "right")
    for i in np.flatnonzero(end > begin):
        yield flows[i], chunks[begin[i] : end[i]]


def _from_start(record: RecordArray, chunks: RecordArray) -> bool:
    """Whether the first chunk at hand is the first of its flow."""
    waited_s = (float(chunks["request_ns"][0]) - float(record["first_ns"])) / 1e9
    return waited_s < _OPENING_S and not record["flags"] & FlowFlag.MID_FLOW
