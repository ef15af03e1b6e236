"""The verdict on a flow: when it is decided, what the model says, what hints add, how it settles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from qoe.train.forest import HEADER, NODE_DTYPE, Forest

from .framing import Signal
from .grouping import Seen
from .headers import TCP, UDP
from .moments import Fields, gaps_ns
from .packet import Packet
from .rules import (
    ANY_PORT_ODDS,
    CLEARLY,
    DECIDE_EVERY,
    DNS_ODDS,
    ENCRYPTED_ODDS,
    FINAL_PACKETS,
    FIRST_DECISION,
    IDLE_GAP_NS,
    OTHER_PROTOCOL_ODDS,
    PORT_ODDS,
    PORTS,
    QUIC_HTTP_ODDS,
    RTP_ODDS,
    STUN_ODDS,
    TCP_PORTS,
)

N_CLASSES = 6
UNKNOWN = 0
WHOLE_SHARE = 65_535  # a tree's part of a probability is kept in steps of this, rounded down
N_POWERS = 1024  # the calibrating power is taken linearly between so many steps
FloatArray = npt.NDArray[np.float64]


class State(IntEnum):
    """How settled a verdict is (``enum qoe_state``)."""

    INSPECTING = 0
    PARTIAL = 1
    FINAL = 2
    REVISED = 3


class Evidence(IntEnum):
    """What it rests on (``enum qoe_evidence``, bits)."""

    MODEL = 1
    RTP = 2
    PORT = 4
    PROTOCOL = 8
    STUN = 16


@dataclass(frozen=True)
class Model:
    """A model file, read by the book of `qoe.train.forest`."""

    forest: Forest
    min_confidence: float
    sharpness: float

    @classmethod
    def read(cls, content: bytes) -> Model:
        """Take header, roots, nodes and leaves one after another."""
        *_, n_trees, n_nodes, _n_leaves, _schema, _crc, min_confidence, sharpness, _ = HEADER.unpack_from(
            content
        )
        nodes_at = HEADER.size + 4 * n_trees
        leaves_at = nodes_at + NODE_DTYPE.itemsize * n_nodes
        leaves = np.frombuffer(content, np.float32, -1, leaves_at).reshape(-1, N_CLASSES)
        forest = Forest(
            np.frombuffer(content, np.uint32, n_trees, HEADER.size),
            np.frombuffer(content, NODE_DTYPE, n_nodes, nodes_at),
            np.floor(leaves * (WHOLE_SHARE / n_trees)) * (n_trees / WHOLE_SHARE),
        )
        return cls(forest, min_confidence, sharpness)

    def probabilities(self, features: npt.NDArray[np.float32]) -> FloatArray:
        """Calibrated probabilities of class 1 to 6, a row a vector."""
        table = np.linspace(0, 1, N_POWERS + 1)
        raw: FloatArray = np.interp(self.forest.predict(features), table, table**self.sharpness)
        return raw / raw.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def decision_points(seen: Sequence[Seen]) -> Iterator[int]:
    """After how many packets a flow is decided while it lives."""
    gaps = [0, *gaps_ns([s.ts_ns for s in seen])]
    due, n_idle = FIRST_DECISION, 0
    for n, gap_ns in enumerate(gaps, 1):
        n_idle += gap_ns >= IDLE_GAP_NS
        if n == due:
            due += min(n, DECIDE_EVERY)
            yield n
        elif gap_ns >= IDLE_GAP_NS and n >= FIRST_DECISION and n_idle.bit_count() == 1:
            yield n


def hinted(p: FloatArray, first: Packet, signals: int) -> tuple[FloatArray, int]:
    """Multiply the odds by what framing and ports add; probabilities and evidence."""
    odds: list[dict[int, float]] = []
    evidence = 0
    if first.protocol not in (TCP, UDP):
        odds.append(OTHER_PROTOCOL_ODDS)
        evidence |= Evidence.PROTOCOL
    if signals & (Signal.RTP | Signal.RTCP):
        odds.append(RTP_ODDS)
        evidence |= Evidence.RTP
    if signals & Signal.STUN:
        odds.append(STUN_ODDS)
        evidence |= Evidence.STUN
    if signals & (Signal.TLS | Signal.QUIC | Signal.HTTP):
        odds.append(ENCRYPTED_ODDS)
        evidence |= Evidence.PROTOCOL
    if signals & (Signal.QUIC | Signal.HTTP):
        odds.append(QUIC_HTTP_ODDS)
    if signals & Signal.DNS:
        odds.append(DNS_ODDS)
        evidence |= Evidence.PROTOCOL
    by_port = class_of_ports(first)
    if by_port is not None:
        odds.append({by_port: PORT_ODDS.get(by_port, ANY_PORT_ODDS)})
        evidence |= Evidence.PORT
    p = p.copy()
    for factors in odds:
        for app_class, factor in factors.items():
            p[app_class] *= factor
    return p / p.sum(), evidence


def class_of_ports(first: Packet) -> int | None:
    """The class that a flow's destination port stands for, else its source port."""
    for port in (first.dst_port, first.src_port):
        for table in (PORTS, TCP_PORTS if first.protocol == TCP else {}):
            for app_class, ports in table.items():
                if port in ports:
                    return app_class
    return None


@dataclass
class Verdict:
    """What stands of a flow's class (0: unknown; class c has probability[c - 1])."""

    app_class: int = UNKNOWN
    state: State = State.INSPECTING
    decided_after: int = 0
    evidence: int = 0
    probability: FloatArray = field(default_factory=lambda: np.zeros(N_CLASSES))

    def decide(self, p: FloatArray, evidence: int, n_packets: int, least: float) -> None:
        """Take one more decision."""
        app_class = self.settle(p, least)
        if app_class != self.app_class:
            self.decided_after = n_packets if app_class else 0
            if self.state == State.FINAL:
                self.state = State.REVISED
        if self.state < State.FINAL:
            if app_class == UNKNOWN:
                self.state = State.INSPECTING
            else:
                self.state = State.FINAL if n_packets >= FINAL_PACKETS else State.PARTIAL
        self.app_class, self.probability, self.evidence = app_class, p, evidence

    def close(self) -> None:
        """What was said so far is what will be said."""
        self.state = max(self.state, State.FINAL)

    def settle(self, p: FloatArray, least: float) -> int:
        """The likeliest class if likely enough; the standing one stays unless clearly beaten."""
        best = int(np.argmax(p))
        if self.app_class != UNKNOWN:
            standing = p[self.app_class - 1]
            if p[best] < standing + CLEARLY and standing >= least:
                return self.app_class
        return best + 1 if p[best] >= least else UNKNOWN

    def fields(self) -> Fields:
        """The verdict fields of a record."""
        probability = [0.0, *self.probability.tolist()]
        return {
            "app_class": self.app_class,
            "state": int(self.state),
            "confidence": probability[self.app_class],
            "evidence": self.evidence,
            "decided_after_packets": self.decided_after,
            "probability": probability,
        }
