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
