"""What a flow record holds, by name and without NumPy, which takes as long to load as 400,000 packets.

`qoe.schema` makes the dtypes of it; what only hands packed records on needs no more than this.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple, TypeAlias

N_FIRST: Final = 12
N_SIZE_BINS: Final = 6
N_GAP_BINS: Final = 8


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


_Spec: TypeAlias = "tuple[str, str] | tuple[str, str, int]"


def _pair(name: str, kind: str, n: int = 0) -> list[_Spec]:
    return [(f"{name}_{way}", kind, n) for way in ("forward", "reverse")]


class Field(NamedTuple):
    """One field of a record.

    Attributes
    ----------
    name, kind : str
        `kind` as NumPy spells it: ``u4``, ``f4``.
    n : int
        Elements of an array; 0 of a single value.
    offset : int
        Where it lies in the record.
    """

    name: str
    kind: str
    n: int
    offset: int

    @property
    def item_bytes(self) -> int:
        """Size of one element."""
        return int(self.kind[1:])


def _laid_out(specs: Iterable[_Spec]) -> tuple[Field, ...]:
    """Place fields as a C compiler does: each aligned to its own size."""
    fields, end = [], 0
    for name, kind, *n in specs:
        field = Field(name, kind, n[0] if n else 0, -(-end // int(kind[1:])) * int(kind[1:]))
        end = field.offset + max(field.n, 1) * field.item_bytes
        fields.append(field)
    return tuple(fields)


FLOW_FIELDS: Final = _laid_out(
    [
        ("flow_id", "u8"),
        ("first_ns", "u8"),
        ("last_ns", "u8"),
        *_pair("packets", "u8"),
        *_pair("bytes", "u8"),
        *_pair("payload_bytes", "u8"),
        ("src", "u1", 16),
        ("dst", "u1", 16),
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
        ("probability", "f4", len(AppClass)),
        *_pair("size_std", "f4"),
        *_pair("iat_mean_us", "f4"),
        *_pair("iat_std_us", "f4"),
        *_pair("iat_max_us", "f4"),
        *_pair("size_hist", "u2", N_SIZE_BINS),
        ("gap_hist", "u2", N_GAP_BINS),
        ("first_sizes", "i2", N_FIRST),
        ("first_gaps", "u1", N_FIRST),
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
        ("reserved", "u1", 2),
    ]
)
"""The fields of one flow (``struct qoe_flow``); what every one means stands in ``qoe.h``."""

FLOW_BYTES: Final = -(-(FLOW_FIELDS[-1].offset + FLOW_FIELDS[-1].n) // 8) * 8
"""Size of a packed flow record."""
