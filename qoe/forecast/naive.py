"""The models that any other has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qoe.forecast.bands import Array
from qoe.forecast.clock import Clock
from qoe.forecast.model import Forecaster

SEASON_DAYS = {"none": 0, "day": 1, "week": 7}


class SeasonalNaive(Forecaster):
    """What was a season ago comes again.

    Where there was nothing a season ago, the last observation stands in.

    Parameters
    ----------
    n_series, clock, capacity, max_horizon
        As `Forecaster` takes them.
    season : {"none", "day", "week"}
        ``none`` repeats the last observation. Seasons are counted in intervals: a clock change shifts them.
    """

    def __init__(
        self,
        n_series: int,
        clock: Clock,
        capacity: ArrayLike | None = None,
        max_horizon: int | None = None,
        season: str = "day",
    ) -> None:
        super().__init__(n_series, clock, capacity, max_horizon)
        self._season = season
        self._cycle = np.full((n_series, max(1, SEASON_DAYS[season] * clock.n_slots)), np.nan)
        self._last = np.full(n_series, np.nan)

    @property
    def season(self) -> str:
        """What a forecast made now draws on: the season, or ``none`` before one is over."""
        return self._season if self.n_seen >= self._cycle.shape[1] else "none"

    def _learn(self, observed: Array) -> None:
        place = self.n_seen % self._cycle.shape[1]
        heard = ~np.isnan(observed)
        self._cycle[heard, place] = observed[heard]
        self._last[heard] = observed[heard]

    def _centre(self, horizons: NDArray[np.int64]) -> Array:
        found = self._cycle[:, (self.n_seen + horizons - 1) % self._cycle.shape[1]]
        return np.where(np.isnan(found), self._last[:, None], found)
