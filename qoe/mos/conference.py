"""Video telephony: the speech and video quality functions of ITU-T G.1070."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from qoe.errors import ProblemError
from qoe.mos._numeric import Numeric, clip_percent, elementwise
from qoe.mos.emodel import talker_echo_impairment
from qoe.mos.loss import effective_impairment
from qoe.mos.rating import Scale, mos_from_r
from qoe.mos.voice import talker_echo_wb

Q_MAX_NB: Final = 93.193
"""Speech quality index of G.1070 without impairment."""
_ROE: Final = 94.769
"""Basic signal-to-noise ratio that G.1070 takes for granted."""


class VideoCoefficients(NamedTuple):
    """Coefficients v1 to v12 of G.1070 for one codec, format and display."""

    v1: float
    v2: float
    v3: float
    v4: float
    v5: float
    v6: float
    v7: float
    v8: float
    v9: float
    v10: float
    v11: float
    v12: float


_SETS: Final = tuple(
    VideoCoefficients(*row)
    for row in (
        (1.431, 0.02228, 3.759, 184.1, 1.161, 1.446, 0.0003881, 2.116, 467.4, 2.736, 15.28, 4.17),
        (7.16, 0.02215, 3.461, 111.9, 2.091, 1.382, 0.0005881, 0.8401, 113.9, 6.047, 46.87, 10.87),
        (4.78, 0.0122, 2.614, 51.68, 1.063, 0.898, 0.0006923, 0.7846, 85.15, 1.32, 539.48, 356.6),
        (1.182, 0.0111, 4.286, 607.86, 1.184, 2.738, -0.000998, 0.896, 187.24, 5.212, 254.11, 268.24),
        (5.517, 0.0129, 3.459, 178.53, 1.02, 1.15, 0.000355, 0.114, 513.77, 0.736, -6.451, 13.684),
        (6.743, 0.009998, 3.051, 168.1, 1.766, 1.13, 0.001834, 1.232, 53.25, 3.353, 6.025, 80.752),
        (3.854, 0.01201, 3.24, 206.3, 1.681, 1.624, 0.0006443, 1.58, 208.34, 4.672, 7.874, 15.114),
        (2.04, 0.010991, 3.593, 296.2, 1.322, 1.683, 0.0004297, 1.324, 102.0, 3.363, 18.534, 96.237),
        (1.711, 0.008978, 4.283, 513.2, 0.85, 1.392, 0.0002517, 1.254, 307.35, 1.847, 17.46, 3.999),
        (5.61, 0.010113, 3.379, 182.3, 1.31, 2.23, 0.0007512, 1.511, 136.21, 4.053, 20.162, 22.332),
        (6.964, 0.007019, 3.582, 214.1, 1.2, 1.755, 0.0006348, 1.134, 170.99, 4.25, 7.982, 12.001),
        (6.311, 0.008123, 3.681, 262.04, 1.28, 1.973, 0.0003332, 1.244, 343.33, 2.762, 6.251, 6.013),
        (2.773, 0.008987, 3.952, 460.3, 1.281, 2.119, 0.0003234, 1.282, 262.44, 1.981, 22.839, 7.999),
        (5.643, 0.01042, 2.862, 178.2, 1.972, 1.263, 0.0011026, 1.125, 49.34, 3.047, 5.824, 92.465),
        (3.813, 0.0112, 3.058, 250.2, 1.859, 1.369, 0.0009324, 1.368, 112.0, 3.564, 6.875, 25.977),
        (1.849, 0.0106, 3.281, 306.4, 1.607, 1.858, 0.0004324, 1.121, 168.5, 2.449, 15.286, 9.888),
        (1.238, 0.00921, 3.724, 364.2, 1.043, 1.378, 0.0003461, 1.344, 252.4, 1.365, 16.318, 2.015),
        (4.623, 0.007214, 3.243, 193.5, 1.271, 1.977, 0.0013245, 1.477, 141.3, 3.464, 14.315, 18.225),
        (5.277, 0.008876, 3.384, 238.2, 1.216, 1.686, 0.0009122, 1.221, 228.5, 4.434, 8.562, 9.998),
        (5.891, 0.009086, 3.535, 222.8, 1.209, 1.875, 0.0002031, 1.409, 283.6, 2.764, 5.871, 6.11),
        (2.209, 0.006834, 3.622, 312.1, 1.167, 1.577, 0.0003786, 1.322, 362.4, 1.486, 7.964, 2.122),
    )
)

MPEG4_QVGA, MPEG4_QQVGA, MPEG2_VGA, MPEG4_VGA, H264_VGA = range(1, 6)
"""Numbers of the coefficient sets with a known meaning; 6 to 21 are published without a legible label.

H264_VGA (9.2 inch) is confirmed by a second implementation; the labels of 1 to 4 are not.
"""


def video_coefficients(number: int) -> VideoCoefficients:
    """Coefficients of one of the 21 sets of G.1070.

    Parameters
    ----------
    number : int
        1 to 21, such as :data:`H264_VGA`.

    Raises
    ------
    ProblemError
        There is no such set.
    """
    if not 1 <= number <= len(_SETS):
        raise ProblemError(f"G.1070 coefficient set {number}: choose 1 to {len(_SETS)}")
    return _SETS[number - 1]


@elementwise
def video_quality(
    bitrate_bps: Numeric,
    fps: Numeric,
    loss_percent: Numeric = 0.0,
    coefficients: VideoCoefficients = _SETS[4],
) -> Any:
    """Video quality of a call, Vq (ITU-T G.1070).

    Parameters
    ----------
    bitrate_bps : float or ndarray
        Video bitrate; at least 1 bit/s.
    fps : float or ndarray
        Frame rate, clipped to 1..30.
    loss_percent : float or ndarray
        End-to-end packet loss, clipped to 0..100; meant for less than 10.
    coefficients : VideoCoefficients
        Of the codec, format and display; default :data:`H264_VGA`.

    Returns
    -------
    float or ndarray
        MOS, 1 to 5.

    Notes
    -----
    A best frame rate for the bitrate (Ofr, clipped to 1..30), the quality there (Iofr), a Gaussian loss
    of quality away from it on a logarithmic axis (Dfr), and an exponential fall with packet loss (Dp).
    """
    v = coefficients
    kbps, rate = np.maximum(bitrate_bps, 1.0) / 1e3, np.clip(fps, 1.0, 30.0)
    best_rate = np.clip(v.v1 + v.v2 * kbps, 1.0, 30.0)
    best_quality = v.v3 - v.v3 / (1.0 + (kbps / v.v4) ** v.v5)
    tolerance = v.v6 + v.v7 * kbps
    coded = best_quality * np.exp(-(np.log(rate / best_rate) ** 2) / (2.0 * tolerance**2))
    robustness = v.v10 + v.v11 * np.exp(-rate / v.v8) + v.v12 * np.exp(-kbps / v.v9)
    return np.clip(1.0 + coded * np.exp(-clip_percent(loss_percent) / robustness), 1.0, 5.0)


@elementwise
def speech_index_nb(
    delay_ms: Numeric, loss_percent: Numeric, ie: Numeric = 0.0, bpl: Numeric = 25.1, telr_db: Numeric = 65.0
) -> Any:
    """Speech quality index Q of a narrowband call (ITU-T G.1070): ``93.193 - Idte - Ie,eff``.

    Parameters
    ----------
    delay_ms : float or ndarray
        One-way delay of speech, which also is that of the echo; negative counts as 0; validated to 1 s.
    loss_percent : float or ndarray
        Packet loss, clipped to 0..100.
    ie, bpl : float or ndarray
        Of the codec (:mod:`qoe.mos.codecs`); default G.711 with concealment.
    telr_db : float or ndarray
        Talker echo loudness rating.

    Returns
    -------
    float or ndarray
        Q on the narrowband scale; may fall below 0.
    """
    noise = -_ROE / 1.5
    echo = talker_echo_impairment(delay_ms, telr_db, noise, 15.0, 0.0)
    return Q_MAX_NB - echo - effective_impairment(ie, bpl, loss_percent)


@elementwise
def speech_quality_nb(
    delay_ms: Numeric, loss_percent: Numeric, ie: Numeric = 0.0, bpl: Numeric = 25.1, telr_db: Numeric = 65.0
) -> Any:
    """Speech quality Sq of a narrowband call, 1 to 4.5; parameters as for :func:`speech_index_nb`."""
    return mos_from_r(speech_index_nb(delay_ms, loss_percent, ie, bpl, telr_db), Scale.NB)


@elementwise
def speech_quality_wb(
    delay_ms: Numeric, loss_percent: Numeric, ie: Numeric = 0.0, bpl: Numeric = 4.3, telr_db: Numeric = 65.0
) -> Any:
    """Speech quality Sq of a wideband call on the wideband scale, 1 to 4.5 (ITU-T G.1070).

    Parameters as for :func:`speech_index_nb`, with Ie,WB and Bpl,WB: ``129 - Idte,WB - Ie,eff,WB``.
    """
    r = Scale.WB.value - talker_echo_wb(delay_ms, telr_db) - effective_impairment(ie, bpl, loss_percent)
    return mos_from_r(r, Scale.WB)
