"""Configuration: TOML files become checked, frozen structs; a bad key is reported by its path."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec


class Direction(IntEnum):
    """Which of a cell's two capacities: towards the subscriber, or from it."""

    DOWN = 0
    UP = 1


class Rate(float):
    """A rate in bit/s, written in a file as a number or as text such as ``20 Mbit/s``."""


class Subscriber(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is served: ``[[cell.subscriber]]``."""

    name: str
    addresses: tuple[str, ...]
    tier: str = ""
    weight: float = 1.0
    efficiency_down_bps: Rate | None = msgspec.field(name="efficiency_down", default=None)
    efficiency_up_bps: Rate | None = msgspec.field(name="efficiency_up", default=None)


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a group of subscribers is promised: ``[tier.NAME]``."""

    weight: float = 1.0
    floor_mos: float | None = None


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What shares a capacity: ``[[cell]]``."""

    name: str
    capacity_down_bps: Rate | None = msgspec.field(name="capacity_down", default=None)
    capacity_up_bps: Rate | None = msgspec.field(name="capacity_up", default=None)
    subscribers: tuple[Subscriber, ...] = msgspec.field(name="subscriber", default=())


class CellsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole cells file."""

    horizon_s: float = 10.0
    class_weights: dict[str, float] = msgspec.field(name="class_weight", default_factory=dict)
    tiers: dict[str, Tier] = msgspec.field(name="tier", default_factory=dict)
    cells: tuple[Cell, ...] = msgspec.field(name="cell", default=())


def load_cells(path: str | Path) -> CellsConfig:
    """Read and check a cells file; raises ConfigError with the file and the key's path."""
    raise NotImplementedError


def parse_rate(value: str | float) -> float:
    """Bit/s from ``20 Mbit/s``, ``20M``, ``20Mbps`` or a number; raises ConfigError."""
    raise NotImplementedError


def decode(raw: Any) -> CellsConfig:
    """Check what a TOML parser returned."""
    raise NotImplementedError
