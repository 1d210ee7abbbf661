// h5.h: HDF5 with one-line errors. Every function names file and dataset in uf_error(); none prints.
// Reading refuses what a data file has no business holding: external links and storage, unknown filters,
// absurd sizes.
#ifndef UF_H5_H
#define UF_H5_H

#include <hdf5.h>

#include "core/core.h"

// Once a thread before using HDF5 directly; the functions below do it themselves.
void uf_h5_quiet(void);

typedef struct UfH5 {
    hid_t file;
    char path[1024];
} UfH5;

UfStatus uf_h5_open(
    UfH5* h5, const char* path);  // read only. Missing file: UF_ERR_IO; not HDF5 or cut off: UF_ERR_FORMAT
UfStatus uf_h5_create(UfH5* h5, const char* path);  // new file, truncates
UfStatus uf_h5_close(UfH5* h5);                     // flushes; h5->file < 0 is harmless

// Existence of a group or dataset by path ("step0/batch/obs"); intermediate groups may be missing.
bool uf_h5_exists(const UfH5* h5, const char* name);

typedef struct UfH5Shape {
    int rank;  // at most 8
    int64_t dims[8];
    int64_t count;      // product of dims
    size_t item_bytes;  // in the file
    bool is_float, is_integer, is_bool;
} UfH5Shape;
// Opens, checks (numeric, filters, sizes, storage) and describes a dataset.
UfStatus uf_h5_shape(const UfH5* h5, const char* name, UfH5Shape* shape);

typedef enum UfH5Type { UF_H5_FLOAT, UF_H5_DOUBLE, UF_H5_INT32, UF_H5_INT64, UF_H5_UINT8 } UfH5Type;
// Reads a whole dataset of `count` elements, converted, into memory of the caller. Errors if the count
// differs, or where integers are wanted and a number is none of them.
UfStatus uf_h5_read(const UfH5* h5, const char* name, UfH5Type type, void* data, int64_t count);
// Reads a dataset of `count` texts, of a fixed length or of any, into (count, bytes), each ended by a 0.
UfStatus uf_h5_read_texts(const UfH5* h5, const char* name, size_t bytes, char* texts, int64_t count);
// Reads into a strided matrix: dataset (rows) or (rows, columns) -> data[row * stride + column].
UfStatus uf_h5_read_strided(const UfH5* h5, const char* name, float* data, int64_t rows, int64_t columns,
                            int64_t stride);

// Attributes of an object ("" or "/": the root).
bool uf_h5_has_attribute(const UfH5* h5, const char* object, const char* name);
UfStatus uf_h5_read_string(const UfH5* h5, const char* object, const char* name,
                           char** text);  // free with uf_free
UfStatus uf_h5_read_number(const UfH5* h5, const char* object, const char* name, double* value);
UfStatus uf_h5_read_numbers(const UfH5* h5, const char* object, const char* name, double* values, int count);
UfStatus uf_h5_write_string(const UfH5* h5, const char* object, const char* name, const char* text);
UfStatus uf_h5_write_number(const UfH5* h5, const char* object, const char* name, double value);
UfStatus uf_h5_write_integer(const UfH5* h5, const char* object, const char* name, int64_t value);

// Names of the members of a group in natural order (episode_9 before episode_10). Free the array and each
// name with uf_free.
UfStatus uf_h5_list(const UfH5* h5, const char* group, char*** names, int* count);
void uf_h5_list_free(char** names, int count);

// Writes a dataset, creating groups on the way. compression 0..9 (0: none; else shuffle + gzip).
// Stored in checksummed chunks (fletcher32) either way, scalars (rank 0) excepted. is_bool stores UF_H5_UINT8
// as the enum that h5py reads as bool.
UfStatus uf_h5_write(const UfH5* h5, const char* name, UfH5Type type, const void* data, int rank,
                     const int64_t* dims, int compression, bool is_bool);
// A writer reads a strided matrix the same way: data[row * stride + column].
UfStatus uf_h5_write_strided(const UfH5* h5, const char* name, const float* data, int64_t rows,
                             int64_t columns, int64_t stride, int compression);

#endif
