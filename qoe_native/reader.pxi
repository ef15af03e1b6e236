# CaptureReader, textually included by engine.pyx: capture.pxd's records in Python's hands.
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdlib cimport calloc, free
from libc.string cimport memmove
from posix.unistd cimport read

from qoe_native.capture cimport (
    CAPTURE_BAD_BYTE_ORDER, CAPTURE_BAD_LENGTH, CAPTURE_BAD_MAGIC, CAPTURE_BAD_TRAILER, CAPTURE_BAD_VERSION,
    CAPTURE_ERROR, CAPTURE_MAX_BLOCK, CAPTURE_MAX_INTERFACES, CAPTURE_MAX_PACKET, CAPTURE_MORE, CAPTURE_READY,
    CAPTURE_UNTIL, CAPTURE_END, CaptureInterface, CaptureState, capture_next,
)


cdef enum:
    READ_BYTES = 262144            # read at once: stays in a core's cache until its packets were taken
    TURN_BYTES = 16777216          # read before Python has a turn (signals, progress)

cdef tuple CAPTURE_STATUS = ("ready", "more", "until", "end", "error")
cdef tuple CAPTURE_FORMAT = (None, "pcap", "pcapng")
cdef dict CAPTURE_ERROR_TEXT = {
    CAPTURE_BAD_MAGIC: "this is neither pcap nor pcapng",
    CAPTURE_BAD_VERSION: "a format version that is not known (pcap is 2.x, pcapng is 1.x)",
    CAPTURE_BAD_LENGTH: "a record's length is impossible",
    CAPTURE_BAD_TRAILER: "a block's length before and after it differ",
    CAPTURE_BAD_BYTE_ORDER: "a section header has no byte-order mark",
}


cdef class CaptureReader:
    """Packets out of the bytes of one pcap or pcapng capture, wherever these come from.

    The reader owns one window of memory, whatever the length of the capture. Write bytes into
    `space()`, tell `commit()` how many, take packets until `status` is "more", and so on; call
    `finish()` when nothing follows. Not to be used from two threads at once.

    Parameters
    ----------
    window_bytes : int
        Size of the window, at least 524,288 (the longest block that is read as one piece).

    Raises
    ------
    ValueError
        `window_bytes` is too small.
    """

    cdef CaptureState state
    cdef object window             # a memoryview, which also keeps the bytearray from being resized
    cdef uint8_t *start
    cdef uint64_t window_bytes
    cdef int fd                    # what refill() reads; -1: nothing
    cdef uint64_t refilled         # bytes since Python had its turn
    cdef object borrower           # keeps the memory alive that the window then lies in

    def __cinit__(self, size_t window_bytes=1048576):
        cdef bytearray memory
        if window_bytes < CAPTURE_MAX_BLOCK:
            raise ValueError(f"window_bytes is {window_bytes}; it must be {CAPTURE_MAX_BLOCK} or more")
        memory = PyByteArray_FromStringAndSize(NULL, window_bytes)
        self.window = memoryview(memory)
        self.start = <uint8_t *> PyByteArray_AS_STRING(memory)
        self.window_bytes = window_bytes
        self.state.window = self.start
        self.fd = -1
        self.state.status = CAPTURE_MORE
        self.state.interfaces = <CaptureInterface *> calloc(CAPTURE_MAX_INTERFACES, sizeof(CaptureInterface))
        if self.state.interfaces == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.state.interfaces)

    def space(self):
        """Return where the next bytes go.

        Moves what is not yet read to the front, so packets handed out in C before are void.

        Returns
        -------
        memoryview
            Writable, of at least one byte once `status` is "more".
        """
        slide_window(&self.state, self.start)
        self.refilled = 0
        return self.window[self.state.end:self.state.end + READ_BYTES]

    def read_from(self, int fd):
        """Let `Engine.consume` read a plain file itself, some 16 MB at a time before it asks for more.

        What makes a read end or fail is left to whoever fills `space()` next, who meets it again; whose
        turn is first. -1 ends it.
        """
        self.fd = fd
        self.refilled = TURN_BYTES

    def commit(self, uint64_t n_bytes):
        """Take `n_bytes` that were written to `space()`.

        Raises
        ------
        ValueError
            More than the space there is, or after `finish()`.
        """
        if n_bytes > len(self.window) - self.state.end or self.state.eof:
            raise ValueError(f"{n_bytes} bytes do not fit, or the capture was said to be finished")
        self.state.end += n_bytes

    def finish(self):
        """Say that nothing follows what was committed."""
        self.state.eof = True

    def next_burst(self, uint32_t max_packets=256, uint64_t until_ns=0):
        """Copy the next packets out of the window.

        Parameters
        ----------
        max_packets : int
            At most so many, up to 65,536; 0 only finds out the format, when there are bytes for that.
        until_ns : int
            Stop before the first packet of this time or later; 0 = no limit.

        Returns
        -------
        data : bytearray
            The captured bytes, packet after packet.
        packets : bytearray
            32 bytes a packet, as ``qoe.schema.PACKET_DTYPE``. Empty: see `status`.

        Raises
        ------
        ValueError
            `max_packets` is more than 65,536.
        """
        cdef:
            uint64_t before = self.state.captured_bytes
            bytearray data, packets
            qoe_packet *out
            uint32_t n
        if max_packets > 65536:
            raise ValueError(f"max_packets is {max_packets}; it must be 65,536 or less")
        packets = PyByteArray_FromStringAndSize(NULL, max_packets * sizeof(qoe_packet))
        out = <qoe_packet *> PyByteArray_AS_STRING(packets)
        with nogil:
            n = capture_next(&self.state, out, max_packets, until_ns)
        data = PyByteArray_FromStringAndSize(NULL, self.state.captured_bytes - before)
        copy_packets(out, n, <uint8_t *> PyByteArray_AS_STRING(data))
        PyByteArray_Resize(packets, n * sizeof(qoe_packet))
        return data, packets

    @property
    def status(self):
        """Why the last call stopped.

        "ready" (it filled its burst), "more" (read on), "until" (the next packet is not older than
        asked), "end" or "error".
        """
        return CAPTURE_STATUS[self.state.status]

    @property
    def format(self):
        """Return "pcap", "pcapng", or None before the first bytes are there."""
        return CAPTURE_FORMAT[self.state.format]

    @property
    def offset_bytes(self):
        """Bytes of the capture that were read into packets or passed over."""
        return self.state.base + self.state.pos

    @property
    def truncated_at_bytes(self):
        """Where the record begins within which the capture ends; None when it ends well."""
        return self.state.truncated_at if self.state.truncated else None

    @property
    def error(self):
        """What makes no sense and where, once `status` is "error"; else None."""
        if self.state.status != CAPTURE_ERROR:
            return None
        return f"corrupt at byte {self.state.error_at:,}: {CAPTURE_ERROR_TEXT[self.state.error]}"

    def link_types(self):
        """Return how many packets there were of each link type.

        Returns
        -------
        dict of int to int
            By LINKTYPE_ number of tcpdump.org; beyond 63 of them, 4,294,967,295 takes the rest.
        """
        return {self.state.link_type[i]: self.state.link_packets[i]
                for i in range(self.state.n_links) if self.state.link_packets[i]}

    def counters(self):
        """Return what was read and passed over so far, by name."""
        cdef CaptureState *s = &self.state
        return {
            "packets": s.packets,
            "captured_bytes": s.captured_bytes,
            "wire_bytes": s.wire_bytes,
            "zero_length": s.zero_length,
            "longer_than_wire": s.longer_than_wire,
            "zero_clock": s.zero_clock,
            "clock_overflow": s.clock_overflow,
            "no_timestamp": s.no_timestamp,
            "no_interface": s.no_interface,
            "oversized": s.oversized,
            "unknown_blocks": s.unknown_blocks,
            "other_blocks": s.other_blocks,
            "sections": s.sections,
            "interfaces": s.n_interfaces_seen,
            "truncated": int(s.truncated),
        }

    def warnings(self):
        """Return, a line each, what the capture leaves to be desired; empty when nothing.

        Returns
        -------
        list of str
        """
        cdef CaptureState *s = &self.state
        said = (
            ("packets that hold no byte", s.zero_length),
            ("packets that hold more bytes than were on the wire", s.longer_than_wire),
            ("packets with a clock of zero", s.zero_clock),
            ("packets later than the year 2262, taken as of 2262", s.clock_overflow),
            ("packets without a time, which took that of the packet before", s.no_timestamp),
            ("packets of an interface that was not described, skipped", s.no_interface),
            (f"packets of more than {CAPTURE_MAX_PACKET:,} captured bytes, skipped", s.oversized),
            ("blocks of an unknown type, skipped", s.unknown_blocks),
        )
        lines = [f"{what}: {n:,}" for what, n in said if n]
        if s.truncated:
            lines.append(f"truncated at byte {s.truncated_at:,}: the record that begins there is cut off")
        if s.status == CAPTURE_ERROR:
            lines.append(f"{self.error}; what follows was not read")
        return lines


cdef inline void slide_window(CaptureState *s, uint8_t *start) noexcept nogil:
    # moves what is unread to the front of a window
    cdef uint64_t left = s.end - s.pos
    memmove(start, s.window + s.pos, left)
    s.window = start
    s.base += s.pos
    s.pos = 0
    s.end = left


cdef bint refill(CaptureReader reader, uint8_t *start, uint64_t most_bytes) noexcept nogil:
    # reads the next bytes into a window without Python; False: it is Python's turn
    cdef:
        CaptureState *s = &reader.state
        ssize_t n_bytes
    if reader.fd < 0 or s.eof:
        return False
    slide_window(s, start)
    n_bytes = read(reader.fd, start + s.end, min(most_bytes, reader.window_bytes - s.end))
    if n_bytes <= 0:
        return False
    reader.refilled += n_bytes
    s.end += n_bytes
    return True


cdef void copy_packets(qoe_packet *packets, uint32_t n, uint8_t *out) noexcept nogil:
    # packs the captured bytes and leaves each packet with their offset where its pointer was
    cdef:
        uint64_t offset = 0
        uint32_t i
    for i in range(n):
        memcpy(out + offset, packets[i].data, packets[i].captured_len)
        (<uint64_t *> &packets[i].data)[0] = offset
        offset += packets[i].captured_len
