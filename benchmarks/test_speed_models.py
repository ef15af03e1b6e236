"""MOS and shares in batches, each beside a reference in its group: ``pytest benchmarks``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.mos import models
from benchmarks.optimise import SEED
from qoe.optimise.fast import FastSolver
from qoe.optimise.general import solve_general
from qoe.optimise.program import Program, make_program
from qoe.optimise.promises import keep_promises
from qoe.tools.cells import random_cells

N_MOS = 1_000
MODELS = models(N_MOS)
N_BEARERS = 10

Benchmark = Any


@pytest.mark.parametrize("name", MODELS)
def test_mos_together(benchmark: Benchmark, name: str) -> None:
    """MOS of many flows in one call."""
    benchmark.group = f"{name}: {N_MOS:,} flows"
    model, inputs = MODELS[name]
    assert benchmark(model, *inputs).shape == (N_MOS,)


@pytest.mark.parametrize("name", MODELS)
def test_mos_one_by_one(benchmark: Benchmark, name: str) -> None:
    """The reference: a call a flow, and the same scores."""
    benchmark.group = f"{name}: {N_MOS:,} flows"
    model, inputs = MODELS[name]
    rows = list(zip(*(np.broadcast_to(x, N_MOS).tolist() for x in inputs), strict=True))
    scores = benchmark(lambda: [model(*row) for row in rows])
    np.testing.assert_allclose(scores, model(*inputs), rtol=1e-9)


@pytest.fixture(scope="module", name="program")
def _program() -> Program:
    """One congested cell with floors, ready to be solved."""
    cell = random_cells(SEED, 1, N_BEARERS, floors=True)[0]
    return make_program(cell, keep_promises(cell))


@pytest.mark.benchmark(group=f"a cell of {N_BEARERS} bearers")
@pytest.mark.parametrize("twin", [False, True], ids=["compiled", "NumPy twin"])
def test_cell(benchmark: Benchmark, program: Program, twin: bool) -> None:
    """The fast path, compiled and as its plain twin."""
    solver = FastSolver([program], twin=twin)
    benchmark(solver.solve)
    assert solver.solutions()[0].value <= solver.solutions()[0].bound


@pytest.mark.benchmark(group=f"a cell of {N_BEARERS} bearers")
@pytest.mark.parametrize("method", ["milp", "slsqp"])
def test_cell_scipy(benchmark: Benchmark, program: Program, method: str) -> None:
    """The reference: SciPy's solvers, whose value the bound of the fast path holds down too."""
    fast = FastSolver([program])
    fast.solve()
    theirs = benchmark.pedantic(solve_general, (program, method), rounds=5)
    assert theirs.value <= fast.solutions()[0].bound + 1e-6
