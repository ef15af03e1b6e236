"""What the weights bring in a simulated cell: MOS as the simulated applications had it, by policy and load.

Channels are phones' logs of CQI under ``radio/ucc5g`` of the folder that QOE_TRACES names, which is not
shipped; without it the channel model stands in, and the cases say so (`channels`). Every policy meets the
same users, channels and sources. `promise_error_mean` is the distance between the mean MOS that the
optimiser promised and the one measured.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from qoe.simulate import load_scenario, simulate, summarise
from qoe.simulate.scenario import Scenario
from qoe.toml import convert

LOADS = (1.2, 1.6, 2.0, 3.0)
N_SEEDS = 20
FIRST_SEED = 1000
POLICIES = ("qoe", "pf", "pf_per_class", "strict_priority", "m_lwdf", "max_ci")
EXAMPLE = Path(__file__).parent.parent / "examples" / "evening.toml"


def scenario(quick: bool) -> Scenario:
    """The example's users, with logs as channels where there are any."""
    raw = msgspec.to_builtins(load_scenario(EXAMPLE))
    traces = os.environ.get("QOE_TRACES")
    raw["radio"]["traces"] = [f"{Path(traces).resolve()}/radio/ucc5g/*.csv"] if traces else []
    raw |= {"loads": LOADS, "n_seeds": N_SEEDS, "seed": FIRST_SEED, "policies": POLICIES}
    if quick:
        raw |= {"loads": (1.6,), "n_seeds": 1, "duration_s": 30.0, "warmup_s": 10.0}
    return convert(raw, Scenario)


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure all policies at all loads.

    Parameters
    ----------
    quick : bool
        One short run at one load.

    Returns
    -------
    list of dict
        One a policy and load, with the fields of `qoe.report.simulation.PolicySummary`, `channels` and
        `s_per_run`.
    """
    plan = scenario(quick)
    begin = perf_counter()
    runs = simulate(plan, n_threads=os.cpu_count() or 1)
    seconds = perf_counter() - begin
    report = summarise(runs, plan)
    return [
        {**msgspec.to_builtins(p), "channels": report.channels, "s_per_run": seconds / len(runs)}
        for p in report.policies
    ]
