"""MOS of what the simulated applications went through: the simulator's truth, not the optimiser's promise.

The simulator knows what each application made of the bits: the bitrate that was played and every stall, the
speech packets that came too late, the time each page took. The models are those of `qoe.applications`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe import applications as app
from qoe.applications import Codec
from qoe.mos.video import Stall
from qoe.schema import FloatArray, RecordArray
from qoe.simulate.population import Population
from qoe.simulate.scenario import App
from qoe_native.cellsim_data import Cell, Play

WINDOW_S: Final = 10.0
"""Calls and games are judged over windows of this length; their score is the mean over windows."""
_VOICE_HEADERS_BYTES: Final = 40.0
_VOICE_BPS: Final = 32e3
_LEAST_BUFFER_MS: Final = 20.0  # that `qoe.applications.speech_mos` counts in any case
_BAD_PAGE_S: Final = app.PAGE_EXPECTED_S


def score(cell: Cell, population: Population, begin_ms: int, end_ms: int) -> FloatArray:
    """Score every bearer from what its application experienced.

    Parameters
    ----------
    cell : Cell
        That ran until `end_ms` at least.
    population : Population
        Its users.
    begin_ms, end_ms : int
        The time that is judged, a whole number of intervals.

    Returns
    -------
    ndarray of float64, shape (n_bearers,)
        MOS, 1 to 5; NaN where nothing can be judged (no page was asked for, traffic of class other). Video:
        P.1203 over the seconds played and the stalls. Calls: E-model with the packets that were lost or came
        too late, and the delay to the ear. Games: G.1072. Pages: G.1030, the mean over pages; one that is
        still awaited counts once it has taken longer than users expect. Downloads: logarithm of the rate.
    """
    interval_ms = int(cell.config["interval_ms"][0])
    rows = cell.records[begin_ms // interval_ms : end_ms // interval_ms]
    mos = np.full(len(population.apps), np.nan)
    for i, kind in enumerate(population.apps):
        if kind in (App.VIDEO, App.LIVE_VIDEO):
            mos[i] = _video(cell, i, rows[:, i], begin_ms, end_ms)
        elif kind in (App.CALL, App.VIDEO_CALL, App.GAME, App.CLOUD_GAME):
            mos[i] = _windows(cell, i, kind, rows[:, i], interval_ms)
        elif kind is App.WEB:
            mos[i] = _pages(cell, i, begin_ms, end_ms)
        elif kind is App.BULK:
            mos[i] = float(app.download_mos(_rate_bps(rows[:, i], "served_bytes", interval_ms)))
    return mos


def _video(cell: Cell, i: int, rows: RecordArray, begin_ms: int, end_ms: int) -> float:
    """Score a session by the bitrate of each second played, and its stalls."""
    played_ms = np.concatenate([[0], np.cumsum(rows["played_ms"])])
    n_seconds = int(played_ms[-1]) // 1000
    stalls = _stalls(cell, i, begin_ms, end_ms, played_ms)
    if n_seconds < 1:
        return 1.0
    at = np.searchsorted(played_ms, np.arange(n_seconds) * 1000.0 + 500.0) - 1
    bitrate_bps = rows["played_bits"][at] / np.maximum(rows["played_ms"][at], 1) * 1e3
    return app.session_mos(app.streaming_quality(bitrate_bps), stalls)


def _stalls(cell: Cell, i: int, begin_ms: int, end_ms: int, played_ms: RecordArray) -> list[Stall]:
    """Stalls of a player within the time judged, by where in the media played they fell."""
    log = cell.stalls[: min(int(cell.config["n_stalls"][0]), cell.stalls.size)]
    log = log[log["bearer"] == i]
    spans = [(int(s["start_ms"]), int(s["duration_ms"])) for s in log if s["duration_ms"] >= 0]
    if cell.players["play"][i] == Play.STALLED:
        since = int(cell.players["stalled_ms"][i])
        spans.append((since, end_ms - since))
    interval_ms = int(cell.config["interval_ms"][0])
    found = []
    for start, duration in spans:
        first, last = max(start, begin_ms), min(start + duration, end_ms)
        if last > first:
            position_ms = np.interp(
                first - begin_ms, np.arange(played_ms.size) * interval_ms, played_ms.astype(float)
            )
            found.append(Stall(float(position_ms) / 1e3, (last - first) / 1e3))
    return found


def _windows(cell: Cell, i: int, kind: App, rows: RecordArray, interval_ms: int) -> float:
    """Score a call or a game: the mean over windows in which something was sent."""
    size = max(1, round(WINDOW_S * 1e3 / interval_ms))
    rtt_ms = float(cell.bearers["rtt_ms"][i])
    judge = {App.CALL: _call, App.VIDEO_CALL: _video_call, App.GAME: _game, App.CLOUD_GAME: _cloud_game}[kind]
    scores = [judge(rows[k : k + size], rtt_ms, interval_ms) for k in range(0, rows.size, size)]
    known = [s for s in scores if not np.isnan(s)]
    return float(np.mean(known)) if known else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def _rate_bps(rows: RecordArray, field: str, interval_ms: int) -> float:
    return float(rows[field].sum() * 8e3 / (interval_ms * rows.size))


def _delay_ms(rows: RecordArray) -> float:
    """Mean wait for the radio, over packets served."""
    return _ratio(rows["delay_sum_ms"].sum(), rows["n_served"].sum())


def _unheard_ratio(rows: RecordArray) -> float:
    """Part of speech packets and ticks that were lost or of no use any more; of those that are settled."""
    bad = rows["voice_dropped"].sum() + rows["voice_discarded"].sum()
    return _ratio(bad, max(rows["voice_sent"].sum(), bad))


def _call(rows: RecordArray, rtt_ms: float, interval_ms: int) -> float:
    lost, delivered = _unheard_ratio(rows), rows["n_voice"].sum()
    if np.isnan(lost):
        return float("nan")
    if delivered == 0:
        return 1.0
    waits_ms = rows["playout_sum_ms"].sum() / delivered
    round_ms = rtt_ms + 2.0 * max(0.0, waits_ms - _LEAST_BUFFER_MS)
    packet_bytes = _ratio(rows["served_bytes"].sum(), rows["n_served"].sum())
    bitrate_bps = max(packet_bytes - _VOICE_HEADERS_BYTES, 1.0) * 8 / 0.02
    return float(app.speech_mos(int(Codec.OPUS), bitrate_bps, round_ms, 0.0, lost))


def _video_call(rows: RecordArray, rtt_ms: float, interval_ms: int) -> float:
    lost, in_time = _unheard_ratio(rows), rows["n_frames"].sum()
    if np.isnan(lost) and rows["n_frames_sent"].sum() == 0:
        return float("nan")
    if in_time == 0:
        return 1.0
    seconds = interval_ms * rows.size / 1e3
    rate_bps = rows["frame_bytes"].sum() * 8 / seconds + _VOICE_BPS
    round_ms = rtt_ms + 2.0 * np.nan_to_num(_delay_ms(rows))
    # a frame that is late is not shown: it counts as one fewer a second, not as a damaged one
    fps, lost = min(in_time / seconds, 30.0), np.nan_to_num(lost)
    return float(app.video_call_mos(rate_bps, fps, round_ms, 0.0, lost, picture_loss_ratio=0.0))


def _game(rows: RecordArray, rtt_ms: float, interval_ms: int) -> float:
    lost = _unheard_ratio(rows)
    if np.isnan(lost):
        return float("nan")
    wait_ms, jitter_ms = np.nan_to_num(_delay_ms(rows)), np.mean(rows["jitter_ms"])
    return float(app.native_game_mos(rtt_ms + wait_ms, jitter_ms, lost))


def _cloud_game(rows: RecordArray, rtt_ms: float, interval_ms: int) -> float:
    sent, in_time = rows["n_frames_sent"].sum(), rows["n_frames"].sum()
    if sent == 0:
        return float("nan")
    if in_time == 0:
        return 1.0
    rate_bps = max(_rate_bps(rows, "frame_bytes", interval_ms), 1e3)
    round_ms = rtt_ms + np.nan_to_num(_delay_ms(rows))
    lost = np.nan_to_num(_ratio(rows["n_dropped"].sum(), rows["n_offered"].sum()))
    late = 1.0 - min(in_time / sent, 1.0)
    return float(app.cloud_game_mos(rate_bps, round_ms, lost, late_ratio=late))


def _pages(cell: Cell, i: int, begin_ms: int, end_ms: int) -> float:
    log = cell.fetches[: min(int(cell.config["n_fetches"][0]), cell.fetches.size)]
    log = log[(log["bearer"] == i) & (log["done_ms"] > begin_ms) & (log["done_ms"] <= end_ms)]
    took_s = list((log["done_ms"] - log["start_ms"]) / 1e3)
    if cell.tcp["wanted_bytes"][i] > 0:
        waiting_s = (end_ms - int(cell.flows["start_ms"][i])) / 1e3
        if waiting_s > _BAD_PAGE_S:
            took_s.append(waiting_s)
    return float(np.mean(app.page_mos(np.array(took_s)))) if took_s else float("nan")
