"""Slow, obvious twins of the kernel's measurements, in plain Python.

They read raw IP packets (IPv4, or IPv6 without extension headers, and TCP or UDP): what the generator's
busy cell holds. They share no code with the kernel.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
import struct
from dataclasses import dataclass, field


@dataclass
class Packet:
    """One decoded packet."""

    key: tuple[str, int, str, int, int]
    ts_ns: int
    wire_len: int
    payload_len: int
    payload: bytes
    flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 1


def decode(ip: bytes, wire_len: int, ts_ns: int) -> Packet:
    """Read the IP and TCP/UDP headers of one raw IP packet."""
    if ip[0] >> 4 == 4:
        total, protocol, at = int.from_bytes(ip[2:4], "big"), ip[9], 4 * (ip[0] & 15)
        src, dst = ipaddress.ip_address(ip[12:16]), ipaddress.ip_address(ip[16:20])
    else:
        total, protocol, at = 40 + int.from_bytes(ip[4:6], "big"), ip[6], 40
        src, dst = ipaddress.ip_address(ip[8:24]), ipaddress.ip_address(ip[24:40])
    segment = ip[at:]
    sport, dport = struct.unpack(">HH", segment[:4]) if protocol in (6, 17) else (0, 0)
    key = (str(src), sport, str(dst), dport, protocol)
    if protocol == 6:
        seq, ack, offset, flags, window = struct.unpack(">IIBBH", segment[4:16])
        header = 4 * (offset >> 4)
        payload_len = total - at - header
        return Packet(
            key, ts_ns, wire_len, payload_len, segment[header : header + payload_len], flags, seq, ack, window
        )
    header = 8 if protocol == 17 else 0
    payload_len = total - at - header
    return Packet(key, ts_ns, wire_len, payload_len, segment[header : header + payload_len])


def _bin(value: float, edges: tuple[float, ...]) -> int:
    return sum(value >= edge for edge in edges)


@dataclass
class Rtp:
    """RFC 3550 appendix A.1 and A.8 over every packet of one source, with the losses counted by gaps."""

    ssrc: int
    clock_hz: int
    sequences: list[int] = field(default_factory=list)
    arrivals: list[tuple[int, int]] = field(default_factory=list)

    def jitter_us(self) -> float:
        """Interarrival jitter (RFC 3550 section 6.4.1), in microseconds."""
        jitter = 0.0
        for (t0, r0), (t1, r1) in zip(self.arrivals, self.arrivals[1:], strict=False):
            gap = (t1 - t0) / 1e3 - 1e6 * (r1 - r0) / self.clock_hz
            jitter += (abs(gap) - jitter) / 16
        return jitter

    def lost(self) -> int:
        """Sequence numbers between the first and last that never came."""
        return self.sequences[-1] - self.sequences[0] + 1 - len(self.sequences)

    def loss_runs(self) -> int:
        """Runs of consecutive missing numbers."""
        return sum(b - a > 1 for a, b in zip(self.sequences, self.sequences[1:], strict=False))


@dataclass
class Flow:
    """All packets of one flow, and what is to be known of them."""

    packets: list[tuple[Packet, int]] = field(default_factory=list)

    def of(self, way: int) -> list[Packet]:
        """Packets of one direction."""
        return [p for p, w in self.packets if w == way]

    def record(self) -> dict[str, object]:
        """The measured fields, under their names in FLOW_DTYPE."""
        times = [p.ts_ns for p, _ in self.packets]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        out: dict[str, object] = {
            "first_ns": times[0],
            "last_ns": max(times),
            "n_idle": sum(g >= 1_000_000_000 for g in gaps),
            "gap_hist": _histogram([_bin(g / 1e6, (1, 5, 15, 30, 60, 200, 1000)) for g in gaps], 8),
            "first_sizes": [(-1) ** w * p.payload_len for p, w in self.packets[:12]],
            "first_gaps": ([_log_code(1 + g / 1e3) for g in [0, *gaps[:11]]] + [0] * 12)[:12],
        }
        for way, name in enumerate(("forward", "reverse")):
            out.update({f"{key}_{name}": value for key, value in self._direction(way).items()})
        return out

    def _direction(self, way: int) -> dict[str, object]:
        packets = self.of(way)
        sizes = [p.payload_len for p in packets]
        iats = [(b.ts_ns - a.ts_ns) / 1e3 for a, b in itertools.pairwise(packets)]
        flags = 0
        for p in packets:
            flags |= p.flags
        return {
            "packets": len(packets),
            "bytes": sum(p.wire_len for p in packets),
            "payload_bytes": sum(sizes),
            "size_std": _std(sizes) if len(sizes) > 1 else 0.0,
            "iat_mean_us": sum(iats) / len(iats) if iats else 0.0,
            "iat_std_us": _std(iats),
            "iat_max_us": max(iats, default=0.0),
            "size_hist": _histogram([_bin(s, (1, 100, 300, 700, 1200)) for s in sizes], 6),
            "tcp_flags": flags,
            "zero_windows": sum(p.window == 0 and not p.flags & 6 for p in packets),
            "retransmissions_and_reordered": self._repeats(packets),
        }

    @staticmethod
    def _repeats(packets: list[Packet]) -> int:
        """TCP segments that begin before the highest byte seen (neither keep-alives nor pure ACKs)."""
        highest, n = None, 0
        for p in packets:
            length = p.payload_len + bool(p.flags & 2) + bool(p.flags & 1)
            if not length:
                continue
            ahead = 0 if highest is None else (p.seq - highest + 2**31) % 2**32 - 2**31
            n += ahead < 0 and not (length == 1 and ahead == -1)
            if highest is None or (p.seq + length - highest + 2**31) % 2**32 - 2**31 > 0:
                highest = (p.seq + length) % 2**32
        return n

    def rtp(self, way: int, clock_hz: int) -> Rtp:
        """The RTP stream of one direction (one source; RTCP and STUN left out), with 32-bit clocks kept."""
        stream: Rtp | None = None
        for p in self.of(way):
            if len(p.payload) < 12 or p.payload[0] >> 6 != 2 or 64 <= p.payload[1] & 127 <= 95:
                continue
            sequence, timestamp, ssrc = struct.unpack(">HII", p.payload[2:12])
            if stream is None:
                stream = Rtp(ssrc, clock_hz)
            stream.sequences.append(sequence)
            stream.arrivals.append((p.ts_ns, timestamp))
        assert stream is not None
        return stream


def _histogram(bins: list[int], n: int) -> list[int]:
    """Count, and halve all when one is at 255."""
    counts = [0] * n
    for bin_ in bins:
        if counts[bin_] == 255:
            counts = [c // 2 for c in counts]
        counts[bin_] += 1
    return counts


def _log_code(value: float) -> int:
    """8 e + m for value = 2^e (1 + m/8), m rounded down."""
    fraction, exponent = math.frexp(value)
    return min(255, 8 * (exponent - 1) + int(8 * (2 * fraction - 1)))


def _std(values: list[float] | list[int]) -> float:
    if not values:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))


def track(frames: list[tuple[bytes, int, int]]) -> dict[tuple[str, int, str, int, int], Flow]:
    """Group (frame, wire length, time) into bidirectional flows; the key is the first packet's direction."""
    flows: dict[tuple[str, int, str, int, int], Flow] = {}
    for frame, wire_len, ts_ns in frames:
        packet = decode(frame, wire_len, ts_ns)
        src, sport, dst, dport, protocol = packet.key
        reverse = (dst, dport, src, sport, protocol)
        if reverse in flows:
            flows[reverse].packets.append((packet, 1))
        else:
            flows.setdefault(packet.key, Flow()).packets.append((packet, 0))
    return flows
