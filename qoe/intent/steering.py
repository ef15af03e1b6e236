"""What a loop learns of an intent in a cell: head room above a floor, or the weight of a comparison.

Both are the level that is exceeded just so often that one interval in 200 is missed. A miss raises the level
by a step, any other interval lowers it by 1/199 of a step: the stochastic approximation of a quantile
(Robbins and Monro, 1951). A miss by much raises it by more, and a comparison that is far better than it need
be lets go faster, so that what a quiet hour asked for in vain does not burden the next busy one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

Steer: TypeAlias = Mapping[tuple[int, str, str], float]
"""By index of the intent, cell and direction: MOS above a floor, or the logarithm of a weight."""

_MISS_RATIO: Final = 0.005
_STEP: Final = {"mos_at_least": 0.05, "better_than": 0.1}
_MOST: Final = {"mos_at_least": 0.5, "better_than": math.log(64.0)}
_START: Final = {"mos_at_least": 0.0, "better_than": 0.5}
_GAIN: Final = 0.5
_LONGEST_STEP: Final = 0.5
_RELEASE: Final = 0.02
_PLENTY_MOS: Final = 0.5


def learnt(steer: Steer, key: tuple[int, str, str], kind: str) -> float:
    """Give what was learnt, or what an intent begins with; 0 for targets that learn nothing."""
    return steer.get(key, _START.get(kind, 0.0))


def learn(before: float, kind: str, short_mos: float) -> float:
    """Learn from one interval.

    Parameters
    ----------
    before : float
        Of `learnt`.
    kind : str
        ``"mos_at_least"`` or ``"better_than"``.
    short_mos : float
        MOS by which it was missed; 0 or less: it was not.

    Returns
    -------
    float
        Head room, 0 to 0.5 MOS, or the logarithm of the weight, 0 to ln 64.
    """
    step = _STEP[kind]
    if short_mos > 0.0:
        return min(before + min(max(step, _GAIN * short_mos), _LONGEST_STEP), _MOST[kind])
    plenty = max(-short_mos - _PLENTY_MOS, 0.0) * _RELEASE if kind == "better_than" else 0.0
    return max(before - max(step * _MISS_RATIO / (1.0 - _MISS_RATIO), plenty), 0.0)
