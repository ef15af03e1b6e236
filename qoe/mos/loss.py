"""Packet loss as speech hears it: burstiness, jitter-buffer discards, codec robustness, recency."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from qoe.mos._numeric import Numeric, clip_percent, elementwise

Tail = Literal["gaussian", "laplace"]
"""Assumed distribution of the packets' delays."""


@elementwise
def effective_impairment(
    ie: Numeric, bpl: Numeric, loss_percent: Numeric, burst_ratio: Numeric = 1.0, ceiling: Numeric = 95.0
) -> Any:
    """Ie,eff: the impairment of a codec under packet loss.

    Parameters
    ----------
    ie : float or ndarray
        Impairment of the codec without loss.
    bpl : float or ndarray
        Robustness to loss; values below 1, the least that G.107 permits, count as 1.
    loss_percent : float or ndarray
        Losses in the network plus discards in the jitter buffer, percent, clipped to 0..100.
    burst_ratio : float or ndarray
        1 for random losses, more for bursts; values below 1 count as 1.
    ceiling : float or ndarray
        What Ie,eff tends to: 95 in G.107 and G.107.1, 132 in G.107.2.

    Returns
    -------
    float or ndarray
        Ie,eff; above `ceiling` when a high burst ratio meets a high loss, as the formula has it.

    Notes
    -----
    ITU-T G.107 eq. 7-29: ``Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl)``.
    """
    loss = clip_percent(loss_percent)
    return ie + (ceiling - ie) * loss / (loss / np.maximum(burst_ratio, 1.0) + np.maximum(bpl, 1.0))


@elementwise
def burst_ratio(n_lost: Numeric, n_loss_runs: Numeric, n_received: Numeric) -> Any:
    """BurstR of an observed packet sequence.

    Parameters
    ----------
    n_lost, n_received : float or ndarray
        Packets lost and received.
    n_loss_runs : float or ndarray
        Runs of consecutive losses.

    Returns
    -------
    float or ndarray
        Mean observed run over the mean run of random losses at the same rate, 1 or more; 1 without loss.

    Notes
    -----
    ITU-T G.107 clause 7.5, definition of BurstR: random losses at rate p come in runs of 1 / (1 - p).
    """
    mean_run = n_lost / n_loss_runs
    return np.where(
        np.greater(n_loss_runs, 0), np.maximum(mean_run * n_received / (n_lost + n_received), 1.0), 1.0
    )


@elementwise
def burst_ratio_gilbert(p: Numeric, q: Numeric) -> Any:
    """BurstR of a two-state loss process (ITU-T G.107 clause 7.5): 1 / (p + q).

    Parameters
    ----------
    p, q : float or ndarray
        Probability to go from received to lost, and from lost to received, 0 to 1.
    """
    return 1.0 / (p + q)


@elementwise
def combined_loss_ratio(network_loss_ratio: Numeric, late_ratio: Numeric) -> Any:
    """Fraction of packets missing at the decoder: lost on the way, or there too late to be played."""
    network = np.clip(network_loss_ratio, 0.0, 1.0)
    return network + (1.0 - network) * np.clip(late_ratio, 0.0, 1.0)


@elementwise
def late_ratio(delay_std_ms: Numeric, buffer_ms: Numeric, tail: Tail = "gaussian") -> Any:
    """Fraction of packets that a fixed jitter buffer discards, from the spread of their delays.

    Parameters
    ----------
    delay_std_ms : float or ndarray
        Standard deviation of the one-way delay.
    buffer_ms : float or ndarray
        Headroom of the buffer above the mean delay.
    tail : {"gaussian", "laplace"}
        Distribution assumed; Laplace has the heavier tail, nearer to queues on shared links.

    Returns
    -------
    float or ndarray
        P(delay > mean + buffer), 0 to 0.5 for a non-negative buffer.

    Notes
    -----
    An estimate for when the packets' own times are not at hand. With them, count what comes late.
    """
    x = np.maximum(buffer_ms, 0.0) / np.maximum(delay_std_ms, np.finfo(float).tiny)
    if tail == "laplace":
        return 0.5 * np.exp(-np.sqrt(2.0) * x)
    from scipy.special import ndtr

    return ndtr(-x)


@elementwise
def delay_std_from_jitter(jitter_ms: Numeric, tail: Tail = "gaussian") -> Any:
    """Spread of delays from the RFC 3550 interarrival jitter, for independent delays.

    Parameters
    ----------
    jitter_ms : float or ndarray
        RFC 3550 section 6.4.1: a running mean of the absolute difference of consecutive transit times.
    tail : {"gaussian", "laplace"}
        Distribution assumed.

    Returns
    -------
    float or ndarray
        Standard deviation of the one-way delay.

    Notes
    -----
    For independent X, Y with standard deviation s, E|X - Y| is ``2 s / sqrt(pi)`` (Gaussian) or
    ``3 s / (2 sqrt(2))`` (Laplace). Delays that drift slowly have a wider spread than this says.
    """
    factor = 2.0 * np.sqrt(2.0) / 3.0 if tail == "laplace" else np.sqrt(np.pi) / 2.0
    return np.maximum(jitter_ms, 0.0) * factor


class PerceivedImpairment(NamedTuple):
    """How a listener's judgement follows bursts of loss.

    Attributes
    ----------
    average : float or ndarray
        Ie averaged over time.
    burst_end : float or ndarray
        Perceived Ie at the end of a burst (I1).
    gap_end : float or ndarray
        Perceived Ie at the end of a gap (I2).
    """

    average: Any
    burst_end: Any
    gap_end: Any


def perceived_impairment(
    ie_burst: Numeric,
    ie_gap: Numeric,
    burst_s: Numeric,
    gap_s: Numeric,
    *,
    onset_s: float = 5.0,
    recovery_s: float = 15.0,
) -> PerceivedImpairment:
    """Impairment averaged over alternating bursts and gaps, as it is perceived.

    Parameters
    ----------
    ie_burst, ie_gap : float or ndarray
        Ie,eff at the loss within bursts and within gaps (RFC 3611: a gap is 16 packets or more between
        losses).
    burst_s, gap_s : float or ndarray
        Mean length of a burst and of a gap, more than 0.
    onset_s, recovery_s : float
        Time constants with which the perception worsens and recovers.

    Returns
    -------
    PerceivedImpairment
        Average, and the values at the ends of bursts and gaps.

    Notes
    -----
    ETSI TS 101 329-5 Annex E (after A. Clark): the perceived Ie relaxes exponentially towards `ie_burst`
    and `ie_gap`; these are its steady-state values. The time constants are the customary ones.
    """
    burst, gap, b, g = (np.asarray(x, dtype=np.float64) for x in (ie_burst, ie_gap, burst_s, gap_s))
    worsen, recover = np.exp(-b / onset_s), np.exp(-g / recovery_s)
    gap_end = (gap * (1.0 - recover) + burst * (1.0 - worsen) * recover) / (1.0 - worsen * recover)
    burst_end = burst - (burst - gap_end) * worsen
    area = b * burst + g * gap - onset_s * (burst - gap_end) * (1.0 - worsen)
    area += recovery_s * (burst_end - gap) * (1.0 - recover)
    results = (area / (b + g), burst_end, gap_end)
    return PerceivedImpairment(*(float(x) if x.ndim == 0 else x for x in results))


@elementwise
def with_recency(
    average: Numeric, burst_end: Numeric, since_burst_s: Numeric, weight: float = 0.7, decay_s: float = 30.0
) -> Any:
    """Impairment at the end of a call: the average, drawn towards the last burst.

    Parameters
    ----------
    average, burst_end : float or ndarray
        From :func:`perceived_impairment`.
    since_burst_s : float or ndarray
        Time from the end of the last burst to the end of the call.
    weight, decay_s : float
        Strength and decay of the recency effect (customary values).

    Notes
    -----
    ETSI TS 101 329-5 Annex E: ``Ie,av + k (I1 - Ie,av) exp(-y / t3)``.
    """
    return average + weight * (burst_end - average) * np.exp(-np.maximum(since_burst_s, 0.0) / decay_s)
