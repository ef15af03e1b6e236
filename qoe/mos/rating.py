"""Transmission rating R and MOS on the narrowband, wideband and fullband scale."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from qoe.mos._numeric import Numeric, elementwise


class Scale(Enum):
    """The speech scale a rating or a MOS belongs to; the value is R without any impairment.

    Scores of different scales must not be averaged or compared: an unimpaired narrowband call has MOS 4.4
    on its own scale and 4.1 among wideband calls.
    """

    NB = 100.0
    """Narrowband, 300 to 3400 Hz (ITU-T G.107; 93.2 with the default noise floor)."""
    WB = 129.0
    """Wideband, 100 to 7000 Hz (ITU-T G.107.1)."""
    FB = 148.0
    """Fullband, 20 to 20000 Hz (ITU-T G.107.2)."""


@elementwise
def mos_from_r(r: Numeric, scale: Scale = Scale.NB) -> Any:
    """MOS that a transmission rating stands for.

    Parameters
    ----------
    r : float or ndarray
        Transmission rating on `scale`.
    scale : Scale, default Scale.NB
        Scale of `r` and of the result.

    Returns
    -------
    float or ndarray
        MOS_CQE, 1 to 4.5. The published cubic dips to 0.99 for 0 < R < 6.5; it is clamped to 1.

    Notes
    -----
    ITU-T G.107 Annex B: ``1 + 0.035 R + R (R - 60) (100 - R) 7e-6``. G.107.1 and G.107.2 enter it with
    R / 1.29 and R / 1.48.
    """
    x = np.clip(r / (scale.value / 100.0), 0.0, 100.0)
    return np.maximum(1.0 + 0.035 * x + x * (x - 60.0) * (100.0 - x) * 7e-6, 1.0)


@elementwise
def r_from_mos(mos: Numeric, scale: Scale = Scale.NB) -> Any:
    """Transmission rating that a MOS stands for: the inverse of :func:`mos_from_r`.

    Parameters
    ----------
    mos : float or ndarray
        MOS_CQE on `scale`, clipped to 1..4.5.
    scale : Scale, default Scale.NB
        Scale of `mos` and of the result.

    Returns
    -------
    float or ndarray
        R, from 6.52 (MOS 1) to 100 on the narrowband scale; times 1.29 or 1.48 on the others.

    Notes
    -----
    ITU-T G.107 Appendix I, with the angle taken by atan2 so that one expression serves the whole range.
    """
    m = np.clip(mos, 1.0, 4.5)
    x = 18566.0 - 6750.0 * m
    y = 15.0 * np.sqrt(-903522.0 + 1113960.0 * m - 202500.0 * m * m)
    angle = np.arctan2(y, x) / 3.0
    return 20.0 / 3.0 * (8.0 - np.sqrt(226.0) * np.cos(angle + np.pi / 3.0)) * (scale.value / 100.0)


def _normal_cdf(x: Any) -> Any:
    from scipy.special import ndtr

    return ndtr(x)


@elementwise
def good_or_better_ratio(r: Numeric) -> Any:
    """Share of users who would rate a call good or excellent (GoB), 0 to 1.

    ITU-T G.107 Annex B: the normal distribution at (R - 60) / 16; `r` is on the narrowband scale.
    """
    return _normal_cdf((r - 60.0) / 16.0)


@elementwise
def poor_or_worse_ratio(r: Numeric) -> Any:
    """Share of users who would rate a call poor or bad (PoW), 0 to 1.

    ITU-T G.107 Annex B: the normal distribution at (45 - R) / 16; `r` is on the narrowband scale.
    """
    return _normal_cdf((45.0 - r) / 16.0)


@elementwise
def terminate_early_ratio(r: Numeric) -> Any:
    """Share of users who would end a call early because of its quality (TME), 0 to 1.

    The normal distribution at (36 - R) / 16, of the same family as GoB and PoW in ITU-T G.107 Annex B;
    `r` is on the narrowband scale.
    """
    return _normal_cdf((36.0 - r) / 16.0)


_SATISFACTION = (
    (90.0, "very satisfied"),
    (80.0, "satisfied"),
    (70.0, "some users dissatisfied"),
    (60.0, "many users dissatisfied"),
    (50.0, "nearly all users dissatisfied"),
)


def satisfaction(r: float) -> str:
    """Category of speech transmission quality that a narrowband rating falls into (ITU-T G.109).

    Parameters
    ----------
    r : float
        Transmission rating, narrowband scale.

    Returns
    -------
    str
        From "very satisfied" (R of 90 and more) to "not recommended" (below 50, and NaN).
    """
    return next((label for r_min, label in _SATISFACTION if r >= r_min), "not recommended")
