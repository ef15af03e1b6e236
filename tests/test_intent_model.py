"""Intents files: what is read, what is refused; days and hours on the clocks of places."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.errors import ConfigError
from qoe.intent import Intent, IntentsFile, Target, load_intents
from qoe.intent.model import Others, Profile, What, Where, Who
from qoe.intent.schedule import DAYS, When, changes, weekdays
from qoe.intent.select import patterns_meet
from qoe.toml import Rate, convert

EXAMPLE = Path(__file__).parent.parent / "examples" / "intents.toml"
WEIGHT = Target(weight=2.0)


def at(text: str) -> float:
    """Give a time, written with its offset, in seconds since 1970."""
    return dt.datetime.fromisoformat(text).timestamp()


def test_the_example() -> None:
    """Every part of the format arrives in its field."""
    file = load_intents(EXAMPLE)
    first, calls, on_call, gold, bulk, match = file.intents
    assert first == Intent(
        name="enterprise first at peak",
        priority=10,
        who=Who(tier="gold"),
        what=What(app_class=("voip", "video", "gaming", "web")),
        when=When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
        target=Target(mos_at_least=4.0),
    )
    assert calls.target == Target(mos_at_least=3.5, users_ratio=0.95)
    assert (on_call.who.group, file.groups) == (("on-call",), {"on-call": ("finn", "kaya")})
    assert gold.target == Target(better_than=Others(tier="silver"), margin_mos=0.2)
    assert (bulk.target.share_at_least, bulk.target.share_at_most) == (None, 0.3)
    assert match.span_s == (at("2026-12-05T20:00+01:00"), at("2026-12-05T23:00+01:00"))
    assert match.where == Where(cell="busy", direction="down")
    assert file.profiles["QOS_L"] == Profile(target=Target(rate_at_least_bps=Rate(2e6)), priority=25)


def test_the_documents_example() -> None:
    """What docs/intents.md shows is of the example file."""
    text = (EXAMPLE.parent.parent / "docs" / "intents.md").read_text(encoding="utf-8")
    shown = convert(tomllib.loads(text.split("```toml\n")[1].split("```")[0]), IntentsFile)
    file = load_intents(EXAMPLE)
    assert len(shown.intents) == 3
    assert set(map(repr, shown.intents)) <= set(map(repr, file.intents))
    assert shown.groups == file.groups


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who = { teir = 'gold' }", "$.intent[0].who.teir: unknown key; did you mean 'tier'?"),
        ("what = { class = 'vidio' }", "$.intent[0].what: unknown class 'vidio'; did you mean 'video'?"),
        ("where = { direction = 'left' }", "$.intent[0].where: direction must be 'down' or 'up', not 'left'"),
        (
            "when = { days = 'mon-fry' }",
            "$.intent[0].when: 'mon-fry' is no day: write mon, tue, ... or mon-fri",
        ),
        ("when = { from = '25:00' }", "$.intent[0].when: '25:00' is no time of day: write 08:00 to 24:00"),
        ("when = { from = '8' }", "$.intent[0].when: '8' is no time of day: write 08:00 to 24:00"),
        (
            "when = { time_zone = 'Rome' }",
            "$.intent[0].when: no time zone 'Rome': write an IANA name such as Europe/Rome",
        ),
        ("priority = 0", "$.intent[0]: priority must be 1 (first) to 100, not 0"),
        (
            "who = { group = 'crew' }",
            "$.intent[0].who.group: no group 'crew'; add it to [group]: crew = [...]",
        ),
        (
            "expires = 2026-01-01T00:00:00Z\nvalid_from = 2026-01-01T00:00:00Z",
            "$.intent[0]: intent 'a' expires before it is valid",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    """What cannot be is refused with the path of the key and how to mend it."""
    raw = tomllib.loads(f"[[intent]]\nname = 'a'\ntarget = {{ weight = 2 }}\n{text}")
    with pytest.raises(ConfigError) as caught:
        convert(raw, IntentsFile)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "one target is needed, of mos_at_least, better_than, weight, rate_at_least, share; here are 0"),
        (
            "mos_at_least = 4, weight = 2",
            "one target is needed, of mos_at_least, better_than, weight, rate_at_least, share; here are 2",
        ),
        ("mos_at_least = 5.5", "mos_at_least must be 1 to 5, not 5.5"),
        ("mos_at_least = nan", "mos_at_least must be 1 to 5, not nan"),
        ("mos_at_least = 4, users_ratio = 0", "users_ratio must be above 0, to 1, not 0.0"),
        ("weight = 2, users_ratio = 0.5", "users_ratio belongs to mos_at_least"),
        ("weight = 0", "weight must be 1e-6 to 1e6, not 0.0"),
        ("weight = 2, margin_mos = 1", "margin_mos belongs to better_than"),
        ("better_than = {}, margin_mos = 4.5", "margin_mos must be 0 to 4, not 4.5"),
        ("share_at_least = 0.5, share_at_most = 0.4", "share_at_least 0.5 is above share_at_most 0.4"),
        ("share_at_most = 1.5", "share_at_most must be 0 to 1, not 1.5"),
    ],
)
def test_refused_targets(target: str, message: str) -> None:
    """A target is of one kind, and in its range."""
    raw = tomllib.loads(f"[[intent]]\nname = 'a'\ntarget = {{ {target} }}")
    with pytest.raises(ConfigError) as caught:
        convert(raw, IntentsFile)
    assert str(caught.value) == f"$.intent[0].target: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_zone = 'Mars'", "$.time_zone: no time zone 'Mars': write an IANA name such as Europe/Rome"),
        ("[group]\ncrew = []", "$.group.crew: a group needs a member"),
        (
            2 * "[[intent]]\nname = 'a'\ntarget = { weight = 2 }\n",
            "$.intent[1].name: 'a' is already the name of $.intent[0]",
        ),
        (
            "[profile.QOS_E]\ntarget = { weight = 2 }\nmax_duration_s = 0",
            "$.profile.QOS_E: max_duration_s must be 1 or more, not 0",
        ),
    ],
)
def test_refused_files(tmp_path: Path, text: str, message: str) -> None:
    """What is wrong with the file as a whole is told with the file's name."""
    path = tmp_path / "intents.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_intents(path)
    assert str(caught.value) == f"{path}: {message}"


def test_what_means_the_same_is_equal() -> None:
    """Days, hours and names have one form, however they were written."""
    assert When(days=("fri", "mon", "tue-thu"), start="8:00") == When(days="mon-fri", start="08:00")
    assert When(days="mon-sun") == When()
    assert When(days="sat-mon").days == ("sat-mon",)
    assert Who(tier="gold") == Who(tier=("gold",))
    assert str(When(days="mon-fri", start="08:00", end="18:00")) == "mon-fri 08:00-18:00 (UTC)"


def test_groups_are_resolved_for_those_who_know_none() -> None:
    """Without groups an intent names their members; what cannot be said so is an error."""
    file = IntentsFile(groups={"crew": ("ana", "unit-*")})
    than = Target(better_than=Others(group="crew"))
    resolved = file.without_groups(Intent(name="a", who=Who(group="crew"), target=than))
    assert resolved.who == Who(subscriber=("ana", "unit-*"))
    assert resolved.target.better_than == Others(subscriber=("ana", "unit-*"))
    both = Intent(name="b", who=Who(group="crew", subscriber=("ana", "ben")), target=WEIGHT)
    assert file.without_groups(both).who == Who(subscriber="ana")
    with pytest.raises(ConfigError, match="no name in common"):
        file.without_groups(Intent(name="c", who=Who(group="crew", subscriber="ben"), target=WEIGHT))


@pytest.mark.parametrize(
    ("when", "time", "expected"),
    [
        (
            When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
            "2026-07-01T08:00+02:00",
            True,
        ),
        (
            When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
            "2026-07-01T05:59+00:00",
            False,
        ),
        (
            When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
            "2026-12-01T06:30+00:00",
            False,
        ),
        (
            When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
            "2026-12-01T07:00+00:00",
            True,
        ),
        (
            When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
            "2026-12-01T18:00+01:00",
            False,
        ),
        (
            When(days="mon-fri", start="08:00", end="18:00", time_zone="Europe/Rome"),
            "2026-12-05T09:00+01:00",
            False,
        ),
        (When(days="fri", start="22:00", end="02:00"), "2026-11-28T01:59+00:00", True),  # Saturday morning
        (When(days="fri", start="22:00", end="02:00"), "2026-11-27T01:00+00:00", False),  # Friday morning
        (When(days="fri", start="22:00", end="02:00"), "2026-11-28T22:30+00:00", False),  # Saturday evening
        (When(days="sun", start="06:00", end="06:00"), "2026-11-30T05:59+00:00", True),  # 24 hours
        (When(days="sun", start="06:00", end="06:00"), "2026-11-29T05:59+00:00", False),
        # 29 March 2026: 02:00 to 03:00 does not come; 25 October 2026: it comes twice
        (When(start="02:30", end="03:30", time_zone="Europe/Rome"), "2026-03-29T01:00+00:00", True),
        (When(start="02:30", end="03:30", time_zone="Europe/Rome"), "2026-03-29T00:59+00:00", False),
        (When(start="02:30", end="02:45", time_zone="Europe/Rome"), "2026-10-25T00:35+00:00", True),
        (When(start="02:30", end="02:45", time_zone="Europe/Rome"), "2026-10-25T01:35+00:00", True),
        (When(start="02:30", end="02:45", time_zone="Europe/Rome"), "2026-10-25T01:00+00:00", False),
    ],
)
def test_days_and_hours_on_the_walls_clock(when: When, time: str, expected: bool) -> None:
    """Hours keep their place through summer time, past midnight and in a double hour."""
    assert when.covers(at(time)) is expected


@pytest.mark.parametrize("start_date", ["2026-03-27", "2026-10-23", "2026-11-20"])
@settings(max_examples=15)
@given(
    days=st.lists(st.sampled_from(DAYS), unique=True).map(tuple),
    start=st.integers(0, 1440),
    end=st.integers(0, 1440),
    time_zone=st.sampled_from(["UTC", "Europe/Rome", "America/St_Johns", "Australia/Lord_Howe"]),
    minute=st.integers(0, 3 * 1440),
)
def test_the_next_change_is_that_of_a_walk_by_minutes(
    start_date: str, days: tuple[str, ...], start: int, end: int, time_zone: str, minute: int
) -> None:
    """Walking minute by minute over changes of the clock finds the same next change."""
    clock = [f"{m // 60:02d}:{m % 60:02d}" for m in (start, end)]
    when = When(days=days, start=clock[0], end=clock[1], time_zone=time_zone)
    now = at(f"{start_date}T00:00+00:00") + 60.0 * minute
    state = when.covers(now)
    walk = (now + 60.0 * k for k in range(1, 8 * 1440))
    expected = next((t for t in walk if when.covers(t) != state), None)
    found = next(changes(when.covers, when, (float("-inf"), float("inf")), now), None)
    assert found == expected or (expected is None and found is not None and found > now + 8 * 86_400 - 60)


def test_the_next_change_knows_validity() -> None:
    """An intent begins when it is valid and ends when it expires, hours apart."""
    start, end = dt.datetime(2027, 5, 1, 9, tzinfo=dt.UTC), dt.datetime(2027, 5, 3, 9, tzinfo=dt.UTC)
    intent = Intent(
        name="a", target=WEIGHT, when=When(start="12:00", end="14:00"), valid_from=start, expires=end
    )
    found = changes(intent.applies, intent.when, intent.span_s, at("2026-11-25T12:00+00:00"))
    clock = [dt.datetime.fromtimestamp(t, dt.UTC).strftime("%m-%d %H:%M") for t in found]
    assert clock == ["05-01 12:00", "05-01 14:00", "05-02 12:00", "05-02 14:00"]


@given(st.lists(st.sampled_from(DAYS), unique=True, min_size=1))
def test_days_are_written_as_they_are_read(days: list[str]) -> None:
    """The compact form of any days names the same days."""
    assert weekdays(When(days=tuple(days)).days) == {DAYS.index(day) for day in days}


@given(st.text("ab*?", max_size=5), st.text("ab*?", max_size=5))
def test_patterns_meet_where_some_text_matches_both(one: str, two: str) -> None:
    """Trying all short texts finds a common one exactly where two patterns are said to meet."""
    regexes = [
        re.compile(re.escape(p).replace(r"\*", "[ab]*").replace(r"\?", "[ab]")).fullmatch for p in (one, two)
    ]
    texts = [""]
    for length in range(9):
        texts += [t + c for t in texts if len(t) == length for c in "ab"]
    assert patterns_meet(one, two) == any(all(match(t) for match in regexes) for t in texts)
