"""Chunks become viewings and pages: against players worked out by hand and a player that is simulated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qoe.applications import LADDER_BPS, rung_mos, session_mos, streaming_quality
from qoe.mos.video import Stall
from qoe.playback import SEGMENT_S, major_chunks, pages, play, view
from qoe.schema import CHUNK_DTYPE, FLOW_DTYPE, AppClass

START_NS = 1_700_000_000_000_000_000


def make_chunks(rows: list[tuple[float, float, float]], flow_id: int = 1) -> np.ndarray:
    """Build chunks from (request in s, end in s, bytes)."""
    chunks = np.zeros(len(rows), CHUNK_DTYPE)
    for chunk, (asked_s, ended_s, n_bytes) in zip(chunks, rows, strict=True):
        chunk["flow_id"] = flow_id
        chunk["request_ns"], chunk["last_ns"] = START_NS + int(asked_s * 1e9), START_NS + int(ended_s * 1e9)
        chunk["first_ns"] = chunk["request_ns"]
        chunk["bytes"] = n_bytes
    return chunks


def steady(bitrate_bps: float, segment_s: float, n: int) -> list[tuple[float, float, float]]:
    """Fetch two segments at once, then one a segment's length, each in 0.4 s."""
    starts = [0.0, 0.4, *(0.8 + segment_s * i for i in range(1, n - 1))]
    return [(s, s + 0.4, bitrate_bps * segment_s / 8) for s in starts]


@pytest.mark.parametrize("segment_s", [2.0, 4.0, 6.0])
def test_steady_player(segment_s: float) -> None:
    """A player with a full buffer shows its segment length, its bitrate, and never stalls."""
    viewing = view(make_chunks(steady(2.5e6, segment_s, 12)), from_start=True)
    assert viewing.segment_known
    assert viewing.segment_s == pytest.approx(segment_s)
    assert viewing.media_bps == pytest.approx(2.5e6)
    assert viewing.startup_s == pytest.approx(0.8 if segment_s < 5 else 0.4)
    assert viewing.stalls == ()
    assert viewing.n_segments == 12


def test_what_a_player_holds() -> None:
    """Media fetched and not yet played: by hand, with and without a stall; unknown without the start."""
    chunks = make_chunks(steady(2.5e6, 4.0, 12))
    assert view(chunks, from_start=True).buffer_s == pytest.approx(12 * 4.0 - (41.2 - 0.8))
    late = make_chunks([(0, 1, 1e6), (1, 2, 1e6), (2, 13, 1e6), (13, 15, 1e6), (15, 16, 1e6)])
    stalled = view(late, from_start=True, segment_s=4.0)
    assert stalled.buffer_s == pytest.approx(5 * 4.0 - (16.0 - 2.0 - 5.0))
    assert np.isnan(view(chunks).buffer_s)


def test_score_is_p1203() -> None:
    """Without a stall the score is that of the bitrate over the seconds played, with the loading at 0."""
    viewing = view(make_chunks(steady(1e6, 4.0, 20)), from_start=True)
    o22 = np.full(60, float(streaming_quality(1e6)))
    assert viewing.mos == pytest.approx(session_mos(o22, []))  # the start is over a minute ago
    assert viewing.mos == pytest.approx(rung_mos()[list(LADDER_BPS).index(1e6)])
    short = view(make_chunks(steady(1e6, 4.0, 5)), from_start=True)
    assert short.mos == pytest.approx(session_mos(o22[:20], [Stall(0.0, short.startup_s)]))


def test_sound_between_segments() -> None:
    """Small chunks that alternate with large ones are their sound: bytes, but no media time."""
    both = []
    for asked_s, ended_s, n_bytes in steady(1e6, 4.0, 10):
        both += [(asked_s, ended_s - 0.2, n_bytes), (ended_s - 0.2, ended_s, 0.1 * n_bytes)]
    viewing = view(make_chunks(both), from_start=True)
    assert viewing.n_segments == 10
    assert viewing.segment_s == pytest.approx(4.0)
    assert viewing.media_bps == pytest.approx(1.1e6)
    fall = np.array([100, 100, 100, 20, 20, 20])
    assert major_chunks(fall).all()


def test_unequal_pauses_tell_nothing() -> None:
    """Pauses that come at random are no full buffer: the segment length stays assumed."""
    rng = np.random.default_rng(1)
    starts = np.cumsum(rng.uniform(1.0, 6.0, 20))
    viewing = view(make_chunks([(s, s + 0.3, 100_000) for s in starts]))
    assert not viewing.segment_known
    assert viewing.segment_s == pytest.approx(np.sqrt(SEGMENT_S * np.diff(starts).mean()))


def test_stall_by_hand() -> None:
    """Two segments of 4 s play from 2 s to 10 s; the next two come at 13 s and 15 s: 5 s of stall."""
    startup_s, stalls = play(np.array([1.0, 2.0, 13.0, 15.0, 16.0]), 4.0)
    assert startup_s == 2.0
    assert stalls == (Stall(8.0, 5.0),)
    assert play(np.array([1.0, 2.0, 13.0]), 4.0) == (2.0, ())
    assert play(np.array([1.0, 2.0, 9.9, 13.9]), 4.0) == (2.0, ())


def test_unseen_start() -> None:
    """When the beginning was not seen a buffer of some segments is assumed, and no start-up delay."""
    startup_s, stalls = play(np.array([3.0, 7.0, 11.0]), 4.0, from_start=False)
    assert np.isnan(startup_s)
    assert stalls == ()
    assert len(play(np.array([30.0, 31.0, 32.0]), 4.0, from_start=False)[1]) == 1


def test_stalls_lower_the_score() -> None:
    """A gap in the fetching that empties the buffer costs MOS; so does a lower bitrate."""
    rows = steady(1e6, 4.0, 12)
    gap = rows[:6] + [(a + 20, e + 20, n) for a, e, n in rows[6:]]
    smooth, stalled = view(make_chunks(rows)), view(make_chunks(gap))
    assert len(stalled.stalls) == 1
    assert stalled.mos < smooth.mos - 0.1
    assert view(make_chunks([(a, e, n / 4) for a, e, n in rows])).mos < smooth.mos


def test_little_is_known() -> None:
    """No chunk is no viewing; one chunk is one segment of the assumed length."""
    nothing = view(make_chunks([]))
    assert np.isnan(nothing.mos)
    assert nothing.n_segments == 0
    one = view(make_chunks([(0.0, 0.5, 500_000)]))
    assert (one.n_segments, one.segment_s, one.segment_known) == (1, SEGMENT_S, False)
    assert one.media_bps == pytest.approx(1e6)
    assert view(make_chunks([(0.0, 0.5, 500_000)]), segment_s=2.0).media_bps == pytest.approx(2e6)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-1, 20), st.floats(-1, 30), st.integers(0, 10**8)), max_size=20),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 4.0, 15.0]),
)
def test_any_chunks(rows: list[tuple[float, float, float]], from_start: bool, segment_s: float) -> None:
    """Whatever comes, clocks running back included, MOS is 1 to 5 and every stall has a length."""
    total_s, ordered = 0.0, []
    for gap_s, took_s, n_bytes in rows:
        total_s = max(total_s + gap_s, 0.0)
        ordered.append((total_s, max(total_s + took_s, 0.0), n_bytes))
    viewing = view(make_chunks(ordered), from_start=from_start, segment_s=segment_s)
    assert np.isnan(viewing.mos) if not rows else 1 <= viewing.mos <= 5
    assert all(s.duration_s > 0 and s.position_s >= 0 for s in viewing.stalls)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.05, 12), min_size=2, max_size=25), st.sampled_from([2.0, 4.0, 6.0]))
def test_play_agrees_with_small_steps(gaps_s: list[float], segment_s: float) -> None:
    """A player stepped by 10 ms sees the same stalls as the one that jumps from segment to segment."""
    ended_s = np.round(np.cumsum(gaps_s), 2) + 0.005
    needed_s = min(2 * segment_s, 5.0)
    buffer_s, playing, still_s, expected, startup_s = 0.0, False, 0.0, [], np.nan
    arrivals = list(ended_s)
    for step in range(int(ended_s[-1] * 100) + 2):
        while arrivals and arrivals[0] <= step / 100:
            buffer_s += segment_s
            arrivals.pop(0)
            if not playing and buffer_s >= needed_s:
                if np.isnan(startup_s):
                    startup_s = step / 100
                else:
                    expected.append(still_s)
                playing = True
        if playing:
            buffer_s -= 0.01
            if buffer_s <= 1e-9:
                playing, still_s, buffer_s = False, 0.0, 0.0
        else:
            still_s += 0.01
    found_startup_s, stalls = play(ended_s, segment_s)
    assert found_startup_s == pytest.approx(startup_s, abs=0.02, nan_ok=True)
    assert sum(s.duration_s for s in stalls) == pytest.approx(sum(expected), abs=0.02 * (1 + len(expected)))
    assert abs(len(stalls) - len(expected)) <= sum(e < 0.03 for e in expected)


def make_flows(rows: list[tuple[int, float, float, int, int]]) -> np.ndarray:
    """Build web flows from (flow_id, first in s, last in s, payload, pauses)."""
    flows = np.zeros(len(rows), FLOW_DTYPE)
    for flow, (flow_id, first_s, last_s, payload, n_idle) in zip(flows, rows, strict=True):
        flow["flow_id"], flow["n_idle"], flow["app_class"] = flow_id, n_idle, AppClass.WEB
        flow["first_ns"], flow["last_ns"] = START_NS + int(first_s * 1e9), START_NS + int(last_s * 1e9)
        flow["packets_forward"], flow["payload_bytes_reverse"] = 10, payload
    return flows


def test_pages() -> None:
    """Connections of one subscriber that follow one another without a pause are one page."""
    flows = make_flows(
        [
            (1, 0.0, 1.0, 100, 0),  # one page with
            (2, 0.5, 2.5, 200, 0),  # this
            (3, 6.0, 7.0, 400, 0),  # a second page
            (4, 0.0, 100.0, 900, 5),  # its chunks count alone
            (5, 0.0, 3.0, 50, 0),  # somebody else's
            (6, 0.0, 4.0, 60, 0),  # nobody's
            (7, 0.0, 5.0, 70, 0),  # nobody's either, and no other's
        ]
    )
    chunks = np.concatenate(
        [make_chunks([(7.5, 8.0, 30), (50.0, 51.0, 20)], 4), make_chunks([(0.0, 9.0, 1)], 99)]
    )
    found = pages(flows, np.array([0, 0, 0, 0, 1, -1, -1]), chunks)
    mine = [2.5, 2.0, 1.0]  # 0 to 2.5, 6 to 8, 50 to 51
    np.testing.assert_allclose(found.page_s, [np.mean(mine)] * 4 + [3.0, 4.0, 5.0])
    np.testing.assert_allclose(found.busy_s, [np.sum(mine)] * 4 + [3.0, 4.0, 5.0])
    np.testing.assert_allclose(found.page_bytes, [750 / 3] * 4 + [50, 60, 70])
    trickle = make_chunks([(60.0, 90.0, 100_000)], 4)
    with_trickle = pages(flows, np.array([0, 0, 0, 0, 1, -1, -1]), np.concatenate([chunks, trickle]))
    np.testing.assert_allclose(with_trickle.page_s, found.page_s)
    flows["app_class"][:6] = AppClass.BULK
    np.testing.assert_allclose(pages(flows, np.full(7, -1), chunks).page_s, [np.nan] * 6 + [5.0])


def test_no_pages() -> None:
    """Without flows, chunks, or anything but long silent flows there is no page."""
    assert len(pages(make_flows([]), np.zeros(0, np.int64), make_chunks([])).page_s) == 0
    assert len(pages(make_flows([]), np.zeros(0, np.int64), make_chunks([(0, 1, 5)])).page_s) == 0
    assert np.isnan(
        pages(make_flows([(1, 0.0, 60.0, 5, 3)]), np.zeros(1, np.int64), make_chunks([])).page_s
    ).all()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 80), st.integers(0, 40), st.integers(0, 9)), max_size=12
    )
)
def test_pages_agree_with_a_timeline(spans: list[tuple[int, int, int, int]]) -> None:
    """Joining spans by sorting gives what colouring a timeline in tenths of a second gives."""
    flows = make_flows([(i, b / 10, (b + n) / 10, size, 0) for i, (_, b, n, size) in enumerate(spans)])
    owner = np.array([o for o, *_ in spans], np.int64)
    found = pages(flows, owner, make_chunks([]))
    for i, who in enumerate(owner):
        own = [(b, b + n, size) for o, b, n, size in spans if o == who]
        assume(not any(later[0] - former[1] == 10 for former in own for later in own))
        lit = {t for b, e, _ in own for t in range(b, e + 10)}  # a second of glow after each
        starts = sorted(t for t in lit if t - 1 not in lit)
        ends = [next(t for t in range(s, 200) if t not in lit) - 10 for s in starts]
        took = [(e - s) / 10 for s, e in zip(starts, ends, strict=True)]
        assert found.busy_s[i] == pytest.approx(sum(took))
        assert found.page_s[i] == pytest.approx(np.mean(took))
        assert found.page_bytes[i] == pytest.approx(sum(size for *_, size in own) / len(took))
