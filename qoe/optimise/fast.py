"""The fast path: programs packed for the compiled solver, and its results unpacked.

Life cycle: make a :class:`FastSolver` (memory is taken), call :meth:`~FastSolver.solve` as often as its
arrays change; each solve starts from the prices of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from qoe.optimise.program import Program, Relaxed, Solution
from qoe.schema import FloatArray, IntArray

MAX_NODES: Final = 400


class FastSolver:
    """Many cells, solved together by ``qoe_native.waterfill``.

    Parameters
    ----------
    programs : sequence of Program
        One or more; the groups of each are disjoint.
    gap_target_ratio : float
        Certified gap at which the search in a cell ends.
    max_nodes : int
        Relaxations at most a cell. 0: bounds and relaxed shares only.
    twin : bool
        Use the plain NumPy twin in place of the compiled solver.

    Attributes
    ----------
    data : qoe_native.waterfill_data.Cells
        What is solved, and the results: write new weights or bounds here between two solves.
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
        self.data, self._place = _pack(programs)
        n_most = max(len(p.low) for p in programs)
        self._work = make_work(n_most, self.data.x.shape[1], max_nodes)

    def solve(self) -> None:
        """Solve all cells; the results are in `data`."""
        if self._twin:
            from qoe_native.waterfill_numpy import solve_cells_numpy

            solve_cells_numpy(self.data, self._target, self._max_nodes)
        else:
            from qoe_native.waterfill import solve_cells

            solve_cells(self.data, self._work, self._target, self._max_nodes)

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

    def _unpacked(self, field: str, i: int) -> FloatArray:
        first, n = self.data.cells[i]["first"], self.data.cells[i]["n"]
        place = self._place[first : first + n]
        return np.asarray(self.data.bearers[field][place])


def _pack(programs: Sequence[Program]) -> tuple[Any, IntArray]:
    """Lay the programs out one after the other, members of a group side by side.

    Returns the arrays, and for each bearer in the programs' order where it lies in them.
    """
    from qoe_native.waterfill_data import BEARER_DTYPE, CELL_DTYPE, GROUP_DTYPE, Cells

    n = np.array([len(p.low) for p in programs])
    first = np.concatenate(([0], np.cumsum(n)[:-1]))
    n_points = max(p.heights.share.shape[1] for p in programs)
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
    return Cells(x, y, bearers, cells, groups), place


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
