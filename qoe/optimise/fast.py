"""The fast path: programs packed for the compiled solver, and its results unpacked.

Life cycle: *set up* a :class:`FastSolver` (all memory is taken), *update* weights, bounds or curves in
place, *warm start* it if a better guess of the prices is known than those of the last solve, *solve*. Nothing
is allocated from the first update on.

>>> solver = FastSolver([to_program(problem) for problem in problems])     # doctest: +SKIP
>>> while running():                                                   # doctest: +SKIP
...     solver.update(weight=weights)
...     solver.solve()
...     apply(solver.solutions())
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from qoe.errors import ProblemError
from qoe.optimise.program import Program, Relaxed, Solution
from qoe.schema import BoolArray, Curves, FloatArray, IntArray

MAX_NODES: Final = 400


class FastSolver:
    """Many cells, solved together by ``qoe_native.waterfill``.

    Parameters
    ----------
    programs : sequence of Program
        One or more, of `qoe.optimise.to_program`; the groups of each are disjoint.
    gap_target_ratio : float
        Certified gap at which the search in a cell ends.
    max_nodes : int
        Relaxations at most a cell. 1: the relaxation, rounded; 0: its bound and its own shares only.
    twin : bool
        Use the plain NumPy twin in place of the compiled solver.

    Attributes
    ----------
    data : qoe_native.waterfill_data.Cells
        The packed problem and the results, to be read; :meth:`update` writes it.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        gap_target_ratio: float = 5e-4,
        max_nodes: int = MAX_NODES,
        twin: bool = False,
    ) -> None:
        from qoe_native.waterfill_data import make_work

        self._target = gap_target_ratio
        self._max_nodes = max_nodes
        self._twin = twin
        self.data, self._place, self._sorted = _pack(programs)
        self._members = [[group.members for group in program.groups] for program in programs]
        n_most = max(len(p.low) for p in programs)
        self._work = make_work(n_most, self.data.x.shape[1], max_nodes)

    def update(
        self,
        cell: int | None = None,
        *,
        weight: FloatArray | None = None,
        low: FloatArray | None = None,
        high: FloatArray | None = None,
        cost: FloatArray | None = None,
        heights: Curves | None = None,
        budget: float | FloatArray | None = None,
        base: float | FloatArray | None = None,
    ) -> None:
        """Change numbers in place; what is not given stays. New weights and costs keep the hulls.

        Parameters
        ----------
        cell : int or None
            Which program's; None: of all, bearers one program after the other.
        weight, low, high, cost : ndarray of float64, shape (n_bearers,)
            Weights, bounds of the shares, and what a share costs besides (0 at set-up).
        heights : Curves
            Curves with as many points as those at set-up, or fewer.
        budget, base : float, or ndarray of float64, shape (n_cells,)
            Bound on the sum of shares, value from which gaps are measured.

        Raises
        ------
        ProblemError
            `heights` has more points than there is room for.
        """
        rows = slice(None) if cell is None else self._rows(cell)
        for field, values in (("weight", weight), ("low", low), ("high", high), ("cost", cost)):
            if values is not None:
                self._write(self.data.bearers[field], rows, values)
        if heights is not None:
            self._write_curves(rows, heights)
        if low is not None or high is not None or heights is not None:
            self.data.bearers["n_hull"][rows] = 0
        which = slice(None) if cell is None else cell
        for field, value in (("budget", budget), ("base", base)):
            if value is not None:
                self.data.cells[field][which] = value

    def replace(self, cell: int, program: Program) -> None:
        """Put another program in place of one with as many bearers and the same members in its groups.

        Raises
        ------
        ProblemError
            Its size is another.
        """
        record = self.data.cells[cell]
        groups = self.data.groups[record["first_group"] :][: record["n_groups"]]
        members = [group.members for group in program.groups]
        if len(program.low) != record["n"] or members != self._members[cell]:
            raise ProblemError(
                f"cell {cell}: the new program has other bearers or groups; set up a new solver"
            )
        self.update(
            cell,
            weight=program.weight,
            low=program.low,
            high=program.high,
            heights=program.heights,
            budget=program.budget,
            base=program.base,
        )
        groups["min"] = [group.min_share_ratio for group in program.groups]
        groups["max"] = [group.max_share_ratio for group in program.groups]

    def warm_start(self, price: float | FloatArray) -> None:
        """Guess the prices of capacity, one for all cells or one a cell; 0: no guess.

        Without it a solve starts from the prices of the one before. A guess changes the time that a solve
        takes, not what it finds.
        """
        self.data.cells["price"] = price

    def reset(self) -> None:
        """Forget prices and hulls: the next solve is cold."""
        self.warm_start(0.0)
        self.data.bearers["n_hull"] = 0

    def solve(self) -> None:
        """Solve all cells; the results are in `data`."""
        if self._twin:
            from qoe_native.waterfill_numpy import solve_cells_numpy

            solve_cells_numpy(self.data, self._target, self._max_nodes)
        else:
            from qoe_native.waterfill import solve_cells

            solve_cells(self.data, self._work, self._target, self._max_nodes)

    def shares(self, cell: int) -> FloatArray:
        """Copy the shares of one cell, bearers in its program's order, shape (n_bearers,)."""
        return self._unpacked("share", cell)

    def solutions(self) -> list[Solution]:
        """Unpack the results, one a program, bearers in their order."""
        cells = self.data.cells
        return [
            Solution(self._unpacked("share", i), float(cells[i]["value"]), float(cells[i]["bound"]))
            for i in range(cells.size)
        ]

    def relaxed(self) -> list[Relaxed]:
        """Unpack the results of a solve with ``max_nodes=0``."""
        bound = self.data.cells["bound"]
        return [
            Relaxed(float(bound[i]), self._unpacked("share", i), self._unpacked("hull", i))
            for i in range(bound.size)
        ]

    def _rows(self, cell: int) -> slice:
        first, n = int(self.data.cells["first"][cell]), int(self.data.cells["n"][cell])
        return slice(first, first + n)

    def _write(self, column: Any, rows: slice, values: FloatArray | BoolArray) -> None:
        if self._sorted:
            column[rows] = values
        else:
            column[self._place[rows]] = values

    def _write_curves(self, rows: slice, heights: Curves) -> None:
        width, room = heights.share.shape[1], self.data.x.shape[1]
        if width > room:
            raise ProblemError(f"curves of {width} points: the solver was set up for {room} at most")
        where = rows if self._sorted else self._place[rows]
        for table, values in ((self.data.x, heights.share), (self.data.y, heights.mos)):
            table[where, :width] = values
            table[where, width:] = values[:, -1:]
        self._write(self.data.bearers["step"], rows, heights.step)

    def _unpacked(self, field: str, i: int) -> FloatArray:
        return np.asarray(self.data.bearers[field][self._place[self._rows(i)]])


def _pack(programs: Sequence[Program]) -> tuple[Any, IntArray, bool]:
    """Lay the programs out one after the other, members of a group side by side.

    Returns the arrays, for each bearer in the programs' order where it lies in them, and whether that is
    where it stood.
    """
    from qoe_native.waterfill_data import BEARER_DTYPE, CELL_DTYPE, GROUP_DTYPE, MAX_POINTS, Cells

    n = np.array([len(p.low) for p in programs])
    first = np.concatenate(([0], np.cumsum(n)[:-1]))
    n_points = max(p.heights.share.shape[1] for p in programs)
    if n_points > MAX_POINTS:
        raise ProblemError(f"curves of {n_points} points: the fast path takes {MAX_POINTS} at most")
    x, y = np.empty((n.sum(), n_points)), np.empty((n.sum(), n_points))
    bearers, cells = np.zeros(n.sum(), BEARER_DTYPE), np.zeros(len(programs), CELL_DTYPE)
    groups = np.zeros(sum(len(p.groups) for p in programs), GROUP_DTYPE)
    place = np.empty(n.sum(), np.int64)
    cells["first"], cells["n"] = first, n
    cells["n_groups"] = [len(p.groups) for p in programs]
    cells["first_group"] = np.concatenate(([0], np.cumsum(cells["n_groups"])[:-1]))
    cells["budget"], cells["base"] = [p.budget for p in programs], [p.base for p in programs]
    for i, program in enumerate(programs):
        part = slice(first[i], first[i] + n[i])
        order = _by_group(program, groups[cells[i]["first_group"] :])
        width = program.heights.share.shape[1]
        x[part, :width], x[part, width:] = program.heights.share[order], program.heights.share[order, -1:]
        y[part, :width], y[part, width:] = program.heights.mos[order], program.heights.mos[order, -1:]
        for field, values in (
            ("step", program.heights.step),
            ("low", program.low),
            ("high", program.high),
            ("weight", program.weight),
        ):
            bearers[field][part] = values[order]
        place[first[i] + order] = first[i] + np.arange(n[i])
    hulls = np.empty((n.sum(), n_points + 2), np.uint16)
    return Cells(x, y, hulls, bearers, cells, groups), place, not groups.size


def _by_group(program: Program, records: Any) -> IntArray:
    """Order the bearers by group, write the groups' records, and return the order."""
    order: list[int] = []
    for record, group in zip(records, program.groups, strict=False):
        record["begin"], record["end"] = len(order), len(order) + len(group.members)
        record["min"], record["max"] = group.min_share_ratio, group.max_share_ratio
        order += group.members
    grouped = set(order)
    order += [i for i in range(len(program.low)) if i not in grouped]
    return np.array(order, dtype=np.int64)
