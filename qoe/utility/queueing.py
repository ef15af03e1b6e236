"""What waiting is left at a share, and what is lost when a share is less than what is sent.

Calls and games send at their own pace. The guaranteed rate R of a share serves them as a queue of their own
(generalised processor sharing: Parekh and Gallager, IEEE/ACM Trans. Networking 1(3), 1993, section II), in
which a packet of L bits spends

    ``T = L/R (1 + K rho / (1 - rho)) - L/C``,   ``rho = offered rate / R``

more than it would alone at the rate C: its own transmission and the waiting of the heavy-traffic formula of
Kingman (Proc. Cambridge Phil. Soc. 57, 1961, theorem 2) for general arrivals and services, where ``K`` is
half the sum of their squared coefficients of variation. At ``K = 1/2``, equal packets that come at random,
it is exact (Pollaczek and Khinchine, M/D/1). It grows without bound as the offered rate comes near R, so it
is cut at the waiting that was measured: more share never made anybody wait longer. Below the observed share
the queue fills up to its limit and what is not carried is lost.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from qoe.schema import FloatArray, RecordArray
from qoe.utility.bearer import known, need_bps

RTT_MS: Final = 50.0
"""Round trip where none was seen."""
_JITTER_MS: Final = 5.0
_PACKET_BYTES: Final = 200.0
_BURSTINESS: Final = 0.5  # equal packets at random times
_FULL_QUEUE_MS: Final = 60.0  # waiting in a queue that what is sent overflows
_OVERLOAD: Final = 0.05  # overload that fills it


def sojourn_ms(bearers: RecordArray, rate_bps: FloatArray) -> FloatArray:
    """Time that packets sent at their own pace spend at a guaranteed rate, beyond that at the whole rate.

    Parameters
    ----------
    bearers : ndarray of BEARER_DTYPE, shape (n,)
    rate_bps : ndarray of float64, shape (n, m)
        Guaranteed while active, above 0.

    Returns
    -------
    ndarray of float64, shape (n, m)
        Infinite where no more is guaranteed than is offered.
    """
    load = need_bps(bearers)[:, None] / rate_bps
    packet_bits = 8.0 * known(bearers, "packet_bytes", _PACKET_BYTES)
    variation = np.maximum(known(bearers, "burstiness_ratio", _BURSTINESS), 0.0)
    spare = np.maximum(1.0 - load, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        queueing = np.where(spare > 0.0, 1.0 + variation * load / spare, np.inf)
    alone = packet_bits / bearers["efficiency_bps"][:, None]
    beyond_ms: FloatArray = np.maximum(1e3 * (packet_bits / rate_bps * queueing - alone), 0.0)
    return beyond_ms


def relief(bearers: RecordArray, rate_bps: FloatArray, observed_bps: FloatArray) -> FloatArray:
    """Part of the measured queueing of calls and games that is left at a rate while active, 0 to 1."""
    seen_ms = np.maximum(known(bearers, "queue_ms", 0.0), known(bearers, "jitter_ms", _JITTER_MS))
    left = sojourn_ms(bearers, np.maximum(rate_bps, 1.0)) / np.maximum(seen_ms, 1e-9)
    return np.where(rate_bps <= observed_bps, 1.0, np.clip(left, 0.0, 1.0))


def path(bearers: RecordArray, left: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Round trip and jitter, in ms, with a part of the measured queueing left."""
    rtt_ms, queue_ms = known(bearers, "rtt_ms", RTT_MS), known(bearers, "queue_ms", 0.0)
    return np.maximum(rtt_ms - queue_ms * (1.0 - left), 0.0), known(bearers, "jitter_ms", _JITTER_MS) * left


def overload(
    bearers: RecordArray, rate_bps: FloatArray, observed_bps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Loss ratio when not all that is sent is carried, and waiting in ms beyond what was measured."""
    lost = 1.0 - np.clip(rate_bps / need_bps(bearers)[:, None], 0.0, 1.0)
    short = observed_bps / np.maximum(rate_bps, 1.0) - 1.0
    return lost, _FULL_QUEUE_MS * np.clip(short / _OVERLOAD, 0.0, 1.0)
