"""What other policies would give in the same cell; promises and groups play no part in them."""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe.optimise.allocation import Counterfactual
from qoe.optimise.curves import evaluate, invert
from qoe.optimise.problem import CellProblem
from qoe.schema import FloatArray

PRIORITY: Final = ("voip", "gaming", "video", "web", "bulk", "other", "unknown")
"""Classes by the priority that a strict scheduler gives them, first to last, after the priority levels of the
standardised 5QIs (3GPP TS 23.501, table 5.7.4-1: conversational, gaming, streaming, TCP-based)."""


def demand(problem: CellProblem) -> FloatArray:
    """Share that each bearer has use for, shape (n_bearers,): where its curve ends to rise, or a maximum."""
    use: FloatArray = np.minimum(
        invert(problem.curves, problem.curves.mos.max(axis=1)), problem.max_share_ratio
    )
    return use


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
    return at_shares(problem, water_fill(demand(problem), budget_ratio))


def weighted_proportional_fair(problem: CellProblem, budget_ratio: float) -> Counterfactual:
    """Give what a proportional fair scheduler gives whose weights are those of tier, subscriber and class.

    The maximum of ``sum weight log(rate)`` is airtime in proportion to the weights of those that are
    backlogged (Kelly, Maulloo and Tan, as above). Parameters are those of `proportional_fair`.
    """
    return at_shares(problem, water_fill(demand(problem), budget_ratio, problem.weight))


def equal_shares(problem: CellProblem, budget_ratio: float) -> Counterfactual:
    """Give everyone the same share, of use or not. Parameters are those of `proportional_fair`."""
    n = max(problem.n_bearers, 1)
    return at_shares(
        problem, np.minimum(np.full(problem.n_bearers, budget_ratio / n), problem.max_share_ratio)
    )


def strict_priority(problem: CellProblem, budget_ratio: float) -> Counterfactual:
    """Serve class after class (`PRIORITY`) with all it has use for, within a class proportional fair.

    Parameters are those of `proportional_fair`.
    """
    use = demand(problem)
    share = np.zeros(problem.n_bearers)
    level = [PRIORITY.index(c) if c in PRIORITY else len(PRIORITY) for c in problem.app_class]
    left = budget_ratio
    for k in sorted(set(level)):
        members = np.flatnonzero(np.array(level) == k)
        share[members] = water_fill(use[members], left)
        left = max(left - float(share[members].sum()), 0.0)
    return at_shares(problem, share)


POLICIES: Final = {
    "pf": proportional_fair,
    "weighted_pf": weighted_proportional_fair,
    "strict_priority": strict_priority,
    "equal": equal_shares,
}
"""The policies by name."""


def at_shares(problem: CellProblem, share: FloatArray) -> Counterfactual:
    """Judge shares, of shape (n_bearers,), by the cell's curves."""
    mos = evaluate(problem.curves, share)
    mean = float(np.average(mos, weights=problem.weight)) if mos.size else float("nan")
    return Counterfactual(share, mos, mean)


def water_fill(demand: FloatArray, budget: float, weight: FloatArray | None = None) -> FloatArray:
    """Share a budget in proportion to weights, but to nobody more than its demand.

    Parameters
    ----------
    demand : ndarray of float64, shape (n_bearers,)
        0 or more.
    budget : float
        What there is.
    weight : ndarray of float64, shape (n_bearers,), optional
        0 or more; None: equal. Who has none gets nothing.

    Returns
    -------
    ndarray of float64, shape (n_bearers,)
        ``min(demand, weight * level)``, with the level at which the budget is spent.
    """
    weight = np.ones_like(demand) if weight is None else weight
    filled_at = np.divide(demand, weight, out=np.full_like(demand, np.inf), where=weight > 0.0)
    order = np.argsort(filled_at, kind="stable")
    taken, hungry = demand[order], weight[order]
    before = np.concatenate(([0.0], np.cumsum(taken)[:-1]))
    still = np.cumsum(hungry[::-1])[::-1]  # weight of those from here on, were they all to get the same
    level = np.divide(budget - before, still, out=np.full_like(demand, np.inf), where=still > 0.0)
    short = (level <= filled_at[order]) & (still > 0.0)
    if not short.any():
        return np.where(weight > 0.0, demand, 0.0)
    filled: FloatArray = np.minimum(demand, weight * level[np.argmax(short)])
    return filled
