"""Tables of loads as they come: rows of numbers, or one observation a line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final

import numpy as np

from qoe.errors import ForecastError
from qoe.forecast.bands import Array
from qoe.forecast.clock import Clock

HOUR_S: Final = 3600
NAMES: Final = ("cell", "direction", "class")
MAX_VALUES: Final = 500_000_000

Row = tuple[int, list[str]]
"""Number of a line and its fields."""


@dataclass
class LoadTable:
    """Loads of many series on one grid of intervals.

    Attributes
    ----------
    series : list of str
        Names: cell, direction and class, joined by ``/``.
    clock : Clock
    loads : ndarray, shape (n_series, n_intervals)
        NaN where there is none.
    capacity : ndarray, shape (n_series,)
        Infinite where the table names none.
    warnings : list of str
        What was odd.
    """

    series: list[str]
    clock: Clock
    loads: Array
    capacity: Array
    warnings: list[str] = field(default_factory=list)


def read_loads(
    lines: Iterable[str], step_s: int | None = None, timezone: str | None = None, start: str | None = None
) -> LoadTable:
    """Read a table of loads.

    Two shapes are told apart by the first line. *Long*: a header line with ``time`` (ISO 8601, or seconds
    since 1970-01-01 UTC) and ``load``, and any of ``cell``, ``direction``, ``class`` and ``capacity``; one
    observation a line, in any order. *Wide*: no header, one series a line, its loads from the first
    interval on; an empty field is a gap, and lines may end early.

    Parameters
    ----------
    lines : iterable of str
        Lines of CSV.
    step_s : int, optional
        Length of an interval in s. Default: of a long table the shortest time between two lines, of a wide
        one an hour.
    timezone : str, optional
        IANA name of the time zone whose clock people live by; times without an offset are taken to be in
        it, or else in UTC.
    start : str, optional
        Begin of the first interval of a wide table; default 1970-01-01.

    Raises
    ------
    ForecastError
        With the number of the line that is wrong.
    """
    rows = _rows(lines)
    first = next(rows, None)
    if first is None:
        raise ForecastError("the table is empty: give lines of loads, or a header with time and load")
    header = [name.strip().lower() for name in first[1]]
    if any(_number(name) is None and name for name in header):
        return _read_long(header, rows, step_s, timezone)
    zone = Clock(HOUR_S, 0.0, timezone).zone or UTC
    start_s = _time(start or "1970-01-01", "start", zone)
    return _read_wide(first, rows, Clock(step_s or HOUR_S, start_s, timezone))


def _rows(lines: Iterable[str]) -> Iterator[Row]:
    """Give the rows that hold anything, with the number of their line."""
    reader = csv.reader(lines)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise ForecastError(f"line {reader.line_num}: not CSV: {error}") from None


def _read_wide(first: Row, rows: Iterator[Row], clock: Clock) -> LoadTable:
    series = [[_load(value, line) for value in row] for line, row in (first, *rows)]
    n_intervals = max(map(len, series))
    loads = np.full((len(series), n_intervals), np.nan)
    for row, values in zip(loads, series, strict=True):
        row[: len(values)] = values
    n_short = sum(len(values) < n_intervals for values in series)
    warnings = []
    if n_short:
        warnings.append(f"{n_short} of {len(series)} series end early: the rest is taken for a gap")
    names = [str(number + 1) for number in range(len(series))]
    return LoadTable(names, clock, loads, np.full(len(series), np.inf), warnings)


def _read_long(header: list[str], rows: Iterator[Row], step_s: int | None, timezone: str | None) -> LoadTable:
    for needed in ("time", "load"):
        if needed not in header:
            raise ForecastError(f"line 1: no column {needed!r}: give a header with time and load")
    zone = Clock(HOUR_S, 0.0, timezone).zone or UTC
    numbers: dict[str, int] = {}
    found: list[tuple[int, float, float, int]] = []
    capacities: dict[int, float] = {}
    for line, row in rows:
        if len(row) != len(header):
            raise ForecastError(f"line {line}: {len(row)} fields, but the header names {len(header)}")
        cells = dict(zip(header, (value.strip() for value in row), strict=True))
        name = "/".join(cells[key] for key in NAMES if cells.get(key)) or "1"
        number = numbers.setdefault(name, len(numbers))
        found.append(
            (number, _time(cells["time"], f"line {line}: time", zone), _load(cells["load"], line), line)
        )
        if cells.get("capacity"):
            capacities[number] = _capacity(cells["capacity"], line)
    if not found:
        raise ForecastError("the table has a header and no lines: give loads")
    columns = (np.array(column) for column in zip(*found, strict=True))
    loads, clock = _grid(*columns, step_s=step_s, timezone=timezone)
    capacity = np.array([capacities.get(number, np.inf) for number in range(len(numbers))])
    return LoadTable(list(numbers), clock, loads, capacity)


def _grid(
    series: Array, times: Array, loads: Array, lines: Array, *, step_s: int | None, timezone: str | None
) -> tuple[Array, Clock]:
    """Put observations where they belong; two in one interval are an error."""
    step = step_s or _step(times)
    start = math.floor(times.min() / step) * step
    clock = Clock(step, float(start), timezone)
    intervals = ((times - start) // step).astype(np.int64)
    n_series, n_intervals = int(series.max()) + 1, int(intervals.max()) + 1
    if n_series * n_intervals > MAX_VALUES:
        raise ForecastError(f"times span {n_intervals:,} intervals of {step} s: give a longer step")
    places = series.astype(np.int64) * n_intervals + intervals
    order = np.argsort(places, kind="stable")
    again = np.flatnonzero(np.diff(places[order]) == 0)
    if len(again):
        line, other = lines[order[again[0] + 1]], lines[order[again[0]]]
        message = f"line {line}: the same series and interval of {step} s as line {other}"
        raise ForecastError(f"{message}: give one load an interval, or a shorter step")
    grid = np.full(n_series * n_intervals, np.nan)
    grid[places] = loads
    return grid.reshape(n_series, n_intervals), clock


def _step(times: Array) -> int:
    gaps = np.diff(np.unique(times))
    if not len(gaps):
        raise ForecastError("all lines have the same time: give the step")
    return max(1, round(float(gaps.min())))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _load(text: str, line: int) -> float:
    if text.strip().lower() in ("", "nan", "null", "none", "-"):
        return math.nan
    value = _number(text)
    if value is None or not 0.0 <= value < math.inf:
        raise ForecastError(f"line {line}: load {text.strip()!r}: give a number of 0 or more, or nothing")
    return value


def _capacity(text: str, line: int) -> float:
    value = _number(text)
    if value is None or not value > 0.0:
        raise ForecastError(f"line {line}: capacity {text!r}: give a number above 0")
    return value


def _time(text: str, where: str, zone: tzinfo) -> float:
    value = _number(text)
    if value is not None and math.isfinite(value):
        return value
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{where}: {text!r}: give ISO 8601 or seconds since 1970-01-01 UTC"
        raise ForecastError(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
