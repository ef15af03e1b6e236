"""Broken captures: repeatable, varied, and many of them still readable far enough to matter."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import RawPcapNgReader, RawPcapReader

from qoe.tools import mutate
from qoe.tools.dice import Dice
from qoe.tools.zoo import zoo


def n_readable(capture):
    """How many packets scapy reads before it stumbles; -1 if it does not take the bytes for a capture."""
    n_read = -1
    try:
        reader = (RawPcapNgReader if capture[:4] == b"\n\r\r\n" else RawPcapReader)(io.BytesIO(capture))
        n_read = 0
        for _ in reader:
            n_read += 1
    except Exception:  # scapy raises whatever comes; how far it came is what is asked
        return n_read
    return n_read


def test_corpus_is_repeatable():
    """Capture k is the same in every run, wherever the run starts; another seed is another corpus."""
    first = list(mutate.corpus(60, seed=4))
    assert list(mutate.corpus(20, seed=4, start=30)) == first[30:50]
    assert list(mutate.corpus(60, seed=5)) != first


def test_pieces_make_the_whole():
    """Cutting a seed into records loses nothing and cuts where the packets are."""
    for name, capture in zoo().items():
        kind, order, pieces = mutate.split(capture)
        assert b"".join(pieces) == capture
        assert kind == name.rpartition(".")[2]
        if kind == "pcap":
            sizes = [struct.unpack(order + "I", piece[8:12])[0] for piece in pieces[1:]]
            assert [len(piece) - 16 for piece in pieces[1:]] == sizes
        else:
            assert all(piece[4:8] == piece[-4:] for piece in pieces)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\n\r\r\n", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d"]))
def test_any_bytes_can_be_broken(tail, magic):
    """Splitting puts any bytes together again, and breaking what is broken raises nothing."""
    capture = magic + tail
    assert b"".join(mutate.split(capture)[2]) == capture
    broken = mutate.mutate(mutate.mutate(capture, Dice(1, len(tail))), Dice(2, len(tail)))
    assert isinstance(broken, bytes)


def test_seeds_are_small_and_whole():
    """Every seed is a capture of 11 to 46 packets that scapy reads to its end."""
    for capture in mutate.seeds():
        assert 11 <= n_readable(capture) <= 46
        assert len(capture) < 40_000


def test_corpus_is_varied():
    """Nearly all differ from their seeds; most can be read some way, some not at all."""
    seeds = mutate.seeds()
    broken = list(mutate.corpus(400, seed=2))
    assert sum(capture != seeds[k % len(seeds)] for k, capture in enumerate(broken)) > 380
    assert len(set(broken)) > 390
    assert max(map(len, broken)) < 60_000
    reach = [n_readable(capture) for capture in broken]
    assert sum(n >= 10 for n in reach) > 200
    assert sum(n < 5 for n in reach) > 10


@pytest.mark.parametrize("way", sorted(set(mutate._WAYS), key=lambda way: way.__name__))
def test_every_way_breaks_both_formats(way):
    """Each way of breaking changes most pcaps and pcapngs it is tried on."""
    for name in ("gtpu-qfi.pcap", "format-be.pcapng"):
        capture = zoo()[name]
        n_changed = 0
        for number in range(40):
            kind, order, pieces = mutate.split(capture)
            way(pieces, kind, order, Dice(number))
            n_changed += b"".join(pieces) != capture
        assert n_changed > 20


def test_command_line_writes_numbered_files(tmp_path):
    """The command writes the corpus that the function yields."""
    assert mutate.main(["-n", "3", "--start", "7", "--seed", "9", "-o", str(tmp_path / "out")]) == 0
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["000007.cap", "000008.cap", "000009.cap"]
    assert [file.read_bytes() for file in files] == list(mutate.corpus(3, seed=9, start=7))
