"""IP addresses of many flows at once: distinct ones, exact search, longest-prefix match.

Addresses are compared as IPv6: an IPv4 address counts as its IPv4-mapped form, so one search over pairs of
64-bit words serves both. Nothing here loops over flows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qoe.config import Network
from qoe.schema import BoolArray, IntArray, RecordArray

_U64: Final = np.uint64
_MAPPED: Final = 0xFFFF << 32
_V4_LENGTH: Final = 96  # bits before an IPv4-mapped address


class Addresses(NamedTuple):
    """Addresses as IPv6, most significant 64 bits and the rest."""

    high: npt.NDArray[np.uint64]
    low: npt.NDArray[np.uint64]


def addresses_of(flows: RecordArray, end: str) -> Addresses:
    """Return the addresses of one end (``"src"`` or ``"dst"``) of flows (FLOW_DTYPE)."""
    words = np.ascontiguousarray(flows[end]).view(">u8").astype(_U64).reshape(-1, 2)
    is_v4 = flows["ip_version"] == 4
    mapped = (words[:, 0] >> _U64(32)) | _U64(_MAPPED)
    return Addresses(np.where(is_v4, _U64(0), words[:, 0]), np.where(is_v4, mapped, words[:, 1]))


def as_v6(network: Network) -> tuple[int, int]:
    """Return the first address of a prefix and its length, both as IPv6."""
    first = int(network.network_address)
    if network.version == 4:
        return _MAPPED | first, _V4_LENGTH + network.prefixlen
    return first, network.prefixlen


def _masked(addresses: Addresses, length: int) -> Addresses:
    mask = ((1 << length) - 1) << (128 - length)
    return Addresses(addresses.high & _U64(mask >> 64), addresses.low & _U64(mask & (1 << 64) - 1))


def find(table: Addresses, wanted: Addresses) -> IntArray:
    """Return where each address stands in a sorted table, -1 where it does not."""
    if not len(table.high) or not len(wanted.high):
        return np.full(len(wanted.high), -1, np.int64)
    left = np.searchsorted(table.high, wanted.high, "left")
    end = np.searchsorted(table.high, wanted.high, "right")
    right = end.copy()
    while np.any(open_ := left < right):
        middle = (left + right) // 2
        below = open_ & (table.low[np.minimum(middle, len(table.low) - 1)] < wanted.low)
        left, right = np.where(below, middle + 1, left), np.where(open_ & ~below, middle, right)
    found = left < end
    found[found] = table.low[left[found]] == wanted.low[found]
    return np.where(found, left, -1)


class PrefixTable:
    """Longest-prefix match of many addresses at once: one binary search a prefix length."""

    def __init__(self, prefixes: Iterable[tuple[int, int]], values: Iterable[int]) -> None:
        by_length: dict[int, list[tuple[int, int]]] = {}
        for (first, length), value in zip(prefixes, values, strict=True):
            by_length.setdefault(length, []).append((first, value))
        self._tables = [
            (length, *_sorted_table(entries)) for length, entries in sorted(by_length.items(), reverse=True)
        ]

    def match(self, addresses: Addresses) -> IntArray:
        """Return the value of the longest prefix that holds each address, -1 if none does."""
        result = np.full(len(addresses.high), -1, np.int64)
        is_v4 = (addresses.high == 0) & (addresses.low >> _U64(32) == _U64(_MAPPED >> 32))
        for length, table, values in self._tables:
            reachable = ~is_v4 if length < _V4_LENGTH else True  # ::/0 holds no IPv4 address
            rows = np.flatnonzero((result < 0) & reachable)
            place = find(table, _masked(Addresses(addresses.high[rows], addresses.low[rows]), length))
            result[rows[place >= 0]] = values[place[place >= 0]]
        return result


def _sorted_table(entries: list[tuple[int, int]]) -> tuple[Addresses, IntArray]:
    entries = sorted(entries)
    words = [(first >> 64, first & (1 << 64) - 1) for first, _ in entries]
    high, low = np.array(words, _U64).reshape(-1, 2).T
    return Addresses(np.ascontiguousarray(high), np.ascontiguousarray(low)), np.array(
        [value for _, value in entries], np.int64
    )


class _Masks(NamedTuple):
    """A few prefixes, each compared with every address: for so few that beats a search. Shape (n, 1)."""

    first: Addresses
    mask: Addresses


@cache
def _masks(prefixes: tuple[str, ...]) -> _Masks:
    nets = [as_v6(ipaddress.ip_network(prefix)) for prefix in prefixes]
    everything = Addresses(*np.full((2, 1), ~_U64(0)))
    masks = np.array([_masked(everything, length) for _, length in nets], _U64).reshape(-1, 2, 1)
    firsts = np.array([(n >> 64, n & (1 << 64) - 1) for n, _ in nets], _U64).reshape(-1, 2, 1)
    return _Masks(Addresses(firsts[:, 0], firsts[:, 1]), Addresses(masks[:, 0], masks[:, 1]))


def within(addresses: Addresses, prefixes: tuple[str, ...]) -> BoolArray:
    """Return which addresses lie in any of a few prefixes, such as ``10.0.0.0/8``; not ``::/n``, n < 96."""
    first, mask = _masks(prefixes)
    inside = (addresses.high & mask.high == first.high) & (addresses.low & mask.low == first.low)
    found: BoolArray = inside.any(axis=0)
    return found


def distinct_addresses(addresses: Addresses) -> tuple[Addresses, IntArray]:
    """Return the distinct addresses, sorted, and where each address stands among them."""
    order = np.lexsort((addresses.low, addresses.high))
    high, low = addresses.high[order], addresses.low[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(starts) - 1
    return Addresses(high[starts], low[starts]), place


def text(high: int, low: int) -> str:
    """Write an address the usual way."""
    value = high << 64 | low
    if value >> 32 == _MAPPED >> 32:
        return str(ipaddress.IPv4Address(value & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(value))
