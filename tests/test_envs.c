// test_envs.c: gymnasium's recorded episodes, the table, the maze, termination rules, scripted datasets.
#include "support.h"
#include "h5_change.h"

#include <math.h>

#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/envs/termination.h"
#include "core/runs/collect.h"

#define TRACES "tests/data/classic_traces.h5"

// ---- recorded episodes ----

static void test_traces(void** state) {
    (void)state;
    char* report;
    bool passed;
    assert_ok(uf_verify_classic_traces(TRACES, &report, &passed));
    if (!passed) fail_msg("%s", report);
    int lines = 0;
    for (const char* c = report; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 5 * 10);
    assert_non_null(strstr(report, "Acrobot-v1"));
    // The rules of rounding hold to the last bit: whole swing-ups are replayed without any error.
    const char* replay = report;
    for (int i = 0; i < 5; i++) {
        replay = strstr(replay + 1, "replay: states");
        assert_non_null(replay);
        if (strncmp(strstr(replay, "worst"), "worst 0 ", 8)) fail_msg("%s", report);
    }
    uf_free(report);
}

// Opens a fresh copy of the recorded file for writing.
static void test_traces_altered(void** state) {
    (void)state;
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* check;  // that says FAIL
    } cases[] = {
        {"Pendulum-v1/states", 77, 1e-9, "one step: states"},
        {"Pendulum-v1/states", 77, (double)NAN, "one step: states"},
        {"Pendulum-v1/actions", 500, 1e-6, "one step: states"},
        {"MountainCarContinuous-v0/ep_state0", 2, 1e-6, "one step: states"},
        {"MountainCarContinuous-v0/rewards", 5, 1e-8, "rewards and returns"},
        {"CartPole-v1/ep_return", 1, 1, "rewards and returns"},
        {"CartPole-v1/terminated", 3, 1, "flags and actions"},
        {"MountainCar-v0/truncated", 199, -1, "flags and actions"},
        {"Acrobot-v1/obs", 7, 1e-6, "observations"},
        {"Acrobot-v1/ep_obs0", 2, 1e-5, "starts"},
        {"Pendulum-v1/ep_forced", 6, -1, "starts"},
        {"CartPole-v1/resets", 9, 1, "its resets: range"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char* path;
        hid_t file = open_copy(TRACES, &path);
        alter(file, cases[i].dataset, cases[i].index, cases[i].change);
        H5Fclose(file);
        char *report, line[256] = "";
        bool passed;
        assert_ok(uf_verify_classic_traces(path, &report, &passed));
        assert_false(passed);
        for (char* at = report; (at = strstr(at, cases[i].check)); at++) {
            snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
            if (strstr(line, "FAIL")) break;
        }
        if (!strstr(line, "FAIL"))
            fail_msg("%s changed, but '%s' does not say so", cases[i].dataset, cases[i].check);
        uf_free(report);
    }
}

static void test_traces_malformed(void** state) {
    (void)state;
    const char* path;
    char* report;
    bool passed;
    assert_int_equal(uf_verify_classic_traces(in_folder("absent.h5"), &report, &passed), UF_ERR_IO);
    assert_null(report);

    hid_t file = open_copy(TRACES, &path);
    H5Ldelete(file, "CartPole-v1/rewards", H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(uf_verify_classic_traces(path, &report, &passed), UF_ERR_FORMAT);
    assert_error("CartPole-v1/rewards");

    file = open_copy(TRACES, &path);
    H5Ldelete(file, "Acrobot-v1", H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(uf_verify_classic_traces(path, &report, &passed), UF_ERR_FORMAT);
    assert_error("Acrobot-v1");

    file = open_copy(TRACES, &path);  // another environment's observations: 3 columns instead of 4
    H5Ldelete(file, "CartPole-v1/obs", H5P_DEFAULT);
    H5Ocopy(file, "Pendulum-v1/obs", file, "CartPole-v1/obs", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(uf_verify_classic_traces(path, &report, &passed), UF_ERR_FORMAT);
    assert_error("4 expected");

    file = open_copy(TRACES, &path);
    alter(file, "CartPole-v1/ep_length", 0, 1);
    H5Fclose(file);
    assert_int_equal(uf_verify_classic_traces(path, &report, &passed), UF_ERR_FORMAT);
    assert_error("adds up to");
    assert_false(passed);
}

// ---- table and interface ----

static void test_table(void** state) {
    (void)state;
    assert_string_equal(uf_env_find("Pendulum-v1")->alias, "pendulum");
    assert_string_equal(uf_env_find("data/PENDULUM-medium-replay.hdf5")->name, "Pendulum-v1");
    assert_string_equal(uf_env_find("pointmaze-umaze-dense-replay.hdf5")->name, "PointMaze-umaze-dense");
    assert_string_equal(uf_env_find("pointmaze-umaze")->name, "PointMaze-umaze");
    assert_string_equal(uf_env_find("mountaincarcontinuous")->name, "MountainCarContinuous-v0");
    assert_string_equal(uf_env_find("mountaincar_random")->name, "MountainCar-v0");
    assert_string_equal(uf_env_find("hopper-medium-v2.hdf5")->name, "Hopper-v2");
    assert_string_equal(uf_env_find("Hopper-v3")->name, "Hopper-v2");
    assert_string_equal(uf_env_find("halfcheetah-v4")->name, "HalfCheetah-v4");
    assert_string_equal(uf_env_find("invertedpendulum")->name, "InvertedPendulum-v2");
    assert_string_equal(uf_env_find("Ant-v2")->name, "Ant-v2");
    assert_null(uf_env_find("Walker2d-v5"));
    assert_null(uf_env_find("Ant_maze_u-maze_noisy.hdf5"));
    assert_null(uf_env_find("antmaze-umaze-v2.hdf5"));
    assert_null(uf_env_find("pendulums"));
    assert_null(uf_env_find(""));
    assert_null(uf_env_find(NULL));

    UfEnv* env;
    assert_int_equal(uf_env_create(&env, "pendulun"), UF_ERR_ARGUMENT);
    assert_null(env);
    assert_error("did you mean 'pendulum'?");
    assert_error("pointmaze-large-dense");
    assert_int_equal(uf_env_create(&env, NULL), UF_ERR_ARGUMENT);
    uf_env_free(NULL);

    for (int i = 0; i < uf_num_env_specs; i++) {  // every row is complete
        const UfEnvSpec* spec = &uf_env_specs[i];
        UfTermination rule;
        assert_ptr_equal(uf_env_find(spec->name), spec);
        assert_ptr_equal(uf_env_find(spec->alias), spec);
        if (spec->termination_rule) assert_ok(uf_termination_rule(spec->termination_rule, &rule));
        if (uf_env_available(spec) == UF_OK) {
            assert_ok(uf_env_create(&env, spec->name));
            assert_ptr_equal(uf_env_spec(env), spec);
            uf_env_free(env);
        }
        assert_true(spec->max_steps > 0 && spec->state_dim <= UF_ENV_MAX_STATE);
        assert_true(spec->obs_dim <= UF_ENV_MAX_OBS);
        if (!spec->has_scores) continue;
        assert_true(spec->score_max > spec->score_min);
        assert_true(fabs(uf_env_score(spec, spec->score_max) - 100) < 1e-9);
        assert_true(fabs(uf_env_score(spec, spec->score_min)) < 1e-9);
    }
}

static void test_scale_action(void** state) {
    (void)state;
    const UfEnvSpec* pendulum = uf_env_find("pendulum");
    float out[3], in[] = {-3, -1, -0.25f, 0, 0.5f, 1, 7}, expected[] = {-2, -2, -0.5f, 0, 1, 2, 2};
    for (int i = 0; i < 7; i++) {
        uf_env_scale_action(pendulum, &in[i], out);
        assert_true(out[0] == expected[i]);
    }
    float votes[] = {0.1f, 0.9f, 0.9f};
    uf_env_scale_action(uf_env_find("acrobot"), votes, votes);  // in place; the first of equals
    assert_true(votes[0] == 1);
}

// An episode in numbers: what depends on (seed, episode) shows in them.
static void play(UfEnv* env, uint64_t seed, uint64_t episode, double skill, float* trail, int num_steps) {
    const UfEnvSpec* spec = uf_env_spec(env);
    UfRandom random = uf_random(seed, UF_STREAM_CONTROLLER, episode);
    float obs[UF_ENV_MAX_OBS], action[2];
    double reward;
    bool terminated, truncated;
    uf_env_reset(env, seed, episode, obs);
    for (int t = 0; t < num_steps; t++) {
        assert_ok(uf_env_controller(spec, env, obs, skill, &random, action));
        uf_env_step(env, action, obs, &reward, &terminated, &truncated);
        assert_int_equal(truncated, t + 1 >= spec->max_steps);
        trail[2 * t] = 0;
        for (int i = 0; i < spec->obs_dim; i++) trail[2 * t] += obs[i] * (float)(i + 1);
        trail[2 * t + 1] = (float)reward;
    }
}

static void test_interface(void** state) {
    (void)state;
    static float first[2 * 64], second[2 * 64], other[2 * 64];
    for (int i = 0; i < uf_num_env_specs; i++) {
        if (!uf_env_specs[i].ops->control) continue;  // test_mujoco.c
        UfEnv* env;
        float obs[UF_ENV_MAX_OBS], same[UF_ENV_MAX_OBS], action[2] = {0.5f, -1},
                                                         nan_action[2] = {(float)NAN, (float)NAN};
        double before[UF_ENV_MAX_STATE], reward, again;
        bool terminated, truncated;
        assert_ok(uf_env_create(&env, uf_env_specs[i].name));
        play(env, 3, 5, 0.5, first, 64);
        play(env, 3, 6, 0.5, other, 64);
        play(env, 3, 5, 0.5, second, 64);
        assert_memory_equal(first, second, sizeof first);
        assert_memory_not_equal(first, other, sizeof first);

        uf_env_reset(env, 1, 2, obs);
        uf_env_get_state(env, before);
        uf_env_step(env, action, obs, &reward, &terminated, &truncated);
        uf_env_set_state(env, before, same);
        uf_env_step(env, action, same, &again, &terminated, &truncated);
        assert_memory_equal(obs, same, sizeof(float) * (size_t)uf_env_specs[i].obs_dim);
        assert_true(reward == again);
        uf_env_step(env, nan_action, obs, &reward, &terminated, &truncated);  // must not crash
        uf_env_step(env, nan_action, obs, &reward, &terminated, &truncated);
        uf_env_free(env);
    }
}

static double mean_return(UfEnv* env, double skill, int num_episodes) {
    const UfEnvSpec* spec = uf_env_spec(env);
    double sum = 0, reward;
    for (int e = 0; e < num_episodes; e++) {
        UfRandom random = uf_random(2, UF_STREAM_CONTROLLER, (uint64_t)e);
        float obs[UF_ENV_MAX_OBS], action[2];
        bool terminated = false, truncated = false;
        uf_env_reset(env, 2, (uint64_t)e, obs);
        while (!terminated && !truncated) {
            assert_ok(uf_env_controller(spec, env, obs, skill, &random, action));
            uf_env_step(env, action, obs, &reward, &terminated, &truncated);
            sum += reward;
        }
    }
    return sum / num_episodes;
}

static void test_controllers(void** state) {
    (void)state;
    for (int i = 0; i < uf_num_env_specs; i++) {
        const UfEnvSpec* spec = &uf_env_specs[i];
        double scores[4];
        UfEnv* env;
        if (!spec->ops->control) continue;
        assert_ok(uf_env_create(&env, spec->name));
        for (int k = 0; k < 4; k++) scores[k] = uf_env_score(spec, mean_return(env, k / 3.0, 60));
        // the reference scores are what they are said to be, and more skill is more return
        if (!(fabs(scores[0]) < 8 && fabs(scores[3] - 100) < 8 && scores[1] > scores[0] - 1 &&
              scores[2] > scores[1] + 5 && scores[3] > scores[2] - 1))
            fail_msg("%s: scores at skill 0, 1/3, 2/3, 1: %g %g %g %g", spec->name, scores[0], scores[1],
                     scores[2], scores[3]);
        uf_env_free(env);
    }
    UfRandom random = uf_random(0, UF_STREAM_CONTROLLER, 0);
    float obs[3] = {1, 0, 0}, action[1];
    const UfEnvSpec* pendulum = uf_env_find("pendulum");
    assert_int_equal(uf_env_controller(pendulum, NULL, obs, 1.5, &random, action), UF_ERR_ARGUMENT);
    assert_error("1.5");
}

// ---- a square of cells ----

static void test_grid_world(void** state) {
    (void)state;
    static const struct {
        const char* name;
        int side, max_steps;
    } worlds[] = {{"GridWorld-5x5", 5, 20}, {"gridworld-8x8-medium.hdf5", 8, 32}};
    static const int ways[4][2] = {{-1, 0}, {1, 0}, {0, 1}, {0, -1}};  // left, right, up, down
    for (int w = 0; w < 2; w++) {
        const int side = worlds[w].side, last = side - 1;
        const UfEnvSpec* spec = uf_env_find(worlds[w].name);
        UfEnv* env;
        UfEnvRule rule;
        assert_non_null(spec);
        assert_int_equal(spec->max_steps, worlds[w].max_steps);
        assert_true(uf_env_rule(spec, &rule));
        assert_true(spec->obs_dim == 2 && spec->action_dim == 4 && spec->discrete && !spec->endless);
        assert_ok(uf_env_create(&env, spec->name));
        // every way out of every cell
        for (int x = 0; x < side; x++)
            for (int y = 0; y < side; y++)
                for (int way = 0; way < 4; way++) {
                    const int to[2] = {x + ways[way][0], y + ways[way][1]};
                    const bool wall = to[0] < 0 || to[1] < 0 || to[0] > last || to[1] > last;
                    const double expected[2] = {wall ? x : to[0], wall ? y : to[1]};
                    const bool goal = expected[0] == last && expected[1] == last;
                    const float action = (float)way;
                    float obs[2];
                    double reward, at[2];
                    bool terminated, truncated;
                    uf_env_set_state(env, (double[2]){x, y}, obs);
                    assert_true(obs[0] == (float)(2.0 * x / last - 1) &&
                                obs[1] == (float)(2.0 * y / last - 1));
                    uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
                    uf_env_get_state(env, at);
                    if (at[0] != expected[0] || at[1] != expected[1] || reward != goal ||
                        terminated != goal || truncated)
                        fail_msg("%s: (%d, %d), way %d: at (%g, %g), reward %g, terminated %d", spec->name, x,
                                 y, way, at[0], at[1], reward, terminated);
                    for (int i = 0; i < 2; i++) assert_true(obs[i] == (float)(2 * at[i] / last - 1));
                }
        // starts: every cell but the goal, each as often
        enum { EACH = 400 };
        int seen[64] = {0};
        for (int e = 0; e < (side * side - 1) * EACH; e++) {
            float obs[2];
            double at[2];
            uf_env_reset(env, 5, (uint64_t)e, obs);
            uf_env_get_state(env, at);
            assert_true(at[0] == floor(at[0]) && at[1] == floor(at[1]));
            seen[(int)at[1] * side + (int)at[0]]++;
        }
        assert_int_equal(seen[side * side - 1], 0);
        for (int c = 0; c < side * side - 1; c++)
            if (abs(seen[c] - EACH) > 100)  // 5 of their standard deviations, 20
                fail_msg("%s: cell %d is the start of %d episodes of about %d", spec->name, c, seen[c], EACH);
        uf_env_free(env);
    }
    // the script takes as few steps as there are
    UfEnv* env;
    UfRandom random = uf_random(0, UF_STREAM_CONTROLLER, 0);
    assert_ok(uf_env_create(&env, "gridworld-8x8"));
    for (int e = 0; e < 50; e++) {
        float obs[2], action;
        double at[2], reward;
        bool terminated = false, truncated = false;
        uf_env_reset(env, 6, (uint64_t)e, obs);
        uf_env_get_state(env, at);
        for (int t = 1; !terminated; t++) {
            assert_ok(uf_env_controller(uf_env_spec(env), env, obs, 1, &random, &action));
            uf_env_step(env, &action, obs, &reward, &terminated, &truncated);
            assert_int_equal(terminated, t == 14 - (int)(at[0] + at[1]));
            assert_false(truncated);
        }
    }
    uf_env_free(env);
}

// ---- maze ----

// Whether the disc of radius 0.1 around (x, y) reaches into a wall of the maze, by a search over cells.
static bool touches_wall(const char* rows, double x, double y) {
    int row = 0, column = 0;
    for (const char* c = rows; *c; c++) {
        if (*c == '\n') {
            row++;
            column = 0;
            continue;
        }
        double dx = fmax(fabs(x - row) - 0.5, 0), dy = fmax(fabs(y - column) - 0.5, 0);
        if (*c == '#' && hypot(dx, dy) < 0.1 - 1e-9) return true;
        column++;
    }
    return false;
}

static void test_maze_walls(void** state) {
    (void)state;
    for (int i = 0; i < uf_num_env_specs; i++) {
        const UfEnvSpec* spec = &uf_env_specs[i];
        if (spec->ops != &uf_maze_ops) continue;
        const UfMaze* maze = spec->details;
        UfRandom random = uf_random(7, 0, 0);
        UfEnv* env;
        assert_ok(uf_env_create(&env, spec->name));
        for (int e = 0; e < 20; e++) {
            float obs[4], action[2] = {0, 0};
            double reward, at[4];
            bool terminated, truncated;
            uf_env_reset(env, 0, (uint64_t)e, obs);
            for (int t = 0; t < spec->max_steps; t++) {
                if (t % 20 == 0)  // long pushes, so that walls and corners are hit at full speed
                    for (int k = 0; k < 2; k++) action[k] = (float)uf_random_uniform(&random, -1.5, 1.5);
                uf_env_step(env, action, obs, &reward, &terminated, &truncated);
                uf_env_get_state(env, at);
                if (touches_wall(maze->rows, at[0], at[1]))
                    fail_msg("%s: episode %d, step %d: in the wall at %.9g, %.9g", spec->name, e, t, at[0],
                             at[1]);
                assert_false(terminated);
                assert_true(fabs(at[2]) <= 5.25 && fabs(at[3]) <= 5.25);  // clipped to 5 before the last push
            }
        }
        uf_env_free(env);
    }
}

static void test_maze_physics(void** state) {
    (void)state;
    UfEnv* env;
    float obs[4], none[2] = {0, 0}, right[2] = {0, 1}, beyond[2] = {0, 9};
    double reward, at[4], limited[4];
    bool terminated, truncated;
    assert_ok(uf_env_create(&env, "pointmaze-open"));  // goal (2, 3)

    // free flight: a = (100 * action - v) / 4.19, so 0.01 s of full force gives 0.2386; actions are clipped
    uf_env_set_state(env, (double[4]){2, 2, 0, 0}, NULL);
    uf_env_step(env, right, obs, &reward, &terminated, &truncated);
    uf_env_get_state(env, at);
    assert_true(fabs(at[3] - 0.2386) < 1e-3 && at[2] == 0 && fabs(at[1] - 2 - 0.0015) < 2e-4);
    uf_env_set_state(env, (double[4]){2, 2, 0, 0}, NULL);
    uf_env_step(env, beyond, obs, &reward, &terminated, &truncated);
    uf_env_get_state(env, limited);
    assert_memory_equal(at, limited, sizeof at);
    uf_env_set_state(env, (double[4]){2, 2, 0, 40}, NULL);
    uf_env_step(env, none, obs, &reward, &terminated, &truncated);
    assert_true(obs[3] <= 5 && obs[3] > 4.9f);

    // against the wall at x = 0.5 the disc stops at 0.6 and slides on along y
    uf_env_set_state(env, (double[4]){0.61, 2, -4, 1}, NULL);
    uf_env_step(env, none, obs, &reward, &terminated, &truncated);
    uf_env_get_state(env, at);
    assert_true(at[0] == 0.6 && at[2] == 0 && at[3] > 0.99 && at[1] > 2.009);

    // rewards: 1 up to a distance of 0.5, else 0; dense: exp(-distance)
    const double distances[] = {0, 0.49, 0.51, 1.2};
    for (int dense = 0; dense < 2; dense++) {
        UfEnv* other;
        assert_ok(uf_env_create(&other, dense ? "pointmaze-open-dense" : "pointmaze-open"));
        for (int k = 0; k < 4; k++) {
            uf_env_set_state(other, (double[4]){2, 3 - distances[k], 0, 0}, NULL);
            uf_env_step(other, none, obs, &reward, &terminated, &truncated);
            double expected = dense ? exp(-distances[k]) : distances[k] <= 0.5;
            assert_true(fabs(reward - expected) < 1e-12);
        }
        uf_env_free(other);
    }
    uf_env_free(env);

    // an outer corner: the disc meets the edge of the U's wall at (1.5, 2.5) and is turned aside, not stopped
    assert_ok(uf_env_create(&env, "pointmaze-umaze"));
    uf_env_set_state(env, (double[4]){1, 2.55, 4, 0}, NULL);
    for (int t = 0; t < 30; t++) uf_env_step(env, none, obs, &reward, &terminated, &truncated);
    assert_true(obs[0] > 1.55f && obs[3] > 0.1f);
    uf_env_free(env);
}

// ---- termination rules ----

static void test_termination(void** state) {
    (void)state;
    static const struct {
        const char* name;
        float z[45];
        bool ends;
    } cases[] = {
        {"halfcheetah-medium-v2", {99, -99, 0}, false},
        {"halfcheetah", {0, -100, 0}, true},
        {"halfcheetahvel", {500, 0, 0}, false},
        {"hopper", {0.71f, 0.19f, 0}, false},
        {"hopper", {0.7f, 0, 0}, true},
        {"hopper", {150, 0, 0}, false},
        {"hopper", {1, -0.2f, 0}, true},
        {"hopper", {1, 0, 100}, true},
        {"hopper", {1, 0, (float)NAN}, true},
        {"walker2d", {0.81f, 0.99f, 0}, false},
        {"walker2d", {0.8f, 0, 0}, true},
        {"walker2d", {2, 0, 0}, true},
        {"walker2d", {1, -1, 0}, true},
        {"walker2d", {1, 0, 100}, true},
        {"ant", {0.2f, 500, 0}, false},
        {"ant", {1.1f, 0, 0}, true},
        {"ant", {0.5f, 0, (float)INFINITY}, true},
        {"humanoid", {1, 0, 0}, false},
        {"humanoid", {2.1f, 0, 0}, true},
        {"pendulum", {1, 0, 8}, false},
        {"invertedpendulum", {1, 0.2f, 8}, false},
        {"invertedpendulum", {1, -0.21f, 8}, true},
        {"maze2d-open", {2, 3.4f, 0}, true},
        {"maze2d-umaze-v1", {1, 1.6f, 0}, false},
        {"maze2d-medium", {6, 6, 0}, true},
        {"maze2d-large-dense-v1", {7, 9, 0}, true},
        {"antmaze-umaze", {0, 0, 0}, false},
        {"kitchen", {0, 0, 0}, false},
        {"mountaincarcontinuous", {0.46f, 0, 0}, true},
        {"mountaincarcontinuous", {0.46f, -0.01f, 0}, false},
        {"mountaincar", {0.46f, 0, 0}, false},
        {"cartpole", {0, 0, 0.21f}, true},
        {"cartpole", {2.3f, 9, 0.2f}, false},
        {"never", {(float)NAN, 0, 0}, false},
    };
    UfTermination rule;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(uf_termination_rule(cases[i].name, &rule));
        bool ends = uf_terminates(rule, cases[i].z, cases[i].z, 3);
        if (ends != cases[i].ends) fail_msg("case %zu, %s: %d", i, cases[i].name, ends);
    }
    // The mazes look at the observation before the step, as the reference does.
    float obs[45] = {0, 0}, goal[45] = {1, 1};
    assert_ok(uf_termination_rule("maze2d-umaze", &rule));
    assert_false(uf_terminates(rule, obs, goal, 2));
    assert_true(uf_terminates(rule, goal, obs, 2));
    float pen[45] = {0};
    assert_ok(uf_termination_rule("pen-human-v1", &rule));
    assert_true(uf_terminates(rule, pen, pen, 45));
    pen[26] = 0.08f;
    assert_false(uf_terminates(rule, pen, pen, 45));
    // The rule of an environment of ours says what the environment says.
    UfEnv* env;
    float at[45] = {0}, action = 2;
    double reward;
    bool terminated = false, truncated = false;
    assert_ok(uf_env_create(&env, "acrobot"));
    assert_ok(uf_termination_rule("acrobot", &rule));
    uf_env_reset(env, 0, 0, at);
    while (!truncated && !terminated) {
        action = at[4] > 0 ? 0 : 2;
        uf_env_step(env, &action, at, &reward, &terminated, &truncated);
        assert_int_equal(uf_terminates(rule, at, at, 6), terminated);
    }
    assert_true(terminated);
    uf_env_free(env);

    assert_int_equal(uf_termination_rule("swimmer", &rule), UF_ERR_ARGUMENT);
    assert_error("walker2d");
    assert_error("maze2d-large");
}

// ---- scripted datasets ----

// Whether two files hold the same transitions. (HDF5 may put the time of writing into a file.)
static bool same_rows(const char* a_path, const char* b_path) {
    UfDataset *a, *b;
    assert_ok(uf_dataset_open(&a, a_path, NULL));
    assert_ok(uf_dataset_open(&b, b_path, NULL));
    size_t floats = (size_t)a->num_records * (size_t)a->stride;
    bool same = a->num_records == b->num_records && a->num_timeouts == b->num_timeouts &&
                memcmp(a->records, b->records, floats * sizeof *a->records) == 0;
    uf_dataset_free(a);
    uf_dataset_free(b);
    return same;
}

static const char* const scripts[] = {"random", "medium", "expert"};

static UfStatus collect(const char* env, const char* policy, int64_t num_steps, uint64_t seed,
                        int num_threads, const char* path) {
    UfCollectOptions options = {.env = env,
                                .policy = policy,
                                .num_steps = num_steps,
                                .seed = seed,
                                .num_threads = num_threads,
                                .output = path};
    return uf_collect(&options);
}

static void test_collect(void** state) {
    (void)state;
    const char *one = in_folder("one.hdf5"), *four = in_folder("four.hdf5");
    assert_ok(collect("pendulum", "replay", 8100, 3, 1, one));
    assert_ok(collect("Pendulum-v1", "replay", 8100, 3, 4, four));
    assert_true(same_rows(one, four));
    assert_ok(collect("pendulum", "replay", 8100, 4, 4, four));
    assert_false(same_rows(one, four));

    // Every recorded transition is what the environment does; the last episode is cut and has no flag.
    UfH5 h5;
    char* text;
    static float obs[8100 * 3], actions[8100], rewards[8100];
    static uint8_t terminals[8100], timeouts[8100];
    assert_ok(uf_h5_open(&h5, one));
    assert_ok(uf_h5_read_string(&h5, "", "env_id", &text));
    assert_string_equal(text, "Pendulum-v1");
    uf_free(text);
    assert_ok(uf_h5_read_string(&h5, "", "recipe", &text));
    assert_string_equal(text, "unifloral collect --env pendulum --policy replay --steps 8100 --seed 3");
    uf_free(text);
    assert_ok(uf_h5_read(&h5, "observations", UF_H5_FLOAT, obs, 8100 * 3));
    assert_ok(uf_h5_read(&h5, "actions", UF_H5_FLOAT, actions, 8100));
    assert_ok(uf_h5_read(&h5, "rewards", UF_H5_FLOAT, rewards, 8100));
    assert_ok(uf_h5_read(&h5, "terminals", UF_H5_UINT8, terminals, 8100));
    assert_ok(uf_h5_read(&h5, "timeouts", UF_H5_UINT8, timeouts, 8100));
    assert_false(uf_h5_exists(&h5, "next_observations"));
    assert_ok(uf_h5_close(&h5));
    UfEnv* env;
    double reward, halves[2] = {0, 0};
    bool terminated, truncated = true;
    float at[3], action;
    assert_ok(uf_env_create(&env, "pendulum"));
    for (int i = 0, episode = 0; i < 8100; i++) {
        if (truncated) uf_env_reset(env, 3, (uint64_t)episode++, at);
        assert_memory_equal(at, obs + 3 * i, sizeof at);
        assert_true(fabsf(actions[i]) <= 1);
        uf_env_scale_action(uf_env_spec(env), &actions[i], &action);
        uf_env_step(env, &action, at, &reward, &terminated, &truncated);
        assert_true(rewards[i] == (float)reward);
        assert_int_equal(timeouts[i], truncated);
        assert_int_equal(terminals[i], 0);
        halves[i / 4050] += reward;
    }
    assert_int_equal(timeouts[8099], 0);
    assert_true(halves[1] > halves[0]);  // skill rises
    uf_env_free(env);
}

static void test_collect_policies(void** state) {
    (void)state;
    static const char* const envs[] = {"pendulum", "mountaincarcontinuous", "pointmaze-umaze-dense"};
    for (int i = 0; i < 3; i++) {
        double means[3];
        for (int policy = 0; policy < 3; policy++) {
            UfDataset* data;
            const char* path = in_folder("policy.hdf5");
            assert_ok(collect(envs[i], scripts[policy], 20000, 0, 2, path));
            assert_ok(uf_dataset_open(&data, path, NULL));
            double sum = 0;
            int64_t whole = data->num_episodes - data->unfinished_tail;
            for (int64_t e = 0; e < whole; e++) sum += data->episode_returns[e];
            means[policy] = uf_env_score(uf_env_find(envs[i]), sum / (double)whole);
            uf_dataset_free(data);
        }
        if (!(fabs(means[0]) < 15 && means[1] > 20 && means[1] < 95 && fabs(means[2] - 100) < 15))
            fail_msg("%s: random, medium, expert score %g, %g, %g", envs[i], means[0], means[1], means[2]);
    }
    const char* path = in_folder("refused.hdf5");
    assert_int_equal(collect("hoper", "expert", 100, 0, 1, path), UF_ERR_ARGUMENT);
    assert_int_equal(collect("pendulum", "expert", 0, 0, 1, path), UF_ERR_ARGUMENT);
    assert_int_not_equal(access(path, F_OK), 0);
    path = in_folder("no/such/folder.hdf5");
    assert_int_equal(collect("pendulum", "expert", 9, 0, 1, path), UF_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),           cmocka_unit_test(test_traces_altered),
        cmocka_unit_test(test_traces_malformed), cmocka_unit_test(test_table),
        cmocka_unit_test(test_scale_action),     cmocka_unit_test(test_interface),
        cmocka_unit_test(test_controllers),      cmocka_unit_test(test_grid_world),
        cmocka_unit_test(test_maze_walls),       cmocka_unit_test(test_maze_physics),
        cmocka_unit_test(test_termination),      cmocka_unit_test(test_collect),
        cmocka_unit_test(test_collect_policies),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
