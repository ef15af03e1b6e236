"""Explanations as plain types, what JSON can hold."""

from __future__ import annotations

from typing import Any

from qoe.optimise.allocation import Allocation
from qoe.optimise.explain import Explanation
from qoe.optimise.explain_badly_off import BadlyOff
from qoe.optimise.explain_prices import PromisePrice
from qoe.optimise.jsonio import allocation_to_dict, or_none


def explained_to_dict(allocation: Allocation, explanation: Explanation) -> dict[str, Any]:
    """Turn an allocation and its explanation into plain types.

    Parameters
    ----------
    allocation : Allocation
    explanation : Explanation
        Of `explain`.

    Returns
    -------
    dict
        Of `allocation_to_dict`, and under ``explanation`` that of `explanation_to_dict`.
    """
    return {**allocation_to_dict(allocation), "explanation": explanation_to_dict(explanation, allocation)}


def explanation_to_dict(explanation: Explanation, allocation: Allocation) -> dict[str, Any]:
    """Turn an explanation into what ``qoe optimise`` and ``qoe replay --json`` print under that name.

    Parameters
    ----------
    explanation : Explanation
        Of `explain`.
    allocation : Allocation
        What it explains: the names.

    Returns
    -------
    dict
        Plain types, None in place of NaN; the keys are the fields of `qoe.report.result.Explanation`.
    """
    who = [f"{s}/{c}" for s, c in zip(allocation.subscriber, allocation.app_class, strict=True)]
    return {
        "capacity_price": {
            "mean_mos_per_percent": explanation.mean_mos_per_percent,
            "mean_mos_per_mbps": explanation.mean_mos_per_mbps,
        },
        "promise_prices": [_price(price, who) for price in explanation.promise_prices],
        "badly_off": [_badly_off(row, allocation) for row in explanation.badly_off],
        "policies": [
            {
                "policy": name,
                "mean_mos": or_none(policy.mean_mos),
                "p5_mos": or_none(policy.p5_mos),
                "n_below_2": policy.n_below(2.0),
                "n_below_3": policy.n_below(3.0),
            }
            for name, policy in explanation.policies.items()
        ],
        "trade_off": [
            {"alpha": or_none(point.alpha), "mean_mos": point.mean_mos, "p5_mos": point.p5_mos}
            for point in explanation.trade_off
        ],
    }


def _price(price: PromisePrice, who: list[str]) -> dict[str, Any]:
    return {
        "kind": price.kind,
        "name": who[price.members[0]] if price.kind == "floor" else price.name,
        "n_members": len(price.members),
        "own_mos": price.own_mos,
        "others_mos": price.others_mos,
    }


def _badly_off(row: BadlyOff, allocation: Allocation) -> dict[str, Any]:
    return {
        "subscriber": allocation.subscriber[row.index],
        "class": allocation.app_class[row.index],
        "mos": row.mos,
        "target_mos": row.target_mos,
        "since_s": or_none(row.since_s),
        "obstacle": row.obstacle,
        "needed_share_ratio": or_none(row.needed_share_ratio),
        "more_capacity_ratio": or_none(row.more_capacity_ratio),
        "others_mos": or_none(row.others_mos),
    }
