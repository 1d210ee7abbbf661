// synthenv.c: synthetic environments: see synthenv.h.
//
// Rows are taken in blocks that fit the stack, so nothing is allocated by a step and an environment has no state; products
// are the loops for few rows (kernels_cpu.h), whose sums run in an order that does not depend on the rows beside.
//
// Rooms: shapes, creation, parameters, latents, blocks of rows, rewards, steps, best actions, writing, reading, horizon.
// Sources: arXiv 2406.12589 and its code (synthetic-gymnax); gymnax for the order of a step and a reset.
#include "synthenv.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/normals.h"
#include "core/philox.h"
#include "core/synth/synth.h"
#include "core/synth/synth_rules.h"
#include "kernels_cpu.h"

_Static_assert(sizeof(real) == sizeof(float), "environments speak float");

static const char* const net_names[UF_SYNTH_NETS] = {"initial_state", "reward", "next_state_delta", "done"};

enum { MAX_SIZE = 1024, MAX_WIDTH = 2048, EVAL_ENV_BYTES = 128, GRID = 101, MAX_ROUNDS = 20 };

struct SeEnv {
    SeOptions options;
    char eval_env[EVAL_ENV_BYTES];
    int num_nets;
    UfMlp nets[UF_SYNTH_NETS];
    real* params[UF_SYNTH_NETS];
};

// ---- shapes ----

typedef struct Tensor {
    char name[48];
    real* data;
    int rank;
    int64_t dims[2], count;
} Tensor;

enum { MAX_TENSORS = 4 * UF_SYNTH_NETS };

// In the order of the parameter vector.
static int list_tensors(const SeEnv* env, Tensor out[MAX_TENSORS]) {
    int count = 0;
    for (int n = 0; n < env->num_nets; n++)
        for (int l = 0; l < 2; l++) {
            const UfMlp* mlp = &env->nets[n];
            const int in = l ? mlp->width : mlp->in, width = l ? mlp->out : mlp->width;
            Tensor *bias = &out[count++], *kernel = &out[count++];
            *bias =
                (Tensor){.data = env->params[n] + mlp->bias[l], .rank = 1, .dims = {width}, .count = width};
            *kernel = (Tensor){.data = env->params[n] + mlp->kernel[l],
                               .rank = 2,
                               .dims = {in, width},
                               .count = (int64_t)in * width};
            snprintf(bias->name, sizeof bias->name, "%s/dense%d/bias", net_names[n], l);
            snprintf(kernel->name, sizeof kernel->name, "%s/dense%d/kernel", net_names[n], l);
        }
    return count;
}

static UfStatus check_size(const char* name, int value, int high) {
    if (value >= 1 && value <= high) return UF_OK;
    return UF_FAIL(UF_ERR_ARGUMENT, "synthetic environment: %s is %d; expected 1 to %d", name, value, high);
}

static UfStatus check_options(const SeOptions* o) {
    if (o->mode != SE_BANDIT && o->mode != SE_MDP)
        return UF_FAIL(UF_ERR_ARGUMENT, "synthetic environment: mode is %d; expected SE_BANDIT or SE_MDP",
                       (int)o->mode);
    if ((int)o->latent < SE_NORMAL || o->latent > SE_SOFTMAX)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "synthetic environment: latent is %d; expected SE_NORMAL to SE_SOFTMAX",
                       (int)o->latent);
    UF_TRY(check_size("obs_dim", o->obs_dim, MAX_SIZE));
    UF_TRY(check_size("action_dim", o->action_dim, MAX_SIZE));
    UF_TRY(check_size("latent_dim", o->latent_dim, MAX_SIZE));
    UF_TRY(check_size("width", o->width, MAX_WIDTH));
    UF_TRY(check_size("max_steps", o->max_steps, INT32_MAX));
    if ((int)o->meaning < SE_SOUGHT || o->meaning > SE_BEHAVIOUR)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "synthetic environment: meaning is %d; expected SE_SOUGHT to SE_BEHAVIOUR",
                       (int)o->meaning);
    if (o->meaning == SE_Q && !(o->discount >= 0 && o->discount <= 1))
        return UF_FAIL(UF_ERR_ARGUMENT, "synthetic environment: discount is %g; expected 0 to 1",
                       (double)o->discount);
    if (o->discrete ||
        (isfinite(o->action_low) && isfinite(o->action_high) && o->action_low < o->action_high))
        return UF_OK;
    return UF_FAIL(
        UF_ERR_ARGUMENT,
        "synthetic environment: actions go from %g to %g; expected two finite bounds, the lower first",
        (double)o->action_low, (double)o->action_high);
}

UfStatus se_check_fit(const SeOptions* o, const UfEnvSpec* spec) {
    if (o->obs_dim != spec->obs_dim || o->action_dim != spec->action_dim || !o->discrete != !spec->discrete)
        return UF_FAIL(
            UF_ERR_ARGUMENT,
            "the synthetic environment has %d numbers of an observation and %d %s, %s has %d and %d %s",
            o->obs_dim, o->action_dim, o->discrete ? "kinds of action" : "numbers of an action", spec->name,
            spec->obs_dim, spec->action_dim, spec->discrete ? "kinds of action" : "numbers of an action");
    if (!o->discrete && (o->action_low != spec->action_low || o->action_high != spec->action_high))
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "the synthetic environment has actions from %g to %g, %s from %g to %g",
                       (double)o->action_low, (double)o->action_high, spec->name, (double)spec->action_low,
                       (double)spec->action_high);
    return UF_OK;
}

// ---- creation ----

UfStatus se_default_options(SeOptions* o, const char* eval_env) {
    UF_TRY_GIVEN(o);
    UF_TRY_GIVEN(eval_env);
    const UfEnvSpec* spec;
    *o = (SeOptions){0};
    UF_TRY(uf_env_lookup(&spec, eval_env));
    *o = (SeOptions){.eval_env = spec->name,
                     .mode = SE_BANDIT,
                     .latent = SE_NORMAL,
                     .obs_dim = spec->obs_dim,
                     .action_dim = spec->action_dim,
                     .discrete = spec->discrete,
                     .action_low = spec->action_low,
                     .action_high = spec->action_high,
                     .width = 32,
                     .max_steps = spec->max_steps};
    return UF_OK;
}

static UfStatus allocate(SeEnv* env) {
    const SeOptions* o = &env->options;
    const int O = o->obs_dim, A = o->action_dim, in[UF_SYNTH_NETS] = {o->latent_dim, O + A, O + A, O},
              out[UF_SYNTH_NETS] = {O, 1, O, 1};
    env->num_nets = o->mode == SE_MDP ? UF_SYNTH_NETS : UF_SYNTH_NEXT_STATE_DELTA;
    for (int n = 0; n < env->num_nets; n++) {
        env->nets[n] = uf_mlp_shape(in[n], o->width, 1, out[n], false, 0);
        UF_TRY(UF_ALLOC(&env->params[n], env->nets[n].size, "a synthetic environment"));
    }
    return UF_OK;
}

// All parameters 0.
static UfStatus create_empty(SeEnv** out, const SeOptions* options) {
    SeOptions o = *options;
    SeEnv* env;
    *out = NULL;
    if (o.latent_dim == 0) o.latent_dim = o.obs_dim;
    if (o.mode == SE_BANDIT) o.max_steps = 1;
    UF_TRY(check_options(&o));
    if (o.eval_env && strlen(o.eval_env) >= sizeof env->eval_env)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "synthetic environment: eval_env '%.40s...' has more than %zu letters", o.eval_env,
                       sizeof env->eval_env - 1);
    UF_TRY(UF_ALLOC(&env, 1, "a synthetic environment"));
    snprintf(env->eval_env, sizeof env->eval_env, "%s", o.eval_env ? o.eval_env : "");
    o.eval_env = env->eval_env;
    o.discrete = o.discrete != 0;
    env->options = o;
    const UfStatus status = allocate(env);
    if (status == UF_OK)
        *out = env;
    else
        se_free(env);
    return status;
}

UfStatus se_create(SeEnv** out, const SeOptions* options, uint64_t seed) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(options);
    Tensor tensors[MAX_TENSORS];
    UF_TRY(create_empty(out, options));
    const int count = list_tensors(*out, tensors);
    for (int i = 0; i < count; i++) {
        UfRandom random = uf_random(seed, UF_STREAM_SYNTH_INIT, (uint64_t)i);
        if (tensors[i].rank == 2)
            uf_fill_lecun_normal(tensors[i].data, (size_t)tensors[i].count, (int)tensors[i].dims[0], &random);
    }
    return UF_OK;
}

const SeOptions* se_options(const SeEnv* env) { return &env->options; }

int se_networks(const SeEnv* env, const UfMlp** shapes, const real* const** params) {
    *shapes = env->nets;
    *params = (const real* const*)env->params;
    return env->num_nets;
}

void se_free(SeEnv* env) {
    if (!env) return;
    for (int n = 0; n < UF_SYNTH_NETS; n++) uf_free(env->params[n]);
    uf_free(env);
}

// ---- parameters ----

int64_t se_num_params(const SeEnv* env) {
    Tensor tensors[MAX_TENSORS];
    const int count = list_tensors(env, tensors);
    int64_t sum = 0;
    for (int i = 0; i < count; i++) sum += tensors[i].count;
    return sum;
}

void se_get_params(const SeEnv* env, float* params) {
    Tensor tensors[MAX_TENSORS];
    const int count = list_tensors(env, tensors);
    for (int i = 0; i < count; params += tensors[i++].count)
        memcpy(params, tensors[i].data, (size_t)tensors[i].count * sizeof *params);
}

UfStatus se_set_params(SeEnv* env, const float* params) {
    UF_TRY_GIVEN(env);
    UF_TRY_GIVEN(params);
    Tensor tensors[MAX_TENSORS];
    const int count = list_tensors(env, tensors);
    const float* at = params;
    for (int i = 0; i < count; at += tensors[i++].count)
        for (int64_t k = 0; k < tensors[i].count; k++)
            if (!isfinite(at[k]))
                return UF_FAIL(UF_ERR_NONFINITE,
                               "tensor '%s' has the number %g at place %lld; expected finite ones",
                               tensors[i].name, (double)at[k], (long long)k);
    at = params;
    for (int i = 0; i < count; at += tensors[i++].count)
        memcpy(tensors[i].data, at, (size_t)tensors[i].count * sizeof *at);
    return UF_OK;
}

float se_largest_weight(const SeEnv* env, char* name, size_t bytes) {
    Tensor tensors[MAX_TENSORS];
    const int n = list_tensors(env, tensors);
    float most = -1;
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < tensors[i].count; k++) {
            if (!(fabsf(tensors[i].data[k]) > most)) continue;
            most = fabsf(tensors[i].data[k]);
            snprintf(name, bytes, "%s", tensors[i].name);
        }
    return most;
}

// ---- latents ----

// Normals come in chunks of many blocks; space has room for the chunks of n rows.
static void normal_latents(const SeOptions* o, const SeDraw* draw, uint64_t block, int n, float* space,
                           float* latents) {
    const int L = o->latent_dim, blocks = n * uf_synth_blocks(o->latent, L);
    uf_normals(draw->seed, UF_STREAM_SYNTH_LATENT, draw->step, block,
               (blocks + UF_NORMAL_LANES - 1) / UF_NORMAL_LANES, space);
    for (int r = 0, b = 0; r < n; r++, latents += L)
        for (int i = 0; i < L; i += 4, b++) {
            const float* z = space + b / UF_NORMAL_LANES * UF_NORMAL_CHUNK + b % UF_NORMAL_LANES;
            for (int k = 0; k < 4 && i + k < L; k++) latents[i + k] = z[k * UF_NORMAL_LANES];
        }
}

static void uniform_latents(const SeOptions* o, const SeDraw* draw, uint64_t block, int n, float* latents) {
    for (int r = 0; r < n; r++, latents += o->latent_dim)
        for (int i = 0; i < o->latent_dim; i += 4) {
            const UfPhilox w = uf_synth_words(draw->seed, draw->step, block++);
            for (int k = 0; k < 4 && i + k < o->latent_dim; k++) latents[i + k] = uf_uniform(w.v[k]);
        }
}

static void one_hot_latents(const SeOptions* o, const SeDraw* draw, uint64_t block, int n, float* latents) {
    const int L = o->latent_dim;
    memset(latents, 0, (size_t)n * (size_t)L * sizeof *latents);
    for (int r = 0; r < n; r++)
        latents[r * L + uf_synth_one_hot(o->latent, L, uf_synth_words(draw->seed, draw->step, block++))] = 1;
}

// Those of rows [row, row + n) of a draw that has none of its own.
static void draw_latents(const SeEnv* env, const SeDraw* draw, int row, int n, float* space, float* latents) {
    const SeOptions* o = &env->options;
    const uint64_t block = uf_synth_first_block(o->latent, o->latent_dim, draw->first + (uint64_t)row);
    if (o->latent == SE_NORMAL)
        normal_latents(o, draw, block, n, space, latents);
    else if (o->latent == SE_UNIFORM)
        uniform_latents(o, draw, block, n, latents);
    else
        one_hot_latents(o, draw, block, n, latents);
}

// ---- blocks of rows ----

// What a block of rows works in.
enum { BLOCK_ROWS = 64, SCRATCH = 16384, SPARE = UF_NORMAL_CHUNK };
typedef struct Room {
    int rows;  // of a block at most
    real *latents, *normals;
    real *hidden, *other;   // (rows, H) each; together what a forward pass wants
    real *encoded, *first;  // (rows, O + A), (rows, O)
    real* numbers;          // (rows)
} Room;

_Static_assert(2 * MAX_WIDTH + 5 * MAX_SIZE + 5 <= SCRATCH - SPARE, "a block has a row");

static Room cut(const SeEnv* env, real* scratch) {
    const SeOptions* o = &env->options;
    const int O = o->obs_dim, A = o->action_dim, L = o->latent_dim, H = o->width, normals = 4 * ((L + 3) / 4);
    const int row = L + normals + 2 * H + O + A + O + 1, fit = (SCRATCH - SPARE) / row;
    const int rows = fit < BLOCK_ROWS ? fit : BLOCK_ROWS;
    Room r = {.rows = rows, .hidden = scratch};
    r.other = r.hidden + rows * H;
    r.normals = r.other + rows * H;
    r.latents = r.normals + rows * normals + SPARE;
    r.encoded = r.latents + rows * L;
    r.first = r.encoded + rows * (O + A);
    r.numbers = r.first + rows * O;
    return r;
}

// for (row = 0, n = rows of a block; ...)
#define FOR_BLOCKS(room, rows, row, n)                                                                    \
    for (int row = 0, n; row < (rows) && (n = (rows)-row < (room).rows ? (rows)-row : (room).rows, true); \
         row += n)

static size_t at(int row, int width) { return (size_t)row * (size_t)width; }

void se_latents(const SeEnv* env, const SeDraw* draw, int rows, float* latents) {
    const int L = env->options.latent_dim;
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    FOR_BLOCKS(room, rows, row, n) {
        if (draw->latents)
            memcpy(latents + at(row, L), draw->latents + at(row, L), at(n, L) * sizeof *latents);
        else
            draw_latents(env, draw, row, n, room.normals, latents + at(row, L));
    }
}

static void forward(const SeEnv* env, int net, const Room* room, const real* x, int n, real* out) {
    uf_mlp_forward_host(&env->nets[net], env->params[net], out, x, env->nets[net].in, n, room->hidden);
}

static void reset_block(const SeEnv* env, const SeDraw* draw, const Room* room, int row, int n, float* obs) {
    const real* latents = room->latents;
    if (draw->latents)
        latents = draw->latents + at(row, env->options.latent_dim);
    else
        draw_latents(env, draw, row, n, room->normals, room->latents);
    forward(env, UF_SYNTH_INITIAL_STATE, room, latents, n, obs);
}

void se_reset(const SeEnv* env, const SeDraw* draw, int rows, float* obs) {
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    FOR_BLOCKS(room, rows, row, n) reset_block(env, draw, &room, row, n, obs + at(row, env->options.obs_dim));
}

// ---- rewards ----

// The reward's networks in parts: kernel (O + A, H) and bias of the hidden layer, out (H) and out_bias behind it.
typedef struct Reward {
    const real *kernel, *of_action, *bias, *out;
    real out_bias;
} Reward;

static Reward reward_of(const SeEnv* env) {
    const UfMlp* m = &env->nets[UF_SYNTH_REWARD];
    const real* p = env->params[UF_SYNTH_REWARD];
    return (Reward){p + m->kernel[0], p + m->kernel[0] + at(env->options.obs_dim, m->width), p + m->bias[0],
                    p + m->kernel[1], p[m->bias[1]]};
}

enum { LANES = 16 };

INLINE real sum_of_lanes(const real* part) {
    real sum[LANES];
    for (int i = 0; i < LANES; i++) sum[i] = part[i];
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

// out[r * stride] = h (n, width) w + bias
CLONES static void rows_dot(real* out, int stride, const real* h, const real* w, real bias, int n,
                            int width) {
    const int whole = width / LANES * LANES;
    for (int r = 0; r < n; r++, h += width) {
        real part[LANES] = {0};
        for (int i = 0; i < whole; i += LANES)
#pragma omp simd
            for (int k = 0; k < LANES; k++) part[k] += h[i + k] * w[i + k];
        for (int i = whole; i < width; i++) part[i - whole] += h[i] * w[i];
        out[(size_t)r * (size_t)stride] = sum_of_lanes(part) + bias;
    }
}

// h = relu((x + row `kinds[r]`, or row `kind`, of the kernel's part for actions) + bias): in the order in which a product
// with a one-hot row adds up.   Nullable: kinds
CLONES static void rows_add_kind(real* h, const real* x, const Reward* w, const float* kinds, int kind, int A,
                                 int n, int width) {
    for (int r = 0; r < n; r++, h += width, x += width) {
        const real *add = w->of_action + at(kinds ? uf_discrete_action(kinds + r, A) : kind, width),
                   *bias = w->bias;
#pragma omp simd
        for (int i = 0; i < width; i++) {
            const real z = x[i] + add[i] + bias[i];
            h[i] = z <= 0 ? 0 : z;  // NaN stays NaN
        }
    }
}

// x (n, H) = obs (n, O) by its part of the hidden layer's kernel.
static void product_of_obs(const SeEnv* env, const Reward* w, real* x, const float* obs, int n) {
    const int O = env->options.obs_dim, H = env->options.width;
    uf_cpu_product(NULL, 0, false, false, n, H, O, obs, O, w->kernel, H, 0, x, H);
}

static void reward_of_kinds(const SeEnv* env, const Room* room, int n, const float* obs, const float* action,
                            float* reward) {
    const Reward w = reward_of(env);
    const int A = env->options.action_dim, H = env->options.width;
    product_of_obs(env, &w, room->hidden, obs, n);
    rows_add_kind(room->hidden, room->hidden, &w, action, 0, A, n, H);
    rows_dot(reward, 1, room->hidden, w.out, w.out_bias, n, H);
}

// The hidden layer's output for room->encoded.
static const real* hidden_of_encoded(const SeEnv* env, const Room* room, int n) {
    const UfMlp* m = &env->nets[UF_SYNTH_REWARD];
    return uf_cpu_hidden_forward(NULL, 0, m, env->params[UF_SYNTH_REWARD], NULL, 0, room->encoded, m->in, n,
                                 room->hidden);
}

static void reward_of_encoded(const SeEnv* env, const Room* room, int n, float* reward) {
    const Reward w = reward_of(env);
    rows_dot(reward, 1, hidden_of_encoded(env, room, n), w.out, w.out_bias, n, env->options.width);
}

static void encode_row(const SeOptions* o, const float* action, int r, float* encoded) {
    const int A = o->action_dim;
    if (o->discrete) {
        memset(encoded, 0, (size_t)A * sizeof *encoded);
        encoded[uf_discrete_action(action + r, A)] = 1;
    } else {
        memcpy(encoded, action + at(r, A), (size_t)A * sizeof *encoded);
    }
}

void se_encode(const SeEnv* env, int rows, const float* action, float* encoded) {
    for (int r = 0; r < rows; r++)
        encode_row(&env->options, action, r, encoded + at(r, env->options.action_dim));
}

// room->encoded from observations and encoded actions
static void join(const SeEnv* env, const Room* room, int n, const float* obs, const float* encoded) {
    const int O = env->options.obs_dim, A = env->options.action_dim;
    real* to = room->encoded;
    for (int r = 0; r < n; r++, to += O + A) {
        memcpy(to, obs + at(r, O), (size_t)O * sizeof *to);
        memcpy(to + O, encoded + at(r, A), (size_t)A * sizeof *to);
    }
}

void se_rewards(const SeEnv* env, int rows, const float* obs, const float* encoded, float* reward) {
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    FOR_BLOCKS(room, rows, row, n) {
        join(env, &room, n, obs + at(row, env->options.obs_dim), encoded + at(row, env->options.action_dim));
        reward_of_encoded(env, &room, n, reward + row);
    }
}

static void rewards_of_all(const SeEnv* env, const Room* room, int n, const float* obs, float* reward) {
    const Reward w = reward_of(env);
    const int A = env->options.action_dim, H = env->options.width;
    product_of_obs(env, &w, room->hidden, obs, n);
    for (int a = 0; a < A; a++) {
        rows_add_kind(room->other, room->hidden, &w, NULL, a, A, n, H);
        rows_dot(reward + a, A, room->other, w.out, w.out_bias, n, H);
    }
}

void se_rewards_of_all(const SeEnv* env, int rows, const float* obs, float* reward) {
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    assert(env->options.discrete);
    FOR_BLOCKS(room, rows, row, n)
    rewards_of_all(env, &room, n, obs + at(row, env->options.obs_dim),
                   reward + at(row, env->options.action_dim));
}

// The output's weights where the hidden unit is on; at 0 it is off.
CLONES static void rows_open(real* restrict g, const real* restrict h, const real* restrict w, int n,
                             int width) {
    for (int r = 0; r < n; r++, h += width, g += width)
#pragma omp simd
        for (int i = 0; i < width; i++) g[i] = h[i] > 0 ? w[i] : 0;
}

void se_reward_gradient(const SeEnv* env, int rows, const float* obs, const float* encoded, float* reward,
                        float* dobs, float* dencoded) {
    const Reward w = reward_of(env);
    const int O = env->options.obs_dim, A = env->options.action_dim, H = env->options.width;
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    FOR_BLOCKS(room, rows, row, n) {
        join(env, &room, n, obs + at(row, O), encoded + at(row, A));
        const real* h = hidden_of_encoded(env, &room, n);
        if (reward) rows_dot(reward + row, 1, h, w.out, w.out_bias, n, H);
        rows_open(room.other, h, w.out, n, H);
        if (dobs)
            uf_cpu_product(NULL, 0, false, true, n, O, H, room.other, H, w.kernel, H, 0, dobs + at(row, O),
                           O);
        if (dencoded)
            uf_cpu_product(NULL, 0, false, true, n, A, H, room.other, H, w.of_action, H, 0,
                           dencoded + at(row, A), A);
    }
}

// ---- steps ----

static void bandit_rewards(const SeEnv* env, const Room* room, int n, const float* obs, const float* action,
                           float* reward) {
    if (env->options.discrete) {
        reward_of_kinds(env, room, n, obs, action, reward);
    } else {
        join(env, room, n, obs, action);
        reward_of_encoded(env, room, n, reward);
    }
}

// First observations for the rows that are done.
static void reset_done(const SeEnv* env, const SeDraw* draw, const Room* room, int row, int n,
                       float* next_obs, const uint8_t* done) {
    const int O = env->options.obs_dim, L = env->options.latent_dim;
    int count = 0;
    for (int r = 0; r < n; r++) {
        real* latents = room->latents + at(count, L);
        if (!done[r]) continue;
        if (draw->latents)
            memcpy(latents, draw->latents + at(row + r, L), (size_t)L * sizeof *latents);
        else
            draw_latents(env, draw, row + r, 1, room->normals, latents);
        count++;
    }
    if (!count) return;
    forward(env, UF_SYNTH_INITIAL_STATE, room, room->latents, count, room->first);
    const real* first = room->first;
    for (int r = 0; r < n; r++) {
        if (!done[r]) continue;
        memcpy(next_obs + at(r, O), first, (size_t)O * sizeof *first);
        first += O;
    }
}

// What follows without a new episode.   ended: 1 where the logit says so
static void mdp_transition(const SeEnv* env, const Room* room, int n, const float* obs, const float* action,
                           float* next_obs, float* reward, uint8_t* ended) {
    const SeOptions* o = &env->options;
    const int O = o->obs_dim, A = o->action_dim;
    for (int r = 0; r < n; r++) {
        real* to = room->encoded + at(r, O + A);
        memcpy(to, obs + at(r, O), (size_t)O * sizeof *to);
        encode_row(o, action, r, to + O);
    }
    reward_of_encoded(env, room, n, reward);
    forward(env, UF_SYNTH_NEXT_STATE_DELTA, room, room->encoded, n, room->first);
    for (int r = 0; r < n; r++)
        for (int i = 0; i < O; i++)
            next_obs[at(r, O) + (size_t)i] =
                room->encoded[at(r, O + A) + (size_t)i] + room->first[at(r, O) + (size_t)i];
    forward(env, UF_SYNTH_DONE, room, next_obs, n, room->numbers);
    for (int r = 0; r < n; r++) ended[r] = room->numbers[r] > 0;
}

static void mdp_block(const SeEnv* env, const SeDraw* draw, const Room* room, int row, int n,
                      const float* obs, const float* action, int32_t* steps, float* next_obs, float* reward,
                      uint8_t* done) {
    mdp_transition(env, room, n, obs, action, next_obs, reward, done);
    for (int r = 0; r < n; r++) {
        done[r] |= uf_synth_is_last(steps[r], env->options.max_steps);
        steps[r] = done[r] ? 0 : steps[r] + 1;
    }
    reset_done(env, draw, room, row, n, next_obs, done);
}

void se_transition(const SeEnv* env, const float* obs, const float* action, float* next_obs, float* reward,
                   uint8_t* ended) {
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    if (env->options.mode == SE_MDP) {
        mdp_transition(env, &room, 1, obs, action, next_obs, reward, ended);
        return;
    }
    bandit_rewards(env, &room, 1, obs, action, reward);
    memmove(next_obs, obs, (size_t)env->options.obs_dim * sizeof *obs);
    *ended = 1;
}

void se_step(const SeEnv* env, const SeDraw* draw, int rows, const float* obs, const float* action,
             int32_t* steps, float* next_obs, float* reward, uint8_t* done) {
    const SeOptions* o = &env->options;
    const int O = o->obs_dim, numbers = o->discrete ? 1 : o->action_dim;
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    assert(o->mode == SE_BANDIT || steps);
    FOR_BLOCKS(room, rows, row, n) {
        const float *from = obs + at(row, O), *a = action + at(row, numbers);
        float* to = next_obs + at(row, O);
        if (o->mode == SE_MDP) {
            mdp_block(env, draw, &room, row, n, from, a, steps + row, to, reward + row, done + row);
            continue;
        }
        bandit_rewards(env, &room, n, from, a, reward + row);
        reset_block(env, draw, &room, row, n, to);
        memset(done + row, 1, (size_t)n);
    }
}

void se_done_logits(const SeEnv* env, int rows, const float* next_obs, float* logit) {
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    assert(env->options.mode == SE_MDP);
    FOR_BLOCKS(room, rows, row, n)
    forward(env, UF_SYNTH_DONE, &room, next_obs + at(row, env->options.obs_dim), n, logit + row);
}

// ---- best actions ----

static float grid_point(const SeOptions* o, int i) {
    return o->action_low + (o->action_high - o->action_low) * (float)i / (GRID - 1);
}

// The place of the grid where w relu(base + place * slope) is largest, the first of equal ones. *value: how large.
CLONES static int best_place(const SeOptions* o, real* value, const real* base, const real* slope,
                             const real* w, int width) {
    const int whole = width / LANES * LANES;
    int best = 0;
    for (int p = 0; p < GRID; p++) {
        const real u = grid_point(o, p);
        real part[LANES] = {0};
        for (int i = 0; i < whole; i += LANES)
#pragma omp simd
            for (int k = 0; k < LANES; k++) {
                const real z = base[i + k] + u * slope[i + k];
                part[k] += (z <= 0 ? 0 : z) * w[i + k];
            }
        for (int i = whole; i < width; i++) {
            const real z = base[i] + u * slope[i];
            part[i - whole] += (z <= 0 ? 0 : z) * w[i];
        }
        const real sum = sum_of_lanes(part);
        if (p && !(sum > *value)) continue;
        best = p;
        *value = sum;
    }
    return best;
}

// places (A) from x (H), the observation's part of the hidden layer; base has room for H.
static void climb(const SeOptions* o, const Reward* w, const real* x, real* base, float* action) {
    const int A = o->action_dim, H = o->width;
    int places[MAX_SIZE];
    real value = 0;
    for (int j = 0; j < A; j++) places[j] = GRID / 2;
    bool moved = true;
    for (int round = 0; round < MAX_ROUNDS && moved; round++) {
        moved = false;
        for (int j = 0; j < A; j++) {
            for (int i = 0; i < H; i++) base[i] = x[i] + w->bias[i];
            for (int k = 0; k < A; k++)
                for (int i = 0; i < H && k != j; i++)
                    base[i] += grid_point(o, places[k]) * w->of_action[at(k, H) + (size_t)i];
            const int place = best_place(o, &value, base, w->of_action + at(j, H), w->out, H);
            moved |= A > 1 && place != places[j];
            places[j] = place;
        }
    }
    for (int j = 0; j < A; j++) action[j] = grid_point(o, places[j]);
}

static void best_kinds(const SeEnv* env, const Room* room, int n, const float* obs, float* action) {
    const Reward w = reward_of(env);
    const int A = env->options.action_dim, H = env->options.width;
    real best[BLOCK_ROWS];
    product_of_obs(env, &w, room->hidden, obs, n);
    for (int a = 0; a < A; a++) {
        rows_add_kind(room->other, room->hidden, &w, NULL, a, A, n, H);
        rows_dot(room->numbers, 1, room->other, w.out, w.out_bias, n, H);
        for (int r = 0; r < n; r++)
            if (a == 0 || room->numbers[r] > best[r]) {
                best[r] = room->numbers[r];
                action[r] = (float)a;
            }
    }
}

void se_best_actions(const SeEnv* env, int rows, const float* obs, float* action) {
    const SeOptions* o = &env->options;
    const Reward w = reward_of(env);
    real scratch[SCRATCH];
    const Room room = cut(env, scratch);
    FOR_BLOCKS(room, rows, row, n) {
        const float* from = obs + at(row, o->obs_dim);
        if (o->discrete) {
            best_kinds(env, &room, n, from, action + row);
            continue;
        }
        product_of_obs(env, &w, room.hidden, from, n);
        for (int r = 0; r < n; r++)
            climb(o, &w, room.hidden + at(r, o->width), room.other, action + at(row + r, o->action_dim));
    }
}

// ---- writing ----

enum { LAYOUT = 1 };  // of a file; another is refused
static const char KIND[] = "unifloral-synthenv";
static const char* const mode_names[] = {"bandit", "mdp", NULL};
static const char* const latent_names[] = {"normal", "uniform", "categorical", "softmax", NULL};
static const char* const action_names[] = {"continuous", "discrete", NULL};
static const char* const meaning_names[] = {"sought", "q", "behaviour", NULL};

const char* se_mode_name(const SeEnv* env) { return mode_names[env->options.mode]; }
const char* se_latent_name(const SeEnv* env) { return latent_names[env->options.latent]; }
const char* se_meaning_name(const SeEnv* env) { return meaning_names[env->options.meaning]; }

static UfStatus write_all(const SeEnv* env, const UfH5* h5, const char* source) {
    const SeOptions* o = &env->options;
    Tensor tensors[MAX_TENSORS];
    UF_TRY(uf_h5_write_string(h5, "/", "kind", KIND));
    UF_TRY(uf_h5_write_string(h5, "/", "version", uf_version()));
    UF_TRY(uf_h5_write_integer(h5, "/", "layout", LAYOUT));
    UF_TRY(uf_h5_write_string(h5, "/", "eval_env", o->eval_env));
    UF_TRY(uf_h5_write_string(h5, "/", "mode", se_mode_name(env)));
    UF_TRY(uf_h5_write_string(h5, "/", "latent", se_latent_name(env)));
    UF_TRY(uf_h5_write_string(h5, "/", "action_type", action_names[o->discrete]));
    UF_TRY(uf_h5_write_integer(h5, "/", "obs_dim", o->obs_dim));
    UF_TRY(uf_h5_write_integer(h5, "/", "action_dim", o->action_dim));
    UF_TRY(uf_h5_write_integer(h5, "/", "latent_dim", o->latent_dim));
    UF_TRY(uf_h5_write_integer(h5, "/", "width", o->width));
    UF_TRY(uf_h5_write_integer(h5, "/", "max_steps", o->max_steps));
    UF_TRY(uf_h5_write_number(h5, "/", "action_low", o->action_low));
    UF_TRY(uf_h5_write_number(h5, "/", "action_high", o->action_high));
    if (o->meaning != SE_SOUGHT) UF_TRY(uf_h5_write_string(h5, "/", "meaning", se_meaning_name(env)));
    if (o->meaning == SE_Q) UF_TRY(uf_h5_write_number(h5, "/", "discount", o->discount));
    if (source) UF_TRY(uf_h5_write_string(h5, "/", "source", source));
    const int count = list_tensors(env, tensors);
    for (int i = 0; i < count; i++)
        UF_TRY(uf_h5_write(h5, tensors[i].name, UF_H5_FLOAT, tensors[i].data, tensors[i].rank,
                           tensors[i].dims, 0, false));
    return UF_OK;
}

UfStatus se_write(const SeEnv* env, const char* path, const char* source) {
    UF_TRY_GIVEN(env);
    UF_TRY_GIVEN(path);
    char temporary[1100];
    UfH5 h5;
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return UF_FAIL(UF_ERR_ARGUMENT, "'%.64s...': the path is too long", path);
    UF_TRY(uf_h5_create(&h5, temporary));
    UfStatus status = write_all(env, &h5, source);
    const UfStatus closed = uf_h5_close(&h5);
    if (status == UF_OK) status = closed;
    if (status == UF_OK) return uf_commit_file(temporary, path);
    remove(temporary);
    return status;
}

// ---- reading ----

// What the attributes of a group are called.
typedef struct Attributes {
    const char *eval_env, *width, *action_dim, *max_steps;
} Attributes;
static const Attributes own = {"eval_env", "width", "action_dim", "max_steps"},
                        published = {"env_id", "hidden", "act_dim", "max_steps_in_episode"};

typedef struct Source {
    const UfH5* h5;
    char group[256];  // "": the root
} Source;

static const char* where(const Source* s) { return s->group[0] ? s->group : "/"; }

static UfStatus read_size(const Source* s, const char* name, int* size) {
    double value;
    UF_TRY(uf_h5_read_number(s->h5, s->group, name, &value));
    if (!(value >= 1 && value <= INT32_MAX) || value != floor(value))
        return UF_FAIL(UF_ERR_FORMAT,
                       "%s: attribute '%s' of '%s' is %g; expected a whole number of at least 1", s->h5->path,
                       name, where(s), value);
    *size = (int)value;
    return UF_OK;
}

// The place of the attribute's text among names.
static UfStatus read_choice(const Source* s, const char* name, const char* const* names, int* choice) {
    char *text = NULL, known[128] = "";
    UF_TRY(uf_h5_read_string(s->h5, s->group, name, &text));
    int i = 0;
    while (names[i] && strcmp(text, names[i]) != 0) i++;
    for (int k = 0; names[k]; k++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", k ? ", " : "", names[k]);
    if (!names[i])
        uf_fail_(UF_ERR_FORMAT, "%s: attribute '%s' of '%s' is '%.40s'; expected one of %s", s->h5->path,
                 name, where(s), uf_one_line(text), known);
    uf_free(text);
    *choice = i;
    return names[i] ? UF_OK : UF_ERR_FORMAT;
}

static UfStatus read_float(const Source* s, const char* name, float* value) {
    double number;
    UF_TRY(uf_h5_read_number(s->h5, s->group, name, &number));
    *value = (float)number;
    return UF_OK;
}

// Sizes and actions, which both kinds of file have.
static UfStatus read_sizes(const Source* s, const Attributes* a, SeOptions* o,
                           char eval_env[EVAL_ENV_BYTES]) {
    char* text = NULL;
    if (a == &own || uf_h5_has_attribute(s->h5, s->group, a->eval_env))
        UF_TRY(uf_h5_read_string(s->h5, s->group, a->eval_env, &text));
    const size_t length = text ? strlen(text) : 0;
    snprintf(eval_env, EVAL_ENV_BYTES, "%s", text ? uf_one_line(text) : "");
    uf_free(text);
    if (length >= EVAL_ENV_BYTES)
        return UF_FAIL(UF_ERR_FORMAT, "%s: attribute '%s' of '%s' has %zu letters; expected at most %d",
                       s->h5->path, a->eval_env, where(s), length, EVAL_ENV_BYTES - 1);
    o->eval_env = eval_env;
    UF_TRY(read_size(s, "obs_dim", &o->obs_dim));
    UF_TRY(read_size(s, a->action_dim, &o->action_dim));
    UF_TRY(read_size(s, a->width, &o->width));
    UF_TRY(read_size(s, a->max_steps, &o->max_steps));
    UF_TRY(read_choice(s, "action_type", action_names, &o->discrete));
    if (a == &published && o->discrete) {
        o->action_high = (float)(o->action_dim - 1);
        return UF_OK;
    }
    UF_TRY(read_float(s, "action_low", &o->action_low));
    return read_float(s, "action_high", &o->action_high);
}

static UfStatus read_tensor(const Source* s, const Tensor* t, float* values) {
    char path[512], shape[160];
    UfH5Shape found;
    snprintf(path, sizeof path, "%.250s%s%.47s", s->group, s->group[0] ? "/" : "", t->name);
    if (!uf_h5_exists(s->h5, path))
        return UF_FAIL(UF_ERR_FORMAT, "%s: tensor '%s' is missing", s->h5->path, path);
    UF_TRY(uf_h5_shape(s->h5, path, &found));
    if (found.rank == t->rank && found.dims[0] == t->dims[0] && (t->rank == 1 || found.dims[1] == t->dims[1]))
        return uf_h5_read(s->h5, path, UF_H5_FLOAT, values, t->count);
    size_t length = 0;
    shape[0] = 0;
    for (int i = 0; i < found.rank && length < sizeof shape; i++)
        length += (size_t)snprintf(shape + length, sizeof shape - length, "%s%lld", i ? ", " : "",
                                   (long long)found.dims[i]);
    if (t->rank == 1)
        return UF_FAIL(UF_ERR_FORMAT, "%s: tensor '%s' is of shape (%s); expected (%lld)", s->h5->path, path,
                       shape, (long long)t->dims[0]);
    return UF_FAIL(UF_ERR_FORMAT, "%s: tensor '%s' is of shape (%s); expected (%lld, %lld)", s->h5->path,
                   path, shape, (long long)t->dims[0], (long long)t->dims[1]);
}

static UfStatus read_params(const Source* s, SeEnv* env) {
    Tensor tensors[MAX_TENSORS];
    char label[1400];
    float *params, *to;
    const int count = list_tensors(env, tensors);
    UF_TRY(UF_ALLOC(&params, se_num_params(env), "parameters of a synthetic environment"));
    UfStatus status = UF_OK;
    to = params;
    for (int i = 0; i < count && status == UF_OK; to += tensors[i++].count)
        status = read_tensor(s, &tensors[i], to);
    if (status == UF_OK && se_set_params(env, params) != UF_OK) {
        snprintf(label, sizeof label, "%s%s%s", s->h5->path, s->group[0] ? ": " : "", s->group);
        status = uf_fail_prefix(UF_ERR_FORMAT, label);
    }
    uf_free(params);
    return status;
}

static UfStatus build(SeEnv** out, const Source* s, const SeOptions* o) {
    const UfEnvSpec* spec = o->eval_env[0] ? uf_env_find(o->eval_env) : NULL;
    char label[1400];
    snprintf(label, sizeof label, "%s%s%s", s->h5->path, s->group[0] ? ": " : "", s->group);
    if (spec && se_check_fit(o, spec) != UF_OK) return uf_fail_prefix(UF_ERR_FORMAT, label);
    const UfStatus status = create_empty(out, o);
    if (status != UF_OK) return uf_fail_prefix(status == UF_ERR_ARGUMENT ? UF_ERR_FORMAT : status, label);
    return read_params(s, *out);
}

static UfStatus check_kind(const UfH5* h5, const char* kind, const char* what) {
    char* text = NULL;
    if (uf_h5_has_attribute(h5, "/", "kind")) UF_TRY(uf_h5_read_string(h5, "/", "kind", &text));
    const bool right = text && !strcmp(text, kind);
    const UfStatus status =
        right ? UF_OK
              : UF_FAIL(UF_ERR_FORMAT, "%s: is no file of %s: its attribute 'kind' is '%.40s', expected '%s'",
                        h5->path, what, text ? uf_one_line(text) : "", kind);
    uf_free(text);
    return status;
}

static UfStatus read_own(SeEnv** out, const UfH5* h5) {
    const Source s = {.h5 = h5};
    SeOptions o = {0};
    char eval_env[EVAL_ENV_BYTES];
    int mode, latent, meaning = SE_SOUGHT;
    double layout;
    UF_TRY(check_kind(h5, KIND, "a synthetic environment"));
    UF_TRY(uf_h5_read_number(h5, "/", "layout", &layout));
    if (layout != LAYOUT)
        return UF_FAIL(UF_ERR_UNSUPPORTED,
                       "%s: has layout %g of a synthetic environment; this version reads layout %d", h5->path,
                       layout, LAYOUT);
    UF_TRY(read_sizes(&s, &own, &o, eval_env));
    UF_TRY(read_choice(&s, "mode", mode_names, &mode));
    UF_TRY(read_choice(&s, "latent", latent_names, &latent));
    UF_TRY(read_size(&s, "latent_dim", &o.latent_dim));
    if (uf_h5_has_attribute(h5, "/", "meaning")) UF_TRY(read_choice(&s, "meaning", meaning_names, &meaning));
    if (meaning == SE_Q) UF_TRY(read_float(&s, "discount", &o.discount));
    o.mode = (SeMode)mode;
    o.latent = (SeLatent)latent;
    o.meaning = (SeMeaning)meaning;
    return build(out, &s, &o);
}

static UfStatus read_published(SeEnv** out, const Source* s) {
    static const char* const laws[] = {"standard normal", NULL};
    static const char* const activations[] = {"relu", NULL};
    SeOptions o = {.latent = SE_NORMAL};
    char eval_env[EVAL_ENV_BYTES];
    int first;
    UF_TRY(read_sizes(s, &published, &o, eval_env));
    if (uf_h5_has_attribute(s->h5, s->group, "latent_dist"))
        UF_TRY(read_choice(s, "latent_dist", laws, &first));
    if (uf_h5_has_attribute(s->h5, s->group, "activation"))
        UF_TRY(read_choice(s, "activation", activations, &first));
    if (uf_h5_has_attribute(s->h5, s->group, "latent_dim")) UF_TRY(read_size(s, "latent_dim", &o.latent_dim));
    o.mode = o.max_steps == 1 ? SE_BANDIT : SE_MDP;
    return build(out, s, &o);
}

// The group of a published environment by its name or its env_id.
static UfStatus find_published(Source* s, const char* name) {
    char **names = NULL, path[256];
    int count = 0;
    bool found = false;
    if (uf_h5_exists(s->h5, "checkpoint")) UF_TRY(uf_h5_list(s->h5, "checkpoint", &names, &count));
    for (int pass = 0; pass < 2 && !found; pass++)
        for (int i = 0; i < count && !found; i++) {
            char* id = NULL;
            snprintf(path, sizeof path, "checkpoint/%.200s", names[i]);
            if (pass == 1 && uf_h5_has_attribute(s->h5, path, "env_id") &&
                uf_h5_read_string(s->h5, path, "env_id", &id) != UF_OK)
                continue;
            found = !strcmp(pass ? (id ? id : "") : names[i], name);
            uf_free(id);
        }
    if (!found) {
        snprintf(path, sizeof path, "%.200s", name);
        char inside[300];
        snprintf(inside, sizeof inside, "%s/initial_state", path);
        found = name[0] && uf_h5_exists(s->h5, inside);
    }
    UfStatus status = UF_OK;
    if (found) {
        snprintf(s->group, sizeof s->group, "%s", path);
    } else {
        const char** known = NULL;
        status = UF_ALLOC(&known, count + 1, "names of environments");
        for (int i = 0; i < count && status == UF_OK; i++) known[i] = names[i];
        if (status == UF_OK)
            status = uf_fail_prefix(uf_fail_unknown("synthetic environment", name, known), s->h5->path);
        uf_free(known);
    }
    uf_h5_list_free(names, count);
    return status;
}

static UfStatus import(SeEnv** out, const UfH5* h5, const char* name) {
    Source s = {.h5 = h5};
    UF_TRY(check_kind(h5, "synthenv", "published synthetic environments"));
    UF_TRY(find_published(&s, name));
    return read_published(out, &s);
}

// Opens, reads by `name` or as a file of our own (NULL), closes.
static UfStatus read_file(SeEnv** out, const char* path, const char* name) {
    UfH5 h5;
    *out = NULL;
    UF_TRY(uf_h5_open(&h5, path));
    const UfStatus status = name ? import(out, &h5, name) : read_own(out, &h5);
    uf_h5_close(&h5);
    if (status == UF_OK) return UF_OK;
    se_free(*out);
    *out = NULL;
    return status;
}

UfStatus se_read(SeEnv** out, const char* path) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    return read_file(out, path, NULL);
}
UfStatus se_import(SeEnv** out, const char* path, const char* name) {
    UF_TRY_GIVEN(out);
    *out = NULL;
    UF_TRY_GIVEN(path);
    UF_TRY_GIVEN(name);
    return read_file(out, path, name);
}

// ---- horizon ----

int64_t se_horizon(const SeHorizon* h, int64_t generation) {
    const int64_t done = generation - h->begin;
    if (done <= 0) return h->init;
    if (done >= h->steps) return h->end;
    return (h->end * h->steps + (h->init - h->end) * (h->steps - done)) / h->steps;  // exactly
}
