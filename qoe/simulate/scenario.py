"""What is simulated: a scenario file, checked.

A scenario::

    name = "evening"
    duration_s = 120                 # of each run; the first warmup_s are not scored
    warmup_s = 20
    seed = 1                         # runs are seeded seed, seed + 1, ...
    n_seeds = 5
    loads = [1.2, 1.6]               # users are drawn from the list below until they ask for so many times
                                     # the cell; without it the cell has the users that are listed
    policies = ["qoe", "pf"]         # default: all
    no_starvation = true             # nobody below half of an equal share, unless it asks for less
    intents = "intents.toml"         # optional, beside this file: what `qoe` is to hold, and
    start = 2026-11-30T18:00:00Z     # when the runs begin, for intents that hold at certain hours

    [cell]
    n_rb = 50                        # resource blocks of 180 kHz: 50 are 10 MHz
    [radio]
    traces = ["drives/*.csv"]        # logs of phones, a CQI a second; without them a channel model:
    snr_db = [4, 22]                 # range of the users' mean signal to noise ratio
    speed_kmh = 3
    [tier.gold]
    weight = 2.0
    [[user]]
    apps = ["video", "call"]         # at the same time
    tier = "gold"
    count = 3                        # so many; under `loads`: how often, in proportion
    snr_db = 18                      # optional: of these users
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Final

import msgspec

from qoe.config import Tier
from qoe.errors import ConfigError
from qoe.schema import CLASS_NAMES, AppClass
from qoe.toml import is_weight, read_toml, require, require_positive, require_weight, suggestion


class App(IntEnum):
    """What a user does."""

    VIDEO = 0
    LIVE_VIDEO = 1
    CALL = 2
    VIDEO_CALL = 3
    GAME = 4
    CLOUD_GAME = 5
    WEB = 6
    BULK = 7
    OTHER = 8


APPS: Final = tuple(app.name.lower() for app in App)
APP_CLASS: Final = {
    App.VIDEO: AppClass.VIDEO,
    App.LIVE_VIDEO: AppClass.VIDEO,
    App.CALL: AppClass.VOIP,
    App.VIDEO_CALL: AppClass.VOIP,
    App.GAME: AppClass.GAMING,
    App.CLOUD_GAME: AppClass.GAMING,
    App.WEB: AppClass.WEB,
    App.BULK: AppClass.BULK,
    App.OTHER: AppClass.OTHER,
}
POLICIES: Final = (
    "qoe",
    "pf",
    "pf_per_class",
    "weighted_pf",
    "strict_priority",
    "round_robin",
    "max_ci",
    "m_lwdf",
    "exp_pf",
    "drr",
)
"""``pf`` shares among users, all of whose applications go through one default bearer, as in a network that
does not tell them apart. The others have a queue for each: ``pf_per_class`` shares among these,
``weighted_pf`` weighs them by tier, ``strict_priority`` orders them as 5QI priorities do."""

_MOST_S: Final = 86_400.0


class CellSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cell: ``[cell]``.

    Attributes
    ----------
    n_rb : int
        Resource blocks, 6 to 275.
    harq : bool
        One first transmission in ten is lost and sent again 8 ms later.
    pf_time_constant_ms : float
        Over which proportional fairness averages what a user got.
    """

    n_rb: int = 50
    harq: bool = True
    pf_time_constant_ms: float = 100.0

    def __post_init__(self) -> None:
        require(6 <= self.n_rb <= 275, f"n_rb must be 6 to 275, not {self.n_rb}")
        require_positive("pf_time_constant_ms", self.pf_time_constant_ms)


class RadioSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The channels: ``[radio]``.

    Attributes
    ----------
    traces : tuple of str
        Glob patterns of CSV files with a column CQI, a row a second; relative ones start at the scenario's
        folder. Every user draws one, and where in it to begin. Empty: the channel model.
    snr_db : (float, float)
        Of the channel model: range of the users' means.
    speed_kmh : float
        Of the channel model, at a carrier of 2 GHz.
    """

    traces: tuple[str, ...] = ()
    snr_db: tuple[float, float] = (4.0, 22.0)
    speed_kmh: float = 3.0

    def __post_init__(self) -> None:
        low, high = self.snr_db
        require(-10.0 <= low <= high <= 40.0, f"snr_db must be -10 to 40, low before high, not {self.snr_db}")
        require(0.0 < self.speed_kmh <= 250.0, f"speed_kmh must be above 0, to 250, not {self.speed_kmh}")


class UserSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Users who do the same: ``[[user]]``.

    Attributes
    ----------
    apps : tuple of str
        Of `APPS`, each of another class: what they do at the same time.
    count : float
        How many, a whole number; where `Scenario.loads` are given how often, in proportion.
    tier : str
        Name of a ``[tier.NAME]``; empty for none.
    weight : float
        Multiplies the tier's.
    snr_db : float, optional
        Mean of their channel model.
    """

    apps: tuple[str, ...]
    count: float = 1.0
    tier: str = ""
    weight: float = 1.0
    snr_db: float | None = None

    def __post_init__(self) -> None:
        require(bool(self.apps), f"apps must name one at least; known: {', '.join(APPS)}")
        for app in self.apps:
            require(app in APPS, f"no app {app!r}; {suggestion(app, APPS)}")
        classes = {APP_CLASS[kind] for kind in self.kinds}
        require(
            len(classes) == len(self.apps), "apps must be of different classes: a user has one bearer a class"
        )
        snr_db = self.snr_db
        require(snr_db is None or -10.0 <= snr_db <= 40.0, f"snr_db must be -10 to 40, not {snr_db}")
        require(0 < self.count <= 1000, f"count must be above 0, to 1000, not {self.count}")
        require_weight("weight", self.weight)

    @property
    def kinds(self) -> tuple[App, ...]:
        """The applications as numbers."""
        return tuple(App[app.upper()] for app in self.apps)


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole scenario; its format stands at the head of this module.

    Attributes
    ----------
    name : str
        For titles.
    users : tuple of UserSpec
        At least one.
    tiers : dict of str to Tier
        What the policies ``qoe`` and ``weighted_pf`` know of them.
    class_weights : dict of str to float
        What one MOS of a class counts; 1 where not named.
    cell : CellSpec
    radio : RadioSpec
    duration_s, warmup_s, interval_s : float
        Length of a run, its beginning that is not scored, time between two decisions.
    seed, n_seeds : int
        First seed, and how many.
    loads : tuple of float
        What the users ask for together, in multiples of the cell.
    policies : tuple of str
        Of `POLICIES`.
    no_starvation : bool
        The optimiser leaves nobody without half of an equal share, unless it asks for less.
    intents : str
        Name of a file of intents, relative to the scenario's; empty for none.
    start : datetime
        When the runs begin; without a time zone UTC is meant.
    """

    name: str = "simulation"
    users: tuple[UserSpec, ...] = msgspec.field(name="user")
    tiers: dict[str, Tier] = msgspec.field(name="tier", default_factory=dict)
    class_weights: dict[str, float] = msgspec.field(name="class_weight", default_factory=dict)
    cell: CellSpec = msgspec.field(default_factory=CellSpec)
    radio: RadioSpec = msgspec.field(default_factory=RadioSpec)
    duration_s: float = 120.0
    warmup_s: float = 20.0
    interval_s: float = 1.0
    seed: int = 1
    n_seeds: int = 1
    loads: tuple[float, ...] = ()
    policies: tuple[str, ...] = POLICIES
    no_starvation: bool = True
    intents: str = ""
    start: datetime = datetime(2026, 11, 30, 18, tzinfo=UTC)

    def __post_init__(self) -> None:
        require(bool(self.users), "at least one [[user]] is needed")
        require(0.1 <= self.interval_s <= 10.0, f"interval_s must be 0.1 to 10, not {self.interval_s}")
        long_enough = 0.0 <= self.warmup_s <= self.duration_s - 10.0 and self.duration_s <= _MOST_S
        require(long_enough, "duration_s must be at least 10 s more than warmup_s, and a day at most")
        require(1 <= self.n_seeds <= 10_000, f"n_seeds must be 1 to 10000, not {self.n_seeds}")
        require(0 <= self.seed < 2**31, f"seed must be 0 to 2147483647, not {self.seed}")
        require(all(0 < load <= 100 for load in self.loads), f"loads must be above 0, to 100: {self.loads}")
        for policy in self.policies:
            require(policy in POLICIES, f"no policy {policy!r}; {suggestion(policy, POLICIES)}")
        require(bool(self.policies), "at least one policy is needed")
        for name, listed in (("policies", self.policies), ("loads", self.loads)):
            require(len(set(listed)) == len(listed), f"{name} must name each one once: {listed}")
        _check_names(self)


def start_s(scenario: Scenario) -> float:
    """When the runs begin, in seconds since 1970."""
    start = scenario.start
    return (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()


def _check_names(scenario: Scenario) -> None:
    for i, user in enumerate(scenario.users):
        if user.tier and user.tier not in scenario.tiers:
            hint = suggestion(user.tier, tuple(scenario.tiers)) or f"add [tier.{user.tier}]"
            raise ConfigError(f"no tier {user.tier!r}; {hint}", f"$.user[{i}].tier")
        if not scenario.loads and user.count != int(user.count):
            raise ConfigError(f"must be a whole number, not {user.count}", f"$.user[{i}].count")
    for name, weight in scenario.class_weights.items():
        if name not in CLASS_NAMES:
            raise ConfigError(f"unknown class; {suggestion(name, CLASS_NAMES)}", f"$.class_weight.{name}")
        if not is_weight(weight):
            raise ConfigError(f"must be 1e-6 to 1e6, not {weight}", f"$.class_weight.{name}")


def load_scenario(path: str | Path) -> Scenario:
    """Read and check a scenario file.

    Parameters
    ----------
    path : str or Path
        A TOML file.

    Returns
    -------
    Scenario

    Raises
    ------
    ConfigError
        As `qoe.toml.read_toml`.
    """
    return read_toml(path, Scenario)
