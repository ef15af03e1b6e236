"""Schedulers of the cell simulator, compiled by Numba.

Who gets a resource block group is either a matter of turns (round robin, deficit round robin) or of the
largest metric, which is `metric[0] + metric[1] * bits`, with the bits that a block carries for that user.
Within a subband the winner of one group wins the next as well, until its queue would be empty.
"""

from __future__ import annotations

from math import ceil, exp, log, sqrt

import numpy as np

from qoe_native.cellsim_data import Cell, Scheduler
from qoe_native.cellsim_random import compiled

_ROUND_ROBIN, _MAX_CI, _PF, _WEIGHTED_PF, _M_LWDF, _EXP_PF, _STRICT, _DRR, _AIRTIME, _PER_USER = (
    int(s) for s in Scheduler
)


@compiled
def _urgency(c: Cell, b: int, now: int) -> float:
    """Delay of the packet at the head, times a = -log(delta) / T; 0 or less: not a real-time bearer."""
    if not c.bearers[b].real_time:
        return 0.0
    entry = c.queue[b, c.state[b].head & (c.queue.shape[1] - 1)]
    wait = now + 1 - entry.arrived_ms
    return -log(c.bearers[b].late_ratio) / c.bearers[b].budget_ms * wait  # type: ignore[no-any-return]


@compiled
def _mean_urgency(c: Cell, n_active: int, now: int) -> float:
    total = 0.0
    n = 0
    for k in range(n_active):
        urgency = _urgency(c, c.order[k], now)
        if urgency > 0.0:
            total += urgency
            n += 1
    return total / n if n > 0 else 0.0


@compiled
def _set_metrics(c: Cell, n_active: int, now: int) -> None:
    """Set the metrics of all bearers with a backlog."""
    config, metric = c.config[0], c.metric
    scheduler = config.scheduler
    mean = _mean_urgency(c, n_active, now) if scheduler == _EXP_PF else 0.0
    for k in range(n_active):
        b = c.order[k]
        rate = max(c.state[b].rate_bps, config.rate_floor_bps)
        metric[0, b] = 0.0
        metric[1, b] = 1.0 / rate
        if scheduler == _MAX_CI:
            metric[1, b] = 1.0
        elif scheduler == _PER_USER:
            metric[1, b] = 1.0 / max(c.users[c.bearers[b].user].rate_bps, config.rate_floor_bps)
        elif scheduler == _WEIGHTED_PF:
            if config.rate_exponent != 1.0:
                rate = rate**config.rate_exponent
            metric[1, b] = c.bearers[b].weight / rate
        elif scheduler == _M_LWDF:
            urgency = _urgency(c, b, now)
            if urgency > 0.0:
                metric[1, b] *= urgency
        elif scheduler == _EXP_PF:
            urgency = _urgency(c, b, now)
            if urgency > 0.0:
                metric[1, b] *= exp((urgency - mean) / (1.0 + sqrt(mean)))
        elif scheduler == _AIRTIME:
            _set_airtime_metric(c, b)


@compiled
def _set_airtime_metric(c: Cell, b: int) -> None:
    """Start-time fair queueing: who comes back starts at the virtual time; the lowest start goes first."""
    state, config = c.state[b], c.config[0]
    state.virtual_rb = max(state.virtual_rb, config.virtual_rb)
    c.metric[0, b] = config.virtual_rb - state.virtual_rb
    c.metric[1, b] = 0.0
    mean = c.users[c.bearers[b].user].bits_mean
    if mean > 0.0:
        c.metric[1, b] = config.opportunism_ms * config.n_rb / mean


@compiled
def _need_bits(c: Cell, b: int) -> float:
    """Bits that a bearer has beyond what it was granted this TTI."""
    return c.state[b].backlog_bytes * 8.0 - c.state[b].bits  # type: ignore[no-any-return]


@compiled
def _grant(c: Cell, b: int, group: int, n: int, bits: float) -> int:
    """Grant n groups; returns their resource blocks."""
    rbg, n_rb = c.config[0].rbg_rb, c.config[0].n_rb
    blocks = min((group + n) * rbg, n_rb) - group * rbg
    c.state[b].n_rb += blocks
    c.state[b].bits += blocks * bits
    return blocks  # type: ignore[no-any-return]


@compiled
def _subband_of(c: Cell, group: int) -> int:
    n_groups = (c.config[0].n_rb + c.config[0].rbg_rb - 1) // c.config[0].rbg_rb
    return group * c.bits.shape[1] // n_groups  # type: ignore[no-any-return]


@compiled
def _n_alike(c: Cell, group: int, n_groups: int) -> int:
    """Groups from this one on, up to n_groups, that lie in its subband."""
    if c.bits.shape[1] == 1:
        return n_groups - group
    subband = _subband_of(c, group)
    n = 1
    while group + n < n_groups and _subband_of(c, group + n) == subband:
        n += 1
    return n


@compiled
def _best(c: Cell, n_active: int, subband: int, strict: bool) -> int:
    """Bearer with the largest metric among those that need more, -1 for none; ties go to the first."""
    best = -1
    best_value = 0.0
    best_level = 0
    for k in range(n_active):
        b = c.order[k]
        user = c.bearers[b].user
        if c.bits[user, subband] <= 0.0 or _need_bits(c, b) <= 0.0:
            continue
        value = c.metric[0, b] + c.metric[1, b] * c.metric_bits[user, subband]
        level = c.bearers[b].priority if strict else 0
        if best < 0 or level < best_level or (level == best_level and value > best_value):
            best, best_value, best_level = b, value, level
    return best


@compiled
def _arrived_ms(c: Cell, b: int) -> int:
    """When the data at the head of a queue came."""
    return c.queue[b, c.state[b].head & (c.queue.shape[1] - 1)].arrived_ms  # type: ignore[no-any-return]


@compiled
def _oldest_first(c: Cell, n_active: int) -> None:
    """Order the bearers with a backlog by the age of their heads: of equal metrics the first wins."""
    for k in range(1, n_active):
        b = c.order[k]
        arrived = _arrived_ms(c, b)
        at = k
        while at > 0 and _arrived_ms(c, c.order[at - 1]) > arrived:
            c.order[at] = c.order[at - 1]
            at -= 1
        c.order[at] = b


@compiled
def _share_by_metric(c: Cell, n_active: int, n_groups: int, now: int) -> None:
    config = c.config[0]
    strict = config.scheduler == _STRICT
    if config.scheduler == _PER_USER:
        _oldest_first(c, n_active)
    _set_metrics(c, n_active, now)
    group = 0
    while group < n_groups:
        subband = _subband_of(c, group)
        alike = _n_alike(c, group, n_groups)
        b = _best(c, n_active, subband, strict)
        if b < 0:
            group += alike
            continue
        bits = c.bits[c.bearers[b].user, subband]
        n = min(alike, ceil(_need_bits(c, b) / (bits * config.rbg_rb)))
        blocks = _grant(c, b, group, n, bits)
        group += n
        if config.scheduler == _AIRTIME:
            c.state[b].virtual_rb += blocks / c.bearers[b].weight
            c.metric[0, b] = config.virtual_rb - c.state[b].virtual_rb
    if config.scheduler == _AIRTIME:
        _advance_virtual_time(c, n_active)


@compiled
def _in_range(c: Cell, b: int) -> bool:
    """Whether any subband carries anything."""
    u = c.bearers[b].user
    most = 0.0
    for subband in range(c.bits.shape[1]):
        most = max(most, c.bits[u, subband])
    return most > 0.0


@compiled
def _advance_virtual_time(c: Cell, n_active: int) -> None:
    """Virtual time is the lowest tag of those who go on; when nobody does, the highest given."""
    lowest = np.inf
    highest = c.config[0].virtual_rb
    for k in range(n_active):
        b = c.order[k]
        highest = max(highest, c.state[b].virtual_rb)
        if _need_bits(c, b) > 0.0 and _in_range(c, b):
            lowest = min(lowest, c.state[b].virtual_rb)
    c.config[0].virtual_rb = max(c.config[0].virtual_rb, lowest) if lowest < np.inf else highest


@compiled
def _next_in_turn(c: Cell, n_active: int, subband: int) -> int:
    """Bearer in need at or after the turn, -1 for none."""
    first = -1
    for k in range(n_active):
        b = c.order[k]
        if c.bits[c.bearers[b].user, subband] > 0.0 and _need_bits(c, b) > 0.0:
            if b >= c.config[0].turn:
                return b  # type: ignore[no-any-return]
            if first < 0:
                first = b
    return first


@compiled
def _share_in_turn(c: Cell, n_active: int, n_groups: int) -> None:
    """Round robin: a group each."""
    for group in range(n_groups):
        subband = _subband_of(c, group)
        b = _next_in_turn(c, n_active, subband)
        if b >= 0:
            _grant(c, b, group, 1, c.bits[c.bearers[b].user, subband])
            c.config[0].turn = b + 1


@compiled
def _share_by_deficit(c: Cell, n_active: int, n_groups: int) -> None:
    """Deficit round robin: a bearer sends while its deficit lasts, over several TTIs if need be."""
    config = c.config[0]
    group = 0
    while group < n_groups:
        subband = _subband_of(c, group)
        b = _next_in_turn(c, n_active, subband)
        if b < 0:
            group += _n_alike(c, group, n_groups)
            continue
        state = c.state[b]
        if config.turn != b or state.deficit_bytes <= 0.0:  # its turn begins
            state.deficit_bytes += c.bearers[b].weight * config.quantum_bytes
            if state.deficit_bytes <= 0.0:
                config.turn = b + 1
                continue
        bits = c.bits[c.bearers[b].user, subband]
        wanted = min(_need_bits(c, b), 8.0 * state.deficit_bytes)
        n = min(_n_alike(c, group, n_groups), max(1, ceil(wanted / (bits * config.rbg_rb))))
        need = _need_bits(c, b)
        blocks = _grant(c, b, group, n, bits)
        group += n
        state.deficit_bytes -= min(blocks * bits, need) / 8.0
        config.turn = b
        if _need_bits(c, b) <= 0.0:
            state.deficit_bytes = min(state.deficit_bytes, 0.0)
        if state.deficit_bytes <= 0.0:
            config.turn = b + 1


@compiled
def schedule(c: Cell, n_active: int, n_groups: int, now: int) -> None:
    """Grant the first n_groups groups to the bearers in `order`, which have a backlog."""
    if c.config[0].scheduler == _ROUND_ROBIN:
        _share_in_turn(c, n_active, n_groups)
    elif c.config[0].scheduler == _DRR:
        _share_by_deficit(c, n_active, n_groups)
    else:
        _share_by_metric(c, n_active, n_groups, now)
