// plot_runs.c: see plot_runs.h.
//
// Rooms: names, runs, sources, which runs and column, points, panels and groups, curves, captions, picture, CSV,
// final scores, API.
#include "plot_runs.h"

#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // qsort, realpath, strtod
#include <string.h>

#include "config.h"
#include "h5.h"
#include "plot.h"
#include "results.h"
#include "run.h"
#include "run_log.h"

// ---- names ----

// Datasets or labels of groups, each once, in order of appearance.
typedef struct Names {
    char** names;
    int count, capacity;
} Names;

static int find_name(const Names* n, const char* name) {
    int i = 0;
    while (i < n->count && strcmp(n->names[i], name)) i++;
    return i;
}

static UfStatus add_name(Names* n, const char* name) {
    if (find_name(n, name) < n->count) return UF_OK;
    if (n->count == n->capacity) {
        char** grown;
        const int capacity = n->capacity ? 2 * n->capacity : 16;
        UF_TRY(UF_ALLOC(&grown, capacity + 1, "names"));  // a NULL at the end
        if (n->names) memcpy(grown, n->names, sizeof *grown * (size_t)n->count);
        uf_free(n->names);
        n->names = grown;
        n->capacity = capacity;
    }
    UF_TRY(uf_strdup(&n->names[n->count], name));
    n->count++;
    return UF_OK;
}

static void free_names(Names* n) {
    for (int i = 0; i < n->count; i++) uf_free(n->names[i]);
    uf_free(n->names);
    *n = (Names){0};
}

// "td3_bc, lr=0.001": the part that groups of an algorithm share, and the value behind it.
static size_t stem_length(const char* label, const UfParam* by) {
    char piece[80];
    snprintf(piece, sizeof piece, ", %s=", by ? by->name : "");
    const char* place = by ? strstr(label, piece) : NULL;
    return place ? (size_t)(place - label) + strlen(piece) : strlen(label);
}

static bool same_stem(const char* a, const char* b, const UfParam* by) {
    const size_t length = stem_length(a, by);
    return length == stem_length(b, by) && !strncmp(a, b, length);
}

// Whether label a belongs before b: values of one algorithm by size.
static bool is_smaller(const char* a, const char* b, const UfParam* by) {
    const char *x = a + stem_length(a, by), *y = b + stem_length(b, by);
    char *x_end, *y_end;
    const double left = strtod(x, &x_end), right = strtod(y, &y_end);
    return *x && *y && !*x_end && !*y_end && left < right;
}

// Algorithms as they come, each with its values in order.
static void order_labels(Names* n, const UfParam* by) {
    for (int i = 1; i < n->count; i++) {
        char* label = n->names[i];
        int place = i;
        for (int k = i - 1; k >= 0 && place == i; k--)  // behind the last of its algorithm
            if (same_stem(n->names[k], label, by)) place = k + 1;
        while (place > 0 && same_stem(n->names[place - 1], label, by) &&
               is_smaller(label, n->names[place - 1], by))
            place--;
        memmove(&n->names[place + 1], &n->names[place], sizeof label * (size_t)(i - place));
        n->names[place] = label;
    }
}

// The algorithm, if all groups have one and their labels are about its values: then it belongs in the title.
static bool common_algorithm(const Names* n, const UfParam* by, char name[UF_STRING_BYTES]) {
    if (!by || !n->count || stem_length(n->names[0], by) == strlen(n->names[0])) return false;
    for (int i = 1; i < n->count; i++)
        if (!same_stem(n->names[0], n->names[i], by)) return false;
    const size_t tail = strlen(by->name) + 3;  // ", " and "="
    snprintf(name, UF_STRING_BYTES, "%.*s", (int)(stem_length(n->names[0], by) - tail), n->names[0]);
    return true;
}

// ---- runs ----

typedef struct Run {
    char folder[UF_FOLDER_BYTES];
    char* place;  // without links, so that one run by two names is noticed
    UfConfig* config;
    char dataset[UF_STRING_BYTES], label[UF_LABEL_BYTES];
    char *hash, *env;  // of dataset and final evaluation.   NULL: not known
    UfRunLog log;
    bool of_epochs;  // a world model
    bool left_out;
    int num_points;
    double *x, *y;
} Run;

typedef struct Plot {
    const UfPlotRuns* options;
    UfPlotReport* report;
    const UfParam* by;
    const char* metric;
    bool epochs;  // what is drawn are world models
    int num_runs, capacity;
    Run* runs;
    Names datasets, groups;
    UfText notes;
} Plot;

static void free_run(Run* r) {
    free(r->place);
    uf_config_free(r->config);
    uf_free(r->hash);
    uf_free(r->env);
    uf_run_log_free(&r->log);
    uf_free(r->x);
    uf_free(r->y);
}

static UfStatus read_attribute(const char* folder, const char* file, const char* name, char** out) {
    char path[UF_PATH_BYTES];
    UfH5 h5;
    if (*out || !uf_has_file(folder, file)) return UF_OK;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_h5_has_attribute(&h5, "/", name) ? uf_h5_read_string(&h5, "/", name, out) : UF_OK;
    uf_h5_close(&h5);
    return status;
}

static UfStatus read_run(const Plot* p, Run* r) {
    char stem[UF_STRING_BYTES];
    UF_TRY(uf_run_log_read(&r->log, r->folder));
    if (!uf_has_file(r->folder, "config.json"))
        return UF_FAIL(UF_ERR_FORMAT, "%s: has no config.json; is the folder complete?", r->folder);
    UF_TRY(uf_run_config(&r->config, r->folder));
    uf_file_stem(r->config->online ? r->config->env : r->config->dataset, stem, sizeof stem);
    memcpy(r->dataset, stem, sizeof r->dataset);
    uf_scores_label(r->config, p->by, r->label);
    r->of_epochs = uf_run_log_column(&r->log, "epoch") == 0;
    UF_TRY(read_attribute(r->folder, "final.h5", "env", &r->env));
    static const char* const files[] = {"final.h5", "checkpoint.h5", "model.h5"};
    for (int i = 0; i < 3 && !r->config->online; i++)
        UF_TRY(read_attribute(r->folder, files[i], "dataset_hash", &r->hash));
    return UF_OK;
}

// ---- sources ----

static UfStatus add_run(void* user, const char* folder) {
    Plot* p = user;
    if (p->num_runs == p->capacity) {
        Run* grown;
        const int capacity = p->capacity ? 2 * p->capacity : 32;
        UF_TRY(UF_ALLOC(&grown, capacity, "runs"));
        if (p->runs) memcpy(grown, p->runs, sizeof *grown * (size_t)p->num_runs);
        uf_free(p->runs);
        p->runs = grown;
        p->capacity = capacity;
    }
    Run* r = &p->runs[p->num_runs++];
    if (snprintf(r->folder, sizeof r->folder, "%s", folder) >= (int)sizeof r->folder)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the folder's name is too long", folder);
    r->place = realpath(folder, NULL);
    for (int i = 0; r->place && i < p->num_runs - 1; i++)
        if (p->runs[i].place && !strcmp(p->runs[i].place, r->place))
            return UF_FAIL(UF_ERR_ARGUMENT, "%s: given twice; a run counts once", folder);
    return read_run(p, r);
}

static bool shapes_updates(const UfParam* param) { return param->scope != UF_SCOPE_RUN; }

// Whether a folder still holds the run that a row of a store is of.
static UfStatus is_run_of_row(const UfStoreRow* row, bool* same) {
    UfConfig *stored = NULL, *found = NULL;
    *same = false;
    if (!row->config[0] || !uf_has_file(row->source, "config.json")) return UF_OK;
    UfStatus status = uf_run_config(&found, row->source);
    if (status == UF_OK) status = uf_config_create(&stored);
    if (status == UF_OK) status = uf_config_parse(stored, row->config, row->source);
    *same = status == UF_OK && !uf_config_difference(stored, found, shapes_updates) &&
            !strcmp(stored->algorithm, found->algorithm) && !strcmp(stored->dataset, found->dataset);
    uf_config_free(stored);
    uf_config_free(found);
    return status;
}

static UfStatus add_store(Plot* p, const char* path) {
    UfStore* store;
    UfStoreRows rows;
    int num_gone = 0;
    UF_TRY(uf_store_open(&store, path, false));
    UfStatus status = uf_store_rows(store, NULL, 0, &rows);
    uf_store_close(store);
    UF_TRY(status);
    for (int i = 0; status == UF_OK && i < rows.count; i++) {
        bool same;
        status = is_run_of_row(&rows.rows[i], &same);
        if (status == UF_OK && same) status = add_run(p, rows.rows[i].source);
        num_gone += status == UF_OK && !same;
    }
    if (status == UF_OK && num_gone == rows.count)
        status =
            UF_FAIL(UF_ERR_ARGUMENT,
                    "%s: a store holds final returns, and the run folders of its %d policies are not where "
                    "they were; give the folders, or --final",
                    path, rows.count);
    else if (status == UF_OK && num_gone)
        uf_text_add(&p->notes,
                    "%s: %d of %d policies are left out: their run folders are not where they were\n", path,
                    num_gone, rows.count);
    uf_store_rows_free(&rows);
    return status;
}

static UfStatus add_source(Plot* p, const char* source) {
    int num_found = 0;
    if (uf_is_file(source)) return add_store(p, source);
    UF_TRY(uf_runs_below(source, add_run, p, &num_found));
    if (num_found) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "%s: %s; give run folders, folders that hold some, or result stores",
                   source, uf_file_exists(source) ? "holds no run" : "is not there");
}

// ---- which runs and column ----

static bool has_values(const Run* r, const char* column) {
    for (int i = 0; i < r->log.num_rows; i++)
        if (isfinite(uf_run_log_at(&r->log, i, column))) return true;
    return false;
}

static bool any_has_values(const Plot* p, bool of_epochs, const char* column) {
    for (int i = 0; i < p->num_runs; i++)
        if (p->runs[i].of_epochs == of_epochs && has_values(&p->runs[i], column)) return true;
    return false;
}

// The metric that was asked for has no value anywhere: which ones have?
static UfStatus fail_metric(const Plot* p) {
    Names known = {0};
    UfStatus status = UF_OK;
    for (int i = 0; i < p->num_runs; i++)
        for (int k = 0; k < p->runs[i].log.num_columns && status == UF_OK; k++)
            if (has_values(&p->runs[i], p->runs[i].log.names[k]))
                status = add_name(&known, p->runs[i].log.names[k]);
    if (status == UF_OK && !known.count)
        status = UF_FAIL(UF_ERR_ARGUMENT, "%s: no run has logged anything yet; wait for its first evaluation",
                         p->runs[0].folder);
    if (status == UF_OK) status = uf_fail_unknown("metric", p->metric, (const char* const*)known.names);
    free_names(&known);
    return status;
}

static void note_left_out(Plot* p, const char* what, int count, const char* first) {
    if (count)
        uf_text_add(&p->notes, "%s, %d left out: %s%s\n", what, count, first, count > 1 ? ", ..." : "");
}

// Runs that have the metric, all of one kind: logs of world models count epochs, not updates.
static UfStatus choose_runs(Plot* p) {
    const UfPlotRuns* o = p->options;
    const char *without = NULL, *other = NULL;
    int num_without = 0, num_other = 0;
    p->metric = o->metric                                 ? o->metric
                : any_has_values(p, false, "eval_return") ? "eval_return"
                : any_has_values(p, true, "validation")   ? "validation"
                                                          : NULL;
    if (!p->metric)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "no run has evaluations (%s): let them train on, set env, or draw a column of their log by "
            "--metric",
            p->runs[0].folder);
    p->epochs = !any_has_values(p, false, p->metric);
    if (p->epochs && !any_has_values(p, true, p->metric)) return fail_metric(p);
    if (p->epochs && o->x && !strcmp(o->x, "updates"))
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s has '%s', but is a world model, whose log counts epochs and not updates; leave --x away, "
            "or --x seconds",
            p->runs[0].folder, p->metric);
    for (int i = 0; i < p->num_runs; i++) {
        Run* r = &p->runs[i];
        const bool is_other = r->log.num_rows && r->of_epochs != p->epochs;
        r->left_out = is_other || !has_values(r, p->metric);
        if (is_other && !num_other++) other = r->folder;
        if (r->left_out && !is_other && !num_without++) without = r->folder;
    }
    char what[UF_STRING_BYTES];
    snprintf(what, sizeof what, o->metric ? "runs without %s" : "runs without evaluations", o->metric);
    note_left_out(p, what, num_without, without);
    note_left_out(p, p->epochs ? "runs that are no world models" : "world models", num_other, other);
    return UF_OK;
}

// ---- points ----

static bool is_in(const Run* r, const char* dataset) { return !r->left_out && !strcmp(r->dataset, dataset); }

// The trailing mean in place: backwards, so that what it is of is still there.
static void smooth(double* y, int count, int window) {
    for (int i = count - 1; i > 0 && window > 1; i--) {
        const int first = i - window + 1 > 0 ? i - window + 1 : 0;
        double sum = 0;
        for (int k = first; k <= i; k++) sum += y[k];
        y[i] = sum / (i - first + 1);
    }
}

static UfStatus read_points(const Plot* p, Run* r, const char* metric, int* num_dropped) {
    const UfPlotRuns* o = p->options;
    const char* x = o->x && !strcmp(o->x, "seconds") ? "seconds" : p->epochs ? "epoch" : "update";
    UF_TRY(UF_ALLOC(&r->x, r->log.num_rows, "points"));
    UF_TRY(UF_ALLOC(&r->y, r->log.num_rows, "points"));
    for (int i = 0; i < r->log.num_rows; i++) {
        const double at = uf_run_log_at(&r->log, i, x), value = uf_run_log_at(&r->log, i, metric);
        if (!isfinite(at) || (r->num_points && at <= r->x[r->num_points - 1]))
            return UF_FAIL(
                UF_ERR_FORMAT,
                "%s/log.jsonl: line %d: '%s' is not above that of the line before; is the file damaged?",
                r->folder, i + 1, x);
        *num_dropped += !isfinite(value);
        if (!isfinite(value)) continue;
        r->x[r->num_points] = at;
        r->y[r->num_points++] = value;
    }
    smooth(r->y, r->num_points, o->smooth);
    return UF_OK;
}

// Scores where all runs of a dataset have some, else returns: the two are never in one panel.
static const char* panel_metric(Plot* p, const char* dataset) {
    if (p->options->metric || p->epochs) return p->metric;
    for (int i = 0; i < p->num_runs; i++) {
        const Run* r = &p->runs[i];
        if (!is_in(r, dataset) || has_values(r, "eval_score")) continue;
        uf_text_add(&p->notes, "%s: returns, not scores: %s has none\n", dataset, r->folder);
        return "eval_return";
    }
    return "eval_score";
}

static UfStatus read_panel(Plot* p, const char* dataset, const char** metric) {
    *metric = panel_metric(p, dataset);
    for (int i = 0; i < p->num_runs; i++) {
        Run* r = &p->runs[i];
        int num_dropped = 0;
        if (!is_in(r, dataset)) continue;
        UF_TRY(read_points(p, r, *metric, &num_dropped));
        if (num_dropped)
            uf_text_add(&p->notes, "%s: %d of %d log lines have no %s and are left out\n", r->folder,
                        num_dropped, r->log.num_rows, *metric);
    }
    return UF_OK;
}

// ---- panels and groups ----

// One name of two datasets, or of one that was evaluated in two environments, would make one panel of two.
static UfStatus check_panel(const Plot* p, const char* dataset) {
    const Run *hash = NULL, *env = NULL;
    for (int i = 0; i < p->num_runs; i++) {
        const Run* r = &p->runs[i];
        if (!is_in(r, dataset)) continue;
        if (!hash && r->hash) hash = r;
        if (!env && r->env && r->env[0]) env = r;
        if (r->hash && strcmp(r->hash, hash->hash))
            return UF_FAIL(
                UF_ERR_ARGUMENT,
                "dataset '%s' of %s has the hash %.12s, that of %s %.12s: these are two datasets; plot "
                "them one at a time",
                dataset, r->folder, r->hash, hash->folder, hash->hash);
        if (r->env && r->env[0] && strcmp(r->env, env->env))
            return UF_FAIL(UF_ERR_ARGUMENT,
                           "dataset '%s': %s was evaluated in %s, %s in %s; plot them one at a time", dataset,
                           r->folder, r->env, env->folder, env->env);
    }
    return UF_OK;
}

// What may differ within a group: the seed, and what does not shape results.
static bool is_setting(const UfParam* param) {
    return !strcmp(param->name, "model_path") || (shapes_updates(param) && strcmp(param->name, "seed"));
}

// A mean over more than seeds is said to be one.
static void note_mixed(Plot* p, const char* dataset, const char* group) {
    const Run* first = NULL;
    bool mixed = false;
    for (int k = 0; k < uf_num_params; k++) {
        const UfParam* param = &uf_params[k];
        char value[UF_STRING_BYTES], other[UF_STRING_BYTES];
        bool differs = false;
        if (param->type == UF_TYPE_GROUP || !is_setting(param)) continue;
        for (int i = 0; i < p->num_runs && !differs; i++) {
            const Run* r = &p->runs[i];
            if (!is_in(r, dataset) || strcmp(r->label, group)) continue;
            if (!first) first = r;
            uf_param_format(first->config, param, value, sizeof value);
            uf_param_format(r->config, param, other, sizeof other);
            differs = strcmp(value, other) != 0;
        }
        if (!differs) continue;
        if (mixed)
            uf_text_add(&p->notes, ", %s", param->name);
        else
            uf_text_add(&p->notes, "%s, %s: the mean is over more than seeds; its runs differ in %s", dataset,
                        group, param->name);
        mixed = true;
    }
    if (mixed) uf_text_add(&p->notes, "; --by NAME draws a line for each value\n");
}

static UfStatus number_runs(Plot* p) {
    for (int i = 0; i < p->num_runs; i++) {
        if (p->runs[i].left_out) continue;
        UF_TRY(add_name(&p->datasets, p->runs[i].dataset));
        UF_TRY(add_name(&p->groups, p->runs[i].label));
        p->report->num_runs++;
    }
    order_labels(&p->groups, p->by);
    p->report->num_datasets = p->datasets.count;
    p->report->num_groups = p->groups.count;
    return UF_OK;
}

// ---- curves ----

typedef struct Curve {
    int num_runs, count;  // 0 runs: the group has none there
    double *x, *mean, *low, *high;
    bool interpolated;
} Curve;

typedef struct Curves {
    Curve* curves;         // (datasets, groups)
    const char** metrics;  // (datasets)
} Curves;

static int compare_numbers(const void* left, const void* right) {
    const double a = *(const double*)left, b = *(const double*)right;
    return (a > b) - (a < b);
}

// Linear between the two points around x, which is within the run's range.
static double value_at(const Run* r, double x, bool* interpolated) {
    int low = 0, high = r->num_points - 1;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (r->x[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    if (r->x[low] == x) return r->y[low];
    if (r->x[high] == x) return r->y[high];
    *interpolated = true;
    return r->y[low] + (r->y[high] - r->y[low]) * (x - r->x[low]) / (r->x[high] - r->x[low]);
}

// P(|T| <= t) of Student's distribution.      Source: Abramowitz and Stegun 26.7.3, 26.7.4
static double student_within(double t, int df) {
    const double angle = atan(t / sqrt(df)), cosine = cos(angle);
    double term = df % 2 ? cosine : 1, sum = df == 1 ? 0 : term;
    for (int k = df % 2 ? 3 : 2; k < df; k += 2) {
        term *= cosine * cosine * (k - 1) / k;
        sum += term;
    }
    return df % 2 ? (angle + sin(angle) * sum) * 2 / 3.14159265358979324 : sin(angle) * sum;
}

// How many standard errors an interval of the mean is wide to either side.
static double student_width(double confidence, int df) {
    double low = 0, high = 1;
    while (student_within(high, df) < confidence && high < 1e9) high *= 2;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (student_within(middle, df) < confidence)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

// One run has no spread, so no band.
static void set_point(Curve* c, int i, const double* values, const UfPlotRuns* o) {
    const int n = c->num_runs;
    double sum = 0, squares = 0, least = values[0], most = values[0];
    for (int k = 0; k < n; k++) {
        sum += values[k];
        least = fmin(least, values[k]);
        most = fmax(most, values[k]);
    }
    const double mean = sum / n;
    for (int k = 0; k < n; k++) squares += (values[k] - mean) * (values[k] - mean);
    const double std = n > 1 ? sqrt(squares / (n - 1)) : NAN, error = std / sqrt(n);
    const double width = !o->band || !strcmp(o->band, "stderr") ? error
                         : !strcmp(o->band, "std")              ? std
                         : n > 1                                ? error * student_width(o->confidence, n - 1)
                                                                : NAN;
    const bool ends = o->band && !strcmp(o->band, "minmax") && n > 1;
    c->mean[i] = mean;
    c->low[i] = ends ? least : mean - width;
    c->high[i] = ends ? most : mean + width;
}

static bool is_of(const Run* r, const char* dataset, const char* group) {
    return is_in(r, dataset) && !strcmp(r->label, group);
}

// The range that all runs of a group cover, and all their places in it.
static UfStatus make_grid(const Plot* p, Curve* c, const char* dataset, const char* group) {
    const Run *starts = NULL, *ends = NULL;
    size_t total = 0;
    for (int i = 0; i < p->num_runs; i++) {
        const Run* r = &p->runs[i];
        if (!is_of(r, dataset, group)) continue;
        c->num_runs++;
        total += (size_t)r->num_points;
        if (!starts || r->x[0] > starts->x[0]) starts = r;
        if (!ends || r->x[r->num_points - 1] < ends->x[ends->num_points - 1]) ends = r;
    }
    if (!c->num_runs) return UF_OK;
    const double from = starts->x[0], to = ends->x[ends->num_points - 1];
    if (from > to)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s, %s: the log of %s ends at %g, where that of %s has not begun (%g): there is no mean of "
            "these; leave one out",
            dataset, group, ends->folder, to, starts->folder, from);
    UF_TRY(UF_ALLOC(&c->x, total, "a curve"));
    for (int i = 0; i < p->num_runs; i++) {
        const Run* r = &p->runs[i];
        for (int k = 0; k < r->num_points && is_of(r, dataset, group); k++)
            if (r->x[k] >= from && r->x[k] <= to) c->x[c->count++] = r->x[k];
    }
    qsort(c->x, (size_t)c->count, sizeof *c->x, compare_numbers);
    int kept = 0;
    for (int i = 0; i < c->count; i++)
        if (!kept || c->x[i] != c->x[kept - 1]) c->x[kept++] = c->x[i];
    c->count = kept;
    return UF_OK;
}

static UfStatus fill_curve(const Plot* p, Curve* c, const char* dataset, const char* group) {
    double* values;
    UF_TRY(UF_ALLOC(&c->mean, c->count, "a curve"));
    UF_TRY(UF_ALLOC(&c->low, c->count, "a curve"));
    UF_TRY(UF_ALLOC(&c->high, c->count, "a curve"));
    UF_TRY(UF_ALLOC(&values, c->num_runs, "a curve"));
    for (int i = 0; i < c->count; i++) {
        int n = 0;
        for (int k = 0; k < p->num_runs; k++)
            if (is_of(&p->runs[k], dataset, group))
                values[n++] = value_at(&p->runs[k], c->x[i], &c->interpolated);
        set_point(c, i, values, p->options);
    }
    uf_free(values);
    return UF_OK;
}

// Seconds differ from run to run in any case: there one note says it of all.
static void note_curve(Plot* p, const Curve* c, const char* dataset, const char* group) {
    const bool seconds = p->options->x && !strcmp(p->options->x, "seconds");
    if (c->num_runs == 1) uf_text_add(&p->notes, "%s, %s: one run, so there is no band\n", dataset, group);
    if (seconds) return;
    if (c->interpolated)
        uf_text_add(
            &p->notes,
            "%s, %s: its runs were logged at different %s; values between two are interpolated linearly\n",
            dataset, group, p->epochs ? "epochs" : "updates");
    for (int i = 0; i < p->num_runs; i++) {
        const Run* r = &p->runs[i];
        if (!is_of(r, dataset, group) || r->x[r->num_points - 1] <= c->x[c->count - 1]) continue;
        uf_text_add(&p->notes, "%s, %s: drawn up to %g, as far as all its runs go; %s goes on to %g\n",
                    dataset, group, c->x[c->count - 1], r->folder, r->x[r->num_points - 1]);
        break;
    }
}

static UfStatus make_curves(Plot* p, Curves* out) {
    const int D = p->datasets.count, G = p->groups.count;
    bool interpolated = false;
    UF_TRY(UF_ALLOC(&out->curves, (size_t)D * (size_t)G, "curves"));
    UF_TRY(UF_ALLOC(&out->metrics, D, "metrics"));
    for (int d = 0; d < D; d++) {
        const char* dataset = p->datasets.names[d];
        UF_TRY(check_panel(p, dataset));
        UF_TRY(read_panel(p, dataset, &out->metrics[d]));
        for (int g = 0; g < G; g++) {
            Curve* c = &out->curves[d * G + g];
            UF_TRY(make_grid(p, c, dataset, p->groups.names[g]));
            if (!c->num_runs) continue;
            UF_TRY(fill_curve(p, c, dataset, p->groups.names[g]));
            note_mixed(p, dataset, p->groups.names[g]);
            note_curve(p, c, dataset, p->groups.names[g]);
            interpolated |= c->interpolated;
        }
    }
    if (interpolated && p->options->x && !strcmp(p->options->x, "seconds"))
        uf_text_add(
            &p->notes,
            "seconds differ from run to run: values between two log lines are interpolated linearly, as far "
            "as all runs of a group go\n");
    return UF_OK;
}

static void free_curves(Curves* c, int count) {
    for (int i = 0; c->curves && i < count; i++) {
        uf_free(c->curves[i].x);
        uf_free(c->curves[i].mean);
        uf_free(c->curves[i].low);
        uf_free(c->curves[i].high);
    }
    uf_free(c->curves);
    uf_free(c->metrics);
}

// ---- captions ----

typedef struct Counts {
    int least, most;
} Counts;

static void count_in(Counts* c, int runs) {
    if (!runs) return;
    c->least = c->least && c->least < runs ? c->least : runs;
    c->most = c->most > runs ? c->most : runs;
}

static void describe_runs(Counts c, char* text, size_t bytes) {
    if (c.least == c.most)
        snprintf(text, bytes, "%d run%s", c.most, c.most == 1 ? "" : "s");
    else
        snprintf(text, bytes, "%d to %d runs", c.least, c.most);
}

static void curve_caption(const Plot* p, const Curves* c, char* text, size_t bytes) {
    const UfPlotRuns* o = p->options;
    char runs[64], band[96] = "standard error", smoothed[64] = "";
    Counts counts = {0, 0};
    for (int i = 0; i < p->datasets.count * p->groups.count; i++) count_in(&counts, c->curves[i].num_runs);
    describe_runs(counts, runs, sizeof runs);
    if (o->band && !strcmp(o->band, "std")) snprintf(band, sizeof band, "standard deviation");
    if (o->band && !strcmp(o->band, "minmax")) snprintf(band, sizeof band, "least to largest");
    if (o->band && !strcmp(o->band, "ci"))
        snprintf(band, sizeof band, "%g %% interval of the mean", 100 * o->confidence);
    if (o->smooth > 1) snprintf(smoothed, sizeof smoothed, "; each run smoothed over %d points", o->smooth);
    if (counts.most > 1)
        snprintf(text, bytes, "mean over %s; band: %s%s", runs, band, smoothed);
    else
        snprintf(text, bytes, "one run each%s", smoothed);
}

// The title of a panel: the dataset, and the algorithm where labels leave it out.
static UfStatus make_titles(const Plot* p, char*** out) {
    char algorithm[UF_STRING_BYTES], text[2 * UF_STRING_BYTES];
    const bool common = common_algorithm(&p->groups, p->by, algorithm);
    UF_TRY(UF_ALLOC(out, p->datasets.count, "titles"));
    for (int d = 0; d < p->datasets.count; d++) {
        const char* name = p->datasets.names[d];
        snprintf(text, sizeof text, "%s%s%s", common ? algorithm : "", common ? " on " : "", name);
        UF_TRY(uf_strdup(&(*out)[d], text));
    }
    return UF_OK;
}

static void free_titles(char** titles, int count) {
    for (int d = 0; titles && d < count; d++) uf_free(titles[d]);
    uf_free(titles);
}

static const char* shown_label(const Plot* p, int group) {
    char algorithm[UF_STRING_BYTES];
    const char* label = p->groups.names[group];
    return common_algorithm(&p->groups, p->by, algorithm) ? label + strlen(algorithm) + 2 : label;
}

// ---- picture ----

static const char* metric_name(const char* metric) {
    return !strcmp(metric, "eval_score")    ? "normalised score"
           : !strcmp(metric, "eval_return") ? "return"
           : !strcmp(metric, "validation")  ? "squared error on held-out episodes"
                                            : metric;
}

static const char* x_name(const Plot* p) {
    if (p->options->x && !strcmp(p->options->x, "seconds")) return "seconds";
    return p->epochs ? "epochs" : "updates";
}

static UfStatus draw_curves(const Plot* p, const Curves* c) {
    const int D = p->datasets.count, G = p->groups.count;
    UfPlot* plots = NULL;
    UfSeries* series = NULL;
    char **titles = NULL, caption[256];
    UfStatus status = UF_ALLOC(&plots, D, "charts");
    if (status == UF_OK) status = UF_ALLOC(&series, (size_t)D * (size_t)G, "lines of charts");
    if (status == UF_OK) status = make_titles(p, &titles);
    for (int i = 0; status == UF_OK && i < D * G; i++) {
        const Curve* curve = &c->curves[i];
        series[i] = (UfSeries){.label = shown_label(p, i % G),
                               .num_points = curve->count,
                               .x = curve->x,
                               .y = curve->mean,
                               .low = curve->low,
                               .high = curve->high};
    }
    for (int d = 0; status == UF_OK && d < D; d++)
        plots[d] = (UfPlot){.title = titles[d],
                            .x_label = x_name(p),
                            .y_label = metric_name(c->metrics[d]),
                            .num_series = G,
                            .series = &series[d * G]};
    curve_caption(p, c, caption, sizeof caption);
    if (status == UF_OK)
        status = uf_picture_write(&(UfPicture){.num_charts = D, .plots = plots, .caption = caption},
                                  p->options->output);
    free_titles(titles, D);
    uf_free(series);
    uf_free(plots);
    return status;
}

// ---- CSV ----

static UfStatus write_text(UfText* text, const char* path) {
    char* data;
    UF_TRY(uf_text_finish(text, &data));
    UfStatus status = uf_write_file(path, data, strlen(data));
    uf_free(data);
    return status;
}

static void add_names(UfText* t, const char* dataset, const char* group, const char* what) {
    uf_text_add_csv(t, dataset);
    uf_text_add(t, ",");
    uf_text_add_csv(t, group);
    uf_text_add(t, ",");
    uf_text_add_csv(t, what);
}

// Numbers and the end of the line.
static void add_numbers(UfText* t, const double* numbers, int count) {
    uf_text_add(t, ",");
    for (int i = 0; i < count; i++) uf_text_add_csv_number(t, numbers[i]);
    if (t->status == UF_OK) t->data[t->length - 1] = '\n';  // the last comma
}

static UfStatus curves_csv(const Plot* p, const Curves* c) {
    const int D = p->datasets.count, G = p->groups.count;
    UfText t = {0};
    uf_text_add(&t, "dataset,group,metric,num_runs,%s,mean,low,high\n", x_name(p));
    for (int i = 0; i < D * G; i++) {
        const Curve* curve = &c->curves[i];
        for (int k = 0; k < curve->count; k++) {
            add_names(&t, p->datasets.names[i / G], p->groups.names[i % G], c->metrics[i / G]);
            uf_text_add(&t, ",%d", curve->num_runs);
            add_numbers(&t, (double[]){curve->x[k], curve->mean[k], curve->low[k], curve->high[k]}, 4);
        }
    }
    return write_text(&t, p->options->csv);
}

// ---- final scores ----

typedef struct Final {
    UfScoreTable table;
    UfProtocol protocol;
    UfRow* rows;  // (datasets, groups)
    double* points;
} Final;

static UfStatus read_final(Plot* p, Final* f) {
    const UfPlotRuns* o = p->options;
    UfProtocolOptions options = uf_protocol_defaults();
    UfPool* pool;
    options.confidence = o->confidence;
    options.num_bootstraps = o->num_bootstraps;
    options.seed = o->seed;
    f->table.by = p->by;
    for (int i = 0; i < o->num_sources; i++) UF_TRY(uf_results_add_source(&f->table, o->sources[i]));
    UF_TRY(uf_scores_group(&f->table));
    UF_TRY(uf_pool_create(&pool, o->num_threads));
    UfStatus status =
        uf_protocol_aggregates(&f->protocol, f->table.scores, f->table.num_scores, &options, pool);
    uf_pool_free(pool);
    return status;
}

static void add_score_notes(Plot* p, const Final* f) {
    if (f->table.notes.length) uf_text_add(&p->notes, "%s", f->table.notes.data);
    for (int g = 0; g < f->protocol.num_groups; g++) {
        const UfScores* s = f->protocol.groups[g].scores;
        if (s->num_policies == 1)
            uf_text_add(&p->notes, "%s, %s: one run, so there is no interval\n", s->dataset, s->algorithm);
    }
}

// A run's score is the mean over its final episodes.
static void score_runs(const UfScores* s, double* points) {
    for (int i = 0; i < s->num_policies; i++) {
        points[i] = 0;
        for (int k = 0; k < s->num_rollouts; k++)
            points[i] += s->values[(size_t)i * (size_t)s->num_rollouts + (size_t)k];
        points[i] /= s->num_rollouts;
    }
}

static UfStatus make_rows(Plot* p, Final* f) {
    const UfProtocol* protocol = &f->protocol;
    for (int g = 0; g < protocol->num_groups; g++) {
        UF_TRY(add_name(&p->datasets, protocol->groups[g].scores->dataset));
        UF_TRY(add_name(&p->groups, protocol->groups[g].scores->algorithm));
        p->report->num_runs += protocol->groups[g].scores->num_policies;
    }
    order_labels(&p->groups, p->by);
    const int D = p->report->num_datasets = p->datasets.count, G = p->report->num_groups = p->groups.count;
    UF_TRY(UF_ALLOC(&f->rows, (size_t)D * (size_t)G, "rows"));
    UF_TRY(UF_ALLOC(&f->points, p->report->num_runs, "scores"));
    for (int i = 0; i < D * G; i++) f->rows[i] = (UfRow){.label = shown_label(p, i % G)};
    double* points = f->points;
    for (int g = 0; g < protocol->num_groups; g++) {
        const UfProtocolGroup* group = &protocol->groups[g];
        UfRow* row = &f->rows[find_name(&p->datasets, group->scores->dataset) * G +
                              find_name(&p->groups, group->scores->algorithm)];
        score_runs(group->scores, points);
        row->points = points;
        row->num_points = group->scores->num_policies;
        row->value = group->iqm.value;
        row->low = group->iqm.low;
        row->high = group->iqm.high;
        points += group->scores->num_policies;
    }
    return UF_OK;
}

static bool has_returns(const Final* f, const char* dataset) {
    for (int g = 0; g < f->protocol.num_groups; g++)
        if (!strcmp(f->protocol.groups[g].scores->dataset, dataset))
            return f->protocol.groups[g].scores->are_returns;
    return false;
}

static void final_caption(const Plot* p, const Final* f, char* text, size_t bytes) {
    char runs[64], interval[96] = "";
    Counts counts = {0, 0}, episodes = {0, 0};
    for (int g = 0; g < f->protocol.num_groups; g++) {
        count_in(&counts, f->protocol.groups[g].scores->num_policies);
        count_in(&episodes, f->protocol.groups[g].scores->num_rollouts);
    }
    describe_runs(counts, runs, sizeof runs);
    if (p->options->num_bootstraps && counts.most > 1)
        snprintf(interval, sizeof interval, " and its %g %% bootstrap interval",
                 100 * p->options->confidence);
    if (counts.most == 1)
        snprintf(text, bytes, "one run each");
    else if (episodes.least == episodes.most)
        snprintf(text, bytes, "inter-quartile mean over %s%s; dots: runs, each the mean of %d final episodes",
                 runs, interval, episodes.most);
    else
        snprintf(text, bytes,
                 "inter-quartile mean over %s%s; dots: runs, each the mean of its final episodes", runs,
                 interval);
}

static UfStatus draw_final(const Plot* p, const Final* f) {
    const int D = p->datasets.count, G = p->groups.count;
    UfComparison* charts = NULL;
    char **titles = NULL, caption[256];
    UfStatus status = UF_ALLOC(&charts, D, "charts");
    if (status == UF_OK) status = make_titles(p, &titles);
    for (int d = 0; status == UF_OK && d < D; d++)
        charts[d] = (UfComparison){
            .title = titles[d],
            .x_label = has_returns(f, p->datasets.names[d]) ? "final return" : "final normalised score",
            .num_rows = G,
            .rows = &f->rows[d * G]};
    final_caption(p, f, caption, sizeof caption);
    if (status == UF_OK)
        status = uf_picture_write(&(UfPicture){.num_charts = D, .comparisons = charts, .caption = caption},
                                  p->options->output);
    free_titles(titles, D);
    uf_free(charts);
    return status;
}

static UfStatus final_csv(const Plot* p, const Final* f) {
    const int D = p->datasets.count, G = p->groups.count;
    UfText t = {0};
    uf_text_add(&t, "dataset,group,unit,num_runs,statistic,value,low,high\n");
    for (int i = 0; i < D * G; i++) {
        const UfRow* row = &f->rows[i];
        const char *dataset = p->datasets.names[i / G], *group = p->groups.names[i % G],
                   *unit = has_returns(f, dataset) ? "return" : "score";
        for (int k = -1; k < row->num_points && row->num_points; k++) {
            add_names(&t, dataset, group, unit);
            uf_text_add(&t, ",%d,%s", row->num_points, k < 0 ? "iqm" : "run");
            if (k < 0)
                add_numbers(&t, (double[]){row->value, row->low, row->high}, 3);
            else
                add_numbers(&t, (double[]){row->points[k], NAN, NAN}, 3);
        }
    }
    return write_text(&t, p->options->csv);
}

static UfStatus plot_final(Plot* p) {
    Final f = {.rows = NULL};
    UfStatus status = read_final(p, &f);
    add_score_notes(p, &f);
    if (status == UF_OK) status = make_rows(p, &f);
    if (status == UF_OK && p->options->csv) status = final_csv(p, &f);
    if (status == UF_OK && p->options->output) status = draw_final(p, &f);
    uf_free(f.rows);
    uf_free(f.points);
    uf_protocol_free(&f.protocol);
    uf_scores_free(&f.table);
    return status;
}

// ---- API ----

static UfStatus plot_curves(Plot* p) {
    const UfPlotRuns* o = p->options;
    Curves curves = {NULL, NULL};
    for (int i = 0; i < o->num_sources; i++) UF_TRY(add_source(p, o->sources[i]));
    UF_TRY(choose_runs(p));
    UF_TRY(number_runs(p));
    UfStatus status = make_curves(p, &curves);
    if (status == UF_OK && o->csv) status = curves_csv(p, &curves);
    if (status == UF_OK && o->output) status = draw_curves(p, &curves);
    free_curves(&curves, p->datasets.count * p->groups.count);
    return status;
}

static UfStatus check_choice(const char* what, const char* given, const char* const* known) {
    if (!given) return UF_OK;
    for (int i = 0; known[i]; i++)
        if (!strcmp(known[i], given)) return UF_OK;
    return uf_fail_unknown(what, given, known);
}

static UfStatus check_options(Plot* p) {
    static const char* const bands[] = {"stderr", "std", "minmax", "ci", NULL};
    static const char* const axes[] = {"updates", "seconds", NULL};
    const UfPlotRuns* o = p->options;
    UF_TRY(check_choice("band", o->band, bands));
    UF_TRY(check_choice("axis", o->x, axes));
    if (!(o->confidence > 0 && o->confidence < 1))
        return UF_FAIL(UF_ERR_ARGUMENT, "confidence is %g, expected a number between 0 and 1", o->confidence);
    if (o->num_sources < 1) return UF_FAIL(UF_ERR_ARGUMENT, "no runs: there is nothing to draw");
    if (o->by) UF_TRY(uf_param_lookup(&p->by, o->by));
    return o->output ? uf_picture_check(o->output) : UF_OK;
}

UfStatus uf_plot_runs(const UfPlotRuns* options, UfPlotReport* report) {
    Plot p = {.options = options, .report = report};
    *report = (UfPlotReport){0};
    UfStatus status = check_options(&p);
    if (status == UF_OK) status = options->final ? plot_final(&p) : plot_curves(&p);
    UfStatus finished = uf_text_finish(&p.notes, &report->notes);
    for (int i = 0; i < p.num_runs; i++) free_run(&p.runs[i]);
    uf_free(p.runs);
    free_names(&p.datasets);
    free_names(&p.groups);
    return status == UF_OK ? finished : status;
}

void uf_plot_report_free(UfPlotReport* report) {
    uf_free(report->notes);
    *report = (UfPlotReport){0};
}
