"""Reading tabulated curves: MOS at a share, the share that a MOS needs."""

from __future__ import annotations

import numpy as np

from qoe.schema import Curves, FloatArray


def evaluate(curves: Curves, share: FloatArray) -> FloatArray:
    """Read each bearer's MOS at its share.

    Parameters
    ----------
    curves : Curves
        Of n_bearers bearers; the first share of each row is 0.
    share : ndarray of float64, shape (n_bearers,)
        0 or more; NaN gives NaN.

    Returns
    -------
    ndarray of float64, shape (n_bearers,)
        Beyond the last point of a curve, its last MOS.
    """
    rows = np.arange(share.size)
    last = curves.share.shape[1] - 1
    k = np.maximum(np.count_nonzero(curves.share <= share[:, None], axis=1) - 1, 0)
    after = np.minimum(k + 1, last)
    start, level = curves.share[rows, k], curves.mos[rows, k]
    width = curves.share[rows, after] - start
    rise = curves.mos[rows, after] - level
    part = np.divide(share - start, width, out=np.zeros_like(share), where=width > 0.0)
    mos = level + np.where(curves.step, 0.0, rise * part)
    return np.where(np.isnan(share), np.nan, mos)


def invert(curves: Curves, mos: FloatArray) -> FloatArray:
    """Find the smallest share at which each bearer reaches a MOS.

    Parameters
    ----------
    curves : Curves
        Of n_bearers bearers.
    mos : ndarray of float64, shape (n_bearers,)
        What is to be reached.

    Returns
    -------
    ndarray of float64, shape (n_bearers,)
        NaN where no share reaches it, or where `mos` is NaN.
    """
    rows = np.arange(mos.size)
    enough = curves.mos >= mos[:, None]
    k = np.argmax(enough, axis=1)
    before = np.maximum(k - 1, 0)
    width = curves.share[rows, k] - curves.share[rows, before]
    rise = curves.mos[rows, k] - curves.mos[rows, before]
    short = curves.mos[rows, k] - mos
    back = np.divide(short, rise, out=np.zeros_like(short), where=rise > 0.0)
    share = curves.share[rows, k] - np.where(curves.step, 0.0, width * back)
    return np.where(enough.any(axis=1), share, np.nan)
