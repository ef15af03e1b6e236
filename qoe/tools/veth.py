"""A network of one's own: two namespaces joined by a veth pair, for the benchmark and tests of live capture.

The namespaces have no names and live as long as this process, whatever ends it. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from qoe.errors import QoeError

TOOLS: Final = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "tcpreplay": "tcpreplay",
}
"""What is needed, and the Debian package that has it."""

_DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
_HOLD: Final = ("unshare", "--net", "sh", "-c", "echo; exec sleep infinity")
_NO_IPV6: Final = "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ -e $f ] && echo 1 > $f; done; true"


def missing() -> str:
    """Say what keeps a `Wire` from being laid here; empty when nothing does."""
    if os.geteuid():
        return "not root: network namespaces need it"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        packages = " ".join(dict.fromkeys(TOOLS[tool] for tool in lacking))
        return f"{', '.join(lacking)} not installed: apt install {packages}"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else ""


class Wire:
    """What is sent on interface ``sender`` in one namespace comes in on ``receiver`` in the other.

    Neither speaks by itself: there are no addresses and no IPv6.

    Parameters
    ----------
    mtu : int
        Longest packet.

    Raises
    ------
    QoeError
        It cannot be laid: the message says what is missing.
    """

    sender: Final = "sender"
    receiver: Final = "receiver"

    def __init__(self, mtu: int = 9000) -> None:
        if reason := missing():
            raise QoeError(reason)
        self._stack = ExitStack()
        self._pids: dict[str, int] = {}
        try:
            for side in (self.sender, self.receiver):
                self._pids[side] = self._hold()
            self._lay(mtu)
        except BaseException:
            self.close()
            raise

    def _hold(self) -> int:
        """Start a process in a new namespace and return its id."""
        holder = subprocess.Popen([*_DIES_WITH_US, *_HOLD], stdout=subprocess.PIPE)
        self._stack.callback(holder.wait)
        self._stack.callback(holder.kill)
        assert holder.stdout is not None
        with holder.stdout:
            holder.stdout.readline()  # it is in its namespace
        return holder.pid

    def _lay(self, mtu: int) -> None:
        ends = (self.sender, self.receiver)
        pair = ["type", "veth", "peer", "name", self.receiver, "netns", str(self._pids[self.receiver])]
        self.run(self.sender, ["ip", "link", "add", self.sender, *pair])
        for side in ends:
            self.run(side, ["sh", "-c", _NO_IPV6])
            self.run(side, ["ip", "link", "set", "lo", "up"])
            self.run(side, ["ip", "link", "set", side, "mtu", str(mtu), "up"])

    def command(self, side: str, command: Sequence[str]) -> list[str]:
        """Return a command that runs another within one side's namespace, and ends with this process."""
        return [*_DIES_WITH_US, "nsenter", f"--net=/proc/{self._pids[side]}/ns/net", *command]

    def run(self, side: str, command: Sequence[str]) -> str:
        """Run a command on one side; return what it printed.

        Raises
        ------
        QoeError
            It failed.
        """
        done = subprocess.run(self.command(side, command), capture_output=True, text=True, check=False)
        if done.returncode:
            raise QoeError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def replay(self, capture: str, *options: str) -> str:
        """Send a capture's frames with tcpreplay; return what it printed."""
        return self.run(self.sender, ["tcpreplay", "--intf1", self.sender, *options, capture])

    def close(self) -> None:
        """Remove the namespaces and all that is in them."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
