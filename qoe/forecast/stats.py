"""Models of the statsforecast package, by name."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qoe.errors import ForecastError, MissingExtraError
from qoe.forecast.bands import Array
from qoe.forecast.clock import Clock
from qoe.forecast.model import Forecaster

MEMORY_DAYS = 28


class StatsForecast(Forecaster):
    """A model of statsforecast, fitted anew to the last four weeks whenever a forecast is wanted.

    The bands are the model's own. Gaps are filled with what was there a day before, else with the mean.

    Parameters
    ----------
    n_series, clock, capacity, max_horizon
        As `Forecaster` takes them.
    model : str
        Class of ``statsforecast.models`` that takes a `season_length`: ``AutoETS``, ``AutoTheta``, …

    Raises
    ------
    MissingExtraError
        If statsforecast is not installed.
    ForecastError
        If it has no such model.
    """

    def __init__(
        self,
        n_series: int,
        clock: Clock,
        capacity: ArrayLike | None = None,
        max_horizon: int | None = None,
        model: str = "AutoETS",
    ) -> None:
        super().__init__(n_series, clock, capacity, max_horizon)
        try:
            from statsforecast import models
        except ImportError:
            raise MissingExtraError("statsforecast", "forecast") from None
        if model not in models.__all__:
            known = ", ".join(sorted(models.__all__))
            raise ForecastError(f"model: statsforecast has no {model!r}: choose from {known}")
        self._kind = getattr(models, model)
        self._name = model
        self._history: list[Array] = []

    @property
    def season(self) -> str:
        """``day`` from two days of history on, else ``none``."""
        return "day" if len(self._history) >= 2 * self.clock.n_slots else "none"

    @cached_property
    def _model(self) -> Any:
        try:
            return self._kind(season_length=self.clock.n_slots)
        except TypeError:
            raise ForecastError(
                f"model: {self._name} of statsforecast takes no season alone: try AutoETS or AutoTheta"
            ) from None

    def _take(self, observed: Array) -> None:
        self._learn(observed)
        self.n_seen += 1

    def _learn(self, observed: Array) -> None:
        n_slots = self.clock.n_slots
        before = self._history[-n_slots] if len(self._history) >= n_slots else np.full_like(observed, np.nan)
        self._history.append(np.where(np.isnan(observed), before, observed))
        del self._history[: -MEMORY_DAYS * n_slots]

    def _centre(self, horizons: NDArray[np.int64]) -> Array:
        return self._ahead(horizons)[0]

    def _ahead(self, horizons: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        roots = np.array(self._history).reshape(-1, self.n_series).T
        found = np.full((3, self.n_series, len(horizons)), np.nan)
        for row, series in enumerate(roots):
            heard = ~np.isnan(series)
            if not heard.any():
                continue
            filled = np.where(heard, series, series[heard].mean())
            answer = self._model.forecast(y=filled, h=int(horizons.max()), level=[80])
            for part, key in enumerate(("mean", "lo-80", "hi-80")):
                found[part, row] = answer[key][horizons - 1]
        return found[0], found[1], found[2]
