"""Packed flow records without NumPy: where fields lie, and records put in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.fields import FLOW_BYTES, FLOW_FIELDS
from qoe.report.columns import OTHER_FIELDS
from qoe.report.layout import Layout
from qoe.schema import FLOW_DTYPE
from qoe_native.engine import SIZES, ColumnPages, CsvLines, sort_records


def test_fields_lie_where_numpy_lays_them() -> None:
    """Offsets, kinds and sizes are those of the dtype, and the whole is the kernel's."""
    for field in FLOW_FIELDS:
        dtype, offset = FLOW_DTYPE.fields[field.name][:2]  # type: ignore[index]
        assert (field.offset, field.item_bytes) == (offset, dtype.base.itemsize)
        assert (field.kind, field.n) == (dtype.base.str[1:], dtype.shape[0] if dtype.shape else 0)
    assert FLOW_BYTES == FLOW_DTYPE.itemsize == SIZES["qoe_flow"]


def test_a_layout_has_a_cell_and_a_kind_a_column() -> None:
    """Core columns come first; an array has a column an element."""
    core, everything = Layout("core"), Layout("all")
    assert everything.labels[: len(core.labels)] == core.labels
    n_others = sum(max(f.n - (f.name == "probability"), 1) for f in FLOW_FIELDS if f.name in OTHER_FIELDS)
    assert len(everything.labels) == len(everything.kinds) == len(core.labels) + n_others
    assert len(everything.cells) == 16 * len(everything.labels)


@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.just(2**40), max_size=400),
    st.sampled_from([8, 16, 24, 424]),
    st.integers(0, 8),
)
def test_records_in_order(keys: list[int], record_bytes: int, key_offset: int) -> None:
    """Records come in order of their number, those with equal ones as they came, none changed."""
    key_offset = min(key_offset, record_bytes - 8)
    rng = np.random.default_rng(len(keys))
    records = rng.integers(0, 256, (len(keys), record_bytes), np.uint8)
    for record, key in zip(records, keys, strict=True):
        record[key_offset : key_offset + 8] = np.frombuffer(key.to_bytes(8, "little"), np.uint8)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    want = records[order]
    sort_records(records.reshape(-1).data, record_bytes, key_offset)
    assert np.array_equal(records, want)


@pytest.mark.parametrize(("size", "record_bytes", "offset"), [(15, 8, 0), (16, 8, 1), (16, 0, 0), (16, 4, 0)])
def test_records_that_are_not_whole_are_refused(size: int, record_bytes: int, offset: int) -> None:
    """Bytes left over, and a number that lies outside, are a ValueError."""
    with pytest.raises(ValueError, match="whole"):
        sort_records(memoryview(bytearray(size)), record_bytes, offset)


def test_cells_outside_the_record_are_refused() -> None:
    """No writer reads beyond a record, its names or its list of labels."""
    layout = Layout("core")
    labels = [label.encode() for label in layout.labels]
    for record_bytes, cells, names, with_labels in (
        (100, layout.cells, layout.names, labels),
        (layout.record_bytes, layout.cells[:-1], layout.names, labels),
        (layout.record_bytes, layout.cells, layout.names[:-1], labels),
        (layout.record_bytes, b"", layout.names, []),
        (0, layout.cells, layout.names, labels),
    ):
        with pytest.raises(ValueError, match=r"cell|whole"):
            ColumnPages(record_bytes, cells, names, with_labels)
        with pytest.raises(ValueError, match=r"cell|whole"):
            CsvLines(record_bytes, cells, names)
    with pytest.raises(ValueError, match="label"):
        ColumnPages(layout.record_bytes, layout.cells, layout.names, labels[1:])
    for writer in (
        CsvLines(layout.record_bytes, layout.cells, layout.names),
        ColumnPages(layout.record_bytes, layout.cells, layout.names, labels),
    ):
        with pytest.raises(ValueError, match="whole"):
            writer.write(memoryview(bytes(423)), print) if isinstance(writer, CsvLines) else writer.add(
                memoryview(bytes(423))
            )
