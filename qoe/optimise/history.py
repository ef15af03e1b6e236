"""Since when somebody has been badly off."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np

from qoe.schema import BoolArray, FloatArray

_Who = TypeVar("_Who", bound=Hashable)


class History(Generic[_Who]):
    """The beginning of everybody's present spell of bad service.

    Feed it once an interval. Who is not heard of keeps the spell for a while, as silence is no recovery.
    Memory is bounded by those who are badly off.

    Parameters
    ----------
    hold_s : float
        A spell ends when nothing was heard for longer than this.
    """

    def __init__(self, hold_s: float = 60.0) -> None:
        self._hold_s = hold_s
        self._spells: dict[_Who, tuple[float, float]] = {}  # began, last heard of

    def update(self, at_s: float, who: Sequence[_Who], badly: BoolArray) -> None:
        """Add one interval.

        Parameters
        ----------
        at_s : float
            When it began, seconds since 1970; not before that of the interval before.
        who : sequence of hashable, length n
            Those who were served in it: bearers, or what names them.
        badly : ndarray of bool, shape (n,)
            Who of them was badly off: below MOS 2, below its floor, or shed.
        """
        for key, is_bad in zip(who, badly.tolist(), strict=True):
            if is_bad:
                began_s, heard_s = self._spells.get(key, (at_s, at_s))
                self._spells[key] = (began_s if at_s - heard_s <= self._hold_s else at_s, at_s)
            else:
                self._spells.pop(key, None)
        for key in [k for k, (_, heard_s) in self._spells.items() if at_s - heard_s > self._hold_s]:
            del self._spells[key]

    def spells(self) -> dict[_Who, float]:
        """Return who is badly off, and since when, seconds since 1970."""
        return {key: began_s for key, (began_s, _) in self._spells.items()}

    def since_s(self, who: Sequence[_Who]) -> FloatArray:
        """Return when the spell of each began, seconds since 1970, shape (n,); NaN: it is not badly off."""
        return np.array([self._spells.get(key, (math.nan,))[0] for key in who], dtype=np.float64)
