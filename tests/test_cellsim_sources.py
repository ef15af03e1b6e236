"""The sources of the cell simulator against theory, published rules and arithmetic."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from cellruns import full_buffers, steady, totals

from qoe_native.cellsim import run
from qoe_native.cellsim_data import Abr, Cell, Play, Scheduler, Source

VIDEO: dict[str, Any] = {"user": 0, "kind": Source.VIDEO, "size_sigma": 0.0}
LADDER = [0.5e6, 1e6, 2e6, 4e6, 8e6]


def link(bps: float, bearer: dict[str, Any], duration_ms: int, **options: Any) -> Cell:
    """Run one bearer over a link of a constant rate."""
    bits = np.full(16, bps / 1000.0 / 50)
    cell = steady([10], [{"user": 0} | bearer], duration_ms=duration_ms, bits_per_rb=bits, **options)
    run(cell, duration_ms)
    return cell


def segments(cell: Cell) -> Any:
    """Read the log of segments."""
    return cell.segments[: cell.config["n_segments"][0]]


def stalls(cell: Cell) -> Any:
    """Read the log of stalls."""
    return cell.stalls[: cell.config["n_stalls"][0]]


# ---- queue


def test_delay_of_poisson_packets_is_that_of_md1() -> None:
    """Mean time in the system of constant service under Poisson load (Pollaczek and Khinchine)."""
    service_ms, load = 10.0, 0.7
    packet = {"kind": Source.OTHER, "packet_bytes": 12_500, "period_ms": service_ms / load}
    cell = link(10e6, packet | {"queue_limit_bytes": 10**8}, 2_000_000)
    n = totals(cell, "n_served")[0]
    expected = service_ms * (1.0 + load / (2.0 * (1.0 - load)))
    assert n > 9 * 130_000  # a packet of 12,500 bytes counts as nine
    assert totals(cell, "delay_sum_ms")[0] / n == pytest.approx(expected, rel=0.03)


# ---- TCP


@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("rtt_ms", [10, 80])
def test_tcp_fills_a_link(cubic: bool, rtt_ms: int) -> None:
    """A long download uses more than 95 % of a constant link, its slow start aside."""
    bearer = {"kind": Source.BULK, "cubic": cubic, "rtt_ms": rtt_ms, "window_max_bytes": 1 << 22}
    cell = link(20e6, bearer, 40_000)
    rate = cell.records["served_bytes"][10:40, 0] * 8.0
    assert rate.mean() > 0.95 * 20e6
    assert totals(cell, "n_dropped")[0] > 0


def test_tcp_shares_with_its_like() -> None:
    """Two downloads of one user with queues of their own get alike under round robin."""
    bearers = [{"user": 0, "kind": Source.BULK, "rtt_ms": rtt_ms} for rtt_ms in (20, 60)]
    cell = steady([10], bearers, scheduler=Scheduler.ROUND_ROBIN, duration_ms=20_000)
    run(cell, 20_000)
    served = cell.records["served_bytes"][5:20].sum(axis=0)
    assert served[0] / served[1] == pytest.approx(1.0, rel=0.05)


def test_a_window_caps_the_rate() -> None:
    """A receiver's window of w bytes lets w through a round trip."""
    bearer = {"kind": Source.BULK, "rtt_ms": 99, "window_max_bytes": 144_800}
    cell = link(100e6, bearer, 20_000)
    rate = cell.records["served_bytes"][5:20, 0].mean() * 8.0
    assert rate == pytest.approx(144_800 * 8 / 0.1, rel=0.03)


def test_slow_start_doubles_each_round_trip() -> None:
    """150 kB from a window of ten segments take four flights: 14.5, 43, 101, then all of it."""
    bearer = {"kind": Source.BULK, "size_bytes": 150e3, "rtt_ms": 100, "pause_ms": 1e6}
    cell = link(500e6, bearer, 2000, n_rb=50)
    fetch = cell.fetches[0]
    assert cell.config["n_fetches"][0] == 1
    assert fetch["size_bytes"] == 150_000
    # two round trips of set-up, one for the request, three more between four flights, some for the air
    assert fetch["done_ms"] - fetch["start_ms"] == pytest.approx(600, abs=12)


# ---- players


@pytest.mark.parametrize("abr", Abr)
def test_a_fast_link_brings_the_top_without_a_stall(abr: Abr) -> None:
    """At ten times the highest bitrate every player gets to the top and never stalls."""
    cell = link(80e6, VIDEO | {"abr": abr}, 60_000, ladders=[LADDER])
    log = segments(cell)
    assert np.all(log["rung"][-5:] == 4)
    assert stalls(cell)["initial"].tolist() == [True]
    last = cell.records[59, 0]
    assert last["play"] == Play.PLAYING
    assert last["played_bits"] / last["played_ms"] * 1000.0 == pytest.approx(8e6)


def test_rate_based_players_take_what_the_rate_carries() -> None:
    """Throughput 3 Mbit/s, safety 0.8: the 2 Mbit/s rung, in the steady state every segment."""
    cell = link(3e6, VIDEO | {"abr": Abr.RATE}, 120_000, ladders=[LADDER])
    assert set(segments(cell)["rung"][3:]) == {2}
    assert totals(cell, "stall_ms")[0] == 0


def test_buffer_based_players_follow_the_map() -> None:
    """BBA-0: lowest rung up to the reservoir, highest from 90 % on, between them never beyond the map."""
    bearer = VIDEO | {"abr": Abr.BBA, "segment_ms": 2000, "buffer_max_ms": 60_000, "reservoir_ms": 10_000}
    cell = link(5e6, bearer, 240_000, ladders=[LADDER])
    log = segments(cell)
    started = stalls(cell)[0]["start_ms"] + stalls(cell)[0]["duration_ms"]
    assert len(stalls(cell)) == 1
    rungs = set()
    for before, segment in itertools.pairwise(log):
        buffer_ms = segment["media_ms"] - max(0, segment["request_ms"] - started)
        rate = 0.5e6 + min(max((buffer_ms - 10e3) / (54e3 - 10e3), 0.0), 1.0) * 7.5e6
        rungs.add(int(segment["rung"]))
        if buffer_ms <= 10_000:
            assert segment["rung"] == 0
        elif segment["rung"] > before["rung"]:
            assert LADDER[segment["rung"]] <= rate
        elif segment["rung"] < before["rung"]:
            assert LADDER[segment["rung"]] >= rate
        else:  # stays between its neighbours
            assert LADDER[max(0, segment["rung"] - 1)] <= rate <= LADDER[min(4, segment["rung"] + 1)]
    assert rungs >= {0, 1, 2, 3}


def test_planning_players_spend_the_buffer_not_the_viewer() -> None:
    """On a steady 3 Mbit/s link MPC plays more than the rate alone would allow, without a stall."""
    cell = link(3e6, VIDEO | {"abr": Abr.MPC}, 120_000, ladders=[LADDER])
    assert totals(cell, "stall_ms")[0] == 0
    log = segments(cell)
    assert 2e6 <= log["bitrate_bps"][5:].mean() <= 3e6
    assert log["rung"].max() <= 3


def test_a_link_below_the_lowest_rung_stalls_as_arithmetic_has_it() -> None:
    """A 1 Mbit/s video over 0.5 Mbit/s plays half of the time."""
    cell = link(0.5e6, VIDEO, 300_000, ladders=[[1e6]])
    later = cell.records[60:300, 0]
    assert later["played_ms"].sum() / 240_000 == pytest.approx(0.5, abs=0.03)
    assert later["stall_ms"].sum() + later["played_ms"].sum() == 240_000
    log = stalls(cell)
    assert log["ended"].all()
    assert np.all(log["duration_ms"][1:] > 0)
    logged = log["duration_ms"][1:].sum()
    running = 300_000 - cell.players["stalled_ms"][0] if cell.players["play"][0] == Play.STALLED else 0
    assert logged + running == totals(cell, "stall_ms")[0]


def test_a_video_ends() -> None:
    """Five segments are fetched, played and over; the player then asks for nothing."""
    cell = link(20e6, VIDEO | {"n_segments": 5}, 40_000, ladders=[LADDER])
    assert cell.config["n_segments"][0] == 5
    assert cell.players["play"][0] == Play.OVER
    assert totals(cell, "played_ms")[0] == 20_000
    assert totals(cell, "stall_ms")[0] == 0
    assert totals(cell, "served_bytes")[0] == segments(cell)["size_bytes"].sum()


def test_a_stopped_player_logs_that_it_waited() -> None:
    """A viewer who leaves before play began leaves an initial loading that did not end."""
    cell = link(50e3, VIDEO | {"stop_ms": 5000}, 10_000, ladders=[LADDER])
    (entry,) = stalls(cell)
    assert entry["initial"]
    assert not entry["ended"]
    assert (entry["start_ms"], entry["duration_ms"]) == (0, 5000)
    assert totals(cell, "loading_ms")[0] == 5000


def test_live_segments_are_not_fetched_before_they_exist() -> None:
    """Segment k of a live stream is asked for when it is over, and play keeps its distance to the edge."""
    bearer = VIDEO | {"segment_ms": 2000, "startup_ms": 4000, "live_latency_ms": 8000}
    cell = link(20e6, bearer, 60_000, ladders=[LADDER])
    log = segments(cell)
    over_ms = log["media_ms"] + 2000 - 8000
    assert np.all(log["request_ms"] >= over_ms)
    assert np.all(log["request_ms"][6:] == over_ms[6:])
    assert cell.records["buffer_ms"][:60, 0].max() <= 8000
    assert totals(cell, "stall_ms")[0] == 0


def test_segments_vary_around_their_bitrate() -> None:
    """Log-normal sizes of mean 1 and the deviation that was asked for."""
    bearer = VIDEO | {"size_sigma": 0.3, "segment_ms": 1000, "startup_ms": 1000, "resume_ms": 1000}
    cell = link(50e6, bearer, 1_000_000, ladders=[[1e6]])
    ratio = segments(cell)["size_bytes"] / 125_000.0
    assert ratio.size > 900
    assert ratio.mean() == pytest.approx(1.0, abs=0.04)
    assert np.log(ratio).std() == pytest.approx(0.3, rel=0.08)


# ---- calls, games, pages


def test_talk_spurts_and_pauses_are_those_of_p59() -> None:
    """One speaks for 1.004 of 2.591 seconds, a packet each 20 ms meanwhile."""
    cell = link(10e6, {"kind": Source.VOIP}, 2_000_000)
    expected = 2_000_000 / 20 * 1.004 / (1.004 + 1.587)
    assert totals(cell, "voice_sent")[0] == pytest.approx(expected, rel=0.06)
    assert totals(cell, "n_voice")[0] == totals(cell, "voice_sent")[0]
    assert totals(cell, "voice_gaps")[0] == 0
    assert np.nanmax(cell.records["delay_max_ms"][:-1]) == 1.0
    assert cell.records["jitter_ms"].max() == 0.0


def jittery(**voice: Any) -> Cell:
    """Run a call in a cell that serves the best channel only."""
    call = {"user": 0, "kind": Source.VOIP} | voice
    fading = {"fading_db": 4.0, "fading_ms": 30.0}
    bearers = [call, *full_buffers(4)[1:]]
    options = {"scheduler": Scheduler.MAX_CI, "users": [fading] * 4, "duration_ms": 60_000}
    cell = steady([13, 9, 9, 9], bearers, **options)
    run(cell, 60_000)
    return cell


def test_a_jitter_buffer_discards_what_is_late() -> None:
    """With a fixed buffer what was delayed by more is discarded, and nothing else."""
    voice = {"pause_ms": 0.0, "jitter_adaptive": False, "budget_ms": 40.0}
    late = {}
    for wait_ms in (40.0, 10_000.0):
        cell = jittery(jitter_buffer_ms=wait_ms, **voice)
        late[wait_ms] = (totals(cell, "voice_discarded")[0], totals(cell, "n_late")[0])
    assert late[10_000.0][0] == 0
    assert late[40.0][0] == late[40.0][1] == late[10_000.0][1] > 0


def test_an_adaptive_jitter_buffer_waits_no_longer_than_needed() -> None:
    """On an idle link the buffer shrinks to a packet's length; on a jittery one it grows."""
    waits = []
    for cell in (link(10e6, {"kind": Source.VOIP}, 60_000), jittery()):
        waits.append(totals(cell, "playout_sum_ms")[0] / totals(cell, "n_voice")[0])
        assert totals(cell, "voice_discarded")[0] < 0.05 * totals(cell, "voice_sent")[0]
    assert waits[0] == pytest.approx(20.0, abs=1.0)
    assert 20.5 < waits[1] < 200.0


def test_a_game_ticks() -> None:
    """Thirty packets a second, of about the size that was asked for."""
    cell = link(10e6, {"kind": Source.GAME}, 100_000)
    assert totals(cell, "voice_sent")[0] == pytest.approx(3000, abs=1)
    mean = totals(cell, "served_bytes")[0] / totals(cell, "n_voice")[0]
    assert mean == pytest.approx(200 * math.exp(0.3**2 / 2), rel=0.03)


def test_frames_follow_the_capacity() -> None:
    """A cloud game that begins above the link's rate comes down below it, and late frames end."""
    bearer = {"kind": Source.CLOUD_GAME, "rate_bps": 15e6, "rate_min_bps": 1e6}
    cell = link(8e6, bearer, 60_000)
    first, last = cell.records[0, 0], cell.records[40:60, 0]
    assert first["n_frames"] < 30
    assert 5e6 < last["served_bytes"].mean() * 8.0 < 8e6
    assert last["n_frames"].sum() > 0.97 * last["n_frames_sent"].sum()
    assert last["frame_bytes"].sum() > 0.95 * last["served_bytes"].sum()


def test_frames_without_room_to_adapt_keep_their_rate() -> None:
    """A constant rate is offered where both ends of the range are the same."""
    bearer = {"kind": Source.CLOUD_GAME, "rate_bps": 5e6, "rate_min_bps": 5e6, "rate_max_bps": 5e6}
    cell = link(50e6, bearer, 60_000)
    assert totals(cell, "offered_bytes")[0] * 8 / 60.0 == pytest.approx(5e6, rel=0.01)
    assert totals(cell, "n_frames")[0] == totals(cell, "n_frames_sent")[0]


def test_a_page_takes_its_round_trips() -> None:
    """Tiny pages: three round trips of set-up and one for each of three rounds of objects."""
    bearer = {"kind": Source.WEB, "size_bytes": 3000.0, "size_sigma": 0.0, "n_objects": 6.0, "rtt_ms": 50}
    cell = link(50e6, bearer | {"objects_sigma": 0.0, "pause_ms": 100.0}, 20_000)
    log = cell.fetches[: cell.config["n_fetches"][0]]
    assert len(log) > 30
    assert np.all(log["n_objects"] == 6)
    assert np.all(log["size_bytes"] == 3000)
    times = log["done_ms"] - log["start_ms"]
    assert np.all((times >= 300) & (times <= 306))
    assert totals(cell, "fetch_sum_ms")[0] == times.sum()
    assert totals(cell, "fetch_bytes")[0] == log["size_bytes"].sum()


def test_pages_have_the_sizes_that_were_asked_for() -> None:
    """Log-normal about the median."""
    bearer = {"kind": Source.WEB, "size_bytes": 20e3, "size_sigma": 0.8, "pause_ms": 10.0, "rtt_ms": 1}
    cell = link(200e6, bearer, 200_000, log_capacity=20_000)
    log = cell.fetches[: cell.config["n_fetches"][0]]
    assert len(log) > 2000
    assert np.median(log["size_bytes"]) == pytest.approx(20e3, rel=0.08)
    assert np.log(log["size_bytes"]).std() == pytest.approx(0.8, rel=0.08)
    assert np.median(log["n_objects"]) == pytest.approx(70, rel=0.1)
