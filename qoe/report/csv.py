"""Flow records as lines of CSV, formatted by the kernel straight from its packed records.

Listing flows is mostly writing text: this takes a fifth of the time of going through Arrow columns, and
spares the import of Arrow. The columns are those of `qoe.report.flows.flow_batch`.
"""

from __future__ import annotations

from typing import IO

from qoe.report.columns import Columns
from qoe.report.layout import Layout
from qoe_native.engine import CsvLines


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
        layout = Layout(columns)
        self._lines = CsvLines(layout.record_bytes, layout.cells, layout.names)
        self._sink = sink
        sink.write(",".join(layout.labels).encode() + b"\n")

    def write(self, flows: memoryview) -> None:
        """Write one line a flow; floats have fixed places (three, of confidence and probability four)."""
        self._lines.write(flows, self._sink.write)

    def close(self) -> None:
        """End the document: nothing is owed."""
