// search_sweep.c: see search_sweep.h.
//
// Rooms: combinations, running, reading, results.
#include "core/search/search_sweep.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/pictures/plot.h"
#include "core/runs/run_log.h"

enum { MAX_RUNS = 10000, SETTINGS_BYTES = 512 };

// Columns of the result: those of every kind, then the kind's own.
static const UfSearchColumn first_columns[] = {{"first generation", "first_generation"},
                                               {"last generation", "last_generation"}};
enum { NUM_FIRST = sizeof first_columns / sizeof first_columns[0] };

typedef struct Outcome {                                   // of one search
    char settings[SETTINGS_BYTES], group[SETTINGS_BYTES];  // "rows=4,seed=0", and without the seed
    double values[NUM_FIRST + UF_SEARCH_MAX_COLUMNS];      // of the columns; the first are mean fitness
    int64_t dims, num_generations;
    double* curve;  // (2, num_generations): mean fitness, generation
} Outcome;

typedef struct Sweep {
    const UfSearchSweepOptions* options;
    const UfSearchKind* kind;
    void* config;  // of the combination under way
    int count;
    Outcome* outcomes;  // (count)
} Sweep;

static int num_columns(const Sweep* s) { return NUM_FIRST + s->kind->num_columns; }

static const UfSearchColumn* column(const Sweep* s, int i) {
    return i < NUM_FIRST ? &first_columns[i] : &s->kind->columns[i - NUM_FIRST];
}

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
    const UfTable* table = s->kind->table;
    int rest = i;
    memcpy(s->config, s->options->config, table->bytes);
    for (int a = axes->count - 1; a >= 0; a--) {
        const UfAxis* axis = &axes->axes[a];
        UF_TRY(uf_table_set(table, s->config, axis->param->name, axis->values[rest % axis->num_values]));
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
    return s->kind->check(s->config);
}

// ---- running ----

static UfStatus run_one(Sweep* s, const char* folder) {
    const UfSearchSweepOptions* o = s->options;
    const bool begun = uf_has_file(folder, s->kind->config_file);
    UfSearchResult result;
    const UfSearchRunOptions run = {.kind = s->kind,
                                    .config = s->config,
                                    .out = begun ? NULL : folder,
                                    .resume = begun ? folder : NULL,
                                    .ranks = o->ranks,
                                    .stop = o->stop,
                                    .on_progress = o->on_progress,
                                    .user = o->user};
    const UfStatus status = uf_search_run(&run, &result);
    uf_free(result.report);
    return status;
}

// ---- reading ----

static UfStatus read_dims(Outcome* out, const char* folder) {
    char path[UF_PATH_BYTES];
    UfH5 h5;
    UfH5Shape shape;
    snprintf(path, sizeof path, "%s/checkpoint.h5", folder);
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = uf_h5_shape(&h5, "es/mean", &shape);
    out->dims = status == UF_OK ? shape.count : 0;
    uf_h5_close(&h5);
    return status;
}

static UfStatus read_outcome(const Sweep* s, Outcome* out, const char* folder) {
    UfRunLog log;
    for (int c = 0; c < num_columns(s); c++) out->values[c] = NAN;
    UF_TRY(s->kind->read_columns(folder, out->values + NUM_FIRST));
    UF_TRY(read_dims(out, folder));
    UF_TRY(uf_run_log_read(&log, folder));
    const int n = log.num_rows;
    out->num_generations = n;
    const UfStatus status = UF_ALLOC(&out->curve, 2 * n + 1, "a fitness curve");
    for (int i = 0; i < n && status == UF_OK; i++) {
        out->curve[i] = uf_run_log_at(&log, i, "mean");
        out->curve[n + i] = uf_run_log_at(&log, i, "generation");
    }
    if (status == UF_OK && n) {
        out->values[0] = out->curve[0];
        out->values[1] = out->curve[n - 1];
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

static double over(const Sweep* s, const int* members, int n, int c, double* low, double* high) {
    double sum = 0;
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < n; i++) {
        const double value = s->outcomes[members[i]].values[c];
        sum += value / n;
        if (!(value >= *low || isnan(*low))) *low = value;
        if (!(value <= *high || isnan(*high))) *high = value;
    }
    return sum;
}

// Whether a column is one of the table.
static bool is_told(const Sweep* s, int c) {
    bool any = false;
    for (int i = 0; i < s->count; i++) any |= !isnan(s->outcomes[i].values[c]);
    return any && column(s, c)->title;
}

static void table_row(const Sweep* s, const int* members, int n, UfText* text) {
    const Outcome* first = &s->outcomes[members[0]];
    uf_text_add(text, "%-36s %5d %8lld", first->group[0] ? first->group : "all", n, (long long)first->dims);
    for (int c = 0; c < num_columns(s); c++) {
        char cell[64] = "-";
        double low, high;
        const double mean = over(s, members, n, c, &low, &high);
        if (!isnan(mean)) snprintf(cell, sizeof cell, "%.4g (%.4g to %.4g)", mean, low, high);
        if (is_told(s, c)) uf_text_add(text, "  %-26s", cell);
    }
    uf_text_add(text, "\n");
}

static UfStatus table(const Sweep* s, int* members, char** report) {
    UfText text = {0};
    uf_text_add(&text, "%-36s %5s %8s", "mean over seeds (least to most)", "seeds", "numbers");
    for (int c = 0; c < num_columns(s); c++)
        if (is_told(s, c)) uf_text_add(&text, "  %-26s", column(s, c)->title);
    uf_text_add(&text, "\n");
    for (int i = 0; i < s->count; i++) {
        const int n = same_group(s, i, members);
        if (n) table_row(s, members, n, &text);
    }
    return uf_text_finish(&text, report);
}

static UfStatus write_csv(const Sweep* s) {
    char path[UF_PATH_BYTES], *csv;
    UfText text = {0};
    uf_text_add(&text, "settings,numbers");
    for (int c = 0; c < num_columns(s); c++) uf_text_add(&text, ",%s", column(s, c)->name);
    uf_text_add(&text, "\n");
    for (int i = 0; i < s->count; i++) {
        const Outcome* o = &s->outcomes[i];
        uf_text_add_csv(&text, o->settings);
        uf_text_add(&text, ",%lld", (long long)o->dims);
        for (int c = 0; c < num_columns(s); c++)
            uf_text_add(&text, isfinite(o->values[c]) ? ",%.9g" : ",", o->values[c]);
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
    const UfSearchPlan plan = s->kind->plan(s->options->config);
    char path[UF_PATH_BYTES], title[UF_STRING_BYTES + 64], axis[128];
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
    snprintf(title, sizeof title, "%s: %s", s->kind->title, plan.subject);
    snprintf(axis, sizeof axis, "mean %s", plan.axis);
    const UfPlot plot = {title, "generation", axis, num_series, series, false, false};
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
    const UfSearchSweepOptions* o = s->options;
    const bool writes = !o->ranks || o->ranks->rank == 0;
    char folder[UF_FOLDER_BYTES];
    UF_TRY(count_combinations(o->axes, &s->count));
    UF_TRY(UF_ALLOC(&s->outcomes, s->count, "searches"));
    UF_TRY(uf_table_create(s->kind->table, &s->config));
    for (int i = 0; i < s->count; i++)
        UF_TRY(choose(s, i, &(Outcome){.dims = 0}));  // refuses before any work
    if (writes) UF_TRY(uf_make_folder(o->out));
    for (int i = 0; i < s->count; i++) {
        UF_TRY(choose(s, i, &s->outcomes[i]));
        if (snprintf(folder, sizeof folder, "%s/%s", o->out, s->outcomes[i].settings) >= (int)sizeof folder)
            return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the name is too long", o->out);
        bool finished;
        UF_TRY(uf_search_run_finished(s->kind, s->config, folder, &finished));
        if (!finished) UF_TRY(run_one(s, folder));
        if (writes) UF_TRY(read_outcome(s, &s->outcomes[i], folder));
    }
    return writes ? results(s, report) : UF_OK;
}

UfStatus uf_search_sweep(const UfSearchSweepOptions* options, char** report) {
    Sweep s = {.options = options, .kind = options->kind};
    assert(s.kind->num_columns <= UF_SEARCH_MAX_COLUMNS);
    *report = NULL;
    const UfStatus status = run_all(&s, report);
    for (int i = 0; s.outcomes && i < s.count; i++) uf_free(s.outcomes[i].curve);
    uf_free(s.outcomes);
    uf_free(s.config);
    return status;
}
