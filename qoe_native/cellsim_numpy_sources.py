"""Sources and TCP once more, slow and plain: part of the twin in :mod:`qoe_native.cellsim_numpy`.

Each source is asked in every millisecond whether something is due, instead of saying when.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from qoe_native.cellsim_data import N_AHEAD, N_PAST, NEVER_MS, Abr, Play, Source

if TYPE_CHECKING:
    from qoe_native.cellsim_numpy import Bearer

STREAM, TICK, SPURT, FRAME = 0, 1, 2, 3
_MASK = 2**64 - 1


class Random:
    """SplitMix64."""

    def __init__(self, state: int) -> None:
        self.state = state

    def uniform(self) -> float:
        """Draw from 0 to below 1."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) / 2**53

    def normal(self) -> float:
        """Draw from the standard normal distribution."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def exponential(self, mean: float) -> float:
        """Draw from the exponential distribution."""
        return -mean * math.log(1.0 - self.uniform())


def plain(record: Any) -> dict[str, Any]:
    """Fields of a record as Python's own numbers."""
    return {name: record[name].tolist() for name in record.dtype.names}


class Tcp:
    """A window of bytes, acknowledgements on their way, losses."""

    def __init__(self, bearer: Bearer, s: dict[str, Any]) -> None:
        self.bearer, self.s = bearer, s
        self.acks: dict[int, int] = {}
        self.left = self.wanted = self.flight = self.lost = self.served = 0
        self.window = float(min(s["initial_window_bytes"], s["window_max_bytes"]))
        self.threshold = math.inf
        self.peak = self.plateau_s = 0.0
        self.epoch = -1
        self.mark = -1
        self.notice = NEVER_MS
        self.active = False
        self.idle_since = 0
        self.first_ms = -1

    def connect(self) -> None:
        """Start anew."""
        self.window = float(min(self.s["initial_window_bytes"], self.s["window_max_bytes"]))
        self.threshold = float(self.s["window_max_bytes"])
        self.peak, self.epoch = 0.0, -1

    def begin(self, now: int, size: int) -> None:
        """Begin a transfer."""
        if not self.active and now - self.idle_since > 200 + self.bearer.rtt_ms:
            self.window = min(self.window, float(self.s["initial_window_bytes"]))
        self.left += size
        self.wanted += size
        self.active = True

    def abandon(self) -> None:
        """Send nothing more."""
        self.left = self.wanted = 0

    def is_delivered(self, now: int) -> bool:
        """Whether the transfer is over."""
        return self.wanted == 0 and self.bearer.delivered_ms <= now

    def receive(self, at: int, size: int) -> None:
        """Acknowledge what is delivered at a time."""
        back = at + self.bearer.rtt_ms
        self.acks[back] = self.acks.get(back, 0) + size
        self.served += size
        if self.mark >= 0 and self.served > self.mark:
            self.mark, self.notice = -1, back
        if self.first_ms < 0:
            self.first_ms = at
        self.wanted = max(0, self.wanted - size)

    def step(self, now: int) -> None:
        """One millisecond of the sender."""
        acked = self.acks.pop(now, 0)
        if acked:
            if 2 * self.flight >= self.window:
                self._grow(now, acked)
            self.flight -= acked
        if self.notice <= now:
            self._cut()
        size = min(self.left, int(self.window) - self.flight)
        if size < self.left:
            size -= size % self.s["mss_bytes"] if size > 0 else 0
        if size > 0:
            self._send(now, size)
        if self.left == 0 and self.flight == 0:
            self.active, self.idle_since = False, now
        elif self.bearer.backlog == 0 and self.mark >= 0:
            self.mark, self.notice = -1, now + self.bearer.rtt_ms

    def _send(self, now: int, size: int) -> None:
        room = self.bearer.limit - self.bearer.backlog
        fits = size if size <= room else max(0, room - room % self.s["mss_bytes"])
        taken = self.bearer.enqueue(now, size, fits, STREAM)
        self.left -= size
        self.flight += size
        if taken < size:
            self.lost += size - taken
            if self.mark < 0 and self.notice == NEVER_MS:
                self.mark = self.served + self.bearer.backlog

    def _cut(self) -> None:
        self.flight -= self.lost
        if self.wanted > 0:
            self.left += self.lost
        self.lost, self.notice = 0, NEVER_MS
        self.peak, self.epoch = self.window, -1
        factor = 0.7 if self.s["cubic"] else 0.5
        self.window = self.threshold = max(self.window * factor, 2.0 * self.s["mss_bytes"])

    def _grow(self, now: int, acked: int) -> None:
        mss, window = self.s["mss_bytes"], self.window
        more = float(acked)
        if window >= self.threshold:
            more = acked * mss / window
            if self.s["cubic"]:
                if self.epoch < 0:
                    self.epoch, self.peak = now, max(self.peak, window)
                    self.plateau_s = ((self.peak - window) / mss / 0.4) ** (1.0 / 3.0)
                x = (now + self.bearer.rtt_ms - self.epoch) / 1000.0 - self.plateau_s
                target = self.peak + 0.4 * x * x * x * mss
                rise = min(max(target, window), 1.5 * window) - window
                more = max(more * (3.0 * (1.0 - 0.7) / (1.0 + 0.7)), rise * (acked / window))
        self.window = min(window + more, float(self.s["window_max_bytes"]))


class Voice:
    """Packets at equal distances, and the receiver's jitter buffer."""

    def __init__(self, bearer: Bearer, s: dict[str, Any], flow: dict[str, Any]) -> None:
        self.bearer, self.s = bearer, s
        self.period = s["voice_period_ms"] if bearer.kind == Source.VIDEO_CALL else s["period_ms"]
        self.next_ms, self.spurt_end_ms = flow["voice_ms"], flow["spurt_end_ms"]
        self.n_in_spurt = 0
        self.delay, self.deviation, self.playout = -1.0, 0.0, s["jitter_buffer_ms"]
        self.lost = False

    def step(self, now: int) -> None:
        """Send what is due."""
        pauses = self.s["pause_ms"] > 0.0
        while self.next_ms <= now:
            if pauses and self.next_ms >= self.spurt_end_ms:
                self.next_ms = self.spurt_end_ms + self.bearer.random.exponential(self.s["pause_ms"])
                self.spurt_end_ms = self.next_ms + self.bearer.random.exponential(self.s["talk_ms"])
                self.n_in_spurt = 0
                continue
            first = self.n_in_spurt == 0 if pauses else self.n_in_spurt % 50 == 0
            self.n_in_spurt += 1
            self.bearer.record["voice_sent"] += 1
            if not self.bearer.offer(now, self._size(), SPURT if first else TICK):
                self.bearer.record["voice_dropped"] += 1
                self._note(True)
            self.next_ms += self.period

    def _size(self) -> int:
        size = self.s["packet_bytes"]
        if self.bearer.kind == Source.GAME and self.s["size_sigma"] != 0.0:
            varied = size * math.exp(self.s["size_sigma"] * self.bearer.random.normal())
            return int(min(max(varied, 20.0), 1500.0))
        return int(size)

    def _note(self, lost: bool) -> None:
        if lost and not self.lost:
            self.bearer.record["voice_gaps"] += 1
        self.lost = lost

    def hear(self, delay: float, spurt: bool) -> None:
        """Play a packet, or discard it as late."""
        if self.delay < 0.0:
            self.delay = delay
        self.delay = 0.98 * self.delay + (1.0 - 0.98) * delay
        self.deviation = 0.98 * self.deviation + (1.0 - 0.98) * abs(self.delay - delay)
        if spurt and self.s["jitter_adaptive"]:
            wait = max(self.delay + 4.0 * self.deviation, self.s["period_ms"])
            self.playout = min(wait, self.s["jitter_buffer_ms"])
        self._note(delay > self.playout)
        if delay > self.playout:
            self.bearer.record["voice_discarded"] += 1
        else:
            self.bearer.record["n_voice"] += 1
            self.bearer.record["playout_sum_ms"] += self.playout


class Frames:
    """Frames at a rate that follows delay and loss."""

    def __init__(self, bearer: Bearer, s: dict[str, Any], flow: dict[str, Any]) -> None:
        self.bearer, self.s = bearer, s
        self.next_ms, self.feedback_ms, self.rate = flow["next_ms"], flow["feedback_ms"], s["rate_bps"]
        self.received = self.offered = self.dropped = 0
        self.worst = 0.0

    def step(self, now: int) -> None:
        """Send what is due, and hear how it went."""
        while self.next_ms <= now:
            size = self.rate * self.s["period_ms"] / 8000.0
            sigma = self.s["size_sigma"]
            if sigma > 0.0:
                size *= math.exp(sigma * self.bearer.random.normal() - 0.5 * sigma * sigma)
            self.bearer.record["n_frames_sent"] += 1
            self.offered += 1
            self.dropped += not self.bearer.offer(now, max(100, int(size)), FRAME)
            self.next_ms += self.s["period_ms"]
        if self.s["rate_min_bps"] < self.s["rate_max_bps"] and self.feedback_ms <= now:
            self._adapt(now)

    def _adapt(self, now: int) -> None:
        span = self.bearer.rtt_ms + 100
        received_bps = self.received * 8000.0 / span
        loss = self.dropped / self.offered if self.offered else 0.0
        if loss > 0.1:
            self.rate *= 1.0 - 0.5 * loss
        elif self.worst > 0.5 * self.bearer.budget_ms:
            self.rate = min(self.rate, 0.85 * received_bps)
        elif loss < 0.02 and self.received:
            rise = 1.0 + (1.08 - 1.0) * span / 1000.0
            self.rate = min(self.rate * rise, max(self.rate, 1.5 * received_bps))
        self.rate = min(max(self.rate, self.s["rate_min_bps"]), self.s["rate_max_bps"])
        self.feedback_ms = now + span
        self.received = self.offered = self.dropped = 0
        self.worst = 0.0


class Fetcher:
    """Pages, or downloads, one after the other."""

    def __init__(self, bearer: Bearer, s: dict[str, Any], flow: dict[str, Any]) -> None:
        self.bearer, self.s = bearer, s
        self.next_ms = flow["next_ms"]
        self.send_ms = NEVER_MS
        self.start_ms = -1
        self.rounds: list[int] = []
        self.size = self.n_objects = 0

    def step(self, now: int) -> None:
        """Whatever is due."""
        tcp = self.bearer.tcp
        assert tcp is not None
        if self.start_ms >= 0 and self.send_ms == NEVER_MS and tcp.is_delivered(now):
            if self.rounds:
                self.send_ms = now + self.bearer.rtt_ms
            else:
                self._finish(now)
        if self.start_ms < 0 and self.next_ms <= now:
            self._start(now)
            tcp.connect()
        elif self.start_ms >= 0 and self.send_ms <= now:
            self.send_ms = NEVER_MS
            tcp.begin(now, self.rounds.pop(0))

    def _start(self, now: int) -> None:
        size, objects = self.s["size_bytes"], 1.0
        if self.s["size_sigma"] > 0.0:
            size *= math.exp(self.s["size_sigma"] * self.bearer.random.normal())
        if self.bearer.kind == Source.WEB:
            spread = math.exp(self.s["objects_sigma"] * self.bearer.random.normal())
            objects = self.s["n_objects"] * spread
        self.n_objects = max(1, int(objects + 0.5))
        self.size = max(self.n_objects, int(size)) if size > 0.0 else 1 << 50
        n = min(max(1, self.s["n_rounds"]), self.n_objects)
        self.rounds = [self.size // self.n_objects if n > 1 else self.size]
        for left in range(n - 1, 0, -1):
            self.rounds.append((self.size - sum(self.rounds)) // left)
        self.start_ms = now
        self.send_ms = now + (self.s["setup_rtts"] + 1) * self.bearer.rtt_ms

    def _finish(self, now: int) -> None:
        record = self.bearer.record
        self.bearer.log("fetches", (self.bearer.b, self.n_objects, self.start_ms, now, self.size))
        record["n_fetches"] += 1
        record["fetch_sum_ms"] += now - self.start_ms
        record["fetch_bytes"] += self.size
        self.start_ms = -1
        pause = self.s["pause_ms"]
        self.next_ms = now + (self.bearer.random.exponential(pause) if pause > 0.0 else 1.0)


class Player:
    """A video player: its buffer is a list of segments."""

    def __init__(
        self, bearer: Bearer, s: dict[str, Any], ladder: list[float], utility: list[float], start_ms: int
    ) -> None:
        self.bearer, self.s, self.ladder, self.utility = bearer, s, ladder, utility
        self.start_ms = self.stalled_ms = self.since = self.next_ms = start_ms
        self.play = Play.WAITING
        self.fetched: list[int] = []
        self.past: list[tuple[float, float]] = []
        self.played_ms = 0
        self.request: dict[str, Any] | None = None
        self.rung = 0

    @property
    def held_ms(self) -> int:
        """Media in the buffer."""
        return len(self.fetched) * int(self.s["segment_ms"]) - self.played_ms

    @property
    def complete(self) -> bool:
        """Whether the whole video was fetched."""
        return len(self.fetched) > 0 and len(self.fetched) == self.s["n_segments"]

    def advance(self, now: int) -> None:
        """Play, stall or load, a millisecond at a time."""
        for _ in range(self.since, now):
            if self.play == Play.WAITING:
                self.bearer.record["loading_ms"] += 1
            elif self.play == Play.STALLED:
                self.bearer.record["stall_ms"] += 1
            elif self.play == Play.PLAYING:
                self.bearer.record["played_ms"] += 1
                rung = self.fetched[self.played_ms // self.s["segment_ms"]]
                self.bearer.record["played_bits"] += self.ladder[rung]
                self.played_ms += 1
        self.since = max(self.since, now)

    def step(self, now: int) -> None:
        """Whatever is due."""
        tcp = self.bearer.tcp
        assert tcp is not None
        if self.play == Play.OVER or now < self.start_ms:
            return
        self.advance(now)
        if self.request and self.request["sent"] and tcp.is_delivered(now):
            self._finish(now, self.request, tcp.first_ms)
        self._change(now)
        if now >= self.bearer.stop_ms:
            if self.play in (Play.WAITING, Play.STALLED):
                self._log_stall(now, False)
            self.play = Play.OVER
            tcp.abandon()
        if self.play == Play.OVER:
            return
        if self.request is None and now >= self.next_ms:
            self._ask(now)
        elif self.request and not self.request["sent"] and now >= self.request["at"] + self.bearer.rtt_ms:
            self.request["sent"] = True
            tcp.first_ms = -1
            tcp.begin(now, self.request["size"])

    def _ask(self, now: int) -> None:
        self.rung = self._choose()
        predicted = self._throughput() if self.past else 0.0
        size = self.ladder[self.rung] * self.s["segment_ms"] / 8000.0
        sigma = self.s["size_sigma"]
        if sigma > 0.0:
            size *= math.exp(sigma * self.bearer.random.normal() - 0.5 * sigma * sigma)
        self.request = {"at": now, "size": max(1, int(size)), "sent": False, "predicted": predicted}

    def _finish(self, now: int, request: dict[str, Any], first_ms: int) -> None:
        s, size = self.s, request["size"]
        bps = size * 8000.0 / (now - request["at"])
        self.past.append((bps, abs(request["predicted"] - bps) / bps if self.past else 0.0))
        media_ms = len(self.fetched) * s["segment_ms"]
        times = (request["at"], first_ms, now)
        entry = (self.bearer.b, self.rung, self.ladder[self.rung], *times, size, s["segment_ms"], media_ms)
        self.bearer.log("segments", entry)
        self.bearer.record["n_segments"] += 1
        self.bearer.record["segment_bytes"] += size
        self.fetched.append(self.rung)
        self.request = None
        self.next_ms = now + max(0, self.held_ms + s["segment_ms"] - s["buffer_max_ms"])
        if s["live_latency_ms"] > 0:
            edge = self.start_ms + (len(self.fetched) + 1) * s["segment_ms"] - s["live_latency_ms"]
            self.next_ms = max(self.next_ms, edge)
        if self.complete:
            self.next_ms = NEVER_MS

    def _change(self, now: int) -> None:
        held = self.held_ms
        if self.play == Play.PLAYING and held == 0:
            self.play = Play.OVER if self.complete else Play.STALLED
            self.stalled_ms = now
        elif self.play in (Play.WAITING, Play.STALLED) and held > 0:
            enough = self.s["startup_ms"] if self.play == Play.WAITING else self.s["resume_ms"]
            if held >= enough or self.complete:
                self._log_stall(now, True)
                self.play = Play.PLAYING

    def _log_stall(self, now: int, ended: bool) -> None:
        initial = self.play == Play.WAITING
        entry = (self.bearer.b, initial, ended, self.stalled_ms, now - self.stalled_ms, self.played_ms)
        self.bearer.log("stalls", entry)

    def _recent(self) -> list[tuple[float, float]]:
        """The last segments in the order in which a ring of them is read."""
        n = len(self.past)
        ring: list[Any] = [None] * N_PAST
        for k in range(max(0, n - N_PAST), n):
            ring[k % N_PAST] = self.past[k]
        return [entry for entry in ring if entry is not None]

    def _throughput(self) -> float:
        recent = self._recent()
        total = 0.0
        for bps, _ in recent:
            total += 1.0 / bps
        return len(recent) / total

    def _choose(self) -> int:
        if not self.past:
            return int(self.s["start_rung"])
        return {
            Abr.RATE: self._by_rate,
            Abr.BBA: self._by_buffer,
            Abr.BOLA: self._by_lyapunov,
            Abr.MPC: self._by_plan,
        }[Abr(self.s["abr"])]()

    def _by_rate(self) -> int:
        limit = 0.8 * self._throughput()
        return max([0, *(k for k, bps in enumerate(self.ladder) if bps <= limit)])

    def _by_buffer(self) -> int:
        ladder, last, top = self.ladder, self.rung, len(self.ladder) - 1
        reservoir = self.s["reservoir_ms"]
        full = min(0.9 * self.s["buffer_max_ms"], float(self.s["buffer_max_ms"] - self.s["segment_ms"]))
        if self.held_ms <= reservoir:
            return 0
        if self.held_ms >= full:
            return top
        rate = ladder[0] + (self.held_ms - reservoir) / (full - reservoir) * (ladder[top] - ladder[0])
        if last < top and rate >= ladder[last + 1]:
            return max([last, *(k for k in range(top + 1) if ladder[k] < rate)])
        if last > 0 and rate <= ladder[last - 1]:
            return min([last, *(k for k in range(top + 1) if ladder[k] > rate)])
        return last

    def _by_lyapunov(self) -> int:
        held = self.held_ms / self.s["segment_ms"]
        v = (self.s["buffer_max_ms"] / self.s["segment_ms"] - 1.0) / (self.utility[-1] + 5.0)
        values = [(v * (u + 5.0) - held) / bps for u, bps in zip(self.utility, self.ladder, strict=True)]
        return values.index(max(values))

    def _by_plan(self) -> int:
        n_left = self.s["n_segments"] - len(self.fetched) if self.s["n_segments"] else N_AHEAD
        bps = self._throughput() / (1.0 + max(error for _, error in self._recent()))
        plans = itertools.product(range(len(self.ladder)), repeat=min(N_AHEAD, n_left))
        # max keeps the first of equals, as a search in this order does
        return max(plans, key=lambda plan: self._value(plan, bps))[0]

    def _value(self, plan: tuple[int, ...], bps: float) -> float:
        segment_s, most_s = self.s["segment_ms"] / 1000.0, self.s["buffer_max_ms"] / 1000.0
        held, value, before = self.held_ms / 1000.0, 0.0, self.ladder[self.rung] / 1e6
        for rung in plan:
            rate = self.ladder[rung] / 1e6
            fetch_s = segment_s * rate * 1e6 / bps
            stall_s = max(0.0, fetch_s - held)
            value = value + rate - abs(rate - before) - self.ladder[-1] / 1e6 * stall_s
            held = min(max(held - fetch_s, 0.0) + segment_s, most_s)
            before = rate
        return value
