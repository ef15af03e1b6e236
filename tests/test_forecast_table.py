"""Tables of loads and ``qoe forecast``: shapes, clocks, gaps, what is written, what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qoe.cli import main
from qoe.errors import ForecastError
from qoe.forecast import Clock, SeasonalLevel, read_loads
from qoe.tools.loads import random_loads


def read(text: str, **options: Any) -> Any:
    """Read a table from its text."""
    return read_loads(io.StringIO(text), **options)


def test_wide_table_is_rows_of_loads() -> None:
    """A series a line; empty fields and early ends are gaps, and the ends are told."""
    table = read("1,2,,4\n5,6\n\n0,0,0,0\n", step_s=900, start="2026-03-02T06:00:00+01:00")
    expected = [[1, 2, np.nan, 4], [5, 6, np.nan, np.nan], [0, 0, 0, 0]]
    np.testing.assert_array_equal(table.loads, expected)
    assert table.series == ["1", "2", "3"]
    assert table.clock == Clock(900, 1772427600.0)
    assert table.warnings == ["1 of 3 series end early: the rest is taken for a gap"]


def test_long_table_is_put_on_a_grid() -> None:
    """Lines in any order, names of three parts, a missing interval is a gap, the step is found."""
    table = read(
        "time,cell,direction,class,load,capacity\n"
        "2026-03-02T08:30:00+01:00,north,down,video,3,10\n"
        "2026-03-02T07:00:00Z,north,down,video,1,10\n"
        "1772438400,north,down,video,2,\n"
        "2026-03-02T07:00:00Z,south,,,,\n"
    )
    assert table.series == ["north/down/video", "south"]
    assert table.clock == Clock(1800, 1772434800.0)
    np.testing.assert_array_equal(table.loads, [[1, 3, 2], [np.nan] * 3])
    np.testing.assert_array_equal(table.capacity, [10, np.inf])


def test_times_without_offset_are_local() -> None:
    """The hour that comes twice in autumn is told apart by its offset, or taken in UTC."""
    lines = "time,load\n2026-10-25T01:00:00,1\n2026-10-25T04:00:00,2\n"
    assert read(lines, step_s=3600).loads.shape == (1, 4)
    assert read(lines, step_s=3600, timezone="Europe/Rome").loads.shape == (1, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("1,2\n1,x\n", "line 2: load 'x': give a number"),
        ("1,-2\n", "line 1: load '-2'"),
        ("1,inf\n", "line 1: load 'inf'"),
        ("time,cell\n", "line 1: no column 'load'"),
        ("cell,load\nnorth,1\n", "line 1: no column 'time'"),
        ("time,load\n", "a header and no lines"),
        ("time,load\n0,1\n", "all lines have the same time: give the step"),
        ("time,load\n0,1,2\n", "line 2: 3 fields, but the header names 2"),
        ("time,load\nyesterday,1\n", "line 2: time: 'yesterday': give ISO 8601"),
        ("time,load\n0,1\n60,1\n60,2\n", "line 4: the same series and interval of 60 s as line 3"),
        ("time,load\n0,1\n7000,1\n", "step_s: 7000 s does not divide the day"),
        ("time,load\n0,1\n1,1\n9e11,1\n", "intervals of 1 s: give a longer step"),
        ("time,load,capacity\n0,1,0\n60,1,0\n", "line 2: capacity '0'"),
        ('time,load\n"0,1', "line 2: "),
    ],
)
def test_bad_tables_are_refused_with_their_line(text: str, message: str) -> None:
    """What is wrong, in which line, and what to give instead."""
    with pytest.raises(ForecastError, match=message):
        read(text)


# the command


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three weeks of two cells, hourly, as a long table with capacities."""
    path = tmp_path / "load.csv"
    loads = random_loads(1, 2, 21)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["time", "cell", "load", "capacity"])
        for name, row in zip(("north", "south"), loads, strict=True):
            for hour, load in enumerate(row):
                lines.writerow([1772323200 + 3600 * hour, name, load, row.max()])
    return path


def test_json_holds_what_the_model_says(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every interval of every series with its band, at the times that follow, and the alarms in it."""
    assert main(["forecast", str(table), "--horizon", "6h", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    loads = random_loads(1, 2, 21)
    model = SeasonalLevel(2, Clock(3600, 1772323200), loads.max(axis=1))
    model.fit(loads)
    forecast = model.predict(range(1, 7))
    assert [series["series"] for series in written["series"]] == ["north", "south"]
    for row, series in enumerate(written["series"]):
        for key in ("load", "lower", "upper"):
            np.testing.assert_allclose([f[key] for f in series["forecast"]], getattr(forecast, key)[row])
    assert written["series"][0]["forecast"][0]["time"] == "2026-03-22T00:00:00+00:00"
    assert (written["season"], written["step_s"], written["n_intervals"]) == ("week", 3600, 504)
    assert all(0.25 <= alarm["probability_ratio"] <= 1 for alarm in written["alarms"])


def test_csv_and_table_show_the_same(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV has a line an interval, the table a line a series; both begin with the same number."""
    assert main(["forecast", str(table), "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(lines) == 48
    assert list(lines[0]) == ["time", "series", "load", "lower", "upper"]
    assert main(["forecast", str(table)]) == 0
    shown = capsys.readouterr().out
    assert f"{float(lines[0]['load']):.4g} (" in shown
    assert shown.startswith("2 series, 504 intervals of 3600 s; from 2026-03-22T00:00:00+00:00")


def test_alarms_come_as_tmf642(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A day ahead has a busy hour: its alarm names the cell."""
    assert main(["forecast", str(table), "--horizon", "2d", "--tmf642"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert {alarm["alarmedObject"]["id"] for alarm in written} <= {"north", "south"}
    assert all(alarm["state"] == "raised" for alarm in written)
    assert written


def test_short_histories_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be known is a warning on stderr, and the forecast is made all the same."""
    path = tmp_path / "short.csv"
    for n_hours, message in ((5, "less than a season of history"), (60, "less than a week of history")):
        path.write_text(",".join(["5"] * n_hours) + "\n" + "," * (n_hours - 1) + "\n1\n")
        assert main(["forecast", str(path), "--horizon", "1h"]) == 0
        shown = capsys.readouterr()
        assert message in shown.err
        assert "5 (5 to 5)" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.csv"], 1, "missing.csv: cannot be read: No such file or directory"),
        (["bad.csv"], 1, "bad.csv: byte 0: not UTF-8"),
        (["load.csv", "--horizon", "soon"], 2, "'soon' is not a length of time"),
        (["load.csv", "--step", "0"], 2, "'0' is not a length of time"),
        (["load.csv", "--model", "oracle"], 1, "load.csv: model: there is no 'oracle'"),
        (["load.csv", "--timezone", "Mars/Olympus"], 1, "load.csv: timezone: 'Mars/Olympus' is not known"),
        (
            ["load.csv", "--step", "2h"],
            1,
            "load.csv: line 3: the same series and interval of 7200 s as line 2",
        ),
    ],
)
def test_usage_is_told_in_one_line(
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    """The file and what is wrong with it, in one line on stderr."""
    monkeypatch.chdir(table.parent)
    Path("bad.csv").write_bytes(b"\xff\xfe")
    assert main(["forecast", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert shown.err.count("\n") == 1
