# Packed records as lines of CSV, textually included by engine.pyx. Half of what listing flows cost went
# into text: 27 million cells for 200,000 flows, most of them "0".
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.math cimport isfinite as is_finite
from libc.stdio cimport snprintf

cdef enum CellKind:                # qoe/report/csv.py names the same numbers
    CELL_U1 = 0
    CELL_U2 = 1
    CELL_U4 = 2
    CELL_U8 = 3
    CELL_I2 = 4
    CELL_F4 = 5                    # `decimals` places, fixed
    CELL_ADDRESS = 6               # 16 bytes; `other` is where the IP version is
    CELL_SECONDS = 7               # u8 nanoseconds as seconds with nine places
    CELL_SPAN = 8                  # the same, of the u8 at `other` less the u8 at `offset`, not below 0
    CELL_SUM = 9                   # of two u8, at `offset` and `other`
    CELL_NAME = 10                 # u1, by the table of names
    CELL_BITS_1 = 11               # u1 and u4 whose bits have names, joined by "+"
    CELL_BITS_4 = 12

cdef enum:
    CELL_BYTES = 128               # no cell is longer, bits of any names apart
    TEXT_BYTES = 262144            # of lines handed over at once


cdef struct Cell:
    uint32_t offset, other
    uint16_t table                 # number of its first name
    uint16_t n_names
    uint8_t kind, decimals
    uint16_t reserved


cdef inline int put_unsigned(uint64_t value, char *out) noexcept nogil:
    cdef:
        char digits[20]
        int n = 0, i
    if value < 10:
        out[0] = 48 + <char> value
        return 1
    while value:
        digits[n] = 48 + <char> (value % 10)
        value //= 10
        n += 1
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n


cdef inline int put_fraction(uint64_t value, int places, char *out) noexcept nogil:
    # `value` in units of 10^-places
    cdef:
        uint64_t scale = 1
        int n, i
    for i in range(places):
        scale *= 10
    n = put_unsigned(value // scale, out)
    value %= scale
    out[n] = 46
    for i in range(places):
        scale //= 10
        out[n + 1 + i] = 48 + <char> (value // scale % 10)
    return n + 1 + places


cdef inline int put_float(float value, int places, char *out) noexcept nogil:
    # fixed places without trailing zeros; what does not fit 63 bits so is written with an exponent
    cdef:
        double scaled = value
        int n = 0, i
    if value == 0:
        out[0] = 48
        return 1
    if not is_finite(value):
        return 0
    for i in range(places):
        scaled *= 10
    if not -9e18 < scaled < 9e18:
        return snprintf(out, CELL_BYTES, b"%.9g", <double> value)
    if scaled < 0:
        out[0] = 45
        n = 1
        scaled = -scaled
    n += put_fraction(<uint64_t> (scaled + 0.5), places, out + n)
    while out[n - 1] == 48:
        n -= 1
    return n - 1 if out[n - 1] == 46 else n


cdef inline int put_text(const char *text, char *out) noexcept nogil:
    cdef int n = 0
    while text[n]:
        out[n] = text[n]
        n += 1
    return n


cdef inline int put_bits(uint32_t bits, const char **names, int n_names, char *out) noexcept nogil:
    cdef int n = 0, i
    for i in range(n_names):
        if bits >> i & 1:
            if n:
                out[n] = 43
                n += 1
            n += put_text(names[i], out + n)
    return n


cdef inline int put_named(const Cell *cell, uint32_t value, const char **names, char *out) noexcept nogil:
    if cell.kind != CELL_NAME:
        return put_bits(value, names + cell.table, cell.n_names, out)
    return put_text(names[cell.table + value], out) if value < cell.n_names else put_unsigned(value, out)


cdef inline uint32_t get_u4(const uint8_t *at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t get_u8(const uint8_t *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef int put_cell(const uint8_t *record, const Cell *cell, const char **names, char *out) noexcept nogil:
    cdef:
        const uint8_t *at = record + cell.offset
        const uint8_t *other = record + cell.other
        int kind = cell.kind
        float real
        int16_t small
        uint16_t half
    if kind == CELL_U1:
        return put_unsigned(at[0], out)
    if kind == CELL_U2:
        memcpy(&half, at, 2)
        return put_unsigned(half, out)
    if kind == CELL_U4:
        return put_unsigned(get_u4(at), out)
    if kind == CELL_U8:
        return put_unsigned(get_u8(at), out)
    if kind == CELL_I2:
        memcpy(&small, at, 2)
        if small >= 0:
            return put_unsigned(small, out)
        out[0] = 45
        return 1 + put_unsigned(-<int> small, out + 1)
    if kind == CELL_F4:
        memcpy(&real, at, 4)
        return put_float(real, cell.decimals, out)
    if kind == CELL_ADDRESS:
        return address_text(at, other[0], out)
    if kind == CELL_SECONDS:
        return put_fraction(get_u8(at), 9, out)
    if kind == CELL_SPAN:
        return put_fraction(get_u8(other) - get_u8(at) if get_u8(other) > get_u8(at) else 0, 9, out)
    if kind == CELL_SUM:
        return put_unsigned(get_u8(at) + get_u8(other), out)
    return put_named(cell, get_u4(at) if kind == CELL_BITS_4 else at[0], names, out)


cdef inline uint64_t cell_end(const Cell *cell) noexcept nogil:
    # one past the last byte of the record that a cell reads
    cdef:
        int kind = cell.kind
        uint64_t width = 8, other = cell.other + 8
    if kind == CELL_ADDRESS:
        width, other = 16, cell.other + 1
    elif kind != CELL_SPAN and kind != CELL_SUM:
        other = 0
    if kind in (CELL_U1, CELL_NAME, CELL_BITS_1):
        width = 1
    elif kind in (CELL_U2, CELL_I2):
        width = 2
    elif kind in (CELL_U4, CELL_F4, CELL_BITS_4):
        width = 4
    return max(cell.offset + width, other)


cdef int check_cells(const unsigned char[::1] cells, uint32_t record_bytes, list names) except -1:
    # whether packed ``struct Cell`` lie within the record and their names
    cdef const Cell *cell
    if record_bytes == 0 or cells.shape[0] % sizeof(Cell) or cells.shape[0] == 0:
        raise ValueError("records and cells must be whole")
    cell = <const Cell *> &cells[0]
    for k in range(cells.shape[0] // sizeof(Cell)):
        if cell_end(&cell[k]) > record_bytes or cell[k].table + cell[k].n_names > len(names) or cell[k].decimals > 9:
            raise ValueError(f"cell {k} lies outside the record or its names")
    return 0


cdef const char **name_table(list names) except? NULL:
    # pointers into the texts, which must live on; NULL: no memory
    cdef const char **table = <const char **> malloc((len(names) + 1) * sizeof(char *))
    if table != NULL:
        for k in range(len(names)):
            table[k] = <bytes> names[k]
    return table


cdef class CsvLines:
    """Packed records as lines of CSV; see `qoe.report.csv`.

    Parameters
    ----------
    record_bytes : int
        Size of a record.
    cells : buffer
        What each column shows of a record: packed ``struct Cell``.
    names : list of bytes
        The texts that cells refer to.

    Raises
    ------
    ValueError
        A cell lies outside the record, or its names outside the list.
    """

    cdef Cell *cells
    cdef uint32_t n_cells, record_bytes
    cdef list names
    cdef const char **table
    cdef char *text
    cdef uint64_t room, longest    # bytes of `text`, and of any line

    def __cinit__(self, uint32_t record_bytes, const unsigned char[::1] cells, list names):
        check_cells(cells, record_bytes, names)
        self.record_bytes, self.names = record_bytes, names
        self.n_cells = cells.shape[0] // sizeof(Cell)
        self.table = name_table(names)
        self.cells = <Cell *> malloc(cells.shape[0])
        if self.table == NULL or self.cells == NULL:
            raise MemoryError
        memcpy(self.cells, &cells[0], cells.shape[0])
        self.longest = self.n_cells * CELL_BYTES
        for i in range(self.n_cells):
            for name in names[self.cells[i].table:self.cells[i].table + self.cells[i].n_names]:
                self.longest += len(<bytes> name) + 1
        self.room = max(self.longest, <uint64_t> TEXT_BYTES)
        self.text = <char *> malloc(self.room)
        if self.text == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.cells)
        free(self.table)
        free(self.text)

    cdef uint64_t fill(self, const uint8_t *records, uint32_t n, uint32_t *done) noexcept nogil:
        # as many lines as surely fit, from record `done` on
        cdef:
            uint64_t end = 0
            const uint8_t *record
            uint32_t k
        while done[0] < n and end + self.longest <= self.room:
            record = records + <uint64_t> done[0] * self.record_bytes
            for k in range(self.n_cells):
                end += put_cell(record, &self.cells[k], self.table, self.text + end)
                self.text[end] = 44 if k + 1 < self.n_cells else 10
                end += 1
            done[0] += 1
        return end

    def write(self, const unsigned char[::1] records, write):
        """Hand the lines of packed records to `write`, in pieces that are void when it returns."""
        cdef:
            uint32_t n = records.shape[0] // self.record_bytes, done = 0
            uint64_t end
        if records.shape[0] % self.record_bytes:
            raise ValueError("records must be whole")
        while done < n:
            with nogil:
                end = self.fill(&records[0], n, &done)
            write(PyMemoryView_FromMemory(self.text, end, PyBUF_READ))
