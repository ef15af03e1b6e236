"""Where the command line writes: never over a capture, never at the price of the result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import results

from qoe.cli import main
from qoe.config import load_cells
from qoe.errors import ConfigError, ProblemError
from qoe.optimise import read_problem
from qoe.report import story

EXAMPLE = Path(__file__).parent.parent / "examples" / "busy-cell.pcapng"


@pytest.mark.parametrize("name", ["flows.csv", "result.json", "report.html", "weights.csv"])
def test_out_never_overwrites_a_capture(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A capture that has the name of an output is refused, and left as it was."""
    capture = tmp_path / name
    shutil.copy(EXAMPLE, capture)
    assert main(["replay", str(capture), "--out", str(tmp_path)]) == 1
    assert "is one of the captures" in capsys.readouterr().err
    assert capture.read_bytes() == EXAMPLE.read_bytes()


def test_a_page_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing folder is one line, at once."""
    assert main(["replay", str(EXAMPLE), "--html", str(tmp_path / "no" / "page.html")]) == 1
    captured = capsys.readouterr()
    assert "there is no folder" in captured.err
    assert captured.err.count("\n") == 1


def test_the_result_comes_before_the_files(tmp_path: Path) -> None:
    """What was computed is printed though a file cannot be written then."""
    (tmp_path / "report.html").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "qoe", "replay", str(EXAMPLE), "--json", "--out", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["packets"] == 22_919
    assert "report.html" in done.stderr


@pytest.mark.parametrize("arguments", ["replay {} --capacity 20M", "flows {}"])
def test_without_standard_output(arguments: str, tmp_path: Path) -> None:
    """A closed standard output is no internal error."""
    command = f"{sys.executable} -P -m qoe {arguments.format(EXAMPLE)} >&-"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "internal error" not in done.stderr


CELLS = """
[[cell]]
name = "a"
capacity_down = 1e6
[[cell.subscriber]]
name = "ana"
addresses = ["10.0.0.1"]
[[cell]]
name = "b"
capacity_down = 1e6
[[cell.subscriber]]
name = "ben"
addresses = ["::ffff:10.0.0.1"]
"""


def test_one_address_in_two_spellings_is_one(tmp_path: Path) -> None:
    """An IPv4 address mapped into IPv6 is the same subscriber's."""
    path = tmp_path / "cells.toml"
    path.write_text(CELLS)
    with pytest.raises(ConfigError, match="ana"):
        load_cells(path)


def test_weights_are_bounded(tmp_path: Path) -> None:
    """A weight that arithmetic cannot bear is refused by its key."""
    path = tmp_path / "cells.toml"
    path.write_text(
        CELLS.replace('name = "ana"', 'name = "ana"\nweight = 1e308').replace("::ffff:10.0.0.1", "10.0.0.2")
    )
    with pytest.raises(ConfigError, match=r"subscriber\[0\].*1e-6 to 1e6"):
        load_cells(path)


@pytest.mark.parametrize(("text", "said"), [("", "empty"), ('{"cells": [NaN]}', "NaN and Infinity")])
def test_a_problem_that_is_no_json_says_how_to_mend_it(text: str, said: str) -> None:
    """An empty file and NaN are told from other mistakes."""
    with pytest.raises(ProblemError, match=said):
        read_problem(text)


def test_no_gain_is_claimed_where_no_weight_binds() -> None:
    """An idle cell, and one whose observed shares never fitted, get a sentence instead of a promise."""
    idle = " ".join(story.change_sentence(results.cell(load_bps=2e6, load_ratio=0.1)))
    assert "not full" in idle
    assert "raise" not in idle
    rows = [results.allocation(name, share_before_ratio=0.9) for name in ("ana", "ben")]
    wrong = " ".join(story.change_sentence(results.cell(load_ratio=1.0, allocations=rows)))
    assert "is the capacity right?" in wrong
