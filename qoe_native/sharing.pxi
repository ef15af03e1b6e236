# One capture for several engines; textually included by engine.pyx.
#
# The file is read and walked once, and its packets are shared out by the shard of their flow. Every worker, a thread,
# has some shards; whoever first needs the next piece makes it, for all, while the others work on those before it; so
# who has less to do reads more. Who finds a shard far behind, as other programs keep its worker from running, takes
# its next piece: so no worker waits for another for longer than the one shard that this has in its hands. Pieces
# lie in a ring; the slot of one is used again when it was taken for the last shard.
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
    PIECES_EACH = 256              # that a worker can have made, and somebody not yet taken: 10 ms of work
    AHEAD = 8                      # pieces that a worker sees to be ready, so that nobody waits for the next
    FAR_BEHIND = 24                # pieces
    MOST_WORKERS = 64
    MOST_SHARDS = 254
    AWAKE = 1100                   # rests before a worker that waits for Python sleeps: some 100 us
    SHARED_EXPORT_AT = 256         # ended flows: writing many at once would keep the others waiting
    NO_SHARD = -1


cdef enum:                         # bits of SharedCapture.state; a piece is begun when there is none
    MAKING = 1                     # somebody makes the next piece
    HUNGRY = 2                     # it takes bytes that Python must read
    CLOSED = 4                     # there will be no more pieces than the one that is being made


cdef struct Shard:                 # whoever has set `held` has it to himself
    uint64_t held
    uint64_t taken                 # pieces that it is done with
    uint32_t place                 # packets of the next piece that it has taken
    qoe_engine *engine
    bint *busy                     # of the engine
    uint64_t apart[11]             # no two share a cache line, or the one that is fetched with it


cdef struct Seat:                  # a worker's, who alone uses it
    uint8_t *window                # where it reads into, again and again: it stays in its core's cache
    Piece *piece[PIECES_EACH]      # its own: n_free to be filled, the last one first, for the same reason
    Piece *given[PIECES_EACH]      # those not yet taken for all shards, in turn
    uint64_t n_pieces, n_free, n_given, n_back
    int shard                      # that it holds; or NO_SHARD
    uint32_t look                  # the shard that it looked at last
    uint64_t apart[16]


cdef class SharedCapture:
    """The packets of one reader for several engines; see `qoe.workers`.

    Parameters
    ----------
    reader : CaptureReader
        Not to be used by anybody else until `leave`, but for what `wait` asks for.
    engines : list of Engine
        One a shard, in turn, up to 254, all of the same seed.
    n_workers : int
        Threads that will call `feed`, 1 to 64, and no more than there are engines.
    clock_ns : int
        Time of the packet before the first.

    Attributes
    ----------
    clock_ns, clock_back : int
        Time of the newest packet of a flow, and how many were older than the one before.

    Raises
    ------
    ValueError
        So many workers or engines cannot be.
    """

    cdef CaptureReader reader
    cdef Piece **ring              # piece i at i % n_pieces
    cdef list engines              # keeps them alive
    cdef Shard *shards
    cdef Seat *seats
    cdef uint64_t made             # pieces in the ring; written by who has set MAKING
    cdef uint64_t state
    cdef uint64_t n_done           # workers that take no more
    cdef uint32_t n_workers, n_shards, n_pieces
    cdef bint filled               # Python has read; of who has set MAKING, and of Python while HUNGRY
    cdef readonly uint64_t clock_ns, clock_back
    cdef pthread_mutex_t lock      # nothing but `changed` needs it
    cdef pthread_cond_t changed    # HUNGRY, CLOSED or n_done

    def __cinit__(self, CaptureReader reader not None, list engines not None, uint32_t n_workers, uint64_t clock_ns=0):
        cdef Engine engine
        if not 1 <= n_workers <= min(MOST_WORKERS, <int> len(engines)) or len(engines) > MOST_SHARDS:
            raise ValueError(f"{n_workers} workers of {len(engines)} engines: there can be 1 to {MOST_WORKERS},"
                             f" of 1 to {MOST_SHARDS} engines, and no more workers than engines")
        pthread_mutex_init(&self.lock, NULL)
        condition_init(&self.changed)
        self.reader, self.engines, self.n_shards = reader, engines, len(engines)
        self.n_workers, self.n_pieces = n_workers, n_workers * PIECES_EACH
        self.filled = True                        # with what told the reader which format it is
        self.clock_ns = clock_ns
        reader.borrower = self
        self.ring = <Piece **> calloc(self.n_pieces, sizeof(Piece *))
        self.shards = <Shard *> calloc(self.n_shards, sizeof(Shard))
        self.seats = <Seat *> calloc(n_workers, sizeof(Seat))
        if self.ring == NULL or self.shards == NULL or self.seats == NULL:
            raise MemoryError
        for i in range(self.n_shards):
            engine = engines[i]
            self.shards[i].engine, self.shards[i].busy = engine.engine, &engine.busy
        for i in range(n_workers):
            self.seats[i].shard = NO_SHARD
            self.seats[i].window = <uint8_t *> malloc(reader.window_bytes)
            if self.seats[i].window == NULL or self.one_more(&self.seats[i]) == NULL:
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
        free(self.shards)
        free(self.ring)
        pthread_cond_destroy(&self.changed)
        pthread_mutex_destroy(&self.lock)

    cdef Piece *one_more(self, Seat *seat) noexcept nogil:
        cdef Piece *piece = new_piece(self.reader.window_bytes) if seat.n_pieces < PIECES_EACH else NULL
        if piece != NULL:
            seat.piece[seat.n_free] = piece
            seat.n_free += 1
            seat.n_pieces += 1
        return piece

    cdef Piece *next_free(self, Seat *seat) noexcept nogil:
        # of the worker's own pieces that were taken for all shards, the one it filled last; NULL: there is none
        cdef:
            uint64_t done = read_word(&self.made)
            uint32_t i
        for i in range(self.n_shards):
            done = min(done, read_word(&self.shards[i].taken))
        while seat.n_back < seat.n_given and seat.given[seat.n_back % PIECES_EACH].number <= done:
            seat.piece[seat.n_free] = seat.given[seat.n_back % PIECES_EACH]
            seat.n_free += 1
            seat.n_back += 1
        return seat.piece[seat.n_free - 1] if seat.n_free else self.one_more(seat)

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

    cdef bint make_next(self, Seat *seat) noexcept nogil:
        # False: not now
        cdef Piece *piece
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
        share_out(piece, self.shards[0].engine.table.seed, self.n_shards)
        write_word(&piece.ready, piece.number)
        return True

    cdef bint claim(self, uint32_t number, uint64_t n_pieces) noexcept nogil:
        # a shard of which nobody has hold, and for which so many pieces wait, the first of them ready
        cdef:
            Shard *shard = &self.shards[number]
            uint64_t taken = read_word(&shard.taken)
        if read_word(&shard.held) or read_word(&self.made) < taken + n_pieces or not swap_word(&shard.held, 0, 1):
            return False
        taken = shard.taken                       # it may have been in other hands since
        if read_word(&self.made) > taken and read_word(&self.ring[taken % self.n_pieces].ready) == taken + 1:
            return True
        write_word(&shard.held, 0)
        return False

    cdef int claim_own(self, uint32_t worker) noexcept nogil:
        # a shard of the worker's, those first that are behind; makes pieces before they are missed: nobody need wait then
        cdef:
            uint64_t taken, least = <uint64_t> -1
            uint32_t shard = worker
            int found = NO_SHARD
        while shard < self.n_shards:
            taken = read_word(&self.shards[shard].taken)
            if taken < least:
                least, found = taken, shard
            shard += self.n_workers
        while read_word(&self.made) < least + AHEAD and self.make_next(&self.seats[worker]):
            pass
        if self.claim(found, 1):
            return found
        shard = worker
        while shard < self.n_shards:
            if self.claim(shard, 1):
                return shard
            shard += self.n_workers
        return NO_SHARD

    cdef int claim_other(self, Seat *seat, uint32_t n_looks) noexcept nogil:
        # one that is far behind, or behind at all when no more pieces come
        cdef uint32_t _i
        for _i in range(n_looks):
            seat.look = seat.look + 1 if seat.look + 1 < self.n_shards else 0
            if self.claim(seat.look, 1 if read_word(&self.state) & CLOSED else FAR_BEHIND):
                return seat.look
        return NO_SHARD

    cdef bint is_over(self) noexcept nogil:
        # in this order: once the state says so, no more are made, and who has hold of a shard looks after it
        cdef uint32_t i
        if read_word(&self.state) & (CLOSED | MAKING) != CLOSED:
            return False
        for i in range(self.n_shards):
            if not read_word(&self.shards[i].held) and read_word(&self.shards[i].taken) < read_word(&self.made):
                return False
        return True

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

    cdef int next_shard(self, uint32_t worker) noexcept nogil:
        # waits until there is something to do for a shard, which the worker then holds; NO_SHARD: there is not
        cdef:
            Seat *seat = &self.seats[worker]
            uint32_t n_rests = 0
            int shard
        while True:
            shard = self.claim_other(seat, 1)
            if shard == NO_SHARD:
                shard = self.claim_own(worker)
            if shard == NO_SHARD:
                shard = self.claim_other(seat, self.n_shards)
            if shard != NO_SHARD:
                return shard
            if self.make_next(seat):
                continue
            if self.is_over():
                return NO_SHARD
            if n_rests >= AWAKE and read_word(&self.state) & HUNGRY:
                self.sleep_while(HUNGRY | CLOSED, HUNGRY)
            else:
                rest_for(n_rests)
            n_rests += 1

    cdef void let_go(self, Seat *seat) noexcept nogil:
        # of a shard that is done with a piece
        cdef:
            Shard *shard = &self.shards[seat.shard]
            const Piece *piece = self.ring[shard.taken % self.n_pieces]
        if seat.shard == 0 and piece.n_timed:
            self.clock_back += piece.n_back + (piece.first_ns < self.clock_ns)
            self.clock_ns = piece.last_ns
        shard.place = 0
        write_word(&shard.taken, shard.taken + 1)
        write_word(&shard.held, 0)
        seat.shard = NO_SHARD

    cdef bint take(self, uint32_t number) noexcept nogil:
        # takes a shard's packets of a piece; True: many ended flows wait, and there is more
        cdef:
            Shard *shard = &self.shards[number]
            qoe_engine *engine = shard.engine
            const Piece *piece = self.ring[shard.taken % self.n_pieces]
            qoe_packet bursts[2][64]
            uint32_t at = shard.place, rest, n, n_next, turn = 0
            uint32_t export_at = min(SHARED_EXPORT_AT, (engine.table.n_records - engine.table.max_flows) // 2)
        n = pick(piece, number, &at, bursts[0])
        while n:
            rest = at
            n_next = pick(piece, number, &at, bursts[1 - turn])
            take_burst(engine, bursts[turn], n, NULL)
            if engine.table.n_ended >= export_at \
                    or engine.interim_head - engine.interim_tail > engine.interim_mask // 2:
                shard.place = rest
                return True
            n = n_next
            turn = 1 - turn
        return False

    cdef bint work(self, uint32_t worker) noexcept nogil:
        # False: no packet is left; True: many ended flows wait in the shard that the worker holds
        cdef:
            Seat *seat = &self.seats[worker]
            bint pause
        while True:
            if seat.shard == NO_SHARD:
                seat.shard = self.next_shard(worker)
            if seat.shard == NO_SHARD:
                return False
            self.shards[seat.shard].busy[0] = True
            pause = self.take(seat.shard)
            self.shards[seat.shard].busy[0] = False
            if pause:
                return True
            self.let_go(seat)

    def feed(self, uint32_t worker):
        """Take packets into the engines, without the GIL.

        Returns
        -------
        int
            The engine in which many ended flows wait, to be exported before the next call, and which until
            then no other worker touches; -1: no packet is left.

        Raises
        ------
        ValueError
            There is no such worker.
        """
        cdef bint more
        if worker >= self.n_workers:
            raise ValueError(f"worker {worker} of {self.n_workers}")
        with nogil:
            more = self.work(worker)
            if not more:
                add_word(&self.n_done, 1)
                self.tell()
        return self.seats[worker].shard

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
