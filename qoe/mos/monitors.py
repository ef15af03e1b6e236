"""Scores that well-known monitoring tools report: to compare with, not to rely on.

Each function follows the published behaviour of one tool, including what is odd about it, so that its
users can see where our estimate and the score they know differ, and why. Units are the tools' own.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from qoe.mos._numeric import Numeric, clip_percent, elementwise
from qoe.mos.emodel import delay_impairment
from qoe.mos.voice import R_DEFAULT_NB

_CUBIC: Final = 7e-6


def _cubic(r: Any) -> Any:
    """G.107 Annex B without its limits, as most tools have it."""
    return 1.0 + 0.035 * r + _CUBIC * r * (r - 60.0) * (100.0 - r)


def _fixed_point_mos(r: Any) -> Any:
    """Ten times the MOS, in integers: rtpengine cuts every term to 0.01 and the sum to 0.1."""
    x = np.trunc(r * 1e3) / 1e3
    linear = np.trunc(3.5 * x + 1e-9)
    cubic = np.trunc(x * (x - 60.0) * (100.0 - x) * 7e-4)
    tenths = np.maximum(np.floor((100.0 + linear + cubic) / 10.0), 10.0)
    return np.where(x < 0.0, 10.0, np.where(x > 100.0, 45.0, tenths)) / 10.0


def _effective_latency(rtt_ms: Any, jitter_ms: Any) -> Any:
    return rtt_ms + 2.0 * jitter_ms + 10.0


def _latency_rating(r0: float, latency_ms: Any) -> Any:
    """Rating left by an effective latency: the rule of thumb that PingPlotter made popular."""
    return np.where(latency_ms < 160.0, r0 - latency_ms / 40.0, r0 - (latency_ms - 120.0) / 10.0)


@elementwise
def rtpengine_nb(loss_percent: Numeric, jitter_ms: Numeric, rtt_ms: Numeric) -> Any:
    """Narrowband MOS of rtpengine, in steps of 0.1; a perfect call has 4.3.

    Parameters
    ----------
    loss_percent : float or ndarray
        Whole percents, as RTCP's fraction lost gives them.
    jitter_ms, rtt_ms : float or ndarray
        RTCP interarrival jitter and round-trip time.

    Notes
    -----
    ``R = 0.18 r^2 - 27.9 r + 1126.62 - Id`` with ``r = 93.2 - loss``,
    ``Id = 0.024 d + 0.11 (d - 177.3)+`` and ``d = RTT / 2 + jitter``, in fixed-point numbers.
    """
    d = rtt_ms / 2.0 + jitter_ms
    delay = 0.024 * d + 0.11 * np.maximum(d - 177.3, 0.0)
    r = np.where(np.floor(loss_percent) <= 93.0, 93.2 - np.floor(loss_percent), 0.0)
    return _fixed_point_mos(0.18 * r * r - 27.9 * r + 1126.62 - delay)


@elementwise
def rtpengine_fb(loss_percent: Numeric, jitter_ms: Numeric, rtt_ms: Numeric) -> Any:
    """Fullband MOS of rtpengine, in steps of 0.1: G.107.2 with Ie 10.2 and Bpl 4.3 for every codec.

    Parameters
    ----------
    loss_percent, jitter_ms, rtt_ms : float or ndarray
        As for :func:`rtpengine_nb`.
    """
    loss = clip_percent(np.floor(loss_percent))
    equipment = 10.2 + (132.0 - 10.2) * loss / (loss + 4.3)
    r = 148.0 - 1.48 * delay_impairment(rtt_ms / 2.0 + jitter_ms) - equipment
    return _fixed_point_mos(r / 1.48)


@elementwise
def rtpengine_legacy(loss_percent: Numeric, jitter_ms: Numeric, rtt_ms: Numeric) -> Any:
    """MOS of older versions of rtpengine, in steps of 0.1: that of PingPlotter in fixed-point numbers.

    Parameters
    ----------
    loss_percent, jitter_ms, rtt_ms : float or ndarray
        As for :func:`rtpengine_nb`.
    """
    r = _latency_rating(93.2, _effective_latency(rtt_ms, jitter_ms)) - 2.5 * np.floor(loss_percent)
    return _fixed_point_mos(r)


@elementwise
def pingplotter(loss_percent: Numeric, jitter_ms: Numeric, latency_ms: Numeric) -> Any:
    """MOS of PingPlotter: 2.5 rating points for each percent of loss, and an effective latency.

    Parameters
    ----------
    loss_percent : float or ndarray
        Packet loss.
    jitter_ms, latency_ms : float or ndarray
        Jitter and (round-trip) latency; ``latency + 2 jitter + 10`` counts.
    """
    r = _latency_rating(93.2, _effective_latency(latency_ms, jitter_ms)) - 2.5 * loss_percent
    return np.where(r < 0.0, 1.0, np.maximum(_cubic(np.minimum(r, 100.0)), 1.0))


@elementwise
def twilio(loss_percent: Numeric, jitter_ms: Numeric, rtt_ms: Numeric) -> Any:
    """MOS of Twilio's browser library, from an unimpaired rating of 94.768.

    Parameters
    ----------
    loss_percent, jitter_ms, rtt_ms : float or ndarray
        As for :func:`pingplotter`. An effective latency of a second or more, or a loss beyond
        R / 2.5 percent, gives a rating of 0.
    """
    latency = _effective_latency(rtt_ms, jitter_ms)
    r = np.where(latency < 1000.0, _latency_rating(94.768, latency), 0.0)
    r = np.where(loss_percent <= r / 2.5, np.maximum(r - 2.5 * loss_percent, 6.52), 0.0)
    return _cubic(r)


@elementwise
def asterisk_mes(rtt_s: Numeric, jitter: Numeric, jitter_std: Numeric, mean_lost: Numeric) -> Any:
    """Media experience score of Asterisk, 0 to 100: twenty times a MOS.

    Parameters
    ----------
    rtt_s : float or ndarray
        Round-trip time.
    jitter, jitter_std : float or ndarray
        Mean jitter and its standard deviation, as Asterisk keeps them; ``2 jitter std / 3`` counts.
    mean_lost : float or ndarray
        Mean packets lost between reports; each costs two rating points.
    """
    latency = 1000.0 * rtt_s + 2.0 * jitter * jitter_std / 3.0 + 10.0
    r = _latency_rating(93.2, latency) - 2.0 * mean_lost
    return 20.0 * _cubic(np.clip(r, 0.0, 100.0))


@elementwise
def freeswitch_quality(n_received: Numeric, n_flaws: Numeric) -> Any:
    """Quality percentage of FreeSWITCH: packets without flaw, in whole percents.

    Parameters
    ----------
    n_received, n_flaws : float or ndarray
        Packets received, and those that its jitter analysis calls flawed.
    """
    return np.trunc(100.0 * np.maximum(n_received - n_flaws, 0.0) / n_received)


@elementwise
def voipmonitor_g711(loss_ratio: Numeric, burst_ratio: Numeric = 1.0) -> Any:
    """MOS of VoIPmonitor for G.711 with concealment: loss and burstiness, no delay.

    Parameters
    ----------
    loss_ratio : float or ndarray
        Lost and late packets, 0 to 1; above 0.5 the MOS is 1.
    burst_ratio : float or ndarray
        Burst ratio (:func:`voipmonitor_burst_ratio`).

    Notes
    -----
    The E-model with a Bpl of 17.2647 and a cubic of its own from R to MOS.
    """
    loss = 100.0 * loss_ratio
    r = R_DEFAULT_NB - 95.0 * loss / (loss / burst_ratio + 17.2647)
    mos = 2.06405 + 0.031738 * r - 0.000356641 * r**2 + 2.93143e-6 * r**3
    return np.where(loss_ratio > 0.5, 1.0, np.where(loss_ratio == 0.0, 4.5, np.clip(mos, 1.0, 4.5)))


@elementwise
def voipmonitor_burst_ratio(n_lost: Numeric, n_bursts: Numeric, n_received: Numeric) -> Any:
    """Burst ratio as VoIPmonitor takes it: ``lost / bursts * (1 - lost / received)``.

    Parameters
    ----------
    n_lost, n_bursts, n_received : float or ndarray
        Packets lost, runs of losses, packets received. Fewer than five losses are ignored.
    """
    ratio = n_lost / n_bursts * (1.0 - n_lost / n_received)
    return np.where(n_lost < 5.0, 1.0, ratio)


@elementwise
def rtcscore_audio(
    loss_percent: Numeric = 0.0,
    bitrate_bps: Numeric | None = None,
    rtt_ms: Numeric = 50.0,
    buffer_ms: Numeric = 50.0,
    *,
    fec: bool = True,
    dtx: bool = False,
) -> Any:
    """Audio MOS of rtcscore (WebRTC statistics), 1 to 4.5, rounded to 0.01.

    Parameters
    ----------
    loss_percent : float or ndarray
        Packet loss.
    bitrate_bps : float or ndarray, optional
        Rate of the codec; None: unknown, Ie 6.
    rtt_ms, buffer_ms : float or ndarray
        Round-trip time and jitter-buffer delay.
    fec, dtx : bool
        Forward error correction; discontinuous transmission (Ie 8 at any bitrate).

    Notes
    -----
    E-model with R0 100. Its delay term ``0.1 d - 150`` beyond 150 ms lacks the parentheses of
    ``0.1 (d - 150)`` and is negative up to 1.5 s: a call with 270 ms gets 4.5.
    """
    delay = 20.0 + buffer_ms + rtt_ms / 2.0
    if dtx:
        ie: Any = 8.0
    elif bitrate_bps is None:
        ie = 6.0
    else:
        ie = np.clip(55.0 - 4.6 * np.log(bitrate_bps), 0.0, 30.0)
    equipment = ie + (100.0 - ie) * loss_percent / (loss_percent + (20.0 if fec else 10.0))
    r = 100.0 - equipment - (0.03 * delay + np.where(delay > 150.0, 0.1 * delay - 150.0, 0.0))
    mos = np.where(r > 100.0, 4.5, np.where(r < 0.0, 1.0, _cubic(r)))
    return np.clip(np.round(mos, 2), 1.0, 5.0)


@elementwise
def rtcscore_video(
    bitrate_bps: Numeric,
    fps: Numeric = 30.0,
    width: Numeric = 640.0,
    height: Numeric = 480.0,
    *,
    expected_fps: Numeric | None = None,
    rtt_ms: Numeric = 50.0,
    buffer_ms: Numeric = 0.0,
    vp9: bool = False,
) -> Any:
    """Video MOS of rtcscore (WebRTC statistics), 1 to 5, rounded to 0.01.

    Parameters
    ----------
    bitrate_bps, fps : float or ndarray
        Received bitrate and frame rate.
    width, height : float or ndarray
        Size at which the picture is shown.
    expected_fps : float or ndarray, optional
        Frame rate of the source; None: `fps`.
    rtt_ms, buffer_ms : float or ndarray
        Round-trip time and jitter-buffer delay.
    vp9 : bool
        VP9 counts as 1.2 times its bitrate.
    """
    bits_per_pixel = (1.2 if vp9 else 1.0) * bitrate_bps / (width * height) / fps
    base = np.clip(0.56 * np.log(bits_per_pixel) + 5.36, 1.0, 5.0)
    jerkiness = 1.9 * np.log((fps if expected_fps is None else expected_fps) / fps)
    return np.clip(np.round(base - jerkiness - 0.002 * (buffer_ms + rtt_ms / 2.0), 2), 1.0, 5.0)
