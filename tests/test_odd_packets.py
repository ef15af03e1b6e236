"""What the twin of the kernel brought to light: rare packets that must not change what a record says."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from encapsulations import ETHERNET, Status
from wire import RAW_IP, SECOND, burst, ipv4, rtp, tcp, udp

from qoe.flows import Engine
from qoe.schema import Tunnel
from qoe_native.engine import decode_one

A, B = "10.0.0.1", "192.0.2.1"
MS = 1_000_000
SYN, SYN_ACK, ACK, PUSH = 2, 18, 16, 24

Frames = list[tuple[bytes, int]]


def flow_of(frames: Frames, link_type: int = RAW_IP, start_ns: int = SECOND) -> np.void:
    """The one flow that these frames make."""
    engine = Engine(idle_timeout_s=0, active_timeout_s=0, model=None, seed=7, max_flows=64)
    engine.process(burst([(frame, start_ns + ts_ns) for frame, ts_ns in frames], link_type))
    flows = engine.snapshot()
    assert len(flows) == 1
    return flows[0]  # type: ignore[no-any-return]


def marked(packet: bytes, dscp: int) -> bytes:
    """An IPv4 packet with a DSCP."""
    return packet[:1] + bytes([dscp << 2]) + packet[2:]


def tagged(packet: bytes) -> bytes:
    """An IPv4 packet in VLAN 5."""
    return bytes(12) + b"\x81\x00\x00\x05\x08\x00" + packet


def around(packet: bytes, dscp: int = 0) -> bytes:
    """An IP packet in another."""
    return marked(ipv4("198.51.100.1", "198.51.100.2", 4, packet, identification=9), dscp)


def in_two(packet: bytes, cut: int = 64) -> list[bytes]:
    """An IPv4 packet in two pieces."""
    head, body = packet[:20], packet[20:]
    pieces = ((body[:cut], 0x2000), (body[cut:], cut // 8))
    return [head[:2] + struct.pack(">HHH", 20 + len(b), 9, offset) + head[8:] + b for b, offset in pieces]


CONNECTION: Frames = [
    (tcp(A, 1, B, 443, SYN, 100), 0),
    (tcp(A, 1, B, 443, SYN, 100), 1000 * MS),
    (tcp(B, 443, A, 1, SYN_ACK, 500, 101), 1020 * MS),
    (tcp(A, 1, B, 443, ACK, 101, 501), 1025 * MS),
    (tcp(A, 1, B, 443, PUSH, 101, 501, 300), 1030 * MS),
    (tcp(B, 443, A, 1, ACK, 501, 401, 1000), 1055 * MS),
    (tcp(A, 1, B, 443, ACK, 401, 1501), 1056 * MS),
]


@pytest.mark.parametrize("change", [tagged, lambda packet: marked(packet, 10)], ids=["vlan", "dscp"])
def test_tcp_is_measured_alike_in_a_tunnel(change) -> None:  # type: ignore[no-untyped-def]
    """A tag or a mark changes neither round trips nor retransmissions of a connection."""
    plain = flow_of(CONNECTION)
    other = flow_of(
        [(change(packet), t) for packet, t in CONNECTION], ETHERNET if change is tagged else RAW_IP
    )
    for name in ("n_rtt", "rtt_min_us", "rtt_mean_us", "handshake_rtt_us", "retransmissions_forward"):
        assert plain[name] == other[name], name


def test_an_unmarked_packet_does_not_erase_a_mark() -> None:
    """The DSCP is the direction's last one other than 0, in a VLAN as without."""
    packets = [marked(udp(A, 1, B, 2), dscp) for dscp in (46, 46, 46, 0)]
    plain = flow_of([(packet, i * MS) for i, packet in enumerate(packets)])
    in_vlan = flow_of([(tagged(packet), i * MS) for i, packet in enumerate(packets)], ETHERNET)
    assert (plain["dscp_forward"], in_vlan["dscp_forward"]) == (46, 46)


def test_a_tunnels_mark_is_not_the_flows() -> None:
    """The later piece of a tunnel's datagram has the tunnel's DSCP, which says nothing of the flow inside."""
    inside = marked(udp(A, 1, B, 2, bytes(200)), 46)
    pieces = in_two(around(inside, dscp=8))
    flow = flow_of([(pieces[0], 0), (pieces[1], MS)])
    assert (flow["packets_forward"], flow["dscp_forward"]) == (2, 46)


@pytest.mark.parametrize("gre", [b"\x30\x00\x08\x00", b"\x20\x00\x08\x00\0\0", b"\xb0\x00\x65\x58\0\0\0"])
def test_gre_shorter_than_its_flags_say_is_the_flow(gre: bytes) -> None:
    """A whole packet whose tunnel's header is too short holds no flow but its own."""
    found = decode_one(ipv4(A, B, 47, gre), RAW_IP)
    assert (found["status"], found["protocol"], found["tunnel"]) == (Status.FLOW, 47, 0)
    assert decode_one(ipv4(A, B, 47, bytes(2)), RAW_IP)["status"] == Status.FLOW
    outer = decode_one(ipv4(A, B, 4, ipv4(A, B, 47, gre)), RAW_IP)
    assert (outer["protocol"], Tunnel(outer["tunnel"])) == (47, Tunnel.IPIP)


def test_the_mean_gap_of_a_direction_that_began_before_the_flow() -> None:
    """Where the clock runs back before the first answer, the mean is still that of the gaps."""
    frames = [(udp(A, 1, B, 2), 100 * MS), (udp(B, 2, A, 1), 40 * MS), (udp(B, 2, A, 1), 110 * MS)]
    assert flow_of(frames)["iat_mean_us_reverse"] == pytest.approx(70_000, abs=1)
    frames[-1] = (udp(B, 2, A, 1), 60 * MS)
    assert flow_of(frames)["iat_mean_us_reverse"] == pytest.approx(20_000, abs=1)


def test_without_a_syn_there_is_no_handshake() -> None:
    """A first packet without any TCP flag, as when its header was cut off, is no SYN."""
    frames = [(tcp(A, 1, B, 443, 0, 100), 0), *CONNECTION[2:]]
    assert flow_of(frames)["handshake_rtt_us"] == 0


def test_rtp_from_before_the_first_packet_is_no_loss() -> None:
    """However late, a packet from before the first that was seen changes neither packets nor losses."""
    numbers = [1000, 1001, 1002, 1003]
    for back in (10, 62, 63, 90):
        sequence = [*numbers, 1003 - back, 1004]
        frames = [(udp(A, 4000, B, 5000, rtp(s, s * 160)), i * 20 * MS) for i, s in enumerate(sequence)]
        flow = flow_of(frames)
        assert (flow["rtp_packets_forward"], flow["rtp_lost_forward"], flow["rtp_reordered_forward"]) == (
            5,
            0,
            0,
        )


def test_a_connection_may_begin_at_sequence_number_zero() -> None:
    """A SYN with number 0 on ports that served another connection begins a new one."""
    frames = [(tcp(A, 1, B, 443, PUSH, 5_000_000 + 100 * i, 1, 100), i * MS) for i in range(3)]
    frames += [(tcp(A, 1, B, 443, SYN, 0), SECOND), (tcp(A, 1, B, 443, PUSH, 1, 1, 100), SECOND + MS)]
    assert flow_of(frames)["retransmissions_forward"] == 0
