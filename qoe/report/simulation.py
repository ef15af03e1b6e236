"""What a simulation found, in the shape in which it is written out, and as text and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from qoe.report import charts, markup, text
from qoe.report.tables import Style, aligned

POLICY_COLOURS: Final = {
    "qoe": "#0b6e4f",
    "pf": "#4477aa",
    "pf_per_class": "#99bbdd",
    "weighted_pf": "#66a3d2",
    "strict_priority": "#ee6677",
    "round_robin": "#8a8f98",
    "max_ci": "#c9a227",
    "m_lwdf": "#aa3377",
    "exp_pf": "#d28bb5",
    "drr": "#6b6f76",
}


class IntentResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an intent fared at one load, over all seeds.

    Attributes
    ----------
    intent : str
        Its name.
    n_intervals, n_met : int
        Intervals in which somebody was concerned and judged, and those in which it was met.
    reasons : dict of str to int
        Intervals in which it was not, by reason.
    """

    intent: str
    n_intervals: int
    n_met: int
    reasons: dict[str, int]


class PolicySummary(msgspec.Struct, frozen=True, kw_only=True):
    """One policy at one load, over all seeds.

    Attributes
    ----------
    load : float, optional
        What was asked for, in multiples of the cell; null: users as listed.
    load_mean : float
        What the users did ask for.
    policy : str
        Name.
    n_runs : int
        Seeds.
    n_users_mean : float
        Users a run.
    mos_mean, mos_mean_ci95 : float, optional
        Measured: mean over runs of the mean over users, and half of its 95 % confidence interval (normal).
    mos_p5 : float, optional
        5th percentile over the users of all runs.
    below_3_ratio : float, optional
        Part of users below MOS 3. A user's MOS is the mean over its applications.
    fairness : float
        Hossfeld index, mean over runs.
    rate_bps : float
        What the cell carried, mean over runs.
    classes : dict of str to float
        Mean MOS by class.
    promised_mean, promise_error_mean : float, optional
        Mean MOS that the optimiser promised, and mean over runs of the distance between promised and measured
        mean.
    promise_error_bearer_mean : float, optional
        The same bearer by bearer.
    gap_ratio_mean : float, optional
        Certified gap of the decisions.
    gain_over_pf, gain_over_pf_ci95 : float, optional
        Mean MOS above that of ``pf`` on the same seeds, and half of its 95 % confidence interval.
    below_3_cut_vs_pf, below_3_cut_vs_strict : float, optional
        Part by which there are fewer users below MOS 3 than with ``pf``, ``strict_priority``.
    intents : list of IntentResult
        Of ``qoe``, where the scenario has intents.
    """

    load: float | None
    load_mean: float
    policy: str
    n_runs: int
    n_users_mean: float
    mos_mean: float | None
    mos_mean_ci95: float | None
    mos_p5: float | None
    below_3_ratio: float | None
    fairness: float
    rate_bps: float
    classes: dict[str, float]
    promised_mean: float | None = None
    promise_error_mean: float | None = None
    promise_error_bearer_mean: float | None = None
    gap_ratio_mean: float | None = None
    gain_over_pf: float | None = None
    gain_over_pf_ci95: float | None = None
    below_3_cut_vs_pf: float | None = None
    below_3_cut_vs_strict: float | None = None
    intents: list[IntentResult] = []


class UserResult(msgspec.Struct, frozen=True, kw_only=True):
    """One application of one user in one run.

    Attributes
    ----------
    seed : int
        Of the run.
    user, app, tier : str
        Names.
    alone_bps : float
        Rate had it the cell alone.
    rate_bps, airtime_ratio : float
        What it got.
    mos, promised : float, optional
        Measured; what the optimiser promised.
    """

    load: float | None
    policy: str
    seed: int
    user: str
    app: str
    tier: str
    alone_bps: float
    rate_bps: float
    airtime_ratio: float
    mos: float | None
    promised: float | None


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON object of ``qoe simulate --json``.

    Attributes
    ----------
    name : str
        Of the scenario.
    duration_s, warmup_s : float
        Of each run.
    channels : str
        ``"traces"`` or ``"model"``.
    policies : list of PolicySummary
        By load, then as the scenario lists them.
    users : list of UserResult
        Of all runs.
    """

    name: str
    duration_s: float
    warmup_s: float
    channels: str
    policies: list[PolicySummary]
    users: list[UserResult]


def render(report: SimulationReport, bold: Style = str) -> str:
    """Write a simulation as text: a table a load.

    Parameters
    ----------
    report : SimulationReport
        Of `qoe.simulate.summarise`.
    bold : callable
        Styles headings.

    Returns
    -------
    str
        Lines, the last with its newline.
    """
    blocks = ["\n".join(_block(report, load, bold)) for load in _loads(report)]
    return "\n\n".join(blocks) + "\n"


def _loads(report: SimulationReport) -> list[float | None]:
    return list(dict.fromkeys(p.load for p in report.policies))


def _block(report: SimulationReport, load: float | None, bold: Style) -> Iterator[str]:
    rows = [p for p in report.policies if p.load == load]
    first = rows[0]
    yield bold(
        f"{text.printable(report.name)}: load {first.load_mean:.2f}, {first.n_users_mean:.3g} users,"
        f" {text.plural(first.n_runs, 'run')} of {text.duration(report.duration_s)}"
    )
    names = list(dict.fromkeys(name for row in rows for name in row.classes))
    header = "Policy >MOS >± >p5 >below_3 >fairness >Mbit/s " + " ".join(f">{name}" for name in names)
    header += " >promised"
    yield from aligned(header, (_row(row, names) for row in rows), bold)
    ours = next((row for row in rows if row.gain_over_pf is not None and row.policy == "qoe"), None)
    if ours:
        yield _sentence(ours)
    for row in rows:
        yield from map(_intent, row.intents)


def _row(row: PolicySummary, names: list[str]) -> list[str]:
    return [
        row.policy,
        text.mos(row.mos_mean),
        text.mos(row.mos_mean_ci95),
        text.mos(row.mos_p5),
        text.percent(row.below_3_ratio),
        text.mos(row.fairness),
        f"{row.rate_bps / 1e6:.1f}",
        *(text.mos(row.classes.get(name)) for name in names),
        text.mos(row.promised_mean),
    ]


def _sentence(ours: PolicySummary) -> str:
    told = f"qoe: {ours.gain_over_pf:+.2f}"
    if ours.gain_over_pf_ci95 is not None:
        told += f" ± {ours.gain_over_pf_ci95:.2f}"
    told += " MOS over pf on the same users"
    for cut, other in ((ours.below_3_cut_vs_pf, "pf"), (ours.below_3_cut_vs_strict, "strict_priority")):
        if cut is not None:
            more = "fewer" if cut >= 0 else "more"
            told += f"; {text.percent(abs(cut))} {more} users below 3 than {other}"
    if ours.promise_error_mean is not None:
        told += f"; promises off by {ours.promise_error_mean:.2f}"
    return told


def _intent(found: IntentResult) -> str:
    name = text.printable(found.intent)
    if found.n_intervals == 0:
        return f"intent {name}: nobody was concerned"
    told = f"intent {name}: met in {text.percent(found.n_met / found.n_intervals)} of"
    told += f" {text.plural(found.n_intervals, 'interval')}"
    missed = [f"{reason.replace('_', ' ')} {count:,}" for reason, count in found.reasons.items()]
    return told + (f"; missed for {text.some(missed, 4)}" if missed else "")


_WIDTH: Final = 760
_HEIGHT: Final = 360
_LEFT: Final = 60
_RIGHT: Final = 150
_TOP: Final = 20
_BOTTOM: Final = 46


def cumulative(report: SimulationReport, load: float | None) -> str:
    """Draw for each policy which part of users is at or below each MOS.

    Parameters
    ----------
    report : SimulationReport
        Of `qoe.simulate.summarise`.
    load : float or None
        Which of its loads.

    Returns
    -------
    str
        One SVG element.
    """
    parts = list(_axes())
    names = list(dict.fromkeys(p.policy for p in report.policies if p.load == load))
    for k, name in enumerate(names):
        mos = sorted(_mos_of_users(report, load, name))
        colour = POLICY_COLOURS[name]
        y = _TOP + 14 + 18 * k
        parts.append(charts.label(_WIDTH - _RIGHT + 12, y, name, class_="name", fill=colour))
        if mos:
            parts.append(
                charts.tag(
                    "path",
                    charts.tag("title", f"{name}: mean MOS {sum(mos) / len(mos):.2f}"),
                    class_="line",
                    fill="none",
                    d=_steps(mos),
                    stroke=colour,
                    stroke_width=3 if name == "qoe" else 1.5,
                )
            )
    title = f"Part of users at or below each MOS, load {load:g}" if load else "Part of users by MOS"
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return charts.tag("svg", charts.tag("title", title), *parts, viewBox=box, role="img")


def _mos_of_users(report: SimulationReport, load: float | None, policy: str) -> list[float]:
    """MOS of every user of every run: the mean over its applications."""
    scores: dict[tuple[int, str], list[float]] = {}
    for u in report.users:
        if u.load == load and u.policy == policy and u.mos is not None:
            scores.setdefault((u.seed, u.user), []).append(u.mos)
    return [sum(values) / len(values) for values in scores.values()]


def _x(mos: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (min(max(mos, 1.0), 5.0) - 1.0) / 4.0


def _y(ratio: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1.0 - ratio)


def _axes() -> Iterator[str]:
    for ratio in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(ratio)
        yield charts.tag("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, stroke="#8884")
        yield charts.label(_LEFT - 8, y + 4, f"{100 * ratio:.0f} %", "end", class_="tick")
    for mos in range(1, 6):
        yield charts.label(
            _x(mos), _HEIGHT - _BOTTOM + 20, f"{mos} {text.mos_word(mos)}", "middle", class_="tick"
        )


def _steps(mos: list[float]) -> str:
    points, n = [f"M{_x(1.0):.1f} {_y(0.0):.1f}"], len(mos)
    for i, value in enumerate(mos):
        points.append(f"H{_x(value):.1f}V{_y((i + 1) / n):.1f}")
    return "".join([*points, f"H{_x(5.0):.1f}"])


def page(report: SimulationReport) -> str:
    """Write a simulation as one self-contained page: a picture and a table a load.

    Parameters
    ----------
    report : SimulationReport
        Of `qoe.simulate.summarise`.

    Returns
    -------
    str
        A whole HTML document.
    """
    sections = [
        markup.section(
            f"Load {load:g}" if load else "Users as listed",
            "Users at or below each MOS, as the simulated applications measured it.",
            cumulative(report, load),
            charts.tag("pre", "\n".join(map(charts.escape, _block(report, load, str)))),
        )
        for load in _loads(report)
    ]
    header = charts.tag("header", charts.tag("h1", charts.escape(report.name)))
    return markup.document(report.name, header + "\n".join(sections))
