"""What each column of a listing shows of a packed flow record: the plan that the kernel's writers follow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Final

from qoe.fields import (
    CLASS_NAMES,
    FLOW_BYTES,
    FLOW_FIELDS,
    EndReason,
    Evidence,
    Field,
    FlowFlag,
    Signal,
    State,
    Tunnel,
)
from qoe.report.columns import CORE_COLUMNS, OTHER_FIELDS, Columns, member_names

_CELL: Final = struct.Struct("=IIHHBBH")  # struct Cell of qoe_native/text.pxi


class Kind(IntEnum):
    """What a cell is made of (``enum CellKind`` of qoe_native/text.pxi)."""

    U1 = 0
    U2 = 1
    U4 = 2
    U8 = 3
    I2 = 4
    F4 = 5
    ADDRESS = 6
    SECONDS = 7
    SPAN = 8
    SUM = 9
    NAME = 10
    BITS_1 = 11
    BITS_4 = 12


_DECIMALS: Final = {"confidence": 4, "probability": 4, "chunk_gap_mean_s": 6}
_USUAL_DECIMALS: Final = 3
_ENUMS: Final[dict[str, type[IntEnum]]] = {"state": State, "end_reason": EndReason}
_FLAGS: Final[dict[str, type[IntFlag]]] = {
    "tunnel": Tunnel,
    "evidence": Evidence,
    "flags": FlowFlag,
    "signals": Signal,
}


_FIELDS: Final = {field.name: field for field in FLOW_FIELDS}


def _offset(name: str) -> int:
    return _FIELDS[name].offset


class Layout:
    """The cells of a row: what is read of a record and how it is spelt.

    Parameters
    ----------
    columns : {"all", "core"}
        See `qoe.report.columns`.

    Attributes
    ----------
    labels : list of str
        The name of each column.
    kinds : list of Kind
        What each is made of.
    names : list of bytes
        The texts that cells refer to by number.
    """

    record_bytes: Final = FLOW_BYTES

    def __init__(self, columns: Columns) -> None:
        self.labels: list[str] = []
        self.kinds: list[Kind] = []
        self.names: list[bytes] = []
        self._cells: list[bytes] = []
        for name in (*CORE_COLUMNS, *(OTHER_FIELDS if columns == "all" else ())):
            self._add(name)

    @property
    def cells(self) -> bytes:
        """Packed ``struct Cell``, as the kernel takes them."""
        return b"".join(self._cells)

    def _put(self, label: str, kind: Kind, offset: int, *, other: int = 0, decimals: int = 0) -> None:
        self._put_cell(label, kind, offset, other, 0, 0, decimals)

    def _put_names(self, label: str, kind: Kind, field: str, texts: list[str]) -> None:
        self._put_cell(label, kind, _offset(field), 0, len(self.names), len(texts), 0)
        self.names += [text.encode() for text in texts]

    def _put_cell(
        self, label: str, kind: Kind, offset: int, other: int, table: int, n_names: int, decimals: int
    ) -> None:
        self.labels.append(label)
        self.kinds.append(kind)
        self._cells.append(_CELL.pack(offset, other, table, n_names, kind, decimals, 0))

    def _add(self, name: str) -> None:
        if name in ("src", "dst"):
            self._put(name, Kind.ADDRESS, _offset(name), other=_offset("ip_version"))
        elif name in ("packets", "bytes"):
            self._put(name, Kind.SUM, _offset(f"{name}_forward"), other=_offset(f"{name}_reverse"))
        elif name in ("first_s", "last_s"):
            self._put(name, Kind.SECONDS, _offset(f"{name[:-2]}_ns"))
        elif name == "duration_s":
            self._put(name, Kind.SPAN, _offset("first_ns"), other=_offset("last_ns"))
        elif name == "class":
            self._put_names(name, Kind.NAME, "app_class", list(CLASS_NAMES))
        elif name in _ENUMS:
            self._put_names(name, Kind.NAME, name, [member.name.lower() for member in _ENUMS[name]])
        elif name in _FLAGS:
            kind = Kind.BITS_4 if _FIELDS[name].item_bytes > 1 else Kind.BITS_1
            self._put_names(name, kind, name, member_names(_FLAGS[name]))
        else:
            self._add_field(_FIELDS[name])

    def _add_field(self, field: Field) -> None:
        for label, index in _elements(field):
            self._put(
                label,
                Kind[field.kind.upper()],
                field.offset + index * field.item_bytes,
                decimals=_DECIMALS.get(field.name, _USUAL_DECIMALS),
            )


def _elements(field: Field) -> Iterator[tuple[str, int]]:
    """Column names of a field, with the index of each within it."""
    if not field.n:
        yield field.name, 0
    elif field.name == "probability":
        yield from ((f"probability_{text}", code) for code, text in enumerate(CLASS_NAMES) if code)
    else:
        yield from ((f"{field.name}_{i}", i) for i in range(field.n))
