"""What was played and where it stalled, and its quality second by second: input of P.1203.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qoe.errors import ProblemError
from qoe.mos.p1203 import AudioCodec, Codec, Device, audio_quality, extend_codec, video_quality
from qoe.schema import FloatArray

IndexArray: TypeAlias = npt.NDArray[np.intp]

_WINDOW_S: Final = 10.0
"""Reach of the measurement window on either side of a second."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of video at one quality.

    Attributes
    ----------
    bitrate_bps : float
        Mean bitrate of the segment.
    width, height : int
        Encoded picture size.
    fps : float
        Frame rate.
    duration_s : float
        Media time, more than 0.
    representation : str, optional
        Name of the quality level. Neighbours of the same name within 10 s have their bitrates averaged;
        None: each segment stands for itself.
    codec : Codec
        Codec of the video; other than H.264 by a correction that is not part of the Recommendation
        (:func:`qoe.mos.p1203.extend_codec`).
    """

    bitrate_bps: float
    width: int
    height: int
    fps: float
    duration_s: float
    representation: str | None = None
    codec: Codec = Codec.H264


@dataclass(frozen=True, slots=True)
class AudioSegment:
    """A stretch of audio at one quality.

    Attributes
    ----------
    bitrate_bps : float
        Bitrate of the audio.
    duration_s : float
        Media time, more than 0.
    codec : AudioCodec
        Audio codec.
    """

    bitrate_bps: float
    duration_s: float
    codec: AudioCodec = AudioCodec.AAC_LC


@dataclass(frozen=True, slots=True)
class Stall:
    """Playback stands still.

    Attributes
    ----------
    position_s : float
        Media time at which it happens; 0 is the initial loading.
    duration_s : float
        How long it lasts.
    """

    position_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Session:
    """One viewing of a stream.

    Attributes
    ----------
    segments : sequence of Segment
        Video in the order of play; one second or more in all.
    stalls : sequence of Stall
        In any order.
    audio : sequence of AudioSegment
        In the order of play; empty: perfect audio is assumed, as the Recommendation has it for video
        without sound.
    display_width, display_height : int
        Size at which the video is shown.
    device : Device
        What it is watched on.
    """

    segments: Sequence[Segment]
    stalls: Sequence[Stall] = ()
    audio: Sequence[AudioSegment] = ()
    display_width: int = 1920
    display_height: int = 1080
    device: Device = Device.PC


def video_per_second(session: Session) -> FloatArray:
    """O22 per second of media, shape (seconds,): second t has the segment played just before t + 1."""
    segments = session.segments
    for i, s in enumerate(segments):
        if not all(x > 0 for x in (s.bitrate_bps, s.width, s.height, s.fps, s.duration_s)):
            raise ProblemError(
                f"segment {i}: bitrate, size, frame rate and duration must be above 0, got {s}"
            )
    ends = np.cumsum([s.duration_s for s in segments])
    playing = _playing(ends)
    bitrates = np.array([s.bitrate_bps for s in segments])[playing]
    if any(s.representation is not None for s in segments):
        bitrates = _averaged_bitrates(segments, ends, playing)
    o22 = np.asarray(
        video_quality(
            bitrates,
            np.array([s.width for s in segments])[playing],
            np.array([s.height for s in segments])[playing],
            np.array([s.fps for s in segments])[playing],
            display_width=session.display_width,
            display_height=session.display_height,
            device=session.device,
        )
    )
    for codec in {s.codec for s in segments} - {Codec.H264}:
        coded = np.array([s.codec is codec for s in segments])[playing]
        o22[coded] = extend_codec(o22[coded], codec)
    return o22


def audio_per_second(session: Session, seconds: int) -> FloatArray:
    """O21 per second of media, shape (seconds,); 5 without audio."""
    if not session.audio:
        return np.full(seconds, 5.0)
    scores = np.array([audio_quality(s.bitrate_bps, s.codec) for s in session.audio])
    return scores[_playing(np.cumsum([s.duration_s for s in session.audio]))]


def _playing(ends_s: FloatArray) -> IndexArray:
    """Index of the segment that plays at the end of every full second; 0.99 s count as a full one."""
    seconds = int(np.floor(ends_s[-1] + 0.01)) if ends_s.size else 0
    if seconds < 1:
        raise ProblemError(
            "session: less than one second of media; P.1203 scores sessions of seconds to minutes"
        )
    return np.minimum(np.searchsorted(ends_s, np.arange(1, seconds + 1) - 1e-9), ends_s.size - 1)


def _averaged_bitrates(segments: Sequence[Segment], ends_s: FloatArray, playing: IndexArray) -> FloatArray:
    """Bitrate per second, averaged over the run of equal representations within the window around it."""
    starts = ends_s - [s.duration_s for s in segments]
    names = [s.representation for s in segments]
    rates = np.array([s.bitrate_bps for s in segments])
    averaged = np.empty(len(playing))
    for second, i in enumerate(playing):
        first = last = int(i)
        while names[i] is not None and first > 0 and names[first - 1] == names[i]:
            first -= 1
        while names[i] is not None and last + 1 < len(names) and names[last + 1] == names[i]:
            last += 1
        run, now = slice(first, last + 1), second + 1.0
        inside = np.minimum(ends_s[run], now + _WINDOW_S) - np.maximum(starts[run], now - _WINDOW_S)
        averaged[second] = np.average(rates[run], weights=np.maximum(inside, 0.0))
    return averaged
