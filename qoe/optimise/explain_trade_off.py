"""What a cell could give of mean MOS and of the worst-offs' MOS: the front between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from qoe.optimise.counterfactual import at_shares
from qoe.optimise.fast import FastSolver
from qoe.optimise.level import raise_level
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Program, Solution, make_program
from qoe.optimise.promises import disjoint, keep_promises

ALPHAS: Final = (0.0, 1.0, 2.0, 4.0)
"""Degrees of alpha-fairness in MOS that are traced; max-min comes last."""
_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class TradeOffPoint:
    """What one degree of fairness would give.

    Attributes
    ----------
    alpha : float
        Of alpha-fairness in MOS; 0: the highest mean, infinite: max-min.
    mean_mos : float
        Mean MOS, weighted as in the problem.
    p5_mos : float
        5th percentile of the bearers' MOS.
    """

    alpha: float
    mean_mos: float
    p5_mos: float


def trade_offs(problems: Sequence[CellProblem]) -> list[tuple[TradeOffPoint, ...]]:
    """Trace what each cell could give, under its promises.

    Parameters
    ----------
    problems : sequence of CellProblem
        Checked cells with bearers and capacity.

    Returns
    -------
    list of tuple of TradeOffPoint
        By rising alpha; empty for a cell whose groups overlap, which the fast path cannot solve.
    """
    wanted = [(i, p) for i, p in enumerate(problems) if disjoint(p.groups)]
    points: list[tuple[TradeOffPoint, ...]] = [()] * len(problems)
    n_each = len(ALPHAS) + 1
    for begin in range(0, len(wanted), max(_AT_ONCE // n_each, 1)):
        some = wanted[begin : begin + max(_AT_ONCE // n_each, 1)]
        solver = FastSolver([program for _, p in some for program in _programs(p)], max_nodes=1)
        solver.solve()
        solved = solver.solutions()
        for k, (i, problem) in enumerate(some):
            found = zip((*ALPHAS, math.inf), solved[k * n_each : (k + 1) * n_each], strict=True)
            points[i] = tuple(_point(problem, alpha, s) for alpha, s in found if math.isfinite(s.value))
    return points


def _point(problem: CellProblem, alpha: float, solution: Solution) -> TradeOffPoint:
    given = at_shares(problem, solution.share)
    return TradeOffPoint(alpha, given.mean_mos, given.p5_mos)


def _programs(problem: CellProblem) -> list[Program]:
    """One program a degree of fairness."""
    plain = replace(problem, alpha=0.0, stickiness=1.0)
    kept = keep_promises(problem)
    fair = [make_program(replace(plain, alpha=alpha), kept) for alpha in ALPHAS]
    return [*fair, make_program(plain, raise_level(problem, kept)[0])]
