"""Flow records as JSON and Parquet, by way of Arrow columns."""

from __future__ import annotations

from typing import IO, Final, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qoe.report.columns import AddressTexts, Columns
from qoe.report.flows import flow_batch, seconds_text
from qoe.schema import FLOW_DTYPE, RecordArray

ROW_GROUP_ROWS: Final = 131_072


class _Batches(Protocol):
    """What writes Arrow record batches in one format."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


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


class ArrowRows:
    """Flow records as Arrow batches for a writer of these."""

    def __init__(
        self, sink: IO[bytes], kind: Literal["json", "parquet"], addresses: AddressTexts, columns: Columns
    ) -> None:
        self._addresses, self._columns = addresses, columns
        writer = _JsonRows if kind == "json" else _ParquetRows
        self._batches: _Batches = writer(sink, self._batch(np.empty(0, FLOW_DTYPE)).schema)

    def _batch(self, flows: RecordArray) -> pa.RecordBatch:
        return flow_batch(flows, self._addresses, self._columns)

    def write(self, flows: RecordArray) -> None:
        """Write one row a flow."""
        self._batches.write(self._batch(flows))

    def close(self) -> None:
        """Write what ends the document."""
        self._batches.close()
