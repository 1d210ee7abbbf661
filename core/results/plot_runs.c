// plot_runs.c: see plot_runs.h.
//
// Rooms: runs, sources, which runs and column, points, panels and groups, curves, picture, CSV, API.
#include "core/results/plot_runs.h"

#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // realpath
#include <string.h>

#include "core/data/h5.h"
#include "core/pictures/plot.h"
#include "core/results/curves.h"
#include "core/results/plot_panels.h"
#include "core/results/results.h"
#include "core/runs/run.h"
#include "core/runs/run_log.h"

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
    UfPanels* panels;
    const char* metric;
    UfBand band;
    bool epochs;  // what is drawn are world models
    bool seconds;
    int num_runs, capacity;
    Run* runs;
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
    uf_scores_label(r->config, p->panels->by, r->label);
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
        uf_text_add(&p->panels->notes,
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
    UfNames known = {0};
    UfStatus status = UF_OK;
    for (int i = 0; i < p->num_runs; i++)
        for (int k = 0; k < p->runs[i].log.num_columns && status == UF_OK; k++)
            if (has_values(&p->runs[i], p->runs[i].log.names[k]))
                status = uf_names_add(&known, p->runs[i].log.names[k]);
    if (status == UF_OK && !known.count)
        status = UF_FAIL(UF_ERR_ARGUMENT, "%s: no run has logged anything yet; wait for its first evaluation",
                         p->runs[0].folder);
    if (status == UF_OK) status = uf_fail_unknown("metric", p->metric, (const char* const*)known.names);
    uf_names_free(&known);
    return status;
}

static void note_left_out(Plot* p, const char* what, int count, const char* first) {
    if (count)
        uf_text_add(&p->panels->notes, "%s, %d left out: %s%s\n", what, count, first,
                    count > 1 ? ", ..." : "");
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
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "'%s' is in the logs of world models, which count epochs and not updates; leave --x "
                       "away, or give "
                       "--x seconds",
                       p->metric);
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
    const char* x = p->seconds ? "seconds" : p->epochs ? "epoch" : "update";
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
        uf_text_add(&p->panels->notes, "%s: returns, not scores: %s has none\n", dataset, r->folder);
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
            uf_text_add(&p->panels->notes, "%s: %d of %d log lines have no %s and are left out\n", r->folder,
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
            uf_text_add(&p->panels->notes, ", %s", param->name);
        else
            uf_text_add(&p->panels->notes, "%s, %s: the mean is over more than seeds; its runs differ in %s",
                        dataset, group, param->name);
        mixed = true;
    }
    if (mixed) uf_text_add(&p->panels->notes, "; --by NAME draws a line for each value\n");
}

static UfStatus arrange(Plot* p) {
    for (int i = 0; i < p->num_runs; i++) {
        if (p->runs[i].left_out) continue;
        UF_TRY(uf_names_add(&p->panels->datasets, p->runs[i].dataset));
        UF_TRY(uf_names_add(&p->panels->groups, p->runs[i].label));
        p->panels->report->num_runs++;
    }
    return uf_panels_arrange(p->panels);
}

// ---- curves ----

typedef struct Curves {
    int num_datasets, num_groups;
    UfCurve* curves;       // (datasets, groups); without runs: the group has none there
    const char** metrics;  // (datasets)
    UfTrace* traces;       // (runs) of the group at hand
} Curves;

// Seconds differ from run to run in any case: there one note says it of all.
static void note_curve(Plot* p, const UfCurve* c, const char* dataset, const char* group) {
    UfText* notes = &p->panels->notes;
    if (c->num_runs == 1) uf_text_add(notes, "%s, %s: one run, so there is no band\n", dataset, group);
    if (p->seconds) return;
    if (c->interpolated)
        uf_text_add(
            notes,
            "%s, %s: its runs were logged at different %s; values between two are interpolated linearly\n",
            dataset, group, p->epochs ? "epochs" : "updates");
    if (c->longest)
        uf_text_add(notes, "%s, %s: drawn up to %g, as far as all its runs go; %s goes on to %g\n", dataset,
                    group, c->x[c->num_points - 1], c->longest->name,
                    c->longest->x[c->longest->num_points - 1]);
}

static UfStatus make_curve(Plot* p, Curves* out, UfCurve* curve, const char* dataset, const char* group) {
    int count = 0;
    for (int i = 0; i < p->num_runs; i++) {
        const Run* r = &p->runs[i];
        if (is_in(r, dataset) && !strcmp(r->label, group))
            out->traces[count++] = (UfTrace){r->folder, r->num_points, r->x, r->y};
    }
    if (!count) return UF_OK;
    UfStatus status = uf_curve_mean(curve, out->traces, count, p->band, p->options->confidence);
    if (status != UF_OK) {
        char prefix[UF_STRING_BYTES + UF_LABEL_BYTES];
        snprintf(prefix, sizeof prefix, "%s, %s", dataset, group);
        return uf_fail_prefix(status, prefix);
    }
    note_mixed(p, dataset, group);
    note_curve(p, curve, dataset, group);
    return UF_OK;
}

static UfStatus make_curves(Plot* p, Curves* out) {
    const int D = out->num_datasets = p->panels->datasets.count,
              G = out->num_groups = p->panels->groups.count;
    bool interpolated = false;
    UF_TRY(UF_ALLOC(&out->curves, (size_t)D * (size_t)G, "curves"));
    UF_TRY(UF_ALLOC(&out->metrics, D, "metrics"));
    UF_TRY(UF_ALLOC(&out->traces, p->num_runs, "runs of a curve"));
    for (int d = 0; d < D; d++) {
        const char* dataset = p->panels->datasets.names[d];
        UF_TRY(check_panel(p, dataset));
        UF_TRY(read_panel(p, dataset, &out->metrics[d]));
        for (int g = 0; g < G; g++) {
            UfCurve* curve = &out->curves[d * G + g];
            UF_TRY(make_curve(p, out, curve, dataset, p->panels->groups.names[g]));
            interpolated |= curve->interpolated;
        }
    }
    if (interpolated && p->seconds)
        uf_text_add(
            &p->panels->notes,
            "seconds differ from run to run: values between two log lines are interpolated linearly, as far "
            "as all runs of a group go\n");
    return UF_OK;
}

static void free_curves(Curves* c) {
    for (int i = 0; c->curves && i < c->num_datasets * c->num_groups; i++) uf_curve_free(&c->curves[i]);
    uf_free(c->curves);
    uf_free(c->metrics);
    uf_free(c->traces);
}

// ---- picture ----

static const char* metric_name(const char* metric) {
    return !strcmp(metric, "eval_score")    ? "normalised score"
           : !strcmp(metric, "eval_return") ? "return"
           : !strcmp(metric, "validation")  ? "squared error on held-out episodes"
                                            : metric;
}

static const char* x_name(const Plot* p) { return p->seconds ? "seconds" : p->epochs ? "epochs" : "updates"; }

static UfStatus make_caption(const Plot* p, const Curves* c, char** caption) {
    static const char* const bands[] = {"standard error", "standard deviation", "least to largest run"};
    const UfPlotRuns* o = p->options;
    char runs[32];
    UfCounts counts = {0, 0};
    UfText text = {0};
    for (int i = 0; i < c->num_datasets * c->num_groups; i++) uf_counts_add(&counts, c->curves[i].num_runs);
    if (counts.most == 1)
        uf_text_add(&text, "one run each");
    else if (p->band == UF_BAND_CI)
        uf_text_add(&text, "mean over %s runs; band: its %g %% interval", uf_counts_text(counts, runs),
                    100 * o->confidence);
    else
        uf_text_add(&text, "mean over %s runs; band: %s", uf_counts_text(counts, runs), bands[p->band]);
    if (o->smooth > 1) uf_text_add(&text, "; each run smoothed over %d points", o->smooth);
    return uf_text_finish(&text, caption);
}

static UfStatus draw_series(const Plot* p, const Curves* c, UfPlot* plots, UfSeries* series) {
    const int D = c->num_datasets, G = c->num_groups;
    char* caption;
    for (int i = 0; i < D * G; i++) {
        const UfCurve* curve = &c->curves[i];
        series[i] = (UfSeries){uf_panels_label(p->panels, i % G),
                               curve->num_points,
                               curve->x,
                               curve->mean,
                               curve->low,
                               curve->high};
    }
    for (int d = 0; d < D; d++)
        plots[d] = (UfPlot){.title = p->panels->titles[d],
                            .x_label = x_name(p),
                            .y_label = metric_name(c->metrics[d]),
                            .num_series = G,
                            .series = &series[d * G]};
    UF_TRY(make_caption(p, c, &caption));
    UfStatus status = uf_picture_write(&(UfPicture){.num_charts = D, .plots = plots, .caption = caption},
                                       p->options->output);
    uf_free(caption);
    return status;
}

static UfStatus draw(const Plot* p, const Curves* c) {
    UfPlot* plots;
    UfSeries* series = NULL;
    UfStatus status = UF_ALLOC(&plots, c->num_datasets, "charts");
    if (status == UF_OK)
        status = UF_ALLOC(&series, (size_t)c->num_datasets * (size_t)c->num_groups, "lines of charts");
    if (status == UF_OK) status = draw_series(p, c, plots, series);
    uf_free(series);
    uf_free(plots);
    return status;
}

// ---- CSV ----

static UfStatus write_csv(const Plot* p, const Curves* c) {
    const int G = c->num_groups;
    UfText t = {0};
    uf_text_add(&t, "dataset,group,metric,num_runs,%s,mean,low,high\n", x_name(p));
    for (int i = 0; i < c->num_datasets * G; i++) {
        const UfCurve* curve = &c->curves[i];
        for (int k = 0; k < curve->num_points; k++) {
            const double numbers[] = {curve->x[k], curve->mean[k], curve->low[k], curve->high[k]};
            uf_panels_csv(p->panels, &t, i / G, i % G, c->metrics[i / G]);
            uf_text_add(&t, "%d,", curve->num_runs);
            uf_panels_csv_numbers(&t, numbers, 4);
        }
    }
    return uf_panels_csv_write(p->panels, &t);
}

// ---- API ----

static UfStatus make_picture(Plot* p) {
    const UfPlotRuns* o = p->options;
    Curves curves = {.num_datasets = 0};
    for (int i = 0; i < o->num_sources; i++) UF_TRY(add_source(p, o->sources[i]));
    UF_TRY(choose_runs(p));
    UF_TRY(arrange(p));
    UfStatus status = make_curves(p, &curves);
    if (status == UF_OK && o->csv) status = write_csv(p, &curves);
    if (status == UF_OK && o->output) status = draw(p, &curves);
    free_curves(&curves);
    return status;
}

// Which of the names it is; NULL is the first.
static UfStatus choose(const char* what, const char* given, const char* const* known, int* choice) {
    *choice = 0;
    while (given && known[*choice] && strcmp(known[*choice], given)) ++*choice;
    return known[*choice] ? UF_OK : uf_fail_unknown(what, given, known);
}

static UfStatus plot_curves(UfPanels* panels) {
    static const char* const axes[] = {"updates", "seconds", NULL};
    const UfPlotRuns* o = panels->options;
    Plot p = {.options = o, .panels = panels};
    int band, axis;
    UF_TRY(choose("band", o->band, uf_band_names, &band));
    UF_TRY(choose("axis", o->x, axes, &axis));
    p.band = (UfBand)band;
    p.seconds = axis == 1;
    UfStatus status = make_picture(&p);
    for (int i = 0; i < p.num_runs; i++) free_run(&p.runs[i]);
    uf_free(p.runs);
    return status;
}

static UfStatus check_options(const UfPlotRuns* o, const UfParam** by) {
    if (o->num_sources < 1) return UF_FAIL(UF_ERR_ARGUMENT, "no runs: there is nothing to draw");
    if (!(o->confidence > 0 && o->confidence < 1))
        return UF_FAIL(UF_ERR_ARGUMENT, "confidence is %g, expected a number between 0 and 1", o->confidence);
    if (o->by) UF_TRY(uf_param_lookup(by, o->by));
    return o->output ? uf_picture_check(o->output) : UF_OK;
}

UfStatus uf_plot_runs(const UfPlotRuns* options, UfPlotReport* report) {
    UfPanels panels = {.options = options, .report = report};
    *report = (UfPlotReport){0};
    UfStatus status = check_options(options, &panels.by);
    if (status == UF_OK) status = options->final ? uf_plot_final(&panels) : plot_curves(&panels);
    UfStatus finished = uf_text_finish(&panels.notes, &report->notes);
    uf_panels_free(&panels);
    return status == UF_OK ? finished : status;
}

void uf_plot_report_free(UfPlotReport* report) {
    uf_free(report->notes);
    *report = (UfPlotReport){0};
}
