"""Minimum-size frames over as many flows as one likes: the worst case of a flow table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from qoe.errors import ConfigError
from qoe.tools.busycell import START_NS
from qoe.tools.dice import Dice
from qoe.tools.mixkinds import mixed
from qoe.tools.packets import ETHERNET, UDP, Batch, Columns, build

_MAX_FLOWS: Final = 1 << 24
_PIECE_PACKETS: Final = 16_384
_PAYLOAD_BYTES: Final = 64 - 14 - 20 - 8


def uniform(flows: int, packets: int, seed: int = 1) -> Iterator[Batch]:
    """Yield UDP frames of 64 bytes over IPv4, one a microsecond, in random order over all flows.

    Parameters
    ----------
    flows : int
        How many, up to 16,777,216.
    packets : int
        How many. Flows take turns: each round is a random permutation of them all.
    seed : int
        Of the permutations.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """
    if not (0 < flows <= _MAX_FLOWS and packets > 0):
        raise ConfigError(
            f"{flows} flows, {packets} packets: give 1 to {_MAX_FLOWS} flows and 1 packet or more"
        )
    dice = Dice(seed, 11)
    done = 0
    while done < packets:
        order = np.argsort(dice.randoms(flows), kind="stable")[: packets - done]
        for start in range(0, len(order), _PIECE_PACKETS):
            yield build(_columns(order[start : start + _PIECE_PACKETS], done + start), ETHERNET, 0)
        done += len(order)


def _columns(flow: npt.NDArray[np.intp], first: int) -> Columns:
    n = len(flow)
    src, dst = np.zeros((n, 16), np.uint8), np.zeros((n, 16), np.uint8)
    src[:, 0], src[:, 1], src[:, 2], src[:, 3] = 10, flow >> 16, flow >> 8 & 0xFF, flow & 0xFF
    dst[:, :4] = (198, 18, 0, 1)
    return Columns.of(
        n,
        ts_ns=START_NS + 1000 * (first + np.arange(n)),
        src=src,
        dst=dst,
        version=4,
        protocol=UDP,
        ttl=64,
        sport=1024 + mixed(flow, 8) % 60_000,
        dport=5000,
        payload_bytes=_PAYLOAD_BYTES,
    )
