"""Vectors for the tests of the QoE models."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

Row = dict[str, str]


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], list[Row]]:
    """Read a file of test vectors by its stem."""
    folder = Path(__file__).parent.parent / "vectors"

    def read(stem: str) -> list[Row]:
        with (folder / f"{stem}.csv").open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    return read
