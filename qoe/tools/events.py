"""A clock for discrete events, and processes that wait on it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Final, TypeAlias

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000


class Signal:
    """Something that will happen once; processes wait for it by yielding it."""

    def __init__(self) -> None:
        self.fired = False
        self.value = 0
        self._waiting: list[Callable[[], None]] = []

    def fire(self, value: int = 0) -> None:
        """Let it happen, now."""
        if not self.fired:
            self.fired, self.value = True, value
            for resume in self._waiting:
                resume()

    def then(self, call: Callable[[], None]) -> None:
        """Call when it happens, at once if it has."""
        if self.fired:
            call()
        else:
            self._waiting.append(call)


Process: TypeAlias = Generator["int | Signal", None, None]
"""Yields a wait in ns, or a Signal to wait for."""


class Loop:
    """Events in order of time; ties in order of making."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._n_made = 0

    def after(self, delay_ns: int, call: Callable[[], None]) -> None:
        """Call at a time from now."""
        self._n_made += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._n_made, call))

    def spawn(self, process: Process) -> Signal:
        """Start a process; the signal fires when it ends."""
        done = Signal()

        def step() -> None:
            wait = next(process, None)
            if wait is None:
                done.fire()
            elif isinstance(wait, Signal):
                wait.then(step)
            else:
                self.after(wait, step)

        self.after(0, step)
        return done

    def run(self, until_ns: int) -> None:
        """Run all events before a time."""
        while self._heap and self._heap[0][0] < until_ns:
            self.now_ns, _, call = heapq.heappop(self._heap)
            call()
