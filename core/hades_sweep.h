// hades_sweep.h: many distillations from one configuration whose lists are axes, and policies of one dataset by other
// networks and other cloning than the search had.
#ifndef UF_HADES_SWEEP_H
#define UF_HADES_SWEEP_H

#include "hades_run.h"

typedef struct HdSweepOptions {
    const HdConfig* config;
    const UfAxes* axes;    // a search each combination; seeds of the same are one row of the result
    const char* out;       // folder: a run folder each (rows=4,seed=0), sweep.csv, fitness.png, .svg
    const UfRanks* ranks;  // Nullable, all four
    const volatile sig_atomic_t* stop;
    UfRunProgressFn* on_progress;
    void* user;
} HdSweepOptions;

// One after another, each on all cores. The same call goes on: what is finished stays, what was begun is resumed.
// *report: the table of what came out (free with uf_free); NULL of ranks but the first.   Errors: those of hd_run.
UfStatus hd_sweep(const HdSweepOptions* options, char** report);

// Policies cloned from data by configuration `config` as it is, then with each value of each axis in turn, the others as
// they are: a line of text each.
UfStatus hd_vary(const UfDistilled* data, const HdConfig* config, const UfAxes* axes,
                 const HdRateOptions* rate, UfText* report);

#endif
