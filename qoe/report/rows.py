"""Writers of flow records: CSV, JSON and Parquet, one block at a time."""

from __future__ import annotations

from typing import IO, Final, Literal, Protocol, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qoe.report.flows import AddressTexts, Columns, flow_batch, seconds_text
from qoe.schema import FLOW_DTYPE, RecordArray

Format: TypeAlias = Literal["csv", "json", "parquet"]

FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "parquet")
BLOCK_ROWS: Final = 8192  # a block of records stays in the cache while its columns are gathered
ROW_GROUP_ROWS: Final = 131_072


class _Rows(Protocol):
    """What writes record batches in one format."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def _plain(column: pa.Array) -> pa.Array:
    """Spell a column as the text formats do: no dictionary, decimals with all their places."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return seconds_text(column) if pa.types.is_decimal(column.type) else column


class _CsvRows:
    """CSV with a header line; no value of a flow needs quotes."""

    def __init__(self, sink: IO[bytes], schema: pa.Schema) -> None:
        sink.write(",".join(schema.names).encode() + b"\n")
        self._sink = sink
        self._writer: pa.csv.CSVWriter | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        from pyarrow.csv import CSVWriter, WriteOptions

        plain = pa.RecordBatch.from_arrays([_plain(c) for c in batch.columns], names=batch.schema.names)
        if self._writer is None:
            options = WriteOptions(include_header=False, batch_size=BLOCK_ROWS, quoting_style="none")
            self._writer = CSVWriter(pa.PythonFile(self._sink, "w"), plain.schema, write_options=options)
        self._writer.write_batch(plain)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _json_values(column: pa.Array) -> pa.Array:
    """Spell a column as JSON literals; what is not a finite number is null."""
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), pc.cast(column, pa.string()), "null")
    if pa.types.is_decimal(column.type):
        return seconds_text(column)
    if pa.types.is_integer(column.type):
        return pc.cast(column, pa.string())
    text = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return pc.binary_join_element_wise('"', text, '"', "")


class _JsonRows:
    """One JSON array, each flow an object on a line of its own, so that it streams both ways."""

    def __init__(self, sink: IO[bytes], schema: pa.Schema) -> None:
        self._sink = sink
        self._keys = [f'{"{" if i == 0 else ","}"{name}":' for i, name in enumerate(schema.names)]
        self._lead = b"[\n"

    def write(self, batch: pa.RecordBatch) -> None:
        parts = [
            part
            for key, column in zip(self._keys, batch.columns, strict=True)
            for part in (key, _json_values(column))
        ]
        rows = pc.binary_join_element_wise(*parts, "}", "")
        text = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), ",\n")
        self._sink.write(self._lead + text[0].as_py().encode())
        self._lead = b",\n"

    def close(self) -> None:
        self._sink.write(b"[]\n" if self._lead == b"[\n" else b"\n]\n")


class _ParquetRows:
    """Parquet, zstd compressed, in row groups of `ROW_GROUP_ROWS`."""

    def __init__(self, sink: IO[bytes], schema: pa.Schema) -> None:
        from pyarrow.parquet import ParquetWriter

        self._writer = ParquetWriter(sink, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        if sum(map(len, self._waiting)) >= ROW_GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._waiting.clear()

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()


_WRITERS: Final[dict[Format, type[_CsvRows] | type[_JsonRows] | type[_ParquetRows]]] = {
    "csv": _CsvRows,
    "json": _JsonRows,
    "parquet": _ParquetRows,
}


class FlowWriter:
    """Writes flow records to a binary stream as they come.

    Memory is bounded by one block (CSV, JSON) or one row group (Parquet). Close it, or use it in a
    ``with`` statement: what was written before an interruption is then a whole document.

    Parameters
    ----------
    sink : binary file object
        Where the bytes go; it is left open.
    kind : {"csv", "json", "parquet"}
        The format. JSON is one array with a flow a line.
    addresses : callable
        Gives the text of the addresses: `qoe.flows.address_texts`.
    columns : {"all", "core"}
        See `qoe.report.flow_batch`.

    Attributes
    ----------
    n_rows : int
        Rows written so far.
    """

    def __init__(
        self, sink: IO[bytes], kind: Format, addresses: AddressTexts, columns: Columns = "all"
    ) -> None:
        self.n_rows = 0
        self._addresses, self._columns = addresses, columns
        self._rows: _Rows = _WRITERS[kind](sink, self._batch(np.empty(0, FLOW_DTYPE)).schema)

    def _batch(self, flows: RecordArray) -> pa.RecordBatch:
        return flow_batch(flows, self._addresses, self._columns)

    def write(self, flows: RecordArray) -> None:
        """Write one row a flow.

        Parameters
        ----------
        flows : ndarray of FLOW_DTYPE, shape (n_flows,)
            What `Engine.export` gave.
        """
        for start in range(0, len(flows), BLOCK_ROWS):
            block = flows[start : start + BLOCK_ROWS]
            self._rows.write(self._batch(block))
            self.n_rows += len(block)

    def close(self) -> None:
        """Write what ends the document; the sink stays open."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
