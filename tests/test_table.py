"""The flow table under churn, ageing and eviction, beside plain dictionaries; shards of one stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import RAW_IP, SECOND, burst, ipv4, rtp, tcp, udp

from qoe.errors import EngineError
from qoe.flows import Engine
from qoe.schema import FLOW_DTYPE, PACKET_DTYPE, VERDICT_DTYPE, AppClass, Burst, EndReason, RecordArray, State
from qoe.tools.synth import busy_cell
from qoe.train.generated import burst as of_batch
from qoe_native.engine import Engine as Kernel

A, B = "10.0.0.1", "192.0.2.1"
TICK_S = 2**24 / 1e9
Frames = list[tuple[bytes, int]]


def plain_engine(**options: object) -> Engine:
    """An engine without a model or timeouts, unless asked for."""
    settings: dict[str, object] = {"idle_timeout_s": 0, "active_timeout_s": 0, "model": None, "seed": 5}
    return Engine(**{**settings, **options})  # type: ignore[arg-type]


def all_flows(engine: Engine) -> RecordArray:
    """What has ended and what lives."""
    return np.concatenate([engine.export(), engine.snapshot()])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=1500),
    st.integers(1, 40),
    st.integers(1, 2**63),
)
def test_no_packet_is_lost_in_a_small_table(
    packets: list[tuple[int, bool]], max_flows: int, seed: int
) -> None:
    """Whatever is evicted, every packet is in the flow that its verdict named, and a flow has one key."""
    engine = plain_engine(max_flows=max_flows, seed=seed)
    frames = [
        (udp(B, 9, A, 1000 + key) if back else udp(A, 1000 + key, B, 9), at)
        for at, (key, back) in enumerate(packets)
    ]
    named: Counter[int] = Counter()
    key_of: dict[int, int] = {}
    flows = [np.empty(0, FLOW_DTYPE)]
    for at in range(0, len(frames), 100):
        for verdict, (key, _) in zip(
            engine.process(burst(frames[at : at + 100])), packets[at:], strict=False
        ):
            named[int(verdict["flow_id"])] += 1
            assert key_of.setdefault(int(verdict["flow_id"]), key) == key
        assert engine.n_live <= max_flows
        flows.append(engine.export())
    flows.append(engine.snapshot())
    found = np.concatenate(flows)
    counted = {int(f["flow_id"]): int(f["packets_forward"] + f["packets_reverse"]) for f in found}
    assert counted == dict(named)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 3)), min_size=1, max_size=120),
    st.floats(0.5, 4),
    st.sampled_from([0.0, 5.0]),
)
def test_ageing_beside_a_dictionary(
    events: list[tuple[int, float]], idle_timeout_s: float, active_timeout_s: float
) -> None:
    """After `advance` no flow lives that is over by more than two ticks, and none ended that is not."""
    engine = plain_engine(idle_timeout_s=idle_timeout_s, active_timeout_s=active_timeout_s)
    seen: dict[int, tuple[float, float]] = {}
    now = 1000.0
    for key, pause in events:
        now += pause
        first, last = seen.get(key, (now, now))
        over = now - last > idle_timeout_s or (active_timeout_s and now - first > active_timeout_s)
        seen[key] = (now, now) if over else (first, now)
        engine.process(burst([(udp(A, 1000 + key, B, 9), round(now * SECOND))]))
        engine.advance(round(now * SECOND))
        live = {int(f["src_port"]) - 1000 for f in engine.snapshot()}
        for k, (first_s, last_s) in seen.items():
            late = max(
                now - last_s - idle_timeout_s, now - first_s - active_timeout_s if active_timeout_s else -1
            )
            if late < -1e-6:
                assert k in live
            elif late > 2 * TICK_S:
                assert k not in live


def test_live_flows_are_exported_on_an_interval() -> None:
    """Each interval hands out what moved in it, with all that was counted so far; the end comes besides."""
    engine = plain_engine(export_interval_s=1)
    packets: list[int] = []
    for i in range(100):
        engine.process(burst([(udp(A, 1, B, 9), 1000 * SECOND + i * SECOND // 10)]))
        engine.advance(1000 * SECOND + i * SECOND // 10)
        for flow in engine.export():
            assert flow["end_reason"] == EndReason.INTERIM
            packets.append(int(flow["packets_forward"]))
    assert len(packets) == 9
    assert np.diff(packets) == pytest.approx(10, abs=1)
    engine.advance(1100 * SECOND)
    engine.export()
    engine.advance(1200 * SECOND)
    assert len(engine.export()) == 0, "a flow that rests is not exported again"
    engine.flush()
    (last,) = engine.export()
    assert (last["packets_forward"], last["end_reason"]) == (100, EndReason.FLUSHED)
    assert engine.counters()["flows_interim"] >= 9


def test_a_flow_that_ended_is_not_exported_as_live() -> None:
    """An interim export that is still waiting gives way to the flow's end."""
    engine = plain_engine(export_interval_s=1)
    engine.process(burst([(udp(A, 1, B, 9), SECOND)]))
    engine.process(burst([(udp(A, 1, B, 9), 2 * SECOND + SECOND // 2)]))
    engine.advance(2 * SECOND + SECOND // 2)
    engine.flush()
    assert list(engine.export()["end_reason"]) == [EndReason.FLUSHED]


def test_a_flood_evicts_no_media() -> None:
    """Calls in a full table outlive a flood of one-packet flows ten times its size."""
    engine = plain_engine(max_flows=400, model="default")
    calls = [
        (udp(f"10.1.0.{c + 1}", 7000, B, 7002, rtp(i, 160 * i, ssrc=c)), i * SECOND // 50)
        for i in range(100)
        for c in range(100)
    ]
    engine.process(burst(calls))
    voip = {int(f["flow_id"]) for f in engine.snapshot() if f["app_class"] == AppClass.VOIP}
    assert len(voip) == 100
    for start in range(0, 4000, 500):
        syns = [
            (tcp(f"11.0.{i >> 8}.{i & 255}", 1, B, 80, 2), 2 * SECOND + i) for i in range(start, start + 500)
        ]
        engine.process(burst(syns))
        engine.export()
    assert voip <= {int(f["flow_id"]) for f in engine.snapshot()}
    assert engine.counters()["flows_evicted"] == 4000 - 300


def test_what_says_nothing_is_not_decided() -> None:
    """A flow without a byte of payload ends final and unknown, without a decision."""
    engine = plain_engine(model="default")
    engine.process(burst([(tcp(A, 1, B, 80, 2), 1)]))
    engine.flush()
    (flow,) = engine.export()
    assert (flow["app_class"], flow["state"]) == (AppClass.UNKNOWN, State.FINAL)
    assert engine.counters()["decisions"] == 0


def pieces() -> Frames:
    """Datagrams in three pieces each, of many flows, both ways, first pieces first."""
    frames: Frames = []
    for i in range(200):
        whole = udp(A, 2000 + i, B, 53, bytes(80))[20:]
        ends = (A, B) if i % 2 else (B, A)
        for number, start in enumerate((0, 32, 64)):
            more = 0x2000 if number < 2 else 0
            piece = whole[start : start + 32]
            frames.append(
                (ipv4(*ends, 17, piece, identification=i, offset=more | start // 8), 100 * i + number)
            )
    return frames


def facts(flows: RecordArray) -> list[tuple[object, ...]]:
    """Records without their numbers, in an order that does not depend on them."""
    names = [n for n in FLOW_DTYPE.names or () if n != "flow_id"]
    return sorted(tuple(str(f[n]) for n in names) for f in flows)


@pytest.mark.parametrize("n_shards", [2, 3])
@pytest.mark.parametrize("traffic", ["busy cell", "pieces"])
def test_shards_make_up_the_whole(n_shards: int, traffic: str) -> None:
    """Engines that see the same packets and share them by flow give together what one engine gives."""
    bursts = [burst(pieces())] if traffic == "pieces" else [of_batch(busy_cell().batch)]
    whole = plain_engine()
    shards = [plain_engine(shard=k, n_shards=n_shards) for k in range(n_shards)]
    for one in bursts:
        for engine in (whole, *shards):
            engine.process(one)
    assert facts(np.concatenate([all_flows(e) for e in shards])) == facts(all_flows(whole))
    counters = [e.counters() for e in shards]
    for name in ("packets", "bytes", "packets_flow", "flows_created", "fragments_unmatched"):
        assert sum(c[name] for c in counters) == whole.counters()[name]
    assert min(c["flows_created"] for c in counters) > 0


def nested_pieces() -> Frames:
    """Pieces of datagrams that travel, some of them whole and some in pieces again, through IP in IP."""
    frames: Frames = []
    for i in range(300):
        ends, number = ("10.9.0.1", f"10.9.0.{i % 7}"), i % 11
        inside = ipv4(A, B, 17, bytes(24), identification=i % 20, offset=(0x2000, 3)[i % 2])
        begin = ipv4(*ends, 4, inside, identification=number, offset=(0, 0x2000)[i % 3 == 0])
        frames += [(begin, i), (ipv4(*ends, 4, bytes(16), identification=number, offset=6), i)]
    return frames


def like_pieces() -> Frames:
    """First pieces of many flows under one number, and later ones that could be any of theirs."""
    frames: Frames = []
    for i in range(300):
        begin = udp(A, 2000 + i % 40, B, 53)[20:]
        frames.append((ipv4(A, B, 17, begin, identification=7, offset=(0x2000, 0x2000, 5)[i % 3]), i))
    return frames


@pytest.mark.parametrize("n_places", [1, 16])
@pytest.mark.parametrize("traffic", [pieces, nested_pieces, like_pieces])
def test_a_piece_is_for_one_shard(n_places: int, traffic: Callable[[], Frames]) -> None:
    """However many datagrams in pieces want one place of the fragment table, each packet has one taker."""
    shards = [Kernel(max_flows=64, max_fragments=n_places, seed=5, shard=k, n_shards=3) for k in range(3)]
    frames = traffic()
    for at in range(0, len(frames), 8):
        some = burst(frames[at : at + 8])
        verdicts = np.zeros((len(shards), len(some.packets)), VERDICT_DTYPE)
        for shard, out in zip(shards, verdicts, strict=True):
            shard.process(some.data, some.packets.view(np.uint8), out.view(np.uint8))
        assert ((verdicts["flow_id"] > 0).sum(axis=0) == 1).all()


def test_shards_need_one_seed() -> None:
    """Shards with hashes of their own would each take another share: that is refused."""
    with pytest.raises(EngineError, match="same seed"):
        Engine(shard=0, n_shards=2, model=None)


def datagrams(n: int, rng: np.random.Generator) -> Burst:
    """Raw IPv4 with UDP, each from another address and port: nearly all are flows of their own."""
    frames = np.zeros((n, 34), np.uint8)
    frames[:, [0, 3, 9]] = 0x45, 34, 17
    frames[:, 12:16] = rng.integers(0, 256, (n, 4))
    frames[:, 16:26] = (192, 0, 2, 1, 0, 0, 0, 9, 0, 14)
    frames[:, 20:22] = rng.integers(0, 256, (n, 2))
    packets = np.zeros(n, PACKET_DTYPE)
    packets["offset"], packets["captured_len"], packets["wire_len"] = np.arange(n) * 34, 34, 34
    packets["link_type"] = RAW_IP
    return Burst(frames.reshape(-1), packets)


def test_a_tiny_table_is_searched_to_an_end() -> None:
    """Where flows have passed by every bucket, what is not there is still found missing."""
    rng, engine = np.random.default_rng(4), plain_engine(max_flows=11, seed=1)
    for _ in range(13):
        engine.process(datagrams(200_000, rng))
    assert engine.counters()["packets"] == 13 * 200_000


def test_deviations_of_a_very_long_flow() -> None:
    """After forty million packets of two sizes, evenly spaced, the deviations are what they were."""
    engine = plain_engine()
    some = burst([(udp(A, 1, B, 9, bytes(1400 * (i % 2))), 1000 * i) for i in range(100_000)])
    for turn in range(400):
        some.packets["ts_ns"] = 1000 * (100_000 * turn + np.arange(100_000))
        engine.process(some)
    (flow,) = engine.snapshot()
    assert flow["packets_forward"] == 40_000_000
    assert flow["size_std_forward"] == pytest.approx(700, rel=0.02)
    assert flow["iat_std_us_forward"] < 0.05


def test_more_flows_are_due_than_wait_at_once() -> None:
    """An interim export that finds no room is made later: each flow comes once for its only second."""
    engine = plain_engine(max_flows=131_072, export_interval_s=1, model=None)
    frames = [(udp(f"10.0.{k >> 8}.{k & 255}", 1000, B, 9), SECOND + k * 1000) for k in range(20_000)]
    engine.process(burst(frames))
    ports: Counter[bytes] = Counter()
    for tenth in range(21, 80):
        engine.advance(tenth * SECOND // 10)
        ports.update(flow["src"].tobytes() for flow in engine.export())
    assert set(ports.values()) == {1}
    assert len(ports) == 20_000
