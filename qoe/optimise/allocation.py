"""The optimiser's answer: shares, what they are worth, how near the best they are, and who paid."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from qoe.schema import FloatArray


class Status(StrEnum):
    """How a cell was solved. Bad data is an error (ProblemError) and never a status."""

    OPTIMAL = "optimal"
    """The best, within the gap that was asked for."""
    GAP_ABOVE_TARGET = "gap_above_target"
    """Valid, but no proof that it is as near the best as was asked for."""
    PROMISES_CUT = "promises_cut"
    """Floors or minima did not all fit: `Allocation.shed` names whose were shed or capped."""
    NO_CAPACITY = "no_capacity"
    """The cell carries nothing: every share is 0."""
    EMPTY = "empty"
    """The cell has no bearer."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One of several objectives that are served in turn.

    Attributes
    ----------
    name : str
        ``"level"`` (the lowest MOS, of the form ``"max_min"``), or a tier of the form ``"lexicographic"``.
    value : float
        MOS, or the tier's weighted sum of what was maximised.
    bound : float
        What it could be at most, while the stages before are kept.
    """

    name: str
    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class Shed:
    """A promise that could not be kept in full.

    Attributes
    ----------
    kind : str
        ``"floor"``, ``"min_share"``, ``"gbr"`` (refused) or ``"group_min"``.
    index : int
        Of the bearer, or of the group when `kind` is ``"group_min"``.
    name : str
        The subscriber, or the group.
    reason : str
        ``"capacity"``: others of a better tier, or cheaper to keep, came first; ``"airtime_cap"``: it
        would take more than the cap on one floor; ``"unreachable"``: no share within the bearer's bounds
        reaches it; ``"not_admitted"``: the bearer was refused its guaranteed rate, and with it everything;
        ``"link"``: a link that several cells share came short.
    needed_share_ratio, granted_share_ratio : float
        Share that the promise needs (NaN if none suffices) and what was reserved for it.
    """

    kind: str
    index: int
    name: str
    reason: str
    needed_share_ratio: float
    granted_share_ratio: float


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What another policy would give in the same cell.

    Attributes
    ----------
    share_ratio, mos : ndarray of float64, shape (n_bearers,)
        Its shares and the MOS at them.
    mean_mos : float
        Mean MOS, weighted as in the problem.
    """

    share_ratio: FloatArray
    mos: FloatArray
    mean_mos: float

    @property
    def p5_mos(self) -> float:
        """5th percentile of the bearers' MOS; NaN without bearers."""
        n = self.mos.size
        return float(np.interp(0.05 * (n - 1), np.arange(n), np.sort(self.mos))) if n else float("nan")

    def n_below(self, mos: float) -> int:
        """Bearers below a MOS."""
        return int(np.count_nonzero(self.mos < mos))


@dataclass(frozen=True, slots=True)
class Allocation:
    """Shares for one cell in one direction, with the certificate and the explanation.

    Arrays are float64 of shape (n_bearers,), in the order of the problem.

    Attributes
    ----------
    cell, direction, capacity_bps, subscriber, app_class
        As in the problem.
    status : Status
        How it was solved.
    solver : str
        ``"fast"``, ``"numpy"``, ``"linprog"``, ``"milp"``, ``"slsqp"`` or ``"trust-constr"``; ``"none"`` if
        there was nothing to solve.
    weight : ndarray
        Weights of the objective, mean 1.
    share_ratio, rate_bps : ndarray
        Granted share, and share times spectral efficiency.
    scheduler_weight : ndarray
        Shares scaled to mean 1 (1 for all if nothing is granted): what a weighted scheduler is set to.
    mos_before : ndarray
        MOS at the observed share on the same curve, NaN where none was observed.
    mos_after : ndarray
        MOS at the granted share.
    objective, bound : float
        Value of what was maximised and a proven upper bound on it: the weighted sum of MOS, or of its
        alpha-fair transform, stickiness included.
    gap_ratio : float
        (bound - objective) / (bound - objective with MOS 1 for all), 0 to 1.
    mean_mos_before, mean_mos_after : float
        Means of the above, weighted by `weight`; before is NaN unless every share was observed.
    mos_bound : float
        Upper bound on `mean_mos_after` under the same constraints.
    capacity_gain : float
        What 10 % more capacity would add to the objective (of the relaxation, as is the next).
    floor_cost : ndarray
        What each floor costs the others: how much their part of the objective would gain were it lifted;
        NaN where there is none.
    pf : Counterfactual
        Proportional fairness in the same cell.
    below_mos_2 : tuple of int
        Bearers that end below MOS 2.
    shed : tuple of Shed
        Promises that could not be kept in full.
    stages : tuple of Stage
        What was maximised in turn, unless the form is ``"sum"``. `objective` and `bound` are then those of
        the sum that came last (``"max_min"``), or sums over the tiers.
    """

    cell: str
    direction: str
    capacity_bps: float
    subscriber: tuple[str, ...]
    app_class: tuple[str, ...]
    status: Status
    solver: str
    weight: FloatArray
    share_ratio: FloatArray
    rate_bps: FloatArray
    scheduler_weight: FloatArray
    mos_before: FloatArray
    mos_after: FloatArray
    objective: float
    bound: float
    gap_ratio: float
    mean_mos_before: float
    mean_mos_after: float
    mos_bound: float
    capacity_gain: float
    floor_cost: FloatArray
    pf: Counterfactual
    below_mos_2: tuple[int, ...]
    shed: tuple[Shed, ...]
    stages: tuple[Stage, ...] = ()
