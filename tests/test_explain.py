"""Explanations: every number against a solve, a loop or SciPy that knows nothing of how it was found."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from qoe.optimise import (
    CellProblem,
    Group,
    History,
    allocation_to_dict,
    explain,
    explained_to_dict,
    explanation_to_dict,
    solve,
)
from qoe.optimise.counterfactual import (
    POLICIES,
    PRIORITY,
    equal_shares,
    strict_priority,
    water_fill,
    weighted_proportional_fair,
)
from qoe.optimise.curves import evaluate
from qoe.report import result as report
from qoe.schema import Curves
from qoe.tools.cells import random_cells


def problem(
    curves: list[tuple[list[float], list[float]]], classes: list[str] | None = None, **terms: Any
) -> CellProblem:
    """A cell of 10 Mbit/s with linear curves, given as shares and MOS."""
    n_points = max(len(x) for x, _ in curves)
    share, mos = (
        np.array([np.pad(row[k], (0, n_points - len(row[k])), mode="edge") for row in curves], np.float64)
        for k in (0, 1)
    )
    names = [f"u{i}" for i in range(len(curves))]
    table = Curves(share, mos, np.zeros(len(curves), np.bool_))
    return CellProblem.build("c", "down", 1e7, names, classes or ["web"] * len(curves), table, **terms)


LINE = ([0.0, 1.0], [1.0, 5.0])
BENT = ([0.0, 0.4, 1.0], [1.0, 3.4, 4.0])


def explained(cell: CellProblem, **options: Any) -> Any:
    """Solve and explain one cell."""
    allocations = solve([cell])
    return explain([cell], allocations, **options)[0], allocations[0]


def test_price_of_capacity_is_the_slope() -> None:
    """Two concave curves: the next percent goes to the steepest segment left, at its slope."""
    why, _ = explained(problem([BENT, ([0.0, 0.6, 1.0], [1.0, 4.0, 4.2])]))
    # 0.4 + 0.6 fill both steep segments; what is next is worth max(0.6 / 0.6, 0.2 / 0.4) a unit of share
    assert why.mean_mos_per_percent == pytest.approx(0.01 * 1.0 / 2)
    assert why.mean_mos_per_mbps == pytest.approx(10 * why.mean_mos_per_percent)


@pytest.mark.parametrize("seed", range(4))
def test_price_of_capacity_against_a_larger_cell(seed: int) -> None:
    """Concave cells solved again with 1 % more budget gain what was said."""
    (cell,) = random_cells(seed, 1, 12, kinds=("concave",))
    why, allocation = explained(cell, trade_off=False)
    larger = solve([replace(cell, budget_ratio=1.01, max_share_ratio=cell.max_share_ratio * 1.01)])[0]
    gain = larger.mean_mos_after - allocation.mean_mos_after
    assert why.mean_mos_per_percent == pytest.approx(gain, rel=0.02, abs=1e-5)


def test_price_of_a_floor_is_what_its_lifting_gives_the_others() -> None:
    """A floor for who makes little of a share costs the others what a solve without it gives them."""
    weak = ([0.0, 1.0], [1.0, 2.0])
    cell = problem([weak, BENT, LINE], floor_mos=[1.3, np.nan, np.nan])
    why, with_it = explained(cell)
    (price,) = (p for p in why.promise_prices if p.kind == "floor")
    without = solve([replace(cell, floor_mos=np.full(3, np.nan))])[0]
    change = with_it.mos_after - without.mos_after
    assert (price.name, price.members) == ("u0", (0,))
    assert price.own_mos == pytest.approx(change[0], abs=1e-6) == pytest.approx(0.3, abs=1e-6)
    assert price.others_mos == pytest.approx(-change[1:].mean(), abs=1e-6)
    assert price.others_mos > 0.2


def test_a_floor_that_does_not_bind_has_no_price() -> None:
    """What is had anyway costs nobody anything."""
    why, _ = explained(problem([LINE, BENT], floor_mos=[1.1, np.nan]))
    assert all(p.kind != "floor" for p in why.promise_prices)


def test_price_of_a_tier_is_that_of_its_weight() -> None:
    """Gold counts twice: beside the same cell with equal weights it has more and the others less."""
    terms: dict[str, Any] = {"tier": ["gold", None, None], "tiers": ["gold"]}
    cell = problem([([0.0, 1.0], [1.0, 4.0]), BENT, BENT], weight=[2.5, 1.0, 1.0], **terms)
    why, gold = explained(cell)
    (price,) = (p for p in why.promise_prices if p.kind == "tier_weight")
    equal = solve([replace(cell, weight=np.ones(3))])[0]
    change = gold.mos_after - equal.mos_after
    assert price.name == "gold"
    assert price.own_mos == pytest.approx(change[0], abs=1e-6)
    assert price.others_mos == pytest.approx(-change[1:].mean(), abs=1e-6)
    assert price.own_mos > 0.5
    level, _ = explained(replace(cell, weight=np.ones(3)))
    assert all(p.kind != "tier_weight" for p in level.promise_prices)


def test_price_of_a_tiers_floors_and_of_a_group() -> None:
    """Floors of a tier are lifted together; a group's minimum has its price as well."""
    weak = ([0.0, 1.0], [1.0, 2.0])
    gold = {"tier": ["gold", "gold", None], "tiers": ["gold"], "floor_mos": [1.2, 1.2, np.nan]}
    why, with_them = explained(problem([weak, weak, LINE], **gold))
    (price,) = (p for p in why.promise_prices if p.kind == "tier_floors")
    assert price.members == (0, 1)
    assert price.own_mos == pytest.approx(0.2, abs=1e-6)
    assert price.others_mos == pytest.approx(5.0 - with_them.mos_after[2], abs=1e-6)
    grouped, _ = explained(problem([weak, weak, LINE], groups=[Group("slice", (0, 1), 0.3)]))
    (minimum,) = grouped.promise_prices
    assert (minimum.kind, minimum.name) == ("group_min", "slice")
    assert minimum.others_mos == pytest.approx(1.2, abs=1e-6)


def test_who_is_badly_off_and_what_lifts_it() -> None:
    """Who is starved for the sake of the sum: share and capacity by hand, the others' loss by a solve."""
    weak = ([0.0, 1.0], [1.0, 3.0])
    cell = problem([weak, LINE])
    why, now = explained(cell)
    (row,) = why.badly_off
    assert (row.index, row.obstacle, row.target_mos, row.mos) == (0, "", 2.0, 1.0)
    assert row.needed_share_ratio == pytest.approx(0.5)
    assert row.more_capacity_ratio == pytest.approx(0.5)
    lifted = solve([replace(cell, floor_mos=np.array([2.0, np.nan]))])[0]
    assert row.others_mos == pytest.approx(now.mos_after[1] - lifted.mos_after[1], abs=1e-6)
    assert math.isnan(row.since_s)


@pytest.mark.parametrize(
    ("curve", "terms", "obstacle"),
    [
        (([0.0, 1.0], [1.0, 1.8]), {}, "radio"),
        (([0.0, 0.01, 1.0], [1.0, 1.8, 1.8]), {}, "path"),
        (([0.0, 1.0], [1.0, 2.5]), {"max_share_ratio": [0.2, 1.0]}, "max_share"),
        (([0.0, 1.0], [1.0, 2.5]), {"min_share_ratio": [0.0, 0.9]}, "promises"),
    ],
)
def test_what_no_share_can_do(
    curve: tuple[list[float], list[float]], terms: dict[str, Any], obstacle: str
) -> None:
    """Weak radio, a bad path, an own maximum and others' promises are told apart."""
    why, _ = explained(problem([curve, LINE], **terms))
    row = next(r for r in why.badly_off if r.index == 0)
    assert row.obstacle == obstacle
    assert math.isnan(row.others_mos)


def test_a_missed_floor_is_badly_off_too() -> None:
    """Who ends at 2.6 with a floor of 4 is told of, with 4 as what it is to be lifted to."""
    terms: dict[str, Any] = {"floor_mos": [4.0, np.nan], "weight": [0.5, 1.0], "floor_cap_ratio": 0.4}
    cell = problem([LINE, LINE], **terms)
    why, allocation = explained(cell)
    assert allocation.mos_after[0] < 4.0
    row = next(r for r in why.badly_off if r.index == 0)
    assert row.target_mos == 4.0
    assert row.needed_share_ratio == pytest.approx(0.75)


def test_equal_shares_are_equal() -> None:
    """Each has the same, of use or not, within its maximum."""
    cell = problem([LINE, BENT, LINE, LINE], max_share_ratio=[1, 1, 1, 0.1])
    assert equal_shares(cell, 1.0).share_ratio.tolist() == [0.25, 0.25, 0.25, 0.1]


@pytest.mark.parametrize("seed", range(5))
def test_strict_priority_agrees_with_a_loop(seed: int) -> None:
    """Class after class: the next is served only with what the class before has no use for."""
    (cell,) = random_cells(seed, 1, 9)
    given = strict_priority(cell, 1.0)
    left = 1.0
    for app_class in PRIORITY:
        rows = [i for i in range(9) if cell.app_class[i] == app_class]
        use = [cell.curves.share[i][np.argmax(cell.curves.mos[i])] for i in rows]
        got = given.share_ratio[rows].sum()
        assert got == pytest.approx(min(left, sum(np.minimum(use, 1.0))), abs=1e-9)
        left -= got
    np.testing.assert_allclose(given.mos, evaluate(cell.curves, given.share_ratio))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.2, 5.0)), min_size=2, max_size=5),
    st.floats(0.1, 1.0),
)
def test_weighted_filling_is_the_weighted_log_optimum(rows: list[tuple[float, float]], budget: float) -> None:
    """The level of water maximises the weighted sum of logarithms (SLSQP)."""
    demand, weight = np.array(rows).T
    share = water_fill(demand, budget, weight)
    assert share.sum() == pytest.approx(min(budget, demand.sum()))
    assert np.all(share <= demand + 1e-12)
    start = demand * min(1.0, budget / demand.sum()) * 0.9
    found = minimize(
        lambda s: -weight @ np.log(s),
        start,
        jac=lambda s: -weight / s,
        bounds=[(1e-6, d) for d in demand],
        constraints={"type": "ineq", "fun": lambda s: budget - s.sum(), "jac": lambda s: -np.ones(s.size)},
        method="SLSQP",
    )
    assert weight @ np.log(share) >= -found.fun - 1e-6 * (1 + abs(found.fun))


def test_without_a_weight_there_is_no_share() -> None:
    """Zero weight is served by no weighted policy, even where there is room."""
    assert water_fill(np.array([0.5, 0.5]), 1.0, np.array([0.0, 1.0])).tolist() == [0.0, 0.5]
    cell = problem([LINE, LINE], weight=[3.0, 1.0])
    assert weighted_proportional_fair(cell, 1.0).share_ratio.tolist() == [0.75, 0.25]


def test_trade_off_runs_from_the_mean_to_the_worst_off() -> None:
    """On concave curves alpha 0 has the best mean, max-min the best minimum, and the mean never rises."""
    cells = random_cells(1, 6, 10, kinds=("concave",), load=(2.0, 3.0))
    allocations = solve(cells)
    for allocation, why in zip(allocations, explain(cells, allocations), strict=True):
        alphas = [p.alpha for p in why.trade_off]
        means = [p.mean_mos for p in why.trade_off]
        assert alphas == sorted(alphas)
        assert alphas[0] == 0.0
        assert means[0] == pytest.approx(allocation.mean_mos_after, abs=2e-3)
        assert np.all(np.diff(means) <= 2e-3)
        if math.isinf(alphas[-1]):
            assert why.trade_off[-1].p5_mos >= why.trade_off[0].p5_mos - 1e-6


def test_policies_are_beside_the_allocation() -> None:
    """All policies are there, none above the bound where nothing is promised; 5th percentile and counts."""
    cells = random_cells(2, 5, 30)
    allocations = solve(cells)
    for allocation, why in zip(allocations, explain(cells, allocations, trade_off=False), strict=True):
        assert list(why.policies) == ["allocation", *POLICIES]
        for policy in why.policies.values():
            assert policy.mean_mos <= allocation.mos_bound + 1e-9
            ranked = np.sort(policy.mos)
            assert ranked[1] <= policy.p5_mos <= ranked[2]  # 5 % of 29 steps: 1.45
            assert policy.n_below(3.0) == sum(m < 3.0 for m in policy.mos.tolist())
        assert why.policies["allocation"].mean_mos == allocation.mean_mos_after
        assert why.policies["pf"].mean_mos == pytest.approx(allocation.pf.mean_mos)
        assert why.trade_off == ()


def test_a_batch_is_explained_as_each_cell_alone() -> None:
    """What is asked in one go, in parts, answers each cell as if it were alone."""
    cells = random_cells(7, 12, (2, 25), floors=True)
    allocations = solve(cells)
    together = [
        explanation_to_dict(*pair) for pair in zip(explain(cells, allocations), allocations, strict=True)
    ]
    for cell, allocation, whole in zip(cells, allocations, together, strict=True):
        (alone,) = explain([cell], [allocation])
        assert explanation_to_dict(alone, allocation) == whole


def test_cells_with_nothing_to_decide() -> None:
    """Without bearers or capacity there is an explanation that says nothing was to be had."""
    empty = CellProblem.build("e", "down", 1e6, [], [], Curves(*np.zeros((2, 0, 2)), np.zeros(0, np.bool_)))
    dead = replace(problem([LINE, BENT]), capacity_bps=0.0)
    allocations = solve([empty, dead])
    for why, allocation in zip(explain([empty, dead], allocations), allocations, strict=True):
        assert why.mean_mos_per_percent == 0.0
        assert why.promise_prices == ()
        json.dumps(explanation_to_dict(why, allocation), allow_nan=False)


def test_the_json_is_the_reports_struct() -> None:
    """What is printed has the fields of the report's struct, finite numbers, and comes back through it."""
    cells = random_cells(11, 3, 20, floors=True)
    allocations = solve(cells)
    since = [np.full(20, 1e9) for _ in cells]
    for why, allocation in zip(explain(cells, allocations, since_s=since), allocations, strict=True):
        told = json.loads(json.dumps(explained_to_dict(allocation, why), allow_nan=False))["explanation"]
        struct = msgspec.convert(told, report.Explanation, strict=True)
        assert msgspec.to_builtins(struct) == told
        assert all(row.since_s == 1e9 for row in struct.badly_off)
        assert [p.policy for p in struct.policies] == ["allocation", *POLICIES]
    assert "explanation" not in allocation_to_dict(allocations[0])


# since when


def test_a_spell_begins_once_and_ends_with_recovery() -> None:
    """Badly off from the second interval on, silent for one, recovered, badly off again."""
    history: History[str] = History(hold_s=5.0)
    history.update(0.0, ["a", "b"], np.array([False, True]))
    history.update(1.0, ["a", "b"], np.array([True, True]))
    history.update(2.0, ["b"], np.array([True]))
    history.update(3.0, ["a", "b"], np.array([True, False]))
    np.testing.assert_equal(history.since_s(["a", "b", "c"]), [1.0, np.nan, np.nan])
    history.update(4.0, ["b"], np.array([True]))
    assert history.spells() == {"a": 1.0, "b": 4.0}
    history.update(9.0, ["b"], np.array([True]))
    assert history.spells() == {"b": 4.0}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from(["bad", "well", "silent"]), min_size=3, max_size=3), max_size=14))
def test_spells_agree_with_a_look_back(intervals: list[list[str]]) -> None:
    """The beginning is what looking back over all intervals finds, with silences of up to two allowed."""
    history: History[int] = History(hold_s=3.0)
    for t, states in enumerate(intervals):
        heard = [i for i in range(3) if states[i] != "silent"]
        history.update(float(t), heard, np.array([states[i] == "bad" for i in heard], dtype=np.bool_))
    found = history.since_s([0, 1, 2])
    for i in range(3):
        began, last = math.nan, len(intervals) - 1
        for t in range(len(intervals) - 1, -1, -1):
            if last - t > 3.0 or intervals[t][i] == "well":
                break
            if intervals[t][i] == "bad":
                began, last = float(t), t
        np.testing.assert_equal(found[i], began)
