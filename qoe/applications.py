"""What an application makes of a network: rate, delay and loss of a path in, MOS out.

The models of :mod:`qoe.mos` take what an application knows of itself. Here stand the assumptions that let a
passive observer use them (codecs, ladders, buffers, page sizes, frame rates), one function an application.
Both the experience of a flow and the utility of a share come from these functions, so that they agree.
All are vectorised and broadcast; NaN in, NaN out.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from qoe.mos import codecs, conference, gaming, loss, video, voice, web
from qoe.mos.p1203_session import audiovisual_quality, integrate
from qoe.mos.rating import Scale
from qoe.schema import FloatArray


class MosModel(IntEnum):
    """Which model a MOS comes from. Scores of different models are on different scales."""

    NONE = 0
    VOICE_NB = 1
    """E-model, narrowband (ITU-T G.107)."""
    VOICE_WB = 2
    """E-model, wideband (G.107.1)."""
    VOICE_FB = 3
    """E-model, fullband (G.107.2)."""
    VIDEO_CALL = 4
    """Video of G.1070 and speech of G.107.2, joined by the audiovisual formula of P.1203.3."""
    VIDEO_STREAMING = 5
    """P.1203 mode 0 from the chunks of a player."""
    VIDEO_THROUGHPUT = 6
    """P.1203 mode 0 at the rung that the throughput carries."""
    CLOUD_GAMING = 7
    """G.1072."""
    NATIVE_GAMING = 8
    """The delay term of G.1072."""
    WEB = 9
    """G.1030."""
    THROUGHPUT = 10
    """Logarithm of the rate of a transfer."""


class Codec(IntEnum):
    """Speech codecs that can be told apart from outside."""

    OPUS = 0
    """Also stands for whatever is not known: the codec of most conferences."""
    G711 = 1
    GSM = 2
    G723 = 3
    G722 = 4
    G729 = 5
    AMR = 6
    AMR_WB = 7


class _Speech(NamedTuple):
    """Impairments of a codec; Ie NaN: by bitrate."""

    scale: Scale
    ie: float
    bpl: float
    packet_ms: float
    look_ahead_ms: float


def _speech(
    name: str, scale: Scale, packet_ms: float, look_ahead_ms: float, bitrate_bps: float | None = None
) -> _Speech:
    codec = codecs.find(name, scale, bitrate_bps)
    return _Speech(scale, codec.ie, codec.bpl or _BPL_UNKNOWN, packet_ms, look_ahead_ms)


_BPL_UNKNOWN: Final = 4.3  # no concealment worth mention: that of plain G.711
_SPEECH: Final = {
    # Opus has no value in G.113: opus_ie is on a scale that ends at R 100, fullband ends at 148
    Codec.OPUS: _Speech(Scale.FB, np.nan, 10.0, 20.0, 6.5),
    Codec.G711: _speech("G.711 PLC", Scale.NB, 20.0, 0.0),
    # GSM full rate: Ie 20 is customary; its robustness that of the enhanced coder
    Codec.GSM: _Speech(Scale.NB, 20.0, codecs.find("GSM-EFR", Scale.NB).bpl or _BPL_UNKNOWN, 20.0, 0.0),
    Codec.G723: _speech("G.723.1 VAD", Scale.NB, 30.0, 7.5),
    # G.722 at 64 kbit/s: Ie,WB 13 is customary
    Codec.G722: _Speech(Scale.WB, 13.0, _BPL_UNKNOWN, 20.0, 1.5),
    Codec.G729: _speech("G.729A VAD", Scale.NB, 20.0, 5.0),
    Codec.AMR: _speech("AMR", Scale.NB, 20.0, 5.0),
    Codec.AMR_WB: _speech("AMR-WB diotic", Scale.WB, 20.0, 5.0, 12_650),
}
_SCALES: Final = (Scale.NB, Scale.WB, Scale.FB)
_SCALE_OF: Final = np.array([_SCALES.index(_SPEECH[c].scale) for c in Codec])
_IE, _BPL, _PACKET_MS, _LOOK_AHEAD_MS = np.array([_SPEECH[c][1:] for c in Codec]).T
_FB_PER_100: Final = Scale.FB.value / 100.0

VIDEO_CALL_FPS: Final = 25.0
_CALL_AUDIO_BPS: Final = 32_000.0
_JITTER_BUFFER_MS: Final = (20.0, 200.0)

LADDER_BPS: Final = np.array([1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6])
"""Rungs of the adaptive video that is assumed: bitrates on the wire, sound included."""
LADDER_WIDTH: Final = np.array([256, 426, 640, 854, 1280, 1920])
LADDER_HEIGHT: Final = np.array([144, 240, 360, 480, 720, 1080])
LADDER_FPS: Final = 30.0
LADDER_AUDIO_BPS: Final = 64_000.0
SAFETY: Final = 0.8
"""Part of the throughput that a player trusts."""
_STEADY_S: Final = 60

CLOUD_FPS: Final = 60.0
_CLOUD_BPS: Final = 300e3  # where the validity of G.1072 begins
_CLOUD_PACKET_BYTES: Final = 700.0
_CLOUD_PICTURES: Final = ((640, 480), (1280, 720), (1920, 1080))

PAGE_EXPECTED_S: Final = 6.0
"""Longest wait for a page that users expect: the shortest of the contexts of G.1030."""
DOWNLOAD_MOS1_BPS: Final = 100e3
DOWNLOAD_MOS5_BPS: Final = 20e6
"""Rates of a transfer that give MOS 1 and MOS 5: our choice for today's files; published anchors of 2009
(10 and 300 kbit/s) call everything excellent."""


def speech_model(codec: Any) -> Any:
    """Return which MosModel (a voice one) rates a codec."""
    return MosModel.VOICE_NB + _SCALE_OF[codec]


def mouth_to_ear_ms(codec: Any, rtt_ms: Any, jitter_ms: Any) -> Any:
    """One-way delay of speech: half the round trip, packetisation, look-ahead and jitter buffer."""
    return rtt_ms / 2.0 + _PACKET_MS[codec] + _LOOK_AHEAD_MS[codec] + jitter_buffer_ms(jitter_ms)


def jitter_buffer_ms(jitter_ms: Any) -> Any:
    """Headroom of an adaptive jitter buffer: four times the RFC 3550 jitter, 20 to 200 ms."""
    return np.clip(4.0 * np.asarray(jitter_ms), *_JITTER_BUFFER_MS)


def heard_loss_ratio(loss_ratio: Any, jitter_ms: Any) -> Any:
    """Packets lost on the way or too late for the jitter buffer (Laplace tail of the delays)."""
    spread_ms = loss.delay_std_from_jitter(jitter_ms, "laplace")
    late = loss.late_ratio(spread_ms, jitter_buffer_ms(jitter_ms), "laplace")
    return loss.combined_loss_ratio(loss_ratio, late)


def speech_mos(
    codec: Any, bitrate_bps: Any, rtt_ms: Any, jitter_ms: Any, loss_ratio: Any, *, burst_ratio: Any = 1.0
) -> Any:
    """MOS of speech, on the scale of its codec (`speech_model`).

    Parameters
    ----------
    codec : ndarray of int
        Codec.
    bitrate_bps : ndarray
        Of the codec; only Opus is rated by it.
    rtt_ms, jitter_ms : ndarray
        Round trip, and RFC 3550 jitter.
    loss_ratio, burst_ratio : ndarray
        Loss on the way, 0 to 1, and BurstR.

    Notes
    -----
    ITU-T G.107, G.107.1, G.107.2. Opus: the heuristic of WebRTC monitors, stretched to the fullband scale.
    """
    codec = np.asarray(codec)
    ie = np.where(np.isnan(_IE[codec]), _FB_PER_100 * codecs.opus_ie(bitrate_bps), _IE[codec])
    delay_ms = mouth_to_ear_ms(codec, rtt_ms, jitter_ms)
    lost_percent = 100.0 * heard_loss_ratio(loss_ratio, jitter_ms)
    inputs = (delay_ms, lost_percent, burst_ratio, ie, _BPL[codec])
    scale = _SCALE_OF[codec]
    return np.choose(scale, [voice.mos_nb(*inputs), voice.mos_wb(*inputs), voice.mos_fb(*inputs)])


def video_call_mos(
    rate_bps: Any,
    fps: Any,
    rtt_ms: Any,
    jitter_ms: Any,
    loss_ratio: Any,
    *,
    picture_loss_ratio: Any | None = None,
) -> Any:
    """MOS of a call with picture, whose encoder follows the rate.

    Parameters
    ----------
    rate_bps : ndarray
        Rate of the call; speech takes the first 32 kbit/s (Opus), the picture what is left.
    fps : ndarray
        Frame rate.
    rtt_ms, jitter_ms, loss_ratio : ndarray
        As for `speech_mos`.
    picture_loss_ratio : ndarray, optional
        Loss of the picture's packets, late ones included; None: as the speech's.

    Notes
    -----
    Video quality of ITU-T G.1070 (H.264, VGA) and speech of G.107.2, joined by the audiovisual formula of
    P.1203.3. The joint formula of G.1070 is not public; this combination is no standard.
    """
    speech_bps = np.minimum(rate_bps, _CALL_AUDIO_BPS)
    starved = 1.0 - speech_bps / _CALL_AUDIO_BPS
    speech = speech_mos(
        np.full(np.shape(rate_bps), Codec.OPUS),
        _CALL_AUDIO_BPS,
        rtt_ms,
        jitter_ms,
        np.maximum(loss_ratio, starved),
    )
    if picture_loss_ratio is None:
        picture_loss_ratio = heard_loss_ratio(loss_ratio, jitter_ms)
    lost_percent = 100.0 * np.asarray(picture_loss_ratio)
    picture = conference.video_quality(np.maximum(rate_bps - speech_bps, 1.0), fps, lost_percent)
    return audiovisual_quality(picture, speech)


def rung_of(media_bps: Any) -> Any:
    """Return the rung whose bitrate is nearest (by ratio) to what is played."""
    edges = np.sqrt(LADDER_BPS[1:] * LADDER_BPS[:-1])
    return np.searchsorted(edges, media_bps)


def streaming_quality(media_bps: Any) -> Any:
    """Video quality O22 (ITU-T P.1203.1 mode 0) of adaptive video at a bitrate, sound included."""
    media_bps = np.asarray(media_bps, dtype=np.float64)
    rung = rung_of(media_bps)
    picture_bps = media_bps - np.minimum(LADDER_AUDIO_BPS, media_bps / 3.0)
    return video.video_quality(picture_bps, LADDER_WIDTH[rung], LADDER_HEIGHT[rung], LADDER_FPS)


def session_mos(o22: FloatArray, stalls: list[video.Stall]) -> float:
    """Score a session (P.1203.3) from its video quality per second and its stalls."""
    return integrate(o22, np.full(o22.size, _ladder_sound()), stalls).mos


@cache
def _ladder_sound() -> float:
    return float(video.audio_quality(LADDER_AUDIO_BPS, video.AudioCodec.HE_AAC))


@cache
def rung_mos() -> FloatArray:
    """Score of a minute at each rung of the ladder without a stall (P.1203), rising."""
    scores = [session_mos(np.full(_STEADY_S, o22), []) for o22 in streaming_quality(LADDER_BPS)]
    return np.maximum.accumulate(scores)


@cache
def _stalled_curve() -> tuple[FloatArray, FloatArray]:
    """Part of the lowest rung's rate that is there, and the score of a minute stalled for want of it."""
    there = np.linspace(0.05, 1.0, 20)
    o22 = np.full(_STEADY_S, float(streaming_quality(LADDER_BPS[0])))
    positions = np.arange(5.0, _STEADY_S, 10.0)
    each_s = _STEADY_S * (1.0 / there - 1.0) / positions.size
    scores = [session_mos(o22, [video.Stall(p, s) for p in positions]) for s in each_s]
    return np.concatenate([[0.0], there]), np.maximum.accumulate([1.0, *scores])


def stalled_mos(there_ratio: Any) -> Any:
    """MOS of video when only a part (0 to 1) of the lowest rung's rate is there: it stalls (P.1203)."""
    return np.interp(there_ratio, *_stalled_curve())


def kept_ratio(there_ratio: Any) -> Any:
    """Part of what a score is above 1 that is left when only a part (0 to 1) of the time is play.

    That of the lowest rung, for every rung: P.1203.3 multiplies by a stalling index, whatever is played.
    """
    return (stalled_mos(there_ratio) - 1.0) / (rung_mos()[0] - 1.0)


def bitrate_mos(media_bps: Any) -> Any:
    """MOS of a minute of adaptive video at any bitrate: `rung_mos`, between rungs by the logarithm."""
    return np.interp(np.log(media_bps), np.log(LADDER_BPS), rung_mos())


def throughput_video_mos(rate_bps: Any) -> Any:
    """MOS of adaptive video whose mean rate alone is known: at the rung below, or stalled."""
    rate_bps = np.asarray(rate_bps, dtype=np.float64)
    rung = np.searchsorted(LADDER_BPS, rate_bps, "right") - 1
    played = rung_mos()[np.maximum(rung, 0)]
    return np.where(rung >= 0, played, stalled_mos(rate_bps / LADDER_BPS[0]))


def cloud_game_mos(rate_bps: Any, rtt_ms: Any, loss_ratio: Any, *, late_ratio: Any = 0.0) -> Any:
    """MOS of cloud gaming at 60 frames a second, in the picture size that suits the rate (ITU-T G.1072).

    Of the ratios, 0 to 1, lost packets make the picture freeze; frames that come too late are skipped.
    """
    sizes = [
        gaming.mos_cloud(
            rate_bps,
            CLOUD_FPS,
            width,
            height,
            rtt_ms,
            freezing_loss_percent=100.0 * np.asarray(loss_ratio),
            late_frames_percent=100.0 * np.asarray(late_ratio),
        )
        for width, height in _CLOUD_PICTURES
    ]
    return np.maximum.reduce(sizes)


def is_cloud_game(rate_bps: Any, packet_bytes: Any) -> Any:
    """Tell a streamed picture (cloud gaming) from the updates of a game played on the device."""
    return (rate_bps > _CLOUD_BPS) & (np.nan_to_num(packet_bytes) > _CLOUD_PACKET_BYTES)


def native_game_mos(rtt_ms: Any, jitter_ms: Any, loss_ratio: Any) -> Any:
    """MOS of a game rendered on the player's device.

    Jitter is waited out, and a lost update costs until the next or the repair: one round trip more, times
    the loss. The delay term of G.1072 (`qoe.mos.gaming.mos_native`); what is lost beyond that takes the part
    of the scale above 1 away with its square, our choice, so that nothing delivered is worth nothing.
    """
    there = np.clip(1.0 - np.asarray(loss_ratio), 0.0, 1.0)
    mos = gaming.mos_native(rtt_ms + jitter_ms + loss_ratio * rtt_ms)
    return 1.0 + (mos - 1.0) * there**2


def page_mos(page_s: Any) -> Any:
    """MOS of a page from the time it takes (ITU-T G.1030)."""
    return web.mos_page(page_s, PAGE_EXPECTED_S)


def page_time_s(page_bytes: Any, rate_bps: Any, rtt_ms: Any) -> Any:
    """Time that a page takes at a rate: handshakes, slow start, transfer."""
    return web.page_time_s(page_bytes, np.maximum(rate_bps, 1.0), np.asarray(rtt_ms) / 1e3)


def download_mos(rate_bps: Any) -> Any:
    """MOS of a transfer by the logarithm of its rate."""
    return web.mos_download(np.maximum(rate_bps, 1.0), DOWNLOAD_MOS1_BPS, DOWNLOAD_MOS5_BPS)
