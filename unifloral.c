// unifloral.c: the method. Offline RL algorithms as points of one hyperparameter space, after "A Clean Slate
// for Offline Reinforcement Learning" (arXiv 2504.11453) and its code unifloral.py.
//
// One update (train_step, near the end), for a batch (s, a, r, s', a', done):
//   1 entropy coefficient   log_alpha follows mean entropy + A
//   2 actor                 bc_coef w L_bc - q_coef lambda agg_N Q(s, pi) + entropy_coef alpha log pi(pi|s)
//                           w = min(exp(temperature (min_N Q(s,a) - V(s))), clip) under use_awr
//   3 critics, U times      sum_N (Q(s,a) - y)^2 + diversity_coef D + cql_min_q_weight C
//                           y = r + gamma (1 - done) (min_N Q_target(s',a~) or V(s')
//                               - entropy - critic_bc_coef |a~ - a'|^2)
//   4 value                 expectile regression of V(s) on min_N Q(s,a)
//   5 targets               target += polyak_step_size (online - target)
// Where dataset_sample_ratio is below 1 the batch is part dataset, part rollouts of the policy in a world
// model (MoBRAC, MOPO, MOReL, COMBO), renewed every rollout_interval updates. Each term is gated by its
// hyperparameter (params.def); each equation stands in terms.h; each batched operation in kernels.h. What two
// terms need alike is computed once: Q(s,a) serves AWR and the first critic update, V(s) AWR and the value
// update, the actor's forward pass on s the entropy coefficient and the actor, its pass on s' all U targets.
//
// Rooms: config check, members that stop, tensors, memory, world model, making an agent, noise and inputs, actor,
// critics, value and targets, rollouts, train step, training loop, diagnosis. Elsewhere: an agent's fields (core/agents/agent_parts.h) and files
// (core/agents/checkpoint.c), acting (core/agents/policy.c), what init_from does (core/synth/synth_init.c).
// `grep -n '^// ---- ' unifloral.c` prints the contents. How it differs from the reference: docs/deviations.md.
#include "unifloral.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/agent_parts.h"
#include "core/synth/synth_init.h"

// ---- config check ----

static int dataset_rows(const UfConfig* c) {  // of a batch
    return (int)floor((double)c->batch_size * c->dataset_sample_ratio);
}

// Rules between fields that hold for a single update too. Every refusal names both sides and says what to do.
static UfStatus check_update(const UfConfig* c) {
    if (c->deterministic && !c->use_tanh_mean)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "deterministic true needs use_tanh_mean true, as actions must stay in [-1, 1]; set one of them");
    if (c->use_entropy_loss && c->deterministic)
        return UF_FAIL(UF_ERR_CONFIG,
                       "use_entropy_loss true needs a stochastic actor; set deterministic to false");
    if (c->diversity_coef > 0 && c->num_critics < 2)
        return UF_FAIL(UF_ERR_CONFIG, "diversity_coef %g needs num_critics of at least 2, not %lld",
                       c->diversity_coef, (long long)c->num_critics);
    if (!c->deterministic && c->log_std_min > c->log_std_max)
        return UF_FAIL(UF_ERR_CONFIG, "log_std_min %g is above log_std_max %g; swap them", c->log_std_min,
                       c->log_std_max);
    if (c->cql_data_only && dataset_rows(c) < 1)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "cql_data_only true needs rows of the dataset in a batch, but dataset_sample_ratio %g of "
            "batch_size %lld is none; raise one of them",
            c->dataset_sample_ratio, (long long)c->batch_size);
    if (c->init_entropy_coef > 0 && c->deterministic && c->action_space != UF_ACTIONS_DISCRETE)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "init_entropy_coef %g weighs the entropy of a policy, which a deterministic one lacks; set "
            "it to 0 or deterministic to false",
            c->init_entropy_coef);
    return UF_OK;
}

// Rules for discrete actions, whether the configuration or the dataset says that they are.
static UfStatus check_discrete(const UfConfig* c) {
    if (c->diversity_coef > 0)
        return UF_FAIL(UF_ERR_CONFIG,
                       "diversity_coef %g compares derivatives by the action, which discrete actions do not "
                       "have; set it to 0",
                       c->diversity_coef);
    if (c->policy_noise > 0)
        return UF_FAIL(UF_ERR_CONFIG,
                       "policy_noise %g smooths actions, which discrete ones cannot be; set it to 0",
                       c->policy_noise);
    if (c->online)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "online true needs continuous actions, but action_space is discrete; set it to continuous");
    return UF_OK;
}

UfStatus uf_config_check(const UfConfig* c) {
    if (!c) return UF_FAIL(UF_ERR_ARGUMENT, "uf_config_check: config is null");
    UF_TRY(check_update(c));
    if (c->action_space == UF_ACTIONS_DISCRETE) UF_TRY(check_discrete(c));
    if (c->online && !c->env[0])
        return UF_FAIL(UF_ERR_CONFIG, "online true needs an environment to act in; name it in env");
    if (c->online && c->dataset[0])
        return UF_FAIL(UF_ERR_CONFIG,
                       "online true makes its own data, but dataset is '%s'; remove one of them", c->dataset);
    if (c->online && c->dataset_sample_ratio < 1)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "online true trains on its own data alone, but dataset_sample_ratio is %g; set it to 1",
            c->dataset_sample_ratio);
    if (c->online && c->init_from[0])
        return UF_FAIL(UF_ERR_CONFIG,
                       "init_from '%s' begins training on a dataset, but online is true; remove one of them",
                       c->init_from);
    if (c->dataset_sample_ratio < 1 && !c->model_path[0])
        return UF_FAIL(
            UF_ERR_CONFIG,
            "dataset_sample_ratio %g needs a trained model in model_path (see `unifloral dynamics`); "
            "set it to 1 for model-free training",
            c->dataset_sample_ratio);
    if (c->model_path[0] && c->dataset_sample_ratio >= 1)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "model_path '%s' is not used where dataset_sample_ratio is 1; remove it or lower the ratio",
            c->model_path);
    return UF_OK;
}

static bool needs_value(const UfConfig* c) { return c->use_awr || c->use_value_target; }

#define FOR_MEMBERS(a, p) UF_FOR_MEMBERS((a)->backend, p, (a)->P)

// ---- members that stop ----

// A member whose numbers are none any more stops; the others are not disturbed. Keeps the sentence in uf_error().
static void stop_member(UfAgent* a, int p, UfStatus status) {
    UfFault* f = &a->faults[p];
    if (f->status != UF_OK) return;
    f->status = status;
    snprintf(f->sentence, sizeof f->sentence, "%s", uf_error());
}

static int num_going(const UfAgent* a) {
    int count = 0;
    FOR_MEMBERS(a, p) count += !uf_agent_is_stopped(a, p);
    return count;
}

// The first of those that stopped and that the caller was not told of.
static UfStatus report_fault(UfAgent* a, bool again) {
    for (int p = 0; p < a->P; p++) {
        UfFault* f = &a->faults[p];
        if (f->status == UF_OK || (f->told && !again)) continue;
        f->told = true;
        return a->P > 1 ? UF_FAIL(f->status, "member %d: %s", p, f->sentence)
                        : UF_FAIL(f->status, "%s", f->sentence);
    }
    return UF_OK;
}

const char* uf_agent_member_error(const UfAgent* a, int member) {
    if (!a || member < 0 || member >= a->P || !uf_agent_is_stopped(a, member)) return NULL;
    return a->faults[member].sentence;
}

// ---- tensors ----

// The shapes of all groups from the configuration.
static void describe_networks(UfAgent* a) {
    const UfConfig* c = &a->configs[0];
    a->policy_kind = a->discrete        ? UF_POLICY_CATEGORICAL
                     : c->deterministic ? UF_POLICY_DETERMINISTIC
                     : c->use_tanh_mean ? UF_POLICY_GAUSSIAN
                                        : UF_POLICY_SQUASHED;
    const bool has_std = !a->discrete && !c->deterministic;
    const bool head = has_std && !c->use_log_std_param, param = has_std && c->use_log_std_param;
    a->H = head ? 2 * a->A : a->A;
    a->mlp[GROUP_ACTOR] = uf_mlp_shape(a->O, (int)c->actor_layer_width, (int)c->actor_num_layers, a->H,
                                       c->actor_ln, param ? a->A : 0);
    a->mlp[GROUP_CRITIC] =
        uf_mlp_shape(a->ld, (int)c->critic_layer_width, (int)c->critic_num_layers, 1, c->critic_ln, 0);
    a->mlp[GROUP_VALUE] =
        uf_mlp_shape(a->O, (int)c->critic_layer_width, (int)c->critic_num_layers, 1, c->critic_ln, 0);
    a->mlp[GROUP_ALPHA] = (UfMlp){.size = 64};
    a->networks[GROUP_ACTOR] = 1;
    a->networks[GROUP_CRITIC] = a->N;
    a->networks[GROUP_VALUE] = needs_value(c) ? 1 : 0;
    a->networks[GROUP_ALPHA] = c->use_entropy_loss ? 1 : 0;
}

static void add_tensor(UfAgent* a, int group, bool is_target, const char* net, const char* leaf, int layer,
                       size_t offset, int rank, int rows, int columns, int ld) {
    UfTensor* t = &a->tensors[a->num_tensors++];
    *t = (UfTensor){.group = group,
                    .is_target = is_target,
                    .has_networks = group == GROUP_CRITIC,
                    .num_networks = a->networks[group],
                    .rank = rank,
                    .rows = rows,
                    .columns = columns,
                    .ld = ld,
                    .offset = offset,
                    .network_size = a->mlp[group].size};
    if (layer >= 0)
        snprintf(t->name, sizeof t->name, "%s/hidden/%d/%s", net, layer, leaf);
    else if (leaf[0])
        snprintf(t->name, sizeof t->name, "%s/%s", net, leaf);
    else
        snprintf(t->name, sizeof t->name, "%s", net);
}

static void add_network_tensors(UfAgent* a, int group, bool is_target, const char* net) {
    const UfMlp* m = &a->mlp[group];
    const int L = m->layers, w = m->width;
    for (int l = 0; l < L; l++) {
        add_tensor(a, group, is_target, net, "kernel", l, m->kernel[l], 2, l ? w : m->in, w, w);
        add_tensor(a, group, is_target, net, "bias", l, m->bias[l], 1, 1, w, w);
        if (!m->layer_norm) continue;
        add_tensor(a, group, is_target, net, "scale", l, m->scale[l], 1, 1, w, w);
        add_tensor(a, group, is_target, net, "shift", l, m->shift[l], 1, 1, w, w);
    }
    if (group != GROUP_ACTOR) {
        add_tensor(a, group, is_target, net, "out/kernel", -1, m->kernel[L], 2, w, m->out, m->out);
        add_tensor(a, group, is_target, net, "out/bias", -1, m->bias[L], 1, 1, m->out, m->out);
        return;
    }
    if (a->discrete) {
        add_tensor(a, group, is_target, net, "logits/kernel", -1, m->kernel[L], 2, w, a->A, a->H);
        add_tensor(a, group, is_target, net, "logits/bias", -1, m->bias[L], 1, 1, a->A, a->H);
        return;
    }
    // The heads are columns of one output layer: mean, then log-std.
    add_tensor(a, group, is_target, net, "mean/kernel", -1, m->kernel[L], 2, w, a->A, a->H);
    add_tensor(a, group, is_target, net, "mean/bias", -1, m->bias[L], 1, 1, a->A, a->H);
    if (a->H == 2 * a->A) {
        add_tensor(a, group, is_target, net, "log_std/kernel", -1, m->kernel[L] + (size_t)a->A, 2, w, a->A,
                   a->H);
        add_tensor(a, group, is_target, net, "log_std/bias", -1, m->bias[L] + (size_t)a->A, 1, 1, a->A, a->H);
    } else if (!a->configs[0].deterministic) {
        add_tensor(a, group, is_target, net, "log_std_param", -1, m->log_std, 1, 1, a->A, a->A);
    }
}

static void describe_tensors(UfAgent* a) {
    add_network_tensors(a, GROUP_ACTOR, false, "actor");
    if (a->has_target_actor) add_network_tensors(a, GROUP_ACTOR, true, "actor_target");
    add_network_tensors(a, GROUP_CRITIC, false, "critic");
    add_network_tensors(a, GROUP_CRITIC, true, "critic_target");
    if (a->networks[GROUP_VALUE]) add_network_tensors(a, GROUP_VALUE, false, "value");
    if (a->networks[GROUP_ALPHA]) add_tensor(a, GROUP_ALPHA, false, "log_alpha", "", -1, 0, 0, 1, 1, 1);
}

int uf_agent_num_tensors(const UfAgent* agent) { return agent->num_tensors; }
const UfTensor* uf_agent_tensor(const UfAgent* agent, int index) { return &agent->tensors[index]; }
size_t uf_tensor_count(const UfTensor* t) {
    return (size_t)t->num_networks * (size_t)t->rows * (size_t)t->columns;
}

// Copies between a dense tensor and one member's networks in a group's array on the device.
static UfStatus move_tensor(UfAgent* a, const UfTensor* t, UfTensorKind kind, int member, real* dense,
                            bool to_device) {
    const UfGroup* g = &a->groups[t->group];
    real* array = kind == UF_TENSOR_ADAM_M   ? g->m
                  : kind == UF_TENSOR_ADAM_V ? g->v
                  : t->is_target             ? g->target
                                             : g->params;
    for (int n = 0; n < t->num_networks; n++)
        for (int row = 0; row < t->rows; row++) {
            real* device = array + (size_t)member * g->count + (size_t)n * t->network_size + t->offset +
                           (size_t)row * (size_t)t->ld;
            real* host = dense + ((size_t)n * (size_t)t->rows + (size_t)row) * (size_t)t->columns;
            const size_t bytes = (size_t)t->columns * sizeof(real);
            if (to_device)
                a->backend->upload(a->backend, device, host, bytes);
            else
                a->backend->download(a->backend, host, device, bytes);
        }
    return a->backend->sync(a->backend);
}

UfStatus uf_agent_get_tensor(UfAgent* agent, const UfTensor* tensor, UfTensorKind kind, int member,
                             real* out) {
    return move_tensor(agent, tensor, kind, member, out, false);
}

UfStatus uf_agent_set_tensor(UfAgent* agent, const UfTensor* tensor, UfTensorKind kind, int member,
                             const real* in) {
    return move_tensor(agent, tensor, kind, member, (real*)in, true);
}

// ---- memory ----

static void describe(UfArena* arena, void* pointer, size_t count, size_t item_bytes) {
    arena->regions[arena->num_regions].pointer = pointer;
    arena->regions[arena->num_regions++].offset = arena->bytes;
    arena->bytes += (count * item_bytes + UF_ALIGN - 1) / UF_ALIGN * UF_ALIGN;
}

static UfStatus reserve_and_bind(UfAgent* a, UfArena* arena, const char* what) {
    UF_TRY(a->backend->reserve(a->backend, &arena->memory, arena->bytes, what));
    for (int i = 0; i < arena->num_regions; i++) {
        void* start = (char*)arena->memory + arena->regions[i].offset;
        memcpy(arena->regions[i].pointer, &start, sizeof start);
    }
    return UF_OK;
}

#define REALS(arena, field, count) describe((arena), &(field), (size_t)(count), sizeof(real))

static void describe_tape(UfArena* arena, UfTape* tape, const UfMlp* mlp, size_t rows) {
    for (int l = 0; l < mlp->layers; l++) {
        REALS(arena, tape->r[l], rows * (size_t)mlp->width);
        if (mlp->layer_norm) REALS(arena, tape->stats[l], rows * 2);
    }
}

static void describe_batch(UfArena* arena, UfBatch* batch, size_t rows, size_t O, size_t A) {
    REALS(arena, batch->obs, rows * O);
    REALS(arena, batch->action, rows * A);
    REALS(arena, batch->reward, rows);
    REALS(arena, batch->next_obs, rows * O);
    REALS(arena, batch->next_action, rows * A);
    REALS(arena, batch->done, rows);
}

// Rows of a backward pass of each group.
static int pass_rows(const UfAgent* a, int group) { return group == GROUP_CRITIC ? a->total : a->B; }

static void describe_parameters(UfAgent* a) {
    for (int k = 0; k < NUM_GROUPS; k++) {
        UfGroup* g = &a->groups[k];
        if (!a->networks[k]) continue;
        g->P = a->P;
        g->count = (size_t)a->networks[k] * a->mlp[k].size;
        g->num_blocks = k == GROUP_ALPHA ? 1 : uf_num_blocks(pass_rows(a, k), a->networks[k]);
        const size_t count = (size_t)a->P * g->count;
        REALS(&a->parameters, g->params, count);
        if (k == GROUP_ACTOR && a->frozen) continue;
        REALS(&a->parameters, g->grads, count * (size_t)g->num_blocks);
        REALS(&a->parameters, g->m, count);
        REALS(&a->parameters, g->v, count);
        if (k == GROUP_CRITIC || (k == GROUP_ACTOR && a->has_target_actor))
            REALS(&a->parameters, g->target, count);
    }
}

static int critics_in_actor(const UfAgent* a) {
    return a->configs[0].aggregate_q == UF_AGGREGATE_FIRST ? 1 : a->N;
}

static bool any_positive(const UfAgent* a, size_t offset) {
    for (int p = 0; p < a->P; p++)
        if (*(const double*)((const char*)&a->configs[p] + offset) > 0) return true;
    return false;
}
#define ANY_POSITIVE(agent, field) any_positive((agent), offsetof(UfConfig, field))

static bool uses_cql(const UfAgent* a) { return a->total > a->B; }
// Whether nothing random enters the targets of the U critic updates.
static bool same_targets(const UfAgent* a) {
    return a->configs[0].deterministic && !ANY_POSITIVE(a, policy_noise);
}

static bool is_model_metric(int metric) {
    return metric >= FIRST_MODEL_METRIC && metric < FIRST_MODEL_METRIC + NUM_MODEL_METRICS;
}

static void describe_scratch(UfAgent* a) {
    const UfConfig* c = &a->configs[0];
    UfArena* s = &a->scratch;
    const size_t P = (size_t)a->P, B = (size_t)a->B, N = (size_t)a->N, A = (size_t)a->A, O = (size_t)a->O,
                 U = (size_t)a->U;
    const size_t rows = P * B, total = P * (size_t)a->total, ld = (size_t)a->ld, pi_rows = (size_t)a->pi_rows,
                 used = (size_t)critics_in_actor(a);
    const bool stochastic = !c->deterministic, sampled = stochastic && !(a->frozen && c->deterministic_eval);

    describe(s, &a->device_seeds, P, sizeof(uint64_t));
    describe(s, &a->hyper, P, sizeof(UfHyper));
    REALS(s, a->lr, P);
    REALS(s, a->actor_lr, P);
    REALS(s, a->polyak, P);
    if (c->norm_obs) REALS(s, a->norm_mean, O);
    if (c->norm_obs) REALS(s, a->norm_std, O);
    if (a->frozen) REALS(s, a->actor_mean, O);
    if (a->frozen) REALS(s, a->actor_std, O);

    describe_batch(s, &a->batch, rows, O, A);
    describe(s, &a->index, rows, sizeof(int64_t));
    describe(s, &a->num_rows, P, sizeof(int64_t));
    // Entropy and Q of discrete actions are expectations: they take no noise.
    if (c->use_entropy_loss && !a->discrete) REALS(s, a->noise.alpha, rows * A);
    if (stochastic && !a->frozen && !a->discrete) REALS(s, a->noise.actor, rows * A);
    if (sampled) REALS(s, a->noise.next_action, rows * A * U);
    REALS(s, a->noise.smoothing, rows * A * U);
    if (uses_cql(a) && !a->discrete) {
        REALS(s, a->noise.cql_random, rows * A * U);
        REALS(s, a->noise.cql_pi, rows * A * U);
        REALS(s, a->noise.cql_next, rows * A * U);
    }

    REALS(s, a->x_data, total * ld);
    REALS(s, a->x_pi, P * pi_rows * ld);
    REALS(s, a->x_next, rows * ld);
    if (!a->frozen) describe_tape(s, &a->actor_tape, &a->mlp[GROUP_ACTOR], rows);
    describe_tape(s, &a->data_tape, &a->mlp[GROUP_CRITIC], total * N);
    if (ANY_POSITIVE(a, actor_q_coef)) {
        if (!a->discrete) describe_tape(s, &a->pi_tape, &a->mlp[GROUP_CRITIC], rows * used);
        REALS(s, a->q_pi, P * pi_rows * used);
        if (!a->discrete) REALS(s, a->dq_pi, rows * used);
        REALS(s, a->dqda_pi, rows * (a->discrete ? 1 : used) * A);
    }
    REALS(s, a->actor_out, rows * (size_t)a->H);
    REALS(s, a->next_out, rows * (size_t)a->H);
    REALS(s, a->q_data, total * N);
    REALS(s, a->q_next, rows * N);
    if (needs_value(c)) {
        describe_tape(s, &a->value_tape, &a->mlp[GROUP_VALUE], rows);
        REALS(s, a->v_data, rows);
        REALS(s, a->v_next, rows);
        REALS(s, a->dv, rows);
    }
    if (c->use_awr) REALS(s, a->weight, rows);
    if (c->use_awr && c->use_q_target_in_actor) REALS(s, a->q_weight, rows * N);
    if (stochastic) REALS(s, a->log_prob, rows);
    if (stochastic) REALS(s, a->next_log_prob, rows);
    if (c->use_entropy_loss) REALS(s, a->alpha, P);
    REALS(s, a->target, rows * (same_targets(a) ? 1 : U));
    REALS(s, a->dq, total * N);
    if (ANY_POSITIVE(a, diversity_coef)) {
        REALS(s, a->ones, total * N);
        REALS(s, a->dqda_data, total * N * A);
        REALS(s, a->tangent, total * N * A);
    }
    REALS(s, a->dhead, rows * (size_t)a->H);
    describe(s, &a->bad, (size_t)NUM_GROUPS * P, sizeof(int));
    describe(s, &a->metrics, P * UF_NUM_METRICS, sizeof(double));
}

void uf_agent_bytes(const UfAgent* agent, size_t* parameters, size_t* scratch) {
    *parameters = agent->parameters.bytes;
    *scratch = agent->scratch.bytes + agent->world.arena.bytes;
}

// ---- world model ----

// A rollout takes its start states in slices, so that scratch stays small. What a row's random numbers depend
// on.
enum { ROLLOUT_ROWS = 4096, ERROR_ROWS = 1024 };

static int64_t ring_capacity(const UfConfig* c) {
    return c->rollout_length * c->rollout_batch_size * c->model_retain_epochs;
}

size_t uf_model_buffer_bytes(const UfConfig* c, int obs_dim, int action_dim) {
    const size_t record = (size_t)(obs_dim + action_dim), row = record + 3 + record;
    return (size_t)ring_capacity(c) * row * sizeof(float);
}

static void describe_world(UfAgent* a) {
    const UfConfig* c = &a->configs[0];
    UfWorld* w = &a->world;
    UfArena* s = &w->arena;
    UfRing* ring = &w->ring;
    const size_t P = (size_t)a->P, O = (size_t)a->O, A = (size_t)a->A, E = (size_t)w->elites.nets.N;
    w->slice = c->rollout_batch_size < ROLLOUT_ROWS ? (int)c->rollout_batch_size : ROLLOUT_ROWS;
    const size_t rows = P * (size_t)w->slice, D = O + 1;
    *ring = (UfRing){.capacity = ring_capacity(c), .obs_dim = a->O, .action_dim = a->A, .stride = a->ld + 3};
    const size_t held = P * (size_t)ring->capacity;
    describe(s, &ring->records, held * (size_t)ring->stride, sizeof(float));
    describe(s, &ring->next_obs, held * O, sizeof(float));
    describe(s, &ring->next_actions, held * A, sizeof(float));
    describe(s, &ring->head, P, sizeof(int64_t));
    describe(s, &ring->fill, P, sizeof(int64_t));
    REALS(s, w->params, E * w->mlp.size);
    REALS(s, w->bounds, 2 * D);
    describe_batch(s, &w->step, rows, O, A);
    describe(s, &w->index, rows, sizeof(int64_t));
    describe(s, &w->elite, rows, sizeof(int64_t));
    describe(s, &w->num_elites, P, sizeof(int64_t));
    REALS(s, w->x, rows * (O + A));
    REALS(s, w->obs, rows * O);
    REALS(s, w->out, rows * E * 2 * D);
    REALS(s, w->head, rows * (size_t)a->H);
    REALS(s, w->noise, rows * D);
    if (!c->deterministic) REALS(s, w->action_noise, rows * A);
    REALS(s, w->penalty, rows);
    describe(s, &w->alive, rows, sizeof(int));
    describe(s, &w->sums, P * UF_NUM_ROLLOUT_SUMS, sizeof(double));
    describe(s, &w->error, P, sizeof(double));
}

// Of everything in a model that training reads.
static void hash_model(const UfModel* m, char hex[65]) {
    char parts[512], params[65], bounds[65];
    uf_sha256(m->params, (size_t)m->num_networks * m->mlp.size * sizeof(real), params);
    uf_sha256(m->bounds, 2 * (size_t)(m->obs_dim + 1) * sizeof(real), bounds);
    snprintf(parts, sizeof parts, "%s %s %d %d %d %.17g %.17g %s", params, bounds, m->mlp.layers,
             m->mlp.width, m->num_networks, m->discrepancy, m->min_reward, m->termination);
    uf_sha256(parts, strlen(parts), hex);
}

static UfStatus check_model(const UfAgent* a, const UfModel* m) {
    const char* path = a->configs[0].model_path;
    if (m->obs_dim != a->O || m->action_dim != a->A)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "model_path '%s': the world model has %d observation and %d action dimensions, the dataset %d "
            "and %d; train one on this dataset with `unifloral dynamics`",
            path, m->obs_dim, m->action_dim, a->O, a->A);
    if (strcmp(m->dataset_hash, a->dataset_hash) != 0)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "model_path '%s': the world model was trained on another dataset (SHA-256 %.12s...) than this "
            "one (%.12s...); train one on this dataset with `unifloral dynamics`",
            path, m->dataset_hash, a->dataset_hash);
    for (int p = 0; p < a->P; p++)
        if (a->configs[p].term_penalty_offset < 0 && !(isfinite(m->discrepancy) && isfinite(m->min_reward)))
            return UF_FAIL(
                UF_ERR_CONFIG,
                "term_penalty_offset %g needs the disagreement statistics, which the world model in "
                "model_path '%s' lacks; set it to 0 or train the model again",
                a->configs[p].term_penalty_offset, path);
    return UF_OK;
}

// The rule that the configuration names, else the model's own. Neither: the user may bring one.
static UfStatus find_rule(UfWorld* w, const UfConfig* c, const UfModel* m) {
    const bool own = c->termination[0] != 0;
    const char* name = own ? c->termination : m->termination;
    UfTermination* rule = &w->elites.termination;
    if (!name[0]) return UF_OK;
    if (uf_termination_rule(name, rule) != UF_OK)
        return uf_fail_prefix(UF_ERR_CONFIG, own ? "termination" : "termination rule of the world model");
    if (m->obs_dim < uf_termination_obs_dim(*rule))
        return UF_FAIL(
            UF_ERR_CONFIG,
            "termination rule '%s' looks at %d numbers of an observation, which here has %d; name another "
            "in termination",
            name, uf_termination_obs_dim(*rule), m->obs_dim);
    w->has_rule = true;
    return UF_OK;
}

UfStatus uf_agent_set_model(UfAgent* a, const UfModel* m) {
    UfWorld* w = &a->world;
    UfBackend* be = a->backend;
    const int D = a->O + 1;
    UF_TRY(check_model(a, m));
    UF_TRY(find_rule(w, &a->configs[0], m));
    hash_model(m, w->hash);
    w->mlp = m->mlp;
    w->elites.nets = (UfNets){&w->mlp, a->P, m->num_networks, m->num_networks, NULL, true};
    w->elites.obs_dim = a->O;
    w->elites.action_dim = a->A;
    w->elites.discrepancy = (real)m->discrepancy;
    w->elites.min_reward = (real)m->min_reward;
    describe_world(a);
    UF_TRY(reserve_and_bind(a, &w->arena, "model buffer and scratch of rollouts"));
    UF_TRY(UF_ALLOC(&w->metrics, a->P * NUM_MODEL_METRICS, "metrics of rollouts"));
    UF_TRY(be->plan(be, &w->mlp, a->P, m->num_networks, w->slice));
    if (be->announce) UF_TRY(be->announce(be, &w->mlp, m->num_networks, w->params));
    UF_TRY(be->plan(be, &a->mlp[GROUP_ACTOR], a->P, 1, w->slice));
    real* bounds = NULL;
    UF_TRY(UF_ALLOC(&bounds, 2 * D, "bounds of a world model"));
    uf_variance_bounds(bounds, m->bounds, D);
    be->upload(be, w->bounds, bounds, 2 * (size_t)D * sizeof(real));
    uf_free(bounds);
    be->upload(be, w->params, m->params, (size_t)m->num_networks * m->mlp.size * sizeof(real));
    for (int p = 0; p < a->P; p++)
        be->upload(be, w->num_elites + p, &(int64_t){m->num_networks}, sizeof(int64_t));
    w->elites.nets.params = w->params;
    w->elites.bounds = w->bounds;
    return be->sync(be);
}

UfStatus uf_agent_load_model(UfAgent* a) {
    UfModel* model = NULL;
    UF_TRY(uf_model_load(&model, a->configs[0].model_path));
    UfStatus status = uf_agent_set_model(a, model);
    uf_model_free(model);
    return status;
}

UfStatus uf_agent_set_termination(UfAgent* a, UfTerminationFn* terminates, void* user) {
    if (!a || !uf_agent_has_model(a))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "uf_agent_set_termination: this agent has no world model to end rollouts of");
    UfWorld* w = &a->world;
    const char* what = "rows for a termination callback";
    if (terminates && !w->host.done) {
        if (!w->host.device) UF_TRY(UF_ALLOC(&w->host.device, w->slice * (a->ld + a->O + 1), what));
        if (!w->host.alive) UF_TRY(UF_ALLOC(&w->host.alive, w->slice, what));
        if (!w->host.packed) UF_TRY(UF_ALLOC(&w->host.packed, w->slice * (a->ld + a->O), what));
        UF_TRY(UF_ALLOC(&w->host.done, w->slice, what));
    }
    w->terminates = terminates;
    w->user = user;
    return UF_OK;
}

// ---- making an agent ----

static void fill_uniform(real* out, size_t count, double bound, UfRandom* random) {
    for (size_t i = 0; i < count; i++) out[i] = (real)uf_random_uniform(random, -bound, bound);
}

// Draws one member's tensors in table order; targets copy.
static UfStatus init_tensor(UfAgent* a, int index, int member, real* values) {
    const UfTensor* t = &a->tensors[index];
    const char* leaf = strrchr(t->name, '/');
    leaf = leaf ? leaf + 1 : t->name;
    const bool hidden = strstr(t->name, "/hidden/") != NULL;
    const size_t count = uf_tensor_count(t);
    UfRandom random = uf_random(a->seeds[member], UF_STREAM_INIT, (uint64_t)index);
    if (t->group == GROUP_ALPHA)
        values[0] = (real)log(a->configs[member].ent_coef_init);
    else if (strcmp(leaf, "log_std_param") == 0 || strcmp(leaf, "shift") == 0)
        memset(values, 0, count * sizeof(real));
    else if (strcmp(leaf, "scale") == 0)
        for (size_t i = 0; i < count; i++) values[i] = 1;
    else if (hidden && strcmp(leaf, "bias") == 0)
        for (size_t i = 0; i < count; i++) values[i] = (real)0.1;
    else if (hidden)
        uf_fill_lecun_normal(values, count, t->rows, &random);
    else
        fill_uniform(values, count, t->group == GROUP_ACTOR ? 1e-3 : 3e-3, &random);
    return uf_agent_set_tensor(a, t, UF_TENSOR_VALUE, member, values);
}

static UfStatus init_parameters(UfAgent* a) {
    size_t largest = 0;
    for (int i = 0; i < a->num_tensors; i++)
        if (uf_tensor_count(&a->tensors[i]) > largest) largest = uf_tensor_count(&a->tensors[i]);
    real* values = NULL;
    UF_TRY(UF_ALLOC(&values, largest, "initial values of one tensor"));
    UfStatus status = UF_OK;
    for (int p = 0; p < a->P && status == UF_OK; p++)
        for (int i = 0; i < a->num_tensors && status == UF_OK; i++)
            if (!a->tensors[i].is_target) status = init_tensor(a, i, p, values);
    uf_free(values);
    UF_TRY(status);
    // A Polyak step of 1 from zeros copies online parameters into targets.
    real* one = a->lr;
    for (int p = 0; p < a->P; p++) a->backend->upload(a->backend, one + p, &(real){1}, sizeof(real));
    for (int k = 0; k < NUM_GROUPS; k++)
        if (a->networks[k] && a->groups[k].target)
            a->backend->adam_polyak(a->backend, &a->groups[k], NULL, (UfCount){0, 0}, (UfDecay){0}, 0, one,
                                    NULL);
    return a->backend->sync(a->backend);
}

void uf_agent_upload_constants(UfAgent* a) {
    UfBackend* be = a->backend;
    for (int p = 0; p < a->P; p++) {
        const UfConfig* c = &a->configs[p];
        UfHyper h;
#define UF_COPY_RUN(name)
#define UF_COPY_SHARED(name)
#define UF_COPY_PER_MEMBER(name) h.name = (real)c->name;
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help)
#define UF_FLOAT(name, value, low, high, scope, help) UF_COPY_##scope(name)
#define UF_BOOL(name, value, scope, help)
#define UF_ENUM(name, value, choices, scope, help)
#define UF_STRING(name, value, scope, help)
#include "params.def"
        be->upload(be, a->hyper + p, &h, sizeof h);
        be->upload(be, a->lr + p, &h.lr, sizeof(real));
        be->upload(be, a->actor_lr + p, &h.actor_lr, sizeof(real));
        be->upload(be, a->polyak + p, &h.polyak_step_size, sizeof(real));
    }
    be->upload(be, a->device_seeds, a->seeds, (size_t)a->P * sizeof *a->seeds);
    if (a->norm_mean) {
        be->upload(be, a->norm_mean, a->host_norm, (size_t)a->O * sizeof(real));
        be->upload(be, a->norm_std, a->host_norm + a->O, (size_t)a->O * sizeof(real));
    }
}

static UfStatus upload_ones(UfAgent* a) {
    const size_t count = (size_t)a->P * (size_t)a->N * (size_t)a->total;
    real* ones = NULL;
    if (!a->ones) return UF_OK;
    UF_TRY(UF_ALLOC(&ones, count, "seeds of dQ/da"));
    for (size_t i = 0; i < count; i++) ones[i] = 1;
    a->backend->upload(a->backend, a->ones, ones, count * sizeof(real));
    uf_free(ones);
    return UF_OK;
}

// Rows of x (P, groups * B, ld) from group `first` on are those of all actions: their one-hot columns stay as they are
// put here, updates write the observations.
static UfStatus upload_kinds(UfAgent* a, real* x, int groups, int first) {
    const size_t B = (size_t)a->B, ld = (size_t)a->ld, rows = (size_t)groups * B;
    real* host = NULL;
    UF_TRY(UF_ALLOC(&host, rows * ld, "rows of all actions"));
    for (size_t row = (size_t)first * B; row < rows; row++)
        host[row * ld + (size_t)a->O + row / B - (size_t)first] = 1;
    for (size_t p = 0; p < (size_t)a->P; p++)
        a->backend->upload(a->backend, x + p * rows * ld, host, rows * ld * sizeof(real));
    UfStatus status = a->backend->sync(a->backend);
    uf_free(host);
    return status;
}

static UfStatus give_host_copies(UfAgent* a) {
    a->host_metrics = a->metrics;
    a->host_bad = a->bad;
    if (!a->backend->apart) return UF_OK;
    a->host_metrics = NULL;
    a->host_bad = NULL;
    UF_TRY(UF_ALLOC(&a->host_metrics, (size_t)a->P * UF_NUM_METRICS, "metrics on the host"));
    return UF_ALLOC(&a->host_bad, NUM_GROUPS * a->P, "states of parameters on the host");
}

// What updates have made, on the host. Metrics of rollouts are kept there alone.
static UfStatus fetch_metrics(UfAgent* a) {
    UfBackend* be = a->backend;
    if (!be->apart) return UF_OK;
    for (int p = 0; p < a->P; p++) {
        double* m = a->host_metrics + (size_t)p * UF_NUM_METRICS;
        double of_model[NUM_MODEL_METRICS];
        memcpy(of_model, m + FIRST_MODEL_METRIC, sizeof of_model);
        be->download(be, m, a->metrics + (size_t)p * UF_NUM_METRICS, UF_NUM_METRICS * sizeof *m);
        memcpy(m + FIRST_MODEL_METRIC, of_model, sizeof of_model);
    }
    be->download(be, a->host_bad, a->bad, NUM_GROUPS * (size_t)a->P * sizeof *a->bad);
    return be->sync(be);
}

void uf_agent_send_metrics(UfAgent* a) {
    const size_t bytes = (size_t)a->P * UF_NUM_METRICS * sizeof *a->metrics;
    if (a->backend->apart) a->backend->upload(a->backend, a->metrics, a->host_metrics, bytes);
}

static void choose_metrics(UfAgent* a) {
    static const char* const names[UF_NUM_METRICS] = {
#define X(name) #name,
        UF_METRICS(X)
#undef X
    };
    const UfConfig* c = &a->configs[0];
    for (int m = 0; m < UF_NUM_METRICS; m++) {
        const bool absent =
            (m == UF_METRIC_bc_loss && !ANY_POSITIVE(a, actor_bc_coef) && !c->use_awr) ||
            (m == UF_METRIC_actor_q && !ANY_POSITIVE(a, actor_q_coef)) ||
            (m == UF_METRIC_adv && !c->use_awr) || (m == UF_METRIC_entropy && c->deterministic) ||
            ((m == UF_METRIC_alpha || m == UF_METRIC_alpha_loss) && !c->use_entropy_loss) ||
            (m == UF_METRIC_diversity_loss && !a->tangent) || (m == UF_METRIC_cql_loss && !uses_cql(a)) ||
            (m == UF_METRIC_value_loss && !needs_value(c)) || (is_model_metric(m) && !uf_agent_uses_model(a));
        if (absent) continue;
        a->logged[a->num_logged] = m;
        a->logged_names[a->num_logged++] = names[m];
    }
}

// A coefficient that is 0 leaves its term out of the update. Members share one update, so they must agree on
// that; else a member would not compute what it computes alone.
UfStatus uf_config_fit_together(const UfConfig* a, const UfConfig* b) {
    UF_TRY(uf_config_same_shape(a, b));
    if (a->device != b->device || a->precision != b->precision)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "members of a population share a device and its precision; here are %s (%s) and %s (%s)",
            uf_device_name(a->device), uf_precision_name(a->precision), uf_device_name(b->device),
            uf_precision_name(b->precision));
    const char* differs = (a->actor_q_coef > 0) != (b->actor_q_coef > 0)             ? "actor_q_coef"
                          : (a->diversity_coef > 0) != (b->diversity_coef > 0)       ? "diversity_coef"
                          : (a->cql_min_q_weight > 0) != (b->cql_min_q_weight > 0)   ? "cql_min_q_weight"
                          : (a->init_entropy_coef > 0) != (b->init_entropy_coef > 0) ? "init_entropy_coef"
                                                                                     : NULL;
    if (!differs) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG,
                   "%s is 0 in one member of a population and not in another; train them in two populations",
                   differs);
}

static UfStatus announce(const UfAgent* a) {
    UfBackend* be = a->backend;
    for (int k = 0; k < GROUP_ALPHA && be->announce; k++) {
        const UfGroup* g = &a->groups[k];
        if (a->networks[k]) UF_TRY(be->announce(be, &a->mlp[k], a->P * a->networks[k], g->params));
        if (g->target) UF_TRY(be->announce(be, &a->mlp[k], a->P * a->networks[k], g->target));
    }
    return UF_OK;
}

static UfStatus build_agent(UfAgent* a, const UfConfig* const* configs, const real* obs_mean,
                            const real* obs_std, int num_threads) {
    UF_TRY(UF_ALLOC(&a->configs, a->P, "configurations"));
    UF_TRY(UF_ALLOC(&a->seeds, a->P, "seeds"));
    UF_TRY(UF_ALLOC(&a->faults, a->P, "states of members"));
    for (int p = 0; p < a->P; p++) {
        UF_TRY(check_update(configs[p]));
        if (a->discrete) UF_TRY(check_discrete(configs[p]));
        UF_TRY(uf_config_fit_together(configs[0], configs[p]));
        a->configs[p] = *configs[p];
        a->seeds[p] = (uint64_t)configs[p]->seed;
    }
    const UfConfig* c = &a->configs[0];
    a->N = (int)c->num_critics;
    a->B = (int)c->batch_size;
    a->U = (int)c->num_critic_updates_per_step;
    if (a->discrete && (INT64_C(1) + a->A) * a->B > INT_MAX)
        return UF_FAIL(UF_ERR_CONFIG,
                       "batch_size %d times %d actions are too many rows for one pass; lower it", a->B, a->A);
    a->total = !ANY_POSITIVE(a, cql_min_q_weight) ? a->B : a->discrete ? (1 + a->A) * a->B : 4 * a->B;
    a->pi_rows = a->discrete && !a->frozen && ANY_POSITIVE(a, actor_q_coef) ? a->A * a->B : a->B;
    a->num_data = dataset_rows(c);
    a->ld = a->O + a->A;
    a->has_target_actor = c->use_target_actor;
    UF_TRY(UF_ALLOC(&a->inputs, 1 + a->pi_rows / a->B + a->total / a->B, "lists of input rows"));
    UF_TRY(UF_ALLOC(&a->host_norm, 2 * a->O, "observation statistics"));
    for (int i = 0; i < a->O; i++) {
        a->host_norm[i] = obs_mean ? obs_mean[i] : 0;
        a->host_norm[a->O + i] = obs_std ? obs_std[i] : 1;
    }
    UF_TRY(UF_ALLOC(&a->logged_values, UF_NUM_METRICS, "metrics"));
    UF_TRY(uf_backend_open(&a->backend, uf_device_name(c->device), uf_precision_name(c->precision),
                           num_threads));
    describe_networks(a);
    describe_tensors(a);
    describe_parameters(a);
    describe_scratch(a);
    UF_TRY(reserve_and_bind(a, &a->parameters, "parameters, gradients and optimiser state"));
    UF_TRY(reserve_and_bind(a, &a->scratch, "batch, activations and scratch"));
    for (int k = 0; k < GROUP_ALPHA; k++)
        if (a->networks[k])
            UF_TRY(a->backend->plan(a->backend, &a->mlp[k], a->P, a->networks[k], pass_rows(a, k)));
    UF_TRY(announce(a));
    if (a->total > a->B) UF_TRY(a->backend->plan(a->backend, &a->mlp[GROUP_CRITIC], a->P, a->N, a->B));
    if (a->pi_rows > a->B)
        UF_TRY(a->backend->plan(a->backend, &a->mlp[GROUP_CRITIC], a->P, critics_in_actor(a), a->pi_rows));
    if (a->discrete && a->q_pi && !a->frozen) UF_TRY(upload_kinds(a, a->x_pi, a->A, 0));
    if (a->discrete && uses_cql(a)) UF_TRY(upload_kinds(a, a->x_data, 1 + a->A, 1));
    choose_metrics(a);
    UF_TRY(give_host_copies(a));
    UF_TRY(init_parameters(a));
    uf_agent_upload_constants(a);
    UF_TRY(upload_ones(a));
    return a->backend->sync(a->backend);
}

UfStatus uf_agent_make(UfAgent** out, const UfConfig* const* configs, int population, int obs_dim,
                       int action_dim, bool discrete, const real* obs_mean, const real* obs_std,
                       int num_threads, bool frozen) {
    UfAgent* a = NULL;
    *out = NULL;
    if (population < 1 || obs_dim < 1 || action_dim < 1)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "an agent needs population, obs_dim and action_dim of at least 1, not %d, %d and %d",
                       population, obs_dim, action_dim);
    UF_TRY(UF_ALLOC(&a, 1, "agent"));
    a->P = population;
    a->round = 1;
    a->O = obs_dim;
    a->A = action_dim;
    a->discrete = discrete;
    a->frozen = frozen;
    UfStatus status = build_agent(a, configs, obs_mean, obs_std, num_threads);
    if (status != UF_OK) {
        uf_agent_free(a);
        return status;
    }
    *out = a;
    return UF_OK;
}

UfStatus uf_agent_create_bare(UfAgent** out, const UfConfig* const* configs, int population, int obs_dim,
                              int action_dim, const real* obs_mean, const real* obs_std, int num_threads) {
    const bool discrete = population > 0 && configs[0]->action_space == UF_ACTIONS_DISCRETE;
    return uf_agent_make(out, configs, population, obs_dim, action_dim, discrete, obs_mean, obs_std,
                         num_threads, false);
}

// Whether the policy of a run on this dataset is categorical.
static UfStatus has_discrete_actions(const UfConfig* c, const UfDataset* d, bool* discrete) {
    *discrete = c->action_space == UF_ACTIONS_AUTO ? d->discrete : c->action_space == UF_ACTIONS_DISCRETE;
    return *discrete ? uf_dataset_check_one_hot(d) : UF_OK;
}

UfStatus uf_agent_create_population(UfAgent** out, const UfConfig* const* configs, int population,
                                    const UfDataset* dataset, int num_threads) {
    if (!out) return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_create: out is null");
    *out = NULL;
    if (!configs || !dataset || population < 1)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_create: needs configs and a dataset");
    const int O = dataset->obs_dim, A = dataset->action_dim;
    real* norm = NULL;
    for (int p = 0; p < population; p++) UF_TRY(uf_config_check(configs[p]));
    UF_TRY(UF_ALLOC(&norm, 2 * O, "observation statistics"));
    for (int i = 0; i < O; i++) {
        norm[i] = dataset->obs_mean[i];
        norm[O + i] = dataset->obs_std[i];
    }
    UfAgent* a = NULL;
    bool discrete;
    UfStatus status = has_discrete_actions(configs[0], dataset, &discrete);
    if (status == UF_OK)
        status = uf_agent_make(&a, configs, population, O, A, discrete, norm, norm + O, num_threads, false);
    uf_free(norm);
    UF_TRY(status);
    snprintf(a->dataset_hash, sizeof a->dataset_hash, "%s", dataset->hash);
    snprintf(a->env_id, sizeof a->env_id, "%s", dataset->env_id ? dataset->env_id : "");
    if (dataset->action_low) status = UF_ALLOC(&a->action_bounds, 2 * A, "action bounds");
    if (status == UF_OK && dataset->action_low) {
        memcpy(a->action_bounds, dataset->action_low, (size_t)A * sizeof(float));
        memcpy(a->action_bounds + A, dataset->action_high, (size_t)A * sizeof(float));
    }
    if (status == UF_OK && uf_agent_uses_model(a)) status = uf_agent_load_model(a);
    if (status == UF_OK && a->configs[0].init_from[0])
        status = uf_synth_init(a, a->init_note, sizeof a->init_note);
    if (status != UF_OK) {
        uf_agent_free(a);
        return status;
    }
    *out = a;
    return UF_OK;
}

UfStatus uf_agent_create(UfAgent** out, const UfConfig* config, const UfDataset* dataset, int num_threads) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(config);
    return uf_agent_create_population(out, &config, 1, dataset, num_threads);
}

void uf_agent_free(UfAgent* a) {
    if (!a) return;
    if (a->backend) {
        a->backend->release(a->backend, a->parameters.memory);
        a->backend->release(a->backend, a->scratch.memory);
        a->backend->release(a->backend, a->world.arena.memory);
        uf_loaded_free(&a->data, a->backend);
        if (a->backend->apart) uf_free(a->host_metrics);
        if (a->backend->apart) uf_free(a->host_bad);
        uf_backend_close(a->backend);
    }
    uf_free(a->configs);
    uf_free(a->seeds);
    uf_free(a->faults);
    uf_free(a->inputs);
    uf_free(a->host_norm);
    uf_free(a->action_bounds);
    uf_free(a->logged_values);
    uf_free(a->world.metrics);
    uf_free(a->world.host.device);
    uf_free(a->world.host.alive);
    uf_free(a->world.host.packed);
    uf_free(a->world.host.done);
    uf_free(a);
}

int64_t uf_agent_num_updates(const UfAgent* agent) { return agent->num_updates; }
int uf_agent_population(const UfAgent* agent) { return agent->P; }
const UfConfig* uf_agent_config(const UfAgent* agent, int member) {
    return agent && member >= 0 && member < agent->P ? &agent->configs[member] : NULL;
}
const char* uf_agent_dataset_hash(const UfAgent* agent) { return agent->dataset_hash; }
UfBackend* uf_agent_backend(UfAgent* agent) { return agent->backend; }
const char* uf_agent_init_note(const UfAgent* agent) { return agent->init_note; }
const UfBatch* uf_agent_batch(const UfAgent* agent) { return &agent->batch; }
const UfNoise* uf_agent_noise(const UfAgent* agent) { return &agent->noise; }

// ---- noise and inputs ----

static size_t noise_count(const UfAgent* a) { return (size_t)a->P * (size_t)a->B * (size_t)a->A; }

// Draws that one call of `random` makes.
typedef struct Draws {
    int count;
    UfDraw list[64];
} Draws;

static void make_draws(UfAgent* a, Draws* draws) {
    if (draws->count) a->backend->random(a->backend, draws->list, draws->count, a->P, a->device_seeds);
    draws->count = 0;
}

static void add_draw(UfAgent* a, Draws* draws, UfDraw draw) {
    if (draws->count == sizeof draws->list / sizeof *draws->list) make_draws(a, draws);
    draws->list[draws->count++] = draw;
}

static void add_index(UfAgent* a, Draws* draws, int64_t* out, const int64_t* below, int64_t count, int stream,
                      UfCount update) {
    add_draw(a, draws, (UfDraw){out, below, count, UF_DRAW_INDEX, stream, update});
}

static void add_normals(UfAgent* a, Draws* draws, real* out, int64_t count, int stream, UfCount update) {
    add_draw(a, draws, (UfDraw){out, NULL, count, UF_DRAW_NORMAL, stream, update});
}

// Every number that chance gives to this update, but for the rows of its batch.
static void add_noise(UfAgent* a, Draws* d) {
    const int64_t count = (int64_t)a->B * a->A;
    const UfCount t = {a->num_updates, 1};
    const bool smoothing = ANY_POSITIVE(a, policy_noise);
    const UfNoise* z = &a->noise;
    if (z->alpha) add_normals(a, d, z->alpha, count, UF_STREAM_ALPHA, t);
    if (z->actor) add_normals(a, d, z->actor, count, UF_STREAM_ACTOR, t);
    for (int u = 0; u < a->U; u++) {
        const size_t at = (size_t)u * noise_count(a);
        const UfCount tu = {t.now * a->U + u, a->U};
        if (z->next_action) add_normals(a, d, z->next_action + at, count, UF_STREAM_NEXT_ACTION, tu);
        if (smoothing) add_normals(a, d, z->smoothing + at, count, UF_STREAM_SMOOTHING, tu);
        if (!z->cql_random) continue;
        add_draw(a, d, (UfDraw){z->cql_random + at, NULL, count, UF_DRAW_UNIFORM, UF_STREAM_CQL_RANDOM, tu});
        add_normals(a, d, z->cql_pi + at, count, UF_STREAM_CQL_PI, tu);
        add_normals(a, d, z->cql_next + at, count, UF_STREAM_CQL_NEXT, tu);
    }
}

static real* at_update(const UfAgent* a, real* noise, int u) {
    return noise ? noise + (size_t)u * noise_count(a) : NULL;
}

static void put_rows(UfAgent* a, const UfInputRows* rows, int num_rows) {
    a->backend->network_input(a->backend, rows, num_rows, a->ld, a->norm_mean, a->norm_std, a->P, a->B, a->O,
                              a->A);
}

// Normalised observations into every input; actions of the dataset where they belong.
static void prepare_inputs(UfAgent* a, const UfBatch* batch) {
    const size_t group = (size_t)a->B * (size_t)a->ld;
    UfInputRows* rows = a->inputs;
    *rows++ = (UfInputRows){a->x_data, a->total, batch->obs, batch->action};
    *rows++ = (UfInputRows){a->x_next, a->B, batch->next_obs, NULL};
    for (int k = 0; k < a->pi_rows / a->B; k++)
        *rows++ = (UfInputRows){a->x_pi + (size_t)k * group, a->pi_rows, batch->obs, NULL};
    // CQL's rows: data, then random, pi, next pi; or data, then all actions
    for (int k = 1; k < a->total / a->B; k++)
        *rows++ = (UfInputRows){a->x_data + (size_t)k * group, a->total,
                                k == 3 && !a->discrete ? batch->next_obs : batch->obs, NULL};
    put_rows(a, a->inputs, (int)(rows - a->inputs));
}

// Branches of an update that a device may take side by side: see `branch` of kernels.h.
enum { TRUNK, ACTOR_BRANCH, TARGET_BRANCH };

static void go_to(const UfAgent* a, int branch) {
    if (a->backend->branch) a->backend->branch(a->backend, branch);
}

static void come_after(const UfAgent* a, int branch) {
    if (a->backend->after) a->backend->after(a->backend, branch);
}

static UfNets nets_of(const UfAgent* a, int group, bool target) {
    const UfGroup* g = &a->groups[group];
    return (UfNets){
        &a->mlp[group], a->P, a->networks[group], a->networks[group], target ? g->target : g->params, false};
}

static UfInput input_of(const UfAgent* a, const real* x, int total) { return (UfInput){x, a->ld, total}; }
static UfActions actions_of(const UfAgent* a, real* x, int total) {
    return (UfActions){x + a->O, a->ld, total};
}

static UfHeads heads_of(const UfAgent* a, const real* head, bool target) {
    const UfGroup* g = &a->groups[GROUP_ACTOR];
    const real* params = target ? g->target : g->params;
    const bool param = !a->discrete && !a->configs[0].deterministic && a->H == a->A;
    return (UfHeads){
        a->policy_kind, a->P,    a->B, a->A, a->H, head, param ? params + a->mlp[GROUP_ACTOR].log_std : NULL,
        g->count,       a->hyper};
}

void uf_agent_actors(const UfAgent* a, UfPlay* play) {
    play->nets = nets_of(a, GROUP_ACTOR, false);
    play->heads = heads_of(a, NULL, false);
    play->mean = a->norm_mean;
    play->std = a->norm_std;
}

UfInside uf_agent_inside(const UfAgent* a) {
    UfInside in = {.backend = a->backend,
                   .configs = a->configs,
                   .seeds = a->seeds,
                   .device_seeds = a->device_seeds,
                   .P = a->P,
                   .O = a->O,
                   .A = a->A,
                   .H = a->H,
                   .B = a->B,
                   .discrete = a->discrete,
                   .env_id = a->env_id,
                   .norm = a->configs[0].norm_obs ? a->host_norm : NULL,
                   .mean = a->norm_mean,
                   .std = a->norm_std,
                   .heads = heads_of(a, NULL, false)};
    _Static_assert((int)UF_VALUE_NETS == (int)GROUP_VALUE && (int)UF_ACTOR_NETS == (int)GROUP_ACTOR &&
                       (int)UF_CRITIC_NETS == (int)GROUP_CRITIC,
                   "the same order");
    for (int k = 0; k < UF_NUM_NETS; k++) {
        in.nets[k] = nets_of(a, k, false);
        in.groups[k] = a->groups[k];
    }
    return in;
}

// Step u of the `each` that the group's optimiser does in an update.
static void optimise(UfAgent* a, int group, int u, int each, const real* polyak) {
    const UfConfig* c = &a->configs[0];
    const UfCount step = {a->num_updates * each + u + 1, each};
    const UfDecay decay = {c->lr_schedule == UF_SCHEDULE_CONSTANT ? UF_DECAY_NONE : UF_DECAY_COSINE,
                           c->num_updates * each};
    a->backend->adam_polyak(a->backend, &a->groups[group], group == GROUP_ACTOR ? a->actor_lr : a->lr, step,
                            decay, 0, polyak, a->bad + group * a->P);
}

// Q(s, a_data) of the online critics, kept for the backward pass.
static void forward_data_critics(UfAgent* a) {
    const UfNets critic = nets_of(a, GROUP_CRITIC, false);
    a->backend->mlp_forward(a->backend, &critic, a->q_data, &a->data_tape, input_of(a, a->x_data, a->total),
                            (UfRows){0, a->B, a->total});
}

static void forward_value(UfAgent* a) {
    const UfNets value = nets_of(a, GROUP_VALUE, false);
    a->backend->mlp_forward(a->backend, &value, a->v_data, &a->value_tape, input_of(a, a->x_data, a->total),
                            (UfRows){0, a->B, a->B});
}

// ---- actor ----

// SAC's: -A; of discrete actions a share of the entropy of all alike (arXiv 1910.07207).
static real target_entropy(const UfAgent* a) {
    return (real)(a->discrete ? a->configs[0].discrete_target_entropy * log(a->A) : -a->A);
}

static void update_entropy_coef(UfAgent* a, const UfNoise* z) {
    UfBackend* be = a->backend;
    const UfHeads heads = heads_of(a, a->actor_out, false);
    const UfGroup* g = &a->groups[GROUP_ALPHA];
    be->policy_sample(be, &heads, (UfActions){NULL, 0, 0}, a->log_prob, z->alpha, NULL);
    be->entropy_coef_loss(be, g->grads, g->count, a->log_prob, g->params, target_entropy(a), a->P, a->B,
                          a->metrics);
    optimise(a, GROUP_ALPHA, 0, 1, NULL);
    be->entropy_coef(be, a->alpha, g->params, g->count, a->P, a->metrics);
}

// Weights of behaviour cloning, from Q and V of the data.
static void weigh_by_advantage(UfAgent* a) {
    UfBackend* be = a->backend;
    const bool target = a->configs[0].use_q_target_in_actor;
    if (target) {
        const UfNets critic = nets_of(a, GROUP_CRITIC, true);
        be->mlp_forward(be, &critic, a->q_weight, NULL, input_of(a, a->x_data, a->total),
                        (UfRows){0, a->B, a->B});
    }
    be->awr_weight(be, a->weight, target ? a->q_weight : a->q_data, target ? a->B : a->total, a->v_data,
                   a->hyper, a->P, a->N, a->B, a->metrics);
}

// dQ/da of the aggregated critics at the policy's actions.
static void backward_q_to_action(UfAgent* a) {
    UfBackend* be = a->backend;
    const UfConfig* c = &a->configs[0];
    UfNets critic = nets_of(a, GROUP_CRITIC, c->use_q_target_in_actor);
    critic.used = critics_in_actor(a);
    const UfInput input = input_of(a, a->x_pi, a->B);
    be->mlp_forward(be, &critic, a->q_pi, &a->pi_tape, input, (UfRows){0, a->B, a->B});
    be->actor_q_loss(be, a->dq_pi, a->q_pi, c->aggregate_q, c->normalize_q_loss, a->hyper, a->P, critic.used,
                     a->B, a->metrics);
    be->mlp_backward(be, &critic, NULL, a->dqda_pi, a->O, a->A, &a->pi_tape, input, a->dq_pi, a->B);
}

// The same for discrete actions, by their probabilities: exact, and no pass back through the critics.
static void expect_q(UfAgent* a, const UfHeads* heads) {
    UfBackend* be = a->backend;
    const UfConfig* c = &a->configs[0];
    UfNets critic = nets_of(a, GROUP_CRITIC, c->use_q_target_in_actor);
    critic.used = critics_in_actor(a);
    be->mlp_forward(be, &critic, a->q_pi, NULL, input_of(a, a->x_pi, a->pi_rows),
                    (UfRows){0, a->pi_rows, a->pi_rows});
    be->expected_q_loss(be, a->dqda_pi, heads, a->q_pi, c->aggregate_q, c->normalize_q_loss, critic.used,
                        a->metrics);
}

// The policy's actions on s and what the critics say of them.
static void act_on_data(UfAgent* a, const UfNoise* z) {
    const UfHeads heads = heads_of(a, a->actor_out, false);
    a->backend->policy_sample(a->backend, &heads,
                              a->discrete ? (UfActions){NULL, 0, 0} : actions_of(a, a->x_pi, a->B),
                              a->log_prob, z->actor, NULL);
    if (!a->q_pi) return;
    if (a->discrete)
        expect_q(a, &heads);
    else
        backward_q_to_action(a);
}

static void update_actor(UfAgent* a, const UfBatch* batch, const UfNoise* z) {
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(a, GROUP_ACTOR, false);
    const UfHeads heads = heads_of(a, a->actor_out, false);
    UfGroup* g = &a->groups[GROUP_ACTOR];
    // The free log-std's gradient goes to the first block, beside the network's.
    be->actor_loss(be, a->dhead, heads.log_std ? g->grads + a->mlp[GROUP_ACTOR].log_std : NULL, &heads,
                   z->actor, batch->action, a->weight, a->dqda_pi, a->discrete ? 1 : critics_in_actor(a),
                   a->alpha, a->log_prob, a->metrics);
    be->mlp_backward(be, &actor, g->grads, NULL, 0, 0, &a->actor_tape, input_of(a, a->x_data, a->total),
                     a->dhead, a->B);
    // Whatever reads the target actor has done so: see train_step.
    optimise(a, GROUP_ACTOR, 0, 1, a->has_target_actor ? a->polyak : NULL);
}

// ---- critics ----

static real* target_of(const UfAgent* a, int u) {
    return a->target + (same_targets(a) ? 0 : (size_t)u * (size_t)a->P * (size_t)a->B);
}

static void compute_target(UfAgent* a, const UfBatch* batch, const UfNoise* z, int u) {
    UfBackend* be = a->backend;
    const UfHeads heads = heads_of(a, a->next_out, a->has_target_actor);
    const UfActions next = actions_of(a, a->x_next, a->B);
    const bool from_value = a->configs[0].use_value_target;
    be->policy_sample(be, &heads, next, a->next_log_prob, at_update(a, z->next_action, u),
                      at_update(a, z->smoothing, u));
    if (!from_value) {
        const UfNets critic = nets_of(a, GROUP_CRITIC, true);
        be->mlp_forward(be, &critic, a->q_next, NULL, input_of(a, a->x_next, a->B), (UfRows){0, a->B, a->B});
    }
    be->td_target(be, target_of(a, u), batch, from_value ? NULL : a->q_next, from_value ? a->v_next : NULL,
                  next, a->alpha, a->next_log_prob, a->hyper, a->P, a->N, a->B, a->A, a->metrics,
                  u == 0);  // the first target is logged
}

// Of all U updates: target critics, the policy on s' and V(s') do not change during them.
static void compute_targets(UfAgent* a, const UfBatch* batch, const UfNoise* z) {
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(a, GROUP_ACTOR, a->has_target_actor);
    const UfInput next = input_of(a, a->x_next, a->B);
    be->mlp_forward(be, &actor, a->next_out, NULL, next, (UfRows){0, a->B, a->B});
    if (a->configs[0].use_value_target) {
        const UfNets value = nets_of(a, GROUP_VALUE, false);
        be->mlp_forward(be, &value, a->v_next, NULL, next, (UfRows){0, a->B, a->B});
    }
    for (int u = 0; u < (same_targets(a) ? 1 : a->U); u++) compute_target(a, batch, z, u);
}

// The groups of rows that the conservative penalty compares with the data: random, pi(s) and pi(s') actions; of discrete
// ones all there are, at s.
static void forward_cql_rows(UfAgent* a, const UfNoise* z, int u) {
    UfBackend* be = a->backend;
    const size_t group = (size_t)a->B * (size_t)a->ld;
    const UfNets actor = nets_of(a, GROUP_ACTOR, false), critic = nets_of(a, GROUP_CRITIC, false);
    const UfBatch* batch = &a->batch;
    const UfHeads heads = heads_of(a, a->dhead, false);  // dhead is free here: the actor's update is done
    if (!a->discrete)
        put_rows(a, &(UfInputRows){a->x_data + group, a->total, batch->obs, at_update(a, z->cql_random, u)},
                 1);
    for (int k = 2; k < 4 && !a->discrete; k++) {
        real* x = a->x_data + (size_t)k * group;
        be->mlp_forward(be, &actor, a->dhead, NULL, input_of(a, x, a->total), (UfRows){0, a->B, a->B});
        be->policy_sample(be, &heads, actions_of(a, x, a->total), NULL,
                          at_update(a, k == 2 ? z->cql_pi : z->cql_next, u), NULL);
    }
    be->mlp_forward(be, &critic, a->q_data, &a->data_tape, input_of(a, a->x_data, a->total),
                    (UfRows){a->B, a->total - a->B, a->total});
}

// Gradients of update u. Q of the data is known to the first.
static void differentiate_critics(UfAgent* a, const UfNoise* z, int u) {
    UfBackend* be = a->backend;
    const UfNets critic = nets_of(a, GROUP_CRITIC, false);
    const UfInput input = input_of(a, a->x_data, a->total);
    UfGroup* g = &a->groups[GROUP_CRITIC];
    const double weight = 1.0 / a->U;
    if (u > 0) forward_data_critics(a);
    if (uses_cql(a)) forward_cql_rows(a, z, u);
    be->q_loss(be, a->dq, a->q_data, target_of(a, u), a->hyper, a->P, a->N, a->B, a->total, a->discrete,
               a->configs[0].cql_data_only ? a->num_data : a->B, a->metrics, weight);
    if (a->tangent) {
        be->mlp_backward(be, &critic, NULL, a->dqda_data, a->O, a->A, &a->data_tape, input, a->ones,
                         a->total);
        be->diversity_loss(be, a->tangent, a->dqda_data, a->hyper, a->P, a->N, a->B, a->total, a->A,
                           a->metrics, weight);
        be->mlp_backward_backward(be, &critic, g->grads, &a->data_tape, input, a->tangent, a->O, a->A, a->dq,
                                  a->total);
    } else {
        be->mlp_backward(be, &critic, g->grads, NULL, 0, 0, &a->data_tape, input, a->dq, a->total);
    }
}

// Nothing reads the target critics after the last of the U updates: its Adam step takes Polyak's along.
static void step_critics(UfAgent* a, int u) {
    optimise(a, GROUP_CRITIC, u, a->U, u == a->U - 1 ? a->polyak : NULL);
}

// ---- value and targets ----

static void update_value(UfAgent* a) {
    UfBackend* be = a->backend;
    const UfNets critic = nets_of(a, GROUP_CRITIC, false), value = nets_of(a, GROUP_VALUE, false);
    UfGroup* g = &a->groups[GROUP_VALUE];
    const UfInput input = input_of(a, a->x_data, a->total);
    be->mlp_forward(be, &critic, a->q_next, NULL, input, (UfRows){0, a->B, a->B});
    be->value_loss(be, a->dv, a->q_next, a->B, a->v_data, a->hyper, a->P, a->N, a->B, a->metrics);
    be->mlp_backward(be, &value, g->grads, NULL, 0, 0, &a->value_tape, input, a->dv, a->B);
    optimise(a, GROUP_VALUE, 0, 1, NULL);
}

// ---- rollouts ----

// Numbers the random draws of a slice of rows at a step of this update's rollout, which no device records.
static UfCount rollout_draw(const UfAgent* a, int64_t step, int64_t slice) {
    const UfConfig* c = &a->configs[0];
    const int64_t slices = (c->rollout_batch_size + ROLLOUT_ROWS - 1) / ROLLOUT_ROWS;
    return (UfCount){(a->num_updates * (c->rollout_length + 1) + step) * slices + slice, 0};
}

static void draw_rows(UfAgent* a, const UfSource* dataset, int rows, UfCount draw) {
    UfWorld* w = &a->world;
    UfBackend* be = a->backend;
    Draws draws = {0};
    add_index(a, &draws, w->index, a->num_rows, rows, UF_STREAM_ROLLOUT_START, draw);
    make_draws(a, &draws);
    be->gather(be, &w->step, &(UfPiece){dataset, w->index, {0, rows, rows}}, 1, a->P);
}

static void put_model_input(UfAgent* a, const real* obs, const real* action, int rows) {
    a->backend->network_input(a->backend, &(UfInputRows){a->world.x, rows, obs, action}, 1, a->ld, NULL, NULL,
                              a->P, rows, a->O, a->A);
}

static void forward_elites(UfAgent* a, int rows) {
    const UfWorld* w = &a->world;
    a->backend->mlp_forward(a->backend, &w->elites.nets, w->out, NULL, (UfInput){w->x, a->ld, rows},
                            (UfRows){0, rows, rows});
}

// action (P, rows, A) of the current policy at obs (P, rows, O).
static void act_in_model(UfAgent* a, real* action, const real* obs, int rows, UfCount draw) {
    UfWorld* w = &a->world;
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(a, GROUP_ACTOR, false);
    UfHeads heads = heads_of(a, w->head, false);
    heads.B = rows;
    be->network_input(be, &(UfInputRows){w->obs, rows, obs, NULL}, 1, a->O, a->norm_mean, a->norm_std, a->P,
                      rows, a->O, a->A);
    be->mlp_forward(be, &actor, w->head, NULL, (UfInput){w->obs, a->O, rows}, (UfRows){0, rows, rows});
    Draws draws = {0};
    if (w->action_noise)
        add_normals(a, &draws, w->action_noise, (int64_t)rows * a->A, UF_STREAM_ROLLOUT_ACTION, draw);
    make_draws(a, &draws);
    be->policy_sample(be, &heads, (UfActions){action, a->A, rows}, NULL, w->action_noise, NULL);
}

// Asks the user's rule about the rows of one member that are still going: the only step that visits the host.
static UfStatus ask_user(UfAgent* a, int p, int rows, bool start) {
    UfWorld* w = &a->world;
    UfBackend* be = a->backend;
    const size_t O = (size_t)a->O, A = (size_t)a->A, ld = O + A, first = (size_t)p * (size_t)rows,
                 n = (size_t)rows;
    real *x = w->host.device, *z = x + n * ld, *done = z + n * O;
    float *obs = w->host.packed, *actions = obs + n * O, *next_obs = actions + n * A;
    int64_t count = 0;
    be->download(be, x, w->x + first * ld, n * ld * sizeof(real));
    be->download(be, z, w->step.next_obs + first * O, n * O * sizeof(real));
    be->download(be, done, w->step.done + first, n * sizeof(real));
    be->download(be, w->host.alive, w->alive + first, n * sizeof(int));
    UF_TRY(be->sync(be));
    for (size_t b = 0; b < n; b++) {
        bool asked = start || w->host.alive[b];
        for (size_t i = 0; i < O; i++)
            asked = asked && uf_is_finite(z[b * O + i]);  // else it will be dropped
        w->host.alive[b] = asked;
        if (!asked) continue;
        const size_t to = (size_t)count++;
        for (size_t i = 0; i < O; i++) obs[to * O + i] = (float)x[b * ld + i];
        for (size_t i = 0; i < O; i++) next_obs[to * O + i] = (float)z[b * O + i];
        for (size_t i = 0; i < A; i++)
            actions[to * A + i] =
                uf_action_in_units(a->action_bounds, a->A, (int)i, (float)x[b * ld + O + i]);
    }
    if (count == 0) return UF_OK;
    memset(w->host.done, 0, (size_t)count);
    w->terminates(w->user, obs, actions, next_obs, w->host.done, count);
    count = 0;
    for (size_t b = 0; b < n; b++)
        if (w->host.alive[b] && w->host.done[count++]) done[b] = 1;
    be->upload(be, w->step.done + first, done, n * sizeof(real));
    return be->sync(be);
}

// Rolls the policy out from `rows` rows of the dataset; what comes about goes to the ring.
static UfStatus roll_slice(UfAgent* a, const UfSource* dataset, int rows, int64_t slice) {
    UfWorld* w = &a->world;
    UfBackend* be = a->backend;
    const UfInput x = {w->x, a->ld, rows};
    const int64_t length = a->configs[0].rollout_length;
    draw_rows(a, dataset, rows, rollout_draw(a, 0, slice));
    act_in_model(a, w->step.action, w->step.obs, rows, rollout_draw(a, 0, slice));
    put_model_input(a, w->step.obs, w->step.action, rows);
    for (int64_t t = 0; t < length; t++) {
        const UfCount draw = rollout_draw(a, t, slice);
        forward_elites(a, rows);
        Draws draws = {0};
        add_index(a, &draws, w->elite, w->num_elites, rows, UF_STREAM_ROLLOUT_ELITE, draw);
        add_normals(a, &draws, w->noise, (int64_t)rows * (a->O + 1), UF_STREAM_ROLLOUT_NOISE, draw);
        make_draws(a, &draws);
        be->model_step(be, w->step.next_obs, w->step.reward, w->step.done, w->penalty, NULL, &w->elites,
                       w->out, x, w->elite, w->noise, a->hyper, a->P, rows);
        for (int p = 0; w->terminates && p < a->P; p++) UF_TRY(ask_user(a, p, rows, t == 0));
        // Also the action of the next step.
        act_in_model(a, w->step.next_action, w->step.next_obs, rows, rollout_draw(a, t + 1, slice));
        be->ring_append(be, &w->ring, w->alive, t == 0, w->sums, x, &w->step, w->penalty, a->P, rows);
        put_model_input(a, w->step.next_obs, w->step.next_action, rows);
    }
    return UF_OK;
}

// Error of the model on rows of the dataset, into w->error.
static void measure_model(UfAgent* a, const UfSource* dataset) {
    UfWorld* w = &a->world;
    const int rows = w->slice < ERROR_ROWS ? w->slice : ERROR_ROWS;
    draw_rows(a, dataset, rows, rollout_draw(a, 1, 0));  // step 0 draws start states
    put_model_input(a, w->step.obs, w->step.action, rows);
    forward_elites(a, rows);
    a->backend->model_error(a->backend, w->error, &w->elites, w->out, &w->step, a->P, rows);
}

// One member's metrics of the rollout that was just done.
static UfStatus sum_up_member(UfAgent* a, int p) {
    UfWorld* w = &a->world;
    UfBackend* be = a->backend;
    double sums[UF_NUM_ROLLOUT_SUMS], error = 0;
    int64_t fill = 0;
    be->download(be, sums, w->sums + (size_t)p * UF_NUM_ROLLOUT_SUMS, sizeof sums);
    be->download(be, &error, w->error + p, sizeof error);
    be->download(be, &fill, w->ring.fill + p, sizeof fill);
    UF_TRY(be->sync(be));
    const double tried = sums[UF_ROLLOUT_TRIED], dropped = sums[UF_ROLLOUT_DROPPED], kept = tried - dropped;
    if (dropped > 0.5 * tried)
        return UF_FAIL(
            UF_ERR_NONFINITE,
            "update %lld: %.0f of %.0f rows of the model rollouts are not finite; the world model '%s' does "
            "not hold where the policy goes: lower rollout_length or train the model longer",
            (long long)a->num_updates, dropped, tried, a->configs[p].model_path);
    double* m = w->metrics + (size_t)p * NUM_MODEL_METRICS - FIRST_MODEL_METRIC;
    m[UF_METRIC_model_error] = error;
    m[UF_METRIC_model_penalty] = sums[UF_ROLLOUT_PENALTY] / kept;
    m[UF_METRIC_model_terminated] = sums[UF_ROLLOUT_TERMINATED] / kept;
    m[UF_METRIC_model_dropped] = dropped / tried;
    m[UF_METRIC_buffer_fill] = (double)fill / (double)w->ring.capacity;
    return UF_OK;
}

static UfStatus sum_up(UfAgent* a) {
    FOR_MEMBERS(a, p) {
        if (uf_agent_is_stopped(a, p)) continue;
        const UfStatus status = sum_up_member(a, p);
        if (status == UF_ERR_NONFINITE)
            stop_member(a, p, status);
        else
            UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus renew_model_buffer(UfAgent* a, const UfSource* dataset) {
    UfWorld* w = &a->world;
    const int64_t starts = a->configs[0].rollout_batch_size;
    const double zeros[UF_NUM_ROLLOUT_SUMS] = {0};
    FOR_MEMBERS(a, p)
    a->backend->upload(a->backend, w->sums + (size_t)p * UF_NUM_ROLLOUT_SUMS, zeros, sizeof zeros);
    measure_model(a, dataset);
    for (int64_t done = 0; done < starts; done += ROLLOUT_ROWS)
        UF_TRY(roll_slice(a, dataset, (int)(starts - done < ROLLOUT_ROWS ? starts - done : ROLLOUT_ROWS),
                          done / ROLLOUT_ROWS));
    return sum_up(a);
}

// The metrics of the last rollout count for every update.
static void log_rollout(UfAgent* a) {
    FOR_MEMBERS(a, p)
    for (int m = 0; m < NUM_MODEL_METRICS; m++)
        a->host_metrics[(size_t)p * UF_NUM_METRICS + (size_t)(FIRST_MODEL_METRIC + m)] +=
            a->world.metrics[(size_t)p * NUM_MODEL_METRICS + (size_t)m];
}

UfStatus uf_agent_check_rollouts(const UfAgent* a) {
    const UfWorld* w = &a->world;
    if (!uf_agent_has_model(a))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "uf_train: this agent has no world model, but dataset_sample_ratio %g needs one",
                       a->configs[0].dataset_sample_ratio);
    if (w->needs_callback && !w->terminates)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "this agent was trained with a termination callback; hand it to uf_agent_set_termination again");
    if (!w->has_rule && !w->terminates)
        return UF_FAIL(
            UF_ERR_CONFIG,
            "neither termination nor the world model '%s' names a termination rule; set termination "
            "('never' if episodes do not end) or call uf_agent_set_termination",
            a->configs[0].model_path);
    return UF_OK;
}

// ---- train step ----

// One update of an evaluator. Each member has one critic: its target is its own, without a minimum.
static UfStatus evaluation_step(UfAgent* a, const UfBatch* batch, const UfNoise* z) {
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(a, GROUP_ACTOR, false);
    be->network_input(be, &(UfInputRows){a->x_pi, a->B, batch->next_obs, NULL}, 1, a->ld, a->actor_mean,
                      a->actor_std, a->P, a->B, a->O, a->A);
    be->mlp_forward(be, &actor, a->next_out, NULL, input_of(a, a->x_pi, a->B), (UfRows){0, a->B, a->B});
    compute_target(a, batch, z, 0);
    forward_data_critics(a);
    differentiate_critics(a, z, 0);
    step_critics(a, 0);
    a->num_updates++;
    a->metrics_count++;
    return be->apart ? UF_OK : be->sync(be);
}

// One update: a function of (agent, batch, noise) alone. It has three branches, which the actor's pass through the
// critics, the weights and the targets tie together: the trunk (Q and V of the data, critics, value), the actor's, and
// that of the targets. What comes after what is said by come_after; the order of the lines is one that fits it.
static UfStatus train_step(UfAgent* a, const UfBatch* batch, const UfNoise* z) {
    UfBackend* be = a->backend;
    const UfConfig* c = &a->configs[0];
    prepare_inputs(a, batch);
    if (a->frozen) return evaluation_step(a, batch, z);

    // The actor on s: one pass for the entropy coefficient and the actor.
    go_to(a, ACTOR_BRANCH);
    come_after(a, TRUNK);
    const UfNets actor = nets_of(a, GROUP_ACTOR, false);
    be->mlp_forward(be, &actor, a->actor_out, &a->actor_tape, input_of(a, a->x_data, a->total),
                    (UfRows){0, a->B, a->B});
    if (c->use_entropy_loss) update_entropy_coef(a, z);
    act_on_data(a, z);

    // Targets by the target actor, which then follows the actor; else by the actor as it will be.
    if (a->has_target_actor) {
        go_to(a, TARGET_BRANCH);
        come_after(a, c->use_entropy_loss ? ACTOR_BRANCH : TRUNK);
        compute_targets(a, batch, z);
    }

    // Q and V of the data: one pass for the weights and the first update of critics and value.
    go_to(a, TRUNK);
    forward_data_critics(a);
    if (needs_value(c)) forward_value(a);
    if (c->use_awr) weigh_by_advantage(a);

    go_to(a, ACTOR_BRANCH);
    if (c->use_awr) come_after(a, TRUNK);                   // weights
    if (a->has_target_actor) come_after(a, TARGET_BRANCH);  // it has read the target actor

    // The first gradients of the critics want targets alone, and their step, that the actor has read them; unless targets or
    // penalties are of the actor as it will be.
    const bool actor_first = !a->has_target_actor || uses_cql(a);
    if (!actor_first) {
        go_to(a, TRUNK);
        come_after(a, TARGET_BRANCH);
        differentiate_critics(a, z, 0);
    }
    go_to(a, TRUNK);
    come_after(a, ACTOR_BRANCH);
    if (!actor_first) step_critics(a, 0);

    go_to(a, ACTOR_BRANCH);
    update_actor(a, batch, z);

    if (!a->has_target_actor) {
        go_to(a, TARGET_BRANCH);
        come_after(a, ACTOR_BRANCH);
        compute_targets(a, batch, z);
    }

    go_to(a, TRUNK);
    if (actor_first) come_after(a, TARGET_BRANCH);
    if (uses_cql(a)) come_after(a, ACTOR_BRANCH);  // actions of the actor as it is now
    for (int u = actor_first ? 0 : 1; u < a->U; u++) {
        differentiate_critics(a, z, u);
        step_critics(a, u);
    }
    if (needs_value(c)) update_value(a);
    come_after(a, ACTOR_BRANCH);
    a->num_updates++;
    a->metrics_count++;
    return be->apart ? UF_OK : be->sync(be);
}

UfStatus uf_agent_step(UfAgent* agent) {
    UF_TRY(train_step(agent, &agent->batch, &agent->noise));
    return agent->backend->sync(agent->backend);
}

// ---- training loop ----

// A device that is apart is asked now and then, so that the host does not wait for every update.
enum { FETCH_UPDATES = 100 };

// A loss or parameter that is no number stops the member at the update that made it, or where that is seen.
static UfStatus check_finite(const UfAgent* a, int p) {
    static const char* const groups[NUM_GROUPS] = {"actor", "critic", "value", "log_alpha"};
    const long long last = (long long)a->num_updates, first = a->backend->apart ? a->num_checked + 1 : last;
    char when[64];
    snprintf(when, sizeof when, first < last ? "updates %lld to %lld" : "update %lld", first, last);
    for (int i = 0; i < a->num_logged; i++)  // rollouts are judged where they are made
        if (!is_model_metric(a->logged[i]) &&
            !isfinite(a->host_metrics[(size_t)p * UF_NUM_METRICS + (size_t)a->logged[i]]))
            return UF_FAIL(UF_ERR_NONFINITE,
                           "%s: %s is not finite; try a smaller lr or look at the dataset's rewards", when,
                           a->logged_names[i]);
    for (int k = 0; k < NUM_GROUPS; k++)
        if (a->host_bad[k * a->P + p])
            return UF_FAIL(UF_ERR_NONFINITE,
                           "%s: a parameter of %s, or its gradient, is not finite; try a smaller %s", when,
                           groups[k], k == GROUP_ACTOR ? "actor_lr" : "lr");
    return UF_OK;
}

// Batch and noise of an update. First the dataset's rows, then the model's.
static void draw_batch(UfAgent* a, const UfSource* dataset) {
    const UfCount t = {a->num_updates, 1};
    const UfRing* ring = &a->world.ring;
    const UfSource model = {.records = ring->records,
                            .next_obs = ring->next_obs,
                            .next_actions = ring->next_actions,
                            .num_rows = ring->capacity,
                            .obs_dim = ring->obs_dim,
                            .action_dim = ring->action_dim,
                            .stride = ring->stride,
                            .member_rows = ring->capacity};
    const int D = a->num_data;
    int64_t* of_model = a->index + (size_t)a->P * (size_t)D;
    const UfPiece pieces[] = {{dataset, a->index, {0, D, a->B}}, {&model, of_model, {D, a->B - D, a->B}}};
    Draws draws = {0};
    if (D > 0) add_index(a, &draws, a->index, a->num_rows, D, UF_STREAM_INDEX, t);
    if (D < a->B) add_index(a, &draws, of_model, ring->fill, a->B - D, UF_STREAM_MODEL_INDEX, t);
    add_noise(a, &draws);
    make_draws(a, &draws);
    a->backend->gather(a->backend, &a->batch, D > 0 ? pieces : pieces + 1, 1 + (D > 0 && D < a->B), a->P);
}

// The dataset as ops read it; its row count goes to the device.
static UfStatus open_source(UfAgent* a, const UfDataset* dataset, UfSource* source) {
    for (int p = 0; p < a->P; p++)
        a->backend->upload(a->backend, a->num_rows + p, &dataset->num_rows, sizeof(int64_t));
    return uf_loaded_source(&a->data, a->backend, dataset, source);
}

UfStatus uf_agent_rollout(UfAgent* a, const UfDataset* dataset) {
    UF_TRY(uf_agent_check_rollouts(a));
    UfSource source;
    UF_TRY(open_source(a, dataset, &source));
    return renew_model_buffer(a, &source);
}

static UfStatus check_members(UfAgent* a) {
    UF_TRY(fetch_metrics(a));
    FOR_MEMBERS(a, p) {
        const UfStatus status = uf_agent_is_stopped(a, p) ? UF_OK : check_finite(a, p);
        if (status != UF_OK) stop_member(a, p, status);
    }
    a->num_checked = a->num_updates;
    return UF_OK;
}

static UfStatus draw_and_step(UfAgent* a, const UfSource* source) {
    draw_batch(a, source);
    return train_step(a, &a->batch, &a->noise);
}

// On a device that records: the first update on this data is done, since libraries load themselves on first use, the
// second is recorded, and that is repeated from then on.
static UfStatus repeat_update(UfAgent* a, const UfSource* source) {
    UfBackend* be = a->backend;
    UfRecorded* r = &a->recorded;
    const bool recorded = r->warm && r->records == source->records && r->next == a->num_updates;
    if (!r->warm || r->records != source->records) {
        *r = (UfRecorded){source->records, true, -1};
        return draw_and_step(a, source);
    }
    if (recorded) {
        a->num_updates++;
        a->metrics_count++;
    } else {
        be->record(be);
        const UfStatus status = draw_and_step(a, source);
        be->end_record(be);
        UF_TRY(status);
    }
    be->repeat(be);
    r->next = a->num_updates;
    return UF_OK;
}

// One update of the members that the backend works on.
static UfStatus update(UfAgent* a, const UfSource* source) {
    UF_TRY(a->backend->repeat ? repeat_update(a, source) : draw_and_step(a, source));
    if (uf_agent_uses_model(a)) log_rollout(a);
    return a->backend->apart && a->num_updates % FETCH_UPDATES ? UF_OK : check_members(a);
}

// Members of a population share nothing but constants, so where the backend splits, a thread takes one through a few
// whole updates while its numbers are in cache, and no thread waits between ops. A lane is a thread's view of the agent.
// The longer a round the better, but the caller wants to hear of it: up to 64 updates, of about a quarter of a second.
enum { ROUND_UPDATES = 64 };
#define ROUND_SECONDS 0.25

typedef struct Lane {
    UfAgent agent;
    UfBackend backend;
} Lane;

typedef struct Round {
    UfAgent* agent;
    const UfSource* source;
    Lane* lanes;    // one a thread
    int64_t count;  // updates
} Round;

static bool splits(const UfAgent* a) {
    return a->P > 1 && a->backend->splits && !a->world.terminates;  // a user's rule is asked from one thread
}

static void update_members(const Round* r, int first, int count, Lane* lane) {
    UfAgent* a = &lane->agent;
    lane->backend = uf_backend_members(r->agent->backend, first, count);
    a->backend = &lane->backend;
    a->num_updates = r->agent->num_updates;
    for (int64_t i = 0; i < r->count && num_going(a); i++) {
        const UfStatus status = update(a, r->source);
        FOR_MEMBERS(a, p) if (status != UF_OK) stop_member(a, p, status);
    }
}

static void update_task(void* context, int p, int thread) {
    const Round* r = context;
    update_members(r, p, 1, &r->lanes[thread]);
}

// Members that are left over when each thread has had as many share the threads.
static void update_split(UfAgent* a, const UfSource* source, Lane* lanes, int64_t count) {
    const Round r = {a, source, lanes, count};
    const int threads = uf_pool_num_threads(a->backend->pool), even = a->P / threads * threads;
    uf_pool_run(a->backend->pool, even, update_task, (void*)&r);
    if (even < a->P) update_members(&r, even, a->P - even, &lanes[0]);
    a->num_updates += r.count;
    a->metrics_count += r.count;
}

// Updates of the next round. A renewal of the model buffer ends it: rollouts are batches large enough for all
// threads, and members share their scratch.
static int64_t round_updates(const UfAgent* a, int64_t end) {
    const int64_t interval = a->configs[0].rollout_interval, left = end - a->num_updates;
    const int64_t count = left < a->round ? left : a->round;
    const int64_t renewed = uf_agent_uses_model(a) ? interval - a->num_updates % interval : count;
    return renewed < count ? renewed : count;
}

// No bit depends on how long rounds are.
static int64_t next_round(int64_t most, double seconds) {
    if (seconds < ROUND_SECONDS / 2 && most < ROUND_UPDATES) return 2 * most;
    return seconds > 2 * ROUND_SECONDS && most > 1 ? most / 2 : most;
}

static UfStatus train_until(UfAgent* a, const UfSource* source, Lane* lanes, int64_t end,
                            UfUpdateFn* on_update, void* user) {
    for (int t = 0; lanes && t < uf_pool_num_threads(a->backend->pool); t++) lanes[t].agent = *a;
    while (a->num_updates < end) {
        if (uf_agent_uses_model(a) && a->num_updates % a->configs[0].rollout_interval == 0)
            UF_TRY(renew_model_buffer(a, source));
        const double start = lanes ? uf_now() : 0;
        if (lanes)
            update_split(a, source, lanes, round_updates(a, end));
        else if (num_going(a))
            UF_TRY(update(a, source));
        if (lanes) a->round = next_round(a->round, uf_now() - start);
        UF_TRY(report_fault(a, false));
        if (on_update && on_update(user, a, a->num_updates) != 0)
            return UF_FAIL(UF_ERR_STOPPED, "stopped at update %lld", (long long)a->num_updates);
    }
    return UF_OK;
}

UfStatus uf_train(UfAgent* a, const UfDataset* dataset, int64_t num_updates, UfUpdateFn* on_update,
                  void* user) {
    if (!a || !dataset) return UF_FAIL(UF_ERR_ARGUMENT, "uf_train: agent or dataset is null");
    if (num_updates < 0)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_train: %lld updates; expected 1 or more, or 0 for the config's",
                       (long long)num_updates);
    if (dataset->obs_dim != a->O || dataset->action_dim != a->A)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "dataset has %d observation and %d action dimensions, the agent %d and %d",
                       dataset->obs_dim, dataset->action_dim, a->O, a->A);
    if (dataset->num_rows < 1) return UF_FAIL(UF_ERR_ARGUMENT, "dataset has no rows to train on");
    if (a->discrete) UF_TRY(uf_dataset_check_one_hot(dataset));
    if (uf_agent_uses_model(a)) UF_TRY(uf_agent_check_rollouts(a));
    UfSource source;
    UF_TRY(open_source(a, dataset, &source));
    const int64_t end = num_updates > 0 ? a->num_updates + num_updates : a->configs[0].num_updates;
    if (a->num_updates < end && !num_going(a)) return report_fault(a, true);
    Lane* lanes = NULL;
    if (splits(a)) UF_TRY(UF_ALLOC(&lanes, uf_pool_num_threads(a->backend->pool), "lanes of a population"));
    UfStatus status = train_until(a, &source, lanes, end, on_update, user);
    uf_free(lanes);
    if (status == UF_OK && a->backend->apart) status = check_members(a);
    if (status == UF_OK) status = report_fault(a, false);
    return status;
}

UfStatus uf_agent_metrics(UfAgent* a, int member, int* num_metrics, const char* const** names,
                          const double** values) {
    if (!a || member < 0 || member >= a->P)
        return UF_FAIL(UF_ERR_ARGUMENT, "member %d is not in this population", member);
    if (!num_metrics || !names || !values)
        return UF_FAIL(UF_ERR_ARGUMENT, "uf_agent_metrics: num_metrics, names or values is null");
    UF_TRY(fetch_metrics(a));
    for (int i = 0; i < a->num_logged; i++)
        a->logged_values[i] = a->metrics_count
                                  ? a->host_metrics[(size_t)member * UF_NUM_METRICS + (size_t)a->logged[i]] /
                                        (double)a->metrics_count
                                  : NAN;
    *num_metrics = a->num_logged;
    *names = a->logged_names;
    *values = a->logged_values;
    return UF_OK;
}

void uf_agent_clear_metrics(UfAgent* a) {
    memset(a->host_metrics, 0, (size_t)a->P * UF_NUM_METRICS * sizeof(double));
    uf_agent_send_metrics(a);
    a->metrics_count = 0;
}

// ---- diagnosis ----

// What one member says of rows of a dataset, in the arrays of an update, which each update fills anew: nothing that
// training goes on from is touched. Passes are of whole batches, as shapes are planned for; the last one repeats a row.
enum { DIAGNOSIS_ROWS = 1024, DIAGNOSIS_SEED = 0, DIAGNOSIS_DRAWS = 16 };

// The host's side of it.
typedef struct Probe {
    int member;
    UfSource source;
    int64_t* index;                        // (B)
    real *q, *x, *action, *reward, *done;  // (N, B) (B, ld) (B, A) (B) (B)
    double *values, *next_values;          // (B)
} Probe;

static void close_probe(Probe* p) {
    uf_free(p->index);
    uf_free(p->q);
    uf_free(p->values);
}

static UfStatus open_probe(UfAgent* a, int member, const UfDataset* dataset, Probe* p) {
    const size_t B = (size_t)a->B;
    const char* what = "a diagnosis";
    *p = (Probe){.member = member};
    UF_TRY(open_source(a, dataset, &p->source));
    UF_TRY(UF_ALLOC(&p->index, B, what));
    UfStatus status = UF_ALLOC(&p->q, B * (size_t)(a->N + a->ld + a->A + 2), what);
    if (status == UF_OK) status = UF_ALLOC(&p->values, 2 * B, what);
    if (status != UF_OK) {
        close_probe(p);
        return status;
    }
    p->x = p->q + B * (size_t)a->N;
    p->action = p->x + B * (size_t)a->ld;
    p->reward = p->action + B * (size_t)a->A;
    p->done = p->reward + B;
    p->next_values = p->values + B;
    return UF_OK;
}

// Gathers up to B rows; returns how many.
static int gather_rows(UfAgent* a, const Probe* p, const int64_t* rows, int64_t num_rows) {
    const int count = num_rows < a->B ? (int)num_rows : a->B;
    for (int b = 0; b < a->B; b++) p->index[b] = rows[b < count ? b : 0];
    a->backend->upload(a->backend, a->index, p->index, (size_t)a->B * sizeof(int64_t));
    a->backend->gather(a->backend, &a->batch, &(UfPiece){&p->source, a->index, {0, a->B, a->B}}, 1, 1);
    return count;
}

static UfNets member_nets(const UfAgent* a, int group, int member) {
    UfNets nets = nets_of(a, group, false);
    nets.P = 1;
    nets.params += (size_t)member * a->groups[group].count;
    return nets;
}

static void put_member_rows(UfAgent* a, real* x, const real* obs, const real* action) {
    a->backend->network_input(a->backend, &(UfInputRows){x, a->B, obs, action}, 1, a->ld, a->norm_mean,
                              a->norm_std, 1, a->B, a->O, a->A);
}

// Critic inputs x (B, ld): observations and the policy's actions there, which are its mean, or where an evaluator's
// policy is sampled its samples, numbered by `draw`.
static void put_policy_rows(UfAgent* a, int member, real* x, const real* obs, uint64_t draw) {
    UfBackend* be = a->backend;
    const UfNets actor = member_nets(a, GROUP_ACTOR, member);
    real *input = a->frozen ? a->x_pi : x, *noise = a->frozen ? a->noise.next_action : NULL;
    UfHeads heads = heads_of(a, a->next_out, false);
    heads.P = 1;
    heads.hyper += member;
    if (heads.log_std) heads.log_std += (size_t)member * heads.log_std_stride;
    put_member_rows(a, x, obs, NULL);
    if (a->frozen)
        be->network_input(be, &(UfInputRows){input, a->B, obs, NULL}, 1, a->ld, a->actor_mean, a->actor_std,
                          1, a->B, a->O, a->A);
    be->mlp_forward(be, &actor, a->next_out, NULL, input_of(a, input, a->B), (UfRows){0, a->B, a->B});
    const UfDraw normals = {
        noise, NULL, (int64_t)a->B * a->A, UF_DRAW_NORMAL, UF_STREAM_DIAGNOSIS_ACTION, {(int64_t)draw, 0}};
    if (noise) be->random(be, &normals, 1, 1, a->device_seeds + member);
    // An evaluator's smoothing is zeros, with which samples are clipped as in a target.
    be->policy_sample(be, &heads, actions_of(a, x, a->B), NULL, noise, a->frozen ? a->noise.smoothing : NULL);
}

// values (B), on the host: mean over the member's critics of Q at x (B, ld).
static UfStatus mean_q(UfAgent* a, const Probe* p, double* values, const real* x) {
    UfBackend* be = a->backend;
    const size_t B = (size_t)a->B;
    const UfNets critic = member_nets(a, GROUP_CRITIC, p->member);
    be->mlp_forward(be, &critic, a->q_next, NULL, input_of(a, x, a->B), (UfRows){0, a->B, a->B});
    be->download(be, p->q, a->q_next, (size_t)a->N * B * sizeof(real));
    UF_TRY(be->sync(be));
    for (size_t b = 0; b < B; b++) {
        values[b] = 0;
        for (size_t n = 0; n < (size_t)a->N; n++) values[b] += (double)p->q[n * B + b] / a->N;
    }
    return UF_OK;
}

UfStatus uf_initial_rows(const UfDataset* d, int64_t** rows, int64_t* count) {
    int64_t found = 0;
    for (int64_t row = 0; row < d->num_rows; row++) found += uf_is_initial(d, row);
    *count = 0;
    UF_TRY(UF_ALLOC(rows, found, "initial states"));
    for (int64_t row = 0; row < d->num_rows; row++)
        if (uf_is_initial(d, row)) (*rows)[(*count)++] = row;
    return UF_OK;
}

// Of a sampled policy the value of a state is a mean over num_draws actions.
static UfStatus policy_values(UfAgent* a, const Probe* p, double* values, const int64_t* rows,
                              int64_t num_rows, int num_draws) {
    for (int64_t first = 0; first < num_rows; first += a->B) {
        const int count = gather_rows(a, p, rows + first, num_rows - first);
        memset(values + first, 0, (size_t)count * sizeof(double));
        for (int k = 0; k < num_draws; k++) {
            put_policy_rows(a, p->member, a->x_next, a->batch.obs, (uint64_t)(first / a->B * num_draws + k));
            UF_TRY(mean_q(a, p, p->values, a->x_next));
            for (int b = 0; b < count; b++) values[first + b] += p->values[b] / num_draws;
        }
    }
    return UF_OK;
}

UfStatus uf_agent_values(UfAgent* a, int member, const UfDataset* dataset, double* values,
                         const int64_t* rows, int64_t num_rows) {
    Probe probe;
    UF_TRY(open_probe(a, member, dataset, &probe));
    const int num_draws = a->frozen && a->noise.next_action ? DIAGNOSIS_DRAWS : 1;
    const UfStatus status = policy_values(a, &probe, values, rows, num_rows, num_draws);
    close_probe(&probe);
    return status;
}

// As the actor does: min|mean|first.
static double reduce_q(const UfAgent* a, const real* q, size_t stride) {
    const int how = a->configs[0].aggregate_q;
    double value = q[0];
    for (int n = 1; n < a->N && how != UF_AGGREGATE_FIRST; n++) {
        const double other = q[(size_t)n * stride];
        value = how == UF_AGGREGATE_MEAN ? value + other : other < value || isnan(other) ? other : value;
    }
    return how == UF_AGGREGATE_MEAN ? value / a->N : value;
}

// A batch on the host from `count` rows, the first of which stands in where there are no more.
static void fill_rows(const UfAgent* a, real* obs, real* action, const float* from_obs,
                      const float* from_action, int count) {
    for (int b = 0; b < a->B; b++) {
        const size_t row = b < count ? (size_t)b : 0, O = (size_t)a->O, A = (size_t)a->A;
        for (size_t i = 0; i < O; i++) obs[(size_t)b * O + i] = from_obs[row * O + i];
        for (size_t i = 0; i < A; i++) action[(size_t)b * A + i] = from_action[row * A + i];
    }
}

UfStatus uf_agent_q(UfAgent* a, int member, double* q, const float* obs, const float* action, int64_t n) {
    UfBackend* be = a->backend;
    const size_t B = (size_t)a->B, O = (size_t)a->O, A = (size_t)a->A, N = (size_t)a->N;
    const UfNets critic = member_nets(a, GROUP_CRITIC, member);
    real* host;
    UF_TRY(UF_ALLOC(&host, B * (O + A + N), "rows for critics"));
    real *x = host, *y = x + B * O, *out = y + B * A;
    UfStatus status = UF_OK;
    for (int64_t first = 0; first < n && status == UF_OK; first += a->B) {
        const int count = n - first < a->B ? (int)(n - first) : a->B;
        fill_rows(a, x, y, obs + first * a->O, action + first * a->A, count);
        be->upload(be, a->batch.obs, x, B * O * sizeof *x);
        be->upload(be, a->batch.action, y, B * A * sizeof *y);
        put_member_rows(a, a->x_next, a->batch.obs, a->batch.action);
        be->mlp_forward(be, &critic, a->q_next, NULL, input_of(a, a->x_next, a->B), (UfRows){0, a->B, a->B});
        be->download(be, out, a->q_next, N * B * sizeof *out);
        status = be->sync(be);
        for (int b = 0; b < count; b++) q[first + b] = reduce_q(a, out + b, B);
    }
    uf_free(host);
    return status;
}

// Adds the squared action differences and TD errors of the first `count` rows of the batch.
static UfStatus add_errors(UfAgent* a, const Probe* p, int count, uint64_t draw, UfDiagnosis* sum) {
    UfBackend* be = a->backend;
    const size_t B = (size_t)a->B, ld = (size_t)a->ld, A = (size_t)a->A;
    const double gamma = a->configs[p->member].gamma;
    put_policy_rows(a, p->member, a->x_next, a->batch.obs, 2 * draw);
    be->download(be, p->x, a->x_next, B * ld * sizeof(real));
    be->download(be, p->action, a->batch.action, B * A * sizeof(real));
    be->download(be, p->reward, a->batch.reward, B * sizeof(real));
    be->download(be, p->done, a->batch.done, B * sizeof(real));
    UF_TRY(be->sync(be));
    put_member_rows(a, a->x_data, a->batch.obs, a->batch.action);
    UF_TRY(mean_q(a, p, p->values, a->x_data));
    put_policy_rows(a, p->member, a->x_next, a->batch.next_obs, 2 * draw + 1);
    UF_TRY(mean_q(a, p, p->next_values, a->x_next));
    for (size_t b = 0; b < (size_t)count; b++) {
        const double y = (double)p->reward[b] + gamma * (1 - (double)p->done[b]) * p->next_values[b];
        sum->td_error += (p->values[b] - y) * (p->values[b] - y);
        for (size_t i = 0; i < A; i++) {
            const double difference = (double)p->x[b * ld + (size_t)a->O + i] - (double)p->action[b * A + i];
            sum->action_diff += difference * difference;
        }
    }
    return UF_OK;
}

// All rows of a small dataset, else as many as fit, drawn by a fixed seed.
static int diagnosis_rows(const UfDataset* dataset, int64_t rows[DIAGNOSIS_ROWS]) {
    UfRandom random = uf_random(DIAGNOSIS_SEED, UF_STREAM_DIAGNOSIS_ROW, 0);
    const int64_t n = dataset->num_rows;
    for (int i = 0; i < DIAGNOSIS_ROWS; i++)
        rows[i] = n <= DIAGNOSIS_ROWS ? i : (int64_t)(uf_random_uniform(&random, 0, 1) * (double)n);
    return n < DIAGNOSIS_ROWS ? (int)n : DIAGNOSIS_ROWS;
}

// The mean value of the dataset's initial states, or where there are too many of some, spread evenly.
static UfStatus diagnose_initial(UfAgent* a, const UfDataset* dataset, const Probe* p, double* mean) {
    int64_t *rows = NULL, count = 0;
    double values[DIAGNOSIS_ROWS], sum = 0;
    UF_TRY(uf_initial_rows(dataset, &rows, &count));
    const int64_t used = count < DIAGNOSIS_ROWS ? count : DIAGNOSIS_ROWS;
    for (int64_t i = 0; i < used; i++) rows[i] = rows[i * count / used];
    const UfStatus status = policy_values(a, p, values, rows, used, 1);
    for (int64_t i = 0; status == UF_OK && i < used; i++) sum += values[i];
    *mean = sum / (double)used;
    uf_free(rows);
    return status;
}

static UfStatus diagnose(UfAgent* a, const UfDataset* dataset, const Probe* p, UfDiagnosis* out) {
    int64_t rows[DIAGNOSIS_ROWS];
    const int num_rows = diagnosis_rows(dataset, rows);
    UF_TRY(diagnose_initial(a, dataset, p, &out->init_value));
    for (int first = 0; first < num_rows; first += a->B) {
        const int count = gather_rows(a, p, rows + first, num_rows - first);
        UF_TRY(add_errors(a, p, count, (uint64_t)(first / a->B), out));
    }
    out->td_error /= num_rows;
    out->action_diff /= num_rows;
    return UF_OK;
}

UfStatus uf_agent_diagnose(UfAgent* a, int member, const UfDataset* dataset, UfDiagnosis* out) {
    Probe probe;
    *out = (UfDiagnosis){0, 0, 0};
    UF_TRY(open_probe(a, member, dataset, &probe));
    const UfStatus status = diagnose(a, dataset, &probe, out);
    close_probe(&probe);
    return status;
}
