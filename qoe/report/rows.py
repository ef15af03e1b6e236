"""The writer of flow records: CSV, JSON or Parquet, one block at a time."""

from __future__ import annotations

from typing import IO, Final, Literal, Protocol, Self, TypeAlias

from qoe.report.columns import AddressTexts, Columns
from qoe.report.csv import CsvRows
from qoe.report.parquet import ParquetRows
from qoe.schema import RecordArray

Format: TypeAlias = Literal["csv", "json", "parquet"]

FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "parquet")
BLOCK_ROWS: Final = 8192  # a block of records stays in the cache while its columns are gathered


class _Rows(Protocol):
    """What writes flow records in one format."""

    def write(self, flows: RecordArray) -> None: ...

    def close(self) -> None: ...


def _open_rows(sink: IO[bytes], kind: Format, addresses: AddressTexts, columns: Columns) -> _Rows:
    if kind == "csv":
        return CsvRows(sink, columns)
    if kind == "parquet":
        return ParquetRows(sink, columns)
    from qoe.report.arrow import ArrowRows  # pyarrow takes a third of a second to load

    return ArrowRows(sink, kind, addresses, columns)


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
        self._rows = _open_rows(sink, kind, addresses, columns)

    def write(self, flows: RecordArray) -> None:
        """Write one row a flow.

        Parameters
        ----------
        flows : ndarray of FLOW_DTYPE, shape (n_flows,)
            What `Engine.export` gave.
        """
        for start in range(0, len(flows), BLOCK_ROWS):
            block = flows[start : start + BLOCK_ROWS]
            self._rows.write(block)
            self.n_rows += len(block)

    def close(self) -> None:
        """Write what ends the document; the sink stays open."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
