"""MOS of many flows in one call, beside one call a flow; MOS of many bearers at all shares."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qoe.mos import gaming, voice, web
from qoe.schema import AppClass, RecordArray
from qoe.utility import BEARER_DTYPE, curves


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


def bearers(n: int) -> RecordArray:
    """Bearers of all classes, as `qoe.cells.bearers` gives them, of which nothing is uncertain."""
    rng = np.random.default_rng(2)
    rows = np.zeros(n, BEARER_DTYPE)
    for name in ("mos", "floor_mos", "mos_confidence", "page_s", "media_bps", "ladder_bps"):
        rows[name] = np.nan
    rows["app_class"] = rng.integers(0, len(AppClass), n)
    rows["probability"][np.arange(n), rows["app_class"]] = 1.0
    rows["rate_bps"], rows["efficiency_bps"] = np.exp(rng.normal(13.0, 1.5, n)), rng.uniform(5e6, 8e7, n)
    rows["share_observed"] = np.minimum(rows["rate_bps"] / rows["efficiency_bps"], 1.0)
    rows["rtt_ms"], rows["queue_ms"] = rng.uniform(20, 200, n), rng.uniform(0, 20, n)
    rows["packet_bytes"], rows["page_bytes"] = rng.uniform(100, 1500, n), rng.uniform(1e5, 2e6, n)
    rows["activity_ratio"], rows["down_fraction"] = rng.uniform(0.1, 1.0, n), 0.9
    return rows


def curve_cases(n: int) -> list[dict[str, Any]]:
    """Curves of 64 points: nothing uncertain; then efficiency, judgement and class: mean and quantile."""
    rows = bearers(n)
    vague = rows.copy()
    vague["mos"], vague["mos_confidence"], vague["efficiency_cv"] = 3.0, 0.7, 0.3
    vague["probability"] *= 0.8
    vague["probability"][:, AppClass.WEB] += 0.2
    wanted: dict[str, Callable[[], object]] = {
        "curves, certain": lambda: curves(rows),
        "curves, expected": lambda: curves(vague),
        "curves, quantile": lambda: curves(vague, robust="quantile"),
    }
    return [
        {"model": name, "bearers": n, "us_per_bearer": _ns_per_call(call, n) / 1e3}
        for name, call in wanted.items()
    ]


def run(quick: bool) -> list[dict[str, Any]]:
    """Each model over an array of flows, and over the first hundred of them one by one; curves of bearers."""
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
    return cases + curve_cases(1_000 if quick else 10_000)
