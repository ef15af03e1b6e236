"""What README.md and docs/life-of-a-packet.md show, run again.

``python tests/documents.py`` writes the outputs of today into them; the tests hold the two together.
"""

from __future__ import annotations

import doctest
import io
import json
import os
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
LIFE = ROOT / "docs" / "life-of-a-packet.md"
REPLAY = ("replay", "examples/busy-cell.pcapng", "--cells", "examples/busy-cell.toml")
CARD = ROOT / "qoe_native" / "models" / "flows.card.json"
CUT = "…"
N_SUBSCRIBERS = 3
N_BEARERS = 7

_FENCED = r"^```{}\n(.*?)^```$"


def blocks(text: str, language: str) -> list[str]:
    """Bodies of the fenced blocks in a language."""
    return re.findall(_FENCED.format(language), text, re.MULTILINE | re.DOTALL)


def output_after(text: str, begin: str) -> str:
    """The text block that comes next after `begin`."""
    return blocks(text[text.index(begin) :], "text")[0]


def replay_output() -> str:
    """What the first command of README prints, cut as README does it."""
    from qoe.cli import main

    with redirect_stdout(io.StringIO()) as out:
        assert main(REPLAY) == 0
    head, classes, subscribers, cell, *_ = (part.splitlines() for part in out.getvalue().split("\n\n"))
    begins = [line.split()[0] for line in cell]
    gains, sums, table = begins.index("Who"), begins.index("MOS"), begins.index("Subscriber")
    shown = [
        *(*head, "", *classes, "", *subscribers[: 1 + N_SUBSCRIBERS], CUT, ""),
        *(*cell[:gains], CUT, *cell[sums : table + 1 + N_BEARERS], CUT),
    ]
    return "\n".join(shown) + "\n"


def scores() -> list[str]:
    """What README says of the classifier, out of its card."""
    found = json.loads(CARD.read_text(encoding="utf-8"))["evaluation"]
    alone, hinted = (found[f"{kind}_hints"]["flows_20"] for kind in ("without", "with"))
    return [
        f"macro-F1 is {alone['macro_f1']:.2f} by statistics alone and {hinted['macro_f1']:.2f} with hints",
        ", ".join(f"{name} {one['f1']:.2f}" for name, one in hinted["classes"].items()) + ".",
    ]


def python_output(code: str) -> tuple[str, dict[str, Any]]:
    """What a block of Python prints, and the names it leaves."""
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "README.md", "exec"), names)
    return out.getvalue(), names


def rerun_sessions(text: str) -> str:
    """The text with the outputs of its interactive sessions as they are today."""
    names: dict[str, Any] = {}
    return re.sub(
        _FENCED.format("pycon"),
        lambda block: f"```pycon\n{_rerun(block[1], names)}```",
        text,
        flags=re.MULTILINE | re.DOTALL,
    )


def _rerun(session: str, names: dict[str, Any]) -> str:
    said = []
    for example in doctest.DocTestParser().get_examples(session):
        lines = example.source.splitlines()
        said += [f"{'...' if i else '>>>'} {line}".rstrip() + "\n" for i, line in enumerate(lines)]
        with redirect_stdout(io.StringIO()) as out:
            exec(compile(example.source, "session", "single"), names)
        said.append(out.getvalue())
    return "".join(said)


def differences(shown: str, real: str) -> list[str]:
    """Lines that do not say the same; numbers may be off by 2 % or two hundredths, as compilers differ."""
    left, right = shown.splitlines(), real.splitlines()
    wrong = [f"{a!r} is shown, {b!r} is so" for a, b in zip(left, right, strict=False) if not _alike(a, b)]
    return wrong + [f"{len(left)} lines are shown, {len(right)} are so"] * (len(left) != len(right))


def _alike(shown: str, real: str) -> bool:
    number = r"\d[\d,]*(?:\.\d+)?"
    if re.sub(number, "0", " ".join(shown.split())) != re.sub(number, "0", " ".join(real.split())):
        return False
    values = ([float(n.replace(",", "")) for n in re.findall(number, line)] for line in (shown, real))
    return all(abs(a - b) <= max(0.021, 0.02 * abs(b)) for a, b in zip(*values, strict=True))


def main() -> None:
    """Write today's outputs into both documents."""
    os.chdir(ROOT)
    text = README.read_text(encoding="utf-8")
    code = blocks(text, "python")[0]
    for begin, real in (("qoe replay examples", replay_output()), (code, python_output(code)[0])):
        text = text.replace(output_after(text, begin), real)
    for real in scores():
        whatever_score = r"\d\.\d\d".join(map(re.escape, re.split(r"\d\.\d\d", real)))
        text = re.sub(whatever_score, real, text)
    README.write_text(text, encoding="utf-8")
    LIFE.write_text(rerun_sessions(LIFE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
