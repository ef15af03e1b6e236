"""Policies side by side: the same users, channels and sources under each, by seed and load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qoe.intent import IntentsFile, IntentSummary, load_intents
from qoe.schema import FloatArray
from qoe.simulate import policy as policies
from qoe.simulate.policy import Controller
from qoe.simulate.population import Population, build, populate
from qoe.simulate.radio import CqiArray, find_traces, read_traces
from qoe.simulate.scenario import Scenario, start_s
from qoe.simulate.score import score
from qoe.simulate.wishes import Wishes
from qoe_native.cellsim import run
from qoe_native.cellsim_data import Cell


@dataclass(frozen=True, slots=True)
class Run:
    """One policy on one population.

    Attributes
    ----------
    policy : str
        Of `qoe.simulate.scenario.POLICIES`.
    load : float or None
        What was asked for; None: the users as listed.
    seed : int
        Of the population.
    population : Population
        The users; ``population.load`` is what they do ask for.
    mos : ndarray of float64, shape (n_bearers,)
        Measured, NaN where not judged.
    promised : ndarray of float64, shape (n_bearers,)
        Mean of what the optimiser promised; NaN for other policies, and where nothing was ever sent.
    rate_bps, airtime_ratio : ndarray of float64, shape (n_bearers,)
        Means over the time that is judged.
    gap_ratio : float
        Mean certified gap of the decisions; NaN without.
    intents : tuple of IntentSummary
        How each fared, interval by interval, after the warm-up; empty without.
    """

    policy: str
    load: float | None
    seed: int
    population: Population
    mos: FloatArray
    promised: FloatArray
    rate_bps: FloatArray
    airtime_ratio: FloatArray
    gap_ratio: float
    intents: tuple[IntentSummary, ...] = ()


OnRun = Callable[[Run], None]


def simulate(
    scenario: Scenario,
    *,
    folder: str | Path = ".",
    n_threads: int = 1,
    on_run: OnRun | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[Run]:
    """Run all policies on all loads and seeds of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What is simulated.
    folder : str or Path
        Where relative names in the scenario begin.
    n_threads : int
        Runs at the same time; the results do not depend on it.
    on_run : callable, optional
        Called with each run that is done, in order.
    on_note : callable, optional
        Told what was odd about the scenario's files.

    Returns
    -------
    list of Run
        By load, seed and policy, in the scenario's order.

    Raises
    ------
    ConfigError
        A trace or the file of intents cannot be read.
    """
    traces = read_traces(find_traces(scenario.radio.traces, Path(folder)), on_note)
    intents = load_intents(Path(folder) / scenario.intents) if scenario.intents else None
    loads: Sequence[float | None] = scenario.loads or (None,)
    seeds = range(scenario.seed, scenario.seed + scenario.n_seeds)
    tasks = [(load, seed) for load in loads for seed in seeds]
    done: list[Run] = []
    with ThreadPoolExecutor(n_threads) as pool:
        for runs in pool.map(lambda task: list(_runs(scenario, traces, intents, *task)), tasks):
            for one in runs:
                done.append(one)
                if on_run:
                    on_run(one)
    return done


def _runs(
    scenario: Scenario,
    traces: Sequence[CqiArray],
    intents: IntentsFile | None,
    load: float | None,
    seed: int,
) -> Iterable[Run]:
    population = populate(scenario, traces, seed, load)
    fresh = build(scenario, population, seed)
    for name in scenario.policies:
        yield run_policy(scenario, population, copied(fresh), name, seed, load, intents)


def copied(cell: Cell) -> Cell:
    """Copy a cell with all of its state."""
    return Cell._make(array.copy() for array in cell)


def run_policy(
    scenario: Scenario,
    population: Population,
    cell: Cell,
    name: str,
    seed: int,
    load: float | None,
    intents: IntentsFile | None = None,
) -> Run:
    """Run one policy on a cell that is set up.

    Parameters
    ----------
    scenario : Scenario
        Its length, its interval.
    population : Population
        The users.
    cell : Cell
        Of `qoe.simulate.population.build`; it is changed.
    name : str
        The policy.
    seed, load : int, float or None
        What the result says of them.
    intents : IntentsFile, optional
        What ``qoe`` is to hold.

    Returns
    -------
    Run
    """
    interval_ms = int(cell.config["interval_ms"][0])
    n_rows = round(scenario.duration_s * 1e3) // interval_ms
    wishes = Wishes(intents, start_s(scenario)) if intents and name == "qoe" else None
    controller = Controller(scenario, population, wishes) if name == "qoe" else None
    policies.start(name, cell, population)
    for row in range(n_rows):
        run(cell, interval_ms)
        if controller:
            controller.decide(cell, row + 1)
    begin_ms, end_ms = round(scenario.warmup_s * 1e3) // interval_ms * interval_ms, n_rows * interval_ms
    judged = cell.records[begin_ms // interval_ms : n_rows]
    seconds = (end_ms - begin_ms) / 1e3
    return Run(
        policy=name,
        load=load,
        seed=seed,
        population=population,
        mos=score(cell, population, begin_ms, end_ms),
        promised=_promised(controller, population, begin_ms, end_ms),
        rate_bps=judged["served_bytes"].sum(axis=0) * 8 / seconds,
        airtime_ratio=judged["airtime_ratio"].mean(axis=0),
        gap_ratio=_gap_ratio(controller),
        intents=wishes.summaries(end_ms) if wishes else (),
    )


def _promised(
    controller: Controller | None, population: Population, begin_ms: int, end_ms: int
) -> FloatArray:
    """Average what was promised for the time that is judged."""
    n = len(population.apps)
    total, count = np.zeros(n), np.zeros(n)
    for decision in controller.decisions if controller else ():
        if begin_ms <= decision.at_ms < end_ms:
            total[decision.which] += decision.allocation.mos_after
            count[decision.which] += 1
    mean: FloatArray = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return mean


def _gap_ratio(controller: Controller | None) -> float:
    gaps = [d.allocation.gap_ratio for d in controller.decisions] if controller else []
    return float(np.mean(gaps)) if gaps else float("nan")
