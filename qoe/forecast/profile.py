"""What each slot of the week is like, learnt from past days that are like it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

DAY_S = 86400
DAYS = 7
DISCOUNT = 0.98
"""Weight of a day relative to the day after it."""
SHARPNESS = 3.0
SMOOTHING_S = 3600
TINY = 1e-12

Array = NDArray[np.float64]


def week_profile(past: Array, days: NDArray[np.int64], today: int) -> Array:
    """Give the expected value of every slot of the week.

    A weighted mean over past days, each slot by itself. A day counts the more the more its day of the week
    is like the one wanted (`likeness`), and 2 % less for each day that it is old. The result is then drawn
    towards its own moving average, as far as its noise explains the difference (`smooth`).

    Parameters
    ----------
    past : ndarray, shape (n_series, n_days, n_slots)
        Observations; NaN where there is none.
    days : ndarray of int64, shape (n_days,)
        Number of each day; days seven apart are the same day of the week.
    today : int
        Number of the day from which the age of days counts.

    Returns
    -------
    ndarray, shape (n_series, 7, n_slots)
        By day number modulo 7. A slot never seen takes from its neighbours, or else from the whole week;
        NaN only for a series without a single observation.
    """
    seen = ~np.isnan(past)
    values = np.where(seen, past, 0.0)
    known = seen.astype(np.float64)
    phases = np.eye(DAYS)[:, days % DAYS]
    alike, variance = likeness(values, known, phases)
    weights = (alike @ phases) * DISCOUNT ** (today - days)
    total = weights @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        profile = (weights @ values) / total
        noise = variance[:, None, None] * (weights**2 @ known) / total**2
    return smooth(profile, noise)


def likeness(values: Array, known: Array, phases: Array) -> tuple[Array, Array]:
    """Tell how alike the days of the week are, for each series.

    Two days of the week are as alike as ``(1 + 3 d / v)**-2``: `d` is the mean squared difference of their
    mean profiles beyond what noise makes of it, `v` the variance of a single observation about the
    profile of its day of the week. Where a day of the week was never seen, all days are taken to be alike.

    Parameters
    ----------
    values, known : ndarray, shape (n_series, n_days, n_slots)
        Observations, 0 where there is none; 1 where there is one, else 0.
    phases : ndarray, shape (7, n_days)
        1 where the day is of that day of the week, else 0.

    Returns
    -------
    alike : ndarray, shape (n_series, 7, 7)
        0 to 1.
    variance : ndarray, shape (n_series,)
    """
    count = phases @ known
    mean = (phases @ values) / np.maximum(count, 1.0)
    squares = (phases @ values**2 - count * mean**2).sum(axis=(1, 2))
    freedom = np.maximum(count - 1.0, 0.0).sum(axis=(1, 2))
    apart, noise, both = (np.zeros((len(values), DAYS, DAYS)) for _ in range(3))
    for day in range(DAYS):
        shared = (count[:, day, None] > 0) & (count > 0)
        apart[:, day] = (shared * (mean[:, day, None] - mean) ** 2).sum(axis=2)
        per_value = 1.0 / np.maximum(count[:, day, None], 1.0) + 1.0 / np.maximum(count, 1.0)
        noise[:, day] = (shared * per_value).sum(axis=2)
        both[:, day] = shared.sum(axis=2)
    variance = np.where(
        freedom >= DAYS * values.shape[2] / 2, squares / np.maximum(freedom, 1.0), _variance(apart, noise)
    )
    variance = np.maximum(variance, 0.0)
    excess = np.maximum(apart - variance[:, None, None] * noise, 0.0) / np.maximum(both, 1.0)
    excess[:, np.arange(DAYS), np.arange(DAYS)] = 0.0
    return (1.0 + SHARPNESS * excess / (variance[:, None, None] + TINY)) ** -2.0, variance


def _variance(apart: Array, noise: Array) -> Array:
    """Variance where hardly a day of the week came twice: most pairs of days differ by noise alone."""
    upper = np.triu_indices(DAYS, 1)
    pairs = np.where(noise[:, *upper] > 0, apart[:, *upper] / np.maximum(noise[:, *upper], TINY), np.nan)
    none = np.isnan(pairs).all(axis=1)
    pairs[none] = 0.0
    return np.asarray(np.nanmedian(pairs, axis=1))


def smooth(profile: Array, noise: Array) -> Array:
    """Draw profiles towards their moving average over an hour either side, as far as noise explains it.

    The share of the way is the one of least expected squared error, as in James and Stein (1961): the
    covariance of profile and difference, which noise makes, over the mean squared difference found.

    Parameters
    ----------
    profile : ndarray, shape (n_series, 7, n_slots)
        NaN where nothing is known.
    noise : ndarray, same shape
        Variance of each value of `profile`.

    Returns
    -------
    ndarray, shape (n_series, 7, n_slots)
    """
    n_series, _, n_slots = profile.shape
    half = round(n_slots * SMOOTHING_S / DAY_S)
    taps = half + 1.0 - np.abs(np.arange(-half, half + 1))
    taps /= taps.sum()
    flat = profile.reshape(n_series, -1)
    seen = ~np.isnan(flat)
    weight = convolve1d(seen.astype(np.float64), taps, axis=1, mode="wrap")
    total = convolve1d(np.where(seen, flat, 0.0), taps, axis=1, mode="wrap")
    n_seen = seen.sum(axis=1, keepdims=True)
    mean = np.where(seen, flat, 0.0).sum(axis=1, keepdims=True) / np.where(n_seen > 0, n_seen, np.nan)
    average = np.where(weight > TINY, total / np.maximum(weight, TINY), mean)
    step = np.where(seen, average - flat, 0.0)
    covariance = (np.where(seen, noise.reshape(n_series, -1), 0.0) * (1.0 - taps[half])).sum(axis=1)
    share = np.clip(covariance / np.maximum((step**2).sum(axis=1), TINY), 0.0, 1.0)
    drawn = np.where(seen, flat + share[:, None] * step, average)
    return np.asarray(drawn.reshape(profile.shape))
