"""An intent as a flat list of terms, which every adapter writes in the syntax of its own standard."""

from __future__ import annotations

import datetime as dt
import math
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from qoe.errors import ConfigError
from qoe.intent.model import PRIORITY, Intent, Others
from qoe.toml import convert

_TARGETS: Final = {
    "mos": "mos_at_least",
    "margin": "margin_mos",
    "weight": "weight",
    "rate": "rate_at_least",
    "users_ratio": "users_ratio",
}
_KINDS: Final = {
    "mos_at_least": ("users_ratio",),
    "better_than": ("margin_mos",),
    "weight": (),
    "rate_at_least": (),
    "share_at_least": ("share_at_most",),
}
_SELECT: Final = {
    "tier": "who",
    "group": "who",
    "subscriber": "who",
    "class": "what",
    "application": "what",
    "cell": "where",
    "direction": "where",
}
_ALIASES: Final = {
    "meanopinionscore": "mos",
    "qoescore": "mos",
    "avemos": "mos",
    "throughput": "rate",
    "dlthroughput": "rate",
    "datarate": "rate",
    "bandwidth": "rate",
    "servicetier": "tier",
    "appclass": "class",
    "applicationclass": "class",
    "usersratio": "users_ratio",
    "timezone": "time_zone",
}


class Term(NamedTuple):
    """One thing that an intent says.

    Attributes
    ----------
    name : str
        What of: ``tier``, ``group``, ``subscriber``, ``class``, ``application``, ``cell``, ``direction``, the
        same after ``than_`` for those compared with, ``days``, ``hours``, ``time_zone``, ``mos``,
        ``users_ratio``, ``margin``, ``weight``, ``rate`` (bit/s) or ``share``.
    relation : str
        ``"is"`` (one of the values), ``"at_least"`` or ``"at_most"``.
    values : tuple of str or float
        One or more.
    path : str
        Where it stands in the document that it was read from.
    """

    name: str
    relation: str
    values: tuple[str | float, ...]
    path: str = "$"


def to_terms(intent: Intent) -> list[Term]:
    """Take an intent apart; its name, priority and validity are left to the adapter."""
    raw: dict[str, Any] = msgspec.to_builtins(intent, enc_hook=float)  # Rate
    terms = [
        Term(key, "is", _tuple(value))
        for table in ("who", "what", "where")
        for key, value in raw.get(table, {}).items()
    ]
    when = intent.when
    if when.days:
        terms.append(Term("days", "is", _tuple(when.days)))
    if (when.start, when.end) != ("00:00", "24:00"):
        terms.append(Term("hours", "is", (f"{when.start}-{when.end}",)))
    terms.append(Term("time_zone", "is", (when.time_zone or "UTC",)))
    return terms + _target_terms(intent, raw["target"])


def _target_terms(intent: Intent, raw: dict[str, Any]) -> list[Term]:
    target = intent.target
    terms = []
    if target.mos_at_least is not None:
        terms.append(Term("mos", "at_least", (target.mos_at_least,)))
    if target.users_ratio < 1:
        terms.append(Term("users_ratio", "at_least", (target.users_ratio,)))
    if target.better_than is not None:
        terms.append(Term("margin", "at_least", (target.margin_mos,)))
        terms += [Term(f"than_{key}", "is", _tuple(of)) for key, of in raw["better_than"].items()]
    if target.weight is not None:
        terms.append(Term("weight", "is", (target.weight,)))
    if target.rate_at_least_bps is not None:
        terms.append(Term("rate", "at_least", (float(target.rate_at_least_bps),)))
    if target.share_at_least is not None:
        terms.append(Term("share", "at_least", (target.share_at_least,)))
    if target.share_at_most is not None:
        terms.append(Term("share", "at_most", (target.share_at_most,)))
    return terms


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def canonical(name: str) -> str:
    """Give the name of a term that a standard's or another system's name means.

    Prefixes (``elb:``, an IRI's path) and case do not count.
    """
    local = re.split(r"[:/#]", name)[-1]
    plain = local.replace("_", "").replace("-", "").lower()
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", local).lower()
    return _ALIASES.get(plain, snake)


def from_terms(
    name: str,
    terms: Iterable[Term],
    *,
    priority: int | None = None,
    valid_from: str | None = None,
    expires: str | None = None,
    path: str = "$",
) -> tuple[list[Intent], list[str]]:
    """Put intents together: one for each kind of target that the terms hold.

    Parameters
    ----------
    name : str
        Its name; of several, each has the kind of its target after it.
    terms : iterable of Term
        What it says.
    priority : int, optional
        1, first, to 100.
    valid_from, expires : str, optional
        RFC 3339.
    path : str
        Where it stands in its document.

    Returns
    -------
    list of Intent
        At least one.
    list of str
        What was left aside because nothing here can serve it, with its path.

    Raises
    ------
    ConfigError
        It has no target that can be served, or a value is none.
    """
    raw: dict[str, Any] = {"priority": PRIORITY if priority is None else priority}
    for key, text in (("valid_from", valid_from), ("expires", expires)):
        if text:
            raw[key] = _date(text, f"{path}: {key}")
    aside = [f"{term.path}: {term.name} is left aside" for term in terms if not _put(raw, term)]
    targets = list(_one_of_a_kind(raw.pop("target", {})))
    if not targets:
        raise ConfigError("nothing here can be served: give a target on mos, rate, share or weight", path)
    names = [name] if len(targets) == 1 else [f"{name} ({next(iter(target))})" for target in targets]
    return [
        _intent({"name": label, "target": target} | raw, path)
        for label, target in zip(names, targets, strict=True)
    ], aside


def _one_of_a_kind(target: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take a target of several kinds apart."""
    if "margin_mos" in target:
        target.setdefault("better_than", {})
    for kind, beside in _KINDS.items():
        found = {key: target[key] for key in (kind, *beside) if key in target}
        if kind in found or found.keys() & {"share_at_most"}:
            yield found


def _intent(raw: dict[str, Any], path: str) -> Intent:
    try:
        return convert(raw, Intent)
    except ConfigError as error:
        message = str(error).removeprefix(f"{error.path}: ")
        raise ConfigError(f"{message} (at {error.path} of the intent)", path) from None


def _put(raw: dict[str, Any], term: Term) -> bool:
    """Put one term into the raw intent; False: it has no place there."""
    name, relation, values = term.name, term.relation, list(term.values)
    if not values:
        return False
    if name == "direction" and relation == "is":
        raw.setdefault("where", {})["direction"] = str(values[0])
    elif name in _SELECT and relation == "is":
        _extend(raw.setdefault(_SELECT[name], {}), name, values)
    elif name.startswith("than_") and name[5:] in Others.__struct_encode_fields__:
        target = raw.setdefault("target", {})
        _extend(target.setdefault("better_than", {}), name[5:], values)
    elif name in ("days", "hours", "time_zone"):
        _put_time(raw.setdefault("when", {}), name, [str(v) for v in values], term.path)
    elif name in _TARGETS and relation in ("at_least", "is") and len(values) == 1:
        value = values[0] if name == "rate" else number(values[0], term.path)
        raw.setdefault("target", {})[_TARGETS[name]] = value
    elif name == "share" and relation in ("at_least", "at_most"):
        raw.setdefault("target", {})[f"share_{relation}"] = number(values[0], term.path)
    else:
        return False
    return True


def _extend(table: dict[str, Any], key: str, values: list[Any]) -> None:
    table.setdefault(key, []).extend(str(value) for value in values)


def _put_time(when: dict[str, Any], name: str, values: list[str], path: str) -> None:
    if name == "days":
        when["days"] = values
    elif name == "time_zone":
        when["time_zone"] = values[0]
    else:
        start, dash, end = values[0].partition("-")
        if not dash:
            raise ConfigError(f"{values[0]!r} are no hours: write 08:00-18:00", path)
        when["from"], when["to"] = start, end


def number(value: Any, path: str) -> float:
    """Read a finite number, or text that holds one.

    Raises
    ------
    ConfigError
        It is neither.
    """
    try:
        read = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        read = math.nan
    if not math.isfinite(read):
        raise ConfigError(f"{value!r} is no finite number", path)
    return read


def whole(value: Any, least: int, most: int, path: str) -> int:
    """Read a whole number, or text that holds one.

    Raises
    ------
    ConfigError
        It is none, or not from `least` to `most`.
    """
    read = number(value, path)
    if not (read.is_integer() and least <= read <= most):
        raise ConfigError(f"{value!r} is no whole number from {least} to {most}", path)
    return int(read)


def _date(text: str, path: str) -> dt.datetime:
    try:
        value = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time: write 2026-12-31T23:00:00Z", path) from None
    if value.tzinfo is None:
        raise ConfigError(f"{text!r} has no offset from UTC: write 2026-12-31T23:00:00Z", path)
    return value


def rfc3339(at_s: float) -> str:
    """Write a time, in seconds since 1970, as RFC 3339 in UTC."""
    time = dt.datetime.fromtimestamp(at_s, dt.UTC)
    return time.isoformat().replace("+00:00", "Z")


def identifier(name: str) -> str:
    """Make an identifier of letters, digits and hyphens out of a name; other names give others."""
    slug = "-".join(re.findall(r"[A-Za-z0-9]+", name))
    return slug if slug == name else f"{slug or 'intent'}-{zlib.crc32(name.encode()):08x}"
