"""Flows joined with subscribers: against cases worked out by hand and a scan with the ipaddress module."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.addresses import addresses_of, within
from qoe.config import Cell, CellsConfig, Subscriber, Tier
from qoe.schema import FLOW_DTYPE, AppClass, Tunnel
from qoe.subscribers import SubscriberTable


def make_flows(*ends: tuple[Any, ...]) -> np.ndarray:
    """Build flows from (src, dst) or (src, src_port, dst, dst_port) in words."""
    flows = np.zeros(len(ends), FLOW_DTYPE)
    for flow, end in zip(flows, ends, strict=True):
        src, src_port, dst, dst_port = end if len(end) == 4 else (end[0], 50000, end[1], 443)
        for name, text in (("src", src), ("dst", dst)):
            packed = ipaddress.ip_address(text).packed
            flow[name][: len(packed)] = list(packed)
        flow["ip_version"] = ipaddress.ip_address(src).version
        flow["src_port"], flow["dst_port"] = src_port, dst_port
    return flows


def make_config(*prefixes: str, **cell: Any) -> CellsConfig:
    """Build one cell with a subscriber s0, s1, … for each prefix."""
    served = tuple(Subscriber(name=f"s{i}", addresses=(p,)) for i, p in enumerate(prefixes))
    return CellsConfig(cells=(Cell(name="c", **({"capacity_down_bps": 1e6} | cell), subscribers=served),))


def owners(table: SubscriberTable, flows: np.ndarray) -> list[str]:
    """Name the subscriber of each flow; empty for nobody."""
    match = table.match(flows)
    assert np.array_equal(match.subscriber >= 0, match.side >= 0)
    return [table.names[i] if i >= 0 else "" for i in match.subscriber]


@given(
    st.lists(st.one_of(st.ip_addresses(), st.ip_addresses(network="10.0.0.0/7")), max_size=20),
    st.lists(st.sampled_from(["10.0.0.0/8", "11.0.0.1/32", "0.0.0.0/0", "fc00::/7", "::/128"]), max_size=4),
)
@settings(deadline=None)
def test_within_is_that_of_the_standard_library(
    hosts: list[ipaddress.IPv4Address | ipaddress.IPv6Address], prefixes: list[str]
) -> None:
    """An address lies in a prefix of its own version if ipaddress says so; IPv6 prefixes hold no IPv4."""
    flows = make_flows(*((str(host), str(host)) for host in hosts))
    hosts = [(host.version == 6 and host.ipv4_mapped) or host for host in hosts]  # as the module has it
    nets = [ipaddress.ip_network(prefix) for prefix in prefixes]
    got = within(addresses_of(flows, "src"), tuple(prefixes))
    assert got.tolist() == [any(host in net for net in nets) for host in hosts]


def test_match_by_prefix() -> None:
    """The longest prefix wins, IPv4 and IPv6 do not meet, and the side says which end it was."""
    table = SubscriberTable.from_config(
        make_config("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "a00::/8")
    )
    flows = make_flows(
        ("10.9.9.9", "1.1.1.1"),
        ("1.1.1.1", "10.1.9.9"),
        ("10.1.2.3", "1.1.1.1"),
        ("2001:db8:1::7", "2600::1"),
        ("2600::1", "2600::2"),
        ("11.0.0.1", "1.1.1.1"),
        ("10.1.2.3", "10.9.9.9"),
        ("2600::1", "a01:203::"),
    )
    assert owners(table, flows) == ["s0", "s1", "s2", "s3", "", "", "s2", "s4"]
    assert table.match(flows).side.tolist() == [0, 1, 0, 0, -1, -1, 0, 1]


def test_match_of_nothing() -> None:
    """No flows and no subscribers are empty arrays, not errors."""
    assert len(SubscriberTable.from_config(make_config()).match(make_flows()).subscriber) == 0
    assert owners(SubscriberTable.from_config(make_config()), make_flows(("1.1.1.1", "2.2.2.2"))) == [""]
    assert len(SubscriberTable.inferring().match(make_flows()).subscriber) == 0


v4 = st.integers(0, 2**32 - 1).map(lambda n: ipaddress.IPv4Address(n & 0xE0C00003))
v6 = st.integers(0, 2**128 - 1).map(lambda n: ipaddress.IPv6Address(n & (0xC003 << 112 | 0xC003 << 56 | 3)))
nets = st.one_of(
    st.builds(
        lambda a, n: ipaddress.ip_network((int(a), n), strict=False),
        v4,
        st.sampled_from([0, 1, 8, 9, 31, 32]),
    ),
    st.builds(
        lambda a, n: ipaddress.ip_network((a, n), strict=False),
        v6,
        st.sampled_from([0, 1, 16, 63, 64, 65, 127, 128]),
    ),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(nets, unique=True, max_size=8),
    st.lists(st.one_of(st.tuples(v4, v4), st.tuples(v6, v6)), max_size=12),
)
def test_match_agrees_with_ipaddress(prefixes: list[Any], pairs: list[Any]) -> None:
    """The vectorised search gives what a scan of all prefixes with the ipaddress module gives."""

    def scan(address: Any) -> int:
        hits = [(net.prefixlen, i) for i, net in enumerate(prefixes) if address in net]
        return max(hits)[1] if hits else -1

    match = SubscriberTable.from_config(make_config(*map(str, prefixes))).match(make_flows(*pairs))
    for (src, dst), subscriber, side in zip(pairs, *match, strict=True):
        expected = (scan(src), 0) if scan(src) >= 0 else (scan(dst), 1 if scan(dst) >= 0 else -1)
        assert (subscriber, side) == expected


def test_table_terms() -> None:
    """Weight is tier times own, the floor is the tier's, efficiency NaN where the file has none."""
    config = CellsConfig(
        tiers={"tin": Tier(weight=0.5), "gold": Tier(weight=2.0, floor_mos=3.5), "lead": Tier(floor_mos=3.5)},
        class_weights={"voip": 3.0},
        cells=(
            Cell(name="a", capacity_up_bps=1e6, subscribers=(Subscriber(name="x", addresses=("10.0.0.1",)),)),
            Cell(
                name="b",
                capacity_down_bps=2e6,
                subscribers=(
                    Subscriber(
                        name="y",
                        addresses=("10.0.0.2", "fd00::/64"),
                        tier="gold",
                        weight=1.5,
                        efficiency_up_bps=9e5,
                    ),
                ),
            ),
        ),
    )
    table = SubscriberTable.from_config(config)
    assert (table.names, table.tiers, table.cell.tolist()) == (["x", "y"], ["", "gold"], [0, 1])
    assert table.weight.tolist() == [1.0, 3.0]
    np.testing.assert_equal(table.floor_mos, [np.nan, 3.5])
    np.testing.assert_equal(table.efficiency_bps, [[np.nan, np.nan], [np.nan, 9e5]])
    np.testing.assert_equal(table.capacity_bps, [[np.nan, 1e6], [2e6, np.nan]])
    assert table.class_weight[AppClass.VOIP] == 3.0
    assert table.class_weight.sum() == 9.0
    assert table.tier_names == ["gold", "lead", "tin"]


@pytest.mark.parametrize(
    ("src", "dst", "owner"),
    [
        ("10.0.0.5", "8.8.8.8", "10.0.0.5"),
        ("8.8.8.8", "192.168.1.5", "192.168.1.5"),
        ("100.64.3.4", "8.8.8.8", "100.64.3.4"),
        ("8.8.8.8", "172.31.255.1", "172.31.255.1"),
        ("8.8.8.8", "172.32.0.1", "8.8.8.8"),
        ("2600::1", "fd12::9", "fd12::9"),
        ("10.0.0.5", "239.255.255.250", "10.0.0.5"),
        ("8.8.8.8", "239.1.1.1", ""),
        ("fe80::1", "ff02::fb", ""),
        ("fe80::1", "2600::1", ""),
        ("0.0.0.0", "255.255.255.255", ""),
        ("169.254.1.1", "10.0.0.5", "10.0.0.5"),
    ],
)
def test_inferred_by_range(src: str, dst: str, owner: str) -> None:
    """The private end is the subscriber; multicast, link-local and the like never are."""
    assert owners(SubscriberTable.inferring(), make_flows((src, dst))) == [owner]


def test_inferred_by_service() -> None:
    """Between equals the end that answers less is served, whoever sent a flow's first packet."""
    flows = make_flows(
        ("5.5.5.5", 40001, "9.9.9.1", 443),
        ("5.5.5.5", 40002, "9.9.9.2", 8443),
        ("9.9.9.3", 443, "5.5.5.5", 40003),
        ("9.9.9.4", 7000, "5.5.5.5", 7001),
    )
    table = SubscriberTable.inferring()
    assert owners(table, flows) == ["5.5.5.5"] * 4
    assert table.match(flows).side.tolist() == [0, 0, 1, 1]
    many = make_flows(*[(f"6.6.6.{i}", "9.9.9.9") for i in range(5)], ("9.9.9.9", "6.6.6.1"))
    assert owners(SubscriberTable.inferring(), many) == [f"6.6.6.{i}" for i in range(5)] + ["6.6.6.1"]
    lan = make_flows(("192.168.0.7", 5353, "192.168.0.1", 53))
    assert owners(SubscriberTable.inferring(), lan) == ["192.168.0.7"]


def test_inferred_inner_addresses() -> None:
    """In a GTP-U tunnel the user's inner address is the subscriber, whichever way came first."""
    flows = make_flows(("8.8.8.8", "10.45.0.2"), ("10.45.0.3", "8.8.8.8"))
    flows["tunnel"] = Tunnel.GTPU
    assert owners(SubscriberTable.inferring(), flows) == ["10.45.0.2", "10.45.0.3"]


def test_inferred_table_grows_and_is_bounded() -> None:
    """Indices stay as more subscribers come; past the bound flows are nobody's and counted."""
    table = SubscriberTable.inferring(max_subscribers=3)
    assert owners(table, make_flows(("10.0.0.9", "8.8.8.8"), ("10.0.0.9", "8.8.4.4"))) == ["10.0.0.9"] * 2
    assert owners(table, make_flows(("10.0.0.1", "8.8.8.8"), ("10.0.0.9", "8.8.8.8"))) == [
        "10.0.0.1",
        "10.0.0.9",
    ]
    third = owners(
        table, make_flows(("10.0.0.4", "8.8.8.8"), ("10.0.0.5", "8.8.8.8"), ("10.0.0.1", "8.8.8.8"))
    )
    assert third == ["10.0.0.4", "", "10.0.0.1"]
    assert table.n_refused == 1
    assert table.names == ["10.0.0.9", "10.0.0.1", "10.0.0.4"]
    for terms in (table.cell, table.weight, table.floor_mos, table.efficiency_bps, table.tiers):
        assert len(terms) == 3
