"""The twin's decoder: a frame of any link type in, the innermost flow's headers out."""

from __future__ import annotations

from .headers import Reader, read_ip, read_ipv4, read_ipv6
from .links import read_ethertype, read_loopback, read_ppp, read_ppp_hdlc, read_pppoe, typed
from .packet import Bytes, Packet, Status, unsound
from .wifi import read_80211, read_monitor, read_radiotap


def decode(data: bytes, wire_len: int, link_type: int) -> Packet:
    """The innermost flow of a frame; raises Unsound where there is none."""
    frame = Bytes(data, max(len(data), wire_len))
    frame.need(1)
    if link_type not in LINK_LAYERS:
        unsound(Status.LINK_TYPE)
    return LINK_LAYERS[link_type](frame, Packet(cut=len(data) < wire_len))


def read_ethernet_frame(b: Bytes, p: Packet) -> Packet:
    """Behind the two addresses."""
    return typed(b, p, 12)


def read_linux_cooked(b: Bytes, p: Packet) -> Packet:
    """LINKTYPE_LINUX_SLL."""
    return typed(b, p, 14)


def read_linux_cooked_2(b: Bytes, p: Packet) -> Packet:
    """LINKTYPE_LINUX_SLL2: the type comes first."""
    b.need(20)
    return read_ethertype(b.behind(20), p, b.u16(0))


LINK_LAYERS: dict[
    int, Reader
] = {  # by LINKTYPE number of tcpdump.org, and what old BSD writers put for raw IP
    0: read_loopback,
    1: read_ethernet_frame,
    9: read_ppp,
    12: read_ip,
    14: read_ip,
    50: read_ppp_hdlc,
    51: read_pppoe,
    101: read_ip,
    105: read_80211,
    108: read_loopback,
    113: read_linux_cooked,
    119: read_monitor,
    127: read_radiotap,
    163: read_monitor,
    228: read_ipv4,
    229: read_ipv6,
    276: read_linux_cooked_2,
}
