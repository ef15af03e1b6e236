"""Game play: cloud gaming (ITU-T G.1072), games rendered on the player's device, two classic models."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np

from qoe.mos._numeric import Numeric, clip_percent, elementwise

MOS_MIN: Final = 1.3
MOS_MAX: Final = 4.64
"""Ends of the G.1072 scale."""


class _Encoding(NamedTuple):
    """Coefficients of video coding and slicing loss, named as in G.1072."""

    a1: float
    a2: float
    a3: float
    a4: float
    a31: float
    a32: float
    a33: float
    c1: float
    c2: float
    c21: float
    c23: float
    q1: float
    q2: float


class Complexity(Enum):
    """Encoding complexity of a game (G.1072); HIGH when the game is not known."""

    LOW = _Encoding(
        a1=52.505238, a2=-28.0170325, a3=-2.68405109, a4=5.46647668,
        a31=12.4214486, a32=-28.0191642, a33=0.215799183,
        c1=19.7091683, c2=3358.30546, c21=28.369915, c23=0.0234972977,
        q1=1.64739513e-3, q2=0.0895913579,
    )  # fmt: skip
    MEDIUM = _Encoding(
        a1=37.9882097, a2=-13.7207634, a3=8.57836656, a4=3.2658129,
        a31=6.83275916, a32=-127.997288, a33=0.479594798,
        c1=0.612878511, c2=1.39396166e-3, c21=56.2892863, c23=4.75669545e-3,
        q1=0.0581327058, q2=2.38014343,
    )  # fmt: skip
    HIGH = _Encoding(
        a1=47.7463038, a2=-12.0699723, a3=9.05167501, a4=3.41919377,
        a31=7.62306351, a32=-167.837954, a33=0.0760332685,
        c1=1.57176227, c2=3.68595885, c21=74.0570804, c23=4.06000335e-3,
        q1=2.58892015e-8, q2=0.868406685,
    )  # fmt: skip


class _Interaction(NamedTuple):
    """Coefficients of frame rate (d: video, e: input) and delay (f), named as in G.1072."""

    d: tuple[float, float, float, float]
    e: tuple[float, float, float, float]
    f: tuple[float, float, float, float]


_SENSITIVE: Final = _Interaction(
    d=(47.03, 0.01747, -1.823, 10.7), e=(54.71, 0.02589, -2.485, 9.306), f=(90.0, 1.191, 0.009775, -18.73)
)


class Sensitivity(Enum):
    """How sensitive the input of a game is to delay and frame loss (G.1072).

    G.1072 has one set of coefficients for MEDIUM and HIGH: the members are aliases.
    """

    LOW = _Interaction(
        d=(29.13, 0.01344, -1.283, 6.724),
        e=(23.43, 0.008574, -0.9253, 5.855),
        f=(47.97, 2.097, 0.01073, -4.567),
    )
    HIGH = _SENSITIVE
    MEDIUM = _SENSITIVE


@elementwise
def mos_cloud(
    bitrate_bps: Numeric,
    fps: Numeric,
    width: Numeric,
    height: Numeric,
    delay_ms: Numeric,
    *,
    freezing_loss_percent: Numeric = 0.0,
    slicing_loss_percent: Numeric = 0.0,
    late_frames_percent: Numeric = 0.0,
    complexity: Complexity = Complexity.HIGH,
    sensitivity: Sensitivity = Sensitivity.HIGH,
) -> Any:
    """MOS of a cloud-gaming session (ITU-T G.1072, 01/2020 with Cor. 1), 1.3 to 4.64.

    Parameters
    ----------
    bitrate_bps : float or ndarray
        Video bitrate; at least 1 bit/s; validated for 0.3 to 50 Mbit/s.
    fps : float or ndarray
        Encoded frame rate, clipped to 10..60.
    width, height : float or ndarray
        Encoded picture size; validated for 640x480, 1280x720 and 1920x1080.
    delay_ms : float or ndarray
        Network delay (round trip), negative counts as 0; validated to 400 ms.
    freezing_loss_percent : float or ndarray
        Packet loss where a damaged frame is not shown (TCP-like, retransmitted or frozen), clipped to
        0..100; validated to 5 %.
    slicing_loss_percent : float or ndarray
        Packet loss where damaged frames are shown (plain UDP), clipped to 0..100; validated to 2 %.
    late_frames_percent : float or ndarray
        Frames that came too late to be shown: skipped as those that freezing skips, clipped to 0..100.
    complexity : Complexity
        Encoding complexity class of the game.
    sensitivity : Sensitivity
        Interaction sensitivity class of the game.

    Returns
    -------
    float or ndarray
        MOS on the scale of G.1072.

    Notes
    -----
    The logarithms are natural, which is what reproduces the numbers published by the editor of the
    Recommendation. A loss hurts a high bitrate more than a low one (more packets a frame): MOS rises
    with the bitrate only as long as nothing is lost.
    """
    bpp, frame_rate = (
        np.maximum(bitrate_bps, 1.0) / (width * height * np.clip(fps, 10, 60)),
        np.clip(fps, 10, 60),
    )
    coding = coding_impairment(bpp, complexity)
    lost_frames = frame_loss_percent(bitrate_bps, frame_rate, delay_ms, freezing_loss_percent)
    shown = (1.0 - lost_frames / 100.0) * (1.0 - clip_percent(late_frames_percent) / 100.0)
    video, control = frame_impairments(frame_rate, 100.0 * (1.0 - shown), sensitivity)
    return mos_from_impairment(
        0.788 * coding
        + 0.896 * slicing_impairment(coding, slicing_loss_percent, complexity)
        + 0.227 * video
        + 0.625 * control
        + 0.848 * delay_impairment(delay_ms, sensitivity)
    )


@elementwise
def mos_native(delay_ms: Numeric, sensitivity: Sensitivity = Sensitivity.HIGH) -> Any:
    """MOS of a game that is rendered on the player's device: the delay term of G.1072 alone.

    Parameters
    ----------
    delay_ms : float or ndarray
        Network delay (round trip), negative counts as 0; validated to 400 ms. Jitter counts as far as
        the game waits it out: add what its buffer adds.
    sensitivity : Sensitivity
        Interaction sensitivity class of the game.

    Returns
    -------
    float or ndarray
        MOS on the scale of G.1072, 1.3 to 4.64.

    Notes
    -----
    Not a standard: no Recommendation covers native games by delay alone. ``R = 100 - 0.848 Idel``, with
    coding, frame-rate and loss impairments of G.1072 at 0.
    """
    return mos_from_impairment(0.848 * delay_impairment(delay_ms, sensitivity))


@elementwise
def mos_from_impairment(impairment: Numeric) -> Any:
    """MOS from the weighted sum of impairments (G.1072): the cubic of G.107 between 1.3 and 4.64."""
    r = np.clip(100.0 - impairment, 0.0, 100.0)
    mos = MOS_MIN + (MOS_MAX - MOS_MIN) * r / 100.0 + r * (r - 60.0) * (100.0 - r) * 7e-6
    return np.clip(mos, MOS_MIN, MOS_MAX)


@elementwise
def coding_impairment(bits_per_pixel: Numeric, complexity: Complexity = Complexity.HIGH) -> Any:
    """IVQcod of G.1072: what compression costs, 0 to 65.

    Parameters
    ----------
    bits_per_pixel : float or ndarray
        Bitrate over pixels a second.
    complexity : Complexity
        Encoding complexity class of the game.
    """
    k = complexity.value
    content = k.a31 * np.exp(k.a32 * bits_per_pixel) + k.a33
    return np.clip(k.a1 * np.exp(k.a2 * bits_per_pixel) + k.a3 * content + k.a4, 0.0, 65.0)


@elementwise
def slicing_impairment(
    coding: Numeric, loss_percent: Numeric, complexity: Complexity = Complexity.HIGH
) -> Any:
    """IVQtra of G.1072: what lost slices cost, 0 without loss.

    Parameters
    ----------
    coding : float or ndarray
        :func:`coding_impairment`. Where it exceeds what loss can add on top (c21), loss adds nothing.
    loss_percent : float or ndarray
        Packet loss, clipped to 0..100.
    complexity : Complexity
        Encoding complexity class of the game.
    """
    k, loss = complexity.value, clip_percent(loss_percent)
    magnitude = np.maximum(k.c21 - coding, 0.0) * loss / np.where(loss > 0, coding * k.c23 + loss, 1.0)
    return k.c1 * np.log1p(k.c2 * k.q1 * np.expm1(k.q2 * magnitude))


@elementwise
def frame_loss_percent(bitrate_bps: Numeric, fps: Numeric, delay_ms: Numeric, loss_percent: Numeric) -> Any:
    """FLR of G.1072: frames that freezing skips, percent of `fps`.

    Parameters
    ----------
    bitrate_bps, fps, delay_ms : float or ndarray
        As for :func:`mos_cloud`. Below 16 ms a lost packet is repaired in time and no frame is skipped.
    loss_percent : float or ndarray
        Packet loss, clipped to 0..100.
    """
    mbps = np.maximum(bitrate_bps, 1.0) / 1e6
    per_loss = 0.08526 + 0.00073 * fps + 1.425e-4 * mbps * fps
    exposure = np.where(np.less(delay_ms, 16.0), 0.0, 0.09656 * np.maximum(delay_ms, 16.0) - 1.5)
    return -100.0 * np.expm1(-per_loss * exposure * clip_percent(loss_percent))


def frame_impairments(fps: Any, lost_frames_percent: Any, sensitivity: Sensitivity) -> tuple[Any, Any]:
    """ITVQ and Ifr of G.1072: what a low or uneven frame rate costs video and control.

    Parameters
    ----------
    fps : ndarray
        Frame rate, 10 to 60.
    lost_frames_percent : ndarray
        :func:`frame_loss_percent`.
    sensitivity : Sensitivity
        Interaction sensitivity class of the game.

    Returns
    -------
    video, control : ndarray
        Clipped to 0..61.29 and 0..68.98.
    """

    def impairment(k: tuple[float, float, float, float], ceiling: float) -> Any:
        return np.clip(k[0] + k[1] * fps**2 + k[2] * fps + k[3] * np.log1p(lost_frames_percent), 0.0, ceiling)

    return impairment(sensitivity.value.d, 61.29), impairment(sensitivity.value.e, 68.98)


@elementwise
def delay_impairment(delay_ms: Numeric, sensitivity: Sensitivity = Sensitivity.HIGH) -> Any:
    """Idel of G.1072: what delay costs the input, clipped to 0..68.98.

    Parameters
    ----------
    delay_ms : float or ndarray
        Network delay (round trip); negative counts as 0.
    sensitivity : Sensitivity
        Interaction sensitivity class of the game.
    """
    f1, f2, f3, f4 = sensitivity.value.f
    return np.clip(f1 / (1.0 + np.exp(f2 - f3 * np.maximum(delay_ms, 0.0))) + f4, 0.0, 68.98)


@elementwise
def mos_quake4(ping_ms: Numeric, jitter_ms: Numeric = 0.0) -> Any:
    """MOS of first-person shooting, measured with Quake IV: the G-model of Wattimena et al. (2006).

    Parameters
    ----------
    ping_ms : float or ndarray
        Mean round-trip time; negative counts as 0.
    jitter_ms : float or ndarray
        Mean jitter; negative counts as 0.

    Returns
    -------
    float or ndarray
        MOS, 1 to 4.37.

    Notes
    -----
    "Predicting the perceived quality of a first person shooter: the Quake IV G-model", NetGames 2006:
    a cubic in ``X = 0.104 ping + jitter``. The coefficients have not been compared with the paper's
    print; they fall strictly, as its figure does.
    """
    x = 0.104 * np.maximum(ping_ms, 0.0) + np.maximum(jitter_ms, 0.0)
    return np.clip(((-5.87e-6 * x + 1.39e-3) * x - 0.114) * x + 4.37, 1.0, 5.0)


@elementwise
def score_team_fortress2(delay_ms: Numeric, jitter_ms: Numeric = 0.0) -> Any:
    """Player score in Team Fortress 2 (WPI user study), a coarse linear rule, clipped to 1..5.

    Parameters
    ----------
    delay_ms, jitter_ms : float or ndarray
        Added delay and jitter; negative counts as 0. 800 ms of delay or 80 ms of jitter cost one point.
    """
    return np.clip(4.15 - np.maximum(delay_ms, 0.0) / 800.0 - np.maximum(jitter_ms, 0.0) / 80.0, 1.0, 5.0)
