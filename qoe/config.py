"""Configuration: TOML files become checked, frozen structs; a bad key is reported by its path.

A cells file::

    horizon_s = 10                 # over which MOS is judged; default 10
    [class_weight]                 # default 1.0 each
    voip = 1.5
    [tier.gold]
    weight = 2.0
    floor_mos = 3.5                # optional promise
    [[cell]]
    name = "busy"
    capacity_down = "20 Mbit/s"    # one of the two capacities is needed
    capacity_up = "6 Mbit/s"
    [[cell.subscriber]]
    name = "ana"
    addresses = ["10.45.0.2", "2001:db8:1::/64"]
    tier = "gold"                  # optional
    weight = 1.0                   # optional, multiplies the tier's
    efficiency_down = "40 Mbit/s"  # optional: the rate it would get alone; default the cell's capacity
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from qoe.errors import ConfigError
from qoe.schema import CLASS_NAMES
from qoe.toml import (
    Rate,
    convert,
    is_weight,
    read_toml,
    require,
    require_positive,
    require_weight,
    suggestion,
)

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Direction(IntEnum):
    """Which of a cell's two capacities: towards the subscriber, or from it."""

    DOWN = 0
    UP = 1


class Subscriber(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is served: ``[[cell.subscriber]]``.

    Attributes
    ----------
    name : str
        Unique in the file.
    addresses : tuple of str
        IPv4 or IPv6 addresses and prefixes; at least one.
    tier : str
        Name of a ``[tier.NAME]``; empty for none.
    weight : float
        Positive; multiplies the tier's.
    efficiency_down_bps, efficiency_up_bps : Rate, optional
        The rate this subscriber would get if it had the cell alone; None: the cell's capacity.
    """

    name: str
    addresses: tuple[str, ...]
    tier: str = ""
    weight: float = 1.0
    efficiency_down_bps: Rate | None = msgspec.field(name="efficiency_down", default=None)
    efficiency_up_bps: Rate | None = msgspec.field(name="efficiency_up", default=None)

    def __post_init__(self) -> None:
        require(bool(self.name), "name must not be empty")
        require(bool(self.addresses), f"subscriber {self.name!r} needs at least one address")
        list(self.networks())  # raises at one that is none
        require_weight("weight", self.weight)
        require_positive("efficiency_down", self.efficiency_down_bps)
        require_positive("efficiency_up", self.efficiency_up_bps)

    def networks(self) -> Iterator[Network]:
        """Give the addresses as prefixes; raises ValueError at one that is none."""
        for address in self.addresses:
            try:
                yield ipaddress.ip_network(address)
            except ValueError as error:
                hint = (
                    "write the prefix without host bits"
                    if "host bits" in str(error)
                    else "write 10.45.0.2 or 2001:db8::/64"
                )
                raise ValueError(f"{address!r} is not an IP address or prefix: {hint}") from None


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a group of subscribers is promised: ``[tier.NAME]``.

    Attributes
    ----------
    weight : float
        Positive.
    floor_mos : float, optional
        The MOS, 1 to 5, that its bearers are not to fall below.
    """

    weight: float = 1.0
    floor_mos: float | None = None

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)
        require(
            self.floor_mos is None or 1 <= self.floor_mos <= 5,
            f"floor_mos must be 1 to 5, not {self.floor_mos}",
        )


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What shares a capacity: ``[[cell]]``.

    Attributes
    ----------
    name : str
        Unique in the file.
    capacity_down_bps, capacity_up_bps : Rate, optional
        At least one is given; a direction without one is observed and not optimised against a known limit.
    subscribers : tuple of Subscriber
    """

    name: str
    capacity_down_bps: Rate | None = msgspec.field(name="capacity_down", default=None)
    capacity_up_bps: Rate | None = msgspec.field(name="capacity_up", default=None)
    subscribers: tuple[Subscriber, ...] = msgspec.field(name="subscriber", default=())

    def __post_init__(self) -> None:
        require(bool(self.name), "name must not be empty")
        known = self.capacity_down_bps is not None or self.capacity_up_bps is not None
        require(known, f"cell {self.name!r} needs capacity_down or capacity_up")
        require_positive("capacity_down", self.capacity_down_bps)
        require_positive("capacity_up", self.capacity_up_bps)


class CellsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole cells file, checked: names are unique, tiers exist, no address is in two cells.

    Attributes
    ----------
    cells : tuple of Cell
        At least one.
    tiers : dict of str to Tier
    class_weights : dict of str to float
        By name of the application class; a class not named weighs 1.
    horizon_s : float
        Seconds over which MOS is judged.

    Raises
    ------
    ConfigError
        When cells contradict one another.
    """

    cells: tuple[Cell, ...] = msgspec.field(name="cell")
    tiers: dict[str, Tier] = msgspec.field(name="tier", default_factory=dict)
    class_weights: dict[str, float] = msgspec.field(name="class_weight", default_factory=dict)
    horizon_s: float = 10.0

    def __post_init__(self) -> None:
        require_positive("horizon_s", self.horizon_s)
        if not self.cells:
            raise ConfigError("at least one [[cell]] is needed", "$.cell")
        for name, weight in self.class_weights.items():
            if name not in CLASS_NAMES:
                raise ConfigError(f"unknown class; {suggestion(name, CLASS_NAMES)}", f"$.class_weight.{name}")
            if not is_weight(weight):
                raise ConfigError(f"must be 1e-6 to 1e6, not {weight}", f"$.class_weight.{name}")
        _check_names(self)
        _check_prefixes(self)

    def subscribers(self) -> Iterator[tuple[int, int, Subscriber]]:
        """Give every subscriber with the index of its cell and its own within the cell."""
        for i, cell in enumerate(self.cells):
            for j, subscriber in enumerate(cell.subscribers):
                yield i, j, subscriber


def _check_names(config: CellsConfig) -> None:
    cells: set[str] = set()
    for i, cell in enumerate(config.cells):
        if cell.name in cells:
            raise ConfigError(
                f"a second cell is named {cell.name!r}; give each its own name", f"$.cell[{i}].name"
            )
        cells.add(cell.name)
    seen: dict[str, str] = {}
    for i, j, subscriber in config.subscribers():
        path = f"$.cell[{i}].subscriber[{j}]"
        if subscriber.name in seen:
            where = seen[subscriber.name]
            raise ConfigError(
                f"subscriber {subscriber.name!r} is already at {where}; keep one", f"{path}.name"
            )
        seen[subscriber.name] = path
        if subscriber.tier and subscriber.tier not in config.tiers:
            hint = suggestion(subscriber.tier, tuple(config.tiers)) or f"add [tier.{subscriber.tier}]"
            raise ConfigError(f"no tier {subscriber.tier!r}; {hint}", f"{path}.tier")


def _plain(network: Network) -> tuple[int, int, int]:
    """IP version, first address and prefix length; an IPv4 address in IPv6's clothes is IPv4."""
    first, length = int(network.network_address), network.prefixlen
    if network.version == 6 and length >= 96 and first >> 32 == 0xFFFF:
        return 4, first & 0xFFFFFFFF, length - 96
    return network.version, first, length


def _check_prefixes(config: CellsConfig) -> None:
    """Refuse an address that two cells claim, or two subscribers alike.

    Prefixes are nested or apart, so in order of first address, widest first, every prefix is compared
    with those that still enclose it. Within one cell the longest prefix wins, as in routing.
    """
    entries = sorted(
        (*_plain(network), i, j)
        for i, j, subscriber in config.subscribers()
        for network in subscriber.networks()
    )
    enclosing: list[tuple[int, int, int, int, int]] = []
    for entry in entries:
        version, first, length, i, j = entry
        bits = 32 if version == 4 else 128
        enclosing = [
            e for e in enclosing if e[0] == version and first >> (bits - e[2]) == e[1] >> (bits - e[2])
        ]
        for _, _, outer_length, k, m in enclosing:
            if k != i or (length == outer_length and m != j):
                here, there = config.cells[i].subscribers[j], config.cells[k].subscribers[m]
                raise ConfigError(
                    f"an address of {here.name!r} is also {there.name!r}'s in cell {config.cells[k].name!r};"
                    " keep each address in one cell",
                    f"$.cell[{i}].subscriber[{j}].addresses",
                )
        enclosing.append(entry)


def load_cells(path: str | Path) -> CellsConfig:
    """Read and check a cells file.

    Parameters
    ----------
    path : str or Path
        A TOML file; its format stands at the head of this module.

    Returns
    -------
    CellsConfig

    Raises
    ------
    ConfigError
        As :func:`qoe.toml.read_toml`.
    """
    return read_toml(path, CellsConfig)


def decode(raw: dict[str, Any]) -> CellsConfig:
    """Check what a TOML parser returned.

    Parameters
    ----------
    raw : dict
        The file as dicts and lists.

    Returns
    -------
    CellsConfig

    Raises
    ------
    ConfigError
        With the path of the key at fault.
    """
    return convert(raw, CellsConfig)
