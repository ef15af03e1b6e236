"""The scenario ``busy-cell``: fifteen subscribers, one congested cell, half a minute.

Three subscribers or more of each class share 3.4 Mbit/s down and 0.8 Mbit/s up; with room enough they would
take 14 Mbit/s down, as players climb and downloads end sooner. What the probe keeps of a packet is its
headers and a few bytes of payload, so that the capture of half a minute stays below 2 MB. Link type is raw
IP: what a session of a mobile core carries. Addresses are of documentation and private ranges, names end in
``.example`` (RFC 2606).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from qoe.tools.cellqueue import Flow, Network, Subscriber
from qoe.tools.dice import Dice
from qoe.tools.events import MS, SECOND, Process
from qoe.tools.media import OPUS, OPUS_DTX, PCMU, call, cloud_game
from qoe.tools.packets import RAW, Batch, build
from qoe.tools.sources import Scene, Site, clock_sync, native_game, transfer, video, web

START_NS: Final = 1_767_603_600 * SECOND
"""2026-01-05T09:00:00Z, when every capture of ours starts."""

CAPACITY_DOWN_BPS: Final = 3_400_000
CAPACITY_UP_BPS: Final = 800_000
_BUFFER_DOWN_BYTES: Final = 64_000
_BUFFER_UP_BYTES: Final = 32_000


@dataclass(frozen=True, slots=True)
class Recording:
    """A capture and the truth about it.

    Attributes
    ----------
    batch : Batch
        The frames.
    truth : dict
        What was sent by whom, and what its user lived through; JSON types alone.
    cells : str
        A cells file (TOML) that fits.
    comment : str
        For the file's section header.
    """

    batch: Batch
    truth: dict[str, Any]
    cells: str = ""
    comment: str = ""


def _site(name: str, address: str, core_ms: int, address6: str = "") -> Site:
    six = ip_address(address6).packed if address6 else b""
    return Site(f"{name}.example", ip_address(address).packed, core_ms * MS, six)


_RESOLVER: Final = _site("resolver", "192.0.2.53", 6)
_CLOCK: Final = _site("time", "192.0.2.123", 12)
_VIDEO_A: Final = _site("vod.stream", "198.51.100.10", 14)
_VIDEO_B: Final = _site("cdn.clips", "198.51.100.24", 11)
_VIDEO_C: Final = _site("live.stream", "198.51.100.31", 18)
_CALL_A: Final = _site("sip.office", "203.0.113.5", 22)
_CALL_B: Final = _site("turn.talk", "203.0.113.17", 28)
_CALL_C: Final = _site("meet.talk", "203.0.113.18", 25, "2001:db8:c::18")
_GAME_A: Final = _site("arena.play", "203.0.113.40", 16)
_GAME_B: Final = _site("kart.play", "203.0.113.41", 24, "2001:db8:c::41")
_GAME_C: Final = _site("cloud.play", "203.0.113.48", 12)
_MIRROR: Final = _site("mirror.files", "192.0.2.80", 20)
_DRIVE: Final = _site("drive.files", "192.0.2.90", 17)
_PAGES: Final = [
    _site("www.news", "192.0.2.101", 15, "2001:db8:a::101"),
    _site("static.news", "192.0.2.102", 12, "2001:db8:a::102"),
    _site("fonts.assets", "198.51.100.77", 19),
    _site("shop", "198.51.100.88", 32),
]

_Source = Callable[[Scene], Process]


@dataclass(frozen=True, slots=True)
class _Role:
    """A subscriber and what runs there: (from second, to second, source); to 0 = until the end."""

    name: str
    tier: str
    sources: tuple[tuple[float, float, _Source], ...]
    efficiency_bps: int = 0
    air_ms: int = 4
    lossy: bool = False


def _fetch(app: str, n_bytes: int, site: Site = _MIRROR, up: bool = False) -> _Source:
    return partial(transfer, site=site, resolver=_RESOLVER, n_bytes=n_bytes, up=up, app=app)


def _watch(site: Site, segment_s: float, rungs: tuple[int, int], quic: bool = False) -> _Source:
    return partial(video, site=site, resolver=_RESOLVER, quic=quic, segment_s=segment_s, rungs=rungs)


def _read(sites: list[Site], six: bool = False) -> _Source:
    return partial(web, sites=sites, resolver=_RESOLVER, six=six)


_SYNC: Final = partial(clock_sync, site=_CLOCK)
_OFFICE_CALL: Final = partial(call, site=_CALL_A, codec=PCMU, tos=0xB8)
_CHAT: Final = partial(call, site=_CALL_B, codec=OPUS_DTX)
_EDGE_CALL: Final = partial(call, site=_CALL_C, codec=OPUS, six=True, far_jitter_ms=14.0)
_SHOOTER: Final = partial(native_game, site=_GAME_A, tick_hz=20, input_hz=25)
_RACE: Final = partial(native_game, site=_GAME_B, tick_hz=30, input_hz=20, six=True)
_CLOUD_GAME: Final = partial(cloud_game, site=_GAME_C, top_bps=1_200_000)

_ROLES: Final = (
    _Role("ana", "gold", ((0.4, 0, _watch(_VIDEO_A, 2.0, (0, 7))),)),
    _Role("ben", "silver", ((1.1, 0, _watch(_VIDEO_B, 2.5, (0, 6), quic=True)),)),
    _Role("chloe", "silver", ((2.3, 0, _watch(_VIDEO_C, 1.5, (2, 8))), (0.2, 0, _SYNC))),
    _Role("dev", "gold", ((0.8, 17.0, _OFFICE_CALL),)),
    _Role("eva", "silver", ((1.9, 25.0, _CHAT), (11.0, 0, _fetch("file-sync", 450_000, _DRIVE)))),
    _Role("finn", "gold", ((5.2, 22.0, _EDGE_CALL),), efficiency_bps=2_000_000, air_ms=9, lossy=True),
    _Role("gita", "silver", ((0.6, 0, _SHOOTER),)),
    _Role("hugo", "silver", ((3.0, 0, _RACE),)),
    _Role("iris", "gold", ((9.0, 23.0, _CLOUD_GAME),)),
    _Role("jon", "silver", ((1.4, 0, _read(_PAGES)), (0.7, 0, _SYNC))),
    _Role("kaya", "gold", ((2.9, 0, _read(_PAGES, six=True)), (1.5, 0, _SYNC))),
    _Role("leo", "silver", ((5.2, 0, _read(_PAGES[1:])),)),
    _Role("mina", "silver", ((0.9, 0, _fetch("package-download", 9_000_000)),)),
    _Role("noor", "silver", ((6.5, 0, _fetch("file-download", 1_300_000)),)),
    _Role("omar", "silver", ((3.5, 0, _fetch("file-upload", 1_600_000, _DRIVE, up=True)),)),
)


def _bad_radio(dice: Dice) -> Callable[[], bool]:
    """Lose in runs: a Gilbert channel of 3 % loss and runs of 2.5 packets."""
    bad = False

    def lose() -> bool:
        nonlocal bad
        bad = dice.chance(0.6) if bad else dice.chance(0.0124)
        return bad

    return lose


def record(
    seed: int = 1,
    duration_s: float = 30.0,
    capacity_down_bps: int = CAPACITY_DOWN_BPS,
    capacity_up_bps: int = CAPACITY_UP_BPS,
) -> Recording:
    """Run the scenario.

    Parameters
    ----------
    seed : int
        Of all random numbers; the same seed gives the same bytes everywhere.
    duration_s : float
        Length of the capture.
    capacity_down_bps, capacity_up_bps : int
        The cell's.

    Returns
    -------
    Recording
        Frames of raw IP, the truth, and the cells file.
    """
    net = Network(capacity_down_bps, capacity_up_bps, _BUFFER_DOWN_BYTES, _BUFFER_UP_BYTES, Dice(seed, 0))
    end_ns = int(duration_s * SECOND)
    subscribers = []
    for index, role in enumerate(_ROLES):
        who = _subscriber(index, role, Dice(seed, 1, index))
        subscribers.append(who)
        for number, (from_s, to_s, source) in enumerate(role.sources):
            stop_ns = min(int((to_s or duration_s) * SECOND), end_ns - 200 * MS)
            scene = Scene(net, who, Dice(seed, 2, index, number), stop_ns)
            net.loop.spawn(_delayed(int(from_s * SECOND), scene, source))
    net.loop.run(end_ns)
    truth = {
        "scenario": "busy-cell",
        "seed": seed,
        "start_ns": START_NS,
        "duration_s": duration_s,
        "capacity_down_bps": capacity_down_bps,
        "capacity_up_bps": capacity_up_bps,
        "vantage": "subscriber side: uplink before the cell's queue, downlink after it",
        "flows": _flow_truth(net),
        "subscribers": [_subscriber_truth(who) for who in subscribers],
    }
    batch = build(net.columns(START_NS), RAW)
    cells = _cells_file(subscribers, capacity_down_bps, capacity_up_bps)
    return Recording(batch, truth, cells, f"qoe.tools.synth busy-cell, seed {seed}: synthetic traffic")


def _delayed(start_ns: int, scene: Scene, source: _Source) -> Process:
    yield start_ns
    yield from source(scene)


def _subscriber(index: int, role: _Role, dice: Dice) -> Subscriber:
    return Subscriber(
        index,
        role.name,
        role.tier,
        bytes([10, 45, 0, 2 + index]),
        ip_address(f"2001:db8:45::{2 + index:x}").packed,
        role.efficiency_bps,
        _bad_radio(dice) if role.lossy else None,
        role.air_ms * MS,
    )


def _text(address: bytes) -> str:
    return str(ip_address(address))


def _flow_truth(net: Network) -> list[dict[str, Any]]:
    def row(flow: Flow, counts: dict[str, int]) -> dict[str, Any]:
        return {
            "subscriber": flow.subscriber.name,
            "src": _text(flow.local),
            "src_port": flow.local_port,
            "dst": _text(flow.remote),
            "dst_port": flow.remote_port,
            "protocol": flow.protocol,
            "class": flow.app_class,
            "app": flow.app,
            **counts,
        }

    return [row(net.flows[index], counts) for index, counts in net.counts().items()]


def _subscriber_truth(who: Subscriber) -> dict[str, Any]:
    return {
        "name": who.name,
        "addresses": [_text(who.address), _text(who.address6)],
        "tier": who.tier,
        "packets_sent_down": who.sent[0],
        "packets_lost_down": who.lost[0],
        "packets_sent_up": who.sent[1],
        "packets_lost_up": who.lost[1],
        **who.events,
    }


def _cells_file(subscribers: list[Subscriber], down_bps: int, up_bps: int) -> str:
    head = f"""# The cell of examples/busy-cell.pcapng: python -m qoe.tools.synth busy-cell --cells FILE
horizon_s = 10

[tier.gold]
weight = 2.0
floor_mos = 2.5

[tier.silver]
weight = 1.0

[[cell]]
name = "busy"
capacity_down = "{down_bps / 1e6:g} Mbit/s"
capacity_up = "{up_bps / 1e6:g} Mbit/s"
"""
    rows = []
    for who in subscribers:
        row = f'\n[[cell.subscriber]]\nname = "{who.name}"\n'
        row += f'addresses = ["{_text(who.address)}", "{_text(who.address6)}"]\ntier = "{who.tier}"\n'
        if who.efficiency_bps:
            row += f'efficiency_down = "{who.efficiency_bps / 1e6:g} Mbit/s"  # at the edge of the cell\n'
        rows.append(row)
    return head + "".join(rows)
