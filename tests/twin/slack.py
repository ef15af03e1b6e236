"""How far the kernel's figures may be from the twin's: nothing, but for what stands here.

The kernel keeps sums of squares, means and jitter in single precision, a few figures in fewer bits, and when
the first packet in reverse came in whole microseconds. All that follows from it is written down here, as
absolute differences, computed from the twin's own values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qoe_native.engine import FEATURE_NAMES

from .moments import WAYS, Fields

FloatArray = npt.NDArray[np.float64]

SINGLE = 5e-7  # of a value: single precision, rounded a few times
SUMMED = 1e-3  # of a sum of some 100,000 such values
EIGHT_BITS = 1 / 128  # of a value that is kept to eight significant bits
SINCE_US = 1.0  # of a mean gap in reverse
COLUMNS = ("size_mean", "size_std", "iat_us", "iat_cv", "iat_max_us")
STEP = 1 / 255  # of a probability
SHARES = 4e-3  # of a probability: leaves are kept in 65,535 parts, before hints multiply them by up to 50


def flow_slack(record: Fields) -> dict[str, float]:
    """What is allowed to each field of one flow's record; the others are exact."""
    out = {
        "handshake_rtt_us": 1.0,  # rounded up, so that 0 says that there is none
        "chunk_bytes_mean": SINGLE * record["chunk_bytes_mean"],
        # by the difference of two large numbers, which is imprecise where all chunks are nearly equal
        "chunk_bytes_std": SINGLE * record["chunk_bytes_mean"] + SINGLE * record["chunk_bytes_std"],
        "chunk_gap_mean_s": SINGLE * record["chunk_gap_mean_s"],
        "probability": STEP / 2 + SHARES,
        "confidence": STEP / 2 + SHARES,
    }
    for way in WAYS:
        largest_us = record[f"iat_max_us_{way}"]
        out |= {
            f"size_std_{way}": size_std_slack(record[f"size_std_{way}"], size_mean(record, way)),
            f"iat_mean_us_{way}": SINGLE * largest_us + SINCE_US,
            f"iat_std_us_{way}": iat_std_slack(record[f"iat_std_us_{way}"], largest_us),
            f"iat_max_us_{way}": EIGHT_BITS * largest_us,
            f"rtp_jitter_us_{way}": SUMMED / 10 * record[f"rtp_jitter_us_{way}"] + 0.01,
        }
    return out


def size_mean(record: Fields, way: str) -> float:
    """Mean payload of a packet."""
    return float(record[f"payload_bytes_{way}"] / max(record[f"packets_{way}"], 1))


def size_std_slack(size_std: Any, size_mean: Any) -> Any:
    """Of the deviation of sizes, from a mean that is only known to a share of itself."""
    return SUMMED * size_std + SINGLE * size_mean


def iat_std_slack(iat_std_us: Any, largest_us: Any) -> Any:
    """Of the deviation of gaps, each of which is only known to a share of itself."""
    return SUMMED * iat_std_us + SINGLE * largest_us + SINCE_US


def feature_slack(features: FloatArray) -> FloatArray:
    """What is allowed to each feature, an array of the same shape (n, 64)."""
    out = SINGLE * abs(features)
    for way in WAYS:
        columns = [FEATURE_NAMES.index(f"{way}_{name}") for name in COLUMNS]
        size, size_std, mean, ratio, largest = columns
        mean_us, largest_us = features[:, mean], features[:, largest]
        out[:, size_std] = size_std_slack(features[:, size_std], features[:, size])
        out[:, largest] = EIGHT_BITS * largest_us
        out[:, mean] = SINGLE * largest_us + SINCE_US
        std_slack_us = iat_std_slack(features[:, ratio] * mean_us, largest_us)
        with np.errstate(divide="ignore"):  # a mean of next to nothing says nothing
            out[:, ratio] = (std_slack_us + features[:, ratio] * out[:, mean]) / np.maximum(
                mean_us - SINCE_US, 0
            )
    return out
