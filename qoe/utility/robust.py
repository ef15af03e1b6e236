"""A utility that knows what it does not know: the mean, or a quantile, of the MOS at a share.

What is uncertain of a bearer, as far as it is known:

- *Its class*: each class's curve counts with its probability.
- *Its judgement*: with probability ``1 - mos_confidence`` the models were given the wrong inputs, and only
  what was measured is true. The curve then is that of class unknown, led through the observed point, so that
  the mixture still has there what the models say of what was observed.
- *Its efficiency*: fading makes the rate of a share lognormal about its mean, with the measured coefficient
  of variation of single seconds. A player lives off its buffer, a page or a download lasts longer than a
  second: what they feel is the mean over that time, whose variance is smaller by its length.

A bearer of which nothing is uncertain keeps its curve as it is. An observed share is what was used, less
than what the bearer could have had: with fading, the mean MOS at exactly that share is below the measured.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtri

from qoe.schema import AppClass, BoolArray, FloatArray, RecordArray
from qoe.utility.bearer import known
from qoe.utility.streaming import buffer_s

_CERTAIN: Final = 0.99
_PAGE_S: Final = 2.0
_DOWNLOAD_S: Final = 10.0
_N_NODES: Final = 11
_Z: Final = ndtri((np.arange(_N_NODES) + 0.5) / _N_NODES)  # middles of equally probable parts of a normal
_ROWS_AT_ONCE: Final = 128  # reading many rows as one loses digits of the share


class Outcome(NamedTuple):
    """One thing that may be true of each bearer.

    Attributes
    ----------
    weight : ndarray of float64, shape (n,)
        Its probability.
    mos : ndarray of float64, shape (n, m)
        MOS at the shares, if it is.
    """

    weight: FloatArray
    mos: FloatArray

    def of(self, rows: BoolArray) -> Outcome:
        """Return the same of some bearers."""
        return Outcome(self.weight[rows], self.mos[rows])


def doubted(bearers: RecordArray) -> FloatArray:
    """Probability that the models misjudge each bearer, shape (n,); 0 where nothing was judged."""
    confidence, judged = bearers["mos_confidence"], np.isfinite(bearers["mos"])
    doubt = 1.0 - np.clip(np.nan_to_num(confidence, nan=1.0), 0.0, 1.0)
    return np.where(judged & (doubt > 1.0 - _CERTAIN), doubt, 0.0)


def spread(bearers: RecordArray) -> FloatArray:
    """Standard deviation of the logarithm of the efficiency that each bearer feels, shape (n,)."""
    lasts_s = np.ones(len(bearers))
    app_class = bearers["app_class"]
    lasts_s = np.where(app_class == AppClass.VIDEO, buffer_s(bearers), lasts_s)
    lasts_s = np.where(app_class == AppClass.WEB, known(bearers, "page_s", _PAGE_S)[:, 0], lasts_s)
    lasts_s = np.where(app_class == AppClass.BULK, _DOWNLOAD_S, lasts_s)
    cv = np.maximum(known(bearers, "efficiency_cv", 0.0)[:, 0], 0.0)
    sigma: FloatArray = np.sqrt(np.log1p(cv**2 / np.maximum(lasts_s, 1.0)))
    return sigma


def _factors(sigma: FloatArray) -> FloatArray:
    """Equally probable efficiencies of mean 1, shape (n, n_nodes)."""
    factors: FloatArray = np.exp(sigma[:, None] * _Z)
    scaled: FloatArray = factors / factors.mean(axis=1, keepdims=True)
    return scaled


def expected(share: FloatArray, mos: FloatArray, sigma: FloatArray) -> FloatArray:
    """Mean of each curve over the efficiency.

    Parameters
    ----------
    share, mos : ndarray of float64, shape (n, m)
        Curves: shares from 0 to 1, rising, and MOS.
    sigma : ndarray of float64, shape (n,)
        Of `spread`; 0 leaves a curve as it is.

    Returns
    -------
    ndarray of float64, shape (n, m)
    """
    result = mos.copy()
    rows = np.flatnonzero(sigma > 0.0)
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[begin : begin + _ROWS_AT_ONCE]
        total = np.zeros((len(some), share.shape[1]))
        for factor in _factors(sigma[some]).T:
            total += read(share[some], mos[some], share[some] * factor[:, None])
        result[some] = total / _N_NODES
    return result


def quantile_of(share: FloatArray, outcomes: list[Outcome], sigma: FloatArray, quantile: float) -> FloatArray:
    """Quantile of the MOS at each share over the outcomes and the efficiency, which are independent.

    Parameters
    ----------
    share : ndarray of float64, shape (n, m)
    outcomes : list of Outcome
        Their weights add up to 1.
    sigma : ndarray of float64, shape (n,)
        Of `spread`.
    quantile : float
        0 to 1.

    Returns
    -------
    ndarray of float64, shape (n, m)
        The least value that is not exceeded with probability `quantile` or more.
    """
    result = np.empty_like(share)
    weights, tables = np.stack([o.weight for o in outcomes]), np.stack([o.mos for o in outcomes])
    likeliest = np.argsort(-weights, axis=0, kind="stable")
    n_possible = np.count_nonzero(weights > 0.0, axis=0)
    few_first = np.argsort(n_possible, kind="stable")
    for begin in range(0, len(share), _ROWS_AT_ONCE):
        rows = few_first[begin : begin + _ROWS_AT_ONCE]
        factors = _factors(sigma[rows]) if sigma[rows].any() else np.ones((len(rows), 1))
        at = (share[rows, None, :] * factors[:, :, None]).reshape(len(rows), -1)
        values, likely = [], []
        for which in likeliest[: n_possible[rows[-1]], rows]:
            found = read(share[rows], tables[which, rows], at)
            values.append(found.reshape(len(rows), -1, share.shape[1]))
            likely.append(np.broadcast_to(weights[which, rows][:, None], factors.shape))
        result[rows] = _weighted_quantile(np.concatenate(values, 1), np.concatenate(likely, 1), quantile)
    return result


def _weighted_quantile(values: FloatArray, weights: FloatArray, quantile: float) -> FloatArray:
    """Quantile of values (n, k, m), weighted by (n, k), along the second axis."""
    order = np.argsort(values, axis=1)
    reached = np.cumsum(np.take_along_axis(weights[:, :, None], order, axis=1), axis=1)
    below = reached < quantile * reached[:, -1:] * (1.0 - 1e-12)
    place = np.minimum(below.sum(axis=1, keepdims=True), values.shape[1] - 1)
    found: FloatArray = np.take_along_axis(values, np.take_along_axis(order, place, axis=1), axis=1)[:, 0]
    return found


def read(share: FloatArray, mos: FloatArray, at: FloatArray) -> FloatArray:
    """Read curves, linear between their points, at other shares: rows (n, m) at (n, k)."""
    result = np.empty(at.shape)
    for begin in range(0, len(share), _ROWS_AT_ONCE):
        some = slice(begin, begin + _ROWS_AT_ONCE)
        lane = 2.0 * np.arange(len(share[some]))[:, None]
        found = np.interp(
            (np.clip(at[some], 0.0, 1.0) + lane).ravel(), (share[some] + lane).ravel(), mos[some].ravel()
        )
        result[some] = found.reshape(at[some].shape)
    return result
