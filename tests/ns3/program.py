"""The program ``cell.cc``: built against ns-3, run, and read."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
PACKAGES = "g++ make pkg-config libns3-dev"


class Measured(NamedTuple):
    """What ns-3's cell did within the time measured; users by their RNTIs, by which it breaks ties.

    Attributes
    ----------
    scheduler : str
    duration_ms : int
    group_rb : int
        Resource blocks of a group.
    bits : ndarray of int64, shape (n_groups, 16)
        Transport block by number of groups, from 1, and CQI: 3GPP TS 36.213 table 7.1.7.2.1-1 as ns-3 has it.
    cqi : ndarray of int8, shape (n_users, n_steps, n_groups)
        What the scheduler held, TTI by TTI; n_steps is 1 without fading.
    wideband_cqi : ndarray of int8, shape (n_users, n_steps, 1)
        That of the whole carrier.
    distance_m : ndarray of float64, shape (n_users,)
    sinr_db : ndarray of float64, shape (n_users,)
        Mean over time of the linear ratio, of the whole carrier.
    airtime_ratio : ndarray of float64, shape (n_users,)
        Part of all groups that was granted.
    granted_bytes, repeated_bytes, received_bytes : ndarray of int64, shape (n_users,)
        First transmissions, HARQ's, and what RLC received.
    """

    scheduler: str
    duration_ms: int
    group_rb: int
    bits: npt.NDArray[np.int64]
    cqi: npt.NDArray[np.int8]
    wideband_cqi: npt.NDArray[np.int8]
    distance_m: npt.NDArray[np.float64]
    sinr_db: npt.NDArray[np.float64]
    airtime_ratio: npt.NDArray[np.float64]
    granted_bytes: npt.NDArray[np.int64]
    repeated_bytes: npt.NDArray[np.int64]
    received_bytes: npt.NDArray[np.int64]


def what_is_missing() -> str | None:
    """Say in one line what of ns-3 is not installed, if anything, and how to install it."""
    missing = [tool for tool in ("g++", "make", "pkg-config") if shutil.which(tool) is None]
    if not missing and subprocess.run(["pkg-config", "--exists", "ns3-lte"], check=False).returncode:
        missing = ["ns-3 with its LTE module"]
    return f"{', '.join(missing)} is missing (Debian: {PACKAGES})" if missing else None


def build(folder: Path) -> Path:
    """Compile the program into a folder.

    Raises
    ------
    RuntimeError
        It does not compile; with all that the compiler said.
    """
    command = ["make", "-s", "-C", str(HERE), f"OUT={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{HERE / 'cell.cc'} does not compile:\n{done.stdout}{done.stderr}")
    return folder / "cell"


def measure(program: Path, **options: object) -> Measured:
    """Run the program; options are its own, see ``cell --PrintHelp``."""
    command = [str(program), *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return _read(json.loads(done.stdout))


def _read(said: dict[str, Any]) -> Measured:
    users = sorted(said["users"], key=lambda user: user["rnti"])
    bits = np.array(said["bits"])
    n_groups = len(bits)

    def column(name: str) -> npt.NDArray[Any]:
        return np.array([user[name] for user in users])

    def cqi(name: str, n_digits: int) -> npt.NDArray[np.int8]:
        digits = [[int(digit, 16) for digit in user[name]] for user in users]
        return np.array(digits, np.int8).reshape(len(users), -1, n_digits)

    return Measured(
        scheduler=said["scheduler"],
        duration_ms=said["duration_ms"],
        group_rb=said["group_rb"],
        bits=bits,
        # a digit a group, the last of which may be too small for ns-3 to grant
        cqi=cqi("cqi", said["n_reported"])[:, :, :n_groups],
        wideband_cqi=cqi("wideband_cqi", 1),
        distance_m=column("distance_m"),
        sinr_db=column("sinr_db"),
        airtime_ratio=column("n_groups") / (n_groups * said["duration_ms"]),
        granted_bytes=column("granted_bytes"),
        repeated_bytes=column("repeated_bytes"),
        received_bytes=column("received_bytes"),
    )
