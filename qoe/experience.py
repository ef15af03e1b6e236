"""From flow records to MOS: per flow, per subscriber, per cell, over a sliding horizon."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import numpy as np

from qoe.schema import FLOW_DTYPE, AppClass, RecordArray


class MosModel(IntEnum):
    """Which model a MOS comes from; a MOS of one scale is not compared with another's unlabelled."""

    NONE = 0
    VOICE_NB = 1
    VOICE_WB = 2
    VOICE_FB = 3
    VIDEO_CALL = 4
    VIDEO_STREAMING = 5
    VIDEO_THROUGHPUT = 6
    CLOUD_GAMING = 7
    NATIVE_GAMING = 8
    WEB = 9
    THROUGHPUT = 10


EXPERIENCE_DTYPE: Final = np.dtype(
    [
        ("flow_id", "u8"),
        ("subscriber", "i8"),  # -1: nobody's
        ("side", "i1"),  # 0 the subscriber is src, 1 dst, -1 none (then src counts as subscriber)
        ("app_class", "u1"),  # AppClass
        ("model", "u1"),  # MosModel
        ("mos", "f8"),  # 1 to 5; NaN: not estimable
        ("mos_confidence", "f8"),  # 0 to 1: how well the model's inputs are known
        ("probability", "f4", (len(AppClass),)),
        ("rate_down_bps", "f8"),  # mean over the horizon, bytes on the wire
        ("rate_up_bps", "f8"),
        ("bytes_down", "u8"),  # in the last interval
        ("bytes_up", "u8"),
        ("packets_down", "u8"),  # in the last interval
        ("packets_up", "u8"),
        ("packet_bytes_down", "f8"),  # mean frame over the horizon; NaN: none
        ("packet_bytes_up", "f8"),
        ("rtt_ms", "f8"),  # NaN: not seen
        ("jitter_ms", "f8"),
        ("loss_down_ratio", "f8"),
        ("loss_up_ratio", "f8"),
        ("burst_ratio", "f8"),
        ("media_bps", "f8"),  # video: bitrate of what is played
        ("startup_s", "f8"),
        ("stall_s", "f8"),
        ("n_stalls", "f8"),
        ("page_s", "f8"),  # web: time to load
        ("activity_ratio", "f8"),  # fraction of the horizon with something to send
    ],
    align=True,
)
"""What one flow's user experiences."""


class Tracker:
    """Sliding-horizon experience of all flows with packets in the last `horizon_s` seconds.

    Parameters
    ----------
    horizon_s : float
    max_flows : int
        Beyond it the flows idle longest are dropped (counted in `n_dropped`).
    """

    def __init__(self, horizon_s: float = 10.0, max_flows: int = 1_048_576) -> None:
        raise NotImplementedError

    def update(
        self,
        snapshot: RecordArray,
        chunks: RecordArray,
        now_s: float,
        subscriber: np.ndarray | None = None,
        side: np.ndarray | None = None,
    ) -> RecordArray:
        """Take what the last interval brought and judge every flow active within the horizon.

        Parameters
        ----------
        snapshot : ndarray of FLOW_DTYPE, shape (n,)
            Flows with packets in the last interval (cumulative counters), any order.
        chunks : ndarray of CHUNK_DTYPE
            Responses that ended in the last interval.
        now_s : float
            The end of the interval, same clock as the records' ``_ns``.
        subscriber, side : ndarray of int, shape (n,), optional
            From ``SubscriberTable.match(snapshot)``.

        Returns
        -------
        ndarray of EXPERIENCE_DTYPE
            One row a flow seen within the horizon, by rising flow_id.
        """
        raise NotImplementedError


def flow_mos(flows: RecordArray, chunks: RecordArray | None = None, side: np.ndarray | None = None) -> RecordArray:
    """Judge final flow records over their whole life; rows as `flows` (EXPERIENCE_DTYPE)."""
    raise NotImplementedError


def by_subscriber(experience: RecordArray, class_weights: Mapping[str, float] | None = None) -> RecordArray:
    """Combine flows: per (subscriber, class) by bytes, per subscriber by class weight.

    Returns
    -------
    ndarray of fields subscriber, app_class, mos, mos_confidence, n_flows, bytes_down, bytes_up, sorted by
    subscriber then class; the row with app_class 255 is the subscriber's own MOS over its classes.
    """
    raise NotImplementedError


def cell_mos(mos: np.ndarray) -> tuple[float, float]:
    """Mean MOS and Hoßfeld fairness of a cell's subscribers; NaN are left out."""
    raise NotImplementedError


_ = FLOW_DTYPE
