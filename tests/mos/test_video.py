"""Codec extension and stalling models."""

from __future__ import annotations

import json

import pytest

from qoe.mos import video


def test_simple_model_vectors(vectors):
    """The models of Hossfeld and of Mok reproduce their vectors."""
    rows = [r for r in vectors("web_video_game_simple_models") if r["model"].startswith(("hossfeld", "mok"))]
    assert len(rows) == 27
    for row in rows:
        x = json.loads(row["inputs_json"])
        if row["model"].startswith("mok"):
            got = video.mos_buffering(x["init_s"], x["rebuf_per_s"], x["mean_rebuf_s"])
        else:
            got = video.mos_stalling(x["N"], x["L_s"])
        assert got == pytest.approx(float(row["MOS"]), abs=1e-9), row


def test_levels_end_at_their_bounds():
    """A bound belongs to the level below it."""
    assert video.mos_buffering(1.0, 0.02, 5.0) == pytest.approx(4.23 - 0.0672 - 0.742 - 0.106)
    assert video.mos_buffering(1.01, 0.021, 5.01) == pytest.approx(4.23 - 2 * (0.0672 + 0.742 + 0.106))


def test_one_roof():
    """The names a user needs for a session are all here."""
    session = video.Session([video.Segment(2.4e6, 1280, 720, 25, 30.0)], [video.Stall(0.0, 1.0)])
    assert video.session_mos(session) == video.session_quality(session).mos
    assert set(video.__all__) <= set(dir(video))
