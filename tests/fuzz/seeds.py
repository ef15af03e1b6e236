"""Writes what the fuzzers start from: ``cd tests && python -m fuzz.seeds DIRECTORY``.

Frames, captures, models and programs in the formats that the entries read, made by the generator and by the
tests' table of encapsulations, and cut from the shipped model: DIRECTORY/decode, capture, model and abi.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from encapsulations import ENCAPSULATIONS, stacks

from qoe.schema import PACKET_DTYPE, RecordArray
from qoe.tools.capfile import block, interface, option, pcap_header, section
from qoe.tools.dice import Dice
from qoe.tools.mutate import corpus, mutate
from qoe.tools.zoo import zoo
from qoe.train.forest import HEADER, NODE_DTYPE, Forest
from qoe_native.engine import CaptureReader

LINK_TYPES: Final = (1, 0, 9, 12, 14, 50, 51, 101, 105, 108, 113, 119, 127, 163, 228, 229, 276, 147)
KINDS: Final = (
    *("udp", "tcp", "rtp", "dns", "quic", "stun", "icmp", "first_piece", "later_piece", "vlan", "gtpu"),
    *("raw", "nothing", "no_place"),
)
MODEL: Final = Path(__file__).resolve().parents[2] / "qoe_native" / "models" / "flows.qoemodel"
N_FRAMES: Final = 12
"""Of one capture."""


def frames(capture: bytes) -> Iterator[bytes]:
    """Yield fuzz_decode's input of each of a capture's packets: link type, wire length, bytes."""
    reader = CaptureReader()
    reader.space()[: len(capture)] = capture
    reader.commit(len(capture))
    reader.finish()
    data, rows = reader.next_burst()
    for row in np.frombuffer(rows, PACKET_DTYPE):
        frame = bytes(data[row["offset"] : row["offset"] + row["captured_len"]])
        cut = row["wire_len"] if row["wire_len"] != len(frame) else 0
        if row["link_type"] in LINK_TYPES:
            yield struct.pack("<BH", LINK_TYPES.index(row["link_type"]), min(int(cut), 65535)) + frame


def decode() -> Iterator[bytes]:
    """Frames of every encapsulation and link type, whole and broken."""
    for capture in (*zoo().values(), *corpus(100)):
        yield from islice(frames(capture), N_FRAMES)
    for built in stacks(1, ENCAPSULATIONS):
        yield bytes(3) + built.data


def capture() -> Iterator[bytes]:
    """Captures of every format, whole and broken, read in pieces of any size."""
    formats = [whole for name, whole in zoo().items() if name.startswith(("format", "interfaces"))]
    broken = [mutate(formats[number % len(formats)], Dice(1, number)) for number in range(40)]
    for number, one in enumerate((*formats, *broken)):
        yield bytes([number * 7 % 256, number % 64, number % 16]) + one
    # too long, so passed over: zeros follow
    yield bytes([255, 1, 0x40]) + pcap_header(1) + struct.pack("<IIII", 1, 2, 262_145, 262_145)
    yield bytes([255, 1, 0x80]) + section() + interface(1) + struct.pack("<III", 6, 524_292, 0)
    for resolution in (0, 3, 12, 30, 0x80, 0xA0, 0xC1, 0xFF):
        shift = option(14, struct.pack("<q", resolution - 9))
        described = block(1, struct.pack("<HHI", 1, 0, 99) + option(9, bytes([resolution])) + shift)
        packets = (
            block(6, struct.pack("<IIIII", 0, 9, 9, 4, 60) + b"abcd"),
            block(3, struct.pack("<I", 8) + bytes(8)),
        )
        yield bytes([1, 0, 3]) + section() + described + b"".join(packets)


def cut_tree(nodes: RecordArray, root: int, n_levels: int, first_leaf: int) -> tuple[RecordArray, list[int]]:
    """Return a tree's upper levels, numbered from 0, and which nodes its leaves' numbers stand for."""
    level, out, leaves = [(root, 0)], [], []
    for number, depth in level:  # breadth first: it grows while it is walked
        node = nodes[number]
        if node["feature"] >= 0 and depth < n_levels:
            out.append((node["threshold"], node["feature"], len(level), len(level) + 1))
            level += [(int(node["left"]), depth + 1), (int(node["right"]), depth + 1)]
        else:
            out.append((0, -1, first_leaf + len(leaves), 0))
            leaves.append(number)
    return np.array(out, NODE_DTYPE), leaves


def first_trees(n_trees: int, n_levels: int) -> Forest:
    """Return the first trees of the shipped model, cut off at a depth; a stump says what its left end did."""
    data = MODEL.read_bytes()
    n_roots, n_nodes, n_leaves = HEADER.unpack_from(data)[5:8]
    roots = np.frombuffer(data, np.uint32, n_roots, HEADER.size)
    nodes = np.frombuffer(data, NODE_DTYPE, n_nodes, HEADER.size + roots.nbytes)
    shares = np.frombuffer(data, np.float32, offset=len(data) - 24 * n_leaves).reshape(-1, 6)
    trees, starts, ends = [], [0], []
    for root in roots[:n_trees]:
        tree, leaves = cut_tree(nodes, int(root), n_levels, len(ends))
        inner = tree["feature"] >= 0
        for side in ("left", "right"):
            tree[side] += np.where(inner, starts[-1], 0).astype(np.uint32)
        for stump in leaves:
            number = stump
            while nodes[number]["feature"] >= 0:
                number = int(nodes[number]["left"])
            ends.append(shares[nodes[number]["left"]])
        trees.append(tree)
        starts.append(starts[-1] + len(tree))
    return Forest(np.array(starts[:-1], np.uint32), np.concatenate(trees), np.array(ends, np.float32))


def chain(depth: int) -> Forest:
    """Return one tree that is as deep as it can be, with two leaves for all its ends."""
    nodes = [
        (at, at % 64, 2 * at + 1, 2 * at + 2) if way == 0 else (0, -1, at % 2, 0)
        for at in range(depth)
        for way in (0, 1)
    ]
    return Forest(
        np.zeros(1, np.uint32), np.array([*nodes, (0, -1, 1, 0)], NODE_DTYPE), np.eye(2, 6, dtype=np.float32)
    )


def model() -> Iterator[bytes]:
    """Small models as files, and as bodies that the entry puts a header to; too deep ones; one cut short."""
    shapes = ((1, 0, 1.0), (1, 2, 0.5), (3, 3, 1.5), (9, 2, 4.0), (20, 1, 90.0))
    forests = [(first_trees(n_trees, n_levels), sharpness) for n_trees, n_levels, sharpness in shapes]
    for forest, sharpness in (*forests, *((chain(depth), 1.0) for depth in (3, 64, 65, 67))):
        file = forest.to_bytes(0.4, sharpness)
        yield b"\1" + file
        counts = len(forest.roots), len(forest.nodes), len(forest.leaves)
        yield b"\0" + struct.pack("<HHHff", *counts, 0.4, sharpness) + file[HEADER.size :]
    yield b"\1" + file[:-1]


def nearest(value: float) -> int:
    """Return the byte that stands for the magnitude nearest to a value."""
    return min(
        range(256),
        key=lambda code: abs((code if code < 8 else (8 | code & 7) << 2 * (code // 8 - 1)) - value),
    )


def config(
    odd: int = 0, options: int = 4, flows: int = 40, *, idle_s: float = 0, active_s: float = 0,
    interval_s: float = 0, shards: int = 0, shard: int = 0, tail: bytes = b"",
) -> bytes:  # fmt: skip
    """Return a program's beginning: a configuration."""
    limits = bytes([odd, options, flows, flows, 20, 40, 60])
    times = bytes(nearest(seconds * 1e9) for seconds in (idle_s, active_s, interval_s))
    return limits + times + bytes([3, shards]) + (bytes([shard]) if shards else b"") + tail


def plan(
    kind: str, hosts: int = 0, ports: int = 0, size: int = 100, *, number: int = 0, flags: int = 0,
    wire: int = 0, times: int = 1, step_ms: float = 20, raw: bytes = b"",
) -> bytes:  # fmt: skip
    """Return one frame of a burst, sent so many times."""
    head = bytes([KINDS.index(kind), hosts, ports, size, number, flags, wire])
    return head + raw + bytes([times - 1, nearest(step_ms * 1e6)])


def send(*plans: bytes) -> bytes:
    """Return the call that hands in a burst."""
    return bytes([0, len(plans) - 1]) + b"".join(plans) + b"\1"


ADVANCE, LEAP, SNAPSHOT, CURSOR, EXPORT, FLUSH, CHUNKS, DECISIONS, WEIGHTS, MISUSE = range(6, 16)
BOTH_WAYS: Final = 64


def abi() -> Iterator[bytes]:
    """Programs: of everything a little, and each thing that needs several calls."""
    fetch = bytes([SNAPSHOT, 32, 0, EXPORT, 32, CHUNKS, 31, DECISIONS, 31, MISUSE])
    for number, kind in enumerate(KINDS):
        raw = bytes(range(28)) if kind == "raw" else b""
        size = len(raw) or 100
        some = send(plan(kind, number, number, size, flags=number, times=40, raw=raw))
        yield config() + some + fetch
        yield config(32, 7, idle_s=1, active_s=5, interval_s=0.1, tail=b"\5\10") + some * 3 + fetch
    talk = send(
        *(plan(k, n, n, 200, wire=BOTH_WAYS, times=64) for n, k in enumerate(("rtp", "udp", "vlan", "gtpu")))
    )
    yield config(idle_s=0.5, interval_s=1) + talk * 4 + bytes([ADVANCE, nearest(1e9)]) + fetch
    opening = plan("tcp", size=0, flags=2), plan("tcp", 128, size=0, flags=18), plan("tcp", size=0, flags=16)
    request = (
        plan("tcp", number=1, flags=24, size=40),
        plan("tcp", 128, number=1, flags=16, size=250, times=60),
    )
    yield config() + send(*opening) + send(*request) * 5 + fetch
    pieces = send(plan("first_piece"), plan("later_piece", times=3), plan("later_piece", 128))
    for shard in (0, 1):
        yield config(shards=2, shard=shard) + pieces + talk + pieces + fetch
    yield config(flows=4) + send(*(plan("udp", host, host) for host in range(4))) * 20 + fetch
    yield (
        config(idle_s=1) + talk + bytes([LEAP, *b"\xff" * 8]) + talk + bytes([LEAP, *bytes(8)]) + talk + fetch
    )
    yield (
        config()
        + talk
        + bytes([WEIGHTS, 3, 1, 16, 2, 32, 1, 8, FLUSH, 2, CURSOR, 90, SNAPSHOT, 9, 0])
        + fetch
    )
    yield config() + talk + bytes([5, 0, 5, 12, 5, 24, 5, 36, MISUSE])
    yield config(64, tail=b"\3")
    yield from (config(flows=code) for code in range(251, 256))  # the default, and more than there is


def write(directory: Path) -> None:
    """Write all of them, named by their content."""
    for make in (decode, capture, model, abi):
        place = directory / make.__name__
        place.mkdir(parents=True, exist_ok=True)
        for seed in make():
            (place / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
