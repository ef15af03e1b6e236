"""Policies of a simulated cell: the schedulers of the field, and the weights that the optimiser decides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from qoe.optimise import Allocation, CellProblem, solve
from qoe.optimise.curves import invert
from qoe.schema import CLASS_NAMES, AppClass, Curves, FloatArray, IntArray, RecordArray
from qoe.simulate import weights
from qoe.simulate.observe import HORIZON_S, bearers
from qoe.simulate.population import Population
from qoe.simulate.scenario import Scenario
from qoe.simulate.score import score
from qoe.simulate.wishes import Wishes
from qoe.utility import curves
from qoe.utility.robust import expected
from qoe_native.cellsim_data import Cell, Scheduler

SCHEDULER: Final = {
    "qoe": Scheduler.AIRTIME_WFQ,
    "pf": Scheduler.PF_PER_USER,
    "pf_per_class": Scheduler.PF,
    "weighted_pf": Scheduler.WEIGHTED_PF,
    "strict_priority": Scheduler.STRICT_PRIORITY,
    "round_robin": Scheduler.ROUND_ROBIN,
    "max_ci": Scheduler.MAX_CI,
    "m_lwdf": Scheduler.M_LWDF,
    "exp_pf": Scheduler.EXP_PF,
    "drr": Scheduler.DRR,
}
LEAST_SHARE_RATIO: Final = 0.5
"""Part of an equal share that nobody falls below under `no_starvation`."""
KEPT_RATIO: Final = 0.9
"""Part of its share that a bearer keeps from one decision to the next: players and congestion control
follow a rate that falls slowly, and fall over one that jumps."""
PLAYER_SPREAD: Final = 0.4
"""Deviation of the logarithm of the throughput that players act on, about the mean rate: they estimate it
differently, and choose by rate, by buffer or by both."""
_MOST_KEPT: Final = 0.98


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
        weight = np.maximum(population.weight, weights.LEAST_WEIGHT * population.weight.mean())
        cell.bearers["weight"] = weight / weight.mean()


@dataclass(slots=True)
class Decision:
    """What was decided at the end of an interval.

    Attributes
    ----------
    at_ms : int
        When.
    which : ndarray of int64, shape (n,)
        The bearers that were looked at.
    bearers : ndarray of BEARER_DTYPE, shape (n,)
        What was seen of them.
    allocation : Allocation
        Shares and promises.
    """

    at_ms: int
    which: IntArray
    bearers: RecordArray
    allocation: Allocation


@dataclass(slots=True)
class Controller:
    """The closed loop: every interval it observes, optimises and sets weights.

    Parameters
    ----------
    scenario : Scenario
        Tiers, whether anybody may starve.
    population : Population
        The users.
    wishes : Wishes, optional
        Intents that are to hold.

    Attributes
    ----------
    decisions : list of Decision
        All so far.
    """

    scenario: Scenario
    population: Population
    wishes: Wishes | None = None
    decisions: list[Decision] = field(default_factory=list)
    _running: FloatArray = field(init=False)
    _weight: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._running = np.full(len(self.population.apps), np.nan)
        self._weight = np.full(len(self.population.apps), np.nan)

    def decide(self, cell: Cell, n_rows: int) -> None:
        """Set the weights for the next interval.

        Parameters
        ----------
        cell : Cell
            Whose weights are set.
        n_rows : int
            Intervals that are over.
        """
        which, seen = bearers(cell, self.population, n_rows)
        if which.size == 0:
            return
        at_ms = n_rows * int(cell.config["interval_ms"][0])
        problem = self.problem(which, seen)
        if self.wishes:
            problem = self.wishes.into(problem, at_ms)
        allocation = solve([self._steady(problem, which, seen)])[0]
        if self.wishes and at_ms > self.scenario.warmup_s * 1e3:
            begin_ms = max(0, at_ms - int(HORIZON_S * 1e3))
            self.wishes.judge(score(cell, self.population, begin_ms, at_ms)[which], allocation)
        self.decisions.append(Decision(at_ms, which, seen, allocation))
        self._running[which] = allocation.share_ratio
        self._weight[which] = weights.moved(self._weight[which], seen, allocation.share_ratio)
        filled = weights.filled(self._weight, self.population.app_class)
        cell.bearers["weight"] = filled / filled.mean()

    def problem(self, which: IntArray, seen: RecordArray) -> CellProblem:
        """Put the optimiser's question for the bearers that were seen."""
        population = self.population
        return CellProblem.build(
            "cell",
            "down",
            float(population.alone_bps.mean()),
            [population.users[population.user[i]] for i in which],
            [CLASS_NAMES[c] for c in seen["app_class"]],
            utilities(seen),
            efficiency_bps=seen["efficiency_bps"],
            weight=seen["weight"],
            min_share_ratio=self._least(which, seen),
            floor_mos=seen["floor_mos"],
            share_observed_ratio=seen["share_observed"],
            share_running_ratio=self._running[which],
            tier=[population.tiers[population.user[i]] or None for i in which],
            tiers=tuple(self.scenario.tiers),
        )

    def _least(self, which: IntArray, seen: RecordArray) -> FloatArray:
        """Shares that nobody falls below, against starvation.

        Games that stream pictures keep nothing: below what they send they are worth nothing to anybody.
        """
        if not self.scenario.no_starvation:
            return np.zeros(which.size)
        least = np.minimum(seen["share_observed"], LEAST_SHARE_RATIO / which.size)
        return np.where(seen["app_class"] == AppClass.GAMING, 0.0, least)

    def _steady(self, problem: CellProblem, which: IntArray, seen: RecordArray) -> CellProblem:
        """Let shares fall slowly, as far as what is promised leaves room."""
        floor = np.nan_to_num(invert(problem.curves, np.nan_to_num(problem.floor_mos, nan=1.0)))
        promised = np.maximum(problem.min_share_ratio, np.where(np.isnan(problem.floor_mos), 0.0, floor))
        kept = KEPT_RATIO * np.nan_to_num(self._running[which])
        kept[seen["app_class"] == AppClass.GAMING] = 0.0
        held = np.where(weights.follows_rate(seen), weights.HELD_RATIO * seen["share_observed"], 0.0)
        kept = np.maximum(kept, held)
        more = np.maximum(kept - promised, 0.0)
        room = np.clip((_MOST_KEPT - promised.sum()) / max(more.sum(), 1e-9), 0.0, 1.0)
        least = np.where(more > 0, promised + room * more, problem.min_share_ratio)
        return replace(problem, min_share_ratio=least)


def utilities(seen: RecordArray) -> Curves:
    """Tabulate MOS against share, as `qoe.utility.curves`, with players of many kinds.

    Parameters
    ----------
    seen : ndarray of BEARER_DTYPE, shape (n,)
        Of `qoe.simulate.observe.bearers`.

    Returns
    -------
    Curves
        Shape (n, 64). Of video the mean over `PLAYER_SPREAD`.
    """
    made = curves(seen)
    video = seen["app_class"] == AppClass.VIDEO
    mos = expected(made.share, made.mos, np.where(video, PLAYER_SPREAD, 0.0))
    mos[:, 0] = 1.0
    return Curves(made.share, np.maximum.accumulate(mos, axis=1), made.step & ~video)
