"""Flow records as rows: CSV, JSON and Parquet, written as the flows end.

A batch of `FLOW_DTYPE` becomes one Arrow record batch (columns, no Python object a row), and a batch is
written before the next one comes: memory does not grow with the number of flows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qoe.report.columns import CORE_COLUMNS, OTHER_FIELDS, AddressTexts, Columns, member_names
from qoe.schema import (
    CLASS_NAMES,
    EndReason,
    Evidence,
    FlowFlag,
    RecordArray,
    Signal,
    State,
    Tunnel,
)


def _members(kind: type[IntFlag], value: int) -> str:
    """Bits as text: ``VLAN+GTP-U``; evidence and flags are lower case, protocols keep their own."""
    return "+".join(name for bit, name in enumerate(member_names(kind)) if value >> bit & 1)


def tunnel_text(value: int) -> str:
    """Spell the encapsulations of a flow: ``VLAN+GTP-U``; empty for none."""
    return _members(Tunnel, value)


def evidence_text(value: int) -> str:
    """Spell what a verdict rests on: ``model+rtp``; empty when undecided."""
    return _members(Evidence, value)


@cache
def _byte_texts(kind: type[IntEnum] | type[IntFlag]) -> pa.Array:
    """Text of every value that one byte of `kind` can hold."""
    if issubclass(kind, IntFlag):
        return pa.array([_members(kind, v) for v in range(256)])
    known = {int(m): m.name.lower() for m in kind}
    return pa.array([known.get(v, str(v)) for v in range(256)])


_CLASS_TEXTS: Final = pa.array([*CLASS_NAMES, *map(str, range(len(CLASS_NAMES), 256))])


def _by_byte(values: RecordArray, texts: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.ascontiguousarray(values)), texts)


def _by_value(values: RecordArray, text: Callable[[int], str]) -> pa.Array:
    """Text of a column with few distinct values."""
    distinct, index = np.unique(values, return_inverse=True)
    texts = pa.array([text(int(v)) for v in distinct], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), texts)


def decimal_seconds(ns: npt.NDArray[np.uint64]) -> pa.Array:
    """Nanoseconds as exact decimal seconds.

    Parameters
    ----------
    ns : ndarray of uint64, shape (n,)
        Nanoseconds since any epoch.

    Returns
    -------
    pyarrow.Decimal128Array
        Seconds with nine decimals: the same number, the point moved.
    """
    words = np.zeros((len(ns), 2), np.uint64)
    words[:, 0] = ns
    return pa.Array.from_buffers(pa.decimal128(20, 9), len(ns), [None, pa.py_buffer(words)])


def seconds_text(column: pa.Array) -> pa.Array:
    """Decimal seconds as text with nine decimals (Arrow's own cast writes ``1E-9``)."""
    ns = np.frombuffer(column.buffers()[1], np.uint64)[2 * column.offset :: 2][: len(column)]
    whole, rest = np.divmod(ns, np.uint64(1_000_000_000))
    decimals = pc.utf8_lpad(pc.cast(pa.array(rest), pa.string()), 9, "0")
    return pc.binary_join_element_wise(pc.cast(pa.array(whole), pa.string()), decimals, ".")


_TEXT_FIELDS: Final[dict[str, Callable[[RecordArray], pa.Array]]] = {
    "tunnel": lambda v: _by_value(v, tunnel_text),
    "evidence": lambda v: _by_value(v, evidence_text),
    "state": lambda v: _by_byte(v, _byte_texts(State)),
    "end_reason": lambda v: _by_byte(v, _byte_texts(EndReason)),
    "flags": lambda v: _by_byte(v, _byte_texts(FlowFlag)),
    "signals": lambda v: _by_byte(v, _byte_texts(Signal)),
}


def _field_columns(flows: RecordArray, name: str) -> Iterator[tuple[str, pa.Array]]:
    """Give the columns of one field of `FLOW_DTYPE`: an array field becomes ``name_0``, ``name_1``, …."""
    values = flows[name]
    if name in _TEXT_FIELDS:
        yield name, _TEXT_FIELDS[name](values)
    elif name == "probability":
        for code, class_name in enumerate(CLASS_NAMES[1:], 1):
            yield f"probability_{class_name}", pa.array(np.ascontiguousarray(values[:, code]))
    elif values.ndim == 1:
        yield name, pa.array(np.ascontiguousarray(values))
    else:
        columns = np.ascontiguousarray(values.T)
        for i in range(len(columns)):
            yield f"{name}_{i}", pa.array(columns[i])


def _core_columns(flows: RecordArray, addresses: AddressTexts) -> dict[str, pa.Array]:

    def texts(source: bool) -> pa.Array:
        text, offsets = addresses(flows, source=source)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        return pa.Array.from_buffers(pa.string(), len(flows), buffers)

    first, last = np.ascontiguousarray(flows["first_ns"]), np.ascontiguousarray(flows["last_ns"])
    made = {
        "src": texts(source=True),
        "dst": texts(source=False),
        "packets": pa.array(flows["packets_forward"] + flows["packets_reverse"]),
        "bytes": pa.array(flows["bytes_forward"] + flows["bytes_reverse"]),
        "first_s": decimal_seconds(first),
        "last_s": decimal_seconds(last),
        "duration_s": decimal_seconds(np.where(last > first, last - first, np.uint64(0))),
        "class": _by_byte(flows["app_class"], _CLASS_TEXTS),
    }
    return {
        name: made[name] if name in made else next(_field_columns(flows, name))[1] for name in CORE_COLUMNS
    }


def flow_batch(flows: RecordArray, addresses: AddressTexts, columns: Columns = "all") -> pa.RecordBatch:
    """Flow records as an Arrow record batch, one row a flow.

    Parameters
    ----------
    flows : ndarray of FLOW_DTYPE, shape (n_flows,)
        What `Engine.export` or `Engine.snapshot` gave.
    addresses : callable
        Gives the text of the addresses: `qoe.flows.address_texts`.
    columns : {"all", "core"}
        ``core``: `CORE_COLUMNS`; ``all``: these and every other field of `FLOW_DTYPE`.

    Returns
    -------
    pyarrow.RecordBatch
        Times are decimal seconds (exact to the nanosecond), sets of bits are text.
    """
    made = _core_columns(flows, addresses)
    if columns == "all":
        for name in OTHER_FIELDS:
            made.update(_field_columns(flows, name))
    return pa.RecordBatch.from_pydict(made)
