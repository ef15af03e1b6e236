"""Flow records as Parquet, encoded by the kernel straight from its packed records.

Going through Arrow took 2 µs a flow, most of it for dictionaries and compression of 133 columns, and its
import as long as 300,000 flows take here. Columns of few values are coded by a dictionary, whose runs cost
nothing, other whole numbers by packed differences; what is left is plain, and nothing is compressed. What
this module adds is the file around the columns, in Thrift's compact protocol
(https://github.com/apache/parquet-format, ``parquet.thrift``).
"""

from __future__ import annotations

from copy import copy
from threading import Lock
from typing import IO, Final, NamedTuple, Self

from qoe.report.columns import Columns
from qoe.report.layout import Kind, Layout
from qoe_native.engine import ColumnPages

GROUP_ROWS: Final = 65_536
_MAGIC: Final = b"PAR1"
_WRITER: Final = b"qoe version 1.0.0"  # of this writer, not of the package
_VERSION: Final = 2
_OPTIONAL: Final = 1
_DECIMAL_BYTES, _PRECISION, _PLACES = 9, 20, 9
_BOOL, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 5, 6, 8, 9, 12


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _integer(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _text(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _items(kind: int, items: list[bytes]) -> bytes:
    n = len(items)
    head = bytes([n << 4 | kind]) if n < 15 else bytes([0xF0 | kind]) + _varint(n)
    return head + b"".join(items)


def _struct(*fields: tuple[int, int, bytes]) -> bytes:
    """A struct of Thrift: number, type and value of each of its fields, in order."""
    out, before = bytearray(), 0
    for number, kind, value in fields:
        out += bytes([number - before << 4 | kind]) + value
        before = number
    return bytes(out) + b"\0"


class _Type(NamedTuple):
    """How a column is declared: physical type, converted type, logical type."""

    physical: int
    converted: int | None
    logical: bytes


def _whole(bits: int, *, signed: bool = False) -> _Type:
    """A whole number: its converted type counts up from UINT_8 and INT_8."""
    size = bits.bit_length() - 4
    sign = (2, 1 if signed else 2, b"")
    integer = _struct((1, 3, bytes([bits])), sign)
    return _Type(2 if bits == 64 else 1, (15 if signed else 11) + size, _struct((10, _STRUCT, integer)))


_STRING: Final = _Type(6, 0, _struct((1, _STRUCT, b"\0")))
_DECIMAL: Final = _Type(
    7, 5, _struct((5, _STRUCT, _struct((1, _I32, _integer(_PLACES)), (2, _I32, _integer(_PRECISION)))))
)
_TYPES: Final = {
    Kind.U1: _whole(8),
    Kind.U2: _whole(16),
    Kind.U4: _whole(32),
    Kind.U8: _whole(64),
    Kind.I2: _whole(16, signed=True),
    Kind.F4: _Type(4, None, b""),
    Kind.ADDRESS: _STRING,
    Kind.SECONDS: _DECIMAL,
    Kind.SPAN: _DECIMAL,
    Kind.SUM: _whole(64),
    Kind.NAME: _STRING,
    Kind.BITS_1: _STRING,
    Kind.BITS_4: _STRING,
}


def _element(label: str, kind: Kind) -> bytes:
    """``SchemaElement`` of a column."""
    declared = _TYPES[kind]
    fields = [(1, _I32, _integer(declared.physical))]
    if declared is _DECIMAL:
        fields.append((2, _I32, _integer(_DECIMAL_BYTES)))
    fields += [(3, _I32, _integer(_OPTIONAL)), (4, _BINARY, _text(label.encode()))]
    if declared.converted is not None:
        fields.append((6, _I32, _integer(declared.converted)))
    if declared is _DECIMAL:
        fields += [(7, _I32, _integer(_PLACES)), (8, _I32, _integer(_PRECISION))]
    if declared.logical:
        fields.append((10, _STRUCT, declared.logical))
    return _struct(*fields)


def _schema(layout: Layout) -> list[bytes]:
    root = _struct(
        (3, _I32, _integer(0)), (4, _BINARY, _text(b"schema")), (5, _I32, _integer(len(layout.labels)))
    )
    return [root, *(_element(*column) for column in zip(layout.labels, layout.kinds, strict=True))]


class _File:
    """A Parquet file being written: row groups as they come, one at a time, and the footer.

    Parameters
    ----------
    sink : binary file object
        Where the bytes go.
    layout : Layout
        Its columns.
    """

    def __init__(self, sink: IO[bytes], layout: Layout) -> None:
        self._sink, self._layout = sink, layout
        self._lock = Lock()
        self._groups: list[bytes] = []
        self._n_rows = 0
        self._offset = len(_MAGIC)
        sink.write(_MAGIC)

    def write_group(self, pages: ColumnPages) -> None:
        """Write a row group of what `pages` holds."""
        columns = _items(_STRUCT, [b""] * len(self._layout.labels))
        with self._lock:
            n_rows = pages.n_rows
            n_bytes, chunks = pages.write(self._sink.write, self._offset)
            fields = (1, _LIST, columns + chunks), (2, _I64, _integer(n_bytes)), (3, _I64, _integer(n_rows))
            self._groups.append(_struct(*fields))
            self._offset += n_bytes
            self._n_rows += n_rows

    def write_footer(self) -> None:
        """Write what ends the file."""
        footer = _struct(
            (1, _I32, _integer(_VERSION)),
            (2, _LIST, _items(_STRUCT, _schema(self._layout))),
            (3, _I64, _integer(self._n_rows)),
            (4, _LIST, _items(_STRUCT, self._groups)),
            (6, _BINARY, _text(_WRITER)),
        )
        self._sink.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)


class ParquetRows:
    """Parquet in row groups of `GROUP_ROWS`, one of which is kept until it is full.

    Parameters
    ----------
    sink : binary file object
        Where the bytes go; it is left open.
    columns : {"all", "core"}
        See `qoe.report.flows.flow_batch`.
    """

    def __init__(self, sink: IO[bytes], columns: Columns) -> None:
        self._layout = Layout(columns)
        self._file = _File(sink, self._layout)
        self._unfinished: list[ColumnPages] = []
        self._pages = self._new_pages()

    def _new_pages(self) -> ColumnPages:
        layout = self._layout
        labels = [label.encode() for label in layout.labels]
        pages = ColumnPages(layout.record_bytes, layout.cells, layout.names, labels)
        self._unfinished.append(pages)
        return pages

    def write(self, flows: memoryview) -> None:
        """Write one row a flow."""
        while flows:
            room = (GROUP_ROWS - self._pages.n_rows) * self._layout.record_bytes
            self._pages.add(flows[:room])
            flows = flows[room:]
            if self._pages.n_rows == GROUP_ROWS:
                self._file.write_group(self._pages)

    def another(self) -> Self:
        """Another writer of the same file, for another thread: its row groups come between."""
        twin = copy(self)
        twin._pages = self._new_pages()
        return twin

    def close(self) -> None:
        """Write the last rows, also those of the other writers, and the footer."""
        for pages in self._unfinished:
            if pages.n_rows:
                self._file.write_group(pages)
        self._file.write_footer()
