"""The columns of a listing of flows, and how bits are spelt in it."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from qoe.fields import FLOW_FIELDS, Signal, Tunnel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qoe.schema import RecordArray

Columns: TypeAlias = Literal["all", "core"]

CORE_COLUMNS: Final[tuple[str, ...]] = (
    *("src", "src_port", "dst", "dst_port", "protocol", "tunnel", "packets", "bytes"),
    *("packets_forward", "packets_reverse", "bytes_forward", "bytes_reverse"),
    *("first_s", "last_s", "duration_s", "class", "confidence", "decided_after_packets", "evidence"),
)

_SPELLING: Final = {
    "SIXIN4": "6in4",
    "GTPU": "GTP-U",
    "EOMPLS": "EoMPLS",
    "QINQ": "QinQ",
    "PPPOE": "PPPoE",
    "GENEVE": "Geneve",
    "FRAGMENT": "fragment",
    "IPIP": "IP-in-IP",
}


class AddressTexts(Protocol):
    """Gives the text of flows' addresses: `qoe.flows.address_texts`."""

    def __call__(self, flows: RecordArray, *, source: bool) -> tuple[bytes, npt.NDArray[np.int32]]:
        """Give all addresses of one side, one after another, and where each begins."""
        ...


OTHER_FIELDS: Final = tuple(
    field.name
    for field in FLOW_FIELDS
    if field.name not in {*CORE_COLUMNS, "first_ns", "last_ns", "app_class", "reserved"}
)
"""Fields of a flow record that follow the core columns when all are asked for."""


def member_names(kind: type[IntFlag]) -> list[str]:
    """Spelling of each bit, lowest first: protocols keep their own, evidence and flags are lower case."""
    names = [member.name or "" for member in kind]
    if kind in (Tunnel, Signal):
        return [_SPELLING.get(name, name) for name in names]
    return [name.lower() for name in names]
