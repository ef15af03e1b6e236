"""qoe as its users have it: a wheel, built once a session, in a virtual environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "qoe", "qoe_native")
_BUILT = shutil.ignore_patterns("__pycache__", "*.so", "engine.c", "engine.h", "lib")


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a program with nothing but these variables and PATH; give its output, or fail with all it said."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        pytest.fail(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a clean copy of the tree."""
    tree, dist = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for part in map(ROOT.joinpath, _PARTS):
        if part.is_dir():
            shutil.copytree(part, tree / part.name, ignore=_BUILT)
        else:
            shutil.copy(part, tree)
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", dist)
    run(sys.executable, "-m", "pip", "wheel", *options, tree)
    (built,) = dist.glob("qoe-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel in it; dependencies are those of the tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    options = ("--no-deps", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel)
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return python
