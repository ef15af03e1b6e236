"""The arrays and small structs that the parts of qoe hand one another.

The NumPy dtypes are twins of the structs in ``qoe_native/include/qoe.h``, field by field; a test holds
the two together. Units end names: ``_ns _us _s _bytes _bps``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qoe.fields import (
    CLASS_NAMES,
    FLOW_FIELDS,
    N_FIRST,
    N_GAP_BINS,
    N_SIZE_BINS,
    AppClass,
    EndReason,
    Evidence,
    FlowFlag,
    Option,
    Signal,
    State,
    Tunnel,
)

__all__ = [
    "CHUNK_DTYPE",
    "CLASS_NAMES",
    "DECISION_DTYPE",
    "FLOW_DTYPE",
    "N_FEATURES",
    "N_FIRST",
    "N_GAP_BINS",
    "N_SIZE_BINS",
    "PACKET_DTYPE",
    "VERDICT_DTYPE",
    "AppClass",
    "BoolArray",
    "Burst",
    "Curves",
    "EndReason",
    "Evidence",
    "FloatArray",
    "FlowFlag",
    "IntArray",
    "Option",
    "RecordArray",
    "Signal",
    "State",
    "Tunnel",
]

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
RecordArray: TypeAlias = npt.NDArray[Any]

N_FEATURES: Final = 64

FLOW_DTYPE: Final = np.dtype(
    [(field.name, field.kind, (field.n,) if field.n else ()) for field in FLOW_FIELDS], align=True
)
"""One flow (``struct qoe_flow``), 424 bytes; what every field means stands in ``qoe.h``."""

CHUNK_DTYPE: Final = np.dtype(
    [
        ("flow_id", "u8"),
        ("request_ns", "u8"),
        ("first_ns", "u8"),
        ("last_ns", "u8"),
        ("bytes", "u8"),
        ("request_bytes", "u4"),
        ("direction", "u4"),
    ],
    align=True,
)
"""One response of a server to one request (``struct qoe_chunk``)."""

DECISION_DTYPE: Final = np.dtype(
    [
        ("flow_id", "u8"),
        ("ts_ns", "u8"),
        ("packets", "u4"),
        ("app_class", "u4"),
        ("features", "f4", (N_FEATURES,)),
    ],
    align=True,
)
"""One traced decision of the classifier (``struct qoe_decision``)."""

VERDICT_DTYPE: Final = np.dtype(
    [
        ("flow_id", "u8"),
        ("confidence", "f4"),
        ("evidence", "u4"),
        ("app_class", "u1"),
        ("state", "u1"),
        ("direction", "u1"),
        ("status", "u1"),
        ("reserved", "u4"),
    ],
    align=True,
)
"""What the kernel says of one packet's flow (``struct qoe_verdict``)."""

PACKET_DTYPE: Final = np.dtype(
    [
        ("offset", "u8"),
        ("captured_len", "u4"),
        ("wire_len", "u4"),
        ("ts_ns", "u8"),
        ("link_type", "u4"),
        ("cell_hint", "u4"),
    ],
    align=True,
)
"""One packet of a burst in Python's hands: ``struct qoe_packet`` with an offset into the burst's bytes
in place of the pointer."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Packets as they lie in one buffer.

    Attributes
    ----------
    data : ndarray of uint8, shape (n_bytes,)
        The captured bytes of all packets.
    packets : ndarray of PACKET_DTYPE, shape (n_packets,)
        Where each packet lies in `data`, its lengths, time and link type.
    """

    data: npt.NDArray[np.uint8]
    packets: RecordArray


@dataclass(frozen=True, slots=True)
class Curves:
    """MOS as a function of share, tabulated, one row a bearer.

    Attributes
    ----------
    share : ndarray of float64, shape (n_bearers, n_points)
        Increasing along a row, from 0; pad a shorter row by repeating its last point.
    mos : ndarray of float64, shape (n_bearers, n_points)
        Non-decreasing along a row, 1 to 5.
    step : ndarray of bool, shape (n_bearers,)
        True: the curve holds each value until the next point (a ladder); False: linear between points.
    """

    share: FloatArray
    mos: FloatArray
    step: BoolArray
