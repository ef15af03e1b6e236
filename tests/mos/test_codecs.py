"""Codec constants."""

from __future__ import annotations

import numpy as np
import pytest

from qoe.errors import ProblemError
from qoe.mos import codecs, voice
from qoe.mos.rating import Scale

NAMES = {
    "G.711 no PLC": "G.711",
    "G.711 with PLC (App I)": "G.711 PLC",
    "G.723.1+VAD": "G.723.1 VAD",
    "G.729A+VAD": "G.729A VAD",
    "G.726/G.727": "G.726",
    "G.729/G.729A": "G.729",
    "G.723.1 ACELP": "G.723.1",
    "TIA IS-641": "IS-641",
    "AMR-WB monotic": "AMR-WB monotic",
    "AMR-WB diotic": "AMR-WB diotic",
    "EVS SWB diotic": "EVS-SWB diotic",
}


def test_published_rows(vectors):
    """Every labelled row of G.113 is in the table with its numbers."""
    rows = [row for row in vectors("codec_ie_bpl") if row["Ie"] and row["kbps"]]
    for row in rows:
        name = NAMES.get(row["codec"], row["codec"])
        codec = codecs.find(name, Scale[row["scale"]], float(row["kbps"]) * 1e3)
        assert codec.bitrate_bps == pytest.approx(float(row["kbps"]) * 1e3)
        assert codec.ie == float(row["Ie"])
        assert codec.bpl == (float(row["Bpl"]) if row["Bpl"] else None)
        assert codec.packet_ms == (float(row["packet_ms"]) if row["packet_ms"] else None)
    assert len(codecs.CODECS) == len(rows) + 1  # AMR 12.2, which stands in by GSM-EFR


def test_find_takes_the_nearest_rate():
    """Without a rate the highest is meant; otherwise the nearest."""
    assert codecs.find("g.726", Scale.NB).bitrate_bps == 40_000
    assert codecs.find("G.726", Scale.NB, 17e3).bitrate_bps == 16_000


def test_find_names_the_choices():
    """An unknown codec, or one of another scale, is refused with the choices there are."""
    with pytest.raises(ProblemError, match=r"'Opus'.*WB scale.*AMR-WB"):
        codecs.find("Opus", Scale.WB)
    with pytest.raises(ProblemError, match="AMR-WB"):
        codecs.find("G.711", Scale.WB)


def test_narrowband_codec_among_wideband():
    """G.711 on the wideband scale has the narrowband rating of 93.2."""
    g711 = codecs.find("G.711", Scale.NB)
    assert voice.r_factor_wb(0.0, ie=g711.ie + codecs.NB_TO_WB) == pytest.approx(93.2)


def test_opus_heuristic():
    """More bits impair less, within 0 and 30."""
    ie = codecs.opus_ie(np.array([0.0, 6e3, 16e3, 64e3, 510e3]))
    assert ie[0] == 30.0
    assert (np.diff(ie) <= 0).all()
    assert ie[-1] == 0.0
