// ppo_envs.c: see ppo_envs.h.
//
// Rooms: gridworlds, others, synthetic ones, making.
#include "ppo_envs.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>  // access

#include "../navix.h"
#include "../synthenv.h"
#include "grid_device.h"

_Static_assert(sizeof(real) == sizeof(float), "environments speak float");

uint64_t uf_ppo_env_seed(int64_t seed, UfPpoPurpose purpose) {
    const UfPhilox w = uf_philox((uint64_t)seed, UF_STREAM_PPO_ENV, (uint64_t)purpose, 0);
    return (uint64_t)w.v[0] << 32 | w.v[1];
}

static uint64_t seed_of(const UfPpoEnvsOptions* o, int member) {
    return uf_ppo_env_seed(o->seeds[member], o->purpose);
}

// ---- gridworlds ----

typedef struct Grids {
    UfTrainEnvs base;
    int population, num_envs;
    char id[UF_STRING_BYTES];
    NxOptions options;
    NxBatch** batches;  // (population)
    NxBatch*
        moved;  // to a device: all members' one behind another, and then the batches are history.   Nullable
    uint8_t* actions;    // (population, num_envs)
    uint8_t* truncated;  // likewise
} Grids;

static UfStatus grids_reset(UfTrainEnvs* envs, int member, void* obs) {
    return nx_reset(((Grids*)envs)->batches[member], &(NxOutput){.obs = obs});
}

static UfStatus grids_step(UfTrainEnvs* envs, int member, const real* action, void* obs, real* reward,
                           uint8_t* done) {
    const Grids* g = (const Grids*)envs;
    const size_t first = (size_t)member * (size_t)g->num_envs;
    uint8_t *actions = g->actions + first, *truncated = g->truncated + first;
    for (int n = 0; n < g->num_envs; n++) actions[n] = (uint8_t)action[n];
    const NxOutput out = {.obs = obs, .reward = reward, .terminated = done, .truncated = truncated};
    UF_TRY(nx_step(g->batches[member], actions, &out));
    for (int n = 0; n < g->num_envs; n++) done[n] |= truncated[n];
    return UF_OK;
}

static size_t grids_state_bytes(const UfTrainEnvs* envs) {
    return nx_save_bytes(((const Grids*)envs)->batches[0]);
}

static UfStatus grids_get_states(const UfTrainEnvs* envs, void* states) {
    return nx_save(((const Grids*)envs)->moved, states);
}

static UfStatus grids_get_state(const UfTrainEnvs* envs, int member, void* state) {
    const Grids* g = (const Grids*)envs;
    const size_t bytes = grids_state_bytes(envs);
    char* all;
    if (!g->moved) return nx_save(g->batches[member], state);
    UF_TRY(UF_ALLOC(&all, (size_t)g->population * bytes, "states of gridworlds"));
    const UfStatus status = grids_get_states(envs, all);
    memcpy(state, all + (size_t)member * bytes, bytes);
    uf_free(all);
    return status;
}

static UfStatus grids_set_state(UfTrainEnvs* envs, int member, const void* state, const char* label) {
    const UfStatus status = nx_restore(((Grids*)envs)->batches[member], state);
    return status == UF_OK ? UF_OK : uf_fail_prefix(status, label);
}

// An environment's randomness lies in its state, so the states of members make one batch.
static UfStatus grids_move(UfTrainEnvs* envs, UfBackend* backend) {
    Grids* g = (Grids*)envs;
    const size_t bytes = grids_state_bytes(envs);
    NxBatch* batch = NULL;
    char* states;
    UF_TRY(UF_ALLOC(&states, (size_t)g->population * bytes, "states of gridworlds"));
    UfStatus status = UF_OK;
    for (int p = 0; p < g->population && status == UF_OK; p++)
        status = grids_get_state(envs, p, states + (size_t)p * bytes);
    if (status == UF_OK)
        status = nx_create_on(&batch, backend, g->id, (int64_t)g->population * g->num_envs, 0, &g->options);
    if (status == UF_OK) status = nx_restore(batch, states);
    uf_free(states);
    if (status != UF_OK) {
        nx_free(batch);
        return status;
    }
    nx_free(g->moved);
    g->moved = batch;
    return UF_OK;
}

static UfStatus grids_reset_all(UfTrainEnvs* envs, void* obs) {
    return nx_reset(((Grids*)envs)->moved, &(NxOutput){.obs = obs});
}

static UfStatus grids_step_all(UfTrainEnvs* envs, const void* action, void* obs, real* reward,
                               uint8_t* terminated, uint8_t* truncated) {
    const NxOutput out = {.obs = obs, .reward = reward, .terminated = terminated, .truncated = truncated};
    return nx_step(((Grids*)envs)->moved, action, &out);
}

static void grids_free(UfTrainEnvs* envs) {
    Grids* g = (Grids*)envs;
    nx_free(g->moved);
    for (int p = 0; g->batches && p < g->population; p++) nx_free(g->batches[p]);
    uf_free(g->batches);
    uf_free(g->actions);
    uf_free(g->truncated);
    uf_free(g);
}

static const UfTrainEnvsOps grids_ops = {.reset = grids_reset,
                                         .step = grids_step,
                                         .state_bytes = grids_state_bytes,
                                         .get_state = grids_get_state,
                                         .set_state = grids_set_state,
                                         .free = grids_free,
                                         .move = grids_move,
                                         .reset_all = grids_reset_all,
                                         .step_all = grids_step_all,
                                         .get_states = grids_get_states};

static UfStatus fill_grids(Grids* g, const UfPpoEnvsOptions* o) {
    NxOptions* options = &g->options;
    char name[64];
    const size_t count = (size_t)o->population * (size_t)o->num_envs;
    nx_default_options(options);
    snprintf(g->id, sizeof g->id, "%s", o->env);
    uf_param_format(o->config, uf_table_find(&uf_ppo_table, "observation"), name, sizeof name);
    UF_TRY(nx_find_observation(&options->observation, name));
    options->max_steps = (int)o->config->max_steps;
    options->autoreset = NX_SAME_STEP;
    options->num_threads = 1;  // the threads of PPO are those of its backend
    UF_TRY(UF_ALLOC(&g->batches, o->population, "gridworlds"));
    UF_TRY(UF_ALLOC(&g->actions, count, "actions"));
    UF_TRY(UF_ALLOC(&g->truncated, count, "ends of episodes"));
    for (int p = 0; p < o->population; p++)
        UF_TRY(nx_create(&g->batches[p], o->env, o->num_envs, seed_of(o, p), options));
    const NxShape shape = nx_shape(g->batches[0]);
    g->base.space = (UfTrainSpace){
        .obs_dim = (int)shape.bytes, .action_dim = NX_NUM_ACTIONS, .bytes = true, .discrete = true};
    return UF_OK;
}

static UfStatus create_grids(UfTrainEnvs** out, const UfPpoEnvsOptions* o) {
    Grids* g;
    UF_TRY(UF_ALLOC(&g, 1, "gridworlds"));
    g->base.ops = &grids_ops;
    g->population = o->population;
    g->num_envs = o->num_envs;
    *out = &g->base;
    return fill_grids(g, o);
}

// ---- others ----

// One environment, its episode and what was done in it so far: enough to act it out again, whatever it is.
typedef struct Single {
    UfEnv* env;
    int64_t episode;  // of the member's: number n + k * num_envs is environment n's k-th
    int64_t steps;
    float* actions;  // (max_steps, action numbers)
} Single;

typedef struct Singles {
    UfTrainEnvs base;
    const UfEnvSpec* spec;
    int population, num_envs, numbers;  // numbers of an action
    uint64_t* seeds;
    Single* envs;  // (population, num_envs)
} Singles;

static Single* single_at(const Singles* s, int member, int n) {
    return &s->envs[(size_t)member * (size_t)s->num_envs + (size_t)n];
}

static void begin(const Singles* s, int member, Single* e, int64_t episode, float* obs) {
    e->episode = episode;
    e->steps = 0;
    uf_env_reset(e->env, s->seeds[member], (uint64_t)episode, obs);
}

static UfStatus singles_reset(UfTrainEnvs* envs, int member, void* obs) {
    const Singles* s = (const Singles*)envs;
    for (int n = 0; n < s->num_envs; n++)
        begin(s, member, single_at(s, member, n), n, (float*)obs + (size_t)n * (size_t)s->base.space.obs_dim);
    return UF_OK;
}

// Continuous actions are clipped for the environment; what is stored of them is what the policy drew.
static bool step_single(const Singles* s, Single* e, const float* action, float* obs, double* reward) {
    float* kept = e->actions + e->steps * s->numbers;
    bool terminated, truncated;
    for (int i = 0; i < s->numbers; i++)
        kept[i] =
            s->spec->discrete ? action[i] : uf_clip(action[i], s->spec->action_low, s->spec->action_high);
    e->steps++;
    uf_env_step(e->env, kept, obs, reward, &terminated, &truncated);
    return terminated || truncated || e->steps == s->spec->max_steps;
}

static UfStatus singles_step(UfTrainEnvs* envs, int member, const real* action, void* obs, real* reward,
                             uint8_t* done) {
    const Singles* s = (const Singles*)envs;
    for (int n = 0; n < s->num_envs; n++) {
        Single* e = single_at(s, member, n);
        float* next = (float*)obs + (size_t)n * (size_t)s->base.space.obs_dim;
        double r;
        done[n] = step_single(s, e, action + (size_t)n * (size_t)s->numbers, next, &r);
        reward[n] = (real)r;
        if (done[n]) begin(s, member, e, e->episode + s->num_envs, next);
    }
    return UF_OK;
}

// episode, steps, actions of each environment
static size_t single_bytes(const Singles* s) {
    return 2 * sizeof(int64_t) + (size_t)s->spec->max_steps * (size_t)s->numbers * sizeof(float);
}

static size_t singles_state_bytes(const UfTrainEnvs* envs) {
    const Singles* s = (const Singles*)envs;
    return (size_t)s->num_envs * single_bytes(s);
}

static UfStatus singles_get_state(const UfTrainEnvs* envs, int member, void* state) {
    const Singles* s = (const Singles*)envs;
    const size_t bytes = single_bytes(s);
    for (int n = 0; n < s->num_envs; n++) {
        const Single* e = single_at(s, member, n);
        char* to = (char*)state + (size_t)n * bytes;
        memset(to, 0, bytes);
        memcpy(to, &e->episode, sizeof e->episode);
        memcpy(to + 8, &e->steps, sizeof e->steps);
        memcpy(to + 16, e->actions, (size_t)(e->steps * s->numbers) * sizeof *e->actions);
    }
    return UF_OK;
}

static UfStatus singles_set_state(UfTrainEnvs* envs, int member, const void* state, const char* label) {
    const Singles* s = (const Singles*)envs;
    const size_t bytes = single_bytes(s);
    float *obs, *actions;
    UF_TRY(UF_ALLOC(&obs, s->base.space.obs_dim, "an observation"));
    UfStatus status =
        UF_ALLOC(&actions, (size_t)s->spec->max_steps * (size_t)s->numbers, "actions of an episode");
    for (int n = 0; n < s->num_envs && status == UF_OK; n++) {
        Single* e = single_at(s, member, n);
        const char* from = (const char*)state + (size_t)n * bytes;
        int64_t episode, steps;
        double reward;
        memcpy(&episode, from, sizeof episode);
        memcpy(&steps, from + 8, sizeof steps);
        if (episode < 0 || steps < 0 || steps >= s->spec->max_steps) {
            status = UF_FAIL(UF_ERR_FORMAT,
                             "%s: environment %d is at step %lld of an episode of at most %d; the file "
                             "is damaged",
                             label, n, (long long)steps, s->spec->max_steps);
            break;
        }
        memcpy(actions, from + 16, (size_t)(steps * s->numbers) * sizeof *actions);
        begin(s, member, e, episode, obs);
        for (int64_t k = 0; k < steps; k++) step_single(s, e, actions + k * s->numbers, obs, &reward);
    }
    uf_free(obs);
    uf_free(actions);
    return status;
}

static void singles_free(UfTrainEnvs* envs) {
    Singles* s = (Singles*)envs;
    for (size_t i = 0; s->envs && i < (size_t)s->population * (size_t)s->num_envs; i++) {
        uf_env_free(s->envs[i].env);
        uf_free(s->envs[i].actions);
    }
    uf_free(s->envs);
    uf_free(s->seeds);
    uf_free(s);
}

static const UfTrainEnvsOps singles_ops = {.reset = singles_reset,
                                           .step = singles_step,
                                           .state_bytes = singles_state_bytes,
                                           .get_state = singles_get_state,
                                           .set_state = singles_set_state,
                                           .free = singles_free};

static UfStatus fill_singles(Singles* s, const UfPpoEnvsOptions* o) {
    const size_t actions = (size_t)s->spec->max_steps * (size_t)s->numbers;
    UF_TRY(UF_ALLOC(&s->seeds, o->population, "seeds"));
    UF_TRY(UF_ALLOC(&s->envs, (size_t)o->population * (size_t)o->num_envs, "environments"));
    for (int p = 0; p < o->population; p++) s->seeds[p] = seed_of(o, p);
    for (size_t i = 0; i < (size_t)o->population * (size_t)o->num_envs; i++) {
        UF_TRY(uf_env_create(&s->envs[i].env, s->spec->name));
        UF_TRY(UF_ALLOC(&s->envs[i].actions, actions, "actions of an episode"));
    }
    return UF_OK;
}

static UfStatus refuse_grid_options(const UfPpoEnvsOptions* o, const char* name) {
    if (o->config->observation == 0 && o->config->max_steps == 0) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG,
                   "%s: is for gridworlds; %s has one kind of observation and its own step limit",
                   o->config->observation ? "observation" : "max_steps", name);
}

static UfStatus create_singles(UfTrainEnvs** out, const UfEnvSpec* spec, const UfPpoEnvsOptions* o) {
    Singles* s;
    UF_TRY(uf_env_available(spec));
    UF_TRY(refuse_grid_options(o, spec->name));
    UF_TRY(UF_ALLOC(&s, 1, "environments"));
    s->base.ops = &singles_ops;
    s->base.space = (UfTrainSpace){.obs_dim = spec->obs_dim,
                                   .action_dim = spec->action_dim,
                                   .discrete = spec->discrete,
                                   .action_low = spec->action_low,
                                   .action_high = spec->action_high};
    s->spec = spec;
    s->population = o->population;
    s->num_envs = o->num_envs;
    s->numbers = spec->discrete ? 1 : spec->action_dim;
    *out = &s->base;
    return fill_singles(s, o);
}

// ---- synthetic ones ----

typedef struct Synths {
    UfTrainEnvs base;
    SeEnv* env;  // one for all: it has no state
    int num_envs, numbers;
    uint64_t *seeds, *draws;  // (population): draws made so far
    float* obs;               // (population, num_envs, O)
    float* actions;           // (population, num_envs, numbers) as the environment gets them
    int32_t* steps;           // (population, num_envs)
} Synths;

static size_t synth_row(const Synths* s, int member) { return (size_t)member * (size_t)s->num_envs; }

static UfStatus synths_reset(UfTrainEnvs* envs, int member, void* obs) {
    const Synths* s = (const Synths*)envs;
    const size_t first = synth_row(s, member), O = (size_t)s->base.space.obs_dim, N = (size_t)s->num_envs;
    const SeDraw draw = {.seed = s->seeds[member]};
    s->draws[member] = 1;
    memset(s->steps + first, 0, N * sizeof *s->steps);
    se_reset(s->env, &draw, s->num_envs, s->obs + first * O);
    memcpy(obs, s->obs + first * O, N * O * sizeof *s->obs);
    return UF_OK;
}

static UfStatus synths_step(UfTrainEnvs* envs, int member, const real* action, void* obs, real* reward,
                            uint8_t* done) {
    const Synths* s = (const Synths*)envs;
    const SeOptions* o = se_options(s->env);
    const size_t first = synth_row(s, member), O = (size_t)s->base.space.obs_dim, N = (size_t)s->num_envs,
                 A = (size_t)s->numbers;
    const SeDraw draw = {.seed = s->seeds[member], .step = s->draws[member]++};
    float *now = s->obs + first * O, *actions = s->actions + first * A;
    for (size_t i = 0; i < N * A; i++)
        actions[i] = o->discrete ? action[i] : uf_clip(action[i], o->action_low, o->action_high);
    se_step(s->env, &draw, s->num_envs, now, actions, s->steps + first, now, reward, done);
    memcpy(obs, now, N * O * sizeof *now);
    return UF_OK;
}

// draws, then steps and observation of each environment
static size_t synths_state_bytes(const UfTrainEnvs* envs) {
    const Synths* s = (const Synths*)envs;
    return sizeof *s->draws +
           (size_t)s->num_envs * (sizeof *s->steps + (size_t)s->base.space.obs_dim * sizeof *s->obs);
}

static UfStatus synths_get_state(const UfTrainEnvs* envs, int member, void* state) {
    const Synths* s = (const Synths*)envs;
    const size_t first = synth_row(s, member), N = (size_t)s->num_envs, O = (size_t)s->base.space.obs_dim;
    char* to = state;
    memcpy(to, &s->draws[member], sizeof *s->draws);
    to += sizeof *s->draws;
    memcpy(to, s->steps + first, N * sizeof *s->steps);
    memcpy(to + N * sizeof *s->steps, s->obs + first * O, N * O * sizeof *s->obs);
    return UF_OK;
}

static UfStatus synths_set_state(UfTrainEnvs* envs, int member, const void* state, const char* label) {
    const Synths* s = (const Synths*)envs;
    const size_t first = synth_row(s, member), N = (size_t)s->num_envs, O = (size_t)s->base.space.obs_dim;
    const int most = se_options(s->env)->max_steps;
    const char* from = (const char*)state + sizeof *s->draws;
    memcpy(&s->draws[member], state, sizeof *s->draws);
    memcpy(s->steps + first, from, N * sizeof *s->steps);
    memcpy(s->obs + first * O, from + N * sizeof *s->steps, N * O * sizeof *s->obs);
    for (size_t n = 0; n < N; n++)
        if (s->steps[first + n] < 0 || s->steps[first + n] >= most)
            return UF_FAIL(
                UF_ERR_FORMAT,
                "%s: environment %zu is at step %d of an episode of at most %d; the file is damaged", label,
                n, s->steps[first + n], most);
    for (size_t i = first * O; i < (first + N) * O; i++)
        if (!uf_is_finite(s->obs[i]))
            return UF_FAIL(UF_ERR_FORMAT,
                           "%s: an observation has a number that is not finite; the file is damaged", label);
    return UF_OK;
}

static void synths_free(UfTrainEnvs* envs) {
    Synths* s = (Synths*)envs;
    se_free(s->env);
    uf_free(s->seeds);
    uf_free(s->draws);
    uf_free(s->obs);
    uf_free(s->actions);
    uf_free(s->steps);
    uf_free(s);
}

static const UfTrainEnvsOps synths_ops = {.reset = synths_reset,
                                          .step = synths_step,
                                          .state_bytes = synths_state_bytes,
                                          .get_state = synths_get_state,
                                          .set_state = synths_set_state,
                                          .free = synths_free};

static UfStatus fill_synths(Synths* s, const UfPpoEnvsOptions* o) {
    UF_TRY(refuse_grid_options(o, o->env));
    UF_TRY(se_read(&s->env, o->env));
    const SeOptions* se = se_options(s->env);
    const size_t rows = (size_t)o->population * (size_t)o->num_envs;
    s->base.space = (UfTrainSpace){se->obs_dim, se->action_dim, false, se->discrete != 0};
    s->num_envs = o->num_envs;
    s->numbers = se->discrete ? 1 : se->action_dim;
    UF_TRY(UF_ALLOC(&s->seeds, o->population, "seeds"));
    UF_TRY(UF_ALLOC(&s->draws, o->population, "synthetic environments"));
    UF_TRY(UF_ALLOC(&s->obs, rows * (size_t)se->obs_dim, "observations"));
    UF_TRY(UF_ALLOC(&s->actions, rows * (size_t)s->numbers, "actions"));
    UF_TRY(UF_ALLOC(&s->steps, rows, "steps of episodes"));
    for (int p = 0; p < o->population; p++) s->seeds[p] = seed_of(o, p);
    return UF_OK;
}

static UfStatus create_synths(UfTrainEnvs** out, const UfPpoEnvsOptions* o) {
    Synths* s;
    UF_TRY(UF_ALLOC(&s, 1, "synthetic environments"));
    s->base.ops = &synths_ops;
    *out = &s->base;
    return fill_synths(s, o);
}

// A file of one; names of datasets may end alike, but where there is such a file it is what is meant.
static bool is_synth(const char* name) {
    const size_t length = strlen(name);
    return length > 3 && !strcmp(name + length - 3, ".h5") && (access(name, F_OK) == 0 || !uf_env_find(name));
}

// ---- making ----

UfStatus uf_ppo_envs_create(UfTrainEnvs** out, const UfEnvSpec** spec, const UfPpoEnvsOptions* o) {
    *out = NULL;
    *spec = NULL;
    if (!o->env[0]) return UF_FAIL(UF_ERR_CONFIG, "env: is empty; name an environment with --env NAME");
    const bool synth = is_synth(o->env),
               grid = !synth && (!strncasecmp(o->env, "minigrid", 8) || !strncasecmp(o->env, "navix", 5));
    if (!grid && !synth) UF_TRY(uf_env_lookup(spec, o->env));
    const UfStatus status = synth  ? create_synths(out, o)
                            : grid ? create_grids(out, o)
                                   : create_singles(out, *spec, o);
    if (status != UF_OK) {
        uf_ppo_envs_free(*out);
        *out = NULL;
    }
    return status;
}

void uf_ppo_envs_free(UfTrainEnvs* envs) {
    if (envs) envs->ops->free(envs);
}
