"""Web pages, downloads and generic laws: from waiting time or throughput to MOS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qoe.errors import ProblemError
from qoe.mos._numeric import Numeric, elementwise


class Task(Enum):
    """What a user waits for (ITU-T G.1030): (slope, offset in s) of the shortest noticed time."""

    ONE_PAGE = (0.005, 0.24)
    TWO_PAGES = (0.011, 0.47)
    SINGLE_EVENT = (0.003, 0.12)


@elementwise
def mos_page(session_time_s: Numeric, max_expected_s: Numeric = 6.0, task: Task = Task.ONE_PAGE) -> Any:
    """MOS of a web session from the time it takes (ITU-T G.1030).

    Parameters
    ----------
    session_time_s : float or ndarray
        Weighted session time; negative counts as 0.
    max_expected_s : float or ndarray
        Longest time the user expects, which gives MOS 1: 6, 15 and 60 s in the contexts studied. At
        least 1 s.
    task : Task
        One page, a search in two pages, or a single event.

    Returns
    -------
    float or ndarray
        MOS, 1 to 5.

    Notes
    -----
    ``MOS = 5 + 4 / ln(Min / Max) * (ln t - ln Min)``, clipped, with Min linear in Max.
    """
    slope, offset_s = task.value
    longest = np.maximum(max_expected_s, 1.0)
    shortest = slope * longest + offset_s
    waited = np.log(np.maximum(session_time_s, 1e-9) / shortest)
    return np.clip(5.0 + 4.0 * waited / np.log(shortest / longest), 1.0, 5.0)


@elementwise
def mos_throughput(throughput_bps: Numeric) -> Any:
    """MOS of web browsing at a throughput, for a page of about 130 kB.

    Parameters
    ----------
    throughput_bps : float or ndarray
        Rate available to the user; negative counts as 0.

    Returns
    -------
    float or ndarray
        MOS, 1 to 5.

    Notes
    -----
    ``5 - 578 / (1 + ((T_kbps + 541.1) / 45.98)^2)``, the form of :func:`mos_response_time` used in
    scheduler literature and simulators.
    """
    kbps = np.maximum(throughput_bps, 0.0) / 1e3
    return np.clip(5.0 - 578.0 / (1.0 + ((kbps + 541.1) / 45.98) ** 2), 1.0, 5.0)


@elementwise
def mos_response_time(response_s: Numeric) -> Any:
    """MOS of web browsing from the response time: ``5 - 578 / (1 + (11.77 + 22.61 / d)^2)``.

    Parameters
    ----------
    response_s : float or ndarray
        Time until the page is there; negative counts as 0.

    Notes
    -----
    Ameigeiras et al., "QoE oriented cross-layer design of a resource allocation algorithm in beyond 3G
    systems", Computer Communications 33 (2010); consistent with :func:`mos_throughput`.
    """
    return np.clip(5.0 - 578.0 / (1.0 + (11.77 + 22.61 / np.maximum(response_s, 1e-9)) ** 2), 1.0, 5.0)


@elementwise
def mos_page_load_log(load_s: Numeric) -> Any:
    """MOS of web browsing from the page load time: ``4.6746 - 1.120 ln(d)``, clipped to 1..5.

    Parameters
    ----------
    load_s : float or ndarray
        Page load time; negative counts as 0.

    Notes
    -----
    Rugelj et al. (2014). The constants have not been compared with the paper's print.
    """
    return np.clip(4.6746 - 1.120 * np.log(np.maximum(load_s, 1e-9)), 1.0, 5.0)


@elementwise
def mos_ftp(throughput_bps: Numeric) -> Any:
    """MOS of a file transfer: ``0.0065 T_kbps - 0.54``, clipped to 1..5 (5 from 852 kbit/s).

    Parameters
    ----------
    throughput_bps : float or ndarray
        Rate of the transfer.

    Notes
    -----
    A straight line used in scheduler literature and simulators.
    """
    return np.clip(0.0065 * throughput_bps / 1e3 - 0.54, 1.0, 5.0)


@elementwise
def mos_download(
    throughput_bps: Numeric, mos1_bps: Numeric = 10e3, mos5_bps: Numeric = 300e3, loss_ratio: Numeric = 0.0
) -> Any:
    """MOS of a download, logarithmic in its goodput between two anchors.

    Parameters
    ----------
    throughput_bps : float or ndarray
        Rate of the transfer.
    mos1_bps, mos5_bps : float or ndarray
        Rates that give MOS 1 and MOS 5 (``mos5_bps > mos1_bps > 0``).
    loss_ratio : float or ndarray
        Packet error probability, clipped to 0..1; reduces the goodput.

    Returns
    -------
    float or ndarray
        MOS, 1 to 5.

    Notes
    -----
    ``a log10(b R (1 - PEP))`` with `a` and `b` solved from the anchors such that MOS(mos1) = 1 and
    MOS(mos5) = 5; form of Thakolsri, Khan, Steinbach and Kellerer (2009).
    """
    a = 4.0 / np.log10(mos5_bps / mos1_bps)
    goodput = np.maximum(throughput_bps, 0.0) * (1.0 - np.clip(loss_ratio, 0.0, 1.0))
    return np.clip(1.0 + a * np.log10(goodput / mos1_bps), 1.0, 5.0)


@elementwise
def mos_needed(throughput_bps: Numeric, needed_bps: Numeric) -> Any:
    """MOS proportional to the part of the needed rate that is there: ``1 + 4 T / needed``, at most 5.

    Parameters
    ----------
    throughput_bps : float or ndarray
        Rate available; negative counts as 0.
    needed_bps : float or ndarray
        Rate that satisfies the application entirely, more than 0.
    """
    return np.clip(1.0 + 4.0 * throughput_bps / needed_bps, 1.0, 5.0)


@elementwise
def page_time_s(page_bytes: Numeric, rate_bps: Numeric, rtt_s: Numeric, mss_bytes: Numeric = 1460.0) -> Any:
    """Time to fetch a page over one fresh TCP connection: handshakes, slow start, then line rate.

    Parameters
    ----------
    page_bytes : float or ndarray
        Size of the page (S).
    rate_bps : float or ndarray
        Rate of the path (R), more than 0.
    rtt_s : float or ndarray
        Round-trip time.
    mss_bytes : float or ndarray
        Segment size.

    Returns
    -------
    float or ndarray
        ``3 RTT + S/R + L (MSS/R + RTT) - 2 MSS (2^L - 1) / R``, never below ``3 RTT + S/R``.

    Notes
    -----
    The slow-start model common in cross-layer scheduling papers; L, the rounds in which the sender
    waits for acknowledgements, is ``min(log2(R RTT / MSS + 1) - 1, log2(S / (2 MSS) + 1) - 1)``, at
    least 0. Sizes are in bits there.
    """
    size, mss = page_bytes * 8.0, mss_bytes * 8.0
    rounds = np.minimum(np.log2(rate_bps * rtt_s / mss + 1.0), np.log2(size / (2.0 * mss) + 1.0)) - 1.0
    rounds = np.maximum(rounds, 0.0)
    stalled = rounds * (mss / rate_bps + rtt_s) - 2.0 * mss * (2.0**rounds - 1.0) / rate_bps
    return 3.0 * rtt_s + size / rate_bps + np.maximum(stalled, 0.0)


MOS_ENDS: Final = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Iqx:
    """The IQX law: quality falls exponentially with a disturbance, ``a exp(-b x) + c``.

    Fiedler, Hossfeld and Tran-Gia, "A generic quantitative relationship between quality of experience
    and quality of service", IEEE Network 24(2), 2010.

    Attributes
    ----------
    a, b, c : float
        Range, rate (1 / unit of x) and floor.
    """

    a: float
    b: float
    c: float

    def mos(self, disturbance: Numeric) -> Any:
        """MOS at a disturbance (loss, delay, waiting time …), clipped to 1..5."""
        return _iqx(disturbance, self.a, self.b, self.c)

    @classmethod
    def fit(cls, disturbance: npt.ArrayLike, mos: npt.ArrayLike) -> Iqx:
        """Fit the law to observations by least squares.

        Parameters
        ----------
        disturbance, mos : array_like, shape (n,)
            At least three finite observations, at two or more disturbances.

        Raises
        ------
        ProblemError
            The observations cannot determine the law.
        """
        from scipy.optimize import minimize_scalar

        x, y = _observations(disturbance, mos, least=3)
        scale = float(np.ptp(x))

        def linear(log_b: float) -> tuple[float, float, float]:
            basis = np.column_stack([np.exp(-np.exp(log_b) * (x - x.min()) / scale), np.ones_like(x)])
            solution, *_ = np.linalg.lstsq(basis, y, rcond=None)
            return float(np.sum((basis @ solution - y) ** 2)), float(solution[0]), float(solution[1])

        grid = np.linspace(np.log(1e-3), np.log(1e3), 61)
        start = int(np.argmin([linear(log_b)[0] for log_b in grid]))
        bounds = grid[max(start - 1, 0)], grid[min(start + 1, grid.size - 1)]
        log_b = float(minimize_scalar(lambda v: linear(v)[0], bounds=bounds, method="bounded").x)
        _, a, c = linear(log_b)
        b = float(np.exp(log_b)) / scale
        return cls(a=a * float(np.exp(b * x.min())), b=b, c=c)


@dataclass(frozen=True, slots=True)
class Wql:
    """The Weber-Fechner law of waiting times: quality falls with the logarithm, ``b - a ln t``.

    Egger et al., "Time is bandwidth? Narrowing the gap between subjective time perception and quality
    of experience", IEEE ICC 2012.

    Attributes
    ----------
    a : float
        MOS lost for every factor e in time.
    b : float
        MOS at 1 s.
    """

    a: float
    b: float

    def mos(self, waiting_s: Numeric) -> Any:
        """MOS after a waiting time (negative counts as 0), clipped to 1..5."""
        return _wql(waiting_s, self.a, self.b)

    @classmethod
    def fit(cls, waiting_s: npt.ArrayLike, mos: npt.ArrayLike) -> Wql:
        """Fit the law to observations by least squares.

        Parameters
        ----------
        waiting_s, mos : array_like, shape (n,)
            At least two finite observations, at two or more positive times.

        Raises
        ------
        ProblemError
            The observations cannot determine the law.
        """
        x, y = _observations(waiting_s, mos, least=2)
        if x.min() <= 0:
            raise ProblemError("Wql.fit: waiting times must be above 0 s, as the law takes their logarithm")
        slope, intercept = np.polyfit(np.log(x), y, 1)
        return cls(a=-float(slope), b=float(intercept))


@elementwise
def _iqx(disturbance: Numeric, a: float, b: float, c: float) -> Any:
    return np.clip(a * np.exp(-b * disturbance) + c, *MOS_ENDS)


@elementwise
def _wql(waiting_s: Numeric, a: float, b: float) -> Any:
    return np.clip(b - a * np.log(np.maximum(waiting_s, 1e-12)), *MOS_ENDS)


def _observations(x: npt.ArrayLike, y: npt.ArrayLike, least: int) -> tuple[Any, Any]:
    """Return `x` and `y` as float64 vectors fit for a regression."""
    xs, ys = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    if xs.size != ys.size or xs.size < least:
        raise ProblemError(f"fit: {xs.size} abscissae and {ys.size} scores; give {least} or more of each")
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()) or np.ptp(xs) == 0.0:
        raise ProblemError("fit: observations must be finite and not all at one abscissa")
    return xs, ys
