"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qoe.errors import QoeError
from qoe_native.engine import build_info

_PACKAGES = ("qoe", "numpy", "scipy", "numba", "pyarrow", "msgspec", "scikit-learn")


class UnavailableError(QoeError):
    """What a benchmark needs is not here."""


def describe_machine() -> dict[str, object]:
    """Processor, cores, memory and kernel of this machine."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory_kib = next(
        (int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_kib * 1024,
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "load_1min": os.getloadavg()[0],
    }


def describe_versions() -> dict[str, object]:
    """Versions of Python, of the packages that matter, and of the kernel's build."""
    found: dict[str, object] = {"python": platform.python_version(), "kernel": build_info()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
