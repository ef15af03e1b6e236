"""Cells that hang together: a link that several share, a subscriber who is served by two.

Three sorts of constraint cross cells:

- a *link* (backhaul) carries the sum of the rates of all bearers of its cells;
- a *split bearer* (carrier aggregation, dual connectivity: 3GPP TS 37.340) has a leg in each of several
  cells: the rates of its legs add up, and its MOS is that of the sum;
- both at once.

:func:`solve_coupled` prices them (:mod:`qoe.optimise.decompose`), or hands small problems to ``milp`` as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from qoe.errors import ProblemError
from qoe.optimise.allocation import Shed, Status
from qoe.optimise.check import check_curve, check_problem, check_unique, complain
from qoe.optimise.curves import evaluate
from qoe.optimise.problem import MOS_MAX, MOS_MIN, CellProblem
from qoe.optimise.program import gap_ratio
from qoe.schema import FloatArray

COUPLED_METHODS: Final = ("auto", "dual", "milp")
_SMALL: Final = 40  # bearers that milp solves in well below a second
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Link:
    """A link that carries what several cells carry, in one direction.

    Attributes
    ----------
    name : str
        Unique.
    capacity_bps : float
        Bound on the sum of the rates of all bearers and legs in its cells, 0 or more.
    cells : tuple of str
        Names of the cells.
    direction : str
        ``"down"`` or ``"up"``.
    """

    name: str
    capacity_bps: float
    cells: tuple[str, ...]
    direction: str = "down"


@dataclass(frozen=True, slots=True)
class Leg:
    """One cell's part of a split bearer.

    Attributes
    ----------
    cell : str
        Name of the cell.
    efficiency_bps : float
        Rate of the leg had it the whole cell, above 0.
    max_share_ratio : float
        Bound on its share.
    """

    cell: str
    efficiency_bps: float
    max_share_ratio: float = math.inf


@dataclass(frozen=True, slots=True)
class SplitBearer:
    """A bearer that several cells serve together; its MOS is read at the sum of their rates.

    Attributes
    ----------
    subscriber, app_class : str
        Whom it serves, and the application class.
    legs : tuple of Leg
        One or more, in different cells of its direction.
    rate_bps, mos : ndarray of float64, shape (n_points,)
        The curve: rates from 0, increasing, at least one above 0; MOS non-decreasing, 1 to 5.
    step : bool
        The curve holds each MOS until the next rate.
    weight : float
        What one MOS counts, beside those of the cells' own bearers.
    floor_mos : float
        Promised MOS, NaN for none.
    direction : str
        ``"down"`` or ``"up"``.
    """

    subscriber: str
    app_class: str
    legs: tuple[Leg, ...]
    rate_bps: FloatArray
    mos: FloatArray
    step: bool = False
    weight: float = 1.0
    floor_mos: float = math.nan
    direction: str = "down"


@dataclass(frozen=True, slots=True)
class CoupledProblem:
    """Cells, of the form ``"sum"`` and without stickiness, alpha or guaranteed rates, and what joins them.

    Attributes
    ----------
    cells : tuple of CellProblem
    links : tuple of Link
    split : tuple of SplitBearer
    """

    cells: tuple[CellProblem, ...]
    links: tuple[Link, ...] = ()
    split: tuple[SplitBearer, ...] = ()


@dataclass(frozen=True, slots=True)
class CoupledAllocation:
    """Shares for cells that hang together.

    Attributes
    ----------
    status : Status
        How it was solved.
    solver : str
        ``"dual"`` or ``"milp"``.
    share_ratio, mos_after : tuple of ndarray of float64, each of shape (n_bearers,)
        For each cell, its own bearers' shares and the MOS at them.
    leg_share_ratio : tuple of ndarray of float64, each of shape (n_legs,)
        For each split bearer, the share of each leg in its cell.
    split_rate_bps, split_mos : ndarray of float64, shape (n_split,)
        Sum of the legs' rates, and the MOS at it.
    objective, bound, gap_ratio : float
        Weighted sum of MOS over all, at weights of mean 1 (over all cells and split bearers); what no shares
        can exceed; and the gap as in `Allocation`.
    link_price : ndarray of float64, shape (n_links,)
        What one more Mbit/s of each link would add to the objective (of the relaxation); NaN with milp.
    link_load_bps : ndarray of float64, shape (n_links,)
        What each link carries.
    n_rounds : int
        Times that all cells were solved.
    shed : tuple of (str, Shed)
        Promises that could not be kept, each with the cell that it was made in (empty for a split bearer).
    """

    status: Status
    solver: str
    share_ratio: tuple[FloatArray, ...]
    mos_after: tuple[FloatArray, ...]
    leg_share_ratio: tuple[FloatArray, ...]
    split_rate_bps: FloatArray
    split_mos: FloatArray
    objective: float
    bound: float
    gap_ratio: float
    link_price: FloatArray
    link_load_bps: FloatArray
    n_rounds: int
    shed: tuple[tuple[str, Shed], ...] = field(default=())


def solve_coupled(
    problem: CoupledProblem,
    *,
    method: str = "auto",
    gap_target_ratio: float = 5e-4,
    time_limit_s: float = 60.0,
) -> CoupledAllocation:
    """Allocate shares in cells that hang together.

    Parameters
    ----------
    problem : CoupledProblem
        One cell or more.
    method : str
        ``"dual"``: prices on what crosses cells, over the fast path. ``"milp"``: all as one problem, exact.
        ``"auto"``: milp up to 40 bearers.
    gap_target_ratio : float
        Gap up to which the answer counts as optimal; the prices are refined until they prove a tenth of it.
    time_limit_s : float
        For milp.

    Returns
    -------
    CoupledAllocation

    Raises
    ------
    ProblemError
        The problem is malformed (the message begins with the path of what is wrong), or `method` is unknown.
    """
    from qoe.optimise.decompose import decompose
    from qoe.optimise.general import solve_general
    from qoe.optimise.joint import make_joint

    if method not in COUPLED_METHODS:
        raise ProblemError(f"unknown method {method!r}; use one of {', '.join(COUPLED_METHODS)}")
    check_coupled(problem)
    joint = make_joint(problem)
    if method == "auto":
        method = "milp" if len(joint.program.low) <= _SMALL else "dual"
    if method == "milp":
        found = solve_general(joint.program, "milp", time_limit_s=time_limit_s)
        share, bound, n_rounds = found.share, found.bound, 1
        price = np.full(len(problem.links), np.nan)
    else:
        share, bound, price, n_rounds = decompose(joint, 0.1 * gap_target_ratio)
    own, legs = joint.unpack(share)
    mos = tuple(evaluate(cell.curves, s) for cell, s in zip(problem.cells, own, strict=True))
    split_mos = joint.split_mos(share)
    value = joint.value(mos, split_mos)
    gap = gap_ratio(value, max(bound, value), joint.program.base)
    solved = Status.OPTIMAL if gap <= gap_target_ratio + _ROUNDING else Status.GAP_ABOVE_TARGET
    return CoupledAllocation(
        Status.PROMISES_CUT if joint.shed else solved,
        method,
        own,
        mos,
        legs,
        joint.rates(share),
        split_mos,
        value,
        max(bound, value),
        gap,
        price,
        joint.link_loads(share),
        n_rounds,
        joint.shed,
    )


def check_coupled(problem: CoupledProblem) -> None:
    """Check all of a problem.

    Raises
    ------
    ProblemError
        Anything is malformed; the message begins with its path, such as ``$.links[0].cells[1]``.
    """
    if not problem.cells:
        raise complain("$.cells", "give one cell or more")
    check_unique(problem.cells)
    for i, cell in enumerate(problem.cells):
        path = f"$.cells[{i}]"
        check_problem(cell, path)
        _check_form(cell, path)
    known = {(cell.cell, cell.direction) for cell in problem.cells}
    names: set[str] = set()
    for i, link in enumerate(problem.links):
        _check_link(link, known, f"$.links[{i}]")
        if link.name in names:
            raise complain(f"$.links[{i}].name", f"link {link.name!r} occurs twice; name each link once")
        names.add(link.name)
    for i, bearer in enumerate(problem.split):
        _check_split(bearer, known, f"$.split[{i}]")


def _check_form(cell: CellProblem, path: str) -> None:
    if cell.form != "sum" or cell.alpha > 0.0:
        raise complain(
            f"{path}.form", "coupled cells are solved for the weighted sum of MOS alone; use 'sum', alpha 0"
        )
    if not np.isnan(cell.gbr_bps).all():
        i = int(np.argmax(~np.isnan(cell.gbr_bps)))
        raise complain(
            f"{path}.bearers[{i}].gbr_bps", "coupled cells admit no guaranteed rates; use floor_mos"
        )


def _check_cells(
    cells: Sequence[str], direction: str, known: set[tuple[str, str]], path: str, key: str
) -> None:
    if not cells:
        raise complain(path, "name one cell or more")
    for i, name in enumerate(cells):
        at = f"{path}[{i}]{key}"
        if (name, direction) not in known:
            raise complain(at, f"there is no cell {name!r} {direction}")
        if name in cells[:i]:
            raise complain(at, f"cell {name!r} is listed twice")


def _check_link(link: Link, known: set[tuple[str, str]], path: str) -> None:
    if not 0.0 <= link.capacity_bps < math.inf:
        raise complain(
            f"{path}.capacity_bps", f"{link.capacity_bps:g}: a finite number, 0 or more, is needed"
        )
    _check_cells(link.cells, link.direction, known, f"{path}.cells", "")


def _check_split(bearer: SplitBearer, known: set[tuple[str, str]], path: str) -> None:
    _check_cells([leg.cell for leg in bearer.legs], bearer.direction, known, f"{path}.legs", ".cell")
    for i, leg in enumerate(bearer.legs):
        if not 0.0 < leg.efficiency_bps < math.inf:
            raise complain(
                f"{path}.legs[{i}].efficiency_bps",
                f"{leg.efficiency_bps:g}: a finite number above 0 is needed",
            )
        if not leg.max_share_ratio >= 0.0:
            raise complain(
                f"{path}.legs[{i}].max_share_ratio", f"{leg.max_share_ratio:g}: 0 or more is needed"
            )
    check_curve(bearer.rate_bps, bearer.mos, f"{path}.curve", "rate_bps")
    if bearer.rate_bps[0] != 0.0 or not bearer.rate_bps[-1] > 0.0:
        raise complain(f"{path}.curve.rate_bps", "must begin at 0 and end above it")
    if not 0.0 <= bearer.weight < math.inf:
        raise complain(f"{path}.weight", f"{bearer.weight:g}: a finite number, 0 or more, is needed")
    if not (math.isnan(bearer.floor_mos) or MOS_MIN <= bearer.floor_mos <= MOS_MAX):
        raise complain(f"{path}.floor_mos", f"{bearer.floor_mos:g}: null, or a number from 1 to 5, is needed")
