"""``qoe forecast``: loads of the past in, loads ahead with bands and alarms out."""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qoe.commands import common
from qoe.errors import ForecastError

if TYPE_CHECKING:
    from qoe.forecast import Alarm, Forecast, LoadTable

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_EXAMPLES: Final = """\
examples:
  qoe forecast load.csv                            a line a cell: next interval, peak of the next day, alarm
  qoe forecast load.csv --horizon 4h --json        every interval with its band, and the alarms
  qoe forecast load.csv --timezone Europe/Rome --tmf642
  qoe forecast rows.csv --step 3600 --csv > ahead.csv

A table of loads, in any unit; capacity is optional and no forecast exceeds it:
  time,cell,class,load,capacity
  2026-03-02T08:00:00+01:00,north,video,0.41,1
or, without a header, one cell a line, its loads from the first interval on (--start).

The bands hold 4 of 5 intervals. A cell is busy when its load is in the top tenth of its own past 28 days; an
alarm is raised for each interval ahead where that is likely enough.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "forecast",
        help="loads of cells ahead, with bands and alarms",
        description="Forecast the load of each cell, or of each class in it, minutes to days ahead.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", metavar="LOAD.csv", help="past loads; - for stdin")
    parser.add_argument(
        "--step",
        type=_whole_seconds,
        metavar="TIME",
        help="length of an interval, such as 60, 5min or 1h (default: the shortest time between two lines; of"
        " a table without times, 1h)",
    )
    parser.add_argument(
        "--horizon", type=_whole_seconds, default=86400, metavar="TIME", help="how far ahead (default: 24h)"
    )
    parser.add_argument(
        "--model",
        default="seasonal-level",
        metavar="NAME",
        help="seasonal-level (the default), naive-day, naive-week, last-value, or statsforecast:AutoETS and"
        " the like (pip install 'qoe[forecast]')",
    )
    parser.add_argument("--timezone", metavar="NAME", help="whose clock people live by, such as Europe/Rome")
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="begin of the first interval of a table without times, in ISO 8601 (default: 1970-01-01)",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="write JSON")
    shape.add_argument("--csv", action="store_true", help="write CSV, a line an interval")
    shape.add_argument("--tmf642", action="store_true", help="write the alarms as TMF642 JSON")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.forecast import alarms, busy_threshold, make_forecaster, read_loads, to_tmf642
    from qoe.report.result import to_json

    name = "standard input" if args.table == "-" else args.table
    try:
        table = read_loads(io.StringIO(_read(args.table)), args.step, args.timezone, args.start)
        clock = table.clock
        n_ahead = -(-args.horizon // clock.step_s)
        last = max(n_ahead, clock.n_slots)
        model = make_forecaster(args.model, len(table.series), clock, table.capacity, last)
        model.fit(table.loads)
        forecast = model.predict(range(1, n_ahead + 1))
        threshold = busy_threshold(table.loads[:, -28 * clock.n_slots :])
        found = alarms(forecast, threshold, table.series, clock, model.n_seen)
    except ForecastError as error:
        raise ForecastError(f"{name}: {error}") from None
    for line in _warnings(table, forecast):
        common.say(f"warning: {line}")
    if args.tmf642:
        common.stdout_bytes().write(to_json([to_tmf642(alarm) for alarm in found]))
    elif args.json:
        common.stdout_bytes().write(to_json(_document(args.model, table, forecast, found)))
    elif args.csv:
        common.write_text(_csv(table, forecast))
    else:
        common.write_text(_text(table, forecast, found))
    return 0


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ForecastError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ForecastError(f"byte {error.start}: not UTF-8: give a table in CSV") from None


def _whole_seconds(value: str) -> int:
    """Read a length of time: a whole number with s, m, min, h, d or nothing for seconds."""
    match = re.fullmatch(r"(\d{1,9})\s*(s|min|m|h|d|)", value.strip())
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{value!r} is not a length of time such as 90, 5min, 24h or 2d")
    return int(match[1]) * _UNITS_S[match[2]]


def _warnings(table: LoadTable, forecast: Forecast) -> Iterator[str]:
    """Tell what was odd, and what the history is too short for."""
    yield from table.warnings
    if forecast.season == "none":
        yield "less than a season of history: forecasts know the level alone"
    elif forecast.season == "day":
        yield "less than a week of history: every day is taken to be like every other"
    n_silent = int((~(table.loads >= 0).any(axis=1)).sum())
    if n_silent:
        yield f"{n_silent} of {len(table.series)} series have no loads at all and get no forecast"


def _times(table: LoadTable, forecast: Forecast) -> list[str]:
    n_seen = table.loads.shape[1]
    return [table.clock.iso(n_seen + int(horizon) - 1) for horizon in forecast.horizons]


def _document(model: str, table: LoadTable, forecast: Forecast, found: list[Alarm]) -> dict[str, Any]:
    times = _times(table, forecast)
    return {
        "model": model,
        "step_s": table.clock.step_s,
        "season": forecast.season,
        "n_intervals": table.loads.shape[1],
        "coverage_ratio": 0.8,
        "series": [
            {
                "series": name,
                "forecast": [
                    {"time": time, "load": load, "lower": lower, "upper": upper}
                    for time, load, lower, upper in zip(times, *rows, strict=True)
                ],
            }
            for name, *rows in zip(table.series, *_rows(forecast), strict=True)
        ],
        "alarms": [asdict(alarm) for alarm in found],
    }


def _rows(forecast: Forecast) -> Iterator[list[list[float]]]:
    return (part.tolist() for part in (forecast.load, forecast.lower, forecast.upper))


def _csv(table: LoadTable, forecast: Forecast) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["time", "series", "load", "lower", "upper"])
    times = _times(table, forecast)
    for name, *rows in zip(table.series, *_rows(forecast), strict=True):
        for time, *values in zip(times, *rows, strict=True):
            lines.writerow([time, name, *("" if math.isnan(value) else f"{value:.6g}" for value in values)])
    return text.getvalue()


def _text(table: LoadTable, forecast: Forecast, found: list[Alarm]) -> str:
    """Write a line a series: the next interval, the peak ahead, and the first alarm."""
    from qoe.report.tables import aligned, bold_for
    from qoe.report.text import printable

    first: dict[str, Alarm] = {}
    for alarm in found:
        first.setdefault(alarm.series, alarm)
    times = _times(table, forecast)
    rows = []
    for name, load, lower, upper in zip(table.series, *_rows(forecast), strict=True):
        peak = max(range(len(load)), key=lambda i: -1.0 if math.isnan(load[i]) else load[i])
        warned = f"{first[name].time[:16]} ({first[name].probability_ratio:.0%})" if name in first else "–"
        bands = [f"{load[i]:.4g} ({lower[i]:.4g} to {upper[i]:.4g})" for i in (0, peak)]
        rows.append((printable(name), bands[0], times[peak][:16], bands[1], warned))
    n_steps, n_series = table.loads.shape[1], len(table.series)
    about = f"{n_series} series, {n_steps:,} intervals of {table.clock.step_s} s"
    head = f"{about}; from {times[0]} to {times[-1]}\n\n"
    columns = "series >next_interval peak_at >at_the_peak busy_from"
    return head + "\n".join(aligned(columns, rows, bold_for(sys.stdout))) + "\n"
