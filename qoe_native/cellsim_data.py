"""The arrays of the cell simulator: what :mod:`qoe_native.cellsim` and its plain twin read and write.

All times are whole milliseconds from the start of the simulation; one millisecond is one TTI. Fields without
a remark on their side are settings; a setting may be changed between two calls of ``run`` where that is said.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NEVER_MS = 1 << 60
"""A time that does not come."""
N_PAST = 5
"""Segments that a player's estimate of throughput looks back on."""
N_AHEAD = 5
"""Segments that MPC plans."""
MEAN_WINDOW_MS = 1000.0
"""Time constant of the average to which a channel's good moments are compared."""
DB_PER_CQI = 1.9
"""Step of the SNR from one CQI to the next, about: 15 of them span -7 to 20 dB."""
PACKET_BYTES = 1500
"""A stream counts a packet each so many bytes."""


class Scheduler(IntEnum):
    """Who gets a resource block group, among the bearers that have something to send.

    ROUND_ROBIN
        One group each in turn.
    MAX_CI
        The best channel.
    PF
        Proportional fair: r/R, with r the rate now and R its exponential average (Jalali, Padovani and
        Pankaj, VTC 2000).
    PF_PER_USER
        PF among users, as a network has it that does not tell applications apart: all of a user goes
        through one default bearer, so R is the user's, and the oldest data goes first.
    WEIGHTED_PF
        w r / R^beta, beta being `rate_exponent`; its airtime shares are compressed by fading: correct the
        weights by what is measured.
    M_LWDF
        Modified largest weighted delay first, a W r/R with a = -log(delta)/T (Andrews et al., "Providing
        quality of service over a shared wireless link", IEEE Commun. Mag. 39, 2001); PF for bearers that are
        not `real_time`.
    EXP_PF
        exp((a W - mean a W) / (1 + sqrt(mean a W))) r/R (Rhee, Holtzman and Kim, VTC 2003, in the form of
        Capozzi et al., IEEE Commun. Surveys Tuts. 15, 2013, eq. 13); PF for bearers that are not `real_time`.
    STRICT_PRIORITY
        The lowest number of `priority` first, PF among equals.
    DRR
        Deficit round robin on bytes, weight times `quantum_bytes` a round (Shreedhar and Varghese, IEEE/ACM
        Trans. Netw. 4, 1996). Data can be cut anywhere, so what a group carries beyond the deficit is owed.
    AIRTIME_WFQ
        Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) in which the work is resource blocks:
        bearers with a backlog get airtime in proportion to their weights, whatever their channels; what they
        leave is shared among the rest. `opportunism_ms` above 0 lets a bearer go ahead of its share by that
        much of the cell's time, times its rate now over its average rate, which keeps the shares in the long
        run and uses good moments (Liu, Chong and Shroff, IEEE J. Sel. Areas Commun. 19, 2001).
    """

    ROUND_ROBIN = 0
    MAX_CI = 1
    PF = 2
    WEIGHTED_PF = 3
    M_LWDF = 4
    EXP_PF = 5
    STRICT_PRIORITY = 6
    DRR = 7
    AIRTIME_WFQ = 8
    PF_PER_USER = 9


class Source(IntEnum):
    """What a bearer carries.

    VIDEO
        An adaptive player over TCP.
    VOIP
        A packet each `period_ms` while the other side talks.
    VIDEO_CALL
        Voice as VOIP's, and frames at a rate that follows delay and loss.
    GAME
        A packet each `period_ms` (a tick).
    CLOUD_GAME
        Frames at a rate; adaptive where `rate_min_bps` is below `rate_max_bps`.
    WEB
        Pages over TCP, a time to read between them.
    BULK
        Downloads over TCP; `size_bytes` 0: one that never ends.
    OTHER
        Poisson packets.
    FULL_BUFFER
        Always something to send.
    """

    VIDEO = 0
    VOIP = 1
    VIDEO_CALL = 2
    GAME = 3
    CLOUD_GAME = 4
    WEB = 5
    BULK = 6
    OTHER = 7
    FULL_BUFFER = 8


class Abr(IntEnum):
    """How a player chooses the next rung.

    RATE
        The highest rung up to 0.8 times the harmonic mean of the last five throughputs.
    BBA
        BBA-0 (Huang et al., "A buffer-based approach to rate adaptation", SIGCOMM 2014).
    BOLA
        BOLA-BASIC (Spiteri, Urgaonkar and Sitaraman, INFOCOM 2016), gamma p = 5.
    MPC
        RobustMPC (Yin et al., "A control-theoretic approach for dynamic adaptive video streaming over HTTP",
        SIGCOMM 2015), five segments ahead, by exact branch and bound.
    """

    RATE = 0
    BBA = 1
    BOLA = 2
    MPC = 3


class Play(IntEnum):
    """What a player does."""

    WAITING = 0
    PLAYING = 1
    STALLED = 2
    OVER = 3


CONFIG_DTYPE = np.dtype(
    [
        ("n_rb", "i4"),  # resource blocks of the carrier
        ("rbg_rb", "i4"),  # resource blocks in a group, the unit of a grant; the last group may be smaller
        ("scheduler", "i4"),  # Scheduler; may be changed
        ("interval_ms", "i4"),  # length of the interval that a record covers
        ("rate_window_ms", "f8"),  # time constant of the average rate R
        ("rate_floor_bps", "f8"),  # least R, so that a bearer which was idle does not count without bound
        ("rate_exponent", "f8"),  # beta of WEIGHTED_PF
        ("quantum_bytes", "f8"),  # of DRR, for weight 1
        ("opportunism_ms", "f8"),  # of AIRTIME_WFQ
        ("cqi_step_ms", "i4"),  # spacing of the CQI series
        ("cqi_delay_ms", "i4"),  # age of the CQI that the scheduler sees, a multiple of `radio_step_ms`
        ("radio_step_ms", "i4"),  # how often channels are evaluated
        ("interpolate", "?"),  # CQI series linear between steps instead of held
        ("bler_ratio", "f8"),  # part of first transmissions that fail; 0 switches errors off altogether
        ("harq_ms", "i4"),  # from a failed transmission to its repetition, which succeeds
        ("seed", "u8"),
        ("now_ms", "i8"),  # state: TTIs run so far
        ("row", "i8"),  # state: interval in hand
        ("turn", "i8"),  # state: bearer whose turn it is (ROUND_ROBIN, DRR)
        ("virtual_rb", "f8"),  # state: virtual time of AIRTIME_WFQ
        ("n_radio_steps", "i8"),  # state: steps since the start of the interval
        ("n_segments", "i8"),  # result: entries of the logs; beyond the capacity they are only counted
        ("n_stalls", "i8"),
        ("n_fetches", "i8"),
        ("code", "i8"),  # result: checksum of the code that ran
    ],
    align=True,
)
USER_DTYPE = np.dtype(
    [
        ("cqi_row", "i4"),  # row of the CQI series
        ("cqi_offset_ms", "i8"),  # where in the row this user begins; a row repeats
        ("fading_db", "f8"),  # standard deviation of the fading on top, 0 for none
        ("fading_ms", "f8"),  # its correlation time (to 1/e)
        ("fading_keep_ratio", "f8"),  # AR(1) a radio step: what stays,
        ("fading_kick_db", "f8"),  # and the standard deviation of what is new
        ("rng", "u8"),  # state
        ("harq_rng", "u8"),  # state
        ("worse", "?"),  # state: the channel is worse now than the scheduler sees
        ("rate_bps", "f8"),  # state: R of all of its bearers
        ("served_bytes", "i8"),  # state: in this TTI
        ("bits_sum", "f8"),  # state: bits a block this interval: sum, sum of squares
        ("bits_sq_sum", "f8"),
        ("bits_mean", "f8"),  # state: average over MEAN_WINDOW_MS, for `opportunism_ms`
    ],
    align=True,
)
BEARER_DTYPE = np.dtype(
    [
        ("user", "i4"),
        ("kind", "i4"),  # Source
        ("weight", "f8"),  # above 0, mean 1 over a cell; may be changed
        ("priority", "i4"),  # the lower the sooner, as 5QI has it; may be changed
        ("budget_ms", "f8"),  # delay budget T; may be changed
        ("late_ratio", "f8"),  # delta of M_LWDF and EXP_PF: part of packets that may be later than the budget
        ("real_time", "?"),  # M_LWDF and EXP_PF look at its delay; may be changed
        ("queue_limit_bytes", "i8"),  # what does not fit is dropped
        ("start_ms", "i8"),  # the source's life
        ("stop_ms", "i8"),
        ("rtt_ms", "i4"),  # round trip without the wait for the radio, 1 or more
    ],
    align=True,
)
SOURCE_DTYPE = np.dtype(
    [
        # packets and frames
        ("period_ms", "f8"),  # between packets (VOIP, GAME), frames (VIDEO_CALL, CLOUD_GAME); mean of OTHER
        ("packet_bytes", "i4"),  # of a packet, headers included; 0: no voice beside the frames
        ("rate_bps", "f8"),  # of frames, at the start
        ("rate_min_bps", "f8"),
        ("rate_max_bps", "f8"),
        ("voice_period_ms", "f8"),  # of VIDEO_CALL's voice
        ("talk_ms", "f8"),  # mean length of a talk spurt and a pause, exponential as in ITU-T P.59;
        ("pause_ms", "f8"),  # pause 0: talks on. WEB, BULK: mean time from one fetch to the next
        ("jitter_buffer_ms", "f8"),  # what the receiver waits; adaptive: at most
        ("jitter_adaptive", "?"),  # mean + 4 deviations, set anew each spurt (Ramjee et al., INFOCOM 1994)
        # sizes
        ("size_bytes", "f8"),  # median of a page (WEB) or download (BULK)
        ("size_sigma", "f8"),  # of log size: pages, downloads, segments, frames, game packets
        ("n_objects", "f8"),  # median of a page
        ("objects_sigma", "f8"),  # of log n_objects
        ("n_rounds", "i4"),  # a page's chain of dependencies: each round is asked for after the one before
        ("setup_rtts", "i4"),  # round trips before a page's first request (DNS, TCP, TLS)
        # player
        ("ladder", "i4"),  # row of the ladders
        ("abr", "i4"),  # Abr
        ("segment_ms", "i4"),
        ("buffer_max_ms", "i4"),
        ("startup_ms", "i4"),  # media in the buffer at which play begins,
        ("resume_ms", "i4"),  # and goes on after a stall
        (
            "reservoir_ms",
            "i4",
        ),  # of BBA; its cushion ends at 0.9 buffer_max_ms, or a segment below the maximum
        ("start_rung", "i4"),
        ("live_latency_ms", "i4"),  # 0: on demand. Else a segment can be had when it is over, and play aims
        # at this distance from the live edge
        ("n_segments", "i8"),  # of the video; 0: endless
        # TCP
        ("mss_bytes", "i4"),
        ("initial_window_bytes", "i8"),  # RFC 6928; again after a pause (RFC 5681 section 4.1)
        ("window_max_bytes", "i8"),  # receiver's window
        ("cubic", "?"),  # RFC 9438; else Reno (RFC 5681)
    ],
    align=True,
)
STATE_DTYPE = np.dtype(
    [
        ("backlog_bytes", "i8"),
        ("head", "i8"),  # queue: first entry, and how many; counted on, the place is modulo the capacity
        ("n_queued", "i8"),
        ("rate_bps", "f8"),  # R
        ("deficit_bytes", "f8"),
        ("virtual_rb", "f8"),  # finish tag of AIRTIME_WFQ
        ("due_ms", "i8"),  # when the source wants to be asked next
        ("bits", "f8"),  # granted this TTI
        ("n_rb", "i8"),  # granted this TTI
        ("delivered_ms", "i8"),  # latest delivery: data arrive in order
        ("transit_ms", "f8"),  # of the packet before; jitter as in RFC 3550
        ("jitter_ms", "f8"),
        ("rng", "u8"),
    ],
    align=True,
)
TCP_DTYPE = np.dtype(
    [
        ("active", "?"),  # something is to be sent or acknowledged
        ("left_bytes", "i8"),  # not yet sent
        ("wanted_bytes", "i8"),  # not yet delivered
        ("flight_bytes", "i8"),  # sent and not acknowledged
        ("window_bytes", "f8"),
        ("threshold_bytes", "f8"),
        ("idle_since_ms", "i8"),
        ("lost_bytes", "i8"),  # dropped, and the sender does not know yet
        ("lost_mark", "i8"),  # bytes served by the time that the gap shows at the receiver; -1: it has
        ("served_bytes", "i8"),
        ("notice_ms", "i8"),  # when the sender learns of it
        ("peak_bytes", "f8"),  # CUBIC: window before the last loss,
        ("epoch_ms", "i8"),  # when its growth began, -1: not yet,
        ("plateau_s", "f8"),  # and when it is back at the peak (K)
    ],
    align=True,
)
PLAYER_DTYPE = np.dtype(
    [
        ("play", "i4"),  # Play
        ("fetching", "?"),
        ("since_ms", "i8"),  # `played_ms` and `stall_ms` are up to this time
        ("fetched_ms", "i8"),  # media
        ("played_ms", "i8"),
        ("stalled_ms", "i8"),  # when the stall in hand, or the initial loading, began
        ("n_fetched", "i8"),
        ("rung", "i4"),  # of the segment asked for last
        ("request_ms", "i8"),
        ("first_ms", "i8"),
        ("send_ms", "i8"),  # when the response reaches the queue
        ("segment_bytes", "i8"),
        ("next_ms", "i8"),  # of the next request
        ("past_bps", "f8", (N_PAST,)),  # throughputs of the latest segments; entry n % N_PAST
        ("past_error_ratio", "f8", (N_PAST,)),  # of their predictions
        ("predicted_bps", "f8"),
    ],
    align=True,
)
FLOW_DTYPE = np.dtype(
    [
        ("next_ms", "f8"),  # of the next packet or frame
        ("voice_ms", "f8"),  # of the next voice packet
        ("spurt_end_ms", "f8"),
        ("spurt_packets", "i8"),  # since it began
        ("delay_ms", "f8"),  # the receiver's estimate: mean, deviation, and what it waits
        ("deviation_ms", "f8"),
        ("playout_ms", "f8"),
        ("lost", "?"),  # the packet before did not get through in time
        ("rate_bps", "f8"),  # frames
        ("feedback_ms", "i8"),
        ("feedback_bytes", "i8"),  # since the last feedback: delivered, packets offered and dropped, delay
        ("n_offered", "i8"),
        ("n_dropped", "i8"),
        ("worst_ms", "f8"),
        ("round", "i4"),  # page: rounds still to come
        ("start_ms", "i8"),
        ("send_ms", "i8"),
        ("fetch_bytes", "i8"),
        ("round_bytes", "i8"),
        ("rest_bytes", "i8"),
        ("n_objects", "i8"),
    ],
    align=True,
)
QUEUE_DTYPE = np.dtype(
    [
        ("arrived_ms", "i8"),
        ("size_bytes", "i4"),
        ("left_bytes", "i4"),
        (
            "what",
            "i4",
        ),  # 0 a packet or part of a stream, 1 voice or tick, 2 one that begins a spurt, 3 a frame
    ],
    align=True,
)
RECORD_DTYPE = np.dtype(
    [
        ("airtime_ratio", "f8"),  # resource blocks granted over all blocks
        ("n_rb", "i8"),  # resource blocks granted
        ("offered_bytes", "i8"),  # came to the queue, the dropped ones included
        ("served_bytes", "i8"),
        ("dropped_bytes", "i8"),
        ("n_offered", "i8"),  # packets; streams count a packet per 1500 bytes
        ("n_served", "i8"),
        ("n_dropped", "i8"),
        ("queue_mean_bytes", "f8"),  # over the interval's TTIs
        ("queue_max_bytes", "i8"),
        ("n_backlog_tti", "i8"),  # TTIs with something in the queue
        ("activity_ratio", "f8"),  # part of TTIs with a backlog or a transfer under way
        ("delay_sum_ms", "f8"),  # of packets served, from the queue's end to the air's: sum, sum of squares,
        ("delay_sq_sum_ms2", "f8"),
        ("delay_mean_ms", "f8"),  # mean (NaN without a packet), largest
        ("delay_max_ms", "f8"),
        ("n_late", "i8"),  # of them later than `budget_ms`
        ("jitter_ms", "f8"),  # RFC 3550 section 6.4.1, at the end of the interval
        ("rtt_ms", "f8"),  # `rtt_ms` of the bearer + mean delay; NaN without a packet
        ("efficiency_bits", "f8"),  # of the user: bits a block, mean over time,
        ("efficiency_cv_ratio", "f8"),  # standard deviation over mean
        ("voice_sent", "i8"),  # voice packets and game ticks: sent,
        ("voice_dropped", "i8"),  # lost in the queue,
        ("voice_discarded", "i8"),  # too late for the jitter buffer,
        ("voice_gaps", "i8"),  # runs of lost or discarded ones
        ("playout_sum_ms", "f8"),  # sum over delivered ones of what the receiver waits
        ("n_voice", "i8"),  # voice packets and ticks that were delivered
        ("n_frames_sent", "i8"),  # VIDEO_CALL, CLOUD_GAME: frames sent,
        ("n_frames", "i8"),  # delivered within `budget_ms`
        ("frame_bytes", "i8"),  # bytes of the latter
        ("play", "i4"),  # Play at the end of the interval
        ("rung", "i4"),  # that is played at the end of the interval, -1: none
        ("played_ms", "i8"),  # media played
        ("played_bits", "f8"),  # its bits by the ladder: over played_ms the bitrate that is played
        ("stall_ms", "i8"),  # time stalled, without the initial loading
        ("loading_ms", "i8"),  # time of initial loading
        ("buffer_ms", "i8"),  # media in the buffer at the end of the interval
        ("n_segments", "i8"),  # segments fetched,
        ("segment_bytes", "i8"),  # and their bytes
        ("n_fetches", "i8"),  # pages or downloads done,
        ("fetch_sum_ms", "i8"),  # their times,
        ("fetch_bytes", "i8"),  # and their bytes
    ],
    align=True,
)
SEGMENT_DTYPE = np.dtype(
    [
        ("bearer", "i4"),
        ("rung", "i4"),
        ("bitrate_bps", "f8"),  # of the ladder
        ("request_ms", "i8"),
        ("first_ms", "i8"),  # first bytes
        ("done_ms", "i8"),
        ("size_bytes", "i8"),
        ("duration_ms", "i8"),
        ("media_ms", "i8"),  # where in the media it begins
    ],
    align=True,
)
STALL_DTYPE = np.dtype(
    [
        ("bearer", "i4"),
        ("initial", "?"),  # the initial loading
        ("ended", "?"),  # play began or went on; False: the source stopped first
        ("start_ms", "i8"),
        ("duration_ms", "i8"),
        ("media_ms", "i8"),  # where in the media
    ],
    align=True,
)
FETCH_DTYPE = np.dtype(
    [("bearer", "i4"), ("n_objects", "i4"), ("start_ms", "i8"), ("done_ms", "i8"), ("size_bytes", "i8")],
    align=True,
)


class Cell(NamedTuple):
    """A cell with its users, bearers, their state, and what was recorded.

    Attributes
    ----------
    config : ndarray of CONFIG_DTYPE, shape (1,)
    users : ndarray of USER_DTYPE, shape (n_users,)
    bearers : ndarray of BEARER_DTYPE, shape (n_bearers,)
    sources : ndarray of SOURCE_DTYPE, shape (n_bearers,)
    cqi : ndarray of int8, shape (n_rows, n_steps, n_subbands)
        CQI series, 0 (out of range) to 15.
    bits_per_rb : ndarray of float64, shape (16,)
        Bits that a resource block carries in a TTI, by CQI, in whole 1024ths.
    metric_bits_per_rb : ndarray of float64, shape (16,)
        What the scheduler's metric takes it to carry.
    ladder_bps : ndarray of float64, shape (n_ladders, n_rungs)
        Media bitrates, ascending; a shorter ladder repeats its last rung.
    ladder_log : ndarray of float64, shape (n_ladders, n_rungs)
        log(bitrate / lowest bitrate).
    n_rungs : ndarray of int64, shape (n_ladders,)
    state, tcp, players, flows : ndarrays, shape (n_bearers,)
        What goes on, by bearer.
    fading_db : ndarray of float64, shape (n_users, n_subbands)
    reports : ndarray of int8, shape (n_users, n_subbands, n_reports)
        The latest CQIs, as a ring.
    bits : ndarray of float64, shape (n_users, n_subbands)
        Bits per resource block, by the CQI that the scheduler sees.
    metric_bits : ndarray of float64, shape (n_users, n_subbands)
        The same for its metric.
    queue : ndarray of QUEUE_DTYPE, shape (n_bearers, capacity)
        Rings.
    acks : ndarray of int64, shape (n_bearers, n_slots)
        Bytes whose acknowledgement reaches the sender at a time modulo n_slots.
    rungs : ndarray of int8, shape (n_bearers, n_held)
        Rungs of the segments in a player's buffer, by number modulo n_held.
    repeats : ndarray of int64, shape (n_bearers, n_slots)
        Resource blocks of repetitions that fall due at a time modulo n_slots.
    metric : ndarray of float64, shape (2, n_bearers)
        Scratch of the scheduler: metric at rate 0, and its rise with the rate.
    order : ndarray of int64, shape (n_bearers,)
        Scratch of the scheduler: bearers with a backlog.
    plan : ndarray of float64, shape (3, N_AHEAD)
        Scratch of MPC: by step rung, value and buffer.
    records : ndarray of RECORD_DTYPE, shape (n_intervals + 1, n_bearers)
        By interval. In the row of an interval that is not over yet, means are still sums. The last row takes
        what happens after the end of the others.
    segments : ndarray of SEGMENT_DTYPE, shape (n,)
        Log, as are the next two; ``config["n_segments"]`` and so on tell how many there are.
    stalls : ndarray of STALL_DTYPE, shape (n,)
    fetches : ndarray of FETCH_DTYPE, shape (n,)
    """

    config: npt.NDArray[Any]
    users: npt.NDArray[Any]
    bearers: npt.NDArray[Any]
    sources: npt.NDArray[Any]
    cqi: npt.NDArray[np.int8]
    bits_per_rb: npt.NDArray[np.float64]
    metric_bits_per_rb: npt.NDArray[np.float64]
    ladder_bps: npt.NDArray[np.float64]
    ladder_log: npt.NDArray[np.float64]
    n_rungs: npt.NDArray[np.int64]
    state: npt.NDArray[Any]
    tcp: npt.NDArray[Any]
    players: npt.NDArray[Any]
    flows: npt.NDArray[Any]
    fading_db: npt.NDArray[np.float64]
    reports: npt.NDArray[np.int8]
    bits: npt.NDArray[np.float64]
    metric_bits: npt.NDArray[np.float64]
    queue: npt.NDArray[Any]
    acks: npt.NDArray[np.int64]
    rungs: npt.NDArray[np.int8]
    repeats: npt.NDArray[np.int64]
    metric: npt.NDArray[np.float64]
    order: npt.NDArray[np.int64]
    plan: npt.NDArray[np.float64]
    records: npt.NDArray[Any]
    segments: npt.NDArray[Any]
    stalls: npt.NDArray[Any]
    fetches: npt.NDArray[Any]
