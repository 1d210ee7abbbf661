// search_run.c: see search_run.h.
//
// Rooms: progress and log, searching, results, run, folders.
#include "core/search/search_run.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/pictures/plot.h"
#include "core/runs/run_log.h"

static const char CHECKPOINT_FILE[] = "checkpoint.h5", REPORT_FILE[] = "report.txt";

typedef struct Run {
    const UfSearchRunOptions* options;
    const UfSearchKind* kind;
    UfSearchResult* result;
    void* config;
    UfSearchPlan plan;
    UfRunFolder folder;
    void* search;
    bool writes;                                 // rank 0
    int64_t first_generation, saved_generation;  // saved -1: none yet
    double started, seconds_before, last_tick;
    UfSearchStep now;
} Run;

static int64_t generation_of(const Run* run) { return uf_es_generation(run->kind->es(run->search)); }

// ---- progress and log ----

static void note(const UfSearchRunOptions* options, const char* text) {
    UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (options->on_progress && (!options->ranks || options->ranks->rank == 0))
        options->on_progress(options->user, &event);
}

static void progress(Run* run, UfRunEventKind kind) {
    static const char* const names[] = {"mean", "best", "best_ever"};
    const UfGeneration* g = &run->now.generation;
    const double values[] = {g->mean, g->best, g->best_ever}, elapsed = uf_now() - run->started;
    if (!run->options->on_progress || !run->writes) return;
    const int64_t done = g->generation - run->first_generation;
    UfRunEvent event = {.kind = kind,
                        .update = g->generation,
                        .num_updates = run->plan.generations,
                        .updates_per_second = elapsed > 0 ? (double)done / elapsed : 0,
                        .num_metrics = 3,
                        .names = names,
                        .values = values,
                        .eval_return = NAN,
                        .eval_score = NAN,
                        .population = 1};
    event.seconds_left = done > 0 ? elapsed / (double)done * (double)(event.num_updates - event.update) : NAN;
    run->options->on_progress(run->options->user, &event);
}

void uf_search_number(UfSearchStep* step, const char* name, double value) {
    assert(step->num_numbers < UF_SEARCH_MAX_NUMBERS);
    step->numbers[step->num_numbers].name = name;
    step->numbers[step->num_numbers++].value = value;
}

static UfStatus log_line(Run* run) {
    const UfGeneration* g = &run->now.generation;
    UfLogLine line;
    uf_log_begin(&line, "generation", g->generation, run->seconds_before + uf_now() - run->started);
    uf_log_number(&line, "mean", g->mean);
    uf_log_number(&line, "best", g->best);
    uf_log_number(&line, "std", g->std);
    uf_log_number(&line, "best_ever", g->best_ever);
    uf_log_number(&line, "num_nonfinite", (double)g->num_nonfinite);
    for (int i = 0; i < run->now.num_numbers; i++)
        uf_log_number(&line, run->now.numbers[i].name, run->now.numbers[i].value);
    return uf_log_finish(&run->folder, &line);
}

// ---- searching ----

static UfStatus save(Run* run) {
    char path[UF_PATH_BYTES];
    if (!run->writes) return UF_OK;
    uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    UF_TRY(run->kind->save(run->search, path));
    run->saved_generation = generation_of(run);
    return UF_OK;
}

static UfStatus stopped(Run* run) {
    UF_TRY(save(run));
    return UF_FAIL(UF_ERR_STOPPED, "%s: stopped after generation %" PRId64, run->folder.name,
                   run->result->generation);
}

static UfStatus search(Run* run) {
    const UfSearchPlan* plan = &run->plan;
    while (generation_of(run) < plan->generations) {
        UfSearchStep step = {.num_numbers = 0};
        bool ends = false;
        UF_TRY(run->kind->step(run->search, &step, run->options->stop, &ends));
        if (ends) return stopped(run);
        run->now = step;
        const int64_t g = run->result->generation = step.generation.generation;
        const bool logs = step.logged || g % plan->log_interval == 0 || g == plan->generations;
        if (run->writes && logs) {
            UF_TRY(log_line(run));
            progress(run, UF_RUN_INTERVAL);
        } else if (uf_now() - run->last_tick >= 0.1) {
            progress(run, UF_RUN_TICK);
            run->last_tick = uf_now();
        }
        if (g % plan->checkpoint_interval == 0 && g < plan->generations) UF_TRY(save(run));
    }
    return run->saved_generation == plan->generations ? UF_OK : save(run);
}

// A folder without a checkpoint yet has its configuration all the same.
static UfStatus check_resumed(const Run* run) {
    void* saved;
    UfStatus status = uf_search_run_config(run->kind, &saved, run->options->resume);
    if (status == UF_OK) status = uf_same_hyperparameters(run->kind->table, saved, run->config);
    uf_free(saved);
    return status;
}

static UfStatus open_search(Run* run) {
    const UfSearchKind* kind = run->kind;
    char path[UF_PATH_BYTES];
    if (run->options->resume) UF_TRY(check_resumed(run));
    if (run->options->resume && !run->writes)
        snprintf(path, sizeof path, "%s/%s", run->options->resume, CHECKPOINT_FILE);
    else
        uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    run->saved_generation = -1;
    if (!run->options->resume || !uf_file_exists(path))
        return kind->open(&run->search, run->config, run->options->ranks);
    UF_TRY(kind->reopen(&run->search, path, run->config, run->options->ranks));
    UF_TRY(uf_same_hyperparameters(kind->table, kind->config(run->search), run->config));
    run->saved_generation = generation_of(run);
    return UF_OK;
}

// ---- results ----

UfStatus uf_search_drawn(const UfSearchEnd* end, UfStatus status, bool* drawn) {
    *drawn = status == UF_OK;
    if (status != UF_ERR_UNSUPPORTED) return status;
    note(end->options, uf_error());
    return UF_OK;
}

// A column of the log where it has a number: n points, x then y.
static int column(const UfRunLog* log, const char* name, double* x, double* y) {
    int n = 0;
    for (int i = 0; i < log->num_rows; i++) {
        const double value = uf_run_log_at(log, i, name);
        if (!isfinite(value)) continue;
        x[n] = uf_run_log_at(log, i, "generation");
        y[n++] = value;
    }
    return n;
}

// Fitness against generations: mean of the candidates with their deviation, the best, and what the kind adds.
static UfStatus draw_series(const UfSearchPlan* plan, const UfRunLog* log, double* v,
                            const UfRunFolder* folder) {
    static const char* const endings[] = {"png", "svg"};
    char title[UF_STRING_BYTES + 64], file[64], path[UF_PATH_BYTES];
    const int n = log->num_rows;
    for (int i = 0; i < n; i++) {
        const double mean = uf_run_log_at(log, i, "mean"), std = uf_run_log_at(log, i, "std");
        v[i] = uf_run_log_at(log, i, "generation");
        v[n + i] = mean;
        v[2 * n + i] = mean - std;
        v[3 * n + i] = mean + std;
        v[4 * n + i] = uf_run_log_at(log, i, "best");
    }
    UfSeries series[2 + UF_SEARCH_MAX_CURVES] = {
        {"mean of candidates, +- their deviation", n, v, v + n, v + 2 * n, v + 3 * n},
        {"best of the generation", n, v, v + 4 * n, NULL, NULL}};
    UfPlot plot = {title, "generation", plan->axis, 2, series, false, false};
    for (int c = 0; c < plan->num_curves; c++) {
        double *x = v + (5 + 2 * c) * n, *y = x + n;
        const int points = column(log, plan->curves[c].column, x, y);
        if (points) series[plot.num_series++] = (UfSeries){plan->curves[c].label, points, x, y, NULL, NULL};
    }
    snprintf(title, sizeof title, "%s on %s", plan->method, plan->subject);
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "fitness.%s", endings[i]);
        uf_run_folder_path(folder, file, path);
        UF_TRY(uf_plot_write(&plot, path));
    }
    return UF_OK;
}

static UfStatus draw_fitness(const Run* run) {
    UfRunLog log;
    double* v;
    UF_TRY(uf_run_log_read(&log, run->folder.name));
    UfStatus status = UF_ALLOC(&v, (5 + 2 * run->plan.num_curves) * log.num_rows + 1, "chart");
    if (status == UF_OK) status = draw_series(&run->plan, &log, v, &run->folder);
    uf_free(v);
    uf_run_log_free(&log);
    return status;
}

static UfStatus write_results(Run* run, UfText* text) {
    const UfGeneration* g = &run->now.generation;
    const UfSearchEnd end = {run->options, run->search, run->config, &run->folder, text};
    bool has_chart;
    if (g->generation)
        uf_text_add(text, "fitness           %.4g mean, %.4g best of generation %" PRId64 " (%s)\n", g->mean,
                    g->best, run->result->generation, run->plan.fitness);
    if (g->num_nonfinite)
        uf_text_add(text, "not a number      fitness of %" PRId64 " candidates so far; they ranked last\n",
                    g->num_nonfinite);
    UF_TRY(run->kind->results(&end));
    UF_TRY(uf_search_drawn(&end, draw_fitness(run), &has_chart));
    if (has_chart) uf_text_add(text, "fitness curve     %s/fitness.png\n", run->folder.name);
    uf_text_add(text, "checkpoint        %s/%s\n", run->folder.name, CHECKPOINT_FILE);
    return UF_OK;
}

static UfStatus results(Run* run) {
    char path[UF_PATH_BYTES];
    UfText text = {0};
    const UfStatus status = write_results(run, &text);
    if (status != UF_OK) text.status = status;
    UF_TRY(uf_text_finish(&text, &run->result->report));
    uf_run_folder_path(&run->folder, REPORT_FILE, path);
    return uf_write_file(path, run->result->report, strlen(run->result->report));
}

// ---- run ----

static UfStatus open_folder(Run* run) {
    const UfRunFolderOptions options = {.out = run->options->out,
                                        .resume = run->options->resume,
                                        .table = run->kind->table,
                                        .config = run->config,
                                        .config_name = run->kind->config_file,
                                        .algorithm = run->kind->algorithm,
                                        .subject = uf_file_name(run->plan.subject),
                                        .checkpoint = CHECKPOINT_FILE};
    if (!run->writes) return UF_OK;
    const UfStatus status = uf_run_folder_open(&run->folder, &options);
    memcpy(run->result->folder, run->folder.name, sizeof(run->result->folder));
    return status;
}

static UfStatus open_all(Run* run) {
    const size_t bytes = run->kind->table->bytes;
    UF_TRY(uf_alloc(&run->config, 1, bytes, "a config"));
    memcpy(run->config, run->options->config, bytes);
    run->plan = run->kind->plan(run->config);
    UF_TRY(run->kind->check(run->config));  // refuses before there is a folder
    UF_TRY(open_folder(run));
    UF_TRY(open_search(run));
    if (!run->writes) return UF_OK;
    const int64_t from = run->saved_generation < 0 ? 0 : run->saved_generation;
    UF_TRY(uf_run_log_truncate(&run->folder, "generation", from, &run->seconds_before));
    if (from == 0) run->seconds_before = 0;
    return UF_OK;
}

static void note_device(const Run* run) {
    char text[300];
    const char* device = run->kind->device ? run->kind->device(run->search) : NULL;
    if (!device) return;
    snprintf(text, sizeof text, "device auto: %s", device);
    note(run->options, text);
}

// The same configuration, and from the same place.
static UfStatus same_search(const Run* run) {
    char *json, *text = NULL;
    UfText all = {0};
    UF_TRY(uf_table_json(run->kind->table, run->config, &json));
    uf_text_add(&all, "generation %" PRId64 " of %s", generation_of(run), json);
    uf_free(json);
    UfStatus status = uf_text_finish(&all, &text);
    if (status == UF_OK) status = uf_ranks_agree(run->options->ranks, text, "configuration or checkpoint");
    uf_free(text);
    return status;
}

static UfStatus run_all(Run* run) {
    UF_TRY(uf_ranks_all_well(run->options->ranks, open_all(run)));
    if (run->options->ranks) UF_TRY(same_search(run));
    note_device(run);
    if (run->writes) uf_run_folder_keep(&run->folder);
    run->first_generation = run->result->generation = generation_of(run);
    run->started = run->last_tick = uf_now();
    UF_TRY(search(run));
    return run->writes ? results(run) : UF_OK;
}

UfStatus uf_search_run(const UfSearchRunOptions* options, UfSearchResult* result) {
    Run run = {.options = options,
               .kind = options->kind,
               .result = result,
               .folder.lock = -1,
               .writes = !options->ranks || options->ranks->rank == 0};
    *result = (UfSearchResult){.generation = 0};
    const UfStatus status = run_all(&run);
    run.kind->free(run.search);
    if (run.writes) uf_run_folder_close(&run.folder);
    uf_free(run.config);
    if (status == UF_OK) return UF_OK;
    uf_free(result->report);
    result->report = NULL;
    return status;
}

// ---- folders ----

UfStatus uf_search_run_config(const UfSearchKind* kind, void** out, const char* folder) {
    char path[2048];
    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, kind->config_file);
    if (!uf_file_exists(path))
        return UF_FAIL(UF_ERR_IO, "%s: holds no %s (no %s)", folder, kind->what, kind->config_file);
    UF_TRY(uf_table_create(kind->table, out));
    return uf_table_load(kind->table, *out, path);
}

UfStatus uf_search_run_finished(const UfSearchKind* kind, const void* config, const char* folder,
                                bool* finished) {
    void* saved;
    UfRunLog log;
    *finished = false;
    if (!uf_has_file(folder, kind->config_file)) return UF_OK;
    UfStatus status = uf_search_run_config(kind, &saved, folder);
    if (status == UF_OK) {
        status = uf_same_hyperparameters(kind->table, saved, config);
        if (status != UF_OK) status = uf_fail_prefix(status, folder);
    }
    uf_free(saved);
    if (status != UF_OK || !uf_has_file(folder, REPORT_FILE)) return status;
    UF_TRY(uf_run_log_read(&log, folder));
    const double last = log.num_rows ? uf_run_log_at(&log, log.num_rows - 1, "generation") : 0;
    uf_run_log_free(&log);
    *finished = last >= (double)kind->plan(config).generations;
    return UF_OK;
}
