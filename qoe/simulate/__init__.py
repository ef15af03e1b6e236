"""A cell to try policies in: real sources on simulated air, scored by the models that score captures.

>>> scenario = load_scenario("examples/evening.toml")                  # doctest: +SKIP
>>> report = summarise(simulate(scenario), scenario)                     # doctest: +SKIP
"""

from qoe.simulate.run import Run, simulate
from qoe.simulate.scenario import POLICIES, Scenario, load_scenario
from qoe.simulate.summary import summarise

__all__ = ["POLICIES", "Run", "Scenario", "load_scenario", "simulate", "summarise"]
