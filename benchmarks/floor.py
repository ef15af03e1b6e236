"""The least a flow table can do: hash a frame's addresses, probe once, update one cache line."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

_WORDS = 8  # a cache line of 64-bit words


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _take(data: npt.NDArray[np.uint8], start: int, n: int, lines: npt.NDArray[np.uint64], mask: int) -> None:
    for i in range(n):
        at = start + 64 * i
        key = np.uint64(0)
        for k in range(26, 38):
            key = (key << np.uint64(5)) ^ (key >> np.uint64(59)) ^ np.uint64(data[at + k])
        mixed = key * np.uint64(0x9E3779B97F4A7C15)
        slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))
        lines[slot, 0] = key
        lines[slot, 1] += np.uint64(1)
        lines[slot, 2] += np.uint64(64)


class Floor:
    """A direct-mapped table of one cache line a flow, without collisions handled, ageing or features."""

    def __init__(self, n_flows: int) -> None:
        n_slots = 1 << max(1, (2 * n_flows - 1).bit_length())
        self._lines = np.zeros((n_slots, _WORDS), np.uint64)
        self._mask = n_slots - 1

    def take(self, data: npt.NDArray[np.uint8], start: int, n: int) -> None:
        """Count `n` frames of 64 bytes that begin at byte `start`."""
        _take(data, start, n, self._lines, self._mask)
