// scores.h: final returns of many policies, put together by dataset and algorithm for the protocol.
#ifndef UF_SCORES_H
#define UF_SCORES_H

#include "core/config.h"
#include "core/results/protocol.h"

// One policy's final evaluation, wherever it was stored. Copied.
typedef struct UfPolicyResult {
    const char* source;   // who it is, for messages: a run folder; each comes once
    const char* dataset;  // name or path; of policies trained online the environment
    const char* hash;     // SHA-256 of the dataset, "" where there is none
    const char* env;      // where it was evaluated
    const char* algorithm;
    int num_rollouts;
    const double* returns;  // (num_rollouts)
    const double* scores;   // (num_rollouts)   Nullable: an environment without reference scores
} UfPolicyResult;

typedef struct UfScoreRow UfScoreRow;  // a policy
typedef struct UfScoreTable {
    const UfParam* by;  // policies are grouped by its value too.   NULL: by algorithm alone
    int num_scores;
    UfScores* scores;  // by dataset, then algorithm, in order of appearance; uf_scores_group makes them
    UfText notes;      // a line for each thing that readers should know
    int num_rows, capacity, num_unfinished;
    UfScoreRow* rows;
    char* unfinished;  // the first run without a result
} UfScoreTable;

// The group that a policy belongs to: its algorithm's label, "td3_bc", and with `by` "td3_bc, lr=0.001".   Nullable: by
#define UF_LABEL_BYTES (2 * UF_STRING_BYTES + 64)
void uf_scores_label(const UfConfig* config, const UfParam* by, char label[UF_LABEL_BYTES]);

// Errors: UF_ERR_NONFINITE (a return), UF_ERR_ARGUMENT (a source twice, no rollouts).
UfStatus uf_scores_add(UfScoreTable* table, const UfPolicyResult* result);
// The same of final.h5 of a run folder, or of each run below a folder. Runs without one are left out with a note.
UfStatus uf_scores_add_runs(UfScoreTable* table, const char* folder);
// Makes `scores`. A dataset whose results are not all scored goes by returns, with a note.
// Errors: UF_ERR_ARGUMENT: no policies; policies of one matrix with different numbers of rollouts; one name of two
// datasets (another hash) or of one that was evaluated in two environments.
UfStatus uf_scores_group(UfScoreTable* table);
void uf_scores_free(UfScoreTable* table);

#endif
