"""Loads of made-up cells, for tests and benchmarks: days, weekends, drift and the noise of counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def random_loads(seed: int, n_series: int, n_days: int, step_s: int = 3600) -> NDArray[np.float64]:
    """Draw loads of cells that have a rhythm.

    Each cell has a mean between 5 and 80, a peak between 11 and 21 o'clock, weekends (days 5 and 6 of seven)
    of 0.5 to 0.9 times a weekday, and a drift: an AR(1) process on the logarithm with a standard
    deviation of 0.15 that forgets in six hours. What is observed is a Poisson count.

    Parameters
    ----------
    seed : int
    n_series, n_days : int
    step_s : int
        Length of an interval, in s, a divisor of 86400.

    Returns
    -------
    ndarray, shape (n_series, n_days * 86400 // step_s)
    """
    rng = np.random.default_rng(seed)
    n_slots = 86400 // step_s
    hours = np.arange(n_days * n_slots) * step_s / 3600
    mean = np.exp(rng.uniform(np.log(5), np.log(80), (n_series, 1)))
    peak = rng.uniform(11, 21, (n_series, 1))
    day = np.exp(np.cos((hours - peak) * np.pi / 12))
    weekend = np.where(hours // 24 % 7 >= 5, rng.uniform(0.5, 0.9, (n_series, 1)), 1.0)
    kept = np.exp(-step_s / 21600)
    drift = np.zeros((n_series, len(hours)))
    for i in range(1, len(hours)):
        drift[:, i] = kept * drift[:, i - 1] + rng.normal(0, 0.15 * np.sqrt(1 - kept**2), n_series)
    return rng.poisson(mean * day * weekend * np.exp(drift)).astype(np.float64)
