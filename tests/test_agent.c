// test_agent.c: what an agent promises: bits independent of threads, population and interruption; clean
// refusals.
#include "same_member.h"
#include "support.h"

#include <math.h>
#include <pthread.h>

#include "core/agents/agent.h"
#include "core/data/h5.h"

// ---- small agents ----

// One configuration for each family of terms, small enough for a test.
static const char* const families[] = {
    "{\"use_awr\": true, \"awr_temperature\": 3}",
    "{\"deterministic\": false, \"use_tanh_mean\": false, \"use_entropy_loss\": true, "
    "\"actor_entropy_coef\": 1,"
    " \"critic_entropy_coef\": 1, \"num_critics\": 5, \"diversity_coef\": 1, \"use_target_actor\": false}",
    "{\"deterministic\": false, \"use_tanh_mean\": false, \"use_entropy_loss\": true, "
    "\"actor_entropy_coef\": 1,"
    " \"critic_entropy_coef\": 1, \"num_critics\": 3, \"cql_min_q_weight\": 5, \"critic_ln\": false}",
    "{\"deterministic\": false, \"use_log_std_param\": true, \"use_awr\": true, \"use_value_target\": true, "
    "\"actor_q_coef\": 0,"
    " \"lr_schedule\": \"cosine\", \"num_updates\": 40, \"policy_noise\": 0}",
    "{\"aggregate_q\": \"first\", \"use_q_target_in_actor\": true, \"use_awr\": true, \"batch_size\": 300}",
};
enum { NUM_FAMILIES = sizeof families / sizeof *families, OBS = 5, ACT = 2, ROWS = 400 };

static UfConfig* small_config(int family) {
    UfConfig* config = NULL;
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_parse(
        config,
        "{\"batch_size\": 64, \"actor_layer_width\": 37, \"critic_layer_width\": 24, \"actor_num_layers\": 2,"
        " \"critic_num_layers\": 2, \"num_updates\": 100}",
        "small"));
    assert_ok(uf_config_parse(config, families[family], "family"));
    use_test_device(config);
    return config;
}

static UfDataset* small_dataset(float reward_scale) {
    static float obs[ROWS * OBS], actions[ROWS * ACT], rewards[ROWS];
    static uint8_t terminals[ROWS];
    UfRandom random = uf_random(7, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS * ACT; i++) actions[i] = (float)uf_random_uniform(&random, -1, 1);
    for (int i = 0; i < ROWS; i++) rewards[i] = reward_scale * uf_random_normal(&random);
    for (int i = 0; i < ROWS; i++) terminals[i] = i % 50 == 49;
    const UfArrays arrays = {.num_rows = ROWS,
                             .obs_dim = OBS,
                             .action_dim = ACT,
                             .observations = obs,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals};
    UfDataset* dataset = NULL;
    assert_ok(uf_dataset_from_arrays(&dataset, &arrays));
    return dataset;
}

static UfAgent* trained(const UfConfig* config, const UfDataset* data, int64_t updates, int threads) {
    UfAgent* agent = NULL;
    assert_ok(uf_agent_create(&agent, config, data, threads));
    assert_ok(uf_train(agent, data, updates, NULL, NULL));
    return agent;
}

// ---- initialisation ----

// Fresh parameters follow the distributions of the reference; targets are copies.
static void test_initialisation(void** state) {
    (void)state;
    UfConfig* config = small_config(1);
    UfDataset* data = small_dataset(1);
    UfAgent* agent = NULL;
    config->actor_layer_width = config->critic_layer_width = 128;
    assert_ok(uf_agent_create(&agent, config, data, 1));
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        const size_t count = uf_tensor_count(t);
        const bool hidden = strstr(t->name, "/hidden/") != NULL, kernel = strstr(t->name, "/kernel") != NULL;
        real *x = test_malloc(count * sizeof(real)), low = INFINITY, high = -INFINITY;
        double sum = 0, squares = 0;
        assert_ok(uf_agent_get_tensor(agent, t, UF_TENSOR_VALUE, 0, x));
        for (size_t k = 0; k < count; k++) {
            sum += x[k];
            squares += (double)x[k] * x[k];
            low = x[k] < low ? x[k] : low;
            high = x[k] > high ? x[k] : high;
        }
        const double mean = sum / (double)count, variance = squares / (double)count - mean * mean;
        if (hidden && kernel) {  // truncated at 2 sigma; the variance after truncation is 1 / fan-in
            const double std = 1 / sqrt(t->rows), bound = 2 * std / 0.87962566;
            if (fabs(mean) > 5 * std / sqrt((double)count)) fail_msg("%s: mean %g", t->name, mean);
            // the variance of a sample variance: below 2 / count for a truncated normal
            if (fabs(variance * t->rows - 1) > 5 * sqrt(2 / (double)count))
                fail_msg("%s: variance %g", t->name, variance);
            if (high > bound || low < -bound || high < 0.8 * bound)
                fail_msg("%s: %g to %g", t->name, low, high);
        } else if (hidden) {
            const real expected = strstr(t->name, "/bias") ? (real)0.1 : strstr(t->name, "/scale") ? 1 : 0;
            if (low != expected || high != expected) fail_msg("%s: %g to %g", t->name, low, high);
        } else if (t->group != 3) {
            const double bound = strncmp(t->name, "actor", 5) == 0 ? 1e-3 : 3e-3;
            if (high > bound || low < -bound || (count > 100 && high < 0.95 * bound))
                fail_msg("%s: %g to %g", t->name, low, high);
        } else {
            assert_true(low == 0);  // log of ent_coef_init 1
        }
        if (t->is_target) {
            char name[64];
            snprintf(name, sizeof name, "%.*s%s", (int)(strstr(t->name, "_target") - t->name), t->name,
                     strstr(t->name, "_target") + strlen("_target"));
            real* online = test_malloc(count * sizeof(real));
            for (int k = 0; k < uf_agent_num_tensors(agent); k++)
                if (strcmp(uf_agent_tensor(agent, k)->name, name) == 0)
                    assert_ok(
                        uf_agent_get_tensor(agent, uf_agent_tensor(agent, k), UF_TENSOR_VALUE, 0, online));
            assert_memory_equal(x, online, count * sizeof(real));
            test_free(online);
        }
        test_free(x);
    }
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(data);
}

// ---- invariants ----

static void test_threads(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* config = small_config(f);
        config->batch_size = 300;  // two blocks of rows
        UfAgent *one = trained(config, data, 5, 1), *three = trained(config, data, 5, 3);
        assert_same_member(one, 0, three, 0);
        uf_agent_free(one);
        uf_agent_free(three);
        uf_config_free(config);
    }
    uf_dataset_free(data);
}

static void test_resume(void** state) {
    (void)state;
    const char* path = in_folder("resume.h5");
    UfDataset* data = small_dataset(1);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* config = small_config(f);
        UfAgent *straight = trained(config, data, 12, 1), *first = trained(config, data, 7, 1),
                *second = NULL;
        assert_ok(uf_agent_save(first, path));
        assert_ok(uf_agent_load(&second, path, 2));
        assert_int_equal(uf_agent_num_updates(second), 7);
        assert_same_member(first, 0, second, 0);
        assert_ok(uf_train(second, data, 5, NULL, NULL));
        assert_same_member(straight, 0, second, 0);
        uf_agent_free(straight);
        uf_agent_free(first);
        uf_agent_free(second);
        uf_config_free(config);
    }
    uf_dataset_free(data);
}

// Members with their own seeds, rates and coefficients end with the bits of single runs, and so after a
// resume.
static void test_population(void** state) {
    (void)state;
    enum { P = 3 };
    const char* path = in_folder("population.h5");
    UfDataset* data = small_dataset(1);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* configs[P];
        UfAgent *population = NULL, *loaded = NULL;
        for (int p = 0; p < P; p++) {
            configs[p] = small_config(f);
            configs[p]->seed = 10 + p;
            configs[p]->lr = 1e-3 * (p + 1);
            configs[p]->awr_temperature = 1 + p;
            configs[p]->gamma = 0.9 + 0.03 * p;
            configs[p]->critic_bc_coef = 0.01 * p;
            configs[p]->diversity_coef *= p + 1;
            configs[p]->policy_noise *= p;  // without noise in one member, with it in others
        }
        assert_ok(uf_agent_create_population(&population, (const UfConfig* const*)configs, P, data, 2));
        assert_ok(uf_train(population, data, 3, NULL, NULL));
        assert_ok(uf_agent_save(population, path));
        assert_ok(uf_agent_load(&loaded, path, 1));
        assert_ok(uf_train(loaded, data, 2, NULL, NULL));
        for (int p = 0; p < P; p++) {
            UfAgent* single = trained(configs[p], data, 5, 1);
            assert_same_member(loaded, p, single, 0);
            uf_agent_free(single);
            uf_config_free(configs[p]);
        }
        uf_agent_free(population);
        uf_agent_free(loaded);
    }
    uf_dataset_free(data);
}

typedef struct Job {
    UfConfig* config;
    const UfDataset* data;
    UfAgent* agent;
} Job;

static void* train_job(void* user) {
    Job* job = user;
    if (uf_agent_create(&job->agent, job->config, job->data, 2) == UF_OK)
        uf_train(job->agent, job->data, 10, NULL, NULL);
    return NULL;
}

static void test_two_agents_in_two_threads(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    Job jobs[2] = {{small_config(0), data, NULL}, {small_config(2), data, NULL}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, train_job, &jobs[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        UfAgent* alone = trained(jobs[i].config, data, 10, 1);
        assert_same_member(alone, 0, jobs[i].agent, 0);
        uf_agent_free(alone);
        uf_agent_free(jobs[i].agent);
        uf_config_free(jobs[i].config);
    }
    uf_dataset_free(data);
}

// ---- training ----

static int stop_at(void* user, UfAgent* agent, int64_t update) {
    (void)agent;
    return update == *(int64_t*)user;
}

static void test_stop(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    UfConfig* config = small_config(0);
    UfAgent *agent = NULL, *straight = trained(config, data, 9, 1);
    int64_t at = 4;
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_int_equal(uf_train(agent, data, 9, stop_at, &at), UF_ERR_STOPPED);
    assert_int_equal(uf_agent_num_updates(agent), 4);
    assert_ok(uf_train(agent, data, 5, NULL, NULL));
    assert_same_member(straight, 0, agent, 0);
    uf_agent_free(agent);
    uf_agent_free(straight);
    uf_config_free(config);
    uf_dataset_free(data);
}

// num_updates 0 goes to the configuration's end, and no further.
static void test_train_to_the_end(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    UfConfig* config = small_config(3);
    UfAgent* agent = NULL;
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_train(agent, data, 0, NULL, NULL));
    assert_int_equal(uf_agent_num_updates(agent), config->num_updates);
    assert_ok(uf_train(agent, data, 0, NULL, NULL));
    assert_int_equal(uf_agent_num_updates(agent), config->num_updates);
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(data);
}

static void test_not_finite(void** state) {
    (void)state;
    UfDataset *huge = small_dataset(1e30f), *data = small_dataset(1);
    UfConfig* config = small_config(0);
    UfAgent* agent = NULL;
    assert_ok(uf_agent_create(&agent, config, huge, 1));
    assert_int_equal(uf_train(agent, huge, 50, NULL, NULL), UF_ERR_NONFINITE);
    assert_error(on_device() ? "updates 1 to 50: " : "update 1: ");
    if (!on_device()) assert_error("critic");  // later it is in every term
    uf_agent_free(agent);
    // A parameter that is no number is found in the update that meets it.
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_train(agent, data, 2, NULL, NULL));
    for (int i = 0; i < uf_agent_num_tensors(agent); i++) {
        const UfTensor* t = uf_agent_tensor(agent, i);
        if (strcmp(t->name, "value/hidden/1/kernel") != 0) continue;
        real* values = test_calloc(uf_tensor_count(t), sizeof(real));
        values[3] = NAN;
        assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, 0, values));
        test_free(values);
    }
    assert_int_equal(uf_train(agent, data, 1, NULL, NULL), UF_ERR_NONFINITE);
    assert_non_null(strstr(uf_error(), "update 3: "));
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(huge);
    uf_dataset_free(data);
}

static void spoil(UfAgent* agent, int member) {
    const UfTensor* t = uf_agent_tensor(agent, 0);
    real* values = test_calloc(uf_tensor_count(t), sizeof(real));
    values[3] = NAN;
    assert_ok(uf_agent_set_tensor(agent, t, UF_TENSOR_VALUE, member, values));
    test_free(values);
}

static void assert_same_file(const char* a, const char* b) {
    char* data[2];
    size_t bytes[2];
    assert_ok(uf_read_file(a, &data[0], &bytes[0]));
    assert_ok(uf_read_file(b, &data[1], &bytes[1]));
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(data[0], data[1], bytes[0]);
    uf_free(data[0]);
    uf_free(data[1]);
}

// One member of five stops; the others end in the bits of runs of their own, also when saved one by one and put
// together again, for any number of threads.
static void test_member_stops(void** state) {
    (void)state;
    enum { P = 5, BAD = 3 };
    UfDataset* data = small_dataset(1);
    UfConfig* configs[P];
    UfAgent* alone[P];
    for (int p = 0; p < P; p++) {
        configs[p] = small_config(0);
        configs[p]->seed = 10 + p;
        configs[p]->lr = 1e-3 * (p + 1);
        alone[p] = trained(configs[p], data, 60, 2);
    }
    for (int threads = 1; threads <= 3; threads++) {
        UfAgent *agent, *loaded;
        const char* paths[P - 1] = {in_folder("0.h5"), in_folder("1.h5"), in_folder("2.h5"),
                                    in_folder("4.h5")};
        assert_ok(uf_agent_create_population(&agent, (const UfConfig* const*)configs, P, data, threads));
        assert_ok(uf_train(agent, data, 21, NULL, NULL));
        spoil(agent, BAD);
        assert_int_equal(uf_train(agent, data, 19, NULL, NULL), UF_ERR_NONFINITE);
        assert_error(on_device() ? "member 3: updates 22 to 40: " : "member 3: update 22: ");
        assert_string_equal(uf_agent_member_error(agent, BAD), strstr(uf_error(), "update"));
        if (uf_agent_num_updates(agent) < 40)  // a device sees it at the end
            assert_ok(uf_train(agent, data, 40 - uf_agent_num_updates(agent), NULL, NULL));
        for (int p = 0; p < P; p++) assert_int_equal(uf_agent_member_error(agent, p) != NULL, p == BAD);
        for (int k = 0; k < P - 1; k++) assert_ok(uf_agent_save_member(agent, k < BAD ? k : P - 1, paths[k]));
        assert_ok(uf_agent_load_population(&loaded, paths, P - 1, threads));
        assert_int_equal(uf_agent_population(loaded), P - 1);
        assert_ok(uf_train(agent, data, 20, NULL, NULL));
        assert_ok(uf_train(loaded, data, 20, NULL, NULL));
        for (int k = 0; k < P - 1; k++) {
            const int p = k < BAD ? k : P - 1;
            assert_same_member(agent, p, alone[p], 0);
            assert_same_member(loaded, k, alone[p], 0);
        }
        assert_ok(uf_agent_save_member(loaded, 1, in_folder("member.h5")));
        assert_ok(uf_agent_save(alone[1], in_folder("single.h5")));
        assert_same_file(in_folder("member.h5"), in_folder("single.h5"));
        // A file of the whole population remembers who stopped.
        assert_ok(uf_agent_save(agent, in_folder("all.h5")));
        uf_agent_free(loaded);
        assert_ok(uf_agent_load(&loaded, in_folder("all.h5"), threads));
        assert_string_equal(uf_agent_member_error(loaded, BAD), uf_agent_member_error(agent, BAD));
        assert_ok(uf_train(loaded, data, 1, NULL, NULL));
        uf_agent_free(loaded);
        uf_agent_free(agent);
    }
    for (int p = 0; p < P; p++) {
        uf_agent_free(alone[p]);
        uf_config_free(configs[p]);
    }
    uf_dataset_free(data);
}

static void test_unlike_checkpoints(void** state) {
    (void)state;
    UfDataset *data = small_dataset(1), *other = small_dataset(2);
    UfConfig *config = small_config(0), *wide = small_config(0);
    wide->batch_size = 32;
    UfAgent* agent = trained(config, data, 3, 1);
    const char* paths[2] = {in_folder("here.h5"), in_folder("there.h5")};
    assert_ok(uf_agent_save(agent, paths[0]));
    uf_agent_free(agent);
    const struct {
        UfConfig* config;
        UfDataset* data;
        int updates;
        const char* says;
    } cases[] = {{config, data, 4, "at updates 3 and 4"},
                 {config, other, 3, "same dataset"},
                 {wide, data, 3, "batch_size"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        agent = trained(cases[i].config, cases[i].data, cases[i].updates, 1);
        assert_ok(uf_agent_save(agent, paths[1]));
        uf_agent_free(agent);
        assert_int_not_equal(uf_agent_load_population(&agent, paths, 2, 1), UF_OK);
        assert_null(agent);
        assert_error(cases[i].says);
    }
    uf_config_free(config);
    uf_config_free(wide);
    uf_dataset_free(data);
    uf_dataset_free(other);
}

static void test_metrics(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    UfConfig* config = small_config(1);
    UfAgent* agent = NULL;
    int count = 0;
    const char* const* names = NULL;
    const double* values = NULL;
    bool diversity = false;
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_agent_metrics(agent, 0, &count, &names, &values));
    assert_true(isnan(values[0]));
    assert_ok(uf_train(agent, data, 3, NULL, NULL));
    assert_ok(uf_agent_metrics(agent, 0, &count, &names, &values));
    for (int i = 0; i < count; i++) {
        assert_true(isfinite(values[i]));
        diversity |= strcmp(names[i], "diversity_loss") == 0;
        assert_string_not_equal(names[i], "value_loss");  // no value function here
    }
    assert_true(diversity);
    uf_agent_clear_metrics(agent);
    assert_ok(uf_agent_metrics(agent, 0, &count, &names, &values));
    assert_true(isnan(values[0]));
    assert_int_not_equal(uf_agent_metrics(agent, 1, &count, &names, &values), UF_OK);
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(data);
}

// ---- refusals ----

static void test_contradictions(void** state) {
    (void)state;
    static const struct {
        const char *json, *first, *second;
    } cases[] = {
        {"{\"use_tanh_mean\": false}", "deterministic", "use_tanh_mean"},
        {"{\"use_entropy_loss\": true}", "use_entropy_loss", "deterministic"},
        {"{\"diversity_coef\": 1, \"num_critics\": 1}", "diversity_coef", "num_critics"},
        {"{\"deterministic\": false, \"log_std_min\": 3}", "log_std_min", "log_std_max"},
        {"{\"dataset_sample_ratio\": 0.5}", "dataset_sample_ratio", "model_path"},
        {"{\"model_path\": \"model.h5\"}", "model_path", "dataset_sample_ratio"},
    };
    UfDataset* data = small_dataset(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        UfConfig* config = NULL;
        UfAgent* agent = (UfAgent*)1;
        assert_ok(uf_config_create(&config));
        assert_ok(uf_config_parse(config, cases[i].json, "case"));
        assert_int_not_equal(uf_agent_create(&agent, config, data, 1), UF_OK);
        assert_null(agent);
        if (!strstr(uf_error(), cases[i].first) || !strstr(uf_error(), cases[i].second))
            fail_msg("unclear: %s", uf_error());
        uf_config_free(config);
    }
    uf_dataset_free(data);
}

static void test_shapes_of_a_population(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    UfConfig* configs[2] = {small_config(0), small_config(0)};
    UfAgent* agent = NULL;
    configs[1]->batch_size = 32;
    assert_int_equal(uf_agent_create_population(&agent, (const UfConfig* const*)configs, 2, data, 1),
                     UF_ERR_CONFIG);
    assert_error("batch_size");
    configs[1]->batch_size = configs[0]->batch_size;
    configs[1]->diversity_coef = 1;
    assert_int_equal(uf_agent_create_population(&agent, (const UfConfig* const*)configs, 2, data, 1),
                     UF_ERR_CONFIG);
    assert_error("diversity_coef");
    for (int i = 0; i < 2; i++) uf_config_free(configs[i]);
    uf_dataset_free(data);
}

// ---- checkpoints ----

static void save_small(const char* path) {
    UfDataset* data = small_dataset(1);
    UfConfig* config = small_config(0);
    UfAgent* agent = trained(config, data, 1, 1);
    assert_ok(uf_agent_save(agent, path));
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(data);
}

static void expect_refused(const char* path, const char* piece) {
    UfAgent* agent = (UfAgent*)1;
    UfPolicy* policy = (UfPolicy*)1;
    assert_int_not_equal(uf_agent_load(&agent, path, 1), UF_OK);
    if (!strstr(uf_error(), piece)) fail_msg("'%s' does not name '%s'", uf_error(), piece);
    assert_null(strchr(uf_error(), '\n'));
    assert_null(agent);
    assert_int_not_equal(uf_policy_load(&policy, path, 0), UF_OK);
    assert_null(policy);
}

static void test_damaged_checkpoints(void** state) {
    (void)state;
    char whole[128], part[128], *data = NULL;
    size_t bytes = 0;
    snprintf(whole, sizeof whole, "%s/whole.h5", folder);
    snprintf(part, sizeof part, "%s/part.h5", folder);
    save_small(whole);
    assert_ok(uf_read_file(whole, &data, &bytes));
    for (int i = 0; i < 25; i++) {  // cut off anywhere
        assert_ok(uf_write_file(part, data, bytes * (size_t)i / 25));
        expect_refused(part, part);
    }
    UfRandom random = uf_random(3, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < 150; i++) {  // a flipped byte: refused or harmless, never a crash
        UfAgent* agent = NULL;
        const size_t at = uf_random_u32(&random) % bytes;
        data[at] ^= (char)(1 << i % 8);
        assert_ok(uf_write_file(part, data, bytes));
        data[at] ^= (char)(1 << i % 8);
        if (uf_agent_load(&agent, part, 1) != UF_OK) assert_null(agent);
        uf_agent_free(agent);
    }
    uf_free(data);
    // Missing, of another kind, of another version.
    expect_refused("none.h5", "none.h5");
    expect_refused("tests/data/update_bc.h5", "kind");
    static const char* const missing[] = {"value/critic/hidden/0/kernel", "adam_v/actor/mean/bias",
                                          "config/0", "norm/std", "metrics"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        save_small(whole);
        hid_t file = H5Fopen(whole, H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(H5Ldelete(file, missing[i], H5P_DEFAULT) >= 0);
        H5Fclose(file);
        expect_refused(whole, missing[i]);
    }
}

static void test_unwritable_checkpoint(void** state) {
    (void)state;
    UfDataset* data = small_dataset(1);
    UfConfig* config = small_config(0);
    UfAgent* agent = trained(config, data, 1, 1);
    assert_int_not_equal(uf_agent_save(agent, "/nonexistent/folder/checkpoint.h5"), UF_OK);
    assert_non_null(strstr(uf_error(), "/nonexistent/folder"));
    uf_agent_free(agent);
    uf_config_free(config);
    uf_dataset_free(data);
}

// ---- policies ----

static void test_policy(void** state) {
    (void)state;
    enum { N = 150 };
    const char* path = in_folder("policy.h5");
    UfDataset* data = small_dataset(1);
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfConfig* config = small_config(f);
        UfAgent* agent = trained(config, data, 3, 1);
        UfPolicy *policy = NULL, *loaded = NULL, *none = NULL;
        float obs[N * OBS], noise[N * ACT], mean[N * ACT], sampled[N * ACT], again[N * ACT];
        UfRandom random = uf_random(5, UF_STREAM_CONTROLLER, 0);
        for (int i = 0; i < N * OBS; i++) obs[i] = uf_random_normal(&random);
        for (int i = 0; i < N * ACT; i++) noise[i] = uf_random_normal(&random);
        assert_ok(uf_policy_create(&policy, agent, 0));
        assert_ok(uf_agent_save(agent, path));
        assert_ok(uf_policy_load(&loaded, path, 0));
        assert_int_equal(uf_policy_obs_dim(loaded), OBS);
        assert_int_equal(uf_policy_action_dim(loaded), ACT);
        assert_ok(uf_policy_act(policy, mean, obs, N, NULL));
        assert_ok(uf_policy_act(loaded, again, obs, N, NULL));
        assert_memory_equal(mean, again, sizeof mean);
        assert_ok(uf_policy_act(policy, sampled, obs, N, noise));
        if (config->deterministic)
            assert_memory_equal(mean, sampled, sizeof mean);
        else
            assert_memory_not_equal(mean, sampled, sizeof mean);
        for (int i = 0; i < N * ACT; i++) assert_true(mean[i] >= -1 && mean[i] <= 1);
        assert_ok(uf_policy_act(policy, mean, obs, 0, NULL));
        assert_int_not_equal(uf_policy_create(&none, agent, 1), UF_OK);
        assert_null(none);
        uf_policy_free(policy);
        uf_policy_free(loaded);
        uf_agent_free(agent);
        uf_config_free(config);
    }
    uf_dataset_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initialisation),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_population),
        cmocka_unit_test(test_two_agents_in_two_threads),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_train_to_the_end),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_member_stops),
        cmocka_unit_test(test_unlike_checkpoints),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_shapes_of_a_population),
        cmocka_unit_test(test_damaged_checkpoints),
        cmocka_unit_test(test_unwritable_checkpoint),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
