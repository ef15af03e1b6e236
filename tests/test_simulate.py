"""The simulated cell as a whole: scenarios, users, scores, the closed loop, the command."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qoe import applications
from qoe.cli import main
from qoe.errors import ConfigError
from qoe.report.simulation import render
from qoe.schema import AppClass
from qoe.simulate import POLICIES, Run, Scenario, load_scenario, simulate, summarise
from qoe.simulate import weights as held
from qoe.simulate.observe import bearers
from qoe.simulate.policy import Controller, start
from qoe.simulate.population import ASK_BPS, build, populate
from qoe.simulate.radio import draw, read_cqi, read_traces
from qoe.simulate.run import copied, run_policy
from qoe.simulate.scenario import App
from qoe.simulate.score import score
from qoe.toml import convert
from qoe_native.cellsim import run

EXAMPLE = Path(__file__).parent.parent / "examples" / "evening.toml"


def scenario(**changes: object) -> Scenario:
    """The example, shortened."""
    raw = msgspec.to_builtins(load_scenario(EXAMPLE))
    return convert(raw | {"duration_s": 40.0, "warmup_s": 10.0, "n_seeds": 1} | changes, Scenario)


def users(*apps: str, snr_db: float = 18.0) -> list[dict[str, object]]:
    """One user an application, all in a channel of their own of the same mean."""
    return [{"apps": [app], "snr_db": snr_db} for app in apps]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"user": [{"apps": ["vidoe"]}]}, r"\$\.user\[0\].*did you mean 'video'"),
        ({"user": [{"apps": []}]}, r"apps must name one"),
        ({"user": [{"apps": ["web"], "tier": "gold"}]}, r"\$\.user\[0\]\.tier: no tier 'gold'"),
        ({"user": [{"apps": ["web"], "count": 1.5}], "loads": []}, r"count: must be a whole number"),
        ({"policies": ["qeo"]}, "did you mean 'qoe'"),
        ({"duration_s": 15.0}, "duration_s must be at least 10 s more"),
        ({"loads": [-1.0]}, "loads must be above 0"),
        ({"user": [{"apps": ["call", "video_call"]}]}, "apps must be of different classes"),
        ({"user": [{"apps": ["web"], "snr_db": 99.0}]}, "snr_db must be -10 to 40"),
        ({"class_weight": {"voip": -1.0}}, r"\$\.class_weight\.voip: must be 1e-6"),
        ({"policies": ["pf", "pf"]}, "policies must name each one once"),
        ({"interval_s": 60.0}, "interval_s must be 0.1 to 10"),
        ({"radio": {"speed_kmh": 900.0}}, "speed_kmh must be above 0, to 250"),
        ({"cell": {"n_rb": 3}}, r"\$\.cell.*n_rb must be 6 to 275"),
        ({"radio": {"snr_db": [9, 3]}}, "low before high"),
        ({"class_weight": {"voice": 2.0}}, r"\$\.class_weight\.voice: unknown class"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_its_path(changes: dict[str, object], told: str) -> None:
    """What, where, and how to mend it."""
    with pytest.raises(ConfigError, match=told):
        scenario(**changes)


def test_logs_of_phones_are_read_as_they_are(tmp_path: Path) -> None:
    """A dash holds the value before; what comes before the first is left out; short logs are left out."""
    log = tmp_path / "a.csv"
    log.write_text(
        "Time,CQI\n" + "".join(f"{i},{c}\n" for i, c in enumerate(["-", "7", "-", "99"] + ["5"] * 30))
    )
    assert read_cqi(log)[:4].tolist() == [7, 7, 15, 5]
    empty = tmp_path / "b.csv"
    empty.write_text("Time,CQI\n1,-\n")
    notes: list[str] = []
    assert len(read_traces([log, empty], notes.append)) == 1
    assert "1 of 2 logs left out" in notes[0]
    with pytest.raises(ConfigError, match="no log has 30"):
        read_traces([empty])
    wrong = tmp_path / "c.csv"
    wrong.write_text("Time,SNR\n1,2\n")
    with pytest.raises(ConfigError, match="no column CQI"):
        read_cqi(wrong)


def test_traces_are_drawn_without_repetition_and_begin_again() -> None:
    """Every log is used before one is used twice; a short one goes round."""
    traces = [np.full(40, k, dtype=np.int8) for k in range(5)]
    drawn = draw(traces, 7, 100, np.random.default_rng(1))
    assert drawn.shape == (7, 100)
    assert sorted(drawn[:5, 0].tolist()) == [0, 1, 2, 3, 4]


def test_users_are_drawn_until_they_ask_for_the_load() -> None:
    """The load is reached to within half a user, and a lower load's users are the first of a higher one's."""
    plan = scenario(loads=[1.0, 2.0])
    low, high = (populate(plan, [], 7, load) for load in (1.0, 2.0))
    for people, load in ((low, 1.0), (high, 2.0)):
        asked = sum(ASK_BPS[a] / people.alone_bps[u] for a, u in zip(people.apps, people.user, strict=True))
        assert people.load == pytest.approx(asked)
        assert abs(people.load - load) < 0.5
    assert high.apps[: len(low.apps)] == low.apps
    assert np.array_equal(high.cqi[: len(low.users)], low.cqi)


@pytest.fixture(scope="module")
def alone() -> Run:
    """One of each application, a cell large enough for all, best effort."""
    plan = scenario(
        user=users("video", "call", "video_call", "game", "web", "bulk", "other"),
        loads=[],
        cell={"n_rb": 100, "harq": False},
        duration_s=60.0,
    )
    people = populate(plan, [np.full(60, 15, dtype=np.int8)], 3, None)
    return run_policy(plan, people, build(plan, people, 3), "pf", 3, None)


def test_what_has_enough_is_scored_as_its_model_scores_the_best(alone: Run) -> None:
    """In a nearly empty cell every application is near the best that its own model gives."""
    mos = dict(zip(alone.population.apps, alone.mos, strict=True))
    assert mos[App.VIDEO] > applications.rung_mos()[-1] - 0.3
    assert mos[App.CALL] > 4.2
    assert mos[App.VIDEO_CALL] > 4.5
    assert mos[App.GAME] > 4.2
    assert mos[App.BULK] == pytest.approx(
        float(applications.download_mos(alone.rate_bps[alone.population.apps.index(App.BULK)]))
    )
    assert np.isnan(mos[App.OTHER])


def test_video_is_scored_by_its_stalls() -> None:
    """A player whose channel carries half of the lowest rung stalls, and its score says so."""
    plan = scenario(user=users("video"), loads=[], cell={"n_rb": 6, "harq": False}, duration_s=60.0)
    people = populate(plan, [np.full(60, 1, dtype=np.int8)], 1, None)
    cell = build(plan, people, 1)
    cell.bits_per_rb[:] = 8.0  # 48 kbit/s
    run(cell, 60_000)
    stalled = cell.records[10:60, 0]["stall_ms"].sum() + cell.records[10:60, 0]["loading_ms"].sum()
    assert stalled > 15_000
    assert score(cell, people, 10_000, 60_000)[0] < 1.8


def test_applications_of_one_user_share_its_bearer_under_pf_alone() -> None:
    """Behind a download of the same user a call suffers where the network does not tell them apart."""
    plan = scenario(user=[{"apps": ["call", "bulk"], "snr_db": 22.0}] * 2, loads=[])
    people = populate(plan, [], 5, None)
    fresh = build(plan, people, 5)
    names = ("pf", "pf_per_class", "qoe")
    scores = {name: run_policy(plan, people, copied(fresh), name, 5, None).mos for name in names}
    assert scores["pf"][0] < scores["pf_per_class"][0] - 0.8
    assert scores["pf_per_class"][0] > 4.0
    assert scores["qoe"][0] > 4.0


def test_the_controller_sees_what_a_passive_observer_would() -> None:
    """Rates, shares and efficiency follow from the records; calls count what is offered."""
    plan = scenario(user=users("bulk", "call"), loads=[])
    people = populate(plan, [], 2, None)
    cell = build(plan, people, 2)
    run(cell, 30_000)
    which, seen = bearers(cell, people, 30)
    rows = cell.records[20:30]
    assert which.tolist() == [0, 1]
    assert seen["rate_bps"][0] == pytest.approx(rows["served_bytes"][:, 0].sum() * 8 / 10)
    assert seen["rate_bps"][1] == pytest.approx(rows["offered_bytes"][:, 1].sum() * 8 / 10)
    assert (seen["share_observed"] <= 1).all()
    assert seen["app_class"].tolist() == [AppClass.BULK, AppClass.VOIP]


def test_decisions_keep_promises_within_the_cell() -> None:
    """Shares add up to the cell at most, nobody falls below half of an equal share, the gap is proven."""
    plan = scenario(loads=[2.0])
    people = populate(plan, [], 4, 2.0)
    cell = build(plan, people, 4)
    start("qoe", cell, people)
    controller = Controller(plan, people)
    for row in range(30):
        run(cell, 1000)
        controller.decide(cell, row + 1)
    assert len(controller.decisions) > 20
    for decision in controller.decisions:
        share = decision.allocation.share_ratio
        assert share.sum() <= 1 + 1e-9
        assert decision.allocation.gap_ratio < 0.05
        assert (cell.bearers["weight"] > 0).all()
    video = decision.bearers["app_class"] == AppClass.VIDEO
    least = np.minimum(decision.bearers["share_observed"], 0.5 / decision.which.size)
    assert (share[video] >= 0.9 * least[video]).all()


def test_weights_give_each_class_what_it_needs_while_it_sends() -> None:
    """A page in a hundredth of the time needs far more than its mean share; a download its share."""
    plan = scenario(user=users("bulk", "web", "call"), loads=[])
    people = populate(plan, [], 2, None)
    cell = build(plan, people, 2)
    run(cell, 12_000)
    which, seen = bearers(cell, people, 12)
    kinds = [people.apps[i] for i in which]
    share = np.array([{App.BULK: 0.5, App.WEB: 0.05, App.CALL: 0.001}[kind] for kind in kinds])
    part = dict(zip(kinds, held.wanted(seen, share), strict=True))
    assert part[App.BULK] == pytest.approx(0.5, rel=0.05)
    assert part[App.WEB] > 0.1
    assert part[App.CALL] >= 0.03
    given = held.filled(np.array([np.nan, 0.2, 0.4]), np.array([3, 3, 4]))
    assert given.tolist() == [0.2, 0.2, 0.4]
    assert (held.filled(np.zeros(2), np.array([3, 3])) > 0).all()


def test_the_same_seed_gives_the_same_result_whatever_runs_beside_it() -> None:
    """Runs do not depend on threads, and all policies meet the same users."""
    plan = scenario(loads=[1.2], n_seeds=2, policies=["qoe", "pf"], duration_s=25.0)
    one, two = (simulate(plan, n_threads=n) for n in (1, 2))
    assert [(r.seed, r.policy) for r in one] == [(1, "qoe"), (1, "pf"), (2, "qoe"), (2, "pf")]
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.mos, b.mos, equal_nan=True)
    assert one[0].population.users == one[1].population.users


def test_a_summary_is_what_the_runs_say() -> None:
    """Means over runs, users pooled, gains on the same users, recomputed here plainly."""
    plan = scenario(loads=[2.0], n_seeds=2, policies=["qoe", "pf"], duration_s=30.0)
    runs = simulate(plan)
    report = summarise(runs, plan)
    ours = next(p for p in report.policies if p.policy == "qoe")

    def by_user(r: Run) -> list[float]:
        people = range(len(r.population.users))
        with np.errstate(all="ignore"):
            means = [r.mos[(r.population.user == u) & np.isfinite(r.mos)] for u in people]
        return [float(m.mean()) for m in means if m.size]

    mean = {r.policy + str(r.seed): np.mean(by_user(r)) for r in runs}
    assert ours.mos_mean == pytest.approx((mean["qoe1"] + mean["qoe2"]) / 2)
    gains = [mean[f"qoe{s}"] - mean[f"pf{s}"] for s in (1, 2)]
    assert ours.gain_over_pf == pytest.approx(np.mean(gains))
    pooled = [m for r in runs if r.policy == "qoe" for m in by_user(r)]
    assert ours.below_3_ratio == pytest.approx(np.mean(np.array(pooled) < 3))
    assert ours.mos_p5 == pytest.approx(np.percentile(pooled, 5))
    assert ours.promise_error_mean is not None


def test_intents_are_held_and_held_to_account(tmp_path: Path) -> None:
    """An intent at its hours is met where the cell can; one that asks too much is not, and says why."""
    (tmp_path / "intents.toml").write_text("""
        [[intent]]
        name = "calls of gold"
        who = { tier = "gold" }
        when = { from = "17:00", to = "20:00" }
        target = { mos_at_least = 4.0 }
        [[intent]]
        name = "films without end"
        priority = 90
        what = { class = "video" }
        target = { mos_at_least = 4.85 }
        [[intent]]
        name = "at night"
        when = { from = "01:00", to = "02:00" }
        target = { weight = 2.0 }
    """)
    crowd = [{"apps": ["call"], "tier": "gold"}, {"apps": ["video", "bulk"], "count": 9}]
    plan = scenario(
        user=crowd,
        tier={"gold": {}},
        loads=[],
        policies=["qoe", "pf"],
        intents="intents.toml",
        duration_s=60.0,
    )
    report = summarise(simulate(plan, folder=tmp_path), plan)
    ours = next(p for p in report.policies if p.policy == "qoe")
    gold, films, night = ours.intents
    assert gold.n_intervals >= 45
    assert gold.n_met >= 0.9 * gold.n_intervals
    assert films.n_met < 0.5 * films.n_intervals
    assert sum(films.reasons.values()) == films.n_intervals - films.n_met
    assert (night.intent, night.n_intervals) == ("at night", 0)
    told = render(report)
    assert "intent films without end: met in" in told
    assert next(p for p in report.policies if p.policy == "pf").intents == []
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read"):
        simulate(scenario(intents="missing.toml"), folder=tmp_path)


@pytest.mark.parametrize("apps", [["other"], ["live_video"], ["web"]])
def test_what_cannot_be_judged_is_left_out(apps: list[str]) -> None:
    """A run in which nobody is judged has no mean, and is no error."""
    plan = scenario(user=[{"apps": apps}], loads=[], policies=["qoe", "pf"], duration_s=12.0, warmup_s=2.0)
    report = summarise(simulate(plan), plan)
    assert all((p.mos_mean is None) == (apps == ["other"]) for p in report.policies)
    assert "qoe" in render(report)


def test_the_command_writes_table_json_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One short run of every policy, by the command line."""
    options = ["--seeds", "1", "--loads", "1.5", "--duration", "30", "--out", str(tmp_path / "out")]
    assert main(["simulate", str(EXAMPLE), *options]) == 0
    told = capsys.readouterr().out
    for name in POLICIES:
        assert f"\n{name} " in told
    report = json.loads((tmp_path / "out" / "simulation.json").read_bytes())
    assert [p["policy"] for p in report["policies"]] == list(load_scenario(EXAMPLE).policies)
    page = (tmp_path / "out" / "simulation.html").read_text()
    assert page.count("<svg") == 1
    assert "below 3" in page
    assert main(["simulate", str(EXAMPLE), "--policies", "nonsense"]) == 1
    assert "no policy 'nonsense'" in capsys.readouterr().err
