"""Coupled cells: links and split bearers by prices, against milp on the whole and the linear relaxation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hard_coupled import HIGHS, LADDER, RUNGS, broken, examine, make
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.errors import ProblemError
from qoe.optimise import (
    CellProblem,
    CoupledProblem,
    Leg,
    Link,
    SplitBearer,
    Status,
    solve,
    solve_coupled,
)
from qoe.optimise.general import relax_general
from qoe.optimise.joint import make_joint
from qoe.schema import Curves


@pytest.mark.parametrize(("seed", "load"), [(1, 0.4), (2, 0.7), (3, 0.25), (4, 3.0)])
def test_prices_against_milp(seed: int, load: float) -> None:
    """Neither's value is above the other's bound; the dual's is that of the linear relaxation."""
    problem = make(seed, 3, 6, 3, load, floors=seed % 2 == 0)
    dual, exact = solve_coupled(problem, method="dual"), solve_coupled(problem, method="milp")
    for a in (dual, exact):
        assert list(broken(problem, a)) == []
        assert a.objective <= a.bound
    assert dual.objective <= exact.bound + HIGHS
    assert exact.objective <= dual.bound + HIGHS
    relaxed = relax_general(make_joint(problem).program)
    assert dual.bound >= relaxed.bound - HIGHS
    assert dual.bound == pytest.approx(relaxed.bound, rel=1e-4)
    assert dual.gap_ratio <= 0.03


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_hard_problem_breaks_a_constraint_or_a_bound(number: int) -> None:
    """Links of no width, dead cells, groups, floors: what is not kept is named, no bound is exceeded."""
    assert examine(number) == []


def test_large_problems_are_priced_to_a_small_gap() -> None:
    """12 cells of 30 bearers with 15 split ones: everything holds, and the gap is small."""
    problem = make(5, 12, 30, 15, 0.9)
    a = solve_coupled(problem)
    assert a.solver == "dual"
    assert list(broken(problem, a)) == []
    assert a.gap_ratio <= 5e-3
    assert a.link_price[0] > 0.0
    assert a.link_load_bps[0] == pytest.approx(problem.links[0].capacity_bps, rel=1e-2)


def test_a_wide_link_has_no_price() -> None:
    """Where the link is wider than all its cells, each cell gets what it gets alone."""
    problem = replace(make(6, 2, 25, 0, 1.0), links=(Link("hub", 1e15, ("cell-0", "cell-1")),))
    a = solve_coupled(problem, method="dual")
    assert a.link_price[0] == pytest.approx(0.0, abs=1e-9)
    bound = sum(
        x.bound * cell.weight.mean() for x, cell in zip(solve(problem.cells), problem.cells, strict=True)
    )
    mean = np.concatenate([cell.weight for cell in problem.cells]).mean()
    assert a.bound == pytest.approx(bound / mean, rel=1e-3)


def test_rates_of_two_legs_add_up() -> None:
    """A split bearer alone in two cells gets the rates of both, each leg up to its maximum."""
    empty = Curves(np.empty((0, 1)), np.empty((0, 1)), np.empty(0, np.bool_))
    cells = tuple(CellProblem.build(name, "down", 1e6, [], [], empty) for name in ("a", "b"))
    legs = (Leg("a", 1e6), Leg("b", 2e6, 0.5))
    bearer = SplitBearer("u", "video", legs, np.array([0.0, 4e6]), np.array([1.0, 5.0]))
    for method in ("dual", "milp"):
        a = solve_coupled(CoupledProblem(cells, (), (bearer,)), method=method)
        np.testing.assert_allclose(a.leg_share_ratio[0], [1.0, 0.5], atol=1e-6)
        np.testing.assert_allclose(a.split_mos, [3.0], atol=1e-5)
        np.testing.assert_allclose(a.split_rate_bps, [2e6], rtol=1e-6)


def test_floors_that_the_link_cannot_carry_are_named() -> None:
    """Two floors of 3 Mbit/s behind 4 Mbit/s: one is kept, the other shed for the link."""
    ramp = Curves(np.array([[0.0, 1.0]]), np.array([[1.0, 5.0]]), np.zeros(1, np.bool_))
    cells = tuple(
        CellProblem.build(name, "down", 10e6, [name], ["web"], ramp, floor_mos=2.2) for name in ("a", "b")
    )
    a = solve_coupled(CoupledProblem(cells, (Link("hub", 4e6, ("a", "b")),)), method="dual")
    assert a.status == Status.PROMISES_CUT
    assert [(where, s.kind, s.reason) for where, s in a.shed] == [("b", "floor", "link")]
    assert a.mos_after[0][0] == pytest.approx(2.6, abs=1e-6)  # of equal slopes the first takes it all
    assert a.link_load_bps[0] == pytest.approx(4e6, rel=1e-6)


def test_a_split_floor_out_of_reach_is_named() -> None:
    """A floor above the curve's last MOS."""
    problem = make(7, 2, 4, 1, 0.5)
    bearer = replace(problem.split[0], floor_mos=4.9)
    a = solve_coupled(replace(problem, split=(bearer,)))
    assert [(where, s.kind, s.reason) for where, s in a.shed] == [("", "floor", "unreachable")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": ()}, r"\$\.cells: give one cell"),
        ({"links": (Link("x", -1.0, ("cell-0",)),)}, r"\$\.links\[0\]\.capacity_bps: -1"),
        ({"links": (Link("x", float("nan"), ("cell-0",)),)}, r"\$\.links\[0\]\.capacity_bps: nan"),
        (
            {"links": (Link("x", 1.0, ("none",)),)},
            r"\$\.links\[0\]\.cells\[0\]: there is no cell 'none' down",
        ),
        ({"links": (Link("x", 1.0, ("cell-0", "cell-0")),)}, r"\$\.links\[0\]\.cells\[1\]: .* twice"),
        ({"links": (Link("x", 1.0, ()),)}, r"\$\.links\[0\]\.cells: name one"),
        ({"links": (Link("x", 1.0, ("cell-0",)),) * 2}, r"\$\.links\[1\]\.name: link 'x' occurs twice"),
    ],
)
def test_what_is_wrong_with_cells_and_links_is_told(change: dict[str, Any], message: str) -> None:
    """One line that begins with the path."""
    with pytest.raises(ProblemError, match=f"^{message}"):
        solve_coupled(replace(make(8, 2, 3, 0, 1.0), **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"legs": ()}, r"\$\.split\[0\]\.legs: name one"),
        ({"legs": (Leg("none", 1.0),)}, r"\$\.split\[0\]\.legs\[0\]\.cell: there is no cell"),
        ({"legs": (Leg("cell-0", 0.0),)}, r"\$\.split\[0\]\.legs\[0\]\.efficiency_bps: 0"),
        ({"legs": (Leg("cell-0", 1.0, -1.0),)}, r"\$\.split\[0\]\.legs\[0\]\.max_share_ratio: -1"),
        ({"mos": RUNGS[::-1]}, r"\$\.split\[0\]\.curve\.mos\[1\]: 4: a curve must not fall"),
        ({"rate_bps": LADDER + 1.0}, r"\$\.split\[0\]\.curve\.rate_bps: must begin at 0"),
        ({"weight": float("inf")}, r"\$\.split\[0\]\.weight: inf"),
        ({"floor_mos": 6.0}, r"\$\.split\[0\]\.floor_mos: 6"),
    ],
)
def test_what_is_wrong_with_a_split_bearer_is_told(change: dict[str, Any], message: str) -> None:
    """One line that begins with the path."""
    problem = make(9, 2, 3, 1, 1.0)
    with pytest.raises(ProblemError, match=f"^{message}"):
        solve_coupled(replace(problem, split=(replace(problem.split[0], **change),)))


def test_what_coupled_cells_cannot_have_is_refused() -> None:
    """Other forms than the sum, guaranteed rates, unknown methods."""
    problem = make(10, 2, 3, 0, 1.0)
    first = problem.cells[0]
    for cell, message in (
        (replace(first, form="max_min"), r"\$\.cells\[0\]\.form: coupled cells"),
        (replace(first, alpha=1.0), r"\$\.cells\[0\]\.form: coupled cells"),
        (replace(first, gbr_bps=np.array([np.nan, 1e3, np.nan])), r"\$\.cells\[0\]\.bearers\[1\]\.gbr_bps"),
    ):
        with pytest.raises(ProblemError, match=f"^{message}"):
            solve_coupled(replace(problem, cells=(cell, problem.cells[1])))
    with pytest.raises(ProblemError, match="unknown method 'fast'; use one of auto, dual, milp"):
        solve_coupled(problem, method="fast")
