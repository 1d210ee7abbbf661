// run_log.c: see run_log.h.
//
// Rooms: columns, lines, reading, writing.
#include "core/runs/run_log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>  // open
#include <inttypes.h>
#include <math.h>
#include <stdio.h>  // snprintf, sscanf
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>  // write, fsync

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

// ---- reading ----

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

// ---- writing ----

static UfStatus append_to_file(const char* path, const char* data, size_t num_bytes) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return uf_fail_io("open the log", path);
    while (num_bytes > 0) {
        ssize_t written = write(file, data, num_bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) break;
        data += written;
        num_bytes -= (size_t)written;
    }
    UfStatus status = num_bytes || fsync(file) ? uf_fail_io("write the log", path) : UF_OK;
    if (close(file) && status == UF_OK) status = uf_fail_io("close the log", path);
    return status;
}

// Keeps the whole lines whose count, found by the scanf format, is at most last; the csv header has
// none and stays. *seconds becomes the wall clock of the last line kept.
static UfStatus truncate_log(const char* path, const char* format, int64_t last, double* seconds) {
    char* data;
    size_t num_bytes, kept = 0;
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_read_file(path, &data, &num_bytes));
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        int64_t count = 0;
        double wall = 0;
        sscanf(line, format, &count, &wall);
        if (count > last) break;
        kept = (size_t)(end + 1 - data);
        if (count > 0) *seconds = wall;
    }
    UfStatus status = kept < num_bytes ? uf_write_file(path, data, kept) : UF_OK;
    uf_free(data);
    return status;
}

// A log of other units is that of another command, which has its config.json here: nothing of it is touched.
static UfStatus check_unit(const UfRunFolder* folder, const char* path, const char* unit) {
    char* data;
    size_t num_bytes;
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_read_file(path, &data, &num_bytes));
    const size_t length = strcspn(data, ",\n"), wanted = strlen(unit);
    UfStatus status = UF_OK;
    if (length && (length != wanted || memcmp(data, unit, wanted) != 0))
        status =
            UF_FAIL(UF_ERR_ARGUMENT,
                    "%s: holds the run of another command: its log.csv begins with '%.*s', expected '%s'; "
                    "resume it with the command that began it",
                    folder->name, (int)(length < 32 ? length : 32), data, unit);
    uf_free(data);
    return status;
}

UfStatus uf_run_log_truncate(const UfRunFolder* folder, const char* unit, int64_t last, double* seconds) {
    char path[UF_PATH_BYTES], format[64];
    uf_run_folder_path(folder, "log.csv", path);
    UF_TRY(check_unit(folder, path, unit));
    UF_TRY(truncate_log(path, "%" SCNd64 ",%lf", last, seconds));
    uf_run_folder_path(folder, "log.jsonl", path);
    snprintf(format, sizeof(format), "{\"%s\": %%" SCNd64 ", \"seconds\": %%lf", unit);
    return truncate_log(path, format, last, seconds);
}

UfStatus uf_run_log_last(const char* folder, int64_t* update, double* seconds) {
    UfRunLog log;
    UF_TRY(uf_run_log_read(&log, folder));
    const int last = log.num_rows - 1;
    const double u = last < 0 ? 0 : uf_run_log_at(&log, last, "update"),
                 s = last < 0 ? 0 : uf_run_log_at(&log, last, "seconds");
    uf_run_log_free(&log);
    if (last < 0) return UF_OK;
    if (!isfinite(u) || !isfinite(s))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s/log.jsonl: the last line has no update and seconds; is the file damaged?", folder);
    *update = (int64_t)u;
    *seconds = s;
    return UF_OK;
}

void uf_log_begin(UfLogLine* line, const char* unit, int64_t count, double seconds) {
    *line = (UfLogLine){.json.data = NULL};
    uf_text_add(&line->json, "{\"%s\": %" PRId64, unit, count);
    uf_text_add(&line->csv, "%" PRId64, count);
    uf_text_add(&line->header, "%s", unit);
    uf_log_number(line, "seconds", seconds);
}

// JSON knows no NaN: null there, an empty cell here.
void uf_log_number(UfLogLine* line, const char* name, double value) {
    uf_text_add(&line->header, ",%s", name);
    uf_text_add(&line->json, ", \"%s\": ", name);
    uf_text_add(&line->json, isfinite(value) ? "%.9g" : "null", value);
    uf_text_add(&line->csv, isfinite(value) ? ",%.9g" : ",", value);
}

UfStatus uf_log_finish(const UfRunFolder* folder, UfLogLine* line) {
    uf_text_add(&line->json, "}\n");
    uf_text_add(&line->csv, "\n");
    uf_text_add(&line->header, "\n");
    char *json, *csv, *header, path[UF_PATH_BYTES];
    UfStatus status[] = {uf_text_finish(&line->json, &json), uf_text_finish(&line->csv, &csv),
                         uf_text_finish(&line->header, &header)};
    UfStatus result = status[0] ? status[0] : status[1] ? status[1] : status[2];
    uf_run_folder_path(folder, "log.csv", path);
    struct stat info;
    bool fresh = stat(path, &info) != 0 || info.st_size == 0;
    if (result == UF_OK && fresh) result = append_to_file(path, header, strlen(header));
    if (result == UF_OK) result = append_to_file(path, csv, strlen(csv));
    uf_run_folder_path(folder, "log.jsonl", path);
    if (result == UF_OK) result = append_to_file(path, json, strlen(json));
    uf_free(json);
    uf_free(csv);
    uf_free(header);
    return result;
}
