"""Alarms before a cell is busy, and models of statsforecast behind the same interface."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from qoe.errors import ForecastError, MissingExtraError
from qoe.forecast import (
    Clock,
    Forecast,
    SeasonalLevel,
    alarms,
    busy_threshold,
    make_forecaster,
    to_tmf642,
)
from qoe.tools.loads import random_loads

HOURLY = Clock(3600)
WEEK = 168
Array = NDArray[np.float64]


# alarms


def test_busy_is_the_top_tenth() -> None:
    """The limit cuts off at most a tenth, between two whole numbers, series by series."""
    loads = np.stack([np.arange(100.0), np.repeat([1.0, 2.0], [95, 5]), np.full(100, np.nan), np.zeros(100)])
    limit = busy_threshold(loads)
    np.testing.assert_array_equal(limit[:2], [89.5, 0.5])
    assert np.isnan(limit[2])
    assert (loads[0] >= limit[0]).mean() == 0.1


def test_probability_is_that_of_a_split_normal() -> None:
    """Halves of the band are 1.28 standard deviations on the root scale; SciPy agrees."""
    forecast = Forecast(np.array([1]), np.array([[16.0]]), np.array([[9.0]]), np.array([[36.0]]), "week")
    for limit in (4.0, 16.0, 25.0, 36.0, 100.0):
        width = (2.0 if limit > 16 else 1.0) / stats.norm.ppf(0.9)
        expected = stats.norm.sf((np.sqrt(limit) - 4.0) / width)
        assert forecast.probability_above(limit)[0, 0] == pytest.approx(expected, rel=1e-9)


def test_alarms_are_as_sure_as_they_say() -> None:
    """Of hours with a chance of one in four or so, one in four or so is busy; all in all a tenth."""
    loads = random_loads(12, 40, 42)
    first = 4 * WEEK
    limit = busy_threshold(loads[:, :first])
    model = SeasonalLevel(40, HOURLY)
    model.fit(loads[:, :first])
    chances = []
    for seen in range(first, loads.shape[1]):
        chances.append(model.predict([1]).probability_above(limit)[:, 0])
        model.update(loads[:, seen])
    chance, busy = np.array(chances).T, loads[:, first:] >= limit[:, None]
    assert chance.mean() == pytest.approx(busy.mean(), abs=0.02)
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 1.0)):
        some = (chance >= low) & (chance < high)
        assert busy[some].mean() == pytest.approx(chance[some].mean(), abs=0.1)


def test_alarms_tell_which_cell_when_and_how_sure() -> None:
    """The soonest comes first, of one interval the surest; unknown limits give none."""
    load = np.array([[10.0, 20.0], [5.0, 20.0], [9.0, 9.0]])
    forecast = Forecast(np.array([1, 2]), load, load * 0.8, load * 1.2, "week")
    clock = Clock(3600, 1772406000, "Europe/Rome")
    found = alarms(forecast, np.array([10.0, 15.0, np.nan]), ["north", "south", "west"], clock, n_seen=24)
    assert [(alarm.series, alarm.horizon_s) for alarm in found] == [
        ("north", 3600),
        ("north", 7200),
        ("south", 7200),
    ]
    first = found[0]
    assert (first.time, first.raised_time) == ("2026-03-03T00:00:00+01:00", "2026-03-03T00:00:00+01:00")
    assert found[1].time == "2026-03-03T01:00:00+01:00"
    assert first.probability_ratio == pytest.approx(0.5)
    assert (first.load, first.lower, first.upper, first.threshold) == (10.0, 8.0, 12.0, 10.0)


def test_tmf642_has_what_the_standard_requires() -> None:
    """Alarm_Create of TMF642 v4 requires seven attributes."""
    forecast = Forecast(np.array([3]), np.array([[8.0]]), np.array([[6.0]]), np.array([[9.0]]), "week")
    (alarm,) = alarms(forecast, np.array([7.0]), ["north/video"], HOURLY, n_seen=5)
    written = to_tmf642(alarm, source="operations")
    required = ("alarmType", "perceivedSeverity", "probableCause", "alarmedObject", "sourceSystemId", "state")
    assert all(written[key] for key in (*required, "alarmRaisedTime"))
    assert written["alarmedObject"] == {"id": "north/video"}
    assert written["sourceSystemId"] == "operations"
    assert written["perceivedSeverity"] == "major"
    assert "1970-01-01T07:00:00+00:00" in written["alarmDetails"]


# statsforecast


class FakeModel:
    """Repeats the last season, as a model of statsforecast would be called."""

    def __init__(self, season_length: int) -> None:
        self._season = season_length

    def forecast(self, y: Array, h: int, level: list[int]) -> dict[str, Array]:
        """Give mean and band of each step ahead."""
        assert not np.isnan(y).any()
        assert level == [80]
        mean = np.resize(y[-self._season :], h)
        return {"mean": mean, "lo-80": mean - 1, "hi-80": mean + 1}


def test_statsforecast_models_have_the_same_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots go in with gaps filled, squares come out; models that do not exist are named."""
    models = SimpleNamespace(__all__=["Fake"], Fake=FakeModel)
    monkeypatch.setitem(sys.modules, "statsforecast", SimpleNamespace(models=models))
    loads = random_loads(13, 2, 5)
    loads[0, -3] = np.nan
    model = make_forecaster("statsforecast:Fake", 2, HOURLY)
    model.fit(loads)
    forecast = model.predict([2, 22, 24])
    expected = loads[:, [97, 117, 119]]
    expected[0, 1] = loads[0, 93]
    np.testing.assert_allclose(forecast.load, expected)
    np.testing.assert_allclose(forecast.upper, (np.sqrt(expected) + 1) ** 2)
    assert forecast.season == "day"
    with pytest.raises(ForecastError, match="statsforecast has no 'Oracle': choose from Fake"):
        make_forecaster("statsforecast:Oracle", 2, HOURLY)


def test_statsforecast_is_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says how to install it."""
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'qoe\[forecast\]'"):
        make_forecaster("statsforecast:AutoETS", 1, HOURLY)
