"""The packet kernel: bursts in, verdicts and flow records out.

These classes hand raw buffers over; `qoe.flows` and `qoe.capture` give them dtypes and are what most
callers want. Buffers called `out` are filled with packed structs of ``qoe.h``, as many as fit.
"""

from collections.abc import Callable
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

FEATURE_NAMES: tuple[str, ...]
FEATURE_SCHEMA: int
SIZES: dict[str, int]
STATUS_NAMES: tuple[str, ...]

@final
class Engine:
    """One engine of the kernel, over buffers; `qoe.flows.Engine` is the readable one.

    Raises
    ------
    ValueError
        A parameter is out of range, or the model is damaged.
    MemoryError
        There is no memory for the tables asked for.
    """

    def __new__(
        cls,
        *,
        max_flows: int = 0,
        max_extensions: int = 0,
        max_fragments: int = 0,
        max_chunks: int = 0,
        max_decisions: int = 0,
        idle_timeout_ns: int = 0,
        active_timeout_ns: int = 0,
        export_interval_ns: int = 0,
        seed: int = 0,
        options: int = 0,
        shard: int = 0,
        n_shards: int = 0,
        min_confidence: float = 0.0,
        model: bytes | None = None,
    ) -> Engine: ...
    @property
    def now_ns(self) -> int:
        """Time of the newest packet, or of the last `advance`."""
    @property
    def n_live(self) -> int:
        """Flows that are tracked."""
    @property
    def n_ended(self) -> int:
        """Flows that ended and wait for `export`."""
    def process(self, data: NDArray[Any], packets: NDArray[Any], out: NDArray[Any] | None = None) -> int:
        """Take packets (PACKET_DTYPE records as bytes) that lie in `data`; verdicts go to `out`."""
    def consume(
        self, reader: CaptureReader, until_ns: int = 0
    ) -> Literal["more", "until", "export", "end", "error"]:
        """Take packets out of a reader's window until it is used up, or the host has something to do."""
    def consume_live(
        self, ring: LiveRing, until_ns: int = 0, wait_ms: int = 100
    ) -> Literal["idle", "busy", "until", "export", "down"]:
        """Take packets out of a ring for up to `wait_ms`, or until the host has something to do."""
    def snapshot(self, out: NDArray[Any], since_ns: int, cursor: int) -> tuple[int, int]:
        """Fill `out` with live flows from `cursor` on; returns how many, and the next cursor."""
    def export(self, out: NDArray[Any] | memoryview) -> int:
        """Fill `out` with ended flows; returns how many."""
    def advance(self, now_ns: int) -> int:
        """Set the clock; returns how many flows ended by it."""
    def flush(self, n: int) -> int:
        """End up to `n` live flows; returns how many ended."""
    def chunks(self, out: NDArray[Any]) -> int:
        """Fill `out` with chunk events; returns how many."""
    def decisions(self, out: NDArray[Any]) -> int:
        """Fill `out` with traced decisions; returns how many."""
    def predict(self, features: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Calibrated probabilities of class 1 to 6, no hints: `features` (n, 64), `out` (n, 6)."""
    def n_chunks(self) -> int:
        """Chunk events that wait."""
    def n_decisions(self) -> int:
        """Traced decisions that wait."""
    def counters(self) -> dict[str, int]:
        """`struct qoe_counters`, by name."""
    def set_weights(self, bearer: NDArray[Any], weight: NDArray[Any]) -> None:
        """Hand weights (float32) by bearer number (uint32) to the data plane."""
    def get_weight(self, bearer: int) -> float:
        """Weight of a bearer; 1 where none was set."""

@final
class CaptureReader:
    """Packets out of the bytes of one pcap or pcapng capture; see `qoe.capture`."""

    def __new__(cls, window_bytes: int = 1048576) -> CaptureReader: ...
    @property
    def status(self) -> str:
        """Why the last call stopped: ready, more, until, end or error."""
    @property
    def format(self) -> str | None:
        """``pcap``, ``pcapng``, or None before the first bytes."""
    @property
    def offset_bytes(self) -> int:
        """Bytes read into packets or passed over."""
    @property
    def truncated_at_bytes(self) -> int | None:
        """Where the record begins within which the capture ends; None when it ends well."""
    @property
    def error(self) -> str | None:
        """What makes no sense and where, once `status` is ``error``."""
    def space(self) -> memoryview:
        """Where the next bytes go."""
    def read_from(self, fd: int) -> None:
        """Let `Engine.consume` read a plain file itself."""
    def commit(self, n_bytes: int) -> None:
        """Take `n_bytes` that were written to `space()`."""
    def finish(self) -> None:
        """Say that nothing follows."""
    def next_burst(self, max_packets: int = 256, until_ns: int = 0) -> tuple[bytearray, bytearray]:
        """Copy the next packets out of the window: their bytes, and PACKET_DTYPE records."""
    def link_types(self) -> dict[int, int]:
        """Packets by LINKTYPE_ number."""
    def counters(self) -> dict[str, int]:
        """What was read and passed over, by name."""
    def warnings(self) -> list[str]:
        """What the capture leaves to be desired, a line each."""

@final
class LiveRing:
    """Packets out of a ring that a socket shares with the kernel; see `qoe.interface`."""

    def __new__(
        cls,
        memory: NDArray[Any],
        fd: int,
        block_bytes: int,
        link_type: int,
        received: NDArray[Any] | None = None,
        fill: NDArray[Any] | None = None,
        offsets: tuple[int, ...] = (),
    ) -> LiveRing: ...
    @property
    def status(self) -> str:
        """Why the last call stopped: ready, idle, busy, until, export or down."""
    def close(self) -> None:
        """Let go of the memory; reading on is an error."""
    def next_burst(self, max_packets: int = 256, wait_ms: int = 100) -> tuple[bytearray, bytearray]:
        """Copy the next packets out of the ring: their bytes, and PACKET_DTYPE records."""
    def counters(self) -> dict[str, int]:
        """What was read so far, by name."""

def format_addresses(flows: NDArray[Any], source: bool) -> tuple[bytes, bytes]:
    """Text addresses of packed ``struct qoe_flow`` records: all texts, and int32 offsets."""

@final
class CsvLines:
    """Packed records as lines of CSV; see `qoe.report.csv`."""

    def __new__(cls, record_bytes: int, cells: bytes, names: list[bytes]) -> CsvLines: ...
    def write(self, records: memoryview, write: Callable[[memoryview], object]) -> None:
        """Hand the lines of packed records to `write`, in pieces that are void when it returns."""

@final
class ColumnPages:
    """Packed records as the column chunks of Parquet row groups; see `qoe.report.parquet`."""

    def __new__(
        cls, record_bytes: int, cells: bytes, names: list[bytes], labels: list[bytes]
    ) -> ColumnPages: ...
    @property
    def n_rows(self) -> int:
        """Rows that wait to be written."""
    def add(self, records: memoryview) -> None:
        """Take packed records, without the GIL."""
    def write(self, write: Callable[[memoryview], object], offset: int) -> tuple[int, bytes]:
        """Write what was added as columns of a row group; gives its bytes and ``ColumnChunk`` structs."""

@final
class SharedCapture:
    """The packets of one reader for several engines, each in a thread of its own; see `qoe.workers`."""

    def __new__(cls, reader: CaptureReader, n_workers: int, clock_ns: int = 0) -> SharedCapture: ...
    @property
    def clock_ns(self) -> int:
        """Time of the newest packet of a flow."""
    @property
    def clock_back(self) -> int:
        """Packets older than the one before."""
    def feed(self, engine: Engine, worker: int) -> bool:
        """Take packets, without the GIL; False: none is left, True: many ended flows wait."""
    def wait(self) -> Literal["more", "end", "ready"]:
        """Wait a little until the reader wants bytes (``more``) or all workers are done (``end``)."""
    def filled_up(self) -> None:
        """Say that the reader was given what `wait` asked for."""
    def leave(self) -> None:
        """Give the reader back, once all workers have ended."""
    def give_up(self) -> None:
        """Say, in a worker that failed, that it takes no more: all end."""
    def close(self) -> None:
        """Let the workers end once they took what was read so far."""

def sort_records(records: memoryview, record_bytes: int, key_offset: int) -> None:
    """Order packed records by the unsigned 64-bit number at `key_offset`, in place."""

def decode_one(data: bytes, link_type: int = 1, wire_len: int | None = None) -> dict[str, Any]:
    """Headers that the decoder finds in one frame, with its ``status``: a window for tests."""

def decode_both(data: bytes, link_type: int, wire_len: int) -> tuple[bool, bool]:
    """Whether the decoder's short way takes a frame, and whether it then finds what the long way does."""

def build_info() -> dict[str, Any]:
    """How this kernel was built: compiler, instruction set, sanitizers, ABI version, record sizes."""
