"""Cells files: what is read, and what is refused with which words."""

from __future__ import annotations

import ipaddress
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qoe.config import Cell, CellsConfig, Subscriber, Tier, decode, load_cells
from qoe.errors import ConfigError
from qoe.toml import parse_rate

WHOLE = """
horizon_s = 5
[class_weight]
voip = 1.5
[tier.gold]
weight = 2.0
floor_mos = 3.5
[[cell]]
name = "busy"
capacity_down = "20 Mbit/s"
capacity_up = 6e6
[[cell.subscriber]]
name = "ana"
addresses = ["10.45.0.2", "2001:db8:1::/64"]
tier = "gold"
weight = 1.5
efficiency_down = "40 Mbit/s"
[[cell.subscriber]]
name = "bob"
addresses = ["10.45.0.3"]
"""


def write(tmp_path: Path, text: str) -> Path:
    """Put `text` into a file named cells.toml."""
    path = tmp_path / "cells.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tmp_path: Path, text: str) -> str:
    """Return the one line that a bad file is refused with, without its directory."""
    with pytest.raises(ConfigError) as caught:
        load_cells(write(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path}/")


def test_whole_file(tmp_path: Path) -> None:
    """Every key of the format arrives in its field, rates in bit/s, absent ones at their default."""
    config = load_cells(write(tmp_path, WHOLE))
    assert config.horizon_s == 5
    assert config.class_weights == {"voip": 1.5}
    assert config.tiers == {"gold": Tier(weight=2.0, floor_mos=3.5)}
    (cell,) = config.cells
    assert (cell.name, cell.capacity_down_bps, cell.capacity_up_bps) == ("busy", 20e6, 6e6)
    ana, bob = cell.subscribers
    assert (ana.addresses, ana.tier, ana.weight) == (("10.45.0.2", "2001:db8:1::/64"), "gold", 1.5)
    assert (ana.efficiency_down_bps, ana.efficiency_up_bps) == (40e6, None)
    assert (bob.tier, bob.weight) == ("", 1.0)


def test_defaults() -> None:
    """A cell with a name and one capacity is enough; the horizon is 10 s."""
    config = decode({"cell": [{"name": "a", "capacity_up": 1000}]})
    assert config == CellsConfig(cells=(Cell(name="a", capacity_up_bps=1000.0),))
    assert config.horizon_s == 10


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        (
            "tier = ",
            "tir = ",
            "cells.toml: $.cell[0].subscriber[0].tir: unknown key; did you mean 'tier'?",
        ),
        ("horizon_s", "horizon", "cells.toml: $.horizon: unknown key; did you mean 'horizon_s'?"),
        ("floor_mos", "floor", "cells.toml: $.tier.gold.floor: unknown key; did you mean 'floor_mos'?"),
        ("voip =", "voice =", "cells.toml: $.class_weight.voice: unknown class; did you mean 'voip'?"),
        ("capacity_up", "speed", "cells.toml: $.cell[0].speed: unknown key; known: name, capacity_down"),
        ('"gold"\nw', '"god"\nw', "$.cell[0].subscriber[0].tier: no tier 'god'; did you mean 'gold'?"),
        ("10.45.0.3", "10.45.0.300", "$.cell[0].subscriber[1]: '10.45.0.300' is not an IP address"),
        (
            "10.45.0.3",
            "10.45.0.3/24",
            "'10.45.0.3/24' is not an IP address or prefix: write the prefix without",
        ),
        ("10.45.0.3", "10.45.0.2", "an address of 'bob' is also 'ana''s in cell 'busy'; keep each"),
        (
            '"bob"',
            '"ana"',
            "$.cell[0].subscriber[1].name: subscriber 'ana' is already at $.cell[0].subscriber[0]",
        ),
        ("6e6", "-1", "$.cell[0].capacity_up: a rate must be positive and finite, not -1"),
        ("6e6", "nan", "$.cell[0].capacity_up: a rate must be positive and finite, not nan"),
        ("6e6", "0", "$.cell[0].capacity_up: a rate must be positive and finite, not 0"),
        ("6e6", '"6 MB/s"', "$.cell[0].capacity_up: '6 MB/s' counts bytes"),
        ("weight = 1.5", "weight = 0", "$.cell[0].subscriber[0]: weight must be 1e-6 to 1e6"),
        ("weight = 2.0", "weight = inf", "$.tier.gold: weight must be 1e-6 to 1e6, not inf"),
        ("= 3.5", "= 6", "$.tier.gold: floor_mos must be 1 to 5, not 6"),
        ("voip = 1.5", 'voip = "x"', "$.class_weight.voip: Expected `float`, got `str`"),
        ("voip = 1.5", "voip = -2", "$.class_weight.voip: must be 1e-6 to 1e6, not -2"),
        ("horizon_s = 5", "horizon_s = 0", "$: horizon_s must be positive and finite, not 0"),
        ('name = "busy"\n', "", "$.cell[0]: the key 'name' is missing"),
        ('["10.45.0.3"]', "[]", "subscriber 'bob' needs at least one address"),
        ('["10.45.0.3"]', "[7]", "$.cell[0].subscriber[1].addresses[0]: Expected `str`, got `int`"),
        (
            "[tier.gold]",
            "[tier.gold",
            "cells.toml: not TOML: Expected ']' at the end of a table declaration (at line 5",
        ),
    ],
)
def test_refusals(tmp_path: Path, find: str, put: str, message: str) -> None:
    """One change to a good file is refused with the key's path and how to mend it."""
    assert WHOLE.count(find) >= 1
    assert message in refusal(tmp_path, WHOLE.replace(find, put, 1))


def test_two_cells_share_nothing(tmp_path: Path) -> None:
    """A name, or a prefix inside another cell's, is refused; so are two cells of one name."""
    other = (
        '[[cell]]\nname = "quiet"\ncapacity_up = 1e6\n[[cell.subscriber]]\nname = "eve"\naddresses = ["{}"]\n'
    )
    assert load_cells(write(tmp_path, WHOLE + other.format("10.45.0.4"))).cells[1].name == "quiet"
    nested = refusal(tmp_path, WHOLE + other.format("2001:db8:1::7"))
    assert "$.cell[1].subscriber[0].addresses: an address of 'eve' is also 'ana''s in cell 'busy'" in nested
    assert "cell 'quiet'" in refusal(tmp_path, WHOLE + other.format("10.45.0.0/16"))
    assert "is already at" in refusal(tmp_path, WHOLE + other.format("1.1.1.1").replace("eve", "ana"))
    assert "second cell" in refusal(tmp_path, WHOLE + other.format("1.1.1.1").replace("quiet", "busy"))


def test_longest_prefix_within_a_cell() -> None:
    """Nested prefixes are allowed inside one cell, where the longest wins."""
    home = Subscriber(name="home", addresses=("10.0.0.0/8",))
    guest = Subscriber(name="guest", addresses=("10.0.0.9",))
    config = CellsConfig(cells=(Cell(name="a", capacity_up_bps=1.0, subscribers=(guest, home)),))
    assert [s.name for _, _, s in config.subscribers()] == ["guest", "home"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a directory, bytes that are no text and a file without cells each say so."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_cells(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_cells(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8 at byte 8"):
        load_cells(tmp_path / "bytes.toml")
    assert refusal(tmp_path, "") == "cells.toml: $: the key 'cell' is missing"
    assert refusal(tmp_path, "cell = []") == "cells.toml: $.cell: at least one [[cell]] is needed"
    assert "Expected `array`, got `int`" in refusal(tmp_path, "cell = 3")
    assert "Expected `object`, got `int`" in refusal(tmp_path, "tier = 3\ncell = []")
    assert "'a' needs capacity_down or capacity_up" in refusal(tmp_path, '[[cell]]\nname = "a"')


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("20 Mbit/s", 20e6),
        ("20M", 20e6),
        ("20Mbps", 20e6),
        (" 1.5 Gb/s ", 1.5e9),
        ("64kbit/s", 64e3),
        ("64 K", 64e3),
        ("9600 bit/s", 9600.0),
        ("2e7", 2e7),
        ("2.5e-1 Mbit/s", 250e3),
        (20_000_000, 2e7),
        (1500.5, 1500.5),
    ],
)
def test_rates(text: str | float, bps: float) -> None:
    """The usual spellings of a rate mean bits per second."""
    assert parse_rate(text) == pytest.approx(bps, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "Mbit/s",
        "20 MB/s",
        "20 Mibit/s",
        "20 megabit",
        "-3M",
        "0",
        "inf",
        "nan",
        "1..2M",
        "1e999",
        True,
    ],
)
def test_not_rates(text: str | float) -> None:
    """What is no positive rate is refused, with the way to write one."""
    with pytest.raises(ConfigError, match="20 Mbit/s"):
        parse_rate(text)


@given(st.floats(1e3, 1e12))
def test_rate_text_round_trip(bps: float) -> None:
    """A number written as text is the same rate."""
    assert parse_rate(f"{bps!r} bit/s") == bps
    assert parse_rate(f"{bps!r}k") == pytest.approx(bps * 1e3, rel=1e-12)


prefixes = st.builds(
    lambda first, length: str(ipaddress.ip_network((first << 24, length), strict=False)),
    st.integers(0, 7),
    st.integers(4, 12),
)


@given(st.lists(st.tuples(prefixes, st.integers(0, 1)), min_size=2, max_size=6))
def test_overlap_agrees_with_ipaddress(entries: list[tuple[str, int]]) -> None:
    """The sweep over sorted prefixes refuses exactly the pairs that a comparison of all pairs refuses."""
    cells = tuple(
        Cell(
            name=f"c{c}",
            capacity_up_bps=1.0,
            subscribers=tuple(
                Subscriber(name=f"s{n}", addresses=(prefix,))
                for n, (prefix, cell) in enumerate(entries)
                if cell == c
            ),
        )
        for c in (0, 1)
    )
    clash = any(
        a == b or (c != d and ipaddress.ip_network(a).overlaps(ipaddress.ip_network(b)))
        for (a, c), (b, d) in combinations(entries, 2)
    )
    if clash:
        with pytest.raises(ConfigError, match="keep each address in one cell"):
            CellsConfig(cells=cells)
    else:
        CellsConfig(cells=cells)
