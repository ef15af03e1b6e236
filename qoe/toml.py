"""TOML files and other plain data become checked, frozen structs; what is wrong is reported by its path.

A kind of file is one msgspec struct (``frozen=True, forbid_unknown_fields=True``) whose ``__post_init__``
refuses what cannot be (:func:`require` and its relatives); :func:`read_toml` and :func:`convert` make it.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from qoe.errors import ConfigError

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_RATE: Final = re.compile(
    r"\s*(?P<number>[^\sA-Za-z]+(?:[eE][-+]?\d+)?)\s*(?P<prefix>[kKmMgGtT]?)(?P<unit>[A-Za-z/]*)\s*"
)
_LEAST_BPS: Final = 1000.0  # less is a slip of the unit, not a link
_RATE_UNITS: Final = ("", "b", "bit/s", "bits/s", "bps", "b/s", "bit", "bit/sec")
_RATE_SCALE: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_WEIGHTS: Final = (1e-6, 1e6)
_RATE_HELP: Final = "write a rate as 20 Mbit/s, 20M or 2e7 (bits per second)"


class Rate(float):
    """A rate in bit/s; a file gives it as a number or as text such as ``20 Mbit/s``."""


def parse_rate(value: str | float) -> float:
    """Read a rate.

    Parameters
    ----------
    value : str or float
        ``20 Mbit/s``, ``20Mbps``, ``20 Mb/s``, ``20M`` or a number of bits per second. SI prefixes k, M, G
        and T mean powers of 1000, in either case.

    Returns
    -------
    float
        Bit/s, 1,000 or more.

    Raises
    ------
    ConfigError
        When `value` is no rate, is not positive, or counts bytes.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{value!r} is not a rate: {_RATE_HELP}")
    bps = _rate_of_text(value) if isinstance(value, str) else float(value)
    if not (math.isfinite(bps) and bps > 0):
        raise ConfigError(f"a rate must be positive and finite, not {value!r}: {_RATE_HELP}")
    if bps < _LEAST_BPS:
        raise ConfigError(f"{value!r} is {bps:g} bit/s, too little for any link: {_RATE_HELP}")
    return bps


def _rate_of_text(text: str) -> float:
    parts = _RATE.fullmatch(text)
    if parts is None:
        raise ConfigError(f"{text!r} is not a rate: {_RATE_HELP}")
    unit = parts["unit"]
    if unit.startswith("B"):
        raise ConfigError(f"{text!r} counts bytes: {_RATE_HELP}")
    if unit.lower() not in _RATE_UNITS:
        raise ConfigError(f"{text!r} has the unknown unit {parts['prefix'] + unit!r}: {_RATE_HELP}")
    try:
        return float(parts["number"]) * _RATE_SCALE[parts["prefix"].lower()]
    except ValueError:
        raise ConfigError(f"{text!r} is not a rate: {_RATE_HELP}") from None


def require(condition: bool, message: str) -> None:
    """Raise what msgspec turns into an error with the path of the struct at fault."""
    if not condition:
        raise ValueError(message)


def is_weight(value: float) -> bool:
    """Tell whether a number is a sensible weight."""
    return _WEIGHTS[0] <= value <= _WEIGHTS[1]


def require_weight(name: str, value: float) -> None:
    """Refuse a weight outside 1e-6 to 1e6."""
    require(is_weight(value), f"{name} must be 1e-6 to 1e6, not {value}")


def require_positive(name: str, value: float | None) -> None:
    """Refuse what is given and not positive and finite."""
    require(
        value is None or (math.isfinite(value) and value > 0),
        f"{name} must be positive and finite, not {value}",
    )


def suggestion(word: str, known: tuple[str, ...]) -> str:
    """Say which of the known words may have been meant, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else ""


def read_toml(path: str | Path, kind: type[_Struct]) -> _Struct:
    """Read a TOML file as a struct.

    Parameters
    ----------
    path : str or Path
        The file.
    kind : type of msgspec.Struct
        What it is to be.

    Returns
    -------
    Struct
        Of that kind.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not TOML (with the line) or says what cannot be (with the key's path,
        such as ``cells.toml: $.cell[0].subscriber[2].adress``).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}: save it as UTF-8", str(path)) from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", str(path)) from None
    try:
        return convert(raw, kind)
    except ConfigError as error:
        message = str(error).removeprefix(f"{error.path}: ")
        raise ConfigError(message, f"{path}: {error.path}") from None


def convert(raw: dict[str, Any], kind: type[_Struct]) -> _Struct:
    """Check plain data (dicts, lists, numbers, text) and make it a struct.

    Parameters
    ----------
    raw : dict
        What a parser returned.
    kind : type of msgspec.Struct
        What it is to be.

    Returns
    -------
    Struct
        Of that kind.

    Raises
    ------
    ConfigError
        With the path of the key at fault.
    """
    for key, value_kind in _tables(kind):  # msgspec's paths leave out the keys of a dict: "$.tier[...]"
        table = raw.get(key)
        if isinstance(table, dict):
            for name, value in table.items():
                _convert(value, value_kind, f"$.{key}.{name}", value_kind)
    made: _Struct = _convert(raw, kind, "$", kind)
    return made


def _tables(kind: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """Give the fields that hold anything by name, under the names in files, and what they hold."""
    return [(key, get_args(of)[1]) for key, of in _fields(kind).items() if get_origin(of) is dict]


def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {
        key: hints[name]
        for key, name in zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True)
    }


def _convert(value: Any, kind: Any, path: str, root: Any) -> Any:
    try:
        return msgspec.convert(value, kind, dec_hook=_dec_hook)
    except msgspec.ValidationError as error:
        message, _, below = str(error).partition(" - at `$")
        below = below.rstrip("`")
        raise _config_error(message, path + below, _keys_at(root, below)) from None


def _dec_hook(kind: type, value: Any) -> Any:
    if kind is Rate:
        try:
            return Rate(parse_rate(value))
        except ConfigError as error:
            raise ValueError(str(error)) from None
    raise NotImplementedError(kind)


def _config_error(message: str, path: str, keys: tuple[str, ...]) -> ConfigError:
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL)
    if unknown:
        return ConfigError(f"unknown key; {suggestion(unknown[1], keys)}", f"{path}.{unknown[1]}")
    missing = re.fullmatch(r"Object missing required field `(.*)`", message)
    if missing:
        return ConfigError(f"the key {missing[1]!r} is missing", path)
    return ConfigError(message, path)


def _keys_at(kind: Any, below: str) -> tuple[str, ...]:
    """Give the keys that the table at a path below a struct may hold; none where it is no struct."""
    for step in re.findall(r"\.([^.\[]+)|\[", below):
        kind = _fields(kind).get(step) if step and _is_struct(kind) else _element(kind)
    kind = kind if _is_struct(kind) else next(filter(_is_struct, get_args(kind)), None)
    return kind.__struct_encode_fields__ if kind else ()


def _element(kind: Any) -> Any:
    """Give what a list, a tuple or a dict holds."""
    kinds = [of for of in get_args(kind) if of is not Ellipsis]
    return kinds[-1] if kinds else None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
