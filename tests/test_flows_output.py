"""Rows of flows: every value of CSV, JSON and Parquet against a slow writer in plain Python."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.flows import address_texts
from qoe.report.columns import CORE_COLUMNS
from qoe.report.flows import decimal_seconds, evidence_text, tunnel_text
from qoe.report.rows import FORMATS, FlowWriter, Format
from qoe.schema import CLASS_NAMES, FLOW_DTYPE, AppClass, EndReason, FlowFlag, RecordArray, Signal, State

BLOCK_ROWS = 8192  # what the writers hand on at once, of pages and of lines
SUMS = {"packets": ("packets_forward", "packets_reverse"), "bytes": ("bytes_forward", "bytes_reverse")}
FLAGS = {"flags": FlowFlag, "signals": Signal}
NAMED = {"state": State, "end_reason": EndReason}


def some_flows(n: int, seed: int = 1) -> RecordArray:
    """Records with random values in every field, within what the kernel writes."""
    rng = np.random.default_rng(seed)
    flows = np.zeros(n, FLOW_DTYPE)
    for name in FLOW_DTYPE.names or ():
        field = flows[name]
        if field.dtype.kind == "f":
            flows[name] = rng.exponential(10.0 ** rng.integers(-3, 6), field.shape)
        else:
            top = min(np.iinfo(field.dtype).max, 2**62)
            flows[name] = rng.integers(0, top, field.shape) >> rng.integers(0, 8)
    flows["ip_version"] = rng.choice([4, 6], n)
    flows["src"][flows["ip_version"] == 4, 4:] = flows["dst"][flows["ip_version"] == 4, 4:] = 0
    flows["app_class"] = rng.integers(0, len(AppClass), n)
    flows["state"] = rng.integers(0, len(State), n)
    flows["end_reason"] = rng.integers(0, len(EndReason), n)
    flows["first_ns"] = rng.integers(0, 2**62, n)
    flows["last_ns"] = flows["first_ns"] + rng.integers(0, 10**12, n).astype(np.uint64)
    return flows


def written(flows: RecordArray, kind: Format, pieces: int = 1, columns: Any = "all") -> bytes:
    """What the writer writes."""
    sink = io.BytesIO()
    with FlowWriter(sink, kind, address_texts, columns) as writer:
        for piece in np.array_split(flows, pieces):
            writer.write(piece)
    assert writer.n_rows == len(flows)
    return sink.getvalue()


def address(flow: Any, end: str) -> str:
    """Text of an address by the standard library."""
    return str(ipaddress.ip_address(bytes(flow[end][: 4 if flow["ip_version"] == 4 else 16])))


def expected(flow: Any) -> dict[str, Any]:
    """One row, value by value."""
    first, last = int(flow["first_ns"]), int(flow["last_ns"])
    row: dict[str, Any] = {
        "src": address(flow, "src"),
        "dst": address(flow, "dst"),
        "first_s": Decimal(first).scaleb(-9),
        "last_s": Decimal(last).scaleb(-9),
        "duration_s": Decimal(last - first).scaleb(-9),
        "class": CLASS_NAMES[flow["app_class"]],
        "tunnel": tunnel_text(int(flow["tunnel"])),
        "evidence": evidence_text(int(flow["evidence"])),
    }
    for name, (a, b) in SUMS.items():
        row[name] = (int(flow[a]) + int(flow[b])) % 2**64
    for name, kind in NAMED.items():
        row[name] = kind(flow[name]).name.lower()
    for name in FLOW_DTYPE.names or ():
        value = flow[name]
        if name in {*row, *FLAGS, "first_ns", "last_ns", "app_class", "reserved"}:
            continue
        if name == "probability":
            row |= {f"probability_{c}": float(p) for c, p in zip(CLASS_NAMES[1:], value[1:], strict=True)}
        elif value.shape:
            row |= {f"{name}_{i}": item.item() for i, item in enumerate(value)}
        else:
            row[name] = value.item()
    spelt = {"RTP": "RTP", "RTCP": "RTCP", "QUIC": "QUIC"}
    row["signals"] = "+".join(spelt.get(s.name or "", s.name or "") for s in Signal if flow["signals"] & s)
    row["flags"] = "+".join((f.name or "").lower() for f in FlowFlag if flow["flags"] & f)
    return row


def same_float(got: Any, value: float, places: bool) -> bool:
    """Whether a float was kept: to the digits of float32, or (CSV) to three places after the point."""
    if not places:
        return bool(np.float32(got) == np.float32(value))
    if not np.isfinite(value):
        return bool(got == "")
    return math.isclose(float(got), value, rel_tol=1e-7, abs_tol=0.00050001)


def assert_same(row: dict[str, Any], flow: Any, places: bool = False) -> None:
    """A row read back has the values of its flow."""
    want = expected(flow)
    assert row.keys() == want.keys()
    for name, value in want.items():
        got = row[name]
        if isinstance(value, float):
            assert same_float(got, value, places), name
        elif isinstance(value, str):
            assert got == value, name
        else:
            assert Decimal(str(got)) == value, name


@pytest.mark.parametrize("seed", range(3))
def test_csv_holds_every_value(seed: int) -> None:
    """CSV read by the standard library has, name by name, what plain Python writes."""
    flows = some_flows(40, seed)
    rows = list(csv.DictReader(io.StringIO(written(flows, "csv").decode())))
    for row, flow in zip(rows, flows, strict=True):
        assert_same(row, flow, places=True)
        assert all(len(row[name].partition(".")[2]) == 9 for name in ("first_s", "last_s", "duration_s"))


@pytest.mark.parametrize("seed", range(3))
def test_json_holds_every_value(seed: int) -> None:
    """JSON is one array of objects with the same values, times exact to the nanosecond."""
    flows = some_flows(40, seed)
    text = written(flows, "json", pieces=3)
    for row, flow in zip(json.loads(text, parse_float=Decimal), flows, strict=True):
        assert_same(row, flow)
    assert len(text.splitlines()) == 42  # a flow a line between the brackets


@pytest.mark.parametrize("seed", range(3))
def test_parquet_holds_every_value(seed: int) -> None:
    """Parquet has the same values, times as exact decimals."""
    flows = some_flows(40, seed)
    rows = pq.read_table(io.BytesIO(written(flows, "parquet", pieces=3))).to_pylist()
    for row, flow in zip(rows, flows, strict=True):
        assert_same(row, flow)


@pytest.mark.parametrize("kind", FORMATS)
def test_blocks_join_without_a_seam(kind: Format) -> None:
    """More rows than a block holds are written once each and in order."""
    flows = np.repeat(some_flows(1), BLOCK_ROWS + 3)
    flows["flow_id"] = np.arange(len(flows))
    data = written(flows, kind, pieces=2, columns="all")
    if kind == "csv":
        ids = [int(row["flow_id"]) for row in csv.DictReader(io.StringIO(data.decode()))]
    elif kind == "json":
        ids = [row["flow_id"] for row in json.loads(data)]
    else:
        ids = pq.read_table(io.BytesIO(data), columns=["flow_id"])["flow_id"].to_pylist()
    assert ids == list(range(len(flows)))


def test_no_flows_is_a_whole_document() -> None:
    """Without flows there is a header, an empty array, a table without rows."""
    none = some_flows(0)
    assert written(none, "csv", columns="core").decode() == ",".join(CORE_COLUMNS) + "\n"
    assert json.loads(written(none, "json")) == []
    assert pq.read_table(io.BytesIO(written(none, "parquet", columns="core"))).column_names == [*CORE_COLUMNS]


def test_core_columns_are_those_promised() -> None:
    """The names that scripts rely on, in their order; all columns begin with them."""
    promised = [
        *["src", "src_port", "dst", "dst_port", "protocol", "tunnel", "packets", "bytes"],
        *["packets_forward", "packets_reverse", "bytes_forward", "bytes_reverse"],
        *["first_s", "last_s", "duration_s", "class", "confidence", "decided_after_packets", "evidence"],
    ]
    header = written(some_flows(0), "csv").decode().strip().split(",")
    assert list(CORE_COLUMNS) == promised
    assert header[: len(promised)] == promised
    assert len(set(header)) == len(header)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_json_has_null_for_what_is_no_number(value: float) -> None:
    """NaN and infinity have no JSON literal: null stands for them."""
    flows = some_flows(1)
    flows["iat_mean_us_forward"] = value
    assert json.loads(written(flows, "json"))[0]["iat_mean_us_forward"] is None


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_decimal_seconds_are_exact(times: list[int]) -> None:
    """Any 64-bit count of nanoseconds is the same number with the point moved."""
    assert decimal_seconds(np.array(times, np.uint64)).to_pylist() == [Decimal(t).scaleb(-9) for t in times]


def test_bits_are_spelt_for_people() -> None:
    """Encapsulations keep their usual spelling; evidence is lower case; none is empty."""
    assert tunnel_text(1 | 1024) == "VLAN+GTP-U"
    assert evidence_text(1 | 2) == "model+rtp"
    assert tunnel_text(0) == evidence_text(0) == ""


def test_a_clock_that_ran_back_lasts_no_time() -> None:
    """A flow whose last packet is older than its first has duration 0, not 584 years."""
    flows = some_flows(1)
    flows["first_ns"], flows["last_ns"] = 5, 3
    assert json.loads(written(flows, "json"))[0]["duration_s"] == 0
