// test_evaluate.c: episodes of a policy in an environment. The policy is a linear one, made here: these
// definitions stand in for unifloral.c's, which the linker then leaves in the archive.
#include "support.h"

#include <math.h>
#include <stdatomic.h>

#include "core/agents/evaluate.h"
#include "core/agents/policy.h"

struct UfPolicy {
    int obs_dim, action_dim;
    float weights[2][6], noise_scale;
    float nan_above;  // observation 0 beyond this gives a NaN action; 0: never
    bool fails;
    _Atomic int64_t most_rows;  // of any call
};

int uf_policy_obs_dim(const UfPolicy* policy) { return policy->obs_dim; }
int uf_policy_action_dim(const UfPolicy* policy) { return policy->action_dim; }

UfStatus uf_policy_act_normalised(const UfPolicy* policy, float* actions, const float* obs, int64_t n,
                                  const float* noise) {
    UfPolicy* p = (UfPolicy*)policy;
    for (int64_t most = p->most_rows; n > most && !atomic_compare_exchange_weak(&p->most_rows, &most, n);)
        continue;
    if (p->fails) return UF_FAIL(UF_ERR_NONFINITE, "the policy has gone wrong");
    for (int64_t i = 0; i < n; i++)
        for (int a = 0; a < p->action_dim; a++) {
            float sum = noise ? p->noise_scale * noise[i * p->action_dim + a] : 0;
            for (int o = 0; o < p->obs_dim; o++) sum += p->weights[a][o] * obs[i * p->obs_dim + o];
            if (p->nan_above > 0 && obs[i * p->obs_dim] > p->nan_above) sum = (float)NAN;
            actions[i * p->action_dim + a] = sum;
        }
    return UF_OK;
}

// ---- tests ----

static UfPool *one, *three;

static UfPolicy pusher(void) {  // pumps the car with its speed
    UfPolicy p = {.obs_dim = 2, .action_dim = 1, .weights = {{0, 20}}, .noise_scale = 0.5f};
    return p;
}

static void test_statistics(void** state) {
    (void)state;
    const UfEnvSpec* spec = uf_env_find("mountaincarcontinuous");
    UfPolicy policy = pusher();
    UfEvaluation e;
    assert_ok(uf_evaluate(&e, &policy, spec, 21, 4, 9, true, three));
    assert_int_equal(policy.most_rows, 4);
    assert_int_equal(e.num_episodes, 21);
    double sum = 0, squares = 0;
    int64_t steps = 0;
    for (int k = 0; k < 21; k++) {  // each episode on its own, by hand
        UfEnv* env;
        float obs[2], action;
        double reward, ret = 0;
        bool terminated = false, truncated = false;
        int32_t length = 0;
        assert_ok(uf_env_create(&env, spec->name));
        uf_env_reset(env, 9, (uint64_t)k, obs);
        while (!terminated && !truncated) {
            action = fminf(fmaxf(20 * obs[1], -1), 1);
            uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
            ret += reward;
            length++;
        }
        assert_true(e.returns[k] == ret);
        assert_int_equal(e.lengths[k], length);
        sum += ret;
        squares += ret * ret;
        steps += length;
        uf_env_free(env);
    }
    double mean = sum / 21, std = sqrt(squares / 21 - mean * mean);
    assert_true(fabs(e.mean_return - mean) < 1e-9 && fabs(e.std_return - std) < 1e-6 * (1 + fabs(mean)));
    assert_true(fabs(e.stderr_return - e.std_return / sqrt(21)) < 1e-12);
    assert_true(fabs(e.mean_score - uf_env_score(spec, mean)) < 1e-9);
    assert_true(fabs(e.stderr_score - 100 * e.stderr_return / (spec->score_max - spec->score_min)) < 1e-9);
    assert_true(e.num_steps == steps && fabs(e.mean_length - (double)steps / 21) < 1e-9 && e.seconds >= 0);
    assert_int_equal(e.num_nonfinite_actions, 0);
    uf_evaluation_free(&e);
    uf_evaluation_free(&e);  // harmless
    uf_evaluation_free(NULL);
}

static void test_threads_and_groups(void** state) {
    (void)state;
    const UfEnvSpec* spec = uf_env_find("mountaincarcontinuous");
    UfPolicy policy = pusher();
    UfEvaluation a, b, c, other;
    assert_ok(uf_evaluate(&a, &policy, spec, 10, 4, 1, false, one));
    assert_ok(uf_evaluate(&b, &policy, spec, 10, 4, 1, false, three));
    assert_memory_equal(a.returns, b.returns, 10 * sizeof(double));
    assert_memory_equal(a.lengths, b.lengths, 10 * sizeof(int32_t));
    // Noise belongs to (episode, step): neither what runs side by side nor the number of episodes changes it.
    assert_ok(uf_evaluate(&c, &policy, spec, 7, 3, 1, false, three));
    assert_memory_equal(a.returns, c.returns, 7 * sizeof(double));
    assert_ok(uf_evaluate(&other, &policy, spec, 10, 4, 2, false, three));
    assert_memory_not_equal(a.returns, other.returns, 10 * sizeof(double));
    uf_evaluation_free(&other);
    assert_ok(uf_evaluate(&other, &policy, spec, 10, 4, 1, true, three));
    assert_memory_not_equal(a.returns, other.returns, 10 * sizeof(double));
    uf_evaluation_free(&a);
    uf_evaluation_free(&b);
    uf_evaluation_free(&c);
    uf_evaluation_free(&other);
}

static void test_nonfinite(void** state) {
    (void)state;
    UfPolicy policy = {.obs_dim = 3, .action_dim = 1, .weights = {{(float)NAN}}};
    UfPolicy still = {.obs_dim = 3, .action_dim = 1};
    UfEvaluation bad, good;
    assert_ok(uf_evaluate(&bad, &policy, uf_env_find("pendulum"), 5, 4, 0, true, three));
    assert_ok(uf_evaluate(&good, &still, uf_env_find("pendulum"), 5, 4, 0, true, three));
    assert_int_equal(bad.num_nonfinite_actions, 5 * 200);  // not of the rows that fill the last group
    assert_memory_equal(bad.returns, good.returns, 5 * sizeof(double));
    uf_evaluation_free(&bad);
    uf_evaluation_free(&good);
    UfPolicy partly = {.obs_dim = 3, .action_dim = 1, .nan_above = 0.5f};
    assert_ok(uf_evaluate(&bad, &partly, uf_env_find("pendulum"), 20, 4, 0, true, three));
    assert_true(bad.num_nonfinite_actions > 0 && bad.num_nonfinite_actions < bad.num_steps);
    uf_evaluation_free(&bad);
}

static void test_discrete(void** state) {
    (void)state;
    // two logits, +-(angle and its speed): balances; episodes of other lengths end before it does
    UfPolicy policy = {.obs_dim = 4, .action_dim = 2, .weights = {{0, 0, 0}, {0.1f, 0.3f, 2, 1}}};
    UfEvaluation e;
    assert_ok(uf_evaluate(&e, &policy, uf_env_find("cartpole"), 6, 8, 0, true, three));
    assert_true(e.mean_return == 500 && e.std_return == 0);
    uf_evaluation_free(&e);
}

static void test_refusals(void** state) {
    (void)state;
    UfPolicy policy = pusher();
    UfEvaluation e;
    assert_int_equal(uf_evaluate(&e, &policy, uf_env_find("pendulum"), 5, 4, 0, true, one), UF_ERR_ARGUMENT);
    assert_non_null(strstr(uf_error(), "2 observations and 1 actions, Pendulum-v1 has 3 and 1"));
    const UfEnvSpec* spec = uf_env_find("mountaincarcontinuous");
    assert_int_equal(uf_evaluate(&e, &policy, spec, 0, 4, 0, true, one), UF_ERR_ARGUMENT);
    assert_int_equal(uf_evaluate(&e, &policy, spec, 4, 0, 0, true, one), UF_ERR_ARGUMENT);
    assert_int_equal(uf_evaluate(&e, &policy, spec, INT64_MAX, 1, 0, true, one), UF_ERR_MEMORY);
    policy.fails = true;  // on another thread: the sentence arrives
    assert_int_equal(uf_evaluate(&e, &policy, spec, 30, 2, 0, true, three), UF_ERR_NONFINITE);
    assert_string_equal(uf_error(), "the policy has gone wrong");
    assert_null(e.returns);
}

static int make_pools(void** state) {
    (void)state;
    return uf_pool_create(&one, 1) != UF_OK || uf_pool_create(&three, 3) != UF_OK;
}

static int free_pools(void** state) {
    (void)state;
    uf_pool_free(one);
    uf_pool_free(three);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics), cmocka_unit_test(test_threads_and_groups),
        cmocka_unit_test(test_nonfinite),  cmocka_unit_test(test_discrete),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_pools, free_pools);
}
