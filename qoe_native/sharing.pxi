# One capture for several engines, each in a thread of its own; textually included by engine.pyx.
#
# The file is read and walked once, and its packets are shared out by the shard of their flow: whichever worker
# first needs the next piece makes it, for all, while the others work on those before it; so who has less to do
# reads more. Pieces lie in a ring; the slot of one is used again when the last worker has taken it.
# Workers find pieces by one word each; the lock is only for who makes the next one, and to wait.

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *lock, const void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *lock)
    int pthread_mutex_lock(pthread_mutex_t *lock)
    int pthread_mutex_unlock(pthread_mutex_t *lock)
    int pthread_cond_init(pthread_cond_t *condition, const void *attributes)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int pthread_cond_broadcast(pthread_cond_t *condition)


cdef extern from "host.h" nogil:
    void relax "qoe_relax"()
    int wait_a_while "qoe_wait_a_while"(pthread_cond_t *condition, pthread_mutex_t *lock)


cdef enum:
    PIECES_EACH = 32               # that a worker can have made, and somebody not yet taken: 2.5 ms of work
    PIECE_PACKETS = 4096
    AHEAD = 8                      # pieces that a worker sees to be ready, so that nobody waits for the next
    MOST_WORKERS = 64
    EVERYONE = 255                 # in place of a worker's number
    SPINS = 1000                   # looks at whether the next piece is ready, some 20 us, before a worker sleeps
    SHARED_EXPORT_AT = 256         # ended flows: writing many at once would keep the others waiting
    WORKER_WORDS = 8               # a worker's word has a cache line of its own


cdef struct Piece:
    uint8_t *bytes                 # a window of the reader's size
    qoe_packet *packets
    uint8_t *shards                # which worker takes each
    uint32_t n
    uint32_t n_timed, n_back       # packets of flows, and of them older than the one before
    uint64_t first_ns, last_ns     # times of the first and the last of them
    uint64_t number                # of the piece it holds, from 1; 0: none
    uint64_t ready                 # the same, once it is shared out


cdef void share_out(Piece *piece, const qoe_engine *engine, uint32_t n_workers) noexcept nogil:
    # Which worker takes which packet: the first takes what is in no flow. At what belongs to a datagram in pieces
    # all look, to find out together.
    cdef:
        Headers h
        Key key
        const qoe_packet *p
        uint32_t i
    piece.n_timed = piece.n_back = 0
    for i in range(piece.n):
        p = &piece.packets[i]
        piece.shards[i] = 0
        if not decode_plain(p.data, p.captured_len, p.wire_len, p.link_type, &h) \
                and decode(p.data, p.captured_len, p.wire_len, p.link_type, &h) != QOE_PKT_FLOW:
            continue
        if piece.n_timed == 0:
            piece.first_ns = piece.last_ns = p.ts_ns
        piece.n_timed += 1
        piece.n_back += p.ts_ns < piece.last_ns
        piece.last_ns = p.ts_ns
        if h.fragment or h.carried:
            piece.shards[i] = EVERYONE
        else:
            make_key(engine.table.seed, &h, &key)
            piece.shards[i] = <uint8_t> shard_of(key.hashed, n_workers)


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
    cdef Piece *own                # PIECES_EACH of each worker, who alone fills them: they stay in its cache
    cdef Piece **ring              # piece i at i % n_pieces
    cdef uint64_t taken[MOST_WORKERS * WORKER_WORDS]    # pieces that a worker is done with
    cdef uint32_t place[MOST_WORKERS]                   # packets of the next piece that it has taken
    cdef uint64_t made             # pieces that are ready
    cdef uint64_t n_asleep         # workers that wait
    cdef uint32_t n_workers, n_pieces, n_done
    cdef bint making               # somebody makes the next one
    cdef bint hungry               # it takes bytes that Python must read
    cdef bint filled               # which it has
    cdef bint closed               # there will be no more
    cdef readonly uint64_t clock_ns, clock_back
    cdef pthread_mutex_t lock
    cdef pthread_cond_t changed

    def __cinit__(self, CaptureReader reader not None, uint32_t n_workers, uint64_t clock_ns=0):
        if not 1 <= n_workers <= MOST_WORKERS:
            raise ValueError(f"{n_workers} workers: there can be 1 to {MOST_WORKERS}")
        pthread_mutex_init(&self.lock, NULL)
        pthread_cond_init(&self.changed, NULL)
        self.reader, self.n_workers, self.n_pieces = reader, n_workers, n_workers * PIECES_EACH
        self.filled = True                        # with what told the reader which format it is
        self.clock_ns = clock_ns
        reader.borrower = self
        self.own = <Piece *> calloc(self.n_pieces, sizeof(Piece))
        self.ring = <Piece **> calloc(self.n_pieces, sizeof(Piece *))
        if self.own == NULL or self.ring == NULL:
            raise MemoryError
        for i in range(self.n_pieces):
            self.own[i].bytes = <uint8_t *> malloc(reader.window_bytes)
            self.own[i].packets = <qoe_packet *> malloc(PIECE_PACKETS * sizeof(qoe_packet))
            self.own[i].shards = <uint8_t *> malloc(PIECE_PACKETS)
            if self.own[i].bytes == NULL or self.own[i].packets == NULL or self.own[i].shards == NULL:
                raise MemoryError

    def __dealloc__(self):
        if self.own != NULL:
            for i in range(self.n_pieces):
                free(self.own[i].bytes)
                free(self.own[i].packets)
                free(self.own[i].shards)
        free(self.own)
        free(self.ring)
        pthread_cond_destroy(&self.changed)
        pthread_mutex_destroy(&self.lock)

    cdef inline uint64_t *word(self, uint32_t worker) noexcept nogil:
        return &self.taken[worker * WORKER_WORDS]

    cdef Piece *free_piece(self, uint32_t worker) noexcept nogil:
        # of the worker's own pieces that all have taken, the one it filled last; NULL: there is none
        cdef:
            Piece *piece
            Piece *best = NULL
            uint64_t all_took = self.made
            uint32_t i
        for i in range(self.n_workers):
            all_took = min(all_took, read_word(self.word(i)))
        for i in range(PIECES_EACH):
            piece = &self.own[worker * PIECES_EACH + i]
            if piece.number <= all_took and (best == NULL or piece.number > best.number):
                best = piece
        return best

    cdef bint fill(self, Piece *piece) noexcept nogil:
        # with the next packets; False: bytes are missing, which Python must read
        cdef CaptureState *s = &self.reader.state
        piece.n = 0
        while piece.n == 0 and s.status != CAPTURE_END and s.status != CAPTURE_ERROR:
            slide_window(s, piece.bytes)
            if s.status == CAPTURE_MORE and not self.filled and not refill(self.reader, piece.bytes):
                return False
            self.filled = False
            piece.n = capture_next(s, piece.packets, PIECE_PACKETS, 0)
        return True

    cdef bint make_next(self, uint32_t worker, const qoe_engine *engine) noexcept nogil:
        # with the lock held, which is let go meanwhile; False: not now
        cdef:
            Piece *piece = NULL
            bint full
        if not (self.making or self.hungry or self.closed):
            piece = self.free_piece(worker)
        if piece == NULL:
            return False
        self.making = True
        pthread_mutex_unlock(&self.lock)
        full = self.fill(piece)
        pthread_mutex_lock(&self.lock)
        self.making = False
        if not full:
            self.hungry = True
            pthread_cond_broadcast(&self.changed)
            return True
        self.ring[self.made % self.n_pieces] = piece
        piece.number = self.made + 1
        write_word(&self.made, self.made + 1)
        self.closed = self.closed or self.reader.state.status in (CAPTURE_END, CAPTURE_ERROR)
        pthread_mutex_unlock(&self.lock)
        share_out(piece, engine, self.n_workers)   # while somebody else may make the piece after it
        write_word(&piece.ready, piece.number)
        pthread_mutex_lock(&self.lock)
        pthread_cond_broadcast(&self.changed)
        return True

    cdef bint is_ready(self, uint64_t mine) noexcept nogil:
        return read_word(&self.made) > mine and read_word(&self.ring[mine % self.n_pieces].ready) == mine + 1

    cdef bint is_over(self, uint64_t mine) noexcept nogil:
        return self.closed and not self.making and self.made <= mine

    cdef bint must_wait(self, uint32_t worker, uint64_t mine) noexcept nogil:
        # with the lock held: whether it takes others to go on, who then wake all
        if self.is_ready(mine) or self.is_over(mine):
            return False
        return self.made > mine or self.making or self.hungry or self.free_piece(worker) == NULL

    cdef void rest(self, uint32_t worker, uint64_t mine) noexcept nogil:
        # with the lock held: until the next piece is ready, or something else has changed
        cdef uint32_t _i
        pthread_mutex_unlock(&self.lock)
        for _i in range(SPINS):
            if self.is_ready(mine):
                break
            relax()
        pthread_mutex_lock(&self.lock)
        if self.must_wait(worker, mine):
            write_word(&self.n_asleep, self.n_asleep + 1)
            wait_a_while(&self.changed, &self.lock)   # not for ever: who takes a piece may not see who sleeps
            write_word(&self.n_asleep, self.n_asleep - 1)

    cdef bint next_piece(self, uint32_t worker, const qoe_engine *engine) noexcept nogil:
        # waits for the next piece, or makes it; False: there is none
        cdef uint64_t mine = self.word(worker)[0]
        if read_word(&self.made) >= mine + AHEAD and self.is_ready(mine):
            return True
        pthread_mutex_lock(&self.lock)
        while self.made < mine + AHEAD and self.make_next(worker, engine):
            pass                                  # before they are missed: nobody need wait then
        while not self.is_ready(mine) and not self.is_over(mine):
            self.rest(worker, mine)
            if self.made <= mine:
                self.make_next(worker, engine)
        pthread_mutex_unlock(&self.lock)
        return self.is_ready(mine)

    cdef void take_piece(self, uint32_t worker) noexcept nogil:
        # done with a piece; who waits for pieces to be free sleeps until half of them are, not once a piece
        cdef:
            uint64_t mine = self.word(worker)[0]
            const Piece *piece = self.ring[mine % self.n_pieces]
        if worker == 0 and piece.n_timed:
            self.clock_back += piece.n_back + (piece.first_ns < self.clock_ns)
            self.clock_ns = piece.last_ns
        self.place[worker] = 0
        write_word(self.word(worker), mine + 1)
        if read_word(&self.n_asleep) and read_word(&self.made) - mine <= PIECES_EACH // 2:
            pthread_mutex_lock(&self.lock)
            pthread_cond_broadcast(&self.changed)
            pthread_mutex_unlock(&self.lock)

    cdef uint32_t pick(self, const Piece *piece, uint32_t worker, uint32_t *at, qoe_packet *out) noexcept nogil:
        # the worker's next packets, whose headers are on their way when it takes them: another core may have them
        cdef uint32_t i = at[0], n = 0
        while i < piece.n and n < BURST:
            if piece.shards[i] == worker or piece.shards[i] == EVERYONE:
                out[n] = piece.packets[i]
                prefetch(out[n].data)
                prefetch(out[n].data + 64)
                n += 1
            i += 1
        at[0] = i
        return n

    cdef bint take(self, const Piece *piece, qoe_engine *engine, uint32_t worker) noexcept nogil:
        # takes a piece's packets; True: many ended flows wait, and there is more
        cdef:
            qoe_packet bursts[2][64]
            uint32_t at = self.place[worker], rest, n, n_next, turn = 0
            uint32_t export_at = min(SHARED_EXPORT_AT, (engine.table.n_records - engine.table.max_flows) // 2)
        n = self.pick(piece, worker, &at, bursts[0])
        while n:
            rest = at
            n_next = self.pick(piece, worker, &at, bursts[1 - turn])
            take_burst(engine, bursts[turn], n, NULL)
            if engine.table.n_ended >= export_at \
                    or engine.interim_head - engine.interim_tail > engine.interim_mask // 2:
                self.place[worker] = rest
                return True
            n = n_next
            turn = 1 - turn
        return False

    cdef bint work(self, qoe_engine *engine, uint32_t worker) noexcept nogil:
        # False: no packet is left; True: many ended flows wait
        while self.next_piece(worker, engine):
            if self.take(self.ring[self.word(worker)[0] % self.n_pieces], engine, worker):
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
                pthread_mutex_lock(&self.lock)
                self.n_done += 1
                pthread_cond_broadcast(&self.changed)
                pthread_mutex_unlock(&self.lock)
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
        cdef bint hungry, done
        with nogil:
            pthread_mutex_lock(&self.lock)
            if not self.hungry and self.n_done < self.n_workers:
                wait_a_while(&self.changed, &self.lock)
            hungry, done = self.hungry, self.n_done == self.n_workers
            pthread_mutex_unlock(&self.lock)
        return "end" if done else "more" if hungry else "ready"

    def filled_up(self):
        """Say that the reader was given what `wait` asked for."""
        pthread_mutex_lock(&self.lock)
        self.hungry = False
        self.filled = True
        pthread_cond_broadcast(&self.changed)
        pthread_mutex_unlock(&self.lock)

    def leave(self):
        """Give the reader back, once all workers have ended."""
        slide_window(&self.reader.state, self.reader.start)
        self.reader.borrower = None

    def give_up(self):
        """Say, in a worker that failed, that it takes no more: all end."""
        pthread_mutex_lock(&self.lock)
        self.n_done += 1
        pthread_mutex_unlock(&self.lock)
        self.close()

    def close(self):
        """Let the workers end once they took what was read so far."""
        pthread_mutex_lock(&self.lock)
        self.closed = True
        pthread_cond_broadcast(&self.changed)
        pthread_mutex_unlock(&self.lock)
