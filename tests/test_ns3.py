"""Our cell beside ns-3's: the same users under proportional fairness get the same, to within a tenth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ns3.compare import compare
from ns3.program import build, measure, what_is_missing
from ns3.scenarios import Scenario
from ns3.twin import allocate

MISSING = what_is_missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"ns-3's cell cannot be built: {MISSING}")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ns-3's cell, compiled once."""
    return build(tmp_path_factory.mktemp("ns3"))


@pytest.mark.parametrize(
    "scenario",
    [
        *(Scenario(seed) for seed in range(1, 7)),
        Scenario(7, fading="flat"),
        Scenario(8, fading="EPA"),
        Scenario(9, n_rb=25),
    ],
    ids=str,
)
def test_each_user_gets_what_ns3_gives_it(program: Path, tmp_path: Path, scenario: Scenario) -> None:
    """Throughput of each of ten users under PF within 10 %: six placements, fading, another bandwidth."""
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
