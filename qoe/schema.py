"""The arrays and small structs that the parts of qoe hand one another.

The NumPy dtypes are twins of the structs in ``qoe_native/include/qoe.h``, field by field; a test holds
the two together. Units end names: ``_ns _us _s _bytes _bps``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
RecordArray: TypeAlias = npt.NDArray[Any]

N_FIRST: Final = 12
N_SIZE_BINS: Final = 6
N_GAP_BINS: Final = 8
N_FEATURES: Final = 64


class AppClass(IntEnum):
    """Application class of a flow (``enum qoe_class``)."""

    UNKNOWN = 0
    VIDEO = 1
    VOIP = 2
    GAMING = 3
    WEB = 4
    BULK = 5
    OTHER = 6


CLASS_NAMES: Final[tuple[str, ...]] = tuple(c.name.lower() for c in AppClass)


class State(IntEnum):
    """How settled a verdict is (``enum qoe_state``)."""

    INSPECTING = 0
    PARTIAL = 1
    FINAL = 2
    REVISED = 3


class EndReason(IntEnum):
    """Why a flow was handed out (``enum qoe_end_reason``)."""

    LIVE = 0
    IDLE_TIMEOUT = 1
    ACTIVE_TIMEOUT = 2
    EVICTED = 3
    FLUSHED = 4
    INTERIM = 5


class Evidence(IntFlag):
    """What a verdict rests on (``enum qoe_evidence``)."""

    MODEL = 1
    RTP = 2
    PORT = 4
    PROTOCOL = 8
    STUN = 16


class Signal(IntFlag):
    """Framing seen in a flow's payloads (``enum qoe_signal``)."""

    RTP = 1
    RTCP = 2
    STUN = 4
    DTLS = 8
    QUIC = 16
    TLS = 32
    HTTP = 64
    DNS = 128


class FlowFlag(IntFlag):
    """Limits of what was seen of a flow (``enum qoe_flow_flag``)."""

    MID_FLOW = 1
    ONE_WAY = 2
    CLOCK_BACK = 4
    NO_EXTENSION = 8


class Tunnel(IntFlag):
    """Encapsulations stripped to reach a flow (``enum qoe_tunnel``)."""

    VLAN = 1
    QINQ = 2
    MPLS = 4
    EOMPLS = 8
    PPPOE = 16
    GRE = 32
    IPIP = 64
    SIXIN4 = 128
    VXLAN = 256
    GENEVE = 512
    GTPU = 1024
    AH = 2048
    FRAGMENT = 4096


class Option(IntFlag):
    """Switches of an engine (``enum qoe_option``)."""

    NO_PORT_HINT = 1
    NO_PROTOCOL_HINT = 2
    TRACE_FEATURES = 4
    PREFAULT = 8


def _pair(name: str, kind: str, *shape: int) -> list[tuple[Any, ...]]:
    return [(f"{name}_{way}", kind, *([shape] if shape else [])) for way in ("forward", "reverse")]


FLOW_DTYPE: Final = np.dtype(
    [
        ("flow_id", "u8"),
        ("first_ns", "u8"),
        ("last_ns", "u8"),
        *_pair("packets", "u8"),
        *_pair("bytes", "u8"),
        *_pair("payload_bytes", "u8"),
        ("src", "u1", (16,)),
        ("dst", "u1", (16,)),
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("protocol", "u1"),
        ("ip_version", "u1"),
        ("vlan_id", "u2"),
        ("tunnel", "u4"),
        ("vni", "u4"),
        *_pair("teid", "u4"),
        ("mpls_label", "u4"),
        ("cell_hint", "u4"),
        ("pppoe_session", "u2"),
        *_pair("qfi", "u1"),
        *_pair("dscp", "u1"),
        ("app_class", "u1"),
        ("state", "u1"),
        ("end_reason", "u1"),
        ("flags", "u1"),
        ("signals", "u1"),
        ("n_first", "u1"),
        ("confidence", "f4"),
        ("evidence", "u4"),
        ("decided_after_packets", "u4"),
        ("probability", "f4", (len(AppClass),)),
        *_pair("size_std", "f4"),
        *_pair("iat_mean_us", "f4"),
        *_pair("iat_std_us", "f4"),
        *_pair("iat_max_us", "f4"),
        *_pair("size_hist", "u2", N_SIZE_BINS),
        ("gap_hist", "u2", (N_GAP_BINS,)),
        ("first_sizes", "i2", (N_FIRST,)),
        ("first_gaps", "u1", (N_FIRST,)),
        *_pair("tcp_flags", "u1"),
        *_pair("zero_windows", "u2"),
        ("n_idle", "u2"),
        *_pair("retransmissions", "u4"),
        *_pair("out_of_order", "u4"),
        ("handshake_rtt_us", "u4"),
        ("rtt_min_us", "u4"),
        ("rtt_mean_us", "u4"),
        ("n_rtt", "u4"),
        ("n_chunks", "u4"),
        ("chunk_bytes_mean", "f4"),
        ("chunk_bytes_std", "f4"),
        ("chunk_gap_mean_s", "f4"),
        ("quic_version", "u4"),
        *_pair("rtp_ssrc", "u4"),
        *_pair("rtp_packets", "u4"),
        *_pair("rtp_lost", "u4"),
        *_pair("rtp_loss_runs", "u4"),
        *_pair("rtp_reordered", "u4"),
        *_pair("rtp_jitter_us", "f4"),
        *_pair("rtp_clock_hz", "u4"),
        *_pair("rtp_frames", "u4"),
        *_pair("rtp_payload_type", "u1"),
        ("reserved", "u1", (2,)),
    ],
    align=True,
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
