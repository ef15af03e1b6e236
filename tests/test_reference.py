"""The kernel's flow records against slow, obvious twins, field by field, on the example capture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference

import qoe
from qoe.flows import Engine, addresses
from qoe.schema import RecordArray

EXAMPLE = Path(__file__).parent.parent / "examples" / "busy-cell.pcapng"
EXACT = [
    "first_ns",
    "last_ns",
    "n_idle",
    "gap_hist",
    "packets_forward",
    "packets_reverse",
    "bytes_forward",
    "bytes_reverse",
    "payload_bytes_forward",
    "payload_bytes_reverse",
    "size_hist_forward",
    "size_hist_reverse",
    "tcp_flags_forward",
    "tcp_flags_reverse",
    "first_gaps",
    "zero_windows_forward",
    "zero_windows_reverse",
]
CLOSE = [
    "size_std_forward",
    "size_std_reverse",
    "iat_mean_us_forward",
    "iat_mean_us_reverse",
    "iat_std_us_forward",
    "iat_std_us_reverse",
]

Pairs = list[tuple[np.void, reference.Flow]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Every flow of the example, as the kernel has it and as the twin has it."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None)
    frames = []
    for burst in qoe.read([str(EXAMPLE)]):
        engine.process(burst)
        frames += [
            (
                burst.data[p["offset"] : p["offset"] + p["captured_len"]].tobytes(),
                int(p["wire_len"]),
                int(p["ts_ns"]),
            )
            for p in burst.packets
        ]
    flows = engine.snapshot()
    twins = reference.track(frames)
    assert len(flows) == len(twins)
    return [(flow, twins[key]) for flow, key in zip(flows, _keys(flows), strict=True)]


def _keys(flows: RecordArray) -> list[tuple[str, int, str, int, int]]:
    src, dst = addresses(flows)
    return [
        (s, int(f["src_port"]), d, int(f["dst_port"]), int(f["protocol"]))
        for f, s, d in zip(flows, src, dst, strict=True)
    ]


@pytest.mark.parametrize("name", EXACT)
def test_exact_fields(pairs: Pairs, name: str) -> None:
    """Counts, times and histograms equal the twin's to the last unit."""
    for flow, twin in pairs:
        np.testing.assert_array_equal(flow[name], twin.record()[name])


@pytest.mark.parametrize("name", CLOSE)
def test_moments(pairs: Pairs, name: str) -> None:
    """Moments kept in single precision are within a part in a thousand of the largest value seen."""
    for flow, twin in pairs:
        expected = twin.record()[name]
        scale = 1500.0 if name.startswith("size") else float(flow["iat_max_us" + name[name.rindex("_") :]])
        assert flow[name] == pytest.approx(expected, rel=2e-3, abs=2e-3 * scale + 1.5)


@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_the_longest_gap(pairs: Pairs, way: str) -> None:
    """The longest inter-arrival time is kept to eight significant bits, rounded down."""
    for flow, twin in pairs:
        kept, exact = float(flow[f"iat_max_us_{way}"]), twin.record()[f"iat_max_us_{way}"]
        assert exact * (1 - 2**-7) <= kept * (1 + 1e-6)
        assert kept <= exact * (1 + 1e-6)


def test_first_sizes(pairs: Pairs) -> None:
    """The first packets' signed payload sizes are the twin's."""
    for flow, twin in pairs:
        n = flow["n_first"]
        assert flow["first_sizes"][:n].tolist() == twin.record()["first_sizes"]


def test_repeated_segments(pairs: Pairs) -> None:
    """Every TCP segment that begins before the highest byte seen is a retransmission or reordered."""
    total = 0
    for flow, twin in pairs:
        if flow["protocol"] != 6:
            continue
        for way in ("forward", "reverse"):
            repeats = twin.record()[f"retransmissions_and_reordered_{way}"]
            assert flow[f"retransmissions_{way}"] + flow[f"out_of_order_{way}"] == repeats
            total += int(repeats)
    assert total > 50, "the example's cell is congested: segments are lost and sent again"


def test_rtp(pairs: Pairs) -> None:
    """Loss, loss runs and jitter of every RTP stream are the twin's."""
    streams = 0
    for flow, twin in pairs:
        for way, name in enumerate(("forward", "reverse")):
            if flow[f"rtp_payload_type_{name}"] == 255 or flow[f"rtp_reordered_{name}"]:
                continue
            stream = twin.rtp(way, int(flow[f"rtp_clock_hz_{name}"]) or 1)
            assert flow[f"rtp_ssrc_{name}"] == stream.ssrc
            assert flow[f"rtp_packets_{name}"] == len(stream.sequences)
            assert flow[f"rtp_lost_{name}"] == stream.lost()
            assert flow[f"rtp_loss_runs_{name}"] == stream.loss_runs()
            if flow[f"rtp_payload_type_{name}"] < 64:
                assert flow[f"rtp_jitter_us_{name}"] == pytest.approx(stream.jitter_us(), rel=0.02, abs=5)
            streams += 1
    assert streams >= 6


def test_handshake(pairs: Pairs) -> None:
    """The handshake's round trip is the time from the SYN to the acknowledgement of its answer."""
    checked = 0
    for flow, twin in pairs:
        if not flow["handshake_rtt_us"] or flow["protocol"] != 6:
            continue
        syn = twin.packets[0][0]
        answer = next(i for i, (p, way) in enumerate(twin.packets) if way == 1 and p.flags & 0x12 == 0x12)
        done = next(p for p, way in twin.packets[answer:] if way == 0 and p.flags & 0x12 == 0x10)
        assert flow["handshake_rtt_us"] == pytest.approx((done.ts_ns - syn.ts_ns) / 1e3, abs=1.5)
        checked += 1
    assert checked > 10
