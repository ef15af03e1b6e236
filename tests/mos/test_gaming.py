"""Gaming MOS."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.mos import gaming
from qoe.mos.gaming import Complexity, Sensitivity

complexities, sensitivities = st.sampled_from(Complexity), st.sampled_from(Sensitivity)


def test_cloud_vectors(vectors):
    """G.1072 reproduces the published and reference values to 1e-9."""
    rows = vectors("g1072_cloud_gaming")
    assert len(rows) == 70
    for row in rows:
        width, height = map(int, row["resolution"].split("x"))
        got = gaming.mos_cloud(
            float(row["bitrate_Mbps"]) * 1e6,
            float(row["fps"]),
            width,
            height,
            float(row["delay_ms"]),
            freezing_loss_percent=float(row["packetloss_pct_freezing"]),
            slicing_loss_percent=float(row["packetlossUDP_pct_slicing"]),
            complexity=Complexity[row["Vcomplexity"].upper()],
            sensitivity=Sensitivity[row["Icomplexity"].upper()],
        )
        assert got == pytest.approx(float(row["MOS"]), abs=1e-9, rel=0), row


def test_quake4_vectors(vectors):
    """The Quake IV model reproduces its vectors, and falls throughout."""
    rows = [row for row in vectors("web_video_game_simple_models") if row["model"].startswith("wattimena")]
    assert len(rows) == 21
    for row in rows:
        x = json.loads(row["inputs_json"])
        assert gaming.mos_quake4(x["ping_ms"], x["jitter_ms"]) == pytest.approx(float(row["MOS"]), abs=1e-9)
    assert (np.diff(gaming.mos_quake4(np.linspace(0, 2000, 500))) <= 0).all()


@given(complexities, sensitivities, st.sampled_from([25.0, 30.0, 60.0]), st.floats(0, 400))
def test_cloud_rises_with_bitrate_without_loss(complexity, sensitivity, fps, delay_ms):
    """Without loss more bits are never worse, and the scale's ends hold."""
    mos = gaming.mos_cloud(
        np.concatenate([[0.0], np.logspace(0, 9, 200)]),
        fps,
        1920,
        1080,
        delay_ms,
        complexity=complexity,
        sensitivity=sensitivity,
    )
    assert mos.min() >= gaming.MOS_MIN
    assert mos.max() <= gaming.MOS_MAX
    if complexity is not Complexity.LOW:
        assert (np.diff(mos) >= -1e-12).all()


@given(complexities, sensitivities, st.floats(0.3e6, 50e6), st.sampled_from([25.0, 60.0]))
def test_cloud_falls_with_delay_and_loss(complexity, sensitivity, bitrate_bps, fps):
    """More delay and more loss of either kind are never better."""
    grid, zero = np.linspace(0, 1, 60), np.zeros(60)
    for delay_ms, freezing, slicing in (
        (400 * grid, 1, 0),
        (50 + zero, 5 * grid, 0),
        (50 + zero, 0, 2 * grid),
    ):
        mos = gaming.mos_cloud(
            bitrate_bps,
            fps,
            1280,
            720,
            delay_ms,
            freezing_loss_percent=freezing,
            slicing_loss_percent=slicing,
            complexity=complexity,
            sensitivity=sensitivity,
        )
        assert (np.diff(mos) <= 1e-9).all()


def test_native_is_the_delay_term():
    """A native game scores as a cloud game without any but the delay impairment, and falls with delay."""
    delay = np.linspace(0, 600, 200)
    for sensitivity in Sensitivity:
        mos = gaming.mos_native(delay, sensitivity)
        assert mos == pytest.approx(
            gaming.mos_from_impairment(0.848 * gaming.delay_impairment(delay, sensitivity))
        )
        assert (np.diff(mos) <= 0).all()
    assert gaming.mos_native(0.0) > 4.5
    assert gaming.mos_native(300.0, Sensitivity.LOW) > gaming.mos_native(300.0, Sensitivity.HIGH)


def test_native_bounds_cloud():
    """No cloud session beats the native game at the same delay."""
    delay = np.linspace(0, 400, 50)
    assert (gaming.mos_cloud(50e6, 60, 1920, 1080, delay) <= gaming.mos_native(delay) + 1e-12).all()


def test_slicing_has_a_floor():
    """Where coding already costs more than slicing can add, slicing adds nothing."""
    assert gaming.slicing_impairment(40.0, 1.0, Complexity.LOW) == 0.0
    assert gaming.slicing_impairment(10.0, 0.0, Complexity.LOW) == 0.0
    assert gaming.slicing_impairment(10.0, 1.0, Complexity.LOW) > 0.0


def test_team_fortress():
    """800 ms of delay, or 80 ms of jitter, cost one point."""
    assert gaming.score_team_fortress2(800.0) == pytest.approx(3.15)
    assert gaming.score_team_fortress2(0.0, 80.0) == pytest.approx(3.15)
    assert gaming.score_team_fortress2(8000.0) == 1.0
