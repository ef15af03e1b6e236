"""Many runs become one table: means, percentiles, and the gain over other policies on the same users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from qoe.mos.aggregate import fairness
from qoe.report.simulation import IntentResult, PolicySummary, SimulationReport, UserResult
from qoe.schema import CLASS_NAMES, BoolArray, FloatArray
from qoe.simulate.run import Run
from qoe.simulate.scenario import Scenario

POOR_MOS: Final = 3.0
_Z_95: Final = 1.96


def summarise(runs: Sequence[Run], scenario: Scenario) -> SimulationReport:
    """Sum up runs.

    Parameters
    ----------
    runs : sequence of Run
        Of `qoe.simulate.simulate`.
    scenario : Scenario
        That they are of.

    Returns
    -------
    SimulationReport
    """
    groups: dict[tuple[float | None, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.load, run.policy), []).append(run)
    return SimulationReport(
        name=scenario.name,
        duration_s=scenario.duration_s,
        warmup_s=scenario.warmup_s,
        channels="traces" if scenario.radio.traces else "model",
        policies=[
            _policy(some, groups.get((load, "pf"), []), groups.get((load, "strict_priority"), []))
            for (load, _), some in groups.items()
        ],
        users=[user for run in runs for user in _users(run)],
    )


def _policy(runs: Sequence[Run], pf: Sequence[Run], strict: Sequence[Run]) -> PolicySummary:
    first = runs[0]
    means = _means(runs)
    pooled = _pooled(runs)
    below = float(np.mean(pooled < POOR_MOS)) if pooled.size else None
    gains = means - _means(pf) if pf and first.policy != "pf" else None
    errors = _promise_errors(runs)
    return PolicySummary(
        load=first.load,
        load_mean=float(np.mean([run.population.load for run in runs])),
        policy=first.policy,
        n_runs=len(runs),
        n_users_mean=float(np.mean([len(run.population.users) for run in runs])),
        mos_mean=_finite(float(means.mean())),
        mos_mean_ci95=_finite(_ci95(means)),
        mos_p5=float(np.percentile(pooled, 5)) if pooled.size else None,
        below_3_ratio=below,
        fairness=float(np.mean([fairness(_by_user(run)) for run in runs])),
        rate_bps=float(np.mean([run.rate_bps.sum() for run in runs])),
        classes=_classes(runs),
        promised_mean=_finite(float(np.mean([_promised(run)[0] for run in runs]))),
        promise_error_mean=_finite(float(np.mean([abs(np.diff(_promised(run))[0]) for run in runs]))),
        promise_error_bearer_mean=float(errors.mean()) if errors.size else None,
        gap_ratio_mean=_finite(float(np.mean([run.gap_ratio for run in runs]))),
        gain_over_pf=None if gains is None else _finite(float(gains.mean())),
        gain_over_pf_ci95=None if gains is None else _finite(_ci95(gains)),
        below_3_cut_vs_pf=_cut(below, pf) if first.policy != "pf" else None,
        below_3_cut_vs_strict=_cut(below, strict) if first.policy != "strict_priority" else None,
        intents=_intents(runs),
    )


def _intents(runs: Sequence[Run]) -> list[IntentResult]:
    """Add up how each intent fared in all runs."""
    results = []
    for same in zip(*(run.intents for run in runs), strict=True):
        reasons: Counter[str] = Counter()
        for one in same:
            reasons.update(one.reasons)
        results.append(
            IntentResult(
                intent=same[0].intent,
                n_intervals=sum(one.n_intervals for one in same),
                n_met=sum(one.n_met for one in same),
                reasons=dict(reasons),
            )
        )
    return results


def _by_user(run: Run) -> FloatArray:
    """MOS of each user: the mean over its applications, as far as they are judged."""
    mos = run.population.by_user(run.mos)
    return mos[np.isfinite(mos)]


def _means(runs: Sequence[Run]) -> FloatArray:
    """Mean of each run; NaN where nothing is judged."""
    users = [_by_user(run) for run in runs]
    return np.array([mos.mean() if mos.size else np.nan for mos in users])


def _pooled(runs: Sequence[Run]) -> FloatArray:
    return np.concatenate([_by_user(run) for run in runs])


def _both(run: Run) -> BoolArray:
    both: BoolArray = np.isfinite(run.promised) & np.isfinite(run.mos)
    return both


def _promised(run: Run) -> FloatArray:
    """Mean promised and mean measured MOS, over the bearers for which both are known."""
    both = _both(run)
    return np.array([run.promised[both].mean(), run.mos[both].mean()]) if both.any() else np.full(2, np.nan)


def _promise_errors(runs: Sequence[Run]) -> FloatArray:
    """Distance between promised and measured MOS, bearer by bearer."""
    return np.concatenate([np.abs(run.promised - run.mos)[_both(run)] for run in runs])


def _cut(below: float | None, others: Sequence[Run]) -> float | None:
    theirs = float(np.mean(_pooled(others) < POOR_MOS)) if others and below is not None else 0.0
    return 1.0 - below / theirs if below is not None and theirs > 0 else None


def _ci95(values: FloatArray) -> float:
    return float(_Z_95 * values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("nan")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _classes(runs: Sequence[Run]) -> dict[str, float]:
    app_class = np.concatenate([run.population.app_class for run in runs])
    mos = np.concatenate([run.mos for run in runs])
    return {
        CLASS_NAMES[k]: float(np.nanmean(mos[app_class == k]))
        for k in np.unique(app_class)
        if np.isfinite(mos[app_class == k]).any()
    }


def _users(run: Run) -> list[UserResult]:
    people = run.population
    return [
        UserResult(
            load=run.load,
            policy=run.policy,
            seed=run.seed,
            user=people.users[user],
            app=people.apps[i].name.lower(),
            tier=people.tiers[user],
            alone_bps=float(people.alone_bps[user]),
            rate_bps=float(run.rate_bps[i]),
            airtime_ratio=float(run.airtime_ratio[i]),
            mos=_finite(run.mos[i]),
            promised=_finite(run.promised[i]),
        )
        for i, user in enumerate(people.user)
    ]
