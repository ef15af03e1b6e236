"""R, MOS and shares of satisfied users."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.mos import rating
from qoe.mos.rating import Scale

SCALES = list(Scale)


def test_published_and_evaluated_rows(vectors):
    """MOS, GoB, PoW and TME agree with the published table and a second evaluation."""
    rows = vectors("r_mos_gob_pow")
    assert len(rows) == 33
    for row in rows:
        r, published = float(row["R"]), row["how_obtained"].startswith("published")
        # the table prints R to 0.01, which moves MOS by up to 3e-4 and a share by up to 0.02 %
        assert rating.mos_from_r(r) == pytest.approx(
            max(float(row["MOS"]), 1.0), abs=5e-4 if published else 1e-9
        )
        tolerance = 0.02 if published else 1e-9
        assert 100 * rating.poor_or_worse_ratio(r) == pytest.approx(float(row["PoW_pct"]), abs=tolerance)
        assert 100 * rating.good_or_better_ratio(r) == pytest.approx(float(row["GoB_pct"]), abs=tolerance)
        assert 100 * rating.terminate_early_ratio(r) == pytest.approx(float(row["TME_pct"]), abs=tolerance)


@given(st.floats(-20, 120))
def test_shares_are_normal_distributions(r):
    """GoB, PoW and TME equal the normal distribution of the standard library."""
    opinions = NormalDist(r, 16)
    assert rating.good_or_better_ratio(r) == pytest.approx(1 - opinions.cdf(60), abs=1e-12)
    assert rating.poor_or_worse_ratio(r) == pytest.approx(opinions.cdf(45), abs=1e-12)
    assert rating.terminate_early_ratio(r) == pytest.approx(opinions.cdf(36), abs=1e-12)


@given(st.floats(6.52, 100), st.sampled_from(SCALES))
def test_round_trip(r_of_100, scale):
    """R to MOS and back is the identity wherever MOS is above 1, on every scale."""
    r = r_of_100 * scale.value / 100
    back = rating.r_from_mos(rating.mos_from_r(r, scale), scale)
    # MOS(R) is flat at its upper end, so rounding of MOS is magnified there
    assert back == pytest.approx(r, abs=1e-5)
    assert rating.mos_from_r(back, scale) == pytest.approx(rating.mos_from_r(r, scale), abs=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_ends_of_scale(scale):
    """MOS is clamped to 1 and 4.5, and has no dip below 1 at small R."""
    r = np.linspace(-50, 200, 2501)
    mos = rating.mos_from_r(r, scale)
    assert mos.min() == 1.0
    assert mos.max() == 4.5
    assert (np.diff(mos) >= 0).all()
    assert rating.mos_from_r(scale.value, scale) == 4.5


def test_satisfaction_bands():
    """The bands of G.109 begin at their lower bound."""
    assert rating.satisfaction(93.2) == "very satisfied"
    assert rating.satisfaction(90.0) == "very satisfied"
    assert rating.satisfaction(89.99) == "satisfied"
    assert rating.satisfaction(70.0) == "some users dissatisfied"
    assert rating.satisfaction(60.0) == "many users dissatisfied"
    assert rating.satisfaction(50.0) == "nearly all users dissatisfied"
    assert rating.satisfaction(49.9) == "not recommended"
    assert rating.satisfaction(float("nan")) == "not recommended"
