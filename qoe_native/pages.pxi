# Columns as Parquet column chunks, textually included by engine.pyx after columns.pxi. An array of a column
# that is full becomes a page; the pages of a row group wait, encoded, until it is written.
from libc.stdint cimport int64_t

from qoe_native.capture cimport bswap64
from qoe_native.parquet cimport (
    DATA_PAGE, DELTA_BINARY_PACKED, DELTA_BLOCK, DICTIONARY_PAGE, PAGE_HEADER_BYTES, LEVELS_RLE, PLAIN, RLE_DICTIONARY,
    bits_of, put_delta_begin, put_delta_block, put_hybrid, put_integer, put_no_nulls, put_page_header, put_run,
    put_varint, put_zigzag,
)


cdef enum:
    DECIMAL_BYTES = 9              # of a 20-digit decimal
    PARQUET_INT32 = 1              # enum Type
    PARQUET_INT64 = 2
    PARQUET_FLOAT = 4
    PARQUET_BYTE_ARRAY = 6
    PARQUET_FIXED = 7


cdef inline bint is_text(int kind) noexcept nogil:
    return kind in (CELL_ADDRESS, CELL_NAME, CELL_BITS_1, CELL_BITS_4)


cdef inline int physical_type(int kind) noexcept nogil:
    if is_text(kind):
        return PARQUET_BYTE_ARRAY
    if kind == CELL_SECONDS or kind == CELL_SPAN:
        return PARQUET_FIXED
    if kind == CELL_F4:
        return PARQUET_FLOAT
    return PARQUET_INT64 if staged_bytes(kind) == 8 else PARQUET_INT32


cdef inline bint is_plain(const Column *c) noexcept nogil:
    # whether what no dictionary holds is plain
    return physical_type(c.cell.kind) not in (PARQUET_INT32, PARQUET_INT64)


cdef inline uint8_t *put_string(const Column *c, const void *values, uint32_t i, const char **names,
                                uint8_t *out) noexcept nogil:
    # the text of value `i` of an array as this column stages them, after its length
    cdef:
        const Address *address = &(<const Address *> values)[i]
        uint32_t n
    if c.cell.kind == CELL_ADDRESS:
        n = address_text(<const uint8_t *> address.half, <int> address.version, <char *> out + 4)
    else:
        n = put_named(&c.cell, (<const uint32_t *> values)[i], names, <char *> out + 4)
    memcpy(out, &n, 4)
    return out + 4 + n


cdef uint8_t *put_words_delta(const uint32_t *words, uint32_t n, uint8_t *out) noexcept nogil:
    cdef:
        uint64_t deltas[128]
        uint32_t i, size, start = 1
    out = put_delta_begin(n, <int32_t> words[0], out)
    while start < n:
        size = min(n - start, <uint32_t> DELTA_BLOCK)
        for i in range(size):
            deltas[i] = <uint64_t> <int64_t> <int32_t> (words[start + i] - words[start + i - 1])
        out = put_delta_block(deltas, size, out)
        start += size
    return out


cdef uint8_t *put_longs_delta(const uint64_t *longs, uint32_t n, uint8_t *out) noexcept nogil:
    cdef:
        uint64_t deltas[128]
        uint32_t i, size, start = 1
    out = put_delta_begin(n, <int64_t> longs[0], out)
    while start < n:
        size = min(n - start, <uint32_t> DELTA_BLOCK)
        for i in range(size):
            deltas[i] = longs[start + i] - longs[start + i - 1]
        out = put_delta_block(deltas, size, out)
        start += size
    return out


cdef uint8_t *put_decimals(const uint64_t *longs, uint32_t n, uint8_t *out) noexcept nogil:
    cdef:
        uint64_t swapped
        uint32_t i
    for i in range(n):
        swapped = bswap64(longs[i])
        out[0] = 0
        memcpy(out + 1, &swapped, 8)
        out += DECIMAL_BYTES
    return out


cdef uint8_t *put_values(const Column *c, const void *values, uint32_t n, const char **names,
                         uint8_t *out) noexcept nogil:
    # plain
    cdef uint32_t i
    if is_text(c.cell.kind):
        for i in range(n):
            out = put_string(c, values, i, names, out)
        return out
    if staged_bytes(c.cell.kind) == 8:
        return put_decimals(<const uint64_t *> values, n, out)
    memcpy(out, values, 4 * <uint64_t> n)
    return out + 4 * <uint64_t> n


cdef uint8_t *put_coded(Column *c, uint16_t *codes, uint8_t *out) noexcept nogil:
    # what is staged, by the dictionary; NULL: some of it has no place there
    cdef:
        uint32_t n = c.n_staged
        bint one = c.cell.kind != CELL_ADDRESS and are_alike(<const uint32_t *> c.staged, n)
        int code, width
    if one:
        code = code_of_word(c, <const uint32_t *> c.staged, 0)
        if code < 0:
            return NULL
        codes[0] = code
    elif not (code_addresses(c, n, codes) if c.cell.kind == CELL_ADDRESS else code_words(c, n, codes)):
        return NULL
    width = max(bits_of(c.n_values - 1), 1)
    out[0] = width
    return put_run(codes[0], n, width, out + 1) if one else put_hybrid(codes, n, width, out + 1)


cdef uint8_t *put_page(Column *c, const char **names, uint16_t *codes, uint8_t *out, int *encoding) noexcept nogil:
    # the body of a data page of what is staged
    cdef:
        int physical = physical_type(c.cell.kind)
        uint32_t n = c.n_staged
        uint8_t *end
    out = put_no_nulls(n, out)
    if c.values != NULL and not c.given_up:
        end = put_coded(c, codes, out)
        if end != NULL:
            c.coded = True
            encoding[0] = RLE_DICTIONARY
            return end
        c.given_up = True
    c.uncoded = True
    encoding[0] = DELTA_BINARY_PACKED
    if physical == PARQUET_INT32:
        return put_words_delta(<const uint32_t *> c.staged, n, out)
    if physical == PARQUET_INT64:
        return put_longs_delta(<const uint64_t *> c.staged, n, out)
    encoding[0] = PLAIN
    return put_values(c, c.staged, n, names, out)


cdef bint append_page(Column *c, int kind, uint32_t n_values, int encoding, const uint8_t *body,
                      uint64_t n_bytes) noexcept nogil:
    # False: there is no memory
    cdef:
        uint64_t needed = c.n_bytes + PAGE_HEADER_BYTES + n_bytes
        uint8_t *at
    if needed > c.room_bytes:
        at = <uint8_t *> realloc(c.pages, needed + needed // 2)
        if at == NULL:
            return False
        c.pages = at
        c.room_bytes = needed + needed // 2
    at = put_page_header(kind, <uint32_t> n_bytes, n_values, encoding, c.pages + c.n_bytes)
    memcpy(at, body, n_bytes)
    c.n_bytes = at + n_bytes - c.pages
    return True


cdef bytes chunk_metadata(const Column *c, bytes name, uint64_t n_rows, uint64_t offset, uint64_t dictionary_bytes):
    # struct ColumnChunk of a chunk that begins at `offset` of the file
    cdef:
        uint8_t begin[64]
        uint8_t end[96]
        uint8_t *at = put_integer(0x26, 0, begin)
        uint64_t n_bytes = dictionary_bytes + c.n_bytes
    at[0] = 0x1C
    at = put_integer(0x15, physical_type(c.cell.kind), at + 1)
    at[0] = 0x19
    at[1] = (1 + c.coded * 2 + (c.uncoded and not is_plain(c))) << 4 | 5
    at = put_zigzag(PLAIN, at + 2)
    if c.coded:
        at = put_zigzag(LEVELS_RLE, at)
        at = put_zigzag(RLE_DICTIONARY, at)
    if c.uncoded and not is_plain(c):
        at = put_zigzag(DELTA_BINARY_PACKED, at)
    at[0] = 0x19
    at[1] = 0x18
    head = begin[:put_varint(len(name), at + 2) - begin]
    at = put_integer(0x15, 0, end)
    at = put_integer(0x16, n_rows, at)
    at = put_integer(0x16, n_bytes, at)
    at = put_integer(0x16, n_bytes, at)
    at = put_integer(0x26, offset + dictionary_bytes, at)
    if dictionary_bytes:
        at = put_integer(0x26, offset, at)
    at[0] = at[1] = 0
    return head + name + end[:at + 2 - end]


cdef void forget(Column *c) noexcept nogil:
    # of a row group that was written
    c.n_bytes = 0
    c.coded = c.uncoded = c.given_up = False
    if c.n_values:
        c.n_values = 0
        memset(c.small, 0, sizeof(c.small))
        memset(c.slots, 0, SLOTS_A_VALUE * c.room_values * sizeof(uint16_t))


cdef inline uint32_t first_page_rows(uint32_t column) noexcept nogil:
    # so that pages are full one after another, not all at once: work comes in small pieces
    return PAGE_ROWS // 16 * (1 + column % 16)


cdef class ColumnPages:
    """Packed records as the column chunks of Parquet row groups; see `qoe.report.parquet`.

    Parameters
    ----------
    record_bytes : int
        Size of a record.
    cells : buffer
        What each column shows of a record: packed ``struct Cell`` (text.pxi).
    names : list of bytes
        The texts that cells refer to.
    labels : list of bytes
        The name of each column.

    Raises
    ------
    ValueError
        A cell lies outside the record.
    """

    cdef Column *columns
    cdef uint32_t n_columns, record_bytes
    cdef list labels, names
    cdef const char **table
    cdef uint16_t *codes
    cdef uint8_t *staged
    cdef uint8_t *page
    cdef readonly uint64_t n_rows
    cdef bint busy                 # a thread is inside without the GIL

    def __cinit__(self, uint32_t record_bytes, const unsigned char[::1] cells, list names, list labels):
        cdef uint64_t longest
        check_cells(cells, record_bytes, names)
        longest = 64 + sum(len(name) + 1 for name in names)
        self.n_columns, self.record_bytes, self.labels, self.names = len(labels), record_bytes, labels, names
        if <uint64_t> cells.shape[0] != self.n_columns * sizeof(Cell):
            raise ValueError("a label a cell is needed")
        self.table = name_table(names)
        self.codes = <uint16_t *> malloc((PAGE_ROWS + 8) * sizeof(uint16_t))
        self.page = <uint8_t *> malloc(longest * MOST_ADDRESSES)      # of the pages, a dictionary is the longest
        self.columns = <Column *> calloc(self.n_columns, sizeof(Column))
        self.staged = <uint8_t *> malloc(self.n_columns * (PAGE_ROWS * sizeof(Address) + STAGGER_BYTES))
        if self.table == NULL or self.codes == NULL or self.page == NULL or self.columns == NULL or self.staged == NULL:
            raise MemoryError
        self.prepare(<const Cell *> &cells[0])

    cdef int prepare(self, const Cell *cells) except -1:
        cdef:
            uint8_t *staged = self.staged
            int width
        for i in range(self.n_columns):
            self.columns[i].cell = cells[i]
            self.columns[i].staged = staged
            width = staged_bytes(cells[i].kind)
            staged += PAGE_ROWS * width + STAGGER_BYTES
            self.columns[i].page_rows = first_page_rows(i)
            if width != 8 and not grow_dictionary(&self.columns[i]):
                raise MemoryError
        return 0

    def __dealloc__(self):
        if self.columns != NULL:
            for i in range(self.n_columns):
                free(self.columns[i].values)
                free(self.columns[i].slots)
                free(self.columns[i].pages)
        free(self.columns)
        free(self.table)
        free(self.codes)
        free(self.staged)
        free(self.page)

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("another thread is using these pages: give each thread its own")
        self.busy = True
        return 0

    cdef bint encode(self, Column *c) noexcept nogil:
        # makes a page of what is staged; False: there is no memory
        cdef:
            int encoding
            uint8_t *end = put_page(c, self.table, self.codes, self.page, &encoding)
        if not append_page(c, DATA_PAGE, c.n_staged, encoding, self.page, end - self.page):
            return False
        c.n_staged = 0
        c.page_rows = PAGE_ROWS
        return True

    cdef bint take(self, const uint8_t *records, uint32_t n) noexcept nogil:
        cdef:
            uint32_t at = 0, size, i
            Column *c
        while at < n:
            size = min(n - at, <uint32_t> (BLOCK_ROWS - self.n_rows % BLOCK_ROWS))
            for i in range(self.n_columns):
                c = &self.columns[i]
                stage(c, records + <uint64_t> at * self.record_bytes, size, self.record_bytes)
                if c.n_staged == c.page_rows and not self.encode(c):
                    return False
            at += size
            self.n_rows += size
        return True

    def add(self, const unsigned char[::1] records):
        """Take packed records, without the GIL."""
        cdef:
            uint32_t n = records.shape[0] // self.record_bytes
            bint done
        if records.shape[0] % self.record_bytes:
            raise ValueError("records must be whole")
        if n == 0:
            return
        self.enter()
        with nogil:
            done = self.take(&records[0], n)
        self.busy = False
        if not done:
            raise MemoryError

    def write(self, write, uint64_t offset):
        """Write what was added as the columns of a row group, and begin anew.

        Parameters
        ----------
        write : callable
            Takes the bytes, in pieces.
        offset : int
            Where in the file the first of them will lie.

        Returns
        -------
        n_bytes : int
            How many were written.
        chunks : bytes
            ``struct ColumnChunk`` of all columns, for the file's footer.
        """
        self.enter()
        try:
            return self.write_columns(write, offset)
        finally:
            self.busy = False

    cdef tuple write_columns(self, write, uint64_t offset):
        cdef:
            uint64_t start = offset, dictionary_bytes
            Column *c
        chunks = []
        for i in range(self.n_columns):
            c = &self.columns[i]
            if c.n_staged and not self.encode(c):
                raise MemoryError
            dictionary_bytes = self.write_dictionary(write, c) if c.coded else 0
            write(PyMemoryView_FromMemory(<char *> c.pages, c.n_bytes, PyBUF_READ))
            chunks.append(chunk_metadata(c, self.labels[i], self.n_rows, offset, dictionary_bytes))
            offset += dictionary_bytes + c.n_bytes
            forget(c)
            c.page_rows = first_page_rows(i)
        self.n_rows = 0
        return offset - start, b"".join(chunks)

    cdef uint64_t write_dictionary(self, write, const Column *c) except 0:
        cdef:
            uint8_t *values = self.page + PAGE_HEADER_BYTES
            uint32_t n_bytes = <uint32_t> (put_values(c, c.values, c.n_values, self.table, values) - values)
            uint8_t header[PAGE_HEADER_BYTES]
            uint64_t n_header = put_page_header(DICTIONARY_PAGE, n_bytes, c.n_values, PLAIN, header) - header
        write(header[:n_header])
        write(PyMemoryView_FromMemory(<char *> values, n_bytes, PyBUF_READ))
        return n_header + n_bytes
