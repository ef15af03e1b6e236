"""What the commands share: arguments, messages, streams, progress."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from qoe.errors import QoeError

if TYPE_CHECKING:
    from qoe.capture import Source
    from qoe.feed import Reading

_REFRESH_S: Final = 0.2


def say(message: str) -> None:
    """Write one line to stderr."""
    if sys.stderr is not None:
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        print(f"qoe: {line}", file=sys.stderr, flush=True)


def add_captures(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    """Add the captures to read and what every command that reads them offers."""
    parser.add_argument(
        "captures",
        nargs=nargs,
        metavar="CAPTURE",
        help="pcap or pcapng, plain or compressed (gzip, zstd, bzip2, xz); a glob pattern; - for stdin",
    )
    parser.add_argument(
        "--model",
        default="default",
        metavar="FILE",
        help="classifier made by 'qoe train'; 'none' decides by framing and ports alone (default: the one"
        " that comes with qoe)",
    )
    parser.add_argument(
        "--max-flows", type=whole_number, default=0, metavar="N", help="live flows at once (default: 1048576)"
    )


def model_of(args: argparse.Namespace) -> str | None:
    """Give the model that was asked for as `Engine` takes it."""
    return None if args.model == "none" else str(args.model)


def whole_number(value: str) -> int:
    """Read a whole number, 0 or more."""
    try:
        number = int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of 0 or more")
    return number


def seconds(value: str) -> float:
    """Read seconds: finite, 0 or more."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 9e9:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of seconds of 0 or more")
    return number


def positive_seconds(value: str) -> float:
    """Read seconds: finite, at least a millisecond."""
    number = seconds(value)
    if number < 1e-3:
        raise argparse.ArgumentTypeError(f"{value!r} is too short: give 0.001 s or more")
    return number


def stdout_bytes() -> IO[bytes]:
    """Give standard output for bytes."""
    if sys.stdout is None:
        raise QoeError("standard output is closed: redirect it to a file or name one")
    sys.stdout.flush()
    return sys.stdout.buffer


@contextmanager
def others_write_to_stderr() -> Iterator[None]:
    """Lead what libraries print on their own to standard error while the block runs: HiGHS does, at times."""
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def write_text(text: str) -> None:
    """Write text to standard output, whatever its encoding can show."""
    if sys.stdout is None:
        raise QoeError("standard output is closed: redirect it to a file or name one")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written; whatever keeps it from being is one clear error."""
    try:
        with path.open("wb") as sink:
            yield sink
    except OSError as error:
        raise QoeError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file, as `writing` does."""
    with writing(path) as sink:
        sink.write(data)


def make_folder(folder: Path) -> None:
    """Make a folder for output, unless it is there; whatever keeps it from being is one clear error."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QoeError(f"{folder}: cannot be made: {error.strerror or error}") from None


def require_folder(output: Path) -> None:
    """Refuse a file whose folder does not exist, before anything is computed for it."""
    if not output.parent.is_dir():
        raise QoeError(f"{output}: there is no folder {output.parent}; make it first")


def refuse_overwriting(output: Path, captures: Iterable[str]) -> None:
    """Refuse to write over a capture that is to be read."""
    for capture in captures:
        if output.exists() and os.path.exists(capture) and output.samefile(capture):
            raise QoeError(f"{output}: is one of the captures; name another file to write")


def tell(feed: Reading) -> int:
    """Say what could not be read, or was odd; give the exit code."""
    for line in feed.warnings:
        say(f"warning: {line}")
    for line in feed.errors:
        say(line)
    return 1 if feed.partial else 0


class ProgressLine:
    """One line on stderr that tells how far the reading is; only on a terminal.

    Call it with the capture being read and the packets read so far.
    """

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._shown = False

    @classmethod
    def if_terminal(cls) -> ProgressLine | None:
        """Give a progress line if stderr is a terminal."""
        return cls() if sys.stderr is not None and sys.stderr.isatty() else None

    def __call__(self, source: Source, packets: int) -> None:
        """Show where the reading is, at most five times a second."""
        now = time.monotonic()
        if now - self._told < _REFRESH_S:
            return
        self._told, self._shown = now, True
        total = source.bytes_total
        part = f"{100 * source.bytes_read / total:3.0f} %" if total else f"{source.bytes_read / 1e6:,.0f} MB"
        rate = packets / (now - self._began)
        line = f"{Path(source.name).name[:40]}: {part}, {packets:,} packets, {rate:,.0f} a second"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[Callable[[Source, int], None] | None]:
    """Show progress on a terminal while the block runs."""
    line = ProgressLine.if_terminal()
    try:
        yield line
    finally:
        if line:
            line.clear()
