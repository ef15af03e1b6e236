"""Bands that hold what they promise, whatever the errors look like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

NORMAL_80 = 1.2815515655446004
"""Quantile of the standard normal distribution at 0.9."""
GAIN = 3.0
GAIN_MIN = 0.05
PACE_MIN = 0.01
N_FEW = 24


def leads_for(n_intervals: int) -> NDArray[np.int64]:
    """Leads at which errors are followed: 1, 2, 3, 4, 6, 8, 12, 16, 24, … and the last.

    Parameters
    ----------
    n_intervals : int
        The last lead, in intervals, at least 1.
    """
    doubling = 2 ** np.arange(int(np.log2(n_intervals)) + 1)
    leads = np.unique(np.concatenate([doubling, doubling * 3 // 2, [n_intervals]]))
    return leads[leads <= n_intervals].astype(np.int64)


def between(values: Array, leads: NDArray[np.int64], horizons: NDArray[np.int64]) -> Array:
    """Interpolate linearly over the logarithm of the lead.

    Parameters
    ----------
    values : ndarray, shape (n_series, n_leads)
        Values at `leads`, which ascend.
    leads, horizons : ndarray of int64
        In intervals, at least 1. Beyond the last lead its value holds.

    Returns
    -------
    ndarray, shape (n_series, n_horizons)
    """
    place = np.interp(np.log(horizons), np.log(leads), np.arange(len(leads)))
    below = np.minimum(place.astype(np.int64), len(leads) - 1)
    above = np.minimum(below + 1, len(leads) - 1)
    part = place - below
    return values[:, below] * (1.0 - part) + values[:, above] * part


class Bands:
    """Quantiles of past errors, for each series and lead, followed as errors come in.

    Each quantile takes a step after each error, up if the error lay above it and down if below, as in
    Gibbs and Candès (2021) and as the quantile tracker of Angelopoulos, Candès and Tibshirani (2023,
    equation 4): ``q += g s (level - [error < q])`` with `s` the running mean of absolute errors. The share of
    errors inside then goes to the level whatever their distribution is and however it drifts. The gain `g`
    falls to 0.05 as errors come in; the first 24 errors give a normal band by their mean alone.

    Parameters
    ----------
    n_series : int
    leads : ndarray of int64
        As `leads_for` gives them.
    coverage_ratio : float
        Share of observations that the band is to hold, above 0 and below 1.
    """

    def __init__(self, n_series: int, leads: NDArray[np.int64], coverage_ratio: float = 0.8) -> None:
        self.leads = leads
        self._tail = (1.0 - coverage_ratio) / 2.0
        self._spread = float(ndtri(1.0 - self._tail)) * np.sqrt(np.pi / 2.0)
        """Half-width of a normal band over the mean absolute error."""
        self._expected = np.full((int(leads[-1]), n_series, len(leads)), np.nan)
        self._n_updates = 0
        self._n_errors = np.zeros((n_series, len(leads)))
        self._scale = np.zeros((n_series, len(leads)))
        self._below = np.full((n_series, len(leads)), np.nan)
        self._above = np.full((n_series, len(leads)), np.nan)

    def expect(self, centres: Array) -> None:
        """Keep the forecasts made now for `leads` intervals ahead, shape (n_series, n_leads)."""
        size = len(self._expected)
        due = (self._n_updates + self.leads) % size
        self._expected[due, :, np.arange(len(self.leads))] = centres.T

    def score(self, observed: Array) -> None:
        """Take the next interval's observations, shape (n_series,), NaN where there is none."""
        self._n_updates += 1
        errors = observed[:, None] - self._expected[self._n_updates % len(self._expected)]
        heard = ~np.isnan(errors)
        errors = np.where(heard, errors, 0.0)
        self._n_errors += heard
        pace = np.maximum(1.0 / np.maximum(self._n_errors, 1.0), PACE_MIN) * heard
        self._scale += pace * (np.abs(errors) - self._scale)
        gain = np.maximum(GAIN / np.maximum(self._n_errors, 1.0), GAIN_MIN) * self._scale * heard
        self._below += gain * (self._tail - (errors < self._below))
        self._above += gain * (1.0 - self._tail - (errors <= self._above))
        few = heard & (self._n_errors <= N_FEW)
        self._below = np.where(few, -self._spread * self._scale, self._below)
        self._above = np.where(few, self._spread * self._scale, self._above)

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Start anew for some series, shape (n_series,), whose forecasts have changed in kind."""
        self._n_errors[rows] = 0.0
        self._expected[:, rows] = np.nan

    def at(self, horizons: NDArray[np.int64]) -> tuple[Array, Array]:
        """Give how far the band reaches below and above the centre.

        Returns
        -------
        below, above : ndarray, shape (n_series, n_horizons)
            At most and at least 0; NaN before the first error is known.
        """
        below, above = np.minimum(self._below, 0.0), np.maximum(self._above, 0.0)
        return between(below, self.leads, horizons), between(above, self.leads, horizons)
