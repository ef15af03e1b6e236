"""What users get of our simulator's cell, when its scheduler sees the CQIs that ns-3's saw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ns3.program import Measured
from ns3.twin import WINDOW_TTI
from qoe_native.cellsim import run
from qoe_native.cellsim_channel import efficiency_bits
from qoe_native.cellsim_data import Scheduler, Source
from qoe_native.cellsim_setup import make_cell

SETTLE_MS = 1000
SCHEDULERS = {"Pf": Scheduler.PF, "FdMt": Scheduler.MAX_CI, "Rr": Scheduler.ROUND_ROBIN}


class Compared(NamedTuple):
    """What users got, by user.

    Attributes
    ----------
    theirs_bps, ours_bps : ndarray of float64, shape (n_users,)
        ns-3's and ours.
    airtime_theirs_ratio, airtime_ours_ratio : ndarray of float64, shape (n_users,)
    """

    theirs_bps: npt.NDArray[np.float64]
    ours_bps: npt.NDArray[np.float64]
    airtime_theirs_ratio: npt.NDArray[np.float64]
    airtime_ours_ratio: npt.NDArray[np.float64]

    @property
    def error_ratio(self) -> npt.NDArray[np.float64]:
        """Ours over ns-3's, less one; 0 where neither gave anything."""
        same = self.ours_bps == self.theirs_bps
        return np.where(same, 1.0, self.ours_bps / np.where(same, 1.0, self.theirs_bps)) - 1.0


def compare(measured: Measured) -> Compared:
    """Run our cell and set it beside ns-3's.

    ns-3 grants whole groups, so what is left of the carrier beyond them is left out. A block carries what the
    modulation and coding that belongs to a CQI makes of 120 resource elements; the metric, in ns-3 as here,
    takes the transport block of a single group. ns-3's round robin looks at the CQI of the whole carrier.
    """
    n_users, n_groups = len(measured.cqi), len(measured.bits)
    cell = make_cell(
        {
            "n_rb": n_groups * measured.group_rb,
            "rbg_rb": measured.group_rb,
            "scheduler": SCHEDULERS[measured.scheduler],
            "rate_window_ms": WINDOW_TTI,
            "cqi_step_ms": 1,
        },
        [{} for _ in range(n_users)],
        [{"user": user, "kind": Source.FULL_BUFFER} for user in range(n_users)],
        measured.wideband_cqi if measured.scheduler == "Rr" else measured.cqi,
        duration_ms=SETTLE_MS + measured.duration_ms,
        bits_per_rb=efficiency_bits("36.213-mcs"),
        metric_bits_per_rb=measured.bits[0] / measured.group_rb,
    )
    run(cell, SETTLE_MS + measured.duration_ms)
    records = cell.records[SETTLE_MS // 1000 : (SETTLE_MS + measured.duration_ms) // 1000]
    to_bps = 8000.0 / measured.duration_ms
    return Compared(
        theirs_bps=measured.received_bytes * to_bps,
        ours_bps=records["served_bytes"].sum(axis=0) * to_bps,
        airtime_theirs_ratio=measured.airtime_ratio,
        airtime_ours_ratio=records["airtime_ratio"].mean(axis=0),
    )
