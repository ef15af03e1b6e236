"""What explanations cost, beside the solving that they explain.

Cells are those of the benchmark `optimise`: 50 bearers, floors, tiers. ``solve`` is all of
`qoe.optimise.solve`. ``explain`` is what is told of every allocation: prices, who is badly off, other
policies; ``with trade-off`` also traces the front for the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from qoe.optimise import explain, solve
from qoe.tools.cells import random_cells

SEED = 20
REPEATS = 3


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure a batch of cells.

    Parameters
    ----------
    quick : bool
        Few cells.

    Returns
    -------
    list of dict
        One a stage, with `n_cells`, `n_bearers`, `us_per_cell` and `ratio` to solving.
    """
    n_cells, n_bearers = (10 if quick else 100), 50
    cells = random_cells(SEED, n_cells, n_bearers, floors=True)
    allocations = solve(cells)
    stages: dict[str, Callable[[], object]] = {
        "solve": lambda: solve(cells),
        "explain": lambda: explain(cells, allocations, trade_off=False),
        "explain, with trade-off": lambda: explain(cells, allocations),
    }
    us = {name: _best_us(call) / n_cells for name, call in stages.items()}
    return [
        {
            "stage": name,
            "n_cells": n_cells,
            "n_bearers": n_bearers,
            "us_per_cell": t,
            "ratio": t / us["solve"],
        }
        for name, t in us.items()
    ]


def _best_us(call: Callable[[], object]) -> float:
    call()
    return min(_timed_us(call) for _ in range(REPEATS))


def _timed_us(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e6
