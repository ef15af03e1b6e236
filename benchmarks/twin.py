"""Every flow record of every capture of a collection, against a slow, obvious twin, field by field.

The twin (tests/twin) is plain Python that shares no code with the kernel. Nothing is timed: what counts is
that no field differs. Without a collection the captures are generated.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import ROOT
from benchmarks.collection import find_collection, read_rows
from qoe.errors import QoeError
from qoe.tools.mutate import corpus
from qoe.tools.synth import busy_cell, mix, write, write_capture
from qoe.tools.zoo import zoo

sys.path.append(str(ROOT / "tests"))

QUICK_CAPTURES = 40
QUICK_BYTES = 100_000
SEED = 1
N_SHOWN = 20


class Outcome(NamedTuple):
    """What became of one capture."""

    capture: str
    n_packets: int
    n_flows: int
    n_fields: int
    is_split: bool
    n_different: int
    first: list[dict[str, Any]]


def run(quick: bool) -> list[dict[str, Any]]:
    """Compare all captures, or a sample of small ones; one case: how much was compared, and what differs."""
    folder = find_collection()
    if folder is not None:
        return [{"source": "captures"} | summary(outcomes(of_collection(folder, quick), folder))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return [{"source": "generated"} | summary(outcomes(generate(folder, quick), folder))]


def of_collection(folder: Path, quick: bool) -> list[Path]:
    """Captures of the inventory, the largest first so that no core waits for it at the end."""
    paths = [folder / row["capture"] for row in read_rows(folder / "inventory.csv") if row["kind"] == "pcap"]
    if quick:
        small = sorted(path for path in paths if path.stat().st_size < QUICK_BYTES)
        paths = random.Random(SEED).sample(small, min(QUICK_CAPTURES, len(small)))
    return sorted(paths, key=lambda path: -path.stat().st_size)


def generate(folder: Path, quick: bool) -> list[Path]:
    """Captures of all encapsulations, broken ones, and busy networks."""
    contents = zoo() | {f"mutated-{i}": c for i, c in enumerate(corpus(50 if quick else 1000, SEED))}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    busy, blend = folder / "busy-cell.pcapng", folder / "mix.pcap"
    write(busy_cell(SEED, 10.0 if quick else 120.0), busy)
    write_capture(mix(5000 if quick else 200_000, 500 if quick else 20_000, SEED), blend)
    return [blend, busy, *(folder / name for name, content in contents.items() if is_capture(content))]


def is_capture(content: bytes) -> bool:
    """Whether there is a packet in it: the broken ones may hold none."""
    from twin.capfile import frames

    return next(iter(frames(content)), None) is not None


def outcomes(paths: list[Path], folder: Path) -> Iterator[Outcome]:
    """Compare captures on all cores, with a line of progress for each tenth."""
    n_different = 0
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(compare_one, path, folder) for path in paths]
        for n_done, done in enumerate(as_completed(waiting), 1):
            outcome = done.result()
            n_different += outcome.n_different
            if n_done * 10 // len(paths) > (n_done - 1) * 10 // len(paths):
                print(
                    f"twin: {n_done} of {len(paths)} captures, {n_different} fields differ", file=sys.stderr
                )
            yield outcome


def compare_one(path: Path, folder: Path) -> Outcome:
    """Compare one capture, in a process of its own."""
    from twin.compare import Comparison, Difference, compare

    name = str(path.relative_to(folder))
    try:
        result = compare(path)
    except (QoeError, RuntimeError) as error:
        result = Comparison(n_fields=1, differences=[Difference("capture", "comparable", str(error), None)])
    first = [{"capture": name} | difference._asdict() for difference in result.differences[:N_SHOWN]]
    counts = result.n_packets, result.n_flows, result.n_fields, result.is_split
    return Outcome(name, *counts, len(result.differences), first)


def summary(found: Iterable[Outcome]) -> dict[str, Any]:
    """Sums over captures, and the first differences."""
    every = sorted(found)
    totals: Counter[str] = Counter()
    for outcome in every:
        totals["n_packets"] += outcome.n_packets
        totals["n_flows"] += outcome.n_flows
        totals["n_fields"] += outcome.n_fields
        totals["n_fields_different"] += outcome.n_different
        totals["n_captures_different"] += outcome.n_different > 0
        totals["n_captures_undivided"] += not outcome.is_split
    differences = [difference for outcome in every for difference in outcome.first]
    return {"n_captures": len(every), **totals, "first_differences": differences[:N_SHOWN]}
