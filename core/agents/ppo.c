// ppo.c: proximal policy optimisation of a population, on the op set. See ppo.h.
//
// Compiled twice: in float32, and in double precision for `unifloral verify` (Makefile, double.o).
// Rooms: table, tensors, memory, making, rollout, learning, iterations, metrics, acting, checkpoint.
#include "core/agents/ppo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/envs_apart.h"
#include "core/data/h5.h"

enum { ACTOR, CRITIC, MAX_GROUPS };  // with a shared trunk the one group is ACTOR
enum { MAX_TENSORS = MAX_GROUPS * (4 * UF_MAX_LAYERS + 2) + 3 };

struct UfPpo {
    UfBackend* backend;
    bool owns_backend;
    UfPpoConfig* configs;            // (P)
    uint64_t *seeds, *device_seeds;  // (P)
    UfTrainSpace space;
    bool acts;                // only: without room for rollouts, on the host
    int P, T, N, O, A, H, B;  // H outputs of the policy's network, B rows of a minibatch
    int action_items;         // numbers that an action is stored as
    int num_groups;
    UfMlp mlp[MAX_GROUPS];
    UfGroup groups[MAX_GROUPS];
    UfTensor tensors[MAX_TENSORS];
    int num_tensors;

    UfApart apart;  // on a device
    bool warm;      // an iteration was launched op by op
    bool recorded;  // it has noted one with the environments that it has

    UfReserved reserved;
    UfSteps steps;
    UfEpisodes episodes;
    UfPpoHyper* hyper;                   // (P)
    real *lr, *max_grad_norm;            // (P)
    real* noise;                         // (P, T, N, action_items)
    int64_t* order;                      // (P, T N)
    real *x_step, *out_step, *last_out;  // (P, N, O) (P, N, H) (P, N, 1): of a step of the rollout
    real *x, *out, *value;               // (P, B, O) (P, B, H) (P, B, 1): of a minibatch
    real *dout, *dvalue;      // as out and value; with a shared trunk all values are columns of out
    UfTape tape[MAX_GROUPS];  // of B rows
    int* bad;                 // (groups, P)
    double* metrics;          // (P, M)
    // What was last fetched of metrics, sums of episodes and bad.
    struct Fetched {
        double *metrics, *sums;  // (P, M) (P, 3)
        int* bad;                // (MAX_GROUPS, P)
        bool fresh;
    } fetched;

    int64_t iteration, num_updates;  // done; updates: optimiser steps
    int64_t metrics_count;           // optimiser steps that the metrics are sums over
};

// ---- table ----

static const UfParam params[] = {
#define UF_PARAM_STRUCT UfPpoConfig
#include "core/param_rows.h"
#include "ppo.def"
};
const UfTable uf_ppo_table = {params, sizeof params / sizeof *params, sizeof(UfPpoConfig),
                              "unifloral ppo --help"};

UfStatus uf_ppo_config_check(const UfPpoConfig* c) {
    if (c->num_envs > INT32_MAX / (c->num_steps + 1))
        return UF_FAIL(UF_ERR_CONFIG,
                       "num_envs %lld times num_steps %lld: a rollout has at most 2147483647 rows",
                       (long long)c->num_envs, (long long)c->num_steps);
    const int64_t rows = c->num_envs * c->num_steps;
    if (rows % c->num_minibatches)
        return UF_FAIL(UF_ERR_CONFIG,
                       "num_minibatches %lld does not divide the %lld rows of a rollout (num_envs %lld times "
                       "num_steps %lld); expected equal parts",
                       (long long)c->num_minibatches, (long long)rows, (long long)c->num_envs,
                       (long long)c->num_steps);
    if (c->budget < rows)
        return UF_FAIL(UF_ERR_CONFIG,
                       "budget %lld is less than one rollout, num_envs %lld times num_steps %lld; raise it",
                       (long long)c->budget, (long long)c->num_envs, (long long)c->num_steps);
    return UF_OK;
}

// ---- tensors ----

static void add_tensor(UfPpo* a, int group, const char* net, int layer, const char* leaf, int rank, int rows,
                       int columns, int ld, size_t offset) {
    UfTensor* t = &a->tensors[a->num_tensors++];
    *t = (UfTensor){.group = group,
                    .num_networks = 1,
                    .rank = rank,
                    .rows = rows,
                    .columns = columns,
                    .ld = ld,
                    .offset = offset};
    if (layer >= 0)
        snprintf(t->name, sizeof t->name, "%s/%d/%s", net, layer, leaf);
    else
        snprintf(t->name, sizeof t->name, "%s", net);
}

static void add_hidden(UfPpo* a, int group, const char* net) {
    const UfMlp* m = &a->mlp[group];
    for (int l = 0; l < m->layers; l++) {
        const int in = l ? m->width : m->in, w = m->width;
        add_tensor(a, group, net, l, "kernel", 2, in, w, w, m->kernel[l]);
        add_tensor(a, group, net, l, "bias", 1, 1, w, w, m->bias[l]);
        if (!m->layer_norm) continue;
        add_tensor(a, group, net, l, "scale", 1, 1, w, w, m->scale[l]);
        add_tensor(a, group, net, l, "shift", 1, 1, w, w, m->shift[l]);
    }
}

// Columns [first, first + count) of a group's output layer.
static void add_head(UfPpo* a, int group, const char* net, int first, int count) {
    const UfMlp* m = &a->mlp[group];
    const int L = m->layers;
    add_tensor(a, group, net, L, "kernel", 2, m->width, count, m->out, m->kernel[L] + (size_t)first);
    add_tensor(a, group, net, L, "bias", 1, 1, count, m->out, m->bias[L] + (size_t)first);
}

static void describe_networks(UfPpo* a) {
    const UfPpoConfig* c = &a->configs[0];
    const int width = (int)c->layer_width, layers = (int)c->num_layers, extra = a->space.discrete ? 0 : a->A;
    a->num_groups = c->shared_trunk ? 1 : 2;
    a->H = a->A + c->shared_trunk;
    a->mlp[ACTOR] = uf_mlp_shape(a->O, width, layers, a->H, c->layer_norm, extra);
    a->mlp[CRITIC] = uf_mlp_shape(a->O, width, layers, 1, c->layer_norm, 0);
    a->mlp[ACTOR].activation = a->mlp[CRITIC].activation = c->activation;
    add_hidden(a, ACTOR, c->shared_trunk ? "trunk" : "actor");
    add_head(a, ACTOR, "actor", 0, a->A);
    if (!c->shared_trunk) add_hidden(a, CRITIC, "critic");
    add_head(a, c->shared_trunk ? ACTOR : CRITIC, "critic", c->shared_trunk ? a->A : 0, 1);
    if (extra) add_tensor(a, ACTOR, "log_std", -1, "", 1, 1, a->A, a->A, a->mlp[ACTOR].log_std);
}

int uf_ppo_num_tensors(const UfPpo* a) { return a->num_tensors; }
const UfTensor* uf_ppo_tensor(const UfPpo* a, int index) { return &a->tensors[index]; }

static size_t tensor_count(const UfTensor* t) { return (size_t)t->rows * (size_t)t->columns; }

static UfStatus move_tensor(UfPpo* a, const UfTensor* t, UfTensorKind kind, int member, real* dense,
                            bool to_device) {
    const UfGroup* g = &a->groups[t->group];
    real* array = kind == UF_TENSOR_ADAM_M ? g->m : kind == UF_TENSOR_ADAM_V ? g->v : g->params;
    const bool is_dense = t->ld == t->columns;  // one piece
    const int pieces = is_dense ? 1 : t->rows;
    const size_t bytes = (is_dense ? tensor_count(t) : (size_t)t->columns) * sizeof(real);
    for (int piece = 0; piece < pieces; piece++) {
        real* device = array + (size_t)member * g->count + t->offset + (size_t)piece * (size_t)t->ld;
        real* host = dense + (size_t)piece * (size_t)t->columns;
        if (to_device)
            a->backend->upload(a->backend, device, host, bytes);
        else
            a->backend->download(a->backend, host, device, bytes);
    }
    return a->backend->sync(a->backend);
}

UfStatus uf_ppo_get_tensor(UfPpo* a, const UfTensor* t, UfTensorKind kind, int member, real* out) {
    return move_tensor(a, t, kind, member, out, false);
}

UfStatus uf_ppo_set_tensor(UfPpo* a, const UfTensor* t, UfTensorKind kind, int member, const real* in) {
    return move_tensor(a, t, kind, member, (real*)in, true);
}

// ---- memory ----

// Of a number of an observation; of a number or kind of an action as environments on a device take it.
static size_t obs_bytes(const UfPpo* a) { return a->space.bytes ? 1 : sizeof(real); }

static UfStatus reserve_tape(UfPpo* a, int k) {
    const UfMlp* m = &a->mlp[k];
    const size_t rows = (size_t)a->P * (size_t)a->B;
    for (int l = 0; l < m->layers; l++) {
        UF_TRY(UF_RESERVE(&a->reserved, a->tape[k].r[l], rows * (size_t)m->width, "activations of PPO"));
        if (m->layer_norm)
            UF_TRY(UF_RESERVE(&a->reserved, a->tape[k].stats[l], rows * 2, "activations of PPO"));
    }
    return UF_OK;
}

static UfStatus reserve_group(UfPpo* a, int k) {
    static const char what[] = "parameters and optimiser state of PPO";
    UfGroup* g = &a->groups[k];
    g->P = a->P;
    g->count = a->mlp[k].size;
    g->num_blocks = uf_num_blocks(a->B, 1);
    const size_t count = (size_t)a->P * g->count;
    UF_TRY(UF_RESERVE(&a->reserved, g->params, count, what));
    UF_TRY(UF_RESERVE(&a->reserved, g->grads, count * (size_t)g->num_blocks, what));
    UF_TRY(UF_RESERVE(&a->reserved, g->m, count, what));
    return UF_RESERVE(&a->reserved, g->v, count, what);
}

static UfStatus reserve_steps(UfPpo* a) {
    static const char what[] = "a rollout of PPO";
    UfReserved* r = &a->reserved;
    UfSteps* s = &a->steps;
    *s = (UfSteps){.P = a->P,
                   .T = a->T,
                   .N = a->N,
                   .O = a->O,
                   .A = a->A,
                   .discrete = a->space.discrete,
                   .bytes = a->space.bytes};
    const size_t step = (size_t)a->P * (size_t)a->N, rows = step * (size_t)a->T;
    UF_TRY(uf_reserve(r, &s->obs, (rows + step) * (size_t)a->O, s->bytes ? 1 : sizeof(real), what));
    UF_TRY(UF_RESERVE(r, s->action, rows * (size_t)a->action_items, what));
    UF_TRY(UF_RESERVE(r, s->log_prob, rows, what));
    UF_TRY(UF_RESERVE(r, s->reward, rows, what));
    UF_TRY(UF_RESERVE(r, s->done, rows, what));
    UF_TRY(UF_RESERVE(r, s->time, rows, what));
    UF_TRY(UF_RESERVE(r, s->value, rows + step, what));
    UF_TRY(UF_RESERVE(r, s->advantage, rows, what));
    UF_TRY(UF_RESERVE(r, s->target, rows, what));
    UF_TRY(UF_RESERVE(r, a->episodes.length, step, what));
    UF_TRY(UF_RESERVE(r, a->episodes.ret, step, what));
    return UF_RESERVE(r, a->episodes.sums, 3 * a->P, what);
}

// Zeroed on the host; free_host frees it.
static UfStatus allocate_host(UfPpo* a) {
    const size_t P = (size_t)a->P;
    UF_TRY(UF_ALLOC(&a->fetched.metrics, P * UF_NUM_PPO_METRICS, "metrics of PPO"));
    UF_TRY(UF_ALLOC(&a->fetched.sums, P * 3, "metrics of PPO"));
    return UF_ALLOC(&a->fetched.bad, MAX_GROUPS * P, "metrics of PPO");
}

static void free_host(UfPpo* a) {
    uf_apart_free(&a->apart);
    uf_free(a->fetched.metrics);
    uf_free(a->fetched.sums);
    uf_free(a->fetched.bad);
}

static UfStatus reserve_all(UfPpo* a) {
    static const char what[] = "minibatch and scratch of PPO";
    UfReserved* r = &a->reserved;
    const size_t P = (size_t)a->P, step = P * (size_t)a->N, rows = P * (size_t)a->B;
    const bool shared = a->num_groups == 1;
    for (int k = 0; k < a->num_groups; k++) UF_TRY(reserve_group(a, k));
    for (int k = 0; k < a->num_groups; k++) UF_TRY(reserve_tape(a, k));
    UF_TRY(reserve_steps(a));
    if (a->backend->apart) UF_TRY(uf_apart_create(&a->apart, r, &a->space, a->P, a->N));
    UF_TRY(UF_RESERVE(r, a->device_seeds, P, what));
    UF_TRY(UF_RESERVE(r, a->hyper, P, what));
    UF_TRY(UF_RESERVE(r, a->lr, P, what));
    UF_TRY(UF_RESERVE(r, a->max_grad_norm, P, what));
    UF_TRY(UF_RESERVE(r, a->noise, step * (size_t)a->T * (size_t)a->action_items, what));
    UF_TRY(UF_RESERVE(r, a->order, step * (size_t)a->T, what));
    UF_TRY(UF_RESERVE(r, a->x_step, step * (size_t)a->O, what));
    UF_TRY(UF_RESERVE(r, a->out_step, step * (size_t)a->H, what));
    UF_TRY(UF_RESERVE(r, a->x, rows * (size_t)a->O, what));
    UF_TRY(UF_RESERVE(r, a->out, rows * (size_t)a->H, what));
    UF_TRY(UF_RESERVE(r, a->dout, rows * (size_t)a->H, what));
    if (!shared) UF_TRY(UF_RESERVE(r, a->last_out, step, what));
    if (!shared) UF_TRY(UF_RESERVE(r, a->value, rows, what));
    if (!shared) UF_TRY(UF_RESERVE(r, a->dvalue, rows, what));
    UF_TRY(UF_RESERVE(r, a->bad, MAX_GROUPS * P, what));
    UF_TRY(UF_RESERVE(r, a->metrics, P * UF_NUM_PPO_METRICS, what));
    for (int k = 0; k < a->num_groups; k++) {
        UF_TRY(a->backend->plan(a->backend, &a->mlp[k], a->P, 1, a->B));
        UF_TRY(a->backend->plan(a->backend, &a->mlp[k], a->P, 1, a->N));
    }
    return UF_OK;
}

// ---- making ----

static UfStatus check_device(const UfBackend* be) {
    if (be->random_order && be->ppo_observe && be->ppo_act && be->ppo_store && be->ppo_episodes &&
        be->ppo_values && be->ppo_advantages && be->ppo_loss && be->clip_gradients)
        return UF_OK;
    return UF_FAIL(UF_ERR_UNSUPPORTED, "device '%s' does not do PPO yet; set device to cpu", be->name);
}

static UfStatus init_values(UfPpo* a, const UfTensor* t, int p, int index, real* values) {
    const UfPpoConfig* c = &a->configs[p];
    const char* leaf = strrchr(t->name, '/');
    const bool head = leaf && t->offset >= a->mlp[t->group].kernel[c->num_layers];
    UfRandom random = uf_random(a->seeds[p], UF_STREAM_PPO_INIT, (uint64_t)index);
    if (!leaf || strcmp(leaf, "/scale") == 0) {
        for (int i = 0; i < t->columns; i++) values[i] = (real)(leaf ? 1 : c->log_std_init);
        return UF_OK;
    }
    if (t->rank != 2) return UF_OK;  // zeros
    if (head)
        return uf_fill_orthogonal(values, t->rows, t->columns, t->columns,
                                  t->name[0] == 'a' ? c->actor_init_gain : c->critic_init_gain, &random);
    if (c->hidden_init == UF_INIT_ORTHOGONAL)
        return uf_fill_orthogonal(values, t->rows, t->columns, t->columns, sqrt(2), &random);
    uf_fill_lecun_normal(values, tensor_count(t), t->rows, &random);
    return UF_OK;
}

// The first member before p with its seed, whose initial values are p's too: candidates of a search (synth_search.c) have
// one for all, and orthogonal matrices take their time.   -1: there is none
static int same_seed(const UfPpo* a, int p) {
    for (int q = 0; q < p; q++)
        if (a->seeds[q] == a->seeds[p]) return q;
    return -1;
}

// A tensor of one member into its group's parameters.
static UfStatus init_tensor(UfPpo* a, int index, int p, real* params) {
    const UfTensor* t = &a->tensors[index];
    real* values;
    UF_TRY(UF_ALLOC(&values, tensor_count(t), "initial values of one tensor"));
    const UfStatus status = init_values(a, t, p, index, values);
    for (int r = 0; r < t->rows && status == UF_OK; r++)
        memcpy(params + t->offset + (size_t)r * (size_t)t->ld, values + (size_t)r * (size_t)t->columns,
               (size_t)t->columns * sizeof *values);
    uf_free(values);
    return status;
}

static UfStatus init_group(UfPpo* a, int k) {
    const UfGroup* g = &a->groups[k];
    const size_t all = (size_t)a->P * g->count;
    real* params;
    UfStatus status = UF_OK;
    UF_TRY(UF_ALLOC(&params, all, "initial values of PPO"));
    for (int p = 0; p < a->P && status == UF_OK; p++) {
        real* own = params + (size_t)p * g->count;
        const int q = same_seed(a, p);
        if (q >= 0) memcpy(own, params + (size_t)q * g->count, g->count * sizeof *own);
        for (int i = 0; i < a->num_tensors && q < 0 && status == UF_OK; i++)
            if (a->tensors[i].group == k) status = init_tensor(a, i, p, own);
    }
    if (status == UF_OK) a->backend->upload(a->backend, g->params, params, all * sizeof *params);
    uf_free(params);
    return status;
}

static UfPpoHyper hyper_of(const UfPpoConfig* c) {
    UfPpoHyper h;
#define UF_HYPER_RUN(name)
#define UF_HYPER_SHARED(name)
#define UF_HYPER_PER_MEMBER(name) h.name = (real)c->name;
#undef UF_GROUP
#undef UF_INT
#undef UF_FLOAT
#undef UF_BOOL
#undef UF_ENUM
#undef UF_STRING
#define UF_GROUP(id, title)
#define UF_INT(name, value, low, high, scope, help)
#define UF_FLOAT(name, value, low, high, scope, help) UF_HYPER_##scope(name)
#define UF_BOOL(name, value, scope, help)
#define UF_ENUM(name, value, choices, scope, help)
#define UF_STRING(name, value, scope, help)
#include "ppo.def"
    return h;
}

static UfStatus set_hyper(UfPpo* a) {
    const size_t P = (size_t)a->P;
    UfPpoHyper* hyper;
    real* lr = NULL;  // and behind it the largest norms
    UF_TRY(UF_ALLOC(&hyper, P, "hyperparameters of members"));
    const UfStatus status = UF_ALLOC(&lr, 2 * P, "hyperparameters of members");
    for (int p = 0; p < a->P && status == UF_OK; p++) {
        hyper[p] = hyper_of(&a->configs[p]);
        lr[p] = hyper[p].lr;
        lr[P + (size_t)p] = hyper[p].max_grad_norm;
    }
    if (status == UF_OK) {
        a->backend->upload(a->backend, a->device_seeds, a->seeds, P * sizeof *a->seeds);
        a->backend->upload(a->backend, a->hyper, hyper, P * sizeof *hyper);
        a->backend->upload(a->backend, a->lr, lr, P * sizeof *lr);
        a->backend->upload(a->backend, a->max_grad_norm, lr + P, P * sizeof *lr);
    }
    uf_free(hyper);
    uf_free(lr);
    return status;
}

static UfStatus copy_configs(UfPpo* a, const UfPpoConfig* const* configs) {
    UF_TRY(UF_ALLOC(&a->configs, a->P, "configurations"));
    UF_TRY(UF_ALLOC(&a->seeds, a->P, "seeds"));
    for (int p = 0; p < a->P; p++) {
        UF_TRY(uf_ppo_config_check(configs[p]));
        UF_TRY(uf_table_same_shape(&uf_ppo_table, configs[0], configs[p]));
        a->configs[p] = *configs[p];
        a->seeds[p] = (uint64_t)configs[p]->seed;
    }
    return UF_OK;
}

static UfStatus check_space(const UfTrainSpace* s) {
    if (s->obs_dim < 1 || s->action_dim < 1 || (s->discrete && s->action_dim > UF_MAX_KINDS))
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "observations of %d numbers and %d %s; expected at least 1 and, of actions, at most %d kinds",
            s->obs_dim, s->action_dim, s->discrete ? "kinds of actions" : "numbers of an action",
            UF_MAX_KINDS);
    return UF_OK;
}

static UfStatus build(UfPpo* a, const UfPpoConfig* const* configs, int num_threads) {
    UF_TRY(check_space(&a->space));
    UF_TRY(copy_configs(a, configs));
    const UfPpoConfig* c = &a->configs[0];
    a->T = a->acts ? 1 : (int)c->num_steps;
    a->N = a->acts ? 1 : (int)c->num_envs;
    a->O = a->space.obs_dim;
    a->A = a->space.action_dim;
    a->action_items = a->space.discrete ? 1 : a->A;
    a->B = a->acts ? 1 : (int)(c->num_steps * c->num_envs / c->num_minibatches);
    a->owns_backend = !a->backend;
    if (!a->backend)
        UF_TRY(uf_backend_open(&a->backend, a->acts ? "cpu" : uf_device_name(c->device),
                               uf_precision_name(c->precision), num_threads));
    UF_TRY(check_device(a->backend));
    a->reserved.backend = a->backend;
    describe_networks(a);
    UF_TRY(reserve_all(a));
    UF_TRY(allocate_host(a));
    UF_TRY(set_hyper(a));
    for (int k = 0; k < a->num_groups; k++) UF_TRY(init_group(a, k));
    return a->backend->sync(a->backend);
}

static UfStatus create(UfPpo** out, const UfPpoConfig* const* configs, int population,
                       const UfTrainSpace* space, UfBackend* backend, int num_threads, bool acts) {
    UfPpo* a;
    *out = NULL;
    UF_TRY(UF_ALLOC(&a, 1, "agents of PPO"));
    a->acts = acts;
    a->backend = backend;
    a->P = population;
    a->space = *space;
    const UfStatus status = build(a, configs, num_threads);
    if (status != UF_OK) {
        uf_ppo_free(a);
        return status;
    }
    *out = a;
    return UF_OK;
}

UfStatus uf_ppo_create(UfPpo** out, const UfPpoConfig* const* configs, int population,
                       const UfTrainSpace* space, int num_threads) {
    return create(out, configs, population, space, NULL, num_threads, false);
}

UfStatus uf_ppo_create_on(UfPpo** out, const UfPpoConfig* const* configs, int population,
                          const UfTrainSpace* space, UfBackend* backend) {
    return create(out, configs, population, space, backend, 0, false);
}

void uf_ppo_free(UfPpo* a) {
    if (!a) return;
    if (a->backend) uf_release_reserved(&a->reserved);
    if (a->owns_backend) uf_backend_close(a->backend);
    free_host(a);
    uf_free(a->configs);
    uf_free(a->seeds);
    uf_free(a);
}

int uf_ppo_population(const UfPpo* a) { return a->P; }
const UfPpoConfig* uf_ppo_config(const UfPpo* a, int member) { return &a->configs[member]; }
const UfTrainSpace* uf_ppo_space(const UfPpo* a) { return &a->space; }
UfBackend* uf_ppo_backend(UfPpo* a) { return a->backend; }
const UfSteps* uf_ppo_steps(const UfPpo* a) { return &a->steps; }
int uf_ppo_minibatch_rows(const UfPpo* a) { return a->B; }
int64_t uf_ppo_iteration(const UfPpo* a) { return a->iteration; }
int64_t uf_ppo_num_iterations(const UfPpo* a) {
    return a->configs[0].budget / (a->configs[0].num_envs * a->configs[0].num_steps);
}

// ---- rollout ----

static UfNets nets_of(const UfPpo* a, int group) {
    return (UfNets){&a->mlp[group], a->P, 1, 1, a->groups[group].params, false};
}

static UfPpoHeads heads_of(const UfPpo* a, const real* out) {
    const UfGroup* g = &a->groups[ACTOR];
    return (UfPpoHeads){out, a->H, a->space.discrete ? NULL : g->params + a->mlp[ACTOR].log_std, g->count};
}

// Observations of step t of one member.
static void* obs_at(const UfPpo* a, int p, int t) {
    const size_t row = ((size_t)p * (size_t)(a->T + 1) + (size_t)t) * (size_t)a->N;
    return (char*)a->steps.obs + row * (size_t)a->O * obs_bytes(a);
}

static void draw_noise(UfPpo* a) {
    const UfDraw noise = {a->noise,
                          NULL,
                          (int64_t)a->T * a->N * a->action_items,
                          a->space.discrete ? UF_DRAW_UNIFORM : UF_DRAW_NORMAL,
                          UF_STREAM_PPO_ACTION,
                          {a->iteration, 1}};
    a->backend->random(a->backend, &noise, 1, a->P, a->device_seeds);
}

static void act(UfPpo* a, int t) {
    UfBackend* be = a->backend;
    const UfNets actor = nets_of(a, ACTOR);
    const UfPpoHeads heads = heads_of(a, a->out_step);
    be->ppo_observe(be, a->x_step, &a->steps, NULL, t * a->N, a->N);
    be->mlp_forward(be, &actor, a->out_step, NULL, (UfInput){a->x_step, a->O, a->N}, (UfRows){0, a->N, a->N});
    be->ppo_act(be, &a->steps, t, &heads, a->noise, a->apart.there.action);
}

// Where device and host are one, environments read and write the rollout itself.
static UfStatus step_in_place(UfPpo* a, UfTrainEnvs* envs, int t) {
    const UfSteps* s = &a->steps;
    UF_FOR_MEMBERS(a->backend, p, a->P) {
        const size_t row = ((size_t)p * (size_t)a->T + (size_t)t) * (size_t)a->N;
        UF_TRY(envs->ops->step(envs, p, s->action + row * (size_t)a->action_items, obs_at(a, p, t + 1),
                               s->reward + row, s->done + row));
    }
    return UF_OK;
}

static UfStatus step(UfPpo* a, UfTrainEnvs* envs, int t) {
    UfBackend* be = a->backend;
    const UfExchange* x = &a->apart.there;
    if (!be->apart) return step_in_place(a, envs, t);
    UF_TRY(uf_apart_step(&a->apart, envs));
    be->ppo_store(be, &a->steps, t, x->obs, x->reward, x->terminated, uf_apart_truncated(&a->apart));
    return UF_OK;
}

static UfStatus reset(UfPpo* a, UfTrainEnvs* envs) {
    UfBackend* be = a->backend;
    if (!be->apart) {
        UF_FOR_MEMBERS(be, p, a->P) UF_TRY(envs->ops->reset(envs, p, obs_at(a, p, 0)));
        return UF_OK;
    }
    UF_TRY(uf_apart_reset(&a->apart, envs, a->apart.there.obs));
    // The rollout begins with the observations of step T.
    be->ppo_store(be, &a->steps, -1, a->apart.there.obs, NULL, NULL, NULL);
    return UF_OK;
}

static UfStatus roll_out(UfPpo* a, UfTrainEnvs* envs) {
    UfBackend* be = a->backend;
    draw_noise(a);
    for (int t = 0; t < a->T; t++) {
        act(a, t);
        UF_TRY(step(a, envs, t));
        be->ppo_episodes(be, &a->steps, t, &a->episodes);
    }
    return UF_OK;
}

// ---- learning ----

// Values of rows [first, first + count) through the arrays of a step or of a minibatch.
static void forward_values(UfPpo* a, int first, int count, real* x, real* out) {
    UfBackend* be = a->backend;
    const bool shared = a->num_groups == 1;
    const UfNets nets = nets_of(a, shared ? ACTOR : CRITIC);
    be->ppo_observe(be, x, &a->steps, NULL, first, count);
    be->mlp_forward(be, &nets, out, NULL, (UfInput){x, a->O, count}, (UfRows){0, count, count});
    be->ppo_values(be, &a->steps, first, shared ? out + a->A : out, shared ? a->H : 1, count);
}

void uf_ppo_evaluate(UfPpo* a) {
    const bool shared = a->num_groups == 1;
    for (int first = 0; first < a->T * a->N; first += a->B)
        forward_values(a, first, a->B, a->x, shared ? a->out : a->value);
    forward_values(a, a->T * a->N, a->N, a->x_step, shared ? a->out_step : a->last_out);
    a->backend->ppo_advantages(a->backend, &a->steps, a->configs[0].gae == UF_GAE_NAVIX, a->hyper);
}

// Optimiser steps of an iteration.
static int64_t updates_of(const UfPpoConfig* c) { return c->update_epochs * c->num_minibatches; }

static UfDecay decay_of(const UfPpo* a) {
    const UfPpoConfig* c = &a->configs[0];
    const int64_t all = uf_ppo_num_iterations(a) * updates_of(c);
    return (UfDecay){c->anneal_lr ? UF_DECAY_LINEAR : UF_DECAY_NONE,
                     c->lr_decay_steps ? c->lr_decay_steps : all};
}

void uf_ppo_learn(UfPpo* a, UfPick pick) {
    UfBackend* be = a->backend;
    const UfPpoConfig* c = &a->configs[0];
    const bool shared = a->num_groups == 1;
    const UfInput input = {a->x, a->O, a->B};
    const UfRows rows = {0, a->B, a->B};
    const UfNets actor = nets_of(a, ACTOR), critic = nets_of(a, CRITIC);
    const UfPpoHeads heads = heads_of(a, a->out);
    UfGroup* g = a->groups;
    be->ppo_observe(be, a->x, &a->steps, &pick, 0, 0);
    be->mlp_forward(be, &actor, a->out, &a->tape[ACTOR], input, rows);
    if (!shared) be->mlp_forward(be, &critic, a->value, &a->tape[CRITIC], input, rows);
    // The free log-std's gradient goes to the first block, beside the network's.
    be->ppo_loss(be, a->dout, shared ? a->dout + a->A : a->dvalue,
                 heads.log_std ? g[ACTOR].grads + a->mlp[ACTOR].log_std : NULL, &a->steps, pick, &heads,
                 shared ? a->out + a->A : a->value, shared ? a->H : 1, c->clip_value, c->normalize_advantage,
                 a->hyper, a->metrics);
    be->mlp_backward(be, &actor, g[ACTOR].grads, NULL, 0, 0, &a->tape[ACTOR], input, a->dout, a->B);
    if (!shared)
        be->mlp_backward(be, &critic, g[CRITIC].grads, NULL, 0, 0, &a->tape[CRITIC], input, a->dvalue, a->B);
    be->clip_gradients(be, g, a->num_groups, a->max_grad_norm, a->metrics + UF_PPO_METRIC_grad_norm,
                       UF_NUM_PPO_METRICS);
    for (int k = 0; k < a->num_groups; k++) {
        UfGroup clipped = g[k];
        clipped.num_blocks = 1;  // they were added up
        be->adam_polyak(be, &clipped, a->lr, (UfCount){a->num_updates + 1, updates_of(c)}, decay_of(a), 0,
                        NULL, a->bad + k * a->P);
    }
    a->num_updates++;
    a->metrics_count++;
    a->fetched.fresh = false;
}

// ---- iterations ----

static UfStatus check_member(const UfPpo* a, int p, const double* metrics, const int bad[MAX_GROUPS]) {
    for (int i = 0; i < UF_NUM_PPO_METRICS; i++)
        if (!isfinite(metrics[i]))
            return UF_FAIL(UF_ERR_NONFINITE, "iteration %lld, member %d: %s is not finite; try a smaller lr",
                           (long long)a->iteration, p, uf_ppo_metric_names[i]);
    if (bad[ACTOR] || bad[CRITIC])
        return UF_FAIL(UF_ERR_NONFINITE,
                       "iteration %lld, member %d: a parameter of the %s is not finite; try a smaller lr",
                       (long long)a->iteration, p, bad[ACTOR] ? "actor" : "critic");
    return UF_OK;
}

// Of members whose arrays the host reads.
static UfStatus check_finite(const UfPpo* a) {
    UF_FOR_MEMBERS(a->backend, p, a->P) {
        int bad[MAX_GROUPS] = {0};
        for (int k = 0; k < a->num_groups; k++) bad[k] = a->bad[k * a->P + p];
        UF_TRY(check_member(a, p, a->metrics + (size_t)p * UF_NUM_PPO_METRICS, bad));
    }
    return UF_OK;
}

// What has happened since it was last asked, of all members in three copies.
static UfStatus fetch(UfPpo* a) {
    UfBackend* be = a->backend;
    const size_t P = (size_t)a->P;
    struct Fetched* f = &a->fetched;
    if (f->fresh) return UF_OK;
    be->download(be, f->metrics, a->metrics, P * UF_NUM_PPO_METRICS * sizeof *f->metrics);
    be->download(be, f->sums, a->episodes.sums, 3 * P * sizeof *f->sums);
    be->download(be, f->bad, a->bad, (size_t)a->num_groups * P * sizeof *f->bad);
    UF_TRY(be->sync(be));
    f->fresh = true;
    return UF_OK;
}

// Of what was fetched.
static UfStatus check_fetched(const UfPpo* a, int p) {
    int bad[MAX_GROUPS] = {0};
    for (int k = 0; k < a->num_groups; k++) bad[k] = a->fetched.bad[k * a->P + p];
    return check_member(a, p, a->fetched.metrics + (size_t)p * UF_NUM_PPO_METRICS, bad);
}

UfStatus uf_ppo_check(UfPpo* a) {
    UF_TRY(fetch(a));
    for (int p = 0; p < a->P; p++) UF_TRY(check_fetched(a, p));
    return UF_OK;
}

// What the members that the backend works on do in an iteration, once their rollout has its first observations.
static UfStatus do_iteration(UfPpo* a, UfTrainEnvs* envs) {
    const UfPpoConfig* c = &a->configs[0];
    UfBackend* be = a->backend;
    const int rows = a->T * a->N;
    UF_TRY(roll_out(a, envs));
    uf_ppo_evaluate(a);
    for (int64_t e = 0; e < c->update_epochs; e++) {
        const UfCount epoch = {a->iteration * c->update_epochs + e, c->update_epochs};
        be->random_order(be, a->order, a->P, rows, a->device_seeds, UF_STREAM_PPO_ORDER, epoch);
        for (int k = 0; k < c->num_minibatches; k++)
            uf_ppo_learn(a, (UfPick){a->order + (size_t)k * (size_t)a->B, (size_t)rows, a->B});
    }
    return UF_OK;
}

// The rollout goes on where the last one ended.
static UfStatus begin_rollout(UfPpo* a, UfTrainEnvs* envs) {
    UfBackend* be = a->backend;
    if (a->iteration == 0) return reset(a, envs);
    be->ppo_store(be, &a->steps, -1, NULL, NULL, NULL, NULL);
    return UF_OK;
}

static UfStatus iterate(UfPpo* a, UfTrainEnvs* envs) {
    UF_TRY(begin_rollout(a, envs));
    UF_TRY(do_iteration(a, envs));
    a->iteration++;
    return a->backend->apart ? UF_OK : check_finite(a);
}

// An iteration in which no one waits for the host is noted once and repeated, but for the first: libraries load themselves on
// first use. Nothing in it depends on the iteration but by a UfCount.
static UfStatus iterate_apart(UfPpo* a, UfTrainEnvs* envs) {
    UfBackend* be = a->backend;
    a->fetched.fresh = false;
    bool changed;
    UF_TRY(uf_apart_meet(&a->apart, envs, &changed));
    if (changed) a->recorded = false;
    UF_TRY(begin_rollout(a, envs));
    if (!a->apart.moved || !be->record || !a->warm) {
        a->warm = true;
        UF_TRY(do_iteration(a, envs));
        a->iteration++;
        return UF_OK;
    }
    if (!a->recorded) {
        const int64_t updates = a->num_updates, counted = a->metrics_count;
        be->record(be);
        const UfStatus status = do_iteration(a, envs);
        be->end_record(be);
        UF_TRY(status);
        a->num_updates = updates;
        a->metrics_count = counted;
        a->recorded = true;
    }
    be->repeat(be);
    a->num_updates += updates_of(&a->configs[0]);
    a->metrics_count += updates_of(&a->configs[0]);
    a->iteration++;
    return UF_OK;
}

// Members share nothing but constants, so where the backend splits a thread takes one through a whole iteration, and no
// thread waits between ops. A lane is a thread's view of the agents.
typedef struct Lane {
    UfPpo agent;
    UfBackend backend;
} Lane;

typedef struct Round {
    UfPpo* agent;
    UfTrainEnvs* envs;
    Lane* lanes;          // one a thread
    UfOutcome* outcomes;  // (P)
} Round;

static void iterate_members(const Round* r, int first, int count, Lane* lane) {
    lane->agent = *r->agent;
    lane->backend = uf_backend_members(r->agent->backend, first, count);
    lane->agent.backend = &lane->backend;
    uf_keep_outcome(&r->outcomes[first], iterate(&lane->agent, r->envs));
}

static void iterate_task(void* context, int p, int thread) {
    const Round* r = context;
    iterate_members(r, p, 1, &r->lanes[thread]);
}

// Members that are left over when each thread has had as many share the threads.
static UfStatus iterate_split(UfPpo* a, UfTrainEnvs* envs, Lane* lanes, UfOutcome* outcomes) {
    const Round r = {a, envs, lanes, outcomes};
    const int threads = uf_pool_num_threads(a->backend->pool), even = a->P / threads * threads;
    const int64_t updates = updates_of(&a->configs[0]);
    uf_pool_run(a->backend->pool, even, iterate_task, (void*)&r);
    if (even < a->P) iterate_members(&r, even, a->P - even, &lanes[0]);
    a->iteration++;
    a->num_updates += updates;
    a->metrics_count += updates;
    return uf_tell_outcomes(outcomes, a->P);
}

UfStatus uf_ppo_iterate(UfPpo* a, UfTrainEnvs* envs) {
    Lane* lanes = NULL;
    UfOutcome* outcomes = NULL;
    a->fetched.fresh = false;
    if (a->backend->apart) return iterate_apart(a, envs);
    if (a->P == 1 || !a->backend->splits) return iterate(a, envs);
    UfStatus status = UF_ALLOC(&lanes, uf_pool_num_threads(a->backend->pool), "lanes of a population");
    if (status == UF_OK) status = UF_ALLOC(&outcomes, a->P, "states of a population");
    if (status == UF_OK) status = iterate_split(a, envs, lanes, outcomes);
    uf_free(lanes);
    uf_free(outcomes);
    return status;
}

// ---- metrics ----

const char* const uf_ppo_metric_names[UF_NUM_PPO_METRICS] = {
#define X(name) #name,
    UF_PPO_METRICS(X)
#undef X
};

UfStatus uf_ppo_metrics(UfPpo* a, int member, UfPpoMetrics* out) {
    UF_TRY(fetch(a));
    if (a->backend->apart) UF_TRY(check_fetched(a, member));
    const double* sums = a->fetched.sums + 3 * (size_t)member;
    for (int i = 0; i < UF_NUM_PPO_METRICS; i++)
        out->values[i] = a->metrics_count
                             ? a->fetched.metrics[(size_t)member * UF_NUM_PPO_METRICS + (size_t)i] /
                                   (double)a->metrics_count
                             : NAN;
    out->episodes = sums[0];
    out->mean_return = sums[0] > 0 ? sums[1] / sums[0] : NAN;
    out->mean_length = sums[0] > 0 ? sums[2] / sums[0] : NAN;
    return UF_OK;
}

void uf_ppo_clear_metrics(UfPpo* a) {
    struct Fetched* f = &a->fetched;
    const size_t metrics = (size_t)a->P * UF_NUM_PPO_METRICS * sizeof *f->metrics,
                 sums = (size_t)a->P * 3 * sizeof *f->sums;
    memset(f->metrics, 0, metrics);
    memset(f->sums, 0, sums);
    f->fresh = false;
    a->backend->upload(a->backend, a->metrics, f->metrics, metrics);
    a->backend->upload(a->backend, a->episodes.sums, f->sums, sums);
    a->metrics_count = 0;
}

// ---- acting ----

const UfMlp* uf_ppo_actor_shape(const UfPpo* a) { return &a->mlp[ACTOR]; }

UfStatus uf_ppo_actors(UfPpo* a, real* params) {
    const UfGroup* g = &a->groups[ACTOR];
    a->backend->download(a->backend, params, g->params, (size_t)a->P * g->count * sizeof *params);
    return a->backend->sync(a->backend);
}

struct UfPpoPolicy {
    UfTrainSpace space;
    UfMlp mlp;
    real* params;  // one network
};

UfStatus uf_ppo_policy_create(UfPpoPolicy** out, UfPpo* a, int member) {
    UfPpoPolicy* policy;
    *out = NULL;
    UF_TRY(UF_ALLOC(&policy, 1, "policy"));
    policy->space = a->space;
    policy->mlp = a->mlp[ACTOR];
    UfStatus status = UF_ALLOC(&policy->params, policy->mlp.size, "policy parameters");
    if (status == UF_OK) {
        a->backend->download(a->backend, policy->params,
                             a->groups[ACTOR].params + (size_t)member * a->groups[ACTOR].count,
                             policy->mlp.size * sizeof(real));
        status = a->backend->sync(a->backend);
    }
    if (status != UF_OK) {
        uf_ppo_policy_free(policy);
        return status;
    }
    *out = policy;
    return UF_OK;
}

const UfTrainSpace* uf_ppo_policy_space(const UfPpoPolicy* policy) { return &policy->space; }

size_t uf_ppo_policy_scratch(const UfPpoPolicy* policy, int n) {
    const UfMlp* m = &policy->mlp;
    return (size_t)n * (size_t)(m->in + m->out + 2 * m->width);
}

static int most_probable(const real* logits, int A) {
    int best = 0;
    for (int k = 1; k < A; k++)
        if (logits[k] > logits[best]) best = k;
    return best;
}

void uf_ppo_policy_act(const UfPpoPolicy* policy, real* action, const void* obs, int n, const real* noise,
                       real* scratch) {
    const UfMlp* m = &policy->mlp;
    const int A = policy->space.action_dim;
    const size_t count = (size_t)n * (size_t)m->in;
    real *x = scratch, *out = x + count, *layers = out + (size_t)n * (size_t)m->out;
    for (size_t i = 0; i < count; i++)
        x[i] = policy->space.bytes ? (real)((const uint8_t*)obs)[i] : ((const real*)obs)[i];
    uf_mlp_forward_host(m, policy->params, out, x, m->in, n, layers);
    for (int b = 0; b < n; b++, out += m->out) {
        if (policy->space.discrete) {
            real log_p[UF_MAX_KINDS];
            uf_log_softmax(log_p, out, A);
            action[b] =
                (real)(noise ? uf_categorical_pick(log_p, A, (noise[b] + 1) / 2) : most_probable(out, A));
            continue;
        }
        for (int i = 0; i < A; i++) {
            const size_t at = (size_t)b * (size_t)A + (size_t)i;
            const real std = exp(policy->params[m->log_std + (size_t)i]);
            action[at] = out[i] + (noise ? std * noise[at] : 0);
        }
    }
}

void uf_ppo_policy_free(UfPpoPolicy* policy) {
    if (!policy) return;
    uf_free(policy->params);
    uf_free(policy);
}

// ---- checkpoint ----

static const UfH5Type h5_real = sizeof(real) == sizeof(float) ? UF_H5_FLOAT : UF_H5_DOUBLE;

// Moves an array between the device and a dataset.
static UfStatus move_array(UfPpo* a, const UfH5* h5, const char* name, UfH5Type type, size_t item,
                           void* device, int64_t rows, int64_t columns, bool to_device) {
    UfBackend* be = a->backend;
    const size_t bytes = (size_t)(rows * columns) * item;
    char* host;
    UF_TRY(UF_ALLOC(&host, bytes, name));
    UfStatus status = UF_OK;
    if (!to_device) {
        be->download(be, host, device, bytes);
        status = be->sync(be);
        if (status == UF_OK)
            status = uf_h5_write(h5, name, type, host, 2, (int64_t[]){rows, columns}, 0, false);
    } else {
        status = uf_h5_read(h5, name, type, host, rows * columns);
        if (status == UF_OK) be->upload(be, device, host, bytes);
        if (status == UF_OK) status = be->sync(be);
    }
    uf_free(host);
    return status;
}

static UfStatus move_tensors(UfPpo* a, const UfH5* h5, bool to_device) {
    static const char* const prefix[] = {"value", "adam_m", "adam_v"};
    UfStatus status = UF_OK;
    for (int i = 0; i < a->num_tensors && status == UF_OK; i++) {
        const UfTensor* t = &a->tensors[i];
        const size_t count = tensor_count(t);
        real* values;
        UF_TRY(UF_ALLOC(&values, (size_t)a->P * count, "one tensor of a checkpoint"));
        for (int kind = 0; kind < 3 && status == UF_OK; kind++) {
            char name[96];
            snprintf(name, sizeof name, "%s/%s", prefix[kind], t->name);
            if (to_device) status = uf_h5_read(h5, name, h5_real, values, (int64_t)((size_t)a->P * count));
            for (int p = 0; p < a->P && status == UF_OK; p++)
                status = move_tensor(a, t, (UfTensorKind)kind, p, values + (size_t)p * count, to_device);
            if (!to_device && status == UF_OK)
                status = uf_h5_write(h5, name, h5_real, values, 3, (int64_t[]){a->P, t->rows, t->columns}, 0,
                                     false);
        }
        uf_free(values);
    }
    return status;
}

// What goes on from iteration to iteration beside parameters. The last observations are those of step T.
static UfStatus move_progress(UfPpo* a, const UfH5* h5, bool to_device) {
    const int64_t P = a->P, N = a->N;
    const bool bytes = a->space.bytes;
    UfStatus status = UF_OK;
    for (int p = 0; p < a->P && status == UF_OK; p++) {
        char name[64];
        snprintf(name, sizeof name, "last_obs/%d", p);
        status = move_array(a, h5, name, bytes ? UF_H5_UINT8 : h5_real, bytes ? 1 : sizeof(real),
                            obs_at(a, p, a->T), N, a->O, to_device);
    }
    UF_TRY(status);
    UF_TRY(move_array(a, h5, "episode/length", UF_H5_INT32, sizeof(int32_t), a->episodes.length, P, N,
                      to_device));
    UF_TRY(
        move_array(a, h5, "episode/return", UF_H5_DOUBLE, sizeof(double), a->episodes.ret, P, N, to_device));
    UF_TRY(
        move_array(a, h5, "episode/sums", UF_H5_DOUBLE, sizeof(double), a->episodes.sums, P, 3, to_device));
    return move_array(a, h5, "metrics", UF_H5_DOUBLE, sizeof(double), a->metrics, P, UF_NUM_PPO_METRICS,
                      to_device);
}

static UfStatus write_envs(const UfPpo* a, const UfTrainEnvs* envs, const UfH5* h5) {
    const size_t bytes = envs->ops->state_bytes(envs);
    char* state;
    UF_TRY(UF_ALLOC(&state, (size_t)a->P * bytes, "states of environments"));
    UfStatus status = UF_OK;
    if (a->apart.moved == envs) status = envs->ops->get_states(envs, state);
    for (int p = 0; p < a->P && status == UF_OK && a->apart.moved != envs; p++)
        status = envs->ops->get_state(envs, p, state + (size_t)p * bytes);
    if (status == UF_OK)
        status = uf_h5_write(h5, "envs", UF_H5_UINT8, state, 2, (int64_t[]){a->P, (int64_t)bytes}, 0, false);
    uf_free(state);
    return status;
}

static UfStatus write_configs(const UfPpo* a, const UfH5* h5) {
    for (int p = 0; p < a->P; p++) {
        char name[32], *json;
        snprintf(name, sizeof name, "config/%d", p);
        UF_TRY(uf_table_json(&uf_ppo_table, &a->configs[p], &json));
        const int64_t length = (int64_t)strlen(json);
        const UfStatus status = uf_h5_write(h5, name, UF_H5_UINT8, json, 1, &length, 0, false);
        uf_free(json);
        UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus write_all(UfPpo* a, const UfTrainEnvs* envs, const UfH5* h5) {
    UF_TRY(uf_h5_write_string(h5, "/", "kind", "unifloral-ppo"));
    UF_TRY(uf_h5_write_string(h5, "/", "version", uf_version()));
    UF_TRY(uf_h5_write_integer(h5, "/", "population", a->P));
    UF_TRY(uf_h5_write_integer(h5, "/", "iteration", a->iteration));
    UF_TRY(uf_h5_write_integer(h5, "/", "num_updates", a->num_updates));
    UF_TRY(uf_h5_write_integer(h5, "/", "metrics_count", a->metrics_count));
    UF_TRY(uf_h5_write_integer(h5, "/", "obs_dim", a->O));
    UF_TRY(uf_h5_write_integer(h5, "/", "action_dim", a->A));
    UF_TRY(uf_h5_write_integer(h5, "/", "bytes", a->space.bytes));
    UF_TRY(uf_h5_write_integer(h5, "/", "discrete", a->space.discrete));
    UF_TRY(write_configs(a, h5));
    UF_TRY(move_tensors(a, h5, false));
    UF_TRY(move_progress(a, h5, false));
    return write_envs(a, envs, h5);
}

UfStatus uf_ppo_save(UfPpo* a, const UfTrainEnvs* envs, const char* path) {
    char temporary[1100];
    UfH5 h5;
    if (a->backend->apart) UF_TRY(uf_ppo_check(a));
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = write_all(a, envs, &h5);
    const UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

static UfStatus read_integer(const UfH5* h5, const char* name, int64_t low, int64_t high, int64_t* value) {
    double number;
    UF_TRY(uf_h5_read_number(h5, "/", name, &number));
    if (!(number >= (double)low && number <= (double)high))
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' is %g; expected %lld to %lld", h5->path, name,
                       number, (long long)low, (long long)high);
    *value = (int64_t)number;
    return UF_OK;
}

static UfStatus read_config(const UfH5* h5, int p, UfPpoConfig** out) {
    char name[32], label[1100], *json;
    UfH5Shape shape;
    snprintf(name, sizeof name, "config/%d", p);
    snprintf(label, sizeof label, "%s: %s", h5->path, name);
    UF_TRY(uf_h5_shape(h5, name, &shape));
    UF_TRY(UF_ALLOC(&json, shape.count + 1, "a configuration"));
    UfStatus status = uf_h5_read(h5, name, UF_H5_UINT8, json, shape.count);
    if (status == UF_OK) status = uf_table_create(&uf_ppo_table, (void**)out);
    if (status == UF_OK) status = uf_table_parse(&uf_ppo_table, *out, json, label);
    uf_free(json);
    return status;
}

static UfStatus read_all(UfPpo** out, const UfH5* h5, const UfPpoConfig* device, int num_threads,
                         bool to_act) {
    char* kind = NULL;
    int64_t P = 0, iteration = 0, updates = 0, count = 0, O = 0, A = 0, bytes = 0, discrete = 0;
    if (uf_h5_has_attribute(h5, "/", "kind")) UF_TRY(uf_h5_read_string(h5, "/", "kind", &kind));
    const bool right = kind && strcmp(kind, "unifloral-ppo") == 0;
    uf_free(kind);
    if (!right) return UF_FAIL(UF_ERR_FORMAT, "%s: is no checkpoint of PPO", h5->path);
    UF_TRY(read_integer(h5, "population", 1, 4096, &P));
    UF_TRY(read_integer(h5, "iteration", 0, INT64_MAX / 2, &iteration));
    UF_TRY(read_integer(h5, "num_updates", 0, INT64_MAX / 2, &updates));
    UF_TRY(read_integer(h5, "metrics_count", 0, INT64_MAX / 2, &count));
    UF_TRY(read_integer(h5, "obs_dim", 1, 100000000, &O));
    UF_TRY(read_integer(h5, "action_dim", 1, 100000, &A));
    UF_TRY(read_integer(h5, "bytes", 0, 1, &bytes));
    UF_TRY(read_integer(h5, "discrete", 0, 1, &discrete));
    const UfTrainSpace space = {
        .obs_dim = (int)O, .action_dim = (int)A, .bytes = bytes == 1, .discrete = discrete == 1};
    UfPpoConfig** configs;
    UF_TRY(UF_ALLOC(&configs, P, "configurations"));
    UfStatus status = UF_OK;
    for (int p = 0; p < P && status == UF_OK; p++) {
        status = read_config(h5, p, &configs[p]);
        if (status != UF_OK || !device) continue;
        configs[p]->device = device->device;
        configs[p]->precision = device->precision;
    }
    if (status == UF_OK)
        status = create(out, (const UfPpoConfig* const*)configs, (int)P, &space, NULL, num_threads, to_act);
    for (int p = 0; p < P; p++) uf_free(configs[p]);
    uf_free(configs);
    UF_TRY(status);
    (*out)->iteration = iteration;
    (*out)->num_updates = updates;
    (*out)->metrics_count = count;
    (*out)->fetched.fresh = false;
    UF_TRY(move_tensors(*out, h5, true));
    return to_act ? UF_OK : move_progress(*out, h5, true);
}

UfStatus uf_ppo_load(UfPpo** out, const char* path, const UfPpoConfig* device, int num_threads, bool to_act) {
    UfH5 h5;
    *out = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = read_all(out, &h5, device, num_threads, to_act);
    uf_h5_close(&h5);
    if (status != UF_OK) {
        uf_ppo_free(*out);
        *out = NULL;
    }
    return status;
}

UfStatus uf_ppo_load_envs(UfPpo* a, UfTrainEnvs* envs, const char* path) {
    const size_t bytes = envs->ops->state_bytes(envs);
    char* state;
    UfH5 h5;
    UF_TRY(uf_h5_open(&h5, path));
    UfStatus status = UF_ALLOC(&state, (size_t)a->P * bytes, "states of environments");
    if (status == UF_OK)
        status = uf_h5_read(&h5, "envs", UF_H5_UINT8, state, (int64_t)((size_t)a->P * bytes));
    for (int p = 0; p < a->P && status == UF_OK; p++)
        status = envs->ops->set_state(envs, p, state + (size_t)p * bytes, path);
    uf_free(state);
    uf_h5_close(&h5);
    return status;
}
