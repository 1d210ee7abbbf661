// test_model.c: training with rollouts in a world model. The models are made by hand and handed over where a
// file would be read (linked with --wrap=uf_model_load), so that each test knows what its model predicts.
#include "same_member.h"
#include "support.h"

#include <math.h>

#include "core/agents/agent.h"
#include "core/agents/dynamics.h"
#include "core/data/h5.h"

// ---- models by hand ----

enum { OBS = 3, ACT = 2, D = OBS + 1, ROWS = 300, WIDTH = 8 };

typedef struct Recipe {
    const char* path;
    float noise;      // of random weights
    float shift;      // of every delta and of the reward
    float threshold;  // of obs[0] from which predictions are infinite; 0: none
    double log_std;   // of all predictions, nearly
    int num_networks;
    double discrepancy, min_reward;
    const char* termination;
    const char* dataset_hash;  // null: the one of `data`
    int obs_dim;
} Recipe;

static const Recipe recipes[] = {
    {"random", 0.3f, 0, 0, -1, 3, 0.5, -7, "never", NULL, OBS},
    {"other random", 0.31f, 0, 0, -1, 3, 0.5, -7, "never", NULL, OBS},
    {"humanoid", 0.3f, 0, 0, -1, 3, 0.5, -7, "humanoid", NULL, OBS},
    {"exact", 0, 0.25f, 0, -30, 1, 0.5, -7, "never", NULL, OBS},
    {"noisy", 0, 0.25f, 0, -1, 1, 0.5, -7, "never", NULL, OBS},
    {"two minds", 0, 0, 0, -30, 2, 0.5, -7, "never", NULL, OBS},
    {"few infinite", 0.3f, 0, 1, -1, 3, 0.5, -7, "never", NULL, OBS},
    {"most infinite", 0.3f, 0, -1, -1, 3, 0.5, -7, "never", NULL, OBS},
    {"no rule", 0.3f, 0, 0, -1, 3, 0.5, -7, "", NULL, OBS},
    {"no statistics", 0.3f, 0, 0, -1, 3, NAN, NAN, "never", NULL, OBS},
    {"other dataset", 0.3f, 0, 0, -1, 3, 0.5, -7, "never", "0123", OBS},
    {"other dimensions", 0.3f, 0, 0, -1, 3, 0.5, -7, "never", NULL, OBS + 1},
    {"acrobot", 0.3f, 0, 0, -1, 3, 0.5, -7, "acrobot", NULL, OBS},
};

static UfDataset* data;  // what all of these train on
static const char* gone = "";

// One hidden unit sees obs[0] - threshold and answers with infinity where that is positive.
static void fill_network(const Recipe* r, const UfMlp* mlp, real* w, UfRandom* random) {
    for (int l = 0; l <= mlp->layers; l++) {
        const int in = l ? mlp->width : mlp->in, out = l < mlp->layers ? mlp->width : mlp->out;
        for (int i = 0; i < in * out; i++)
            w[mlp->kernel[l] + (size_t)i] = r->noise * uf_random_normal(random);
        for (int i = 0; i < out; i++) w[mlp->bias[l] + (size_t)i] = r->noise * uf_random_normal(random);
    }
    for (int d = 0; d < D; d++) w[mlp->bias[mlp->layers] + (size_t)d] += r->shift;
    if (r->threshold == 0) return;
    for (int i = 0; i < mlp->in; i++) w[mlp->kernel[0] + (size_t)(i * mlp->width)] = i == 0 ? 1e30f : 0;
    w[mlp->bias[0]] = -1e30f * r->threshold;
    w[mlp->kernel[1]] = 1e30f;
}

UfStatus __wrap_uf_model_load(UfModel** out, const char* path);
void __wrap_uf_model_free(UfModel* model);

UfStatus __wrap_uf_model_load(UfModel** out, const char* path) {
    const Recipe* r = NULL;
    *out = NULL;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(recipes[i].path, path) == 0 && strcmp(path, gone) != 0) r = &recipes[i];
    if (!r) return UF_FAIL(UF_ERR_IO, "%s: no such file", path);
    UfModel* m = test_calloc(1, sizeof *m);
    m->obs_dim = r->obs_dim;
    m->action_dim = ACT;
    m->num_networks = r->num_networks;
    m->mlp = uf_mlp_shape(m->obs_dim + ACT, WIDTH, 1, 2 * (m->obs_dim + 1), false, 0);
    m->params = test_calloc((size_t)r->num_networks * m->mlp.size, sizeof(real));
    m->bounds = test_calloc(2 * (size_t)(m->obs_dim + 1), sizeof(real));
    UfRandom random = uf_random(11, UF_STREAM_CONTROLLER, 0);
    for (int e = 0; e < r->num_networks; e++)
        fill_network(r, &m->mlp, m->params + (size_t)e * m->mlp.size, &random);
    if (strcmp(path, "two minds") == 0) m->params[m->mlp.size + m->mlp.bias[1] + OBS] = 1;  // of the reward
    for (int d = 0; d <= m->obs_dim; d++) {
        m->bounds[d] = (real)(2 * r->log_std + 0.5);
        m->bounds[m->obs_dim + 1 + d] = (real)(2 * r->log_std - 0.5);
    }
    m->discrepancy = r->discrepancy;
    m->min_reward = r->min_reward;
    snprintf(m->termination, sizeof m->termination, "%s", r->termination);
    snprintf(m->dataset_hash, sizeof m->dataset_hash, "%s", r->dataset_hash ? r->dataset_hash : data->hash);
    *out = m;
    return UF_OK;
}

void __wrap_uf_model_free(UfModel* m) {
    if (!m) return;
    test_free(m->params);
    test_free(m->bounds);
    test_free(m);
}

// ---- memory that runs out ----

static int allocations_left = -1;  // below 0: no limit

void* __wrap_aligned_alloc(size_t alignment, size_t bytes);
void* __real_aligned_alloc(size_t alignment, size_t bytes);
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
    if (allocations_left == 0) return NULL;
    if (allocations_left > 0) allocations_left--;
    return __real_aligned_alloc(alignment, bytes);
}

// ---- agents ----

static int setup(void** state) {
    static float obs[ROWS * OBS], actions[ROWS * ACT], rewards[ROWS];
    static uint8_t terminals[ROWS];
    UfRandom random = uf_random(7, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS * ACT; i++) actions[i] = (float)uf_random_uniform(&random, -1, 1);
    for (int i = 0; i < ROWS; i++) rewards[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS; i++) terminals[i] = i % 50 == 49;
    const UfArrays arrays = {.num_rows = ROWS,
                             .obs_dim = OBS,
                             .action_dim = ACT,
                             .observations = obs,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals};
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    return make_folder(state);
}

static int teardown(void** state) {
    uf_dataset_free(data);
    return remove_folder(state);
}

// MoBRAC, MOPO, COMBO and MOReL, made small. The first two rollouts have two slices of rows.
static const char* const families[] = {
    "{\"dataset_sample_ratio\": 0.3, \"rollout_batch_size\": 4200, \"rollout_length\": 2}",
    "{\"dataset_sample_ratio\": 0.05, \"deterministic\": false, \"use_tanh_mean\": false, "
    "\"use_entropy_loss\": true, \"actor_entropy_coef\": 1, \"critic_entropy_coef\": 1, \"num_critics\": 3, "
    "\"use_target_actor\": false, \"rollout_batch_size\": 4099, \"rollout_length\": 1, "
    "\"step_penalty_coef\": 1}",
    "{\"dataset_sample_ratio\": 0.5, \"deterministic\": false, \"use_tanh_mean\": true, "
    "\"use_log_std_param\": true, \"cql_min_q_weight\": 1, \"cql_data_only\": true, \"rollout_batch_size\": "
    "50, "
    "\"model_path\": \"humanoid\", \"step_penalty_coef\": 0, \"rollout_length\": 3, \"norm_obs\": false}",
    "{\"dataset_sample_ratio\": 0.01, \"term_penalty_offset\": -3, \"threshold_coef\": 2, "
    "\"rollout_batch_size\": 70, \"model_retain_epochs\": 1}",
};
enum { NUM_FAMILIES = sizeof families / sizeof *families };

static UfConfig* config_of(const char* json) {
    UfConfig* config = NULL;
    assert_ok(uf_config_create(&config));
    assert_ok(
        uf_config_parse(config,
                        "{\"batch_size\": 64, \"actor_layer_width\": 16, \"critic_layer_width\": 16, "
                        "\"actor_num_layers\": 2, \"critic_num_layers\": 2, \"num_updates\": 100, "
                        "\"model_path\": \"random\", \"rollout_interval\": 3, \"model_retain_epochs\": 2}",
                        "small"));
    assert_ok(uf_config_parse(config, json, "case"));
    use_test_device(config);
    return config;
}

static UfAgent* created(const UfConfig* config, int threads) {
    UfAgent* agent = NULL;
    assert_ok(uf_agent_create(&agent, config, data, threads));
    return agent;
}

static UfAgent* trained(const UfConfig* config, int64_t updates, int threads) {
    UfAgent* agent = created(config, threads);
    assert_ok(uf_train(agent, data, updates, NULL, NULL));
    return agent;
}

static double metric(UfAgent* agent, const char* name) {
    int count = 0;
    const char* const* names = NULL;
    const double* values = NULL;
    assert_ok(uf_agent_metrics(agent, 0, &count, &names, &values));
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return values[i];
    fail_msg("no metric %s", name);
    return 0;
}

// ---- invariants ----

static void test_threads(void** state) {
    (void)state;
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* config = config_of(families[f]);
        UfAgent *one = trained(config, 7, 1), *two = trained(config, 7, 2);
        assert_same_member(one, 0, two, 0);
        uf_agent_free(one);
        uf_agent_free(two);
        uf_config_free(config);
    }
}

// Stopped before, at and after a rollout, with a buffer that is being filled or has wrapped around.
static void test_resume(void** state) {
    (void)state;
    const char* path = in_folder("resume.h5");
    for (int f = 0; f < NUM_FAMILIES; f++)
        for (int stop = 0; stop <= 11; stop += f < 2 ? 5 : 1) {
            UfConfig* config = config_of(families[f]);
            UfAgent *straight = trained(config, 12, 1), *first = created(config, 1), *second = NULL;
            if (stop) assert_ok(uf_train(first, data, stop, NULL, NULL));
            assert_ok(uf_agent_save(first, path));
            assert_ok(uf_agent_load(&second, path, 2));
            assert_ok(uf_train(second, data, 12 - stop, NULL, NULL));
            assert_same_member(straight, 0, second, 0);
            uf_agent_free(straight);
            uf_agent_free(first);
            uf_agent_free(second);
            uf_config_free(config);
        }
}

static void test_population(void** state) {
    (void)state;
    enum { P = 3 };
    const char* path = in_folder("population.h5");
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* configs[P];
        UfAgent *population = NULL, *loaded = NULL;
        for (int p = 0; p < P; p++) {
            configs[p] = config_of(families[f]);
            configs[p]->seed = 10 + p;
            configs[p]->step_penalty_coef = 0.5 * p;
            configs[p]->term_penalty_offset = p == 1 ? 0 : configs[p]->term_penalty_offset - p;
            configs[p]->threshold_coef = 1 + 0.3 * p;
        }
        assert_ok(uf_agent_create_population(&population, (const UfConfig* const*)configs, P, data, 2));
        assert_ok(uf_train(population, data, 5, NULL, NULL));
        assert_ok(uf_agent_save(population, path));
        assert_ok(uf_agent_load(&loaded, path, 1));
        assert_ok(uf_train(loaded, data, 4, NULL, NULL));
        for (int p = 0; p < P; p++) {
            UfAgent* single = trained(configs[p], 9, 1);
            assert_same_member(loaded, p, single, 0);
            uf_agent_free(single);
            uf_config_free(configs[p]);
        }
        uf_agent_free(population);
        uf_agent_free(loaded);
    }
}

// ---- what rollouts do ----

typedef struct Buffer {
    float *records, *next_obs, *next_actions;
    int64_t head, fill;
} Buffer;

// The model buffer as the checkpoint of an agent holds it.
static Buffer buffer_of(const UfAgent* agent) {
    const char* path = in_folder("buffer.h5");
    UfH5 h5;
    Buffer b = {0};
    int64_t counts[2];
    assert_ok(uf_agent_save(agent, path));
    assert_ok(uf_h5_open(&h5, path));
    assert_ok(uf_h5_read(&h5, "model/counts", UF_H5_INT64, counts, 2));
    b.head = counts[0];
    b.fill = counts[1];
    b.records = test_malloc((size_t)b.fill * (OBS + ACT + 3) * sizeof(float));
    b.next_obs = test_malloc((size_t)b.fill * OBS * sizeof(float));
    b.next_actions = test_malloc((size_t)b.fill * ACT * sizeof(float));
    assert_ok(uf_h5_read(&h5, "model/0/records", UF_H5_FLOAT, b.records, b.fill * (OBS + ACT + 3)));
    assert_ok(uf_h5_read(&h5, "model/0/next_obs", UF_H5_FLOAT, b.next_obs, b.fill * OBS));
    assert_ok(uf_h5_read(&h5, "model/0/next_actions", UF_H5_FLOAT, b.next_actions, b.fill * ACT));
    uf_h5_close(&h5);
    return b;
}

static void free_buffer(Buffer b) {
    test_free(b.records);
    test_free(b.next_obs);
    test_free(b.next_actions);
}

static const float* record(const Buffer* b, int64_t row) { return b->records + row * (OBS + ACT + 3); }

static bool is_in_dataset(const float* obs) {
    for (int64_t i = 0; i < data->num_rows; i++)
        if (memcmp(uf_record(data, i), obs, OBS * sizeof(float)) == 0) return true;
    return false;
}

// With a model that always says delta and reward 0.25: starts from the dataset, moves on from where it came,
// acts by the policy, and the penalty is taken off.
static void test_rollout(void** state) {
    (void)state;
    enum { STARTS = 40, LENGTH = 3 };
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.5, \"model_path\": \"exact\", \"rollout_batch_size\": 40, "
        "\"rollout_length\": 3, \"rollout_interval\": 100, \"step_penalty_coef\": 0}");
    UfAgent* agent = created(config, 1);
    UfPolicy* policy = NULL;
    assert_ok(uf_policy_create(&policy, agent, 0));  // rollouts come before the first update
    assert_ok(uf_train(agent, data, 2, NULL, NULL));
    Buffer b = buffer_of(agent);
    assert_int_equal(b.fill, STARTS * LENGTH);
    assert_int_equal(b.head, STARTS * LENGTH);
    for (int64_t k = 0; k < b.fill; k++) {
        const float* x = record(&b, k);
        float action[ACT];
        if (k < STARTS && !is_in_dataset(x)) fail_msg("row %d does not start in the dataset", (int)k);
        assert_ok(uf_policy_act(policy, action, x, 1, NULL));
        for (int i = 0; i < ACT; i++)  // sums in another order
            assert_float_equal(x[OBS + i], action[i], 1e-5);
        for (int i = 0; i < OBS; i++) assert_float_equal(b.next_obs[k * OBS + i], x[i] + 0.25f, 1e-6);
        assert_float_equal(x[OBS + ACT], 0.25f, 1e-6);
        assert_true(x[OBS + ACT + 1] == 0);
        if (k + STARTS >= b.fill) continue;
        assert_memory_equal(record(&b, k + STARTS), b.next_obs + k * OBS, OBS * sizeof(float));
        assert_memory_equal(record(&b, k + STARTS) + OBS, b.next_actions + k * ACT, ACT * sizeof(float));
    }
    assert_float_equal(metric(agent, "buffer_fill"), 0.5, 1e-9);  // of two refreshes
    assert_true(metric(agent, "model_penalty") == 0 && metric(agent, "model_dropped") == 0);
    assert_true(metric(agent, "model_terminated") == 0);
    uf_policy_free(policy);
    free_buffer(b);
    uf_agent_free(agent);
    // std is e^-30 in every number here; the random model's is between e^-1.25 and e^-0.75 + a bit.
    uf_config_free(config);
    config =
        config_of("{\"dataset_sample_ratio\": 0.5, \"rollout_batch_size\": 40, \"step_penalty_coef\": 2}");
    agent = trained(config, 1, 1);
    assert_true(metric(agent, "model_penalty") > 2 * sqrt(D) * exp(-1.25));
    assert_true(metric(agent, "model_penalty") < 2 * sqrt(D) * 1.2 * exp(-0.75));
    assert_true(metric(agent, "model_error") > 0.5);
    uf_agent_free(agent);
    uf_config_free(config);
}

// Noise is new in every number, row, slice, step and update: with a model that says the same of everything,
// what is drawn is independent. Bounds are five standard deviations.
static void test_noise(void** state) {
    (void)state;
    enum { STARTS = 4200, LENGTH = 2, N = STARTS * LENGTH };
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.5, \"model_path\": \"noisy\", \"rollout_batch_size\": 4200, "
        "\"rollout_length\": 2, \"rollout_interval\": 1, \"step_penalty_coef\": 0}");
    UfAgent* agent = trained(config, 2, 1);
    Buffer b = buffer_of(agent);
    assert_int_equal(b.fill, 2 * N);
    // 4096 rows of step 0, then of step 1, then 104 of each; then the next update's.
    const int lags[] = {1, 4096, 2 * 4096, N};
    static double e[2 * N];
    const double std =
        sqrt(exp(-2.5) + 1 / (exp(1.5) + exp(0)));  // raw log-variance 0 between its soft bounds
    double sum = 0, squares = 0;
    for (int k = 0; k < 2 * N; k++) {
        e[k] = (record(&b, k)[OBS + ACT] - 0.25) / std;
        sum += e[k];
        squares += e[k] * e[k];
    }
    assert_float_equal(sum / (2 * N), 0, 5 / sqrt(2 * N));
    assert_float_equal(squares / (2 * N), 1, 5 * sqrt(2.0 / (2 * N)));
    for (int i = 0; i < 4; i++) {
        const int count = i == 2 ? 104 : 2 * N - lags[i];
        double product = 0;
        for (int k = 0; k < count; k++) product += e[k] * e[k + lags[i]];
        if (fabs(product / count) > 5 * squares / (2 * N) / sqrt(count))
            fail_msg("correlation %g at lag %d", product / count, lags[i]);
    }
    double product = 0;  // of two numbers of one row
    for (int k = 0; k < 2 * N; k++) product += e[k] * (b.next_obs[k * OBS] - record(&b, k)[0] - 0.25) / std;
    assert_float_equal(product / (2 * N), 0, 5 * squares / (2 * N) / sqrt(2 * N));
    free_buffer(b);
    uf_agent_free(agent);
    // Elites take turns: one says a reward of 0, the other 1.
    snprintf(config->model_path, sizeof config->model_path, "two minds");
    agent = trained(config, 2, 1);
    b = buffer_of(agent);
    sum = 0;
    for (int k = 0; k < 2 * N; k++) sum += e[k] = roundf(record(&b, k)[OBS + ACT]);
    assert_float_equal(sum / (2 * N), 0.5, 2.5 / sqrt(2 * N));
    for (int i = 0; i < 4; i++) {
        const int count = i == 2 ? 104 : 2 * N - lags[i];
        int same = 0;
        for (int k = 0; k < count; k++) same += e[k] == e[k + lags[i]];
        if (fabs((double)same / count - 0.5) > 2.5 / sqrt(count))
            fail_msg("%d of %d elites repeat", same, count);
    }
    // Start states too.
    for (int i = 2; i < 4; i++) {
        int same = 0;
        for (int k = 0; k < 104; k++) same += record(&b, k)[0] == record(&b, k + lags[i])[0];
        assert_true(same < 10);  // of 300 rows
    }
    free_buffer(b);
    uf_agent_free(agent);
    uf_config_free(config);
}

// Rows that the rule ends are the last of their rollout.
static void test_termination_stops(void** state) {
    (void)state;
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.5, \"termination\": \"humanoid\", \"rollout_batch_size\": 100, "
        "\"rollout_length\": 2, \"rollout_interval\": 100}");
    UfAgent* agent = trained(config, 1, 1);
    Buffer b = buffer_of(agent);
    int going = 0, done = 0;
    for (int64_t k = 0; k < b.fill; k++) {
        const float *x = record(&b, k), z = b.next_obs[k * OBS];
        const bool ends = !(z >= 1 && z <= 2);
        assert_true(x[OBS + ACT + 1] == (float)ends);
        done += ends;
        if (k >= 100 || ends) continue;
        assert_memory_equal(record(&b, 100 + going), b.next_obs + k * OBS, OBS * sizeof(float));
        going++;
    }
    assert_true(going > 5 && going < 60);
    assert_int_equal(b.fill, 100 + going);
    assert_float_equal(metric(agent, "model_terminated"), (double)done / (double)b.fill, 1e-9);
    assert_float_equal(metric(agent, "buffer_fill"), (double)b.fill / 400, 1e-9);
    free_buffer(b);
    uf_agent_free(agent);
    uf_config_free(config);
}

// MOReL with a threshold of 0 ends every rollout at once, at the least reward and less.
static void test_pessimism(void** state) {
    (void)state;
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.5, \"rollout_batch_size\": 50, \"term_penalty_offset\": -30, "
        "\"threshold_coef\": 0}");
    UfAgent* agent = trained(config, 1, 1);
    Buffer b = buffer_of(agent);
    assert_int_equal(b.fill, 50);
    for (int64_t k = 0; k < b.fill; k++)
        assert_true(record(&b, k)[OBS + ACT] == -37 && record(&b, k)[OBS + ACT + 1] == 1);
    free_buffer(b);
    uf_agent_free(agent);
    uf_config_free(config);
}

enum { BATCH = 501 };
typedef struct Batch {
    real obs[BATCH * OBS], next_obs[BATCH * OBS], next_action[BATCH * ACT], reward[BATCH];
} Batch;

// The last batch of an agent, wherever that is.
static void batch_of(UfAgent* agent, Batch* out) {
    const UfBatch* batch = uf_agent_batch(agent);
    UfBackend* be = uf_agent_backend(agent);
    be->download(be, out->obs, batch->obs, sizeof out->obs);
    be->download(be, out->next_obs, batch->next_obs, sizeof out->next_obs);
    be->download(be, out->next_action, batch->next_action, sizeof out->next_action);
    be->download(be, out->reward, batch->reward, sizeof out->reward);
    assert_ok(be->sync(be));
}

// The first floor(B * ratio) rows of a batch are those of a model-free batch, the others come from the
// buffer, and from its filled part alone.
static void test_batches(void** state) {
    (void)state;
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.3, \"model_path\": \"exact\", \"rollout_batch_size\": 20, "
        "\"rollout_length\": 1, \"model_retain_epochs\": 100, \"batch_size\": 501}");
    UfConfig* free_config = config_of("{\"model_path\": \"\", \"batch_size\": 501}");
    UfAgent *agent = trained(config, 1, 1), *model_free = trained(free_config, 1, 1);
    Batch batch, plain;
    Buffer b = buffer_of(agent);
    bool seen[20] = {0};
    batch_of(agent, &batch);
    batch_of(model_free, &plain);
    assert_int_equal(b.fill, 20);
    assert_memory_equal(batch.obs, plain.obs, 150 * OBS * sizeof(real));
    assert_memory_equal(batch.next_action, plain.next_action, 150 * ACT * sizeof(real));
    assert_memory_equal(batch.reward, plain.reward, 150 * sizeof(real));
    for (int i = 150; i < BATCH; i++) {
        int from = -1;
        for (int k = 0; k < 20; k++)
            if (memcmp(record(&b, k), batch.obs + i * OBS, OBS * sizeof(float)) == 0 &&
                memcmp(b.next_obs + k * OBS, batch.next_obs + i * OBS, OBS * sizeof(float)) == 0 &&
                memcmp(b.next_actions + k * ACT, batch.next_action + i * ACT, ACT * sizeof(float)) == 0)
                from = k;
        if (from < 0) fail_msg("row %d of the batch is not in the buffer", i);
        seen[from] = true;
    }
    for (int k = 0; k < 20; k++) assert_true(seen[k]);  // 351 draws of 20
    free_buffer(b);
    uf_agent_free(agent);
    uf_agent_free(model_free);
    uf_config_free(config);
    uf_config_free(free_config);
}

// When the buffer is full the oldest rows go.
static void test_wrap_around(void** state) {
    (void)state;
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.3, \"model_path\": \"humanoid\", \"rollout_batch_size\": 30, "
        "\"rollout_length\": 2, \"rollout_interval\": 1, \"model_retain_epochs\": 2}");
    UfAgent* agent = created(config, 1);
    int64_t total = 0;
    for (int update = 0; update < 12; update++) {
        Buffer before = {0}, after;
        if (update) before = buffer_of(agent);
        assert_ok(uf_train(agent, data, 1, NULL, NULL));
        after = buffer_of(agent);
        int64_t fresh = after.head - before.head;
        if (fresh <= 0) fresh += 120;
        total += fresh;
        assert_true(fresh >= 30 && fresh <= 60);
        assert_int_equal(after.fill, total < 120 ? total : 120);
        for (int64_t k = 0; k < before.fill; k++) {
            const bool overwritten = (k - before.head + 120) % 120 < fresh;
            if (!overwritten) assert_memory_equal(record(&before, k), record(&after, k), (OBS + ACT + 3) * 4);
        }
        for (int64_t k = 0; k < fresh; k++)
            assert_true(record(&after, (before.head + k) % 120)[OBS + ACT] != 0);
        if (update) free_buffer(before);
        free_buffer(after);
    }
    assert_true(total > 240);
    uf_agent_free(agent);
    uf_config_free(config);
}

// ---- rows that are not finite ----

static void test_dropped(void** state) {
    (void)state;
    int above = 0;
    for (int64_t i = 0; i < data->num_rows; i++) above += uf_record(data, i)[0] > 1;
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.3, \"model_path\": \"few infinite\", \"rollout_batch_size\": 1000, "
        "\"rollout_length\": 1}");
    UfAgent* agent = trained(config, 4, 1);
    Buffer b = buffer_of(agent);
    const double share = (double)above / (double)data->num_rows;
    assert_float_equal(metric(agent, "model_dropped"), share, 5 * sqrt(share / 1000));
    for (int64_t k = 0; k < b.fill; k++) {
        assert_true(record(&b, k)[0] <= 1);
        for (int i = 0; i < OBS; i++) assert_true(isfinite(b.next_obs[k * OBS + i]));
    }
    free_buffer(b);
    uf_agent_free(agent);
    snprintf(config->model_path, sizeof config->model_path, "most infinite");
    agent = created(config, 1);
    assert_int_equal(uf_train(agent, data, 4, NULL, NULL), UF_ERR_NONFINITE);
    assert_error("update 0");
    assert_error("'most infinite'");
    assert_error("of 1000 rows");
    assert_error("rollout_length");
    uf_agent_free(agent);
    uf_config_free(config);
}

// ---- a user's rule ----

typedef struct Rule {
    int64_t rows, calls;
    float high;  // ends where next_obs[0] is above
} Rule;

static void rule(void* user, const float* obs, const float* actions, const float* next_obs, uint8_t* done,
                 int64_t n) {
    Rule* r = user;
    r->calls++;
    r->rows += n;
    for (int64_t i = 0; i < n; i++) {
        assert_true(done[i] == 0);
        assert_true(fabsf(actions[i * ACT]) <= 1 && isfinite(obs[i * OBS]));
        done[i] = next_obs[i * OBS] > r->high;
    }
}

static void test_callback(void** state) {
    (void)state;
    const char* path = in_folder("callback.h5");
    UfConfig* config = config_of(
        "{\"dataset_sample_ratio\": 0.3, \"model_path\": \"no rule\", \"rollout_batch_size\": 200, "
        "\"rollout_length\": 2}");
    UfAgent *agent = created(config, 1), *loaded = NULL;
    Rule r = {.high = 0.5f}, again = r;
    assert_int_equal(uf_train(agent, data, 1, NULL, NULL), UF_ERR_CONFIG);
    assert_error("uf_agent_set_termination");
    assert_error("termination");
    assert_ok(uf_agent_set_termination(agent, rule, &r));
    assert_ok(uf_train(agent, data, 2, NULL, NULL));
    Buffer b = buffer_of(agent);
    assert_int_equal(r.calls, 2);
    assert_int_equal(r.rows, b.fill);
    for (int64_t k = 0; k < b.fill; k++)
        assert_true((record(&b, k)[OBS + ACT + 1] == 1) == (b.next_obs[k * OBS] > r.high));
    assert_true(b.fill > 200 && b.fill < 400);
    free_buffer(b);
    assert_ok(uf_agent_save(agent, path));
    assert_ok(uf_train(agent, data, 5, NULL, NULL));
    // A resumed agent asks for the rule, also where a built-in one would do.
    assert_ok(uf_agent_load(&loaded, path, 2));
    assert_int_equal(uf_train(loaded, data, 5, NULL, NULL), UF_ERR_ARGUMENT);
    assert_error("uf_agent_set_termination");
    assert_ok(uf_agent_set_termination(loaded, rule, &again));
    assert_ok(uf_train(loaded, data, 5, NULL, NULL));
    assert_same_member(agent, 0, loaded, 0);
    uf_agent_free(agent);
    uf_agent_free(loaded);
    // Beside MOReL, whose ends stay.
    config->term_penalty_offset = -1;
    config->threshold_coef = 0;
    agent = created(config, 1);
    assert_ok(uf_agent_set_termination(agent, rule, &r));
    assert_ok(uf_train(agent, data, 1, NULL, NULL));
    assert_true(metric(agent, "model_terminated") == 1);
    uf_agent_free(agent);
    // Null goes back to the built-in rule; an agent without a model has no use for one.
    snprintf(config->model_path, sizeof config->model_path, "random");
    agent = created(config, 1);
    assert_ok(uf_agent_set_termination(agent, rule, &r));
    assert_ok(uf_agent_set_termination(agent, NULL, NULL));
    assert_ok(uf_train(agent, data, 1, NULL, NULL));
    uf_agent_free(agent);
    config->dataset_sample_ratio = 1;
    config->model_path[0] = 0;
    agent = created(config, 1);
    assert_int_equal(uf_agent_set_termination(agent, rule, &r), UF_ERR_ARGUMENT);
    uf_agent_free(agent);
    uf_config_free(config);
}

// ---- refusals ----

static void test_refusals(void** state) {
    (void)state;
    static const struct {
        const char *json, *first, *second;
    } cases[] = {
        {"{\"dataset_sample_ratio\": 0.5, \"model_path\": \"\"}", "dataset_sample_ratio", "model_path"},
        {"{\"dataset_sample_ratio\": 1}", "model_path", "dataset_sample_ratio"},
        {"{\"dataset_sample_ratio\": 0.5, \"model_path\": \"nowhere\"}", "nowhere", "no such file"},
        {"{\"dataset_sample_ratio\": 0.5, \"model_path\": \"other dataset\"}", "other dataset", "0123"},
        {"{\"dataset_sample_ratio\": 0.5, \"model_path\": \"other dimensions\"}", "dimensions",
         "unifloral dynamics"},
        {"{\"dataset_sample_ratio\": 0.5, \"termination\": \"hoper\"}", "termination", "'hopper'"},
        {"{\"dataset_sample_ratio\": 0.5, \"termination\": \"swimmer\"}", "swimmer", "walker2d"},
        {"{\"dataset_sample_ratio\": 0.5, \"termination\": \"pen\"}", "'pen'", "27"},
        {"{\"dataset_sample_ratio\": 0.5, \"model_path\": \"acrobot\"}", "'acrobot'", "termination"},
        {"{\"dataset_sample_ratio\": 0.5, \"model_path\": \"no statistics\", \"term_penalty_offset\": -1}",
         "term_penalty_offset", "no statistics"},
        {"{\"dataset_sample_ratio\": 0.01, \"cql_data_only\": true}", "cql_data_only",
         "dataset_sample_ratio"},
        {"{\"dataset_sample_ratio\": 0.5, \"online\": true, \"env\": \"pendulum\"}", "online",
         "dataset_sample_ratio"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        UfConfig* config = config_of(cases[i].json);
        UfAgent* agent = (UfAgent*)1;
        assert_int_not_equal(uf_agent_create(&agent, config, data, 1), UF_OK);
        assert_null(agent);
        assert_error(cases[i].first);
        assert_error(cases[i].second);
        assert_null(strchr(uf_error(), '\n'));
        uf_config_free(config);
    }
}

// A checkpoint acts without its model, but does not train without it or with another.
static void test_model_on_resume(void** state) {
    (void)state;
    const char *path = in_folder("model.h5"), *other = in_folder("other.h5");
    UfConfig* config = config_of(families[0]);
    UfAgent *agent = trained(config, 2, 1), *loaded = NULL;
    UfPolicy* policy = NULL;
    assert_ok(uf_agent_save(agent, path));
    gone = "random";
    assert_int_not_equal(uf_agent_load(&loaded, path, 1), UF_OK);
    assert_null(loaded);
    assert_error("model.h5");
    assert_error("random");
    assert_ok(uf_policy_load(&policy, path, 0));
    uf_policy_free(policy);
    char* info = NULL;
    assert_ok(uf_checkpoint_info(path, &info));
    uf_free(info);
    gone = "";
    // The same path, but what lies there has changed: the checkpoint of a run with the other model stands for
    // it.
    snprintf(config->model_path, sizeof config->model_path, "other random");
    uf_agent_free(agent);
    agent = trained(config, 2, 1);
    assert_ok(uf_agent_save(agent, other));
    UfH5 a, b;
    char *hash_a = NULL, *hash_b = NULL;
    assert_ok(uf_h5_open(&a, path));
    assert_ok(uf_h5_open(&b, other));
    assert_ok(uf_h5_read_string(&a, "/", "model_hash", &hash_a));
    assert_ok(uf_h5_read_string(&b, "/", "model_hash", &hash_b));
    assert_string_not_equal(hash_a, hash_b);
    uf_free(hash_a);
    uf_free(hash_b);
    uf_h5_close(&a);
    uf_h5_close(&b);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Adelete(file, "model_hash") >= 0);
    UfH5 h5 = {.file = file};
    assert_ok(uf_h5_write_string(&h5, "/", "model_hash", "another"));
    H5Fclose(file);
    assert_int_equal(uf_agent_load(&loaded, path, 1), UF_ERR_CONFIG);
    assert_error("another world model");
    assert_error("'random'");
    uf_agent_free(agent);
    uf_config_free(config);
}

static void test_damaged_buffer(void** state) {
    (void)state;
    static const char* const missing[] = {"model/0/records", "model/0/next_obs", "model/counts",
                                          "model/metrics"};
    const char* path = in_folder("damaged.h5");
    UfConfig* config = config_of(families[2]);
    UfAgent *agent = trained(config, 2, 1), *loaded = NULL;
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        assert_ok(uf_agent_save(agent, path));
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(H5Ldelete(file, missing[i], H5P_DEFAULT) >= 0);
        H5Fclose(file);
        assert_int_equal(uf_agent_load(&loaded, path, 1), UF_ERR_FORMAT);
        assert_error(missing[i]);
        assert_null(loaded);
    }
    static const int64_t wrong[][2] = {{-1, 10}, {10, 1 << 20}, {5, 6}, {1 << 20, 1 << 20}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_ok(uf_agent_save(agent, path));
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        UfH5 h5 = {.file = file};
        assert_true(H5Ldelete(file, "model/counts", H5P_DEFAULT) >= 0);
        assert_ok(uf_h5_write(&h5, "model/counts", UF_H5_INT64, wrong[i], 2, (int64_t[]){2, 1}, 0, false));
        H5Fclose(file);
        assert_int_equal(uf_agent_load(&loaded, path, 1), UF_ERR_FORMAT);
        assert_error("model/counts");
    }
    uf_agent_free(agent);
    uf_config_free(config);
}

static void no_rule(void* user, const float* obs, const float* actions, const float* next_obs, uint8_t* done,
                    int64_t n) {
    (void)user, (void)obs, (void)actions, (void)next_obs, (void)done, (void)n;
}

// Every allocation on the host of making an agent, of a callback's rows and of loading a checkpoint fails once.
static void test_failing_allocations(void** state) {
    (void)state;
    const char* path = in_folder("memory.h5");
    UfConfig* config = config_of(families[2]);
    UfAgent *agent = trained(config, 1, 1), *none = NULL;
    assert_ok(uf_agent_save(agent, path));
    uf_agent_free(agent);
    for (int load = 0; load < 2; load++) {
        UfStatus status = UF_ERR_MEMORY;
        int n = 0;
        for (; status != UF_OK; n++) {
            allocations_left = n;
            status = load ? uf_agent_load(&none, path, 1) : uf_agent_create(&none, config, data, 1);
            if (status == UF_OK) status = uf_agent_set_termination(none, no_rule, NULL);
            allocations_left = -1;
            uf_agent_free(none);
            none = NULL;
            if (status != UF_OK) assert_int_equal(status, UF_ERR_MEMORY);
        }
        assert_true(n > 15);
    }
    uf_config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_population),
        cmocka_unit_test(test_rollout),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_termination_stops),
        cmocka_unit_test(test_pessimism),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_wrap_around),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_callback),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_model_on_resume),
        cmocka_unit_test(test_damaged_buffer),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
