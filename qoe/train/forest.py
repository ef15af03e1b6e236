"""A tree ensemble out of scikit-learn in the kernel's flat format (``qoe_native/forest.pxd``)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qoe.errors import MissingExtraError
from qoe.schema import N_FEATURES, FloatArray, IntArray, RecordArray
from qoe_native.engine import FEATURE_NAMES, FEATURE_SCHEMA

N_DECIDED: Final = 6
MAGIC: Final = b"QOEFORST"
FORMAT_VERSION: Final = 1
HEADER: Final = struct.Struct("<8s9I2fI")
NODE_DTYPE: Final = np.dtype([("threshold", "<f4"), ("feature", "<i4"), ("left", "<u4"), ("right", "<u4")])

_WIDE: Final = (
    "n_packets duration_ms payload_rate packet_rate forward_iat_us forward_iat_max_us forward_payload"
    " reverse_iat_us reverse_iat_max_us reverse_payload n_chunks chunk_bytes chunk_gap_ms"
)
WIDE_FEATURES: Final = np.array([name in _WIDE.split() for name in FEATURE_NAMES])
"""Features that range over orders of magnitude: trees are grown on log2(1 + x) of them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a forest is grown.

    Attributes
    ----------
    n_trees, max_depth : int
    leaf_ratio : float
        Least share of the training weight in a leaf.
    feature_ratio : float
        Share of the features that a split may choose among.
    """

    n_trees: int = 24
    max_depth: int = 8
    leaf_ratio: float = 0.0005
    feature_ratio: float = 0.3


@dataclass(frozen=True, slots=True)
class Forest:
    """A grown forest.

    Attributes
    ----------
    roots : ndarray of uint32, shape (n_trees,)
    nodes : ndarray of NODE_DTYPE, shape (n_nodes,)
        A child lies behind its parent; of a leaf, feature is -1 and left the leaf's number.
    leaves : ndarray of float32, shape (n_leaves, 6)
        Probability of class 1 to 6.
    """

    roots: npt.NDArray[np.uint32]
    nodes: RecordArray
    leaves: npt.NDArray[np.float32]

    def predict(self, features: npt.NDArray[np.float32]) -> FloatArray:
        """Probability of class 1 to 6, before calibration: the slow twin of the kernel's walk.

        Parameters
        ----------
        features : ndarray of float32, shape (n, 64)

        Returns
        -------
        ndarray of float64, shape (n, 6)
        """
        total = np.zeros((len(features), N_DECIDED))
        rows = np.arange(len(features))
        for root in self.roots:
            at = np.full(len(features), root)
            while True:
                node = self.nodes[at]
                inner = node["feature"] >= 0
                if not inner.any():
                    break
                left = ~(features[rows, np.maximum(node["feature"], 0)] > node["threshold"])
                at = np.where(inner, np.where(left, node["left"], node["right"]), at)
            total += self.leaves[self.nodes[at]["left"]]
        return total / len(self.roots)

    def to_bytes(self, min_confidence: float, sharpness: float) -> bytes:
        """Return the model file.

        Parameters
        ----------
        min_confidence : float
            0 to 1; a verdict below it stays unknown.
        sharpness : float
            Calibration: probabilities are raised to this power and normalised.
        """
        body = self.roots.tobytes() + self.nodes.tobytes() + self.leaves.tobytes()
        counts = len(self.roots), len(self.nodes), len(self.leaves)
        return (
            HEADER.pack(
                MAGIC, FORMAT_VERSION, HEADER.size, N_FEATURES, N_DECIDED, *counts, FEATURE_SCHEMA,
                zlib.crc32(body), min_confidence, sharpness, 0,
            )
            + body
        )  # fmt: skip


def grow(
    features: npt.NDArray[np.float32], app_class: IntArray, weight: FloatArray, recipe: Recipe, seed: int
) -> Forest:
    """Grow extremely randomised trees (Geurts, Ernst, Wehenkel 2006, doi:10.1007/s10994-006-6226-1).

    Parameters
    ----------
    features : ndarray of float32, shape (n, 64)
    app_class : ndarray of int64, shape (n,)
        1 to 6.
    weight : ndarray of float64, shape (n,)
    recipe : Recipe
    seed : int

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    return flatten(fit(features, app_class, weight, recipe, seed))


def fit(
    features: npt.NDArray[np.float32], app_class: IntArray, weight: FloatArray, recipe: Recipe, seed: int
) -> Any:
    """Return the fitted scikit-learn classifier; parameters as of `grow`."""
    try:
        from sklearn.ensemble import ExtraTreesClassifier
    except ImportError:
        raise MissingExtraError("scikit-learn", "train") from None
    classifier = ExtraTreesClassifier(
        recipe.n_trees,
        max_depth=recipe.max_depth,
        min_weight_fraction_leaf=recipe.leaf_ratio,
        max_features=recipe.feature_ratio,
        random_state=seed,
        n_jobs=-1,
    )
    return classifier.fit(scaled(features), app_class, sample_weight=weight / weight.mean())


def scaled(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Features as trees are grown on them: the logarithm, log2(1 + x), of `WIDE_FEATURES`.

    Random thresholds then fall evenly over the magnitudes. `flatten` takes the logarithm back out of the
    thresholds, so that the kernel compares features as they are.
    """
    out = features.copy()
    out[:, WIDE_FEATURES] = np.log2(1 + np.maximum(features[:, WIDE_FEATURES], 0))
    return out


def flatten(classifier: Any) -> Forest:
    """Lay the trees of a scikit-learn forest out in the kernel's arrays."""
    roots, nodes, leaves = [], [], []
    n_nodes = n_leaves = 0
    for tree in (estimator.tree_ for estimator in classifier.estimators_):
        is_leaf = tree.children_left < 0
        node = np.zeros(tree.node_count, NODE_DTYPE)
        node["threshold"] = np.where(is_leaf, 0, _round_down(_unscaled(tree.threshold, tree.feature)))
        node["feature"] = np.where(is_leaf, -1, tree.feature)
        node["left"] = np.where(is_leaf, n_leaves + np.cumsum(is_leaf) - 1, tree.children_left + n_nodes)
        node["right"] = np.where(is_leaf, 0, tree.children_right + n_nodes)
        share = np.zeros((int(is_leaf.sum()), N_DECIDED), np.float32)
        value = tree.value[is_leaf, 0]
        share[:, classifier.classes_ - 1] = value / value.sum(axis=1, keepdims=True)
        roots.append(n_nodes)
        nodes.append(node)
        leaves.append(share)
        n_nodes += len(node)
        n_leaves += len(share)
    return Forest(np.array(roots, np.uint32), np.concatenate(nodes), np.concatenate(leaves))


def _unscaled(threshold: FloatArray, feature: IntArray) -> FloatArray:
    wide = (feature >= 0) & WIDE_FEATURES[feature]
    return np.where(wide, np.expm1(np.log(2) * np.where(wide, threshold, 0)), threshold)


def _round_down(threshold: FloatArray) -> npt.NDArray[np.float32]:
    # x <= t for every float32 x exactly when x <= the largest float32 that is not above t
    narrow = threshold.astype(np.float32)
    return np.where(narrow > threshold, np.nextafter(narrow, np.float32(-np.inf)), narrow)
