// online.c: training from nothing: an environment, the buffer that its transitions fill, and updates in step
// with it; and the datasets that such a run leaves.
//
// The buffer is a UfDataset (dataset.h) whose records are written in place and whose num_rows grows. Its file
// holds no state of the environment: a resumed run replays the episode that was under way from its actions.
//
// Rooms: buffer, environment steps, training, file, datasets.
#include "core/runs/online.h"

#include <math.h>
#include <stdio.h>  // snprintf
#include <string.h>

#include "core/agents/policy.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/runs/collect.h"
#include "core/runs/run_folder.h"

struct UfOnline {
    UfConfig config;
    const UfEnvSpec* spec;
    UfEnv* env;
    UfPolicy* policy;  // a copy of the actor to act with.   NULL before the first update
    UfDataset* buffer;
    int64_t capacity;
    uint8_t *terminals, *timeouts;           // (capacity)
    uint64_t episode;                        // the one under way
    int64_t episode_start;                   // its first row
    int64_t num_diverged;                    // steps that are not in the buffer
    float *obs, *noise, *action, *next_obs;  // obs: where the environment is
};

// ---- buffer ----

UfDataset* uf_online_buffer(UfOnline* o) { return o->buffer; }

int64_t uf_online_num_diverged(const UfOnline* o) { return o->num_diverged; }

int64_t uf_online_steps(const UfConfig* c, int64_t num_updates) {
    return c->start_steps + (num_updates + c->updates_per_step - 1) / c->updates_per_step;
}

static UfStatus reserve(UfOnline* o) {
    const UfEnvSpec* spec = o->spec;
    const int64_t n = o->capacity;
    UF_TRY(UF_ALLOC(&o->buffer, 1, "the replay buffer"));
    UfDataset* d = o->buffer;
    d->obs_dim = spec->obs_dim;
    d->action_dim = spec->action_dim;
    d->stride = d->obs_dim + d->action_dim + 3;
    d->capacity = n;
    d->has_timeouts = true;
    d->file_item_bytes = sizeof(float);
    snprintf(d->hash, sizeof d->hash, "none: trained online");
    UF_TRY(uf_strdup(&d->path, ""));
    UF_TRY(uf_strdup(&d->env_id, spec->name));
    UF_TRY(UF_ALLOC(&d->records, n * d->stride, "the replay buffer"));
    UF_TRY(UF_ALLOC(&d->next_obs, n * d->obs_dim, "the replay buffer"));
    UF_TRY(UF_ALLOC(&o->terminals, n, "the replay buffer"));
    UF_TRY(UF_ALLOC(&o->timeouts, n, "the replay buffer"));
    UF_TRY(UF_ALLOC(&o->obs, d->obs_dim, "an observation"));
    UF_TRY(UF_ALLOC(&o->next_obs, d->obs_dim, "an observation"));
    UF_TRY(UF_ALLOC(&o->noise, d->action_dim, "an action"));
    UF_TRY(UF_ALLOC(&o->action, d->action_dim, "an action"));
    UF_TRY(uf_env_create(&o->env, spec->name));
    uf_env_reset(o->env, (uint64_t)o->config.seed, 0, o->obs);
    return UF_OK;
}

UfStatus uf_online_create(UfOnline** out, const UfConfig* config) {
    const UfEnvSpec* spec;
    UfOnline* o;
    *out = NULL;
    UF_TRY(uf_env_lookup(&spec, config->env));
    if (spec->discrete)
        return UF_FAIL(UF_ERR_UNSUPPORTED, "%s has discrete actions; online training needs continuous ones",
                       spec->name);
    if (config->num_updates > INT64_C(1) << 40)
        return UF_FAIL(UF_ERR_CONFIG, "num_updates: %lld updates need a replay buffer that no machine holds",
                       (long long)config->num_updates);
    UF_TRY(UF_ALLOC(&o, 1, "online training"));
    o->config = *config;
    o->spec = spec;
    o->capacity = uf_online_steps(config, config->num_updates);
    UfStatus status = reserve(o);
    if (status == UF_OK)
        *out = o;
    else
        uf_online_free(o);
    return status;
}

void uf_online_free(UfOnline* o) {
    if (!o) return;
    void* all[] = {o->terminals, o->timeouts, o->obs, o->noise, o->action, o->next_obs};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    if (o->env) uf_env_free(o->env);
    uf_policy_free(o->policy);
    uf_dataset_free(o->buffer);
    uf_free(o);
}

static float* record_at(const UfOnline* o, int64_t row) {
    return o->buffer->records + row * o->buffer->stride;
}
static float* tail_of(const UfOnline* o, int64_t row) {  // reward, done, has_next
    return record_at(o, row) + o->buffer->obs_dim + o->buffer->action_dim;
}
static bool ends_at(const UfOnline* o, int64_t row) { return o->terminals[row] || o->timeouts[row]; }

// Says that rows [0, count) are there. The newest row has no next action yet.
static void set_count(UfOnline* o, int64_t count) {
    UfDataset* d = o->buffer;
    if (count > 1) tail_of(o, count - 2)[2] = !ends_at(o, count - 2);
    if (count > 0) tail_of(o, count - 1)[2] = 0;
    d->num_records = d->num_rows = count;
}

// ---- environment steps ----

// The action of environment step t in [-1, 1].
static UfStatus choose_action(UfOnline* o, int64_t t, float* action) {
    const UfConfig* c = &o->config;
    const int num_actions = o->spec->action_dim;
    UfRandom random = uf_random((uint64_t)c->seed, UF_STREAM_EXPLORE, (uint64_t)t);
    if (t < c->start_steps) {
        for (int i = 0; i < num_actions; i++) action[i] = (float)uf_random_uniform(&random, -1, 1);
        return UF_OK;
    }
    for (int i = 0; i < num_actions; i++) o->noise[i] = uf_random_normal(&random);
    UF_TRY(uf_policy_act_normalised(o->policy, action, o->obs, 1, o->noise));
    for (int i = 0; i < num_actions; i++) {
        if (!isfinite(action[i])) action[i] = 0;  // as in evaluation
        if (c->exploration_noise > 0) action[i] += (float)c->exploration_noise * uf_random_normal(&random);
        action[i] = fminf(fmaxf(action[i], -1), 1);
    }
    return UF_OK;
}

// Takes an action to the environment, which is at next_obs then.
static void act(UfOnline* o, const float* action, float* reward, bool* terminated, bool* truncated) {
    double precise;
    uf_env_scale_action(o->spec, action, o->action);
    uf_env_step(o->env, o->action, o->next_obs, &precise, terminated, truncated);
    *reward = (float)precise;
}

static void next_episode(UfOnline* o, int64_t first_row) {
    uf_env_reset(o->env, (uint64_t)o->config.seed, ++o->episode, o->obs);
    o->episode_start = first_row;
}

// Goes on from next_obs, or in a new episode where `row` was the last of its own.
static void move_on(UfOnline* o, int64_t row) {
    memcpy(o->obs, o->next_obs, (size_t)o->spec->obs_dim * sizeof(float));
    if (ends_at(o, row)) next_episode(o, row + 1);
}

// Acts in the row after the last. *real false: the simulation failed, and what it says is no transition.
static UfStatus try_step(UfOnline* o, bool* terminated, bool* truncated, bool* real) {
    const UfDataset* d = o->buffer;
    float *record = record_at(o, d->num_rows), *tail = tail_of(o, d->num_rows);
    UF_TRY(choose_action(o, d->num_rows, record + d->obs_dim));
    memcpy(record, o->obs, (size_t)d->obs_dim * sizeof(float));
    act(o, record + d->obs_dim, &tail[0], terminated, truncated);
    *real = !o->env->diverged && isfinite(tail[0]);
    for (int i = 0; i < d->obs_dim; i++) *real = *real && isfinite(o->next_obs[i]);
    return UF_OK;
}

// The step before one that failed was the last of its episode; its next observation is good to bootstrap from,
// hence a time-out. A resumed run comes to the same: it repeats the step, or finds the time-out in the buffer.
static UfStatus end_diverged(UfOnline* o) {
    const int64_t row = o->buffer->num_rows;
    if (row == o->episode_start)
        return UF_FAIL(UF_ERR_NONFINITE,
                       "%s: the simulation diverged at step %lld, the first of an episode; nothing can be "
                       "learned there",
                       o->spec->name, (long long)row);
    o->num_diverged++;
    o->timeouts[row - 1] = 1;
    next_episode(o, row);
    return UF_OK;
}

static UfStatus step(UfOnline* o) {
    UfDataset* d = o->buffer;
    const int64_t row = d->num_rows;
    bool terminated, truncated, real;
    UF_TRY(try_step(o, &terminated, &truncated, &real));
    if (!real) {  // once more, from a start state
        UF_TRY(end_diverged(o));
        return step(o);
    }
    memcpy(d->next_obs + row * d->obs_dim, o->next_obs, (size_t)d->obs_dim * sizeof(float));
    tail_of(o, row)[1] = terminated;
    o->terminals[row] = terminated;
    o->timeouts[row] = truncated && !terminated;
    set_count(o, row + 1);
    move_on(o, row);
    return UF_OK;
}

// ---- training ----

UfStatus uf_online_start(UfOnline* o) {
    while (o->buffer->num_rows < o->config.start_steps) UF_TRY(step(o));
    return uf_dataset_measure(o->buffer);
}

UfStatus uf_online_train(UfOnline* o, UfAgent* agent, int64_t num_updates, UfUpdateFn* on_update,
                         void* user) {
    const int64_t per_step = o->config.updates_per_step;
    int64_t done = uf_agent_num_updates(agent), end = done + num_updates;
    if (o->buffer->num_rows != uf_online_steps(&o->config, done))
        return UF_FAIL(
            UF_ERR_ARGUMENT, "the replay buffer holds %lld steps, but update %lld comes after %lld",
            (long long)o->buffer->num_rows, (long long)done, (long long)uf_online_steps(&o->config, done));
    if (end > o->config.num_updates)
        return UF_FAIL(UF_ERR_ARGUMENT, "%lld updates; the replay buffer has room for those of %lld",
                       (long long)end, (long long)o->config.num_updates);
    if (!o->policy) UF_TRY(uf_policy_create(&o->policy, agent, 0));
    while (done < end) {
        if (done % per_step == 0) {
            UF_TRY(uf_policy_refresh(o->policy, agent, 0));
            UF_TRY(step(o));
        }
        int64_t next = done + per_step - done % per_step;
        if (next > end) next = end;
        UF_TRY(uf_train(agent, o->buffer, next - done, on_update, user));
        done = next;
    }
    return UF_OK;
}

// ---- file ----

static UfStatus save(const UfOnline* o, const char* path, const char* recipe) {
    const UfDataset* d = o->buffer;
    const uint64_t seed = (uint64_t)o->config.seed;
    UfDatasetWriter arrays = {.num_rows = d->num_rows,
                              .obs_dim = d->obs_dim,
                              .action_dim = d->action_dim,
                              .observations = d->records,
                              .actions = d->records + d->obs_dim,
                              .rewards = d->records + d->obs_dim + d->action_dim,
                              .stride = d->stride,
                              .next_observations = d->next_obs,
                              .terminals = o->terminals,
                              .timeouts = o->timeouts,
                              .env_id = o->spec->name,
                              .recipe = recipe,
                              .seed = &seed};
    return uf_dataset_write(path, &arrays);
}

UfStatus uf_online_save(const UfOnline* o, const char* path) {
    return save(o, path, "replay buffer of unifloral online");
}

static UfStatus read_rows(UfOnline* o, const UfH5* h5, int64_t num_rows) {
    UfDataset* d = o->buffer;
    const int num_obs = d->obs_dim, num_actions = d->action_dim, stride = d->stride;
    float* tail = d->records + num_obs + num_actions;
    UF_TRY(uf_h5_read_strided(h5, "observations", d->records, num_rows, num_obs, stride));
    UF_TRY(uf_h5_read_strided(h5, "actions", d->records + num_obs, num_rows, num_actions, stride));
    UF_TRY(uf_h5_read_strided(h5, "rewards", tail, num_rows, 1, stride));
    UF_TRY(uf_h5_read_strided(h5, "terminals", tail + 1, num_rows, 1, stride));
    UF_TRY(uf_h5_read_strided(h5, "next_observations", d->next_obs, num_rows, num_obs, num_obs));
    return uf_h5_read(h5, "timeouts", UF_H5_UINT8, o->timeouts, num_rows);
}

// Counts the episodes and acts the last one out again.
static UfStatus replay(UfOnline* o, const char* path, int64_t num_steps) {
    const UfDataset* d = o->buffer;
    const size_t obs_bytes = (size_t)d->obs_dim * sizeof(float);
    o->episode = 0;
    o->episode_start = 0;
    for (int64_t row = 0; row < num_steps; row++) {
        o->terminals[row] = tail_of(o, row)[1] != 0;
        tail_of(o, row)[2] = !ends_at(o, row);
        if (!ends_at(o, row)) continue;
        o->episode++;
        o->episode_start = row + 1;
    }
    set_count(o, num_steps);
    uf_env_reset(o->env, (uint64_t)o->config.seed, o->episode, o->obs);
    for (int64_t row = o->episode_start; row < num_steps; row++) {
        const float* record = record_at(o, row);
        float reward;
        bool terminated, truncated, same = !memcmp(record, o->obs, obs_bytes);
        act(o, record + d->obs_dim, &reward, &terminated, &truncated);
        same = same && !terminated && !truncated && reward == tail_of(o, row)[0] &&
               !memcmp(o->next_obs, d->next_obs + row * d->obs_dim, obs_bytes);
        if (!same)
            return UF_FAIL(
                UF_ERR_FORMAT,
                "%s: replaying step %lld in %s does not give what is stored; was the run made with "
                "another seed, version or machine?",
                path, (long long)row, o->spec->name);
        move_on(o, row);
    }
    return UF_OK;
}

UfStatus uf_online_load(UfOnline* o, const char* path, int64_t num_steps) {
    UfH5 h5;
    UfH5Shape shape;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = uf_h5_shape(&h5, "observations", &shape);
    if (status == UF_OK && (shape.dims[0] < num_steps || shape.dims[0] > o->capacity))
        status = UF_FAIL(UF_ERR_FORMAT, "%s: holds %lld steps, expected %lld to %lld; is it of this run?",
                         path, (long long)shape.dims[0], (long long)num_steps, (long long)o->capacity);
    if (status == UF_OK) status = read_rows(o, &h5, shape.dims[0]);
    uf_h5_close(&h5);
    return status == UF_OK ? replay(o, path, num_steps) : status;
}

// ---- datasets ----

enum { PATH_BYTES = 2 * UF_FOLDER_BYTES };

static UfStatus updates_of(const char* checkpoint, int64_t* updates) {
    UfH5 h5;
    double number = 0;
    UF_TRY(uf_h5_open(&h5, checkpoint));
    UfStatus status = uf_h5_read_number(&h5, "/", "num_updates", &number);
    uf_h5_close(&h5);
    *updates = (int64_t)number;
    return status;
}

// The buffer as it was when the policy in `checkpoint` came about.
static UfStatus write_replay(const UfConfig* config, const char* run, const char* checkpoint,
                             const char* path) {
    UfOnline* o = NULL;
    char buffer[PATH_BYTES], recipe[UF_STRING_BYTES + 128];
    int64_t updates;
    snprintf(buffer, sizeof buffer, "%s/%s", run, UF_ONLINE_BUFFER);
    UF_TRY(updates_of(checkpoint, &updates));
    UF_TRY(uf_online_create(&o, config));
    snprintf(recipe, sizeof recipe, "unifloral online: the replay buffer of %s until update %lld",
             config->algorithm, (long long)updates);
    UfStatus status = uf_online_load(o, buffer, uf_online_steps(config, updates));
    if (status == UF_OK) status = save(o, path, recipe);
    uf_online_free(o);
    return status;
}

static UfStatus make_datasets(const UfOnlineDatasets* options, const UfConfig* config, UfText* report) {
    const UfEnvSpec* spec;
    char last[PATH_BYTES], medium[PATH_BYTES], expert[PATH_BYTES], mix[3 * PATH_BYTES], path[PATH_BYTES];
    snprintf(last, sizeof last, "%s/checkpoint.h5", options->run);
    snprintf(medium, sizeof medium, "%s/%s", options->run, UF_ONLINE_MEDIUM);
    snprintf(expert, sizeof expert, "%s/%s@mean", options->run, UF_ONLINE_BEST);
    snprintf(mix, sizeof mix, "%s:0.5,%s:0.5", medium, expert);
    UF_TRY(uf_env_lookup(&spec, config->env));
    if (strchr(options->run, ','))
        return UF_FAIL(UF_ERR_ARGUMENT, "%s: a mixture cannot hold a name with a comma", options->run);
    const bool has_medium = uf_file_exists(medium);
    UfCollectOptions collect = {.env = spec->name,
                                .seed = (uint64_t)config->seed,
                                .num_threads = options->num_threads,
                                .next_observations = true};
    const struct {
        const char *kind, *policy, *mix;  // neither: the buffer
        int64_t num_steps;
        bool needs_medium;
    } rows[] = {{"medium-replay", NULL, NULL, 0, false},
                {"medium", medium, NULL, options->num_steps, true},
                {"expert", expert, NULL, options->num_steps, false},
                {"medium-expert", NULL, mix, 2 * options->num_steps, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(path, sizeof path, "%s/%s-%s.hdf5", options->output, spec->alias, rows[i].kind);
        if (rows[i].needs_medium && !has_medium) {
            uf_text_add(report, "skipped %s: no evaluation reached medium_score %g\n", path,
                        config->medium_score);
            continue;
        }
        collect.policy = rows[i].policy;
        collect.mix = rows[i].mix;
        collect.num_steps = rows[i].num_steps;
        collect.output = path;
        const bool there = uf_file_exists(path);
        if (!there)
            UF_TRY(collect.num_steps ? uf_collect(&collect)
                                     : write_replay(config, options->run, has_medium ? medium : last, path));
        uf_text_add(report, "%s %s\n", there ? "kept" : "wrote", path);
    }
    return UF_OK;
}

UfStatus uf_online_datasets(const UfOnlineDatasets* options, char** report) {
    UfConfig* config;
    UfText text = {0};
    *report = NULL;
    if (strlen(options->run) >= UF_FOLDER_BYTES || strlen(options->output) >= UF_FOLDER_BYTES)
        return UF_FAIL(UF_ERR_ARGUMENT, "%.64s..., %.64s...: a folder's name is too long", options->run,
                       options->output);
    UF_TRY(uf_run_config(&config, options->run));
    UfStatus status = config->online
                          ? uf_make_folder(options->output)
                          : UF_FAIL(UF_ERR_ARGUMENT, "%s: is no run of unifloral online", options->run);
    if (status == UF_OK) status = make_datasets(options, config, &text);
    uf_config_free(config);
    if (status == UF_OK) return uf_text_finish(&text, report);
    uf_free(text.data);
    return status;
}
