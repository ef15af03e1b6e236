"""The engine: flows are made, aged, evicted and handed out as qoe.h says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import RAW_IP, SECOND, burst, ipv4, rtp, tcp, udp

import qoe_native
from qoe import schema
from qoe.errors import EngineError, ModelError
from qoe.flows import Engine, addresses
from qoe.schema import AppClass, Burst, EndReason, FlowFlag, Signal, State
from qoe_native import engine as native

A, B = "10.0.0.1", "192.0.2.1"


def engine(**options: object) -> Engine:
    """An engine without a model, with a fixed seed and no timeouts unless asked."""
    settings_: dict[str, object] = {"idle_timeout_s": 0, "active_timeout_s": 0, "model": None, "seed": 7}
    return Engine(**{**settings_, **options})  # type: ignore[arg-type]


def header_fields(struct_name: str) -> list[tuple[str, str, str]]:
    """(type, name, array length) of every field of a struct of qoe.h, read as text."""
    text = (Path(qoe_native.get_include()) / "qoe.h").read_text()
    body = re.search(rf"struct {struct_name} \{{(.*?)\n\}};", text, re.S)
    assert body is not None
    lines = re.sub(r"/\*.*?\*/", "", body.group(1), flags=re.S)
    fields = []
    for kind, names in re.findall(r"(?:const )?(\w+)\s+([^;]+);", lines):
        for name in names.split(","):
            match = re.fullmatch(r"\*?(\w+)(?:\[(\w+)\])?", name.strip())
            assert match is not None
            fields.append((kind, match.group(1), match.group(2) or ""))
    return fields


@pytest.mark.parametrize(
    ("struct_name", "dtype"),
    [
        ("qoe_flow", schema.FLOW_DTYPE),
        ("qoe_chunk", schema.CHUNK_DTYPE),
        ("qoe_decision", schema.DECISION_DTYPE),
        ("qoe_verdict", schema.VERDICT_DTYPE),
    ],
)
def test_dtypes_mirror_the_header(struct_name: str, dtype: np.dtype[np.void]) -> None:
    """Field by field, name, type and size, the NumPy dtypes are the structs of qoe.h."""
    kinds = {
        "uint64_t": "u8",
        "uint32_t": "u4",
        "uint16_t": "u2",
        "uint8_t": "u1",
        "int16_t": "i2",
        "float": "f4",
    }
    constants = {
        "QOE_N_CLASSES": 7,
        "QOE_N_FIRST": 12,
        "QOE_N_SIZE_BINS": 6,
        "QOE_N_GAP_BINS": 8,
        "QOE_N_FEATURES": 64,
    }
    fields = header_fields(struct_name)
    assert dtype.names is not None
    assert [name for _, name, _ in fields] == list(dtype.names)
    for kind, name, length in fields:
        field = dtype.fields[name][0]  # type: ignore[index]
        assert field.base == np.dtype(kinds[kind])
        expected = () if not length else (constants.get(length) or int(length),)
        assert field.shape == expected
    assert native.SIZES[struct_name] == dtype.itemsize


@pytest.mark.parametrize(
    ("enum_name", "twin", "prefix"),
    [
        ("qoe_class", schema.AppClass, "QOE_"),
        ("qoe_state", schema.State, "QOE_"),
        ("qoe_end_reason", schema.EndReason, "QOE_"),
        ("qoe_evidence", schema.Evidence, "QOE_BY_"),
        ("qoe_signal", schema.Signal, "QOE_SAW_"),
        ("qoe_flow_flag", schema.FlowFlag, "QOE_"),
        ("qoe_option", schema.Option, "QOE_"),
    ],
)
def test_enums_mirror_the_header(enum_name: str, twin: type, prefix: str) -> None:
    """Names and values of the enums are those of qoe.h."""
    text = (Path(qoe_native.get_include()) / "qoe.h").read_text()
    body = re.search(rf"enum {enum_name} \{{(.*?)\}};", text, re.S)
    assert body is not None
    found = dict(re.findall(rf"{prefix}(\w+) = (\d+)", re.sub(r"/\*.*?\*/", "", body.group(1), flags=re.S)))
    assert {name: int(value) for name, value in found.items()} == {m.name: m.value for m in twin}  # type: ignore[attr-defined]


def test_biflow() -> None:
    """Both directions are one flow; forward is the direction of the first packet."""
    e = engine()
    verdicts = e.process(burst([(udp(A, 1, B, 2), 10), (udp(B, 2, A, 1), 20), (udp(A, 1, B, 2), 30)]))
    flows = e.snapshot()
    assert len(flows) == 1
    assert (flows["packets_forward"][0], flows["packets_reverse"][0]) == (2, 1)
    assert addresses(flows) == ([A], [B])
    assert verdicts["direction"].tolist() == [0, 1, 0]
    assert len(set(verdicts["flow_id"].tolist())) == 1


def test_one_way_and_mid_flow_are_marked() -> None:
    """A TCP flow without a SYN and without an answer says so."""
    e = engine()
    e.process(burst([(tcp(A, 1, B, 2, 0x10, 5, 6, 100), 10)]))
    assert e.snapshot()["flags"][0] == FlowFlag.MID_FLOW | FlowFlag.ONE_WAY


def test_idle_timeout_splits_a_flow() -> None:
    """A packet after the idle timeout begins a new flow; the old one is handed out."""
    e = engine(idle_timeout_s=10)
    e.process(burst([(udp(A, 1, B, 2), 1 * SECOND), (udp(A, 1, B, 2), 11 * SECOND)]))
    assert e.n_live == 1
    e.process(burst([(udp(A, 1, B, 2), 22 * SECOND)]))
    ended = e.export()
    assert ended["packets_forward"].tolist() == [2]
    assert ended["end_reason"].tolist() == [EndReason.IDLE_TIMEOUT]
    assert e.n_live == 1


def test_active_timeout_splits_a_flow() -> None:
    """A flow older than the active timeout is handed out though packets keep coming."""
    e = engine(active_timeout_s=5)
    e.process(burst([(udp(A, 1, B, 2), t * SECOND) for t in range(1, 9)]))
    ended = e.export()
    assert ended["end_reason"].tolist() == [EndReason.ACTIVE_TIMEOUT]
    assert ended["packets_forward"].tolist() == [6]


def test_advance_ends_idle_flows_without_packets() -> None:
    """Time belongs to the host: the clock alone ages flows."""
    e = engine(idle_timeout_s=10)
    e.process(burst([(udp(A, i, B, 2), SECOND) for i in range(1, 101)]))
    assert e.advance(11 * SECOND) == 0
    assert e.advance(12 * SECOND) == 100
    assert len(e.export()) == 100
    assert e.n_live == 0


def test_zero_timeouts_never_split() -> None:
    """With both timeouts 0 a flow lives through any silence."""
    e = engine()
    e.process(burst([(udp(A, 1, B, 2), SECOND), (udp(A, 1, B, 2), 10**6 * SECOND)]))
    assert e.n_live == 1
    assert e.advance(10**9 * SECOND) == 0


def test_clock_backwards_and_far_ahead() -> None:
    """Time running backwards or in 2106 neither loses packets nor wraps durations."""
    e = engine(idle_timeout_s=60)
    times = [5 * SECOND, 4 * SECOND, 0, 2**32 * SECOND - 1, 6 * SECOND]
    e.process(burst([(udp(A, 1, B, 2), t) for t in times]))
    e.flush()
    flows = e.export()
    assert int(flows["packets_forward"].sum()) == 5
    assert e.counters()["clock_back"] == 3
    assert np.isfinite(flows["iat_std_us_forward"]).all()
    assert (flows["last_ns"] >= flows["first_ns"]).all() or (flows["flags"] & FlowFlag.CLOCK_BACK).any()


def test_full_table_evicts_and_counts() -> None:
    """Every packet is accounted for when there are more flows than room, and evictions are counted."""
    e = engine(max_flows=100)
    e.process(burst([(udp(A, i, B, 2), i * 1000) for i in range(1, 1001)]))
    counters = e.counters()
    ended = e.export()
    assert counters["flows_created"] == 1000
    assert counters["flows_evicted"] == len(ended) == 900
    assert set(ended["end_reason"]) == {EndReason.EVICTED}
    assert len(e.snapshot()) == 100


def test_flood_spares_long_lived_flows() -> None:
    """One-packet flows push out one another, not a flow with a history."""
    e = engine(max_flows=1000)
    calls = [(udp(A, 9000 + i, B, 9000), t) for t in range(0, 200, 20) for i in range(50)]
    e.process(burst([(frame, t * 1_000_000) for frame, t in calls]))
    before = set(e.snapshot()["flow_id"].tolist())
    for start in range(0, 20_000, 500):
        t = SECOND + start * 10_000
        syns = [(tcp(f"172.16.{(start + i) >> 8}.{(start + i) & 255}", 5, B, 80, 2), t) for i in range(500)]
        keep = [(udp(A, 9000 + i, B, 9000), t) for i in range(50)]
        e.process(burst(syns + keep))
        e.export()
    after = set(e.snapshot()["flow_id"].tolist())
    assert before <= after


def test_exports_not_taken_are_counted() -> None:
    """A host that never takes ended flows loses the oldest, and is told how many."""
    e = engine(max_flows=64)
    e.process(burst([(udp(A, i, B, 2), i * 1000) for i in range(1, 20_001)]))
    counters = e.counters()
    assert counters["flows_created"] == 20_000
    assert counters["exports_lost"] > 0
    assert len(e.export()) + counters["exports_lost"] + e.n_live == 20_000


def test_flush_hands_out_everything_once() -> None:
    """flush() and export() hand out each live flow once."""
    e = engine()
    e.process(burst([(udp(A, i, B, 2), i) for i in range(1, 501)]))
    assert e.flush(200) == 200
    assert e.flush() == 300
    ids = e.export()["flow_id"].tolist()
    assert sorted(ids) == list(range(1, 501))
    assert e.n_live == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.booleans()), min_size=1, max_size=400))
def test_table_equals_a_dictionary(events: list[tuple[int, int, bool]]) -> None:
    """Under churn (idle timeouts and removals) the table tells flows apart as a dictionary does."""
    e = engine(idle_timeout_s=2, max_flows=64)
    expected: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    generation: Counter[int] = Counter()
    now = 0
    for host, step, reverse in events:
        now += step * SECOND // 2
        if host in last and now - last[host] > 2 * SECOND:
            generation[host] += 1
        last[host] = now
        expected[host, generation[host]] += 1
        client = f"10.0.1.{host}"
        frame = udp(B, 53, client, 99) if reverse else udp(client, 99, B, 53)
        e.process(burst([(frame, now)]))
    e.flush()
    flows = e.export()
    assert Counter((flows["packets_forward"] + flows["packets_reverse"]).tolist()) == Counter(
        expected.values()
    )


def test_later_fragments_belong_to_the_flow() -> None:
    """Pieces without ports are counted into the flow of their first piece, either direction."""
    e = engine()
    whole = udp(A, 1111, B, 2222, bytes(2000))[20:]
    pieces = [
        ipv4(A, B, 17, whole[:1480], identification=9, offset=0x2000),
        ipv4(A, B, 17, whole[1480:], identification=9, offset=185),
    ]
    e.process(burst([(udp(B, 2222, A, 1111), 1), (pieces[0], 2), (pieces[1], 3)]))
    flows = e.snapshot()
    assert len(flows) == 1
    assert (flows["packets_forward"][0], flows["packets_reverse"][0]) == (1, 2)
    assert e.counters()["fragments"] == 1
    assert e.counters()["fragments_unmatched"] == 0


def test_rtp_loss_jitter_and_reordering() -> None:
    """Losses, their runs, reordering and the frames of an RTP stream are counted as sent."""
    e = engine()
    order = [n for n in range(100) if n not in (10, 20, 21, 22, 50)]
    order[60], order[61] = order[61], order[60]
    frames = [(udp(A, 4000, B, 5000, rtp(65500 + n, n * 160)), (n + 1) * 20_000_000) for n in order]
    e.process(burst(frames))
    flow = e.snapshot()[0]
    assert flow["signals"] & Signal.RTP
    assert flow["rtp_lost_forward"] == 5
    assert flow["rtp_loss_runs_forward"] == 3, "the hole that reordering opened is closed again"
    assert flow["rtp_reordered_forward"] == 1
    assert flow["rtp_payload_type_forward"] == 0
    assert flow["rtp_clock_hz_forward"] == 8000


def test_chunks_follow_requests() -> None:
    """A large response between two requests is one chunk event with its times and bytes."""
    e = engine()
    frames = [(tcp(A, 1, B, 443, 2, 0), 0), (tcp(B, 443, A, 1, 0x12, 0, 1), 1_000_000)]
    seq = 1
    for start in (SECOND, 3 * SECOND, 5 * SECOND):
        frames.append((tcp(A, 1, B, 443, 0x18, seq, 1, 400), start))
        frames += [
            (tcp(B, 443, A, 1, 0x10, 1, seq, 1400), start + 50_000_000 + i * 1_000_000) for i in range(30)
        ]
        seq += 400
    e.process(burst(frames))
    chunks = e.chunks()
    assert chunks["bytes"].tolist() == [42_000, 42_000]
    assert chunks["request_ns"].tolist() == [SECOND, 3 * SECOND]
    assert chunks["last_ns"].tolist() == [SECOND + 79_000_000, 3 * SECOND + 79_000_000]
    e.flush()
    assert len(e.chunks()) == 1
    flow = e.export()[0]
    assert flow["n_chunks"] == 3
    assert flow["chunk_gap_mean_s"] == pytest.approx(2.0)


def test_verdict_states_and_rules_without_a_model() -> None:
    """Without a model, DNS is other by its port and framing, and a long verdict becomes final."""
    e = engine()
    query = b"\x12\x34\x01\x00\x00\x01" + bytes(20)
    frames = [(udp(A, 40000, B, 53, query), i * 1_000_000) for i in range(1, 41)]
    verdicts = e.process(burst(frames))
    assert verdicts["state"][0] == State.INSPECTING
    assert verdicts["app_class"][-1] == AppClass.OTHER
    assert verdicts["state"][-1] == State.FINAL
    assert e.snapshot()["decided_after_packets"][0] == 4


def test_malformed_packets_are_counted_never_raised() -> None:
    """Empty, cut and foreign frames are counted by reason."""
    e = engine()
    e.process(burst([(b"", 1), (b"\x45", 2), (b"\x10" + bytes(40), 3), (udp(A, 1, B, 2)[:15], 4)]))
    e.process(burst([(udp(A, 1, B, 2), 5)], link_type=9999))
    counters = e.counters()
    assert counters["packets"] == 5
    assert counters["zero_length"] == 1
    assert counters["packets_unknown_link_type"] == 1
    assert counters["packets_flow"] == 0
    assert sum(counters["packets_" + name] for name in native.STATUS_NAMES) == 5


def test_burst_outside_its_bytes_is_refused() -> None:
    """A packet that would lie outside the burst's bytes is an error, and nothing is taken."""
    e = engine()
    good = burst([(udp(A, 1, B, 2), 1)])
    packets = good.packets.copy()
    packets["captured_len"] += 1
    with pytest.raises(EngineError, match="packet 0"):
        e.process(Burst(good.data, packets))
    packets["captured_len"] = 4
    packets["offset"] = 2**63
    with pytest.raises(EngineError, match="packet 0"):
        e.process(Burst(good.data, packets))
    assert e.counters()["packets"] == 0


def test_weights_round_trip() -> None:
    """A bearer's weight is what was set last; others weigh 1; NaN is refused."""
    e = engine()
    bearers = np.arange(5000, dtype=np.uint32)
    e.set_weights(bearers, np.linspace(0.1, 4, 5000, dtype=np.float32))
    e.set_weights(bearers[:1], np.array([2.5], np.float32))
    assert e.get_weight(0) == 2.5
    assert e.get_weight(4999) == 4.0
    assert e.get_weight(77_777) == 1.0
    with pytest.raises(EngineError, match="out of range"):
        e.set_weights(bearers[:1], np.array([np.nan], np.float32))


@pytest.mark.parametrize(
    "options", [{"max_flows": 2**31}, {"idle_timeout_s": -1}, {"idle_timeout_s": float("nan")}]
)
def test_bad_parameters(options: dict[str, object]) -> None:
    """A parameter out of range is refused by name."""
    with pytest.raises(EngineError, match=next(iter(options))):
        engine(**options)


def test_damaged_model_is_refused(tmp_path: Path) -> None:
    """A file that is no model, or none at all, is an error that names it and the command that mends it."""
    path = tmp_path / "bad.qoemodel"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"bad\.qoemodel.*qoe train"):
        engine(model=path)
    with pytest.raises(ModelError, match=r"missing\.qoemodel"):
        engine(model=tmp_path / "missing.qoemodel")


def test_link_type_constant() -> None:
    """The tests' frames are raw IP."""
    assert native.decode_one(udp(A, 1, B, 2), RAW_IP)["src_port"] == 1
