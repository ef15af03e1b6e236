"""The compiled cell simulator against its plain twin, bit for bit, and what must hold of any run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cellruns import totals
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe_native import cellsim_numpy
from qoe_native.cellsim import run
from qoe_native.cellsim_channel import efficiency_bits, make_cqi
from qoe_native.cellsim_data import Abr, Cell, Play, Scheduler, Source
from qoe_native.cellsim_setup import make_cell

LADDERS = [[300e3, 700e3, 1500e3, 3000e3], [150e3, 400e3]]
PLAYER = {
    "kind": Source.VIDEO,
    "segment_ms": 500,
    "startup_ms": 500,
    "resume_ms": 1000,
    "buffer_max_ms": 3000,
    "reservoir_ms": 500,
}
BUSY: list[dict[str, Any]] = [
    PLAYER | {"abr": Abr.RATE},
    PLAYER | {"abr": Abr.BBA, "n_segments": 4},
    PLAYER | {"abr": Abr.BOLA, "live_latency_ms": 1000},
    PLAYER | {"abr": Abr.MPC, "stop_ms": 2300, "weight": 2.0},
    {"kind": Source.VOIP, "talk_ms": 200.0, "pause_ms": 100.0, "start_ms": 150},
    {"kind": Source.VIDEO_CALL, "pause_ms": 0.0, "queue_limit_bytes": 12_000},
    {"kind": Source.GAME, "weight": 0.5},
    {"kind": Source.CLOUD_GAME, "rate_bps": 4e6, "queue_limit_bytes": 60_000},
    {"kind": Source.WEB, "size_bytes": 2e4, "n_objects": 5.0, "pause_ms": 200.0, "cubic": False},
    {"kind": Source.BULK, "size_bytes": 3e5, "pause_ms": 50.0, "queue_limit_bytes": 40_000},
    {"kind": Source.BULK, "stop_ms": 2000, "queue_limit_bytes": 30_000},
    {"kind": Source.OTHER, "period_ms": 3.0},
    {"kind": Source.FULL_BUFFER, "queue_limit_bytes": 20_000, "start_ms": 300, "stop_ms": 700},
]
ROUGH = {"bler_ratio": 0.1, "cqi_delay_ms": 10, "interpolate": True, "interval_ms": 700}


def make_busy(bearers: list[dict[str, Any]], *, n_subbands: int = 1, seed: int = 4, **config: Any) -> Cell:
    """Make a cell in which all of these happen on users of their own."""
    n = len(bearers)
    cqi = make_cqi(np.linspace(3.0, 22.0, n), 2000, n_subbands=n_subbands, seed=seed)
    users = [{"fading_db": 2.0 * (i % 2), "cqi_offset_ms": 130 * i} for i in range(n)]
    defaults = {"n_rb": 25, "cqi_step_ms": 10, "seed": seed}
    carried = [{"user": i} | bearer for i, bearer in enumerate(bearers)]
    coarse = np.floor(efficiency_bits() / 64.0) * 64.0 if config.get("bler_ratio") else None
    return make_cell(
        defaults | config,
        users,
        carried,
        cqi,
        duration_ms=4200,
        ladders=LADDERS,
        metric_bits_per_rb=coarse,
    )


def assert_same(one: Any, other: Any) -> None:
    """Compare structured arrays field by field, NaN being equal to itself."""
    for name in one.dtype.names:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("scheduler", Scheduler)
@pytest.mark.parametrize("rough", [False, True])
def test_the_twin_gives_the_same_bits(scheduler: Scheduler, rough: bool) -> None:
    """Records and logs of all kinds of sources are equal, with and without errors, delays and subbands."""
    config = ROUGH | {"n_subbands": 3, "opportunism_ms": 30.0} if rough else {}
    fast, slow = (make_busy(BUSY, scheduler=scheduler, **config) for _ in range(2))
    run(fast, 2800)
    cellsim_numpy.simulate(slow, 2800)
    assert fast.config["n_segments"][0] > 2
    assert totals(fast, "dropped_bytes").sum() > 0
    for name in ("records", "segments", "stalls", "fetches"):
        assert_same(getattr(fast, name)[:-1], getattr(slow, name)[:-1])
    for name in ("n_segments", "n_stalls", "n_fetches"):
        assert fast.config[name] == slow.config[name]


def test_pieces_make_the_whole() -> None:
    """Two runs of the same cell are equal, and so is one in pieces."""
    whole, again, pieces = (make_busy(BUSY) for _ in range(3))
    run(whole, 4000)
    run(again, 4000)
    for n_tti in (1, 999, 0, 1500, 1500):
        run(pieces, n_tti)
    for a, b, c in zip(whole, again, pieces, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


def test_sources_do_not_depend_on_the_scheduler() -> None:
    """Whoever is served, the same packets are offered, so that policies can be compared on equal terms."""
    offered = []
    for scheduler in (Scheduler.PF, Scheduler.MAX_CI):
        cell = make_busy(BUSY, scheduler=scheduler)
        run(cell, 4000)
        offered.append(cell.records["offered_bytes"][:4, [4, 6, 11]])
    assert np.array_equal(*offered)
    other = make_busy(BUSY, seed=5)
    run(other, 4000)
    assert np.any(other.records["offered_bytes"][:4, [4, 6, 11]] != offered[0])


def test_full_logs_are_counted_on() -> None:
    """What no longer fits a log is counted, and breaks nothing."""
    cell = make_busy(BUSY)
    short = cell._replace(segments=cell.segments[:3], stalls=cell.stalls[:1], fetches=cell.fetches[:0])
    run(short, 4000)
    assert short.config["n_segments"][0] > 3
    assert short.config["n_stalls"][0] > 1
    assert short.config["n_fetches"][0] > 0
    assert np.all(short.segments["done_ms"] > 0)


def assert_sound(cell: Cell) -> None:
    """Check what holds of any run of whole intervals, whatever was simulated."""
    records, state = cell.records[:-1], cell.state
    assert np.all(
        totals(cell, "offered_bytes")
        == totals(cell, "served_bytes") + totals(cell, "dropped_bytes") + state["backlog_bytes"]
    )
    queued = cell.queue["left_bytes"].sum(axis=1)
    assert np.array_equal(queued, state["backlog_bytes"])
    assert np.all(state["backlog_bytes"] <= cell.bearers["queue_limit_bytes"])
    assert records["n_rb"].sum(axis=1).max() <= cell.config["n_rb"][0] * cell.config["interval_ms"][0]
    most_bits = cell.bits_per_rb.max() * records["n_rb"]
    slack = cell.config["bler_ratio"][0] > 0.0
    assert slack or np.all(8 * records["served_bytes"] <= most_bits)
    for name in ("airtime_ratio", "activity_ratio"):
        assert np.all((records[name] >= 0.0) & (records[name] <= 1.0))
    assert np.all(records["n_late"] <= records["n_served"])
    assert np.all(records["delay_sum_ms"] >= records["n_served"])
    player = cell.players
    segment_ms = cell.sources["segment_ms"]
    assert np.array_equal(player["fetched_ms"], player["n_fetched"] * segment_ms)
    assert np.array_equal(totals(cell, "played_ms"), player["played_ms"])
    video = cell.bearers["kind"] == Source.VIDEO
    held = player["fetched_ms"] - player["played_ms"]
    assert np.all(held[video] >= 0)
    assert np.all(held[video] <= cell.sources["buffer_max_ms"][video])
    now = int(cell.config["now_ms"][0])
    alive = np.where(player["play"] == Play.OVER, player["since_ms"], now) - cell.bearers["start_ms"]
    spent = totals(cell, "played_ms") + totals(cell, "stall_ms") + totals(cell, "loading_ms")
    assert np.array_equal(spent[video], np.maximum(alive, 0)[video])
    voice = np.isin(cell.bearers["kind"], (Source.VOIP, Source.GAME))
    arrived = totals(cell, "n_voice") + totals(cell, "voice_discarded") + totals(cell, "voice_dropped")
    assert np.array_equal((arrived + state["n_queued"])[voice], totals(cell, "voice_sent")[voice])


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(BUSY), min_size=1, max_size=8),
    scheduler=st.sampled_from(Scheduler),
    n_rb=st.integers(1, 100),
    n_subbands=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 2**63),
    rough=st.booleans(),
    weights=st.lists(st.floats(0.01, 10.0), min_size=8, max_size=8),
)
def test_any_run_is_sound(
    kinds: list[dict[str, Any]],
    scheduler: Scheduler,
    n_rb: int,
    n_subbands: int,
    seed: int,
    rough: bool,
    weights: list[float],
) -> None:
    """Bytes, blocks, media and time are conserved."""
    bearers = [kind | {"weight": weight} for kind, weight in zip(kinds, weights, strict=False)]
    config: dict[str, Any] = {"bler_ratio": 0.2, "cqi_delay_ms": 20} if rough else {}
    cell = make_busy(bearers, n_subbands=n_subbands, seed=seed, scheduler=scheduler, n_rb=n_rb, **config)
    run(cell, 3000)
    assert_sound(cell)
