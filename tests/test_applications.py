"""What applications make of a network: against the models of qoe.mos called directly, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe import applications as app
from qoe.applications import Codec, MosModel
from qoe.mos import gaming, loss, video, voice, web
from qoe.mos.codecs import find
from qoe.mos.rating import Scale


def test_mouth_to_ear() -> None:
    """Half the round trip, packetisation, look-ahead and a jitter buffer of four jitters, 20 to 200 ms."""
    assert app.mouth_to_ear_ms(Codec.G711, 100.0, 10.0) == pytest.approx(50 + 20 + 0 + 40)
    assert app.mouth_to_ear_ms(Codec.G729, 0.0, 0.0) == pytest.approx(20 + 5 + 20)
    assert app.mouth_to_ear_ms(Codec.G723, 0.0, 500.0) == pytest.approx(30 + 7.5 + 200)


def test_late_packets_are_lost() -> None:
    """Jitter that outgrows the largest buffer adds late packets to the lost ones."""
    assert app.heard_loss_ratio(0.1, 0.0) == pytest.approx(0.1)
    spread_ms = loss.delay_std_from_jitter(100.0, "laplace")
    late = 0.5 * np.exp(-np.sqrt(2) * 200.0 / spread_ms)
    assert app.heard_loss_ratio(0.1, 100.0) == pytest.approx(0.1 + 0.9 * late)


@pytest.mark.parametrize(
    ("codec", "name", "scale", "kbps"),
    [
        (Codec.G711, "G.711 PLC", Scale.NB, None),
        (Codec.G723, "G.723.1 VAD", Scale.NB, None),
        (Codec.G729, "G.729A VAD", Scale.NB, None),
        (Codec.AMR_WB, "AMR-WB diotic", Scale.WB, 12.65),
    ],
)
def test_speech_is_on_the_scale_of_its_codec(
    codec: Codec, name: str, scale: Scale, kbps: float | None
) -> None:
    """A codec with published impairments is rated by the E-model of its bandwidth with just these."""
    published = find(name, scale, kbps and kbps * 1e3)
    delay_ms = float(app.mouth_to_ear_ms(codec, 80.0, 0.0))
    model = {Scale.NB: voice.mos_nb, Scale.WB: voice.mos_wb}[scale]
    expected = model(delay_ms, 3.0, 1.5, ie=published.ie, bpl=published.bpl)
    assert app.speech_mos(codec, 64e3, 80.0, 0.0, 0.03, burst_ratio=1.5) == pytest.approx(expected)
    assert app.speech_model(codec) == {Scale.NB: MosModel.VOICE_NB, Scale.WB: MosModel.VOICE_WB}[scale]


@given(
    st.sampled_from(list(Codec)), st.floats(0, 500), st.floats(0, 100), st.floats(0, 0.5), st.floats(0, 0.5)
)
def test_speech_bounds(codec: Codec, rtt_ms: float, jitter_ms: float, lost: float, more: float) -> None:
    """Speech has a MOS of 1 to 4.5, and more loss never raises it."""
    little = app.speech_mos(codec, 32e3, rtt_ms, jitter_ms, lost)
    much = app.speech_mos(codec, 32e3, rtt_ms, jitter_ms, lost + more)
    assert 1 <= much <= little + 1e-9 <= 4.5 + 2e-9


def test_ladder() -> None:
    """The nearest rung by ratio is taken; scores of the rungs are those of P.1203, and rise."""
    assert app.rung_of(app.LADDER_BPS).tolist() == list(range(len(app.LADDER_BPS)))
    assert app.rung_of([1.0, 0.69e6, 0.72e6, 1e9]).tolist() == [0, 2, 3, 5]
    scores = app.rung_mos()
    assert np.all(np.diff(scores) >= 0)
    segments = [video.Segment(1e6 - app.LADDER_AUDIO_BPS, 854, 480, 30.0, 60.0)]
    sound = [video.AudioSegment(app.LADDER_AUDIO_BPS, 60.0, video.AudioCodec.HE_AAC)]
    assert scores[3] == pytest.approx(video.session_mos(video.Session(segments, (), sound)))


@given(st.floats(0, 2e7), st.floats(1, 3))
def test_more_rate_is_never_worse(rate_bps: float, factor: float) -> None:
    """Video known by its rate, downloads and pages gain from rate or stay as they are."""
    assert app.throughput_video_mos(rate_bps * factor) >= app.throughput_video_mos(rate_bps) - 1e-12
    assert app.download_mos(rate_bps * factor) >= app.download_mos(rate_bps)
    slow, fast = (app.page_mos(app.page_time_s(1e6, r, 50.0)) for r in (rate_bps, rate_bps * factor))
    assert fast >= slow - 1e-9


def test_video_without_its_rate() -> None:
    """Below the lowest rung video stalls: no rate is MOS 1, and the whole of it the lowest rung."""
    assert app.throughput_video_mos(0.0) == pytest.approx(1.0)
    assert app.stalled_mos(1.0) == pytest.approx(app.rung_mos()[0])
    there = np.linspace(0, 1, 50)
    assert np.all(np.diff(app.stalled_mos(there)) >= 0)


def test_games() -> None:
    """A game on the device has the delay term of G.1072; nothing delivered is worth nothing."""
    assert app.native_game_mos(60.0, 10.0, 0.0) == pytest.approx(gaming.mos_native(70.0))
    assert app.native_game_mos(60.0, 10.0, 1.0) == pytest.approx(1.0)
    assert app.is_cloud_game(np.array([2e6, 2e6, 1e5]), np.array([1200.0, np.nan, 1200.0])).tolist() == [
        True,
        False,
        False,
    ]


def test_pages() -> None:
    """Pages are rated against an expectation of 6 s, and take the time of the slow-start model."""
    assert app.page_mos(2.0) == pytest.approx(web.mos_page(2.0, 6.0))
    assert app.page_time_s(1e6, 8e6, 40.0) == pytest.approx(web.page_time_s(1e6, 8e6, 0.04))


def test_video_call_follows_its_rate() -> None:
    """A call with picture gains from rate and loses by packet loss, and without rate is nothing."""
    rates = np.array([1e3, 50e3, 200e3, 1e6])
    scores = app.video_call_mos(rates, 25.0, 50.0, 5.0, 0.0)
    assert np.all(np.diff(scores) > 0)
    assert scores[0] < 1.3
    assert app.video_call_mos(1e6, 25.0, 50.0, 5.0, 0.05) < scores[-1] - 0.5


def test_nothing_known() -> None:
    """NaN in is NaN out, and no flows are no scores."""
    assert np.isnan(app.speech_mos(Codec.OPUS, 32e3, np.nan, 5.0, 0.0))
    assert np.isnan(app.page_mos(np.nan))
    assert len(app.speech_mos(np.zeros(0, np.int64), *[np.zeros(0)] * 4)) == 0
    assert len(app.throughput_video_mos(np.zeros(0))) == 0
