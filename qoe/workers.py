"""Several engines over the same packets: each has a shard of the flows, and a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from qoe.flows import DEFAULT_MAX_FLOWS, Engine
from qoe_native.engine import SharedCapture

if TYPE_CHECKING:
    from qoe_native.engine import CaptureReader

_SPARE: Final = 16


class Workers:
    """Engines that share out the flows of the captures they read together.

    Which shard a flow is of tells a hash of its addresses; the numbers of flows are unique over all.

    Parameters
    ----------
    n : int
        How many, 1 to 64.
    on_ended : callable
        Called in an engine's thread with its number and itself whenever ended flows wait in it.
    max_flows : int, optional
        Live flows at once, over all; 0 for the default of an engine.
    **options
        As `Engine` takes them, but `seed`, `shard` and `n_shards`.
    """

    def __init__(
        self, n: int, on_ended: Callable[[int, Engine], None], *, max_flows: int = 0, **options: Any
    ) -> None:
        in_all = max_flows or DEFAULT_MAX_FLOWS
        flows_each = in_all // n + in_all // _SPARE + 1  # as hashes fall, some shard has more
        seed = int.from_bytes(os.urandom(8)) | 1
        self.engines = [
            Engine(max_flows=flows_each, seed=seed, shard=shard, n_shards=n, **options) for shard in range(n)
        ]
        self._on_ended = on_ended
        self._clock_ns = self._clock_back = 0

    @property
    def now_ns(self) -> int:
        """Time of the newest packet that any of the engines took last."""
        return max(engine.now_ns for engine in self.engines)

    def counters(self) -> dict[str, int]:
        """Counters of all engines together; each packet is counted once."""
        counted = [engine.counters() for engine in self.engines]
        totals = {name: sum(c[name] for c in counted) for name in counted[0]}
        # of their own shards alone the engines cannot tell; a datagram in pieces was shown to all
        return totals | {"clock_back": self._clock_back, "packets_other_shard": 0}

    @contextmanager
    def reading(self, reader: CaptureReader) -> Iterator[SharedCapture]:
        """Have all engines take the packets of a reader while the block feeds it.

        Leaving the block ends them when they took what was read.

        Yields
        ------
        SharedCapture
            Tells in `wait` when the reader wants bytes, and when no packet is left.
        """
        capture = SharedCapture(reader, len(self.engines), self._clock_ns)

        def take(shard: int, stop: Event) -> None:
            try:
                while not stop.is_set() and self.engines[shard].consume_shared(capture, shard):
                    self._on_ended(shard, self.engines[shard])
            except BaseException:
                capture.give_up()
                raise

        try:
            threads = _Threads(take, len(self.engines))
        except BaseException:
            capture.close()  # for those that did start
            raise
        try:
            yield capture
        finally:
            capture.close()
            threads.join()
            capture.leave()
            self._clock_ns = capture.clock_ns
            self._clock_back += capture.clock_back
            threads.raise_failure()

    def finish(self, batch: int) -> None:
        """Bring all engines to the same time and end their flows, `batch` at a time, in their threads."""
        now_ns = self.now_ns

        def flush(shard: int, stop: Event) -> None:
            engine = self.engines[shard]
            engine.advance(now_ns)
            self._on_ended(shard, engine)
            while not stop.is_set() and engine.flush(batch):
                self._on_ended(shard, engine)

        threads = _Threads(flush, len(self.engines))
        threads.join()
        threads.raise_failure()


class _Threads:
    """Runs a function once for each number below `n`, at the same time; it may look whether to stop."""

    def __init__(self, run: Callable[[int, Event], None], n: int) -> None:
        self._run = run
        self._stop = Event()
        self._failures: list[BaseException] = []
        self._threads = [Thread(target=self._guard, args=(i,), daemon=True) for i in range(n)]
        for thread in self._threads:
            thread.start()

    def _guard(self, i: int) -> None:
        try:
            self._run(i, self._stop)
        except BaseException as failure:
            self._failures.append(failure)

    def join(self) -> None:
        """Wait for all; an interruption ends them first."""
        try:
            for thread in self._threads:
                thread.join()
        except KeyboardInterrupt:
            self._stop.set()
            for thread in self._threads:
                thread.join()
            raise

    def raise_failure(self) -> None:
        """Raise what the first of them that failed raised."""
        if self._failures:
            raise self._failures[0]
