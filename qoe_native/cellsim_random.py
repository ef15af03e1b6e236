"""Random numbers of the cell simulator, compiled by Numba: SplitMix64, its state in a field of a record.

Also how the simulator's functions are compiled: only :func:`qoe_native.cellsim.run` is kept on disk, as Numba
sees changes in a cached function's own file only, not in those that it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, log, pi, sqrt
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3, _TO_53_BITS = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""How Numba compiles the simulator. Nothing is allocated, so references need no counting (`_nrt`): with two
dozen arrays handed from function to function that alone makes it ten times as fast."""
_INNER = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: _Function) -> _Function:
    """Compile a part of the simulator, to be called from compiled code only: wrappers cost time."""
    return cast(_Function, njit(function, **_INNER))


@compiled
def _to_unit(state: np.uint64) -> float:
    """SplitMix64's output for a state (Steele, Lea and Flood, OOPSLA 2014), as a number from 0 to below 1."""
    z = (state ^ (state >> _SHIFT_1)) * _MIX_1
    z = (z ^ (z >> _SHIFT_2)) * _MIX_2
    z = z ^ (z >> _SHIFT_3)
    return float(z >> _TO_53_BITS) * 2.0**-53


@compiled
def uniform(records: npt.NDArray[Any], i: int) -> float:
    """Draw from 0 to below 1, with the state ``records[i].rng``."""
    records[i].rng = records[i].rng + _GOLDEN
    return _to_unit(records[i].rng)


@compiled
def harq_uniform(users: npt.NDArray[Any], i: int) -> float:
    """Draw from 0 to below 1, with the state ``users[i].harq_rng``."""
    users[i].harq_rng = users[i].harq_rng + _GOLDEN
    return _to_unit(users[i].harq_rng)


@compiled
def normal(records: npt.NDArray[Any], i: int) -> float:
    """Draw from the standard normal distribution (Box and Muller)."""
    radius = sqrt(-2.0 * log(1.0 - uniform(records, i)))
    return radius * cos(2.0 * pi * uniform(records, i))


@compiled
def exponential(records: npt.NDArray[Any], i: int, mean: float) -> float:
    """Draw from the exponential distribution."""
    return -mean * log(1.0 - uniform(records, i))
