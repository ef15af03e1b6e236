"""Captures as sources of packets: files, pipes and standard input, plain or compressed, one after another.

A network interface is a source too: `Interface`, of `qoe.interface`.

A file is read into the reader's one reusable window, a quarter of a megabyte at a time, not mapped: of a mix
of frames of 760 bytes that costs 30 ns a packet where walking through a mapping costs 117, one miss after
another; and reading keeps memory flat, serves pipes by the same path, and lets a file that shrinks meanwhile
end early where a mapping would kill the process. Of a plain file `Engine.consume` reads most pieces itself.
"""

from __future__ import annotations

import glob
import io
import os
import re
import stat
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self, TypeAlias

from qoe.errors import CaptureError
from qoe_native.engine import CaptureReader

if TYPE_CHECKING:
    from qoe.interface import Interface
    from qoe.schema import Burst

__all__ = ["LINK_NAMES", "STDIN", "Interface", "Source", "expand", "link_name", "open_captures", "read"]


def __getattr__(name: str) -> object:
    if name == "Interface":  # who reads files alone need not load what live capture takes
        from qoe.interface import Interface

        return Interface
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


STDIN: Final = "-"
_CHUNK_BYTES: Final = 1 << 16
_MAGIC_BYTES: Final = 8
_ZSTD_PIECE_BYTES: Final = 2048
_XZ_MAX_MEMORY_BYTES: Final = 1 << 28

LINK_NAMES: Final = {
    0: "BSD loopback",
    1: "Ethernet",
    6: "Token Ring",
    8: "SLIP",
    9: "PPP",
    50: "PPP in HDLC framing",
    51: "PPPoE",
    101: "raw IP",
    104: "Cisco HDLC",
    105: "IEEE 802.11",
    107: "Frame Relay",
    108: "OpenBSD loopback",
    113: "Linux cooked v1",
    117: "OpenBSD pflog",
    119: "Prism 802.11",
    127: "radiotap 802.11",
    147: "user-defined 0",
    187: "Bluetooth H4",
    189: "USB, Linux",
    192: "PPI",
    195: "IEEE 802.15.4",
    201: "Bluetooth H4 with direction",
    220: "USB, Linux memory-mapped",
    227: "CAN",
    228: "raw IPv4",
    229: "raw IPv6",
    239: "Linux NFLOG",
    249: "USB, Windows",
    251: "Bluetooth LE",
    252: "Wireshark exported PDU",
    253: "Linux netlink monitor",
    276: "Linux cooked v2",
}
"""Names of link types, by LINKTYPE_ number of https://www.tcpdump.org/linktypes.html."""


def link_name(link_type: int) -> str:
    """Name a link type for people, with its number: ``"USB, Linux (189)"``."""
    return f"{LINK_NAMES.get(link_type, 'unnamed')} ({link_type})"


class _Decompressor(Protocol):
    """What the decompressors of bz2 and lzma share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes | memoryview: ...


class _GzipDecompressor:
    """One gzip member, with the interface of bz2's decompressor."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


class _ZstdDecompressor:
    """One zstd frame, with the interface of bz2's decompressor.

    The library unpacks all that it is fed, up to 32,768 times as much, so it is fed a little at a time.
    """

    def __init__(self) -> None:
        import zstandard

        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._packed = memoryview(b"")
        self._unpacked = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._frame.eof and not self._unpacked

    @property
    def needs_input(self) -> bool:
        return not (self._packed or self._unpacked)

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data + self._packed.tobytes()

    def decompress(self, data: bytes, max_length: int, /) -> memoryview:
        if data:  # only ever given when the last was used up
            self._packed = memoryview(data)
        if not self._unpacked:
            self._unpacked = memoryview(b"".join(self._pieces(max_length)))
        out, self._unpacked = self._unpacked[:max_length], self._unpacked[max_length:]
        return out

    def _pieces(self, n_bytes: int) -> Iterator[bytes]:
        while self._packed and n_bytes > 0 and not self._frame.eof:
            piece, self._packed = self._packed[:_ZSTD_PIECE_BYTES], self._packed[_ZSTD_PIECE_BYTES:]
            unpacked = self._frame.decompress(piece)
            n_bytes -= len(unpacked)
            yield unpacked


_Loaded: TypeAlias = "tuple[Callable[[], _Decompressor], type[Exception]]"


def _load_zstd() -> _Loaded:
    import zstandard

    return _ZstdDecompressor, zstandard.ZstdError


def _load_bzip2() -> _Loaded:
    import bz2

    return bz2.BZ2Decompressor, OSError


def _load_xz() -> _Loaded:
    import lzma

    return lambda: lzma.LZMADecompressor(memlimit=_XZ_MAX_MEMORY_BYTES), lzma.LZMAError


class _Codec(NamedTuple):
    """A compressed format: how it is told, and what unpacks one member (or frame) of it."""

    name: str
    magic: tuple[bytes, ...]
    load: Callable[[], _Loaded]


_SKIPPABLE: Final = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))
_CODECS: Final = (
    _Codec("gzip", (b"\x1f\x8b",), lambda: (_GzipDecompressor, zlib.error)),
    _Codec("zstd", (b"\x28\xb5\x2f\xfd", *_SKIPPABLE), _load_zstd),
    _Codec("bzip2", tuple(b"BZh%d" % level for level in range(1, 10)), _load_bzip2),
    _Codec("xz", (b"\xfd7zXZ\0",), _load_xz),
)


class _Unpacker:
    """The bytes within a compressed stream of one or more members, never more at a time than fit.

    `readinto` raises EOFError where the stream is cut off, after all that it held was handed out.
    """

    def __init__(self, raw: io.FileIO, codec: _Codec, head: bytes) -> None:
        self._raw = raw
        self._codec = codec
        self._pending = head
        self._decompressor, self._error = codec.load()
        self._member = self._decompressor()
        self.n_trailing_bytes = 0

    def readinto(self, space: memoryview) -> int:
        while not self._member.eof or self._next_member():
            hungry = self._member.needs_input
            data = self._input() if hungry else b""
            try:
                out = self._member.decompress(data, len(space))
            except self._error as error:
                raise EOFError(f"the {self._codec.name} data cannot be unpacked ({error})") from error
            if out:
                space[: len(out)] = out
                return len(out)
            if hungry and not data and not self._member.eof:
                raise EOFError(f"the {self._codec.name} data is cut off")
        return 0

    def _input(self) -> bytes:
        data = self._pending or self._raw.read(_CHUNK_BYTES)
        self._pending = b""
        return data

    def _next_member(self) -> bool:
        # zero bytes may pad the end, as on tape; what else follows is not ours
        head = self._member.unused_data.lstrip(b"\0")
        while len(head) < _MAGIC_BYTES and (more := self._raw.read(_CHUNK_BYTES)):
            head = (head + more).lstrip(b"\0")
        if not head.startswith(self._codec.magic):
            self.n_trailing_bytes = len(head)
            return False
        self._pending = head
        self._member = self._decompressor()
        return True


_OTHER_FORMATS: Final = (
    (rb"PK\x03\x04", "a zip archive: unpack it first"),
    (rb"7z\xbc\xaf", "a 7-zip archive: unpack it first"),
    (rb".{257}ustar", "a tar archive: unpack it first"),
    (rb"\x04\x22\x4d\x18", "lz4 data: unpack it first, with lz4 -d"),
    (rb"GMBU|RTSS", "a Network Monitor capture: convert it with editcap -F pcapng"),
    (rb"snoop\0", "a snoop capture: convert it with editcap -F pcapng"),
    (rb"PAR1", "a Parquet file"),
    (rb"\x7fELF", "a program"),
    (rb"%PDF", "a PDF document"),
    (rb"\0{8}", "zero bytes, as after a copy that failed"),
    (rb"\s*[\[{]", "JSON or other text"),
    (rb"\s*<", "HTML or XML"),
)


def _describe(head: bytes) -> str:
    """Say what bytes that are no capture look like."""
    for pattern, words in _OTHER_FORMATS:
        if re.match(pattern, head, re.DOTALL):
            return words
    start = head[:16]
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        return f"text, beginning {start.decode('ascii')!r}"
    return f"bytes {start[:8].hex(' ')}"


def _open(path: str) -> io.FileIO:
    """Open a file, a FIFO or standard input for reading without a buffer."""
    try:
        if path != STDIN:
            return io.FileIO(path)
        if sys.stdin is None or sys.stdin.isatty():
            raise CaptureError("standard input: no capture comes in; pipe one, as in: tcpdump -w - | qoe ...")
        os.set_blocking(sys.stdin.fileno(), True)
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except FileNotFoundError:
        raise CaptureError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise CaptureError(
            f"{path}: is a directory; name the captures in it, as in '{path}/*.pcap'"
        ) from None
    except PermissionError:
        raise CaptureError(f"{path}: permission denied; make it readable, as in: chmod a+r {path}") from None
    except (OSError, ValueError) as error:
        raise CaptureError(f"{path}: cannot be opened ({error})") from None


def _head(stream: _Unpacker | io.FileIO) -> bytes:
    """Read enough to tell formats apart; fewer bytes only where there are no more."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    n_bytes = 0
    while n_bytes < _MAGIC_BYTES and (more := stream.readinto(buffer[n_bytes:])):
        n_bytes += more
    return bytes(buffer[:n_bytes])


class Source:
    """One capture being read.

    Parameters
    ----------
    path : str
        A file, plain or compressed with gzip, zstd, bzip2 or xz (told by its first bytes, whatever its
        name), a FIFO, or "-" for standard input.

    Attributes
    ----------
    name : str
        What messages call it.
    reader : CaptureReader
        Holds the bytes read so far; an engine takes packets out of it, or `next_burst` does.
    bytes_read : int
        Bytes of the file that were read, compressed as it is; of a pipe, those of the capture within.
    bytes_total : int or None
        Size of the file when it was opened, compressed as it is; None of a pipe.

    Raises
    ------
    CaptureError
        It cannot be opened, is empty, or is no capture.
    """

    def __init__(self, path: str) -> None:
        self.name = "standard input" if path == STDIN else path
        self.bytes_read = 0
        self._raw = _open(path)
        self._stream: _Unpacker | io.FileIO = self._raw
        self._problem = ""
        self.reader = CaptureReader()
        status = os.fstat(self._raw.fileno())
        self.bytes_total = status.st_size if stat.S_ISREG(status.st_mode) else None
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        """Find out what the first bytes are: compressed or not, and which kind of capture."""
        within = ""
        try:
            head = _head(self._raw)
            codec = next((codec for codec in _CODECS if head.startswith(codec.magic)), None)
            if codec:
                self._stream = _Unpacker(self._raw, codec, head)
                head = _head(self._stream)
                within = f" within {codec.name}"
        except (OSError, EOFError) as error:
            raise CaptureError(f"{self.name}: cannot be read: {error}") from None
        self.reader.space()[: len(head)] = head
        self.reader.commit(len(head))
        self.reader.next_burst(0)
        while self.reader.status == "more":
            self.fill()
            self.reader.next_burst(0)
        if self.reader.format is None or self.reader.error:
            raise CaptureError(f"{self.name}: {self._refusal(head)}{within}")
        if self.bytes_total is not None and not codec:
            self.reader.read_from(self._raw.fileno())

    def _refusal(self, head: bytes) -> str:
        """Why no capture begins with these bytes."""
        if not head:
            return "is empty; was the recording stopped before it began?"
        if self.reader.status == "end":
            return f"is cut off within its first header; record it again ({len(head)} bytes)"
        if self.reader.format and self.reader.error:
            return self.reader.error
        return f"is no capture (pcap or pcapng), but {_describe(head)}"

    def fill(self) -> bool:
        """Read the next bytes into `reader`.

        Returns
        -------
        bool
            False at the end, or where nothing more can be read: see `warnings`.
        """
        n_bytes = 0
        try:
            n_bytes = self._stream.readinto(self.reader.space()) or 0
        except (OSError, EOFError) as error:
            self._problem = f"{error}; {self.reader.offset_bytes:,} bytes of capture came before"
        self.bytes_read = self.reader.offset_bytes if self.bytes_total is None else self._raw.tell()
        if n_bytes:
            self.reader.commit(n_bytes)
            return True
        self.reader.finish()
        self._notice_shrinking()
        return False

    def _notice_shrinking(self) -> None:
        size = os.fstat(self._raw.fileno()).st_size
        if self.bytes_total is not None and size < self.bytes_total:
            self._problem = f"shrank while it was read, from {self.bytes_total:,} to {size:,} bytes"

    def next_burst(self, max_packets: int = 256, until_ns: int = 0) -> Burst | None:
        """Read on and copy the next packets.

        Parameters
        ----------
        max_packets : int
            At most so many, 1 to 65,536; fewer do not mean the end.
        until_ns : int
            Stop before the first packet of this time or later; 0 = no limit.

        Returns
        -------
        Burst or None
            None at the end, at `until_ns`, or where the capture is corrupt: ``reader.status`` says which.
        """
        import numpy as np  # whoever has an engine read needs no arrays

        from qoe.schema import PACKET_DTYPE, Burst

        while True:
            data, packets = self.reader.next_burst(max_packets, until_ns)
            if packets:
                return Burst(np.frombuffer(data, np.uint8), np.frombuffer(packets, PACKET_DTYPE))
            if self.reader.status != "more":
                return None
            self.fill()

    @property
    def is_partial(self) -> bool:
        """Whether part of the capture could not be read: cut off, corrupt, or shrunk meanwhile."""
        reader = self.reader
        return bool(self._problem or reader.error or reader.truncated_at_bytes is not None)

    def warnings(self) -> list[str]:
        """Return, a line each and with the name, what the capture left to be desired so far."""
        lines = self.reader.warnings()
        if self._problem:
            lines.append(self._problem)
        if isinstance(self._stream, _Unpacker) and self._stream.n_trailing_bytes:
            lines.append("bytes after the end of the compressed data were ignored")
        return [f"{self.name}: {line}" for line in lines]

    def close(self) -> None:
        """Close the file; the reader keeps what it holds."""
        self.reader.read_from(-1)
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def expand(patterns: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Turn file names and glob patterns into the captures they mean.

    Parameters
    ----------
    patterns : iterable of str or path
        "-" is standard input; a name that exists stands for itself, even with brackets in it; matches
        come in order of name; what is named twice is taken once.

    Returns
    -------
    list of str

    Raises
    ------
    CaptureError
        A file that does not exist, or a pattern without a match.
    """
    names: dict[str, None] = {}
    for pattern in [os.fspath(p) for p in patterns]:
        if pattern == STDIN or os.path.exists(pattern):
            names[pattern] = None
            continue
        if not glob.has_magic(pattern):
            raise CaptureError(f"{pattern}: no such file")
        matches = sorted(name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name))
        if not matches:
            raise CaptureError(f"{pattern}: no file matches this pattern; is it quoted and the folder right?")
        names.update(dict.fromkeys(matches))
    return list(names)


def open_captures(paths: Iterable[str]) -> Iterator[Source]:
    """Open captures one after another; each is closed when the next is asked for.

    Parameters
    ----------
    paths : iterable of str
        As `expand` gives them.

    Yields
    ------
    Source

    Raises
    ------
    CaptureError
        When its turn comes, of a capture that cannot be opened or is none.
    """
    for path in paths:
        with Source(path) as source:
            yield source


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], burst: int = 256
) -> Iterator[Burst]:
    """Read captures into bursts of packets.

    Parameters
    ----------
    paths : str, path, or iterable of them
        Files, glob patterns, "-" for standard input.
    burst : int
        Most packets in one burst, 1 to 65,536.

    Yields
    ------
    Burst
        Packets of one capture, in its order.

    Raises
    ------
    CaptureError
        A capture that cannot be opened or is none.

    Warns
    -----
    UserWarning
        At the end of a capture, for each thing it left to be desired: cut off, corrupt, skipped records.

    Examples
    --------
    >>> n_bytes = sum(int(burst.packets["wire_len"].sum()) for burst in read("busy.pcap"))  # doctest: +SKIP
    """
    patterns = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    for source in open_captures(expand(patterns)):
        while (packets := source.next_burst(burst)) is not None:
            yield packets
        for line in source.warnings():
            warnings.warn(line, stacklevel=2)
