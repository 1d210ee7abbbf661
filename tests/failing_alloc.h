// failing_alloc.h: allocations that fail after a while, for tests that are linked with -Wl,--wrap=malloc and the like
// (Makefile: LDFLAGS_test_faults). One file of a program includes it.
#ifndef UF_TEST_FAILING_ALLOC_H
#define UF_TEST_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

static long allocations_left = -1;  // < 0: none fails

static bool fails_now(void) { return allocations_left >= 0 && allocations_left-- == 0; }

void* __real_malloc(size_t bytes);
void* __real_calloc(size_t count, size_t bytes);
void* __real_realloc(void* memory, size_t bytes);
int __real_posix_memalign(void** out, size_t alignment, size_t bytes);
void* __real_aligned_alloc(size_t alignment, size_t bytes);
void* __wrap_malloc(size_t bytes) { return fails_now() ? NULL : __real_malloc(bytes); }
void* __wrap_calloc(size_t count, size_t bytes) { return fails_now() ? NULL : __real_calloc(count, bytes); }
void* __wrap_realloc(void* memory, size_t bytes) {
    return fails_now() ? NULL : __real_realloc(memory, bytes);
}
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return fails_now() ? NULL : __real_aligned_alloc(alignment, bytes);
}
int __wrap_posix_memalign(void** out, size_t alignment, size_t bytes) {
    return fails_now() ? 12 : __real_posix_memalign(out, alignment, bytes);
}

#endif
