"""``qoe intents``: check an intents file, convert intents between standards, report their fulfilment."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qoe.commands import common
from qoe.errors import ConfigError, ProblemError, QoeError

if TYPE_CHECKING:
    from qoe.intent import Bearers, Compiled, Conflict, Intent, IntentsFile
    from qoe.optimise import CellProblem

_AHEAD_S: Final = 7 * 86_400.0
_EXAMPLES: Final = """\
examples:
  qoe intents check intents.toml --cells cells.toml --at 2026-11-30T09:00+01:00
  qoe intents check intents.toml --problem problem.json        what the cells can keep of it
  qoe intents convert intents.toml --to tmf921 > intents.json
  qoe intents convert order.json --to toml >> intents.toml      TMF921, TS 28.312 or a CAMARA session
  qoe intents report fulfilment.json intents.toml --to ts28312
"""
_CHECK: Final = """\
example:
  qoe intents check examples/intents.toml --cells examples/busy-cell.toml --at 2026-11-30T09:00+01:00

Tells which intents contradict one another and why, what holds at a time, and when that changes. Exit code 1:
something cannot be had.
"""
_CONVERT: Final = """\
examples:
  qoe intents convert intents.toml --to tmf921
  qoe intents convert order.json --to toml
  qoe intents convert session.json --to toml --profiles intents.toml --cells cells.toml
  qoe intents convert intents.toml --to camara                  the QoS profiles on offer

What is read is told by its content: an intents file (TOML), TMF921 Intents, TS 28.312 Intents or a CAMARA
CreateSession (JSON, one or a list). What cannot be served is named on standard error.
"""
_REPORT: Final = """\
example:
  qoe intents report fulfilment.json intents.toml --to tmf921

FULFILMENT.json is what qoe.intent.summaries_to_dict gives. Without --to it is shown as a table.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "intents",
        help="check, convert and report intents: who is to have what quality, when and where",
        description="Check what is wanted for whom, convert it between standards, report what became of it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deeds = parser.add_subparsers(metavar="check|convert|report", required=True)
    check = _deed(deeds, "check", "find contradictions; tell what holds when", _CHECK, _check)
    check.add_argument("intents", type=Path, metavar="INTENTS.toml")
    check.add_argument(
        "--cells", type=Path, metavar="FILE", help="cells and subscribers (TOML): who is meant"
    )
    check.add_argument(
        "--problem", type=Path, metavar="FILE", help="cells with MOS curves (JSON): what they can keep"
    )
    check.add_argument(
        "--at", type=_time, metavar="TIME", help="such as 2026-11-30T09:00+01:00 (default: now)"
    )
    check.add_argument("--json", action="store_true", help="write one JSON object")
    convert = _deed(deeds, "convert", "read intents of one standard, write another's", _CONVERT, _convert)
    convert.add_argument("source", metavar="FILE", help="TOML or JSON; - for JSON on stdin")
    convert.add_argument("--to", choices=("toml", "tmf921", "ts28312", "camara"), required=True)
    convert.add_argument("--profiles", type=Path, metavar="INTENTS.toml", help="profiles that sessions name")
    convert.add_argument("--cells", type=Path, metavar="FILE", help="cells file: whose devices are whose")
    convert.add_argument("--at", type=_time, metavar="TIME", help="start of sessions (default: now)")
    report = _deed(deeds, "report", "write what became of intents", _REPORT, _report)
    report.add_argument("fulfilment", type=Path, metavar="FULFILMENT.json")
    report.add_argument("intents", type=Path, metavar="INTENTS.toml")
    report.add_argument("--to", choices=("tmf921", "ts28312"), help="write reports of that standard (JSON)")
    report.add_argument("--json", action="store_true", help="write JSON also without --to")


def _deed(
    deeds: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    words: str,
    examples: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = deeds.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _time(text: str) -> float:
    """Read a time with its offset from UTC, as seconds since 1970."""
    import datetime as dt

    try:
        value = dt.datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time with offset: write 2026-11-30T09:00+01:00")
    return value.timestamp()


def _check(args: argparse.Namespace) -> int:
    """Run ``qoe intents check``; gives the exit code."""
    from qoe.intent import find_conflicts, load_intents

    file = load_intents(args.intents)
    at_s = time.time() if args.at is None else args.at
    crowds = _crowds(args.cells) if args.cells else None
    problems = _problems(args.problem) if args.problem else []
    if crowds is None and problems:
        conflicts = find_conflicts(file, at_s, problems)
    else:
        conflicts = find_conflicts(file, at_s, crowds)
    conflicts += tuple(_of_cells(file, problems, at_s))
    found = {
        "at": _written(at_s),
        "intents": [_standing(intent, file, at_s, crowds) for intent in file.intents],
        "conflicts": [_conflict(conflict) for conflict in conflicts],
    }
    if args.json:
        _write_json(found)
    else:
        common.write_text("\n".join(_check_lines(found)) + "\n")
    return 0 if all(conflict.idle for conflict in conflicts) else 1


def _crowds(path: Path) -> list[Bearers]:
    """Give everyone of a cells file: each subscriber with traffic of every class, in both directions."""
    from qoe.config import load_cells
    from qoe.intent import Bearers
    from qoe.schema import CLASS_NAMES

    return [
        Bearers(
            cell.name,
            direction,
            [s.name for s in cell.subscribers for _ in CLASS_NAMES],
            [name for _ in cell.subscribers for name in CLASS_NAMES],
            [s.tier for s in cell.subscribers for _ in CLASS_NAMES],
        )
        for cell in load_cells(path).cells
        for direction in ("down", "up")
    ]


def _problems(path: Path) -> list[CellProblem]:
    from qoe.optimise import read_problem

    try:
        return read_problem(path.read_bytes())
    except OSError as error:
        raise ProblemError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ProblemError as error:
        raise ProblemError(f"{path}: {error}") from None


def _of_cells(file: IntentsFile, problems: list[CellProblem], at_s: float) -> Iterator[Conflict]:
    """Find what cells cannot keep, now and whenever within a week an intent begins to hold or ends."""
    from dataclasses import replace

    from qoe.intent import compile_intents

    times = {at_s} | {t for i in file.intents for t in _changes(i, at_s) if t < at_s + _AHEAD_S}
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for time_s, problem in product(sorted(times) if problems else (), problems):
        for conflict in _admitted(problem, compile_intents(file, problem, time_s)):
            key = (conflict.cell, conflict.kind, conflict.intents)
            if key not in seen:
                when = "now" if time_s == at_s else f"from {_written(time_s, file.time_zone)} on"
                yield replace(conflict, when=when)
            seen.add(key)


def _admitted(problem: CellProblem, compiled: Compiled) -> tuple[Conflict, ...]:
    from qoe.intent import admit
    from qoe.optimise.curves import invert

    return admit(
        compiled,
        lambda mos: invert(problem.curves, mos),
        efficiency_bps=problem.efficiency_bps,
        floor_mos=problem.floor_mos,
        min_share_ratio=problem.min_share_ratio,
        budget_ratio=problem.budget_ratio,
        floor_cap_ratio=problem.floor_cap_ratio,
    ).conflicts


def _standing(intent: Intent, file: IntentsFile, at_s: float, crowds: list[Bearers] | None) -> dict[str, Any]:
    from qoe.intent.conflicts import describe
    from qoe.intent.select import in_cell, selector_of

    change = next(_changes(intent, at_s), None)
    who = selector_of(intent, file.groups)
    meant = {
        name
        for crowd in crowds or ()
        if in_cell(intent.where, crowd)
        for name, chosen in zip(crowd.subscriber, who.mask(crowd), strict=True)
        if chosen
    }
    return {
        "name": intent.name,
        "priority": intent.priority,
        "who": describe(intent),
        "when": str(intent.when),
        "target": str(intent.target),
        "holds": intent.applies(at_s),
        "next_change": None if change is None else _written(change, intent.when.time_zone),
        "n_subscribers": None if crowds is None else len(meant),
    }


def _changes(intent: Intent, at_s: float) -> Iterator[float]:
    from qoe.intent.schedule import changes

    return changes(intent.applies, intent.when, intent.span_s, at_s)


def _written(at_s: float, time_zone: str = "") -> str:
    import datetime as dt

    from qoe.intent.schedule import zone

    return dt.datetime.fromtimestamp(at_s, zone(time_zone)).isoformat(timespec="seconds")


def _conflict(conflict: Conflict) -> dict[str, Any]:
    from dataclasses import asdict

    from qoe.intent.fulfilment_json import without_nan

    found: dict[str, Any] = without_nan(asdict(conflict))
    return found | {"explanation": conflict.explain()}


def _check_lines(found: dict[str, Any]) -> Iterator[str]:
    import textwrap

    from qoe.report.tables import WIDTH

    yield f"At {found['at']}"
    for row in found["intents"]:
        change = row["next_change"] or ("further notice" if row["holds"] else "never")
        until = "until" if row["holds"] else "not before" if row["next_change"] else "holds"
        parts = [row["who"], row["when"], f"{until} {change}"]
        if row["n_subscribers"] is not None:
            parts.append(f"subscribers: {row['n_subscribers']}")
        yield ""
        mark = "holds" if row["holds"] else "idle "
        yield f"{mark}  {row['name']} (priority {row['priority']}): {row['target']}"
        yield textwrap.fill("; ".join(parts), WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 7)
    yield ""
    for conflict in found["conflicts"]:
        yield textwrap.fill(f"- {conflict['explanation']}", WIDTH, subsequent_indent="  ")
    if not found["conflicts"]:
        yield "No conflicts"


def _convert(args: argparse.Namespace) -> int:
    """Run ``qoe intents convert``; gives the exit code."""
    from qoe.intent import camara, tmf921, ts28312
    from qoe.intent.toml_text import write_toml

    file = _source(args)
    if args.to == "toml":
        common.write_text(write_toml(file))
    elif args.to == "camara":
        _write_json(camara.write_profiles(file))
    else:
        write = tmf921.write_intent if args.to == "tmf921" else ts28312.write_intent
        _write_json([write(file.without_groups(intent)) for intent in file.intents])
    return 0


def _source(args: argparse.Namespace) -> IntentsFile:
    from qoe.intent import IntentsFile, load_intents

    if args.source != "-" and Path(args.source).suffix.lower() == ".toml":
        return load_intents(args.source)
    name = "standard input" if args.source == "-" else args.source
    profiles = load_intents(args.profiles) if args.profiles else IntentsFile()
    intents: list[Intent] = []
    try:
        document = json.loads(_read(args.source))
        single = not isinstance(document, list)
        for k, item in enumerate([document] if single else document):
            found, aside = _read_one(item, "$" if single else f"$[{k}]", profiles, args)
            intents += found
            for line in aside:
                common.say(f"warning: {name}: {line}")
        return IntentsFile(intents=tuple(intents))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{name}: not JSON: {error}") from None


def _read(source: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}") from None


def _read_one(
    item: Any, path: str, profiles: IntentsFile, args: argparse.Namespace
) -> tuple[list[Intent], list[str]]:
    from qoe.config import load_cells
    from qoe.intent import camara, tmf921, ts28312

    if not isinstance(item, dict):
        raise ConfigError("an object is needed", path)
    if "qosProfile" in item:
        cells = load_cells(args.cells) if args.cells else None
        at_s = time.time() if args.at is None else args.at
        return [camara.create_session(item, profiles, at_s, cells=cells).intent()], []
    if "intentExpectations" in item or "attributes" in item:
        return ts28312.read_intents(item, path)
    if "expression" in item:
        return tmf921.read_intents(item, path)
    raise ConfigError(
        "neither a TMF921 Intent (expression), a TS 28.312 Intent (intentExpectations) nor a CAMARA session"
        " (qosProfile)",
        path,
    )


def _report(args: argparse.Namespace) -> int:
    """Run ``qoe intents report``; gives the exit code."""
    from qoe.intent import load_intents, summaries_from_json, summaries_to_dict, tmf921, ts28312

    file = load_intents(args.intents)
    try:
        at_s, summaries = summaries_from_json(_read(str(args.fulfilment)))
    except ConfigError as error:
        raise ConfigError(f"{args.fulfilment}: {error}") from None
    intents = {intent.name: intent for intent in file.intents}
    unknown = [summary.intent for summary in summaries if summary.intent not in intents]
    if unknown:
        raise QoeError(
            f"{args.fulfilment}: {args.intents} has no intent {unknown[0]!r}; name the file it is of"
        )
    if args.to:
        write = tmf921.write_report if args.to == "tmf921" else ts28312.write_report
        _write_json([write(intents[summary.intent], summary, at_s) for summary in summaries])
    elif args.json:
        _write_json(summaries_to_dict(summaries, at_s))
    else:
        common.write_text("\n".join(_report_lines(summaries)) + "\n")
    return 0


def _report_lines(summaries: list[Any]) -> Iterator[str]:
    from qoe.report import tables

    rows = [
        (
            summary.intent,
            str(summary.status),
            f"{summary.met_ratio:.1%}" if summary.n_intervals else "",
            str(summary.n_intervals),
            f"{summary.value:.2f}" if summary.n_intervals else "",
            f"{summary.target:g}",
            ", ".join(f"{reason} {count}" for reason, count in summary.reasons.items()),
        )
        for summary in summaries
    ]
    yield from tables.aligned(
        "intent status >met >intervals >measured >target reasons", rows, tables.bold_for(sys.stdout)
    )


def _write_json(document: object) -> None:
    common.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
