"""Who is served: subscribers from a cells file, or inferred from the flows themselves.

Without a cells file the subscribers are inferred, flow by flow, by the first of these rules that tells its
two ends apart:

1. Multicast, broadcast, link-local and unspecified addresses are never subscribers. A flow to or from one
   belongs to its other end if that is a private address, else to nobody.
2. A private address (RFC 1918, 100.64.0.0/10 of RFC 6598, fc00::/7 of RFC 4193) is the subscriber of a flow
   to a public one. This holds for inner addresses of GTP-U and other tunnels too.
3. The end that serves less: that has opened more of the flows at hand, less those it answered.
   Who answers is told by a port below 1024, else by the direction of the flow's first packet.
4. The end that opened this flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from qoe.addresses import Addresses, PrefixTable, addresses_of, as_v6, distinct_addresses, find, text, within
from qoe.config import CellsConfig
from qoe.schema import CLASS_NAMES, AppClass, BoolArray, FloatArray, IntArray, RecordArray

_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
_NEVER: Final = ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/128", "fe80::/10", "ff00::/8")
_WELL_KNOWN_PORTS: Final = 1024


class Match(NamedTuple):
    """Whose each flow is: both arrays have one entry a flow."""

    subscriber: IntArray
    """Index into `SubscriberTable.names`; -1: nobody's."""
    side: IntArray
    """0: the subscriber is the flow's ``src``; 1: it is ``dst``; -1: nobody's."""


class SubscriberTable:
    """Who is served, in which cell, on what terms.

    Build it with `from_config` or, without a cells file, with `inferring`.

    Attributes
    ----------
    names : list of str, length n_subscribers
    tiers : list of str, length n_subscribers
        Empty for none.
    cell : ndarray of int64, shape (n_subscribers,)
        Index into `cell_names`.
    weight, floor_mos : ndarray of float64, shape (n_subscribers,)
        The tier's weight times its own; the tier's floor, NaN for none.
    efficiency_bps : ndarray of float64, shape (n_subscribers, 2)
        Rate it would get alone, down and up; NaN: the cell's capacity.
    class_weight : ndarray of float64, shape (7,)
        By AppClass.
    tier_names : list of str
        Best first: by floor, then weight. The order in which promises are kept when not all can be.
    cell_names : list of str, length n_cells
    capacity_bps : ndarray of float64, shape (n_cells, 2)
        Down and up; NaN: not configured.
    default_cell : int
        Cell of the flows that are nobody's; -1: none.
    n_refused : int
        Flows whose subscriber found the table full (of an inferring table).
    """

    def __init__(self, cell_names: Sequence[str], capacity_bps: FloatArray, default_cell: int = -1) -> None:
        self.names: list[str] = []
        self.tiers: list[str] = []
        self.cell: IntArray = np.zeros(0, np.int64)
        self.weight: FloatArray = np.zeros(0)
        self.floor_mos: FloatArray = np.zeros(0)
        self.efficiency_bps: FloatArray = np.zeros((0, 2))
        self.class_weight: FloatArray = np.ones(len(AppClass))
        self.tier_names: list[str] = []
        self.cell_names = list(cell_names)
        self.capacity_bps = capacity_bps
        self.default_cell = default_cell
        self.n_refused = 0
        self._prefixes = PrefixTable([], [])

    @classmethod
    def from_config(cls, config: CellsConfig) -> SubscriberTable:
        """Build the fixed table of a cells file.

        Parameters
        ----------
        config : CellsConfig

        Returns
        -------
        SubscriberTable
            Subscribers in the order of the file.
        """
        capacity = [[_or_nan(c.capacity_down_bps), _or_nan(c.capacity_up_bps)] for c in config.cells]
        self = cls([c.name for c in config.cells], np.array(capacity).reshape(-1, 2))
        entries = list(config.subscribers())
        self.names = [s.name for _, _, s in entries]
        self.tiers = [s.tier for _, _, s in entries]
        self.cell = np.array([i for i, _, _ in entries], np.int64)
        tier_weight = {name: tier.weight for name, tier in config.tiers.items()}
        tier_floor = {name: _or_nan(tier.floor_mos) for name, tier in config.tiers.items()}
        self.weight = np.array([s.weight * tier_weight.get(s.tier, 1.0) for _, _, s in entries], float)
        self.floor_mos = np.array([tier_floor.get(tier, np.nan) for tier in self.tiers], float)
        rates = [[_or_nan(s.efficiency_down_bps), _or_nan(s.efficiency_up_bps)] for _, _, s in entries]
        self.efficiency_bps = np.array(rates, float).reshape(-1, 2)
        self.class_weight = np.array([config.class_weights.get(name, 1.0) for name in CLASS_NAMES])
        self.tier_names = sorted(
            config.tiers, key=lambda name: (-(config.tiers[name].floor_mos or 0.0), -tier_weight[name])
        )
        owned = [(as_v6(network), i) for i, (_, _, s) in enumerate(entries) for network in s.networks()]
        self._prefixes = PrefixTable([prefix for prefix, _ in owned], [i for _, i in owned])
        return self

    @classmethod
    def inferring(cls, cell_name: str = "capture", max_subscribers: int = 65_536) -> SubscriberTable:
        """Build a table that learns its subscribers from the flows it matches.

        Parameters
        ----------
        cell_name : str
            Name of the one cell; its capacity is not known.
        max_subscribers : int
            Bound of the table: flows of later ones are nobody's, counted in `n_refused`.

        Returns
        -------
        SubscriberTable
            Empty; subscribers are named by their address. The rules stand at the head of this module.
        """
        return _InferringTable(cell_name, max_subscribers)

    def match(self, flows: RecordArray) -> Match:
        """Find the subscriber of each flow; an inferring table also learns new ones.

        Parameters
        ----------
        flows : ndarray of FLOW_DTYPE, shape (n,)

        Returns
        -------
        Match
            A flow between two subscribers belongs to the one that opened it.
        """
        src, dst = (self._prefixes.match(addresses_of(flows, end)) for end in ("src", "dst"))
        side = np.where(src >= 0, 0, np.where(dst >= 0, 1, -1))
        return Match(np.where(src >= 0, src, dst), side)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)


class _InferringTable(SubscriberTable):
    """One cell whose subscribers become known as their flows come by."""

    def __init__(self, cell_name: str, max_subscribers: int) -> None:
        super().__init__([cell_name], np.full((1, 2), np.nan), default_cell=0)
        self._max_subscribers = max_subscribers
        self._known = Addresses(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
        self._order: IntArray = np.zeros(0, np.int64)  # of the sorted addresses, into names

    def match(self, flows: RecordArray) -> Match:
        n_flows = len(flows)
        if not n_flows:
            return Match(np.zeros(0, np.int64), np.zeros(0, np.int64))
        src, dst = addresses_of(flows, "src"), addresses_of(flows, "dst")
        both = Addresses(*(np.concatenate(words) for words in zip(src, dst, strict=True)))
        distinct, ends = distinct_addresses(both)
        place = find(self._known, distinct)
        side = self._sides(flows, distinct, ends.reshape(2, n_flows), place >= 0)
        owner = np.where(side == 1, ends[n_flows:], ends[:n_flows])
        index = self._index(distinct, place, owner[side >= 0])
        subscriber = np.where(side >= 0, index[owner], -1)
        self.n_refused += int(np.count_nonzero((side >= 0) & (subscriber < 0)))
        return Match(subscriber, np.where(subscriber >= 0, side, -1))

    def _sides(
        self, flows: RecordArray, distinct: Addresses, ends: IntArray, is_known: BoolArray
    ) -> IntArray:
        """Which end of each flow is the subscriber, by the rules at the head of this module."""
        private = within(distinct, _PRIVATE)
        never = within(distinct, _NEVER)
        src_private, dst_private = private[ends]
        side = np.where(src_private, 0, 1)
        if np.any(src_private == dst_private):
            side = np.where(src_private == dst_private, _side_by_use(flows, ends, is_known), side)
        if np.any(never):
            for end in (0, 1):
                alone = never[ends[1 - end]]
                side = np.where(alone, np.where(private[ends[end]] & ~never[ends[end]], end, -1), side)
        return side

    def _index(self, distinct: Addresses, place: IntArray, owners: IntArray) -> IntArray:
        """Return the subscriber of each distinct address, -1 for none; learn the owners not yet known.

        `place` is where each address stands among those known, -1 where it does not.
        """
        index = np.full(len(place), -1, np.int64)
        index[place >= 0] = self._order[place[place >= 0]]
        unknown = owners[index[owners] < 0]
        if len(unknown):
            new = np.unique(unknown)[: self._max_subscribers - len(self.names)]
            index[new] = np.arange(len(self.names), len(self.names) + len(new))
            self._learn(Addresses(distinct.high[new], distinct.low[new]))
        return index

    def _learn(self, new: Addresses) -> None:
        first = len(self.names)
        self.names += [text(int(high), int(low)) for high, low in zip(new.high, new.low, strict=True)]
        n_subscribers = len(self.names)
        high = np.concatenate([self._known.high, new.high])
        low = np.concatenate([self._known.low, new.low])
        order = np.lexsort((low, high))
        self._known = Addresses(high[order], low[order])
        self._order = np.concatenate([self._order, np.arange(first, n_subscribers)])[order]
        self.tiers = [""] * n_subscribers
        self.cell = np.zeros(n_subscribers, np.int64)
        self.weight = np.ones(n_subscribers)
        self.floor_mos = np.full(n_subscribers, np.nan)
        self.efficiency_bps = np.full((n_subscribers, 2), np.nan)


def _side_by_use(flows: RecordArray, ends: IntArray, is_known: BoolArray) -> IntArray:
    """Which end of each flow is the subscriber by the rules 3 and 4: who serves less, who opened."""
    src_answers = (flows["src_port"] < _WELL_KNOWN_PORTS) & (flows["dst_port"] >= _WELL_KNOWN_PORTS)
    client, server = np.where(src_answers, ends[::-1], ends)
    n_distinct = len(is_known)
    opened = np.bincount(client, minlength=n_distinct) - np.bincount(server, minlength=n_distinct)
    opened = opened + is_known  # what was a subscriber tends to stay one
    lead = opened[ends[0]] - opened[ends[1]]
    return np.where(np.where(lead != 0, lead < 0, src_answers), 1, 0)
