"""Records of pcap and pcapng: against a tiny writer of our own, scapy's readers and writers, and capinfos."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captures import (
    MAX_BLOCK,
    MAX_NS,
    MAX_PACKET,
    Packet,
    all_of,
    block,
    enhanced,
    interface,
    option,
    parse,
    pcap,
    pcapng,
    section,
    some_packets,
    unpack,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.capture import Source
from qoe_native.engine import CaptureReader

CAPINFOS = shutil.which("capinfos")


# formats


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
def test_pcap_of_every_kind(order: str, magic: int) -> None:
    """Microseconds, nanoseconds and Kuznetzov's records, in both byte orders, come back as written."""
    packets = some_packets(50)
    got, reader = parse(pcap(packets, order, magic))
    assert got == packets
    assert (reader.status, reader.format, reader.warnings()) == (
        "end",
        "pcap",
        ["packets that hold no byte: 1"],
    )
    assert reader.counters()["wire_bytes"] == sum(p.wire_len for p in packets)
    assert reader.counters()["captured_bytes"] == sum(len(p.data) for p in packets)


def test_pcap_nanoseconds_are_kept() -> None:
    """A nanosecond capture keeps the last digit."""
    packets = [Packet(1_700_000_000_123_456_789, b"x", 1)]
    assert parse(pcap(packets, magic=0xA1B23C4D))[0] == packets


def test_pcap_frame_check_bits_are_no_link_type() -> None:
    """The upper bits of the link-type word tell of the frame check sequence and are masked."""
    packets = [Packet(0, b"abcd", 4, 105)]
    assert parse(pcap(packets, link=105 | 0x24000000))[0] == packets


@pytest.mark.parametrize("seconds", [0, 1, 2**31, 2**32 - 1])
def test_clocks_at_both_ends(seconds: int) -> None:
    """A clock of zero is counted; seconds are unsigned, until 2106."""
    packets = [Packet(seconds * 10**9, b"x", 1)]
    got, reader = parse(pcap(packets))
    assert got == packets
    assert reader.counters()["zero_clock"] == (seconds == 0)


@settings(max_examples=300, deadline=None)
@given(
    order=st.sampled_from("<>"),
    tsresol=st.integers(0, 255),
    ticks=st.integers(0, 2**64 - 1) | st.integers(0, 2**33),
    offset=st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**10), 10**10) | st.just(0),
)
def test_any_resolution_and_offset(order: str, tsresol: int, ticks: int, offset: int) -> None:
    """Ticks become nanoseconds as exact arithmetic has it, held within 0 and 2^63 - 1."""
    per_second = 2 ** (tsresol & 127) if tsresol > 127 else 10**tsresol
    ns = ticks * 10**9 // per_second
    if ns <= MAX_NS or offset >= 0:
        ns += max(min(offset, 9_223_372_036), -9_223_372_036) * 10**9
    options = option(9, bytes([tsresol]), order) + option(14, struct.pack(order + "q", offset), order)
    got, reader = parse(section(order) + interface(1, options, order) + enhanced(ticks, b"x", 1, 0, order))
    expected = max(0, min(ns, MAX_NS))
    assert got == [Packet(expected, b"x", 1)]
    assert reader.counters()["clock_overflow"] == (expected == MAX_NS)


def test_pcapng_sections_interfaces_and_blocks() -> None:
    """Sections of both byte orders, interfaces of their own, every packet block, other blocks skipped."""
    obsolete = struct.pack("<HHIIII", 1, 0, 0, 7_000, 5, 60) + b"three"
    simple = struct.pack("<I", 90) + b"s" * 24
    capture = b"".join(
        [
            section("<"),
            interface(1, option(9, b"\x03") + option(0, b"") + option(14, bytes(8)), snaplen=20),
            interface(113),
            block(5, bytes(12)),
            enhanced(2_000, b"one", 70, 0),
            block(0x0BAD, struct.pack("<I", 32473) + b"private"),
            enhanced(3_000_000, b"", 60, 1),
            block(2, obsolete),
            block(3, simple),
            block(0x55, b"what is this"),
            section(">"),
            interface(101, order=">"),
            enhanced(9_000_000, b"five", 61, 0, ">"),
        ]
    )
    got, reader = parse(capture)
    assert got == [
        Packet(2_000_000_000, b"one", 70),
        Packet(3_000_000_000, b"", 60, 113),
        Packet(7_000_000, b"three", 60, 113),
        Packet(7_000_000, b"s" * 20, 90),
        Packet(9_000_000_000, b"five", 61, 101),
    ]
    assert reader.link_types() == {1: 2, 113: 2, 101: 1}
    counters = reader.counters()
    assert [
        counters[k] for k in ("sections", "interfaces", "unknown_blocks", "other_blocks", "no_timestamp")
    ] == [
        2,
        3,
        1,
        2,
        1,
    ]


def test_interfaces_and_link_types_are_bounded() -> None:
    """Packets of the 4,097th interface are skipped and counted; the 64th link type takes the rest."""
    capture = section() + b"".join(interface(link) for link in range(4097))
    capture += b"".join(enhanced(1, b"x", 1, index) for index in range(4097))
    got, reader = parse(capture)
    assert [p.link_type for p in got] == list(range(4096))
    assert reader.counters()["no_interface"] == 1
    assert reader.link_types() == {**dict.fromkeys(range(63), 1), 0xFFFFFFFF: 4096 - 63}


# the sliding window

PACKETS = st.lists(
    st.builds(
        Packet,
        st.integers(0, 2**31).map(lambda us: us * 1000),
        st.binary(max_size=90),
        st.integers(0, 2000),
        st.just(1),
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(
    packets=PACKETS,
    write=st.sampled_from([pcap, pcapng]),
    order=st.sampled_from("<>"),
    step=st.integers(1, 200),
    max_packets=st.integers(1, 5),
)
def test_the_window_does_not_matter(
    packets: list[Packet], write: Callable[..., bytes], order: str, step: int, max_packets: int
) -> None:
    """However many bytes come at a time and packets are asked for, the same packets are read."""
    capture = write(packets, order)
    got, reader = parse(capture, step, max_packets)
    assert got == packets
    assert reader.status == "end"
    assert reader.offset_bytes == len(capture)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), write=st.sampled_from([pcap, pcapng]), step=st.integers(1, 300))
def test_any_bytes_are_survived_alike(data: st.DataObject, write: Callable[..., bytes], step: int) -> None:
    """Mutated captures never raise, and give the same packets and words in pieces as in one."""
    capture = bytearray(write(some_packets(6)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(capture) - 1))
        capture[at : at + 4] = data.draw(
            st.binary(max_size=6) | st.integers(0, 2**32 - 1).map(struct.Struct("<I").pack)
        )
    one, at_once = parse(bytes(capture))
    other, in_pieces = parse(bytes(capture), step)
    assert one == other
    assert (at_once.status, at_once.warnings()) == (in_pieces.status, in_pieces.warnings())
    assert at_once.counters() == in_pieces.counters()


@pytest.mark.parametrize("write", [pcap, pcapng])
def test_truncation_at_every_byte(write: Callable[..., bytes]) -> None:
    """What lies before the cut is read; a cut within a record is flagged with where that begins."""
    packets = some_packets(6)
    capture = write(packets)
    ends = [len(write(packets[:n])) for n in range(len(packets) + 1)]
    between = {0, *ends, 28 if write is pcapng else 0}
    for cut in range(len(capture)):
        got, reader = parse(capture[:cut])
        assert got == packets[: sum(end <= cut for end in ends[1:])]
        assert reader.status == "end"
        expected = None if cut in between else max(at for at in between if at < cut)
        assert reader.truncated_at_bytes == expected


@pytest.mark.skipif(CAPINFOS is None, reason="capinfos is not installed")
@pytest.mark.parametrize("write", [pcap, pcapng])
def test_cut_files_count_as_capinfos_counts(write: Callable[..., bytes], tmp_path: Path) -> None:
    """Packets and bytes of cut files are those that capinfos tells."""
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # no sanitizer in it
    capture = write(some_packets(40))
    for cut in range(len(capture) - 1, 400, -len(capture) // 5):
        path = tmp_path / "cut"
        path.write_bytes(capture[:cut])
        told = subprocess.run(
            [str(CAPINFOS), "-Mcd", str(path)], capture_output=True, text=True, check=False, env=plain
        )
        lines = dict(line.split(":", 1) for line in told.stdout.splitlines() if ":" in line)
        got, _ = parse(capture[:cut])
        assert len(got) == int(lines["Number of packets"].split()[0])
        assert sum(p.wire_len for p in got) == int(lines["Data size"].split()[0])


def test_until_stops_before_and_goes_on() -> None:
    """The first packet at `until_ns` is left for the next call; 0 sets no limit."""
    packets = some_packets(20)
    for write in (pcap, pcapng):
        reader = CaptureReader()
        capture = write(packets)
        reader.space()[: len(capture)] = capture
        reader.commit(len(capture))
        reader.finish()
        data, rows = reader.next_burst(256, packets[7].ts_ns)
        assert (list(unpack(data, rows)), reader.status) == (packets[:7], "until")
        assert reader.next_burst(256, packets[7].ts_ns) == (b"", b"")
        data, rows = reader.next_burst(256, packets[9].ts_ns + 1)
        assert list(unpack(data, rows)) == packets[7:10]
        data, rows = reader.next_burst()
        assert (list(unpack(data, rows)), reader.status) == (packets[10:], "end")
        assert reader.link_types() == {1: 20}


def test_reader_refuses_misuse() -> None:
    """Too small a window, more bytes than there is room, and bytes after the end are ValueErrors."""
    with pytest.raises(ValueError, match="524288 or more"):
        CaptureReader(1000)
    reader = CaptureReader(MAX_BLOCK)
    with pytest.raises(ValueError, match="do not fit"):
        reader.commit(MAX_BLOCK + 1)
    with pytest.raises(ValueError, match="65,536 or less"):
        reader.next_burst(65_537)
    reader.finish()
    with pytest.raises(ValueError, match="finished"):
        reader.commit(1)


def test_window_cannot_be_pulled_away() -> None:
    """The memory behind a window cannot be resized while the reader lives."""
    reader = CaptureReader()
    with pytest.raises(BufferError):
        reader.space().obj.clear()


# records that are wrong


def test_odd_lengths_are_delivered_and_counted() -> None:
    """Records without a byte, and with more bytes than were on the wire, are packets all the same."""
    packets = [Packet(1000, b"", 60), Packet(2000, b"abc", 2), Packet(3000, b"abc", 3)]
    for write in (pcap, pcapng):
        got, reader = parse(write(packets))
        assert got == packets
        assert (reader.counters()["zero_length"], reader.counters()["longer_than_wire"]) == (1, 1)


@pytest.mark.parametrize("n_bytes", [MAX_PACKET + 1, MAX_BLOCK - 40, MAX_BLOCK + 1, 3 * MAX_BLOCK])
@pytest.mark.parametrize("write", [pcap, pcapng])
def test_oversized_records_are_passed_over(write: Callable[..., bytes], n_bytes: int) -> None:
    """A record beyond the limit is skipped, even one longer than the window, and its neighbours stay."""
    packets = [Packet(1000, b"before", 6), Packet(2000, bytes(n_bytes), n_bytes), Packet(3000, b"after", 5)]
    for step in (100_001, 1 << 20):
        got, reader = parse(write(packets), step)
        assert got == [packets[0], packets[2]]
        assert reader.warnings() == ["packets of more than 262,144 captured bytes, skipped: 1"]


def test_the_largest_packet_is_read() -> None:
    """262,144 captured bytes, libpcap's own limit, still make a packet."""
    packets = [Packet(1000, bytes(MAX_PACKET), MAX_PACKET)] * 5
    for write in (pcap, pcapng):
        assert parse(write(packets))[0] == packets


@pytest.mark.parametrize("write", [pcap, pcapng])
def test_oversized_record_beyond_the_end_is_truncation(write: Callable[..., bytes]) -> None:
    """An oversized record that the capture does not hold whole is where it was cut."""
    first = [Packet(1000, b"before", 6)]
    at = len(write(first))
    got, reader = parse(write([*first, Packet(2000, bytes(MAX_BLOCK + 9), 9)])[:-7])
    assert (got, reader.truncated_at_bytes, reader.counters()["oversized"]) == (first, at, 0)


def spoiled(tail: bytes, order: str = "<") -> bytes:
    """Write a good section with one good packet, then `tail`."""
    return section(order) + interface(order=order) + enhanced(1_000_000, b"good", 4, 0, order) + tail


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        (
            pcap([Packet(10**9, b"good", 4)]) + struct.pack("<IIII", 0, 0, 0xF0000000, 60),
            "length is impossible",
        ),
        (spoiled(struct.pack("<II", 6, 13) + bytes(99)), "length is impossible"),
        (spoiled(struct.pack("<II", 6, 8) + bytes(99)), "length is impossible"),
        (spoiled(struct.pack("<II", 7, 34) + bytes(22) + struct.pack("<I", 34)), "length is impossible"),
        (spoiled(struct.pack("<II", 6, 0xFFFFFFF0) + bytes(99)), "length is impossible"),
        (spoiled(struct.pack("<II", 1, MAX_BLOCK + 4) + bytes(99)), "length is impossible"),
        (spoiled(block(6, bytes(8))), "length is impossible"),
        (spoiled(block(3, b"")), "length is impossible"),
        (spoiled(block(1, bytes(4))), "length is impossible"),
        (spoiled(block(6, struct.pack("<IIIII", 0, 0, 0, 9, 9) + bytes(8))), "length is impossible"),
        (spoiled(block(7, bytes(8))[:-4] + bytes(4)), "before and after it differ"),
        (spoiled(block(0x0A0D0D0A, bytes(16))), "no byte-order mark"),
        (spoiled(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 9, 0, -1))), "version"),
    ],
)
def test_corruption_is_told_and_what_came_before_stands(capture: bytes, words: str) -> None:
    """An impossible record ends reading with an error that says where; the packet before it is kept."""
    at = len(pcap([Packet(0, b"good", 4)])) if capture[:4] == pcap([])[:4] else len(spoiled(b""))
    for step in (7, 1 << 20):
        got, reader = parse(capture, step)
        assert got == [Packet(10**9, b"good", 4)]
        assert reader.status == "error"
        assert reader.error is not None
        assert f"corrupt at byte {at}: " in reader.error
        assert words in reader.error
        assert reader.next_burst() == (b"", b"")


def test_packet_of_an_undeclared_interface_is_skipped() -> None:
    """A packet block that names no described interface is counted, and what follows is read."""
    got, reader = parse(section() + enhanced(1, b"lost", 4) + interface() + enhanced(2, b"kept", 4))
    assert got == [Packet(2000, b"kept", 4)]
    assert reader.warnings() == ["packets of an interface that was not described, skipped: 1"]


def test_broken_interface_options_are_ignored() -> None:
    """Options that reach beyond their block change nothing."""
    for tail in (struct.pack("<HH", 9, 60_000), struct.pack("<HHH", 9, 2, 3), b"\x09\x00\x01"):
        body = struct.pack("<HHI", 1, 0, 0) + tail
        got, _ = parse(section() + block(1, body) + enhanced(5, b"x", 1))
        assert got == [Packet(5000, b"x", 1)]


# against scapy


def raw_packets() -> list[Any]:
    """Make a few frames with scapy's clock."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    ip = IP(src="192.0.2.1", dst="198.51.100.1")
    frames = [ether / ip / UDP(dport=5000 + i) / bytes(i * 31) for i in range(20)]
    for i, frame in enumerate(frames):
        frame.time = 1_600_000_000 + i
    return frames


@pytest.mark.parametrize("kind", ["micro", "nano", "big-endian", "pcapng"])
def test_what_scapy_writes(kind: str, tmp_path: Path) -> None:
    """Captures that scapy writes come back with its bytes and times."""
    from scapy.utils import PcapNgWriter, PcapWriter

    frames = raw_packets()
    path = str(tmp_path / "scapy")
    options = {"nano": {"nano": True}, "big-endian": {"endianness": ">"}}.get(kind, {})
    with PcapNgWriter(path) if kind == "pcapng" else PcapWriter(path, **options) as writer:
        for frame in frames:
            writer.write(frame)
    with Source(path) as source:
        got = all_of(source)
    assert [p.data for p in got] == [bytes(frame) for frame in frames]
    assert [p.ts_ns for p in got] == [int(frame.time) * 10**9 for frame in frames]
    assert not source.is_partial


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_scapy_reads(order: str) -> None:
    """Scapy's readers and ours agree on captures of our writer."""
    from scapy.utils import RawPcapNgReader, RawPcapReader

    packets = some_packets(30)
    for data, (told, meta) in zip(packets, RawPcapReader(io.BytesIO(pcap(packets, order))), strict=True):
        assert (told, meta.sec * 10**9 + meta.usec * 1000, meta.wirelen) == data[1::-1] + data[2:3]
    for data, (told, meta) in zip(packets, RawPcapNgReader(io.BytesIO(pcapng(packets, order))), strict=True):
        ticks = (meta.tshigh << 32) | meta.tslow
        assert (told, ticks * 10**9 // meta.tsresol, meta.wirelen) == data[1::-1] + data[2:3]
    assert parse(pcap(packets, order))[0] == parse(pcapng(packets, order))[0] == packets
