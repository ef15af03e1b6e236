"""Forms of the problem: max-min, tiers in turn, guaranteed rates, stickiness; by hand and by force."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.optimise import CellProblem, Group, Status, solve
from qoe.schema import Curves
from qoe.tools.cells import random_cells

RAMP = ([0.0, 1.0], [1.0, 5.0])
SLOW = ([0.0, 1.0], [1.0, 2.0])


def make_cell(*curves: tuple[list[float], list[float]], step: bool = False, **options: object) -> CellProblem:
    """Build a cell of 10 Mbit/s with one bearer a curve; all curves have as many points."""
    n = len(curves)
    table = Curves(
        np.array([share for share, _ in curves]), np.array([mos for _, mos in curves]), np.full(n, step)
    )
    return CellProblem.build(
        "cell", "down", 10e6, [f"s{i}" for i in range(n)], ["video"] * n, table, **options
    )


def test_max_min_evens_out_by_hand() -> None:
    """Two ramps, one four times as steep: both at the MOS at which the shares add up to 1."""
    (a,) = solve([make_cell(SLOW, RAMP, form="max_min")])
    np.testing.assert_allclose(a.share_ratio, [0.8, 0.2], atol=1e-9)
    np.testing.assert_allclose(a.mos_after, [1.8, 1.8], atol=1e-9)
    assert [s.name for s in a.stages] == ["level"]
    assert a.stages[0].value == pytest.approx(1.8, abs=1e-12)


def test_max_min_waits_for_nobody() -> None:
    """A bearer that gets no further than MOS 1.5 does not hold the others there."""
    stuck = ([0.0, 0.1], [1.0, 1.5])
    (a,) = solve([make_cell(stuck, RAMP, RAMP, form="max_min")])
    np.testing.assert_allclose(a.share_ratio, [0.1, 0.45, 0.45], atol=1e-9)


def test_max_min_then_maximises_the_sum() -> None:
    """What is left above the level of a staircase goes where it counts most."""
    stairs, heavy = ([0.0, 0.3, 0.9], [1.0, 3.0, 4.0]), ([0.0, 0.3, 0.6], [1.0, 3.0, 3.5])
    (a,) = solve([make_cell(stairs, heavy, step=True, form="max_min")])
    np.testing.assert_allclose(a.mos_after, [3.0, 3.5])
    np.testing.assert_allclose(a.share_ratio, [0.3, 0.6], atol=1e-9)


def test_max_min_finds_the_best_lowest_step() -> None:
    """Every combination of steps is tried: none has a higher lowest MOS."""
    rng = np.random.default_rng(31)
    for _ in range(30):
        share = np.concatenate((np.zeros((4, 1)), np.sort(rng.uniform(0.05, 0.7, (4, 3)), axis=1)), axis=1)
        mos = np.concatenate((np.ones((4, 1)), np.sort(rng.uniform(1.0, 5.0, (4, 3)), axis=1)), axis=1)
        cell = make_cell(*zip(share.tolist(), mos.tolist(), strict=True), step=True, form="max_min")
        rows = np.arange(4)
        best = max(
            mos[rows, levels].min()
            for levels in itertools.product(range(4), repeat=4)
            if share[rows, levels].sum() <= 1.0
        )
        assert solve([cell])[0].mos_after.min() == pytest.approx(best, abs=1e-12)


def test_max_min_keeps_promises_and_groups_first() -> None:
    """A floor and a group's maximum hold; the rest share their level."""
    groups = [Group("plan", (2,), 0.0, 0.1)]
    (a,) = solve(
        [make_cell(RAMP, RAMP, RAMP, form="max_min", floor_mos=[3.0, np.nan, np.nan], groups=groups)]
    )
    np.testing.assert_allclose(a.share_ratio, [0.5, 0.4, 0.1], atol=1e-9)


def test_better_tiers_are_served_first() -> None:
    """Gold takes what it has use for although silver would gain more; silver the rest, bronze nothing."""
    gentle, steep = ([0.0, 0.6], [1.0, 2.0]), ([0.0, 0.8], [1.0, 5.0])
    cell = make_cell(
        steep,
        gentle,
        steep,
        form="lexicographic",
        tier=["silver", "gold", None],
        tiers=["gold", "silver"],
        tier_tolerance_ratio=0.0,
    )
    (a,) = solve([cell])
    np.testing.assert_allclose(a.share_ratio, [0.4, 0.6, 0.0], atol=1e-6)
    assert [s.name for s in a.stages] == ["gold", "silver", "none"]
    assert a.stages[0].value == pytest.approx(2.0)
    assert a.status == Status.OPTIMAL
    assert a.objective <= a.bound


def test_a_tier_loses_no_more_than_the_tolerance() -> None:
    """Gold gives up a tenth of what it gained, where that is cheap, and silver has the airtime."""
    bend, steep = ([0.0, 0.2, 1.0], [1.0, 4.6, 5.0]), ([0.0, 0.5, 1.0], [1.0, 4.0, 4.5])
    cell = make_cell(
        bend,
        steep,
        form="lexicographic",
        tier=["gold", "silver"],
        tiers=["gold", "silver"],
        tier_tolerance_ratio=0.1,
    )
    (a,) = solve([cell])
    assert a.mos_after[0] == pytest.approx(4.6, abs=1e-3)
    assert a.mos_after[1] == pytest.approx(4.3, abs=1e-3)


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.2])
def test_tiers_by_prices_and_by_milp(tolerance: float) -> None:
    """Milp with the kept values as rows: no tier's value is above the other's bound, gaps are small."""
    for plain in random_cells(33, 4, 10, n_points=12, floors=True):
        cell = replace(plain, form="lexicographic", tier_tolerance_ratio=tolerance)
        fast, exact = solve([cell])[0], solve([cell], method="milp")[0]
        assert exact.stages[0].value <= fast.stages[0].bound + 1e-5
        assert fast.stages[0].value <= exact.stages[0].bound + 1e-5
        if tolerance == 0.0 and exact.stages[0].value >= fast.stages[0].value:
            assert exact.stages[1].value <= fast.stages[1].bound + 1e-5
        for stage in fast.stages:
            assert stage.value <= stage.bound + 1e-9
        assert fast.gap_ratio <= tolerance + 0.05


def test_one_tier_is_the_plain_sum() -> None:
    """Where all bearers are of one tier there is nothing to serve in turn."""
    (cell,) = random_cells(34, 1, 20)
    one = replace(cell, form="lexicographic", tier=("gold",) * 20)
    a, b = solve([one])[0], solve([cell])[0]
    assert a.objective == pytest.approx(b.objective, rel=1e-9)
    assert a.bound == pytest.approx(b.bound, rel=1e-9)


def test_guaranteed_rates_are_admitted_whole_or_not_at_all() -> None:
    """Three of 4 Mbit/s in 10: the two of better priority get theirs, the third nothing, and is named."""
    cell = make_cell(RAMP, RAMP, RAMP, RAMP, gbr_bps=[4e6, 4e6, 4e6, np.nan], arp_level=[2, 9, 2, 1])
    (a,) = solve([cell])
    assert a.status == Status.PROMISES_CUT
    assert [(s.kind, s.index, s.reason) for s in a.shed] == [("gbr", 1, "capacity")]
    assert a.shed[0].needed_share_ratio == pytest.approx(0.4)
    assert (a.rate_bps[[0, 2]] >= 4e6 * (1 - 1e-9)).all()
    assert a.share_ratio[1] == 0.0
    assert a.share_ratio.sum() == pytest.approx(1.0)


def test_of_equal_priority_the_more_valuable_are_admitted() -> None:
    """Weight and MOS for a unit of share decide within a level; who runs already is ahead by stickiness."""
    cell = make_cell(RAMP, RAMP, gbr_bps=6e6, weight=[1.0, 1.1], floor_cap_ratio=1.0)
    assert [s.index for s in solve([cell])[0].shed] == [0]
    running = replace(cell, share_running_ratio=np.array([0.6, 0.0]))
    assert [s.index for s in solve([running])[0].shed] == [1]


def test_a_guaranteed_rate_may_not_take_most_of_the_cell() -> None:
    """Above the cap on airtime, or without efficiency, it is refused with the reason, its floor too."""
    (a,) = solve([make_cell(RAMP, RAMP, gbr_bps=[6e6, np.nan], floor_mos=[2.0, np.nan])])
    assert [(s.kind, s.reason) for s in a.shed] == [("gbr", "airtime_cap"), ("floor", "not_admitted")]
    np.testing.assert_allclose(a.share_ratio, [0.0, 1.0])
    (b,) = solve([make_cell(RAMP, RAMP, gbr_bps=[6e6, np.nan], efficiency_bps=[0.0, 1e6])])
    assert [s.reason for s in b.shed] == ["unreachable"]


def test_a_refusal_may_cost_a_group_its_minimum() -> None:
    """A slice whose only member is refused cannot have its minimum, which is named."""
    groups = [Group("slice", (0,), 0.3, 1.0)]
    (a,) = solve(
        [make_cell(RAMP, RAMP, gbr_bps=[9e6, 4e6], floor_cap_ratio=1.0, arp_level=[2, 1], groups=groups)]
    )
    assert {(s.kind, s.index) for s in a.shed} == {("gbr", 0), ("group_min", 0)}


def test_stickiness_cuts_flips_when_weights_tremble() -> None:
    """Weights that tremble by 5 % a cycle: fewer bearers gain or lose half a MOS from cycle to cycle."""
    rng = np.random.default_rng(37)
    (cell,) = random_cells(37, 1, 30, kinds=["staircase", "cliff"], load=(2.0, 2.0))
    flips = {}
    tremble = 1.0 + rng.uniform(-0.05, 0.05, (25, 30))
    for stickiness in (1.0, 1.25):
        running, last, flips[stickiness] = np.full(30, np.nan), None, 0
        for factor in tremble:
            now = replace(
                cell, weight=cell.weight * factor, share_running_ratio=running, stickiness=stickiness
            )
            (a,) = solve([now])
            running = a.share_ratio
            flips[stickiness] += 0 if last is None else int((np.abs(a.mos_after - last) > 0.5).sum())
            last = a.mos_after
    assert flips[1.0] > 0
    assert flips[1.25] <= 0.5 * flips[1.0]


def test_linprog_is_chosen_for_overlapping_concave_groups_only() -> None:
    """Concave curves: linprog, with milp's answer; a cliff among them: milp, and linprog says so."""
    groups = [Group("a", (0, 1), 0.0, 0.5), Group("b", (1, 2), 0.2, 0.6)]
    concave = replace(random_cells(36, 1, 6, kinds=["concave"])[0], groups=tuple(groups))
    a, b = solve([concave])[0], solve([concave], method="milp")[0]
    assert (a.solver, b.solver) == ("linprog", "milp")
    assert a.objective == pytest.approx(b.objective, abs=1e-6)
    assert a.gap_ratio <= 1e-6
    mixed = replace(random_cells(36, 1, 6, kinds=["cliff"])[0], groups=tuple(groups))
    assert solve([mixed])[0].solver == "milp"
    with pytest.raises(ProblemError, match=r"\$\.cells\[0\]\.bearers: a curve is not concave.*'milp'"):
        solve([mixed], method="linprog")


def test_forms_that_make_no_sense_are_refused() -> None:
    """Unknown forms, tiers in turn without tiers, and methods that cannot serve them."""
    with pytest.raises(ProblemError, match=r"\$\.cells\[0\]\.form: 'best' is not one of sum, max_min"):
        solve([make_cell(RAMP, form="best")])
    with pytest.raises(ProblemError, match=r"\$\.cells\[0\]\.form: 'lexicographic' needs tiers"):
        solve([make_cell(RAMP, form="lexicographic")])
    with pytest.raises(ProblemError, match=r"\$\.cells\[0\]\.form: 'slsqp' cannot serve tiers"):
        solve([make_cell(RAMP, form="lexicographic", tiers=["a"])], method="slsqp")
