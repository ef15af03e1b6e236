"""From segments to quality per second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.mos.p1203 import AudioCodec, Codec, Device, audio_quality, extend_codec, video_quality
from qoe.mos.p1203_timeline import AudioSegment, Segment, Session, audio_per_second, video_per_second

LOW = Segment(400e3, 640, 360, 25, 4.0)
HIGH = Segment(4e6, 1920, 1080, 25, 6.0)


def _q(segment, bitrate_bps=None):
    return video_quality(bitrate_bps or segment.bitrate_bps, segment.width, segment.height, segment.fps)


def test_each_second_has_its_segment():
    """Seconds take the quality of the segment that plays in them."""
    o22 = video_per_second(Session([LOW, HIGH, LOW]))
    assert o22 == pytest.approx([_q(LOW)] * 4 + [_q(HIGH)] * 6 + [_q(LOW)] * 4)


def test_fractional_segments():
    """A second belongs to the segment that ends it; a rest below 0.99 s is not counted."""
    short, other = Segment(400e3, 640, 360, 25, 1.5), Segment(4e6, 1920, 1080, 25, 2.2)
    assert video_per_second(Session([short, other])) == pytest.approx([_q(short), _q(other), _q(other)])
    almost = Segment(400e3, 640, 360, 25, 1.995)
    assert video_per_second(Session([almost])).size == 2


def test_device_and_display_count():
    """The session's screen and device reach the segment model."""
    session = Session([LOW], display_width=640, display_height=360, device=Device.HANDHELD)
    expected = video_quality(
        400e3, 640, 360, 25, display_width=640, display_height=360, device=Device.HANDHELD
    )
    assert video_per_second(session) == pytest.approx([expected] * 4)


def test_representations_are_averaged_within_the_window():
    """Bitrates of one representation are averaged over 10 s to either side, by time; others stay apart."""
    a, b = Segment(1e6, 1280, 720, 25, 5.0, "720p"), Segment(3e6, 1280, 720, 25, 20.0, "720p")
    other = Segment(9e6, 1920, 1080, 25, 5.0, "1080p")
    o22 = video_per_second(Session([a, b, other]))
    # at 1 s the window is 0..11 s: 5 s of a and 6 s of b; at 18 s it is 8..28 s, of which b has 17 s
    assert o22[0] == pytest.approx(_q(a, (5 * 1e6 + 6 * 3e6) / 11))
    assert o22[17] == pytest.approx(_q(b))
    assert o22[27] == pytest.approx(_q(other))


def test_equal_names_apart_are_not_averaged():
    """A representation that returns after another one starts afresh."""
    a, b, c = (Segment(rate, 1280, 720, 25, 2.0, name) for rate, name in ((1e6, "x"), (5e6, "y"), (3e6, "x")))
    assert video_per_second(Session([a, b, c])) == pytest.approx([_q(a)] * 2 + [_q(b)] * 2 + [_q(c)] * 2)


def test_codecs_are_corrected_segment_by_segment():
    """Only segments of another codec than H.264 are corrected."""
    hevc = replace(HIGH, codec=Codec.HEVC)
    o22 = video_per_second(Session([LOW, hevc, HIGH]))
    assert o22 == pytest.approx([_q(LOW)] * 4 + [extend_codec(_q(HIGH), Codec.HEVC)] * 6 + [_q(HIGH)] * 6)


def test_audio_per_second():
    """Audio follows its own segments; none at all counts as perfect."""
    session = Session([HIGH], audio=[AudioSegment(32e3, 2.0), AudioSegment(192e3, 4.0, AudioCodec.MP2)])
    expected = [audio_quality(32e3)] * 2 + [audio_quality(192e3, AudioCodec.MP2)] * 4
    assert audio_per_second(session, 6) == pytest.approx(expected)
    assert audio_per_second(Session([HIGH]), 6).tolist() == [5.0] * 6


@pytest.mark.parametrize("segments", [[], [Segment(1e6, 640, 360, 25, 0.9)]])
def test_too_short(segments):
    """A session without a full second is refused."""
    with pytest.raises(ProblemError, match="less than one second"):
        video_per_second(Session(segments))


@pytest.mark.parametrize(
    "broken",
    [
        Segment(0.0, 640, 360, 25, 4.0),
        Segment(1e6, 0, 360, 25, 4.0),
        Segment(1e6, 640, 360, float("nan"), 4.0),
        Segment(1e6, 640, 360, 25, -1.0),
    ],
)
def test_bad_segments_are_named(broken):
    """A segment without bitrate, size, rate or length is refused by its number."""
    with pytest.raises(ProblemError, match="segment 1"):
        video_per_second(Session([LOW, broken]))


def test_averaging_window_against_slow_twin():
    """The averaged bitrate equals a mean over hundredths of a second."""
    rng = np.random.default_rng(5)
    segments = [
        Segment(
            float(rng.integers(5, 50)) * 1e5, 1280, 720, 25, float(rng.integers(1, 9)), str(rng.integers(2))
        )
        for _ in range(12)
    ]
    steps = np.concatenate([np.full(int(s.duration_s * 100), i) for i, s in enumerate(segments)])
    names, rates = [s.representation for s in segments], np.array([s.bitrate_bps for s in segments])
    expected = []
    for end in range(100, steps.size + 1, 100):
        first = last = end - 1
        while first > max(0, end - 1000) and names[steps[first - 1]] == names[steps[end - 1]]:
            first -= 1
        while last < min(steps.size, end + 1000) - 1 and names[steps[last + 1]] == names[steps[end - 1]]:
            last += 1
        expected.append(video_quality(rates[steps[first : last + 1]].mean(), 1280, 720, 25))
    assert video_per_second(Session(segments)) == pytest.approx(expected, abs=1e-9)
