"""Queues of the cell simulator, and the TCP connections that fill some of them; compiled by Numba.

A queue is a first-in first-out ring of packets, or of what a TCP sender sent in one millisecond. A TCP
connection is a window of bytes: what is delivered comes back as an acknowledgement after the round trip
without the queue, so that the queue's delay adds by itself. What a full queue drops is noticed a round trip
after the gap reached the receiver, sent again, and cuts the window once.
"""

from __future__ import annotations

from qoe_native.cellsim_data import NEVER_MS, PACKET_BYTES, Cell
from qoe_native.cellsim_random import compiled

TICK, SPURT, FRAME = 1, 2, 3
_ALPHA = 0.98  # Ramjee et al. take 0.998, which needs ten seconds to see a change
_RESTART_MS = 200  # least timeout of Linux: RFC 5681 section 4.1 restarts after a timeout's idleness
_CUBIC_C, _CUBIC_BETA, _FRIENDLY = 0.4, 0.7, 3.0 * (1.0 - 0.7) / (1.0 + 0.7)  # RFC 9438


@compiled
def n_packets(size: int) -> int:
    """Packets that a stream of so many bytes is counted as."""
    return (size + PACKET_BYTES - 1) // PACKET_BYTES


@compiled
def enqueue(c: Cell, row: int, b: int, now: int, size: int, accepted: int, what: int) -> int:
    """Offer `size` bytes to a queue, which takes up to `accepted` of them; return what it took."""
    record, state = c.records[row, b], c.state[b]
    capacity = c.queue.shape[1]
    if accepted <= 0 or state.n_queued == capacity:
        accepted = 0
    record.offered_bytes += size
    record.n_offered += n_packets(size)
    if accepted < size:
        record.dropped_bytes += size - accepted
        record.n_dropped += n_packets(size - accepted)
    if accepted > 0:
        entry = c.queue[b, (state.head + state.n_queued) & (capacity - 1)]
        entry.arrived_ms = now
        entry.size_bytes = accepted
        entry.left_bytes = accepted
        entry.what = what
        state.n_queued += 1
        state.backlog_bytes += accepted
    return accepted


@compiled
def offer(c: Cell, row: int, b: int, now: int, size: int, what: int) -> bool:
    """Offer a packet or a frame, which fits as a whole or is dropped; return whether it fitted."""
    fits = c.state[b].backlog_bytes + size <= c.bearers[b].queue_limit_bytes
    return enqueue(c, row, b, now, size, size if fits else 0, what) > 0


@compiled
def note_outcome(c: Cell, row: int, b: int, lost: bool) -> None:
    """Count a run of voice packets that did not get through in time."""
    if lost and not c.flows[b].lost:
        c.records[row, b].voice_gaps += 1
    c.flows[b].lost = lost


@compiled
def _hear(c: Cell, row: int, b: int, delay: float, spurt: bool) -> None:
    """Receiver of voice packets or ticks: those that miss their time of play are discarded."""
    flow, record, source = c.flows[b], c.records[row, b], c.sources[b]
    if flow.delay_ms < 0.0:
        flow.delay_ms = delay
    flow.delay_ms = _ALPHA * flow.delay_ms + (1.0 - _ALPHA) * delay
    flow.deviation_ms = _ALPHA * flow.deviation_ms + (1.0 - _ALPHA) * abs(flow.delay_ms - delay)
    if spurt and source.jitter_adaptive:
        wait = flow.delay_ms + 4.0 * flow.deviation_ms
        flow.playout_ms = min(max(wait, source.period_ms), source.jitter_buffer_ms)
    late = delay > flow.playout_ms
    note_outcome(c, row, b, late)
    if late:
        record.voice_discarded += 1
    else:
        record.n_voice += 1
        record.playout_sum_ms += flow.playout_ms


@compiled
def _complete(c: Cell, row: int, b: int, size: int, what: int, delay: float) -> None:
    """Book an entry of the queue whose last byte was delivered."""
    record, state, flow = c.records[row, b], c.state[b], c.flows[b]
    n = n_packets(size)
    late = delay > c.bearers[b].budget_ms
    record.n_served += n
    record.delay_sum_ms += n * delay
    record.delay_sq_sum_ms2 += n * delay * delay
    record.delay_max_ms = max(record.delay_max_ms, delay)
    if late:
        record.n_late += n
    if state.transit_ms >= 0.0:
        state.jitter_ms += (abs(delay - state.transit_ms) - state.jitter_ms) / 16.0
    state.transit_ms = delay
    if what == FRAME:
        flow.worst_ms = max(flow.worst_ms, delay)
        if not late:
            record.n_frames += 1
            record.frame_bytes += size
    elif what != 0:
        _hear(c, row, b, delay, what == SPURT)


@compiled
def serve(c: Cell, row: int, b: int, at: int, size: int) -> None:
    """Take bytes out of a queue; they are delivered at a time, or after what went before."""
    state, tcp = c.state[b], c.tcp[b]
    at = max(at, state.delivered_ms)
    state.delivered_ms = at
    state.backlog_bytes -= size
    c.records[row, b].served_bytes += size
    c.flows[b].feedback_bytes += size
    rest = size
    while rest > 0:
        entry = c.queue[b, state.head & (c.queue.shape[1] - 1)]
        part = min(rest, entry.left_bytes)
        entry.left_bytes -= part
        rest -= part
        if entry.left_bytes == 0:
            state.head += 1
            state.n_queued -= 1
            _complete(c, row, b, entry.size_bytes, entry.what, float(at - entry.arrived_ms))
    if tcp.active:
        _receive(c, b, at, size)


@compiled
def _receive(c: Cell, b: int, at: int, size: int) -> None:
    """TCP receiver: acknowledge, and wake the source at the first and the last bytes."""
    tcp = c.tcp[b]
    back = at + c.bearers[b].rtt_ms
    c.acks[b, back & (c.acks.shape[1] - 1)] += size
    tcp.served_bytes += size
    if 0 <= tcp.lost_mark < tcp.served_bytes:
        tcp.lost_mark = -1
        tcp.notice_ms = back
    if c.players[b].first_ms < 0:
        c.players[b].first_ms = at
    if tcp.wanted_bytes > 0:
        tcp.wanted_bytes = max(0, tcp.wanted_bytes - size)
        if tcp.wanted_bytes == 0:
            c.state[b].due_ms = min(c.state[b].due_ms, at)


@compiled
def begin_transfer(c: Cell, b: int, now: int, size: int) -> None:
    """Give a TCP sender bytes to send."""
    tcp, source = c.tcp[b], c.sources[b]
    if not tcp.active and now - tcp.idle_since_ms > _RESTART_MS + c.bearers[b].rtt_ms:
        tcp.window_bytes = min(tcp.window_bytes, float(source.initial_window_bytes))
    tcp.left_bytes += size
    tcp.wanted_bytes += size
    tcp.active = True


@compiled
def is_delivered(c: Cell, b: int, now: int) -> bool:
    """Whether all of the transfer has arrived."""
    return c.tcp[b].wanted_bytes == 0 and c.state[b].delivered_ms <= now  # type: ignore[no-any-return]


@compiled
def connect(c: Cell, b: int) -> None:
    """Start a TCP connection anew."""
    tcp, source = c.tcp[b], c.sources[b]
    tcp.window_bytes = float(min(source.initial_window_bytes, source.window_max_bytes))
    tcp.threshold_bytes = float(source.window_max_bytes)
    tcp.peak_bytes = 0.0
    tcp.epoch_ms = -1


@compiled
def abandon_transfer(c: Cell, b: int) -> None:
    """Let a TCP sender send nothing more; what it sent is delivered."""
    tcp = c.tcp[b]
    tcp.left_bytes = tcp.wanted_bytes = 0


@compiled
def _grow(c: Cell, b: int, now: int, acked: int) -> None:
    """Open the window for acknowledged bytes."""
    tcp, mss = c.tcp[b], c.sources[b].mss_bytes
    window = tcp.window_bytes
    if window < tcp.threshold_bytes:
        more = float(acked)
    else:
        more = acked * mss / window
        if c.sources[b].cubic:
            more = max(more * _FRIENDLY, _cubic_rise(c, b, now) * (acked / window))
    tcp.window_bytes = min(window + more, float(c.sources[b].window_max_bytes))


@compiled
def _cubic_rise(c: Cell, b: int, now: int) -> float:
    """How far CUBIC's curve a round trip ahead is above the window, in bytes (RFC 9438 section 4.2)."""
    tcp, mss = c.tcp[b], c.sources[b].mss_bytes
    window = tcp.window_bytes
    if tcp.epoch_ms < 0:
        tcp.epoch_ms = now
        tcp.peak_bytes = max(tcp.peak_bytes, window)
        tcp.plateau_s = ((tcp.peak_bytes - window) / mss / _CUBIC_C) ** (1.0 / 3.0)
    x = (now + c.bearers[b].rtt_ms - tcp.epoch_ms) / 1000.0 - tcp.plateau_s
    target = tcp.peak_bytes + _CUBIC_C * x * x * x * mss
    return min(max(target, window), 1.5 * window) - window  # type: ignore[no-any-return]


@compiled
def _cut(c: Cell, b: int) -> None:
    """Learn of a loss: what was lost is to be sent again, the window shrinks."""
    tcp, source = c.tcp[b], c.sources[b]
    tcp.flight_bytes -= tcp.lost_bytes
    if tcp.wanted_bytes > 0:
        tcp.left_bytes += tcp.lost_bytes
    tcp.lost_bytes = 0
    tcp.notice_ms = NEVER_MS
    tcp.peak_bytes = tcp.window_bytes
    tcp.epoch_ms = -1
    shrunk = tcp.window_bytes * (_CUBIC_BETA if source.cubic else 0.5)
    tcp.window_bytes = max(shrunk, 2.0 * source.mss_bytes)
    tcp.threshold_bytes = tcp.window_bytes


@compiled
def step_tcp(c: Cell, row: int, b: int, now: int) -> None:
    """One millisecond of a TCP sender: acknowledgements, news of losses, new data."""
    tcp, state, mss = c.tcp[b], c.state[b], c.sources[b].mss_bytes
    slot = now & (c.acks.shape[1] - 1)
    acked = c.acks[b, slot]
    c.acks[b, slot] = 0
    if acked > 0:
        # a window that is not used does not grow (RFC 7661)
        if 2 * tcp.flight_bytes >= tcp.window_bytes:
            _grow(c, b, now, acked)
        tcp.flight_bytes -= acked
    if tcp.notice_ms <= now:
        _cut(c, b)
    size = min(tcp.left_bytes, int(tcp.window_bytes) - tcp.flight_bytes)
    if 0 < size < tcp.left_bytes:
        size -= size % mss
    if size > 0:
        _send(c, row, b, now, size)
    if tcp.left_bytes == 0 and tcp.flight_bytes == 0:
        tcp.active = False
        tcp.idle_since_ms = now
    elif state.backlog_bytes == 0 and tcp.lost_mark >= 0:
        tcp.lost_mark = -1  # nothing follows the gap: a probe shows it (RFC 8985 section 7)
        tcp.notice_ms = now + c.bearers[b].rtt_ms


@compiled
def _send(c: Cell, row: int, b: int, now: int, size: int) -> None:
    """Send into the queue; note what it drops."""
    tcp, mss = c.tcp[b], c.sources[b].mss_bytes
    room = c.bearers[b].queue_limit_bytes - c.state[b].backlog_bytes
    accepted = size if size <= room else max(0, room - room % mss)
    accepted = enqueue(c, row, b, now, size, accepted, 0)
    tcp.left_bytes -= size
    tcp.flight_bytes += size
    if accepted < size:
        tcp.lost_bytes += size - accepted
        if tcp.lost_mark < 0 and tcp.notice_ms == NEVER_MS:
            tcp.lost_mark = tcp.served_bytes + c.state[b].backlog_bytes
