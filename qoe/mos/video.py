"""Video streaming: P.1203 mode 0 under one roof, other codecs, and models of stalling alone.

==========================  ========================================================================
a session                   ``session_mos(Session(segments, stalls))`` (P.1203.3)
one second or one rung      ``video_quality(bitrate_bps, width, height, fps)`` (P.1203.1), vectorised
its sound                   ``audio_quality(bitrate_bps, codec)`` (P.1203.2)
only stalls are known       ``mos_stalling`` (Hossfeld), ``mos_buffering`` (Mok)
==========================  ========================================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qoe.mos._numeric import Numeric, elementwise
from qoe.mos.p1203 import AudioCodec, Codec, Device, audio_quality, extend_codec, video_quality
from qoe.mos.p1203_session import Forest, SessionQuality, session_mos, session_quality
from qoe.mos.p1203_timeline import AudioSegment, Segment, Session, Stall

__all__ = [
    "AudioCodec",
    "AudioSegment",
    "Codec",
    "Device",
    "Forest",
    "Segment",
    "Session",
    "SessionQuality",
    "Stall",
    "audio_quality",
    "extend_codec",
    "mos_buffering",
    "mos_stalling",
    "session_mos",
    "session_quality",
    "video_quality",
]


@elementwise
def mos_stalling(n_stalls: Numeric, mean_stall_s: Numeric) -> Any:
    """MOS of a short clip from its stalls alone: ``3.50 exp(-(0.15 L + 0.19) N) + 1.50``.

    Parameters
    ----------
    n_stalls : float or ndarray
        Stalls in a clip of about 30 s (N); negative counts as 0.
    mean_stall_s : float or ndarray
        Their mean length (L); negative counts as 0.

    Returns
    -------
    float or ndarray
        MOS, 1.5 to 5.

    Notes
    -----
    Hossfeld et al., "Quantification of YouTube QoE via crowdsourcing", IEEE ISM 2011. The outer
    constants have not been compared with the paper's print.
    """
    severity = 0.15 * np.maximum(mean_stall_s, 0.0) + 0.19
    return 3.50 * np.exp(-severity * np.maximum(n_stalls, 0.0)) + 1.50


@elementwise
def mos_buffering(startup_s: Numeric, rebuffer_per_s: Numeric, mean_rebuffer_s: Numeric) -> Any:
    """MOS from start-up and rebuffering, each in levels: ``4.23 - 0.0672 Lti - 0.742 Lfr - 0.106 Ltr``.

    Parameters
    ----------
    startup_s : float or ndarray
        Initial loading time; level 1 to 1 s, 2 to 5 s, then 3.
    rebuffer_per_s : float or ndarray
        Rebuffering events a second; level 1 to 0.02, 2 to 0.15, then 3.
    mean_rebuffer_s : float or ndarray
        Their mean length; level 1 to 5 s, 2 to 10 s, then 3.

    Returns
    -------
    float or ndarray
        MOS, 1.48 to 4.23.

    Notes
    -----
    Mok, Chan and Chang, "Measuring the quality of experience of HTTP video streaming", IFIP/IEEE IM
    2011. Nothing at all (0 or less) is level 0; some implementations start at level 1 instead.
    """
    loading = _level(startup_s, 1.0, 5.0)
    frequency = _level(rebuffer_per_s, 0.02, 0.15)
    length = _level(mean_rebuffer_s, 5.0, 10.0)
    return 4.23 - 0.0672 * loading - 0.742 * frequency - 0.106 * length


def _level(value: Any, low: float, high: float) -> Any:
    return (value > 0.0).astype(float) + (value > low) + (value > high)
