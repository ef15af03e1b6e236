"""Settings of the cell simulator where a scenario is silent, by kind of source."""

from __future__ import annotations

from typing import Any

from qoe_native.cellsim_data import NEVER_MS, Abr, Scheduler, Source

LADDER_BPS = (235e3, 375e3, 560e3, 750e3, 1050e3, 1750e3, 2350e3, 3000e3, 4300e3, 5800e3)
"""The ladder of Netflix in Huang et al. 2014 and after."""
CONFIG_DEFAULTS: dict[str, Any] = {
    "n_rb": 50,
    "scheduler": Scheduler.PF,
    "interval_ms": 1000,
    "rate_window_ms": 100.0,
    "rate_floor_bps": 1000.0,
    "rate_exponent": 1.0,
    "quantum_bytes": 1500.0,
    "opportunism_ms": 0.0,
    "cqi_step_ms": 1000,
    "cqi_delay_ms": 0,
    "interpolate": False,
    "bler_ratio": 0.0,
    "harq_ms": 8,
    "seed": 0,
}
USER_DEFAULTS: dict[str, Any] = {"cqi_offset_ms": 0, "fading_db": 0.0, "fading_ms": 20.0}
_ANY: dict[str, Any] = {
    "weight": 1.0,
    "priority": 9,
    "budget_ms": 300.0,
    "late_ratio": 0.05,
    "real_time": False,
    "queue_limit_bytes": 256 * 1024,
    "start_ms": 0,
    "stop_ms": NEVER_MS,
    "rtt_ms": 30,
}
_TCP: dict[str, Any] = {
    "mss_bytes": 1448,
    "initial_window_bytes": 14480,
    "window_max_bytes": 1 << 20,
    "cubic": True,
}
_VOICE: dict[str, Any] = {  # 5QI 1: 100 ms, priority 20; P.59: spurts of 1.004 s, pauses of 1.587 s
    "priority": 2,
    "budget_ms": 100.0,
    "late_ratio": 0.01,
    "real_time": True,
    "period_ms": 20.0,
    "packet_bytes": 100,
    "talk_ms": 1004.0,
    "pause_ms": 1587.0,
    "jitter_buffer_ms": 200.0,
    "jitter_adaptive": True,
    "queue_limit_bytes": 64 * 1024,
}
DEFAULTS: dict[Source, dict[str, Any]] = {
    Source.VIDEO: _ANY
    | _TCP
    | {
        "abr": Abr.RATE,
        "segment_ms": 4000,
        "buffer_max_ms": 30_000,
        "startup_ms": 8000,
        "resume_ms": 4000,
        "reservoir_ms": 8000,
        "size_sigma": 0.15,
        "priority": 6,
    },
    Source.VOIP: _ANY | _VOICE,
    Source.VIDEO_CALL: _ANY
    | _VOICE
    | {
        "priority": 4,
        "budget_ms": 150.0,
        "voice_period_ms": 20.0,
        "period_ms": 1000.0 / 30.0,
        "rate_bps": 500e3,
        "rate_min_bps": 100e3,
        "rate_max_bps": 2.5e6,
        "size_sigma": 0.2,
        "queue_limit_bytes": 256 * 1024,
    },
    Source.GAME: _ANY
    | {
        "priority": 3,
        "budget_ms": 50.0,
        "late_ratio": 0.01,
        "real_time": True,
        "period_ms": 1000.0 / 30.0,
        "packet_bytes": 200,
        "size_sigma": 0.3,
        "jitter_buffer_ms": 100.0,
        "queue_limit_bytes": 64 * 1024,
    },
    Source.CLOUD_GAME: _ANY
    | {
        "priority": 4,
        "budget_ms": 80.0,
        "late_ratio": 0.01,
        "real_time": True,
        "period_ms": 1000.0 / 60.0,
        "rate_bps": 10e6,
        "rate_min_bps": 3e6,
        "rate_max_bps": 20e6,
        "size_sigma": 0.2,
        "queue_limit_bytes": 512 * 1024,
    },
    # HTTP Archive, 2023: the median page has some 70 objects and 2.3 MB
    Source.WEB: _ANY
    | _TCP
    | {
        "size_bytes": 2.2e6,
        "size_sigma": 1.0,
        "n_objects": 70.0,
        "objects_sigma": 0.8,
        "n_rounds": 3,
        "setup_rtts": 3,
        "pause_ms": 15_000.0,
        "priority": 7,
    },
    Source.BULK: _ANY | _TCP | {"setup_rtts": 2, "priority": 9},
    Source.OTHER: _ANY | {"period_ms": 200.0, "packet_bytes": 200, "priority": 8},
    Source.FULL_BUFFER: _ANY | {"priority": 9},
}
