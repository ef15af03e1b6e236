"""Video: the staircase of a player's ladder, and the stalls that its buffer does not cover."""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe import applications as app
from qoe.schema import BoolArray, FloatArray, IntArray, RecordArray
from qoe.utility.bearer import N_RUNGS_MOST, known, observed_bps

BUFFER_S: Final = 20.0
"""Media that a player holds ahead where it was not seen."""
_ROUNDING: Final = 1e-9
_FADING_S: Final = 1.0  # `efficiency_cv` is of the means of so long, taken as independent


def ladders_bps(bearers: RecordArray) -> FloatArray:
    """Return each player's bitrates, own or usual, shape (n, N_RUNGS_MOST); infinite past the last."""
    own = bearers["ladder_bps"]
    own = np.where(own > 0.0, own, np.inf)
    usual = np.pad(app.LADDER_BPS, (0, N_RUNGS_MOST - len(app.LADDER_BPS)), constant_values=np.inf)
    ladders: FloatArray = np.where(np.isfinite(own[:, :1]), own, usual)
    return ladders


def buffer_s(bearers: RecordArray) -> FloatArray:
    """Return the media that each player holds ahead, shape (n,), above 0."""
    seen: FloatArray = bearers["buffer_s"]
    return np.where(seen > 0.0, seen, BUFFER_S)


def thresholds_bps(bearers: RecordArray) -> FloatArray:
    """Rates from which each rung of the ladder is played, shape (n, N_RUNGS_MOST), infinite past the last.

    A player picks a rung within 0.8 of its throughput. The rung it plays now needs no more than was
    observed; if it could already have picked a higher one and has not, the next ones are as much further
    up as their bitrates are. A rung that stalls at the observed rate plays from a quarter more on.
    """
    ladder_bps, rate_bps = ladders_bps(bearers), observed_bps(bearers)[:, None]
    current = _current_rung(bearers, ladder_bps)[:, None]
    rungs = np.arange(N_RUNGS_MOST)
    usual_bps = ladder_bps / app.SAFETY
    scaled_bps = rate_bps * ladder_bps / np.take_along_axis(ladder_bps, np.maximum(current, 0), axis=1)
    stalls = stalls_now(bearers)[:, None]
    held = (rungs < current) | ((rungs == current) & ~stalls)
    further_bps = np.maximum(usual_bps, scaled_bps / np.where(stalls, app.SAFETY, 1.0))
    seen: FloatArray = np.where(held, np.minimum(usual_bps, scaled_bps), further_bps)
    return np.where(current >= 0, seen, usual_bps)


def _current_rung(bearers: RecordArray, ladder_bps: FloatArray) -> IntArray:
    """Rung that is nearest (by ratio) to what is played, or that the rate carries; -1: not even the first."""
    by_rate = np.sum(ladder_bps <= observed_bps(bearers)[:, None] * (1 + _ROUNDING), axis=1) - 1
    media_bps = np.nan_to_num(bearers["media_bps"])[:, None]
    edges_bps = np.sqrt(ladder_bps[:, 1:]) * np.sqrt(ladder_bps[:, :-1])
    nearest = np.sum(edges_bps < media_bps, axis=1)
    rung: IntArray = np.where(np.isfinite(bearers["media_bps"]), nearest, by_rate)
    return rung


def video(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    """MOS of adaptive video at mean rates (n, m): of the rung that is played, less what its stalls take."""
    thresholds, ladder_bps = thresholds_bps(bearers), ladders_bps(bearers)
    within = rate_bps[:, :, None] * (1 + _ROUNDING) >= thresholds[:, None, :]
    n_within = within.sum(axis=2)
    rung = np.maximum(n_within - 1, 0)
    played = app.bitrate_mos(np.take_along_axis(ladder_bps, rung, axis=1))
    # a rung takes its bitrate, or less if it was seen to play on less; below the lowest its threshold counts
    least_bps = np.where(
        n_within > 0, np.take_along_axis(np.minimum(ladder_bps, thresholds), rung, axis=1), thresholds[:, :1]
    )
    there = 1.0 - stall_ratio(bearers, rate_bps / least_bps)
    mos: FloatArray = 1.0 + (played - 1.0) * app.kept_ratio(there)
    return np.where(stalls_now(bearers)[:, None], _with_stalls(bearers, rate_bps, mos, thresholds), mos)


def stall_ratio(bearers: RecordArray, pace: FloatArray) -> FloatArray:
    """Part of the time that a player stands still.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n,)
        Read are ``buffer_s`` and ``efficiency_cv``.
    pace : ndarray of float64, shape (n, m)
        Seconds of media that come in a second, in the mean.

    Returns
    -------
    ndarray of float64, shape (n, m)
        ``1 - pace`` below 1 and 0 above it where the rate is steady.

    Notes
    -----
    The buffer is a Brownian motion with drift ``m = pace - 1`` and variance ``v`` a second, reflected at
    empty and at full, B. What reflects it at empty is the time without play, ``m / (exp(2 m B / v) - 1)`` of
    all (Harrison, Brownian Motion and Stochastic Flow Systems, 1985, chapter 5; of players: Luan, Cai and
    Shen, IEEE Trans. Multimedia 12(1), 2010). The variance is that of what comes in a second.
    """
    drift = pace - 1.0
    variance = (np.maximum(known(bearers, "efficiency_cv", 0.0), 0.0) * pace) ** 2 * _FADING_S
    steady: FloatArray = np.clip(-drift, 0.0, 1.0)
    if not variance.any():
        return steady
    room_s = buffer_s(bearers)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.clip(2.0 * drift * room_s / variance, -500.0, 500.0)
        stalled = np.where(np.abs(exponent) < 1e-6, variance / (2.0 * room_s), drift / np.expm1(exponent))
    return np.clip(np.where(variance > 0.0, stalled, steady), 0.0, 1.0)


def stalls_now(bearers: RecordArray) -> BoolArray:
    """Return which bearers play video that stalls."""
    is_known: BoolArray = np.isfinite(bearers["mos"]) & np.isfinite(bearers["media_bps"])
    return is_known & (bearers["stall_s"] > 0)


def _with_stalls(
    bearers: RecordArray, rate_bps: FloatArray, mos: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """Give video that stalls its measured MOS from the observed rate until its rung plays, no more below."""
    seen_bps, measured = observed_bps(bearers)[:, None], known(bearers, "mos", 5.0)
    rung = np.maximum(_current_rung(bearers, ladders_bps(bearers)), 0)
    plays_bps = thresholds[np.arange(len(bearers)), rung][:, None]
    below = rate_bps < seen_bps * (1 - _ROUNDING)
    here = ~below & (rate_bps < plays_bps * (1 - _ROUNDING))
    heard: FloatArray = np.select([below, here], [np.minimum(mos, measured), measured + 0 * mos], mos)
    return heard
