"""What a flow record says of awkward traffic: lost, late, repeated, restarted, seen from the middle."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
from captures import Packet, pcap
from hypothesis import given
from hypothesis import strategies as st
from wire import RAW_IP, SECOND, burst, rtp, tcp, udp

from qoe.errors import EngineError
from qoe.flows import Engine
from qoe.schema import FlowFlag, Option, RecordArray, Signal
from qoe_native.engine import CaptureReader

A, B = "10.0.0.1", "192.0.2.1"
MS = 1_000_000
SYN, SYN_ACK, ACK, PUSH = 2, 18, 16, 24

Frames = list[tuple[bytes, int]]


def flow_of(frames: Frames, **options: object) -> np.void:
    """The one flow that these frames make."""
    settings: dict[str, object] = {"idle_timeout_s": 0, "active_timeout_s": 0, "model": None, "seed": 7}
    engine = Engine(**{**settings, **options})  # type: ignore[arg-type]
    engine.process(burst(frames))
    flows = engine.snapshot()
    assert len(flows) == 1
    return flows[0]  # type: ignore[no-any-return]


def download(isn: int, start: int, n: int, client: int = 1) -> Frames:
    """A connection with `n` segments from the server, in order."""
    frames = [
        (tcp(A, client, B, 443, SYN, 100), start),
        (tcp(B, 443, A, client, SYN_ACK, isn, 101), start + 20 * MS),
        (tcp(A, client, B, 443, ACK, 101, isn + 1), start + 25 * MS),
    ]
    segments = [
        (tcp(B, 443, A, client, ACK, isn + 1 + 1000 * i, 101, 1000), start + (30 + i) * MS) for i in range(n)
    ]
    return frames + segments


def test_reused_ports_are_no_retransmissions() -> None:
    """A second connection on the same ports, with lower sequence numbers, counts nothing as sent again."""
    flow = flow_of(download(5_000_000, 0, 50) + download(1_000, SECOND, 50))
    assert flow["retransmissions_reverse"] == 0


def test_a_stray_segment_does_not_spoil_what_follows() -> None:
    """One segment with a sequence number far away leaves the count as it was."""
    frames = download(1_000, 0, 20)
    frames.append((tcp(B, 443, A, 1, ACK, 3_000_000_000, 101, 1000), 60 * MS))
    frames += [(tcp(B, 443, A, 1, ACK, 21_001 + 1000 * i, 101, 1000), (61 + i) * MS) for i in range(20)]
    assert flow_of(frames)["retransmissions_reverse"] == 0


def test_reordering_and_retransmission_are_told_apart() -> None:
    """Late by microseconds after a hole is reordering; late by a timeout is a retransmission."""
    frames = download(1_000, 0, 10)
    later = [11_001 + 1000 * i for i in range(4)]
    order = [later[3], later[0], later[1], later[2]]
    frames += [
        (tcp(B, 443, A, 1, ACK, seq, 101, 1000), 100 * MS + i * 100_000) for i, seq in enumerate(order)
    ]
    frames.append((tcp(B, 443, A, 1, ACK, 16_001, 101, 1000), 200 * MS))
    frames.append((tcp(A, 1, B, 443, ACK, 101, 15_001), 449 * MS))
    frames.append((tcp(B, 443, A, 1, ACK, 15_001, 101, 1000), 450 * MS))
    flow = flow_of(frames)
    assert flow["out_of_order_reverse"] == 3
    assert flow["retransmissions_reverse"] == 1


def test_a_repeated_syn_times_nothing() -> None:
    """The handshake's round trip is not measured over a retransmission (Karn)."""
    frames = [
        (tcp(A, 1, B, 443, SYN, 100), 0),
        (tcp(A, 1, B, 443, SYN, 100), SECOND),
        (tcp(B, 443, A, 1, SYN_ACK, 500, 101), SECOND + 20 * MS),
        (tcp(A, 1, B, 443, ACK, 101, 501), SECOND + 21 * MS),
    ]
    assert flow_of(frames)["handshake_rtt_us"] == 0
    assert int(flow_of(frames[1:])["handshake_rtt_us"]) == pytest.approx(21_000, abs=2)


def test_a_cut_tcp_header_says_nothing_of_tcp() -> None:
    """With only the ports captured there is neither a zero window nor a missing SYN."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None)
    whole = burst([(tcp(A, 1, B, 443, PUSH, 5, 6, 100), i) for i in range(10)])
    packets = whole.packets.copy()
    packets["captured_len"] = 28
    engine.process(type(whole)(whole.data, packets))
    flow = engine.snapshot()[0]
    assert flow["packets_forward"] == 10
    assert flow["zero_windows_forward"] == 0
    assert not flow["flags"] & FlowFlag.MID_FLOW


@pytest.mark.parametrize("first", ["client", "server"])
def test_chunks_are_seen_from_the_middle_of_a_flow(first: str) -> None:
    """Responses are told from requests though the handshake was missed, whoever is seen first."""
    frames = [] if first == "client" else [(tcp(B, 443, A, 50_000, ACK, 1, 1, 100), 0)]
    for n in range(4):
        start = (n + 1) * SECOND
        frames.append((tcp(A, 50_000, B, 443, PUSH, 1 + 400 * n, 1, 400), start))
        frames += [
            (tcp(B, 443, A, 50_000, ACK, 101 + 42_000 * n + 1400 * i, 1, 1400), start + i * MS)
            for i in range(30)
        ]
    assert flow_of(frames)["n_chunks"] == 3


def call(sequences: list[int], ssrc: int = 7, start: int = 0) -> Frames:
    """RTP packets every 20 ms with these sequence numbers."""
    return [
        (udp(A, 4000, B, 5000, rtp(s, s * 160, ssrc=ssrc)), start + i * 20 * MS)
        for i, s in enumerate(sequences)
    ]


def test_rtp_survives_a_wild_packet_and_a_restart() -> None:
    """One far-off sequence number is ignored; two in a row are a restart, and what was counted stands."""
    wild = flow_of(call([*range(500), 40_000, *range(500, 950)]))
    assert (wild["rtp_packets_forward"], wild["rtp_lost_forward"]) == (950, 0)
    restarted = flow_of(call([*range(100), *range(110, 200), *range(30_000, 30_100)]))
    assert (restarted["rtp_lost_forward"], restarted["rtp_loss_runs_forward"]) == (10, 1)
    assert restarted["rtp_packets_forward"] == 289


def test_rtp_wraps() -> None:
    """Sequence numbers pass 65,535 several times without a loss being made up."""
    flow = flow_of(call([n & 0xFFFF for n in range(140_000) if n % 1000 != 500]))
    assert (flow["rtp_lost_forward"], flow["rtp_loss_runs_forward"]) == (140, 140)


def test_rtp_duplicates_and_swaps() -> None:
    """Duplicates hide no loss, and swapped neighbours are no loss."""
    sequences = [s for n in range(0, 200, 2) for s in (n + 1, n)]
    swapped = flow_of(call([0, 1, 2, *[s + 3 for s in sequences]]))
    assert (swapped["rtp_lost_forward"], swapped["rtp_loss_runs_forward"]) == (0, 0)
    assert swapped["rtp_reordered_forward"] == 100
    kept = [n for n in range(200) if n < 4 or n % 10]
    late = [s for previous, n in pairwise(kept) for s in ((n, previous) if n > 4 else (n,))]
    doubled = flow_of(call([0, *late]))
    assert (doubled["rtp_lost_forward"], doubled["rtp_loss_runs_forward"]) == (19, 19)


def test_rtp_of_two_sources_in_one_flow() -> None:
    """Interleaved sources: one is measured whole; a burst of another does not erase it."""
    audio, video = call(list(range(300))), call(list(range(5000, 5300)), ssrc=9, start=MS)
    both = sorted(audio + video, key=lambda item: item[1])
    flow = flow_of(both)
    assert flow["signals"] & Signal.RTP
    assert (flow["rtp_packets_forward"], flow["rtp_lost_forward"]) == (300, 0)
    burst_of_video = [(udp(A, 4000, B, 5000, rtp(i, 0, ssrc=9)), 2 * SECOND + i * 1000) for i in range(60)]
    flow = flow_of(
        call(list(range(100))) + burst_of_video + call(list(range(100, 200)), start=2 * SECOND + 20 * MS)
    )
    assert (flow["rtp_ssrc_forward"], flow["rtp_packets_forward"]) == (7, 200)


def test_histograms_and_moments_of_a_long_flow() -> None:
    """After 200,000 packets of one size the histogram is still all in one bin, and the deviation 0."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None, seed=1, options=Option.TRACE_FEATURES)
    frame = udp(A, 4000, B, 5000, bytes(1300))
    for start in range(0, 200_000, 10_000):
        engine.process(burst([(frame, (start + i) * MS) for i in range(10_000)]))
    flow = engine.snapshot()[0]
    assert flow["size_std_forward"] == pytest.approx(0, abs=1e-3)
    assert flow["iat_std_us_forward"] == pytest.approx(0, abs=1)
    assert np.count_nonzero(flow["size_hist_forward"]) == 1
    features = engine.decisions()["features"]
    assert features[-1, 23] == 1, "forward_size_1200"
    assert features[-1, 30:38].sum() == pytest.approx(1)


@given(
    st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 1400), st.booleans()), min_size=4, max_size=40)
)
def test_features_are_numbers_whatever_the_clock(events: list[tuple[int, int, bool]]) -> None:
    """No order of times, sizes and directions makes a feature that is no number."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None, seed=1, options=Option.TRACE_FEATURES)
    engine.process(
        burst(
            [
                (tcp(B, 443, A, 5, ACK, 1, 1, n) if back else tcp(A, 5, B, 443, PUSH, 1, 1, n), t)
                for t, n, back in events
            ]
        )
    )
    engine.flush()
    assert np.isfinite(engine.decisions()["features"]).all()
    assert np.isfinite(engine.export()["chunk_gap_mean_s"]).all()


def test_dns_is_told_by_its_message_not_its_port() -> None:
    """Any identifier passes for DNS; bytes that are none do not, whatever the port."""
    question = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"
    for first in range(0, 256, 5):
        flow = flow_of([(udp(A, 4000, B, 9953, bytes([first, 7]) + question), 1)])
        assert flow["signals"] == Signal.DNS
    assert flow_of([(udp(A, 4000, B, 53, b"\xff" * 40), 1)])["signals"] == 0


def test_a_small_table_loses_no_flow_of_a_capture() -> None:
    """consume() hands back before ended flows would be overwritten."""
    frames = [udp(f"10.1.{i >> 8}.{i & 255}", 5, B, 6) for i in range(10_000)]
    engine = Engine(max_flows=1000, model=None, seed=1)
    reader = CaptureReader()
    data = pcap([Packet(i * 1000, frame, len(frame)) for i, frame in enumerate(frames)], link=RAW_IP)
    handed: list[RecordArray] = []
    at = 0
    while (status := engine.consume(reader)) != "end":
        if status == "export":
            handed.append(engine.export())
            continue
        part = data[at : at + 65_536]
        reader.space()[: len(part)] = part
        reader.commit(len(part))
        at += len(part)
        if not part:
            reader.finish()
    engine.flush()
    handed.append(engine.export())
    assert engine.counters()["exports_lost"] == 0
    assert sum(map(len, handed)) == 10_000


def test_a_clock_that_fell_back_frees_its_flows() -> None:
    """Flows dated far ahead end once the clock is far behind them."""
    engine = Engine(idle_timeout_s=1, active_timeout_s=0, model=None, seed=1)
    engine.process(burst([(udp(A, i, B, 9), 10**6 * SECOND) for i in range(1, 50)]))
    engine.process(burst([(udp(A, 99, B, 9), SECOND)]))
    assert engine.advance(SECOND) + engine.n_live >= 1
    assert engine.n_live == 1


def test_one_engine_is_for_one_thread_at_a_time() -> None:
    """A second thread is refused with a sentence, and nothing breaks."""
    engine = Engine(model=None, seed=1)
    work = burst([(udp(A, i % 60_000 + 1, B, 9), i) for i in range(50_000)])
    refused: list[str] = []

    def pound() -> None:
        for _ in range(20):
            try:
                engine.process(work)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=pound) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.counters()["packets"] == 50_000 * (60 - len(refused))
    assert all("another thread" in message for message in refused)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": -1}, "seed"),
        ({"min_confidence": float("nan")}, "min_confidence"),
        ({"options": 255}, "options"),
    ],
)
def test_parameters_are_refused_by_name(options: dict[str, object], named: str) -> None:
    """The message names the parameter that is wrong, not another."""
    with pytest.raises(EngineError, match=named):
        Engine(model=None, **options)  # type: ignore[arg-type]


def test_a_clock_that_leaps_over_centuries_measures_nothing_negative() -> None:
    """Times of all 64 bits: those beyond 63 bits count as their end, and no mean or deviation is odd."""
    leaps = (0, 2**64 - 1, 1, 2**63, 2**63 - 1, 5)
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None, options=Option.TRACE_FEATURES)
    engine.process(burst([(udp(A, 1, B, 9), ts_ns) for ts_ns in leaps * 4]))
    engine.advance(2**64 - 1)
    (flow,) = engine.snapshot()
    assert (flow["first_ns"], flow["last_ns"], engine.now_ns) == (0, 2**63 - 1, 2**63 - 1)
    for name in flow.dtype.names or ():
        if name.startswith("iat_"):
            assert 0 <= flow[name] < np.inf, name
    features = engine.decisions()["features"]
    assert len(features) > 0
    assert np.isfinite(features).all()
    assert features.min() >= 0
