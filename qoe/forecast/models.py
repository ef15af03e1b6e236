"""Models by name."""

from __future__ import annotations

from numpy.typing import ArrayLike

from qoe.errors import ForecastError
from qoe.forecast.clock import Clock
from qoe.forecast.model import Forecaster

DEFAULT = "seasonal-level"
NAIVE = {"last-value": "none", "naive-day": "day", "naive-week": "week"}
MODELS = (DEFAULT, *NAIVE)
FOREIGN = "statsforecast:"


def make_forecaster(
    name: str,
    n_series: int,
    clock: Clock,
    capacity: ArrayLike | None = None,
    max_horizon: int | None = None,
) -> Forecaster:
    """Make a model.

    Parameters
    ----------
    name : str
        One of `MODELS`, or ``statsforecast:`` and the name of a class, such as ``statsforecast:AutoETS``.
    n_series, clock, capacity, max_horizon
        As `Forecaster` takes them.

    Returns
    -------
    Forecaster

    Raises
    ------
    ForecastError
        If there is no such model.
    MissingExtraError
        If statsforecast is wanted and not installed.
    """
    if name == DEFAULT:
        from qoe.forecast.seasonal import SeasonalLevel

        return SeasonalLevel(n_series, clock, capacity, max_horizon)
    if name in NAIVE:
        from qoe.forecast.naive import SeasonalNaive

        return SeasonalNaive(n_series, clock, capacity, max_horizon, NAIVE[name])
    if name.startswith(FOREIGN):
        from qoe.forecast.stats import StatsForecast

        return StatsForecast(n_series, clock, capacity, max_horizon, name.removeprefix(FOREIGN))
    raise ForecastError(f"model: there is no {name!r}: choose from {', '.join(MODELS)} or {FOREIGN}AutoETS")
