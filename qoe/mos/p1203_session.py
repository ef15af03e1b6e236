"""Quality of a whole streaming session: the integration module, ITU-T P.1203.3.

The Recommendation mixes a parametric score with that of a random forest of twenty trees. The trees are
not part of this software (their licence does not allow it). In their place stands a straight line on
the parametric score (:func:`stand_in_forest`); whoever holds the trees can plug them in as a `forest`
(:func:`qoe.mos.p1203_forest.read_trees`). Everything else is the Recommendation's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from qoe.mos.p1203_timeline import Session, Stall, audio_per_second, video_per_second
from qoe.schema import FloatArray

Forest: TypeAlias = Callable[[FloatArray], float]
"""Score of the forest from its 14 features (:func:`forest_features`)."""

_CHANGE: Final = 0.2
"""Step of per-second video quality that viewers notice."""


@dataclass(frozen=True, slots=True)
class SessionQuality:
    """Outputs of P.1203 for one session, under the Recommendation's names.

    Attributes
    ----------
    mos : float
        O46: the session's score, 1 to 5.
    o35 : float
        Audiovisual coding quality with the effects of switching, without stalling.
    o23 : float
        Stalling quality, 1 to 5.
    o34, o22, o21 : ndarray of float64, shape (seconds,)
        Audiovisual, video and audio quality per second.
    parametric : float
        The part of `mos` without the forest, before the final line.
    forest : float
        Score of the forest or of its stand-in.
    """

    mos: float
    o35: float
    o23: float
    o34: FloatArray
    o22: FloatArray
    o21: FloatArray
    parametric: float
    forest: float


def session_mos(session: Session, forest: Forest | None = None) -> float:
    """Score of a streaming session, O46 of ITU-T P.1203 mode 0, 1 to 5.

    Parameters
    ----------
    session : Session
        What was played, and where it stalled.
    forest : callable, optional
        Score from the 14 features; None: the stand-in (:func:`stand_in_forest`).

    Raises
    ------
    ProblemError
        The session is shorter than a second, or a segment has no duration, size or rate.
    """
    return session_quality(session, forest).mos


def session_quality(
    session: Session,
    forest: Forest | None = None,
    *,
    amendment_1_audio: bool = False,
    amendment_1_stalling: bool = False,
    appendix_2: bool = False,
) -> SessionQuality:
    """All outputs of ITU-T P.1203 mode 0 for a streaming session.

    Parameters
    ----------
    session : Session
        What was played, and where it stalled.
    forest : callable, optional
        Score from the 14 features; None: the stand-in.
    amendment_1_audio : bool
        P.1203.3 Amendment 1: bad audio pulls the audiovisual score down.
    amendment_1_stalling : bool
        P.1203.3 Amendment 1: long stalling pulls the score towards 1.
    appendix_2 : bool
        P.1203.3 Appendix 2, as used with P.1204: no terms for switching.

    Raises
    ------
    ProblemError
        The session is shorter than a second, or a segment has no duration, size or rate.
    """
    o22 = video_per_second(session)
    o21 = audio_per_second(session, o22.size)
    n = min(o22.size, o21.size)
    return integrate(
        o22[:n],
        o21[:n],
        session.stalls,
        forest,
        amendment_1_audio=amendment_1_audio,
        amendment_1_stalling=amendment_1_stalling,
        appendix_2=appendix_2,
    )


def integrate(
    o22: FloatArray,
    o21: FloatArray,
    stalls: Sequence[Stall],
    forest: Forest | None = None,
    *,
    amendment_1_audio: bool = False,
    amendment_1_stalling: bool = False,
    appendix_2: bool = False,
) -> SessionQuality:
    """Integrate per-second scores and stalls into a session's score (ITU-T P.1203.3).

    Parameters
    ----------
    o22, o21 : ndarray of float64, shape (seconds,)
        Video and audio quality per second.
    stalls : sequence of Stall
        Those without duration or after the end are left out.
    forest, amendment_1_audio, amendment_1_stalling, appendix_2
        As for :func:`session_quality`.
    """
    seconds = o22.size
    kept = sorted(
        (s.position_s, s.duration_s) for s in stalls if s.duration_s > 0 and s.position_s <= seconds
    )
    o34 = audiovisual_quality(o22, o21, amendment_1_audio)
    base = _weighted_mean(o34)
    o35 = base if appendix_2 else base - _penalties(base, o34, o22)
    stalling = _stalling_seconds(kept, seconds)
    survival = _stalling_factor(kept, stalling, seconds)
    parametric = float(np.clip(1.0 + (o35 - 1.0) * survival, 1.0, 5.0))
    score = stand_in_forest(parametric) if forest is None else float(forest(forest_features(o22, o21, kept)))
    mixed = 0.75 * parametric + 0.25 * score
    if amendment_1_stalling:
        mixed = 1.0 + (mixed - 1.0) * float(np.clip(2.0 - 0.066667 * stalling, 0.0, 1.0))
    mos = 0.02833052 + 0.98117059 * mixed
    return SessionQuality(mos, o35, 1.0 + 4.0 * survival, o34, o22, o21, parametric, score)


def stand_in_forest(parametric: float) -> float:
    """Estimate what the random forest of P.1203.3 would say from the parametric score.

    A straight line, ``0.766 x + 0.988``, fitted to 150 simulated sessions: with it the root mean square
    error of O46 against the forest is 0.057 on those sessions (0.059, and 0.21 at worst, on the 100 of
    them that the tests hold). It is not part of the Recommendation.
    """
    return 0.766 * parametric + 0.988


def audiovisual_quality(o22: FloatArray, o21: FloatArray, amendment_1: bool = False) -> FloatArray:
    """O34: audiovisual quality per second (P.1203.3; with `amendment_1`, its stronger effect of audio)."""
    o34 = -0.00069084 + 0.15374283 * o21 + 0.97153861 * o22 + 0.02461776 * o21 * o22
    o34 = np.clip(o34, 1.0, 5.0)
    if amendment_1:
        o34 = (1.0 - np.maximum(0.0, 2.0 - o21)) * (o34 - 1.0) + 1.0
    return np.asarray(o34)


def _decay(start: float, end: float, half: float, x: FloatArray | float) -> FloatArray:
    """From `start` at 0, half-way to `end` at `half`."""
    return np.asarray(end + (start - end) * 0.5 ** (np.asarray(x) / half))


def _weighted_mean(o34: FloatArray) -> float:
    """Mean over time; late and bad seconds weigh more."""
    t = np.arange(o34.size) / o34.size
    recency = 0.00666620027943848 + 0.0000404018840273729 * np.exp(t / 0.156497800436237)
    weight = recency * (0.143179744942738 - 0.0238641564518876 * o34)
    return float(np.sum(weight * o34) / np.sum(weight))


def _penalties(base: float, o34: FloatArray, o22: FloatArray) -> float:
    """Points that bad spells, oscillation and adaptation take away from `base`."""
    seconds = o22.size
    remembered = _decay(1.0, 1.87403625, 7.85416481, np.arange(seconds - 1.0, -1.0, -1.0))
    bad_spells = max(0.0, -float(np.percentile((o34 - base) * remembered, 10.0))) * 0.01853820
    spread = float(np.ptp(o22))
    n_changes, longest_s = _direction_changes(o22)
    if longest_s / seconds >= 0.25:
        return bad_spells
    adaptation_rate = np.count_nonzero(np.abs(np.diff(o22)) > _CHANGE) / seconds
    adaptation = float(np.clip(0.17332553 * spread * adaptation_rate - 0.01035647, 0.0, 0.5))
    if longest_s >= 30.0:
        return bad_spells + adaptation
    swing = max(0.0, 1.0 + np.log10(spread + 0.001)) * np.exp(0.67756080 * n_changes - 8.05533303)
    return bad_spells + adaptation + float(np.clip(swing, 0.0, 1.5))


def _direction_changes(o22: FloatArray) -> tuple[int, int]:
    """Count the turns of video quality, and the longest time in seconds without one."""
    padded = np.pad(o22, 4, mode="edge")
    smooth = np.convolve(padded, np.full(5, 0.2), mode="valid")[::3]
    steps = np.diff(smooth)
    directions = np.where(steps > _CHANGE, 1, np.where(np.abs(steps) < _CHANGE, 0, -1))
    moves = np.flatnonzero(directions)
    if moves.size == 0:
        return 0, 3 * directions.size
    turns = moves[np.concatenate([[True], np.diff(directions[moves]) != 0])]
    gaps = np.diff(np.concatenate([[0], turns, [directions.size]]))
    return turns.size, 3 * int(gaps.max())


def _stalling_seconds(stalls: Sequence[tuple[float, float]], seconds: int) -> float:
    """Total stalling, where a stall long ago counts less."""
    return float(
        sum(length * _decay(1.0, 0.48412879, 10.0, seconds - position) for position, length in stalls)
    )


def _stalling_factor(stalls: Sequence[tuple[float, float]], stalling_s: float, seconds: int) -> float:
    """SI: factor on the quality above 1 that stalling leaves, 0 to 1."""
    n = len(stalls)
    interval_s = (stalls[-1][0] - stalls[0][0]) / (n - 1) if n > 1 else 0.0
    exponent = n / 9.35158684 + stalling_s / seconds / 0.91890815 + interval_s / seconds / 11.0567558
    return float(np.exp(-exponent))


def forest_features(o22: FloatArray, o21: FloatArray, stalls: Sequence[tuple[float, float]]) -> FloatArray:
    """Compute the inputs of the random forest of P.1203.3.

    Parameters
    ----------
    o22, o21 : ndarray of float64, shape (seconds,)
        Video and audio quality per second.
    stalls : sequence of (position_s, duration_s)
        In order of position.

    Returns
    -------
    ndarray of float64, shape (14,)
        Number of stalls after the start; their total length plus a third of the initial loading; both
        per second of media; time from the last stall to the end; mean video quality of each third; its
        1st, 5th and 10th percentile; mean audio quality of each half; duration.
    """
    seconds = float(o22.size)
    initial_s = sum(length for position, length in stalls if position == 0)
    later = [(position, length) for position, length in stalls if position > 0]
    stalled_s = sum(length for _, length in later) + initial_s / 3.0
    since_last_s = seconds - later[-1][0] if later else seconds
    stalling = [len(later), stalled_s, len(later) / seconds, stalled_s / seconds, since_last_s]
    video, audio = np.round(o22, 3), np.round(o21, 3)
    low = np.percentile(video, [1, 5, 10])
    return np.concatenate([stalling, _means(video, 3), low, _means(audio, 2), [seconds]])


def _means(values: FloatArray, n_parts: int) -> FloatArray:
    """Mean of a staircase over `n_parts` equal parts of its length."""
    area = np.concatenate([[0.0], np.cumsum(values)])
    edges = np.linspace(0.0, values.size, n_parts + 1)
    return np.asarray(np.diff(np.interp(edges, np.arange(area.size), area)) * (n_parts / values.size))
