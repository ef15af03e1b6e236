"""Flow records as JSON, by way of Arrow columns."""

from __future__ import annotations

from threading import Lock
from typing import IO, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qoe.report.columns import AddressTexts, Columns
from qoe.report.flows import flow_batch, seconds_text
from qoe.schema import FLOW_DTYPE, RecordArray

BLOCK_ROWS: Final = 8192  # a block of records stays in the cache while its columns are gathered


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


class _JsonLines:
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


class JsonRows:
    """JSON: one array, each flow an object on a line of its own.

    Parameters
    ----------
    sink : binary file object
        Where the bytes go; it is left open.
    addresses : callable
        Gives the text of the addresses: `qoe.flows.address_texts`.
    columns : {"all", "core"}
        See `qoe.report.flows.flow_batch`.
    """

    def __init__(self, sink: IO[bytes], addresses: AddressTexts, columns: Columns) -> None:
        self._addresses, self._columns = addresses, columns
        self._lock = Lock()
        self._rows = _JsonLines(sink, self._batch(np.empty(0, FLOW_DTYPE)).schema)

    def _batch(self, flows: RecordArray) -> pa.RecordBatch:
        return flow_batch(flows, self._addresses, self._columns)

    def write(self, flows: memoryview) -> None:
        """Write one row a flow."""
        records = np.frombuffer(flows, FLOW_DTYPE)
        for start in range(0, len(records), BLOCK_ROWS):
            with self._lock:
                self._rows.write(self._batch(records[start : start + BLOCK_ROWS]))

    def another(self) -> Self:
        """Another writer of the same array, for another thread: this one, one block at a time."""
        return self

    def close(self) -> None:
        """Write what ends the document."""
        self._rows.close()
