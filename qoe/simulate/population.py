"""Who is in the cell: users drawn for a load, their channels, and the settings of what they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from qoe import applications
from qoe.schema import FloatArray, IntArray
from qoe.simulate import radio
from qoe.simulate.radio import CqiArray
from qoe.simulate.scenario import APP_CLASS, App, Scenario, UserSpec
from qoe_native.cellsim_channel import efficiency_bits, make_cqi
from qoe_native.cellsim_data import Abr, Cell, Source
from qoe_native.cellsim_setup import make_cell

ASK_BPS: Final[Mapping[App, float]] = {
    App.VIDEO: 3.1e6,
    App.LIVE_VIDEO: 3.1e6,
    App.CALL: 40e3,
    App.VIDEO_CALL: 0.5e6,
    App.GAME: 80e3,
    App.CLOUD_GAME: 1.8e6,
    App.WEB: 1.2e6,
    App.BULK: 5.3e6,
    App.OTHER: 20e3,
}
"""Mean rate at which an application is good (MOS 4) by the models of `qoe.applications`: the rung of
2.5 Mbit/s within 0.8 of the throughput; 32 kbit/s of speech with headers; a page of the mean size in half a
second, every seven. A cell's load is the airtime that it would take to be good for everybody."""

PRIORITY: Final[Mapping[App, int]] = {
    App.CALL: 20,
    App.GAME: 30,
    App.VIDEO_CALL: 40,
    App.CLOUD_GAME: 40,
    App.OTHER: 60,
    App.LIVE_VIDEO: 60,
    App.VIDEO: 60,
    App.WEB: 80,
    App.BULK: 90,
}
"""Default priority levels of 3GPP TS 23.501 table 5.7.4-1: 5QI 1, 3, 2, 6, 8 and 9. Lower comes first."""

_SOURCE: Final[Mapping[App, Source]] = {
    App.VIDEO: Source.VIDEO,
    App.LIVE_VIDEO: Source.VIDEO,
    App.CALL: Source.VOIP,
    App.VIDEO_CALL: Source.VIDEO_CALL,
    App.GAME: Source.GAME,
    App.CLOUD_GAME: Source.CLOUD_GAME,
    App.WEB: Source.WEB,
    App.BULK: Source.BULK,
    App.OTHER: Source.OTHER,
}
_ABRS: Final = (Abr.RATE, Abr.BBA, Abr.MPC)
_RTT_MS: Final = (20, 80)
_START_MS: Final = 5000
_HARQ_BLER_RATIO: Final = 0.1
_MOST_USERS: Final = 2000
_CHANNEL_STEP_MS: Final = 10
_CARRIER_HZ: Final = 2e9
_LIGHT_M_S: Final = 299_792_458.0
_PAGE_BYTES: Final = 600e3
_READ_MS: Final = 6000.0


@dataclass(frozen=True, slots=True)
class Population:
    """The users of one run, and a bearer for each application of each.

    Attributes
    ----------
    users, tiers : tuple of str
        Names, by user; `tiers` are empty for none.
    user : ndarray of int64, shape (n_bearers,)
        Whose bearer.
    apps : tuple of App
        By bearer.
    weight, floor_mos : ndarray of float64, shape (n_bearers,)
        Tier x user x class; what the tier is promised, NaN for nothing.
    alone_bps : ndarray of float64, shape (n_users,)
        Mean rate of the user had it the cell alone.
    load : float
        Airtime that all ask for, in multiples of the cell.
    cqi : ndarray of int8, shape (n_users, n_steps)
    cqi_step_ms : int
    """

    users: tuple[str, ...]
    tiers: tuple[str, ...]
    user: IntArray
    apps: tuple[App, ...]
    weight: FloatArray
    floor_mos: FloatArray
    alone_bps: FloatArray
    load: float
    cqi: CqiArray
    cqi_step_ms: int

    @property
    def app_class(self) -> IntArray:
        """Application class of each bearer, AppClass."""
        return np.array([APP_CLASS[app] for app in self.apps], dtype=np.int64)

    def by_user(self, values: FloatArray) -> FloatArray:
        """Average what is known (not NaN) of a user's bearers; NaN where nothing is."""
        known = np.isfinite(values)
        n_users = len(self.users)
        total = np.bincount(self.user[known], values[known], minlength=n_users)
        count = np.bincount(self.user[known], minlength=n_users)
        mean: FloatArray = np.divide(total, count, out=np.full(n_users, np.nan), where=count > 0)
        return mean


def populate(scenario: Scenario, traces: Sequence[CqiArray], seed: int, load: float | None) -> Population:
    """Draw the users of a run.

    Parameters
    ----------
    scenario : Scenario
        The users, the radio.
    traces : sequence of ndarray of int8
        Logs of CQI; none: the channel model.
    seed : int
        The same seed gives the same users, whatever the load: those of a lower one are the first of a higher.
    load : float or None
        Users are added until they ask for so many times the cell; None: those that are listed.

    Returns
    -------
    Population
    """
    chance = np.random.default_rng([seed, 1])
    specs = _listed(scenario) if load is None else _drawn(scenario, chance)
    cqi, step_ms = _channels(scenario, traces, specs, np.random.default_rng([seed, 2]))
    bits = efficiency_bits()
    alone_bps = scenario.cell.n_rb * 1e3 * np.maximum(bits[cqi].mean(axis=1), bits[1])
    airtime = np.cumsum([_ask_bps(spec) for spec in specs] / alone_bps)
    n_users = len(specs) if load is None else int(np.argmin(np.abs(airtime - load))) + 1
    specs = specs[:n_users]
    bearers = [(i, spec, app) for i, spec in enumerate(specs) for app in spec.kinds]
    floors = [scenario.tiers[spec.tier].floor_mos if spec.tier else None for _, spec, _ in bearers]
    return Population(
        users=tuple(f"user-{i + 1}" for i in range(n_users)),
        tiers=tuple(spec.tier for spec in specs),
        user=np.array([i for i, _, _ in bearers], dtype=np.int64),
        apps=tuple(app for _, _, app in bearers),
        weight=np.array([_weight(scenario, spec, app) for _, spec, app in bearers]),
        floor_mos=np.array([np.nan if floor is None else floor for floor in floors]),
        alone_bps=alone_bps[:n_users],
        load=float(airtime[n_users - 1]),
        cqi=cqi[:n_users],
        cqi_step_ms=step_ms,
    )


def _ask_bps(spec: UserSpec) -> float:
    return sum(ASK_BPS[app] for app in spec.kinds)


def _weight(scenario: Scenario, spec: UserSpec, app: App) -> float:
    tier = scenario.tiers[spec.tier].weight if spec.tier else 1.0
    return spec.weight * tier * scenario.class_weights.get(APP_CLASS[app].name.lower(), 1.0)


def _listed(scenario: Scenario) -> list[UserSpec]:
    return [spec for spec in scenario.users for _ in range(int(spec.count))]


def _drawn(scenario: Scenario, chance: np.random.Generator) -> list[UserSpec]:
    """Draw users one after another; the mix is kept in every stretch, so that runs differ in little else."""
    part = np.array([spec.count for spec in scenario.users])
    part = part / part.sum()
    owed = chance.random(part.size) * part
    most = _most_users(scenario, part)
    chosen = []
    for _ in range(most):
        owed += part
        which = int(np.argmax(owed))
        owed[which] -= 1.0
        chosen.append(scenario.users[which])
    return chosen


def _most_users(scenario: Scenario, part: FloatArray) -> int:
    """As many as the largest load could take, were their channels the best."""
    ask_bps = float(part @ [_ask_bps(spec) for spec in scenario.users])
    best_bps = scenario.cell.n_rb * 1e3 * float(efficiency_bits()[15])
    return min(int(max(scenario.loads, default=1.0) * best_bps / ask_bps) + 10, _MOST_USERS)


def _channels(
    scenario: Scenario, traces: Sequence[CqiArray], specs: Sequence[UserSpec], chance: np.random.Generator
) -> tuple[CqiArray, int]:
    spec = scenario.radio
    if traces:
        n_steps = int(np.ceil(scenario.duration_s / radio.STEP_S)) + 1
        return radio.draw(traces, len(specs), n_steps, chance), int(radio.STEP_S * 1e3)
    means = chance.uniform(*spec.snr_db, len(specs))
    means = np.array([m if s.snr_db is None else s.snr_db for m, s in zip(means, specs, strict=True)])
    doppler_hz = spec.speed_kmh / 3.6 * _CARRIER_HZ / _LIGHT_M_S
    step_ms = max(1, min(_CHANNEL_STEP_MS, int(400.0 / doppler_hz)))
    cqi = make_cqi(
        means,
        int(scenario.duration_s * 1e3),
        step_ms=step_ms,
        n_rb=scenario.cell.n_rb,
        doppler_hz=doppler_hz,
        seed=int(chance.integers(2**31)),
    )
    return cqi[:, :, 0], step_ms


def build(scenario: Scenario, population: Population, seed: int) -> Cell:
    """Set a cell up: the same users, sources and channels for every policy.

    Parameters
    ----------
    scenario : Scenario
        The cell.
    population : Population
        Its users.
    seed : int
        Of the sources and the radio.

    Returns
    -------
    Cell
        Before its first millisecond, scheduled by proportional fairness.
    """
    chance = np.random.default_rng([seed, 3])
    config = {
        "n_rb": scenario.cell.n_rb,
        "rate_window_ms": scenario.cell.pf_time_constant_ms,
        "interval_ms": round(scenario.interval_s * 1e3),
        "cqi_step_ms": population.cqi_step_ms,
        "bler_ratio": _HARQ_BLER_RATIO if scenario.cell.harq else 0.0,
        "seed": seed,
    }
    bearers = [
        _bearer(int(user), app, chance) for user, app in zip(population.user, population.apps, strict=True)
    ]
    return make_cell(
        config,
        [{"cqi_row": i} for i in range(len(population.users))],
        bearers,
        population.cqi,
        duration_ms=round(scenario.duration_s * 1e3),
        ladders=[applications.LADDER_BPS.tolist()],
    )


def _bearer(user: int, app: App, chance: np.random.Generator) -> dict[str, Any]:
    """Give the settings of a bearer; each draws as many numbers, whatever it carries."""
    rtt_ms, start_ms, abr = chance.integers(*_RTT_MS), chance.integers(_START_MS), chance.integers(len(_ABRS))
    settings: dict[str, Any] = {
        "user": user,
        "kind": _SOURCE[app],
        "priority": PRIORITY[app],
        "rtt_ms": int(rtt_ms),
        "start_ms": int(start_ms),
    }
    if app in (App.VIDEO, App.LIVE_VIDEO):
        settings |= {"abr": _ABRS[abr], "ladder": 0, "segment_ms": 4000}
    if app is App.LIVE_VIDEO:
        settings |= {"live_latency_ms": 8000, "segment_ms": 2000}
    if app is App.WEB:
        settings |= {"size_bytes": _PAGE_BYTES, "pause_ms": _READ_MS}
    if app is App.CLOUD_GAME:
        settings |= {"rate_min_bps": 1.5e6, "rate_bps": 2e6, "rate_max_bps": 5e6}
    if app is App.BULK:
        settings |= {"size_bytes": 0.0}
    return settings
