"""A host in Python: packets of an interface in, verdicts out, a table a second.

    sudo python examples/python_host.py eth0

Needs root or CAP_NET_RAW. `qoe.Engine.process` gives a verdict for every packet, as it is asked for here; who
wants only flows takes `consume_live(interface.rings[0])`, which copies nothing and runs without the GIL, and
asks for `snapshot()` now and then.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import qoe
from qoe.capture import Interface

N_CLASSES, N_STATES = len(qoe.AppClass), 4
STATES = ("inspecting", "partial", "final", "revised")


def table(counts: np.ndarray) -> str:
    """Packets by the class and the state of their verdicts, as lines."""
    lines = [f"{'Class':<8} {'packets':>9} " + " ".join(f"{state:>10}" for state in STATES)]
    for app_class in qoe.AppClass:
        row = counts[app_class]
        if row.any():
            lines.append(f"{app_class.name.lower():<8} {row.sum():>9,} " + " ".join(f"{n:>10,}" for n in row))
    return "\n".join(lines)


def run(interface: Interface, engine: qoe.Engine) -> None:
    """Classify what comes in, and print a table each second, until Ctrl-C."""
    counts = np.zeros((N_CLASSES, N_STATES), np.int64)
    next_s = time.monotonic() + 1
    try:
        while True:
            burst = interface.next_burst(max_packets=4096, wait_s=max(next_s - time.monotonic(), 0))
            verdicts = engine.process(burst)
            np.add.at(counts, (verdicts["app_class"], verdicts["state"]), 1)
            if time.monotonic() >= next_s:
                show(interface, engine, counts)
                next_s += 1
    except KeyboardInterrupt:
        show(interface, engine, counts)


def show(interface: Interface, engine: qoe.Engine, counts: np.ndarray) -> None:
    """Print the second that is over and begin the next: flows age by the host's clock, packets or not."""
    engine.advance(time.time_ns())
    engine.export()  # flows that ended: a host would write them down
    dropped = interface.counters()["kernel_dropped"]
    print(f"{interface.name}: {engine.n_live:,} live flows, {dropped:,} dropped\n{table(counts)}", flush=True)
    counts[:] = 0


def main() -> int:
    """Open the interface that is named; return the exit code."""
    if len(sys.argv) != 2:
        print("usage: python_host.py INTERFACE", file=sys.stderr)
        return 2
    try:
        with Interface(sys.argv[1]) as interface:
            print(f"{interface.name}: reading, Ctrl-C ends", file=sys.stderr, flush=True)
            run(interface, qoe.Engine())
    except qoe.QoeError as error:
        print(f"python_host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
