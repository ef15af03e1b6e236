"""From mean shares to the weights of a fair queue: what a bearer needs while it has something to send.

A share is a mean over time; a weight counts while there is a backlog. A download is always there, and its
weight is its share. A page is there for some seconds, and must have its share of the time in these. A call
sends little and must not wait at all.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe.applications import MosModel
from qoe.schema import AppClass, BoolArray, FloatArray, IntArray, RecordArray
from qoe.utility.classes import reading

HELD_RATIO: Final = 0.7
"""Part of what an adaptive call sends that is kept for it: it takes some seconds to follow a lower rate."""
_SMALL_WEIGHT: Final = (10.0, 0.03)  # of calls and games: times their share, and at least
_STREAM_WEIGHT: Final = 3.0  # of streamed games: frames come in bursts
_SHED_RATIO: Final = 0.7  # with less than that of what it sends, a streamed game is given up
_ADAPTIVE_WEIGHT: Final = 5.0  # of calls with picture, less as they take more than their share
_PAGE_ACTIVE_RATIO: Final = 0.02  # at least, so that no page has all of the cell
_FOLLOWED: Final = 0.3  # part of a change of weight that players and downloads see at once
LEAST_WEIGHT: Final = 0.01
"""Least weight, in multiples of the mean."""
_LITTLE_SHARE: Final = 1e-3


def follows_rate(seen: RecordArray) -> BoolArray:
    """Return which bearers are calls with picture, whose encoder follows the rate."""
    adaptive: BoolArray = seen["model"] == MosModel.VIDEO_CALL
    return adaptive


def wanted(seen: RecordArray, share: FloatArray) -> FloatArray:
    """Give the part of the cell that each bearer is to have while it has something to send.

    Parameters
    ----------
    seen : ndarray of BEARER_DTYPE, shape (n,)
        What was seen of the bearers.
    share : ndarray of float64, shape (n,)
        Means that were decided.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    observed = np.maximum(seen["share_observed"], 1e-9)
    more = np.maximum(1.0, observed / np.maximum(share, _LITTLE_SHARE))  # than its share it takes
    paced = np.isin(seen["app_class"], (AppClass.VOIP, AppClass.GAMING))
    streamed = seen["model"] == MosModel.CLOUD_GAMING
    page_s, read_s = reading(seen, (share * seen["efficiency_bps"])[:, None])
    active = np.where(
        seen["app_class"] == AppClass.WEB,
        np.maximum(page_s / (page_s + read_s), _PAGE_ACTIVE_RATIO)[:, 0],
        seen["activity_ratio"],
    )
    part: FloatArray = np.select(
        [streamed, follows_rate(seen), paced],
        [
            np.where(share < _SHED_RATIO * observed, share, _STREAM_WEIGHT * share),
            _ADAPTIVE_WEIGHT * np.maximum(share, _LITTLE_SHARE) / more,
            np.maximum(_SMALL_WEIGHT[0] * share, _SMALL_WEIGHT[1]),
        ],
        share / np.clip(active, np.maximum(share, 1e-9), 1.0),
    )
    return part


def moved(weight: FloatArray, seen: RecordArray, share: FloatArray) -> FloatArray:
    """Move weights to new shares: of players and downloads by little, of the rest at once.

    Parameters
    ----------
    weight : ndarray of float64, shape (n,)
        That they have, NaN for none.
    seen : ndarray of BEARER_DTYPE, shape (n,)
        What was seen of the bearers.
    share : ndarray of float64, shape (n,)
        Means that were decided.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    goal = wanted(seen, share)
    slow = np.isin(seen["app_class"], (AppClass.VIDEO, AppClass.BULK)) & np.isfinite(weight)
    return np.where(slow, weight + _FOLLOWED * (goal - weight), goal)


def filled(weight: FloatArray, app_class: IntArray) -> FloatArray:
    """Give bearers without a weight that of their class in the mean, or that of all.

    Parameters
    ----------
    weight : ndarray of float64, shape (n_bearers,)
        NaN for none; one at least has one.
    app_class : ndarray of int64, shape (n_bearers,)
        AppClass.

    Returns
    -------
    ndarray of float64, shape (n_bearers,)
        Above 0.
    """
    known = np.isfinite(weight)
    result = weight.copy()
    for value in np.unique(app_class[~known]):
        alike = known & (app_class == value)
        result[~known & (app_class == value)] = weight[alike if alike.any() else known].mean()
    weights: FloatArray = np.maximum(result, LEAST_WEIGHT * (result.mean() or 1.0))
    return weights
