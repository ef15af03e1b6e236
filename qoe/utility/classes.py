"""MOS against the rate for each application class, from what was measured of the bearer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from qoe import applications as app
from qoe.applications import MosModel
from qoe.schema import AppClass, FloatArray, RecordArray
from qoe.utility.bearer import carries_media, known, observed_bps, while_active
from qoe.utility.queueing import RTT_MS, overload, path, relief
from qoe.utility.streaming import video

LITTLE_BPS: Final = 4e3
"""What any bearer may have."""
_HEADERS_BYTES: Final = 58.0  # Ethernet, IPv4, UDP, RTP and a little
_PAGE_BYTES: Final = 500e3
_STREAM_QUEUE: Final = 10.0  # a queue that holds a stream's frames is so many times as long as one of packets
_READ_S: Final = 10.0
_ALWAYS: Final = 0.95
_PAGE_RATE: Final = 0.5
_CONTROL_BPS: Final = 256e3
_CONTROL_MOS: Final = (4.0, 4.5)
_NEUTRAL_MOS: Final = (3.5, 4.2)  # at the observed rate, and at most

MosOfRate: TypeAlias = Callable[[RecordArray, FloatArray], FloatArray]
"""Bearers (n,) and rates (n, m) in bit/s, means over time: MOS (n, m)."""


def _call(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    rate_bps, seen_bps = while_active(bearers, rate_bps)
    left = relief(bearers, rate_bps, seen_bps)
    rtt_ms, jitter_ms = path(bearers, left)
    lost, waiting_ms = overload(bearers, rate_bps, seen_bps)
    payload = np.maximum(1.0 - _HEADERS_BYTES / known(bearers, "packet_bytes", 200.0), 0.2)
    codec = np.broadcast_to(bearers["codec"][:, None].astype(np.int64), rate_bps.shape)
    speech = app.speech_mos(codec, seen_bps * payload, rtt_ms + 2 * waiting_ms, jitter_ms, lost)
    still_lost = known(bearers, "loss_ratio", 0.0) * left
    sight = app.video_call_mos(rate_bps, app.VIDEO_CALL_FPS, rtt_ms, jitter_ms, still_lost)
    mos: FloatArray = np.where(bearers["model"][:, None] == MosModel.VIDEO_CALL, sight, speech)
    return mos


def _game(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    support = _support(bearers, rate_bps)
    rate_bps, seen_bps = while_active(bearers, rate_bps)
    left = relief(bearers, rate_bps, seen_bps)
    rtt_ms, jitter_ms = path(bearers, left)
    lost, waiting_ms = overload(bearers, rate_bps, seen_bps)
    native = app.native_game_mos(rtt_ms + waiting_ms, jitter_ms, lost)
    stalled_ms = _STREAM_QUEUE * waiting_ms
    streamed = app.cloud_game_mos(
        rate_bps, rtt_ms + stalled_ms, known(bearers, "loss_ratio", 0.0) * left, late_ratio=lost
    )
    in_cloud = app.is_cloud_game(seen_bps, bearers["packet_bytes"][:, None])
    input_only = (bearers["model"] == MosModel.CLOUD_GAMING) & ~carries_media(bearers)
    mos: FloatArray = np.select([input_only[:, None], in_cloud], [support, streamed], native)
    return mos


def _web(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    mos: FloatArray = app.page_mos(reading(bearers, rate_bps)[0])
    return mos


def reading(bearers: RecordArray, rate_bps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the time that a page takes at mean rates, and the time for which it is then read.

    A page is asked for when the one before was read, so a page of ``B`` bits that takes ``T`` and is read for
    ``Z`` makes a mean rate of ``r = B / (T + Z)`` (the interactive response time law: Denning and Buzen, ACM
    Comput. Surv. 10(3), 1978, section 3.4), and ``T = B / r - Z``. Where pages were seen, ``Z`` is what
    ``T`` and the active part of time leave; else 10 s.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n,)
    rate_bps : ndarray of float64, shape (n, m)
        Means over time.

    Returns
    -------
    page_s : ndarray of float64, shape (n, m)
        Not less than at half of the rate that the subscriber would get alone: others are there, too.
    read_s : ndarray of float64, shape (n, 1)
    """
    seen_bps, activity = observed_bps(bearers)[:, None], known(bearers, "activity_ratio", 1.0)
    n_bytes, rtt_ms = known(bearers, "page_bytes", _PAGE_BYTES), known(bearers, "rtt_ms", RTT_MS)
    now_s = known(bearers, "page_s", np.nan)
    read_s = np.where(np.isnan(now_s) | (activity > _ALWAYS), _READ_S, now_s * (1.0 - activity) / activity)
    bits = np.where(np.isnan(now_s) | (activity > _ALWAYS), n_bytes * 8.0, seen_bps * (now_s + read_s))
    core_ms = np.maximum(rtt_ms - known(bearers, "queue_ms", 0.0), 0.0)
    best_bps = _PAGE_RATE * known(bearers, "efficiency_bps", 1.0)
    least_s = app.page_time_s(n_bytes, best_bps, core_ms)
    least_s = np.where(np.isnan(now_s), least_s, np.minimum(least_s, now_s))
    page_s: FloatArray = np.maximum(bits / np.maximum(rate_bps, 1.0) - read_s, least_s)
    return page_s, read_s


def _bulk(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    mos: FloatArray = app.download_mos(while_active(bearers, rate_bps)[0])
    return mos


def _other(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    seen_bps = observed_bps(bearers)[:, None]
    need_bps = np.minimum(seen_bps, _CONTROL_BPS)
    good, best = _CONTROL_MOS
    need = 1.0 + (good - 1.0) * np.sqrt(np.minimum(rate_bps / need_bps, 1.0))
    return need + (best - good) * _beyond(rate_bps, need_bps, np.maximum(seen_bps, 2.0 * need_bps))


def _beyond(rate_bps: FloatArray, from_bps: FloatArray, to_bps: FloatArray) -> FloatArray:
    """Rise from 0 to 1 between two rates, the second one not below what any bearer may have."""
    part: FloatArray = np.clip((rate_bps - from_bps) / (np.maximum(to_bps, LITTLE_BPS) - from_bps), 0.0, 1.0)
    return part


def _unknown(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    neutral, best = _NEUTRAL_MOS
    return neutral_mos(bearers, rate_bps, np.full((len(bearers), 1), neutral), best - neutral)


def neutral_mos(
    bearers: RecordArray, rate_bps: FloatArray, here: FloatArray, more: FloatArray | float
) -> FloatArray:
    """MOS of who is neither starved nor favoured: concave around the observed rate.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n,)
    rate_bps : ndarray of float64, shape (n, m)
        Means over time.
    here : ndarray of float64, shape (n, 1)
        MOS at the observed rate.
    more : ndarray of float64, shape (n, 1), or float
        What twice that rate, or more, adds.
    """
    seen_bps = observed_bps(bearers)[:, None]
    below: FloatArray = np.log1p(9.0 * np.minimum(rate_bps / seen_bps, 1.0)) / np.log(10.0)
    return 1.0 + (here - 1.0) * below + more * _beyond(rate_bps, seen_bps, 2.0 * seen_bps)


NEUTRAL_RISE: Final = (_NEUTRAL_MOS[1] - _NEUTRAL_MOS[0]) / (5.0 - _NEUTRAL_MOS[0])
"""Part of what is still to be gained that `neutral_mos` of class unknown expects of twice the rate."""


def _support(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    """What feeds the other direction: all that it gives at the observed rate, less below."""
    best = known(bearers, "mos", _CONTROL_MOS[0])
    return 1.0 + (best - 1.0) * np.sqrt(np.minimum(rate_bps / observed_bps(bearers)[:, None], 1.0))


def _one_way(media: MosOfRate) -> MosOfRate:
    """Use a curve in the direction that carries the media, and `_support` in the other."""

    def mos_of_rate(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
        mos = _support(bearers, rate_bps)
        rows = carries_media(bearers)
        if rows.any():
            mos[rows] = media(bearers[rows], rate_bps[rows])
        return mos

    return mos_of_rate


MOS_OF_RATE: Final[dict[AppClass, MosOfRate]] = {
    AppClass.UNKNOWN: _unknown,
    AppClass.VIDEO: _one_way(video),
    AppClass.VOIP: _call,
    AppClass.GAMING: _game,
    AppClass.WEB: _one_way(_web),
    AppClass.BULK: _one_way(_bulk),
    AppClass.OTHER: _other,
}
"""The curve of each class."""
