// test_online.c: datasets from checkpoints and mixtures, and the replay buffer of online training.
#include "support.h"

#include <math.h>

#include "core/agents/agent.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/runs/collect.h"
#include "core/runs/online.h"

// ---- agents and files ----

static UfConfig* small_config(const char* env, bool online) {
    UfConfig* c;
    assert_ok(uf_config_create(&c));
    assert_ok(uf_config_set(c, "env", env));
    c->online = online;
    c->batch_size = 16;
    c->actor_layer_width = c->critic_layer_width = 16;
    c->actor_num_layers = c->critic_num_layers = 2;
    c->deterministic = c->use_tanh_mean = false;
    c->num_updates = 100;
    c->start_steps = 250;
    c->norm_obs = false;
    use_test_device(c);
    return c;
}

// A checkpoint of fresh parameters whose log-std is that of a wide Gaussian.
static const char* pendulum_checkpoint(const char* name) {
    UfConfig* c = small_config("pendulum", true);
    UfOnline* online;
    UfAgent* agent;
    const char* path = in_folder(name);
    assert_ok(uf_online_create(&online, c));
    assert_ok(uf_online_start(online));
    assert_ok(uf_agent_create(&agent, c, uf_online_buffer(online), 1));
    assert_ok(uf_agent_save(agent, path));
    uf_agent_free(agent);
    uf_online_free(online);
    uf_config_free(c);
    return path;
}

typedef struct File {
    int64_t num_rows;
    float obs[3000 * 3], actions[3000], rewards[3000], next_obs[3000 * 3];
    uint8_t terminals[3000], timeouts[3000];
    bool has_next_obs;
} File;

static const File* read_pendulum(const char* path) {
    static File files[2];
    static int turn;
    File* f = &files[turn++ % 2];
    UfH5 h5;
    UfH5Shape shape;
    assert_ok(uf_h5_open(&h5, path));
    assert_ok(uf_h5_shape(&h5, "rewards", &shape));
    const int64_t n = f->num_rows = shape.count;
    assert_true(n <= 3000);
    assert_ok(uf_h5_read(&h5, "observations", UF_H5_FLOAT, f->obs, n * 3));
    assert_ok(uf_h5_read(&h5, "actions", UF_H5_FLOAT, f->actions, n));
    assert_ok(uf_h5_read(&h5, "rewards", UF_H5_FLOAT, f->rewards, n));
    assert_ok(uf_h5_read(&h5, "terminals", UF_H5_UINT8, f->terminals, n));
    assert_ok(uf_h5_read(&h5, "timeouts", UF_H5_UINT8, f->timeouts, n));
    f->has_next_obs = uf_h5_exists(&h5, "next_observations");
    if (f->has_next_obs) assert_ok(uf_h5_read(&h5, "next_observations", UF_H5_FLOAT, f->next_obs, n * 3));
    assert_ok(uf_h5_close(&h5));
    return f;
}

static UfCollectOptions pendulum(const char* policy, int64_t num_steps, const char* output) {
    return (UfCollectOptions){.env = "pendulum",
                              .policy = policy,
                              .num_steps = num_steps,
                              .seed = 3,
                              .num_threads = 1,
                              .output = output};
}

// ---- checkpoints and mixtures ----

static void test_checkpoint(void** state) {
    (void)state;
    const char *policy = pendulum_checkpoint("policy.h5"), *one = in_folder("one.hdf5");
    UfCollectOptions options = pendulum(policy, 1100, one);
    options.next_observations = true;
    assert_ok(uf_collect(&options));
    const File* f = read_pendulum(one);
    assert_int_equal(f->num_rows, 1100);
    assert_true(f->has_next_obs);

    // Every recorded transition is what the environment does with the recorded action.
    UfEnv* env;
    double reward;
    bool terminated, truncated = true;
    float at[3], action;
    assert_ok(uf_env_create(&env, "pendulum"));
    for (int i = 0, episode = 0; i < 1100; i++) {
        if (truncated) uf_env_reset(env, 3, (uint64_t)episode++, at);
        assert_memory_equal(at, f->obs + 3 * i, sizeof at);
        uf_env_scale_action(uf_env_spec(env), &f->actions[i], &action);
        uf_env_step(env, &action, at, &reward, &terminated, &truncated);
        assert_memory_equal(at, f->next_obs + 3 * i, sizeof at);
        assert_true(f->rewards[i] == (float)reward);
        assert_int_equal(f->timeouts[i], truncated);
    }
    uf_env_free(env);

    // Any number of threads, the same file; the mean is another policy, and says what uf_policy_act says.
    options.num_threads = 3;
    options.output = in_folder("three.hdf5");
    assert_ok(uf_collect(&options));
    const File* g = read_pendulum(options.output);
    assert_memory_equal(f->actions, g->actions, 1100 * sizeof(float));
    assert_memory_equal(f->obs, g->obs, 3300 * sizeof(float));
    char mean[256];
    snprintf(mean, sizeof mean, "%s@mean", policy);
    options.policy = mean;
    assert_ok(uf_collect(&options));
    g = read_pendulum(options.output);
    UfPolicy* loaded;
    float actions[4];
    assert_ok(uf_policy_load(&loaded, policy, 0));
    for (int i = 0; i < 1100; i += 11) {
        assert_ok(uf_policy_act(loaded, actions, g->obs + 3 * i, 1, NULL));
        assert_true(fabsf(actions[0] - g->actions[i]) < 1e-5f);
    }
    uf_policy_free(loaded);
    static float means[1100];
    memcpy(means, g->actions, sizeof means);
    options.policy = policy;
    options.mean = true;
    assert_ok(uf_collect(&options));
    assert_memory_equal(read_pendulum(options.output)->actions, means, sizeof means);

    // Exploration on top is clipped.
    options.noise = 2;
    assert_ok(uf_collect(&options));
    g = read_pendulum(options.output);
    int at_bounds = 0;
    for (int i = 0; i < 1100; i++) {
        assert_true(fabsf(g->actions[i]) <= 1);
        at_bounds += fabsf(g->actions[i]) == 1;
    }
    assert_in_range(at_bounds, 500, 900);  // |noise| > 1 with probability 0.62
}

static void test_mix(void** state) {
    (void)state;
    const char *policy = pendulum_checkpoint("mixed.h5"), *path = in_folder("mix.hdf5");
    char mix[512];
    snprintf(mix, sizeof mix, "random:0.26,%s@mean:0.24,expert:0.5", policy);
    UfCollectOptions options = pendulum(NULL, 2100, path);
    options.mix = mix;
    assert_ok(uf_collect(&options));
    const File* f = read_pendulum(path);
    assert_int_equal(f->num_rows, 2100);
    // 546 and 1050 steps become 600 and 1200, as parts end with whole episodes; the last part is cut.
    for (int i = 0; i < 2100; i++) assert_int_equal(f->timeouts[i], i % 200 == 199);
    const int starts[] = {0, 600, 1200}, lengths[] = {600, 600, 900};
    const char* const names[] = {"random", policy, "expert"};
    double sizes[3] = {0};
    for (int part = 0; part < 3; part++)
        for (int i = 0; i < lengths[part]; i++)
            sizes[part] += fabs(f->actions[starts[part] + i]) / lengths[part];
    assert_true(fabs(sizes[0] - 0.5) < 0.05);
    assert_true(sizes[1] < 0.05);  // a fresh policy's mean is near 0
    // The first part is what its policy makes alone; no two parts share an episode.
    UfCollectOptions alone = pendulum(names[0], 600, in_folder("alone.hdf5"));
    assert_ok(uf_collect(&alone));
    const File* g = read_pendulum(alone.output);
    assert_memory_equal(f->actions, g->actions, 600 * sizeof(float));
    assert_memory_equal(f->obs, g->obs, 1800 * sizeof(float));
    for (int i = 0; i < 2100; i += 200)
        for (int j = 0; j < i; j += 200)
            assert_memory_not_equal(f->obs + 3 * i, f->obs + 3 * j, 3 * sizeof(float));

    // One part is the policy alone.
    UfCollectOptions whole = pendulum(NULL, 600, in_folder("whole.hdf5"));
    whole.mix = "random:1";
    assert_ok(uf_collect(&whole));
    assert_memory_equal(read_pendulum(whole.output)->actions, g->actions, 600 * sizeof(float));

    static const char* const bad[][2] = {{"random:0.5,expert:0.6", "add up to 1.1, expected 1"},
                                         {"random:0.5,expert", "'expert' is not POLICY:SHARE"},
                                         {"random:0.5,", "'' is not POLICY:SHARE"},
                                         {"random:half,expert:0.5", "'random:half' is not"},
                                         {"random:0,expert:1", "'random:0' is not"},
                                         {"random:nan", "'random:nan' is not"},
                                         {":1", "':1' is not"},
                                         {"", "'' is not POLICY:SHARE"},
                                         {"random:0.5,nowhere:0.5", "nowhere"}};
    options.output = in_folder("refused.hdf5");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.mix = bad[i][0];
        assert_int_not_equal(uf_collect(&options), UF_OK);
        assert_error(bad[i][1]);
    }
    options.mix = "random:0.5,expert:0.5";
    options.num_steps = 150;
    assert_int_equal(uf_collect(&options), UF_ERR_ARGUMENT);
    assert_error("nothing is left for 'expert'");
    options.policy = "random";
    assert_int_equal(uf_collect(&options), UF_ERR_ARGUMENT);
    options.mix = NULL;
    options.policy = policy;
    options.env = "mountaincarcontinuous";
    assert_int_equal(uf_collect(&options), UF_ERR_ARGUMENT);
    assert_error("the policy has 3 observations and 1 actions, environment MountainCarContinuous-v0 2 and 1");
    assert_int_not_equal(access(options.output, F_OK), 0);
}

// ---- buffer ----

// Sets the actor to tanh(1000 velocity): pushing the way the car moves reaches the goal in any arithmetic, which a policy
// that was learned does not.
static void push_along(UfAgent* agent) {
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        float values[16 * 16] = {0};
        if (strncmp(t->name, "actor/", 6) != 0) continue;
        assert_true(uf_tensor_count(t) <= 16 * 16);
        if (strcmp(t->name, "actor/hidden/0/kernel") == 0) {
            values[16] = 1000;
            values[17] = -1000;
        } else if (strcmp(t->name, "actor/hidden/1/kernel") == 0) {
            values[0] = values[16 + 1] = 1;
        } else if (strcmp(t->name, "actor/mean/kernel") == 0) {
            values[0] = 1;
            values[1] = -1;
        }
        assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, 0, values));
    }
}

typedef struct Watch {
    const UfDataset* buffer;
    const UfConfig* config;
    int64_t stop_at;
} Watch;

static int on_update(void* user, UfAgent* agent, int64_t update) {
    const Watch* w = user;
    (void)agent;
    assert_int_equal(w->buffer->num_rows, uf_online_steps(w->config, update));
    assert_true(w->buffer->records[w->buffer->num_rows * w->buffer->stride - 1] == 0);  // newest: has_next 0
    return update == w->stop_at;
}

// Terminals bootstrap nothing, time-outs do, and nothing reaches over the end of an episode.
static void test_buffer(void** state) {
    (void)state;
    UfConfig* c = small_config("mountaincarcontinuous", true);
    UfOnline* online;
    UfAgent* agent;
    c->deterministic = c->use_tanh_mean = true;
    c->actor_ln = false;
    c->start_steps = 1500;
    c->num_updates = 1500;
    c->lr = c->actor_lr = 1e-30;
    assert_ok(uf_online_create(&online, c));
    assert_ok(uf_online_start(online));
    const UfDataset* d = uf_online_buffer(online);
    assert_int_equal(d->num_rows, 1500);
    assert_ok(uf_agent_create(&agent, c, d, 1));
    push_along(agent);
    Watch watch = {d, c, -1};
    assert_ok(uf_online_train(online, agent, 1500, on_update, &watch));
    assert_int_equal(d->num_rows, 3000);
    assert_int_equal(uf_online_train(online, agent, 1, NULL, NULL), UF_ERR_ARGUMENT);

    const char* path = in_folder("buffer.hdf5");
    static uint8_t terminals[3000], timeouts[3000];
    static float next_obs[6000];
    UfH5 h5;
    assert_ok(uf_online_save(online, path));
    assert_ok(uf_h5_open(&h5, path));
    assert_ok(uf_h5_read(&h5, "terminals", UF_H5_UINT8, terminals, 3000));
    assert_ok(uf_h5_read(&h5, "timeouts", UF_H5_UINT8, timeouts, 3000));
    assert_ok(uf_h5_read(&h5, "next_observations", UF_H5_FLOAT, next_obs, 6000));
    assert_ok(uf_h5_close(&h5));
    assert_memory_equal(next_obs, d->next_obs, sizeof next_obs);
    int num_terminals = 0, num_timeouts = 0, length = 0;
    for (int i = 0; i < 3000; i++) {
        const float *record = d->records + i * d->stride, *next = d->next_obs + 2 * i;
        bool goal = next[0] >= 0.45f && next[1] >= 0, limit = ++length == 999, ends = goal || limit;
        assert_int_equal(terminals[i], goal);
        assert_int_equal(timeouts[i], limit && !goal);
        assert_true(record[4] == goal);                 // done: time-outs are none
        assert_true(record[5] == (!ends && i < 2999));  // has_next
        if (i < 2999 && !ends) assert_memory_equal(next, record + d->stride, 2 * sizeof(float));
        if (i < 2999 && ends) assert_true(record[d->stride + 1] == 0);  // a start is at rest
        num_terminals += goal;
        num_timeouts += limit && !goal;
        if (ends) length = 0;
    }
    assert_true(num_terminals >= 10);
    assert_true(num_timeouts >= 1);
    uf_agent_free(agent);
    uf_online_free(online);

    // A reader of the file takes the same rows for the same.
    UfDataset* read;
    assert_ok(uf_dataset_open(&read, path, NULL));
    assert_int_equal(read->num_rows, 3000);
    assert_int_equal(read->num_terminals, num_terminals);
    assert_int_equal(read->num_timeouts, num_timeouts);
    uf_dataset_free(read);
    uf_config_free(c);
}

// Stopped in the middle of a step's updates, saved, and gone on with from a buffer that knows more.
static void test_resume(void** state) {
    (void)state;
    UfConfig* c = small_config("pendulum", true);
    UfOnline *straight, *resumed;
    UfAgent *a, *b;
    const char *agent_path = in_folder("agent.h5"), *early = in_folder("early.hdf5"),
               *late = in_folder("late.hdf5");
    c->updates_per_step = 3;
    c->exploration_noise = 0.1;
    assert_int_equal(uf_online_steps(c, 40), 250 + 14);
    assert_ok(uf_online_create(&straight, c));
    assert_ok(uf_online_start(straight));
    const UfDataset* d = uf_online_buffer(straight);
    assert_ok(uf_agent_create(&a, c, d, 1));
    Watch watch = {d, c, 40};
    assert_int_equal(uf_online_train(straight, a, 100, on_update, &watch), UF_ERR_STOPPED);
    assert_ok(uf_agent_save(a, agent_path));
    assert_ok(uf_online_save(straight, early));
    watch.stop_at = -1;
    assert_ok(uf_online_train(straight, a, 60, on_update, &watch));
    assert_ok(uf_online_save(straight, late));
    const size_t bytes = (size_t)(d->num_rows * d->stride) * sizeof(float);
    const char* const files[] = {early, late};
    for (int i = 0; i < 2; i++) {
        assert_ok(uf_online_create(&resumed, c));
        assert_ok(uf_agent_load(&b, agent_path, 1));
        assert_ok(uf_online_load(resumed, files[i], uf_online_steps(c, 40)));
        assert_ok(uf_online_train(resumed, b, 60, NULL, NULL));
        assert_int_equal(uf_online_buffer(resumed)->num_rows, d->num_rows);
        assert_memory_equal(uf_online_buffer(resumed)->records, d->records, bytes);
        uf_agent_free(b);
        uf_online_free(resumed);
    }
    // Refused: too few rows, another seed, another environment.
    assert_ok(uf_online_create(&resumed, c));
    assert_int_equal(uf_online_load(resumed, early, 280), UF_ERR_FORMAT);
    assert_error("holds 264 steps, expected 280 to");
    uf_online_free(resumed);
    c->seed = 1;
    assert_ok(uf_online_create(&resumed, c));
    assert_int_equal(uf_online_load(resumed, early, 264), UF_ERR_FORMAT);
    assert_error("replaying step 200");
    uf_online_free(resumed);
    assert_ok(uf_config_set(c, "env", "mountaincarcontinuous"));
    assert_ok(uf_online_create(&resumed, c));
    assert_int_equal(uf_online_load(resumed, early, 264), UF_ERR_FORMAT);
    assert_error("'observations' has shape");
    uf_online_free(resumed);
    assert_ok(uf_config_set(c, "env", "cartpole"));
    assert_int_equal(uf_online_create(&resumed, c), UF_ERR_UNSUPPORTED);
    uf_agent_free(a);
    uf_online_free(straight);
    uf_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_resume),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
