"""Cross-validation that leaves out applications and sources, through the kernel from packets to verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qoe.schema import FloatArray, IntArray, Option
from qoe.train import weigh
from qoe.train.dataset import PARTS, WHOLE, Dataset
from qoe.train.forest import N_DECIDED, Forest, Recipe, grow
from qoe.train.replay import Frames
from qoe.train.score import Verdicts, fit_sharpness, macro_f1, report
from qoe.train.split import SCORED_PACKETS, training_flows

NO_HINTS = Option.NO_PORT_HINT | Option.NO_PROTOCOL_HINT
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """What models are trained on.

    Attributes
    ----------
    captures : sequence of Frames
        Real ones, as `dataset` numbers them.
    dataset, generated : Dataset
        Real and generated flows; `generated` may be empty.
    """

    captures: Sequence[Frames]
    dataset: Dataset
    generated: Dataset


def train_forest(material: Material, flows: npt.NDArray[np.bool_], recipe: Recipe, seed: int) -> Forest:
    """Grow a forest on some real flows and all generated ones."""
    parts = []
    chosen = weigh.rows(material.dataset, seed)
    weight: FloatArray = weigh.real(material.dataset, flows, chosen)
    parts.append((material.dataset, weight))
    if len(material.generated.app):
        chosen = weigh.rows(material.generated, seed + 1)
        parts.append((material.generated, weigh.generated(material.generated, chosen, float(weight.sum()))))
    used = [(part, part_weight, part_weight > 0) for part, part_weight in parts]
    return grow(
        np.concatenate([part.features[rows] for part, _, rows in used]),
        np.concatenate([part.app_class[part.flow[rows]] for part, _, rows in used]),
        np.concatenate([part_weight[rows] for _, part_weight, rows in used]),
        recipe,
        seed,
    )


def last_decisions(dataset: Dataset) -> IntArray:
    """Row of each flow's last decision, the whole flow seen."""
    rows = np.flatnonzero(dataset.last & (dataset.variant == WHOLE))
    of_flow = np.full(len(dataset.app), -1)
    of_flow[dataset.flow[rows]] = rows
    return of_flow


def _by_app(dataset: Dataset) -> FloatArray:
    # an application's flows in a source weigh sqrt(n) together
    _, cell, n_of = np.unique(
        np.char.add(np.char.add(dataset.source, "\0"), dataset.app), return_inverse=True, return_counts=True
    )
    return np.asarray(n_of[cell] ** -0.5, np.float64)


def cross_validate(
    material: Material,
    fold: IntArray,
    recipe: Recipe,
    min_confidence: float,
    seed: int,
    progress: Progress = lambda line: None,
) -> tuple[dict[str, Any], float]:
    """Score models on flows whose applications and sources they never saw.

    The calibration of each fold's model is fitted on the other folds' out-of-fold predictions.

    Parameters
    ----------
    material : Material
    fold : ndarray of int64, shape (n_flows,)
        Of `qoe.train.split.make_folds`.
    recipe : Recipe
    min_confidence : float
    seed : int
    progress : callable, optional
        Told a line at a time how far it is.

    Returns
    -------
    scores : dict
        `without_hints` and `with_hints`, each with `flows_20` and `flows_5` (flows of so many packets or
        more; reports of `qoe.train.score.report`) and `macro_f1_by_app` (flows_20 with each application's
        flows in a source weighing their square root together); `in_part`: macro-F1 of the likeliest class
        for flows of which 20 packets or more were seen, in one direction or without the first packets.
    sharpness : float
        Fitted on all out-of-fold predictions: for the model that is trained on everything.
    """
    dataset = material.dataset
    last = last_decisions(dataset)
    raw = np.zeros((len(dataset.app), N_DECIDED))
    parts = np.flatnonzero(dataset.last & (dataset.variant != WHOLE) & (dataset.seen >= SCORED_PACKETS))
    likeliest = np.zeros(len(dataset.flow), np.int64)
    forests: dict[int, Forest] = {}
    numbers = np.unique(fold[fold >= 0]).tolist()
    for done, k in enumerate(numbers):
        held_out = fold == k
        forests[k] = train_forest(material, training_flows(dataset, held_out), recipe, seed)
        raw[held_out] = forests[k].predict(dataset.features[last[held_out]])
        mine = parts[held_out[dataset.flow[parts]]]
        likeliest[mine] = 1 + forests[k].predict(dataset.features[mine]).argmax(axis=1)
        progress(f"cross-validation: fold {done + 1} of {len(numbers)}")
    weight = _by_app(dataset)

    def sharpness(which: npt.NDArray[np.bool_]) -> float:
        scored = which & (dataset.n_packets >= SCORED_PACKETS)
        return fit_sharpness(raw[scored], dataset.app_class[scored], weight[scored])

    models = {
        k: forest.to_bytes(min_confidence, sharpness((fold != k) & (fold >= 0)))
        for k, forest in forests.items()
    }
    scores: dict[str, Any] = {"in_part": _score_parts(dataset, likeliest, parts[likeliest[parts] > 0])}
    for name, options in (("without_hints", NO_HINTS), ("with_hints", 0)):
        progress(f"cross-validation: verdicts {name.replace('_', ' ')}")
        verdicts = _verdicts(material, fold, models, options)
        scores[name] = _reports(verdicts, weight[fold >= 0])
    return scores, sharpness(fold >= 0)


def _score_parts(dataset: Dataset, likeliest: IntArray, parts: IntArray) -> dict[str, Any]:
    scores = {}
    for variant, name in PARTS.items():
        mine = parts[dataset.variant[parts] == variant]
        truth = dataset.app_class[dataset.flow[mine]]
        scores[name] = {"n_flows": len(mine), "macro_f1": macro_f1(truth, likeliest[mine])}
    return scores


def _reports(verdicts: Verdicts, weight: FloatArray) -> dict[str, Any]:
    long = verdicts.n_packets >= SCORED_PACKETS
    return {
        "flows_20": report(verdicts[long]),
        "macro_f1_by_app": report(verdicts[long], weight[long])["macro_f1"],
        "flows_5": report(verdicts[verdicts.n_packets >= 5]),
    }


def _verdicts(material: Material, fold: IntArray, models: dict[int, bytes], options: int) -> Verdicts:
    dataset = material.dataset
    columns = np.zeros((5, len(dataset.app)))
    for k, model in models.items():
        held_out = np.flatnonzero(fold == k)
        for number in np.unique(dataset.capture[held_out]):
            rows = held_out[dataset.capture[held_out] == number]
            replayed = material.captures[number].replay(model=model, options=options)
            flow_of = {label: flow_id for flow_id, label in reversed(replayed.label_of_flow.items())}
            at = {int(flow_id): i for i, flow_id in enumerate(replayed.flows["flow_id"])}
            flows = replayed.flows[[at[flow_of[int(label)]] for label in dataset.label[rows]]]
            best = flows["probability"][:, 1:]
            columns[:, rows] = (
                flows["app_class"], best.max(axis=1), best.argmax(axis=1) + 1, flows["decided_after_packets"],
                flows["packets_forward"] + flows["packets_reverse"],
            )  # fmt: skip
    scored = fold >= 0
    said, confidence, likeliest, after, n_packets = columns[:, scored]
    whole = [column.astype(np.int64) for column in (said, likeliest, after, n_packets)]
    return Verdicts(dataset.app_class[scored], whole[0], confidence, *whole[1:])
