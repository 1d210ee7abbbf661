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
// Several runs train as a population: member k of the agent is the k-th of a group of runs that fit together and are at
// the same update. As a member's bits do not depend on who else is there, a run may change its group whenever it is
// saved: those that lag behind, after a kill, catch up and join.
//
// Rooms: paths and log, evaluation, result, folder, progress, milestones of an online run, intervals, loop,
// one run, groups, API.
#include "core/runs/run.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>   // snprintf
#include <stdlib.h>  // strtod
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/agents/agent.h"
#include "core/agents/play.h"
#include "core/agents/policy.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/philox.h"
#include "core/pictures/plot.h"
#include "core/runs/online.h"
#include "core/runs/run_log.h"

// One of the runs.
typedef struct Member {
    UfRunMember* of;  // the caller's
    UfRunResult* result;
    UfConfig config;  // env filled in once it is known
    UfRunFolder folder;
    double seconds_before;  // wall clock of the processes before this one
    int64_t update;         // of its checkpoint; 0: none
    bool ended;             // finished, failed or refused
    UfPolicy* policy;       // of interim evaluations: a copy of the actor.   NULL before the first
    double* metrics;        // of the interval that has ended: the agent's go on
    UfDiagnosis diagnosis;  // likewise
    UfEvaluation evaluation;
    double eval_return, eval_score;
    double best_return;  // online: of the evaluations so far, as logged.   -INFINITY: none yet
    bool is_medium;      // online: one of them reached medium_score
} Member;

// An interval that has ended: what its log lines say.
typedef struct Interval {
    bool open;  // the lines are not written yet
    int64_t update;
    double updates_per_second;
    int num_metrics;
    const char* const* names;  // of the agent
    UfEvaluating* evaluating;  // beside training: group[next].   NULL: all evaluations are there
    int next;
} Interval;

typedef struct Run {
    const UfRunOptions* options;
    Member* members;
    int num_members;
    Member** group;  // those that train now; group[k] is member k of the agent
    int num_group;
    const UfConfig* config;  // of the first: settings of runs do not differ in a group
    UfOnline* online;        // NULL: trains on a file
    UfDataset* dataset;      // the file's, or the buffer of `online`
    const UfEnvSpec* env;    // NULL: no evaluation
    UfAgent* agent;
    UfPool *pool, *beside_pool;  // of evaluations between updates, beside them
    Interval interval;
    double started;             // wall clock of this process
    double trained, last_tick;  // seconds of training since the last log line
    int64_t first_update, interval_update;
    int64_t num_diverged;  // online: simulations of training that the user was told of
} Run;

#define FOR_GROUP(run, m)                                                           \
    for (Member** at_##m = (run)->group, *m;                                        \
         at_##m < (run)->group + (run)->num_group && (m = *at_##m, true); at_##m++) \
        if (!m->ended)

// ---- paths and log ----

static void path_in(const Member* m, const char* name, char path[UF_PATH_BYTES]) {
    uf_run_folder_path(&m->folder, name, path);
}

static void note(const Run* run, const char* text) {
    UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (run->options->on_progress) run->options->on_progress(run->options->user, &event);
}

// Of one among several, which is named.
static void note_of(const Run* run, const Member* m, const char* text) {
    char named[UF_FOLDER_BYTES + 1024];
    snprintf(named, sizeof(named), "%s: %s", m->folder.name, text);
    note(run, run->num_members > 1 ? named : text);
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
    const bool asked = run->config->env[0] != 0;
    uf_file_stem(d->path, stem, sizeof(stem));
    const char* name = asked ? run->config->env : d->env_id && d->env_id[0] ? d->env_id : stem;
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
        return UF_OK;
    }
    if (asked) return UF_FAIL(UF_ERR_CONFIG, "env: %s; leave env empty to train without evaluation", text);
    strncat(text, "; training without evaluation", sizeof(text) - strlen(text) - 1);
    note(run, text);
    return UF_OK;
}

static bool evaluates_mean(const UfConfig* c) { return c->deterministic || c->deterministic_eval; }

static UfStatus evaluate(const Run* run, const Member* m, const UfPolicy* policy, int64_t num_episodes,
                         int64_t update, UfEvaluation* out) {
    return uf_evaluate(out, policy, run->env, num_episodes, (int)m->config.eval_workers,
                       eval_seed(&m->config, update), evaluates_mean(&m->config), run->pool);
}

static void note_evaluation(const Run* run, const Member* m, const UfEvaluation* e) {
    char text[128];
    if (e->num_nonfinite_actions > 0) {
        snprintf(text, sizeof(text), "%" PRId64 " actions were not finite and counted as 0",
                 e->num_nonfinite_actions);
        note_of(run, m, text);
    }
    if (e->num_diverged > 0) {
        snprintf(text, sizeof(text), "the simulation diverged in %" PRId64 " episodes; each ended there",
                 e->num_diverged);
        note_of(run, m, text);
    }
}

// ---- result ----

static UfStatus write_results(const Run* run, const Member* m, const UfEvaluation* e, const UfH5* h5) {
    char* json;
    UF_TRY(uf_config_json(&m->config, &json));
    UfStatus status = uf_h5_write_string(h5, "/", "config", json);
    uf_free(json);
    UF_TRY(status);
    UF_TRY(uf_h5_write_string(h5, "/", "kind", "unifloral-result"));
    UF_TRY(uf_h5_write_string(h5, "/", "version", uf_version()));
    UF_TRY(uf_h5_write_string(h5, "/", "dataset", m->config.dataset));
    UF_TRY(uf_h5_write_string(h5, "/", "dataset_hash", run->dataset->hash));
    UF_TRY(uf_h5_write_integer(h5, "/", "dataset_rows", run->dataset->num_records));
    UF_TRY(uf_h5_write_integer(h5, "/", "seed", m->config.seed));
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
static UfStatus final_results(Run* run, Member* m, int k) {
    UfEvaluation e = {0};
    UfRunResult* result = m->result;
    char path[UF_PATH_BYTES], temporary[UF_PATH_BYTES + 8];
    if (run->env && m->config.eval_final_episodes > 0) {
        UfPolicy* policy;
        UF_TRY(uf_policy_create(&policy, run->agent, k));
        UfStatus evaluated = evaluate(run, m, policy, m->config.eval_final_episodes, -1, &e);
        uf_policy_free(policy);
        UF_TRY(evaluated);
        note_evaluation(run, m, &e);
    }
    path_in(m, "final.h5", path);
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    UfH5 h5 = {.file = -1};
    UfStatus status = uf_h5_create(&h5, temporary);
    if (status == UF_OK) {
        status = write_results(run, m, &e, &h5);
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
static UfStatus is_result_of(const Run* run, const Member* m, const UfH5* h5, bool* same) {
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
            (int64_t)updates == m->config.num_updates &&
            !uf_config_difference(made, &m->config, uf_param_shapes_results);
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
static void recall_results(Run* run, Member* m, bool* there) {
    char path[UF_PATH_BYTES];
    UfH5 h5;
    path_in(m, "final.h5", path);
    *there = false;
    if (m->update < m->config.num_updates || !uf_file_exists(path) || uf_h5_open(&h5, path) != UF_OK) return;
    if (is_result_of(run, m, &h5, there) != UF_OK || read_results(&h5, m->result) != UF_OK) *there = false;
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

// What the run trains on, for names: its file's name, or its environment.
static const char* subject(const Member* m, char* stem, size_t bytes) {
    return uf_file_stem(m->config.online ? m->config.env : m->config.dataset, stem, bytes);
}

// The second of its files is there.
static bool has_chart(Member* m) {
    char path[UF_PATH_BYTES];
    path_in(m, "learning_curve.svg", path);
    return m->result->has_chart = uf_file_exists(path);
}

// Score (return where the environment has no scores) with its standard error against updates.
static UfStatus learning_curve(Run* run, Member* m) {
    char path[UF_PATH_BYTES], title[2 * UF_STRING_BYTES + 8], stem[UF_STRING_BYTES];
    UfRunLog log;
    double* points;  // (4, rows): x, y, low, high of the first num_points
    UF_TRY(uf_run_log_read(&log, m->folder.name));
    const int rows = log.num_rows;
    int num_points = 0;
    UfStatus status = UF_ALLOC(&points, 4 * (size_t)rows + 1, "learning curve");
    bool scores = run->env && run->env->has_scores;
    double *x = points, *y = x + rows, *low = y + rows, *high = low + rows;
    for (int i = 0; status == UF_OK && i < rows; i++) {
        double value = uf_run_log_at(&log, i, scores ? "eval_score" : "eval_return"),
               error = uf_run_log_at(&log, i, scores ? "eval_score_stderr" : "eval_return_stderr");
        if (!isfinite(value)) continue;
        x[num_points] = uf_run_log_at(&log, i, "update");
        y[num_points] = value;
        low[num_points] = value - error;
        high[num_points++] = value + error;
    }
    uf_run_log_free(&log);
    if (status == UF_OK && num_points > 0) {
        snprintf(title, sizeof(title), "%s on %s", m->config.algorithm, subject(m, stem, sizeof(stem)));
        UfSeries series = {m->config.algorithm, num_points, x, y, low, high};
        UfPlot plot = {title, "updates", scores ? "normalised score" : "return", 1, &series, false, false};
        path_in(m, "learning_curve.png", path);
        status = uf_plot_write(&plot, path);
        path_in(m, "learning_curve.svg", path);
        if (status == UF_OK) status = uf_plot_write(&plot, path);
        m->result->has_chart = status == UF_OK;
    }
    uf_free(points);
    if (status == UF_ERR_UNSUPPORTED) {  // no reason to call the run a failure
        note(run, uf_error());
        status = UF_OK;
    }
    return status;
}

// ---- folder ----

static UfStatus open_folder(Member* m) {
    char stem[UF_STRING_BYTES];
    const UfRunFolderOptions options = {.out = m->of->out,
                                        .resume = m->of->resume,
                                        .config = &m->config,
                                        .algorithm = m->config.algorithm,
                                        .subject = subject(m, stem, sizeof(stem)),
                                        .checkpoint = "checkpoint.h5"};
    UfStatus status = uf_run_folder_open(&m->folder, &options);
    memcpy(m->result->folder, m->folder.name, sizeof(m->result->folder));
    return status;
}

// ---- progress ----

static int num_going(const Run* run) {
    int count = 0;
    FOR_GROUP(run, m) count++;
    return count;
}

// Of a population the means over its members.
static void progress(Run* run, UfRunEvent event) {
    if (!run->options->on_progress) return;
    const double elapsed = uf_now() - run->started;
    const int64_t update = uf_agent_num_updates(run->agent), done = update - run->first_update;
    event.population = num_going(run);
    event.num_updates = run->config->num_updates;
    event.eval_return = event.eval_score = 0;
    FOR_GROUP(run, m) {
        event.eval_return += m->eval_return / event.population;
        event.eval_score += m->eval_score / event.population;
    }
    event.updates_per_second = elapsed > 0 ? (double)done / elapsed : 0;
    event.seconds_left = done > 0 ? elapsed / (double)done * (double)(event.num_updates - update) : NAN;
    run->options->on_progress(run->options->user, &event);
}

static int first_going(const Run* run) {
    int k = 0;
    while (k < run->num_group && run->group[k]->ended) k++;
    return k < run->num_group ? k : 0;
}

static void tick(Run* run, int64_t update) {
    UfRunEvent event = {.kind = UF_RUN_TICK, .update = update};
    if (uf_agent_metrics(run->agent, first_going(run), &event.num_metrics, &event.names, &event.values) !=
        UF_OK)
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

static bool is_new_best(Member* m, double mean_return) {
    bool better = mean_return > m->best_return;
    if (better) m->best_return = mean_return;
    return better;
}

static bool is_first_medium(Member* m, double score) {
    bool first = !m->is_medium && score >= m->config.medium_score;
    m->is_medium |= first;
    return first;
}

// What the log says of evaluations before this process.
static UfStatus recall_milestones(Member* m) {
    UfRunLog log;
    UF_TRY(uf_run_log_read(&log, m->folder.name));
    for (int i = 0; i < log.num_rows; i++) {
        is_new_best(m, uf_run_log_at(&log, i, "eval_return"));
        is_first_medium(m, uf_run_log_at(&log, i, "eval_score"));
    }
    uf_run_log_free(&log);
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
static UfStatus save_candidate(Run* run, const Member* m) {
    char path[UF_PATH_BYTES];
    path_in(m, UF_ONLINE_CANDIDATE, path);
    return uf_agent_save(run->agent, path);
}

// Keeps the checkpoints that datasets are made of, after the log line and before the run's own checkpoint: a
// killed run comes by again and writes the same.
static UfStatus keep_milestones(Member* m) {
    char candidate[UF_PATH_BYTES], path[UF_PATH_BYTES];
    path_in(m, UF_ONLINE_CANDIDATE, candidate);
    path_in(m, UF_ONLINE_BEST, path);
    if (is_new_best(m, as_logged(m->eval_return))) UF_TRY(copy_file(candidate, path));
    path_in(m, UF_ONLINE_MEDIUM, path);
    if (is_first_medium(m, as_logged(m->eval_score))) UF_TRY(copy_file(candidate, path));
    return unlink(candidate) ? UF_FAIL(UF_ERR_IO, "%s: cannot remove it: %s", candidate, strerror(errno))
                             : UF_OK;
}

// ---- intervals ----

static UfStatus write_line(const Run* run, const Member* m) {
    const Interval* i = &run->interval;
    const UfEvaluation* e = &m->evaluation;
    UfLogLine line;
    uf_log_begin(&line, "update", i->update, m->seconds_before + uf_now() - run->started);
    uf_log_number(&line, "updates_per_second", i->updates_per_second);
    for (int k = 0; k < i->num_metrics; k++) uf_log_number(&line, i->names[k], m->metrics[k]);
    uf_log_number(&line, "eval_return", e->mean_return);
    uf_log_number(&line, "eval_return_stderr", e->stderr_return);
    uf_log_number(&line, "eval_score", e->mean_score);
    uf_log_number(&line, "eval_score_stderr", e->stderr_score);
    uf_log_number(&line, "eval_length", e->mean_length);
    uf_log_number(&line, "init_value", m->diagnosis.init_value);
    uf_log_number(&line, "td_error", m->diagnosis.td_error);
    uf_log_number(&line, "action_diff", m->diagnosis.action_diff);
    return uf_log_finish(&m->folder, &line);
}

// Rows that the world model made nonsense of are left out of the buffer; that must not go unseen.
static void note_dropped(const Run* run, const Member* m) {
    const Interval* interval = &run->interval;
    char text[160];
    for (int i = 0; i < interval->num_metrics; i++) {
        if (strcmp(interval->names[i], "model_dropped") != 0 || !(m->metrics[i] > 0)) continue;
        snprintf(text, sizeof text, "%.2g %% of the rows of model rollouts were not finite and were dropped",
                 100 * m->metrics[i]);
        note_of(run, m, text);
    }
}

// On the agent's device, between updates, unless threads are there for it.
static bool evaluates_apart(const Run* run) {
    return run->env && !run->beside_pool && uf_plays_apart(run->agent, run->env);
}

// All members at once. Those that have ended have an actor all the same; nobody asks what it does.
static UfStatus evaluate_apart(Run* run, int64_t update) {
    UfEvaluation* all = NULL;
    uint64_t* seeds = NULL;
    UfStatus status = UF_ALLOC(&all, run->num_group, "evaluations");
    if (status == UF_OK) status = UF_ALLOC(&seeds, run->num_group, "seeds of evaluations");
    for (int k = 0; status == UF_OK && k < run->num_group; k++)
        seeds[k] = eval_seed(&run->group[k]->config, update);
    if (status == UF_OK)
        status =
            uf_play(all, run->agent, run->env, run->config->eval_workers, seeds, evaluates_mean(run->config));
    for (int k = 0; status == UF_OK && k < run->num_group; k++) {
        if (run->group[k]->ended)
            uf_evaluation_free(&all[k]);
        else
            run->group[k]->evaluation = all[k];
    }
    uf_free(all);
    uf_free(seeds);
    return status;
}

// Takes a member's metrics, and its actor where it is evaluated.
static UfStatus take_part(Run* run, Member* m, int k) {
    Interval* i = &run->interval;
    const double* metrics;
    UF_TRY(uf_agent_metrics(run->agent, k, &i->num_metrics, &i->names, &metrics));
    if (!m->metrics) UF_TRY(UF_ALLOC(&m->metrics, i->num_metrics, "metrics of an interval"));
    memcpy(m->metrics, metrics, (size_t)i->num_metrics * sizeof(*metrics));
    UF_TRY(uf_agent_diagnose(run->agent, k, run->dataset, &m->diagnosis));
    m->evaluation = (UfEvaluation){
        .mean_return = NAN, .stderr_return = NAN, .mean_score = NAN, .stderr_score = NAN, .mean_length = NAN};
    if (!run->env) return UF_OK;
    if (run->online) UF_TRY(save_candidate(run, m));
    if (evaluates_apart(run)) return UF_OK;
    return m->policy ? uf_policy_refresh(m->policy, run->agent, k)
                     : uf_policy_create(&m->policy, run->agent, k);
}

// Lets the threads beside training evaluate the next member.
static UfStatus start_next(Run* run) {
    Interval* i = &run->interval;
    while (i->next < run->num_group && run->group[i->next]->ended) i->next++;
    if (i->next == run->num_group) return UF_OK;
    const Member* m = run->group[i->next];
    return uf_evaluate_start(&i->evaluating, m->policy, run->env, m->config.eval_workers,
                             (int)m->config.eval_workers, eval_seed(&m->config, i->update),
                             evaluates_mean(&m->config), run->beside_pool);
}

// Starts the sums of metrics again and evaluates, or lets threads do it.
static UfStatus begin_interval(Run* run, int64_t update, bool beside) {
    Interval* i = &run->interval;
    for (int k = 0; k < run->num_group; k++)
        if (!run->group[k]->ended) UF_TRY(take_part(run, run->group[k], k));
    uf_agent_clear_metrics(run->agent);
    i->open = true;
    i->update = update;
    i->next = 0;
    i->updates_per_second = run->trained > 0 ? (double)(update - run->interval_update) / run->trained : NAN;
    run->trained = 0;
    run->interval_update = update;
    if (!run->env) return UF_OK;
    if (evaluates_apart(run)) return evaluate_apart(run, update);
    if (beside) return start_next(run);
    FOR_GROUP(run, m) UF_TRY(evaluate(run, m, m->policy, m->config.eval_workers, update, &m->evaluation));
    return UF_OK;
}

// Waits for the evaluation under way and starts the next.
static UfStatus collect(Run* run) {
    Interval* i = &run->interval;
    UfEvaluating* evaluating = i->evaluating;
    i->evaluating = NULL;
    UF_TRY(uf_evaluate_wait(evaluating, &run->group[i->next]->evaluation));
    i->next++;
    return start_next(run);
}

static UfStatus finish_part(Run* run, Member* m) {
    note_evaluation(run, m, &m->evaluation);
    m->eval_return = m->evaluation.mean_return;
    m->eval_score = m->evaluation.mean_score;
    UfStatus status = write_line(run, m);
    uf_evaluation_free(&m->evaluation);
    UF_TRY(status);
    note_dropped(run, m);
    return UF_OK;
}

// Waits for the evaluations where there are some under way, and writes the lines.
static UfStatus finish_interval(Run* run) {
    Interval* i = &run->interval;
    while (i->evaluating) UF_TRY(collect(run));
    if (!i->open) return UF_OK;
    i->open = false;
    FOR_GROUP(run, m) UF_TRY(finish_part(run, m));
    progress(run, (UfRunEvent){.kind = UF_RUN_INTERVAL,
                               .update = i->update,
                               .num_metrics = i->num_metrics,
                               .names = i->names,
                               .values = run->group[first_going(run)]->metrics});
    return run->online ? keep_milestones(run->group[0]) : UF_OK;
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
    for (int k = 0; k < run->num_group; k++) {
        Member* m = run->group[k];
        if (m->ended) continue;
        path_in(m, UF_ONLINE_BUFFER, path);
        if (run->online) UF_TRY(uf_online_save(run->online, path));
        path_in(m, "checkpoint.h5", path);
        UF_TRY(uf_agent_save_member(run->agent, k, path));
        m->update = uf_agent_num_updates(run->agent);
    }
    return UF_OK;
}

static int64_t next_multiple(int64_t update, int64_t interval, int64_t last) {
    int64_t rest = interval - update % interval;
    return rest < last - update ? update + rest : last;
}

// Nothing more is done about this run. Keeps the sentence in uf_error().
static void fail_member(Member* m, UfStatus status) {
    if (m->ended) return;
    m->ended = true;
    m->of->status = status;
    snprintf(m->of->error, sizeof(m->of->error), "%s", uf_error());
}

static void fail_nonfinite(Member* m, const char* why) {
    char checkpoint[UF_PATH_BYTES];
    path_in(m, "checkpoint.h5", checkpoint);
    fail_member(m, m->update > 0
                       ? UF_FAIL(UF_ERR_NONFINITE, "%s; the last good checkpoint, update %" PRId64 ", is %s",
                                 why, m->update, checkpoint)
                       : UF_FAIL(UF_ERR_NONFINITE, "%s; there was no checkpoint yet", why));
}

// An update gave numbers that are none. What was evaluated before it is kept. Of an online run the environment may be
// what failed, before an update.
static UfStatus take_out_failed(Run* run) {
    char why[1024];
    snprintf(why, sizeof(why), "%s", uf_error());
    UF_TRY(finish_interval(run));
    if (run->online) fail_nonfinite(run->group[0], why);
    for (int k = 0; k < run->num_group; k++) {
        const char* sentence = uf_agent_member_error(run->agent, k);
        if (sentence && !run->group[k]->ended) fail_nonfinite(run->group[k], sentence);
    }
    return UF_OK;
}

static UfStatus stopped_at(const Run* run, int64_t update) {
    return UF_FAIL(UF_ERR_STOPPED, "%s: stopped at update %" PRId64, run->group[0]->result->folder, update);
}

static UfStatus train_loop(Run* run, int64_t end) {
    const UfConfig* c = run->config;
    int64_t update = uf_agent_num_updates(run->agent);
    bool due = false;  // a checkpoint; it waits for the evaluation under way, but not for a second one
    while (update < end) {
        int64_t next =
            next_multiple(update, c->eval_interval, next_multiple(update, c->checkpoint_interval, end));
        double start = uf_now();
        UfStatus status = train(run, next - update);
        run->trained += uf_now() - start;
        update = uf_agent_num_updates(run->agent);
        FOR_GROUP(run, m) m->result->update = update;
        note_diverged(run);
        if (status == UF_ERR_NONFINITE)
            UF_TRY(take_out_failed(run));
        else if (status != UF_OK && status != UF_ERR_STOPPED)
            return status;
        if (!num_going(run)) return UF_OK;
        const bool stopped = asked_to_stop(run), last = update == c->num_updates, leaves = update == end;
        const bool ends = update % c->eval_interval == 0 || last;
        if (is_evaluated(run)) UF_TRY(collect(run));
        if (ends || stopped || leaves || !run->interval.evaluating) UF_TRY(finish_interval(run));
        if (ends) UF_TRY(begin_interval(run, update, run->beside_pool && !due && !stopped && !leaves));
        if (!run->interval.evaluating) UF_TRY(finish_interval(run));
        due = due || update % c->checkpoint_interval == 0 || leaves || stopped;
        if (due && !run->interval.evaluating) {
            UF_TRY(save(run));
            due = false;
        }
        if (stopped) return stopped_at(run, update);
    }
    return UF_OK;
}

// ---- one run ----

// What the folder's configuration and the one that is given now must agree in.
static UfStatus check_folder(const Member* m) {
    UfConfig* saved;
    if (!m->of->resume || !uf_has_file(m->of->resume, "config.json")) return UF_OK;
    UF_TRY(uf_run_config(&saved, m->of->resume));
    UfStatus status = uf_same_hyperparameters(&uf_config_table, saved, &m->config);
    uf_config_free(saved);
    return status;
}

static UfStatus look_at_checkpoint(Member* m) {
    char path[UF_PATH_BYTES];
    int population;
    UfConfig* trained;
    path_in(m, "checkpoint.h5", path);
    if (!m->of->resume) return UF_OK;
    if (!uf_file_exists(path)) {  // killed before the first, unless it came to its end
        if (!uf_has_file(m->of->resume, "final.h5")) return UF_OK;
        return UF_FAIL(UF_ERR_IO,
                       "%s: is gone, while final.h5 says that this run had ended; put it back, or train a new "
                       "run in another folder",
                       path);
    }
    UF_TRY(uf_checkpoint_peek(path, &population, &m->update, &trained));
    m->result->update = m->update;
    UfStatus status = uf_same_hyperparameters(&uf_config_table, trained, &m->config);
    uf_config_free(trained);
    UF_TRY(status);
    if (population != 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: holds a population of %d; a run folder holds one agent", path,
                       population);
    return UF_OK;
}

static UfStatus open_member(Member* m, UfRunMember* of) {
    m->of = of;
    m->result = &of->result;
    m->folder.lock = -1;
    m->eval_return = m->eval_score = NAN;
    m->best_return = -INFINITY;
    m->config = *of->config;
    of->status = UF_OK;
    of->error[0] = 0;
    of->result =
        (UfRunResult){.mean_return = NAN, .mean_score = NAN, .stderr_return = NAN, .stderr_score = NAN};
    UF_TRY(uf_config_check(&m->config));
    UF_TRY(open_folder(m));
    UF_TRY(check_folder(m));
    return look_at_checkpoint(m);
}

static void close_member(Member* m) {
    uf_evaluation_free(&m->evaluation);
    uf_free(m->metrics);
    uf_policy_free(m->policy);
    uf_run_folder_close(&m->folder);
}

static UfStatus end_member(Run* run, Member* m, int k) {
    bool finished;
    recall_results(run, m, &finished);
    if (!finished) UF_TRY(final_results(run, m, k));
    if (!finished || !has_chart(m)) UF_TRY(learning_curve(run, m));
    m->ended = true;
    return UF_OK;
}

// ---- groups ----

// Where, how long and on what runs train is the same for all of a group, but for the label.
static bool is_setting(const UfParam* p) {
    return p->scope == UF_SCOPE_RUN && strcmp(p->name, "algorithm") != 0;
}

static bool fit_together(const Member* a, const Member* b) {
    return !a->config.online && !b->config.online &&
           !uf_config_difference(&a->config, &b->config, is_setting) &&
           uf_config_fit_together(&a->config, &b->config) == UF_OK;
}

// Those that are furthest behind of the first run's kind, and where the next of its kind waits for them.
static int64_t choose_group(Run* run) {
    Member* first = NULL;
    run->num_group = 0;
    for (Member* m = run->members; m < run->members + run->num_members && !first; m++)
        if (!m->ended) first = m;
    if (!first) return 0;
    int64_t lowest = first->update, end = first->config.num_updates;
    for (Member* m = first; m < run->members + run->num_members; m++)
        if (!m->ended && m->update < lowest && fit_together(first, m)) lowest = m->update;
    for (Member* m = first; m < run->members + run->num_members; m++) {
        if (m->ended || (m != first && !fit_together(first, m))) continue;
        if (m->update == lowest)
            run->group[run->num_group++] = m;
        else if (m->update < end)
            end = m->update;
    }
    run->config = &run->group[0]->config;
    return end;
}

static UfStatus load_group(Run* run) {
    char(*paths)[UF_PATH_BYTES];
    const char** names;
    UF_TRY(UF_ALLOC(&paths, run->num_group, "names of checkpoints"));
    UfStatus status = UF_ALLOC(&names, run->num_group, "names of checkpoints");
    for (int k = 0; k < run->num_group && status == UF_OK; k++) {
        path_in(run->group[k], "checkpoint.h5", paths[k]);
        names[k] = paths[k];
    }
    if (status == UF_OK)
        status = uf_agent_load_on(&run->agent, names, run->num_group, uf_device_name(run->config->device),
                                  uf_precision_name(run->config->precision), (int)run->config->num_threads);
    if (status == UF_OK) uf_free(names);
    uf_free(paths);
    return status;
}

static UfStatus check_loaded(const Run* run) {
    if (!strcmp(uf_agent_dataset_hash(run->agent), run->dataset->hash)) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT,
                   "%s: is not the file that the run was trained on (SHA-256 %.12s..., then %.12s...)",
                   run->config->dataset, run->dataset->hash, uf_agent_dataset_hash(run->agent));
}

static UfStatus create_group(Run* run) {
    const UfConfig** configs;
    UF_TRY(UF_ALLOC(&configs, run->num_group, "configurations"));
    for (int k = 0; k < run->num_group; k++) configs[k] = &run->group[k]->config;
    UfStatus status = uf_agent_create_population(&run->agent, configs, run->num_group, run->dataset,
                                                 (int)run->config->num_threads);
    uf_free(configs);
    return status;
}

static UfStatus open_agent(Run* run) {
    const int64_t update = run->group[0]->update;
    char path[UF_PATH_BYTES];
    FOR_GROUP(run, m) UF_TRY(uf_run_log_truncate(&m->folder, "update", update, &m->seconds_before));
    if (!update) {
        FOR_GROUP(run, m) m->seconds_before = 0;
        if (run->online) UF_TRY(uf_online_start(run->online));
        return create_group(run);
    }
    UF_TRY(load_group(run));
    UF_TRY(check_loaded(run));
    if (!run->online) return UF_OK;
    UF_TRY(recall_milestones(run->group[0]));
    path_in(run->group[0], UF_ONLINE_BUFFER, path);
    return uf_online_load(run->online, path, uf_online_steps(run->config, update));
}

// What init_from did to a new agent.
static void note_init(const Run* run) {
    const char* text = uf_agent_init_note(run->agent);
    if (text[0]) note(run, text);
}

static void note_device(const Run* run) {
    char text[300];
    if (run->config->device != UF_DEVICE_AUTO) return;
    snprintf(text, sizeof(text), "device auto: %s", uf_agent_backend(run->agent)->about);
    note(run, text);
}

// Trains the group to `end`, where others join or the runs are done.
static UfStatus train_group(Run* run, int64_t end) {
    UF_TRY(open_agent(run));
    if (run->config->dataset_sample_ratio < 1) UF_TRY(uf_agent_check_rollouts(run->agent));
    note_device(run);
    note_init(run);
    if (run->env) UF_TRY(uf_pool_create(&run->pool, (int)run->config->num_threads));
    if (run->env && run->config->eval_threads > 0)
        UF_TRY(uf_pool_create(&run->beside_pool, (int)run->config->eval_threads));
    FOR_GROUP(run, m) {
        uf_run_folder_keep(&m->folder);
        m->result->update = m->update;
    }
    run->started = run->last_tick = uf_now();
    run->first_update = run->interval_update = uf_agent_num_updates(run->agent);
    UF_TRY(train_loop(run, end));
    for (int k = 0; k < run->num_group && end == run->config->num_updates; k++)
        if (!run->group[k]->ended) UF_TRY(end_member(run, run->group[k], k));
    return UF_OK;
}

static void close_group(Run* run) {
    uf_evaluate_wait(run->interval.evaluating, NULL);  // of a group that failed meanwhile
    run->interval = (Interval){.open = false};
    run->trained = 0;
    uf_pool_free(run->pool);
    uf_pool_free(run->beside_pool);
    uf_agent_free(run->agent);
    run->pool = run->beside_pool = NULL;
    run->agent = NULL;
}

// ---- API ----

static UfStatus check_subject(const UfRunMember* members, int num_members) {
    const UfConfig* c = members[0].config;
    for (int i = 1; i < num_members; i++) {
        const UfConfig* other = members[i].config;
        if (!strcmp(c->dataset, other->dataset) && !strcmp(c->env, other->env)) continue;
        return UF_FAIL(
            UF_ERR_CONFIG,
            "runs that train together need one dataset and one env, but have '%s' and '%s', '%s' and "
            "'%s'; train them in two commands",
            c->dataset, other->dataset, c->env, other->env);
    }
    if (!c->online && !c->dataset[0])
        return UF_FAIL(UF_ERR_CONFIG, "dataset: is empty; name an HDF5 file with --dataset FILE");
    if (c->env[0]) {  // before a large file is read
        UfEnv* env;
        UF_TRY(uf_env_create(&env, c->env));
        uf_env_free(env);
    }
    return UF_OK;
}

static UfStatus open_data(Run* run) {
    run->config = &run->members[0].config;
    if (run->config->online) {
        UF_TRY(uf_online_create(&run->online, run->config));
        run->dataset = uf_online_buffer(run->online);
    } else {
        UF_TRY(uf_dataset_open(&run->dataset, run->config->dataset,
                               run->config->env[0] ? run->config->env : NULL));
    }
    UF_TRY(find_env(run, &run->env));
    for (Member* m = run->members; m < run->members + run->num_members && run->env; m++) {
        snprintf(m->config.env, sizeof(m->config.env), "%s", run->env->name);
        snprintf(m->result->env, sizeof(m->result->env), "%s", run->env->name);
    }
    return UF_OK;
}

static UfStatus run_all(Run* run, UfRunMember* members) {
    bool any = false;
    for (int i = 0; i < run->num_members; i++) {
        UfStatus status = open_member(&run->members[i], &members[i]);
        if (status != UF_OK) fail_member(&run->members[i], status);
        any = any || status == UF_OK;
    }
    if (!any) return UF_OK;
    UF_TRY(open_data(run));
    for (int64_t end; (end = choose_group(run)) > 0;) {
        UfStatus status = train_group(run, end);
        if (status == UF_ERR_STOPPED || (status != UF_OK && run->num_members == 1)) return status;
        FOR_GROUP(run, m) if (status != UF_OK) fail_member(m, status);
        close_group(run);
    }
    return UF_OK;
}

// The first failure of a member, whose folder names it.
static UfStatus first_failure(const UfRunMember* members, int num_members) {
    for (int i = 0; i < num_members; i++)
        if (members[i].status != UF_OK)
            return num_members == 1 || !members[i].result.folder[0]
                       ? UF_FAIL(members[i].status, "%s", members[i].error)
                       : UF_FAIL(members[i].status, "%s: %s", members[i].result.folder, members[i].error);
    return UF_OK;
}

UfStatus uf_run_train_members(const UfRunOptions* options, UfRunMember* members, int num_members) {
    Run run = {.options = options, .num_members = num_members};
    if (num_members < 1) return UF_FAIL(UF_ERR_ARGUMENT, "no run to train");
    UF_TRY(check_subject(members, num_members));
    UF_TRY(UF_ALLOC(&run.members, num_members, "runs"));
    for (int i = 0; i < num_members; i++) run.members[i].folder.lock = -1;
    UfStatus status = UF_ALLOC(&run.group, num_members, "runs");
    if (status == UF_OK) status = run_all(&run, members);
    for (int i = 0; i < num_members && status != UF_OK; i++)
        if (run.members[i].of) fail_member(&run.members[i], status);
    close_group(&run);
    for (int i = 0; i < num_members; i++) close_member(&run.members[i]);
    if (run.online)
        uf_online_free(run.online);
    else
        uf_dataset_free(run.dataset);
    uf_free(run.members);
    uf_free(run.group);
    return status == UF_OK ? first_failure(members, num_members) : status;
}

UfStatus uf_run_train(const UfRunOptions* options, UfRunResult* result) {
    UfRunMember* member;
    *result = (UfRunResult){.mean_return = NAN, .mean_score = NAN, .stderr_return = NAN, .stderr_score = NAN};
    UF_TRY(UF_ALLOC(&member, 1, "a run"));
    member->config = options->config;
    member->out = options->out;
    member->resume = options->resume;
    UfStatus status = uf_run_train_members(options, member, 1);
    *result = member->result;
    uf_free(member);
    return status;
}

UfStatus uf_run_policy(const char* checkpoint, const char* env, UfPolicy** policy, const UfEnvSpec** spec,
                       bool* deterministic) {
    char path[UF_PATH_BYTES], stem[UF_STRING_BYTES];
    UfAgent* agent = NULL;
    *policy = NULL;
    UF_TRY(uf_run_checkpoint(checkpoint, path, sizeof(path)));
    UF_TRY(uf_agent_load_to_act(&agent, path));
    const UfConfig* c = uf_agent_config(agent, 0);
    const char* name = env ? env : c->env;
    if (!name[0]) name = uf_file_stem(c->dataset, stem, sizeof(stem));
    *deterministic = c->deterministic || c->deterministic_eval;
    UfStatus status = uf_env_lookup(spec, name);
    if (status != UF_OK && !env && !c->env[0])  // the name of a file that is none of an environment
        status = UF_FAIL(
            UF_ERR_ARGUMENT,
            "%s: was trained without an environment; name one by --env, `unifloral envs` lists them", path);
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
