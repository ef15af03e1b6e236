"""Problems from JSON, allocations to what JSON can hold."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from qoe.optimise.allocation import Allocation, Shed
from qoe.optimise.check import check_curve, check_problem, check_unique, complain
from qoe.optimise.problem import (
    ARP_LEVEL,
    FLOOR_CAP_RATIO,
    MOS_MIN,
    STICKINESS,
    TIER_TOLERANCE_RATIO,
    CellProblem,
    Group,
)
from qoe.schema import Curves, FloatArray


class _Curve(msgspec.Struct, forbid_unknown_fields=True):
    mos: list[float]
    share_ratio: list[float] | None = None
    rate_bps: list[float] | None = None
    kind: str = "linear"


class _Bearer(msgspec.Struct, forbid_unknown_fields=True, rename={"app_class": "class"}):
    subscriber: str
    app_class: str
    curve: _Curve
    weight: float = 1.0
    tier: str | None = None
    efficiency_bps: float | None = None
    min_share_ratio: float = 0.0
    max_share_ratio: float | None = None
    floor_mos: float | None = None
    gbr_bps: float | None = None
    arp_level: int = ARP_LEVEL
    share_observed_ratio: float | None = None
    share_running_ratio: float | None = None


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    members: list[int]
    min_share_ratio: float = 0.0
    max_share_ratio: float | None = None


class _Cell(msgspec.Struct, forbid_unknown_fields=True):
    cell: str
    capacity_bps: float
    bearers: list[_Bearer]
    direction: str = "down"
    budget_ratio: float = 1.0
    groups: list[_Group] = []


class LinkEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A link, as it is written."""

    name: str
    capacity_bps: float
    cells: list[str]
    direction: str = "down"


class LegEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A leg of a split bearer, as it is written."""

    cell: str
    efficiency_bps: float
    max_share_ratio: float | None = None


class RateCurveEntry(msgspec.Struct, forbid_unknown_fields=True):
    """MOS over rate, as it is written."""

    rate_bps: list[float]
    mos: list[float]
    kind: str = "linear"


class SplitEntry(msgspec.Struct, forbid_unknown_fields=True, rename={"app_class": "class"}):
    """A split bearer, as it is written."""

    subscriber: str
    app_class: str
    legs: list[LegEntry]
    curve: RateCurveEntry
    weight: float = 1.0
    floor_mos: float | None = None
    direction: str = "down"


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """All of a ``PROBLEM.json``."""

    cells: list[_Cell]
    links: list[LinkEntry] = []
    split: list[SplitEntry] = []
    form: str = "sum"
    tier_tolerance_ratio: float = TIER_TOLERANCE_RATIO
    alpha: float = 0.0
    stickiness: float = STICKINESS
    floor_cap_ratio: float = FLOOR_CAP_RATIO
    tiers: list[str] = []


def read_problem(text: bytes | str) -> list[CellProblem]:
    """Read the cells of a ``PROBLEM.json``.

    The document is an object with ``cells``, and optionally ``form``, ``tier_tolerance_ratio``, ``alpha``,
    ``stickiness``, ``floor_cap_ratio`` and ``tiers`` (names, best first) for all of them. Their keys are
    those of :class:`CellProblem` and :class:`Group`, with ``bearers`` as a list of objects and ``class``
    for the application class. A bearer's ``curve`` has ``mos``, ``share_ratio`` or ``rate_bps`` (then
    divided by the bearer's ``efficiency_bps``), and ``kind``, ``"linear"`` or ``"step"``. A curve that does
    not begin at 0 gets MOS 1 there.

    Parameters
    ----------
    text : bytes or str
        The document, UTF-8.

    Returns
    -------
    list of CellProblem
        Checked.

    Raises
    ------
    ProblemError
        It is not JSON, or a value is missing, unknown, of the wrong type or out of range; the message
        begins with its path, such as ``$.cells[0].bearers[3].curve.mos[2]``. Or it has links or split
        bearers, and is one for `read_coupled`.
    """
    document = decode(text)
    for key, things in (("links", document.links), ("split", document.split)):
        if things:
            raise complain(f"$.{key}", "cells that hang together are read by 'read_coupled'")
    return make_cells(document)


def decode(text: bytes | str) -> Document:
    """Read a document as it is written: its keys and types are right, its values not yet looked at.

    Raises
    ------
    ProblemError
        It is not JSON, or something is missing, unknown or of the wrong type.
    """
    if not text.strip():
        raise complain("$", "the problem is empty; 'qoe optimise --help' shows one")
    try:
        return msgspec.json.decode(text, type=Document)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeError) as error:
        message, _, path = str(error).partition(" - at `")
        if "malformed" in message:
            message += "; NaN and Infinity are no JSON numbers, write null for what is not known"
        raise complain(path.removesuffix("`") or "$", message) from error


def make_cells(document: Document) -> list[CellProblem]:
    """Make checked problems of a document's cells; raises ProblemError as `read_problem` does."""
    problems = [_problem(document, i) for i in range(len(document.cells))]
    check_unique(problems)
    return problems


def _problem(document: Document, i: int) -> CellProblem:
    path, cell = f"$.cells[{i}]", document.cells[i]
    bearers = cell.bearers
    efficiency = [cell.capacity_bps if b.efficiency_bps is None else b.efficiency_bps for b in bearers]
    rows = [
        _curve(b.curve, e, f"{path}.bearers[{k}]")
        for k, (b, e) in enumerate(zip(bearers, efficiency, strict=True))
    ]
    n_points = max((x.size for x, _ in rows), default=1)
    most = [
        max(cell.budget_ratio, b.min_share_ratio) if b.max_share_ratio is None else b.max_share_ratio
        for b in bearers
    ]
    problem = CellProblem.build(
        cell.cell,
        cell.direction,
        cell.capacity_bps,
        [b.subscriber for b in bearers],
        [b.app_class for b in bearers],
        Curves(
            np.array([np.pad(x, (0, n_points - x.size), mode="edge") for x, _ in rows]).reshape(-1, n_points),
            np.array([np.pad(mos, (0, n_points - mos.size), mode="edge") for _, mos in rows]).reshape(
                -1, n_points
            ),
            np.array([b.curve.kind == "step" for b in bearers], dtype=np.bool_),
        ),
        efficiency_bps=efficiency,
        weight=[b.weight for b in bearers],
        min_share_ratio=[b.min_share_ratio for b in bearers],
        max_share_ratio=most,
        floor_mos=[or_nan(b.floor_mos) for b in bearers],
        gbr_bps=[or_nan(b.gbr_bps) for b in bearers],
        arp_level=[b.arp_level for b in bearers],
        share_observed_ratio=[or_nan(b.share_observed_ratio) for b in bearers],
        share_running_ratio=[or_nan(b.share_running_ratio) for b in bearers],
        tier=[b.tier for b in bearers],
        tiers=document.tiers,
        groups=[
            Group(
                g.name,
                tuple(g.members),
                g.min_share_ratio,
                math.inf if g.max_share_ratio is None else g.max_share_ratio,
            )
            for g in cell.groups
        ],
        budget_ratio=cell.budget_ratio,
        form=document.form,
        tier_tolerance_ratio=document.tier_tolerance_ratio,
        alpha=document.alpha,
        stickiness=document.stickiness,
        floor_cap_ratio=document.floor_cap_ratio,
    )
    check_problem(problem, path)
    return problem


def _curve(curve: _Curve, efficiency_bps: float, path: str) -> tuple[FloatArray, FloatArray]:
    """Check a curve as it was written; return shares, from 0 on, and MOS."""
    if curve.kind not in ("linear", "step"):
        raise complain(f"{path}.curve.kind", f"{curve.kind!r} is neither 'linear' nor 'step'")
    if (curve.share_ratio is None) == (curve.rate_bps is None):
        raise complain(f"{path}.curve", "give either share_ratio or rate_bps")
    key = "rate_bps" if curve.share_ratio is None else "share_ratio"
    x = np.array(getattr(curve, key), dtype=np.float64)
    mos = np.array(curve.mos, dtype=np.float64)
    check_curve(x, mos, f"{path}.curve", key)
    if key == "rate_bps":
        if not 0.0 < efficiency_bps < math.inf:
            raise complain(f"{path}.efficiency_bps", f"{efficiency_bps:g}: rates need a finite one above 0")
        x = x / efficiency_bps
    if x[0] > 0.0:
        x, mos = np.concatenate(([0.0], x)), np.concatenate(([MOS_MIN], mos))
    return x, mos


def or_nan(value: float | None) -> float:
    """Give NaN for what was not given."""
    return math.nan if value is None else value


def allocation_to_dict(allocation: Allocation) -> dict[str, Any]:
    """Turn an allocation into what ``qoe optimise`` prints as JSON.

    Parameters
    ----------
    allocation : Allocation
        Of one cell.

    Returns
    -------
    dict
        Plain types; None in place of NaN. The cell's ``mos_before``, ``mos_after`` and ``mos_bound`` are
        means weighted by ``objective_weight``; ``weight`` is the scheduler's, shares at mean 1.
    """
    a = allocation
    who = [{"subscriber": s, "class": c} for s, c in zip(a.subscriber, a.app_class, strict=True)]
    return {
        "cell": a.cell,
        "direction": a.direction,
        "capacity_bps": a.capacity_bps,
        "status": a.status.value,
        "solver": a.solver,
        "objective": a.objective,
        "bound": a.bound,
        "gap_ratio": a.gap_ratio,
        "mos_before": or_none(a.mean_mos_before),
        "mos_after": or_none(a.mean_mos_after),
        "mos_bound": or_none(a.mos_bound),
        "shadow_price_capacity": a.capacity_gain,
        "shadow_price_floors": [
            {**who[i], "price": price}
            for i, price in enumerate(a.floor_cost.tolist())
            if not math.isnan(price)
        ],
        "counterfactual_pf": {
            "mos": or_none(a.pf.mean_mos),
            "allocations": _rows(who, {"share_ratio": a.pf.share_ratio, "mos": a.pf.mos}),
        },
        "below_mos_2": [who[i] for i in a.below_mos_2],
        "shed": [_shed(shed, who) for shed in a.shed],
        "stages": [{"name": s.name, "value": s.value, "bound": s.bound} for s in a.stages],
        "allocations": _rows(
            who,
            {
                "weight": a.scheduler_weight,
                "objective_weight": a.weight,
                "share_ratio": a.share_ratio,
                "rate_bps": a.rate_bps,
                "mos_before": a.mos_before,
                "mos_after": a.mos_after,
            },
        ),
    }


def _rows(who: list[dict[str, str]], columns: dict[str, FloatArray]) -> list[dict[str, Any]]:
    lists = {key: [or_none(value) for value in values.tolist()] for key, values in columns.items()}
    return [{**name, **{key: values[i] for key, values in lists.items()}} for i, name in enumerate(who)]


def _shed(shed: Shed, who: list[dict[str, str]]) -> dict[str, Any]:
    name: dict[str, str] = {"group": shed.name} if shed.kind == "group_min" else who[shed.index]
    return {
        "kind": shed.kind,
        **name,
        "reason": shed.reason,
        "needed_share_ratio": or_none(shed.needed_share_ratio),
        "granted_share_ratio": shed.granted_share_ratio,
    }


def or_none(value: float) -> float | None:
    """Give None for what JSON has no number for."""
    return value if math.isfinite(value) else None
