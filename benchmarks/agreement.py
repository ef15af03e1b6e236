"""Packets, bytes and flows of a labelled collection, beside what other tools counted.

Packets and bytes are held against capinfos (or, without it, the packets of the collection's inventory);
packets per direction of every flow against the collection's own list, both timeouts 0. Captures whose
flows are counted otherwise on purpose stand in agreement.csv, by SHA-256, each with its reason.
"""

from __future__ import annotations

import hashlib
import ipaddress
import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.collection import find_collection, read_rows
from qoe.capture import open_captures
from qoe.flows import Engine, addresses
from qoe.schema import RecordArray

EXPLAINED = Path(__file__).with_suffix(".csv")

FlowKey = tuple[str, int, str, int, int]


def read_flows(path: Path) -> tuple[dict[str, int], RecordArray]:
    """Counters and flows of one capture, never split."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None)
    pieces = []
    for source in open_captures([str(path)]):
        while (status := engine.consume(source.reader)) in ("more", "export"):
            if status == "more":
                source.fill()
            else:
                pieces.append(engine.export())
    engine.flush()
    return engine.counters(), np.concatenate([*pieces, engine.export()])


def _by_key(flows: RecordArray) -> dict[FlowKey, list[tuple[int, int]]]:
    found: dict[FlowKey, list[tuple[int, int]]] = defaultdict(list)
    for flow, src, dst in zip(flows, *addresses(flows), strict=True):
        key = (src, int(flow["src_port"]), dst, int(flow["dst_port"]), int(flow["protocol"]))
        found[key].append((int(flow["packets_forward"]), int(flow["packets_reverse"])))
    return found


def _expected(row: dict[str, str]) -> tuple[FlowKey, tuple[int, int]]:
    src, dst = (str(ipaddress.ip_address(row[side])) for side in ("src", "dst"))
    return (src, int(row["sport"]), dst, int(row["dport"]), int(row["proto"])), (
        int(row["pkts_fwd"]),
        int(row["pkts_rev"]),
    )


def _capinfos(path: Path) -> tuple[int, int] | None:
    """Packets and bytes as capinfos counts them; None when it is not installed."""
    if shutil.which("capinfos") is None:
        return None
    output = subprocess.run(
        ["capinfos", "-T", "-r", "-M", "-c", "-d", str(path)], capture_output=True, text=True, check=False
    ).stdout.split("\t")
    return int(output[1]), int(output[2])


def run(quick: bool) -> list[dict[str, Any]]:
    """One case: how many captures and flows agree, and which do not though nothing explains it."""
    folder = find_collection()
    if folder is None:
        return [{"collection": None, "how": "set QOE_CAPTURES to a folder with inventory.csv and flows.csv"}]
    captures = [row for row in read_rows(folder / "inventory.csv") if row["kind"] == "pcap"]
    listed = defaultdict(list)
    for row in read_rows(folder / "flows.csv"):
        listed[row["capture"]].append(row)
    explained = {row["sha256"]: row["reason"] for row in read_rows(EXPLAINED)}
    totals: Counter[str] = Counter()
    unexplained = []
    for row in captures[:: 10 if quick else 1]:
        path = folder / row["capture"]
        counters, flows = read_flows(path)
        told = _capinfos(path)
        same = (
            (counters["packets"], counters["bytes"]) == told
            if told
            else counters["packets"] == int(row["packets"])
        )
        totals["captures"] += 1
        totals["captures_with_equal_packets_and_bytes"] += same
        found = _by_key(flows)
        for key, packets in map(_expected, listed[row["capture"]]):
            equal = packets in found.get(key, ())
            totals["flows"] += 1
            totals["flows_equal"] += equal
            if not equal and row["sha256"] in explained:
                totals["flows_explained"] += 1
            elif not equal:
                unexplained.append(row["capture"])
    return [
        {
            "collection": hashlib.sha256((folder / "flows.csv").read_bytes()).hexdigest(),
            "counted_by": "capinfos" if shutil.which("capinfos") else "inventory, packets only",
            **totals,
            "flows_equal_ratio": totals["flows_equal"] / max(totals["flows"], 1),
            "flows_explained": totals["flows_explained"],
            "unexplained": sorted(set(unexplained)),
        }
    ]
