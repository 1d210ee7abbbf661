// test_cuda_off_policy.c: off-policy agents on a CUDA device: what they train is what the CPU trains but for rounding, members
// of a population equal single agents to the bit, iterations that were noted and are repeated equal those done one by one.
// Environments on the device and on the host. Without a device it skips.
#include "../off_policy_envs.h"
#include "device.h"

#include <math.h>

#include "core/agents/off_policy_parts.h"

enum { MEMBERS = 3, NUM_ENVS = 2, ITERATIONS = 32 };

// UF_TEST_CASES limits the shapes of other tests, where they are slow; here agents.
static bool is_limited(void) { return getenv("UF_TEST_CASES") != NULL; }
#define FOR_AGENTS(agent)                            \
    for (int agent = 0; agent < NUM_AGENTS; agent++) \
        if (!is_limited() || agent == SAC_NUMBERS || agent == TD3)

// ---- agents ----

// TD3 has its actor move every other update and three updates an iteration, so that two iterations are a period.
static UfOffPolicyConfig varied(int agent, int p) {
    UfOffPolicyConfig c = small_agent(agent, p, 2 * ITERATIONS, 20);
    if (agent == TD3) c.updates = 3;
    return c;
}

typedef struct Training {
    UfBackend* backend;
    UfOffPolicy* agents;
    UfTrainEnvs* envs;
    SeEnv* synth;
    TestEnvs* test;  // environments of the host.   Nullable
} Training;

// Where agents train: in synthetic bandits and MDPs, which a device can have, and in environments that it cannot.
enum { BANDIT, MDP, ON_HOST, NUM_WORLDS };
static const char* const world_names[] = {"bandit", "MDP", "on the host"};

static SeEnv* make_synth(int agent, int world) {
    SeEnv* env;
    const SeOptions options = {.mode = world == MDP ? SE_MDP : SE_BANDIT,
                               .latent = SE_NORMAL,
                               .obs_dim = 2,
                               .action_dim = kinds_of(agent) ? kinds_of(agent) : 2,
                               .discrete = kinds_of(agent) > 0,
                               .action_low = -1,
                               .action_high = 3,
                               .width = 8,
                               .max_steps = 5};
    assert_ok(se_create(&env, &options, 3));
    return env;
}

static void make_world(Training* t, int agent, int world, const UfOffPolicyConfig* c, int P) {
    const SeEnv* envs[MEMBERS];
    uint64_t seeds[MEMBERS];
    if (world == ON_HOST) {
        t->test = make_envs(NUM_ENVS, kinds_of(agent), 2, -1, 3, 4, false, 0);
        t->envs = &t->test->base;
        return;
    }
    t->synth = make_synth(agent, world);
    for (int p = 0; p < P; p++) {
        envs[p] = t->synth;
        seeds[p] = c[p].seed + 7;
    }
    assert_ok(uf_train_envs_synthetic(&t->envs, envs, P, NUM_ENVS, seeds));
}

// precision NULL: on the CPU.
static Training make_in(const char* precision, int agent, int world, const UfOffPolicyConfig* c, int P) {
    Training t = {0};
    make_world(&t, agent, world, c, P);
    assert_ok(uf_backend_open(&t.backend, precision ? "cuda" : "cpu", precision ? precision : "fp32", 2));
    assert_ok(uf_off_policy_create(&t.agents, c, P, &t.envs->space, t.backend, 0));
    return t;
}
static Training make(int agent, int world, const UfOffPolicyConfig* c, int P) {
    return make_in("fp32", agent, world, c, P);
}

static Training train_in(const char* precision, int agent, int world, const UfOffPolicyConfig* c, int P,
                         int64_t iterations) {
    Training t = make_in(precision, agent, world, c, P);
    if (iterations >= 0) assert_ok(uf_off_policy_train(t.agents, t.envs, iterations));
    return t;
}
static Training train(int agent, int world, const UfOffPolicyConfig* c, int P, int64_t iterations) {
    return train_in("fp32", agent, world, c, P, iterations);
}

static void free_training(Training* t) {
    if (t->test)
        free_envs(t->test);
    else
        uf_train_envs_free(t->envs);
    uf_off_policy_free(t->agents);
    uf_backend_close(t->backend);
    se_free(t->synth);
}

// Parameters, moments and targets of a group, of all members one after another.
enum { PARAMS, MOMENT_M, MOMENT_V, TARGET, NUM_ARRAYS };
static real* array_of(const Training* t, int k, int array) {
    const UfGroup* g = uf_off_policy_parts()->group(t->agents, k);
    const real* arrays[] = {g->params, g->m, g->v, g->target};
    UfBackend* be = t->backend;
    const size_t count = (size_t)g->P * g->count;
    if (!count || !arrays[array]) return NULL;
    real* x = test_malloc(count * sizeof *x);
    be->download(be, x, arrays[array], count * sizeof *x);
    assert_ok(be->sync(be));
    return x;
}

static void assert_same_bits(const Training* a, int p, const Training* b, int q, const char* what) {
    for (int k = 0; k < UF_OFF_GROUPS; k++)
        for (int i = 0; i < NUM_ARRAYS; i++) {
            const size_t count = uf_off_policy_parts()->group(a->agents, k)->count;
            real *x = array_of(a, k, i), *y = array_of(b, k, i);
            assert_int_equal(!x, !y);
            if (x && memcmp(x + (size_t)p * count, y + (size_t)q * count, count * sizeof *x) != 0)
                fail_msg("%s: group %d, array %d of members %d and %d differ", what, k, i, p, q);
            test_free(x);
            test_free(y);
        }
}

// The share of the way from the initial values by which two runs may be apart. Sums of up to 20 rows and 9 products have some
// 30 roundings of 6e-8, a device's tanh and exp are off by 4e-7: gradients by 2e-6 of themselves, of which Adam makes as much
// (its epsilon is 1e-5), and what was learnt so acts on what is learnt next: ten times that.
static const double allowed_share = 2e-5;

static void assert_near(const Training* a, const Training* b, const Training* initial, const char* what,
                        const char* where) {
    for (int k = 0; k < UF_OFF_GROUPS; k++) {
        real *x = array_of(a, k, PARAMS), *y = array_of(b, k, PARAMS), *z = array_of(initial, k, PARAMS);
        const UfGroup* g = uf_off_policy_parts()->group(a->agents, k);
        double errors = 0, moved = 0;
        for (size_t i = 0; x && i < (size_t)g->P * g->count; i++) {
            errors += pow((double)x[i] - (double)y[i], 2);
            moved += pow((double)x[i] - (double)z[i], 2);
        }
        if (x && (!(moved > 0) || !(sqrt(errors) <= allowed_share * sqrt(moved))))
            fail_msg("%s, %s: group %d is off by %g, has moved by %g", what, where, k, sqrt(errors),
                     sqrt(moved));
        test_free(x);
        test_free(y);
        test_free(z);
    }
}

// ---- tests ----

static void compare_with_the_cpu(int agent, int world) {
    UfOffPolicyConfig c[MEMBERS];
    for (int p = 0; p < MEMBERS; p++) c[p] = varied(agent, p);
    Training initial = train_in(NULL, agent, world, c, MEMBERS, -1),
             cpu = train_in(NULL, agent, world, c, MEMBERS, 0), first = train(agent, world, c, MEMBERS, 0);
    int64_t steps[2][2];
    uf_off_policy_updates(cpu.agents, &steps[0][0], &steps[0][1]);
    uf_off_policy_updates(first.agents, &steps[1][0], &steps[1][1]);
    assert_memory_equal(steps[0], steps[1], sizeof steps[0]);
    assert_int_equal(uf_off_policy_iteration(first.agents), ITERATIONS);
    assert_near(&cpu, &first, &initial, agent_names[agent], world_names[world]);
    if (world == MDP) {
        change_order(1 + agent % 2);
        Training again = train(agent, world, c, MEMBERS, 0);
        change_order(0);
        for (int p = 0; p < MEMBERS; p++) assert_same_bits(&first, p, &again, p, agent_names[agent]);
        free_training(&again);
    }
    free_training(&initial);
    free_training(&cpu);
    free_training(&first);
}

// Parameters but for rounding, and as many steps; another order of threads and another time: the same bits.
static void test_equals_the_cpu(void** state) {
    NEEDS_DEVICE();
    FOR_AGENTS(agent) {
        for (int world = is_limited() ? MDP : BANDIT; world < NUM_WORLDS; world++)
            compare_with_the_cpu(agent, world);
    }
}

static void test_members_equal_single_agents(void** state) {
    NEEDS_DEVICE();
    for (int agent = is_limited() ? TD3 : SAC_KINDS; agent < NUM_AGENTS; agent++) {
        UfOffPolicyConfig c[MEMBERS];
        for (int p = 0; p < MEMBERS; p++) c[p] = varied(agent, p);
        Training all = train(agent, MDP, c, MEMBERS, 0);
        for (int p = 0; p < MEMBERS; p += 2) {
            Training alone = train(agent, MDP, &c[p], 1, 0);
            assert_same_bits(&all, p, &alone, 0, agent_names[agent]);
            free_training(&alone);
        }
        free_training(&all);
    }
}

// One iteration a call: a period of TD3 never fits, and nothing of it is noted.
static void test_in_pieces(void** state) {
    NEEDS_DEVICE();
    static const int pieces[] = {1, 7};
    for (int agent = is_limited() ? TD3 : DQN; agent <= TD3; agent += TD3 - DQN) {
        UfOffPolicyConfig c[MEMBERS];
        for (int p = 0; p < MEMBERS; p++) c[p] = varied(agent, p);
        Training whole = train(agent, MDP, c, MEMBERS, 0);
        for (int i = 0; i < 2; i++) {
            Training t = make(agent, MDP, c, MEMBERS);
            while (uf_off_policy_iteration(t.agents) < ITERATIONS)
                assert_ok(uf_off_policy_train(t.agents, t.envs, pieces[i]));
            for (int p = 0; p < MEMBERS; p++) assert_same_bits(&whole, p, &t, p, agent_names[agent]);
            free_training(&t);
        }
        free_training(&whole);
    }
}

// Environments that move to the device: its host launches nothing but what was noted, and DQN's copies of targets.
static void test_is_recorded(void** state) {
    NEEDS_DEVICE();
    FOR_AGENTS(agent) {
        const UfOffPolicyConfig c = varied(agent, 0);
        Training t = train(agent, MDP, &c, 1, ITERATIONS - 5);  // of TD3 an even number that learn
        UfBackend* be = t.backend;
        UfLaunchTimes times;
        assert_ok(be->start_clock(be));
        assert_ok(uf_off_policy_train(t.agents, t.envs, 2));
        assert_ok(be->stop_clock(be, &times));
        if (times.num_launches > 1 || times.num_recorded < 10)
            fail_msg("%s: %lld launches, %lld noted", agent_names[agent], (long long)times.num_launches,
                     (long long)times.num_recorded);
        free_training(&t);
    }
}

// Each precision is one of its own.
static void test_precisions(void** state) {
    NEEDS_DEVICE();
    static const char* const precisions[] = {"fp32", "tf32", "bf16"};
    real* actors[3];
    size_t size = 0;
    for (int i = 0; i < 3; i++) {
        UfOffPolicyConfig c = varied(DDPG, 0);
        c.layer_width = 32;
        Training t = train_in(precisions[i], DDPG, MDP, &c, 1, 0);
        assert_true(uf_off_policy_finite(t.agents, 0));
        size = uf_off_policy_actor_shape(t.agents)->size;
        actors[i] = test_malloc(size * sizeof *actors[i]);
        assert_ok(uf_off_policy_actors(t.agents, actors[i]));
        free_training(&t);
    }
    for (int i = 0; i < 3; i++)
        assert_memory_not_equal(actors[i], actors[(i + 1) % 3], size * sizeof *actors[i]);
    for (int i = 0; i < 3; i++) test_free(actors[i]);
}

// Member 1's rewards are no numbers; the others neither notice nor are told of.
static void test_nonfinite(void** state) {
    NEEDS_DEVICE();
    for (int agent = is_limited() ? DQN : SAC_NUMBERS; agent <= DQN; agent++) {
        UfOffPolicyConfig c[MEMBERS];
        for (int p = 0; p < MEMBERS; p++) c[p] = varied(agent, p);
        Training whole = train(agent, ON_HOST, c, MEMBERS, 0), broken = make(agent, ON_HOST, c, MEMBERS);
        broken.test->broken = NAN;
        assert_ok(uf_off_policy_train(broken.agents, broken.envs, 0));
        for (int p = 0; p < MEMBERS; p++) {
            assert_int_equal(uf_off_policy_finite(broken.agents, p), p != 1);
            if (p != 1) assert_same_bits(&whole, p, &broken, p, agent_names[agent]);
        }
        free_training(&whole);
        free_training(&broken);
    }
}

static void test_environment_fails(void** state) {
    NEEDS_DEVICE();
    const UfOffPolicyConfig c = varied(DQN, 0);
    Training t = make(DQN, ON_HOST, &c, 1);
    t.test->fail_at = 7;
    assert_int_equal(uf_off_policy_train(t.agents, t.envs, 0), UF_ERR_NONFINITE);
    assert_error("member 0: this environment breaks");
    free_training(&t);
}

#ifdef UF_HOST_CUDA
// Agents on a backend with so much room. Everything is given back.
static UfStatus create_with(size_t room) {
    const UfOffPolicyConfig c = varied(SAC_NUMBERS, 0);
    const size_t used = uf_host_cuda.used_bytes, total = uf_host_cuda.total_bytes;
    Training t = {0};
    make_world(&t, SAC_NUMBERS, MDP, &c, 1);
    assert_ok(uf_backend_open(&t.backend, "cuda", "fp32", 1));
    uf_host_cuda.total_bytes = uf_host_cuda.used_bytes + room;
    UfStatus status = uf_off_policy_create(&t.agents, &c, 1, &t.envs->space, t.backend, 0);
    if (status == UF_OK) status = uf_off_policy_train(t.agents, t.envs, 1);
    uf_host_cuda.total_bytes = total;
    free_training(&t);
    assert_int_equal(uf_host_cuda.used_bytes, used);
    return status;
}

static void test_memory_runs_out(void** state) {
    NEEDS_DEVICE();
    int failed = 0;
    size_t room = 0;
    for (UfStatus status; (status = create_with(room)) != UF_OK; room += 4096, failed++) {
        assert_int_equal(status, UF_ERR_MEMORY);
        assert_error("asked of the device");
    }
    assert_true(failed > 10);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_cpu),    cmocka_unit_test(test_members_equal_single_agents),
        cmocka_unit_test(test_in_pieces),         cmocka_unit_test(test_is_recorded),
        cmocka_unit_test(test_precisions),        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_environment_fails),
#ifdef UF_HOST_CUDA
        cmocka_unit_test(test_memory_runs_out),
#endif
    };
    return cmocka_run_group_tests_name("cuda_off_policy", tests, look_for_device, NULL);
}
