"""What is going on at a moment of a live replay, put together out of its arrays."""

from __future__ import annotations

import numpy as np

from qoe.cells import SubscriberTable
from qoe.experience import ALL_CLASSES
from qoe.report.running import Running, RunningRow
from qoe.schema import CLASS_NAMES, RecordArray
from qoe.shards import Shards

_ORDER = (*range(1, len(CLASS_NAMES)), 0)  # unknown last


def running(
    end_s: float,
    seconds: float,
    engine: Shards,
    experience: RecordArray,
    rows: RecordArray,
    load: RecordArray,
    table: SubscriberTable,
) -> Running:
    """Put the state of a moment together.

    Parameters
    ----------
    end_s, seconds : float
        Now, since 1970, and since reading began.
    engine : Shards
        Counters, and flows that are tracked.
    experience : ndarray of EXPERIENCE_DTYPE
        Flows with packets within the horizon.
    rows : ndarray of SUBSCRIBER_DTYPE
        Of `qoe.experience.by_subscriber(experience)`.
    load : ndarray of LOAD_DTYPE
        Of `qoe.cells.CellLoad.update`.
    table : SubscriberTable
        Names.
    """
    counters = engine.counters()
    known = load[load["capacity_known"]]
    return Running(
        time_s=end_s,
        seconds=seconds,
        packets=counters["packets"],
        bytes=counters["bytes"],
        dropped=counters["kernel_dropped"],
        live_flows=engine.n_live,
        classes=[_class(experience, rows, c) for c in _ORDER if np.any(experience["app_class"] == c)],
        subscribers=_subscribers(experience, rows, table),
        cells=[
            (
                table.cell_names[row["cell"]],
                ("down", "up")[row["direction"]],
                float(row["load_bps"]),
                float(row["capacity_bps"]),
            )
            for row in known
        ],
    )


def _class(experience: RecordArray, rows: RecordArray, app_class: int) -> RunningRow:
    flows = experience[experience["app_class"] == app_class]
    mos = rows["mos"][(rows["app_class"] == app_class) & (rows["subscriber"] >= 0)]
    judged = mos[np.isfinite(mos)]
    return RunningRow(
        name=CLASS_NAMES[app_class],
        flows=len(flows),
        down_bps=float(flows["rate_down_bps"].sum()),
        up_bps=float(flows["rate_up_bps"].sum()),
        mos=float(judged.mean()) if len(judged) else None,
    )


def _subscribers(experience: RecordArray, rows: RecordArray, table: SubscriberTable) -> list[RunningRow]:
    owned = experience[experience["subscriber"] >= 0]
    rates = [
        np.bincount(owned["subscriber"], owned[name], minlength=len(table.names))
        for name in ("rate_down_bps", "rate_up_bps")
    ]
    by_class: dict[int, dict[str, float]] = {}
    for row in rows[np.isfinite(rows["mos"]) & (rows["app_class"] != ALL_CLASSES)]:
        by_class.setdefault(int(row["subscriber"]), {})[CLASS_NAMES[row["app_class"]]] = float(row["mos"])
    return [
        RunningRow(
            name=table.names[index],
            tier=table.tiers[index],
            flows=int(row["n_flows"]),
            down_bps=float(rates[0][index]),
            up_bps=float(rates[1][index]),
            mos=float(row["mos"]) if np.isfinite(row["mos"]) else None,
            by_class=by_class.get(index, {}),
        )
        for row in rows[(rows["app_class"] == ALL_CLASSES) & (rows["subscriber"] >= 0)]
        for index in (int(row["subscriber"]),)
    ]
