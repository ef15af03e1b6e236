"""MOS of many flows in one call, beside one call a flow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qoe.mos import gaming, voice, web


def _ns_per_call(call: Callable[[], object], n: int) -> float:
    call()
    best = min(_elapsed_ns(call) for _ in range(5))
    return best / n


def _elapsed_ns(call: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def models(n: int) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Each model with inputs for `n` flows: arrays of that length, or one value for all."""
    rng = np.random.default_rng(1)
    delay_ms = rng.uniform(5, 400, n)
    loss_percent = rng.uniform(0, 10, n)
    rate_bps = rng.uniform(1e5, 5e7, n)
    return {
        "G.107": (voice.mos_nb, (delay_ms, loss_percent)),
        "G.107.1": (voice.mos_wb, (delay_ms, loss_percent)),
        "G.1072 cloud": (gaming.mos_cloud, (rate_bps, 60.0, 1920, 1080, delay_ms)),
        "G.1072 native": (gaming.mos_native, (delay_ms,)),
        "G.1030": (web.mos_page, (delay_ms / 50,)),
    }


def run(quick: bool) -> list[dict[str, Any]]:
    """Each model over an array of flows, and over the first hundred of them one by one."""
    n, n_single = (10_000, 20) if quick else (100_000, 100)
    cases = []
    for name, (model, inputs) in models(n).items():
        rows = [[x[i].item() if isinstance(x, np.ndarray) else x for x in inputs] for i in range(n_single)]

        def together(model: Callable[..., Any] = model, inputs: tuple[Any, ...] = inputs) -> object:
            return model(*inputs)

        def one_by_one(model: Callable[..., Any] = model, rows: list[list[Any]] = rows) -> object:
            return [model(*row) for row in rows]

        batch_ns, single_ns = _ns_per_call(together, n), _ns_per_call(one_by_one, n_single)
        cases.append(
            {
                "model": name,
                "flows": n,
                "ns_per_flow": batch_ns,
                "ns_per_flow_one_by_one": single_ns,
                "ratio": single_ns / batch_ns,
            }
        )
    return cases
