"""A radio cell, TTI by TTI: channels, queues, schedulers and the sources that fill it, compiled by Numba.

Downlink of one carrier. In each TTI of a millisecond

1. channels move on (`radio_step_ms`): a CQI series, and fading on top of it, give the bits that a resource
   block carries for a user; the scheduler sees them `cqi_delay_ms` late;
2. sources put data into the queues of their bearers (:mod:`qoe_native.cellsim_sources`);
3. the scheduler grants resource block groups (:mod:`qoe_native.cellsim_sched`);
4. what was granted is delivered at the end of the TTI. Where `bler_ratio` is above 0, a transmission fails
   with that probability, and for certain when the channel is worse than the scheduler saw; its repetition
   after `harq_ms` succeeds, takes as many blocks, and delivers that much later.

Nothing is allocated after :func:`qoe_native.cellsim_setup.make_cell`; the same cell gives the same records,
bit for bit. :mod:`qoe_native.cellsim_numpy` is the plain twin. The simulator moves bits and time only: what
the records mean for people is worked out by who reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import floor, sqrt
from pathlib import Path
from typing import cast

import numpy as np
from numba import njit

from qoe_native.cellsim_data import DB_PER_CQI, MEAN_WINDOW_MS, Cell, Source
from qoe_native.cellsim_queue import serve, step_tcp
from qoe_native.cellsim_random import OPTIONS, compiled, harq_uniform, normal
from qoe_native.cellsim_sched import schedule
from qoe_native.cellsim_setup import check_run
from qoe_native.cellsim_sources import step_source
from qoe_native.cellsim_video import play_until

_VIDEO, _FULL_BUFFER = int(Source.VIDEO), int(Source.FULL_BUFFER)


@compiled
def _cqi_now(c: Cell, u: int, subband: int, now: int) -> int:
    """CQI that a user would report at this moment."""
    user, config = c.users[u], c.config[0]
    at = now + user.cqi_offset_ms
    n_steps = c.cqi.shape[1]
    step = at // config.cqi_step_ms
    level = float(c.cqi[user.cqi_row, step % n_steps, subband])
    if config.interpolate:
        later = float(c.cqi[user.cqi_row, (step + 1) % n_steps, subband])
        level += (later - level) * ((at % config.cqi_step_ms) / config.cqi_step_ms)
    if user.fading_db > 0.0:
        kick = user.fading_db if now == 0 else user.fading_kick_db
        c.fading_db[u, subband] = user.fading_keep_ratio * c.fading_db[u, subband] + kick * normal(c.users, u)
        if level > 0.0:
            level += c.fading_db[u, subband] / DB_PER_CQI
    return min(max(floor(level + 0.5), 0), 15)


@compiled
def _move_channels(c: Cell, now: int) -> None:
    """Evaluate all channels."""
    config = c.config[0]
    n_reports, n_subbands = c.reports.shape[2], c.reports.shape[1]
    step = now // config.radio_step_ms
    keep = min(1.0, config.radio_step_ms / MEAN_WINDOW_MS)
    for u in range(c.users.size):
        user = c.users[u]
        seen = actual = 0.0
        for s in range(n_subbands):
            cqi = _cqi_now(c, u, s, now)
            c.reports[u, s, step % n_reports] = cqi
            # before the first report is old enough, it is what the scheduler sees
            at = (step + 1) % n_reports if step + 1 >= n_reports else 0
            c.bits[u, s] = c.bits_per_rb[c.reports[u, s, at]]
            c.metric_bits[u, s] = c.metric_bits_per_rb[c.reports[u, s, at]]
            seen += c.bits[u, s]
            actual += c.bits_per_rb[cqi]
        user.worse = actual < seen
        mean = seen / n_subbands
        user.bits_sum += mean
        user.bits_sq_sum += mean * mean
        user.bits_mean = mean if now == 0 else user.bits_mean + keep * (mean - user.bits_mean)
    config.n_radio_steps += 1


@compiled
def _move_sources(c: Cell, row: int, now: int) -> int:
    """Let sources send; list the bearers with a backlog and return how many there are."""
    n_active = 0
    for b in range(c.bearers.size):
        if c.state[b].due_ms <= now:
            step_source(c, row, b, now)
        if c.tcp[b].active:
            step_tcp(c, row, b, now)
        backlog = c.state[b].backlog_bytes
        if backlog > 0:
            c.order[n_active] = b
            n_active += 1
            record = c.records[row, b]
            record.n_backlog_tti += 1
            record.queue_mean_bytes += backlog
            record.queue_max_bytes = max(record.queue_max_bytes, backlog)
        if backlog > 0 or c.tcp[b].wanted_bytes > 0:
            c.records[row, b].activity_ratio += 1.0
    return n_active


@compiled
def _repeat(c: Cell, row: int, now: int) -> int:
    """Make the repetitions that are due; return the groups that are left."""
    config = c.config[0]
    free = config.n_rb
    slot = now & (c.repeats.shape[1] - 1)
    for b in range(c.bearers.size):
        blocks = c.repeats[b, slot]
        if blocks > 0:
            c.repeats[b, slot] = 0
            c.records[row, b].n_rb += blocks
            free -= blocks
    if free == config.n_rb:
        return (free + config.rbg_rb - 1) // config.rbg_rb  # type: ignore[no-any-return]
    return free // config.rbg_rb  # type: ignore[no-any-return]


@compiled
def _deliver(c: Cell, row: int, b: int, now: int) -> int:
    """Deliver what a bearer was granted; return the bytes that it served."""
    config, state = c.config[0], c.state[b]
    size = min(int(state.bits / 8.0), state.backlog_bytes)
    at = now + 1
    if config.bler_ratio > 0.0:
        u = c.bearers[b].user
        if harq_uniform(c.users, u) < config.bler_ratio or c.users[u].worse:
            at += config.harq_ms
            c.repeats[b, (now + config.harq_ms) & (c.repeats.shape[1] - 1)] += state.n_rb
    c.records[row, b].n_rb += state.n_rb
    state.bits = 0.0
    state.n_rb = 0
    if size > 0:
        serve(c, row, b, at, size)
        if c.bearers[b].kind == _FULL_BUFFER:
            state.due_ms = min(state.due_ms, now + 1)
    return size  # type: ignore[no-any-return]


@compiled
def _close_interval(c: Cell, row: int, now: int) -> None:
    """Work out the means of the interval that ends."""
    config = c.config[0]
    for b in range(c.bearers.size):
        record, player = c.records[row, b], c.players[b]
        span = config.interval_ms
        record.airtime_ratio = record.n_rb / (config.n_rb * span)
        record.queue_mean_bytes /= span
        record.activity_ratio /= span
        record.delay_mean_ms = record.delay_sum_ms / record.n_served if record.n_served > 0 else np.nan
        record.rtt_ms = c.bearers[b].rtt_ms + record.delay_mean_ms
        record.jitter_ms = c.state[b].jitter_ms
        user = c.users[c.bearers[b].user]
        mean = user.bits_sum / config.n_radio_steps
        variance = max(0.0, user.bits_sq_sum / config.n_radio_steps - mean * mean)
        record.efficiency_bits = mean
        record.efficiency_cv_ratio = sqrt(variance) / mean if mean > 0.0 else 0.0
        record.rung = -1
        if c.bearers[b].kind == _VIDEO:
            play_until(c, row, b, now)
            record.play = player.play
            record.buffer_ms = player.fetched_ms - player.played_ms
            if record.buffer_ms > 0:
                record.rung = c.rungs[b, player.played_ms // c.sources[b].segment_ms % c.rungs.shape[1]]
        record.played_bits /= 1000.0
    for u in range(c.users.size):
        c.users[u].bits_sum = 0.0
        c.users[u].bits_sq_sum = 0.0
    config.n_radio_steps = 0


def _make_run(code: int) -> Callable[[Cell, int], None]:
    """Make the compiled function; `code` is part of what its place in Numba's cache depends on."""

    def run(c: Cell, n_tti: int) -> None:
        config = c.config[0]
        config.code = code
        keep = 1.0 / config.rate_window_ms
        for _ in range(n_tti):
            now = config.now_ms
            row = min(config.row, c.records.shape[0] - 1)
            if now % config.radio_step_ms == 0:
                _move_channels(c, now)
            n_active = _move_sources(c, row, now)
            n_groups = (config.n_rb + config.rbg_rb - 1) // config.rbg_rb
            if config.bler_ratio > 0.0:
                n_groups = _repeat(c, row, now)
            if n_active > 0:
                schedule(c, n_active, n_groups, now)
            for b in range(c.bearers.size):
                state = c.state[b]
                served = _deliver(c, row, b, now) if state.n_rb > 0 else 0
                state.rate_bps += keep * (served * 8000.0 - state.rate_bps)
                c.users[c.bearers[b].user].served_bytes += served
            for u in range(c.users.size):
                user = c.users[u]
                user.rate_bps += keep * (user.served_bytes * 8000.0 - user.rate_bps)
                user.served_bytes = 0
            config.now_ms = now + 1
            if config.now_ms % config.interval_ms == 0:
                _close_interval(c, row, config.now_ms)
                config.row += 1
        row = min(config.row, c.records.shape[0] - 1)
        for b in range(c.bearers.size):
            if c.bearers[b].kind == _VIDEO:
                play_until(c, row, b, config.now_ms)

    return run


def code_of(folder: Path) -> int:
    """Checksum of the simulator's source files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("cellsim*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def _compile_run() -> Callable[[Cell, int], None]:
    """Compile; keep the machine code on disk where a cache can be written.

    Numba tells stale machine code by the time of the function's own file and by the values that the function
    closes over: the checksum of all files that it is made of stands for the others.
    """
    function = _make_run(code_of(Path(__file__).parent))
    try:
        return cast(Callable[[Cell, int], None], njit(function, cache=True, **OPTIONS))
    except RuntimeError:  # "no locator available": neither the package nor the user's cache is writable
        return cast(Callable[[Cell, int], None], njit(function, **OPTIONS))


_run = _compile_run()


def run(cell: Cell, n_tti: int) -> None:
    """Simulate so many TTIs more; state and records of the cell move on in place.

    Weight, priority, budget and `real_time` of bearers, and the scheduler, may be changed between two calls.
    The global interpreter lock is not held.

    Parameters
    ----------
    cell : Cell
        From :func:`qoe_native.cellsim_setup.make_cell`.
    n_tti : int
        Milliseconds, 0 or more.

    Raises
    ------
    ValueError
        `n_tti` is below 0, a weight is not a number above 0, or the scheduler is unknown.
    """
    check_run(cell, n_tti)
    _run(cell, n_tti)
