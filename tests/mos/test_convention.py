"""The calling convention that all models share: scalars and arrays, NaN, bounds, types."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qoe.mos
from qoe.mos import (
    aggregate,
    codecs,
    conference,
    emodel,
    gaming,
    loss,
    monitors,
    p1203,
    rating,
    video,
    voice,
    web,
)

DELAY, PERCENT, RATIO, BURST = (0, 2000), (0, 100), (0, 1), (0.5, 8)
RATE, FPS, WIDTH, HEIGHT = (1e4, 1e8), (1, 120), (160, 3840), (90, 2160)
IE, BPL, R, MOS = (0, 60), (1, 40), (-20, 160), (1, 5)
STMR, TELR = (5, 30), (20, 80)


@dataclass(frozen=True)
class Case:
    """A model with the ranges of its arguments and of its result."""

    model: Any
    ranges: dict[str, tuple[float, float]]
    low: float = -np.inf
    high: float = np.inf


SPEECH = {"delay_ms": DELAY, "loss_percent": PERCENT, "burst_ratio": BURST, "ie": IE, "bpl": BPL}
G1070 = {"delay_ms": DELAY, "loss_percent": PERCENT, "ie": IE, "bpl": BPL, "telr_db": TELR}
RTP = {"loss_percent": PERCENT, "jitter_ms": (0, 200), "rtt_ms": DELAY}
CLOUD = {
    "bitrate_bps": RATE,
    "fps": FPS,
    "width": WIDTH,
    "height": HEIGHT,
    "delay_ms": DELAY,
    "freezing_loss_percent": PERCENT,
    "slicing_loss_percent": PERCENT,
}
P1203 = {"bitrate_bps": RATE, "width": WIDTH, "height": HEIGHT, "fps": FPS}
OPINION = {"mos": MOS, "sos": (0.01, 0.9)}
NOISE = {
    "slr_db": (0, 18),
    "rlr_db": (-5, 14),
    "d_s": (-3, 3),
    "ps_dba": (35, 85),
    "pr_dba": (35, 85),
    "lstr_db": (10, 30),
    "nc_dbm0p": (-80, -40),
    "nfor_dbmp": (-70, -50),
}

CASES = [
    Case(rating.mos_from_r, {"r": R}, 1, 4.5),
    Case(rating.r_from_mos, {"mos": MOS}, 6.5, 100),
    Case(rating.good_or_better_ratio, {"r": R}, 0, 1),
    Case(rating.poor_or_worse_ratio, {"r": R}, 0, 1),
    Case(rating.terminate_early_ratio, {"r": R}, 0, 1),
    Case(emodel.noise_dbm0p, NOISE),
    Case(emodel.signal_to_noise, {"slr_db": (0, 18), "noise": (-70, -40)}),
    Case(emodel.loudness_impairment, {"slr_db": (0, 18), "rlr_db": (-5, 14), "noise": (-70, -40)}),
    Case(emodel.sidetone_impairment, {"stmr_db": STMR, "t_ms": DELAY, "telr_db": TELR}),
    Case(emodel.quantising_impairment, {"ro": (0, 100), "qdu": (1, 14)}, 0),
    Case(
        emodel.talker_echo_impairment,
        {"t_ms": DELAY, "telr_db": TELR, "noise_re_rlr": (-70, -40), "stmr_db": STMR, "sidetone": (0, 20)},
    ),
    Case(emodel.listener_echo_impairment, {"ro": (0, 100), "wepl_db": (5, 110), "tr_ms": DELAY}, 0),
    Case(emodel.delay_impairment, {"ta_ms": DELAY, "s_t": (0.4, 1), "m_t_ms": (20, 150)}, -1e-9, 50),
    Case(loss.effective_impairment, {"ie": IE, "bpl": BPL, "loss_percent": PERCENT, "burst_ratio": BURST}, 0),
    Case(loss.burst_ratio, {"n_lost": (1, 100), "n_loss_runs": (0, 50), "n_received": (1, 1000)}, 1),
    Case(loss.burst_ratio_gilbert, {"p": (0.01, 1), "q": (0.01, 1)}, 0.5),
    Case(loss.combined_loss_ratio, {"network_loss_ratio": (-1, 2), "late_ratio": (-1, 2)}, 0, 1),
    Case(loss.late_ratio, {"delay_std_ms": (0, 200), "buffer_ms": (-10, 500)}, 0, 0.5),
    Case(loss.delay_std_from_jitter, {"jitter_ms": (-1, 200)}, 0),
    Case(loss.with_recency, {"average": IE, "burst_end": IE, "since_burst_s": (0, 100)}, 0, 60),
    Case(voice.r_factor_nb, {**SPEECH, "advantage": (0, 20)}),
    Case(voice.mos_nb, {**SPEECH, "advantage": (0, 20)}, 1, 4.5),
    Case(voice.r_factor_wb, SPEECH, high=129),
    Case(voice.mos_wb, SPEECH, 1, 4.5),
    Case(voice.talker_echo_wb, {"t_ms": DELAY, "telr_db": TELR}, -1),
    Case(voice.r_factor_fb, SPEECH, high=148),
    Case(voice.mos_fb, SPEECH, 1, 4.5),
    Case(
        voice.r_factor_cole_rosenbluth,
        {"delay_ms": DELAY, "loss_ratio": RATIO, "ie": IE, "loss_scale": (10, 50), "loss_rate": (5, 20)},
        high=94.2,
    ),
    Case(codecs.opus_ie, {"bitrate_bps": RATE}, 0, 30),
    Case(p1203.mos_from_quality, {"quality": (-10, 110)}, 1.05, 4.9),
    Case(p1203.quality_from_mos, {"mos": MOS}, 0, 100),
    Case(p1203.video_quality, {**P1203, "display_width": WIDTH, "display_height": HEIGHT}, 1.05, 4.9),
    Case(p1203.compression_degradation, {"bitrate_bps": RATE, "pixels": (1e4, 1e7), "fps": FPS}, 0, 100),
    Case(p1203.upscaling_degradation, {"pixels": (1e4, 1e7), "display_pixels": (1e4, 1e7)}, 0, 100),
    Case(p1203.on_handheld, {"o22": MOS}, 1, 5),
    Case(p1203.audio_quality, {"bitrate_bps": RATE}, 1.05, 4.9),
    Case(lambda o22: p1203.extend_codec(o22, p1203.Codec.HEVC), {"o22": MOS}, 1, 5),
    Case(video.mos_stalling, {"n_stalls": (0, 20), "mean_stall_s": (0, 60)}, 1.5, 5),
    Case(
        video.mos_buffering,
        {"startup_s": (0, 20), "rebuffer_per_s": RATIO, "mean_rebuffer_s": (0, 30)},
        1.48,
        4.23,
    ),
    Case(gaming.mos_cloud, CLOUD, 1.3, 4.64),
    Case(gaming.mos_native, {"delay_ms": DELAY}, 1.3, 4.64),
    Case(gaming.mos_from_impairment, {"impairment": (-10, 120)}, 1.3, 4.64),
    Case(gaming.coding_impairment, {"bits_per_pixel": (0, 1)}, 0, 65),
    Case(gaming.slicing_impairment, {"coding": (0, 65), "loss_percent": PERCENT}, 0),
    Case(
        gaming.frame_loss_percent,
        {"bitrate_bps": RATE, "fps": (10, 60), "delay_ms": DELAY, "loss_percent": PERCENT},
        0,
        100,
    ),
    Case(gaming.delay_impairment, {"delay_ms": DELAY}, 0, 68.98),
    Case(gaming.mos_quake4, {"ping_ms": DELAY, "jitter_ms": (0, 200)}, 1, 5),
    Case(gaming.score_team_fortress2, {"delay_ms": DELAY, "jitter_ms": (0, 200)}, 1, 5),
    Case(web.mos_page, {"session_time_s": (0, 100), "max_expected_s": (1, 60)}, 1, 5),
    Case(web.mos_throughput, {"throughput_bps": (0, 1e9)}, 1, 5),
    Case(web.mos_response_time, {"response_s": (0, 100)}, 1, 5),
    Case(web.mos_page_load_log, {"load_s": (0, 100)}, 1, 5),
    Case(web.mos_ftp, {"throughput_bps": (0, 1e9)}, 1, 5),
    Case(
        web.mos_download,
        {"throughput_bps": (0, 1e9), "mos1_bps": (1e3, 1e5), "mos5_bps": (2e5, 1e7), "loss_ratio": RATIO},
        1,
        5,
    ),
    Case(web.mos_needed, {"throughput_bps": (0, 1e9), "needed_bps": (1e3, 1e8)}, 1, 5),
    Case(
        web.page_time_s,
        {"page_bytes": (1e3, 1e7), "rate_bps": RATE, "rtt_s": RATIO, "mss_bytes": (500, 9000)},
        0,
    ),
    Case(web.Iqx(4.0, 0.25, 1.0).mos, {"disturbance": (0, 100)}, 1, 5),
    Case(web.Wql(0.9, 4.3).mos, {"waiting_s": (0, 100)}, 1, 5),
    Case(conference.video_quality, {"bitrate_bps": RATE, "fps": FPS, "loss_percent": PERCENT}, 1, 5),
    Case(conference.speech_index_nb, G1070, high=93.2),
    Case(conference.speech_quality_nb, G1070, 1, 4.5),
    Case(conference.speech_quality_wb, G1070, 1, 4.5),
    Case(monitors.rtpengine_nb, RTP, 1, 4.5),
    Case(monitors.rtpengine_fb, RTP, 1, 4.5),
    Case(monitors.rtpengine_legacy, RTP, 1, 4.5),
    Case(monitors.pingplotter, {"loss_percent": PERCENT, "jitter_ms": (0, 200), "latency_ms": DELAY}, 1, 4.5),
    Case(monitors.twilio, RTP, 0.99, 4.5),
    Case(
        monitors.asterisk_mes,
        {"rtt_s": (0, 2), "jitter": (0, 50), "jitter_std": (0, 10), "mean_lost": (0, 20)},
        19.7,
        90,
    ),
    Case(monitors.freeswitch_quality, {"n_received": (1, 1000), "n_flaws": (0, 1000)}, 0, 100),
    Case(monitors.voipmonitor_g711, {"loss_ratio": RATIO, "burst_ratio": (1, 8)}, 1, 4.5),
    Case(monitors.voipmonitor_burst_ratio, {"n_lost": (0, 50), "n_bursts": (1, 50), "n_received": (1, 1000)}),
    Case(
        monitors.rtcscore_audio,
        {"loss_percent": PERCENT, "bitrate_bps": RATE, "rtt_ms": DELAY, "buffer_ms": DELAY},
        1,
        4.5,
    ),
    Case(
        monitors.rtcscore_video,
        {**P1203, "expected_fps": FPS, "rtt_ms": DELAY, "buffer_ms": DELAY},
        1,
        5,
    ),
    Case(aggregate.sos_sigma, OPINION, 0, 2),
    Case(lambda mos, sos: aggregate.opinion_beta(mos, sos).alpha, OPINION, 0),
    Case(aggregate.poor_or_worse_ratio, OPINION, 0, 1),
    Case(aggregate.good_or_better_ratio, OPINION, 0, 1),
]
NAMES = [f"{case.model.__module__.rpartition('.')[2]}.{case.model.__name__}" for case in CASES]


def _draw(data, case, n):
    return {
        name: np.array(data.draw(st.lists(st.floats(*bounds), min_size=n, max_size=n)))
        for name, bounds in case.ranges.items()
    }


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_arrays_equal_scalars_within_bounds(case, data):
    """Arrays give what scalars give, as float64 and float, within the documented bounds."""
    arrays = _draw(data, case, 3)
    together = case.model(**arrays)
    apart = [case.model(**{name: float(x[i]) for name, x in arrays.items()}) for i in range(3)]
    assert together.dtype == np.float64
    assert all(type(value) is float for value in apart)
    np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-9)
    assert (together >= case.low - 1e-9).all()
    assert (together <= case.high + 1e-9).all()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_broadcast_and_nan(case):
    """Arguments broadcast; NaN in any of them gives NaN there and only there; empty stays empty."""
    middle = {name: (low + high) / 2 for name, (low, high) in case.ranges.items()}
    assert case.model(**{name: np.empty((0, 2)) for name in middle}).shape == (0, 2)
    for name, value in middle.items():
        got = case.model(**{**middle, name: np.array([[value], [np.nan]])})
        assert got.shape == (2, 1)
        assert got[0, 0] == pytest.approx(case.model(**middle), abs=1e-9)
        assert np.isnan(got[1, 0])
        assert np.isnan(case.model(**{**middle, name: float("nan")}))


def _elementwise(module):
    """Public functions of `module` that are wrapped by the convention."""
    for name, function in inspect.getmembers(module, inspect.isfunction):
        wrapped = hasattr(function, "__wrapped__") and function.__module__ == module.__name__
        if wrapped and not name.startswith("_"):
            yield f"{module.__name__.rpartition('.')[2]}.{name}"


def test_no_model_is_left_out():
    """Every model of the package is held to the convention here."""
    modules = [importlib.import_module(f"qoe.mos.{m.name}") for m in pkgutil.iter_modules(qoe.mos.__path__)]
    public = {name for module in modules for name in _elementwise(module)}
    assert public - set(NAMES) == {"p1203.extend_codec"}  # listed with its codec bound


def test_lists_and_integers_are_numbers():
    """Sequences and integers are taken as arrays and floats."""
    assert voice.mos_nb([0, 150]) == pytest.approx([voice.mos_nb(0), voice.mos_nb(150.0)])
    assert voice.mos_nb((0, 150)) == pytest.approx(voice.mos_nb(np.array([0, 150])))
    assert type(voice.mos_nb(np.float32(1))) is float


def test_everything_public_is_documented():
    """Every module and every public function of the package is documented."""
    for info in pkgutil.iter_modules(qoe.mos.__path__):
        module = importlib.import_module(f"qoe.mos.{info.name}")
        assert module.__doc__, info.name
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                assert function.__doc__, f"{info.name}.{name}"
