"""Explanations as people read them: sentences, rows, the picture of the trade-off, the optimiser's page."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import Any

import pytest
import results
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import Page

from qoe.optimise import allocation_to_dict, explain, explained_to_dict, solve
from qoe.report import answers, html, tables
from qoe.report.explained import explained
from qoe.report.trade_off import trade_off
from qoe.tools.cells import random_cells

EVIL = "<script>alert('x')</script>&\"\x00"


def told(**changed: Any) -> str:
    """The sentences of the usual explanation, with something changed."""
    return " ".join(explained(results.explanation(**changed), 2e7))


def test_prices_are_told() -> None:
    """Capacity in its own unit and in MOS, each dear promise with what it gives and takes."""
    assert "1 % more capacity (200 kbit/s) would add 0.012 to the mean MOS." in told()
    assert (
        "That gold counts more gives 1 bearer 0.50 MOS in the mean and costs the others 0.25 each." in told()
    )
    assert (
        "The floor of ana/video gives 1 bearer 0.20 MOS in the mean and costs the others 0.10 each." in told()
    )
    assert "would add nothing" in told(
        capacity_price=results.CapacityPrice(mean_mos_per_percent=0, mean_mos_per_mbps=0)
    )
    free = results.PromisePrice(kind="floor", name="x", n_members=1, own_mos=0.0, others_mos=0.001)
    assert "floor" not in told(promise_prices=[free])


def test_who_is_badly_off_is_told_with_what_would_help() -> None:
    """Since when, what share, what it takes from others, what capacity; or what stands in the way."""
    want = (
        "ben's bulk ends at MOS 1.60, below 2 since 22:13:23 UTC; 12 % of the airtime would give it 2"
        " and cost the others 0.031 each, or 7.0 % more capacity for it alone."
    )
    assert want in told()
    new = results.badly_off(since_s=None, others_mos=None)
    assert "ends at MOS 1.60; 12 % of the airtime would give it 2, or 7.0 %" in told(badly_off=[new])
    for obstacle, words in (
        ("radio", "its radio is too weak"),
        ("path", "no share lifts it"),
        ("promises", "room"),
    ):
        stuck = results.badly_off(obstacle=obstacle, needed_share_ratio=None, others_mos=None)
        assert words in told(badly_off=[stuck])
    crowd = [results.badly_off(f"u{i}") for i in range(9)]
    assert "5 more bearers are below MOS 2 or their floor." in told(badly_off=crowd)


def test_tables_have_the_policies() -> None:
    """What each policy would give stands below the cell, within 100 columns."""
    shown = tables.render(results.result(cells=[results.cell(explanation=results.explanation())]))
    assert max(map(len, shown.splitlines())) <= 100
    row = next(line for line in shown.splitlines() if "strict priority" in line)
    assert row.split()[2:] == ["2.95", "1.50", "3", "4"]


def test_the_page_explains() -> None:
    """The cell's section has the sentences, the policies and the picture, and is well formed."""
    cell = results.cell(explanation=results.explanation())
    source = html.render(results.result(cells=[cell]))
    words = "".join(Page(source).words)
    assert "That gold counts more" in words
    assert "equal shares" in words
    assert "<title>Trade-off of Cell busy, downlink</title>" in source


def test_hostile_names_stay_text() -> None:
    """Markup in the names of tiers and subscribers shows as text in page and answers."""
    price = results.PromisePrice(kind="tier_weight", name=EVIL, n_members=1, own_mos=1.0, others_mos=1.0)
    why = results.explanation(badly_off=[results.badly_off(EVIL)], promise_prices=[price])
    page = Page(html.render(results.result(cells=[results.cell(cell=EVIL, explanation=why)])))
    assert "script" not in page.tags
    (cell,) = random_cells(1, 1, 4)
    (allocation,) = solve([cell])
    answer = explained_to_dict(allocation, explain([cell], [allocation])[0]) | {"cell": EVIL}
    answer["allocations"][0]["subscriber"] = answer["explanation"]["policies"][0]["policy"] = EVIL
    answered = answers.render([answer])
    assert "script" not in Page(answered).tags
    assert "alert" in answered
    assert "\x00" not in answered


def test_the_answers_are_a_page() -> None:
    """Each cell a section, with or without an explanation; the largest shares first, cut to a hundred."""
    cells = random_cells(4, 2, (3, 120))
    allocations = solve(cells)
    brief = [allocation_to_dict(a) for a in allocations]
    source = answers.render(brief)
    assert [len(re.findall("<section", source)), source.count("<svg")] == [2, 0]
    why = explain(cells, allocations)
    full = answers.render(explained_to_dict(a, e) for a, e in zip(allocations, why, strict=True))
    Page(full)
    assert full.count("<svg") == 2


mos = st.floats(1.0, 5.0)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(mos, mos), min_size=5, max_size=5), st.lists(st.tuples(mos, mos), max_size=6))
def test_the_picture_holds_all_points(
    dots: list[tuple[float, float]], front: list[tuple[float, float]]
) -> None:
    """Every policy and every point of the front is drawn within the picture, further up for a higher mean."""
    names = ("allocation", "pf", "weighted_pf", "strict_priority", "equal")
    why = results.explanation(
        policies=[
            results.PolicyResult(policy=n, mean_mos=m, p5_mos=p, n_below_2=0, n_below_3=0)
            for n, (m, p) in zip(names, dots, strict=True)
        ],
        trade_off=[
            results.TradeOffPoint(alpha=float(i), mean_mos=m, p5_mos=p) for i, (m, p) in enumerate(front)
        ],
    )
    drawn = trade_off("t", why)
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert len(places) == len(dots) + len(front)
    assert all(112 <= x <= 896 and 14 <= y <= 314 for x, y in places)
    both = sorted(zip(front + dots, places, strict=True), key=lambda pair: pair[0][0])
    assert all(a[1][1] >= b[1][1] - 0.11 for a, b in pairwise(both))
    for name in ("these weights", "strict priority", "equal shares"):
        assert f">{name}</text>" in drawn


def test_names_in_the_picture_do_not_cover_one_another() -> None:
    """Five policies at almost one point still have names apart."""
    crowd = [
        results.PolicyResult(policy=n, mean_mos=3.0 + i / 1e3, p5_mos=2.0, n_below_2=0, n_below_3=0)
        for i, n in enumerate(("allocation", "pf", "weighted_pf", "strict_priority", "equal"))
    ]
    drawn = trade_off("t", results.explanation(policies=crowd))
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*class="name"[^>]*>([^<]*)<', drawn)
    assert len(found) == 5
    boxes = [(float(x), float(y), 6.0 * len(name)) for x, y, name in found]
    for (x, y, width), (other_x, other_y, other_width) in combinations(boxes, 2):
        apart = x + width <= other_x or other_x + other_width <= x
        assert apart or abs(y - other_y) >= 12


@pytest.mark.parametrize(
    "policies",
    [[], [results.PolicyResult(policy="pf", mean_mos=None, p5_mos=None, n_below_2=0, n_below_3=0)]],
)
def test_nothing_to_draw_is_no_picture(policies: list[Any]) -> None:
    """Without a policy that could be judged there is no picture."""
    assert trade_off("t", results.explanation(policies=policies)) == ""
