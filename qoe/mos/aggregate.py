"""From the scores of many to what an operator looks at: mean, fairness, shares of satisfied users."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qoe.errors import ProblemError
from qoe.mos._numeric import Numeric, elementwise

MOS_LOW: Final = 1.0
MOS_HIGH: Final = 5.0
SOS_LOW_DIVERSITY: Final = 0.1
SOS_HIGH_DIVERSITY: Final = 0.25
"""Usual ends of the SOS parameter a: users who agree, users who differ (Hossfeld et al.)."""


def fairness(mos: npt.ArrayLike, low: float = MOS_LOW, high: float = MOS_HIGH) -> float:
    """Hossfeld's QoE fairness index, 0 (half at each end) to 1 (all alike).

    Parameters
    ----------
    mos : array_like
        One score a user; NaN are left out. Without users, or with one, everybody is alike: 1.
    low, high : float
        Ends of the scale.

    Returns
    -------
    float
        ``1 - 2 sigma / (high - low)`` with the population standard deviation. It says nothing about how
        good the scores are: report the mean with it.

    Notes
    -----
    Hossfeld, Skorin-Kapov, Heegaard and Varela, "Definition of QoE fairness in shared systems", IEEE
    Communications Letters 21(1), 2017.
    """
    scores = _present(mos)
    return 1.0 - 2.0 * float(scores.std()) / (high - low) if scores.size else 1.0


def mean_mos(mos: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """System QoE: the expected score of a user.

    The mean of the users' scores, never the score of the mean user: models are not linear (Hossfeld,
    Heegaard, Skorin-Kapov and Varela, "Fundamental relationships for deriving QoE in systems", QoMEX 2019).

    Parameters
    ----------
    mos : array_like, shape (n,)
        One score a user; NaN are left out.
    weights : array_like, shape (n,), optional
        Non-negative weights of the users.

    Returns
    -------
    float
        Mean; NaN if nobody (of any weight) is left.

    Raises
    ------
    ProblemError
        A weight is negative or not finite, or there are more or fewer weights than scores.
    """
    scores = np.asarray(mos, dtype=np.float64)
    weight = np.ones_like(scores) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != scores.shape:
        raise ProblemError(f"mean_mos: {weight.size} weights for {scores.size} scores; give one a score")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ProblemError("mean_mos: weights must be finite and 0 or more")
    there = ~np.isnan(scores)
    total = float(weight[there].sum())
    return float(weight[there] @ scores[there]) / total if total > 0 else float("nan")


class BetaShape(NamedTuple):
    """Shape parameters of a Beta distribution on the scale 1..5.

    Attributes
    ----------
    alpha, beta : float or ndarray
        Both more than 0 inside the scale, one of them 0 at its ends.
    """

    alpha: Any
    beta: Any


def sos_sigma(mos: Numeric, sos: Numeric = SOS_HIGH_DIVERSITY) -> Any:
    """Spread of individual opinions around a MOS: ``sqrt(a (5 - MOS) (MOS - 1))``.

    Parameters
    ----------
    mos : float or ndarray
        Mean opinion, clipped to 1..5.
    sos : float or ndarray
        SOS parameter a, 0 to 1.

    Notes
    -----
    Hossfeld, Schatz and Egger, "SOS: the MOS is not enough!", QoMEX 2011.
    """
    return _sigma(mos, sos)


@elementwise
def _sigma(mos: Numeric, sos: Numeric) -> Any:
    m = np.clip(mos, MOS_LOW, MOS_HIGH)
    return np.sqrt(sos * (MOS_HIGH - m) * (m - MOS_LOW))


def opinion_beta(mos: Numeric, sos: Numeric = SOS_HIGH_DIVERSITY) -> BetaShape:
    """Distribution of individual opinions on 1..5 with a given mean and SOS parameter.

    Parameters
    ----------
    mos : float or ndarray
        Mean opinion, clipped to 1..5.
    sos : float or ndarray
        SOS parameter a, above 0 and below 1.

    Returns
    -------
    BetaShape
        ``alpha = (1 - a)(MOS - 1) / (4 a)``, ``beta = (1 - a)(5 - MOS) / (4 a)``: the Beta distribution
        whose variance is that of the SOS hypothesis.
    """
    return BetaShape(_shape(mos, sos, MOS_LOW), _shape(mos, sos, MOS_HIGH))


@elementwise
def _shape(mos: Numeric, sos: Numeric, end: float) -> Any:
    return (1.0 - sos) * np.abs(np.clip(mos, MOS_LOW, MOS_HIGH) - end) / (4.0 * sos)


@elementwise
def poor_or_worse_ratio(mos: Numeric, sos: Numeric = SOS_HIGH_DIVERSITY, threshold: Numeric = 2.5) -> Any:
    """Share of users whose opinion is poor or bad (PoW), 0 to 1, for any MOS model.

    Parameters
    ----------
    mos : float or ndarray
        Mean opinion, clipped to 1..5.
    sos : float or ndarray
        SOS parameter a, above 0 and below 1.
    threshold : float or ndarray
        Opinions below it are poor or worse: 2.5 for a scale of five steps read as a continuous one.

    Returns
    -------
    float or ndarray
        Beta distribution function of :func:`opinion_beta` at `threshold`. For speech rated by the
        E-model :func:`qoe.mos.rating.poor_or_worse_ratio` is the standard's way.
    """
    return _opinion_cdf(mos, sos, threshold)


@elementwise
def good_or_better_ratio(mos: Numeric, sos: Numeric = SOS_HIGH_DIVERSITY, threshold: Numeric = 3.5) -> Any:
    """Share of users whose opinion is good or excellent (GoB), 0 to 1, for any MOS model.

    Parameters
    ----------
    mos : float or ndarray
        Mean opinion, clipped to 1..5.
    sos : float or ndarray
        SOS parameter a, above 0 and below 1.
    threshold : float or ndarray
        Opinions above it are good or better.

    Returns
    -------
    float or ndarray
        One minus the Beta distribution function of :func:`opinion_beta` at `threshold`.
    """
    return 1.0 - _opinion_cdf(mos, sos, threshold)


def _opinion_cdf(mos: Any, sos: Any, threshold: Any) -> Any:
    from scipy.special import betainc

    alpha, beta = opinion_beta(mos, sos)
    x = (threshold - MOS_LOW) / (MOS_HIGH - MOS_LOW)
    inside = betainc(np.maximum(alpha, 1e-300), np.maximum(beta, 1e-300), x)
    return np.where(np.less_equal(alpha, 0.0), 1.0, np.where(np.less_equal(beta, 0.0), 0.0, inside))


def _present(mos: npt.ArrayLike) -> Any:
    scores = np.asarray(mos, dtype=np.float64)
    return scores[~np.isnan(scores)]
