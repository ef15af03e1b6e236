"""What the optimiser gets to know of a simulated cell: what the kernel and a scheduler would tell."""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe.applications import Codec, MosModel
from qoe.config import Direction
from qoe.schema import AppClass, FloatArray, IntArray, RecordArray
from qoe.simulate.population import Population
from qoe.simulate.scenario import App
from qoe.utility import BEARER_DTYPE
from qoe_native.cellsim_data import Cell

HORIZON_S: Final = 10.0
"""Over which a bearer is observed."""
_FRAME_BYTES: Final = 18  # Ethernet header and trailer that the simulator's packets lack
_MODEL: Final = {
    App.VIDEO: MosModel.VIDEO_STREAMING,
    App.LIVE_VIDEO: MosModel.VIDEO_STREAMING,
    App.CALL: MosModel.VOICE_FB,
    App.VIDEO_CALL: MosModel.VIDEO_CALL,
    App.GAME: MosModel.NATIVE_GAMING,
    App.CLOUD_GAME: MosModel.CLOUD_GAMING,
    App.WEB: MosModel.WEB,
    App.BULK: MosModel.THROUGHPUT,
    App.OTHER: MosModel.NONE,
}
_DOWN_FRACTION: Final = 0.95
_VOICE_DOWN_FRACTION: Final = 0.5


def bearers(cell: Cell, population: Population, n_rows: int) -> tuple[IntArray, RecordArray]:
    """Describe the bearers that had something to send of late.

    Parameters
    ----------
    cell : Cell
        That ran for `n_rows` intervals at least.
    population : Population
        Its users.
    n_rows : int
        Intervals that are over; the last `HORIZON_S` seconds of them are looked at.

    Returns
    -------
    which : ndarray of int64, shape (n,)
        Numbers of the bearers in the population.
    bearers : ndarray of BEARER_DTYPE, shape (n,)
        As `qoe.cells.bearers` makes them of a capture. What a passive observer cannot see (how a player
        chooses, what an application would like) is not in it. Calls and games are seen before the queue: what
        is offered counts.
    """
    interval_ms = int(cell.config["interval_ms"][0])
    rows = cell.records[max(0, n_rows - round(HORIZON_S * 1e3 / interval_ms)) : n_rows]
    seconds = rows.shape[0] * interval_ms / 1e3
    which = np.flatnonzero(rows["offered_bytes"].sum(axis=0) + rows["served_bytes"].sum(axis=0) > 0)
    seen = rows[:, which]
    made = np.zeros(which.size, BEARER_DTYPE)
    made["subscriber"], made["direction"], made["n_flows"] = population.user[which], Direction.DOWN, 1
    made["app_class"] = population.app_class[which]
    made["probability"][np.arange(which.size), made["app_class"]] = 1.0
    apps = [population.apps[i] for i in which]
    made["model"], made["codec"] = [_MODEL[app] for app in apps], Codec.OPUS
    calls = made["app_class"] == AppClass.VOIP
    made["down_fraction"] = np.where(calls, _VOICE_DOWN_FRACTION, _DOWN_FRACTION)
    made["weight"], made["floor_mos"] = population.weight[which], population.floor_mos[which]
    paced = calls | (made["app_class"] == AppClass.GAMING)
    carried = np.where(paced, _total(seen, "offered_bytes"), _total(seen, "served_bytes"))
    made["rate_bps"] = carried * 8 / seconds
    made["efficiency_bps"] = alone_bps(cell, seen)
    _path(made, seen, cell.bearers["rtt_ms"][which].astype(np.float64))
    _applications(made, seen)
    busiest_bps = np.maximum(made["rate_bps"], np.nan_to_num(made["media_bps"]))
    made["share_observed"] = np.minimum(busiest_bps / made["efficiency_bps"], 1.0)
    return which, made


def alone_bps(cell: Cell, seen: RecordArray) -> FloatArray:
    """Rate of each bearer had it the cell alone.

    What its channel reports say that resource blocks carry, less what repetitions take.
    """
    n_rb = int(cell.config["n_rb"][0])
    reported = seen["efficiency_bits"].mean(axis=0)
    bler_ratio = float(cell.config["bler_ratio"][0])
    bits: FloatArray = np.maximum(reported / (1.0 + bler_ratio), 1.0)
    return bits * n_rb * 1e3


def _variation(seen: RecordArray) -> FloatArray:
    """Standard deviation over mean of the efficiency of single intervals."""
    bits = seen["efficiency_bits"]
    mean = bits.mean(axis=0)
    variation: FloatArray = np.divide(bits.std(axis=0), mean, out=np.zeros(mean.shape), where=mean > 0)
    return variation


def _total(seen: RecordArray, field: str) -> FloatArray:
    total: FloatArray = seen[field].sum(axis=0, dtype=np.float64)
    return total


def _mean(total: FloatArray, count: FloatArray) -> FloatArray:
    """Divide; NaN where nothing was counted."""
    mean: FloatArray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _path(made: RecordArray, seen: RecordArray, rtt_ms: FloatArray) -> None:
    """Fill in delay, loss and packets."""
    n_served = _total(seen, "n_served")
    made["queue_ms"] = _mean(_total(seen, "delay_sum_ms"), n_served)
    made["rtt_ms"] = rtt_ms + np.nan_to_num(made["queue_ms"])
    made["jitter_ms"] = seen["jitter_ms"].mean(axis=0)
    made["loss_ratio"] = np.nan_to_num(_mean(_total(seen, "dropped_bytes"), _total(seen, "offered_bytes")))
    made["packet_bytes"] = _mean(_total(seen, "served_bytes"), n_served) + _FRAME_BYTES
    made["activity_ratio"] = np.clip(seen["activity_ratio"].mean(axis=0), 1e-3, 1.0)


def _applications(made: RecordArray, seen: RecordArray) -> None:
    """Fill in what the framing of a player or a page shows."""
    made["media_bps"] = _mean(_total(seen, "played_bits"), _total(seen, "played_ms") / 1e3)
    made["stall_s"] = _total(seen, "stall_ms") / 1e3
    n_pages = _total(seen, "n_fetches")
    made["page_s"] = _mean(_total(seen, "fetch_sum_ms") / 1e3, n_pages)
    made["page_bytes"] = _mean(_total(seen, "fetch_bytes"), n_pages)
    made["buffer_s"] = seen["buffer_ms"][-1] / 1e3
    made["burstiness_ratio"] = np.nan  # the simulator counts packets, not the gaps between them
    made["mos"] = made["mos_confidence"] = np.nan
