"""Compiling intents for a cell, and finding their conflicts before they apply."""

from __future__ import annotations

import datetime as dt
import fnmatch
import math
import tomllib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.intent import Bearers, Conflict, IntentsFile, compile_intents, find_conflicts
from qoe.intent.select import matching
from qoe.toml import convert

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC).timestamp()  # a Wednesday
CELL = Bearers(
    "city-1",
    "down",
    ["ana", "ana", "ben", "chloe", "dev"],
    ["video", "voip", "video", "bulk", "web"],
    ["gold", "gold", "silver", "silver", None],
    ["netflix", "teams", "youtube", None, "shop"],
)


def file_of(text: str) -> IntentsFile:
    """Read an intents file from its text."""
    return convert(tomllib.loads(text), IntentsFile)


def intents(*lines: str, head: str = "") -> IntentsFile:
    """Make an intents file of one line an intent: what stands in its table, named a, b, c ..."""
    tables = [
        f"[[intent]]\nname = '{chr(97 + i)}'\n" + line.replace(";", "\n") for i, line in enumerate(lines)
    ]
    return file_of("\n".join((head, *tables)))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("who = { tier = 'gold' }", [0, 1]),
        ("who = { tier = ['gold', 'sil*'] }", [0, 1, 2, 3]),
        ("what = { class = 'video' }", [0, 2]),
        ("who = { tier = 'gold' }; what = { class = 'video' }", [0]),
        ("who = { subscriber = '?e*' }", [2, 4]),
        ("who = { group = 'crew' }", [2, 3]),
        ("who = { group = 'crew', tier = 'silver', subscriber = 'ben' }", [2]),
        ("what = { application = 'net*' }", [0]),
        ("where = { cell = 'city-*' }", [0, 1, 2, 3, 4]),
        ("where = { cell = 'town-*' }", []),
        ("where = { direction = 'up' }", []),
        ("when = { from = '12:01' }", []),
        ("expires = 2026-11-25T12:00:00Z", []),
        ("valid_from = 2026-11-25T12:00:00Z", [0, 1, 2, 3, 4]),
    ],
)
def test_whom_an_intent_concerns(selector: str, expected: list[int]) -> None:
    """Tier, group, subscriber, class, application, cell, direction and time all choose."""
    file = intents(f"{selector}; target = {{ mos_at_least = 3 }}", head="[group]\ncrew = ['ben', 'chl*']")
    compiled = compile_intents(file, CELL, NOON)
    assert np.flatnonzero(compiled.concerned[0]).tolist() == expected
    assert np.flatnonzero(compiled.floor_mos == 3.0).tolist() == expected
    assert np.isnan(compiled.floor_mos).sum() == 5 - len(expected)


@given(st.lists(st.text("ab-", max_size=4)), st.lists(st.text("ab-*?", max_size=4), min_size=1, max_size=3))
def test_matching_is_that_of_fnmatch(values: list[str], patterns: list[str]) -> None:
    """Patterns of stars and question marks mean what the shell's mean."""
    expected = [any(fnmatch.fnmatchcase(value, p) for p in patterns) for value in values]
    assert matching(values, tuple(patterns)).tolist() == expected


def test_weights_multiply_and_the_first_of_the_same_counts() -> None:
    """Different selectors multiply; of the same selector the better priority counts, however it stands."""
    file = intents(
        "who = { tier = 'gold' }; target = { weight = 2 }",
        "what = { class = 'video' }; target = { weight = 3 }",
        "who = { tier = 'gold' }; priority = 10; target = { weight = 5 }",
    )
    assert compile_intents(file, CELL, NOON).weight.tolist() == [15.0, 5.0, 3.0, 1.0, 1.0]


def test_the_highest_floor_and_rate_are_asked_for() -> None:
    """Several floors of a bearer are all kept by the highest; rates likewise."""
    file = intents(
        "who = { tier = 'gold' }; target = { mos_at_least = 3 }",
        "what = { class = 'video' }; target = { mos_at_least = 3.5 }",
        "what = { class = 'video' }; target = { rate_at_least = '2M' }",
        "who = { subscriber = 'ben' }; target = { rate_at_least = '3M' }",
    )
    compiled = compile_intents(file, CELL, NOON)
    assert compiled.floor_mos[:3].tolist() == [3.5, 3.0, 3.5]
    assert compiled.min_rate_bps.tolist() == [2e6, 0.0, 3e6, 0.0, 0.0]


def test_shares_become_groups() -> None:
    """Bounds on the share of the cell become a group of the bearers that are there."""
    file = intents(
        "what = { class = 'bulk' }; target = { share_at_most = 0.3 }",
        "who = { tier = 'gold' }; target = { share_at_least = 0.2 }",
        "who = { tier = 'platinum' }; target = { share_at_least = 0.2 }",
    )
    assert compile_intents(file, CELL, NOON).groups == (("a", (3,), 0.0, 0.3), ("b", (0, 1), 0.2, math.inf))


def test_better_than_starts_with_a_weight_and_learns() -> None:
    """A comparison weighs those it holds above; everyone else are those it does not."""
    file = intents("who = { tier = 'gold' }; target = { better_than = {} }")
    compiled = compile_intents(file, CELL, NOON)
    assert compiled.weight.tolist() == [math.exp(0.5)] * 2 + [1.0] * 3
    assert np.flatnonzero(compiled.others[0]).tolist() == [2, 3, 4]
    learnt = compile_intents(file, CELL, NOON, steer={(0, "city-1", "down"): math.log(8.0)})
    assert learnt.weight[0] == pytest.approx(8.0)
    elsewhere = compile_intents(file, CELL, NOON, steer={(0, "city-2", "down"): math.log(8.0)})
    assert elsewhere.weight[0] == compiled.weight[0]


def test_no_mos_is_asked_where_none_is_judged() -> None:
    """Control traffic and bearers that feed others get no floor, unless their class is named."""
    crowd = Bearers("city-1", "up", ["ana"] * 4, ["video", "other", "unknown", "voip"], ["gold"] * 4)
    judged = np.array([False, True, True, True])
    file = intents(
        "target = { mos_at_least = 3 }", "what = { class = 'other' }; target = { mos_at_least = 2 }"
    )
    compiled = compile_intents(file, crowd, NOON, judged=judged)
    assert np.array_equal(compiled.floor_mos, [np.nan, 2.0, np.nan, 3.0], equal_nan=True)
    better = intents("what = { class = 'voip' }; target = { better_than = {} }")
    assert not compile_intents(better, crowd, NOON, judged=judged).others.any()


def test_no_intents_ask_for_nothing() -> None:
    """A file without intents leaves a cell as it is."""
    compiled = compile_intents(IntentsFile(), CELL, NOON)
    assert compiled.weight.tolist() == [1.0] * 5
    assert np.isnan(compiled.floor_mos).all()
    assert not compiled.min_rate_bps.any()


def kinds(conflicts: Sequence[Conflict]) -> list[tuple[str, tuple[str, ...], bool]]:
    """Give kind, intents and certainty of conflicts."""
    return [(conflict.kind, conflict.intents, conflict.certain) for conflict in conflicts]


ABOVE = "who = {{ tier = '{0}' }}; target = {{ better_than = {{ tier = '{1}' }}, margin_mos = 0.2 }}"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [ABOVE.format("gold", "silver"), ABOVE.format("silver", "gold") + "; priority = 10"],
            [("comparison_cycle", ("b", "a"), True)],
        ),
        (
            [
                ABOVE.format("gold", "silver"),
                ABOVE.format("silver", "bronze"),
                ABOVE.format("bronze", "gold"),
            ],
            [("comparison_cycle", ("a", "b", "c"), True)],
        ),
        ([ABOVE.format("gold", "silver"), ABOVE.format("silver", "bronze")], []),
        ([ABOVE.format("gold", "*"), "who = { tier = 'gold' }; target = { better_than = {} }"], []),
        (
            [
                ABOVE.format("gold", "*"),
                "who = { subscriber = 'ana' }; target = { better_than = { tier = 'g*' } }",
            ],
            [("comparison_cycle", ("a", "b"), False)],
        ),
        (
            [
                ABOVE.format("gold", "silver") + "; when = { to = '12:00' }",
                ABOVE.format("silver", "gold") + "; when = { from = '12:00' }",
            ],
            [],
        ),
        (
            [
                "who = { tier = ['gold', 'x'] }; target = { weight = 2 }",
                "who = { tier = ['x', 'gold'] }; target = { weight = 3 }",
            ],
            [("two_weights", ("a", "b"), True)],
        ),
        (
            [
                "who = { tier = 'gold' }; target = { weight = 2 }",
                "who = { tier = 'gold' }; target = { weight = 3 }; priority = 49",
            ],
            [],
        ),
        (
            [
                "who = { tier = 'gold' }; target = { weight = 2 }; where = { direction = 'up' }",
                "who = { tier = 'gold' }; target = { weight = 3 }; where = { direction = 'down' }",
            ],
            [],
        ),
        (
            ["who = { tier = 'silver' }; target = { mos_at_least = 4.9 }", ABOVE.format("gold", "silver")],
            [("out_of_range", ("a", "b"), True)],
        ),
        (["who = { tier = 'silver' }; target = { mos_at_least = 4.8 }", ABOVE.format("gold", "silver")], []),
        (
            [
                "who = { tier = 'gold' }; target = { share_at_least = 0.6 }",
                "who = { tier = 'silver' }; target = { share_at_least = 0.5 }",
            ],
            [("shares", ("a", "b"), False)],
        ),
        (
            [
                "who = { tier = 'gold' }; target = { share_at_least = 0.6 }",
                "who = { tier = 'gold' }; target = { share_at_most = 0.5 }",
            ],
            [("shares", ("a", "b"), True)],
        ),
        (["target = { weight = 2 }; expires = 2026-01-01T00:00:00Z"], [("never_applies", ("a",), True)]),
    ],
)
def test_contradictions_are_found_by_name(
    lines: list[str], expected: list[tuple[str, tuple[str, ...], bool]]
) -> None:
    """What intents contradict in one another is found from the file alone, whenever it would apply."""
    assert kinds(find_conflicts(intents(*lines), NOON)) == expected


def test_who_is_there_makes_it_certain() -> None:
    """With the bearers known, overlaps that names only suggest are told apart, and idle intents named."""
    pull = [
        ABOVE.format("gold", "silver"),
        "who = { subscriber = 'b*' }; target = { better_than = { tier = 'g*' } }",
    ]
    assert kinds(find_conflicts(intents(*pull), NOON)) == [("comparison_cycle", ("a", "b"), False)]
    assert kinds(find_conflicts(intents(*pull), NOON, [CELL])) == [("comparison_cycle", ("a", "b"), True)]
    apart = [
        ABOVE.format("gold", "silver"),
        ABOVE.replace("tier = '{0}'", "subscriber = 'd*'").format("", "gold"),
    ]
    assert kinds(find_conflicts(intents(*apart), NOON, [CELL])) == []
    nobody = intents("who = { tier = 'glod' }; target = { weight = 2 }")
    assert kinds(find_conflicts(nobody, NOON, [CELL])) == [("matches_nobody", ("a",), True)]


def test_conflicts_are_found_before_they_bite() -> None:
    """Windows in different zones that meet only in summer are found in winter, with the first time."""
    rome = "; when = { from = '09:00', to = '10:00', time_zone = 'Europe/Rome' }"
    arizona = "; when = { from = '00:00', to = '01:00', time_zone = 'America/Phoenix' }"
    file = intents(ABOVE.format("gold", "silver") + rome, ABOVE.format("silver", "gold") + arizona)
    (conflict,) = find_conflicts(file, NOON)
    assert conflict.when == "from 2027-03-28 09:00 (Europe/Rome) on"
    assert conflict.explain() == (
        "'a' and 'b' conflict: each is to be better than the next and the last than the first, by 0.4 MOS in"
        " all (who: tier gold and tier silver; when: from 2027-03-28 09:00 (Europe/Rome) on). To mend: remove"
        " one, or let its hours or its users not overlap the others'."
    )


@given(
    st.tuples(st.integers(0, 47), st.integers(0, 47)),
    st.tuples(st.integers(0, 47), st.integers(0, 47)),
    st.sampled_from(["mon", "wed-fri", "sat-mon", "mon-sun"]),
    st.sampled_from(["mon", "wed-fri", "sat-mon", "mon-sun"]),
)
def test_windows_overlap_where_a_walk_says_so(
    one: tuple[int, int], two: tuple[int, int], days: str, more: str
) -> None:
    """Two intents conflict exactly where a walk through a week finds both to hold."""
    hours = [[f"{h // 2:02d}:{30 * (h % 2):02d}" for h in span] for span in (one, two)]
    whens = [
        f"; when = {{ days = '{d}', from = '{start}', to = '{end}' }}"
        for d, (start, end) in zip((days, more), hours, strict=True)
    ]
    file = intents(ABOVE.format("gold", "silver") + whens[0], ABOVE.format("silver", "gold") + whens[1])
    walk = (NOON + 1800.0 * k for k in range(7 * 48))
    expected = any(all(intent.applies(t) for intent in file.intents) for t in walk)
    assert bool(find_conflicts(file, NOON)) == expected
