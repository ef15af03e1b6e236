"""Encapsulations, one small function each: bytes of a packet in, bytes of the packet around it out.

Addresses are of documentation ranges; checksums and lengths are right, so that what differs from a
well-formed packet is what a mutation made of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

Wrap: TypeAlias = Callable[[bytes], bytes]

ETH_IPV4, ETH_IPV6, ETH_VLAN, ETH_QINQ, ETH_TEB = 0x0800, 0x86DD, 0x8100, 0x88A8, 0x6558
ETH_MPLS, ETH_PPPOE = 0x8847, 0x8864
_OUTER4: Final = (bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
_OUTER6: Final = tuple(bytes.fromhex("20010db8") + bytes(11) + bytes([k]) for k in (1, 2))
_MACS: Final = bytes.fromhex("00005e00530100005e005302")


def is_ipv6(packet: bytes) -> bool:
    """Tell the IP version of a packet."""
    return packet[0] >> 4 == 6


def ether_type(packet: bytes) -> int:
    """Return the EtherType of an IP packet."""
    return ETH_IPV6 if is_ipv6(packet) else ETH_IPV4


def checksum(octets: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{(len(octets) + 1) // 2}H", octets + b"\0" * (len(octets) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload: bytes, kind: int) -> bytes:
    """Return an Ethernet II frame, unpadded."""
    return _MACS + struct.pack(">H", kind) + payload


def tag(payload: bytes, kind: int, vlan: int) -> bytes:
    """Return the inside of a VLAN tag: what follows its EtherType."""
    return struct.pack(">HH", vlan, kind) + payload


def mpls(payload: bytes, *labels: int) -> bytes:
    """Put a label stack before a payload (RFC 3032)."""
    stack = b"".join(
        struct.pack(">I", label << 12 | (k == len(labels) - 1) << 8 | 64) for k, label in enumerate(labels)
    )
    return stack + payload


def pppoe(packet: bytes, session: int = 0x11) -> bytes:
    """Return a PPPoE session's frame around an IP packet (RFC 2516)."""
    return struct.pack(">BBHH", 0x11, 0, session, len(packet) + 2) + ppp(packet)


def ppp(packet: bytes) -> bytes:
    """Return PPP's protocol field and an IP packet."""
    return struct.pack(">H", 0x0057 if is_ipv6(packet) else 0x0021) + packet


def ipv4(
    payload: bytes, protocol: int, options: bytes = b"", fragment: int = 0x4000, ident: int = 7
) -> bytes:
    """Return IPv4 between the outer addresses; `fragment` holds flags and offset."""
    words = (20 + len(options)) // 4
    header = struct.pack(
        ">BBHHHBBH", 0x40 | words, 0, 4 * words + len(payload), ident, fragment, 64, protocol, 0
    )
    header += b"".join(_OUTER4) + options
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def ipv6(payload: bytes, next_header: int) -> bytes:
    """Return IPv6 between the outer addresses."""
    return struct.pack(">IHBB", 0x60000000, len(payload), next_header, 64) + b"".join(_OUTER6) + payload


def ipv6_extended(packet: bytes) -> bytes:
    """Put hop-by-hop, routing and destination options into an IPv6 packet (RFC 8200)."""
    chain = struct.pack(">BB", 43, 0) + b"\x01\x04" + bytes(4)
    chain += struct.pack(">BBBB", 60, 0, 253, 0) + bytes(4)
    chain += struct.pack(">BB", packet[6], 0) + b"\x01\x04" + bytes(4)
    length = len(packet) - 40 + len(chain)
    return packet[:4] + struct.pack(">HB", length, 0) + packet[7:40] + chain + packet[40:]


def ipv4_options(packet: bytes) -> bytes:
    """Put a router alert and a no-operation of four bytes into an IPv4 packet."""
    header = bytes([0x47]) + packet[1:2] + struct.pack(">H", len(packet) + 8) + packet[4:10] + b"\0\0"
    header += packet[12:20] + b"\x94\x04\0\0" + b"\x01\x01\x01\0"
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + packet[20:]


def fragments(packet: bytes, first_bytes: int = 32) -> list[bytes]:
    """Cut an IP packet in two; the first piece holds `first_bytes` (a multiple of 8) of its payload."""
    if is_ipv6(packet):
        pieces = ((packet[40 : 40 + first_bytes], 1), (packet[40 + first_bytes :], first_bytes))
        bodies = [struct.pack(">BBHI", packet[6], 0, where, 9) + piece for piece, where in pieces]
        return [packet[:4] + struct.pack(">HB", len(body), 44) + packet[7:40] + body for body in bodies]
    result = []
    for piece, where in (
        (packet[20 : 20 + first_bytes], 0x2000),
        (packet[20 + first_bytes :], first_bytes // 8),
    ):
        header = (
            packet[:2]
            + struct.pack(">HHH", 20 + len(piece), 9, where)
            + packet[8:10]
            + b"\0\0"
            + packet[12:20]
        )
        result.append(header[:10] + struct.pack(">H", checksum(header)) + header[12:] + piece)
    return result


def udp(payload: bytes, port: int, six: bool = False) -> bytes:
    """Return UDP to a port, with its checksum, in IPv4 or IPv6 between the outer addresses."""
    length = 8 + len(payload)
    pseudo = b"".join(_OUTER6 if six else _OUTER4) + struct.pack(">II", length, 17)
    head = struct.pack(">HHH", 49_152, port, length)
    value = checksum(pseudo + head + b"\0\0" + payload) or 0xFFFF
    datagram = head + struct.pack(">H", value) + payload
    return ipv6(datagram, 17) if six else ipv4(datagram, 17)


def gre(
    payload: bytes, kind: int, key: int | None = None, sequence: int | None = None, summed: bool = False
) -> bytes:
    """Return GRE inside IPv4 (RFC 2784, 2890)."""
    flags = 0x8000 * summed | 0x2000 * (key is not None) | 0x1000 * (sequence is not None)
    head = struct.pack(">HH", flags, kind)
    tail = b"" if key is None else struct.pack(">I", key)
    tail += b"" if sequence is None else struct.pack(">I", sequence)
    if summed:
        head += struct.pack(">HH", checksum(head + bytes(4) + tail + payload), 0)
    return ipv4(head + tail + payload, 47)


def vxlan(frame: bytes, vni: int = 4_242, six: bool = False) -> bytes:
    """Return VXLAN over UDP (RFC 7348)."""
    return udp(struct.pack(">II", 0x08000000, vni << 8) + frame, 4789, six)


def geneve(frame: bytes, vni: int = 77) -> bytes:
    """Return Geneve with one option of four bytes (RFC 8926)."""
    option = struct.pack(">HBB", 0x0102, 0x80, 1) + bytes(4)
    return udp(struct.pack(">BBHI", len(option) // 4, 0, ETH_TEB, vni << 8) + option + frame, 6081)


def gtpu(
    packet: bytes, teid: int = 0x1234, qfi: int | None = None, sequence: int | None = None, six: bool = False
) -> bytes:
    """Return GTP-U version 1 over UDP; a QFI puts a downlink PDU session container (TS 38.415)."""
    extended = sequence is not None or qfi is not None
    optional = struct.pack(">HBB", sequence or 0, 0, 0x85 if qfi is not None else 0) if extended else b""
    if qfi is not None:
        optional += struct.pack(">BBBB", 1, 0, qfi, 0)
    flags = 0x30 | 4 * (qfi is not None) | 2 * (sequence is not None)
    body = optional + packet
    return udp(struct.pack(">BBHI", flags, 0xFF, len(body), teid) + body, 2152, six)


def authenticated(packet: bytes) -> bytes:
    """Put an authentication header (RFC 4302) in transport mode, with a check value of zeros."""
    protocol = packet[6] if is_ipv6(packet) else packet[9]
    header = struct.pack(">BBHII", protocol, 4, 0, 0x100, 1) + bytes(12)
    if is_ipv6(packet):
        length = len(packet) - 40 + len(header)
        return packet[:4] + struct.pack(">HB", length, 51) + packet[7:40] + header + packet[40:]
    fresh = (
        packet[:2] + struct.pack(">H", len(packet) + len(header)) + packet[4:9] + b"\x33\0\0" + packet[12:20]
    )
    return fresh[:10] + struct.pack(">H", checksum(fresh)) + fresh[12:] + header + packet[20:]


def cooked(packet: bytes) -> bytes:
    """Return a Linux cooked capture's packet, version 1."""
    return struct.pack(">HHH8sH", 0, 1, 6, _MACS[:6], ether_type(packet)) + packet


def cooked2(packet: bytes) -> bytes:
    """Return a Linux cooked capture's packet, version 2."""
    return struct.pack(">HHIHBB8s", ether_type(packet), 0, 3, 1, 0, 6, _MACS[:6]) + packet


def loopback(packet: bytes, order: str = "<") -> bytes:
    """Return a packet behind its address family, in the host's order (null) or the network's (loop)."""
    return struct.pack(order + "I", 24 if is_ipv6(packet) else 2) + packet


def wireless(packet: bytes, qos: bool = True, radio: bool = True) -> bytes:
    """Return an IEEE 802.11 data frame to an access point, with LLC and SNAP, and radiotap before it."""
    control = struct.pack("<HH", 0x0188 if qos else 0x0108, 44)
    addresses = _MACS + _MACS[6:]
    frame = control + addresses + struct.pack("<H", 0x10) + (b"\0\0" if qos else b"")
    frame += b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", ether_type(packet)) + packet
    return (struct.pack("<BBHIB", 0, 0, 9, 0x02, 0) if radio else b"") + frame
