"""Equipment impairments of speech codecs, for the E-model.

Ie and Bpl depend on the scale: use a codec's narrowband values with ``mos_nb``, its wideband values
with ``mos_wb`` and its fullband values with ``mos_fb``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from qoe.errors import ProblemError
from qoe.mos._numeric import Numeric, elementwise
from qoe.mos.rating import Scale

NB_TO_WB: Final = 35.8
"""What a narrowband Ie gains on the wideband scale (ITU-T G.107.1)."""
WB_TO_FB: Final = 19.0
"""What a wideband Ie gains on the fullband scale (ITU-T G.107.2); the way back is not defined."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One speech codec at one rate.

    Attributes
    ----------
    name : str
        Codec and options.
    scale : Scale
        Scale that `ie` and `bpl` belong to.
    bitrate_bps : float
        Rate of the codec.
    packet_ms : float or None
        Packet interval that `bpl` was determined for; None: not stated.
    ie : float
        Equipment impairment factor.
    bpl : float or None
        Packet-loss robustness factor; None: not published for this rate.
    source : str
        Where the values stand.
    """

    name: str
    scale: Scale
    bitrate_bps: float
    packet_ms: float | None
    ie: float
    bpl: float | None
    source: str


_I4: Final = "ITU-T G.113 (09/2024) Table I.4"
_I1: Final = "ITU-T G.113 (09/2024) Table I.1"
_IV1: Final = "ITU-T G.113 (09/2024) Table IV.1"
_IV3: Final = "ITU-T G.113 (09/2024) Tables IV.3 and IV.4"
_V1: Final = "ITU-T G.113 (09/2024) Tables V.1 and V.3 with Erratum 1 (01/2026)"
_EFR: Final = "heuristic: the values of GSM-EFR, whose coder this mode is; G.113 has none for AMR"

_ROWS: Final = (
    ("G.711", Scale.NB, 64.0, 10.0, 0.0, 4.3, _I4),
    ("G.711 PLC", Scale.NB, 64.0, 10.0, 0.0, 25.1, _I4),
    ("G.723.1 VAD", Scale.NB, 6.3, 30.0, 15.0, 16.1, _I4),
    ("G.729A VAD", Scale.NB, 8.0, 20.0, 11.0, 19.0, _I4),
    ("GSM-EFR", Scale.NB, 12.2, 20.0, 5.0, 10.0, _I4),
    ("G.726", Scale.NB, 40.0, None, 2.0, None, _I1),
    ("G.726", Scale.NB, 32.0, None, 7.0, None, _I1),
    ("G.726", Scale.NB, 24.0, None, 25.0, None, _I1),
    ("G.726", Scale.NB, 16.0, None, 50.0, None, _I1),
    ("G.728", Scale.NB, 16.0, None, 7.0, None, _I1),
    ("G.728", Scale.NB, 12.8, None, 20.0, None, _I1),
    ("G.729", Scale.NB, 8.0, None, 10.0, None, _I1),
    ("G.723.1", Scale.NB, 5.3, None, 19.0, None, _I1),
    ("IS-641", Scale.NB, 7.4, None, 10.0, None, _I1),
    ("AMR", Scale.NB, 12.2, 20.0, 5.0, 10.0, _EFR),
    ("AMR-WB monotic", Scale.WB, 23.85, 20.0, 8.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 23.05, 20.0, 1.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 19.85, 20.0, 3.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 18.25, 20.0, 5.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 15.85, 20.0, 7.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 14.25, 20.0, 10.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 12.65, 20.0, 13.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 8.85, 20.0, 26.0, None, _IV1),
    ("AMR-WB monotic", Scale.WB, 6.6, 20.0, 41.0, None, _IV1),
    ("AMR-WB diotic", Scale.WB, 23.85, 20.0, 10.0, 4.9, _IV3),
    ("AMR-WB diotic", Scale.WB, 23.05, 20.0, 8.0, 4.6, _IV3),
    ("AMR-WB diotic", Scale.WB, 15.85, 20.0, 17.0, None, _IV3),
    ("AMR-WB diotic", Scale.WB, 12.65, 20.0, 20.0, 4.3, _IV3),
    ("AMR-WB diotic", Scale.WB, 8.85, 20.0, 41.0, None, _IV3),
    ("AMR-WB diotic", Scale.WB, 6.6, 20.0, 56.0, None, _IV3),
    ("EVS-SWB diotic", Scale.FB, 48.0, 20.0, 10.2, 9.6, _V1),
    ("EVS-SWB diotic", Scale.FB, 32.0, 20.0, 8.7, 9.3, _V1),
    ("EVS-SWB diotic", Scale.FB, 24.4, 20.0, 7.2, 11.4, _V1),
    ("EVS-SWB diotic", Scale.FB, 16.4, 20.0, 10.8, 10.3, _V1),
    ("EVS-SWB diotic", Scale.FB, 13.2, 20.0, 17.1, 11.7, _V1),
    ("EVS-SWB diotic", Scale.FB, 9.6, 20.0, 22.7, 13.0, _V1),
)

CODECS: Final[tuple[Codec, ...]] = tuple(
    Codec(name, scale, round(kbps * 1e3), packet_ms, ie, bpl, source)
    for name, scale, kbps, packet_ms, ie, bpl, source in _ROWS
)
"""Codecs with published impairments.

Monotic: heard on one ear, as on a handset; diotic: on both. The AMR-WB values are not monotonic in the
rate (23.85 kbit/s is worse than 23.05): so published. Two rows of G.1070 without a legible codec name
(Ie 4, Bpl 8.1 and Ie 0, Bpl 4.8) are left out.
"""


def find(name: str, scale: Scale, bitrate_bps: float | None = None) -> Codec:
    """Look up a codec.

    Parameters
    ----------
    name : str
        As in :data:`CODECS`, in any case.
    scale : Scale
        Scale of the impairments wanted.
    bitrate_bps : float, optional
        The entry of the nearest rate is returned; None: the highest rate.

    Raises
    ------
    ProblemError
        There is no such codec on this scale.
    """
    matches = [c for c in CODECS if c.scale is scale and c.name.lower() == name.lower()]
    if not matches:
        known = ", ".join(sorted({c.name for c in CODECS if c.scale is scale}))
        raise ProblemError(
            f"codec {name!r} has no impairment on the {scale.name} scale: choose one of {known}"
        )
    if bitrate_bps is None:
        return max(matches, key=lambda c: c.bitrate_bps)
    return min(matches, key=lambda c: abs(c.bitrate_bps - bitrate_bps))


@elementwise
def opus_ie(bitrate_bps: Numeric) -> Any:
    """Estimate the impairment of Opus: ``55 - 4.6 ln(bitrate)``, 0 to 30.

    Parameters
    ----------
    bitrate_bps : float or ndarray
        Rate of the codec, at least 1 bit/s.

    Notes
    -----
    A heuristic of WebRTC monitors (rtcscore) on a scale whose best R is 100. No Recommendation has values
    for Opus: G.113 (09/2024) does not list it. With in-band FEC they assume a Bpl of 20, without 10.
    """
    return np.clip(55.0 - 4.6 * np.log(np.maximum(bitrate_bps, 1.0)), 0.0, 30.0)
