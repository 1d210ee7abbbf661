// run_log.c: see run_log.h. uf_log_begin of run_folder.h is what writes these lines.
//
// Rooms: columns, lines, API.
#include "core/runs/run_log.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/runs/run_folder.h"

// ---- columns ----

int uf_run_log_column(const UfRunLog* log, const char* name) {
    for (int i = 0; i < log->num_columns; i++)
        if (!strcmp(log->names[i], name)) return i;
    return -1;
}

static UfStatus add_column(UfRunLog* log, const char* name, int* capacity) {
    if (log->num_columns == *capacity) {
        char** grown;
        const int wanted = *capacity ? 2 * *capacity : 32;
        UF_TRY(UF_ALLOC(&grown, wanted, "columns of a log"));
        if (log->names) memcpy(grown, log->names, sizeof *grown * (size_t)log->num_columns);
        uf_free(log->names);
        log->names = grown;
        *capacity = wanted;
    }
    UF_TRY(uf_strdup(&log->names[log->num_columns], name));
    log->num_columns++;
    return UF_OK;
}

// A log may gain columns where a newer version goes on with the run, so all lines are asked.
static UfStatus find_columns(UfRunLog* log, cJSON* const* lines) {
    int capacity = 0;
    for (int row = 0; row < log->num_rows; row++) {
        int place = 0;
        const cJSON* item;
        cJSON_ArrayForEach(item, lines[row]) {
            const bool expected = place < log->num_columns && !strcmp(log->names[place], item->string);
            if (!expected && uf_run_log_column(log, item->string) < 0)
                UF_TRY(add_column(log, item->string, &capacity));
            place++;
        }
    }
    return UF_OK;
}

// ---- lines ----

static UfStatus parse_lines(UfRunLog* log, const char* path, const char* data, size_t num_bytes,
                            cJSON** lines) {
    const char *line = data, *end;
    while ((end = memchr(line, '\n', num_bytes - (size_t)(line - data)))) {
        cJSON* json = cJSON_ParseWithLength(line, (size_t)(end - line));
        if (!cJSON_IsObject(json)) {
            cJSON_Delete(json);
            return UF_FAIL(UF_ERR_FORMAT, "%s: line %d is not a JSON object; is the file damaged?", path,
                           log->num_rows + 1);
        }
        lines[log->num_rows++] = json;
        line = end + 1;
    }
    return UF_OK;
}

static UfStatus fill(UfRunLog* log, cJSON* const* lines) {
    UF_TRY(find_columns(log, lines));
    const size_t columns = (size_t)log->num_columns, count = (size_t)log->num_rows * columns;
    UF_TRY(UF_ALLOC(&log->values, count + 1, "a log"));
    for (size_t i = 0; i < count; i++) log->values[i] = NAN;
    for (int row = 0; row < log->num_rows; row++) {
        int place = 0;
        const cJSON* item;
        cJSON_ArrayForEach(item, lines[row]) {
            const bool expected = place < log->num_columns && !strcmp(log->names[place], item->string);
            const int column = expected ? place : uf_run_log_column(log, item->string);
            if (cJSON_IsNumber(item)) log->values[(size_t)row * columns + (size_t)column] = item->valuedouble;
            place++;
        }
    }
    return UF_OK;
}

// ---- API ----

UfStatus uf_run_log_read(UfRunLog* log, const char* folder) {
    char path[UF_PATH_BYTES], *data;
    size_t num_bytes, num_lines = 0;
    cJSON** lines;
    *log = (UfRunLog){0};
    if (!uf_has_file(folder, "log.jsonl")) return UF_OK;
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    UF_TRY(uf_read_file(path, &data, &num_bytes));
    for (size_t i = 0; i < num_bytes; i++) num_lines += data[i] == '\n';
    UfStatus status = UF_ALLOC(&lines, num_lines + 1, "lines of a log");
    if (status == UF_OK) {
        status = parse_lines(log, path, data, num_bytes, lines);
        if (status == UF_OK) status = fill(log, lines);
        for (size_t i = 0; i < num_lines; i++) cJSON_Delete(lines[i]);
        uf_free(lines);
    }
    uf_free(data);
    if (status != UF_OK) uf_run_log_free(log);
    return status;
}

void uf_run_log_free(UfRunLog* log) {
    for (int i = 0; i < log->num_columns; i++) uf_free(log->names[i]);
    uf_free(log->names);
    uf_free(log->values);
    *log = (UfRunLog){0};
}

double uf_run_log_at(const UfRunLog* log, int row, const char* name) {
    const int column = uf_run_log_column(log, name);
    return column < 0 ? NAN : log->values[(size_t)row * (size_t)log->num_columns + (size_t)column];
}
