"""How fast a cell is simulated: TTIs a second, by scheduler and number of bearers.

A mix of all kinds of sources, a bearer a user, in a fading channel evaluated each 10 ms; the cell is
congested. ``full`` has full queues only, which is the scheduler's worst case. `compile_s` is what the first
run in a process costs, with machine code from Numba's cache where it is there.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from qoe_native.cellsim_channel import make_cqi
from qoe_native.cellsim_data import Abr, Cell, Scheduler, Source
from qoe_native.cellsim_setup import make_cell

SEED = 20
REPEATS = 3
BEARERS = (10, 30, 100)
N_TTI = 120_000
QUICK_TTI = 5000
_MIX = (
    *({"kind": Source.VIDEO, "abr": abr} for abr in Abr),
    {"kind": Source.WEB},
    {"kind": Source.VOIP},
    {"kind": Source.GAME},
    {"kind": Source.VIDEO_CALL},
    {"kind": Source.BULK},
    {"kind": Source.OTHER},
)


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure all cases.

    Parameters
    ----------
    quick : bool
        Few TTIs, 10 bearers only.

    Returns
    -------
    list of dict
        One a case, with `scheduler`, `load`, `n_bearers`, `n_tti`, `seconds`, `tti_per_s` and
        `ns_per_bearer_tti`; the first only `compile_s`.
    """
    n_tti = QUICK_TTI if quick else N_TTI
    began = perf_counter()
    from qoe_native.cellsim import run as simulate

    simulate(_make_cell(1, "mixed", 1), 1)
    cases: list[dict[str, Any]] = [{"compile_s": perf_counter() - began}]
    for n_bearers in BEARERS[: 1 if quick else None]:
        for load in ("mixed", "full"):
            fresh = _make_cell(n_bearers, load, n_tti)
            for scheduler in Scheduler:
                seconds = min(_timed_s(fresh, scheduler, n_tti) for _ in range(REPEATS))
                cases.append(
                    {
                        "scheduler": scheduler.name.lower(),
                        "load": load,
                        "n_bearers": n_bearers,
                        "n_tti": n_tti,
                        "seconds": seconds,
                        "tti_per_s": n_tti / seconds,
                        "ns_per_bearer_tti": 1e9 * seconds / n_tti / n_bearers,
                    }
                )
    return cases


def _make_cell(n_bearers: int, load: str, n_tti: int) -> Cell:
    cqi = make_cqi(np.linspace(2.0, 22.0, n_bearers), 30_000, seed=SEED)
    kinds = _MIX if load == "mixed" else ({"kind": Source.FULL_BUFFER},)
    bearers = [{"user": i, "start_ms": min(200 * i, 5000)} | kinds[i % len(kinds)] for i in range(n_bearers)]
    config = {"cqi_step_ms": 10, "seed": SEED}
    return make_cell(config, [{}] * n_bearers, bearers, cqi, duration_ms=n_tti)


def _timed_s(fresh: Cell, scheduler: Scheduler, n_tti: int) -> float:
    from qoe_native.cellsim import run as simulate

    cell = Cell(*(part.copy() for part in fresh))
    cell.config["scheduler"] = scheduler
    began = perf_counter()
    simulate(cell, n_tti)
    return perf_counter() - began
