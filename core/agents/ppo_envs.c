// ppo_envs.c: see ppo_envs.h.
//
// Rooms: gridworlds, making.
#include "core/agents/ppo_envs.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>  // access

#include "navix.h"
#include "core/grid/grid_device.h"

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
    return g->moved ? uf_train_envs_state_there(envs, g->population, member, state)
                    : nx_save(g->batches[member], state);
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
    g->base.moves = true;
    g->population = o->population;
    g->num_envs = o->num_envs;
    *out = &g->base;
    return fill_grids(g, o);
}

// A file of one; names of datasets may end alike, but where there is such a file it is what is meant.
static bool is_synth(const char* name) {
    const size_t length = strlen(name);
    return length > 3 && !strcmp(name + length - 3, ".h5") && (access(name, F_OK) == 0 || !uf_env_find(name));
}

// ---- making ----

static UfStatus refuse_grid_options(const UfPpoEnvsOptions* o, const char* name) {
    if (o->config->observation == 0 && o->config->max_steps == 0) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG,
                   "%s: is for gridworlds; %s has one kind of observation and its own step limit",
                   o->config->observation ? "observation" : "max_steps", name);
}

// spec NULL: a file of a synthetic one.
static UfStatus create_others(UfTrainEnvs** out, const UfEnvSpec* spec, const UfPpoEnvsOptions* o) {
    uint64_t* seeds;
    UF_TRY(refuse_grid_options(o, spec ? spec->name : o->env));
    UF_TRY(UF_ALLOC(&seeds, o->population, "seeds"));
    for (int p = 0; p < o->population; p++) seeds[p] = seed_of(o, p);
    const UfStatus status = spec ? uf_train_envs_real(out, spec, o->population, o->num_envs, seeds)
                                 : uf_train_envs_file(out, o->env, o->population, o->num_envs, seeds);
    uf_free(seeds);
    return status;
}

UfStatus uf_ppo_envs_create(UfTrainEnvs** out, const UfEnvSpec** spec, const UfPpoEnvsOptions* o) {
    *out = NULL;
    *spec = NULL;
    if (!o->env[0]) return UF_FAIL(UF_ERR_CONFIG, "env: is empty; name an environment with --env NAME");
    const bool synth = is_synth(o->env),
               grid = !synth && (!strncasecmp(o->env, "minigrid", 8) || !strncasecmp(o->env, "navix", 5));
    if (!grid && !synth) UF_TRY(uf_env_lookup(spec, o->env));
    if (!grid) return create_others(out, *spec, o);
    const UfStatus status = create_grids(out, o);
    if (status != UF_OK) {
        uf_train_envs_free(*out);
        *out = NULL;
    }
    return status;
}
