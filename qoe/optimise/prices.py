"""Shadow prices: what more capacity would bring, and what each promise costs the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from qoe.optimise.fast import FastSolver
from qoe.optimise.general import relax_general
from qoe.optimise.program import Program, Relaxed
from qoe.optimise.promises import disjoint
from qoe.schema import FloatArray

MORE_CAPACITY: Final = 1.1
_AT_ONCE: Final = 64
_AT_FLOOR_RATIO: Final = 1e-9


def relax_all(programs: Sequence[Program]) -> list[Relaxed]:
    """Solve the relaxation of every program."""
    quick = [i for i, program in enumerate(programs) if disjoint(program.groups)]
    done: dict[int, Relaxed] = {}
    if quick:
        solver = FastSolver([programs[i] for i in quick], max_nodes=0)
        solver.solve()
        done = dict(zip(quick, solver.relaxed(), strict=True))
    return [done[i] if i in done else relax_general(program) for i, program in enumerate(programs)]


def capacity_prices(programs: Sequence[Program], relaxed: Sequence[Relaxed]) -> list[float]:
    """Find what 10 % more budget adds to the value of each relaxation.

    Parameters
    ----------
    programs : sequence of Program
        The cells.
    relaxed : sequence of Relaxed
        Their relaxations.
    """
    more = relax_all([replace(program, budget=program.budget * MORE_CAPACITY) for program in programs])
    return [max(0.0, a.bound - b.bound) for a, b in zip(more, relaxed, strict=True)]


def floor_prices(
    programs: Sequence[Program], relaxed: Sequence[Relaxed], floors: Sequence[FloatArray]
) -> list[FloatArray]:
    """Find what each floor takes from the others.

    Parameters
    ----------
    programs : sequence of Program
        The cells.
    relaxed : sequence of Relaxed
        Their relaxations.
    floors : sequence of ndarray of float64, each of shape (n_bearers,)
        For each cell, the part of each lower bound that is there for the floor alone.

    Returns
    -------
    list of ndarray of float64, each of shape (n_bearers,)
        Gain of the others in the relaxation if this floor, and no other, were lifted; 0 where there is none.
    """
    prices = [np.zeros(floor.size) for floor in floors]
    binding = [
        (k, int(i))
        for k, (program, at, floor) in enumerate(zip(programs, relaxed, floors, strict=True))
        for i in np.flatnonzero((floor > 0.0) & (at.share <= program.low + _AT_FLOOR_RATIO * program.budget))
    ]
    for begin in range(0, len(binding), _AT_ONCE):
        some = binding[begin : begin + _AT_ONCE]
        lifted = relax_all([_without_floor(programs[k], floors[k], i) for k, i in some])
        for (k, i), other in zip(some, lifted, strict=True):
            gain = (other.bound - other.hull[i]) - (relaxed[k].bound - relaxed[k].hull[i])
            prices[k][i] = max(0.0, gain)
    return prices


def _without_floor(program: Program, floor: FloatArray, i: int) -> Program:
    low = program.low.copy()
    low[i] -= floor[i]
    return replace(program, low=low)
