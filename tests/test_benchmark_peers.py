"""The benchmark of peers: tools that work, fail, hang or are missing, and README's table of them."""

from __future__ import annotations

import json
import re
import struct
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import peers
from benchmarks.peers import chart, picture, written
from benchmarks.peers.tools import OURS, OURS_TOO, PEERS, Tool, shown, version_in
from benchmarks.treemeter import measure
from qoe.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "peers.json"
BURN = """
    import os, resource, sys
    def burn():
        n = 0
        for i in range(4_000_000):
            n += i * i
    def report():
        used = resource.getrusage(resource.RUSAGE_SELF)
        with open(f"used-{os.getpid()}", "w") as file:
            file.write(str(used.ru_utime + used.ru_stime))
    """


def python(code: str, *arguments: str) -> list[str]:
    """Command that runs a piece of Python."""
    return [sys.executable, "-I", "-c", textwrap.dedent(code), *arguments]


def tool(code: str = "", **changes: Any) -> Tool:
    """A tool of the tests' own, which writes a CSV of two flows unless `code` says else."""
    words = tuple(python(code or "open('flows.csv', 'w').write('flow\\n1\\n2\\n')"))
    made = Tool("numpy", "", "pip install it", words, "CSV", "flows.csv", written.csv_rows)
    return replace(made, **changes)


@pytest.fixture(name="measured")
def _measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Runs the benchmark on one small capture with peers of the tests' own."""

    def measured(*chosen: Tool) -> list[dict[str, Any]]:
        monkeypatch.setattr(peers, "OURS_TOO", ())
        monkeypatch.setattr(peers, "PEERS", chosen)
        monkeypatch.setattr(peers, "QUICK", (peers.Capture("mix", 300, 30),))
        return peers.run(quick=True)

    return measured


def test_whole_tree_is_accounted(tmp_path: Path) -> None:
    """CPU of a command, a worker that it waits for and an orphan adds up to what they say themselves."""
    code = textwrap.dedent(BURN) + textwrap.dedent("""
        if os.fork() == 0:          # nobody waits for this one
            if os.fork() == 0:      # its parent is gone at once, and it outlives the command
                burn(); burn(); report(); os._exit(0)
            os._exit(0)
        worker = os.fork()
        burn()
        if worker:
            os.waitpid(worker, 0)
        report()
        """)
    cost = measure(python(code), tmp_path)
    said = [float(file.read_text()) for file in tmp_path.glob("used-*")]
    assert cost.exit_code == 0, (tmp_path / "stderr").read_text()
    assert len(said) == 3
    assert sum(said) <= cost.cpu_s < sum(said) + 0.5 * min(said)


def test_memory_of_a_tree_is_a_sum(tmp_path: Path) -> None:
    """Two processes that hold 63 MB each at once, and share 63 MB, peak at 189 MB and a little."""
    code = """
    import os, time
    def mebibytes(n):
        return bytearray(os.urandom(1 << 20) * n)
    shared = mebibytes(60)
    child = os.fork()
    own = mebibytes(60)
    time.sleep(1)
    if child:
        os.waitpid(child, 0)
    """
    costs = [measure(python(code), tmp_path).rss_mb for _ in range(3)]
    assert 180 < min(costs) < 250, "what is sampled as a process is made or ends may count shared pages twice"


def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    """After the limit neither the command nor what it started is left, and the cost says so."""
    code = """
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("pid", "w").write(str(child.pid))
    time.sleep(600)
    """
    cost = measure(python(code), tmp_path, limit_s=1.0)
    assert cost.timed_out
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_command_that_cannot_start(tmp_path: Path) -> None:
    """A program that is not there is an exit code and a text, not an exception."""
    assert measure(["/no/such/program"], tmp_path).exit_code == 127
    assert "/no/such/program" in (tmp_path / "stderr").read_text()


def test_every_outcome_is_a_case(
    measured: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that works has figures, one that fails or hangs its error, a missing one its command."""
    monkeypatch.setenv("QOE_PEERS_LIMIT_S", "20")
    ours, good, bad, mute, absent = measured(
        tool(variant="good"),
        tool("raise SystemExit('no such link type')", variant="bad"),
        tool("pass", variant="mute"),
        tool(name="sniffer", asks_version=("no-such-sniffer", "-V"), install="apt install sniffer"),
    )
    assert (ours["tool"], ours["capture"], ours["n_packets"], ours["ratio_to_ours"]) == (
        "qoe",
        "mix",
        300,
        1.0,
    )
    assert ours["flows_out"] == ours["n_flows"] == 30
    assert good["flows_out"] == 2
    assert good["output_sample"] == "2"
    assert good["ratio_to_ours"] == pytest.approx(good["cpu_ns_per_packet"] / ours["cpu_ns_per_packet"])
    assert good["rss_mb"] > 1
    assert good["command"].startswith("python -I -c")
    assert bad["error"] == "exit code 1: no such link type"
    assert "flows.csv" in mute["error"]
    assert "cpu_ns_per_packet" not in bad
    assert absent == {"tool": "sniffer", "missing": True, "install": "apt install sniffer"}


def test_slow_tool_is_a_case(
    measured: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool beyond the limit has an error that says how to allow more."""
    monkeypatch.setenv("QOE_PEERS_LIMIT_S", "5")
    _, slow = measured(tool("import time; time.sleep(600)"))
    assert slow["error"] == "not done after 5 s: QOE_PEERS_LIMIT_S allows more"


@pytest.mark.parametrize("given", ["soon", "0", "-1", "inf", "nan"])
def test_limit_is_checked(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is no time is refused in one line that names it."""
    monkeypatch.setenv("QOE_PEERS_LIMIT_S", given)
    with pytest.raises(ConfigError, match=f"QOE_PEERS_LIMIT_S={given}: give seconds"):
        peers.run(quick=True)


@pytest.mark.parametrize("peer", [OURS, *OURS_TOO, *PEERS], ids=lambda peer: f"{peer.name} {peer.variant}")
def test_tools_find_all_flows(peer: Tool, tmp_path: Path) -> None:
    """Every tool reads a capture of 200 flows, all one way, and writes as many; ndpiReader those it knows."""
    if peer.version() is None:
        pytest.skip(f"{peer.name} is missing: {peer.install}")
    capture = peers.Capture("1M", 1000, 200)
    capture.write(tmp_path / "even.pcap")
    _, found = peers.run_once(peer, capture, tmp_path / "even.pcap", 60.0)
    assert "error" not in found
    assert found["output_bytes"] > 0
    assert found["flows_out"] == 200 or (peer.variant == "known flows" and found["flows_out"] < 200)


@pytest.mark.parametrize(
    ("banner", "expected"),
    [
        ("\nWelcome to nDPI 4.2.0\n\nndpiReader -i <file|device>", "4.2.0"),
        ("This is softflowd version 1.1.0. Valid commandline options:", "1.1.0"),
        ("Argus Version 3.0.8.2\nusage: argus [options]", "3.0.8.2"),
        ("nfpcapd: Version: 1.7.1", "1.7.1"),
        ('Running as user "root".\nTShark (Wireshark) 4.0.17 (Git v4.0.17 packaged)', "4.0.17"),
        ("usage: tool", "unknown"),
    ],
)
def test_versions_are_found(banner: str, expected: str) -> None:
    """The version is what a program says of itself."""
    assert version_in(banner) == expected


def test_commands_show_no_folder_of_this_machine() -> None:
    """What is shown can be typed elsewhere."""
    command = [sys.executable, "-P", str(ROOT / "flows.py"), "../mix.pcap", "-w", "."]
    assert shown(command) == "python -P flows.py ../mix.pcap -w ."


def test_written_flows_are_counted(tmp_path: Path) -> None:
    """Counts of made-up outputs in each format."""
    file = tmp_path / "out"
    file.write_bytes(
        b"".join(
            struct.pack(">BBH4x", *each, 2)
            for each in [(0x83, 0x10), (0x13, 0x10), (0x13, 0x20), (0x13, 0x10)]
        )
    )
    assert written.argus_flows(file) == 2
    file.write_text("Packets processed: 40\nFlows exported: 12 (20 records) in 3 packets (0 failures)\n")
    assert written.softflowd_flows(file) == 12
    file.write_text("1.0,60,TCP,0,\n1.1,60,UDP,,0\n1.2,60,UDP,,1\n1.3,60,ARP,,\n")
    assert written.tshark_streams(file) == 3
    file.write_text("a,b\r\n1,2\r\n3,4\r\n")
    assert (written.csv_rows(file), written.sample(file)) == (2, "3,4")
    file.write_bytes(b"\0\1")
    assert written.sample(file) is None
    with pytest.raises(ValueError, match="Flows exported"):
        written.softflowd_flows(file)


def report() -> dict[str, Any]:
    """A report with a case of each sort."""
    common = {"n_packets": 1000, "n_flows": 10, "writes": "CSV", "n_runs": 3}
    figures = {"mix": (300.0, 410.0), "1M": (500.0, 480.0)}
    results: list[dict[str, Any]] = []
    for capture, (ours_ns, slow_ns) in figures.items():
        for name, variant, cost_ns in (("qoe", "core, parquet", ours_ns), ("sniffer", "", slow_ns * 1000)):
            case = common | {"tool": name, "variant": variant, "version": "1.2", "capture": capture}
            case |= {"cpu_ns_per_packet": cost_ns, "rss_mb": 99.6, "ratio_to_ours": cost_ns / ours_ns}
            results.append(case)
    results.append(
        common
        | {
            "tool": "argus",
            "variant": "",
            "version": "3",
            "capture": "mix",
            "error": 'exit code 2: <no> & "why"',
        }
    )
    results.append({"tool": "dpkt", "missing": True, "install": "pip install dpkt"})
    machine = {"processor": "CPU", "cores": 2, "memory_bytes": 25e9, "system": "Linux 6"}
    return {
        "benchmark": "peers",
        "date": "2026-11-25T08:00:00+00:00",
        "machine": machine,
        "versions": {"python": "3.11.7"},
        "results": results,
    }


def test_table_says_what_the_report_says(tmp_path: Path) -> None:
    """The command puts every figure between README's markers, leaves the rest, and may be repeated."""
    made, readme = report(), tmp_path / "README.md"
    file, drawing = tmp_path / "peers.json", tmp_path / "peers.svg"
    file.write_text(json.dumps({"benchmark": "mos"}) + "\n" + json.dumps(made) + "\n")
    readme.write_text(f"before\n{chart.BEGIN}\nold\n{chart.END}\nafter\n")
    arguments = [str(file), "--readme", str(readme), "--picture", str(drawing)]
    assert chart.main(arguments) == 0
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert {len(row) for row in rows} == {8}
    assert [row[:7] for row in rows[2:]] == [
        ["`qoe flows`, core, parquet", "300", "1", "100", "500", "1", "100"],
        ["sniffer 1.2", "410,000", "1,367", "100", "480,000", "960", "100"],
        ["argus 3", "failed", "–", "–", "–", "–", "–"],
        ["dpkt, missing: `pip install dpkt`", "–", "–", "–", "–", "–", "–"],
    ]
    assert "25 November 2026; CPU, 2 cores, 25 GB, Linux 6; Python 3.11.7" in text
    assert 'argus on `mix`: exit code 2: <no> & "why".' in text
    assert chart.main(arguments) == 0
    assert readme.read_text() == text
    words = [element.text for element in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}text")]
    assert {"mix", "1M", "sniffer", "300 ns", "failed"} <= set(words)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), ("{", "no report"), ('{"benchmark": "mos"}', "no report"), ("[]", "no report")],
)
def test_chart_refuses_what_is_no_report(
    content: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without a report is one line on standard error and exit code 1."""
    file = tmp_path / "peers.json"
    if content is not None:
        file.write_text(content)
    assert chart.main([str(file), "--readme", str(tmp_path / "no")]) == 1
    assert re.fullmatch(rf"chart: .*{says}.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "text", ["", chart.BEGIN, f"{chart.END}{chart.BEGIN}", 2 * (chart.BEGIN + chart.END)]
)
def test_document_needs_its_markers(text: str) -> None:
    """Without a pair of markers nothing is written."""
    with pytest.raises(ConfigError, match=r"README\.md: needs the line"):
        chart.put_into(text, "new", "README.md")


@pytest.mark.parametrize(
    ("value_ns", "text"), [(67.2, "67.2 ns"), (999, "999 ns"), (27_400, "27.4 µs"), (1.46e6, "1.46 ms")]
)
def test_durations_are_short(value_ns: float, text: str) -> None:
    """Three digits and a unit."""
    assert picture.duration(value_ns) == text


def test_readme_shows_the_kept_results(tmp_path: Path) -> None:
    """README's table and the picture are those of docs/peers.json, which shows no folder of a machine."""
    readme, drawing = tmp_path / "README.md", tmp_path / "peers.svg"
    before = (ROOT / "README.md").read_text(encoding="utf-8")
    readme.write_text(before, encoding="utf-8")
    assert chart.main([str(RESULTS), "--readme", str(readme), "--picture", str(drawing)]) == 0
    assert readme.read_text(encoding="utf-8") == before
    assert drawing.read_bytes() == (ROOT / "docs" / "peers.svg").read_bytes()
    kept = chart.read_report(RESULTS)
    assert not kept["quick"]
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|usr)/", json.dumps(kept))
