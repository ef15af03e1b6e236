"""Drives broken captures through the reader and the kernel: ``python tests/fuzz/drive.py [N] [--seed S]``.

Meant to run against a kernel built with QOE_SANITIZE=1, which hands every packet to the decoder in a heap
buffer of its own of exactly its captured length; the sanitizers then end the process at the first finding.
The same function replays the corpus in the ordinary tests.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from qoe.flows import Engine
from qoe.schema import Option
from qoe.tools.mutate import corpus
from qoe_native.engine import CaptureReader, build_info


def replay(capture: bytes, piece: int = 1 << 16) -> dict[str, int]:
    """Take a capture through a small engine and fetch everything there is to fetch.

    Parameters
    ----------
    capture : bytes
        Anything at all.
    piece : int
        Bytes handed to the reader at a time.

    Returns
    -------
    dict of str to int
        The engine's counters, with the reader's ``read_packets`` and the ``flows`` handed out.
    """
    reader = CaptureReader()
    engine = Engine(
        max_flows=16,
        idle_timeout_s=0.5,
        active_timeout_s=5,
        seed=1,
        options=Option.TRACE_FEATURES,
    )
    at = flows = 0
    while (status := engine.consume(reader)) not in ("end", "error"):
        if status == "more":
            part = capture[at : at + piece]
            reader.space()[: len(part)] = part
            reader.commit(len(part))
            at += len(part)
            if at >= len(capture):
                reader.finish()
        flows += _fetch(engine)
    engine.advance(engine.now_ns)
    engine.flush()
    flows += _fetch(engine)
    return {**engine.counters(), "read_packets": reader.counters()["packets"], "flows": flows}


def _fetch(engine: Engine) -> int:
    engine.snapshot()
    engine.chunks()
    engine.decisions()
    return len(engine.export())


def main() -> int:
    """Replay N mutated captures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", nargs="?", type=int, default=10_000, help="captures (default 10,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default 1)")
    parser.add_argument("--keep", type=Path, help="write each capture here before it is replayed")
    options = parser.parse_args()
    start, packets = time.monotonic(), 0
    for capture in corpus(options.n, options.seed):
        if options.keep:
            options.keep.write_bytes(capture)
        packets += replay(capture)["packets"]
    print(
        f"{options.n:,} captures, {packets:,} packets, {time.monotonic() - start:.0f} s, "
        f"sanitizers {'on' if build_info()['sanitized'] else 'OFF'}: no finding"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
