"""Burstiness, late loss and recency against simulation and numeric integration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.mos import loss


def _gilbert(p, q, n=200_000):
    """Losses (True) of a two-state process, by the packet."""
    chance = np.random.default_rng(7).random(n)
    lost = np.zeros(n, bool)
    for i in range(1, n):
        lost[i] = chance[i] >= q if lost[i - 1] else chance[i] < p
    return lost


def _runs(lost):
    return int(lost[0]) + np.count_nonzero(lost[1:] & ~lost[:-1])


def test_burst_ratio_of_simulated_losses():
    """The counted burst ratio of a Gilbert process is its theoretical one."""
    p, q = 0.02, 0.4
    lost = _gilbert(p, q)
    n_lost = np.count_nonzero(lost)
    counted = loss.burst_ratio(n_lost, _runs(lost), lost.size - n_lost)
    assert counted == pytest.approx(loss.burst_ratio_gilbert(p, q), rel=0.05)


def test_burst_ratio_of_random_losses_is_one():
    """Independent losses have a burst ratio of 1, and no loss at all counts as such."""
    lost = np.random.default_rng(1).random(200_000) < 0.1
    n_lost = np.count_nonzero(lost)
    assert loss.burst_ratio(n_lost, _runs(lost), lost.size - n_lost) == pytest.approx(1.0, abs=0.02)
    assert loss.burst_ratio(0, 0, 100) == 1.0


@given(st.floats(0, 1), st.floats(0, 1))
def test_combined_loss(network, late):
    """What arrives in time is what is neither lost nor late."""
    assert 1 - loss.combined_loss_ratio(network, late) == pytest.approx((1 - network) * (1 - late), abs=1e-12)


@pytest.mark.parametrize("tail", ["gaussian", "laplace"])
def test_late_ratio_against_sampling(tail):
    """The late fraction and the jitter of sampled delays match both formulas."""
    rng, std, n = np.random.default_rng(3), 20.0, 1_000_000
    delay = rng.normal(0, std, n) if tail == "gaussian" else rng.laplace(0, std / np.sqrt(2), n)
    for buffer_ms in (0.0, 20.0, 40.0):
        assert loss.late_ratio(std, buffer_ms, tail) == pytest.approx(np.mean(delay > buffer_ms), abs=2e-3)
    jitter = np.mean(np.abs(np.diff(delay)))
    assert loss.delay_std_from_jitter(jitter, tail) == pytest.approx(std, rel=0.01)


def test_no_jitter_is_never_late():
    """Without spread nothing comes late behind a buffer."""
    assert loss.late_ratio(0.0, 10.0) == 0.0


def test_perceived_impairment_against_integration():
    """Average and extremes equal those of the differential equation in its steady state."""
    burst, gap, burst_s, gap_s = 60.0, 8.0, 3.0, 12.0
    perceived, dt = np.float64(0), 0.002
    for _ in range(40):
        trace = []
        for target, constant, length in ((burst, 5.0, burst_s), (gap, 15.0, gap_s)):
            t = np.arange(dt, length + dt / 2, dt)
            trace.append(target + (perceived - target) * np.exp(-t / constant))
            perceived = trace[-1][-1]
    got = loss.perceived_impairment(burst, gap, burst_s, gap_s)
    assert got.average == pytest.approx(np.concatenate(trace).mean(), rel=1e-3)
    assert got.burst_end == pytest.approx(trace[0][-1], rel=1e-9)
    assert got.gap_end == pytest.approx(trace[1][-1], rel=1e-9)


@given(st.floats(0, 90), st.floats(0, 90), st.floats(0.1, 60), st.floats(0.1, 300))
def test_perceived_impairment_lies_between(burst, gap, burst_s, gap_s):
    """All perceived values lie between the two impairments, and the array call agrees."""
    got = loss.perceived_impairment(burst, gap, burst_s, gap_s)
    low, high = min(burst, gap) - 1e-9, max(burst, gap) + 1e-9
    assert all(low <= value <= high for value in got)
    arrays = loss.perceived_impairment(np.full(2, burst), gap, burst_s, gap_s)
    assert arrays.average == pytest.approx([got.average] * 2)


def test_recency_fades():
    """Right after a burst the judgement is drawn 70 % of the way to it; much later not at all."""
    assert loss.with_recency(10.0, 50.0, 0.0) == pytest.approx(38.0)
    assert loss.with_recency(10.0, 50.0, 1e4) == pytest.approx(10.0)


def test_burst_term_of_effective_impairment():
    """Bursts make a loss worse, a burst ratio below 1 counts as 1, and total loss is near the ceiling."""
    random, bursty = loss.effective_impairment(0, 25.1, 5, np.array([1.0, 2.0]))
    assert random < bursty
    assert loss.effective_impairment(0, 25.1, 5, 0.2) == random
    assert loss.effective_impairment(11, 19, 0) == 11
    assert loss.effective_impairment(10, 4.3, 100) == pytest.approx(10 + 85 * 100 / 104.3)
    assert loss.effective_impairment(10, 4.3, 100, ceiling=132) == pytest.approx(10 + 122 * 100 / 104.3)
