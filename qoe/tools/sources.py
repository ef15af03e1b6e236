"""Models of applications: what each sends, and what its user then lives through.

Every source is a process of the cell's clock; it labels its flows with class and application and notes
in the subscriber's truth what happened: stalls, page load times, lost speech.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from qoe.tools.cellqueue import Network, Packet, Subscriber
from qoe.tools.dice import Dice
from qoe.tools.events import MS, SECOND, Process
from qoe.tools.packets import TCP, UDP
from qoe.tools.wires import Connection

LADDER_BPS: Final = (145_000, 235_000, 375_000, 560_000, 750_000, 1_050_000, 1_750_000, 2_350_000, 3_600_000)
"""Video ladder of the adaptive players, with the heights below."""
HEIGHTS: Final = (144, 240, 240, 360, 360, 480, 480, 720, 1080)
_AUDIO_BPS: Final = 64_000


@dataclass(frozen=True, slots=True)
class Site:
    """A server somewhere beyond the cell; `core_ns` one way, `address6` optional."""

    name: str
    address: bytes
    core_ns: int
    address6: bytes = b""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a source plays in: the network, its subscriber, its own dice and the time it has to end by."""

    net: Network
    who: Subscriber
    dice: Dice
    end_ns: int

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self.net.loop.now_ns / SECOND

    def tcp(self, site: Site, port: int, label: tuple[str, str], six: bool = False) -> Connection:
        """Make a TCP connection, with TLS on port 443; open it before use."""
        address = site.address6 if six else site.address
        flow = self.net.flow(self.who, address, port, TCP, label, site.core_ns)
        return Connection(self.net, flow, site.name if port == 443 else "")

    def quic(self, site: Site, label: tuple[str, str]) -> Connection:
        """Make a QUIC connection; open it before use."""
        return Connection(self.net, self.net.flow(self.who, site.address, 443, UDP, label, site.core_ns))


def datagram_pair(
    scene: Scene, site: Site, port: int, label: tuple[str, str], **options: Any
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Open a UDP flow; return how to send up and down: ``send(payload_bytes, prefix, deliver, extra_ns)``."""
    six = bool(options.pop("six", False))
    address = site.address6 if six else site.address
    flow = scene.net.flow(scene.who, address, port, UDP, label, site.core_ns, **options)

    def sender(up: bool) -> Callable[..., None]:
        def send(
            payload_bytes: int,
            prefix: bytes,
            deliver: Callable[[Packet], None] = lambda _: None,
            extra_ns: int = 0,
        ) -> None:
            packet = Packet(flow, up, payload_bytes, prefix[:payload_bytes])
            scene.net.send(packet, deliver, extra_ns)

        return send

    return sender(True), sender(False)


def dns_name(name: str) -> bytes:
    """Return a name in DNS's wire format."""
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def lookup(scene: Scene, resolver: Site, site: Site, six: bool = False) -> Process:
    """Ask the resolver for a name's address; ask again after a second."""
    up, down = datagram_pair(scene, resolver, 53, ("other", "dns"))
    data = site.address6 if six else site.address
    kind = b"\0\x1c" if six else b"\0\x01"
    question = dns_name(site.name) + kind + b"\0\x01"
    number = scene.dice.octets(2)
    query = number + b"\x01\x00\0\x01\0\0\0\0\0\0" + question
    answer = number + b"\x81\x80\0\x01\0\x01\0\0\0\0" + question
    answer += b"\xc0\x0c" + kind + b"\0\x01\0\0\x01\x2c" + len(data).to_bytes(2, "big") + data
    answered = False

    def back(_: Packet) -> None:
        nonlocal answered
        answered = True

    for _ in range(3):
        up(len(query), query, lambda _: down(len(answer), answer, back))
        for _ in range(20):
            yield 50 * MS
            if answered:
                return


def clock_sync(scene: Scene, site: Site) -> Process:
    """Two NTP exchanges (RFC 5905)."""
    up, down = datagram_pair(scene, site, 123, ("other", "ntp"))
    for _ in range(2):
        request = b"\x23\0\x06\xec" + bytes(36) + scene.dice.octets(8)
        reply = b"\x24\x01\x06\xec" + bytes(20) + scene.dice.octets(24)
        up(48, request, lambda _, reply=reply: down(48, reply))
        yield 8 * SECOND


def video(
    scene: Scene, site: Site, resolver: Site, *, quic: bool, segment_s: float, rungs: tuple[int, int]
) -> Process:
    """Play adaptive video: fetch segments ahead of a buffer, at the rung that the throughput allows.

    `rungs` are the lowest and the highest of :data:`LADDER_BPS`; the player holds at most five segments.
    """
    net, who = scene.net, scene.who
    yield from lookup(scene, resolver, site)
    label = ("video", "adaptive-quic" if quic else "adaptive-tls")
    connection = scene.quic(site, label) if quic else scene.tcp(site, 443, label)
    asked_s = scene.now_s
    yield from connection.open()
    yield connection.request(420, 6_000, 8 * MS)
    truth = who.note("video", asked_s=asked_s, startup_s=None, stalls=[], segments=[])
    player = _Player(truth, segment_s)
    estimate_bps = 400_000.0
    while net.loop.now_ns < scene.end_ns:
        rung = _rung(player.buffer_s(scene.now_s), segment_s, estimate_bps, rungs)
        n_bytes = int(LADDER_BPS[rung] * segment_s / 8 * scene.dice.between(0.85, 1.15))
        start_s = scene.now_s
        yield connection.request(380 + scene.dice.integer(0, 60), n_bytes, 6 * MS)
        yield connection.request(370 + scene.dice.integer(0, 40), int(_AUDIO_BPS * segment_s / 8), 5 * MS)
        rate_bps = 8 * n_bytes / max(scene.now_s - start_s, 0.001)
        estimate_bps += 0.4 * (rate_bps - estimate_bps)
        player.got(scene.now_s, LADDER_BPS[rung], HEIGHTS[rung], n_bytes)
        ahead_s = player.buffer_s(scene.now_s) - 4 * segment_s
        yield int(max(ahead_s, 0.01) * SECOND)
    player.end(scene.now_s)
    connection.close()


def _rung(buffer_s: float, segment_s: float, estimate_bps: float, rungs: tuple[int, int]) -> int:
    """Return the highest rung the throughput carries with a margin that a low buffer widens."""
    margin = 0.55 if buffer_s < segment_s else 0.75 if buffer_s < 2 * segment_s else 0.9
    budget_bps = margin * estimate_bps - _AUDIO_BPS
    low, top = rungs
    return max((k for k in range(low, top + 1) if LADDER_BPS[k] <= budget_bps), default=low)


class _Player:
    """The play-out buffer: what was fetched, what was played, and when it stood still."""

    def __init__(self, truth: dict[str, Any], segment_s: float) -> None:
        self._truth, self._segment_s = truth, segment_s
        self._fetched_s = 0.0
        self._empty_at_s = -1.0

    def buffer_s(self, now_s: float) -> float:
        """Seconds of video ahead of the play-out."""
        return max(self._empty_at_s - now_s, 0.0) if self._empty_at_s >= 0 else self._fetched_s

    def got(self, now_s: float, bitrate_bps: int, height: int, n_bytes: int) -> None:
        """Take one segment; play from the second on, and again after a stall."""
        segment = {"at_s": now_s, "bitrate_bps": bitrate_bps, "height": height, "bytes": n_bytes}
        self._truth["segments"].append(segment)
        self._fetched_s += self._segment_s
        if self._empty_at_s >= 0:
            self.end(now_s)
            self._empty_at_s = max(self._empty_at_s, now_s) + self._segment_s
        elif self._fetched_s >= 2 * self._segment_s:
            self._truth["startup_s"] = now_s - self._truth["asked_s"]
            self._empty_at_s = now_s + self._fetched_s

    def end(self, now_s: float) -> None:
        """Note a stall that lasted until now, if there was one."""
        if 0 <= self._empty_at_s < now_s:
            stall = {"at_s": self._empty_at_s, "duration_s": now_s - self._empty_at_s}
            self._truth["stalls"].append(stall)


def web(scene: Scene, sites: list[Site], resolver: Site, *, six: bool) -> Process:
    """Visit pages: a document, its objects over up to three connections, then time to read."""
    while scene.net.loop.now_ns < scene.end_ns:
        main = sites[scene.dice.integer(0, len(sites))]
        start_s = scene.now_s
        with_six = six and bool(main.address6)
        yield from lookup(scene, resolver, main, with_six)
        first = scene.tcp(main, 443, ("web", "page"), with_six)
        yield from first.open()
        document_bytes = scene.dice.integer(18_000, 45_000)
        yield first.request(scene.dice.integer(420, 700), document_bytes, scene.dice.integer(20, 90) * MS)
        hosts = [first, *(scene.tcp(site, 443, ("web", "page")) for site in sites if site is not main)][:3]
        fetches = [scene.net.loop.spawn(_objects(scene, host, host is not first)) for host in hosts]
        yield from fetches
        scene.who.note("web", at_s=start_s, page_load_s=scene.now_s - start_s)
        for host in hosts:
            host.close()
        yield int(scene.dice.between(2.0, 5.0) * SECOND)


def _objects(scene: Scene, connection: Connection, fresh: bool) -> Process:
    """Fetch some objects of a page, a few requests in flight."""
    if fresh:
        yield from connection.open()
    sizes = [scene.dice.integer(2_000, 14_000) for _ in range(scene.dice.integer(2, 5))]
    sizes += [scene.dice.integer(20_000, 60_000)] * scene.dice.chance(0.6)
    flying = [
        connection.request(scene.dice.integer(90, 420), size, scene.dice.integer(5, 30) * MS)
        for size in sizes
    ]
    yield from flying


def transfer(scene: Scene, site: Site, resolver: Site, *, n_bytes: int, up: bool, app: str) -> Process:
    """Download or upload one large file; port 80 in clear for packages, TLS otherwise."""
    yield from lookup(scene, resolver, site)
    plain = app == "package-download"
    connection = scene.tcp(site, 80 if plain else 443, ("bulk", app))
    yield from connection.open()
    truth = scene.who.note("bulk", at_s=scene.now_s, bytes=n_bytes, up=up, duration_s=None)
    if plain:
        head = f"GET /archive.tar HTTP/1.1\r\nHost: {site.name}\r\n\r\n".encode()
        reply = f"HTTP/1.1 200 OK\r\nContent-Length: {n_bytes}\r\n\r\n".encode()
        yield connection.exchange(len(head), len(reply) + n_bytes, 15 * MS, head, reply)
    else:
        yield connection.request(n_bytes if up else 400, 300 if up else n_bytes, 20 * MS)
    truth["duration_s"] = scene.now_s - truth["at_s"]
    connection.close()


def native_game(scene: Scene, site: Site, *, tick_hz: int, input_hz: int, six: bool = False) -> Process:
    """Play over UDP: snapshots of the world down at the server's tick, inputs up at the client's."""
    up, down = datagram_pair(scene, site, 27_960 + tick_hz, ("gaming", "shooter"), six=six)
    dice = scene.dice
    up(15, b"\xff\xff\xff\xffgetchallenge")
    yield site.core_ns * 2 + 20 * MS
    truth = scene.who.note("gaming", snapshots_sent=0, snapshots_received=0, worst_gap_s=0.0)
    heard_s = scene.now_s

    def heard(_: Packet) -> None:
        nonlocal heard_s
        truth["snapshots_received"] += 1
        truth["worst_gap_s"] = max(truth["worst_gap_s"], scene.now_s - heard_s)
        heard_s = scene.now_s

    def server() -> Process:
        action = 0.5
        number = 0
        while scene.net.loop.now_ns < scene.end_ns:
            action = min(max(action + 0.12 * (dice.random() - 0.5), 0.0), 1.0)
            number += 1
            truth["snapshots_sent"] += 1
            down(
                int(90 + 330 * action + 40 * dice.random()),
                number.to_bytes(4, "little") + dice.octets(8),
                heard,
            )
            yield SECOND // tick_hz + int(0.3 * MS * dice.random())

    scene.net.loop.spawn(server())
    number = 0
    while scene.net.loop.now_ns < scene.end_ns:
        number += 1
        up(dice.integer(38, 58), number.to_bytes(4, "little") + dice.octets(8))
        yield SECOND // input_hz + int(dice.between(-1.5, 1.5) * MS)
