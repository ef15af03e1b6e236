"""From intents to what an optimiser takes: weights, floors, rates and groups, for one cell at one time.

Weights of different selectors multiply, as those of tiers and classes do; of intents that select the same,
the one that ranks first counts. Of several floors of a bearer the highest is asked for, which keeps them all.

"Better than" is no constraint that can be handed on, as what the others get is open. It becomes a weight
that grows while the margin is missed: :class:`qoe.intent.Fulfilment` keeps it, as it keeps the head room
above a floor that the cell delivers less than promised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from qoe.intent.model import MOS_RANGE, Intent, IntentsFile
from qoe.intent.select import Crowd, Selector, in_cell, others_of, selector_of
from qoe.intent.steering import Steer, learnt
from qoe.schema import BoolArray, FloatArray

_NOT_JUDGED: Final = ("unknown", "other")


class GroupTarget(NamedTuple):
    """Bearers whose shares together have bounds; the fields are those of an optimiser's group."""

    name: str
    members: tuple[int, ...]
    min_share_ratio: float
    max_share_ratio: float


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the intents ask of one cell in one direction at one time.

    Attributes
    ----------
    at_s : float
        Seconds since 1970.
    cell, direction : str
        Of the bearers.
    subscriber : tuple of str, length n_bearers
        Whom each serves.
    intents : tuple of Intent, length n_intents
        All of the file, in its order.
    applies : ndarray of bool, shape (n_intents,)
        Which hold here and now.
    concerned, others : ndarray of bool, shape (n_intents, n_bearers)
        Whom each concerns, and whom it compares them with; False where it does not hold.
    weight : ndarray of float64, shape (n_bearers,)
        Multiples of the bearers' weights; 1: none.
    floors_mos : ndarray of float64, shape (n_intents, n_bearers)
        MOS that each intent asks for, head room included; NaN: none.
    rates_bps : ndarray of float64, shape (n_intents, n_bearers)
        Rate that each intent asks for; 0: none.
    groups : tuple of GroupTarget
        Bounds on shares, those with an intent and a bearer here.
    group_intent : tuple of int
        The intent of each group.
    """

    at_s: float
    cell: str
    direction: str
    subscriber: tuple[str, ...]
    intents: tuple[Intent, ...]
    applies: BoolArray
    concerned: BoolArray
    others: BoolArray
    weight: FloatArray
    floors_mos: FloatArray
    rates_bps: FloatArray
    groups: tuple[GroupTarget, ...]
    group_intent: tuple[int, ...]

    @property
    def floor_mos(self) -> FloatArray:
        """Highest MOS asked for, shape (n_bearers,); NaN: none."""
        highest: FloatArray = np.fmax.reduce(self.floors_mos, axis=0, initial=np.nan)
        return highest

    @property
    def min_rate_bps(self) -> FloatArray:
        """Highest rate asked for, shape (n_bearers,); 0: none."""
        highest: FloatArray = np.max(self.rates_bps, axis=0, initial=0.0)
        return highest

    @property
    def in_order(self) -> list[int]:
        """Indices of the intents that hold, first that which ranks first."""
        return sorted(
            (int(i) for i in np.flatnonzero(self.applies)), key=lambda i: (self.intents[i].priority, i)
        )


def compile_intents(
    file: IntentsFile,
    crowd: Crowd,
    at_s: float,
    *,
    judged: BoolArray | None = None,
    steer: Steer | None = None,
) -> Compiled:
    """Compile intents for the bearers of one cell in one direction.

    Parameters
    ----------
    file : IntentsFile
        Of `load_intents`.
    crowd : Crowd
        The bearers: an optimiser's problem or `Bearers`.
    at_s : float
        When, in seconds since 1970.
    judged : ndarray of bool, shape (n_bearers,), optional
        Bearers whose MOS means something; False for one that but feeds another (acknowledgements, requests):
        no MOS is asked for it. Default: all.
    steer : Steer, optional
        Of `Fulfilment.steer`: what the loop has learnt.

    Returns
    -------
    Compiled
        Of the classes ``unknown`` and ``other`` no MOS is asked, unless an intent names them.
    """
    intents, n_bearers = file.intents, len(crowd.subscriber)
    shape = (len(intents), n_bearers)
    applies = np.array([i.applies(at_s) and in_cell(i.where, crowd) for i in intents], dtype=np.bool_)
    concerned, others = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    floors, rates = np.full(shape, np.nan), np.zeros(shape)
    known = [
        learnt(steer or {}, (i, crowd.cell, crowd.direction), intent.target.kind)
        for i, intent in enumerate(intents)
    ]
    selectors = [selector_of(intent, file.groups) for intent in intents]
    for i in np.flatnonzero(applies):
        target, meant = intents[i].target, selectors[i].mask(crowd)
        on_mos = target.kind in ("mos_at_least", "better_than")
        concerned[i] = meant & _judged(crowd, selectors[i], judged) if on_mos else meant
        if target.better_than is not None:
            than = others_of(target.better_than, file.groups)
            others[i] = than.mask(crowd) & _judged(crowd, than, judged) & ~meant
        if target.mos_at_least is not None:
            floors[i, concerned[i]] = min(target.mos_at_least + known[i], MOS_RANGE[1])
        if target.rate_at_least_bps is not None:
            rates[i, concerned[i]] = target.rate_at_least_bps
    grouped = tuple(
        int(i) for i in np.flatnonzero(applies) if intents[i].target.kind == "share" and concerned[i].any()
    )
    return Compiled(
        at_s,
        crowd.cell,
        crowd.direction,
        tuple(crowd.subscriber),
        intents,
        applies,
        concerned,
        others,
        _weights(intents, selectors, concerned, others, known),
        floors,
        rates,
        tuple(_group(intents[i], concerned[i]) for i in grouped),
        grouped,
    )


def _judged(crowd: Crowd, selector: Selector, judged: BoolArray | None) -> BoolArray:
    """Tell where a MOS means something: not of classes that nobody judges, unless they are named."""
    named = bool(selector.app_class)
    classes = np.array([named or name not in _NOT_JUDGED for name in crowd.app_class], np.bool_)
    return classes if judged is None else classes & judged


def _weights(
    intents: tuple[Intent, ...],
    selectors: list[Selector],
    concerned: BoolArray,
    others: BoolArray,
    known: list[float],
) -> FloatArray:
    weight = np.ones(concerned.shape[1])
    taken: set[tuple[Selector, object]] = set()
    for i in sorted(range(len(intents)), key=lambda i: (intents[i].priority, i)):
        target = intents[i].target
        if target.weight is not None and concerned[i].any():
            key = (selectors[i], intents[i].where)
            if key not in taken:
                weight[concerned[i]] *= target.weight
            taken.add(key)
        elif target.kind == "better_than" and others[i].any():
            weight[concerned[i]] *= math.exp(known[i])
    return weight


def _group(intent: Intent, members: BoolArray) -> GroupTarget:
    least, most = intent.target.share_at_least, intent.target.share_at_most
    return GroupTarget(
        intent.name,
        tuple(int(b) for b in np.flatnonzero(members)),
        least or 0.0,
        math.inf if most is None else most,
    )
