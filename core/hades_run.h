// hades_run.h: a distillation in a run folder, and what is tried with its dataset.
//
// The folder: hades.json, log.jsonl and log.csv (a line each log_interval generations), checkpoint.h5 (each
// checkpoint_interval and at every ending), and at the end distilled.hdf5 with its picture dataset.png, ratings.h5 (every
// return of policies cloned from it), fitness.png, .svg, and report.txt, the last of all. Where weights evolve there is no dataset.
#ifndef UF_HADES_RUN_H
#define UF_HADES_RUN_H

#include "hades_search.h"
#include "run.h"

typedef struct HdRunOptions {
    const HdConfig* config;    // of a resumed run: what hd_run_config gave, with RUN fields changed at will
    const char *out, *resume;  // as in UfRunOptions
    const UfRanks* ranks;      // processes that share each generation; rank 0 writes.   Nullable
    const volatile sig_atomic_t* stop;  // end after the networks under way.   Nullable
    UfRunProgressFn* on_progress;       // update counts generations.   Nullable
    void* user;
} HdRunOptions;

typedef struct HdResult {
    char folder[UF_FOLDER_BYTES];
    int64_t generation;
    HdGeneration first, last;  // of those that this call did.   generation 0: none
    HdRating rating;           // free with hd_rating_free
    char*
        report;  // what came out, as lines of text; free with uf_free.   NULL: not at the end, or not rank 0
} HdResult;

// The configuration of the run in a folder. UF_ERR_IO: there is no distillation.
UfStatus hd_run_config(HdConfig** out, const char* folder);

// Searches to the end of the configuration. A run that was killed and resumed ends in the bits of one that never stopped,
// whatever the threads and processes.
// Errors: UF_ERR_STOPPED (a checkpoint was written; result->folder and generation are set), UF_ERR_NONFINITE, and
// everything that configuration, environment and files can refuse.
UfStatus hd_run(const HdRunOptions* options, HdResult* result);

// ---- datasets ----

// The configuration that a distilled file carries, or the defaults for its environment.
UfStatus hd_config_of(HdConfig** out, const UfDistilled* data);

// Policies cloned from data, as lines of text: mean return over initial weights, its deviation, the least. controls: also
// from the same rows with states of 0, and with labels dealt to others' states.
typedef struct HdTryOptions {
    HdRateOptions rate;  // config
    bool controls;
} HdTryOptions;
UfStatus hd_try(const UfDistilled* data, const HdTryOptions* options, UfText* report);

#endif
