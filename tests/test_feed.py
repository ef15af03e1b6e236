"""Captures fed to an engine: intervals of capture time against a slow twin, and what goes wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from captures import Packet, pcap, pcapng
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import RAW_IP, SECOND, udp

from qoe.feed import Feed
from qoe.flows import Engine

T0 = 1_700_000_000 * SECOND


def frames(times_ns: list[int], host: int = 1) -> list[Packet]:
    """One small packet of one flow at each time."""
    data = udp(f"10.0.0.{host}", 1000, "192.0.2.1", 2000)
    return [Packet(t, data, len(data), RAW_IP) for t in times_ns]


def capture(folder: Path, name: str, times_ns: list[int], link: int = RAW_IP) -> str:
    """A pcapng file with packets at these times."""
    path = folder / name
    path.write_bytes(pcapng(frames(times_ns), link=link))
    return str(path)


def intervals(paths: list[str], interval_ns: int = SECOND) -> tuple[list[tuple[int, int]], Feed, Engine]:
    """Where each interval began and how many packets it had."""
    engine = Engine(max_flows=1024, model=None)
    feed = Feed(paths, engine, interval_ns)
    found, before = [], 0
    for event in feed.events():
        if event == "interval":
            packets = engine.counters()["packets"]
            found.append((feed.start_ns, packets - before))
            before = packets
    found.append((feed.start_ns, engine.counters()["packets"] - before))
    return found, feed, engine


def by_interval(times_ns: list[int], interval_ns: int) -> list[tuple[int, int]]:
    """The slow twin: count packets on the grid."""
    count: dict[int, int] = {}
    for t in times_ns:
        count[t - t % interval_ns] = count.get(t - t % interval_ns, 0) + 1
    return sorted(count.items())


@given(
    st.lists(st.integers(0, 3 * SECOND) | st.just(9 * 3600 * SECOND), min_size=1, max_size=60),
    st.sampled_from([10**8, SECOND, 7 * SECOND]),
)
@settings(max_examples=40, deadline=None)
def test_intervals_are_those_that_hold_packets(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], interval_ns: int
) -> None:
    """Every interval on the grid with a packet comes once, with its packets; empty ones do not come."""
    times, now = [], T0
    for gap in gaps:
        now += gap
        times.append(now)
    path = capture(tmp_path_factory.getbasetemp(), "gaps.pcapng", times)
    found, feed, _ = intervals([path], interval_ns)
    assert found == by_interval(times, interval_ns)
    assert (feed.captures[0].packets, feed.partial, feed.first_ns) == (len(times), False, times[0])


def test_idle_years_are_skipped(tmp_path: Path) -> None:
    """From a clock at 0 to the year 2106 there are two intervals, not four thousand million."""
    times = [0, 1, 4_294_967_295 * SECOND]
    found, feed, _ = intervals([capture(tmp_path, "a.pcapng", times)])
    assert found == [(0, 2), (4_294_967_295 * SECOND, 1)]
    assert any("year 2100" in line for line in feed.warnings)
    assert any("clock of zero" in line for line in feed.warnings)


def test_one_wild_clock_does_not_move_the_time(tmp_path: Path) -> None:
    """A packet from the year 2106 amid others counts in the interval of the packet after it."""
    times = [T0, T0 + SECOND, 4_294_967_295 * SECOND, T0 + 2 * SECOND, T0 + 3 * SECOND]
    found, feed, _ = intervals([capture(tmp_path, "a.pcapng", times)])
    assert found == [(T0, 1), (T0 + SECOND, 1), (T0 + 2 * SECOND, 2), (T0 + 3 * SECOND, 1)]
    assert any("ran backwards" in line for line in feed.warnings)


def test_a_clock_running_backwards_ends(tmp_path: Path) -> None:
    """Ever older packets are counted, in as few intervals as it takes, with one warning."""
    times = [T0 - i * SECOND for i in range(500)]
    found, feed, engine = intervals([capture(tmp_path, "a.pcapng", times)])
    assert found == [(T0, 500)]
    assert engine.counters()["packets"] == 500
    assert sum("ran backwards" in line for line in feed.warnings) == 1


def test_an_older_capture_after_a_newer_one(tmp_path: Path) -> None:
    """Each capture begins an interval of its own time."""
    new = capture(tmp_path, "new.pcapng", [T0 + 100 * SECOND, T0 + 101 * SECOND])
    old = capture(tmp_path, "old.pcapng", [T0, T0 + SECOND])
    found, feed, _ = intervals([new, old])
    assert [start for start, _ in found] == [T0 + i * SECOND for i in (100, 101, 0, 1)]
    assert [c.packets for c in feed.captures] == [2, 2]


def test_what_cannot_be_read_is_noted_and_the_rest_is(tmp_path: Path) -> None:
    """A missing file, a text and a cut capture are errors by name; the whole capture between is counted."""
    whole = capture(tmp_path, "whole.pcapng", [T0, T0 + 1])
    cut = tmp_path / "cut.pcapng"
    cut.write_bytes(Path(whole).read_bytes()[:-30])
    text = tmp_path / "text.pcap"
    text.write_text("no capture at all")
    engine = Engine(max_flows=1024, model=None)
    feed = Feed([str(tmp_path / "none"), str(text), whole, str(cut)], engine)
    assert list(feed.events()) == []
    assert engine.counters()["packets"] == 3
    assert [(c.packets, c.truncated, bool(c.error)) for c in feed.captures] == [
        (2, False, False),
        (1, True, True),
    ]
    assert [Path(line.split(":")[0]).name for line in feed.errors] == ["none", "text.pcap", "cut.pcapng"]
    assert feed.partial


def test_unknown_link_types_are_named_and_counted(tmp_path: Path) -> None:
    """Packets of USB are skipped with one line that says so; nothing is partial."""
    path = capture(tmp_path, "usb.pcapng", [T0, T0 + 1], link=189)
    feed = Feed([path], Engine(max_flows=1024, model=None))
    assert list(feed.events()) == []
    (line,) = feed.warnings
    assert "2 packets were skipped" in line
    assert "USB, Linux (189)" in line
    assert not feed.partial


def test_a_capture_without_packets_is_said(tmp_path: Path) -> None:
    """A header alone is a sound capture: a warning, no error."""
    path = tmp_path / "none.pcap"
    path.write_bytes(pcap([]))
    feed = Feed([str(path)], Engine(max_flows=1024, model=None))
    assert list(feed.events()) == []
    assert feed.warnings == [f"{path}: holds no packet"]
    assert not feed.partial


def test_interrupt_while_waiting_for_a_pipe(tmp_path: Path) -> None:
    """Ctrl-C ends the wait for more bytes; what came before is there and marked partial."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    stop = threading.Event()

    def write_and_hold() -> None:
        with fifo.open("wb") as sink:
            sink.write(pcapng(frames([T0, T0 + 1]), link=RAW_IP))
            sink.flush()
            while engine.counters()["packets"] < 2:
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)
            stop.wait(10)

    engine = Engine(max_flows=1024, model=None)
    feed = Feed([str(fifo), "never reached"], engine)
    writer = threading.Thread(target=write_and_hold)
    writer.start()
    with feed.catching_interrupts():
        events = list(feed.events())
    stop.set()
    writer.join()
    assert events == []
    assert (feed.interrupted, feed.partial, feed.captures[0].packets) == (True, True, 2)
    assert any(line.startswith("interrupted") for line in feed.warnings)
    assert feed.errors == []
