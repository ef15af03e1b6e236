"""The fast path against SciPy's solvers and against random problems of every awkward kind."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hard_problems import HIGHS, SPOILS, draw, examine, faults, spoil
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.errors import ProblemError
from qoe.optimise import Allocation, CellProblem, Group, solve
from qoe.schema import Curves
from qoe.tools.cells import KINDS, random_cells


def check(problem: CellProblem, allocation: Allocation) -> None:
    """Hold an allocation against its problem: feasible, valued right, below its bound."""
    assert list(faults(problem, allocation)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_milp_agrees_on_every_kind_of_curve(kind: str) -> None:
    """Neither solver's value is above the other's bound; searched to the end, they are the same."""
    cells = random_cells(21, 2, 8, kinds=[kind], floors=True, n_points=16)
    fast, exact = solve(cells, gap_target_ratio=0.0), solve(cells, method="milp")
    for cell, a, b in zip(cells, fast, exact, strict=True):
        check(cell, a)
        check(cell, b)
        assert a.objective <= b.bound + 1e-9
        assert b.objective <= a.bound + HIGHS
        assert a.objective >= b.objective - HIGHS - a.gap_ratio * (a.bound - a.weight.sum())


@pytest.mark.parametrize("groups", [False, True])
def test_milp_agrees_on_mixed_cells(groups: bool) -> None:
    """All kinds of curves, floors, tiers and groups in one cell."""
    cells = random_cells(22, 3, 14, floors=True, groups=groups, n_points=16)
    for cell, a, b in zip(cells, solve(cells), solve(cells, method="milp"), strict=True):
        check(cell, a)
        check(cell, b)
        assert a.shed == b.shed
        assert a.objective <= b.bound + 1e-9
        assert a.bound >= b.objective - HIGHS


@pytest.mark.parametrize("method", ["slsqp", "trust-constr"])
def test_climbing_gets_no_higher(method: str) -> None:
    """SciPy's local methods stay below the bound, and on concave curves come close to the fast path."""
    concave = random_cells(23, 2, 6, kinds=["concave"])
    mixed = random_cells(24, 2, 10, floors=True, groups=True)
    cells = [*concave, *(c for c in mixed)]
    cells = [CellProblem.build(**{**_fields(c), "cell": f"{i}"}) for i, c in enumerate(cells)]
    for k, (cell, a, b) in enumerate(zip(cells, solve(cells), solve(cells, method=method), strict=True)):
        check(cell, b)
        assert b.objective <= a.bound + HIGHS
        assert a.objective <= b.bound + HIGHS
        assert a.objective >= b.objective - a.gap_ratio * (a.bound - a.weight.sum()) - HIGHS
        if k < len(concave):
            assert b.objective == pytest.approx(a.objective, rel=1e-2)


def _fields(problem: CellProblem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in CellProblem.__slots__}


def test_overlapping_groups_against_enumeration() -> None:
    """Steps, and two groups that share a bearer: every combination of steps is tried."""
    rng = np.random.default_rng(25)
    for _ in range(6):
        share = np.concatenate((np.zeros((4, 1)), np.sort(rng.uniform(0.05, 0.6, (4, 2)), axis=1)), axis=1)
        mos = np.concatenate((np.ones((4, 1)), np.sort(rng.uniform(1.0, 5.0, (4, 2)), axis=1)), axis=1)
        groups = [Group("a", (0, 1, 2), 0.0, 0.7), Group("b", (2, 3), 0.0, 0.5)]
        cell = CellProblem.build(
            "c",
            "down",
            1e6,
            list("wxyz"),
            ["web"] * 4,
            Curves(share, mos, np.ones(4, np.bool_)),
            groups=groups,
        )
        best = 0.0
        for levels in itertools.product(range(3), repeat=4):
            s = share[np.arange(4), levels]
            if s.sum() <= 1.0 and s[:3].sum() <= 0.7 and s[2:].sum() <= 0.5:
                best = max(best, mos[np.arange(4), levels].sum())
        (a,) = solve([cell])
        check(cell, a)
        assert a.objective == pytest.approx(best, abs=HIGHS)


def test_certified_gap_is_small_from_30_bearers_on() -> None:
    """On cells of 30 to 100 bearers the mean certified gap is 0.1 % or less, as promised."""
    cells = random_cells(26, 60, (30, 100), floors=True, n_points=32)
    gaps = [a.gap_ratio for a in solve(cells)]
    assert np.mean(gaps) <= 1e-3


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_constraint_is_broken_unnamed(number: int) -> None:
    """Whatever is asked, the answer is feasible, below its bound, and names each promise not kept."""
    problem = draw(number)
    check(problem, *solve([problem], gap_target_ratio=1e-3))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_way_of_solving_contradicts_another(number: int) -> None:
    """Of hard problems no solver's value is above another's bound; spoilt ones are refused with a path."""
    wrong, _ = examine(number)
    assert wrong == []


def test_spoilt_values_are_found_wherever_they_are() -> None:
    """Each field that can be spoilt is drawn, and refused with its path."""
    seen = set()
    for number in range(120):
        problem, path = spoil(number)
        seen.add(path.partition("]")[2] or path)
        with pytest.raises(ProblemError) as caught:
            solve([problem])
        assert str(caught.value).startswith("$.cells[0]")
        assert path in str(caught.value)
    assert len(seen) == len(SPOILS) - 1  # a curve's two tables share a path
