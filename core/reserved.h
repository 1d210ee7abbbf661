// reserved.h: arrays of a backend that belong to one owner and go together.
#ifndef UF_RESERVED_H
#define UF_RESERVED_H

#include <string.h>

#include "kernels.h"

enum { UF_MAX_RESERVED = 128 };
typedef struct UfReserved {
    UfBackend* backend;
    void* arrays[UF_MAX_RESERVED];
    int count;
} UfReserved;

// Zeroed items for the pointer at `pointer`.
static inline UfStatus uf_reserve(UfReserved* r, void* pointer, size_t count, size_t item_bytes,
                                  const char* what) {
    void* memory = NULL;
    if (r->count == UF_MAX_RESERVED) return UF_FAIL(UF_ERR_MEMORY, "too many arrays for %s", what);
    UF_TRY(r->backend->reserve(r->backend, &memory, count * item_bytes, what));
    r->arrays[r->count++] = memory;
    memcpy(pointer, &memory, sizeof memory);
    return UF_OK;
}
#define UF_RESERVE(reserved, field, count, what) \
    uf_reserve((reserved), &(field), (size_t)(count), sizeof *(field), (what))

static inline void uf_release_reserved(UfReserved* r) {
    for (int i = 0; i < r->count; i++) r->backend->release(r->backend, r->arrays[i]);
    r->count = 0;
}

// fresh in the place of *kept, which go; if it has failed, fresh go and *kept stay.
static inline UfStatus uf_replace_reserved(UfReserved* kept, UfReserved* fresh, UfStatus status) {
    if (status != UF_OK) {
        uf_release_reserved(fresh);
        return status;
    }
    uf_release_reserved(kept);
    *kept = *fresh;
    return UF_OK;
}

#endif
