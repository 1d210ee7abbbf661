// replay_input.h: what a replay reads of a recording and what it keeps of its own. For the replays alone: compiled twice.
#ifndef UF_REPLAY_INPUT_H
#define UF_REPLAY_INPUT_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/h5.h"
#include "core/philox.h"
#include "core/verify/replay.h"
#include "terms.h"

static const UfH5Type uf_h5_real = sizeof(real) == sizeof(float) ? UF_H5_FLOAT : UF_H5_DOUBLE;

// What is in [-1, 1], as actions are, stays there. Both ways alike: were all numbers made smaller, say, a sum near 0 would
// always go the same way.
static inline void uf_move_numbers(UfReplay* replay, real* numbers, int64_t count) {
    const uint64_t array = replay->num_inputs++;
    for (int64_t i = 0; replay->move.by > 0 && i < count; i++) {
        const UfPhilox w = uf_philox((uint64_t)replay->move.way, UF_STREAM_MOVED, array, (uint64_t)i / 4);
        const double x = (double)numbers[i],
                     moved = x * (1 + replay->move.by * (2 * (double)uf_uniform(w.v[i % 4]) - 1));
        numbers[i] = (real)(fabs(x) <= 1 ? fmin(fmax(moved, -1), 1) : moved);
    }
}

// A dataset that goes in.
static inline UfStatus uf_read_input(const UfH5* h5, const char* name, real* numbers, int64_t count,
                                     UfReplay* replay) {
    UfH5Shape shape;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    replay->single_inputs |= shape.is_float && shape.item_bytes < sizeof(double);
    UF_TRY(uf_h5_read(h5, name, uf_h5_real, numbers, count));
    uf_move_numbers(replay, numbers, count);
    return UF_OK;
}

// Of groups <name>0, <name>1, ... at the root. One that is missing before others is an error: they would be passed over.
static inline UfStatus uf_count_steps(const UfH5* h5, const char* name, int* steps) {
    char **groups = NULL, next[32];
    int count = 0, found = 0;
    *steps = 0;
    UF_TRY(uf_h5_list(h5, "/", &groups, &count));
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(name),
                     digits = strspn(groups[i] + strnlen(groups[i], length), "0123456789");
        found += strncmp(groups[i], name, length) == 0 && digits > 0 && !groups[i][length + digits];
    }
    uf_h5_list_free(groups, count);
    for (;; ++*steps) {
        snprintf(next, sizeof next, "%.20s%d", name, *steps);
        if (!uf_h5_exists(h5, next)) break;
    }
    if (*steps == 0)
        return UF_FAIL(UF_ERR_FORMAT, "%s: no recorded step; expected a group %s0", h5->path, name);
    return *steps == found ? UF_OK
                           : UF_FAIL(UF_ERR_FORMAT, "%s: %d groups are recorded steps, but '%s' is missing",
                                     h5->path, found, next);
}

// In float32 nobody asks for them.
static inline UfStatus uf_keep_ours(UfReplayed* result, const real* ours) {
    if (sizeof(real) != sizeof(double)) return UF_OK;
    UF_TRY(UF_ALLOC(&result->ours, result->num_elements, "what a replay makes"));
    for (int64_t i = 0; i < result->num_elements; i++) result->ours[i] = (double)ours[i];
    return UF_OK;
}

static inline UfStatus uf_keep_number(UfReplayed* result, double ours) {
    const real number = (real)ours;
    return uf_keep_ours(result, &number);
}

#endif
