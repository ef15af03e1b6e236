"""Coupled cells: links and split bearers by prices, against milp on the whole and the linear relaxation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.optimise import (
    CellProblem,
    CoupledAllocation,
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
from qoe.tools.cells import random_cells

HIGHS = 5e-6
LADDER = np.array([0.0, 1e6, 2e6, 4e6, 8e6])
RUNGS = np.array([1.0, 2.0, 3.2, 4.0, 4.6])


def make(
    seed: int, n_cells: int, n_bearers: int, n_split: int, load: float, **options: Any
) -> CoupledProblem:
    """Draw cells behind a link that carries `load` of a third of their capacity, and split bearers."""
    rng = np.random.default_rng(seed)
    cells = [
        replace(c, direction="down") for c in random_cells(seed, n_cells, n_bearers, n_points=16, **options)
    ]
    names = tuple(c.cell for c in cells)
    link = Link("hub", load * sum(c.capacity_bps for c in cells) / 3.0, names)
    split = [
        SplitBearer(
            f"u{u}",
            "video",
            tuple(Leg(names[c], 1e8 * rng.uniform(0.5, 2.0)) for c in rng.choice(n_cells, 2, replace=False)),
            LADDER * rng.uniform(0.5, 2.0),
            RUNGS,
            step=bool(rng.random() < 0.5),
            floor_mos=2.0 if rng.random() < 0.3 else np.nan,
        )
        for u in range(n_split)
    ]
    return CoupledProblem(tuple(cells), (link,), tuple(split))


def broken(problem: CoupledProblem, a: CoupledAllocation) -> Iterator[str]:
    """Name every constraint that shares violate, unless the promise behind it is listed as shed."""
    shed = {(where, s.kind, s.index) for where, s in a.shed}
    load = {link.name: 0.0 for link in problem.links}
    for c, (cell, share) in enumerate(zip(problem.cells, a.share_ratio, strict=True)):
        legs = [
            (float(a.leg_share_ratio[u][k]), leg)
            for u, b in enumerate(problem.split)
            for k, leg in enumerate(b.legs)
            if (leg.cell, b.direction) == (cell.cell, cell.direction)
        ]
        if share.sum() + sum(s for s, _ in legs) > cell.budget_ratio + 1e-9 or (share < 0.0).any():
            yield f"budget {c}"
        if (share > cell.max_share_ratio + 1e-9).any():
            yield f"max_share {c}"
        short = np.flatnonzero(a.mos_after[c] < cell.floor_mos - 1e-9)
        yield from (f"floor {c} {i}" for i in short if (cell.cell, "floor", int(i)) not in shed)
        for group in cell.groups:
            total = share[list(group.members)].sum()
            if not group.min_share_ratio - 1e-9 <= total <= group.max_share_ratio + 1e-9:
                yield f"group {c} {group.name}"
        for link in problem.links:
            if cell.cell in link.cells:
                load[link.name] += share @ cell.efficiency_bps + sum(
                    s * leg.efficiency_bps for s, leg in legs
                )
    for link in problem.links:
        if load[link.name] > link.capacity_bps * (1.0 + 1e-9):
            yield f"link {link.name}"
    for u, bearer in enumerate(problem.split):
        if a.split_mos[u] < bearer.floor_mos - 1e-9 and ("", "floor", u) not in shed:
            yield f"split floor {u}"


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
