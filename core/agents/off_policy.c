// off_policy.c: DQN, SAC, DDPG and TD3 of a population, on the op set. See off_policy.h.
//
// What a member keeps (parameters, replay, observations) is an array of all of them; what it works with is the lane's that
// it is in. Members share nothing but constants: on the host a lane is a thread's, which takes one member after another
// through all iterations of a call; a device has one lane, of all members at once, whose iterations it notes once and
// repeats.
// Compiled twice: in float32, and in double precision for tests (Makefile, double.o).
// Rooms: configuration, memory, making, lanes, acting, targets, learning, iterations, what comes out.
#include "core/agents/off_policy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/envs_apart.h"
#include "core/agents/off_policy_parts.h"

enum { ACTOR = UF_OFF_ACTOR, CRITIC = UF_OFF_CRITIC, ALPHA = UF_OFF_ALPHA, GROUPS = UF_OFF_GROUPS };

typedef struct Lane Lane;

struct UfOffPolicy {
    UfBackend* backend;
    bool owns_backend;
    UfOffPolicyConfig* configs;      // (P)
    uint64_t *seeds, *device_seeds;  // (P)
    UfTrainSpace space;
    int P, N, O, A, B;
    int M;            // members of a lane: 1, or on a device all
    int kind;         // UF_OFF_* of what acts
    int num_critics;  // 1 or 2
    int Q, H;         // outputs of a critic, of an actor
    bool has_targets;
    UfMlp mlp[2];            // of ACTOR and CRITIC
    UfGroup groups[GROUPS];  // without gradients; count 0 where there is none
    UfOffRing ring;
    UfReserved reserved;
    UfOffHyper* hyper;                  // (P)
    real *lr, *polyak, *max_grad_norm;  // (P)
    real* obs;                          // (P, N, O)
    int *bad, *host_bad;                // (GROUPS, P), there and as last fetched
    int num_lanes;
    Lane* lanes;    // (num_lanes): one a thread that has work
    UfApart apart;  // on a device
    // How far all members are: iterations, optimiser steps of critics and of actors.
    struct Progress {
        int64_t iteration, critic, actor;
    } done;
    // Iterations that the device has noted: how far they come, and the iteration that they begin with when they are
    // repeated next.
    struct Recorded {
        struct Progress each;  // zeros: there are none
        int64_t next;
    } recorded;
};

// What M members work with at a time; arrays are theirs.
struct Lane {
    UfReserved reserved;
    UfOffPolicy* agents;
    struct Progress done;  // of the members
    struct Progress each;  // by which `done` grows until an op that is being noted comes again
    const uint64_t* seeds;
    bool chooses;            // DQN: a member's own network picks the kind
    UfGroup groups[GROUPS];  // the members', with the lane's gradients
    UfOffRing ring;
    const UfOffHyper* hyper;
    const real *lr, *polyak, *max_grad_norm;
    real* obs;
    int* bad[GROUPS];
    // a step of the environments
    real *noise, *uniform, *head_step, *scratch;  // (N, items or A) twice, (N, H), (2, N, width)
    real *action, *next_obs, *reward;             // (N, items) (N, O) (N)
    uint8_t* ended;                               // (N)
    // a batch
    int64_t* index;  // (B)
    UfOffBatch batch;
    real *noise_pi, *noise_next;                                // (B, A)
    real *head, *dhead, *head_next, *log_prob, *log_prob_next;  // (B, H) thrice, (B)
    real *q, *dq, *q_next, *chooser, *dqda, *y;                 // (C, B, Q) thrice, (B, Q), (C, B, A), (B)
    UfTape actor_tape, critic_tape;
};

// ---- configuration ----

static const char* const algorithm_names[] = {"SAC", "DQN", "DDPG", "TD3"};

static UfStatus check_whole(const char* name, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG, "%s is %lld; expected %lld to %lld", name, (long long)value, (long long)low,
                   (long long)high);
}

static UfStatus check_number(const char* name, double value, double low, double high) {
    if (value >= low && value <= high) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG, "%s is %g; expected %g to %g", name, value, low, high);
}

static UfStatus check_sizes(const UfOffPolicyConfig* c) {
    const int64_t most = 100000000;
    UF_TRY(check_whole("num_layers", c->num_layers, 1, UF_MAX_LAYERS));
    UF_TRY(check_whole("layer_width", c->layer_width, 1, 65536));
    if (c->activation != UF_RELU && c->activation != UF_TANH)
        return UF_FAIL(UF_ERR_CONFIG, "activation is %d; expected UF_RELU or UF_TANH", c->activation);
    UF_TRY(check_whole("num_envs", c->num_envs, 1, 1000000));
    UF_TRY(check_whole("num_steps", c->num_steps, 1, INT64_MAX / 4));
    if (c->num_steps % c->num_envs)
        return UF_FAIL(UF_ERR_CONFIG,
                       "num_steps %lld is no multiple of num_envs %lld; expected whole iterations",
                       (long long)c->num_steps, (long long)c->num_envs);
    UF_TRY(check_whole("batch_size", c->batch_size, 1, 1000000));
    UF_TRY(check_whole("buffer_size", c->buffer_size, c->num_envs, most));
    UF_TRY(check_whole("warm_up", c->warm_up, 0, INT64_MAX / 4));
    UF_TRY(check_whole("updates", c->updates, 0, 1000000));
    if (c->algorithm == UF_OFF_POLICY_DQN)
        UF_TRY(check_whole("target_interval", c->target_interval, 1, INT64_MAX / 4));
    if (c->algorithm == UF_OFF_POLICY_TD3)
        UF_TRY(check_whole("policy_delay", c->policy_delay, 1, INT64_MAX / 4));
    return UF_OK;
}

// Numbers that the algorithm does not have are not looked at.
static UfStatus check_numbers(const UfOffPolicyConfig* c) {
    const bool ddpg = c->algorithm == UF_OFF_POLICY_DDPG, td3 = c->algorithm == UF_OFF_POLICY_TD3;
    const bool sac = c->algorithm == UF_OFF_POLICY_SAC, dqn = c->algorithm == UF_OFF_POLICY_DQN;
    UF_TRY(check_number("lr", c->lr, 0, 10));
    UF_TRY(check_number("gamma", c->gamma, 0, 1));
    if (!sac) UF_TRY(check_number("max_grad_norm", c->max_grad_norm, 0, 1e9));
    if (!dqn) UF_TRY(check_number("tau", c->tau, 0, 1));
    if (dqn) UF_TRY(check_number("exploration_fraction", c->exploration_fraction, 0, 1));
    if (dqn) UF_TRY(check_number("eps_end", c->eps_end, 0, 1));
    if (sac) UF_TRY(check_number("target_entropy_ratio", c->target_entropy_ratio, -100, 100));
    if (ddpg || td3) UF_TRY(check_number("exploration_noise", c->exploration_noise, 0, 1e6));
    if (td3) UF_TRY(check_number("target_noise", c->target_noise, 0, 1e6));
    if (td3) UF_TRY(check_number("target_noise_clip", c->target_noise_clip, 0, 1e6));
    return UF_OK;
}

static UfStatus check_space(const UfOffPolicyConfig* c, const UfTrainSpace* s) {
    const char* name;
    if ((int)c->algorithm < UF_OFF_POLICY_SAC || c->algorithm > UF_OFF_POLICY_TD3)
        return UF_FAIL(UF_ERR_CONFIG, "algorithm is %d; expected a UfOffPolicyAlgorithm", (int)c->algorithm);
    name = algorithm_names[c->algorithm];
    if (s->bytes)
        return UF_FAIL(UF_ERR_CONFIG, "%s takes observations of floats alone, the environment shows bytes",
                       name);
    if (s->obs_dim < 1 || s->action_dim < 1 || (s->discrete && s->action_dim > UF_MAX_KINDS))
        return UF_FAIL(
            UF_ERR_CONFIG,
            "observations of %d numbers and %d %s; expected at least 1 and, of actions, at most %d kinds",
            s->obs_dim, s->action_dim, s->discrete ? "kinds of actions" : "numbers of an action",
            UF_MAX_KINDS);
    if (c->algorithm == UF_OFF_POLICY_DQN && !s->discrete)
        return UF_FAIL(UF_ERR_CONFIG,
                       "algorithm DQN is for discrete actions, the environment's are continuous; "
                       "take SAC, DDPG or TD3");
    if ((c->algorithm == UF_OFF_POLICY_DDPG || c->algorithm == UF_OFF_POLICY_TD3) && s->discrete)
        return UF_FAIL(UF_ERR_CONFIG,
                       "algorithm %s is for continuous actions, the environment's are discrete; "
                       "take DQN or SAC",
                       name);
    if (!s->discrete &&
        !(isfinite(s->action_low) && isfinite(s->action_high) && s->action_low < s->action_high))
        return UF_FAIL(UF_ERR_CONFIG,
                       "actions are from %g to %g; %s wants finite bounds, the lower one first",
                       (double)s->action_low, (double)s->action_high, name);
    return UF_OK;
}

// What must be the same of all members: the first that is not is named.
static UfStatus check_same(const UfOffPolicyConfig* a, const UfOffPolicyConfig* b, int member) {
    const struct {
        const char* name;
        bool same;
    } fields[] = {
#define SAME(name) {#name, a->name == b->name}
        SAME(algorithm),       SAME(num_layers),
        SAME(layer_width),     SAME(activation),
        SAME(num_steps),       SAME(num_envs),
        SAME(batch_size),      SAME(buffer_size),
        SAME(warm_up),         SAME(updates),
        SAME(target_interval), SAME(policy_delay),
        SAME(max_grad_norm),   SAME(exploration_fraction),
#undef SAME
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!fields[i].same)
            return UF_FAIL(UF_ERR_CONFIG,
                           "%s of member %d is not that of member 0; it is the same of all members",
                           fields[i].name, member);
    return UF_OK;
}

static UfStatus copy_configs(UfOffPolicy* a, const UfOffPolicyConfig* configs) {
    if (a->P < 1) return UF_FAIL(UF_ERR_CONFIG, "a population of %d; expected at least 1", a->P);
    UF_TRY(check_space(&configs[0], &a->space));
    UF_TRY(UF_ALLOC(&a->configs, a->P, "configurations"));
    UF_TRY(UF_ALLOC(&a->seeds, a->P, "seeds"));
    for (int p = 0; p < a->P; p++) {
        UF_TRY(check_same(&configs[0], &configs[p], p));
        UF_TRY(check_sizes(&configs[p]));
        UF_TRY(check_numbers(&configs[p]));
        a->configs[p] = configs[p];
        a->seeds[p] = configs[p].seed;
    }
    return UF_OK;
}

static bool is(const UfOffPolicy* a, UfOffPolicyAlgorithm algorithm) {
    return a->configs[0].algorithm == algorithm;
}

static int acting_group(const UfOffPolicy* a) { return a->kind == UF_OFF_GREEDY ? CRITIC : ACTOR; }

// ---- memory ----

static void describe(UfOffPolicy* a) {
    const UfOffPolicyConfig* c = &a->configs[0];
    const bool kinds = a->space.discrete;
    a->N = (int)c->num_envs;
    a->O = a->space.obs_dim;
    a->A = a->space.action_dim;
    a->B = (int)c->batch_size;
    a->M = a->backend->apart ? a->P : 1;
    a->kind = is(a, UF_OFF_POLICY_DQN)    ? UF_OFF_GREEDY
              : !is(a, UF_OFF_POLICY_SAC) ? UF_OFF_TANH
              : kinds                     ? UF_OFF_CATEGORICAL
                                          : UF_OFF_SQUASHED;
    a->num_critics = is(a, UF_OFF_POLICY_SAC) || is(a, UF_OFF_POLICY_TD3) ? 2 : 1;
    a->Q = kinds ? a->A + 1 : 1;
    a->H = a->kind == UF_OFF_GREEDY ? a->Q : a->kind == UF_OFF_SQUASHED ? 2 * a->A : a->A;
    a->has_targets = !a->space.always_done;
    a->mlp[ACTOR] = uf_mlp_shape(a->O, c->layer_width, c->num_layers, a->H, false, 0);
    a->mlp[CRITIC] = uf_mlp_shape(a->O + (kinds ? 0 : a->A), c->layer_width, c->num_layers, a->Q, false, 0);
    a->mlp[ACTOR].activation = a->mlp[CRITIC].activation = c->activation;
    if (a->kind != UF_OFF_GREEDY) a->groups[ACTOR].count = a->mlp[ACTOR].size;
    a->groups[CRITIC].count = (size_t)a->num_critics * a->mlp[CRITIC].size;
    if (is(a, UF_OFF_POLICY_SAC)) a->groups[ALPHA].count = 1;
    for (int k = 0; k < GROUPS; k++) {
        a->groups[k].P = a->P;
        a->groups[k].num_blocks = k == ALPHA ? 1 : uf_num_blocks(a->B, k == CRITIC ? a->num_critics : 1);
    }
    const int items = kinds ? 1 : a->A;
    a->ring = (UfOffRing){.P = a->P,
                          .N = a->N,
                          .O = a->O,
                          .A = a->A,
                          .discrete = kinds,
                          .has_next = a->has_targets,
                          .items = items,
                          .stride = a->O + items + 2 + (a->has_targets ? a->O : 0),
                          .capacity = c->buffer_size};
}

// SAC has no target of its actor.
static bool has_target(const UfOffPolicy* a, int group) {
    return a->has_targets && (group == CRITIC || (group == ACTOR && a->kind == UF_OFF_TANH));
}

static UfStatus reserve_members(UfOffPolicy* a) {
    static const char what[] = "off-policy agents", replay[] = "replays of off-policy agents";
    UfReserved* r = &a->reserved;
    const size_t P = (size_t)a->P;
    for (int k = 0; k < GROUPS; k++) {
        UfGroup* g = &a->groups[k];
        if (!g->count) continue;
        UF_TRY(UF_RESERVE(r, g->params, P * g->count, what));
        UF_TRY(UF_RESERVE(r, g->m, P * g->count, what));
        UF_TRY(UF_RESERVE(r, g->v, P * g->count, what));
        if (has_target(a, k)) UF_TRY(UF_RESERVE(r, g->target, P * g->count, what));
    }
    UF_TRY(UF_RESERVE(r, a->ring.records, P * (size_t)a->ring.capacity * (size_t)a->ring.stride, replay));
    UF_TRY(UF_RESERVE(r, a->ring.fill, P, replay));
    UF_TRY(UF_RESERVE(r, a->device_seeds, P, what));
    UF_TRY(UF_RESERVE(r, a->hyper, P, what));
    UF_TRY(UF_RESERVE(r, a->lr, P, what));
    UF_TRY(UF_RESERVE(r, a->polyak, P, what));
    UF_TRY(UF_RESERVE(r, a->max_grad_norm, P, what));
    UF_TRY(UF_RESERVE(r, a->obs, P * (size_t)a->N * (size_t)a->O, what));
    return UF_RESERVE(r, a->bad, GROUPS * P, what);
}

static UfStatus reserve_tape(UfReserved* r, UfTape* tape, const UfMlp* m, size_t rows) {
    for (int l = 0; l < m->layers; l++)
        UF_TRY(UF_RESERVE(r, tape->r[l], rows * (size_t)m->width, "activations of off-policy agents"));
    return UF_OK;
}

// Environments of a device say what they have to `apart`.
static void take_exchange(Lane* l, const UfApart* apart) {
    l->next_obs = apart->there.obs;
    l->reward = apart->there.reward;
    l->ended = apart->there.terminated;
}

static UfStatus reserve_step(const UfOffPolicy* a, Lane* l) {
    static const char what[] = "a step of off-policy agents";
    UfReserved* r = &l->reserved;
    const bool apart = a->backend->apart;
    const size_t rows = (size_t)a->M * (size_t)a->N, items = rows * (size_t)a->ring.items;
    UF_TRY(UF_RESERVE(r, l->noise, items, what));
    UF_TRY(UF_RESERVE(r, l->uniform, items, what));
    UF_TRY(UF_RESERVE(r, l->head_step, rows * (size_t)a->H, what));
    if (apart) take_exchange(l, &a->apart);
    if (apart && !a->space.discrete)
        l->action = a->apart.there.action;
    else
        UF_TRY(UF_RESERVE(r, l->action, items, what));
    if (apart) return UF_OK;
    UF_TRY(UF_RESERVE(r, l->scratch, 2 * rows * (size_t)a->mlp[ACTOR].width, what));
    UF_TRY(UF_RESERVE(r, l->next_obs, rows * (size_t)a->O, what));
    UF_TRY(UF_RESERVE(r, l->reward, rows, what));
    return UF_RESERVE(r, l->ended, rows, what);
}

static UfStatus reserve_batch(const UfOffPolicy* a, Lane* l) {
    static const char what[] = "a batch of off-policy agents";
    UfReserved* r = &l->reserved;
    const size_t B = (size_t)a->M * (size_t)a->B, C = (size_t)a->num_critics, Q = (size_t)a->Q,
                 A = (size_t)a->A;
    const int ld = a->O + a->ring.items;
    l->batch = (UfOffBatch){.P = a->M, .B = a->B, .O = a->O, .items = a->ring.items, .ld = ld};
    UF_TRY(UF_RESERVE(r, l->index, B, what));
    UF_TRY(UF_RESERVE(r, l->batch.x, B * (size_t)ld, what));
    if (!a->space.discrete) UF_TRY(UF_RESERVE(r, l->batch.x_pi, B * (size_t)ld, what));
    if (a->has_targets) UF_TRY(UF_RESERVE(r, l->batch.x_next, B * (size_t)ld, what));
    UF_TRY(UF_RESERVE(r, l->batch.reward, B, what));
    UF_TRY(UF_RESERVE(r, l->batch.done, B, what));
    UF_TRY(UF_RESERVE(r, l->noise_pi, B * A, what));
    UF_TRY(UF_RESERVE(r, l->noise_next, B * A, what));
    UF_TRY(UF_RESERVE(r, l->head, B * (size_t)a->H, what));
    UF_TRY(UF_RESERVE(r, l->dhead, B * (size_t)a->H, what));
    UF_TRY(UF_RESERVE(r, l->head_next, B * (size_t)a->H, what));
    UF_TRY(UF_RESERVE(r, l->log_prob, B, what));
    UF_TRY(UF_RESERVE(r, l->log_prob_next, B, what));
    UF_TRY(UF_RESERVE(r, l->q, C * B * Q, what));
    UF_TRY(UF_RESERVE(r, l->dq, C * B * Q, what));
    UF_TRY(UF_RESERVE(r, l->q_next, C * B * Q, what));
    UF_TRY(UF_RESERVE(r, l->chooser, B * Q, what));
    UF_TRY(UF_RESERVE(r, l->dqda, C * B * A, what));
    UF_TRY(UF_RESERVE(r, l->y, B, what));
    UF_TRY(reserve_tape(r, &l->actor_tape, &a->mlp[ACTOR], B));
    return reserve_tape(r, &l->critic_tape, &a->mlp[CRITIC], C * B);
}

static UfStatus reserve_lane(UfOffPolicy* a, Lane* l) {
    l->agents = a;
    l->reserved.backend = a->backend;
    UF_TRY(reserve_step(a, l));
    UF_TRY(reserve_batch(a, l));
    for (int k = 0; k < GROUPS; k++)
        if (a->groups[k].count)
            UF_TRY(UF_RESERVE(&l->reserved, l->groups[k].grads,
                              (size_t)a->M * a->groups[k].count * (size_t)a->groups[k].num_blocks,
                              "gradients of off-policy agents"));
    return UF_OK;
}

// ---- making ----

// Kernels alone; biases stay 0.
static void fill_network(const UfMlp* m, real* params, uint64_t seed, int network) {
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? m->width : m->in, out = l < m->layers ? m->width : m->out;
        UfRandom random = uf_random(seed, UF_STREAM_TD_INIT, (uint64_t)network << 8 | (uint64_t)l);
        uf_fill_lecun_normal(params + m->kernel[l], (size_t)in * (size_t)out, in, &random);
    }
}

// The networks of a group, one member's.
static void fill_group(const UfOffPolicy* a, int group, real* params, uint64_t seed) {
    const UfMlp* m = &a->mlp[group];
    if (group == ACTOR) fill_network(m, params, seed, 0);
    for (int n = 0; group == CRITIC && n < a->num_critics; n++)
        fill_network(m, params + (size_t)n * m->size, seed, 1 + n);
}

static UfStatus init_group(UfOffPolicy* a, int k) {
    const UfGroup* g = &a->groups[k];
    const size_t count = (size_t)a->P * g->count;
    UfBackend* be = a->backend;
    real* values;
    UF_TRY(UF_ALLOC(&values, count, "initial weights of off-policy agents"));
    for (int p = 0; p < a->P; p++) fill_group(a, k, values + (size_t)p * g->count, a->seeds[p]);
    be->upload(be, g->params, values, count * sizeof *values);
    if (g->target) be->upload(be, g->target, values, count * sizeof *values);
    uf_free(values);
    return UF_OK;
}

static UfOffHyper hyper_of(const UfOffPolicy* a, const UfOffPolicyConfig* c) {
    return (UfOffHyper){
        .gamma = (real)c->gamma,
        .target_entropy = (real)(a->space.discrete ? c->target_entropy_ratio * log((double)a->A) : -a->A),
        .eps_end = (real)c->eps_end,
        .exploration_noise = (real)c->exploration_noise,
        .target_noise = (real)c->target_noise,
        .target_noise_clip = (real)c->target_noise_clip,
        .double_dqn = c->double_dqn};
}

static UfStatus init_constants(UfOffPolicy* a) {
    const size_t P = (size_t)a->P;
    UfBackend* be = a->backend;
    UfOffHyper* hyper;
    real* numbers = NULL;  // (3, P)
    UF_TRY(UF_ALLOC(&hyper, P, "hyperparameters of members"));
    const UfStatus status = UF_ALLOC(&numbers, 3 * P, "hyperparameters of members");
    for (size_t p = 0; p < P && status == UF_OK; p++) {
        const UfOffPolicyConfig* c = &a->configs[p];
        hyper[p] = hyper_of(a, c);
        numbers[p] = (real)c->lr;
        numbers[P + p] = a->kind == UF_OFF_GREEDY ? 1 : (real)(1 - c->tau);  // DQN copies
        numbers[2 * P + p] = (real)c->max_grad_norm;
    }
    if (status == UF_OK) {
        be->upload(be, a->device_seeds, a->seeds, P * sizeof *a->seeds);
        be->upload(be, a->hyper, hyper, P * sizeof *hyper);
        be->upload(be, a->lr, numbers, P * sizeof *numbers);
        be->upload(be, a->polyak, numbers + P, P * sizeof *numbers);
        be->upload(be, a->max_grad_norm, numbers + 2 * P, P * sizeof *numbers);
    }
    uf_free(hyper);
    uf_free(numbers);
    return status;
}

static UfStatus make_lanes(UfOffPolicy* a) {
    const int threads = a->backend->apart ? 1 : uf_pool_num_threads(a->backend->pool),
              lanes = threads < a->P ? threads : a->P;
    UF_TRY(UF_ALLOC(&a->lanes, lanes, "lanes of a population"));
    while (a->num_lanes < lanes) UF_TRY(reserve_lane(a, &a->lanes[a->num_lanes++]));
    return UF_OK;
}

static UfStatus plan(UfOffPolicy* a) {
    UfBackend* be = a->backend;
    for (int k = 0; k < 2; k++)
        UF_TRY(be->plan(be, &a->mlp[k], a->M, k == CRITIC ? a->num_critics : 1, a->B));
    // On the host a step's few rows go through loops that want none.
    return be->apart ? be->plan(be, &a->mlp[acting_group(a)], a->M, 1, a->N) : UF_OK;
}

static UfStatus build(UfOffPolicy* a, const UfOffPolicyConfig* configs, int num_threads) {
    UF_TRY(copy_configs(a, configs));
    a->owns_backend = !a->backend;
    if (!a->backend) UF_TRY(uf_backend_open(&a->backend, "cpu", "fp32", num_threads));
    a->reserved.backend = a->backend;
    describe(a);
    UF_TRY(reserve_members(a));
    for (int k = 0; k < GROUPS; k++)
        if (a->groups[k].count) UF_TRY(init_group(a, k));
    UF_TRY(init_constants(a));
    UF_TRY(UF_ALLOC(&a->host_bad, GROUPS * (size_t)a->P, "states of a population"));
    if (a->backend->apart) UF_TRY(uf_apart_create(&a->apart, &a->reserved, &a->space, a->P, a->N));
    UF_TRY(make_lanes(a));
    UF_TRY(plan(a));
    return a->backend->sync(a->backend);
}

UfStatus uf_off_policy_create(UfOffPolicy** out, const UfOffPolicyConfig* configs, int population,
                              const UfTrainSpace* space, UfBackend* backend, int num_threads) {
    UfOffPolicy* a;
    *out = NULL;
    UF_TRY(UF_ALLOC(&a, 1, "off-policy agents"));
    a->P = population;
    a->backend = backend;
    a->space = *space;
    const UfStatus status = build(a, configs, num_threads);
    if (status != UF_OK) {
        uf_off_policy_free(a);
        return status;
    }
    *out = a;
    return UF_OK;
}

void uf_off_policy_free(UfOffPolicy* a) {
    if (!a) return;
    if (a->backend) {
        for (int i = 0; i < a->num_lanes; i++) uf_release_reserved(&a->lanes[i].reserved);
        uf_release_reserved(&a->reserved);
    }
    uf_free(a->lanes);
    if (a->owns_backend) uf_backend_close(a->backend);
    uf_apart_free(&a->apart);
    uf_free(a->host_bad);
    uf_free(a->configs);
    uf_free(a->seeds);
    uf_free(a);
}

// ---- lanes ----

// What `count` iterations that learn come to; of TD3 a number of them with whole steps of the actor.
static struct Progress iterations(const UfOffPolicy* a, int64_t count) {
    const UfOffPolicyConfig* c = &a->configs[0];
    const int64_t updates = count * c->updates;
    const bool delays = is(a, UF_OFF_POLICY_TD3), acts = a->kind != UF_OFF_GREEDY;
    return (struct Progress){count, updates, delays ? updates / c->policy_delay : acts ? updates : 0};
}

static real* at_member(real* array, size_t count, int p) { return array ? array + (size_t)p * count : NULL; }

// Members p and on.
static void take_members(Lane* l, int p) {
    const UfOffPolicy* a = l->agents;
    l->done = a->done;
    l->each = iterations(a, 1);
    l->seeds = a->device_seeds + p;
    l->chooses = false;
    for (int q = p; q < p + a->M; q++)
        if (a->kind == UF_OFF_GREEDY && a->configs[q].double_dqn) l->chooses = true;
    for (int k = 0; k < GROUPS; k++) {
        const UfGroup* g = &a->groups[k];
        real* grads = l->groups[k].grads;
        // Gaps between tensors, which clipping scales too: by NaN if the last member had one.
        if (grads && !a->backend->apart) memset(grads, 0, g->count * (size_t)g->num_blocks * sizeof(real));
        l->groups[k] = (UfGroup){.params = at_member(g->params, g->count, p),
                                 .grads = grads,
                                 .m = at_member(g->m, g->count, p),
                                 .v = at_member(g->v, g->count, p),
                                 .target = at_member(g->target, g->count, p),
                                 .P = a->M,
                                 .num_blocks = g->num_blocks,
                                 .count = g->count};
        l->bad[k] = a->bad + k * a->P + p;
    }
    l->ring = a->ring;
    l->ring.P = a->M;
    l->ring.records = at_member(a->ring.records, (size_t)a->ring.capacity * (size_t)a->ring.stride, p);
    l->ring.fill = a->ring.fill + p;
    l->hyper = a->hyper + p;
    l->lr = a->lr + p;
    l->polyak = a->polyak + p;
    l->max_grad_norm = a->max_grad_norm + p;
    l->obs = at_member(a->obs, (size_t)a->N * (size_t)a->O, p);
}

static UfNets nets_of(const Lane* l, int group, bool target) {
    const UfOffPolicy* a = l->agents;
    const int N = group == CRITIC ? a->num_critics : 1;
    return (UfNets){&a->mlp[group], a->M, N, N, target ? l->groups[group].target : l->groups[group].params,
                    false};
}

static UfOffHeads heads_of(const Lane* l, const real* head, int rows) {
    const UfOffPolicy* a = l->agents;
    return (UfOffHeads){.kind = a->kind,
                        .P = a->M,
                        .R = rows,
                        .A = a->A,
                        .H = a->H,
                        .low = a->space.action_low,
                        .high = a->space.action_high,
                        .head = head,
                        .hyper = l->hyper};
}

static const real* log_alpha_of(const Lane* l) { return l->groups[ALPHA].params; }

static UfRows all_rows(const Lane* l) { return (UfRows){0, l->agents->B, l->agents->B}; }
static UfInput input_of(const Lane* l, const real* x) { return (UfInput){x, l->batch.ld, l->agents->B}; }

static UfDraw draw_of(void* out, int64_t count, int kind, int stream, UfCount update) {
    return (UfDraw){out, NULL, count, kind, stream, update};
}

static void draw(const Lane* l, const UfDraw* draws, int count) {
    UfBackend* be = l->agents->backend;
    be->random(be, draws, count, l->agents->M, l->seeds);
}

// ---- acting ----

static int64_t steps_before(const Lane* l) { return l->done.iteration * l->agents->N; }
static int64_t steps_after(const Lane* l) { return steps_before(l) + l->agents->N; }
static UfCount iteration_of(const Lane* l) { return (UfCount){l->done.iteration, l->each.iteration}; }
static UfCount step_of(const Lane* l) { return (UfCount){steps_before(l), l->each.iteration * l->agents->N}; }

// SAC acts by itself from the first step on and counts rows; the others count steps before this one.
static bool is_warm_up(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    const int64_t warm_up = a->configs[0].warm_up;
    return is(a, UF_OFF_POLICY_SAC) ? steps_after(l) <= warm_up : steps_before(l) <= warm_up;
}

static void forward_step(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    const int group = acting_group(a);
    const UfNets nets = nets_of(l, group, false);
    if (be->apart)
        be->mlp_forward(be, &nets, l->head_step, NULL, (UfInput){l->obs, a->O, a->N},
                        (UfRows){0, a->N, a->N});
    else  // few rows: the loops for them
        uf_mlp_forward_host(nets.mlp, nets.params, l->head_step, l->obs, a->O, a->N, l->scratch);
}

static void act(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    const UfOffPolicyConfig* c = &a->configs[0];
    UfBackend* be = a->backend;
    const bool tanh_head = a->kind == UF_OFF_TANH, at_random = is_warm_up(l) && !is(a, UF_OFF_POLICY_SAC);
    const bool uniform = tanh_head && at_random;
    const int64_t count = (int64_t)a->N * a->ring.items;
    const UfDraw draws[] = {
        draw_of(l->noise, count, a->space.discrete ? UF_DRAW_UNIFORM : UF_DRAW_NORMAL, UF_STREAM_TD_ACTION,
                iteration_of(l)),
        draw_of(l->uniform, count, UF_DRAW_UNIFORM, UF_STREAM_TD_WARM_UP, iteration_of(l))};
    draw(l, draws, uniform ? 2 : 1);
    if (!uniform) forward_step(l);
    const UfOffHeads heads = heads_of(l, l->head_step, a->N);
    const UfOffAct how = {
        .noise = l->noise,
        .uniform = uniform ? l->uniform : NULL,
        // DDPG's uniform actions stay as they are, TD3's get the noise too
        .explores = tanh_head && !(at_random && is(a, UF_OFF_POLICY_DDPG)),
        .step = step_of(l),
        .fall = at_random ? INT64_MAX : (int64_t)(c->exploration_fraction * (double)c->num_steps),
        .kinds = a->space.discrete ? a->apart.there.action : NULL};
    be->off_act(be, l->action, &heads, &how);
}

// p: the lane's member, of one.
static UfStatus step(Lane* l, UfTrainEnvs* envs, int p) {
    UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    UF_TRY(be->apart ? uf_apart_step(&a->apart, envs)
                     : envs->ops->step(envs, p, l->action, l->next_obs, l->reward, l->ended));
    be->off_store(be, &l->ring, step_of(l), l->obs, l->action, l->reward, l->ended,
                  uf_apart_truncated(&a->apart), l->next_obs);
    return UF_OK;
}

// ---- targets ----

static bool has_next_noise(const UfOffPolicy* a) {
    return a->has_targets && (a->kind == UF_OFF_SQUASHED || is(a, UF_OFF_POLICY_TD3));
}

// Actions at next observations: DDPG's and TD3's by the target of the actor, SAC's by the actor.
static void next_actions(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(l, ACTOR, a->kind == UF_OFF_TANH);
    be->mlp_forward(be, &actor, l->head_next, NULL, input_of(l, l->batch.x_next), all_rows(l));
    if (a->kind == UF_OFF_CATEGORICAL) return;
    const UfOffHeads heads = heads_of(l, l->head_next, a->B);
    be->off_sample(be, l->batch.x_next, a->O, l->batch.ld,
                   a->kind == UF_OFF_SQUASHED ? l->log_prob_next : NULL, &heads,
                   has_next_noise(a) ? l->noise_next : NULL);
}

// What the rows are worth. Where every step ends its episode that is the reward, and nothing is evaluated.
static const real* targets(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    if (!a->has_targets) return l->batch.reward;
    const UfNets target = nets_of(l, CRITIC, true), critic = nets_of(l, CRITIC, false);
    const UfInput input = input_of(l, l->batch.x_next);
    if (a->kind != UF_OFF_GREEDY) next_actions(l);
    be->mlp_forward(be, &target, l->q_next, NULL, input, all_rows(l));
    if (l->chooses) be->mlp_forward(be, &critic, l->chooser, NULL, input, all_rows(l));
    const UfOffHeads heads = heads_of(l, NULL, a->B);
    const UfOffNext next = {.q = l->q_next,
                            .chooser = l->chooses ? l->chooser : NULL,
                            .head = a->kind == UF_OFF_CATEGORICAL ? l->head_next : NULL,
                            .log_prob = a->kind == UF_OFF_SQUASHED ? l->log_prob_next : NULL};
    be->off_target(be, l->y, &l->batch, &heads, &next, a->num_critics, log_alpha_of(l));
    return l->y;
}

static void move_targets(const Lane* l) {
    UfBackend* be = l->agents->backend;
    for (int k = 0; k < GROUPS; k++)
        if (l->groups[k].target)
            be->adam_polyak(be, &l->groups[k], NULL, (UfCount){0}, (UfDecay){0}, 0, l->polyak, NULL);
}

// ---- learning ----

// Gradient of the critics' half squared errors; q stays behind.
static void critic_gradient(const Lane* l, const real* y) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    const UfNets critic = nets_of(l, CRITIC, false);
    const UfInput input = input_of(l, l->batch.x);
    be->mlp_forward(be, &critic, l->q, &l->critic_tape, input, all_rows(l));
    be->off_critic_loss(be, l->dq, l->q, y, &l->batch, a->num_critics, a->space.discrete ? a->A : 0);
    be->mlp_backward(be, &critic, l->groups[CRITIC].grads, NULL, 0, 0, &l->critic_tape, input, l->dq, a->B);
}

// Of Q with respect to the actor's actions, through critics that stay.
static void action_gradient(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    const UfNets critic = nets_of(l, CRITIC, false);
    const UfInput input = input_of(l, l->batch.x_pi);
    be->mlp_forward(be, &critic, l->q, &l->critic_tape, input, all_rows(l));
    be->off_actor_q(be, l->dq, l->q, is(a, UF_OFF_POLICY_SAC), a->M, a->num_critics, a->B);
    be->mlp_backward(be, &critic, NULL, l->dqda, a->O, a->A, &l->critic_tape, input, l->dq, a->B);
}

// Gradient of the actor's loss, and of the temperature's; critic_gradient's q is what SAC of kinds needs.
static void actor_gradient(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(l, ACTOR, false);
    const UfInput input = input_of(l, l->batch.x);
    const UfOffHeads heads = heads_of(l, l->head, a->B);
    const bool kinds = a->kind == UF_OFF_CATEGORICAL, squashed = a->kind == UF_OFF_SQUASHED;
    const real *noise = squashed ? l->noise_pi : NULL, *log_prob = squashed ? l->log_prob : NULL;
    be->mlp_forward(be, &actor, l->head, &l->actor_tape, input, all_rows(l));
    if (!kinds) {
        be->off_sample(be, l->batch.x_pi, a->O, l->batch.ld, squashed ? l->log_prob : NULL, &heads, noise);
        action_gradient(l);
    }
    be->off_actor_loss(be, l->dhead, l->groups[ALPHA].grads, &heads, kinds ? l->q : l->dqda, a->num_critics,
                       noise, log_prob, log_alpha_of(l));
    be->mlp_backward(be, &actor, l->groups[ACTOR].grads, NULL, 0, 0, &l->actor_tape, input, l->dhead, a->B);
}

// One step of the optimiser that has groups [first, end): they are clipped as one.
static void optimise(const Lane* l, int first, int end, UfCount step, bool clips) {
    const UfOffPolicy* a = l->agents;
    UfBackend* be = a->backend;
    if (clips) be->clip_gradients(be, l->groups + first, end - first, l->max_grad_norm, NULL, 0);
    for (int k = first; k < end; k++) {
        UfGroup g = l->groups[k];
        if (clips) g.num_blocks = 1;  // they were added up
        be->adam_polyak(be, &g, l->lr, step, (UfDecay){0}, 0, NULL, l->bad[k]);
    }
}

static UfCount critic_step(const Lane* l) { return (UfCount){l->done.critic, l->each.critic}; }
static UfCount actor_step(const Lane* l) { return (UfCount){l->done.actor, l->each.actor}; }

// The rows and the noise of an update.
static void draw_batch(const Lane* l, UfCount update) {
    const UfOffPolicy* a = l->agents;
    const int64_t count = (int64_t)a->B * a->A;
    UfDraw draws[3] = {draw_of(l->index, a->B, UF_DRAW_INDEX, UF_STREAM_TD_INDEX, update)};
    int n = 1;
    draws[0].below = l->ring.fill;
    if (has_next_noise(a))
        draws[n++] = draw_of(l->noise_next, count, UF_DRAW_NORMAL, UF_STREAM_TD_NEXT, update);
    if (a->kind == UF_OFF_SQUASHED)
        draws[n++] = draw_of(l->noise_pi, count, UF_DRAW_NORMAL, UF_STREAM_TD_ACTOR, update);
    draw(l, draws, n);
}

// Number u of the updates of an iteration.
static void update(Lane* l, int64_t u) {
    const UfOffPolicy* a = l->agents;
    const UfOffPolicyConfig* c = &a->configs[0];
    UfBackend* be = a->backend;
    const UfCount count = {l->done.iteration * c->updates + u, l->each.iteration * c->updates};
    const bool sac = is(a, UF_OFF_POLICY_SAC), clips = !sac && c->max_grad_norm > 0;
    draw_batch(l, count);
    be->off_gather(be, &l->batch, &l->ring, l->index);
    critic_gradient(l, targets(l));
    l->done.critic++;
    if (!is(a, UF_OFF_POLICY_TD3)) {  // all gradients at one point, then one optimiser
        if (a->kind != UF_OFF_GREEDY) actor_gradient(l);
        if (a->kind != UF_OFF_GREEDY) l->done.actor++;
        optimise(l, a->kind == UF_OFF_GREEDY ? CRITIC : ACTOR, sac ? GROUPS : ALPHA, critic_step(l), clips);
        return;
    }
    optimise(l, CRITIC, CRITIC + 1, critic_step(l), clips);
    if (l->done.critic % c->policy_delay) return;
    actor_gradient(l);
    l->done.actor++;
    optimise(l, ACTOR, ACTOR + 1, actor_step(l), clips);
}

// ---- iterations ----

static UfStatus iterate(Lane* l, UfTrainEnvs* envs, int p) {
    const UfOffPolicy* a = l->agents;
    act(l);
    UF_TRY(step(l, envs, p));
    for (int64_t u = 0; u < a->configs[0].updates && !is_warm_up(l); u++) update(l, u);
    if (a->kind != UF_OFF_GREEDY) move_targets(l);
    l->done.iteration++;
    return UF_OK;
}

// DQN's targets, which are copied from time to time, after an iteration.
static void copy_targets(const Lane* l) {
    const UfOffPolicy* a = l->agents;
    const int64_t interval = a->configs[0].target_interval, now = steps_before(l);
    if (a->kind == UF_OFF_GREEDY && now / interval != (now - a->N) / interval) move_targets(l);
}

typedef struct Round {
    UfOffPolicy* agents;
    UfTrainEnvs* envs;
    int64_t end;           // iterations that are done then
    UfOutcome* outcomes;   // (P)
    struct Progress done;  // what each has come to
} Round;

static void train_task(void* context, int p, int thread) {
    Round* r = context;
    Lane* l = &r->agents->lanes[thread];
    UfStatus status = UF_OK;
    take_members(l, p);
    if (l->done.iteration == 0) status = r->envs->ops->reset(r->envs, p, l->obs);
    while (l->done.iteration < r->end && status == UF_OK) {
        status = iterate(l, r->envs, p);
        copy_targets(l);
    }
    uf_keep_outcome(&r->outcomes[p], status);
    if (p == 0) r->done = l->done;
}

static UfStatus train_here(UfOffPolicy* a, UfTrainEnvs* envs, int64_t end) {
    Round r = {.agents = a, .envs = envs, .end = end};
    UF_TRY(UF_ALLOC(&r.outcomes, a->P, "states of a population"));
    uf_pool_run(a->backend->pool, a->P, train_task, &r);
    const UfStatus status = uf_tell_outcomes(r.outcomes, a->P);
    a->done = r.done;
    uf_free(r.outcomes);
    return status;
}

// Iterations after which the ops are the same again, those of TD3's actor among them.
static int64_t period(const UfOffPolicy* a) {
    const UfOffPolicyConfig* c = &a->configs[0];
    int64_t x = c->updates, y = is(a, UF_OFF_POLICY_TD3) && c->updates ? c->policy_delay : 1;
    const int64_t delay = y;
    while (y) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return delay / x;  // x: what delay and updates can both be divided by
}

enum { MOST_NOTED = 64 };  // iterations: more of them would be a graph of some thousand nodes

// Whether all that is done next is of one piece: environments that no one waits for, and iterations that learn. The first
// ones go op by op, since libraries load themselves on first use.
static bool repeats(const Lane* l, int64_t end) {
    const UfOffPolicy* a = l->agents;
    const int64_t count = period(a);
    return a->apart.moved && a->backend->record && !is_warm_up(l) &&
           l->done.critic >= count * a->configs[0].updates && count <= MOST_NOTED &&
           count <= end - l->done.iteration;
}

static UfStatus note(Lane* l, UfTrainEnvs* envs) {
    UfOffPolicy* a = l->agents;
    const struct Progress before = l->done, each = iterations(a, period(a));
    UfStatus status = UF_OK;
    l->each = each;
    a->recorded = (struct Recorded){0};
    a->backend->record(a->backend);
    for (int64_t i = 0; i < each.iteration && status == UF_OK; i++) status = iterate(l, envs, 0);
    a->backend->end_record(a->backend);
    l->done = before;
    if (status == UF_OK) a->recorded = (struct Recorded){each, before.iteration};
    return status;
}

static UfStatus repeat(Lane* l, UfTrainEnvs* envs) {
    UfOffPolicy* a = l->agents;
    struct Recorded* r = &a->recorded;
    if (!r->each.iteration || r->next != l->done.iteration) UF_TRY(note(l, envs));
    a->backend->repeat(a->backend);
    l->done.iteration += r->each.iteration;
    l->done.critic += r->each.critic;
    l->done.actor += r->each.actor;
    r->next = l->done.iteration;
    return UF_OK;
}

static UfStatus train_apart(UfOffPolicy* a, UfTrainEnvs* envs, int64_t end) {
    UfBackend* be = a->backend;
    Lane* l = &a->lanes[0];
    bool changed;
    UF_TRY(uf_apart_meet(&a->apart, envs, &changed));
    if (changed) a->recorded = (struct Recorded){0};
    take_members(l, 0);
    if (a->done.iteration == 0) UF_TRY(uf_apart_reset(&a->apart, envs, l->obs));
    while (l->done.iteration < end) {
        UF_TRY(repeats(l, end) ? repeat(l, envs) : iterate(l, envs, 0));
        copy_targets(l);
    }
    a->done = l->done;
    return be->sync(be);
}

UfStatus uf_off_policy_train(UfOffPolicy* a, UfTrainEnvs* envs, int64_t num_iterations) {
    UfBackend* be = a->backend;
    const int64_t all = a->configs[0].num_steps / a->N, left = all - a->done.iteration,
                  end = a->done.iteration +
                        (num_iterations > 0 && num_iterations < left ? num_iterations : left);
    UF_TRY(be->apart ? train_apart(a, envs, end) : train_here(a, envs, end));
    be->download(be, a->host_bad, a->bad, GROUPS * (size_t)a->P * sizeof *a->bad);
    return be->sync(be);
}

// ---- what comes out ----

int64_t uf_off_policy_iteration(const UfOffPolicy* a) { return a->done.iteration; }

void uf_off_policy_updates(const UfOffPolicy* a, int64_t* critic, int64_t* actor) {
    *critic = a->done.critic;
    *actor = a->done.actor;
}

bool uf_off_policy_finite(const UfOffPolicy* a, int member) {
    for (int k = 0; k < GROUPS; k++)
        if (a->host_bad[k * a->P + member]) return false;
    return true;
}

const UfMlp* uf_off_policy_actor_shape(const UfOffPolicy* a) { return &a->mlp[acting_group(a)]; }

UfStatus uf_off_policy_actors(UfOffPolicy* a, real* params) {
    const UfGroup* g = &a->groups[acting_group(a)];
    a->backend->download(a->backend, params, g->params, (size_t)a->P * g->count * sizeof(real));
    return a->backend->sync(a->backend);
}

static const UfMlp* part_mlp(const UfOffPolicy* a, int group) {
    return group == ALPHA ? NULL : &a->mlp[group];
}
static const UfGroup* part_group(const UfOffPolicy* a, int group) { return &a->groups[group]; }
static const UfOffRing* part_ring(const UfOffPolicy* a) { return &a->ring; }

const UfOffPolicyParts* uf_off_policy_parts(void) {
    static const UfOffPolicyParts parts = {
        uf_off_policy_create, uf_off_policy_free, uf_off_policy_train, part_mlp, part_group, part_ring};
    return &parts;
}
