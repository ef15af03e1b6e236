"""Bearers, load and capacity: against rows worked out by hand and a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.cells import CellLoad, bearers
from qoe.config import Cell, CellsConfig, Direction, Subscriber, Tier
from qoe.experience import EXPERIENCE_DTYPE
from qoe.schema import AppClass
from qoe.subscribers import SubscriberTable


def make_config(*prefixes: str, **cell: Any) -> CellsConfig:
    """Build one cell with a subscriber s0, s1, … for each prefix."""
    served = tuple(Subscriber(name=f"s{i}", addresses=(p,)) for i, p in enumerate(prefixes))
    return CellsConfig(cells=(Cell(name="c", **({"capacity_down_bps": 1e6} | cell), subscribers=served),))


def make_experience(**columns: Any) -> np.ndarray:
    """Build EXPERIENCE rows; columns not given are 0, or NaN where that means not seen."""
    rows = np.zeros(len(next(iter(columns.values()))), EXPERIENCE_DTYPE)
    for name in ("mos", "rtt_ms", "jitter_ms", "loss_down_ratio", "loss_up_ratio", "media_bps"):
        rows[name] = np.nan
    rows["packet_bytes_down"] = rows["packet_bytes_up"] = 500
    rows["activity_ratio"] = 1.0
    for name, values in columns.items():
        rows[name] = values
    return rows


def test_load() -> None:
    """Bytes become a rate per cell and direction; other subscribers' and nobody's stay apart."""
    config = CellsConfig(
        cells=(
            Cell(
                name="a", capacity_down_bps=1e6, subscribers=(Subscriber(name="x", addresses=("10.0.0.1",)),)
            ),
            Cell(name="b", capacity_up_bps=2e6, subscribers=(Subscriber(name="y", addresses=("10.0.0.2",)),)),
        )
    )
    load = CellLoad(SubscriberTable.from_config(config))
    rows = load.update(
        make_experience(
            subscriber=[0, 0, 1, -1], bytes_down=[1000, 500, 0, 9999], bytes_up=[10, 0, 250, 9999]
        ),
        0.5,
    )
    assert rows["cell"].tolist() == [0, 0, 1, 1]
    assert rows["direction"].tolist() == [0, 1, 0, 1]
    assert rows["load_bps"].tolist() == [24000, 160, 0, 4000]
    assert rows["n_flows"].tolist() == [2, 1, 0, 1]
    assert rows["n_subscribers"].tolist() == [1, 1, 0, 1]
    assert rows["capacity_known"].tolist() == [True, False, False, True]
    assert rows["capacity_bps"].tolist() == [1e6, 80, 0, 2e6]


def test_busiest_second() -> None:
    """Half seconds add up to whole ones, a long interval counts by its mean, the peak stays."""
    load = CellLoad(SubscriberTable.inferring())

    def busiest(n_bytes: int, interval_s: float) -> float:
        rows = load.update(make_experience(subscriber=[-1], bytes_down=[n_bytes], bytes_up=[0]), interval_s)
        assert rows["capacity_bps"][0] == rows["busiest_bps"][0]
        return float(rows["busiest_bps"][0])

    assert busiest(100, 0.5) == 800
    assert busiest(200, 0.5) == 2400
    assert busiest(1000, 4.0) == 2400
    assert busiest(4000, 2.0) == 16000
    assert busiest(0, 1.0) == 16000
    assert len(load.update(make_experience(subscriber=[]), 1.0)) == 2


def test_parts_of_different_seconds_do_not_add_up() -> None:
    """Idle parts of a second are not handed in: ten busy tenths of ten seconds are no busy second."""
    load = CellLoad(SubscriberTable.inferring())
    experience = make_experience(subscriber=[-1], bytes_down=[100], bytes_up=[0])
    rows = [load.update(experience, 0.1, second + 0.1) for second in range(10)]
    assert [row["load_bps"][0] for row in rows] == pytest.approx([8000.0] * 10)
    assert rows[-1]["busiest_bps"][0] == 800


def test_bearers() -> None:
    """Flows of one subscriber and class merge: rates add, qualities are means by rate, terms join."""
    config = CellsConfig(
        tiers={"gold": Tier(weight=2.0, floor_mos=3.5)},
        class_weights={"video": 3.0},
        cells=(
            Cell(
                name="a",
                capacity_down_bps=10e6,
                subscribers=(
                    Subscriber(name="x", addresses=("10.0.0.1",), tier="gold", efficiency_down_bps=20e6),
                    Subscriber(name="y", addresses=("10.0.0.2",)),
                ),
            ),
        ),
    )
    table = SubscriberTable.from_config(config)
    experience = make_experience(
        subscriber=[0, 0, 0, 1, -1],
        app_class=[AppClass.VIDEO, AppClass.VIDEO, AppClass.OTHER, AppClass.VOIP, AppClass.BULK],
        rate_down_bps=[3e6, 1e6, 1000, 80e3, 1e6],
        rate_up_bps=[0, 0, 500, 80e3, 1e6],
        mos=[4.0, 2.0, np.nan, 4.2, 1],
        path_rtt_ms=[20, 40, 10, 50, 1],
        codec=[1, 2, 3, 4, 5],
        model=[6, 5, 0, 2, 0],
        loss_down_ratio=[np.nan, np.nan, np.nan, 0.01, 0],
        loss_up_ratio=[np.nan, np.nan, np.nan, 0.05, 0],
        media_bps=[4e6, np.nan, np.nan, np.nan, np.nan],
        packet_bytes_down=[1500, 500, 100, 200, 1],
        burstiness_down_ratio=[0.5, 1.3, np.nan, 0.1, 0],
        burstiness_up_ratio=[np.nan, np.nan, np.nan, 0.2, 0],
        buffer_s=[12.0, 20.0, np.nan, np.nan, np.nan],
    )
    experience["probability"][:, AppClass.VIDEO] = [1.0, 0.6, 0, 0, 0]
    load = CellLoad(table).update(experience, 1.0)
    rows = bearers(experience, table, load)
    keys = [(r["direction"], r["subscriber"], r["app_class"]) for r in rows]
    assert keys == [
        (Direction.DOWN, 0, AppClass.VIDEO),
        (Direction.DOWN, 0, AppClass.OTHER),
        (Direction.DOWN, 1, AppClass.VOIP),
        (Direction.UP, 0, AppClass.OTHER),
        (Direction.UP, 1, AppClass.VOIP),
    ]
    video = rows[0]
    assert (video["rate_bps"], video["n_flows"], video["media_bps"]) == (4e6, 2, 4e6)
    assert video["mos"] == pytest.approx(3.5)
    assert video["rtt_ms"] == pytest.approx(25)
    assert (video["model"], video["codec"]) == (6, 1)  # of the flow with 3 Mbit/s
    assert rows["codec"].tolist() == [1, 3, 4, 3, 4]
    assert video["probability"][AppClass.VIDEO] == pytest.approx(0.9)
    assert video["packet_bytes"] == pytest.approx(4e6 / (3e6 / 1500 + 1e6 / 500))
    assert video["share_observed"] == pytest.approx(4e6 / 20e6)
    assert video["weight"] == pytest.approx(6.0)
    assert (video["buffer_s"], video["burstiness_ratio"]) == pytest.approx((14.0, 0.7))
    assert rows["burstiness_ratio"][[2, 4]].tolist() == pytest.approx([0.1, 0.2])
    assert not video["ladder_bps"].any()
    assert rows["floor_mos"][0] == 3.5
    np.testing.assert_equal(rows["floor_mos"][1:], np.full(4, np.nan))
    np.testing.assert_equal(rows["mos"][1:], [np.nan, 4.2, np.nan, 4.2])
    assert rows["loss_ratio"][[2, 4]].tolist() == pytest.approx([0.01, 0.05])
    assert rows["efficiency_bps"].tolist() == [20e6, 20e6, 10e6, 500, 80e3]
    assert rows["down_fraction"].tolist() == pytest.approx([1, 2 / 3, 0.5, 2 / 3, 0.5])


def test_floors() -> None:
    """A floor is promised to media alone: not to control, to the undecided, or to acknowledgements."""
    gold = Subscriber(name="x", addresses=("10.0.0.1",), tier="gold")
    config = CellsConfig(
        tiers={"gold": Tier(floor_mos=3.5)}, cells=(Cell(name="a", capacity_up_bps=1e6, subscribers=(gold,)),)
    )
    classes = [AppClass.UNKNOWN, AppClass.VIDEO, AppClass.VOIP, AppClass.BULK, AppClass.OTHER]
    experience = make_experience(
        subscriber=[0] * 5, app_class=classes, rate_down_bps=[9.0, 9, 9, 1, 9], rate_up_bps=[1.0, 1, 9, 9, 1]
    )
    table = SubscriberTable.from_config(config)
    rows = bearers(experience, table, CellLoad(table).update(experience, 1.0))
    promised = [
        (Direction(r["direction"]).name, AppClass(r["app_class"]).name) for r in rows if r["floor_mos"] > 0
    ]
    assert promised == [("DOWN", "VIDEO"), ("DOWN", "VOIP"), ("UP", "VOIP"), ("UP", "BULK")]


def test_bearers_of_nothing() -> None:
    """Without flows, or with nobody's alone, there are no bearers."""
    table = SubscriberTable.inferring()
    for experience in (make_experience(subscriber=[]), make_experience(subscriber=[-1], rate_down_bps=[1e6])):
        assert len(bearers(experience, table, CellLoad(table).update(experience, 1.0))) == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_bearers_agree_with_a_loop(seed: int, n_flows: int) -> None:
    """Sums and means by group are those of a loop over bearers and flows."""
    rng = np.random.default_rng(seed)
    table = SubscriberTable.from_config(make_config("10.0.0.1", "10.0.0.2", "10.0.0.3", capacity_up_bps=1e6))
    experience = make_experience(
        subscriber=rng.integers(-1, 3, n_flows),
        app_class=rng.integers(0, 3, n_flows),
        rate_down_bps=rng.integers(0, 3, n_flows) * 1e5,
        rate_up_bps=rng.integers(0, 3, n_flows) * 1e4,
        mos=np.where(rng.random(n_flows) < 0.3, np.nan, rng.uniform(1, 5, n_flows)),
        activity_ratio=rng.uniform(0.05, 1, n_flows),
    )
    rows = bearers(experience, table, CellLoad(table).update(experience, 1.0))
    expected: dict[tuple[int, int, int], list[Any]] = {}
    for flow in experience:
        for direction, name in enumerate(("rate_down_bps", "rate_up_bps")):
            if flow["subscriber"] >= 0 and flow[name] > 0:
                expected.setdefault((direction, flow["subscriber"], flow["app_class"]), []).append(
                    (flow, flow[name])
                )
    assert [(r["direction"], r["subscriber"], r["app_class"]) for r in rows] == sorted(expected)
    for row in rows:
        group = expected[row["direction"], row["subscriber"], row["app_class"]]
        assert row["rate_bps"] == pytest.approx(sum(rate for _, rate in group))
        known = [
            (f["mos"], f["rate_down_bps"] + f["rate_up_bps"]) for f, _ in group if not np.isnan(f["mos"])
        ]
        mean = sum(m * w for m, w in known) / sum(w for _, w in known) if known else np.nan
        assert row["mos"] == pytest.approx(mean, nan_ok=True)
        activity = sum(f["activity_ratio"] * rate for f, rate in group) / sum(rate for _, rate in group)
        assert row["activity_ratio"] == pytest.approx(activity)
