"""Coupled cells read from JSON and written to it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qoe.cli import main
from qoe.errors import ProblemError
from qoe.optimise import coupled_to_dict, is_coupled, read_coupled, read_problem, solve_coupled

CURVE = {"share_ratio": [0, 0.5, 1], "mos": [1, 4, 4.5]}
PROBLEM: dict[str, Any] = {
    "cells": [
        {"cell": "a", "capacity_bps": 1e7, "bearers": [{"subscriber": "x", "class": "web", "curve": CURVE}]},
        {"cell": "b", "capacity_bps": 2e7, "bearers": [{"subscriber": "y", "class": "web", "curve": CURVE}]},
    ],
    "links": [{"name": "hub", "capacity_bps": 1.2e7, "cells": ["a", "b"]}],
    "split": [
        {
            "subscriber": "z",
            "class": "video",
            "legs": [
                {"cell": "a", "efficiency_bps": 8e6},
                {"cell": "b", "efficiency_bps": 1e7, "max_share_ratio": 0.5},
            ],
            "curve": {"rate_bps": [1e6, 3e6], "mos": [2, 4], "kind": "step"},
            "floor_mos": 2,
        }
    ],
}


def changed(path: list[str | int], value: Any) -> bytes:
    """Return the problem as JSON with one value changed."""
    document = copy.deepcopy(PROBLEM)
    at: Any = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(document).encode()


def test_everything_is_read() -> None:
    """Links, split bearers, legs, defaults filled in; a curve that begins late begins at MOS 1."""
    problem = read_coupled(json.dumps(PROBLEM))
    assert [c.cell for c in problem.cells] == ["a", "b"]
    (link,), (bearer,) = problem.links, problem.split
    assert (link.name, link.capacity_bps, link.cells, link.direction) == ("hub", 1.2e7, ("a", "b"), "down")
    assert [leg.max_share_ratio for leg in bearer.legs] == [np.inf, 0.5]
    np.testing.assert_allclose(bearer.rate_bps, [0.0, 1e6, 3e6])
    np.testing.assert_allclose(bearer.mos, [1.0, 2.0, 4.0])
    assert (bearer.step, bearer.floor_mos, bearer.weight) == (True, 2.0, 1.0)


def test_the_answer_adds_up() -> None:
    """Rows are plain and finite; rates of a link's cells are its load; a leg is a row of its cell."""
    problem = read_coupled(json.dumps(PROBLEM))
    answer = json.loads(json.dumps(coupled_to_dict(problem, solve_coupled(problem)), allow_nan=False))
    rows = [row for cell in answer["cells"] for row in cell["allocations"]]
    assert sum(row["rate_bps"] for row in rows) == pytest.approx(answer["links"][0]["load_bps"])
    assert answer["links"][0]["load_bps"] <= 1.2e7 * (1 + 1e-9)
    (split,) = answer["split"]
    assert split["rate_bps"] == pytest.approx(sum(r["rate_bps"] for r in rows if r["subscriber"] == "z"))
    assert split["mos_after"] >= 2.0
    assert answer["objective"] <= answer["bound"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["links", 0, "cells"], ["a", "c"], "$.links[0].cells[1]: there is no cell 'c' down"),
        (["links", 0, "width"], 1, "$.links[0]: Object contains unknown field `width`"),
        (["split", 0, "curve", "kind"], "soft", "$.split[0].curve.kind: 'soft' is neither"),
        (["split", 0, "curve", "mos"], [4, 2], "$.split[0].curve.mos[1]: 2: a curve must not fall"),
        (["split", 0, "legs"], [{"cell": "a"}], "$.split[0].legs[0]: Object missing required field"),
        (["form"], "max_min", "$.cells[0].form: coupled cells"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(path: list[str | int], value: Any, message: str) -> None:
    """One thing wrong: one line that begins with where it is."""
    with pytest.raises(ProblemError) as caught:
        read_coupled(changed(path, value))
    assert str(caught.value).startswith(message)


def test_each_reader_takes_its_own() -> None:
    """Coupled problems are told from others, and not taken for them."""
    assert is_coupled(json.dumps(PROBLEM))
    assert not is_coupled(json.dumps({"cells": PROBLEM["cells"]}))
    with pytest.raises(ProblemError, match=r"^\$\.links: cells that hang together"):
        read_problem(json.dumps(PROBLEM))


def test_the_command_takes_both(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """``qoe optimise`` writes the coupled answer as JSON and as a table."""
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(PROBLEM))
    assert main(["optimise", str(path)]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert {"cells", "links", "split", "bound"} <= set(answer)
    assert main(["optimise", str(path), "--table"]) == 0
    table = capfd.readouterr().out
    assert "Cell a" in table
    assert "z" in table
