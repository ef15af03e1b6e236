"""Joins flows with subscribers and cells; demand, load and capacity."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from qoe.config import CellsConfig
from qoe.schema import IntArray, RecordArray


class Match(NamedTuple):
    """Whose each flow is: both arrays have one entry a flow."""

    subscriber: IntArray  # index into SubscriberTable.names; -1 nobody's
    side: IntArray  # 0 the subscriber is src, 1 it is dst, -1 none


class SubscriberTable:
    """Who is served, in which cell, on what terms.

    Attributes
    ----------
    names : list of str, length n_subscribers
    cell : ndarray of int64, shape (n_subscribers,)
        Index into `cell_names`.
    weight, floor_mos : ndarray of float64, shape (n_subscribers,)
        Tier's weight times its own; the tier's floor, NaN for none.
    efficiency_bps : ndarray of float64, shape (n_subscribers, 2)
        Rate it would get alone, down and up; NaN: the cell's capacity.
    cell_names : list of str, length n_cells
    capacity_bps : ndarray of float64, shape (n_cells, 2)
        Down and up; NaN: not configured.
    """

    @classmethod
    def from_config(cls, config: CellsConfig) -> SubscriberTable:
        """Build the fixed table of a cells file."""
        raise NotImplementedError

    @classmethod
    def inferring(cls, cell_name: str = "capture", max_subscribers: int = 65_536) -> SubscriberTable:
        """Build a table that learns its subscribers from the flows it matches (one cell)."""
        raise NotImplementedError

    def match(self, flows: RecordArray) -> Match:
        """Find the subscriber of each flow (an inferring table also learns new ones)."""
        raise NotImplementedError


LOAD_DTYPE: Final = np.dtype(
    [
        ("cell", "i8"),
        ("direction", "u1"),
        ("load_bps", "f8"),  # bytes on the wire in the last interval
        ("busiest_bps", "f8"),  # the busiest second so far
        ("capacity_bps", "f8"),  # configured, else the busiest second: a lower bound
        ("capacity_known", "?"),  # False: capacity_bps is only a lower bound
        ("n_flows", "u4"),
        ("n_subscribers", "u4"),
    ],
    align=True,
)
"""State of one direction of one cell."""


class CellLoad:
    """Load of every cell and direction, and its busiest second."""

    def __init__(self, table: SubscriberTable) -> None:
        raise NotImplementedError

    def update(self, experience: RecordArray, interval_s: float) -> RecordArray:
        """Add one interval (bytes_down/up of EXPERIENCE_DTYPE); returns LOAD_DTYPE, two rows a cell."""
        raise NotImplementedError


def bearers(
    experience: RecordArray,
    table: SubscriberTable,
    load: RecordArray,
    class_weights: dict[str, float] | None = None,
) -> RecordArray:
    """Group flows into bearers (BEARER_DTYPE of qoe.utility), sorted by cell, direction, subscriber, class."""
    raise NotImplementedError


_ = np
