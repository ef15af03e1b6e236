"""The E-model with its full parameter set (ITU-T G.107), narrowband."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qoe.mos._numeric import Numeric, elementwise
from qoe.mos.loss import effective_impairment
from qoe.mos.rating import mos_from_r


@dataclass(frozen=True, slots=True)
class Transmission:
    """Input parameters of ITU-T G.107 with the default values of the Recommendation.

    Any field may be an array; they broadcast against one another.

    Attributes
    ----------
    slr_db, rlr_db : float or ndarray
        Send and receive loudness rating (SLR, RLR).
    stmr_db : float or ndarray
        Sidetone masking rating (STMR).
    d_r, d_s : float or ndarray
        D-value of the telephone at the receive and at the send side. LSTR is ``stmr_db + d_r``.
    telr_db : float or ndarray
        Talker echo loudness rating (TELR).
    wepl_db : float or ndarray
        Weighted echo path loss (WEPL).
    t_ms : float or ndarray
        Mean one-way delay of the echo path (T); 0 for perfect echo control.
    tr_ms : float or ndarray
        Round-trip delay in a four-wire loop (Tr).
    ta_ms : float or ndarray
        Absolute delay in echo-free connections, mouth to ear (Ta).
    qdu : float or ndarray
        Number of quantisation distortion units.
    ie, bpl : float or ndarray
        Equipment impairment factor (Ie) and packet-loss robustness factor (Bpl) of the codec.
    loss_percent : float or ndarray
        Packet-loss probability including jitter-buffer discards (Ppl), percent; validated for 0..20.
    burst_ratio : float or ndarray
        Burst ratio (BurstR); validated to 2, above that only for losses under 2 %.
    nc_dbm0p : float or ndarray
        Circuit noise referred to the 0 dBr point (Nc).
    nfor_dbmp : float or ndarray
        Noise floor at the receive side (Nfor).
    ps_dba, pr_dba : float or ndarray
        Room noise at the send and at the receive side (Ps, Pr).
    a : float or ndarray
        Advantage factor (A).
    s_t, m_t_ms : float or ndarray
        Delay sensitivity: sT and mT (see :class:`qoe.mos.voice.DelayClass`).
    """

    slr_db: Numeric = 8.0
    rlr_db: Numeric = 2.0
    stmr_db: Numeric = 15.0
    d_r: Numeric = 3.0
    d_s: Numeric = 3.0
    telr_db: Numeric = 65.0
    wepl_db: Numeric = 110.0
    t_ms: Numeric = 0.0
    tr_ms: Numeric = 0.0
    ta_ms: Numeric = 0.0
    qdu: Numeric = 1.0
    ie: Numeric = 0.0
    bpl: Numeric = 4.3
    loss_percent: Numeric = 0.0
    burst_ratio: Numeric = 1.0
    nc_dbm0p: Numeric = -70.0
    nfor_dbmp: Numeric = -64.0
    ps_dba: Numeric = 35.0
    pr_dba: Numeric = 35.0
    a: Numeric = 0.0
    s_t: Numeric = 1.0
    m_t_ms: Numeric = 100.0


@dataclass(frozen=True, slots=True)
class Rating:
    """What the E-model makes of a connection, term by term.

    Attributes
    ----------
    r : float or ndarray
        Transmission rating: ``ro - simultaneous - delay - equipment + A``.
    mos : float or ndarray
        MOS_CQE on the narrowband scale.
    ro : float or ndarray
        Basic signal-to-noise ratio.
    simultaneous : float or ndarray
        Is: impairments that occur with the voice signal.
    talker_echo, listener_echo, absolute_delay : float or ndarray
        Idte, Idle and Idd, which add up to the delay impairment Id.
    equipment : float or ndarray
        Ie,eff: codec and packet loss.
    """

    r: Any
    mos: Any
    ro: Any
    simultaneous: Any
    talker_echo: Any
    listener_echo: Any
    absolute_delay: Any
    equipment: Any


def rate(connection: Transmission) -> Rating:
    """Rate a narrowband connection (ITU-T G.107 eq. 7-1: R = Ro - Is - Id - Ie,eff + A).

    Parameters
    ----------
    connection : Transmission
        The connection; scalars or arrays.

    Returns
    -------
    Rating
        R, MOS and the impairments; floats for scalar input. R is not clipped (it can fall below 0).
    """
    c = connection
    noise = noise_dbm0p(
        slr_db=c.slr_db,
        rlr_db=c.rlr_db,
        d_s=c.d_s,
        ps_dba=c.ps_dba,
        pr_dba=c.pr_dba,
        lstr_db=c.stmr_db + c.d_r,
        nc_dbm0p=c.nc_dbm0p,
        nfor_dbmp=c.nfor_dbmp,
    )
    ro = signal_to_noise(c.slr_db, noise)
    sidetone = sidetone_impairment(c.stmr_db, c.t_ms, c.telr_db)
    simultaneous = (
        loudness_impairment(c.slr_db, c.rlr_db, noise) + sidetone + quantising_impairment(ro, c.qdu)
    )
    talker = talker_echo_impairment(c.t_ms, c.telr_db, noise - c.rlr_db, c.stmr_db, sidetone)
    listener = listener_echo_impairment(ro, c.wepl_db, c.tr_ms)
    delay = delay_impairment(c.ta_ms, c.s_t, c.m_t_ms)
    equipment = effective_impairment(c.ie, c.bpl, c.loss_percent, c.burst_ratio)
    r = ro - simultaneous - talker - listener - delay - equipment + c.a
    return Rating(r, mos_from_r(r), ro, simultaneous, talker, listener, delay, equipment)


@elementwise
def noise_dbm0p(
    *,
    slr_db: Numeric,
    rlr_db: Numeric,
    d_s: Numeric,
    ps_dba: Numeric,
    pr_dba: Numeric,
    lstr_db: Numeric,
    nc_dbm0p: Numeric,
    nfor_dbmp: Numeric,
) -> Any:
    """Power sum of all noise sources referred to the 0 dBr point, No (G.107 clause 7.2)."""
    olr = slr_db + rlr_db
    effective_pr = pr_dba + 10.0 * np.log10(1.0 + 10.0 ** ((10.0 - lstr_db) / 10.0))
    n_or = rlr_db - 121.0 + effective_pr + 0.008 * (effective_pr - 35.0) ** 2
    n_os = ps_dba - slr_db - d_s - 100.0 + 0.004 * (ps_dba - olr - d_s - 14.0) ** 2
    powers = (10.0 ** (level / 10.0) for level in (nc_dbm0p, n_os, n_or, nfor_dbmp + rlr_db))
    return 10.0 * np.log10(sum(powers))


@elementwise
def signal_to_noise(slr_db: Numeric, noise: Numeric) -> Any:
    """Ro: basic signal-to-noise ratio (G.107 clause 7.2)."""
    return 15.0 - 1.5 * (slr_db + noise)


@elementwise
def loudness_impairment(slr_db: Numeric, rlr_db: Numeric, noise: Numeric) -> Any:
    """Iolr: too low an overall loudness rating (G.107 clause 7.3)."""
    x = (slr_db + rlr_db + 0.2 * (64.0 + noise - rlr_db)) / 8.0
    return 20.0 * (_norm(x, 8.0) - x)


@elementwise
def sidetone_impairment(stmr_db: Numeric, t_ms: Numeric, telr_db: Numeric) -> Any:
    """Ist: non-optimum sidetone (G.107 clause 7.3)."""
    t_ms = np.maximum(t_ms, 0.0)
    level = 10.0 ** (-stmr_db / 10.0) + np.exp(-t_ms / 4.0) * 10.0 ** (-telr_db / 10.0)
    stmr_o = -10.0 * np.log10(level)
    return (
        12.0 * _norm((stmr_o - 13.0) / 6.0, 8.0)
        - 28.0 * _norm((stmr_o + 1.0) / 19.4, 35.0)
        - 13.0 * _norm((stmr_o - 3.0) / 33.0, 13.0)
        + 29.0
    )


@elementwise
def quantising_impairment(ro: Numeric, qdu: Numeric) -> Any:
    """Iq: quantising distortion (G.107 clause 7.3)."""
    q = 37.0 - 15.0 * np.log10(qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0
    z = 46.0 / 30.0 - g / 40.0
    return 15.0 * np.log10(1.0 + 10.0**y + 10.0**z)


@elementwise
def talker_echo_impairment(
    t_ms: Numeric, telr_db: Numeric, noise_re_rlr: Numeric, stmr_db: Numeric, sidetone: Numeric
) -> Any:
    """Idte: the talker's own echo (G.107 clause 7.4).

    Parameters
    ----------
    t_ms, telr_db, stmr_db : float or ndarray
        As in :class:`Transmission`.
    noise_re_rlr : float or ndarray
        No - RLR.
    sidetone : float or ndarray
        Ist, which takes part when STMR is below 9 dB or above 20 dB.
    """
    t_ms = np.maximum(t_ms, 0.0)
    terv = (
        telr_db
        - 40.0 * np.log10((1.0 + t_ms / 10.0) / (1.0 + t_ms / 150.0))
        + 6.0 * np.exp(-0.3 * t_ms * t_ms)
        + np.where(np.less(stmr_db, 9.0), sidetone / 2.0, 0.0)
    )
    roe = -1.5 * noise_re_rlr
    re = 80.0 + 2.5 * (terv - 14.0)
    idte = np.where(np.less(t_ms, 1.0), 0.0, echo_term(roe, re, t_ms))
    return np.where(np.greater(stmr_db, 20.0), np.hypot(idte, sidetone), idte)


def echo_term(roe: Any, re: Any, t_ms: Any) -> Any:
    """Shape of Idte in G.107, G.107.1 and G.1070: grows with T and with Roe - Re, from -1 upwards.

    An echo far below what is noticed gets slightly less than 0: so the Recommendations have it.
    """
    half = (roe - re) / 2.0
    return (half + np.sqrt(half * half + 100.0) - 1.0) * (1.0 - np.exp(-t_ms))


@elementwise
def listener_echo_impairment(ro: Numeric, wepl_db: Numeric, tr_ms: Numeric) -> Any:
    """Idle: echo heard by the listener (G.107 clause 7.4)."""
    rle = 10.5 * (wepl_db + 7.0) * (np.maximum(tr_ms, 0.0) + 1.0) ** -0.25
    half = (ro - rle) / 2.0
    return half + np.sqrt(half * half + 169.0)


@elementwise
def delay_impairment(ta_ms: Numeric, s_t: Numeric = 1.0, m_t_ms: Numeric = 100.0) -> Any:
    """Idd: absolute delay, even with perfect echo control (G.107 clause 7.4).

    Parameters
    ----------
    ta_ms : float or ndarray
        One-way mouth-to-ear delay, clipped to 0..10^9 ms.
    s_t, m_t_ms : float or ndarray
        Delay sensitivity and minimum perceivable delay.

    Returns
    -------
    float or ndarray
        0 up to ``m_t_ms``, then rising towards 50.
    """
    x = np.log2(np.maximum(np.clip(ta_ms, 0.0, 1e9) / m_t_ms, 1.0))
    return 25.0 * (_norm(x, 6.0 * s_t) - 3.0 * _norm(x / 3.0, 6.0 * s_t) + 2.0)


def _norm(x: Any, exponent: Any) -> Any:
    """(1 + x^n)^(1/n): the smooth maximum of 1 and x that the E-model is made of."""
    return (1.0 + x**exponent) ** (1.0 / exponent)
