"""MOS as a function of share, one curve a bearer: what the optimiser trades.

The curves come from the same functions of :mod:`qoe.applications` that judge what was measured, moved so
that the observed share gives what those models say of what was observed. A share is a part of the rate
`efficiency_bps`, in the mean over time: a bearer that is active a tenth of the time moves at ten times
``share * efficiency_bps`` while it is.

=========  =====================================================================================
class      curve
=========  =====================================================================================
video      Staircase: the highest rung of the player's ladder within 0.8 of the throughput; the rung
           being played stays until the rate falls below what was seen; stalls below the lowest, and
           where fading empties the buffer (`qoe.utility.streaming`).
voip       Cliff: what is sent and not carried is lost; near it, waiting. A call with picture follows
           the rate.
gaming     Cliff, with the delay; cloud gaming gains with the rate above what it sends (G.1072).
web        Page time (G.1030) of a reader who asks for the next page when this one was read.
bulk       Logarithm of the rate.
other      Steep up to the observed rate or a small need, then nearly flat.
unknown    Concave around the observed rate: neither starved nor favoured.
=========  =====================================================================================

How much video, downloads and pages would take if they could is read from the class, never from a rate that
a throttle may have set. A share near the load costs waiting; what was measured of it at the observed share
fades as a queue's does with a growing rate (`qoe.utility.queueing`). The direction in which an application
sends little (acknowledgements, requests) is concave up to its observed rate. What is uncertain widens the
curve (`qoe.utility.robust`): curves are mixed by class probability; what is not decided is `unknown` alone.
"""

from qoe.utility.bearer import BEARER_DTYPE, N_RUNGS_MOST, is_support
from qoe.utility.tabulate import N_POINTS, Robust, class_weights, curves

__all__ = ["BEARER_DTYPE", "N_POINTS", "N_RUNGS_MOST", "Robust", "class_weights", "curves", "is_support"]
