"""From the busiest time of each cell to shares and weights: bearers in, results out.

Where the capacity is known the optimiser shares it; where the trace alone tells what a cell can carry,
what was observed is held and no gain is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from qoe.cells import SubscriberTable
from qoe.config import Direction
from qoe.experience import cell_mos
from qoe.optimise import Allocation, CellProblem, Explanation, explain, explanation_to_dict, solve
from qoe.optimise.curves import evaluate
from qoe.report import result as report
from qoe.report.result import AllocationRow, CellResult
from qoe.schema import CLASS_NAMES, FloatArray, RecordArray
from qoe.utility import curves

LEAST_SHARE_RATIO: Final = 0.25
"""No bearer is starved: it keeps this much of an equal share, or all that it was seen to use if that is
less. The sum of MOS alone would silence a download for good, as nobody's MOS falls below 1."""

LEAST_BPS: Final = 1000.0
"""A bearer below this rate whose MOS cannot be judged (a name looked up, a time asked for) is left out: its
curve would only be a guess, and its gain a phantom."""

_SHED_WORDS: Final = {
    "airtime_cap": "it would take more than half of the cell",
    "capacity": "the cell is too small",
    "not_admitted": "its guaranteed rate was refused",
    "unreachable": "no share gives it that MOS",
}

HELD: Final = "held"
"""Status of a result that keeps what was observed."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One direction of one cell over the horizon in which it carried most.

    Attributes
    ----------
    at_s, horizon_s : float
        End of the horizon, seconds since 1970, and its length: shorter if the capture is.
    load_bps : float
        Mean rate over it.
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
        Who made this load.
    since_s : mapping of (subscriber, class) to float
        Who of them was below MOS 2 then, and since when, seconds since 1970.
    """

    at_s: float
    horizon_s: float
    load_bps: float
    bearers: RecordArray
    since_s: Mapping[tuple[int, int], float] = field(default_factory=dict)

    @property
    def bearers_since_s(self) -> FloatArray:
        """Since when each bearer has been below MOS 2, shape (n_bearers,); NaN: it was not."""
        pairs = zip(self.bearers["subscriber"].tolist(), self.bearers["app_class"].tolist(), strict=True)
        return np.array([self.since_s.get(pair, np.nan) for pair in pairs], dtype=np.float64)


class Busiest:
    """The busiest moment so far of every cell and direction."""

    def __init__(self) -> None:
        self.moments: dict[tuple[int, int], Moment] = {}

    def add(
        self,
        at_s: float,
        horizon_s: float,
        bearers: RecordArray,
        since_s: Mapping[tuple[int, int], float] | None = None,
    ) -> None:
        """Compare with another horizon; the first ones of a capture are short, so bits count, not rates.

        Parameters
        ----------
        at_s, horizon_s : float
            Its end, seconds since 1970, and its length.
        bearers : ndarray of BEARER_DTYPE
            Of all cells and directions, sorted by these.
        since_s : mapping of (subscriber, class) to float, optional
            Who is below MOS 2, and since when.
        """
        key = bearers["cell"] * len(Direction) + bearers["direction"]
        for value in np.unique(key):
            rows = bearers[key == value]
            load_bps = float(rows["rate_bps"].sum())
            where = divmod(int(value), len(Direction))
            known = self.moments.get(where)
            if known is None or load_bps * horizon_s > known.load_bps * known.horizon_s:
                self.moments[where] = Moment(at_s, horizon_s, load_bps, rows, since_s or {})


def allocate(
    moments: dict[tuple[int, int], Moment], table: SubscriberTable, load: RecordArray
) -> list[CellResult]:
    """Share every cell at its busiest moment.

    Parameters
    ----------
    moments : dict of (cell, direction) to Moment
        Of `Busiest`.
    table : SubscriberTable
        Names, tiers.
    load : ndarray of LOAD_DTYPE
        The cells at the end, with their capacities.

    Returns
    -------
    list of CellResult
        By cell, downlink first.
    """
    moments = {where: replace(moment, bearers=judged(moment.bearers)) for where, moment in moments.items()}
    capacity = {
        (int(row["cell"]), int(row["direction"])): (float(row["capacity_bps"]), bool(row["capacity_known"]))
        for row in load
    }
    asked = [where for where in sorted(moments) if capacity[where][1]]
    problems = [_problem(table, where, moments[where], capacity[where][0]) for where in asked]
    allocations = solve(problems)
    why = explain(problems, allocations, since_s=[moments[where].bearers_since_s for where in asked])
    solved = dict(zip(asked, zip(allocations, why, strict=True), strict=True))
    return [
        _optimised(moment, *solved[where])
        if where in solved
        else _held(table, where, moment, capacity[where][0])
        for where, moment in sorted(moments.items())
    ]


def judged(bearers: RecordArray) -> RecordArray:
    """Give the bearers that a weight is worth: all of them if none is."""
    worth = np.isfinite(bearers["mos"]) | (bearers["rate_bps"] >= LEAST_BPS)
    return bearers[worth] if worth.any() else bearers


def _names(table: SubscriberTable, bearers: RecordArray) -> tuple[list[str], list[str]]:
    return [table.names[i] for i in bearers["subscriber"]], [CLASS_NAMES[i] for i in bearers["app_class"]]


def _problem(
    table: SubscriberTable, where: tuple[int, int], moment: Moment, capacity_bps: float
) -> CellProblem:
    bearers = moment.bearers
    subscriber, app_class = _names(table, bearers)
    least = np.minimum(bearers["share_observed"], LEAST_SHARE_RATIO / max(len(bearers), 1))
    return CellProblem.build(
        table.cell_names[where[0]],
        Direction(where[1]).name.lower(),
        capacity_bps,
        subscriber,
        app_class,
        curves(bearers),
        efficiency_bps=bearers["efficiency_bps"],
        weight=bearers["weight"],
        min_share_ratio=least,
        floor_mos=bearers["floor_mos"],
        share_observed_ratio=bearers["share_observed"],
        tier=[table.tiers[i] or None for i in bearers["subscriber"]],
        tiers=table.tier_names,
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def weighted_mean(values: FloatArray, weights: FloatArray) -> float | None:
    """Give the mean of what is known (not NaN); None where nothing is."""
    known = np.isfinite(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else None


def _fairness(mos: FloatArray) -> float | None:
    return _finite(cell_mos(mos)[1])


def _rows(
    bearers: RecordArray,
    names: tuple[Sequence[str], Sequence[str]],
    weight: FloatArray,
    share: FloatArray,
    rate_bps: FloatArray,
    before: FloatArray,
    after: FloatArray,
) -> list[AllocationRow]:
    return [
        AllocationRow(
            subscriber=subscriber,
            app_class=app_class,
            weight=float(weight[i]),
            objective_weight=float(bearers["weight"][i] / bearers["weight"].mean()),
            share_before_ratio=_finite(bearers["share_observed"][i]),
            share_ratio=float(share[i]),
            rate_before_bps=float(bearers["rate_bps"][i]),
            rate_bps=float(rate_bps[i]),
            mos_measured=_finite(bearers["mos"][i]),
            mos_before=_finite(before[i]),
            mos_after=_finite(after[i]),
            floor_mos=_finite(bearers["floor_mos"][i]),
        )
        for i, (subscriber, app_class) in enumerate(zip(*names, strict=True))
    ]


def _optimised(moment: Moment, a: Allocation, why: Explanation) -> CellResult:
    """Tell what the optimiser found."""
    bearers = moment.bearers
    who = [f"{s}/{c}" for s, c in zip(a.subscriber, a.app_class, strict=True)]
    return CellResult(
        cell=a.cell,
        direction=a.direction,
        capacity_bps=a.capacity_bps,
        capacity_source="configured",
        capacity_is_lower_bound=False,
        at_s=moment.at_s,
        horizon_s=moment.horizon_s,
        load_bps=moment.load_bps,
        load_ratio=moment.load_bps / a.capacity_bps,
        mos_measured=weighted_mean(bearers["mos"], a.weight),
        mos_before=_finite(a.mean_mos_before),
        mos_after=_finite(a.mean_mos_after),
        mos_bound=_finite(a.mos_bound),
        gap_ratio=_finite(a.gap_ratio),
        status=str(a.status),
        fairness_before=_fairness(a.mos_before),
        fairness_after=_fairness(a.mos_after),
        shadow_price_capacity=_finite(a.capacity_gain),
        counterfactual_pf=_finite(a.pf.mean_mos),
        below_mos_2=[who[i] for i in a.below_mos_2],
        shed=[f"{who[s.index]} ({_SHED_WORDS[s.reason]})" for s in a.shed if s.kind != "group_min"],
        allocations=_rows(
            bearers,
            (a.subscriber, a.app_class),
            a.scheduler_weight,
            a.share_ratio,
            a.rate_bps,
            a.mos_before,
            a.mos_after,
        ),
        explanation=msgspec.convert(explanation_to_dict(why, a), report.Explanation),
    )


def _held(table: SubscriberTable, where: tuple[int, int], moment: Moment, capacity_bps: float) -> CellResult:
    """Keep what was observed: the capacity is not known, so nothing better can be promised."""
    bearers = moment.bearers.copy()
    alone_bps = table.efficiency_bps[bearers["subscriber"], where[1]]
    alone_bps = np.where(np.isnan(alone_bps), capacity_bps, alone_bps)
    # the bearers were judged by the busiest second of their time; a busier one may have followed
    share = np.minimum(bearers["share_observed"] * bearers["efficiency_bps"] / alone_bps, 1.0)
    bearers["efficiency_bps"], bearers["share_observed"] = alone_bps, share
    mos = evaluate(curves(bearers), share)
    mean = share.mean()
    subscriber, app_class = _names(table, bearers)
    return CellResult(
        cell=table.cell_names[where[0]],
        direction=Direction(where[1]).name.lower(),
        capacity_bps=capacity_bps,
        capacity_source="trace",
        capacity_is_lower_bound=True,
        at_s=moment.at_s,
        horizon_s=moment.horizon_s,
        load_bps=moment.load_bps,
        load_ratio=moment.load_bps / capacity_bps,
        mos_measured=weighted_mean(bearers["mos"], bearers["weight"]),
        mos_before=weighted_mean(mos, bearers["weight"]),
        mos_after=weighted_mean(mos, bearers["weight"]),
        mos_bound=None,
        gap_ratio=None,
        status=HELD,
        fairness_before=_fairness(mos),
        fairness_after=_fairness(mos),
        shadow_price_capacity=None,
        counterfactual_pf=None,
        below_mos_2=[f"{s}/{c}" for s, c, m in zip(subscriber, app_class, mos, strict=True) if m < 2],
        shed=[],
        allocations=_rows(
            bearers,
            (subscriber, app_class),
            share / mean if mean else np.ones(len(share)),
            share,
            share * alone_bps,
            mos,
            mos,
        ),
    )
