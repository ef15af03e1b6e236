"""README and life-of-a-packet show what really happens: commands, code, outputs, paths."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from documents import (
    LIFE,
    README,
    REPLAY,
    ROOT,
    blocks,
    differences,
    output_after,
    python_output,
    replay_output,
    rerun_sessions,
    scores,
)

from qoe.schema import FLOW_DTYPE

DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/embedding.md", "docs/life-of-a-packet.md"),
    *("docs/live.md", "docs/performance.md"),
)
INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install "
MAX_PICTURE_BYTES = 200_000


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in the documents are relative to the project's folder."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(name="readme")
def _readme() -> str:
    return README.read_text(encoding="utf-8")


def test_two_commands_stand_alone(readme: str) -> None:
    """Install-and-run and install-and-test are each a block of one line that begins with the environment."""
    assert [body for body in blocks(readme, "sh") if INSTALL in body] == [
        f"{INSTALL}-e . && qoe {' '.join(REPLAY)}\n",
        f"{INSTALL}-e '.[test]' && pytest\n",
    ]


def test_replay_output_is_real(readme: str) -> None:
    """What README shows of the first command is what it prints."""
    assert differences(output_after(readme, "qoe replay examples"), replay_output()) == []


def test_python_block_runs(readme: str) -> None:
    """README's Python runs as it stands, prints what is shown, and its flows are a structured array."""
    code = blocks(readme, "python")[0]
    printed, names = python_output(code)
    assert differences(output_after(readme, code), printed) == []
    assert isinstance(names["flows"], np.ndarray)
    assert names["flows"].dtype == FLOW_DTYPE


def test_scores_are_those_of_the_card(readme: str) -> None:
    """README says of the classifier what its card says."""
    assert [words for words in scores() if words not in readme] == []


def test_life_of_a_packet_is_true() -> None:
    """Every line of the sessions in docs/life-of-a-packet.md gives the output beneath it."""
    text = LIFE.read_text(encoding="utf-8")
    assert text.count(">>>") > 20
    assert differences(text, rerun_sessions(text)) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Relative links and pictures of the documents exist."""
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r'(?:\]\(|src=")(?!https?://|#)([^)#"]+)', text)
    assert [t for t in targets if not (ROOT / name).parent.joinpath(t).exists()] == []


def test_map_names_what_exists(readme: str) -> None:
    """Every path in README's map of the house is there."""
    house = next(body for body in blocks(readme, "text") if body.startswith("qoe_native/"))
    folder, paths = "", []
    for line in house.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else name
        in_words = re.findall(r"[\w/]+\.(?:p\w\w?|h)\b", line[len(name) + 3 :])
        paths += [folder + each for each in ([name] if line.startswith(" ") else [""]) + in_words]
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_life_names_files_that_exist() -> None:
    """Every source file that docs/life-of-a-packet.md names is there."""
    named = set(
        re.findall(r"\b[\w./-]+\.(?:p\w\w|py|toml|pcapng|qoemodel|h)\b", LIFE.read_text(encoding="utf-8"))
    )
    there = {
        path.name for top in ("qoe", "qoe_native", "tests", "examples") for path in (ROOT / top).rglob("*")
    }
    assert len(named) > 20
    assert {name for name in named if Path(name).name not in there} == set()


def test_picture_is_small() -> None:
    """The picture of the report does not weigh down a clone."""
    pictures = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg")]
    assert pictures
    assert all(0 < picture.stat().st_size < MAX_PICTURE_BYTES for picture in pictures)
