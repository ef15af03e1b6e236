"""RTP of one direction of a flow: RFC 3550 appendix A.1 (sources), A.3 (loss) and A.8 (jitter)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from .moments import Fields
from .packet import Packet
from .rules import (
    RTP_CLOCK_FROM_NS,
    RTP_CLOCK_TOLERANCE,
    RTP_CLOCK_UNTIL_NS,
    RTP_MAX_DROPOUT,
    RTP_MAX_MISORDER,
    RTP_MEMORY,
    RTP_NO_TYPE,
    RTP_PROBATION,
    RTP_SILENCE_NS,
    RTP_STRANGERS,
    RTP_USUAL_CLOCKS_HZ,
    SECOND,
)

RTCP_TYPES = range(64, 96)  # RFC 5761 section 4
STATIC_CLOCKS_HZ = (  # RFC 3551 tables 4 and 5; other types up to 18 have 8000
    dict.fromkeys(range(19), 8000)
    | {6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050}
    | dict.fromkeys(range(25, 35), 90000)
)


class Rtp(NamedTuple):
    """One RTP packet's header, and when it came."""

    ts_ns: int
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int


def is_rtp(p: Packet) -> bool:
    """Version 2, no type of RTCP's, and header and list of contributing sources shorter than the payload."""
    if len(p.payload) < 12 or p.payload_len < 13 or p.payload[0] >> 6 != 2:
        return False
    return p.payload[1] & 127 not in RTCP_TYPES and p.payload_len > 12 + 4 * (p.payload[0] & 15)


def parse(p: Packet, ts_ns: int) -> Rtp:
    """The fixed header (RFC 3550 section 5.1)."""
    _, kind, sequence, timestamp, ssrc = struct.unpack_from(">BBHII", p.payload)
    return Rtp(ts_ns, kind & 127, sequence, timestamp, ssrc)


def signed(difference: int, bits: int) -> int:
    """A difference of numbers of so many bits, around the circle."""
    half = 1 << (bits - 1)
    return (difference + half) % (2 * half) - half


@dataclass
class Stretch:
    """A source from its first packet, or from a restart, on; sequence numbers run on past 65,535."""

    first: Rtp
    newest: Rtp
    base: int
    highest: int
    received: int = 1
    present: set[int] = field(default_factory=set)  # numbers that came, those beyond RTP_MEMORY aside
    clock_hz: int = 0
    jitter_us: float = 0.0

    def lost(self) -> int:
        """Expected less received."""
        return max(self.highest - self.base + 1 - self.received, 0)

    def loss_runs(self) -> int:
        """Runs of numbers that never came: each ends where one that came follows one that did not."""
        return sum(n - 1 not in self.present for n in self.present if n > self.base)

    def take(self, rtp: Rtp, step: int) -> None:
        """The next packet in order, perhaps behind a loss."""
        self.highest += step
        self.received += 1
        self.present.add(self.highest)
        if rtp.ts_ns > self.first.ts_ns and self.first.payload_type not in STATIC_CLOCKS_HZ:
            self.guess_clock(rtp)
        if self.clock_hz:
            spacing_us = (rtp.ts_ns - self.newest.ts_ns) / 1e3
            sampling_us = 1e6 * signed(rtp.timestamp - self.newest.timestamp, 32) / self.clock_hz
            self.jitter_us += (abs(spacing_us - sampling_us) - self.jitter_us) / 16
        self.newest = rtp

    def guess_clock(self, rtp: Rtp) -> None:
        """The usual clock nearest to what timestamps over arrival times show, the longer the better."""
        elapsed_ns = rtp.ts_ns - self.first.ts_ns
        if not RTP_CLOCK_FROM_NS <= elapsed_ns <= RTP_CLOCK_UNTIL_NS:
            return
        measured_hz = signed(rtp.timestamp - self.first.timestamp, 32) * SECOND / elapsed_ns
        for clock_hz in RTP_USUAL_CLOCKS_HZ:
            if abs(measured_hz - clock_hz) < RTP_CLOCK_TOLERANCE * clock_hz and clock_hz != self.clock_hz:
                self.clock_hz, self.jitter_us = clock_hz, 0.0

    def take_late(self, back: int) -> bool:
        """A packet from `back` before the highest: False for a duplicate."""
        number = self.highest - back
        if number < self.base or (back < RTP_MEMORY and number in self.present):
            return False
        if back < RTP_MEMORY:
            self.present.add(number)
        self.received += 1
        return True


def begin(rtp: Rtp) -> Stretch:
    """A source's first packet."""
    base = rtp.sequence
    return Stretch(rtp, rtp, base, base, present={base}, clock_hz=STATIC_CLOCKS_HZ.get(rtp.payload_type, 0))


@dataclass
class Source:
    """One direction's source: the first to be believed, until it falls silent and another takes its place."""

    stretches: list[Stretch] = field(default_factory=list)
    in_sequence: int = 0  # packets of the candidate
    strangers: int = 0  # packets of others in a row
    n_reordered: int = 0
    n_frames: int = 0
    follows_far: int | None = None  # what would follow a packet far off

    @property
    def confirmed(self) -> bool:
        """Whether enough packets came in sequence."""
        return self.in_sequence >= RTP_PROBATION

    def packet(self, rtp: Rtp) -> None:
        """One RTP packet of this direction."""
        if not self.stretches:
            self.candidate(rtp)
        elif rtp.ssrc != self.stretches[-1].first.ssrc:
            self.stranger(rtp)
        else:
            self.strangers = 0
            self.own(rtp)

    def candidate(self, rtp: Rtp) -> None:
        """Begin from here, and forget what came before."""
        self.stretches, self.in_sequence = [], 1
        self.n_frames = 0
        self.change(rtp)

    def change(self, rtp: Rtp) -> None:
        """Another source, or a restart of this one: what was counted stands."""
        self.stretches.append(begin(rtp))
        self.n_frames += 1
        self.strangers, self.follows_far = 0, None

    def stranger(self, rtp: Rtp) -> None:
        """A packet of another source. One flow can carry several (RFC 8843)."""
        self.strangers += 1
        if not self.confirmed:
            if self.strangers >= RTP_STRANGERS:
                self.candidate(rtp)
        elif rtp.ts_ns - self.stretches[-1].newest.ts_ns > RTP_SILENCE_NS:
            self.change(rtp)

    def own(self, rtp: Rtp) -> None:
        """A packet of the source itself (RFC 3550 appendix A.1)."""
        now = self.stretches[-1]
        step = (rtp.sequence - now.highest) % 2**16
        if not self.confirmed:
            if step != 1:
                self.candidate(rtp)
                return
            self.in_sequence += 1
        if 0 < step < RTP_MAX_DROPOUT:
            self.n_frames += rtp.timestamp != now.newest.timestamp
            now.take(rtp, step)
        elif step > 2**16 - RTP_MAX_MISORDER:
            self.n_reordered += now.take_late(2**16 - step)
        elif step:
            self.far(rtp)

    def far(self, rtp: Rtp) -> None:
        """Far from what was expected: believed when its successor comes."""
        if rtp.sequence == self.follows_far:
            self.change(rtp)
        else:
            self.follows_far = (rtp.sequence + 1) % 2**16

    def fields(self) -> Fields:
        """The RTP fields of a record, of one direction."""
        if not self.confirmed:
            return dict.fromkeys(FIELDS, 0) | {"rtp_payload_type": RTP_NO_TYPE}
        now = self.stretches[-1]
        values = (
            now.first.ssrc,
            sum(stretch.received for stretch in self.stretches),
            sum(stretch.lost() for stretch in self.stretches),
            sum(stretch.loss_runs() for stretch in self.stretches),
            self.n_reordered,
            now.jitter_us,
            now.clock_hz,
            self.n_frames,
            now.first.payload_type,
        )
        return dict(zip(FIELDS, values, strict=True))


FIELDS = (
    *("rtp_ssrc", "rtp_packets", "rtp_lost", "rtp_loss_runs", "rtp_reordered", "rtp_jitter_us"),
    *("rtp_clock_hz", "rtp_frames", "rtp_payload_type"),
)
