// dynamics_run.c: the run folder and the loop around uf_dynamics_train.
//
// Rooms: progress and log, training, charts, report, API.
#include "core/runs/dynamics_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/agents/dynamics.h"
#include "core/data/dataset.h"
#include "core/pictures/plot.h"
#include "core/runs/run_log.h"

#define MODEL_FILE "model.h5"

typedef struct Run {
    const UfRunOptions* options;
    UfDynamicsResult* result;
    UfConfig config;
    UfRunFolder folder;
    UfDataset* dataset;
    UfDynamics* dynamics;
    double started, seconds_before, last_tick, epoch_started;
    int64_t first_step, saved_epoch;  // saved_epoch: of the last model written, -1: none
    double loss, validation;          // of the last epoch
    UfStatus failure;                 // of a callback; its sentence is in uf_error()
} Run;

// ---- progress and log ----

static void note(const Run* run, const char* text) {
    UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (run->options->on_progress) run->options->on_progress(run->options->user, &event);
}

static void progress(Run* run, UfRunEventKind kind) {
    static const char* const names[] = {"epoch", "loss", "validation"};
    const double values[] = {(double)uf_dynamics_num_epochs(run->dynamics), run->loss, run->validation};
    const int64_t step = uf_dynamics_num_steps(run->dynamics), done = step - run->first_step;
    const double elapsed = uf_now() - run->started;
    UfRunEvent event = {.kind = kind,
                        .update = step,
                        .num_updates = run->config.num_epochs * uf_dynamics_num_batches(run->dynamics),
                        .updates_per_second = elapsed > 0 ? (double)done / elapsed : 0,
                        .num_metrics = 3,
                        .names = names,
                        .values = values,
                        .eval_return = NAN,
                        .eval_score = NAN};
    event.seconds_left = done > 0 ? elapsed / (double)done * (double)(event.num_updates - step) : NAN;
    if (run->options->on_progress) run->options->on_progress(run->options->user, &event);
}

static double mean_of(const double* values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += values[i];
    return sum / count;
}

static UfStatus recall_epoch(Run* run, int64_t epoch, const double** validation, int* count) {
    UF_TRY(uf_dynamics_epoch(run->dynamics, epoch, &run->loss, validation, count));
    run->validation = mean_of(*validation, *count);
    return UF_OK;
}

static UfStatus log_epoch(Run* run, int64_t epoch) {
    const double* validation;
    const double seconds = uf_now() - run->epoch_started;
    UfLogLine line;
    int count;
    UF_TRY(recall_epoch(run, epoch, &validation, &count));
    uf_log_begin(&line, "epoch", epoch, run->seconds_before + uf_now() - run->started);
    uf_log_number(&line, "epochs_per_second", seconds > 0 ? 1 / seconds : NAN);
    uf_log_number(&line, "train_loss", run->loss);
    uf_log_number(&line, "validation", run->validation);
    for (int n = 0; n < count; n++) {
        char name[32];
        snprintf(name, sizeof(name), "validation_%d", n);
        uf_log_number(&line, name, validation[n]);
    }
    run->epoch_started = uf_now();
    return uf_log_finish(&run->folder, &line);
}

// ---- training ----

static UfStatus save(Run* run) {
    char path[UF_PATH_BYTES];
    uf_run_folder_path(&run->folder, MODEL_FILE, path);
    UF_TRY(uf_dynamics_save(run->dynamics, path));
    run->saved_epoch = uf_dynamics_num_epochs(run->dynamics);
    return UF_OK;
}

// Batch 0 ends an epoch: its log line is on disk before a model that knows the epoch is.
static int on_batch(void* user, UfDynamics* dynamics, int64_t epoch, int64_t batch) {
    Run* run = user;
    run->result->epoch = uf_dynamics_num_epochs(dynamics);
    if (batch == 0)
        run->failure = log_epoch(run, epoch);
    else if (uf_dynamics_num_steps(dynamics) % run->config.checkpoint_interval == 0)
        run->failure = save(run);
    if (batch == 0) progress(run, UF_RUN_INTERVAL);
    if (uf_now() - run->last_tick >= 0.1) {
        progress(run, UF_RUN_TICK);
        run->last_tick = uf_now();
    }
    return run->failure != UF_OK || (run->options->stop && *run->options->stop);
}

static UfStatus train(Run* run) {
    char path[UF_PATH_BYTES];
    uf_run_folder_path(&run->folder, MODEL_FILE, path);
    const UfStatus status = uf_dynamics_train(run->dynamics, run->dataset, 0, on_batch, run);
    run->result->epoch = uf_dynamics_num_epochs(run->dynamics);
    if (status == UF_ERR_STOPPED && run->failure != UF_OK) return run->failure;
    if (status == UF_ERR_STOPPED) {
        UF_TRY(save(run));
        return UF_FAIL(UF_ERR_STOPPED, "%s: stopped after epoch %" PRId64, run->folder.name,
                       run->result->epoch);
    }
    if (status == UF_ERR_NONFINITE)
        return run->saved_epoch >= 0 ? UF_FAIL(status, "%s; the last good model, epoch %" PRId64 ", is %s",
                                               uf_error(), run->saved_epoch, path)
                                     : UF_FAIL(status, "%s; there was no checkpoint yet", uf_error());
    return status == UF_OK ? save(run) : status;
}

// A run to go on with may end at another epoch; all else that shapes it stays.
static UfStatus same_run(const Run* run) {
    UfConfig saved = *uf_dynamics_config(run->dynamics);
    saved.num_epochs = run->config.num_epochs;
    UF_TRY(uf_same_hyperparameters(&uf_config_table, &saved, &run->config));
    if (run->config.num_epochs < uf_dynamics_num_epochs(run->dynamics))
        return UF_FAIL(UF_ERR_CONFIG, "num_epochs %" PRId64 ": the run to resume has done %" PRId64,
                       run->config.num_epochs, uf_dynamics_num_epochs(run->dynamics));
    return UF_OK;
}

static UfStatus open_dynamics(Run* run) {
    char path[UF_PATH_BYTES];
    const UfConfig* c = &run->config;
    const double* validation;
    int count;
    uf_run_folder_path(&run->folder, MODEL_FILE, path);
    run->saved_epoch = -1;
    if (!run->options->resume || !uf_file_exists(path)) {
        UF_TRY(uf_run_log_truncate(&run->folder, "epoch", 0, &run->seconds_before));
        run->seconds_before = 0;
        return uf_dynamics_create(&run->dynamics, c, run->dataset, (int)c->num_threads);
    }
    UF_TRY(uf_dynamics_load_on(&run->dynamics, path, uf_device_name(c->device),
                               uf_precision_name(c->precision), (int)c->num_threads));
    UF_TRY(same_run(run));
    UF_TRY(uf_dynamics_bind(run->dynamics, run->dataset));  // refuses another dataset before logs are cut
    uf_dynamics_set_end(run->dynamics, c->num_epochs, c->early_stop_epochs);
    run->saved_epoch = uf_dynamics_num_epochs(run->dynamics);
    if (run->saved_epoch) UF_TRY(recall_epoch(run, run->saved_epoch, &validation, &count));
    return uf_run_log_truncate(&run->folder, "epoch", run->saved_epoch, &run->seconds_before);
}

// ---- charts ----

static UfStatus write_chart(const Run* run, const UfPlot* plot, const char* name) {
    static const char* const endings[] = {"png", "svg"};
    for (int i = 0; i < 2; i++) {
        char file[64], path[UF_PATH_BYTES];
        snprintf(file, sizeof(file), "%s.%s", name, endings[i]);
        uf_run_folder_path(&run->folder, file, path);
        UF_TRY(uf_plot_write(plot, path));
    }
    return UF_OK;
}

typedef char Label[32];

static UfStatus validation_chart(const Run* run, const char* title) {
    const int64_t epochs = uf_dynamics_num_epochs(run->dynamics);
    int count = (int)run->config.num_ensemble, num_elites;
    const int* elites = uf_dynamics_elites(run->dynamics, &num_elites);
    double *x = NULL, *y = NULL;
    UfSeries* series = NULL;
    Label* labels = NULL;
    UfStatus status = UF_ALLOC(&x, epochs, "chart");
    if (status == UF_OK) status = UF_ALLOC(&y, epochs * count, "chart");
    if (status == UF_OK) status = UF_ALLOC(&series, count, "chart");
    if (status == UF_OK) status = UF_ALLOC(&labels, count, "chart");
    for (int64_t e = 0; e < epochs && status == UF_OK; e++) {
        const double* validation;
        status = uf_dynamics_epoch(run->dynamics, e + 1, NULL, &validation, NULL);
        x[e] = (double)(e + 1);
        for (int n = 0; n < count && status == UF_OK; n++) y[n * epochs + e] = validation[n];
    }
    for (int n = 0; n < count && status == UF_OK; n++) {
        bool elite = false;
        for (int i = 0; i < num_elites; i++) elite |= elites[i] == n;
        snprintf(labels[n], sizeof(Label), "network %d%s", n, elite ? ", elite" : "");
        series[n] = (UfSeries){labels[n], (int)epochs, x, y + n * epochs, NULL, NULL};
    }
    const UfPlot plot = {title, "epoch", "squared error on held-out episodes", count, series, false, true};
    if (status == UF_OK) status = write_chart(run, &plot, "validation_loss");
    uf_free(x);
    uf_free(y);
    uf_free(series);
    uf_free(labels);
    return status;
}

static UfStatus prediction_chart(const Run* run, const char* title, const UfPredictionError* e) {
    double x[UF_MAX_HORIZON];
    for (int h = 0; h < e->horizon; h++) x[h] = h + 1;
    const UfSeries series[] = {{"mean of the elites", e->horizon, x, e->mean, NULL, NULL},
                               {"each elite alone", e->horizon, x, e->alone, e->low, e->high}};
    const UfPlot plot = {title, "steps ahead", "error / standard deviation", 2, series, false, false};
    return write_chart(run, &plot, "prediction_error");
}

static UfStatus charts(const Run* run, const UfPredictionError* error, bool* drawn) {
    char title[UF_STRING_BYTES + 80], stem[UF_STRING_BYTES];
    uf_file_stem(run->config.dataset, stem, sizeof(stem));
    snprintf(title, sizeof(title), "world model of %s: validation", stem);
    UfStatus status = validation_chart(run, title);
    snprintf(title, sizeof(title), "world model of %s: predictions fed back, held-out episodes", stem);
    if (status == UF_OK) status = prediction_chart(run, title, error);
    *drawn = status == UF_OK;
    if (status != UF_ERR_UNSUPPORTED) return status;
    note(run, uf_error());  // no reason to call the run a failure
    return UF_OK;
}

// ---- report ----

static const char* value_name(int k, int num_values, char* text, size_t bytes) {
    if (k == num_values - 1)
        snprintf(text, bytes, "reward");
    else
        snprintf(text, bytes, "observation %d", k);
    return text;
}

static void report_fit(UfText* text, const double* r2, int count) {
    char name[32];
    double sum = 0;
    int varying = 0, worst = -1;
    for (int k = 0; k < count; k++) {
        if (!isfinite(r2[k])) continue;
        sum += r2[k];
        varying++;
        if (worst < 0 || r2[k] < r2[worst]) worst = k;
    }
    if (worst < 0) {
        uf_text_add(text, "one-step R^2      none: nothing varies in the held-out rows\n");
        return;
    }
    uf_text_add(text, "one-step R^2      %.5f mean, %.5f worst (%s)", sum / varying, r2[worst],
                value_name(worst, count, name, sizeof(name)));
    for (int k = 0, first = 1; k < count; k++)
        if (!isfinite(r2[k])) {
            uf_text_add(text, "%s%s", first ? "; constant and left out: " : ", ",
                        value_name(k, count, name, sizeof(name)));
            first = 0;
        }
    uf_text_add(text, "\n");
}

static UfStatus report(Run* run, const UfPredictionError* error, bool drawn) {
    UfText text = {0};
    const double *validation, *r2;
    int count, num_elites, num_values;
    const int64_t epoch = uf_dynamics_num_epochs(run->dynamics);
    const int* elites = uf_dynamics_elites(run->dynamics, &num_elites);
    UF_TRY(uf_dynamics_epoch(run->dynamics, epoch, NULL, &validation, &count));
    UF_TRY(uf_dynamics_r2(run->dynamics, &r2, &num_values));
    uf_text_add(&text, "validation loss   %.6g  (mean of %d networks, epoch %" PRId64 "%s)\n",
                mean_of(validation, count), count, epoch,
                epoch < run->config.num_epochs ? ", stopped early" : "");
    uf_text_add(&text, "elites           ");
    for (int i = 0; i < num_elites; i++)
        uf_text_add(&text, " %d (%.4g)%s", elites[i], validation[elites[i]], i < num_elites - 1 ? "," : "\n");
    report_fit(&text, r2, num_values);
    uf_text_add(&text,
                "prediction error  %.4g after 1 step, %.4g after %d  (standard deviations, %" PRId64
                " starts)\n",
                error->mean[0], error->mean[error->horizon - 1], error->horizon, error->num_starts);
    if (drawn)
        uf_text_add(&text, "charts            %s/validation_loss.png, prediction_error.png\n",
                    run->folder.name);
    uf_text_add(&text, "world model       %s/%s\n", run->folder.name, MODEL_FILE);
    return uf_text_finish(&text, &run->result->report);
}

// ---- API ----

static UfStatus open_folder(Run* run) {
    char stem[UF_STRING_BYTES];
    const UfRunFolderOptions options = {.out = run->options->out,
                                        .resume = run->options->resume,
                                        .config = &run->config,
                                        .algorithm = "dynamics",
                                        .subject = uf_file_stem(run->config.dataset, stem, sizeof(stem)),
                                        .checkpoint = MODEL_FILE};
    UfStatus status = uf_run_folder_open(&run->folder, &options);
    memcpy(run->result->folder, run->folder.name, sizeof(run->result->folder));
    return status;
}

static UfStatus run_all(Run* run) {
    const UfConfig* c = &run->config;
    UfPredictionError error;
    bool drawn = false;
    if (!c->dataset[0])
        return UF_FAIL(UF_ERR_CONFIG, "dataset: is empty; name an HDF5 file with --dataset FILE");
    UF_TRY(open_folder(run));
    UF_TRY(uf_dataset_open(&run->dataset, c->dataset, c->env[0] ? c->env : NULL));
    UF_TRY(open_dynamics(run));
    uf_run_folder_keep(&run->folder);
    run->started = run->last_tick = run->epoch_started = uf_now();
    run->first_step = uf_dynamics_num_steps(run->dynamics);
    UF_TRY(train(run));
    UF_TRY(uf_dynamics_prediction_error(run->dynamics, run->dataset, &error));
    UF_TRY(charts(run, &error, &drawn));
    return report(run, &error, drawn);
}

UfStatus uf_dynamics_run(const UfRunOptions* options, UfDynamicsResult* result) {
    Run run = {.options = options,
               .result = result,
               .folder.lock = -1,
               .loss = NAN,
               .validation = NAN,
               .config = *options->config};
    *result = (UfDynamicsResult){.epoch = 0};
    UfStatus status = run_all(&run);
    uf_dynamics_free(run.dynamics);
    uf_dataset_free(run.dataset);
    uf_run_folder_close(&run.folder);
    return status;
}
