// run.h: one run in one folder: train, log, evaluate, keep checkpoints, go on after an interruption.
//
// The folder: config.json (first), log.jsonl and log.csv (a line each eval_interval), checkpoint.h5 (each
// checkpoint_interval and at every ending), final.h5 (returns and scores of the final evaluation),
// learning_curve.png and .svg. Of an online run also buffer.hdf5 (what it trained on; written before each
// checkpoint), medium.h5 and best.h5 (online.h).
#ifndef UF_RUN_H
#define UF_RUN_H

#include <signal.h>  // sig_atomic_t

#include "core/agents/evaluate.h"
#include "core/core.h"
#include "core/data/h5.h"
#include "core/runs/run_folder.h"

typedef enum UfRunEventKind {
    UF_RUN_NOTE,      // text: a line for the user
    UF_RUN_TICK,      // at most ten times a second while training
    UF_RUN_INTERVAL,  // a log line was written
} UfRunEventKind;

typedef struct UfRunEvent {
    UfRunEventKind kind;
    const char* text;             // NOTE
    int64_t update, num_updates;  // TICK, INTERVAL: and all below.   INTERVAL: the update of the line
    double updates_per_second, seconds_left;
    int num_metrics;
    const char* const* names;
    const double* values;
    double eval_return, eval_score;  // the latest; NaN: none yet, or no reference scores
    int population;  // runs that train together: values are the first's, evaluations their mean
} UfRunEvent;
// Called from the thread of uf_run_train alone, whatever eval_threads says.
typedef void UfRunProgressFn(void* user, const UfRunEvent* event);

typedef struct UfRunOptions {
    const UfConfig* config;  // of a resumed run: what uf_run_config gave, with RUN fields changed at will
    const char* out;         // folder of a new run.   Nullable: runs/<algorithm>_<dataset or env>_<seed>
    const char* resume;      // folder of a run to go on with.   Nullable
    const volatile sig_atomic_t*
        stop;  // set from a signal handler: end after this update and the evaluation under way.   Nullable
    UfRunProgressFn* on_progress;  // Nullable
    void* user;
} UfRunOptions;

typedef struct UfRunResult {
    char folder[UF_FOLDER_BYTES];
    int64_t update;  // where the run is now
    bool has_chart;
    int64_t num_episodes;  // of the final evaluation; 0: there was none
    double mean_return, stderr_return, mean_score, stderr_score;
    char env[64];
} UfRunResult;

// Trains to the end of the configuration, on its dataset or online. A run that was killed and resumed ends in the bits of one that
// never stopped. Errors: UF_ERR_STOPPED (a checkpoint was written; result->folder and update are set),
// UF_ERR_NONFINITE (the last good checkpoint is kept), and everything that config, dataset, environment and
// files can refuse.
UfStatus uf_run_train(const UfRunOptions* options, UfRunResult* result);

// Several runs in one process. Those that differ only in what members of a population may differ in (and in their
// label) train as one; each has a folder of its own with the files, to the bit but for times, that it has when trained
// alone. A run that fails does not stop the others. All need the same dataset and env.
typedef struct UfRunMember {
    const UfConfig* config;
    const char *out, *resume;  // as in UfRunOptions
    UfRunResult result;        // set, like all below
    UfStatus status;
    char error[2048];
} UfRunMember;
// Of the options stop, on_progress and user count. Returns the first failure, each stands in its member's status.
UfStatus uf_run_train_members(const UfRunOptions* options, UfRunMember* members, int num_members);

// The policy of member 0 of a checkpoint (a file or a run folder) for an environment, which it must fit.
// Nullable: env: the one of the checkpoint's configuration. *deterministic: it is evaluated at its mean.
UfStatus uf_run_policy(const char* checkpoint, const char* env, UfPolicy** policy, const UfEnvSpec** spec,
                       bool* deterministic);

// Evaluates member 0 of a checkpoint (a file or a run folder).
typedef struct UfRunEvalOptions {
    const char* checkpoint;
    const char* env;  // Nullable: the one of the checkpoint's configuration
    int64_t num_episodes;
    int workers, num_threads;
    uint64_t seed;
} UfRunEvalOptions;
UfStatus uf_run_eval(const UfRunEvalOptions* options, UfEvaluation* out, const UfEnvSpec** spec);

// What `unifloral info` prints about a final.h5. Free *text with uf_free.
UfStatus uf_run_result_info(const UfH5* h5, char** text);

#endif
