"""From intents through the optimiser to their fulfilment: what fits is met, what is not has its reason."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_intent_compile import NOON, intents

from qoe.errors import ConfigError
from qoe.intent import (
    Admission,
    Bearers,
    Fulfilment,
    IntentsFile,
    Outcome,
    Reason,
    State,
    Status,
    admit,
    compile_intents,
    summaries_from_json,
    summaries_to_dict,
)
from qoe.intent.steering import learn
from qoe.optimise import Allocation, CellProblem, Group, solve
from qoe.optimise.curves import evaluate, invert
from qoe.schema import Curves, FloatArray
from qoe.tools.cells import random_cells

PEAK = (
    "who = { tier = 'gold' }; when = { days = 'mon-fri', from = '08:00', to = '18:00' }; priority = 10;"
    "target = { mos_at_least = 4 }"
)


def admission_of(file: IntentsFile, problem: CellProblem, at_s: float, fulfilment: Fulfilment) -> Any:
    """Compile and admit."""
    compiled = compile_intents(file, problem, at_s, steer=fulfilment.steer)
    admission = admit(
        compiled,
        lambda mos: invert(problem.curves, mos),
        efficiency_bps=problem.efficiency_bps,
        floor_mos=problem.floor_mos,
        min_share_ratio=problem.min_share_ratio,
        budget_ratio=problem.budget_ratio,
        floor_cap_ratio=problem.floor_cap_ratio,
    )
    return compiled, admission


def served(problem: CellProblem, weight: FloatArray, admission: Admission) -> Allocation:
    """Solve a cell with what was admitted; its own groups stand beside."""
    asked = replace(
        problem,
        weight=problem.weight * weight,
        floor_mos=admission.floor_mos,
        min_share_ratio=admission.min_share_ratio,
        groups=problem.groups + tuple(Group(*group) for group in admission.groups),
    )
    return solve([asked])[0]


def interval(
    file: IntentsFile, problem: CellProblem, at_s: float, fulfilment: Fulfilment, delivered: float = 1.0
) -> tuple[list[Outcome], Admission, Allocation]:
    """Run one interval of one cell, of which a part of each share is delivered."""
    compiled, admission = admission_of(file, problem, at_s, fulfilment)
    allocation = served(problem, compiled.weight, admission)
    mos = evaluate(problem.curves, allocation.share_ratio * delivered)
    return fulfilment.add(compiled, mos, allocation, admission), admission, allocation


def least_shares(problem: CellProblem, mos: float) -> FloatArray:
    """Find by trying which share of a fine grid, or of the curve's own points, reaches a MOS; NaN: none."""
    found = []
    for share, level, step in zip(problem.curves.share, problem.curves.mos, problem.curves.step, strict=True):
        grid = share if step else np.unique(np.concatenate([np.linspace(0.0, 1.0, 10_001), share]))
        reached = level if step else np.interp(grid, share, level)
        found.append(grid[reached >= mos - 1e-9].min(initial=math.inf))
    return np.where(np.isinf(found), math.nan, found)


def reaching(problem: CellProblem, rng: np.random.Generator) -> CellProblem:
    """Stretch curves so that most bearers could reach MOS 4, had they the cell; one in fifty could not."""
    n = problem.n_bearers
    top = np.where(rng.random(n) < 0.02, 3.9, rng.uniform(4.1, 4.9, n))
    mos = problem.curves.mos
    mos = 1.0 + (mos - 1.0) * ((top - 1.0) / (mos[:, -1] - 1.0))[:, None]
    return replace(problem, curves=replace(problem.curves, mos=mos))


def test_enterprise_first_at_peak() -> None:
    """Over many cells at peak MOS 4 is met wherever it can be, and told with the reason elsewhere."""
    file, at_s, rng = intents(PEAK), NOON, np.random.default_rng(11)
    fulfilment, feasible, infeasible = Fulfilment(file), Counter[State](), Counter[Reason | None]()
    for cell in random_cells(7, 500, (3, 30), load=(0.5, 6.0), n_points=16):
        problem = reaching(cell, rng)
        gold = np.array([tier == "gold" for tier in problem.tier])
        (outcome,), _, allocation = interval(file, problem, at_s, fulfilment)
        at_s += 1.0
        if not gold.any():
            assert (outcome.state, outcome.reason) == (State.NOT_APPLICABLE, None)
            continue
        need = least_shares(problem, 4.0)[gold]
        if np.isfinite(need).all() and need.max() <= 0.4999 and need.sum() <= 0.999:
            feasible[outcome.state] += 1
        elif not np.isfinite(need).all() or need.max() > 0.5001 or need.sum() > 1.001:
            infeasible[outcome.reason] += 1
            missed = bool((allocation.mos_after[gold] < 4.0 - 1e-9).any())
            assert (outcome.state is State.NOT_MET) == missed
            if outcome.reason is Reason.CAPACITY:
                assert np.nansum(np.minimum(need, 0.5)) > 0.99
            elif outcome.reason is Reason.RADIO:
                assert (np.isnan(need) | (need > 1.0)).any()
            elif outcome.reason is Reason.AIRTIME_CAP:
                assert np.nanmax(need) > 0.49
    assert feasible.total() > 100
    assert feasible[State.MET] / feasible.total() >= 0.99
    assert {Reason.CAPACITY, Reason.AIRTIME_CAP, Reason.RADIO} <= set(infeasible)
    (summary,) = fulfilment.summaries(at_s)
    assert summary.n_met >= feasible[State.MET]
    assert sum(summary.reasons.values()) == summary.n_intervals - summary.n_met


@pytest.mark.parametrize("seed", range(3))
def test_what_is_admitted_the_optimiser_keeps(seed: int) -> None:
    """What fits together is all kept: the optimiser sheds nothing but what tiers were promised in vain."""
    file = intents(
        PEAK,
        "what = { class = 'voip' }; priority = 20; target = { mos_at_least = 3.5, users_ratio = 0.9 }",
        "who = { tier = 'silver' }; target = { rate_at_least = '1M' }",
        "what = { class = 'video' }; priority = 30; target = { share_at_least = 0.3 }",
        "what = { class = 'bulk' }; target = { share_at_most = 0.4 }",
        "target = { mos_at_least = 2 }; priority = 90",
    )
    fulfilment, n_left_out = Fulfilment(file), 0
    for problem in random_cells(seed, 60, (3, 30), floors=True, n_points=16):
        outcomes, admission, allocation = interval(file, problem, NOON, fulfilment)
        vain = admission.floor_mos == problem.floor_mos
        assert all(shed.reason == "unreachable" and vain[shed.index] for shed in allocation.shed)
        n_left_out += len(admission.left_out) + len(admission.reasons)
        kept = ~np.isnan(admission.floor_mos) & ~vain
        assert (allocation.mos_after >= admission.floor_mos - 1e-9)[kept].all()
        for outcome in outcomes:
            assert (outcome.reason is None) == (outcome.state is not State.NOT_MET)
    assert n_left_out


def lone(n_bearers: int, tiers: list[str], need: float = 0.3, top: float = 4.5) -> CellProblem:
    """Make a cell whose bearers all reach `top` at one share, and nothing below it."""
    share = np.tile([0.0, need, 1.0], (n_bearers, 1))
    mos = np.tile([1.0, top, top], (n_bearers, 1))
    names = [f"s{i}" for i in range(n_bearers)]
    curves = Curves(share, mos, np.ones(n_bearers, np.bool_))
    return CellProblem.build("busy", "down", 1e7, names, ["video"] * n_bearers, curves, tier=tiers)


def test_the_better_priority_is_kept_and_the_other_told() -> None:
    """Of two intents that do not fit together the second gives way, with the share it lacks, in words."""
    file = intents(
        "who = { tier = 'silver' }; priority = 20; target = { mos_at_least = 4 }",
        "who = { tier = 'gold' }; priority = 10; target = { mos_at_least = 4 }",
    )
    problem = lone(5, ["gold", "silver", "gold", "silver", "gold"])
    outcomes, admission, allocation = interval(file, problem, NOON, Fulfilment(file))
    assert [(o.intent, o.state, o.n_met, o.reason) for o in outcomes] == [
        ("b", State.MET, 3, None),
        ("a", State.NOT_MET, 0, Reason.PRIORITY),
    ]
    (conflict,) = admission.conflicts
    assert (conflict.kind, conflict.intents, conflict.who) == ("priority", ("b", "a"), "s1, s3")
    assert conflict.shortfall_share_ratio == pytest.approx(2 * 0.3 - 0.1)
    assert conflict.explain() == (
        "'b' and 'a' conflict in cell busy: MOS at least 4 for tier silver needs 50.0% of the cell more than"
        " the intents before it leave (who: s1, s3; when: now). To mend: lower their targets, or give it a"
        " lower number as priority."
    )
    assert allocation.mos_after.tolist() == [4.5, 1.0, 4.5, 1.0, 4.5]


def test_as_many_as_fit_are_kept() -> None:
    """An intent that fits in part is kept for those it can, and is met if that is enough of its users."""
    problem = lone(5, ["gold"] * 5)
    strict = intents("target = { mos_at_least = 4 }")
    (outcome,), admission, _ = interval(strict, problem, NOON, Fulfilment(strict))
    assert (outcome.state, outcome.n_met, outcome.reason) == (State.NOT_MET, 3, Reason.CAPACITY)
    assert np.flatnonzero(np.isnan(admission.floor_mos)).size == 2
    most = intents("target = { mos_at_least = 4, users_ratio = 0.6 }")
    (outcome,), _, _ = interval(most, problem, NOON, Fulfilment(most))
    assert (outcome.state, outcome.n_met) == (State.MET, 3)


def test_no_promise_takes_more_than_its_cap() -> None:
    """A floor that would take more than half of the cell is lowered to what half of it gives, and told."""
    curves = Curves(
        np.array([[0.0, 0.3, 0.95, 1.0], [0.0, 0.1, 0.2, 1.0]]),
        np.array([[1.0, 3.5, 4.2, 4.2], [1.0, 3.9, 3.9, 3.9]]),
        np.array([True, True]),
    )
    problem = CellProblem.build("busy", "down", 1e7, ["ana", "ben"], ["video"] * 2, curves, tier=["gold"] * 2)
    file = intents(PEAK)
    (outcome,), admission, allocation = interval(file, problem, NOON, Fulfilment(file))
    assert admission.reasons == {(0, 0): Reason.AIRTIME_CAP, (0, 1): Reason.RADIO}
    assert admission.floor_mos.tolist() == [3.5, 3.5]
    assert (outcome.state, outcome.n_met) == (State.NOT_MET, 0)
    assert allocation.mos_after[0] >= 3.5
    kinds = {conflict.kind: conflict for conflict in admission.conflicts}
    assert kinds["airtime_cap"].shortfall_share_ratio == pytest.approx(0.45)
    assert math.isnan(kinds["radio"].shortfall_share_ratio)
    assert "out of reach" in kinds["radio"].explain()


def test_shares_and_rates() -> None:
    """Minima of groups and rates that fit are granted, maxima hold, and what does not fit is told."""
    file = intents(
        "who = { tier = 'gold' }; priority = 1; target = { share_at_least = 0.5 }",
        "who = { tier = 'silver' }; priority = 2; target = { rate_at_least = '4M' }",
        "who = { tier = 'bronze' }; priority = 3; target = { share_at_least = 0.4, share_at_most = 0.6 }",
        "who = { subscriber = 's0' }; priority = 4; target = { rate_at_least = '20M' }",
    )
    problem = lone(3, ["gold", "silver", "bronze"])
    outcomes, admission, allocation = interval(file, problem, NOON, Fulfilment(file))
    assert [(o.intent, o.state, o.reason) for o in outcomes] == [
        ("a", State.MET, None),
        ("b", State.MET, None),
        ("c", State.NOT_MET, Reason.PRIORITY),
        ("d", State.NOT_MET, Reason.RADIO),
    ]
    assert allocation.rate_bps[1] >= 4e6 - 1e-3
    assert allocation.share_ratio[0] >= 0.5 - 1e-9
    assert admission.conflicts[0].shortfall_share_ratio == pytest.approx(0.3)


def test_a_floor_within_a_group_that_is_capped() -> None:
    """A floor that a maximum on the group forbids is told as that."""
    file = intents(
        "who = { tier = 'gold' }; target = { mos_at_least = 4 }",
        "who = { tier = 'gold' }; target = { share_at_most = 0.2 }",
    )
    outcomes, admission, _ = interval(file, lone(2, ["gold", "silver"]), NOON, Fulfilment(file))
    assert [(o.intent, o.state, o.reason) for o in outcomes] == [
        ("a", State.NOT_MET, Reason.SHARE_CAP),
        ("b", State.MET, None),
    ]
    assert admission.conflicts[0].kind == "share_cap"


def test_what_is_delivered_short_gets_head_room() -> None:
    """A cell that delivers a tenth less than was granted is asked for more until the intent is met."""
    share = np.linspace(0.0, 1.0, 41)
    mos = 1.0 + 4.0 * (1.0 - np.exp(-8.0 * share))
    curves = Curves(np.tile(share, (4, 1)), np.tile(mos, (4, 1)), np.zeros(4, np.bool_))
    names = [f"s{i}" for i in range(4)]
    problem = CellProblem.build(
        "busy",
        "down",
        1e7,
        names,
        ["video"] * 4,
        curves,
        tier=["gold"] * 2 + ["silver"] * 2,
        weight=[0.01, 0.01, 1, 1],
    )
    file = intents(PEAK)
    fulfilment = Fulfilment(file)
    states, reasons = [], set()
    for k in range(40):
        (outcome,), _, _ = interval(file, problem, NOON + k, fulfilment, delivered=0.9)
        states.append(outcome.state)
        reasons.add(outcome.reason)
    assert states[0] is State.NOT_MET
    assert Reason.DELIVERY in reasons
    assert states[-20:].count(State.MET) >= 15
    assert 0.0 < fulfilment.steer[0, "busy", "down"] <= 0.5


def test_better_than_is_reached_by_weight() -> None:
    """A comparison that equal weights miss is met after some intervals, and stays met."""
    share = np.linspace(0.0, 1.0, 64)
    curves = Curves(
        *(np.tile(x, (20, 1)) for x in (share, 1.0 + np.log1p(40.0 * share))), np.zeros(20, np.bool_)
    )
    names, tiers = [f"s{i}" for i in range(20)], ["gold", "silver"] * 10
    problem = CellProblem.build("busy", "down", 1e7, names, ["bulk"] * 20, curves, tier=tiers)
    file = intents("who = { tier = 'gold' }; target = { better_than = { tier = 'silver' }, margin_mos = 1 }")
    fulfilment = Fulfilment(file)
    states = [interval(file, problem, NOON + k, fulfilment)[0][0].state for k in range(120)]
    assert states[0] is State.NOT_MET
    assert states[-100:].count(State.MET) >= 98


class Course:
    """A made-up intent and its life, by hand."""

    def __init__(self, line: str = PEAK) -> None:
        self.file = intents(line)
        self.fulfilment = Fulfilment(self.file)

    def add(self, at_s: float, mos: float, cell: str = "busy") -> list[Outcome]:
        """Add an interval in which one bearer had a MOS."""
        compiled = compile_intents(self.file, Bearers(cell, "down", ["ana"], ["video"], ["gold"]), at_s)
        return self.fulfilment.add(compiled, np.array([mos]))

    def status(self, at_s: float) -> Status:
        """Give the status at a time."""
        return self.fulfilment.summaries(at_s)[0].status


def test_the_states_of_an_intent() -> None:
    """States follow what was measured, the hours and the validity."""
    course = Course(PEAK + "; expires = 2026-11-26T00:00:00Z")
    assert course.status(NOON) is Status.ACKNOWLEDGED
    course.add(NOON, math.nan)
    assert course.status(NOON) is Status.COMPLIANT
    course.add(NOON + 1, 4.2)
    assert course.status(NOON + 1) is Status.FULFILLED
    course.add(NOON + 2, 3.9)
    assert course.status(NOON + 2) is Status.DEGRADED
    assert course.add(NOON + 6 * 3600, 1.0) == []
    assert course.status(NOON + 6 * 3600) is Status.SUSPENDED
    assert course.status(NOON + 12 * 3600) is Status.TERMINATED
    (summary,) = course.fulfilment.summaries(NOON + 12 * 3600)
    assert (summary.n_intervals, summary.n_met, summary.n_not_applicable) == (2, 1, 1)
    assert summary.value == pytest.approx(4.05)
    assert [(s.state, s.n_intervals) for s in summary.spells] == [
        (State.NOT_APPLICABLE, 1),
        (State.MET, 1),
        (State.NOT_MET, 1),
    ]


def test_out_of_reach_is_failed_and_one_bad_cell_degrades() -> None:
    """FULFILMENTFAILED needs every missing cell to be out of reach; any other missing cell degrades."""
    course = Course()
    problem = lone(1, ["gold"], top=3.0)
    interval(course.file, problem, NOON, course.fulfilment)
    assert course.status(NOON) is Status.FULFILMENTFAILED
    course.add(NOON, 4.5, cell="quiet")
    assert course.status(NOON) is Status.FULFILMENTFAILED
    course.add(NOON, 3.0, cell="full")
    assert course.status(NOON) is Status.DEGRADED


def test_spells_join_equal_intervals() -> None:
    """Intervals alike are one spell with their mean, however many; others begin a new one."""
    course = Course()
    for k, mos in enumerate([4.0, 4.2, 4.4, 3.0, 3.5, 4.5]):
        course.add(NOON + k, mos)
    spells = course.fulfilment.summaries(NOON + 6)[0].spells
    assert [(s.state, s.from_s - NOON, s.to_s - NOON, s.n_intervals) for s in spells] == [
        (State.MET, 0, 2, 3),
        (State.NOT_MET, 3, 4, 2),
        (State.MET, 5, 5, 1),
    ]
    assert [s.value for s in spells] == pytest.approx([4.2, 3.25, 4.5])


def test_tolerance() -> None:
    """A tolerance lets what is nearly there count as met."""
    compiled = compile_intents(intents(PEAK), Bearers("busy", "down", ["ana"], ["video"], ["gold"]), NOON)
    mos = np.array([3.95])
    assert Fulfilment(intents(PEAK)).add(compiled, mos)[0].state is State.NOT_MET
    assert Fulfilment(intents(PEAK), tolerance_mos=0.1).add(compiled, mos)[0].state is State.MET


def test_summaries_through_json() -> None:
    """What was found comes back from JSON as it was, NaN included; other JSON is refused by its path."""
    course = Course()
    nothing = summaries_to_dict(course.fulfilment.summaries(NOON), NOON)
    for k, mos in enumerate([4.0, 3.0, math.nan]):
        course.add(NOON + k, mos)
    summaries = course.fulfilment.summaries(NOON + 3)
    text = json.dumps(summaries_to_dict(summaries, NOON + 3), allow_nan=False)
    at_s, again = summaries_from_json(text)
    assert (at_s, repr(again)) == (NOON + 3, repr(summaries))
    assert math.isnan(summaries_from_json(json.dumps(nothing))[1][0].met_ratio)
    with pytest.raises(ConfigError, match=r"\$\.intents\[0\]"):
        summaries_from_json(text.replace('"NOT_', '"KNOT_').replace('"COMPLIANT"', '"FINE"'))
    with pytest.raises(ConfigError, match="truncated"):
        summaries_from_json("{")


@pytest.mark.parametrize("kind", ["mos_at_least", "better_than"])
def test_what_is_learnt_misses_one_interval_in_two_hundred(kind: str) -> None:
    """With noise on what a level brings, the misses settle at the ratio that is aimed at."""
    rng, level, n_missed = np.random.default_rng(5), 0.0, 0
    for k in range(60_000):
        short = float(rng.normal(0.0, 0.1)) - level
        level = learn(level, kind, short)
        n_missed += short > 0.0 and k >= 20_000
    assert n_missed / 40_000 == pytest.approx(0.005, abs=0.002)


def test_what_a_quiet_hour_asked_for_is_soon_let_go() -> None:
    """A comparison that was long out of reach has the largest weight, and loses it once it is far better."""
    level = 0.5
    for _ in range(1000):
        level = learn(level, "better_than", 0.2)
    assert level == pytest.approx(math.log(64.0))
    for _ in range(120):
        level = learn(level, "better_than", -2.0)
    assert level < 1.0
