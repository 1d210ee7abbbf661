// test_distilled.c: distilled datasets: files and back, what readers refuse, a file's own normalisation in training and
// acting, merging, text, pictures. Linked with -Wl,--wrap=malloc and the like, as test_faults_data is.
#include "support.h"

#include <math.h>

#include "core/agents/evaluate.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/philox.h"
#include "core/pictures/page.h"
#include "core/runs/run.h"
#include "core/search/distilled.h"
#include "terms.h"  // UF_OBS_STD_EPS

#include "failing_alloc.h"
#include "h5_change.h"

// ---- datasets to test with ----

static void set_text(char** to, const char* text) {
    uf_free(*to);
    assert_ok(uf_strdup(to, text));
}

// States that no addition gives back, labels of which some are beyond [-1, 1].
static UfDistilled* example(int rows, int obs_dim, int action_dim, bool discrete, const char* env) {
    UfDistilled* d = NULL;
    UfRandom random = uf_random(11, UF_STREAM_CONTROLLER, 0);
    assert_ok(uf_distilled_create(&d, rows, obs_dim, action_dim, discrete));
    for (int i = 0; i < rows * obs_dim; i++) d->states[i] = uf_random_normal(&random);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < action_dim; j++)
            d->labels[i * action_dim + j] = discrete ? j == i % action_dim : 2 * uf_random_normal(&random);
    for (int j = 0; j < obs_dim; j++) {
        d->mean[j] = 3 * uf_random_normal(&random);
        d->divisor[j] = (float)uf_random_uniform(&random, 0.01, 2);
    }
    set_text(&d->env_id, env);
    set_text(&d->recipe, "by \"hand\"");
    set_text(&d->config, "{\"rows\": 2}");
    d->seed = 4294967295;
    d->fitness = 487.25;
    d->generation = 40;
    return d;
}

static void assert_same(const UfDistilled* a, const UfDistilled* b) {
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->obs_dim, b->obs_dim);
    assert_int_equal(a->action_dim, b->action_dim);
    assert_int_equal(a->discrete, b->discrete);
    assert_memory_equal(a->states, b->states, (size_t)(a->rows * a->obs_dim) * sizeof(float));
    assert_memory_equal(a->labels, b->labels, (size_t)(a->rows * a->action_dim) * sizeof(float));
    assert_memory_equal(a->mean, b->mean, (size_t)a->obs_dim * sizeof(float));
    assert_memory_equal(a->divisor, b->divisor, (size_t)a->obs_dim * sizeof(float));
    assert_string_equal(a->env_id, b->env_id);
    assert_string_equal(a->recipe, b->recipe);
    assert_string_equal(a->config, b->config);
    assert_true(a->seed == b->seed);
    assert_true(a->fitness == b->fitness || (isnan(a->fitness) && isnan(b->fitness)));
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->num_tasks, b->num_tasks);
    for (int i = 0; i < a->num_tasks; i++) {
        const UfDistilledTask *x = &a->tasks[i], *y = &b->tasks[i];
        assert_string_equal(x->env_id, y->env_id);
        assert_int_equal(x->obs_dim, y->obs_dim);
        assert_int_equal(x->action_dim, y->action_dim);
        assert_int_equal(x->first_obs, y->first_obs);
        assert_memory_equal(x->mean, y->mean, (size_t)x->obs_dim * sizeof(float));
        assert_memory_equal(x->divisor, y->divisor, (size_t)x->obs_dim * sizeof(float));
    }
}

static const char* written(const UfDistilled* d, const char* name) {
    const char* path = in_folder(name);
    assert_ok(uf_distilled_write(d, path));
    return path;
}

static UfDistilled* read_back(const char* path) {
    UfDistilled* d = NULL;
    assert_ok(uf_distilled_read(&d, path));
    return d;
}

// Writes d, has `change` done to the file, and expects it to be refused with this piece of a sentence, which names the file.
static void expect_refused(const UfDistilled* d, void (*change)(hid_t file), const char* piece) {
    const char* path = written(d, "changed.hdf5");
    UfDistilled* read = (UfDistilled*)&read;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    change(file);
    H5Fclose(file);
    if (uf_distilled_read(&read, path) == UF_OK) fail_msg("read, though: %s", piece);
    assert_null(read);
    assert_error(piece);
    assert_error("changed.hdf5");
}

// ---- files ----

static void test_round_trip(void** state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        UfDistilled* d = example(7, 5, 3, kind > 0, kind ? "" : "Hopper-v4");
        if (kind == 2) {  // distributions over kinds
            for (int i = 0; i < 7 * 3; i++) d->labels[i] = 0.25f + 0.25f * (i % 3 == i / 3 % 3);
            set_text(&d->config, "");
            d->fitness = NAN;
        }
        const char* path = written(d, "round.hdf5");
        assert_true(uf_is_distilled(path));
        UfDistilled* back = read_back(path);
        assert_same(d, back);
        char first[65], second[65];
        assert_ok(uf_sha256_file(path, first));
        assert_ok(uf_sha256_file(written(back, "again.hdf5"), second));
        assert_string_equal(first, second);
        uf_distilled_free(back);
        uf_distilled_free(d);
    }
    uf_distilled_free(NULL);
}

// Every row can be trained on, the last as well; actions are as evolved.
static void test_loader(void** state) {
    (void)state;
    for (int discrete = 0; discrete < 2; discrete++) {
        UfDistilled* d = example(7, 5, 3, discrete, "");
        // no row is of the last kind
        for (int i = 0; i < 7 && discrete; i++)
            for (int j = 0; j < 3; j++) d->labels[3 * i + j] = j == i % 2;
        UfDataset* data = NULL;
        assert_ok(uf_dataset_open(&data, written(d, "loader.hdf5"), NULL));
        assert_int_equal(data->num_rows, 7);
        assert_int_equal(data->action_dim, 3);
        assert_int_equal(data->discrete, discrete);
        assert_int_equal(data->num_terminals, 7);
        for (int i = 0; i < 7; i++) {
            const float* record = uf_record(data, i);
            assert_memory_equal(record + 5, d->labels + 3 * i, 3 * sizeof(float));
            assert_true(record[5 + 3] == 0 && record[5 + 3 + 1] == 1 && record[5 + 3 + 2] == 0);
            for (int j = 0; j < 5;
                 j++) {  // what networks make of it: three roundings of numbers of this size
                const float seen =
                    (record[j] - data->obs_mean[j]) / (data->obs_std[j] + (float)UF_OBS_STD_EPS);
                const float slack = 3e-7f * (fabsf(record[j]) + fabsf(d->mean[j])) / d->divisor[j];
                if (!(fabsf(seen - d->states[5 * i + j]) <= slack))
                    fail_msg("row %d, %d: %g, not %g", i, j, (double)seen, (double)d->states[5 * i + j]);
            }
        }
        assert_memory_equal(data->obs_mean, d->mean, 5 * sizeof(float));
        uf_dataset_free(data);
        uf_distilled_free(d);
    }
}

static void test_divisors(void** state) {
    (void)state;
    static const float divisors[] = {1e-6f, 1e-4f, 5e-4f,      1e-3f, 1.0009766e-3f, 2.95312959e-3f,
                                     0.1f,  1,     3.1415927f, 1e4f,  1e30f};
    enum { N = sizeof divisors / sizeof *divisors };
    UfDistilled* d = example(2, N, 1, false, "");
    memcpy(d->divisor, divisors, sizeof divisors);
    UfDataset* data = NULL;
    assert_ok(uf_dataset_open(&data, written(d, "divisors.hdf5"), NULL));
    for (int j = 0; j < N; j++) {
        const float sum = data->obs_std[j] + (float)UF_OBS_STD_EPS;
        // Below half of 1e-3 the sum has the last place of 1e-3, 1.2e-10. Above, it is the divisor, or (0.00295...) as no float
        // gives it, the one beside.
        const bool odd = divisors[j] == 2.95312959e-3f;
        const float slack = divisors[j] < 5e-4f ? 1.2e-10f : odd ? 2.4e-10f : 0;
        if (!(fabsf(sum - divisors[j]) <= slack))
            fail_msg("%.9g became %.9g", (double)divisors[j], (double)sum);
    }
    uf_dataset_free(data);
    uf_distilled_free(d);
}

static void set_nan(hid_t file) { alter(file, "normalization/mean", 1, NAN); }
static void set_zero(hid_t file) { alter(file, "normalization/divisor", 0, -2); }
static void set_infinite(hid_t file) { alter(file, "normalization/divisor", 2, INFINITY); }
static void lose_divisor(hid_t file) { H5Ldelete(file, "normalization/divisor", H5P_DEFAULT); }
static void lose_normalization(hid_t file) { H5Ldelete(file, "normalization", H5P_DEFAULT); }
static void lose_states(hid_t file) { H5Ldelete(file, "distilled/states", H5P_DEFAULT); }
static void lose_kind(hid_t file) { H5Adelete(file, "kind"); }
static void lose_actions(hid_t file) { H5Ldelete(file, "actions", H5P_DEFAULT); }
static void move_observation(hid_t file) { alter(file, "observations", 4, 1e-4); }
static void move_state(hid_t file) { alter(file, "distilled/states", 4, 1e-3); }
static void swap_action(hid_t file) { alter(file, "actions", 0, 1); }
static void break_state(hid_t file) { alter(file, "distilled/states", 4, NAN); }
static void other_shape(hid_t file) {
    H5Ldelete(file, "distilled/states", H5P_DEFAULT);
    UfH5 h5 = {.file = file};
    assert_ok(
        uf_h5_write(&h5, "distilled/states", UF_H5_FLOAT, (float[8]){0}, 2, (int64_t[]){2, 4}, 0, false));
}
static void other_mean(hid_t file) {
    H5Ldelete(file, "normalization/mean", H5P_DEFAULT);
    UfH5 h5 = {.file = file};
    assert_ok(
        uf_h5_write(&h5, "normalization/mean", UF_H5_FLOAT, (float[4]){0}, 1, (int64_t[]){4}, 0, false));
}
static void odd_generation(hid_t file) {
    H5Adelete(file, "generation");
    UfH5 h5 = {.file = file};
    assert_ok(uf_h5_write_number(&h5, "", "generation", 1.5));
}

static void test_refusals(void** state) {
    (void)state;
    UfDistilled *d = example(3, 3, 2, true, ""), *read;
    for (int j = 0; j < 3; j++) d->divisor[j] = 1;
    expect_refused(d, set_nan, "'normalization/mean' has nan for observation 1, expected a finite number");
    expect_refused(d, set_zero,
                   "'normalization/divisor' has -1 for observation 0, expected a finite number of 1e-6");
    expect_refused(d, set_infinite, "'normalization/divisor' has inf for observation 2");
    expect_refused(d, lose_divisor,
                   "there is a dataset 'normalization/mean', but no 'normalization/divisor'");
    expect_refused(d, lose_normalization, "there is no dataset 'normalization/mean'");
    expect_refused(d, lose_states, "there is no dataset 'distilled/states'");
    expect_refused(d, lose_kind, "is no distilled dataset");
    expect_refused(d, lose_actions, "there is no dataset 'actions'");
    expect_refused(d, move_observation, "'observations' has");
    expect_refused(d, move_state, "change both or neither");
    expect_refused(d, break_state, "'distilled/states' has NaN at row 1, column 1");
    expect_refused(d, other_shape, "'distilled/states' has the shape (2, 4), expected (3, 3)");
    expect_refused(d, other_mean, "'normalization/mean' has 4 numbers in 1 dimensions, expected 3 in one");
    expect_refused(d, odd_generation, "attribute 'generation' is 1.5, expected an integer");
    for (int i = 0; i < 6; i++) d->labels[i] = i % 2 ? 0.6f : 0.4f;
    expect_refused(d, swap_action, "attribute 'num_actions' is 2, but");
    for (int i = 0; i < 6; i++) d->labels[i] = i % 2 ? 0.4f : 0.6f;
    expect_refused(d, swap_action, "'actions' at row 0 is not the likeliest kind");

    d->states[4] = NAN;
    assert_int_equal(uf_distilled_write(d, in_folder("nan.hdf5")), UF_ERR_NONFINITE);
    assert_error("states have NaN at row 1, column 1");
    assert_int_not_equal(access(in_folder("nan.hdf5"), F_OK), 0);
    d->states[4] = 0;
    d->seed = (uint64_t)1 << 53;
    assert_int_equal(uf_distilled_write(d, in_folder("seed.hdf5")), UF_ERR_ARGUMENT);
    assert_error("2^53");
    d->seed = 0;
    assert_int_equal(uf_distilled_write(d, in_folder("none/there.hdf5")), UF_ERR_IO);
    uf_distilled_free(d);
    assert_int_equal(uf_distilled_create(&d, 0, 3, 2, true), UF_ERR_ARGUMENT);
    assert_null(d);
    assert_int_equal(uf_distilled_read(&read, in_folder("nowhere.hdf5")), UF_ERR_IO);
    assert_false(uf_is_distilled(in_folder("nowhere.hdf5")));
}

// An ordinary dataset with actions beyond [-1, 1] is refused as before; one cut off is no dataset.
static void test_ordinary(void** state) {
    (void)state;
    UfDistilled* d = example(3, 3, 2, false, "");
    UfDataset* data;
    const char* path = written(d, "ordinary.hdf5");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    lose_kind(file);
    H5Fclose(file);
    assert_false(uf_is_distilled(path));
    assert_int_equal(uf_dataset_open(&data, path, NULL), UF_ERR_FORMAT);
    assert_error("beyond [-1, 1]");

    char* bytes;
    size_t count;
    UfDistilled* read;
    assert_ok(uf_read_file(written(d, "whole.hdf5"), &bytes, &count));
    for (size_t part = 1; part < 8; part++) {
        assert_ok(uf_write_file(in_folder("cut.hdf5"), bytes, count * part / 8));
        assert_int_equal(uf_distilled_read(&read, in_folder("cut.hdf5")), UF_ERR_FORMAT);
        assert_error("cut.hdf5");
    }
    uf_free(bytes);
    uf_distilled_free(d);
}

// Writes, reads, merges and describes with the n-th allocation failing, until none fails.
static UfStatus do_all(const UfDistilled* d, const char* path) {
    UfDistilled *read = NULL, *merged = NULL;
    char* text = NULL;
    UfStatus status = uf_distilled_write(d, path);
    if (status == UF_OK) status = uf_distilled_read(&read, path);
    if (status == UF_OK) status = uf_distilled_merge(&merged, (const UfDistilled*[]){d, read}, 2, true);
    if (status == UF_OK) status = uf_distilled_write(merged, path);
    uf_distilled_free(read);
    read = NULL;
    if (status == UF_OK) status = uf_distilled_read(&read, path);
    if (status == UF_OK) status = uf_distilled_describe(read, 2, &text);
    uf_free(text);
    uf_distilled_free(read);
    uf_distilled_free(merged);
    return status;
}

static void test_memory(void** state) {
    (void)state;
    UfDistilled* d = example(3, 3, 2, true, "a");
    for (int i = 0; i < 6; i++) d->labels[i] = i % 2 ? 0.25f : 0.75f;
    const char* path = in_folder("memory.hdf5");
    int failures = 0;
    for (long n = 0;; n++) {
        allocations_left = n;
        const UfStatus status = do_all(d, path);
        const bool reached = allocations_left < 0;
        allocations_left = -1;
        if (!reached) {
            assert_ok(status);
            break;
        }
        failures += status != UF_OK;
        if (status == UF_OK) fail_msg("allocation %ld failed, and no one noticed", n);
        assert_int_equal(status, UF_ERR_MEMORY);
    }
    assert_true(failures > 40);
    assert_int_not_equal(access(in_folder("memory.hdf5.tmp"), F_OK), 0);
    uf_distilled_free(d);
}

// ---- training ----

// Two rows: push to where the pole leans and falls to. Position and velocity say nothing.
static UfDistilled* balance(void) {
    static const float states[8] = {0, 0, -1, -1, 0, 0, 1, 1};
    UfDistilled* d = NULL;
    assert_ok(uf_distilled_create(&d, 2, 4, 2, true));
    memcpy(d->states, states, sizeof states);
    d->labels[0] = d->labels[3] = 1;
    d->divisor[2] = 0.1f;
    set_text(&d->env_id, "CartPole-v1");
    return d;
}

static UfConfig* small_config(const char* dataset) {
    UfConfig* config = NULL;
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"batch_size\": 8, \"num_updates\": 200, \"actor_layer_width\": 32, \"critic_layer_width\": 8, "
        "\"actor_lr\": 0.003, \"eval_interval\": 200, \"eval_final_episodes\": 50, \"dataset\": \"%s\"}",
        dataset);
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_load(config, "configs/bc.json"));
    assert_ok(uf_config_parse(config, text, "small"));
    return config;
}

// The run that `unifloral train` does, and its checkpoint. Random actions get 22, and so do all that see the angle in
// radians, beside which two rows mean nothing.
static void test_train(void** state) {
    (void)state;
    UfDistilled* d = balance();
    const char *path = written(d, "cartpole.hdf5"), *out = in_folder("run");
    UfConfig* config = small_config(path);
    UfRunResult result = {0};
    assert_ok(uf_run_train(&(UfRunOptions){.config = config, .out = out}, &result));
    assert_string_equal(result.env, "CartPole-v1");
    if (!(result.mean_return > 300)) fail_msg("return %g; balancing gets 500, chance 22", result.mean_return);

    // A checkpoint acts with the file's statistics: what tips the balance is angle / 0.1 + angular velocity.
    UfPolicy* policy = NULL;
    assert_ok(uf_policy_load(&policy, in_folder("run/checkpoint.h5"), 0));
    UfRandom random = uf_random(3, UF_STREAM_CONTROLLER, 0);
    int wrong = 0, wrong_in_radians = 0;
    for (int i = 0; i < 500; i++) {
        float action[2];
        const float obs[4] = {0, 0, 0.05f * uf_random_normal(&random), 0.5f * uf_random_normal(&random)};
        assert_ok(uf_policy_act(policy, action, obs, 1, NULL));
        const bool right = action[1] > action[0];
        wrong += right != (obs[2] / 0.1f + obs[3] > 0);
        wrong_in_radians += right != (obs[2] + obs[3] > 0);
    }
    if (!(wrong < wrong_in_radians))
        fail_msg("%d of 500 wrong, %d of unscaled angles", wrong, wrong_in_radians);
    uf_policy_free(policy);
    uf_config_free(config);
    uf_distilled_free(d);
}

// The statistics that a checkpoint holds are the file's, to the bit.
static void test_checkpoint(void** state) {
    (void)state;
    UfDistilled* d = example(3, 4, 2, true, "CartPole-v1");
    d->divisor[0] = 1e-4f;  // below UF_OBS_STD_EPS
    UfConfig* config = small_config("");
    UfDataset* data = NULL;
    UfAgent* agent = NULL;
    UfH5 h5;
    float mean[4], std[4];
    assert_ok(uf_dataset_open(&data, written(d, "norm.hdf5"), NULL));
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_train(agent, data, 5, NULL, NULL));
    assert_ok(uf_agent_save(agent, in_folder("norm.h5")));
    assert_ok(uf_h5_open(&h5, in_folder("norm.h5")));
    assert_ok(uf_h5_read(&h5, "norm/mean", UF_H5_FLOAT, mean, 4));
    assert_ok(uf_h5_read(&h5, "norm/std", UF_H5_FLOAT, std, 4));
    assert_ok(uf_h5_close(&h5));
    assert_memory_equal(mean, d->mean, sizeof mean);
    for (int j = 1; j < 4; j++) assert_true(std[j] + (float)UF_OBS_STD_EPS == d->divisor[j]);
    uf_agent_free(agent);
    assert_ok(uf_agent_load(&agent, in_folder("norm.h5"), 1));

    // The policy of the checkpoint and that of the agent are one.
    UfPolicy *loaded = NULL, *own = NULL;
    float a[2 * 3], b[2 * 3];
    assert_ok(uf_policy_load(&loaded, in_folder("norm.h5"), 0));
    assert_ok(uf_policy_create(&own, agent, 0));
    assert_ok(uf_policy_act(loaded, a, uf_record(data, 0), 1, NULL));
    assert_ok(uf_policy_act(own, b, uf_record(data, 0), 1, NULL));
    assert_memory_equal(a, b, 2 * sizeof(float));
    uf_policy_free(loaded);
    uf_policy_free(own);
    uf_agent_free(agent);
    uf_dataset_free(data);
    uf_config_free(config);
    uf_distilled_free(d);
}

// Continuous actions as evolved, beyond [-1, 1], train too.
static void test_continuous(void** state) {
    (void)state;
    UfDistilled* d = example(3, 2, 1, false, "MountainCarContinuous-v0");
    d->labels[0] = 2.5f;
    UfConfig* config = small_config("");
    UfDataset* data = NULL;
    UfAgent* agent = NULL;
    assert_ok(uf_dataset_open(&data, written(d, "car.hdf5"), NULL));
    assert_ok(uf_agent_create(&agent, config, data, 1));
    assert_ok(uf_train(agent, data, 20, NULL, NULL));
    uf_agent_free(agent);
    uf_dataset_free(data);
    uf_config_free(config);
    uf_distilled_free(d);
}

static void test_other_task(void** state) {
    (void)state;
    UfDistilled* d = balance();
    UfConfig* config = small_config(written(d, "other.hdf5"));
    UfRunResult result = {0};
    assert_ok(uf_config_set(config, "env", "Pendulum-v1"));
    assert_int_equal(uf_run_train(&(UfRunOptions){.config = config, .out = in_folder("other")}, &result),
                     UF_ERR_CONFIG);
    assert_error("environment Pendulum-v1 has 3 observations and 1 actions, the dataset 4 and 2");
    uf_config_free(config);
    uf_distilled_free(d);
}

static void test_info(void** state) {
    (void)state;
    UfDistilled* d = example(2, 3, 2, false, "Hopper-v4");
    for (int j = 0; j < 3; j++) d->divisor[j] = (float)(j + 1) / 4;
    char* text = NULL;
    assert_ok(uf_dataset_info(written(d, "info.hdf5"), &text));
    assert_non_null(strstr(text, "distilled, D4RL"));
    assert_non_null(strstr(text, "normalised    as the file says, not by its rows: divisors 0.25 to 0.75\n"));
    assert_non_null(strstr(text, "(as evolved)"));
    assert_null(strstr(text, "return"));
    uf_free(text);
    uf_distilled_free(d);
}

// ---- merging and text ----

static void test_merge(void** state) {
    (void)state;
    UfDistilled *a = example(2, 4, 2, true, "CartPole-v1"), *b = example(3, 2, 3, true, "MountainCar-v0"),
                *m = NULL;
    const UfDistilled* parts[] = {a, b};

    assert_ok(uf_distilled_merge(&m, parts, 2, false));
    assert_int_equal(m->rows, 5);
    assert_int_equal(m->obs_dim, 4);
    assert_int_equal(m->action_dim, 3);
    assert_string_equal(m->env_id, "CartPole-v1+MountainCar-v0");
    assert_memory_equal(m->states, a->states, 8 * sizeof(float));
    for (int i = 0; i < 3; i++) {
        const float* row = m->states + 4 * (2 + i);
        assert_true(row[0] == b->states[2 * i] && row[1] == b->states[2 * i + 1] && row[2] == 0 &&
                    row[3] == 0);
        assert_memory_equal(m->labels + 3 * (2 + i), b->labels + 3 * i, 3 * sizeof(float));
    }
    for (int i = 0; i < 2; i++) {
        const float* label = m->labels + 3 * i;
        assert_true(label[0] == (i == 0) && label[1] == (i == 1) && label[2] == 0);
    }
    for (int j = 0; j < 4; j++) assert_true(m->mean[j] == 0 && m->divisor[j] == 1);
    UfDistilled* back = read_back(written(m, "merged.hdf5"));
    assert_same(m, back);
    uf_distilled_free(back);

    // Whose columns are whose.
    UfDistilledTask task;
    assert_ok(uf_distilled_task(m, "MountainCar-v0", &task));
    assert_true(task.obs_dim == 2 && task.action_dim == 3 && task.first_obs == 0);
    assert_memory_equal(task.divisor, b->divisor, 2 * sizeof(float));
    assert_int_equal(uf_distilled_task(m, NULL, &task), UF_ERR_CONFIG);
    assert_int_equal(uf_distilled_task(m, "Pendulum-v1", &task), UF_ERR_CONFIG);
    assert_error("not of Pendulum-v1");
    parts[0] = m;
    UfDistilled* twice = NULL;
    assert_int_equal(uf_distilled_merge(&twice, parts, 2, false), UF_ERR_ARGUMENT);
    assert_error("merged already");
    assert_null(twice);
    uf_distilled_free(m);

    parts[0] = a;
    assert_ok(uf_distilled_merge(&m, parts, 2, true));
    assert_int_equal(m->obs_dim, 6);
    assert_int_equal(m->action_dim, 3);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++) {
            const float* from = i < 2 ? a->states + 4 * i : b->states + 2 * (i - 2) - 4;
            const bool own = (i < 2) == (j < 4);
            assert_true(m->states[6 * i + j] == (own ? from[j] : 0));
        }
    assert_memory_equal(m->mean, a->mean, 4 * sizeof(float));
    assert_memory_equal(m->divisor + 4, b->divisor, 2 * sizeof(float));
    back = read_back(written(m, "apart.hdf5"));
    assert_same(m, back);
    uf_distilled_free(back);
    assert_ok(uf_distilled_task(m, "MountainCar-v0", &task));
    assert_int_equal(task.first_obs, 4);
    uf_distilled_free(m);

    b->discrete = false;
    assert_int_equal(uf_distilled_merge(&m, parts, 2, true), UF_ERR_ARGUMENT);
    assert_error("CartPole-v1 has discrete actions and MountainCar-v0 continuous ones");
    assert_int_equal(uf_distilled_merge(&m, parts, 0, true), UF_ERR_ARGUMENT);
    uf_distilled_free(a);
    uf_distilled_free(b);
}

static void test_describe(void** state) {
    (void)state;
    UfDistilled* d = balance();
    char* text = NULL;
    d->states[7] = 1.25f;
    d->fitness = 499.5;
    d->generation = 12;
    assert_ok(uf_distilled_describe(d, 10, &text));
    assert_non_null(strstr(text, "CartPole-v1"));
    assert_non_null(strstr(text, "499.5 after 12 generations"));
    assert_non_null(strstr(text, "     1          0          0        0.1       1.25          1\n"));
    uf_free(text);
    assert_ok(uf_distilled_describe(d, 1, &text));
    assert_non_null(strstr(text, "(3 more)"));
    assert_null(strstr(text, "1.25"));
    uf_free(text);
    uf_distilled_free(d);
}

// ---- pictures ----

#ifndef UF_NO_CAIRO

typedef struct Counts {
    int width, height, total, white, dark, blue, orange;
} Counts;

static Counts count_pixels(const char* path) {
    cairo_surface_t* surface = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    Counts n = {
        cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface), 0, 0, 0, 0, 0};
    for (int y = 0; y < n.height; y++) {
        const unsigned char* row = cairo_image_surface_get_data(surface) +
                                   (size_t)y * (size_t)cairo_image_surface_get_stride(surface);
        for (int x = 0; x < n.width; x++) {
            const int blue = row[4 * x], green = row[4 * x + 1], red = row[4 * x + 2];
            n.total++;
            n.white += red == 255 && green == 255 && blue == 255;
            n.dark += red < 60 && green < 60 && blue < 60;
            n.blue += red == 0 && green == 114 && blue == 178;  // the ends of the table's colours
            n.orange += red == 213 && green == 94 && blue == 0;
        }
    }
    cairo_surface_destroy(surface);
    return n;
}

static bool contains(const char* path, const char* piece) {
    char* text;
    size_t bytes;
    assert_ok(uf_read_file(path, &text, &bytes));
    const bool found = memmem(text, bytes, piece, strlen(piece)) != NULL;
    uf_free(text);
    return found;
}

static void test_pictures(void** state) {
    (void)state;
    static const struct {
        const char* env;
        int rows, obs, actions;
        bool discrete, table;
    } cases[] = {{"CartPole-v1", 2, 4, 2, true, true},
                 {"CartPole-v1", 20, 4, 2, true, true},
                 {"Pendulum-v1", 3, 3, 1, false, true},
                 {"MountainCar-v0", 3, 2, 3, true, true},
                 {"MountainCarContinuous-v0", 2, 2, 1, false, true},
                 {"Acrobot-v1", 3, 6, 3, true, true},
                 {"PointMaze-umaze", 2, 4, 2, false, true},
                 {"GridWorld-8x8", 6, 2, 4, true, true},
                 {"InvertedPendulum-v4", 2, 4, 1, false, true},
                 {"Breakout-MinAtar", 3, 400, 3, true, false},
                 {"", 10, 64, 10, true, false},  // images
                 {"", 64, 20, 3, false, true},   // no environment
                 {"Unknown-v7", 5, 200, 3, false, true},
                 {"CartPole-v1", 2, 5, 2, true, true}};  // of another shape
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        UfDistilled* d =
            example(cases[i].rows, cases[i].obs, cases[i].actions, cases[i].discrete, cases[i].env);
        d->states[0] = 4;  // beyond each reach, and both ends of the colours
        d->states[1] = -4;
        assert_ok(uf_distilled_show(d, in_folder("a.png")));
        const Counts n = count_pixels(in_folder("a.png"));
        if (n.dark < 100 || n.white < n.total / 20 || n.white > n.total * 97 / 100)
            fail_msg("case %zu: %d of %d pixels are white, %d dark", i, n.white, n.total, n.dark);
        if (cases[i].table && (n.blue < 20 || n.orange < 20))
            fail_msg("case %zu: %d pixels of the table are blue, %d orange", i, n.blue, n.orange);
        uf_distilled_free(d);
    }
}

static void test_formats(void** state) {
    (void)state;
    UfDistilled* d = balance();
    for (int again = 0; again < 2; again++) {
        assert_ok(uf_distilled_show(d, in_folder("b.svg")));
        assert_ok(uf_distilled_show(d, in_folder("b.pdf")));
        assert_ok(uf_distilled_show(d, in_folder("b.PNG")));
    }
    assert_true(contains(in_folder("b.svg"), "<svg"));
    assert_true(contains(in_folder("b.pdf"), "%PDF"));
    assert_true(contains(in_folder("b.PNG"), "PNG"));
    assert_int_not_equal(access(in_folder("b.svg.tmp"), F_OK), 0);
    assert_int_equal(uf_distilled_show(d, in_folder("b.gif")), UF_ERR_ARGUMENT);
    assert_int_equal(uf_distilled_show(d, in_folder("none/b.svg")), UF_ERR_IO);
    assert_int_equal(uf_distilled_show(d, in_folder("none/b.png")), UF_ERR_IO);

    // A pole that leans the other way is another picture; so is another action.
    const char* names[] = {"one.png", "two.png", "three.png"};
    char hashes[3][65];
    for (int i = 0; i < 3; i++) {
        if (i == 1) d->states[2] = 1;
        if (i == 2) {
            d->states[2] = -1;
            d->labels[0] = 0;
            d->labels[1] = 1;
        }
        assert_ok(uf_distilled_show(d, in_folder(names[i])));
        assert_ok(uf_sha256_file(in_folder(names[i]), hashes[i]));
    }
    assert_string_not_equal(hashes[0], hashes[1]);
    assert_string_not_equal(hashes[0], hashes[2]);
    uf_distilled_free(d);

    d = example(9000, 400, 3, true, "Breakout-MinAtar");
    assert_int_equal(uf_distilled_show(d, in_folder("large.png")), UF_ERR_ARGUMENT);
    assert_error("too large for a PNG");
    uf_distilled_free(d);
}

#else

static void test_pictures(void** state) {
    (void)state;
    UfDistilled* d = balance();
    assert_int_equal(uf_distilled_show(d, in_folder("a.png")), UF_ERR_UNSUPPORTED);
    uf_distilled_free(d);
}

static void test_formats(void** state) {
    (void)state;
    skip();
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_loader),
                                       cmocka_unit_test(test_divisors),   cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_ordinary),   cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_train),      cmocka_unit_test(test_checkpoint),
                                       cmocka_unit_test(test_continuous), cmocka_unit_test(test_other_task),
                                       cmocka_unit_test(test_info),       cmocka_unit_test(test_merge),
                                       cmocka_unit_test(test_describe),   cmocka_unit_test(test_pictures),
                                       cmocka_unit_test(test_formats)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
