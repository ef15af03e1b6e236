"""Our cell beside ns-3's: the same users under proportional fairness get the same, to within a tenth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ns3.compare import compare
from ns3.program import Measured, build, measure, what_is_missing
from ns3.scenarios import Scenario
from ns3.twin import allocate

from qoe_native.cellsim_channel import efficiency_bits, make_cqi

MISSING = what_is_missing()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ns-3's cell, compiled once."""
    if MISSING:
        pytest.skip(f"ns-3's cell cannot be built: {MISSING}")
    return build(tmp_path_factory.mktemp("ns3"))


@pytest.mark.parametrize(
    "scenario",
    [
        *(Scenario(seed) for seed in range(1, 7)),
        Scenario(7, fading="flat"),
        Scenario(8, fading="EPA"),
        Scenario(8, fading="EPA", errors=True),
        Scenario(9, n_rb=25),
        Scenario(7, fading="EPA", scheduler="FdMt"),
        # with ten users ns-3's round robin grants ten of 16 groups and leaves the rest
        Scenario(1, scheduler="Rr", n_users=8),
    ],
    ids=str,
)
def test_each_user_gets_what_ns3_gives_it(program: Path, tmp_path: Path, scenario: Scenario) -> None:
    """Throughput of each user within 10 %.

    Under PF at six placements, in fading, with blocks that fail and are repeated, with another bandwidth; by
    the best channel; in turns.
    """
    found = compare(measure(program, **scenario.options(tmp_path)))
    served = found.theirs_bps > 0
    assert served.any()
    assert np.abs(found.error_ratio[served]).max() <= 0.10, found
    assert found.ours_bps[~served].sum() <= 0.01 * found.ours_bps.sum()


def test_a_page_of_plain_python_agrees_with_ns3(program: Path, tmp_path: Path) -> None:
    """The second opinion: ns-3's scheduler written out gives ns-3's shares of the carrier."""
    measured = measure(program, **Scenario(1).options(tmp_path))
    _, airtime = allocate(measured.cqi, measured.bits, measured.duration_ms)
    assert airtime == pytest.approx(measured.airtime_ratio, abs=0.01)


def test_a_page_of_plain_python_agrees_with_ours() -> None:
    """Without ns-3, what ns-3's scheduler does when it is written out is what ours does, in flat fading."""
    n_tti, group_rb, n_groups = 4000, 3, 16
    cqi = np.repeat(make_cqi([2.0, 8.0, 14.0, 20.0], n_tti, step_ms=10), 10, axis=1)
    bits = np.outer(np.arange(1, n_groups + 1) * group_rb, efficiency_bits("36.213-mcs"))
    served_bytes, airtime = allocate(np.repeat(cqi, n_groups, axis=2), bits, n_tti)
    none = np.zeros(len(cqi))
    written = Measured("Pf", n_tti, group_rb, bits, cqi, cqi, none, none, airtime, none, none, served_bytes)
    found = compare(written)
    assert found.ours_bps == pytest.approx(found.theirs_bps, rel=0.01)
    assert found.airtime_ours_ratio == pytest.approx(airtime, abs=0.003)
