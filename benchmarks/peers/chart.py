"""README's table and picture of the peers, out of what the benchmark said.

``python -m benchmarks peers --json > docs/peers.json && python -m benchmarks.peers.chart docs/peers.json``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import ROOT
from benchmarks.peers.picture import draw
from qoe.errors import ConfigError, QoeError

BEGIN: Final = "<!-- python -m benchmarks.peers.chart writes from here -->"
END: Final = "<!-- to here -->"
_HEAD: Final = (
    "| tool | mix: ns a packet | × ours | MB | 1M: ns a packet | × ours | MB | what it wrote |\n"
    "|---|--:|--:|--:|--:|--:|--:|---|"
)
_COMPARED: Final = ("mix", "1M")


def read_report(path: Path) -> dict[str, Any]:
    """The report of the peers among those in a file, one a line.

    Raises
    ------
    ConfigError
        If there is none.
    """
    try:
        reports = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return next(report for report in reports if report["benchmark"] == "peers")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ConfigError(f"{path}: no report of `python -m benchmarks peers --json` is in it") from error


def by_tool(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """Cases by tool and variant, then by capture: ours, then the others by cost on the first capture."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for case in report["results"]:
        if "missing" not in case:
            found.setdefault((case["tool"], case["variant"]), {})[case["capture"]] = case

    def cost(tool: tuple[str, str]) -> float:
        of_ours = tool[0] == "qoe"
        return 0.0 if of_ours else found[tool].get(_COMPARED[0], {}).get("cpu_ns_per_packet", float("inf"))

    return {tool: found[tool] for tool in sorted(found, key=cost)}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [_HEAD]
    for (tool, variant), cases in by_tool(report).items():
        any_case = next(iter(cases.values()))
        name = f"`qoe flows`, {variant}" if tool == "qoe" else f"{tool} {any_case['version']}"
        name += f", {variant}" * (tool != "qoe" and bool(variant))
        cells = [cell for capture in _COMPARED for cell in _cells(cases.get(capture, {}))]
        lines.append(f"| {' | '.join([name, *cells, any_case['writes']])} |")
    lines += [
        f"| {case['tool']}, missing: `{case['install']}` |{' – |' * 3 * len(_COMPARED)} – |"
        for case in report["results"]
        if "missing" in case
    ]
    return "\n".join([*lines, "", *_notes(report)])


def _cells(case: dict[str, Any]) -> list[str]:
    if "cpu_ns_per_packet" not in case:
        return ["failed" if "error" in case else "–", "–", "–"]
    ratio = case.get("ratio_to_ours")
    times = "–" if ratio is None else f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    return [f"{case['cpu_ns_per_packet']:,.0f}", times, f"{case['rss_mb']:,.0f}"]


def _notes(report: dict[str, Any]) -> list[str]:
    """Conditions, what only ours was measured on, and what failed."""
    machine, cases = report["machine"], report["results"]
    sizes = {case["capture"]: (case["n_packets"], case["n_flows"]) for case in cases if "capture" in case}
    captures = "; ".join(
        f"`{name}`: {packets:,} packets, {flows:,} flows" for name, (packets, flows) in sizes.items()
    )
    date = datetime.fromisoformat(report["date"])
    lines = [
        f"{captures}. CPU time and peak memory of whole processes with all their children, "
        "start-up and output included; median of "
        f"{max((case.get('n_runs', 0) for case in cases), default=0)} runs, fewer where one takes long. "
        f"{date.day} {date:%B %Y}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 1e9:.0f} GB, {machine['system']}; Python {report['versions']['python']}."
    ]
    own = [c for c in cases if c.get("capture") not in (None, *_COMPARED) and "cpu_ns_per_packet" in c]
    if own:
        each = "; ".join(
            f"{c['variant']}: {c['cpu_ns_per_packet']:,.0f} ns, {c['rss_mb']:,.0f} MB" for c in own
        )
        lines.append(f"Ours on {own[0]['n_packets']:,} packets of `{own[0]['capture']}`: {each}.")
    lines += [f"{c['tool']} on `{c['capture']}`: {c['error']}." for c in cases if "error" in c]
    return lines


def put_into(text: str, new: str, name: str) -> str:
    """A document with what stands between the markers replaced.

    Raises
    ------
    ConfigError
        If the markers are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise ConfigError(f"{name}: needs the line {BEGIN!r}, and {END!r} beneath it")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.chart", description=__doc__)
    parser.add_argument("report", type=Path, help="what `python -m benchmarks peers --json` printed")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "peers.svg", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        report = read_report(options.report)
        text = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(put_into(text, table(report), str(options.readme)), encoding="utf-8")
        options.picture.write_text(draw(by_tool(report), _COMPARED), encoding="utf-8")
    except (QoeError, OSError) as error:
        print(f"chart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
