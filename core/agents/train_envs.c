// train_envs.c: see train_envs.h.
//
// Rooms: all kinds, real environments, those of them on a device, synthetic ones.
#include "core/agents/train_envs.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/reserved.h"
#include "core/synth/synth.h"

_Static_assert(sizeof(real) == sizeof(float), "environments speak float");

// ---- all kinds ----

UfStatus uf_train_envs_state_there(const UfTrainEnvs* envs, int population, int member, void* state) {
    const size_t bytes = envs->ops->state_bytes(envs);
    char* all;
    UF_TRY(UF_ALLOC(&all, (size_t)population * bytes, "states of environments"));
    const UfStatus status = envs->ops->get_states(envs, all);
    if (status == UF_OK) memcpy(state, all + (size_t)member * bytes, bytes);
    uf_free(all);
    return status;
}

// ---- real environments ----

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
    Single* envs;         // (population, num_envs)
    UfReserved reserved;  // on a device that has them; then `envs` are history.   backend null: here
    UfRuleEnvs there;
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
static size_t action_count(const Singles* s) { return (size_t)s->spec->max_steps * (size_t)s->numbers; }
static size_t single_bytes(const Singles* s) { return 2 * sizeof(int64_t) + action_count(s) * sizeof(float); }

static void pack_single(const Singles* s, char* to, int64_t episode, int64_t steps, const float* actions) {
    memset(to, 0, single_bytes(s));
    memcpy(to, &episode, sizeof episode);
    memcpy(to + 8, &steps, sizeof steps);
    memcpy(to + 16, actions, (size_t)(steps * s->numbers) * sizeof *actions);
}

static size_t singles_state_bytes(const UfTrainEnvs* envs) {
    const Singles* s = (const Singles*)envs;
    return (size_t)s->num_envs * single_bytes(s);
}

static UfStatus singles_get_state(const UfTrainEnvs* envs, int member, void* state) {
    const Singles* s = (const Singles*)envs;
    const size_t bytes = single_bytes(s);
    if (s->reserved.backend) return uf_train_envs_state_there(envs, s->population, member, state);
    for (int n = 0; n < s->num_envs; n++) {
        const Single* e = single_at(s, member, n);
        pack_single(s, (char*)state + (size_t)n * bytes, e->episode, e->steps, e->actions);
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

// ---- real environments on a device ----

// What is there of all environments: rows and actions.
static UfStatus fetch_rules(const Singles* s, UfRuleRow* rows, float* actions) {
    UfBackend* be = s->reserved.backend;
    const size_t all = (size_t)s->population * (size_t)s->num_envs;
    be->download(be, rows, s->there.rows, all * sizeof *rows);
    be->download(be, actions, s->there.actions, all * action_count(s) * sizeof *actions);
    return be->sync(be);
}

static UfStatus allocate_rules(const Singles* s, UfRuleRow** rows, float** actions) {
    const size_t all = (size_t)s->population * (size_t)s->num_envs;
    UF_TRY(UF_ALLOC(rows, all, "environments"));
    return UF_ALLOC(actions, all * action_count(s), "actions of episodes");
}

static UfStatus rules_get_states(const UfTrainEnvs* envs, void* states) {
    const Singles* s = (const Singles*)envs;
    const size_t all = (size_t)s->population * (size_t)s->num_envs, bytes = single_bytes(s);
    UfRuleRow* rows = NULL;
    float* actions = NULL;
    UfStatus status = allocate_rules(s, &rows, &actions);
    if (status == UF_OK) status = fetch_rules(s, rows, actions);
    for (size_t i = 0; i < all && status == UF_OK; i++)
        pack_single(s, (char*)states + i * bytes, rows[i].episode, rows[i].steps,
                    actions + i * action_count(s));
    uf_free(rows);
    uf_free(actions);
    return status;
}

static UfStatus reserve_rules(Singles* s, UfReserved* r, UfRuleEnvs* there) {
    static const char what[] = "environments";
    const size_t all = (size_t)s->population * (size_t)s->num_envs;
    uint64_t* seeds;
    UF_TRY(UF_RESERVE(r, seeds, s->population, what));
    UF_TRY(UF_RESERVE(r, there->rows, all, what));
    UF_TRY(UF_RESERVE(r, there->actions, all * action_count(s), what));
    r->backend->upload(r->backend, seeds, s->seeds, (size_t)s->population * sizeof *seeds);
    there->seeds = seeds;
    return UF_OK;
}

// Of environments on the host: their states are what their rules came to by the same actions.
static void rows_here(const Singles* s, const UfEnvRule* rule, UfRuleRow* rows, float* actions) {
    const size_t all = (size_t)s->population * (size_t)s->num_envs;
    for (size_t i = 0; i < all; i++, rows++) {
        const Single* e = &s->envs[i];
        rows->episode = e->episode;
        uf_rule_reset(rule, rows->state, s->seeds[i / (size_t)s->num_envs], (uint64_t)e->episode);
        for (; rows->steps < e->steps; rows->steps++) {
            double reward;
            bool terminated;
            uf_rule_step(rule, rows->state, rows->steps, e->actions + rows->steps * s->numbers, &reward,
                         &terminated);
        }
        memcpy(actions + i * action_count(s), e->actions, (size_t)(e->steps * s->numbers) * sizeof *actions);
    }
}

static UfStatus move_rules(Singles* s, UfReserved* r, UfRuleEnvs* there) {
    const size_t all = (size_t)s->population * (size_t)s->num_envs;
    UfRuleRow* rows = NULL;
    float* actions = NULL;
    UF_TRY(reserve_rules(s, r, there));
    UfStatus status = allocate_rules(s, &rows, &actions);
    if (status == UF_OK && s->reserved.backend) status = fetch_rules(s, rows, actions);
    if (status == UF_OK && !s->reserved.backend) rows_here(s, &there->rule, rows, actions);
    if (status == UF_OK) {
        r->backend->upload(r->backend, there->rows, rows, all * sizeof *rows);
        r->backend->upload(r->backend, there->actions, actions, all * action_count(s) * sizeof *actions);
        status = r->backend->sync(r->backend);
    }
    uf_free(rows);
    uf_free(actions);
    return status;
}

static UfStatus rules_move(UfTrainEnvs* envs, UfBackend* backend) {
    Singles* s = (Singles*)envs;
    UfReserved reserved = {.backend = backend};
    UfRuleEnvs there = {.P = s->population, .N = s->num_envs};
    uf_env_rule(s->spec, &there.rule);
    const UfStatus status = move_rules(s, &reserved, &there);
    UF_TRY(uf_replace_reserved(&s->reserved, &reserved, status));
    s->there = there;
    return UF_OK;
}

static UfStatus rules_reset_all(UfTrainEnvs* envs, void* obs) {
    Singles* s = (Singles*)envs;
    UfBackend* be = s->reserved.backend;
    be->step_rules(be, &s->there, NULL, obs, NULL, NULL, NULL);
    return UF_OK;
}

static UfStatus rules_step_all(UfTrainEnvs* envs, const void* action, void* obs, real* reward,
                               uint8_t* terminated, uint8_t* truncated) {
    Singles* s = (Singles*)envs;
    UfBackend* be = s->reserved.backend;
    be->step_rules(be, &s->there, action, obs, reward, terminated, truncated);
    return UF_OK;
}

static void singles_free(UfTrainEnvs* envs) {
    Singles* s = (Singles*)envs;
    uf_release_reserved(&s->reserved);
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
                                           .free = singles_free,
                                           .move = rules_move,
                                           .reset_all = rules_reset_all,
                                           .step_all = rules_step_all,
                                           .get_states = rules_get_states};

static UfStatus fill_singles(Singles* s, const uint64_t* seeds) {
    const size_t actions = (size_t)s->spec->max_steps * (size_t)s->numbers,
                 all = (size_t)s->population * (size_t)s->num_envs;
    UF_TRY(UF_ALLOC(&s->seeds, s->population, "seeds"));
    UF_TRY(UF_ALLOC(&s->envs, all, "environments"));
    memcpy(s->seeds, seeds, (size_t)s->population * sizeof *seeds);
    for (size_t i = 0; i < all; i++) {
        UF_TRY(uf_env_create(&s->envs[i].env, s->spec->name));
        UF_TRY(UF_ALLOC(&s->envs[i].actions, actions, "actions of an episode"));
    }
    return UF_OK;
}

static UfStatus finished(UfTrainEnvs** out, UfTrainEnvs* made, UfStatus status) {
    if (status != UF_OK) {
        uf_train_envs_free(made);
        return status;
    }
    *out = made;
    return UF_OK;
}

UfStatus uf_train_envs_real(UfTrainEnvs** out, const UfEnvSpec* spec, int population, int num_envs,
                            const uint64_t* seeds) {
    Singles* s;
    *out = NULL;
    UF_TRY(uf_env_available(spec));
    UF_TRY(UF_ALLOC(&s, 1, "environments"));
    UfEnvRule rule;
    s->base.ops = &singles_ops;
    s->base.moves = uf_env_rule(spec, &rule);
    s->base.space = (UfTrainSpace){.obs_dim = spec->obs_dim,
                                   .action_dim = spec->action_dim,
                                   .discrete = spec->discrete,
                                   .action_low = spec->action_low,
                                   .action_high = spec->action_high};
    s->spec = spec;
    s->population = population;
    s->num_envs = num_envs;
    s->numbers = spec->discrete ? 1 : spec->action_dim;
    return finished(out, &s->base, fill_singles(s, seeds));
}

// ---- synthetic ones ----

typedef struct Synths {
    UfTrainEnvs base;
    const SeEnv** envs;  // (population): they have no state
    SeEnv* own;          // to free at the end.   Nullable
    int population, num_envs, numbers;
    uint64_t *seeds, *draws;  // (population): draws made so far
    float* obs;               // (population, num_envs, O)
    float* actions;           // (population, num_envs, numbers) as the environment gets them
    int32_t* steps;           // (population, num_envs)
    // Since they are on a device these are what it knows, and the arrays above what was last fetched.
    UfReserved reserved;  // backend NULL: they are not
    UfSynths there;
} Synths;

static size_t synth_row(const Synths* s, int member) { return (size_t)member * (size_t)s->num_envs; }

// Numbers of a member's networks.
static size_t synth_size(const Synths* s) {
    const UfMlp* nets;
    const real* const* params;
    size_t size = 0;
    for (int n = se_networks(s->envs[0], &nets, &params); n--;) size += nets[n].size;
    return size;
}

static UfStatus synths_reset(UfTrainEnvs* envs, int member, void* obs) {
    const Synths* s = (const Synths*)envs;
    const size_t first = synth_row(s, member), O = (size_t)s->base.space.obs_dim, N = (size_t)s->num_envs;
    const SeDraw draw = {.seed = s->seeds[member]};
    s->draws[member] = 1;
    memset(s->steps + first, 0, N * sizeof *s->steps);
    se_reset(s->envs[member], &draw, s->num_envs, s->obs + first * O);
    memcpy(obs, s->obs + first * O, N * O * sizeof *s->obs);
    return UF_OK;
}

static UfStatus synths_step(UfTrainEnvs* envs, int member, const real* action, void* obs, real* reward,
                            uint8_t* done) {
    const Synths* s = (const Synths*)envs;
    const SeOptions* o = se_options(s->envs[member]);
    const size_t first = synth_row(s, member), O = (size_t)s->base.space.obs_dim, N = (size_t)s->num_envs,
                 A = (size_t)s->numbers;
    const SeDraw draw = {.seed = s->seeds[member], .step = s->draws[member]++};
    float *now = s->obs + first * O, *actions = s->actions + first * A;
    for (size_t i = 0; i < N * A; i++)
        actions[i] = o->discrete ? action[i] : uf_clip(action[i], o->action_low, o->action_high);
    se_step(s->envs[member], &draw, s->num_envs, now, actions, s->steps + first, now, reward, done);
    memcpy(obs, now, N * O * sizeof *now);
    return UF_OK;
}

// draws, then steps and observation of each environment
static size_t synths_state_bytes(const UfTrainEnvs* envs) {
    const Synths* s = (const Synths*)envs;
    return sizeof *s->draws +
           (size_t)s->num_envs * (sizeof *s->steps + (size_t)s->base.space.obs_dim * sizeof *s->obs);
}

static void copy_state(const Synths* s, int member, void* state) {
    const size_t first = synth_row(s, member), N = (size_t)s->num_envs, O = (size_t)s->base.space.obs_dim;
    char* to = state;
    memcpy(to, &s->draws[member], sizeof *s->draws);
    to += sizeof *s->draws;
    memcpy(to, s->steps + first, N * sizeof *s->steps);
    memcpy(to + N * sizeof *s->steps, s->obs + first * O, N * O * sizeof *s->obs);
}

// What a device knows comes to the host's arrays.
static UfStatus fetch(const Synths* s) {
    UfBackend* be = s->reserved.backend;
    const size_t N = (size_t)s->num_envs, rows = synth_row(s, s->population);
    uint64_t* draws;
    if (!be) return UF_OK;
    UF_TRY(UF_ALLOC(&draws, rows, "draws of synthetic environments"));
    be->download(be, draws, s->there.draws, rows * sizeof *draws);
    be->download(be, s->steps, s->there.steps, rows * sizeof *s->steps);
    be->download(be, s->obs, s->there.obs, rows * (size_t)s->base.space.obs_dim * sizeof *s->obs);
    const UfStatus status = be->sync(be);
    for (int p = 0; p < s->population && status == UF_OK; p++) s->draws[p] = draws[(size_t)p * N];
    uf_free(draws);
    return status;
}

static UfStatus synths_get_state(const UfTrainEnvs* envs, int member, void* state) {
    UF_TRY(fetch((const Synths*)envs));
    copy_state((const Synths*)envs, member, state);
    return UF_OK;
}

static UfStatus synths_get_states(const UfTrainEnvs* envs, void* states) {
    const Synths* s = (const Synths*)envs;
    UF_TRY(fetch(s));
    for (int p = 0; p < s->population; p++)
        copy_state(s, p, (char*)states + (size_t)p * synths_state_bytes(envs));
    return UF_OK;
}

static UfStatus synths_set_state(UfTrainEnvs* envs, int member, const void* state, const char* label) {
    const Synths* s = (const Synths*)envs;
    const size_t first = synth_row(s, member), N = (size_t)s->num_envs, O = (size_t)s->base.space.obs_dim;
    const int most = se_options(s->envs[member])->max_steps;
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

// All that a step reads, at `there`.
static UfStatus reserve_synths(const Synths* s, UfReserved* r, UfSynths* there) {
    static const char what[] = "synthetic environments";
    const size_t P = (size_t)s->population, rows = synth_row(s, s->population);
    UF_TRY(
        uf_reserve(r, &there->params, (there->stride ? P : 1) * synth_size(s), sizeof *there->params, what));
    UF_TRY(uf_reserve(r, &there->seeds, P, sizeof *there->seeds, what));
    UF_TRY(UF_RESERVE(r, there->draws, rows, what));
    UF_TRY(UF_RESERVE(r, there->steps, rows, what));
    return UF_RESERVE(r, there->obs, rows * (size_t)s->base.space.obs_dim, what);
}

static UfStatus send_params(const Synths* s, UfBackend* be, const UfSynths* there) {
    const size_t size = synth_size(s), P = there->stride ? (size_t)s->population : 1;
    const UfMlp* nets;
    const real* const* params;
    real *all, *to;
    UF_TRY(UF_ALLOC(&all, P * size, "parameters of synthetic environments"));
    to = all;
    for (size_t p = 0; p < P; p++) {
        const int count = se_networks(s->envs[p], &nets, &params);
        for (int n = 0; n < count; to += nets[n++].size) memcpy(to, params[n], nets[n].size * sizeof *to);
    }
    be->upload(be, (real*)there->params, all, P * size * sizeof *all);
    uf_free(all);
    return UF_OK;
}

static UfStatus send_state(const Synths* s, UfBackend* be, const UfSynths* there) {
    const size_t N = (size_t)s->num_envs, rows = synth_row(s, s->population);
    uint64_t* draws;
    UF_TRY(UF_ALLOC(&draws, rows, "draws of synthetic environments"));
    for (size_t i = 0; i < rows; i++) draws[i] = s->draws[i / N];
    be->upload(be, (uint64_t*)there->seeds, s->seeds, (size_t)s->population * sizeof *s->seeds);
    be->upload(be, there->draws, draws, rows * sizeof *draws);
    be->upload(be, there->steps, s->steps, rows * sizeof *s->steps);
    be->upload(be, there->obs, s->obs, rows * (size_t)s->base.space.obs_dim * sizeof *s->obs);
    uf_free(draws);
    return UF_OK;
}

static UfStatus synths_move(UfTrainEnvs* envs, UfBackend* be) {
    Synths* s = (Synths*)envs;
    const SeOptions* o = se_options(s->envs[0]);
    UfReserved reserved = {.backend = be};
    UfSynths there = {.P = s->population,
                      .N = s->num_envs,
                      .O = o->obs_dim,
                      .A = o->action_dim,
                      .L = o->latent_dim,
                      .discrete = o->discrete != 0,
                      .bandit = o->mode == SE_BANDIT,
                      .latent = (int)o->latent,
                      .max_steps = o->max_steps,
                      .low = o->action_low,
                      .high = o->action_high};
    const real* const* unused;
    assert(be->synth_reset && be->synth_step);
    se_networks(s->envs[0], &there.nets, &unused);
    for (int p = 1; p < s->population; p++)
        if (s->envs[p] != s->envs[0]) there.stride = synth_size(s);
    UfStatus status = fetch(s);
    if (status == UF_OK) status = reserve_synths(s, &reserved, &there);
    if (status == UF_OK) status = send_params(s, be, &there);
    if (status == UF_OK) status = send_state(s, be, &there);
    UF_TRY(uf_replace_reserved(&s->reserved, &reserved, status));
    s->there = there;
    return UF_OK;
}

static UfStatus synths_reset_all(UfTrainEnvs* envs, void* obs) {
    const Synths* s = (const Synths*)envs;
    s->reserved.backend->synth_reset(s->reserved.backend, &s->there, obs);
    return UF_OK;
}

static UfStatus synths_step_all(UfTrainEnvs* envs, const void* action, void* obs, real* reward,
                                uint8_t* terminated, uint8_t* truncated) {
    const Synths* s = (const Synths*)envs;
    s->reserved.backend->synth_step(s->reserved.backend, &s->there, action, obs, reward, terminated,
                                    truncated);
    return UF_OK;
}

static void synths_free(UfTrainEnvs* envs) {
    Synths* s = (Synths*)envs;
    uf_release_reserved(&s->reserved);
    se_free(s->own);
    uf_free(s->envs);
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
                                          .free = synths_free,
                                          .move = synths_move,
                                          .reset_all = synths_reset_all,
                                          .step_all = synths_step_all,
                                          .get_states = synths_get_states};

// Not where members differ in more than parameters, or there are too many kinds of action for a byte.
static bool may_move(const SeEnv* const* envs, int population) {
    const SeOptions* o = se_options(envs[0]);
    for (int p = 1; p < population; p++) {
        const SeOptions* other = se_options(envs[p]);
        if (other->mode != o->mode || other->latent != o->latent || other->latent_dim != o->latent_dim ||
            other->width != o->width || other->max_steps != o->max_steps ||
            other->action_low != o->action_low || other->action_high != o->action_high)
            return false;
    }
    return !o->discrete || o->action_dim <= UINT8_MAX + 1;
}

static UfStatus fill_synths(Synths* s, const SeEnv* const* envs, int population, const uint64_t* seeds) {
    const size_t P = (size_t)population, rows = P * (size_t)s->num_envs;
    UF_TRY(UF_ALLOC(&s->envs, P, "synthetic environments"));
    UF_TRY(UF_ALLOC(&s->seeds, P, "seeds"));
    UF_TRY(UF_ALLOC(&s->draws, P, "synthetic environments"));
    UF_TRY(UF_ALLOC(&s->obs, rows * (size_t)s->base.space.obs_dim, "observations"));
    UF_TRY(UF_ALLOC(&s->actions, rows * (size_t)s->numbers, "actions"));
    UF_TRY(UF_ALLOC(&s->steps, rows, "steps of episodes"));
    memcpy(s->seeds, seeds, P * sizeof *seeds);
    for (size_t p = 0; p < P; p++) s->envs[p] = envs[p];
    return UF_OK;
}

UfStatus uf_train_envs_synthetic(UfTrainEnvs** out, const SeEnv* const* envs, int population, int num_envs,
                                 const uint64_t* seeds) {
    const SeOptions* o = se_options(envs[0]);
    Synths* s;
    *out = NULL;
    UF_TRY(UF_ALLOC(&s, 1, "synthetic environments"));
    s->base.ops = &synths_ops;
    s->base.moves = may_move(envs, population);
    s->base.space = (UfTrainSpace){.obs_dim = o->obs_dim,
                                   .action_dim = o->action_dim,
                                   .discrete = o->discrete != 0,
                                   .action_low = o->action_low,
                                   .action_high = o->action_high,
                                   .always_done = o->mode == SE_BANDIT};
    s->population = population;
    s->num_envs = num_envs;
    s->numbers = o->discrete ? 1 : o->action_dim;
    return finished(out, &s->base, fill_synths(s, envs, population, seeds));
}

static UfStatus all_of_one(UfTrainEnvs** out, SeEnv* env, int population, int num_envs,
                           const uint64_t* seeds) {
    const SeEnv** envs;
    UF_TRY(UF_ALLOC(&envs, population, "synthetic environments"));
    for (int p = 0; p < population; p++) envs[p] = env;
    const UfStatus status = uf_train_envs_synthetic(out, envs, population, num_envs, seeds);
    uf_free(envs);
    if (status == UF_OK) ((Synths*)*out)->own = env;
    return status;
}

UfStatus uf_train_envs_file(UfTrainEnvs** out, const char* path, int population, int num_envs,
                            const uint64_t* seeds) {
    SeEnv* env;
    *out = NULL;
    UF_TRY(se_read(&env, path));
    const UfStatus status = all_of_one(out, env, population, num_envs, seeds);
    if (status != UF_OK) se_free(env);
    return status;
}

void uf_train_envs_free(UfTrainEnvs* envs) {
    if (envs) envs->ops->free(envs);
}
