"""Who ends badly off, and what would lift them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qoe.optimise.allocation import Allocation
from qoe.optimise.curves import evaluate, invert
from qoe.optimise.explain_prices import split_means
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Program
from qoe.optimise.promises import Kept, fits
from qoe.schema import BoolArray, FloatArray

LEAST_MOS: Final = 2.0
"""Who ends below it is badly off, promised or not."""
_ROUNDING: Final = 1e-6
_RISES: Final = 0.02  # MOS between half of the airtime and all of it that still is a rise
_PRICED: Final = 32  # bearers a cell whose price is told, the worst first


@dataclass(frozen=True, slots=True)
class BadlyOff:
    """A bearer below MOS 2 or below its floor, and what would lift it.

    Attributes
    ----------
    index : int
        Of the bearer.
    mos, target_mos : float
        What it gets, and what it is to be lifted to: its floor if it is below that, else 2.
    since_s : float
        Since when it has been badly off, seconds since 1970; NaN: not known.
    obstacle : str
        Why it cannot be lifted by share: ``"radio"``: even alone in the cell it would not get there, and its
        MOS still rises with the rate; ``"path"``: nor would any rate, its delay, loss or codec holds it
        down; ``"max_share"``: its own maximum; ``"promises"``: what was promised to others leaves no room.
        ``""``: nothing does.
    needed_share_ratio : float
        Least share that lifts it; NaN: none.
    more_capacity_ratio : float
        Part of the capacity that, added and given to this bearer alone, lifts it while nobody else loses;
        NaN: none does.
    others_mos : float
        What the mean MOS of the others would lose if it was lifted by a promise; NaN: it cannot be, or it is
        not among the 32 worst.
    """

    index: int
    mos: float
    target_mos: float
    since_s: float
    obstacle: str
    needed_share_ratio: float
    more_capacity_ratio: float
    others_mos: float = math.nan


@dataclass(frozen=True, slots=True)
class Rescue:
    """Somebody badly off, and the program in which it is lifted; None if it cannot be."""

    who: BadlyOff
    program: Program | None

    def priced(self, now: FloatArray, lifted: FloatArray) -> BadlyOff:
        """Tell what lifting it takes from the others: MOS of all now, and with this one lifted."""
        return replace(self.who, others_mos=split_means(now - lifted, (self.who.index,))[1])


def rescues(
    problem: CellProblem, allocation: Allocation, kept: Kept, program: Program, since_s: FloatArray
) -> list[Rescue]:
    """List who ends badly off, the worst first.

    Parameters
    ----------
    problem, allocation
        A checked cell and its answer.
    kept : Kept
        Its promises.
    program : Program
        The weighted sum of MOS under them.
    since_s : ndarray of float64, shape (n_bearers,)
        Since when each has been badly off; NaN: it is not, or it is not known.
    """
    mos, floor = allocation.mos_after, problem.floor_mos
    below_floor = mos < floor - _ROUNDING
    target = np.where(below_floor, floor, LEAST_MOS)
    who = np.flatnonzero(below_floor | (mos < LEAST_MOS))
    needed = invert(problem.curves, target)
    rising = _still_rising(problem)
    found = []
    for rank, i in enumerate(who[np.argsort(mos[who], kind="stable")]):
        low = np.maximum(kept.low, np.where(np.arange(mos.size) == i, needed, 0.0))
        obstacle = _obstacle(problem, kept, low, int(i), bool(rising[i]))
        more = (needed[i] - allocation.share_ratio[i]) / problem.budget_ratio
        reachable = not math.isnan(needed[i])
        told = BadlyOff(
            index=int(i),
            mos=float(mos[i]),
            target_mos=float(target[i]),
            since_s=float(since_s[i]),
            obstacle=obstacle,
            needed_share_ratio=float(needed[i]),
            more_capacity_ratio=max(float(more), 0.0) if reachable else math.nan,
        )
        is_priced = not obstacle and rank < _PRICED
        found.append(Rescue(told, replace(program, low=low) if is_priced else None))
    return found


def _still_rising(problem: CellProblem) -> BoolArray:
    """Tell whose MOS rises between half of the airtime of its curve and all of it."""
    last = problem.curves.share[:, -1]
    rise = evaluate(problem.curves, last) - evaluate(problem.curves, last / 2.0)
    return np.asarray(rise > _RISES)


def _obstacle(problem: CellProblem, kept: Kept, low: FloatArray, i: int, rising: bool) -> str:
    if math.isnan(low[i]):
        return "radio" if rising else "path"
    if low[i] > min(problem.max_share_ratio[i], problem.budget_ratio):
        return "max_share"
    high = np.where(np.arange(low.size) == i, problem.max_share_ratio, kept.high)
    return "" if fits(problem, low, high, kept.groups) else "promises"
