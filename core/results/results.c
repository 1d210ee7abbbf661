// results.c: see results.h.
//
// Rooms: run folders, .npz in, import, scores, tables, .npz out.
// Source: unifloral.py (the .npz a run ends with), evaluation.py (how their names are read).
#include "core/results/results.h"

#include <cjson/cJSON.h>
#include <glob.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf, sscanf
#include <stdlib.h>  // free
#include <string.h>
#include <time.h>  // timegm

#include "core/config.h"
#include "core/data/h5.h"
#include "core/data/npz.h"
#include "core/runs/run_folder.h"
#include "core/runs/run_log.h"

// The reference's times: "2025-04-20_12-34-56".
#define TIME_BYTES 20

// ---- run folders ----

static UfStatus read_array(const UfH5* h5, const char* name, UfH5Type type, size_t item_bytes, int64_t* count,
                           void** out) {
    UfH5Shape shape;
    if (!uf_h5_exists(h5, name)) return UF_OK;
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (*count && shape.count != *count)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %" PRId64 " numbers, 'returns' %" PRId64, h5->path, name,
                       shape.count, *count);
    *count = shape.count;
    UF_TRY(uf_alloc(out, (size_t)shape.count, item_bytes, "final returns"));
    return uf_h5_read(h5, name, type, *out, shape.count);
}

static UfStatus read_integer(const UfH5* h5, const char* name, int64_t* value) {
    double number;
    if (!uf_h5_has_attribute(h5, "/", name)) return UF_OK;
    UF_TRY(uf_h5_read_number(h5, "/", name, &number));
    *value = (int64_t)number;
    return UF_OK;
}

// Label and dataset's name as the configuration has them; a run without a dataset goes by its environment.
static UfStatus name_row(UfStoreRow* r) {
    UfConfig* config;
    char stem[UF_STRING_BYTES];
    UF_TRY(uf_config_create(&config));
    UfStatus status = uf_config_parse(config, r->config, r->source);
    if (status == UF_OK) status = uf_strdup(&r->algorithm, config->algorithm);
    if (status == UF_OK)
        status = uf_strdup(&r->dataset,
                           uf_file_stem(config->online ? config->env : config->dataset, stem, sizeof stem));
    uf_config_free(config);
    return status;
}

static UfStatus read_result(const UfH5* h5, UfStoreRow* r) {
    char* kind = NULL;
    UF_TRY(uf_h5_read_string(h5, "/", "kind", &kind));
    bool result = !strcmp(kind, "unifloral-result");
    uf_free(kind);
    if (!result) return UF_FAIL(UF_ERR_FORMAT, "%s: is not the result of a run", h5->path);
    UF_TRY(uf_h5_read_string(h5, "/", "config", &r->config));
    UF_TRY(uf_h5_read_string(h5, "/", "version", &r->version));
    UF_TRY(uf_h5_read_string(h5, "/", "dataset_hash", &r->dataset_hash));
    UF_TRY(uf_h5_read_string(h5, "/", "env", &r->env));
    UF_TRY(read_integer(h5, "dataset_rows", &r->dataset_rows));
    UF_TRY(read_integer(h5, "seed", &r->seed));
    UF_TRY(read_integer(h5, "num_updates", &r->num_updates));
    UF_TRY(read_array(h5, "returns", UF_H5_DOUBLE, sizeof(double), &r->num_episodes, (void**)&r->returns));
    UF_TRY(read_array(h5, "scores", UF_H5_DOUBLE, sizeof(double), &r->num_episodes, (void**)&r->scores));
    UF_TRY(read_array(h5, "lengths", UF_H5_INT32, sizeof(int32_t), &r->num_episodes, (void**)&r->lengths));
    return name_row(r);
}

static UfStatus read_run(const char* folder, UfStoreRow* r) {
    char path[UF_PATH_BYTES];
    UfH5 h5;
    int64_t update;
    *r = (UfStoreRow){.seconds = NAN, .seed = -1};
    UF_TRY(uf_strdup(&r->source, folder));
    UF_TRY(uf_strdup(&r->message, ""));
    if (!uf_has_file(folder, "final.h5"))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: has no final.h5; is the run finished?", folder);
    if (snprintf(path, sizeof path, "%s/final.h5", folder) >= (int)sizeof path)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", folder);
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = read_result(&h5, r);
    uf_h5_close(&h5);
    return status == UF_OK ? uf_run_log_last(folder, &update, &r->seconds) : status;
}

// A result with numbers that are none is a failure.
static UfStatus put(UfStore* store, UfStoreRow* r, bool* failed) {
    UfStatus status = uf_store_put(store, r);
    *failed = status == UF_ERR_NONFINITE;
    if (!*failed) return status;
    uf_free(r->message);
    r->message = NULL;
    r->num_episodes = 0;
    UF_TRY(uf_strdup(&r->message, uf_error()));
    return uf_store_put(store, r);
}

UfStatus uf_results_put_run(UfStore* store, const char* folder, UfStoreRow* row, bool* failed) {
    UfStoreRow r;
    UfStatus status = read_run(folder, &r);
    if (status == UF_OK) status = put(store, &r, failed);
    if (row && status == UF_OK)
        *row = r;
    else
        uf_store_row_free(&r);
    return status;
}

// ---- .npz in ----

static UfStatus fail_name(const char* path) {
    return UF_FAIL(
        UF_ERR_FORMAT,
        "%s: the name does not say what it is; expected <algorithm>_<dataset>_<YYYY-MM-DD_HH-MM-SS>.npz",
        path);
}

// Names of D4RL's datasets have no underscore, those of algorithms may.
static UfStatus parse_name(const char* path, UfStoreRow* r) {
    char name[UF_STRING_BYTES], stem[UF_STRING_BYTES], added[32];
    int year, month, day, hour, minute, second, end = 0;
    uf_file_stem(path, stem, sizeof stem);
    size_t length = strlen(stem);
    if (length <= TIME_BYTES) return fail_name(path);
    snprintf(name, sizeof name, "%.*s", (int)(length - TIME_BYTES), stem);
    if (sscanf(stem + length - TIME_BYTES, "_%4d-%2d-%2d_%2d-%2d-%2d%n", &year, &month, &day, &hour, &minute,
               &second, &end) != 6 ||
        end != TIME_BYTES)
        return fail_name(path);
    char* underscore = strrchr(name, '_');
    if (!underscore || underscore == name || !underscore[1]) return fail_name(path);
    *underscore = 0;
    snprintf(added, sizeof added, "%04u-%02u-%02u %02u:%02u:%02u", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100, (unsigned)hour % 100, (unsigned)minute % 100,
             (unsigned)second % 100);
    UF_TRY(uf_strdup(&r->algorithm, name));
    UF_TRY(uf_strdup(&r->dataset, underscore + 1));
    return uf_strdup(&r->added, added);
}

static UfStatus take_numbers(const UfNpz* z, const char* name, int64_t* count, double** out) {
    const UfNpyArray* a = uf_npz_find(z, name);
    if (!a) return UF_OK;
    if (*count && a->count != *count)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' has %" PRId64 " numbers, 'final_returns' %" PRId64, z->path,
                       name, a->count, *count);
    *count = a->count;
    UF_TRY(UF_ALLOC(out, a->count, "final returns"));
    int64_t columns = a->rank == 2 ? a->dims[1] : 1;
    for (int64_t i = 0; i < a->count; i++) (*out)[i] = uf_npy_at(a, i / columns, i % columns, columns);
    return UF_OK;
}

static UfStatus take_text(const cJSON* json, const char* name, char** out) {
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(json, name);
    uf_free(*out);
    *out = NULL;
    return uf_strdup(out, cJSON_IsString(item) ? item->valuestring : "");
}

static double take_number(const cJSON* json, const char* name, double otherwise) {
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) && fabs(item->valuedouble) < 9e15 ? item->valuedouble : otherwise;
}

// What uf_results_npz writes beside the reference's arrays: JSON as bytes.
static UfStatus take_provenance(const UfNpz* z, const UfNpyArray* a, UfStoreRow* r) {
    cJSON* json = a->kind == 'u' && a->item_bytes == 1
                      ? cJSON_ParseWithLength((const char*)a->data, (size_t)a->count)
                      : NULL;
    const struct {
        const char* name;
        char** out;
    } texts[] = {{"algorithm", &r->algorithm},
                 {"dataset", &r->dataset},
                 {"dataset_hash", &r->dataset_hash},
                 {"env", &r->env},
                 {"config", &r->config},
                 {"version", &r->version}};
    if (!json) return UF_FAIL(UF_ERR_FORMAT, "%s: array 'unifloral' is not JSON", z->path);
    UfStatus status = UF_OK;
    for (size_t i = 0; status == UF_OK && i < sizeof texts / sizeof texts[0]; i++)
        status = take_text(json, texts[i].name, texts[i].out);
    r->seed = (int64_t)take_number(json, "seed", -1);
    r->dataset_rows = (int64_t)take_number(json, "dataset_rows", 0);
    r->num_updates = (int64_t)take_number(json, "num_updates", 0);
    r->seconds = take_number(json, "seconds", NAN);
    cJSON_Delete(json);
    return status;
}

static UfStatus take_lengths(const UfNpz* z, UfStoreRow* r) {
    const UfNpyArray* a = uf_npz_find(z, "final_lengths");
    double* lengths = NULL;
    int64_t count = r->num_episodes;
    if (!a) return UF_OK;
    UfStatus status = take_numbers(z, "final_lengths", &count, &lengths);
    if (status == UF_OK) status = UF_ALLOC(&r->lengths, count, "episode lengths");
    for (int64_t i = 0; status == UF_OK && i < count; i++) {
        if (!(lengths[i] >= 0 && lengths[i] <= INT32_MAX))
            status = UF_FAIL(UF_ERR_FORMAT, "%s: 'final_lengths' %" PRId64 " is %g", z->path, i, lengths[i]);
        else
            r->lengths[i] = (int32_t)lengths[i];
    }
    uf_free(lengths);
    return status;
}

static UfStatus fill_from_npz(const UfNpz* z, UfStoreRow* r) {
    const UfNpyArray* provenance = uf_npz_find(z, "unifloral");
    UF_TRY(uf_strdup(&r->source, z->path));
    UF_TRY(uf_strdup(&r->message, ""));
    UF_TRY(uf_strdup(&r->dataset_hash, ""));
    UF_TRY(uf_strdup(&r->env, ""));
    UF_TRY(uf_strdup(&r->config, ""));
    UF_TRY(uf_strdup(&r->version, ""));
    UF_TRY(parse_name(z->path, r));
    if (!uf_npz_find(z, "final_returns"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: there is no array 'final_returns'; is it the result of a run?",
                       z->path);
    UF_TRY(take_numbers(z, "final_returns", &r->num_episodes, &r->returns));
    UF_TRY(take_numbers(z, "final_scores", &r->num_episodes, &r->scores));
    UF_TRY(take_lengths(z, r));
    return provenance ? take_provenance(z, provenance, r) : UF_OK;
}

static UfStatus read_npz(const char* path, UfStoreRow* r) {
    static const char* const known[] = {"final_returns", "final_scores", "final_lengths", "unifloral", NULL};
    char* data;
    size_t size;
    UfNpz* z;
    *r = (UfStoreRow){.seconds = NAN, .seed = -1};
    UF_TRY(UF_ALLOC(&z, 1, "arrays"));
    UfStatus status = uf_read_file(path, &data, &size);
    if (status == UF_OK) {
        status = uf_npz_read(z, path, data, size, known);
        if (status == UF_OK) status = fill_from_npz(z, r);
        uf_npz_free(z);
        uf_free(data);
    }
    uf_free(z);
    return status;
}

// ---- import ----

typedef struct Import {
    UfStore* store;
    UfImportCounts* counts;
    UfStatus refused;  // the first one
    char* complaint;
} Import;

// Counts what was stored or refused; goes on unless the store itself is in trouble.
static UfStatus settle(Import* import, UfStatus status, bool failed) {
    if (status == UF_OK) {
        import->counts->num_stored++;
        import->counts->num_failed += failed;
        return UF_OK;
    }
    if (status == UF_ERR_MEMORY) return status;
    import->counts->num_refused++;
    if (import->refused != UF_OK) return UF_OK;
    import->refused = status;
    return uf_strdup(&import->complaint, uf_error());
}

static UfStatus import_run(void* user, const char* folder) {
    Import* import = user;
    bool failed = false;
    UfStatus status = uf_results_put_run(import->store, folder, NULL, &failed);
    return settle(import, status, failed);
}

static UfStatus import_npz(Import* import, const char* path) {
    UfStoreRow row;
    bool failed = false;
    UfStatus status = read_npz(path, &row);
    if (status == UF_OK) status = put(import->store, &row, &failed);
    uf_store_row_free(&row);
    return settle(import, status, failed);
}

static bool is_npz(const char* path) {
    size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, ".npz");
}

static UfStatus import_path(Import* import, const char* path) {
    int count = 0;
    if (is_npz(path)) return import_npz(import, path);
    UF_TRY(uf_runs_below(path, import_run, import, &count));
    if (count) return UF_OK;
    char pattern[UF_PATH_BYTES];
    glob_t found = {0};
    UfStatus status = UF_OK;
    snprintf(pattern, sizeof pattern, "%s/*.npz", path);
    int code = glob(pattern, 0, NULL, &found);
    if (code == GLOB_NOSPACE) status = UF_FAIL(UF_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; status == UF_OK && i < found.gl_pathc; i++)
        status = import_npz(import, found.gl_pathv[i]);
    if (status == UF_OK && !found.gl_pathc)
        status = settle(import, UF_FAIL(UF_ERR_ARGUMENT, "%s: holds no run and no .npz file", path), false);
    globfree(&found);
    return status;
}

UfStatus uf_results_import(UfStore* store, const char* const* paths, int num_paths, UfImportCounts* counts) {
    Import import = {.store = store, .counts = counts};
    UfStatus status = UF_OK;
    *counts = (UfImportCounts){0};
    for (int i = 0; status == UF_OK && i < num_paths; i++) status = import_path(&import, paths[i]);
    if (status == UF_OK && import.refused != UF_OK) status = UF_FAIL(import.refused, "%s", import.complaint);
    uf_free(import.complaint);
    return status;
}

// ---- scores ----

// A result that the reference wrote has no configuration.
static UfStatus label_row(const UfStoreRow* r, const UfParam* by, const char* source,
                          char label[UF_LABEL_BYTES]) {
    UfConfig* config;
    snprintf(label, UF_LABEL_BYTES, "%s", r->algorithm);
    if (!by) return UF_OK;
    if (!r->config[0])
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: its configuration is not known, so that it cannot be grouped by %s", source,
                       by->name);
    UF_TRY(uf_config_create(&config));
    UfStatus status = uf_config_parse(config, r->config, source);
    if (status == UF_OK) uf_scores_label(config, by, label);
    uf_config_free(config);
    return status;
}

static UfStatus add_scores(UfScoreTable* table, const UfStoreRow* r) {
    char source[2 * UF_STRING_BYTES], label[UF_LABEL_BYTES];
    // Not by its run folder, which may have held others: one policy has one key in every store.
    snprintf(source, sizeof source, "%s on %s, seed %" PRId64 " (%.12s)", r->algorithm, r->dataset, r->seed,
             r->key);
    if (r->num_episodes > INT32_MAX)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: %" PRId64 " final episodes are too many", source,
                       r->num_episodes);
    UF_TRY(label_row(r, table->by, source, label));
    return uf_scores_add(table, &(UfPolicyResult){.source = source,
                                                  .dataset = r->dataset,
                                                  .hash = r->dataset_hash,
                                                  .env = r->env,
                                                  .algorithm = label,
                                                  .num_rollouts = (int)r->num_episodes,
                                                  .returns = r->returns,
                                                  .scores = r->scores});
}

UfStatus uf_results_add_scores(UfScoreTable* table, const char* path) {
    UfStore* store;
    UfStoreRows rows;
    int count = 0;
    UF_TRY(uf_store_open(&store, path, false));
    UfStatus status = uf_store_rows(store, NULL, 0, &rows);
    uf_store_close(store);
    UF_TRY(status);
    for (int i = 0; status == UF_OK && i < rows.count; i++) {
        if (!rows.rows[i].num_episodes) continue;
        status = add_scores(table, &rows.rows[i]);
        count++;
    }
    if (status == UF_OK && rows.count > count)
        uf_text_add(&table->notes, "%s: %d policies without final returns are left out\n", path,
                    rows.count - count);
    uf_store_rows_free(&rows);
    if (status == UF_OK && !count) status = UF_FAIL(UF_ERR_ARGUMENT, "%s: holds no evaluated policy", path);
    return status;
}

UfStatus uf_results_add_source(UfScoreTable* table, const char* source) {
    return uf_is_file(source) ? uf_results_add_scores(table, source) : uf_scores_add_runs(table, source);
}

// ---- tables ----

typedef struct Table {
    const UfStoreRows* rows;
    cJSON** configs;  // (rows).   NULL: not known
} Table;

static UfStatus open_table(Table* t, const UfStoreRows* rows) {
    *t = (Table){.rows = rows};
    UF_TRY(UF_ALLOC(&t->configs, rows->count + 1, "configurations"));
    for (int i = 0; i < rows->count; i++) t->configs[i] = cJSON_Parse(rows->rows[i].config);
    return UF_OK;
}

static void close_table(Table* t) {
    for (int i = 0; t->configs && i < t->rows->count; i++) cJSON_Delete(t->configs[i]);
    uf_free(t->configs);
}

static const cJSON* setting(const Table* t, int row, const UfParam* p) {
    return cJSON_GetObjectItemCaseSensitive(t->configs[row], p->name);
}

// Columns of their own, or of no weight.
static bool is_setting(const UfParam* p) {
    static const char* const others[] = {"seed", "dataset", "env", "algorithm"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (!strcmp(p->name, others[i])) return false;
    return p->type != UF_TYPE_GROUP && uf_param_shapes_results(p);
}

// Whether rows (of one algorithm, or all: NULL) have different values of a hyperparameter.
static bool varies(const Table* t, const UfParam* p, const char* algorithm) {
    const cJSON* first = NULL;
    for (int i = 0; is_setting(p) && i < t->rows->count; i++) {
        if (algorithm && strcmp(t->rows->rows[i].algorithm, algorithm)) continue;
        const cJSON* item = setting(t, i, p);
        if (first && item && !cJSON_Compare(first, item, true)) return true;
        if (!first) first = item;
    }
    return false;
}

static void mean_of(const double* x, int64_t count, double* mean, double* error) {
    double sum = 0, squares = 0;
    *mean = *error = NAN;
    if (!x || !count) return;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    if (count > 1) *error = sqrt(squares / (double)(count - 1) / (double)count);
}

static void add_value(UfText* text, const cJSON* item) {
    char* value = cJSON_IsString(item) ? item->valuestring : cJSON_PrintUnformatted(item);
    uf_text_add(text, "%s", value ? value : "");
    if (!cJSON_IsString(item)) cJSON_free(value);
}

static void add_line(UfText* text, const Table* t, int row, const bool* varying) {
    const UfStoreRow* r = &t->rows->rows[row];
    char number[64], wall[32];
    double score, score_error, ret, ret_error;
    mean_of(r->scores, r->num_episodes, &score, &score_error);
    mean_of(r->returns, r->num_episodes, &ret, &ret_error);
    uf_text_add(text, "%-12s %-28s ", r->algorithm, r->dataset);
    snprintf(number, sizeof number, "%" PRId64, r->seed);
    uf_text_add(text, "%5s ", r->seed < 0 ? "" : number);
    snprintf(number, sizeof number, "%.1f +- %.1f", score, score_error);
    uf_text_add(text, "%15s ", isfinite(score) ? number : "");
    snprintf(number, sizeof number, "%.1f", ret);
    uf_text_add(text, "%9s %8" PRId64 " ", isfinite(ret) ? number : "", r->num_episodes);
    uf_text_add(text, "%8s ", isfinite(r->seconds) ? uf_duration(r->seconds, wall) : "");
    for (int i = 0; i < uf_num_params; i++) {
        const cJSON* item = varying[i] ? setting(t, row, &uf_params[i]) : NULL;
        if (!item) continue;
        uf_text_add(text, " %s=", uf_params[i].name);
        add_value(text, item);
    }
    if (r->message[0]) uf_text_add(text, " FAILED: %s", r->message);
    uf_text_add(text, "\n");
}

UfStatus uf_results_table(const UfStoreRows* rows, char** out) {
    Table t;
    bool* varying = NULL;
    UfText text = {0};
    UfStatus status = open_table(&t, rows);
    if (status == UF_OK) status = UF_ALLOC(&varying, uf_num_params, "hyperparameters that differ");
    uf_text_add(&text, "%-12s %-28s %5s %15s %9s %8s %8s  %s\n", "algorithm", "dataset", "seed", "score",
                "return", "episodes", "time", "settings");
    const char* algorithm = NULL;  // rows come by algorithm
    for (int i = 0; status == UF_OK && i < rows->count; i++) {
        const char* now = rows->rows[i].algorithm;
        for (int k = 0; (!algorithm || strcmp(algorithm, now)) && k < uf_num_params; k++)
            varying[k] = varies(&t, &uf_params[k], now);
        algorithm = now;
        add_line(&text, &t, i, varying);
    }
    uf_free(varying);
    close_table(&t);
    UfStatus finished = uf_text_finish(&text, out);
    if (status == UF_OK || finished != UF_OK) return finished;
    uf_free(*out);
    *out = NULL;
    return status;
}

static void add_csv_text(UfText* text, const char* word) {
    uf_text_add_csv(text, word);
    uf_text_add(text, ",");
}

static void add_csv_setting(UfText* text, const cJSON* item) {
    if (cJSON_IsNumber(item)) {
        uf_text_add_csv_number(text, item->valuedouble);
    } else if (cJSON_IsString(item)) {
        add_csv_text(text, item->valuestring);
    } else {
        add_value(text, item);
        uf_text_add(text, ",");
    }
}

static void add_csv_line(UfText* text, const Table* t, int row, const bool* varying) {
    const UfStoreRow* r = &t->rows->rows[row];
    double numbers[5];
    const char* texts[] = {r->algorithm, r->dataset, r->dataset_hash,
                           r->env,       r->version, r->message[0] ? "failed" : "done",
                           r->message,   r->source};
    mean_of(r->scores, r->num_episodes, &numbers[0], &numbers[1]);
    mean_of(r->returns, r->num_episodes, &numbers[2], &numbers[3]);
    numbers[4] = r->seconds;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) add_csv_text(text, texts[i]);
    if (r->seed >= 0) uf_text_add(text, "%" PRId64, r->seed);
    uf_text_add(text, ",%" PRId64 ",%" PRId64 ",", r->num_updates, r->num_episodes);
    for (int i = 0; i < 5; i++) uf_text_add_csv_number(text, numbers[i]);
    for (int i = 0; i < uf_num_params; i++)
        if (varying[i]) add_csv_setting(text, setting(t, row, &uf_params[i]));
    if (text->status == UF_OK) text->data[text->length - 1] = '\n';  // the last comma
}

UfStatus uf_results_csv(const UfStoreRows* rows, const char* path) {
    Table t;
    bool* varying = NULL;
    char* data = NULL;
    UfText text = {0};
    UfStatus status = open_table(&t, rows);
    if (status == UF_OK) status = UF_ALLOC(&varying, uf_num_params, "hyperparameters that differ");
    uf_text_add(
        &text,
        "algorithm,dataset,dataset_hash,env,version,status,message,source,seed,num_updates,num_episodes,"
        "score_mean,score_stderr,return_mean,return_stderr,seconds");
    for (int i = 0; status == UF_OK && i < uf_num_params; i++) {
        varying[i] = varies(&t, &uf_params[i], NULL);
        if (varying[i]) uf_text_add(&text, ",%s", uf_params[i].name);
    }
    uf_text_add(&text, "\n");
    for (int i = 0; status == UF_OK && i < rows->count; i++) add_csv_line(&text, &t, i, varying);
    uf_free(varying);
    close_table(&t);
    UfStatus finished = uf_text_finish(&text, &data);
    if (status == UF_OK) status = finished;
    if (status == UF_OK) status = uf_write_file(path, data, strlen(data));
    uf_free(data);
    return status;
}

// ---- .npz out ----

static UfStatus provenance(const UfStoreRow* r, char** json) {
    cJSON* object = cJSON_CreateObject();
    const char *names[] = {"algorithm", "dataset", "dataset_hash", "env", "version", "config"},
               *texts[] = {r->algorithm, r->dataset, r->dataset_hash, r->env, r->version, r->config};
    bool whole = object != NULL;
    for (int i = 0; i < 6; i++) whole = whole && cJSON_AddStringToObject(object, names[i], texts[i]);
    whole = whole && cJSON_AddNumberToObject(object, "dataset_rows", (double)r->dataset_rows) &&
            cJSON_AddNumberToObject(object, "seed", (double)r->seed) &&
            cJSON_AddNumberToObject(object, "num_updates", (double)r->num_updates);
    if (isfinite(r->seconds)) whole = whole && cJSON_AddNumberToObject(object, "seconds", r->seconds);
    char* text = whole ? cJSON_PrintUnformatted(object) : NULL;
    cJSON_Delete(object);
    if (!text) return UF_FAIL(UF_ERR_MEMORY, "%s: out of memory", r->source);
    UfStatus status = uf_strdup(json, text);
    cJSON_free(text);
    return status;
}

// (rounds, workers) as the reference has it, where the episodes fill it.
static int64_t num_workers(const UfStoreRow* r) {
    cJSON* json = cJSON_Parse(r->config);
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(json, "eval_workers");
    int64_t workers = cJSON_IsNumber(item) && item->valuedouble >= 1 && item->valuedouble <= 4096
                          ? (int64_t)item->valuedouble
                          : 8;
    cJSON_Delete(json);
    return r->num_episodes % workers ? 1 : workers;
}

// numpy's std: over all episodes, not one less.
static void mean_and_std(const double* x, int64_t count, double out[2]) {
    double error;
    mean_of(x, count, &out[0], &error);
    out[1] = count > 1 ? error * sqrt((double)(count - 1)) : 0;
}

static UfStatus write_npz(const UfStoreRow* r, const char* path) {
    char* json;
    double returns[2], scores[2];
    const int64_t workers = num_workers(r), rounds = r->num_episodes / workers;
    UfNpyData arrays[8];
    int n = 0;
    UF_TRY(provenance(r, &json));
    mean_and_std(r->returns, r->num_episodes, returns);
    mean_and_std(r->scores, r->num_episodes, scores);
    arrays[n++] = (UfNpyData){"final_returns", "<f8", 8, 2, {rounds, workers}, r->returns};
    arrays[n++] = (UfNpyData){"final_returns_mean", "<f8", 8, 0, {0}, &returns[0]};
    arrays[n++] = (UfNpyData){"final_returns_std", "<f8", 8, 0, {0}, &returns[1]};
    if (r->scores) {
        arrays[n++] = (UfNpyData){"final_scores", "<f8", 8, 2, {rounds, workers}, r->scores};
        arrays[n++] = (UfNpyData){"final_scores_mean", "<f8", 8, 0, {0}, &scores[0]};
        arrays[n++] = (UfNpyData){"final_scores_std", "<f8", 8, 0, {0}, &scores[1]};
    }
    if (r->lengths) arrays[n++] = (UfNpyData){"final_lengths", "<i4", 4, 2, {rounds, workers}, r->lengths};
    arrays[n++] = (UfNpyData){"unifloral", "|u1", 1, 1, {(int64_t)strlen(json)}, json};
    UfStatus status = uf_npz_write(path, arrays, n);
    uf_free(json);
    return status;
}

// When the row was stored.
static int64_t time_of(const UfStoreRow* r) {
    struct tm t = {0};
    if (sscanf(r->added, "%d-%d-%d %d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
               &t.tm_sec) != 6)
        return 0;
    t.tm_year -= 1900;
    t.tm_mon--;
    return timegm(&t);
}

// The reference's name for a row; a slash in a label is no folder.
static UfStatus npz_path(const UfStoreRow* r, const char* folder, int64_t seconds, char path[UF_PATH_BYTES]) {
    char stamp[32], name[UF_STRING_BYTES];
    struct tm t;
    const time_t when = (time_t)seconds;
    strftime(stamp, sizeof stamp, "%Y-%m-%d_%H-%M-%S", gmtime_r(&when, &t));
    int length = snprintf(name, sizeof name, "%s_%s_%s.npz", r->algorithm, r->dataset, stamp);
    for (char* c = name; *c; c++)
        if (*c == '/') *c = '-';
    if (length < (int)sizeof name && snprintf(path, UF_PATH_BYTES, "%s/%s", folder, name) < UF_PATH_BYTES)
        return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the name of a result in it would be too long", folder);
}

// Rows come by algorithm and dataset. Two of them may have been stored in one second: the later row gets the next.
UfStatus uf_results_npz(const UfStoreRows* rows, const char* folder, int* count) {
    const UfStoreRow* last = NULL;
    int64_t last_time = 0;
    *count = 0;
    UF_TRY(uf_make_folder(folder));
    for (int i = 0; i < rows->count; i++) {
        const UfStoreRow* r = &rows->rows[i];
        char path[UF_PATH_BYTES];
        if (!r->num_episodes) continue;
        int64_t now = time_of(r);
        bool beside = last && !strcmp(last->algorithm, r->algorithm) && !strcmp(last->dataset, r->dataset);
        if (beside && now <= last_time) now = last_time + 1;
        UF_TRY(npz_path(r, folder, now, path));
        UF_TRY(write_npz(r, path));
        last = r;
        last_time = now;
        ++*count;
    }
    return UF_OK;
}
