"""Cells that hang together from JSON, and their allocations to what JSON can hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qoe.optimise.check import check_curve, complain
from qoe.optimise.coupled import CoupledAllocation, CoupledProblem, Leg, Link, SplitBearer, check_coupled
from qoe.optimise.jsonio import SplitEntry, decode, make_cells, or_nan, or_none
from qoe.optimise.problem import MOS_MIN, CellProblem


def is_coupled(text: bytes | str) -> bool:
    """Tell whether a ``PROBLEM.json`` is one for `read_coupled`; raises ProblemError as that does."""
    document = decode(text)
    return bool(document.links or document.split)


def read_coupled(text: bytes | str) -> CoupledProblem:
    """Read a ``PROBLEM.json`` in which cells hang together.

    Beside what `read_problem` takes, the document has ``links`` (keys as of :class:`Link`) and ``split``:
    bearers as of :class:`SplitBearer`, each with ``legs`` and a ``curve`` of ``rate_bps`` and ``mos``.

    Parameters
    ----------
    text : bytes or str
        The document, UTF-8.

    Returns
    -------
    CoupledProblem
        Checked.

    Raises
    ------
    ProblemError
        As `read_problem` does, with a path such as ``$.split[0].legs[1].cell``.
    """
    document = decode(text)
    links = [Link(link.name, link.capacity_bps, tuple(link.cells), link.direction) for link in document.links]
    split = [_split(bearer, f"$.split[{i}]") for i, bearer in enumerate(document.split)]
    problem = CoupledProblem(tuple(make_cells(document)), tuple(links), tuple(split))
    check_coupled(problem)
    return problem


def coupled_to_dict(problem: CoupledProblem, allocation: CoupledAllocation) -> dict[str, Any]:
    """Turn a coupled allocation into what ``qoe optimise`` prints as JSON.

    Parameters
    ----------
    problem : CoupledProblem
        The cells.
    allocation : CoupledAllocation
        Their shares.

    Returns
    -------
    dict
        ``cells`` with the keys of `allocation_to_dict` that apply, where a leg has a row in its cell with the
        MOS of its split bearer; ``split``; ``links``; objective, bound and gap of the whole.
    """
    a = allocation
    return {
        "status": a.status.value,
        "solver": a.solver,
        "objective": a.objective,
        "bound": a.bound,
        "gap_ratio": a.gap_ratio,
        "cells": [_cell(problem, a, c) for c in range(len(problem.cells))],
        "split": [
            {
                "subscriber": b.subscriber,
                "class": b.app_class,
                "rate_bps": float(a.split_rate_bps[u]),
                "mos_after": float(a.split_mos[u]),
                "legs": [
                    {"cell": leg.cell, "share_ratio": float(share)}
                    for leg, share in zip(b.legs, a.leg_share_ratio[u], strict=True)
                ],
            }
            for u, b in enumerate(problem.split)
        ],
        "links": [
            {
                "name": link.name,
                "capacity_bps": link.capacity_bps,
                "load_bps": float(a.link_load_bps[k]),
                "price_per_mbps": or_none(float(a.link_price[k])),
            }
            for k, link in enumerate(problem.links)
        ],
        "shed": [
            {
                "cell": where,
                "kind": shed.kind,
                "name": shed.name,
                "reason": shed.reason,
                "needed_share_ratio": or_none(shed.needed_share_ratio),
                "granted_share_ratio": shed.granted_share_ratio,
            }
            for where, shed in a.shed
        ],
    }


def _split(bearer: SplitEntry, path: str) -> SplitBearer:
    if bearer.curve.kind not in ("linear", "step"):
        raise complain(f"{path}.curve.kind", f"{bearer.curve.kind!r} is neither 'linear' nor 'step'")
    rate_bps = np.array(bearer.curve.rate_bps, dtype=np.float64)
    mos = np.array(bearer.curve.mos, dtype=np.float64)
    check_curve(rate_bps, mos, f"{path}.curve", "rate_bps")
    if rate_bps[0] > 0.0:
        rate_bps, mos = np.concatenate(([0.0], rate_bps)), np.concatenate(([MOS_MIN], mos))
    return SplitBearer(
        bearer.subscriber,
        bearer.app_class,
        tuple(
            Leg(
                leg.cell, leg.efficiency_bps, math.inf if leg.max_share_ratio is None else leg.max_share_ratio
            )
            for leg in bearer.legs
        ),
        rate_bps,
        mos,
        bearer.curve.kind == "step",
        bearer.weight,
        or_nan(bearer.floor_mos),
        bearer.direction,
    )


def _cell(problem: CoupledProblem, a: CoupledAllocation, c: int) -> dict[str, Any]:
    cell = problem.cells[c]
    rows = [
        _row(cell.subscriber[i], cell.app_class[i], float(share), float(cell.efficiency_bps[i]), float(mos))
        for i, (share, mos) in enumerate(zip(a.share_ratio[c], a.mos_after[c], strict=True))
    ]
    rows += _legs(problem, a, cell)
    mean = float(np.mean([row["share_ratio"] for row in rows])) if rows else 0.0
    for row in rows:
        row["weight"] = row["share_ratio"] / mean if mean > 0.0 else 1.0
    weights = cell.weight if cell.weight.any() else None
    return {
        "cell": cell.cell,
        "direction": cell.direction,
        "capacity_bps": cell.capacity_bps,
        "status": a.status.value,
        "gap_ratio": a.gap_ratio,
        "mos_before": None,
        "mos_after": float(np.average(a.mos_after[c], weights=weights)) if cell.n_bearers else None,
        "mos_bound": None,
        "allocations": rows,
    }


def _legs(problem: CoupledProblem, a: CoupledAllocation, cell: CellProblem) -> list[dict[str, Any]]:
    return [
        _row(
            b.subscriber,
            b.app_class,
            float(a.leg_share_ratio[u][k]),
            leg.efficiency_bps,
            float(a.split_mos[u]),
        )
        for u, b in enumerate(problem.split)
        for k, leg in enumerate(b.legs)
        if (leg.cell, b.direction) == (cell.cell, cell.direction)
    ]


def _row(subscriber: str, app_class: str, share: float, efficiency_bps: float, mos: float) -> dict[str, Any]:
    return {
        "subscriber": subscriber,
        "class": app_class,
        "share_ratio": share,
        "rate_bps": share * efficiency_bps,
        "mos_before": None,
        "mos_after": mos,
    }
