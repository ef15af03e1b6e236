"""ns-3's proportional fair scheduler (PfFfMacScheduler) in plain Python: slow and obvious.

Each group of each TTI goes to the user with the largest r/R. r is the transport block of that one group at
its CQI; R is the exponential average of the transport blocks over 99 TTIs. All groups of a user make one
transport block, whose modulation and coding is that of the worst of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WINDOW_TTI = 99.0


def allocate(
    cqi: npt.NDArray[np.int8], bits: npt.NDArray[np.int64], n_tti: int, settle_tti: int = 1000
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share a cell among users who always have something to send.

    Parameters
    ----------
    cqi : ndarray, shape (n_users, n_steps, n_groups)
        By TTI; repeats.
    bits : ndarray, shape (n_groups, 16)
        Transport block by number of groups, from 1, and CQI.
    n_tti : int
    settle_tti : int
        TTIs before those that count.

    Returns
    -------
    served_bytes, airtime_ratio : ndarray of float64, shape (n_users,)
    """
    n_users, n_steps, n_groups = cqi.shape
    rate = np.ones(n_users)
    served_bits = np.zeros(n_users)
    groups = np.zeros(n_users)
    for tti in range(-settle_tti, n_tti):
        now = cqi[:, tti % n_steps]
        winner = np.argmax(bits[0][now] / rate[:, None], axis=0)
        got = np.zeros(n_users)
        for user in np.unique(winner):
            own = now[user, winner == user]
            got[user] = bits[own.size - 1, own.min()]
            groups[user] += own.size if tti >= 0 else 0
        rate += (got - rate) / WINDOW_TTI
        if tti >= 0:
            served_bits += got
    return served_bits / 8.0, groups / (n_groups * n_tti)
