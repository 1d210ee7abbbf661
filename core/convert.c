// convert.c: CSV and .npz to D4RL-layout HDF5 (`unifloral convert IN OUT`).
//
// Rooms: table, CSV, zip archives, arrays of numpy, layouts, convert.
// Sources: PKWARE APPNOTE 6.3 (zip, zip64), RFC 1951 by way of zlib, numpy/lib/format.py (.npy 1.0 to 3.0),
// NeoRL's and OGBench's loaders (the meaning of their arrays). Pickled arrays are refused, never executed.
#include <ctype.h>   // isdigit
#include <locale.h>  // newlocale
#include <math.h>    // isfinite
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod_l
#include <string.h>
#include <strings.h>  // strcasecmp
#include <zlib.h>

#include "dataset.h"

#define MAX_COLUMNS (1 << 14)
#define DEFLATE_RATIO 1100  // deflate's best is 1032 : 1

// ---- table ----

typedef struct Table {  // what a file holds, as D4RL names it
    int64_t num_rows;
    int obs_dim, action_dim;
    float *observations, *actions, *rewards, *next_observations;
    uint8_t *terminals, *timeouts;  // Nullable: next_observations, timeouts
} Table;

static void free_table(Table* t) {
    void* const parts[] = {t->observations,      t->actions,   t->rewards,
                           t->next_observations, t->terminals, t->timeouts};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) uf_free(parts[i]);
    *t = (Table){0};
}

// Text of a file that may go into a message stays on one line.
static const char* printable(char* text) {
    for (char* c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
    return text;
}

static UfStatus alloc_table(Table* t, int64_t num_rows, int obs_dim, int action_dim, bool has_next,
                            bool has_timeouts) {
    size_t rows = (size_t)num_rows;
    t->num_rows = num_rows;
    t->obs_dim = obs_dim;
    t->action_dim = action_dim;
    UF_TRY(UF_ALLOC(&t->observations, rows * (size_t)obs_dim, "observations"));
    UF_TRY(UF_ALLOC(&t->actions, rows * (size_t)action_dim, "actions"));
    UF_TRY(UF_ALLOC(&t->rewards, rows, "rewards"));
    UF_TRY(UF_ALLOC(&t->terminals, rows, "terminals"));
    if (has_timeouts) UF_TRY(UF_ALLOC(&t->timeouts, rows, "timeouts"));
    if (has_next) UF_TRY(UF_ALLOC(&t->next_observations, rows * (size_t)obs_dim, "next_observations"));
    return UF_OK;
}

// ---- CSV ----

typedef enum Field { OBSERVATION, ACTION, REWARD, TERMINAL, TIMEOUT, NEXT_OBSERVATION, NUM_FIELDS } Field;
typedef struct Column {
    int field, index;
} Column;  // field < 0: not read

static const char* const field_names[NUM_FIELDS] = {"observations", "actions",  "rewards",
                                                    "terminals",    "timeouts", "next_observations"};

typedef struct Csv {
    const char* path;
    Column* columns;
    int num_columns;
    int sizes[NUM_FIELDS];  // columns of each field
    locale_t locale;        // numbers have a point, whatever the user's locale
} Csv;

// A cell from *text to the next comma or the end of its line, without blanks and quotes around it. *text
// moves behind it.
static char* next_cell(char** text, char* end) {
    char* cell = *text;
    char* stop = memchr(cell, ',', (size_t)(end - cell));
    if (!stop) stop = end;
    *text = stop < end ? stop + 1 : NULL;
    while (stop > cell && isspace((unsigned char)stop[-1])) stop--;
    while (cell < stop && isspace((unsigned char)*cell)) cell++;
    if (stop - cell >= 2 && *cell == '"' && stop[-1] == '"') cell++, stop--;
    *stop = 0;
    return cell;
}

// "obs_3" -> observation 3. The index is -1 where the name has none.
static Column parse_column(const char* cell) {
    static const struct {
        const char* name;
        Field field;
    } names[] = {{"observations", OBSERVATION},
                 {"observation", OBSERVATION},
                 {"obs", OBSERVATION},
                 {"actions", ACTION},
                 {"action", ACTION},
                 {"rewards", REWARD},
                 {"reward", REWARD},
                 {"terminals", TERMINAL},
                 {"terminal", TERMINAL},
                 {"dones", TERMINAL},
                 {"done", TERMINAL},
                 {"timeouts", TIMEOUT},
                 {"timeout", TIMEOUT},
                 {"next_observations", NEXT_OBSERVATION},
                 {"next_observation", NEXT_OBSERVATION},
                 {"next_obs", NEXT_OBSERVATION}};
    size_t length = strlen(cell), stem = length;
    while (stem > 0 && isdigit((unsigned char)cell[stem - 1])) stem--;
    bool numbered = stem < length && length - stem < 7 && stem > 0 && cell[stem - 1] == '_';
    int index = numbered ? atoi(cell + stem) : -1;
    if (numbered)
        stem--;
    else
        stem = length;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == stem && !strncasecmp(cell, names[i].name, stem))
            return (Column){(int)names[i].field, index};
    return (Column){-1, -1};
}

static UfStatus fail_header(const Csv* csv, int column, const char* cell) {
    return UF_FAIL(UF_ERR_FORMAT,
                   "%s: line 1, column %d: unknown name '%.60s'; expected observations_0, ..., actions_0, "
                   "..., "
                   "rewards, terminals, and maybe timeouts, next_observations_0, ...",
                   csv->path, column + 1, cell);
}

// Places one column; vectors need an index, and each place is taken once.
static UfStatus place_column(Csv* csv, int column, const char* cell, Column place) {
    bool is_vector = place.field == OBSERVATION || place.field == ACTION || place.field == NEXT_OBSERVATION;
    if (place.field < 0 || is_vector != (place.index >= 0)) return fail_header(csv, column, cell);
    if (!is_vector) place.index = 0;
    for (int i = 0; i < column; i++)
        if (csv->columns[i].field == place.field && csv->columns[i].index == place.index)
            return UF_FAIL(UF_ERR_FORMAT, "%s: line 1: columns %d and %d are both %s %d", csv->path, i + 1,
                           column + 1, field_names[place.field], place.index);
    csv->columns[column] = place;
    csv->sizes[place.field]++;
    return UF_OK;
}

static UfStatus check_header(const Csv* csv) {
    for (int field = OBSERVATION; field <= TERMINAL; field++)
        if (!csv->sizes[field])
            return UF_FAIL(UF_ERR_FORMAT, "%s: line 1: there is no column for %s", csv->path,
                           field_names[field]);
    for (int i = 0; i < csv->num_columns; i++) {
        Column c = csv->columns[i];
        if (c.field >= 0 && c.index >= csv->sizes[c.field])
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: line 1: %s_%d is there, but only %d columns of %s; expected 0 to %d",
                           csv->path, field_names[c.field], c.index, csv->sizes[c.field],
                           field_names[c.field], csv->sizes[c.field] - 1);
    }
    if (csv->sizes[NEXT_OBSERVATION] && csv->sizes[NEXT_OBSERVATION] != csv->sizes[OBSERVATION])
        return UF_FAIL(UF_ERR_FORMAT, "%s: line 1: %d columns of next_observations, %d of observations",
                       csv->path, csv->sizes[NEXT_OBSERVATION], csv->sizes[OBSERVATION]);
    return UF_OK;
}

static UfStatus parse_header(Csv* csv, char* line, char* end) {
    csv->num_columns = 1;
    for (const char* c = line; c < end; c++) csv->num_columns += *c == ',';
    if (csv->num_columns > MAX_COLUMNS)
        return UF_FAIL(UF_ERR_FORMAT, "%s: line 1 has %d columns, expected at most %d", csv->path,
                       csv->num_columns, MAX_COLUMNS);
    UF_TRY(UF_ALLOC(&csv->columns, csv->num_columns, "columns"));
    for (int i = 0; i < csv->num_columns; i++) {
        char* cell = next_cell(&line, end);
        csv->columns[i] = (Column){-1, -1};
        printable(cell);
        if (!cell[0]) continue;  // pandas' index column has no name
        UF_TRY(place_column(csv, i, cell, parse_column(cell)));
    }
    return check_header(csv);
}

// A number, or for flags also true and false.
static bool parse_number(const Csv* csv, const char* cell, bool is_flag, double* value) {
    if (is_flag && !strcasecmp(cell, "true")) return *value = 1, true;
    if (is_flag && !strcasecmp(cell, "false")) return *value = 0, true;
    char* end;
    *value = strtod_l(cell, &end, csv->locale);
    return end != cell && !*end && isfinite((float)*value);
}

static void store(Table* t, int64_t row, Column place, double value) {
    size_t i = (size_t)row;
    switch (place.field) {
        case OBSERVATION: t->observations[i * (size_t)t->obs_dim + (size_t)place.index] = (float)value; break;
        case ACTION: t->actions[i * (size_t)t->action_dim + (size_t)place.index] = (float)value; break;
        case REWARD: t->rewards[i] = (float)value; break;
        case TERMINAL: t->terminals[i] = value != 0; break;
        case TIMEOUT: t->timeouts[i] = value != 0; break;
        default: t->next_observations[i * (size_t)t->obs_dim + (size_t)place.index] = (float)value; break;
    }
}

static UfStatus parse_row(const Csv* csv, Table* t, int64_t row, int64_t line, char* text, char* end) {
    for (int i = 0; i < csv->num_columns; i++) {
        double value;
        Column place = csv->columns[i];
        if (!text)
            return UF_FAIL(UF_ERR_FORMAT, "%s: line %lld has %d cells, expected %d", csv->path,
                           (long long)line, i, csv->num_columns);
        char* cell = next_cell(&text, end);
        if (place.field < 0) continue;
        if (!parse_number(csv, cell, place.field == TERMINAL || place.field == TIMEOUT, &value))
            return UF_FAIL(UF_ERR_FORMAT, "%s: line %lld, column %d (%s): '%.40s' is not a finite number",
                           csv->path, (long long)line, i + 1, field_names[place.field], printable(cell));
        store(t, row, place, value);
    }
    if (text)
        return UF_FAIL(UF_ERR_FORMAT, "%s: line %lld has more than %d cells", csv->path, (long long)line,
                       csv->num_columns);
    return UF_OK;
}

static bool is_blank(const char* text, const char* end) {
    while (text < end && isspace((unsigned char)*text)) text++;
    return text == end;
}

static char* line_end(char* text, char* end) {
    char* stop = memchr(text, '\n', (size_t)(end - text));
    return stop ? stop : end;
}

static UfStatus parse_lines(Csv* csv, Table* t, char* text, char* end) {
    if (end - text >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) text += 3;  // byte order mark
    char* stop = line_end(text, end);
    UF_TRY(parse_header(csv, text, stop));
    int64_t num_rows = 0, row = 0, line = 2;
    char* body = stop < end ? stop + 1 : end;
    for (char* c = body; c < end; c = line_end(c, end) + 1) num_rows += !is_blank(c, line_end(c, end));
    if (!num_rows) return UF_FAIL(UF_ERR_FORMAT, "%s: there are no rows below the header", csv->path);
    UF_TRY(alloc_table(t, num_rows, csv->sizes[OBSERVATION], csv->sizes[ACTION],
                       csv->sizes[NEXT_OBSERVATION] > 0, csv->sizes[TIMEOUT] > 0));
    for (char* c = body; c < end; c = stop + 1, line++) {
        stop = line_end(c, end);
        if (is_blank(c, stop)) continue;
        UF_TRY(parse_row(csv, t, row++, line, c, stop));
    }
    return UF_OK;
}

static UfStatus read_csv(Table* t, const char* path, char* text, size_t num_bytes) {
    Csv csv = {.path = path, .locale = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    if (!csv.locale) return UF_FAIL(UF_ERR_MEMORY, "out of memory for a locale");
    UfStatus status = parse_lines(&csv, t, text, text + num_bytes);
    freelocale(csv.locale);
    uf_free(csv.columns);
    return status;
}

// ---- zip archives ----

typedef struct Bytes {
    const unsigned char* data;
    size_t size;
} Bytes;

// Little-endian number of `width` bytes at `at`; the callers have checked that it lies inside.
static uint64_t number_at(Bytes b, size_t at, int width) {
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | b.data[at + (size_t)i];
    return value;
}

static bool inside(Bytes b, uint64_t at, uint64_t size) { return at <= b.size && size <= b.size - at; }

typedef struct Entry {
    char name[128];
    int method;  // 0 stored, 8 deflated
    uint32_t crc;
    uint64_t packed, size, offset;
} Entry;

typedef struct Zip {
    const char* path;
    Bytes bytes;
    uint64_t next, end;  // the central directory, from the entry to read next
} Zip;

static UfStatus fail_zip(const Zip* zip, const char* what) {
    return UF_FAIL(UF_ERR_FORMAT, "%s: %s; is the file complete?", zip->path, what);
}

// Finds the central directory by the record at the end of the file.
static UfStatus open_zip(Zip* zip, const char* path, const char* data, size_t size) {
    *zip = (Zip){.path = path, .bytes = {(const unsigned char*)data, size}};
    Bytes b = zip->bytes;
    if (size < 22) return fail_zip(zip, "it is no zip archive");
    size_t at = size - 22, lowest = at > 65535 ? at - 65535 : 0;
    while (number_at(b, at, 4) != 0x06054b50 && at > lowest) at--;
    if (number_at(b, at, 4) != 0x06054b50) return fail_zip(zip, "the zip archive has no directory");
    uint64_t length = number_at(b, at + 12, 4), start = number_at(b, at + 16, 4);
    if (start == 0xFFFFFFFF ||
        length == 0xFFFFFFFF) {  // zip64: a locator before this record points to another
        uint64_t record =
            at >= 20 && number_at(b, at - 20, 4) == 0x07064b50 ? number_at(b, at - 12, 8) : size;
        if (!inside(b, record, 56) || number_at(b, record, 4) != 0x06064b50)
            return fail_zip(zip, "the zip archive has no directory");
        length = number_at(b, record + 40, 8);
        start = number_at(b, record + 48, 8);
    }
    if (!inside(b, start, length)) return fail_zip(zip, "the directory of the zip archive is out of bounds");
    zip->next = start;
    zip->end = start + length;
    return UF_OK;
}

// Sizes that do not fit 32 bits stand in an extra field, in this order and only those.
static bool read_zip64(Bytes b, uint64_t at, uint64_t end, Entry* e) {
    uint64_t* const wanted[] = {&e->size, &e->packed, &e->offset};
    while (at + 4 <= end) {
        uint64_t id = number_at(b, at, 2), field_end = at + 4 + number_at(b, at + 2, 2);
        at += 4;
        if (field_end > end) return false;
        for (int i = 0; i < 3 && id == 1; i++) {
            if (*wanted[i] != 0xFFFFFFFF) continue;
            if (at + 8 > field_end) return false;
            *wanted[i] = number_at(b, at, 8);
            at += 8;
        }
        at = field_end;
    }
    return true;
}

// *more is false at the end of the directory.
static UfStatus next_entry(Zip* zip, Entry* e, bool* more) {
    Bytes b = {zip->bytes.data, zip->end};
    *more = zip->next < zip->end;
    if (!*more) return UF_OK;
    uint64_t at = zip->next;
    if (!inside(b, at, 46) || number_at(b, at, 4) != 0x02014b50)
        return fail_zip(zip, "the directory of the zip archive is damaged");
    uint64_t name_bytes = number_at(b, at + 28, 2), extra_bytes = number_at(b, at + 30, 2);
    uint64_t comment_bytes = number_at(b, at + 32, 2);
    if (!inside(b, at + 46, name_bytes + extra_bytes + comment_bytes))
        return fail_zip(zip, "the directory of the zip archive is damaged");
    bool encrypted = number_at(b, at + 8, 2) & 1;
    *e = (Entry){.method = encrypted ? -1 : (int)number_at(b, at + 10, 2),
                 .crc = (uint32_t)number_at(b, at + 16, 4),
                 .packed = number_at(b, at + 20, 4),
                 .size = number_at(b, at + 24, 4),
                 .offset = number_at(b, at + 42, 4)};
    size_t copied = name_bytes < sizeof e->name ? name_bytes : sizeof e->name - 1;
    for (size_t i = 0; i < copied; i++) {
        unsigned char c = b.data[at + 46 + i];
        e->name[i] = c >= ' ' && c < 127 ? (char)c : '?';
    }
    if (!read_zip64(b, at + 46 + name_bytes, at + 46 + name_bytes + extra_bytes, e))
        return fail_zip(zip, "the directory of the zip archive is damaged");
    zip->next = at + 46 + name_bytes + extra_bytes + comment_bytes;
    return UF_OK;
}

static bool inflate_bytes(unsigned char* out, uint64_t size, const unsigned char* in, uint64_t packed) {
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
    int result = Z_OK;
    stream.next_in = (unsigned char*)(uintptr_t)in;
    stream.next_out = out;
    while (result == Z_OK) {  // zlib counts in 32 bits
        uint64_t in_left = packed - (uint64_t)(stream.next_in - in),
                 out_left = size - (uint64_t)(stream.next_out - out);
        uInt in_now = in_left < (1u << 30) ? (uInt)in_left : 1u << 30,
             out_now = out_left < (1u << 30) ? (uInt)out_left : 1u << 30;
        stream.avail_in = in_now;
        stream.avail_out = out_now;
        result = inflate(&stream, Z_NO_FLUSH);
        if (result == Z_OK && stream.avail_in == in_now && stream.avail_out == out_now) break;  // no progress
    }
    bool whole = result == Z_STREAM_END && stream.next_out == out + size;
    inflateEnd(&stream);
    return whole;
}

// The bytes of a member, unpacked. Free with uf_free.
static UfStatus unpack(const Zip* zip, const Entry* e, unsigned char** out) {
    Bytes b = zip->bytes;
    *out = NULL;
    if (e->method != 0 && e->method != 8)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: '%s' is packed in a way that is not read; save it with numpy.savez_compressed",
                       zip->path, e->name);
    if (!inside(b, e->offset, 30) || number_at(b, e->offset, 4) != 0x04034b50)
        return fail_zip(zip, "a member of the zip archive is out of bounds");
    uint64_t data = e->offset + 30 + number_at(b, e->offset + 26, 2) + number_at(b, e->offset + 28, 2);
    bool sane = e->method ? e->size / DEFLATE_RATIO <= e->packed : e->size == e->packed;
    if (!inside(b, data, e->packed) || !sane || e->size == 0)
        return fail_zip(zip, "a member of the zip archive is out of bounds");
    UF_TRY(UF_ALLOC(out, e->size, "an array"));
    bool good = true;
    if (e->method)
        good = inflate_bytes(*out, e->size, b.data + data, e->packed);
    else
        memcpy(*out, b.data + data, e->size);
    if (good && crc32_z(0, *out, e->size) == e->crc) return UF_OK;
    uf_free(*out);
    *out = NULL;
    return UF_FAIL(UF_ERR_FORMAT,
                   "%s: '%s' is damaged: its checksum is wrong; copy or download the file again", zip->path,
                   e->name);
}

// ---- arrays of numpy ----

typedef struct Array {
    char name[64];
    unsigned char* memory;  // the whole member
    const unsigned char* data;
    char kind;  // f i u b
    int item_bytes, rank;
    bool fortran;
    int64_t dims[8], count;
} Array;

typedef struct Archive {
    const char* path;
    Array arrays[16];
    int num_arrays;
} Archive;

static const Array* find_array(const Archive* z, const char* name) {
    for (int i = 0; i < z->num_arrays; i++)
        if (!strcmp(z->arrays[i].name, name)) return &z->arrays[i];
    return NULL;
}

static UfStatus fail_npy(const Archive* z, const Array* a, const char* what) {
    return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' %s", z->path, a->name, what);
}

// What follows "'key':" in the header, a Python literal, or NULL.
static const char* header_value(const char* header, const char* key) {
    const char* found = strstr(header, key);
    if (!found) return NULL;
    found += strlen(key);
    while (*found == ' ' || *found == ':') found++;
    return found;
}

static bool is_one_of(char c, const char* set) { return c && strchr(set, c); }

static UfStatus parse_type(const Archive* z, Array* a, const char* value) {
    if (value && (!strncmp(value, "'|O", 3) || !strncmp(value, "'O", 2)))
        return fail_npy(z, a, "holds pickled Python objects, which are not read; save it as plain numbers");
    bool known = value && value[0] == '\'' && is_one_of(value[1], "<|=") && is_one_of(value[2], "fiub") &&
                 is_one_of(value[3], "1248") && value[4] == '\'';
    if (known) {
        a->kind = value[2];
        a->item_bytes = value[3] - '0';
        known = a->kind == 'f' ? a->item_bytes >= 4 : a->kind == 'b' ? a->item_bytes == 1 : true;
        if (known) return UF_OK;
    }
    char type[24] = "";
    if (value) snprintf(type, sizeof type, "%.*s", (int)strcspn(value, ",}\n"), value);
    return UF_FAIL(UF_ERR_FORMAT,
                   "%s: array '%s' is of type %s; expected little-endian f4, f8, i1, i2, i4, i8, u1 or bool",
                   z->path, a->name, type);
}

static UfStatus parse_shape(const Archive* z, Array* a, const char* value) {
    a->count = 1;
    if (!value || *value++ != '(') return fail_npy(z, a, "has no shape");
    while (*value && *value != ')') {
        char* end;
        if (!isdigit((unsigned char)*value)) return fail_npy(z, a, "has no shape");
        long long dim = strtoll(value, &end, 10);
        if (a->rank == 8 || dim <= 0 || __builtin_mul_overflow(a->count, (int64_t)dim, &a->count))
            return fail_npy(z, a, "is empty or has an absurd shape");
        a->dims[a->rank++] = dim;
        value = end + strspn(end, ", ");
    }
    return UF_OK;
}

// Finds type, shape and order in the header of a .npy member of `size` bytes.
static UfStatus parse_npy(const Archive* z, Array* a, uint64_t size) {
    Bytes b = {a->memory, size};
    if (size < 12 || memcmp(b.data, "\x93NUMPY", 6) || b.data[6] < 1 || b.data[6] > 3)
        return fail_npy(z, a, "is not in numpy's format");
    int width = b.data[6] == 1 ? 2 : 4;
    uint64_t start = 8 + (uint64_t)width, length = number_at(b, 8, width);
    char header[1024];
    if (!inside(b, start, length) || length >= sizeof header) return fail_npy(z, a, "has a damaged header");
    memcpy(header, b.data + start, length);
    header[length] = 0;
    printable(header);
    const char* fortran = header_value(header, "'fortran_order'");
    UF_TRY(parse_type(z, a, header_value(header, "'descr'")));
    UF_TRY(parse_shape(z, a, header_value(header, "'shape'")));
    a->fortran = fortran && !strncmp(fortran, "True", 4) && a->rank > 1;
    if (a->fortran && a->rank != 2)
        return fail_npy(z, a, "is in Fortran order; save numpy.ascontiguousarray of it");
    a->data = b.data + start + length;
    if ((size - start - length) / (uint64_t)a->item_bytes != (uint64_t)a->count ||
        (size - start - length) % (uint64_t)a->item_bytes)
        return fail_npy(z, a, "is not as long as its shape says; is the file complete?");
    return UF_OK;
}

// Reads the members whose names the layouts know; others (infos, simulator states) are passed over.
static UfStatus read_archive(Archive* z, const char* path, const char* data, size_t size) {
    static const char* const known[] = {
        "observations", "actions", "rewards",  "terminals", "timeouts", "next_observations",
        "masks",        "obs",     "next_obs", "action",    "reward",   "done",
        "index",        "qpos",    NULL};
    Zip zip;
    Entry e;
    bool more = true;
    z->path = path;
    UF_TRY(open_zip(&zip, path, data, size));
    for (;;) {
        UF_TRY(next_entry(&zip, &e, &more));
        if (!more) return UF_OK;
        char* suffix = strstr(e.name, ".npy");
        if (!suffix || suffix[4]) continue;
        *suffix = 0;
        int i = 0;
        while (known[i] && strcmp(known[i], e.name)) i++;
        if (!known[i]) continue;
        if (find_array(z, e.name)) return fail_zip(&zip, "an array is there twice");
        Array* a = &z->arrays[z->num_arrays++];
        snprintf(a->name, sizeof a->name, "%s", known[i]);
        UF_TRY(unpack(&zip, &e, &a->memory));
        UF_TRY(parse_npy(z, a, e.size));
    }
}

static double item_at(const Array* a, int64_t row, int64_t column, int64_t columns) {
    int64_t rows = a->dims[0], i = a->fortran ? column * rows + row : row * columns + column;
    const unsigned char* p = a->data + (size_t)i * (size_t)a->item_bytes;
    Bytes b = {p, (size_t)a->item_bytes};
    uint64_t bits = number_at(b, 0, a->item_bytes);
    if (a->kind == 'f' && a->item_bytes == 4) {
        float value;
        memcpy(&value, p, sizeof value);
        return (double)value;
    }
    if (a->kind == 'f') {
        double value;
        memcpy(&value, p, sizeof value);
        return value;
    }
    if (a->kind == 'i')
        return (double)((int64_t)(bits << (64 - 8 * a->item_bytes)) >> (64 - 8 * a->item_bytes));
    return (double)bits;
}

// ---- layouts ----

typedef struct Source {  // the arrays of an archive under D4RL's names
    const Archive* archive;
    const Array *observations, *actions, *rewards, *terminals, *timeouts, *next_observations, *masks, *index;
    bool is_ogbench;
} Source;

static UfStatus check_array(const Source* s, const Array* a, const char* name, int rank) {
    const char* path = s->archive->path;
    if (!a) return UF_FAIL(UF_ERR_FORMAT, "%s: there is no array '%s'", path, name);
    bool fits = rank == 2 ? a->rank == 2 : a->rank == 1 || (a->rank == 2 && a->dims[1] == 1);
    if (!fits)
        return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' has %d dimensions, expected %s", path, a->name, a->rank,
                       rank == 2 ? "(rows, size)" : "one number a row");
    if (a != s->index && a->dims[0] != s->observations->dims[0])
        return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' has %lld rows, '%s' has %lld", path, a->name,
                       (long long)a->dims[0], s->observations->name, (long long)s->observations->dims[0]);
    return UF_OK;
}

static UfStatus check_source(const Source* s) {
    bool neorl = s->observations && !strcmp(s->observations->name, "obs");
    UF_TRY(check_array(s, s->observations, "observations", 2));
    UF_TRY(check_array(s, s->actions, neorl ? "action" : "actions", 2));
    if (!s->rewards && s->is_ogbench)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: there is no array 'rewards'; OGBench computes them for each task: save a "
                       "single-task dataset",
                       s->archive->path);
    UF_TRY(check_array(s, s->rewards, neorl ? "reward" : "rewards", 1));
    UF_TRY(check_array(s, s->terminals, neorl ? "done" : "terminals", 1));
    if (s->timeouts) UF_TRY(check_array(s, s->timeouts, "timeouts", 1));
    if (s->masks) UF_TRY(check_array(s, s->masks, "masks", 1));
    if (s->index) UF_TRY(check_array(s, s->index, "index", 1));
    if (!s->next_observations) return UF_OK;
    UF_TRY(check_array(s, s->next_observations, "next_observations", 2));
    if (s->next_observations->dims[1] != s->observations->dims[1])
        return UF_FAIL(UF_ERR_FORMAT, "%s: array '%s' has %lld columns, '%s' has %lld", s->archive->path,
                       s->next_observations->name, (long long)s->next_observations->dims[1],
                       s->observations->name, (long long)s->observations->dims[1]);
    return UF_OK;
}

// NeoRL has names of its own; OGBench shares D4RL's, and is known by its masks or simulator states.
static Source find_source(const Archive* z) {
    if (find_array(z, "obs"))
        return (Source){.archive = z,
                        .observations = find_array(z, "obs"),
                        .actions = find_array(z, "action"),
                        .rewards = find_array(z, "reward"),
                        .terminals = find_array(z, "done"),
                        .next_observations = find_array(z, "next_obs"),
                        .index = find_array(z, "index")};
    Source s = {.archive = z,
                .observations = find_array(z, "observations"),
                .actions = find_array(z, "actions"),
                .rewards = find_array(z, "rewards"),
                .terminals = find_array(z, "terminals"),
                .timeouts = find_array(z, "timeouts"),
                .next_observations = find_array(z, "next_observations"),
                .masks = find_array(z, "masks")};
    s.is_ogbench = s.masks || (find_array(z, "qpos") && !s.timeouts);
    return s;
}

static UfStatus copy_row(const Source* s, const Array* a, float* out, int64_t row) {
    int64_t columns = a->rank > 1 ? a->dims[1] : 1;
    for (int64_t j = 0; j < columns; j++) {
        out[j] = (float)item_at(a, row, j, columns);
        if (!isfinite(out[j]))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: array '%s' has a number that is not finite at row %lld, column %lld; remove "
                           "the row",
                           s->archive->path, a->name, (long long)row, (long long)j);
    }
    return UF_OK;
}

static bool flag_at(const Array* a, int64_t row) { return a && item_at(a, row, 0, 1) != 0; }

// NeoRL's index holds the rows where trajectories start: the rows before them, and the last, are cut unless
// terminal.
static void mark_starts(const Source* s, Table* t) {
    t->timeouts[t->num_rows - 1] = !t->terminals[t->num_rows - 1];
    for (int64_t i = 0; i < s->index->dims[0]; i++) {
        double start = item_at(s->index, i, 0, 1);
        if (start < 1 || start >= (double)t->num_rows) continue;
        int64_t last = (int64_t)start - 1;
        t->timeouts[last] = !t->terminals[last];
    }
}

// OGBench's raw files end each trajectory with a row that is only a state (terminals 1): it becomes the next
// state of the row before, which a task's masks (0: solved) may call terminal and which is cut there
// otherwise.
static bool is_final_state(const Source* s, int64_t row) {
    return s->is_ogbench && !s->next_observations && flag_at(s->terminals, row);
}

static void set_flags(const Source* s, Table* t, int64_t out, int64_t row) {
    if (!s->is_ogbench) {
        t->terminals[out] = flag_at(s->terminals, row);
        if (s->timeouts) t->timeouts[out] = flag_at(s->timeouts, row);
        return;
    }
    bool cut = s->next_observations ? flag_at(s->terminals, row) : is_final_state(s, row + 1);
    t->terminals[out] = s->masks && !flag_at(s->masks, row);
    t->timeouts[out] = cut && !t->terminals[out];
}

static UfStatus fill_table(const Source* s, Table* t) {
    int64_t rows = s->observations->dims[0], out = 0;
    size_t num_obs = (size_t)t->obs_dim, num_actions = (size_t)t->action_dim;
    const Array* next = s->next_observations ? s->next_observations : s->observations;
    int64_t shift = s->next_observations ? 0 : 1;
    for (int64_t row = 0; row < rows && out < t->num_rows; row++) {
        if (is_final_state(s, row)) continue;
        size_t i = (size_t)out;
        UF_TRY(copy_row(s, s->observations, t->observations + i * num_obs, row));
        UF_TRY(copy_row(s, s->actions, t->actions + i * num_actions, row));
        UF_TRY(copy_row(s, s->rewards, t->rewards + i, row));
        if (t->next_observations) UF_TRY(copy_row(s, next, t->next_observations + i * num_obs, row + shift));
        set_flags(s, t, out++, row);
    }
    if (s->index) mark_starts(s, t);
    return UF_OK;
}

static UfStatus build_table(const Archive* z, Table* t) {
    Source s = find_source(z);
    UF_TRY(check_source(&s));
    int64_t rows = s.observations->dims[0], kept = 0;
    bool shifted = s.is_ogbench && !s.next_observations;
    for (int64_t row = 0; row < rows; row++) kept += !is_final_state(&s, row);
    if (shifted && !is_final_state(&s, rows - 1)) kept--;  // the last row has no next state
    if (kept < 1) return UF_FAIL(UF_ERR_FORMAT, "%s: there is no transition in it", z->path);
    if (s.observations->dims[1] > INT32_MAX || s.actions->dims[1] > INT32_MAX)
        return UF_FAIL(UF_ERR_FORMAT, "%s: the arrays have an absurd number of columns", z->path);
    UF_TRY(alloc_table(t, kept, (int)s.observations->dims[1], (int)s.actions->dims[1],
                       s.next_observations || shifted, s.timeouts || s.is_ogbench || s.index));
    return fill_table(&s, t);
}

static UfStatus read_npz(Table* t, const char* path, const char* data, size_t size) {
    Archive* z = NULL;
    UF_TRY(UF_ALLOC(&z, 1, "arrays"));
    UfStatus status = read_archive(z, path, data, size);
    if (status == UF_OK) status = build_table(z, t);
    for (int i = 0; i < z->num_arrays; i++) uf_free(z->arrays[i].memory);
    uf_free(z);
    return status;
}

// ---- convert ----

static bool ends_with(const char* text, const char* suffix) {
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && !strcasecmp(text + length - tail, suffix);
}

static UfStatus write_table(const Table* t, const char* input, const char* output) {
    char recipe[256];
    const char* slash = strrchr(input, '/');
    snprintf(recipe, sizeof recipe, "unifloral convert %.200s", slash ? slash + 1 : input);
    UfDatasetWriter writer = {.num_rows = t->num_rows,
                              .obs_dim = t->obs_dim,
                              .action_dim = t->action_dim,
                              .observations = t->observations,
                              .actions = t->actions,
                              .rewards = t->rewards,
                              .next_observations = t->next_observations,
                              .terminals = t->terminals,
                              .timeouts = t->timeouts,
                              .recipe = recipe};
    return uf_dataset_write(output, &writer);
}

UfStatus uf_dataset_convert(const char* input, const char* output) {
    Table t = {0};
    char* data = NULL;
    size_t size = 0;
    if (!input || !output) return UF_FAIL(UF_ERR_ARGUMENT, "convert needs an input and an output file");
    bool csv = ends_with(input, ".csv"), npz = ends_with(input, ".npz");
    if (!csv && !npz)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: cannot be converted; expected a .csv or .npz file", input);
    UF_TRY(uf_read_file(input, &data, &size));
    UfStatus status = csv ? read_csv(&t, input, data, size) : read_npz(&t, input, data, size);
    uf_free(data);
    if (status == UF_OK) status = write_table(&t, input, output);
    free_table(&t);
    return status;
}
