// report.h: the results of many runs as one page, with published figures beside those on D4RL's own files.
#ifndef UF_REPORT_H
#define UF_REPORT_H

#include "core/core.h"

typedef struct UfReportOptions {
    const char* const* folders;  // run folders, or folders that hold some
    int num_folders;
    const char* output;  // Markdown
    const char* csv;     // a line a run.   Nullable
} UfReportOptions;

typedef struct UfReportCounts {
    int num_results, num_missing;  // runs in the tables; runs without a result, which the page lists
} UfReportCounts;

// Reads final.h5 and log.jsonl of each run and writes the page. A result that cannot be read is among the missing
// ones: the page is written without it, then its error is returned. Errors: UF_ERR_ARGUMENT where there is no
// result at all (nothing is written then), and what files can refuse.
UfStatus uf_report(const UfReportOptions* options, UfReportCounts* counts);

#endif
