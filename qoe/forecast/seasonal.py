"""The default model: a seasonal profile and a level that decays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qoe.forecast.bands import Array
from qoe.forecast.clock import Clock
from qoe.forecast.level import Level
from qoe.forecast.model import Forecaster
from qoe.forecast.profile import DAYS, week_profile
from qoe.forecast.spikes import Spikes

MEMORY_DAYS = 42
CHUNK = 256
"""Series whose profiles are learnt at once: what that takes beside the past stays small."""
NEXT = np.ones(1, np.int64)


class SeasonalLevel(Forecaster):
    """Profile of the week plus what is left of the level at that lead.

    The profile (`week_profile`) is learnt anew when a day is over; the level (`Level`) with each interval.
    With less than a week of history every day is taken to be like every other, with less than a day the
    mean so far stands for the profile.

    Parameters
    ----------
    n_series, clock, capacity, max_horizon
        As `Forecaster` takes them.
    """

    def __init__(
        self,
        n_series: int,
        clock: Clock,
        capacity: ArrayLike | None = None,
        max_horizon: int | None = None,
    ) -> None:
        super().__init__(n_series, clock, capacity, max_horizon)
        n_slots = clock.n_slots
        self._level = Level(n_series, self._bands.leads, clock.step_s)
        self._spikes = Spikes(n_series)
        self._past = np.full((n_series, MEMORY_DAYS, n_slots), np.nan)
        self._days = np.zeros(0, np.int64)
        self._day = int(self._wall(np.zeros(1, np.int64))[0]) // n_slots
        self._today = np.full((n_series, n_slots), np.nan)
        self._n_days = np.zeros(n_series, np.int64)
        self._profile: Array | None = None
        self._sum, self._n = np.zeros(n_series), np.zeros(n_series)

    @property
    def season(self) -> str:
        """What a forecast made now draws on, for the series with the longest history."""
        n_days = self._n_days.max()
        return "week" if n_days >= DAYS else "day" if n_days else "none"

    def _wall(self, ahead: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.clock.wall(self.n_seen + ahead)

    def _learn(self, observed: Array) -> None:
        wall = self._wall(np.zeros(1, np.int64))
        day, slot = divmod(int(wall[0]), self.clock.n_slots)
        if day > self._day:
            self._close_day(day)
        season = self._expect(wall)[:, 0]
        observed = self._spikes.cut(observed, season + self._level.at(NEXT)[:, 0])
        self._level.learn(observed, season)
        heard = ~np.isnan(observed)
        self._sum += np.where(heard, observed, 0.0)
        self._n += heard
        self._today[:, slot] = np.where(heard, observed, self._today[:, slot])
        ahead = self.clock.wall(self.n_seen + self._level.leads)
        self._level.expect(self._expect(ahead))

    def _close_day(self, day: int) -> None:
        """Put today to the past and learn the profile anew."""
        heard = ~np.isnan(self._today).all(axis=1)
        self._n_days += heard
        self._bands.restart(heard & ((self._n_days == 1) | (self._n_days == DAYS)))
        self._past[:, :-1] = self._past[:, 1:]
        self._past[:, -1] = self._today
        self._days = np.append(self._days, self._day)[-MEMORY_DAYS:]
        self._today[:] = np.nan
        self._day = day
        past = self._past[:, MEMORY_DAYS - len(self._days) :]
        some = range(0, self.n_series, CHUNK)
        self._profile = np.concatenate([week_profile(past[i : i + CHUNK], self._days, day) for i in some])

    def _expect(self, wall: NDArray[np.int64]) -> Array:
        """What the season alone expects, shape (n_series, len(wall))."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.repeat((self._sum / self._n)[:, None], len(wall), axis=1)
        if self._profile is None:
            return mean
        days, slots = np.divmod(wall, self.clock.n_slots)
        found = self._profile[:, days % DAYS, slots]
        return np.where(np.isnan(found), mean, found)

    def _centre(self, horizons: NDArray[np.int64]) -> Array:
        season = self._expect(self._wall(horizons - 1))
        return season + self._level.at(horizons)
