"""Trees that users bring."""

from __future__ import annotations

import numpy as np
import pytest

from qoe.errors import ModelError
from qoe.mos.p1203_forest import read_trees
from qoe.mos.p1203_session import session_quality
from qoe.mos.p1203_timeline import Segment, Session

STUMP = "0,5,3.0,1,2\n1,-1,1.5,0,0\n2,-1,4.0,0,0\n"
DEEPER = "0,0,1.0,1,2\n1,13,60,3,4\n2,-1,2.0,0,0\n3,-1,5.0,0,0\n4,-1,3.0,0,0\n"


def _write(folder, *texts):
    paths = [folder / f"tree{i}.csv" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_walks_and_averages(tmp_path):
    """A feature below the threshold goes left, at it right; the forest is the mean of its trees."""
    forest = read_trees(_write(tmp_path, STUMP, DEEPER))
    features = np.zeros(14)
    features[5], features[13] = 2.9, 59.0
    assert forest(features) == pytest.approx((1.5 + 5.0) / 2)
    features[5], features[13] = 3.0, 60.0
    assert forest(features) == pytest.approx((4.0 + 3.0) / 2)
    features[0] = 1.0
    assert forest(features) == pytest.approx((4.0 + 2.0) / 2)


def test_plugs_into_a_session(tmp_path):
    """A forest from files gives the session its score."""
    forest = read_trees(_write(tmp_path, "0,-1,2.5,0,0\n"))
    session = Session([Segment(2.4e6, 1280, 720, 25, 30.0)])
    assert session_quality(session, forest).forest == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0,-1\n",
        "0,14,1.0,1,2\n1,-1,1,0,0\n2,-1,1,0,0\n",  # a feature there is not
        "0,5,1.0,0,1\n1,-1,1,0,0\n",  # its own child
        "0,5,1.0,1,7\n1,-1,1,0,0\n",  # a child there is not
        "0,-1,nan,0,0\n",
        "node,feature\n",
    ],
)
def test_broken_trees(tmp_path, text):
    """What is not a tree is refused by its file name."""
    with pytest.raises(ModelError, match=r"tree0\.csv"):
        read_trees(_write(tmp_path, text))


def test_missing(tmp_path):
    """No files, or one that is not there, are errors."""
    with pytest.raises(ModelError, match="no tree"):
        read_trees([])
    with pytest.raises(ModelError, match="cannot be read"):
        read_trees([tmp_path / "none.csv"])
