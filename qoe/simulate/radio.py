"""How well each user hears the cell: CQI series out of phones' logs, or of the channel model."""

from __future__ import annotations

import csv
import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qoe.errors import ConfigError

CqiArray: TypeAlias = npt.NDArray[np.int8]

STEP_S: Final = 1.0
"""Time between two values of a log."""
_COLUMN: Final = "CQI"
_LEAST_ROWS: Final = 30


def find_traces(patterns: Sequence[str], folder: Path) -> list[Path]:
    """Expand glob patterns.

    Parameters
    ----------
    patterns : sequence of str
        Relative ones start at `folder`.
    folder : Path
        Of the scenario.

    Returns
    -------
    list of Path
        Sorted, each once.

    Raises
    ------
    ConfigError
        A pattern matches nothing.
    """
    found: set[Path] = set()
    for pattern in patterns:
        names = glob.glob(str(folder / pattern), recursive=True)
        if not names:
            raise ConfigError(f"no file matches {str(folder / pattern)!r}; mend radio.traces", "$.radio.traces")
        found.update(map(Path, names))
    return sorted(found)


def read_cqi(path: Path) -> CqiArray:
    """Read the CQI of a phone's log, a value a second.

    Parameters
    ----------
    path : Path
        CSV with a column ``CQI``. Where it is no number (``-``) the one before holds.

    Returns
    -------
    ndarray of int8
        0 to 15; 30 values or more.

    Raises
    ------
    ConfigError
        The file cannot be read, has no such column or too few values.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if _COLUMN not in (rows.fieldnames or ()):
                raise ConfigError(f"has no column {_COLUMN}: a log of CQI, a row a second, is needed", str(path))
            texts = [row[_COLUMN] or "" for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot be read: {error}", str(path)) from None
    values: list[int] = []
    for text in texts:
        if text.strip().isdigit():
            values.append(min(int(text), 15))
        elif values:
            values.append(values[-1])
    if len(values) < _LEAST_ROWS:
        raise ConfigError(f"has {len(values)} values of CQI; {_LEAST_ROWS} are needed", str(path))
    return np.array(values, dtype=np.int8)


def draw(traces: Sequence[CqiArray], n_users: int, n_steps: int, rng: np.random.Generator) -> CqiArray:
    """Give each user a trace from where chance says; one that ends begins again.

    Parameters
    ----------
    traces : sequence of ndarray of int8
        Of `read_cqi`.
    n_users, n_steps : int
        Size of what is wanted.
    rng : Generator
        Chance.

    Returns
    -------
    ndarray of int8, shape (n_users, n_steps)
        A value a second. Traces are drawn without repetition as far as they go.
    """
    chosen = np.concatenate([rng.permutation(len(traces)) for _ in range(-(-n_users // len(traces)))])[:n_users]
    rows = []
    for which in chosen:
        begin = int(rng.integers(traces[which].size))
        rows.append(np.take(traces[which], np.arange(begin, begin + n_steps), mode="wrap"))
    return np.array(rows, dtype=np.int8).reshape(n_users, n_steps)
