"""What fuzzing found is replayed: each entry takes its corpus under ASan and UBSan, without a finding."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from fuzz import seeds
from installed import run

FUZZ = Path(__file__).parent / "fuzz"
CORPUS_OF = {name: name for name in ("decode", "capture", "abi", "model")} | {"headers": "decode"}

pytestmark = [
    pytest.mark.skipif(
        shutil.which("gcc") is None or shutil.which("make") is None,
        reason="gcc or make is missing (Debian: gcc make)",
    ),
    pytest.mark.skipif(
        not (Path(sysconfig.get_path("include")) / "Python.h").exists(),
        reason="Python's headers are missing (Debian: python3-dev)",
    ),
]


@pytest.fixture(scope="module")
def replayers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entries with a main over files and the kernel, built by the Makefile away from the tree."""
    out = tmp_path_factory.mktemp("replay")
    run("make", "-s", "-C", FUZZ, f"OUT={out}", f"PYTHON={sys.executable}")
    return out


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fuzzers start from."""
    directory = tmp_path_factory.mktemp("seeds")
    seeds.write(directory)
    return directory


@pytest.mark.parametrize("name", CORPUS_OF)
def test_the_corpus_replays(name: str, replayers: Path, seeded: Path) -> None:
    """No sanitizer and no claim of the entry has anything to say of any input."""
    corpus = FUZZ / "corpus" / CORPUS_OF[name]
    out = run(replayers / f"fuzz_{name}", corpus, seeded / CORPUS_OF[name])
    replayed = re.search(r"^(\d+) replayed, no finding", out, re.MULTILINE)
    assert replayed is not None
    assert int(replayed[1]) == len(list(corpus.iterdir())) + len(list((seeded / CORPUS_OF[name]).iterdir()))
