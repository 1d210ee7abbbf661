// hades_sweep.c: see hades_sweep.h.
//
// Rooms: combinations, running, reading, results, varying.
#include "hades_sweep.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plot.h"
#include "run_log.h"

enum { MAX_RUNS = 10000, SETTINGS_BYTES = 512 };

typedef struct Outcome {                                   // of one search
    char settings[SETTINGS_BYTES], group[SETTINGS_BYTES];  // "rows=4,seed=0", and without the seed
    double first, last;                                    // mean fitness of its first and last generation
    double rated, least,
        own;  // fresh policies' mean and least; with the search's own fixed weights, else NaN
    int64_t dims, num_generations;
    double* curve;  // (num_generations): mean fitness
} Outcome;

typedef struct Sweep {
    const HdSweepOptions* options;
    HdConfig* config;  // of the combination under way
    int count;
    Outcome* outcomes;  // (count)
} Sweep;

// ---- combinations ----

static UfStatus count_combinations(const UfAxes* axes, int* count) {
    int64_t n = 1;
    for (int a = 0; a < axes->count; a++) {
        n *= axes->axes[a].num_values;
        if (n > MAX_RUNS)
            return UF_FAIL(UF_ERR_CONFIG, "the lists have more than %d combinations; shorten one", MAX_RUNS);
    }
    *count = (int)n;
    return UF_OK;
}

static void add_setting(char* text, const char* name, const char* value) {
    const size_t length = strlen(text);
    snprintf(text + length, SETTINGS_BYTES - length, "%s%s=%s", length ? "," : "", name, value);
}

// Slashes would be folders.
static void make_file_name(char* text) {
    for (char* c = text; *c; c++)
        if (*c == '/') *c = '-';
}

// Combination i into config; the last axis changes fastest.
static UfStatus choose(Sweep* s, int i, Outcome* out) {
    const UfAxes* axes = s->options->axes;
    int rest = i;
    *s->config = *s->options->config;
    for (int a = axes->count - 1; a >= 0; a--) {
        const UfAxis* axis = &axes->axes[a];
        UF_TRY(uf_table_set(&hd_table, s->config, axis->param->name, axis->values[rest % axis->num_values]));
        rest /= axis->num_values;
    }
    for (int a = 0; a < axes->count; a++) {
        const char* name = axes->axes[a].param->name;
        char value[UF_STRING_BYTES];
        uf_param_format(s->config, axes->axes[a].param, value, sizeof value);
        add_setting(out->settings, name, value);
        if (strcmp(name, "seed") != 0) add_setting(out->group, name, value);
    }
    if (!axes->count) snprintf(out->settings, sizeof(out->settings), "run");
    make_file_name(out->settings);
    return hd_config_check(s->config);
}

// ---- running ----

// Whether a search of this configuration is in the folder and at its end. UF_ERR_CONFIG: one of another is.
static UfStatus is_finished(const Sweep* s, const char* folder, bool* finished) {
    char path[UF_PATH_BYTES];
    HdConfig* saved;
    UfRunLog log;
    *finished = false;
    snprintf(path, sizeof path, "%s/hades.json", folder);
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(hd_run_config(&saved, folder));
    const UfStatus status = uf_same_hyperparameters(&hd_table, saved, s->config);
    hd_config_free(saved);
    if (status != UF_OK) return uf_fail_prefix(status, folder);
    snprintf(path, sizeof path, "%s/report.txt", folder);
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_run_log_read(&log, folder));
    const double last = log.num_rows ? uf_run_log_at(&log, log.num_rows - 1, "generation") : 0;
    uf_run_log_free(&log);
    *finished = last >= (double)s->config->generations;
    return UF_OK;
}

static UfStatus run_one(Sweep* s, const char* folder) {
    const HdSweepOptions* o = s->options;
    char path[UF_PATH_BYTES];
    HdResult result;
    HdRunOptions run = {.config = s->config,
                        .ranks = o->ranks,
                        .stop = o->stop,
                        .on_progress = o->on_progress,
                        .user = o->user};
    snprintf(path, sizeof path, "%s/hades.json", folder);
    if (uf_file_exists(path))
        run.resume = folder;
    else
        run.out = folder;
    const UfStatus status = hd_run(&run, &result);
    hd_rating_free(&result.rating);
    uf_free(result.report);
    return status;
}

// ---- reading ----

static double mean_of(const double* numbers, int64_t count, int64_t stride) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += numbers[i * stride];
    return sum / (double)count;
}

// Mean of a rating in ratings.h5, and the least mean of a policy; of images the accuracies.
static UfStatus read_rating(const UfH5* h5, const char* name, double* mean, double* least) {
    UfH5Shape shape;
    double* numbers;
    const bool images = !strcmp(name, "loss_and_accuracy");
    UF_TRY(uf_h5_shape(h5, name, &shape));
    if (shape.rank != 2 || shape.count < 1)
        return UF_FAIL(UF_ERR_FORMAT, "%s: '%s' is no table of numbers", h5->path, name);
    UF_TRY(UF_ALLOC(&numbers, shape.count, "ratings"));
    const UfStatus status = uf_h5_read(h5, name, UF_H5_DOUBLE, numbers, shape.count);
    const int64_t columns = shape.dims[1];
    *least = INFINITY;
    for (int64_t i = 0; i < shape.dims[0]; i++) {
        const double m = images ? numbers[i * columns + 1] : mean_of(numbers + i * columns, columns, 1);
        if (!(m >= *least || isnan(*least))) *least = m;
    }
    *mean = images ? mean_of(numbers + 1, shape.dims[0], columns) : mean_of(numbers, shape.count, 1);
    uf_free(numbers);
    return status;
}

static UfStatus read_ratings(Outcome* out, const char* path) {
    UfH5 h5;
    double least;
    UF_TRY(uf_h5_open(&h5, path));
    const char* name = uf_h5_exists(&h5, "returns") ? "returns" : "loss_and_accuracy";
    UfStatus status = read_rating(&h5, name, &out->rated, &out->least);
    if (status == UF_OK && uf_h5_exists(&h5, "own_returns"))
        status = read_rating(&h5, "own_returns", &out->own, &least);
    uf_h5_close(&h5);
    return status;
}

static UfStatus read_dims(Outcome* out, const char* path) {
    UfH5 h5;
    UfH5Shape shape;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = uf_h5_shape(&h5, "es/mean", &shape);
    out->dims = status == UF_OK ? shape.count : 0;
    uf_h5_close(&h5);
    return status;
}

static UfStatus read_outcome(Outcome* out, const char* folder) {
    char path[UF_PATH_BYTES];
    UfRunLog log;
    out->rated = out->least = out->own = out->first = out->last = NAN;
    snprintf(path, sizeof path, "%s/ratings.h5", folder);
    if (uf_file_exists(path)) UF_TRY(read_ratings(out, path));
    snprintf(path, sizeof path, "%s/checkpoint.h5", folder);
    UF_TRY(read_dims(out, path));
    UF_TRY(uf_run_log_read(&log, folder));
    out->num_generations = log.num_rows;
    const UfStatus status = UF_ALLOC(&out->curve, 2 * log.num_rows + 1, "a fitness curve");
    for (int i = 0; i < log.num_rows && status == UF_OK; i++) {
        out->curve[i] = uf_run_log_at(&log, i, "mean");
        out->curve[log.num_rows + i] = uf_run_log_at(&log, i, "generation");
    }
    if (status == UF_OK && log.num_rows) {
        out->first = out->curve[0];
        out->last = out->curve[log.num_rows - 1];
    }
    uf_run_log_free(&log);
    return status;
}

// ---- results ----

// Searches that differ in their seeds alone, first one first.
static int same_group(const Sweep* s, int first, int* members) {
    int n = 0;
    for (int i = 0; i < first; i++)
        if (!strcmp(s->outcomes[i].group, s->outcomes[first].group)) return 0;
    for (int i = first; i < s->count; i++)
        if (!strcmp(s->outcomes[i].group, s->outcomes[first].group)) members[n++] = i;
    return n;
}

static double over(const Sweep* s, const int* members, int n, size_t field, double* low, double* high) {
    double sum = 0;
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < n; i++) {
        const double value = *(const double*)((const char*)&s->outcomes[members[i]] + field);
        sum += value / n;
        if (!(value >= *low || isnan(*low))) *low = value;
        if (!(value <= *high || isnan(*high))) *high = value;
    }
    return sum;
}

static const struct {
    const char* name;
    size_t field;
} columns[] = {{"first generation", offsetof(Outcome, first)},
               {"last generation", offsetof(Outcome, last)},
               {"fresh policies", offsetof(Outcome, rated)},
               {"its own weights", offsetof(Outcome, own)}};
enum { NUM_COLUMNS = sizeof columns / sizeof columns[0] };

static UfStatus table(const Sweep* s, int* members, char** report) {
    UfText text = {0};
    bool any[NUM_COLUMNS] = {false};
    for (int i = 0; i < s->count; i++)
        for (int c = 0; c < NUM_COLUMNS; c++)
            any[c] |= !isnan(*(const double*)((const char*)&s->outcomes[i] + columns[c].field));
    uf_text_add(&text, "%-36s %5s %8s", "mean over seeds (least to most)", "seeds", "numbers");
    for (int c = 0; c < NUM_COLUMNS; c++)
        if (any[c]) uf_text_add(&text, "  %-26s", columns[c].name);
    uf_text_add(&text, "\n");
    for (int i = 0; i < s->count; i++) {
        const int n = same_group(s, i, members);
        if (!n) continue;
        uf_text_add(&text, "%-36s %5d %8lld", s->outcomes[i].group[0] ? s->outcomes[i].group : "all", n,
                    (long long)s->outcomes[i].dims);
        for (int c = 0; c < NUM_COLUMNS; c++) {
            char cell[64] = "-";
            double low, high;
            const double mean = over(s, members, n, columns[c].field, &low, &high);
            if (!isnan(mean)) snprintf(cell, sizeof cell, "%.4g (%.4g to %.4g)", mean, low, high);
            if (any[c]) uf_text_add(&text, "  %-26s", cell);
        }
        uf_text_add(&text, "\n");
    }
    return uf_text_finish(&text, report);
}

static UfStatus write_csv(const Sweep* s) {
    char path[UF_PATH_BYTES], *csv;
    UfText text = {0};
    uf_text_add(
        &text, "settings,numbers,first_generation,last_generation,fresh_policies,least_policy,own_weights\n");
    for (int i = 0; i < s->count; i++) {
        const Outcome* o = &s->outcomes[i];
        const double numbers[] = {(double)o->dims, o->first, o->last, o->rated, o->least};
        uf_text_add_csv(&text, o->settings);
        uf_text_add(&text, ",");
        for (size_t c = 0; c < sizeof numbers / sizeof numbers[0]; c++)
            uf_text_add_csv_number(&text, numbers[c]);
        if (!isnan(o->own)) uf_text_add(&text, "%.9g", o->own);
        uf_text_add(&text, "\n");
    }
    UF_TRY(uf_text_finish(&text, &csv));
    snprintf(path, sizeof path, "%s/sweep.csv", s->options->out);
    const UfStatus status = uf_write_file(path, csv, strlen(csv));
    uf_free(csv);
    return status;
}

// Mean fitness over the seeds of a group, with the least and the most, as far as all of them go.
static UfStatus group_curve(const Sweep* s, const int* members, int n, UfSeries* series, double** memory) {
    int64_t length = INT64_MAX;
    for (int i = 0; i < n; i++)
        if (s->outcomes[members[i]].num_generations < length)
            length = s->outcomes[members[i]].num_generations;
    UF_TRY(UF_ALLOC(memory, 4 * length + 1, "a fitness curve"));
    double *x = *memory, *y = x + length, *low = y + length, *high = low + length;
    for (int64_t g = 0; g < length; g++) {
        x[g] = s->outcomes[members[0]].curve[s->outcomes[members[0]].num_generations + g];
        low[g] = INFINITY;
        high[g] = -INFINITY;
        for (int i = 0; i < n; i++) {
            const double f = s->outcomes[members[i]].curve[g];
            y[g] += f / n;
            low[g] = fmin(low[g], f);
            high[g] = fmax(high[g], f);
        }
    }
    const Outcome* first = &s->outcomes[members[0]];
    *series = (UfSeries){
        first->group[0] ? first->group : "all", (int)length, x, y, n > 1 ? low : NULL, n > 1 ? high : NULL};
    return UF_OK;
}

static UfStatus draw(const Sweep* s, int* members) {
    static const char* const endings[] = {"png", "svg"};
    const HdConfig* c = s->options->config;
    char path[UF_PATH_BYTES], title[UF_STRING_BYTES + 32];
    UfSeries* series;
    double** memory = NULL;
    int num_series = 0;
    UF_TRY(UF_ALLOC(&series, s->count, "curves"));
    UfStatus status = UF_ALLOC(&memory, s->count, "curves");
    for (int i = 0; i < s->count && status == UF_OK; i++) {
        const int n = same_group(s, i, members);
        if (!n) continue;
        status = group_curve(s, members, n, &series[num_series], &memory[num_series]);
        num_series++;
    }
    snprintf(title, sizeof title, "Behaviour distillation: %s", c->env[0] ? c->env : c->images);
    const UfPlot plot = {title,      "generation", c->env[0] ? "mean fitness (return)" : "mean training loss",
                         num_series, series,       false,
                         false};
    for (int i = 0; i < 2 && status == UF_OK; i++) {
        snprintf(path, sizeof path, "%s/fitness.%s", s->options->out, endings[i]);
        status = uf_plot_write(&plot, path);
    }
    for (int i = 0; i < num_series; i++) uf_free(memory[i]);
    uf_free(memory);
    uf_free(series);
    return status == UF_ERR_UNSUPPORTED ? UF_OK : status;  // the runs said so
}

static UfStatus results(const Sweep* s, char** report) {
    int* members;
    UF_TRY(UF_ALLOC(&members, s->count, "searches"));
    UfStatus status = write_csv(s);
    if (status == UF_OK) status = draw(s, members);
    if (status == UF_OK) status = table(s, members, report);
    uf_free(members);
    return status;
}

static UfStatus run_all(Sweep* s, char** report) {
    const HdSweepOptions* o = s->options;
    const bool writes = !o->ranks || o->ranks->rank == 0;
    char folder[UF_FOLDER_BYTES];
    UF_TRY(count_combinations(o->axes, &s->count));
    UF_TRY(UF_ALLOC(&s->outcomes, s->count, "searches"));
    UF_TRY(hd_config_create(&s->config));
    for (int i = 0; i < s->count; i++)
        UF_TRY(choose(s, i, &(Outcome){.dims = 0}));  // refuses before any work
    if (writes) UF_TRY(uf_make_folder(o->out));
    for (int i = 0; i < s->count; i++) {
        UF_TRY(choose(s, i, &s->outcomes[i]));
        if (snprintf(folder, sizeof folder, "%s/%s", o->out, s->outcomes[i].settings) >= (int)sizeof folder)
            return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the name is too long", o->out);
        bool finished;
        UF_TRY(is_finished(s, folder, &finished));
        if (!finished) UF_TRY(run_one(s, folder));
        if (writes) UF_TRY(read_outcome(&s->outcomes[i], folder));
    }
    return writes ? results(s, report) : UF_OK;
}

UfStatus hd_sweep(const HdSweepOptions* options, char** report) {
    Sweep s = {.options = options};
    *report = NULL;
    const UfStatus status = run_all(&s, report);
    for (int i = 0; s.outcomes && i < s.count; i++) uf_free(s.outcomes[i].curve);
    uf_free(s.outcomes);
    hd_config_free(s.config);
    return status;
}

// ---- varying ----

static UfStatus rate_line(const UfDistilled* data, const HdConfig* config, const HdRateOptions* rate,
                          const char* what, UfText* report) {
    HdRateOptions options = *rate;
    HdRating r;
    options.config = config;
    UF_TRY(hd_rate(&r, data, &options));
    uf_text_add(report, "%-28s %9.4g +- %-8.2g least %.4g\n", what, r.mean, r.std, r.least);
    hd_rating_free(&r);
    return UF_OK;
}

UfStatus hd_vary(const UfDistilled* data, const HdConfig* config, const UfAxes* axes,
                 const HdRateOptions* rate, UfText* report) {
    HdConfig* changed;
    UF_TRY(hd_config_create(&changed));
    UfStatus status = rate_line(data, config, rate, "nothing varied", report);
    for (int a = 0; a < axes->count; a++)
        for (int v = 0; v < axes->axes[a].num_values && status == UF_OK; v++) {
            char what[SETTINGS_BYTES] = "";
            *changed = *config;
            add_setting(what, axes->axes[a].param->name, axes->axes[a].values[v]);
            status = uf_table_set(&hd_table, changed, axes->axes[a].param->name, axes->axes[a].values[v]);
            if (status == UF_OK) status = rate_line(data, changed, rate, what, report);
        }
    hd_config_free(changed);
    return status;
}
