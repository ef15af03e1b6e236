"""How much of what the last intervals were off the season goes on, and for how long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qoe.forecast.bands import Array, between

PACES = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
"""Paces of the levels that are run side by side: the weight of the newest residual."""
HALF_LIFE_S = 48_000.0
"""Half-life of a level before the series itself has shown another."""
MEMORY_DAYS = 28


class Level:
    """Levels of residuals, run at several paces, and how they carry over.

    A level is ``l += a (r - l)``; a gap counts as a residual of 0, so that old news fades. For each series
    and lead, the least-squares slope of the residual found then on the level known before, held to 0…1,
    tells how much is left of it; the pace with the smallest squared error is taken. A day's worth of
    evidence for a half-life of 13 hours goes in beforehand.

    Parameters
    ----------
    n_series : int
    leads : ndarray of int64
        Leads for which the carry-over is learnt, in intervals, ascending.
    step_s : int
        Length of an interval, in s.
    """

    def __init__(self, n_series: int, leads: NDArray[np.int64], step_s: int) -> None:
        self.leads = leads
        n_day = max(86400 // step_s, 1)
        self._prior = float(n_day)
        self._fade = 1.0 - 1.0 / (MEMORY_DAYS * n_day)
        self._kept = 0.5 ** (leads * step_s / HALF_LIFE_S)
        size = int(leads[-1])
        self._profiles = np.full((size, n_series, len(leads)), np.nan)
        self._levels = np.zeros((size, n_series, len(PACES)))
        self._n_updates = 0
        self._now = np.zeros((n_series, len(PACES)))
        self._left: Array | None = None
        shape = (n_series, len(leads), len(PACES))
        self._n, self._squares, self._products = np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape)

    def learn(self, observed: Array, expected: Array) -> None:
        """Take the next interval.

        Parameters
        ----------
        observed : ndarray, shape (n_series,)
            NaN where there is none.
        expected : ndarray, shape (n_series,)
            What the season alone expected of it.
        """
        self._n_updates += 1
        self._left = None
        size = len(self._profiles)
        residuals = observed[:, None] - self._profiles[self._n_updates % size]
        heard = ~np.isnan(residuals)
        residuals = np.where(heard, residuals, 0.0)
        before = self._levels[(self._n_updates - self.leads) % size].transpose(1, 0, 2) * heard[:, :, None]
        self._n = self._fade * self._n + heard
        self._squares = self._fade * self._squares + before**2
        self._products = self._fade * self._products + before * residuals[:, :, None]
        residual = observed - expected
        self._now += PACES * (np.where(np.isnan(residual), 0.0, residual)[:, None] - self._now)

    def expect(self, profiles: Array) -> None:
        """Keep what the season now expects at `leads`, shape (n_series, n_leads)."""
        size = len(self._profiles)
        self._profiles[(self._n_updates + self.leads) % size, :, np.arange(len(self.leads))] = profiles.T
        self._levels[self._n_updates % size] = self._now

    def at(self, horizons: NDArray[np.int64]) -> Array:
        """What is left of the level, to be added to the season, shape (n_series, n_horizons)."""
        if self._left is None:
            self._left = self._at_leads()
        return between(self._left, self.leads, horizons)

    def _at_leads(self) -> Array:
        prior = (self._prior / np.maximum(self._n, 1.0))[:, :, None] * self._squares
        slopes = (self._products + prior * self._kept[:, None]) / np.maximum(self._squares + prior, 1e-12)
        slopes = np.clip(slopes, 0.0, 1.0)
        errors = slopes * (slopes * self._squares - 2.0 * self._products)
        best = np.argmin(errors, axis=2)[:, :, None]
        return np.take_along_axis(slopes * self._now[:, None, :], best, axis=2)[:, :, 0]
