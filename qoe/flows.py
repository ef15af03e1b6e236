"""The packet kernel as Python sees it: an engine, and the flows that it hands out."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import qoe_native
from qoe.errors import EngineError, ModelError
from qoe.fields import Option
from qoe_native import engine as _native

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qoe.schema import Burst, RecordArray
    from qoe_native.engine import CaptureReader, LiveRing, SharedCapture

Status = Literal["more", "until", "export", "end", "error"]
LiveStatus = Literal["idle", "busy", "until", "export", "down"]

IDLE_TIMEOUT_S: Final = 120.0
ACTIVE_TIMEOUT_S: Final = 1800.0
DEFAULT_MAX_FLOWS: Final = 1_048_576
DEFAULT_MODEL: Final = "default"
MAX_SHARDS: Final = 4096
_SNAPSHOT_PIECE: Final = 4096


def load_model(model: str | Path | None = DEFAULT_MODEL) -> bytes | None:
    """Bytes of a classifier file.

    Parameters
    ----------
    model : str or Path or None
        A path; ``"default"`` for the model that ships with qoe; None for no model at all: framing and
        ports alone then decide.

    Returns
    -------
    bytes or None

    Raises
    ------
    ModelError
        The file cannot be read. (Whether its content is sound is checked by the engine.)
    """
    if model is None:
        return None
    try:
        if model == DEFAULT_MODEL:
            return (Path(qoe_native.__file__).parent / "models" / "flows.qoemodel").read_bytes()
        return Path(model).read_bytes()
    except OSError as error:
        raise ModelError(
            f"{model}: cannot read the model: {error.strerror or error}; make one with 'qoe train'"
        ) from None


class Engine:
    """Decodes packets, tracks flows, measures and classifies them. One engine a thread.

    `snapshot`, `counters`, `set_weights` and `get_weight` may be called by another thread beside it.

    Parameters
    ----------
    max_flows : int, optional
        Live flows at once; 0 for the default, 1,048,576. All memory is reserved here, and taken from
        the system as flows come.
    idle_timeout_s, active_timeout_s : float, optional
        A flow ends after this long without a packet, or in all; 0 never splits a flow.
    seed : int, optional
        Of the flow hash; 0 takes one from the system's random source.
    options : int, optional
        `qoe.schema.Option` bits.
    model : str or Path or bytes or None, optional
        The classifier: a path, a file's bytes, ``"default"``, or None.
    min_confidence : float, optional
        A verdict below it stays unknown; 0 for the model's own.
    export_interval_s : float, optional
        `export` also hands out live flows, this often each, as they are then (`EndReason.INTERIM`);
        0: never.
    shard, n_shards : int, optional
        Take only the flows of this shard of so many. All shards see the same packets and have the same
        `seed`; the packets of the others are counted as such.

    Raises
    ------
    ModelError
        The model is unreadable, damaged or made for other features.
    EngineError
        A parameter is out of range, or there is no memory for the tables.
    """

    def __init__(
        self,
        *,
        max_flows: int = 0,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        active_timeout_s: float = ACTIVE_TIMEOUT_S,
        seed: int = 0,
        options: int = 0,
        model: str | Path | bytes | None = DEFAULT_MODEL,
        min_confidence: float = 0.0,
        export_interval_s: float = 0.0,
        shard: int = 0,
        n_shards: int = 1,
    ) -> None:
        _check("max_flows", max_flows, 0, 2**30)
        _check("n_shards", n_shards, 1, MAX_SHARDS)
        _check("shard", shard, 0, n_shards - 1)
        if n_shards > 1 and not seed:
            raise EngineError("n_shards: give all shards the same seed")
        _check("seed", seed, 0, 2**64 - 1)
        _check("min_confidence", min_confidence, 0, 1)
        _check("options", options, 0, sum(Option))
        data = model if isinstance(model, bytes) else load_model(model)
        try:
            self._engine = _native.Engine(
                max_flows=max_flows,
                idle_timeout_ns=_nanoseconds("idle_timeout_s", idle_timeout_s),
                active_timeout_ns=_nanoseconds("active_timeout_s", active_timeout_s),
                export_interval_ns=_nanoseconds("export_interval_s", export_interval_s),
                shard=shard,
                n_shards=n_shards,
                seed=seed,
                options=int(options),
                min_confidence=min_confidence,
                model=data,
            )
        except MemoryError as error:
            raise EngineError(f"max_flows={max_flows}: {error}", -2) from None
        except ValueError as error:  # the parameters are sound: it is the model
            name = "model bytes" if isinstance(model, bytes) else model
            raise ModelError(f"{name}: {error.args[-1]}; make one with 'qoe train'") from None

    @property
    def now_ns(self) -> int:
        """Time of the newest packet, or of the last `advance`."""
        return self._engine.now_ns

    @property
    def n_live(self) -> int:
        """Flows that are being tracked."""
        return self._engine.n_live

    @property
    def n_ended(self) -> int:
        """Flows that wait for `export`: they ended, or are due."""
        return self._engine.n_ended

    def process(self, burst: Burst) -> RecordArray:
        """Take a burst of packets.

        Returns
        -------
        ndarray of VERDICT_DTYPE, shape (n_packets,)
            One verdict a packet.

        Raises
        ------
        EngineError
            A packet lies outside the burst's bytes.
        """
        verdicts = _records(len(burst.packets), "VERDICT_DTYPE")
        try:
            self._engine.process(burst.data, _raw(burst.packets), _raw(verdicts))
        except ValueError as error:
            raise EngineError(str(error)) from None
        return verdicts

    def consume(self, reader: CaptureReader, until_ns: int = 0) -> Status:
        """Take packets straight out of a capture reader's window, without the GIL.

        Parameters
        ----------
        reader : CaptureReader
            Of `qoe.capture.Source.reader`.
        until_ns : int, optional
            Stop before the first packet at or after this time; 0 for no limit.

        Returns
        -------
        str
            Why it stopped: ``more`` (the window is used up: fill it), ``until``, ``export`` (many ended
            flows or decisions wait: fetch them), ``end`` or ``error`` (of the capture; what came before
            it stands).
        """
        return self._engine.consume(reader, until_ns)

    def consume_live(self, ring: LiveRing, until_ns: int = 0, wait_ms: int = 100) -> LiveStatus:
        """Take packets where the kernel put them, without the GIL, for as long as `wait_ms`.

        Parameters
        ----------
        ring : LiveRing
            Of `qoe.capture.Interface.rings`.
        until_ns : int, optional
            Stop before the first packet at or after this time; 0 for no limit.
        wait_ms : int, optional
            Come back after so many milliseconds at the latest.

        Returns
        -------
        str
            Why it stopped: ``idle`` (no more is there), ``busy`` (there is), ``until``, ``export`` (many
            ended flows or decisions wait: fetch them) or ``down`` (the interface is, and all that came was
            taken).
        """
        return self._engine.consume_live(ring, until_ns, wait_ms)

    def consume_shared(self, capture: SharedCapture, worker: int) -> bool:
        """Take packets of a capture that several engines share; see `qoe.workers`.

        Returns
        -------
        bool
            True: many ended flows wait, fetch them; False: no packet is left.
        """
        return capture.feed(self._engine, worker)

    def snapshot(self, since_ns: int = 0) -> RecordArray:
        """Live flows with a packet at or after `since_ns`, as FLOW_DTYPE records."""
        import numpy as np

        pieces, cursor, n = [], 0, _SNAPSHOT_PIECE
        while n == _SNAPSHOT_PIECE:
            piece = _records(_SNAPSHOT_PIECE, "FLOW_DTYPE")
            n, cursor = self._engine.snapshot(_raw(piece), since_ns, cursor)
            pieces.append(piece[:n])
        return np.concatenate(pieces)

    def export(self) -> RecordArray:
        """Flows that ended since the last call, then live ones that are due, as FLOW_DTYPE records."""
        flows = _records(self.n_ended, "FLOW_DTYPE")
        return flows[: self._engine.export(_raw(flows))]

    def export_packed(self, out: memoryview) -> int:
        """Fill a buffer with flows that ended, packed as FLOW_DTYPE has them; returns how many.

        What `export` does, without an array: a listing of flows need not load NumPy.
        """
        return self._engine.export(out)

    def advance(self, now_ns: int) -> int:
        """Set the clock and end what is idle by it; returns how many flows ended."""
        return self._engine.advance(now_ns)

    def flush(self, n: int = 2**31 - 1) -> int:
        """End up to `n` live flows; returns how many ended."""
        return self._engine.flush(n)

    def chunks(self) -> RecordArray:
        """Responses that ended since the last call, as CHUNK_DTYPE records."""
        chunks = _records(self._engine.n_chunks(), "CHUNK_DTYPE")
        return chunks[: self._engine.chunks(_raw(chunks))]

    def decisions(self) -> RecordArray:
        """Traced decisions since the last call (`Option.TRACE_FEATURES`), as DECISION_DTYPE records."""
        decisions = _records(self._engine.n_decisions(), "DECISION_DTYPE")
        return decisions[: self._engine.decisions(_raw(decisions))]

    def counters(self) -> dict[str, int]:
        """Packets, bytes, malformed packets by reason, flows by fate, and what overflowed."""
        return self._engine.counters()

    def set_weights(self, bearer: npt.NDArray[np.uint32], weight: npt.NDArray[np.float32]) -> None:
        """Hand scheduler weights to the data plane, by the host's bearer numbers."""
        try:
            self._engine.set_weights(bearer, weight)
        except ValueError as error:
            raise EngineError(str(error)) from None

    def get_weight(self, bearer: int) -> float:
        """Scheduler weight of a bearer; 1 where none was set."""
        return self._engine.get_weight(bearer)


def address_texts(flows: RecordArray, *, source: bool) -> tuple[bytes, npt.NDArray[np.int32]]:
    """Text of the source (or destination) address of every flow.

    Parameters
    ----------
    flows : ndarray of FLOW_DTYPE, shape (n_flows,)
    source : bool
        True for `src`, False for `dst`.

    Returns
    -------
    text : bytes
        All addresses, one after another, ASCII.
    offsets : ndarray of int32, shape (n_flows + 1,)
        Where each begins: the layout of an Arrow string array.
    """
    import numpy as np

    text, offsets = _native.format_addresses(_raw(flows), source)
    return text, np.frombuffer(offsets, np.int32)


def addresses(flows: RecordArray) -> tuple[list[str], list[str]]:
    """Source and destination addresses of flows as text."""
    sides = []
    for source in (True, False):
        text, offsets = address_texts(flows, source=source)
        whole = text.decode("ascii")
        sides.append([whole[a:b] for a, b in itertools.pairwise(offsets)])
    return sides[0], sides[1]


def _records(n: int, dtype: str) -> RecordArray:
    """Room for `n` records of one of the dtypes of `qoe.schema`."""
    import numpy as np

    return np.empty(n, _dtype(dtype))


@cache
def _dtype(name: str) -> np.dtype[np.void]:
    from qoe import schema

    dtype: np.dtype[np.void] = getattr(schema, name)
    return dtype


def _raw(records: RecordArray) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.require(records, requirements=["C", "A"]).view(np.uint8)


def _check(name: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise EngineError(f"{name}={value}: give {low} to {high}")


def _nanoseconds(name: str, seconds: float) -> int:
    if not 0 <= seconds < 9e9:
        raise EngineError(f"{name}={seconds}: give seconds from 0 (never) up")
    return round(seconds * 1e9)
