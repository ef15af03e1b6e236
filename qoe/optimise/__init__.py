"""Shares for every bearer of a cell, near the best that any could be, with the proof.

>>> problems = read_problem(open("problem.json", "rb").read())          # doctest: +SKIP
>>> for allocation in solve(problems):                                  # doctest: +SKIP
...     print(allocation.cell, allocation.mean_mos_after, allocation.gap_ratio)
"""

from qoe.optimise.allocation import Allocation, Counterfactual, Shed, Stage, Status
from qoe.optimise.explain import Explanation, explain
from qoe.optimise.explain_json import explanation_to_dict
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
    "Explanation",
    "FastSolver",
    "Group",
    "History",
    "Program",
    "Shed",
    "Stage",
    "Status",
    "allocation_to_dict",
    "explain",
    "explanation_to_dict",
    "read_problem",
    "solve",
    "to_program",
]
