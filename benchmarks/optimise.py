"""How fast cells are shared, and how near the best: the fast path, beside SciPy's solvers.

Cells are drawn by `qoe.tools.cells`: curves of 64 points of all four kinds, floors, tiers. ``fast`` is the
compiled solver on packed arrays. `mode` is ``cold``: no hull kept, no price known; or ``warm``: weights are
new (up to 3 % off) and so are the curves of every hundredth bearer, hulls and prices are those of the solve
before. One cell is solved over and over, so its curves lie in the cache; a batch is read from memory.

`bound` says what the gaps are: ``dual`` is the relaxation, rounded, no search; ``branch`` is by branch and
bound until the gap is 0.1 %. `gap_ratio_...` are certified: (bound - value) / (bound - value at MOS 1 for
all).

SciPy's solvers run on the same cells. `times_fast` is how many times as long they take as the fast path,
cold, on the very same cells; `shortfall_gaps_max` is how far the fast path's value lies below theirs at
most, in units of its own certified gap: 1 or less is what the certificate promises, below 0 means that it
is above.

``solve`` is all of `qoe.optimise.solve`, from checking to explanation; ``forms`` are the forms of the problem
by it; ``coupled`` are 20 cells behind one link with 20 split bearers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from qoe.optimise import CellProblem, CoupledProblem, Leg, Link, SplitBearer, solve, solve_coupled
from qoe.optimise.fast import FastSolver
from qoe.optimise.general import solve_general
from qoe.optimise.program import Program, Solution, gap_ratio, to_program
from qoe.tools.cells import random_cells

SEED = 20
REPEATS = 7
STALE_RATIO = 0.03
NEW_CURVES = 100  # one bearer of so many has a new curve in a warm solve
BRANCH_TARGET = 1e-3
BRANCH_NODES = 4000
CELLS_OF = {10: 2000, 30: 1000, 100: 500, 1000: 50}
GENERAL_CELLS_OF = {10: 20, 30: 10, 100: 5}
BATCH = (10_000, 50)
DISTINCT = 1000  # cells that are drawn for the batch; the rest are these with other weights and efficiencies


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure all cases.

    Parameters
    ----------
    quick : bool
        Few cells each, SciPy's solvers on cells of 10 only.

    Returns
    -------
    list of dict
        One a case, with `solver`, `mode`, `bound`, `n_cells`, `n_bearers`, `us_per_cell`, `gap_ratio_mean`,
        `gap_ratio_max`; batches also with `batch_s`, SciPy's also with `times_fast`, `shortfall_gaps_max`.
    """
    cases = []
    for n_bearers, n_cells in CELLS_OF.items():
        cells = random_cells(SEED, max(2, n_cells // 100) if quick else n_cells, n_bearers, floors=True)
        programs = [to_program(cell) for cell in cells]
        cases += _fast(programs, n_bearers)
        cases.append(_whole(cells, n_bearers))
        if n_bearers in GENERAL_CELLS_OF and not (quick and n_bearers > 10):
            few = programs[: 2 if quick else GENERAL_CELLS_OF[n_bearers]]
            cases += [_general(few, n_bearers, method) for method in ("milp", "slsqp")]
    cases += _batch(*((100, 50) if quick else BATCH))
    cases += _forms(2 if quick else 50)
    return [*cases, _coupled(3 if quick else 20)]


def _fast(programs: Sequence[Program], n_bearers: int) -> list[dict[str, Any]]:
    """One cell at a time, and all in one call, rounded and searched."""
    cases = []
    for bound, options in (("dual", {"max_nodes": 1}), ("branch", _branching())):
        one_by_one = [FastSolver([program], **options) for program in programs[:20]]
        for solvers in (one_by_one, [FastSolver(programs, **options)]):
            for mode in ("cold", "warm"):
                us = sum(_best_us(solver, mode) for solver in solvers)
                gaps = np.concatenate([_gaps(solver) for solver in solvers])
                n_cells = solvers[0].data.cells.size
                cases.append(_case("fast", mode, bound, n_cells, n_bearers, us / gaps.size, gaps))
    return cases


def _batch(n_cells: int, n_bearers: int) -> list[dict[str, Any]]:
    """Ten thousand cells in one call: half a gigabyte of curves, read from memory."""
    rng = np.random.default_rng(SEED)
    distinct = [
        to_program(cell) for cell in random_cells(SEED, min(n_cells, DISTINCT), n_bearers, floors=True)
    ]
    programs = [_variant(rng, distinct[i % len(distinct)]) for i in range(n_cells)]
    cases = []
    for bound, options in (("dual", {"max_nodes": 1}), ("branch", _branching())):
        solver = FastSolver(programs, **options)
        for mode in ("cold", "warm"):
            us = _best_us(solver, mode)
            case = _case("fast", mode, bound, n_cells, n_bearers, us / n_cells, _gaps(solver))
            cases.append({**case, "batch_s": us / 1e6})
    return cases


def _variant(rng: np.random.Generator, program: Program) -> Program:
    """Give a cell other weights and other efficiencies."""
    n = len(program.low)
    factor = rng.uniform(0.8, 1.25, n)
    heights = replace(program.heights, share=program.heights.share * factor[:, None])
    low = program.low * factor * min(1.0, program.budget / max((program.low * factor).sum(), 1e-12))
    return replace(program, heights=heights, low=low, weight=program.weight * rng.uniform(0.8, 1.25, n))


def _branching() -> dict[str, Any]:
    return {"max_nodes": BRANCH_NODES, "gap_target_ratio": BRANCH_TARGET}


def _gaps(solver: FastSolver) -> np.ndarray:
    records = solver.data.cells
    return (records["bound"] - records["value"]) / (records["bound"] - records["base"])


def _best_us(solver: FastSolver, mode: str) -> float:
    """Least time of a few solves, cold or warm; what a warm one begins with is set up outside the clock."""
    rng = np.random.default_rng(SEED)
    weight = solver.data.bearers["weight"].copy()
    solver.solve()
    price = solver.data.cells["price"].copy()
    best = np.inf
    for _ in range(REPEATS):
        if mode == "cold":
            solver.reset()
        else:
            solver.data.bearers["weight"] = weight * rng.uniform(
                1.0 - STALE_RATIO, 1.0 + STALE_RATIO, weight.size
            )
            solver.data.bearers["n_hull"][rng.integers(NEW_CURVES) :: NEW_CURVES] = 0
            solver.warm_start(price)
        best = min(best, _timed_us(solver.solve))
    solver.data.bearers["weight"] = weight
    solver.solve()
    return best


def _whole(cells: Sequence[CellProblem], n_bearers: int) -> dict[str, Any]:
    gaps = np.array([allocation.gap_ratio for allocation in solve(cells)])
    us = _timed_us(lambda: solve(cells)) / len(cells)
    return _case("solve", "cold", "branch", len(cells), n_bearers, us, gaps)


def _general(programs: Sequence[Program], n_bearers: int, method: str) -> dict[str, Any]:
    """One of SciPy's solvers beside the fast path on the same cells."""
    ours: list[Solution] = []
    fast_us = 0.0
    for program in programs:
        solver = FastSolver([program], max_nodes=1)
        fast_us += _best_us(solver, "cold")
        ours += solver.solutions()
    theirs: list[Solution] = []
    us = _timed_us(lambda: theirs.extend(solve_general(program, method) for program in programs))
    gaps = np.array([gap_ratio(s.value, s.bound, p.base) for s, p in zip(theirs, programs, strict=True)])
    shortfalls = [
        (b.value - a.value) / max(a.bound - a.value, 1e-12) for a, b in zip(ours, theirs, strict=True)
    ]
    case = _case(
        method, "cold", "dual" if method == "slsqp" else "branch", 1, n_bearers, us / len(programs), gaps
    )
    return {**case, "times_fast": us / fast_us, "shortfall_gaps_max": float(max(shortfalls))}


def _forms(n_cells: int) -> list[dict[str, Any]]:
    """Each form of the problem on the same cells, whole."""
    cells = random_cells(SEED, n_cells, 50, floors=True)
    cases = []
    for form, more in (("sum", {}), ("alpha 1", {"alpha": 1.0}), ("max_min", {}), ("lexicographic", {})):
        some = [replace(cell, form=form if " " not in form else "sum", **more) for cell in cells]
        gaps = np.array([allocation.gap_ratio for allocation in solve(some)])
        us = _timed_us(lambda some=some: solve(some)) / n_cells
        cases.append({**_case("solve", "cold", "branch", n_cells, 50, us, gaps), "form": form})
    return cases


def _coupled(n_cells: int) -> dict[str, Any]:
    """Cells behind one link that is too narrow for them, and bearers that hang on two."""
    rng = np.random.default_rng(SEED)
    cells = [replace(cell, direction="down") for cell in random_cells(SEED, n_cells, 50)]
    names = tuple(cell.cell for cell in cells)
    link = Link("hub", 0.25 * sum(cell.capacity_bps for cell in cells), names)
    split = [
        SplitBearer(
            f"u{u}",
            "video",
            tuple(Leg(names[c], 1e8 * rng.uniform(0.5, 2.0)) for c in rng.choice(n_cells, 2, replace=False)),
            np.array([0.0, 1e6, 2e6, 4e6, 8e6]),
            np.array([1.0, 2.0, 3.2, 4.0, 4.6]),
            step=True,
        )
        for u in range(n_cells)
    ]
    problem = CoupledProblem(tuple(cells), (link,), tuple(split))
    gap = solve_coupled(problem, method="dual").gap_ratio
    us = _timed_us(lambda: solve_coupled(problem, method="dual")) / n_cells
    return {**_case("coupled", "cold", "dual", n_cells, 50, us, np.array([gap])), "n_split": len(split)}


def _timed_us(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e6


def _case(
    solver: str, mode: str, bound: str, n_cells: int, n_bearers: int, us_per_cell: float, gaps: np.ndarray
) -> dict[str, Any]:
    return {
        "solver": solver,
        "mode": mode,
        "bound": bound,
        "n_cells": n_cells,
        "n_bearers": n_bearers,
        "us_per_cell": us_per_cell,
        "gap_ratio_mean": float(np.mean(gaps)),
        "gap_ratio_max": float(np.max(gaps)),
    }
