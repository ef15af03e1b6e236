"""``qoe intents``: check, convert and report, in this process."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intent_shapes import CAMARA, TMF921, TS28312_17, TS28312_18, errors

from qoe.cli import main
from qoe.intent import Bearers, Fulfilment, compile_intents, load_intents, summaries_to_dict

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "intents.toml"
CELLS = ROOT / "examples" / "busy-cell.toml"
AT = "2026-11-30T09:00+01:00"
PULL = """
[[intent]]
name = "a"
who = { tier = "gold" }
target = { better_than = { tier = "silver" } }
[[intent]]
name = "b"
who = { tier = "silver" }
target = { better_than = { tier = "gold" } }
"""


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the command line; gives exit code, stdout and the lines of stderr."""

    def call(*argv: object) -> tuple[int, str, list[str]]:
        capfd.readouterr()
        code = main(["intents", *(str(a) for a in argv)])
        out, err = capfd.readouterr()
        return code, out, err.splitlines()

    return call


def write(path: Path, content: object) -> Path:
    """Put text, or something as JSON, into a file."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("deed", [[], ["check"], ["convert"], ["report"]])
def test_help_teaches(run: Any, deed: list[str]) -> None:
    """Each part of the command shows an example."""
    code, out, err = run(*deed, "--help")
    assert (code, err) == (0, [])
    assert "example" in out
    assert "qoe intents" in out


def test_the_example_is_sound(run: Any) -> None:
    """The example has no conflict; at a peak hour what is to hold does, for whom it means, until when."""
    code, out, err = run("check", EXAMPLE, "--cells", CELLS, "--at", AT)
    assert (code, err) == (0, [])
    assert out.splitlines()[-1] == "No conflicts"
    code, out, err = run("check", EXAMPLE, "--cells", CELLS, "--at", AT, "--json")
    found = json.loads(out)
    assert found["conflicts"] == []
    first = found["intents"][0]
    assert (first["holds"], first["n_subscribers"]) == (True, 5)
    assert first["next_change"] == "2026-11-30T18:00:00+01:00"
    assert [row["holds"] for row in found["intents"]] == [True] * 5 + [False]


def test_conflicts_are_told(run: Any, tmp_path: Path) -> None:
    """What cannot be had together is told in words, and by the exit code."""
    path = write(tmp_path / "intents.toml", PULL)
    code, out, err = run("check", path, "--at", AT)
    assert (code, err) == (1, [])
    assert "- 'a' and 'b' conflict: each is to be better than the next" in " ".join(out.split())
    code, out, _ = run("check", path, "--at", AT, "--json")
    (conflict,) = json.loads(out)["conflicts"]
    assert (conflict["kind"], conflict["intents"]) == ("comparison_cycle", ["a", "b"])
    assert conflict["shortfall_share_ratio"] is None


def test_what_has_no_effect_is_told_and_no_failure(run: Any, tmp_path: Path) -> None:
    """An intent that means nobody is named; nothing is wrong with the others."""
    text = "[[intent]]\nname = 'a'\nwho = { tier = 'glod' }\ntarget = { weight = 2 }\n"
    code, out, _ = run("check", write(tmp_path / "intents.toml", text), "--cells", CELLS, "--at", AT)
    assert code == 0
    assert "- 'a' has no effect: no bearer of the cells is of tier glod" in " ".join(out.split())


def test_what_cells_can_keep(run: Any, tmp_path: Path) -> None:
    """With the curves of a cell, floors that do not fit are told with the share that is missing."""
    curve = {"share_ratio": [0, 0.4, 1], "mos": [1, 4.2, 4.4]}
    bearers = [
        {"subscriber": f"s{i}", "class": "video", "tier": tier, "curve": curve}
        for i, tier in enumerate(["gold", "gold", "silver"])
    ]
    cells = {"cells": [{"cell": "busy", "capacity_bps": 2e7, "bearers": bearers}]}
    floor = "[[intent]]\nname = '{0}'\npriority = {1}\nwho = {{ tier = '{2}' }}\n"
    floor += "target = {{ mos_at_least = 4.2 }}\n"
    text = floor.format("a", 2, "silver") + floor.format("b", 1, "gold")
    problem = write(tmp_path / "problem.json", cells)
    later = write(tmp_path / "later.toml", text + 'when = { from = "20:00" }\n')
    code, out, _ = run("check", later, "--problem", problem, "--at", AT)
    assert code == 1
    assert "who: s2; when: from 2026-11-30T20:00:00+00:00 on" in " ".join(out.split())
    code, out, _ = run("check", write(tmp_path / "intents.toml", text), "--problem", problem, "--at", AT)
    assert code == 1
    assert (
        "'b' and 'a' conflict in cell busy: MOS at least 4.2 for tier silver needs 20.0% of the cell"
        in " ".join(out.split())
    )


@pytest.mark.parametrize(
    ("standard", "schemas", "name"), [("tmf921", TMF921, "Intent"), ("ts28312", TS28312_17, "Intent-Single")]
)
def test_conversion_and_back(
    run: Any, tmp_path: Path, standard: str, schemas: dict[str, Any], name: str
) -> None:
    """Converted to a standard the example is valid; converted back it says the same."""
    code, out, err = run("convert", EXAMPLE, "--to", standard)
    assert (code, err) == (0, [])
    documents = json.loads(out)
    assert [errors(schemas, name, document) for document in documents] == [[]] * 6
    code, out, err = run("convert", write(tmp_path / "there.json", documents), "--to", "toml")
    assert (code, err) == (0, [])
    file = load_intents(EXAMPLE)
    again = load_intents(write(tmp_path / "again.toml", out))
    assert again.intents == tuple(file.without_groups(intent) for intent in file.intents)


def test_a_session_becomes_an_intent(run: Any, tmp_path: Path) -> None:
    """A CAMARA session is an intent with an end; the catalogue is the profiles."""
    request = {
        "device": {"ipv6Address": "2001:db8:45::4"},
        "applicationServer": {"ipv4Address": "198.51.100.0/24"},
        "qosProfile": "QOS_L",
        "duration": 600,
    }
    path = write(tmp_path / "session.json", request)
    code, out, _ = run("convert", path, "--to", "toml", "--profiles", EXAMPLE, "--cells", CELLS, "--at", AT)
    assert code == 0
    assert 'who = { subscriber = "chloe" }' in out
    assert "expires = 2026-11-30T08:10:00Z" in out
    code, out, _ = run("convert", EXAMPLE, "--to", "camara")
    assert [errors(CAMARA, "QosProfile", profile) for profile in json.loads(out)] == [[], []]


def test_what_is_left_aside_is_told(
    run: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an intent of others asks beside is named on stderr, with its path."""
    target = {"targetName": "MOS", "targetCondition": "IS_GREATER_THAN", "targetValueRange": 3}
    other = {"targetName": "DlLatency", "targetCondition": "IS_LESS_THAN", "targetValueRange": 30}
    document = {"id": "i1", "intentExpectations": [{"expectationTargets": [target, other]}]}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(document).encode())))
    code, out, err = run("convert", "-", "--to", "toml")
    assert code == 0
    assert "target = { mos_at_least = 3.0 }" in out
    assert err == [
        "qoe: warning: standard input: $.intentExpectations[0].expectationTargets[1]: dl_latency is left"
        " aside"
    ]


def fulfilment(tmp_path: Path) -> Path:
    """Write what became of the example's intents in three intervals of a made-up cell."""
    file = load_intents(EXAMPLE)
    books, at_s = Fulfilment(file), 1_796_025_600.0
    cell = Bearers("busy", "down", ["ana", "ben"], ["video", "voip"], ["gold", "silver"])
    for k, mos in enumerate([4.2, 4.1, 3.0]):
        books.add(compile_intents(file, cell, at_s + k), np.array([mos, 3.6]))
    return write(tmp_path / "fulfilment.json", summaries_to_dict(books.summaries(at_s + 3), at_s + 3))


def test_reports(run: Any, tmp_path: Path) -> None:
    """What became of intents is reported to people and in both standards, valid, in the same states."""
    path = fulfilment(tmp_path)
    code, out, err = run("report", path, EXAMPLE)
    assert (code, err) == (0, [])
    row = next(line for line in out.splitlines() if line.startswith("enterprise first at peak"))
    assert re.split(r"\s{2,}", row)[1:] == ["DEGRADED", "66.7%", "3", "3.77", "4", "capacity 1"]
    code, out, _ = run("report", path, EXAMPLE, "--to", "tmf921")
    reports = json.loads(out)
    assert [errors(TMF921, "IntentReport", report) for report in reports] == [[]] * 6
    assert "icm:StateDegraded" in json.dumps(reports[0])
    code, out, _ = run("report", path, EXAMPLE, "--to", "ts28312")
    reports = json.loads(out)
    assert [errors(TS28312_18, "IntentReport-Single", report) for report in reports] == [[]] * 6
    info = reports[0]["intentFulfilmentReport"]["intentFulfilmentInfo"]
    assert info["notFullfilledState"] == "DEGRADED"
    code, out, _ = run("report", path, EXAMPLE, "--json")
    assert json.loads(out) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["check", "none.toml"], "qoe: none.toml: cannot be read: No such file or directory"),
        (["convert", "{}", "--to", "toml"], "neither a TMF921 Intent (expression)"),
        (["convert", "[3]", "--to", "toml"], "$[0]: an object is needed"),
        (["convert", "{", "--to", "toml"], "not JSON: "),
        (["report", "{}", EXAMPLE], "Object missing required field `at_s`"),
    ],
)
def test_refusals(run: Any, tmp_path: Path, argv: list[object], message: str) -> None:
    """What cannot be read is refused in one line that names it; exit code 1."""
    if str(argv[1])[0] in "[{":
        argv[1] = write(tmp_path / "bad.json", str(argv[1]))
    code, out, err = run(*argv)
    assert (code, out, len(err)) == (1, "", 1)
    assert message in err[0]
    assert str(argv[1]) in err[0]


def test_a_report_of_another_file(run: Any, tmp_path: Path) -> None:
    """A fulfilment whose intents the file does not know is refused."""
    code, _, err = run("report", fulfilment(tmp_path), write(tmp_path / "other.toml", PULL))
    assert code == 1
    assert "has no intent 'enterprise first at peak'" in err[0]


def test_a_time_needs_its_offset(run: Any) -> None:
    """A time without an offset from UTC is wrong usage."""
    code, _, err = run("check", EXAMPLE, "--at", "2026-11-30T09:00")
    assert code == 2
    assert "is no time with offset: write 2026-11-30T09:00+01:00" in err[0]
