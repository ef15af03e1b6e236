"""Curves of MOS over share: against the QoE models called directly, by hand, and as properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe import applications as app
from qoe.applications import Codec, MosModel
from qoe.config import Direction
from qoe.errors import ProblemError
from qoe.mos import gaming, web
from qoe.mos.voice import mos_nb
from qoe.schema import AppClass, Curves
from qoe.utility import BEARER_DTYPE, N_RUNGS_MOST, class_weights, curves, is_support
from qoe.utility.classes import reading
from qoe.utility.queueing import sojourn_ms
from qoe.utility.streaming import stall_ratio


def make_bearer(
    app_class: AppClass, rate_bps: float, efficiency_bps: float = 20e6, **fields: Any
) -> np.ndarray:
    """Build one downlink bearer of which nothing but its rate is known."""
    bearer = np.zeros(1, BEARER_DTYPE)
    for name in BEARER_DTYPE.names or ():
        if bearer[name].dtype == np.float64:
            bearer[name] = np.nan
    bearer["app_class"], bearer["rate_bps"], bearer["efficiency_bps"] = app_class, rate_bps, efficiency_bps
    bearer["share_observed"], bearer["weight"] = min(rate_bps / efficiency_bps, 1.0), 1.0
    bearer["activity_ratio"], bearer["down_fraction"] = 1.0, 0.9
    bearer["probability"][:, app_class] = float(app_class != AppClass.UNKNOWN)
    for name, value in fields.items():
        bearer[name] = value
    return bearer


def value(curve: Curves, rate_bps: float, efficiency_bps: float = 20e6, row: int = 0) -> float:
    """Read a curve at a rate."""
    share = rate_bps / efficiency_bps
    if curve.step[row]:
        return float(curve.mos[row][np.searchsorted(curve.share[row], share * (1 + 1e-9), "right") - 1])
    return float(np.interp(share, curve.share[row], curve.mos[row]))


def test_video_is_a_ladder() -> None:
    """A rung is played from 1.25 times its bitrate on, and nothing between two rungs is worth anything."""
    curve = curves(make_bearer(AppClass.VIDEO, 10e3))
    assert curve.step.all()
    for rung, bitrate_bps in enumerate(app.LADDER_BPS):
        assert value(curve, 1.25 * bitrate_bps) == pytest.approx(app.rung_mos()[rung])
        assert value(curve, 1.24 * bitrate_bps) == pytest.approx(app.rung_mos()[rung - 1]) or rung == 0
    assert value(curve, 60e3) < app.rung_mos()[0]
    assert value(curve, 20e6) == pytest.approx(app.rung_mos()[-1])


def test_video_stands_where_it_plays() -> None:
    """The rung that is played is held down to the observed rate, and the next are no nearer than seen."""
    tight = curves(make_bearer(AppClass.VIDEO, 1.05e6, media_bps=1e6))
    assert value(tight, 1.05e6) == pytest.approx(app.rung_mos()[3])
    assert value(tight, 1.04e6) == pytest.approx(app.rung_mos()[2])
    assert value(tight, 2.62e6) == pytest.approx(app.rung_mos()[3])
    assert value(tight, 3.2e6) == pytest.approx(app.rung_mos()[4])
    ample = curves(make_bearer(AppClass.VIDEO, 4e6, media_bps=1e6))
    assert value(ample, 4e6) == pytest.approx(app.rung_mos()[3])
    assert value(ample, 9.9e6) == pytest.approx(app.rung_mos()[3])
    assert value(ample, 10e6) == pytest.approx(app.rung_mos()[4])


@settings(deadline=None, max_examples=80)
@given(st.floats(1e3, 3e7), st.one_of(st.just(np.nan), st.floats(1e4, 3e7)), st.floats(1e3, 4e7))
def test_video_agrees_with_a_loop(observed_bps: float, media_bps: float, rate_bps: float) -> None:
    """The staircase is that of a loop over rungs written from the rule in words."""
    bearer = make_bearer(AppClass.VIDEO, observed_bps, 40e6, media_bps=media_bps)
    ladder = app.LADDER_BPS.tolist()
    if np.isnan(media_bps):
        playing = max((i for i, r in enumerate(ladder) if r <= observed_bps * (1 + 1e-9)), default=None)
    else:
        playing = min(range(len(ladder)), key=lambda i: abs(np.log(media_bps / ladder[i])))
    expected = 1.0
    for i, bitrate_bps in enumerate(ladder):
        start = bitrate_bps / 0.8
        if playing is not None:
            seen = observed_bps * bitrate_bps / ladder[playing]
            start = min(start, seen) if i <= playing else max(start, seen)
        if abs(rate_bps / start - 1) < 1e-6:
            return  # on the edge itself either is right
        if rate_bps >= start:
            expected = app.rung_mos()[i]
    found = value(curves(bearer), rate_bps, 40e6)
    if expected > 1:
        assert found == pytest.approx(expected)
    else:
        assert 1 <= found <= app.rung_mos()[0]


def test_call_is_a_cliff() -> None:
    """Above what is sent a call is whole; below, what is missing is lost (E-model called directly)."""
    bearer = make_bearer(
        AppClass.VOIP,
        80e3,
        codec=Codec.G711,
        model=MosModel.VOICE_NB,
        rtt_ms=60.0,
        jitter_ms=0.0,
        packet_bytes=214,
    )
    curve = curves(bearer)
    delay_ms = 30.0 + 20.0 + 20.0  # half the round trip, a packet, the least jitter buffer
    assert value(curve, 80e3) == pytest.approx(mos_nb(delay_ms, 0.0, ie=0.0, bpl=25.1))
    assert value(curve, 20e6) == pytest.approx(mos_nb(delay_ms, 0.0, ie=0.0, bpl=25.1))
    for part in (0.5, 0.8, 0.9):
        expected = mos_nb(delay_ms + 60.0, 100 * (1 - part), ie=0.0, bpl=25.1)
        assert value(curve, part * 80e3) == pytest.approx(max(expected, 1.0), abs=1e-6)


def test_call_with_loss_regains_it() -> None:
    """At the observed rate the observed loss is felt; with the rate that is sent it is gone."""
    common = {
        "codec": Codec.G711,
        "model": MosModel.VOICE_NB,
        "rtt_ms": 60.0,
        "jitter_ms": 0.0,
        "packet_bytes": 214,
    }
    curve = curves(make_bearer(AppClass.VOIP, 76e3, loss_ratio=0.05, **common))
    assert value(curve, 76e3) == pytest.approx(mos_nb(70.0, 5.0, ie=0.0, bpl=25.1))
    assert value(curve, 80e3) == pytest.approx(mos_nb(70.0, 0.0, ie=0.0, bpl=25.1))


def test_queueing_fades() -> None:
    """Measured queueing counts at the observed rate; beyond it no more than an M/D/1 of that rate has."""
    game = {"rtt_ms": 200.0, "queue_ms": 150.0, "jitter_ms": 20.0, "packet_bytes": 150.0}
    curve = curves(make_bearer(AppClass.GAMING, 60e3, **game))
    assert value(curve, 60e3) == pytest.approx(gaming.mos_native(220.0))
    for rate_bps in (75e3, 90e3, 120e3, 180e3):
        packet_ms, load = 1e3 * 8 * 150 / rate_bps, 60e3 / rate_bps
        stays_ms = packet_ms + packet_ms * load / (2 * (1 - load)) - 1e3 * 8 * 150 / 20e6
        jitter_ms = 20.0 * stays_ms / 150.0
        assert value(curve, rate_bps) == pytest.approx(
            gaming.mos_native(50.0 + stays_ms + jitter_ms), abs=1e-6
        )


@pytest.mark.parametrize(("burstiness", "shape"), [(0.5, 1.0), (0.25, 2.0), (1.0, 0.5), (0.0, np.inf)])
def test_waiting_against_a_queue(burstiness: float, shape: float) -> None:
    """Kingman's law against Lindley's recursion: exact for random and for regular gaps, else near."""
    bearer = make_bearer(AppClass.VOIP, 80e3, packet_bytes=200.0, burstiness_ratio=burstiness)
    packet_s, gap_s = 8 * 200 / 100e3, 8 * 200 / 80e3
    rng, n = np.random.default_rng(3), 400_000
    gaps_s = np.full(n, gap_s) if np.isinf(shape) else rng.gamma(shape, gap_s / shape, n)
    walk = np.cumsum(packet_s - gaps_s)
    waits_s = walk - np.minimum.accumulate(np.minimum(walk, 0.0))
    expected_ms = 1e3 * (waits_s.mean() + packet_s) - 1e3 * 8 * 200 / 20e6
    exact = burstiness in (0.0, 0.5)
    found = sojourn_ms(bearer, np.array([[100e3]]))[0, 0]
    assert found == pytest.approx(expected_ms, rel=0.03 if exact else 0.15)


def test_more_regular_traffic_waits_less() -> None:
    """A game with regular ticks is worth more close to its load than one that sends in bursts."""
    game = {"rtt_ms": 100.0, "queue_ms": 90.0, "packet_bytes": 150.0}
    even, uneven = (
        curves(make_bearer(AppClass.GAMING, 60e3, burstiness_ratio=ratio, **game)) for ratio in (0.0, 2.0)
    )
    assert value(even, 60e3) == pytest.approx(value(uneven, 60e3))
    assert value(even, 75e3) > value(uneven, 75e3) + 0.1


def test_a_reader_asks_for_more_pages_when_they_come_sooner() -> None:
    """Pages of 4 Mbit, read for 9 s, at so many bit/s: the mean rate tells how long each takes."""
    bits, read_s = 4e6, 9.0

    def cycle(active_bps: float) -> tuple[float, float, float]:
        page_s = bits / active_bps
        return page_s, bits / (page_s + read_s), page_s / (page_s + read_s)

    page_s, mean_bps, activity = cycle(1e6)
    seen = make_bearer(AppClass.WEB, mean_bps, page_s=page_s, activity_ratio=activity, page_bytes=bits / 8)
    for active_bps in (0.5e6, 1e6, 2e6):
        expected_s, there_bps, _ = cycle(active_bps)
        predicted_s, read = reading(seen, np.array([[there_bps]]))
        assert predicted_s[0, 0] == pytest.approx(expected_s)
        assert read[0, 0] == pytest.approx(read_s)


def test_cloud_game_follows_the_rate() -> None:
    """A streamed game has the MOS of G.1072 from what it sends on; below it stands still."""
    cloud = {
        "rtt_ms": 40.0,
        "jitter_ms": 0.0,
        "packet_bytes": 1200.0,
        "model": MosModel.CLOUD_GAMING,
        "mos": 3.9,
    }
    curve = curves(make_bearer(AppClass.GAMING, 4e6, **cloud))
    assert value(curve, 2e6) < 1.5
    for rate_bps in (4e6, 8e6):
        sizes = ((640, 480), (1280, 720), (1920, 1080))
        best = max(gaming.mos_cloud(rate_bps, 60, w, h, 40.0) for w, h in sizes)
        assert value(curve, rate_bps) == pytest.approx(best, abs=0.02)
    inputs = curves(
        make_bearer(AppClass.GAMING, 50e3, **cloud | {"packet_bytes": 90.0, "direction": Direction.UP})
    )
    assert value(inputs, 50e3) == value(inputs, 20e6) == pytest.approx(3.9)


def test_page_time_against_rate() -> None:
    """A page takes what was measured at the observed rate; more speeds it up to what the cell gives."""
    bearer = make_bearer(AppClass.WEB, 200e3, activity_ratio=0.1, page_bytes=500e3, page_s=3.0, rtt_ms=50.0)
    curve = curves(bearer)
    assert value(curve, 200e3) == pytest.approx(web.mos_page(3.0))
    at_half = web.page_time_s(500e3, 0.5 * float(bearer["efficiency_bps"][0]), 0.05)
    assert value(curve, 800e3) == pytest.approx(web.mos_page(at_half), abs=0.03)
    assert value(curve, 20e3) == pytest.approx(1.0, abs=0.01)


def test_bulk_is_the_logarithm_of_the_rate() -> None:
    """A download has MOS 1 and 5 at its anchors, half-way between on the logarithm 3."""
    curve = curves(make_bearer(AppClass.BULK, 1e6))
    middle = np.sqrt(app.DOWNLOAD_MOS1_BPS * app.DOWNLOAD_MOS5_BPS)
    assert value(curve, app.DOWNLOAD_MOS1_BPS) == pytest.approx(1.0, abs=0.05)
    assert value(curve, middle) == pytest.approx(3.0, abs=0.05)
    assert value(curve, app.DOWNLOAD_MOS5_BPS) == pytest.approx(5.0)


def test_unknown_and_other() -> None:
    """Unknown traffic is neutral where it is and saturates at twice that; control needs little."""
    unknown = curves(make_bearer(AppClass.UNKNOWN, 1e6))
    assert value(unknown, 1e6) == pytest.approx(3.5)
    assert value(unknown, 2e6) == value(unknown, 20e6)
    assert value(unknown, 0.1e6) > 1.5
    sparse = curves(make_bearer(AppClass.UNKNOWN, 100.0))
    assert (value(sparse, 100.0), value(sparse, 4e3)) == pytest.approx((3.5, 4.2))
    control = curves(make_bearer(AppClass.OTHER, 1e3))
    assert value(control, 1e3) == pytest.approx(4.0)
    assert value(control, 4e3) == value(control, 20e6) == pytest.approx(4.5)
    tunnel = curves(make_bearer(AppClass.OTHER, 5e6))
    assert (value(tunnel, 256e3), value(tunnel, 5e6)) == pytest.approx((4.0, 4.5), abs=0.05)


def test_undecided_is_not_mixed() -> None:
    """A bearer of class unknown has the neutral curve, whatever the classifier leaned to."""
    leaning = make_bearer(AppClass.UNKNOWN, 1e6)
    leaning["probability"][0, AppClass.BULK] = 0.45
    assert np.array_equal(curves(leaning).mos, curves(make_bearer(AppClass.UNKNOWN, 1e6)).mos)


def test_stalls_are_felt() -> None:
    """Video that stalls has what was measured, no more with less, and its rung from a quarter more on."""
    curve = curves(make_bearer(AppClass.VIDEO, 1e6, media_bps=1e6, stall_s=3.0, mos=2.9))
    assert value(curve, 1e6) == value(curve, 1.2e6) == pytest.approx(2.9)
    assert value(curve, 0.9e6) == pytest.approx(app.rung_mos()[2])
    assert value(curve, 1.25e6) == pytest.approx(app.rung_mos()[3])
    mild = curves(make_bearer(AppClass.VIDEO, 1e6, media_bps=1e6, stall_s=3.0, mos=1.5))
    assert value(mild, 0.9e6) == value(mild, 1e6) == pytest.approx(1.5)


def test_support() -> None:
    """What but feeds the other direction is told by class and direction, not by rate."""
    rows = [
        make_bearer(AppClass.VIDEO, 1e4, direction=Direction.UP),
        make_bearer(AppClass.VIDEO, 1e4),
        make_bearer(AppClass.BULK, 1e4, down_fraction=0.1),
        make_bearer(AppClass.VOIP, 1e4, direction=Direction.UP),
        make_bearer(AppClass.GAMING, 1e4, direction=Direction.UP, model=MosModel.CLOUD_GAMING),
        make_bearer(AppClass.GAMING, 1e4, direction=Direction.UP, model=MosModel.NATIVE_GAMING),
    ]
    assert is_support(np.concatenate(rows)).tolist() == [True, False, True, False, True, False]


@pytest.mark.parametrize("app_class", [AppClass.VIDEO, AppClass.WEB, AppClass.BULK])
def test_the_other_direction_feeds(app_class: AppClass) -> None:
    """Acknowledgements at their observed rate give all that the other direction has, and no more."""
    curve = curves(make_bearer(app_class, 50e3, direction=Direction.UP, mos=3.2))
    assert not curve.step.any()
    assert value(curve, 50e3) == value(curve, 20e6) == pytest.approx(3.2)
    assert 1 < value(curve, 12.5e3) == pytest.approx(2.1, abs=0.05)


def test_mixture() -> None:
    """A class that is in doubt gives the mean of the classes' curves, by probability."""
    doubt = make_bearer(AppClass.WEB, 1e6, rtt_ms=50.0)
    doubt["probability"][0, [AppClass.WEB, AppClass.VIDEO]] = 0.7, 0.3
    pure = [curves(make_bearer(c, 1e6, rtt_ms=50.0)) for c in (AppClass.WEB, AppClass.VIDEO)]
    mixed = curves(doubt)
    assert not mixed.step.any()
    for rate_bps in (300e3, 1e6, 2.8e6, 12e6):
        expected = 0.7 * value(pure[0], rate_bps) + 0.3 * value(pure[1], rate_bps)
        assert value(mixed, rate_bps) == pytest.approx(expected, abs=0.03)


def test_class_weights() -> None:
    """What probabilities leave open goes to the bearer's own class; traces are dropped; rows sum to 1."""
    bearers = np.concatenate([make_bearer(AppClass.VOIP, 1e5) for _ in range(3)])
    bearers["probability"] = 0
    bearers["probability"][1, [AppClass.VOIP, AppClass.GAMING]] = 0.6, 0.3
    bearers["probability"][2, [AppClass.VOIP, AppClass.GAMING, AppClass.WEB]] = 0.8, 0.19, 0.01
    weights = class_weights(bearers)
    assert weights[0, AppClass.VOIP] == 1.0
    assert weights[1, [AppClass.VOIP, AppClass.GAMING]].tolist() == pytest.approx([0.7, 0.3])
    assert weights[2, AppClass.WEB] == 0.0
    assert weights.sum(axis=1).tolist() == pytest.approx([1, 1, 1])


def test_a_ladder_of_its_own() -> None:
    """A player with other rungs has other steps; one with the usual rungs the usual curve."""
    ladder = np.full(N_RUNGS_MOST, np.nan)
    ladder[: len(app.LADDER_BPS)] = app.LADDER_BPS
    usual, same = (curves(make_bearer(AppClass.VIDEO, 2e6, **f)) for f in ({}, {"ladder_bps": ladder}))
    assert np.array_equal(usual.mos, same.mos)
    ladder[:] = np.nan
    ladder[:3] = 3e5, 1.5e6, 6e6
    own = curves(make_bearer(AppClass.VIDEO, 10e3, ladder_bps=ladder))
    for low, high in ((1.25 * 3e5, 1.24 * 1.5e6), (1.25 * 1.5e6, 1.24 * 6e6)):
        assert value(own, low) == value(own, high)
    assert value(own, 1.25 * 6e6) == value(own, 20e6) > value(own, 1.24 * 6e6) > value(own, 1.24 * 1.5e6)
    assert value(own, 20e6) == pytest.approx(
        app.rung_mos()[-1]
    )  # 6 Mbit/s: as good as the best that is known


@pytest.mark.parametrize(("pace", "cv", "buffer_s"), [(1.02, 0.5, 10.0), (1.1, 1.0, 6.0), (0.9, 0.4, 20.0)])
def test_stalls_against_a_buffer(pace: float, cv: float, buffer_s: float) -> None:
    """The part of the time without play is that of a buffer filled by random amounts, bit by bit."""
    rng, n_viewers, n_steps, per_s = np.random.default_rng(5), 1_000, 10_000, 25
    level, still = rng.uniform(0.0, buffer_s, n_viewers), 0.0
    spread = cv * pace / np.sqrt(per_s)
    for step in range(n_steps):
        level += rng.normal((pace - 1.0) / per_s, spread, n_viewers)
        still += -np.minimum(level, 0.0).mean() * (step >= n_steps // 2)
        np.clip(level, 0.0, buffer_s, out=level)
    seen = still / (n_steps / 2 / per_s)
    bearer = make_bearer(AppClass.VIDEO, 1e6, buffer_s=buffer_s, efficiency_cv=cv)
    assert stall_ratio(bearer, np.array([[pace]]))[0, 0] == pytest.approx(seen, rel=0.15)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.5, 30), st.floats(1, 4), st.floats(0.05, 1.5), st.floats(2e5, 2e7))
def test_less_buffer_is_never_better(buffer_s: float, more: float, cv: float, rate_bps: float) -> None:
    """With the same fading a player with more media ahead has no worse MOS, at any share."""
    small, large = (
        curves(make_bearer(AppClass.VIDEO, rate_bps, 40e6, buffer_s=b, efficiency_cv=cv))
        for b in (buffer_s, more * buffer_s)
    )
    assert large.mos.mean() >= small.mos.mean() - 0.02
    steady = curves(make_bearer(AppClass.VIDEO, rate_bps, 40e6, buffer_s=buffer_s))
    assert np.array_equal(steady.mos, curves(make_bearer(AppClass.VIDEO, rate_bps, 40e6)).mos)


# what is uncertain


def test_nothing_uncertain_nothing_changed() -> None:
    """Full confidence, one class and no fading: the same curve, a step where it was, by mean or quantile."""
    for app_class in AppClass:
        plain = curves(make_bearer(app_class, 1e6))
        sure = make_bearer(app_class, 1e6, mos=3.0, mos_confidence=1.0, efficiency_cv=0.0)
        sure["mos"] = np.nan if app_class != AppClass.VOIP else 3.0
        for robust in ("expected", "quantile"):
            same = curves(sure, robust=robust)  # type: ignore[arg-type]
            assert np.array_equal(plain.mos, same.mos)
            assert np.array_equal(plain.step, same.step)


@pytest.mark.parametrize("cv", [0.1, 0.4, 0.8])
def test_the_expected_curve_is_the_mean_over_draws(cv: float) -> None:
    """A call under lognormal fading has the mean of its steady curve at a great many drawn efficiencies."""
    common = {"codec": Codec.G711, "model": MosModel.VOICE_NB, "packet_bytes": 214.0}
    steady = curves(make_bearer(AppClass.VOIP, 80e3, **common))
    fading = curves(make_bearer(AppClass.VOIP, 80e3, efficiency_cv=cv, **common))
    sigma = np.sqrt(np.log1p(cv**2))
    drawn = np.exp(np.random.default_rng(1).normal(-(sigma**2) / 2, sigma, 20_000))
    for k in range(1, 64):
        reached = np.interp(np.minimum(steady.share[0, k] * drawn, 1.0), steady.share[0], steady.mos[0])
        assert fading.mos[0, k] == pytest.approx(reached.mean(), abs=0.12)
    middle = np.interp(80e3 / 20e6, fading.share[0], fading.mos[0])
    assert middle < np.interp(80e3 / 20e6, steady.share[0], steady.mos[0]) - 0.3


def test_a_long_memory_feels_less() -> None:
    """The same fading moves a download's curve less than a call's, and a video's less with more buffer."""
    call = {"codec": Codec.G711, "packet_bytes": 214.0}
    bulk, bulk_fading = (curves(make_bearer(AppClass.BULK, 1e6, efficiency_cv=cv)) for cv in (0.0, 0.5))
    assert np.abs(bulk.mos - bulk_fading.mos).max() < 0.1
    voip, voip_fading = (
        curves(make_bearer(AppClass.VOIP, 8e4, efficiency_cv=cv, **call)) for cv in (0.0, 0.5)
    )
    assert np.abs(voip.mos - voip_fading.mos).max() > 0.5


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_quantile_is_that_of_draws(q: float) -> None:
    """Class and efficiency drawn at random: no more than q of the draws are below the curve."""
    doubt = make_bearer(AppClass.WEB, 1e6, rtt_ms=50.0, efficiency_cv=0.5)
    doubt["probability"][0, [AppClass.WEB, AppClass.BULK]] = 0.6, 0.4
    robust = curves(doubt, robust="quantile", quantile=q)
    steady = [curves(make_bearer(c, 1e6, rtt_ms=50.0)) for c in (AppClass.WEB, AppClass.BULK)]
    rng, n = np.random.default_rng(2), 20_000
    sigma = np.sqrt(np.log1p(0.5**2 / 2.0))  # of a page of the usual 2 s
    drawn = np.exp(rng.normal(-(sigma**2) / 2, sigma, n))
    is_web = rng.random(n) < 0.6
    for rate_bps in (3e5, 1e6, 3e6):
        at = np.minimum(rate_bps / 20e6 * drawn, 1.0)
        values = np.where(is_web, *(np.interp(at, c.share[0], c.mos[0]) for c in steady))
        found = value(robust, rate_bps)
        assert np.mean(values < found - 0.1) <= q
        assert np.mean(values <= found + 0.1) >= q


def test_doubt_keeps_the_observed_point() -> None:
    """A judgement in doubt softens a cliff below and above, not at the observed share."""
    common = {"codec": Codec.G711, "model": MosModel.VOICE_NB, "packet_bytes": 214.0, "mos": 4.3}
    sure = curves(make_bearer(AppClass.VOIP, 80e3, mos_confidence=1.0, **common))
    doubt = curves(make_bearer(AppClass.VOIP, 80e3, mos_confidence=0.4, **common))
    assert value(doubt, 80e3) == pytest.approx(value(sure, 80e3), abs=1e-6)
    assert value(doubt, 60e3) > value(sure, 60e3) + 0.5
    film = make_bearer(AppClass.VIDEO, 1e6, media_bps=1e6, mos=2.8, mos_confidence=0.5)
    assert not curves(film).step.any()
    assert value(curves(film), 1.9e6) > value(curves(film), 1e6) + 0.1


def test_a_wrong_wish_is_refused() -> None:
    """What is neither a mean nor a quantile, and a quantile out of range, are named."""
    bearer = make_bearer(AppClass.WEB, 1e6)
    with pytest.raises(ProblemError, match="robust: 'best' is neither"):
        curves(bearer, robust="best")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="quantile: 1:"):
        curves(bearer, robust="quantile", quantile=1.0)


def test_no_bearers() -> None:
    """Without bearers there are no curves."""
    curve = curves(np.zeros(0, BEARER_DTYPE))
    assert len(curve.share) == len(curve.mos) == len(curve.step) == 0


nothing_or = st.one_of(st.just(np.nan), st.just(0.0))
bearer_fields = st.fixed_dictionaries(
    {
        "direction": st.integers(0, 1),
        "model": st.sampled_from(list(MosModel)),
        "codec": st.sampled_from(list(Codec)),
        "mos": st.one_of(st.just(np.nan), st.floats(1, 5)),
        "rtt_ms": nothing_or | st.floats(0, 1e5),
        "queue_ms": nothing_or | st.floats(0, 1e5),
        "jitter_ms": nothing_or | st.floats(0, 1e4),
        "loss_ratio": nothing_or | st.floats(0, 1),
        "packet_bytes": st.one_of(st.just(np.nan), st.floats(40, 9000)),
        "media_bps": nothing_or | st.floats(1e3, 1e9),
        "stall_s": nothing_or | st.floats(0, 100),
        "page_s": nothing_or | st.floats(0, 1e3),
        "page_bytes": st.one_of(st.just(np.nan), st.floats(1, 1e9)),
        "activity_ratio": st.floats(0.01, 1),
        "down_fraction": nothing_or | st.floats(0, 1),
        "mos_confidence": nothing_or | st.floats(0, 1),
        "burstiness_ratio": nothing_or | st.floats(0, 100),
        "buffer_s": nothing_or | st.floats(0, 1e3),
        "efficiency_cv": nothing_or | st.floats(0, 10),
        "ladder_bps": st.lists(st.floats(1e3, 1e9), max_size=N_RUNGS_MOST).map(
            lambda rungs: np.pad(np.sort(rungs), (0, N_RUNGS_MOST - len(rungs)), constant_values=np.nan)
        ),
    }
)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(list(AppClass)),
    st.floats(1, 1e10),
    st.floats(1e3, 1e11),
    bearer_fields,
    st.lists(st.floats(0, 1), min_size=7, max_size=7),
    st.sampled_from(["expected", "quantile"]),
)
def test_any_bearer(
    app_class: AppClass,
    rate_bps: float,
    efficiency_bps: float,
    fields: dict[str, Any],
    probability: list[float],
    robust: Any,
) -> None:
    """Whatever was measured or not: shares rise to 1, MOS from 1 never falls and stays within 5."""
    bearer = make_bearer(app_class, rate_bps, efficiency_bps, **fields)
    bearer["probability"] = probability
    curve = curves(bearer, robust=robust)
    share, mos = curve.share[0], curve.mos[0]
    assert share[0] == 0
    assert share[-1] == 1
    inside = share < 1
    assert np.all(np.diff(share[inside]) > 0)
    assert not np.any(inside[np.argmax(~inside) :])
    assert mos[0] == 1
    assert np.all(np.diff(mos) >= 0)
    assert np.all((mos >= 1) & (mos <= 5))
    assert np.abs(share - bearer["share_observed"][0]).min() <= 1e-9


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.sampled_from([AppClass.VOIP, AppClass.GAMING]),
    st.sampled_from(list(Codec)),
)
def test_more_loss_is_never_better(loss: float, more: float, app_class: AppClass, codec: Codec) -> None:
    """At the observed rate a bearer that loses more has no better MOS."""
    models = {AppClass.VOIP: MosModel.VOICE_NB, AppClass.GAMING: MosModel.NATIVE_GAMING}
    common = {"codec": codec, "model": models[app_class], "packet_bytes": 200.0}
    little = value(curves(make_bearer(app_class, 80e3, loss_ratio=loss, **common)), 80e3)
    much = value(curves(make_bearer(app_class, 80e3, loss_ratio=loss + more, **common)), 80e3)
    assert much <= little + 1e-9
