"""From problems to allocations: check, keep what promises fit, solve, certify, explain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qoe.errors import ProblemError
from qoe.optimise.allocation import Allocation, Counterfactual, Status
from qoe.optimise.check import check_problem, check_unique, complain
from qoe.optimise.counterfactual import proportional_fair
from qoe.optimise.curves import evaluate
from qoe.optimise.fast import FastSolver
from qoe.optimise.general import solve_general
from qoe.optimise.prices import capacity_prices, floor_prices, relax_all
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Program, Solution, gap_ratio, make_program, transformed
from qoe.optimise.promises import Kept, disjoint, keep_promises, shed_all
from qoe.schema import FloatArray

METHODS: Final = ("auto", "fast", "numpy", "milp", "slsqp", "trust-constr")
GAP_TARGET_RATIO: Final = 5e-4
BELOW_MOS: Final = 2.0
_ROUNDING: Final = 1e-9


def solve(
    problems: Sequence[CellProblem],
    *,
    method: str = "auto",
    gap_target_ratio: float = GAP_TARGET_RATIO,
    time_limit_s: float = 60.0,
) -> list[Allocation]:
    """Allocate shares in every cell.

    Parameters
    ----------
    problems : sequence of CellProblem
        Cells, each solved by itself.
    method : str
        ``"auto"``: the fast path, or ``"milp"`` where groups overlap. ``"fast"``; ``"numpy"``, its plain
        and slow twin; ``"milp"``, exact; ``"slsqp"`` and ``"trust-constr"``, local optima.
    gap_target_ratio : float
        Certified gap at which the search in a cell ends, 0 or more.
    time_limit_s : float
        For one cell with ``"milp"``.

    Returns
    -------
    list of Allocation
        One a problem, in order.

    Raises
    ------
    ProblemError
        A problem is malformed (the message begins with the path of what is wrong), or `method` is unknown
        or cannot solve it.
    """
    if method not in METHODS:
        raise ProblemError(f"unknown method {method!r}; use one of {', '.join(METHODS)}")
    check_unique(problems)
    for i, problem in enumerate(problems):
        check_problem(problem, f"$.cells[{i}]")
    live = [i for i, p in enumerate(problems) if p.n_bearers and p.capacity_bps > 0.0]
    kept = [keep_promises(problems[i]) for i in live]
    programs = [make_program(problems[i], k) for i, k in zip(live, kept, strict=True)]
    solvers = [_solver_for(p, method, f"$.cells[{i}]") for i, p in zip(live, programs, strict=True)]
    solutions = _solve(programs, solvers, gap_target_ratio, time_limit_s)
    relaxed = relax_all(programs)
    gains = capacity_prices(programs, relaxed)
    costs = floor_prices(programs, relaxed, [k.floor for k in kept])
    plain = _plain_bounds([problems[i] for i in live], kept, solutions)
    done = {
        i: _allocation(problems[i], _Found(*found), gap_target_ratio)
        for i, *found in zip(live, solvers, programs, solutions, kept, plain, gains, costs, strict=True)
    }
    return [done[i] if i in done else _nothing(problem) for i, problem in enumerate(problems)]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found out about one cell, on the way to its allocation."""

    solver: str
    program: Program
    solution: Solution
    kept: Kept
    plain_bound: float
    capacity_gain: float
    floor_cost: FloatArray


def _solver_for(program: Program, method: str, path: str) -> str:
    if disjoint(program.groups):
        return "fast" if method == "auto" else method
    if method in ("fast", "numpy"):
        raise complain(
            f"{path}.groups", f"a bearer is in two groups, which {method!r} cannot solve; use 'milp'"
        )
    return "milp" if method == "auto" else method


def _solve(
    programs: Sequence[Program], solvers: Sequence[str], gap_target_ratio: float, time_limit_s: float
) -> list[Solution]:
    done: dict[int, Solution] = {}
    for name in ("fast", "numpy"):
        some = [k for k, solver in enumerate(solvers) if solver == name]
        if some:
            batch = FastSolver(
                [programs[k] for k in some], gap_target_ratio=gap_target_ratio, twin=name == "numpy"
            )
            batch.solve()
            done.update(zip(some, batch.solutions(), strict=True))
    for k, solver in enumerate(solvers):
        if k not in done:
            done[k] = solve_general(programs[k], solver, time_limit_s=time_limit_s)
    return [done[k] for k in range(len(programs))]


def _plain_bounds(
    problems: Sequence[CellProblem], kept: Sequence[Kept], solutions: Sequence[Solution]
) -> list[float]:
    """Bound the weighted sum of MOS, also where something else was maximised."""
    bounds = [solution.bound for solution in solutions]
    others = [k for k, problem in enumerate(problems) if transformed(problem)]
    programs = [make_program(problems[k], kept[k], plain=True) for k in others]
    for k, relaxed in zip(others, relax_all(programs), strict=True):
        bounds[k] = relaxed.bound
    return bounds


def _allocation(problem: CellProblem, found: _Found, gap_target_ratio: float) -> Allocation:
    weight, share, shed = found.program.weight, found.solution.share, found.kept.shed
    gap = gap_ratio(found.solution.value, found.solution.bound, found.program.base)
    status = Status.OPTIMAL if gap <= gap_target_ratio + _ROUNDING else Status.GAP_ABOVE_TARGET
    before = evaluate(problem.curves, problem.share_observed_ratio)
    after = evaluate(problem.curves, share)
    mean = float(weight @ after / weight.sum())
    return Allocation(
        cell=problem.cell,
        direction=problem.direction,
        capacity_bps=problem.capacity_bps,
        subscriber=problem.subscriber,
        app_class=problem.app_class,
        status=Status.PROMISES_CUT if shed else status,
        solver=found.solver,
        weight=weight,
        share_ratio=share,
        rate_bps=share * problem.efficiency_bps,
        scheduler_weight=share / share.mean() if share.any() else np.ones(share.size),
        mos_before=before,
        mos_after=after,
        objective=found.solution.value,
        bound=found.solution.bound,
        gap_ratio=gap,
        mean_mos_before=float(weight @ before / weight.sum()),
        mean_mos_after=mean,
        mos_bound=max(mean, float(found.plain_bound / weight.sum())),
        capacity_gain=found.capacity_gain,
        floor_cost=np.where(np.isnan(problem.floor_mos), np.nan, found.floor_cost),
        pf=proportional_fair(problem, problem.budget_ratio),
        below_mos_2=tuple(int(i) for i in np.flatnonzero(after < BELOW_MOS)),
        shed=shed,
    )


def _nothing(problem: CellProblem) -> Allocation:
    """Allocate a cell without bearers, or without capacity: every share is 0."""
    n = problem.n_bearers
    zero = np.zeros(n)
    weight = problem.weight / problem.weight.mean() if n else zero
    mos = evaluate(problem.curves, zero) if n else zero
    value = float(weight @ mos)
    mean = value / n if n else math.nan
    return Allocation(
        cell=problem.cell,
        direction=problem.direction,
        capacity_bps=problem.capacity_bps,
        subscriber=problem.subscriber,
        app_class=problem.app_class,
        status=Status.NO_CAPACITY if n else Status.EMPTY,
        solver="none",
        weight=weight,
        share_ratio=zero,
        rate_bps=zero,
        scheduler_weight=np.ones(n),
        mos_before=mos,
        mos_after=mos,
        objective=value,
        bound=value,
        gap_ratio=0.0,
        mean_mos_before=mean,
        mean_mos_after=mean,
        mos_bound=mean,
        capacity_gain=0.0,
        floor_cost=np.where(np.isnan(problem.floor_mos), np.nan, 0.0),
        pf=Counterfactual(zero, mos, mean),
        below_mos_2=tuple(int(i) for i in np.flatnonzero(mos < BELOW_MOS)),
        shed=shed_all(problem) if n else (),
    )
