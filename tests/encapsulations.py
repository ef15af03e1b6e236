"""Every encapsulation the decoder knows, built with scapy: a table whose entries can be stacked."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.mpls import MPLS, EoMCW
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, GRE_PPTP, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from qoe.schema import Tunnel
from qoe_native.engine import decode_one


class Status(IntEnum):
    """What the decoder says of a packet (``enum qoe_packet_status``)."""

    FLOW = 0
    NOT_IP = 1
    TRUNCATED = 2
    BAD_LINK = 3
    BAD_TUNNEL = 4
    BAD_IPV4 = 5
    BAD_IPV6 = 6
    TOO_DEEP = 7
    LINK_TYPE = 8


ETHERNET, RAW_IP = 1, 101
PAYLOAD = b"the innermost payload"
ANY_IP = ("ip4", "ip6")
NO_TUNNEL = Tunnel(0)


@dataclass(frozen=True)
class Built:
    """A packet under construction: its bytes, what kind they are, and what the decoder must find."""

    kind: str  # "ip4", "ip6" or "ethernet"
    data: bytes
    found: Mapping[str, Any]  # fields of the innermost encapsulation of each kind win
    tunnel: Tunnel = NO_TUNNEL
    name: str = ""


@dataclass(frozen=True)
class Encapsulation:
    """One way to wrap a packet; `number` tells nested ones of a kind apart."""

    name: str
    inside: tuple[str, ...]
    outside: str  # "same": what is inside keeps its kind
    tunnel: Tunnel
    wrap: Callable[[bytes, int], bytes]
    found: Callable[[int], Mapping[str, int]] = field(default=lambda _number: {})
    stacked: bool = True  # False: a variant, built alone and in pairs but not three deep

    def around(self, built: Built, number: int) -> Built | None:
        """Wrap `built`, in an Ethernet frame first where only frames go in; None where nothing fits."""
        if built.kind not in self.inside:
            if self.inside != ("ethernet",):
                return None
            built = in_ethernet(built)
        tunnel = self.tunnel
        if self.tunnel == Tunnel.VLAN and built.data[12:14] in (b"\x81\x00", b"\x88\xa8"):
            tunnel |= Tunnel.QINQ  # a tag on a tag
        return Built(
            built.kind if self.outside == "same" else self.outside,
            self.wrap(built.data, number),
            {**self.found(number), **built.found},
            tunnel | built.tunnel,
            f"{self.name}({built.name})",
        )


def ether(ethertype: int) -> Packet:
    """Ethernet header whose addresses begin with 0, as nearly all do."""
    return Ether(src="02:00:00:00:00:01", dst="00:1b:21:00:00:02", type=ethertype)


def ip_ethertype(packet: bytes) -> int:
    """EtherType of an IP packet, by its version."""
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


def in_ethernet(built: Built) -> Built:
    """Put an IP packet into an Ethernet frame; a frame stays as it is."""
    if built.kind == "ethernet":
        return built
    frame = bytes(ether(ip_ethertype(built.data)) / Raw(built.data))
    return Built("ethernet", frame, built.found, built.tunnel, built.name)


def outer4(protocol: int) -> Packet:
    """IPv4 header of a tunnel."""
    return IP(src="198.51.100.1", dst="198.51.100.2", proto=protocol)


def outer6(protocol: int) -> Packet:
    """IPv6 header of a tunnel."""
    return IPv6(src="2001:db8:f::1", dst="2001:db8:f::2", nh=protocol)


def outer_udp(port: int) -> Packet:
    """IPv4 and UDP headers of a tunnel, without a UDP checksum."""
    return outer4(17) / UDP(sport=49152, dport=port, chksum=0)


def vlan(frame: bytes, *tags: Packet) -> bytes:
    """Put tags behind the addresses; the last one takes over the EtherType."""
    tags[0].type = 0x8100
    tags[-1].type = struct.unpack_from(">H", frame, 12)[0]
    first = 0x88A8 if isinstance(tags[0], Dot1AD) else 0x8100
    return frame[:12] + struct.pack(">H", first) + b"".join(bytes(tag) for tag in tags) + frame[14:]


def into_header(packet: bytes, header: bytes, protocol: int) -> bytes:
    """Put `header`, of type `protocol`, between an IP header and what follows; its first byte is next."""
    if packet[0] >> 4 == 4:
        at, next_at, length_at = (packet[0] & 15) * 4, 9, 2
    else:
        at, next_at, length_at = 40, 6, 4
    out = bytearray(packet[:at] + bytes([packet[next_at]]) + header[1:] + packet[at:])
    out[next_at] = protocol
    struct.pack_into(">H", out, length_at, struct.unpack_from(">H", packet, length_at)[0] + len(header))
    return bytes(out)


def ipv4_options(packet: bytes, _number: int) -> bytes:
    """Give an IPv4 packet one more option."""
    option = bytes(IPOption_Router_Alert())
    words = (packet[0] & 15) + len(option) // 4
    out = bytearray(packet[:20] + option + packet[20:])
    out[0] = 0x40 | words
    struct.pack_into(">H", out, 2, struct.unpack_from(">H", packet, 2)[0] + len(option))
    return bytes(out)


def ipv6_extensions(packet: bytes, _number: int) -> bytes:
    """Give an IPv6 packet hop-by-hop options, a route, a fragment header of a whole one, and options."""
    for protocol, header in (
        (60, IPv6ExtHdrDestOpt(options=[PadN(optdata=b"x" * 12)])),
        (44, IPv6ExtHdrFragment(id=7)),
        (43, IPv6ExtHdrRouting(addresses=["2001:db8::7"])),
        (0, IPv6ExtHdrHopByHop(options=[PadN(optdata=b"x" * 4)])),
    ):
        packet = into_header(packet, bytes(header), protocol)
    return packet


def gre(packet: bytes, protocol: int | None = None, **flags: int) -> bytes:
    """GRE over IPv4, with whatever optional fields."""
    header = GRE(proto=ip_ethertype(packet) if protocol is None else protocol, **flags)
    return bytes(outer4(47) / header / Raw(packet))


def pptp(packet: bytes, number: int) -> bytes:
    """PPTP's GRE with sequence and acknowledgement numbers, around PPP with address and control."""
    inside = b"\xff\x03" + bytes(PPP(proto=0x21 if packet[0] >> 4 == 4 else 0x57)) + packet
    numbers = {"seqnum_present": 1, "acknum_present": 1, "sequence_number": number, "ack_number": number}
    return bytes(outer4(47) / GRE_PPTP(call_id=number, payload_len=len(inside), **numbers) / Raw(inside))


def erspan3(frame: bytes, number: int) -> bytes:
    """ERSPAN type III with the platform's subheader."""
    header = ERSPAN_III(session_id=number, o=1) / ERSPAN_PlatformSpecific()
    return gre(bytes(header) + frame, 0x22EB, seqnum_present=1)


def gtpu(packet: bytes, number: int, outer: Packet, **fields: int) -> bytes:
    """GTP-U's T-PDU without extension headers."""
    header = GTP_U_Header(teid=3000 + number, gtp_type=255, **fields)
    return bytes(outer / UDP(sport=2152, dport=2152, chksum=0) / header / Raw(packet))


def gtpu_extensions(packet: bytes, number: int, outer: Packet) -> bytes:
    """GTP-U with an extension header of another type, then the PDU session container."""
    container = bytes(GTPPDUSessionContainer(type=1, QFI=number + 5, ExtHdrLen=1))
    unknown = bytes([1, 0xAA, 0xBB, 0x85])
    optional = struct.pack(">HBB", 77, 0, 0xC0) + unknown + container
    header = struct.pack(">BBHI", 0x36, 255, len(optional) + len(packet), 3000 + number)
    return bytes(outer / UDP(sport=2152, dport=2152, chksum=0) / Raw(header + optional + packet))


def pppoe(packet: bytes, number: int) -> bytes:
    """PPPoE session packet on Ethernet."""
    header = PPPoE(sessionid=500 + number) / PPP(proto=0x21 if packet[0] >> 4 == 4 else 0x57)
    return bytes(ether(0x8864) / header / Raw(packet))


def mpls(inside: bytes, number: int) -> bytes:
    """Two labels on Ethernet; the second is the bottom of the stack."""
    labels = MPLS(label=16, s=0, ttl=9) / MPLS(label=700 + number, s=1, ttl=9)
    return bytes(ether(0x8847) / labels / Raw(inside))


def vxlan(inside: bytes, number: int, port: int = 4789, **fields: Any) -> bytes:
    """VXLAN with whatever flags."""
    return bytes(outer_udp(port) / VXLAN(vni=2000 + number, **{"flags": 8, **fields}) / Raw(inside))


def geneve(inside: bytes, number: int, proto: int, options: list[Packet]) -> bytes:
    """Geneve with options."""
    return bytes(outer_udp(6081) / GENEVE(vni=2000 + number, proto=proto, options=options) / Raw(inside))


def ah_tunnel(packet: bytes, number: int) -> bytes:
    """AH in tunnel mode over IPv6, around IPv4."""
    return bytes(outer6(51) / AH(nh=4, spi=number, seq=1, icv=b"i" * 12, payloadlen=4) / Raw(packet))


def ah_transport(packet: bytes, number: int) -> bytes:
    """AH between an IP header and its payload."""
    return into_header(packet, bytes(AH(nh=0, spi=number, seq=1, icv=b"i" * 12, payloadlen=4)), 51)


def _vni(number: int) -> dict[str, int]:
    return {"vni": 2000 + number}


def _teid(number: int) -> dict[str, int]:
    return {"teid": 3000 + number}


def _teid_qfi(number: int) -> dict[str, int]:
    return {"teid": 3000 + number, "qfi": number + 5}


def _vlan(number: int) -> dict[str, int]:
    return {"vlan_id": 100 + number}


def _label(number: int) -> dict[str, int]:
    return {"mpls_label": 700 + number}


T, FRAME = Tunnel, ("ethernet",)
GENEVE_OPTIONS = [GeneveOptions(classid=1, type=2, data=b"12345678")]

ENCAPSULATIONS = (
    Encapsulation("vlan", FRAME, "ethernet", T.VLAN, lambda f, n: vlan(f, Dot1Q(vlan=100 + n)), _vlan),
    Encapsulation(
        "qinq",
        FRAME,
        "ethernet",
        T.VLAN | T.QINQ,
        lambda f, n: vlan(f, Dot1AD(vlan=9), Dot1Q(vlan=100 + n)),
        _vlan,
    ),
    Encapsulation("mpls", ANY_IP, "ethernet", T.MPLS, mpls, _label),
    Encapsulation(
        "eompls", FRAME, "ethernet", T.MPLS | T.EOMPLS, lambda f, n: mpls(bytes(EoMCW(seq=n)) + f, n), _label
    ),
    Encapsulation(
        "eompls_no_control_word", FRAME, "ethernet", T.MPLS | T.EOMPLS, mpls, _label, stacked=False
    ),
    Encapsulation("pppoe", ANY_IP, "ethernet", T.PPPOE, pppoe, lambda n: {"pppoe_session": 500 + n}),
    Encapsulation("ipv4_options", ("ip4",), "same", NO_TUNNEL, ipv4_options),
    Encapsulation("ipv6_extensions", ("ip6",), "same", NO_TUNNEL, ipv6_extensions),
    Encapsulation("gre", ANY_IP, "ip4", T.GRE, lambda p, n: gre(p), stacked=False),
    Encapsulation(
        "gre_key_sequence",
        ANY_IP,
        "ip4",
        T.GRE,
        lambda p, n: gre(p, chksum_present=1, key_present=1, key=n, seqnum_present=1),
    ),
    Encapsulation("gre_bridged", FRAME, "ip4", T.GRE, lambda f, n: gre(f, 0x6558, key_present=1, key=n)),
    Encapsulation("gre_pptp", ANY_IP, "ip4", T.GRE, pptp, stacked=False),
    Encapsulation("erspan_1", FRAME, "ip4", T.GRE, lambda f, n: gre(f, 0x88BE), stacked=False),
    Encapsulation(
        "erspan_2",
        FRAME,
        "ip4",
        T.GRE,
        lambda f, n: gre(bytes(ERSPAN_II(session_id=n)) + f, 0x88BE, seqnum_present=1),
        stacked=False,
    ),
    Encapsulation("erspan_3", FRAME, "ip4", T.GRE, erspan3, stacked=False),
    Encapsulation("ip_in_ip", ("ip4",), "ip4", T.IPIP, lambda p, n: bytes(outer4(4) / Raw(p))),
    Encapsulation("4in6", ("ip4",), "ip6", T.IPIP, lambda p, n: bytes(outer6(4) / Raw(p)), stacked=False),
    Encapsulation("6in4", ("ip6",), "ip4", T.SIXIN4, lambda p, n: bytes(outer4(41) / Raw(p))),
    Encapsulation("vxlan", FRAME, "ip4", T.VXLAN, vxlan, _vni),
    Encapsulation(
        "vxlan_reserved_flags",
        FRAME,
        "ip4",
        T.VXLAN,
        lambda f, n: bytes(outer_udp(4789) / Raw(struct.pack(">II", 0xFFFFFFFF, (2000 + n) << 8 | 0xFF) + f)),
        _vni,
        stacked=False,
    ),
    Encapsulation(
        "vxlan_group_policy",
        FRAME,
        "ip4",
        T.VXLAN,
        lambda f, n: vxlan(f, n, flags=0x88, gpflags=0x48, gpid=99),
        _vni,
        stacked=False,
    ),
    Encapsulation("vxlan_linux", FRAME, "ip4", T.VXLAN, lambda f, n: vxlan(f, n, 8472), _vni, stacked=False),
    Encapsulation(
        "vxlan_gpe",
        ANY_IP,
        "ip4",
        T.VXLAN,
        lambda p, n: vxlan(p, n, 4790, flags=0x0C, NextProtocol=1 if p[0] >> 4 == 4 else 2),
        _vni,
        stacked=False,
    ),
    Encapsulation("geneve", FRAME, "ip4", T.GENEVE, lambda f, n: geneve(f, n, 0x6558, GENEVE_OPTIONS), _vni),
    Encapsulation(
        "geneve_ip",
        ANY_IP,
        "ip4",
        T.GENEVE,
        lambda p, n: geneve(p, n, ip_ethertype(p), []),
        _vni,
        stacked=False,
    ),
    Encapsulation("gtpu", ANY_IP, "ip4", T.GTPU, lambda p, n: gtpu(p, n, outer4(17)), _teid, stacked=False),
    Encapsulation(
        "gtpu_sequence", ANY_IP, "ip4", T.GTPU, lambda p, n: gtpu(p, n, outer4(17), S=1, seq=n), _teid
    ),
    Encapsulation(
        "gtpu_extensions", ANY_IP, "ip4", T.GTPU, lambda p, n: gtpu_extensions(p, n, outer4(17)), _teid_qfi
    ),
    Encapsulation(
        "gtpu_extensions_over_ipv6",
        ANY_IP,
        "ip6",
        T.GTPU,
        lambda p, n: gtpu_extensions(p, n, outer6(17)),
        _teid_qfi,
    ),
    Encapsulation("ah_tunnel", ("ip4",), "ip6", T.AH | T.IPIP, ah_tunnel, stacked=False),
    Encapsulation("ah_transport", ANY_IP, "same", T.AH, ah_transport),
)


def innermost() -> tuple[Built, Built]:
    """The two packets that everything is wrapped around: UDP over IPv4 and TCP over IPv6."""
    udp = IP(src="10.1.2.3", dst="192.0.2.9", tos=0xB8) / UDP(sport=5004, dport=6000) / Raw(PAYLOAD)
    options = [("NOP", None), ("NOP", None), ("Timestamp", (11, 22))]
    tcp = TCP(sport=50000, dport=443, seq=1, ack=2, flags="PA", window=512, options=options)
    six = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=0x28) / tcp / Raw(PAYLOAD)
    common = {"payload": PAYLOAD, "payload_len": len(PAYLOAD), "status": 0, "fragment": 0}
    return (
        Built(
            "ip4",
            bytes(udp),
            common
            | {"src": bytes([10, 1, 2, 3]) + bytes(12), "src_port": 5004, "dst_port": 6000}
            | {"protocol": 17, "dscp": 46, "ip_version": 4},
            name="udp",
        ),
        Built(
            "ip6",
            bytes(six),
            common
            | {"src": bytes.fromhex("20010db8" + "00" * 11 + "01"), "src_port": 50000, "dst_port": 443}
            | {"protocol": 6, "dscp": 10, "ip_version": 6, "tcp_seq": 1, "tcp_ack": 2, "tcp_flags": 0x18}
            | {"tcp_window": 512},
            name="tcp6",
        ),
    )


def stacks(depth: int, entries: tuple[Encapsulation, ...]) -> Iterator[Built]:
    """Every ordered stack of `depth` entries that fits, around either innermost packet, as frames."""
    layer = list(innermost())
    for number in range(depth):
        layer = [b for e in entries for inside in layer if (b := e.around(inside, number)) is not None]
    return (in_ethernet(built) for built in layer)


def framed(packet: Packet | bytes, kind: int = 0x0800) -> bytes:
    """Ethernet around whatever."""
    return bytes(ether(kind) / Raw(bytes(packet)))


def bad_ipv4(**fields: int) -> bytes:
    """An IPv4 frame with a wrong field."""
    return framed(IP(src="10.0.0.1", dst="10.0.0.2", **fields) / UDP(sport=1, dport=2))


def check(built: Built, data: bytes, link_type: int = ETHERNET) -> dict[str, Any]:
    """Decode a whole frame and compare every field that its construction foretells."""
    got = decode_one(data, link_type)
    assert {name: got.get(name) for name in built.found} == built.found, built.name
    assert Tunnel(got["tunnel"]) == built.tunnel, built.name
    assert got["payload_captured"] == got["payload_len"], built.name
    keyed = {"vlan_id", "vni", "pppoe_session"} & built.found.keys()
    assert (got["context"] != 0) == bool(keyed), built.name
    return got
