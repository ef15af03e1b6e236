"""Sources of the cell simulator other than players, compiled by Numba: calls, games, pages, downloads."""

from __future__ import annotations

from math import ceil, exp

from qoe_native.cellsim_data import NEVER_MS, Cell, Source
from qoe_native.cellsim_queue import (
    FRAME,
    SPURT,
    TICK,
    abandon_transfer,
    begin_transfer,
    connect,
    enqueue,
    is_delivered,
    note_outcome,
    offer,
)
from qoe_native.cellsim_random import compiled, exponential, normal
from qoe_native.cellsim_video import step_player

_VIDEO, _VOIP, _VIDEO_CALL, _GAME, _CLOUD_GAME, _WEB, _BULK, _OTHER, _FULL_BUFFER = (int(s) for s in Source)
_SPURT_PACKETS = 50  # without pauses the receiver adapts after so many packets
_ENDLESS_BYTES = 1 << 50
_LEAST_FRAME_BYTES = 100
# Google congestion control, Carlucci et al., IEEE/ACM Trans. Netw. 25, 2017, sections 4.3 and 4.4
_FEEDBACK_MS = 100
_LOSS_HIGH, _LOSS_LOW = 0.1, 0.02
_RISE_A_SECOND, _FALL_RATIO, _RECEIVED_RATIO = 1.08, 0.85, 1.5


@compiled
def _voice_size(c: Cell, b: int) -> int:
    """Bytes of a packet of voice, or of a game's tick, which varies."""
    source = c.sources[b]
    if c.bearers[b].kind != _GAME or source.size_sigma == 0.0:
        return source.packet_bytes  # type: ignore[no-any-return]
    size = source.packet_bytes * exp(source.size_sigma * normal(c.state, b))
    return int(min(max(size, 20.0), 1500.0))


@compiled
def _step_voice(c: Cell, row: int, b: int, now: int, period: float) -> None:
    """Packets at equal distances, in talk spurts where there are pauses."""
    flow, source, record = c.flows[b], c.sources[b], c.records[row, b]
    while flow.voice_ms <= now:
        if source.pause_ms > 0.0 and flow.voice_ms >= flow.spurt_end_ms:
            flow.voice_ms = flow.spurt_end_ms + exponential(c.state, b, source.pause_ms)
            flow.spurt_end_ms = flow.voice_ms + exponential(c.state, b, source.talk_ms)
            flow.spurt_packets = 0
            continue
        what = SPURT if flow.spurt_packets % _SPURT_PACKETS == 0 else TICK
        if source.pause_ms > 0.0 and flow.spurt_packets > 0:
            what = TICK
        flow.spurt_packets += 1
        record.voice_sent += 1
        if not offer(c, row, b, now, _voice_size(c, b), what):
            record.voice_dropped += 1
            note_outcome(c, row, b, True)
        flow.voice_ms += period


@compiled
def _step_frames(c: Cell, row: int, b: int, now: int) -> None:
    """Frames at equal distances, sized by the rate."""
    flow, source, record = c.flows[b], c.sources[b], c.records[row, b]
    while flow.next_ms <= now:
        size = flow.rate_bps * source.period_ms / 8000.0
        if source.size_sigma > 0.0:
            sigma = source.size_sigma
            size *= exp(sigma * normal(c.state, b) - 0.5 * sigma * sigma)
        record.n_frames_sent += 1
        flow.n_offered += 1
        if not offer(c, row, b, now, max(_LEAST_FRAME_BYTES, int(size)), FRAME):
            flow.n_dropped += 1
        flow.next_ms += source.period_ms
    if source.rate_min_bps < source.rate_max_bps and flow.feedback_ms <= now:
        _adapt_rate(c, b, now)


@compiled
def _adapt_rate(c: Cell, b: int, now: int) -> None:
    """Follow delay and loss, as Google congestion control: once a round trip and 100 ms.

    A delay over half the budget is taken as overuse.
    """
    flow, source = c.flows[b], c.sources[b]
    span_ms = c.bearers[b].rtt_ms + _FEEDBACK_MS
    received_bps = flow.feedback_bytes * 8000.0 / span_ms
    loss = flow.n_dropped / flow.n_offered if flow.n_offered > 0 else 0.0
    rate = flow.rate_bps
    if loss > _LOSS_HIGH:
        rate *= 1.0 - 0.5 * loss
    elif flow.worst_ms > 0.5 * c.bearers[b].budget_ms:
        rate = min(rate, _FALL_RATIO * received_bps)
    elif loss < _LOSS_LOW and flow.feedback_bytes > 0:
        rise = 1.0 + (_RISE_A_SECOND - 1.0) * span_ms / 1000.0
        rate = min(rate * rise, max(rate, _RECEIVED_RATIO * received_bps))
    flow.rate_bps = min(max(rate, source.rate_min_bps), source.rate_max_bps)
    flow.feedback_ms = now + span_ms
    flow.feedback_bytes = flow.n_offered = flow.n_dropped = 0
    flow.worst_ms = 0.0


@compiled
def _step_packets(c: Cell, row: int, b: int, now: int) -> None:
    """Poisson packets."""
    flow, source = c.flows[b], c.sources[b]
    while flow.next_ms <= now:
        offer(c, row, b, now, source.packet_bytes, 0)
        flow.next_ms += exponential(c.state, b, source.period_ms)


@compiled
def _begin_fetch(c: Cell, b: int, now: int) -> None:
    """Begin a page or a download over a new connection."""
    flow, source = c.flows[b], c.sources[b]
    size = source.size_bytes
    objects = 1.0
    if source.size_sigma > 0.0:
        size *= exp(source.size_sigma * normal(c.state, b))
    if c.bearers[b].kind == _WEB:
        objects = source.n_objects * exp(source.objects_sigma * normal(c.state, b))
    flow.n_objects = max(1, int(objects + 0.5))
    flow.fetch_bytes = max(flow.n_objects, int(size)) if size > 0.0 else _ENDLESS_BYTES
    flow.round = min(max(1, source.n_rounds), flow.n_objects)
    # the first round fetches one object, the others share the rest
    flow.round_bytes = flow.fetch_bytes // flow.n_objects if flow.round > 1 else flow.fetch_bytes
    flow.rest_bytes = flow.fetch_bytes - flow.round_bytes
    flow.start_ms = now
    flow.send_ms = now + (source.setup_rtts + 1) * c.bearers[b].rtt_ms
    connect(c, b)


@compiled
def _finish_round(c: Cell, row: int, b: int, now: int) -> None:
    """Ask for the next round of a page, or end the page."""
    flow, record = c.flows[b], c.records[row, b]
    flow.round -= 1
    if flow.round > 0:
        flow.round_bytes = flow.rest_bytes // flow.round
        flow.rest_bytes -= flow.round_bytes
        flow.send_ms = now + c.bearers[b].rtt_ms
        return
    at = c.config[0].n_fetches
    if at < c.fetches.size:
        entry = c.fetches[at]
        entry.bearer = b
        entry.n_objects = flow.n_objects
        entry.start_ms = flow.start_ms
        entry.done_ms = now
        entry.size_bytes = flow.fetch_bytes
    c.config[0].n_fetches += 1
    record.n_fetches += 1
    record.fetch_sum_ms += now - flow.start_ms
    record.fetch_bytes += flow.fetch_bytes
    flow.start_ms = -1
    pause = c.sources[b].pause_ms
    flow.next_ms = now + (exponential(c.state, b, pause) if pause > 0.0 else 1.0)


@compiled
def _step_fetch(c: Cell, row: int, b: int, now: int) -> None:
    """Whatever is due for a reader of pages or a downloader."""
    flow = c.flows[b]
    if flow.start_ms >= 0 and flow.send_ms == NEVER_MS and is_delivered(c, b, now):
        _finish_round(c, row, b, now)
    if flow.start_ms < 0 and flow.next_ms <= now:
        _begin_fetch(c, b, now)
    elif flow.start_ms >= 0 and flow.send_ms <= now:
        flow.send_ms = NEVER_MS
        begin_transfer(c, b, now, flow.round_bytes)
    c.state[b].due_ms = flow.send_ms if flow.start_ms >= 0 else ceil(flow.next_ms)


@compiled
def _fill(c: Cell, row: int, b: int, now: int) -> None:
    """Keep a queue at least half full."""
    room = c.bearers[b].queue_limit_bytes - c.state[b].backlog_bytes
    if 2 * room >= c.bearers[b].queue_limit_bytes:
        enqueue(c, row, b, now, room, room, 0)
    c.state[b].due_ms = NEVER_MS  # until some of it is served


@compiled
def step_source(c: Cell, row: int, b: int, now: int) -> None:
    """Whatever is due for the source of a bearer; sets when it is to be asked next."""
    kind, state, flow, source = c.bearers[b].kind, c.state[b], c.flows[b], c.sources[b]
    stop = c.bearers[b].stop_ms
    if kind == _VIDEO:
        step_player(c, row, b, now)
        return
    if now >= stop:
        abandon_transfer(c, b)
        state.due_ms = NEVER_MS
        return
    if kind in (_VOIP, _GAME):
        _step_voice(c, row, b, now, source.period_ms)
        state.due_ms = ceil(flow.voice_ms)
    elif kind in (_VIDEO_CALL, _CLOUD_GAME):
        _step_frames(c, row, b, now)
        state.due_ms = ceil(flow.next_ms)
        if source.rate_min_bps < source.rate_max_bps:
            state.due_ms = min(state.due_ms, flow.feedback_ms)
        if kind == _VIDEO_CALL and source.packet_bytes > 0:
            _step_voice(c, row, b, now, source.voice_period_ms)
            state.due_ms = min(state.due_ms, ceil(flow.voice_ms))
    elif kind in (_WEB, _BULK):
        _step_fetch(c, row, b, now)
    elif kind == _OTHER:
        _step_packets(c, row, b, now)
        state.due_ms = ceil(flow.next_ms)
    elif kind == _FULL_BUFFER:
        _fill(c, row, b, now)
    state.due_ms = min(state.due_ms, stop)
