"""Single spikes are cut before anything is learnt from them."""

from __future__ import annotations

import numpy as np

from qoe.forecast.bands import PACE_MIN, Array

FAR = 6.0
"""Mean absolute errors from the forecast at which a spike begins: 4.8 standard deviations of a normal."""


class Spikes:
    """Tells spikes from shifts: the first value far off is cut to the limit, the next on that side believed.

    Parameters
    ----------
    n_series : int
    """

    def __init__(self, n_series: int) -> None:
        self._n_errors = np.zeros(n_series)
        self._scale = np.zeros(n_series)
        self._side = np.zeros(n_series)

    def cut(self, observed: Array, expected: Array) -> Array:
        """Give what is to be learnt.

        Parameters
        ----------
        observed, expected : ndarray, shape (n_series,)
            NaN where there is none.

        Returns
        -------
        ndarray, shape (n_series,)
        """
        error = observed - expected
        heard = ~np.isnan(error)
        error = np.where(heard, error, 0.0)
        limit = FAR * self._scale
        side = np.where((np.abs(error) > limit) & (limit > 0), np.sign(error), 0.0)
        spike = (side != 0) & (side != self._side)
        self._side = np.where(heard, side, self._side)
        self._n_errors += heard
        pace = np.maximum(1.0 / np.maximum(self._n_errors, 1.0), PACE_MIN) * heard
        self._scale += pace * (np.abs(error) - self._scale)
        return np.where(spike, expected + side * limit, observed)
