"""Web and download MOS, and the generic laws."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.errors import ProblemError
from qoe.mos import web
from qoe.mos.web import Iqx, Task, Wql

TASKS = {"1-page": Task.ONE_PAGE, "2-page": Task.TWO_PAGES, "single": Task.SINGLE_EVENT}


def test_g1030_vectors(vectors):
    """G.1030 reproduces its vectors for pages, searches and events."""
    rows = vectors("g1030_web")
    assert len(rows) == 90
    for row in rows:
        task = TASKS[row["variant"].split()[0]]
        got = web.mos_page(float(row["session_time_s"]), float(row["Max_expected_s"]), task)
        assert got == pytest.approx(float(row["MOS"]), abs=1e-9), row


def test_throughput_vectors(vectors):
    """Throughput, response-time and download models reproduce their vectors."""
    models = {
        "web_throughput": lambda x: web.mos_throughput(x["kbps"] * 1e3),
        "ftp_throughput": lambda x: web.mos_ftp(x["kbps"] * 1e3),
        "web_response_time": lambda x: web.mos_response_time(x["d_s"]),
        "file_download_log(MOS=1@10kbps,5@300kbps)": lambda x: web.mos_download(x["kbps"] * 1e3, 10e3, 300e3),
    }
    rows = [row for row in vectors("web_video_game_simple_models") if row["model"] in models]
    assert len(rows) == 29
    for row in rows:
        got = models[row["model"]](json.loads(row["inputs_json"]))
        assert got == pytest.approx(float(row["MOS"]), abs=1e-9), row


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("max_s", [6.0, 15.0, 60.0])
def test_page_ends(task, max_s):
    """Five at the shortest noticed time, one at the longest expected, falling between."""
    slope, offset = task.value
    assert web.mos_page(slope * max_s + offset, max_s, task) == pytest.approx(5.0)
    assert web.mos_page(max_s, max_s, task) == pytest.approx(1.0)
    assert web.mos_page(0.0, max_s, task) == 5.0
    inside = web.mos_page(np.geomspace(slope * max_s + offset, max_s, 50), max_s, task)
    assert (np.diff(inside) < 0).all()


@given(st.floats(1e3, 1e7))
def test_throughput_agrees_with_response_time(rate_bps):
    """The throughput form is the response-time form for a page of some 130 kB."""
    response_s = 130e3 * 8 / rate_bps
    assert web.mos_throughput(rate_bps) == pytest.approx(web.mos_response_time(response_s), abs=0.06)


@pytest.mark.parametrize(
    "model",
    [web.mos_throughput, web.mos_ftp, web.mos_download, lambda rate: web.mos_needed(rate, 2e6)],
)
def test_rise_with_throughput(model):
    """More throughput is never worse, from nothing to a gigabit, between 1 and 5."""
    mos = model(np.concatenate([[0.0], np.logspace(0, 9, 100)]))
    assert (np.diff(mos) >= 0).all()
    assert mos[0] == pytest.approx(1.0, abs=0.2)
    assert mos[-1] == pytest.approx(5.0, abs=0.01)


def test_download_loss_reduces_goodput():
    """Half the packets lost is half the rate."""
    assert web.mos_download(200e3, loss_ratio=0.5) == pytest.approx(web.mos_download(100e3))
    assert web.mos_download(200e3, loss_ratio=1.0) == 1.0


def test_page_load_log():
    """One second of page load is rated 4.67, and a tenfold time costs 2.58."""
    assert web.mos_page_load_log(1.0) == pytest.approx(4.6746)
    assert web.mos_page_load_log(1.0) - web.mos_page_load_log(10.0) == pytest.approx(1.12 * np.log(10))


def _fetch(page_bytes, rate_bps, rtt_s, mss_bytes):
    """Time of slow start by the round: windows of 2, 4, 8 … segments until they fill the path."""
    size, mss = page_bytes * 8, mss_bytes * 8
    clock, sent, window = 3 * rtt_s + size / rate_bps, 0.0, 2
    while sent + window * mss < size and window * mss / rate_bps < mss / rate_bps + rtt_s:
        clock += mss / rate_bps + rtt_s - window * mss / rate_bps
        sent += window * mss
        window *= 2
    return clock


@pytest.mark.parametrize("rtt_s", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("rate_bps", [1e6, 2e7, 1e9])
def test_page_time_against_rounds(rtt_s, rate_bps):
    """The closed form is within a round trip of counting slow start round by round."""
    closed = web.page_time_s(500e3, rate_bps, rtt_s)
    assert closed == pytest.approx(_fetch(500e3, rate_bps, rtt_s, 1460), abs=1.05 * rtt_s)


def test_page_time_limits():
    """Without a round-trip time it is the transfer alone; it grows with size and round-trip time."""
    assert web.page_time_s(125e3, 1e6, 0.0) == pytest.approx(1.0)
    assert (np.diff(web.page_time_s(np.linspace(1e3, 5e6, 50), 1e7, 0.05)) > 0).all()
    assert (np.diff(web.page_time_s(1e6, 1e7, np.linspace(0, 0.5, 50))) > 0).all()


@pytest.mark.parametrize(("a", "b", "c"), [(3.010, 4.473, 1.065), (4.836, 0.15, 0.0), (4.0, 0.25, 1.0)])
def test_iqx_fit_recovers_published_laws(a, b, c):
    """Fitting samples of published IQX laws returns their constants."""
    x = np.linspace(0.0, 3.0 / b, 30)
    law = Iqx.fit(x, a * np.exp(-b * x) + c)
    assert (law.a, law.b, law.c) == pytest.approx((a, b, c), abs=1e-3)
    assert law.mos(x) == pytest.approx(np.clip(a * np.exp(-b * x) + c, 1, 5), abs=1e-3)


def test_iqx_fit_is_least_squares():
    """On noisy samples no nearby law fits better."""
    rng = np.random.default_rng(2)
    x = np.linspace(2, 22, 60)
    y = 4 * np.exp(-0.25 * x) + 1 + rng.normal(0, 0.1, x.size)
    law = Iqx.fit(x, y)

    def cost(a, b, c):
        return np.sum((a * np.exp(-b * x) + c - y) ** 2)

    best = cost(law.a, law.b, law.c)
    for da, db, dc in ((1.02, 1, 1), (0.98, 1, 1), (1, 1.02, 1), (1, 0.98, 1), (1, 1, 1.02), (1, 1, 0.98)):
        assert cost(law.a * da, law.b * db, law.c * dc) >= best


def test_wql_fit():
    """Fitting a logarithmic law returns its constants; its scores stay within 1 and 5."""
    t = np.geomspace(0.2, 30, 40)
    law = Wql.fit(t, 4.3 - 0.9 * np.log(t))
    assert (law.a, law.b) == pytest.approx((0.9, 4.3))
    assert law.mos(0.0) == 5.0
    assert law.mos(1e9) == 1.0


@pytest.mark.parametrize(
    ("fit", "x", "y", "message"),
    [
        (Iqx.fit, [1, 2], [3, 4], "3 or more"),
        (Iqx.fit, [1, 2, 3], [3, 4], "2 scores"),
        (Iqx.fit, [1, 1, 1], [3, 4, 5], "one abscissa"),
        (Wql.fit, [1, np.nan], [3, 4], "finite"),
        (Wql.fit, [0, 1], [3, 4], "above 0 s"),
    ],
)
def test_fits_refuse_what_cannot_be_fitted(fit, x, y, message):
    """Too few, equal, missing or impossible observations are named."""
    with pytest.raises(ProblemError, match=message):
        fit(x, y)
