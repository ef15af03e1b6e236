"""Cells to compare: where users stand, and how their channels fade."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qoe_native.cellsim_channel import multipath_db

NEAR_M, FAR_M = 300.0, 2700.0
"""With the program's path loss the SINR is 33 dB and -3 dB there: CQI 15, and 2 or 1."""
TRACE_MS = 10_000
FADING_MS = 4000
"""What is measured under fading: the longer the better known are the means."""
DOPPLER_HZ = 5.6
"""3 km/h at 2 GHz."""


class Scenario(NamedTuple):
    """A cell.

    Attributes
    ----------
    seed : int
        Of the users' places and of the fading.
    fading : {"none", "flat", "EPA"}
        Alike on all subcarriers, or multipath of 3GPP TS 36.101 annex B.2.1.
    scheduler : {"Pf", "FdMt", "Rr"}
        ns-3's: proportional fair, the best channel of each group, round robin.
    n_rb : int
    errors : bool
        Transport blocks may fail and are repeated.
    n_users : int
    """

    seed: int
    fading: str = "none"
    scheduler: str = "Pf"
    n_rb: int = 50
    errors: bool = False
    n_users: int = 10

    def options(self, folder: Path) -> dict[str, object]:
        """Options of the program; the fading's trace is written to a folder."""
        options: dict[str, object] = {
            "distances": ",".join(f"{distance:.0f}" for distance in self.distances_m()),
            "scheduler": self.scheduler,
            "rb": self.n_rb,
            "errors": int(self.errors),
        }
        if self.fading != "none":
            path = folder / f"{self.fading}-{self.seed}-{self.n_rb}.fad"
            write_fading(path, self.fading, self.seed, self.n_rb)
            options |= {"fading": path, "duration": FADING_MS}
        return options

    def distances_m(self) -> npt.NDArray[np.float64]:
        """Distances from the eNodeB, their logarithm uniform, so that SINRs are."""
        rng = np.random.default_rng(self.seed)
        return np.sort(np.exp(rng.uniform(np.log(NEAR_M), np.log(FAR_M), self.n_users)))


def write_fading(path: Path, fading: str, seed: int, n_rb: int) -> None:
    """Write a trace as ns-3 reads it: a line a resource block, a column a millisecond, dB.

    Users take pieces of it from random places.
    """
    n_points = 1 if fading == "flat" else n_rb
    profile = "EPA" if fading == "flat" else fading
    rng = np.random.default_rng(seed)
    gain_db = multipath_db(rng, TRACE_MS, n_points, DOPPLER_HZ / 1000.0, n_rb * 180e3, profile)
    np.savetxt(path, np.broadcast_to(gain_db.T, (n_rb, TRACE_MS)), fmt="%.2f")
