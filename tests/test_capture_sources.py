"""Captures as sources: files, pipes, compressed, several, and what is no capture."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from captures import Packet, all_of, pcap, pcapng, some_packets, unpack

from qoe.capture import Source, expand, link_name, open_captures, read
from qoe.errors import CaptureError

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 0),  # stored: what is spoilt lies within a packet
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
}


def noisy_packets(n: int) -> list[Packet]:
    """Packets that hardly compress, so that a cut loses only some."""
    noise = random.Random(1)
    return [Packet(i * 1000 + 1000, noise.randbytes(1000), 1000) for i in range(n)]


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize(("write", "chunk_bytes"), [(pcap, 1 << 16), (pcapng, 777)])
def test_compressed_captures(
    suffix: str,
    write: Callable[..., bytes],
    chunk_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each compression is told by its bytes, not its name, of one member or several, also padded."""
    monkeypatch.setattr("qoe.capture._CHUNK_BYTES", chunk_bytes)
    packets = noisy_packets(300)
    capture = write(packets)
    compress = COMPRESSORS[suffix]
    path = tmp_path / "capture"
    cut = len(capture) // 3
    for stored in (compress(capture), compress(capture[:cut]) + compress(capture[cut:]) + bytes(100_000)):
        path.write_bytes(stored)
        with Source(str(path)) as source:
            assert all_of(source) == packets
            assert (source.is_partial, source.warnings()) == (False, [])
            assert source.bytes_read == source.bytes_total == len(stored)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_truncated_and_corrupt_compressed_captures(suffix: str, tmp_path: Path) -> None:
    """A cut or spoiled compressed capture yields what comes before, and says so."""
    packets = noisy_packets(500)
    stored = COMPRESSORS[suffix](pcap(packets))
    half = len(stored) // 2
    spoilt = bytearray(stored)
    spoilt[half + 400 : half + 464] = bytes(64)  # amid a packet's bytes, if these are stored as they are
    path = tmp_path / "capture"
    for damaged, words in (
        (stored[:half], "data is cut off"),
        (stored[:-1], "data is cut off"),
        (spoilt, "cannot be unpacked"),
    ):
        path.write_bytes(damaged)
        with Source(str(path)) as source:
            got = all_of(source)
            assert source.is_partial
            assert words in source.warnings()[-1]
        if damaged is not spoilt:
            assert got == packets[: len(got)]
            assert len(got) > 100


def test_bytes_after_the_compressed_data_are_told(tmp_path: Path) -> None:
    """What follows a compressed capture and is none is ignored with a word."""
    path = tmp_path / "capture.gz"
    path.write_bytes(gzip.compress(pcap(some_packets(3))) + b"left over")
    with Source(str(path)) as source:
        assert len(all_of(source)) == 3
        assert source.warnings()[-1].endswith("bytes after the end of the compressed data were ignored")


def test_memory_does_not_grow_with_what_is_unpacked(tmp_path: Path) -> None:
    """32 MB of capture out of 1.6 MB of zstd pass through less than 6 MB of memory."""
    path = tmp_path / "long.zst"
    path.write_bytes(
        zstandard.compress(
            pcap([Packet(0, random.Random(1).randbytes(3250) * 20, 65_000) for _ in range(500)])
        )
    )
    tracemalloc.start()
    try:
        with Source(str(path)) as source:
            n_packets = sum(len(burst.packets) for burst in iter(lambda: source.next_burst(16), None))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_packets == 500
    assert peak_bytes < 6_000_000


def test_standard_input() -> None:
    """A capture comes in through a pipe, compressed or not."""
    script = "import qoe.capture as c; print(sum(len(b.packets) for b in c.read('-')))"
    for capture in (pcapng(some_packets(500)), zstandard.compress(pcap(some_packets(500)))):
        told = subprocess.run(
            [sys.executable, "-P", "-c", script], input=capture, capture_output=True, check=False
        )
        assert told.stdout.split() == [b"500"], told.stderr
        assert b"packets that hold no byte" in told.stderr


def test_fifo_that_writes_byte_by_byte(tmp_path: Path) -> None:
    """A FIFO whose writer is slow is read to its end."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    capture = pcap(some_packets(5))

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for byte in capture:
                pipe.write(bytes([byte]))

    writer = threading.Thread(target=write)
    writer.start()
    with Source(str(path)) as source:
        assert all_of(source) == some_packets(5)
        assert source.bytes_total is None
        assert source.bytes_read == len(capture)
    writer.join()


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    """A file cut short after it was opened ends early and is said to have shrunk."""
    path = tmp_path / "capture"
    path.write_bytes(pcap(noisy_packets(1000)))
    with Source(str(path)) as source:
        os.truncate(path, 100_000)
        assert len(all_of(source)) == (100_000 - 24) // 1016
        assert source.is_partial
        assert "shrank while it was read, from 1,016,024 to 100,000 bytes" in source.warnings()[-1]


def test_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    """What is appended before the end is reached is read too."""
    path = tmp_path / "capture"
    packets = noisy_packets(300)
    path.write_bytes(pcap(packets[:200]))
    with Source(str(path)) as source, path.open("ab") as more:
        more.write(pcap(packets)[len(pcap(packets[:200])) :])
        more.flush()
        assert all_of(source) == packets


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (gzip.compress(b""), "is empty; was the recording stopped before it began? within gzip"),
        (b"\xd4", "cut off within its first header"),
        (pcap([])[:20], "cut off within its first header"),
        (b"time,size\n1,2\n", "text, beginning 'time,size"),
        (gzip.compress(b"time,size\n1,2\n"), "within gzip"),
        (b"PK\x03\x04rest of it", "zip archive: unpack it first"),
        (b"\x04\x22\x4d\x18" + bytes(9), "lz4 -d"),
        (b'{"packets": []}', "JSON"),
        (bytes(4096), "zero bytes"),
        (b"\x00\x01\xfe\xff" * 9, "bytes 00 01 fe ff"),
        (b"a" * 257 + b"ustar", "tar archive"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 7, 4, 0, 0, 0, 1), "pcap is 2.x"),
        (gzip.compress(pcap([]))[:12], "the gzip data is cut off"),
        (b"\x1f\x8b\x08" + b"\xff" * 50, "the gzip data cannot be unpacked"),
    ],
)
def test_what_is_no_capture(content: bytes, words: str, tmp_path: Path) -> None:
    """Each file that is no capture gets one line that names it and says what it looks like."""
    path = tmp_path / "thing.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as told:
        Source(str(path))
    assert words in str(told.value)
    assert str(told.value).startswith(f"{path}: ")
    assert "\n" not in str(told.value)


def test_what_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, missing files and those one may not read are told as such."""
    with pytest.raises(CaptureError, match="is a directory; name the captures in it"):
        Source(str(tmp_path))
    with pytest.raises(CaptureError, match="no such file"):
        Source(str(tmp_path / "none"))
    with pytest.raises(CaptureError, match="cannot be opened"):
        Source("nul\0byte")

    def refuse(path: str) -> None:
        raise PermissionError

    monkeypatch.setattr("qoe.capture.io.FileIO", refuse)
    with pytest.raises(CaptureError, match=r"permission denied; .*chmod"):
        Source(str(tmp_path / "secret"))


def test_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns match files in order; names that exist stand for themselves; nothing is taken twice."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.pcap", "a.pcap", "odd[1].pcap"):
        Path(name).write_bytes(b"")
    Path("folder.pcap").mkdir()
    assert expand(["*.pcap"]) == ["a.pcap", "b.pcap", "odd[1].pcap"]
    assert expand(["b.pcap", "-", Path("odd[1].pcap"), "?.pcap"]) == ["b.pcap", "-", "odd[1].pcap", "a.pcap"]
    with pytest.raises(CaptureError, match=r"none\.pcap: no such file"):
        expand(["none.pcap"])
    with pytest.raises(CaptureError, match=r"x\*: no file matches"):
        expand(["x*"])


def test_several_captures(tmp_path: Path) -> None:
    """Captures of different kinds follow one another, each closed once the next is asked for."""
    first, second, third = some_packets(3)[1:], some_packets(4)[1:], some_packets(5)[1:]
    for name, content in (("1", pcap(first)), ("2", gzip.compress(pcapng(second))), ("3", pcap(third, ">"))):
        (tmp_path / name).write_bytes(content)
    pattern = str(tmp_path / "?")
    bursts = list(read(pattern, burst=2))
    assert [
        p for b in bursts for p in unpack(bytearray(b.data), bytearray(b.packets))
    ] == first + second + third
    assert max(len(b.packets) for b in bursts) == 2
    sources = list(open_captures(expand([pattern])))
    assert [s.reader.format for s in sources] == ["pcap", "pcapng", "pcap"]
    with pytest.raises(ValueError, match="closed"):
        sources[0].fill()


def test_read_warns_of_what_is_missing(tmp_path: Path) -> None:
    """The plain generator warns at the end of a capture that was cut, after all its packets."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(pcap(some_packets(10)[1:])[:-3])
    with pytest.warns(UserWarning, match=r"cut\.pcap: truncated at byte"):
        assert sum(len(burst.packets) for burst in read(path)) == 8


def test_link_names() -> None:
    """A link type is named with its number, also one without a name."""
    assert link_name(189) == "USB, Linux (189)"
    assert link_name(4242) == "unnamed (4242)"
