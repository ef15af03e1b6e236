"""A flow meter in plain Python over dpkt: ``python dpkt_flows.py CAPTURE CSV``."""

from __future__ import annotations

import csv
import sys
from socket import AF_INET, AF_INET6, inet_ntop

import dpkt

_Key = tuple[bytes, int, bytes, int, int]


def flows_of(path: str) -> dict[_Key, list[float]]:
    """Packets and bytes each way, first and last time of all flows over TCP and UDP."""
    flows: dict[_Key, list[float]] = {}
    with open(path, "rb") as file:
        for ts_s, data in dpkt.pcap.Reader(file):
            ip = dpkt.ethernet.Ethernet(data).data
            if not isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6):
                continue
            transport = ip.data
            if not isinstance(transport, dpkt.tcp.TCP | dpkt.udp.UDP):
                continue
            protocol = ip.p if isinstance(ip, dpkt.ip.IP) else ip.nxt
            key = (ip.src, transport.sport, ip.dst, transport.dport, protocol)
            way = 0
            flow = flows.get(key)
            if flow is None and (flow := flows.get((*key[2:4], *key[:2], protocol))) is not None:
                way = 2
            if flow is None:
                flow = flows[key] = [0, 0, 0, 0, ts_s, ts_s]
            flow[way] += 1
            flow[way + 1] += len(data)
            flow[5] = ts_s
    return flows


def main(capture: str, output: str) -> None:
    """Write one row a flow."""
    columns = "src sport dst dport protocol up_packets up_bytes down_packets down_bytes first_s last_s"
    with open(output, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns.split())
        for (src, sport, dst, dport, protocol), measured in flows_of(capture).items():
            family = AF_INET if len(src) == 4 else AF_INET6
            rows.writerow((inet_ntop(family, src), sport, inet_ntop(family, dst), dport, protocol, *measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
