"""Which flows may teach a model that is scored on others: none of the same application or source."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.schema import IntArray
from qoe.train.dataset import Dataset

MAX_APPS: Final = 24
OWN_FOLD_FLOWS: Final = 50
SCORED_PACKETS: Final = 20

DESCRIPTION: Final = (
    "Every flow is scored once, by a model whose training set holds no flow of the same application and no "
    "flow of the same source as any flow it is scored on: of each fold, all flows that share an application "
    "or a source with it are dropped from training. A fold is a source; sources with the same most frequent "
    f"application are one fold; a fold of more than {MAX_APPS} applications is cut by application, and an "
    f"application with {OWN_FOLD_FLOWS} or more flows of {SCORED_PACKETS} packets in a source is a fold."
)


def make_folds(dataset: Dataset, max_folds: int = 0) -> IntArray:
    """Share the flows of a dataset out to folds.

    Parameters
    ----------
    dataset : Dataset
    max_folds : int, optional
        Keep only so many folds, those that hold the largest shares of the classes' flows; 0 keeps all.

    Returns
    -------
    ndarray of int64, shape (n_flows,)
        Fold of each flow, from 0; -1: left out.
    """
    sources_of = _sources_by_main_app(dataset)
    name = np.full(len(dataset.app), "", dtype=object)
    for main_app, sources in sources_of.items():
        mine = np.isin(dataset.source, sources)
        apps = np.unique(dataset.app[mine])
        n_pieces = -(-len(apps) // MAX_APPS)
        for number, app in enumerate(apps):
            name[mine & (dataset.app == app)] = f"{main_app}\0{number % n_pieces}"
    scored = dataset.n_packets >= SCORED_PACKETS
    for (source, app), n_flows in _cells(dataset, scored).items():
        if n_flows >= OWN_FOLD_FLOWS:
            name[(dataset.source == source) & (dataset.app == app)] = f"{source}\0{app}\0"
    fold = np.unique(name.astype(str), return_inverse=True)[1].astype(np.int64)
    if max_folds:
        share = np.bincount(fold, 1 / np.bincount(dataset.app_class)[dataset.app_class])
        fold = np.where(np.isin(fold, np.argsort(-share, kind="stable")[:max_folds]), fold, -1)
    return fold


def training_flows(dataset: Dataset, held_out: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Flows that share neither an application nor a source with any held-out flow.

    Parameters
    ----------
    dataset : Dataset
    held_out : ndarray of bool, shape (n_flows,)

    Returns
    -------
    ndarray of bool, shape (n_flows,)
    """
    shares_app = np.isin(dataset.app, np.unique(dataset.app[held_out]))
    shares_source = np.isin(dataset.source, np.unique(dataset.source[held_out]))
    return ~shares_app & ~shares_source


def _cells(dataset: Dataset, which: npt.NDArray[np.bool_]) -> dict[tuple[str, str], int]:
    pairs = Counter(zip(dataset.source[which].tolist(), dataset.app[which].tolist(), strict=True))
    return dict(sorted(pairs.items()))


def _sources_by_main_app(dataset: Dataset) -> dict[str, list[str]]:
    apps: dict[str, Counter[str]] = defaultdict(Counter)
    for source, app in zip(dataset.source.tolist(), dataset.app.tolist(), strict=True):
        apps[source][app] += 1
    grouped: dict[str, list[str]] = defaultdict(list)
    for source in sorted(apps):
        main_app = min(apps[source], key=lambda app: (-apps[source][app], app))
        grouped[main_app].append(source)
    return dict(sorted(grouped.items()))
