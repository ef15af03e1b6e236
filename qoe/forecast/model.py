"""What every forecaster does: take intervals as they come, forecast with bands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from qoe.errors import ForecastError
from qoe.forecast.bands import NORMAL_80, Array, Bands, leads_for
from qoe.forecast.clock import DAY_S, Clock


@dataclass(frozen=True)
class Forecast:
    """Loads ahead.

    Attributes
    ----------
    horizons : ndarray of int64, shape (n_horizons,)
        How far ahead, in intervals from the last one observed.
    load, lower, upper : ndarray, shape (n_series, n_horizons)
        Expected load and the band about it, in the unit of the history, within 0 and the capacity. NaN
        where nothing is known: of the load, before the first observation; of the band, before the first
        error.
    season : str
        What the forecast could draw on: ``week``, ``day`` or ``none``.
    """

    horizons: NDArray[np.int64]
    load: Array
    lower: Array
    upper: Array
    season: str

    def probability_above(self, threshold: ArrayLike) -> Array:
        """Probability that the load reaches a threshold.

        From a normal distribution on the square-root scale whose halves have the widths of the 80 % band's
        halves.

        Parameters
        ----------
        threshold : array_like, shape (n_series,) or scalar
            In the unit of the load.

        Returns
        -------
        ndarray, shape (n_series, n_horizons)
            0 to 1; NaN where the band or the threshold is unknown.
        """
        far = np.sqrt(np.asarray(threshold, np.float64).reshape(-1, 1)) - np.sqrt(self.load)
        width = np.where(
            far > 0, np.sqrt(self.upper) - np.sqrt(self.load), np.sqrt(self.load) - np.sqrt(self.lower)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            certain = np.where(far > 0, 0.0, 1.0) + 0.0 * far
            return np.where(width > 0, ndtr(-far * NORMAL_80 / width), certain + 0.0 * width)


class Forecaster(ABC):
    """A model of many series at once, each by itself: no series' forecast depends on another.

    Everything is done on the square root of the load: the noise of counts, and nearly that of traffic, is
    the same there at night and at noon (Bartlett 1936), and no forecast can be negative.

    Parameters
    ----------
    n_series : int
        At least 1.
    clock : Clock
        Length of an interval and where the first one lies in the day and the week.
    capacity : array_like, optional
        What no load exceeds, one for all or one a series; default none.
    max_horizon : int, optional
        Farthest horizon whose errors are followed, in intervals; default a day.

    Raises
    ------
    ForecastError
        If a number makes no sense; it says which.
    """

    def __init__(
        self,
        n_series: int,
        clock: Clock,
        capacity: ArrayLike | None = None,
        max_horizon: int | None = None,
    ) -> None:
        if n_series < 1:
            raise ForecastError(f"n_series: {n_series}: give at least one series")
        last = max(1, DAY_S // clock.step_s) if max_horizon is None else max_horizon
        if last < 1:
            raise ForecastError(f"max_horizon: {last}: give at least one interval")
        self.n_series, self.clock = n_series, clock
        self.capacity = _capacity(capacity, n_series)
        self.n_seen = 0
        self._bands = Bands(n_series, leads_for(last))

    def fit(self, history: ArrayLike) -> None:
        """Take a history, as if each of its intervals had just come.

        Parameters
        ----------
        history : array_like, shape (n_series, n_intervals)
            Loads of 0 or more, NaN where there is none.

        Raises
        ------
        ForecastError
            If the shape is wrong or a load is negative or infinite.
        """
        loads = np.asarray(history, np.float64)
        if loads.ndim != 2 or len(loads) != self.n_series:
            raise ForecastError(f"history: shape {loads.shape}: give ({self.n_series}, n_intervals)")
        check_loads(loads, self.n_seen)
        for column in np.sqrt(loads).T:
            self._take(column)

    def update(self, load: ArrayLike) -> None:
        """Take the next interval.

        Parameters
        ----------
        load : array_like, shape (n_series,)
            Loads of 0 or more, NaN where there is none.

        Raises
        ------
        ForecastError
            If the shape is wrong or a load is negative or infinite.
        """
        loads = np.asarray(load, np.float64)
        if loads.shape != (self.n_series,):
            raise ForecastError(f"load: shape {loads.shape}: give ({self.n_series},)")
        check_loads(loads[:, None], self.n_seen)
        self._take(np.sqrt(loads))

    def predict(self, horizons: ArrayLike) -> Forecast:
        """Forecast, with bands that hold 80 % of what comes.

        Parameters
        ----------
        horizons : array_like of int
            How far ahead, in intervals, each at least 1.

        Raises
        ------
        ForecastError
            If a horizon is not a whole number of 1 or more.
        """
        wanted = np.atleast_1d(np.asarray(horizons))
        if wanted.ndim != 1 or not wanted.size or np.any(wanted != np.floor(wanted)) or np.any(wanted < 1):
            raise ForecastError(f"horizons: {wanted}: give whole numbers of intervals, each at least 1")
        ahead = wanted.astype(np.int64)
        centre, lower, upper = (self._load(root) for root in self._ahead(ahead))
        return Forecast(ahead, centre, lower, upper, self.season)

    @property
    @abstractmethod
    def season(self) -> str:
        """What a forecast made now draws on: ``week``, ``day`` or ``none``."""

    @abstractmethod
    def _learn(self, observed: Array) -> None:
        """Take an interval's square roots of loads; `n_seen` does not yet count it."""

    @abstractmethod
    def _centre(self, horizons: NDArray[np.int64]) -> Array:
        """Forecast square roots of loads, shape (n_series, n_horizons)."""

    def _ahead(self, horizons: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Forecast square roots: centre, lower and upper end of the band."""
        centre = self._centre(horizons)
        below, above = self._bands.at(horizons)
        return centre, centre + below, centre + above

    def _take(self, observed: Array) -> None:
        self._bands.score(observed)
        self._learn(observed)
        self.n_seen += 1
        self._bands.expect(self._centre(self._bands.leads))

    def _load(self, root: Array) -> Array:
        return np.asarray(np.minimum(np.maximum(root, 0.0) ** 2, self.capacity))


def check_loads(loads: Array, first: int = 0) -> None:
    """Refuse negative and infinite loads, naming the first one.

    Parameters
    ----------
    loads : ndarray, shape (n_series, n_intervals)
    first : int
        Number of the first interval, for the message.

    Raises
    ------
    ForecastError
    """
    bad = np.argwhere((loads < 0) | np.isinf(loads))
    if len(bad):
        series, interval = bad[0]
        message = f"load: {loads[series, interval]:g} in series {series}, interval {first + interval}"
        raise ForecastError(f"{message}: give finite loads of 0 or more, NaN where there is none")


def _capacity(capacity: ArrayLike | None, n_series: int) -> Array:
    given = np.asarray(np.inf if capacity is None else capacity, np.float64)
    if given.shape not in ((), (1,), (n_series,)):
        raise ForecastError(f"capacity: shape {given.shape}: give one number or {n_series}")
    if not (given > 0).all():
        raise ForecastError("capacity: give numbers above 0")
    return np.broadcast_to(given.reshape(-1, 1), (n_series, 1))
