"""MOS as a function of share, per bearer."""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe.schema import AppClass, Curves, RecordArray

BEARER_DTYPE: Final = np.dtype(
    [
        ("subscriber", "i8"),  # index into the subscribers' names
        ("cell", "i8"),  # index into the cells' names
        ("app_class", "u1"),  # AppClass
        ("direction", "u1"),  # Direction: 0 down, 1 up
        ("n_flows", "u4"),
        ("rate_bps", "f8"),  # observed, mean over the horizon, bytes on the wire
        ("efficiency_bps", "f8"),  # rate the subscriber would get alone
        ("share_observed", "f8"),  # where the bearer stands on its curve today
        ("weight", "f8"),  # tier x subscriber x class
        ("floor_mos", "f8"),  # NaN: none promised
        ("probability", "f4", (len(AppClass),)),  # mean over flows, by bytes
        ("mos", "f8"),  # measured; NaN: not estimable
        ("mos_confidence", "f8"),  # 0 to 1
        ("rtt_ms", "f8"),  # NaN: not seen (also jitter, loss)
        ("jitter_ms", "f8"),
        ("loss_ratio", "f8"),
        ("packet_bytes", "f8"),  # mean frame in this direction
        ("media_bps", "f8"),  # video: bitrate of the rung being played; NaN: not known
        ("activity_ratio", "f8"),  # fraction of the horizon with something to send, > 0 to 1
        ("down_fraction", "f8"),  # of the flows' bytes that go down
    ],
    align=True,
)
"""One subscriber's traffic of one class in one direction of one cell: what receives a weight."""


def curves(bearers: RecordArray, n_points: int = 64) -> Curves:
    """Tabulate each bearer's MOS against its share of the cell.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
    n_points : int
        Points a curve, 16 or more.

    Returns
    -------
    Curves
        Share 0 to 1 (1 = the rate ``efficiency_bps``), MOS 1 at share 0, non-decreasing.
    """
    raise NotImplementedError
