"""Shares for every bearer of a cell, near the best that any could be, with the proof.

>>> problems = read_problem(open("problem.json", "rb").read())          # doctest: +SKIP
>>> for allocation in solve(problems):                                  # doctest: +SKIP
...     print(allocation.cell, allocation.mean_mos_after, allocation.gap_ratio)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qoe.optimise.allocation import Allocation, Counterfactual, Shed, Status
from qoe.optimise.problem import CellProblem, Group

__all__ = [
    "Allocation",
    "CellProblem",
    "Counterfactual",
    "Group",
    "Shed",
    "Status",
    "allocation_to_dict",
    "read_problem",
    "solve",
]


def solve(
    problems: Sequence[CellProblem], *, method: str = "auto", gap_target_ratio: float = 5e-4
) -> list[Allocation]:
    """Allocate shares in every cell.

    Parameters
    ----------
    problems : sequence of CellProblem
        Cells, each solved by itself.
    method : str
        ``"auto"`` (the fast path where it applies, else ``"milp"``), ``"fast"``, ``"milp"``, ``"slsqp"``
        or ``"trust-constr"``.
    gap_target_ratio : float
        Certified gap at which the search ends.

    Returns
    -------
    list of Allocation
        One a problem, in order.

    Raises
    ------
    ProblemError
        A problem is malformed; the message begins with the path of what is wrong.
    """
    raise NotImplementedError


def read_problem(text: bytes | str) -> list[CellProblem]:
    """Read the cells of a ``PROBLEM.json``.

    Raises
    ------
    ProblemError
        It is not JSON, or a value is missing, unknown, of the wrong type or out of range; the message
        begins with its path, such as ``$.cells[0].bearers[3].curve.mos[2]``.
    """
    raise NotImplementedError


def allocation_to_dict(allocation: Allocation) -> dict[str, Any]:
    """Turn an allocation into what ``qoe optimise`` prints as JSON: plain types, None in place of NaN."""
    raise NotImplementedError
