"""Segment quality: P.1203.1 mode 0 and P.1203.2."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.mos import p1203
from qoe.mos.p1203 import AudioCodec, Codec, Device

AUDIO = {"mp2": AudioCodec.MP2, "ac3": AudioCodec.AC3, "aaclc": AudioCodec.AAC_LC, "heaac": AudioCodec.HE_AAC}


@pytest.mark.parametrize(("device", "column"), [(Device.PC, "O22_pc"), (Device.HANDHELD, "O22_handheld")])
def test_video_vectors(vectors, device, column):
    """O22 agrees with the reference to 1e-9 on computers and handhelds, in one array call."""
    rows = vectors("p1203_1_mode0_video")
    assert len(rows) == 86
    size, shown = (
        np.array([row[name].split("x") for row in rows], float).T for name in ("coding_res", "display_res")
    )
    kbps, fps, expected = (
        np.array([float(row[name]) for row in rows]) for name in ("bitrate_kbps", "fps", column)
    )
    got = p1203.video_quality(
        kbps * 1e3, *size, fps, display_width=shown[0], display_height=shown[1], device=device
    )
    np.testing.assert_allclose(got, expected, atol=1e-9, rtol=0)


def test_audio_vectors(vectors):
    """O21 agrees with the reference to 1e-9 for all four codecs."""
    rows = vectors("p1203_2_audio")
    assert len(rows) == 27
    for row in rows:
        got = p1203.audio_quality(float(row["bitrate_kbps"]) * 1e3, AUDIO[row["codec"]])
        assert got == pytest.approx(float(row["O21"]), abs=1e-9, rel=0)


@given(st.floats(3.25, 100))
def test_quality_round_trip(quality):
    """The tabulated inverse is within its step of the exact one, and exact at its points."""
    assert p1203.quality_from_mos(p1203.mos_from_quality(quality)) == pytest.approx(quality, abs=0.005)
    knot = round(quality * 4) / 4
    assert p1203.quality_from_mos(p1203.mos_from_quality(knot)) == pytest.approx(knot, abs=1e-9)


def test_quality_is_clamped():
    """Outside their ranges both maps hold their ends."""
    assert p1203.mos_from_quality([-5.0, 0.0, 100.0, 130.0]).tolist() == [1.05, 1.05, 4.9, 4.9]
    assert p1203.quality_from_mos([1.0, 1.05, 4.9, 5.0]).tolist() == [0.0, 0.0, 100.0, 100.0]


@given(
    st.sampled_from([(426, 240), (854, 480), (1920, 1080), (3840, 2160)]),
    st.sampled_from([8.0, 15.0, 24.0, 30.0, 60.0]),
    st.sampled_from(Device),
)
def test_rises_with_bitrate(size, fps, device):
    """More bits are never worse, from nothing to far beyond any ladder."""
    o22 = p1203.video_quality(np.concatenate([[0.0], np.logspace(0, 8, 200)]), *size, fps, device=device)
    assert (np.diff(o22) >= -1e-12).all()
    assert o22[0] <= 1.3
    assert (o22 >= 1.0).all()
    assert (o22 <= 5.0).all()


def test_falls_with_upscaling_and_low_frame_rates():
    """A larger screen than the picture and fewer than 24 frames a second cost quality."""
    on_screens = p1203.video_quality(
        2e6,
        640,
        360,
        25,
        display_width=np.array([640, 1280, 1920]),
        display_height=np.array([360, 720, 1080]),
    )
    assert (np.diff(on_screens) < 0).all()
    jerky = p1203.video_quality(8e6, 1920, 1080, np.array([6.0, 12.0, 18.0, 24.0]))
    assert (np.diff(jerky) > 0).all()


def test_audio_rises_with_bitrate():
    """More bits are never worse for any audio codec."""
    for codec in AudioCodec:
        assert (np.diff(p1203.audio_quality(np.linspace(0, 400e3, 400), codec)) >= 0).all()


def test_codec_extension():
    """H.264 is left as it is; VP9 and HEVC lift what is in the middle of the scale, and keep its order."""
    o22 = np.linspace(1.05, 4.9, 50)
    assert p1203.extend_codec(o22, Codec.H264) == pytest.approx(o22)
    middle = np.linspace(2.0, 4.4, 26)
    for codec in (Codec.VP9, Codec.HEVC):
        assert (p1203.extend_codec(middle, codec) > middle).all()
    assert p1203.extend_codec(3.5, Codec.HEVC) > p1203.extend_codec(3.5, Codec.VP9)
    for codec in Codec:
        assert (np.diff(p1203.extend_codec(o22, codec)) > 0).all()
