"""What the records mean, where no standard says it: every number and choice that the twin rests on."""

from __future__ import annotations

MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000

# Captures
MAX_NS = 2**63 - 1  # times are kept within 0 and this
MAX_PACKET_BYTES = 262_144  # more captured bytes: the packet is passed over
MAX_BLOCK_BYTES = 524_288  # a longer block is passed over, unless it says how to read the others
MAX_SKIP_BYTES = 0x10000000  # a longer record or block is corruption
MAX_OFFSET_S = 9_223_372_036  # of if_tsoffset

# Decoding
MAX_LAYERS = 40  # headers behind the link layer
GTPU_MAX_EXTENSIONS = 8

# Flows: as `qoe flows` has them
IDLE_TIMEOUT_NS = 120 * SECOND
ACTIVE_TIMEOUT_NS = 1800 * SECOND

# Sizes, gaps and histograms
N_FIRST = 12
MAX_FIRST_SIZE = 32_767
SIZE_EDGES_BYTES = (1, 100, 300, 700, 1200)
GAP_EDGES_NS = tuple(ms * MILLISECOND for ms in (1, 5, 15, 30, 60, 200, 1000))
IDLE_GAP_NS = SECOND
FULL_BIN = 255  # one more, and all bins of the histogram are halved first
MAX_COUNT_16 = 65_535  # n_idle and zero windows stop here
MAX_GAP_CODE = 255

# Framing is looked for in the first packets of a flow: TLS, HTTP, DNS. RTP, STUN, DTLS and QUIC always.
N_INSPECT = 8

# TCP
REORDER_NS = 3 * MILLISECOND  # a late segment this soon after a hole is reordering, not retransmission
TCP_MAX_JUMP_BYTES = 1 << 24  # a segment farther off starts the count anew
MAX_RTT_US = 60_000_000

# Responses to requests
CHUNK_MIN_BYTES = 20_000
TCP_REQUEST_BYTES = 80  # smaller uplink payloads are acknowledgements of HTTP/2 or TLS
UDP_REQUEST_BYTES = 300  # QUIC: smaller ones are acknowledgement frames

# RTP
RTP_PROBATION = 3  # packets in sequence before a source is believed
RTP_STRANGERS = 4  # packets of other sources in a row that end a candidate
RTP_SILENCE_NS = 2 * SECOND  # of a source, after which another takes its place
RTP_MAX_DROPOUT = 3000  # RFC 3550 appendix A.1
RTP_MAX_MISORDER = 100
RTP_MEMORY = 63  # packets back, within which a late packet is told from a duplicate and mends a run of losses
RTP_USUAL_CLOCKS_HZ = (8000, 16000, 24000, 32000, 44100, 48000, 90000)
RTP_CLOCK_TOLERANCE = 0.04
RTP_CLOCK_FROM_NS, RTP_CLOCK_UNTIL_NS = SECOND, 30 * SECOND  # when the clock is guessed from arrivals
RTP_NO_TYPE = 255

# Marks: a DSCP without any tunnel is looked at from a flow's third packet on
DSCP_FROM_PACKET = 3

# Decisions: after 4, 8, 16 ... 4096 packets, then every 4096; when the first, second, fourth, eighth ...
# gap of a second or more ends; and at the end of a flow that carried any payload
FIRST_DECISION = 4
DECIDE_EVERY = 4096
FINAL_PACKETS = 32  # a verdict from this many packets on is final until revised
CLEARLY = 0.1  # by how much another class must beat the standing one

# Hints: what the odds of a class are multiplied by
VIDEO, VOIP, GAMING, WEB, BULK, OTHER = range(6)
OTHER_PROTOCOL_ODDS = {OTHER: 100.0}  # neither TCP nor UDP
RTP_ODDS = {VOIP: 20.0, GAMING: 10.0}
STUN_ODDS = {VOIP: 10.0, GAMING: 4.0}
ENCRYPTED_ODDS = {VOIP: 0.1, GAMING: 0.1}  # TLS, QUIC, HTTP
QUIC_HTTP_ODDS = {OTHER: 0.2}
DNS_ODDS = {OTHER: 50.0}
PORT_ODDS = {BULK: 10.0}
ANY_PORT_ODDS = 20.0
PORTS = {
    OTHER: {
        *(22, 23, 25, 53, 67, 68, 88, 110, 111, 123, 135, 137, 138, 143, 161, 162, 179, 389, 465, 500, 502),
        *(514, 546, 547, 587, 636, 646, 853, 993, 995, 1080, 1194, 1701, 1883, 1900, 3306, 3389, 3702, 4500),
        *(5222, 5223, 5246, 5247, 5353, 5355, 5432, 6667, 8883),
    },
    VOIP: {1719, 1720, 2427, 2727, 5060, 5061},
    GAMING: {1119, 3074, 3724, 6112, 25565, 27015},
}
TCP_PORTS = {OTHER: {21}, BULK: {139, 445, 873, 2049}, VIDEO: {554, 1935}}
