"""The compiled per-cell solver: against its NumPy twin, against enumeration, and on degenerate input."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.optimise import Group
from qoe.optimise.fast import FastSolver
from qoe.optimise.program import Program, make_program
from qoe.optimise.promises import keep_promises
from qoe.schema import Curves
from qoe.tools.cells import random_cells
from qoe_native import waterfill


def make_programs(seed: int, n_cells: int, n_bearers: int, **options: Any) -> list[Program]:
    """Draw programs of random cells."""
    cells = random_cells(seed, n_cells, n_bearers, **options)
    return [make_program(cell, keep_promises(cell)) for cell in cells]


def solved(programs: Sequence[Program], **options: Any) -> FastSolver:
    """Solve programs."""
    solver = FastSolver(programs, **options)
    solver.solve()
    return solver


def small(rng: np.random.Generator, n: int, n_points: int, *, step: bool | None = None) -> Program:
    """Draw a small program with round numbers, so that ties and exact fits happen."""
    share = np.sort(rng.choice(np.arange(0.0, 1.3, 0.1), (n, n_points)), axis=1)
    share[:, 0] = 0.0
    low = np.where(rng.random(n) < 0.3, 0.1, 0.0)
    return Program(
        Curves(
            share,
            np.sort(rng.choice(np.arange(1.0, 5.1, 0.5), (n, n_points)), axis=1),
            rng.random(n) < 0.5 if step is None else np.full(n, step),
        ),
        low,
        np.where(rng.random(n) < 0.3, low + 0.45, 1.0),
        rng.choice([0.5, 1.0, 1.5], n),
        (),
        1.0,
        1.0,
    )


def read(program: Program, i: int, share: float) -> float:
    """Read one curve, in other words than the program does."""
    x, y = program.heights.share[i], program.heights.mos[i]
    at = max(k for k in range(x.size) if x[k] <= share)
    if program.heights.step[i] or at + 1 == x.size:
        return float(y[at])
    return float(y[at] + (y[at + 1] - y[at]) * (share - x[at]) / (x[at + 1] - x[at]))


def enumerate_best(program: Program) -> float:
    """Try all combinations of breakpoints with one bearer in between: one of these is optimal."""
    n = len(program.low)
    points = [sorted({program.low[i], program.high[i], *program.heights.share[i].tolist()}) for i in range(n)]
    points = [[p for p in points[i] if program.low[i] <= p <= program.high[i]] for i in range(n)]
    best = -np.inf
    for filler in range(n):
        for shares in itertools.product(*(points[i] if i != filler else [0.0] for i in range(n))):
            room = program.budget + 1e-12 - sum(shares)
            if room >= program.low[filler]:
                all_shares = [*shares[:filler], min(room, program.high[filler]), *shares[filler + 1 :]]
                value = sum(program.weight[i] * read(program, i, s) for i, s in enumerate(all_shares))
                best = max(best, value)
    return best


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("max_nodes", [0, 1, 60])
def test_twin_agrees(groups: bool, max_nodes: int) -> None:
    """Prices, bounds, values and numbers of nodes are those of the NumPy twin."""
    programs = make_programs(7, 8, 12, floors=True, groups=groups)
    ours = solved(programs, max_nodes=max_nodes).data.cells
    twin = solved(programs, max_nodes=max_nodes, twin=True).data.cells
    for field in ("relaxed", "price", "value", "bound"):
        np.testing.assert_allclose(ours[field], twin[field], rtol=1e-9, err_msg=field)
    np.testing.assert_array_equal(ours["n_nodes"], twin["n_nodes"])


@pytest.mark.parametrize("step", [True, False, None])
def test_enumeration_finds_nothing_better(step: bool | None) -> None:
    """On small cells with ties and exact fits the search ends at the optimum, and proves it."""
    rng = np.random.default_rng(11)
    programs = [small(rng, int(rng.integers(1, 5)), int(rng.integers(1, 6)), step=step) for _ in range(60)]
    best = [enumerate_best(program) for program in programs]
    cells = solved(programs, gap_target_ratio=0.0, max_nodes=2000).data.cells
    np.testing.assert_allclose(cells["value"], best, rtol=1e-9)
    np.testing.assert_allclose(cells["bound"], best, rtol=1e-9)
    assert (cells["relaxed"] >= np.array(best) - 1e-9).all()


def test_strong_duality() -> None:
    """The bound is the Lagrangian at the price found, and the budget is spent unless it is free."""
    programs = make_programs(3, 20, 15)
    solver = solved(programs, max_nodes=0)
    for program, record, relaxed in zip(programs, solver.data.cells, solver.relaxed(), strict=True):
        price = record["price"]
        lagrangian = price * program.budget
        for i, curve in enumerate(program.heights.share):
            stands = [*curve[curve <= 1.0], 1.0]
            lagrangian += max(program.weight[i] * read(program, i, s) - price * s for s in stands)
        assert record["bound"] == pytest.approx(lagrangian, rel=1e-9)
        assert relaxed.hull.sum() == pytest.approx(record["bound"], rel=1e-12)
        assert price == 0.0 or relaxed.share.sum() == pytest.approx(program.budget, rel=1e-9)


@pytest.mark.parametrize("guess", [np.nan, -1.0, 1e-300, 1e-3, 1.0, 1e3, 1e300, np.inf])
def test_any_guess_of_the_price_will_do(guess: float) -> None:
    """A warm start changes how the solver gets there, not where."""
    solver = solved(make_programs(5, 10, 20), max_nodes=1)
    cold = solver.data.cells.copy()
    solver.data.cells["price"] = guess
    solver.solve()
    for field in ("relaxed", "price", "value"):
        np.testing.assert_allclose(solver.data.cells[field], cold[field], rtol=1e-9)


def test_same_input_same_bits() -> None:
    """Alone or in a batch, once or again, a cell gets the same shares to the last bit."""
    programs = make_programs(6, 6, 25, floors=True, groups=True)
    batch = [solution.share for solution in solved(programs).solutions()]
    for program, share in zip(programs, batch, strict=True):
        np.testing.assert_array_equal(solved([program]).solutions()[0].share, share)


def test_search_leaves_the_problem_as_it_was() -> None:
    """Branching narrows bounds and puts them back."""
    programs = make_programs(8, 10, 10, kinds=["staircase"])
    solver = FastSolver(programs, gap_target_ratio=0.0)
    before = solver.data.bearers[["low", "high", "weight"]].copy()
    solver.solve()
    assert solver.data.cells["n_nodes"].max() > 10
    np.testing.assert_array_equal(solver.data.bearers[["low", "high", "weight"]], before)


def test_groups_hold() -> None:
    """Sums of members stay within their group's bounds, also where a minimum is of use to nobody."""
    programs = make_programs(9, 30, 9, groups=True)
    programs.append(replace(programs[0], groups=(Group("idle", (0,), 0.9, 1.0),), low=np.zeros(9)))
    for program, solution in zip(programs, solved(programs).solutions(), strict=True):
        assert solution.share.sum() <= program.budget + 1e-9
        for group in program.groups:
            total = solution.share[list(group.members)].sum()
            assert group.min_share_ratio - 1e-9 <= total <= group.max_share_ratio + 1e-9


def test_members_alone_with_their_group_are_a_cell() -> None:
    """A group of all with a maximum below the budget is a cell with that budget."""
    programs = make_programs(10, 10, 12)
    grouped = [replace(p, groups=(Group("all", tuple(range(12)), 0.0, 0.6),)) for p in programs]
    smaller = [replace(p, budget=0.6) for p in programs]
    ours, theirs = solved(grouped, max_nodes=0).data.cells, solved(smaller, max_nodes=0).data.cells
    np.testing.assert_allclose(ours["bound"], theirs["bound"], rtol=1e-9)


def test_identical_bearers() -> None:
    """Bearers that are all the same: as many are served as fit, and the bound is right."""
    step = Curves(np.tile([0.0, 0.3], (10, 1)), np.tile([1.0, 4.0], (10, 1)), np.ones(10, np.bool_))
    program = Program(step, np.zeros(10), np.ones(10), np.ones(10), (), 1.0, 10.0)
    (record,) = solved([program]).data.cells
    assert record["value"] == pytest.approx(10.0 + 3 * 3.0)
    assert record["value"] < record["bound"] <= 10.0 + 3.0 / 0.3 + 1e-9


def test_an_exact_fit_fits() -> None:
    """Ten steps of a tenth each fit into one, whatever the rounding of their sum."""
    step = Curves(np.tile([0.0, 0.1], (10, 1)), np.tile([1.0, 4.0], (10, 1)), np.ones(10, np.bool_))
    program = Program(step, np.zeros(10), np.ones(10), np.ones(10), (), 1.0, 10.0)
    assert solved([program]).data.cells["value"][0] == pytest.approx(40.0)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_scale_of_shares_and_weights_is_of_no_account(scale: float) -> None:
    """Shares in other units give the same value; weights in other units scale it."""
    (program,) = make_programs(12, 1, 20)
    heights = replace(program.heights, share=program.heights.share * scale)
    other = replace(
        program,
        heights=heights,
        budget=scale,
        low=program.low * scale,
        high=program.high * scale,
        weight=program.weight / scale,
        base=program.base / scale,
    )
    ours, theirs = (solved([p]).data.cells[0] for p in (program, other))
    assert theirs["value"] * scale == pytest.approx(ours["value"], rel=1e-9)
    assert theirs["bound"] * scale == pytest.approx(ours["bound"], rel=1e-9)


@pytest.mark.parametrize(
    ("share", "mos"),
    [
        ([[0.0]], [[3.0]]),
        ([[0.0, 0.5]], [[2.0, 2.0]]),
        ([[0.0, 0.0, 0.5]], [[1.0, 2.0, 2.0]]),
        ([[0.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]),
    ],
)
def test_curves_with_little_to_them(share: list[list[float]], mos: list[list[float]]) -> None:
    """One point, flat, a jump at 0, and beyond the budget: read right and solved."""
    for step in (False, True):
        heights = Curves(np.array(share), np.array(mos), np.array([step]))
        program = Program(heights, np.zeros(1), np.ones(1), np.ones(1), (), 1.0, 1.0)
        (record,) = solved([program], gap_target_ratio=0.0).data.cells
        assert record["value"] == pytest.approx(read(program, 0, 1.0))
        assert record["bound"] == pytest.approx(record["value"])


def test_bearers_of_no_weight_get_no_more_than_their_minimum() -> None:
    """A weight of 0 takes part with its lower bound alone."""
    (program,) = make_programs(13, 1, 6)
    weight, low = program.weight.copy(), program.low.copy()
    weight[2], low[2] = 0.0, 0.01
    share = solved([replace(program, weight=weight, low=low)]).solutions()[0].share
    assert share[2] == 0.01


def test_contradictory_bounds_have_no_value() -> None:
    """Lower bounds above the budget give minus infinity, not a crash or a wrong allocation."""
    (program,) = make_programs(14, 1, 5)
    for options in ({"max_nodes": 0}, {"max_nodes": 50}, {"max_nodes": 50, "twin": True}):
        (record,) = solved([replace(program, low=np.full(5, 0.3))], **options).data.cells
        assert record["value"] == -np.inf


def test_kept_hulls_are_those_that_would_be_built() -> None:
    """New weights, costs, bounds and curves, in place: the same bits as a solver set up with them."""
    rng = np.random.default_rng(15)
    programs = make_programs(15, 5, 12, floors=True)
    solver = solved(programs)
    for change in range(6):
        cell = int(rng.integers(0, 5))
        program = programs[cell]
        if change % 3 == 0:
            program = replace(program, weight=program.weight * rng.uniform(0.2, 3.0, 12))
            solver.update(cell, weight=program.weight)
        elif change % 3 == 1:
            program = replace(program, high=program.high * rng.uniform(0.02, 1.0, 12))
            program = replace(program, high=np.maximum(program.high, program.low), budget=0.9)
            solver.update(cell, high=program.high, budget=0.9)
        else:
            heights = replace(program.heights, mos=np.minimum(5.0, program.heights.mos * 1.1))
            program = replace(program, heights=heights)
            solver.update(cell, heights=heights)
        programs[cell] = program
        solver.warm_start(0.0)
        solver.solve()
        fresh = solved(programs)
        for field in ("value", "bound", "price"):
            np.testing.assert_array_equal(solver.data.cells[field], fresh.data.cells[field])
        np.testing.assert_array_equal(solver.data.bearers["share"], fresh.data.bearers["share"])


def test_replacing_a_program() -> None:
    """Another program of the same shape takes a cell's place, groups and all; one of another is refused."""
    ours = make_programs(16, 3, 9, groups=True)
    other = replace(
        ours[1],
        weight=ours[1].weight[::-1].copy(),
        groups=tuple(replace(g, max_share_ratio=g.max_share_ratio + 0.05) for g in ours[1].groups),
    )
    solver = solved(ours)
    solver.replace(1, other)
    solver.warm_start(0.0)
    solver.solve()
    fresh = solved([ours[0], other, ours[2]])
    np.testing.assert_array_equal(solver.shares(1), fresh.shares(1))
    with pytest.raises(ProblemError, match="other bearers or groups"):
        solver.replace(1, ours[0])
    wide = replace(ours[0].heights, share=np.zeros((9, 99)), mos=np.ones((9, 99)))
    with pytest.raises(ProblemError, match="curves of 99 points: the solver was set up for 64"):
        solver.update(0, heights=wide)


def test_update_of_all_cells_takes_one_array() -> None:
    """Without a cell, arrays hold the bearers of all programs one after the other."""
    programs = make_programs(17, 3, 8, groups=True)
    solver = solved(programs)
    weight = np.random.default_rng(17).uniform(0.5, 2.0, 24)
    solver.update(weight=weight, budget=np.array([0.8, 0.9, 1.0]))
    solver.solve()
    for i, program in enumerate(programs):
        alone = replace(program, weight=weight[8 * i : 8 * i + 8], budget=(0.8, 0.9, 1.0)[i])
        record = solved([alone]).data.cells[0]
        assert solver.data.cells["value"][i] == pytest.approx(record["value"], rel=1e-9)
        assert solver.data.cells["bound"][i] == pytest.approx(record["bound"], rel=1e-9)


@pytest.mark.parametrize("groups", [False, True])
def test_nothing_is_allocated_once_set_up(groups: bool) -> None:
    """Update, warm start and solve leave no trace in memory, and need none that grows with the problem."""
    programs = make_programs(18, 2, 2000, groups=groups)
    solver = solved(programs)
    weight, low = programs[0].weight * 1.1, programs[0].low
    heights, price = programs[1].heights, solver.data.cells["price"] * 1.03

    def cycle() -> None:
        solver.update(0, weight=weight, low=low)
        solver.update(1, heights=heights)
        solver.warm_start(price)
        solver.solve()

    cycle()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        cycle()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000  # one array of as many bearers takes 16,000 bytes
    assert peak - before < 8_000


def test_a_cost_is_a_price_that_is_paid_outside() -> None:
    """With a cost on every share the bound is that of the Lagrangian; the twin agrees; 0 changes nothing."""
    programs = make_programs(19, 6, 15)
    plain = solved(programs, max_nodes=0)
    price = plain.data.cells["price"].copy()
    solver, twin = FastSolver(programs, max_nodes=0), FastSolver(programs, max_nodes=0, twin=True)
    cost = np.repeat(price, 15)
    for each in (solver, twin):
        each.update(cost=cost, budget=10.0)
        each.solve()
    # a budget that does not bind, at the price of the one that does: strong duality
    np.testing.assert_allclose(solver.data.cells["bound"] + price, plain.data.cells["bound"], rtol=1e-9)
    np.testing.assert_allclose(solver.data.cells["bound"], twin.data.cells["bound"], rtol=1e-9)
    solver.update(cost=np.zeros(90), budget=1.0)
    solver.solve()
    np.testing.assert_allclose(solver.data.cells["bound"], plain.data.cells["bound"], rtol=1e-12)


@pytest.mark.parametrize("max_nodes", [1, 60])
def test_twin_agrees_where_shares_cost(max_nodes: int) -> None:
    """Rounding and branching weigh what a share costs as the twin does."""
    programs = make_programs(20, 6, 10)
    results = []
    for twin in (False, True):
        solver = FastSolver(programs, max_nodes=max_nodes, twin=twin)
        solver.update(cost=np.linspace(0.0, 4.0, 60))
        solver.solve()
        results.append(solver.data.cells)
    for field in ("relaxed", "price", "value", "bound"):
        np.testing.assert_allclose(results[0][field], results[1][field], rtol=1e-9, err_msg=field)


def test_cached_code_is_of_all_files() -> None:
    """Numba's cache looks at one file: the others' checksum is part of what the solver is compiled from."""
    folder = Path(waterfill.__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("waterfill*.py")))
    assert zlib.crc32(sources) in [c.cell_contents for c in waterfill._solve_cells.py_func.__closure__]


def test_works_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba refuses to cache where nothing is writable: then it is compiled all the same."""
    plain = waterfill.njit

    def refusing(function: Any, **options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(function, **options)

    monkeypatch.setattr(waterfill, "njit", refusing)
    assert waterfill._compiled(lambda x: x + 1)(1) == 2
