"""Cells that hang together, drawn by number, and what every answer for them must satisfy.

``python tests/hard_coupled.py 1000`` solves as many by prices and by milp and compares the answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qoe.optimise import CoupledAllocation, CoupledProblem, Leg, Link, SplitBearer, solve_coupled
from qoe.tools.cells import random_cells

HIGHS = 5e-6  # absolute gap and feasibility at which HiGHS is content, of sums over cells
LADDER = np.array([0.0, 1e6, 2e6, 4e6, 8e6])
RUNGS = np.array([1.0, 2.0, 3.2, 4.0, 4.6])


def make(
    seed: int, n_cells: int, n_bearers: int, n_split: int, load: float, **options: Any
) -> CoupledProblem:
    """Draw cells behind a link that carries `load` of a third of their capacity, and split bearers."""
    rng = np.random.default_rng(seed)
    cells = [
        replace(c, direction="down") for c in random_cells(seed, n_cells, n_bearers, n_points=16, **options)
    ]
    names = tuple(c.cell for c in cells)
    link = Link("hub", load * sum(c.capacity_bps for c in cells) / 3.0, names)
    split = [
        SplitBearer(
            f"u{u}",
            "video",
            tuple(Leg(names[c], 1e8 * rng.uniform(0.5, 2.0)) for c in rng.choice(n_cells, 2, replace=False)),
            LADDER * rng.uniform(0.5, 2.0),
            RUNGS,
            step=bool(rng.random() < 0.5),
            floor_mos=2.0 if rng.random() < 0.3 else np.nan,
        )
        for u in range(n_split)
    ]
    return CoupledProblem(tuple(cells), (link,), tuple(split))


def draw(number: int) -> CoupledProblem:
    """Draw the problem of a number: few cells, links from none to wide, groups, floors, split bearers."""
    rng = np.random.default_rng([number, 6])
    load = float(rng.choice([0.0, 1e-3, 0.1, 0.4, 0.8, 10.0]))
    options = {"floors": bool(rng.random() < 0.5), "groups": bool(rng.random() < 0.3)}
    n_cells = int(rng.integers(2, 4))
    problem = make(number, n_cells, int(rng.integers(1, 5)), int(rng.integers(0, 3)), load, **options)
    if rng.random() < 0.3:
        dead = replace(problem.cells[0], capacity_bps=0.0)
        problem = replace(problem, cells=(dead, *problem.cells[1:]))
    if rng.random() < 0.3:
        second = Link("spoke", 0.2 * problem.links[0].capacity_bps, (problem.cells[0].cell,))
        problem = replace(problem, links=(*problem.links, second))
    return problem


def broken(problem: CoupledProblem, a: CoupledAllocation) -> Iterator[str]:
    """Name every constraint that shares violate, unless the promise behind it is listed as shed."""
    shed = {(where, s.kind, s.index) for where, s in a.shed}
    load = {link.name: 0.0 for link in problem.links}
    for c, (cell, share) in enumerate(zip(problem.cells, a.share_ratio, strict=True)):
        legs = [
            (float(a.leg_share_ratio[u][k]), leg)
            for u, b in enumerate(problem.split)
            for k, leg in enumerate(b.legs)
            if (leg.cell, b.direction) == (cell.cell, cell.direction)
        ]
        if share.sum() + sum(s for s, _ in legs) > cell.budget_ratio + 1e-9 or (share < 0.0).any():
            yield f"budget {c}"
        if (share > cell.max_share_ratio + 1e-9).any():
            yield f"max_share {c}"
        short = np.flatnonzero(a.mos_after[c] < cell.floor_mos - 1e-9)
        yield from (f"floor {c} {i}" for i in short if (cell.cell, "floor", int(i)) not in shed)
        for g, group in enumerate(cell.groups):
            total = share[list(group.members)].sum()
            least = 0.0 if (cell.cell, "group_min", g) in shed else group.min_share_ratio
            if not least - 1e-9 <= total <= group.max_share_ratio + 1e-9:
                yield f"group {c} {group.name}"
        for link in problem.links:
            if cell.cell in link.cells:
                load[link.name] += share @ cell.efficiency_bps + sum(
                    s * leg.efficiency_bps for s, leg in legs
                )
    for link in problem.links:
        if load[link.name] > link.capacity_bps * (1.0 + 1e-9):
            yield f"link {link.name}"
    for u, bearer in enumerate(problem.split):
        if a.split_mos[u] < bearer.floor_mos - 1e-9 and ("", "floor", u) not in shed:
            yield f"split floor {u}"


def examine(number: int) -> list[str]:
    """Solve the problem of a number by prices and by milp; return what is wrong."""
    problem = draw(number)
    dual, exact = solve_coupled(problem, method="dual"), solve_coupled(problem, method="milp")
    wrong: list[str] = []
    for a in (dual, exact):
        wrong += [f"{a.solver}: {fault}" for fault in broken(problem, a)]
        if not a.objective <= a.bound:
            wrong.append(f"{a.solver}: objective above its bound")
    for a, b in ((dual, exact), (exact, dual)):
        if a.objective > b.bound + HIGHS * max(1.0, abs(b.bound)):
            wrong.append(f"{a.solver} found {a.objective!r}, above {b.solver}'s bound {b.bound!r}")
    return wrong


def main(n_problems: int) -> int:
    """Examine many problems; return how many are wrong."""
    n_wrong = 0
    for number in range(n_problems):
        try:
            wrong = examine(number)
        except Exception as error:  # whatever it is, it is a finding, and the next is to be looked at
            wrong = [f"{type(error).__name__}: {error}"]
        n_wrong += bool(wrong)
        for fault in wrong:
            print(f"{number}: {fault}", flush=True)
    print(f"{n_wrong} wrong of {n_problems}")
    return n_wrong


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)))
