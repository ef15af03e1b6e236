"""How well verdicts agree with labels: F1, confusion, calibration, packets to decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qoe.schema import CLASS_NAMES, FloatArray, IntArray

N_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was said of labelled flows.

    Attributes
    ----------
    truth, said : ndarray of int64, shape (n,)
        Class 1 to 6; `said` may be 0, unknown.
    confidence : ndarray of float64, shape (n,)
        Probability given to the likeliest class.
    likeliest : ndarray of int64, shape (n,)
        That class.
    decided_after : ndarray of int64, shape (n,)
        Packets seen when the verdict was settled on; 0 where there is none.
    n_packets : ndarray of int64, shape (n,)
    """

    truth: IntArray
    said: IntArray
    confidence: FloatArray
    likeliest: IntArray
    decided_after: IntArray
    n_packets: IntArray

    def __getitem__(self, which: npt.NDArray[np.bool_]) -> Verdicts:
        """Return some of them."""
        return Verdicts(
            self.truth[which], self.said[which], self.confidence[which], self.likeliest[which],
            self.decided_after[which], self.n_packets[which],
        )  # fmt: skip


def report(verdicts: Verdicts, weight: FloatArray | None = None) -> dict[str, Any]:
    """Score verdicts.

    Parameters
    ----------
    verdicts : Verdicts
    weight : ndarray of float64, shape (n,), optional
        Of each flow in the F1 scores; 1 by default.

    Returns
    -------
    dict
        `n_flows`; `macro_f1`, the mean of the six classes' F1, with a flow left unknown counted as missed;
        `classes`: for each `n_flows`, `f1`, `precision`, `recall`; `accuracy_decided`; `unknown_ratio`;
        `calibration`: `ece` (expected calibration error: the mean gap between confidence and accuracy of the
        likeliest class over ten bins of equal width, weighted by flows) and `bins`; `packets_to_decision`:
        `median`, `p90` over decided flows; `confusion`: rows of truth, columns of verdict, unknown first.
    """
    w = np.ones(len(verdicts.truth)) if weight is None else weight
    decided = verdicts.said > 0
    right = verdicts.said == verdicts.truth
    classes = _all_classes(verdicts.truth, verdicts.said, w)
    confusion = np.zeros((7, 7), np.int64)
    np.add.at(confusion, (verdicts.truth, verdicts.said), 1)
    after = verdicts.decided_after[decided]
    return {
        "n_flows": len(right),
        "macro_f1": _round(np.mean([row["f1"] for row in classes.values()])),
        "classes": classes,
        "accuracy_decided": _round(right[decided].mean() if decided.any() else 0.0),
        "unknown_ratio": _round(1 - decided.mean() if len(decided) else 0.0),
        "calibration": calibration(verdicts.confidence, verdicts.likeliest == verdicts.truth),
        "packets_to_decision": {
            "median": _round(np.median(after) if len(after) else 0.0),
            "p90": _round(np.quantile(after, 0.9) if len(after) else 0.0),
        },
        "confusion": {
            name: dict(zip(CLASS_NAMES, row, strict=True))
            for name, row in zip(CLASS_NAMES[1:], confusion[1:].tolist(), strict=True)
        },
    }


def macro_f1(truth: IntArray, said: IntArray) -> float:
    """Mean F1 of the six classes; unknown counts as missed."""
    return _round(np.mean([row["f1"] for row in _all_classes(truth, said, np.ones(len(truth))).values()]))


def _all_classes(truth: IntArray, said: IntArray, w: FloatArray) -> dict[str, dict[str, Any]]:
    return {name: _class_scores(truth == c, said == c, w) for c, name in enumerate(CLASS_NAMES) if c}


def _class_scores(true: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_], w: FloatArray) -> dict[str, Any]:
    hit, missed, wrong = (float(w[which].sum()) for which in (true & said, true & ~said, ~true & said))
    return {
        "n_flows": int(true.sum()),
        "f1": _round(2 * hit / max(2 * hit + missed + wrong, 1e-12)),
        "precision": _round(hit / max(hit + wrong, 1e-12)),
        "recall": _round(hit / max(hit + missed, 1e-12)),
    }


def calibration(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Expected calibration error and its bins (Guo et al. 2017, arXiv:1706.04599, equation 3)."""
    number = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    bins, error = [], 0.0
    for k in range(N_BINS):
        mine = number == k
        if mine.any():
            said, was = float(confidence[mine].mean()), float(right[mine].mean())
            error += abs(said - was) * float(mine.mean())
            bins.append({"n_flows": int(mine.sum()), "confidence": _round(said), "accuracy": _round(was)})
    return {"ece": _round(error), "bins": bins}


def fit_sharpness(probability: FloatArray, truth: IntArray, weight: FloatArray) -> float:
    """Fit the calibration exponent: least log loss of ``p ** s``, normalised.

    Parameters
    ----------
    probability : ndarray of float64, shape (n, 6)
        Out-of-fold, of class 1 to 6.
    truth : ndarray of int64, shape (n,)
        1 to 6.
    weight : ndarray of float64, shape (n,)

    Returns
    -------
    float
        0.3 to 4, in steps of 0.05.
    """
    log_p = np.log(np.maximum(probability, 1e-4))
    rows = np.arange(len(truth))

    def loss(s: float) -> float:
        scaled = s * log_p
        return float(weight @ (np.logaddexp.reduce(scaled, axis=1) - scaled[rows, truth - 1]))

    return min((round(0.05 * k, 2) for k in range(6, 81)), key=loss)


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
