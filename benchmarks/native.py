"""Builds `hot.c` beside the installed kernel, and calls it: timing from C, without Python on the clock."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path

import numpy as np

import qoe_native
from qoe.errors import QoeError
from qoe.flows import load_model
from qoe.schema import FLOW_DTYPE, PACKET_DTYPE, Option

UNIFORM, ROUNDS, NEW = 0, 1, 2
UDP, TCP = 17, 6
START_NS = 1_800_000_000_000_000_000


PACKET_POINTERS = np.dtype(
    [("data" if name == "offset" else name, kind) for name, kind in PACKET_DTYPE.descr]
)
"""``struct qoe_packet``: PACKET_DTYPE with addresses in place of offsets."""


class Traffic(Structure):
    """Twin of ``struct traffic`` in hot.c."""

    _fields_ = (
        *((name, c_uint32) for name in ("n_flows", "burst", "order", "protocol")),
        *((name, c_uint64) for name in ("n_packets", "ts_ns", "random", "done")),
        ("round", c_void_p),
        ("first_flow", c_uint32),
    )


class Config(Structure):
    """Twin of ``struct qoe_config`` in qoe.h."""

    _fields_ = (
        *((name, c_uint32) for name in ("struct_size", "options", "max_flows")),
        *((name, c_uint32) for name in ("max_extensions", "max_fragments", "max_chunks")),
        *(
            (name, c_uint64)
            for name in ("idle_timeout_ns", "active_timeout_ns", "export_interval_ns", "seed")
        ),
        *((name, c_uint32) for name in ("shard", "n_shards")),
        ("min_confidence", c_float),
        ("max_decisions", c_uint32),
        ("model", ctypes.c_char_p),
        ("model_bytes", c_uint64),
    )


class Counters(Structure):
    """Twin of ``struct qoe_counters`` in qoe.h."""

    _fields_ = (
        ("packets", c_uint64),
        ("bytes", c_uint64),
        ("by_status", c_uint64 * 10),
        *(
            (name, c_uint64)
            for name in (
                *("zero_length", "fragments", "fragments_unmatched"),
                *("flows_interim", "flows_created", "flows_idle", "flows_active_timeout", "flows_evicted"),
                *("flows_flushed", "exports_lost", "extensions_full", "chunks_lost", "decisions_lost"),
                *("clock_back", "decisions"),
            )
        ),
    )


@cache
def kernel() -> ctypes.CDLL:
    """The kernel's C functions, also for hot.c to link with."""
    library = ctypes.CDLL(qoe_native.get_library(), ctypes.RTLD_GLOBAL)
    library.qoe_engine_create.argtypes = (POINTER(c_void_p), POINTER(Config))
    library.qoe_engine_destroy.argtypes = (c_void_p,)
    library.qoe_engine_counters.argtypes = (c_void_p, c_void_p)
    return library


@cache
def load() -> ctypes.CDLL:
    """Compile and load hot.c.

    Raises
    ------
    QoeError
        There is no gcc, or it fails.
    """
    gcc = shutil.which("gcc")
    if gcc is None:
        raise QoeError("timing from C needs a compiler: apt install gcc")
    kernel()
    source = Path(__file__).with_name("hot.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "hot.so"
        command = [gcc, "-O2", "-shared", "-fPIC", "-pthread", f"-I{qoe_native.get_include()}", str(source)]
        done = subprocess.run([*command, "-o", str(library)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise QoeError(f"{source.name} does not compile: {done.stderr.strip()}")
        hot = ctypes.CDLL(str(library))
    engine, flows = c_void_p, POINTER(Traffic)
    signatures = {
        "hot_kernel": (c_double, engine, flows),
        "hot_floor": (c_double, flows, c_uint64),
        "hot_single": (c_int, engine, flows, c_void_p),
        "hot_lanes": (c_int, POINTER(c_void_p), flows, c_uint32, POINTER(c_double)),
        "hot_drain": (c_uint64, engine, c_void_p, c_uint32, POINTER(c_uint64)),
        "hot_flood": (c_int, engine, flows, flows, c_void_p, c_uint32, POINTER(c_double)),
        "hot_pass": (c_int, engine, c_void_p, c_uint32, c_uint32, c_uint64),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(hot, name)
        function.restype, function.argtypes = result, tuple(arguments)
    return hot


def traffic(
    n_flows: int, n_packets: int, *, order: int = UNIFORM, protocol: int = UDP, first_flow: int = 0
) -> Traffic:
    """Frames of `n_flows` flows to be generated, in bursts of 64."""
    return Traffic(n_flows, 64, order, protocol, n_packets, START_NS, 88172645463325252, 0, None, first_flow)


class HotEngine:
    """An engine as a C host has it, with the shipped model, ageing and eviction on."""

    def __init__(self, max_flows: int, *, seed: int = 1, options: int = Option.PREFAULT) -> None:
        self.hot = load()
        model = load_model() or b""
        config = Config(
            struct_size=ctypes.sizeof(Config), options=options, max_flows=max_flows,
            idle_timeout_ns=120 * 10**9,
            active_timeout_ns=1800 * 10**9, seed=seed, model=model, model_bytes=len(model),
        )  # fmt: skip
        self.pointer = c_void_p()
        code = kernel().qoe_engine_create(byref(self.pointer), byref(config))
        if code:
            raise QoeError(f"the engine cannot be made (code {code})")

    def take(self, traffic: Traffic) -> float:
        """Nanoseconds a packet over the traffic's `n_packets`."""
        return float(self.hot.hot_kernel(self.pointer, byref(traffic)))

    def counters(self) -> dict[str, int]:
        """Counters of the engine, by their names in qoe.h."""
        counters = Counters()
        kernel().qoe_engine_counters(self.pointer, byref(counters))
        return {
            name: list(value) if name == "by_status" else value
            for name, *_ in Counters._fields_
            for value in [getattr(counters, name)]
        }

    def flush(self) -> None:
        """End all flows."""
        kernel().qoe_engine_flush(self.pointer, 2**31 - 1)

    def drain(self) -> tuple[int, int]:
        """Take what has ended: how many records, and their packets."""
        n_packets = c_uint64(0)
        records = np.empty(4096, FLOW_DTYPE)
        n = self.hot.hot_drain(self.pointer, records.ctypes.data, len(records), byref(n_packets))
        return int(n), int(n_packets.value)

    def close(self) -> None:
        """Give the memory back."""
        kernel().qoe_engine_destroy(self.pointer)
        self.pointer = c_void_p()


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
