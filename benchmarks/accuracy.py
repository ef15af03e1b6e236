"""The classifier's recipe under cross-validation that leaves out applications and sources.

Captures are taken from the folder that QOE_CAPTURES names (with flows.csv, and inventory.csv if there is
one), else from a folder `captures` with a flows.csv in a folder beside the checkout. Where there are none,
the recipe is scored on generated cells, leaving out cells alone, and every result says so: such scores show
that the machinery works, not how good the classifier is.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.collection import find_collection
from qoe.train import DEFAULT_SCENES, DEFAULT_SEED, Recipe, gather, validate
from qoe.train.crossval import Material, train_forest
from qoe.train.dataset import Dataset, build
from qoe.train.generated import scenes
from qoe.train.split import DESCRIPTION
from qoe_native.engine import Engine

QUICK = Recipe(n_trees=8, max_depth=8)
CELLS_ALONE = "every generated cell is scored by a model that never saw it"


def material(quick: bool) -> tuple[Material, str, str]:
    """What is trained and scored on, its name, and how it is split."""
    folder = find_collection()
    if folder is None:
        return generated_material(4 if quick else 12), "generated", CELLS_ALONE
    n_scenes = 4 if quick else DEFAULT_SCENES
    _, found = gather(folder, folder / "flows.csv", n_scenes=n_scenes, progress=_say)
    return found, "captures", DESCRIPTION


def generated_material(n_scenes: int) -> Material:
    """Generated cells, each a source of its own with applications of its own."""
    frames = scenes(n_scenes, DEFAULT_SEED)
    flows = build(frames, DEFAULT_SEED)
    source = np.char.add("cell ", flows.capture.astype(str))
    app = np.char.add(np.char.add(flows.app, " of "), source)
    return Material(frames, replace(flows, source=source, app=app), build([], DEFAULT_SEED))


def run(quick: bool) -> list[dict[str, Any]]:
    """Cross-validate; `quick` scores the six largest folds with a small forest.

    Returns
    -------
    list of dict
        Cases `summary` (macro-F1, calibration error, packets to decision) with and without hints, for flows
        of 20 and of 5 packets or more; of the former also `class` and `calibration bin`; and `decision`, the
        time that the forest takes.
    """
    taken, source, split = material(quick)
    recipe = QUICK if quick else Recipe()
    scores = validate(taken, recipe=recipe, max_folds=6 if quick else 0, progress=_say)
    about = {"source": source, "n_folds": scores["n_folds"]}
    cases = []
    for hints in ("without_hints", "with_hints"):
        for least in (20, 5):
            scored = scores[hints][f"flows_{least}"]
            cases += _cases(
                scored, about | {"hints": hints == "with_hints", "min_packets": least}, details=least == 20
            )
        cases[-1]["macro_f1_by_app_flows_20"] = scores[hints]["macro_f1_by_app"]
    cases[0]["split"] = split
    return [*cases, about | _decision_cost(taken, recipe)]


def _cases(scored: dict[str, Any], about: dict[str, Any], details: bool) -> list[dict[str, Any]]:
    summary = {
        "macro_f1": scored["macro_f1"],
        "n_flows": scored["n_flows"],
        "accuracy_decided": scored["accuracy_decided"],
        "unknown_ratio": scored["unknown_ratio"],
        "calibration_error": scored["calibration"]["ece"],
        "packets_to_decision_median": scored["packets_to_decision"]["median"],
        "packets_to_decision_p90": scored["packets_to_decision"]["p90"],
    }
    cases = [{"case": "summary"} | summary | about]
    if details:
        cases += [{"case": "class", "class": name} | row | about for name, row in scored["classes"].items()]
        cases += [{"case": "calibration bin"} | row | about for row in scored["calibration"]["bins"]]
    return cases


def _decision_cost(taken: Material, recipe: Recipe) -> dict[str, Any]:
    """Nanoseconds that the forest takes for one decision, over real feature vectors in random order."""
    flows: Dataset = taken.dataset
    forest = train_forest(taken, np.ones(len(flows.app), bool), recipe, DEFAULT_SEED)
    engine = Engine(max_flows=64, model=forest.to_bytes(0.4, 1.0))
    rows = np.random.default_rng(DEFAULT_SEED).permutation(len(flows.features))
    features = np.ascontiguousarray(flows.features[rows])
    out = np.empty((len(features), 6), np.float32)
    engine.predict(features, out)
    start = time.perf_counter_ns()
    engine.predict(features, out)
    spent = time.perf_counter_ns() - start
    return {
        "case": "decision",
        "n_trees": recipe.n_trees,
        "forest_ns_per_decision": round(spent / len(features), 1),
    }


def _say(line: str) -> None:
    print(f"accuracy: {line}", file=sys.stderr)
