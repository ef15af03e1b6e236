"""The model card: what a model was trained on, how it scored, and what it is not for."""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from qoe.schema import CLASS_NAMES
from qoe.train.dataset import Dataset
from qoe.train.forest import Forest, Recipe
from qoe.train.labels import LabelledCapture
from qoe_native.engine import FEATURE_NAMES, FEATURE_SCHEMA

USE: Final = (
    "Assigns a flow to video, voip, gaming, web, bulk or other from packet sizes, directions and times, so "
    "that a scheduler can weigh bearers by experience. No port, address, name or payload is among the "
    "features; hints from ports and framing are added by the kernel and can be switched off."
)
LIMITS: Final = (
    "Not for charging, blocking or surveillance, and not evidence of what a person did.",
    "Scores are on applications and sources that the scored model never saw; on known ones it does better.",
    "The fewer the flows and applications of a class in `training`, the less its score says; generated flows "
    "stand in where real ones are few, and no score is taken on them.",
    "Labels come from deep inspection and file names, and are themselves wrong now and then.",
    "The kernel's tables of port and framing hints were written with the collection known, so that "
    "the score with hints is a little kinder than the one without.",
    "VPNs and tunnels that cannot be opened are one flow, whatever they carry.",
)


@dataclass(frozen=True)
class Card:
    """What `qoe train` says of a model; `to_json` is the file beside it.

    Attributes
    ----------
    model : dict
        File, sha256, size, trees, features, thresholds.
    training : dict
        Captures by source and version, digest of their list, flows by class, generated flows, weights.
    evaluation : dict
        How the split was made, and the scores of `qoe.train.crossval.cross_validate`; empty when not scored.
    reproduce : dict
        Command, seed, versions, date.
    use : str
    limits : tuple of str
    """

    model: dict[str, Any]
    training: dict[str, Any]
    evaluation: dict[str, Any]
    reproduce: dict[str, Any]
    use: str = USE
    limits: tuple[str, ...] = field(default=LIMITS)

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def describe_model(
    name: str, data: bytes, forest: Forest, recipe: Recipe, min_confidence: float, sharpness: float
) -> dict[str, Any]:
    """Describe the model file."""
    depth = np.zeros(len(forest.nodes), np.int64)
    for at in np.flatnonzero(forest.nodes["feature"] >= 0):
        depth[[forest.nodes["left"][at], forest.nodes["right"][at]]] = depth[at] + 1
    used = Counter(forest.nodes["feature"][forest.nodes["feature"] >= 0].tolist())
    return {
        "file": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "n_bytes": len(data),
        "kind": "extremely randomised trees, averaged, with one calibration exponent",
        "n_trees": len(forest.roots),
        "n_nodes": len(forest.nodes),
        "max_depth": int(depth.max(initial=0)),
        "recipe": asdict(recipe),
        "min_confidence": min_confidence,
        "sharpness": sharpness,
        "feature_schema": f"{FEATURE_SCHEMA:08x}",
        "features": list(FEATURE_NAMES),
        "splits_by_feature": {FEATURE_NAMES[k]: n for k, n in used.most_common()},
    }


def describe_training(
    captures: Sequence[LabelledCapture], dataset: Dataset, generated: Dataset
) -> dict[str, Any]:
    """Describe what was trained on, naming sources and no path of this machine."""
    names = sorted(f"{capture.sha256 or _sha256(capture.path)} {capture.name}" for capture in captures)
    return {
        "collection": f"a collection of {len(captures)} captures and traces",
        "captures_by_source": dict(sorted(Counter(capture.origin for capture in captures).items())),
        "captures_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
        "captures_sha256_of": "the sorted lines 'SHA-256 NAME', joined by newlines",
        "flows_by_class": _by_class(dataset),
        "applications_by_class": {
            name: len(np.unique(dataset.app[dataset.app_class == c]))
            for c, name in enumerate(CLASS_NAMES)
            if c
        },
        "generated_flows_by_class": _by_class(generated),
    }


def describe_making(command: str, seed: int) -> dict[str, Any]:
    """Describe how the model is made again."""
    return {
        "command": command,
        "seed": seed,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in ("qoe", "numpy", "scikit-learn")},
    }


def _by_class(dataset: Dataset) -> dict[str, int]:
    counts = np.bincount(dataset.app_class, minlength=7)
    return {name: int(counts[c]) for c, name in enumerate(CLASS_NAMES) if c}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
