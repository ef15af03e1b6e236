# LiveRing, textually included by engine.pyx: live.pxd's packets in Python's hands, and into an engine.

from qoe_native.live cimport (
    RING_BUSY, RING_DOWN, RING_EXPORT, RING_IDLE, RING_READY, RING_UNTIL, RingState, monotonic_ns, ring_next, wait_for,
)
from qoe_native.xdp cimport XdpQueue, xdp_desc


cdef tuple RING_STATUS = ("ready", "idle", "busy", "until", "export", "down")


cdef class LiveRing:
    """Packets out of a ring that a socket shares with the kernel: of TPACKET_V3, or of AF_XDP.

    Not to be used from two threads at once; each ring may have a thread of its own.

    Parameters
    ----------
    memory : buffer
        The mapped ring, or the memory of AF_XDP, writable; it is held until `close()`.
    fd : int
        The socket, to wait on.
    block_bytes : int
        Bytes of one block, or chunk; the memory has a whole number of them.
    link_type : int
        LINKTYPE_ number of tcpdump.org of all its packets.
    received, fill : buffer, optional
        The mapped receive and fill rings of AF_XDP, with as many places as there are chunks, a power of two. The
        fill ring already holds all chunks.
    offsets : tuple of 5 int, optional
        Where in them the receive ring's producer, consumer and places are, the fill ring's producer and places.

    Raises
    ------
    ValueError
        The memory is no whole number of blocks, or not aligned; the rings do not fit.
    """

    cdef RingState state
    cdef unsigned char[::1] memory
    cdef unsigned char[::1] received
    cdef unsigned char[::1] fill
    cdef int fd
    cdef bint busy                 # a thread is inside without the GIL

    def __cinit__(self, unsigned char[::1] memory not None, int fd, uint32_t block_bytes, uint32_t link_type,
                  unsigned char[::1] received=None, unsigned char[::1] fill=None, tuple offsets=()):
        if block_bytes < 2048 or memory.shape[0] == 0 or memory.shape[0] % block_bytes:
            raise ValueError(f"{memory.shape[0]} bytes are no whole number of blocks of {block_bytes} (2,048 or more)")
        if <size_t> &memory[0] % 8 or block_bytes % 8:
            raise ValueError("the ring is not aligned to 8 bytes")
        self.memory = memory
        self.fd = fd
        self.state.start = &memory[0]
        self.state.block_bytes = block_bytes
        self.state.n_blocks = memory.shape[0] // block_bytes
        self.state.link_type = link_type
        if received is not None:
            self.received = received
            self.fill = fill
            self.begin_queue(offsets)

    cdef int begin_queue(self, tuple offsets) except -1:
        cdef:
            XdpQueue *q = &self.state.queue
            uint32_t n = self.state.n_blocks
            uint64_t producer, consumer, places, fill_producer, fill_places
        producer, consumer, places, fill_producer, fill_places = offsets
        if n & (n - 1) or max(producer, consumer, places, fill_producer, fill_places) > 0x7FFFFFFF \
                or max(producer + 4, consumer + 4, places + 16 * n) > <uint64_t> self.received.shape[0] \
                or max(fill_producer + 4, fill_places + 8 * n) > <uint64_t> self.fill.shape[0] \
                or (producer | consumer | fill_producer) % 4 or (places | fill_places) % 8:
            raise ValueError(f"the rings do not hold {n} places at {offsets}")
        q.memory = self.state.start
        q.n_bytes = self.memory.shape[0]
        q.mask = n - 1
        q.received = <const xdp_desc *> &self.received[places]
        q.producer = <const uint32_t *> &self.received[producer]
        q.consumer = <uint32_t *> &self.received[consumer]
        q.fill = <uint64_t *> &self.fill[fill_places]
        q.fill_producer = <uint32_t *> &self.fill[fill_producer]
        q.read = q.consumer[0]
        q.filled = q.fill_producer[0]
        self.state.is_queue = True
        return 0

    cdef int check(self) except -1:
        if self.state.start == NULL:
            raise ValueError("the ring is closed")
        if self.busy:
            raise RuntimeError("another thread is reading this ring: give each thread one of its own")
        return 0

    def close(self):
        """Let go of the memory; reading on is an error.

        Raises
        ------
        RuntimeError
            A thread is reading.
        """
        if self.busy:
            raise RuntimeError("a thread is reading this ring: let it end first")
        self.state.start = NULL
        self.memory = self.received = self.fill = None

    def next_burst(self, uint32_t max_packets=256, uint32_t wait_ms=100):
        """Copy the next packets out of the ring.

        Parameters
        ----------
        max_packets : int
            At most so many, 1 to 65,536; fewer do not mean that no more are there.
        wait_ms : int
            Wait so long for the first, milliseconds.

        Returns
        -------
        data : bytearray
            The captured bytes, packet after packet.
        packets : bytearray
            32 bytes a packet, as ``qoe.schema.PACKET_DTYPE``. Empty: see `status`.

        Raises
        ------
        ValueError
            `max_packets` is more than 65,536, or the ring is closed.
        RuntimeError
            Another thread is reading.
        """
        cdef:
            uint64_t before = self.state.captured_bytes
            bytearray data, packets
            qoe_packet *out
            uint32_t n
        if not 1 <= max_packets <= 65536:
            raise ValueError(f"max_packets is {max_packets}; it must be 1 to 65,536")
        self.check()
        packets = PyByteArray_FromStringAndSize(NULL, max_packets * sizeof(qoe_packet))
        out = <qoe_packet *> PyByteArray_AS_STRING(packets)
        self.busy = True
        with nogil:
            n = next_of_ring(&self.state, self.fd, out, max_packets, wait_ms)
        self.busy = False
        data = PyByteArray_FromStringAndSize(NULL, self.state.captured_bytes - before)
        copy_packets(out, n, <uint8_t *> PyByteArray_AS_STRING(data))
        PyByteArray_Resize(packets, n * sizeof(qoe_packet))
        return data, packets

    @property
    def status(self):
        """Why the last call stopped.

        "ready" (call again), "idle" (nothing more came), "busy" (its time is over), "until" (the next packet is
        not older than asked), "export" (the engine's ended flows wait) or "down" (the socket has an error).
        """
        return RING_STATUS[self.state.status]

    def counters(self):
        """Return what was read so far, by name."""
        cdef RingState *s = &self.state
        return {
            "packets": s.packets,
            "captured_bytes": s.captured_bytes,
            "wire_bytes": s.wire_bytes,
            "retagged": s.retagged,
            "late": s.late,
            "malformed": s.malformed,
        }


cdef enum:
    LONGEST_WAIT_MS = 60000        # of one call of the system: then it is asked again
    NONSENSE_NS = 1000000000       # beyond its time for which blocks without a packet are walked through


cdef uint32_t next_of_ring(RingState *s, int fd, qoe_packet *out, uint32_t capacity, uint32_t wait_ms) noexcept nogil:
    # waits for the first packet; n is 0 and s.status says why when none came
    cdef:
        uint64_t deadline_ns = monotonic_ns() + <uint64_t> wait_ms * 1000000
        uint32_t n = 0
    while True:
        n = ring_next(s, out, capacity, 0, 0)
        if n or s.status == RING_IDLE and not wait_until(s, fd, deadline_ns):
            return n
        if monotonic_ns() >= deadline_ns + NONSENSE_NS:   # blocks come, but nothing that is a packet
            return 0


cdef inline bint wait_until(RingState *s, int fd, uint64_t deadline_ns) noexcept nogil:
    # waits for a block; False when none came in time (s.status says why)
    cdef:
        uint64_t now_ns = monotonic_ns()
        int event
    if now_ns >= deadline_ns:
        return False
    event = wait_for(fd, <int> min((deadline_ns - now_ns) // 1000000 + 1, <uint64_t> LONGEST_WAIT_MS))
    if event < 0:
        s.status = RING_DOWN
    return event > 0


cdef void consume_ring(qoe_engine *e, RingState *s, int fd, uint64_t until_ns, uint32_t wait_ms) noexcept nogil:
    # walks ready blocks into the engine for as long as was given; s.status says why it stopped
    cdef:
        qoe_packet burst[64]
        uint64_t deadline_ns = monotonic_ns() + <uint64_t> wait_ms * 1000000
        uint32_t n
    while True:
        n = ring_next(s, burst, BURST, e.now_ns, until_ns)
        if n:
            take_burst(e, burst, n, NULL)
            if host_is_wanted(e):
                s.status = RING_EXPORT
                return
        if s.status == RING_UNTIL:
            return
        if s.status == RING_IDLE:
            if not wait_until(s, fd, deadline_ns):
                return
        elif monotonic_ns() >= deadline_ns:
            s.status = RING_BUSY
            return
