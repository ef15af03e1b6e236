"""Video telephony: G.1070."""

from __future__ import annotations

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.mos import conference, voice


def test_coefficients(vectors):
    """All 21 coefficient sets are those of the table."""
    rows = vectors("g1070_video_coefficients")
    assert len(rows) == 21
    for row in rows:
        expected = [float(row[f"v{i}"]) for i in range(1, 13)]
        assert list(conference.video_coefficients(int(row["set"]))) == expected


def test_video_vectors(vectors):
    """Video quality reproduces its vectors for all sets."""
    rows = vectors("g1070_video")
    assert len(rows) == 180
    for row in rows:
        got = conference.video_quality(
            float(row["kbps"]) * 1e3,
            float(row["fps"]),
            float(row["loss_pct"]),
            conference.video_coefficients(int(row["coef_set"])),
        )
        assert got == pytest.approx(float(row["Vq"]), abs=1e-9), row


def test_speech_vectors(vectors):
    """Narrowband speech quality reproduces its vectors, in one array call."""
    rows = vectors("g1070_speech_nb")
    assert len(rows) == 60
    delay, loss, ie, bpl, telr, q, sq = (
        np.array([float(row[name]) for row in rows])
        for name in ("Ts_ms", "loss_pct", "Ie", "Bpl", "TELR", "Q", "Sq")
    )
    np.testing.assert_allclose(conference.speech_index_nb(delay, loss, ie, bpl, telr), q, atol=1e-9, rtol=0)
    np.testing.assert_allclose(
        conference.speech_quality_nb(delay, loss, ie, bpl, telr), sq, atol=1e-9, rtol=0
    )


def test_wideband_speech():
    """Without delay wideband speech is that of G.107.1; delay brings its talker echo."""
    assert conference.speech_quality_wb(0.0, 2.0, 13.0) == pytest.approx(voice.mos_wb(0.0, 2.0, 1.0, 13.0))
    delays = np.array([0.0, 100.0, 400.0])
    assert (np.diff(conference.speech_quality_wb(delays, 0.0, 13.0)) < 0).all()


def test_falls_with_loss():
    """Video and speech fall with packet loss."""
    loss = np.linspace(0, 10, 30)
    for number in range(1, 22):
        video = conference.video_quality(512e3, 25, loss, conference.video_coefficients(number))
        assert (np.diff(video) < 0).all()
    assert (np.diff(conference.speech_quality_nb(50.0, loss)) < 0).all()


@pytest.mark.parametrize("number", [0, 22])
def test_unknown_set(number):
    """A set that is not there is refused."""
    with pytest.raises(ProblemError, match="choose 1 to 21"):
        conference.video_coefficients(number)
