"""Scalars and arrays alike: the calling convention of all models."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeAlias

import numpy as np

from qoe.schema import FloatArray

P = ParamSpec("P")
Numeric: TypeAlias = float | FloatArray
"""What a model takes: a number or an array of numbers."""


def _is_numeric(value: object) -> bool:
    # a named tuple holds the coefficients of a model; only a bare one is a sequence of numbers
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float | np.generic | np.ndarray | list) or type(value) is tuple


def elementwise(model: Callable[P, Any]) -> Callable[P, Any]:
    """Let a formula written for float64 arrays be called with scalars, too.

    Numeric arguments reach `model` as float64 arrays (of zero dimensions for a scalar); anything else
    (enums, flags, dataclasses) is passed as it is. Where any numeric argument is NaN the result is NaN,
    whatever branches or clips the formula has. A result without dimensions is returned as ``float``, any
    other as a float64 array; the declared type is Any, as it is for NumPy's ufuncs.
    """

    @wraps(model)
    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        numbers = []

        def convert(value: Any) -> Any:
            if not _is_numeric(value):
                return value
            numbers.append(np.asarray(value, dtype=np.float64))
            return numbers[-1]

        with np.errstate(all="ignore"):
            result = model(
                *(convert(value) for value in args),
                **{name: convert(value) for name, value in kwargs.items()},
            )
            missing = _any_nan(numbers)
            if missing is not None:
                result = np.where(missing, np.nan, result)
        return np.asarray(result, dtype=np.float64) if np.ndim(result) else float(result)

    return call


def _any_nan(numbers: list[FloatArray]) -> Any:
    """Where any of `numbers` is NaN, broadcast; None if nowhere."""
    missing = None
    for number in numbers:
        nan = np.isnan(number)
        if nan.any():
            missing = nan if missing is None else missing | nan
    return missing


def clip_percent(loss_percent: Numeric) -> Any:
    """Clip a loss to 0..100 %."""
    return np.clip(loss_percent, 0.0, 100.0)
