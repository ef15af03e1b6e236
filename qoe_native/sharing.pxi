# One capture for several engines, each in a thread of its own; textually included by engine.pyx.
#
# The file is read and walked once, and its packets are shared out by the shard of their flow: whichever worker
# first needs the next piece makes it, for all, while the others work on those before it; so who has less to do
# reads more. Pieces lie in a ring; the slot of one is used again when the last worker has taken it.
#
# Workers meet in words that are read and written whole, so that none of them enters the kernel of the system for a
# piece: on a virtual machine that may take longer than the piece. Only who waits for Python, and Python, sleep
# until they are woken.

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *lock, const void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *lock)
    int pthread_mutex_lock(pthread_mutex_t *lock)
    int pthread_mutex_unlock(pthread_mutex_t *lock)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int pthread_cond_broadcast(pthread_cond_t *condition)


cdef extern from "host.h" nogil:
    int condition_init "qoe_condition_init"(pthread_cond_t *condition)
    int wait_a_while "qoe_wait_a_while"(pthread_cond_t *condition, pthread_mutex_t *lock)
    bint swap_word "qoe_swap_word"(uint64_t *p, uint64_t old, uint64_t new)
    uint64_t set_bits "qoe_set_bits"(uint64_t *p, uint64_t bits)
    uint64_t clear_bits "qoe_clear_bits"(uint64_t *p, uint64_t bits)
    uint64_t add_word "qoe_add_word"(uint64_t *p, uint64_t n)
    void rest_for "qoe_rest"(uint32_t n_rests)


cdef enum:
    PIECE_BYTES = 131072           # of the capture: some hundreds of packets
    PIECE_PACKETS = 1024
    PIECES_EACH = 256              # that a worker can have made, and somebody not yet taken: 10 ms of work
    AHEAD = 8                      # pieces that a worker sees to be ready, so that nobody waits for the next
    PLAIN_BYTES = 128              # enough for the headers of a plain frame, 94 at most, and PAYLOAD_BYTES
    PAYLOAD_BYTES = 32             # of a payload: nothing looks beyond the first 20 (media.pxd)
    MOST_WORKERS = 64
    FETCH_AHEAD = 8                # packets whose headers are on their way
    EVERYONE = 255                 # in place of a worker's number
    AWAKE = 1100                   # rests before a worker that waits for Python sleeps: some 100 us
    SHARED_EXPORT_AT = 256         # ended flows: writing many at once would keep the others waiting


cdef enum:                         # bits of SharedCapture.state; a piece is begun when there is none
    MAKING = 1                     # somebody makes the next piece
    HUNGRY = 2                     # it takes bytes that Python must read
    CLOSED = 4                     # there will be no more pieces than the one that is being made


cdef struct Seat:                  # a worker's, who alone writes to it
    uint64_t taken                 # pieces it is done with
    uint64_t place                 # packets of the next piece that it has taken
    uint8_t *window                # where it reads into, again and again: it stays in its core's cache
    Piece *piece[PIECES_EACH]      # its own: n_free to be filled, the last one first, for the same reason
    Piece *given[PIECES_EACH]      # those that not all have taken, in turn
    uint64_t n_pieces, n_free, n_given, n_back
    uint64_t apart[13]             # no two share a cache line, or the one that is fetched with it


cdef Piece *new_piece(uint64_t window_bytes) noexcept nogil:
    # whose memory is taken from the system as it is filled; NULL: there is none
    cdef:
        Piece *piece = <Piece *> calloc(1, sizeof(Piece))
    if piece == NULL:
        return NULL
    piece.packets = <qoe_packet *> malloc(PIECE_PACKETS * sizeof(qoe_packet))
    piece.shards = <uint8_t *> malloc(PIECE_PACKETS)
    piece.bytes = <uint8_t *> malloc(window_bytes)
    if piece.packets == NULL or piece.shards == NULL or piece.bytes == NULL:
        free_piece(piece)
        return NULL
    return piece


cdef void free_piece(Piece *piece) noexcept nogil:
    free(piece.packets)
    free(piece.shards)
    free(piece.bytes)
    free(piece)


cdef struct Piece:
    uint8_t *bytes                 # room for a window of the reader's size; packets' first bytes lie in it
    qoe_packet *packets
    uint8_t *shards                # which worker takes each
    uint32_t n
    uint32_t n_timed, n_back       # packets of flows, and of them older than the one before
    uint64_t first_ns, last_ns     # times of the first and the last of them
    uint64_t number                # of the piece it holds, from 1
    uint64_t ready                 # the same, once it is shared out


cdef inline uint32_t n_telling(const qoe_packet *p, const Headers *h) noexcept nogil:
    # Bytes of a frame that tell anything: headers, and the begin of a payload. TCP or UDP of no tunnel's port is what
    # was found without a look at what is behind.
    if h.payload == NULL or h.fragment or h.carried or p.captured_len > p.wire_len:
        return p.captured_len
    if h.protocol != TCP and (h.protocol != UDP or is_tunnel_port(h.src_port) or is_tunnel_port(h.dst_port)):
        return p.captured_len
    return min(p.captured_len, <uint32_t> (h.payload - p.data) + PAYLOAD_BYTES)


cdef inline uint8_t sort_in(qoe_packet *p, const uint64_t *seed, uint32_t n_workers, bint *timed) noexcept nogil:
    # Which worker takes a packet: the first what is in no flow. At what belongs to a datagram in pieces all look, to
    # find out together. Cuts off what tells nothing. Two headers, as the plain one, which nothing else sees, then
    # stays in registers.
    cdef:
        Headers plain, h
        Key key
    timed[0] = True
    if likely(decode_plain(p.data, p.captured_len, p.wire_len, p.link_type, &plain)):
        p.captured_len = min(p.captured_len, <uint32_t> PLAIN_BYTES)
        make_key(seed, &plain, &key)
        return <uint8_t> shard_of(key.hashed, n_workers)
    if decode(p.data, p.captured_len, p.wire_len, p.link_type, &h) != QOE_PKT_FLOW:
        timed[0] = False
        return 0
    p.captured_len = n_telling(p, &h)
    if h.fragment or h.carried:
        return EVERYONE
    make_key(seed, &h, &key)
    return <uint8_t> shard_of(key.hashed, n_workers)


cdef void share_out(Piece *piece, const qoe_engine *engine, uint32_t n_workers) noexcept nogil:
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
        piece.shards[i] = sort_in(p, engine.table.seed, n_workers, &timed)
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


cdef class SharedCapture:
    """The packets of one reader for several engines; see `qoe.workers`.

    Parameters
    ----------
    reader : CaptureReader
        Not to be used by anybody else until `leave`, but for what `wait` asks for.
    n_workers : int
        Threads that will call `feed`, 1 to 64; the engine of each has the shard of its number.
    clock_ns : int
        Time of the packet before the first.

    Attributes
    ----------
    clock_ns, clock_back : int
        Time of the newest packet of a flow, and how many were older than the one before.

    Raises
    ------
    ValueError
        So many workers cannot be.
    """

    cdef CaptureReader reader
    cdef Piece **ring              # piece i at i % n_pieces
    cdef Seat *seats
    cdef uint64_t made             # pieces in the ring; written by who has set MAKING
    cdef uint64_t state
    cdef uint64_t n_done           # workers that take no more
    cdef uint32_t n_workers, n_pieces
    cdef bint filled               # Python has read; of who has set MAKING, and of Python while HUNGRY
    cdef readonly uint64_t clock_ns, clock_back
    cdef pthread_mutex_t lock      # nothing but `changed` needs it
    cdef pthread_cond_t changed    # HUNGRY, CLOSED or n_done

    def __cinit__(self, CaptureReader reader not None, uint32_t n_workers, uint64_t clock_ns=0):
        if not 1 <= n_workers <= MOST_WORKERS:
            raise ValueError(f"{n_workers} workers: there can be 1 to {MOST_WORKERS}")
        pthread_mutex_init(&self.lock, NULL)
        condition_init(&self.changed)
        self.reader, self.n_workers, self.n_pieces = reader, n_workers, n_workers * PIECES_EACH
        self.filled = True                        # with what told the reader which format it is
        self.clock_ns = clock_ns
        reader.borrower = self
        self.ring = <Piece **> calloc(self.n_pieces, sizeof(Piece *))
        self.seats = <Seat *> calloc(n_workers, sizeof(Seat))
        if self.ring == NULL or self.seats == NULL:
            raise MemoryError
        for i in range(n_workers):
            self.seats[i].window = <uint8_t *> malloc(reader.window_bytes)
            if self.seats[i].window == NULL or self.more_pieces(&self.seats[i]) == NULL:
                raise MemoryError

    def __dealloc__(self):
        cdef Seat *seat
        for i in range(self.n_workers if self.seats != NULL else 0):
            seat = &self.seats[i]
            free(seat.window)
            for k in range(seat.n_free):
                free_piece(seat.piece[k])
            for k in range(seat.n_back, seat.n_given):
                free_piece(seat.given[k % PIECES_EACH])
        free(self.seats)
        free(self.ring)
        pthread_cond_destroy(&self.changed)
        pthread_mutex_destroy(&self.lock)

    cdef Piece *more_pieces(self, Seat *seat) noexcept nogil:
        cdef Piece *piece = new_piece(self.reader.window_bytes) if seat.n_pieces < PIECES_EACH else NULL
        if piece != NULL:
            seat.piece[seat.n_free] = piece
            seat.n_free += 1
            seat.n_pieces += 1
        return piece

    cdef Piece *next_free(self, Seat *seat) noexcept nogil:
        # of the worker's own pieces that all have taken, the one it filled last; NULL: there is none
        cdef:
            uint64_t all_took = read_word(&self.made)
            uint32_t i
        for i in range(self.n_workers):
            all_took = min(all_took, read_word(&self.seats[i].taken))
        while seat.n_back < seat.n_given and seat.given[seat.n_back % PIECES_EACH].number <= all_took:
            seat.piece[seat.n_free] = seat.given[seat.n_back % PIECES_EACH]
            seat.n_free += 1
            seat.n_back += 1
        return seat.piece[seat.n_free - 1] if seat.n_free else self.more_pieces(seat)

    cdef void give(self, Seat *seat, Piece *piece) noexcept nogil:
        # with MAKING set
        seat.n_free -= 1
        seat.given[seat.n_given % PIECES_EACH] = piece
        seat.n_given += 1
        self.ring[self.made % self.n_pieces] = piece
        piece.number = self.made + 1
        write_word(&self.made, piece.number)

    cdef bint fill(self, Piece *piece, uint8_t *window) noexcept nogil:
        # with the next packets; False: bytes are missing, which Python must read
        cdef CaptureState *s = &self.reader.state
        piece.n = 0
        while piece.n == 0 and s.status != CAPTURE_END and s.status != CAPTURE_ERROR:
            slide_window(s, window)
            if s.status == CAPTURE_MORE and not self.filled and not refill(self.reader, window, PIECE_BYTES):
                return False
            self.filled = False
            piece.n = capture_next(s, piece.packets, PIECE_PACKETS, 0)
        return True

    cdef bint make_next(self, uint32_t worker, const qoe_engine *engine) noexcept nogil:
        # False: not now
        cdef:
            Seat *seat = &self.seats[worker]
            Piece *piece
        if read_word(&self.state) != 0:
            return False
        piece = self.next_free(seat)
        if piece == NULL or not swap_word(&self.state, 0, MAKING):
            return False
        if not self.fill(piece, seat.window):
            set_bits(&self.state, HUNGRY)
            clear_bits(&self.state, MAKING)
            self.tell()
            return True
        self.give(seat, piece)
        if self.reader.state.status in (CAPTURE_END, CAPTURE_ERROR):
            set_bits(&self.state, CLOSED)
        clear_bits(&self.state, MAKING)            # somebody else may make the piece after it
        share_out(piece, engine, self.n_workers)
        write_word(&piece.ready, piece.number)
        return True

    cdef bint is_ready(self, uint64_t mine) noexcept nogil:
        return read_word(&self.made) > mine and read_word(&self.ring[mine % self.n_pieces].ready) == mine + 1

    cdef bint is_over(self, uint64_t mine) noexcept nogil:
        # in this order: once the state says so, no more are made
        return read_word(&self.state) & (CLOSED | MAKING) == CLOSED and read_word(&self.made) <= mine

    cdef void tell(self) noexcept nogil:
        # wakes who sleeps, after a change that it waits for
        pthread_mutex_lock(&self.lock)
        pthread_cond_broadcast(&self.changed)
        pthread_mutex_unlock(&self.lock)

    cdef void sleep_while(self, uint64_t bits, uint64_t wanted) noexcept nogil:
        # and while workers are left, but not for ever
        pthread_mutex_lock(&self.lock)
        if read_word(&self.state) & bits == wanted and read_word(&self.n_done) < self.n_workers:
            wait_a_while(&self.changed, &self.lock)
        pthread_mutex_unlock(&self.lock)

    cdef bint next_piece(self, uint32_t worker, const qoe_engine *engine) noexcept nogil:
        # waits for the next piece, or makes it; False: there is none
        cdef:
            uint64_t mine = self.seats[worker].taken
            uint32_t n_rests = 0
        while read_word(&self.made) < mine + AHEAD and self.make_next(worker, engine):
            pass                                  # before they are missed: nobody need wait then
        while not self.is_ready(mine):
            if self.is_over(mine):
                return False
            if read_word(&self.made) <= mine and self.make_next(worker, engine):
                continue
            if n_rests >= AWAKE and read_word(&self.state) & HUNGRY:
                self.sleep_while(HUNGRY | CLOSED, HUNGRY)
            else:
                rest_for(n_rests)
            n_rests += 1
        return True

    cdef void take_piece(self, uint32_t worker) noexcept nogil:
        # done with a piece
        cdef:
            Seat *seat = &self.seats[worker]
            const Piece *piece = self.ring[seat.taken % self.n_pieces]
        if worker == 0 and piece.n_timed:
            self.clock_back += piece.n_back + (piece.first_ns < self.clock_ns)
            self.clock_ns = piece.last_ns
        seat.place = 0
        write_word(&seat.taken, seat.taken + 1)

    cdef uint32_t pick(self, const Piece *piece, uint32_t worker, uint32_t *at, qoe_packet *out) noexcept nogil:
        # the worker's next packets, whose headers are on their way when it takes them: another core may have them
        cdef:
            uint32_t found[BURST]
            uint32_t i = at[0], n = 0, k
        while i < piece.n and n < BURST:          # without a branch, which nobody could foretell
            found[n] = i
            n += <uint32_t> (piece.shards[i] == worker) | <uint32_t> (piece.shards[i] == EVERYONE)
            i += 1
        at[0] = i
        for k in range(n):
            out[k] = piece.packets[found[k]]
            fetch_headers(&out[k])
        return n

    cdef bint take(self, const Piece *piece, qoe_engine *engine, uint32_t worker) noexcept nogil:
        # takes a piece's packets; True: many ended flows wait, and there is more
        cdef:
            qoe_packet bursts[2][64]
            uint32_t at = <uint32_t> self.seats[worker].place, rest, n, n_next, turn = 0
            uint32_t export_at = min(SHARED_EXPORT_AT, (engine.table.n_records - engine.table.max_flows) // 2)
        n = self.pick(piece, worker, &at, bursts[0])
        while n:
            rest = at
            n_next = self.pick(piece, worker, &at, bursts[1 - turn])
            take_burst(engine, bursts[turn], n, NULL)
            if engine.table.n_ended >= export_at \
                    or engine.interim_head - engine.interim_tail > engine.interim_mask // 2:
                self.seats[worker].place = rest
                return True
            n = n_next
            turn = 1 - turn
        return False

    cdef bint work(self, qoe_engine *engine, uint32_t worker) noexcept nogil:
        # False: no packet is left; True: many ended flows wait
        while self.next_piece(worker, engine):
            if self.take(self.ring[self.seats[worker].taken % self.n_pieces], engine, worker):
                return True
            self.take_piece(worker)
        return False

    def feed(self, Engine engine not None, uint32_t worker):
        """Take packets into an engine, without the GIL.

        Returns
        -------
        bool
            True: many ended flows wait, to be exported before the next call; False: no packet is left.

        Raises
        ------
        ValueError
            There is no such worker.
        """
        cdef bint more
        if worker >= self.n_workers:
            raise ValueError(f"worker {worker} of {self.n_workers}")
        engine.enter()
        with nogil:
            more = self.work(engine.engine, worker)
            if not more:
                add_word(&self.n_done, 1)
                self.tell()
        engine.busy = False
        return more

    def wait(self):
        """Wait, up to a tenth of a second, until there is something to do for who feeds the reader.

        Returns
        -------
        str
            ``"more"``: put bytes into the reader, or finish it, then call `filled_up`; ``"end"``: all
            workers are done; ``"ready"``: nothing, call again.
        """
        with nogil:
            self.sleep_while(HUNGRY, 0)
        if read_word(&self.n_done) == self.n_workers:
            return "end"
        return "more" if read_word(&self.state) & HUNGRY else "ready"

    def filled_up(self):
        """Say that the reader was given what `wait` asked for."""
        self.filled = True
        clear_bits(&self.state, HUNGRY)
        self.tell()

    def leave(self):
        """Give the reader back, once all workers have ended."""
        slide_window(&self.reader.state, self.reader.start)
        self.reader.borrower = None

    def give_up(self):
        """Say, in a worker that failed, that it takes no more: all end."""
        add_word(&self.n_done, 1)
        self.close()

    def close(self):
        """Let the workers end once they took what was read so far."""
        set_bits(&self.state, CLOSED)
        self.tell()
