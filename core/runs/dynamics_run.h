// dynamics_run.h: training of the world model in a run folder.
//
// The folder: config.json, log.jsonl and log.csv (a line an epoch), model.h5 (each checkpoint_interval batches and at
// every ending), and at the end validation_loss and prediction_error as .png and .svg.
#ifndef UF_DYNAMICS_RUN_H
#define UF_DYNAMICS_RUN_H

#include "core/runs/run.h"

typedef struct UfDynamicsResult {
    char folder[UF_FOLDER_BYTES];
    int64_t epoch;  // done so far
    char* report;   // what came out, as lines of text; free with uf_free.   NULL: not at the end
} UfDynamicsResult;

// Trains to the end of the configuration. Options as of uf_run_train; events count batches, their metrics are epoch,
// loss and validation. A run that was killed and resumed ends in the bits of one that never stopped.
// Errors: UF_ERR_STOPPED (model.h5 was written; result->folder and epoch are set), UF_ERR_NONFINITE (the last good
// model is kept), and everything that config, dataset and files can refuse.
UfStatus uf_dynamics_run(const UfRunOptions* options, UfDynamicsResult* result);

#endif
