"""Problems that tie, contradict themselves, are flat, huge, tiny or spoilt; and what answers must satisfy.

``python tests/hard_problems.py 10000`` draws as many, solves them by every way there is for them and holds
the answers against one another; it prints what is wrong (each problem by its number) and how many were of
which kind. The tests do the same with a few.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qoe.errors import ProblemError
from qoe.optimise import Allocation, CellProblem, Group, Status, solve
from qoe.optimise.curves import evaluate
from qoe.optimise.program import to_program, value_at
from qoe.optimise.promises import disjoint, keep_promises
from qoe.schema import Curves

HIGHS = 2e-6  # absolute gap and feasibility at which HiGHS is content
ROUNDING = 1e-9


def draw(number: int) -> CellProblem:
    """Draw the problem of a number; each number gives one, always the same."""
    rng = np.random.default_rng([number, 4])
    n, n_points = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    scale = 10.0 ** rng.choice([0, 0, 0, -12, -6, 6, 12])
    if rng.random() < 0.5:
        share = rng.choice([0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 1.0, 1.5], (n, n_points))
    else:
        share = rng.random((n, n_points)) * rng.choice([1.0, 1e-6, 1e6])
    share = np.sort(share, axis=1)
    share[:, 0] = 0.0
    mos = np.sort(rng.choice([1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0], (n, n_points)), axis=1)
    if rng.random() < 0.3:
        share[:], mos[:] = share[0], mos[0]
    low = np.where(rng.random(n) < rng.choice([0.0, 0.3]), rng.choice([0.05, 0.1, 0.4, 0.8], n), 0.0)
    capacity = float(rng.choice([1e6, 1e6, 1e6, 1e-3, 1e15, 0.0]))
    return CellProblem.build(
        f"c{number}",
        "up",
        capacity,
        [f"s{i}" for i in range(n)],
        ["web"] * n,
        Curves(share * scale, mos, rng.random(n) < rng.choice([0.0, 0.5, 1.0])),
        weight=10.0 ** rng.integers(-6, 7, n) if rng.random() < 0.3 else rng.choice([0.5, 1.0, 2.0], n),
        min_share_ratio=low * scale,
        max_share_ratio=np.where(rng.random(n) < 0.3, low + rng.random(n), low + 2.0) * scale,
        floor_mos=_some(rng, n, rng.uniform(1.0, 5.0, n), [0.0, 0.4]),
        gbr_bps=_some(rng, n, rng.uniform(1e-3, 0.7, n) * max(capacity, 1.0) * scale, [0.0, 0.0, 0.4]),
        arp_level=rng.integers(1, 4, n),
        share_running_ratio=_some(rng, n, rng.random(n) * scale, [0.0, 0.3]),
        tier=[("x", "y", None)[int(t)] for t in rng.integers(0, 3, n)],
        tiers=("x", "y"),
        groups=_groups(rng, n, scale),
        budget_ratio=float(rng.choice([1.0, 1.0, 0.5, 2.0, 0.01])) * scale,
        form=str(rng.choice(["sum", "sum", "max_min", "lexicographic"])),
        alpha=float(rng.choice([0.0, 0.0, 0.5, 1.0, 2.0])),
        floor_cap_ratio=float(rng.choice([0.5, 1.0])),
        tier_tolerance_ratio=float(rng.choice([0.0, 0.01, 0.1])),
    )


def _some(rng: np.random.Generator, n: int, values: Any, parts: list[float]) -> Any:
    return np.where(rng.random(n) < rng.choice(parts), values, np.nan)


def _groups(rng: np.random.Generator, n: int, scale: float) -> list[Group]:
    order = [int(i) for i in rng.permutation(n)]
    cut = int(rng.integers(0, n + 1))
    overlap = int(rng.random() < 0.15)
    sides = (("a", order[:cut], [0.0, 0.3]), ("b", order[max(0, cut - overlap) :], [0.0, 0.2]))
    return [
        Group(name, tuple(members), float(least) * scale, float(least + rng.random()) * scale)
        for name, members, choices in sides
        for least in [rng.choice(choices)]
        if members and rng.random() < 0.5
    ]


SPOILS = ("capacity_bps", "budget_ratio", "alpha", "stickiness", "floor_cap_ratio", "tier_tolerance_ratio")
SPOILS += ("efficiency_bps", "weight", "min_share_ratio", "max_share_ratio", "arp_level")
SPOILS += ("floor_mos", "gbr_bps", "share_observed_ratio", "share_running_ratio", "share", "mos")
MAY_BE_NAN = ("floor_mos", "gbr_bps", "share_observed_ratio", "share_running_ratio")


def spoil(number: int) -> tuple[CellProblem, str]:
    """Draw a problem with one value that is no number, infinite or negative; return it and the path's end."""
    problem, rng = draw(number), np.random.default_rng([number, 5])
    key = str(rng.choice(SPOILS))
    bad = float(rng.choice([np.inf, -np.inf, -1.0] if key in MAY_BE_NAN else [np.nan, np.inf, -np.inf, -1.0]))
    if key in ("share", "mos"):
        table = getattr(problem.curves, key).copy()
        i, k = (int(rng.integers(0, size)) for size in table.shape)
        table[i, k] = bad
        curves = replace(problem.curves, **{key: table})
        return replace(problem, curves=curves), f"bearers[{i}].curve."
    value = getattr(problem, key)
    if isinstance(value, float):
        return replace(problem, **{key: bad}), key
    i = int(rng.integers(0, value.size))
    values = value.copy()
    values[i] = bad
    return replace(problem, **{key: values}), f"bearers[{i}].{key}"


def broken(problem: CellProblem, allocation: Allocation) -> Iterator[str]:
    """Name every constraint that shares violate, unless the promise behind it is listed as shed."""
    share, slack = allocation.share_ratio, ROUNDING * problem.budget_ratio
    shed = {(s.kind, s.index) for s in allocation.shed}
    if not np.isfinite(share).all() or (share < 0.0).any():
        yield "range"
    if share.sum() > problem.budget_ratio + slack:
        yield "budget"
    for i in range(problem.n_bearers):
        if share[i] > problem.max_share_ratio[i] + slack:
            yield f"max_share {i}"
        if share[i] < problem.min_share_ratio[i] - slack and ("min_share", i) not in shed:
            yield f"min_share {i}"
        if allocation.mos_after[i] < problem.floor_mos[i] - ROUNDING and ("floor", i) not in shed:
            yield f"floor {i}"
        if ("gbr", i) in shed and share[i] > 0.0:
            yield f"gbr {i} refused, and served"
        lack_bps = problem.gbr_bps[i] - share[i] * problem.efficiency_bps[i]
        if lack_bps > slack * problem.efficiency_bps[i] and ("gbr", i) not in shed:
            yield f"gbr {i}"
    for g, group in enumerate(problem.groups):
        total = share[list(group.members)].sum()
        if total > group.max_share_ratio + slack:
            yield f"group_max {g}"
        if total < group.min_share_ratio - slack and ("group_min", g) not in shed:
            yield f"group_min {g}"


def faults(problem: CellProblem, allocation: Allocation) -> Iterator[str]:
    """Name whatever is wrong with an allocation by itself: constraints, value, bound, status."""
    yield from broken(problem, allocation)
    a = allocation
    if a.status in (Status.EMPTY, Status.NO_CAPACITY):
        return
    value = value_at(to_program(problem), a.share_ratio)
    if abs(a.objective - value) > ROUNDING * max(1.0, abs(value)):
        yield f"objective {a.objective!r} is not the value {value!r}"
    if not a.objective <= a.bound:
        yield "objective above its bound"
    if not a.mean_mos_after <= a.mos_bound * (1.0 + 1e-12):
        yield "MOS above its bound"
    if not 0.0 <= a.gap_ratio <= 1.0:
        yield "gap outside 0 to 1"
    if (a.status == Status.PROMISES_CUT) != bool(a.shed):
        yield f"status {a.status} with {len(a.shed)} promises shed"
    for stage in a.stages:
        if not stage.value <= stage.bound + ROUNDING * max(1.0, abs(stage.bound)):
            yield f"stage {stage.name}: {stage.value!r} above {stage.bound!r}"
    if problem.form == "max_min":
        yield from _level_faults(problem, a)


def _level_faults(problem: CellProblem, a: Allocation) -> Iterator[str]:
    """The level is reached by all who can, and a little more does not fit."""
    kept = keep_promises(problem)
    high = np.minimum(kept.high, problem.budget_ratio)
    counted = problem.weight > 0.0
    top = np.where(counted, evaluate(problem.curves, high), 1.0)
    level = a.stages[0].value
    if (a.mos_after < np.minimum(level, top) - 1e-7).any():
        yield f"level {level!r} is not reached"
    if level >= top.max() - 1e-9 or problem.groups:
        return
    more = min(level + 1e-6, float(top.max()))
    need = [least_share(problem, i, min(more, float(top[i]))) for i in range(problem.n_bearers)]
    if np.maximum(need, kept.low).sum() < problem.budget_ratio * (1.0 - 1e-9):
        yield f"level {level!r} could be {more!r}"


def least_share(problem: CellProblem, i: int, mos: float) -> float:
    """Find the least share that gives a bearer a MOS, point by point."""
    x, y = problem.curves.share[i], problem.curves.mos[i]
    for k in range(x.size):
        if y[k] >= mos:
            if k == 0 or problem.curves.step[i]:
                return float(x[k])
            return float(x[k] - (x[k] - x[k - 1]) * (y[k] - mos) / (y[k] - y[k - 1]))
    return float("inf")


def compared(problem: CellProblem, a: Allocation, b: Allocation) -> Iterator[str]:
    """Name where two allocations of one problem contradict one another's bounds."""
    if a.status in (Status.EMPTY, Status.NO_CAPACITY):
        return
    if [(s.kind, s.index, s.reason) for s in a.shed] != [(s.kind, s.index, s.reason) for s in b.shed]:
        yield "other promises shed"
    scale = HIGHS * max(1.0, abs(a.bound), float(a.weight.max()) * 5.0)
    if problem.form != "lexicographic":
        if b.objective > a.bound + scale:
            yield f"{b.solver} found {b.objective!r}, above {a.solver}'s bound {a.bound!r}"
        return
    for mine, other in zip(a.stages, b.stages, strict=True):
        if other.value > mine.bound + scale:
            found = f"tier {mine.name}: {b.solver} found {other.value!r}"
            yield f"{found}, above {a.solver}'s bound {mine.bound!r}"
        if other.value < mine.value or problem.tier_tolerance_ratio > 0.0:
            return  # from here on they keep different things


def brute_force(problem: CellProblem) -> float | None:
    """Best sum of MOS by trying every step of every bearer; None for other forms and curves."""
    plain = problem.form == "sum" and problem.alpha == 0.0 and not problem.groups
    plain &= bool(np.isnan(problem.share_running_ratio).all() and problem.capacity_bps > 0.0)
    if not plain or not problem.curves.step.all():
        return None
    program = to_program(problem)
    x, y = program.heights.share, program.heights.mos
    best = -np.inf
    for levels in itertools.product(range(x.shape[1]), repeat=len(program.low)):
        at = np.array(levels), np.arange(len(program.low))
        share = np.maximum(x[at[1], at[0]], program.low)
        if (share <= program.high * (1 + 1e-12)).all() and share.sum() <= program.budget * (1 + 1e-12):
            height = np.maximum(y[at[1], at[0]], evaluate(program.heights, program.low))
            best = max(best, float(program.weight @ height))
    return best


def examine(number: int) -> tuple[list[str], CellProblem]:
    """Solve the problem of a number by every way, spoil it too; return what is wrong."""
    problem = draw(number)
    wrong: list[str] = []
    (fast,) = solve([problem], gap_target_ratio=0.0)
    wrong += faults(problem, fast)
    methods = ["milp"] if not disjoint(problem.groups) or number % 4 else ["milp", "numpy"]
    for method in methods:
        (other,) = solve([problem], method=method, gap_target_ratio=0.0)
        wrong += [f"{method}: {fault}" for fault in faults(problem, other)]
        wrong += [*compared(problem, fast, other), *compared(problem, other, fast)]
    best = brute_force(problem) if number % 4 == 0 else None
    if (
        best is not None
        and abs(best - fast.objective) > 1e-9 * max(1.0, abs(best)) + fast.bound - fast.objective
    ):
        wrong.append(f"brute force found {best!r}, not {fast.objective!r}")
    spoilt, path = spoil(number)
    try:
        solve([spoilt])
        wrong.append(f"{path}: not refused")
    except ProblemError as error:
        if not str(error).startswith("$.cells[0]") or path not in str(error):
            wrong.append(f"{path}: refused with {error}")
    return wrong, problem


def main(n_problems: int) -> int:
    """Examine many problems; return how many are wrong."""
    kinds: Counter[str] = Counter()
    n_wrong = 0
    for number in range(n_problems):
        try:
            wrong, problem = examine(number)
        except Exception as error:  # whatever it is, it is a finding, and the next is to be looked at
            wrong, problem = [f"{type(error).__name__}: {error}"], draw(number)
        kinds.update([problem.form, "all"] + (["groups"] if problem.groups else []))
        kinds.update(["promises cut"] if problem.capacity_bps and keep_promises(problem).shed else [])
        n_wrong += bool(wrong)
        for fault in wrong:
            print(f"{number}: {fault}", flush=True)
    print(f"{n_wrong} wrong of", ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
    return n_wrong


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
