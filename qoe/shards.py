"""Engines side by side, one a ring of an interface, each in a thread of its own; from outside they are one.

A worker reads its ring without the GIL and shares nothing with the others. At the end of a step it hands over
what its engine knows and reads on, so that whatever is then done with it takes no time from the reading.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from qoe.afpacket import RETIRE_MS
from qoe.flows import Engine
from qoe.interface import Interface
from qoe.schema import CHUNK_DTYPE, FLOW_DTYPE, RecordArray

Arrival: TypeAlias = Literal["export", "interval", "gone", "nothing"]

_TURN_MS: Final = 50
_GRACE_NS: Final = (RETIRE_MS + 100) * 1_000_000
"""So long after a moment the kernel has handed over all that came before it."""
_DRAIN_S: Final = 2.0
_MAX_WAITING: Final = 262_144  # ended flows of one engine that nobody has fetched
_NO_FLOWS: Final = np.zeros(0, FLOW_DTYPE)
_NO_CHUNKS: Final = np.zeros(0, CHUNK_DTYPE)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one engine hands over at the end of a step."""

    until_ns: int
    flows: RecordArray
    chunks: RecordArray
    counters: dict[str, int]
    n_live: int


class _Worker(threading.Thread):
    """Reads one ring into one engine; what it finds it puts on a queue."""

    def __init__(
        self, interface: Interface, index: int, engine: Engine, found: queue.SimpleQueue[_Found]
    ) -> None:
        super().__init__(name=f"{interface.name}/{index}", daemon=True)
        self.index, self.engine = index, engine
        self.aim = (0, 0)  # the step under way, from and until; set by the owner
        self.stopping = False  # set by the owner
        self.n_fetched = 0  # ended flows that the owner took; set by the owner
        self.n_lost = 0  # ended flows that nobody fetched in time
        self.failure: Exception | None = None
        self._interface, self._ring = interface, interface.rings[index]
        self._found = found
        self._n_handed = 0
        self._stepped_ns = 0  # the end of the last step handed over

    def run(self) -> None:
        try:
            while not self.stopping and self._turn() != "down":
                pass
            self._drain()
        except Exception as error:  # told by the owner, with what was read until then
            self.failure = error
        self._found.put((self, None))

    def _turn(self) -> str:
        """Read for a moment."""
        since_ns, until_ns = self.aim
        until_ns = 0 if until_ns == self._stepped_ns else until_ns
        status = self.engine.consume_live(self._ring, until_ns, _TURN_MS)
        if status == "export":
            self._hand_ended()
        elif until_ns and (status == "until" or (status == "idle" and time.time_ns() > until_ns + _GRACE_NS)):
            self._hand_step(since_ns, until_ns)
            self._stepped_ns = until_ns
        return status

    def renumbered(self, records: RecordArray) -> RecordArray:
        """Give flows or chunks, in place, ids that no other worker gives."""
        records["flow_id"] = (records["flow_id"] - 1) * len(self._interface.rings) + self.index + 1
        return records

    def _hand_ended(self) -> None:
        flows = self.renumbered(self.engine.export())
        if self._n_handed - self.n_fetched > _MAX_WAITING:
            self.n_lost += len(flows)
        elif len(flows):
            self._n_handed += len(flows)
            self._found.put((self, flows))

    def _hand_step(self, since_ns: int, until_ns: int) -> None:
        """End a step, all packets of before it being read."""
        engine = self.engine
        engine.advance(until_ns)
        self._hand_ended()
        flows, chunks = self.renumbered(engine.snapshot(since_ns)), self.renumbered(engine.chunks())
        self._found.put((self, _Step(until_ns, flows, chunks, engine.counters(), engine.n_live)))

    def _drain(self) -> None:
        """Read what the kernel has not yet handed over, and end the last step."""
        deadline_s = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline_s:
            status = self.engine.consume_live(self._ring, 0, _TURN_MS)
            if status == "export":
                self._hand_ended()
            received, dropped = self._interface.ring_counts(self.index)
            if self._ring.counters()["packets"] >= received - dropped:
                break
            if status == "down":  # no waiting on its socket any more
                time.sleep(RETIRE_MS / 1000)
        self._hand_step(self.aim[0], max(time.time_ns(), self.engine.now_ns))


_Found: TypeAlias = tuple[_Worker, "RecordArray | _Step | None"]
"""Who found it; ended flows, or a step, or nothing more."""


class Shards:
    """Engines of one interface, one a ring. From `start` to `stop` they read; `wait` tells what they found.

    What the methods named as those of `Engine` give is of the last step while workers read, and of all
    engines after `stop`. Flow ids are made unique over all.

    Parameters
    ----------
    interface : Interface
        Open until after `stop`.
    new_engine : callable
        Makes an engine.

    Attributes
    ----------
    interface : Interface
    errors : list of str
        Why a worker failed.
    """

    def __init__(self, interface: Interface, new_engine: Callable[[], Engine]) -> None:
        self.interface = interface
        self.errors: list[str] = []
        self._found: queue.SimpleQueue[_Found] = queue.SimpleQueue()
        self._workers = [
            _Worker(interface, i, new_engine(), self._found) for i in range(len(interface.rings))
        ]
        self._steps = {w: _Step(0, _NO_FLOWS, _NO_CHUNKS, w.engine.counters(), 0) for w in self._workers}
        self._ended: list[RecordArray] = []
        self._chunks: list[RecordArray] = []
        self._until_ns = 0
        self._is_reading = False

    def start(self) -> None:
        """Let the workers read."""
        self._is_reading = True
        for worker in self._workers:
            worker.start()

    def aim(self, since_ns: int, until_ns: int) -> None:
        """Say which step comes next; the one before it must be over, or is merged with it."""
        self._until_ns = until_ns
        for worker in self._workers:
            worker.aim = (since_ns, until_ns)

    def wait(self, seconds: float) -> Arrival:
        """Wait for what the workers find.

        Returns
        -------
        str
            ``export``: ended flows wait; ``interval``: all have ended the step; ``gone``: a worker has ended,
            no more comes; ``nothing`` of it so far.
        """
        try:
            return self._take(*self._found.get(timeout=seconds))
        except queue.Empty:
            return "nothing"

    def _take(self, worker: _Worker, found: RecordArray | _Step | None) -> Arrival:
        if isinstance(found, _Step):
            self._steps[worker] = found
            self._chunks.append(found.chunks)
            is_over = all(step.until_ns == self._until_ns for step in self._steps.values())
            return "interval" if is_over else "nothing"
        if found is not None:
            worker.n_fetched += len(found)
            self._ended.append(found)
            return "export"
        if worker.failure:
            self.errors.append(f"{self.interface.name}: reading failed: {worker.failure}")
        return "gone"

    def stop(self) -> None:
        """Let no more packets in, read those that came, and end."""
        if not self._is_reading:
            return
        self.interface.stop()
        for worker in self._workers:
            worker.stopping = True
        for worker in self._workers:
            worker.join()
        while not self._found.empty():
            self._take(*self._found.get())
        self._is_reading = False

    def export(self) -> RecordArray:
        """Flows that ended since the last call."""
        if not self._is_reading:
            self._ended += [worker.renumbered(worker.engine.export()) for worker in self._workers]
        flows = np.concatenate([_NO_FLOWS, *self._ended])
        self._ended.clear()
        return flows

    def snapshot(self, since_ns: int = 0) -> RecordArray:
        """Flows that were live at the end of the last step, with a packet at or after `since_ns`."""
        flows = np.concatenate([step.flows for step in self._steps.values()])
        return flows[flows["last_ns"] >= since_ns]

    def chunks(self) -> RecordArray:
        """Responses that ended since the last call, until the end of the last step."""
        chunks = np.concatenate([_NO_CHUNKS, *self._chunks])
        self._chunks.clear()
        return chunks

    def flush(self, n: int = 2**31 - 1) -> int:
        """End up to `n` live flows of each engine, after `stop`; returns how many ended."""
        return sum(worker.engine.flush(n) for worker in self._workers)

    def counters(self) -> dict[str, int]:
        """Sum the engines' counters; `Interface.counters` and each ring's packets stand beside them."""
        total: Counter[str] = Counter()
        for worker, step in self._steps.items():
            counters = step.counters if self._is_reading else worker.engine.counters()
            total.update(counters, **{f"shard_{worker.index}_packets": counters["packets"]})
        total["exports_lost"] += sum(worker.n_lost for worker in self._workers)
        return dict(total) | self.interface.counters()

    @property
    def now_ns(self) -> int:
        """The end of the last step."""
        return max(step.until_ns for step in self._steps.values())

    @property
    def n_live(self) -> int:
        """Flows that were live at the end of the last step."""
        return sum(step.n_live for step in self._steps.values())
