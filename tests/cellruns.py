"""Small cells for the tests of the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qoe_native.cellsim_data import Cell, Source
from qoe_native.cellsim_setup import make_cell

BITS_AT_10 = 327.66015625
"""What a block carries at CQI 10 with the default overhead, 120 elements at 2.7305 bit/s/Hz, in 1024ths."""


def steady(levels: Sequence[int], bearers: Sequence[Mapping[str, Any]], **options: Any) -> Cell:
    """Make a cell whose users have constant CQIs; `options` are the config, `users` and make_cell's own."""
    cqi = np.array(levels)[:, None]
    own = {
        k: options.pop(k)
        for k in ("ladders", "bits_per_rb", "metric_bits_per_rb", "log_capacity", "queue_capacity")
        if k in options
    }
    duration_ms = options.pop("duration_ms", 10_000)
    users = options.pop("users", [{}] * len(levels))
    return make_cell(options, users, bearers, cqi, duration_ms=duration_ms, **own)


def full_buffers(n: int, **fields: Sequence[Any]) -> list[dict[str, Any]]:
    """Make a bearer that always has something to send for each user; `fields` hold a value each."""
    return [
        {"user": i, "kind": Source.FULL_BUFFER} | {name: values[i] for name, values in fields.items()}
        for i in range(n)
    ]


def totals(cell: Cell, field: str) -> Any:
    """Sum a field of the records over all intervals, by bearer."""
    return cell.records[field][:-1].sum(axis=0)


def airtime(cell: Cell) -> Any:
    """Shares of the blocks that were granted, by bearer."""
    blocks = totals(cell, "n_rb")
    return blocks / blocks.sum()
