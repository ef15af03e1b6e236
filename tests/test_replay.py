"""Replays of captures whose truth is known, and the busiest moment, against slow twins."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from captures import Packet, pcapng
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import RAW_IP, SECOND, udp

from qoe.allocate import Busiest, weighted_mean
from qoe.config import Cell, CellsConfig, Subscriber, Tier
from qoe.errors import CaptureError, ConfigError
from qoe.optimise.curves import evaluate
from qoe.replay import Replay, replay
from qoe.report.result import ReplayResult
from qoe.schema import Curves, RecordArray
from qoe.toml import Rate
from qoe.utility import BEARER_DTYPE

T0 = 1_700_000_000 * SECOND
SERVER = "192.0.2.1"


class Sent(NamedTuple):
    """One packet of the made-up traffic."""

    ts_ns: int
    user: int
    down: bool
    n_bytes: int


def traffic(n: int = 600, seed: int = 1, seconds: int = 12) -> list[Sent]:
    """Random datagrams between five users and a server."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, seconds * SECOND, n))
    return [
        Sent(T0 + int(t), int(rng.integers(1, 6)), bool(rng.random() < 0.7), int(rng.integers(1, 1200)))
        for t in times
    ]


def frame(p: Sent) -> Packet:
    """The packet on the wire."""
    user, port = f"10.0.0.{p.user}", 1000 + p.user
    ends = (SERVER, 2000, user, port) if p.down else (user, port, SERVER, 2000)
    data = udp(*ends, payload=bytes(p.n_bytes))
    return Packet(p.ts_ns, data, len(data), RAW_IP)


def record(path: Path, sent: list[Sent]) -> str:
    """Write it as a capture."""
    path.write_bytes(pcapng([frame(p) for p in sent], link=RAW_IP))
    return str(path)


def config(**given_cell: float) -> CellsConfig:
    """Users 1 to 4 in one cell; the fifth is nobody's."""
    users = tuple(
        Subscriber(name=f"user {i}", addresses=(f"10.0.0.{i}",), tier="gold" if i == 1 else "")
        for i in range(1, 5)
    )
    rates = {name: Rate(bps) for name, bps in given_cell.items()}
    return CellsConfig(
        cells=(Cell(name="c", subscribers=users, **rates),),
        tiers={"gold": Tier(weight=2.0, floor_mos=3.0)},
    )


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    """The traffic that most tests replay."""
    return traffic()


@pytest.fixture(scope="module")
def found(sent: list[Sent], tmp_path_factory: pytest.TempPathFactory) -> ReplayResult:
    """Its replay with a cells file: downlink known, uplink not."""
    path = record(tmp_path_factory.mktemp("replay") / "a.pcapng", sent)
    return replay(path, cells=config(capacity_down_bps=1e6), model=None)


def wire_bytes(p: Sent) -> int:
    """Bytes of the frame."""
    return len(frame(p).data)


def test_counts_are_those_of_the_traffic(sent: list[Sent], found: ReplayResult) -> None:
    """Packets, bytes, flows and times, in all and by subscriber and direction."""
    assert (found.packets, found.bytes) == (len(sent), sum(map(wire_bytes, sent)))
    assert (found.flows, found.partial, found.duration_s) == (
        5,
        False,
        (sent[-1].ts_ns - sent[0].ts_ns) / 1e9,
    )
    assert found.first_s == sent[0].ts_ns / 1e9
    for s in found.subscribers:
        own = [p for p in sent if f"user {p.user}" == s.subscriber]
        assert s.packets == len(own)
        assert s.bytes_down == sum(wire_bytes(p) for p in own if p.down)
        assert s.bytes_up == sum(wire_bytes(p) for p in own if not p.down)
    assert [s.tier for s in found.subscribers] == ["gold", "", "", ""]


def test_what_is_nobodys_is_told(sent: list[Sent], found: ReplayResult) -> None:
    """Traffic of no subscriber of the cells file is in the classes, not in the cell, and a warning."""
    n_bytes = sum(wire_bytes(p) for p in sent if p.user == 5)
    (line,) = found.warnings
    assert f"1 flows ({n_bytes:,} bytes) belong to no subscriber" in line
    assert sum(c.bytes for c in found.classes) == found.bytes
    assert sum(s.bytes for s in found.subscribers) == found.bytes - n_bytes


def test_load_over_time_is_that_of_the_traffic(sent: list[Sent], found: ReplayResult) -> None:
    """Every second's load, each way, is the bytes that the cell's users sent in it."""
    want: dict[tuple[int, bool], int] = defaultdict(int)
    for p in sent:
        if p.user < 5:
            want[p.ts_ns // SECOND + 1, p.down] += 8 * wire_bytes(p)
    assert len(found.timeline) == len({p.ts_ns // SECOND for p in sent})
    for point in found.timeline:
        down, up = point.cells
        assert (down.direction, up.direction) == ("down", "up")
        second = math.ceil(point.time_s)
        assert down.rate_bps * point.duration_s == pytest.approx(want[second, True])
        assert up.rate_bps * point.duration_s == pytest.approx(want[second, False])
        assert down.load_ratio == pytest.approx(down.rate_bps / 1e6)
    assert {p.duration_s for p in found.timeline[:-1]} == {1.0}
    last_ns = sent[-1].ts_ns
    assert found.timeline[-1].duration_s == pytest.approx(last_ns % SECOND / 1e9)
    assert found.timeline[-1].time_s == pytest.approx(last_ns / 1e9)


def outcome(result: ReplayResult) -> list[object]:
    """All but the timeline: what must not depend on how often it is told."""
    return [
        *(getattr(result, name) for name in ("packets", "bytes", "flows", "duration_s", "first_s", "last_s")),
        *(result.classes, result.subscribers, result.cells, result.warnings),
    ]


@pytest.mark.parametrize("interval_s", [1.5, 5.0, 60.0, 3600.0, 8e9])
def test_nothing_but_the_timeline_depends_on_a_long_interval(
    sent: list[Sent], found: ReplayResult, tmp_path: Path, interval_s: float
) -> None:
    """MOS, loads, capacities and allocations are those of one second; the points are spaced as asked."""
    path = record(tmp_path / "a.pcapng", sent)
    got = replay(path, cells=config(capacity_down_bps=1e6), interval_s=interval_s, model=None)
    assert outcome(got) == outcome(found)
    duration_s = sum(p.duration_s for p in found.timeline)
    assert len(got.timeline) == math.ceil(duration_s / interval_s)
    assert sum(p.duration_s for p in got.timeline) == pytest.approx(duration_s)
    for way in (0, 1):
        bits = [sum(p.cells[way].rate_bps * p.duration_s for p in r.timeline) for r in (got, found)]
        assert bits[0] == pytest.approx(bits[1])


@pytest.mark.parametrize("interval_s", [0.1, 0.3, 0.7])
def test_a_short_interval_looks_more_often_at_the_same(
    sent: list[Sent], found: ReplayResult, tmp_path: Path, interval_s: float
) -> None:
    """The busiest second is the same; MOS and loads are close; points are not closer than asked."""
    path = record(tmp_path / "a.pcapng", sent)
    got = replay(path, cells=config(capacity_down_bps=1e6), interval_s=interval_s, model=None)
    assert got.cells[1].capacity_bps == pytest.approx(found.cells[1].capacity_bps)
    for one, other in zip(got.cells, found.cells, strict=True):
        assert one.load_bps == pytest.approx(other.load_bps, rel=0.1)
    for mine, whole in zip(got.classes, found.classes, strict=True):
        assert (mine.app_class, mine.bytes) == (whole.app_class, whole.bytes)
        assert mine.mos == (None if whole.mos is None else pytest.approx(whole.mos, abs=0.2))
    assert len(got.timeline) <= math.ceil(12 / interval_s) + 1


def test_an_interval_too_short_to_judge_is_said(sent: list[Sent], tmp_path: Path) -> None:
    """A millisecond gives what a tenth of a second gives, timeline included, and a line that says so."""
    path = record(tmp_path / "a.pcapng", sent)
    tenth, less = (replay(path, interval_s=interval_s, model=None) for interval_s in (0.1, 0.001))
    assert less.timeline == tenth.timeline
    assert outcome(less)[:-1] == outcome(tenth)[:-1]
    (line,) = less.warnings
    assert "0.001 s is too short" in line
    assert tenth.warnings == []


def test_a_short_capture_is_not_diluted(tmp_path: Path) -> None:
    """A fifth of a second of traffic has the load of this fifth, whatever the interval."""
    sent = [Sent(T0 + i * SECOND // 100, 1, True, 1000) for i in range(21)]
    bits = 8 * sum(map(wire_bytes, sent))
    for interval_s in (1.0, 3600.0):
        got = replay(record(tmp_path / "a.pcapng", sent), interval_s=interval_s, model=None)
        assert got.cells[0].load_bps == pytest.approx(bits / 0.2)
        assert [p.cells[0].rate_bps for p in got.timeline] == [pytest.approx(bits / 0.2)]
        assert got.cells[0].capacity_bps == pytest.approx(bits)


def test_an_interval_must_be_positive() -> None:
    """Neither nothing, nor less, nor no number at all."""
    for interval_s in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="above 0"):
            Replay([], interval_s=interval_s, model=None)


def test_long_intervals_hold_no_flows(tmp_path: Path) -> None:
    """Flows that ended are counted every second and let go, even if no point of the timeline is due."""
    path = record(tmp_path / "a.pcapng", traffic(400, seconds=4000))
    run = Replay([path], interval_s=8e9, model=None)
    held = []
    judge = run._judge
    run._judge = lambda end_ns: (judge(end_ns), held.append(len(run._ended)))  # type: ignore[method-assign]
    got = run.run()
    assert got.flows > 20
    assert len(held) > 300
    assert set(held) == {0}


def test_the_headline_is_the_busiest_horizon(sent: list[Sent], found: ReplayResult) -> None:
    """A known capacity is shared, an unknown one is held; the load is that of the busiest ten seconds."""
    down, up = found.cells
    assert (down.capacity_source, up.capacity_source) == ("configured", "trace")
    assert (down.status == "held", up.status == "held") == (False, True)
    per_second = defaultdict(int)
    for p in sent:
        if p.user < 5 and p.down:
            per_second[p.ts_ns // SECOND] += 8 * wire_bytes(p)
    first = min(per_second)
    horizons = [sum(per_second[s] for s in range(e - 9, e + 1)) / 10 for e in range(first + 9, first + 12)]
    assert down.load_bps == pytest.approx(max(horizons), rel=0.05)
    assert up.capacity_bps == pytest.approx(max(p.cells[1].rate_bps for p in found.timeline))
    assert {a.subscriber for a in down.allocations} == {f"user {i}" for i in range(1, 5)}


def test_a_held_cell_keeps_what_was_seen(found: ReplayResult) -> None:
    """Without a capacity the shares are the observed rates over the busiest second; MOS stays."""
    up = found.cells[1]
    for a in up.allocations:
        assert a.share_ratio == a.share_before_ratio
        assert a.mos_after == a.mos_before
        assert a.rate_bps == pytest.approx(a.share_ratio * up.capacity_bps)
    shares = np.array([a.share_ratio for a in up.allocations])
    np.testing.assert_allclose([a.weight for a in up.allocations], shares / shares.mean())
    assert up.mos_bound is None


def test_without_cells_the_private_ends_are_served(sent: list[Sent], tmp_path: Path) -> None:
    """All five users are found by their addresses, in one cell; nothing is nobody's."""
    got = replay(record(tmp_path / "a.pcapng", sent), model=None)
    assert {s.subscriber for s in got.subscribers} == {f"10.0.0.{i}" for i in range(1, 6)}
    assert sum(s.bytes for s in got.subscribers) == got.bytes
    assert got.warnings == []
    assert {c.status for c in got.cells} == {"held"}


def test_pieces_of_a_capture_are_the_whole(sent: list[Sent], found: ReplayResult, tmp_path: Path) -> None:
    """A capture in three files, named by a pattern, gives the same sums and the same loads."""
    for i, piece in enumerate((sent[:200], sent[200:350], sent[350:])):
        record(tmp_path / f"{i}.pcapng", piece)
    got = replay(tmp_path / "*.pcapng", cells=config(capacity_down_bps=1e6), model=None)
    assert (got.packets, got.bytes, got.flows, got.subscribers) == (
        found.packets,
        found.bytes,
        found.flows,
        found.subscribers,
    )
    assert [c.packets for c in got.captures] == [200, 150, 250]
    assert [p.cells for p in got.timeline] == [p.cells for p in found.timeline]


def test_idle_hours_cost_nothing(tmp_path: Path) -> None:
    """A day of silence between two bursts is skipped: as many points as seconds with packets."""
    one, two = traffic(50, seconds=3), traffic(50, seed=2, seconds=3)
    later = [p._replace(ts_ns=p.ts_ns + 86_400 * SECOND) for p in two]
    got = replay(record(tmp_path / "a.pcapng", one + later), capacity_bps=1e6, model=None)
    assert got.packets == 100
    assert len(got.timeline) == 6


def test_an_interruption_gives_what_was_read(sent: list[Sent], tmp_path: Path) -> None:
    """Ctrl-C within the work ends the reading, not the call."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    paths = [record(tmp_path / "a.pcapng", sent), "never opened"]
    got = Replay(paths, model=None, progress=interrupt).run()
    assert got.partial
    assert got.warnings[-1].startswith("interrupted")
    assert 0 < got.packets == got.captures[0].packets < len(sent)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    """If no capture could be read there is no result to give."""
    (tmp_path / "a.pcap").write_bytes(b"")
    with pytest.raises(CaptureError, match=r"a\.pcap"):
        replay(tmp_path / "a.pcap", model=None)
    with pytest.raises(ConfigError, match="not both"):
        replay(tmp_path / "a.pcap", cells=config(capacity_down_bps=1e6), capacity_bps=1e6, model=None)


# moments and curves


def bearer_rows(rng: np.random.Generator) -> RecordArray:
    """Bearers of two cells at one moment."""
    rows = np.zeros(int(rng.integers(0, 8)), BEARER_DTYPE)
    rows["cell"] = rng.integers(0, 2, len(rows))
    rows["direction"] = rng.integers(0, 2, len(rows))
    rows["rate_bps"] = rng.uniform(1, 10, len(rows))
    return rows


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_busiest_moment_is_kept(seed: int) -> None:
    """For each cell and direction: the largest sum of rates, its time and its bearers."""
    rng = np.random.default_rng(seed)
    busiest, best = Busiest(), dict[tuple[int, int], tuple[float, int]]()
    for second in range(10):
        rows = bearer_rows(rng)
        busiest.add(float(second), 10.0, rows)
        for where in {(int(r["cell"]), int(r["direction"])) for r in rows}:
            total = sum(float(r["rate_bps"]) for r in rows if (r["cell"], r["direction"]) == where)
            if total > best.get(where, (0.0, 0))[0] * (1 + 1e-12):
                best[where] = (total, second)
    assert busiest.moments.keys() == best.keys()
    for where, (total, second) in best.items():
        assert busiest.moments[where].at_s == second
        assert busiest.moments[where].load_bps == pytest.approx(total)


def test_who_is_badly_off_and_since_when() -> None:
    """Who was measured below MOS 2 at the busiest time has been so since an earlier step; nobody else."""
    folder = Path(__file__).parent.parent / "examples"
    found = replay(folder / "busy-cell.pcapng", cells=folder / "busy-cell.toml")
    told = 0
    for cell in found.cells:
        assert cell.explanation is not None
        seen = {(a.subscriber, a.app_class): a.mos_measured for a in cell.allocations}
        ends = [f"{row.subscriber}/{row.app_class}" for row in cell.explanation.badly_off if row.mos < 2]
        assert sorted(ends) == sorted(cell.below_mos_2)
        for row in cell.explanation.badly_off:
            measured = seen[row.subscriber, row.app_class]
            if measured is not None:  # what is not judged now may have been before
                assert (row.since_s is not None) == (measured < 2)
            if row.since_s is not None:
                told += 1
                assert found.first_s - 1 <= row.since_s < cell.at_s
    assert told >= 3


def test_a_short_first_horizon_does_not_win() -> None:
    """A second at a high rate carries less than ten at a middling one."""
    rows = np.zeros(1, BEARER_DTYPE)
    busiest = Busiest()
    for at_s, horizon_s, rate_bps in ((1.0, 1.0, 9.0), (10.0, 10.0, 3.0), (11.0, 10.0, 2.0)):
        rows["rate_bps"] = rate_bps
        busiest.add(at_s, horizon_s, rows.copy())
    assert (busiest.moments[0, 0].at_s, busiest.moments[0, 0].load_bps) == (10.0, 3.0)


@given(st.lists(st.floats(0, 1.2), min_size=1, max_size=6))
@settings(deadline=None)
def test_steps_hold_and_lines_join(shares: list[float]) -> None:
    """A ladder keeps the value of the last rung reached; a line is between its points; the end holds."""
    n = len(shares)
    points, mos = np.array([0.0, 0.25, 0.5]), np.array([1.0, 3.0, 4.0])
    step = np.arange(n) % 2 == 0
    curves = Curves(np.tile(points, (n, 1)), np.tile(mos, (n, 1)), step)
    got = evaluate(curves, np.array(shares))
    for share, is_step, value in zip(shares, step, got, strict=True):
        rung = 1.0 if share < 0.25 else 3.0 if share < 0.5 else 4.0
        line = 1 + 8 * share if share < 0.25 else 2 + 4 * share if share < 0.5 else 4.0
        assert value == pytest.approx(rung if is_step else line)


def test_means_leave_out_what_is_not_known() -> None:
    """NaN has no weight; without a known value there is no mean."""
    assert weighted_mean(np.array([2.0, np.nan, 4.0]), np.array([1.0, 9.0, 3.0])) == 3.5
    assert weighted_mean(np.array([np.nan]), np.ones(1)) is None
