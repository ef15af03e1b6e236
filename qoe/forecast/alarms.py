"""Warnings before a cell is busy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qoe.errors import ForecastError
from qoe.forecast.bands import Array
from qoe.forecast.clock import Clock
from qoe.forecast.model import Forecast

ALARM_PROBABILITY_RATIO = 0.25
"""Half of an F1 of 0.5: the limit that gives the highest F1 is half of that F1 (Lipton, Elkan and
Naryanaswamy 2014, theorem 1), and hours of single cells hardly allow more."""


@dataclass(frozen=True)
class Alarm:
    """A cell is likely to be busy.

    Attributes
    ----------
    series : str
        Which cell, and class and direction if the series has them.
    time, raised_time : str
        Begin of the busy interval, and end of the last one observed, in ISO 8601.
    horizon_s : int
        From the end of the last interval observed to the end of the busy one.
    probability_ratio : float
        That the load reaches the threshold.
    load, lower, upper : float
        Expected load and its 80 % band.
    threshold : float
        From where on the series counts as busy.
    """

    series: str
    time: str
    raised_time: str
    horizon_s: int
    probability_ratio: float
    load: float
    lower: float
    upper: float
    threshold: float


def busy_threshold(history: ArrayLike, busy_ratio: float = 0.1) -> Array:
    """Give the load from which on each series counts as busy: the top tenth of its own history.

    Parameters
    ----------
    history : array_like, shape (n_series, n_intervals)
        Past loads, NaN where there is none; two to six weeks are about right.
    busy_ratio : float
        Share of the intervals that is busy, above 0 and below 1.

    Returns
    -------
    ndarray, shape (n_series,)
        An interval is busy when its load is at least that: halfway between the least load that reaches
        the quantile at ``1 - busy_ratio`` and the greatest that does not, so that loads in whole numbers
        are cut between two of them. NaN for a series without observations, 0 if all of them are 0.

    Raises
    ------
    ForecastError
        If the ratio or the shape is out of range.
    """
    if not 0.0 < busy_ratio < 1.0:
        raise ForecastError(f"busy_ratio: {busy_ratio}: give a number between 0 and 1")
    loads = np.asarray(history, np.float64)
    if loads.ndim != 2:
        raise ForecastError(f"history: shape {loads.shape}: give (n_series, n_intervals)")
    limit = np.full((len(loads), 1), np.nan)
    heard = ~np.isnan(loads).all(axis=1)
    if heard.any():
        limit[heard] = np.nanquantile(loads[heard], 1.0 - busy_ratio, axis=1, keepdims=True)
    above = np.min(loads, axis=1, where=loads >= limit, initial=np.inf)
    below = np.max(loads, axis=1, where=loads < limit, initial=0.0)
    return np.where(heard, (above + below) / 2.0, np.nan)


def alarms(
    forecast: Forecast,
    threshold: Array,
    series: Sequence[str],
    clock: Clock,
    n_seen: int,
    probability_ratio: float = ALARM_PROBABILITY_RATIO,
) -> list[Alarm]:
    """Warn of the intervals that are likely to be busy.

    Parameters
    ----------
    forecast : Forecast
    threshold : ndarray, shape (n_series,)
        Of `busy_threshold`, or any other limit; NaN gives no alarm.
    series : sequence of str
        Names of the series.
    clock : Clock
    n_seen : int
        Intervals observed before the forecast: `Forecaster.n_seen`.
    probability_ratio : float
        From which probability on an alarm is raised.

    Returns
    -------
    list of Alarm
        The soonest first, of one interval the surest first.
    """
    if not 0.0 < probability_ratio <= 1.0:
        raise ForecastError(f"probability_ratio: {probability_ratio}: give a number above 0, at most 1")
    chance = forecast.probability_above(threshold)
    rows, columns = np.nonzero(chance >= probability_ratio)
    order = np.lexsort((-chance[rows, columns], forecast.horizons[columns]))
    raised = clock.iso(n_seen)
    return [
        Alarm(
            series=series[row],
            time=clock.iso(n_seen + int(forecast.horizons[column]) - 1),
            raised_time=raised,
            horizon_s=int(forecast.horizons[column]) * clock.step_s,
            probability_ratio=float(chance[row, column]),
            load=float(forecast.load[row, column]),
            lower=float(forecast.lower[row, column]),
            upper=float(forecast.upper[row, column]),
            threshold=float(threshold[row]),
        )
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    ]


def to_tmf642(alarm: Alarm, source: str = "qoe") -> dict[str, Any]:
    """Write an alarm in the shape of TM Forum's TMF642 alarm management.

    Parameters
    ----------
    alarm : Alarm
    source : str
        Name of the system that raises it.

    Returns
    -------
    dict
        The attributes that `Alarm_Create` requires, with the threshold that is expected to be crossed. An
        expected crossing is `minor` below even odds, else `major`: a warning is not yet an outage.
    """
    sure = alarm.probability_ratio
    text = f"busy at {alarm.time} with probability {sure:.2f}: load {alarm.load:.4g} expected"
    return {
        "@type": "Alarm",
        "alarmType": "qualityOfServiceAlarm",
        "perceivedSeverity": "major" if sure >= 0.5 else "minor",
        "probableCause": "thresholdCrossed",
        "specificProblem": "congestion expected",
        "alarmedObject": {"id": alarm.series},
        "sourceSystemId": source,
        "state": "raised",
        "alarmRaisedTime": alarm.raised_time,
        "alarmDetails": f"{text}, {alarm.lower:.4g} to {alarm.upper:.4g} in 4 of 5 cases",
        "crossedThresholdInformation": {
            "indicatorName": "expected load",
            "thresholdCrossingDescription": f"the load may reach {alarm.threshold:.6g}",
            "direction": "up",
        },
        "serviceAffecting": False,
    }
