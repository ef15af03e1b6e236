"""Training: labels, traces, replay, split, weights, scores, and the whole of it on generated captures."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

import qoe.train
from qoe.errors import CaptureError, ConfigError, MissingExtraError, ModelError
from qoe.flows import Engine
from qoe.schema import CLASS_NAMES, N_FEATURES
from qoe.tools.synth import busy_cell, write
from qoe.train import traces, weigh
from qoe.train.dataset import FORWARD_ONLY, LATE, REVERSE_ONLY, WHOLE, Dataset, build
from qoe.train.forest import Recipe
from qoe.train.labels import read_labels
from qoe.train.replay import Frames, number_within
from qoe.train.score import Verdicts, calibration, fit_sharpness, report
from qoe.train.split import make_folds, training_flows

COLUMNS = ("capture", "src", "sport", "dst", "dport", "proto", "class", "app", "source")
SMALL = Recipe(n_trees=4, max_depth=5)
TRACE = """session,a
rel_ts_us,len
0,74
900,-74
1000,66
1100,500
2500,-1514
2501,-1514

session,b
rel_ts_us,len
0,1292
60,-1292
"""


def write_labels(path: Path, rows: list[dict[str, object]]) -> None:
    """Write a labels file."""
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A folder of three generated captures of two sources, with labels."""
    folder = tmp_path_factory.mktemp("captures")
    rows = []
    for seed, source in ((1, "lab"), (2, "lab"), (3, "field")):
        recording = busy_cell(seed, 7.0)
        name = f"cell-{seed}.pcap"
        write(recording, folder / name)
        for flow in recording.truth["flows"]:
            app = f"{flow['app']} of {source}"
            ends = flow["src"], flow["src_port"], flow["dst"], flow["dst_port"], flow["protocol"]
            rows.append(dict(zip(COLUMNS, (name, *ends, flow["class"], app, source), strict=True)))
    write_labels(folder / "flows.csv", rows)
    return folder


@pytest.fixture(scope="module")
def dataset(collection):
    """Every decision on the collection's flows."""
    return build([Frames(capture) for capture in read_labels(collection, collection / "flows.csv")], 1)


def test_every_labelled_flow_is_found(collection, dataset):
    """Each row of the labels file is one flow of the dataset, with its class and source."""
    with (collection / "flows.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(dataset.app) == len(rows)
    for field, values in (("app", dataset.app), ("source", dataset.source)):
        assert sorted(values) == sorted(row[field] for row in rows)
    classes = [CLASS_NAMES[c] for c in dataset.app_class]
    assert sorted(classes) == sorted(row["class"] for row in rows)


def test_last_decision_is_of_the_whole_flow(dataset):
    """Each flow has one last decision on the whole of it, made when all its packets were seen."""
    last = dataset.last & (dataset.variant == WHOLE)
    assert sorted(dataset.flow[last]) == list(range(len(dataset.app)))
    np.testing.assert_array_equal(dataset.seen[last], dataset.n_packets[dataset.flow[last]])


def test_parts_of_flows(dataset):
    """One-way parts have one direction; a late part lacks 3 to 59 first packets."""
    forward_packet_ratio = dataset.features[:, 2]
    for variant in (FORWARD_ONLY, REVERSE_ONLY):
        assert (forward_packet_ratio[dataset.variant == variant] == 1).all()
    late = dataset.last & (dataset.variant == LATE)
    missing = dataset.n_packets[dataset.flow[late]] - dataset.seen[late]
    assert ((missing >= 3) & (missing < 60)).all()
    assert len(np.unique(missing)) > 10


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=40))
def test_number_within_groups(groups):
    """Each member's number is how many of its group came before."""
    expected = [groups[:i].count(group) for i, group in enumerate(groups)]
    assert number_within(np.array(groups, np.uint64)).tolist() == expected


def test_labels_errors(tmp_path):
    """A missing column, an unknown class, a bad address and a missing capture are said in one line."""
    labels = tmp_path / "labels.csv"
    row = dict(zip(COLUMNS, ("a.pcap", "10.0.0.1", 1, "10.0.0.2", 2, 6, "web", "x", ""), strict=True))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_labels(tmp_path, labels)
    labels.write_text("capture,src\n")
    with pytest.raises(ConfigError, match="no column 'sport'"):
        read_labels(tmp_path, labels)
    write_labels(labels, [row])
    with pytest.raises(CaptureError, match="no such file"):
        read_labels(tmp_path, labels)
    (tmp_path / "a.pcap").write_bytes(b"")
    for key, value, words in (
        ("class", "films", "films"),
        ("src", "10.0.0", "10.0.0"),
        ("class", "unknown", "no labelled"),
    ):
        write_labels(labels, [row | {key: value}])
        with pytest.raises(ConfigError, match=words):
            read_labels(tmp_path, labels)


def test_source_comes_from_the_inventory(tmp_path):
    """Without a column of its own, the inventory's source_repo is the source; without that, the capture."""
    row = dict(zip(COLUMNS, ("a.pcap", "10.0.0.1", 1, "10.0.0.2", 2, 6, "web", "x", ""), strict=True))
    write_labels(tmp_path / "labels.csv", [row])
    (tmp_path / "a.pcap").write_bytes(b"")
    assert read_labels(tmp_path, tmp_path / "labels.csv")[0].source == "a.pcap"
    (tmp_path / "inventory.csv").write_text("capture,source_repo,commit,sha256\na.pcap,some/where,0abc,12\n")
    (capture,) = read_labels(tmp_path, tmp_path / "labels.csv")
    assert (capture.source, capture.origin, capture.sha256) == ("some/where", "some/where 0abc", "12")


def test_a_trace_becomes_the_same_flows(tmp_path):
    """Sessions of a CSV trace are flows with the same packets and bytes; a long first one is UDP."""
    path = tmp_path / "film.csv.gz"
    path.write_bytes(gzip.compress(TRACE.encode()))
    sessions = traces.read_sessions(path)
    assert [session.name for session in sessions] == ["a", "b"]
    engine = Engine(max_flows=64, model=None, idle_timeout_s=0, active_timeout_s=0)
    for burst in traces.bursts(sessions):
        engine.process(burst)
    first, second = engine.snapshot()
    assert (first["protocol"], second["protocol"]) == (6, 17)
    assert (first["packets_forward"], first["packets_reverse"]) == (3, 3)
    assert (first["bytes_forward"], first["bytes_reverse"]) == (640, 3102)
    assert first["last_ns"] - first["first_ns"] == 2_501_000
    assert second["payload_bytes_forward"] == 1250
    assert first["retransmissions_forward"] + first["retransmissions_reverse"] == 0


def test_traces_of_another_shape(tmp_path):
    """A CSV without sessions holds no packets; a malformed line is an error that names the file."""
    path = tmp_path / "frames.csv"
    path.write_text("# 60 frames/s\n33228,0.015\n")
    assert traces.read_sessions(path) is None
    for text in (
        "session,a\nrel_ts_us,len\n0,1,2\n",
        "session,a\nts,len\n",
        "session,a\nrel_ts_us,len\n0,x\n",
    ):
        path.write_text(text)
        with pytest.raises(CaptureError, match=r"frames\.csv"):
            traces.read_sessions(path)


def random_dataset(rng: np.random.Generator, n: int) -> Dataset:
    """Make flows of random applications and sources, one decision each."""
    numbers = np.arange(n)
    app = np.char.add("app ", rng.integers(0, 12, n).astype(str))
    source = np.char.add("source ", rng.integers(0, 9, n).astype(str))
    features = np.zeros((n, N_FEATURES), np.float32)
    classes = rng.integers(1, 7, n)
    ones = np.ones(n, bool)
    return Dataset(
        numbers * 0, numbers, classes, app, source, numbers + 5, features, numbers, numbers, numbers * 0, ones
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_no_application_or_source_on_both_sides(seed, n):
    """Each flow is in one fold; what a fold's model is trained on shares no application or source with it."""
    flows = random_dataset(np.random.default_rng(seed), n)
    fold = make_folds(flows)
    assert (fold >= 0).all()
    for k in np.unique(fold):
        held_out = fold == k
        taught = training_flows(flows, held_out)
        assert not set(flows.app[held_out]) & set(flows.app[taught])
        assert not set(flows.source[held_out]) & set(flows.source[taught])


def test_fewer_folds():
    """Two folds are kept as they were, and the rest marked as left out."""
    flows = random_dataset(np.random.default_rng(4), 200)
    every, some = make_folds(flows), make_folds(flows, 2)
    kept = np.unique(some[some >= 0])
    assert len(kept) == 2 < len(np.unique(every))
    np.testing.assert_array_equal(some, np.where(np.isin(every, kept), every, -1))


def test_weights_do_not_grow_with_repetition():
    """A hundred flows of one application and source weigh ten times one, not a hundred times."""
    n = 101
    flows = random_dataset(np.random.default_rng(0), n)
    app = np.array(["many"] * 100 + ["one"])
    same = Dataset(
        flows.capture, flows.label, np.full(n, 4), app, np.full(n, "s"), flows.n_packets, flows.features,
        flows.flow, flows.seen, flows.variant, flows.last,
    )  # fmt: skip
    weight = weigh.real(same, np.ones(n, bool), np.ones(n, bool))
    assert weight[:100].sum() == pytest.approx(10 * weight[100])


def random_verdicts(seed: int, n: int = 400) -> Verdicts:
    """Make verdicts that are right about half the time."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 7, n)
    likeliest = np.where(rng.random(n) < 0.5, truth, rng.integers(1, 7, n))
    confidence = rng.random(n)
    said = np.where(confidence < 0.2, 0, likeliest)
    return Verdicts(
        truth, said, confidence, likeliest, rng.integers(4, 99, n) * (said > 0), rng.integers(4, 99, n)
    )


def test_scores_equal_sklearns():
    """Macro-F1 and each class's F1 are scikit-learn's, weighted or not; unknown is a miss."""
    verdicts = random_verdicts(2)
    weight = np.random.default_rng(3).random(len(verdicts.truth))
    for given_weight in (None, weight):
        scores = report(verdicts, given_weight)
        each = f1_score(
            verdicts.truth, verdicts.said, labels=range(1, 7), average=None, sample_weight=given_weight
        )
        assert scores["macro_f1"] == pytest.approx(each.mean(), abs=1e-4)
        np.testing.assert_allclose([row["f1"] for row in scores["classes"].values()], each, atol=1e-4)
    assert scores["unknown_ratio"] == pytest.approx(np.mean(verdicts.said == 0), abs=1e-4)
    assert sum(sum(row.values()) for row in scores["confusion"].values()) == len(verdicts.truth)


def test_calibration_error():
    """The error is 0 where confidence is the accuracy, and the gap where it is not."""
    right = np.arange(1000) % 10 < 7
    assert calibration(np.full(1000, 0.7), right)["ece"] == pytest.approx(0)
    assert calibration(np.full(1000, 0.95), right)["ece"] == pytest.approx(0.25)


def test_sharpness_is_recovered():
    """Labels drawn from p ** 2, normalised, are best explained by the exponent 2."""
    rng = np.random.default_rng(6)
    p = rng.dirichlet(np.ones(6), 20_000)
    sharp = p**2 / (p**2).sum(axis=1, keepdims=True)
    truth = 1 + (sharp.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1).clip(max=5)
    assert fit_sharpness(p, truth, np.ones(20_000)) == pytest.approx(2, abs=0.1)


def test_training_end_to_end_and_again(collection, tmp_path):
    """A model and a card come out; the same seed gives the same model, another seed another."""
    made = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        path = tmp_path / f"{name}.qoemodel"
        labels = collection / "flows.csv"
        card = qoe.train.train(collection, labels, path, seed=seed, recipe=SMALL, n_scenes=0, max_folds=2)
        made.append(path.read_bytes())
    assert made[0] == made[1]
    assert made[0] != made[2]
    text = (tmp_path / "other.card.json").read_text()
    assert json.loads(text) == json.loads(card.to_json())
    assert str(collection) not in text
    assert str(tmp_path) not in text
    scores = json.loads(text)["evaluation"]["without_hints"]["flows_20"]
    assert sum(row["n_flows"] for row in scores["classes"].values()) == scores["n_flows"] > 0
    assert Engine(max_flows=64, model=made[0]).n_live == 0


def test_training_says_what_is_missing(collection, tmp_path, monkeypatch):
    """Without scikit-learn the extra is named; a folder that is not there is an error in words."""
    with pytest.raises(ModelError, match="cannot be written"):
        qoe.train.train(
            collection, collection / "flows.csv", tmp_path / "no" / "m", recipe=SMALL, n_scenes=0, max_folds=1
        )
    monkeypatch.setattr(qoe.train, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"qoe\[train\]"):
        qoe.train.train(collection, collection / "flows.csv", tmp_path / "m.qoemodel")
