// test_synthenv.c: synthetic environments: parameters, latents, steps, rewards, best actions, files, the common interface,
// PPO's, recordings, memory that runs out. What networks compute is checked against a plain computation in double from the
// parameter vector.
#include "support.h"
#include "failing_alloc.h"
#include "h5_change.h"

#ifndef UF_NO_CAIRO
#include <cairo.h>
#endif
#include <math.h>

#include "core/agents/ppo_envs.h"
#include "core/search/es.h"
#include "core/synth/synth_draw.h"
#include "core/verify/verify.h"

static const char recording[] = "tests/data/synthenv.h5",
                  published[] = "../shared/oracle/synth_checkpoints.h5";

enum { MAX_ROWS = 150, MAX_NUMBERS = 24 };

// Some of each kind: sizes that are no multiple of a vector, a latent of its own size.
static const SeOptions cases[] = {
    {.mode = SE_BANDIT, .obs_dim = 4, .action_dim = 2, .discrete = 1, .width = 32},
    {.mode = SE_MDP, .obs_dim = 4, .action_dim = 2, .discrete = 1, .width = 32, .max_steps = 100},
    {.mode = SE_BANDIT, .obs_dim = 3, .action_dim = 1, .action_low = -2, .action_high = 2, .width = 1},
    {.mode = SE_MDP,
     .latent = SE_UNIFORM,
     .obs_dim = 2,
     .action_dim = 3,
     .action_low = -1,
     .action_high = 1,
     .latent_dim = 6,
     .width = 19,
     .max_steps = 3},
    {.mode = SE_BANDIT,
     .latent = SE_CATEGORICAL,
     .obs_dim = 7,
     .action_dim = 5,
     .discrete = 1,
     .latent_dim = 3,
     .width = 40},
    {.mode = SE_BANDIT,
     .latent = SE_SOFTMAX,
     .obs_dim = 1,
     .action_dim = 3,
     .discrete = 1,
     .latent_dim = 9,
     .width = 700},
};
enum { NUM_CASES = sizeof cases / sizeof cases[0] };

static SeEnv* create(const SeOptions* o, uint64_t seed) {
    SeEnv* env;
    assert_ok(se_create(&env, o, seed));
    return env;
}

// Biases of fresh networks are 0; these are not.
static SeEnv* create_shaken(const SeOptions* o, uint64_t seed, float* params) {
    SeEnv* env = create(o, seed);
    UfRandom random = uf_random(seed, UF_STREAM_INIT, 99);
    se_get_params(env, params);
    for (int64_t i = 0; i < se_num_params(env); i++) params[i] += 0.3f * uf_random_normal(&random);
    assert_ok(se_set_params(env, params));
    return env;
}

static void fill_normals(float* x, int count, uint64_t seed) {
    UfRandom random = uf_random(seed, UF_STREAM_INIT, 7);
    for (int i = 0; i < count; i++) x[i] = uf_random_normal(&random);
}

static int numbers_of(const SeOptions* o) { return o->discrete ? 1 : o->action_dim; }

static void fill_actions(const SeOptions* o, float* action, int rows) {
    fill_normals(action, rows * numbers_of(o), 5);
    for (int i = 0; i < rows && o->discrete; i++) action[i] = (float)(i * 7 % 11 % o->action_dim);
}

// ---- a plain computation ----

typedef struct Plain {
    const float* at[4];  // of each network, in the vector
    int in[4], out[4], width;
} Plain;

static Plain plain_of(const SeEnv* env, const float* params) {
    const SeOptions* o = se_options(env);
    const int O = o->obs_dim, A = o->action_dim;
    Plain p = {.in = {o->latent_dim, O + A, O + A, O}, .out = {O, 1, O, 1}, .width = o->width};
    for (int n = 0; n < 4; n++) {
        p.at[n] = params;
        params += p.width * (1 + p.in[n]) + p.out[n] * (1 + p.width);
    }
    return p;
}

// dx: derivatives of output 0 by the input.   Nullable: dx
static void plain_net(const Plain* p, int net, const float* x, double* out, double* dx) {
    const int in = p->in[net], H = p->width, N = p->out[net];
    const float *bias = p->at[net], *kernel = bias + H, *bias1 = kernel + in * H, *kernel1 = bias1 + N;
    for (int j = 0; j < N; j++) out[j] = (double)bias1[j];
    for (int i = 0; i < in && dx; i++) dx[i] = 0;
    for (int h = 0; h < H; h++) {
        double z = (double)bias[h];
        for (int i = 0; i < in; i++) z += (double)x[i] * (double)kernel[i * H + h];
        if (!(z > 0)) continue;
        for (int j = 0; j < N; j++) out[j] += z * (double)kernel1[h * N + j];
        for (int i = 0; i < in && dx; i++) dx[i] += (double)kernel[i * H + h] * (double)kernel1[h * N];
    }
}

// Some dozens of roundings of float32, of numbers of a few.
static void assert_near(const char* what, int row, double ours, double expected) {
    if (!(fabs(ours - expected) <= 1e-5 * (1 + fabs(expected))))
        fail_msg("%s %d is %.9g; expected %.9g", what, row, ours, expected);
}

static void assert_same(const char* what, const void* a, const void* b, size_t bytes) {
    if (memcmp(a, b, bytes) != 0) fail_msg("%s: other bits", what);
}

static float params[200000];

// ---- parameters ----

static void test_defaults(void** state) {
    (void)state;
    SeOptions o;
    assert_ok(se_default_options(&o, "pendulum"));
    assert_string_equal(o.eval_env, "Pendulum-v1");
    assert_true(o.mode == SE_BANDIT && o.latent == SE_NORMAL && o.obs_dim == 3 && o.action_dim == 1 &&
                !o.discrete && o.action_low == -2 && o.action_high == 2 && o.width == 32 &&
                o.max_steps == 200);
    SeEnv* env = create(&o, 0);
    assert_true(se_options(env)->latent_dim == 3 && se_options(env)->max_steps == 1);
    assert_int_equal(se_num_params(env), 420);
    se_free(env);
    assert_ok(se_default_options(&o, "CartPole-v1"));
    o.mode = SE_MDP;
    env = create(&o, 0);
    assert_int_equal(se_options(env)->max_steps, 500);
    assert_int_equal(se_num_params(env), 549 + (7 * 32 + 4 * 33) + (5 * 32 + 33));
    se_free(env);
    assert_int_equal(se_default_options(&o, "nowhere"), UF_ERR_ARGUMENT);
    assert_error("nowhere");
}

static void test_refused_options(void** state) {
    (void)state;
    static const struct {
        const char* sentence;
        SeOptions o;
    } bad[] = {
        {"obs_dim is 0", {.action_dim = 1, .discrete = 1, .width = 3}},
        {"action_dim is -1", {.obs_dim = 2, .action_dim = -1, .discrete = 1, .width = 3}},
        {"width is 4096", {.obs_dim = 2, .action_dim = 1, .discrete = 1, .width = 4096}},
        {"latent_dim is -2", {.obs_dim = 2, .action_dim = 1, .discrete = 1, .width = 3, .latent_dim = -2}},
        {"max_steps is 0", {.mode = SE_MDP, .obs_dim = 2, .action_dim = 1, .discrete = 1, .width = 3}},
        {"mode is 2",
         {.mode = (SeMode)2, .obs_dim = 2, .action_dim = 1, .discrete = 1, .width = 3, .max_steps = 1}},
        {"latent is 4", {.latent = (SeLatent)4, .obs_dim = 2, .action_dim = 1, .discrete = 1, .width = 3}},
        {"actions go from 1 to 1",
         {.obs_dim = 2, .action_dim = 1, .action_low = 1, .action_high = 1, .width = 3}}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        SeEnv* env;
        assert_int_equal(se_create(&env, &bad[i].o, 0), UF_ERR_ARGUMENT);
        assert_null(env);
        assert_error(bad[i].sentence);
    }
    se_free(NULL);
}

// A truncated normal of variance 1 / fan_in: 16,384 of them have a mean within 5 / 128 deviations, a variance within 5 %.
static void test_fresh_weights(void** state) {
    (void)state;
    const SeOptions o = {.obs_dim = 64, .action_dim = 2, .discrete = 1, .width = 256};
    SeEnv *env = create(&o, 3), *same = create(&o, 3), *other = create(&o, 4);
    const int64_t n = se_num_params(env);
    float* again = malloc((size_t)n * sizeof(float));
    assert_non_null(again);
    se_get_params(env, params);
    se_get_params(same, again);
    assert_same("weights of a seed", params, again, (size_t)n * sizeof(float));
    se_get_params(other, again);
    assert_true(memcmp(params, again, (size_t)n * sizeof(float)) != 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < 256; i++) assert_true(params[i] == 0);  // bias
    for (int i = 256; i < 256 + 64 * 256; i++) {
        const double x = (double)params[i] * 8;
        assert_true(fabs(x) <= 2 / 0.87962566103423978 + 1e-6);
        sum += x;
        squares += x * x;
    }
    assert_true(fabs(sum) / 16384 < 5.0 / 128 && fabs(squares / 16384 - 1) < 0.05);
    free(again);
    se_free(env);
    se_free(same);
    se_free(other);
}

static void test_set_params(void** state) {
    (void)state;
    static float back[2000];
    SeEnv* env = create(&cases[1], 0);
    const int64_t n = se_num_params(env);
    for (int64_t i = 0; i < n; i++) params[i] = (float)(i + 1);
    assert_ok(se_set_params(env, params));
    se_get_params(env, back);
    assert_same("parameters", params, back, (size_t)n * sizeof(float));
    params[4 * 32 + 32 + 1] = NAN;  // behind the first layer and an output's bias
    params[0] = -1;
    assert_int_equal(se_set_params(env, params), UF_ERR_NONFINITE);
    assert_error("initial_state/dense1/bias");
    se_get_params(env, back);
    assert_true(back[0] == 1);
    params[4 * 32 + 32 + 1] = 0;
    params[n - 1] = INFINITY;
    assert_int_equal(se_set_params(env, params), UF_ERR_NONFINITE);
    assert_error("done/dense1/kernel");
    se_free(env);
}

// ---- latents ----

// Of 20,000 draws, at 5 standard errors.
static void test_latent_laws(void** state) {
    (void)state;
    enum { N = 20000, L = 5 };
    static float z[N * L];
    static const double mean[4] = {0, 0.5, 0.2, 0}, variance[4] = {1, 1.0 / 12, 0.16, 0};
    for (int law = 0; law < 4; law++) {
        const SeOptions o = {.latent = (SeLatent)law,
                             .obs_dim = 2,
                             .action_dim = 1,
                             .discrete = 1,
                             .width = 2,
                             .latent_dim = L};
        SeEnv* env = create(&o, 0);
        const SeDraw draw = {.seed = 11, .step = 3};
        se_latents(env, &draw, N, z);
        for (int k = 0; k < L; k++) {
            const double p = exp(-(double)k) / ((1 - exp(-(double)L)) / (1 - exp(-1.0)));
            const double m = law == SE_SOFTMAX ? p : mean[law],
                         v = law == SE_SOFTMAX ? p * (1 - p) : variance[law];
            double sum = 0, squares = 0, beside = 0;
            for (int i = 0; i < N; i++) {
                const double x = (double)z[i * L + k] - m;
                sum += x;
                squares += x * x;
                beside += x * ((double)z[i * L + (k + 1) % L] - (law == SE_SOFTMAX ? 0 : m));
                if (law >= SE_CATEGORICAL) assert_true(z[i * L + k] == 0 || z[i * L + k] == 1);
                if (law == SE_UNIFORM) assert_true(z[i * L + k] > 0 && z[i * L + k] < 1);
            }
            if (!(fabs(sum / N) < 5 * sqrt(v / N)))
                fail_msg("law %d, number %d: mean off by %g", law, k, sum / N);
            if (!(fabs(squares / N / v - 1) < 0.1))
                fail_msg("law %d, number %d: variance %g of %g", law, k, squares / N, v);
            if (law < SE_CATEGORICAL && !(fabs(beside / N) < 5 * v / sqrt(N)))
                fail_msg("law %d: number %d goes with the next", law, k);
        }
        for (int i = 0; i < N && law >= SE_CATEGORICAL; i++) {
            float sum = 0;
            for (int k = 0; k < L; k++) sum += z[i * L + k];
            assert_true(sum == 1);
        }
        se_free(env);
    }
}

// A row's latents are by (seed, step, its number) alone; each of the three matters.
static void test_latents_by_number(void** state) {
    (void)state;
    enum { N = 150 };
    static float all[N * MAX_NUMBERS], some[N * MAX_NUMBERS];
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env = create(&cases[c], 0);
        const int L = se_options(env)->latent_dim;
        const size_t row = (size_t)L * sizeof(float);
        const SeDraw draw = {.seed = 1, .step = 9, .first = 40};
        se_latents(env, &draw, N, all);
        for (int i = 0; i < N; i += 13) {
            const SeDraw one = {.seed = 1, .step = 9, .first = 40 + (uint64_t)i};
            se_latents(env, &one, 1, some);
            assert_same("a row's latents", some, all + i * L, row);
        }
        const SeDraw others[] = {{.seed = 2, .step = 9, .first = 40},
                                 {.seed = 1, .step = 10, .first = 40},
                                 {.seed = 1, .step = 9, .first = 41}};
        for (int k = 0; k < 3; k++) {
            se_latents(env, &others[k], N, some);
            assert_true(memcmp(some, all, N * row) != 0);
        }
        const SeDraw given = {.latents = all};
        se_latents(env, &given, N, some);
        assert_same("given latents", some, all, N * row);
        se_free(env);
    }
}

// ---- steps and rewards ----

static void test_steps_against_plain(void** state) {
    (void)state;
    static float z[MAX_ROWS * MAX_NUMBERS], obs[MAX_ROWS * MAX_NUMBERS], action[MAX_ROWS * MAX_NUMBERS],
        next[MAX_ROWS * MAX_NUMBERS], encoded[MAX_ROWS * MAX_NUMBERS], reward[MAX_ROWS], logit[MAX_ROWS];
    static int32_t steps[MAX_ROWS];
    static uint8_t done[MAX_ROWS];
    int ends[3] = {0};  // by the logit, by the limit, none
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env = create_shaken(&cases[c], 2, params);
        const SeOptions* o = se_options(env);
        const Plain p = plain_of(env, params);
        const int O = o->obs_dim, A = o->action_dim, N = 100;
        const SeDraw draw = {.latents = z};
        fill_normals(z, N * o->latent_dim, 3);
        fill_normals(obs, N * O, 4);
        fill_actions(o, action, N);
        se_encode(env, N, action, encoded);
        se_reset(env, &draw, N, next);
        for (int r = 0; r < N; r++) {
            double first[MAX_NUMBERS];
            plain_net(&p, 0, z + r * o->latent_dim, first, NULL);
            for (int i = 0; i < O; i++)
                assert_near("a first observation", r, (double)next[r * O + i], first[i]);
            steps[r] = r % 3;
        }
        se_step(env, &draw, N, obs, action, steps, next, reward, done);
        for (int r = 0; r < N; r++) {
            double expected[MAX_NUMBERS], number;
            float x[MAX_NUMBERS], after[MAX_NUMBERS];
            bool ended = true;
            memcpy(x, obs + r * O, (size_t)O * sizeof *x);
            for (int k = 0; k < A; k++)
                x[O + k] = o->discrete ? (float)(action[r] == (float)k) : action[r * A + k];
            assert_same("an encoded action", x + O, encoded + r * A, (size_t)A * sizeof *x);
            plain_net(&p, 1, x, &number, NULL);
            assert_near("a reward", r, (double)reward[r], number);
            if (o->mode == SE_MDP) {
                plain_net(&p, 2, x, expected, NULL);
                for (int i = 0; i < O; i++) after[i] = (float)(expected[i] += (double)x[i]);
                plain_net(&p, 3, after, &number, NULL);
                se_done_logits(env, 1, after, logit);
                assert_near("a logit", r, (double)logit[0], number);
                const bool limit = r % 3 + 1 >= o->max_steps;
                ended = number > 0 || limit;
                ends[number > 0 ? 0 : limit ? 1 : 2]++;
                assert_int_equal(steps[r], ended ? 0 : r % 3 + 1);
            }
            assert_int_equal(done[r], ended);
            if (ended) plain_net(&p, 0, z + r * o->latent_dim, expected, NULL);
            for (int i = 0; i < O; i++)
                assert_near("a next observation", r, (double)next[r * O + i], expected[i]);
        }
        se_free(env);
    }
    if (ends[0] <= 10 || ends[1] <= 10 || ends[2] <= 10)
        fail_msg("%d, %d, %d rows", ends[0], ends[1], ends[2]);
}

// Alone, in a batch, in place: the same bits; and the draws of a batch are those of its copies.
static void test_rows_alone(void** state) {
    (void)state;
    static float start[MAX_ROWS * MAX_NUMBERS], obs[MAX_ROWS * MAX_NUMBERS], next[MAX_ROWS * MAX_NUMBERS],
        action[MAX_ROWS * MAX_NUMBERS], reward[MAX_ROWS], alone[MAX_NUMBERS], one_reward;
    static int32_t steps[MAX_ROWS];
    static uint8_t done[MAX_ROWS], one_done;
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env = create_shaken(&cases[c], 2, params);
        const SeOptions* o = se_options(env);
        const int O = o->obs_dim, A = numbers_of(o);
        const size_t bytes = (size_t)O * sizeof(float);
        SeDraw draw = {.seed = 5, .first = 1000};
        fill_actions(o, action, MAX_ROWS);
        memset(steps, 0, sizeof steps);
        se_reset(env, &draw, MAX_ROWS, start);
        memcpy(obs, start, sizeof obs);
        for (draw.step = 1; draw.step < 5; draw.step++) {
            se_step(env, &draw, MAX_ROWS, obs, action, steps, next, reward, done);
            memcpy(obs, next, sizeof obs);
        }
        for (int r = 0; r < MAX_ROWS; r += 7) {
            int32_t count = 0;
            SeDraw own = {.seed = 5, .first = 1000 + (uint64_t)r};
            se_reset(env, &own, 1, alone);
            assert_same("a first observation", alone, start + r * O, bytes);
            for (own.step = 1; own.step < 5; own.step++)
                se_step(env, &own, 1, alone, action + r * A, &count, alone, &one_reward, &one_done);
            assert_same("an observation", alone, obs + r * O, bytes);
            assert_same("a reward", &one_reward, reward + r, sizeof one_reward);
            assert_true(one_done == done[r] && count == steps[r]);
        }
        se_free(env);
    }
}

static void test_rewards_and_gradients(void** state) {
    (void)state;
    enum { N = 70 };
    static float obs[N * MAX_NUMBERS], action[N * MAX_NUMBERS], encoded[N * MAX_NUMBERS], reward[N],
        stepped[N], all[N * MAX_NUMBERS], dobs[N * MAX_NUMBERS], daction[N * MAX_NUMBERS],
        next[N * MAX_NUMBERS];
    static int32_t steps[N];
    static uint8_t done[N];
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env = create_shaken(&cases[c], 6, params);
        const SeOptions* o = se_options(env);
        const Plain p = plain_of(env, params);
        const int O = o->obs_dim, A = o->action_dim;
        fill_normals(obs, N * O, 8);
        fill_actions(o, action, N);
        se_encode(env, N, action, encoded);
        se_step(env, &(SeDraw){.seed = 1}, N, obs, action, steps, next, stepped, done);
        se_rewards(env, N, obs, encoded, reward);
        assert_same("rewards of kinds and of one-hot rows", reward, stepped, sizeof reward);
        if (o->discrete) {
            se_rewards_of_all(env, N, obs, all);
            for (int r = 0; r < N; r++)
                assert_same("rewards of all kinds", all + r * A + (int)action[r], reward + r, sizeof *reward);
            for (int r = 0; r < N * A; r++) encoded[r] += 0.2f * obs[r % N];  // no longer one-hot
        }
        se_reward_gradient(env, N, obs, encoded, reward, dobs, daction);
        for (int r = 0; r < N; r++) {
            double expected[MAX_NUMBERS], number;
            float x[MAX_NUMBERS];
            memcpy(x, obs + r * O, (size_t)O * sizeof *x);
            memcpy(x + O, encoded + r * A, (size_t)A * sizeof *x);
            plain_net(&p, 1, x, &number, expected);
            assert_near("a reward", r, (double)reward[r], number);
            for (int i = 0; i < O; i++) assert_near("a derivative", r, (double)dobs[r * O + i], expected[i]);
            for (int i = 0; i < A; i++)
                assert_near("a derivative by action", r, (double)daction[r * A + i], expected[O + i]);
        }
        se_reward_gradient(env, N, obs, encoded, NULL, NULL, all);
        assert_same("derivatives by action alone", all, daction, (size_t)(N * A) * sizeof *all);
        se_free(env);
    }
}

// Kinds are rounded and kept within what there is, as step of envs.h does.
static void test_odd_kinds(void** state) {
    (void)state;
    static const float kinds[] = {-3, 0.4f, 0.6f, 9, NAN}, expected[] = {1, 0, 1, 0, 0, 1, 0, 1, 1, 0};
    float encoded[10];
    SeEnv* env = create(&cases[0], 0);
    se_encode(env, 5, kinds, encoded);
    assert_same("encoded kinds", encoded, expected, sizeof expected);
    se_free(env);
}

// ---- best actions ----

static double plain_reward(const Plain* p, const float* obs, int O, const float* encoded, int A) {
    float x[MAX_NUMBERS];
    double out;
    memcpy(x, obs, (size_t)O * sizeof *x);
    memcpy(x + O, encoded, (size_t)A * sizeof *x);
    plain_net(p, 1, x, &out, NULL);
    return out;
}

// Against every kind, or every place of the grid: in one number the best of all, in several none better in any one of them.
// Rounding may choose another place whose reward is as good.
static void test_best_actions(void** state) {
    (void)state;
    enum { N = 70 };
    static float obs[N * MAX_NUMBERS], action[N * MAX_NUMBERS];
    int inside = 0;
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env = create_shaken(&cases[c], 3, params);
        const SeOptions* o = se_options(env);
        const Plain p = plain_of(env, params);
        const int O = o->obs_dim, A = o->action_dim, n = numbers_of(o);
        fill_normals(obs, N * O, 8);
        se_best_actions(env, N, obs, action);
        for (int r = 0; r < N; r++) {
            float encoded[MAX_NUMBERS], other[MAX_NUMBERS];
            se_encode(env, 1, action + r * n, encoded);
            const double best = plain_reward(&p, obs + r * O, O, encoded, A);
            for (int k = 0; k < (o->discrete ? A : 101 * A); k++) {
                memcpy(other, encoded, sizeof other);
                for (int j = 0; j < A && o->discrete; j++) other[j] = (float)(j == k);
                if (!o->discrete)
                    other[k / 101] =
                        o->action_low + (o->action_high - o->action_low) * (float)(k % 101) / 100;
                const double reward = plain_reward(&p, obs + r * O, O, other, A);
                if (!(reward <= best + 1e-5 * (1 + fabs(best))))
                    fail_msg("case %d row %d: %g at %d is better than %g", c, r, reward, k, best);
            }
            for (int j = 0; j < A && !o->discrete; j++) {
                const double place =
                    (double)((encoded[j] - o->action_low) / (o->action_high - o->action_low)) * 100;
                assert_true(fabs(place - rint(place)) < 1e-4 && place > -1e-4 && place < 100.0001);
                inside += place > 0.5 && place < 99.5;
            }
        }
        se_free(env);
    }
    assert_true(inside > 5);
    // Equal rewards: the first kind, the lowest place; of several numbers the lowest of each.
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env = create(&cases[c], 0);
        const SeOptions* o = se_options(env);
        memset(params, 0, (size_t)se_num_params(env) * sizeof *params);
        assert_ok(se_set_params(env, params));
        se_best_actions(env, N, obs, action);
        for (int i = 0; i < N * numbers_of(o); i++)
            assert_true(action[i] == (o->discrete ? 0 : o->action_low));
        se_free(env);
    }
}

// ---- the horizon ----

static void test_horizon(void** state) {
    (void)state;
    static const SeHorizon hopper = {100, 1000, 200, 1600}, car = {1000, 200, 200, 600},
                           none = {500, 500, 0, 0}, sudden = {10, 20, 5, 0};
    static const int64_t g[] = {0, 200, 201, 1000, 1800, 2000}, expected[] = {100, 100, 100, 550, 1000, 1000};
    for (int i = 0; i < 6; i++) assert_int_equal(se_horizon(&hopper, g[i]), expected[i]);
    static const int64_t cg[] = {0, 200, 201, 500, 799, 800, 5000},
                         cars[] = {1000, 1000, 998, 600, 201, 200, 200};
    for (int i = 0; i < 7; i++) assert_int_equal(se_horizon(&car, cg[i]), cars[i]);
    assert_int_equal(se_horizon(&none, 0), 500);
    assert_int_equal(se_horizon(&none, 77), 500);
    assert_int_equal(se_horizon(&sudden, 5), 10);
    assert_int_equal(se_horizon(&sudden, 6), 20);
}

// ---- the search ----

// SNES over the parameters finds an environment whose reward is 1 for one action and -1 for the other.
static void test_search(void** state) {
    (void)state;
    enum { P = 32, N = 16 };
    SeOptions o = cases[0];
    o.width = 4;
    SeEnv* env = create(&o, 0);
    UfEsOptions options;
    UfEs* es;
    static float obs[N * 4], all[N * 2], x[P * 200];
    static double mean[200];
    double first = 0, last = 0;
    uf_es_default_options(&options, UF_ES_SNES);
    options.popsize = P;
    options.dims = se_num_params(env);
    options.sigma_init = 0.05;
    assert_ok(uf_es_create(&es, &options));
    se_get_params(env, params);
    for (int64_t i = 0; i < options.dims; i++) mean[i] = (double)params[i];
    uf_es_set_mean(es, mean);
    fill_normals(obs, N * 4, 1);
    for (int g = 0; g < 60; g++) {
        double fitness[P], sum = 0;
        uf_es_ask(es, x);
        for (int p = 0; p < P; p++) {
            assert_ok(se_set_params(env, x + (int64_t)p * options.dims));
            se_rewards_of_all(env, N, obs, all);
            fitness[p] = 0;
            for (int i = 0; i < N; i++)
                fitness[p] -= pow((double)all[2 * i] - 1, 2) + pow((double)all[2 * i + 1] + 1, 2);
            sum += fitness[p] / P;
        }
        assert_ok(uf_es_tell(es, fitness));
        if (g == 0) first = sum;
        last = sum;
    }
    if (!(last > first / 2)) fail_msg("fitness went from %g to %g", first, last);
    uf_es_free(es);
    se_free(env);
}

// ---- files ----

static const char* written(const char* name, const SeOptions* o, uint64_t seed) {
    SeEnv* env = create_shaken(o, seed, params);
    const char* path = in_folder(name);
    assert_ok(se_write(env, path, "a test"));
    se_free(env);
    return path;
}

static void test_round_trip(void** state) {
    (void)state;
    static float back[200000];
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* env;
        SeOptions options = cases[c];
        options.eval_env = c ? "elsewhere" : "CartPole-v1";
        const char* path = written("round.h5", &options, 4);
        assert_ok(se_read(&env, path));
        const SeOptions *o = se_options(env), *e = &cases[c];
        assert_true(o->mode == e->mode && o->latent == e->latent && o->obs_dim == e->obs_dim &&
                    o->action_dim == e->action_dim && o->discrete == e->discrete &&
                    o->action_low == e->action_low && o->action_high == e->action_high &&
                    o->latent_dim == (e->latent_dim ? e->latent_dim : e->obs_dim) && o->width == e->width &&
                    o->max_steps == (e->mode == SE_MDP ? e->max_steps : 1));
        assert_string_equal(o->eval_env, options.eval_env);
        se_get_params(env, back);
        assert_same("parameters in a file", back, params, (size_t)se_num_params(env) * sizeof *params);
        assert_true(access(in_folder("round.h5.tmp"), F_OK) != 0);
        char* text;
        assert_ok(uf_synth_info(path, &text));
        if (!strstr(text, options.eval_env) || !strstr(text, "a test")) fail_msg("info: %s", text);
        uf_free(text);
        se_free(env);
    }
    SeEnv* env = create(&cases[0], 0);
    assert_int_equal(se_write(env, in_folder("no/such/folder.h5"), NULL), UF_ERR_IO);
    assert_error("folder.h5");
    se_free(env);
}

static hid_t open_to_change(const char* path) {
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

typedef struct Change {
    const char *remove, *attribute, *word;  // a link or an attribute, and what comes in its place
    double number;
    const char* nan;  // a tensor that gets one
    const char* sentence;
    int rows, columns;  // of the tensor that comes in place of the removed one
} Change;

static void change_file(const char* path, const Change* x) {
    UfH5 h5 = {.file = open_to_change(path)};
    static const float zeros[2000];
    if (x->remove) assert_true(H5Ldelete(h5.file, x->remove, H5P_DEFAULT) >= 0);
    if (x->rows)
        assert_ok(uf_h5_write(&h5, x->remove, UF_H5_FLOAT, zeros, x->columns ? 2 : 1,
                              (int64_t[]){x->rows, x->columns}, 0, false));
    if (x->attribute) assert_true(H5Adelete(h5.file, x->attribute) >= 0);
    if (x->attribute && x->word) assert_ok(uf_h5_write_string(&h5, "/", x->attribute, x->word));
    if (x->attribute && !x->word && x->number != 0)
        assert_ok(uf_h5_write_number(&h5, "/", x->attribute, x->number));
    if (x->nan) alter(h5.file, x->nan, 3, (double)NAN);
    H5Fclose(h5.file);
}

#define TEN "abcdefghij"
#define LONG_NAME TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void test_damaged_files(void** state) {
    (void)state;
    static const Change changes[] = {
        {.remove = "reward/dense0/kernel", .sentence = "tensor 'reward/dense0/kernel' is missing"},
        {.remove = "done/dense1/bias", .sentence = "tensor 'done/dense1/bias' is missing"},
        {.remove = "next_state_delta", .sentence = "tensor 'next_state_delta/dense0/bias' is missing"},
        {.remove = "reward/dense0/kernel",
         .rows = 6,
         .columns = 31,
         .sentence = "tensor 'reward/dense0/kernel' is of shape (6, 31); expected (6, 32)"},
        {.remove = "reward/dense0/kernel",
         .rows = 32,
         .columns = 6,
         .sentence = "is of shape (32, 6); expected (6, 32)"},
        {.remove = "initial_state/dense1/bias",
         .rows = 5,
         .sentence = "'initial_state/dense1/bias' is of shape (5); expected (4)"},
        {.remove = "initial_state/dense1/bias",
         .rows = 4,
         .columns = 1,
         .sentence = "is of shape (4, 1); expected (4)"},
        {.nan = "next_state_delta/dense1/kernel",
         .sentence = "tensor 'next_state_delta/dense1/kernel' has the number nan at place 3"},
        {.attribute = "layout",
         .number = 7,
         .sentence = "has layout 7 of a synthetic environment; this version reads layout 1"},
        {.attribute = "kind",
         .word = "unifloral-ppo",
         .sentence = "is no file of a synthetic environment: its attribute 'kind' is 'unifloral-ppo'"},
        {.attribute = "kind", .sentence = "is no file of a synthetic environment"},
        {.attribute = "mode",
         .word = "pomdp",
         .sentence = "attribute 'mode' of '/' is 'pomdp'; expected one of bandit, mdp"},
        {.attribute = "latent",
         .word = "cauchy",
         .sentence = "expected one of normal, uniform, categorical, softmax"},
        {.attribute = "obs_dim",
         .number = 4.5,
         .sentence = "attribute 'obs_dim' of '/' is 4.5; expected a whole number"},
        {.attribute = "obs_dim", .sentence = "there is no attribute 'obs_dim'"},
        {.attribute = "width", .number = 1e6, .sentence = "width is 1000000; expected 1 to 2048"},
        {.attribute = "obs_dim",
         .number = 5,
         .sentence = "has 5 numbers of an observation and 2 kinds of action, CartPole-v1 has 4 and 2 kinds"},
        {.attribute = "eval_env",
         .word = "pendulum",
         .sentence = "Pendulum-v1 has 3 and 1 numbers of an action"},
        {.attribute = "eval_env",
         .word = LONG_NAME,
         .sentence = "attribute 'eval_env' of '/' has 130 letters; expected at most 127"},
        {.attribute = "action_type", .word = "discreet", .sentence = "expected one of continuous, discrete"}};
    SeOptions o = cases[1];
    o.eval_env = "CartPole-v1";
    const char* whole = written("whole.h5", &o, 1);
    SeEnv* env;
    assert_ok(se_read(&env, whole));
    se_free(env);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const char* path = copy_in_folder(whole, "changed.h5");
        change_file(path, &changes[i]);
        if (se_read(&env, path) == UF_OK) fail_msg("change %zu is not noticed: %s", i, changes[i].sentence);
        assert_null(env);
        assert_error("changed.h5");
        assert_error(changes[i].sentence);
    }
    // bounds that are not the evaluation environment's
    SeOptions swing = cases[2];
    swing.eval_env = "pendulum";
    swing.action_high = 1;
    assert_int_equal(se_read(&env, written("swing.h5", &swing, 1)), UF_ERR_FORMAT);
    assert_error("actions from -2 to 1, Pendulum-v1 from -2 to 2");
    // cut off
    char* data;
    size_t bytes;
    assert_ok(uf_read_file(whole, &data, &bytes));
    for (int i = 1; i < 12; i++) {
        assert_ok(uf_write_file(in_folder("cut.h5"), data, bytes * (size_t)i / 12));
        assert_true(se_read(&env, in_folder("cut.h5")) != UF_OK);
        assert_error("cut.h5");
    }
    uf_free(data);
    assert_int_equal(se_read(&env, in_folder("none.h5")), UF_ERR_IO);
}

static void test_import(void** state) {
    (void)state;
    SeEnv *env, *same;
    static float again[1000];
    assert_ok(se_import(&env, recording, "small_pole"));
    assert_ok(se_import(&same, recording, "CartPole-v1"));
    se_get_params(env, params);
    se_get_params(same, again);
    assert_same("by name and by id", params, again, (size_t)se_num_params(env) * sizeof *params);
    se_free(env);
    se_free(same);
    assert_ok(se_import(&env, recording, "fresh_mdp"));
    assert_true(se_options(env)->mode == SE_MDP && se_options(env)->max_steps == 4);
    se_free(env);
    assert_int_equal(se_import(&env, recording, "smal_pole"), UF_ERR_ARGUMENT);
    assert_error("did you mean 'small_pole'");
    assert_true(se_import(&env, recording, "") != UF_OK);
    assert_true(se_import(&env, in_folder("whole.h5"), "small_pole") != UF_OK);
    assert_error("no file of published synthetic environments");
    const char* path = copy_in_folder(recording, "import.h5");
    const hid_t file = open_to_change(path);
    assert_true(H5Ldelete(file, "checkpoint/small_pole/reward/dense1/kernel", H5P_DEFAULT) >= 0);
    alter(file, "checkpoint/somewhere/reward/dense0/bias", 2, (double)INFINITY);
    H5Fclose(file);
    assert_int_equal(se_import(&env, path, "small_pole"), UF_ERR_FORMAT);
    assert_error("tensor 'checkpoint/small_pole/reward/dense1/kernel' is missing");
    assert_int_equal(se_import(&env, path, "somewhere"), UF_ERR_FORMAT);
    assert_error("checkpoint/somewhere: tensor 'reward/dense0/bias' has the number inf at place 2");
}

// ---- the common interface ----

static void test_interface(void** state) {
    (void)state;
    for (int c = 0; c < NUM_CASES; c++) {
        SeEnv* se = create_shaken(&cases[c], 4, params);
        const SeOptions* o = se_options(se);
        UfEnv* env;
        float obs[MAX_NUMBERS], first[MAX_NUMBERS], action[MAX_NUMBERS], next[MAX_NUMBERS], reward;
        double got, numbers[UF_ENV_MAX_STATE];
        bool terminated = false, truncated = false;
        uint8_t done;
        int32_t steps = 0;
        assert_ok(uf_synth_env_create(&env, se));
        assert_true(uf_env_spec(env)->obs_dim == o->obs_dim && uf_env_spec(env)->max_steps == o->max_steps &&
                    uf_env_spec(env)->discrete == (o->discrete != 0));
        const SeDraw draw = {.seed = 8, .first = 3};
        const size_t bytes = (size_t)o->obs_dim * sizeof *obs;
        uf_env_reset(env, 8, 3, obs);
        se_reset(se, &draw, 1, first);
        assert_same("a first observation", obs, first, bytes);
        fill_actions(o, action, 1);
        for (int t = 0; !terminated && !truncated; t++) {
            se_step(se, &draw, 1, obs, action, &steps, next, &reward, &done);
            uf_env_step(env, action, obs, &got, &terminated, &truncated);
            assert_true(got == (double)reward && done == (terminated || truncated));
            if (!done) assert_same("an observation", obs, next, bytes);
            assert_true(t < o->max_steps);
        }
        if (o->mode == SE_BANDIT) assert_same("what a bandit shows at its end", obs, first, bytes);
        uf_env_get_state(env, numbers);
        uf_env_set_state(env, numbers, next);
        assert_same("a state", next, obs, bytes);
        uf_env_free(env);
        se_free(se);
    }
}

// ---- best actions in the evaluation environment ----

static void test_play(void** state) {
    (void)state;
    UfPool *one, *three;
    UfEvaluation a, b;
    const UfEnvSpec* spec;
    SeEnv* env;
    assert_ok(uf_pool_create(&one, 1));
    assert_ok(uf_pool_create(&three, 3));
    assert_ok(se_import(&env, recording, "small_pole"));
    assert_ok(uf_synth_play(&a, &spec, env, NULL, 70, 5, one));
    assert_ok(uf_synth_play(&b, &spec, env, "cartpole", 70, 5, three));
    assert_string_equal(spec->name, "CartPole-v1");
    assert_same("returns", a.returns, b.returns, 70 * sizeof *a.returns);
    // one episode by hand
    UfEnv* pole;
    float obs[4], action;
    double reward, sum = 0;
    bool terminated = false, truncated = false;
    assert_ok(uf_env_create(&pole, "cartpole"));
    uf_env_reset(pole, 5, 69, obs);
    while (!terminated && !truncated) {
        se_best_actions(env, 1, obs, &action);
        uf_env_step(pole, &action, obs, &reward, &terminated, &truncated);
        sum += reward;
    }
    assert_true(a.returns[69] == sum && a.lengths[69] == (int32_t)sum);
    uf_env_free(pole);
    uf_evaluation_free(&a);
    uf_evaluation_free(&b);
    assert_int_equal(uf_synth_play(&a, &spec, env, "pendulum", 5, 0, one), UF_ERR_ARGUMENT);
    assert_error("Pendulum-v1 has 3 and 1 numbers of an action");
    assert_int_equal(uf_synth_play(&a, &spec, env, "nowhere", 5, 0, one), UF_ERR_ARGUMENT);
    assert_int_equal(uf_synth_play(&a, &spec, env, NULL, 0, 0, one), UF_ERR_ARGUMENT);
    se_free(env);
    env = create(&cases[0], 0);
    assert_int_equal(uf_synth_play(&a, &spec, env, NULL, 5, 0, one), UF_ERR_ARGUMENT);
    assert_error("--env");
    se_free(env);
    uf_pool_free(one);
    uf_pool_free(three);
}

// ---- PPO's environments ----

static void test_ppo_envs(void** state) {
    (void)state;
    enum { N = 5, P = 2 };
    UfPpoConfig* config;
    UfTrainEnvs *envs, *again;
    const UfEnvSpec* spec;
    const int64_t seeds[P] = {3, 4};
    float obs[2][N * 2], reward[2][N];
    uint8_t done[2][N];
    float action[N * 3];
    assert_ok(uf_table_create(&uf_ppo_table, (void**)&config));
    const char* path = written("mdp.h5", &cases[3], 7);
    const UfPpoEnvsOptions options = {path, config, N, seeds, P, UF_PPO_TRAINING};
    assert_ok(uf_ppo_envs_create(&envs, &spec, &options));
    assert_ok(uf_ppo_envs_create(&again, &spec, &options));
    assert_null(spec);
    assert_true(envs->space.obs_dim == 2 && envs->space.action_dim == 3 && !envs->space.discrete &&
                !envs->space.bytes);
    assert_ok(envs->ops->reset(envs, 0, obs[0]));
    assert_ok(envs->ops->reset(envs, 1, obs[1]));
    assert_true(memcmp(obs[0], obs[1], sizeof obs[0]) != 0);
    fill_normals(action, N * 3, 2);
    for (int t = 0; t < 7; t++) assert_ok(envs->ops->step(envs, 1, action, obs[0], reward[0], done[0]));
    // another goes on from there, in the same bits
    void* saved = malloc(envs->ops->state_bytes(envs));
    assert_non_null(saved);
    assert_ok(envs->ops->get_state(envs, 1, saved));
    assert_ok(again->ops->set_state(again, 1, saved, "saved"));
    int ended = 0;
    float before[N * 2] = {0};  // what each environment's last episode began with
    for (int t = 0; t < 9; t++) {
        assert_ok(envs->ops->step(envs, 1, action, obs[0], reward[0], done[0]));
        assert_ok(again->ops->step(again, 1, action, obs[1], reward[1], done[1]));
        assert_same("observations", obs[0], obs[1], sizeof obs[0]);
        assert_same("rewards", reward[0], reward[1], sizeof reward[0]);
        assert_same("ends", done[0], done[1], sizeof done[0]);
        for (int i = 0; i < N; i++) {
            if (!done[0][i]) continue;
            assert_true(memcmp(before + 2 * i, obs[0] + 2 * i, 2 * sizeof(float)) != 0);
            memcpy(before + 2 * i, obs[0] + 2 * i, 2 * sizeof(float));
            ended++;
        }
    }
    assert_true(ended > N);
    // Actions are clipped to the bounds.
    float clipped[N * 3];
    for (int i = 0; i < N * 3; i++) clipped[i] = fminf(fmaxf(action[i], -1), 1), action[i] *= 1.0f;
    assert_ok(envs->ops->step(envs, 1, action, obs[0], reward[0], done[0]));
    assert_ok(again->ops->step(again, 1, clipped, obs[1], reward[1], done[1]));
    assert_same("rewards of clipped actions", reward[0], reward[1], sizeof reward[0]);
    memset((char*)saved + 8, 0x7f, 4);
    assert_int_equal(again->ops->set_state(again, 1, saved, "saved"), UF_ERR_FORMAT);
    assert_error("the file is damaged");
    free(saved);
    uf_train_envs_free(envs);
    uf_train_envs_free(again);
    UfPpoEnvsOptions bad = options;
    bad.env = in_folder("missing.h5");
    assert_int_equal(uf_ppo_envs_create(&envs, &spec, &bad), UF_ERR_IO);
    assert_error("missing.h5");
    bad.env = recording;
    assert_int_equal(uf_ppo_envs_create(&envs, &spec, &bad), UF_ERR_FORMAT);
    config->max_steps = 5;
    assert_int_equal(uf_ppo_envs_create(&envs, &spec, &options), UF_ERR_CONFIG);
    assert_error("max_steps: is for gridworlds");
    uf_free(config);
}

// ---- recordings ----

// ---- pictures ----

// A bandit for the grid world whose contexts are normal and whose best action is `right` (kind 1) where x > y, else `left`
// (kind 0), of reward |x - y|.
static SeEnv* create_sided(uint64_t seed) {
    SeOptions o;
    assert_ok(se_default_options(&o, "GridWorld-5x5"));
    o.width = 4;
    SeEnv* env = create(&o, seed);
    float* p = test_calloc((size_t)se_num_params(env), sizeof *p);
    float *hidden = p + 4, *out_bias = hidden + 2 * 4, *out = out_bias + 2;  // of initial_state
    for (int j = 0; j < 2; j++)
        for (int side = 0; side < 2; side++) {  // z = relu(z) - relu(-z)
            const int unit = 2 * j + side;
            hidden[j * 4 + unit] = side ? -1 : 1;
            out[unit * 2 + j] = side ? -1 : 1;
        }
    float *bias = out + 4 * 2, *kernel = bias + 4, *reward_bias = kernel + 6 * 4, *reward = reward_bias + 1;
    for (int side = 0; side < 2; side++) {  // relu(x - y + 50 [right] - 50), relu(y - x + 50 [left] - 50)
        bias[side] = -50;
        kernel[0 * 4 + side] = side ? -1 : 1;
        kernel[1 * 4 + side] = side ? 1 : -1;
        kernel[(2 + (side ? 0 : 1)) * 4 + side] = 50;
        reward[side] = 1;
    }
    bias[2] = bias[3] = -1;
    assert_ptr_equal(reward + 4, p + se_num_params(env));
    assert_ok(se_set_params(env, p));
    test_free(p);
    return env;
}

static void test_importance(void** state) {
    (void)state;
    enum { ROWS = 2000 };
    SeEnv* env = create_sided(1);
    const SeDraw draws = {.seed = 4};
    static float obs[ROWS * 2], best[ROWS], changed[ROWS * 2], other[ROWS];
    se_reset(env, &draws, ROWS, obs);
    se_best_actions(env, ROWS, obs, best);
    for (int i = 0; i < ROWS; i++) assert_true(best[i] == (obs[2 * i] > obs[2 * i + 1]));
    // x - y and x' - y have a correlation of 1/2: signs differ with a chance of acos(1/2) / pi; 5 standard errors
    for (int j = 0; j < 2; j++) {
        const double share = uf_synth_importance(env, ROWS, obs, best, j, changed, other);
        if (fabs(share - 1.0 / 3) > 0.053)
            fail_msg("number %d matters to %g of the best actions, expected 1/3", j, share);
    }
    // an action of several numbers: the mean over all of them
    const SeOptions several = {.obs_dim = 2, .action_dim = 2, .action_low = -1, .action_high = 1, .width = 8};
    SeEnv* other_env = create(&several, 2);
    static float actions[ROWS * 2], others[ROWS * 2];
    se_reset(other_env, &draws, ROWS, obs);
    se_best_actions(other_env, ROWS, obs, actions);
    const double mean = uf_synth_importance(other_env, ROWS, obs, actions, 1, changed, others);
    double sum = 0;
    for (int i = 0; i < ROWS * 2; i++) sum += fabs((double)others[i] - (double)actions[i]);
    for (int i = 0; i < ROWS; i++) assert_true(changed[2 * i] == obs[2 * i]);
    if (fabs(mean - sum / (2 * ROWS)) > 1e-12 || !(mean > 0))
        fail_msg("%g, expected %g", mean, sum / (2 * ROWS));
    se_free(other_env);
    se_free(env);
}

#ifdef UF_NO_CAIRO

static void test_drawing(void** state) {
    (void)state;
    SeEnv* env = create_sided(1);
    assert_int_equal(uf_synth_draw(env, NULL, 0, in_folder("a.png")), UF_ERR_UNSUPPORTED);
    assert_error("libcairo2-dev");
    se_free(env);
    print_message("SKIP test_drawing: built without cairo\n");
    skip();
}

static void test_undrawn(void** state) {
    (void)state;
    skip();
}

#else

static bool same_files(const char* a, const char* b) {
    char *x, *y;
    size_t x_bytes, y_bytes;
    assert_ok(uf_read_file(a, &x, &x_bytes));
    assert_ok(uf_read_file(b, &y, &y_bytes));
    const bool same = x_bytes == y_bytes && !memcmp(x, y, x_bytes);
    uf_free(x);
    uf_free(y);
    return same;
}

// Where the map is `left` and where it is `right`; the strip of actions and the keys have these colours too.
static void check_map(const char* path) {
    enum { LEFT = 0x87BDE6, RIGHT = 0xFAB36B, TOP = 92, BOTTOM = 362, END = 416 };
    cairo_surface_t* page = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(page), CAIRO_STATUS_SUCCESS);
    assert_int_equal(cairo_image_surface_get_width(page), 1280);
    const unsigned char* pixels = cairo_image_surface_get_data(page);
    int count[2] = {0}, border = END, rows = 0;
    for (int y = TOP; y < BOTTOM; y++) {
        int last_left = 0, first_right = END;
        for (int x = 0; x < END; x++) {
            uint32_t pixel;
            memcpy(&pixel, pixels + y * cairo_image_surface_get_stride(page) + 4 * x, sizeof pixel);
            pixel &= 0xFFFFFF;
            if (pixel == LEFT) last_left = x;
            if (pixel == RIGHT && x < first_right) first_right = x;
            count[0] += pixel == LEFT;
            count[1] += pixel == RIGHT;
        }
        // y falls from row to row, so right of the border x > y begins further left; a dot may hide a bit of it
        if (last_left > first_right || first_right > border + 4)
            fail_msg("row %d: left up to %d, right from %d, above from %d", y, last_left, first_right,
                     border);
        if (first_right < END) border = first_right;
        rows += last_left > 0 && first_right < END;
    }
    cairo_surface_destroy(page);
    // a border from one corner to the other; dots and the frame are not large
    const int all = (BOTTOM - TOP) * (END - 82);
    if (!(rows > 0.8 * (BOTTOM - TOP) && border < 130 && count[0] + count[1] > 0.93 * all &&
          abs(count[0] - count[1]) < 0.1 * all))
        fail_msg("%d rows, border down to %d, %d and %d pixels of %d", rows, border, count[0], count[1], all);
}

static void test_drawing(void** state) {
    (void)state;
    const UfEnvSpec* spec = uf_env_find("gridworld-5x5");
    SeEnv* env = create_sided(1);
    assert_ok(uf_synth_draw(env, spec, 3, in_folder("a.png")));
    assert_ok(uf_synth_draw(env, spec, 3, in_folder("b.PNG")));
    assert_true(same_files(in_folder("a.png"), in_folder("b.PNG")));
    check_map(in_folder("a.png"));
    assert_ok(uf_synth_draw(env, spec, 4, in_folder("b.png")));
    assert_false(same_files(in_folder("a.png"), in_folder("b.png")));
    assert_ok(uf_synth_draw(env, spec, 3, in_folder("b.svg")));
    assert_ok(uf_synth_draw(env, spec, 3, in_folder("b.pdf")));
    assert_ok(uf_synth_draw(env, NULL, 3, in_folder("c.png")));  // played nowhere
    se_free(env);
    // any sizes: one number, many; several numbers of an action; an MDP
    float params[20000];
    for (int i = 0; i < NUM_CASES; i++) {
        assert_true(se_num_params(env = create(&cases[i], 5)) < 20000);
        se_free(env);
        env = create_shaken(&cases[i], 5, params);
        const char* real = i < 2 ? "cartpole" : i == 2 ? "pendulum" : NULL;
        assert_ok(uf_synth_draw(env, uf_env_find(real), 0, in_folder("d.png")));
        se_free(env);
    }
    const SeOptions wide = {.obs_dim = 700, .action_dim = 40, .discrete = 1, .width = 2};
    env = create(&wide, 5);
    assert_ok(uf_synth_draw(env, NULL, 0, in_folder("d.png")));
    float* zeros =
        test_calloc((size_t)se_num_params(env), sizeof *zeros);  // all contexts are alike, and all rewards
    assert_ok(se_set_params(env, zeros));
    test_free(zeros);
    assert_ok(uf_synth_draw(env, NULL, 0, in_folder("d.png")));
    se_free(env);
}

static void test_undrawn(void** state) {
    (void)state;
    const UfEnvSpec* spec = uf_env_find("gridworld-5x5");
    SeEnv* env = create_sided(1);
    assert_int_equal(uf_synth_draw(env, spec, 0, in_folder("a.gif")), UF_ERR_ARGUMENT);
    assert_error(".png, .svg or .pdf");
    assert_int_equal(uf_synth_draw(env, uf_env_find("pendulum"), 0, in_folder("a.png")), UF_ERR_ARGUMENT);
    assert_error("Pendulum-v1 has 3 and 1 numbers");
    assert_int_equal(uf_synth_draw(env, spec, 0, in_folder("none/a.png")), UF_ERR_IO);
    assert_int_equal(uf_synth_draw(env, spec, 0, in_folder("none/a.pdf")), UF_ERR_IO);
    float* p = test_calloc((size_t)se_num_params(env), sizeof *p);
    se_get_params(env, p);
    p[se_num_params(env) - 4] = 3e38f;  // of the reward's last layer
    assert_ok(se_set_params(env, p));
    assert_int_equal(uf_synth_draw(env, NULL, 0, in_folder("a.png")), UF_ERR_NONFINITE);
    assert_error("rewards of the synthetic environment are not finite");
    se_get_params(env, p);
    for (int i = 0; i < 8; i++) p[4 + i] *= 3e38f;  // contexts
    assert_ok(se_set_params(env, p));
    assert_int_equal(uf_synth_draw(env, NULL, 0, in_folder("a.png")), UF_ERR_NONFINITE);
    assert_error("first observations of the synthetic environment are not finite");
    test_free(p);
    se_free(env);
}

#endif

// ---- recordings ----

static void test_recording(void** state) {
    (void)state;
    static const char* const altered[] = {
        "checkpoint/small_pole/flat",
        "checkpoint/small_pole/initial_state/dense0/kernel",
        "checkpoint/small_pole/forward/context",
        "checkpoint/small_pole/forward/reward",
        "checkpoint/small_pole/forward/grad_obs",
        "checkpoint/somewhere/forward/grad_action",
        "checkpoint/small_pole/forward/reward_all_actions",
        "checkpoint/small_pole/forward/action_encoded",
        "checkpoint/small_pole/steps/reward",
        "checkpoint/small_pole/steps/obs",
        "checkpoint/somewhere/steps/next_obs",
        "checkpoint/somewhere/steps/latent",
        "fresh_mdp/steps/reward",
        "fresh_mdp/steps/next_obs",
        "fresh_mdp/steps/obs",
        "fresh_mdp/steps/done_logit",
        "fresh_mdp/done/dense1/bias",
        "snes/weights",
        "snes/mean",
        "snes/sigma",
        "snes/fitness",
        "eval_env/pole/state",
        "eval_env/pole/next_obs",
        "eval_env/car/next_state",
        "eval_env/car/reward",
        "eval_env/swing/obs",
        "eval_env/swing/action",
    };
    char* report;
    if ((report = report_of(recording))) fail_msg("%s", report);
    for (size_t i = 0; i < sizeof altered / sizeof altered[0]; i++) {
        const char* path = copy_in_folder(recording, "altered.h5");
        alter_file(path, altered[i], 3, strstr(altered[i], "fitness") ? 30 : 2e-3);
        if (!(report = report_of(path))) fail_msg("%s: a changed number passes", altered[i]);
        uf_free(report);
    }
    static const char* const flags[] = {"fresh_mdp/steps/done", "eval_env/pole/done",
                                        "checkpoint/somewhere/steps/done"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const char* path = copy_in_folder(recording, "altered.h5");
        alter_file(path, flags[i], 0, i < 2 ? 1 : -1);
        if (!(report = report_of(path))) fail_msg("%s: a changed end passes", flags[i]);
        uf_free(report);
    }
    const char* path = copy_in_folder(recording, "altered.h5");
    for (int i = 0; i < 24; i++) alter_file(path, "greedy/small_pole/returns", i, 3);
    if (!(report = report_of(path))) fail_msg("other returns pass");
    uf_free(report);
}

static void test_odd_recordings(void** state) {
    (void)state;
    static const struct {
        const char *remove, *sentence;
    } cases_of[] = {{"checkpoint", "there is no group 'checkpoint'"},
                    {"checkpoint/somewhere/reward/dense0/bias",
                     "tensor 'checkpoint/somewhere/reward/dense0/bias' is missing"},
                    {"checkpoint/somewhere/forward/context", "forward/context"},
                    {"fresh_mdp/steps/latent_if_reset", "latent_if_reset"},
                    {"snes/x", "snes/x"},
                    {"eval_env/car/next_state", "eval_env/car/next_state"},
                    {"greedy/small_pole/returns", "greedy/small_pole/returns"}};
    char* report;
    bool passed;
    for (size_t i = 0; i < sizeof cases_of / sizeof cases_of[0]; i++) {
        const char* path = copy_in_folder(recording, "odd.h5");
        const hid_t file = open_to_change(path);
        assert_true(H5Ldelete(file, cases_of[i].remove, H5P_DEFAULT) >= 0);
        H5Fclose(file);
        assert_true(uf_verify(path, &report, &passed) != UF_OK);
        assert_null(report);
        assert_error(cases_of[i].sentence);
    }
    // The parts beside checkpoints need not be there.
    const char* path = copy_in_folder(recording, "few.h5");
    const hid_t file = open_to_change(path);
    static const char* const others[] = {"fresh_mdp", "snes", "eval_env", "greedy", "checkpoint/somewhere"};
    for (int i = 0; i < 5; i++) assert_true(H5Ldelete(file, others[i], H5P_DEFAULT) >= 0);
    H5Fclose(file);
    if ((report = report_of(path))) fail_msg("%s", report);
}

static void test_published(void** state) {
    (void)state;
    if (!is_there(published, "published synthetic environments")) skip();
    char* report;
    if ((report = report_of(published))) fail_msg("%s", report);
    // The cart pole's returns are 500 whatever the seed.
    UfPool* pool;
    UfEvaluation e;
    const UfEnvSpec* spec;
    SeEnv* env;
    assert_ok(uf_pool_create(&pool, 0));
    assert_ok(se_import(&env, published, "CartPole-v1"));
    for (uint64_t seed = 0; seed < 100; seed++) {
        assert_ok(uf_synth_play(&e, &spec, env, NULL, 1, seed, pool));
        assert_true(e.returns[0] == 500);
        uf_evaluation_free(&e);
    }
    se_free(env);
    uf_pool_free(pool);
}

// ---- memory ----

typedef struct Needs {
    UfPool* pool;
    UfPpoConfig* config;
    const char* path;
} Needs;

static UfStatus write_and_play(const Needs* x) {
    SeEnv* env;
    UfEnv* single = NULL;
    UfEvaluation e = {0};
    const UfEnvSpec* spec;
    UfStatus status = se_import(&env, recording, "small_pole");
    if (status == UF_OK) status = uf_synth_play(&e, &spec, env, NULL, 3, 0, x->pool);
    if (status == UF_OK) status = uf_synth_env_create(&single, env);
    if (status == UF_OK) status = se_write(env, x->path, NULL);
    uf_evaluation_free(&e);
    uf_env_free(single);
    se_free(env);
    return status;
}

static UfStatus many_of_it(const Needs* x) {
    UfTrainEnvs* envs;
    const UfEnvSpec* spec;
    const int64_t seed = 0;
    const UfPpoEnvsOptions options = {x->path, x->config, 3, &seed, 1, UF_PPO_TRAINING};
    UF_TRY(uf_ppo_envs_create(&envs, &spec, &options));
    uf_train_envs_free(envs);
    return UF_OK;
}

static UfStatus describe(const Needs* x) {
    char* text;
    UF_TRY(uf_synth_info(x->path, &text));
    uf_free(text);
    return UF_OK;
}

static UfStatus replay(const Needs* x) {
    char* text;
    bool passed;
    (void)x;
    UF_TRY(uf_verify_synthenv(recording, &text, &passed));
    uf_free(text);
    return UF_OK;
}

static UfStatus draw(const Needs* x) {
#ifdef UF_NO_CAIRO
    (void)x;
    return UF_OK;
#else
    SeOptions o;
    SeEnv* env;
    UF_TRY(se_default_options(&o, "GridWorld-5x5"));
    UF_TRY(se_create(&env, &o, 3));
    const UfStatus status = uf_synth_draw(env, uf_env_find("gridworld-5x5"), 0, in_folder("memory.png"));
    (void)x;
    se_free(env);
    return status;
#endif
}

// With the n-th allocation failing, until none fails.
static void test_memory(void** state) {
    (void)state;
    static UfStatus (*const all[])(const Needs*) = {write_and_play, many_of_it, describe, replay, draw};
    static const int least[] = {20, 8, 8, 60, 0};
    Needs x = {.path = in_folder("memory.h5")};
    assert_ok(uf_pool_create(&x.pool, 1));
    assert_ok(uf_table_create(&uf_ppo_table, (void**)&x.config));
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        UfStatus status;
        int failures = 0;
        while (allocations_left = failures, (status = all[k](&x)) == UF_ERR_MEMORY) failures++;
        allocations_left = -1;
        if (status != UF_OK) fail_msg("allocation %d of %zu: %s", failures, k, uf_error());
        if (failures < least[k]) fail_msg("%d allocations of %zu", failures, k);
    }
    uf_free(x.config);
    uf_pool_free(x.pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_fresh_weights),
        cmocka_unit_test(test_set_params),
        cmocka_unit_test(test_latent_laws),
        cmocka_unit_test(test_latents_by_number),
        cmocka_unit_test(test_steps_against_plain),
        cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_rewards_and_gradients),
        cmocka_unit_test(test_odd_kinds),
        cmocka_unit_test(test_best_actions),
        cmocka_unit_test(test_horizon),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_import),
        cmocka_unit_test(test_interface),
        cmocka_unit_test(test_play),
        cmocka_unit_test(test_ppo_envs),
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_odd_recordings),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_importance),
        cmocka_unit_test(test_drawing),
        cmocka_unit_test(test_undrawn),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
