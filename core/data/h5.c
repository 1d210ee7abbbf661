// h5.c: HDF5 with one-line errors.
//
// Rooms: reasons, links, describing a dataset, reading, attributes, lists, files, writing.
// Sources: the HDF5 1.10 reference manual; the order of the checks before a read is the one that survived
// truncated, flipped and crafted files: link, class, rank, sizes, filters, storage, and only then memory.
#include "core/data/h5.h"

#include <ctype.h>  // isdigit
#include <errno.h>
#include <fcntl.h>  // open
#include <stdarg.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // qsort
#include <string.h>
#include <sys/stat.h>  // stat
#include <unistd.h>    // access, close, unlink

#define MAX_RANK 8
#define MAX_NAME_BYTES 512
#define MAX_MEMBERS 10000000                // of a group
#define MAX_CHUNK_BYTES ((int64_t)1 << 30)  // one chunk is held in memory when it is inflated
#define MAX_STRING_BYTES ((size_t)1 << 24)
#define SPARSE_BYTES ((int64_t)64 << 20)  // what a dataset may claim beyond what its file can hold compressed
#define DEFLATE_RATIO 1100                // deflate's best is 1032 : 1
#define BLOCK_ITEMS ((int64_t)1 << 18)    // 1 MiB of float32: the block of a strided read, if chunks allow
#define BLOCK_LIMIT ((int64_t)1 << 20)    // 4 MiB: its bound
#define WRITE_CHUNK_BYTES ((int64_t)256 << 10)
#define DEFAULT_CACHE_BYTES ((int64_t)1 << 20)  // HDF5's chunk cache

// ---- reasons ----

// Per thread in a thread-safe build; so cheap that every entry calls it, which also survives a caller that
// turned it on again.
void uf_h5_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

#define REASON_BYTES 160

// Of what the system refused HDF5 says "file write failed: time = ..., error message = '...', ...": the words
// between the quotes are the reason.
static herr_t first_reason(unsigned depth, const H5E_error2_t* error, void* context) {
    static const char quoted[] = "error message = '";
    char* text = context;
    (void)depth;
    if (text[0] || !error->desc) return 0;
    const char* message = strstr(error->desc, quoted);
    const char* start = message ? message + sizeof quoted - 1 : error->desc;
    const char* end = message ? strchr(start, '\'') : NULL;
    snprintf(text, REASON_BYTES, "%.*s", end ? (int)(end - start) : REASON_BYTES, start);
    return 0;
}

// The innermost description on HDF5's stack. To be called before any other HDF5 function, which would clear
// it.
static const char* h5_reason(char text[REASON_BYTES]) {
    text[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, text);
    for (char* c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = ' ';
    return text[0] ? text : "HDF5 gives no reason";
}

static UfStatus fail_read(const UfH5* h5, const char* name) {
    char reason[REASON_BYTES];
    h5_reason(reason);
    return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' cannot be read (%s); is the file damaged?", h5->path, name,
                   reason);
}

static UfStatus fail_write(const UfH5* h5, const char* name) {
    char reason[REASON_BYTES];
    h5_reason(reason);
    return UF_FAIL(UF_ERR_IO, "%s: '%s' cannot be written (%s); is the disk full?", h5->path, name, reason);
}

// ---- links ----

typedef enum LinkState { LINK_ABSENT, LINK_BROKEN, LINK_HARD, LINK_SOFT, LINK_EXTERNAL } LinkState;

static bool is_root(const char* name) { return !name[0] || (name[0] == '/' && !name[1]); }

// Looks at each part of a path, and stops at the first that is no hard link: following it could leave the
// file or not end.
static LinkState link_state(const UfH5* h5, const char* name) {
    char prefix[MAX_NAME_BYTES];
    size_t length = strlen(name);
    if (length >= sizeof prefix) return LINK_ABSENT;
    for (size_t i = 1; i <= length; i++) {
        if (name[i - 1] == '/' || (i < length && name[i] != '/')) continue;
        memcpy(prefix, name, i);
        prefix[i] = 0;
        H5L_info_t info;
        htri_t there = H5Lexists(h5->file, prefix, H5P_DEFAULT);
        if (there <= 0) return there < 0 ? LINK_BROKEN : LINK_ABSENT;
        if (H5Lget_info(h5->file, prefix, &info, H5P_DEFAULT) < 0) return LINK_BROKEN;
        if (info.type == H5L_TYPE_SOFT) return LINK_SOFT;
        if (info.type != H5L_TYPE_HARD) return LINK_EXTERNAL;
    }
    return LINK_HARD;
}

static UfStatus check_link(const UfH5* h5, const char* name) {
    switch (link_state(h5, name)) {
        case LINK_HARD: return UF_OK;
        case LINK_BROKEN: return fail_read(h5, name);
        case LINK_SOFT:
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: '%s' is a soft link, which is not followed; copy the data into its place",
                           h5->path, name);
        case LINK_EXTERNAL:
            return UF_FAIL(
                UF_ERR_FORMAT,
                "%s: '%s' is a link to another file, which is not followed; copy the data into this "
                "file",
                h5->path, name);
        default: return UF_FAIL(UF_ERR_FORMAT, "%s: there is no '%s' in the file", h5->path, name);
    }
}

bool uf_h5_exists(const UfH5* h5, const char* name) {
    uf_h5_quiet();
    return is_root(name) || link_state(h5, name) >= LINK_HARD;
}

// ---- describing a dataset ----

typedef struct Opened {  // a dataset and what was learnt from it; ids are < 0 while absent
    hid_t dataset, space, type, layout;
    UfH5Shape shape;
    bool wants_text, chunked;
    int64_t chunk[MAX_RANK];
} Opened;

static void close_opened(Opened* o) {
    if (o->layout >= 0) H5Pclose(o->layout);
    if (o->type >= 0) H5Tclose(o->type);
    if (o->space >= 0) H5Sclose(o->space);
    if (o->dataset >= 0) H5Dclose(o->dataset);
    o->layout = o->type = o->space = o->dataset = -1;
}

// "(2100, 3)"
static const char* shape_text(const UfH5Shape* shape, char* text, size_t bytes) {
    size_t used = (size_t)snprintf(text, bytes, "(");
    for (int i = 0; i < shape->rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, i ? ", %lld" : "%lld", (long long)shape->dims[i]);
    if (used < bytes) snprintf(text + used, bytes - used, shape->rank == 1 ? ",)" : ")");
    return text;
}

// h5py stores bool as an enum of FALSE and TRUE over int8.
static bool type_is_bool(hid_t type) {
    if (H5Tget_class(type) != H5T_ENUM || H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
    char* first = H5Tget_member_name(type, 0);
    bool is_bool = first && (!strcmp(first, "FALSE") || !strcmp(first, "TRUE"));
    H5free_memory(first);
    return is_bool;
}

static UfStatus check_type(const UfH5* h5, const char* name, Opened* o) {
    H5T_class_t class = H5Tget_class(o->type);
    UfH5Shape* shape = &o->shape;
    shape->item_bytes = H5Tget_size(o->type);
    shape->is_float = class == H5T_FLOAT;
    shape->is_integer = class == H5T_INTEGER;
    shape->is_bool = type_is_bool(o->type);
    if (o->wants_text) {
        if (class == H5T_STRING && H5Tis_variable_str(o->type) == 0) return UF_OK;
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' holds %s, expected texts of a fixed length", h5->path, name,
                       class == H5T_STRING ? "texts of any length" : "something else");
    }
    if (class != H5T_FLOAT && class != H5T_INTEGER && class != H5T_ENUM)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' holds %s, expected numbers", h5->path, name,
                       class == H5T_STRING ? "text" : "something else");
    if (shape->item_bytes < 1 || shape->item_bytes > 8)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has numbers of %zu bytes, expected 1 to 8", h5->path,
                       name, shape->item_bytes);
    return UF_OK;
}

static UfStatus check_dims(const UfH5* h5, const char* name, Opened* o) {
    UfH5Shape* shape = &o->shape;
    hsize_t dims[H5S_MAX_RANK] = {0};
    H5S_class_t extent = H5Sget_simple_extent_type(o->space);
    shape->rank = H5Sget_simple_extent_ndims(o->space);
    if (extent == H5S_NULL) return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' is empty", h5->path, name);
    if (shape->rank < 0 || H5Sget_simple_extent_dims(o->space, dims, NULL) < 0) return fail_read(h5, name);
    if (shape->rank > MAX_RANK)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has %d dimensions, expected at most %d", h5->path,
                       name, shape->rank, MAX_RANK);
    shape->count = 1;
    bool overflow = false;
    for (int i = 0; i < shape->rank; i++) {
        overflow |= dims[i] > (hsize_t)INT64_MAX;
        shape->dims[i] = overflow ? INT64_MAX : (int64_t)dims[i];
        overflow |= __builtin_mul_overflow(shape->count, shape->dims[i], &shape->count);
    }
    char text[128];
    shape_text(shape, text, sizeof text);
    if (overflow || shape->count > INT64_MAX / 64)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' claims an absurd shape %s; is the file damaged?",
                       h5->path, name, text);
    if (shape->count == 0)
        return UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' is empty: its shape is %s", h5->path, name, text);
    return UF_OK;
}

// A few bytes of file can claim any number of rows: refuse what could not even be stored compressed.
static UfStatus check_claim(const UfH5* h5, const char* name, const Opened* o) {
    hsize_t file_bytes = 0;
    if (H5Fget_filesize(h5->file, &file_bytes) < 0) return fail_read(h5, name);
    int64_t claimed = o->shape.count * (int64_t)o->shape.item_bytes;
    if ((claimed - SPARSE_BYTES) / DEFLATE_RATIO <= (int64_t)file_bytes) return UF_OK;
    char text[128];
    return UF_FAIL(UF_ERR_FORMAT,
                   "%s: dataset '%s' claims shape %s, %.3g GB, in a file of %llu bytes; is the file damaged?",
                   h5->path, name, shape_text(&o->shape, text, sizeof text), (double)claimed * 1e-9,
                   (unsigned long long)file_bytes);
}

static UfStatus check_filters(const UfH5* h5, const char* name, const Opened* o) {
    int num_filters = H5Pget_nfilters(o->layout);
    if (num_filters < 0) return fail_read(h5, name);
    for (int i = 0; i < num_filters; i++) {
        char label[64] = "";
        unsigned flags = 0, config = 0;
        size_t num_values = 0;
        H5Z_filter_t id =
            H5Pget_filter2(o->layout, (unsigned)i, &flags, &num_values, NULL, sizeof label, label, &config);
        if (id < 0) return fail_read(h5, name);
        if (H5Zfilter_avail(id) > 0) continue;
        for (char* c = label; *c; c++)
            if ((unsigned char)*c < ' ') *c = '?';
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' is compressed with filter '%s' (%d), which this HDF5 does not have; "
                       "rewrite the file with gzip (h5py: compression=\"gzip\")",
                       h5->path, name, label[0] ? label : "unnamed", (int)id);
    }
    return UF_OK;
}

static UfStatus check_storage(const UfH5* h5, const char* name, Opened* o) {
    H5D_layout_t layout = H5Pget_layout(o->layout);
    if (layout == H5D_VIRTUAL || H5Pget_external_count(o->layout) > 0)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' keeps its data in other files, which are not read; copy the data "
                       "into "
                       "this file",
                       h5->path, name);
    if (layout != H5D_CHUNKED) return layout < 0 ? fail_read(h5, name) : UF_OK;
    hsize_t chunk[MAX_RANK] = {0};
    if (H5Pget_chunk(o->layout, MAX_RANK, chunk) != o->shape.rank) return fail_read(h5, name);
    int64_t bytes = (int64_t)o->shape.item_bytes;
    bool absurd = false;
    for (int i = 0; i < o->shape.rank; i++) {
        o->chunk[i] = (int64_t)chunk[i];
        absurd |=
            o->chunk[i] <= 0 || __builtin_mul_overflow(bytes, o->chunk[i], &bytes) || bytes > MAX_CHUNK_BYTES;
    }
    if (absurd)
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: dataset '%s' is stored in chunks of more than 1 GiB; rewrite it with smaller "
                       "ones",
                       h5->path, name);
    o->chunked = true;
    return UF_OK;
}

static UfStatus inspect(const UfH5* h5, const char* name, Opened* o) {
    o->space = H5Dget_space(o->dataset);
    if (o->space < 0) return fail_read(h5, name);
    o->type = H5Dget_type(o->dataset);
    if (o->type < 0) return fail_read(h5, name);
    o->layout = H5Dget_create_plist(o->dataset);
    if (o->layout < 0) return fail_read(h5, name);
    UF_TRY(check_type(h5, name, o));
    UF_TRY(check_dims(h5, name, o));
    UF_TRY(check_filters(h5, name, o));
    UF_TRY(check_storage(h5, name, o));
    return check_claim(h5, name, o);
}

// Opens a dataset that is fit to be read. On failure nothing is left open.
static UfStatus open_any(const UfH5* h5, const char* name, bool wants_text, Opened* o) {
    uf_h5_quiet();
    *o = (Opened){.dataset = -1, .space = -1, .type = -1, .layout = -1, .wants_text = wants_text};
    UF_TRY(check_link(h5, name));
    hid_t object = H5Oopen(h5->file, name, H5P_DEFAULT);
    if (object < 0) return fail_read(h5, name);
    if (H5Iget_type(object) != H5I_DATASET) {
        H5Oclose(object);
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is a group, expected a dataset", h5->path, name);
    }
    o->dataset = object;
    UfStatus status = inspect(h5, name, o);
    if (status != UF_OK) close_opened(o);
    return status;
}

static UfStatus open_dataset(const UfH5* h5, const char* name, Opened* o) {
    return open_any(h5, name, false, o);
}

UfStatus uf_h5_shape(const UfH5* h5, const char* name, UfH5Shape* shape) {
    Opened o;
    *shape = (UfH5Shape){0};
    UF_TRY(open_dataset(h5, name, &o));
    *shape = o.shape;
    close_opened(&o);
    return UF_OK;
}

// ---- reading ----

static hid_t memory_type(UfH5Type type) {
    switch (type) {
        case UF_H5_FLOAT: return H5T_NATIVE_FLOAT;
        case UF_H5_DOUBLE: return H5T_NATIVE_DOUBLE;
        case UF_H5_INT32: return H5T_NATIVE_INT32;
        case UF_H5_INT64: return H5T_NATIVE_INT64;
        default: return H5T_NATIVE_UINT8;
    }
}

UfStatus uf_h5_read(const UfH5* h5, const char* name, UfH5Type type, void* data, int64_t count) {
    Opened o;
    char text[128];
    UF_TRY(open_dataset(h5, name, &o));
    UfStatus status = UF_OK;
    if (o.shape.count != count)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has shape %s, expected %lld numbers", h5->path,
                         name, shape_text(&o.shape, text, sizeof text), (long long)count);
    else if (H5Dread(o.dataset, memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = fail_read(h5, name);
    close_opened(&o);
    return status;
}

UfStatus uf_h5_read_texts(const UfH5* h5, const char* name, size_t bytes, char* texts, int64_t count) {
    Opened o;
    char text[128];
    UF_TRY(open_any(h5, name, true, &o));
    UfStatus status = UF_OK;
    hid_t memory = H5Tcopy(H5T_C_S1);
    if (o.shape.rank != 1 || o.shape.count != count)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has shape %s, expected %lld texts", h5->path, name,
                         shape_text(&o.shape, text, sizeof text), (long long)count);
    else if (o.shape.item_bytes > bytes)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has texts of %zu bytes, expected at most %zu", h5->path,
                         name, o.shape.item_bytes, bytes);
    else if (memory < 0 || H5Tset_size(memory, bytes) < 0 ||
             H5Dread(o.dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) < 0)
        status = fail_read(h5, name);
    if (memory >= 0) H5Tclose(memory);
    close_opened(&o);
    for (int64_t i = 0; status == UF_OK && i < count; i++) texts[(size_t)(i + 1) * bytes - 1] = 0;
    return status;
}

typedef struct Block {
    int64_t rows, columns;
    bool splits_chunks;
} Block;

// Blocks follow the chunk grid, so that each chunk is inflated once: rows of chunks where that fits the bound
// (h5py's automatic chunks may be one column wide), else one column of chunks at a time; a chunk beyond the
// bound is kept in HDF5's cache.
static Block choose_block(const Opened* o, int64_t rows, int64_t columns) {
    Block block = {1, columns, false};
    if (o->chunked) {
        int64_t chunk_columns = o->shape.rank > 1 && o->chunk[1] < columns ? o->chunk[1] : columns;
        block.rows = o->chunk[0] < rows ? o->chunk[0] : rows;
        if (block.rows > BLOCK_LIMIT / columns) block.columns = chunk_columns;
        block.splits_chunks = block.rows > BLOCK_LIMIT / block.columns;
        if (block.splits_chunks) block.rows = 1;
    }
    if (block.rows < BLOCK_ITEMS / block.columns) block.rows *= BLOCK_ITEMS / block.columns / block.rows;
    if (block.rows > rows) block.rows = rows;
    return block;
}

// Opens the dataset again with a cache that holds one of its chunks (the old handle fixes the old cache).
static UfStatus enlarge_cache(const UfH5* h5, const char* name, Opened* o) {
    int64_t bytes = (int64_t)o->shape.item_bytes;
    for (int i = 0; i < o->shape.rank; i++) bytes *= o->chunk[i];
    if (bytes <= DEFAULT_CACHE_BYTES) return UF_OK;
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access < 0 || H5Pset_chunk_cache(access, 521, (size_t)bytes + 1, 0.75) < 0) {
        UfStatus status = fail_read(h5, name);
        if (access >= 0) H5Pclose(access);
        return status;
    }
    H5Dclose(o->dataset);
    o->dataset = H5Dopen2(h5->file, name, access);
    UfStatus status = o->dataset < 0 ? fail_read(h5, name) : UF_OK;
    H5Pclose(access);
    return status;
}

// One block through `buffer` to its places.
static UfStatus read_block(const UfH5* h5, const char* name, const Opened* o, float* buffer,
                           const hsize_t start[2], const hsize_t count[2], float* data, int64_t stride) {
    hid_t memory = H5Screate_simple(o->shape.rank, count, NULL);  // spaces of unequal rank are slow
    bool good = memory >= 0 && H5Sselect_hyperslab(o->space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                H5Dread(o->dataset, H5T_NATIVE_FLOAT, memory, o->space, H5P_DEFAULT, buffer) >= 0;
    UfStatus status = good ? UF_OK : fail_read(h5, name);
    if (memory >= 0) H5Sclose(memory);
    for (hsize_t row = 0; good && row < count[0]; row++)
        memcpy(data + (size_t)(start[0] + row) * (size_t)stride + start[1], buffer + row * count[1],
               count[1] * sizeof *buffer);
    return status;
}

static UfStatus read_blocks(const UfH5* h5, const char* name, Opened* o, float* data, int64_t rows,
                            int64_t columns, int64_t stride) {
    Block block = choose_block(o, rows, columns);
    if (block.splits_chunks) UF_TRY(enlarge_cache(h5, name, o));
    float* buffer = NULL;
    UF_TRY(UF_ALLOC(&buffer, block.rows * block.columns, "reading a dataset"));
    UfStatus status = UF_OK;
    for (int64_t column = 0; column < columns && status == UF_OK; column += block.columns)
        for (int64_t row = 0; row < rows && status == UF_OK; row += block.rows) {
            hsize_t start[2] = {(hsize_t)row, (hsize_t)column};
            hsize_t count[2] = {
                (hsize_t)(rows - row < block.rows ? rows - row : block.rows),
                (hsize_t)(columns - column < block.columns ? columns - column : block.columns)};
            status = read_block(h5, name, o, buffer, start, count, data, stride);
        }
    uf_free(buffer);
    return status;
}

UfStatus uf_h5_read_strided(const UfH5* h5, const char* name, float* data, int64_t rows, int64_t columns,
                            int64_t stride) {
    Opened o;
    char text[128];
    UF_TRY(open_dataset(h5, name, &o));
    const UfH5Shape* shape = &o.shape;
    bool fits = shape->rank == 2 ? shape->dims[0] == rows && shape->dims[1] == columns
                                 : shape->rank == 1 && shape->dims[0] == rows && columns == 1;
    UfStatus status = UF_OK;
    if (!fits)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: dataset '%s' has shape %s, expected (%lld, %lld)", h5->path,
                         name, shape_text(shape, text, sizeof text), (long long)rows, (long long)columns);
    else
        status = read_blocks(h5, name, &o, data, rows, columns, stride);
    close_opened(&o);
    return status;
}

// ---- attributes ----

static const char* object_name(const char* object) { return is_root(object) ? "/" : object; }

bool uf_h5_has_attribute(const UfH5* h5, const char* object, const char* name) {
    uf_h5_quiet();
    if (!is_root(object) && link_state(h5, object) != LINK_HARD) return false;
    return H5Aexists_by_name(h5->file, object_name(object), name, H5P_DEFAULT) > 0;
}

// Opens an attribute of so many values and gives its type.
static UfStatus open_attribute(const UfH5* h5, const char* object, const char* name, int count,
                               hid_t* attribute, hid_t* type) {
    uf_h5_quiet();
    *attribute = *type = -1;
    if (!is_root(object)) UF_TRY(check_link(h5, object));
    if (!uf_h5_has_attribute(h5, object, name))
        return UF_FAIL(UF_ERR_FORMAT, "%s: there is no attribute '%s' at '%s'", h5->path, name,
                       object_name(object));
    *attribute = H5Aopen_by_name(h5->file, object_name(object), name, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = *attribute < 0 ? -1 : H5Aget_space(*attribute);
    hssize_t num_values = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (num_values >= 0) *type = H5Aget_type(*attribute);
    UfStatus status = UF_OK;
    if (num_values < 0 || *type < 0)
        status = fail_read(h5, name);
    else if (num_values != count)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' holds %lld values, expected %d", h5->path, name,
                         (long long)num_values, count);
    if (space >= 0) H5Sclose(space);
    if (status == UF_OK) return UF_OK;
    if (*type >= 0) H5Tclose(*type);
    if (*attribute >= 0) H5Aclose(*attribute);
    return status;
}

// Strings of fixed size, padded with zeros or spaces, become terminated ones.
static UfStatus read_fixed_string(const UfH5* h5, const char* name, hid_t attribute, hid_t memory,
                                  size_t bytes, char** text) {
    if (bytes > MAX_STRING_BYTES)
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' claims a text of %zu bytes", h5->path, name, bytes);
    char* copy = NULL;
    UF_TRY(UF_ALLOC(&copy, bytes + 1, "an attribute"));
    if (H5Tset_size(memory, bytes + 1) < 0 || H5Aread(attribute, memory, copy) < 0) {
        uf_free(copy);
        return fail_read(h5, name);
    }
    *text = copy;
    return UF_OK;
}

static UfStatus read_variable_string(const UfH5* h5, const char* name, hid_t attribute, hid_t memory,
                                     char** text) {
    char* value = NULL;  // HDF5's own memory
    if (H5Tset_size(memory, H5T_VARIABLE) < 0 || H5Aread(attribute, memory, &value) < 0)
        return fail_read(h5, name);
    UfStatus status = uf_strdup(text, value ? value : "");
    H5free_memory(value);
    return status;
}

UfStatus uf_h5_read_string(const UfH5* h5, const char* object, const char* name, char** text) {
    hid_t attribute, type;
    *text = NULL;
    UF_TRY(open_attribute(h5, object, name, 1, &attribute, &type));
    UfStatus status = UF_OK;
    hid_t memory = -1;
    if (H5Tget_class(type) != H5T_STRING)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is not a text", h5->path, name);
    else if ((memory = H5Tcopy(H5T_C_S1)) < 0 || H5Tset_cset(memory, H5Tget_cset(type)) < 0)
        status = fail_read(h5, name);
    else if (H5Tis_variable_str(type) > 0)
        status = read_variable_string(h5, name, attribute, memory, text);
    else
        status = read_fixed_string(h5, name, attribute, memory, H5Tget_size(type), text);
    if (memory >= 0) H5Tclose(memory);
    H5Tclose(type);
    H5Aclose(attribute);
    return status;
}

UfStatus uf_h5_read_number(const UfH5* h5, const char* object, const char* name, double* value) {
    return uf_h5_read_numbers(h5, object, name, value, 1);
}

UfStatus uf_h5_read_numbers(const UfH5* h5, const char* object, const char* name, double* values, int count) {
    hid_t attribute, type;
    for (int i = 0; i < count; i++) values[i] = 0;
    UF_TRY(open_attribute(h5, object, name, count, &attribute, &type));
    H5T_class_t class = H5Tget_class(type);
    UfStatus status = UF_OK;
    if ((class != H5T_INTEGER && class != H5T_FLOAT && class != H5T_ENUM) || H5Tget_size(type) > 8)
        status = UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is not a number", h5->path, name);
    else if (H5Aread(attribute, H5T_NATIVE_DOUBLE, values) < 0)
        status = fail_read(h5, name);
    H5Tclose(type);
    H5Aclose(attribute);
    return status;
}

// Replaces an attribute of one value.
static UfStatus write_attribute(const UfH5* h5, const char* object, const char* name, hid_t file_type,
                                hid_t type, const void* value) {
    const char* place = object_name(object);
    if (H5Aexists_by_name(h5->file, place, name, H5P_DEFAULT) > 0 &&
        H5Adelete_by_name(h5->file, place, name, H5P_DEFAULT) < 0)
        return fail_write(h5, name);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = space < 0 ? -1
                                : H5Acreate_by_name(h5->file, place, name, file_type, space, H5P_DEFAULT,
                                                    H5P_DEFAULT, H5P_DEFAULT);
    UfStatus status = attribute < 0 || H5Awrite(attribute, type, value) < 0 ? fail_write(h5, name) : UF_OK;
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    return status;
}

UfStatus uf_h5_write_string(const UfH5* h5, const char* object, const char* name, const char* text) {
    uf_h5_quiet();
    hid_t type = H5Tcopy(H5T_C_S1);
    bool good = type >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
    UfStatus status = good ? write_attribute(h5, object, name, type, type, &text) : fail_write(h5, name);
    if (type >= 0) H5Tclose(type);
    return status;
}

UfStatus uf_h5_write_number(const UfH5* h5, const char* object, const char* name, double value) {
    uf_h5_quiet();
    return write_attribute(h5, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

UfStatus uf_h5_write_integer(const UfH5* h5, const char* object, const char* name, int64_t value) {
    uf_h5_quiet();
    return write_attribute(h5, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

// ---- lists ----

typedef struct NameList {
    char** names;
    int count, capacity;
    UfStatus status;
} NameList;

static herr_t add_name(hid_t group, const char* name, const H5L_info_t* info, void* context) {
    NameList* list = context;
    (void)group;
    (void)info;
    if (list->count >= list->capacity) return 1;
    for (const char* c = name; *c; c++)
        if ((unsigned char)*c < ' ')
            list->status =
                UF_FAIL(UF_ERR_FORMAT, "a name in the file has control characters; is the file damaged?");
    if (list->status == UF_OK) list->status = uf_strdup(&list->names[list->count], name);
    if (list->status != UF_OK) return 1;
    list->count++;
    return 0;
}

// Runs of digits compare as numbers: episode_9 before episode_10.
static int compare_natural(const void* left, const void* right) {
    const char* a = *(const char* const*)left;
    const char* b = *(const char* const*)right;
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            while (*a == '0') a++;
            while (*b == '0') b++;
            size_t digits_a = strspn(a, "0123456789"), digits_b = strspn(b, "0123456789");
            if (digits_a != digits_b) return digits_a < digits_b ? -1 : 1;
            int order = strncmp(a, b, digits_a);
            if (order) return order;
            a += digits_a;
            b += digits_b;
        } else if (*a != *b) {
            break;
        } else {
            a++;
            b++;
        }
    }
    int order = (unsigned char)*a - (unsigned char)*b;
    return order ? order : strcmp(*(const char* const*)left, *(const char* const*)right);
}

static UfStatus list_names(const UfH5* h5, const char* group, hid_t id, NameList* list) {
    H5G_info_t info;
    if (H5Gget_info(id, &info) < 0) return fail_read(h5, group);
    if (info.nlinks > MAX_MEMBERS)
        return UF_FAIL(UF_ERR_FORMAT, "%s: group '%s' claims %llu members; is the file damaged?", h5->path,
                       group, (unsigned long long)info.nlinks);
    list->capacity = (int)info.nlinks;
    UF_TRY(UF_ALLOC(&list->names, info.nlinks, "names in a file"));
    herr_t result = H5Literate(id, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, add_name, list);
    if (list->status != UF_OK) return uf_fail_prefix(list->status, h5->path);
    if (result < 0) return fail_read(h5, group);
    qsort(list->names, (size_t)list->count, sizeof *list->names, compare_natural);
    return UF_OK;
}

UfStatus uf_h5_list(const UfH5* h5, const char* group, char*** names, int* count) {
    uf_h5_quiet();
    *names = NULL;
    *count = 0;
    if (!is_root(group)) UF_TRY(check_link(h5, group));
    hid_t id = H5Gopen2(h5->file, object_name(group), H5P_DEFAULT);
    if (id < 0) return fail_read(h5, object_name(group));
    NameList list = {0};
    UfStatus status = list_names(h5, object_name(group), id, &list);
    H5Gclose(id);
    if (status != UF_OK) {
        uf_h5_list_free(list.names, list.count);
        return status;
    }
    *names = list.names;
    *count = list.count;
    return UF_OK;
}

void uf_h5_list_free(char** names, int count) {
    for (int i = 0; i < count; i++) uf_free(names[i]);
    uf_free(names);
}

// ---- files ----

static UfStatus set_path(UfH5* h5, const char* path) {
    h5->file = -1;
    h5->path[0] = 0;
    if (!path || !path[0]) return UF_FAIL(UF_ERR_ARGUMENT, "the path of an HDF5 file is empty");
    if (strlen(path) >= sizeof h5->path)
        return UF_FAIL(UF_ERR_ARGUMENT, "'%.64s...': the path is longer than %zu bytes", path,
                       sizeof h5->path - 1);
    strcpy(h5->path, path);
    return UF_OK;
}

static UfStatus fail_system(const char* path, const char* what) {
    char buffer[128];
    const char* reason = strerror_r(errno, buffer, sizeof buffer);
    return UF_FAIL(UF_ERR_IO, "%s: %s: %s", path, what, reason);
}

// What the operating system has to say about a file that is to be read, before HDF5 sees it.
static UfStatus check_readable(const char* path, long long* bytes) {
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return fail_system(path, "cannot be opened");
    int result = fstat(file, &info);
    close(file);
    if (result != 0) return fail_system(path, "cannot be opened");
    if (S_ISDIR(info.st_mode)) return UF_FAIL(UF_ERR_IO, "%s: is a folder, expected an HDF5 file", path);
    if (!S_ISREG(info.st_mode)) return UF_FAIL(UF_ERR_IO, "%s: is not a regular file", path);
    if (info.st_size == 0)
        return UF_FAIL(UF_ERR_FORMAT, "%s: the file is empty; copy or download it again", path);
    *bytes = (long long)info.st_size;
    return UF_OK;
}

UfStatus uf_h5_open(UfH5* h5, const char* path) {
    long long bytes = 0;
    char reason[REASON_BYTES];
    UF_TRY(set_path(h5, path));
    UF_TRY(check_readable(path, &bytes));
    uf_h5_quiet();
    htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 == 0) return UF_FAIL(UF_ERR_FORMAT, "%s: is not an HDF5 file", path);
    h5->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (h5->file >= 0) return UF_OK;
    h5_reason(reason);
    h5->file = -1;
    if (strstr(reason, "truncated"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: the file is cut off after %lld bytes; copy or download it again",
                       path, bytes);
    if (strstr(reason, "lock"))
        return UF_FAIL(UF_ERR_IO, "%s: another program is writing the file (%s)", path, reason);
    return UF_FAIL(UF_ERR_FORMAT, "%s: cannot be opened as HDF5 (%s); is the file damaged?", path, reason);
}

// Files in the format of HDF5 1.10: its headers and indices carry checksums, and a file not closed is not
// taken for whole.
UfStatus uf_h5_create(UfH5* h5, const char* path) {
    UF_TRY(set_path(h5, path));
    const bool is_new = access(path, F_OK) != 0;
    // Asked first, as the system's own words are plainer than HDF5's.
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return fail_system(path, "cannot be created");
    close(file);
    uf_h5_quiet();
    // No time stamps, here and in what is created below: the same datasets make the same file.
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    if (access >= 0 && creation >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0)
        h5->file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    UfStatus status = h5->file < 0 ? fail_write(h5, "/") : UF_OK;
    if (h5->file < 0) h5->file = -1;
    if (status != UF_OK && is_new) unlink(path);
    if (creation >= 0) H5Pclose(creation);
    if (access >= 0) H5Pclose(access);
    return status;
}

UfStatus uf_h5_close(UfH5* h5) {
    if (h5->file <= 0) return UF_OK;
    uf_h5_quiet();
    UfStatus status = H5Fflush(h5->file, H5F_SCOPE_LOCAL) < 0 ? fail_write(h5, "/") : UF_OK;
    if (H5Fclose(h5->file) < 0 && status == UF_OK) status = fail_write(h5, "/");
    h5->file = -1;
    return status;
}

// ---- writing ----

static hid_t file_type(UfH5Type type) {
    switch (type) {
        case UF_H5_FLOAT: return H5T_IEEE_F32LE;
        case UF_H5_DOUBLE: return H5T_IEEE_F64LE;
        case UF_H5_INT32: return H5T_STD_I32LE;
        case UF_H5_INT64: return H5T_STD_I64LE;
        default: return H5T_STD_U8LE;
    }
}

// A new id that the caller closes, < 0 on failure.
static hid_t make_bool_type(void) {
    hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    int8_t no = 0, yes = 1;
    if (type < 0 || (H5Tenum_insert(type, "FALSE", &no) >= 0 && H5Tenum_insert(type, "TRUE", &yes) >= 0))
        return type;
    H5Tclose(type);
    return -1;
}

// Halves the slowest dimensions until a chunk has at most WRITE_CHUNK_BYTES.
static void choose_chunk(int rank, const int64_t* dims, size_t item_bytes, hsize_t* chunk) {
    int64_t bytes = (int64_t)item_bytes;
    for (int i = 0; i < rank; i++) {
        chunk[i] = (hsize_t)dims[i];
        bytes *= dims[i];
    }
    for (int i = 0; i < rank; i++)
        while (bytes > WRITE_CHUNK_BYTES && chunk[i] > 1) {
            bytes = bytes / (int64_t)chunk[i] * (int64_t)((chunk[i] + 1) / 2);
            chunk[i] = (chunk[i] + 1) / 2;
        }
}

// Without compression too: chunks are what HDF5 puts checksums on.
static herr_t set_layout(hid_t layout, int rank, const int64_t* dims, size_t item_bytes, int compression) {
    hsize_t chunk[MAX_RANK];
    if (rank == 0) return 0;
    choose_chunk(rank, dims, item_bytes, chunk);
    if (H5Pset_chunk(layout, rank, chunk) < 0) return -1;
    unsigned level = compression > 9 ? 9 : (unsigned)compression;
    if (compression > 0 && (H5Pset_shuffle(layout) < 0 || H5Pset_deflate(layout, level) < 0)) return -1;
    return H5Pset_fletcher32(layout);
}

// The groups on the way to a dataset. HDF5 would make them by itself, but with time stamps.
static bool make_groups(const UfH5* h5, const char* name) {
    char group[MAX_NAME_BYTES];
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    bool good = creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0;
    for (const char* slash = strchr(name + 1, '/'); good && slash; slash = strchr(slash + 1, '/')) {
        good = snprintf(group, sizeof group, "%.*s", (int)(slash - name), name) < (int)sizeof group;
        if (!good || H5Lexists(h5->file, group, H5P_DEFAULT) > 0) continue;
        hid_t made = H5Gcreate2(h5->file, group, H5P_DEFAULT, creation, H5P_DEFAULT);
        good = made >= 0 && H5Gclose(made) >= 0;
    }
    if (creation >= 0) H5Pclose(creation);
    return good;
}

static UfStatus create_dataset(hid_t* dataset, const UfH5* h5, const char* name, hid_t type, int rank,
                               const int64_t* dims, int compression) {
    hsize_t extent[MAX_RANK] = {0};
    for (int i = 0; i < rank; i++) extent[i] = (hsize_t)dims[i];
    hid_t space = rank ? H5Screate_simple(rank, extent, NULL) : H5Screate(H5S_SCALAR);
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    *dataset = -1;
    if (space >= 0 && layout >= 0 && make_groups(h5, name) && H5Pset_obj_track_times(layout, false) >= 0 &&
        set_layout(layout, rank, dims, H5Tget_size(type), compression) >= 0)
        *dataset = H5Dcreate2(h5->file, name, type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    UfStatus status = *dataset < 0 ? fail_write(h5, name) : UF_OK;
    if (layout >= 0) H5Pclose(layout);
    if (space >= 0) H5Sclose(space);
    return status;
}

// Passes a status on, or the failure of closing where all was well before.
static UfStatus close_written(const UfH5* h5, const char* name, hid_t dataset, UfStatus status) {
    if (H5Dclose(dataset) >= 0 || status != UF_OK) return status;
    return fail_write(h5, name);
}

static UfStatus check_write(const UfH5* h5, const char* name, int rank, const int64_t* dims) {
    if (rank < 0 || rank > MAX_RANK)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: '%s' cannot be written with %d dimensions", h5->path, name,
                       rank);
    for (int i = 0; i < rank; i++)
        if (dims[i] <= 0)
            return UF_FAIL(UF_ERR_ARGUMENT, "%s: '%s' cannot be written: dimension %d is %lld", h5->path,
                           name, i, (long long)dims[i]);
    return UF_OK;
}

UfStatus uf_h5_write(const UfH5* h5, const char* name, UfH5Type type, const void* data, int rank,
                     const int64_t* dims, int compression, bool is_bool) {
    UF_TRY(check_write(h5, name, rank, dims));
    uf_h5_quiet();
    is_bool = is_bool && type == UF_H5_UINT8;
    hid_t dataset, stored = is_bool ? make_bool_type() : file_type(type);
    if (stored < 0) return fail_write(h5, name);
    UfStatus status = create_dataset(&dataset, h5, name, stored, rank, dims, compression);
    if (status == UF_OK) {
        hid_t given = is_bool ? stored : memory_type(type);
        if (H5Dwrite(dataset, given, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) status = fail_write(h5, name);
        status = close_written(h5, name, dataset, status);
    }
    if (is_bool) H5Tclose(stored);
    return status;
}

// One band of rows by way of `buffer`.
static UfStatus write_band(const UfH5* h5, const char* name, hid_t dataset, float* buffer, const float* data,
                           const hsize_t start[2], const hsize_t count[2], int64_t stride) {
    for (hsize_t i = 0; i < count[0]; i++)
        memcpy(buffer + i * count[1], data + (start[0] + i) * (size_t)stride, count[1] * sizeof *buffer);
    hid_t memory = H5Screate_simple(2, count, NULL), space = H5Dget_space(dataset);
    bool good = memory >= 0 && space >= 0 &&
                H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, buffer) >= 0;
    UfStatus status = good ? UF_OK : fail_write(h5, name);
    if (space >= 0) H5Sclose(space);
    if (memory >= 0) H5Sclose(memory);
    return status;
}

UfStatus uf_h5_write_strided(const UfH5* h5, const char* name, const float* data, int64_t rows,
                             int64_t columns, int64_t stride, int compression) {
    int64_t dims[2] = {rows, columns};
    UF_TRY(check_write(h5, name, 2, dims));
    uf_h5_quiet();
    hsize_t chunk[2];
    choose_chunk(2, dims, sizeof *data, chunk);
    hid_t dataset = -1;
    float* buffer = NULL;
    UF_TRY(UF_ALLOC(&buffer, (int64_t)chunk[0] * columns, "writing a dataset"));
    UfStatus status = create_dataset(&dataset, h5, name, H5T_IEEE_F32LE, 2, dims, compression);
    for (hsize_t row = 0; row < (hsize_t)rows && status == UF_OK; row += chunk[0]) {
        hsize_t start[2] = {row, 0};
        hsize_t count[2] = {(hsize_t)rows - row < chunk[0] ? (hsize_t)rows - row : chunk[0],
                            (hsize_t)columns};
        status = write_band(h5, name, dataset, buffer, data, start, count, stride);
    }
    if (dataset >= 0) status = close_written(h5, name, dataset, status);
    uf_free(buffer);
    return status;
}
