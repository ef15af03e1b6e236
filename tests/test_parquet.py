"""The Parquet writer against Arrow: every value, every encoding, the declared types."""

from __future__ import annotations

import io
import ipaddress
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_flows_output import some_flows, written

from qoe.flows import address_texts
from qoe.report.columns import Columns
from qoe.report.flows import flow_batch
from qoe.report.parquet import GROUP_ROWS
from qoe.report.rows import FlowWriter
from qoe.schema import FLOW_DTYPE, RecordArray

PAGE_ROWS = 8192
MOST_WORDS, MOST_ADDRESSES = 4096, 16384  # of a dictionary


def twin(flows: RecordArray, columns: Columns) -> pa.Table:
    """What Arrow makes of the same records, with text as text."""
    table = pa.Table.from_batches([flow_batch(flows, address_texts, columns)])
    plain = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in table.columns]
    return pa.table(dict(zip(table.column_names, plain, strict=True)))


def bits(column: pa.ChunkedArray) -> Any:
    """A column as something that compares by every bit, so that NaN equals itself."""
    if pa.types.is_floating(column.type):
        return np.asarray(column).view(np.uint32).tolist()
    return column.combine_chunks()


def assert_like_twin(flows: RecordArray, columns: Columns = "all", pieces: int = 1) -> pq.ParquetFile:
    """The file has the twin's columns, value by value; gives the file."""
    data = written(flows, "parquet", pieces, columns)
    got, want = pq.read_table(io.BytesIO(data)), twin(flows, columns)
    assert got.column_names == want.column_names
    for name in want.column_names:
        assert got[name].type == want[name].type
        assert bits(got[name]) == bits(want[name]), name
    return pq.ParquetFile(io.BytesIO(data))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 63, 65, 511, 512, 513, 700])
@pytest.mark.parametrize("columns", ["all", "core"])
def test_any_number_of_rows(n: int, columns: Columns) -> None:
    """Values are Arrow's, however many rows fill a block, a group of eight or a run."""
    assert assert_like_twin(some_flows(n, n), columns, pieces=2).metadata.num_rows == n


@pytest.mark.parametrize("n", [PAGE_ROWS + 1, GROUP_ROWS, GROUP_ROWS + PAGE_ROWS + 13])
def test_pages_and_row_groups_join(n: int) -> None:
    """Pages that end at different rows, and row groups with their own dictionaries, join without a seam."""
    flows = some_flows(n, 3)
    flows["size_hist_forward"] = flows["flow_id"][:, None] % np.arange(2, 8)
    file = assert_like_twin(flows, "core", pieces=7)
    assert file.metadata.num_row_groups == -(-n // GROUP_ROWS)
    everything = pq.read_table(
        io.BytesIO(written(flows, "parquet")), columns=["size_hist_forward_3", "flow_id"]
    )
    assert everything["size_hist_forward_3"].to_pylist() == flows["size_hist_forward"][:, 3].tolist()
    assert everything["flow_id"].to_pylist() == flows["flow_id"].tolist()


RUNS = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 300)), min_size=1, max_size=40)


@given(RUNS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_runs_of_any_length(runs: list[tuple[int, int]], few: bool) -> None:
    """Runs of numbers, long and short, of few values and of many, come back in every width."""
    values = np.repeat(np.array([v for v, _ in runs], np.uint64), [n for _, n in runs])
    flows = np.zeros(len(values), FLOW_DTYPE)
    flows["rtp_ssrc_forward"] = values % 5 if few else values
    flows["iat_max_us_forward"].view(np.uint32)[:] = values
    flows["first_gaps"][:, 0] = values
    flows["size_hist_forward"][:, 0] = values
    flows["first_sizes"][:, 0] = values.astype(np.int64) - 2**31
    flows["flow_id"] = values << np.uint64(32) | values
    assert_like_twin(flows)


@pytest.mark.parametrize(
    "step", [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15]
)
def test_differences_of_any_size(step: int) -> None:
    """Numbers that jump by anything, also past their ends, are packed without loss."""
    flows = np.zeros(3 * MOST_WORDS, FLOW_DTYPE)
    numbers = np.arange(len(flows), dtype=np.uint64) * np.uint64(step)
    for name in ("flow_id", "payload_bytes_forward"):
        flows[name] = numbers
    for name in ("rtt_min_us", "vni", "first_sizes"):
        flows[name].T[...] = numbers.astype(FLOW_DTYPE[name].base)
    assert_like_twin(flows)


@pytest.mark.parametrize("n_values", [1, 2, 3, 255, 256, 257, MOST_WORDS - 1, MOST_WORDS, MOST_WORDS + 1])
def test_dictionaries_at_their_limits(n_values: int) -> None:
    """A dictionary that fills up on its last value, and one that gives up, lose nothing."""
    flows = np.zeros(PAGE_ROWS + 5000, FLOW_DTYPE)
    some = np.random.default_rng(n_values).permutation(len(flows)).astype(np.uint32) % n_values
    flows["quic_version"] = some * np.uint32(2654435761)
    flows["iat_mean_us_forward"] = some / np.float32(7)
    flows["tunnel"] = some % 8192
    file = assert_like_twin(flows)
    chunk = file.metadata.row_group(0).column(file.schema.names.index("quic_version"))
    assert ("DELTA_BINARY_PACKED" in chunk.encodings) == (n_values > MOST_WORDS)


def test_the_dictionary_serves_what_came_before_it_was_full() -> None:
    """Pages with the dictionary and pages without stand in one chunk."""
    flows = np.zeros(4 * PAGE_ROWS, FLOW_DTYPE)
    flows["quic_version"][-2 * PAGE_ROWS :] = np.arange(2 * PAGE_ROWS)
    flows["rtp_jitter_us_forward"][-2 * PAGE_ROWS :] = np.arange(2 * PAGE_ROWS)
    flows["ip_version"] = 4
    flows["src"].view(np.uint32)[-2 * PAGE_ROWS - 9000 :, 0] = np.arange(2 * PAGE_ROWS + 9000)
    file = assert_like_twin(flows)
    for name in ("quic_version", "rtp_jitter_us_forward", "src"):
        chunk = file.metadata.row_group(0).column(file.schema.names.index(name))
        assert {"RLE_DICTIONARY", "PLAIN"} <= set(chunk.encodings)
        assert chunk.has_dictionary_page


def test_names_beyond_those_known() -> None:
    """A class or state that has no name is its number; a bit without one is left out."""
    flows = np.zeros(256, FLOW_DTYPE)
    for name in ("app_class", "state", "end_reason", "flags", "signals"):
        flows[name] = np.arange(256)
    flows["evidence"] = flows["tunnel"] = np.arange(256) * 2**20 + np.arange(256)
    assert_like_twin(flows)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0x20, 0xABC]), min_size=8, max_size=8))
@settings(max_examples=300, deadline=None)
def test_ipv6_addresses_are_spelt_as_by_the_standard_library(groups: list[int]) -> None:
    """The longest run of zeros is left out, the first of equals, and never a single one."""
    address = ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
    flows = np.zeros(1, FLOW_DTYPE)
    flows["ip_version"] = 6
    flows["src"] = np.frombuffer(address.packed, np.uint8)
    text = address_texts(flows, source=True)[0].decode()
    if groups[:5] == [0] * 5:  # an IPv4 address within: Python's releases differ
        assert ipaddress.IPv6Address(text) == address
    else:
        assert text == str(address)


def addresses(count: int, n: int) -> npt.NDArray[np.uint8]:
    """`n` addresses of 16 bytes, `count` of them distinct."""
    distinct = np.random.default_rng(count).integers(0, 256, (count, 16), np.uint8)
    return distinct[np.arange(n) * 7919 % count]


@pytest.mark.parametrize("count", [1, 9, 1000, MOST_ADDRESSES, MOST_ADDRESSES + 1, 40_000])
def test_addresses_that_come_again(count: int) -> None:
    """Addresses are coded while they repeat, also when the same bytes are IPv4 and IPv6."""
    flows = np.zeros(40_000, FLOW_DTYPE)
    flows["src"] = addresses(count, len(flows))
    flows["dst"][:, :4] = addresses(count, len(flows))[:, :4]
    flows["ip_version"] = np.where(np.arange(len(flows)) % 3, 4, 6)
    flows["src"][flows["ip_version"] == 4, 4:] = 0
    assert_like_twin(flows, "core")


def test_the_types_are_those_arrow_declares() -> None:
    """Names, physical and logical types, nullability: as pyarrow writes the same columns."""
    batch = flow_batch(some_flows(3), address_texts)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch]), sink)
    want = pq.ParquetFile(sink).schema
    assert pq.ParquetFile(io.BytesIO(written(some_flows(3), "parquet"))).schema.equals(want)


def test_threads_write_one_document() -> None:
    """Hands in several threads write each row once, in row groups of their own."""
    flows = some_flows(4 * 3 * PAGE_ROWS, 5)
    flows["flow_id"] = np.arange(len(flows))
    sink = io.BytesIO()
    with FlowWriter(sink, "parquet", address_texts, "core") as writer:

        def write(part: RecordArray) -> None:
            hand = writer.hand()
            for piece in np.array_split(part, 50):
                hand(piece.view(np.uint8).data)

        threads = [threading.Thread(target=write, args=(part,)) for part in np.array_split(flows, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    got = pq.read_table(sink)
    order = [("first_s", "ascending"), ("last_s", "ascending"), ("src", "ascending")]
    assert got.sort_by(order).equals(twin(flows, "core").sort_by(order))


def test_a_file_is_whole_though_nothing_was_added() -> None:
    """Each hand may stay empty."""
    sink = io.BytesIO()
    with FlowWriter(sink, "parquet", address_texts, "core") as writer:
        writer.hand()
    assert pc.count(pq.read_table(sink)["src"]).as_py() == 0
