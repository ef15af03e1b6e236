"""Quality of the video and audio segments of a stream: ITU-T P.1203.1 mode 0 and P.1203.2.

Mode 0 needs what a network can know or estimate: bitrate, resolution and frame rate. H.264 is assumed;
:func:`extend_codec` turns the scores to other codecs.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import numpy as np

from qoe.mos._numeric import Numeric, elementwise

MOS_MIN: Final = 1.05
MOS_MAX: Final = 4.9
"""Ends of the internal scale of P.1203."""


class Device(Enum):
    """What the stream is watched on."""

    PC = "pc"
    """Computer screen or TV set."""
    HANDHELD = "handheld"
    """Phone or tablet."""


class Codec(Enum):
    """Video codecs: coefficients of a cubic on O22, highest power first."""

    H264 = (0.0, 0.0, 1.0, 0.0)
    VP9 = (-0.04129014, 0.30953836, 0.32314399, 0.5284358)
    HEVC = (-0.05196039, 0.39430046, 0.17486221, 0.50008018)


class AudioCodec(Enum):
    """Audio codecs of P.1203.2: coefficients (a2, a3)."""

    MP2 = (-0.02, 15.48)
    AC3 = (-0.03, 15.70)
    AAC_LC = (-0.05, 14.60)
    HE_AAC = (-0.11, 20.06)


@elementwise
def mos_from_quality(quality: Numeric) -> Any:
    """MOS on the 1.05..4.9 scale of P.1203 from a quality of 0 to 100 (clipped)."""
    return _mos(np.clip(quality, 0.0, 100.0))


def _mos(q: Any) -> Any:
    cubic = MOS_MIN + (MOS_MAX - MOS_MIN) * q / 100.0 + q * (q - 60.0) * (100.0 - q) * 7e-6
    return np.clip(cubic, MOS_MIN, MOS_MAX)


_QUALITY_KNOTS: Final = np.concatenate([[0.0], np.arange(3.25, 100.25, 0.25)])
_MOS_KNOTS: Final = _mos(_QUALITY_KNOTS)


@elementwise
def quality_from_mos(mos: Numeric) -> Any:
    """Quality, 0 to 100, from a MOS of P.1203 (clipped to 1.05..4.9).

    P.1203.1 inverts :func:`mos_from_quality` by a table; so does this, linear between its points at
    every 0.25, so that results agree to the last digits.
    """
    return np.interp(mos, _MOS_KNOTS, _QUALITY_KNOTS)


@elementwise
def video_quality(
    bitrate_bps: Numeric,
    width: Numeric,
    height: Numeric,
    fps: Numeric,
    *,
    display_width: Numeric = 1920.0,
    display_height: Numeric = 1080.0,
    device: Device = Device.PC,
) -> Any:
    """Quality of video segments, O22 (ITU-T P.1203.1 mode 0).

    Parameters
    ----------
    bitrate_bps : float or ndarray
        Bitrate of the video, at least 1 bit/s.
    width, height : float or ndarray
        Encoded picture size.
    fps : float or ndarray
        Frame rate, clipped to 1..120.
    display_width, display_height : float or ndarray
        Size at which the picture is shown, full screen.
    device : Device
        A handheld is more forgiving.

    Returns
    -------
    float or ndarray
        MOS, 1.05 to 4.9 on a computer, 1 to 5 on a handheld.

    Notes
    -----
    P.1203.1: the degradations of compression (mode 0), upscaling and low frame rate add up to a quality
    that a cubic turns into MOS; for handhelds, eq. 13.
    """
    pixels, rate = width * height, np.clip(fps, 1.0, 120.0)
    compression = compression_degradation(bitrate_bps, pixels, rate)
    upscaling = upscaling_degradation(pixels, display_width * display_height)
    left = 100.0 - compression - upscaling
    jerkiness = np.where(rate < 24.0, np.clip(left * (30.98 - 1.29 * rate) / (64.65 + rate), 0.0, 100.0), 0.0)
    o22 = mos_from_quality(100.0 - (compression + upscaling + jerkiness))
    return on_handheld(o22) if device is Device.HANDHELD else o22


@elementwise
def compression_degradation(bitrate_bps: Numeric, pixels: Numeric, fps: Numeric) -> Any:
    """Degradation by compression in mode 0, 0 to 100 (P.1203.1).

    Parameters
    ----------
    bitrate_bps : float or ndarray
        Bitrate, at least 1 bit/s.
    pixels : float or ndarray
        Pixels a frame.
    fps : float or ndarray
        Frame rate.
    """
    kbps = np.maximum(bitrate_bps, 1.0) / 1e3
    detail = np.log(kbps * kbps / (pixels * fps) + 0.13183165961)
    quant = 11.9983519 - 2.99991847 * np.log(41.2475074001 + np.log(kbps) + detail)
    mos = np.clip(4.66 - 0.07 * np.exp(4.06 * quant), 1.0, 5.0)
    return np.clip(100.0 - quality_from_mos(mos), 0.0, 100.0)


@elementwise
def upscaling_degradation(pixels: Numeric, display_pixels: Numeric) -> Any:
    """Degradation by showing a picture larger than it was coded, 0 to 100 (P.1203.1)."""
    factor = np.maximum(display_pixels / pixels, 1.0)
    return np.clip(72.61 * np.log10(0.32 * (factor - 1.0) + 1.0), 0.0, 100.0)


@elementwise
def on_handheld(o22: Numeric) -> Any:
    """Video quality as judged on a handheld, 1 to 5 (P.1203.1 eq. 13)."""
    return np.clip(-0.60293 + 2.12382 * o22 - 0.36936 * o22**2 + 0.03409 * o22**3, 1.0, 5.0)


@elementwise
def extend_codec(o22: Numeric, codec: Codec) -> Any:
    """Turn the quality that P.1203.1 gives a bitrate, which is for H.264, to another codec.

    Parameters
    ----------
    o22 : float or ndarray
        From :func:`video_quality`.
    codec : Codec
        Codec of the video.

    Returns
    -------
    float or ndarray
        MOS, 1 to 5.

    Notes
    -----
    A cubic fitted by TU Ilmenau ("codec extension" of P.1203 for VP9 and HEVC); not part of the
    Recommendation. The cubics lie below the H.264 value at the ends: above 4.47 for VP9, above 4.58 and
    between 1.1 and 1.9 for HEVC.
    """
    a, b, c, d = codec.value
    return np.clip(((a * o22 + b) * o22 + c) * o22 + d, 1.0, 5.0)


@elementwise
def audio_quality(bitrate_bps: Numeric, codec: AudioCodec = AudioCodec.AAC_LC) -> Any:
    """Quality of audio segments, O21 (ITU-T P.1203.2).

    Parameters
    ----------
    bitrate_bps : float or ndarray
        Bitrate of the audio; negative counts as 0.
    codec : AudioCodec
        Audio codec.

    Returns
    -------
    float or ndarray
        MOS, 1.05 to 4.9.
    """
    a2, a3 = codec.value
    kbps = np.maximum(bitrate_bps, 0.0) / 1e3
    return mos_from_quality(100.0 - (100.0 * np.exp(a2 * kbps) + a3))
