"""Problems read from JSON, and what is said when they are wrong; allocations as plain types."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.optimise import allocation_to_dict, read_problem, solve
from qoe.optimise.problem import FLOOR_CAP_RATIO, STICKINESS

PROBLEM: dict[str, Any] = {
    "cells": [
        {
            "cell": "A",
            "direction": "down",
            "capacity_bps": 2e7,
            "budget_ratio": 1.0,
            "bearers": [
                {
                    "subscriber": "s1",
                    "class": "video",
                    "weight": 1.0,
                    "tier": "gold",
                    "efficiency_bps": 4e7,
                    "min_share_ratio": 0,
                    "max_share_ratio": 1,
                    "floor_mos": 3.0,
                    "gbr_bps": 1e6,
                    "arp_level": 2,
                    "share_observed_ratio": 0.2,
                    "share_running_ratio": None,
                    "curve": {"rate_bps": [0, 2e6, 8e6], "mos": [1, 3, 4.5], "kind": "step"},
                },
                {
                    "subscriber": "s2",
                    "class": "voip",
                    "share_observed_ratio": 0.1,
                    "curve": {"share_ratio": [0, 0.2, 0.5, 1.0], "mos": [1, 2, 4, 4.4]},
                },
            ],
            "groups": [{"name": "gold", "members": [0], "min_share_ratio": 0.1, "max_share_ratio": 0.8}],
        }
    ],
    "form": "sum",
    "tier_tolerance_ratio": 0.02,
    "alpha": 0,
    "tiers": ["gold", "silver"],
}


def changed(path: list[str | int], value: Any) -> bytes:
    """Return the problem as JSON with one value changed, added, or, if it is `...`, removed."""
    document = copy.deepcopy(PROBLEM)
    at: Any = document
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(document).encode()


def test_everything_is_read() -> None:
    """Each value lands where it belongs; rates become shares; what is left out takes its usual value."""
    (cell,) = read_problem(json.dumps(PROBLEM))
    assert (cell.cell, cell.direction, cell.capacity_bps, cell.tiers) == (
        "A",
        "down",
        2e7,
        ("gold", "silver"),
    )
    assert (cell.subscriber, cell.app_class, cell.tier) == (("s1", "s2"), ("video", "voip"), ("gold", None))
    np.testing.assert_allclose(cell.curves.share, [[0, 0.05, 0.2, 0.2], [0, 0.2, 0.5, 1.0]])
    np.testing.assert_allclose(cell.curves.mos, [[1, 3, 4.5, 4.5], [1, 2, 4, 4.4]])
    assert cell.curves.step.tolist() == [True, False]
    np.testing.assert_allclose(cell.efficiency_bps, [4e7, 2e7])
    np.testing.assert_allclose(cell.floor_mos, [3.0, np.nan])
    np.testing.assert_allclose(cell.gbr_bps, [1e6, np.nan])
    assert (cell.arp_level.tolist(), cell.form, cell.tier_tolerance_ratio) == ([2, 8], "sum", 0.02)
    np.testing.assert_allclose(cell.share_observed_ratio, [0.2, 0.1])
    assert np.isnan(cell.share_running_ratio).all()
    assert (cell.groups[0].name, cell.groups[0].members) == ("gold", (0,))
    assert (cell.alpha, cell.stickiness, cell.floor_cap_ratio) == (0.0, STICKINESS, FLOOR_CAP_RATIO)


def test_a_curve_that_begins_late_begins_at_mos_1() -> None:
    """Nothing is promised for no share."""
    path = ["cells", 0, "bearers", 1, "curve", "share_ratio"]
    (cell,) = read_problem(changed(path, [0.1, 0.2, 0.5, 1.0]))
    np.testing.assert_allclose(cell.curves.share[1], [0, 0.1, 0.2, 0.5, 1.0])
    np.testing.assert_allclose(cell.curves.mos[1], [1, 1, 2, 4, 4.4])


def test_answer_is_json_with_the_keys_of_the_contract() -> None:
    """All keys are there, numbers are plain and finite, and the means are of the rows with their weights."""
    (allocation,) = solve(read_problem(json.dumps(PROBLEM)))
    cell = json.loads(json.dumps(allocation_to_dict(allocation), allow_nan=False))
    expected = "cell direction capacity_bps status objective bound mos_before mos_after mos_bound gap_ratio "
    expected += "shadow_price_capacity shadow_price_floors counterfactual_pf below_mos_2 shed allocations"
    assert set(expected.split()) <= set(cell)
    assert cell["status"] == "optimal"
    rows = cell["allocations"]
    assert [(r["subscriber"], r["class"]) for r in rows] == [("s1", "video"), ("s2", "voip")]
    weight = np.array([r["objective_weight"] for r in rows])
    assert weight.mean() == pytest.approx(1.0)
    for key in ("mos_before", "mos_after"):
        assert cell[key] == pytest.approx(weight @ [r[key] for r in rows] / weight.sum())
    assert cell["mos_before"] <= cell["mos_bound"] >= cell["mos_after"]
    assert sum(r["share_ratio"] for r in rows) <= 1 + 1e-9
    assert rows[0]["rate_bps"] == pytest.approx(rows[0]["share_ratio"] * 4e7)
    assert np.mean([r["weight"] for r in rows]) == pytest.approx(1.0)
    assert [p["subscriber"] for p in cell["shadow_price_floors"]] == ["s1"]
    assert {"mos", "allocations"} == set(cell["counterfactual_pf"])


def test_shed_promises_and_unknown_values_are_json_too() -> None:
    """Names of the shed, None for what is not known."""
    document = copy.deepcopy(PROBLEM)
    first, second = document["cells"][0]["bearers"]
    first["floor_mos"], second["share_observed_ratio"] = 4.9, None
    document["cells"][0]["groups"] = [
        {"name": "a", "members": [0], "min_share_ratio": 0.7},
        {"name": "b", "members": [1], "min_share_ratio": 0.6},
    ]
    cell = json.loads(
        json.dumps(allocation_to_dict(solve(read_problem(json.dumps(document)))[0]), allow_nan=False)
    )
    assert cell["status"] == "promises_cut"
    assert cell["mos_before"] is None
    floor, group = sorted(cell["shed"], key=lambda s: s["kind"])
    assert (floor["subscriber"], floor["class"], floor["reason"]) == ("s1", "video", "unreachable")
    assert floor["needed_share_ratio"] is None
    assert (group["group"], group["reason"]) == ("b", "capacity")


BEARER = ["cells", 0, "bearers", 0]
CURVE = [*BEARER, "curve"]
GROUP = ["cells", 0, "groups", 0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["cells"], ..., "$: Object missing required field `cells`"),
        (["cell"], [], "$: Object contains unknown field `cell`"),
        (["cells", 0, "colour"], 1, "$.cells[0]: Object contains unknown field `colour`"),
        ([*BEARER, "floor"], 1, "$.cells[0].bearers[0]: Object contains unknown field `floor`"),
        ([*CURVE, "x"], 1, "$.cells[0].bearers[0].curve: Object contains unknown field `x`"),
        (["cells", 0, "direction"], "left", "$.cells[0].direction: 'left' is neither"),
        (["cells", 0, "capacity_bps"], -1, "$.cells[0].capacity_bps: -1: a finite number, 0 or more"),
        (["cells", 0, "budget_ratio"], 0, "$.cells[0].budget_ratio: 0: a finite number, above 0"),
        (["alpha"], -0.5, "$.cells[0].alpha: -0.5"),
        (["stickiness"], 0.5, "$.cells[0].stickiness: 0.5"),
        (["floor_cap_ratio"], 1.5, "$.cells[0].floor_cap_ratio: 1.5"),
        (["form"], "fairest", "$.cells[0].form: 'fairest' is not one of sum, max_min, lexicographic"),
        (
            ["tier_tolerance_ratio"],
            1,
            "$.cells[0].tier_tolerance_ratio: 1: a finite number, 0 to less than 1",
        ),
        ([*BEARER, "gbr_bps"], 0, "$.cells[0].bearers[0].gbr_bps: 0: null, or a finite number, above 0"),
        ([*BEARER, "arp_level"], 16, "$.cells[0].bearers[0].arp_level: 16: a whole number, 1 to 15"),
        ([*BEARER, "arp_level"], 1.5, "$.cells[0].bearers[0].arp_level: Expected `int`, got `float`"),
        ([*BEARER, "weight"], -1, "$.cells[0].bearers[0].weight: -1"),
        ([*BEARER, "weight"], "1", "$.cells[0].bearers[0].weight: Expected `float`, got `str`"),
        ([*BEARER, "min_share_ratio"], -0.1, "$.cells[0].bearers[0].min_share_ratio: -0.1"),
        ([*BEARER, "max_share_ratio"], -0.1, "$.cells[0].bearers[0].max_share_ratio: -0.1"),
        (
            [*BEARER, "floor_mos"],
            5.5,
            "$.cells[0].bearers[0].floor_mos: 5.5: null, or a finite number, 1 to 5",
        ),
        ([*BEARER, "share_observed_ratio"], -1, "$.cells[0].bearers[0].share_observed_ratio: -1"),
        ([*BEARER, "efficiency_bps"], 0, "$.cells[0].bearers[0].efficiency_bps: 0: rates need"),
        ([*BEARER, "tier"], "tin", "$.cells[0].bearers[0].tier: 'tin' is not one of the tiers: gold, silver"),
        ([*CURVE, "kind"], "curvy", "$.cells[0].bearers[0].curve.kind: 'curvy' is neither"),
        (
            [*CURVE, "share_ratio"],
            [0, 1, 2],
            "$.cells[0].bearers[0].curve: give either share_ratio or rate_bps",
        ),
        ([*CURVE, "mos"], [1, 2], "$.cells[0].bearers[0].curve: 3 of rate_bps but 2 of mos"),
        ([*CURVE, "mos"], [1, 3, 2], "$.cells[0].bearers[0].curve.mos[2]: 2: a curve must not fall"),
        ([*CURVE, "mos"], [1, 3, 5.1], "$.cells[0].bearers[0].curve.mos[2]: 5.1: a number from 1 to 5"),
        ([*CURVE, "mos"], [0, 3, 5], "$.cells[0].bearers[0].curve.mos[0]: 0: a number from 1 to 5"),
        ([*CURVE, "mos"], [1, None, 5], "$.cells[0].bearers[0].curve.mos[1]: Expected `float`, got `null`"),
        (
            [*CURVE, "rate_bps"],
            [0, 5, 4],
            "$.cells[0].bearers[0].curve.rate_bps[2]: 4: a curve must not fall",
        ),
        ([*CURVE, "rate_bps"], [-1, 5, 6], "$.cells[0].bearers[0].curve.rate_bps[0]: -1: a number from 0"),
        ([*CURVE, "rate_bps"], [0, 1e-200, 6], "$.cells[0].bearers[0].curve.rate_bps[1]: 1e-200: too small"),
        ([*GROUP, "members"], [2], "$.cells[0].groups[0].members[0]: 2: the cell has bearers 0 to 1"),
        ([*GROUP, "members"], [1, 1], "$.cells[0].groups[0].members[1]: 1: listed twice"),
        ([*GROUP, "members"], [], "$.cells[0].groups[0].members: a group needs a member"),
        ([*GROUP, "min_share_ratio"], -1, "$.cells[0].groups[0].min_share_ratio: -1"),
        ([*GROUP, "max_share_ratio"], 0.05, "$.cells[0].groups[0].max_share_ratio: 0.05: must not be below"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(path: list[str | int], value: Any, message: str) -> None:
    """One thing wrong: one line that begins with where it is."""
    with pytest.raises(ProblemError) as caught:
        read_problem(changed(path, value))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b'{"cells": [NaN]}', b'{"cells": 1e999}', b"[]", "null"]
)
def test_what_is_not_a_problem_is_refused(text: bytes | str) -> None:
    """Not JSON, not UTF-8, NaN, or of another shape."""
    with pytest.raises(ProblemError, match=r"^\$"):
        read_problem(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_must_be_finite(number: str) -> None:
    """JSON knows no NaN and no infinity, nor does a number that overflows pass for one."""
    text = json.dumps(PROBLEM).replace('"capacity_bps": 20000000.0', f'"capacity_bps": {number}')
    assert number in text
    with pytest.raises(ProblemError, match=r"^\$"):
        read_problem(text)


def test_twice_the_same_bearer_cell_or_group_is_refused() -> None:
    """Names are unique: bearers by subscriber and class, cells by name and direction, groups by name."""
    again = copy.deepcopy(PROBLEM)
    cell = again["cells"][0]
    cell["bearers"].append(cell["bearers"][0])
    with pytest.raises(
        ProblemError, match=r"^\$\.cells\[0\]\.bearers\[2\]: subscriber 's1' has class 'video' twice"
    ):
        read_problem(json.dumps(again))
    with pytest.raises(ProblemError, match=r"^\$\.cells\[1\]: cell 'A' down occurs twice"):
        read_problem(json.dumps({**PROBLEM, "cells": PROBLEM["cells"] * 2}))
    with pytest.raises(ProblemError, match=r"^\$\.cells\[0\]\.groups\[1\]\.name: group 'gold' occurs twice"):
        read_problem(changed(["cells", 0, "groups"], PROBLEM["cells"][0]["groups"] * 2))


def test_all_weights_0_is_refused() -> None:
    """Nothing to maximise."""
    document = copy.deepcopy(PROBLEM)
    for bearer in document["cells"][0]["bearers"]:
        bearer["weight"] = 0
    with pytest.raises(ProblemError, match=r"^\$\.cells\[0\]\.bearers: every weight is 0"):
        read_problem(json.dumps(document))
