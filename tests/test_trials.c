// test_trials.c: what trials of small policies make of a network's outputs, and how long they last. What counts of an
// episode, noise and normalisers: test_hades.c; on a device: cuda/test_cuda_trials.c.
#include "support.h"

#include <math.h>

#include "core/search/trials.h"

// uf_tanh is off by 4e-7, exp and a product by rounding of a number below 8.
#define ROUNDING 1e-6

// ---- actions ----

static void check_action(const char* what, double got, double expected) {
    if (!(fabs(got - expected) <= ROUNDING * (1 + fabs(expected))))
        fail_msg("%s: %.9g, expected %.9g", what, got, expected);
}

static void test_actions(void** state) {
    (void)state;
    // two actions of bounds [-2, 2] or [1, 4]; behind the means log-stds that only one policy has
    const real out[4] = {0.3f, -0.8f, 0.5f, -1}, log_std[2] = {-0.5f, 0.7f};
    const float noise[2] = {0.4f, -0.6f};
    const double s[2] = {exp(-0.5) * 0.4, exp(0.7) * -0.6}, own[2] = {exp(0.5) * 0.4, exp(-1) * -0.6};
    for (int bounds = 0; bounds < 2; bounds++)
        for (UfTrialPolicy policy = UF_TRIAL_GAUSSIAN; policy <= UF_TRIAL_SQUASHED; policy++)
            for (int greedy = 0; greedy < 2; greedy++) {
                const float low = bounds ? 1 : -2, high = bounds ? 4 : 2;
                float action[2] = {0};
                assert_true(
                    uf_trial_act(policy, false, 2, low, high, out, log_std, greedy ? NULL : noise, action));
                for (int i = 0; i < 2; i++) {
                    const double m = (double)out[i], z = greedy ? 0 : s[i];
                    double a = 0;
                    switch (policy) {
                        case UF_TRIAL_GAUSSIAN: a = fmin(fmax(m + z, -1), 1); break;
                        case UF_TRIAL_IN_UNITS: a = fmin(fmax(m + z, low), high); break;
                        case UF_TRIAL_TANH: a = tanh(m); break;
                        case UF_TRIAL_SQUASHED: a = tanh(m + (greedy ? 0 : own[i])); break;
                    }
                    if (policy != UF_TRIAL_IN_UNITS) a = (low + high) / 2 + (high - low) / 2 * a;
                    check_action("action", action[i], a);
                }
            }
}

static float act_one(UfTrialPolicy policy, real mean, real second, float noise) {
    const real out[2] = {mean, second};
    float action = NAN;
    assert_true(uf_trial_act(policy, false, 1, -2, 2, out, &second, &noise, &action));
    return action;
}

static void test_bounds(void** state) {
    (void)state;
    // units are clipped at the bounds, not at 1
    assert_true(act_one(UF_TRIAL_IN_UNITS, 1.5f, -99, 0) == 1.5f);
    assert_true(act_one(UF_TRIAL_IN_UNITS, 2.5f, -99, 0) == 2);
    assert_true(act_one(UF_TRIAL_IN_UNITS, 1, 0, -4) == -2);
    assert_true(act_one(UF_TRIAL_GAUSSIAN, 1.5f, -99, 0) == 2);
    assert_true(act_one(UF_TRIAL_GAUSSIAN, -0.25f, -99, 0) == -0.5f);
    // far out tanh is 1, and no bound is passed
    for (UfTrialPolicy policy = UF_TRIAL_TANH; policy <= UF_TRIAL_SQUASHED; policy++)
        for (int side = -1; side <= 1; side += 2) {
            const double a = (double)act_one(policy, (real)(side * 50), 0, 0);
            check_action("far out", a, side * 2);
            assert_true(fabs(a) <= 2);
        }
    // log-stds from -20 to 2
    check_action("low", act_one(UF_TRIAL_SQUASHED, 0, -1e30f, 1e8f), 2 * tanh(exp(-20) * 1e8));
    check_action("high", act_one(UF_TRIAL_SQUASHED, 0, 1e30f, 0.1f), 2 * tanh(exp(2) * 0.1));
    check_action("between", act_one(UF_TRIAL_SQUASHED, 0, -19, 1e8f), 2 * tanh(exp(-19) * 1e8));
}

// Of kinds the first outputs are compared, whatever the policy says and comes behind them.
static void test_kinds(void** state) {
    (void)state;
    const real out[4] = {0.5f, 2, -1, 99};
    const double e[3] = {exp(0.5), exp(2), exp(-1)}, sum = e[0] + e[1] + e[2];
    for (UfTrialPolicy policy = UF_TRIAL_GAUSSIAN; policy <= UF_TRIAL_SQUASHED; policy++) {
        float action = NAN;
        assert_true(uf_trial_act(policy, true, 3, 0, 2, out, NULL, NULL, &action));
        assert_true(action == 1);
        for (int u = 1; u < 100; u++) {
            const float at = (float)u / 100;
            assert_true(uf_trial_act(policy, true, 3, 0, 2, out, NULL, &at, &action));
            assert_true(action == (at * sum < e[0] ? 0 : at * sum < e[0] + e[1] ? 1 : 2));
        }
    }
}

static void test_no_number(void** state) {
    (void)state;
    const float noise = 0.5f;
    for (UfTrialPolicy policy = UF_TRIAL_GAUSSIAN; policy <= UF_TRIAL_SQUASHED; policy++) {
        const real log_std = 0, bad[] = {NAN, INFINITY, -INFINITY};
        float action;
        for (int i = 0; i < 3; i++) {
            const real mean[2] = {bad[i], 0}, second[2] = {0, bad[i]};
            assert_false(uf_trial_act(policy, false, 1, -2, 2, mean, &log_std, &noise, &action));
            assert_int_equal(uf_trial_act(policy, false, 1, -2, 2, second, &log_std, &noise, &action),
                             policy != UF_TRIAL_SQUASHED);
            assert_true(uf_trial_act(policy, true, 1, 0, 1, second, NULL, &noise, &action));
        }
    }
}

// ---- trials ----

enum { MOST_ENVS = 4 };

typedef struct Play {
    const char* env;
    int E;
    int64_t T, steps;  // steps: less than T, set after creation.   0: not set
    UfTrialPolicy policy;
    UfTrialRule rule;
    bool greedy, any_length;
} Play;

static UfTrialOptions options_of(const Play* o, const UfCloneNet* net) {
    return (UfTrialOptions){.spec = uf_env_find(o->env),
                            .net = net,
                            .num_envs = o->E,
                            .num_steps = o->T,
                            .num_keys = 1,
                            .rule = o->rule,
                            .policy = o->policy,
                            .greedy = o->greedy,
                            .any_length = o->any_length};
}

static const uint64_t key = 20261127;

static void play(const Play* o, const UfCloneNet* net, const real* params, UfTrial* trial) {
    UfTrials* trials;
    UfPool* pool;
    const UfTrialOptions options = options_of(o, net);
    assert_ok(uf_pool_create(&pool, 1));
    assert_ok(uf_trials_create(&trials, &options, pool));
    uf_trials_set_keys(trials, &key);
    if (o->steps) assert_ok(uf_trials_set_num_steps(trials, o->steps));
    assert_ok(uf_trials_play(trials, params, 1, trial, NULL));
    uf_trials_free(trials);
    uf_pool_free(pool);
}

// The action that a policy's closed form gives.
static float action_of(const Play* o, const UfEnvSpec* spec, const UfCloneNet* net, const real* params,
                       const real* out, int64_t t, int e) {
    const float z = o->greedy ? 0 : uf_trial_noise(key, false, t, o->E, e);
    const float std =
        expf(o->policy == UF_TRIAL_SQUASHED ? fminf(fmaxf(out[1], -20), 2) : params[net->mlp.log_std]);
    const float x = o->policy == UF_TRIAL_TANH ? uf_tanh(out[0]) : out[0] + std * z;
    if (o->policy == UF_TRIAL_IN_UNITS) return fminf(fmaxf(x, spec->action_low), spec->action_high);
    const float unit = o->policy == UF_TRIAL_SQUASHED ? uf_tanh(x) : fminf(fmaxf(x, -1), 1);
    return 0.5f * (spec->action_low + spec->action_high) +
           0.5f * (spec->action_high - spec->action_low) * unit;
}

// First episodes, one environment after the other.
static void play_slowly(const Play* o, const UfCloneNet* net, const real* params, UfTrial* trial) {
    const UfEnvSpec* spec = uf_env_find(o->env);
    real* scratch = test_calloc(uf_clone_scratch(net, 1), sizeof *scratch);
    for (int e = 0; e < o->E; e++) {
        UfEnv* env;
        float obs[8];
        real out[8];
        bool over = false;
        trial[e] = (UfTrial){0, 1, 0};
        assert_ok(uf_env_create(&env, o->env));
        uf_env_reset(env, key, (uint64_t)e, obs);
        for (int64_t t = 0; t < (o->steps ? o->steps : o->T) && !over; t++) {
            double reward;
            bool terminated, truncated;
            uf_clone_forward_host(net, params, out, obs, 1, scratch);
            const float action = action_of(o, spec, net, params, out, t, e);
            uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
            trial[e].sum += reward;
            trial[e].steps++;
            over = terminated || (truncated && !o->any_length);
        }
        uf_env_free(env);
    }
    test_free(scratch);
}

static void fill(const UfCloneNet* net, real* params, uint64_t seed) {
    UfRandom random = uf_random(seed, UF_STREAM_INIT, 0);
    for (size_t i = 0; i < net->size; i++) params[i] = (real)(0.7 * (double)uf_random_normal(&random));
}

static void test_policies(void** state) {
    (void)state;
    static const char* const names[] = {"Pendulum-v1", "MountainCarContinuous-v0"};
    double sums[2][4][2];
    for (int env = 0; env < 2; env++)
        for (UfTrialPolicy policy = UF_TRIAL_GAUSSIAN; policy <= UF_TRIAL_SQUASHED; policy++)
            for (int greedy = 0; greedy < 2; greedy++) {
                const UfEnvSpec* spec = uf_env_find(names[env]);
                // A network of as many outputs as its policy has, and a free log-std behind them where that is its.
                const int out = policy == UF_TRIAL_SQUASHED ? 2 : 1;
                const UfCloneNet net = uf_clone_net(NULL, spec->obs_dim, 8, 2, out, UF_TANH, false, out == 1);
                const Play o = {.env = names[env], .E = 3, .T = 150, .policy = policy, .greedy = greedy};
                real* params = test_calloc(net.size, sizeof *params);
                UfTrial ours[3], theirs[3];
                fill(&net, params, 5 + (uint64_t)env);
                play(&o, &net, params, ours);
                play_slowly(&o, &net, params, theirs);
                sums[env][policy][greedy] = ours[0].sum;
                for (int e = 0; e < 3; e++) {
                    assert_int_equal(ours[e].steps, theirs[e].steps);
                    // the same operations
                    if (ours[e].sum != theirs[e].sum)
                        fail_msg("%s, policy %d, greedy %d: %.17g, expected %.17g", names[env], (int)policy,
                                 greedy, ours[e].sum, theirs[e].sum);
                }
                test_free(params);
            }
    for (int env = 0; env < 2; env++) {
        assert_true(sums[env][UF_TRIAL_TANH][0] == sums[env][UF_TRIAL_TANH][1]);  // nothing is sampled
        assert_true(sums[env][UF_TRIAL_SQUASHED][0] != sums[env][UF_TRIAL_SQUASHED][1]);
        assert_true(sums[env][UF_TRIAL_IN_UNITS][0] != sums[env][UF_TRIAL_IN_UNITS][1]);
        assert_true(sums[env][UF_TRIAL_IN_UNITS][1] != sums[env][UF_TRIAL_TANH][1]);
    }
}

// A duelling network's outputs are one more than there are kinds.
static void test_more_outputs(void** state) {
    (void)state;
    const UfCloneNet plain = uf_clone_net(NULL, 4, 8, 1, 2, UF_TANH, false, false),
                     duelling = uf_clone_net(NULL, 4, 8, 1, 3, UF_TANH, false, false);
    real *narrow = test_calloc(plain.size, sizeof *narrow), *wide = test_calloc(duelling.size, sizeof *wide);
    fill(&plain, narrow, 8);
    fill(&duelling, wide, 9);
    for (int i = 0; i < 8 * 4; i++)
        wide[duelling.mlp.kernel[0] + (size_t)i] = narrow[plain.mlp.kernel[0] + (size_t)i];
    for (int i = 0; i < 8; i++)
        wide[duelling.mlp.bias[0] + (size_t)i] = narrow[plain.mlp.bias[0] + (size_t)i];
    for (int k = 0; k < 2; k++) {
        wide[duelling.mlp.bias[1] + (size_t)k] = narrow[plain.mlp.bias[1] + (size_t)k];
        for (int i = 0; i < 8; i++)
            wide[duelling.mlp.kernel[1] + (size_t)(i * 3 + k)] =
                narrow[plain.mlp.kernel[1] + (size_t)(i * 2 + k)];
    }
    wide[duelling.mlp.bias[1] + 2] = 100;  // what the state is worth is no action
    for (int greedy = 0; greedy < 2; greedy++) {
        const Play o = {
            .env = "CartPole-v1", .E = 4, .T = 200, .policy = UF_TRIAL_SQUASHED, .greedy = greedy};
        UfTrial trial[2][4];
        memset(trial, 0, sizeof trial);
        play(&o, &plain, narrow, trial[0]);
        play(&o, &duelling, wide, trial[1]);
        assert_memory_equal(trial[0], trial[1], sizeof trial[0]);
        assert_true(trial[0][0].steps > 5);
    }
    test_free(narrow);
    test_free(wide);
}

// ---- how long they last ----

static void play_still(const Play* o, UfTrial* trial) {  // always kind 0, or no push
    const UfEnvSpec* spec = uf_env_find(o->env);
    const UfCloneNet net = uf_clone_net(NULL, spec->obs_dim, 8, 1, spec->action_dim, UF_TANH, false, false);
    real* params = test_calloc(net.size, sizeof *params);
    play(o, &net, params, trial);
    test_free(params);
}

static void check_steps(const Play* o, int64_t steps) {
    UfTrial trial[MOST_ENVS];
    play_still(o, trial);
    for (int e = 0; e < o->E; e++)
        if (trial[e].steps != steps)
            fail_msg("%s, T %lld: %lld steps, expected %lld", o->env, (long long)o->T,
                     (long long)trial[e].steps, (long long)steps);
}

static void test_lengths(void** state) {
    (void)state;
    Play o = {.env = "MountainCar-v0", .E = 2, .T = 1000, .greedy = true};
    check_steps(&o, 200);
    o.T = 150;
    check_steps(&o, 150);
    o.any_length = true;
    check_steps(&o, 150);
    o.T = 1000;
    check_steps(&o, 1000);
    o.steps = 201;
    check_steps(&o, 201);
    o.steps = 1000;
    check_steps(&o, 1000);
    o.any_length = false;
    check_steps(&o, 200);
    o.steps = 30;
    check_steps(&o, 30);
    o.T = 50;
    o.steps = 49;
    check_steps(&o, 49);
    // a first episode is no longer counted once it ended, however long it may be
    o = (Play){.env = "CartPole-v1", .E = 4, .T = 700, .greedy = true, .any_length = true};
    UfTrial trial[MOST_ENVS];
    play_still(&o, trial);
    for (int e = 0; e < 4; e++) assert_true(trial[e].steps < 20 && trial[e].sum == (double)trial[e].steps);
    // other rules: nothing ends at the limit
    o = (Play){.env = "Pendulum-v1", .E = 2, .T = 500, .greedy = true, .rule = UF_TRIAL_ENDED};
    play_still(&o, trial);
    assert_int_equal(trial[0].count, 2);
    o.any_length = true;
    play_still(&o, trial);
    assert_int_equal(trial[0].count, 0);
    assert_int_equal(trial[0].steps, 500);
}

// Going on for longer is to go on as before; what a shorter call plays is the beginning of a longer one, with its noise.
static void test_changed_lengths(void** state) {
    (void)state;
    const UfCloneNet net = uf_clone_net(NULL, 3, 8, 1, 1, UF_TANH, false, true);
    const uint64_t keys[2] = {77, key};  // the second policy is looked at
    real* params = test_calloc(2 * net.size, sizeof *params);
    UfTrial before[6], short_ones[6], after[6], expected[3];
    UfTrials* trials;
    UfPool* pool;
    Play o = {.env = "Pendulum-v1", .E = 3, .T = 300, .policy = UF_TRIAL_IN_UNITS, .any_length = true};
    UfTrialOptions options = options_of(&o, &net);
    options.num_keys = 2;
    fill(&net, params, 3);
    memcpy(params + net.size, params, net.size * sizeof *params);
    assert_ok(uf_pool_create(&pool, 2));
    assert_ok(uf_trials_create(&trials, &options, pool));
    uf_trials_set_keys(trials, keys);
    assert_ok(uf_trials_play(trials, params, 2, before, NULL));
    assert_ok(uf_trials_set_num_steps(trials, 70));
    assert_ok(uf_trials_play(trials, params, 2, short_ones, NULL));
    uf_trials_set_keys(trials, keys);  // drawn while T is short, played when it is long again
    assert_ok(uf_trials_set_num_steps(trials, 300));
    assert_ok(uf_trials_play(trials, params, 2, after, NULL));
    assert_memory_equal(before, after, sizeof before);
    play_slowly(&o, &net, params, expected);
    assert_memory_equal(before + 3, expected, sizeof expected);
    o.T = 70;
    play_slowly(&o, &net, params, expected);
    assert_memory_equal(short_ones + 3, expected, sizeof expected);
    assert_int_equal(uf_trials_set_num_steps(trials, 0), UF_ERR_ARGUMENT);
    assert_error("num_steps is 0; these trials were made for 1 to 300");
    assert_int_equal(uf_trials_set_num_steps(trials, 301), UF_ERR_ARGUMENT);
    assert_error("num_steps is 301; these trials were made for 1 to 300");
    uf_trials_free(trials);
    uf_pool_free(pool);
    test_free(params);
}

static void refuse(const Play* o, const UfCloneNet* net, const char* text) {
    const UfTrialOptions options = options_of(o, net);
    UfTrials* trials;
    UfPool* pool;
    assert_ok(uf_pool_create(&pool, 1));
    assert_int_equal(uf_trials_create(&trials, &options, pool), UF_ERR_CONFIG);
    assert_error(text);
    assert_null(trials);
    uf_pool_free(pool);
}

static void test_refused(void** state) {
    (void)state;
    const UfCloneNet one = uf_clone_net(NULL, 3, 8, 1, 1, UF_TANH, false, true),
                     bare = uf_clone_net(NULL, 3, 8, 1, 1, UF_TANH, false, false);
    Play o = {.env = "Pendulum-v1", .E = 1, .T = 10, .policy = UF_TRIAL_SQUASHED};
    refuse(&o, &one,
           "policies of 1 outputs; 1 means and as many log-stds of Pendulum-v1's actions are expected");
    o.policy = UF_TRIAL_IN_UNITS;
    refuse(&o, &bare, "policies without log-stds: Pendulum-v1's actions cannot be sampled; act greedily");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_kinds),    cmocka_unit_test(test_no_number),
        cmocka_unit_test(test_policies), cmocka_unit_test(test_more_outputs),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_changed_lengths),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
