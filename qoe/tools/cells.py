"""Random congested cells for tests and benchmarks of the optimiser: seeded, of every kind of curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from qoe.optimise import CellProblem, Group
from qoe.schema import Curves, FloatArray, IntArray

KINDS: Final = ("staircase", "sigmoid", "cliff", "concave")
_CLASS_OF: Final = {"staircase": "video", "sigmoid": "gaming", "cliff": "voip", "concave": "bulk"}
_LADDER_BPS: Final = np.array([0.15, 0.35, 0.75, 1.5, 2.5, 4.5, 8.0, 16.0]) * 1e6
_CAPACITY_BPS: Final = 1e8
TIERS: Final = ("gold", "silver", "bronze")


def random_cells(
    seed: int,
    n_cells: int,
    n_bearers: int | tuple[int, int],
    *,
    n_points: int = 64,
    kinds: Sequence[str] = KINDS,
    load: tuple[float, float] = (1.2, 3.0),
    floors: bool = False,
    groups: bool = False,
) -> list[CellProblem]:
    """Draw congested cells.

    Parameters
    ----------
    seed : int
        The same seed and arguments give the same cells.
    n_cells : int
        How many.
    n_bearers : int or (int, int)
        Bearers a cell, or the range they are drawn from, both ends included.
    n_points : int
        Points a curve, 10 or more.
    kinds : sequence of str
        Kinds of curves to draw from: ``"staircase"`` (an ABR ladder), ``"sigmoid"`` (a game), ``"cliff"``
        (a call) and ``"concave"`` (a download).
    load : (float, float)
        Range of the share that all bearers together would use, were it there.
    floors : bool
        Promise some bearers a MOS, by tier.
    groups : bool
        Put each tier in a group that has a minimum or a maximum.

    Returns
    -------
    list of CellProblem
    """
    rng = np.random.default_rng(seed)
    low, high = (n_bearers, n_bearers) if isinstance(n_bearers, int) else n_bearers
    return [
        _cell(rng, f"cell-{i}", int(rng.integers(low, high + 1)), n_points, kinds, load, floors, groups)
        for i in range(n_cells)
    ]


def _cell(
    rng: np.random.Generator,
    name: str,
    n_bearers: int,
    n_points: int,
    kinds: Sequence[str],
    load: tuple[float, float],
    floors: bool,
    groups: bool,
) -> CellProblem:
    kind = [kinds[k] for k in rng.integers(0, len(kinds), n_bearers)]
    drawn = [_CURVE[k](rng, n_points) for k in kind]
    efficiency_bps = _CAPACITY_BPS * np.exp(rng.normal(0.0, 0.6, n_bearers))
    share = np.array([rate for rate, _, _ in drawn]) / efficiency_bps[:, None]
    scale = rng.uniform(*load) / share[:, -1].sum()
    tier_of = rng.integers(0, len(TIERS), n_bearers)
    promised = floors & (rng.random(n_bearers) < 0.25)
    return CellProblem.build(
        name,
        "down" if rng.random() < 0.7 else "up",
        _CAPACITY_BPS,
        [f"s{i}" for i in range(n_bearers)],
        [_CLASS_OF[k] for k in kind],
        Curves(
            share * scale,
            np.array([mos for _, mos, _ in drawn]),
            np.array([step for _, _, step in drawn], dtype=np.bool_),
        ),
        efficiency_bps=efficiency_bps / scale,
        weight=np.array([2.0, 1.0, 0.5])[tier_of],
        floor_mos=np.where(promised, rng.uniform(1.5, 4.0, n_bearers), np.nan),
        share_observed_ratio=rng.dirichlet(np.ones(n_bearers)),
        tier=[TIERS[t] for t in tier_of],
        tiers=TIERS,
        groups=_groups(rng, tier_of) if groups else (),
    )


def _groups(rng: np.random.Generator, tier_of: IntArray) -> list[Group]:
    bounds = [(float(rng.uniform(0.2, 0.5)), 1.0), (0.0, float(rng.uniform(0.1, 0.4))), (0.05, 0.5)]
    members = [tuple(int(i) for i in np.flatnonzero(tier_of == t)) for t in range(len(TIERS))]
    return [Group(name, who, *bound) for name, who, bound in zip(TIERS, members, bounds, strict=True) if who]


def _staircase(rng: np.random.Generator, n_points: int) -> tuple[FloatArray, FloatArray, bool]:
    n_rungs = int(rng.integers(3, len(_LADDER_BPS) + 1))
    rungs = np.sort(rng.choice(_LADDER_BPS, n_rungs, replace=False)) * rng.uniform(0.8, 1.25)
    rungs = np.concatenate(([0.0], rungs))
    mos = 1.0 + rng.uniform(0.5, 1.0) * 3.9 * np.sqrt(np.arange(n_rungs + 1) / n_rungs)
    mos[1:-1] += rng.uniform(-0.1, 0.1, n_rungs - 1)
    mos = np.maximum.accumulate(np.clip(mos, 1.0, 5.0))
    pad = n_points - n_rungs - 1
    return np.pad(rungs, (0, pad), mode="edge"), np.pad(mos, (0, pad), mode="edge"), True


def _sigmoid(rng: np.random.Generator, n_points: int) -> tuple[FloatArray, FloatArray, bool]:
    middle, top = rng.uniform(0.5e6, 8e6), rng.uniform(3.5, 4.8)
    rate = np.linspace(0.0, 2.5 * middle, n_points)
    level = 1.0 / (1.0 + np.exp(-rng.uniform(3.0, 10.0) * (rate / middle - 1.0)))
    return rate, 1.0 + (top - 1.0) * (level - level[0]) / (level[-1] - level[0]), False


def _cliff(rng: np.random.Generator, n_points: int) -> tuple[FloatArray, FloatArray, bool]:
    need, top = rng.choice([30e3, 64e3, 100e3, 500e3, 1.5e6, 3e6]), rng.uniform(3.6, 4.6)
    rate = np.array([0.0, 0.8, 0.95, 1.0, 1.3]) * need * rng.uniform(0.9, 1.2)
    mos = np.array([1.0, 1.0 + rng.uniform(0.0, 0.5), 2.0, top, top + 0.05])
    pad = n_points - rate.size
    return np.pad(rate, (0, pad), mode="edge"), np.pad(mos, (0, pad), mode="edge"), False


def _concave(rng: np.random.Generator, n_points: int) -> tuple[FloatArray, FloatArray, bool]:
    rate = np.geomspace(1.0, 1.0 + rng.uniform(20.0, 400.0), n_points) - 1.0
    return rate * 5e4, 1.0 + rng.uniform(2.5, 4.0) * np.log1p(rate) / np.log1p(rate[-1]), False


_CURVE = {"staircase": _staircase, "sigmoid": _sigmoid, "cliff": _cliff, "concave": _concave}
