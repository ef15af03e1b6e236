"""What each user gets in our simulated cell and in ns-3's, when both schedulers see the same CQIs.

Nothing is timed. Users stand at random places of a cell, more of them than the tests look at;
``python -m benchmarks.ns3 300 700 1500`` sets them at these distances in metres instead.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT
from benchmarks.machine import UnavailableError

sys.path.append(str(ROOT / "tests"))
from ns3.compare import compare
from ns3.program import Measured, build, measure, what_is_missing
from ns3.scenarios import Scenario

FIRST_SEED = 100
_SCENARIOS = (
    *(Scenario(FIRST_SEED + i) for i in range(10)),
    *(Scenario(FIRST_SEED + i, fading=fading) for fading in ("flat", "EPA") for i in range(3)),
    *(Scenario(FIRST_SEED + i, fading="EPA", errors=True) for i in range(2)),
    *(Scenario(FIRST_SEED, n_rb=n_rb) for n_rb in (25, 100)),
    *(Scenario(FIRST_SEED + i, fading="EPA", scheduler="FdMt") for i in range(2)),
    *(Scenario(FIRST_SEED + i, scheduler="Rr", n_users=8) for i in range(2)),
)
_QUICK = (Scenario(FIRST_SEED), Scenario(FIRST_SEED, fading="EPA"))


def run(quick: bool) -> list[dict[str, Any]]:
    """Compare cell by cell.

    Parameters
    ----------
    quick : bool
        Two cells only.

    Returns
    -------
    list of dict
        A scenario's settings, the largest and the mean error over its users, and each user's throughputs.

    Raises
    ------
    UnavailableError
        ns-3 is not installed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = _built(folder)
        return [
            scenario._asdict() | _judged(measure(program, **scenario.options(folder)))
            for scenario in (_QUICK if quick else _SCENARIOS)
        ]


def _built(folder: Path) -> Path:
    missing = what_is_missing()
    if missing:
        raise UnavailableError(missing)
    return build(folder)


def _judged(measured: Measured) -> dict[str, Any]:
    found = compare(measured)
    # a grant more or less is no error of a user who hardly gets any
    counts = found.theirs_bps > 1e-3 * found.theirs_bps.sum()
    errors = np.abs(found.error_ratio[counts])
    columns = {
        "distance_m": measured.distance_m,
        "sinr_db": measured.sinr_db,
        "cqi_mean": measured.cqi.mean(axis=(1, 2)),
        "ns3_bps": found.theirs_bps,
        "qoe_bps": found.ours_bps,
    }
    rows = zip(*(column.round(3).tolist() for column in columns.values()), strict=True)
    return {
        "error_max_ratio": float(errors.max()),
        "error_mean_ratio": float(errors.mean()),
        "users": [dict(zip(columns, row, strict=True)) for row in rows],
    }


def main(distances: list[str]) -> int:
    """Compare a cell with users at these distances under PF, and print it as JSON."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(_built(Path(folder)), distances=",".join(distances))
    except (UnavailableError, RuntimeError) as error:
        print(f"benchmarks.ns3: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_judged(measured), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
