// run.c: the run folder and the loop around uf_train.
//
// Why a killed run ends in the bits of one that was never stopped: batches and noise depend on (seed, update)
// alone, the checkpoint holds the sums of the metrics that are not logged yet, at one update the log line is
// on disk before the checkpoint is, and a resumed run first drops the log lines that are younger than its
// checkpoint.
//
// An evaluation beside training (eval_threads) works on a copy of the actor. Its log line comes when it is done,
// and so do milestones; until then no checkpoint is written and no other evaluation begins.
//
// Rooms: paths and log, evaluation, settings, result, folder, progress, milestones of an online run, intervals,
// loop, API.
#include "run.h"

#include <cjson/cJSON.h>  // log.jsonl for the chart
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "dataset.h"
#include "h5.h"
#include "online.h"
#include "philox.h"
#include "plot.h"
#include "policy.h"

// An interval that has ended: what its log line says.
typedef struct Interval {
    bool open;  // the line is not written yet
    int64_t update;
    double updates_per_second;
    int num_metrics;
    const char* const* names;  // of the agent
    double* metrics;           // copies: the agent's go on
    UfDiagnosis diagnosis;
    UfEvaluating* evaluating;  // beside training.   NULL: `evaluation` is there
    UfEvaluation evaluation;
} Interval;

typedef struct Run {
    const UfRunOptions* options;
    UfRunResult* result;
    UfConfig config;     // env filled in once it is known
    UfOnline* online;    // NULL: trains on a file
    UfDataset* dataset;  // the file's, or the buffer of `online`
    UfAgent* agent;
    UfPool *pool, *beside_pool;  // of evaluations between updates, beside them
    UfPolicy* policy;            // of interim evaluations: a copy of the actor.   NULL before the first
    Interval interval;
    const UfEnvSpec* env;  // NULL: no evaluation
    UfRunFolder folder;
    double started, seconds_before;  // wall clock of this process and of the ones before it
    double trained, last_tick;       // seconds of training since the last log line
    int64_t first_update, interval_update;
    double eval_return, eval_score;
    double best_return;    // online: of the evaluations so far, as logged.   -INFINITY: none yet
    int64_t num_diverged;  // online: simulations of training that the user was told of
    bool is_medium;        // online: one of them reached medium_score
} Run;

// ---- paths and log ----

static void run_path(const Run* run, const char* name, char path[UF_PATH_BYTES]) {
    uf_run_folder_path(&run->folder, name, path);
}

static void note(const Run* run, const char* text) {
    UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (run->options->on_progress) run->options->on_progress(run->options->user, &event);
}

// ---- evaluation ----

// Each evaluation has start states of its own; update -1 stands for the final one.
static uint64_t eval_seed(const UfConfig* config, int64_t update) {
    UfPhilox p = uf_philox((uint64_t)config->seed, UF_STREAM_ENV_RESET, (uint64_t)update, 0);
    return (uint64_t)p.v[0] << 32 | p.v[1];
}

// The environment that the configuration or else the dataset names.
// One that was asked for must exist and fit; one that the dataset merely names may be missing or need a library
// that is, then *spec is NULL.
static UfStatus find_env(Run* run, const UfEnvSpec** spec) {
    const UfDataset* d = run->dataset;
    char stem[UF_STRING_BYTES], text[1024];
    const bool asked = run->config.env[0] != 0;
    uf_file_stem(d->path, stem, sizeof(stem));
    const char* name = asked ? run->config.env : d->env_id && d->env_id[0] ? d->env_id : stem;
    *spec = uf_env_find(name);
    if (!*spec && !asked) *spec = uf_env_find(stem);

    if (!*spec) {
        snprintf(text, sizeof(text),
                 name == stem ? "the dataset names no environment, nor does its file name ('%s')"
                              : "environment '%s' is not built in",
                 name);
    } else if (!uf_env_fits(*spec, d->obs_dim, d->action_dim)) {
        snprintf(text, sizeof(text),
                 "environment %s has %d observations and %d actions, the dataset %d and %d", (*spec)->name,
                 (*spec)->obs_dim, (*spec)->action_dim, d->obs_dim, d->action_dim);
        *spec = NULL;
    } else if (uf_env_available(*spec) != UF_OK) {
        snprintf(text, sizeof(text), "%s", uf_error());
        *spec = NULL;
    } else {
        snprintf(run->config.env, sizeof(run->config.env), "%s", (*spec)->name);
        snprintf(run->result->env, sizeof(run->result->env), "%s", (*spec)->name);
        return UF_OK;
    }
    if (asked) return UF_FAIL(UF_ERR_CONFIG, "env: %s; leave env empty to train without evaluation", text);
    strncat(text, "; training without evaluation", sizeof(text) - strlen(text) - 1);
    note(run, text);
    return UF_OK;
}

static bool evaluates_mean(const Run* run) {
    return run->config.deterministic || run->config.deterministic_eval;
}

static UfStatus evaluate(const Run* run, const UfPolicy* policy, int64_t num_episodes, int64_t update,
                         UfEvaluation* out) {
    return uf_evaluate(out, policy, run->env, num_episodes, (int)run->config.eval_workers,
                       eval_seed(&run->config, update), evaluates_mean(run), run->pool);
}

static void note_evaluation(const Run* run, const UfEvaluation* e) {
    char text[128];
    if (e->num_nonfinite_actions > 0) {
        snprintf(text, sizeof(text), "%" PRId64 " actions were not finite and counted as 0",
                 e->num_nonfinite_actions);
        note(run, text);
    }
    if (e->num_diverged > 0) {
        snprintf(text, sizeof(text), "the simulation diverged in %" PRId64 " episodes; each ended there",
                 e->num_diverged);
        note(run, text);
    }
}

// ---- settings ----

static bool shapes_results(const UfParam* p) {
    return strcmp(p->name, "num_threads") != 0 && strcmp(p->name, "eval_threads") != 0;
}

// ---- result ----

static UfStatus write_results(const Run* run, const UfEvaluation* e, const UfH5* h5) {
    char* json;
    UF_TRY(uf_config_json(&run->config, &json));
    UfStatus status = uf_h5_write_string(h5, "/", "config", json);
    uf_free(json);
    UF_TRY(status);
    UF_TRY(uf_h5_write_string(h5, "/", "kind", "unifloral-result"));
    UF_TRY(uf_h5_write_string(h5, "/", "version", uf_version()));
    UF_TRY(uf_h5_write_string(h5, "/", "dataset", run->config.dataset));
    UF_TRY(uf_h5_write_string(h5, "/", "dataset_hash", run->dataset->hash));
    UF_TRY(uf_h5_write_integer(h5, "/", "dataset_rows", run->dataset->num_records));
    UF_TRY(uf_h5_write_integer(h5, "/", "seed", run->config.seed));
    UF_TRY(uf_h5_write_integer(h5, "/", "num_updates", uf_agent_num_updates(run->agent)));
    UF_TRY(uf_h5_write_string(h5, "/", "env", run->env ? run->env->name : ""));
    if (!e->num_episodes)
        return uf_h5_write_string(h5, "/", "evaluation", "none: no environment, or eval_final_episodes 0");
    UF_TRY(uf_h5_write_number(h5, "/", "return_mean", e->mean_return));
    UF_TRY(uf_h5_write_number(h5, "/", "return_stderr", e->stderr_return));
    UF_TRY(uf_h5_write_number(h5, "/", "score_mean", e->mean_score));
    UF_TRY(uf_h5_write_number(h5, "/", "score_stderr", e->stderr_score));

    double* scores;
    UF_TRY(UF_ALLOC(&scores, e->num_episodes, "final scores"));
    for (int64_t i = 0; i < e->num_episodes; i++) scores[i] = uf_env_score(run->env, e->returns[i]);
    status = uf_h5_write(h5, "returns", UF_H5_DOUBLE, e->returns, 1, &e->num_episodes, 4, false);
    if (status == UF_OK && run->env->has_scores)
        status = uf_h5_write(h5, "scores", UF_H5_DOUBLE, scores, 1, &e->num_episodes, 4, false);
    if (status == UF_OK)
        status = uf_h5_write(h5, "lengths", UF_H5_INT32, e->lengths, 1, &e->num_episodes, 4, false);
    uf_free(scores);
    return status;
}

// The final evaluation, stored with all that made it.
static UfStatus final_results(Run* run) {
    UfEvaluation e = {0};
    UfRunResult* result = run->result;
    char path[UF_PATH_BYTES], temporary[UF_PATH_BYTES + 8];
    if (run->env && run->config.eval_final_episodes > 0) {
        UfPolicy* policy;
        UF_TRY(uf_policy_create(&policy, run->agent, 0));
        UfStatus evaluated = evaluate(run, policy, run->config.eval_final_episodes, -1, &e);
        uf_policy_free(policy);
        UF_TRY(evaluated);
        note_evaluation(run, &e);
    }
    run_path(run, "final.h5", path);
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    UfH5 h5 = {.file = -1};
    UfStatus status = uf_h5_create(&h5, temporary);
    if (status == UF_OK) {
        status = write_results(run, &e, &h5);
        UfStatus closed = uf_h5_close(&h5);
        if (status == UF_OK) status = closed;
    }
    if (status == UF_OK)
        status = uf_commit_file(temporary, path);
    else
        unlink(temporary);
    result->num_episodes = e.num_episodes;
    result->mean_return = e.mean_return;
    result->stderr_return = e.stderr_return;
    result->mean_score = run->env ? e.mean_score : NAN;
    result->stderr_score = run->env ? e.stderr_score : NAN;
    uf_evaluation_free(&e);
    return status;
}

// Whether a final.h5 is what this run would write again.
static UfStatus is_result_of(const Run* run, const UfH5* h5, bool* same) {
    char *json = NULL, *version = NULL, *hash = NULL;
    double updates = 0;
    UfConfig* made = NULL;
    UfStatus status = uf_h5_read_string(h5, "/", "config", &json);
    if (status == UF_OK) status = uf_h5_read_string(h5, "/", "version", &version);
    if (status == UF_OK) status = uf_h5_read_string(h5, "/", "dataset_hash", &hash);
    if (status == UF_OK) status = uf_h5_read_number(h5, "/", "num_updates", &updates);
    if (status == UF_OK) status = uf_config_create(&made);
    if (status == UF_OK) status = uf_config_parse(made, json, h5->path);
    *same = status == UF_OK && !strcmp(version, uf_version()) && !strcmp(hash, run->dataset->hash) &&
            (int64_t)updates == run->config.num_updates &&
            !uf_config_difference(made, &run->config, shapes_results);
    uf_config_free(made);
    uf_free(json);
    uf_free(version);
    uf_free(hash);
    return status;
}

static UfStatus read_results(const UfH5* h5, UfRunResult* result) {
    UfH5Shape shape;
    if (!uf_h5_exists(h5, "returns")) return UF_OK;  // not evaluated
    UF_TRY(uf_h5_shape(h5, "returns", &shape));
    UF_TRY(uf_h5_read_number(h5, "/", "return_mean", &result->mean_return));
    UF_TRY(uf_h5_read_number(h5, "/", "return_stderr", &result->stderr_return));
    UF_TRY(uf_h5_read_number(h5, "/", "score_mean", &result->mean_score));
    UF_TRY(uf_h5_read_number(h5, "/", "score_stderr", &result->stderr_score));
    result->num_episodes = shape.count;
    return UF_OK;
}

// The results of a run that has ended before, with the same settings. *there false: to be made (again). A file
// that cannot be read, or is of a version that wrote less, is none.
static void recall_results(Run* run, bool* there) {
    char path[UF_PATH_BYTES];
    UfH5 h5;
    run_path(run, "final.h5", path);
    *there = false;
    if (run->first_update < run->config.num_updates || !uf_file_exists(path) ||
        uf_h5_open(&h5, path) != UF_OK)
        return;
    if (is_result_of(run, &h5, there) != UF_OK || read_results(&h5, run->result) != UF_OK) *there = false;
    if (uf_h5_close(&h5) != UF_OK) *there = false;
}

UfStatus uf_run_result_info(const UfH5* h5, char** out) {
    static const char* const numbers[] = {"dataset_rows",  "seed",       "num_updates", "return_mean",
                                          "return_stderr", "score_mean", "score_stderr"};
    static const char* const strings[] = {"kind", "version", "env", "dataset", "dataset_hash"};
    UfText text = {0};
    UfStatus status = UF_OK;
    uf_text_add(&text, "%-14s %s\n", "file", h5->path);
    for (size_t i = 0; status == UF_OK && i < sizeof(strings) / sizeof(strings[0]); i++) {
        char* value = NULL;
        status = uf_h5_read_string(h5, "/", strings[i], &value);
        if (status == UF_OK) uf_text_add(&text, "%-14s %s\n", strings[i], value);
        uf_free(value);
    }
    for (size_t i = 0; status == UF_OK && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        double value;
        if (!uf_h5_has_attribute(h5, "/", numbers[i])) continue;  // not evaluated
        status = uf_h5_read_number(h5, "/", numbers[i], &value);
        if (status == UF_OK) uf_text_add(&text, "%-14s %.9g\n", numbers[i], value);
    }
    UfStatus finished = uf_text_finish(&text, out);
    if (status == UF_OK || finished != UF_OK) return finished;
    uf_free(*out);
    *out = NULL;
    return status;
}

static double json_number(const cJSON* object, const char* name) {
    const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

// The evaluations in log.jsonl.
typedef struct LogPoint {
    double update, mean_return, return_error, score, score_error;
} LogPoint;

static UfStatus read_log(const Run* run, LogPoint** points, int* num_points) {
    char path[UF_PATH_BYTES], *data;
    size_t num_bytes, num_lines = 0;
    *points = NULL;
    *num_points = 0;
    run_path(run, "log.jsonl", path);
    if (!uf_file_exists(path)) return UF_OK;
    UF_TRY(uf_read_file(path, &data, &num_bytes));
    for (size_t i = 0; i < num_bytes; i++) num_lines += data[i] == '\n';
    UfStatus status = UF_ALLOC(points, num_lines + 1, "evaluations");
    char* line = data;
    for (char* end; status == UF_OK && (end = strchr(line, '\n')); line = end + 1) {
        cJSON* json = cJSON_ParseWithLength(line, (size_t)(end - line));
        LogPoint p = {json_number(json, "update"), json_number(json, "eval_return"),
                      json_number(json, "eval_return_stderr"), json_number(json, "eval_score"),
                      json_number(json, "eval_score_stderr")};
        if (isfinite(p.mean_return)) (*points)[(*num_points)++] = p;
        cJSON_Delete(json);
    }
    uf_free(data);
    return status;
}

// What the run trains on, for names: its file's name, or its environment.
static const char* subject(const Run* run, char* stem, size_t bytes) {
    return uf_file_stem(run->config.online ? run->config.env : run->config.dataset, stem, bytes);
}

// The second of its files is there.
static bool has_chart(Run* run) {
    char path[UF_PATH_BYTES];
    run_path(run, "learning_curve.svg", path);
    return run->result->has_chart = uf_file_exists(path);
}

// Score (return where the environment has no scores) with its standard error against updates.
static UfStatus learning_curve(Run* run) {
    char path[UF_PATH_BYTES], title[2 * UF_STRING_BYTES + 8], stem[UF_STRING_BYTES];
    LogPoint* log;
    int num_points;
    double* points;  // (4, num_points): x, y, low, high
    UF_TRY(read_log(run, &log, &num_points));
    UfStatus status = UF_ALLOC(&points, 4 * (size_t)num_points + 1, "learning curve");
    bool scores = run->env && run->env->has_scores;
    double *x = points, *y = x + num_points, *low = y + num_points, *high = low + num_points;
    for (int i = 0; status == UF_OK && i < num_points; i++) {
        double error = scores ? log[i].score_error : log[i].return_error;
        x[i] = log[i].update;
        y[i] = scores ? log[i].score : log[i].mean_return;
        low[i] = y[i] - error;
        high[i] = y[i] + error;
    }
    uf_free(log);
    if (status == UF_OK && num_points > 0) {
        snprintf(title, sizeof(title), "%s on %s", run->config.algorithm, subject(run, stem, sizeof(stem)));
        UfSeries series = {run->config.algorithm, num_points, x, y, low, high};
        UfPlot plot = {title, "updates", scores ? "normalised score" : "return", 1, &series, false, false};
        run_path(run, "learning_curve.png", path);
        status = uf_plot_write(&plot, path);
        run_path(run, "learning_curve.svg", path);
        if (status == UF_OK) status = uf_plot_write(&plot, path);
        run->result->has_chart = status == UF_OK;
    }
    uf_free(points);
    if (status == UF_ERR_UNSUPPORTED) {  // no reason to call the run a failure
        note(run, uf_error());
        status = UF_OK;
    }
    return status;
}

// ---- folder ----

static UfStatus open_folder(Run* run) {
    char stem[UF_STRING_BYTES];
    const UfRunFolderOptions options = {.out = run->options->out,
                                        .resume = run->options->resume,
                                        .config = &run->config,
                                        .algorithm = run->config.algorithm,
                                        .subject = subject(run, stem, sizeof(stem)),
                                        .checkpoint = "checkpoint.h5"};
    UfStatus status = uf_run_folder_open(&run->folder, &options);
    memcpy(run->result->folder, run->folder.name, sizeof(run->result->folder));
    return status;
}

// ---- progress ----

static void progress(Run* run, UfRunEvent event) {
    if (!run->options->on_progress) return;
    double elapsed = uf_now() - run->started;
    int64_t update = uf_agent_num_updates(run->agent), done = update - run->first_update;
    event.num_updates = run->config.num_updates;
    event.eval_return = run->eval_return;
    event.eval_score = run->eval_score;
    event.updates_per_second = elapsed > 0 ? (double)done / elapsed : 0;
    event.seconds_left = done > 0 ? elapsed / (double)done * (double)(event.num_updates - update) : NAN;
    run->options->on_progress(run->options->user, &event);
}

static void tick(Run* run, int64_t update) {
    UfRunEvent event = {.kind = UF_RUN_TICK, .update = update};
    if (uf_agent_metrics(run->agent, 0, &event.num_metrics, &event.names, &event.values) != UF_OK)
        event.num_metrics = 0;
    progress(run, event);
}

static bool asked_to_stop(const Run* run) { return run->options->stop && *run->options->stop; }

static bool is_evaluated(const Run* run) {
    return run->interval.evaluating && uf_evaluate_is_done(run->interval.evaluating);
}

static int on_update(void* user, UfAgent* agent, int64_t update) {
    Run* run = user;
    (void)agent;
    if (run->options->on_progress && uf_now() - run->last_tick >= 0.1) {
        tick(run, update);
        run->last_tick = uf_now();
    }
    return asked_to_stop(run) || is_evaluated(run);
}

// ---- milestones of an online run ----

// A number as log.jsonl gives it back: a resumed run must judge as one that was never stopped.
static double as_logged(double x) {
    char text[32];
    snprintf(text, sizeof(text), "%.9g", x);
    return strtod(text, NULL);
}

static bool is_new_best(Run* run, double mean_return) {
    bool better = mean_return > run->best_return;
    if (better) run->best_return = mean_return;
    return better;
}

static bool is_first_medium(Run* run, double score) {
    bool first = !run->is_medium && score >= run->config.medium_score;
    run->is_medium |= first;
    return first;
}

// What the log says of evaluations before this process.
static UfStatus recall_milestones(Run* run) {
    LogPoint* log;
    int num_points;
    UF_TRY(read_log(run, &log, &num_points));
    for (int i = 0; i < num_points; i++) {
        is_new_best(run, log[i].mean_return);
        is_first_medium(run, log[i].score);
    }
    uf_free(log);
    return UF_OK;
}

static UfStatus copy_file(const char* from, const char* to) {
    char* data;
    size_t num_bytes;
    UF_TRY(uf_read_file(from, &data, &num_bytes));
    UfStatus status = uf_write_file(to, data, num_bytes);
    uf_free(data);
    return status;
}

// The agent that an evaluation speaks of may be gone when it is done: a file keeps it.
static UfStatus save_candidate(Run* run) {
    char path[UF_PATH_BYTES];
    run_path(run, UF_ONLINE_CANDIDATE, path);
    return uf_agent_save(run->agent, path);
}

// Keeps the checkpoints that datasets are made of, after the log line and before the run's own checkpoint: a
// killed run comes by again and writes the same.
static UfStatus keep_milestones(Run* run) {
    char candidate[UF_PATH_BYTES], path[UF_PATH_BYTES];
    run_path(run, UF_ONLINE_CANDIDATE, candidate);
    run_path(run, UF_ONLINE_BEST, path);
    if (is_new_best(run, as_logged(run->eval_return))) UF_TRY(copy_file(candidate, path));
    run_path(run, UF_ONLINE_MEDIUM, path);
    if (is_first_medium(run, as_logged(run->eval_score))) UF_TRY(copy_file(candidate, path));
    return unlink(candidate) ? UF_FAIL(UF_ERR_IO, "%s: cannot remove it: %s", candidate, strerror(errno))
                             : UF_OK;
}

// ---- intervals ----

static UfStatus write_line(const Run* run, const Interval* i) {
    const UfEvaluation* e = &i->evaluation;
    UfLogLine line;
    uf_log_begin(&line, "update", i->update, run->seconds_before + uf_now() - run->started);
    uf_log_number(&line, "updates_per_second", i->updates_per_second);
    for (int k = 0; k < i->num_metrics; k++) uf_log_number(&line, i->names[k], i->metrics[k]);
    uf_log_number(&line, "eval_return", e->mean_return);
    uf_log_number(&line, "eval_return_stderr", e->stderr_return);
    uf_log_number(&line, "eval_score", e->mean_score);
    uf_log_number(&line, "eval_score_stderr", e->stderr_score);
    uf_log_number(&line, "eval_length", e->mean_length);
    uf_log_number(&line, "init_value", i->diagnosis.init_value);
    uf_log_number(&line, "td_error", i->diagnosis.td_error);
    uf_log_number(&line, "action_diff", i->diagnosis.action_diff);
    return uf_log_finish(&run->folder, &line);
}

// Rows that the world model made nonsense of are left out of the buffer; that must not go unseen.
static void note_dropped(const Run* run, const Interval* interval) {
    char text[160];
    for (int i = 0; i < interval->num_metrics; i++) {
        if (strcmp(interval->names[i], "model_dropped") != 0 || !(interval->metrics[i] > 0)) continue;
        snprintf(text, sizeof text, "%.2g %% of the rows of model rollouts were not finite and were dropped",
                 100 * interval->metrics[i]);
        note(run, text);
    }
}

static UfStatus begin_evaluation(Run* run, Interval* i, bool beside) {
    const UfConfig* c = &run->config;
    if (run->online) UF_TRY(save_candidate(run));
    if (!run->policy)
        UF_TRY(uf_policy_create(&run->policy, run->agent, 0));
    else
        UF_TRY(uf_policy_refresh(run->policy, run->agent, 0));
    if (!beside) return evaluate(run, run->policy, c->eval_workers, i->update, &i->evaluation);
    return uf_evaluate_start(&i->evaluating, run->policy, run->env, c->eval_workers, (int)c->eval_workers,
                             eval_seed(c, i->update), evaluates_mean(run), run->beside_pool);
}

// Takes the metrics, whose sums start again, and evaluates, or lets a thread do it.
static UfStatus begin_interval(Run* run, int64_t update, bool beside) {
    Interval* i = &run->interval;
    const double* metrics;
    UF_TRY(uf_agent_metrics(run->agent, 0, &i->num_metrics, &i->names, &metrics));
    if (!i->metrics) UF_TRY(UF_ALLOC(&i->metrics, i->num_metrics, "metrics of an interval"));
    memcpy(i->metrics, metrics, (size_t)i->num_metrics * sizeof(*metrics));
    uf_agent_clear_metrics(run->agent);
    UF_TRY(uf_agent_diagnose(run->agent, 0, run->dataset, &i->diagnosis));
    i->open = true;
    i->update = update;
    i->updates_per_second = run->trained > 0 ? (double)(update - run->interval_update) / run->trained : NAN;
    i->evaluation = (UfEvaluation){
        .mean_return = NAN, .stderr_return = NAN, .mean_score = NAN, .stderr_score = NAN, .mean_length = NAN};
    run->trained = 0;
    run->interval_update = update;
    return run->env ? begin_evaluation(run, i, beside) : UF_OK;
}

// Waits for the evaluation where there is one under way, and writes the line.
static UfStatus finish_interval(Run* run) {
    Interval* i = &run->interval;
    if (!i->open) return UF_OK;
    UfEvaluating* evaluating = i->evaluating;
    i->open = false;
    i->evaluating = NULL;
    if (evaluating) UF_TRY(uf_evaluate_wait(evaluating, &i->evaluation));
    note_evaluation(run, &i->evaluation);
    run->eval_return = i->evaluation.mean_return;
    run->eval_score = i->evaluation.mean_score;
    UfStatus status = write_line(run, i);
    uf_evaluation_free(&i->evaluation);
    UF_TRY(status);
    note_dropped(run, i);
    progress(run, (UfRunEvent){.kind = UF_RUN_INTERVAL,
                               .update = i->update,
                               .num_metrics = i->num_metrics,
                               .names = i->names,
                               .values = i->metrics});
    return run->online ? keep_milestones(run) : UF_OK;
}

// ---- loop ----

static UfStatus train(Run* run, int64_t num_updates) {
    return run->online ? uf_online_train(run->online, run->agent, num_updates, on_update, run)
                       : uf_train(run->agent, run->dataset, num_updates, on_update, run);
}

static void note_diverged(Run* run) {
    char text[160];
    int64_t count = run->online ? uf_online_num_diverged(run->online) : 0;
    if (count == run->num_diverged) return;
    run->num_diverged = count;
    snprintf(text, sizeof(text),
             "the simulation diverged in training, %" PRId64
             " times so far; the episode ended before that step",
             count);
    note(run, text);
}

// The buffer goes first: rows beyond those that the checkpoint knows of are dropped on resuming.
static UfStatus save(Run* run) {
    char path[UF_PATH_BYTES];
    run_path(run, UF_ONLINE_BUFFER, path);
    if (run->online) UF_TRY(uf_online_save(run->online, path));
    run_path(run, "checkpoint.h5", path);
    return uf_agent_save(run->agent, path);
}

static int64_t next_multiple(int64_t update, int64_t interval, int64_t last) {
    int64_t rest = interval - update % interval;
    return rest < last - update ? update + rest : last;
}

// An update gave a number that is none. What was evaluated before it is kept.
static UfStatus nonfinite(Run* run, int64_t saved) {
    char why[1024], checkpoint[UF_PATH_BYTES];
    snprintf(why, sizeof(why), "%s", uf_error());
    UF_TRY(finish_interval(run));
    run_path(run, "checkpoint.h5", checkpoint);
    return saved > 0 ? UF_FAIL(UF_ERR_NONFINITE, "%s; the last good checkpoint, update %" PRId64 ", is %s",
                               why, saved, checkpoint)
                     : UF_FAIL(UF_ERR_NONFINITE, "%s; there was no checkpoint yet", why);
}

static UfStatus train_loop(Run* run) {
    const UfConfig* c = &run->config;
    int64_t update = uf_agent_num_updates(run->agent), saved = update;
    bool due = false;  // a checkpoint; it waits for the evaluation under way, but not for a second one
    while (update < c->num_updates) {
        int64_t next = next_multiple(update, c->eval_interval,
                                     next_multiple(update, c->checkpoint_interval, c->num_updates));
        double start = uf_now();
        UfStatus status = train(run, next - update);
        run->trained += uf_now() - start;
        update = run->result->update = uf_agent_num_updates(run->agent);
        note_diverged(run);
        if (status == UF_ERR_NONFINITE) return nonfinite(run, saved);
        if (status != UF_OK && status != UF_ERR_STOPPED) return status;
        const bool stopped = asked_to_stop(run), last = update == c->num_updates;
        const bool ends = update % c->eval_interval == 0 || last;
        if (ends || stopped || is_evaluated(run)) UF_TRY(finish_interval(run));
        if (ends) UF_TRY(begin_interval(run, update, run->beside_pool && !due && !stopped && !last));
        if (!run->interval.evaluating) UF_TRY(finish_interval(run));
        due = due || update % c->checkpoint_interval == 0 || last || stopped;
        if (due && !run->interval.evaluating) {
            UF_TRY(save(run));
            saved = update;
            due = false;
        }
        if (stopped)
            return UF_FAIL(UF_ERR_STOPPED, "%s: stopped at update %" PRId64, run->result->folder, update);
    }
    return UF_OK;
}

static UfStatus open_agent(Run* run) {
    char path[UF_PATH_BYTES];
    run_path(run, "checkpoint.h5", path);
    if (!run->options->resume || !uf_file_exists(path)) {
        UF_TRY(uf_run_log_truncate(&run->folder, "update", 0, &run->seconds_before));
        run->seconds_before = 0;
        if (run->online) UF_TRY(uf_online_start(run->online));
        return uf_agent_create(&run->agent, &run->config, run->dataset, (int)run->config.num_threads);
    }
    UF_TRY(uf_agent_load(&run->agent, path, (int)run->config.num_threads));
    if (uf_agent_population(run->agent) != 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: holds a population of %d; a run folder holds one agent", path,
                       uf_agent_population(run->agent));
    UF_TRY(uf_same_hyperparameters(uf_agent_config(run->agent, 0), &run->config));
    if (strcmp(uf_agent_dataset_hash(run->agent), run->dataset->hash))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "%s: is not the file that the run was trained on (SHA-256 %.12s..., then %.12s...)",
                       run->config.dataset, run->dataset->hash, uf_agent_dataset_hash(run->agent));
    const int64_t update = uf_agent_num_updates(run->agent);
    UF_TRY(uf_run_log_truncate(&run->folder, "update", update, &run->seconds_before));
    if (!run->online) return UF_OK;
    UF_TRY(recall_milestones(run));
    run_path(run, UF_ONLINE_BUFFER, path);
    return uf_online_load(run->online, path, uf_online_steps(&run->config, update));
}

// ---- API ----

UfStatus uf_run_config(UfConfig** out, const char* folder) {
    char path[UF_PATH_BYTES];
    *out = NULL;
    if (snprintf(path, sizeof(path), "%s/config.json", folder) >= (int)sizeof(path) || !uf_file_exists(path))
        return UF_FAIL(UF_ERR_IO, "%s: holds no run to resume (no config.json in it)", folder);
    UF_TRY(uf_config_create(out));
    UfStatus status = uf_config_load(*out, path);
    if (status == UF_OK) return UF_OK;
    uf_config_free(*out);
    *out = NULL;
    return status;
}

static UfStatus run_all(Run* run) {
    UfConfig* c = &run->config;
    UF_TRY(uf_config_check(c));
    if (!c->online && !c->dataset[0])
        return UF_FAIL(UF_ERR_CONFIG, "dataset: is empty; name an HDF5 file with --dataset FILE");
    if (c->env[0]) {  // before a large file is read
        UfEnv* env;
        UF_TRY(uf_env_create(&env, c->env));
        uf_env_free(env);
    }
    UF_TRY(open_folder(run));
    if (c->online) {
        UF_TRY(uf_online_create(&run->online, c));
        run->dataset = uf_online_buffer(run->online);
    } else {
        UF_TRY(uf_dataset_open(&run->dataset, c->dataset, c->env[0] ? c->env : NULL));
    }
    UF_TRY(find_env(run, &run->env));
    UF_TRY(open_agent(run));
    if (run->env) UF_TRY(uf_pool_create(&run->pool, (int)c->num_threads));
    if (run->env && c->eval_threads > 0) UF_TRY(uf_pool_create(&run->beside_pool, (int)c->eval_threads));

    uf_run_folder_keep(&run->folder);
    run->started = run->last_tick = uf_now();
    run->first_update = run->interval_update = run->result->update = uf_agent_num_updates(run->agent);
    bool finished;
    recall_results(run, &finished);
    UF_TRY(train_loop(run));
    if (!finished) UF_TRY(final_results(run));
    return finished && has_chart(run) ? UF_OK : learning_curve(run);
}

UfStatus uf_run_train(const UfRunOptions* options, UfRunResult* result) {
    Run run = {.options = options,
               .result = result,
               .folder.lock = -1,
               .eval_return = NAN,
               .eval_score = NAN,
               .best_return = -INFINITY};
    *result = (UfRunResult){.mean_return = NAN, .mean_score = NAN, .stderr_return = NAN, .stderr_score = NAN};
    run.config = *options->config;
    UfStatus status = run_all(&run);
    uf_evaluate_wait(run.interval.evaluating, NULL);  // of a run that failed meanwhile
    uf_evaluation_free(&run.interval.evaluation);
    uf_free(run.interval.metrics);
    uf_pool_free(run.pool);
    uf_pool_free(run.beside_pool);
    uf_policy_free(run.policy);
    uf_agent_free(run.agent);
    if (run.online)
        uf_online_free(run.online);
    else
        uf_dataset_free(run.dataset);
    uf_run_folder_close(&run.folder);
    return status;
}

UfStatus uf_run_checkpoint(const char* name, char* path, size_t path_bytes) {
    struct stat info;
    bool folder = stat(name, &info) == 0 && S_ISDIR(info.st_mode);
    if ((size_t)snprintf(path, path_bytes, "%s%s", name, folder ? "/checkpoint.h5" : "") >= path_bytes)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: the name is too long", name);
    return UF_OK;
}

UfStatus uf_run_policy(const char* checkpoint, const char* env, UfPolicy** policy, const UfEnvSpec** spec,
                       bool* deterministic) {
    char path[UF_PATH_BYTES], stem[UF_STRING_BYTES];
    UfAgent* agent = NULL;
    *policy = NULL;
    UF_TRY(uf_run_checkpoint(checkpoint, path, sizeof(path)));
    UF_TRY(uf_agent_load(&agent, path, 1));
    const UfConfig* c = uf_agent_config(agent, 0);
    const char* name = env ? env : c->env;
    if (!name[0]) name = uf_file_stem(c->dataset, stem, sizeof(stem));
    *deterministic = c->deterministic || c->deterministic_eval;
    UfStatus status = uf_env_lookup(spec, name);
    if (status == UF_OK) status = uf_env_available(*spec);
    if (status == UF_OK) status = uf_policy_create(policy, agent, 0);
    if (status == UF_OK && !uf_env_fits(*spec, uf_policy_obs_dim(*policy), uf_policy_action_dim(*policy)))
        status = UF_FAIL(UF_ERR_ARGUMENT,
                         "%s: the policy has %d observations and %d actions, environment %s %d and %d", path,
                         uf_policy_obs_dim(*policy), uf_policy_action_dim(*policy), (*spec)->name,
                         (*spec)->obs_dim, (*spec)->action_dim);
    uf_agent_free(agent);
    if (status == UF_OK) return UF_OK;
    uf_policy_free(*policy);
    *policy = NULL;
    return status;
}

UfStatus uf_run_eval(const UfRunEvalOptions* options, UfEvaluation* out, const UfEnvSpec** spec) {
    UfPolicy* policy;
    UfPool* pool = NULL;
    bool deterministic;
    *out = (UfEvaluation){0};
    UF_TRY(uf_run_policy(options->checkpoint, options->env, &policy, spec, &deterministic));
    UfStatus status = uf_pool_create(&pool, options->num_threads);
    if (status == UF_OK)
        status = uf_evaluate(out, policy, *spec, options->num_episodes, options->workers, options->seed,
                             deterministic, pool);
    uf_pool_free(pool);
    uf_policy_free(policy);
    return status;
}
