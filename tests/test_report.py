"""What is written for people: sentences, tables, the page and its pictures; and the result as JSON."""

from __future__ import annotations

import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import results
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.report import charts, html, story, tables, text
from qoe.report.charts import Point, Series
from qoe.report.result import ReplayResult, to_json

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that elements close in order; collects what a browser would load or run."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Close the element opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self.words.append(data)


# words and numbers


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.7, "1 kB"),
        (19_240_000, "19.2 MB"),
        (999_700, "1 MB"),
        (1.5e12, "1.5 TB"),
        (5e16, "50,000 TB"),
    ],
)
def test_quantities_have_a_prefix_and_three_digits(value: float, want: str) -> None:
    """A quantity is written as its unit's usual multiple."""
    assert text.si(value, "B") == want


@given(st.floats(0, 1e15))
@settings(deadline=None)
def test_quantities_keep_their_size(value: float) -> None:
    """What is written, read back, is within half a percent of the value."""
    number, unit = text.si(value, "B").replace(",", "").split(" ")
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert math.isclose(float(number) * scale, value, rel_tol=0.005, abs_tol=1e-300)


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (0.5, "0.5 s"),
        (60, "60 s"),
        (59.84, "59.8 s"),
        (150, "2 min 30 s"),
        (7260, "2 h 1 min"),
        (200_000, "2 d 7 h"),
        (5000, "83 min 20 s"),
    ],
)
def test_durations_are_two_units_at_most(seconds: float, want: str) -> None:
    """A length of time is written with its two largest units."""
    assert text.duration(seconds) == want


@pytest.mark.parametrize(
    ("value", "word"), [(1.2, "bad"), (2.0, "poor"), (3.4, "fair"), (4, "good"), (4.6, "excellent")]
)
def test_a_mos_has_its_word(value: float, word: str) -> None:
    """Each MOS takes the word of the nearest category of P.800."""
    assert text.mos_word(value) == word


@pytest.mark.parametrize("time_s", [-1e18, 1e18, math.inf, math.nan])
def test_times_that_no_calendar_has(time_s: float) -> None:
    """A wild clock is written as a number, not an error."""
    assert text.clock(time_s).endswith(" s")
    assert text.date(time_s).endswith(" s")


def test_names_cannot_steer_a_terminal() -> None:
    """Escape sequences and line breaks in names are shown, not sent."""
    assert text.printable("\x1b[31mred\n") == "\\x1b[31mred\\n"
    assert text.printable("Zoë 雪") == "Zoë 雪"


# sentences


def test_the_story_names_who_suffers_and_what_changes() -> None:
    """Who is below fair, the gain, the bound and who gains and gives are all told."""
    told = " ".join(story.sentences(results.result()))
    assert "1 of 2 subscribers had less than fair quality (MOS below 3): ana (2.20)" in told
    assert "raise the weighted mean MOS of 2 bearers from 2.50 to 3.25" in told
    assert "no weights can give more than 3.26" in told
    details = " ".join(story.cell_details(results.cell()))
    assert "Who gains: ana's video (2.00 to 3.50)" in details
    assert "Who gives: ben's bulk (3.40 to 3.00)" in details


def test_no_gain_is_claimed_from_a_lower_bound() -> None:
    """With the capacity from the trace the story says so and nothing of a gain."""
    told = " ".join(story.sentences(results.result(cells=[results.held()])))
    assert "lower bound. No gain is claimed: give --capacity or --cells." in told
    assert "raise" not in told


def test_a_load_above_the_capacity_is_doubted() -> None:
    """More carried than the cell is said to carry: the capacity given is called into question."""
    assert "more than fits" in story.load_sentence(results.cell(load_bps=2.4e7, load_ratio=1.2))
    assert "more than fits" not in story.load_sentence(results.cell())


def test_promises_that_cost_more_than_they_bring_are_told() -> None:
    """Where proportional fairness has the higher mean, the floors' price is named; else it is not."""
    dear = " ".join(story.cell_details(results.cell(counterfactual_pf=3.6)))
    assert "proportional fairness without any would give a mean MOS of 3.60, not 3.25" in dear
    assert "promises have a price" not in " ".join(story.cell_details(results.cell()))


def test_a_small_change_is_not_sold_as_a_gain() -> None:
    """A hundredth of a MOS is "about as good as they can be"."""
    (told,) = story.change_sentence(results.cell(mos_before=3.24, mos_after=3.25))
    assert "about as good as they can be" in told


# tables


def test_tables_fit_in_100_columns() -> None:
    """No line of the usual report is wider than 100 columns, and columns line up."""
    lines = tables.render(results.result()).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "busy.pcapng: 1,234 packets, 5.6 MB, 42 flows, 60 s"
    header = next(line for line in lines if line.startswith("Class"))
    row = next(line for line in lines if line.startswith("video"))
    assert header.index("MOS") + 3 == row.index("2.20") + 4


def test_the_table_says_partial_and_lower_bound() -> None:
    """What was cut short and what is a lower bound stand in plain words."""
    shown = tables.render(results.result(partial=True, warnings=["cut"], cells=[results.held()]))
    assert "PARTIAL" in shown
    assert "capacity 20 Mbit/s (a lower bound, from the trace)" in shown
    assert "bound " not in shown.split("MOS measured")[1].splitlines()[0]


def test_a_crowd_is_cut_to_the_worst() -> None:
    """Of many subscribers the worst served are listed and the number of the others is told."""
    crowd = [results.subscriber(f"user-{i}", 1.0 + i / 100) for i in range(100)]
    shown = tables.render(results.result(subscribers=crowd[::-1]))
    assert "user-0 " in shown
    assert "user-99" not in shown
    assert "60 more" in shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bold_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings are bold on a terminal; not in a pipe, not with NO_COLOR, not on a dumb one."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1m" in tables.render(results.result(), tables.bold_for(_Terminal()))
    assert "\x1b" not in tables.render(results.result(), tables.bold_for(io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in tables.render(results.result(), tables.bold_for(_Terminal()))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in tables.render(results.result(), tables.bold_for(_Terminal()))


# the page


@pytest.mark.parametrize("cells", [[results.cell()], [results.held()], []], ids=["optimised", "held", "none"])
def test_the_page_is_well_formed_and_whole(cells: list[Any]) -> None:
    """Elements close in order, and nothing is run or loaded from elsewhere."""
    source = html.render(results.result(cells=cells))
    page = Page(source)
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(page.tags)
    assert not [a for a in page.attributes if a[0] in {"src", "href"} or a[0].startswith("on")]
    assert not re.search(r"https?://|url\(|@import", source)


def test_the_page_has_its_pictures() -> None:
    """MOS by class and by subscriber, and the load of each cell: one picture each, with a title."""
    source = html.render(results.result())
    titles = re.findall(r"<svg[^>]*><title>([^<]*)</title>", source)
    assert titles == [
        "MOS by application class over time",
        "MOS by subscriber over time",
        "Load of Cell busy, downlink",
    ]


def test_hostile_names_stay_text() -> None:
    """Markup in names of captures, subscribers, cells and tiers shows as text everywhere."""
    evil = "<script>alert('x')</script>&\"\x00"
    found = results.result(
        names=(evil, "ben"),
        subscribers=[results.subscriber(evil, cell=evil, tier=evil)],
        cells=[
            results.cell(cell=evil, allocations=[results.allocation(evil)], shed=[evil], below_mos_2=[evil])
        ],
        warnings=[evil],
    )
    page = Page(html.render(found))
    assert "script" not in page.tags
    assert "alert" in "".join(page.words)
    assert "\x00" not in html.render(found)


def test_an_empty_result_is_a_page_and_a_table() -> None:
    """Without a packet there is still a report that says so."""
    empty = results.result(
        packets=0, bytes=0, flows=0, duration_s=0.0, classes=[], subscribers=[], cells=[], timeline=[]
    )
    Page(html.render(empty))
    assert "0 packets" in tables.render(empty)


# pictures


def test_colours_of_mos_run_from_red_to_blue() -> None:
    """Bad is red, excellent is blue, outside is clipped."""
    red, blue = charts.mos_colour(1.0), charts.mos_colour(5.0)
    assert int(red[1:3], 16) > 2 * int(red[5:7], 16)
    assert int(blue[5:7], 16) > 2 * int(blue[1:3], 16)
    assert (charts.mos_colour(-3), charts.mos_colour(99)) == (red, blue)


@given(st.integers(241, 600), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_bins_keep_the_mean(n: int, seed: int) -> None:
    """Averaging into bins changes neither the total time nor the mean over it."""
    points = [Point(i + 1.0, 1.0, 1.0 + (i * 7919 + seed) % 401 / 100) for i in range(n)]
    bins = charts.binned(points, float(n))
    assert len(bins) <= 240
    total = sum(p.value for p in points)
    weights = [sum(b.time_s - b.duration_s < p.time_s - 1e-9 <= b.time_s for p in points) for b in bins]
    assert math.isclose(sum(b.value * w for b, w in zip(bins, weights, strict=True)), total, rel_tol=0.02)


def test_a_line_breaks_where_nothing_was_measured() -> None:
    """Two spells of points an hour apart are two strokes."""
    points = [Point(float(t), 1.0, 3.0) for t in (1, 2, 3, 3600, 3601)]
    drawn = charts.mos_lines("t", [Series("video", "#000", points)], 3601.0)
    assert re.findall(r' d="([^"]*)"', drawn)[0].count("M") == 2


def test_a_strip_is_one_rectangle_a_level() -> None:
    """Equal neighbours are one rectangle; a new level, or a hole, begins another."""
    points = [Point(1, 1, 2.0), Point(2, 1, 2.05), Point(3, 1, 4.0), Point(9, 1, 4.0)]
    drawn = charts.mos_strips("t", [Series("ana", "#000", points)], 10.0)
    assert drawn.count("<rect") == 3
    assert "ana, 0 to 2 s: MOS 2.0, poor" in drawn


def test_labels_do_not_lie_on_one_another() -> None:
    """Lines that end at the same value have names a line of text apart, within the picture."""
    series = [Series(f"s{i}", "#000", [Point(1.0, 1.0, 4.99)]) for i in range(6)]
    drawn = charts.mos_lines("t", series, 1.0)
    heights = sorted(float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*class="name"', drawn))
    assert len(heights) == 6
    assert all(b - a >= 14.9 for a, b in pairwise(heights))


@given(st.floats(1e-3, 1e9))
@settings(deadline=None)
def test_time_axes_have_a_handful_of_ticks(span_s: float) -> None:
    """Any length of time has 1 to 11 ticks, from 0 on and within the picture."""
    ticks = charts.time_ticks(span_s)
    assert 1 <= len(ticks) <= 11
    assert ticks[0][0] == 0
    assert ticks[-1][0] <= span_s * (1 + 1e-6)


# JSON


def test_json_comes_back_as_the_same_result() -> None:
    """The object read back is the result; the class is under its own name."""
    found = results.result()
    data = to_json(found)
    assert msgspec.json.decode(data, type=ReplayResult) == found
    assert json.loads(data)["classes"][0]["class"] == "video"


def test_json_has_no_nan() -> None:
    """NaN and infinity become null, which every reader takes."""
    data = to_json(results.result(first_s=math.nan, last_s=math.inf))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(data, parse_constant=refuse)["first_s"] is None
