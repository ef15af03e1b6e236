"""The schedulers of the cell simulator against what theory says of them."""

from __future__ import annotations

import numpy as np
import pytest
from cellruns import airtime, full_buffers, steady, totals

from qoe_native.cellsim import run
from qoe_native.cellsim_channel import efficiency_bits, make_cqi
from qoe_native.cellsim_data import Scheduler, Source
from qoe_native.cellsim_setup import make_cell

FADING = {"fading_db": 4.0, "fading_ms": 50.0}


@pytest.mark.parametrize("scheduler", Scheduler)
def test_no_block_is_wasted_while_somebody_waits(scheduler: Scheduler) -> None:
    """With full queues all blocks of every TTI are granted, and none twice."""
    cell = steady([3, 8, 15], full_buffers(3), scheduler=scheduler, n_rb=25, users=[FADING] * 3)
    run(cell, 3000)
    assert totals(cell, "n_rb").sum() == 25 * 3000


def test_round_robin_gives_equal_blocks() -> None:
    """Each user gets a third, whatever its channel."""
    cell = steady([2, 8, 15], full_buffers(3), scheduler=Scheduler.ROUND_ROBIN, n_rb=25)
    run(cell, 3000)
    assert airtime(cell) == pytest.approx(np.full(3, 1 / 3), rel=0.02)


def test_max_ci_gives_all_to_the_best() -> None:
    """The best channel takes everything."""
    cell = steady([7, 12, 11], full_buffers(3), scheduler=Scheduler.MAX_CI)
    run(cell, 500)
    assert airtime(cell).tolist() == [0.0, 1.0, 0.0]


def test_pf_gives_equal_airtime_and_gains_from_fading() -> None:
    """Users of equal statistics get equal airtime, and more bits than from taking turns."""
    served = {}
    for scheduler in (Scheduler.PF, Scheduler.ROUND_ROBIN):
        options = {"users": [FADING] * 6, "rate_window_ms": 1000.0, "duration_ms": 60_000}
        cell = steady([8] * 6, full_buffers(6), scheduler=scheduler, **options)
        run(cell, 60_000)
        assert airtime(cell) == pytest.approx(np.full(6, 1 / 6), rel=0.06)
        served[scheduler] = totals(cell, "served_bytes").sum()
    assert served[Scheduler.PF] > 1.2 * served[Scheduler.ROUND_ROBIN]


def test_pf_gives_equal_airtime_to_unequal_channels() -> None:
    """Without fading the share is 1/n for good and bad channels (Kushner and Whiting)."""
    cell = steady([2, 8, 15], full_buffers(3), scheduler=Scheduler.PF)
    run(cell, 10_000)
    assert airtime(cell) == pytest.approx(np.full(3, 1 / 3), rel=0.01)


def test_a_coarse_metric_shifts_airtime() -> None:
    """The metric may take a block to carry less than it does: PF then gives that user less airtime."""
    bits = efficiency_bits()
    coarse = np.where(np.arange(16) == 4, 0.8, 1.0) * bits
    cell = steady([4, 12], full_buffers(2), metric_bits_per_rb=coarse)
    run(cell, 5000)
    assert airtime(cell)[0] == pytest.approx(0.8 / 1.8, rel=0.01)


def test_weighted_pf_without_fading_shares_by_weight() -> None:
    """Airtime is w / sum w."""
    bearers = full_buffers(3, weight=[0.5, 1.0, 2.5])
    cell = steady(
        [5, 10, 15], bearers, scheduler=Scheduler.WEIGHTED_PF, rate_window_ms=1000.0, duration_ms=30_000
    )
    run(cell, 30_000)
    assert airtime(cell) == pytest.approx([0.125, 0.25, 0.625], rel=0.02)


@pytest.mark.parametrize("opportunism_ms", [0.0, 100.0])
def test_airtime_is_shared_by_weight_whatever_the_channels(opportunism_ms: float) -> None:
    """Airtime is w / sum w within a percent, in fading, also when good moments are used."""
    bearers = full_buffers(4, weight=[0.25, 0.5, 1.0, 2.25])
    cell = steady(
        [9, 15, 10, 12],
        bearers,
        scheduler=Scheduler.AIRTIME_WFQ,
        users=[FADING] * 4,
        duration_ms=60_000,
        opportunism_ms=opportunism_ms,
    )
    run(cell, 60_000)
    assert airtime(cell) == pytest.approx(np.array([0.25, 0.5, 1.0, 2.25]) / 4.0, rel=0.01)


def test_opportunism_gains_from_fading() -> None:
    """At the same shares of airtime more bits are served."""
    served = []
    for opportunism_ms in (0.0, 100.0):
        cell = steady(
            [8] * 6,
            full_buffers(6),
            scheduler=Scheduler.AIRTIME_WFQ,
            users=[FADING] * 6,
            duration_ms=30_000,
            opportunism_ms=opportunism_ms,
        )
        run(cell, 30_000)
        served.append(totals(cell, "served_bytes").sum())
    assert served[1] > 1.3 * served[0]


def test_unused_airtime_goes_to_the_others_by_weight() -> None:
    """A bearer that wants little leaves the rest to the others, at their ratio."""
    bearers = full_buffers(2, weight=[1.0, 3.0])
    bearers.append({"user": 2, "kind": Source.OTHER, "weight": 8.0, "period_ms": 20.0, "packet_bytes": 300})
    cell = steady([10, 10, 10], bearers, scheduler=Scheduler.AIRTIME_WFQ)
    run(cell, 10_000)
    shares = airtime(cell)
    assert shares[2] < 0.05
    assert shares[1] / shares[0] == pytest.approx(3.0, rel=0.01)
    assert cell.records["delay_max_ms"].max(axis=0)[2] <= 5.0


def test_who_was_out_of_range_has_no_claim_on_the_past() -> None:
    """Airtime that a user could not use is not paid back when it returns."""
    cqi = np.array([[10] * 4, [0, 0, 10, 10]])
    cell = make_cell({"scheduler": Scheduler.AIRTIME_WFQ}, [{}, {}], full_buffers(2), cqi, duration_ms=4000)
    run(cell, 4000)
    blocks = cell.records["n_rb"][:4]
    assert blocks[:2, 1].sum() == 0
    assert blocks[2:4] == pytest.approx(np.full((2, 2), 25_000), rel=0.01)


def test_strict_priority_starves_the_lower() -> None:
    """While the upper has a backlog the lower gets nothing; the upper's rest is the lower's."""
    bearers = full_buffers(2, priority=[5, 4])
    cell = steady([15, 3], bearers, scheduler=Scheduler.STRICT_PRIORITY)
    run(cell, 1000)
    assert airtime(cell).tolist() == [0.0, 1.0]
    bearers[1] = {"user": 1, "kind": Source.OTHER, "priority": 4, "period_ms": 50.0}
    cell = steady([15, 3], bearers, scheduler=Scheduler.STRICT_PRIORITY)
    run(cell, 5000)
    shares = airtime(cell)
    assert 0.0 < shares[1] < 0.1
    assert totals(cell, "n_rb").sum() == 50 * 5000


def test_deficit_round_robin_shares_bytes_by_weight() -> None:
    """Bytes are w / sum w, whatever the channels."""
    bearers = full_buffers(3, weight=[0.5, 1.0, 1.5])
    cell = steady([4, 9, 15], bearers, scheduler=Scheduler.DRR)
    run(cell, 10_000)
    served = totals(cell, "served_bytes")
    assert served / served.sum() == pytest.approx([1 / 6, 1 / 3, 1 / 2], rel=0.01)


@pytest.mark.parametrize("scheduler", [Scheduler.M_LWDF, Scheduler.EXP_PF])
def test_delay_aware_schedulers_keep_delays_short(scheduler: Scheduler) -> None:
    """Beside greedy downloads, real-time frames on bad channels are late less often than under PF."""
    stream = {"rate_bps": 1.2e6, "rate_min_bps": 1.2e6, "rate_max_bps": 1.2e6, "budget_ms": 80.0}
    streams = [{"user": 4 + k, "kind": Source.CLOUD_GAME} | stream for k in range(4)]
    n_late = {}
    for each in (scheduler, Scheduler.PF):
        levels = [9, 9, 9, 9, 6, 8, 10, 12]
        cell = steady(levels, [*full_buffers(4), *streams], scheduler=each, users=[FADING] * 8)
        run(cell, 10_000)
        n_late[each] = totals(cell, "n_late")[4:].sum()
    assert n_late[Scheduler.PF] > 50
    assert n_late[scheduler] < 0.5 * n_late[Scheduler.PF]


def test_weights_and_scheduler_change_between_runs() -> None:
    """What is set between two runs holds from then on."""
    cell = steady([10, 10], full_buffers(2), scheduler=Scheduler.AIRTIME_WFQ)
    run(cell, 2000)
    cell.bearers["weight"] = [0.5, 1.5]
    run(cell, 2000)
    cell.config["scheduler"] = Scheduler.ROUND_ROBIN
    run(cell, 1000)
    shares = cell.records["airtime_ratio"][:, 0]
    assert shares[1] == pytest.approx(0.5, rel=0.01)
    assert shares[3] == pytest.approx(0.25, rel=0.01)
    assert shares[4] == pytest.approx(0.5, rel=0.03)


def test_subbands_are_used_where_they_are_good() -> None:
    """With a CQI a subband, each goes to whom it suits."""
    cqi = np.zeros((2, 1, 2), int)
    cqi[0, 0], cqi[1, 0] = [12, 3], [3, 12]
    cell = make_cell({"n_rb": 48, "rbg_rb": 3}, [{}, {}], full_buffers(2), cqi, duration_ms=3000)
    run(cell, 3000)
    rate = totals(cell, "served_bytes") * 8 / 3000
    assert rate == pytest.approx(np.full(2, cell.bits_per_rb[12] * 24), rel=0.03)


def test_repetitions_cost_airtime_and_time() -> None:
    """A tenth of failed transmissions costs one part in eleven, and delays what failed."""
    cell = steady([10], full_buffers(1), bler_ratio=0.1, n_rb=48, rbg_rb=3, duration_ms=20_000)
    run(cell, 20_000)
    rate = totals(cell, "served_bytes")[0] * 8 / 20_000
    assert rate == pytest.approx(cell.bits_per_rb[10] * 48 / 1.1, rel=0.01)
    assert cell.records["n_rb"][:20].max() <= 48 * 1000


def test_a_stale_cqi_fails_when_the_channel_got_worse() -> None:
    """Late reports cost throughput in a channel that moves, less in one that does not."""
    rate = {}
    for doppler in (2.0, 25.0):
        cqi = make_cqi([12.0] * 4, 20_000, doppler_hz=doppler, shadow_db=0.0, seed=3)
        for delay_ms in (0, 10):
            config = {"cqi_step_ms": 10, "cqi_delay_ms": delay_ms, "bler_ratio": 1e-9}
            cell = make_cell(config, [{}] * 4, full_buffers(4), cqi, duration_ms=20_000)
            run(cell, 20_000)
            rate[doppler, delay_ms] = totals(cell, "served_bytes").sum()
    slow, fast = (rate[doppler, 10] / rate[doppler, 0] for doppler in (2.0, 25.0))
    assert fast < slow < 1.0


def test_users_share_equally_whatever_they_run_and_first_come_is_first_served() -> None:
    """PF among users: one of three downloads and one of one get the same; a call waits behind its user's."""
    bearers = [{"user": 0, "kind": Source.FULL_BUFFER} for _ in range(3)]
    bearers += [{"user": 1, "kind": Source.BULK}, {"user": 1, "kind": Source.VOIP, "pause_ms": 0.0}]
    means = []
    for scheduler in (Scheduler.PF_PER_USER, Scheduler.PF):
        cell = make_cell(
            {"n_rb": 25, "scheduler": scheduler}, [{}, {}], bearers, np.full((2, 1), 9), duration_ms=10_000
        )
        run(cell, 10_000)
        records = cell.records[2:10]
        airtime = records["airtime_ratio"].mean(axis=0)
        means.append((airtime[:3].sum(), records["delay_mean_ms"][:, 4].mean()))
    (users, behind_ms), (flows, ahead_ms) = means
    assert users == pytest.approx(0.5, abs=0.02)
    assert flows == pytest.approx(0.75, abs=0.02)
    assert behind_ms > 20 * ahead_ms
