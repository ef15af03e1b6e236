"""The forest's walk against scikit-learn and a slow twin; damaged model files."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.errors import ModelError
from qoe.flows import Engine
from qoe.schema import N_FEATURES
from qoe.train.forest import (
    HEADER,
    N_DECIDED,
    NODE_DTYPE,
    WIDE_FEATURES,
    Forest,
    Recipe,
    fit,
    flatten,
    scaled,
)
from qoe_native.engine import Engine as NativeEngine

RNG = np.random.default_rng(5)
TRAINING = RNG.normal(size=(600, N_FEATURES)).astype(np.float32).round(1)
TRAINING[:, WIDE_FEATURES] = RNG.lognormal(5, 3, size=(600, int(WIDE_FEATURES.sum()))).astype(np.float32)
TRUTH = 1 + (TRAINING[:, 0] > 99) + 2 * (TRAINING[:, 2] > 0.4) + (TRAINING[:, 3] > 1)
CLASSIFIER = fit(TRAINING, TRUTH, np.ones(len(TRUTH)), Recipe(n_trees=7, max_depth=6), 3)
FOREST = flatten(CLASSIFIER)
MODEL = FOREST.to_bytes(0.4, 1.0)
# on the grid of the training values, so that many fall exactly on a threshold
PROBES = RNG.normal(scale=1.5, size=(2_000, N_FEATURES)).astype(np.float32).round(1)
PROBES[:, WIDE_FEATURES] = TRAINING[RNG.integers(0, 600, 2_000)][:, WIDE_FEATURES]


def kernel_predict(model: bytes, features: np.ndarray) -> np.ndarray:
    """Probabilities as the kernel computes them."""
    out = np.empty((len(features), N_DECIDED), np.float32)
    NativeEngine(max_flows=64, model=model).predict(features, out)
    return out


def sklearn_predict(features: np.ndarray) -> np.ndarray:
    """Probabilities as scikit-learn computes them, for all six classes."""
    whole = np.zeros((len(features), N_DECIDED))
    whole[:, CLASSIFIER.classes_ - 1] = CLASSIFIER.predict_proba(scaled(features))
    return whole


def test_kernel_equals_sklearn():
    """The kernel's probabilities are scikit-learn's, also where a feature equals a threshold."""
    np.testing.assert_allclose(kernel_predict(MODEL, PROBES), sklearn_predict(PROBES), atol=5e-4)


def test_twin_equals_sklearn():
    """The NumPy walk over the flat arrays gives scikit-learn's probabilities."""
    np.testing.assert_allclose(FOREST.predict(PROBES), sklearn_predict(PROBES), atol=1e-6)


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_sharpness_is_a_normalised_power(sharpness):
    """Calibration raises each probability to a power and normalises."""
    powered = sklearn_predict(PROBES) ** sharpness
    expected = powered / powered.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kernel_predict(FOREST.to_bytes(0.4, sharpness), PROBES), expected, atol=2e-3)


def test_predict_refuses_other_shapes():
    """A feature matrix of another width is refused, and so is an engine without a model."""
    out = np.empty((3, N_DECIDED), np.float32)
    with pytest.raises(ValueError, match="n x 64"):
        NativeEngine(max_flows=64, model=MODEL).predict(np.zeros((3, 63), np.float32), out)
    with pytest.raises(ValueError, match="no model"):
        NativeEngine(max_flows=64).predict(np.zeros((3, N_FEATURES), np.float32), out)


def assert_sound_or_refused(model: bytes) -> bool:
    """Return whether the model was refused; if it was not, what it says is a distribution."""
    try:
        Engine(max_flows=64, model=model)
    except ModelError:
        return True
    said = kernel_predict(model, PROBES[:50])
    assert np.isfinite(said).all()
    assert (said >= 0).all()
    total = said.sum(axis=1)
    assert (np.isclose(total, 1, atol=1e-4) | (total == 0)).all()
    return False


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(MODEL) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_refused(at, mask):
    """A flipped byte is refused, save in the three header fields that any value may have."""
    damaged = bytearray(MODEL)
    damaged[at] ^= mask
    refused = assert_sound_or_refused(bytes(damaged))
    assert refused or HEADER.size - 12 <= at < HEADER.size


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(MODEL) - 1))
def test_a_cut_file_is_refused(n_bytes):
    """No beginning of a model is a model."""
    assert assert_sound_or_refused(MODEL[:n_bytes])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(MODEL) - HEADER.size - 4), st.binary(min_size=1, max_size=4))
def test_a_forged_body_is_refused_or_harmless(at, octets):
    """With the checksum made right again, a changed body is refused or still yields distributions."""
    body = bytearray(MODEL[HEADER.size :])
    body[at : at + len(octets)] = octets
    fields = list(HEADER.unpack(MODEL[: HEADER.size]))
    fields[9] = zlib.crc32(body)
    assert_sound_or_refused(HEADER.pack(*fields) + bytes(body))


def test_a_node_of_two_parents_is_refused():
    """What is walked is a tree; anything else could be laid out at a multiple of its size."""
    nodes = np.array([(0, 0, 1, 1), (0, -1, 0, 0)], NODE_DTYPE)
    leaves = np.full((1, N_DECIDED), 1 / N_DECIDED, np.float32)
    with pytest.raises(ModelError):
        Engine(max_flows=64, model=Forest(np.zeros(1, np.uint32), nodes, leaves).to_bytes(0.4, 1.0))


@pytest.mark.parametrize("child", [0, 1, 4_000_000_000])
def test_a_loop_is_refused(child):
    """A child at or before its parent, or outside the nodes, would never end a walk."""
    nodes = np.zeros(4, NODE_DTYPE)
    nodes["feature"] = [0, 1, -1, -1]
    nodes["left"] = [1, 2, 0, 0]
    nodes["right"] = [2, child, 0, 0]
    leaves = np.full((1, N_DECIDED), 1 / N_DECIDED, np.float32)
    with pytest.raises(ModelError):
        Engine(max_flows=64, model=Forest(np.zeros(1, np.uint32), nodes, leaves).to_bytes(0.4, 1.0))


@pytest.mark.parametrize(("n_inner", "refused"), [(64, False), (65, True)])
def test_too_long_a_walk_is_refused(n_inner, refused):
    """A decision takes at most 64 steps a tree."""
    nodes = np.zeros(2 * n_inner + 1, NODE_DTYPE)  # an inner node and the leaf to its left, and so on
    nodes["feature"][1::2] = nodes["feature"][-1] = -1
    nodes["left"][:-1:2], nodes["right"][:-1:2] = 1 + 2 * np.arange(n_inner), 2 + 2 * np.arange(n_inner)
    leaves = np.array([[0.25, 0.75, 0, 0, 0, 0]], np.float32)
    model = Forest(np.zeros(1, np.uint32), nodes, leaves).to_bytes(0.4, 1.0)
    if refused:
        with pytest.raises(ModelError):
            Engine(max_flows=64, model=model)
    else:
        np.testing.assert_allclose(kernel_predict(model, PROBES[:3])[:, 1], 0.75, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1.5])
def test_a_leaf_that_is_no_probability_is_refused(value):
    """NaN, infinity and numbers outside 0 to 1 never enter a verdict."""
    nodes = np.array([(0, -1, 0, 0)], NODE_DTYPE)
    leaves = np.full((1, N_DECIDED), 1 / N_DECIDED, np.float32)
    leaves[0, 2] = value
    with pytest.raises(ModelError):
        Engine(max_flows=64, model=Forest(np.zeros(1, np.uint32), nodes, leaves).to_bytes(0.4, 1.0))


def test_a_model_for_other_features_is_refused():
    """The checksum of the feature names ties a model to the kernel it was trained for."""
    fields = list(HEADER.unpack(MODEL[: HEADER.size]))
    fields[8] ^= 1
    with pytest.raises(ModelError, match="other"):
        Engine(max_flows=64, model=HEADER.pack(*fields) + MODEL[HEADER.size :])


def test_a_missing_model_is_an_error_in_words(tmp_path):
    """A path without a file names the path and the command that makes one."""
    with pytest.raises(ModelError, match="qoe train"):
        Engine(max_flows=64, model=tmp_path / "none.qoemodel")
