"""Shares for every bearer of a cell, near the best that any could be, with the proof.

>>> problems = read_problem(open("problem.json", "rb").read())          # doctest: +SKIP
>>> for allocation in solve(problems):                                  # doctest: +SKIP
...     print(allocation.cell, allocation.mean_mos_after, allocation.gap_ratio)
"""

from qoe.optimise.allocation import Allocation, Counterfactual, Shed, Stage, Status
from qoe.optimise.coupled import (
    CoupledAllocation,
    CoupledProblem,
    Leg,
    Link,
    SplitBearer,
    solve_coupled,
)
from qoe.optimise.coupled_json import coupled_to_dict, is_coupled, read_coupled
from qoe.optimise.explain import Explanation, explain
from qoe.optimise.explain_json import explained_to_dict, explanation_to_dict
from qoe.optimise.fast import FastSolver
from qoe.optimise.history import History
from qoe.optimise.jsonio import allocation_to_dict, read_problem
from qoe.optimise.problem import CellProblem, Group
from qoe.optimise.program import Program, to_program
from qoe.optimise.solve import METHODS, solve

__all__ = [
    "METHODS",
    "Allocation",
    "CellProblem",
    "Counterfactual",
    "CoupledAllocation",
    "CoupledProblem",
    "Explanation",
    "FastSolver",
    "Group",
    "History",
    "Leg",
    "Link",
    "Program",
    "Shed",
    "SplitBearer",
    "Stage",
    "Status",
    "allocation_to_dict",
    "coupled_to_dict",
    "explain",
    "explained_to_dict",
    "explanation_to_dict",
    "is_coupled",
    "read_coupled",
    "read_problem",
    "solve",
    "solve_coupled",
    "to_program",
]
