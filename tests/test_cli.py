"""The command line: in this process and as a program; good input, bad input, pipes, signals."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captures import Packet, pcap, pcapng
from wire import RAW_IP, SECOND, udp

import qoe
from qoe.cli import _COMMANDS, main
from qoe.commands.common import others_write_to_stderr

T0 = 1_700_000_000 * SECOND
EXAMPLE = Path(__file__).parent.parent / "examples" / "busy-cell.pcapng"
CELLS = EXAMPLE.with_suffix(".toml")
PROBLEM: dict[str, Any] = {
    "cells": [
        {
            "cell": "busy",
            "direction": "down",
            "capacity_bps": 2e7,
            "bearers": [
                {
                    "subscriber": "ana",
                    "class": "video",
                    "curve": {"share_ratio": [0, 0.3, 1], "mos": [1, 4, 4.4]},
                },
                {
                    "subscriber": "ben",
                    "class": "bulk",
                    "curve": {"share_ratio": [0, 0.9, 1], "mos": [1, 4, 4.1]},
                },
            ],
        }
    ]
}


class Run:
    """What the command line did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        """Lines on stderr."""
        return self.err.splitlines()


Qoe = Callable[..., Run]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Qoe:
    """Run the command line in this process."""

    def call(*argv: object) -> Run:
        capfd.readouterr()
        code = main([str(a) for a in argv])
        return Run(code, *capfd.readouterr())

    return call


def program(*argv: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command line as a program."""
    command = [sys.executable, "-P", "-m", "qoe", *map(str, argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def packets(n: int, step_ns: int = SECOND // 10, port: int = 1000) -> list[Packet]:
    """Packets of one flow."""
    data = udp("10.0.0.1", port, "192.0.2.1", 2000)
    return [Packet(T0 + i * step_ns, data, len(data), RAW_IP) for i in range(n)]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture of one flow of 20 packets in 2 s."""
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcapng(packets(20), link=RAW_IP))
    return path


# help and usage


@pytest.mark.parametrize("argv", [["--help"], *([command, "--help"] for command in _COMMANDS)])
def test_help_teaches(run: Qoe, argv: list[str]) -> None:
    """Help goes to stdout with exit code 0, and all but info's shows examples."""
    done = run(*argv)
    assert (done.code, done.err) == (0, "")
    assert argv[0] == "info" or "example" in done.out


def test_version(run: Qoe) -> None:
    """``--version`` prints name and version."""
    assert run("--version").out == f"qoe {qoe.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    """Neither arrays nor compilers are loaded to show the help."""
    code = (
        "import sys; from qoe.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.strip("[]\n'").split("', '"))
    assert "qoe.cli" in loaded
    assert loaded.isdisjoint(
        {"numpy", "scipy", "numba", "pyarrow", "sklearn", "msgspec", "qoe_native.engine"}
    )


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["flows"],
        ["flows", "a.pcap", "--format", "xml"],
        ["flows", "a.pcap", "--idle-timeout", "-1"],
        ["flows", "a.pcap", "--active-timeout", "nan"],
        ["flows", "a.pcap", "--max-flows", "many"],
        ["replay", "a.pcap", "--interval", "0"],
        ["replay", "a.pcap", "--capacity", "fast"],
        ["replay", "a.pcap", "--capacity", "20 MB/s"],
        ["replay", "a.pcap", "--capacity", "20M/-3"],
        ["replay", "a.pcap", "--capacity", "20M", "--cells", "cells.toml"],
        ["train", "captures", "labels.csv"],
        ["optimise"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(run: Qoe, argv: list[str]) -> None:
    """What cannot be meant is told in one line that names the command's help."""
    done = run(*argv)
    assert (done.code, done.out, len(done.lines)) == (2, "", 1)
    assert "--help'" in done.err


# flows


def test_flows_as_csv_on_stdout(run: Qoe, capture: Path) -> None:
    """CSV is the default, one row a flow, nothing on stderr."""
    done = run("flows", capture, "--model", "none")
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert (done.code, done.err) == (0, "")
    assert (row["src"], row["dst"], row["src_port"], row["dst_port"]) == (
        "10.0.0.1",
        "192.0.2.1",
        "1000",
        "2000",
    )
    assert (row["protocol"], row["packets"], row["packets_reverse"]) == ("17", "20", "0")
    assert (row["first_s"], row["duration_s"]) == ("1700000000.000000000", "1.900000000")


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_the_name_decides_the_format(run: Qoe, capture: Path, tmp_path: Path, suffix: str) -> None:
    """With ``-o`` the name's ending decides, unless ``--format`` does."""
    output = tmp_path / f"flows.{suffix}"
    assert run("flows", capture, "--model", "none", "-o", output).code == 0
    start = {"csv": b"src,", "json": b"[\n{", "parquet": b"PAR1"}[suffix]
    assert output.read_bytes().startswith(start)
    assert run("flows", capture, "--model", "none", "-o", output, "--format", "csv").code == 0
    assert output.read_bytes().startswith(b"src,")


def test_timeouts_split_flows_and_0_never_does(run: Qoe, tmp_path: Path) -> None:
    """Gaps of 10 s split at an idle timeout of 5 s, not at 0."""
    path = tmp_path / "slow.pcapng"
    path.write_bytes(pcapng(packets(6, 10 * SECOND), link=RAW_IP))

    def n_flows(*options: object) -> int:
        return len(run("flows", path, "--model", "none", *options).out.splitlines()) - 1

    assert n_flows("--idle-timeout", 5, "--active-timeout", 0) == 6
    assert n_flows("--idle-timeout", 0, "--active-timeout", 0) == 1
    assert n_flows("--idle-timeout", 0, "--active-timeout", 25) == 2


def test_many_captures_globs_stdin_and_compression(run: Qoe, tmp_path: Path) -> None:
    """Files, a pattern, gzip and a pipe read alike."""
    for i in range(3):
        (tmp_path / f"{i}.pcap").write_bytes(pcap(packets(4, port=2000 + i), link=RAW_IP))
    (tmp_path / "3.pcap.gz").write_bytes(gzip.compress(pcap(packets(4, port=2003), link=RAW_IP)))
    done = run("flows", tmp_path / "*.pcap", tmp_path / "3.pcap.gz", "--model", "none")
    assert [row["src_port"] for row in csv.DictReader(io.StringIO(done.out))] == [
        "2000",
        "2001",
        "2002",
        "2003",
    ]
    piped = program("flows", "-", "--model", "none", stdin=subprocess.PIPE)
    out, err = piped.communicate((tmp_path / "0.pcap").read_bytes())
    assert (piped.returncode, err, len(out.splitlines())) == (0, b"", 2)


def test_parquet_is_not_poured_into_a_terminal(
    run: Qoe, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Binary output to a terminal is refused as wrong usage; redirected it is written."""
    assert run("flows", capture, "--model", "none", "--format", "parquet").code == 0
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    done = run("flows", capture, "--model", "none", "--format", "parquet")
    assert (done.code, done.out, len(done.lines)) == (2, "", 1)


# bad input


def broken(kind: str, folder: Path) -> Path:
    """Write an input that is bad in one way."""
    path = folder / f"{kind}.pcap"
    whole = pcap(packets(10), link=RAW_IP)
    seven = pcap(packets(7), link=RAW_IP)
    content = {
        "empty": b"",
        "text": b"this is no capture at all\n" * 10,
        "header cut": whole[:11],
        "packet cut": whole[:-7],
        "corrupt": seven + struct.pack("<IIII", 0, 0, 2**32 - 1, 2**32 - 1) + whole[len(seven) :],
        "gzip cut": gzip.compress(whole, 1)[:-20],
    }[kind]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("command", ["flows", "replay"])
@pytest.mark.parametrize("kind", ["empty", "text", "header cut"])
def test_what_is_no_capture_is_one_line_and_code_1(run: Qoe, tmp_path: Path, command: str, kind: str) -> None:
    """Nothing could be read: one line that names the file, no output, no output file."""
    path, output = broken(kind, tmp_path), tmp_path / "out"
    option = "-o" if command == "flows" else "--html"
    done = run(command, path, "--model", "none", option, output)
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert str(path) in done.err
    assert not output.exists()


@pytest.mark.parametrize("kind", ["packet cut", "corrupt", "gzip cut"])
def test_what_breaks_off_is_told_and_the_rest_counted(run: Qoe, tmp_path: Path, kind: str) -> None:
    """What came before is printed and marked partial; the line names the file; exit code 1."""
    path = broken(kind, tmp_path)
    flows = run("flows", path, "--model", "none")
    assert (flows.code, len(flows.lines)) == (1, 1)
    (row,) = csv.DictReader(io.StringIO(flows.out))
    assert 0 < int(row["packets"]) < 10
    replayed = run("replay", path, "--model", "none", "--json")
    found = json.loads(replayed.out)
    assert (replayed.code, len(replayed.lines), found["partial"]) == (1, 1, True)
    assert found["packets"] == int(row["packets"])
    assert str(path) in found["warnings"][0]
    assert "PARTIAL" in run("replay", path, "--model", "none").out


def test_one_bad_capture_among_good_ones(run: Qoe, capture: Path, tmp_path: Path) -> None:
    """The good ones are read, before and after it; the exit code says that not all were."""
    other = tmp_path / "z.pcapng"
    later = [p._replace(ts_ns=p.ts_ns + 60 * SECOND) for p in packets(5, port=7)]
    other.write_bytes(pcapng(later, link=RAW_IP))
    done = run("flows", capture, broken("text", tmp_path), other, "--model", "none")
    assert (done.code, len(done.lines), len(done.out.splitlines())) == (1, 1, 3)


def odd(kind: str, folder: Path) -> Path:
    """Write a capture that can be read but has something odd."""
    path = folder / "odd.pcap"
    some = packets(10)
    times = {
        "backwards": [p.ts_ns for p in some[::-1]],
        "zero clock": [0] * 10,
        "2106": [4_294_967_295 * SECOND] * 10,
    }
    if kind in times:
        some = [p._replace(ts_ns=t) for p, t in zip(some, times[kind], strict=True)]
    if kind == "no bytes":
        some = [p._replace(data=b"") for p in some]
    path.write_bytes(pcap(some, link=189 if kind == "link type" else RAW_IP))
    return path


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("backwards", "ran backwards"),
        ("zero clock", "clock of zero"),
        ("2106", "year 2100"),
        ("no bytes", "hold no byte"),
        ("link type", "USB, Linux (189)"),
    ],
)
def test_what_is_odd_is_a_warning(run: Qoe, tmp_path: Path, kind: str, word: str) -> None:
    """One line on stderr, exit code 0, all packets counted, the warning in the result too."""
    done = run("replay", odd(kind, tmp_path), "--model", "none", "--json")
    found = json.loads(done.out)
    assert (done.code, len(done.lines), found["partial"], found["packets"]) == (0, 1, False, 10)
    assert word in done.err
    assert word in found["warnings"][0]


@pytest.mark.parametrize("name", ["missing.qoemodel", "corrupt.qoemodel"])
def test_a_bad_model_is_one_line(run: Qoe, capture: Path, tmp_path: Path, name: str) -> None:
    """A classifier that is missing or damaged is named, with how to make one."""
    (tmp_path / "corrupt.qoemodel").write_bytes(b"\x00" * 100)
    done = run("flows", capture, "--model", tmp_path / name)
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert name in done.err
    assert "qoe train" in done.err


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (('name = "ben"', 'nmae = "ben"'), "$.cell[0].subscriber[1].nmae"),
        (('"10.45.0.3"', '"10.45.0.2"'), "ana"),
        (('"3.4 Mbit/s"', '"fast"'), "capacity_down"),
        (("[[cell]]", "[[cell"), "not TOML"),
    ],
)
def test_a_bad_cells_file_is_one_line(run: Qoe, tmp_path: Path, change: tuple[str, str], word: str) -> None:
    """An unknown key, an address twice, no rate, no TOML: file and place are told."""
    path = tmp_path / "cells.toml"
    path.write_text(CELLS.read_text().replace(*change, 1))
    done = run("replay", EXAMPLE, "--cells", path, "--model", "none")
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert str(path) in done.err
    assert word in done.err


def test_a_capture_is_not_written_over(run: Qoe, capture: Path) -> None:
    """Naming a capture as the output is refused, and it stays as it was."""
    before = capture.read_bytes()
    assert run("flows", capture, "-o", capture, "--model", "none").code == 1
    assert run("replay", capture, "--html", capture, "--model", "none").code == 1
    assert capture.read_bytes() == before


@pytest.mark.parametrize("output", ["/dev/full", "/no/such/folder/flows.csv"])
def test_what_cannot_be_written_is_one_line(run: Qoe, capture: Path, output: str) -> None:
    """A full disk or a missing folder is named."""
    done = run("flows", capture, "--model", "none", "-o", output)
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert output in done.err


def test_an_unexpected_error_is_one_line(run: Qoe, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a mistake of ours shows no traceback, unless it is asked for."""

    def fail(*_: object) -> int:
        raise ZeroDivisionError("oh no")

    monkeypatch.setattr("qoe.commands.info.collect", fail)
    done = run("info")
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert "QOE_DEBUG=1" in done.err
    monkeypatch.setenv("QOE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["info"])


# replay


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The README's command as a program, with all that it can write."""
    folder = tmp_path_factory.mktemp("replay") / "out"
    command = [
        sys.executable,
        "-P",
        "-m",
        "qoe",
        "replay",
        str(EXAMPLE),
        "--cells",
        str(CELLS),
        "--out",
        str(folder),
    ]
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return folder, done


def test_the_example_replays(replayed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The example's table has every part, nothing on stderr, no escape codes in a pipe."""
    _, done = replayed
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "Class ",
        "Subscriber ",
        "Cell busy, downlink",
        "Cell busy, uplink",
        "bound",
        "gap",
        "weight",
    ):
        assert part in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_result_has_what_is_promised(replayed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The JSON's fields are there, consistent with one another, and within their ranges."""
    folder, _ = replayed
    found = json.loads((folder / "result.json").read_text())
    assert {"packets", "bytes", "flows", "counters", "classes", "subscribers", "cells"} <= found.keys()
    assert found["packets"] == found["counters"]["packets"] == sum(c["packets"] for c in found["captures"])
    assert found["flows"] == sum(c["flows"] for c in found["classes"])
    assert sum(c["packets"] for c in found["classes"]) <= found["packets"]
    for cell in found["cells"]:
        assert cell["capacity_bps"] == {"down": 3.4e6, "up": 0.8e6}[cell["direction"]]
        assert (cell["capacity_source"], cell["capacity_is_lower_bound"]) == ("configured", False)
        assert 1 <= cell["mos_measured"] <= 5
        assert cell["mos_after"] <= cell["mos_bound"] + 1e-9
        assert 0 <= cell["gap_ratio"] < 0.05
        shares = [a["share_ratio"] for a in cell["allocations"]]
        assert sum(shares) <= 1 + 1e-9
        assert sum(a["weight"] for a in cell["allocations"]) == pytest.approx(len(shares))
        for a in cell["allocations"]:
            assert {
                "subscriber",
                "class",
                "weight",
                "share_ratio",
                "rate_bps",
                "mos_before",
                "mos_after",
            } <= a.keys()
            assert 1 <= a["mos_after"] <= 5


def test_the_folder_has_everything(replayed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Result, page, weights and flows are written, and agree."""
    folder, _ = replayed
    assert sorted(p.name for p in folder.iterdir()) == [
        "flows.csv",
        "report.html",
        "result.json",
        "weights.csv",
    ]
    found = json.loads((folder / "result.json").read_text())
    weights = list(csv.DictReader((folder / "weights.csv").read_text().splitlines()))
    assert len(weights) == sum(len(c["allocations"]) for c in found["cells"])
    assert len((folder / "flows.csv").read_text().splitlines()) == found["flows"] + 1
    assert "<svg" in (folder / "report.html").read_text()


def test_without_a_capacity_no_gain_is_claimed(run: Qoe) -> None:
    """The busiest second is a lower bound; shares are held; the output says what to give."""
    found = json.loads(run("replay", EXAMPLE, "--model", "none", "--json").out)
    for cell in found["cells"]:
        assert (cell["capacity_source"], cell["capacity_is_lower_bound"], cell["status"]) == (
            "trace",
            True,
            "held",
        )
        assert cell["mos_after"] == cell["mos_before"]
        assert (cell["mos_bound"], cell["gap_ratio"]) == (None, None)
        assert all(a["mos_after"] == a["mos_before"] for a in cell["allocations"])
    assert "give --capacity or --cells" in run("replay", EXAMPLE, "--model", "none").out


def test_a_capacity_on_the_command_line(run: Qoe) -> None:
    """One rate holds both ways, two are down and up; the cell then counts as configured."""
    for rate, want in (("5M", [5e6, 5e6]), ("5 Mbit/s/1 Mbit/s", [5e6, 1e6])):
        found = json.loads(run("replay", EXAMPLE, "--model", "none", "--json", "--capacity", rate).out)
        assert [c["capacity_bps"] for c in found["cells"]] == want
        assert not any(c["capacity_is_lower_bound"] for c in found["cells"])


def test_intervals_do_not_change_the_counts(run: Qoe) -> None:
    """However often it is judged, packets, bytes and flows are the same."""
    found = [
        json.loads(run("replay", EXAMPLE, "--model", "none", "--json", "--interval", s).out)
        for s in (0.5, 1, 30)
    ]
    assert len({(f["packets"], f["bytes"], f["flows"]) for f in found}) == 1
    half, one, thirty = (len(f["timeline"]) for f in found)
    assert half > one > thirty >= 1


# optimise, info, train


def test_optimise_reads_files_and_stdin(run: Qoe, tmp_path: Path) -> None:
    """Allocations come as JSON, or as a table; stdin is like a file."""
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(PROBLEM))
    (cell,) = json.loads(run("optimise", path).out)["cells"]
    assert sum(a["share_ratio"] for a in cell["allocations"]) <= 1 + 1e-9
    assert cell["mos_after"] <= cell["mos_bound"] + 1e-9
    table = run("optimise", path, "--table")
    assert table.code == 0
    assert "ana" in table.out
    piped = program("optimise", "-", stdin=subprocess.PIPE)
    out, _ = piped.communicate(path.read_bytes())
    assert json.loads(out)["cells"][0]["allocations"] == cell["allocations"]


def test_optimise_explains(run: Qoe, tmp_path: Path) -> None:
    """Policies and prices come with the answer, unless it is to be brief; a page has the pictures."""
    path, page = tmp_path / "problem.json", tmp_path / "page.html"
    path.write_text(json.dumps(PROBLEM))
    (cell,) = json.loads(run("optimise", path).out)["cells"]
    (pictured,) = json.loads(run("optimise", path, "--html", page).out)["cells"]
    assert not cell["explanation"]["trade_off"]
    assert pictured["explanation"]["trade_off"][0]["alpha"] == 0.0
    assert [p["policy"] for p in cell["explanation"]["policies"]][:2] == ["allocation", "pf"]
    assert cell["explanation"]["policies"][0]["mean_mos"] == cell["mos_after"]
    assert "Trade-off of Cell" in page.read_text()
    (short,) = json.loads(run("optimise", path, "--brief").out)["cells"]
    assert short == {key: value for key, value in cell.items() if key != "explanation"}
    assert "strict priority" in run("optimise", path, "--table").out
    assert "strict priority" not in run("optimise", path, "--table", "--brief").out
    refused = run("optimise", path, "--html", tmp_path / "none" / "page.html")
    assert (refused.code, refused.out) == (1, "")
    assert run("optimise", path, "--html", path).code == 1
    assert json.loads(path.read_text()) == PROBLEM


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "truncated"),
        ('{"cells": [{}]}', "$.cells[0]"),
        (json.dumps(PROBLEM).replace("4.4", "NaN"), "JSON"),
        (json.dumps(PROBLEM).replace("4.4", "0.4"), "mos"),
        (json.dumps(PROBLEM).replace("20000000.0", "-1"), "capacity_bps"),
    ],
)
def test_a_malformed_problem_is_one_line(run: Qoe, tmp_path: Path, text: str, word: str) -> None:
    """What is wrong and where, with the file's name."""
    path = tmp_path / "problem.json"
    path.write_text(text)
    done = run("optimise", path)
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert str(path) in done.err
    assert word in done.err
    assert run("optimise", tmp_path / "none.json").code == 1


def test_an_infeasible_promise_is_a_status(run: Qoe, tmp_path: Path) -> None:
    """Floors that do not fit are cut and told, with exit code 0."""
    problem = json.loads(json.dumps(PROBLEM))
    for bearer in problem["cells"][0]["bearers"]:
        bearer["floor_mos"] = 3.9
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(problem))
    done = run("optimise", path)
    (cell,) = json.loads(done.out)["cells"]
    assert (done.code, cell["status"]) == (0, "promises_cut")
    assert cell["shed"]


def test_info_tells_what_is_installed(run: Qoe) -> None:
    """Version, kernel build, model and packages, as text and as JSON."""
    found = json.loads(run("info", "--json").out)
    assert found["version"] == qoe.__version__
    assert {"instruction_set", "abi_version", "compiler"} <= found["kernel"].keys()
    assert found["packages"]["numpy"]
    assert f"qoe {qoe.__version__}" in run("info").out


def test_a_missing_extra_is_one_line(run: Qoe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training without scikit-learn names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\n")
    done = run("train", tmp_path, labels, "-o", tmp_path / "m.qoemodel")
    assert (done.code, done.out, len(done.lines)) == (1, "", 1)
    assert "pip install 'qoe[train]'" in done.err


# pipes and signals


def test_a_reader_that_leaves_is_quiet(tmp_path: Path) -> None:
    """``qoe flows … | head -1``: no message, no traceback."""
    path = tmp_path / "many.pcapng"
    path.write_bytes(pcapng([p for i in range(3000) for p in packets(1, port=i + 1)], link=RAW_IP))
    reading = program("flows", path, "--model", "none")
    assert reading.stdout is not None
    assert reading.stderr is not None
    assert reading.stdout.read(4) == b"src,"
    reading.stdout.close()
    assert reading.stderr.read() == b""
    assert reading.wait(20) == 1
    reading.stderr.close()


@pytest.mark.parametrize("command", ["flows", "replay"])
def test_interrupted_it_prints_what_is_done(tmp_path: Path, command: str) -> None:
    """Ctrl-C while waiting for a pipe: what was read is printed, marked partial; exit code 1."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    options = ["--json"] if command == "replay" else []
    reading = program(command, fifo, "--model", "none", *options)
    # both ends are opened: this does not wait for a reader that died
    with fifo.open("r+b", buffering=0) as sink:
        sink.write(pcapng(packets(30), link=RAW_IP))
        sink.flush()
        _wait_until_read(sink.fileno())
        reading.send_signal(signal.SIGINT)
        out, err = reading.communicate(timeout=20)
    assert reading.returncode == 1
    (line,) = err.decode().splitlines()
    assert "interrupted" in line
    if command == "replay":
        found = json.loads(out)
        assert (found["partial"], found["packets"]) == (True, 30)
    else:
        (row,) = csv.DictReader(io.StringIO(out.decode()))
        assert row["packets"] == "30"


def _wait_until_read(pipe: int) -> None:
    """Wait until nothing is left in a pipe, and the reader waits for more."""
    import fcntl
    import termios

    waiting = bytearray(4)
    for _ in range(2000):
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        if not int.from_bytes(waiting, sys.byteorder):
            break
        time.sleep(0.005)
    time.sleep(0.3)  # it takes the packets in and comes back to the pipe


def test_a_closed_stdout_is_one_line(capture: Path) -> None:
    """With standard output closed there is a message, not a traceback."""
    command = f"exec {sys.executable} -P -m qoe flows {capture} --model none >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "standard output is closed" in done.stderr


def test_progress_only_on_a_terminal(capture: Path) -> None:
    """In a pipe stderr stays empty however long the work; on a terminal it is a line that goes away."""
    from qoe.commands.common import ProgressLine

    assert ProgressLine.if_terminal() is None
    line = ProgressLine()
    line._told = -1e9
    from qoe.capture import Source

    with Source(str(capture)) as source:
        line(source, 7)
    line.clear()


def test_what_libraries_print_is_no_part_of_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    """What writes to the process's standard output by itself is led to standard error, and only meanwhile."""
    with others_write_to_stderr():
        os.write(1, b"Solver says hello\n")
    os.write(1, b"{}\n")
    assert tuple(capfd.readouterr()) == ("{}\n", "Solver says hello\n")
