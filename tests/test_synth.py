"""The traffic generator: what it writes, read back by scapy or by a few lines of struct, fits its truth."""

import hashlib
import json
import socket
import struct
import tomllib
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scapy.all import (
    IP,
    TCP,
    UDP,
    Ether,
    IPv6,
    PcapNgReader,
    PcapReader,
    RawPcapNgReader,
    RawPcapReader,
    load_contrib,
    raw,
)
from scapy.layers.dns import DNS

from qoe.errors import ConfigError
from qoe.tools import synth
from qoe.tools.dice import Dice
from qoe.tools.zoo import conversations

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SYN, FIN = 0x02, 0x01


class Row(NamedTuple):
    """One packet of the busy cell, read by struct alone."""

    ts_ns: int
    up: bool
    key: tuple[str, int, str, int, int]
    ip_bytes: int
    payload_bytes: int
    seq: int
    ack: int
    flags: int
    stamp: tuple[int, int] | None
    payload: bytes


def parse(data: bytes, ts_ns: int) -> Row:
    """Read raw IP; the key is (subscriber, port, server, port, protocol)."""
    six = data[0] >> 4 == 6
    header, protocol = (40, data[6]) if six else (20, data[9])
    ip_bytes = 40 + struct.unpack(">H", data[4:6])[0] if six else struct.unpack(">H", data[2:4])[0]
    family = socket.AF_INET6 if six else socket.AF_INET
    src, dst = (data[8:24], data[24:40]) if six else (data[12:16], data[16:20])
    up = src.startswith(b"\x0a\x2d") or src.startswith(bytes.fromhex("20010db80045"))
    l4 = data[header:]
    sport, dport = struct.unpack(">HH", l4[:4])
    ends = [(socket.inet_ntop(family, src), sport), (socket.inet_ntop(family, dst), dport)]
    (here, port), (there, remote_port) = ends if up else ends[::-1]
    seq = ack = flags = 0
    stamp, start = None, 8
    if protocol == 6:
        seq, ack = struct.unpack(">II", l4[4:12])
        flags, start = l4[13], l4[12] >> 4 << 2
        at = 20 + (l4[20:start].index(b"\x08\x0a"))
        stamp = struct.unpack(">II", l4[at + 2 : at + 10])
    size = ip_bytes - header - start
    return Row(
        ts_ns,
        up,
        (here, port, there, remote_port, protocol),
        ip_bytes,
        size,
        seq,
        ack,
        flags,
        stamp,
        l4[start:],
    )


def read_frames(path):
    """Return (bytes, time in ns, wire length) of each packet, as scapy reads a pcapng in ns."""
    with RawPcapNgReader(str(path)) as reader:
        assert reader.read_packet  # a pcapng reader, not the fallback to pcap
        return [(data, (meta.tshigh << 32) + meta.tslow, meta.wirelen) for data, meta in reader]


@pytest.fixture(scope="module")
def recording():
    """The busy cell of seed 1, with its truth."""
    return synth.busy_cell(seed=1)


@pytest.fixture(scope="module")
def frames():
    """The committed example as scapy reads it."""
    return read_frames(EXAMPLES / "busy-cell.pcapng")


@pytest.fixture(scope="module")
def rows(frames):
    """The committed example, parsed."""
    return [parse(data, ts_ns) for data, ts_ns, _ in frames]


@pytest.fixture(scope="module")
def flows(rows):
    """Packets of the example by 5-tuple."""
    grouped = defaultdict(list)
    for row in rows:
        grouped[row.key].append(row)
    return grouped


def key_of(flow):
    """5-tuple of a flow in the truth."""
    return (flow["src"], flow["src_port"], flow["dst"], flow["dst_port"], flow["protocol"])


def test_example_is_what_the_generator_writes(recording, tmp_path):
    """The committed capture and cells file come out again, byte for byte, and stay small."""
    synth.write(recording, tmp_path / "again.pcapng")
    again = (tmp_path / "again.pcapng").read_bytes()
    committed = (EXAMPLES / "busy-cell.pcapng").read_bytes()
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(committed).hexdigest()
    assert len(committed) < 2_000_000
    assert (EXAMPLES / "busy-cell.toml").read_text() == recording.cells


def test_another_seed_is_another_capture():
    """Seeds decide everything: equal ones agree, different ones do not."""
    one, same, other = (synth.busy_cell(seed, duration_s=3.0) for seed in (5, 5, 6))
    assert np.array_equal(one.batch.heads, same.batch.heads)
    assert one.truth == same.truth
    assert one.truth["flows"] != other.truth["flows"]


def test_struct_and_scapy_read_the_same(frames, rows):
    """The parser of this test agrees with scapy's dissection, on every 50th packet."""
    for (data, _, wire_len), row in list(zip(frames, rows, strict=True))[::50]:
        packet = (IPv6 if data[0] >> 4 == 6 else IP)(data)
        assert wire_len == row.ip_bytes
        assert {packet.src, packet.dst} == {row.key[0], row.key[2]}
        assert {packet.payload.sport, packet.payload.dport} == {row.key[1], row.key[3]}
        if TCP in packet:
            assert (packet[TCP].seq, packet[TCP].ack, int(packet[TCP].flags)) == (row.seq, row.ack, row.flags)
            assert dict(packet[TCP].options)["Timestamp"] == row.stamp


def test_truth_counts_every_packet(recording, flows):
    """Packets and bytes of each flow, up and down, are those in the file."""

    def totals(packets, up):
        sizes = [p.ip_bytes for p in packets if p.up is up]
        return len(sizes), sum(sizes)

    seen = {key: totals(packets, True) + totals(packets, False) for key, packets in flows.items()}
    told = {
        key_of(f): (f["packets_up"], f["bytes_up"], f["packets_down"], f["bytes_down"])
        for f in recording.truth["flows"]
    }
    assert seen == told


def test_several_subscribers_of_each_class(recording):
    """Three subscribers or more use each class, on addresses that the cells file names."""
    users = defaultdict(set)
    for flow in recording.truth["flows"]:
        users[flow["class"]].add(flow["subscriber"])
    assert {name for name, who in users.items() if len(who) >= 3} == {
        "video",
        "voip",
        "gaming",
        "web",
        "bulk",
        "other",
    }
    cell = tomllib.loads(recording.cells)["cell"][0]
    listed = {address for who in cell["subscriber"] for address in who["addresses"]}
    assert {flow["src"] for flow in recording.truth["flows"]} <= listed
    assert len(listed) == 2 * len(cell["subscriber"]) == 30


def test_addresses_are_of_documentation_ranges(rows):
    """No address that anybody has: private, documentation (RFC 5737, RFC 3849)."""
    allowed = ("10.45.0.", "192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    assert all(end.startswith(allowed) for row in rows for end in (row.key[0], row.key[2]))


def test_downlink_never_exceeds_the_cell(recording, rows):
    """In any 100 ms the downlink carries no more than the capacity and one packet; it is full mid-way."""
    down = [row for row in rows if not row.up]
    times = np.array([row.ts_ns for row in down])
    sent = np.concatenate(([0], np.cumsum([row.ip_bytes for row in down])))
    until = np.searchsorted(times, times + 100_000_000, "left")
    in_window = sent[until] - sent[: len(times)]
    capacity_bps = recording.truth["capacity_down_bps"]
    assert in_window.max() <= capacity_bps / 8 * 0.1 + 1500
    start_ns = recording.truth["start_ns"]
    middle = (times > start_ns + 3e9) & (times < start_ns + 28e9)
    used_bps = 8 * np.diff(sent)[middle].sum() / 25
    assert used_bps > 0.97 * capacity_bps


def test_time_goes_forward_from_the_fixed_start(rows):
    """Time stamps never go back and lie in the half minute after 2026-01-05T09:00:00Z."""
    times = [row.ts_ns for row in rows]
    assert times == sorted(times)
    assert times[0] >= 1_767_603_600 * 10**9
    assert times[-1] < 1_767_603_630 * 10**9


def tcp_flows(flows):
    """TCP flows of the example, as lists of packets."""
    return [packets for key, packets in flows.items() if key[4] == 6]


def test_tcp_begins_with_a_handshake(flows):
    """SYN up, SYN and ACK down, ACK up; sequence numbers count on from there."""
    whole = [packets for packets in tcp_flows(flows) if len(packets) > 3]
    assert len(whole) > 30
    for packets in whole:
        up = next(p for p in packets if p.up and not p.flags & SYN)
        syn = packets[0]
        answers = [p for p in packets if not p.up]
        assert syn.up
        assert syn.flags == SYN
        assert answers[0].flags == SYN | 0x10
        assert answers[0].ack == (syn.seq + 1) % 2**32
        assert up.ack == (answers[0].seq + 1) % 2**32
        assert up.seq == (syn.seq + 1) % 2**32


def test_tcp_acknowledges_only_what_came(flows):
    """An ACK never covers bytes the probe has not seen; time stamps echo what the other end sent."""
    for packets in tcp_flows(flows):
        ahead = {True: None, False: None}
        stamps = {True: {0}, False: {0}}
        for p in packets:
            end = p.seq + p.payload_bytes + bool(p.flags & SYN) + bool(p.flags & FIN)
            if p.flags & 0x10 and ahead[not p.up] is not None:
                assert (ahead[not p.up] - p.ack) % 2**32 < 2**31
                assert p.stamp[1] in stamps[not p.up]
            if ahead[p.up] is None or 0 < (end - ahead[p.up]) % 2**32 < 2**31:
                ahead[p.up] = end % 2**32
            stamps[p.up].add(p.stamp[0])


def test_losses_show_and_are_repaired(recording, flows):
    """Every byte of a finished download reached the subscriber, though the queue dropped some at first."""
    late = 0
    for key, packets in flows.items():
        if key[4] != 6 or not any(p.flags & FIN and not p.up for p in packets):
            continue
        syn = next(p for p in packets if not p.up)
        covered, furthest = set(), 0
        for p in packets:
            if not p.up and p.payload_bytes:
                start = (p.seq - syn.seq - 1) % 2**32
                late += start < furthest
                furthest = max(furthest, start + p.payload_bytes)
                covered.add((start, start + p.payload_bytes))
        reached = 0
        for start, end in sorted(covered):
            assert start <= reached
            reached = max(reached, end)
        fin = next(p for p in packets if not p.up and p.flags & FIN)
        assert reached == (fin.seq - syn.seq - 1) % 2**32
    assert late > 20
    assert sum(who["packets_lost_down"] for who in recording.truth["subscribers"]) > 100


def test_rtp_gaps_are_the_calls_losses(recording, flows):
    """Missing RTP sequence numbers of the call at the cell's edge equal its truth; headers are RFC 3550's."""
    finn = next(who for who in recording.truth["subscribers"] if who["name"] == "finn")
    call = finn["voip"][0]
    voip = {
        f["src_port"]: key_of(f)
        for f in recording.truth["flows"]
        if f["class"] == "voip" and f["subscriber"] == "finn"
    }
    media = [p for p in flows[voip[min(voip)]] if p.payload[0] >> 6 == 2 and p.payload[1] & 0x7F == 111]
    down = [struct.unpack(">HII", p.payload[2:12]) for p in media if not p.up]
    assert len({ssrc for _, _, ssrc in down}) == 1
    numbers = [number for number, _, _ in down]
    assert len(set(numbers)) == call["down"]["received"] == len(numbers)
    assert call["down"]["sent"] - len(numbers) > 5
    assert max(numbers) - min(numbers) + 1 - len(set(numbers)) <= call["down"]["sent"] - len(numbers)
    assert numbers != sorted(numbers)
    up = [(p.ts_ns, *struct.unpack(">HII", p.payload[2:12])) for p in media if p.up]
    assert {b[0] - a[0] for a, b in pairwise(up)} == {20_000_000}
    assert {b[2] - a[2] for a, b in pairwise(up)} == {960}
    assert len(up) == call["up"]["sent"]


def test_rtcp_reports_the_losses(recording, flows):
    """The subscriber's last receiver report counts lost packets as the gaps it can have seen by then."""
    finn = next(who for who in recording.truth["subscribers"] if who["name"] == "finn")
    lost = finn["voip"][0]["down"]["sent"] - finn["voip"][0]["down"]["received"]
    voip = [f for f in recording.truth["flows"] if f["subscriber"] == "finn" and f["class"] == "voip"]
    rtcp = flows[key_of(max(voip, key=lambda f: f["src_port"]))]
    reports = [p.payload for p in rtcp if p.up]
    assert len(reports) >= 4
    told = []
    for report in reports:
        assert report[:2] == b"\x81\xc8"
        assert 4 * struct.unpack(">H", report[2:4])[0] + 4 == 52
        told.append(int.from_bytes(report[33:36], "big"))
    assert told == sorted(told)
    assert 0.5 * lost < told[-1] <= lost


def test_experience_follows_from_load(recording):
    """A player stalls or sinks to a low rung, the shared line delays a call; a wide cell cures both."""
    wide = synth.busy_cell(1, 10.0, 20_000_000, 10_000_000)

    def seen(truth):
        who = {s["name"]: s for s in truth["subscribers"]}
        players = [who[name]["video"][0] for name in ("ana", "ben", "chloe")]
        rate = np.mean([s["bitrate_bps"] for p in players for s in p["segments"][3:]])
        return len([s for p in players for s in p["stalls"]]), rate, who["jon"]["web"][0]["page_load_s"]

    (stalls, rate, load), (wide_stalls, wide_rate, wide_load) = seen(recording.truth), seen(wide.truth)
    assert stalls > 0
    assert wide_stalls == 0
    assert wide_rate > 3 * rate
    assert wide_load < 0.6 * load
    assert recording.truth["subscribers"][4]["voip"][0]["down"]["delay_p95_ms"] > 400


def checksums_hold(packet):
    """Rebuild a scapy packet with its checksums left out; the bytes must come out the same."""
    whole = raw(packet)
    copy = packet.copy()
    for layer in (IP, TCP, UDP):
        if layer in copy:
            del copy[layer].chksum
    return raw(copy) == whole


def test_mix_has_the_packets_and_flows_asked_for(tmp_path):
    """2,000 packets in 200 flows, in order of time, lengths and checksums right on every 10th."""
    path = tmp_path / "mix.pcap"
    assert synth.write_capture(synth.mix(2_000, 200, seed=3), path) == 2_000
    with PcapReader(str(path)) as reader:
        packets = list(reader)
    ends = Counter()
    for p in packets:
        net = p[IPv6] if IPv6 in p else p[IP]
        l4 = net.payload
        ends[frozenset({(net.src, l4.sport), (net.dst, l4.dport)}), l4.name] += 1
    assert len(packets) == sum(ends.values()) == 2_000
    assert len(ends) == 200
    assert max(ends.values()) > 20 * np.median(list(ends.values()))
    times = [p.time for p in packets]
    assert times == sorted(times)
    assert all(checksums_hold(p) for p in packets[::10])
    assert all(p.wirelen >= 60 for p in packets)
    assert {p.type for p in packets} == {0x0800, 0x86DD, 0x8100}
    names = {p[DNS].qd[0].qname for p in packets if DNS in p}
    assert len(names) > 50
    assert all(name.endswith(b".example.") for name in names)


def test_mix_numbers_tcp_without_a_gap():
    """Within a flow each side's sequence numbers advance by just what it sent."""
    expected = {}
    n_checked = 0
    for batch in synth.mix(2_500, 150, seed=2):
        for head, size in zip(batch.heads, batch.wire_len.tolist(), strict=True):
            packet = Ether(head.tobytes()[:size].ljust(size, b"\0"))
            if TCP not in packet:
                continue
            net = packet[IPv6] if IPv6 in packet else packet[IP]
            tcp = packet[TCP]
            total = net.plen if IPv6 in packet else net.len - 20
            key = (net.src, tcp.sport, net.dst, tcp.dport)
            assert tcp.seq == expected.get(key, tcp.seq)
            flags = int(tcp.flags)
            expected[key] = (
                tcp.seq + total - 4 * tcp.dataofs + bool(flags & SYN) + bool(flags & FIN)
            ) % 2**32
            n_checked += 1
    assert n_checked > 400


def test_mix_snaps_and_refuses_nonsense():
    """A snap length cuts what is captured, not what is told of the wire; too many flows are an error."""
    whole, cut = (list(synth.mix(3_000, 200, snap_bytes=snap)) for snap in (0, 96))
    assert [b.wire_len.tolist() for b in whole] == [b.wire_len.tolist() for b in cut]
    assert max(b.captured_len.max() for b in cut) == 96
    assert max(b.captured_len.max() for b in whole) > 1500
    with pytest.raises(ConfigError, match="10 flows in 9 packets"):
        next(synth.mix(9, 10))


@pytest.mark.parametrize(("packets", "flows"), [(1, 1), (7, 7), (50, 3), (100_000, 90_000), (200_000, 17)])
def test_mix_adds_up_at_the_edges(packets, flows):
    """Packet counts hold however many flows share them."""
    assert sum(len(batch) for batch in synth.mix(packets, flows)) == packets


def test_uniform_takes_turns(tmp_path):
    """64-byte frames; each flow gets its packets, one more or less, in no order; checksums right."""
    path = tmp_path / "uniform.pcap"
    assert synth.write_capture(synth.uniform(400, 1_000), path) == 1_000
    with RawPcapReader(str(path)) as reader:
        packets = [Ether(data) for data, _ in reader]
    counts = Counter((p[IP].src, p[UDP].sport) for p in packets)
    assert len(counts) == 400
    assert set(counts.values()) == {2, 3}
    assert {len(p) for p in packets} == {64}
    assert all(checksums_hold(p) for p in packets[::50])
    order = [p[IP].src for p in packets[:400]]
    assert order != sorted(order)
    with pytest.raises(ConfigError, match="0 flows"):
        next(synth.uniform(0, 10))


def innermost(packet):
    """Transport header and what follows it, of the innermost packet, as bytes."""
    if "Loopback" in packet.name:  # scapy does not know BSD's number for IPv6
        packet = (IPv6 if packet.type == 24 else IP)(raw(packet)[4:])
    if "AH" in packet:  # scapy leaves what is behind the header alone
        return raw(packet["AH"])[24:]
    ends = [layer for layer in packet.iterpayloads() if layer.name in ("TCP", "UDP")]
    return raw(ends[-1]) if ends else b""


SCAPY_CANNOT = {"eompls.pcap", "fragments.pcap"}


@pytest.mark.parametrize("name", sorted(set(synth.zoo()) - SCAPY_CANNOT))
def test_zoo_holds_the_same_conversations(name, tmp_path):
    """Scapy strips each encapsulation and finds the transport segments that were put in."""
    for contrib in ("mpls", "gtp", "geneve"):
        load_contrib(contrib)
    path = tmp_path / name
    path.write_bytes(synth.zoo()[name])
    with (PcapNgReader if name.endswith(".pcapng") else PcapReader)(str(path)) as reader:
        packets = list(reader)
    four = [packet[20:] for packet in conversations(False)]
    six = [packet[40:] for packet in conversations(True)]
    expected = four if name.startswith("ipv4") else six if name.startswith("ipv6") else four + six
    found = [innermost(packet) for packet in packets]
    if name == "interfaces.pcapng":
        # each section ends in a simple packet block, which scapy cuts to the interface's snap length of 0
        assert found == 2 * [*expected, b""]
        assert synth.zoo()[name].count(expected[0]) == 4
    else:
        assert found == expected


def test_zoo_without_scapy():
    """Ethernet over MPLS without a control word holds the frames; two fragments make one datagram."""
    zoo = synth.zoo()
    plain, tunnelled = (list(records(zoo[name])) for name in ("ethernet.pcap", "eompls.pcap"))
    assert [frame[14 + 8 :] for frame in tunnelled] == plain
    pieces = list(records(zoo["fragments.pcap"]))
    datagrams = [packet for packet in conversations(False) if len(packet) > 100]
    joined = [a[34:] + b[34:] for a, b in zip(pieces[0 : 2 * len(datagrams) : 2], pieces[1::2], strict=False)]
    assert joined == [packet[20:] for packet in datagrams]


def records(capture):
    """Frames of a little-endian pcap."""
    at = 24
    while at < len(capture):
        size = struct.unpack("<I", capture[at + 8 : at + 12])[0]
        yield capture[at + 16 : at + 16 + size]
        at += 16 + size


def test_dice_are_numpys_bits():
    """Numbers are PCG64's 53 upper bits: the same that NumPy's own generator makes of them today."""
    sequence = np.random.SeedSequence((9, 4))
    theirs = np.random.Generator(np.random.PCG64(sequence)).random(100)
    assert np.array_equal(Dice(9, 4).randoms(100), theirs)
    assert Dice(9, 4).random() == theirs[0]


def test_dice_follow_their_distributions():
    """Integers stay in range and are even, the bell has variance 1, quantiles come back."""
    dice = Dice(1)
    counts = np.bincount(dice.integers(3, 9, 60_000))
    assert counts[:3].sum() == 0
    assert np.all(np.abs(counts[3:] - 10_000) < 500)
    bells = np.array([dice.bell() for _ in range(4_000)])
    assert abs(bells.mean()) < 0.06
    assert abs(bells.std() - 1) < 0.05
    drawn = dice.quantiles((0, 1, 10, 100), 40_000)
    assert np.quantile(drawn, [1 / 3, 2 / 3]) == pytest.approx([1, 10], rel=0.05)


def test_command_line_writes_all_files(tmp_path, capsys):
    """One run writes capture, truth and cells file; counts go to standard error."""
    paths = {name: tmp_path / name for name in ("cell.pcap", "truth.json", "cells.toml")}
    arguments = ["busy-cell", "-o", str(paths["cell.pcap"]), "--duration", "2", "--seed", "7"]
    arguments += ["--truth", str(paths["truth.json"]), "--cells", str(paths["cells.toml"])]
    assert synth.main(arguments) == 0
    truth = json.loads(paths["truth.json"].read_text())
    n_packets = sum(flow["packets_up"] + flow["packets_down"] for flow in truth["flows"])
    with RawPcapReader(str(paths["cell.pcap"])) as reader:
        assert len(list(reader)) == n_packets
    assert tomllib.loads(paths["cells.toml"].read_text())["cell"][0]["name"] == "busy"
    assert f"{n_packets} packets" in capsys.readouterr().err
    assert synth.main(["zoo", "-o", str(tmp_path / "zoo")]) == 0
    assert {path.name for path in (tmp_path / "zoo").iterdir()} == set(synth.zoo())
    assert synth.main(["uniform", "-o", str(tmp_path / "u.pcap"), "--flows", "3", "--packets", "9"]) == 0
    assert (tmp_path / "u.pcap").stat().st_size == 24 + 9 * (16 + 64)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mix", "--flows", "9", "--packets", "3", "-o", "{}/m.pcap"], 1, "9 flows in 3 packets"),
        (["uniform", "--flows", "0", "-o", "{}/m.pcap"], 1, "0 flows"),
        (["zoo", "-o", "/proc/none/zoo"], 1, "/proc/none"),
        (["mix", "--seed", "-1", "-o", "{}/m.pcap"], 2, "--seed"),
        (["busy-cell", "--capacity-down", "nan", "-o", "{}/m.pcap"], 2, "--capacity-down"),
        (["no-such"], 2, "no-such"),
    ],
)
def test_command_line_says_what_is_wrong(arguments, code, said, tmp_path, capsys):
    """Bad input ends in one line that names it, the right exit code and no file."""
    try:
        exit_code = synth.main([argument.format(tmp_path) for argument in arguments])
    except SystemExit as stop:
        exit_code = stop.code
    assert exit_code == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
