"""Radio channels for the cell simulator: what a CQI carries, and CQI series of a channel model.

Plain NumPy, once before a simulation. A series from a measured trace serves as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# spectral efficiency by CQI, in bit/s/Hz; CQI 0 is out of range
EFFICIENCY = {
    # 3GPP TS 36.213 table 7.2.3-1; TS 38.214 table 5.2.2.1-2 is the same
    "36.213": (
        *(0.0, 0.1523, 0.2344, 0.3770, 0.6016, 0.8770, 1.1758, 1.4766),
        *(1.9141, 2.4063, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152, 5.5547),
    ),
    # the transport block that a CQI leads to: the highest MCS whose efficiency (3GPP R1-081483) is at most
    # the CQI's, its I_TBS (TS 36.213 table 7.1.7.1-1), over 120 elements a block: even I_TBS have the
    # efficiencies of the CQI table, odd ones lie halfway; I_TBS 26 carries 36,696 bits in 50 blocks (table
    # 7.1.7.2.1-1)
    "36.213-mcs": (
        *(0.0, 0.2344, 0.3770, 0.6016, 0.8770, 1.1758, 1.3262, 1.6954),
        *(2.1602, 2.5684, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152, 6.1160),
    ),
    # 3GPP TS 38.214 table 5.2.2.1-3, up to 256QAM
    "38.214-256qam": (
        *(0.0, 0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305),
        *(3.3223, 3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141, 7.4063),
    ),
}
OVERHEAD_RATIO = 48 / 168
"""Part of a resource block pair's 168 elements that carries no data: three symbols of control channel (36),
and the cell-specific reference signals of two antenna ports outside of them (12); 3GPP TS 36.211 sections 6.8
and 6.10.1."""
TARGET_BER = 5e-5
_N_POINTS = 8
_RB_HZ = 180e3
# power delay profiles, 3GPP TS 36.101 table B.2.1-2 and -3
PROFILES = {
    "EPA": ((0, 30, 70, 90, 110, 190, 410), (0.0, -1.0, -2.0, -3.0, -8.0, -17.2, -20.8)),
    "EVA": (
        (0, 30, 150, 310, 370, 710, 1090, 1730, 2510),
        (0.0, -1.5, -1.4, -3.6, -0.6, -9.1, -7.0, -12.0, -16.9),
    ),
}


def efficiency_bits(table: str = "36.213", overhead_ratio: float = OVERHEAD_RATIO) -> npt.NDArray[np.float64]:
    """Bits that a resource block carries in a TTI, by CQI.

    12 subcarriers times 14 symbols times the efficiency, less the overhead.

    Parameters
    ----------
    table : {"36.213", "36.213-mcs", "38.214-256qam"}
        Efficiencies of the CQI itself (3GPP TS 36.213 table 7.2.3-1, TS 38.214 table 5.2.2.1-3), or of the
        transport block that an LTE base station chooses for it, which is coarser.
    overhead_ratio : float
        Part of the resource elements that carries no data, 0 to below 1.

    Returns
    -------
    ndarray of float64, shape (16,)

    Raises
    ------
    ValueError
        Unknown table, or overhead outside its range.
    """
    if table not in EFFICIENCY:
        raise ValueError(f"table: no CQI table {table!r}: choose from {', '.join(EFFICIENCY)}")
    if not 0.0 <= overhead_ratio < 1.0:
        raise ValueError(f"overhead_ratio: {overhead_ratio} is not from 0 to below 1")
    return np.array(EFFICIENCY[table]) * (12 * 14 * (1.0 - overhead_ratio))


def snr_to_cqi(snr_db: npt.ArrayLike, table: str = "36.213") -> npt.NDArray[np.int8]:
    """CQI that a user reports at an SNR.

    The highest whose efficiency is at most log2(1 + SNR / G), G = -ln(5 BER) / 1.5 being the gap of coded
    QAM to Shannon's capacity at a bit error ratio of 5e-5 (Piro, Baldo and Miozzo, WNS3 2011, eq. 1).

    Parameters
    ----------
    snr_db : array_like
    table : {"36.213", "38.214-256qam"}

    Returns
    -------
    ndarray of int8, shape of `snr_db`
        0 to 15.
    """
    return _to_cqi(_capacity(np.asarray(snr_db, np.float64)), table)


def _capacity(snr_db: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    gap = -np.log(5.0 * TARGET_BER) / 1.5
    return np.asarray(np.log2(1.0 + 10.0 ** (snr_db / 10.0) / gap))


def _to_cqi(efficiency: npt.NDArray[np.float64], table: str) -> npt.NDArray[np.int8]:
    if table.endswith("-mcs"):
        raise ValueError(f"table: {table!r} is what a CQI leads to, not how it is chosen: take '36.213'")
    return np.searchsorted(EFFICIENCY[table][1:], efficiency, side="right").astype(np.int8)


def _rayleigh(rng: np.random.Generator, n: int, doppler: float) -> npt.NDArray[np.complex128]:
    """Draw a fading process of power 1 whose Doppler spectrum is Jakes', periodic in n.

    Gaussian lines of a spectrum, weighted and transformed (Young and Beaulieu, IEEE Trans. Commun. 48, 2000);
    `doppler` is the largest shift, in cycles a step.
    """
    shift = np.abs(np.fft.fftfreq(n))
    # the weight of a line is what the spectrum 1 / sqrt(1 - (f/fd)^2) holds within half a line of it
    edges = [np.arcsin(np.clip((shift + side / n) / doppler, -1.0, 1.0)) for side in (-0.5, 0.5)]
    power = edges[1] - edges[0]
    lines = (rng.standard_normal(n) + 1j * rng.standard_normal(n)) * np.sqrt(power / 2.0)
    return np.asarray(np.fft.ifft(lines) * n / np.sqrt(power.sum()))


def _shadowing(rng: np.random.Generator, n: int, keep: float) -> npt.NDArray[np.float64]:
    """AR(1) process of variance 1 (Gudmundson, Electron. Lett. 27, 1991)."""
    from scipy.signal import lfilter

    kicks = rng.standard_normal(n) * np.sqrt(1.0 - keep * keep)
    kicks[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], kicks))


def make_cqi(
    mean_snr_db: Sequence[float] | npt.NDArray[np.float64],
    duration_ms: int,
    *,
    step_ms: int = 10,
    n_subbands: int = 1,
    n_rb: int = 50,
    doppler_hz: float | Sequence[float] = 5.0,
    profile: str = "EPA",
    shadow_db: float = 6.0,
    shadow_ms: float = 10_000.0,
    table: str = "36.213",
    seed: int = 0,
) -> npt.NDArray[np.int8]:
    """CQI series of users in a fading channel.

    Mean SNR, plus shadowing (first-order autoregressive, in dB), plus multipath fading of a 3GPP profile with
    Jakes' Doppler spectrum. A subband's CQI comes from its mean capacity.

    Parameters
    ----------
    mean_snr_db : sequence of float, length n_users
    duration_ms : int
        The series; its multipath part is periodic, so that it can be repeated.
    step_ms : int
        Spacing of the series.
    n_subbands : int
        1: one wideband CQI.
    n_rb : int
        Bandwidth in resource blocks of 180 kHz.
    doppler_hz : float or sequence of float, length n_users
        Largest Doppler shift: speed times carrier frequency over the speed of light; at 2 GHz 5.6 Hz for
        3 km/h. 0: no multipath.
    profile : {"EPA", "EVA"}
        3GPP TS 36.101 annex B.2.1.
    shadow_db, shadow_ms : float
        Standard deviation and correlation time of the shadowing.
    table : {"36.213", "38.214-256qam"}
    seed : int

    Returns
    -------
    ndarray of int8, shape (n_users, n_steps, n_subbands)
        0 to 15.

    Raises
    ------
    ValueError
        A step too coarse for the Doppler shift (above half a cycle), or an unknown profile or table.
    """
    mean = np.atleast_1d(np.asarray(mean_snr_db, np.float64))
    doppler = np.broadcast_to(np.asarray(doppler_hz, np.float64), mean.shape) * step_ms / 1000.0
    if doppler.size and doppler.max() >= 0.5:
        most = 500.0 / step_ms
        raise ValueError(f"doppler_hz: steps of {step_ms} ms show less than {most:g} Hz: take shorter steps")
    if profile not in PROFILES:
        raise ValueError(f"profile: no {profile!r}: choose from {', '.join(PROFILES)}")
    n_steps = max(1, duration_ms // step_ms)
    n_points = max(n_subbands, _N_POINTS // n_subbands * n_subbands)
    keep = float(np.exp(-step_ms / shadow_ms))
    cqi = np.empty((mean.size, n_steps, n_subbands), np.int8)
    for user, rng in enumerate(np.random.default_rng(seed).spawn(mean.size)):
        snr_db = mean[user] + shadow_db * _shadowing(rng, n_steps, keep)[:, None]
        gain = multipath_db(rng, n_steps, n_points, doppler[user], n_rb * _RB_HZ, profile)
        capacity = _capacity(snr_db + gain).reshape(n_steps, n_subbands, -1)
        cqi[user] = _to_cqi(capacity.mean(axis=2), table)
    return cqi


def multipath_db(
    rng: np.random.Generator, n_steps: int, n_points: int, doppler: float, bandwidth_hz: float, profile: str
) -> npt.NDArray[np.float64]:
    """Gain of a multipath channel over time and frequency.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_steps : int
        Length of the series, which is periodic.
    n_points : int
        Frequencies, at equal distances across the band.
    doppler : float
        Largest Doppler shift in cycles a step, 0 (a gain of 0 dB throughout) to below 0.5.
    bandwidth_hz : float
    profile : {"EPA", "EVA"}
        3GPP TS 36.101 annex B.2.1.

    Returns
    -------
    ndarray of float64, shape (n_steps, n_points)
        In dB; the mean power is 1.
    """
    if doppler <= 0.0:
        return np.zeros((n_steps, n_points))
    delays_ns, powers_db = PROFILES[profile]
    power = 10.0 ** (np.array(powers_db) / 10.0)
    frequency_hz = bandwidth_hz * (np.arange(n_points) + 0.5) / n_points
    turn = np.exp(-2j * np.pi * 1e-9 * np.outer(delays_ns, frequency_hz))
    taps = np.stack([_rayleigh(rng, n_steps, doppler) for _ in delays_ns], axis=1)
    response = (taps * np.sqrt(power / power.sum())) @ turn
    return np.asarray(10.0 * np.log10(np.maximum(np.abs(response) ** 2, 1e-6)))
