"""How well each user hears the cell: CQI series out of phones' logs, or of the channel model."""

from __future__ import annotations

import csv
import glob
from collections.abc import Callable, Sequence
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
        whole = pattern if Path(pattern).is_absolute() else f"{glob.escape(str(folder))}/{pattern}"
        names = glob.glob(whole, recursive=True)
        if not names:
            raise ConfigError(f"no file matches {str(folder / pattern)!r}", "$.radio.traces")
        found.update(map(Path, names))
    return sorted(found)


def read_traces(paths: Sequence[Path], on_note: Callable[[str], None] | None = None) -> list[CqiArray]:
    """Read logs, leaving out those that hold no CQI.

    Parameters
    ----------
    paths : sequence of Path
        Of `find_traces`.
    on_note : callable, optional
        Told of each that is left out.

    Returns
    -------
    list of ndarray of int8

    Raises
    ------
    ConfigError
        One cannot be read, or not one is left.
    """
    traces = [(path, read_cqi(path)) for path in paths]
    short = [path for path, values in traces if values.size < _LEAST_ROWS]
    if short and on_note:
        on_note(f"{len(short)} of {len(paths)} logs left out: fewer than {_LEAST_ROWS} values of CQI")
    usable = [values for _, values in traces if values.size >= _LEAST_ROWS]
    if paths and not usable:
        raise ConfigError(f"no log has {_LEAST_ROWS} values of CQI", str(paths[0]))
    return usable


def read_cqi(path: Path) -> CqiArray:
    """Read the CQI of a phone's log, a value a second.

    Parameters
    ----------
    path : Path
        CSV with a column ``CQI``. Where it is no number (``-``) the one before holds.

    Returns
    -------
    ndarray of int8
        0 to 15, from the first one on.

    Raises
    ------
    ConfigError
        The file cannot be read or has no such column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if _COLUMN not in (rows.fieldnames or ()):
                raise ConfigError(f"has no column {_COLUMN}: give a log of CQI, a row a second", str(path))
            texts = [row[_COLUMN] or "" for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot be read: {error}", str(path)) from None
    values: list[int] = []
    for text in texts:
        value = _number(text)
        if value is not None:
            values.append(min(max(round(value), 0), 15))
        elif values:
            values.append(values[-1])
    return np.array(values, dtype=np.int8)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


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
    chosen = np.concatenate([rng.permutation(len(traces)) for _ in range(-(-n_users // len(traces)))])[
        :n_users
    ]
    rows = []
    for which in chosen:
        begin = int(rng.integers(traces[which].size))
        rows.append(np.take(traces[which], np.arange(begin, begin + n_steps), mode="wrap"))
    return np.array(rows, dtype=np.int8).reshape(n_users, n_steps)
