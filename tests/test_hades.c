// test_hades.c: behaviour distillation from the inside: trials against a loop that steps environments itself, common
// random numbers, initial weights, checkpoints, ranks, datasets, images, what is refused. The command: test_hades.sh.
#include "support.h"

#include <math.h>

#include "core/philox.h"
#include "core/search/es.h"
#include "core/search/hades_run.h"
#include "core/search/trials.h"
#include "h5_change.h"
#include "settings.h"
#include "two_ranks.h"

// ---- configurations and searches ----

static HdConfig* config_of(const char* settings) {
    HdConfig* c;
    assert_ok(hd_config_create(&c));
    assert_ok(try_settings(&hd_table, c, "num_threads=2"));
    if (on_device()) assert_ok(hd_config_set(c, "device", getenv("UF_TEST_DEVICE")));
    assert_ok(try_settings(&hd_table, c, settings));
    return c;
}

static HdSearch* search_of(const char* settings) {
    HdSearch* s;
    HdConfig* c = config_of(settings);
    assert_ok(hd_search_create(&s, c));
    hd_config_free(c);
    return s;
}

static int64_t dims_of(const HdSearch* s) { return uf_es_options(hd_search_es(s))->dims; }

// The test may move the mean.
static UfEs* es_of(HdSearch* s) { return (UfEs*)hd_search_es(s); }

static void steps(HdSearch* s, int count) {
    for (int i = 0; i < count; i++) assert_ok(hd_search_step(s, NULL));
}

static float* normals(int64_t count, double scale) {
    UfRandom random = uf_random(5, 0, 0);
    float* x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) x[i] = (float)scale * uf_random_normal(&random);
    return x;
}

static double rate_one(HdSearch* s, const float* x) {
    double fitness;
    assert_ok(hd_search_rate(s, x, 1, &fitness));
    return fitness;
}

#define SMALL "popsize=8 layer_width=8 num_steps=5 rollout_steps=60 rollouts=2 num_envs=2 "

// ---- common random numbers ----

static void test_common_numbers(void** state) {
    (void)state;
    enum { N = 6 };
    double together[N], alone, threads[N];
    HdSearch* s = search_of(SMALL "env=CartPole-v1");
    HdSearch* other = search_of(SMALL "env=CartPole-v1 num_threads=3");
    const int64_t n = dims_of(s);
    float* x = normals(N * n, 2);
    memcpy(x + 4 * n, x, (size_t)n * sizeof *x);
    assert_ok(hd_search_rate(s, x, N, together));
    assert_ok(hd_search_rate(other, x, N, threads));
    assert_true(together[0] == together[4]);
    assert_true(together[0] != together[1] || together[1] != together[2]);
    assert_memory_equal(together, threads, sizeof together);
    for (int i = N; i-- > 0;) {
        alone = rate_one(s, x + i * n);
        assert_true(alone == together[i]);
    }
    free(x);
    hd_search_free(s);
    hd_search_free(other);
}

// Networks that are larger than a chunk together: its ends are at none of the candidates' own doing.
static void test_chunks(void** state) {
    (void)state;
    enum { N = 70 };
    double together[N];
    HdSearch* s = search_of(
        "env=CartPole-v1 popsize=70 layer_width=512 hidden_init=lecun rollouts=1 num_envs=1 num_steps=1 "
        "rollout_steps=12 lr=0.1");
    const int64_t n = dims_of(s);
    float* x = normals(N * n, 2);
    assert_ok(hd_search_rate(s, x, N, together));
    int different = 0;
    for (int i = 0; i < N; i++) different += together[i] != together[0];
    assert_true(different > 0);
    static const int some[] = {0, 61, 62, 63, 64, 69};  // a network is about 1 MiB, a chunk 64
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        assert_true(rate_one(s, x + some[i] * n) == together[some[i]]);
    free(x);
    hd_search_free(s);
}

// Whole generations do not depend on threads either.
static void test_threads(void** state) {
    (void)state;
    static const char* const more[] = {"num_threads=1", "num_threads=2", "num_threads=5"};
    double mean[3][64];
    for (int i = 0; i < 3; i++) {
        char settings[200];
        snprintf(settings, sizeof settings, SMALL "env=MountainCarContinuous-v0 %s", more[i]);
        HdSearch* s = search_of(settings);
        HdGeneration g;
        steps(s, 2);
        assert_ok(hd_search_step(s, &g));
        assert_int_equal(g.generation, 3);
        assert_int_equal(g.num_networks, 16);
        assert_int_equal(g.num_steps, 16 * 2 * 60);
        assert_true(g.best >= g.mean && g.best_ever >= g.best && g.std >= 0);
        memcpy(mean[i], uf_es_mean(hd_search_es(s)), (size_t)dims_of(s) * sizeof(double));
        assert_memory_equal(mean[i], mean[0], (size_t)dims_of(s) * sizeof(double));
        hd_search_free(s);
    }
}

// ---- initial weights over generations, where a search begins ----

// Where chance is in initial weights alone, a candidate's fitness tells whether they are new.
static void test_policies(void** state) {
    (void)state;
    static const char* const policies[] = {"policies=fresh", "policies=fixed"};
    for (int fixed = 0; fixed < 2; fixed++) {
        char settings[300];
        snprintf(settings, sizeof settings, SMALL "env=Pendulum-v1 greedy=true starts=grid %s",
                 policies[fixed]);
        HdSearch* s = search_of(settings);
        float* x = normals(dims_of(s), 1);
        const double first = rate_one(s, x);
        assert_true(rate_one(s, x) == first);
        steps(s, 1);
        assert_int_equal(rate_one(s, x) == first, fixed);
        steps(s, 1);
        assert_int_equal(rate_one(s, x) == first, fixed);
        free(x);
        hd_search_free(s);
    }
    // Episodes are new ones, whatever the policies.
    HdSearch* s = search_of(SMALL "env=Pendulum-v1 policies=fixed");
    float* x = normals(dims_of(s), 1);
    const double first = rate_one(s, x);
    steps(s, 1);
    assert_true(rate_one(s, x) != first);
    free(x);
    hd_search_free(s);
}

static void test_begin_at_zero(void** state) {
    (void)state;
    HdSearch* s = search_of(SMALL "env=Pendulum-v1 sigma_init=0.5 rows=3");
    assert_int_equal(dims_of(s), 3 * 1 + 3 * 3);
    for (int64_t i = 0; i < dims_of(s); i++) {
        assert_true(uf_es_mean(hd_search_es(s))[i] == 0);
        assert_true(uf_es_sigma(hd_search_es(s))[i] == 0.5);
    }
    assert_int_equal(uf_es_generation(hd_search_es(s)), 0);
    hd_search_free(s);
    s = search_of(SMALL "env=CartPole-v1 rows=3");
    assert_int_equal(dims_of(s), 3 * 4);
    hd_search_free(s);
    s = search_of(SMALL "env=CartPole-v1 rows=1 labels=soft");
    assert_int_equal(dims_of(s), 2 + 4);
    hd_search_free(s);
}

// ---- trials against a loop of our own ----

typedef struct Loop {
    const char* env;
    int E, T;
    UfTrialRule rule;
    bool greedy, grid, running;
    const float *mean, *divisor;
} Loop;

// Number i of the noise of step t: 64 steps share a stream, in the order of time, environment, number.
static float noise_of(uint64_t key, const UfEnvSpec* spec, int E, int t, int e, int i) {
    const int numbers = spec->discrete ? 1 : spec->action_dim;
    UfRandom random = uf_random(key, UF_STREAM_EVAL_ACTION, (uint64_t)(t / 64));
    float value = 0;
    for (int k = 0; k <= ((t % 64) * E + e) * numbers + i; k++)
        value = spec->discrete ? uf_uniform(uf_random_u32(&random)) : uf_random_normal(&random);
    return value;
}

static int kind_of(const real* logits, int A, bool greedy, float u) {
    int best = 0;
    for (int i = 1; i < A; i++)
        if (logits[i] > logits[best]) best = i;
    if (greedy) return best;
    double sum = 0, below = 0;
    for (int i = 0; i < A; i++) sum += exp((double)logits[i] - (double)logits[best]);
    for (int i = 0; i < A - 1; i++) {
        below += exp((double)logits[i] - (double)logits[best]) / sum;
        if (u < below) return i;
    }
    return A - 1;
}

// Returns that count, one after another, of environments that are stepped one by one; their number.
static int play_slowly(const Loop* o, const UfCloneNet* net, const real* params, uint64_t key,
                       double* returns, int64_t* num_steps, double* moments) {
    enum { MOST = 16 };
    const UfEnvSpec* spec = uf_env_find(o->env);
    const int S = spec->obs_dim, E = o->E;
    UfEnv* envs[MOST];
    float obs[MOST][8];
    double ret[MOST] = {0}, last[MOST] = {0}, mean[8] = {0}, squares[8], count = 1e-4;
    int episode[MOST] = {0}, n = 0;
    bool over[MOST] = {false};
    real* scratch = malloc(uf_clone_scratch(net, 1) * sizeof(real));
    for (int j = 0; j < S; j++) squares[j] = 1e-4;
    *num_steps = 0;
    for (int e = 0; e < E; e++) {
        assert_ok(uf_env_create(&envs[e], o->env));
        uf_env_reset(envs[e], key, (uint64_t)e, obs[e]);
        const double start[2] = {-M_PI + (e + 0.5) / E * 2 * M_PI, 0};  // of Pendulum
        if (o->grid) uf_env_set_state(envs[e], start, obs[e]);
    }
    for (int t = 0; t < o->T; t++) {
        for (int e = 0; e < E; e++)  // Welford's update, one observation after another
            for (int j = 0; j < S && o->running && !over[e]; j++) {
                const double d = obs[e][j] - mean[j];
                if (j == 0) count++;
                mean[j] += d / count;
                squares[j] += d * (obs[e][j] - mean[j]);
            }
        for (int e = 0; e < E; e++) {
            real in[8], out[4];
            float action[4];
            double reward;
            bool terminated, truncated;
            if (over[e]) continue;
            for (int j = 0; j < S; j++)
                in[j] = o->running   ? (real)((obs[e][j] - mean[j]) / sqrt(squares[j] / count + 1e-8))
                        : o->divisor ? (obs[e][j] - o->mean[j]) / o->divisor[j]
                                     : obs[e][j];
            uf_clone_forward_host(net, params, out, in, 1, scratch);
            if (spec->discrete)
                action[0] = (float)kind_of(out, spec->action_dim, o->greedy,
                                           o->greedy ? 0 : noise_of(key, spec, E, t, e, 0));
            for (int i = 0; i < spec->action_dim && !spec->discrete; i++) {
                const float z = o->greedy ? 0 : noise_of(key, spec, E, t, e, i);
                const float a = out[i] + expf(params[net->mlp.log_std + (size_t)i]) * z;
                action[i] = a;
            }
            if (!spec->discrete) uf_env_scale_action(spec, action, action);
            uf_env_step(envs[e], action, obs[e], &reward, &terminated, &truncated);
            ret[e] += reward;
            ++*num_steps;
            if (!terminated && !truncated) continue;
            if (o->rule == UF_TRIAL_ENDED) returns[n++] = ret[e];
            last[e] = ret[e];
            over[e] = o->rule == UF_TRIAL_FIRST;
            if (over[e]) continue;
            if (o->rule != UF_TRIAL_RUNNING) ret[e] = 0;
            uf_env_reset(envs[e], key, (uint64_t)(++episode[e] * E + e), obs[e]);
        }
    }
    for (int e = 0; e < E && o->rule != UF_TRIAL_ENDED; e++)
        returns[n++] = o->rule == UF_TRIAL_LAST ? last[e] : ret[e];
    for (int j = 0; j < S && moments; j++) {
        moments[j] = mean[j];
        moments[S + j] = squares[j] / count;
    }
    for (int e = 0; e < E; e++) uf_env_free(envs[e]);
    free(scratch);
    return n;
}

// A network whose one hidden layer of one unit is a weighted sum of observations; `gain` of it is the action, or the
// difference of two kinds' logits.
static UfCloneNet hand_net(int obs_dim, int action_dim, bool discrete) {
    return uf_clone_net(NULL, obs_dim, 8, 1, action_dim, UF_TANH, false, !discrete);
}
static real* hand_set(const UfCloneNet* net, const real* weights, int count, real gain) {
    real* p = calloc(net->size, sizeof *p);
    assert_non_null(p);
    for (int i = 0; i < count; i++) p[net->mlp.kernel[0] + (size_t)(i * 8)] = weights[i];
    for (int k = 0; k < net->mlp.out; k++)
        p[net->mlp.kernel[1] + (size_t)k] = k == net->mlp.out - 1 ? gain : -gain;
    return p;
}

static const real balance[] = {0, 0.1f, 1, 0.5f}, swing[] = {0, 20}, spin[] = {0.2f, 1, 0.3f};

static void play_both(const Loop* o, const UfCloneNet* net, const real* params, int* num_returns,
                      double* sum) {
    enum { KEYS = 3, MOST = 16 };
    static const uint64_t keys[KEYS] = {11, 7777777777777, 3};
    UfTrial trial[KEYS * MOST];
    UfTrials* trials;
    UfPool* pool;
    double moments[KEYS * 16], expected_moments[16];
    const UfEnvSpec* spec = uf_env_find(o->env);
    const UfTrialOptions options = {.spec = spec,
                                    .net = net,
                                    .num_envs = o->E,
                                    .num_steps = o->T,
                                    .num_keys = KEYS,
                                    .rule = o->rule,
                                    .greedy = o->greedy,
                                    .grid = o->grid,
                                    .running = o->running,
                                    .mean = o->mean,
                                    .divisor = o->divisor};
    real* all = malloc(KEYS * net->size * sizeof *all);
    for (int k = 0; k < KEYS; k++) memcpy(all + (size_t)k * net->size, params, net->size * sizeof *all);
    assert_ok(uf_pool_create(&pool, 2));
    assert_ok(uf_trials_create(&trials, &options, pool));
    uf_trials_set_keys(trials, keys);
    uf_trials_play(trials, all, KEYS, trial, moments);
    *num_returns = 0;
    *sum = 0;
    for (int k = 0; k < KEYS; k++) {
        double returns[1000], expected = 0, got = 0;
        int64_t steps_expected, steps_got = 0, counted = 0;
        const int n = play_slowly(o, net, params, keys[k], returns, &steps_expected, expected_moments);
        for (int i = 0; i < n; i++) expected += returns[i];
        for (int e = 0; e < o->E; e++) {
            got += trial[k * o->E + e].sum;
            counted += trial[k * o->E + e].count;
            steps_got += trial[k * o->E + e].steps;
        }
        assert_int_equal(counted, n);
        assert_int_equal(steps_got, steps_expected);
        // the same rewards, added in another order
        if (fabs(got - expected) > 1e-9 * (1 + fabs(expected)))
            fail_msg("%s rule %d key %d: %.12g, expected %.12g", o->env, o->rule, k, got, expected);
        for (int j = 0; j < 2 * spec->obs_dim && o->running; j++)  // one pass against merges, in double
            if (fabs(moments[k * 2 * spec->obs_dim + j] - expected_moments[j]) >
                1e-9 * (1 + fabs(expected_moments[j])))
                fail_msg("%s: moment %d is %.12g, expected %.12g", o->env, j,
                         moments[k * 2 * spec->obs_dim + j], expected_moments[j]);
        *num_returns += n;
        *sum += got;
    }
    uf_trials_free(trials);
    uf_pool_free(pool);
    free(all);
}

static void test_trials(void** state) {
    (void)state;
    static const float mean[] = {0.1f, -0.2f, 0, 0.3f}, divisor[] = {1, 2, 0.1f, 0.5f};
    int n;
    double sum;
    const UfCloneNet cart = hand_net(4, 2, true), car = hand_net(2, 1, false), pole = hand_net(3, 1, false);
    real *good = hand_set(&cart, balance, 4, 30), *poor = hand_set(&cart, balance, 4, 1),
         *climb = hand_set(&car, swing, 2, 2), *turn = hand_set(&pole, spin, 3, 1);
    good[cart.mlp.bias[0]] = 0;
    for (int greedy = 0; greedy < 2; greedy++)
        for (UfTrialRule rule = UF_TRIAL_FIRST; rule <= UF_TRIAL_RUNNING; rule++) {
            Loop o = {.env = "CartPole-v1", .E = 3, .T = 150, .rule = rule, .greedy = greedy};
            play_both(&o, &cart, good, &n, &sum);
            if (greedy && rule == UF_TRIAL_FIRST) assert_true(sum == 9 * 150);  // cut off at the end
            if (greedy && rule == UF_TRIAL_ENDED) assert_int_equal(n, 0);
            if (greedy && rule == UF_TRIAL_LAST) assert_true(n == 9 && sum == 0);
            play_both(&o, &cart, poor, &n, &sum);
            if (rule == UF_TRIAL_ENDED && !greedy) assert_true(n > 9);
            if (rule == UF_TRIAL_RUNNING) assert_true(n == 9 && sum == 9 * 150);
            o.mean = mean;
            o.divisor = divisor;
            play_both(&o, &cart, poor, &n, &sum);
            o = (Loop){
                .env = "CartPole-v1", .E = 4, .T = 70, .rule = rule, .greedy = greedy, .running = true};
            play_both(&o, &cart, poor, &n, &sum);
            o = (Loop){.env = "MountainCarContinuous-v0", .E = 2, .T = 330, .rule = rule, .greedy = greedy};
            play_both(&o, &car, climb, &n, &sum);
            if (rule == UF_TRIAL_ENDED) assert_true(n > 6 && sum > 50 * n);
            o = (Loop){
                .env = "Pendulum-v1", .E = 5, .T = 230, .rule = rule, .greedy = greedy, .grid = rule == 0};
            play_both(&o, &pole, turn, &n, &sum);
        }
    free(good);
    free(poor);
    free(climb);
    free(turn);
}

// A policy of several tasks: this one's observations begin behind two others, which are 0.
static void test_padded_inputs(void** state) {
    (void)state;
    const UfCloneNet own = hand_net(4, 2, true), wide = hand_net(8, 3, true);
    real weights[8] = {9, -9, 0, 0.1f, 1, 0.5f, 7, 7}, *narrow = hand_set(&own, balance, 4, 1);
    real* padded = hand_set(&wide, weights, 8, 1);
    padded[wide.mlp.kernel[1] + 1] = 1;  // kinds 0 and 1 as in the narrow one; 2 is another task's
    padded[wide.mlp.kernel[1] + 2] = 50;
    UfTrial trial[2][4];
    for (int pad = 0; pad < 2; pad++) {
        UfTrials* trials;
        UfPool* pool;
        const UfTrialOptions options = {.spec = uf_env_find("cartpole"),
                                        .net = pad ? &wide : &own,
                                        .first_obs = pad ? 2 : 0,
                                        .num_envs = 4,
                                        .num_steps = 200,
                                        .num_keys = 1};
        assert_ok(uf_pool_create(&pool, 1));
        assert_ok(uf_trials_create(&trials, &options, pool));
        uf_trials_set_keys(trials, &(uint64_t){4});
        uf_trials_play(trials, pad ? padded : narrow, 1, trial[pad], NULL);
        uf_trials_free(trials);
        uf_pool_free(pool);
    }
    assert_memory_equal(trial[0], trial[1], sizeof trial[0]);
    // no room for its observations, or for its actions
    UfTrials* trials;
    UfPool* pool;
    assert_ok(uf_pool_create(&pool, 1));
    UfTrialOptions options = {
        .spec = uf_env_find("cartpole"), .net = &own, .first_obs = 1, .num_envs = 1, .num_keys = 1};
    assert_int_equal(uf_trials_create(&trials, &options, pool), UF_ERR_CONFIG);
    assert_error("CartPole-v1 has 4 and 2; is it another task?");
    assert_null(trials);
    uf_pool_free(pool);
    free(narrow);
    free(padded);
}

// ---- fitness ----

// Seeds as hades.c derives them: they are part of what a search ends with.
enum { INIT, PLAY, RATE_PLAY = 4 };
static uint64_t seed_of(int64_t seed, int purpose, int64_t generation, int index) {
    const UfPhilox w = uf_philox((uint64_t)seed, UF_STREAM_HADES, (uint64_t)generation,
                                 (uint64_t)purpose << 32 | (uint64_t)index);
    return (uint64_t)w.v[0] << 32 | w.v[1];
}

// A candidate of weights is a network of which the test knows all: mean over the returns of all policies' environments.
static void test_fitness_rules(void** state) {
    (void)state;
    static const char* const rules[] = {"first", "ended", "last", "running"};
    const UfCloneNet net = hand_net(2, 1, false);
    real* params = hand_set(&net, swing, 2, 2);
    float x[2 * 8 + 8 + 8 + 1 + 1] = {0};  // kernels, biases and log_std, one after another
    for (int i = 0; i < 2; i++) x[i * 8] = swing[i];
    x[2 * 8 + 8] = 2;
    x[2 * 8 + 8 + 8 + 1] = params[net.mlp.log_std] = -1;
    for (int rule = 0; rule < 4; rule++) {
        char settings[300];
        snprintf(settings, sizeof settings,
                 "env=MountainCarContinuous-v0 search=weights num_layers=1 layer_width=8 popsize=4 "
                 "rollouts=3 num_envs=2 "
                 "rollout_steps=250 obs_norm=none seed=9 fitness=%s",
                 rules[rule]);
        HdSearch* s = search_of(settings);
        assert_int_equal(dims_of(s), sizeof x / sizeof x[0]);
        const int generation = rule != UF_TRIAL_ENDED;  // of random weights no episode may end
        steps(s, generation);
        const Loop o = {.env = "MountainCarContinuous-v0", .E = 2, .T = 250, .rule = (UfTrialRule)rule};
        double sum = 0, returns[1000];
        int count = 0;
        for (int r = 0; r < 3; r++) {
            int64_t played;
            const int n =
                play_slowly(&o, &net, params, seed_of(9, PLAY, generation, r), returns, &played, NULL);
            for (int i = 0; i < n; i++) sum += returns[i];
            count += n;
        }
        const double fitness = rate_one(s, x);
        assert_true(count >= 6 && fabs(fitness - sum / count) <= 1e-9 * fabs(fitness));
        hd_search_free(s);
    }
    free(params);
}

static void test_nothing_ends(void** state) {
    (void)state;
    const float x[6] = {0};
    HdSearch* s = search_of(SMALL "env=MountainCar-v0 rows=3 fitness=ended");
    assert_true(isnan(rate_one(s, x)));
    assert_int_equal(hd_search_step(s, NULL), UF_ERR_NONFINITE);
    assert_int_equal(uf_es_generation(hd_search_es(s)), 0);
    hd_search_free(s);
    s = search_of(SMALL "env=MountainCar-v0 rows=3 fitness=last");
    assert_true(rate_one(s, x) == 0);
    hd_search_free(s);
    s = search_of(SMALL "env=MountainCar-v0 rows=3 fitness=running");
    assert_true(rate_one(s, x) == -60);
    hd_search_free(s);
    s = search_of(SMALL
                  "env=MountainCar-v0 rows=3 fitness=ended rollout_steps=400");  // two whole ones of 200
    assert_true(rate_one(s, x) == -200);
    hd_search_free(s);
}

// Freeway's episodes are 2500 steps long: what counts those that ended would see none.
static void test_freeway(void** state) {
    (void)state;
    static const char* const counts[] = {"ended", "last"};
    for (int i = 0; i < 2; i++) {
        char settings[300];
        HdSearch* s;
        snprintf(settings, sizeof settings,
                 "env=Freeway-MinAtar rows=3 obs_norm=none rollout_steps=1024 fitness=%s", counts[i]);
        HdConfig* c = config_of(settings);
        assert_int_equal(hd_search_create(&s, c), UF_ERR_CONFIG);
        assert_error(counts[i]);
        assert_error("Freeway-MinAtar none ends before step 2500 (rollout_steps is 1024)");
        assert_ok(hd_config_set(c, "rollout_steps", "2500"));
        assert_ok(hd_config_check(c));
        hd_config_free(c);
    }
    HdSearch* s = search_of(
        "env=Freeway-MinAtar rows=3 obs_norm=none fitness=running rollout_steps=300 layer_width=8 "
        "num_steps=30 lr=0.1 "
        "popsize=4 greedy=true");
    float* x = calloc((size_t)dims_of(s), sizeof *x);
    for (int d = 0; d < 3; d++)  // go up wherever the chicken is; the other kinds where nothing is
        for (int i = 0; i < 700; i++) x[d * 700 + i] = d == 1 && i % 7 == 0 ? 1 : d == 1 ? 0 : -1;
    const double fitness = rate_one(s, x);
    assert_true(fitness >= 1);
    free(x);
    hd_search_free(s);
}

// ---- initial weights ----

static void check_orthogonal(const real* w, int in, int out, double gain) {
    const bool tall = in >= out;
    const int n = tall ? out : in, m = tall ? in : out;
    for (int a = 0; a < n; a++)
        for (int b = 0; b <= a; b++) {
            double dot = 0;
            for (int i = 0; i < m; i++)
                dot +=
                    (double)w[tall ? i * out + a : a * out + i] * (double)w[tall ? i * out + b : b * out + i];
            if (fabs(dot - (a == b) * gain * gain) > 1e-5 * gain * gain)  // float32 sums of a few dozen terms
                fail_msg("columns %d and %d: %g, expected %g", a, b, dot, (a == b) * gain * gain);
        }
}

static void test_initial_weights(void** state) {
    (void)state;
    const UfConv conv = {6, 5, 2, 4};
    const UfCloneNet net = uf_clone_net(&conv, 60, 24, 2, 3, UF_TANH, false, true);
    const int in[] = {120, 24, 24}, out[] = {24, 24, 3};
    real *w = calloc(net.size, sizeof *w), *again = calloc(net.size, sizeof *again);
    HdConfig* c = config_of("hidden_init=orthogonal");
    assert_ok(hd_fill_init(w, &net, c, 5));
    for (int l = 0; l < 3; l++) {
        check_orthogonal(w + net.mlp.kernel[l], in[l], out[l], l < 2 ? sqrt(2) : 0.01);
        for (int j = 0; j < out[l]; j++) assert_true(w[net.mlp.bias[l] + (size_t)j] == 0);
    }
    check_orthogonal(w + net.conv_kernel, 18, 4, sqrt(2));
    for (int j = 0; j < 4; j++) assert_true(w[net.conv_bias + (size_t)j] == 0);
    for (int j = 0; j < 3; j++) assert_true(w[net.mlp.log_std + (size_t)j] == 0);
    assert_ok(hd_fill_init(again, &net, c, 5));
    assert_memory_equal(w, again, net.size * sizeof *w);
    memset(again, 0, net.size * sizeof *w);
    assert_ok(hd_fill_init(again, &net, c, 6));
    assert_memory_not_equal(w, again, net.size * sizeof *w);
    // LeCun's: kernels of variance 1 / in, biases in [0, 0.05), the last layer's 0
    assert_ok(hd_config_set(c, "hidden_init", "lecun"));
    memset(w, 0, net.size * sizeof *w);
    assert_ok(hd_fill_init(w, &net, c, 5));
    double low = 1, high = -1, squares = 0;
    for (int i = 0; i < 120 * 24; i++)
        squares += w[net.mlp.kernel[0] + (size_t)i] * w[net.mlp.kernel[0] + (size_t)i];
    assert_true(fabs(squares / 24 - 1) < 0.12);  // 2880 squares: 4 deviations
    for (int l = 0; l < 2; l++)
        for (int j = 0; j < 24; j++) {
            const double b = w[net.mlp.bias[l] + (size_t)j];
            low = fmin(low, b);
            high = fmax(high, b);
        }
    for (int j = 0; j < 4; j++)
        assert_true(w[net.conv_bias + (size_t)j] > 0 && w[net.conv_bias + (size_t)j] < 0.05);
    assert_true(low >= 0 && low < 0.01 && high < 0.05 && high > 0.04);
    for (int j = 0; j < 3; j++) {
        assert_true(w[net.mlp.bias[2] + (size_t)j] == 0);
        assert_true(w[net.mlp.log_std + (size_t)j] == 0);
    }
    free(w);
    free(again);
    hd_config_free(c);
}

// ---- checkpoints ----

static void assert_same_search(HdSearch* a, HdSearch* b) {
    const UfEs *p = hd_search_es(a), *q = hd_search_es(b);
    const size_t bytes = (size_t)dims_of(a) * sizeof(double);
    double best_p, best_q;
    assert_int_equal(dims_of(a), dims_of(b));
    assert_int_equal(uf_es_generation(p), uf_es_generation(q));
    assert_memory_equal(uf_es_mean(p), uf_es_mean(q), bytes);
    assert_memory_equal(uf_es_sigma(p), uf_es_sigma(q), bytes);
    const float *x = uf_es_best(p, &best_p), *y = uf_es_best(q, &best_q);
    assert_true(best_p == best_q);
    assert_memory_equal(x, y, (size_t)dims_of(a) * sizeof *x);
}

static void test_checkpoints(void** state) {
    (void)state;
    static const char* const kinds[] = {
        SMALL "env=CartPole-v1",
        SMALL "env=Pendulum-v1 strategy=openes policies=fixed obs_norm=running es_lr_decay=0.9",
        SMALL "env=MountainCarContinuous-v0 search=weights obs_norm=constant"};
    const char* path = in_folder("search.h5");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        HdSearch *straight = search_of(kinds[i]), *broken = search_of(kinds[i]), *loaded;
        HdGeneration a, b;
        steps(straight, 4);
        steps(broken, 2);
        assert_ok(hd_search_save(broken, path));
        hd_search_free(broken);
        assert_ok(hd_search_load(&loaded, path));
        assert_int_equal(uf_es_generation(hd_search_es(loaded)), 2);
        steps(loaded, 2);
        assert_same_search(straight, loaded);
        assert_ok(hd_search_step(straight, &a));
        assert_ok(hd_search_step(loaded, &b));
        assert_true(a.mean == b.mean && a.best == b.best && a.std == b.std && a.best_ever == b.best_ever);
        // What a dataset says of the search is no part of it.
        if (i == 1) {
            UfDistilled* data;
            assert_ok(hd_search_dataset(straight, &data));
            assert_true(data->divisor[2] != 1);
            uf_distilled_free(data);
            assert_ok(hd_search_save(straight, path));
            assert_ok(hd_search_save(loaded, in_folder("other.h5")));
            for (int k = 0; k < 2; k++) {
                UfH5 h5;
                float divisor[3];
                assert_ok(uf_h5_open(&h5, in_folder(k ? "search.h5" : "other.h5")));
                assert_ok(uf_h5_read(&h5, "norm/divisor", UF_H5_FLOAT, divisor, 3));
                for (int j = 0; j < 3; j++) assert_true(divisor[j] == 1);
                uf_h5_close(&h5);
            }
        }
        hd_search_free(straight);
        hd_search_free(loaded);
    }
}

// How it is run is for the one who goes on to say; the rest is the file's.
static void test_run_fields(void** state) {
    (void)state;
    const char* path = in_folder("run_fields.h5");
    HdSearch *s = search_of(SMALL "env=CartPole-v1 seed=3"), *again;
    HdConfig* run = config_of(
        "env=Pendulum-v1 seed=9 generations=7 eval_inits=3 eval_episodes=4 log_interval=5 "
        "checkpoint_interval=6 "
        "num_threads=1");
    steps(s, 1);
    assert_ok(hd_search_save(s, path));
    assert_ok(hd_search_reopen(&again, path, run, NULL));
    const HdConfig* c = hd_search_config(again);
    assert_string_equal(c->env, "CartPole-v1");
    assert_int_equal(c->seed, 3);
    assert_int_equal(c->generations, 7);
    assert_int_equal(c->eval_inits, 3);
    assert_int_equal(c->eval_episodes, 4);
    assert_int_equal(c->log_interval, 5);
    assert_int_equal(c->checkpoint_interval, 6);
    assert_int_equal(c->num_threads, 1);
    steps(s, 1);
    steps(again, 1);
    assert_same_search(s, again);
    hd_config_free(run);
    hd_search_free(s);
    hd_search_free(again);
}

static void refused(const char* path, UfStatus status, const char* words) {
    HdSearch* s = (HdSearch*)1;
    const UfStatus got = hd_search_load(&s, path);
    if (got != status) fail_msg("%s: status %d, expected %d (%s)", path, got, status, words);
    assert_null(s);
    assert_error(words);
    assert_error(path);
}

static void test_bad_checkpoints(void** state) {
    (void)state;
    const char* path = in_folder("good.h5");
    HdSearch* s = search_of(SMALL "env=CartPole-v1");
    steps(s, 1);
    assert_ok(hd_search_save(s, path));
    hd_search_free(s);
    refused(in_folder("none.h5"), UF_ERR_IO, "none.h5");
    char* bytes;
    size_t count;
    const char* cut = in_folder("cut.h5");
    assert_ok(uf_read_file(path, &bytes, &count));
    assert_ok(uf_write_file(cut, bytes, count / 2));
    uf_free(bytes);
    assert_true(hd_search_load(&s, cut) != UF_OK);
    assert_error("cut.h5");
    UfH5 h5;
    const char* other = in_folder("other_kind.h5");
    assert_ok(uf_h5_create(&h5, other));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "unifloral-ppo"));
    assert_ok(uf_h5_close(&h5));
    refused(other, UF_ERR_FORMAT, "is no checkpoint of a distillation");
    assert_ok(uf_h5_create(&h5, other));
    assert_ok(uf_h5_close(&h5));
    refused(other, UF_ERR_FORMAT, "is no checkpoint of a distillation");
    const char* copy = copy_in_folder(path, "rows.h5");
    set_config(copy, "/", "\"rows\": 2", "\"rows\": 3");
    refused(copy, UF_ERR_FORMAT, "es/mean");
    copy = copy_in_folder(path, "env.h5");
    set_config(copy, "/", "\"CartPole-v1\"", "\"Pendulum-v1\"");
    refused(copy, UF_ERR_FORMAT, "dataset 'norm/mean' has 4 numbers; observations have 3");
    copy = copy_in_folder(path, "config.h5");
    set_config(copy, "/", "\"rows\": 2", "\"rowz\": 2");
    refused(copy, UF_ERR_CONFIG, "'rowz' is not a hyperparameter");
    copy = copy_in_folder(path, "divisor.h5");
    alter_file(copy, "norm/divisor", 2, -0.1f);
    refused(copy, UF_ERR_FORMAT,
            "number 2 of 'norm' is less 0 over 0; expected a finite one over one above 0");
    copy = copy_in_folder(path, "without.h5");
    hid_t file = H5Fopen(copy, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, "norm/divisor", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    refused(copy, UF_ERR_FORMAT, "norm/divisor");
}

// ---- ranks: two of them, each a thread ----

typedef struct Rank {
    UfRanks ranks;
    HdConfig* config;
    HdSearch* search;
    UfStatus (*sync)(UfBackend*);  // in place of the backend's own
    volatile sig_atomic_t stop;
    bool stopped;
    HdGeneration generation;
    int count;
    UfStatus status;
    char sentence[600];
} Rank;

static void* be_rank(void* user) {
    Rank* r = user;
    r->status = UF_OK;
    if (!r->search) r->status = hd_search_open(&r->search, r->config, &r->ranks);
    UfBackend* be = r->search ? hd_search_backend(r->search) : NULL;
    UfStatus (*own)(UfBackend*) = be ? be->sync : NULL;
    if (be && r->sync) be->sync = r->sync;
    for (int i = 0; i < r->count && r->status == UF_OK && !r->stopped; i++)
        r->status = hd_search_step_until(r->search, &r->generation, &r->stop, &r->stopped);
    if (be) be->sync = own;
    snprintf(r->sentence, sizeof r->sentence, "%s", r->status == UF_OK ? "" : uf_error());
    return NULL;
}

static void run_ranks(Rank ranks[2], int count) {
    ranks[0].count = ranks[1].count = count;
    run_both(be_rank, &ranks[0], &ranks[1]);
}

static void make_ranks(Rank ranks[2], Shared* shared, const char* settings) {
    open_shared(shared);
    for (int i = 0; i < 2; i++) {
        ranks[i] = (Rank){.ranks = {i, 2, shared, sum_shared}, .config = config_of(settings)};
        assert_ok(hd_config_set(ranks[i].config, "num_threads", "1"));
    }
}

static void free_ranks(Rank ranks[2], Shared* shared) {
    for (int i = 0; i < 2; i++) {
        hd_search_free(ranks[i].search);
        hd_config_free(ranks[i].config);
    }
    close_shared(shared);
}

static UfStatus fail_sync(UfBackend* be) {
    (void)be;
    return UF_FAIL(UF_ERR_DEVICE, "the cable is out");
}

#define GLYPHS                                                                                         \
    "images=glyphs train_images=100 test_images=100 image_classes=10 image_side=8 rows=10 popsize=16 " \
    "strategy=openes sigma_init=0.05 es_lr=0.02 mean_init=class_mean activation=relu num_layers=1 "    \
    "layer_width=16 hidden_init=lecun optimizer=sgd lr=0.3 max_grad_norm=0 num_steps=30 "

static void test_ranks(void** state) {
    (void)state;
    static const char* const kinds[] = {SMALL "env=CartPole-v1 popsize=7", GLYPHS "popsize=6"};
    for (int k = 0; k < 2; k++) {
        Shared shared;
        Rank ranks[2];
        HdSearch* alone = search_of(kinds[k]);
        HdGeneration g = {0};
        for (int i = 0; i < 2; i++) assert_ok(hd_search_step(alone, &g));
        make_ranks(ranks, &shared, kinds[k]);
        run_ranks(ranks, 2);
        for (int i = 0; i < 2; i++) {
            assert_string_equal(ranks[i].sentence, "");
            assert_false(ranks[i].stopped);
            assert_same_search(ranks[i].search, alone);
            assert_true(ranks[i].generation.mean == g.mean && ranks[i].generation.best == g.best);
        }
        // each has done its share of the work
        assert_int_equal(ranks[0].generation.num_networks + ranks[1].generation.num_networks, g.num_networks);
        assert_true(ranks[0].generation.num_networks >= 3 * 2 && ranks[1].generation.num_networks >= 3 * 2);
        // one that is asked to stop stops both, and the generation is done anew
        ranks[1].stop = 1;
        run_ranks(ranks, 3);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(ranks[i].status, UF_OK);
            assert_true(ranks[i].stopped);
            assert_same_search(ranks[i].search, alone);
            ranks[i].stop = 0;
            ranks[i].stopped = false;
        }
        // one that fails says why, the other that it did
        if (k == 1) {
            ranks[1].sync = fail_sync;
            run_ranks(ranks, 3);
            assert_int_equal(ranks[0].status, UF_ERR_DEVICE);
            assert_int_equal(ranks[1].status, UF_ERR_DEVICE);
            assert_string_equal(ranks[1].sentence, "the cable is out");
            assert_string_equal(ranks[0].sentence,
                                "1 of 2 processes failed in generation 3; their own messages say why");
            ranks[1].sync = NULL;
            for (int i = 0; i < 2; i++) assert_same_search(ranks[i].search, alone);
        }
        steps(alone, 1);
        run_ranks(ranks, 1);
        for (int i = 0; i < 2; i++) assert_same_search(ranks[i].search, alone);
        free_ranks(ranks, &shared);
        hd_search_free(alone);
    }
}

// ---- fitness that is not a number ----

static void test_nonfinite(void** state) {
    (void)state;
    // Products of six layers' weights of this size are about the largest float: some candidates overflow.
    HdSearch* s =
        search_of(SMALL
                  "env=CartPole-v1 search=weights activation=relu num_layers=5 layer_width=16 popsize=40 "
                  "sigma_init=1e6 rollout_steps=5");
    const int64_t n = dims_of(s);
    float* x = malloc((size_t)(40 * n) * sizeof *x);
    double fitness[40], mean = 0, best = -1;
    HdGeneration g;
    uf_es_ask(hd_search_es(s), x);
    assert_ok(hd_search_rate(s, x, 40, fitness));
    int bad = 0;
    for (int i = 0; i < 40; i++) bad += isnan(fitness[i]);
    for (int i = 0; i < 40; i++)
        if (!isnan(fitness[i])) {
            mean += fitness[i] / (40 - bad);
            best = fmax(best, fitness[i]);
        }
    assert_true(bad > 3 && bad < 37);
    assert_ok(hd_search_step(s, &g));
    assert_int_equal(g.num_nonfinite, bad);
    assert_true(fabs(g.mean - mean) < 1e-12 * mean && g.best == best && isfinite(g.std) &&
                g.best_ever == best);
    for (int64_t i = 0; i < n; i++) assert_true(isfinite(uf_es_mean(hd_search_es(s))[i]));
    hd_search_free(s);
    free(x);
    s = search_of(
        SMALL "env=CartPole-v1 search=weights activation=relu num_layers=9 layer_width=32 sigma_init=1e6");
    assert_int_equal(hd_search_step(s, &g), UF_ERR_NONFINITE);
    assert_int_equal(uf_es_generation(hd_search_es(s)), 0);
    for (int64_t i = 0; i < dims_of(s); i++) assert_true(uf_es_mean(hd_search_es(s))[i] == 0);
    hd_search_free(s);
}

// ---- the dataset, and policies from it ----

static void test_dataset(void** state) {
    (void)state;
    const char* path = in_folder("distilled.hdf5");
    HdSearch* s = search_of(SMALL "env=MountainCarContinuous-v0 rows=3");
    UfDistilled *data, *read;
    double mean[9];
    steps(s, 1);
    for (int i = 0; i < 9; i++) mean[i] = 0.3 * i - 1;
    uf_es_set_mean(es_of(s), mean);
    assert_ok(hd_search_dataset(s, &data));
    float x[9];
    for (int i = 0; i < 9; i++) x[i] = (float)mean[i];
    assert_memory_equal(data->labels, x, 3 * sizeof *x);  // labels first, then states
    assert_memory_equal(data->states, x + 3, 6 * sizeof *x);
    assert_true(data->divisor[0] == 0.5f && data->divisor[1] == 0.03f && data->mean[0] == 0);
    assert_true(data->fitness == rate_one(s, x));
    assert_int_equal(data->generation, 1);
    assert_false(data->discrete);
    assert_non_null(strstr(data->recipe, "HaDES-R): SNES, 8 candidates, 1 generations"));
    assert_ok(hd_search_write(s, path));
    assert_ok(uf_distilled_read(&read, path));
    assert_memory_equal(read->labels, data->labels, 3 * sizeof(float));
    assert_memory_equal(read->states, data->states, 6 * sizeof(float));
    assert_memory_equal(read->divisor, data->divisor, 2 * sizeof(float));
    assert_string_equal(read->env_id, "MountainCarContinuous-v0");
    assert_string_equal(read->config, data->config);
    assert_true(read->fitness == data->fitness);
    uf_distilled_free(read);
    uf_distilled_free(data);
    hd_search_free(s);
    s = search_of(SMALL "env=CartPole-v1 search=weights");
    assert_int_equal(hd_search_write(s, path), UF_ERR_UNSUPPORTED);
    assert_error("search=weights evolves a policy itself");
    hd_search_free(s);
}

static void test_labels(void** state) {
    (void)state;
    UfDistilled* data;
    HdSearch* s = search_of(SMALL "env=Acrobot-v1 rows=7 rollout_steps=5");
    assert_ok(hd_search_dataset(s, &data));
    for (int d = 0; d < 7; d++)
        for (int k = 0; k < 3; k++) assert_true(data->labels[d * 3 + k] == (k == d % 3));
    assert_true(data->discrete);
    uf_distilled_free(data);
    hd_search_free(s);
    s = search_of(SMALL "env=Acrobot-v1 rows=2 labels=soft rollout_steps=5");
    const int64_t n = dims_of(s);
    assert_int_equal(n, 2 * 3 + 2 * 6);
    double mean[18] = {1, 2, 4, -80, 0, 90};
    uf_es_set_mean(es_of(s), mean);
    assert_ok(hd_search_dataset(s, &data));
    for (int d = 0; d < 2; d++) {
        double sum = 0;
        for (int k = 0; k < 3; k++) sum += data->labels[d * 3 + k];
        assert_true(fabs(sum - 1) < 1e-6);
    }
    const double e = exp(1) + exp(2) + exp(4);
    assert_true(fabs(data->labels[0] - exp(1) / e) < 1e-6 && fabs(data->labels[2] - exp(4) / e) < 1e-6);
    uf_distilled_free(data);
    hd_search_free(s);
}

// Returns in Pendulum of a policy that is cloned from two rows with the op alone, by c's network and steps.
static void clone_and_play(const HdConfig* c, uint64_t init_seed, const float* states, const float* labels,
                           uint64_t play_seed, int E, int T, double* returns) {
    const UfCloneNet net = uf_clone_net(NULL, 3, 8, 2, 1, UF_TANH, false, true);
    real *init = calloc(net.size, sizeof *init), *params = calloc(net.size, sizeof *params);
    assert_true(init && params);
    assert_ok(hd_fill_init(init, &net, c, init_seed));
    const UfClone clone = {.net = &net,
                           .sets = 1,
                           .inits = 1,
                           .rows = 2,
                           .states = states,
                           .labels = labels,
                           .init = init,
                           .params = params,
                           .num_steps = 5,
                           .lr = 0.01,
                           .eps = 1e-5,
                           .clip = 0.5};
    UfBackend* be;
    assert_ok(uf_backend_open(&be, "cpu", "fp32", 1));
    assert_ok(be->plan_clone(be, &net, 1, 2));
    be->clone(be, &clone);
    uf_backend_close(be);
    const float mean[3] = {0}, divisor[3] = {1, 1, 4};
    const Loop loop = {
        .env = "Pendulum-v1", .E = E, .T = T, .greedy = true, .mean = mean, .divisor = divisor};
    int64_t played;
    play_slowly(&loop, &net, params, play_seed, returns, &played, NULL);
    free(init);
    free(params);
}

// A candidate's numbers are labels, then states; a device clones by other roundings, which 60 steps let grow.
static void test_fitness_by_hand(void** state) {
    (void)state;
    HdSearch* s = search_of(SMALL "env=Pendulum-v1 greedy=true seed=3");
    float* x = normals(8, 1);
    double returns[2], expected = 0;
    steps(s, 1);
    for (int r = 0; r < 2; r++) {
        clone_and_play(hd_search_config(s), seed_of(3, INIT, 1, r), x + 2, x, seed_of(3, PLAY, 1, r), 2, 60,
                       returns);
        expected += (returns[0] + returns[1]) / 4;
    }
    const double fitness = rate_one(s, x), tolerance = on_device() ? 1e-4 : 1e-9;
    if (fabs(fitness - expected) > tolerance * fabs(expected))
        fail_msg("%.12g, expected %.12g", fitness, expected);
    free(x);
    hd_search_free(s);
}

// policies=fixed: own initial weights are the search's.
static void test_own_inits(void** state) {
    (void)state;
    HdSearch* s = search_of(SMALL "env=Pendulum-v1 policies=fixed greedy=true rollouts=3 seed=4");
    UfDistilled* data;
    HdRating own, fresh;
    steps(s, 1);
    assert_ok(hd_search_dataset(s, &data));
    HdRateOptions o = {
        .config = hd_search_config(s), .num_inits = 3, .num_episodes = 4, .seed = 1, .own_inits = true};
    assert_ok(hd_rate(&own, data, &o));
    o.own_inits = false;
    assert_ok(hd_rate(&fresh, data, &o));
    for (int i = 0; i < 3; i++) assert_true(own.numbers[4 * i] != fresh.numbers[4 * i]);
    hd_rating_free(&own);
    o.own_inits = true;  // they are the search's: another search's seed has others
    HdConfig* c = config_of(SMALL "env=Pendulum-v1 policies=fixed greedy=true seed=5");
    o.config = c;
    HdRating other;
    assert_ok(hd_rate(&other, data, &o));
    o.config = hd_search_config(s);
    assert_ok(hd_rate(&own, data, &o));
    for (int i = 0; i < 3; i++) assert_true(own.numbers[4 * i] != other.numbers[4 * i]);
    // The first of them, cloned here and played in the same episodes.
    double returns[4];
    clone_and_play(o.config, seed_of(4, INIT, 0, 0), data->states, data->labels, seed_of(1, RATE_PLAY, 0, 0),
                   4, 200, returns);
    for (int e = 0; e < 4 && !on_device(); e++)
        if (fabs(returns[e] - own.numbers[e]) > 1e-9 * fabs(returns[e]))
            fail_msg("episode %d: %.12g, expected %.12g", e, own.numbers[e], returns[e]);
    hd_config_free(c);
    hd_rating_free(&own);
    hd_rating_free(&other);
    hd_rating_free(&fresh);
    uf_distilled_free(data);
    hd_search_free(s);
}

static void test_rate(void** state) {
    (void)state;
    HdSearch* s = search_of(SMALL "env=CartPole-v1");
    UfDistilled* data;
    HdRating three, five, seven;
    steps(s, 1);
    assert_ok(hd_search_dataset(s, &data));
    HdRateOptions o = {.config = hd_search_config(s), .num_inits = 3, .num_episodes = 4};
    assert_ok(hd_rate(&three, data, &o));
    o.num_inits = 5;
    assert_ok(hd_rate(&five, data, &o));
    assert_memory_equal(three.numbers, five.numbers, 12 * sizeof(double));
    o.seed = 7;
    assert_ok(hd_rate(&seven, data, &o));
    assert_memory_not_equal(seven.numbers, five.numbers, 20 * sizeof(double));
    double means[5] = {0}, mean = 0, squares = 0, least = 1e9;
    for (int i = 0; i < 20; i++) means[i / 4] += five.numbers[i] / 4;
    for (int i = 0; i < 5; i++) mean += means[i] / 5;
    for (int i = 0; i < 5; i++) squares += (means[i] - mean) * (means[i] - mean) / 5;
    for (int i = 0; i < 5; i++) least = fmin(least, means[i]);
    assert_true(fabs(five.mean - mean) < 1e-9 && fabs(five.std - sqrt(squares)) < 1e-9 &&
                five.least == least);
    assert_true(fabs(five.stderr_mean - five.std / sqrt(5)) < 1e-12);
    hd_rating_free(&three);
    hd_rating_free(&five);
    hd_rating_free(&seven);
    // another task, other losses
    o.task = "Pendulum-v1";
    assert_int_equal(hd_rate(&five, data, &o), UF_ERR_CONFIG);
    assert_error("Pendulum-v1");
    assert_null(five.numbers);
    o.task = "Acrobot-v1";
    assert_int_equal(hd_rate(&five, data, &o), UF_ERR_CONFIG);
    o.task = "Akrobot-v1";
    assert_true(hd_rate(&five, data, &o) != UF_OK);
    assert_error("Akrobot-v1");
    o.task = NULL;
    HdConfig* c = config_of("env=CartPole-v1 loss=gaussian_nll");
    o.config = c;
    assert_int_equal(hd_rate(&five, data, &o), UF_ERR_CONFIG);
    assert_error("loss: the dataset has discrete actions; expected ce or ce_over_actions");
    assert_ok(try_settings(&hd_table, c, "loss=auto conv_filters=4"));
    assert_int_equal(hd_rate(&five, data, &o), UF_ERR_CONFIG);
    assert_error("conv_filters 4: observations of CartPole-v1 are no picture");
    hd_config_free(c);
    uf_distilled_free(data);
    hd_search_free(s);
}

static void test_rate_weights(void** state) {
    (void)state;
    HdSearch* s = search_of(SMALL "env=CartPole-v1 search=weights num_layers=1 obs_norm=none greedy=true");
    double mean[4 * 8 + 8 + 16 + 2] = {0};
    for (int i = 0; i < 4; i++) mean[i * 8] = balance[i];
    mean[4 * 8 + 8] = -30;
    mean[4 * 8 + 8 + 1] = 30;
    assert_int_equal(dims_of(s), sizeof mean / sizeof mean[0]);
    uf_es_set_mean(es_of(s), mean);
    HdRating r;
    assert_ok(hd_rate_weights(&r, s, 3, 4, 0));
    assert_int_equal(r.num_inits * r.num_numbers, 12);
    assert_true(r.mean == 500 && r.least == 500 && r.std == 0);  // it balances
    hd_rating_free(&r);
    hd_search_free(s);
    s = search_of(SMALL "env=CartPole-v1");
    assert_int_equal(hd_rate_weights(&r, s, 3, 4, 0), UF_ERR_ARGUMENT);
    hd_search_free(s);
}

// ---- images, MinAtar ----

static void test_images(void** state) {
    (void)state;
    static const char* const networks[] = {GLYPHS, GLYPHS "conv_filters=3 popsize=8 num_steps=20"};
    for (int k = 0; k < 2; k++) {
        HdSearch* s = search_of(networks[k]);
        HdGeneration first, last;
        UfDistilled* data;
        HdRating r;
        assert_int_equal(dims_of(s), 10 * 64);
        double size = 0;
        for (int i = 0; i < 640; i++) size += fabs(uf_es_mean(hd_search_es(s))[i]);
        assert_true(size > 100);  // the class means of standardised pixels are no zeros
        assert_ok(hd_search_step(s, &first));
        steps(s, k ? 3 : 8);
        assert_ok(hd_search_step(s, &last));
        assert_true(last.mean < first.mean && first.mean < 2.5);  // of ten even kinds it is ln 10 = 2.3
        assert_true(first.best <= first.mean && last.best_ever <= last.best);
        assert_ok(hd_search_dataset(s, &data));
        assert_int_equal(data->rows, 10);
        assert_string_equal(data->env_id, "");
        HdRateOptions o = {.config = hd_search_config(s), .num_inits = 2, .num_episodes = 1};
        assert_ok(hd_rate(&r, data, &o));
        assert_int_equal(r.num_numbers, 2);
        assert_true(r.mean == (r.numbers[1] + r.numbers[3]) / 2);
        assert_true(r.mean > 0.4 && r.least > 0.3);  // chance is 0.1
        hd_rating_free(&r);
        HdConfig* c = config_of(GLYPHS "image_side=9");
        o.config = c;
        assert_int_equal(hd_rate(&r, data, &o), UF_ERR_CONFIG);
        assert_error("rows of 64 numbers and 10 classes, the images 9 x 9 x 1 and 10");
        hd_config_free(c);
        uf_distilled_free(data);
        hd_search_free(s);
    }
}

// One image of each class, or its mean over those that there are.
static void test_image_starts(void** state) {
    (void)state;
    HdSearch* sample = search_of(GLYPHS "mean_init=sample train_images=10 rows=12");
    HdSearch* mean = search_of(GLYPHS "mean_init=class_mean train_images=10 rows=12");
    HdSearch* many = search_of(GLYPHS "mean_init=sample train_images=40 rows=20 labels=soft");
    const double *a = uf_es_mean(hd_search_es(sample)), *b = uf_es_mean(hd_search_es(mean)),
                 *c = uf_es_mean(hd_search_es(many));
    assert_memory_equal(a, b, 12 * 64 * sizeof(double));  // with one of each they are the same
    assert_memory_equal(a, a + 10 * 64, 2 * 64 * sizeof(double));
    int differ = 0;
    for (int d = 0; d < 10; d++)
        differ += memcmp(c + 200 + d * 64, c + 200 + (d + 10) * 64, 64 * sizeof *c) != 0;
    assert_true(differ >= 4);  // two draws of four images each
    for (int d = 0; d < 20; d++)
        for (int k = 0; k < 10; k++) assert_true(c[d * 10 + k] == (k == d % 10 ? 4 : 0));
    hd_search_free(sample);
    hd_search_free(mean);
    hd_search_free(many);
    HdSearch* weights = search_of(GLYPHS "mean_init=zero search=weights sigma_init=0.3");
    HdGeneration first, last;
    assert_ok(hd_search_step(weights, &first));
    assert_int_equal(first.num_networks, 16);  // once each: there is no chance in it
    steps(weights, 10);
    assert_ok(hd_search_step(weights, &last));
    assert_true(last.mean < first.mean);
    hd_search_free(weights);
}

static void test_minatar(void** state) {
    (void)state;
    for (int filters = 0; filters <= 4; filters += 4) {
        char settings[300];
        snprintf(settings, sizeof settings,
                 SMALL
                 "env=Breakout-MinAtar rows=3 obs_norm=constant rollout_steps=40 popsize=4 conv_filters=%d",
                 filters);
        HdSearch* s = search_of(settings);
        HdGeneration g;
        UfDistilled* data;
        HdRating r;
        assert_ok(hd_search_step(s, &g));
        assert_int_equal(dims_of(s), 3 * 400);
        assert_true(g.mean >= 0 && g.num_nonfinite == 0);
        assert_ok(hd_search_dataset(s, &data));
        // pixels that random play never lights have divisor 1e-4; a paddle's place is lit now and then
        double least = 1, most = 0;
        for (int i = 0; i < 400; i++) {
            least = fmin(least, data->divisor[i]);
            most = fmax(most, data->divisor[i]);
        }
        assert_true(fabs(least - 1e-4) < 1e-8 && most > 0.1 && most <= 0.51);
        const HdRateOptions o = {.config = hd_search_config(s), .num_inits = 2, .num_episodes = 2};
        assert_ok(hd_rate(&r, data, &o));
        assert_true(isfinite(r.mean));
        hd_rating_free(&r);
        uf_distilled_free(data);
        hd_search_free(s);
    }
}

// ---- science in miniature ----

static double mean_return(const UfDistilled* data, const HdConfig* c) {
    HdRating r;
    const HdRateOptions o = {.config = c, .num_inits = 10, .num_episodes = 5, .seed = 1};
    assert_ok(hd_rate(&r, data, &o));
    const double mean = r.mean;
    hd_rating_free(&r);
    return mean;
}

#ifdef __SANITIZE_ADDRESS__
enum { NUM_SEEDS = 1 };  // there a step takes fifty times as long
#else
enum { NUM_SEEDS = 3 };
#endif

// Two pairs teach fresh policies to balance; neither their labels alone nor their states alone do.
static void test_cartpole(void** state) {
    (void)state;
    for (int seed = 0; seed < NUM_SEEDS; seed++) {
        char settings[100];
        snprintf(settings, sizeof settings, "env=CartPole-v1 popsize=64 num_envs=1 rollout_steps=300 seed=%d",
                 seed);
        HdSearch* s = search_of(settings);
        UfDistilled* data;
        steps(s, 12);
        assert_ok(hd_search_dataset(s, &data));
        const double distilled = mean_return(data, hd_search_config(s));
        float states[8];
        memcpy(states, data->states, sizeof states);
        memset(data->states, 0, sizeof states);
        const double empty = mean_return(data, hd_search_config(s));
        memcpy(data->states, states, sizeof states);
        const float labels[4] = {data->labels[2], data->labels[3], data->labels[0], data->labels[1]};
        memcpy(data->labels, labels, sizeof labels);
        const double moved = mean_return(data, hd_search_config(s));
        if (!(distilled > 300 && empty < 60 && moved < 60))
            fail_msg("seed %d: %.1f; states of 0 %.1f, labels moved on %.1f", seed, distilled, empty, moved);
        uf_distilled_free(data);
        hd_search_free(s);
    }
}

// ---- what is refused ----

static void test_refused(void** state) {
    (void)state;
    static const struct {
        const char *settings, *words;
    } cases[] = {
        {"popsize=8", "env is empty; expected an environment (unifloral envs lists them), or images=glyphs"},
        {"env=CartPole-v1 images=glyphs", "env CartPole-v1 and images glyphs: one of them is what to distil"},
        {"env=CartPoll-v1", "unknown environment 'CartPoll-v1'"},
        {"env=CartPole-v1 strategy=openes popsize=7", "popsize 7 is odd; OpenES takes candidates in pairs"},
        {"env=CartPole-v1 strategy=openes popsize=7", "set it to 6 or 8, or strategy to snes"},
        {"env=Acrobot-v1 rows=2",
         "rows 2: Acrobot-v1 has 3 kinds and each needs a row; raise rows to at least 3"},
        {"images=glyphs rows=9", "rows 9: glyphs has 10 kinds"},
        {"env=CartPole-v1 labels=evolved",
         "labels: CartPole-v1 has discrete actions; expected fixed or soft"},
        {"env=Pendulum-v1 labels=fixed", "labels: Pendulum-v1 has continuous actions; expected evolved"},
        {"env=Pendulum-v1 labels=soft", "labels: Pendulum-v1 has continuous actions; expected evolved"},
        {"env=CartPole-v1 loss=gaussian_nll",
         "loss: CartPole-v1 has discrete actions; expected ce or ce_over_actions"},
        {"env=Pendulum-v1 loss=ce", "loss: Pendulum-v1 has continuous actions; expected gaussian_nll"},
        {"images=glyphs rows=10 loss=gaussian_nll", "loss: glyphs has discrete actions"},
        {"env=Breakout-MinAtar rows=3 obs_norm=scale",
         "obs_norm scale: there are no fixed scales for Breakout-MinAtar; set obs_norm to"},
        {"env=CartPole-v1 conv_filters=4",
         "conv_filters 4: observations of CartPole-v1 are no picture; set it to 0"},
        {"env=CartPole-v1 obs_norm_data=x.hdf5", "obs_norm_data x.hdf5 is for obs_norm=constant alone"},
        {"env=CartPole-v1 obs_norm=constant obs_norm_data=nowhere.hdf5", "nowhere.hdf5"},
        {"env=CartPole-v1 mean_init=class_mean",
         "mean_init: CartPole-v1 has no images to begin with; expected zero"},
        {"env=Pendulum-v1 fitness=ended rollout_steps=150", "in Pendulum-v1 none ends before step 200"},
        {"env=Pendulum-v1 fitness=last rollout_steps=150", "raise rollout_steps, or set fitness to running"},
        {"env=PointMaze-umaze obs_norm=none fitness=last rollout_steps=100", "in PointMaze-umaze none ends"},
        {"env=CartPole-v1 search=weights popsize=1000000 rollouts=100000",
         "popsize 1000000 times rollouts 100000"},
        {"env=PointMaze-umaze starts=grid obs_norm=none", "has no box of start states to lay a grid over"},
        {"env=GridWorld-5x5 rows=4 starts=grid obs_norm=none",
         "has no box of start states to lay a grid over"},
        {"env=Breakout-MinAtar rows=3 obs_norm=none starts=grid",
         "has no box of start states to lay a grid over"},
        {"images=nowhere", "nowhere"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        HdSearch* s = (HdSearch*)1;
        HdConfig* c = config_of(cases[i].settings);
        if (hd_search_create(&s, c) == UF_OK) fail_msg("'%s' was not refused", cases[i].settings);
        if (!strstr(uf_error(), cases[i].words))
            fail_msg("'%s': '%s' is not in: %s", cases[i].settings, cases[i].words, uf_error());
        assert_null(s);
        hd_config_free(c);
    }
    HdConfig* c = config_of("env=CartPole-v1");
    assert_int_equal(try_settings(&hd_table, c, "popsize=1"), UF_ERR_CONFIG);
    assert_int_equal(try_settings(&hd_table, c, "fitness=best"), UF_ERR_CONFIG);
    assert_int_equal(try_settings(&hd_table, c, "popsise=8"), UF_ERR_CONFIG);
    assert_error("popsize");
    hd_config_free(c);
}

// A run is refused before it has a folder.
static void test_refused_run(void** state) {
    (void)state;
    HdConfig* c = config_of("env=CartPole-v1 rows=1");
    const UfSearchRunOptions run = {.kind = &hd_kind, .config = c, .out = in_folder("no_run")};
    UfSearchResult result;
    assert_int_equal(uf_search_run(&run, &result), UF_ERR_CONFIG);
    assert_error("raise rows to at least 2");
    assert_false(uf_file_exists(run.out));
    assert_null(result.report);
    hd_config_free(c);
}

// Statistics of a dataset: those of its own task, and no other's.
static void test_norm_data(void** state) {
    (void)state;
    const char* path = in_folder("norm.hdf5");
    char settings[400];
    HdSearch* s = search_of(SMALL "env=MountainCarContinuous-v0");
    UfDistilled* data;
    double mean[6] = {0.5, -0.5, 1, 2,
                      3,   4};  // states (1, 2), (3, 4) of a distilled file, which has its own statistics
    uf_es_set_mean(es_of(s), mean);
    assert_ok(hd_search_write(s, path));
    hd_search_free(s);
    snprintf(settings, sizeof settings,
             SMALL "env=MountainCarContinuous-v0 obs_norm=constant obs_norm_data=%s", path);
    s = search_of(settings);
    assert_ok(hd_search_dataset(s, &data));
    assert_true(fabs(data->divisor[0] - 0.5) < 1e-6 && fabs(data->divisor[1] - 0.03) < 1e-6);
    uf_distilled_free(data);
    hd_search_free(s);
    snprintf(settings, sizeof settings, SMALL "env=Pendulum-v1 obs_norm=constant obs_norm_data=%s", path);
    HdConfig* c = config_of(settings);
    assert_true(hd_search_create(&s, c) != UF_OK);
    assert_error("norm.hdf5");
    hd_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_numbers),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_begin_at_zero),
        cmocka_unit_test(test_trials),
        cmocka_unit_test(test_padded_inputs),
        cmocka_unit_test(test_fitness_rules),
        cmocka_unit_test(test_nothing_ends),
        cmocka_unit_test(test_freeway),
        cmocka_unit_test(test_initial_weights),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_run_fields),
        cmocka_unit_test(test_bad_checkpoints),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_dataset),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_fitness_by_hand),
        cmocka_unit_test(test_own_inits),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_weights),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_image_starts),
        cmocka_unit_test(test_minatar),
        cmocka_unit_test(test_cartpole),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_run),
        cmocka_unit_test(test_norm_data),
    };
    // What a device does in another way: networks and images. The host that plays one for the tests is slow.
    const struct CMUnitTest on_devices[] = {
        cmocka_unit_test(test_common_numbers), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_policies),       cmocka_unit_test(test_fitness_by_hand),
        cmocka_unit_test(test_checkpoints),    cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_rate),           cmocka_unit_test(test_own_inits),
        cmocka_unit_test(test_image_starts),   cmocka_unit_test(test_minatar),
    };
    if (on_device()) return cmocka_run_group_tests(on_devices, make_folder, remove_folder) ? 1 : 0;
    return cmocka_run_group_tests(tests, make_folder, remove_folder) ? 1 : 0;
}
