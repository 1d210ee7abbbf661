// run_log.h: the log of a run folder: written a line at a time, and read as a table.
//
// log.jsonl and log.csv get a line each interval; a resumed run first drops the lines that are younger than what it goes
// on from.
#ifndef UF_RUN_LOG_H
#define UF_RUN_LOG_H

#include "core/runs/run_folder.h"

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

// Lines begin with a count ("update" or "epoch") and "seconds". A log of other units is refused.
UfStatus uf_run_log_truncate(const UfRunFolder* folder, const char* unit, int64_t last, double* seconds);

// Count of updates and wall clock of the log's last whole line; both stay as they are without a log.
UfStatus uf_run_log_last(const char* folder, int64_t* update, double* seconds);

typedef struct UfLogLine {
    UfText json, csv, header;
} UfLogLine;
void uf_log_begin(UfLogLine* line, const char* unit, int64_t count, double seconds);
void uf_log_number(UfLogLine* line, const char* name, double value);  // not finite: null, an empty cell
UfStatus uf_log_finish(const UfRunFolder* folder, UfLogLine* line);

#endif
