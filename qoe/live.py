"""An interface as a replay reads it: by steps of the host's clock, whether packets come or not."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Generator
from typing import Final

from qoe.feed import Event, Reading
from qoe.shards import Shards

_MARGIN_NS: Final = 100_000_000
"""The workers hear of a step's end so long before it, or it lasts longer."""
_STEP_BACK_NS: Final = 1_000_000_000
_LOOK_S: Final = 0.1  # for Ctrl-C


class LiveFeed(Reading):
    """Reads an interface into its shards.

    Steps lie on the grid of `interval_ns` and follow one another; one that the owner was too busy to take is
    merged with the next. Ctrl-C and SIGTERM are ways to end, not failures.

    Parameters
    ----------
    shards : Shards
    interval_ns : int
        Length of a step.
    duration_s : float, optional
        End by itself after so long; by default only a signal ends it.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, shards: Shards, interval_ns: int, duration_s: float = math.inf) -> None:
        super().__init__(interval_ns)
        self._shards, self._duration_s = shards, duration_s
        self._name = shards.interface.name
        self._finishing = False

    @property
    def partial(self) -> bool:
        """Whether reading ended before it was told to."""
        return bool(self.errors)

    def events(self) -> Generator[Event, None, None]:
        """Read until a signal, the end of the time given, or of the interface; see `Reading.events`.

        Intervals without a packet come too.
        """
        end_s = time.monotonic() + self._duration_s
        self.first_ns = time.time_ns()
        self._restart()
        self._shards.start()
        try:
            while not self.interrupted and (left_s := end_s - time.monotonic()) > 0:
                arrival = self._shards.wait(min(left_s, _LOOK_S))
                if arrival == "export":
                    yield "export"
                elif arrival == "interval":
                    following_ns = self._following()
                    self._shards.aim(self.end_ns, following_ns)  # first, so that nobody waits for the owner
                    yield "interval"
                    self.start_ns, self.end_ns = self.end_ns, following_ns
                elif arrival == "gone" or not self._shards.interface.is_up():
                    if not self._shards.errors:
                        self.errors.append(f"{self._name}: {self._shards.interface.failure()}")
                    break
                elif time.time_ns() < self.start_ns - _STEP_BACK_NS:  # the clock was set back
                    self._restart()
        finally:
            self._finish()

    def _restart(self) -> None:
        """Begin a step now."""
        now_ns = time.time_ns()
        self.start_ns = now_ns - now_ns % self._interval_ns
        self.end_ns = self.start_ns
        self.end_ns = self._following()
        self._shards.aim(self.start_ns, self.end_ns)

    def _following(self) -> int:
        """Return the end of the step after `end_ns`."""
        earliest_ns = max(self.end_ns + self._interval_ns, time.time_ns() + _MARGIN_NS)
        return -(-earliest_ns // self._interval_ns) * self._interval_ns

    def _finish(self) -> None:
        """End the reading, and keep what was read and what was wrong with it."""
        self._finishing = True  # for a moment: what was read is not thrown away
        self._shards.stop()
        self._finishing = False
        self.errors += self._shards.errors
        self.end_ns = max(self.end_ns, self._shards.now_ns)
        counters = self._shards.counters()
        if dropped := counters["kernel_dropped"]:
            received = counters["kernel_received"]
            self.warnings.append(
                f"{self._name}: the kernel dropped {dropped:,} of {received:,} packets"
                f" ({dropped / received:.2%}) for want of room: give a larger --ring or more --shards"
            )
        if counters["clock_back"]:
            self.warnings.append(
                f"{self._name}: the clock was set back; rates and gaps around then are not reliable"
            )
        self._read_captures.append(
            {
                "name": self._name,
                "packets": counters["packets"],
                "bytes": counters["bytes"],
                "error": "; ".join(self.errors),
            }
        )

    def _on_interrupt(self, *signal_and_frame: object) -> None:
        if not self._finishing:
            super()._on_interrupt(*signal_and_frame)
