"""The bearer: one subscriber's traffic of one class in one direction, as it was measured."""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe.applications import MosModel
from qoe.config import Direction
from qoe.schema import AppClass, BoolArray, FloatArray, RecordArray

N_RUNGS_MOST: Final = 8
"""Rungs that the ladder of a player may have."""

BEARER_DTYPE: Final = np.dtype(
    [
        ("subscriber", "i8"),  # index into the subscribers' names
        ("cell", "i8"),  # index into the cells' names
        ("app_class", "u1"),  # AppClass
        ("direction", "u1"),  # Direction: 0 down, 1 up
        ("model", "u1"),  # MosModel of the strongest flow
        ("codec", "u1"),  # applications.Codec of the strongest flow
        ("n_flows", "u4"),
        ("rate_bps", "f8"),  # observed, mean over the horizon, bytes on the wire
        ("efficiency_bps", "f8"),  # rate the subscriber would get alone, in the mean
        ("share_observed", "f8"),  # where the bearer stands on its curve today
        ("weight", "f8"),  # tier x subscriber x class
        ("floor_mos", "f8"),  # NaN: none promised
        ("probability", "f4", (len(AppClass),)),
        ("mos", "f8"),  # measured; NaN: not estimable
        ("mos_confidence", "f8"),  # 0 to 1; NaN: no doubt is known of
        ("rtt_ms", "f8"),
        ("queue_ms", "f8"),  # NaN: not seen (also what follows)
        ("jitter_ms", "f8"),
        ("loss_ratio", "f8"),  # in this direction
        ("packet_bytes", "f8"),  # mean frame in this direction
        ("media_bps", "f8"),  # video: bitrate of what is played, and stalls of late
        ("stall_s", "f8"),
        ("page_s", "f8"),  # web: time and size of a page
        ("page_bytes", "f8"),
        ("activity_ratio", "f8"),  # part of the horizon with something to send, above 0, to 1
        ("down_fraction", "f8"),  # of the flows' bytes
        ("burstiness_ratio", "f8"),  # half the sum of the squared variations of gaps and sizes of packets
        ("buffer_s", "f8"),  # video: media that the player holds ahead; 0 also: not seen
        ("ladder_bps", "f8", (N_RUNGS_MOST,)),  # its bitrates, rising; NaN or 0 past the last; none: usual
        ("efficiency_cv", "f8"),  # std / mean of the efficiency of single seconds; 0 also: steady
    ],
    align=True,
)
"""One subscriber's traffic of one class in one direction of one cell: what receives a weight."""


def is_support(bearers: RecordArray) -> BoolArray:
    """Return which bearers but feed the other direction: requests, acknowledgements, a player's inputs."""
    one_way: BoolArray = np.isin(bearers["app_class"], (AppClass.VIDEO, AppClass.WEB, AppClass.BULK))
    one_way |= bearers["model"] == MosModel.CLOUD_GAMING
    return one_way & ~carries_media(bearers)


def carries_media(bearers: RecordArray) -> BoolArray:
    """Return which bearers lie in the direction in which their flows send most."""
    downwards: BoolArray = np.nan_to_num(bearers["down_fraction"], nan=1.0) >= 0.5
    is_down: BoolArray = bearers["direction"] == Direction.DOWN
    with_media: BoolArray = downwards == is_down
    return with_media


def known(bearers: RecordArray, name: str, otherwise: float) -> FloatArray:
    """Return a measure as a column, with what is assumed where it was not seen."""
    column: FloatArray = np.nan_to_num(bearers[name].astype(np.float64), nan=otherwise)[:, None]
    return column


def observed_bps(bearers: RecordArray) -> FloatArray:
    """Return the mean rate at the observed share, shape (n,), 1 or more."""
    observed: FloatArray = np.maximum(bearers["share_observed"] * bearers["efficiency_bps"], 1.0)
    return observed


def while_active(bearers: RecordArray, rate_bps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return rates while active: those given (n, m), and the observed one (n, 1)."""
    activity = known(bearers, "activity_ratio", 1.0)
    return rate_bps / activity, observed_bps(bearers)[:, None] / activity


def need_bps(bearers: RecordArray) -> FloatArray:
    """Return the rate that is being sent, while active, shape (n,): what arrives and what is lost."""
    lost = np.clip(np.nan_to_num(bearers["loss_ratio"]), 0.0, 0.9)
    need: FloatArray = observed_bps(bearers) / bearers["activity_ratio"] / (1.0 - lost)
    return need
