"""Captures and labels in, a classifier and its card out (extra ``[train]``)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from qoe.errors import MissingExtraError, ModelError
from qoe.train import weigh
from qoe.train.card import Card, describe_making, describe_model, describe_training
from qoe.train.crossval import Material, cross_validate, train_forest
from qoe.train.dataset import build
from qoe.train.forest import Recipe
from qoe.train.generated import scenes
from qoe.train.labels import LabelledCapture, read_labels
from qoe.train.replay import Frames
from qoe.train.split import DESCRIPTION as SPLIT
from qoe.train.split import make_folds

__all__ = ["Card", "Recipe", "gather", "make_folds", "train", "validate"]

DEFAULT_SEED: Final = 1
DEFAULT_SCENES: Final = 30
MIN_CONFIDENCE: Final = 0.4

Progress = Callable[[str], None]


def gather(
    captures: Path,
    labels: Path,
    *,
    seed: int = DEFAULT_SEED,
    n_scenes: int = DEFAULT_SCENES,
    progress: Progress = lambda line: None,
) -> tuple[list[LabelledCapture], Material]:
    """Read labelled captures, replay them, and generate what stands beside them.

    Parameters
    ----------
    captures, labels : Path
        As of `qoe.train.labels.read_labels`.
    seed : int
    n_scenes : int
        Generated scenes; 0 for none.
    progress : callable, optional

    Raises
    ------
    ConfigError, CaptureError
        The labels or a capture cannot be read.
    """
    known = read_labels(captures, labels)
    progress(f"reading {len(known)} captures")
    frames = [Frames(capture) for capture in known]
    progress("replaying them, whole and in part")
    dataset = build(frames, seed)
    progress(f"generating {n_scenes} scenes")
    generated = build(scenes(n_scenes, seed), seed)
    return known, Material(frames, dataset, generated)


def train(
    captures: Path,
    labels: Path,
    output: Path,
    *,
    seed: int = DEFAULT_SEED,
    recipe: Recipe | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    n_scenes: int = DEFAULT_SCENES,
    max_folds: int = 0,
    progress: Progress = lambda line: None,
) -> Card:
    """Train a classifier and write it, with its card beside it (``.card.json``).

    The same captures, labels, seed and versions give the same model, byte for byte.

    Parameters
    ----------
    captures : Path
        Folder of the captures.
    labels : Path
        CSV file: a row a flow; see `qoe.train.labels.read_labels`.
    output : Path
        The model file.
    seed : int
        Of every random choice.
    recipe : Recipe, optional
        Size and regularisation of the forest.
    min_confidence : float
        0 to 1: a verdict below it stays unknown.
    n_scenes : int
        Generated scenes beside the captures; 0 trains on captures alone.
    max_folds : int
        Cross-validate only the largest folds, so many; 0 validates all.
    progress : callable, optional
        Told a line at a time how far it is.

    Returns
    -------
    Card

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    ConfigError, CaptureError
        The labels or a capture cannot be read.
    ModelError
        The model cannot be written.
    """
    if find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "train")
    recipe = recipe or Recipe()
    known, material = gather(captures, labels, seed=seed, n_scenes=n_scenes, progress=progress)
    fold = make_folds(material.dataset, max_folds)
    scores, sharpness = cross_validate(material, fold, recipe, min_confidence, seed, progress)
    progress("training on everything")
    everything = np.ones(len(material.dataset.app), bool)
    forest = train_forest(material, everything, recipe, seed)
    data = forest.to_bytes(min_confidence, sharpness)
    card = Card(
        describe_model(output.name, data, forest, recipe, min_confidence, sharpness),
        describe_training(known, material.dataset, material.generated) | {"weights": weigh.DESCRIPTION},
        {"split": SPLIT, "n_folds": len(np.unique(fold[fold >= 0])), **scores},
        describe_making(_command(output, seed, min_confidence, n_scenes, max_folds), seed),
    )
    _write(output, data, card)
    return card


def validate(
    material: Material,
    *,
    max_folds: int = 0,
    recipe: Recipe | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    seed: int = DEFAULT_SEED,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """Cross-validate what `train` would make; parameters as there, scores as of `cross_validate`."""
    fold = make_folds(material.dataset, max_folds)
    scores, _ = cross_validate(material, fold, recipe or Recipe(), min_confidence, seed, progress)
    return scores | {"n_folds": len(np.unique(fold[fold >= 0]))}


def _command(output: Path, seed: int, min_confidence: float, n_scenes: int, max_folds: int) -> str:
    words = ["qoe train CAPTURES LABELS -o", output.name]
    given = (("seed", seed, DEFAULT_SEED), ("min-confidence", min_confidence, MIN_CONFIDENCE))
    for name, value, default in (*given, ("scenes", n_scenes, DEFAULT_SCENES), ("max-folds", max_folds, 0)):
        if value != default:
            words.append(f"--{name} {value}")
    return " ".join(words)


def _write(output: Path, data: bytes, card: Card) -> None:
    try:
        output.write_bytes(data)
        output.with_suffix(".card.json").write_text(card.to_json(), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{output}: cannot be written: {error.strerror or error}") from None
