"""Voice MOS on the three scales."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.mos import voice
from qoe.mos.voice import DelayClass, Echo, Transmission

RATERS = [voice.r_factor_nb, voice.r_factor_wb, voice.r_factor_fb]


def test_wideband_vectors(vectors):
    """G.107.1 reproduces the published and reference values."""
    rows = vectors("g1071_wb")
    assert len(rows) == 36
    for row in rows:
        ie, loss = float(row["Ie_WB"]), float(row["Ppl_pct"])
        bpl = float(row["Bpl_WB"] or 4.3)
        got = voice.mos_wb(0.0, loss, 1.0, ie, bpl)
        if row["output"] == "Ieeff":
            got = 129.0 - voice.r_factor_wb(0.0, loss, 1.0, ie, bpl)
        assert got == pytest.approx(float(row["expected"]), abs=float(row["abs_tol"]), rel=0), row


def test_fullband_vectors(vectors):
    """G.107.2 reproduces the reference values, in one array call."""
    rows = vectors("g1072_fb")
    assert len(rows) == 91
    delay, loss, ie, bpl, r, mos = (
        np.array([float(row[name]) for row in rows])
        for name in ("Ta_ms", "Ppl_pct", "Ie_fb", "Bpl_fb", "R", "MOS_CQEF")
    )
    np.testing.assert_allclose(voice.r_factor_fb(delay, loss, 1.0, ie, bpl), r, atol=1e-9, rtol=0)
    np.testing.assert_allclose(voice.mos_fb(delay, loss, 1.0, ie, bpl), mos, atol=1e-9, rtol=0)


def test_cole_rosenbluth_vectors(vectors):
    """The simplified E-model reproduces its vectors for G.711 and G.729A."""
    import json

    rows = [row for row in vectors("voip_monitors") if row["model"].startswith("cole")]
    assert len(rows) == 48
    for row in rows:
        x = json.loads(row["inputs_json"])
        got = voice.r_factor_cole_rosenbluth(x["d_ms"], x["e"], *x["g"])
        assert got == pytest.approx(float(row["expected"]), abs=float(row["abs_tol"]))


def test_unimpaired_ratings():
    """Without impairment R is 93.2, 129 and 148; wideband with default echo paths 128.85."""
    assert voice.r_factor_nb(0.0) == pytest.approx(93.2, abs=0.05)
    assert voice.r_factor_wb(0.0) == 129.0
    assert voice.r_factor_fb(0.0) == 148.0
    assert voice.r_factor_wb(0.0, echo=Echo()) == pytest.approx(128.85, abs=0.005)


@given(
    st.floats(0, 1000),
    st.floats(0, 100),
    st.floats(1, 8),
    st.floats(0, 60),
    st.floats(1, 40),
    st.sampled_from(DelayClass),
)
def test_short_form_equals_full_model(delay_ms, loss_percent, burst_ratio, ie, bpl, delay_class):
    """The short narrowband form is the full E-model with everything else at its default."""
    s_t, m_t_ms = delay_class.value
    full = voice.rate(
        Transmission(
            ta_ms=delay_ms,
            loss_percent=loss_percent,
            burst_ratio=burst_ratio,
            ie=ie,
            bpl=bpl,
            a=5.0,
            s_t=s_t,
            m_t_ms=m_t_ms,
        )
    )
    args = (delay_ms, loss_percent, burst_ratio, ie, bpl)
    assert voice.r_factor_nb(*args, advantage=5.0, delay_class=delay_class) == pytest.approx(full.r, abs=1e-9)
    assert voice.mos_nb(*args, advantage=5.0, delay_class=delay_class) == pytest.approx(full.mos, abs=1e-9)


@pytest.mark.parametrize("rater", RATERS)
def test_falls_with_delay_loss_and_bursts(rater):
    """R never rises with delay, loss or burstiness."""
    grid = np.linspace(0, 1, 101)
    assert (np.diff(rater(2000 * grid)) <= 1e-9).all()
    assert (np.diff(rater(100.0, 100 * grid)) < 0).all()
    assert (np.diff(rater(100.0, 5.0, 1 + 7 * grid)) < 0).all()


def test_echo_makes_wideband_worse():
    """Talker and listener echo lower a wideband rating, the more the later they come."""
    r = voice.r_factor_wb(
        100.0, echo=Echo(t_ms=np.array([0.0, 50.0, 100.0]), tr_ms=np.array([0.0, 100.0, 200.0]))
    )
    assert (np.diff(r) < 0).all()


def test_delay_classes_are_ordered():
    """The less sensitive a conversation is to delay, the higher its rating at 300 ms."""
    r = [
        voice.r_factor_nb(300.0, delay_class=c)
        for c in (DelayClass.DEFAULT, DelayClass.LOW, DelayClass.VERY_LOW)
    ]
    assert r == sorted(r)
    assert r[0] < r[2]


def test_import_is_light():
    """Importing the voice models pulls in no heavy package."""
    heavy = "{'scipy', 'numba', 'pyarrow', 'sklearn', 'matplotlib'}"
    code = f"import sys, qoe.mos.voice; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
