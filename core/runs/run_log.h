// run_log.h: log.jsonl of a run folder as a table: a row a line, a column a name.
#ifndef UF_RUN_LOG_H
#define UF_RUN_LOG_H

#include "core/core.h"

typedef struct UfRunLog {
    int num_rows, num_columns;
    char** names;    // (num_columns) in order of appearance: "update" (or "epoch"), "seconds", ...
    double* values;  // (num_rows, num_columns); NaN: null, or the line has none
} UfRunLog;

// A run without a log, or with an empty one, has no rows. A last line that is not whole yet is left out: the run
// may be writing it. Errors: UF_ERR_FORMAT (a line that is no JSON object), UF_ERR_IO, UF_ERR_MEMORY.
UfStatus uf_run_log_read(UfRunLog* log, const char* folder);
void uf_run_log_free(UfRunLog* log);

int uf_run_log_column(const UfRunLog* log, const char* name);  // -1: there is none
double uf_run_log_at(const UfRunLog* log, int row, const char* name);

#endif
