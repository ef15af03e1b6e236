"""The curves, tabulated: a grid of shares, and the classes' MOS mixed upon it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np

from qoe.errors import ProblemError
from qoe.schema import AppClass, Curves, FloatArray, RecordArray
from qoe.utility.bearer import carries_media, known, need_bps
from qoe.utility.classes import LITTLE_BPS, MOS_OF_RATE, NEUTRAL_RISE, neutral_mos
from qoe.utility.robust import Outcome, doubted, expected, quantile_of, read, spread
from qoe.utility.streaming import thresholds_bps

N_POINTS: Final = 64
_N_LOG: Final = 32
_NEED_KNEES: Final = np.array([0.5, 0.8, 0.9, 0.95, 0.98, 1.0, 1.05, 1.25, 1.5, 2.0, 3.0])
_BELOW: Final = 1.0 - 1e-6
_STEP_PROBABILITY: Final = 0.99
_LEAST_PROBABILITY: Final = 0.02

Robust: TypeAlias = Literal["expected", "quantile"]
"""What a curve says of a MOS that is uncertain: its mean, or a quantile of it."""


def curves(bearers: RecordArray, *, robust: Robust = "expected", quantile: float = 0.1) -> Curves:
    """Tabulate each bearer's MOS against its share of the cell.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
        From `qoe.cells.bearers`.
    robust : {"expected", "quantile"}
        What is tabulated where the MOS at a share is uncertain (`qoe.utility.robust`).
    quantile : float
        Which quantile, above 0, below 1: the MOS is no worse with the rest of the probability.

    Returns
    -------
    Curves
        Shape (n_bearers, 64). Share 0 to 1 (1: the rate ``efficiency_bps``), dense where the curve bends,
        and among its points the observed share; MOS 1 at share 0, non-decreasing, at most 5. Step for video
        that is certain; where it is not, a jump is two points close together.

    Raises
    ------
    ProblemError
        `robust` or `quantile` is not one of those.
    """
    if robust not in ("expected", "quantile"):
        raise ProblemError(f"robust: {robust!r} is neither 'expected' nor 'quantile'")
    if not 0.0 < quantile < 1.0:
        raise ProblemError(f"quantile: {quantile:g}: a number above 0 and below 1 is needed")
    share = _grid(bearers)
    weights = class_weights(bearers)
    doubt, sigma = doubted(bearers), spread(bearers)
    outcomes = _outcomes(bearers, share, weights, doubt)
    mean = sum((o.weight[:, None] * o.mos for o in outcomes), np.zeros_like(share))
    mos = expected(share, mean, sigma)
    if robust == "quantile":
        vague = (sigma > 0.0) | (np.sum([o.weight > 0.0 for o in outcomes], axis=0) > 1)
        mos[vague] = quantile_of(share[vague], [o.of(vague) for o in outcomes], sigma[vague], quantile)
    mos[:, 0] = 1.0
    mos = np.clip(np.maximum.accumulate(mos, axis=1), 1.0, 5.0)
    certain = (weights[:, AppClass.VIDEO] >= _STEP_PROBABILITY) & (doubt == 0.0) & (sigma == 0.0)
    return Curves(share, mos, certain & carries_media(bearers))


def class_weights(bearers: RecordArray) -> FloatArray:
    """Return how much of each class is in each bearer's mixture.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)

    Returns
    -------
    ndarray of float64, shape (n_bearers, 7)
        By AppClass; rows sum to 1. What the probabilities leave open goes to the bearer's own class; a bearer
        of class unknown is that alone.
    """
    weights: FloatArray = np.clip(np.nan_to_num(bearers["probability"].astype(np.float64)), 0.0, 1.0)
    weights[:, AppClass.UNKNOWN] = 0.0
    weights[bearers["app_class"] == AppClass.UNKNOWN] = 0.0
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    weights[np.arange(len(bearers)), bearers["app_class"]] += 1.0 - weights.sum(axis=1)
    weights[weights < _LEAST_PROBABILITY] = 0.0
    total: FloatArray = weights.sum(axis=1, keepdims=True)
    return weights / total


def _outcomes(
    bearers: RecordArray, share: FloatArray, weights: FloatArray, doubt: FloatArray
) -> list[Outcome]:
    """List what may be true of each bearer: its classes, and that the models misjudge it."""
    rate_bps = share * bearers["efficiency_bps"][:, None]
    outcomes: list[Outcome] = []
    judged = np.zeros_like(share)
    for app_class, mos_of_rate in MOS_OF_RATE.items():
        weight = weights[:, app_class]
        rows = weight > 0
        if rows.any():
            mos = np.ones_like(share)
            mos[rows] = mos_of_rate(bearers[rows], rate_bps[rows])
            judged += weight[:, None] * mos
            outcomes.append(Outcome((1.0 - doubt) * weight, mos))
    if doubt.any():
        outcomes.append(Outcome(doubt, _misjudged(bearers, share, judged)))
    return outcomes


def _misjudged(bearers: RecordArray, share: FloatArray, judged: FloatArray) -> FloatArray:
    """MOS if but the observed point is true: the curve of class unknown, led through it."""
    here = read(share, judged, bearers["share_observed"][:, None])
    more = NEUTRAL_RISE * (judged.max(axis=1, keepdims=True) - here)
    return neutral_mos(bearers, share * bearers["efficiency_bps"][:, None], here, more)


def _grid(bearers: RecordArray) -> FloatArray:
    """Shares to tabulate at: where curves bend, the observed share, and a spread over all magnitudes."""
    efficiency_bps = known(bearers, "efficiency_bps", 1.0)
    rungs = thresholds_bps(bearers) / efficiency_bps
    need = need_bps(bearers)[:, None] * known(bearers, "activity_ratio", 1.0) / efficiency_bps
    observed = known(bearers, "share_observed", 0.0)
    lowest = np.clip(0.1 * np.minimum(observed, 64e3 / efficiency_bps), 1e-9, 0.1)
    logarithmic = lowest ** np.linspace(1.0, 0.0, _N_LOG)
    ends = np.broadcast_to([0.0, 1.0], (len(bearers), 2))
    seen = np.concatenate([observed, 2.0 * observed, LITTLE_BPS / efficiency_bps], axis=1)
    points = np.concatenate([ends, rungs, rungs * _BELOW, need * _NEED_KNEES, seen, logarithmic], axis=1)
    share = np.sort(np.clip(points, 0.0, 1.0), axis=1)
    share[:, 1:][np.diff(share, axis=1) <= 1e-12] = 1.0
    share = np.sort(share, axis=1)
    return np.pad(share, ((0, 0), (0, N_POINTS - share.shape[1])), mode="edge")
