"""From flow records to MOS: against the QoE models called directly, by hand, and a slow tracker."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe import applications as app
from qoe.applications import Codec, MosModel
from qoe.experience import (
    ALL_CLASSES,
    EXPERIENCE_DTYPE,
    SUBSCRIBER_DTYPE,
    Tracker,
    by_subscriber,
    cell_mos,
    flow_mos,
)
from qoe.judgement import guess_codec
from qoe.mos import gaming, web
from qoe.mos.codecs import opus_ie
from qoe.mos.loss import burst_ratio
from qoe.mos.voice import mos_fb, mos_nb
from qoe.playback import view
from qoe.schema import CHUNK_DTYPE, FLOW_DTYPE, AppClass, FlowFlag

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
NO_CHUNKS = np.zeros(0, CHUNK_DTYPE)


def make_flow(app_class: AppClass, seconds: float = 10.0, flow_id: int = 1, **fields: Any) -> np.ndarray:
    """Build one UDP flow of so many seconds; fields not given are 0."""
    flow = np.zeros(1, FLOW_DTYPE)
    flow["flow_id"], flow["app_class"], flow["protocol"] = flow_id, app_class, 17
    flow["first_ns"], flow["last_ns"] = START_NS, START_NS + int(seconds * SECOND)
    flow["probability"][0, app_class] = 1.0
    flow["rtp_payload_type_forward"] = flow["rtp_payload_type_reverse"] = 255
    for name, value in fields.items():
        flow[name] = value
    return flow


def make_call(lost: int = 0, runs: int = 0, **fields: Any) -> np.ndarray:
    """Build ten seconds of a G.711 call, 20 ms a packet, both ways; loss in the reverse direction."""
    call: dict[str, Any] = {"rtp_lost_reverse": lost, "rtp_loss_runs_reverse": runs}
    for way, n_packets in (("forward", 500), ("reverse", 500 - lost)):
        call |= {
            f"packets_{way}": n_packets,
            f"bytes_{way}": n_packets * 214,
            f"payload_bytes_{way}": n_packets * 172,
            f"rtp_packets_{way}": n_packets,
            f"rtp_frames_{way}": n_packets,
            f"rtp_payload_type_{way}": 0,
            f"rtp_clock_hz_{way}": 8000,
        }
    return make_flow(AppClass.VOIP, **call | fields)


def test_clean_call() -> None:
    """A whole G.711 call has the narrowband MOS of its delay: half a round trip, a packet, a buffer."""
    (row,) = flow_mos(make_call(handshake_rtt_us=80_000))
    assert row["mos"] == pytest.approx(mos_nb(40 + 20 + 20, 0.0, ie=0.0, bpl=25.1))
    assert (row["model"], row["codec"]) == (MosModel.VOICE_NB, Codec.G711)
    assert row["rate_down_bps"] == row["rate_up_bps"] == pytest.approx(50 * 214 * 8)
    assert (row["rtt_ms"], row["loss_down_ratio"], row["loss_up_ratio"]) == (80, 0, 0)
    assert (row["packets_down"], row["bytes_up"]) == (500, 500 * 214)


def test_lossy_call() -> None:
    """Loss is what the sequence numbers miss, its burst ratio that of G.107, jitter costs late packets."""
    (row,) = flow_mos(make_call(lost=25, runs=5, handshake_rtt_us=80_000))
    bursts = burst_ratio(25, 5, 475)
    assert row["loss_down_ratio"] == pytest.approx(0.05)
    assert row["burst_ratio"] == pytest.approx(bursts) == pytest.approx(5 * 0.95)
    assert row["mos"] == pytest.approx(mos_nb(80, 5.0, bursts, ie=0.0, bpl=25.1))
    (seen_from_far,) = flow_mos(make_call(lost=25, runs=5, handshake_rtt_us=80_000), side=np.array([1]))
    assert seen_from_far["loss_up_ratio"] == pytest.approx(0.05)
    assert seen_from_far["mos"] == pytest.approx(mos_nb(80, 0.0, ie=0.0, bpl=25.1))
    (shaky,) = flow_mos(make_call(rtp_jitter_us_reverse=60_000, handshake_rtt_us=80_000))
    assert shaky["jitter_ms"] == pytest.approx(60)
    assert shaky["mos"] < 4.2


def test_one_way_call() -> None:
    """When only the uplink was seen, what is judged is the uplink."""
    (row,) = flow_mos(make_call(lost=25, runs=5), side=np.array([1]))
    silent = make_call()
    for name in ("packets", "bytes", "payload_bytes", "rtp_packets", "rtp_frames"):
        silent[f"{name}_reverse"] = 0
    silent["rtp_lost_forward"], silent["rtp_loss_runs_forward"] = 50, 50
    (up_only,) = flow_mos(silent)
    assert up_only["mos"] < row["mos"]
    assert np.isnan(up_only["loss_down_ratio"])
    assert np.isnan(up_only["packet_bytes_down"])


@pytest.mark.parametrize(
    ("payload_type", "clock_hz", "payload_bytes", "codec"),
    [
        (0, 8000, 172, Codec.G711),
        (8, 8000, 172, Codec.G711),
        (3, 8000, 45, Codec.GSM),
        (4, 8000, 36, Codec.G723),
        (9, 8000, 172, Codec.G722),
        (18, 8000, 32, Codec.G729),
        (111, 48000, 90, Codec.OPUS),
        (96, 16000, 73, Codec.AMR_WB),
        (97, 8000, 44, Codec.AMR),
        (97, 8000, 172, Codec.G711),
        (120, 0, 90, Codec.OPUS),
        (255, 0, 300, Codec.OPUS),
    ],
)
def test_codecs(payload_type: int, clock_hz: int, payload_bytes: float, codec: Codec) -> None:
    """The payload type names the codec (RFC 3551); dynamic types go by clock and size."""
    assert guess_codec(np.array([payload_type]), np.array([clock_hz]), np.array([payload_bytes])) == codec


def test_opus_call() -> None:
    """Opus is rated by its bitrate, on the fullband scale."""
    opus: dict[str, Any] = {}
    for way in ("forward", "reverse"):
        opus |= {
            f"rtp_payload_type_{way}": 111,
            f"rtp_clock_hz_{way}": 48_000,
            f"payload_bytes_{way}": 500 * 92,
        }
    (row,) = flow_mos(make_call(**opus, handshake_rtt_us=80_000))
    assert row["model"] == MosModel.VOICE_FB
    assert row["mos"] == pytest.approx(
        mos_fb(40 + 20 + 6.5 + 20, 0.0, ie=1.48 * opus_ie(80 * 8 * 50), bpl=10.0)
    )


def test_burstiness_of_a_call() -> None:
    """Half the sum of the squared variations of gaps and sizes, by direction; silences are cut."""
    gaps = {"iat_mean_us_reverse": 20_000, "iat_std_us_reverse": 10_000, "size_std_reverse": 21.4}
    (row,) = flow_mos(make_call(**gaps, iat_mean_us_forward=20_000, iat_std_us_forward=900_000))
    assert row["burstiness_down_ratio"] == pytest.approx((0.5**2 + 0.1**2) / 2)
    assert row["burstiness_up_ratio"] == pytest.approx(4.0 / 2)
    assert np.isnan(flow_mos(make_call())["burstiness_down_ratio"][0])


def test_call_without_rtp() -> None:
    """An encrypted call is judged by its gaps, with little confidence; signalling is not judged at all."""
    rtp_free: dict[str, Any] = {}
    for way in ("forward", "reverse"):
        rtp_free |= {f"rtp_packets_{way}": 0, f"rtp_payload_type_{way}": 255, f"rtp_clock_hz_{way}": 0}
        rtp_free |= {f"iat_mean_us_{way}": 20_000, f"iat_std_us_{way}": 1_000}
    call = make_call(**rtp_free)
    (smooth,), (with_rtp,) = flow_mos(call), flow_mos(make_call())
    assert 3.5 < smooth["mos"] < 4.5
    assert smooth["mos_confidence"] < with_rtp["mos_confidence"] / 2
    call["iat_std_us_reverse"] = 200_000
    assert flow_mos(call)["mos"][0] < smooth["mos"]
    signalling = make_flow(
        AppClass.VOIP, packets_reverse=20, bytes_reverse=20_000, payload_bytes_reverse=19_000
    )
    assert flow_mos(signalling)["rate_down_bps"][0] == 16_000
    assert np.isnan(flow_mos(signalling)["mos"][0])


def test_video_call() -> None:
    """Video in RTP is rated by rate and frame rate, and a starved picture is worse."""
    picture = {"rtp_clock_hz_reverse": 90_000, "rtp_payload_type_reverse": 97, "rtp_frames_reverse": 250}
    big = make_call(**picture, packets_reverse=1250, bytes_reverse=1_250_000, payload_bytes_reverse=1_200_000)
    big["rtp_packets_reverse"] = 1250
    (row,) = flow_mos(big)
    assert row["model"] == MosModel.VIDEO_CALL
    assert row["mos"] == pytest.approx(float(app.video_call_mos(1e6, 25.0, 50.0, 0.0, 0.0)))
    big["bytes_reverse"] = 150_000
    assert flow_mos(big)["mos"][0] < row["mos"] - 1


def make_chunks(flow_id: int, spacing_s: float, n_bytes: int, n: int, after_s: float = 0.1) -> np.ndarray:
    """Build chunks at equal distances, each fetched in half a second."""
    chunks = np.zeros(n, CHUNK_DTYPE)
    chunks["flow_id"], chunks["bytes"], chunks["direction"] = flow_id, n_bytes, 1
    chunks["request_ns"] = START_NS + ((after_s + spacing_s * np.arange(n)) * SECOND).astype(np.uint64)
    chunks["last_ns"] = chunks["request_ns"] + np.uint64(SECOND // 2)
    return chunks


def test_video() -> None:
    """Video is scored by its chunks; without them by its rate; a flow that is too thin is no video."""
    flow = make_flow(
        AppClass.VIDEO,
        40.0,
        7,
        packets_forward=900,
        packets_reverse=4000,
        bytes_reverse=5_100_000,
        bytes_forward=9,
    )
    chunks = make_chunks(7, 4.0, 500_000, 10)
    (row,) = flow_mos(flow, chunks[::-1])
    assert row["model"] == MosModel.VIDEO_STREAMING
    assert row["mos"] == view(chunks, from_start=True).mos
    assert (row["media_bps"], row["n_stalls"]) == (1e6, 0)
    assert row["mos_confidence"] == pytest.approx(0.8)
    flow["flags"] = FlowFlag.MID_FLOW
    assert np.isnan(flow_mos(flow, chunks)["startup_s"][0])
    (guess,) = flow_mos(flow)
    assert guess["model"] == MosModel.VIDEO_THROUGHPUT
    assert guess["mos"] == pytest.approx(app.rung_mos()[3])
    assert guess["mos_confidence"] < row["mos_confidence"]
    assert guess["media_bps"] == pytest.approx(5_100_000 * 8 / 40)
    flow["bytes_reverse"] = 100_000
    assert np.isnan(flow_mos(flow)["mos"][0])


def test_video_in_bursts() -> None:
    """A player without visible chunks fetches in bursts: what it plays is its mean, not a burst's rate."""
    flow, tracker = make_flow(AppClass.VIDEO, 0.0, packets_reverse=1000, bytes_reverse=2_500_000), Tracker()
    for k in range(1, 42):
        snapshot = grown(flow, 1 + k // 20, k)[: k % 20 == 1]
        rows = tracker.update(snapshot, NO_CHUNKS, START_NS / SECOND + k)
    assert rows["rate_down_bps"][0] == pytest.approx(2.5e6 * 8 / 10)
    assert rows["media_bps"][0] == pytest.approx(7.5e6 * 8 / 41)


def test_games() -> None:
    """Games on the device are rated by delay and jitter, streamed ones by G.1072."""
    native = make_flow(
        AppClass.GAMING,
        packets_forward=300,
        packets_reverse=300,
        bytes_reverse=60_000,
        handshake_rtt_us=60_000,
    )
    native["iat_mean_us_reverse"], native["iat_std_us_reverse"] = 33_000, 10_000
    (row,) = flow_mos(native)
    assert row["model"] == MosModel.NATIVE_GAMING
    assert row["mos"] == pytest.approx(gaming.mos_native(60 + 10 / np.sqrt(2)), abs=1e-6)
    cloud = make_flow(
        AppClass.GAMING,
        packets_forward=600,
        packets_reverse=9000,
        bytes_reverse=10_000_000,
        handshake_rtt_us=30_000,
    )
    (row,) = flow_mos(cloud)
    assert row["model"] == MosModel.CLOUD_GAMING
    sizes = ((640, 480), (1280, 720), (1920, 1080))
    assert row["mos"] == pytest.approx(max(gaming.mos_cloud(8e6, 60, w, h, 30.0) for w, h in sizes))


def test_web_and_bulk() -> None:
    """A page takes as long as its flows; a download is rated by its stronger direction; control is not."""
    page = make_flow(AppClass.WEB, 1.5, packets_forward=20, packets_reverse=40, payload_bytes_reverse=50_000)
    (row,) = flow_mos(page)
    assert (row["model"], row["page_s"], row["page_bytes"]) == (MosModel.WEB, 1.5, 50_000)
    assert row["mos"] == pytest.approx(web.mos_page(1.5))
    page["n_idle"], page["last_ns"] = 3, START_NS + 60 * SECOND
    (idle,) = flow_mos(page)
    assert idle["mos_confidence"] < row["mos_confidence"]
    upload = make_flow(AppClass.BULK, packets_forward=900, bytes_forward=1_250_000, packets_reverse=400)
    (row,) = flow_mos(upload)
    assert row["mos"] == pytest.approx(web.mos_download(1e6, app.DOWNLOAD_MOS1_BPS, app.DOWNLOAD_MOS5_BPS))
    for app_class in (AppClass.OTHER, AppClass.UNKNOWN):
        (row,) = flow_mos(make_flow(app_class, packets_forward=900, bytes_forward=1_250_000))
        assert np.isnan(row["mos"])
        assert (row["model"], row["mos_confidence"]) == (MosModel.NONE, 0)


def test_round_trip_is_shared() -> None:
    """A flow without a round trip of its own borrows the mean of its subscriber's other flows."""
    game = make_flow(AppClass.GAMING, packets_forward=300, packets_reverse=300, bytes_reverse=60_000)
    others = [
        make_flow(AppClass.OTHER, flow_id=i, handshake_rtt_us=1000 * rtt) for i, rtt in ((2, 100), (3, 200))
    ]
    flows = np.concatenate([game, *others])
    shared = flow_mos(flows, subscriber=np.array([5, 5, 5]), side=np.zeros(3, int))[0]
    alone = flow_mos(flows, subscriber=np.array([5, 6, 6]), side=np.zeros(3, int))[0]
    assert np.isnan(shared["rtt_ms"])
    assert (shared["path_rtt_ms"], alone["path_rtt_ms"]) == (150, 50)
    assert shared["mos"] == pytest.approx(gaming.mos_native(150.0))
    assert shared["mos_confidence"] > alone["mos_confidence"]


def test_order_is_kept() -> None:
    """Rows come in the order of the flows, whatever their ids."""
    flows = np.concatenate(
        [make_flow(AppClass.BULK, flow_id=i, packets_forward=9, bytes_forward=i) for i in (3, 1, 2)]
    )
    rows = flow_mos(flows)
    assert rows["flow_id"].tolist() == rows["bytes_up"].tolist() == [3, 1, 2]
    assert len(flow_mos(flows[:0])) == 0


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_record(data: st.DataObject) -> None:
    """Records of random bytes, NaN and infinities included, give a MOS of 1 to 5 or none."""
    n_flows = data.draw(st.integers(0, 5))
    noise = np.random.default_rng(data.draw(st.integers(0, 2**32))).bytes(n_flows * FLOW_DTYPE.itemsize)
    flows = np.frombuffer(noise, FLOW_DTYPE).copy()
    flows["app_class"] = data.draw(st.lists(st.integers(0, 6), min_size=n_flows, max_size=n_flows))
    if data.draw(st.booleans()):
        for name in ("packets", "bytes", "payload_bytes"):
            for way in ("forward", "reverse"):
                flows[f"{name}_{way}"] %= 10**6
        flows["last_ns"] = flows["first_ns"] + np.uint64(data.draw(st.integers(0, 10**11)))
    rows = flow_mos(flows, side=np.arange(n_flows) % 3 - 1)
    judged = np.isfinite(rows["mos"])
    assert np.all((rows["mos"][judged] >= 1) & (rows["mos"][judged] <= 5))
    assert np.all((rows["mos_confidence"] >= 0) & (rows["mos_confidence"] <= 1))
    assert not judged[(flows["app_class"] == AppClass.OTHER) | (flows["app_class"] == AppClass.UNKNOWN)].any()
    assert np.all((rows["activity_ratio"] > 0) & (rows["activity_ratio"] <= 1))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200), st.integers(0, 200), st.floats(0, 1e6), st.floats(0, 1e6))
def test_worse_is_never_better(lost: int, more: int, jitter_us: float, more_us: float) -> None:
    """More loss of the same burstiness, or more jitter, never raises a call's MOS."""
    better = flow_mos(make_call(lost, lost, rtp_jitter_us_reverse=jitter_us))["mos"][0]
    assert (
        flow_mos(make_call(lost + more, lost + more, rtp_jitter_us_reverse=jitter_us))["mos"][0]
        <= better + 1e-9
    )
    assert (
        flow_mos(make_call(lost, lost, rtp_jitter_us_reverse=jitter_us + more_us))["mos"][0] <= better + 1e-9
    )


def grown(flows: np.ndarray, factor: int, now_s: float) -> np.ndarray:
    """Return the records of flows that grow evenly, at `now_s` after their start."""
    later = flows.copy()
    for name in ("packets", "bytes", "payload_bytes"):
        for way in ("forward", "reverse"):
            later[f"{name}_{way}"] *= np.uint64(factor)
    later["last_ns"] = START_NS + int(now_s * SECOND)
    return later


def test_tracker_slides() -> None:
    """Rates are means over the horizon, bytes those of the last interval; an idle flow stays, then goes."""
    tracker = Tracker(horizon_s=4.0)
    step = make_flow(
        AppClass.BULK, packets_forward=10, packets_reverse=20, bytes_forward=1_000, bytes_reverse=50_000
    )
    for k in range(1, 7):
        (row,) = tracker.update(grown(step, k, k), NO_CHUNKS, START_NS / SECOND + k)
        assert row["rate_down_bps"] == pytest.approx(400_000)
        assert (row["bytes_down"], row["packets_up"]) == (50_000, 10)
        assert row["activity_ratio"] == pytest.approx(1.0)
    for idle, expected in enumerate((300_000, 200_000, 100_000), start=7):
        (row,) = tracker.update(step[:0], NO_CHUNKS, START_NS / SECOND + idle)
        assert row["rate_down_bps"] == pytest.approx(expected)
        assert row["bytes_down"] == 0
        assert row["rate_down_bps"] / row["activity_ratio"] == pytest.approx(400_000)
    assert len(tracker.update(step[:0], NO_CHUNKS, START_NS / SECOND + 10)) == 0
    (row,) = tracker.update(grown(step, 7, 11), NO_CHUNKS, START_NS / SECOND + 11)
    assert row["bytes_down"] == 50_000


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.dictionaries(st.integers(1, 6), st.integers(0, 10**6), max_size=5)),
        max_size=14,
    )
)
def test_tracker_agrees_with_a_slow_one(steps: list[tuple[int, dict[int, int]]]) -> None:
    """Sliding sums are those of a tracker that keeps every interval and adds them up again."""
    tracker, now_s, horizon_s = Tracker(horizon_s=5.0), 0.0, 5.0
    total: dict[int, int] = defaultdict(int)
    history: list[tuple[float, dict[int, int]]] = []
    began_s = None
    for seconds, brought in steps:
        records = []
        for flow_id, n_bytes in brought.items():
            born = total.get(flow_id) is None
            total[flow_id] += n_bytes
            record = make_flow(
                AppClass.BULK, flow_id=flow_id, bytes_forward=total[flow_id], packets_forward=9
            )
            record["first_ns"] = START_NS if not born else START_NS + int(now_s * SECOND)
            records.append(record)
        interval_s = seconds
        now_s += interval_s
        if began_s is None:
            began_s = now_s - (min(interval_s, horizon_s) if records else 0.1)
        snapshot = np.concatenate(records)[::-1] if records else make_flow(AppClass.BULK)[:0]
        rows = tracker.update(snapshot, NO_CHUNKS, START_NS / SECOND + now_s)
        history.append((now_s, brought))
        recent = [b for at_s, b in history if at_s > now_s - horizon_s]
        assert rows["flow_id"].tolist() == sorted({i for b in recent for i in b})
        covered_s = min(max(now_s - began_s, 0.1), horizon_s)
        for row in rows:
            flow_id = int(row["flow_id"])
            assert row["bytes_up"] == brought.get(flow_id, 0)
            seen = sum(b.get(flow_id, 0) for b in recent)
            assert row["rate_up_bps"] == pytest.approx(8 * seen / covered_s, rel=1e-4)


def test_tracker_meets_an_old_flow() -> None:
    """A flow that was there long before counts from its second interval on, not with all its past at once."""
    tracker = Tracker()
    young = make_flow(AppClass.BULK, flow_id=1, packets_forward=9, bytes_forward=10)
    young["first_ns"] += 100 * SECOND
    tracker.update(young, NO_CHUNKS, START_NS / SECOND + 101)
    old = make_flow(AppClass.BULK, flow_id=2, packets_forward=9, bytes_forward=10**12)
    row = tracker.update(old, NO_CHUNKS, START_NS / SECOND + 102)[1]
    assert row["bytes_up"] == 0
    old["bytes_forward"] += 500
    row = tracker.update(old, NO_CHUNKS, START_NS / SECOND + 103)[1]
    assert row["bytes_up"] == 500


def test_tracker_is_bounded() -> None:
    """Past its bound the flows idle longest go, and are counted; counters that fall count as no growth."""
    tracker = Tracker(max_flows=3)
    for k in range(5):
        flow = make_flow(AppClass.BULK, flow_id=k + 1, packets_forward=9, bytes_forward=100)
        flow["first_ns"] += k * SECOND
        rows = tracker.update(flow, NO_CHUNKS, START_NS / SECOND + k + 1)
    assert rows["flow_id"].tolist() == [3, 4, 5]
    assert tracker.n_dropped == 2
    flow["bytes_forward"] = 40
    rows = tracker.update(flow, NO_CHUNKS, START_NS / SECOND + 6)
    assert rows["bytes_up"].tolist() == [0, 0, 0]


def test_tracker_clocks() -> None:
    """A clock at 0, one that stands still and one that runs back are survived, also by duplicate records."""
    tracker = Tracker()
    flow = make_flow(AppClass.WEB, packets_forward=9, bytes_forward=100)
    flow["first_ns"] = flow["last_ns"] = 0
    for now_s in (0.0, 0.0, 1.0, 0.5, 2.0**32):
        rows = tracker.update(np.concatenate([flow, flow]), NO_CHUNKS, now_s)
        assert len(rows) == 1
        assert np.isfinite(rows["rate_up_bps"][0])
    assert len(Tracker().update(flow[:0], NO_CHUNKS, 0.0)) == 0


def test_tracker_plays_video() -> None:
    """Chunks that come interval by interval give the viewing that all of them give at once."""
    tracker, flow, chunks = Tracker(), make_flow(AppClass.VIDEO, flow_id=7), make_chunks(7, 4.0, 500_000, 10)
    flow["packets_reverse"], flow["bytes_reverse"] = 100, 125_000
    for k in range(1, 42):
        new = chunks[(chunks["last_ns"] - START_NS) // SECOND == k - 1]
        (row,) = tracker.update(grown(flow, k, k), new, START_NS / SECOND + k)
    assert row["model"] == MosModel.VIDEO_STREAMING
    assert row["mos"] == view(chunks, from_start=True).mos
    for k in range(42, 100):
        (row,) = tracker.update(grown(flow, k, k), NO_CHUNKS, START_NS / SECOND + k)
    assert row["model"] == MosModel.VIDEO_THROUGHPUT


def test_subscribers_combine() -> None:
    """Flows merge by bytes, classes by weight; what has no MOS is left out, nobody's flows stay apart."""
    rows = np.zeros(6, EXPERIENCE_DTYPE)
    rows["subscriber"] = [2, 2, 2, 2, 0, -1]
    rows["app_class"] = [
        AppClass.VIDEO,
        AppClass.VIDEO,
        AppClass.VOIP,
        AppClass.OTHER,
        AppClass.OTHER,
        AppClass.WEB,
    ]
    rows["mos"] = [4.0, 2.0, 3.0, np.nan, np.nan, 5.0]
    rows["rate_down_bps"], rows["rate_up_bps"] = [3e6, 0.5e6, 1e5, 1e9, 1, 1], [0, 0.5e6, 1e5, 0, 1, 1]
    rows["bytes_down"] = [1, 2, 3, 4, 5, 6]
    combined = by_subscriber(rows, {"voip": 3.0})
    assert combined.dtype == SUBSCRIBER_DTYPE
    key = [(r["subscriber"], r["app_class"]) for r in combined]
    everyone = [
        (-1, 4),
        (-1, ALL_CLASSES),
        (0, 6),
        (0, ALL_CLASSES),
        (2, 1),
        (2, 2),
        (2, 6),
        (2, ALL_CLASSES),
    ]
    assert key == everyone
    np.testing.assert_allclose(
        combined["mos"], [5, 5, np.nan, np.nan, 3.5, 3.0, np.nan, (3.5 + 3 * 3.0) / 4], equal_nan=True
    )
    assert combined["n_flows"].tolist() == [1, 1, 1, 1, 2, 1, 1, 4]
    assert combined["bytes_down"].tolist() == [6, 6, 5, 5, 3, 3, 4, 10]
    assert len(by_subscriber(rows[:0])) == 0


def test_cell() -> None:
    """A cell has the mean of its subscribers and Hoßfeld's fairness; NaN count for nobody."""
    assert cell_mos(np.array([1.0, 5.0, np.nan])) == (3.0, 0.0)
    assert cell_mos(np.array([4.0, 4.0])) == (4.0, 1.0)
    mean, fairness = cell_mos(np.array([]))
    assert np.isnan(mean)
    assert fairness == 1.0
