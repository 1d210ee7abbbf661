// test_play.c: episodes on an agent's device against those of uf_evaluate, which goes another way: its environments
// are stepped through the interface, its policy is a copy, its noise is drawn one number after another.
//
// On the CPU both are equal to the bit. On a device sums have another order, so the actors here have one weight other
// than zero for each unit: then no sum depends on its order, and where the host stands for a device the bits are equal
// too. A GPU's sine is another in its last bit; a chaotic episode makes of that what it likes, so there the means must
// agree as those of other episodes would.
#include "support.h"

#include <math.h>

#include "core/agents/agent.h"
#include "core/agents/play.h"
#include "core/agents/policy.h"
#ifdef UF_HOST_CUDA
#include "cuda_host/host_cuda.h"
#endif

enum { MEMBERS = 3, EPISODES = 13, WIDTH = 24 };

static const char* const heads[] = {
    "{\"deterministic\": true}",
    "{\"deterministic\": false, \"use_log_std_param\": true, \"deterministic_eval\": false}",
    "{\"deterministic\": false, \"use_tanh_mean\": false}",
    "{\"deterministic\": false, \"action_space\": \"discrete\", \"policy_noise\": 0}",
};
enum { DISCRETE_HEAD = 3 };  // of heads; for environments that have so
static const char* const names[] = {
    "pendulum",        "mountaincarcontinuous",  "cartpole",     "mountaincar", "acrobot",
    "pointmaze-umaze", "pointmaze-medium-dense", "gridworld-5x5"};
enum { NUM_NAMES = sizeof names / sizeof names[0], NUM_HEADS = sizeof heads / sizeof heads[0] };

static UfAgent* make_agent(const UfEnvSpec* spec, int head, bool norm, int width, int layers) {
    UfConfig* configs[MEMBERS];
    const float mean[] = {0.25f, -0.5f, 0, 1, 0, 0.125f}, std[] = {1, 2, 0.5f, 1, 3, 1};
    char text[200];
    UfAgent* agent = NULL;
    for (int p = 0; p < MEMBERS; p++) {
        assert_ok(uf_config_create(&configs[p]));
        snprintf(text, sizeof text,
                 "{\"batch_size\": 16, \"critic_layer_width\": 8, \"critic_num_layers\": 1, "
                 "\"actor_layer_width\": "
                 "%d, \"actor_num_layers\": %d, \"actor_ln\": false, \"norm_obs\": %s}",
                 width, layers, norm ? "true" : "false");
        assert_ok(uf_config_parse(configs[p], text, "test"));
        assert_ok(uf_config_parse(configs[p], heads[head], "head"));
        configs[p]->seed = p;
        use_test_device(configs[p]);
    }
    assert_ok(uf_agent_create_bare(&agent, (const UfConfig* const*)configs, MEMBERS, spec->obs_dim,
                                   spec->action_dim, mean, std, 1));
    for (int p = 0; p < MEMBERS; p++) uf_config_free(configs[p]);
    return agent;
}

// One weight other than zero into each unit, different in every member.
static void thin_out(UfAgent* agent) {
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        if (strncmp(t->name, "actor/", 6) != 0 || t->is_target || t->rank != 2) continue;
        for (int p = 0; p < MEMBERS; p++) {
            real* w = test_calloc(uf_tensor_count(t), sizeof *w);
            for (int j = 0; j < t->columns; j++)
                w[(7 * j + p) % t->rows * t->columns + j] = (real)((j % 3 + 1) * (j % 2 ? -0.75 : 1.25));
            assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, p, w));
            test_free(w);
        }
    }
}

static UfPool* pool;

static void expect_same(const UfEvaluation* a, const UfEvaluation* b, const char* what) {
    assert_int_equal(a->num_episodes, b->num_episodes);
    assert_int_equal(a->num_nonfinite_actions, b->num_nonfinite_actions);
#ifndef UF_HOST_CUDA
    if (on_device()) {
        const double error =
            5 * sqrt(a->stderr_return * a->stderr_return + b->stderr_return * b->stderr_return);
        if (!(fabs(a->mean_return - b->mean_return) <= error + 1e-6 * fabs(a->mean_return)))
            fail_msg("%s: mean return %g, on the device %g, allowed %g", what, a->mean_return, b->mean_return,
                     error);
        return;
    }
#endif
    for (int64_t e = 0; e < a->num_episodes; e++)
        if (a->returns[e] != b->returns[e] || a->lengths[e] != b->lengths[e])
            fail_msg("%s, episode %d: %.17g in %d steps, played: %.17g in %d", what, (int)e, a->returns[e],
                     (int)a->lengths[e], b->returns[e], (int)b->lengths[e]);
    assert_true(a->mean_return == b->mean_return && a->stderr_return == b->stderr_return &&
                a->num_steps == b->num_steps && a->std_return == b->std_return);
}

static void compare(UfAgent* agent, const UfEnvSpec* spec, int64_t num_episodes, bool at_mean,
                    const char* what) {
    const uint64_t seeds[MEMBERS] = {5, 77, 5};
    UfEvaluation played[MEMBERS], other = {0};
    assert_ok(uf_play(played, agent, spec, num_episodes, seeds, at_mean));
    for (int p = 0; p < MEMBERS; p++) {
        UfPolicy* policy = NULL;
        char name[160];
        snprintf(name, sizeof name, "%s of %s, member %d", what, spec->name, p);
        assert_ok(uf_policy_create(&policy, agent, p));
        assert_ok(uf_evaluate(&other, policy, spec, num_episodes, 8, seeds[p], at_mean, pool));
        expect_same(&other, &played[p], name);
        uf_policy_free(policy);
        uf_evaluation_free(&other);
        uf_evaluation_free(&played[p]);
    }
}

static void test_like_evaluate(void** state) {
    (void)state;
    for (int i = 0; i < NUM_NAMES; i++)
        for (int head = 0; head < NUM_HEADS; head++) {
            const UfEnvSpec* spec = uf_env_find(names[i]);
            if (head == DISCRETE_HEAD && !spec->discrete) continue;
            // The long ones take their time where threads are fibres.
            if (on_device() && spec->max_steps > 500 && head > 0) continue;
            UfAgent* agent = make_agent(spec, head, (i + head) % 2, WIDTH, 2);
            thin_out(agent);
#ifdef UF_HOST_CUDA
            uf_host_cuda.order = (UfHostOrder)(i % UF_HOST_NUM_ORDERS);
#endif
            compare(agent, spec, EPISODES, head == 1 && i % 2, "thin actor");
            assert_int_equal(uf_plays_apart(agent, spec), on_device());
            uf_agent_free(agent);
        }
}

// On the CPU sums have one order whoever asks.
static void test_dense(void** state) {
    (void)state;
    if (on_device()) skip();
    for (int i = 0; i < NUM_NAMES; i++) {
        const UfEnvSpec* spec = uf_env_find(names[i]);
        UfAgent* agent = make_agent(spec, i % NUM_HEADS, true, 33, 3);
        compare(agent, spec, EPISODES, false, "dense actor");
        uf_agent_free(agent);
    }
}

// More episodes than rows: each row plays several, of any length.
static void test_many_episodes(void** state) {
    (void)state;
    const UfEnvSpec* spec = uf_env_find("cartpole");
    UfAgent* agent = make_agent(spec, 2, false, 8, 1);
    thin_out(agent);
    compare(agent, spec, 3001, false, "many episodes");
    uf_agent_free(agent);
}

// An action that is none counts as 0 and is counted; the other members are not disturbed.
static void test_not_finite(void** state) {
    (void)state;
    const UfEnvSpec* spec = uf_env_find("pendulum");
    UfAgent* agent = make_agent(spec, 0, false, WIDTH, 2);
    thin_out(agent);
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        const real bias = NAN;
        if (strcmp(t->name, "actor/mean/bias") == 0)
            assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, 1, &bias));
    }
    const uint64_t seeds[MEMBERS] = {1, 2, 3};
    UfEvaluation played[MEMBERS];
    assert_ok(uf_play(played, agent, spec, 2, seeds, true));
    assert_int_equal(played[1].num_nonfinite_actions, 2 * spec->max_steps);
    assert_int_equal(played[0].num_nonfinite_actions + played[2].num_nonfinite_actions, 0);
    for (int p = 0; p < MEMBERS; p++) uf_evaluation_free(&played[p]);
    compare(agent, spec, 2, true, "NaN");
    uf_agent_free(agent);
}

static void test_refusals(void** state) {
    (void)state;
    const UfEnvSpec *pendulum = uf_env_find("pendulum"), *hopper = uf_env_find("hopper");
    const uint64_t seeds[MEMBERS] = {0};
    UfEvaluation out[MEMBERS];
    UfAgent *agent = make_agent(pendulum, 0, true, 8, 1), *wide = make_agent(pendulum, 0, true, 4097, 1);
    assert_int_equal(uf_play(out, agent, pendulum, 0, seeds, true), UF_ERR_ARGUMENT);
    assert_error("at least 1");
    assert_int_equal(uf_play(out, agent, hopper, 1, seeds, true), UF_ERR_UNSUPPORTED);
    assert_error("Hopper-v2 is simulated on the host alone");
    assert_int_equal(uf_play(out, agent, uf_env_find("cartpole"), 1, seeds, true), UF_ERR_ARGUMENT);
    assert_error("for 3 observations and 1 actions, CartPole-v1 has 4 and 2");
    assert_int_equal(uf_play(out, wide, pendulum, 1, seeds, true), UF_ERR_UNSUPPORTED);
    assert_error("4097 units");
    assert_false(uf_plays_apart(wide, pendulum) || uf_plays_apart(agent, hopper));
    uf_agent_free(agent);
    uf_agent_free(wide);
}

static int open_pool(void** state) {
    (void)state;
    return uf_pool_create(&pool, 2) == UF_OK ? 0 : -1;
}

static int close_pool(void** state) {
    (void)state;
    uf_pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_evaluate), cmocka_unit_test(test_dense),
        cmocka_unit_test(test_many_episodes), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("play", tests, open_pool, close_pool);
}
