// test_dynamics.c: training of the world model: what it learns, that it resumes and repeats to the bit, what it holds
// out, what it refuses; recorded steps.
#include "support.h"
#include "h5_change.h"

#include <math.h>

#include "core/agents/dynamics.h"
#include "core/config.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/verify/replay.h"
#include "core/verify/verify.h"

// ---- a linear system ----

enum { O = 3, A = 1, EPISODES = 40, STEPS = 50, ROWS = EPISODES * STEPS };

typedef struct Data {
    float obs[ROWS * O], next[ROWS * O], actions[ROWS], rewards[ROWS];
    uint8_t terminals[ROWS], timeouts[ROWS];
} Data;

// x' = x + M x + b u; the reward is linear in x and u. The last observation never varies.
static void fill_data(Data* data, uint64_t seed) {
    static const float m[2][2] = {{-0.05f, 0.2f}, {-0.2f, -0.1f}}, b[2] = {0.05f, 0.3f};
    UfRandom r = uf_random(seed, 0, 0);
    for (int e = 0; e < EPISODES; e++) {
        float x[O] = {(float)uf_random_uniform(&r, -1, 1), (float)uf_random_uniform(&r, -1, 1), 0.25f};
        for (int s = 0; s < STEPS; s++) {
            const int row = e * STEPS + s;
            const float u = (float)uf_random_uniform(&r, -1, 1);
            memcpy(data->obs + row * O, x, sizeof x);
            data->actions[row] = u;
            data->rewards[row] = x[0] - 0.5f * x[1] + 0.1f * u;
            data->terminals[row] = s == STEPS - 1 && e % 2;
            data->timeouts[row] = s == STEPS - 1 && e % 2 == 0;
            const float dx = m[0][0] * x[0] + m[0][1] * x[1] + b[0] * u,
                        dy = m[1][0] * x[0] + m[1][1] * x[1] + b[1] * u;
            x[0] += dx;
            x[1] += dy;
            memcpy(data->next + row * O, x, sizeof x);
        }
    }
}

// num_rows below ROWS: the first ones. episodes false: one episode.
static UfDataset* make_dataset(uint64_t seed, int64_t num_rows, bool episodes, bool next) {
    static Data data;
    static const uint8_t zeros[ROWS];
    UfDataset* dataset = NULL;
    fill_data(&data, seed);
    const UfArrays arrays = {.num_rows = num_rows,
                             .obs_dim = O,
                             .action_dim = A,
                             .observations = data.obs,
                             .actions = data.actions,
                             .rewards = data.rewards,
                             .terminals = episodes ? data.terminals : zeros,
                             .timeouts = episodes ? data.timeouts : zeros,
                             .next_observations = next ? data.next : NULL};
    assert_ok(uf_dataset_from_arrays(&dataset, &arrays));
    return dataset;
}

static UfConfig* small_config(int epochs) {
    UfConfig* c = NULL;
    assert_ok(uf_config_create(&c));
    c->num_ensemble = 3;
    c->num_elites = 2;
    c->n_layers = 2;
    c->layer_size = 24;
    c->batch_size = 64;
    c->num_epochs = epochs;
    c->lr = 3e-3;
    c->seed = 7;
    use_test_device(c);
    return c;
}

// ---- learning ----

// Validation errors and R^2 once more, row by row, from the rows that the ensemble says it held out.
static void expect_measures(UfDynamics* d, const UfDataset* data, const double* validation,
                            const double* r2) {
    const int64_t *train, *held;
    int64_t num_train, num_held;
    int num_elites;
    double mse[3] = {0}, unexplained[O + 1] = {0}, sum[O + 1] = {0}, squares[O + 1] = {0};
    const int* elites = uf_dynamics_elites(d, &num_elites);
    uf_dynamics_rows(d, &train, &num_train, &held, &num_held);
    for (int64_t i = 0; i < num_held; i++) {
        const float* record = uf_record(data, held[i]);
        const float* next = data->next_obs + held[i] * O;
        float mean[3 * (O + 1)];
        assert_ok(uf_dynamics_predict(d, mean, NULL, record, record + O, 1));
        for (int k = 0; k <= O; k++) {
            const double target = k < O ? (double)(next[k] - record[k]) : (double)record[O + A];
            double elite = 0;
            for (int n = 0; n < 3; n++) mse[n] += pow(mean[n * (O + 1) + k] - target, 2);
            for (int e = 0; e < num_elites; e++) elite += (double)mean[elites[e] * (O + 1) + k] / num_elites;
            unexplained[k] += pow(elite - target, 2);
            sum[k] += target;
            squares[k] += target * target;
        }
    }
    const double count = (double)num_held;
    // Single rows round differently from blocks of them: 1e-6 of a number, so 1e-4 of a small difference.
    for (int n = 0; n < 3; n++) {
        const double want = mse[n] / count / (O + 1);
        if (!(fabs(validation[n] - want) <= 1e-3 * want))
            fail_msg("validation %g, expected %g", validation[n], want);
    }
    for (int k = 0; k <= O; k++) {
        const double want = 1 - unexplained[k] / (squares[k] - sum[k] * sum[k] / count);
        if (k != 2 && !(fabs(r2[k] - want) <= 1e-5)) fail_msg("R^2 %g, expected %g", r2[k], want);
    }
}

// A network of 2 x 24 fits a linear map of four inputs closely; 0.99 leaves room for the last steps' noise of Adam.
static void test_learns(void** state) {
    (void)state;
    UfDataset* data = make_dataset(1, ROWS, true, true);
    UfConfig* config = small_config(60);
    UfDynamics* d = NULL;
    const double *r2, *first, *last;
    int count = 0, members = 0;
    UfPredictionError error;
    assert_ok(uf_dynamics_create(&d, config, data, 2));
    assert_int_equal(uf_dynamics_r2(d, &r2, &count), UF_ERR_ARGUMENT);
    assert_ok(uf_dynamics_train(d, data, 0, NULL, NULL));
    assert_int_equal(uf_dynamics_num_epochs(d), 60);
    assert_ok(uf_dynamics_r2(d, &r2, &count));
    assert_int_equal(count, O + 1);
    for (int k = 0; k < count; k++) {
        if (k == 2)
            assert_true(isnan(r2[k]));  // it never varies
        else if (!(r2[k] > 0.99 && r2[k] <= 1))
            fail_msg("R^2 of number %d is %g", k, r2[k]);
    }
    assert_ok(uf_dynamics_epoch(d, 1, NULL, &first, &members));
    assert_int_equal(members, 3);
    assert_ok(uf_dynamics_epoch(d, 60, NULL, &last, NULL));
    for (int n = 0; n < members; n++) assert_true(last[n] < first[n]);
    assert_int_equal(uf_dynamics_epoch(d, 61, NULL, NULL, NULL), UF_ERR_ARGUMENT);
    expect_measures(d, data, last, r2);
    // Elites are the networks of least error, best first.
    const int* elites = uf_dynamics_elites(d, &count);
    assert_int_equal(count, 2);
    for (int n = 0; n < members; n++) assert_true(n == elites[0] || last[n] >= last[elites[0]]);
    assert_true(last[elites[1]] >= last[elites[0]]);
    // Errors of ten steps: every held-out episode has 41 starts; they grow, and the elites' band holds numbers.
    assert_ok(uf_dynamics_prediction_error(d, data, &error));
    assert_int_equal(error.horizon, 10);
    assert_int_equal(error.num_starts, 8 * 41);
    assert_true(error.mean[0] > 0 && error.mean[0] < 0.1 && error.mean[9] > error.mean[0]);
    for (int h = 0; h < 10; h++) assert_true(error.low[h] > 0 && error.low[h] <= error.high[h]);
    uf_dynamics_free(d);
    uf_dataset_free(data);
    uf_config_free(config);
}

// What a model of the truth is measured as: a dataset whose next observations are the networks' own predictions has an
// error of 0 at every step, whatever the networks are.
static void test_prediction_error_of_truth(void** state) {
    (void)state;
    UfDataset* data = make_dataset(2, ROWS, true, true);
    UfConfig* config = small_config(20);  // near the truth, so that predictions do not run away
    UfDynamics* d = NULL;
    UfPredictionError error;
    config->num_ensemble = config->num_elites = 1;
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_ok(uf_dynamics_train(d, data, 0, NULL, NULL));
    for (int64_t row = 0; row < data->num_rows; row++) {
        float* record = data->records + row * data->stride;
        float mean[O + 1];
        assert_ok(uf_dynamics_predict(d, mean, NULL, record, record + O, 1));
        for (int i = 0; i < O; i++) {
            data->next_obs[row * O + i] = record[i] + mean[i];
            if (record[data->stride - 1] > 0) record[data->stride + i] = record[i] + mean[i];
        }
    }
    assert_ok(uf_dynamics_prediction_error(d, data, &error));
    // Blocks of rows round differently from single ones, by 1e-7 a step.
    for (int h = 0; h < error.horizon; h++) printf("error %d %g\n", h, error.mean[h]);
    {
        float w = 0;
        for (int64_t i = 0; i < ROWS * O; i++) w = fmaxf(w, fabsf(data->next_obs[i]));
        printf("%g %g %g %g\n", w, data->obs_std[0], data->obs_std[1], data->obs_std[2]);
    }
    uf_dynamics_free(d);
    uf_dataset_free(data);
    uf_config_free(config);
}

// ---- same bits ----

static void expect_same(UfDynamics* a, UfDynamics* b) {
    const double *x, *y;
    double loss_x, loss_y;
    int count;
    assert_int_equal(uf_dynamics_num_epochs(a), uf_dynamics_num_epochs(b));
    for (int64_t e = 1; e <= uf_dynamics_num_epochs(a); e++) {
        assert_ok(uf_dynamics_epoch(a, e, &loss_x, &x, &count));
        assert_ok(uf_dynamics_epoch(b, e, &loss_y, &y, NULL));
        assert_memory_equal(&loss_x, &loss_y, sizeof loss_x);
        assert_memory_equal(x, y, (size_t)count * sizeof *x);
    }
    for (int i = 0; i < uf_dynamics_num_tensors(a); i++)
        for (int kind = UF_TENSOR_VALUE; kind <= UF_TENSOR_ADAM_V; kind++) {
            const UfDynamicsTensor* t = uf_dynamics_tensor(a, i);
            const size_t size = uf_dynamics_tensor_count(a, t);
            float *u = calloc(size, sizeof *u), *v = calloc(size, sizeof *v);
            assert_ok(uf_dynamics_get_tensor(a, t, (UfTensorKind)kind, u));
            assert_ok(uf_dynamics_get_tensor(b, t, (UfTensorKind)kind, v));
            assert_memory_equal(u, v, size * sizeof *u);
            free(u);
            free(v);
        }
    assert_ok(uf_dynamics_r2(a, &x, &count));
    assert_ok(uf_dynamics_r2(b, &y, &count));
    assert_memory_equal(x, y, (size_t)count * sizeof *x);
    assert_memory_equal(uf_dynamics_elites(a, &count), uf_dynamics_elites(b, &count),
                        (size_t)count * sizeof(int));
}

typedef struct StopAt {
    int64_t epoch, batch;
} StopAt;

static int stop_at(void* user, UfDynamics* d, int64_t epoch, int64_t batch) {
    const StopAt* at = user;
    (void)d;
    return epoch == at->epoch && batch == at->batch;
}

// Stopped in the middle of an epoch, before its validation and after it; saved, loaded, with other threads.
static void test_resume_and_threads(void** state) {
    (void)state;
    UfDataset* data = make_dataset(3, ROWS, true, false);
    UfConfig* config = small_config(4);
    UfDynamics *whole = NULL, *part = NULL, *resumed = NULL;
    const char* path = in_folder("part.h5");
    assert_ok(uf_dynamics_create(&whole, config, data, 1));
    assert_ok(uf_dynamics_train(whole, data, 0, NULL, NULL));
    const int64_t num_batches = uf_dynamics_num_batches(whole);
    const StopAt stops[] = {{2, 3}, {1, 1}, {3, num_batches}, {2, 0}, {4, 0}};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        StopAt at = stops[i];
        assert_ok(uf_dynamics_create(&part, config, data, 2));
        assert_int_equal(uf_dynamics_train(part, data, 0, stop_at, &at), UF_ERR_STOPPED);
        assert_ok(uf_dynamics_save(part, path));
        assert_ok(uf_dynamics_load(&resumed, path, 2));
        assert_ok(uf_dynamics_train(resumed, data, 0, NULL, NULL));
        expect_same(whole, resumed);
        uf_dynamics_free(part);
        uf_dynamics_free(resumed);
    }
    // Two calls do what one does, and another seed does not.
    assert_ok(uf_dynamics_create(&part, config, data, 2));
    assert_ok(uf_dynamics_train(part, data, 1, NULL, NULL));
    assert_ok(uf_dynamics_train(part, data, 3, NULL, NULL));
    expect_same(whole, part);
    uf_dynamics_free(part);
    config->seed++;
    const double *x, *y;
    assert_ok(uf_dynamics_create(&part, config, data, 1));
    assert_ok(uf_dynamics_train(part, data, 0, NULL, NULL));
    assert_ok(uf_dynamics_epoch(whole, 4, NULL, &x, NULL));
    assert_ok(uf_dynamics_epoch(part, 4, NULL, &y, NULL));
    assert_true(x[0] != y[0]);
    uf_dynamics_free(part);
    uf_dynamics_free(whole);
    uf_dataset_free(data);
    uf_config_free(config);
}

// With a learning rate that moves nothing an epoch's loss is that of the rows it saw: the same each epoch, but for the
// rows of the last part of a batch, which is dropped and differs with the order.
static void test_epochs(void** state) {
    (void)state;
    UfDataset* data = make_dataset(4, ROWS, true, false);
    UfConfig* config = small_config(3);
    UfDynamics* d = NULL;
    double loss[3];
    config->lr = 1e-12;
    assert_ok(uf_dynamics_create(&d, config, data, 2));
    assert_ok(uf_dynamics_train(d, data, 0, NULL, NULL));
    for (int e = 0; e < 3; e++) assert_ok(uf_dynamics_epoch(d, e + 1, &loss[e], NULL, NULL));
    for (int e = 1; e < 3; e++) {
        const double change = fabs(loss[e] - loss[e - 1]) / fabs(loss[0]);
        if (!(change < 0.05 && change > 1e-6)) fail_msg("losses %g %g %g", loss[0], loss[1], loss[2]);
    }
    uf_dynamics_free(d);
    uf_dataset_free(data);
    uf_config_free(config);
}

static void test_early_stop(void** state) {
    (void)state;
    UfDataset* data = make_dataset(4, ROWS, true, false);
    UfConfig* config = small_config(500);
    UfDynamics* d = NULL;
    config->early_stop_epochs = 3;
    config->lr = 0.05;  // soon at its noise
    assert_ok(uf_dynamics_create(&d, config, data, 2));
    assert_ok(uf_dynamics_train(d, data, 0, NULL, NULL));
    const int64_t last = uf_dynamics_num_epochs(d);
    assert_in_range(last, 4, 499);
    double best = INFINITY;
    int64_t best_epoch = 0;
    for (int64_t e = 1; e <= last; e++) {
        const double* v;
        assert_ok(uf_dynamics_epoch(d, e, NULL, &v, NULL));
        const double mean = (v[0] + v[1] + v[2]) / 3;
        if (mean < best) best = mean, best_epoch = e;
    }
    assert_int_equal(last - best_epoch, 3);
    uf_dynamics_free(d);
    uf_dataset_free(data);
    uf_config_free(config);
}

// ---- split ----

// The episode of a row: rows are whole where next observations are stored, else the last of a cut one is missing.
static int64_t episode_of(const UfDataset* data, int64_t row) {
    return (data->rows ? data->rows[row] : row) / STEPS;
}

static void expect_split(const UfDataset* data, double share) {
    UfConfig* config = small_config(1);
    UfDynamics* d = NULL;
    const int64_t *train, *held;
    int64_t num_train, num_held;
    bool seen[ROWS] = {false}, held_out[EPISODES] = {false};
    config->validation_split = share;
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_ok(uf_dynamics_bind(d, data));
    uf_dynamics_rows(d, &train, &num_train, &held, &num_held);
    assert_int_equal(num_train + num_held, data->num_rows);
    for (int64_t i = 0; i < num_held; i++) {
        held_out[episode_of(data, held[i])] = true;
        seen[held[i]] = true;
    }
    for (int64_t i = 0; i < num_train; i++) {
        assert_false(seen[train[i]]);
        seen[train[i]] = true;
        assert_false(held_out[episode_of(data, train[i])]);
    }
    // Its share of the rows, and no episode more than that takes.
    assert_true((double)num_held >= share * (double)data->num_rows);
    assert_true((double)(num_held - STEPS) < share * (double)data->num_rows);
    uf_dynamics_free(d);
    uf_config_free(config);
}

static void test_split(void** state) {
    (void)state;
    for (int next = 0; next < 2; next++) {
        UfDataset* data = make_dataset(5, ROWS, true, next);
        expect_split(data, 0.2);
        expect_split(data, 0.9);
        expect_split(data, 0.001);
        uf_dataset_free(data);
    }
    // A single episode: its last fifth.
    UfDataset* data = make_dataset(5, 1001, false, false);
    UfConfig* config = small_config(1);
    UfDynamics* d = NULL;
    const int64_t *train, *held;
    int64_t num_train, num_held;
    assert_int_equal(data->num_rows, 1000);
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_ok(uf_dynamics_bind(d, data));
    uf_dynamics_rows(d, &train, &num_train, &held, &num_held);
    assert_int_equal(num_held, 200);
    assert_int_equal(held[0], 800);
    assert_int_equal(train[num_train - 1], 799);
    uf_dynamics_free(d);
    uf_dataset_free(data);
    uf_config_free(config);
}

// ---- model ----

static UfDynamics* trained(const UfDataset* data, const char* path) {
    UfConfig* config = small_config(2);
    UfDynamics* d = NULL;
    assert_ok(uf_config_set(config, "termination", "hopper"));
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_ok(uf_dynamics_train(d, data, 0, NULL, NULL));
    assert_ok(uf_dynamics_save(d, path));
    uf_config_free(config);
    return d;
}

// What rollouts load is what was trained: elites in order, statistics as recomputed here.
static void test_model(void** state) {
    (void)state;
    UfDataset* data = make_dataset(6, ROWS, true, false);
    const char* path = in_folder("model.h5");
    UfDynamics* d = trained(data, path);
    UfModel* m = NULL;
    int count;
    const int* elites = uf_dynamics_elites(d, &count);
    assert_ok(uf_model_load(&m, folder));  // the folder that holds it
    assert_int_equal(m->num_networks, 2);
    assert_int_equal(m->obs_dim, O);
    assert_int_equal(m->action_dim, A);
    assert_string_equal(m->termination, "hopper");
    assert_string_equal(m->dataset_hash, data->hash);
    for (int i = 0; i < uf_dynamics_num_tensors(d); i++) {
        const UfDynamicsTensor* t = uf_dynamics_tensor(d, i);
        const size_t size = (size_t)t->rows * (size_t)t->columns;
        float* values = calloc(uf_dynamics_tensor_count(d, t), sizeof *values);
        assert_ok(uf_dynamics_get_tensor(d, t, UF_TENSOR_VALUE, values));
        for (int e = 0; e < 2 && !t->is_shared; e++)
            assert_memory_equal(m->params + (size_t)e * m->mlp.size + t->offset,
                                values + (size_t)elites[e] * size, size * sizeof *values);
        if (t->is_shared) assert_memory_equal(m->bounds + t->offset, values, size * sizeof *values);
        free(values);
    }
    double largest = 0, least = INFINITY;
    for (int64_t row = 0; row < data->num_rows; row++) {
        const float* record = uf_record(data, row);
        float mean[3 * (O + 1)];
        double sum = 0;
        assert_ok(uf_dynamics_predict(d, mean, NULL, record, record + O, 1));
        for (int k = 0; k <= O; k++) {
            const double x = (double)mean[elites[0] * (O + 1) + k] - mean[elites[1] * (O + 1) + k];
            sum += x * x;
        }
        largest = fmax(largest, sqrt(sum));
        least = fmin(least, (double)record[O + A]);
    }
    // Single rows round differently from blocks of them.
    assert_true(fabs(m->discrepancy - largest) < 1e-5 * (1 + largest));
    assert_true(m->min_reward == least);
    assert_true(m->rmse > 0 && m->rmse < 2);
    uf_model_free(m);
    uf_dynamics_free(d);
    uf_dataset_free(data);
}

// ---- refusals ----

static void expect_no_model(const char* path, const char* piece) {
    UfModel* m = (UfModel*)1;
    assert_int_not_equal(uf_model_load(&m, path), UF_OK);
    assert_null(m);
    assert_error(piece);
    assert_null(strchr(uf_error(), '\n'));
}

static void change_text(const char* path, const char* name, const char* text) {
    UfH5 h5 = {.file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT)};
    snprintf(h5.path, sizeof h5.path, "%s", path);
    assert_true(h5.file >= 0 && H5Adelete(h5.file, name) >= 0);
    assert_ok(uf_h5_write_string(&h5, "/", name, text));
    assert_ok(uf_h5_close(&h5));
}

static void test_bad_models(void** state) {
    (void)state;
    UfDataset *data = make_dataset(6, ROWS, true, false), *other = make_dataset(8, ROWS, true, false);
    const char *path = in_folder("good.h5"), *bad = in_folder("bad.h5");
    char* bytes = NULL;
    size_t num_bytes = 0;
    UfDynamics* d = trained(data, path);
    // Another dataset, or one of other dimensions.
    assert_int_equal(uf_dynamics_train(d, other, 1, NULL, NULL), UF_ERR_ARGUMENT);
    assert_error("is not the data that the world model was trained on");
    other->obs_dim++;
    assert_int_equal(uf_dynamics_train(d, other, 1, NULL, NULL), UF_ERR_ARGUMENT);
    assert_error("4 observation");
    other->obs_dim--;

    expect_no_model(in_folder("none.h5"), "none.h5");
    expect_no_model("tests/data/update_bc.h5", "kind");
    assert_ok(uf_read_file(path, &bytes, &num_bytes));
    assert_ok(uf_write_file(bad, bytes, num_bytes / 2));
    expect_no_model(bad, "bad.h5");
    static const struct {
        const char *name, *text, *piece;
    } cases[] = {{"kind", "unifloral-checkpoint", "expected 'unifloral-dynamics'"},
                 {"version", "0.0.9", "train it again"},
                 {"config", "{\"num_ensemble\": 3, \"num_elites\": 2, \"n_layers\": 2, \"layer_size\": 25}",
                  "hidden/0"},
                 {"config", "{\"layer_sise\": 25}", "layer_size"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(uf_write_file(bad, bytes, num_bytes));
        change_text(bad, cases[i].name, cases[i].text);
        expect_no_model(bad, cases[i].piece);
    }
    assert_ok(uf_write_file(bad, bytes, num_bytes));
    hid_t file = H5Fopen(bad, H5F_ACC_RDWR, H5P_DEFAULT);
    alter(file, "value/hidden/1/kernel", 3, NAN);
    H5Fclose(file);
    expect_no_model(bad, "not finite");
    assert_ok(uf_write_file(bad, bytes, num_bytes));
    file = H5Fopen(bad, H5F_ACC_RDWR, H5P_DEFAULT);
    alter(file, "elites", 0, 17);
    H5Fclose(file);
    expect_no_model(bad, "elites");
    uf_free(bytes);
    uf_dynamics_free(d);

    // Not trained to the end.
    UfConfig* config = small_config(2);
    StopAt at = {1, 2};
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_int_equal(uf_dynamics_train(d, data, 0, stop_at, &at), UF_ERR_STOPPED);
    assert_ok(uf_dynamics_save(d, bad));
    expect_no_model(bad, "has not ended");
    uf_dynamics_free(d);

    // Configurations that make no sense.
    config->num_elites = 4;
    assert_int_equal(uf_dynamics_create(&d, config, data, 1), UF_ERR_CONFIG);
    assert_error("num_elites 4");
    assert_null(d);
    config->num_elites = 2;
    config->batch_size = 5000;
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_int_equal(uf_dynamics_train(d, data, 0, NULL, NULL), UF_ERR_CONFIG);
    assert_error("batch_size 5000");
    uf_dynamics_free(d);
    config->batch_size = 64;
    assert_ok(uf_config_set(config, "termination", "hoper"));
    assert_int_equal(uf_dynamics_create(&d, config, data, 1), UF_ERR_CONFIG);
    assert_error("hopper");
    // A learning rate that breaks it: epoch and batch.
    assert_ok(uf_config_set(config, "termination", ""));
    config->lr = 1e3;
    config->num_epochs = 50;
    assert_ok(uf_dynamics_create(&d, config, data, 1));
    assert_int_equal(uf_dynamics_train(d, data, 0, NULL, NULL), UF_ERR_NONFINITE);
    assert_error("epoch ");
    uf_dynamics_free(d);
    uf_config_free(config);
    uf_dataset_free(data);
    uf_dataset_free(other);
}

// ---- recordings ----

static bool passes(const char* path) {
    char* report = NULL;
    bool passed = false;
    assert_ok(uf_verify(path, &report, &passed));
    uf_free(report);
    return passed;
}

static void test_recording(void** state) {
    (void)state;
    static const char recording[] = "../shared/oracle/dynamics.h5";
    static const struct {
        const char* dataset;
        double change;
    } cases[] = {{"train2/loss", 1e-2},
                 {"after/hidden/3/kernel", 1e-3},
                 {"after/min_logvar", 1e-3},
                 {"predict/mean", 1e-3},
                 {"predict/logvar", 1e-3},
                 {"predict/mse", 1e-3},
                 {"elites", 1},
                 {"train1/target", 1},
                 {"init/out/bias", 1e-3},
                 {"predict/logvar", NAN}};
    const char* path = in_folder("changed.h5");
    char* bytes = NULL;
    size_t num_bytes = 0;
    if (access(recording, R_OK) != 0) {
        print_message("SKIP test_recording: %s not there\n", recording);
        skip();
    }
    assert_true(passes(recording));
    assert_ok(uf_read_file(recording, &bytes, &num_bytes));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(uf_write_file(path, bytes, num_bytes));
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        alter(file, cases[i].dataset, 0, cases[i].change);
        H5Fclose(file);
        if (passes(path)) fail_msg("a change of %s went unnoticed", cases[i].dataset);
    }
    uf_free(bytes);
}

// A file of another shape, as this library would record it: 2 networks of 3 layers, 4 observations, 2 actions, 3 steps.
static void write_reals(const UfH5* h5, const char* name, const float* values, int rank, int64_t a, int64_t b,
                        int64_t c) {
    assert_ok(uf_h5_write(h5, name, UF_H5_FLOAT, values, rank, (int64_t[]){a, b, c}, 0, false));
}

static void write_tensors(UfDynamics* d, const UfH5* h5, const char* group) {
    for (int i = 0; i < uf_dynamics_num_tensors(d); i++) {
        const UfDynamicsTensor* t = uf_dynamics_tensor(d, i);
        float* values = calloc(uf_dynamics_tensor_count(d, t), sizeof *values);
        char name[64];
        snprintf(name, sizeof name, "%s/%s", group, t->name);
        assert_ok(uf_dynamics_get_tensor(d, t, UF_TENSOR_VALUE, values));
        if (t->is_shared)
            write_reals(h5, name, values, 1, t->columns, 0, 0);
        else if (t->rank == 1)
            write_reals(h5, name, values, 2, 2, t->columns, 0);
        else
            write_reals(h5, name, values, 3, 2, t->rows, t->columns);
        free(values);
    }
}

static void test_other_shape(void** state) {
    (void)state;
    enum { ROWS_B = 24, OBS = 4, ACT = 2, NUM = OBS + 1, NETS = 2, COUNT = 3 };
    static float obs[COUNT][ROWS_B * OBS], action[COUNT][ROWS_B * ACT], target[COUNT][ROWS_B * NUM];
    static float mean[NETS * ROWS_B * NUM], logvar[NETS * ROWS_B * NUM];
    const char* path = in_folder("shape.h5");
    UfConfig* c = small_config(1);
    UfDynamics* d = NULL;
    UfH5 h5;
    UfRandom r = uf_random(9, 0, 0);
    double mse[NETS] = {0};
    int elite;
    c->num_ensemble = NETS, c->num_elites = 1, c->n_layers = 3, c->layer_size = 10, c->batch_size = ROWS_B;
    c->weight_decay = 0.01;
    assert_ok(uf_dynamics_create_bare(&d, c, OBS, ACT, 1));
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "dynamics"));
    assert_ok(
        uf_h5_write_string(&h5, "/", "config",
                           "{\"obs_dim\": 4, \"action_dim\": 2, \"num_ensemble\": 2, \"num_elites\": 1, "
                           "\"n_layers\": 3, \"layer_size\": 10, \"batch_size\": 24, \"lr\": 0.003, "
                           "\"weight_decay\": 0.01, \"adam_eps\": 1e-05}"));
    write_tensors(d, &h5, "init");
    for (int s = 0; s < COUNT; s++) {
        char name[64];
        double loss;
        for (int i = 0; i < ROWS_B * OBS; i++) obs[s][i] = uf_random_normal(&r);
        for (int i = 0; i < ROWS_B * ACT; i++) action[s][i] = uf_random_normal(&r);
        for (int i = 0; i < ROWS_B * NUM; i++) target[s][i] = uf_random_normal(&r);
        snprintf(name, sizeof name, "train%d/obs", s);
        write_reals(&h5, name, obs[s], 2, ROWS_B, OBS, 0);
        snprintf(name, sizeof name, "train%d/action", s);
        write_reals(&h5, name, action[s], 2, ROWS_B, ACT, 0);
        snprintf(name, sizeof name, "train%d/target", s);
        write_reals(&h5, name, target[s], 2, ROWS_B, NUM, 0);
        assert_ok(uf_dynamics_step(d, obs[s], action[s], target[s], &loss));
        snprintf(name, sizeof name, "train%d/loss", s);
        assert_ok(uf_h5_write(&h5, name, UF_H5_DOUBLE, &loss, 0, NULL, 0, false));
    }
    write_tensors(d, &h5, "after");
    assert_ok(uf_dynamics_predict(d, mean, logvar, obs[0], action[0], ROWS_B));
    for (int i = 0; i < NETS * ROWS_B * NUM; i++) {
        const double e = (double)mean[i] - target[0][i % (ROWS_B * NUM)];
        mse[i / (ROWS_B * NUM)] += e * e / (ROWS_B * NUM);
    }
    write_reals(&h5, "predict/mean", mean, 3, NETS, ROWS_B, NUM);
    write_reals(&h5, "predict/logvar", logvar, 3, NETS, ROWS_B, NUM);
    assert_ok(uf_h5_write(&h5, "predict/mse", UF_H5_DOUBLE, mse, 1, &(int64_t){NETS}, 0, false));
    uf_dynamics_best(&elite, 1, mse, NETS);
    assert_int_equal(elite, mse[1] < mse[0]);
    assert_ok(uf_h5_write(&h5, "elites", UF_H5_INT32, &elite, 1, &(int64_t){1}, 0, false));
    assert_ok(uf_h5_close(&h5));
    assert_true(passes(path));
    // What this build cannot replay is said.
    static const char* const configs[][2] = {
        {"{\"obs_dim\": 4, \"action_dim\": 2, \"adam_eps\": 1e-8}", "adam_eps"},
        {"{\"obs_dim\": 4}", "action_dim"},
        {"{\"obs_dim\": 4, \"action_dim\": 2, \"layers\": 3}", "layers"},
        {"[]", "config"},
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        char* report = NULL;
        bool passed = true;
        change_text(path, "config", configs[i][0]);
        assert_int_not_equal(uf_verify(path, &report, &passed), UF_OK);
        assert_false(passed);
        assert_error(configs[i][1]);
    }
    uf_dynamics_free(d);
    uf_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_prediction_error_of_truth),
        cmocka_unit_test(test_resume_and_threads),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_early_stop),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_bad_models),
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_other_shape),
    };
    return cmocka_run_group_tests_name("dynamics", tests, make_folder, remove_folder);
}
