"""From what a flow record measures to the inputs of the QoE models, and the MOS they give.

Every input has a fallback, and `mos_confidence` says how much of it was measured:

- Round trip: the flow's own (TCP, QUIC), else the mean of the same subscriber's other flows, else 50 ms.
- Calls: loss, bursts and jitter from RTP; the codec from payload type, clock and size. Without RTP the loss
  is taken as 0 and the jitter from the gaps between packets.
- Video: the player's chunks (`qoe.playback`); with fewer than two, the mean rate, since the flow's
  start if that is some time ago.
- Games: cloud gaming is told from games played on the device by rate and packet size.
- Web: pages made of all that the subscriber fetched (`qoe.playback.pages`), else the time of a small page,
  for no chunk means that every response was small.
- Bulk: the rate in the stronger direction.
- Other and unknown: no MOS (NaN); nor for a flow of fewer than four packets.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from qoe import applications as app
from qoe.applications import Codec, MosModel
from qoe.mos import loss
from qoe.playback import Pages, Viewing
from qoe.schema import AppClass, BoolArray, FloatArray, IntArray, RecordArray

EXPERIENCE_DTYPE: Final = np.dtype(
    [
        ("flow_id", "u8"),
        ("subscriber", "i8"),  # -1: nobody's
        ("side", "i1"),  # 0 the subscriber is src, 1 dst, -1 nobody (src then counts as the subscriber)
        ("app_class", "u1"),  # AppClass
        ("model", "u1"),  # MosModel
        ("codec", "u1"),  # applications.Codec, of voice
        ("mos", "f8"),  # 1 to 5; NaN: not estimable
        ("mos_confidence", "f8"),  # 0 to 1
        ("probability", "f4", (len(AppClass),)),
        ("rate_down_bps", "f8"),  # mean over the horizon, bytes on the wire
        ("rate_up_bps", "f8"),
        ("bytes_down", "u8"),  # in the last interval
        ("bytes_up", "u8"),
        ("packets_down", "u8"),  # in the last interval
        ("packets_up", "u8"),
        ("packet_bytes_down", "f8"),  # mean frame over the horizon; NaN: none
        ("packet_bytes_up", "f8"),
        ("rtt_ms", "f8"),  # the flow's own; NaN: not seen
        ("path_rtt_ms", "f8"),  # what the models were given: its own, else a fallback
        ("queue_ms", "f8"),  # mean round trip above the shortest; NaN: not seen
        ("jitter_ms", "f8"),  # NaN: not seen
        ("loss_down_ratio", "f8"),  # RTP sequence gaps, TCP retransmissions; NaN: not visible
        ("loss_up_ratio", "f8"),
        ("burst_ratio", "f8"),  # BurstR of the loss; 1: random
        ("media_bps", "f8"),  # video: bitrate of what is played; NaN: not known
        ("startup_s", "f8"),
        ("stall_s", "f8"),
        ("n_stalls", "f8"),
        ("page_s", "f8"),  # web: time to load a page; NaN: not known
        ("page_bytes", "f8"),
        ("activity_ratio", "f8"),  # part of the horizon with something to send, above 0, to 1
        ("burstiness_down_ratio", "f8"),  # half the sum of the squared variations of gaps and sizes
        ("burstiness_up_ratio", "f8"),  # NaN: not seen
        ("buffer_s", "f8"),  # video: media that the player holds ahead; NaN: not known
    ],
    align=True,
)
"""What the user of one flow experiences."""

COUNTERS: Final = tuple(
    f"{name}_{way}"
    for name in (
        "packets", "bytes", "payload_bytes", "retransmissions",
        "rtp_packets", "rtp_lost", "rtp_loss_runs", "rtp_frames",
    )
    for way in ("forward", "reverse")
)  # fmt: skip
"""Counters of a flow record that a window holds the growth of."""

RTT_ASSUMED_MS: Final = 50.0
_GAP_JITTER_MAX_MS: Final = 30.0
_RTP_HEADER_BYTES: Final = 12
_NO_PAYLOAD_TYPE: Final = 255
_CALL_BPS: Final = 4e3  # signalling and reports stay below this,
_CALL_PPS: Final = 8.0  # or, without RTP, below this
_DYNAMIC_TYPE: Final = 96
_PICTURE_CLOCK_HZ: Final = 90_000
_PICTURE_PAYLOAD_BYTES: Final = 450
_PICTURE_BPS: Final = 150e3
_MEDIA_BPS: Final = 64e3  # a video flow below it, without a chunk, is control
_STEADY_S: Final = 20.0  # players fetch in bursts: the mean rate of so long is the bitrate they play
_SMALL_PAGE_BYTES: Final = 20e3  # what does not make a chunk
_SMALL_PAGE_BPS: Final = 1e6
_LEAST_ACTIVITY: Final = 0.02
_VARIATION_MOST: Final = 4.0  # squared: twice as irregular as packets at random times
_UNKNOWN_AT_FIRST: Final = (
    "mos", "media_bps", "startup_s", "stall_s", "n_stalls", "page_s", "page_bytes", "jitter_ms", "buffer_s",
)  # fmt: skip
_MIN_PACKETS: Final = 4
_TCP: Final = 6


class Window(NamedTuple):
    """How flows grew over a stretch of time.

    Attributes
    ----------
    growth : ndarray of float64, shape (n_flows, len(COUNTERS))
    seconds : ndarray of float64, shape (n_flows,)
        Length of the stretch, above 0.
    activity_ratio : ndarray of float64, shape (n_flows,)
        Part of it with packets, above 0, to 1.
    """

    growth: FloatArray
    seconds: FloatArray
    activity_ratio: FloatArray


class _Traffic:
    """Flow records and their window, seen from the subscriber."""

    def __init__(self, flows: RecordArray, window: Window, side: IntArray) -> None:
        self.flows, self.window = flows, window
        self._forward_is_down = side == 1

    def grown(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Return a counter's growth, down and up."""
        first = COUNTERS.index(f"{name}_forward")
        return self._orient(self.window.growth[:, first], self.window.growth[:, first + 1])

    def field(self, name: str) -> tuple[Any, Any]:
        """Return a field of the record, down and up."""
        return self._orient(self.flows[f"{name}_forward"], self.flows[f"{name}_reverse"])

    def _orient(self, forward: Any, reverse: Any) -> tuple[Any, Any]:
        return (
            np.where(self._forward_is_down, forward, reverse),
            np.where(self._forward_is_down, reverse, forward),
        )

    def __getitem__(self, rows: BoolArray) -> _Traffic:
        window = Window(*(column[rows] for column in self.window))
        part = _Traffic(self.flows[rows], window, np.zeros(0, np.int64))
        part._forward_is_down = self._forward_is_down[rows]
        return part


def judge(
    flows: RecordArray,
    window: Window,
    match: tuple[IntArray, IntArray],
    viewings: dict[int, Viewing],
    pages: Pages,
) -> RecordArray:
    """Estimate what each flow's user experiences.

    Parameters
    ----------
    flows : ndarray of FLOW_DTYPE, shape (n,)
    window : Window
        What of them to judge.
    match : (subscriber, side)
        Whose each flow is (`qoe.subscribers.Match`).
    viewings : dict of flow_id to Viewing
        How the video flows among them play.
    pages : Pages
        Of each flow.

    Returns
    -------
    ndarray of EXPERIENCE_DTYPE, shape (n,)
        ``bytes_down`` and the like of the last interval are left at 0.
    """
    subscriber, side = match
    rows = np.zeros(len(flows), EXPERIENCE_DTYPE)
    rows["subscriber"], rows["side"] = subscriber, side
    rows["flow_id"], rows["app_class"] = flows["flow_id"], flows["app_class"]
    rows["probability"] = np.clip(np.nan_to_num(flows["probability"]), 0.0, 1.0)
    traffic = _Traffic(flows, window, side)
    _measure(rows, traffic)
    rtt_ms, rtt_confidence = _round_trip(rows)
    rows["path_rtt_ms"] = rtt_ms
    n_packets = flows["packets_forward"] + flows["packets_reverse"]
    for app_class, judge_class in _JUDGES.items():
        mask = (rows["app_class"] == app_class) & (n_packets >= _MIN_PACKETS)
        if mask.any():
            part = _Case(
                rows[mask],
                traffic[mask],
                rtt_ms[mask],
                rtt_confidence[mask],
                viewings,
                Pages(*(c[mask] for c in pages)),
            )
            judge_class(part)
            rows[mask] = part.rows
    rows["mos_confidence"] = np.where(np.isnan(rows["mos"]), 0.0, rows["mos_confidence"])
    rows["model"] = np.where(np.isnan(rows["mos"]), MosModel.NONE, rows["model"])
    return rows


def _measure(rows: RecordArray, traffic: _Traffic) -> None:
    """Fill in what does not depend on the class."""
    flows, window = traffic.flows, traffic.window
    for name in _UNKNOWN_AT_FIRST:
        rows[name] = np.nan
    rows["burst_ratio"] = 1.0
    rows["activity_ratio"] = window.activity_ratio
    lost, received = traffic.grown("rtp_lost"), traffic.grown("rtp_packets")
    resent, packets = traffic.grown("retransmissions"), traffic.grown("packets")
    is_tcp = flows["protocol"] == _TCP
    for i, way in enumerate(("down", "up")):
        rows[f"rate_{way}_bps"] = 8.0 * traffic.grown("bytes")[i] / window.seconds
        rows[f"packet_bytes_{way}"] = _ratio(traffic.grown("bytes")[i], packets[i])
        by_rtp = _ratio(lost[i], lost[i] + received[i])
        rows[f"burstiness_{way}_ratio"] = _burstiness(traffic, i)
        rows[f"loss_{way}_ratio"] = np.where(is_tcp, np.minimum(_ratio(resent[i], packets[i]), 1.0), by_rtp)
    mean_ms, least_ms = flows["rtt_mean_us"] / 1e3, flows["rtt_min_us"] / 1e3
    seen = flows["n_rtt"] > 0
    first_ms = np.where(flows["handshake_rtt_us"] > 0, flows["handshake_rtt_us"] / 1e3, np.nan)
    rows["rtt_ms"] = np.where(seen, mean_ms, first_ms)
    rows["queue_ms"] = np.where(seen, np.maximum(mean_ms - least_ms, 0.0), np.nan)


def _burstiness(traffic: _Traffic, way: int) -> FloatArray:
    """Half the sum of the squared coefficients of variation of a direction's gaps and sizes of packets.

    Silences between spurts count as inactivity, so what they add to the variation of gaps is cut.
    """
    gaps = _variation(traffic.field("iat_std_us")[way], traffic.field("iat_mean_us")[way])
    bytes_mean = _ratio(traffic.field("bytes")[way], traffic.field("packets")[way])
    half: FloatArray = (gaps + np.nan_to_num(_variation(traffic.field("size_std")[way], bytes_mean))) / 2.0
    return half


def _variation(std: RecordArray, mean: RecordArray) -> FloatArray:
    """Squared coefficient of variation, cut; NaN where there is no mean."""
    ratio = _ratio(*(np.nan_to_num(part).astype(np.float64) for part in (std, mean)))
    return np.minimum(ratio**2, _VARIATION_MOST)


def life_s(flows: RecordArray) -> FloatArray:
    """Return the time from each flow's first packet to its last, never negative."""
    first, last = flows["first_ns"], flows["last_ns"]
    life_ns: FloatArray = (np.maximum(first, last) - first).astype(np.float64)
    return life_ns / 1e9


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide, NaN where there is nothing to divide by."""
    result = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _round_trip(rows: RecordArray) -> tuple[FloatArray, FloatArray]:
    """Return a round trip for every flow, in ms, and how far it is to be trusted."""
    own_ms, owner = rows["rtt_ms"], rows["subscriber"] + 1
    seen = np.isfinite(own_ms) & (owner > 0)
    n_owners = int(owner.max(initial=0)) + 1
    total_ms: FloatArray = np.bincount(owner[seen], own_ms[seen], minlength=n_owners).astype(np.float64)
    n_seen: FloatArray = np.bincount(owner[seen], minlength=n_owners).astype(np.float64)
    shared_ms = _ratio(total_ms, n_seen)[owner]
    rtt_ms = np.where(
        np.isfinite(own_ms), own_ms, np.where(np.isfinite(shared_ms), shared_ms, RTT_ASSUMED_MS)
    )
    confidence = np.where(np.isfinite(own_ms), 1.0, np.where(np.isfinite(shared_ms), 0.8, 0.5))
    return rtt_ms, confidence


class _Case(NamedTuple):
    """Flows of one class on their way to a MOS, which goes into `rows`."""

    rows: RecordArray
    traffic: _Traffic
    rtt_ms: FloatArray
    rtt_confidence: FloatArray
    viewings: dict[int, Viewing]
    pages: Pages


def _gap_jitter_ms(traffic: _Traffic) -> FloatArray:
    """Jitter of packets that carry no time, down: the spread of their gaps, for regular sending.

    Two independent delays make a gap's spread, hence the root of 2. Sending in bursts spreads gaps
    beyond their mean, and says nothing of the network.
    """
    spread_us, mean_us = traffic.field("iat_std_us")[0], traffic.field("iat_mean_us")[0]
    regular_us: FloatArray = np.nan_to_num(np.minimum(spread_us, mean_us)).astype(np.float64)
    jitter_ms: FloatArray = regular_us / np.sqrt(2.0) / 1e3
    return jitter_ms


class _Heard(NamedTuple):
    """A call in the direction that the subscriber hears: down, or up if nothing comes down."""

    has_rtp: BoolArray
    payload_type: IntArray
    clock_hz: IntArray
    rate_bps: FloatArray  # this and the next three while active
    packets_pps: FloatArray
    payload_bps: FloatArray
    frames_fps: FloatArray
    payload_bytes: FloatArray  # a packet
    jitter_ms: FloatArray
    loss_ratio: FloatArray
    burst_ratio: FloatArray


def _hear(case: _Case) -> _Heard:
    rows, traffic = case.rows, case.traffic
    received, packets = traffic.grown("rtp_packets"), traffic.grown("packets")
    heard_up = ((received[0] == 0) & (received[1] > 0)) | (packets[0] == 0)

    def heard(pair: tuple[Any, Any]) -> Any:
        return np.where(heard_up, pair[1], pair[0])

    has_rtp, clock_hz = heard(received) > 0, heard(traffic.field("rtp_clock_hz"))
    gap_ms = np.minimum(_gap_jitter_ms(traffic), _GAP_JITTER_MAX_MS)
    rtp_ms = np.nan_to_num(heard(traffic.field("rtp_jitter_us"))) / 1e3
    lost, runs = heard(traffic.grown("rtp_lost")), heard(traffic.grown("rtp_loss_runs"))
    payload, active_s = heard(traffic.grown("payload_bytes")), traffic.window.seconds * rows["activity_ratio"]
    return _Heard(
        has_rtp=has_rtp,
        payload_type=heard(traffic.field("rtp_payload_type")),
        clock_hz=clock_hz,
        rate_bps=heard((rows["rate_down_bps"], rows["rate_up_bps"])) / rows["activity_ratio"],
        packets_pps=heard(packets) / active_s,
        payload_bps=8.0 * payload / active_s,
        frames_fps=heard(traffic.grown("rtp_frames")) / active_s,
        payload_bytes=np.nan_to_num(_ratio(payload, heard(packets))),
        jitter_ms=np.where(has_rtp & (clock_hz > 0), rtp_ms, gap_ms),
        loss_ratio=np.nan_to_num(heard((rows["loss_down_ratio"], rows["loss_up_ratio"]))),
        burst_ratio=loss.burst_ratio(lost, runs, heard(received)),
    )


def _judge_call(case: _Case) -> None:
    rows, call = case.rows, _hear(case)
    is_large = (call.payload_bytes > _PICTURE_PAYLOAD_BYTES) & (call.rate_bps > _PICTURE_BPS)
    has_picture = (call.clock_hz == _PICTURE_CLOCK_HZ) | is_large
    codec = guess_codec(call.payload_type, call.clock_hz, call.payload_bytes)
    codec_bps = np.maximum(call.payload_bps - 8.0 * _RTP_HEADER_BYTES * call.packets_pps, 8.0)
    path = (case.rtt_ms, call.jitter_ms, call.loss_ratio)
    speech = app.speech_mos(codec, codec_bps, *path, burst_ratio=call.burst_ratio)
    counts_frames = (call.clock_hz == _PICTURE_CLOCK_HZ) & (call.frames_fps >= 1.0)
    sight = app.video_call_mos(
        call.rate_bps, np.where(counts_frames, call.frames_fps, app.VIDEO_CALL_FPS), *path
    )
    is_media = (call.rate_bps >= _CALL_BPS) & (call.has_rtp | (call.packets_pps >= _CALL_PPS))
    rows["mos"] = np.where(is_media, np.where(has_picture, sight, speech), np.nan)
    rows["model"] = np.where(has_picture, MosModel.VIDEO_CALL, app.speech_model(codec))
    rows["codec"], rows["jitter_ms"], rows["burst_ratio"] = codec, call.jitter_ms, call.burst_ratio
    told = np.where(call.payload_type < _DYNAMIC_TYPE, 0.9, 0.7)  # static payload types name their codec
    rows["mos_confidence"] = np.where(call.has_rtp, told, 0.35) * (0.5 + 0.5 * case.rtt_confidence)


def guess_codec(payload_type: Any, clock_hz: Any, payload_bytes: Any) -> IntArray:
    """Tell the speech codec of an RTP stream.

    Parameters
    ----------
    payload_type : ndarray of int
        RFC 3551; 255: no RTP.
    clock_hz : ndarray of int
        RTP clock; 0: unknown.
    payload_bytes : ndarray of float64
        Mean UDP payload, RTP header included.

    Returns
    -------
    ndarray of int64
        Codec. Dynamic types go by their clock: 16 kHz is AMR-WB; 8 kHz is AMR below 60 bytes, else G.711;
        all else, Opus.
    """
    dynamic = (payload_type >= _DYNAMIC_TYPE) & (payload_type != _NO_PAYLOAD_TYPE)
    small = payload_bytes - _RTP_HEADER_BYTES < 60.0
    return np.select(
        [
            (payload_type == 0) | (payload_type == 8),
            payload_type == 3,
            payload_type == 4,
            payload_type == 9,
            payload_type == 18,
            dynamic & (clock_hz == 16_000),
            dynamic & (clock_hz == 8_000) & small,
            dynamic & (clock_hz == 8_000),
        ],
        [Codec.G711, Codec.GSM, Codec.G723, Codec.G722, Codec.G729, Codec.AMR_WB, Codec.AMR, Codec.G711],
        Codec.OPUS,
    ).astype(np.int64)


def _judge_video(case: _Case) -> None:
    rows, traffic = case.rows, case.traffic
    alive_s = life_s(traffic.flows)
    paced_bps = 8.0 * traffic.field("bytes")[0] / np.maximum(alive_s, _STEADY_S)
    media_bps = np.where(alive_s > _STEADY_S, paced_bps, rows["rate_down_bps"])
    plays = media_bps >= _MEDIA_BPS
    rows["mos"] = np.where(plays, app.throughput_video_mos(media_bps), np.nan)
    rows["media_bps"] = np.where(plays, media_bps, np.nan)
    rows["model"], rows["mos_confidence"] = MosModel.VIDEO_THROUGHPUT, 0.25
    for row in rows:
        viewing = case.viewings.get(int(row["flow_id"]))
        if viewing is None or viewing.n_segments < 2:
            continue
        row["mos"], row["model"] = viewing.mos, MosModel.VIDEO_STREAMING
        row["media_bps"], row["startup_s"] = viewing.media_bps, viewing.startup_s
        row["buffer_s"] = viewing.buffer_s
        row["stall_s"], row["n_stalls"] = sum(s.duration_s for s in viewing.stalls), len(viewing.stalls)
        row["mos_confidence"] = (0.8 if viewing.segment_known else 0.4) * min(viewing.n_segments / 5, 1.0)


def _judge_game(case: _Case) -> None:
    rows = case.rows
    rows["jitter_ms"] = np.minimum(_gap_jitter_ms(case.traffic), _GAP_JITTER_MAX_MS)
    loss_ratio = np.nan_to_num(rows["loss_down_ratio"])
    rate_bps = rows["rate_down_bps"] / rows["activity_ratio"]
    in_cloud = app.is_cloud_game(rate_bps, rows["packet_bytes_down"])
    native = app.native_game_mos(case.rtt_ms, rows["jitter_ms"], loss_ratio)
    rows["mos"] = np.where(in_cloud, app.cloud_game_mos(rate_bps, case.rtt_ms, loss_ratio), native)
    rows["model"] = np.where(in_cloud, MosModel.CLOUD_GAMING, MosModel.NATIVE_GAMING)
    rows["mos_confidence"] = 0.7 * case.rtt_confidence


def _judge_web(case: _Case) -> None:
    rows, pages = case.rows, case.pages
    small_s = app.page_time_s(_SMALL_PAGE_BYTES, _SMALL_PAGE_BPS, case.rtt_ms)
    has_page = np.isfinite(pages.page_s)
    rows["page_s"] = np.where(has_page, pages.page_s, small_s)
    rows["page_bytes"] = np.where(has_page, pages.page_bytes, _SMALL_PAGE_BYTES)
    busy_ratio = np.clip(pages.busy_s / case.traffic.window.seconds, _LEAST_ACTIVITY, 1.0)
    rows["activity_ratio"] = np.where(has_page, busy_ratio, rows["activity_ratio"])
    rows["mos"], rows["model"] = app.page_mos(rows["page_s"]), MosModel.WEB
    rows["mos_confidence"] = np.where(has_page, 0.6, 0.2 * case.rtt_confidence)


def _judge_bulk(case: _Case) -> None:
    rows = case.rows
    rate_bps = np.maximum(rows["rate_down_bps"], rows["rate_up_bps"]) / rows["activity_ratio"]
    rows["mos"], rows["model"] = app.download_mos(rate_bps), MosModel.THROUGHPUT
    rows["mos_confidence"] = 0.6


_JUDGES: Final = {
    AppClass.VIDEO: _judge_video,
    AppClass.VOIP: _judge_call,
    AppClass.GAMING: _judge_game,
    AppClass.WEB: _judge_web,
    AppClass.BULK: _judge_bulk,
}
