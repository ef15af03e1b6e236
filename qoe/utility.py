"""MOS as a function of share, one curve a bearer: what the optimiser trades.

The curves come from the same functions of :mod:`qoe.applications` that judge what was measured, moved so
that the observed share gives what those models say of what was observed. A share is a part of the rate
`efficiency_bps`, in the mean over time: a bearer that is active a tenth of the time moves at ten times
``share * efficiency_bps`` while it is.

=========  =====================================================================================
class      curve
=========  =====================================================================================
video      Staircase: the highest rung of the ladder within 0.8 of the throughput; the rung being
           played stays until the rate falls below what was seen; stalls below the lowest.
voip       Cliff: what is sent and not carried is lost. A call with picture follows the rate.
gaming     Cliff, with the delay; cloud gaming follows the rate (G.1072).
web        Page time against the rate (G.1030).
bulk       Logarithm of the rate.
other      Steep up to the observed rate or a small need, then nearly flat.
unknown    Concave around the observed rate: neither starved nor favoured.
=========  =====================================================================================

How much video, downloads and pages would take if they could is read from the class, never from a rate that
a throttle may have set. Queueing that was measured fades as the share grows to twice the observed one.
The direction in which an application sends little (acknowledgements, requests) is concave up to its
observed rate. Curves are mixed by class probability; what is not decided is `unknown` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from qoe import applications as app
from qoe.applications import MosModel
from qoe.config import Direction
from qoe.schema import AppClass, BoolArray, Curves, FloatArray, RecordArray

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
        ("efficiency_bps", "f8"),  # rate the subscriber would get alone
        ("share_observed", "f8"),  # where the bearer stands on its curve today
        ("weight", "f8"),  # tier x subscriber x class
        ("floor_mos", "f8"),  # NaN: none promised
        ("probability", "f4", (len(AppClass),)),
        ("mos", "f8"),  # measured; NaN: not estimable
        ("mos_confidence", "f8"),  # 0 to 1
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
    ],
    align=True,
)
"""One subscriber's traffic of one class in one direction of one cell: what receives a weight."""

N_POINTS: Final = 64
_N_LOG: Final = 35
_NEED_KNEES: Final = np.array([0.5, 0.8, 0.9, 0.95, 0.98, 1.0, 1.05, 1.25, 1.5, 2.0, 3.0])
_BELOW: Final = 1.0 - 1e-6
_ROUNDING: Final = 1e-9
_STEP_PROBABILITY: Final = 0.99
_LEAST_PROBABILITY: Final = 0.02

_RTT_MS: Final = 50.0
_JITTER_MS: Final = 5.0
_FULL_QUEUE_MS: Final = 60.0  # waiting in a queue that what is sent overflows
_OVERLOAD: Final = 0.05  # overload that fills it
_HEADERS_BYTES: Final = 58.0  # Ethernet, IPv4, UDP, RTP and a little
_PAGE_BYTES: Final = 500e3
_CONTROL_BPS: Final = 256e3
_LITTLE_BPS: Final = 4e3  # what any bearer may have
_NEUTRAL_MOS: Final = (3.5, 4.2)  # at the observed rate, and at most
_CONTROL_MOS: Final = (4.0, 4.5)

_MosOfRate: TypeAlias = Callable[[RecordArray, FloatArray], FloatArray]
"""Bearers (n,) and rates (n, m) in bit/s, means over time: MOS (n, m)."""


def curves(bearers: RecordArray) -> Curves:
    """Tabulate each bearer's MOS against its share of the cell.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
        From `qoe.cells.bearers`.

    Returns
    -------
    Curves
        Shape (n_bearers, 64). Share 0 to 1 (1: the rate ``efficiency_bps``), dense where the curve bends,
        and among its points the observed share; MOS 1 at share 0, non-decreasing, at most 5. Step for video
        that is all but certain; where video mixes with other classes a jump is two points close together.
    """
    share = _grid(bearers)
    rate_bps = share * bearers["efficiency_bps"][:, None]
    weights = class_weights(bearers)
    mos = np.zeros_like(share)
    for app_class, mos_of_rate in _MOS_OF_RATE.items():
        rows = weights[:, app_class] > 0
        if rows.any():
            mos[rows] += weights[rows, app_class, None] * mos_of_rate(bearers[rows], rate_bps[rows])
    mos[:, 0] = 1.0
    mos = np.clip(np.maximum.accumulate(mos, axis=1), 1.0, 5.0)
    step = (weights[:, AppClass.VIDEO] >= _STEP_PROBABILITY) & _carries_media(bearers)
    return Curves(share, mos, step)


def class_weights(bearers: RecordArray) -> FloatArray:
    """Return how much of each class is in each bearer's mixture.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)

    Returns
    -------
    ndarray of float64, shape (n_bearers, 7)
        By AppClass; rows sum to 1. What the probabilities leave open goes to the bearer's own class; a bearer
        of class unknown is that alone.
    """
    weights: FloatArray = np.clip(np.nan_to_num(bearers["probability"].astype(np.float64)), 0.0, 1.0)
    weights[:, AppClass.UNKNOWN] = 0.0
    weights[bearers["app_class"] == AppClass.UNKNOWN] = 0.0
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    weights[np.arange(len(bearers)), bearers["app_class"]] += 1.0 - weights.sum(axis=1)
    weights[weights < _LEAST_PROBABILITY] = 0.0
    total: FloatArray = weights.sum(axis=1, keepdims=True)
    return weights / total


def is_support(bearers: RecordArray) -> BoolArray:
    """Return which bearers but feed the other direction: requests, acknowledgements, a player's inputs."""
    one_way: BoolArray = np.isin(bearers["app_class"], (AppClass.VIDEO, AppClass.WEB, AppClass.BULK))
    one_way |= bearers["model"] == MosModel.CLOUD_GAMING
    return one_way & ~_carries_media(bearers)


def _carries_media(bearers: RecordArray) -> BoolArray:
    """Return which bearers lie in the direction in which their flows send most."""
    downwards: BoolArray = np.nan_to_num(bearers["down_fraction"], nan=1.0) >= 0.5
    is_down: BoolArray = bearers["direction"] == Direction.DOWN
    with_media: BoolArray = downwards == is_down
    return with_media


def _grid(bearers: RecordArray) -> FloatArray:
    """Shares to tabulate at: where curves bend, the observed share, and a spread over all magnitudes."""
    efficiency_bps = _known(bearers, "efficiency_bps", 1.0)
    rungs = _thresholds(bearers) / efficiency_bps
    need = _need_bps(bearers)[:, None] * _known(bearers, "activity_ratio", 1.0) / efficiency_bps
    observed = _known(bearers, "share_observed", 0.0)
    lowest = np.clip(0.1 * np.minimum(observed, 64e3 / efficiency_bps), 1e-9, 0.1)
    spread = lowest ** np.linspace(1.0, 0.0, _N_LOG)
    ends = np.broadcast_to([0.0, 1.0], (len(bearers), 2))
    seen = np.concatenate([observed, 2.0 * observed, _LITTLE_BPS / efficiency_bps], axis=1)
    points = np.concatenate([ends, rungs, rungs * _BELOW, need * _NEED_KNEES, seen, spread], axis=1)
    share = np.sort(np.clip(points, 0.0, 1.0), axis=1)
    share[:, 1:][np.diff(share, axis=1) <= 1e-12] = 1.0
    share = np.sort(share, axis=1)
    return np.pad(share, ((0, 0), (0, N_POINTS - share.shape[1])), mode="edge")


def _observed_bps(bearers: RecordArray) -> FloatArray:
    observed: FloatArray = np.maximum(bearers["share_observed"] * bearers["efficiency_bps"], 1.0)
    return observed


def _known(bearers: RecordArray, name: str, otherwise: float) -> FloatArray:
    """Return a measure as a column, with what is assumed where it was not seen."""
    column: FloatArray = np.nan_to_num(bearers[name].astype(np.float64), nan=otherwise)[:, None]
    return column


def _active(bearers: RecordArray, rate_bps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return rates while active: those given (n, m), and the observed one (n, 1)."""
    activity = _known(bearers, "activity_ratio", 1.0)
    return rate_bps / activity, _observed_bps(bearers)[:, None] / activity


def _need_bps(bearers: RecordArray) -> FloatArray:
    """Rate that is being sent, while active: what arrives and what is lost."""
    lost = np.clip(np.nan_to_num(bearers["loss_ratio"]), 0.0, 0.9)
    need: FloatArray = _observed_bps(bearers) / bearers["activity_ratio"] / (1.0 - lost)
    return need


def _thresholds(bearers: RecordArray) -> FloatArray:
    """Rates from which each rung of the ladder is played, shape (n, n_rungs).

    A player picks a rung within 0.8 of its throughput. The rung it plays now needs no more than was
    observed; if it could already have picked a higher one and has not, the next ones are as much further
    up as their bitrates are. A rung that stalls at the observed rate plays from a quarter more on.
    """
    observed_bps, media_bps = _observed_bps(bearers), bearers["media_bps"]
    by_rate = np.searchsorted(app.LADDER_BPS, observed_bps * (1 + _ROUNDING), "right") - 1
    current = np.where(np.isfinite(media_bps), app.rung_of(np.nan_to_num(media_bps)), by_rate)[:, None]
    rungs = np.arange(len(app.LADDER_BPS))
    usual_bps = app.LADDER_BPS / app.SAFETY
    scaled_bps = observed_bps[:, None] * app.LADDER_BPS / app.LADDER_BPS[np.maximum(current, 0)]
    stalls = _stalls(bearers)[:, None]
    held = (rungs < current) | ((rungs == current) & ~stalls)
    further_bps = np.maximum(usual_bps, scaled_bps / np.where(stalls, app.SAFETY, 1.0))
    seen: FloatArray = np.where(held, np.minimum(usual_bps, scaled_bps), further_bps)
    return np.where(current >= 0, seen, usual_bps)


def _video(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    thresholds = _thresholds(bearers)
    within = rate_bps[:, :, None] * (1 + _ROUNDING) >= thresholds[:, None, :]
    n_within = within.sum(axis=2)
    stalled = app.stalled_mos(rate_bps / thresholds[:, :1])
    mos: FloatArray = np.where(n_within > 0, app.rung_mos()[np.maximum(n_within - 1, 0)], stalled)
    return np.where(_stalls(bearers)[:, None], _with_stalls(bearers, rate_bps, mos, thresholds), mos)


def _stalls(bearers: RecordArray) -> BoolArray:
    """Return which bearers play video that stalls."""
    known: BoolArray = np.isfinite(bearers["mos"]) & np.isfinite(bearers["media_bps"])
    return known & (bearers["stall_s"] > 0)


def _with_stalls(
    bearers: RecordArray, rate_bps: FloatArray, mos: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """Give video that stalls its measured MOS from the observed rate until its rung plays, no more below."""
    observed_bps, measured = _observed_bps(bearers)[:, None], _known(bearers, "mos", 5.0)
    rung = app.rung_of(np.nan_to_num(bearers["media_bps"]))
    plays_bps = thresholds[np.arange(len(bearers)), rung][:, None]
    below = rate_bps < observed_bps * (1 - _ROUNDING)
    here = ~below & (rate_bps < plays_bps * (1 - _ROUNDING))
    heard: FloatArray = np.select([below, here], [np.minimum(mos, measured), measured + 0 * mos], mos)
    return heard


def _relief(rate_bps: FloatArray, observed_bps: FloatArray) -> FloatArray:
    """Part of the measured queueing that is left: all at the observed rate, none at twice it."""
    return np.clip(2.0 - rate_bps / observed_bps, 0.0, 1.0)


def _path(
    bearers: RecordArray, rate_bps: FloatArray, observed_bps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Round trip and jitter, in ms, at each rate."""
    left = _relief(rate_bps, observed_bps)
    rtt_ms, queue_ms = _known(bearers, "rtt_ms", _RTT_MS), _known(bearers, "queue_ms", 0.0)
    return np.maximum(rtt_ms - queue_ms * (1.0 - left), 0.0), _known(bearers, "jitter_ms", _JITTER_MS) * left


def _overload(
    bearers: RecordArray, rate_bps: FloatArray, observed_bps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Loss ratio when not all that is sent is carried, and waiting in ms beyond what was measured."""
    lost = 1.0 - np.clip(rate_bps / _need_bps(bearers)[:, None], 0.0, 1.0)
    short = observed_bps / np.maximum(rate_bps, 1.0) - 1.0
    return lost, _FULL_QUEUE_MS * np.clip(short / _OVERLOAD, 0.0, 1.0)


def _call(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    rate_bps, observed_bps = _active(bearers, rate_bps)
    rtt_ms, jitter_ms = _path(bearers, rate_bps, observed_bps)
    lost, waiting_ms = _overload(bearers, rate_bps, observed_bps)
    payload = np.maximum(1.0 - _HEADERS_BYTES / _known(bearers, "packet_bytes", 200.0), 0.2)
    codec = np.broadcast_to(bearers["codec"][:, None].astype(np.int64), rate_bps.shape)
    speech = app.speech_mos(codec, observed_bps * payload, rtt_ms + 2 * waiting_ms, jitter_ms, lost)
    still_lost = _known(bearers, "loss_ratio", 0.0) * _relief(rate_bps, observed_bps)
    sight = app.video_call_mos(rate_bps, app.VIDEO_CALL_FPS, rtt_ms, jitter_ms, still_lost)
    mos: FloatArray = np.where(bearers["model"][:, None] == MosModel.VIDEO_CALL, sight, speech)
    return mos


def _game(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    support = _support(bearers, rate_bps)
    rate_bps, observed_bps = _active(bearers, rate_bps)
    rtt_ms, jitter_ms = _path(bearers, rate_bps, observed_bps)
    lost, waiting_ms = _overload(bearers, rate_bps, observed_bps)
    native = app.native_game_mos(rtt_ms + waiting_ms, jitter_ms, lost)
    still_lost = _known(bearers, "loss_ratio", 0.0) * _relief(rate_bps, observed_bps)
    streamed = app.cloud_game_mos(rate_bps, rtt_ms, still_lost)
    in_cloud = app.is_cloud_game(observed_bps, bearers["packet_bytes"][:, None])
    input_only = (bearers["model"] == MosModel.CLOUD_GAMING) & ~_carries_media(bearers)
    mos: FloatArray = np.select([input_only[:, None], in_cloud], [support, streamed], native)
    return mos


def _web(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    rate_bps, observed_bps = _active(bearers, rate_bps)
    n_bytes = _known(bearers, "page_bytes", _PAGE_BYTES)
    predicted_s = app.page_time_s(n_bytes, rate_bps, _path(bearers, rate_bps, observed_bps)[0])
    now_s = app.page_time_s(n_bytes, observed_bps, _known(bearers, "rtt_ms", _RTT_MS))
    measured_s = _known(bearers, "page_s", np.nan)
    slower = np.where(np.isnan(measured_s), 1.0, measured_s / now_s)  # than one connection: pages have rounds
    mos: FloatArray = app.page_mos(slower * predicted_s)
    return mos


def _bulk(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    mos: FloatArray = app.download_mos(_active(bearers, rate_bps)[0])
    return mos


def _other(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    observed_bps = _observed_bps(bearers)[:, None]
    need_bps = np.minimum(observed_bps, _CONTROL_BPS)
    good, best = _CONTROL_MOS
    need = 1.0 + (good - 1.0) * np.sqrt(np.minimum(rate_bps / need_bps, 1.0))
    return need + (best - good) * _beyond(rate_bps, need_bps, np.maximum(observed_bps, 2.0 * need_bps))


def _beyond(rate_bps: FloatArray, from_bps: FloatArray, to_bps: FloatArray) -> FloatArray:
    """Rise from 0 to 1 between two rates, the second one not below what any bearer may have."""
    part: FloatArray = np.clip((rate_bps - from_bps) / (np.maximum(to_bps, _LITTLE_BPS) - from_bps), 0.0, 1.0)
    return part


def _unknown(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    observed_bps = _observed_bps(bearers)[:, None]
    neutral, best = _NEUTRAL_MOS
    below: FloatArray = np.log1p(9.0 * np.minimum(rate_bps / observed_bps, 1.0)) / np.log(10.0)
    beyond = _beyond(rate_bps, observed_bps, 2.0 * observed_bps)
    return 1.0 + (neutral - 1.0) * below + (best - neutral) * beyond


def _support(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    """What feeds the other direction: all that it gives at the observed rate, less below."""
    best = _known(bearers, "mos", _CONTROL_MOS[0])
    return 1.0 + (best - 1.0) * np.sqrt(np.minimum(rate_bps / _observed_bps(bearers)[:, None], 1.0))


def _one_way(media: _MosOfRate) -> _MosOfRate:
    """Use a curve in the direction that carries the media, and `_support` in the other."""

    def mos_of_rate(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
        mos = _support(bearers, rate_bps)
        rows = _carries_media(bearers)
        if rows.any():
            mos[rows] = media(bearers[rows], rate_bps[rows])
        return mos

    return mos_of_rate


_MOS_OF_RATE: Final[dict[AppClass, _MosOfRate]] = {
    AppClass.UNKNOWN: _unknown,
    AppClass.VIDEO: _one_way(_video),
    AppClass.VOIP: _call,
    AppClass.GAMING: _game,
    AppClass.WEB: _one_way(_web),
    AppClass.BULK: _one_way(_bulk),
    AppClass.OTHER: _other,
}
