"""What a replay found, in the shape in which it is written out.

`ReplayResult` is the JSON object of ``qoe replay --json``: field for field, with what could not be
estimated as null. The tables and the page are drawn from it and from nothing else.
"""

from __future__ import annotations

from typing import Any

import msgspec


class CaptureSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of one capture.

    Attributes
    ----------
    name : str
        As it was given; ``-`` is stdin.
    packets, bytes : int
        Records read, and their lengths on the wire.
    truncated : bool
        The capture ended in the middle of a record, or was cut short.
    error : str
        Why the rest could not be read; empty when all was.
    """

    name: str
    packets: int
    bytes: int
    truncated: bool = False
    error: str = ""


class ClassSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One application class: flows, bytes on the wire, and MOS as the mean over subscribers and time."""

    app_class: str = msgspec.field(name="class")
    flows: int
    packets: int
    bytes: int
    mos: float | None = None


class SubscriberSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One subscriber over the whole capture.

    Attributes
    ----------
    subscriber, cell, tier : str
        Names; `tier` is empty for none.
    flows, packets, bytes, bytes_down, bytes_up : int
        Bytes on the wire, by direction as the subscriber sees it.
    mos : float, optional
        Mean over the time in which it was active.
    mos_min : float, optional
        The worst it had over one horizon.
    classes : list of ClassSummary
        The same by application class.
    """

    subscriber: str
    cell: str
    tier: str
    flows: int
    packets: int
    bytes: int
    bytes_down: int
    bytes_up: int
    mos: float | None
    mos_min: float | None
    classes: list[ClassSummary]


class AllocationRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one bearer (a subscriber's traffic of one class) has, and would get.

    Attributes
    ----------
    weight : float
        What a weighted scheduler would be set to; the mean over the cell's bearers is 1.
    objective_weight : float
        What one MOS of this bearer counts (tier, subscriber, class), mean 1: the cell's ``mos_before``,
        ``mos_after`` and ``mos_bound`` are means weighted by it.
    share_before_ratio, share_ratio : float
        Fraction of the cell's capacity, observed and granted.
    rate_before_bps, rate_bps : float
        Bit/s at these shares.
    mos_measured : float, optional
        What was seen; `mos_before` and `mos_after` are read off one utility curve at the two shares.
    floor_mos : float, optional
        What it is promised.
    """

    subscriber: str
    app_class: str = msgspec.field(name="class")
    weight: float
    objective_weight: float = 1.0
    share_before_ratio: float | None
    share_ratio: float
    rate_before_bps: float
    rate_bps: float
    mos_measured: float | None
    mos_before: float | None
    mos_after: float | None
    floor_mos: float | None = None


class CapacityPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What more capacity would add to the mean MOS, weighted as the objective, every rate growing with it.

    Attributes
    ----------
    mean_mos_per_percent, mean_mos_per_mbps : float
        For 1 % more, and for 1 Mbit/s more.
    """

    mean_mos_per_percent: float
    mean_mos_per_mbps: float


class PromisePrice(msgspec.Struct, frozen=True, kw_only=True):
    """What one promise costs the others.

    Attributes
    ----------
    kind : str
        ``"floor"`` of a bearer; ``"tier_weight"``: that a tier counts more than the others' mean;
        ``"tier_floors"``: all floors of a tier together; ``"group_min"``.
    name : str
        ``subscriber/class``, the tier, or the group.
    n_members : int
        Bearers to whom it was made.
    own_mos, others_mos : float
        By how much the mean MOS of these is higher, and that of the others lower, than without it.
    """

    kind: str
    name: str
    n_members: int
    own_mos: float
    others_mos: float


class BadlyOff(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer that ends below MOS 2 or below its floor, and what would lift it.

    Attributes
    ----------
    mos, target_mos : float
        What it gets, and its floor if it is below that, else 2.
    since_s : float, optional
        Since when it has been below MOS 2, seconds since 1970; None: it was not, or it is not known.
    obstacle : str
        Why no share lifts it: ``"radio"`` (not even the whole cell), ``"path"`` (its delay, loss or codec),
        ``"max_share"`` (its own maximum), ``"promises"`` (what was promised to others); empty: one does.
    needed_share_ratio : float, optional
        Least share that does.
    more_capacity_ratio : float, optional
        Part of the capacity that, added and given to it alone, lifts it while nobody else loses.
    others_mos : float, optional
        What the mean MOS of the others would lose if it was lifted by a promise.
    """

    subscriber: str
    app_class: str = msgspec.field(name="class")
    mos: float
    target_mos: float
    since_s: float | None
    obstacle: str
    needed_share_ratio: float | None
    more_capacity_ratio: float | None
    others_mos: float | None


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy gives in a cell, on the same curves.

    Attributes
    ----------
    policy : str
        ``"allocation"``, the optimiser's; ``"pf"``, proportional fair; ``"weighted_pf"``, with the weights of
        tier, subscriber and class; ``"strict_priority"``, class after class; ``"equal"`` shares.
    mean_mos, p5_mos : float, optional
        Mean, weighted as the objective, and 5th percentile of the bearers.
    n_below_2, n_below_3 : int
        Bearers below MOS 2 and 3.
    """

    policy: str
    mean_mos: float | None
    p5_mos: float | None
    n_below_2: int
    n_below_3: int


class TradeOffPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the optimum of one degree of fairness gives: alpha-fair in MOS, None for max-min."""

    alpha: float | None
    mean_mos: float
    p5_mos: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a cell was shared as it was.

    Attributes
    ----------
    capacity_price : CapacityPrice
    promise_prices : list of PromisePrice
        The dearest first.
    badly_off : list of BadlyOff
        The worst first.
    policies : list of PolicyResult
    trade_off : list of TradeOffPoint
        By rising fairness; empty if groups overlap, or if no picture was asked for.
    """

    capacity_price: CapacityPrice
    promise_prices: list[PromisePrice]
    badly_off: list[BadlyOff]
    policies: list[PolicyResult]
    trade_off: list[TradeOffPoint]


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of one cell at its busiest horizon, before and after.

    Attributes
    ----------
    direction : str
        ``"down"`` or ``"up"``, as the subscribers see it.
    capacity_bps : float
        What the cell carries.
    capacity_source : str
        ``"configured"``, or ``"trace"``: the busiest second seen.
    capacity_is_lower_bound : bool
        True when it comes from the trace: no gain is then claimed, what was observed is held.
    at_s : float
        End of the busiest horizon, seconds since 1970.
    horizon_s : float
        Its length.
    load_bps, load_ratio : float
        Offered load over that horizon, and its fraction of `capacity_bps`.
    mos_measured, mos_before, mos_after : float, optional
        Weighted means over the bearers: seen; on the utility curves at the observed shares; at the granted.
    mos_bound : float, optional
        No allocation within the same promises can have a higher mean.
    gap_ratio : float, optional
        How far from the bound, 0 to 1, as a fraction of what is above MOS 1 for all.
    status : str
        How it was solved: ``optimal``, …, or ``held`` when what was observed is kept.
    fairness_before, fairness_after : float, optional
        Hoßfeld index of the bearers' MOS, 0 to 1.
    shadow_price_capacity : float, optional
        What 10 % more capacity would add to the objective, the weighted sum of MOS.
    counterfactual_pf : float, optional
        Mean MOS had the cell been shared by proportional fairness.
    below_mos_2 : list of str
        ``subscriber/class`` of those who end below MOS 2.
    shed : list of str
        Promises that could not be kept, and why.
    explanation : Explanation, optional
        Prices, who is badly off and what would lift them, other policies; None where nothing was optimised.
    """

    cell: str
    direction: str
    capacity_bps: float
    capacity_source: str
    capacity_is_lower_bound: bool
    at_s: float
    horizon_s: float
    load_bps: float
    load_ratio: float
    mos_measured: float | None
    mos_before: float | None
    mos_after: float | None
    mos_bound: float | None
    gap_ratio: float | None
    status: str
    fairness_before: float | None
    fairness_after: float | None
    shadow_price_capacity: float | None
    counterfactual_pf: float | None
    below_mos_2: list[str]
    shed: list[str]
    allocations: list[AllocationRow]
    explanation: Explanation | None = None


class CellPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Load of one direction of one cell over one span of the timeline."""

    cell: str
    direction: str
    rate_bps: float
    load_ratio: float


class TimelinePoint(msgspec.Struct, frozen=True, kw_only=True):
    """MOS and load over one span of time.

    Attributes
    ----------
    time_s : float
        End of the span, seconds since 1970.
    duration_s : float
        Its length.
    classes, subscribers : dict of str to float
        MOS of those that were active and could be judged.
    cells : list of CellPoint
        Loads.
    """

    time_s: float
    duration_s: float
    classes: dict[str, float]
    subscribers: dict[str, float]
    cells: list[CellPoint]


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that a replay found.

    Attributes
    ----------
    packets, bytes, flows : int
        Records read, bytes on the wire, flows they belong to.
    duration_s, first_s, last_s : float
        From the first to the last packet, seconds since 1970.
    partial : bool
        Something could not be read or was interrupted: `warnings` says what.
    counters : dict of str to int
        The kernel's, and what was dropped elsewhere.
    """

    packets: int
    bytes: int
    flows: int
    duration_s: float
    first_s: float
    last_s: float
    partial: bool
    warnings: list[str]
    captures: list[CaptureSummary]
    counters: dict[str, int]
    classes: list[ClassSummary]
    subscribers: list[SubscriberSummary]
    cells: list[CellResult]
    timeline: list[TimelinePoint]


def to_json(result: Any, indent: int = 2) -> bytes:
    """Write a result as JSON: what is not finite becomes null.

    Parameters
    ----------
    result : ReplayResult or any msgspec-encodable object
        What to write.
    indent : int
        Spaces a level; 0 for one line.
    """
    return msgspec.json.format(msgspec.json.encode(result), indent=indent) + b"\n"
