"""The cell simulator again, slow and plain: the twin that :mod:`qoe_native.cellsim` is tested against.

Same cell, same records and logs, bit for bit. It keeps its state in objects of its own and writes the records
and logs of the cell that it is given; it does not go on where the compiled one stopped.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import Any

from qoe_native.cellsim_data import (
    DB_PER_CQI,
    MEAN_WINDOW_MS,
    PACKET_BYTES,
    RECORD_DTYPE,
    Cell,
    Scheduler,
    Source,
)
from qoe_native.cellsim_numpy_sources import FRAME, SPURT, Fetcher, Frames, Player, Random, Tcp, Voice, plain
from qoe_native.cellsim_setup import check_run


def _n_packets(size: int) -> int:
    return -(-size // PACKET_BYTES)


def _total(numbers: list[float]) -> float:
    """Sum from left to right; Python's own is more exact from 3.12 on."""
    total = 0.0
    for number in numbers:
        total += number
    return total


class User:
    """A channel."""

    def __init__(self, cell: Cell, u: int) -> None:
        self.s = plain(cell.users[u])
        self.config = plain(cell.config[0])
        self.row = cell.cqi[self.s["cqi_row"]].tolist()
        self.table: list[float] = cell.bits_per_rb.tolist()
        self.metric_table: list[float] = cell.metric_bits_per_rb.tolist()
        n_subbands = cell.cqi.shape[2]
        self.random, self.harq_random = Random(self.s["rng"]), Random(self.s["harq_rng"])
        self.rate, self.served = 0.0, 0
        self.fading = [0.0] * n_subbands
        self.reports: list[list[int]] = []
        self.bits: list[float] = [0.0] * n_subbands
        self.metric_bits: list[float] = [0.0] * n_subbands
        self.worse = False
        self.means: list[float] = []
        self.average = 0.0

    def move(self, now: int) -> None:
        """Evaluate the channel."""
        step = self.config["radio_step_ms"]
        self.reports.append([self._cqi(s, now) for s in range(len(self.bits))])
        seen = self.reports[max(0, len(self.reports) - 1 - self.config["cqi_delay_ms"] // step)]
        self.bits = [self.table[cqi] for cqi in seen]
        self.metric_bits = [self.metric_table[cqi] for cqi in seen]
        self.worse = sum(self.table[cqi] for cqi in self.reports[-1]) < sum(self.bits)
        mean = _total(self.bits) / len(self.bits)
        self.means.append(mean)
        keep = min(1.0, step / MEAN_WINDOW_MS)
        self.average = mean if now == 0 else self.average + keep * (mean - self.average)

    def _cqi(self, subband: int, now: int) -> int:
        at, step_ms = now + self.s["cqi_offset_ms"], self.config["cqi_step_ms"]
        level = float(self.row[at // step_ms % len(self.row)][subband])
        if self.config["interpolate"]:
            later = float(self.row[(at // step_ms + 1) % len(self.row)][subband])
            level += (later - level) * (at % step_ms / step_ms)
        if self.s["fading_db"] > 0.0:
            kick = self.s["fading_db"] if now == 0 else self.s["fading_kick_db"]
            kept = self.s["fading_keep_ratio"] * self.fading[subband]
            self.fading[subband] = kept + kick * self.random.normal()
            if level > 0.0:
                level += self.fading[subband] / DB_PER_CQI
        return min(max(math.floor(level + 0.5), 0), 15)


class Bearer:
    """A queue, what fills it and who empties it."""

    def __init__(self, cell: Cell, b: int) -> None:
        self.cell, self.b = cell, b
        settings, s, flow = plain(cell.bearers[b]), plain(cell.sources[b]), plain(cell.flows[b])
        self.kind, self.user = Source(settings["kind"]), settings["user"]
        self.limit, self.rtt_ms, self.stop_ms = (
            settings[k] for k in ("queue_limit_bytes", "rtt_ms", "stop_ms")
        )
        self.start_ms = settings["start_ms"]
        self.s = s
        self.random = Random(cell.state[b]["rng"].item())
        self.queue: deque[dict[str, Any]] = deque()
        self.backlog = 0
        self.delivered_ms = 0
        self.rate = self.deficit = self.virtual = 0.0
        self.jitter, self.transit = 0.0, -1.0
        self.next_ms = flow["next_ms"]
        self.granted_bits, self.granted_rb = 0.0, 0
        self.record: dict[str, Any] = dict.fromkeys(RECORD_DTYPE.names or (), 0)
        self.refresh()
        stream = self.kind in (Source.VIDEO, Source.WEB, Source.BULK)
        self.tcp = Tcp(self, s) if stream else None
        self.fetcher = Fetcher(self, s, flow) if self.kind in (Source.WEB, Source.BULK) else None
        frames = self.kind in (Source.VIDEO_CALL, Source.CLOUD_GAME)
        self.frames = Frames(self, s, flow) if frames else None
        voice = self.kind in (Source.VOIP, Source.GAME) or (
            self.kind == Source.VIDEO_CALL and s["packet_bytes"] > 0
        )
        self.voice = Voice(self, s, flow) if voice else None
        self.player = None
        if self.kind == Source.VIDEO:
            n = int(cell.n_rungs[s["ladder"]])
            ladder, utility = (a[s["ladder"], :n].tolist() for a in (cell.ladder_bps, cell.ladder_log))
            self.player = Player(self, s, ladder, utility, self.start_ms)

    def refresh(self) -> None:
        """Read what may change between runs."""
        settings = plain(self.cell.bearers[self.b])
        self.weight, self.priority = settings["weight"], settings["priority"]
        self.budget_ms, self.late_ratio = settings["budget_ms"], settings["late_ratio"]
        self.real_time = settings["real_time"]

    def log(self, name: str, entry: tuple[Any, ...]) -> None:
        """Append to one of the cell's logs."""
        at = int(self.cell.config[0][f"n_{name}"])
        log = getattr(self.cell, name)
        if at < log.size:
            log[at] = entry
        self.cell.config[0][f"n_{name}"] += 1

    def enqueue(self, now: int, size: int, accepted: int, what: int) -> int:
        """Take up to `accepted` of so many bytes."""
        if len(self.queue) == self.cell.queue.shape[1]:
            accepted = 0
        self.record["offered_bytes"] += size
        self.record["n_offered"] += _n_packets(size)
        self.record["dropped_bytes"] += size - accepted
        self.record["n_dropped"] += _n_packets(size - accepted)
        self.backlog += accepted
        if accepted:
            self.queue.append({"arrived": now, "size": accepted, "left": accepted, "what": what})
        return accepted

    def offer(self, now: int, size: int, what: int) -> bool:
        """Take a packet as a whole, or not."""
        fits = self.backlog + size <= self.limit
        return self.enqueue(now, size, size if fits else 0, what) > 0

    def step(self, now: int) -> None:
        """Let the source act."""
        if self.player:
            self.player.step(now)
        elif now >= self.stop_ms:
            if self.tcp:
                self.tcp.abandon()
        elif now >= self.start_ms:
            for part in (self.frames, self.voice, self.fetcher):
                if part:
                    part.step(now)
            while self.kind == Source.OTHER and self.next_ms <= now:
                self.offer(now, self.s["packet_bytes"], 0)
                self.next_ms += self.random.exponential(self.s["period_ms"])
            room = self.limit - self.backlog
            if self.kind == Source.FULL_BUFFER and 2 * room >= self.limit:
                self.enqueue(now, room, room, 0)
        if self.tcp and self.tcp.active:
            self.tcp.step(now)

    def serve(self, at: int, size: int) -> None:
        """Deliver the next bytes."""
        at = self.delivered_ms = max(at, self.delivered_ms)
        self.record["served_bytes"] += size
        if self.frames:
            self.frames.received += size
        self.backlog -= size
        rest = size
        while rest:
            entry = self.queue[0]
            part = min(rest, entry["left"])
            entry["left"] -= part
            rest -= part
            if entry["left"] == 0:
                self.queue.popleft()
                self._complete(entry, float(at - entry["arrived"]))
        if self.tcp and self.tcp.active:
            self.tcp.receive(at, size)

    def _complete(self, entry: dict[str, Any], delay: float) -> None:
        record, n, late = self.record, _n_packets(entry["size"]), delay > self.budget_ms
        record["n_served"] += n
        record["delay_sum_ms"] += n * delay
        record["delay_sq_sum_ms2"] += n * delay * delay
        record["delay_max_ms"] = max(record["delay_max_ms"], delay)
        record["n_late"] += n * late
        if self.transit >= 0.0:
            self.jitter += (abs(delay - self.transit) - self.jitter) / 16.0
        self.transit = delay
        if entry["what"] == FRAME:
            assert self.frames is not None
            self.frames.worst = max(self.frames.worst, delay)
            record["n_frames"] += not late
            record["frame_bytes"] += entry["size"] * (not late)
        elif entry["what"]:
            assert self.voice is not None
            self.voice.hear(delay, entry["what"] == SPURT)


class Simulation:
    """A cell on its way.

    Parameters
    ----------
    cell : Cell
        Fresh from ``make_cell``. Its records and logs are written, its state is not.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.config = plain(cell.config[0])
        self.users = [User(cell, u) for u in range(cell.users.size)]
        self.bearers = [Bearer(cell, b) for b in range(cell.bearers.size)]
        self.now = self.turn = 0
        self.virtual = 0.0
        self.repeats: dict[int, dict[int, int]] = {}
        n_groups = -(-self.config["n_rb"] // self.config["rbg_rb"])
        edges = [min(g * self.config["rbg_rb"], self.config["n_rb"]) for g in range(n_groups + 1)]
        self.group_rb: list[int] = [high - low for low, high in itertools.pairwise(edges)]
        self.subband = [g * cell.cqi.shape[2] // n_groups for g in range(n_groups)]

    def run(self, n_tti: int) -> None:
        """Simulate so many TTIs more.

        Raises
        ------
        ValueError
            As the compiled simulator's.
        """
        check_run(self.cell, n_tti)
        self.config["scheduler"] = int(self.cell.config[0]["scheduler"])
        for bearer in self.bearers:
            bearer.refresh()
        for _ in range(n_tti):
            self._step(self.now)
            self.now += 1
            if self.now % self.config["interval_ms"] == 0:
                self._close()
        self._write()

    def _step(self, now: int) -> None:
        if now % self.config["radio_step_ms"] == 0:
            for user in self.users:
                user.move(now)
        for bearer in self.bearers:
            bearer.step(now)
            backlog = bearer.backlog
            bearer.record["n_backlog_tti"] += backlog > 0
            bearer.record["queue_mean_bytes"] += backlog
            bearer.record["queue_max_bytes"] = max(bearer.record["queue_max_bytes"], backlog)
            transfer = bearer.tcp is not None and bearer.tcp.wanted > 0
            bearer.record["activity_ratio"] += backlog > 0 or transfer
        self._schedule(now, self._repeat(now))
        for bearer in self.bearers:
            served = self._deliver(bearer, now) if bearer.granted_rb else 0
            bearer.rate += 1.0 / self.config["rate_window_ms"] * (served * 8000.0 - bearer.rate)
            self.users[bearer.user].served += served
        for user in self.users:
            user.rate += 1.0 / self.config["rate_window_ms"] * (user.served * 8000.0 - user.rate)
            user.served = 0

    def _repeat(self, now: int) -> int:
        due = self.repeats.pop(now, {})
        for b, blocks in due.items():
            self.bearers[b].record["n_rb"] += blocks
        if not due:
            return len(self.group_rb)
        return int((self.config["n_rb"] - sum(due.values())) // self.config["rbg_rb"])

    def _deliver(self, bearer: Bearer, now: int) -> int:
        size = min(int(bearer.granted_bits / 8.0), bearer.backlog)
        at = now + 1
        user = self.users[bearer.user]
        if self.config["bler_ratio"] > 0.0 and (
            user.harq_random.uniform() < self.config["bler_ratio"] or user.worse
        ):
            at += self.config["harq_ms"]
            due = self.repeats.setdefault(now + self.config["harq_ms"], {})
            due[bearer.b] = due.get(bearer.b, 0) + bearer.granted_rb
        bearer.record["n_rb"] += bearer.granted_rb
        bearer.granted_bits, bearer.granted_rb = 0.0, 0
        if size:
            bearer.serve(at, size)
        return size

    # ---- scheduling

    def _bits(self, bearer: Bearer, group: int) -> float:
        return float(self.users[bearer.user].bits[self.subband[group]])

    def _metric_bits(self, bearer: Bearer, group: int) -> float:
        return float(self.users[bearer.user].metric_bits[self.subband[group]])

    def _in_need(self, group: int) -> list[Bearer]:
        return [b for b in self.bearers if self._bits(b, group) > 0.0 and self._need(b) > 0.0]

    @staticmethod
    def _need(bearer: Bearer) -> float:
        return float(bearer.backlog * 8.0 - bearer.granted_bits)

    def _grant(self, bearer: Bearer, group: int) -> int:
        bearer.granted_rb += self.group_rb[group]
        bearer.granted_bits += self.group_rb[group] * self._bits(bearer, group)
        return self.group_rb[group]

    def _schedule(self, now: int, n_groups: int) -> None:
        scheduler = Scheduler(self.config["scheduler"])
        if scheduler == Scheduler.ROUND_ROBIN:
            self._take_turns(n_groups)
        elif scheduler == Scheduler.DRR:
            self._by_deficit(n_groups)
        elif scheduler == Scheduler.AIRTIME_WFQ:
            self._by_airtime(n_groups)
        else:
            waiting = [bearer for bearer in self.bearers if bearer.backlog]
            metrics = {bearer.b: self._metric(scheduler, bearer, waiting, now) for bearer in waiting}
            for group in range(n_groups):
                strict = scheduler == Scheduler.STRICT_PRIORITY
                oldest = scheduler == Scheduler.PF_PER_USER
                ranked = [
                    (
                        -b.priority if strict else 0,
                        metrics[b.b] * self._metric_bits(b, group),
                        -b.queue[0]["arrived"] if oldest else 0,
                        -b.b,
                    )
                    for b in self._in_need(group)
                ]
                if ranked:
                    self._grant(self.bearers[-max(ranked)[3]], group)

    def _urgency(self, bearer: Bearer, now: int) -> float:
        if not bearer.real_time:
            return 0.0
        wait = now + 1 - bearer.queue[0]["arrived"]
        return float(-math.log(bearer.late_ratio) / bearer.budget_ms * wait)

    def _metric(self, scheduler: Scheduler, bearer: Bearer, waiting: list[Bearer], now: int) -> float:
        """Metric for rate 1."""
        rate = max(bearer.rate, self.config["rate_floor_bps"])
        urgency = self._urgency(bearer, now)
        if scheduler == Scheduler.MAX_CI:
            return 1.0
        if scheduler == Scheduler.PF_PER_USER:
            return float(1.0 / max(self.users[bearer.user].rate, self.config["rate_floor_bps"]))
        if scheduler == Scheduler.WEIGHTED_PF:
            exponent = self.config["rate_exponent"]
            return float(bearer.weight / (rate if exponent == 1.0 else rate**exponent))
        if scheduler == Scheduler.M_LWDF and urgency > 0.0:
            return float(1.0 / rate * urgency)
        if scheduler == Scheduler.EXP_PF and urgency > 0.0:
            urgencies = [u for u in (self._urgency(other, now) for other in waiting) if u > 0.0]
            mean = _total(urgencies) / len(urgencies)
            return float(1.0 / rate * math.exp((urgency - mean) / (1.0 + math.sqrt(mean))))
        return float(1.0 / rate)

    def _next_in_turn(self, group: int) -> Bearer | None:
        in_need = self._in_need(group)
        later = [bearer for bearer in in_need if bearer.b >= self.turn]
        return next(iter(later or in_need), None)

    def _take_turns(self, n_groups: int) -> None:
        for group in range(n_groups):
            bearer = self._next_in_turn(group)
            if bearer is not None:
                self._grant(bearer, group)
                self.turn = bearer.b + 1

    def _by_deficit(self, n_groups: int) -> None:
        group = 0
        while group < n_groups:
            bearer = self._next_in_turn(group)
            if bearer is None:
                group += 1
                continue
            if self.turn != bearer.b or bearer.deficit <= 0.0:
                bearer.deficit += bearer.weight * self.config["quantum_bytes"]
            self.turn = bearer.b
            subband = self.subband[group]
            while bearer.deficit > 0.0 and group < n_groups and self.subband[group] == subband:
                need = self._need(bearer)
                blocks = self._grant(bearer, group)
                bearer.deficit -= min(blocks * self._bits(bearer, group), need) / 8.0
                group += 1
                if self._need(bearer) <= 0.0:
                    bearer.deficit = min(bearer.deficit, 0.0)
            if bearer.deficit <= 0.0:
                self.turn = bearer.b + 1

    def _by_airtime(self, n_groups: int) -> None:
        waiting = [bearer for bearer in self.bearers if bearer.backlog]
        for bearer in waiting:
            bearer.virtual = max(bearer.virtual, self.virtual)
        group = 0
        while group < n_groups:
            ranked = [(self._airtime_metric(b, group), -b.b) for b in self._in_need(group)]
            if not ranked:
                group += 1
                continue
            bearer = self.bearers[-max(ranked)[1]]
            subband, blocks = self.subband[group], 0
            while group < n_groups and self.subband[group] == subband and self._need(bearer) > 0.0:
                blocks += self._grant(bearer, group)
                group += 1
            bearer.virtual += blocks / bearer.weight
        if waiting:
            in_range = [b for b in waiting if max(self.users[b.user].bits) > 0.0 and self._need(b) > 0.0]
            lowest = min((b.virtual for b in in_range), default=math.inf)
            highest = max([self.virtual, *(b.virtual for b in waiting)])
            self.virtual = max(self.virtual, lowest) if in_range else highest

    def _airtime_metric(self, bearer: Bearer, group: int) -> float:
        average = self.users[bearer.user].average
        if average <= 0.0:
            return self.virtual - bearer.virtual
        ahead_rb = self.config["opportunism_ms"] * self.config["n_rb"]
        return float(self.virtual - bearer.virtual + ahead_rb / average * self._metric_bits(bearer, group))

    # ---- records

    def _close(self) -> None:
        span, n_rb = self.config["interval_ms"], self.config["n_rb"]
        for bearer in self.bearers:
            r = bearer.record
            r["airtime_ratio"] = r["n_rb"] / (n_rb * span)
            r["queue_mean_bytes"] /= span
            r["activity_ratio"] /= span
            r["delay_mean_ms"] = r["delay_sum_ms"] / r["n_served"] if r["n_served"] else math.nan
            r["rtt_ms"] = bearer.rtt_ms + r["delay_mean_ms"]
            r["jitter_ms"] = bearer.jitter
            means = self.users[bearer.user].means
            mean = _total(means) / len(means)
            variance = max(0.0, _total([x * x for x in means]) / len(means) - mean * mean)
            r["efficiency_bits"] = mean
            r["efficiency_cv_ratio"] = math.sqrt(variance) / mean if mean > 0.0 else 0.0
            r["rung"] = -1
            player = bearer.player
            if player:
                player.advance(self.now)
                r["play"], r["buffer_ms"] = int(player.play), player.held_ms
                if player.held_ms > 0:
                    r["rung"] = player.fetched[player.played_ms // player.s["segment_ms"]]
            r["played_bits"] /= 1000.0
            self._write_one(bearer)
            bearer.record = dict.fromkeys(RECORD_DTYPE.names or (), 0)
        for user in self.users:
            user.means = []

    def _write_one(self, bearer: Bearer) -> None:
        row = (self.now - 1) // self.config["interval_ms"]
        if row < len(self.cell.records) - 1:
            self.cell.records[row, bearer.b] = tuple(bearer.record.values())

    def _write(self) -> None:
        """Write the interval that is not over."""
        if self.now % self.config["interval_ms"]:
            for bearer in self.bearers:
                if bearer.player:
                    bearer.player.advance(self.now)
                self._write_one(bearer)


def simulate(cell: Cell, n_tti: int) -> None:
    """Simulate a fresh cell for so many TTIs."""
    Simulation(cell).run(n_tti)
