"""CPU time and peak memory of a command with all its descendants.

As a script this file is the meter: a small process that becomes the reaper of every descendant (workers
that nobody waits for, daemons), so that each one's CPU time reaches it through ``wait4``. Being small
matters: what ``wait4`` calls a command's peak begins with the size of the process that started it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_NOT_STARTED = 127  # as shells say it
_POLL_S = 0.02
_LINGER_S = 5.0
_SHARE_OF_SAMPLING = 0.05


@dataclass(slots=True)
class Cost:
    """What a command took.

    Attributes
    ----------
    exit_code : int
        Of the command itself; negative: the signal that ended it.
    timed_out : bool
        Whether it was ended for taking too long.
    cpu_s : float
        User and system time of the command and all its descendants.
    wall_s : float
        Until the last of them ended.
    rss_mb : float
        Peak resident memory: the sampled sum over processes that live at once, pages they share counted once;
        or the peak of the largest one, as the kernel kept it, if that is more.
    """

    exit_code: int = 0
    timed_out: bool = False
    cpu_s: float = 0.0
    wall_s: float = 0.0
    rss_mb: float = 0.0


def measure(command: list[str], folder: Path, limit_s: float = 3600.0, output: str = "stdout") -> Cost:
    """Run a command in a folder and measure it, start-up included.

    Parameters
    ----------
    command : list of str
        Program and arguments.
    folder : path
        Where it runs; what it says is left there in the files `output` and ``stderr``.
    limit_s : float
        After this time it is ended with all its descendants.
    output : str
        Name of the file that takes its standard output.
    """
    meter = [sys.executable, "-I", "-S", __file__, str(limit_s), output, *command]
    done = subprocess.run(meter, cwd=folder, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return Cost(**json.loads(done.stdout))


def _descendants(pid: int) -> Iterator[int]:
    """Processes below one, some of which may be gone by now."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it ended meanwhile
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process, its part of shared pages; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _reap(cost: Cost, root: int) -> tuple[bool, bool]:
    """Add what has ended; whether the command itself has, and whether any descendant is left."""
    root_ended = False
    while True:
        try:
            pid, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return root_ended, False
        if not pid:
            return root_ended, True
        cost.cpu_s += used.ru_utime + used.ru_stime
        cost.rss_mb = max(cost.rss_mb, used.ru_maxrss * 1024 / 1e6)
        if pid == root:
            root_ended, cost.exit_code = True, os.waitstatus_to_exitcode(status)


def _end_all() -> None:
    for pid in list(_descendants(os.getpid())):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _watch(root: int, limit_s: float) -> Cost:
    """Wait for a command and its descendants, sampling their memory; end what outlasts its time."""
    cost, began = Cost(), time.monotonic()
    deadline, any_left = began + limit_s, True
    while any_left:
        started = time.monotonic()
        resident = sum(map(_resident_bytes, set(_descendants(os.getpid()))))
        cost.rss_mb = max(cost.rss_mb, resident / 1e6)
        # reading the page tables of gigabytes takes a while: it must not take much of a core
        time.sleep(max(_POLL_S, (time.monotonic() - started) / _SHARE_OF_SAMPLING))
        root_ended, any_left = _reap(cost, root)
        if root_ended:
            deadline = min(deadline, time.monotonic() + _LINGER_S)
            root = 0
        if any_left and time.monotonic() > deadline:
            cost.timed_out |= root > 0
            _end_all()
    cost.wall_s = time.monotonic() - began
    return cost


def main(arguments: list[str]) -> None:
    """Run the command and print its cost as JSON."""
    limit_s, output, *command = arguments
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open(output, "wb") as said, open("stderr", "wb") as complained:
        try:
            root = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=complained)
        except OSError as error:
            complained.write(str(error).encode())
            print(json.dumps(asdict(Cost(exit_code=_NOT_STARTED))))
            return
    try:
        cost = _watch(root.pid, float(limit_s))
    finally:
        _end_all()
    root.returncode = cost.exit_code
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main(sys.argv[1:])
