// test_grid_env.c: gridworlds behind the interface for single policies: the same episodes as the rules and views say, a
// script that succeeds, datasets of them, and what BC, IQL and CQL learn from these.
#include "support.h"

#include <math.h>

#include "core/agents/evaluate.h"
#include "core/config.h"
#include "core/data/dataset.h"
#include "core/envs/envs.h"
#include "core/grid/grid_levels.h"
#include "core/grid/grid_step.h"
#include "core/grid/grid_table.h"
#include "core/grid/grid_view.h"
#include "core/runs/collect.h"
#include "core/runs/run.h"

enum { OBS = 147 };

// ---- interface ----

static bool is_playable(int i) { return !nx_specs[i].navix; }

static void test_table(void** state) {
    (void)state;
    int playable = 0, scripted = 0;
    for (int i = 0; i < nx_num_specs; i++) {
        const UfEnvSpec *spec = &uf_grid_env_specs[i], *found = NULL;
        assert_string_equal(spec->name, nx_specs[i].id);
        if (!is_playable(i)) {
            assert_null(uf_env_find(spec->name));
            assert_int_equal(uf_env_lookup(&found, spec->name), UF_ERR_UNSUPPORTED);
            assert_error("take a 'MiniGrid-' id");
            continue;
        }
        assert_ptr_equal(uf_env_find(spec->name), spec);
        assert_true(spec->discrete && spec->obs_dim == OBS && spec->action_dim == NX_NUM_ACTIONS &&
                    spec->max_steps == nx_specs[i].max_steps);
        playable++;
        scripted += spec->ops->control != NULL;
    }
    assert_true(playable >= 76 && scripted >= 60);
    // As datasets are named.
    assert_ptr_equal(uf_env_find("data/minigrid-doorkey-5x5-v0-mix.hdf5"),
                     uf_env_find("MiniGrid-DoorKey-5x5-v0"));
    assert_null(uf_env_find("MiniGrid-DoorKey-5x5"));
    assert_null(uf_env_find("MiniGrid-DoorKey-5x5-v01"));
    const UfEnvSpec* spec = NULL;
    assert_int_equal(uf_env_lookup(&spec, "MiniGrid-DoorKey-5x6-v0"), UF_ERR_ARGUMENT);
    assert_error("MiniGrid-DoorKey-5x5-v0");
    assert_true(uf_env_score(uf_env_find("MiniGrid-Empty-5x5-v0"), 0.5) == 50);
}

// Random episodes against the rules applied by hand: observations in rows, columns, channels, rewards, both ends.
static void test_episodes(void** state) {
    (void)state;
    static const char* const ids[] = {"MiniGrid-DoorKey-5x5-v0", "MiniGrid-Dynamic-Obstacles-6x6-v0",
                                      "MiniGrid-ObstructedMaze-1Dlhb-v0", "MiniGrid-MultiRoom-N2-S4-v0",
                                      "MiniGrid-PutNear-6x6-N2-v0"};
    for (size_t k = 0; k < sizeof ids / sizeof *ids; k++) {
        UfEnv* env;
        const NxSpec* row;
        NxLayout layout;
        assert_ok(uf_env_create(&env, ids[k]));
        assert_ok(nx_find_spec(&row, ids[k]));
        nx_lay_out(&layout, row, false);
        NxEnv* grid = test_calloc(1, layout.env_bytes);
        int terminations = 0, truncations = 0;
        for (uint64_t episode = 0; episode < 20; episode++) {
            UfRandom start = uf_random(9, UF_STREAM_ENV_RESET, episode), random = uf_random(4, 0, episode);
            float obs[OBS];
            bool terminated = false, truncated = false;
            grid->random = (uint64_t)uf_random_u32(&start) << 32;
            grid->random |= uf_random_u32(&start);
            nx_generate(&layout, grid);
            uf_env_reset(env, 9, episode, obs);
            for (int t = 0; !terminated && !truncated; t++) {
                NxCell view[49];
                nx_view(&layout, grid, view);
                for (int i = 0; i < 49; i++) {
                    uint8_t triple[3];
                    nx_put_triple(view[i], triple);
                    for (int j = 0; j < 3; j++) assert_true(obs[3 * i + j] == triple[j]);
                }
                float action = (float)(uf_random_u32(&random) % NX_NUM_ACTIONS);
                double reward;
                const NxResult result = nx_step_env(&layout, grid, (int)action, NULL);
                uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
                assert_true(reward == (double)result.reward);
                assert_int_equal(terminated, result.terminated);
                assert_int_equal(truncated, result.truncated);
                assert_true(t < row->max_steps);
            }
            terminations += terminated;
            truncations += truncated;
        }
        assert_true(terminations + truncations >= 20);
        test_free(grid);
        uf_env_free(env);
    }
}

// The first view in Empty-5x5, by hand: the agent stands at (1, 1) and looks east, so that rows of the view are columns of
// the map, 4 to 1 upwards from row 3, and its right hand is south. What is beyond the walls is wall.
static void test_first_view(void** state) {
    (void)state;
    UfEnv* env;
    float obs[OBS];
    assert_ok(uf_env_create(&env, "MiniGrid-Empty-5x5-v0"));
    uf_env_reset(env, 0, 0, obs);
    for (int r = 0; r < 7; r++)
        for (int c = 0; c < 7; c++) {
            const int x = 1 + (6 - r), y = 1 + (c - 3);
            const bool inside = x > 0 && x < 4 && y > 0 && y < 4, goal = x == 3 && y == 3;
            const float want[3] = {goal ? 8 : inside ? 1 : 2, goal ? 1 : inside ? 0 : 5, 0};
            assert_memory_equal(obs + 3 * (7 * r + c), want, sizeof want);
        }
    uf_env_free(env);
}

// ---- script ----

// At full skill it succeeds in every episode but where the task's own chance may prevent it; a random agent gets less.
static void test_script(void** state) {
    (void)state;
    for (int i = 0; i < nx_num_specs; i++) {
        const UfEnvSpec* spec = &uf_grid_env_specs[i];
        UfEnv* env;
        float obs[OBS], action;
        double sums[2] = {0, 0};
        int successes = 0;
        enum { EPISODES = 12 };
        if (!is_playable(i) || nx_specs[i].width > 19) continue;  // MultiRoom's maps cost more than they show
        assert_ok(uf_env_create(&env, spec->name));
        for (int skill = spec->ops->control ? 1 : 0; skill >= 0; skill--)
            for (uint64_t e = 0; e < EPISODES; e++) {
                UfRandom random = uf_random(1, UF_STREAM_CONTROLLER, e);
                double reward = 0;
                bool terminated = false, truncated = false;
                uf_env_reset(env, 1, e, obs);
                while (!terminated && !truncated) {
                    assert_ok(uf_env_controller(spec, env, obs, skill, &random, &action));
                    assert_true(action >= 0 && action < NX_NUM_ACTIONS && action == floorf(action));
                    uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
                }
                sums[skill] += reward;
                successes += skill && reward > 0;
            }
        if (!spec->ops->control) {
            UfRandom random = uf_random(1, 0, 0);
            assert_int_equal(uf_env_controller(spec, env, obs, 0.5, &random, &action), UF_ERR_UNSUPPORTED);
            assert_error("has no scripted controller but the random one; take a trained policy");
        } else if (successes <
                   (nx_specs[i].family == NX_FAMILY_DYNAMIC_OBSTACLES ? EPISODES - 2 : EPISODES)) {
            fail_msg("%s: the script succeeds in %d of %d episodes", spec->name, successes, EPISODES);
        } else if (!(sums[1] > sums[0])) {
            fail_msg("%s: the script's returns add up to %g, random ones to %g", spec->name, sums[1],
                     sums[0]);
        }
        uf_env_free(env);
    }
}

// What random actions leave lying in the way is cleared: half of all actions are random here.
static void test_script_recovers(void** state) {
    (void)state;
    static const char* const ids[] = {"MiniGrid-DoorKey-5x5-v0", "MiniGrid-KeyCorridorS3R1-v0",
                                      "MiniGrid-UnlockPickup-v0", "MiniGrid-LockedRoom-v0"};
    for (size_t k = 0; k < sizeof ids / sizeof *ids; k++) {
        const UfEnvSpec* spec = uf_env_find(ids[k]);
        UfEnv* env;
        int successes = 0;
        assert_ok(uf_env_create(&env, ids[k]));
        for (uint64_t e = 0; e < 40; e++) {
            UfRandom random = uf_random(5, UF_STREAM_CONTROLLER, e);
            float obs[OBS], action;
            double reward = 0;
            bool terminated = false, truncated = false;
            uf_env_reset(env, 5, e, obs);
            // 70 random steps, then the script.
            for (int t = 0; !terminated && !truncated; t++) {
                assert_ok(uf_env_controller(spec, env, obs, t < 70 ? 0 : 1, &random, &action));
                uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
            }
            successes += reward > 0;
        }
        if (successes < 40) fail_msg("%s: %d of 40 episodes succeed", ids[k], successes);
        uf_env_free(env);
    }
}

// ---- data ----

static UfStatus collect(const char* env, const char* mix, int64_t steps, double noise, int threads,
                        const char* path) {
    const UfCollectOptions options = {
        .env = env, .mix = mix, .num_steps = steps, .noise = noise, .num_threads = threads, .output = path};
    return uf_collect(&options);
}

static void test_collect(void** state) {
    (void)state;
    const char *one = in_folder("one.hdf5"), *three = in_folder("three.hdf5");
    UfDataset *a, *b;
    assert_ok(collect("MiniGrid-DoorKey-5x5-v0", "random:0.5,medium:0.5", 3000, 0, 1, one));
    assert_ok(collect("MiniGrid-DoorKey-5x5-v0", "random:0.5,medium:0.5", 3000, 0, 3, three));
    assert_ok(uf_dataset_open(&a, one, NULL));
    assert_ok(uf_dataset_open(&b, three, NULL));
    assert_true(a->discrete && a->obs_dim == OBS && a->action_dim == NX_NUM_ACTIONS &&
                a->num_records == 3000);
    assert_string_equal(a->env_id, "MiniGrid-DoorKey-5x5-v0");
    assert_memory_equal(a->records, b->records, (size_t)a->num_records * (size_t)a->stride * sizeof(float));
    // What the file says is what the environment did.
    UfEnv* env;
    float obs[OBS];
    bool terminated = true, truncated = false;
    uint64_t episode = 0;
    assert_ok(uf_env_create(&env, a->env_id));
    for (int i = 0; i < 1000; i++) {
        const float *record = a->records + (size_t)i * (size_t)a->stride, *action = record + OBS;
        double reward;
        int kind = 0;
        if (terminated || truncated) uf_env_reset(env, 0, episode++, obs);
        assert_memory_equal(record, obs, sizeof obs);
        while (action[kind] != 1) kind++;
        uf_env_step(env, &(float){(float)kind}, obs, &reward, &terminated, &truncated);
        assert_true(record[OBS + NX_NUM_ACTIONS] == (float)reward);
        assert_int_equal((int)record[OBS + NX_NUM_ACTIONS + 1], terminated);
    }
    uf_env_free(env);
    uf_dataset_free(a);
    uf_dataset_free(b);
    assert_int_equal(collect("MiniGrid-DoorKey-5x5-v0", "random:1", 100, 0.1, 1, one), UF_ERR_ARGUMENT);
    assert_error(
        "exploration noise of 0.1 needs continuous actions, MiniGrid-DoorKey-5x5-v0 has discrete ones");
    assert_int_equal(collect("MiniGrid-Playground-v0", "medium:1", 100, 0, 1, one), UF_ERR_UNSUPPORTED);
    assert_error("no scripted controller but the random one");
    assert_int_equal(collect("MiniGrid-DoorKey-9x9-v0", "random:1", 100, 0, 1, one), UF_ERR_ARGUMENT);
    assert_error("did you mean 'MiniGrid-DoorKey-");
}

// ---- learning ----

// Small networks on little data, whose episodes return .60 on average. Of ten seeds at these settings BC's and IQL's all
// returned .956, CQL's .83 to .94.
static void test_learning(void** state) {
    (void)state;
    static const char* const presets[] = {"bc", "iql", "cql"};
    static const double least[] = {0.9, 0.9, 0.75};
    const char* path = in_folder("learn.hdf5");
    const UfEnvSpec* spec = uf_env_find("MiniGrid-Empty-6x6-v0");
    UfDataset* data;
    UfPool* pool;
    assert_ok(collect(spec->name, "random:0.5,medium:0.5", 8000, 0, 1, path));
    assert_ok(uf_dataset_open(&data, path, NULL));
    assert_ok(uf_pool_create(&pool, 1));
    for (size_t k = 0; k < 3; k++) {
        UfConfig* config;
        UfAgent* agent;
        UfPolicy* policy;
        UfEvaluation e;
        char file[64];
        snprintf(file, sizeof file, "configs/minigrid/%s.json", presets[k]);
        assert_ok(uf_config_create(&config));
        assert_ok(uf_config_load(config, file));
        assert_ok(
            uf_config_parse(config,
                            "{\"actor_layer_width\": 32, \"critic_layer_width\": 32, \"batch_size\": 64,"
                            " \"num_updates\": 2000, \"lr\": 1e-3, \"actor_lr\": 1e-3}",
                            "small"));
        assert_ok(uf_agent_create(&agent, config, data, 1));
        assert_ok(uf_train(agent, data, 0, NULL, NULL));
        assert_ok(uf_policy_create(&policy, agent, 0));
        assert_ok(uf_evaluate(&e, policy, spec, 50, 8, 1, config->deterministic_eval, pool));
        if (!(e.mean_return > least[k])) fail_msg("%s: the mean return is %g", presets[k], e.mean_return);
        uf_evaluation_free(&e);
        uf_policy_free(policy);
        uf_agent_free(agent);
        uf_config_free(config);
    }
    uf_pool_free(pool);
    uf_dataset_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),           cmocka_unit_test(test_episodes),
        cmocka_unit_test(test_first_view),      cmocka_unit_test(test_script),
        cmocka_unit_test(test_script_recovers), cmocka_unit_test(test_collect),
        cmocka_unit_test(test_learning),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
