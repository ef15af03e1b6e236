"""Labelled traffic out of our own generator, for classes of which few real captures can be had.

Each scene is one cell of random capacity with a few subscribers, each playing one application with random
parameters: tick rates, ladders, segment lengths, codecs, file sizes, delays. Scores are never taken on it,
unless there is nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import numpy as np

from qoe.schema import CLASS_NAMES, PACKET_DTYPE, Burst
from qoe.tools.cellqueue import Network, Subscriber
from qoe.tools.dice import Dice
from qoe.tools.events import MS, SECOND
from qoe.tools.media import Codec, call, cloud_game
from qoe.tools.packets import RAW, Batch, build
from qoe.tools.sources import LADDER_BPS, Scene, Site, native_game, transfer, video, web
from qoe.train.labels import Label, LabelledCapture
from qoe.train.replay import Frames

SOURCE: Final = "generated"
_START_NS: Final = 1_700_000_000 * SECOND
_SCENE_S: Final = 24
_CODECS: Final = (
    Codec("g711", 0, 8_000, 160, 161),
    Codec("g729", 18, 8_000, 20, 21),
    Codec("amr-wb", 98, 16_000, 33, 62),
    Codec("opus", 111, 48_000, 40, 140),
    Codec("opus-dtx", 111, 48_000, 40, 120, 0.5),
)
_Play = Callable[[Scene, "_Place"], None]


class _Place:
    """Servers at random distances, with addresses of the documentation ranges."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice

    def site(self) -> Site:
        address = bytes([198, 51, 100, self._dice.integer(1, 255)])
        return Site("host.example", address, int(self._dice.between(3, 70) * MS))


def scenes(n_scenes: int, seed: int) -> list[Frames]:
    """Generate scenes of 24 s, each a labelled capture of source ``generated``."""
    return [_scene(seed, number) for number in range(n_scenes)]


def _scene(seed: int, number: int) -> Frames:
    dice = Dice(seed, number)
    down_bps = int(2e6 * 20 ** dice.random())
    up_bps = int(down_bps * dice.between(0.15, 1.0))
    net = Network(
        down_bps, up_bps, max(64_000, down_bps // 60), max(32_000, up_bps // 60), Dice(seed, number, 0)
    )
    for index, play in enumerate((_video, _call, _shooter, _cloud, _web, _bulk)):
        for copy in range(2 if play is _shooter else 1):
            who = Subscriber(len(net.flows), f"s{index}{copy}", "", bytes([10, 0, copy, index + 1]), b"")
            scene = Scene(net, who, Dice(seed, number, index + 1, copy), (_SCENE_S - 1) * SECOND)
            play(scene, _Place(Dice(seed, number, index + 1, copy, 1)))
    net.loop.run(_SCENE_S * SECOND)
    recorded = net.counts()
    labels = tuple(
        Label(
            (_text(f.local), f.local_port, _text(f.remote), f.remote_port, f.protocol),
            CLASS_NAMES.index(f.app_class),
            f"generated {f.app}",
        )
        for f in net.flows
        if f.index in recorded
    )
    name = f"generated-{seed}-{number}"
    capture = LabelledCapture(name, Path(name), SOURCE, SOURCE, "", labels)
    return Frames(capture, [burst(build(net.columns(_START_NS), RAW))])


def burst(batch: Batch) -> Burst:
    """Turn generated frames into one burst, without a file between."""
    width = batch.heads.shape[1]
    packets = np.zeros(len(batch), PACKET_DTYPE)
    packets["offset"] = np.arange(len(batch)) * width
    packets["captured_len"] = np.minimum(batch.captured_len, width)
    packets["wire_len"] = batch.wire_len
    packets["ts_ns"] = batch.ts_ns
    packets["link_type"] = batch.link_type
    return Burst(np.ascontiguousarray(batch.heads).reshape(-1), packets)


def _video(scene: Scene, place: _Place) -> None:
    dice = scene.dice
    quic, segment_s = dice.chance(0.5), dice.between(1.0, 8.0)
    rungs = dice.integer(0, 3), dice.integer(3, len(LADDER_BPS))
    scene.net.loop.spawn(
        video(scene, place.site(), place.site(), quic=quic, segment_s=segment_s, rungs=rungs)
    )


def _call(scene: Scene, place: _Place) -> None:
    codec = _CODECS[scene.dice.integer(0, len(_CODECS))]
    jitter_ms = scene.dice.between(0, 15)
    scene.net.loop.spawn(call(scene, place.site(), codec, far_jitter_ms=jitter_ms))


def _shooter(scene: Scene, place: _Place) -> None:
    tick_hz, input_hz = (scene.dice.choice((10, 15, 20, 30, 40, 60, 64, 128)) for _ in range(2))
    scene.net.loop.spawn(native_game(scene, place.site(), tick_hz=tick_hz, input_hz=input_hz))


def _cloud(scene: Scene, place: _Place) -> None:
    top_bps = int(1e6 * 15 ** scene.dice.random())
    scene.net.loop.spawn(cloud_game(scene, place.site(), top_bps=top_bps))


def _web(scene: Scene, place: _Place) -> None:
    sites = [place.site() for _ in range(3)]
    scene.net.loop.spawn(web(scene, sites, place.site(), six=False))


def _bulk(scene: Scene, place: _Place) -> None:
    dice = scene.dice
    n_bytes, up = int(3e5 * 100 ** dice.random()), dice.chance(0.4)
    app = "package-download" if not up and dice.chance(0.3) else "file-transfer"
    scene.net.loop.spawn(transfer(scene, place.site(), place.site(), n_bytes=n_bytes, up=up, app=app))


def _text(address: bytes) -> str:
    return str(ip_address(address))
