"""Max-min: the highest MOS that everybody can have, as minima for what is maximised next."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from qoe.optimise.allocation import Stage
from qoe.optimise.curves import evaluate, invert
from qoe.optimise.problem import MOS_MAX, MOS_MIN, CellProblem
from qoe.optimise.promises import Kept, fits
from qoe.schema import FloatArray

_N_HALVINGS: Final = 52  # of 4 MOS: to rounding


def raise_level(problem: CellProblem, kept: Kept) -> tuple[Kept, Stage]:
    """Raise the MOS of all bearers together as far as capacity, groups and promises allow.

    The share that a level needs rises with it, so the highest level that fits is found by bisection, exactly
    to rounding; curves may have any shape. A bearer that cannot reach the level within its maximum counts
    with the best that it can have: nobody waits for it. The lowest MOS of all is then the highest that any
    allocation gives (and so is the level itself among those that could be lifted).

    Parameters
    ----------
    problem : CellProblem
        A checked cell. Bearers of weight 0 are left out.
    kept : Kept
        Its promises; they come first.

    Returns
    -------
    kept : Kept
        With the lower bounds that keep the level.
    stage : Stage
        The level, and a level that does not fit.
    """
    high = np.minimum(kept.high, problem.budget_ratio)
    top = np.where(problem.weight > 0.0, evaluate(problem.curves, high), MOS_MIN)

    def low_at(level: float) -> FloatArray:
        need = invert(problem.curves, np.minimum(level, top))
        return np.maximum(kept.low, np.minimum(np.nan_to_num(need), high))

    reached, missed = MOS_MIN, float(top.max(initial=MOS_MIN))
    if fits(problem, low_at(missed), kept.high, kept.groups):
        reached = missed
    for _ in range(_N_HALVINGS):
        level = 0.5 * (reached + missed)
        if not reached < level < missed:
            break
        if fits(problem, low_at(level), kept.high, kept.groups):
            reached = level
        else:
            missed = level
    low = low_at(reached)
    without_floor = np.maximum(kept.low - kept.floor, low_at(reached) * (low > kept.low))
    stage = Stage("level", reached, min(MOS_MAX, missed))
    return replace(kept, low=low, floor=low - without_floor), stage
