"""The rules of published interfaces that the intents' adapters must obey, as JSON Schemas of our own wording.

Written down from the OpenAPI files of TMF921 v5.0.0, TS 28.312 versions 17.3.0, 17.6.0 and 18.2.0 (with TS
28.623's Top, Dn and DateTime) and CAMARA Quality-On-Demand; what they only describe is left out. `oneOf` is
strict, as JSON Schema has it: just one branch may hold.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft4Validator, FormatChecker

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
DATE = {"type": "string", "format": "date-time"}
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    return not isinstance(value, str) or dt.datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uuid", raises=ValueError)
def _uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(uuid.UUID(value))


@FORMATS.checks("uri", raises=ValueError)
def _uri(value: object) -> bool:
    return not isinstance(value, str) or ":" in value


def ref(name: str) -> dict[str, str]:
    """Point to a definition."""
    return {"$ref": f"#/definitions/{name}"}


def array(of: dict[str, Any]) -> dict[str, Any]:
    """A list of one kind."""
    return {"type": "array", "items": of}


def enum(*values: str) -> dict[str, Any]:
    """One of some words."""
    return {"type": "string", "enum": list(values)}


def struct(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """An object; other keys may stand beside these, as in all of these files."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def errors(definitions: dict[str, Any], name: str, document: object) -> list[str]:
    """Name whatever in a document breaks the rules of one definition."""
    schema = {"definitions": definitions, **ref(name)}
    found: Iterator[Any] = Draft4Validator(schema, format_checker=FORMATS).iter_errors(document)
    return [f"{list(error.absolute_path)}: {error.message}" for error in found]


# ---- TMF921 v5.0.0

_EXTENSIBLE = {
    "type": "object",
    "properties": {"@type": TEXT, "@baseType": TEXT, "@schemaLocation": TEXT},
    "required": ["@type"],
}
_COMMON = {
    "additionalProperties": {"anyOf": [ref("common")]},
    "properties": {
        "@id": {"type": "string", "format": "uri"},
        "@value": TEXT,
        "@language": TEXT,
        "@type": TEXT,
        "@container": enum("@language", "@list", "@index", "@set"),
        "@list": {},
        "@set": {},
        "@reverse": TEXT,
        "@base": {"type": "string", "format": "uri"},
        "@vocab": {"type": "string", "format": "uri"},
    },
}
_INTENT = struct(
    description=TEXT,
    validFor=ref("TimePeriod"),
    isBundle={"type": "boolean"},
    priority=TEXT,
    statusChangeDate=DATE,
    context=TEXT,
    version=TEXT,
    intentSpecification=ref("EntityRef"),
    name=TEXT,
    expression=ref("IntentExpression"),
    creationDate=DATE,
    lastUpdate=DATE,
    lifecycleStatus=TEXT,
)
TMF921: dict[str, Any] = {
    "Extensible": _EXTENSIBLE,
    "Entity": {"allOf": [ref("Extensible"), struct(href=TEXT, id=TEXT)]},
    "EntityRef": {
        "allOf": [
            ref("Extensible"),
            struct(("id",), id=TEXT, href=TEXT, name=TEXT),
            {"properties": {"@referredType": TEXT}},
        ]
    },
    "TimePeriod": struct(startDateTime=DATE, endDateTime=DATE),
    "IntentExpression": {"allOf": [ref("Extensible"), struct(iri=TEXT)]},
    "JsonLdExpression": {
        "allOf": [ref("IntentExpression"), struct(expressionValue=ref("JsonLdExpressionValue"))]
    },
    "JsonLdExpressionValue": {
        "type": "object",
        "allOf": [
            {"properties": {"@context": {"type": "object"}}},
            {"properties": {"@graph": array(ref("common"))}},
            ref("common"),
        ],
    },
    "common": _COMMON,
    "Intent": {"allOf": [ref("Entity"), _INTENT]},
    # what a request to create one must have beside. The file also asks for an @type in every object of the
    # expression, its @context included: no JSON-LD could obey, and the file's own examples do not
    "Intent_FVO": {
        "allOf": [
            ref("Intent"),
            {"required": ["name", "expression"]},
            struct(
                expression={
                    "allOf": [ref("JsonLdExpression"), {"required": ["iri", "expressionValue"]}],
                }
            ),
        ]
    },
    "IntentRef": {"allOf": [ref("EntityRef")]},
    "IntentRefOrValue": {"type": "object", "oneOf": [ref("IntentRef"), ref("Intent")]},
    "IntentReport": {
        "allOf": [
            ref("Entity"),
            struct(
                description=TEXT,
                validFor=ref("TimePeriod"),
                intent=ref("IntentRefOrValue"),
                name=TEXT,
                expression={"allOf": [ref("IntentExpression"), ref("JsonLdExpression")]},
                creationDate=DATE,
            ),
        ]
    },
}

# ---- TS 28.312

CONDITIONS = (
    "IS_EQUAL_TO",
    "IS_LESS_THAN",
    "IS_GREATER_THAN",
    "IS_WITHIN_RANGE",
    "IS_OUTSIDE_RANGE",
    "IS_ONE_OF",
    "IS_NOT_ONE_OF",
    "IS_EQUAL_TO_OR_LESS_THAN",
    "IS_EQUAL_TO_OR_GREATER_THAN",
)
STATES = ("ACKNOWLEDGED", "COMPLIANT", "DEGRADED", "SUSPENDED", "TERMINATED", "FULFILMENTFAILED")
_TOP = struct(("id",), id=TEXT, objectClass=TEXT, objectInstance=TEXT)
_CONDITION = enum(*CONDITIONS)


def _context(values: dict[str, Any]) -> dict[str, Any]:
    return struct(contextAttribute=TEXT, contextCondition=_CONDITION, contextValueRange=values)


def _fixed_context(attribute: str, condition: str, values: dict[str, Any]) -> dict[str, Any]:
    return struct(
        contextAttribute=enum(attribute), contextCondition=enum(condition), contextValueRange=values
    )


def _fixed_target(name: str, condition: str, values: dict[str, Any]) -> dict[str, Any]:
    return struct(targetName=enum(name), targetCondition=enum(condition), targetValueRange=values)


def _expectation(
    objects: dict[str, Any], targets: dict[str, Any], contexts: dict[str, Any]
) -> dict[str, Any]:
    return struct(
        expectationId=TEXT,
        expectationVerb=enum("DELIVER", "ENSURE"),
        expectationObjects=array(objects),
        expectationTargets=array(targets),
        expectationContexts=array(contexts),
        expectationfulfilmentInfo=ref("FulfilmentInfo"),
    )


def _one_of(*kinds: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "oneOf": list(kinds)}


_PERCENT = {"type": "integer", "minimum": 0, "maximum": 100}
_WHOLE = {"type": "integer"}
_NUMBERS = array(NUMBER)
_TEXTS = array(TEXT)
_TARGET = struct(
    targetName=TEXT,
    targetCondition=_CONDITION,
    targetValueRange=NUMBER,
    targetContexts=array(_context(NUMBER)),
)
_RADIO_TARGETS = (
    _fixed_target("WeakRSRPRatio", "IS_LESS_THAN", _PERCENT),
    _fixed_target("LowSINRRatio", "IS_LESS_THAN", _PERCENT),
    _fixed_target("AveULRANUEThpt", "IS_GREATER_THAN", _WHOLE),
    _fixed_target("AveDLRANUEThpt", "IS_GREATER_THAN", _WHOLE),
    _fixed_target("LowULRANUEThptRatio", "IS_LESS_THAN", _PERCENT),
    _fixed_target("LowDLRANUEThptRatio", "IS_LESS_THAN", _PERCENT),
)
_SERVICE_TARGETS = (
    _fixed_target("DlThptPerUE", "IS_GREATER_THAN", {"type": "object"}),
    _fixed_target("UlThptPerUE", "IS_GREATER_THAN", {"type": "object"}),
    _fixed_target("DlLatency", "IS_LESS_THAN", _WHOLE),
    _fixed_target("UlLatency", "IS_LESS_THAN", _WHOLE),
    _fixed_target("maxNumberofUEs", "IS_LESS_THAN", _WHOLE),
    _fixed_target("activityFactor", "IS_EQUAL_TO", _WHOLE),
    _fixed_target("uESpeed", "IS_LESS_THAN", _WHOLE),
)
TS28312_17: dict[str, Any] = {
    "FulfilmentInfo": struct(
        fulfilStatus=enum("FULFILLED", "NOT_FULFILLED"),
        notFullfilledState=enum(*STATES),
        notFulfilledReasons=TEXT,
    ),
    "IntentExpectation": _expectation(
        struct(
            objectType=enum("RAN_SubNetwork", "Service_Support", "TBD"),
            objectInstance=TEXT,
            objectContexts=array(_context(_NUMBERS)),
        ),
        _TARGET,
        _context(_NUMBERS),
    ),
    "RadioNetworkExpectation": _expectation(
        struct(
            objectType=enum("RAN_SubNetwork"),
            objectInstance=TEXT,
            objectContexts=array(
                _one_of(
                    _fixed_context("CoverageAreaPolygon", "IS_WITHIN_RANGE", _TEXTS),
                    _fixed_context("CoverageAreaTac", "IS_WITHIN_RANGE", _TEXTS),
                    _fixed_context("PLMN", "IS_WITHIN_RANGE", array({"type": "object"})),
                    _fixed_context("NRFqBand", "IS_WITHIN_RANGE", _TEXTS),
                    _fixed_context("RAT", "IS_WITHIN_RANGE", array(enum("UTRAN", "EUTRAN", "NR"))),
                    _context(_NUMBERS),
                )
            ),
        ),
        _one_of(*_RADIO_TARGETS, _TARGET),
        _context(_NUMBERS),
    ),
    "ServiceSupportExpectation": _expectation(
        struct(
            objectType=enum("Service_Support"),
            objectInstance=TEXT,
            objectContexts=array(
                _one_of(
                    _fixed_context("edgeIdentificationId", "IS_EQUAL_TO", _TEXTS),
                    _fixed_context("edgeIdentificationTarget", "IS_EQUAL_TO", _TEXTS),
                    _fixed_context("coverageAreaTA", "IS_WITHIN_RANGE", array(_WHOLE)),
                    _context(_NUMBERS),
                )
            ),
        ),
        _one_of(*_SERVICE_TARGETS, _TARGET),
        _one_of(
            _fixed_context("ServiceStartTime", "IS_EQUAL_TO", TEXT),
            _fixed_context("ServiceEndTime", "IS_EQUAL_TO", TEXT),
            _fixed_context("UEMobilityLevel", "IS_WITHIN_RANGE", _TEXTS),
            _fixed_context("ResourceSharingLevel", "IS_WITHIN_RANGE", _TEXTS),
            _context(_NUMBERS),
        ),
    ),
    "Intent-Single": {
        "allOf": [
            _TOP,
            struct(
                userLabel=TEXT,
                intentExpectations=array(
                    _one_of(
                        ref("IntentExpectation"),
                        ref("RadioNetworkExpectation"),
                        ref("ServiceSupportExpectation"),
                    )
                ),
                intentContexts=array(_context(_NUMBERS)),
                intentFulfilmentInfo=ref("FulfilmentInfo"),
            ),
        ]
    },
}
_RAT = array(enum("UTRAN", "EUTRAN", "NR"))
_LATER_CONDITION = enum(*CONDITIONS, "IS_ALL_OF")
_LATER_CONTEXT = struct(contextAttribute=TEXT, contextCondition=_LATER_CONDITION, contextValueRange=_NUMBERS)
_LATER_TARGET = struct(
    targetName=TEXT,
    targetCondition=_LATER_CONDITION,
    targetValueRange=NUMBER,
    targetContexts=array(_LATER_CONTEXT),
)


def _later_expectation(
    object_type: dict[str, Any], contexts: dict[str, Any], targets: dict[str, Any]
) -> dict[str, Any]:
    return struct(
        ("expectationId",),
        expectationId=TEXT,
        expectationVerb=enum("DELIVER", "ENSURE"),
        expectationObject=struct(objectType=object_type, objectInstance=TEXT, objectContexts=array(contexts)),
        expectationTargets=array(targets),
        expectationContexts=array(_LATER_CONTEXT),
        expectationfulfilmentInfo=ref("FulfilmentInfo"),
    )


# IntentNrm 17.5.0 with IntentExpectations 17.6.0
TS28312_176: dict[str, Any] = TS28312_17 | {
    "IntentExpectation": _later_expectation(
        enum("RAN_SubNetwork", "EdgeService_Support"), _LATER_CONTEXT, _LATER_TARGET
    ),
    "RadioNetworkExpectation": _later_expectation(
        enum("RAN_SubNetwork"),
        _one_of(
            _fixed_context("CoverageAreaPolygon", "IS_ALL_OF", array({"type": "object"})),
            _fixed_context("CoverageAreaTac", "IS_ALL_OF", _TEXTS),
            _fixed_context("PLMN", "IS_ALL_OF", array({"type": "object"})),
            _fixed_context("NRFqBand", "IS_ALL_OF", _TEXTS),
            _fixed_context("RAT", "IS_ALL_OF", _RAT),
            _LATER_CONTEXT,
        ),
        _one_of(*_RADIO_TARGETS, _LATER_TARGET),
    ),
    "ServiceSupportExpectation": _later_expectation(
        enum("Service_Support"), _LATER_CONTEXT, _one_of(*_SERVICE_TARGETS, _LATER_TARGET)
    ),
    "Intent-Single": {
        "allOf": [
            TS28312_17["Intent-Single"]["allOf"][0],
            struct(
                userLabel=TEXT,
                intentExpectations=array(
                    _one_of(
                        ref("IntentExpectation"),
                        ref("RadioNetworkExpectation"),
                        ref("ServiceSupportExpectation"),
                    )
                ),
                intentContexts=array(_LATER_CONTEXT),
                intentFulfilmentInfo=ref("FulfilmentInfo"),
            ),
        ]
    },
}
TS28312_18: dict[str, Any] = {
    "FulfilmentInfo": struct(
        fulfilmentStatus=enum("FULFILLED", "NOT_FULFILLED"),
        notFullfilledState=enum(*STATES),
        notFulfilledReasons=array(TEXT),
    ),
    "IntentReport-Single": {
        "allOf": [
            _TOP,
            struct(
                intentFulfilmentReport=struct(
                    intentFulfilmentInfo=ref("FulfilmentInfo"),
                    expectationFulfilmentResult=array(
                        struct(
                            expectaitonId=TEXT,
                            expectationFulfilmentInfo=ref("FulfilmentInfo"),
                            targetFulfilmentResult=array(
                                struct(
                                    targetName=TEXT,
                                    targetFulfilmentInfo=ref("FulfilmentInfo"),
                                    targetAchievedValue=NUMBER,
                                )
                            ),
                        )
                    ),
                ),
                intentConflictReports=array(
                    struct(
                        conflictId=TEXT,
                        conflictType=enum("INTENT_CONFLICT", "EXPECTATION_CONFLICT", "TARGET_CONFLICT"),
                        conflictingIntent=TEXT,
                    )
                ),
                lastUpdatedTime=DATE,
                intentReference=TEXT,
            ),
        ]
    },
}

# ---- CAMARA Quality-On-Demand

_PROFILE_NAME = {"type": "string", "minLength": 3, "maxLength": 256, "pattern": "^[a-zA-Z0-9_.-]+$"}
_STATUS_INFO = enum("DURATION_EXPIRED", "NETWORK_TERMINATED", "DELETE_REQUESTED")
_RATE = struct(
    value={"type": "integer", "minimum": 0, "maximum": 1024},
    unit=enum("bps", "kbps", "Mbps", "Gbps", "Tbps"),
)
_TIME_UNITS = ("Days", "Hours", "Minutes", "Seconds", "Milliseconds", "Microseconds", "Nanoseconds")
_SPAN = struct(value={"type": "integer", "minimum": 1}, unit=enum(*_TIME_UNITS))
CAMARA: dict[str, Any] = {
    "SessionInfo": struct(
        ("applicationServer", "qosProfile", "sessionId", "duration", "qosStatus"),
        device={
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {"phoneNumber": {"type": "string", "pattern": r"^\+[1-9][0-9]{4,14}$"}},
        },
        applicationServer={"type": "object", "minProperties": 1},
        qosProfile=_PROFILE_NAME,
        sink={"type": "string", "pattern": r"^https:\/\/.+$"},
        sessionId={"type": "string", "format": "uuid"},
        duration={"type": "integer", "minimum": 1},
        startedAt=DATE,
        expiresAt=DATE,
        qosStatus=enum("REQUESTED", "AVAILABLE", "UNAVAILABLE"),
        statusInfo=_STATUS_INFO,
    ),
    "EventQosStatusChanged": struct(
        ("id", "source", "specversion", "type", "time", "data"),
        id=TEXT,
        source=TEXT,
        specversion=enum("1.0"),
        type=enum("org.camaraproject.quality-on-demand.v1.qos-status-changed"),
        datacontenttype=enum("application/json"),
        time=DATE,
        data=struct(
            ("sessionId", "qosStatus"),
            sessionId={"type": "string", "format": "uuid"},
            qosStatus=enum("AVAILABLE", "UNAVAILABLE"),
            statusInfo=_STATUS_INFO,
        ),
    ),
    "QosProfile": struct(
        ("name", "status"),
        name=_PROFILE_NAME,
        description=TEXT,
        status=enum("ACTIVE", "INACTIVE", "DEPRECATED"),
        priority={"type": "integer", "minimum": 1, "maximum": 100},
        targetMinDownstreamRate=_RATE,
        minDuration=_SPAN,
        maxDuration=_SPAN,
    ),
}
