"""What is known of flows in captures: the labels file, and the inventory beside it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from qoe.errors import CaptureError, ConfigError
from qoe.schema import CLASS_NAMES

REQUIRED: Final = ("capture", "src", "sport", "dst", "dport", "proto", "class", "app")
SESSION: Final = "session:"

Key = tuple[str, int, str, int, int]


@dataclass(frozen=True, slots=True)
class Label:
    """One labelled flow.

    Attributes
    ----------
    key : tuple
        Source address and port, destination address and port, protocol; of a CSV trace the session.
    app_class : int
        1 to 6, `qoe.schema.AppClass`.
    app : str
        The application.
    """

    key: Key
    app_class: int
    app: str


@dataclass(frozen=True, slots=True)
class LabelledCapture:
    """A capture whose flows are labelled.

    Attributes
    ----------
    name : str
        As the labels file calls it, relative to the folder of captures.
    path : Path
        The file.
    source : str
        Where it was recorded: captures of one source may share a set-up, so a split keeps them together.
    origin : str
        The source and its version, for the card.
    sha256 : str
        Of the file that was published, as the inventory gives it; empty when it does not.
    labels : tuple of Label
    """

    name: str
    path: Path
    source: str
    origin: str
    sha256: str
    labels: tuple[Label, ...]


def read_labels(captures: Path, labels: Path) -> list[LabelledCapture]:
    """Read a labels file.

    Parameters
    ----------
    captures : Path
        The folder of captures.
    labels : Path
        A CSV file with a row a flow and at least the columns `capture` (path within the folder), `src`,
        `sport`, `dst`, `dport`, `proto` (the innermost 5-tuple; either direction), `class` (video, voip,
        gaming, web, bulk, other; unknown rows are left out) and `app`. An optional column `source` says
        where a capture was recorded; without it ``source_repo`` of an ``inventory.csv`` in the folder
        does, and without that each capture is its own source. Of a capture that ends in ``.csv`` or
        ``.csv.gz`` (`qoe.train.traces`), `src` is ``session:`` and the session's name.

    Returns
    -------
    list of LabelledCapture
        In order of name.

    Raises
    ------
    ConfigError
        The labels file is unreadable or malformed.
    CaptureError
        A capture is not in the folder.
    """
    rows = _rows(labels, REQUIRED)
    by_capture: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_capture[row["capture"]].append(row)
    inventory = _inventory(captures)
    found = []
    for name in sorted(by_capture):
        path = captures / name
        if not path.is_file():
            raise CaptureError(f"{path}: no such file, but {labels} labels its flows; give the right folder")
        known = inventory.get(name, {})
        source = by_capture[name][0].get("source") or known.get("source_repo") or name
        commit = known.get("commit", "")
        kept = tuple(_label(row, labels) for row in by_capture[name] if row["class"] != CLASS_NAMES[0])
        origin = f"{source} {commit}".strip()
        found.append(LabelledCapture(name, path, source, origin, known.get("sha256", ""), kept))
    if not any(capture.labels for capture in found):
        raise ConfigError("no labelled flow; give rows whose class is not unknown", str(labels))
    return found


def normal_address(text: str) -> str:
    """Return the one spelling of an address that comparisons use."""
    return str(ip_address(text))


def _rows(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, restval="")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot be read: {error}", str(path)) from None
    missing = [name for name in required if name not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(
            f"no column {missing[0]!r}; the columns needed are {', '.join(required)}", str(path)
        )
    return rows


def _inventory(captures: Path) -> dict[str, dict[str, str]]:
    path = captures / "inventory.csv"
    return {row["capture"]: row for row in _rows(path, ("capture",))} if path.is_file() else {}


def _label(row: dict[str, str], path: Path) -> Label:
    where = f"{row['capture']} {row['src']}"
    if row["class"] not in CLASS_NAMES[1:]:
        raise ConfigError(
            f"{where}: class {row['class']!r} is none of {', '.join(CLASS_NAMES)}; correct it", str(path)
        )
    try:
        if row["src"].startswith(SESSION):
            key = (row["src"], 0, "", 0, 0)
        else:
            sides = normal_address(row["src"]), normal_address(row["dst"])
            key = (sides[0], int(row["sport"]), sides[1], int(row["dport"]), int(row["proto"]))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; correct the row", str(path)) from None
    return Label(key, CLASS_NAMES.index(row["class"]), row["app"])
