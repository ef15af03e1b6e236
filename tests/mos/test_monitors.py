"""Scores of monitoring tools."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qoe.mos import monitors

RTP = ("loss_pct_int", "jitter_ms", "rtt_ms")
TOOLS = {
    "rtpengine_nb": (lambda *x: 10 * monitors.rtpengine_nb(*x), RTP),
    "rtpengine_fb": (lambda *x: 10 * monitors.rtpengine_fb(*x), RTP),
    "rtpengine_legacy": (lambda *x: 10 * monitors.rtpengine_legacy(*x), RTP),
    "voipmonitor_g711": (monitors.voipmonitor_g711, ("ppl_ratio", "burstr")),
    "pingplotter": (monitors.pingplotter, ("loss_pct", "jitter_ms", "latency_ms")),
    "twilio_video_js": (monitors.twilio, ("lost_pct", "jitter_ms", "rtt_ms")),
    "asterisk_mes": (monitors.asterisk_mes, ("rtt_s", "jitter", "stdev_jitter", "avg_lost")),
}
RTCSCORE = {
    "packetLoss": "loss_percent",
    "bitrate": "bitrate_bps",
    "roundTripTime": "rtt_ms",
    "bufferDelay": "buffer_ms",
    "frameRate": "fps",
    "expectedFrameRate": "expected_fps",
    "pl": "loss_percent",
    "br": "bitrate_bps",
    "rtt": "rtt_ms",
    "buf": "buffer_ms",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_vectors(vectors, tool):
    """Each tool's published tests and formula are met, one by one and in one array call."""
    model, names = TOOLS[tool]
    rows = [row for row in vectors("voip_monitors") if row["model"] == tool]
    assert rows
    inputs = np.array([[json.loads(row["inputs_json"])[name] for name in names] for row in rows], float)
    expected = [float(row["expected"]) for row in rows]
    tolerance = float(rows[0]["abs_tol"]) + 1e-9  # tenfold tenths are not whole in binary
    assert [model(*x) for x in inputs] == pytest.approx(expected, abs=tolerance)
    assert model(*inputs.T) == pytest.approx(expected, abs=tolerance)


def _rtcscore(kind, stats):
    options = {RTCSCORE.get(name, name): value for name, value in stats.items()}
    if kind == "audio":
        return monitors.rtcscore_audio(**options)
    return monitors.rtcscore_video(vp9=options.pop("codec", None) == "vp9", **options)


def test_rtcscore_vectors(vectors):
    """Rtcscore's audio and video scores are met, its slip with long delays included."""
    rows = vectors("rtcscore")
    assert len(rows) == 20
    for row in rows:
        assert _rtcscore(row["kind"], json.loads(row["stats_json"])) == pytest.approx(
            float(row["MOS"]), abs=1e-9
        )
    others = [row for row in vectors("voip_monitors") if row["model"] == "rtcscore_audio"]
    assert len(others) == 11
    for row in others:
        got = _rtcscore("audio", json.loads(row["inputs_json"]))
        assert got == pytest.approx(float(row["expected"]), abs=float(row["abs_tol"]))


def test_every_vector_has_a_tool(vectors):
    """No row of the monitors' vectors is left untested."""
    tested = {*TOOLS, "rtcscore_audio", "cole_rosenbluth_g711", "cole_rosenbluth_g729a"}
    assert {row["model"] for row in vectors("voip_monitors")} == tested


def test_freeswitch_counts_flaws():
    """Whole percents of packets without flaw, never below 0."""
    assert monitors.freeswitch_quality(200, 3) == 98.0
    assert monitors.freeswitch_quality(200, 300) == 0.0


def test_voipmonitor_burst_ratio():
    """Fewer than five losses are ignored; else the mean burst times the fraction received."""
    assert monitors.voipmonitor_burst_ratio(4, 1, 1000) == 1.0
    assert monitors.voipmonitor_burst_ratio(20, 10, 1000) == pytest.approx(2 * 0.98)
