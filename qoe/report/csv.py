"""Flow records as lines of CSV, formatted by the kernel straight from its packed records.

Listing flows is mostly writing text: this takes a fifth of the time of going through Arrow columns, and
spares the import of Arrow. The columns are those of `qoe.report.flows.flow_batch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import IO, Final

import numpy as np

from qoe.report.columns import CORE_COLUMNS, OTHER_FIELDS, Columns, member_names
from qoe.schema import (
    CLASS_NAMES,
    FLOW_DTYPE,
    EndReason,
    Evidence,
    FlowFlag,
    RecordArray,
    Signal,
    State,
    Tunnel,
)
from qoe_native.engine import format_csv

_CELL: Final = np.dtype(
    [
        ("offset", "u4"),
        ("other", "u4"),
        ("table", "u2"),
        ("n_names", "u2"),
        ("kind", "u1"),
        ("decimals", "u1"),
        ("reserved", "u2"),
    ]
)
"""Twin of ``struct Cell`` in qoe_native/text.pxi."""

_KIND_OF_TYPE: Final = {"u1": 0, "u2": 1, "u4": 2, "u8": 3, "i2": 4, "f4": 5}
_ADDRESS, _SECONDS, _SPAN, _SUM, _NAME, _BITS_1, _BITS_4 = range(6, 13)
_DECIMALS: Final = {"confidence": 4, "probability": 4, "chunk_gap_mean_s": 6}
_USUAL_DECIMALS: Final = 3
_ENUMS: Final[dict[str, type[IntEnum]]] = {"state": State, "end_reason": EndReason}
_FLAGS: Final[dict[str, type[IntFlag]]] = {
    "tunnel": Tunnel,
    "evidence": Evidence,
    "flags": FlowFlag,
    "signals": Signal,
}


def _offset(name: str) -> int:
    return int(FLOW_DTYPE.fields[name][1])  # type: ignore[index]


class _Layout:
    """The cells of a line: what is read of a record and how it is spelt."""

    def __init__(self, columns: Columns) -> None:
        self.header: list[str] = []
        self.names: list[bytes] = []
        self._cells: list[tuple[int, ...]] = []
        for name in (*CORE_COLUMNS, *(OTHER_FIELDS if columns == "all" else ())):
            self._add(name)

    @property
    def cells(self) -> RecordArray:
        return np.array(self._cells, _CELL)

    def _put(self, name: str, kind: int, offset: int, *, other: int = 0, decimals: int = 0) -> None:
        self.header.append(name)
        self._cells.append((offset, other, 0, 0, kind, decimals, 0))

    def _put_names(self, name: str, kind: int, field: str, texts: list[str]) -> None:
        self.header.append(name)
        self._cells.append((_offset(field), 0, len(self.names), len(texts), kind, 0, 0))
        self.names += [text.encode() for text in texts]

    def _add(self, name: str) -> None:
        if name in ("src", "dst"):
            self._put(name, _ADDRESS, _offset(name), other=_offset("ip_version"))
        elif name in ("packets", "bytes"):
            self._put(name, _SUM, _offset(f"{name}_forward"), other=_offset(f"{name}_reverse"))
        elif name in ("first_s", "last_s"):
            self._put(name, _SECONDS, _offset(f"{name[:-2]}_ns"))
        elif name == "duration_s":
            self._put(name, _SPAN, _offset("first_ns"), other=_offset("last_ns"))
        elif name == "class":
            self._put_names(name, _NAME, "app_class", list(CLASS_NAMES))
        elif name in _ENUMS:
            self._put_names(name, _NAME, name, [member.name.lower() for member in _ENUMS[name]])
        elif name in _FLAGS:
            kind = _BITS_4 if FLOW_DTYPE[name].itemsize > 1 else _BITS_1
            self._put_names(name, kind, name, member_names(_FLAGS[name]))
        else:
            self._add_field(name)

    def _add_field(self, name: str) -> None:
        base, shape = FLOW_DTYPE[name].base, FLOW_DTYPE[name].shape
        for label, index in _elements(name, shape):
            self._put(
                label,
                _KIND_OF_TYPE[base.str[1:]],
                _offset(name) + index * base.itemsize,
                decimals=_DECIMALS.get(name, _USUAL_DECIMALS),
            )


def _elements(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Column names of a field, with the index of each within it."""
    if not shape:
        yield name, 0
    elif name == "probability":
        yield from ((f"probability_{text}", code) for code, text in enumerate(CLASS_NAMES) if code)
    else:
        yield from ((f"{name}_{i}", i) for i in range(shape[0]))


class CsvRows:
    """CSV with a header line; no value of a flow needs quotes.

    Parameters
    ----------
    sink : binary file object
        Where the bytes go; it is left open.
    columns : {"all", "core"}
        See `qoe.report.flows.flow_batch`.
    """

    def __init__(self, sink: IO[bytes], columns: Columns) -> None:
        layout = _Layout(columns)
        self._sink, self._names, self._cells = sink, layout.names, layout.cells.view(np.uint8)
        sink.write(",".join(layout.header).encode() + b"\n")

    def write(self, flows: RecordArray) -> None:
        """Write one line a flow; floats have fixed places (three, of confidence and probability four)."""
        packed = np.ascontiguousarray(flows).view(np.uint8)
        self._sink.write(format_csv(packed, FLOW_DTYPE.itemsize, self._cells, self._names))

    def close(self) -> None:
        """End the document: nothing is owed."""
