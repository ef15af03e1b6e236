"""How much each decision counts in training, so that a few captures do not teach everything."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.schema import CLASS_NAMES, FloatArray, IntArray
from qoe.train.dataset import WHOLE, Dataset

APP_EXPONENT: Final = 0.5
CLASS_EXPONENT: Final = 0.5
PART_WEIGHT: Final = 0.3
STAGES_A_FLOW: Final = 3
PART_RATIO: Final = 0.12
GENERATED_SHARE: Final = {1: 0.1, 2: 0.05, 3: 0.05, 4: 0.015, 5: 0.05}
"""Weight of generated flows by class, as a share of the real flows' total."""

DESCRIPTION: Final = (
    f"An application's n flows in a source weigh n^{APP_EXPONENT} together, a class the power "
    f"{CLASS_EXPONENT} of what that gives; a flow's decisions share its weight, with {PART_WEIGHT} for those "
    "on a part of the flow (one direction alone, or the first packets missing). Of a flow's staged decisions "
    f"about {STAGES_A_FLOW} and the last are used, each with its weight. Generated flows weigh, as shares of "
    f"the real ones' total, {', '.join(f'{CLASS_NAMES[c]} {share}' for c, share in GENERATED_SHARE.items())}."
)


def rows(dataset: Dataset, seed: int) -> npt.NDArray[np.bool_]:
    """Choose the decisions to train on: each flow's last, a few on the way, some on parts of flows."""
    drawn = np.random.default_rng(seed).random(len(dataset.flow))
    whole = dataset.variant == WHOLE
    n_stages = np.bincount(dataset.flow[whole], minlength=len(dataset.app))[dataset.flow]
    staged = whole & (drawn * np.maximum(n_stages, 1) < STAGES_A_FLOW)
    chosen: npt.NDArray[np.bool_] = (whole & dataset.last) | staged | (~whole & (drawn < PART_RATIO))
    return chosen


def real(dataset: Dataset, flows: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_]) -> FloatArray:
    """Weigh decisions on real flows.

    Parameters
    ----------
    dataset : Dataset
    flows : ndarray of bool, shape (n_flows,)
        Which flows may be trained on.
    chosen : ndarray of bool, shape (n_decisions,)
        Which decisions, of `rows`.

    Returns
    -------
    ndarray of float64, shape (n_decisions,)
        0 for those not used.
    """
    cell = _cells(dataset)
    n_of = np.bincount(cell[flows], minlength=cell.max() + 1)[cell]
    flow_weight = np.where(flows, np.maximum(n_of, 1) ** (APP_EXPONENT - 1.0), 0.0)
    total = np.bincount(dataset.app_class, flow_weight, minlength=7)
    flow_weight *= np.where(total > 0, np.maximum(total, 1e-9) ** (CLASS_EXPONENT - 1.0), 0.0)[
        dataset.app_class
    ]
    # shared out before some are left out: flows of very many decisions weigh less
    return np.where(chosen, _spread(dataset, flow_weight, np.ones(len(chosen), bool)), 0.0)


def generated(dataset: Dataset, chosen: npt.NDArray[np.bool_], total: float) -> FloatArray:
    """Weigh decisions on generated flows, beside real ones that weigh `total` together."""
    n_of = np.bincount(dataset.app_class, minlength=7)
    share = np.array([GENERATED_SHARE.get(c, 0.0) for c in range(7)]) / np.maximum(n_of, 1)
    return total * _spread(dataset, share[dataset.app_class], chosen)


def _cells(dataset: Dataset) -> IntArray:
    """Number the combinations of class, application and source."""
    names = [np.unique(column, return_inverse=True)[1] for column in (dataset.app, dataset.source)]
    key = (dataset.app_class * (names[0].max() + 1) + names[0]) * (names[1].max() + 1) + names[1]
    return np.unique(key, return_inverse=True)[1].astype(np.int64)


def _spread(dataset: Dataset, flow_weight: FloatArray, chosen: npt.NDArray[np.bool_]) -> FloatArray:
    relative = np.where(chosen, np.where(dataset.variant == WHOLE, 1.0, PART_WEIGHT), 0.0)
    in_flow = np.bincount(dataset.flow, relative, minlength=len(flow_weight))
    weight: FloatArray = flow_weight[dataset.flow] * relative / np.maximum(in_flow[dataset.flow], 1e-12)
    return weight
