"""Fairness, mean and shares."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qoe.errors import ProblemError
from qoe.mos import aggregate

scores = st.lists(st.floats(1, 5), min_size=1, max_size=30)


def test_fairness_vectors(vectors):
    """The fairness index reproduces its vectors."""
    rows = vectors("fairness_hossfeld")
    assert len(rows) == 7
    for row in rows:
        got = aggregate.fairness(json.loads(row["mos_list"]), float(row["L"]), float(row["H"]))
        assert got == pytest.approx(float(row["F"]), abs=1e-9)


def test_opinion_vectors(vectors):
    """Spread, Beta shape, PoW and GoB reproduce their vectors, in one array call."""
    rows = vectors("sos_beta_pow_gob")
    assert len(rows) == 14
    table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "how_obtained"}
    mos, sos = table["MOS"], table["SOS_a"]
    shape = aggregate.opinion_beta(mos, sos)
    assert aggregate.sos_sigma(mos, sos) == pytest.approx(table["sigma"], abs=1e-9)
    assert shape.alpha == pytest.approx(table["beta_alpha"], abs=1e-9)
    assert shape.beta == pytest.approx(table["beta_beta"], abs=1e-9)
    assert aggregate.poor_or_worse_ratio(mos, sos) == pytest.approx(table["PoW"], abs=1e-9)
    assert aggregate.good_or_better_ratio(mos, sos) == pytest.approx(table["GoB"], abs=1e-9)


@given(st.floats(1.01, 4.99), st.floats(0.02, 0.9))
def test_opinions_have_the_mean_and_spread_asked_for(mos, sos):
    """The Beta distribution has the MOS for its mean and the SOS spread, and SciPy's shares."""
    alpha, beta = aggregate.opinion_beta(mos, sos)
    opinion = stats.beta(alpha, beta, loc=1, scale=4)
    assert opinion.mean() == pytest.approx(mos, abs=1e-9)
    assert opinion.std() == pytest.approx(aggregate.sos_sigma(mos, sos), abs=1e-9)
    assert aggregate.poor_or_worse_ratio(mos, sos) == pytest.approx(opinion.cdf(2.5), abs=1e-9)
    assert aggregate.good_or_better_ratio(mos, sos) == pytest.approx(opinion.sf(3.5), abs=1e-9)


def test_all_agree_at_the_ends():
    """At MOS 1 everybody finds it poor, at MOS 5 everybody good; beyond the ends as at them."""
    assert aggregate.poor_or_worse_ratio([0.5, 1.0, 5.0, 6.0]).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert aggregate.good_or_better_ratio([0.5, 1.0, 5.0, 6.0]).tolist() == [0.0, 0.0, 1.0, 1.0]


@given(scores)
def test_fairness_bounds_and_symmetries(mos):
    """Within 0 and 1, unmoved by order, by a shift, or by turning the scale round."""
    index = aggregate.fairness(mos)
    assert -1e-12 <= index <= 1.0
    assert aggregate.fairness(mos[::-1]) == pytest.approx(index)
    assert aggregate.fairness([6 - m for m in mos]) == pytest.approx(index)
    assert aggregate.fairness([*mos, float("nan")]) == pytest.approx(index)


def test_fairness_of_few():
    """Nobody, one, or only unknown scores: all alike."""
    assert aggregate.fairness([]) == 1.0
    assert aggregate.fairness([2.0]) == 1.0
    assert aggregate.fairness([np.nan]) == 1.0


@given(scores, st.floats(0.1, 10))
def test_mean_is_that_of_numpy(mos, weight):
    """Equal weights give the plain mean, whole weights repeat a user, and NaN users do not count."""
    assert aggregate.mean_mos(mos) == pytest.approx(np.mean(mos))
    assert aggregate.mean_mos(mos, [weight] * len(mos)) == pytest.approx(np.mean(mos))
    assert aggregate.mean_mos([*mos, np.nan], [1] * len(mos) + [5]) == pytest.approx(np.mean(mos))
    assert aggregate.mean_mos([*mos, 2.0], [1] * len(mos) + [3]) == pytest.approx(
        np.mean([*mos, 2.0, 2.0, 2.0])
    )


def test_mean_of_nobody():
    """Without users, or with weightless ones, there is no mean."""
    assert np.isnan(aggregate.mean_mos([]))
    assert np.isnan(aggregate.mean_mos([3.0], [0.0]))


@pytest.mark.parametrize(
    ("weights", "message"), [([1.0], "1 weights"), ([1, -1], "0 or more"), ([1, np.nan], "finite")]
)
def test_bad_weights(weights, message):
    """Missing, negative and unknown weights are refused."""
    with pytest.raises(ProblemError, match=message):
        aggregate.mean_mos([3.0, 4.0], weights)
