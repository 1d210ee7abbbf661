// test_synth_make.c: bandits made of data (core/synth/synth_make.c), and training that begins from one (core/synth/synth_init.c).
// With UF_TEST_DEVICE=cuda agents are initialised there, in the tests that take few steps.
#include "support.h"
#include "failing_alloc.h"
#include "h5_change.h"
#include "same_member.h"

#include <math.h>

#include "core/data/dataset.h"
#include "core/runs/run.h"
#include "core/synth/synth.h"

enum { O = 3, ROWS = 4000, EPISODE = 20, LOOKS = 4000 };

// ---- data ----

typedef struct Data {
    float obs[ROWS * O], actions[ROWS * 2], rewards[ROWS];
    uint8_t terminals[ROWS], timeouts[ROWS];
} Data;
static Data d;

static double dot3(const float* s) { return 0.5 * (double)s[0] - 0.3 * (double)s[1] + 0.1 * (double)s[2]; }

// What the data do: near k.s, of the first dimension alone; of kinds 0 or 1 by its sign, seldom the other.
static float best_action(const float* s) { return (float)fmax(-0.9, fmin(0.9, dot3(s))); }

// Observations are mean + C z; the second one is of its own size, far from 0.
static const double mean_of[O] = {0.3, -40, 2};
static const double factor[O][O] = {{1, 0, 0}, {6, 8, 0}, {-0.1, 0.05, 0.2}};

static void fill(bool gaussian) {
    UfRandom random = uf_random(7, UF_STREAM_INIT, 0);
    for (int r = 0; r < ROWS; r++) {
        float* s = d.obs + r * O;
        double z[O];
        for (int i = 0; i < O; i++) z[i] = (double)uf_random_normal(&random);
        for (int i = 0; i < O; i++) {
            double x = gaussian ? mean_of[i] : 0;
            for (int j = 0; j < O; j++) x += gaussian ? factor[i][j] * z[j] : i == j ? z[j] : 0;
            s[i] = (float)x;
        }
        const float best = best_action(s), noise = uf_random_normal(&random);
        d.actions[r] = fmaxf(-1, fminf(1, best + 0.1f * noise));
        d.rewards[r] = -(float)pow((double)d.actions[r] - (double)best, 2);
        d.terminals[r] = 0;
        d.timeouts[r] = r % EPISODE == EPISODE - 1;
    }
}

static UfDataset* first_rows(int action_dim, int rows) {
    const UfArrays arrays = {.num_rows = rows,
                             .obs_dim = O,
                             .action_dim = action_dim,
                             .observations = d.obs,
                             .actions = d.actions,
                             .rewards = d.rewards,
                             .terminals = d.terminals,
                             .timeouts = d.timeouts};
    UfDataset* data;
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    return data;
}

static UfDataset* dataset_of(int action_dim) { return first_rows(action_dim, ROWS); }

static UfDataset* plain_dataset(void) {
    fill(false);
    return dataset_of(1);
}

// Actions are one-hot: kind 1 where k.s > 0, else 0; one row in ten does the other.
static UfDataset* kinds_dataset(void) {
    fill(false);
    for (int r = 0; r < ROWS; r++) {
        const bool right = r % 10 != 0, one = (dot3(d.obs + r * O) > 0) == right;
        d.actions[2 * r] = one ? 0 : 1;
        d.actions[2 * r + 1] = one ? 1 : 0;
        d.rewards[r] = (right ? 1 : 0) + 0.1f * (float)(r / EPISODE % 2);
    }
    return dataset_of(2);
}

static SeEnv* make(const UfDataset* data, const SeMaking* making, SeMade* made) {
    SeEnv* env;
    assert_ok(se_make(&env, made, data, making));
    return env;
}

static void assert_between(const char* what, double value, double low, double high) {
    if (!(value >= low && value <= high)) fail_msg("%s is %g; expected %g to %g", what, value, low, high);
}

static float looks[LOOKS * O], acts[LOOKS * 2], rewards[LOOKS];

// ---- contexts ----

static void moments(const float* x, int rows, double mean[O], double cov[O][O]) {
    for (int i = 0; i < O; i++) mean[i] = 0;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < O; i++) mean[i] += (double)x[r * O + i] / rows;
    for (int i = 0; i < O; i++)
        for (int j = 0; j < O; j++) {
            cov[i][j] = 0;
            for (int r = 0; r < rows; r++)
                cov[i][j] += ((double)x[r * O + i] - mean[i]) * ((double)x[r * O + j] - mean[j]) / rows;
        }
}

// Means in units of deviations and correlations: those of LOOKS draws stray by 1 / sqrt(LOOKS) = .016.
static void assert_moments(const SeEnv* env, double tolerance) {
    double mean[O], cov[O][O], data_mean[O], data_cov[O][O];
    se_reset(env, &(SeDraw){.seed = 3}, LOOKS, looks);
    moments(looks, LOOKS, mean, cov);
    moments(d.obs, ROWS, data_mean, data_cov);
    for (int i = 0; i < O; i++) {
        assert_between("a mean", (mean[i] - data_mean[i]) / sqrt(data_cov[i][i]), -tolerance, tolerance);
        for (int j = 0; j < O; j++)
            assert_between("a covariance",
                           (cov[i][j] - data_cov[i][j]) / sqrt(data_cov[i][i] * data_cov[j][j]), -tolerance,
                           tolerance);
    }
}

// The Gaussian that contexts begin as is exact: after one step they are within four deviations of what draws stray by. And
// many steps, whose batches stray too, do not lead away from it.
static void test_gaussian(void** state) {
    (void)state;
    SeMade made;
    fill(true);
    UfDataset* data = dataset_of(1);
    SeEnv* env = make(data, &(SeMaking){.num_steps = 1}, &made);
    assert_true(made.begins_exact && made.distance <= made.first_distance);
    assert_moments(env, 0.065);
    se_free(env);
    env = make(data, &(SeMaking){.num_steps = 1500}, &made);
    assert_moments(env, 0.1);
    // Of 400 held rows and 2048 contexts: |distance| strays by some 1 / 400 of a mean pair's 1.8.
    assert_between("distance", made.distance, -0.01, 0.02);
    assert_true(isnan(made.r2) && se_options(env)->meaning == SE_BEHAVIOUR && se_options(env)->width == 64);
    se_free(env);
    uf_dataset_free(data);
}

// Two heaps are no Gaussian: steps lessen the distance several times over, with a Gaussian to begin with or without.
static void test_heaps(void** state) {
    (void)state;
    SeMade made;
    fill(false);
    for (int r = 0; r < ROWS; r++) {
        const float side = d.obs[r * O] > 0 ? 1.f : -1.f;
        for (int i = 0; i < O; i++) d.obs[r * O + i] = 0.3f * d.obs[r * O + i] + 2 * side;
    }
    UfDataset* data = dataset_of(1);
    for (int width = 5; width <= 32; width += 27) {
        SeEnv* env = make(data, &(SeMaking){.num_steps = 1500, .width = width}, &made);
        assert_int_equal(made.begins_exact, width >= 2 * O);
        assert_true(made.distance < made.first_distance / 3);
        se_free(env);
    }
    uf_dataset_free(data);
}

// ---- behaviour ----

// Mean square of best actions minus what the data do, in [-1, 1].
static double off_behaviour(const SeEnv* env) {
    const double half = ((double)se_options(env)->action_high - (double)se_options(env)->action_low) / 2;
    double sum = 0;
    se_best_actions(env, LOOKS, d.obs, acts);
    for (int r = 0; r < LOOKS; r++)
        sum += pow((double)acts[r] / half - (double)best_action(d.obs + r * O), 2);
    return sqrt(sum / LOOKS);
}

// Data stray from what they do by .1, the grid's places lie .02 apart, a piecewise linear ridge has corners.
static void test_behaviour(void** state) {
    (void)state;
    SeMade made;
    UfDataset* data = plain_dataset();
    SeEnv* env = make(data, &(SeMaking){.num_steps = 4000}, &made);
    assert_between("off", off_behaviour(env), 0, 0.15);
    assert_true(se_options(env)->action_low == -1 && !se_options(env)->eval_env[0]);
    // Uniform actions fall among those of the data in about a third of the range.
    assert_between("cross-entropy", made.cross_entropy, 0.05, 0.8 * made.chance);
    assert_between("accuracy", made.accuracy, 0.8, 1);
    assert_true(made.effective_rows == (double)uf_dataset_num_rows(data));
    se_free(env);
    // In the units of an environment, and what is best is the same.
    env = make(data, &(SeMaking){.num_steps = 4000, .env = "pendulum"}, &made);
    assert_true(se_options(env)->action_high == 2 && !strcmp(se_options(env)->eval_env, "Pendulum-v1"));
    assert_between("off", off_behaviour(env), 0, 0.15);
    se_free(env);
    uf_dataset_free(data);
}

static void test_kinds(void** state) {
    (void)state;
    SeMade made;
    UfDataset* data = kinds_dataset();
    int right = 0;
    data->discrete = true;  // as a file's vector of numbers makes it
    SeEnv* env = make(data, &(SeMaking){.num_steps = 1500}, &made);
    assert_true(se_options(env)->discrete && se_options(env)->action_dim == 2);
    se_best_actions(env, LOOKS, d.obs, acts);
    for (int r = 0; r < LOOKS; r++) right += (acts[r] == 1) == (dot3(d.obs + r * O) > 0);
    assert_between("kinds that are right", right / (double)LOOKS, 0.95, 1);
    // One row in ten cannot be told: the entropy of that is .325.
    assert_between("cross-entropy", made.cross_entropy, 0.25, 0.45);
    assert_between("accuracy", made.accuracy, 0.83, 0.95);
    assert_between("chance", made.chance, log(2) - 1e-9, log(2) + 1e-9);
    se_free(env);
    uf_dataset_free(data);
}

// One episode in four earns more and acts at .6, the others at -.6: rows alike, the many win; by return, the few.
static void test_return_temperature(void** state) {
    (void)state;
    SeMade made;
    double mean[2] = {0, 0};
    fill(false);
    for (int r = 0; r < ROWS; r++) {
        const bool good = r / EPISODE % 4 == 0;
        d.actions[r] = (good ? 0.6f : -0.6f) + 0.1f * d.obs[r * O];
        d.actions[r] = fmaxf(-1, fminf(1, d.actions[r]));
        d.rewards[r] = good;
    }
    UfDataset* data = dataset_of(1);
    for (int k = 0; k < 2; k++) {
        SeEnv* env = make(data, &(SeMaking){.num_steps = 3000, .return_temperature = k ? 0.5 : 0}, &made);
        se_best_actions(env, LOOKS, d.obs, acts);
        for (int r = 0; r < LOOKS; r++) mean[k] += (double)acts[r] / LOOKS;
        se_free(env);
    }
    assert_between("best action, alike", mean[0], -0.75, -0.45);
    assert_between("best action, by return", mean[1], 0.45, 0.75);
    // Standardised returns are sqrt 3 and -1 / sqrt 3, weights e^4.6 : 1: a quarter of the rows and a little.
    assert_between("effective rows", made.effective_rows / ROWS, 0.24, 0.28);
    uf_dataset_free(data);
}

// The bits are the seed's alone.
static void test_threads(void** state) {
    (void)state;
    static float a[2000], b[2000];
    UfDataset* data = plain_dataset();
    for (uint64_t k = 0; k < 3; k++) {
        SeEnv* env =
            make(data, &(SeMaking){.num_steps = 50, .num_threads = k == 0 ? 1 : 3, .seed = k == 2}, NULL);
        assert_true(se_num_params(env) < 2000);
        se_get_params(env, k == 0 ? a : b);
        assert_int_equal(memcmp(a, b, (size_t)se_num_params(env) * sizeof *a) == 0, k == 1);
        if (k == 0) memset(b, 0, sizeof b);
        se_free(env);
    }
    uf_dataset_free(data);
}

// ---- Q ----

static UfConfig* config_of(const char* json) {
    UfConfig* c;
    assert_ok(uf_config_create(&c));
    assert_ok(uf_config_parse(c, json, "test"));
    use_test_device(c);
    return c;
}

static UfAgent* agent_of(const UfConfig* c, const UfDataset* data) {
    UfAgent* a;
    assert_ok(uf_agent_create(&a, c, data, 1));
    return a;
}

#define SMALL                                                                                               \
    "\"batch_size\": 64, \"actor_num_layers\": 2, \"actor_layer_width\": 32, \"critic_num_layers\": 2, "    \
    "\"critic_layer_width\": 32, \"num_critic_updates_per_step\": 1, \"policy_noise\": 0, \"noise_clip\": " \
    "0, "                                                                                                   \
    "\"critic_bc_coef\": 0, \"actor_bc_coef\": 0"

// Without a future Q is the reward, -(a - k.s)^2, which training has to find. The file's name.
static const char* quadratic_checkpoint(const UfDataset* data, const char* more) {
    char json[1024];
    const char* path = in_folder("quadratic.h5");
    // Actions all over the range, so that Q is known there.
    UfRandom random = uf_random(1, UF_STREAM_INIT, 0);
    UfDataset* wide;
    for (int r = 0; r < ROWS; r++) {
        d.actions[r] = (float)uf_random_uniform(&random, -1, 1);
        d.rewards[r] = -(float)pow((double)d.actions[r] - (double)best_action(d.obs + r * O), 2);
    }
    wide = dataset_of(1);
    snprintf(json, sizeof json, "{" SMALL ", \"gamma\": 0, \"seed\": 3%s}", more);
    UfConfig* c = config_of(json);
    UfAgent* a = agent_of(c, wide);
    assert_ok(uf_train(a, wide, 2500, NULL, NULL));
    assert_ok(uf_agent_save(a, path));
    uf_agent_free(a);
    uf_config_free(c);
    uf_dataset_free(wide);
    (void)data;
    return path;
}

// R^2 of the bandit's reward against the known Q at uniform actions.
static double known_r2(const SeEnv* env) {
    UfRandom random = uf_random(2, UF_STREAM_INIT, 0);
    double total = 0, left = 0, mean = 0;
    const double half = (double)se_options(env)->action_high;
    static double q[LOOKS];
    for (int r = 0; r < LOOKS; r++) {
        const double a = uf_random_uniform(&random, -1, 1);
        acts[r] = (float)(half * a);
        q[r] = -pow(a - (double)best_action(d.obs + r * O), 2);
        mean += q[r] / LOOKS;
    }
    se_rewards(env, LOOKS, d.obs, acts, rewards);
    for (int r = 0; r < LOOKS; r++) {
        total += pow(q[r] - mean, 2);
        left += pow(q[r] - (double)rewards[r], 2);
    }
    return 1 - left / total;
}

static void test_q(void** state) {
    (void)state;
    static const char* const ways[] = {"", ", \"aggregate_q\": \"mean\"", ", \"aggregate_q\": \"first\"",
                                       ", \"deterministic\": false, \"norm_obs\": false"};
    SeMade made;
    for (size_t k = 0; k < sizeof ways / sizeof ways[0]; k++) {
        UfDataset* data = plain_dataset();
        const char* path = quadratic_checkpoint(data, ways[k]);
        SeEnv* env =
            make(data, &(SeMaking){.checkpoint = path, .num_steps = 3000, .env = k % 2 ? "pendulum" : NULL},
                 &made);
        assert_true(se_options(env)->meaning == SE_Q && se_options(env)->discount == 0);
        assert_between("R^2", made.r2, 0.95, 1);
        assert_between("R^2 against the known Q", known_r2(env), 0.9, 1);
        assert_between("off the best action", off_behaviour(env), 0, 0.2);
        assert_true(isnan(made.accuracy) && isnan(made.effective_rows));
        se_free(env);
        uf_dataset_free(data);
    }
}

// What is regressed on is what the actor makes of the critics, each of which is asked here by itself.
static void test_agent_q(void** state) {
    (void)state;
    enum { N = 130 };
    double q[3][N], low;
    UfDataset* data = plain_dataset();
    static const char* const how[] = {"first", "min", "mean"};
    for (int k = 0; k < 3; k++) {
        char json[1024];
        snprintf(json, sizeof json, "{" SMALL ", \"seed\": 3, \"num_critics\": 3, \"aggregate_q\": \"%s\"}",
                 how[k]);
        UfConfig* c = config_of(json);
        UfAgent* a = agent_of(c, data);
        assert_ok(uf_agent_q(a, 0, q[k], d.obs, d.actions, N));
        uf_agent_free(a);
        uf_config_free(c);
    }
    int lower = 0;
    for (int r = 0; r < N; r++) {
        low = q[1][r];
        assert_true(low <= q[0][r] && low <= q[2][r]);
        lower += low < q[0][r];
    }
    assert_true(lower > 0);
    uf_dataset_free(data);
}

// ---- training that begins from a bandit ----

// reward = 5 - 3 |a - k.s| / half, exactly: two units; with `meaning` behind. Its file.
static const char* ridge(SeMeaning meaning, float discount, const char* env_name) {
    const SeOptions o = {.obs_dim = O,
                         .action_dim = 1,
                         .action_low = env_name ? -2 : -1,
                         .action_high = env_name ? 2 : 1,
                         .eval_env = env_name,
                         .width = 2 * O,
                         .max_steps = 1,
                         .meaning = meaning,
                         .discount = discount};
    const float k[O] = {0.5f, -0.3f, 0.1f}, half = o.action_high;
    const char* path = in_folder("ridge.h5");
    float params[200] = {0};
    SeEnv* env;
    assert_ok(se_create(&env, &o, 0));
    const int H = o.width;
    float* at = params + H;
    for (int i = 0; i < O; i++, at += H) {
        at[i] = 1;
        at[O + i] = -1;
    }
    at += O;
    for (int i = 0; i < O; i++) {
        at[i * O + i] = 1;
        at[(O + i) * O + i] = -1;
    }
    at += H * O;  // reward: bias, kernel, bias, kernel
    float *kernel = at + H, *out = kernel + (O + 1) * H;
    for (int i = 0; i < O; i++) {
        kernel[i * H] = -k[i];
        kernel[i * H + 1] = k[i];
    }
    kernel[O * H] = 1 / half;
    kernel[O * H + 1] = -1 / half;
    out[0] = 5;
    out[1] = out[2] = -3;
    assert_ok(se_set_params(env, params));
    assert_ok(se_write(env, path, NULL));
    se_free(env);
    return path;
}

// Mean square of what a policy does at its mean minus k.s, which is within [-1, 1] nearly always.
static double off_ridge(const UfAgent* a, int member) {
    UfPolicy* policy;
    double sum = 0;
    assert_ok(uf_policy_create(&policy, a, member));
    assert_ok(uf_policy_act(policy, acts, d.obs, LOOKS, NULL));
    for (int r = 0; r < LOOKS; r++) sum += pow((double)acts[r] - fmax(-1, fmin(1, dot3(d.obs + r * O))), 2);
    uf_policy_free(policy);
    return sqrt(sum / LOOKS);
}

// Of critics at uniform actions, in units of the rewards' deviation there.
static double off_q(UfAgent* a, int member) {
    static double q[LOOKS];
    UfRandom random = uf_random(3, UF_STREAM_INIT, 0);
    double mean = 0, total = 0, left = 0;
    for (int r = 0; r < LOOKS; r++) acts[r] = (float)uf_random_uniform(&random, -1, 1);
    assert_ok(uf_agent_q(a, member, q, d.obs, acts, LOOKS));
    for (int r = 0; r < LOOKS; r++) rewards[r] = (float)(5 - 3 * fabs((double)acts[r] - dot3(d.obs + r * O)));
    for (int r = 0; r < LOOKS; r++) mean += (double)rewards[r] / LOOKS;
    for (int r = 0; r < LOOKS; r++) {
        total += pow((double)rewards[r] - mean, 2);
        left += pow((double)rewards[r] - q[r], 2);
    }
    return sqrt(left / total);
}

// The mean of a named tensor over its numbers.
static double tensor_mean(UfAgent* a, const char* name, int member) {
    static real values[40000];
    for (int i = 0; i < uf_agent_num_tensors(a); i++) {
        const UfTensor* t = uf_agent_tensor(a, i);
        double sum = 0;
        if (strcmp(t->name, name) != 0) continue;
        assert_ok(uf_agent_get_tensor(a, t, UF_TENSOR_VALUE, member, values));
        for (size_t k = 0; k < uf_tensor_count(t); k++) sum += (double)values[k];
        return sum / (double)uf_tensor_count(t);
    }
    fail_msg("no tensor '%s'", name);
    return 0;
}

// Targets are copies; the optimiser's moments are as of a fresh agent.
static void assert_fresh_but_parameters(UfAgent* a) {
    static real x[40000], y[40000];
    for (int i = 0; i < uf_agent_num_tensors(a); i++) {
        const UfTensor* t = uf_agent_tensor(a, i);
        const size_t bytes = uf_tensor_count(t) * sizeof(real);
        assert_ok(uf_agent_get_tensor(a, t, UF_TENSOR_VALUE, 0, x));
        for (int k = 1; k < 3 && !t->is_target; k++) {
            assert_ok(uf_agent_get_tensor(a, t, (UfTensorKind)k, 0, y));
            for (size_t n = 0; n < uf_tensor_count(t); n++) assert_true(y[n] == 0);
        }
        for (int k = 0; k < uf_agent_num_tensors(a) && t->is_target; k++) {
            const UfTensor* online = uf_agent_tensor(a, k);
            if (online->is_target || online->group != t->group || online->offset != t->offset) continue;
            assert_ok(uf_agent_get_tensor(a, online, UF_TENSOR_VALUE, 0, y));
            if (memcmp(x, y, bytes) != 0) fail_msg("%s is no copy", t->name);
        }
    }
}

static UfConfig* init_config(const char* path, const char* more) {
    char json[1600];
    snprintf(json, sizeof json, "{" SMALL ", \"init_from\": \"%s\", \"init_steps\": 1200, \"seed\": 4%s}",
             path, more);
    return config_of(json);
}

// Every kind of policy comes to the ridge, and critics to the reward; the best of 1200 small steps is off by some hundredths.
static void test_init(void** state) {
    (void)state;
    static const struct {
        const char* more;
        const char* env;
        bool value;
    } ways[] = {
        {"", NULL, false},
        {"", "Pendulum-v1", false},
        {", \"norm_obs\": false, \"num_critics\": 3, \"actor_ln\": false", NULL, false},
        {", \"deterministic\": false", NULL, false},
        {", \"deterministic\": false, \"use_tanh_mean\": false", NULL, false},
        {", \"deterministic\": false, \"use_log_std_param\": true, \"use_awr\": true, \"use_value_target\": "
         "true, "
         "\"use_target_actor\": false",
         NULL, true},
    };
    // What observations are normalised by is not what contexts are like.
    fill(false);
    for (int i = 0; i < ROWS * O; i++) d.obs[i] = 3 * d.obs[i] + 1;
    UfDataset *data = dataset_of(1), *like_contexts = plain_dataset();
    for (size_t k = 0; k < sizeof ways / sizeof ways[0]; k++) {
        const char* path = ridge(SE_Q, 0.99f, ways[k].env);
        UfConfig *c = init_config(path, ways[k].more), *plain = init_config("", ways[k].more);
        UfAgent *a = agent_of(c, data), *fresh = agent_of(plain, data);
        print_message("case %zu: %s\n", k, uf_agent_init_note(a));
        assert_between("off the ridge, fresh", off_ridge(fresh, 0), 0.4, 1);
        assert_between("off the ridge", off_ridge(a, 0), 0, 0.12);
        assert_between("off Q, fresh", off_q(fresh, 0), 2, 1000);
        print_message("off the ridge %g, off Q %g\n", off_ridge(a, 0), off_q(a, 0));
        assert_between("off Q", off_q(a, 0), 0, 0.2);
        assert_true(uf_agent_num_updates(a) == 0 && !uf_agent_init_note(fresh)[0]);
        assert_non_null(strstr(uf_agent_init_note(a), "critics are off"));
        assert_fresh_but_parameters(a);
        if (ways[k].value) {  // V is what the policy's actions earn, nearly the 5 of the ridge
            double value = 0;
            UfDiagnosis diagnosis;
            assert_ok(uf_agent_diagnose(a, 0, like_contexts, &diagnosis));
            value = diagnosis.init_value;
            assert_between("value of initial states", value, 4, 5.3);
            assert_between("the value's bias", tensor_mean(a, "value/out/bias", 0), 0.01, 10);
        }
        uf_agent_free(a);
        uf_agent_free(fresh);
        uf_config_free(c);
        uf_config_free(plain);
    }
    uf_dataset_free(data);
    uf_dataset_free(like_contexts);
}

// Without a Q, or where it is not wanted, critics stay as they were drawn.
static void test_init_actor_alone(void** state) {
    (void)state;
    UfDataset* data = plain_dataset();
    for (int k = 0; k < 2; k++) {
        const char* path = ridge(k ? SE_BEHAVIOUR : SE_Q, 0.5f, NULL);  // a discount that nobody asks for
        UfConfig *c = init_config(path, k ? "" : ", \"init_critics\": false"), *plain = init_config("", "");
        UfAgent *a = agent_of(c, data), *fresh = agent_of(plain, data);
        double q[20], p[20];
        assert_between("off the ridge", off_ridge(a, 0), 0, 0.12);
        assert_ok(uf_agent_q(a, 0, q, d.obs, d.actions, 20));
        assert_ok(uf_agent_q(fresh, 0, p, d.obs, d.actions, 20));
        assert_memory_equal(q, p, sizeof q);
        assert_null(strstr(uf_agent_init_note(a), "critics"));
        uf_agent_free(a);
        uf_agent_free(fresh);
        uf_config_free(c);
        uf_config_free(plain);
    }
    uf_dataset_free(data);
}

// The reward is 3 |a - k.s| off its top: with weight 1 the best Gaussian is as wide as its 1 / 3, without it ever narrower.
static void test_init_entropy(void** state) {
    (void)state;
    double log_std[2];
    UfDataset* data = plain_dataset();
    const char* path = ridge(SE_BEHAVIOUR, 0, NULL);
    for (int k = 0; k < 2; k++) {
        UfConfig* c = init_config(
            path, k ? ", \"deterministic\": false, \"use_log_std_param\": true, \"init_entropy_coef\": 1"
                    : ", \"deterministic\": false, \"use_log_std_param\": true");
        UfAgent* a = agent_of(c, data);
        log_std[k] = tensor_mean(a, "actor/log_std_param", 0);
        uf_agent_free(a);
        uf_config_free(c);
    }
    // E |x| = sqrt(2 / pi) sigma: log sigma - 3 sqrt(2 / pi) sigma is largest at sigma = .418, log .418 = -.87
    assert_between("log-std without entropy", log_std[0], -5, -1.2);
    assert_between("log-std with it", log_std[1], -1.05, -0.7);
    uf_dataset_free(data);
}

// Rewards of kinds: 2 hidden units give kind 1 more where k.s > 0.
static void test_init_kinds(void** state) {
    (void)state;
    UfDataset* data = kinds_dataset();
    int right = 0;
    data->discrete = true;
    SeMade made;
    SeEnv* env = make(data, &(SeMaking){.num_steps = 1500}, &made);
    const char* path = in_folder("kinds.h5");
    assert_ok(se_write(env, path, NULL));
    UfConfig* c = init_config(path, ", \"deterministic\": false");
    UfAgent* a = agent_of(c, data);
    UfPolicy* policy;
    assert_ok(uf_policy_create(&policy, a, 0));
    assert_ok(uf_policy_act(policy, acts, d.obs, LOOKS, NULL));
    for (int r = 0; r < LOOKS; r++) right += (acts[2 * r + 1] == 1) == (dot3(d.obs + r * O) > 0);
    assert_between("kinds that are right", right / (double)LOOKS, 0.95, 1);
    uf_policy_free(policy);

    // A checkpoint of kinds as a bandit again: its critics, of the discount of the configuration.
    const char* checkpoint = in_folder("kinds checkpoint.h5");
    assert_ok(uf_train(a, data, 300, NULL, NULL));
    assert_ok(uf_agent_save(a, checkpoint));
    uf_agent_free(a);
    uf_config_free(c);
    se_free(env);
    env = make(data, &(SeMaking){.checkpoint = checkpoint, .num_steps = 3000}, &made);
    assert_true(se_options(env)->discrete && se_options(env)->discount == 0.99f);
    assert_between("R^2", made.r2, 0.8, 1);
    assert_ok(se_write(env, path, NULL));
    c = init_config(path, ", \"deterministic\": false");
    a = agent_of(c, data);
    assert_non_null(strstr(uf_agent_init_note(a), "critics are off"));
    assert_fresh_but_parameters(a);
    uf_agent_free(a);
    uf_config_free(c);
    se_free(env);
    uf_dataset_free(data);
}

// A member of a population is what it is alone, on any number of threads.
static void test_init_population(void** state) {
    (void)state;
    UfDataset* data = plain_dataset();
    const char* path = ridge(SE_Q, 0.99f, NULL);
    UfConfig *a = init_config(path, ""), *b = init_config(path, ", \"init_lr\": 0.01");
    const UfConfig* both[] = {a, b};
    UfAgent *population, *alone;
    assert_ok(uf_config_set(a, "init_steps", "40"));
    assert_ok(uf_config_set(b, "init_steps", "40"));
    assert_ok(uf_config_set(b, "seed", "9"));
    assert_ok(uf_agent_create_population(&population, both, 2, data, 3));
    for (int p = 0; p < 2; p++) {
        alone = agent_of(both[p], data);
        assert_same_member(alone, 0, population, p);
        uf_agent_free(alone);
    }
    uf_agent_free(population);
    uf_config_free(a);
    uf_config_free(b);
    uf_dataset_free(data);
}

// A saved run goes on without the bandit, and ends in the same bits.
static void test_init_resume(void** state) {
    (void)state;
    UfDataset* data = plain_dataset();
    const char *path = ridge(SE_Q, 0.99f, NULL), *saved = in_folder("part.h5");
    UfConfig* c = init_config(path, ", \"num_updates\": 30");
    assert_ok(uf_config_set(c, "init_steps", "40"));
    UfAgent *whole = agent_of(c, data), *part = agent_of(c, data);
    assert_ok(uf_agent_save(part, saved));  // before the first update too
    uf_agent_free(part);
    assert_ok(uf_agent_load(&part, saved, 2));
    assert_ok(uf_train(part, data, 10, NULL, NULL));
    assert_ok(uf_agent_save(part, saved));
    uf_agent_free(part);
    assert_int_equal(unlink(path), 0);
    assert_ok(uf_agent_load(&part, saved, 2));
    assert_ok(uf_train(part, data, 0, NULL, NULL));
    assert_ok(uf_train(whole, data, 0, NULL, NULL));
    assert_same_member(whole, 0, part, 0);
    uf_agent_free(whole);
    uf_agent_free(part);
    uf_config_free(c);
    uf_dataset_free(data);
}

// ---- refusals ----

static void refuse_make(const UfDataset* data, const SeMaking* making, const char* piece) {
    SeEnv* env;
    assert_int_not_equal(se_make(&env, NULL, data, making), UF_OK);
    assert_null(env);
    assert_error(piece);
}

static void test_refusals_of_make(void** state) {
    (void)state;
    UfDataset* data = plain_dataset();
    const char* checkpoint = quadratic_checkpoint(data, "");
    const char* missing = in_folder("missing.h5");
    refuse_make(NULL, &(SeMaking){0}, "needs a dataset or a checkpoint");
    refuse_make(NULL, &(SeMaking){.checkpoint = checkpoint}, "names no dataset");
    refuse_make(data, &(SeMaking){.checkpoint = missing}, "missing.h5");
    refuse_make(data, &(SeMaking){.env = "no such"}, "unknown environment 'no such'");
    refuse_make(data, &(SeMaking){.env = "hopper"},
                "the dataset has 3 numbers of an observation and 1 numbers of an action, Hopper-v2 11 and 3");
    refuse_make(data, &(SeMaking){.env = "CartPole-v1"}, "not one-hot");
    refuse_make(data, &(SeMaking){.width = 5000}, "width is 5000; expected 1 to 2048");
    refuse_make(data, &(SeMaking){.width = -1}, "width is -1");
    refuse_make(data, &(SeMaking){.num_steps = -1}, "-1 steps");
    refuse_make(data, &(SeMaking){.return_temperature = -1}, "return_temperature is -1");
    refuse_make(data, &(SeMaking){.return_temperature = (double)NAN}, "return_temperature is nan");
    refuse_make(data, &(SeMaking){.return_temperature = 1, .checkpoint = checkpoint}, "weighs behaviour");
    uf_dataset_free(data);

    for (int r = 0; r < ROWS; r++) d.rewards[r] = 1;
    data = dataset_of(1);
    refuse_make(data, &(SeMaking){.return_temperature = 1, .num_steps = 1}, "all 200 of the dataset have 19");
    uf_dataset_free(data);

    // Another dataset's sizes; too few rows; a Q that is no number.
    data = dataset_of(2);
    refuse_make(data, &(SeMaking){.checkpoint = checkpoint}, "3 observations and 1 actions");
    uf_dataset_free(data);
    const UfArrays few = {.num_rows = 12,
                          .obs_dim = O,
                          .action_dim = 1,
                          .observations = d.obs,
                          .actions = d.actions,
                          .rewards = d.rewards,
                          .terminals = d.terminals};
    assert_ok(uf_dataset_from_arrays(&data, &few));
    refuse_make(data, &(SeMaking){0}, "rows; a bandit wants at least 20");
    uf_dataset_free(data);
    data = plain_dataset();
    alter_file(checkpoint, "value/critic/out/bias", 0, (double)NAN);
    refuse_make(data, &(SeMaking){.checkpoint = checkpoint, .num_steps = 1}, "its critics say nan");
    uf_dataset_free(data);
}

static void refuse_init(const UfDataset* data, const char* path, const char* more, const char* piece) {
    UfConfig* c = init_config(path, more);
    UfAgent* a;
    assert_int_not_equal(uf_agent_create(&a, c, data, 1), UF_OK);
    assert_null(a);
    assert_error(piece);
    uf_config_free(c);
}

// A bandit, or something, of these options; its file.
static const char* bandit_of(const SeOptions* o, float scale) {
    const char* path = in_folder("other.h5");
    float params[4000];
    SeEnv* env;
    assert_ok(se_create(&env, o, 1));
    se_get_params(env, params);
    for (int64_t i = 0; i < se_num_params(env); i++) params[i] *= scale;
    assert_ok(se_set_params(env, params));
    assert_ok(se_write(env, path, NULL));
    se_free(env);
    return path;
}

static void test_refusals_of_init(void** state) {
    (void)state;
    UfDataset* data = plain_dataset();
    SeOptions o = {
        .obs_dim = O, .action_dim = 1, .action_low = -1, .action_high = 1, .width = 8, .max_steps = 1};
    refuse_init(data, in_folder("missing.h5"), "", "missing.h5");
    refuse_init(data, bandit_of(&o, 0), "", "every action earns 0");
    refuse_init(data, bandit_of(&o, 1e15f), "", "not finite");
    refuse_init(data, ridge(SE_Q, 0.9f, NULL), "", "a Q function of discount 0.9, but gamma is 0.99");
    refuse_init(data, ridge(SE_Q, 0.99f, "Pendulum-v1"), ", \"env\": \"MountainCarContinuous-v0\"",
                "stands for Pendulum-v1, but this run is about MountainCarContinuous-v0");
    refuse_init(data, ridge(SE_Q, 0.99f, NULL), ", \"online\": true, \"env\": \"pendulum\"",
                "online is true");
    refuse_init(data, ridge(SE_Q, 0.99f, NULL), ", \"init_entropy_coef\": 1",
                "which a deterministic one lacks");
    o.mode = SE_MDP;
    refuse_init(data, bandit_of(&o, 1), "", "is an MDP");
    o.mode = SE_BANDIT;
    o.obs_dim = 4;
    refuse_init(data, bandit_of(&o, 1), "",
                "4 numbers of an observation and 1 numbers of an action, the agent 3 and 1");
    o.obs_dim = O;
    o.discrete = 1;
    refuse_init(data, bandit_of(&o, 1), "", "1 kinds of action, the agent 3 and 1 numbers of an action");

    // Attributes that are none.
    const char* path = ridge(SE_Q, 0.99f, NULL);
    SeEnv* env;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Adelete(file, "discount") >= 0);
    H5Fclose(file);
    assert_int_equal(se_read(&env, path), UF_ERR_FORMAT);
    assert_error("discount");
    const SeOptions far = {.obs_dim = O,
                           .action_dim = 1,
                           .action_low = -1,
                           .action_high = 1,
                           .width = 8,
                           .max_steps = 1,
                           .meaning = SE_Q,
                           .discount = 2};
    assert_int_equal(se_create(&env, &far, 0), UF_ERR_ARGUMENT);
    assert_error("discount is 2; expected 0 to 1");

    // Members that would be another population.
    UfConfig *a = init_config("", ", \"deterministic\": false"),
             *b = init_config("", ", \"deterministic\": false, \"init_entropy_coef\": 1");
    const UfConfig* both[] = {a, b};
    UfAgent* agent;
    assert_int_equal(uf_agent_create_population(&agent, both, 2, data, 1), UF_ERR_CONFIG);
    assert_error("init_entropy_coef is 0 in one member");
    uf_config_free(a);
    uf_config_free(b);
    uf_dataset_free(data);
}

// What a reward means is in its file, and only where it means something.
static void test_meaning_in_files(void** state) {
    (void)state;
    SeEnv* env;
    UfH5 h5;
    for (int k = SE_SOUGHT; k <= SE_BEHAVIOUR; k++) {
        const char* path = ridge((SeMeaning)k, k == SE_Q ? 0.75f : 0, NULL);
        assert_ok(se_read(&env, path));
        assert_true((int)se_options(env)->meaning == k &&
                    se_options(env)->discount == (k == SE_Q ? 0.75f : 0));
        se_free(env);
        assert_ok(uf_h5_open(&h5, path));
        assert_int_equal(uf_h5_has_attribute(&h5, "/", "meaning"), k != SE_SOUGHT);
        assert_int_equal(uf_h5_has_attribute(&h5, "/", "discount"), k == SE_Q);
        uf_h5_close(&h5);
    }
}

// ---- memory ----

// With the n-th allocation failing, until none fails.
static void test_memory(void** state) {
    (void)state;
    uf_dataset_free(kinds_dataset());  // it fills the arrays
    UfDataset* data = first_rows(2, 100);
    data->discrete = true;
    const char* checkpoint = in_folder("memory checkpoint.h5");
    UfConfig* c = init_config("", ", \"deterministic\": false");
    UfAgent* a = agent_of(c, data);
    assert_ok(uf_agent_save(a, checkpoint));
    uf_agent_free(a);
    uf_config_free(c);
    for (int k = 0; k < 2; k++) {
        const SeMaking making = {.num_steps = 1,
                                 .width = 8,
                                 .num_threads = 1,
                                 .return_temperature = k ? 0 : 1,
                                 .checkpoint = k ? checkpoint : NULL};
        UfStatus status = UF_ERR_MEMORY;
        int failures = 0;
        for (long n = 0; status != UF_OK; n++) {
            SeEnv* env;
            allocations_left = n;
            status = se_make(&env, NULL, data, &making);
            const bool failed = allocations_left < 0;
            allocations_left = -1;
            assert_true(status == UF_OK || failed);
            failures += status != UF_OK;
            se_free(env);
        }
        assert_true(failures > 15);
    }
    uf_dataset_free(data);

    data = plain_dataset();
    c = init_config(ridge(SE_Q, 0.99f, NULL), "");
    assert_ok(uf_config_set(c, "init_steps", "1"));
    UfStatus status = UF_ERR_MEMORY;
    int failures = 0;
    for (long n = 0; status != UF_OK; n++) {
        allocations_left = n;
        status = uf_agent_create(&a, c, data, 1);
        allocations_left = -1;
        failures += status != UF_OK;
        if (status != UF_OK) assert_null(a);
    }
    assert_true(failures > 40);
    uf_agent_free(a);
    uf_config_free(c);
    uf_dataset_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaussian),
        cmocka_unit_test(test_heaps),
        cmocka_unit_test(test_behaviour),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_return_temperature),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_q),
        cmocka_unit_test(test_agent_q),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_init_actor_alone),
        cmocka_unit_test(test_init_entropy),
        cmocka_unit_test(test_init_kinds),
        cmocka_unit_test(test_init_population),
        cmocka_unit_test(test_init_resume),
        cmocka_unit_test(test_refusals_of_make),
        cmocka_unit_test(test_refusals_of_init),
        cmocka_unit_test(test_meaning_in_files),
        cmocka_unit_test(test_memory),
    };
    if (on_device()) cmocka_set_test_filter("test_init_*u*");  // population, resume
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
