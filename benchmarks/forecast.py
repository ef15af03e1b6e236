"""How near the forecasts come: error, coverage and alarms, by rolling origin over real loads.

Loads are read from the folder that QOE_TRACES names (``load/*_matrixTS.csv``: hourly, a square of the city a
line, as in the Telecom Italia data set of Milan), else from a folder `traces` in a folder beside the
checkout. Where there are none, loads are made up, and every result says so: such scores show that the
machinery works, not how well real cells are forecast.

Each model sees four weeks, then forecasts after every hour. Scored are series without gaps: ``all`` of them
over all that follows, and ``held out``: every other one, from the sixth week on, on which no
parameter was fitted, though they were in sight.
`mase` is the mean absolute error over that of the weekly seasonal naive within the first four weeks;
`mase_ratio_to_seasonal_naive` is that over the better of the daily and the weekly seasonal naive on the
same hours. An hour is busy when its load is in the cell's own top tenth of the four weeks before the day of
the forecast. `alarm_f1` counts hours one by one; `alarm_f1_within_1h` lets an alarm be off by an hour, as who
acts ahead would; `alarm_f1_network` asks for the busiest tenth of all cells' hours, by one limit for all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from qoe.errors import MissingExtraError
from qoe.forecast import DEFAULT, MODELS, Clock, busy_threshold, make_forecaster, read_loads
from qoe.forecast.alarms import ALARM_PROBABILITY_RATIO
from qoe.tools.loads import random_loads

Array = NDArray[np.float64]

SEED = 4
DAY, WEEK = 24, 168
FIRST = 4 * WEEK
HELD_OUT = 5 * WEEK
HORIZONS = (1, 6, 24)
FOREIGN = ("statsforecast:AutoETS", "statsforecast:HoltWinters")
FOREIGN_SERIES = 10
NAIVE = ("naive-day", "naive-week")
TINY = 1e-9
FOREIGN_EVERY = 31
"""Hours between the origins of models that are fitted at each: every hour of the day has its turn."""


@dataclass
class Run:
    """What a model forecast, by the hour that was forecast: arrays (n_horizons, n_series, n_intervals).

    `busy` is the probability that the load reaches `limit`, which was known when the forecast was made; the
    same for the limit of all cells together.
    """

    load: Array
    lower: Array
    upper: Array
    busy: Array
    limit: Array
    busy_network: Array
    limit_network: Array
    us_per_forecast: float


def run(quick: bool) -> list[dict[str, Any]]:
    """Score all models; `quick` takes few series and six weeks.

    Returns
    -------
    list of dict
        One a model, horizon and part, with `mase`, `mase_ratio_to_seasonal_naive`, `coverage_80_ratio`,
        `alarm_f1`, `alarm_f1_within_1h`, `alarm_f1_network`, `us_per_forecast`. Models of statsforecast
        are scored on a sample, with the default on the same hours beside them, or say that they are missing.
    """
    loads, source = find_loads()
    if quick:
        loads = loads[:12, : 6 * WEEK]
    origins = range(FIRST, loads.shape[1])
    runs = {name: roll(name, loads, origins) for name in MODELS}
    cases = []
    for part, n_skip in (("all", 1), ("held out", 2)):
        rows = slice(n_skip - 1, None, n_skip)
        first = (FIRST if part == "all" else HELD_OUT) + max(HORIZONS)
        cases += [
            {"model": name, "part": part} | case
            for name in runs
            for case in score(runs[name], [runs[n] for n in NAIVE], loads, (rows, slice(first, None)))
        ]
    for name in FOREIGN[: 1 if quick else None]:
        cases += foreign(name, loads, runs)
    return [case | {"source": source} for case in cases]


def find_loads() -> tuple[Array, str]:
    """Loads of series without gaps, and where they are from."""
    named = os.environ.get("QOE_TRACES")
    folders = [Path(named)] if named else sorted(ROOT.parent.glob("*/traces"))
    files = [path for folder in folders for path in sorted((folder / "load").glob("*_matrixTS.csv"))]
    if not files:
        return random_loads(SEED, 60, 56), "made up"
    with files[0].open() as file:
        loads = read_loads(file).loads
    return loads[~np.isnan(loads).any(axis=1)], files[0].name


def roll(name: str, loads: Array, origins: Sequence[int]) -> Run:
    """Forecast from each origin, which is the number of intervals seen before."""
    n_series, n_intervals = loads.shape
    found = np.full((7, len(HORIZONS), n_series, n_intervals + max(HORIZONS)), np.nan)
    model = make_forecaster(name, n_series, Clock(3600))
    spent = 0.0
    for origin in origins:
        if model.n_seen < origin - 1:
            model.fit(loads[:, model.n_seen : origin - 1])
        if origin == origins[0] or origin % DAY == 0:
            own, network = limits(loads[:, origin - origin % DAY - FIRST : origin - origin % DAY])
        start = perf_counter()
        model.update(loads[:, origin - 1])
        forecast = model.predict(HORIZONS)
        spent += perf_counter() - start
        chances = forecast.probability_above(own), forecast.probability_above(network)
        parts = (forecast.load, forecast.lower, forecast.upper, chances[0], own, chances[1], network)
        for i, horizon in enumerate(HORIZONS):
            found[:, i, :, origin + horizon - 1] = [part[:, min(i, part.shape[1] - 1)] for part in parts]
    return Run(*found[..., :n_intervals], us_per_forecast=spent * 1e6 / (len(origins) * n_series))


def limits(before: Array) -> tuple[Array, Array]:
    """From which load on an hour is busy: by each cell's past, and by the past of all, (n_series, 1)."""
    network = busy_threshold(before.reshape(1, -1))
    return busy_threshold(before)[:, None], np.broadcast_to(network, (len(before), 1))


def score(run: Run, naive: Sequence[Run], loads: Array, where: tuple[slice, slice]) -> list[dict[str, Any]]:
    """Score a model where it has a forecast, beside the naive ones on the same hours."""
    scale = np.abs(loads[:, WEEK:FIRST] - loads[:, : FIRST - WEEK]).mean(axis=1)[where[0], None]
    true = loads[where]
    cases = []
    for i, horizon in enumerate(HORIZONS):
        part = {key: value[i][where] for key, value in vars(run).items() if key != "us_per_forecast"}
        known = ~np.isnan(part["load"])
        mase, *bars = (
            float((np.abs(true - other.load[i][where]) / np.maximum(scale, TINY))[known].mean())
            for other in (run, *naive)
        )
        inside = (true >= part["lower"]) & (true <= part["upper"])
        alarm, busy = part["busy"] >= ALARM_PROBABILITY_RATIO, true >= part["limit"]
        case = {
            "horizon_h": horizon,
            "n_series": len(true),
            "n_forecasts": int(known.sum()),
            "mase": mase,
            "mase_ratio_to_seasonal_naive": mase / min(bars),
            "coverage_80_ratio": float(inside[known].mean()),
            "busy_ratio": float(busy[known].mean()),
            "alarm_f1": f1(alarm, alarm, busy, busy),
            "alarm_f1_network": f1(
                *[part["busy_network"] >= ALARM_PROBABILITY_RATIO] * 2, *[true >= part["limit_network"]] * 2
            ),
            "us_per_forecast": run.us_per_forecast,
        }
        if known.all():
            case["alarm_f1_within_1h"] = f1(alarm, widen(alarm), busy, widen(busy))
        cases.append(case)
    return cases


def f1(
    alarm: NDArray[np.bool_],
    near_alarm: NDArray[np.bool_],
    busy: NDArray[np.bool_],
    near_busy: NDArray[np.bool_],
) -> float:
    """Harmonic mean of the share of alarms near a busy hour and the share of busy hours near an alarm."""
    precision = (alarm & near_busy).sum() / max(1, alarm.sum())
    recall = (busy & near_alarm).sum() / max(1, busy.sum())
    return float(2 * precision * recall / max(precision + recall, TINY))


def widen(hours: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the hours beside those that are marked, too."""
    padded = np.pad(hours, ((0, 0), (1, 1)))
    return padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]


def foreign(name: str, loads: Array, runs: dict[str, Run]) -> list[dict[str, Any]]:
    """Score a model of statsforecast on a sample of series and origins, and the default on the same."""
    rows = np.linspace(0, len(loads) - 1, FOREIGN_SERIES).astype(int)
    few = loads[rows]
    try:
        found = roll(name, few, range(HELD_OUT, few.shape[1] - max(HORIZONS), FOREIGN_EVERY))
    except MissingExtraError as error:
        return [{"model": name, "part": "sample", "unavailable": str(error)}]
    taken = {
        key: Run(*(v[:, rows] for v in list(vars(r).values())[:-1]), r.us_per_forecast)
        for key, r in runs.items()
    }
    own = taken[DEFAULT]
    for value in list(vars(own).values())[:-1]:
        value[np.isnan(found.load)] = np.nan
    where = (slice(None), slice(HELD_OUT, None))
    naive = [taken[n] for n in NAIVE]
    return [
        {"model": model, "part": "sample"} | case
        for model, run in ((name, found), (DEFAULT, own))
        for case in score(run, naive, few, where)
    ]
