"""What a stream looks like on the wire: TCP with TLS inside, or QUIC; and connections made of them."""

from __future__ import annotations

from typing import Final

from qoe.tools.cellqueue import Flow, Network, Packet
from qoe.tools.events import MS, Process, Signal
from qoe.tools.packets import TCP
from qoe.tools.transport import ACK, FIN, PSH, SYN, End, Segment, Wire

_MTU: Final = 1500
_KEPT_BYTES: Final = 8
_QUIC_INITIAL_BYTES: Final = 1200


class TcpWire:
    """TCP with time stamps and selective acknowledgements."""

    ack_every = 2
    syn = 1

    def __init__(self, flow: Flow) -> None:
        self.mss = _MTU - flow.header_bytes - 12

    def packet(self, end: End, segment: Segment | None, head: bytes) -> Packet:
        """Return the packet of a segment, or of an acknowledgement alone."""
        is_syn = segment is not None and segment.start < self.syn
        is_fin = segment is not None and segment.start == end.fin_at
        length = segment.length if segment and not is_syn and not is_fin else 0
        pushed = bool(length and segment and segment.end in (end.written, end.fin_at))
        flags = SYN * is_syn | FIN * is_fin | PSH * pushed | ACK * (end.received > 0)
        offset = segment.start if segment else end.nxt
        kept = (head or end.net.dice.octets(_KEPT_BYTES))[:length]
        return Packet(
            end.flow,
            end.up,
            length,
            kept,
            seq=(end.isn + offset) & 0xFFFFFFFF,
            ack=(end.peer.isn + end.received) & 0xFFFFFFFF if end.received else 0,
            tcp_flags=flags,
            window=64_240 if is_syn else 2_050 if end.up else 501,
            options=self._options(end, is_syn),
        )

    def _options(self, end: End, is_syn: bool) -> bytes:
        """MSS, SACK permitted, time stamps and window scale; or time stamps and SACK (RFC 7323, 2018)."""
        stamps = b"\x08\x0a" + end.stamp.to_bytes(4, "big") + end.echo.to_bytes(4, "big")
        if is_syn:
            return (
                b"\x02\x04" + (self.mss + 12).to_bytes(2, "big") + b"\x04\x02" + stamps + b"\x01\x03\x03\x07"
            )
        if not end.ranges:
            return b"\x01\x01" + stamps
        base = end.peer.isn
        blocks = b"".join(
            ((base + edge) & 0xFFFFFFFF).to_bytes(4, "big") for pair in end.ranges[-3:] for edge in pair
        )
        return b"\x01\x01" + stamps + b"\x01\x01\x05" + bytes([2 + len(blocks)]) + blocks


class QuicWire:
    """QUIC version 1 (RFC 9000) as seen without keys: long headers first, then short ones."""

    syn = 0
    ack_every = 6
    mss = 1_200

    def __init__(self, connection_id: bytes) -> None:
        self._connection_id = connection_id

    def packet(self, end: End, segment: Segment | None, head: bytes) -> Packet:
        """Return the packet of a segment, or of an acknowledgement alone."""
        noise = end.net.dice.octets(_KEPT_BYTES)
        around = 37 if end.up else 29
        if segment is None:
            return Packet(end.flow, end.up, around + 8 * len(end.ranges[-3:]), self._short(end, noise))
        if segment.start >= (1 if end.up else 3) * _QUIC_INITIAL_BYTES:
            return Packet(end.flow, end.up, around + segment.length, self._short(end, noise))
        kind = 0xC0 if segment.start == 0 else 0xE0
        ids = b"\x08" + self._connection_id + b"\0" if end.up else b"\0\x08" + self._connection_id
        token = b"\0" if segment.start == 0 else b""
        prefix = bytes([kind | noise[0] & 3]) + b"\0\0\0\x01" + ids + token + b"\x44\xd0" + noise
        return Packet(end.flow, end.up, segment.length + 50, prefix)

    def _short(self, end: End, noise: bytes) -> bytes:
        first = bytes([0x40 | noise[0] & 0x1F])
        return first + (self._connection_id if end.up else b"") + noise[1:]


class Connection:
    """A subscriber's connection to a server.

    Parameters
    ----------
    net : Network
        What carries it.
    flow : Flow
        Protocol 6 makes it TCP, 17 QUIC.
    server_name : str
        Name in a TLS ClientHello; empty for no TLS over TCP.
    """

    def __init__(self, net: Network, flow: Flow, server_name: str = "") -> None:
        self._net = net
        self._server_name = server_name
        self.is_tcp = flow.protocol == TCP
        wire: Wire = TcpWire(flow) if self.is_tcp else QuicWire(net.dice.octets(8))
        self.client, self.server = End(net, flow, True, wire), End(net, flow, False, wire)
        self.client.peer, self.server.peer = self.server, self.client

    def open(self) -> Process:
        """Shake hands: TCP's three packets, then TLS 1.3 or QUIC's."""
        if self.is_tcp:
            self.server.expect(1).then(lambda: self.server.write(1))
            synced = self.client.expect(1)
            self.client.write(1)
            yield synced
        if not self.is_tcp:
            yield self.exchange(_QUIC_INITIAL_BYTES, 3 * _QUIC_INITIAL_BYTES, 2 * MS)
        elif self._server_name:
            hello = client_hello(self._server_name, self._net.dice.octets(64))
            yield self.exchange(517, 3_200, 2 * MS, hello, b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
            self.server.expect(80)
            self.client.write(80, b"\x14\x03\x03\x00\x01\x01\x17\x03")

    def exchange(
        self, up_bytes: int, down_bytes: int, think_ns: int = 0, head: bytes = b"", reply: bytes = b""
    ) -> Signal:
        """Send a request; the signal fires when the response is whole."""

        def answer() -> None:
            self._net.loop.after(think_ns, lambda: self.server.write(down_bytes, reply))

        self.server.expect(up_bytes).then(answer)
        done = self.client.expect(down_bytes)
        self.client.write(up_bytes, head)
        return done

    def request(self, up_bytes: int, down_bytes: int, think_ns: int) -> Signal:
        """Send a request inside TLS records, or inside QUIC."""
        if not self.is_tcp:
            return self.exchange(up_bytes, down_bytes, think_ns)
        head = b"\x17\x03\x03" + min(up_bytes - 5, 16_401).to_bytes(2, "big") + self._net.dice.octets(3)
        reply = b"\x17\x03\x03" + min(down_bytes - 5, 16_401).to_bytes(2, "big") + self._net.dice.octets(3)
        return self.exchange(up_bytes, down_bytes, think_ns, head, reply)

    def close(self) -> None:
        """Close both directions; a QUIC connection falls silent."""
        self.client.close()
        self.server.close()


def client_hello(name: str, noise: bytes) -> bytes:
    """Return the first bytes of a TLS 1.3 ClientHello of 512 bytes with a server name (RFC 8446, 6066)."""
    host = name.encode()
    sni = b"\0\0" + (len(host) + 5).to_bytes(2, "big") + (len(host) + 3).to_bytes(2, "big")
    sni += b"\0" + len(host).to_bytes(2, "big") + host
    body = b"\x03\x03" + noise[:32] + b"\x20" + noise[32:64] + b"\0\x06\x13\x01\x13\x02\x13\x03\x01\0"
    body += (508 - len(body) - 2).to_bytes(2, "big") + sni
    return b"\x16\x03\x01\x02\x00" + b"\x01\x00\x01\xfc" + body
