"""Random forest for P.1203.3, for users who hold its trees."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from os import PathLike

import numpy as np

from qoe.errors import ModelError
from qoe.mos.p1203_session import Forest
from qoe.schema import FloatArray

N_FEATURES = 14


def read_trees(paths: Iterable[str | PathLike[str]]) -> Forest:
    """Read a forest of regression trees, one CSV file a tree.

    Parameters
    ----------
    paths : iterable of path
        Files with rows ``node,feature,threshold,left,right``: a row is the node of its number; at a leaf
        `feature` is -1 and `threshold` is the value. The left child is taken when the feature is below
        the threshold.

    Returns
    -------
    Forest
        Mean over the trees as a function of the features, to be given to
        :func:`qoe.mos.p1203_session.session_mos`.

    Raises
    ------
    ModelError
        No tree at all, or a file that is not a tree over 14 features.
    """
    trees = [_read_tree(path) for path in paths]
    if not trees:
        raise ModelError("forest: no tree files given")
    return lambda features: float(np.mean([_walk(tree, features) for tree in trees]))


def _read_tree(path: str | PathLike[str]) -> FloatArray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file is refused below
            tree = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as a tree: {error}") from error
    if not _is_tree(tree):
        raise ModelError(
            f"{path}: not a tree: want rows node,feature,threshold,left,right, with features of"
            f" -1..{N_FEATURES - 1} and children that come after their parent"
        )
    return tree


def _is_tree(tree: FloatArray) -> bool:
    if tree.shape[0] < 1 or tree.shape[1] != 5 or not np.isfinite(tree).all():
        return False
    rows = np.arange(tree.shape[0])
    feature, children = tree[:, 1], tree[:, 3:]
    inner = feature >= 0
    forward = (children[inner] > rows[inner, None]) & (children[inner] < rows.size)
    return bool((feature >= -1).all() and (feature < N_FEATURES).all() and forward.all())


def _walk(tree: FloatArray, features: FloatArray) -> float:
    node = 0
    while tree[node, 1] >= 0:
        left = features[int(tree[node, 1])] < tree[node, 2]
        node = int(tree[node, 3 if left else 4])
    return float(tree[node, 2])
