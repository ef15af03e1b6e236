# Pieces of a capture that several engines share, textually included by engine.pyx before sharing.pxi: some hundreds
# of packets, cut down to what tells anything, each with the shard of its flow.

cdef enum:
    PIECE_BYTES = 131072           # of the capture
    PIECE_PACKETS = 1024
    FETCH_AHEAD = 8                # packets whose headers are on their way
    PLAIN_BYTES = 128              # enough for the headers of a plain frame, 94 at most, and PAYLOAD_BYTES
    PAYLOAD_BYTES = 32             # of a payload: nothing looks beyond the first 20 (media.pxd)
    EVERY_SHARD = 255              # in place of a shard's number


cdef struct Piece:
    uint8_t *bytes                 # room for a window of the reader's size; the packets' first bytes lie in it
    qoe_packet *packets
    uint8_t *shards                # of each packet
    uint32_t n
    uint32_t n_timed, n_back       # packets of flows, and of them older than the one before
    uint64_t first_ns, last_ns     # times of the first and the last of them
    uint64_t number                # of the piece it holds, from 1
    uint64_t ready                 # the same, once it is shared out


cdef void free_piece(Piece *piece) noexcept nogil:
    free(piece.packets)
    free(piece.shards)
    free(piece.bytes)
    free(piece)


cdef Piece *new_piece(uint64_t window_bytes) noexcept nogil:
    # whose memory is taken from the system as it is filled; NULL: there is none
    cdef Piece *piece = <Piece *> calloc(1, sizeof(Piece))
    if piece == NULL:
        return NULL
    piece.packets = <qoe_packet *> malloc(PIECE_PACKETS * sizeof(qoe_packet))
    piece.shards = <uint8_t *> malloc(PIECE_PACKETS)
    piece.bytes = <uint8_t *> malloc(window_bytes)
    if piece.packets == NULL or piece.shards == NULL or piece.bytes == NULL:
        free_piece(piece)
        return NULL
    return piece


cdef inline uint32_t n_telling(const qoe_packet *p, const Headers *h) noexcept nogil:
    # Bytes of a frame that tell anything: headers, and the begin of a payload. TCP, or UDP of no tunnel's port, is what
    # was found without a look at what is behind.
    if h.payload == NULL or h.fragment or h.carried or p.captured_len > p.wire_len:
        return p.captured_len
    if h.protocol != TCP and (h.protocol != UDP or is_tunnel_port(h.src_port) or is_tunnel_port(h.dst_port)):
        return p.captured_len
    return min(p.captured_len, <uint32_t> (h.payload - p.data) + PAYLOAD_BYTES)


cdef inline uint8_t sort_in(qoe_packet *p, const uint64_t *seed, uint32_t n_shards, bint *timed) noexcept nogil:
    # The shard of a packet: the first for what is in no flow. At what belongs to a datagram in pieces all look, to find
    # out together. Cuts off what tells nothing. Two headers, as the plain one, which nothing else sees, then stays in
    # registers.
    cdef:
        Headers plain, h
        Key key
    timed[0] = True
    if likely(decode_plain(p.data, p.captured_len, p.wire_len, p.link_type, &plain)):
        p.captured_len = min(p.captured_len, <uint32_t> PLAIN_BYTES)
        make_key(seed, &plain, &key)
        return <uint8_t> shard_of(key.hashed, n_shards)
    if decode(p.data, p.captured_len, p.wire_len, p.link_type, &h) != QOE_PKT_FLOW:
        timed[0] = False
        return 0
    p.captured_len = n_telling(p, &h)
    if h.fragment or h.carried:
        return EVERY_SHARD
    make_key(seed, &h, &key)
    return <uint8_t> shard_of(key.hashed, n_shards)


cdef void share_out(Piece *piece, const uint64_t *seed, uint32_t n_shards) noexcept nogil:
    # Copies what tells anything out of the window: a tenth of what was read, which other cores fetch in one go, and
    # of which there is room for more.
    cdef:
        uint8_t *to = piece.bytes
        qoe_packet *p
        uint32_t i
        bint timed
    piece.n_timed = piece.n_back = 0
    for i in range(piece.n):
        p = &piece.packets[i]
        if i + FETCH_AHEAD < piece.n:
            fetch_headers(p + FETCH_AHEAD)
        piece.shards[i] = sort_in(p, seed, n_shards, &timed)
        if likely(p.captured_len == PLAIN_BYTES):
            memcpy(to, p.data, PLAIN_BYTES)       # of a length that the compiler knows
        else:
            memcpy(to, p.data, p.captured_len)
        p.data = to
        to += p.captured_len
        if unlikely(not timed):
            continue
        if unlikely(piece.n_timed == 0):
            piece.first_ns = piece.last_ns = p.ts_ns
        piece.n_timed += 1
        piece.n_back += p.ts_ns < piece.last_ns
        piece.last_ns = p.ts_ns


cdef uint32_t pick(const Piece *piece, uint32_t shard, uint32_t *at, qoe_packet *out) noexcept nogil:
    # a shard's next packets, whose headers are on their way when they are taken: another core may have them
    cdef:
        uint32_t found[BURST]
        uint32_t i = at[0], n = 0, k
    while i < piece.n and n < BURST:              # without a branch, which nobody could foretell
        found[n] = i
        n += <uint32_t> (piece.shards[i] == shard) | <uint32_t> (piece.shards[i] == EVERY_SHARD)
        i += 1
    at[0] = i
    for k in range(n):
        out[k] = piece.packets[found[k]]
        fetch_headers(&out[k])
    return n
