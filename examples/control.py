"""What control_host.c runs in its control thread: the host's flow records in, scheduler weights out."""

from __future__ import annotations

import numpy as np

from qoe.cells import CellLoad, SubscriberTable, bearers
from qoe.config import Direction, decode
from qoe.experience import Tracker
from qoe.optimise import CellProblem, solve
from qoe.schema import CHUNK_DTYPE, CLASS_NAMES, FLOW_DTYPE, AppClass
from qoe.utility import curves

NO_CHUNKS = np.zeros(0, CHUNK_DTYPE)  # of players: a host with video passes qoe_engine_chunks() on


class Control:
    """Decides the downlink of one cell.

    Parameters
    ----------
    n_subscribers : int
        Who have the addresses 10.0.0.1, 10.0.0.2, ...
    capacity_bps : float
        What the cell carries downwards.
    """

    def __init__(self, n_subscribers: int, capacity_bps: float) -> None:
        served = [{"name": f"10.0.0.{i + 1}", "addresses": [f"10.0.0.{i + 1}"]} for i in range(n_subscribers)]
        cell = {"name": "cell", "capacity_down": capacity_bps, "subscriber": served}
        self.table = SubscriberTable.from_config(decode({"cell": [cell]}))
        self.tracker = Tracker(horizon_s=5)
        self.load = CellLoad(self.table)
        self.then_s = 0.0

    def decide(self, memory: memoryview, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Share the cell by what its flows did lately.

        Parameters
        ----------
        memory : memoryview
            ``struct qoe_flow`` records of the flows that had packets since the last call. They are read
            where they lie; nothing may be kept of them.
        now_ns : int
            The host's clock.

        Returns
        -------
        bearer : ndarray of uint32
            The host's numbers: subscriber x ``QOE_N_CLASSES`` + class.
        weight : ndarray of float32
            For `qoe_engine_set_weights`.
        """
        flows = np.frombuffer(memory, FLOW_DTYPE)
        now_s = now_ns / 1e9
        rows = self.tracker.update(flows, NO_CHUNKS, now_s, *self.table.match(flows))
        load = self.load.update(rows, max(now_s - self.then_s, 0.1) if self.then_s else 1.0)
        self.then_s = now_s
        down = bearers(rows, self.table, load)
        # a flow whose class is not known yet keeps the weight of an equal, 1
        down = down[(down["direction"] == Direction.DOWN) & (down["app_class"] != AppClass.UNKNOWN)]
        names = [self.table.names[i] for i in down["subscriber"]]
        classes = [CLASS_NAMES[i] for i in down["app_class"]]
        problem = CellProblem.build(
            "cell",
            "down",
            self.table.capacity_bps[0, Direction.DOWN],
            names,
            classes,
            curves(down),
            min_share_ratio=np.minimum(down["share_observed"], 0.25 / max(len(down), 1)),  # nobody starves
            share_observed_ratio=down["share_observed"],
        )
        (allocation,) = solve([problem])
        print(f"decision: {allocation.status}, mean MOS {allocation.mean_mos_after:.2f} of at most "
              f"{allocation.mos_bound:.2f} (before: {allocation.mean_mos_before:.2f})")  # fmt: skip
        for i, weight in enumerate(allocation.scheduler_weight):
            print(f"  {names[i]} {classes[i]}: share {allocation.share_ratio[i]:.3f}, weight {weight:.3f}, "
                  f"MOS {allocation.mos_after[i]:.2f}", flush=True)  # fmt: skip
        number = down["subscriber"] * len(AppClass) + down["app_class"]
        return number.astype(np.uint32), allocation.scheduler_weight.astype(np.float32)
