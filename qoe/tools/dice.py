"""Random numbers that are the same on every machine, Python and NumPy.

NumPy keeps the *bits* of a bit generator stable for ever, but not the numbers that ``Generator`` makes of
them (NEP 19), and logarithms differ by a last place between C libraries. So everything here is raw PCG64
bits and the four exact operations of IEEE 754.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_UNIT = 2.0**-53


class Dice:
    """A stream of random numbers.

    Parameters
    ----------
    seed : int
        0 or more.
    *path : int
        Names a stream of its own: who draws more from one stream does not move the others.
    """

    def __init__(self, seed: int, *path: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, *path)))

    def random(self) -> float:
        """Return one number, uniform in [0, 1)."""
        return (int(self._bits.random_raw()) >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        """Return one number, uniform in [low, high)."""
        return low + (high - low) * self.random()

    def integer(self, low: int, high: int) -> int:
        """Return one integer from `low` to `high` - 1."""
        return low + int((high - low) * self.random())

    def choice(self, of: Sequence[int]) -> int:
        """Return one of several integers, all alike in probability."""
        return of[self.integer(0, len(of))]

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.random() < probability

    def bell(self) -> float:
        """Return one number of mean 0 and variance 1, nearly normal (a sum of twelve), within ±6."""
        return float(self.randoms(12).sum()) - 6.0

    def octets(self, n: int) -> bytes:
        """Return `n` random bytes."""
        words = np.atleast_1d(self._bits.random_raw((n + 7) // 8)) if n else np.zeros(0, np.uint64)
        return words.astype("<u8").tobytes()[:n]

    def randoms(self, n: int) -> npt.NDArray[np.float64]:
        """Return `n` numbers, uniform in [0, 1)."""
        return (self._bits.random_raw(n) >> np.uint64(11)).astype(np.float64) * _UNIT

    def integers(self, low: int, high: int, n: int) -> npt.NDArray[np.int64]:
        """Return `n` integers from `low` to `high` - 1."""
        return low + (self.randoms(n) * (high - low)).astype(np.int64)

    def quantiles(self, points: Sequence[float], n: int) -> npt.NDArray[np.float64]:
        """Return `n` numbers of the distribution with these quantiles.

        Parameters
        ----------
        points : sequence of float
            The distribution's quantiles at equal steps of probability, from 0 to 1, increasing.
        n : int
            How many.

        Returns
        -------
        ndarray of float64, shape (n,)
            Drawn by linear interpolation between the points.
        """
        table = np.asarray(points, dtype=np.float64)
        where = self.randoms(n) * (len(table) - 1)
        below = where.astype(np.int64)
        return table[below] + (table[below + 1] - table[below]) * (where - below)
