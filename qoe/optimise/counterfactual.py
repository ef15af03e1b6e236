"""What other policies would give in the same cell."""

from __future__ import annotations

import numpy as np

from qoe.optimise.allocation import Counterfactual
from qoe.optimise.curves import evaluate, invert
from qoe.optimise.problem import CellProblem
from qoe.schema import FloatArray


def proportional_fair(problem: CellProblem, budget_ratio: float) -> Counterfactual:
    """Give what a proportional fair scheduler without weights gives.

    The maximum of ``sum log(rate)`` over shares is the same share for all that are backlogged (Kelly, Maulloo
    and Tan, J. Oper. Res. Soc. 49, 1998): equal airtime. A bearer takes no more than it has use for, which
    is where its curve ends to rise, nor than its maximum; what it leaves goes to the others.

    Parameters
    ----------
    problem : CellProblem
        A checked cell; its promises and groups play no part.
    budget_ratio : float
        Sum of shares to hand out.

    Returns
    -------
    Counterfactual
    """
    demand = np.minimum(invert(problem.curves, problem.curves.mos.max(axis=1)), problem.max_share_ratio)
    share = water_fill(demand, budget_ratio)
    mos = evaluate(problem.curves, share)
    mean = float(np.average(mos, weights=problem.weight)) if mos.size else float("nan")
    return Counterfactual(share, mos, mean)


def water_fill(demand: FloatArray, budget: float) -> FloatArray:
    """Share a budget equally, but to nobody more than its demand.

    Parameters
    ----------
    demand : ndarray of float64, shape (n_bearers,)
        0 or more.
    budget : float
        What there is.

    Returns
    -------
    ndarray of float64, shape (n_bearers,)
        ``min(demand, level)``, with the level at which the budget is spent.
    """
    ascending = np.sort(demand)
    before = np.concatenate(([0.0], np.cumsum(ascending)[:-1]))
    level = (budget - before) / np.arange(demand.size, 0, -1)  # were all from here on to get the same
    short = level <= ascending
    return np.minimum(demand, level[np.argmax(short)]) if short.any() else demand.copy()
