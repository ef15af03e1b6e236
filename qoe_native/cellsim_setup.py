"""Making of a cell for the simulator: defaults, checks, and all the memory that a run needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qoe_native.cellsim_channel import efficiency_bits
from qoe_native.cellsim_data import (
    BEARER_DTYPE,
    CONFIG_DTYPE,
    FETCH_DTYPE,
    FLOW_DTYPE,
    N_AHEAD,
    NEVER_MS,
    PLAYER_DTYPE,
    QUEUE_DTYPE,
    RECORD_DTYPE,
    SEGMENT_DTYPE,
    SOURCE_DTYPE,
    STALL_DTYPE,
    STATE_DTYPE,
    TCP_DTYPE,
    USER_DTYPE,
    Abr,
    Cell,
    Scheduler,
    Source,
)
from qoe_native.cellsim_defaults import CONFIG_DEFAULTS, DEFAULTS, LADDER_BPS, USER_DEFAULTS

_ABOVE_0 = (
    *("n_rb", "rbg_rb", "interval_ms", "rate_window_ms", "rate_floor_bps", "quantum_bytes", "cqi_step_ms"),
    *("radio_step_ms", "harq_ms", "fading_ms", "weight", "budget_ms", "late_ratio", "queue_limit_bytes"),
    *("rtt_ms", "period_ms", "voice_period_ms", "segment_ms", "buffer_max_ms", "mss_bytes", "n_rounds"),
    *("initial_window_bytes", "window_max_bytes"),
)
_LEAST_WEIGHT = 1e-3
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def make_cell(
    config: Mapping[str, Any],
    users: Sequence[Mapping[str, Any]],
    bearers: Sequence[Mapping[str, Any]],
    cqi: npt.ArrayLike,
    *,
    duration_ms: int,
    ladders: Sequence[Sequence[float]] = (LADDER_BPS,),
    bits_per_rb: npt.ArrayLike | None = None,
    metric_bits_per_rb: npt.ArrayLike | None = None,
    log_capacity: int | None = None,
    queue_capacity: int = 4096,
) -> Cell:
    """Check a scenario and take all the memory that simulating it needs.

    Parameters
    ----------
    config : mapping
        Settings of CONFIG_DTYPE; what is missing comes from CONFIG_DEFAULTS, ``rbg_rb`` from 3GPP TS 36.213
        table 7.1.6.1-1, ``radio_step_ms`` is 10 or what divides the CQI's step and delay.
    users : sequence of mapping
        Settings of USER_DTYPE; by default user i has row i of `cqi`, from its beginning, without fading on
        top.
    bearers : sequence of mapping
        Settings of BEARER_DTYPE and SOURCE_DTYPE; ``user`` and ``kind`` must be there, what else is missing
        comes from ``DEFAULTS[kind]``.
    cqi : array_like of int, shape (n_rows, n_steps) or (n_rows, n_steps, n_subbands)
        CQI series, 0 to 15; they repeat.
    duration_ms : int
        What the records are to cover.
    ladders : sequence of sequence of float
        Media bitrates of the players in bps, ascending; ``ladder`` of a bearer is a place here.
    bits_per_rb : array_like of float, shape (16,), optional
        Bits that a resource block carries in a TTI, by CQI; by default :func:`efficiency_bits`.
    metric_bits_per_rb : array_like of float, shape (16,), optional
        What the scheduler's metric takes a block to carry, where that is not the same: some work out the rate
        from the transport block of a single group, whose size is coarse.
    log_capacity : int, optional
        Entries of each of the logs; by default enough for a player's shortest segments.
    queue_capacity : int
        Packets that a bearer's queue holds, a power of two.

    Returns
    -------
    Cell

    Raises
    ------
    ValueError
        What is wrong, by its path: ``bearers[3].abr: ...``.
    """
    series = _checked_cqi(cqi)
    bits = _checked_bits("bits_per_rb", efficiency_bits() if bits_per_rb is None else bits_per_rb)
    if metric_bits_per_rb is None:
        metric_bits_per_rb = bits
    metric_bits = _checked_bits("metric_bits_per_rb", metric_bits_per_rb)
    if duration_ms < 1:
        raise ValueError(f"duration_ms: {duration_ms} is not 1 or more")
    if queue_capacity < 1 or queue_capacity & (queue_capacity - 1):
        raise ValueError(f"queue_capacity: {queue_capacity} is not a power of two")
    settings = _make_config(config)
    people = _make_users(users, series, settings)
    ladder_bps, n_rungs = _make_ladders(ladders)
    records, sources = _make_bearers(bearers, len(people), n_rungs)
    return _take_memory(
        settings,
        people,
        records,
        sources,
        series,
        bits,
        metric_bits,
        ladder_bps,
        n_rungs,
        n_intervals=-(-duration_ms // int(settings["interval_ms"][0])),
        log_capacity=log_capacity or 64 + len(records) * (16 + duration_ms // 250),
        queue_capacity=queue_capacity,
    )


def _checked_bits(where: str, bits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    checked = np.array(bits, np.float64)
    if checked.shape != (16,) or not np.all(np.isfinite(checked)) or np.any(checked < 0.0):
        raise ValueError(f"{where}: 16 finite numbers of 0 or more, by CQI, are needed")
    return np.asarray(np.round(checked * 1024.0) / 1024.0)  # sums of these are exact, in whatever order


def _checked_cqi(cqi: npt.ArrayLike) -> npt.NDArray[np.int8]:
    series = np.asarray(cqi)
    if series.ndim == 2:
        series = series[:, :, None]
    if series.ndim != 3 or 0 in series.shape:
        raise ValueError(
            f"cqi: shape {series.shape} is not (n_rows, n_steps) or (n_rows, n_steps, n_subbands)"
        )
    if not np.issubdtype(series.dtype, np.integer):
        raise ValueError(f"cqi: whole numbers are needed, not {series.dtype}")
    if series.min() < 0 or series.max() > 15:
        row = int(np.argmax(((series < 0) | (series > 15)).any(axis=(1, 2))))
        raise ValueError(f"cqi[{row}]: values are not all from 0 to 15")
    return np.ascontiguousarray(series, np.int8)


def _fill(record: Any, values: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    """Set fields of a record, checked."""
    for name, value in values.items():
        if name not in allowed:
            raise ValueError(f"{where}.{name}: no such setting: there are {', '.join(allowed)}")
        number = float(value)
        if not math.isfinite(number) or number < 0.0 or (number == 0.0 and name in _ABOVE_0):
            least = "above 0" if name in _ABOVE_0 else "0 or more"
            raise ValueError(f"{where}.{name}: {value} is not a number {least}")
        if record.dtype[name].kind in "iu" and number != int(number):
            raise ValueError(f"{where}.{name}: {value} is not a whole number")
        record[name] = value


def _settings_of(dtype: np.dtype[Any], first_state: str | None = None) -> list[str]:
    names = list(dtype.names or ())
    return names if first_state is None else names[: names.index(first_state)]


def _make_config(config: Mapping[str, Any]) -> npt.NDArray[Any]:
    records = np.zeros(1, CONFIG_DTYPE)
    merged = CONFIG_DEFAULTS | dict(config)
    _fill(records[0], merged, _settings_of(CONFIG_DTYPE, "now_ms"), "config")
    c = records[0]
    if c["scheduler"] not in list(Scheduler):
        raise ValueError(f"config.scheduler: {c['scheduler']} is none of Scheduler's")
    if c["bler_ratio"] >= 1.0:
        raise ValueError(f"config.bler_ratio: {c['bler_ratio']} is not below 1")
    if "rbg_rb" not in config:
        c["rbg_rb"] = 1 + sum(int(c["n_rb"]) > edge for edge in (10, 26, 63))
    if "radio_step_ms" not in config:
        c["radio_step_ms"] = math.gcd(10, int(c["cqi_step_ms"]), int(c["cqi_delay_ms"]))
    if c["cqi_delay_ms"] % c["radio_step_ms"]:
        raise ValueError("config.cqi_delay_ms: must be a multiple of radio_step_ms")
    if c["interval_ms"] < c["radio_step_ms"]:
        raise ValueError("config.interval_ms: must not be shorter than radio_step_ms")
    return records


def _make_users(
    users: Sequence[Mapping[str, Any]], cqi: npt.NDArray[np.int8], config: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    records = np.zeros(len(users), USER_DTYPE)
    allowed = _settings_of(USER_DTYPE, "fading_keep_ratio")
    for i, user in enumerate(users):
        _fill(records[i], USER_DEFAULTS | {"cqi_row": i} | dict(user), allowed, f"users[{i}]")
        if records[i]["cqi_row"] >= len(cqi):
            raise ValueError(f"users[{i}].cqi_row: there are {len(cqi)} rows of CQI, counted from 0")
    keep = np.exp(-config["radio_step_ms"][0] / records["fading_ms"])
    records["fading_keep_ratio"] = keep
    records["fading_kick_db"] = records["fading_db"] * np.sqrt(1.0 - keep * keep)
    for i in range(len(users)):
        records[i]["rng"] = _seeded(int(config["seed"][0]), 1, i)
        records[i]["harq_rng"] = _seeded(int(config["seed"][0]), 2, i)
    return records


def _make_ladders(
    ladders: Sequence[Sequence[float]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    n_rungs = np.array([len(ladder) for ladder in ladders], np.int64)
    bps = np.ones((len(ladders), int(n_rungs.max(initial=1))))
    for i, ladder in enumerate(ladders):
        steps = np.asarray(ladder, np.float64)
        if not steps.size or steps.size > 127 or not np.all(np.isfinite(steps)) or steps[0] <= 0.0:
            raise ValueError(f"ladders[{i}]: from 1 to 127 bitrates above 0 are needed")
        if np.any(np.diff(steps) <= 0.0):
            raise ValueError(f"ladders[{i}]: bitrates must ascend")
        bps[i, : steps.size] = steps
        bps[i, steps.size :] = steps[-1]
    return bps, n_rungs


def _make_bearers(
    bearers: Sequence[Mapping[str, Any]], n_users: int, n_rungs: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    records = np.zeros(len(bearers), BEARER_DTYPE)
    sources = np.zeros(len(bearers), SOURCE_DTYPE)
    mine, theirs = _settings_of(BEARER_DTYPE), _settings_of(SOURCE_DTYPE)
    for i, bearer in enumerate(bearers):
        where = f"bearers[{i}]"
        for name in ("user", "kind"):
            if name not in bearer:
                raise ValueError(f"{where}.{name}: is missing")
        if bearer["kind"] not in list(Source):
            raise ValueError(f"{where}.kind: {bearer['kind']} is none of Source's")
        merged = DEFAULTS[Source(bearer["kind"])] | dict(bearer)
        for name in merged:
            if name not in mine and name not in theirs:
                raise ValueError(f"{where}.{name}: no such setting: there are {', '.join(mine + theirs)}")
        _fill(records[i], {k: v for k, v in merged.items() if k in mine}, mine, where)
        _fill(sources[i], {k: v for k, v in merged.items() if k in theirs}, theirs, where)
        if records[i]["user"] >= n_users:
            raise ValueError(f"{where}.user: there are {n_users} users, counted from 0")
        _check_bearer(records[i], sources[i], n_rungs, where)
    return records, sources


def _check_bearer(bearer: Any, source: Any, n_rungs: npt.NDArray[np.int64], where: str) -> None:
    """Check what settings of a bearer mean together."""
    kind = bearer["kind"]
    if bearer["weight"] < _LEAST_WEIGHT:
        raise ValueError(f"{where}.weight: {bearer['weight']} is below {_LEAST_WEIGHT}")
    if bearer["late_ratio"] >= 1.0:
        raise ValueError(f"{where}.late_ratio: {bearer['late_ratio']} is not below 1")
    if kind in (Source.VIDEO, Source.WEB, Source.BULK):
        least = 2 * int(source["mss_bytes"])
        if min(int(bearer["queue_limit_bytes"]), int(source["window_max_bytes"])) < least:
            raise ValueError(f"{where}.queue_limit_bytes, .window_max_bytes: TCP needs {least} or more")
    if kind in (Source.VIDEO_CALL, Source.CLOUD_GAME) and not (
        0.0 < source["rate_min_bps"] <= source["rate_bps"] <= source["rate_max_bps"]
    ):
        raise ValueError(f"{where}.rate_bps: must be from rate_min_bps, above 0, to rate_max_bps")
    if kind == Source.WEB and (source["size_bytes"] < 1 or source["n_objects"] < 1):
        raise ValueError(f"{where}.size_bytes, .n_objects: must be 1 or more")
    if kind == Source.VIDEO:
        _check_player(source, n_rungs, where)


def _check_player(source: Any, n_rungs: npt.NDArray[np.int64], where: str) -> None:
    if source["ladder"] >= n_rungs.size:
        raise ValueError(f"{where}.ladder: there are {n_rungs.size} ladders, counted from 0")
    if source["start_rung"] >= n_rungs[source["ladder"]]:
        raise ValueError(f"{where}.start_rung: the ladder has {n_rungs[source['ladder']]} rungs, from 0")
    if source["abr"] not in list(Abr):
        raise ValueError(f"{where}.abr: {source['abr']} is none of Abr's")
    whole = source["buffer_max_ms"] // source["segment_ms"] * source["segment_ms"]
    for name in ("startup_ms", "resume_ms"):
        if source[name] > whole:
            raise ValueError(f"{where}.{name}: {source[name]} does not fit: the buffer holds {whole}")
    full_ms = min(0.9 * source["buffer_max_ms"], source["buffer_max_ms"] - source["segment_ms"])
    if source["abr"] == Abr.BBA and source["reservoir_ms"] >= full_ms:
        raise ValueError(f"{where}.reservoir_ms: is not below {full_ms:g}, where the buffer counts as full")
    if 0 < source["live_latency_ms"] < max(source["segment_ms"], source["startup_ms"]):
        raise ValueError(f"{where}.live_latency_ms: is below segment_ms or startup_ms")


def check_run(cell: Cell, n_tti: int) -> None:
    """Check what may have been changed since the last run.

    Raises
    ------
    ValueError
        `n_tti` is below 0, a weight or budget is not a number above 0, or the scheduler is unknown.
    """
    if n_tti < 0:
        raise ValueError(f"n_tti: {n_tti} is below 0")
    weight, budget = cell.bearers["weight"], cell.bearers["budget_ms"]
    right = (weight >= _LEAST_WEIGHT) & (weight < np.inf)
    if not right.all():
        i = int(np.argmin(right))
        raise ValueError(f"bearers[{i}].weight: {weight[i]} is not a number of {_LEAST_WEIGHT} or more")
    if not (budget > 0.0).all():
        i = int(np.argmin(budget > 0.0))
        raise ValueError(f"bearers[{i}].budget_ms: {budget[i]} is not above 0")
    if cell.config["scheduler"][0] not in list(Scheduler):
        raise ValueError(f"config.scheduler: {cell.config['scheduler'][0]} is none of Scheduler's")


def _seeded(seed: int, stream: int, index: int) -> np.uint64:
    """State of a generator: the numbers mixed as SplitMix64 does it (Steele, Lea and Flood, OOPSLA 2014)."""
    z = 0
    for part in (seed, stream, index):
        z = (z + part + _MIX[0]) % 2**64
        z = (z ^ (z >> 30)) * _MIX[1] % 2**64
        z = (z ^ (z >> 27)) * _MIX[2] % 2**64
        z ^= z >> 31
    return np.uint64(z)


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


def _take_memory(
    config: npt.NDArray[Any],
    users: npt.NDArray[Any],
    bearers: npt.NDArray[Any],
    sources: npt.NDArray[Any],
    cqi: npt.NDArray[np.int8],
    bits_per_rb: npt.NDArray[np.float64],
    metric_bits_per_rb: npt.NDArray[np.float64],
    ladder_bps: npt.NDArray[np.float64],
    n_rungs: npt.NDArray[np.int64],
    *,
    n_intervals: int,
    log_capacity: int,
    queue_capacity: int,
) -> Cell:
    n, n_users, n_subbands = len(bearers), len(users), cqi.shape[2]
    harq_ms = int(config["harq_ms"][0])
    n_reports = int(config["cqi_delay_ms"][0] // config["radio_step_ms"][0]) + 1
    held = sources["buffer_max_ms"] // np.maximum(sources["segment_ms"], 1)
    state = np.zeros(n, STATE_DTYPE)
    state["due_ms"] = bearers["start_ms"]
    state["transit_ms"] = -1.0
    for i in range(n):
        state[i]["rng"] = _seeded(int(config["seed"][0]), 0, i)
    tcp = np.zeros(n, TCP_DTYPE)
    tcp["window_bytes"] = np.minimum(sources["initial_window_bytes"], sources["window_max_bytes"])
    tcp["threshold_bytes"] = np.inf
    tcp["lost_mark"], tcp["epoch_ms"], tcp["notice_ms"] = -1, -1, NEVER_MS
    players = np.zeros(n, PLAYER_DTYPE)
    players["since_ms"] = players["stalled_ms"] = players["next_ms"] = bearers["start_ms"]
    players["send_ms"] = NEVER_MS
    players["first_ms"] = -1
    flows = np.zeros(n, FLOW_DTYPE)
    flows["next_ms"] = flows["voice_ms"] = flows["feedback_ms"] = bearers["start_ms"]
    # sources that run in periods are apart from one another
    phase = np.random.default_rng(int(config["seed"][0])).random((2, n)) * sources["period_ms"]
    flows["voice_ms"] += phase[0]
    flows["next_ms"] += np.where(np.isin(bearers["kind"], (Source.WEB, Source.BULK)), 0.0, phase[1])
    flows["spurt_end_ms"] = flows["voice_ms"]
    flows["playout_ms"] = sources["jitter_buffer_ms"]
    flows["delay_ms"] = -1.0
    flows["rate_bps"] = sources["rate_bps"]
    flows["start_ms"], flows["send_ms"] = -1, NEVER_MS
    return Cell(
        config=config,
        users=users,
        bearers=bearers,
        sources=sources,
        cqi=cqi,
        bits_per_rb=bits_per_rb,
        metric_bits_per_rb=metric_bits_per_rb,
        ladder_bps=ladder_bps,
        ladder_log=np.log(ladder_bps / ladder_bps[:, :1]),
        n_rungs=n_rungs,
        state=state,
        tcp=tcp,
        players=players,
        flows=flows,
        fading_db=np.zeros((n_users, n_subbands)),
        reports=np.zeros((n_users, n_subbands, n_reports), np.int8),
        bits=np.zeros((n_users, n_subbands)),
        metric_bits=np.zeros((n_users, n_subbands)),
        queue=np.zeros((n, queue_capacity), QUEUE_DTYPE),
        acks=np.zeros((n, _power_of_two(int(bearers["rtt_ms"].max(initial=1)) + harq_ms + 4)), np.int64),
        rungs=np.zeros((n, int(held.max(initial=0)) + 2), np.int8),
        repeats=np.zeros((n, _power_of_two(harq_ms + 1)), np.int64),
        metric=np.zeros((2, n)),
        order=np.zeros(n, np.int64),
        plan=np.zeros((3, N_AHEAD)),
        records=np.zeros((n_intervals + 1, n), RECORD_DTYPE),
        segments=np.zeros(log_capacity, SEGMENT_DTYPE),
        stalls=np.zeros(log_capacity, STALL_DTYPE),
        fetches=np.zeros(log_capacity, FETCH_DTYPE),
    )
