"""A capture replayed: what everyone experienced, and what other weights would have changed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from qoe.allocate import Busiest, allocate
from qoe.capture import Interface, expand
from qoe.cells import CellLoad, SubscriberTable, bearers, carried_bps
from qoe.config import CellsConfig, load_cells
from qoe.errors import CaptureError, ConfigError
from qoe.experience import EXPERIENCE_DTYPE, Tracker, by_subscriber
from qoe.feed import Feed, Progress, Reading
from qoe.flows import Engine
from qoe.live import LiveFeed
from qoe.optimise.history import History
from qoe.report.result import ReplayResult
from qoe.report.running import Running
from qoe.running import running
from qoe.schema import RecordArray
from qoe.shards import Shards
from qoe.tally import Tally, Timeline

OnFlows: TypeAlias = Callable[[RecordArray], None]
"""Called with flows (FLOW_DTYPE) as they end."""
OnRunning: TypeAlias = Callable[[Running], None]
"""Called with what is going on, at the end of every step."""

DEFAULT_HORIZON_S: Final = 10.0
_FLUSHED_AT_ONCE: Final = 65_536
BELOW_MOS: Final = 2.0
"""Whose MOS is below it is badly off."""
_STEPS_MOST: Final = 10  # a second; in shorter steps no flow seems to be active, and its MOS is too good


def replay(
    captures: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    cells: CellsConfig | str | Path | None = None,
    capacity_bps: float | tuple[float, float] | None = None,
    interval_s: float = 1.0,
    model: str | Path | None = "default",
) -> ReplayResult:
    """Judge the experience in captures and find the weights that raise it.

    Parameters
    ----------
    captures : str, path, or iterable of them
        Files, glob patterns, "-" for standard input.
    cells : CellsConfig or path, optional
        Cells, subscribers and tiers. Without it the whole capture is one cell, its subscribers the
        private or lesser-served ends.
    capacity_bps : float or (float, float), optional
        What that one cell carries, both ways or down and up. Without it the busiest second is taken, a
        lower bound: no gain is then claimed. Not with `cells`.
    interval_s : float
        Spacing of the timeline, seconds of capture time, above 0. What is judged is judged once a second
        whatever it says, more often only if it is below 1; the least is 0.1.
    model : str or Path, optional
        The classifier, as `Engine` takes it.

    Returns
    -------
    ReplayResult
        `partial` and `warnings` say what could not be read; Ctrl-C ends the reading, not the call.

    Raises
    ------
    CaptureError
        No capture could be read at all.
    ConfigError
        The cells file is wrong, or the interval.
    ModelError
        The classifier is.
    """
    one = isinstance(captures, str | os.PathLike)
    paths = expand([captures] if one else captures)  # type: ignore[list-item,arg-type]
    run = Replay(paths, cells=cells, capacity_bps=capacity_bps, interval_s=interval_s, model=model)
    result = run.run()
    if not result.captures and run.feed.errors:
        raise CaptureError("; ".join(run.feed.errors))
    return result


class Replay:
    """One replay: reads captures by steps of their own time, judges each, adds up.

    A step lasts a second, or if the timeline is finer the longest even part of one that is no longer than
    `interval_s`, but a tenth at least: loads, rates and MOS must not depend on how often they are told.

    Memory is bounded by live flows, subscribers and `qoe.tally.Timeline`, not by the captures' length.

    Parameters
    ----------
    paths : sequence of str, or Interface
        As `qoe.capture.expand` gives them; or an interface, to be read in steps of the host's clock.
    cells, capacity_bps, interval_s, model
        See `replay`.
    max_flows : int, optional
        Live flows at once, of each ring of an interface; 0: the default of `Engine`.
    duration_s : float, optional
        Read an interface for so long; by default until Ctrl-C.
    on_flows : callable, optional
        Takes flows as they end.
    on_running : callable, optional
        Takes what is going on, at the end of each step of an interface.
    progress : callable, optional
        See `qoe.feed.Feed`.

    Attributes
    ----------
    feed : Feed or LiveFeed
        What was read, and what could not be.
    notes : list of str
        What else is worth a warning.
    """

    def __init__(
        self,
        paths: Sequence[str] | Interface,
        *,
        cells: CellsConfig | str | Path | None = None,
        capacity_bps: float | tuple[float, float] | None = None,
        interval_s: float = 1.0,
        model: str | Path | None = "default",
        max_flows: int = 0,
        duration_s: float = math.inf,
        on_flows: OnFlows | None = None,
        on_running: OnRunning | None = None,
        progress: Progress | None = None,
    ) -> None:
        config = load_cells(cells) if isinstance(cells, str | Path) else cells
        self._table = _table(config, capacity_bps)
        step_ns = _step_ns(interval_s)
        self._horizon_s = max(config.horizon_s if config else DEFAULT_HORIZON_S, step_ns / 1e9)
        self._class_weights = config.class_weights if config else None
        self._engine: Engine | Shards
        self.feed: Reading
        if isinstance(paths, Interface):
            self._engine = Shards(paths, lambda: Engine(max_flows=max_flows, model=model))
            self.feed = LiveFeed(self._engine, step_ns, duration_s)
        else:
            self._engine = Engine(max_flows=max_flows, model=model)
            self.feed = Feed(paths, self._engine, step_ns, progress)
        self.notes: list[str] = []
        if interval_s < 1 / _STEPS_MOST:
            self.notes.append(
                f"an interval of {interval_s:g} s is too short to judge: the timeline has tenths"
            )
        self._on_flows, self._on_running = on_flows, on_running
        self._tally, self._timeline, self._busiest = Tally(), Timeline(interval_s), Busiest()
        self._most_bits = np.zeros((len(self._table.cell_names), 2))  # of a horizon, as `_busiest` has it
        self._load = CellLoad(self._table)
        self._last_load = self._load.update(np.zeros(0, EXPERIENCE_DTYPE), 1.0)
        self._tracker = Tracker(self._horizon_s)
        self._judged_ns = 0
        self._history: History[tuple[int, int]] = History()
        self._began_s: float | None = None  # when the tracker saw its first packet
        self._ended: list[RecordArray] = []
        self._first_ns: int | None = None

    def run(self) -> ReplayResult:
        """Read everything; Ctrl-C ends the reading and what was read is told."""
        events = self.feed.events()
        try:
            for event in events:
                if event == "export":
                    self._take_ended()
                else:
                    self._judge(self.feed.end_ns)
        except KeyboardInterrupt:
            self.feed.interrupted = True
        finally:
            events.close()
        if self.feed.end_ns:
            # the capture ends with its last packet: what would follow in this step is not known
            shortest_ns = (self.feed.end_ns - self.feed.start_ns) // 10
            last_ns = max(self._engine.now_ns, self.feed.start_ns + shortest_ns)
            self._judge(min(last_ns, self.feed.end_ns))
        while self._engine.flush(_FLUSHED_AT_ONCE):
            self._take_ended()
        return self._result()

    def _take_ended(self) -> None:
        """Count the flows that ended; those of this step are judged with the live ones."""
        flows = self._engine.export()
        if not len(flows):
            return
        self._tally.add_flows(flows, self._table.match(flows))
        earliest = int(flows["first_ns"].min())
        self._first_ns = earliest if self._first_ns is None else min(self._first_ns, earliest)
        self._ended.append(flows[flows["last_ns"] >= self.feed.start_ns])
        if self._on_flows:
            self._on_flows(flows)

    def _judge(self, end_ns: int) -> None:
        """Judge the step that is over."""
        self._take_ended()
        start_ns = self.feed.start_ns
        end_s, step_s = end_ns / 1e9, (end_ns - start_ns) / 1e9
        if end_ns <= self._judged_ns:  # an older capture came after a newer one
            self._tracker, self._began_s = Tracker(self._horizon_s), None
            self._history = History()
        self._judged_ns = end_ns
        flows = np.concatenate([*self._ended, self._engine.snapshot(start_ns)])
        self._ended.clear()
        if self._began_s is None:
            self._began_s = max(int(flows["first_ns"].min(initial=end_ns)), start_ns) / 1e9
        # the last step ends early: only a horizon that is not yet full is judged by its length to then
        now_s = end_s if end_s - self._began_s < self._horizon_s else self.feed.end_ns / 1e9
        match = self._table.match(flows)
        experience = self._tracker.update(flows, self._engine.chunks(), now_s, match.subscriber, match.side)
        self._last_load = self._load.update(experience, step_s, end_s)
        rows = by_subscriber(experience, self._class_weights)
        self._remember(start_ns / 1e9, rows)
        self._compare(now_s, min(now_s - self._began_s, self._horizon_s), experience)
        self._tally.add_mos(rows)
        self._timeline.add(end_s, step_s, rows, self._last_load)
        if self._on_running and isinstance(self._engine, Shards):
            since_s = end_s - (self.feed.first_ns or end_ns) / 1e9
            self._on_running(
                running(end_s, since_s, self._engine, experience, rows, self._last_load, self._table)
            )

    def _remember(self, at_s: float, rows: RecordArray) -> None:
        """Note who is below MOS 2 in this step."""
        rows = rows[np.isfinite(rows["mos"]) & (rows["subscriber"] >= 0)]
        who = list(zip(rows["subscriber"].tolist(), rows["app_class"].tolist(), strict=True))
        self._history.update(at_s, who, rows["mos"] < BELOW_MOS)

    def _compare(self, end_s: float, horizon_s: float, experience: RecordArray) -> None:
        """Keep the horizon if some cell carried more in it than ever; else its bearers are not needed."""
        bits = carried_bps(experience, self._table) * horizon_s
        if np.any(bits > self._most_bits * (1 + 1e-12)):
            carried = bearers(experience, self._table, self._last_load)
            self._busiest.add(end_s, horizon_s, carried, self._history.spells())
            self._most_bits = np.maximum(self._most_bits, bits)

    def _result(self) -> ReplayResult:
        counters = self._engine.counters()
        self._note_losses(counters)
        load = self._last_load
        capacity_bps = {(int(row["cell"]), int(row["direction"])): float(row["capacity_bps"]) for row in load}
        starts = [ns for ns in (self.feed.first_ns, self._first_ns) if ns is not None]
        first_ns, last_ns = min(starts, default=0), self._engine.now_ns
        return ReplayResult(
            packets=counters["packets"],
            bytes=counters["bytes"],
            flows=self._tally.n_flows,
            duration_s=max(last_ns - first_ns, 0) / 1e9,
            first_s=first_ns / 1e9,
            last_s=last_ns / 1e9,
            partial=self.feed.partial,
            warnings=[*self.feed.errors, *self.feed.warnings, *self.notes],
            captures=self.feed.captures,
            counters=counters,
            classes=self._tally.classes(),
            subscribers=self._tally.subscribers(self._table),
            cells=allocate(self._busiest.moments, self._table, load),
            timeline=self._timeline.points(self._table, capacity_bps),
        )

    def _note_losses(self, counters: dict[str, int]) -> None:
        n_flows, n_bytes = self._tally.nobodys
        if n_flows and self._table.default_cell < 0:
            self.notes.append(
                f"{n_flows:,} flows ({n_bytes:,} bytes) belong to no subscriber of the cells file"
            )
        losses = (
            (counters["flows_evicted"], "flows ended early for want of room: give a larger --max-flows"),
            (counters["exports_lost"], "ended flows were lost before they could be counted"),
            (self._table.n_refused, "flows are of more subscribers than are followed, and nobody's here"),
            (self._tracker.n_dropped, "flows were not judged: too many at once"),
        )
        self.notes += [f"{n:,} {what}" for n, what in losses if n]


def _step_ns(interval_s: float) -> int:
    if not interval_s > 0:
        raise ConfigError(f"an interval of {interval_s} s: give seconds above 0")
    n_steps = min(1 / interval_s, _STEPS_MOST)  # a second
    return 10**9 // max(math.ceil(n_steps - 1e-9), 1)


def _table(config: CellsConfig | None, capacity_bps: float | tuple[float, float] | None) -> SubscriberTable:
    if config is not None:
        if capacity_bps is not None:
            raise ConfigError("give cells or a capacity, not both: the cells file has the capacities")
        return SubscriberTable.from_config(config)
    table = SubscriberTable.inferring()
    if capacity_bps is not None:
        table.capacity_bps[:] = capacity_bps
    return table
