"""Why an allocation is what it is: prices, who is badly off and what would lift them, what else there was.

All prices are those of the weighted sum of MOS under the promises that the cell can keep, on its relaxation
(concave hulls): smooth, and never of the wrong sign by rounding. The relaxations of all cells are solved
together, so that an explanation costs a few solves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from qoe.optimise.allocation import Allocation, Counterfactual
from qoe.optimise.counterfactual import POLICIES
from qoe.optimise.explain_badly_off import BadlyOff, Rescue, rescues
from qoe.optimise.explain_prices import Lift, PromisePrice, lifts, relaxed_mos
from qoe.optimise.explain_trade_off import TradeOffPoint, trade_offs
from qoe.optimise.prices import relax_all
from qoe.optimise.problem import CellProblem
from qoe.optimise.program import Program, Relaxed, make_program
from qoe.optimise.promises import keep_promises
from qoe.schema import FloatArray

_PERCENT: Final = 0.01
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say of one allocation.

    Attributes
    ----------
    mean_mos_per_percent : float
        What 1 % more capacity would add to the mean MOS, weighted as in the problem, every rate growing with
        it.
    mean_mos_per_mbps : float
        The same for 1 Mbit/s more.
    promise_prices : tuple of PromisePrice
        What floors, tiers and minima of groups cost the others, the dearest first.
    badly_off : tuple of BadlyOff
        Who ends below MOS 2 or below its floor, the worst first.
    policies : dict of str to Counterfactual
        ``"allocation"``, and what each of `qoe.optimise.counterfactual.POLICIES` would give.
    trade_off : tuple of TradeOffPoint
        What could be had of mean MOS and of the 5th percentile; empty where it was not asked for, or where
        groups overlap.
    """

    mean_mos_per_percent: float
    mean_mos_per_mbps: float
    promise_prices: tuple[PromisePrice, ...]
    badly_off: tuple[BadlyOff, ...]
    policies: dict[str, Counterfactual]
    trade_off: tuple[TradeOffPoint, ...]


def explain(
    problems: Sequence[CellProblem],
    allocations: Sequence[Allocation],
    *,
    since_s: Sequence[FloatArray] | None = None,
    trade_off: bool = True,
) -> list[Explanation]:
    """Explain allocations.

    Parameters
    ----------
    problems : sequence of CellProblem
        As `solve` was given them.
    allocations : sequence of Allocation
        As it returned them.
    since_s : sequence of ndarray of float64, each of shape (n_bearers,), optional
        Since when each bearer has been badly off, seconds since 1970 (`History.since_s`); NaN: it is not, or
        it is not known.
    trade_off : bool
        Also trace what could be had of mean MOS and of the 5th percentile, which costs as much as the rest.

    Returns
    -------
    list of Explanation
        One a problem, in order. A cell without bearers or capacity has no prices.
    """
    live = [i for i, p in enumerate(problems) if p.n_bearers and p.capacity_bps > 0.0]
    kept = [keep_promises(problems[i]) for i in live]
    programs = [make_program(problems[i], k, plain=True) for i, k in zip(live, kept, strict=True)]
    asked = []
    for i, k, program, now in zip(live, kept, programs, _relaxed(programs), strict=True):
        since = np.full(problems[i].n_bearers, np.nan) if since_s is None else since_s[i]
        saved = rescues(problems[i], allocations[i], k, program, since)
        asked.append(
            _Asked(relaxed_mos(program, now), program, list(lifts(problems[i], k, program, now)), saved)
        )
    others = [program for a in asked for program in a.others]
    answers = (relaxed_mos(p, r) for p, r in zip(others, _relaxed(others), strict=True))
    points = trade_offs([problems[i] for i in live]) if trade_off else [()] * len(live)
    done = {
        i: _explanation(problems[i], allocations[i], a, list(islice(answers, len(a.others))), traced)
        for i, a, traced in zip(live, asked, points, strict=True)
    }
    return [done[i] if i in done else _unserved(allocation) for i, allocation in enumerate(allocations)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One cell: MOS as it is, on the hulls, and the programs to compare it with."""

    now: FloatArray
    program: Program
    lifts: list[Lift]
    rescues: list[Rescue]

    @property
    def others(self) -> list[Program]:
        """With more capacity, then without each promise, then with each of those badly off lifted."""
        more = replace(self.program, budget=self.program.budget * (1.0 + _PERCENT))
        saved = [rescue.program for rescue in self.rescues if rescue.program is not None]
        return [more, *(lift.program for lift in self.lifts), *saved]


def _relaxed(programs: Sequence[Program]) -> Iterator[Relaxed]:
    """Relax programs, not too many at once, as each is a copy of its cell."""
    for begin in range(0, len(programs), _AT_ONCE):
        yield from relax_all(programs[begin : begin + _AT_ONCE])


def _explanation(
    problem: CellProblem,
    allocation: Allocation,
    asked: _Asked,
    answers: list[FloatArray],
    points: tuple[TradeOffPoint, ...],
) -> Explanation:
    """Put one cell's answers, in the order of `_Asked.others`, together."""
    now, weight = asked.now, asked.program.weight
    per_percent = max(float(weight @ (answers[0] - now) / weight.sum()), 0.0)
    prices = [lift.price(now, without) for lift, without in zip(asked.lifts, answers[1:], strict=False)]
    lifted = iter(answers[1 + len(asked.lifts) :])
    return Explanation(
        mean_mos_per_percent=per_percent,
        mean_mos_per_mbps=per_percent / (problem.capacity_bps * _PERCENT / 1e6),
        promise_prices=tuple(sorted(prices, key=lambda p: -p.others_mos)),
        badly_off=tuple(r.who if r.program is None else r.priced(now, next(lifted)) for r in asked.rescues),
        policies=_policies(problem, allocation),
        trade_off=points,
    )


def _policies(problem: CellProblem, allocation: Allocation) -> dict[str, Counterfactual]:
    own = Counterfactual(allocation.share_ratio, allocation.mos_after, allocation.mean_mos_after)
    others = {name: policy(problem, problem.budget_ratio) for name, policy in POLICIES.items()}
    return {"allocation": own, **others}


def _unserved(allocation: Allocation) -> Explanation:
    """Explain a cell in which nothing could be decided."""
    own = Counterfactual(allocation.share_ratio, allocation.mos_after, allocation.mean_mos_after)
    return Explanation(0.0, 0.0, (), (), dict.fromkeys(("allocation", *POLICIES), own), ())
