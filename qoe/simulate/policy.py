"""Policies of a simulated cell: the schedulers of the field, and weights from the optimiser, held to shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from qoe.optimise import Allocation, CellProblem, solve
from qoe.schema import CLASS_NAMES, AppClass, FloatArray, IntArray, RecordArray
from qoe.simulate.observe import bearers
from qoe.simulate.population import Population
from qoe.simulate.scenario import Scenario
from qoe.utility import curves
from qoe_native.cellsim_data import Cell, Scheduler

SCHEDULER: Final = {
    "qoe": Scheduler.AIRTIME_WFQ,
    "pf": Scheduler.PF,
    "weighted_pf": Scheduler.WEIGHTED_PF,
    "strict_priority": Scheduler.STRICT_PRIORITY,
    "round_robin": Scheduler.ROUND_ROBIN,
    "max_ci": Scheduler.MAX_CI,
    "m_lwdf": Scheduler.M_LWDF,
    "exp_pf": Scheduler.EXP_PF,
    "drr": Scheduler.DRR,
}
LEAST_SHARE_RATIO: Final = 0.25
"""Part of an equal share that nobody falls below under `no_starvation`."""
_LEAST_WEIGHT: Final = 0.01
_LEAST_ACTIVITY: Final = 0.02
_PROMPT_ACTIVITY: Final = 0.3
_OPPORTUNISM_RB: Final = 100.0


def start(policy: str, cell: Cell, population: Population) -> None:
    """Set a cell's scheduler as a policy has it.

    Parameters
    ----------
    policy : str
        Of `qoe.simulate.scenario.POLICIES`.
    cell : Cell
        Before its first millisecond.
    population : Population
        Whose weights ``weighted_pf`` and ``qoe`` begin with.
    """
    cell.config["scheduler"] = SCHEDULER[policy]
    if policy in ("weighted_pf", "qoe"):
        cell.bearers["weight"] = population.weight / population.weight.mean()
    if policy == "qoe":
        cell.config["opportunism_rb"] = _OPPORTUNISM_RB


@dataclass(slots=True)
class Decision:
    """What was decided at the end of an interval.

    Attributes
    ----------
    at_ms : int
        When.
    user : ndarray of int64, shape (n_bearers,)
        Whose bearers were looked at.
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
        What was seen of them.
    allocation : Allocation
        Shares and promises.
    """

    at_ms: int
    user: IntArray
    bearers: RecordArray
    allocation: Allocation


@dataclass(slots=True)
class Controller:
    """The closed loop: every interval it observes, optimises, sets weights, and corrects them.

    Parameters
    ----------
    scenario : Scenario
        Tiers, whether anybody may starve.
    population : Population
        The users.

    Attributes
    ----------
    decisions : list of Decision
        All so far.
    """

    scenario: Scenario
    population: Population
    decisions: list[Decision] = field(default_factory=list)
    _running: FloatArray = field(init=False)
    _weight: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        n_users = len(self.population.apps)
        self._running = np.full(n_users, np.nan)
        self._weight = np.full(n_users, np.nan)

    def decide(self, cell: Cell, n_rows: int) -> None:
        """Set the weights for the next interval.

        Parameters
        ----------
        cell : Cell
            Whose weights are set.
        n_rows : int
            Intervals that are over.
        """
        user, seen = bearers(cell, self.population, n_rows)
        if user.size == 0:
            return
        allocation = solve([self.problem(user, seen)])[0]
        at_ms = n_rows * int(cell.config["interval_ms"][0])
        self.decisions.append(Decision(at_ms, user, seen, allocation))
        self._running[user] = allocation.share_ratio
        self._set_weights(user, seen, allocation.share_ratio)
        weight = np.maximum(self._weight, _LEAST_WEIGHT * self._weight.mean())
        cell.bearers["weight"] = weight / weight.mean()

    def problem(self, user: IntArray, seen: RecordArray) -> CellProblem:
        """Put the optimiser's question for the bearers that were seen."""
        population = self.population
        least = np.zeros(user.size)
        if self.scenario.no_starvation:
            least = np.minimum(seen["share_observed"], LEAST_SHARE_RATIO / user.size)
        return CellProblem.build(
            "cell",
            "down",
            float(population.alone_bps.mean()),
            [population.names[i] for i in user],
            [CLASS_NAMES[c] for c in seen["app_class"]],
            curves(seen),
            efficiency_bps=seen["efficiency_bps"],
            weight=seen["weight"],
            min_share_ratio=least,
            floor_mos=seen["floor_mos"],
            share_observed_ratio=seen["share_observed"],
            share_running_ratio=self._running[user],
            tier=[population.tiers[i] or None for i in user],
            tiers=tuple(self.scenario.tiers),
        )

    def _set_weights(self, user: IntArray, seen: RecordArray, share: FloatArray) -> None:
        """Turn mean shares into weights while active: a bearer active half of the time has twice its share.

        Who is silent keeps its weight for when it returns.
        """
        self._weight[user] = share / np.clip(active_ratio(seen, share), share, 1.0)
        known = np.isfinite(self._weight)
        classes = self.population.app_class
        for i in np.flatnonzero(~known):
            alike = known & (classes == classes[i])
            self._weight[i] = np.mean(self._weight[alike if alike.any() else known])


def active_ratio(seen: RecordArray, share: FloatArray) -> FloatArray:
    """Part of time with something to send, at new shares.

    A reader's pages are done sooner when they get more, so ``1 - (1 - a) x`` for ``x`` times the observed
    share (see `qoe.utility.classes.page_s`). Calls and games must not wait for the rest of their share: they
    are to be through with what they send in a part of the time, unless they take more than their share.
    """
    activity = seen["activity_ratio"]
    observed = np.maximum(seen["share_observed"], 1e-9)
    pages = np.maximum(1.0 - (1.0 - activity) * share / observed, _LEAST_ACTIVITY)
    prompt = np.minimum(activity, _PROMPT_ACTIVITY) * np.maximum(1.0, observed / np.maximum(share, 1e-9))
    kind = seen["app_class"]
    paced = np.isin(kind, (AppClass.VOIP, AppClass.GAMING))
    return np.select([kind == AppClass.WEB, paced], [pages, prompt], activity)
