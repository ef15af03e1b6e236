"""MOS and shares in batches, each beside a reference in its group: ``pytest benchmarks``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.mos import models

N_MOS = 1_000
MODELS = models(N_MOS)

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
