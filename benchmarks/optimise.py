"""How fast cells are shared, and how near the best: the fast path, beside SciPy's solvers.

Cells are drawn by `qoe.tools.cells`: curves of 64 points of all four kinds, floors, tiers. `us_per_cell` of
``fast`` is the compiled solver on packed arrays, hulls built anew each time, ``cold`` without and ``warm``
with a guess of the price 3 % off. One cell is solved over and over, so its curves lie in the cache; a
batch is read from memory. ``solve`` is all of `qoe.optimise.solve`, from checking to explanation.
`objective_ratio` is what a solver gained over MOS 1 for all, relative to the fast path on the same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from qoe.optimise import CellProblem, solve
from qoe.optimise.fast import FastSolver
from qoe.optimise.general import solve_general
from qoe.optimise.program import Program, Solution, gap_ratio, make_program
from qoe.optimise.promises import keep_promises
from qoe.tools.cells import random_cells

SEED = 20
REPEATS = 5
STALE_RATIO = 1.03
CELLS_OF = {10: 2000, 30: 1000, 50: 1000, 100: 500, 1000: 50}
GENERAL_CELLS_OF = {10: 10, 30: 5, 100: 3}


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure all cases.

    Parameters
    ----------
    quick : bool
        Few cells each, SciPy's solvers on cells of 10 only.

    Returns
    -------
    list of dict
        One a case, with `solver`, `mode`, `n_cells`, `n_bearers`, `us_per_cell`, `gap_ratio_mean`,
        `gap_ratio_max`; SciPy's also with `objective_ratio`.
    """
    cases = []
    for n_bearers, n_cells in CELLS_OF.items():
        cells = random_cells(SEED, max(2, n_cells // 100) if quick else n_cells, n_bearers, floors=True)
        programs = [make_program(cell, keep_promises(cell)) for cell in cells]
        cases += [*_fast(programs, n_bearers), _whole(cells, n_bearers)]
        if n_bearers in GENERAL_CELLS_OF and not (quick and n_bearers > 10):
            few = programs[: 2 if quick else GENERAL_CELLS_OF[n_bearers]]
            cases += [_general(few, n_bearers, method) for method in ("milp", "slsqp")]
    return cases


def _fast(programs: Sequence[Program], n_bearers: int) -> list[dict[str, Any]]:
    cases = []
    one_by_one = [FastSolver([program]) for program in programs[:20]]
    for solvers in (one_by_one, [FastSolver(programs)]):
        for mode, ratio in (("cold", 0.0), ("warm", STALE_RATIO)):
            us = sum(_best_us(solver, ratio) for solver in solvers)
            records = np.concatenate([solver.data.cells for solver in solvers])
            gaps = (records["bound"] - records["value"]) / (records["bound"] - records["base"])
            n_cells = len(solvers[0].data.cells)
            cases.append(_case("fast", mode, n_cells, n_bearers, us / records.size, gaps))
    return cases


def _best_us(solver: FastSolver, ratio: float) -> float:
    """Least time of a few solves that start from `ratio` times the right prices."""
    solver.solve()
    prices = solver.data.cells["price"].copy()

    def again() -> None:
        solver.data.cells["price"] = prices * ratio
        solver.solve()

    return min(_timed_us(again) for _ in range(REPEATS))


def _whole(cells: Sequence[CellProblem], n_bearers: int) -> dict[str, Any]:
    gaps = np.array([allocation.gap_ratio for allocation in solve(cells)])
    us = _timed_us(lambda: solve(cells)) / len(cells)
    return _case("solve", "cold", len(cells), n_bearers, us, gaps)


def _general(programs: Sequence[Program], n_bearers: int, method: str) -> dict[str, Any]:
    fast = FastSolver(programs)
    fast.solve()
    found: list[Solution] = []
    us = _timed_us(lambda: found.extend(solve_general(program, method) for program in programs))
    gaps = np.array([gap_ratio(s.value, s.bound, p.base) for s, p in zip(found, programs, strict=True)])
    ratios = [
        (theirs.value - program.base) / (ours.value - program.base)
        for theirs, ours, program in zip(found, fast.solutions(), programs, strict=True)
    ]
    case = _case(method, "cold", 1, n_bearers, us / len(programs), gaps)
    return {**case, "objective_ratio": float(np.mean(ratios))}


def _timed_us(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e6


def _case(
    solver: str, mode: str, n_cells: int, n_bearers: int, us_per_cell: float, gaps: np.ndarray
) -> dict[str, Any]:
    return {
        "solver": solver,
        "mode": mode,
        "n_cells": n_cells,
        "n_bearers": n_bearers,
        "us_per_cell": us_per_cell,
        "gap_ratio_mean": float(np.mean(gaps)),
        "gap_ratio_max": float(np.max(gaps)),
    }
