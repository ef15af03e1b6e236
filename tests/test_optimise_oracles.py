"""The fast path against SciPy's solvers and against random problems of every awkward kind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.optimise import Allocation, CellProblem, Group, Status, solve
from qoe.optimise.program import make_program, value_at
from qoe.optimise.promises import disjoint, keep_promises
from qoe.schema import Curves
from qoe.tools.cells import KINDS, random_cells

HIGHS = 2e-6  # absolute gap and feasibility at which HiGHS is content


def broken(problem: CellProblem, allocation: Allocation) -> Iterator[str]:
    """Name every constraint that shares violate, unless the promise behind it is listed as shed."""
    share, slack = allocation.share_ratio, 1e-9 * problem.budget_ratio
    shed = {(s.kind, s.index) for s in allocation.shed}
    if not np.isfinite(share).all() or (share < 0.0).any():
        yield "range"
    if share.sum() > problem.budget_ratio + slack:
        yield "budget"
    for i in range(problem.n_bearers):
        if share[i] > problem.max_share_ratio[i] + slack:
            yield f"max_share {i}"
        if share[i] < problem.min_share_ratio[i] - slack and ("min_share", i) not in shed:
            yield f"min_share {i}"
        if allocation.mos_after[i] < problem.floor_mos[i] - 1e-9 and ("floor", i) not in shed:
            yield f"floor {i}"
    for g, group in enumerate(problem.groups):
        total = share[list(group.members)].sum()
        if total > group.max_share_ratio + slack:
            yield f"group_max {g}"
        if total < group.min_share_ratio - slack and ("group_min", g) not in shed:
            yield f"group_min {g}"


def check(problem: CellProblem, allocation: Allocation) -> None:
    """Hold an allocation against its problem: feasible, valued right, below its bound."""
    assert list(broken(problem, allocation)) == []
    if allocation.status in (Status.EMPTY, Status.NO_CAPACITY):
        return
    program = make_program(problem, keep_promises(problem))
    value = value_at(program, allocation.share_ratio)
    assert allocation.objective == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert allocation.objective <= allocation.bound
    assert allocation.mean_mos_after <= allocation.mos_bound
    assert 0.0 <= allocation.gap_ratio <= 1.0


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


@st.composite
def problems(draw: st.DrawFn) -> CellProblem:
    """Draw cells that tie, contradict themselves, are flat, huge or tiny."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_points = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    scale = 10.0 ** draw(st.sampled_from([0, 0, 0, -12, -6, 6, 12]))
    if draw(st.booleans()):
        share = rng.choice([0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 1.0, 1.5], (n, n_points))
    else:
        share = rng.random((n, n_points)) * draw(st.sampled_from([1.0, 1e-6, 1e6]))
    share = np.sort(share, axis=1)
    share[:, 0] = 0.0
    mos = np.sort(rng.choice([1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0], (n, n_points)), axis=1)
    if draw(st.booleans()):
        share[:], mos[:] = share[0], mos[0]
    low = np.where(
        rng.random(n) < draw(st.sampled_from([0.0, 0.3])), rng.choice([0.05, 0.1, 0.4, 0.8], n), 0.0
    )
    cut = draw(st.integers(0, n))
    order = [int(i) for i in rng.permutation(n)]
    groups = [
        Group(name, tuple(members), float(least) * scale, float(least + more) * scale)
        for name, members, least, more in (
            ("a", order[:cut], rng.choice([0.0, 0.3]), rng.random()),
            ("b", order[cut:], rng.choice([0.0, 0.2]), rng.random()),
        )
        if members and draw(st.booleans())
    ]
    promised = rng.random(n) < draw(st.sampled_from([0.0, 0.4]))
    return CellProblem.build(
        "c",
        "up",
        draw(st.sampled_from([1e6, 1e6, 1e-3, 1e15, 0.0])),
        [f"s{i}" for i in range(n)],
        ["web"] * n,
        Curves(share * scale, mos, rng.random(n) < 0.5),
        weight=10.0 ** rng.integers(-6, 7, n) if draw(st.booleans()) else 1.0,
        min_share_ratio=low * scale,
        max_share_ratio=np.where(rng.random(n) < 0.3, low + rng.random(n), low + 2.0) * scale,
        floor_mos=np.where(promised, rng.uniform(1.0, 5.0, n), np.nan),
        share_running_ratio=np.where(rng.random(n) < 0.2, rng.random(n) * scale, np.nan),
        tier=[("x", "y", None)[int(t)] for t in rng.integers(0, 3, n)],
        tiers=("x", "y"),
        groups=groups,
        budget_ratio=draw(st.sampled_from([1.0, 0.5, 2.0, 0.01])) * scale,
        alpha=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0])),
    )


@settings(max_examples=150, deadline=None)
@given(problems())
def test_no_constraint_is_broken_unnamed(problem: CellProblem) -> None:
    """Whatever is asked, the answer is feasible, below its bound, and names each promise not kept."""
    (fast,) = solve([problem], gap_target_ratio=1e-3)
    check(problem, fast)
    assert (fast.status == Status.PROMISES_CUT) == bool(fast.shed) or fast.status == Status.NO_CAPACITY
    assert disjoint(problem.groups)


@settings(max_examples=15, deadline=None)
@given(problems())
def test_milp_finds_nothing_better(problem: CellProblem) -> None:
    """On the same awkward problems milp's value is not above the fast path's bound, nor the other way."""
    (fast,), (exact,) = solve([problem], gap_target_ratio=0.0), solve([problem], method="milp")
    check(problem, exact)
    scale = max(1.0, abs(fast.bound))
    assert exact.objective <= fast.bound + HIGHS * scale
    assert fast.objective <= exact.bound + HIGHS * scale
