// test_mujoco.c: MuJoCo tasks against recorded trajectories, through the interface, and under a policy on
// threads. tests/data/mujoco_traces.h5 holds 12 steps of two of the 8 runs of ../shared/oracle/mujoco_traces.h5.
#include "support.h"
#include "h5_change.h"

#include <math.h>
#include <sys/stat.h>

#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/envs/mujoco.h"
#include "core/runs/run.h"
#include "core/verify/verify.h"

#define TRACES "tests/data/mujoco_traces.h5"

#ifdef UF_NO_MUJOCO

static void test_absent(void** state) {
    (void)state;
    UfEnv* env;
    char* report;
    bool passed;
    assert_int_equal(uf_env_create(&env, "hopper"), UF_ERR_UNSUPPORTED);
    assert_error("libmujoco-dev");
    assert_null(env);
    assert_int_equal(uf_env_available(uf_env_find("Ant-v4")), UF_ERR_UNSUPPORTED);
    assert_int_equal(uf_verify(TRACES, &report, &passed), UF_ERR_UNSUPPORTED);
    assert_error("libmujoco-dev");
    printf("SKIP MuJoCo tasks: libmujoco-dev was not there when this was built\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#else

static const char* const names[] = {
    "Hopper-v2",   "Hopper-v4", "HalfCheetah-v2", "HalfCheetah-v4",      "Walker2d-v2",
    "Walker2d-v4", "Ant-v2",    "Ant-v4",         "InvertedPendulum-v2", "InvertedPendulum-v4"};
enum { NUM_NAMES = sizeof names / sizeof names[0] };

// ---- recorded trajectories ----

static void check_traces(const char* path) {
    char* report;
    bool passed;
    assert_ok(uf_verify(path, &report, &passed));
    if (!passed) fail_msg("%s", report);
    int lines = 0;
    for (const char* c = report; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 5 * 2 * 10 + 1);
    uf_free(report);
}

static void test_traces(void** state) {
    (void)state;
    check_traces(TRACES);
}

static void test_all_traces(void** state) {
    (void)state;
    const char* path = "../shared/oracle/mujoco_traces.h5";
    if (access(path, R_OK) != 0) {
        printf("SKIP test_all_traces: %s not there\n", path);
        skip();
    }
    check_traces(path);
}

static void test_altered(void** state) {
    (void)state;
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* check;  // that says FAIL
    } cases[] = {
        {"hopper/exact/model/body_mass", 2, 1e-6, "masses"},
        {"halfcheetah/legacy/model/body_inertia", 4, 1e-6, "masses"},
        {"walker2d/exact/model/geom_friction", 12, 1e-3, "model: all else"},
        {"ant/exact/model/actuator_gear", 0, 1, "model: all else"},
        {"invertedpendulum/exact/model/jnt_range", 1, 1e-3, "model: all else"},
        {"hopper/legacy/qpos", 70, 1e-7, "one step: states"},
        {"walker2d/legacy/qvel", 9, (double)NAN, "one step: states"},
        {"ant/legacy/action", 20, -0.1, "one step: states"},
        {"ant/exact/torso_x", 13, 1e-7, "one step: states"},
        {"hopper/exact/qvel0", 1, 1e-5, "10 steps: states"},
        {"halfcheetah/exact/obs", 17, 1e-7, "one step: observations"},
        {"halfcheetah/exact/obs0", 17, 1e-7, "starts: observations"},
        {"walker2d/exact/reward", 4, 1e-6, "one step: rewards"},
        {"ant/exact/terminated", 3, 1, "one step: terminated"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char* path;
        hid_t file = open_copy(TRACES, &path);
        alter(file, cases[i].dataset, cases[i].index, cases[i].change);
        H5Fclose(file);
        char *report, line[256] = "", group[64];
        bool passed;
        assert_ok(uf_verify(path, &report, &passed));
        assert_false(passed);
        snprintf(group, sizeof group, "%.*s",
                 (int)(strchr(strchr(cases[i].dataset, '/') + 1, '/') - cases[i].dataset), cases[i].dataset);
        for (char* at = report; (at = strstr(at, group)); at++) {
            snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
            if (strstr(line, cases[i].check) && strstr(line, "FAIL")) break;
        }
        if (!strstr(line, cases[i].check) || !strstr(line, "FAIL"))
            fail_msg("%s changed, but '%s' does not say so:\n%s", cases[i].dataset, cases[i].check, report);
        uf_free(report);
    }
}

static void expect_refusal(const char* path, const char* piece) {
    char* report;
    bool passed;
    assert_int_equal(uf_verify(path, &report, &passed), UF_ERR_FORMAT);
    assert_error(piece);
    assert_null(report);
    assert_false(passed);
}

static void test_malformed(void** state) {
    (void)state;
    const char* path;
    hid_t file = open_copy(TRACES, &path);
    H5Ldelete(file, "ant/legacy/reward", H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "ant/legacy/reward");
    file = open_copy(TRACES, &path);
    H5Lmove(file, "hopper/legacy", file, "hopper/newest", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "group 'newest' is no variant of a MuJoCo task that we know");
    file = open_copy(TRACES, &path);
    H5Ldelete(file, "hopper/legacy", H5P_DEFAULT);
    H5Ldelete(file, "hopper/exact", H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "'hopper' has no group");
    file = open_copy(TRACES, &path);
    H5Lmove(file, "walker2d", file, "swimmer", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "swimmer");
    file = open_copy(TRACES, &path);  // another task's: 17 columns for 11
    H5Ldelete(file, "hopper/exact/obs", H5P_DEFAULT);
    H5Ocopy(file, "walker2d/exact/obs", file, "hopper/exact/obs", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "2 x 12 x 11 expected");
    file = open_copy(TRACES, &path);
    H5Ldelete(file, "hopper/exact/reward", H5P_DEFAULT);
    H5Ocopy(file, "hopper/exact/obs", file, "hopper/exact/reward", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    expect_refusal(path, "hopper/exact/reward");
}

// The recorder missed a contact in row 3 (tests/tools/make_missed_contact.py): right but for that. What is recorded of
// the step is compared all the same.
static void test_missed_contact(void** state) {
    (void)state;
    static const char recording[] = "tests/data/mujoco_missed.h5";
    char* report;
    bool passed;
    assert_ok(uf_verify(recording, &report, &passed));
    if (!passed) fail_msg("%s", report);
    assert_non_null(strstr(report, "one step: states, 1 miss a contact"));
    uf_free(report);
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* check;
    } cases[] = {
        {"qvel", 3 * 9 + 2, 1e-6, "one step: states "},      {"qpos", 3 * 9 + 1, -1e-6, "one step: states "},
        {"action", 3 * 6, -0.1, "one step: states "},        {"torso_x", 3, 1e-6, "one step: states "},
        {"obs", 3 * 17 + 4, 1e-6, "one step: observations"}, {"reward", 3, 1e-6, "one step: rewards"},
        {"terminated", 3, 1, "one step: terminated"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char* path;
        char name[64];
        hid_t file = open_copy(recording, &path);
        snprintf(name, sizeof name, "halfcheetah/legacy/%s", cases[i].dataset);
        alter(file, name, cases[i].index, cases[i].change);
        H5Fclose(file);
        if (!(report = report_of(path))) fail_msg("%s was changed, and verify passed", name);
        const char* line = strstr(report, cases[i].check);
        assert_non_null(line);
        if (strstr(line, "FAIL") > strchr(line, '\n')) fail_msg("%s was changed:\n%s", name, report);
        uf_free(report);
    }
}

// Tasks and variants may be left out.
static void test_some(void** state) {
    (void)state;
    const char* path;
    char* report;
    bool passed;
    hid_t file = open_copy(TRACES, &path);
    static const char* const gone[] = {"hopper/legacy", "walker2d", "halfcheetah", "invertedpendulum",
                                       "ant/exact"};
    for (int i = 0; i < 5; i++) assert_true(H5Ldelete(file, gone[i], H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_ok(uf_verify(path, &report, &passed));
    assert_true(passed);
    static const char* const said[] = {"not recorded: halfcheetah, walker2d, invertedpendulum (/)\n",
                                       "not recorded: legacy (hopper)\n", "not recorded: exact (ant)\n",
                                       "hopper/exact", "ant/legacy"};
    for (int i = 0; i < 5; i++) assert_non_null(strstr(report, said[i]));
    uf_free(report);
}

// ---- interface ----

static void test_masses(void** state) {
    (void)state;
    // the well-known ones of D4RL's days, and what MuJoCo computes now
    static const double legacy[] = {3.53429174, 3.92699082, 2.71433605, 5.0893801};
    static const double exact[] = {3.66519143, 4.05789051, 2.7813567, 5.31557477};
    for (int i = 0; i < 2; i++) {
        UfEnv* env;
        assert_ok(uf_env_create(&env, i ? "Hopper-v4" : "hopper"));
        for (int body = 0; body < 4; body++)
            assert_true(fabs(uf_mujoco_model(env)->body_mass[body + 1] - (i ? exact : legacy)[body]) < 1e-8);
        uf_env_free(env);
    }
}

// Follows an episode of smooth actions; obs and rewards in a row.
static int play(UfEnv* env, uint64_t episode, int first, int num_steps, float* trail) {
    const UfEnvSpec* spec = uf_env_spec(env);
    float obs[32], action[8];
    double reward;
    bool terminated = false, truncated = false;
    if (first == 0) uf_env_reset(env, 4, episode, obs);
    int k = first;
    for (; k < first + num_steps; k++) {
        for (int i = 0; i < spec->action_dim; i++)
            action[i] = sinf(0.3f * (float)(k + i)) * spec->action_high;
        uf_env_step(env, action, obs, &reward, &terminated, &truncated);
        for (int i = 0; i < spec->obs_dim; i++) *trail++ = obs[i];
        *trail++ = (float)reward;
        *trail++ = terminated;
    }
    return k;
}

static void test_interface(void** state) {
    (void)state;
    static float first[40 * 40], second[40 * 40];
    for (int n = 0; n < NUM_NAMES; n++) {
        UfEnv *env, *other;
        double saved[UF_ENV_MAX_STATE];
        memset(first, 0, sizeof first);
        memset(second, 0, sizeof second);
        assert_ok(uf_env_create(&env, names[n]));
        const UfEnvSpec* spec = uf_env_spec(env);
        const mjModel* m = uf_mujoco_model(env);
        assert_int_equal(spec->action_dim, m->nu);
        assert_int_equal(spec->state_dim, m->nq + 2 * m->nv + 1);
        assert_true(spec->action_high == (float)m->actuator_ctrlrange[1]);

        // an episode depends on seed and episode alone
        play(env, 5, 0, 30, first);
        play(env, 6, 0, 30, second);
        assert_memory_not_equal(first, second, sizeof first);
        play(env, 5, 0, 30, second);
        assert_memory_equal(first, second, sizeof first);
        // a state taken in the middle goes on to the bit, in another environment of the kind
        play(env, 5, 0, 12, second);
        uf_env_get_state(env, saved);
        memset(first, 0, sizeof first);
        memset(second, 0, sizeof second);
        play(env, 5, 12, 18, first);
        assert_ok(uf_env_create(&other, names[n]));
        assert_ptr_equal(uf_mujoco_model(other), m);
        uf_env_set_state(other, saved, NULL);
        play(other, 5, 12, 18, second);
        assert_memory_equal(first, second, sizeof first);
        uf_env_free(other);
        uf_env_free(env);
    }
}

// Resets stay within the noise and fill it; normal velocities have their deviation.
static void test_resets(void** state) {
    (void)state;
    static const double noise[] = {0.005, 0.1, 0.005, 0.1, 0.01};
    for (int n = 0; n < NUM_NAMES; n++) {
        UfEnv* env;
        float obs[32];
        double widest = 0, squares = 0, at[UF_ENV_MAX_STATE], bound = noise[n / 2];
        bool normal = n / 2 == 1 || n / 2 == 3;
        assert_ok(uf_env_create(&env, names[n]));
        const mjModel* m = uf_mujoco_model(env);
        for (int e = 0; e < 500; e++) {
            uf_env_reset(env, 1, (uint64_t)e, obs);
            uf_env_get_state(env, at);
            for (int i = 0; i < m->nq; i++)  // the ant's quaternion is normalised after
                if (n / 2 != 3 || i < 3 || i > 6) widest = fmax(widest, fabs(at[i] - m->qpos0[i]));
            for (int i = 0; i < m->nv; i++) squares += at[m->nq + i] * at[m->nq + i] / (500.0 * m->nv);
        }
        assert_true(widest <= bound * (1 + 1e-9) && widest > 0.98 * bound);
        double deviation = normal ? 0.1 : bound / sqrt(3);  // 1000 numbers or more: within 4 errors
        assert_true(fabs(sqrt(squares) / deviation - 1) < 0.1);
        uf_env_free(env);
    }
}

static void test_rewards_and_limits(void** state) {
    (void)state;
    UfEnv* env;
    float obs[32], calm[8] = {0}, beyond[8] = {9, -9, 9, -9, 9, -9, 9, -9},
                   full[8] = {1, -1, 1, -1, 1, -1, 1, -1};
    double reward, same, before, low[] = {0, 0.6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    bool terminated, truncated = false;
    // actions are clipped before their cost
    for (int n = 0; n < NUM_NAMES; n++) {
        assert_ok(uf_env_create(&env, names[n]));
        uf_env_reset(env, 0, 0, obs);
        uf_env_step(env, beyond, obs, &reward, &terminated, &truncated);
        uf_env_reset(env, 0, 0, obs);
        for (int i = 0; i < 8; i++) calm[i] = full[i] * uf_env_spec(env)->action_high;
        uf_env_step(env, calm, obs, &same, &terminated, &truncated);
        assert_true(reward == same);
        uf_env_free(env);
    }
    memset(calm, 0, sizeof calm);
    // the step that falls still earns its bonus
    assert_ok(uf_env_create(&env, "hopper"));
    uf_env_set_state(env, low, NULL);
    uf_env_step(env, calm, obs, &reward, &terminated, &truncated);
    assert_true(terminated && !truncated && !env->diverged && reward > 0.5);
    uf_env_free(env);
    // a thousand steps, and never over before
    assert_ok(uf_env_create(&env, "halfcheetah"));
    uf_env_reset(env, 0, 0, obs);
    for (int k = 0; k < 1000; k++) {
        assert_false(truncated);
        before = uf_mujoco_data(env)->qpos[0];
        uf_env_step(env, full, obs, &reward, &terminated, &truncated);
        assert_false(terminated);
        double speed = (uf_mujoco_data(env)->qpos[0] - before) / 0.05;
        assert_true(fabs(reward - (speed - 0.1 * 6)) < 1e-12);
    }
    assert_true(truncated);
    uf_env_free(env);
}

// ---- what goes wrong ----

// The step says so, and the next episode is as if nothing had been.
static void expect_divergence(UfEnv* env) {
    float obs[32], action[8] = {0};
    double reward = 1;
    bool terminated = false, truncated;
    uf_env_step(env, action, obs, &reward, &terminated, &truncated);
    assert_true(terminated && env->diverged && reward == 0);
    for (int i = 0; i < uf_env_spec(env)->obs_dim; i++) assert_true(isfinite(obs[i]));
    uf_env_step(env, action, obs, &reward, &terminated, &truncated);
    assert_true(terminated && env->diverged && reward == 0);
}

// MuJoCo appends to it where its own handlers are at work.
static int64_t log_bytes(void) {
    struct stat info;
    return stat("MUJOCO_LOG.TXT", &info) == 0 ? (int64_t)info.st_size : -1;
}

static void test_divergence(void** state) {
    (void)state;
    const int64_t bytes = log_bytes();
    static float before[40 * 40], after[40 * 40];
    for (int n = 0; n < NUM_NAMES; n++) {
        UfEnv* env;
        double at[UF_ENV_MAX_STATE];
        float obs[32], nan_action[8];
        assert_ok(uf_env_create(&env, names[n]));
        play(env, 3, 0, 9, before);
        uf_env_reset(env, 0, 0, obs);
        uf_env_get_state(env, at);
        at[1] = (double)NAN;
        uf_env_set_state(env, at, NULL);
        expect_divergence(env);
        at[1] = 0;
        at[uf_mujoco_model(env)->nq] = 1e300;
        uf_env_set_state(env, at, NULL);
        expect_divergence(env);

        double reward;
        bool terminated, truncated;
        uf_env_reset(env, 0, 0, obs);
        for (int i = 0; i < 8; i++) nan_action[i] = (float)NAN;
        uf_env_step(env, nan_action, obs, &reward, &terminated, &truncated);
        assert_true(terminated && env->diverged);

        // an error inside the library: its stack is too small
        mjData* data = (mjData*)uf_mujoco_data(env);
        uf_env_reset(env, 0, 0, obs);
        int nstack = data->nstack;
        data->nstack = 1;
        expect_divergence(env);
        data->nstack = nstack;

        play(env, 3, 0, 9, after);
        assert_memory_equal(before, after, sizeof before);
        uf_env_free(env);
    }
    assert_int_equal(log_bytes(), bytes);
}

// Environments of all kinds come and go on several threads, sharing models.
static void come_and_go(void* context, int task, int thread) {
    (void)thread;
    float* sums = context;
    static _Thread_local float trail[40 * 40];
    UfEnv* env;
    if (uf_env_create(&env, names[task % NUM_NAMES]) != UF_OK) return;
    play(env, 1, 0, 10, trail);
    sums[task] = trail[9 * (uf_env_spec(env)->obs_dim + 2)];
    uf_env_free(env);
}

static void test_shared_models(void** state) {
    (void)state;
    float sums[8 * NUM_NAMES] = {0};
    UfPool* pool;
    assert_ok(uf_pool_create(&pool, 4));
    uf_pool_run(pool, 8 * NUM_NAMES, come_and_go, sums);
    uf_pool_free(pool);
    for (int i = 0; i < 8 * NUM_NAMES; i++) {
        assert_true(sums[i] != 0);
        assert_true(sums[i] == sums[i % NUM_NAMES]);
    }
}

// ---- policies ----

enum { ROWS = 40 };

// An agent as it is born, for so many observations and actions, in a checkpoint.
static const char* make_checkpoint(const char* name, int obs_dim, int action_dim) {
    float* obs = calloc(ROWS, (size_t)obs_dim * sizeof *obs);
    float actions[ROWS * 8] = {0}, rewards[ROWS] = {0};
    uint8_t terminals[ROWS] = {0}, timeouts[ROWS] = {0};
    UfArrays arrays = {.num_rows = ROWS,
                       .obs_dim = obs_dim,
                       .action_dim = action_dim,
                       .observations = obs,
                       .actions = actions,
                       .rewards = rewards,
                       .terminals = terminals,
                       .timeouts = timeouts};
    UfConfig* config;
    UfDataset* data;
    UfAgent* agent;
    const char* path = in_folder(name);
    assert_non_null(obs);
    for (int i = 0; i < ROWS * obs_dim; i++) obs[i] = sinf((float)i);
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_parse(config, "{\"actor_layer_width\": 32, \"critic_layer_width\": 8}", "settings"));
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_agent_save(agent, path));
    uf_agent_free(agent);
    uf_dataset_free(data);
    uf_config_free(config);
    free(obs);
    return path;
}

static void test_threads(void** state) {
    (void)state;
    static const char* const envs[] = {"hopper", "Walker2d-v4", "halfcheetah"};
    for (int i = 0; i < 3; i++) {
        UfEvaluation one, three;
        const UfEnvSpec* spec = uf_env_find(envs[i]);
        int episodes = i == 2 ? 3 : 10;
        UfRunEvalOptions options = {
            .checkpoint = make_checkpoint("policy.h5", spec->obs_dim, spec->action_dim),
            .env = envs[i],
            .num_episodes = episodes,
            .workers = i == 2 ? 2 : 4,
            .num_threads = 1,
            .seed = 7};
        assert_ok(uf_run_eval(&options, &one, &spec));
        options.num_threads = 3;
        assert_ok(uf_run_eval(&options, &three, &spec));
        assert_ptr_equal(spec, uf_env_find(envs[i]));
        assert_memory_equal(one.returns, three.returns, (size_t)episodes * sizeof(double));
        assert_memory_equal(one.lengths, three.lengths, (size_t)episodes * sizeof(int32_t));
        assert_true(one.returns[0] != one.returns[1] && isfinite(one.mean_score));
        assert_true(one.num_steps == three.num_steps && one.num_diverged == 0);
        uf_evaluation_free(&one);
        uf_evaluation_free(&three);
    }
}

// Episodes whose bit is set start in a state that no solver survives.
static unsigned absurd;

void __real_uf_env_reset(UfEnv* env, uint64_t seed, uint64_t episode, float* obs);
void __wrap_uf_env_reset(UfEnv* env, uint64_t seed, uint64_t episode, float* obs) {
    __real_uf_env_reset(env, seed, episode, obs);
    if (episode >= 32 || !(absurd >> episode & 1)) return;
    double at[UF_ENV_MAX_STATE];
    uf_env_get_state(env, at);
    at[uf_mujoco_model(env)->nq] = 1e300;
    uf_env_set_state(env, at, NULL);
}

static void test_diverged_episodes(void** state) {
    (void)state;
    static const char* const envs[] = {"hopper", "halfcheetah"};  // the latter never ends by itself
    for (int i = 0; i < 2; i++) {
        UfEvaluation good, bad;
        const UfEnvSpec* spec = uf_env_find(envs[i]);
        UfRunEvalOptions options = {
            .checkpoint = make_checkpoint("policy.h5", spec->obs_dim, spec->action_dim),
            .env = envs[i],
            .num_episodes = 5,
            .workers = 2,
            .seed = 7};
        assert_ok(uf_run_eval(&options, &good, &spec));
        assert_int_equal(good.num_diverged, 0);
        for (int threads = 1; threads <= 3; threads += 2) {
            options.num_threads = threads;
            absurd = 1u << 1 | 1u << 4;
            UfStatus status = uf_run_eval(&options, &bad, &spec);
            absurd = 0;
            assert_ok(status);
            assert_int_equal(bad.num_diverged, 2);
            for (int e = 0; e < 5; e++) {
                bool diverged = e == 1 || e == 4;
                assert_true(bad.returns[e] == (diverged ? 0 : good.returns[e]));
                assert_int_equal(bad.lengths[e], diverged ? 1 : good.lengths[e]);
            }
            assert_true(isfinite(bad.mean_return) && isfinite(bad.mean_score));
            uf_evaluation_free(&bad);
        }
        uf_evaluation_free(&good);
    }
}

static void test_refusals(void** state) {
    (void)state;
    const UfEnvSpec* spec;
    UfEvaluation e;
    UfRunEvalOptions options = {.checkpoint = make_checkpoint("policy.h5", 11, 3),
                                .env = "halfcheetah",
                                .num_episodes = 1,
                                .workers = 1,
                                .num_threads = 1};
    assert_int_equal(uf_run_eval(&options, &e, &spec), UF_ERR_ARGUMENT);
    assert_error("11 observations and 3 actions");
    assert_error("HalfCheetah-v2");
    options.env = "hoper";
    assert_int_equal(uf_run_eval(&options, &e, &spec), UF_ERR_ARGUMENT);
    assert_error("did you mean 'hopper'?");
    assert_error("invertedpendulum");
}

// ---- Ant's two widths ----

static int loaded_width(float last) {
    static float obs[ROWS * 111], actions[ROWS * 8], rewards[ROWS];
    static uint8_t terminals[ROWS], timeouts[ROWS];
    for (int i = 0; i < ROWS * 111; i++) obs[i] = i % 111 < 27 ? sinf((float)i) : 0;
    for (int i = 0; i < ROWS * 8; i++) actions[i] = cosf((float)i);
    obs[ROWS * 111 - 1] = last;
    UfDatasetWriter w = {.num_rows = ROWS,
                         .obs_dim = 111,
                         .action_dim = 8,
                         .observations = obs,
                         .actions = actions,
                         .rewards = rewards,
                         .terminals = terminals,
                         .timeouts = timeouts,
                         .next_observations = obs};
    UfDataset* data;
    const char* path = in_folder("ant-medium-v2.hdf5");
    assert_ok(uf_dataset_write(path, &w));
    assert_ok(uf_dataset_open(&data, path, NULL));
    int width = uf_dataset_obs_dim(data);
    for (int i = 0; i < ROWS; i++) {
        const float* record = data->records + (size_t)i * (size_t)data->stride;
        assert_memory_equal(record, obs + i * 111, (size_t)width * sizeof *obs);
        assert_memory_equal(record + width, actions + i * 8, 8 * sizeof *obs);
        assert_memory_equal(data->next_obs + (size_t)i * (size_t)width, obs + i * 111,
                            (size_t)width * sizeof *obs);
    }
    uf_dataset_free(data);
    return width;
}

static void test_ant_widths(void** state) {
    (void)state;
    assert_int_equal(loaded_width(0), 27);
    assert_int_equal(loaded_width(0.5f), 111);
    const UfEnvSpec* spec;
    UfEvaluation e;
    UfRunEvalOptions options = {.checkpoint = make_checkpoint("wide.h5", 111, 8),
                                .env = "ant",
                                .num_episodes = 2,
                                .workers = 2,
                                .num_threads = 1};
    assert_ok(uf_run_eval(&options, &e, &spec));  // its policy sees zeros there
    assert_true(isfinite(e.mean_return) && e.num_steps > 0);
    uf_evaluation_free(&e);
}

// The models are inside the library, so the linker puts this between it and MuJoCo (--wrap).
static const char* other_model;  // loaded instead
static bool loading_fails;       // as an error of the library that must not return

mjModel* __real_mj_loadXML(const char* file, const mjVFS* vfs, char* error, int size);
mjModel* __wrap_mj_loadXML(const char* file, const mjVFS* vfs, char* error, int size);

mjModel* __wrap_mj_loadXML(const char* file, const mjVFS* vfs, char* error, int size) {
    if (loading_fails) mju_error("engine error in loading");
    return other_model ? __real_mj_loadXML(other_model, NULL, error, size)
                       : __real_mj_loadXML(file, vfs, error, size);
}

static void test_model_does_not_load(void** state) {
    (void)state;
    UfEnv* env = NULL;
    const char* path = in_folder("broken.xml");
    FILE* file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("<mujoco>\n  <worldbody>\n    <body><joint kind='none'/></body>\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    other_model = path;
    assert_int_equal(uf_env_create(&env, "hopper"), UF_ERR_FORMAT);
    other_model = NULL;
    assert_null(env);
    assert_error("envs/mujoco/hopper.xml: MuJoCo ");
    assert_error(" does not load the model of Hopper-v2: XML");
    assert_null(strchr(uf_error(), '\n'));

    loading_fails = true;
    assert_int_equal(uf_env_create(&env, "ant"), UF_ERR_FORMAT);
    loading_fails = false;
    assert_null(env);
    assert_error(" does not load the model of Ant-v2: engine error in loading");

    assert_ok(uf_env_create(&env, "hopper"));  // nothing of it is left behind
    uf_env_free(env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_all_traces),
        cmocka_unit_test(test_altered),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_some),
        cmocka_unit_test(test_missed_contact),
        cmocka_unit_test(test_masses),
        cmocka_unit_test(test_interface),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_rewards_and_limits),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_shared_models),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_diverged_episodes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_ant_widths),
        cmocka_unit_test(test_model_does_not_load),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#endif
