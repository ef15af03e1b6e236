"""Integration of a session: P.1203.3."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.mos.p1203_session import (
    audiovisual_quality,
    forest_features,
    integrate,
    session_mos,
    session_quality,
    stand_in_forest,
)
from qoe.mos.p1203_timeline import AudioSegment, Segment, Session, Stall

LADDER = ((426, 240, 300e3), (640, 360, 800e3), (1280, 720, 2.4e6), (1920, 1080, 5e6))
sessions = st.builds(
    lambda rungs, seconds, stalls: Session(
        [Segment(LADDER[r][2], *LADDER[r][:2], 25, seconds) for r in rungs],
        [Stall(position * len(rungs) * seconds, length) for position, length in stalls],
    ),
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.sampled_from([1.0, 2.0, 4.0]),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 30)), max_size=6),
)


def _session(row):
    segments = [
        Segment(kbps * 1e3, *map(int, size.split("x")), fps, seconds)
        for kbps, size, fps, seconds in json.loads(row["segments_json"])
    ]
    audio = [AudioSegment(128e3, sum(s.duration_s for s in segments))]
    return Session(segments, [Stall(*stall) for stall in json.loads(row["stalls_json"])], audio)


@pytest.fixture(scope="module")
def reference(vectors):
    """Sessions with the outputs of the reference implementation."""
    rows = vectors("p1203_3_sessions")
    assert len(rows) == 100
    return [(_session(row), row) for row in rows]


def test_all_but_the_forest(reference):
    """Per-second quality, O35, O23 and the parametric score agree to 1e-9."""
    for session, row in reference:
        got = session_quality(session)
        assert got.o22.mean() == pytest.approx(float(row["mean_O22"]), abs=1e-9, rel=0)
        assert got.o35 == pytest.approx(float(row["O35"]), abs=1e-9, rel=0)
        assert got.o23 == pytest.approx(float(row["O23"]), abs=1e-9, rel=0)
        assert got.parametric == pytest.approx(float(row["parametric"]), abs=1e-9, rel=0)


def test_whole_with_the_forests_score(reference):
    """O46 agrees to 1e-9 when the forest's score is given, with Amendment 1 and Appendix 2 as without."""
    for session, row in reference:

        def forest(_features, score=float(row["forest_score"])):
            return score

        plain = session_quality(session, forest)
        amended = session_quality(session, forest, amendment_1_audio=True, amendment_1_stalling=True)
        appendix = session_quality(session, forest, appendix_2=True)
        assert plain.mos == pytest.approx(float(row["O46"]), abs=1e-9, rel=0)
        assert amended.mos == pytest.approx(float(row["O46_amendment_1"]), abs=1e-9, rel=0)
        assert appendix.mos == pytest.approx(float(row["O46_appendix_2"]), abs=1e-9, rel=0)


def test_stand_in_is_as_good_as_documented(reference):
    """The stand-in for the forest misses O46 by 0.06 on average, without bias, and by at most 0.21."""
    misses = np.array([session_mos(session) - float(row["O46"]) for session, row in reference])
    assert np.sqrt(np.mean(misses**2)) == pytest.approx(0.059, abs=5e-4)
    assert abs(misses.mean()) < 0.01
    assert np.abs(misses).max() == pytest.approx(0.21, abs=5e-3)


@settings(max_examples=60, deadline=None)
@given(sessions)
def test_bounds(session):
    """Whatever is played, all outputs stay on their scales."""
    got = session_quality(session, amendment_1_audio=True, amendment_1_stalling=True)
    assert 1.0 <= got.mos <= 5.0
    assert 1.0 <= got.o23 <= 5.0
    assert got.o35 <= 5.0
    assert got.o22.size == got.o21.size == got.o34.size


@settings(max_examples=60, deadline=None)
@given(sessions, st.floats(0.1, 20))
def test_longer_stalls_are_worse(session, more_s):
    """Making every stall longer, or the start later, never helps."""
    longer = replace(session, stalls=[Stall(s.position_s, s.duration_s + more_s) for s in session.stalls])
    later = replace(session, stalls=[*session.stalls, Stall(0.0, more_s)])
    before = session_quality(session)
    assert session_quality(longer).o23 <= before.o23 + 1e-12
    assert session_quality(longer).mos <= before.mos + 1e-12
    if not session.stalls:
        assert session_quality(later).mos < before.mos


@pytest.mark.parametrize("rung", range(3))
def test_higher_rungs_are_better(rung):
    """A session on the next rung of the ladder scores higher."""
    low, high = (
        session_mos(Session([Segment(LADDER[r][2], *LADDER[r][:2], 25, 60.0)])) for r in (rung, rung + 1)
    )
    assert low < high


def test_switching_costs():
    """A session that swings between rungs scores below one with as many seconds on each, in two blocks."""
    a, b = (Segment(LADDER[r][2], *LADDER[r][:2], 25, 5.0) for r in (0, 3))
    swinging = session_quality(Session([a, b] * 6))
    steady = session_quality(Session([a] * 6 + [b] * 6))
    flat = integrate(swinging.o22, swinging.o21, (), appendix_2=True)
    assert swinging.o35 < flat.o35
    assert swinging.mos < steady.mos


def test_stalls_that_do_not_count():
    """A stall without length or after the end changes nothing."""
    session = Session([Segment(2.4e6, 1280, 720, 25, 30.0)], [Stall(10.0, 3.0)])
    more = replace(session, stalls=[Stall(10.0, 3.0), Stall(5.0, 0.0), Stall(31.0, 9.0)])
    assert session_mos(more) == session_mos(session)


def test_amendment_1():
    """Bad audio drags the audiovisual score to 1, and half a minute of stalling the session's."""
    o22 = np.full(3, 4.5)
    assert audiovisual_quality(o22, np.full(3, 1.0), amendment_1=True) == pytest.approx([1.0] * 3)
    assert audiovisual_quality(o22, np.full(3, 2.0), True) == pytest.approx(
        audiovisual_quality(o22, np.full(3, 2.0))
    )
    stalled = [Stall(58.0, 40.0)]
    got = integrate(np.full(60, 4.5), np.full(60, 4.5), stalled, amendment_1_stalling=True)
    assert got.mos == pytest.approx(0.02833052 + 0.98117059)


def test_forest_gets_its_features():
    """The forest is called once with the fourteen features, and its score enters with a quarter."""
    seen = []
    o22 = np.repeat([2.0, 3.0, 4.0], 10)
    stalls = [Stall(20.0, 6.0), Stall(0.0, 3.0), Stall(12.0, 4.0)]

    def forest(features):
        seen.append(features)
        return 3.0

    got = integrate(o22, np.repeat([1.5, 4.5], 15), stalls, forest)
    assert len(seen) == 1
    expected = [2, 11, 2 / 30, 11 / 30, 10, 2, 3, 4, 2, 2, 2, 1.5, 4.5, 30]
    assert seen[0] == pytest.approx(expected)
    assert got.forest == 3.0
    assert got.mos == pytest.approx(0.02833052 + 0.98117059 * (0.75 * got.parametric + 0.25 * 3.0))


def test_features_without_stalls_and_with_split_seconds():
    """Without later stalls the time since the last is the duration; thirds may cut a second in parts."""
    o22 = np.array([1.0, 2.0, 3.0, 4.0])
    features = forest_features(o22, o22, [(0.0, 1.5)])
    assert features[:5] == pytest.approx([0, 0.5, 0, 0.125, 4])
    fine = np.repeat(o22, 30).reshape(3, -1).mean(axis=1)
    assert features[5:8] == pytest.approx(fine)
    assert features[11:13] == pytest.approx([1.5, 3.5])


def test_stand_in_formula():
    """The stand-in is the documented straight line."""
    assert stand_in_forest(3.0) == pytest.approx(3.286)
