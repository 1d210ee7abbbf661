// npz.h: numpy's .npz files, read and written. Pickled arrays are refused or passed over, never executed.
#ifndef UF_NPZ_H
#define UF_NPZ_H

#include "core/core.h"

enum { UF_NPZ_ARRAYS = 16 };

typedef struct UfNpyArray {
    char name[64];
    unsigned char* memory;  // the whole member
    const unsigned char* data;
    char kind;  // f i u b
    int item_bytes, rank;
    bool fortran;  // of two dimensions
    int64_t dims[8], count;
} UfNpyArray;

typedef struct UfNpz {
    const char* path;
    UfNpyArray arrays[UF_NPZ_ARRAYS];
    int num_arrays;
} UfNpz;

// Reads the members of these names (to a NULL) from a file's bytes; others are not looked into. Free in any case.
UfStatus uf_npz_read(UfNpz* z, const char* path, const char* data, size_t size, const char* const* names);
void uf_npz_free(UfNpz* z);
const UfNpyArray* uf_npz_find(const UfNpz* z, const char* name);  // NULL: not there
// Of a matrix of so many columns, which a vector is with one.
double uf_npy_at(const UfNpyArray* a, int64_t row, int64_t column, int64_t columns);

typedef struct UfNpyData {
    const char* name;
    const char* type;  // numpy's: "<f8", "<i4", "|u1"
    size_t item_bytes;
    int rank;
    int64_t dims[2];
    const void* data;
} UfNpyData;
// Writes an archive that numpy.load reads: whole or not at all.
UfStatus uf_npz_write(const char* path, const UfNpyData* arrays, int num_arrays);

#endif
