"""Broken captures go through the reader and the kernel: everything is counted, nothing is raised."""

from __future__ import annotations

import pytest
from fuzz.drive import replay
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.tools.mutate import corpus
from qoe_native.engine import STATUS_NAMES


def _check(counted: dict[str, int]) -> None:
    assert counted["packets"] == counted["read_packets"]
    assert sum(counted["packets_" + name] for name in STATUS_NAMES) == counted["packets"]
    assert counted["flows"] + counted["exports_lost"] == counted["flows_created"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_corpus(seed: int) -> None:
    """Mutated captures: every packet read has one status, every flow made is handed out or counted lost."""
    for capture in corpus(200, seed):
        _check(replay(capture))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 64))
def test_any_bytes(capture: bytes, piece: int) -> None:
    """Bytes that are no capture at all, in pieces of any size."""
    _check(replay(capture, piece))
