"""The optimiser's question: who shares a cell, what a share is worth to each, and what was promised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.errors import ProblemError
from qoe.schema import Curves, FloatArray

DIRECTIONS: Final = ("down", "up")
MOS_MIN: Final = 1.0
MOS_MAX: Final = 5.0
FORMS: Final = ("sum", "max_min", "lexicographic")
STICKINESS: Final = 1.25
FLOOR_CAP_RATIO: Final = 0.5
TIER_TOLERANCE_RATIO: Final = 0.01
ARP_LEVELS: Final = (1, 15)
ARP_LEVEL: Final = 8


@dataclass(frozen=True, slots=True)
class Group:
    """Bearers whose shares together have a minimum and a maximum (a slice, a tier, a plan).

    Attributes
    ----------
    name : str
        Unique in its cell.
    members : tuple of int
        Indices of the bearers, each once.
    min_share_ratio, max_share_ratio : float
        Bounds on the sum of the members' shares.
    """

    name: str
    members: tuple[int, ...]
    min_share_ratio: float = 0.0
    max_share_ratio: float = math.inf


@dataclass(frozen=True, slots=True)
class CellProblem:
    """One cell in one direction: its bearers, their curves and the promises made to them.

    Build it with :meth:`build`, which fills in what is usual. Arrays have shape (n_bearers,) and dtype
    float64; NaN means "not given" where so stated.

    Attributes
    ----------
    cell : str
        Name of the cell.
    direction : str
        ``"down"`` or ``"up"``.
    capacity_bps : float
        What the cell carries, 0 or more. 0 gives a status, not an error.
    subscriber, app_class : tuple of str
        Who each bearer serves, and the application class; a pair occurs once in a cell.
    curves : Curves
        MOS as a function of share, one row a bearer. Beyond its last point a curve holds its last value.
    efficiency_bps : ndarray
        Rate of the bearer had it the whole cell (share 1), above 0.
    weight : ndarray
        What one MOS of this bearer counts, 0 or more, not all 0.
    min_share_ratio, max_share_ratio : ndarray
        Bounds of each share.
    floor_mos : ndarray
        Promised MOS, NaN for none.
    gbr_bps : ndarray
        Guaranteed bit rate, above 0, NaN for none (3GPP TS 23.501, 5.7.2.5): the bearer is admitted with at
        least this rate, or gets nothing.
    arp_level : ndarray
        Priority level of the allocation and retention priority, 1 (first) to 15 (3GPP TS 23.501, 5.7.2.2):
        the order in which guaranteed rates are admitted.
    share_observed_ratio : ndarray
        Share that was seen, NaN if unknown: where `mos_before` is read.
    share_running_ratio : ndarray
        Share that the running decision grants, NaN for none: what stickiness holds on to.
    tier : tuple of str or None
        Tier of each bearer, one of `tiers`, None for the last.
    tiers : tuple of str
        Best first: the order in which promises are kept when not all can be.
    groups : tuple of Group
        Minima and maxima on sums of shares.
    budget_ratio : float
        Upper bound on the sum of shares, above 0.
    form : str
        What is maximised. ``"sum"``: the weighted sum of MOS, or of what `alpha` makes of it. ``"max_min"``:
        first the lowest MOS, where nobody is held back for the sake of bearers that cannot be lifted; then
        the sum. ``"lexicographic"``: the sum over the best tier, then, while that is kept, over the next.
    tier_tolerance_ratio : float
        For ``"lexicographic"``: part of what a tier gains over MOS 1 that it may lose to the tiers below, 0
        to less than 1.
    alpha : float
        0: weighted sum of MOS; above: alpha-fair in MOS (1: proportional, 2: harmonic).
    stickiness : float
        Weight of MOS up to what the running share gives, 1 or more; 1 switches it off.
    floor_cap_ratio : float
        Largest fraction of the budget that one floor, or one guaranteed rate, may reserve, above 0, to 1.
    """

    cell: str
    direction: str
    capacity_bps: float
    subscriber: tuple[str, ...]
    app_class: tuple[str, ...]
    curves: Curves
    efficiency_bps: FloatArray
    weight: FloatArray
    min_share_ratio: FloatArray
    max_share_ratio: FloatArray
    floor_mos: FloatArray
    gbr_bps: FloatArray
    arp_level: FloatArray
    share_observed_ratio: FloatArray
    share_running_ratio: FloatArray
    tier: tuple[str | None, ...]
    tiers: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    budget_ratio: float = 1.0
    form: str = "sum"
    tier_tolerance_ratio: float = TIER_TOLERANCE_RATIO
    alpha: float = 0.0
    stickiness: float = STICKINESS
    floor_cap_ratio: float = FLOOR_CAP_RATIO

    @property
    def n_bearers(self) -> int:
        """Number of bearers."""
        return len(self.subscriber)

    @classmethod
    def build(
        cls,
        cell: str,
        direction: str,
        capacity_bps: float,
        subscriber: Sequence[str],
        app_class: Sequence[str],
        curves: Curves,
        *,
        efficiency_bps: npt.ArrayLike | None = None,
        weight: npt.ArrayLike = 1.0,
        min_share_ratio: npt.ArrayLike = 0.0,
        max_share_ratio: npt.ArrayLike | None = None,
        floor_mos: npt.ArrayLike = math.nan,
        gbr_bps: npt.ArrayLike = math.nan,
        arp_level: npt.ArrayLike = ARP_LEVEL,
        share_observed_ratio: npt.ArrayLike = math.nan,
        share_running_ratio: npt.ArrayLike = math.nan,
        tier: Sequence[str | None] | None = None,
        tiers: Sequence[str] = (),
        groups: Sequence[Group] = (),
        budget_ratio: float = 1.0,
        form: str = "sum",
        tier_tolerance_ratio: float = TIER_TOLERANCE_RATIO,
        alpha: float = 0.0,
        stickiness: float = STICKINESS,
        floor_cap_ratio: float = FLOOR_CAP_RATIO,
    ) -> CellProblem:
        """Make a problem from what is known; the rest takes its usual value.

        Parameters are the attributes of the class. Scalars stand for every bearer; `efficiency_bps`
        defaults to the capacity, `max_share_ratio` to the budget.

        Raises
        ------
        ProblemError
            An array has not one value a bearer.
        """
        n_bearers = len(subscriber)

        def fill(value: npt.ArrayLike, name: str) -> FloatArray:
            try:
                return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (n_bearers,)))
            except (ValueError, TypeError) as error:
                raise ProblemError(f"{name}: {n_bearers} numbers are needed, one a bearer") from error

        return cls(
            cell,
            direction,
            float(capacity_bps),
            tuple(subscriber),
            tuple(app_class),
            curves,
            fill(capacity_bps if efficiency_bps is None else efficiency_bps, "efficiency_bps"),
            fill(weight, "weight"),
            fill(min_share_ratio, "min_share_ratio"),
            fill(budget_ratio if max_share_ratio is None else max_share_ratio, "max_share_ratio"),
            fill(floor_mos, "floor_mos"),
            fill(gbr_bps, "gbr_bps"),
            fill(arp_level, "arp_level"),
            fill(share_observed_ratio, "share_observed_ratio"),
            fill(share_running_ratio, "share_running_ratio"),
            (None,) * n_bearers if tier is None else tuple(tier),
            tuple(tiers),
            tuple(groups),
            float(budget_ratio),
            form,
            float(tier_tolerance_ratio),
            float(alpha),
            float(stickiness),
            float(floor_cap_ratio),
        )
