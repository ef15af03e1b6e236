"""What a problem must satisfy before it is solved; every complaint begins with the path of its cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from qoe.errors import ProblemError
from qoe.optimise.problem import ARP_LEVELS, DIRECTIONS, FORMS, MOS_MAX, MOS_MIN, CellProblem, Group
from qoe.schema import BoolArray, FloatArray

_ROUNDING: Final = 1e-9
_LEAST_SHARE: Final = 1e-100  # products of two such are still apart from 0


def complain(path: str, message: str) -> ProblemError:
    """Make the error for what stands at `path`."""
    return ProblemError(f"{path}: {message}")


def check_curve(x: FloatArray, mos: FloatArray, path: str, x_key: str) -> None:
    """Check one curve.

    Parameters
    ----------
    x, mos : ndarray of float64, shape (n_points,)
        Share or rate, and MOS.
    path : str
        Of the curve.
    x_key : str
        What `x` is called there.

    Raises
    ------
    ProblemError
        The lengths differ or are 0, a value is not finite or out of range, or one falls.
    """
    if x.size != mos.size or x.size == 0:
        raise complain(path, f"{x.size} of {x_key} but {mos.size} of mos; give as many of each, 1 or more")
    for key, values, low, high in ((x_key, x, 0.0, math.inf), ("mos", mos, MOS_MIN, MOS_MAX)):
        slack = _ROUNDING if key == "mos" else 0.0
        wrong = ~(np.isfinite(values) & (values >= low - slack) & (values <= high + slack))
        _first(wrong, path, key, values, f"a number from {low:g} to {high:g} is needed")
        falls = np.concatenate(([False], np.diff(values) < 0.0))
        _first(falls, path, key, values, "a curve must not fall; this is less than the one before")
    tiny = (x > 0.0) & (x < _LEAST_SHARE)
    _first(tiny, path, x_key, x, f"too small to tell from 0; use 0 or at least {_LEAST_SHARE:g}")


def check_problem(problem: CellProblem, path: str) -> None:
    """Check one cell.

    Parameters
    ----------
    problem : CellProblem
        The cell.
    path : str
        Where it stands, such as ``$.cells[0]``.

    Raises
    ------
    ProblemError
        Anything is malformed. Promises that contradict one another are not: they give a status.
    """
    _check_scalars(problem, path)
    _check_bearers(problem, path)
    _check_curves(problem, path)
    names: set[str] = set()
    for i, group in enumerate(problem.groups):
        _check_group(group, problem.n_bearers, f"{path}.groups[{i}]")
        if group.name in names:
            raise complain(f"{path}.groups[{i}].name", f"group {group.name!r} occurs twice in the cell")
        names.add(group.name)


def check_unique(problems: Sequence[CellProblem]) -> None:
    """Check that no cell occurs twice in the same direction.

    Raises
    ------
    ProblemError
        One does.
    """
    seen: set[tuple[str, str]] = set()
    for i, problem in enumerate(problems):
        key = (problem.cell, problem.direction)
        if key in seen:
            raise complain(f"$.cells[{i}]", f"cell {key[0]!r} {key[1]} occurs twice; name each cell once")
        seen.add(key)


def _first(wrong: BoolArray, path: str, key: str, values: FloatArray, message: str) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        raise complain(f"{path}.{key}[{i}]", f"{values[i]:g}: {message}")


def _check_scalars(problem: CellProblem, path: str) -> None:
    if problem.direction not in DIRECTIONS:
        raise complain(f"{path}.direction", f"{problem.direction!r} is neither 'down' nor 'up'")
    if problem.form not in FORMS:
        raise complain(f"{path}.form", f"{problem.form!r} is not one of {', '.join(FORMS)}")
    if problem.form == "lexicographic" and not problem.tiers:
        raise complain(f"{path}.form", "'lexicographic' needs tiers, best first")
    tolerance = problem.tier_tolerance_ratio
    for key, value, good, need in (
        ("capacity_bps", problem.capacity_bps, problem.capacity_bps >= 0.0, "0 or more"),
        ("budget_ratio", problem.budget_ratio, problem.budget_ratio > 0.0, "above 0"),
        ("alpha", problem.alpha, problem.alpha >= 0.0, "0 or more"),
        ("stickiness", problem.stickiness, problem.stickiness >= 1.0, "1 or more"),
        ("floor_cap_ratio", problem.floor_cap_ratio, 0.0 < problem.floor_cap_ratio <= 1.0, "above 0, to 1"),
        ("tier_tolerance_ratio", tolerance, 0.0 <= tolerance < 1.0, "0 to less than 1"),
    ):
        if not (good and math.isfinite(value)):
            raise complain(f"{path}.{key}", f"{value:g}: a finite number, {need}, is needed")


def _check_bearers(problem: CellProblem, path: str) -> None:
    n = problem.n_bearers
    if len(problem.app_class) != n or len(problem.tier) != n:
        raise complain(f"{path}.bearers", f"{n} subscribers need {n} classes and {n} tiers")
    nothing_or = "null, or a finite number, "
    for key, low, high, need in (
        ("efficiency_bps", 0.0, math.inf, "a finite number, 0 or more,"),
        ("weight", 0.0, math.inf, "a finite number, 0 or more,"),
        ("min_share_ratio", 0.0, math.inf, "a finite number, 0 or more,"),
        ("max_share_ratio", problem.min_share_ratio, math.inf, "a finite number, not below the minimum,"),
        ("floor_mos", MOS_MIN, MOS_MAX, f"{nothing_or}{MOS_MIN:g} to {MOS_MAX:g},"),
        ("gbr_bps", _LEAST_SHARE, math.inf, f"{nothing_or}above 0,"),
        ("arp_level", *ARP_LEVELS, "a whole number, {} to {},".format(*ARP_LEVELS)),
        ("share_observed_ratio", 0.0, math.inf, f"{nothing_or}0 or more,"),
        ("share_running_ratio", 0.0, math.inf, f"{nothing_or}0 or more,"),
    ):
        values: FloatArray = getattr(problem, key)
        if values.shape != (n,):
            raise complain(f"{path}.bearers", f"{key} has shape {values.shape}, ({n},) is needed")
        good = np.isfinite(values) & (values >= low) & (values <= high)
        if need.startswith(nothing_or):
            good |= np.isnan(values)
        if key == "arp_level":
            good &= np.mod(values, 1.0, where=good, out=np.ones_like(values)) == 0.0
        if not good.all():
            i = int(np.argmin(good))
            raise complain(f"{path}.bearers[{i}].{key}", f"{values[i]:g}: {need} is needed")
    if n and not problem.weight.any():
        raise complain(f"{path}.bearers", "every weight is 0; give at least one that is above")
    seen: set[tuple[str, str]] = set()
    for i, who in enumerate(zip(problem.subscriber, problem.app_class, strict=True)):
        if who in seen:
            raise complain(
                f"{path}.bearers[{i}]", f"subscriber {who[0]!r} has class {who[1]!r} twice; join them"
            )
        seen.add(who)
        tier = problem.tier[i]
        if problem.tiers and tier is not None and tier not in problem.tiers:
            known = ", ".join(problem.tiers)
            raise complain(f"{path}.bearers[{i}].tier", f"{tier!r} is not one of the tiers: {known}")


def _check_curves(problem: CellProblem, path: str) -> None:
    share, mos, step = problem.curves.share, problem.curves.mos, problem.curves.step
    n = problem.n_bearers
    if share.ndim != 2 or share.shape != mos.shape or share.shape[0] != n or step.shape != (n,):
        shapes = f"share {share.shape}, mos {mos.shape}, step {step.shape}"
        raise complain(f"{path}.bearers", f"curves of {n} bearers cannot have shapes {shapes}")
    if _all_good(share, mos):
        return
    for i in range(n):
        check_curve(share[i], mos[i], f"{path}.bearers[{i}].curve", "share_ratio")
        if share[i, 0] != 0.0:
            raise complain(f"{path}.bearers[{i}].curve.share_ratio[0]", f"{share[i, 0]:g}: must be 0")


def _all_good(share: FloatArray, mos: FloatArray) -> bool:
    """Tell at once, for the many, what `check_curve` tells one by one with the reason."""
    if not share.size:
        return not share.shape[0]
    rising = (np.diff(share, axis=1) >= 0.0).all() and (np.diff(mos, axis=1) >= 0.0).all()
    ranged = (share[:, 0] == 0.0).all() and (mos >= MOS_MIN).all() and (mos <= MOS_MAX).all()
    told_apart = ((share == 0.0) | (share >= _LEAST_SHARE)).all() and np.isfinite(share).all()
    return bool(rising and ranged and told_apart)


def _check_group(group: Group, n_bearers: int, path: str) -> None:
    for i, member in enumerate(group.members):
        if not 0 <= member < n_bearers:
            raise complain(f"{path}.members[{i}]", f"{member}: the cell has bearers 0 to {n_bearers - 1}")
        if member in group.members[:i]:
            raise complain(f"{path}.members[{i}]", f"{member}: listed twice")
    if not group.members:
        raise complain(f"{path}.members", "a group needs a member")
    if not 0.0 <= group.min_share_ratio < math.inf:
        raise complain(
            f"{path}.min_share_ratio", f"{group.min_share_ratio:g}: a finite number, 0 or more, is needed"
        )
    if not group.max_share_ratio >= group.min_share_ratio:
        raise complain(f"{path}.max_share_ratio", f"{group.max_share_ratio:g}: must not be below the minimum")
