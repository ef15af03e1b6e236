"""One small capture of each encapsulation, link type and file format: seeds for tests and fuzzing.

Every capture carries the same conversations (a call's RTP both ways and a TCP handshake with data), so a
reader that strips the encapsulation right finds the same flows in all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import numpy as np

from qoe.tools import wrap
from qoe.tools.busycell import START_NS
from qoe.tools.capfile import block, enhanced_packets, interface, option, pcap_header, pcap_records, section
from qoe.tools.packets import RAW, TCP, UDP, Batch, Columns, build

LINK_TYPES: Final = {
    "null": 0,
    "ethernet": 1,
    "ppp": 9,
    "raw": 101,
    "ieee80211": 105,
    "loop": 108,
    "sll": 113,
    "radiotap": 127,
    "ipv4": 228,
    "ipv6": 229,
    "sll2": 276,
}
_GAP_NS: Final = 10_000_000
_N_MEDIA: Final = 6
_ADDRESSES: Final = {
    six: [np.frombuffer(ip_address(text).packed.ljust(16, b"\0"), np.uint8) for text in pair]
    for six, pair in ((False, ("10.45.0.5", "203.0.113.9")), (True, ("2001:db8::5", "2001:db8:100::9")))
}


def conversations(six: bool) -> list[bytes]:
    """Return IP packets: six of a call (UDP), then five of a TCP connection."""
    batch = build(_columns(six), RAW, 0)
    sizes = batch.wire_len.tolist()
    return [head.tobytes()[:n].ljust(n, b"\0") for head, n in zip(batch.heads, sizes, strict=True)]


def _columns(six: bool) -> Columns:
    """Header fields: RTP both ways every 20 ms, then a handshake, a request and a response."""
    media = np.arange(11) < _N_MEDIA
    down = np.array([0, 1] * (_N_MEDIA // 2) + [0, 1, 0, 0, 1], np.bool_)
    payload = np.array([172] * _N_MEDIA + [0, 0, 0, 120, 400])
    here, there = _ADDRESSES[six]
    mine, theirs = np.where(media, 24_000, 40_001), np.where(media, 26_010, 443)
    prefix = np.zeros((len(media), 12), np.uint8)
    prefix[media] = np.frombuffer(struct.pack(">BBHII", 0x80, 0, 1, 160, 0x5EED), np.uint8)
    prefix[media, 3] = 1 + np.arange(_N_MEDIA) // 2
    prefix[media & down, 11] += 1
    prefix[-2:, :5] = ((0x17, 3, 3, 0, 115), (0x17, 3, 3, 1, 139))
    return Columns.of(
        len(media),
        ts_ns=START_NS + _GAP_NS * np.arange(len(media)),
        src=np.where(down[:, None], there, here),
        dst=np.where(down[:, None], here, there),
        version=6 if six else 4,
        protocol=np.where(media, UDP, TCP),
        ttl=64,
        ip_id=np.arange(len(media)),
        sport=np.where(down, theirs, mine),
        dport=np.where(down, mine, theirs),
        window=512,
        seq=[0] * _N_MEDIA + [1000, 9000, 1001, 1001, 9001],
        ack=[0] * _N_MEDIA + [0, 1001, 9001, 9001, 1121],
        tcp_flags=[0] * _N_MEDIA + [0x02, 0x12, 0x10, 0x18, 0x18],
        n_prefix=np.minimum(12, payload),
        payload_bytes=payload,
        prefix=prefix,
    )


def _frame(packet: bytes) -> bytes:
    return wrap.ethernet(packet, wrap.ether_type(packet))


def _in_frame(around: wrap.Wrap) -> wrap.Wrap:
    """Return an encapsulation that makes an IP packet, carried in Ethernet."""
    return lambda packet: _frame(around(packet))


def _vlan(packet: bytes) -> bytes:
    return wrap.ethernet(wrap.tag(packet, wrap.ether_type(packet), 100), wrap.ETH_VLAN)


def _qinq(packet: bytes) -> bytes:
    inner = wrap.tag(packet, wrap.ether_type(packet), 200)
    return wrap.ethernet(wrap.tag(inner, wrap.ETH_VLAN, 30), wrap.ETH_QINQ)


def _eompls(packet: bytes, control_word: bytes = b"") -> bytes:
    return wrap.ethernet(wrap.mpls(control_word + _frame(packet), 16_001, 17), wrap.ETH_MPLS)


def _six_in_four(packet: bytes) -> bytes:
    return _frame(wrap.ipv4(packet, 41 if wrap.is_ipv6(packet) else 4))


def _in_six(packet: bytes) -> bytes:
    return _frame(wrap.ipv6(packet, 41 if wrap.is_ipv6(packet) else 4))


def _gre(packet: bytes) -> bytes:
    return wrap.gre(packet, wrap.ether_type(packet))


def _nested(packet: bytes) -> bytes:
    return _frame(
        wrap.gtpu(wrap.gre(wrap.ipv4(packet, 41 if wrap.is_ipv6(packet) else 4), wrap.ETH_IPV4), qfi=9)
    )


ENCAPSULATIONS: Final[dict[str, tuple[int, wrap.Wrap]]] = {
    "ethernet": (1, _frame),
    "vlan": (1, _vlan),
    "qinq": (1, _qinq),
    "mpls": (1, lambda p: wrap.ethernet(wrap.mpls(p, 16_001, 17, 18), wrap.ETH_MPLS)),
    "eompls": (1, _eompls),
    "eompls-control-word": (1, lambda p: _eompls(p, bytes(4))),
    "pppoe": (1, lambda p: wrap.ethernet(wrap.pppoe(p), wrap.ETH_PPPOE)),
    "gre": (1, _in_frame(_gre)),
    "gre-key": (1, _in_frame(lambda p: wrap.gre(p, wrap.ether_type(p), key=5))),
    "gre-key-sequence": (1, _in_frame(lambda p: wrap.gre(p, wrap.ether_type(p), key=5, sequence=6))),
    "gre-checksum": (1, _in_frame(lambda p: wrap.gre(p, wrap.ether_type(p), summed=True))),
    "gre-bridged": (1, _in_frame(lambda p: wrap.gre(_frame(p), wrap.ETH_TEB))),
    "ip-in-ipv4": (1, _six_in_four),
    "ip-in-ipv6": (1, _in_six),
    "vxlan": (1, _in_frame(lambda p: wrap.vxlan(_frame(p)))),
    "vxlan-ipv6": (1, _in_frame(lambda p: wrap.vxlan(_frame(p), six=True))),
    "geneve": (1, _in_frame(lambda p: wrap.geneve(_frame(p)))),
    "gtpu": (1, _in_frame(wrap.gtpu)),
    "gtpu-sequence": (1, _in_frame(lambda p: wrap.gtpu(p, sequence=3))),
    "gtpu-qfi": (1, _in_frame(lambda p: wrap.gtpu(p, qfi=9))),
    "gtpu-ipv6": (1, _in_frame(lambda p: wrap.gtpu(p, qfi=1, six=True))),
    "authentication-header": (1, _in_frame(wrap.authenticated)),
    "nested": (1, _nested),
    "null": (0, wrap.loopback),
    "loop": (108, lambda p: wrap.loopback(p, ">")),
    "ppp": (9, wrap.ppp),
    "ppp-hdlc": (9, lambda p: b"\xff\x03" + wrap.ppp(p)),
    "raw": (101, lambda p: p),
    "ieee80211": (105, lambda p: wrap.wireless(p, radio=False)),
    "radiotap": (127, wrap.wireless),
    "radiotap-no-qos": (127, lambda p: wrap.wireless(p, qos=False)),
    "sll": (113, wrap.cooked),
    "sll2": (276, wrap.cooked2),
}
"""Name -> link type and what it makes of an IP packet of either version."""


def batch(frames: list[bytes], link_type: int) -> Batch:
    """Return frames, 10 ms apart."""
    sizes = np.array([len(frame) for frame in frames], np.int64)
    width = int(sizes.max(initial=0))
    heads = np.frombuffer(b"".join(frame.ljust(width, b"\0") for frame in frames), np.uint8)
    return Batch(
        link_type,
        START_NS + _GAP_NS * np.arange(len(frames)),
        sizes,
        sizes,
        heads.reshape(len(frames), width),
    )


def pcap(frames: list[bytes], link_type: int, nanosecond: bool = False, order: str = "<") -> bytes:
    """Return frames as a pcap."""
    records = pcap_records(batch(frames, link_type), nanosecond, order)
    return pcap_header(link_type, 0, nanosecond, order) + bytes(records)


def pcapng(frames: list[bytes], link_type: int, order: str = "<") -> bytes:
    """Return frames as a pcapng of one interface."""
    head = section("", order) + interface(link_type, "eth0", 9, order)
    return head + bytes(enhanced_packets(batch(frames, link_type), 0, order))


def both_versions() -> list[bytes]:
    """Return the conversations over IPv4, then over IPv6."""
    return conversations(False) + conversations(True)


def zoo() -> dict[str, bytes]:
    """Return captures by name: ``NAME.pcap`` and ``NAME.pcapng``, none above 20 kB."""
    packets = both_versions()
    captures = {
        f"{name}.pcap": pcap([around(packet) for packet in packets], link_type)
        for name, (link_type, around) in ENCAPSULATIONS.items()
    }
    captures |= _versions_apart() | _formats([_frame(packet) for packet in packets])
    captures["interfaces.pcapng"] = _interfaces(packets)
    return captures


def _versions_apart() -> dict[str, bytes]:
    """Return link types and headers that one IP version alone has, and datagrams in pieces."""
    four, six = conversations(False), conversations(True)
    pieces = [_frame(piece) for packet in four + six if len(packet) > 100 for piece in wrap.fragments(packet)]
    return {
        "ipv4.pcap": pcap(four, LINK_TYPES["ipv4"]),
        "ipv6.pcap": pcap(six, LINK_TYPES["ipv6"]),
        "ipv4-options.pcap": pcap([_frame(wrap.ipv4_options(packet)) for packet in four], 1),
        "ipv6-extended.pcap": pcap([_frame(wrap.ipv6_extended(packet)) for packet in six], 1),
        "fragments.pcap": pcap(pieces, 1),
    }


def _formats(frames: list[bytes]) -> dict[str, bytes]:
    """Return the same frames in all file formats and byte orders."""
    orders = {"le": "<", "be": ">"}
    captures = {
        f"format-{unit}-{name}.pcap": pcap(frames, 1, unit == "ns", order)
        for name, order in orders.items()
        for unit in ("us", "ns")
    }
    return captures | {f"format-{name}.pcapng": pcapng(frames, 1, order) for name, order in orders.items()}


def _interfaces(packets: list[bytes]) -> bytes:
    """Return a pcapng of two sections: interfaces of all sorts, and every other kind of block."""
    return b"".join(_section(packets, order) for order in ("<", ">"))


def _section(packets: list[bytes], order: str) -> bytes:
    shapes: list[tuple[str, int, Callable[[int], int], wrap.Wrap]] = [
        ("ethernet", 6, lambda ns: ns // 1000, _frame),
        ("raw", 9, lambda ns: ns, lambda packet: packet),
        ("sll", 0x80 | 10, lambda ns: (ns << 10) // 1_000_000_000, wrap.cooked),
        ("radiotap", 3, lambda ns: ns // 1_000_000, wrap.wireless),
    ]
    out = [section("several interfaces", order)]
    out += [interface(LINK_TYPES[name], name, resolution, order) for name, resolution, _, _ in shapes]
    out.append(block(4, struct.pack(order + "HH", 0, 0), order))
    for number, packet in enumerate(packets):
        which = number % len(shapes)
        _, _, ticks, around = shapes[which]
        time = ticks(START_NS + _GAP_NS * number)
        frame = around(packet)
        out.append(_enhanced(which, time, frame, order))
        if number % 5 == 4:
            out.append(block(0x0BAD, b"unknown to all", order))
    frame = _frame(packets[0])
    out.append(block(3, struct.pack(order + "I", len(frame)) + frame, order))
    out.append(block(5, struct.pack(order + "III", 0, START_NS >> 32, START_NS & 0xFFFFFFFF), order))
    out.append(block(0x40000BAD, struct.pack(order + "I", 32_473) + b"custom", order))
    return b"".join(out)


def _enhanced(interface_id: int, time: int, frame: bytes, order: str) -> bytes:
    """Return one enhanced packet block with options."""
    head = struct.pack(order + "IIIII", interface_id, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
    options = (
        option(1, b"a comment", order) + option(2, struct.pack(order + "I", 1), order) + option(0, b"", order)
    )
    return block(6, head + frame + bytes(-len(frame) % 4) + options, order)
