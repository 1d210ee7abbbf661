// search_sweep.h: many searches of a kind from one configuration whose lists are axes.
#ifndef UF_SEARCH_SWEEP_H
#define UF_SEARCH_SWEEP_H

#include "core/search/search_run.h"

typedef struct UfSearchSweepOptions {
    const UfSearchKind* kind;
    const void* config;
    const UfAxes* axes;    // a search each combination; seeds of the same are one row of the result
    const char* out;       // folder: a run folder each (rows=4,seed=0), sweep.csv, fitness.png, .svg
    const UfRanks* ranks;  // Nullable, all four
    const volatile sig_atomic_t* stop;
    UfRunProgressFn* on_progress;
    void* user;
} UfSearchSweepOptions;

// One after another, each on all cores. The same call goes on: what is finished stays, what was begun is resumed.
// *report: the table of what came out (free with uf_free); NULL of ranks but the first.   Errors: those of uf_search_run.
UfStatus uf_search_sweep(const UfSearchSweepOptions* options, char** report);

#endif
