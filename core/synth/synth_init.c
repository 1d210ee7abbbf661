// synth_init.c: see synth_init.h.
//
// The reward's network, once a member, takes the input rows of critics: what normalises observations and scales actions is
// in its first layer. So nothing of a step visits the host but the bandit's contexts and the random actions.
// Compiled twice, like unifloral.c (Makefile, double.o).
//
// Rooms: memory, the bandit, the reward's networks, arrays, a step, targets, note, all of it.
#include "core/synth/synth_init.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/agents/policy.h"
#include "core/synth/synth.h"

enum { MAX_ARRAYS = 3 * (3 + 2 * UF_MAX_LAYERS) + 32, LOOK_ROWS = 1024 };

typedef struct Init {
    UfAgent* agent;
    UfInside in;
    UfBackend* be;
    const UfConfig* config;  // of the first member
    const char* path;
    SeEnv* env;
    bool critics, value, entropy;  // what learns, and whether the entropy has a weight
    int rows, kinds;  // of a pass of critics: 2 B; of the actor's pass through the reward: B, or A B
    real scale;       // of rewards: 1 over their deviation

    UfMlp reward_mlp;
    UfNets reward;
    UfGroup groups[UF_NUM_NETS];  // the agent's parameters, gradients and moments of our own
    UfTape reward_tape, tapes[UF_NUM_NETS];
    real *lr, *alpha;        // (P)
    UfHyper* hyper;          // (P)
    real *obs, *action;      // (P, B, O), (P, B, A): contexts, random actions
    real *x, *x_kinds;       // (P, 2 B, ld) random actions, then the policy's; (P, A B, ld) all kinds
    real *noise, *log_prob;  // (P, B, A), (P, B).   Nullable
    real *head, *dhead;      // (P, B, H)
    real *r, *dr, *da;       // (P, kinds) of the actor's pass, (P, B, A)
    real *y, *q, *dq;        // (P, 2 B), (P, N, 2 B)
    real *v, *dv;            // (P, B)
    int* bad;                // (UF_NUM_NETS, P)
    double* metrics;         // (P, UF_NUM_METRICS), which nobody reads
    float* host_float;       // (B, O)
    real* host;              // (P, B, O or A, whichever is more)
    void* arrays[MAX_ARRAYS];
    int num_arrays;
} Init;

// ---- memory ----

static UfStatus reserve(Init* s, void* pointer, size_t count, size_t item_bytes) {
    void* memory = NULL;
    UF_TRY(s->be->reserve(s->be, &memory, count * item_bytes, "initialisation from a bandit"));
    s->arrays[s->num_arrays++] = memory;
    memcpy(pointer, &memory, sizeof memory);
    return UF_OK;
}
#define RESERVE(s, field, count) reserve((s), &(field), (size_t)(count), sizeof *(field))

static void close_init(Init* s) {
    for (int i = 0; i < s->num_arrays; i++) s->be->release(s->be, s->arrays[i]);
    uf_free(s->host_float);
    uf_free(s->host);
    se_free(s->env);
}

// ---- the bandit ----

static UfStatus check_sizes(const Init* s, const SeOptions* o) {
    const UfInside* in = &s->in;
    if (o->mode != SE_BANDIT)
        return UF_FAIL(UF_ERR_CONFIG,
                       "init_from '%s' is an MDP, whose rewards say nothing of what follows; name a bandit",
                       s->path);
    if (o->obs_dim == in->O && o->action_dim == in->A && !o->discrete == !in->discrete) return UF_OK;
    return UF_FAIL(
        UF_ERR_CONFIG,
        "init_from '%s' has %d numbers of an observation and %d %s, the agent %d and %d %s; make one of "
        "this dataset with `unifloral synthenv make`",
        s->path, o->obs_dim, o->action_dim, o->discrete ? "kinds of action" : "numbers of an action", in->O,
        in->A, in->discrete ? "kinds of action" : "numbers of an action");
}

static UfStatus check_env(const Init* s, const SeOptions* o) {
    const char* name = s->config->env[0] ? s->config->env : s->in.env_id;
    const UfEnvSpec *theirs = o->eval_env[0] ? uf_env_find(o->eval_env) : NULL,
                    *ours = name[0] ? uf_env_find(name) : NULL;
    if (!theirs || !ours || theirs == ours) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG,
                   "init_from '%s' stands for %s, but this run is about %s; make a bandit of its data",
                   s->path, theirs->name, ours->name);
}

static UfStatus check_discount(const Init* s, const SeOptions* o) {
    for (int p = 0; p < s->in.P; p++)
        if (!(fabs(s->in.configs[p].gamma - (double)o->discount) <= 1e-6))  // the file has it in float
            return UF_FAIL(
                UF_ERR_CONFIG,
                "init_from '%s' holds a Q function of discount %g, but gamma is %g; make them equal, or set "
                "init_critics to false and the actor alone learns",
                s->path, (double)o->discount, s->in.configs[p].gamma);
    return UF_OK;
}

static UfStatus open_bandit(Init* s) {
    UF_TRY(se_read(&s->env, s->path));
    const SeOptions* o = se_options(s->env);
    UF_TRY(check_sizes(s, o));
    UF_TRY(check_env(s, o));
    s->critics = s->config->init_critics && o->meaning == SE_Q;
    s->value = s->critics && s->in.nets[UF_VALUE_NETS].N > 0;
    for (int p = 0; p < s->in.P; p++) s->entropy = s->entropy || s->in.configs[p].init_entropy_coef > 0;
    return s->critics ? check_discount(s, o) : UF_OK;
}

// ---- the reward's networks ----

// Where the parameter vector has the parts of the reward's network.
typedef struct Parts {
    const float *bias, *kernel, *out_bias, *out;
} Parts;

static Parts parts_of(const SeOptions* o, const float* params) {
    const size_t H = (size_t)o->width, L = (size_t)o->latent_dim, O = (size_t)o->obs_dim,
                 A = (size_t)o->action_dim;
    const float* reward = params + H + L * H + O + H * O;
    return (Parts){reward, reward + H, reward + H + (O + A) * H, reward + H + (O + A) * H + 1};
}

// Middle and half of the range of actions in the bandit's units; kinds are as they are.
static void action_units(const SeOptions* o, double* middle, double* half) {
    *middle = o->discrete ? 0 : ((double)o->action_low + (double)o->action_high) / 2;
    *half = o->discrete ? 1 : ((double)o->action_high - (double)o->action_low) / 2;
}

// f(kernel (mean + (std + eps) x_o, middle + half x_a) + bias) as one of (x_o, x_a).
static void fold(const Init* s, const float* params, real* to) {
    const SeOptions* o = se_options(s->env);
    const UfMlp* m = &s->reward_mlp;
    const Parts f = parts_of(o, params);
    const real* norm = s->in.norm;
    double middle, half;
    action_units(o, &middle, &half);
    for (int h = 0; h < o->width; h++) {
        double bias = (double)f.bias[h];
        for (int i = 0; i < m->in; i++) {
            const bool is_obs = i < o->obs_dim;
            const double mean = !is_obs ? middle
                                : norm  ? (double)norm[i]
                                        : 0,
                         unit = !is_obs ? half
                                : norm  ? (double)norm[o->obs_dim + i] + UF_OBS_STD_EPS
                                        : 1;
            const size_t at = (size_t)i * (size_t)o->width + (size_t)h;
            bias += mean * (double)f.kernel[at];
            to[m->kernel[0] + at] = (real)(unit * (double)f.kernel[at]);
        }
        to[m->bias[0] + (size_t)h] = (real)bias;
        to[m->kernel[1] + (size_t)h] = f.out[h];
    }
    to[m->bias[1]] = f.out_bias[0];
}

static UfStatus make_reward(Init* s) {
    const SeOptions* o = se_options(s->env);
    float* params = NULL;
    real *folded = NULL, *on_device;
    s->reward_mlp = uf_mlp_shape(o->obs_dim + o->action_dim, o->width, 1, 1, false, 0);
    const size_t size = s->reward_mlp.size;
    UF_TRY(RESERVE(s, on_device, (size_t)s->in.P * size));
    UfStatus status = UF_ALLOC(&params, se_num_params(s->env), "parameters of a bandit");
    if (status == UF_OK) status = UF_ALLOC(&folded, size, "parameters of a bandit");
    if (status == UF_OK) {
        se_get_params(s->env, params);
        fold(s, params, folded);
        for (size_t p = 0; p < (size_t)s->in.P; p++)
            s->be->upload(s->be, on_device + p * size, folded, size * sizeof *folded);
        status = s->be->sync(s->be);
    }
    uf_free(params);
    uf_free(folded);
    s->reward = (UfNets){&s->reward_mlp, s->in.P, 1, 1, on_device, false};
    return status;
}

// Of contexts and random actions that depend on the file alone: rewards are of any size, steps are to be alike.
static UfStatus measure_reward(Init* s) {
    const SeOptions* o = se_options(s->env);
    const size_t O = (size_t)o->obs_dim, A = (size_t)o->action_dim;
    float* obs;
    double sum = 0, squares = 0;
    UF_TRY(UF_ALLOC(&obs, LOOK_ROWS * (O + A + 1), "rewards of a bandit"));
    float *action = obs + LOOK_ROWS * O, *reward = action + LOOK_ROWS * A;
    UfRandom random = uf_random(0, UF_STREAM_INIT_ACTION, 0);
    se_reset(s->env, &(SeDraw){.seed = 0}, LOOK_ROWS, obs);
    for (size_t i = 0; i < LOOK_ROWS * A && !o->discrete; i++)
        action[i] = (float)uf_random_uniform(&random, (double)o->action_low, (double)o->action_high);
    for (size_t i = 0; i < LOOK_ROWS && o->discrete; i++)
        action[i * A + (size_t)(uf_random_uniform(&random, 0, 1) * (double)A)] = 1;
    se_rewards(s->env, LOOK_ROWS, obs, action, reward);
    for (int i = 0; i < LOOK_ROWS; i++) sum += (double)reward[i];
    for (int i = 0; i < LOOK_ROWS; i++) squares += pow((double)reward[i] - sum / LOOK_ROWS, 2);
    uf_free(obs);
    const double deviation = sqrt(squares / LOOK_ROWS);
    if (!isfinite(deviation))
        return UF_FAIL(UF_ERR_FORMAT, "init_from '%s': rewards of its contexts are not finite", s->path);
    if (!(deviation > 0))
        return UF_FAIL(UF_ERR_CONFIG,
                       "init_from '%s': every action earns %g in every context; there is nothing to learn",
                       s->path, sum / LOOK_ROWS);
    s->scale = (real)(1 / deviation);
    return UF_OK;
}

// ---- arrays ----

static UfStatus reserve_tape(Init* s, UfTape* tape, const UfMlp* mlp, size_t rows) {
    for (int l = 0; l < mlp->layers; l++) {
        UF_TRY(RESERVE(s, tape->r[l], rows * (size_t)mlp->width));
        if (mlp->layer_norm) UF_TRY(RESERVE(s, tape->stats[l], rows * 2));
    }
    return UF_OK;
}

// Gradients and moments for passes over `rows` of each network.
static UfStatus reserve_group(Init* s, int k, int rows) {
    UfGroup* g = &s->groups[k];
    const UfNets* nets = &s->in.nets[k];
    const size_t count = (size_t)s->in.P * s->in.groups[k].count;
    *g = s->in.groups[k];
    g->num_blocks = uf_num_blocks(rows, nets->N);
    UF_TRY(RESERVE(s, g->grads, count * (size_t)g->num_blocks));
    UF_TRY(RESERVE(s, g->m, count));
    UF_TRY(RESERVE(s, g->v, count));
    UF_TRY(s->be->plan(s->be, nets->mlp, s->in.P, nets->N, rows));
    return reserve_tape(s, &s->tapes[k], nets->mlp, (size_t)s->in.P * (size_t)nets->N * (size_t)rows);
}

static UfStatus reserve_actor(Init* s) {
    const UfInside* in = &s->in;
    const size_t P = (size_t)in->P, B = (size_t)in->B, A = (size_t)in->A, rows = P * B,
                 kinds = P * (size_t)s->kinds;
    UF_TRY(reserve_group(s, UF_ACTOR_NETS, in->B));
    UF_TRY(s->be->plan(s->be, &s->reward_mlp, in->P, 1, s->kinds));
    UF_TRY(RESERVE(s, s->head, rows * (size_t)in->H));
    UF_TRY(RESERVE(s, s->dhead, rows * (size_t)in->H));
    UF_TRY(RESERVE(s, s->r, kinds));
    UF_TRY(RESERVE(s, s->da, rows * A));
    if (s->entropy) UF_TRY(RESERVE(s, s->alpha, P));
    if (s->entropy) UF_TRY(RESERVE(s, s->log_prob, rows));
    if (in->discrete) return RESERVE(s, s->x_kinds, kinds * (size_t)(in->O + in->A));
    if (in->heads.kind != UF_POLICY_DETERMINISTIC) UF_TRY(RESERVE(s, s->noise, rows * A));
    UF_TRY(RESERVE(s, s->dr, kinds));
    return reserve_tape(s, &s->reward_tape, &s->reward_mlp, rows);
}

static UfStatus reserve_critics(Init* s) {
    const UfInside* in = &s->in;
    const size_t rows = (size_t)in->P * (size_t)s->rows, N = (size_t)in->nets[UF_CRITIC_NETS].N;
    UF_TRY(reserve_group(s, UF_CRITIC_NETS, s->rows));
    UF_TRY(s->be->plan(s->be, &s->reward_mlp, in->P, 1, s->rows));
    UF_TRY(RESERVE(s, s->y, rows));
    UF_TRY(RESERVE(s, s->q, rows * N));
    UF_TRY(RESERVE(s, s->dq, rows * N));
    if (!s->value) return UF_OK;
    UF_TRY(reserve_group(s, UF_VALUE_NETS, in->B));
    UF_TRY(RESERVE(s, s->v, in->P * in->B));
    return RESERVE(s, s->dv, in->P * in->B);
}

static UfStatus reserve_all(Init* s) {
    const UfInside* in = &s->in;
    const size_t P = (size_t)in->P, B = (size_t)in->B, O = (size_t)in->O, A = (size_t)in->A;
    UF_TRY(UF_ALLOC(&s->host_float, B * O, "contexts"));
    UF_TRY(UF_ALLOC(&s->host, P * B * (O > A ? O : A), "contexts and actions"));
    UF_TRY(RESERVE(s, s->lr, P));
    UF_TRY(RESERVE(s, s->hyper, P));
    UF_TRY(RESERVE(s, s->bad, UF_NUM_NETS * in->P));
    UF_TRY(RESERVE(s, s->metrics, P * UF_NUM_METRICS));
    UF_TRY(RESERVE(s, s->obs, P * B * O));
    UF_TRY(RESERVE(s, s->action, P * B * A));
    UF_TRY(RESERVE(s, s->x, P * 2 * B * (O + A)));
    UF_TRY(reserve_actor(s));
    return s->critics ? reserve_critics(s) : UF_OK;
}

// What ops read of a member here: the terms of this loss alone.
static void upload_constants(Init* s) {
    for (int p = 0; p < s->in.P; p++) {
        const UfConfig* c = &s->in.configs[p];
        const UfHyper h = {.actor_q_coef = s->scale,
                           .actor_entropy_coef = (real)c->init_entropy_coef * s->scale,
                           .log_std_min = (real)c->log_std_min,
                           .log_std_max = (real)c->log_std_max,
                           .value_expectile = (real)0.5};
        s->be->upload(s->be, s->hyper + p, &h, sizeof h);
        s->be->upload(s->be, s->lr + p, &(real){(real)c->init_lr}, sizeof(real));
        if (s->alpha) s->be->upload(s->be, s->alpha + p, &(real){1}, sizeof(real));
    }
}

// The one-hot columns of the rows of all kinds, which stay: row a B + b is kind a.
static UfStatus upload_kinds(Init* s) {
    const size_t ld = (size_t)(s->in.O + s->in.A), rows = (size_t)s->kinds;
    real* host;
    if (!s->x_kinds) return UF_OK;
    UF_TRY(UF_ALLOC(&host, rows * ld, "rows of all actions"));
    for (size_t row = 0; row < rows; row++) host[row * ld + (size_t)s->in.O + row / (size_t)s->in.B] = 1;
    for (size_t p = 0; p < (size_t)s->in.P; p++)
        s->be->upload(s->be, s->x_kinds + p * rows * ld, host, rows * ld * sizeof *host);
    const UfStatus status = s->be->sync(s->be);
    uf_free(host);
    return status;
}

// ---- a step ----

static UfInput input_of(const Init* s, const real* x, int total) {
    return (UfInput){x, s->in.O + s->in.A, total};
}

// Contexts and random actions of every member.
static void draw(Init* s, int64_t step) {
    const UfInside* in = &s->in;
    const size_t rows = (size_t)in->B, O = (size_t)in->O, A = (size_t)in->A;
    for (size_t p = 0; p < (size_t)in->P; p++) {
        se_reset(s->env, &(SeDraw){.seed = in->seeds[p], .step = (uint64_t)step}, in->B, s->host_float);
        for (size_t i = 0; i < rows * O; i++) s->host[p * rows * O + i] = s->host_float[i];
    }
    s->be->upload(s->be, s->obs, s->host, (size_t)in->P * rows * O * sizeof *s->host);
    if (in->discrete) memset(s->host, 0, (size_t)in->P * rows * A * sizeof *s->host);
    for (size_t p = 0; p < (size_t)in->P; p++) {
        UfRandom random = uf_random(in->seeds[p], UF_STREAM_INIT_ACTION, (uint64_t)step);
        real* action = s->host + p * rows * A;
        for (size_t i = 0; i < rows * A && !in->discrete; i++)
            action[i] = (real)uf_random_uniform(&random, -1, 1);
        for (size_t b = 0; b < rows && in->discrete; b++)
            action[b * A + (size_t)(uf_random_uniform(&random, 0, 1) * (double)A)] = 1;
    }
    s->be->upload(s->be, s->action, s->host, (size_t)in->P * rows * A * sizeof *s->host);
    const UfDraw normals = {s->noise,     NULL, (int64_t)(rows * A), UF_DRAW_NORMAL, UF_STREAM_INIT_NOISE,
                            {step - 1, 0}};
    if (s->noise) s->be->random(s->be, &normals, 1, in->P, in->device_seeds);
}

static void put_rows(Init* s, real* x, int total, const real* action) {
    const UfInside* in = &s->in;
    s->be->network_input(s->be, &(UfInputRows){x, total, s->obs, action}, 1, in->O + in->A, in->mean, in->std,
                         in->P, in->B, in->O, in->A);
}

static void optimise(Init* s, int k, int64_t step) {
    const UfDecay decay = {UF_DECAY_COSINE, s->config->init_steps};
    s->be->adam_polyak(s->be, &s->groups[k], s->lr, (UfCount){step, 0}, decay, 0, NULL, s->bad + k * s->in.P);
}

// The derivative of the scaled reward by the policy's actions, or by a categorical one's probabilities.
static void reward_to_action(Init* s, const UfHeads* heads, const real* x_pi) {
    const UfInside* in = &s->in;
    UfBackend* be = s->be;
    if (in->discrete) {
        const size_t group = (size_t)in->B * (size_t)(in->O + in->A);
        for (int a = 0; a < in->A; a++) put_rows(s, s->x_kinds + (size_t)a * group, s->kinds, NULL);
        be->mlp_forward(be, &s->reward, s->r, NULL, input_of(s, s->x_kinds, s->kinds),
                        (UfRows){0, s->kinds, s->kinds});
        be->expected_q_loss(be, s->da, heads, s->r, UF_AGGREGATE_FIRST, false, 1, s->metrics);
        return;
    }
    be->mlp_forward(be, &s->reward, s->r, &s->reward_tape, input_of(s, x_pi, s->rows),
                    (UfRows){0, in->B, in->B});
    be->actor_q_loss(be, s->dr, s->r, UF_AGGREGATE_FIRST, false, s->hyper, in->P, 1, in->B, s->metrics);
    be->mlp_backward(be, &s->reward, NULL, s->da, in->O, in->A, &s->reward_tape, input_of(s, x_pi, s->rows),
                     s->dr, in->B);
}

static void step_actor(Init* s, int64_t step) {
    const UfInside* in = &s->in;
    UfBackend* be = s->be;
    const UfNets* actor = &in->nets[UF_ACTOR_NETS];
    UfGroup* g = &s->groups[UF_ACTOR_NETS];
    const int ld = in->O + in->A;
    real* x_pi = s->x + (size_t)in->B * (size_t)ld;
    UfHeads heads = in->heads;
    heads.head = s->head;
    heads.hyper = s->hyper;
    be->mlp_forward(be, actor, s->head, &s->tapes[UF_ACTOR_NETS], input_of(s, x_pi, s->rows),
                    (UfRows){0, in->B, in->B});
    be->policy_sample(be, &heads, (UfActions){x_pi + in->O, ld, s->rows}, s->log_prob, s->noise, NULL);
    reward_to_action(s, &heads, x_pi);
    be->actor_loss(be, s->dhead, heads.log_std ? g->grads + actor->mlp->log_std : NULL, &heads, s->noise,
                   s->action, NULL, s->da, 1, s->alpha, s->log_prob, s->metrics);
    be->mlp_backward(be, actor, g->grads, NULL, 0, 0, &s->tapes[UF_ACTOR_NETS], input_of(s, x_pi, s->rows),
                     s->dhead, in->B);
    optimise(s, UF_ACTOR_NETS, step);
}

// Rows are random actions, then the policy's as it was before this step.
static void step_critics(Init* s, int64_t step) {
    const UfInside* in = &s->in;
    UfBackend* be = s->be;
    const UfNets* critic = &in->nets[UF_CRITIC_NETS];
    const UfInput input = input_of(s, s->x, s->rows);
    const UfRows rows = {0, s->rows, s->rows};
    be->mlp_forward(be, &s->reward, s->y, NULL, input, rows);
    be->mlp_forward(be, critic, s->q, &s->tapes[UF_CRITIC_NETS], input, rows);
    be->q_loss(be, s->dq, s->q, s->y, s->hyper, in->P, critic->N, s->rows, s->rows, false, s->rows,
               s->metrics, 1);
    be->mlp_backward(be, critic, s->groups[UF_CRITIC_NETS].grads, NULL, 0, 0, &s->tapes[UF_CRITIC_NETS],
                     input, s->dq, s->rows);
    optimise(s, UF_CRITIC_NETS, step);
}

static void step_value(Init* s, int64_t step) {
    const UfInside* in = &s->in;
    UfBackend* be = s->be;
    const UfNets* value = &in->nets[UF_VALUE_NETS];
    const UfInput input = input_of(s, s->x + (size_t)in->B * (size_t)(in->O + in->A), s->rows);
    be->mlp_forward(be, value, s->v, &s->tapes[UF_VALUE_NETS], input, (UfRows){0, in->B, in->B});
    be->value_loss(be, s->dv, s->y + in->B, s->rows, s->v, s->hyper, in->P, 1, in->B, s->metrics);
    be->mlp_backward(be, value, s->groups[UF_VALUE_NETS].grads, NULL, 0, 0, &s->tapes[UF_VALUE_NETS], input,
                     s->dv, in->B);
    optimise(s, UF_VALUE_NETS, step);
}

// step: from 1.
static UfStatus take_step(Init* s, int64_t step) {
    draw(s, step);
    put_rows(s, s->x, s->rows, s->action);
    put_rows(s, s->x + (size_t)s->in.B * (size_t)(s->in.O + s->in.A), s->rows, NULL);
    step_actor(s, step);
    if (s->critics) step_critics(s, step);
    if (s->value) step_value(s, step);
    return s->be->sync(s->be);
}

// ---- targets ----

static UfStatus copy_targets(Init* s) {
    for (int k = 0; k < UF_NUM_NETS; k++) {
        const UfGroup* g = &s->in.groups[k];
        const size_t count = (size_t)s->in.P * g->count;
        real* host;
        if (!s->in.nets[k].N || !g->target) continue;
        UF_TRY(UF_ALLOC(&host, count, "target networks"));
        s->be->download(s->be, host, g->params, count * sizeof *host);
        UfStatus status = s->be->sync(s->be);
        if (status == UF_OK) s->be->upload(s->be, g->target, host, count * sizeof *host);
        if (status == UF_OK) status = s->be->sync(s->be);
        uf_free(host);
        UF_TRY(status);
    }
    return UF_OK;
}

static UfStatus check_finite(Init* s) {
    static const char* const names[] = {"actor", "critics", "value"};
    int* bad;
    UF_TRY(UF_ALLOC(&bad, UF_NUM_NETS * s->in.P, "states of parameters"));
    s->be->download(s->be, bad, s->bad, UF_NUM_NETS * (size_t)s->in.P * sizeof *bad);
    UfStatus status = s->be->sync(s->be);
    for (int i = 0; i < UF_NUM_NETS * s->in.P && status == UF_OK; i++)
        if (bad[i])
            status =
                UF_FAIL(UF_ERR_NONFINITE,
                        "init_from '%s': a parameter of the %s is not finite after %lld steps; try a smaller "
                        "init_lr",
                        s->path, names[i / s->in.P], (long long)s->config->init_steps);
    uf_free(bad);
    return status;
}

// ---- note ----

// What the first member's policy earns in some contexts, at its mean, what the best actions earn, and how far critics are off.
typedef struct Look {
    double reward, best,
        error;  // error: mean square over the deviation's, of the policy's and random actions
} Look;

static double mean_reward(const Init* s, const float* obs, const float* encoded, float* reward) {
    double sum = 0;
    se_rewards(s->env, LOOK_ROWS, obs, encoded, reward);
    for (int i = 0; i < LOOK_ROWS; i++) sum += (double)reward[i];
    return sum / LOOK_ROWS;
}

static UfStatus look_with(const Init* s, const UfPolicy* policy, Look* look, float* obs, double* q) {
    const SeOptions* o = se_options(s->env);
    const size_t O = (size_t)o->obs_dim, A = (size_t)o->action_dim;
    float *action = obs + LOOK_ROWS * O, *encoded = action + LOOK_ROWS * A, *best = encoded + LOOK_ROWS * A,
          *reward = best + LOOK_ROWS * A;
    double middle, half;
    action_units(o, &middle, &half);
    se_reset(s->env, &(SeDraw){.seed = 0}, LOOK_ROWS, obs);
    UF_TRY(uf_policy_act_normalised(policy, action, obs, LOOK_ROWS, NULL));
    for (size_t i = 0; i < LOOK_ROWS * A; i++) encoded[i] = (float)(middle + half * (double)action[i]);
    look->reward = mean_reward(s, obs, encoded, reward);
    if (s->critics) {
        UF_TRY(uf_agent_q(s->agent, 0, q, obs, action, LOOK_ROWS));
        for (int i = 0; i < LOOK_ROWS; i++)
            look->error += pow((q[i] - (double)reward[i]) * (double)s->scale, 2) / LOOK_ROWS;
    }
    se_best_actions(s->env, LOOK_ROWS, obs, best);
    se_encode(s->env, LOOK_ROWS, best, encoded);
    look->best = mean_reward(s, obs, encoded, reward);
    return UF_OK;
}

static UfStatus look_at(const Init* s, Look* look) {
    const SeOptions* o = se_options(s->env);
    UfPolicy* policy = NULL;
    float* obs = NULL;
    double* q = NULL;
    *look = (Look){0, 0, 0};
    UfStatus status = uf_policy_create(&policy, s->agent, 0);
    if (status == UF_OK)
        status = UF_ALLOC(&obs, LOOK_ROWS * (o->obs_dim + 3 * o->action_dim + 1), "contexts");
    if (status == UF_OK) status = UF_ALLOC(&q, LOOK_ROWS, "values of contexts");
    if (status == UF_OK) status = look_with(s, policy, look, obs, q);
    uf_free(obs);
    uf_free(q);
    uf_policy_free(policy);
    return status;
}

// ---- all of it ----

static UfStatus initialise(Init* s, char* note, size_t note_bytes) {
    Look before, after;
    UF_TRY(open_bandit(s));
    UF_TRY(measure_reward(s));
    UF_TRY(make_reward(s));
    s->rows = 2 * s->in.B;
    s->kinds = s->in.discrete ? s->in.A * s->in.B : s->in.B;
    UF_TRY(reserve_all(s));
    UF_TRY(upload_kinds(s));
    upload_constants(s);
    UF_TRY(look_at(s, &before));
    for (int64_t step = 1; step <= s->config->init_steps; step++) UF_TRY(take_step(s, step));
    UF_TRY(check_finite(s));
    UF_TRY(copy_targets(s));
    UF_TRY(look_at(s, &after));
    const size_t length = (size_t)snprintf(
        note, note_bytes,
        "init_from %s: the policy's actions earn %.4g, at first %.4g, the bandit's best ones %.4g", s->path,
        after.reward, before.reward, after.best);
    if (s->critics && length < note_bytes)
        snprintf(note + length, note_bytes - length,
                 "; the critics are off by %.2g of the rewards' deviation", sqrt(after.error));
    return UF_OK;
}

UfStatus uf_synth_init(UfAgent* agent, char* note, size_t note_bytes) {
    Init s = {.agent = agent, .in = uf_agent_inside(agent)};
    s.be = s.in.backend;
    s.config = &s.in.configs[0];
    s.path = s.config->init_from;
    const UfStatus status = initialise(&s, note, note_bytes);
    close_init(&s);
    return status;
}
