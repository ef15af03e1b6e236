"""Loads ahead: against slow twins, naive models sliced by hand, and what bands and alarms promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qoe.errors import ForecastError
from qoe.forecast import (
    MODELS,
    Clock,
    SeasonalLevel,
    busy_threshold,
    make_forecaster,
)
from qoe.forecast.bands import Bands, between, leads_for
from qoe.forecast.level import HALF_LIFE_S, PACES, Level
from qoe.forecast.profile import week_profile
from qoe.forecast.spikes import Spikes
from qoe.tools.loads import random_loads

HOURLY = Clock(3600)
DAY, WEEK = 24, 168
Array = NDArray[np.float64]


def rolled(model: str, loads: Array, first: int, horizons: list[int]) -> tuple[Array, Array, Array]:
    """Forecast after every interval from `first` on: load, lower, upper by the interval forecast."""
    forecaster = make_forecaster(model, len(loads), HOURLY)
    forecaster.fit(loads[:, :first])
    found = np.full((3, len(horizons), len(loads), loads.shape[1] + max(horizons)), np.nan)
    for seen in range(first, loads.shape[1]):
        forecast = forecaster.predict(horizons)
        for i, horizon in enumerate(horizons):
            for part, values in enumerate((forecast.load, forecast.lower, forecast.upper)):
                found[part, i, :, seen + horizon - 1] = values[:, i]
        forecaster.update(loads[:, seen])
    load, lower, upper = found[..., : loads.shape[1]]
    return load, lower, upper


# the season


def slow_profile(past: list[list[float | None]], days: list[int], today: int) -> list[list[float]]:
    """Twin of `week_profile` for one series: every sum written out."""
    n_slots = len(past[0])
    groups = [[row for row, day in zip(past, days, strict=True) if day % 7 == phase] for phase in range(7)]

    def seen(phase: int, slot: int) -> list[float]:
        return [row[slot] for row in groups[phase] if row[slot] is not None]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    squares, freedom = 0.0, 0
    for phase in range(7):
        for slot in range(n_slots):
            values = seen(phase, slot)
            squares += sum((value - mean(values)) ** 2 for value in values)
            freedom += max(0, len(values) - 1)
    assert freedom >= 7 * n_slots / 2, "the twin knows histories of two weeks and more"
    variance = squares / freedom
    alike = [[1.0] * 7 for _ in range(7)]
    for a in range(7):
        for b in range(7):
            shared = [s for s in range(n_slots) if seen(a, s) and seen(b, s)]
            if a != b and shared:
                apart = sum((mean(seen(a, s)) - mean(seen(b, s))) ** 2 for s in shared)
                noise = sum(1 / len(seen(a, s)) + 1 / len(seen(b, s)) for s in shared)
                excess = max(0.0, apart - variance * noise) / len(shared)
                alike[a][b] = (1 + 3 * excess / (variance + 1e-12)) ** -2
    profile, noises = [], []
    for phase in range(7):
        for slot in range(n_slots):
            pairs = [
                (alike[phase][day % 7] * 0.98 ** (today - day), row[slot])
                for row, day in zip(past, days, strict=True)
                if row[slot] is not None
            ]
            total = sum(weight for weight, _ in pairs)
            profile.append(sum(weight * value for weight, value in pairs) / total)
            noises.append(variance * sum(weight**2 for weight, _ in pairs) / total**2)
    around = [
        0.25 * profile[i - 1] + 0.5 * profile[i] + 0.25 * profile[(i + 1) % len(profile)]
        for i in range(len(profile))
    ]
    steps = [there - here for here, there in zip(profile, around, strict=True)]
    share = min(1.0, 0.5 * sum(noises) / sum(step**2 for step in steps))
    drawn = [here + share * step for here, step in zip(profile, steps, strict=True)]
    return [drawn[phase * n_slots : (phase + 1) * n_slots] for phase in range(7)]


def test_profile_is_that_of_the_slow_twin() -> None:
    """Likeness of days, age and smoothing give what plain Python gives, with gaps and missing days."""
    rng = np.random.default_rng(1)
    days = np.array([3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21])
    weekend = np.isin(days % 7, (5, 6))[:, None]
    past = np.sin(np.arange(24) / 4) * np.where(weekend, 1, 3) + 5 + rng.normal(0, 0.5, (3, len(days), 24))
    past[rng.random(past.shape) < 0.05] = np.nan
    found = week_profile(past, days, 22)
    for series, profile in zip(past, found, strict=True):
        rows = [[None if np.isnan(value) else value for value in row] for row in series.tolist()]
        np.testing.assert_allclose(profile, slow_profile(rows, days.tolist(), 22), rtol=1e-10)


def test_profile_tells_weekends_from_weekdays_by_itself() -> None:
    """Weekdays learn from one another and not from the weekend, whichever days that is."""
    rng = np.random.default_rng(2)
    for weekend in ((5, 6), (1, 2), (0, 6)):
        days = np.arange(28)
        free = np.isin(days % 7, weekend)
        level = np.where(free, 3.0, 6.0)
        past = level[:, None] + rng.normal(0, 0.5, (20, 28, 24))
        profile = week_profile(past, days, 28)
        expected = np.where(np.isin(np.arange(7), weekend), 3.0, 6.0)
        assert np.abs(profile.mean(axis=2) - expected).max() < 0.2
        of_one_day = np.stack([past[:, days % 7 == phase].mean(axis=1) for phase in range(7)], axis=1)
        errors = [np.abs(p - expected[None, :, None]).mean() for p in (profile, of_one_day)]
        assert errors[0] < 0.7 * errors[1]


# the level


def test_level_is_that_of_the_slow_twin() -> None:
    """Slopes by lead and the pace taken are those of sums over the whole past."""
    rng = np.random.default_rng(3)
    leads, step_s = np.array([1, 2, 5]), 3600
    residuals = np.zeros(60)
    for i in range(1, 60):
        residuals[i] = 0.8 * residuals[i - 1] + rng.normal()
    residuals[[7, 30, 31]] = np.nan
    level = Level(1, leads, step_s)
    levels = np.zeros((61, len(PACES)))
    for i, residual in enumerate(residuals):
        level.learn(np.array([residual]), np.zeros(1))
        level.expect(np.zeros((1, 3)))
        levels[i + 1] = levels[i] + PACES * (np.nan_to_num(residual) - levels[i])
    expected = []
    for lead in leads.tolist():
        pairs = [(i, residuals[i]) for i in range(lead, 60) if not np.isnan(residuals[i])]
        fade = [(1 - 1 / (28 * 24)) ** (59 - i) for i, _ in pairs]
        n = sum(fade)
        fits = []
        for pace in range(len(PACES)):
            known = [levels[i - lead + 1][pace] for i, _ in pairs]
            squares = sum(f * k * k for f, k in zip(fade, known, strict=True))
            products = sum(f * k * r for f, k, (_, r) in zip(fade, known, pairs, strict=True))
            kept = 0.5 ** (lead * step_s / HALF_LIFE_S)
            slope = (products + 24 / n * squares * kept) / (squares + 24 / n * squares)
            slope = min(1.0, max(0.0, slope))
            error = sum(f * (r - slope * k) ** 2 for f, k, (_, r) in zip(fade, known, pairs, strict=True))
            fits.append((error, slope * levels[60][pace]))
        expected.append(min(fits)[1])
    np.testing.assert_allclose(level.at(leads)[0], expected, rtol=1e-9)


def test_level_carries_over_as_long_as_it_lasts() -> None:
    """A slow drift is carried far, noise without memory hardly at all."""
    rng = np.random.default_rng(4)
    residuals = rng.normal(0, 1, (2, 2000))
    for i in range(1, 2000):
        residuals[0, i] = 0.98 * residuals[0, i - 1] + 0.2 * residuals[0, i]
    level = Level(2, np.array([1, 24]), 3600)
    for column in residuals.T:
        level.learn(column, np.zeros(2))
        level.expect(np.zeros((2, 2)))
    for _ in range(20):
        level.learn(np.array([3.0, 0.0]), np.zeros(2))
    level.learn(np.array([3.0, 5.0]), np.zeros(2))
    drift, noise = level.at(np.array([1, 24]))
    assert drift[0] > 2.5
    assert 1.0 < drift[1] < 2.5
    assert np.abs(noise).max() < 0.5


# bands


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "skew", "drift"])
def test_bands_hold_what_they_promise(kind: str) -> None:
    """Four of five errors are inside, at every lead, whatever they are distributed like."""
    rng = np.random.default_rng(5)
    n = 1500
    errors = {
        "normal": rng.normal(size=(50, n)),
        "heavy tails": rng.standard_t(2, size=(50, n)),
        "skew": rng.exponential(size=(50, n)) - 1,
        "drift": rng.normal(size=(50, n)) * np.linspace(1, 2, n),
    }[kind]
    bands = Bands(50, np.array([1, 3]))
    inside = []
    for i, column in enumerate(errors.T):
        if i >= 200:
            below, above = bands.at(np.array([1, 2, 3]))
            inside.append((below <= column[:, None]) & (column[:, None] <= above))
        bands.score(column)
        bands.expect(np.zeros((50, 2)))
    assert np.abs(np.mean(inside, axis=(0, 1)) - 0.8).max() < 0.03
    assert np.abs(np.mean(inside, axis=(0, 2)) - 0.8).max() < 0.06


def test_leads_and_what_lies_between() -> None:
    """Leads double with one between; values between leads lie on a line over the logarithm."""
    assert leads_for(24).tolist() == [1, 2, 3, 4, 6, 8, 12, 16, 24]
    assert leads_for(1).tolist() == [1]
    assert leads_for(50).tolist()[-2:] == [48, 50]
    leads = np.array([1, 4, 16])
    values = np.array([[0.0, 1.0, 2.0]])
    np.testing.assert_allclose(
        between(values, leads, np.array([1, 2, 4, 8, 16, 99])), [[0, 0.5, 1, 1.5, 2, 2]]
    )


# whole models


def test_better_than_naive_and_bands_hold_on_made_up_cells() -> None:
    """An hour ahead the error is a fifth below both seasonal naives, a day ahead a tenth; bands hold 80 %."""
    loads = random_loads(6, 30, 42)
    first, horizons = 4 * WEEK, [1, 6, 24]
    load, lower, upper = rolled("seasonal-level", loads, first, horizons)
    start = first + DAY
    naive = [np.abs(loads[:, start:] - loads[:, start - lag : -lag]).mean() for lag in (DAY, WEEK)]
    for i, limit in enumerate((0.8, 0.9, 0.9)):
        error = np.abs(loads[:, start:] - load[i, :, start:]).mean()
        assert error < limit * min(naive)
        inside = (loads >= lower[i]) & (loads <= upper[i])
        assert 0.75 < inside[:, start:].mean() < 0.85


@pytest.mark.parametrize(("model", "lag"), [("naive-day", DAY), ("naive-week", WEEK), ("last-value", 1)])
def test_naive_models_repeat_the_past(model: str, lag: int) -> None:
    """What naive models forecast is a slice of the past."""
    loads = random_loads(7, 3, 16)
    load, _, _ = rolled(model, loads, 10 * DAY, [1, 24])
    np.testing.assert_allclose(load[0, :, 10 * DAY :], loads[:, 10 * DAY - lag : -lag], rtol=1e-12)
    if lag > 1:
        np.testing.assert_allclose(load[1, :, 11 * DAY :], loads[:, 11 * DAY - lag : -lag], rtol=1e-12)


def test_no_series_depends_on_another() -> None:
    """A batch gives each series what it gets alone."""
    loads = random_loads(8, 4, 20)
    loads[2, 100:150] = np.nan
    together = SeasonalLevel(4, HOURLY)
    together.fit(loads)
    for row, series in enumerate(loads):
        alone = SeasonalLevel(1, HOURLY)
        alone.fit(series[None])
        ours, theirs = together.predict([1, 5, 30]), alone.predict([1, 5, 30])
        for name in ("load", "lower", "upper"):
            np.testing.assert_allclose(getattr(ours, name)[row], getattr(theirs, name)[0], rtol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_a_history_is_the_same_as_its_intervals_one_by_one(model: str) -> None:
    """`fit` of a history and `update` interval by interval end in the same forecast."""
    loads = random_loads(9, 2, 9)
    at_once, one_by_one = (make_forecaster(model, 2, HOURLY) for _ in range(2))
    at_once.fit(loads)
    for column in loads.T:
        one_by_one.update(column)
    assert at_once.n_seen == one_by_one.n_seen == 216
    np.testing.assert_array_equal(at_once.predict([1, 24]).upper, one_by_one.predict([1, 24]).upper)


def test_short_histories_degrade_and_say_so() -> None:
    """Nothing, an hour, a day, a week: each gives what can be known, and names its season."""
    hours = np.arange(20 * DAY)
    load = 10 + 5 * np.sin(hours * np.pi / 12) + 5 * (hours // DAY % 7 >= 5)
    model = SeasonalLevel(1, HOURLY)
    nothing = model.predict([1])
    assert nothing.season == "none"
    assert np.isnan(nothing.load).all()
    model.fit(load[None, :1])
    assert model.predict([1, 24]).load == pytest.approx(10.0)
    model.fit(load[None, 1:23])
    assert model.predict([1]).season == "none"
    model.fit(load[None, 23:49])
    day = model.predict([6, 12])
    assert day.season == "day"
    np.testing.assert_allclose(day.load[0], load[[54, 60]], rtol=0.05)
    model.fit(load[None, 49:])
    week = model.predict([30])
    assert week.season == "week"
    assert week.load[0, 0] == pytest.approx(load[(20 * DAY + 29) % WEEK + WEEK], rel=0.05)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_series_are_certain(model: str, value: float) -> None:
    """What never changed is forecast as it is, with a band of no width and no fear."""
    forecaster = make_forecaster(model, 2, HOURLY)
    forecaster.fit(np.full((2, 15 * DAY), value))
    forecast = forecaster.predict([1, 24])
    for part in (forecast.load, forecast.lower, forecast.upper):
        np.testing.assert_allclose(part, value, rtol=1e-9)
    np.testing.assert_array_equal(forecast.probability_above(value + 1), 0.0)


def test_gaps_are_bridged() -> None:
    """After two silent days the forecast is the season again, not the level of long ago."""
    loads = random_loads(10, 5, 28)
    with_gap = loads.copy()
    with_gap[:, -2 * DAY :] = np.nan
    whole, gappy = (SeasonalLevel(5, HOURLY) for _ in range(2))
    whole.fit(loads)
    gappy.fit(with_gap)
    ratio = gappy.predict(range(1, 25)).load.sum(axis=1) / whole.predict(range(1, 25)).load.sum(axis=1)
    assert np.abs(ratio - 1).max() < 0.2


def test_clock_changes_are_followed() -> None:
    """People keep to the clock on the wall; who knows the time zone keeps to it with them."""
    start = 1772406000  # 2026-03-02 00:00 in Rome; clocks change on 29 March
    rome, utc = Clock(3600, start, "Europe/Rome"), Clock(3600, start)
    hours = np.arange(29 * DAY)
    load = 20 + 15 * np.sin((rome.wall(hours) % DAY) * np.pi / 12)
    errors = []
    for clock in (rome, utc):
        model = SeasonalLevel(1, clock)
        model.fit(load[None, : 27 * DAY + 12])
        ahead = np.arange(1, 25)
        errors.append(np.abs(model.predict(ahead).load[0] - load[27 * DAY + 11 + ahead]).max())
    assert errors[0] < 0.5
    assert errors[1] > 2.0


@pytest.mark.parametrize("step_s", [300, 900, 7200, 86400])
def test_any_step_that_divides_the_day(step_s: int) -> None:
    """From minutes to days, forecasts ahead are nearer than the mean of the past."""
    n_days = 10 if step_s < 3600 else 35
    n_series = 100 if step_s == 86400 else 4
    loads = random_loads(11, n_series, n_days + 1, step_s)
    n_ahead = max(7, 86400 // step_s)
    model = SeasonalLevel(n_series, Clock(step_s))
    model.fit(loads[:, :-n_ahead])
    ahead = np.arange(1, n_ahead + 1)
    true, mean = loads[:, -n_ahead:], loads[:, :-n_ahead].mean(axis=1, keepdims=True)
    forecast = model.predict(ahead)
    assert np.abs(forecast.load - true).mean() < 0.95 * np.abs(mean - true).mean()
    assert (forecast.lower <= forecast.load).all()


@given(st.data())
@settings(max_examples=40)
def test_bands_stay_in_range(data: st.DataObject) -> None:
    """Whatever came before: lower, load and upper ascend, from 0 to the capacity."""
    n = data.draw(st.integers(1, 60))
    value = st.one_of(st.just(np.nan), st.just(0.0), st.floats(0, 1e12), st.floats(0, 1e-300))
    history = np.array(data.draw(st.lists(value, min_size=n, max_size=n)))
    capacity = data.draw(st.floats(1e-3, 1e12))
    model = make_forecaster(data.draw(st.sampled_from(MODELS)), 1, Clock(21600), capacity)
    model.fit(history[None])
    forecast = model.predict([1, 3, 40])
    known = ~np.isnan(forecast.load)
    assert known.all() == bool((~np.isnan(history)).any())
    assert (forecast.load[known] >= 0).all()
    assert (forecast.load[known] <= capacity).all()
    banded = ~np.isnan(forecast.lower)
    assert (forecast.lower[banded] <= forecast.load[banded]).all()
    assert (forecast.load[banded] <= forecast.upper[banded]).all()
    assert (forecast.upper[banded] <= capacity).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Clock(7000), "step_s: 7000 s does not divide the day"),
        (lambda: Clock(60, 0, "Europe/Nowhere"), "timezone: 'Europe/Nowhere' is not known"),
        (lambda: SeasonalLevel(0, HOURLY), "n_series: 0"),
        (lambda: SeasonalLevel(1, HOURLY, max_horizon=0), "max_horizon: 0"),
        (lambda: SeasonalLevel(2, HOURLY, capacity=[1, 2, 3]), r"capacity: shape \(3,\)"),
        (lambda: SeasonalLevel(1, HOURLY, capacity=-1), "capacity: give numbers above 0"),
        (lambda: SeasonalLevel(1, HOURLY).fit([1.0]), r"history: shape \(1,\)"),
        (
            lambda: SeasonalLevel(1, HOURLY).fit([[1.0, -2.0]]),
            "load: -2 in series 0, interval 1: give",
        ),
        (lambda: SeasonalLevel(2, HOURLY).update([1.0, np.inf]), "load: inf in series 1, interval 0"),
        (lambda: SeasonalLevel(2, HOURLY).update([1.0]), r"load: shape \(1,\)"),
        (lambda: SeasonalLevel(1, HOURLY).predict([0]), r"horizons: \[0\]"),
        (lambda: SeasonalLevel(1, HOURLY).predict([1.5]), r"horizons: \[1.5\]"),
        (lambda: SeasonalLevel(1, HOURLY).predict([]), "horizons"),
        (
            lambda: make_forecaster("arima", 1, HOURLY),
            "model: there is no 'arima': choose from",
        ),
        (lambda: busy_threshold([[1.0]], 1.0), "busy_ratio: 1.0"),
        (lambda: busy_threshold([1.0]), r"history: shape \(1,\)"),
    ],
)
def test_errors_say_what_and_where(call: Any, message: str) -> None:
    """What makes no sense is refused in one line that names it."""
    with pytest.raises(ForecastError, match=message):
        call()


# spikes


def test_spikes_are_cut_and_shifts_believed() -> None:
    """One value far off is cut to six mean errors, the next on that side is taken as it is."""
    rng = np.random.default_rng(14)
    spikes = Spikes(1)
    errors = rng.normal(size=300)
    for error in errors:
        spikes.cut(np.array([10.0 + error]), np.array([10.0]))
    limit = 6 * np.abs(errors[-100:]).mean()
    cut = [float(spikes.cut(np.array([value]), np.array([10.0]))[0]) for value in (50.0, 50.0, 10.0, -30.0)]
    assert cut[0] == pytest.approx(10 + limit, rel=0.2)
    assert cut[1:3] == [50.0, 10.0]
    assert -30.0 < cut[3] < 10 - limit / 2
    assert np.isnan(spikes.cut(np.array([np.nan]), np.array([10.0]))[0])


def test_spikes_spoil_no_forecast() -> None:
    """Three in a thousand values twenty times too high change the error by less than a twentieth."""
    loads = random_loads(15, 20, 35)
    spiked = loads.copy()
    spiked[np.random.default_rng(15).random(loads.shape) < 0.003] *= 20
    errors = []
    for history in (loads, spiked):
        load, _, _ = rolled("seasonal-level", history, 4 * WEEK, [1])
        errors.append(np.abs(loads - load[0])[:, 4 * WEEK :].mean())
    assert errors[1] < 1.05 * errors[0]
