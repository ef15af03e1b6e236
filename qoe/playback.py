"""What the responses of a server ("chunks") tell: how a video plays, how long a page takes.

A player fetches video in segments of a few seconds each. When its buffer is full it fetches one a segment's
length, so that the spacing of its requests then tells that length; what it fetched, and when, tells bitrate,
start-up delay and stalls. The method follows the passive buffer models of the literature (BUFFEST, eMIMIC,
Requet); the score is P.1203's, over the last minute of media.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from qoe.applications import session_mos, streaming_quality
from qoe.mos.video import Stall
from qoe.schema import AppClass, BoolArray, FloatArray, IntArray, RecordArray

SEGMENT_S: Final = 4.0
"""Length of a segment that is usual."""
_N_TO_GUESS: Final = 3
_SEGMENT_RANGE_S: Final = (1.0, 15.0)
_IDLE_RATIO: Final = 0.4
"""A pause before a request of more than this part of the requests' spacing means that the player waited, not
the network; shorter ones can be fetches of sound too small to be chunks."""
_N_ALIKE: Final = 2
_ALIKE_RATIO: Final = 0.1
"""A player that waits asks at equal distances: of those after a pause half, and so many, are this alike."""
_START_S: Final = 5.0
"""Players start with two segments, or with this much if less."""
_MINOR_RATIO: Final = 0.75
"""A chunk this much smaller than both its neighbours is their sound."""
_UNSEEN_SEGMENTS: Final = 3
"""What a player is taken to hold when its beginning was not seen."""
_SCORED_S: Final = 60
_BRIEF_PACKETS: Final = 4
_BRIEF_NS: Final = 10_000_000_000
"""A web flow no longer than this that never paused is a fetch as a whole."""
_TRICKLE_BPS: Final = 64e3
"""A longer chunk that is slower than this is no fetch but a channel held open."""
_PAGE_PAUSE_S: Final = 1.0
"""A new page begins with a request this long after the last response (the flows' ``n_idle`` counts such
pauses too)."""


class Viewing(NamedTuple):
    """How one video plays.

    Attributes
    ----------
    mos : float
        P.1203 mode 0 of what was fetched; NaN without a segment.
    media_bps : float
        Mean bitrate, sound included; NaN without a segment.
    segment_s : float
        Media time a segment.
    segment_known : bool
        False: `segment_s` is but assumed.
    startup_s : float
        From the first request to the start of play; NaN if the beginning was not seen or play has not
        started.
    stalls : tuple of Stall
        After the start, at media time from the first chunk at hand.
    n_segments : int
        Segments that the score rests on.
    buffer_s : float
        Media that the player held ahead when the last chunk was there; NaN if the beginning was not seen.
    """

    mos: float
    media_bps: float
    segment_s: float
    segment_known: bool
    startup_s: float
    stalls: tuple[Stall, ...]
    n_segments: int
    buffer_s: float = np.nan


NO_VIEWING: Final = Viewing(np.nan, np.nan, SEGMENT_S, False, np.nan, (), 0)


def view(chunks: RecordArray, *, from_start: bool = False, segment_s: float = 0.0) -> Viewing:
    """Play the chunks of one flow.

    Parameters
    ----------
    chunks : ndarray of CHUNK_DTYPE, shape (n,)
        In the order of their requests.
    from_start : bool
        The first chunk is the first of the viewing: its loading counts as start-up delay.
    segment_s : float
        Media time a segment as found before; 0: not known. What these chunks show counts more.

    Returns
    -------
    Viewing
    """
    if not len(chunks):
        return NO_VIEWING
    requested_s = _seconds(chunks, "request_ns")
    ended_s = np.maximum.accumulate(_seconds(chunks, "last_ns"))  # a clock may have run back
    major = major_chunks(chunks["bytes"])
    seen_s = segment_length_s(requested_s, ended_s, major)
    length_s = seen_s or segment_s or _guess_s(requested_s[major])
    first = np.flatnonzero(major)
    n_bytes = np.add.reduceat(chunks["bytes"].astype(np.float64), first)  # a segment and its sound
    media_bps = 8.0 * n_bytes / length_s
    startup_s, stalls = play(ended_s[first], length_s, from_start=from_start)
    return Viewing(
        mos=_score(media_bps, length_s, startup_s, stalls),
        media_bps=float(media_bps[-_n_scored(length_s) :].mean()),
        segment_s=length_s,
        segment_known=bool(segment_s or seen_s),
        startup_s=startup_s,
        stalls=stalls,
        n_segments=len(first),
        buffer_s=_held_s(ended_s[first], length_s, startup_s, stalls) if from_start else np.nan,
    )


def _held_s(ended_s: FloatArray, segment_s: float, startup_s: float, stalls: tuple[Stall, ...]) -> float:
    """Media fetched and not yet played when the last segment was there."""
    played_s = float(ended_s[-1]) - startup_s - sum(s.duration_s for s in stalls)
    return max(len(ended_s) * segment_s - (0.0 if np.isnan(startup_s) else played_s), 0.0)


def _guess_s(requested_s: FloatArray) -> float:
    """Guess a segment's length between the usual one and the spacing of requests.

    A player that fills its buffer asks sooner than it plays, one that starves asks later.
    """
    if len(requested_s) < _N_TO_GUESS:
        return SEGMENT_S
    spacing_s = (requested_s[-1] - requested_s[0]) / (len(requested_s) - 1)
    return float(np.clip(np.sqrt(SEGMENT_S * spacing_s), *_SEGMENT_RANGE_S))


def _n_scored(segment_s: float) -> int:
    return max(round(_SCORED_S / segment_s), 1)


def _score(media_bps: FloatArray, segment_s: float, startup_s: float, stalls: tuple[Stall, ...]) -> float:
    """P.1203 of the last minute of media; what happened before it is forgotten."""
    recent_bps = media_bps[-_n_scored(segment_s) :]
    begin_s = (len(media_bps) - len(recent_bps)) * segment_s
    heard = [Stall(s.position_s - begin_s, s.duration_s) for s in stalls if s.position_s >= begin_s]
    if startup_s > 0 and not begin_s:
        heard.insert(0, Stall(0.0, startup_s))
    second = np.arange(max(round(len(recent_bps) * segment_s), 1))
    playing = np.minimum((second / segment_s).astype(np.int64), len(recent_bps) - 1)
    return session_mos(streaming_quality(recent_bps)[playing], heard)


def _seconds(chunks: RecordArray, name: str) -> FloatArray:
    """Return times in seconds since the first request, never negative."""
    times_ns, start_ns = chunks[name], chunks["request_ns"][0]
    since_ns: FloatArray = (np.maximum(times_ns, start_ns) - start_ns).astype(np.float64)
    return since_ns / 1e9


def major_chunks(n_bytes: IntArray) -> BoolArray:
    """Tell segments of video from the sound fetched between them; the first always counts."""
    size = n_bytes.astype(np.float64)
    before, after = np.concatenate([[np.inf], size[:-1]]), np.concatenate([size[1:], [np.inf]])
    major: BoolArray = size >= _MINOR_RATIO * np.minimum(before, after)
    major[0] = True
    return major


def segment_length_s(requested_s: FloatArray, ended_s: FloatArray, major: RecordArray) -> float:
    """Return the spacing of requests while the player waited between them; 0 if it is not to be told.

    Parameters
    ----------
    requested_s, ended_s : ndarray of float64, shape (n,)
        Request and end of each chunk.
    major : ndarray of bool, shape (n,)
        Chunks that are segments of video.
    """
    pause_s = np.zeros(len(major))
    pause_s[1:] = np.maximum(requested_s[1:] - ended_s[:-1], 0.0)
    spacing_s = np.diff(requested_s[major])
    paused_s = np.diff(np.cumsum(pause_s)[major])  # in all since the last segment's request
    spacing_s = spacing_s[paused_s > _IDLE_RATIO * spacing_s]
    if not len(spacing_s):
        return 0.0
    usual_s = float(np.median(spacing_s))
    n_alike = np.count_nonzero(np.abs(spacing_s - usual_s) <= _ALIKE_RATIO * usual_s)
    if n_alike < max(_N_ALIKE, len(spacing_s) / 2):
        return 0.0
    return float(np.clip(usual_s, *_SEGMENT_RANGE_S))


def play(
    ended_s: FloatArray, segment_s: float, *, from_start: bool = True
) -> tuple[float, tuple[Stall, ...]]:
    """Fill a buffer with segments as they come and drain it in real time.

    Parameters
    ----------
    ended_s : ndarray of float64, shape (n,)
        When each segment was there, from the first request on.
    segment_s : float
        Media time a segment.
    from_start : bool
        False: play had begun before, and some segments were in the buffer.

    Returns
    -------
    startup_s : float
        When play began; NaN: not yet, or before.
    stalls : tuple of Stall
        Where play stood still. A stall ends when as much is buffered as at the start; one that has not
        ended is left out, as the viewer may have gone.
    """
    needed_s = min(2.0 * segment_s, _START_S)
    startup_s = np.nan
    waiting_since_s: float | None = 0.0 if from_start else None
    empty_s = _UNSEEN_SEGMENTS * segment_s
    fetched_s = buffered_s = 0.0
    stalls = []
    for now_s in ended_s.tolist():
        if waiting_since_s is None and now_s > empty_s:
            waiting_since_s = empty_s
        fetched_s += segment_s
        if waiting_since_s is None:
            empty_s += segment_s
            continue
        buffered_s += segment_s
        if buffered_s < needed_s:
            continue
        if from_start and np.isnan(startup_s):
            startup_s = now_s
        else:
            stalls.append(Stall(fetched_s - buffered_s, now_s - waiting_since_s))
        empty_s, buffered_s, waiting_since_s = now_s + buffered_s, 0.0, None
    return startup_s, tuple(stalls)


class Pages(NamedTuple):
    """Web pages, one entry a flow; NaN where none is known.

    Attributes
    ----------
    page_s : ndarray of float64
        Mean time from a page's first request to the end of its last response.
    page_bytes : ndarray of float64
        Mean payload of a page.
    busy_s : ndarray of float64
        Time spent loading, in all.
    """

    page_s: FloatArray
    page_bytes: FloatArray
    busy_s: FloatArray


def pages(flows: RecordArray, subscriber: IntArray, chunks: RecordArray) -> Pages:
    """Join what a subscriber's web flows fetch without a pause into pages.

    A page is fetched over several connections. What counts is each chunk, and each flow that was brief and
    never paused as a whole.

    Parameters
    ----------
    flows : ndarray of FLOW_DTYPE, shape (n,)
        Sorted by flow_id; those of class web count.
    subscriber : ndarray of int64, shape (n,)
        Whose they are; a flow that is nobody's (-1) stands by itself.
    chunks : ndarray of CHUNK_DTYPE
        Of these flows and others, in any order.

    Returns
    -------
    Pages
        Shape (n,): to each web flow those of its subscriber.
    """
    is_web = flows["app_class"] == AppClass.WEB
    _, owner = np.unique(
        np.where(subscriber >= 0, subscriber, -1 - np.arange(len(flows))), return_inverse=True
    )
    first_ns, last_ns = flows["first_ns"], np.maximum(flows["first_ns"], flows["last_ns"])
    n_packets = flows["packets_forward"] + flows["packets_reverse"]
    brief = (
        is_web & (flows["n_idle"] == 0) & (n_packets >= _BRIEF_PACKETS) & (last_ns - first_ns <= _BRIEF_NS)
    )
    place = np.minimum(np.searchsorted(flows["flow_id"], chunks["flow_id"]), max(len(flows) - 1, 0))
    used = np.zeros(len(chunks), np.bool_)
    if len(flows):
        used = (flows["flow_id"][place] == chunks["flow_id"]) & (is_web & ~brief)[place]
        long_ns = np.maximum(chunks["last_ns"], chunks["request_ns"]) - chunks["request_ns"]
        trickle_bps = 8e9 * chunks["bytes"].astype(np.float64) / np.maximum(long_ns, 1)
        used &= (long_ns <= _BRIEF_NS) | (trickle_bps >= _TRICKLE_BPS)
    chunks, place = chunks[used], place[used]
    payload = flows["payload_bytes_forward"] + flows["payload_bytes_reverse"]
    by_owner = _join(
        np.concatenate([owner[brief], owner[place]]),
        np.concatenate([first_ns[brief], chunks["request_ns"]]),
        np.concatenate([last_ns[brief], np.maximum(chunks["request_ns"], chunks["last_ns"])]),
        np.concatenate([payload[brief], chunks["bytes"]]),
        int(owner.max(initial=-1)) + 1,
    )
    return Pages(*(np.where(is_web, column[owner], np.nan) for column in by_owner))


def _join(
    owner: IntArray, begin_ns: RecordArray, end_ns: RecordArray, n_bytes: RecordArray, n_owners: int
) -> Pages:
    """Join spans of one owner that overlap or follow closely; return means and sums by owner."""
    order = np.lexsort((begin_ns, owner))
    owner, n_bytes = owner[order], n_bytes[order].astype(np.float64)
    origin_ns = begin_ns.min(initial=np.iinfo(np.uint64).max)
    begin_s, end_s = ((t[order] - origin_ns).astype(np.float64) / 1e9 for t in (begin_ns, end_ns))
    lane_s = owner * (end_s.max(initial=0.0) + 2.0 * _PAGE_PAUSE_S)  # owners one after another in time
    until_s = np.maximum.accumulate(end_s + lane_s)
    begins = np.ones(len(owner), np.bool_)
    begins[1:] = (begin_s + lane_s)[1:] > until_s[:-1] + _PAGE_PAUSE_S
    first = np.flatnonzero(begins)
    last = np.flatnonzero(np.append(begins[1:], np.True_)) if len(first) else first
    took_s = until_s[last] - (begin_s + lane_s)[first]
    page = np.cumsum(begins) - 1
    loaded = np.bincount(page, n_bytes, minlength=len(first))
    n_pages = np.bincount(owner[first], minlength=n_owners).astype(np.float64)
    n_pages[n_pages == 0] = np.nan
    busy_s: FloatArray = np.bincount(owner[first], took_s, minlength=n_owners).astype(np.float64)
    n_loaded: FloatArray = np.bincount(owner[first], loaded, minlength=n_owners).astype(np.float64)
    return Pages(busy_s / n_pages, n_loaded / n_pages, busy_s)
