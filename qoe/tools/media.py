"""Real-time media sources: calls with RTP and RTCP, and a cloud game's stream of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from qoe.tools.cellqueue import Packet
from qoe.tools.dice import Dice
from qoe.tools.events import MS, SECOND, Process
from qoe.tools.sources import Scene, Site, datagram_pair

_STUN_COOKIE: Final = b"\x21\x12\xa4\x42"
_NTP_EPOCH_S: Final = 2_208_988_800
_FRAGMENT_BYTES: Final = 1_188


def rtp_header(payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """Return the twelve bytes of RFC 3550 section 5.1."""
    return (
        bytes([0x80, payload_type | marker << 7])
        + (sequence & 0xFFFF).to_bytes(2, "big")
        + (timestamp & 0xFFFFFFFF).to_bytes(4, "big")
        + ssrc.to_bytes(4, "big")
    )


@dataclass(frozen=True, slots=True)
class Codec:
    """A speech codec in RTP; sizes of payload in bytes, `silence` the chance a second that talk turns."""

    name: str
    payload_type: int
    clock_hz: int
    low_bytes: int
    high_bytes: int
    silence: float = 0.0


PCMU: Final = Codec("pcmu", 0, 8_000, 160, 161)
OPUS: Final = Codec("opus", 111, 48_000, 58, 92)
OPUS_DTX: Final = Codec("opus-dtx", 111, 48_000, 58, 92, 0.5)


class RtpStream:
    """One direction of media: its sender's counters and its receiver's statistics (RFC 3550 appendix A).

    Parameters
    ----------
    scene : Scene
        Its clock and its dice.
    payload_type, clock_hz : int
        Of the stream.
    send : callable
        ``send(payload_bytes, prefix, deliver, extra_ns)``.
    """

    def __init__(self, scene: Scene, payload_type: int, clock_hz: int, send: Callable[..., None]) -> None:
        dice = self._dice = scene.dice
        self.payload_type, self.clock_hz = payload_type, clock_hz
        self._loop, self._send = scene.net.loop, send
        self.ssrc = dice.integer(1, 1 << 32)
        self.first = self.sequence = dice.integer(0, 30_000)
        self.timestamp = dice.integer(0, 1 << 31)
        self.n_sent = self.n_bytes = 0
        self.n_received = self._highest = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._reported = (0, 0)
        self._delays_ms: list[float] = []

    def send(
        self,
        payload_bytes: int,
        marker: bool,
        extra_ns: int = 0,
        heard: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Send one packet; `heard` gets the time stamp when it arrives."""
        header = rtp_header(self.payload_type, marker, self.sequence, self.timestamp, self.ssrc)
        sequence, timestamp = self.sequence - self.first + 1, self.timestamp

        def arrive(packet: Packet) -> None:
            self.n_received += 1
            self._delays_ms.append((self._loop.now_ns - packet.sent_ns) / MS)
            self._highest = max(self._highest, sequence)
            self._arrived(timestamp)
            heard(timestamp)

        self._send(12 + payload_bytes, header, arrive, extra_ns)
        self.sequence += 1
        self.n_sent += 1
        self.n_bytes += payload_bytes

    def _arrived(self, timestamp: int) -> None:
        """Update the interarrival jitter."""
        transit = self._loop.now_ns * self.clock_hz / SECOND - timestamp
        if self._transit is not None:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit

    def truth(self) -> dict[str, float]:
        """Return what was sent and what arrived, and the one-way delay: its mean and its 95th percentile."""
        delays = sorted(self._delays_ms) or [0.0]
        return {
            "sent": self.n_sent,
            "received": self.n_received,
            "delay_mean_ms": sum(delays) / len(delays),
            "delay_p95_ms": delays[len(delays) * 95 // 100],
        }

    def report_block(self) -> bytes:
        """Return the block of a receiver report about this stream."""
        expected = max(self._highest, 1)
        lost = max(expected - self.n_received, 0)
        d_expected, d_received = expected - self._reported[0], self.n_received - self._reported[1]
        fraction = max(0, min(255, (d_expected - d_received) * 256 // max(d_expected, 1)))
        self._reported = (expected, self.n_received)
        return (
            self.ssrc.to_bytes(4, "big")
            + bytes([fraction])
            + lost.to_bytes(3, "big")
            + (self.first + self._highest - 1).to_bytes(4, "big")
            + int(self._jitter).to_bytes(4, "big")
            + bytes(8)
        )


def sender_report(now_ns: int, mine: RtpStream, theirs: RtpStream, cname: bytes) -> bytes:
    """Return a compound of sender report and source description (RFC 3550 section 6)."""
    seconds, rest = divmod(now_ns, SECOND)
    info = (seconds + _NTP_EPOCH_S).to_bytes(8, "big")[4:] + (rest * (1 << 32) // SECOND).to_bytes(4, "big")
    info += (mine.timestamp & 0xFFFFFFFF).to_bytes(4, "big")
    info += mine.n_sent.to_bytes(4, "big") + mine.n_bytes.to_bytes(4, "big")
    body = mine.ssrc.to_bytes(4, "big") + info + theirs.report_block()
    chunk = mine.ssrc.to_bytes(4, "big") + b"\x01" + bytes([len(cname)]) + cname + b"\0"
    chunk += bytes(-len(chunk) % 4)
    description = b"\x81\xca" + (len(chunk) // 4).to_bytes(2, "big") + chunk
    return b"\x81\xc8" + (len(body) // 4).to_bytes(2, "big") + body + description


def _stun(dice: Dice, up: Callable[..., None], down: Callable[..., None]) -> None:
    """One binding request and its response with the mapped address (RFC 8489)."""
    number = dice.octets(12)
    request = b"\0\x01\0\0" + _STUN_COOKIE + number

    def answer(packet: Packet) -> None:
        local = packet.flow.local
        key = _STUN_COOKIE + number
        plain = packet.flow.local_port.to_bytes(2, "big") + local
        mask = key[:2] + key[: len(local)]
        mapped = bytes(a ^ b for a, b in zip(plain, mask, strict=True))
        value = (b"\0\x01" if len(local) == 4 else b"\0\x02") + mapped
        attribute = b"\0\x20" + len(value).to_bytes(2, "big") + value
        response = b"\x01\x01" + len(attribute).to_bytes(2, "big") + key + attribute
        down(len(response), response)

    up(len(request), request, answer)


def call(
    scene: Scene, site: Site, codec: Codec, *, six: bool = False, far_jitter_ms: float = 0.0, tos: int = 0
) -> Process:
    """Hold a call: STUN, then speech every 20 ms both ways, reports about every 3 s on the port above.

    `far_jitter_ms` is what the far end's own access adds to the downlink, exceeding 20 ms now and then.
    """
    dice, loop = scene.dice, scene.net.loop
    label = ("voip", codec.name)
    port = 2 * scene.dice.integer(8_000, 16_000)
    up, down = datagram_pair(scene, site, port, label, six=six, tos=tos, local_port=port - 2_000)
    rtcp = datagram_pair(scene, site, port + 1, label, six=six, tos=tos, local_port=port - 1_999)
    for _ in range(2):
        _stun(dice, up, down)
        yield 2 * site.core_ns + 60 * MS
    streams = [RtpStream(scene, codec.payload_type, codec.clock_hz, send) for send in (up, down)]
    start_s = scene.now_s
    for number, stream in enumerate(streams):
        jitter_ms = far_jitter_ms if number else 0.0
        loop.spawn(_talk(scene, codec, stream, jitter_ms, talks_first=not number))
    while loop.now_ns < scene.end_ns:
        yield int(dice.between(2.4, 3.6) * SECOND)
        for number, send in enumerate(rtcp):
            report = sender_report(loop.now_ns, streams[number], streams[1 - number], b"caller")
            send(len(report), report)
    up_truth, down_truth = (stream.truth() for stream in streams)
    scene.who.note("voip", at_s=start_s, duration_s=scene.now_s - start_s, up=up_truth, down=down_truth)


def _talk(scene: Scene, codec: Codec, stream: RtpStream, jitter_ms: float, talks_first: bool) -> Process:
    """Send speech; a codec that knows silence sends a descriptor each 400 ms then (DTX)."""
    dice = scene.dice
    talking, started = talks_first or not codec.silence, True
    frame = codec.clock_hz // 50
    n_quiet = 0
    while scene.net.loop.now_ns < scene.end_ns:
        if codec.silence and dice.chance(codec.silence / 50):
            talking, started, n_quiet = not talking, not talking, 0
        if talking or n_quiet % 20 == 0:
            size = dice.integer(codec.low_bytes, codec.high_bytes) if talking else 3
            extra_ns = int(jitter_ms * MS * (3 * dice.random() if dice.chance(0.08) else dice.random() / 2))
            stream.send(size, started, extra_ns)
            started = False
        n_quiet += 1
        stream.timestamp += frame
        yield 20 * MS


def cloud_game(scene: Scene, site: Site, *, top_bps: int) -> Process:
    """Stream a game: 60 frames/s of video down in RTP, inputs up, a rate that yields to loss."""
    dice, loop = scene.dice, scene.net.loop
    up, down = datagram_pair(scene, site, 47_998, ("gaming", "cloud"))
    for _ in range(2):
        _stun(dice, up, down)
        yield 2 * site.core_ns + 20 * MS
    stream = RtpStream(scene, 96, 90_000, down)
    truth = scene.who.note("cloud_game", frames_sent=0, frames_whole=0, rates_bps=[])
    loop.spawn(_inputs(scene, up))
    yield from _frames(scene, stream, truth, top_bps)


def _inputs(scene: Scene, up: Callable[..., None]) -> Process:
    while scene.net.loop.now_ns < scene.end_ns:
        up(scene.dice.integer(44, 72), b"\x05" + scene.dice.octets(11))
        yield int(scene.dice.between(12.0, 42.0) * MS)


def _frames(scene: Scene, stream: RtpStream, truth: dict[str, Any], top_bps: int) -> Process:
    dice, loop = scene.dice, scene.net.loop
    rate_bps, seen = 0.7 * top_bps, (0, 0)
    missing: dict[int, int] = {}

    def heard(timestamp: int) -> None:
        missing[timestamp] -= 1
        truth["frames_whole"] += missing[timestamp] == 0

    for number in range(1 << 30):
        if loop.now_ns >= scene.end_ns:
            return
        if number % 60 == 59:
            rate_bps, seen = _adapt(rate_bps, top_bps, stream, seen)
            truth["rates_bps"].append(round(rate_bps))
        share = 2.5 if number % 120 == 0 else 0.99
        size = int(rate_bps / 8 / 60 * share * dice.between(0.8, 1.2))
        n_packets = -(-size // _FRAGMENT_BYTES)
        missing[stream.timestamp] = n_packets
        truth["frames_sent"] += 1
        for k in range(n_packets):
            part = min(_FRAGMENT_BYTES, size - k * _FRAGMENT_BYTES)
            stream.send(part, k == n_packets - 1, k * 200_000, heard)
        stream.timestamp += 1_500
        yield SECOND // 60


def _adapt(
    rate_bps: float, top_bps: int, stream: RtpStream, seen: tuple[int, int]
) -> tuple[float, tuple[int, int]]:
    """Yield to loss above 5 % as far as was lost, grow by 6 % below 1 %."""
    sent, received = stream.n_sent - seen[0], stream.n_received - seen[1]
    loss = 1 - received / max(sent, 1)
    if loss > 0.05:
        rate_bps *= max(1 - loss, 0.5)
    elif loss < 0.01:
        rate_bps *= 1.06
    return min(max(rate_bps, 0.25 * top_bps), top_bps), (stream.n_sent, stream.n_received)
