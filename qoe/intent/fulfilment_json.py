"""Fulfilment as JSON holds it, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import msgspec

from qoe.errors import ConfigError
from qoe.intent.fulfilment import IntentSummary, Spell


class _Document(msgspec.Struct):
    at_s: float
    intents: list[dict[str, Any]]


def summaries_to_dict(summaries: Sequence[IntentSummary], at_s: float) -> dict[str, Any]:
    """Give summaries as JSON can hold them: NaN becomes None.

    Parameters
    ----------
    summaries : sequence of IntentSummary
        Of `Fulfilment.summaries`.
    at_s : float
        When, in seconds since 1970.

    Returns
    -------
    dict
        ``at_s`` and ``intents``, a list of the summaries with the names of their attributes as keys.
    """
    return {"at_s": at_s, "intents": [without_nan(asdict(summary)) for summary in summaries]}


def summaries_from_json(text: bytes | str) -> tuple[float, list[IntentSummary]]:
    """Read what `summaries_to_dict` gave, after a way through JSON.

    Parameters
    ----------
    text : bytes or str
        JSON.

    Returns
    -------
    float
        When it was written, in seconds since 1970.
    list of IntentSummary

    Raises
    ------
    ConfigError
        It is not JSON, or not of that shape, with the path.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
        return document.at_s, [_summary(raw, i) for i, raw in enumerate(document.intents)]
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message, _, path = str(error).partition(" - at `")
        raise ConfigError(message, path.removesuffix("`") or "$") from None


def _summary(raw: dict[str, Any], i: int) -> IntentSummary:
    spells = [_floats(spell, Spell) for spell in raw.get("spells", ()) if isinstance(spell, dict)]
    try:
        return msgspec.convert(_floats(raw, IntentSummary) | {"spells": spells}, IntentSummary)
    except msgspec.ValidationError as error:
        message, _, below = str(error).partition(" - at `$")
        raise ConfigError(message, f"$.intents[{i}]" + below.removesuffix("`")) from None


def _floats(raw: dict[str, Any], kind: type) -> dict[str, Any]:
    """Turn None into NaN where a number is meant."""
    numbers = {field.name for field in fields(kind) if field.type == "float"}
    return {key: math.nan if value is None and key in numbers else value for key, value in raw.items()}


def without_nan(value: Any) -> Any:
    """Replace what JSON has no number for (NaN, infinity) by None, however deep."""
    if isinstance(value, dict):
        return {key: without_nan(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
