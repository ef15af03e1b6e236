"""What a cell is made of: checks of settings, and channels against theory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cellruns import BITS_AT_10, full_buffers, steady
from scipy.special import j0

import qoe_native
from qoe_native import cellsim, cellsim_channel
from qoe_native.cellsim_channel import EFFICIENCY, efficiency_bits, make_cqi, snr_to_cqi
from qoe_native.cellsim_data import Abr, Scheduler, Source

VIDEO = {"user": 0, "kind": Source.VIDEO}


@pytest.mark.parametrize(
    ("config", "bearer", "message"),
    [
        ({"n_rbs": 50}, {}, r"config\.n_rbs: no such setting"),
        ({"n_rb": 0}, {}, r"config\.n_rb: 0 is not a number above 0"),
        ({"n_rb": 2.5}, {}, r"config\.n_rb: 2.5 is not a whole number"),
        ({"scheduler": 99}, {}, r"config\.scheduler"),
        ({"bler_ratio": 1.0}, {}, r"config\.bler_ratio"),
        ({"cqi_delay_ms": 5, "radio_step_ms": 10}, {}, r"config\.cqi_delay_ms"),
        ({"interval_ms": 5}, {}, r"config\.interval_ms"),
        ({}, {"user": 3}, r"bearers\[0\]\.user: there are 1 users"),
        ({}, {"kind": 42}, r"bearers\[0\]\.kind"),
        ({}, {"weight": float("nan")}, r"bearers\[0\]\.weight: nan"),
        ({}, {"weight": 1e-9}, r"bearers\[0\]\.weight"),
        ({}, {"colour": 1}, r"bearers\[0\]\.colour: no such setting"),
        ({}, {"rtt_ms": 0}, r"bearers\[0\]\.rtt_ms"),
        ({}, {"late_ratio": 1.0}, r"bearers\[0\]\.late_ratio"),
        ({}, {"queue_limit_bytes": 100}, r"bearers\[0\]\.queue_limit_bytes"),
        ({}, {"ladder": 1}, r"bearers\[0\]\.ladder: there are 1 ladders"),
        ({}, {"start_rung": 10}, r"bearers\[0\]\.start_rung"),
        ({}, {"abr": 9}, r"bearers\[0\]\.abr"),
        ({}, {"startup_ms": 40_000}, r"bearers\[0\]\.startup_ms: 40000 does not fit: the buffer holds 28000"),
        ({}, {"abr": Abr.BBA, "reservoir_ms": 26_500}, r"bearers\[0\]\.reservoir_ms"),
        ({}, {"live_latency_ms": 1000}, r"bearers\[0\]\.live_latency_ms"),
        ({}, {"kind": Source.CLOUD_GAME, "rate_bps": 50e6}, r"bearers\[0\]\.rate_bps"),
    ],
)
def test_a_bad_setting_is_named(config: dict[str, Any], bearer: dict[str, Any], message: str) -> None:
    """What is wrong is told with its path."""
    with pytest.raises(ValueError, match=message):
        steady([10], [VIDEO | bearer], **config)


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ([16], {}, r"cqi\[0\]: values are not all from 0 to 15"),
        ([[1.5]], {}, "cqi: "),
        ([10], {"ladders": [[2e6, 1e6]]}, r"ladders\[0\]: bitrates must ascend"),
        ([10], {"bits_per_rb": [1.0]}, "bits_per_rb"),
        ([10], {"queue_capacity": 1000}, "queue_capacity: 1000 is not a power of two"),
        ([10], {"metric_bits_per_rb": [np.nan] * 16}, "metric_bits_per_rb"),
        ([10], {"duration_ms": 0}, "duration_ms"),
        ([10], {"users": [{"cqi_row": 1}]}, r"users\[0\]\.cqi_row"),
        ([10], {"users": [{"fading_ms": 0}]}, r"users\[0\]\.fading_ms"),
    ],
)
def test_a_bad_table_is_named(levels: list[Any], options: dict[str, Any], message: str) -> None:
    """Arrays and tables are checked as well."""
    with pytest.raises(ValueError, match=message):
        steady(levels, [VIDEO], **options)


def test_what_changes_between_runs_is_checked() -> None:
    """Weights that are no weights, and unknown schedulers, are refused at the next run."""
    cell = steady([10], full_buffers(1))
    cell.bearers["weight"] = np.nan
    with pytest.raises(ValueError, match=r"bearers\[0\]\.weight"):
        cellsim.run(cell, 1)
    cell.bearers["weight"] = 1.0
    cell.config["scheduler"] = 77
    with pytest.raises(ValueError, match=r"config\.scheduler"):
        cellsim.run(cell, 1)
    cell.config["scheduler"] = Scheduler.PF
    with pytest.raises(ValueError, match="n_tti"):
        cellsim.run(cell, -1)


def test_bits_per_block_follow_the_standard() -> None:
    """A block pair has 168 elements, of which 120 carry data by default; efficiencies are the tables'."""
    assert efficiency_bits()[15] == pytest.approx(5.5547 * 120)
    assert efficiency_bits("38.214-256qam", 0.0)[15] == pytest.approx(7.4063 * 168)
    assert steady([10], full_buffers(1)).bits_per_rb[10] == BITS_AT_10
    assert efficiency_bits("36.213-mcs")[15] * 50 == pytest.approx(36_696, abs=1)
    for table in EFFICIENCY.values():
        assert len(table) == 16
        assert np.all(np.diff(table) > 0.0)
    with pytest.raises(ValueError, match="overhead_ratio"):
        efficiency_bits(overhead_ratio=1.0)


def test_cqi_of_an_snr_is_what_it_can_carry() -> None:
    """The reported efficiency is below capacity with the gap, the next one above it."""
    snr_db = np.linspace(-12.0, 30.0, 200)
    cqi = snr_to_cqi(snr_db)
    gap = -np.log(5 * 5e-5) / 1.5
    capacity = np.log2(1.0 + 10.0 ** (snr_db / 10.0) / gap)
    efficiency = np.array([*EFFICIENCY["36.213"], np.inf])
    assert np.all(efficiency[cqi] <= capacity)
    assert np.all(efficiency[cqi + 1] > capacity)


def test_fading_has_the_spectrum_of_jakes() -> None:
    """Power 1, and the autocorrelation J0(2 pi f t)."""
    rng = np.random.default_rng(5)
    n, doppler = 1 << 14, 0.02
    paths = np.array([cellsim_channel._rayleigh(rng, n, doppler) for _ in range(40)])
    assert np.mean(np.abs(paths) ** 2) == pytest.approx(1.0, rel=0.05)
    for lag in (0, 5, 12, 20, 31):
        got = np.mean(paths[:, : n - lag].conj() * paths[:, lag:]).real
        assert got == pytest.approx(j0(2 * np.pi * doppler * lag), abs=0.05)


def test_cqi_series_follow_the_mean_snr() -> None:
    """More SNR, more CQI; the same seed, the same series; subbands differ from one another."""
    cqi = make_cqi([0.0, 10.0, 20.0], 20_000, n_subbands=4, shadow_db=2.0, seed=1)
    assert cqi.shape == (3, 2000, 4)
    assert cqi.min() >= 0
    assert cqi.max() <= 15
    assert np.all(np.diff(cqi.mean(axis=(1, 2))) > 1.5)
    assert np.array_equal(cqi, make_cqi([0.0, 10.0, 20.0], 20_000, n_subbands=4, shadow_db=2.0, seed=1))
    assert np.any(cqi[1, :, 0] != cqi[1, :, 3])
    still = make_cqi([10.0], 1000, doppler_hz=0.0, shadow_db=0.0)
    assert np.all(still == snr_to_cqi(10.0))
    with pytest.raises(ValueError, match="doppler_hz"):
        make_cqi([10.0], 1000, doppler_hz=60.0)


def test_machine_code_is_told_by_all_files(tmp_path: Path) -> None:
    """A change in any file of the simulator changes the checksum that the cache goes by."""
    folder = Path(qoe_native.__file__).parent
    for path in folder.glob("cellsim*.py"):
        shutil.copy(path, tmp_path)
    before = cellsim.code_of(tmp_path)
    assert before == cellsim.code_of(folder)
    for path in tmp_path.iterdir():
        text = path.read_text()
        path.write_text(text + "\n")
        assert cellsim.code_of(tmp_path) != before
        path.write_text(text)
    cell = steady([10], full_buffers(1))
    cellsim.run(cell, 1)
    assert cell.config["code"][0] == before
