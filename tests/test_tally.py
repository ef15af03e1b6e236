"""What a replay adds up, against dictionaries in plain Python; and its bounds."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from qoe.cells import LOAD_DTYPE, Match, SubscriberTable
from qoe.config import Cell, CellsConfig, Subscriber
from qoe.experience import ALL_CLASSES
from qoe.schema import CLASS_NAMES, FLOW_DTYPE, RecordArray
from qoe.tally import Tally, Timeline
from qoe.toml import Rate

ROWS = np.dtype([("subscriber", "i8"), ("app_class", "u1"), ("mos", "f8")])


def table(n: int) -> SubscriberTable:
    """One cell with `n` subscribers."""
    subscribers = tuple(Subscriber(name=f"s{i}", addresses=(f"10.0.{i // 256}.{i % 256}",)) for i in range(n))
    cell = Cell(name="c", capacity_down_bps=Rate(1e7), subscribers=subscribers)
    return SubscriberTable.from_config(CellsConfig(cells=(cell,)))


def flows_of(rng: np.random.Generator, n: int) -> RecordArray:
    """Flows with random counts and classes."""
    flows = np.zeros(n, FLOW_DTYPE)
    for name in ("packets_forward", "packets_reverse", "bytes_forward", "bytes_reverse"):
        flows[name] = rng.integers(0, 10**6, n)
    flows["app_class"] = rng.integers(0, len(CLASS_NAMES), n)
    return flows


def test_sums_are_those_of_a_slow_twin() -> None:
    """Flows, packets and bytes each way, by subscriber and class, over several batches."""
    rng = np.random.default_rng(5)
    tally, who = Tally(), table(20)
    want: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for _ in range(5):
        flows = flows_of(rng, 60)
        owner = rng.integers(-1, 20, 60)
        side = np.where(owner < 0, -1, rng.integers(0, 2, 60))
        tally.add_flows(flows, Match(owner, side))
        for flow, i, s in zip(flows, owner.tolist(), side.tolist(), strict=True):
            ways = [int(flow["bytes_reverse"]), int(flow["bytes_forward"])]
            down, up = ways[::-1] if s == 1 else ways
            n_packets = int(flow["packets_forward"] + flow["packets_reverse"])
            cell = want[i, CLASS_NAMES[flow["app_class"]]]
            for k, value in enumerate((1, n_packets, down, up)):
                cell[k] += value
    for found in tally.classes():
        rows = [v for (_, name), v in want.items() if name == found.app_class]
        total = [sum(column) for column in zip(*rows, strict=True)]
        assert [found.flows, found.packets, found.bytes] == [total[0], total[1], total[2] + total[3]]
    subscribers = tally.subscribers(who)
    assert {s.subscriber for s in subscribers} == {f"s{i}" for i, _ in want if i >= 0}
    for s in subscribers:
        rows = [v for (i, _), v in want.items() if f"s{i}" == s.subscriber]
        total = [sum(column) for column in zip(*rows, strict=True)]
        assert [s.flows, s.packets, s.bytes_down, s.bytes_up] == total
        assert sum(c.bytes for c in s.classes) == s.bytes == s.bytes_down + s.bytes_up
    assert tally.n_flows == 300
    nobodys = [v for (i, _), v in want.items() if i < 0]
    assert tally.nobodys == (sum(v[0] for v in nobodys), sum(v[2] + v[3] for v in nobodys))


def mos_rows(*rows: tuple[int, int, float]) -> RecordArray:
    """Rows as `by_subscriber` gives them."""
    return np.array(list(rows), ROWS)


def test_mos_is_the_mean_over_active_time() -> None:
    """A subscriber's MOS averages the intervals in which it could be judged; the worst is kept."""
    tally, who = Tally(), table(2)
    flows = np.zeros(3, FLOW_DTYPE)
    flows["app_class"] = [1, 2, 1]
    tally.add_flows(flows, Match(np.array([0, 0, 1]), np.zeros(3, np.int64)))
    tally.add_mos(mos_rows((0, 1, 2.0), (0, 2, 4.0), (0, ALL_CLASSES, 3.0), (1, ALL_CLASSES, math.nan)))
    tally.add_mos(mos_rows((0, 1, 4.0), (0, ALL_CLASSES, 4.0), (-1, 1, 1.0)))
    first, second = tally.subscribers(who)
    assert (first.mos, first.mos_min) == (3.5, 3.0)
    assert {c.app_class: c.mos for c in first.classes} == {"video": 3.0, "voip": 4.0}
    assert (second.mos, second.mos_min) == (None, None)
    assert {c.app_class: c.mos for c in tally.classes()} == {"video": 3.0, "voip": 4.0}


def load_rows(bps: float, capacity: float = 1e7) -> RecordArray:
    """One cell, down and up."""
    rows = np.zeros(2, LOAD_DTYPE)
    rows["direction"] = [0, 1]
    rows["load_bps"] = [bps, bps / 10]
    rows["capacity_bps"] = capacity
    return rows


@pytest.mark.parametrize("n_intervals", [1, 7, 64, 1000])
def test_a_timeline_is_bounded_and_keeps_its_means(n_intervals: int) -> None:
    """However long the capture: few points, in order, whose time, bits and MOS add up to all of it."""
    rng = np.random.default_rng(n_intervals)
    timeline, who = Timeline(max_points=64), table(1)
    mos, bps = rng.uniform(1, 5, n_intervals), rng.uniform(0, 1e7, n_intervals)
    for i in range(n_intervals):
        timeline.add(100.0 + i, 1.0, mos_rows((0, 1, mos[i]), (0, ALL_CLASSES, mos[i])), load_rows(bps[i]))
    points = timeline.points(who, {(0, 0): 1e7})
    assert len(points) <= 64
    assert [p.time_s for p in points] == sorted(p.time_s for p in points)
    assert sum(p.duration_s for p in points) == pytest.approx(n_intervals)
    assert sum(p.cells[0].rate_bps * p.duration_s for p in points) == pytest.approx(bps.sum())
    assert sum(p.subscribers["s0"] * p.duration_s for p in points) == pytest.approx(mos.sum())
    assert sum(p.classes["video"] * p.duration_s for p in points) == pytest.approx(mos.sum())
    assert points[0].cells[0].load_ratio == pytest.approx(points[0].cells[0].rate_bps / 1e7)
    assert points[0].cells[1].load_ratio == 0.0


@pytest.mark.parametrize("spacing_s", [0.0, 1.0, 2.5, 5.0, 8e9])
def test_a_timeline_is_spaced_as_asked(spacing_s: float) -> None:
    """Intervals that begin within the same spacing are one point, the mean of them; idle ones make none."""
    timeline, who = Timeline(spacing_s), table(1)
    seconds = [0, 1, 2, 3, 4, 5, 6, 17, 18, 19]
    for i in seconds:
        timeline.add(101.0 + i, 1.0, mos_rows((0, ALL_CLASSES, 1 + i / 5)), load_rows(1000.0 * i))
    groups: dict[int, list[int]] = defaultdict(list)
    for i in seconds:
        groups[int((i + 0.5) // (spacing_s or 1.0))].append(i)
    points = timeline.points(who, {})
    assert [p.time_s for p in points] == [101.0 + g[-1] for g in groups.values()]
    assert [p.duration_s for p in points] == [len(g) for g in groups.values()]
    for point, group in zip(points, groups.values(), strict=True):
        assert point.subscribers["s0"] == pytest.approx(1 + np.mean(group) / 5)
        assert point.cells[0].rate_bps == pytest.approx(1000 * np.mean(group))


def test_a_timeline_of_a_crowd_is_bounded() -> None:
    """Many subscribers over many intervals hold no more values than allowed, and not all are followed."""
    timeline, who = Timeline(max_values=2000, max_subscribers=50), table(300)
    everyone = mos_rows(*((i, ALL_CLASSES, 3.0) for i in range(300)))
    for i in range(500):
        timeline.add(float(i), 1.0, everyone, load_rows(1.0))
    points = timeline.points(who, {})
    assert sum(len(p.subscribers) for p in points) <= 2000
    assert set(points[0].subscribers) == {f"s{i}" for i in range(50)}
