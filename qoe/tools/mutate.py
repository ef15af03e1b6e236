"""``python -m qoe.tools.mutate``: captures that are nearly right, for fuzzing the readers and the kernel.

A mutation knows the records of the file it breaks, so most of what it makes gets past the file format and
breaks something further in. The same seed gives the same captures everywhere.
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

from qoe.tools.busycell import record
from qoe.tools.capfile import enhanced_packets, interface, pcap_header, pcap_records, section
from qoe.tools.dice import Dice
from qoe.tools.zoo import zoo

Records: TypeAlias = list[bytearray]
_PCAP_MAGICS: Final = {
    struct.pack(order + "I", magic): order for order in "<>" for magic in (0xA1B2C3D4, 0xA1B23C4D)
}
_PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
_HEADER_BYTES: Final = {"pcap": 16, "pcapng": 28}
_EXTREMES: Final = (
    0,
    1,
    2,
    4,
    7,
    8,
    12,
    20,
    28,
    40,
    60,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
)
_SLICE_PACKETS: Final = 24
_N_SLICES: Final = 16


def split(capture: bytes) -> tuple[str, str, Records]:
    """Cut a capture into its file header (a pcap's) and its records or blocks.

    Parameters
    ----------
    capture : bytes
        A pcap or pcapng, well-formed or not.

    Returns
    -------
    tuple
        ``"pcap"`` or ``"pcapng"``, the byte order of the (last) section as ``<`` or ``>``, and the pieces
        in order, whose concatenation is the capture.
    """
    order = _PCAP_MAGICS.get(capture[:4], "<")
    is_pcapng = capture[:4] == _PCAPNG_MAGIC
    at = 0 if is_pcapng else 24
    pieces = [bytearray(capture[:at])] if at else []
    while at < len(capture):
        head = capture[at : at + 16].ljust(16, b"\0")
        if is_pcapng and head[:4] == _PCAPNG_MAGIC:
            order = "<" if head[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
        size = struct.unpack_from(order + "I", head, 4 if is_pcapng else 8)[0]
        size = max(size, 12) if is_pcapng else size + 16
        pieces.append(bytearray(capture[at : at + size]))
        at += size
    return "pcapng" if is_pcapng else "pcap", order, pieces


def mutate(capture: bytes, dice: Dice) -> bytes:
    """Break a capture in one to four ways.

    Parameters
    ----------
    capture : bytes
        A pcap or pcapng.
    dice : Dice
        Decides what is broken.

    Returns
    -------
    bytes
        The broken capture; now and then it is still well-formed, or empty.
    """
    kind, order, pieces = split(capture)
    for _ in range(dice.integer(1, 5)):
        _WAYS[dice.integer(0, len(_WAYS))](pieces, kind, order, dice)
    broken = b"".join(pieces)
    if dice.chance(0.1):
        broken = broken[: dice.integer(0, len(broken) + 1)]
    return broken


def _pick(pieces: Records, dice: Dice) -> bytearray:
    """One record; now and then the file's header or another block at the beginning."""
    first = 0 if dice.chance(0.05) or len(pieces) < 3 else 1
    return pieces[dice.integer(first, len(pieces))] if pieces else bytearray(1)


def _position(piece: bytearray, kind: str, dice: Dice) -> int:
    """Return a place in a record: mostly in the packet's headers, now and then in the record's own."""
    header = _HEADER_BYTES[kind]
    if len(piece) <= header or dice.chance(0.1):
        return dice.integer(0, max(len(piece), 1))
    span = min(len(piece) - header, 96 if dice.chance(0.8) else len(piece))
    return header + dice.integer(0, span)


def _flip(pieces: Records, kind: str, _: str, dice: Dice) -> None:
    piece = _pick(pieces, dice)
    for _number in range(dice.integer(1, 9)):
        at = _position(piece, kind, dice)
        if at < len(piece):
            piece[at] ^= 1 << dice.integer(0, 8)


def _set_length(pieces: Records, kind: str, order: str, dice: Dice) -> None:
    """Write an extreme number, or one near the truth, over one, two or four bytes."""
    piece = _pick(pieces, dice)
    size = dice.choice((1, 2, 2, 4))
    at = _position(piece, kind, dice)
    at -= at % size
    field = piece[at : at + size]
    if len(field) < size:
        return
    byte_order: Literal["big", "little"] = "big" if at >= _HEADER_BYTES[kind] or order == ">" else "little"
    value = (
        int.from_bytes(field, byte_order) + dice.integer(-3, 4)
        if dice.chance(0.4)
        else dice.choice(_EXTREMES)
    )
    piece[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, byte_order)


def _resize(pieces: Records, kind: str, order: str, dice: Dice, change: Callable[[bytes], bytes]) -> None:
    """Change a record's packet and keep the file format right about its length, mostly."""
    number = dice.integer(1, len(pieces)) if len(pieces) > 1 else 0
    piece, header = pieces[number], _HEADER_BYTES[kind]
    if len(piece) <= header:
        return
    if kind == "pcap":
        packet = change(bytes(piece[header:]))
        length = len(packet) if dice.chance(0.95) else dice.choice(_EXTREMES)
        pieces[number] = piece[:8] + struct.pack(order + "I", length) + piece[12:16] + packet
    elif struct.unpack_from(order + "I", piece)[0] == 6:
        n_captured = struct.unpack_from(order + "I", piece, 20)[0]
        packet = change(bytes(piece[header : header + n_captured]))
        total = 32 + len(packet) + -len(packet) % 4
        head = struct.pack(order + "II", 6, total) + piece[8:20] + struct.pack(order + "I", len(packet))
        tail = bytes(-len(packet) % 4) + struct.pack(order + "I", total)
        pieces[number] = bytearray(head + piece[24:28] + packet + tail)


def _cut(pieces: Records, kind: str, order: str, dice: Dice) -> None:
    """Capture fewer bytes of a packet than there are, down to none."""
    _resize(pieces, kind, order, dice, lambda packet: packet[: dice.integer(0, len(packet) + 1)])


def _splice(pieces: Records, kind: str, order: str, dice: Dice) -> None:
    """Put part of another packet in place of a packet's tail, or into its middle."""
    other = bytes(_pick(pieces, dice)[_HEADER_BYTES[kind] :])

    def change(packet: bytes) -> bytes:
        at, begin = dice.integer(0, len(packet) + 1), dice.integer(0, len(other) + 1)
        rest = packet[at:] if dice.chance(0.4) else b""
        return packet[:at] + other[begin : begin + dice.integer(0, 200)] + rest

    _resize(pieces, kind, order, dice, change)


def _repeat_header(pieces: Records, kind: str, order: str, dice: Dice) -> None:
    """Repeat a stretch of headers many times: encapsulation without end."""

    def change(packet: bytes) -> bytes:
        begin = dice.integer(0, min(len(packet), 64) + 1)
        stretch = packet[begin : begin + dice.choice((4, 4, 8, 20, 24, 40))]
        return packet[:begin] + stretch * dice.integer(2, 40) + packet[begin:]

    _resize(pieces, kind, order, dice, change)


def _duplicate(pieces: Records, _: str, __: str, dice: Dice) -> None:
    if pieces:
        piece = pieces[dice.integer(0, len(pieces))]
        pieces.insert(dice.integer(0, len(pieces) + 1), bytearray(piece))


def _swap(pieces: Records, _: str, __: str, dice: Dice) -> None:
    if pieces:
        a, b = dice.integer(0, len(pieces)), dice.integer(0, len(pieces))
        pieces[a], pieces[b] = pieces[b], pieces[a]


def _drop(pieces: Records, _: str, __: str, dice: Dice) -> None:
    if len(pieces) > 1:
        del pieces[dice.integer(1 if dice.chance(0.9) else 0, len(pieces))]


_WAYS: Final[tuple[Callable[[Records, str, str, Dice], None], ...]] = (
    _flip,
    _flip,
    _flip,
    _set_length,
    _set_length,
    _set_length,
    _cut,
    _cut,
    _splice,
    _splice,
    _repeat_header,
    _duplicate,
    _swap,
    _drop,
)


@cache
def seeds() -> tuple[bytes, ...]:
    """Return the well-formed captures that mutations start from: the zoo and pieces of the busy cell."""
    batch = record(seed=1, duration_s=12.0).batch
    slices = []
    for number in range(_N_SLICES):
        start = number * (len(batch) - _SLICE_PACKETS) // (_N_SLICES - 1)
        piece = batch[slice(start, start + _SLICE_PACKETS)]
        if number % 2:
            slices.append(section() + interface(piece.link_type) + bytes(enhanced_packets(piece)))
        else:
            slices.append(pcap_header(piece.link_type) + bytes(pcap_records(piece)))
    return (*zoo().values(), *slices)


def corpus(n: int, seed: int = 1, start: int = 0) -> Iterator[bytes]:
    """Yield broken captures of some dozen packets each.

    Parameters
    ----------
    n : int
        How many.
    seed : int
        Of the mutations.
    start : int
        Number of the first: capture `k` is the same whatever `start` and `n` are.
    """
    originals = seeds()
    for number in range(start, start + n):
        yield mutate(originals[number % len(originals)], Dice(seed, 20, number))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m qoe.tools.mutate", description=__doc__)
    parser.add_argument("-n", type=int, default=100, help="captures to write (default: 100)")
    parser.add_argument("--start", type=int, default=0, help="number of the first (default: 0)")
    parser.add_argument("--seed", type=int, default=1, help="0 or more (default: 1)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where to; is made")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for number, capture in enumerate(corpus(options.n, options.seed, options.start), options.start):
        (options.output / f"{number:06}.cap").write_bytes(capture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
