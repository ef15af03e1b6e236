"""Speech quality of a call from delay, loss and codec, on the narrowband, wideband and fullband scale.

The short forms here take what a passive observer has; :mod:`qoe.mos.emodel` has every parameter of
G.107. All assume perfect echo control unless told otherwise, and a delay from mouth to ear: network one
way (half the round trip if only that is known), plus packetisation and look-ahead, plus the jitter
buffer. Loss is what the decoder misses: network loss and late packets together.

The scale is in the name: ``mos_nb``, ``mos_wb`` and ``mos_fb`` must not be compared with one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np

from qoe.mos._numeric import Numeric, elementwise
from qoe.mos.emodel import (
    Rating,
    Transmission,
    delay_impairment,
    echo_term,
    listener_echo_impairment,
    rate,
)
from qoe.mos.loss import effective_impairment
from qoe.mos.rating import Scale, mos_from_r, r_from_mos

__all__ = [
    "DelayClass",
    "Echo",
    "Rating",
    "Scale",
    "Transmission",
    "mos_fb",
    "mos_from_r",
    "mos_nb",
    "mos_wb",
    "r_factor_cole_rosenbluth",
    "r_factor_fb",
    "r_factor_nb",
    "r_factor_wb",
    "r_from_mos",
    "rate",
]


class DelayClass(Enum):
    """How sensitive a conversation is to delay: (sT, mT in ms) of ITU-T G.107.

    The default is mandatory for carrier-grade telephony.
    """

    DEFAULT = (1.0, 100.0)
    LOW = (0.55, 120.0)
    VERY_LOW = (0.4, 150.0)


@dataclass(frozen=True, slots=True)
class Echo:
    """Echo paths of a wideband connection that has no perfect echo control.

    Attributes
    ----------
    t_ms : float or ndarray
        Mean one-way delay of the echo path (T).
    tr_ms : float or ndarray
        Round-trip delay in the loop (Tr).
    telr_db, wepl_db : float or ndarray
        Talker echo loudness rating and weighted echo path loss.
    """

    t_ms: Numeric = 0.0
    tr_ms: Numeric = 0.0
    telr_db: Numeric = 65.0
    wepl_db: Numeric = 110.0


def _unimpaired_nb() -> float:
    return float(rate(Transmission()).r)


R_DEFAULT_NB: Final[float] = _unimpaired_nb()
"""R with every parameter of G.107 at its default: 93.2."""


@elementwise
def r_factor_nb(
    delay_ms: Numeric,
    loss_percent: Numeric = 0.0,
    burst_ratio: Numeric = 1.0,
    ie: Numeric = 0.0,
    bpl: Numeric = 4.3,
    *,
    advantage: Numeric = 0.0,
    delay_class: DelayClass = DelayClass.DEFAULT,
) -> Any:
    """Transmission rating of a narrowband call (ITU-T G.107, all else at its default).

    Parameters
    ----------
    delay_ms : float or ndarray
        One-way mouth-to-ear delay (Ta); negative counts as 0.
    loss_percent : float or ndarray
        Packets missing at the decoder (Ppl), clipped to 0..100; validated to 20.
    burst_ratio : float or ndarray
        BurstR, 1 for random losses; below 1 counts as 1; validated to 2.
    ie, bpl : float or ndarray
        Of the codec: see :mod:`qoe.mos.codecs`. Default G.711 without concealment.
    advantage : float or ndarray
        A: 0 wired, up to 5 cordless in a building, 10 mobile in a vehicle, 20 hard-to-reach places.
        The Recommendation advises 0.
    delay_class : DelayClass
        How sensitive the conversation is to delay.

    Returns
    -------
    float or ndarray
        R, 93.2 at best; may fall below 0.

    Notes
    -----
    ``R = 93.2 - Idd - Ie,eff + A``: G.107 eq. 7-1 with T = Tr = 0, where 93.2 is Ro - Is - Idle at the
    default values. For sidetone, noise or echo use :func:`qoe.mos.emodel.rate`.
    """
    s_t, m_t_ms = delay_class.value
    equipment = effective_impairment(ie, bpl, loss_percent, burst_ratio)
    return R_DEFAULT_NB - delay_impairment(delay_ms, s_t, m_t_ms) - equipment + advantage


@elementwise
def mos_nb(
    delay_ms: Numeric,
    loss_percent: Numeric = 0.0,
    burst_ratio: Numeric = 1.0,
    ie: Numeric = 0.0,
    bpl: Numeric = 4.3,
    *,
    advantage: Numeric = 0.0,
    delay_class: DelayClass = DelayClass.DEFAULT,
) -> Any:
    """MOS of a narrowband call on the narrowband scale, 1 to 4.5 (4.41 at best without `advantage`).

    Parameters as for :func:`r_factor_nb`; ITU-T G.107 Annex B.
    """
    r = r_factor_nb(
        delay_ms, loss_percent, burst_ratio, ie, bpl, advantage=advantage, delay_class=delay_class
    )
    return mos_from_r(r, Scale.NB)


@elementwise
def r_factor_wb(
    delay_ms: Numeric,
    loss_percent: Numeric = 0.0,
    burst_ratio: Numeric = 1.0,
    ie: Numeric = 0.0,
    bpl: Numeric = 4.3,
    *,
    echo: Echo | None = None,
) -> Any:
    """Transmission rating of a wideband call (ITU-T G.107.1).

    Parameters
    ----------
    delay_ms : float or ndarray
        One-way mouth-to-ear delay (Ta); negative counts as 0.
    loss_percent : float or ndarray
        Packets missing at the decoder, clipped to 0..100.
    burst_ratio : float or ndarray
        1 for random losses; below 1 counts as 1. The packet-loss term with BurstR is that of G.107.
    ie, bpl : float or ndarray
        Ie,WB and Bpl,WB of the codec; Ie,WB of a narrowband codec is its Ie + 35.8.
    echo : Echo, optional
        Echo paths; None: none at all, the nominal R of 129. With ``Echo()``, the default values of the
        Recommendation, R is 128.85.

    Returns
    -------
    float or ndarray
        R on the wideband scale, 129 at best; may fall below 0.

    Notes
    -----
    G.107.1: ``R = 129 - Id,WB - Ie,eff,WB``; Ie,eff,WB tends to 95, not to 129. The reference Roe of
    the talker-echo term is taken as 129, as ITU-T G.1070 has it; the (06/2019) text of G.107.1 leaves
    the quantity undefined.
    """
    rating = Scale.WB.value - 1.29 * delay_impairment(delay_ms)
    if echo is not None:
        rating = rating - talker_echo_wb(echo.t_ms, echo.telr_db)
        rating = rating - listener_echo_impairment(Scale.WB.value, echo.wepl_db, echo.tr_ms)
    return rating - effective_impairment(ie, bpl, loss_percent, burst_ratio)


@elementwise
def talker_echo_wb(t_ms: Numeric, telr_db: Numeric = 65.0) -> Any:
    """Idte,WB: the talker's own echo on the wideband scale (ITU-T G.107.1; also used by G.1070).

    Parameters
    ----------
    t_ms : float or ndarray
        Mean one-way delay of the echo path; negative counts as 0.
    telr_db : float or ndarray
        Talker echo loudness rating.

    Returns
    -------
    float or ndarray
        Impairment, 0 at no delay; the formula goes down to -1 for an echo too faint to notice.
    """
    t = np.maximum(t_ms, 0.0)
    k = np.where(t < 100.0, 0.08 * t + 10.0, 18.0)
    decay = 40.0 * np.log10((1.0 + t / 10.0) / (1.0 + t / 150.0))
    terv = telr_db + k - decay + 6.0 * np.exp(-0.3 * t * t)
    return echo_term(Scale.WB.value, 80.0 + 3.0 * (terv - 14.0), t)


@elementwise
def mos_wb(
    delay_ms: Numeric,
    loss_percent: Numeric = 0.0,
    burst_ratio: Numeric = 1.0,
    ie: Numeric = 0.0,
    bpl: Numeric = 4.3,
    *,
    echo: Echo | None = None,
) -> Any:
    """MOS of a wideband call on the wideband scale, 1 to 4.5.

    Parameters as for :func:`r_factor_wb`; the polynomial of G.107 Annex B at R / 1.29.
    """
    return mos_from_r(r_factor_wb(delay_ms, loss_percent, burst_ratio, ie, bpl, echo=echo), Scale.WB)


@elementwise
def r_factor_fb(
    delay_ms: Numeric,
    loss_percent: Numeric = 0.0,
    burst_ratio: Numeric = 1.0,
    ie: Numeric = 0.0,
    bpl: Numeric = 4.3,
) -> Any:
    """Transmission rating of a fullband call (ITU-T G.107.2).

    Parameters
    ----------
    delay_ms : float or ndarray
        One-way mouth-to-ear delay; negative counts as 0.
    loss_percent : float or ndarray
        Packets missing at the decoder, clipped to 0..100.
    burst_ratio : float or ndarray
        1, the formula as published, for random losses; above 1 the burst term of G.107 is added by
        analogy. Below 1 counts as 1.
    ie, bpl : float or ndarray
        Ie,FB and Bpl,FB of the codec; Ie,FB of a wideband codec is its Ie,WB + 19.

    Returns
    -------
    float or ndarray
        R on the fullband scale, 148 at best; may fall below 0.

    Notes
    -----
    G.107.2: ``R = 148 - Id,FB - Ie,eff,FB``; Ie,eff,FB tends to 132, Id,FB is 1.48 times Idd of G.107.
    """
    equipment = effective_impairment(ie, bpl, loss_percent, burst_ratio, ceiling=132.0)
    return Scale.FB.value - 1.48 * delay_impairment(delay_ms) - equipment


@elementwise
def mos_fb(
    delay_ms: Numeric,
    loss_percent: Numeric = 0.0,
    burst_ratio: Numeric = 1.0,
    ie: Numeric = 0.0,
    bpl: Numeric = 4.3,
) -> Any:
    """MOS of a fullband call on the fullband scale, 1 to 4.5.

    Parameters as for :func:`r_factor_fb`; the polynomial of G.107 Annex B at R / 1.48.
    """
    return mos_from_r(r_factor_fb(delay_ms, loss_percent, burst_ratio, ie, bpl), Scale.FB)


@elementwise
def r_factor_cole_rosenbluth(
    delay_ms: Numeric,
    loss_ratio: Numeric,
    ie: Numeric = 0.0,
    loss_scale: Numeric = 30.0,
    loss_rate: Numeric = 15.0,
    *,
    r0: Numeric = 94.2,
) -> Any:
    """Transmission rating by the simplified E-model of Cole and Rosenbluth (2001), narrowband.

    Parameters
    ----------
    delay_ms : float or ndarray
        One-way mouth-to-ear delay; negative counts as 0.
    loss_ratio : float or ndarray
        Network and jitter-buffer losses together, clipped to 0..1.
    ie, loss_scale, loss_rate : float or ndarray
        Codec constants g1, g2, g3: (0, 30, 15) for G.711, (11, 40, 10) for G.729A.
    r0 : float or ndarray
        R without impairment: 94.2 in the paper; 93.2 with the defaults of G.107 since 2000.

    Returns
    -------
    float or ndarray
        R on the narrowband scale; may fall below 0.

    Notes
    -----
    "Voice over IP performance monitoring", ACM CCR 31(2):
    ``R = r0 - 0.024 d - 0.11 (d - 177.3)+ - (g1 + g2 ln(1 + g3 e))``.
    """
    d = np.maximum(delay_ms, 0.0)
    delay = 0.024 * d + 0.11 * np.maximum(d - 177.3, 0.0)
    return r0 - delay - (ie + loss_scale * np.log1p(loss_rate * np.clip(loss_ratio, 0.0, 1.0)))
