// two_ranks.h: two ranks (core/ranks.h) that are threads of a test program.
#ifndef UF_TEST_TWO_RANKS_H
#define UF_TEST_TWO_RANKS_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/ranks.h"

enum { SHARED_NUMBERS = 200 };

typedef struct Shared {
    pthread_barrier_t barrier;
    double sum[SHARED_NUMBERS];
    pthread_mutex_t lock;
} Shared;

static inline void open_shared(Shared* shared) {
    pthread_barrier_init(&shared->barrier, NULL, 2);
    pthread_mutex_init(&shared->lock, NULL);
}

static inline void close_shared(Shared* shared) {
    pthread_barrier_destroy(&shared->barrier);
    pthread_mutex_destroy(&shared->lock);
}

// UfRanks.sum of both.
static inline UfStatus sum_shared(void* context, double* values, int64_t count) {
    Shared* shared = context;
    if (count > SHARED_NUMBERS) return UF_FAIL(UF_ERR_ARGUMENT, "%lld numbers are too many to share", (long long)count);
    if (pthread_barrier_wait(&shared->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        memset(shared->sum, 0, sizeof shared->sum);
    pthread_barrier_wait(&shared->barrier);
    pthread_mutex_lock(&shared->lock);
    for (int64_t i = 0; i < count; i++) shared->sum[i] += values[i];
    pthread_mutex_unlock(&shared->lock);
    pthread_barrier_wait(&shared->barrier);
    memcpy(values, shared->sum, (size_t)count * sizeof *values);
    return UF_OK;
}

// Both do it at once.
static inline void run_both(void* be_rank(void*), void* first, void* second) {
    pthread_t threads[2];
    void* ranks[] = {first, second};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, be_rank, ranks[i]) != 0) abort();
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

#endif
