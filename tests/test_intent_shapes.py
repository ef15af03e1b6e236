"""Intents, reports and sessions in the shapes of TMF921, TS 28.312 and CAMARA: valid, and back again."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intent_shapes import CAMARA, TMF921, TS28312_17, TS28312_18, TS28312_176, errors
from msgspec.structs import replace

from qoe.config import decode
from qoe.errors import ConfigError
from qoe.intent import (
    Conflict,
    Intent,
    IntentsFile,
    IntentSummary,
    Outcome,
    State,
    Status,
    camara,
    tmf921,
    ts28312,
)
from qoe.intent.model import Others, Profile, Target, What, Where, Who
from qoe.intent.schedule import DAYS, When
from qoe.intent.toml_text import write_toml
from qoe.schema import CLASS_NAMES
from qoe.toml import Rate, convert

AT_S = 1_795_597_200.0
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12
).filter(lambda text: text == text.strip() and "\\" not in text)
LISTS = st.lists(NAMES, max_size=3, unique=True).map(tuple)
CLASSES = st.lists(st.sampled_from(CLASS_NAMES), max_size=2, unique=True).map(tuple)
MOS = st.floats(1.0, 5.0)
RATIO = st.floats(0.01, 1.0)
TARGETS = st.one_of(
    st.builds(Target, mos_at_least=MOS, users_ratio=RATIO),
    st.builds(
        Target,
        better_than=st.builds(Others, tier=LISTS, subscriber=LISTS, app_class=CLASSES),
        margin_mos=st.floats(0.0, 4.0),
    ),
    st.builds(Target, weight=st.floats(0.01, 100.0)),
    st.builds(Target, rate_at_least_bps=st.integers(1, 10**9).map(lambda k: Rate(1e3 * k))),
    st.builds(Target, share_at_least=st.floats(0.0, 0.5), share_at_most=st.none() | st.floats(0.5, 1.0)),
)
MINUTES = st.integers(0, 24 * 60).map(lambda m: f"{m // 60:02d}:{m % 60:02d}")
WHENS = st.builds(
    When,
    days=st.lists(st.sampled_from(DAYS), unique=True, max_size=6).map(tuple),
    start=MINUTES,
    end=MINUTES,
    time_zone=st.sampled_from(["UTC", "Europe/Rome", "America/New_York"]),
)
TIMES = st.none() | st.integers(10**9, 2 * 10**9).map(lambda s: dt.datetime.fromtimestamp(s, dt.UTC))
INTENTS = st.builds(
    Intent,
    name=NAMES,
    target=TARGETS,
    who=st.builds(Who, tier=LISTS, subscriber=LISTS),
    what=st.builds(What, app_class=CLASSES, application=LISTS),
    when=WHENS,
    where=st.builds(Where, cell=LISTS, direction=st.sampled_from(["", "down", "up"])),
    priority=st.integers(1, 100),
    valid_from=TIMES,
).flatmap(lambda intent: st.sampled_from([None, 1.0, 86_400.0]).map(lambda after_s: ending(intent, after_s)))


def ending(intent: Intent, after_s: float | None) -> Intent:
    """Let an intent expire some time after it begins, or never."""
    start = intent.valid_from or dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return intent if after_s is None else replace(intent, expires=start + dt.timedelta(seconds=after_s))


def through_json(document: Any) -> Any:
    """Take a document through JSON, which has no NaN."""
    return json.loads(json.dumps(document, allow_nan=False))


def summary(status: Status = Status.FULFILLED, n_intervals: int = 100, **changes: Any) -> IntentSummary:
    """Make a summary as a loop would have it."""
    met = n_intervals if status is Status.FULFILLED else n_intervals // 2
    values: dict[str, Any] = {
        "intent": "peak",
        "status": status,
        "n_intervals": n_intervals,
        "n_met": met,
        "n_not_applicable": 3,
        "met_ratio": met / n_intervals if n_intervals else math.nan,
        "value": 4.1 if n_intervals else math.nan,
        "target": 4.0,
        "reasons": {} if status is Status.FULFILLED else {"capacity": n_intervals - met},
        "since_s": AT_S - 60 if n_intervals else math.nan,
        "spells": (),
    }
    return IntentSummary(**values | changes)


@settings(max_examples=50)
@given(INTENTS)
def test_tmf921_round_trip(intent: Intent) -> None:
    """An intent written as TMF921 obeys the schemas of what is and what is sent; read, it is the same."""
    document = through_json(tmf921.write_intent(intent))
    assert errors(TMF921, "Intent", document) == []
    assert errors(TMF921, "Intent_FVO", document) == []
    assert tmf921.read_intents(document) == ([intent], [])


@settings(max_examples=50)
@given(INTENTS)
def test_ts28312_round_trip(intent: Intent) -> None:
    """An intent written as TS 28.312 is of just one type of expectation; read again it is the same."""
    document = through_json(ts28312.write_intent(intent, summary=summary(Status.DEGRADED)))
    assert errors(TS28312_17, "Intent-Single", document) == []
    assert errors(TS28312_176, "Intent-Single", document) == []
    again, aside = ts28312.read_intents(document)
    assert aside == []
    if intent.target.rate_at_least_bps is not None:  # in Mbit/s there
        assert again[0].target.rate_at_least_bps == pytest.approx(intent.target.rate_at_least_bps, rel=1e-12)
        again = [replace(again[0], target=intent.target)]
    assert again == [intent]


@settings(max_examples=25)
@given(st.lists(INTENTS, unique_by=lambda intent: intent.name, max_size=4))
def test_toml_round_trip(intents: list[Intent]) -> None:
    """An intents file that is written is read as the same intents."""
    file = IntentsFile(intents=tuple(intents), time_zone="Europe/Rome", groups={"a": ("x",)})
    assert convert(tomllib.loads(write_toml(file)), IntentsFile) == file


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("n_intervals", [0, 100])
def test_reports_are_valid(status: Status, n_intervals: int) -> None:
    """Whatever became of an intent, its reports obey the schemas and tell the state in their words."""
    intent = Intent(name="enterprise first at peak", target=Target(mos_at_least=4.0))
    told = summary(status, n_intervals)
    report = through_json(tmf921.write_report(intent, told, AT_S))
    assert errors(TMF921, "IntentReport", report) == []
    text = json.dumps(report)
    assert ("icm:StateDegrades" in text) == (status in (Status.DEGRADED, Status.FULFILMENTFAILED))
    assert errors(TS28312_17, "Intent-Single", through_json(ts28312.write_intent(intent, summary=told))) == []
    conflict = Conflict("capacity", ("other", intent.name), "ana", "now", "too much", "less")
    document = through_json(ts28312.write_report(intent, told, AT_S, conflicts=[conflict]))
    assert errors(TS28312_18, "IntentReport-Single", document) == []
    info = document["intentFulfilmentReport"]["intentFulfilmentInfo"]
    assert info["fulfilmentStatus"] == ("FULFILLED" if status is Status.FULFILLED else "NOT_FULFILLED")
    assert info.get("notFullfilledState", "FULFILLED") == str(status)
    assert document["intentConflictReports"][0]["conflictingIntent"].endswith("Intent=other")


def test_the_schemas_bite() -> None:
    """What breaks the published rules is found: the check of the checks."""
    intent = Intent(name="peak", target=Target(mos_at_least=4.0))
    report = tmf921.write_report(intent, summary(), AT_S)
    assert errors(TMF921, "IntentReport", report | {"intent": {"@type": "IntentRef", "id": "1"}})
    assert errors(TMF921, "IntentReport", {k: v for k, v in report.items() if k != "@type"})
    assert errors(TMF921, "IntentReport", report | {"creationDate": "yesterday"})
    document = ts28312.write_intent(intent, summary=summary())
    expectation = document["intentExpectations"][0]
    ambiguous = expectation | {"expectationObjects": [{"objectType": "RAN_SubNetwork"}]}
    assert errors(TS28312_17, "Intent-Single", document | {"intentExpectations": [ambiguous]})
    vague = {k: v for k, v in expectation.items() if k != "expectationObject"}
    assert errors(TS28312_176, "Intent-Single", document | {"intentExpectations": [vague]})
    assert errors(TS28312_17, "Intent-Single", document | {"intentFulfilmentInfo": {"fulfilStatus": "MET"}})


def test_tmf921_of_others_is_read() -> None:
    """Prefixes, lists and texts of other systems are understood; what cannot be served is named."""
    params = {
        "met:throughput": [{"icm:atLeast": "8 Mbit/s"}],
        "cat:serviceTier": [{"icm:value": "gold"}, {"icm:value": "platinum"}],
        "met:latency": [{"icm:atMost": "12 ms"}],
        "elb:areaOfService": [{"geo:geographicPoints": [{"geo:longitude": 90}]}],
    }
    document = {
        "@type": "Intent",
        "name": "EventLiveBroadcast",
        "priority": "1",
        "validFor": {"startDateTime": "2023-10-23T00:30:00.00Z", "endDateTime": "2024-10-19T23:30:00.00Z"},
        "expression": {
            "@type": "JsonLdExpression",
            "iri": "urn:x",
            "expressionValue": {
                "@context": {"icm": "http://tio.models.tmforum.org/tio/v3.4.0/IntentCommonModel/"},
                "idan:Event1": {
                    "@type": "icm:Intent",
                    "icm:hasExpectation": {
                        "idan:Delivery": {"@type": "icm:DeliveryExpectation", "icm:params": {"x:mos": 5}},
                        "idan:Property": {"@type": "icm:PropertyExpectation", "icm:params": params},
                    },
                },
            },
        },
    }
    (intent,), aside = tmf921.read_intents(document)
    assert intent.target == Target(rate_at_least_bps=Rate(8e6))
    assert intent.who == Who(tier=("gold", "platinum"))
    assert (intent.priority, intent.span_s) == (1, (1698021000.0, 1729380600.0))
    assert [line.rsplit(":", 1)[0].rsplit(".", 1)[1] for line in aside] == [
        "met:latency",
        "elb:areaOfService",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"priority": "first"}, "$.priority: 'first' is no finite number"),
        ({"name": 3}, "$.name: Expected `str`, got `int`"),
        (
            {"expression": {"@type": "TurtleExpression", "expressionValue": "@prefix x: <y> ."}},
            "$.expression.expressionValue: a TurtleExpression is not read; send a JsonLdExpression",
        ),
        (
            {"expression": {"@type": "JsonLdExpression", "expressionValue": {}}},
            "$: nothing here can be served: give a target on mos, rate, share or weight",
        ),
        ({"validFor": {"endDateTime": "soon"}}, "$: expires: 'soon' is no time: write 2026-12-31T23:00:00Z"),
    ],
)
def test_tmf921_refusals(change: dict[str, Any], message: str) -> None:
    """A bad document is refused in one line with the path; the refusal can be sent as a report."""
    document = tmf921.write_intent(Intent(name="peak", target=Target(mos_at_least=4.0))) | change
    with pytest.raises(ConfigError) as caught:
        tmf921.read_intents(document)
    assert str(caught.value) == message
    report = through_json(tmf921.write_rejection("peak", str(caught.value), AT_S))
    assert errors(TMF921, "IntentReport", report) == []
    assert "icm:StateRejected" in json.dumps(report)


def test_ts28312_of_others_is_read() -> None:
    """A RAN intent on throughput becomes a rate; several expectations and targets become several intents."""
    thpt = {"targetName": "AveDLRANUEThpt", "targetCondition": "IS_GREATER_THAN", "targetValueRange": 8}
    sinr = {"targetName": "LowSINRRatio", "targetCondition": "IS_LESS_THAN", "targetValueRange": 5}
    mos = {"targetName": "MOS", "targetCondition": "IS_GREATER_THAN", "targetValueRange": [3.5]}
    cell = "SubNetwork=1,ManagedElement=7,GNBDUFunction=1,NRCellDU=busy\\,3"
    document = {
        "id": "i1",
        "attributes": {
            "userLabel": "two",
            "intentPriority": 7,
            "intentExpectations": [
                {
                    "expectationId": "a",
                    "expectationObjects": [{"objectType": "RAN_SubNetwork", "objectInstance": cell}],
                    "expectationTargets": [thpt, sinr],
                },
                {"expectationId": "b", "expectationObject": {}, "expectationTargets": [mos]},
            ],
        },
    }
    (first, second), aside = ts28312.read_intents(document)
    assert (first.name, first.target, first.priority) == ("two a", Target(rate_at_least_bps=Rate(8e6)), 7)
    assert first.where == Where(cell="busy,3", direction="down")
    assert (second.name, second.target) == ("two b", Target(mos_at_least=3.5))
    assert aside == ["$.attributes.intentExpectations[0].expectationTargets[1]: low_sinrratio is left aside"]


JUNK = (
    None,
    True,
    -1,
    0,
    3.7,
    10**30,
    math.inf,
    math.nan,
    "",
    "x",
    "a=b",
    "99:99-1:1",
    [],
    {},
    [[]],
    {"a": 1},
)


@settings(max_examples=300)
@given(st.data())
def test_whatever_comes_is_read_or_refused(data: st.DataObject) -> None:
    """A document with something odd anywhere in it is read as valid intents, or refused in one line."""
    intent = Intent(name="peak", target=Target(mos_at_least=4.0, users_ratio=0.9), when=When(days="mon"))
    module = data.draw(st.sampled_from([tmf921, ts28312]))
    document = through_json(module.write_intent(intent))
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = document
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = data.draw(st.sampled_from(keys)) if keys else None
            if key is None or not isinstance(at[key], dict | list) or data.draw(st.booleans()):
                break
            at = at[key]
        if key is not None:
            at[key] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
    read, refusal = [], ""
    try:
        read, _ = module.read_intents(document)
    except ConfigError as error:
        refusal = str(error)
    assert bool(read) != bool(refusal)
    assert "\n" not in refusal
    assert [e for one in read for e in errors(TMF921, "Intent", through_json(tmf921.write_intent(one)))] == []


def test_what_another_network_element_means_is_told() -> None:
    """An intent on an element that is no cell is not silently widened to all cells."""
    target = {"targetName": "MOS", "targetCondition": "IS_GREATER_THAN", "targetValueRange": 3}
    expectation = {
        "expectationObjects": [{"objectInstance": "SubNetwork=1,ManagedElement=7"}],
        "expectationTargets": [target],
    }
    _, aside = ts28312.read_intents({"id": "i1", "intentExpectations": [expectation]})
    assert aside == [
        "$.intentExpectations[0].expectationObjects[0].objectInstance: managed_element is left aside"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intentExpectations": []}, "$.intentExpectations: an intent needs an expectation"),
        ({"intentExpectations": ["x"]}, "$.intentExpectations[0]: an object is needed"),
        ({"userLabel": None, "id": None}, "$: an intent needs a userLabel or an id"),
        (
            {"intentExpectations": [{"expectationObjects": [{"objectInstance": "here"}]}]},
            "$.intentExpectations[0].expectationObjects[0].objectInstance: 'here' is no distinguished name:"
            " write SubNetwork=1,tier=gold",
        ),
        (
            {"intentExpectations": [{"expectationTargets": [{"targetName": 3}]}]},
            "$.intentExpectations[0].expectationTargets[0]: a target needs a name and a condition, both text",
        ),
    ],
)
def test_ts28312_refusals(change: dict[str, Any], message: str) -> None:
    """A bad document is refused in one line with the path."""
    document = ts28312.write_intent(Intent(name="peak", target=Target(mos_at_least=4.0))) | change
    with pytest.raises(ConfigError) as caught:
        ts28312.read_intents(document)
    assert str(caught.value) == message


CELLS = decode(
    {
        "cell": [
            {
                "name": "busy",
                "capacity_down": "20M",
                "subscriber": [
                    {"name": "ana", "addresses": ["10.45.0.2", "2001:db8:1::/64"]},
                    {"name": "+123456789", "addresses": ["10.45.0.3"]},
                ],
            }
        ]
    }
)
FILE = IntentsFile(
    profiles={
        "QOS_E": Profile(target=Target(mos_at_least=4.0), priority=5, max_duration_s=3600),
        "QOS_L": Profile(target=Target(rate_at_least_bps=Rate(8.5e6))),
    }
)
REQUEST: dict[str, Any] = {
    "device": {"ipv6Address": "2001:db8:1::7", "phoneNumber": "+999999999"},
    "applicationServer": {"ipv4Address": "198.51.100.0/24"},
    "qosProfile": "QOS_E",
    "duration": 600,
    "sink": "https://application-server.com/notifications",
}


def session() -> camara.Session:
    """Make a session of ana's."""
    return camara.create_session(REQUEST, FILE, AT_S, cells=CELLS)


def outcome(at_s: float, state: State) -> Outcome:
    """Make what an interval said of the session's intent."""
    return Outcome(at_s, "busy", "down", "session", state, 1, 1, 4.0, 4.0, None)


def test_a_session_is_an_intent_with_an_end() -> None:
    """A session promises its profile to the device's subscriber, from now until its duration is over."""
    made = session()
    intent = made.intent()
    assert (intent.who, intent.target, intent.priority) == (
        Who(subscriber="ana"),
        Target(mos_at_least=4.0),
        5,
    )
    assert intent.span_s == (AT_S, AT_S + 600)
    assert FILE.with_intents((intent,)).intents[0].applies(AT_S + 599)
    assert not intent.applies(AT_S + 600)
    assert errors(CAMARA, "SessionInfo", through_json(made.info())) == []
    assert made.info()["device"] == {"ipv6Address": "2001:db8:1::7"}


def test_a_session_runs_its_course() -> None:
    """REQUESTED, AVAILABLE when first met, UNAVAILABLE when its time is over: two events, both valid."""
    made = session()
    assert made.update(AT_S + 1, outcome(AT_S + 1, State.NOT_MET)) is None
    available = made.update(AT_S + 5, outcome(AT_S + 5, State.MET))
    assert available is not None
    assert available["data"]["qosStatus"] == "AVAILABLE"
    assert made.update(AT_S + 6, outcome(AT_S + 6, State.MET)) is None
    assert made.info()["startedAt"] == "2026-11-25T09:00:05Z"
    made.extend(60)
    assert made.intent().span_s[1] == AT_S + 5 + 660
    over = made.update(AT_S + 5 + 660)
    assert over is not None
    assert over["data"] == {
        "sessionId": made.session_id,
        "qosStatus": "UNAVAILABLE",
        "statusInfo": "DURATION_EXPIRED",
    }
    for event in (available, over):
        assert errors(CAMARA, "EventQosStatusChanged", through_json(event)) == []
    assert errors(CAMARA, "SessionInfo", through_json(made.info())) == []
    assert made.info()["duration"] == 660
    assert made.delete(AT_S + 700) is None


def test_a_session_ends_before_its_time() -> None:
    """The network ends a session that it could not keep for a minute; its owner ends it at once."""
    made = session()
    assert made.update(AT_S + 59, outcome(AT_S + 59, State.NOT_MET)) is None
    event = made.update(AT_S + 60, outcome(AT_S + 60, State.NOT_MET))
    assert event is not None
    assert event["data"]["statusInfo"] == "NETWORK_TERMINATED"
    assert errors(CAMARA, "SessionInfo", through_json(made.info())) == []
    other = session()
    event = other.delete(AT_S + 3)
    assert event is not None
    assert event["data"]["statusInfo"] == "DELETE_REQUESTED"
    assert other.intent().span_s[1] == AT_S + 3
    with pytest.raises(ConfigError, match="only an available one can be extended"):
        other.extend(5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qosProfile": "QOS_M"}, "$.qosProfile: no QoS profile 'QOS_M'; did you mean"),
        ({"duration": 3601}, "$.duration: must be 1 to 3600 s, not 3601"),
        ({"duration": "long"}, "$.duration: Expected `int`, got `str`"),
        ({"device": {"ipv6Address": "x"}}, "$.device.ipv6Address: 'x' is no IP address"),
        (
            {"device": {"phoneNumber": "+999999999"}},
            "$.device: whose device it is cannot be told from phoneNumber",
        ),
    ],
)
def test_session_refusals(change: dict[str, Any], message: str) -> None:
    """A request that cannot be served is refused with the path."""
    with pytest.raises(ConfigError) as caught:
        camara.create_session(REQUEST | change, FILE, AT_S, cells=CELLS)
    assert str(caught.value).startswith(message)


def test_devices_by_their_other_identifiers() -> None:
    """A device is found by its private address, or by a phone number that is a subscriber's name."""
    address = {"ipv4Address": {"publicAddress": "203.0.113.0", "privateAddress": "10.45.0.3"}}
    by_address = camara.create_session(REQUEST | {"device": address}, FILE, AT_S, cells=CELLS)
    phone = {"device": {"phoneNumber": "+123456789"}}
    by_phone = camara.create_session(REQUEST | phone, FILE, AT_S, cells=CELLS)
    assert by_address.subscriber == by_phone.subscriber == "+123456789"
    assert errors(CAMARA, "SessionInfo", through_json(by_phone.info())) == []


def test_the_catalogue_of_profiles() -> None:
    """Profiles are told in CAMARA's words; a rate is a whole number of a unit."""
    profiles = through_json(camara.write_profiles(FILE))
    assert [errors(CAMARA, "QosProfile", profile) for profile in profiles] == [[], []]
    assert profiles[1]["targetMinDownstreamRate"] == {"value": 8, "unit": "Mbps"}
    with pytest.raises(ConfigError, match="3 to 256 letters"):
        camara.write_profiles(IntentsFile(profiles={"a b": Profile(target=Target(weight=2.0))}))
