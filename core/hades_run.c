// hades_run.c: see hades_run.h.
//
// Rooms: progress and log, ranks, searching, results, run, datasets.
#include "hades_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plot.h"
#include "run_log.h"

static const char CONFIG_FILE[] = "hades.json", CHECKPOINT_FILE[] = "checkpoint.h5",
                  DATASET_FILE[] = "distilled.hdf5", RATINGS_FILE[] = "ratings.h5",
                  REPORT_FILE[] = "report.txt";

typedef struct Run {
    const HdRunOptions* options;
    HdResult* result;
    HdConfig config;
    UfRunFolder folder;
    HdSearch* search;
    bool writes;                                 // rank 0
    int64_t first_generation, saved_generation;  // saved -1: none yet
    double started, seconds_before, last_tick;
    HdGeneration now;
} Run;

// ---- progress and log ----

static void note(const Run* run, const char* text) {
    UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (run->options->on_progress && run->writes) run->options->on_progress(run->options->user, &event);
}

static void progress(Run* run, UfRunEventKind kind) {
    static const char* const names[] = {"mean", "best", "best_ever"};
    const HdGeneration* g = &run->now;
    const double values[] = {g->mean, g->best, g->best_ever}, elapsed = uf_now() - run->started;
    if (!run->options->on_progress || !run->writes) return;
    const int64_t done = g->generation - run->first_generation;
    UfRunEvent event = {.kind = kind,
                        .update = g->generation,
                        .num_updates = run->config.generations,
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

static UfStatus log_line(Run* run) {
    const HdGeneration* g = &run->now;
    UfLogLine line;
    uf_log_begin(&line, "generation", g->generation, run->seconds_before + uf_now() - run->started);
    uf_log_number(&line, "mean", g->mean);
    uf_log_number(&line, "best", g->best);
    uf_log_number(&line, "std", g->std);
    uf_log_number(&line, "best_ever", g->best_ever);
    uf_log_number(&line, "num_nonfinite", (double)g->num_nonfinite);
    uf_log_number(&line, "networks_per_second", (double)g->num_networks / g->seconds);
    uf_log_number(&line, "steps_per_second", (double)g->num_steps / g->seconds);
    return uf_log_finish(&run->folder, &line);
}

// ---- ranks ----

// Whether something went wrong with any process, so that none waits for it. The sentence is the one's own.
static UfStatus agree(const Run* run, UfStatus mine) {
    const UfRanks* ranks = run->options->ranks;
    char sentence[512];
    double failed = mine != UF_OK;
    if (!ranks) return mine;
    snprintf(sentence, sizeof sentence, "%s", mine == UF_OK ? "" : uf_error());
    UF_TRY(ranks->sum(ranks->context, &failed, 1));
    if (mine != UF_OK) return UF_FAIL(mine, "%s", sentence);
    return failed > 0 ? UF_FAIL(UF_ERR_DEVICE, "another process could not go on; its own message says why")
                      : UF_OK;
}

// ---- searching ----

static UfStatus save(Run* run) {
    char path[UF_PATH_BYTES];
    if (!run->writes) return UF_OK;
    uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    UF_TRY(hd_search_save(run->search, path));
    run->saved_generation = uf_es_generation(hd_search_es(run->search));
    return UF_OK;
}

static UfStatus stopped(Run* run) {
    UF_TRY(save(run));
    return UF_FAIL(UF_ERR_STOPPED, "%s: stopped after generation %" PRId64, run->folder.name,
                   run->result->generation);
}

static UfStatus search(Run* run) {
    const HdConfig* c = &run->config;
    while (uf_es_generation(hd_search_es(run->search)) < c->generations) {
        bool ends = false;
        UF_TRY(hd_search_step_until(run->search, &run->now, run->options->stop, &ends));
        if (ends) return stopped(run);
        const int64_t g = run->result->generation = run->now.generation;
        if (run->result->first.generation == 0) run->result->first = run->now;
        run->result->last = run->now;
        const bool logs = g % c->log_interval == 0 || g == c->generations;
        if (run->writes && logs) {
            UF_TRY(log_line(run));
            progress(run, UF_RUN_INTERVAL);
        } else if (uf_now() - run->last_tick >= 0.1) {
            progress(run, UF_RUN_TICK);
            run->last_tick = uf_now();
        }
        if (g % c->checkpoint_interval == 0 && g < c->generations) UF_TRY(save(run));
    }
    return run->saved_generation == c->generations ? UF_OK : save(run);
}

// A folder without a checkpoint yet has its configuration all the same.
static UfStatus check_resumed(const Run* run) {
    HdConfig* saved;
    UF_TRY(hd_run_config(&saved, run->options->resume));
    const UfStatus status = uf_same_hyperparameters(&hd_table, saved, &run->config);
    hd_config_free(saved);
    return status;
}

static UfStatus open_search(Run* run) {
    char path[UF_PATH_BYTES];
    if (run->options->resume) UF_TRY(check_resumed(run));
    if (run->options->resume && !run->writes)
        snprintf(path, sizeof path, "%s/%s", run->options->resume, CHECKPOINT_FILE);
    else
        uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    run->saved_generation = -1;
    if (!run->options->resume || !uf_file_exists(path))
        return hd_search_open(&run->search, &run->config, run->options->ranks);
    UF_TRY(hd_search_reopen(&run->search, path, &run->config, run->options->ranks));
    UF_TRY(uf_same_hyperparameters(&hd_table, hd_search_config(run->search), &run->config));
    run->saved_generation = uf_es_generation(hd_search_es(run->search));
    return UF_OK;
}

// ---- results ----

static HdRateOptions rate_options(const Run* run) {
    const HdConfig* c = &run->config;
    return (HdRateOptions){
        .config = c, .num_inits = (int)c->eval_inits, .num_episodes = (int)c->eval_episodes, .seed = c->seed};
}

static UfStatus write_rating(const UfH5* h5, const char* name, const HdRating* rating) {
    const int64_t dims[] = {rating->num_inits, rating->num_numbers};
    return uf_h5_write(h5, name, UF_H5_DOUBLE, rating->numbers, 2, dims, 4, false);
}

// own: of the search's fixed weights.   Nullable: own
static UfStatus save_ratings(const Run* run, const HdRating* fresh, const HdRating* own) {
    char path[UF_PATH_BYTES], temporary[UF_PATH_BYTES + 8], *json = NULL;
    UfH5 h5;
    uf_run_folder_path(&run->folder, RATINGS_FILE, path);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = uf_h5_write_string(&h5, "/", "kind", "unifloral-hades-ratings");
    if (status == UF_OK) status = uf_h5_write_string(&h5, "/", "version", uf_version());
    if (status == UF_OK) status = hd_config_json(&run->config, &json);
    if (status == UF_OK) status = uf_h5_write_string(&h5, "/", "config", json);
    if (status == UF_OK)
        status = write_rating(&h5, run->config.images[0] ? "loss_and_accuracy" : "returns", fresh);
    if (status == UF_OK && own) status = write_rating(&h5, "own_returns", own);
    uf_free(json);
    const UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

// What a build without cairo cannot draw is no reason to call the run a failure.
static UfStatus drawn(const Run* run, UfStatus status, bool* done) {
    *done = status == UF_OK;
    if (status != UF_ERR_UNSUPPORTED) return status;
    note(run, uf_error());
    return UF_OK;
}

// Fitness against generations: mean of the candidates with their deviation, the best.
static UfStatus draw_fitness(const Run* run) {
    static const char* const endings[] = {"png", "svg"};
    char title[UF_STRING_BYTES + 64], file[64], path[UF_PATH_BYTES];
    UfRunLog log;
    double* v;
    UF_TRY(uf_run_log_read(&log, run->folder.name));
    const int n = log.num_rows;
    UfStatus status = UF_ALLOC(&v, 5 * n + 1, "chart");
    for (int i = 0; i < n && status == UF_OK; i++) {
        const double mean = uf_run_log_at(&log, i, "mean"), std = uf_run_log_at(&log, i, "std");
        v[i] = uf_run_log_at(&log, i, "generation");
        v[n + i] = mean;
        v[2 * n + i] = mean - std;
        v[3 * n + i] = mean + std;
        v[4 * n + i] = uf_run_log_at(&log, i, "best");
    }
    const bool images = run->config.images[0] != 0;
    snprintf(
        title, sizeof title, "%s on %s",
        run->config.search == HD_SEARCH_WEIGHTS ? "Direct evolution of weights" : "Behaviour distillation",
        images ? run->config.images : run->config.env);
    const UfSeries series[] = {{"mean of candidates, +- their deviation", n, v, v + n, v + 2 * n, v + 3 * n},
                               {"best of the generation", n, v, v + 4 * n, NULL, NULL}};
    const UfPlot plot = {title, "generation", images ? "training loss" : "fitness (return)", 2, series,
                         false, false};
    for (int i = 0; i < 2 && status == UF_OK; i++) {
        snprintf(file, sizeof file, "fitness.%s", endings[i]);
        uf_run_folder_path(&run->folder, file, path);
        status = uf_plot_write(&plot, path);
    }
    uf_free(v);
    uf_run_log_free(&log);
    return status;
}

static void report_rating(UfText* text, const char* what, const HdRating* r, bool images) {
    if (images)
        uf_text_add(text, "%-18s%.4f +- %.4f of the test images, least %.4f  (%d initial weights)\n", what,
                    r->mean, r->std, r->least, r->num_inits);
    else
        uf_text_add(text, "%-18s%.4g +- %.2g, least %.4g  (%d initial weights x %d episodes)\n", what,
                    r->mean, r->std, r->least, r->num_inits, r->num_numbers);
}

static UfStatus report(Run* run, const HdRating* own, bool has_dataset, bool has_picture, bool has_chart) {
    const HdConfig* c = &run->config;
    const bool images = c->images[0] != 0;
    char path[UF_PATH_BYTES];
    UfText text = {0};
    if (run->now.generation)
        uf_text_add(&text, "fitness           %.4g mean, %.4g best of generation %" PRId64 " (%s)\n",
                    run->now.mean, run->now.best, run->result->generation,
                    images ? "training loss" : "mean return of candidates");
    if (run->now.num_nonfinite)
        uf_text_add(&text, "not a number      fitness of %" PRId64 " candidates so far; they ranked last\n",
                    run->now.num_nonfinite);
    report_rating(&text, c->search == HD_SEARCH_WEIGHTS ? "evolved policy" : "fresh policies",
                  &run->result->rating, images);
    if (own) report_rating(&text, "its own weights", own, images);
    if (has_dataset) uf_text_add(&text, "dataset           %s/%s\n", run->folder.name, DATASET_FILE);
    if (has_picture) uf_text_add(&text, "picture           %s/dataset.png\n", run->folder.name);
    if (has_chart) uf_text_add(&text, "fitness curve     %s/fitness.png\n", run->folder.name);
    uf_text_add(&text, "checkpoint        %s/%s\n", run->folder.name, CHECKPOINT_FILE);
    UF_TRY(uf_text_finish(&text, &run->result->report));
    uf_run_folder_path(&run->folder, REPORT_FILE, path);
    return uf_write_file(path, run->result->report, strlen(run->result->report));
}

static UfStatus dataset_results(Run* run, HdRating* own, bool* has_own, bool* has_picture) {
    char path[UF_PATH_BYTES];
    const HdConfig* c = &run->config;
    UfDistilled* data;
    HdRateOptions rate = rate_options(run);
    UF_TRY(hd_search_dataset(run->search, &data));
    uf_run_folder_path(&run->folder, DATASET_FILE, path);
    UfStatus status = uf_distilled_write(data, path);
    uf_run_folder_path(&run->folder, "dataset.png", path);
    if (status == UF_OK) status = drawn(run, uf_distilled_show(data, path), has_picture);
    if (status == UF_OK) status = hd_rate(&run->result->rating, data, &rate);
    *has_own = c->policies == HD_POLICIES_FIXED;
    rate.own_inits = true;
    rate.num_inits = (int)c->rollouts;
    if (status == UF_OK && *has_own) status = hd_rate(own, data, &rate);
    uf_distilled_free(data);
    return status;
}

static UfStatus results(Run* run) {
    const HdConfig* c = &run->config;
    HdRating own = {0};
    bool has_own = false, has_picture = false, has_chart = false;
    const bool has_dataset = c->search == HD_SEARCH_DATASET;
    UfStatus status = has_dataset ? dataset_results(run, &own, &has_own, &has_picture)
                      : c->env[0] ? hd_rate_weights(&run->result->rating, run->search, (int)c->eval_inits,
                                                    (int)c->eval_episodes, c->seed)
                                  : UF_OK;
    if (status == UF_OK && run->result->rating.numbers)
        status = save_ratings(run, &run->result->rating, has_own ? &own : NULL);
    if (status == UF_OK) status = drawn(run, draw_fitness(run), &has_chart);
    if (status == UF_OK) status = report(run, has_own ? &own : NULL, has_dataset, has_picture, has_chart);
    hd_rating_free(&own);
    return status;
}

// ---- run ----

static UfStatus open_folder(Run* run) {
    const HdConfig* c = &run->config;
    const UfRunFolderOptions options = {.out = run->options->out,
                                        .resume = run->options->resume,
                                        .table = &hd_table,
                                        .config = c,
                                        .config_name = CONFIG_FILE,
                                        .algorithm = "hades",
                                        .subject = c->env[0] ? c->env : uf_file_name(c->images),
                                        .checkpoint = CHECKPOINT_FILE};
    if (!run->writes) return UF_OK;
    const UfStatus status = uf_run_folder_open(&run->folder, &options);
    memcpy(run->result->folder, run->folder.name, sizeof(run->result->folder));
    return status;
}

static UfStatus open_all(Run* run) {
    UF_TRY(hd_config_check(&run->config));  // refuses before there is a folder
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
    if (run->config.device != UF_DEVICE_AUTO) return;
    snprintf(text, sizeof text, "device auto: %s", hd_search_backend(run->search)->about);
    note(run, text);
}

// The same configuration, and from the same place.
static UfStatus same_search(const Run* run) {
    char *json, *text = NULL;
    UfText all = {0};
    UF_TRY(hd_config_json(&run->config, &json));
    uf_text_add(&all, "generation %" PRId64 " of %s", uf_es_generation(hd_search_es(run->search)), json);
    uf_free(json);
    UfStatus status = uf_text_finish(&all, &text);
    if (status == UF_OK) status = uf_ranks_agree(run->options->ranks, text, "configuration or checkpoint");
    uf_free(text);
    return status;
}

static UfStatus run_all(Run* run) {
    UF_TRY(agree(run, open_all(run)));
    if (run->options->ranks) UF_TRY(same_search(run));
    note_device(run);
    if (run->writes) uf_run_folder_keep(&run->folder);
    run->first_generation = run->result->generation = uf_es_generation(hd_search_es(run->search));
    run->started = run->last_tick = uf_now();
    UF_TRY(search(run));
    return run->writes ? results(run) : UF_OK;
}

UfStatus hd_run(const HdRunOptions* options, HdResult* result) {
    Run run = {.options = options,
               .result = result,
               .folder.lock = -1,
               .config = *options->config,
               .writes = !options->ranks || options->ranks->rank == 0};
    *result = (HdResult){.generation = 0};
    const UfStatus status = run_all(&run);
    hd_search_free(run.search);
    if (run.writes) uf_run_folder_close(&run.folder);
    if (status == UF_OK) return UF_OK;
    hd_rating_free(&result->rating);
    uf_free(result->report);
    result->report = NULL;
    return status;
}

UfStatus hd_run_config(HdConfig** out, const char* folder) {
    char path[2048];
    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, CONFIG_FILE);
    if (!uf_file_exists(path))
        return UF_FAIL(UF_ERR_IO, "%s: holds no distillation (no %s)", folder, CONFIG_FILE);
    UF_TRY(hd_config_create(out));
    return hd_config_load(*out, path);
}

// ---- datasets ----

UfStatus hd_config_of(HdConfig** out, const UfDistilled* data) {
    UF_TRY(hd_config_create(out));
    if (data->config && data->config[0])
        return uf_table_parse(&hd_table, *out, data->config, "the dataset's config");
    return data->num_tasks || !data->env_id[0] ? UF_OK : hd_config_set(*out, "env", data->env_id);
}

static UfStatus try_rows(const UfDistilled* data, const HdRateOptions* options, const char* what,
                         UfText* text) {
    HdRating rating;
    UF_TRY(hd_rate(&rating, data, options));
    report_rating(text, what, &rating, options->config->images[0] != 0);
    hd_rating_free(&rating);
    return UF_OK;
}

// The same rows with states of 0, then with each state's label that of the row before.
static UfStatus try_controls(const UfDistilled* data, const HdRateOptions* options, UfText* text) {
    UfDistilled control = *data;
    const size_t A = (size_t)data->action_dim, last = (size_t)(data->rows - 1);
    UF_TRY(UF_ALLOC(&control.states, data->rows * data->obs_dim, "a control"));
    UfStatus status = try_rows(&control, options, "states all 0", text);
    uf_free(control.states);
    UF_TRY(status);
    control.states = data->states;
    UF_TRY(UF_ALLOC(&control.labels, data->rows * data->action_dim, "a control"));
    memcpy(control.labels, data->labels + last * A, A * sizeof(float));
    memcpy(control.labels + A, data->labels, last * A * sizeof(float));
    status = try_rows(&control, options, "labels moved on", text);
    uf_free(control.labels);
    return status;
}

UfStatus hd_try(const UfDistilled* data, const HdTryOptions* options, UfText* text) {
    UF_TRY(try_rows(data, &options->rate, "fresh policies", text));
    return options->controls ? try_controls(data, &options->rate, text) : UF_OK;
}
