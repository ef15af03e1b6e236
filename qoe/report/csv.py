"""Flow records as lines of CSV, formatted by the kernel straight from its packed records.

Listing flows is mostly writing text: this takes a fifth of the time of going through Arrow columns, and
spares the import of Arrow and NumPy. The columns are those of `qoe.report.flows.flow_batch`.
"""

from __future__ import annotations

from copy import copy
from typing import IO, Self

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
        self._layout = Layout(columns)
        self._lines = self._new_lines()
        self._sink = sink
        sink.write(",".join(self._layout.labels).encode() + b"\n")

    def _new_lines(self) -> CsvLines:
        return CsvLines(self._layout.record_bytes, self._layout.cells, self._layout.names)

    def write(self, flows: memoryview) -> None:
        """Write one line a flow; floats have fixed places (three, of confidence and probability four)."""
        self._lines.write(flows, self._sink.write)  # whole lines at a time

    def another(self) -> Self:
        """Another writer of the same lines, for another thread."""
        twin = copy(self)
        twin._lines = self._new_lines()
        return twin

    def close(self) -> None:
        """End the document: nothing is owed."""
