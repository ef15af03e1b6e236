"""Captures into an engine, one after another; what cannot be read is noted and the rest goes on."""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeVar

from qoe.capture import Source, link_name
from qoe.errors import CaptureError
from qoe_native.engine import STATUS_NAMES, decode_one

if TYPE_CHECKING:
    from qoe.flows import Engine
    from qoe.report.result import CaptureSummary
    from qoe.schema import Burst
    from qoe.workers import Workers

T = TypeVar("T")
Event: TypeAlias = Literal["export", "interval"]
Progress: TypeAlias = Callable[[Source, int], None]
"""Called now and then with the capture being read and the packets read of all captures so far."""

_WILD_JUMP_NS: Final = 3_600 * 10**9
_LATE_NS: Final = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 10**9
_UNKNOWN_LINK: Final = STATUS_NAMES.index("unknown_link_type")


class _Counted(Protocol):
    """What takes packets and counts them: an engine, or several."""

    @property
    def now_ns(self) -> int: ...

    def counters(self) -> dict[str, int]: ...


class Reading(ABC):
    """What `Feed` and `qoe.live.LiveFeed` have in common: packets going into engines, interval by interval.

    Parameters
    ----------
    interval_ns : int
        Length of an interval.

    Attributes
    ----------
    errors, warnings : list of str
        A line each, with the capture's name: what could not be read; what could, but is odd.
    interrupted : bool
        Ctrl-C was pressed: reading has ended, what was read stands.
    first_ns : int or None
        The earliest time at which an interval was entered: that of the first packet, if the clock is sound.
    start_ns, end_ns : int
        The interval that holds the latest packets; `end_ns` does not belong to it.
    """

    _signals: tuple[signal.Signals, ...] = (signal.SIGINT,)

    def __init__(self, interval_ns: int) -> None:
        self._read_captures: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.interrupted = False
        self.first_ns: int | None = None
        self.start_ns = self.end_ns = 0
        self._interval_ns = interval_ns
        self._waiting = False

    @property
    def captures(self) -> list[CaptureSummary]:
        """What was read of each capture that was opened, and of the one being read when it ends."""
        from qoe.report.result import CaptureSummary

        return [CaptureSummary(**read) for read in self._read_captures]

    @property
    def has_begun(self) -> bool:
        """Whether a capture could be opened."""
        return bool(self._read_captures)

    @property
    def partial(self) -> bool:
        """Whether something was not read: a capture or its end, or all after an interruption."""
        return bool(self.errors) or self.interrupted

    @abstractmethod
    def events(self) -> Generator[Event, None, None]:
        """Read everything.

        Yields
        ------
        str
            ``"export"``: many ended flows wait in the engine; ``"interval"``: the interval from `start_ns`
            to `end_ns` is over. The last interval ends with the iterator.
        """

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """End the reading in good order at Ctrl-C; a second one raises KeyboardInterrupt at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_interrupt) for number in self._signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_interrupt(self, *_: object) -> None:
        if self._waiting or self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True


class Feed(Reading):
    """Reads captures into an engine.

    Parameters
    ----------
    paths : sequence of str
        As `qoe.capture.expand` gives them.
    engine : Engine
        Takes the packets.
    interval_ns : int, optional
        Hand control back at the end of every interval of capture time that holds a packet; 0: never.
    progress : callable, optional
        Called with every window that was read.
    """

    def __init__(
        self, paths: Sequence[str], engine: Engine, interval_ns: int = 0, progress: Progress | None = None
    ) -> None:
        super().__init__(interval_ns)
        self._engine = engine
        self._take(paths, engine, progress)

    def _take(self, paths: Sequence[str], counted: _Counted, progress: Progress | None) -> None:
        self._paths, self._counted, self._progress = paths, counted, progress

    def events(self) -> Generator[Event, None, None]:
        """Read all captures; see `Reading.events`."""
        try:
            for path in self._paths:
                yield from self._open(path)
                if self.interrupted:
                    break
        finally:
            self._note_end()

    def _open(self, path: str) -> Iterator[Event]:
        try:
            with self._patiently(lambda: Source(path)) as source:
                yield from self._read(source)
        except CaptureError as error:
            self.errors.append(str(error))
        except KeyboardInterrupt:
            self.interrupted = True

    def _read(self, source: Source) -> Iterator[Event]:
        unknown_before = self._counted.counters()["packets_unknown_link_type"]
        try:
            if self._interval_ns:
                yield from self._enter_interval(source)
            yield from self._consume(source)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            n_unknown = self._counted.counters()["packets_unknown_link_type"] - unknown_before
            self._note(source, n_unknown)

    def _consume(self, source: Source) -> Iterator[Event]:
        while not self.interrupted:
            status = self._engine.consume(source.reader, self.end_ns)
            if status == "more":
                self._patiently(source.fill)
                self._report(source)
            elif status == "export":
                yield "export"
            elif status == "until":
                yield from self._enter_interval(source)
            else:
                break

    def _enter_interval(self, source: Source) -> Iterator[Event]:
        """Go to the interval of the next packet, whenever that is, and take this packet."""
        peeked = self._peek(source)
        if peeked and self.end_ns and peeked[0][0] - self.end_ns > _WILD_JUMP_NS:
            peeked += self._peek(source)
        for time_ns, burst in peeked:
            # one wild clock does not move the time: the packet after it tells
            yield from self._move_to(min(time_ns, peeked[-1][0]))
            self._engine.process(burst)

    def _peek(self, source: Source) -> list[tuple[int, Burst]]:
        """Read the next packet and its time, if there is one."""
        burst = self._patiently(lambda: source.next_burst(1))
        return [] if burst is None else [(int(burst.packets["ts_ns"][0]), burst)]

    def _move_to(self, time_ns: int) -> Iterator[Event]:
        self.first_ns = time_ns if self.first_ns is None else min(self.first_ns, time_ns)
        if not self.start_ns <= time_ns < self.end_ns:
            if self.end_ns:
                yield "interval"
            self.start_ns = time_ns - time_ns % self._interval_ns
            self.end_ns = self.start_ns + self._interval_ns

    def _patiently(self, wait: Callable[[], T]) -> T:
        """Do what may wait for a pipe: Ctrl-C ends the wait."""
        self._waiting = True
        try:
            return wait()
        finally:
            self._waiting = False

    def _report(self, source: Source) -> None:
        if self._progress:
            done = sum(capture["packets"] for capture in self._read_captures)
            self._progress(source, done + source.reader.counters()["packets"])

    def _note(self, source: Source, n_unknown: int) -> None:
        """Keep what was read of a capture, and what was wrong with it."""
        counters = source.reader.counters()
        lines = source.warnings()
        mistake = ""
        if source.is_partial:
            mistake = "; ".join(line.removeprefix(f"{source.name}: ") for line in lines)
            self.errors.append(f"{source.name}: {mistake}")
        else:
            self.warnings += lines
        if n_unknown:
            unknown = [link_name(t) for t in source.reader.link_types() if _is_unknown(t)]
            self.warnings.append(
                f"{source.name}: {n_unknown:,} packets were skipped:"
                f" link type {', '.join(unknown)} is not decoded"
            )
        if not counters["packets"] and not lines and not self.interrupted:
            self.warnings.append(f"{source.name}: holds no packet")
        self._read_captures.append(
            {
                "name": source.name,
                "packets": counters["packets"],
                "bytes": counters["wire_bytes"],
                "truncated": bool(counters["truncated"]),
                "error": mistake,
            }
        )

    def _note_end(self) -> None:
        n_back = self._counted.counters()["clock_back"]
        if n_back:
            self.warnings.append(
                f"the clock ran backwards: {n_back:,} packets are older than one before them;"
                " rates and gaps there are not reliable"
            )
        if self._counted.now_ns >= _LATE_NS:
            self.warnings.append("packets lie after the year 2100: was the recorder's clock set?")
        if self.interrupted:
            self.warnings.append("interrupted: what was read until then is counted")


class SharedFeed(Feed):
    """Reads captures once for several engines, each of which works in a thread of its own.

    Parameters
    ----------
    paths : sequence of str
        As `qoe.capture.expand` gives them.
    workers : Workers
        Take the packets, and hand on the flows that end.
    progress : callable, optional
        Called now and then.
    """

    def __init__(self, paths: Sequence[str], workers: Workers, progress: Progress | None = None) -> None:
        Reading.__init__(self, 0)
        self._workers = workers
        self._take(paths, workers, progress)

    def _consume(self, source: Source) -> Iterator[Event]:
        yield from ()
        with self._workers.reading(source.reader) as capture:
            while not self.interrupted and (wanted := capture.wait()) != "end":
                if wanted == "more":
                    self._patiently(source.fill)
                    capture.filled_up()
                self._report(source)


def _is_unknown(link_type: int) -> bool:
    return bool(decode_one(bytes(64), link_type)["status"] == _UNKNOWN_LINK)
