"""Intents and intent reports of TM Forum TMF921, Intent Management API v5.

An intent's expression is a JsonLdExpression of the Intent Common Model (TR290): an
``icm:PropertyExpectation`` whose ``icm:params`` say for whom, when and where it is, and what is to be had;
and an ``icm:ReportingExpectation``. Read are these, whatever the prefixes are called, and what in them cannot
be served is told. A report tells ``icm:handlingState`` and the conditions that hold or not.

What is written obeys ``Intent`` and ``IntentReport`` of the published OpenAPI file, read strictly: the report
holds its intent by value, with type, name and href and without an id, as one with an id would be both of
``IntentRef`` and ``Intent``, where just one is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from qoe.errors import ConfigError
from qoe.intent.fulfilment import IntentSummary, Status
from qoe.intent.model import Intent
from qoe.intent.terms import Term, canonical, from_terms, identifier, rfc3339, to_terms, whole
from qoe.toml import convert

HREF: Final = "/tmf-api/intentManagement/v5/intent"
_CONTEXT: Final = {
    "icm": "http://tio.models.tmforum.org/tio/v3.4.0/IntentCommonModel/",
    "qoe": "urn:qoe:intent:",
}
_RELATION: Final = {"is": "icm:value", "at_least": "icm:atLeast", "at_most": "icm:atMost"}
_RELATION_OF: Final = {"value": "is", "at_least": "at_least", "at_most": "at_most"}
_DEGRADED: Final = (Status.DEGRADED, Status.FULFILMENTFAILED)
_HANDLING: Final = {
    Status.ACKNOWLEDGED: "icm:StateReceived",
    Status.TERMINATED: "icm:StateFinalizing",
    Status.DEGRADED: "icm:StateDegraded",
    Status.FULFILMENTFAILED: "icm:StateDegraded",
}
_EVENT: Final = {
    Status.ACKNOWLEDGED: "icm:IntentAccepted",
    Status.TERMINATED: "icm:HandlingEnded",
}
_LIFECYCLE: Final = {
    Status.ACKNOWLEDGED: "Acknowledged",
    Status.TERMINATED: "Terminated",
    Status.SUSPENDED: "Suspended",
}


class _Period(msgspec.Struct):
    start: str | None = msgspec.field(name="startDateTime", default=None)
    end: str | None = msgspec.field(name="endDateTime", default=None)


class _Expression(msgspec.Struct):
    kind: str = msgspec.field(name="@type")
    value: dict[str, Any] | str = msgspec.field(name="expressionValue")


class _Document(msgspec.Struct):
    name: str
    expression: _Expression
    priority: str | None = None
    valid_for: _Period = msgspec.field(name="validFor", default_factory=_Period)


def read_intents(document: dict[str, Any], path: str = "$") -> tuple[list[Intent], list[str]]:
    """Read a TMF921 ``Intent``, which may ask for several things.

    Parameters
    ----------
    document : dict
        As JSON gives it. Its ``name`` and ``expression`` are needed.
    path : str
        Where it stands in a larger document.

    Returns
    -------
    list of Intent
        One for each kind of target.
    list of str
        What was left aside, with its path.

    Raises
    ------
    ConfigError
        It is none, or asks for nothing that can be served.
    """
    read = convert(document, _Document)
    here = f"{path}.expression.expressionValue"
    if isinstance(read.expression.value, str):
        raise ConfigError(f"a {read.expression.kind} is not read; send a JsonLdExpression", here)
    terms = [term for params, at in _params(read.expression.value, here) for term in _terms(params, at)]
    priority = read.priority
    return from_terms(
        read.name,
        terms,
        priority=None if priority is None else whole(priority, 1, 100, f"{path}.priority"),
        valid_from=read.valid_for.start,
        expires=read.valid_for.end,
        path=path,
    )


def _params(node: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Find the parameters of every property expectation, however deep."""
    if isinstance(node, list):
        for k, item in enumerate(node):
            yield from _params(item, f"{path}[{k}]")
    elif isinstance(node, dict):
        kind = canonical(str(node.get("@type", "")))
        for key, value in node.items():
            if kind == "property_expectation" and canonical(key) == "params":
                for k, params in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(params, dict):
                        yield params, f"{path}.{key}" + (f"[{k}]" if isinstance(value, list) else "")
            elif key != "@context":
                yield from _params(value, f"{path}.{key}")


def _terms(params: dict[str, Any], path: str) -> Iterator[Term]:
    for key, conditions in params.items():
        at, name = f"{path}.{key}", canonical(key)
        if key.startswith("@"):
            continue
        values: dict[str, list[Any]] = {}
        for condition in conditions if isinstance(conditions, list) else [conditions]:
            bounds = condition if isinstance(condition, dict) else {"value": condition}
            for word, value in bounds.items():
                relation = _RELATION_OF.get(canonical(word))
                if relation is not None and isinstance(value, str | int | float):
                    values.setdefault(relation, []).append(value)
        if not values:
            yield Term(name, "unknown", (), at)
        for relation, found in values.items():
            yield Term(name, relation, tuple(found), at)


def write_intent(intent: Intent, *, summary: IntentSummary | None = None, href: str = HREF) -> dict[str, Any]:
    """Write a TMF921 ``Intent``.

    Parameters
    ----------
    intent : Intent
    summary : IntentSummary, optional
        Of `Fulfilment.summaries`, for the lifecycle status.
    href : str
        Address of the collection of intents.

    Returns
    -------
    dict
        For JSON.
    """
    key = identifier(intent.name)
    start, end = intent.span_s
    bounds = (("startDateTime", start), ("endDateTime", end))
    valid = {word: rfc3339(at_s) for word, at_s in bounds if abs(at_s) < float("inf")}
    document = {
        "@type": "Intent",
        "id": key,
        "href": f"{href}/{key}",
        "name": intent.name,
        "description": str(intent.target),
        "priority": str(intent.priority),
        "context": "quality of experience",
        "isBundle": False,
        "version": "1.0",
        "lifecycleStatus": _LIFECYCLE.get(summary.status, "Active") if summary else "Active",
        "validFor": valid,
        "expression": _expression(key, {f"qoe:{key}": _icm_intent(key, to_terms(intent))}),
    }
    return {word: value for word, value in document.items() if value != {}}


def _expression(key: str, graph: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "JsonLdExpression",
        "iri": f"urn:qoe:intent:{key}",
        "expressionValue": {"@context": _CONTEXT, **graph},
    }


def _icm_intent(key: str, terms: list[Term]) -> dict[str, Any]:
    params: dict[str, list[dict[str, Any]]] = {}
    for term in terms:
        params.setdefault(f"qoe:{term.name}", []).extend(
            {_RELATION[term.relation]: value} for value in term.values
        )
    return {
        "@type": "icm:Intent",
        "icm:hasExpectation": {
            f"qoe:{key}-property": {
                "@type": "icm:PropertyExpectation",
                "icm:target": "_:service",
                "icm:params": params,
            },
            f"qoe:{key}-reporting": {
                "@type": "icm:ReportingExpectation",
                "icm:target": f"qoe:{key}",
                "icm:params": {"icm:reportingEvent": ["icm:StateComplies", "icm:StateDegrades"]},
            },
        },
    }


def write_report(
    intent: Intent, summary: IntentSummary, at_s: float, *, href: str = HREF, n_report: int = 1
) -> dict[str, Any]:
    """Write a TMF921 ``IntentReport``.

    Parameters
    ----------
    intent : Intent
    summary : IntentSummary
        Of `Fulfilment.summaries`.
    at_s : float
        When, in seconds since 1970.
    href : str
        Address of the collection of intents.
    n_report : int
        Number of the report, from 1.

    Returns
    -------
    dict
        For JSON.
    """
    key = identifier(intent.name)
    degraded = summary.status in _DEGRADED
    event = "icm:StateDegrades" if degraded else "icm:StateComplies"
    report: dict[str, Any] = {
        "@type": "icm:IntentReport",
        "icm:reportsAbout": f"qoe:{key}",
        "icm:reportNumber": n_report,
        "icm:reportTimestamp": rfc3339(at_s),
        "icm:handlingState": _HANDLING.get(summary.status, "icm:StateCompliant"),
        "icm:updateState": "icm:StateNoUpdate",
        "icm:reportingEvent": _EVENT.get(summary.status, event),
    }
    if summary.n_intervals:
        report["icm:hasExpectationReport"] = _expectation_report(intent, summary, degraded)
    return _report(intent.name, summary.describe(), at_s, report, href, n_report)


def _expectation_report(intent: Intent, summary: IntentSummary, degraded: bool) -> dict[str, Any]:
    key = identifier(intent.name)
    condition = {
        "@type": "icm:ConditionReport",
        "icm:reportsAbout": f"qoe:{_observed(intent)}",
        "icm:reason": "icm:ReasonConditionNotMet" if degraded else "icm:ReasonConditionTrue",
        "icm:observation": [_quantities(summary)],
    }
    return {
        f"qoe:{key}-property-report": {
            "@type": "icm:ExpectationReport",
            "icm:reportsAbout": f"qoe:{key}-property",
            "icm:target": "_:service",
            "icm:degraded" if degraded else "icm:compliant": [condition],
        }
    }


def write_rejection(name: str, why: str, at_s: float, *, href: str = HREF) -> dict[str, Any]:
    """Write the ``IntentReport`` on an intent that cannot be served.

    Parameters
    ----------
    name : str
        The intent's.
    why : str
        In words.
    at_s : float
        When, in seconds since 1970.
    href : str
        Address of the collection of intents.

    Returns
    -------
    dict
        For JSON.
    """
    report = {
        "@type": "icm:IntentReport",
        "icm:reportsAbout": f"qoe:{identifier(name)}",
        "icm:reportNumber": 1,
        "icm:reportTimestamp": rfc3339(at_s),
        "icm:handlingState": "icm:StateRejected",
        "icm:reportingEvent": "icm:IntentRejected",
    }
    return _report(name, why, at_s, report, href, 1)


def _report(
    name: str, words: str, at_s: float, report: dict[str, Any], href: str, n_report: int
) -> dict[str, Any]:
    key = identifier(name)
    return {
        "@type": "IntentReport",
        "id": f"{key}-{n_report}",
        "href": f"{href}/{key}/intentReport/{key}-{n_report}",
        "name": f"{name}: report {n_report}",
        "description": words,
        "creationDate": rfc3339(at_s),
        "intent": {"@type": "Intent", "href": f"{href}/{key}", "name": name},
        "expression": _expression(f"{key}-report-{n_report}", {f"qoe:{key}-report-{n_report}": report}),
    }


def _observed(intent: Intent) -> str:
    names = {"mos_at_least": "mos", "better_than": "margin", "rate_at_least": "rate"}
    return names.get(intent.target.kind, intent.target.kind)


def _quantities(summary: IntentSummary) -> dict[str, Any]:
    """What was measured, as far as it was: JSON has no NaN."""
    quantities = {
        "icm:observed": summary.value,
        "qoe:target": summary.target,
        "qoe:metRatio": summary.met_ratio,
        "qoe:intervals": summary.n_intervals,
    }
    return {
        word: [{"@type": "icm:Quantity", "icm:value": value}]
        for word, value in quantities.items()
        if math.isfinite(value)
    }
