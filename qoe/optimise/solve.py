"""From problems to allocations: check, keep what promises fit, solve, certify, explain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qoe.errors import ProblemError
from qoe.optimise.allocation import Allocation, Counterfactual, Stage, Status
from qoe.optimise.check import check_problem, check_unique, complain
from qoe.optimise.counterfactual import proportional_fair
from qoe.optimise.curves import evaluate
from qoe.optimise.fast import FastSolver
from qoe.optimise.general import is_concave, solve_general
from qoe.optimise.level import raise_level
from qoe.optimise.prices import capacity_prices, floor_prices, relax_all
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Program, Solution, gap_ratio, make_program, transformed
from qoe.optimise.promises import Kept, disjoint, keep_promises, shed_all
from qoe.optimise.tiers import rank_tiers, solve_tiers
from qoe.schema import FloatArray

METHODS: Final = ("auto", "fast", "numpy", "linprog", "milp", "slsqp", "trust-constr")
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
        ``"auto"``: the fast path; where groups overlap ``"linprog"`` if all curves are concave, ``"milp"`` if
        not. ``"fast"``; ``"numpy"``, its plain and slow twin; ``"linprog"``, exact on concave curves;
        ``"milp"``, exact; ``"slsqp"`` and ``"trust-constr"``, local optima of the form ``"sum"``.
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
    prepared = [_prepare(problems[i]) for i in live]
    kept = [p.kept for p in prepared]
    programs = [p.program for p in prepared]
    solvers = [
        _solver_for(problems[i], p, method, f"$.cells[{i}]") for i, p in zip(live, programs, strict=True)
    ]
    solved = _solve(prepared, solvers, gap_target_ratio, time_limit_s)
    relaxed = relax_all(programs)
    gains = capacity_prices(programs, relaxed)
    costs = floor_prices(programs, relaxed, [k.floor for k in kept])
    plain = _plain_bounds([problems[i] for i in live], kept, solved)
    done = {
        i: _allocation(problems[i], _Found(*found), gap_target_ratio)
        for i, *found in zip(live, solvers, prepared, solved, plain, gains, costs, strict=True)
    }
    return [done[i] if i in done else _nothing(problem) for i, problem in enumerate(problems)]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One cell, ready to be solved; `stages` are those that are done already."""

    problem: CellProblem
    kept: Kept
    program: Program
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class _Solved:
    """Shares of one cell, and what was maximised in turn to find them."""

    solution: Solution
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found out about one cell, on the way to its allocation."""

    solver: str
    prepared: _Prepared
    solved: _Solved
    plain_bound: float
    capacity_gain: float
    floor_cost: FloatArray


def _prepare(problem: CellProblem) -> _Prepared:
    kept = keep_promises(problem)
    stages: tuple[Stage, ...] = ()
    if problem.form == "max_min":
        kept, level = raise_level(problem, kept)
        stages = (level,)
    return _Prepared(problem, kept, make_program(problem, kept), stages)


def _solver_for(problem: CellProblem, program: Program, method: str, path: str) -> str:
    if problem.form == "lexicographic" and method in ("slsqp", "trust-constr"):
        raise complain(f"{path}.form", f"{method!r} cannot serve tiers in turn; use 'fast' or 'milp'")
    if method == "linprog" and not is_concave(program):
        raise complain(f"{path}.bearers", "a curve is not concave, as 'linprog' needs; use 'milp'")
    if disjoint(program.groups):
        return "fast" if method == "auto" else method
    if method in ("fast", "numpy"):
        raise complain(
            f"{path}.groups", f"a bearer is in two groups, which {method!r} cannot solve; use 'milp'"
        )
    if method == "auto":
        return "linprog" if is_concave(program) else "milp"
    return method


def _solve(
    prepared: Sequence[_Prepared], solvers: Sequence[str], gap_target_ratio: float, time_limit_s: float
) -> list[_Solved]:
    done: dict[int, _Solved] = {}
    tiered = {k for k, p in enumerate(prepared) if p.problem.form == "lexicographic"}
    for k in tiered:
        problem, program = prepared[k].problem, prepared[k].program
        tolerance = problem.tier_tolerance_ratio
        done[k] = _Solved(*solve_tiers(program, rank_tiers(problem), tolerance, solvers[k], gap_target_ratio))
    for name in ("fast", "numpy"):
        some = [k for k, solver in enumerate(solvers) if solver == name and k not in tiered]
        if some:
            programs = [prepared[k].program for k in some]
            batch = FastSolver(programs, gap_target_ratio=gap_target_ratio, twin=name == "numpy")
            batch.solve()
            done.update(
                (k, _Solved(solution, prepared[k].stages))
                for k, solution in zip(some, batch.solutions(), strict=True)
            )
    for k, solver in enumerate(solvers):
        if k not in done:
            found = solve_general(prepared[k].program, solver, time_limit_s=time_limit_s)
            done[k] = _Solved(found, prepared[k].stages)
    return [done[k] for k in range(len(prepared))]


def _plain_bounds(
    problems: Sequence[CellProblem], kept: Sequence[Kept], solved: Sequence[_Solved]
) -> list[float]:
    """Bound the weighted sum of MOS, also where something else was maximised."""
    bounds = [found.solution.bound for found in solved]
    others = [k for k, p in enumerate(problems) if transformed(p) or p.form == "lexicographic"]
    programs = [make_program(problems[k], kept[k], plain=True) for k in others]
    for k, relaxed in zip(others, relax_all(programs), strict=True):
        bounds[k] = relaxed.bound
    return bounds


def _allocation(problem: CellProblem, found: _Found, gap_target_ratio: float) -> Allocation:
    program, solution, shed = found.prepared.program, found.solved.solution, found.prepared.kept.shed
    weight, share = program.weight, solution.share
    gap = gap_ratio(solution.value, solution.bound, program.base)
    allowed = problem.tier_tolerance_ratio if problem.form == "lexicographic" else 0.0
    status = Status.OPTIMAL if gap <= gap_target_ratio + allowed + _ROUNDING else Status.GAP_ABOVE_TARGET
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
        objective=solution.value,
        bound=solution.bound,
        gap_ratio=gap,
        mean_mos_before=float(weight @ before / weight.sum()),
        mean_mos_after=mean,
        mos_bound=max(mean, float(found.plain_bound / weight.sum())),
        capacity_gain=found.capacity_gain,
        floor_cost=np.where(np.isnan(problem.floor_mos), np.nan, found.floor_cost),
        pf=proportional_fair(problem, problem.budget_ratio),
        below_mos_2=tuple(int(i) for i in np.flatnonzero(after < BELOW_MOS)),
        shed=shed,
        stages=found.solved.stages,
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
