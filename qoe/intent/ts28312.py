"""Intents and their fulfilment of 3GPP TS 28.312, Intent driven management services for mobile networks.

What is written obeys the published schemas (TS28312_IntentNrm.yaml) read strictly:

* An intent is an ``Intent-Single`` of release 17, with ``intentFulfilmentInfo`` once there is any. Its
  expectation must be of just one of three types that overlap. Contexts there hold numbers; names are
  therefore distinguished names of the expectation's objects (``SubNetwork=1,tier=gold``), and a context
  ``RAT``, which names all of them, tells a RadioNetworkExpectation from the others. A whole-numbered
  ``AveDLRANUEThpt`` is an IntentExpectation without it. Version 17.3.0 has ``expectationObjects``, later ones
  a single ``expectationObject``: both are there.
* A report is an ``IntentReport-Single`` of version 18.2.0.

The misspellings ``notFullfilledState`` and ``expectaitonId`` are the schemas' own. Intents are read in the
shapes of both versions; rates are in Mbit/s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from qoe.errors import ConfigError
from qoe.intent.conflicts import Conflict
from qoe.intent.fulfilment import IntentSummary, Status
from qoe.intent.model import Intent
from qoe.intent.schedule import DAYS, minute_of, weekdays
from qoe.intent.terms import Term, canonical, from_terms, identifier, number, rfc3339, to_terms, whole

SUBNETWORK: Final = "SubNetwork=1"
_RAT: Final = {
    "contextAttribute": "RAT",
    "contextCondition": "IS_WITHIN_RANGE",
    "contextValueRange": ["UTRAN", "EUTRAN", "NR"],
}
_RATES: Final = {"down": "AveDLRANUEThpt", "up": "AveULRANUEThpt", "": "AveRANUEThpt"}
_MBPS: Final = 1e6
_LAST_S: Final = 253_402_300_799.0  # the end of the year 9999
_AT_LEAST: Final = "IS_EQUAL_TO_OR_GREATER_THAN"
_CONDITION: Final = {"is": "IS_EQUAL_TO", "at_least": _AT_LEAST, "at_most": "IS_EQUAL_TO_OR_LESS_THAN"}
_RELATION: Final = {
    "IS_EQUAL_TO": "is",
    "IS_ONE_OF": "is",
    "IS_ALL_OF": "is",
    "IS_WITHIN_RANGE": "is",
    "IS_GREATER_THAN": "at_least",
    _AT_LEAST: "at_least",
    "IS_LESS_THAN": "at_most",
    "IS_EQUAL_TO_OR_LESS_THAN": "at_most",
}
_TARGETS: Final = {"mos": "MOS", "margin": "MOSMargin", "weight": "MOSWeight", "share": "CapacityShare"}
_TARGET_OF: Final = {canonical(name): term for term, name in _TARGETS.items()}
_CELLS: Final = ("cell", "NRCellDU", "NRCellCU", "EUtranCellFDD", "EUtranCellTDD", "EUtranGenericCell")
_CONTAINERS: Final = ("MeContext", "ManagedElement", "GNBDUFunction", "GNBCUCPFunction", "ENBFunction")
_DAYS: Final = "dayOfWeek"
_HOURS: Final = "minuteOfDay"
_ZONED: Final = re.compile(r"(?P<name>\w+)(?: \((?P<zone>[^)]+)\))?")


class _Info(msgspec.Struct):
    """Contexts and targets are alike but for the first letters of their keys."""

    name: str
    condition: str
    values: tuple[Any, ...]
    path: str


def read_intents(document: dict[str, Any], path: str = "$") -> tuple[list[Intent], list[str]]:
    """Read an ``Intent-Single`` of TS 28.312.

    Parameters
    ----------
    document : dict
        As JSON gives it; its attributes may stand in it or in ``attributes``.
    path : str
        Where it stands in a larger document.

    Returns
    -------
    list of Intent
        One for each expectation and kind of target.
    list of str
        What was left aside, with its path.

    Raises
    ------
    ConfigError
        It is none, or asks for nothing that can be served.
    """
    if isinstance(document.get("attributes"), dict):
        document, path = {**document, **document["attributes"]}, f"{path}.attributes"
    name = document.get("userLabel") or document.get("id")
    if not isinstance(name, str):
        raise ConfigError("an intent needs a userLabel or an id", path)
    expectations = _dicts(document, "intentExpectations", path)
    if not expectations:
        raise ConfigError("an intent needs an expectation", f"{path}.intentExpectations")
    intents: list[Intent] = []
    aside: list[str] = []
    for expectation, at in expectations:
        label = f"{name} {expectation.get('expectationId', '')}".strip() if len(expectations) > 1 else name
        terms = [*_expectation_terms(expectation, at), *_contexts_of(document, "intentContexts", path)]
        found, left = _read(label, terms, document.get("intentPriority"), at)
        intents, aside = intents + found, aside + left
    return intents, aside


def _read(name: str, terms: list[Term], priority: Any, path: str) -> tuple[list[Intent], list[str]]:
    spans = {term.name: str(term.values[0]) for term in terms if term.name in ("valid_from", "expires")}
    return from_terms(
        name,
        [term for term in terms if term.name not in spans],
        priority=None if priority is None else whole(priority, 1, 100, f"{path}: intentPriority"),
        valid_from=spans.get("valid_from"),
        expires=spans.get("expires"),
        path=path,
    )


def _expectation_terms(expectation: dict[str, Any], path: str) -> Iterator[Term]:
    for key in ("expectationObjects", "expectationObject"):
        for obj, at in _dicts(expectation, key, path):
            yield from _object_terms(obj, at)
    yield from _contexts_of(expectation, "expectationContexts", path)
    for target, at in _dicts(expectation, "expectationTargets", path):
        yield from _target_terms(_info(target, "target", at))
        yield from _contexts_of(target, "targetContexts", at)


def _contexts_of(holder: dict[str, Any], key: str, path: str) -> Iterator[Term]:
    for context, at in _dicts(holder, key, path):
        yield from _context_terms(_info(context, "context", at))


def _dicts(holder: dict[str, Any], key: str, path: str) -> list[tuple[dict[str, Any], str]]:
    """Give the objects of a list, each with its path; one that stands alone counts as a list."""
    found = holder.get(key, [])
    items = found if isinstance(found, list) else [found]
    for k, item in enumerate(items):
        if not isinstance(item, dict):
            raise ConfigError("an object is needed", f"{path}.{key}[{k}]")
    return [(item, f"{path}.{key}[{k}]") for k, item in enumerate(items)]


def _info(raw: dict[str, Any], kind: str, path: str) -> _Info:
    name, condition = (
        raw.get(f"{kind}Name", raw.get(f"{kind}Attribute")),
        raw.get(f"{kind}Condition", "IS_EQUAL_TO"),
    )
    if not isinstance(name, str) or not isinstance(condition, str):
        raise ConfigError(f"a {kind} needs a name and a condition, both text", path)
    value = raw.get(f"{kind}ValueRange", ())
    return _Info(name, condition, tuple(value) if isinstance(value, list | tuple) else (value,), path)


def _object_terms(obj: dict[str, Any], path: str) -> Iterator[Term]:
    instance = obj.get("objectInstance", SUBNETWORK)
    at = f"{path}.objectInstance"
    if not isinstance(instance, str):
        raise ConfigError("a distinguished name is needed, as text", at)
    rdns = [rdn.strip().partition("=")[::2] for rdn in re.split(r"(?<!\\),", instance)]
    for name, value in rdns:
        if not name or not value:
            raise ConfigError(f"{instance!r} is no distinguished name: write SubNetwork=1,tier=gold", at)
        if name in _CONTAINERS and any(other in _CELLS for other, _ in rdns):
            continue
        term = "cell" if name in _CELLS else canonical(name)
        if name != "SubNetwork":
            yield Term(term, "is", (re.sub(r"\\(.)", r"\1", value),), at)
    yield from _contexts_of(obj, "objectContexts", path)


def _context_terms(info: _Info) -> Iterator[Term]:
    zoned = _ZONED.fullmatch(info.name)
    name, place = (zoned["name"], zoned["zone"]) if zoned else (info.name, None)
    if name == "RAT" and all(kind in info.values for kind in ("EUTRAN", "NR")):
        return
    if place:
        yield Term("time_zone", "is", (place,), info.path)
    relation = _RELATION.get(info.condition, "unknown")
    if name == _DAYS:
        days = tuple(DAYS[whole(day, 1, 7, info.path) - 1] for day in info.values)
        yield Term("days", "is", days, info.path)
    elif name == _HOURS and len(info.values) == 2:
        clock = [divmod(whole(minute, 0, 1440, info.path), 60) for minute in info.values]
        yield Term("hours", "is", ("-".join(f"{h:02d}:{m:02d}" for h, m in clock),), info.path)
    elif name in ("validFromUnixTime", "expiryUnixTime") and len(info.values) == 1:
        time = rfc3339(min(max(number(info.values[0], info.path), 0.0), _LAST_S))
        yield Term("expires" if name == "expiryUnixTime" else "valid_from", "is", (time,), info.path)
    elif name != "timeZone":
        yield Term(canonical(name), relation, info.values, info.path)


def _target_terms(info: _Info) -> Iterator[Term]:
    relation = _RELATION.get(info.condition, "unknown")
    direction = {"AveDLRANUEThpt": "down", "DlThptPerUE": "down", "AveULRANUEThpt": "up", "UlThptPerUE": "up"}
    if info.name in (*direction, _RATES[""]) and relation == "at_least" and len(info.values) == 1:
        yield Term("rate", "at_least", (number(info.values[0], info.path) * _MBPS,), info.path)
        if info.name in direction:
            yield Term("direction", "is", (direction[info.name],), info.path)
        return
    name = canonical(info.name)
    yield Term(_TARGET_OF.get(name, name), relation, info.values, info.path)


def write_intent(intent: Intent, *, summary: IntentSummary | None = None) -> dict[str, Any]:
    """Write an ``Intent-Single`` of TS 28.312 release 17.

    Parameters
    ----------
    intent : Intent
    summary : IntentSummary, optional
        Of `Fulfilment.summaries`: how it has fared.

    Returns
    -------
    dict
        For JSON.
    """
    terms = to_terms(intent)
    targets = [_target(term, intent) for term in terms if term.name in (*_TARGETS, "rate")]
    plain = any(isinstance(target["targetValueRange"], int) for target in targets)
    expectation: dict[str, Any] = {
        "expectationId": "1",
        "expectationVerb": "ENSURE",
        "expectationObjects": [_object(name, _RAT, plain) for name in _names(intent, terms) or [""]],
        "expectationObject": _object("", _RAT | {"contextCondition": "IS_ALL_OF"}, plain),
        "expectationTargets": targets,
        "expectationContexts": [
            _context("usersRatio", _AT_LEAST, list(term.values))
            for term in terms
            if term.name == "users_ratio"
        ],
    }
    document = {
        "id": identifier(intent.name),
        "objectClass": "Intent",
        "objectInstance": _dn(intent.name),
        "userLabel": intent.name,
        "intentPriority": intent.priority,
        "intentExpectations": [expectation],
        "intentContexts": _contexts(intent),
    }
    if summary is not None:
        document["intentFulfilmentInfo"] = _info_17(summary)
        expectation["expectationfulfilmentInfo"] = _info_17(summary)
    return document


def _object(name: str, rat: dict[str, Any], plain: bool) -> dict[str, Any]:
    found = {"objectType": "RAN_SubNetwork", "objectInstance": SUBNETWORK + name}
    return found if plain else found | {"objectContexts": [rat]}


def _names(intent: Intent, terms: list[Term]) -> list[str]:
    """Give what chooses the bearers, as parts of distinguished names."""
    implied = "direction" if intent.target.rate_at_least_bps is not None else ""
    return [
        f",{term.name}={_escaped(value)}"
        for term in terms
        if term.name in _SELECTING and term.name != implied
        for value in term.values
    ]


_OTHERS: Final = ("tier", "group", "subscriber", "class", "application")
_SELECTING: Final = (*_OTHERS, "cell", "direction", *(f"than_{name}" for name in _OTHERS))


def _escaped(value: str | float) -> str:
    return re.sub(r"([\\,])", r"\\\1", str(value))


def _dn(name: str, kind: str = "Intent") -> str:
    return f"{SUBNETWORK},{kind}={identifier(name)}"


def _target(term: Term, intent: Intent) -> dict[str, Any]:
    value = float(term.values[0])
    name, condition = _TARGETS.get(term.name, ""), _CONDITION[term.relation]
    if term.name == "rate":
        name, value = _RATES[intent.where.direction], value / _MBPS
        condition = "IS_GREATER_THAN"
        if intent.where.direction and value.is_integer():
            return {"targetName": name, "targetCondition": condition, "targetValueRange": int(value)}
    return {"targetName": name, "targetCondition": condition, "targetValueRange": value}


def _context(attribute: str, condition: str, value: Any) -> dict[str, Any]:
    return {"contextAttribute": attribute, "contextCondition": condition, "contextValueRange": value}


def _contexts(intent: Intent) -> list[dict[str, Any]]:
    """When it holds: days from 1 for Monday, minutes of the day on the zone's clock, seconds since 1970."""
    when = intent.when
    place = f"{_HOURS} ({when.time_zone or 'UTC'})"
    hours = [minute_of(when.start), minute_of(when.end)]
    days = [day + 1 for day in sorted(weekdays(when.days))]
    start, end = intent.span_s
    contexts = [_context(_DAYS, "IS_ONE_OF", days), _context(place, "IS_WITHIN_RANGE", hours)]
    if intent.valid_from is not None:
        contexts.append(_context("validFromUnixTime", _AT_LEAST, [start]))
    if intent.expires is not None:
        contexts.append(_context("expiryUnixTime", "IS_LESS_THAN", [end]))
    return contexts


def _info_17(summary: IntentSummary) -> dict[str, Any]:
    if summary.status is Status.FULFILLED:
        return {"fulfilStatus": "FULFILLED"}
    return {
        "fulfilStatus": "NOT_FULFILLED",
        "notFullfilledState": str(summary.status),
        "notFulfilledReasons": summary.describe(),
    }


def _info_18(summary: IntentSummary) -> dict[str, Any]:
    if summary.status is Status.FULFILLED:
        return {"fulfilmentStatus": "FULFILLED"}
    return {
        "fulfilmentStatus": "NOT_FULFILLED",
        "notFullfilledState": str(summary.status),
        "notFulfilledReasons": [summary.describe()],
    }


def write_report(
    intent: Intent, summary: IntentSummary, at_s: float, *, conflicts: Sequence[Conflict] = ()
) -> dict[str, Any]:
    """Write an ``IntentReport-Single`` of TS 28.312 version 18.2.0.

    Parameters
    ----------
    intent : Intent
    summary : IntentSummary
        Of `Fulfilment.summaries`.
    at_s : float
        When, in seconds since 1970.
    conflicts : sequence of Conflict
        Of any intents: those with this one are reported.

    Returns
    -------
    dict
        For JSON.
    """
    info = _info_18(summary)
    targets = [
        _target(term, intent)["targetName"] for term in to_terms(intent) if term.name in (*_TARGETS, "rate")
    ]
    scale = _MBPS if intent.target.rate_at_least_bps is not None else 1.0
    achieved = {"targetAchievedValue": summary.value / scale} if math.isfinite(summary.value) else {}
    report: dict[str, Any] = {
        "id": f"{identifier(intent.name)}-report",
        "objectClass": "IntentReport",
        "objectInstance": _dn(intent.name, "IntentReport"),
        "lastUpdatedTime": rfc3339(at_s),
        "intentReference": _dn(intent.name),
        "intentFulfilmentReport": {
            "intentFulfilmentInfo": info,
            "expectationFulfilmentResult": [
                {
                    "expectaitonId": "1",
                    "expectationFulfilmentInfo": info,
                    "targetFulfilmentResult": [
                        {"targetName": name, "targetFulfilmentInfo": info, **achieved} for name in targets
                    ],
                }
            ],
        },
    }
    with_it = [conflict for conflict in conflicts if intent.name in conflict.intents]
    if with_it:
        report["intentConflictReports"] = [
            {
                "conflictId": f"{k + 1}-{m + 1}",
                "conflictType": "INTENT_CONFLICT",
                "conflictingIntent": _dn(other),
            }
            for k, conflict in enumerate(with_it)
            for m, other in enumerate(name for name in conflict.intents if name != intent.name)
        ]
    return report
