// ppo_run.c: see ppo_run.h.
//
// Rooms: evaluation, progress and log, training, results, run, checkpoints.
#include "core/runs/ppo_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/data/returns.h"
#include "core/pictures/plot.h"
#include "core/runs/run_log.h"

static const char CONFIG_FILE[] = "ppo.json", CHECKPOINT_FILE[] = "checkpoint.h5",
                  RETURNS_FILE[] = "returns.h5";

// ---- evaluation ----

enum { EVAL_ROWS = 32 };  // episodes that a task acts for

typedef struct Evaluating {
    const UfPpoPolicy* policy;
    const UfTrainSpace* space;
    UfEvaluation* out;
    uint64_t seed;
    bool greedy;
    int n, running;  // episodes, and how many of them still go
    int* rows;       // (n): those that do, in order
    int64_t step;
    char *obs, *some_obs;  // (n, O), and those of the rows that run
    real *action, *some_action, *noise, *scratch;
    real* reward;
    uint8_t* done;
    size_t row_bytes, numbers, scratch_each;
} Evaluating;

// A number of (seed, episode, step), so it does not matter which task draws it.
static void draw_noise(const Evaluating* e, int episode, real* noise) {
    UfRandom random = uf_random(e->seed, UF_STREAM_PPO_EVAL, (uint64_t)episode << 32 | (uint64_t)e->step);
    for (size_t i = 0; i < e->numbers; i++)
        noise[i] =
            e->space->discrete ? 2 * uf_uniform(uf_random_u32(&random)) - 1 : uf_random_normal(&random);
}

static void act_task(void* context, int task, int thread) {
    const Evaluating* e = context;
    const int first = task * EVAL_ROWS, end = first + EVAL_ROWS < e->running ? first + EVAL_ROWS : e->running;
    real *action = e->some_action + (size_t)first * e->numbers,
         *noise = e->noise + (size_t)first * e->numbers;
    for (int k = first; k < end; k++) {
        const size_t row = (size_t)e->rows[k];
        memcpy(e->some_obs + (size_t)k * e->row_bytes, e->obs + row * e->row_bytes, e->row_bytes);
        if (!e->greedy) draw_noise(e, e->rows[k], e->noise + (size_t)k * e->numbers);
    }
    uf_ppo_policy_act(e->policy, action, e->some_obs + (size_t)first * e->row_bytes, end - first,
                      e->greedy ? NULL : noise, e->scratch + (size_t)thread * e->scratch_each);
    for (int k = first; k < end; k++)
        memcpy(e->action + (size_t)e->rows[k] * e->numbers, e->some_action + (size_t)k * e->numbers,
               e->numbers * sizeof(real));
}

static UfStatus play(Evaluating* e, UfTrainEnvs* envs, UfPool* pool) {
    UF_TRY(envs->ops->reset(envs, 0, e->obs));
    for (e->running = e->n; e->running > 0; e->step++) {
        int still = 0;
        uf_pool_run(pool, (e->running + EVAL_ROWS - 1) / EVAL_ROWS, act_task, e);
        UF_TRY(envs->ops->step(envs, 0, e->action, e->obs, e->reward, e->done));
        for (int k = 0; k < e->running; k++) {
            const int row = e->rows[k];
            e->out->returns[row] += (double)e->reward[row];
            e->out->lengths[row]++;
            if (!e->done[row]) e->rows[still++] = row;
        }
        e->running = still;
    }
    return UF_OK;
}

static UfStatus reserve_evaluation(Evaluating* e, UfPool* pool) {
    static const char what[] = "evaluation";
    const size_t n = (size_t)e->n;
    UF_TRY(UF_ALLOC(&e->out->returns, n, what));
    UF_TRY(UF_ALLOC(&e->out->lengths, n, what));
    UF_TRY(UF_ALLOC(&e->rows, n, what));
    UF_TRY(UF_ALLOC(&e->obs, n * e->row_bytes, what));
    UF_TRY(UF_ALLOC(&e->some_obs, n * e->row_bytes, what));
    UF_TRY(UF_ALLOC(&e->action, n * e->numbers, what));
    UF_TRY(UF_ALLOC(&e->some_action, n * e->numbers, what));
    UF_TRY(UF_ALLOC(&e->noise, n * e->numbers, what));
    UF_TRY(UF_ALLOC(&e->reward, n, what));
    UF_TRY(UF_ALLOC(&e->done, n, what));
    e->scratch_each = (uf_ppo_policy_scratch(e->policy, EVAL_ROWS) + 63) / 64 * 64;
    UF_TRY(UF_ALLOC(&e->scratch, (size_t)uf_pool_num_threads(pool) * e->scratch_each, what));
    for (int i = 0; i < e->n; i++) e->rows[i] = i;
    return UF_OK;
}

static UfStatus same_space(const UfTrainSpace* a, const UfTrainSpace* b, const char* env) {
    if (a->obs_dim == b->obs_dim && a->action_dim == b->action_dim && a->bytes == b->bytes &&
        a->discrete == b->discrete)
        return UF_OK;
    return UF_FAIL(
        UF_ERR_CONFIG,
        "env: %s has %d numbers of an observation and %d %s, the agent was trained with %d and %d %s", env,
        b->obs_dim, b->action_dim, b->discrete ? "actions" : "numbers of an action", a->obs_dim,
        a->action_dim, a->discrete ? "actions" : "numbers of an action");
}

UfStatus uf_ppo_evaluate_policy(UfEvaluation* out, const UfPpoPolicy* policy, const char* env,
                                const UfPpoConfig* config, int num_episodes, int64_t seed, bool greedy,
                                UfPool* pool) {
    const double start = uf_now();
    const UfEnvSpec* spec;
    UfTrainEnvs* envs;
    const UfPpoEnvsOptions options = {env, config, num_episodes, &seed, 1, UF_PPO_EVALUATION};
    *out = (UfEvaluation){.num_episodes = num_episodes};
    UF_TRY(uf_ppo_envs_create(&envs, &spec, &options));
    const UfTrainSpace* space = uf_ppo_policy_space(policy);
    Evaluating e = {.policy = policy,
                    .space = space,
                    .out = out,
                    .seed = (uint64_t)seed,
                    .greedy = greedy,
                    .n = num_episodes,
                    .row_bytes = (size_t)space->obs_dim * (space->bytes ? 1 : sizeof(real)),
                    .numbers = space->discrete ? 1 : (size_t)space->action_dim};
    UfStatus status = same_space(space, &envs->space, env);
    if (status == UF_OK) status = reserve_evaluation(&e, pool);
    if (status == UF_OK) status = play(&e, envs, pool);
    if (status == UF_OK) uf_evaluation_summarise(out, spec);
    out->seconds = uf_now() - start;
    void* all[] = {e.rows, e.obs, e.some_obs, e.action, e.some_action, e.noise, e.reward, e.done, e.scratch};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    uf_train_envs_free(envs);
    if (status != UF_OK) uf_evaluation_free(out);
    return status;
}

// ---- progress and log ----

typedef struct Run {
    const UfPpoRunOptions* options;
    UfPpoResult* result;
    UfPpoConfig config;
    UfRunFolder folder;
    UfPpo* ppo;
    UfTrainEnvs* envs;
    const UfEnvSpec* spec;                                       // NULL: a gridworld, a synthetic one
    UfPool* pool;                                                // of evaluations
    int64_t first_iteration, logged_iteration, saved_iteration;  // saved -1: none yet
    double started, seconds_before, line_started, last_tick;
    double eval_return;  // the latest, mean over members; NaN: none yet
    UfStatus failure;
} Run;

static int64_t steps_of(const Run* run, int64_t iterations) {
    return iterations * run->config.num_envs * run->config.num_steps;
}

static void note(const Run* run, const char* text) {
    UfRunEvent event = {.kind = UF_RUN_NOTE, .text = text};
    if (run->options->on_progress) run->options->on_progress(run->options->user, &event);
}

// Means over the members; of episodes those of members where some ended.
static UfStatus mean_metrics(Run* run, UfPpoMetrics* mean) {
    const int P = uf_ppo_population(run->ppo);
    int with_episodes = 0;
    *mean = (UfPpoMetrics){.mean_return = 0};
    for (int p = 0; p < P; p++) {
        UfPpoMetrics m;
        UF_TRY(uf_ppo_metrics(run->ppo, p, &m));
        for (int i = 0; i < UF_NUM_PPO_METRICS; i++) mean->values[i] += m.values[i] / P;
        mean->episodes += m.episodes;
        if (!(m.episodes > 0)) continue;
        with_episodes++;
        mean->mean_return += m.mean_return;
        mean->mean_length += m.mean_length;
    }
    mean->mean_return = with_episodes ? mean->mean_return / with_episodes : NAN;
    mean->mean_length = with_episodes ? mean->mean_length / with_episodes : NAN;
    return UF_OK;
}

static UfStatus progress(Run* run, UfRunEventKind kind) {
    static const char* const names[] = {"return", "length", "entropy"};
    UfPpoMetrics m;
    if (!run->options->on_progress) return UF_OK;
    UF_TRY(mean_metrics(run, &m));
    const double values[] = {m.mean_return, m.mean_length, m.values[UF_PPO_METRIC_entropy]};
    const int64_t P = uf_ppo_population(run->ppo), iteration = uf_ppo_iteration(run->ppo);
    const int64_t done = steps_of(run, iteration - run->first_iteration) * P;
    const double elapsed = uf_now() - run->started;
    UfRunEvent event = {.kind = kind,
                        .update = steps_of(run, iteration) * P,
                        .num_updates = steps_of(run, uf_ppo_num_iterations(run->ppo)) * P,
                        .updates_per_second = elapsed > 0 ? (double)done / elapsed : 0,
                        .num_metrics = 3,
                        .names = names,
                        .values = values,
                        .eval_return = run->eval_return,
                        .eval_score = NAN,
                        .population = (int)P};
    event.seconds_left = done > 0 ? elapsed / (double)done * (double)(event.num_updates - event.update) : NAN;
    run->options->on_progress(run->options->user, &event);
    return UF_OK;
}

// Each evaluation has start states of its own; iteration -1 stands for the last one.
static int64_t eval_seed(const UfPpoConfig* c, int64_t iteration) {
    const UfPhilox w = uf_philox((uint64_t)c->seed, UF_STREAM_PPO_ENV, 2, (uint64_t)iteration);
    return w.v[0];
}

static UfStatus evaluate_member(Run* run, int p, int num_episodes, int64_t iteration, UfEvaluation* out) {
    const UfPpoConfig* c = uf_ppo_config(run->ppo, p);
    UfPpoPolicy* policy;
    UF_TRY(uf_ppo_policy_create(&policy, run->ppo, p));
    const UfStatus status =
        uf_ppo_evaluate_policy(out, policy, run->config.env, &run->config, num_episodes,
                               eval_seed(c, iteration), run->config.eval_greedy, run->pool);
    uf_ppo_policy_free(policy);
    return status;
}

static UfStatus interim_evaluation(Run* run, double* mean) {
    const int P = uf_ppo_population(run->ppo);
    *mean = 0;
    for (int p = 0; p < P; p++) {
        UfEvaluation e;
        UF_TRY(evaluate_member(run, p, (int)run->config.eval_episodes, uf_ppo_iteration(run->ppo), &e));
        *mean += e.mean_return / P;
        uf_evaluation_free(&e);
    }
    run->eval_return = *mean;
    return UF_OK;
}

// A line about the iterations since the last one.
static UfStatus log_line(Run* run, bool evaluates) {
    const int64_t iteration = uf_ppo_iteration(run->ppo), P = uf_ppo_population(run->ppo);
    const double now = uf_now(), seconds = now - run->line_started;
    const int64_t steps = steps_of(run, iteration - run->logged_iteration) * P;
    double eval_return = NAN;
    UfPpoMetrics m;
    UfLogLine line;
    UF_TRY(mean_metrics(run, &m));
    if (evaluates) UF_TRY(interim_evaluation(run, &eval_return));
    UF_TRY(progress(run, UF_RUN_INTERVAL));
    uf_log_begin(&line, "iteration", iteration, run->seconds_before + uf_now() - run->started);
    uf_log_number(&line, "steps", (double)steps_of(run, iteration));
    uf_log_number(&line, "steps_per_second", seconds > 0 ? (double)steps / seconds : NAN);
    uf_log_number(&line, "episodes", m.episodes);
    uf_log_number(&line, "return", m.mean_return);
    uf_log_number(&line, "length", m.mean_length);
    for (int i = 0; i < UF_NUM_PPO_METRICS; i++) uf_log_number(&line, uf_ppo_metric_names[i], m.values[i]);
    uf_log_number(&line, "eval_return", eval_return);
    UF_TRY(uf_log_finish(&run->folder, &line));
    uf_ppo_clear_metrics(run->ppo);
    run->logged_iteration = iteration;
    run->line_started = uf_now();
    return UF_OK;
}

// ---- training ----

static UfStatus save(Run* run) {
    char path[UF_PATH_BYTES];
    uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    UF_TRY(uf_ppo_save(run->ppo, run->envs, path));
    run->saved_iteration = uf_ppo_iteration(run->ppo);
    return UF_OK;
}

static UfStatus nonfinite(const Run* run) {
    char path[UF_PATH_BYTES];
    uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    if (run->saved_iteration < 0)
        return UF_FAIL(UF_ERR_NONFINITE, "%s; there was no checkpoint yet", uf_error());
    return UF_FAIL(UF_ERR_NONFINITE, "%s; the last good checkpoint, iteration %" PRId64 ", is %s", uf_error(),
                   run->saved_iteration, path);
}

static UfStatus train(Run* run) {
    const UfPpoConfig* c = &run->config;
    const int64_t end = uf_ppo_num_iterations(run->ppo);
    while (uf_ppo_iteration(run->ppo) < end) {
        UfStatus status = uf_ppo_iterate(run->ppo, run->envs);
        const int64_t i = run->result->iteration = uf_ppo_iteration(run->ppo);
        const bool evaluates = c->eval_interval && i % c->eval_interval == 0,
                   logs = evaluates || i % c->log_interval == 0 || i == end,
                   saves = i % c->checkpoint_interval == 0 || (run->options->stop && *run->options->stop),
                   ticks = uf_now() - run->last_tick >= 0.1;
        // Only now does the host wait for a device.
        if (status == UF_OK && (logs || saves || ticks)) status = uf_ppo_check(run->ppo);
        if (status == UF_ERR_NONFINITE) return nonfinite(run);
        UF_TRY(status);
        if (logs) UF_TRY(log_line(run, evaluates));
        if (i % c->checkpoint_interval == 0 && i < end) UF_TRY(save(run));
        if (ticks) {
            UF_TRY(progress(run, UF_RUN_TICK));
            run->last_tick = uf_now();
        }
        if (run->options->stop && *run->options->stop) {
            UF_TRY(save(run));
            return UF_FAIL(UF_ERR_STOPPED, "%s: stopped after iteration %" PRId64, run->folder.name, i);
        }
    }
    return run->saved_iteration == end ? UF_OK : save(run);
}

static UfStatus create_envs(Run* run) {
    int64_t* seeds;
    UF_TRY(UF_ALLOC(&seeds, run->config.population, "seeds"));
    for (int64_t p = 0; p < run->config.population; p++) seeds[p] = run->config.seed + p;
    const UfPpoEnvsOptions options = {
        run->config.env, &run->config, (int)run->config.num_envs, seeds, (int)run->config.population,
        UF_PPO_TRAINING};
    const UfStatus status = uf_ppo_envs_create(&run->envs, &run->spec, &options);
    uf_free(seeds);
    return status;
}

static void note_device(const Run* run) {
    char text[300];
    if (run->config.device != UF_DEVICE_AUTO) return;
    snprintf(text, sizeof text, "device auto: %s", uf_ppo_backend(run->ppo)->about);
    note(run, text);
}

// Members differ in their seeds.
static UfStatus create_agents(Run* run) {
    const int P = (int)run->config.population;
    UfPpoConfig* configs;
    const UfPpoConfig** each = NULL;
    UF_TRY(UF_ALLOC(&configs, P, "configurations"));
    UfStatus status = UF_ALLOC(&each, P, "configurations");
    for (int p = 0; p < P && status == UF_OK; p++) {
        configs[p] = run->config;
        configs[p].seed += p;
        each[p] = &configs[p];
    }
    if (status == UF_OK)
        status = uf_ppo_create(&run->ppo, each, P, &run->envs->space, (int)run->config.num_threads);
    uf_free(each);
    uf_free(configs);
    return status;
}

static UfStatus open_agents(Run* run) {
    char path[UF_PATH_BYTES];
    uf_run_folder_path(&run->folder, CHECKPOINT_FILE, path);
    run->saved_iteration = -1;
    if (!run->options->resume || !uf_file_exists(path)) {
        UF_TRY(uf_run_log_truncate(&run->folder, "iteration", 0, &run->seconds_before));
        run->seconds_before = 0;
        return create_agents(run);
    }
    UF_TRY(uf_ppo_load(&run->ppo, path, &run->config, (int)run->config.num_threads, false));
    UF_TRY(uf_same_hyperparameters(&uf_ppo_table, uf_ppo_config(run->ppo, 0), &run->config));
    const UfStatus status = same_space(uf_ppo_space(run->ppo), &run->envs->space, run->config.env);
    if (status != UF_OK) return uf_fail_prefix(status, path);
    UF_TRY(uf_ppo_load_envs(run->ppo, run->envs, path));
    run->saved_iteration = uf_ppo_iteration(run->ppo);
    return uf_run_log_truncate(&run->folder, "iteration", run->saved_iteration, &run->seconds_before);
}

// ---- results ----

static UfStatus write_returns(const Run* run, const UfEvaluation* evaluations, const UfH5* h5) {
    const int P = uf_ppo_population(run->ppo);
    const int64_t count = evaluations[0].num_episodes;
    double* returns = NULL;
    int32_t* lengths = NULL;
    char* json;
    UF_TRY(uf_table_json(&uf_ppo_table, &run->config, &json));
    UfStatus status = uf_h5_write_string(h5, "/", "config", json);
    uf_free(json);
    if (status == UF_OK) status = uf_h5_write_string(h5, "/", "kind", UF_RETURNS_OF_PPO);
    if (status == UF_OK) status = uf_h5_write_string(h5, "/", "version", uf_version());
    if (status == UF_OK) status = UF_ALLOC(&returns, P * count, "returns");
    if (status == UF_OK) status = UF_ALLOC(&lengths, P * count, "returns");
    for (int p = 0; p < P && status == UF_OK; p++) {
        memcpy(returns + p * count, evaluations[p].returns, (size_t)count * sizeof *returns);
        memcpy(lengths + p * count, evaluations[p].lengths, (size_t)count * sizeof *lengths);
    }
    const int64_t dims[] = {P, count};
    if (status == UF_OK) status = uf_h5_write(h5, "returns", UF_H5_DOUBLE, returns, 2, dims, 4, false);
    if (status == UF_OK) status = uf_h5_write(h5, "lengths", UF_H5_INT32, lengths, 2, dims, 4, false);
    uf_free(returns);
    uf_free(lengths);
    return status;
}

static UfStatus save_returns(const Run* run, const UfEvaluation* evaluations) {
    char path[UF_PATH_BYTES], temporary[UF_PATH_BYTES + 8];
    UfH5 h5;
    uf_run_folder_path(&run->folder, RETURNS_FILE, path);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = write_returns(run, evaluations, &h5);
    const UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

// Mean return of training episodes against steps.
static UfStatus learning_curve(const Run* run, bool* drawn) {
    static const char* const endings[] = {"png", "svg"};
    char title[UF_STRING_BYTES + 32], file[64], path[UF_PATH_BYTES];
    UfRunLog log;
    double* points;
    UF_TRY(uf_run_log_read(&log, run->folder.name));
    UfStatus status = UF_ALLOC(&points, 2 * log.num_rows + 1, "chart");
    for (int i = 0; i < log.num_rows && status == UF_OK; i++) {
        points[i] = uf_run_log_at(&log, i, "steps");
        points[log.num_rows + i] = uf_run_log_at(&log, i, "return");
    }
    snprintf(title, sizeof title, "PPO in %s", run->config.env);
    const UfSeries series = {"training episodes", log.num_rows, points, points + log.num_rows, NULL, NULL};
    const UfPlot plot = {title, "environment steps", "mean return", 1, &series, false, false};
    for (int i = 0; i < 2 && status == UF_OK; i++) {
        snprintf(file, sizeof file, "learning_curve.%s", endings[i]);
        uf_run_folder_path(&run->folder, file, path);
        status = uf_plot_write(&plot, path);
    }
    uf_free(points);
    uf_run_log_free(&log);
    *drawn = status == UF_OK;
    if (status != UF_ERR_UNSUPPORTED) return status;
    note(run, uf_error());  // no reason to call the run a failure
    return UF_OK;
}

static UfStatus report(Run* run, const UfEvaluation* e, bool drawn) {
    const int P = uf_ppo_population(run->ppo);
    UfText text = {0};
    for (int p = 0; p < P; p++) {
        uf_text_add(&text, "return            %.4g +- %.2g  (%" PRId64 " %s episodes, length %.1f",
                    e[p].mean_return, e[p].stderr_return, e[p].num_episodes,
                    run->config.eval_greedy ? "greedy" : "sampled", e[p].mean_length);
        uf_text_add(&text, P > 1 ? "; seed %" PRId64 ")\n" : ")\n", uf_ppo_config(run->ppo, p)->seed);
    }
    if (drawn) uf_text_add(&text, "learning curve    %s/learning_curve.png\n", run->folder.name);
    uf_text_add(&text, "checkpoint        %s/%s\n", run->folder.name, CHECKPOINT_FILE);
    return uf_text_finish(&text, &run->result->report);
}

static UfStatus results(Run* run) {
    const int P = uf_ppo_population(run->ppo);
    UfEvaluation* e;
    bool drawn = false;
    UF_TRY(UF_ALLOC(&e, P, "evaluations"));
    UfStatus status = UF_OK;
    for (int p = 0; p < P && status == UF_OK; p++)
        status = evaluate_member(run, p, (int)run->config.eval_final_episodes, -1, &e[p]);
    if (status == UF_OK) status = save_returns(run, e);
    if (status == UF_OK) status = learning_curve(run, &drawn);
    if (status == UF_OK) status = report(run, e, drawn);
    for (int p = 0; p < P; p++) uf_evaluation_free(&e[p]);
    uf_free(e);
    return status;
}

// ---- run ----

static UfStatus open_folder(Run* run) {
    const UfRunFolderOptions options = {.out = run->options->out,
                                        .resume = run->options->resume,
                                        .table = &uf_ppo_table,
                                        .config = &run->config,
                                        .config_name = CONFIG_FILE,
                                        .algorithm = "ppo",
                                        .subject = run->config.env,
                                        .checkpoint = CHECKPOINT_FILE};
    const UfStatus status = uf_run_folder_open(&run->folder, &options);
    memcpy(run->result->folder, run->folder.name, sizeof(run->result->folder));
    return status;
}

static UfStatus run_all(Run* run) {
    UF_TRY(uf_ppo_config_check(&run->config));
    UF_TRY(create_envs(run));  // refuses before there is a folder
    UF_TRY(open_folder(run));
    UF_TRY(open_agents(run));
    note_device(run);
    UF_TRY(uf_pool_create(&run->pool, (int)run->config.num_threads));
    uf_run_folder_keep(&run->folder);
    run->first_iteration = run->logged_iteration = uf_ppo_iteration(run->ppo);
    run->started = run->last_tick = run->line_started = uf_now();
    UF_TRY(train(run));
    return results(run);
}

UfStatus uf_ppo_run(const UfPpoRunOptions* options, UfPpoResult* result) {
    Run run = {.options = options,
               .result = result,
               .folder.lock = -1,
               .eval_return = NAN,
               .config = *options->config};
    *result = (UfPpoResult){.iteration = 0};
    const UfStatus status = run_all(&run);
    uf_train_envs_free(run.envs);  // they may be on the agents' device
    uf_ppo_free(run.ppo);
    uf_pool_free(run.pool);
    uf_run_folder_close(&run.folder);
    return status;
}

UfStatus uf_ppo_run_config(UfPpoConfig** out, const char* folder) {
    char path[2048];
    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, CONFIG_FILE);
    if (!uf_file_exists(path))
        return UF_FAIL(UF_ERR_IO, "%s: holds no run of PPO (no %s)", folder, CONFIG_FILE);
    UF_TRY(uf_table_create(&uf_ppo_table, (void**)out));
    return uf_table_load(&uf_ppo_table, *out, path);
}

// ---- checkpoints ----

static UfStatus checkpoint_path(const char* name, char* path, size_t bytes) {
    struct stat info;
    const bool folder = stat(name, &info) == 0 && S_ISDIR(info.st_mode);
    if (snprintf(path, bytes, folder ? "%s/%s" : "%s", name, CHECKPOINT_FILE) >= (int)bytes)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s...: the name is too long", name);
    return UF_OK;
}

bool uf_ppo_is_checkpoint(const char* name) {
    char path[UF_PATH_BYTES], *kind = NULL;
    UfH5 h5;
    if (checkpoint_path(name, path, sizeof path) != UF_OK || uf_h5_open(&h5, path) != UF_OK) return false;
    const bool is = uf_h5_has_attribute(&h5, "/", "kind") &&
                    uf_h5_read_string(&h5, "/", "kind", &kind) == UF_OK && !strcmp(kind, "unifloral-ppo");
    uf_free(kind);
    uf_h5_close(&h5);
    return is;
}

static UfStatus eval_members(const UfPpoEvalOptions* o, UfPpo* ppo, UfEvaluation* e, const char* env,
                             UfPool* pool) {
    for (int p = 0; p < uf_ppo_population(ppo); p++) {
        UfPpoPolicy* policy;
        UF_TRY(uf_ppo_policy_create(&policy, ppo, p));
        const UfStatus status = uf_ppo_evaluate_policy(&e[p], policy, env, uf_ppo_config(ppo, p),
                                                       o->num_episodes, o->seed, o->greedy, pool);
        uf_ppo_policy_free(policy);
        UF_TRY(status);
    }
    return UF_OK;
}

UfStatus uf_ppo_run_eval(const UfPpoEvalOptions* o, UfEvaluation** evaluations, int* population,
                         char env[UF_STRING_BYTES]) {
    char path[UF_PATH_BYTES];
    UfPpo* ppo;
    UfPool* pool = NULL;
    *evaluations = NULL;
    UF_TRY(checkpoint_path(o->checkpoint, path, sizeof path));
    UF_TRY(uf_ppo_load(&ppo, path, NULL, 1, true));
    *population = uf_ppo_population(ppo);
    snprintf(env, UF_STRING_BYTES, "%s", o->env ? o->env : uf_ppo_config(ppo, 0)->env);
    UfStatus status = UF_ALLOC(evaluations, *population, "evaluations");
    if (status == UF_OK) status = uf_pool_create(&pool, o->num_threads);
    if (status == UF_OK) status = eval_members(o, ppo, *evaluations, env, pool);
    uf_pool_free(pool);
    uf_ppo_free(ppo);
    if (status == UF_OK) return UF_OK;
    for (int p = 0; *evaluations && p < *population; p++) uf_evaluation_free(&(*evaluations)[p]);
    uf_free(*evaluations);
    *evaluations = NULL;
    return status;
}

// The policy's environment goes beside the one that is drawn, by the same actions.
typedef struct Player {
    Evaluating e;
    UfTrainEnvs* envs;
} Player;

static UfStatus choose(void* user, uint8_t* action) {
    Player* player = user;
    Evaluating* e = &player->e;
    if (!e->greedy) draw_noise(e, 0, e->noise);
    uf_ppo_policy_act(e->policy, e->action, e->obs, 1, e->greedy ? NULL : e->noise, e->scratch);
    e->step++;
    *action = (uint8_t)e->action[0];
    return player->envs->ops->step(player->envs, 0, e->action, e->obs, e->reward, e->done);
}

static UfStatus draw_episode(const UfPpoRenderOptions* o, UfPpo* ppo, const UfPpoPolicy* policy,
                             const char* env, NxRender* out) {
    const UfTrainSpace* space = uf_ppo_policy_space(policy);
    const UfPpoConfig* config = uf_ppo_config(ppo, 0);
    const UfEnvSpec* spec;
    const UfPpoEnvsOptions options = {env, config, 1, &o->seed, 1, UF_PPO_EVALUATION};
    real action, noise, reward;
    uint8_t done;
    Player player = {.e = {.policy = policy,
                           .space = space,
                           .seed = (uint64_t)o->seed,
                           .greedy = o->greedy,
                           .numbers = 1,
                           .action = &action,
                           .noise = &noise,
                           .reward = &reward,
                           .done = &done}};
    UF_TRY(uf_ppo_envs_create(&player.envs, &spec, &options));
    UfStatus status = !player.envs->space.bytes
                          ? UF_FAIL(UF_ERR_UNSUPPORTED, "%s: render draws agents of PPO in gridworlds",
                                    spec ? spec->name : env)
                          : same_space(space, &player.envs->space, env);
    if (status == UF_OK) status = UF_ALLOC(&player.e.obs, space->obs_dim, "an observation");
    if (status == UF_OK) status = UF_ALLOC(&player.e.scratch, uf_ppo_policy_scratch(policy, 1), "scratch");
    if (status == UF_OK) status = player.envs->ops->reset(player.envs, 0, player.e.obs);
    const NxRenderOptions render = {.ids = &env,
                                    .num_ids = 1,
                                    .seed = uf_ppo_env_seed(o->seed, UF_PPO_EVALUATION),
                                    .num_steps = o->num_steps,
                                    .act = choose,
                                    .user = &player,
                                    .max_steps = (int)config->max_steps,
                                    .tile_size = o->tile_size,
                                    .first_person = o->first_person,
                                    .output = o->output};
    if (status == UF_OK) status = nx_render(&render, out);
    uf_free(player.e.obs);
    uf_free(player.e.scratch);
    uf_train_envs_free(player.envs);
    return status;
}

UfStatus uf_ppo_render(const UfPpoRenderOptions* o, NxRender* out, char env[UF_STRING_BYTES]) {
    char path[UF_PATH_BYTES];
    UfPpoPolicy* policy = NULL;
    UfPpo* ppo;
    UF_TRY(checkpoint_path(o->checkpoint, path, sizeof path));
    UF_TRY(uf_ppo_load(&ppo, path, NULL, 1, true));
    snprintf(env, UF_STRING_BYTES, "%s", o->env ? o->env : uf_ppo_config(ppo, 0)->env);
    UfStatus status = uf_ppo_policy_create(&policy, ppo, 0);
    if (status == UF_OK) status = draw_episode(o, ppo, policy, env, out);
    uf_ppo_policy_free(policy);
    uf_ppo_free(ppo);
    return status;
}

static bool is_set(const UfParam* param) {
    (void)param;
    return true;
}

UfStatus uf_ppo_info(const char* name, char** text) {
    char path[UF_PATH_BYTES], value[UF_STRING_BYTES];
    UfPpo* ppo;
    UfText out = {0};
    UfPpoConfig* left = NULL;  // what differs from the defaults, row by row
    *text = NULL;
    UF_TRY(checkpoint_path(name, path, sizeof path));
    UF_TRY(uf_ppo_load(&ppo, path, NULL, 1, true));
    const UfTrainSpace* space = uf_ppo_space(ppo);
    uf_text_add(&out, "%-14s %s\n%-14s PPO, %d member%s\n", "file", path, "checkpoint",
                uf_ppo_population(ppo), uf_ppo_population(ppo) == 1 ? "" : "s");
    uf_text_add(&out, "%-14s %" PRId64 "\n%-14s %d%s\n%-14s %d %s\n", "iteration", uf_ppo_iteration(ppo),
                "observations", space->obs_dim, space->bytes ? " bytes" : "", "actions", space->action_dim,
                space->discrete ? "kinds" : "numbers");
    UfStatus status = uf_table_create(&uf_ppo_table, (void**)&left);
    const UfParam* p;
    uf_text_add(&out, "settings that are not the defaults:\n");
    while (status == UF_OK && (p = uf_table_difference(&uf_ppo_table, uf_ppo_config(ppo, 0), left, is_set))) {
        uf_param_format(uf_ppo_config(ppo, 0), p, value, sizeof value);
        uf_text_add(&out, "  %-20s %s\n", p->name, value);
        status = uf_table_set(&uf_ppo_table, left, p->name, value);
    }
    uf_free(left);
    uf_ppo_free(ppo);
    if (status != UF_OK) out.status = status;
    return uf_text_finish(&out, text);
}
