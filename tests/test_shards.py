"""Engines side by side, fed through rings that a test fills: steps, joining, ageing, and what goes wrong."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from rings import BLOCK_BYTES, Frame, Ring
from wire import SECOND, udp

from qoe.flows import Engine
from qoe.live import LiveFeed
from qoe.replay import Replay
from qoe.shards import Shards
from qoe_native.engine import LiveRing

STEP_NS = SECOND // 4


class FakeInterface:
    """What an interface offers, over rings of our own."""

    name = "fake0"

    def __init__(self, n_rings: int) -> None:
        self._pipes = [os.pipe() for _ in range(n_rings)]
        self.memories = [Ring(8) for _ in range(n_rings)]
        self.rings = [
            LiveRing(memory.memory, pipe[0], BLOCK_BYTES, 1)
            for memory, pipe in zip(self.memories, self._pipes, strict=True)
        ]
        self.sent = [0] * n_rings
        self.stopped = False

    def send(self, ring: int, n: int, host: int = 1) -> None:
        """Let packets of one flow arrive."""
        data = bytes(12) + b"\x08\x00" + udp(f"10.0.{ring}.{host}", 1000, "192.0.2.1", 2000)
        self.memories[ring].write([Frame(time.time_ns(), data)] * n)
        self.sent[ring] += n

    def stop(self) -> None:
        """Take no notice of what comes from now on."""
        self.stopped = True

    def is_up(self) -> bool:
        """It always is."""
        return True

    def failure(self) -> str:
        """Why it is down."""
        return "went down"

    def ring_counts(self, ring: int) -> tuple[int, int]:
        """What came for a ring, and what found it full."""
        return self.sent[ring], 0

    def counters(self) -> dict[str, int]:
        """The same of all rings."""
        return {"kernel_received": sum(self.sent), "kernel_dropped": 0, "interface_dropped": 0}

    def cut(self) -> None:
        """Break all sockets."""
        for pipe in self._pipes:
            os.close(pipe[1])
        self._pipes = [(pipe[0], -1) for pipe in self._pipes]

    def close(self) -> None:
        """Let go of the descriptors."""
        for there, here in self._pipes:
            os.close(there)
            if here >= 0:
                os.close(here)


@pytest.fixture
def interface() -> Iterator[FakeInterface]:
    """Two rings."""
    fake = FakeInterface(2)
    yield fake
    fake.close()


def feed_of(interface: FakeInterface, duration_s: float, **engine: float) -> tuple[LiveFeed, Shards]:
    """Read the interface in steps of a quarter of a second."""
    shards = Shards(interface, lambda: Engine(max_flows=1024, model=None, **engine))
    return LiveFeed(shards, STEP_NS, duration_s), shards


def test_steps_follow_one_another_whether_packets_come_or_not(interface: FakeInterface) -> None:
    """The intervals lie on the grid without a gap, and each packet is in a flow of the step it came in."""
    feed, shards = feed_of(interface, 1.6)
    steps, seen = [], []
    for event in feed.events():
        assert event == "interval"
        steps.append((feed.start_ns, feed.end_ns))
        seen.append(len(shards.snapshot(feed.start_ns)))
        if len(steps) == 2:
            interface.send(0, 7)
            interface.send(1, 5)
    assert len(steps) >= 3
    assert all(start % STEP_NS == end % STEP_NS == 0 and start < end for start, end in steps)
    assert [end for _, end in steps[:-1]] == [start for start, _ in steps[1:]]
    assert (seen[:2], sum(seen)) == ([0, 0], 2)
    assert (feed.partial, feed.warnings, interface.stopped) == (False, [], True)
    assert (feed.captures[0].name, feed.captures[0].packets) == ("fake0", 12)


def test_what_comes_last_is_counted(interface: FakeInterface) -> None:
    """Packets that arrive while the reading ends are counted, in flows with ids of their own."""
    feed, shards = feed_of(interface, 60)
    events = feed.events()
    assert next(events) == "interval"
    for host in range(1, 6):
        interface.send(host % 2, 3, host)
    feed.interrupted = True
    assert list(events) == []
    assert shards.flush() == 5
    flows = shards.export()
    assert len(set(flows["flow_id"].tolist())) == 5
    assert flows["packets_forward"].tolist() == [3] * 5
    assert (shards.counters()["packets"], shards.counters()["kernel_received"]) == (15, 15)


def test_flows_end_though_no_packet_comes(interface: FakeInterface) -> None:
    """An idle flow is handed out by the host's clock alone."""
    feed, shards = feed_of(interface, 3, idle_timeout_s=0.3)
    ended = []
    for event in feed.events():
        if not sum(interface.sent):
            interface.send(1, 4)
        if event == "export":
            ended.append(shards.export())
            feed.interrupted = True
    (flows,) = ended
    assert (flows["packets_forward"].tolist(), shards.n_live) == ([4], 0)


def test_a_slow_owner_loses_nothing(interface: FakeInterface) -> None:
    """While the owner is busy the workers read on; the steps it missed are one longer step."""
    feed, shards = feed_of(interface, 60)
    lengths = []
    for event in feed.events():
        assert event == "interval"
        lengths.append(feed.end_ns - feed.start_ns)
        if len(lengths) == 1:
            for i in range(20):  # more blocks than the rings have: somebody reads them meanwhile
                interface.send(i % 2, 9)
                time.sleep(0.06)
        feed.interrupted = len(lengths) == 3
    assert max(lengths) > STEP_NS
    assert shards.counters()["packets"] == 180


def test_a_broken_worker_is_told_and_the_rest_reported(
    interface: FakeInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that fails ends the reading with one line; what was read is there."""
    feed, shards = feed_of(interface, 60)
    interface.send(0, 3)
    snapshot = Engine.snapshot

    def fail(engine: Engine, since_ns: int = 0) -> np.ndarray:
        if threading.current_thread().name == "fake0/1":
            raise MemoryError("no room")
        return snapshot(engine, since_ns)

    monkeypatch.setattr(Engine, "snapshot", fail)
    assert list(feed.events()) == []
    assert feed.errors == ["fake0: reading failed: no room"]
    assert (feed.partial, shards.counters()["packets"]) == (True, 3)


def test_an_interface_that_goes_down_ends_the_reading(interface: FakeInterface) -> None:
    """What came before is counted; the line says what happened, and the result that it is not all."""
    interface.send(0, 3)
    interface.cut()
    feed, shards = feed_of(interface, 60)
    assert list(feed.events()) == []
    assert feed.errors[0] == "fake0: went down"
    assert feed.partial
    assert shards.counters()["packets"] == 3


def test_a_clock_set_back_begins_anew(interface: FakeInterface, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps go on at the new time."""
    feed, _ = feed_of(interface, 60)
    real, steps = time.time_ns, []
    for _ in feed.events():
        steps.append(feed.end_ns)
        if len(steps) == 2:
            monkeypatch.setattr("qoe.live.time.time_ns", lambda: real() - 3600 * SECOND)
        feed.interrupted = len(steps) == 5
    assert steps[1] > steps[0]
    assert steps[4] > steps[3] > steps[1] - 3600 * SECOND
    assert steps[3] < steps[1]


def test_a_replay_of_an_interface_tells_what_goes_on(
    interface: FakeInterface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step gives a table's worth; the result at the end adds all up."""
    monkeypatch.setattr("qoe.replay.Interface", FakeInterface)
    running = []
    replay = Replay(
        interface, model=None, max_flows=1024, interval_s=0.25, duration_s=1.4, on_running=running.append
    )
    interface.send(0, 8)
    interface.send(1, 4, 2)
    result = replay.run()
    assert (result.packets, result.flows, result.partial) == (12, 2, False)
    assert (result.counters["kernel_received"], result.captures[0].name) == (12, "fake0")
    assert len(running) >= 3
    assert (running[0].packets, running[0].live_flows, running[0].dropped) == (12, 2, 0)
    assert sorted(row.name for row in running[0].subscribers) == ["10.0.0.1", "10.0.1.2"]
    assert sum(row.flows for row in running[0].classes) == 2
    assert running[-1].seconds > running[0].seconds
