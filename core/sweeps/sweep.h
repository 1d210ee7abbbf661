// sweep.h: many runs from one configuration whose lists are axes: drawn or the full grid, each in a process and a
// run folder of its own, every final evaluation in a result store.
//
// Blocks of policies run as processes of this machine or as the tasks of a Slurm array, which are the same command with
// a block's number: a task runs the block's process and puts its results into the store itself. What waits for the array
// only looks into the store, so it may be stopped, and the same call waits again.
//
// The folder: sweep.json (what is swept; the same command goes on, another one is refused), policy_0000.json (a
// policy's configuration), policy_0000 (its run folder), policy_0000.txt (what it said, or the block of which it is the
// first), store.sqlite. slurm/: array.sh (what was submitted), plan (a line a block), job (the array's id until it is
// over), task_0.txt (what a task said).
#ifndef UF_SWEEP_H
#define UF_SWEEP_H

#include <signal.h>  // sig_atomic_t

#include "core/config.h"

enum { UF_MAX_POPULATION = 4096 };

typedef struct UfSweepEvent {        // a line for the user: what starts, then each policy as it ends
    const char* text;                // what the sweep is, what Slurm does with it.   NULL: all below
    int policy, done, total;         // which one; how many have ended, failed ones too; of how many
    const char* settings;            // its values of the axes: "lr=0.001 seed=3"
    const char* failure;             // why it failed.   NULL: it did not
    double mean_score, mean_return;  // NaN: no scores; not evaluated
    double seconds_left;
} UfSweepEvent;
typedef void UfSweepProgressFn(void* user, const UfSweepEvent* event);

typedef struct UfSweepOptions {
    const UfConfig* config;  // what is not swept
    const UfAxes* axes;      // may be none: then policies differ by their seeds
    int64_t num_policies;    // of a random search
    uint64_t sweep_seed;
    bool grid;            // every combination once
    bool retry;           // train those again that failed before
    const char* program;  // the unifloral to run
    const char* out;      // folder.   Nullable: runs/sweep_<algorithm>_<dataset>_<sweep_seed>, or _grid
    const char* store;    // Nullable: store.sqlite in the folder
    int population;     // policies that train in one process where they fit together; 0: population.h chooses
    int jobs, threads;  // processes at a time; threads of each (0: all cores)
    const char* const*
        task;      // the command of a task, to which its block's number is added; ends at NULL. Blocks then
                   // run under Slurm, `jobs` at a time (0: as many as it gives).   Nullable
    bool is_task;  // this is such a task: it trains one block of the plan that is there
    int block;
    const volatile sig_atomic_t* stop;  // set from a signal handler: stop the runs, which save.   Nullable
    UfSweepProgressFn* on_progress;     // Nullable
    void* user;
} UfSweepOptions;

typedef struct UfSweepResult {
    char folder[900], store[1000];
    int num_policies, num_done, num_failed;
} UfSweepResult;

// Trains what is not trained yet. A random search draws each axis' value uniformly by (sweep_seed, policy); unless
// `seed` is an axis, policy i trains with the configuration's seed + i, so that no two are the same run; where it is
// one, no combination is drawn twice. A grid keeps the seed. A policy that fails is a row of the store, with its
// sentence. Errors: UF_ERR_STOPPED (the same call goes on; an array under Slurm is left alone), UF_ERR_CONFIG (every
// policy contradicts itself, or more policies than combinations), UF_ERR_IO (tasks ended without a result: the same call
// submits their policies again), and what folders, dataset, store and Slurm can refuse.
UfStatus uf_sweep(const UfSweepOptions* options, UfSweepResult* result);

#endif
