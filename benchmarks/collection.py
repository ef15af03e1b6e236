"""Where a collection of labelled captures is, if there is one: it does not ship with the project."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from benchmarks import ROOT


def find_collection() -> Path | None:
    """Folder that holds ``inventory.csv`` and ``flows.csv``.

    The environment variable ``QOE_CAPTURES`` names it; else a folder ``captures`` beside the checkout, at
    most one folder deep, is taken.
    """
    named = os.environ.get("QOE_CAPTURES")
    candidates = (
        [Path(named)] if named else [path.parent for path in sorted(ROOT.parent.glob("*/captures/flows.csv"))]
    )
    return next((folder for folder in candidates if (folder / "inventory.csv").is_file()), None)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header line."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
