"""Results for tests: a small replay, with whatever a test wants to be different."""

from __future__ import annotations

from typing import Any

from qoe.report.result import (
    AllocationRow,
    BadlyOff,
    CapacityPrice,
    CaptureSummary,
    CellPoint,
    CellResult,
    ClassSummary,
    Explanation,
    PolicyResult,
    PromisePrice,
    ReplayResult,
    SubscriberSummary,
    TimelinePoint,
    TradeOffPoint,
)

T0_S = 1_700_000_000.0


def allocation(subscriber: str = "ana", app_class: str = "video", **changed: Any) -> AllocationRow:
    """One bearer that gains."""
    given: dict[str, Any] = {
        "weight": 1.2,
        "share_before_ratio": 0.2,
        "share_ratio": 0.3,
        "rate_before_bps": 4e6,
        "rate_bps": 6e6,
        "mos_measured": 2.2,
        "mos_before": 2.0,
        "mos_after": 3.5,
    }
    return AllocationRow(subscriber=subscriber, app_class=app_class, **(given | changed))


def cell(**changed: Any) -> CellResult:
    """A downlink that was optimised."""
    given: dict[str, Any] = {
        "cell": "busy",
        "direction": "down",
        "capacity_bps": 2e7,
        "capacity_source": "configured",
        "capacity_is_lower_bound": False,
        "at_s": T0_S + 10,
        "horizon_s": 10.0,
        "load_bps": 1.9e7,
        "load_ratio": 0.95,
        "mos_measured": 2.6,
        "mos_before": 2.5,
        "mos_after": 3.25,
        "mos_bound": 3.26,
        "gap_ratio": 0.004,
        "status": "optimal",
        "fairness_before": 0.6,
        "fairness_after": 0.8,
        "shadow_price_capacity": 0.3,
        "counterfactual_pf": 2.9,
        "below_mos_2": [],
        "shed": [],
        "allocations": [
            allocation(),
            allocation("ben", "bulk", mos_before=3.4, mos_after=3.0, share_before_ratio=0.7, share_ratio=0.6),
        ],
    }
    return CellResult(**(given | changed))


def explanation(**changed: Any) -> Explanation:
    """A cell in which gold is dear and ben is badly off."""
    given: dict[str, Any] = {
        "capacity_price": CapacityPrice(mean_mos_per_percent=0.012, mean_mos_per_mbps=0.06),
        "promise_prices": [
            PromisePrice(kind="tier_weight", name="gold", n_members=1, own_mos=0.5, others_mos=0.25),
            PromisePrice(kind="floor", name="ana/video", n_members=1, own_mos=0.2, others_mos=0.1),
        ],
        "badly_off": [badly_off()],
        "policies": [
            PolicyResult(policy=name, mean_mos=3.25 - i / 10, p5_mos=1.5, n_below_2=i, n_below_3=i + 1)
            for i, name in enumerate(("allocation", "pf", "weighted_pf", "strict_priority", "equal"))
        ],
        "trade_off": [
            TradeOffPoint(alpha=0.0, mean_mos=3.25, p5_mos=1.5),
            TradeOffPoint(alpha=4.0, mean_mos=3.2, p5_mos=1.8),
            TradeOffPoint(alpha=None, mean_mos=3.0, p5_mos=2.0),
        ],
    }
    return Explanation(**(given | changed))


def badly_off(subscriber: str = "ben", **changed: Any) -> BadlyOff:
    """One whom a share would lift."""
    given: dict[str, Any] = {
        "app_class": "bulk",
        "mos": 1.6,
        "target_mos": 2.0,
        "since_s": T0_S + 3,
        "obstacle": "",
        "needed_share_ratio": 0.12,
        "more_capacity_ratio": 0.07,
        "others_mos": 0.031,
    }
    return BadlyOff(subscriber=subscriber, **(given | changed))


def held() -> CellResult:
    """A cell whose capacity is not known."""
    same = allocation(mos_after=2.0, share_ratio=0.2, weight=1.0)
    return cell(
        capacity_source="trace",
        capacity_is_lower_bound=True,
        status="held",
        mos_after=2.5,
        mos_bound=None,
        gap_ratio=None,
        counterfactual_pf=None,
        allocations=[same],
    )


def subscriber(name: str = "ana", mos: float | None = 2.2, **changed: Any) -> SubscriberSummary:
    """One subscriber with one class."""
    given: dict[str, Any] = {
        "cell": "busy",
        "tier": "gold",
        "flows": 3,
        "packets": 900,
        "bytes": 1_000_000,
        "bytes_down": 900_000,
        "bytes_up": 100_000,
        "mos_min": mos,
        "classes": [ClassSummary(app_class="video", flows=3, packets=900, bytes=1_000_000, mos=mos)],
    }
    return SubscriberSummary(subscriber=name, mos=mos, **(given | changed))


def timeline(seconds: int, names: tuple[str, ...]) -> list[TimelinePoint]:
    """One point a second."""
    return [
        TimelinePoint(
            time_s=T0_S + i + 1,
            duration_s=1.0,
            classes={"video": 2.0 + i % 3, "bulk": 3.0},
            subscribers=dict.fromkeys(names, 2.5),
            cells=[CellPoint(cell="busy", direction="down", rate_bps=1.5e7, load_ratio=0.75)],
        )
        for i in range(seconds)
    ]


def result(names: tuple[str, ...] = ("ana", "ben"), **changed: Any) -> ReplayResult:
    """A whole result of a minute."""
    given: dict[str, Any] = {
        "packets": 1234,
        "bytes": 5_600_000,
        "flows": 42,
        "duration_s": 60.0,
        "first_s": T0_S,
        "last_s": T0_S + 60,
        "partial": False,
        "warnings": [],
        "captures": [CaptureSummary(name="busy.pcapng", packets=1234, bytes=5_600_000)],
        "counters": {"packets": 1234},
        "classes": [
            ClassSummary(app_class="video", flows=2, packets=900, bytes=5_000_000, mos=2.2),
            ClassSummary(app_class="bulk", flows=1, packets=300, bytes=590_000, mos=3.4),
            ClassSummary(app_class="other", flows=39, packets=34, bytes=10_000),
        ],
        "subscribers": [subscriber(name, 2.2 + i) for i, name in enumerate(names)],
        "cells": [cell()],
        "timeline": timeline(60, names),
    }
    return ReplayResult(**(given | changed))
