// npz.c: see npz.h.
//
// Rooms: zip archives, arrays of numpy, writing.
// Sources: PKWARE APPNOTE 6.3 (zip, zip64), RFC 1951 by way of zlib, numpy/lib/format.py (.npy 1.0 to 3.0).
#include "core/data/npz.h"

#include <ctype.h>   // isdigit
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtoll
#include <string.h>
#include <zlib.h>

#define DEFLATE_RATIO 1100  // deflate's best is 1032 : 1

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

const UfNpyArray* uf_npz_find(const UfNpz* z, const char* name) {
    for (int i = 0; i < z->num_arrays; i++)
        if (!strcmp(z->arrays[i].name, name)) return &z->arrays[i];
    return NULL;
}

static UfStatus fail_npy(const UfNpz* z, const UfNpyArray* a, const char* what) {
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

static UfStatus parse_type(const UfNpz* z, UfNpyArray* a, const char* value) {
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

static UfStatus parse_shape(const UfNpz* z, UfNpyArray* a, const char* value) {
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
static UfStatus parse_npy(const UfNpz* z, UfNpyArray* a, uint64_t size) {
    Bytes b = {a->memory, size};
    if (size < 12 || memcmp(b.data, "\x93NUMPY", 6) || b.data[6] < 1 || b.data[6] > 3)
        return fail_npy(z, a, "is not in numpy's format");
    int width = b.data[6] == 1 ? 2 : 4;
    uint64_t start = 8 + (uint64_t)width, length = number_at(b, 8, width);
    char header[1024];
    if (!inside(b, start, length) || length >= sizeof header) return fail_npy(z, a, "has a damaged header");
    memcpy(header, b.data + start, length);
    header[length] = 0;
    uf_one_line(header);
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

UfStatus uf_npz_read(UfNpz* z, const char* path, const char* data, size_t size, const char* const* names) {
    Zip zip;
    Entry e;
    bool more = true;
    *z = (UfNpz){.path = path};
    UF_TRY(open_zip(&zip, path, data, size));
    for (;;) {
        UF_TRY(next_entry(&zip, &e, &more));
        if (!more) return UF_OK;
        char* suffix = strstr(e.name, ".npy");
        if (!suffix || suffix[4]) continue;
        *suffix = 0;
        int i = 0;
        while (names[i] && strcmp(names[i], e.name)) i++;
        if (!names[i]) continue;
        if (uf_npz_find(z, e.name)) return fail_zip(&zip, "an array is there twice");
        if (z->num_arrays == UF_NPZ_ARRAYS) return fail_zip(&zip, "there are too many arrays");
        UfNpyArray* a = &z->arrays[z->num_arrays++];
        snprintf(a->name, sizeof a->name, "%s", names[i]);
        UF_TRY(unpack(&zip, &e, &a->memory));
        UF_TRY(parse_npy(z, a, e.size));
    }
}

void uf_npz_free(UfNpz* z) {
    for (int i = 0; i < z->num_arrays; i++) uf_free(z->arrays[i].memory);
    z->num_arrays = 0;
}

double uf_npy_at(const UfNpyArray* a, int64_t row, int64_t column, int64_t columns) {
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

// ---- writing ----

static void add_number(UfText* out, uint64_t value, int width) {
    unsigned char bytes[8];
    for (int i = 0; i < width; i++) bytes[i] = (unsigned char)(value >> (8 * i));
    uf_text_add_bytes(out, bytes, (size_t)width);
}

// What both records of a member share, from "version needed" to the length of its name; stored, 1 January 1980.
static void add_member_fields(UfText* out, uint32_t crc, size_t size, size_t name_bytes) {
    add_number(out, 20, 2);
    add_number(out, 0, 4);  // flags; method: stored
    add_number(out, (1 << 5 | 1) << 16, 4);
    add_number(out, crc, 4);
    add_number(out, size, 4);
    add_number(out, size, 4);
    add_number(out, name_bytes, 2);
    add_number(out, 0, 2);  // extra field
}

// The header of a .npy file, version 1: padded so that the data begin at a multiple of 64.
static void add_npy_header(UfText* out, const UfNpyData* a) {
    char shape[64] = "", text[192];
    for (int i = 0; i < a->rank; i++) {
        size_t n = strlen(shape);
        snprintf(shape + n, sizeof shape - n, "%lld%s", (long long)a->dims[i],
                 a->rank == 1 ? ","
                 : i          ? ""
                              : ", ");
    }
    int length = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                          a->type, shape);
    int padded = (10 + length + 1 + 63) / 64 * 64 - 10;
    uf_text_add_bytes(out, "\x93NUMPY\x01\x00", 8);
    add_number(out, (uint64_t)padded, 2);
    uf_text_add(out, "%s%*s\n", text, padded - length - 1, "");
}

UfStatus uf_npz_write(const char* path, const UfNpyData* arrays, int num_arrays) {
    UfText out = {0}, directory = {0};
    for (int i = 0; i < num_arrays; i++) {
        const UfNpyData* a = &arrays[i];
        size_t count = 1, name_bytes = strlen(a->name) + 4;
        UfText member = {0};
        for (int k = 0; k < a->rank; k++) count *= (size_t)a->dims[k];
        add_npy_header(&member, a);
        uf_text_add_bytes(&member, a->data, count * a->item_bytes);
        size_t size = member.length, offset = out.length;
        char* bytes;
        UfStatus status = uf_text_finish(&member, &bytes);
        if (status == UF_OK) {
            uint32_t crc = (uint32_t)crc32_z(0, (const unsigned char*)bytes, size);
            add_number(&out, 0x04034b50, 4);
            add_member_fields(&out, crc, size, name_bytes);
            uf_text_add(&out, "%s.npy", a->name);
            uf_text_add_bytes(&out, bytes, size);
            add_number(&directory, 0x02014b50, 4);
            add_number(&directory, 20, 2);
            add_member_fields(&directory, crc, size, name_bytes);
            add_number(&directory, 0, 8);  // comment, disk, attributes inside
            add_number(&directory, 0, 2);
            add_number(&directory, offset, 4);
            uf_text_add(&directory, "%s.npy", a->name);
        } else if (out.status == UF_OK) {
            out.status = status;
        }
        uf_free(bytes);
    }
    size_t start = out.length, length = directory.length;
    char *data = NULL, *end = NULL;
    UfStatus status = uf_text_finish(&directory, &end);
    uf_text_add_bytes(&out, end, status == UF_OK ? length : 0);
    uf_free(end);
    add_number(&out, 0x06054b50, 4);
    add_number(&out, 0, 4);
    add_number(&out, (uint64_t)num_arrays, 2);
    add_number(&out, (uint64_t)num_arrays, 2);
    add_number(&out, length, 4);
    add_number(&out, start, 4);
    add_number(&out, 0, 2);
    size_t size = out.length;
    UfStatus finished = uf_text_finish(&out, &data);
    if (status == UF_OK) status = finished;
    if (status == UF_OK && size > INT32_MAX)
        status = UF_FAIL(UF_ERR_ARGUMENT, "%s: would have %zu bytes; at most 2 GiB fit", path, size);
    if (status == UF_OK) status = uf_write_file(path, data, size);
    uf_free(data);
    return status;
}
