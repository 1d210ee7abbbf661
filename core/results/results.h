// results.h: what goes into a result store and comes out of it: run folders, .npz files as the reference writes them,
// tables.
#ifndef UF_RESULTS_H
#define UF_RESULTS_H

#include "core/results/scores.h"
#include "core/results/store.h"

// Puts the final evaluation of a run folder (final.h5) into a store. A run with a return that is not finite is
// stored as failed, with the sentence; *failed says so.   Nullable: row: a copy of what was stored, to be freed
UfStatus uf_results_put_run(UfStore* store, const char* folder, UfStoreRow* row, bool* failed);

// Puts run folders (or folders that hold some, or .npz files) and .npz files into a store. Of .npz files the name
// says algorithm and dataset, <algorithm>_<dataset>_<YYYY-MM-DD_HH-MM-SS>.npz; pickled `args` are not looked into.
// What cannot be read does not stop the rest; its first sentence comes back at the end, with its status.
typedef struct UfImportCounts {
    int num_stored, num_failed, num_refused;  // of the stored ones, failed; not stored
} UfImportCounts;
UfStatus uf_results_import(UfStore* store, const char* const* paths, int num_paths, UfImportCounts* counts);

// Adds the policies of a store that were evaluated to those that the bandit protocol compares, as
// uf_scores_add_runs does those of run folders. A policy that two stores hold is refused there, as one given twice.
// Errors: UF_ERR_ARGUMENT where there is none.
UfStatus uf_results_add_scores(UfScoreTable* table, const char* store);
// Either: a file is a store, everything else run folders.
UfStatus uf_results_add_source(UfScoreTable* table, const char* source);

// A line a policy, with the hyperparameters that differ among those of its algorithm. Free *text with uf_free.
UfStatus uf_results_table(const UfStoreRows* rows, char** text);
UfStatus uf_results_csv(const UfStoreRows* rows, const char* path);
// One file a policy that was evaluated, in the reference's layout: final_returns (rounds, workers) and the like,
// final_scores where there are some; no args. *count: how many were written.
UfStatus uf_results_npz(const UfStoreRows* rows, const char* folder, int* count);

#endif
