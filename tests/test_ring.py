"""Rings as the kernel fills them: frames come out as they were on the wire, whatever the ring holds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest
from captures import Packet, unpack
from hypothesis import given, settings
from hypothesis import strategies as st
from rings import BLOCK_BYTES, CHUNK_BYTES, OFFSETS, Frame, Queue, Ring
from wire import SECOND, burst, udp

from qoe.flows import Engine
from qoe_native.engine import LiveRing

T0 = 1_700_000_000 * SECOND
MACS = bytes(range(12))
IPV4 = b"\x08\x00"


def ethernet(n: int = 20, host: int = 1) -> bytes:
    """A frame of one UDP packet."""
    return MACS + IPV4 + udp(f"10.0.0.{host}", 1000, "192.0.2.1", 2000, bytes(n))


@pytest.fixture
def silence() -> Iterator[int]:
    """A descriptor on which nothing ever comes."""
    there, here = os.pipe()
    yield there
    os.close(there)
    os.close(here)


def taken(ring: LiveRing, max_packets: int = 256) -> list[Packet]:
    """All packets that wait."""
    found: list[Packet] = []
    while (rows := ring.next_burst(max_packets, 0))[1]:
        found.extend(unpack(*rows))
    return found


def test_packets_come_as_they_were_written(silence: int) -> None:
    """Bytes, both lengths and times, over more blocks than the ring has; each goes back to the kernel."""
    memory = Ring(3)
    ring = LiveRing(memory.memory, silence, BLOCK_BYTES, 1)
    written, read = [], []
    for i in range(10):
        frames = [Frame(T0 + 1000 * i + j, ethernet(j), 1500 + j) for j in range(i + 1)]
        memory.write(frames)
        written += [Packet(f.ts_ns, f.data, f.wire_len) for f in frames]
        if i % 2:
            read += taken(ring, 4)
            assert not any(memory.is_ours(block) for block in range(3))
    assert read == written
    counters = ring.counters()
    assert (counters["packets"], counters["wire_bytes"]) == (55, sum(p.wire_len for p in written))
    assert (counters["retagged"], counters["late"], counters["malformed"], ring.status) == (0, 0, 0, "idle")


@pytest.mark.parametrize(
    ("tci", "tpid", "tag"),
    [(5, 0x8100, "81000005"), (0x2FFF, 0x88A8, "88a82fff"), (7, None, "81000007"), (0, 0x8100, "81000000")],
)
def test_tags_are_put_back(silence: int, tci: int, tpid: int | None, tag: str) -> None:
    """What the kernel took out of a frame is in it again, and in both its lengths."""
    memory = Ring()
    memory.write([Frame(T0, ethernet(), 900, tci, tpid), Frame(T0, ethernet(), 900)])
    ring = LiveRing(memory.memory, silence, BLOCK_BYTES, 1)
    tagged, plain = taken(ring)
    assert tagged.data == MACS + bytes.fromhex(tag) + ethernet()[12:]
    assert (tagged.wire_len, plain.wire_len, plain.data) == (904, 900, ethernet())
    assert ring.counters()["retagged"] == 1


def test_a_tag_of_raw_ip_is_left_out(silence: int) -> None:
    """Where there is no Ethernet header there is no place for a tag."""
    memory = Ring()
    memory.write([Frame(T0, ethernet()[14:], 0, 5, 0x8100)])
    (packet,) = taken(LiveRing(memory.memory, silence, BLOCK_BYTES, 101))
    assert (packet.data, packet.link_type) == (ethernet()[14:], 101)


def test_the_engine_finds_what_it_would_in_a_file(silence: int) -> None:
    """Flow records of a ring are those of the same packets handed in one by one."""
    rng = np.random.default_rng(3)
    frames = [
        (ethernet(int(n), int(host)), T0 + i * 10**6)
        for i, (n, host) in enumerate(rng.integers(1, 99, (500, 2)))
    ]
    memory = Ring(8)
    for i in range(0, len(frames), 100):
        memory.write([Frame(ts_ns, data) for data, ts_ns in frames[i : i + 100]])
    live, offline = Engine(max_flows=1024, seed=1), Engine(max_flows=1024, seed=1)
    assert live.consume_live(LiveRing(memory.memory, silence, BLOCK_BYTES, 1)) == "idle"
    offline.process(burst(frames, link_type=1))
    assert live.counters() == offline.counters()
    assert live.snapshot().tobytes() == offline.snapshot().tobytes()


def test_it_stops_before_a_time_and_goes_on_there(silence: int) -> None:
    """Packets at or after the time stay in the ring, in the middle of a block too."""
    memory = Ring()
    memory.write([Frame(T0 + i, ethernet()) for i in range(10)])
    ring, engine = LiveRing(memory.memory, silence, BLOCK_BYTES, 1), Engine(max_flows=1024, model=None)
    assert engine.consume_live(ring, T0 + 4, 0) == "until"
    assert (engine.counters()["packets"], memory.is_ours(0)) == (4, True)
    assert engine.consume_live(ring, T0 + 4, 0) == "until"
    assert engine.consume_live(ring, T0 + 100) == "idle"
    assert (engine.counters()["packets"], memory.is_ours(0)) == (10, False)


def test_cores_that_stamp_out_of_turn_do_not_turn_back_the_clock(silence: int) -> None:
    """A packet stamped a little before the one ahead of it takes its time; a clock set back is followed."""
    memory = Ring()
    times = [T0, T0 + 5000, T0 + 3000, T0 + 6000, T0 - 3600 * SECOND]
    memory.write([Frame(t, ethernet()) for t in times])
    ring = LiveRing(memory.memory, silence, BLOCK_BYTES, 1)
    assert [p.ts_ns for p in taken(ring)] == [T0, T0 + 5000, T0 + 5000, T0 + 6000, T0 - 3600 * SECOND]
    assert ring.counters()["late"] == 1
    memory.write([Frame(T0 + SECOND - 1, ethernet())])
    engine = Engine(max_flows=1024, model=None)
    engine.advance(T0 + SECOND)  # the host's clock has passed it
    engine.consume_live(ring, wait_ms=0)
    assert (engine.now_ns, engine.counters()["clock_back"]) == (T0 + SECOND, 0)


def test_ended_flows_are_announced(silence: int) -> None:
    """A small table full of ended flows makes it come back."""
    memory = Ring()
    memory.write([Frame(T0 + i * SECOND, ethernet(20, i % 200 + 1)) for i in range(400)])
    ring = LiveRing(memory.memory, silence, BLOCK_BYTES, 1)
    engine = Engine(max_flows=8, idle_timeout_s=1, model=None)
    ended = 0
    while (status := engine.consume_live(ring, wait_ms=0)) == "export" or engine.n_ended:
        ended += len(engine.export())
    assert (status, ended + engine.n_live, engine.counters()["exports_lost"]) == ("idle", 400, 0)


def test_waiting_ends_when_time_is_over_and_when_the_socket_is_broken(silence: int) -> None:
    """Nothing comes: idle. The descriptor is closed: down, but not before all blocks were read."""
    memory = Ring()
    engine = Engine(max_flows=1024, model=None)
    ring = LiveRing(memory.memory, silence, BLOCK_BYTES, 1)
    assert engine.consume_live(ring, wait_ms=20) == "idle"
    there, here = os.pipe()
    os.close(there)
    broken = LiveRing(memory.memory, here, BLOCK_BYTES, 1)  # POLLERR: nobody reads this pipe
    memory.write([Frame(T0, ethernet())])
    assert engine.consume_live(broken, wait_ms=20) == "down"
    assert engine.counters()["packets"] == 1
    assert broken.next_burst(256, 20) == (b"", b"")
    assert broken.status == "down"
    os.close(here)


def test_a_ring_of_impossible_shape_is_refused(silence: int) -> None:
    """Neither a part of a block nor memory out of line is taken; a closed ring says that it is."""
    memory = np.zeros(2 * BLOCK_BYTES + 8, np.uint8)
    for wrong, block_bytes in (
        (memory, BLOCK_BYTES),
        (memory[:0], BLOCK_BYTES),
        (memory[:4096], 8),
        (memory[1 : 1 + BLOCK_BYTES], BLOCK_BYTES),
    ):
        with pytest.raises(ValueError, match=r"block|aligned"):
            LiveRing(wrong, silence, block_bytes, 1)
    ring = LiveRing(memory[:BLOCK_BYTES], silence, BLOCK_BYTES, 1)
    with pytest.raises(ValueError, match="max_packets"):
        ring.next_burst(65537)
    ring.close()
    for read in (ring.next_burst, lambda: Engine(max_flows=64, model=None).consume_live(ring)):
        with pytest.raises(ValueError, match="closed"):
            read()


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_ring_of_nonsense_ends(data: st.DataObject) -> None:
    """Whatever the headers say, reading ends, every block goes back, and no packet leaves its block."""
    memory = Ring(2)
    n = data.draw(st.integers(1, 20))
    memory.write([Frame(T0 + i, ethernet(i), 0, i, 0x8100) for i in range(n)])
    wild = st.sampled_from([0, 1, 3, 47, 48, 2**15, 2**16 - 1, 2**16, 2**31, 2**32 - 1]) | st.integers(
        0, 2**32 - 1
    )
    for _ in range(data.draw(st.integers(1, 6))):
        at = 4 * data.draw(st.integers(3, 48))
        memory.memory[at : at + 4] = np.frombuffer(np.uint32(data.draw(wild)).tobytes(), np.uint8)
    there, here = os.pipe()
    ring = LiveRing(memory.memory, there, BLOCK_BYTES, 1)
    packets = taken(ring, 7)
    os.close(there)
    os.close(here)
    assert len(packets) == ring.counters()["packets"] <= BLOCK_BYTES // 4
    assert not memory.is_ours(0)
    assert all(len(p.data) < BLOCK_BYTES for p in packets)


# AF_XDP


def ring_of(queue: Queue, fd: int) -> LiveRing:
    """Read a queue."""
    return LiveRing(queue.memory, fd, CHUNK_BYTES, 1, queue.received, queue.fill, OFFSETS)


def test_frames_of_a_queue_come_as_they_were_written(silence: int) -> None:
    """Bytes in order, times of now, more frames than there are chunks; each chunk goes back to the kernel."""
    queue = Queue()
    ring = ring_of(queue, silence)
    written: list[bytes] = []
    read: list[Packet] = []
    for i in range(10):
        frames = [ethernet(50 * i + j) for j in range(5)]
        queue.write(frames)
        written += frames
        read += taken(ring, 3)
        assert queue.n_free == queue.n_chunks
    assert [p.data for p in read] == written
    assert all(p.wire_len == len(p.data) for p in read)
    assert all(abs(p.ts_ns - time.time_ns()) < 60 * SECOND for p in read)
    assert [p.ts_ns for p in read] == sorted(p.ts_ns for p in read)


def test_a_queue_stops_before_a_time_and_finds_flows(silence: int) -> None:
    """What is read after the time belongs to what follows; flows are counted as of any ring."""
    queue = Queue()
    queue.write([ethernet(host=host) for host in (1, 2, 1)])
    ring, engine = ring_of(queue, silence), Engine(max_flows=1024, model=None)
    assert engine.consume_live(ring, 1, 0) == "until"
    assert engine.counters()["packets"] == 0
    assert engine.consume_live(ring) == "idle"
    assert sorted(engine.snapshot()["packets_forward"].tolist()) == [1, 2]
    assert ring.counters()["wire_bytes"] == engine.counters()["bytes"]


def test_a_queue_of_nonsense_ends(silence: int) -> None:
    """A frame outside the memory is left out, and its chunk goes back."""
    queue = Queue()
    wild = [(0, 2**32 - 1), (2**64 - 1, 60), (8 * CHUNK_BYTES - 10, 60), (8 * CHUNK_BYTES, 0), (4096, 60)]
    for at, n_bytes in wild:
        queue.describe(at, n_bytes)
    ring = ring_of(queue, silence)
    assert [len(p.data) for p in taken(ring)] == [0, 60]
    assert (ring.counters()["malformed"], queue.n_free) == (3, 8)


def test_queues_of_impossible_shape_are_refused(silence: int) -> None:
    """Rings that are too short, places out of line, a number of chunks that is no power of two."""
    queue = Queue()
    for received, fill, offsets in (
        (queue.received[:-8], queue.fill, OFFSETS),
        (queue.received, queue.fill[:-8], OFFSETS),
        (queue.received, queue.fill, (2, *OFFSETS[1:])),
        (queue.received, queue.fill, (2**63, *OFFSETS[1:])),
    ):
        with pytest.raises(ValueError, match="do not hold 8 places"):
            LiveRing(queue.memory, silence, CHUNK_BYTES, 1, received, fill, offsets)
    with pytest.raises(ValueError, match="do not hold 7 places"):
        LiveRing(queue.memory[:-CHUNK_BYTES], silence, CHUNK_BYTES, 1, queue.received, queue.fill, OFFSETS)
