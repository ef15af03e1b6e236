"""The general path: SciPy's solvers on the same program, for groups that overlap and as oracles.

``linprog`` is exact where all curves are concave, ``milp`` everywhere (:mod:`qoe.optimise.model`).
``slsqp`` and ``trust-constr`` climb from one point: they find a local optimum, and the bound is that of the
relaxation.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from qoe.optimise.model import SHRINK, Model, sums, within
from qoe.optimise.problem import Group
from qoe.optimise.program import Program, Relaxed, Solution, value_at
from qoe.schema import Curves, FloatArray

_MAX_ITERATIONS: Final = 300
_ROUNDS: Final = 10


def solve_general(program: Program, method: str, *, time_limit_s: float = 60.0) -> Solution:
    """Solve one cell with SciPy.

    Parameters
    ----------
    program : Program
        Its groups may overlap, and it may have constraints on heights (`keep`) and on shares (`rows`).
    method : str
        ``"linprog"``, ``"milp"``, ``"slsqp"`` or ``"trust-constr"``. Of curves that are not concave
        ``"linprog"`` solves the relaxation. The last two know nothing of `keep`.
    time_limit_s : float
        For milp: the best found by then is returned, with the bound proven by then.

    Returns
    -------
    Solution
    """
    model = Model(program)
    if method == "milp":
        share, bound = model.best(time_limit_s)
    elif method == "linprog":
        relaxed = model.relaxed()
        share, bound = relaxed.share, relaxed.bound
    else:
        share, bound = _climb(program, method), model.relaxed().bound
    share = _repair(program, share)
    value = value_at(program, share)
    return Solution(share, value, max(bound, value))


def relax_general(program: Program) -> Relaxed:
    """Solve the relaxation of one cell, its groups may overlap."""
    return Model(program).relaxed()


def is_concave(program: Program) -> bool:
    """Tell whether all curves are concave within their bounds, so that ``"linprog"`` is exact."""
    return not Model(program).integral.any()


def feasible(low: FloatArray, high: FloatArray, groups: tuple[Group, ...], budget: float) -> bool:
    """Tell whether some shares lie within these bounds, groups and budget (a linear program)."""
    n = low.size
    flat = Curves(np.zeros((n, 1)), np.ones((n, 1)), np.zeros(n, np.bool_))
    return reachable(Program(flat, low, high, np.ones(n), groups, budget, float(n)))


def reachable(program: Program) -> bool:
    """Tell whether any shares satisfy a program's bounds, groups, budget and rows."""
    return nearest(program, program.low) is not None


def _repair(program: Program, share: FloatArray) -> FloatArray:
    """Move shares that a solver's tolerance let out of bounds back in, by little."""
    low, high = program.low, program.high
    share = np.clip(share, low, high)
    matrix, least, most = sums(program)
    for _ in range(_ROUNDS):
        if within(program, share):
            return share
        for row, at_least, at_most in zip(matrix, least, most, strict=True):
            total = row @ share
            falls = total > at_most
            amount = total - at_most if falls else at_least - total
            way = np.where((row > 0.0) == falls, low - share, high - share) * (row != 0.0)
            effect = abs(row @ way)
            if amount > 0.0 and effect > 0.0:
                share = share + way * min(1.0, amount / effect)
    near = nearest(program, share)
    return low if near is None else near


def nearest(program: Program, share: FloatArray) -> FloatArray | None:
    """Find shares within all bounds, at about the least sum of differences from those given.

    Parameters
    ----------
    program : Program
        Its `keep` plays no part.
    share : ndarray of float64, shape (n_bearers,)
        Within `low` and `high`.

    Returns
    -------
    ndarray of float64, shape (n_bearers,), or None
        None if there are none.
    """
    from scipy.optimize import linprog

    n, low, high, budget = share.size, program.low, program.high, program.budget
    matrix, least, most = sums(program)
    up_down = np.hstack((matrix, -matrix))
    right = np.concatenate((most - matrix @ share, matrix @ share - least)) / budget
    finite = np.isfinite(right)
    both = np.vstack((up_down, -up_down))[finite]
    ways = np.concatenate((high - share, share - low)) / budget
    for margin in (2.0 * SHRINK, 0.0):  # the solver may overstep by its tolerance: try to stay clear of it
        bounds = np.column_stack((np.zeros(2 * n), ways))
        result = linprog(np.ones(2 * n), both, right[finite] - margin, bounds=bounds, method="highs-ds")
        if result.x is None:
            continue
        moved = np.clip(share + budget * (result.x[:n] - result.x[n:]), low, high)
        if within(program, moved):
            return np.asarray(moved)
    return None


def _climb(program: Program, method: str) -> FloatArray:
    """Climb from equal shares with a method of ``scipy.optimize.minimize``, in units of the budget."""
    from scipy.optimize import Bounds, LinearConstraint, minimize

    n, budget, heights = len(program.low), program.budget, program.heights
    matrix, least, most = sums(program)
    rows = np.arange(n)

    def downhill(ratio: FloatArray) -> FloatArray:
        k = np.maximum(np.count_nonzero(heights.share <= budget * ratio[:, None], axis=1) - 1, 0)
        after = np.minimum(k + 1, heights.share.shape[1] - 1)
        width = (heights.share[rows, after] - heights.share[rows, k]) / budget
        rise = np.where(heights.step, 0.0, heights.mos[rows, after] - heights.mos[rows, k])
        return np.asarray(-program.weight * np.divide(rise, width, out=np.zeros(n), where=width > 0.0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # trust-constr: "delta_grad == 0.0", as on every segment
        result = minimize(
            lambda ratio: -value_at(program, np.maximum(ratio * budget, 0.0)),
            _repair(program, np.full(n, budget / n)) / budget,
            jac=downhill,
            method=method.upper() if method == "slsqp" else method,
            bounds=Bounds(program.low / budget, program.high / budget),
            constraints=[LinearConstraint(matrix, least / budget, most / budget)],
            options={"maxiter": _MAX_ITERATIONS},
        )
    return np.asarray(result.x * budget, dtype=np.float64)
