"""Intents as the text of an intents file."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from qoe.intent.model import IntentsFile


def write_toml(file: IntentsFile) -> str:
    """Write an intents file; reading it again gives an equal one.

    Parameters
    ----------
    file : IntentsFile

    Returns
    -------
    str
        TOML.
    """
    raw: dict[str, Any] = msgspec.to_builtins(file, enc_hook=float, builtin_types=(dt.datetime,))
    lines = [f"{key} = {_value(value)}" for key, value in raw.items() if isinstance(value, str)]
    if raw.get("group"):
        lines += ["", "[group]", *(f"{_key(key)} = {_value(value)}" for key, value in raw["group"].items())]
    for intent in raw.get("intent", ()):
        lines += ["", "[[intent]]", *_pairs(_without_defaults(intent, file.time_zone))]
    for name, profile in raw.get("profile", {}).items():
        lines += ["", f"[profile.{_key(name)}]", *_pairs(profile)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _without_defaults(intent: dict[str, Any], time_zone: str) -> dict[str, Any]:
    when = dict(intent.get("when", {}))
    if (when.get("from"), when.get("to")) == ("00:00", "24:00"):
        del when["from"], when["to"]
    if when.get("time_zone") == time_zone:
        del when["time_zone"]
    return {key: value for key, value in (intent | {"when": when}).items() if value != {}}


def _pairs(table: dict[str, Any]) -> Iterator[str]:
    order = ("name", "priority", "who", "what", "when", "where", "target", "valid_from", "expires")
    for key in sorted(table, key=lambda key: order.index(key) if key in order else len(order)):
        yield f"{_key(key)} = {_value(table[key])}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value))} }}" if value else "{}"
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        return items[0] if len(items) == 1 else f"[{', '.join(items)}]"
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
