"""Adaptive video players of the cell simulator, compiled by Numba: buffer, stalls, choice of the next rung.

A player asks for a segment, gets its first byte a round trip later, and asks for the next as soon as its
buffer has room for a whole one. Play begins, and goes on after a stall, when the buffer holds enough.
"""

from __future__ import annotations

from math import exp

from qoe_native.cellsim_data import N_AHEAD, N_PAST, NEVER_MS, Abr, Cell, Play
from qoe_native.cellsim_queue import abandon_transfer, begin_transfer, is_delivered
from qoe_native.cellsim_random import compiled, normal

_WAITING, _PLAYING, _STALLED, _OVER = (int(p) for p in Play)
_RATE, _BBA, _BOLA, _MPC = (int(a) for a in Abr)
_SAFETY_RATIO = 0.8
_CUSHION_RATIO = 0.9  # Huang et al.: the highest rate from 90 % of the buffer on, or where it asks when full
_GAMMA_P = 5.0  # Spiteri et al.
_ROUNDING = 1e-9


@compiled
def play_until(c: Cell, row: int, b: int, now: int) -> None:
    """Play, stall or load up to a time at which the buffer is not yet below empty."""
    player, record, source = c.players[b], c.records[row, b], c.sources[b]
    span = now - player.since_ms
    if span <= 0 or player.play == _OVER:
        return
    player.since_ms = now
    if player.play == _WAITING:
        record.loading_ms += span
    elif player.play == _STALLED:
        record.stall_ms += span
    elif player.play == _PLAYING:
        record.played_ms += span
        while span > 0:
            number = player.played_ms // source.segment_ms
            part = min(span, (number + 1) * source.segment_ms - player.played_ms)
            bps = c.ladder_bps[source.ladder, c.rungs[b, number % c.rungs.shape[1]]]
            record.played_bits += bps * part  # per 1000: divided when the interval ends
            player.played_ms += part
            span -= part


@compiled
def past_throughput(c: Cell, b: int) -> float:
    """Harmonic mean of the throughputs of the last segments, in bps."""
    player = c.players[b]
    n = min(player.n_fetched, N_PAST)
    total = 0.0
    for k in range(n):
        total += 1.0 / player.past_bps[k]
    return n / total  # type: ignore[no-any-return]


@compiled
def _by_rate(c: Cell, b: int) -> int:
    """Highest rung that the throughput carries."""
    ladder = c.sources[b].ladder
    limit = _SAFETY_RATIO * past_throughput(c, b)
    rung = 0
    while rung + 1 < c.n_rungs[ladder] and c.ladder_bps[ladder, rung + 1] <= limit:
        rung += 1
    return rung


@compiled
def _by_buffer(c: Cell, b: int, buffer_ms: int) -> int:
    """BBA-0, algorithm 1 of Huang et al.: leave a rung when the map of the buffer passes its neighbour."""
    source, last = c.sources[b], c.players[b].rung
    ladder, top = source.ladder, c.n_rungs[source.ladder] - 1
    full_ms = min(_CUSHION_RATIO * source.buffer_max_ms, float(source.buffer_max_ms - source.segment_ms))
    if buffer_ms <= source.reservoir_ms:
        return 0
    if buffer_ms >= full_ms:
        return top  # type: ignore[no-any-return]
    lowest, highest = c.ladder_bps[ladder, 0], c.ladder_bps[ladder, top]
    part = (buffer_ms - source.reservoir_ms) / (full_ms - source.reservoir_ms)
    rate = lowest + part * (highest - lowest)
    rung = last
    if last < top and rate >= c.ladder_bps[ladder, last + 1]:
        while rung < top and c.ladder_bps[ladder, rung + 1] < rate:
            rung += 1
    elif last > 0 and rate <= c.ladder_bps[ladder, last - 1]:
        while rung > 0 and c.ladder_bps[ladder, rung - 1] > rate:
            rung -= 1
    return rung  # type: ignore[no-any-return]


@compiled
def _by_lyapunov(c: Cell, b: int, buffer_ms: int) -> int:
    """BOLA-BASIC: the rung with the largest (V (utility + gamma p) - buffer) / size."""
    source = c.sources[b]
    ladder, n_rungs = source.ladder, c.n_rungs[source.ladder]
    held = buffer_ms / source.segment_ms
    v = (source.buffer_max_ms / source.segment_ms - 1.0) / (c.ladder_log[ladder, n_rungs - 1] + _GAMMA_P)
    best = 0
    best_value = 0.0
    for rung in range(n_rungs):
        value = (v * (c.ladder_log[ladder, rung] + _GAMMA_P) - held) / c.ladder_bps[ladder, rung]
        if rung == 0 or value > best_value:
            best, best_value = rung, value
    return best


@compiled
def _by_plan(c: Cell, b: int, buffer_ms: int, n_left: int) -> int:
    """RobustMPC: the first rung of the best plan, exact over all plans by branch and bound.

    The value of a plan is Yin et al.'s QoE_lin in Mbps: bitrates, less their changes, less the highest
    bitrate a second of stall; throughput is the harmonic mean over 1 + the largest error of late. A branch
    ends where even the highest rung to the end would not beat the best plan.
    """
    source, player, plan = c.sources[b], c.players[b], c.plan
    ladder, n_rungs = source.ladder, c.n_rungs[source.ladder]
    error = 0.0
    for k in range(min(player.n_fetched, N_PAST)):
        error = max(error, player.past_error_ratio[k])
    bps = past_throughput(c, b) / (1.0 + error)
    segment_s, most_s = source.segment_ms / 1000.0, source.buffer_max_ms / 1000.0
    top = c.ladder_bps[ladder, n_rungs - 1] / 1e6
    end = min(N_AHEAD, n_left) - 1
    best_value = -1e300
    best = 0
    depth = 0
    plan[0, 0], plan[1, 0], plan[2, 0] = 0.0, 0.0, buffer_ms / 1000.0
    while depth >= 0:
        rung = int(plan[0, depth])
        if rung == n_rungs:
            depth -= 1
            continue
        plan[0, depth] += 1.0
        before = player.rung if depth == 0 else int(plan[0, depth - 1]) - 1
        rate = c.ladder_bps[ladder, rung] / 1e6
        fetch_s = segment_s * rate * 1e6 / bps
        stall_s = max(0.0, fetch_s - plan[2, depth])
        value = plan[1, depth] + rate - abs(rate - c.ladder_bps[ladder, before] / 1e6) - top * stall_s
        if value + (end - depth) * top + _ROUNDING <= best_value:
            continue
        if depth == end:
            if value > best_value:
                best_value, best = value, int(plan[0, 0]) - 1
            continue
        held = min(max(plan[2, depth] - fetch_s, 0.0) + segment_s, most_s)
        depth += 1
        plan[0, depth], plan[1, depth], plan[2, depth] = 0.0, value, held
    return best


@compiled
def _choose(c: Cell, b: int) -> int:
    """Rung of the next segment."""
    source, player = c.sources[b], c.players[b]
    if player.n_fetched == 0:
        return source.start_rung  # type: ignore[no-any-return]
    buffer_ms = player.fetched_ms - player.played_ms
    if source.abr == _RATE:
        return _by_rate(c, b)
    if source.abr == _BBA:
        return _by_buffer(c, b, buffer_ms)
    if source.abr == _BOLA:
        return _by_lyapunov(c, b, buffer_ms)
    n_left = N_AHEAD if source.n_segments == 0 else source.n_segments - player.n_fetched
    return _by_plan(c, b, buffer_ms, n_left)


@compiled
def _request(c: Cell, b: int, now: int) -> None:
    """Ask for the next segment, whose size varies around bitrate times length (log-normal, mean 1)."""
    source, player = c.sources[b], c.players[b]
    player.rung = _choose(c, b)
    player.predicted_bps = past_throughput(c, b) if player.n_fetched > 0 else 0.0
    size = c.ladder_bps[source.ladder, player.rung] * source.segment_ms / 8000.0
    if source.size_sigma > 0.0:
        sigma = source.size_sigma
        size *= exp(sigma * normal(c.state, b) - 0.5 * sigma * sigma)
    player.segment_bytes = max(1, int(size))
    player.fetching = True
    player.request_ms = now
    player.send_ms = now + c.bearers[b].rtt_ms


@compiled
def _finish_segment(c: Cell, row: int, b: int, now: int) -> None:
    """Put a segment into the buffer, log it, and set when to ask for the next."""
    source, player, record = c.sources[b], c.players[b], c.records[row, b]
    bps = player.segment_bytes * 8000.0 / (now - player.request_ms)
    k = player.n_fetched % N_PAST
    player.past_bps[k] = bps
    player.past_error_ratio[k] = abs(player.predicted_bps - bps) / bps if player.n_fetched > 0 else 0.0
    at = c.config[0].n_segments
    if at < c.segments.size:
        entry = c.segments[at]
        entry.bearer = b
        entry.rung = player.rung
        entry.bitrate_bps = c.ladder_bps[source.ladder, player.rung]
        entry.request_ms = player.request_ms
        entry.first_ms = player.first_ms
        entry.done_ms = now
        entry.size_bytes = player.segment_bytes
        entry.duration_ms = source.segment_ms
        entry.media_ms = player.fetched_ms
    c.config[0].n_segments += 1
    record.n_segments += 1
    record.segment_bytes += player.segment_bytes
    c.rungs[b, player.n_fetched % c.rungs.shape[1]] = player.rung
    player.n_fetched += 1
    player.fetched_ms += source.segment_ms
    player.fetching = False
    over = player.fetched_ms - player.played_ms + source.segment_ms - source.buffer_max_ms
    player.next_ms = now + max(0, over)
    if source.live_latency_ms > 0:
        edge = c.bearers[b].start_ms + player.fetched_ms + source.segment_ms - source.live_latency_ms
        player.next_ms = max(player.next_ms, edge)
    if player.n_fetched == source.n_segments:
        player.next_ms = NEVER_MS


@compiled
def _log_stall(c: Cell, b: int, now: int, ended: bool) -> None:
    player = c.players[b]
    at = c.config[0].n_stalls
    if at < c.stalls.size:
        entry = c.stalls[at]
        entry.bearer = b
        entry.initial = player.play == _WAITING
        entry.ended = ended
        entry.start_ms = player.stalled_ms
        entry.duration_ms = now - player.stalled_ms
        entry.media_ms = player.played_ms
    c.config[0].n_stalls += 1


@compiled
def _change_play(c: Cell, b: int, now: int) -> None:
    """Begin to play, stall, or end, as the buffer says."""
    source, player = c.sources[b], c.players[b]
    held = player.fetched_ms - player.played_ms
    complete = player.n_fetched == source.n_segments and player.n_fetched > 0
    if player.play == _PLAYING and held == 0:
        player.play = _OVER if complete else _STALLED
        player.stalled_ms = now
    elif player.play in (_WAITING, _STALLED):
        enough = source.startup_ms if player.play == _WAITING else source.resume_ms
        if held > 0 and (held >= enough or complete):
            _log_stall(c, b, now, True)
            player.play = _PLAYING


@compiled
def step_player(c: Cell, row: int, b: int, now: int) -> None:
    """Whatever is due for a player."""
    player = c.players[b]
    if player.play == _OVER:
        c.state[b].due_ms = NEVER_MS
        return
    play_until(c, row, b, now)
    if player.fetching and player.send_ms == NEVER_MS and is_delivered(c, b, now):
        _finish_segment(c, row, b, now)
    _change_play(c, b, now)
    if now >= c.bearers[b].stop_ms:
        if player.play in (_WAITING, _STALLED):
            _log_stall(c, b, now, False)
        player.play = _OVER
        abandon_transfer(c, b)
    if player.play == _OVER:
        c.state[b].due_ms = NEVER_MS
        return
    if not player.fetching and now >= player.next_ms:
        _request(c, b, now)
    elif player.fetching and now >= player.send_ms:
        player.send_ms = NEVER_MS
        player.first_ms = -1
        begin_transfer(c, b, now, player.segment_bytes)
    due = min(player.send_ms if player.fetching else player.next_ms, c.bearers[b].stop_ms)
    if player.play == _PLAYING:
        due = min(due, now + player.fetched_ms - player.played_ms)
    c.state[b].due_ms = due
