"""A C host links the module and runs it without starting an interpreter; nothing else is exported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qoe_native
from qoe_native.engine import build_info

HOST = Path(__file__).parent / "embed" / "host.c"
CONFIG = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}-config"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.skipif(not CONFIG.exists(), reason=f"{CONFIG} is not installed (Debian: python3-dev)")
@pytest.mark.skipif(build_info()["sanitized"], reason="a plain host cannot link the sanitizers' build")
def test_a_c_host_runs_without_an_interpreter(tmp_path: Path) -> None:
    """Compiled as README shows, the host gets its flow."""
    flags = subprocess.run(
        [str(CONFIG), "--embed", "--ldflags"], capture_output=True, text=True, check=True
    ).stdout.split()
    host = tmp_path / "host"
    include, library = qoe_native.get_include(), qoe_native.get_library()
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-pedantic", str(HOST), f"-I{include}", library, *flags]
    subprocess.run([*command, "-o", str(host)], check=True)
    done = subprocess.run([str(host)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "10.0.0.1:4000 17 packets 1\n"), done.stderr


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed (Debian: binutils)")
def test_only_the_abi_is_exported() -> None:
    """The dynamic symbols that the module defines are those of qoe.h, and the module's init."""
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", qoe_native.get_library()], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    header = (Path(qoe_native.get_include()) / "qoe.h").read_text()
    assert {name for name in names if not name.startswith("qoe_")} <= {"PyInit_engine", "_init", "_fini"}
    assert all(f"{name}(" in header for name in names if name.startswith("qoe_"))
    assert "qoe_engine_process_burst" in names
