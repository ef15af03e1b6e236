"""The writer of flow records: CSV, JSON or Parquet, as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final, Literal, Protocol, Self, TypeAlias

from qoe.fields import FLOW_BYTES
from qoe.report.columns import AddressTexts, Columns

if TYPE_CHECKING:
    from qoe.schema import RecordArray

Format: TypeAlias = Literal["csv", "json", "parquet"]

FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "parquet")


class _Rows(Protocol):
    """What writes packed flow records in one format."""

    def write(self, flows: memoryview) -> None: ...

    def another(self) -> Self: ...

    def close(self) -> None: ...


def _open_rows(sink: IO[bytes], kind: Format, addresses: AddressTexts, columns: Columns) -> _Rows:
    if kind == "csv":
        from qoe.report.csv import CsvRows

        return CsvRows(sink, columns)
    if kind == "parquet":
        from qoe.report.parquet import ParquetRows

        return ParquetRows(sink, columns)
    from qoe.report.json import JsonRows  # pyarrow takes a third of a second to load

    return JsonRows(sink, addresses, columns)


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
        See `qoe.report.flows.flow_batch`.

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
        import numpy as np

        self.write_packed(np.ascontiguousarray(flows).view(np.uint8).data)

    def write_packed(self, flows: memoryview) -> None:
        """Write one row a flow.

        Parameters
        ----------
        flows : memoryview of bytes
            Packed records: what `Engine.export_packed` gave.
        """
        self._rows.write(flows)
        self.n_rows += len(flows) // FLOW_BYTES

    def hand(self) -> Callable[[memoryview], None]:
        """One more way in, for one more thread: as `write_packed`, but not counted in `n_rows`."""
        return self._rows.another().write

    def close(self) -> None:
        """Write what ends the document; the sink stays open."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # a file that could not be written in full gets no end that makes it look whole
        if kind is None or not issubclass(kind, OSError):
            self.close()
