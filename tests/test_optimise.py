"""Problems to allocations: promises, prices, policies, statuses, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.optimise import CellProblem, Group, Status, solve
from qoe.optimise.counterfactual import water_fill
from qoe.optimise.curves import evaluate, invert
from qoe.schema import Curves
from qoe.tools.cells import random_cells

RAMP = ([0.0, 1.0], [1.0, 5.0])


def make_cell(
    *curves: tuple[list[float], list[float]], step: bool | list[bool] = False, **options: Any
) -> CellProblem:
    """Build a cell with one bearer a curve; all curves have as many points."""
    n = len(curves)
    return CellProblem.build(
        "cell",
        "down",
        10e6,
        [f"s{i}" for i in range(n)],
        ["video"] * n,
        Curves(
            np.array([share for share, _ in curves]).reshape(n, -1),
            np.array([mos for _, mos in curves]).reshape(n, -1),
            np.broadcast_to(np.array(step, dtype=np.bool_), (n,)).copy(),
        ),
        **options,
    )


def test_concave_cell_by_hand() -> None:
    """Two concave curves: the steep half of each is filled first, the rest goes to the heavier."""
    bend = ([0.0, 0.3, 1.0], [1.0, 4.0, 4.7])
    (a,) = solve([make_cell(bend, bend, weight=[1.0, 3.0], share_observed_ratio=[0.5, 0.5])])
    assert a.status == Status.OPTIMAL
    np.testing.assert_allclose(a.weight, [0.5, 1.5])
    np.testing.assert_allclose(a.share_ratio, [0.3, 0.7], atol=1e-9)
    np.testing.assert_allclose(a.mos_after, [4.0, 4.4], atol=1e-9)
    np.testing.assert_allclose(a.rate_bps, [3e6, 7e6], rtol=1e-9)
    np.testing.assert_allclose(a.scheduler_weight, [0.6, 1.4], rtol=1e-9)
    assert a.objective == pytest.approx(0.5 * 4.0 + 1.5 * 4.4)
    assert a.gap_ratio == pytest.approx(0.0, abs=1e-12)
    assert a.mean_mos_before == pytest.approx(4.2)
    assert a.mean_mos_after == pytest.approx((4.0 + 3 * 4.4) / 4)
    assert a.mos_bound == pytest.approx(a.mean_mos_after)
    assert a.capacity_gain == pytest.approx(1.5 * 0.1)


def test_gap_is_measured_from_mos_1() -> None:
    """Two steps of which one fits: bound, value and gap as the definition says."""
    stair = ([0.0, 0.8], [1.0, 3.0])
    (a,) = solve([make_cell(stair, stair, step=True)], gap_target_ratio=1.0)
    assert a.objective == pytest.approx(4.0)
    assert a.bound == pytest.approx(2.0 + 2.0 / 0.8)
    assert a.gap_ratio == pytest.approx((a.bound - a.objective) / (a.bound - 2.0))
    assert a.mos_bound == pytest.approx(a.bound / 2)
    (exact,) = solve([make_cell(stair, stair, step=True)], gap_target_ratio=0.0)
    assert exact.gap_ratio == 0.0
    assert exact.bound == pytest.approx(4.0)


def test_floor_takes_the_share_it_needs_and_tells_the_price() -> None:
    """A floor that the optimum would not keep: it is kept, and costs the others what they would have had."""
    cell = make_cell(([0.0, 1.0], [1.0, 2.0]), RAMP, floor_mos=[1.5, np.nan])
    (a,) = solve([cell])
    np.testing.assert_allclose(a.share_ratio, [0.5, 0.5], atol=1e-9)
    assert a.mos_after[0] == pytest.approx(1.5)
    assert a.floor_cost[0] == pytest.approx(4.0 * 0.5)
    assert np.isnan(a.floor_cost[1])
    assert a.shed == ()
    (free,) = solve([replace(cell, floor_mos=np.full(2, np.nan))])
    assert free.mos_after[1] - a.mos_after[1] == pytest.approx(a.floor_cost[0])


def test_floor_that_the_optimum_keeps_anyway_costs_nothing() -> None:
    """A floor below what the bearer gets has price 0."""
    (a,) = solve([make_cell(([0.0, 1.0], [1.0, 2.0]), RAMP, floor_mos=[np.nan, 3.0])])
    assert a.floor_cost[1] == pytest.approx(0.0, abs=1e-9)


def test_floor_is_capped_in_airtime_and_told() -> None:
    """One floor may reserve half of the budget at most: the bearer gets that far, and it is named."""
    (a,) = solve([make_cell(([0.0, 1.0], [1.0, 2.0]), RAMP, floor_mos=[1.8, np.nan])])
    assert a.status == Status.PROMISES_CUT
    (shed,) = a.shed
    assert (shed.kind, shed.index, shed.name, shed.reason) == ("floor", 0, "s0", "airtime_cap")
    assert shed.needed_share_ratio == pytest.approx(0.8)
    assert shed.granted_share_ratio == pytest.approx(0.5)
    assert a.share_ratio[0] == pytest.approx(0.5)
    (b,) = solve([make_cell(([0.0, 1.0], [1.0, 2.0]), RAMP, floor_mos=[1.8, np.nan], floor_cap_ratio=0.9)])
    assert b.shed == ()
    assert b.mos_after[0] == pytest.approx(1.8)


def test_capped_floor_on_a_step_reserves_no_airtime_in_vain() -> None:
    """Below the cap a step bearer keeps the last step it reaches, not the airtime between two."""
    stairs = ([0.0, 0.2, 0.8], [1.0, 2.0, 4.0])
    (a,) = solve(
        [make_cell(stairs, ([0.0, 0.8, 0.8], [1.0, 5.0, 5.0]), step=[True, False], floor_mos=[4.0, np.nan])]
    )
    (shed,) = a.shed
    assert shed.granted_share_ratio == pytest.approx(0.2)
    np.testing.assert_allclose(a.mos_after, [2.0, 5.0])


def test_unreachable_floor_is_told_apart() -> None:
    """A floor above all that the curve gives within the bearer's maximum."""
    cell = make_cell(RAMP, RAMP, floor_mos=[4.9, np.nan], max_share_ratio=[0.25, 1.0])
    (shed,) = solve([cell])[0].shed
    assert (shed.reason, shed.granted_share_ratio) == ("unreachable", pytest.approx(0.25))


def test_promises_are_shed_by_tier_and_then_by_cost() -> None:
    """Three floors of which one tier's fit: gold's are kept, of silver's the cheap one, the rest is named."""
    cheap, dear = ([0.0, 0.5], [1.0, 5.0]), ([0.0, 1.0], [1.0, 5.0])
    cell = make_cell(
        dear,
        dear,
        cheap,
        cheap,
        floor_mos=[2.6, 2.6, 2.6, 2.6],
        tier=["silver", "gold", "gold", "silver"],
        tiers=["gold", "silver"],
    )
    (a,) = solve([cell])
    assert a.status == Status.PROMISES_CUT
    assert [(s.index, s.reason) for s in a.shed] == [(0, "capacity")]
    assert a.shed[0].needed_share_ratio == pytest.approx(0.4)
    assert (a.mos_after[1:] >= 2.6 - 1e-9).all()
    (turned,) = solve([replace(cell, tiers=("silver", "gold"))])
    assert [s.index for s in turned.shed] == [1]


def test_minima_that_do_not_fit_are_named() -> None:
    """Minimum shares above the budget: a status that names whose was shed, and no bound is broken."""
    (a,) = solve([make_cell(RAMP, RAMP, RAMP, min_share_ratio=[0.5, 0.4, 0.3])])
    assert [(s.kind, s.index, s.needed_share_ratio) for s in a.shed] == [("min_share", 0, 0.5)]
    assert a.share_ratio[1] >= 0.4 - 1e-9
    assert a.share_ratio.sum() <= 1.0 + 1e-9


def test_group_minimum_that_cannot_be_met_is_named() -> None:
    """A slice's minimum above what its members may take together is shed by name; the other is kept."""
    groups = [Group("slice", (0,), 0.5, 0.9), Group("rest", (1, 2), 0.6)]
    (a,) = solve([make_cell(RAMP, RAMP, RAMP, max_share_ratio=[0.3, 1.0, 1.0], groups=groups)])
    assert [(s.kind, s.name) for s in a.shed] == [("group_min", "slice")]
    assert a.share_ratio[1:].sum() >= 0.6 - 1e-9


def test_group_maximum_wins_over_members_minima() -> None:
    """Members' minima above their group's maximum: the dearer is shed."""
    cell = make_cell(RAMP, RAMP, min_share_ratio=[0.3, 0.4], groups=[Group("plan", (0, 1), 0.0, 0.5)])
    (a,) = solve([cell])
    assert [(s.kind, s.index) for s in a.shed] == [("min_share", 1)]
    assert a.share_ratio.sum() <= 0.5 + 1e-9


def test_stickiness_keeps_who_is_served() -> None:
    """Of two for whom one step is there, the served one stays although the other weighs a little more."""
    stair = ([0.0, 0.8], [1.0, 4.0])
    cell = make_cell(stair, stair, step=True, weight=[1.0, 1.1], share_running_ratio=[0.8, 0.0])
    sticky, free = solve([cell])[0], solve([replace(cell, stickiness=1.0)])[0]
    np.testing.assert_allclose(sticky.share_ratio, [0.8, 0.0], atol=1e-9)
    np.testing.assert_allclose(free.share_ratio, [0.0, 0.8], atol=1e-9)
    assert sticky.mean_mos_after <= sticky.mos_bound
    assert free.mean_mos_after > sticky.mean_mos_after


def test_stickiness_yields_to_a_real_difference() -> None:
    """The bonus is a quarter: a third more weight moves the share."""
    stair = ([0.0, 0.8], [1.0, 4.0])
    cell = make_cell(stair, stair, step=True, weight=[1.0, 1.34], share_running_ratio=[0.8, 0.0])
    assert solve([cell])[0].share_ratio[1] == pytest.approx(0.8)


def test_stickiness_bends_a_linear_curve_where_it_runs() -> None:
    """Up to the running share MOS counts 1.25, beyond it 1."""
    cell = make_cell(RAMP, RAMP, weight=[1.0, 1.1], share_running_ratio=[0.3, 0.0])
    np.testing.assert_allclose(solve([cell])[0].share_ratio, [0.3, 0.7], atol=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 10.0])
def test_alpha_evens_out(alpha: float) -> None:
    """With linear curves of different slopes, the more alpha the nearer the MOS; checked by a fine grid."""
    cell = make_cell(([0.0, 1.0], [1.0, 2.0]), RAMP, alpha=alpha)
    (a,) = solve([cell])
    grid = np.linspace(0.0, 1.0, 20001)
    first, second = 1.0 + grid, 1.0 + 4.0 * (1.0 - grid)
    utility = (
        np.log(first) + np.log(second)
        if alpha == 1
        else (first ** (1 - alpha) + second ** (1 - alpha)) / (1 - alpha)
    )
    # the objective is read from points at most 0.1 MOS apart, so the optimum is one of these
    assert a.share_ratio[0] == pytest.approx(grid[np.argmax(utility)], abs=0.11)
    true = evaluate(cell.curves, a.share_ratio)
    reached = np.log(true).sum() if alpha == 1 else (true ** (1 - alpha)).sum() / (1 - alpha)
    assert reached == pytest.approx(utility.max(), abs=alpha * 0.1**2 / 8 * 2)
    assert a.mean_mos_after <= a.mos_bound


def test_proportional_fair_is_equal_airtime_among_those_who_want_it() -> None:
    """Who needs less than the equal share gets that; the rest is shared equally."""
    small, large = ([0.0, 0.1], [1.0, 4.0]), ([0.0, 0.9], [1.0, 4.0])
    (a,) = solve([make_cell(small, large, large)])
    np.testing.assert_allclose(a.pf.share_ratio, [0.1, 0.45, 0.45])
    np.testing.assert_allclose(a.pf.mos, [4.0, 2.5, 2.5])
    assert a.pf.mean_mos == pytest.approx(3.0)


def test_water_filling_maximises_the_sum_of_logarithms() -> None:
    """Kelly's optimality condition: whoever is below its demand has the highest share of all."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        demand = rng.uniform(0.0, 0.6, 6)
        share = water_fill(demand, 1.0)
        assert share.sum() == pytest.approx(min(1.0, demand.sum()))
        short = share < demand - 1e-12
        assert (share <= demand + 1e-15).all()
        assert not short.any() or share[short] == pytest.approx(share.max())


def test_who_ends_below_mos_2_is_told() -> None:
    """The starved are listed by index."""
    (a,) = solve([make_cell(([0.0, 1.0], [1.0, 2.5]), RAMP)])
    assert a.below_mos_2 == (0,)


def test_capacity_gain_is_what_more_capacity_brings() -> None:
    """Solved again with 10 % more budget, the bound rises by the gain."""
    for cell in random_cells(5, 5, 30, kinds=["concave"]):
        (a,), (b,) = (
            solve([cell], gap_target_ratio=0.0),
            solve([replace(cell, budget_ratio=1.1)], gap_target_ratio=0.0),
        )
        assert b.objective - a.objective == pytest.approx(a.capacity_gain, rel=1e-6)


def test_unobserved_shares_have_no_mos_before() -> None:
    """One share not observed: its MOS before is unknown, and so is the mean."""
    (a,) = solve([make_cell(RAMP, RAMP, share_observed_ratio=[0.5, np.nan])])
    assert a.mos_before[0] == pytest.approx(3.0)
    assert np.isnan(a.mos_before[1])
    assert np.isnan(a.mean_mos_before)


def test_cell_without_capacity_is_a_status() -> None:
    """No capacity: all shares 0, every promise named, nothing gained."""
    cell = replace(
        make_cell(RAMP, RAMP, floor_mos=[3.0, np.nan], min_share_ratio=[0.0, 0.2]), capacity_bps=0.0
    )
    (a,) = solve([cell])
    assert a.status == Status.NO_CAPACITY
    assert not a.share_ratio.any()
    assert {(s.kind, s.index) for s in a.shed} == {("floor", 0), ("min_share", 1)}
    assert a.mean_mos_after == a.mos_bound == 1.0


def test_cell_without_bearers_is_an_empty_allocation() -> None:
    """No bearer: a valid answer with nothing in it."""
    empty = CellProblem.build(
        "e", "up", 1e6, [], [], Curves(np.empty((0, 1)), np.empty((0, 1)), np.empty(0, np.bool_))
    )
    (a,) = solve([empty])
    assert a.status == Status.EMPTY
    assert a.share_ratio.size == 0
    assert solve([]) == []


def test_answers_come_in_the_order_of_the_problems() -> None:
    """Empty, dead and live cells, sticky and not, mixed: each gets the answer it gets alone."""
    cells = random_cells(2, 4, 6, floors=True, groups=True)
    cells[1] = replace(cells[1], capacity_bps=0.0)
    cells[2] = replace(cells[2], share_running_ratio=np.full(6, 0.1))
    for cell, a in zip(cells, solve(cells), strict=True):
        (alone,) = solve([cell])
        assert a.cell == cell.cell
        np.testing.assert_array_equal(a.share_ratio, alone.share_ratio)
        assert (a.bound, a.mos_bound, a.capacity_gain) == (alone.bound, alone.mos_bound, alone.capacity_gain)
        np.testing.assert_array_equal(a.floor_cost, alone.floor_cost)


def test_method_must_fit_the_problem() -> None:
    """Unknown methods, and the fast path on groups that overlap, are errors that say what to use."""
    overlapping = make_cell(RAMP, RAMP, groups=[Group("a", (0, 1), 0.0, 0.9), Group("b", (1,), 0.0, 0.2)])
    with pytest.raises(ProblemError, match="unknown method 'best'; use one of auto, fast"):
        solve([overlapping], method="best")
    with pytest.raises(ProblemError, match=r"\$\.cells\[0\]\.groups: .*use 'milp'"):
        solve([overlapping], method="fast")
    (a,) = solve([overlapping])
    assert a.solver == "linprog"
    np.testing.assert_allclose(a.share_ratio.sum(), 0.9)
    assert a.share_ratio[1] <= 0.2 + 1e-9


def test_curves_are_read_and_inverted() -> None:
    """Values between points, on steps and beyond the end; the least share for a MOS; NaN where none."""
    curves = Curves(
        np.array([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]]), np.array([[1.0, 3.0, 4.0]] * 2), np.array([False, True])
    )
    np.testing.assert_allclose(evaluate(curves, np.array([0.25, 0.25])), [2.0, 1.0])
    np.testing.assert_allclose(evaluate(curves, np.array([9.0, 0.5])), [4.0, 3.0])
    np.testing.assert_allclose(invert(curves, np.array([2.0, 2.0])), [0.25, 0.5])
    np.testing.assert_allclose(invert(curves, np.array([4.5, 1.0])), [np.nan, 0.0])
