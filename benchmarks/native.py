"""Builds `hot.c` beside the installed kernel, and calls it: timing from C, without Python on the clock."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from ctypes import POINTER, Structure, byref, c_double, c_float, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path

import qoe_native
from qoe.errors import QoeError
from qoe.flows import load_model

UNIFORM, ROUNDS = 0, 1
UDP, TCP = 17, 6
START_NS = 1_800_000_000_000_000_000


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
        *((name, c_uint64) for name in ("idle_timeout_ns", "active_timeout_ns", "export_interval_ns", "seed")),
        *((name, c_uint32) for name in ("shard", "n_shards")),
        ("min_confidence", c_float),
        ("max_decisions", c_uint32),
        ("model", ctypes.c_char_p),
        ("model_bytes", c_uint64),
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
    hot.hot_kernel.restype = hot.hot_floor.restype = c_double
    hot.hot_kernel.argtypes = (c_void_p, POINTER(Traffic))
    hot.hot_floor.argtypes = (POINTER(Traffic), c_uint64)
    hot.hot_single.argtypes = (c_void_p, POINTER(Traffic), c_void_p)
    hot.hot_lanes.argtypes = (POINTER(c_void_p), POINTER(Traffic), c_uint32, POINTER(c_double))
    hot.hot_drain.argtypes = (c_void_p, c_void_p, c_uint32)
    return hot


def traffic(n_flows: int, n_packets: int, *, order: int = UNIFORM, protocol: int = UDP, first_flow: int = 0) -> Traffic:
    """Frames of `n_flows` flows to be generated, in bursts of 64."""
    return Traffic(n_flows, 64, order, protocol, n_packets, START_NS, 88172645463325252, 0, None, first_flow)


class HotEngine:
    """An engine as a C host has it, with the shipped model, ageing and eviction on."""

    def __init__(self, max_flows: int, *, seed: int = 1) -> None:
        self.hot = load()
        model = load_model() or b""
        config = Config(
            struct_size=ctypes.sizeof(Config), max_flows=max_flows, idle_timeout_ns=120 * 10**9,
            active_timeout_ns=1800 * 10**9, seed=seed, model=model, model_bytes=len(model),
        )  # fmt: skip
        self.pointer = c_void_p()
        code = kernel().qoe_engine_create(byref(self.pointer), byref(config))
        if code:
            raise QoeError(f"the engine cannot be made (code {code})")

    def take(self, traffic: Traffic) -> float:
        """Nanoseconds a packet over the traffic's `n_packets`."""
        return float(self.hot.hot_kernel(self.pointer, byref(traffic)))

    def close(self) -> None:
        """Give the memory back."""
        kernel().qoe_engine_destroy(self.pointer)
        self.pointer = c_void_p()
