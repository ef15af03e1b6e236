"""Why a cell was shared as it was, in sentences and rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qoe.report import text
from qoe.report.result import BadlyOff, Explanation, PolicyResult, PromisePrice

POLICY_NAMES: Final = {
    "allocation": "these weights",
    "pf": "proportional fair",
    "weighted_pf": "proportional fair by weight",
    "strict_priority": "strict priority",
    "equal": "equal shares",
}
_OBSTACLES: Final = {
    "radio": "not even the whole cell lifts it, its radio is too weak",
    "path": "no share lifts it: its delay, loss or codec holds it down, or the other direction",
    "max_share": "more than its own maximum would be needed",
    "promises": "what is promised to others leaves no room for it",
}
_NAMED: Final = 4
_NOTICED: Final = 0.005


def explained(explanation: Explanation, capacity_bps: float) -> Iterator[str]:
    """Tell what capacity and promises cost, and who is badly off.

    Parameters
    ----------
    explanation : Explanation
        Of one cell.
    capacity_bps : float
        Of this cell.
    """
    more = text.si(capacity_bps / 100.0, "bit/s")
    gain = explanation.capacity_price.mean_mos_per_percent
    yield f"1 % more capacity ({more}) would add {_small(gain)} to the mean MOS."
    dear = [p for p in explanation.promise_prices if p.others_mos >= _NOTICED]
    for price in dear[:_NAMED]:
        yield _price(price)
    if len(dear) > _NAMED:
        yield f"{len(dear) - _NAMED:,} more promises cost the others something."
    for row in explanation.badly_off[:_NAMED]:
        yield _badly_off(row)
    if len(explanation.badly_off) > _NAMED:
        yield f"{len(explanation.badly_off) - _NAMED:,} more bearers are below MOS 2 or their floor."


def _small(mos: float) -> str:
    return f"{mos:.3f}" if mos >= 0.0005 else "nothing"


def _price(price: PromisePrice) -> str:
    whose = {
        "floor": f"The floor of {price.name}",
        "tier_weight": f"That {price.name} counts more",
        "tier_floors": f"The floors of {price.name}",
        "group_min": f"The minimum of {price.name}",
    }[price.kind]
    own = f"gives {text.plural(price.n_members, 'bearer')} {price.own_mos:.2f} MOS in the mean"
    return f"{whose} {own} and costs the others {price.others_mos:.2f} each."


def _badly_off(row: BadlyOff) -> str:
    told = f"{row.subscriber}'s {row.app_class} ends at MOS {text.mos(row.mos)}"
    if row.since_s is not None:
        told += f", below 2 since {text.clock(row.since_s)}"
    if row.obstacle:
        return f"{told}: {_OBSTACLES[row.obstacle]}."
    told += f"; {text.percent(row.needed_share_ratio)} of the airtime would give it {row.target_mos:.3g}"
    if row.others_mos is not None:
        told += f" and cost the others {_small(max(row.others_mos, 0.0))} each"
    return f"{told}, or {text.percent(row.more_capacity_ratio)} more capacity for it alone."


def policy_row(policy: PolicyResult) -> tuple[str, ...]:
    """Cells of a table of policies: name, mean, 5th percentile, bearers below 2 and 3."""
    return (
        POLICY_NAMES.get(policy.policy, policy.policy),
        text.mos(policy.mean_mos),
        text.mos(policy.p5_mos),
        f"{policy.n_below_2:,}",
        f"{policy.n_below_3:,}",
    )
