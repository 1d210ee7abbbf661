// plot_runs.h: many runs in one picture: learning curves with bands over runs, or final scores with intervals. A panel
// a dataset, a colour a group.
//
// A group is an algorithm's label, and with `by` the value of a hyperparameter too. A curve is the mean over the runs
// of a group, each interpolated linearly between its own log lines, over the range that all of them cover; what was
// interpolated, cut or left out is a note.
#ifndef UF_PLOT_RUNS_H
#define UF_PLOT_RUNS_H

#include "core/results/protocol.h"

typedef struct UfPlotRuns {
    const char* const* sources;  // run folders, folders that hold some, result stores
    int num_sources;
    const char* output;  // .png, .svg or .pdf.   Nullable: then only csv
    const char* csv;     // what is drawn as a table.   Nullable
    const char* by;      // hyperparameter.   Nullable
    bool final;          // final scores: inter-quartile mean over runs, as uf_protocol has it

    // of curves; each Nullable or 0
    const char* metric;  // column of log.jsonl.   NULL: evaluation score (return where there are none)
    const char* x;       // "updates" or "seconds".   NULL: updates (epochs of world models)
    const char* band;    // "stderr" (NULL), "std", "minmax", or "ci": Student's interval of the mean
    int smooth;          // each point is the mean of itself and the smooth - 1 before it, of its run

    double confidence;   // of "ci" and of final scores, between 0 and 1
    int num_bootstraps;  // of final scores; 0: no intervals
    uint64_t seed;
    int num_threads;  // 0: all cores
} UfPlotRuns;

typedef struct UfPlotReport {
    char* notes;                             // a line for each thing that readers should know; maybe none
    int num_runs, num_groups, num_datasets;  // that are drawn
} UfPlotReport;

// From a store, curves are those of the run folders that its rows came from, where these still hold the same policy.
// After an error the report is as far as it came. Errors: UF_ERR_ARGUMENT (nothing to draw; an unknown metric, band or
// ending, with the nearest known name; one dataset's name for two), UF_ERR_CONFIG (`by` is no hyperparameter), and what
// reading and writing can refuse.
UfStatus uf_plot_runs(const UfPlotRuns* options, UfPlotReport* report);
void uf_plot_report_free(UfPlotReport* report);

#endif
