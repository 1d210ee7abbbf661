// test_dataset.c: HDF5 access, D4RL and Minari files, arrays, info, writing and conversion.
//
// tests/data/minari was written by the Minari package (12 episodes of Pendulum-v1, 2257 steps);
// tests/data/npz by numpy's savez and savez_compressed. What is expected of ../shared/datasets was counted
// with numpy and h5py.
#include "support.h"

#include <math.h>

#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/envs/envs.h"
#include "core/envs/tasks.h"

#define assert_near(a, b, tolerance)                                                                    \
    do {                                                                                                \
        double left_ = (a), right_ = (b);                                                               \
        if (!(fabs(left_ - right_) <= (tolerance))) fail_msg("%s = %.9g, not %.9g", #a, left_, right_); \
    } while (0)

// ---- HDF5 ----

static void test_h5_round_trip(void** state) {
    (void)state;
    UfH5 h5;
    UfH5Shape shape;
    float numbers[12], back[12], strided[3 * 7];
    double doubles[12];
    int64_t dims[2] = {3, 4}, three[1] = {3}, integers[3] = {-1, 1LL << 40, 7}, integers_back[3];
    uint8_t flags[3] = {1, 0, 1}, flags_back[3];
    char* text;
    double value;
    for (int i = 0; i < 12; i++) numbers[i] = 0.1f * (float)i;
    for (int i = 0; i < 21; i++) strided[i] = (float)i;
    assert_ok(uf_h5_create(&h5, in_folder("a.h5")));
    assert_ok(uf_h5_write(&h5, "deep/group/plain", UF_H5_FLOAT, numbers, 2, dims, 0, false));
    assert_ok(uf_h5_write(&h5, "deep/packed", UF_H5_FLOAT, numbers, 2, dims, 6, false));
    assert_ok(uf_h5_write(&h5, "flags", UF_H5_UINT8, flags, 1, three, 4, true));
    assert_ok(uf_h5_write(&h5, "integers", UF_H5_INT64, integers, 1, three, 0, false));
    assert_ok(uf_h5_write(&h5, "scalar", UF_H5_DOUBLE, &(double){0.1}, 0, NULL, 0, false));
    assert_ok(uf_h5_write_strided(&h5, "strided", strided, 3, 2, 7, 1));
    assert_ok(uf_h5_write_string(&h5, "", "name", "caf\xc3\xa9"));
    assert_ok(uf_h5_write_string(&h5, "", "name", "twice"));
    assert_ok(uf_h5_write_number(&h5, "deep", "number", 0.1));
    assert_ok(uf_h5_write_integer(&h5, "deep/packed", "integer", 1LL << 40));
    assert_int_equal(uf_h5_write(&h5, "flags", UF_H5_UINT8, flags, 1, three, 4, true), UF_ERR_IO);
    assert_int_equal(uf_h5_write(&h5, "none", UF_H5_UINT8, flags, 1, (int64_t[]){0}, 4, true),
                     UF_ERR_ARGUMENT);
    assert_int_equal(H5Fget_obj_count(h5.file, H5F_OBJ_ALL), 1);  // only the file itself is open
    assert_ok(uf_h5_close(&h5));
    assert_ok(uf_h5_close(&h5));

    assert_ok(uf_h5_open(&h5, in_folder("a.h5")));
    assert_ok(uf_h5_read(&h5, "deep/group/plain", UF_H5_FLOAT, back, 12));
    assert_memory_equal(numbers, back, sizeof back);
    assert_ok(uf_h5_read(&h5, "deep/packed", UF_H5_DOUBLE, doubles, 12));
    for (int i = 0; i < 12; i++) assert_true(doubles[i] == (double)numbers[i]);
    assert_ok(uf_h5_read(&h5, "flags", UF_H5_UINT8, flags_back, 3));
    assert_memory_equal(flags, flags_back, 3);
    assert_ok(uf_h5_read(&h5, "integers", UF_H5_INT64, integers_back, 3));
    assert_memory_equal(integers, integers_back, sizeof integers);
    assert_ok(uf_h5_read(&h5, "scalar", UF_H5_DOUBLE, &value, 1));
    assert_true(value == 0.1);
    assert_ok(uf_h5_read(&h5, "strided", UF_H5_FLOAT, back, 6));
    for (int i = 0; i < 6; i++) assert_true(back[i] == strided[i / 2 * 7 + i % 2]);
    assert_ok(uf_h5_shape(&h5, "flags", &shape));
    assert_true(shape.is_bool && shape.rank == 1 && shape.item_bytes == 1 && shape.count == 3);
    assert_ok(uf_h5_shape(&h5, "deep/packed", &shape));
    assert_true(shape.is_float && shape.rank == 2 && shape.dims[1] == 4 && shape.item_bytes == 4);
    assert_ok(uf_h5_read_string(&h5, "/", "name", &text));
    assert_string_equal(text, "twice");
    uf_free(text);
    assert_ok(uf_h5_read_number(&h5, "deep/packed", "integer", &value));
    assert_true(value == (double)(1LL << 40));
    assert_true(uf_h5_exists(&h5, "deep/group") && uf_h5_exists(&h5, "/deep/group/plain"));
    assert_false(uf_h5_exists(&h5, "deep/none/plain") || uf_h5_exists(&h5, "flags/x"));
    assert_true(uf_h5_has_attribute(&h5, "deep", "number") && !uf_h5_has_attribute(&h5, "none", "number"));
    assert_int_equal(uf_h5_read(&h5, "deep/packed", UF_H5_FLOAT, back, 11), UF_ERR_FORMAT);
    assert_error("a.h5: dataset 'deep/packed' has shape (3, 4), expected 11 numbers");
    assert_int_equal(uf_h5_shape(&h5, "deep", &shape), UF_ERR_FORMAT);
    assert_error("'deep' is a group, expected a dataset");
    assert_int_equal(uf_h5_read_string(&h5, "deep", "number", &text), UF_ERR_FORMAT);
    assert_int_equal(uf_h5_read_number(&h5, "", "name", &value), UF_ERR_FORMAT);
    assert_int_equal(uf_h5_read_number(&h5, "none", "name", &value), UF_ERR_FORMAT);
    assert_int_equal(H5Fget_obj_count(h5.file, H5F_OBJ_ALL), 1);
    assert_ok(uf_h5_close(&h5));
}

static void test_h5_list(void** state) {
    (void)state;
    static const char* const expected[] = {"a",          "episode_1",  "episode_2",
                                           "episode_10", "episode_11", "episode_100"};
    UfH5 h5;
    char** names;
    int count;
    assert_ok(uf_h5_create(&h5, in_folder("list.h5")));
    for (int i = 5; i >= 0; i--) {
        char name[64];
        snprintf(name, sizeof name, "group/%s/x", expected[i]);
        assert_ok(uf_h5_write(&h5, name, UF_H5_DOUBLE, &(double){1}, 0, NULL, 0, false));
    }
    assert_ok(uf_h5_list(&h5, "group", &names, &count));
    assert_int_equal(count, 6);
    for (int i = 0; i < 6; i++) assert_string_equal(names[i], expected[i]);
    uf_h5_list_free(names, count);
    assert_int_equal(uf_h5_list(&h5, "none", &names, &count), UF_ERR_FORMAT);
    assert_null(names);
    assert_ok(uf_h5_close(&h5));
}

// A dataset of rows * columns numbers i % 1000 in chunks of the given shape (0: contiguous).
static void write_chunked(hid_t file, const char* name, hid_t type, int rank, hsize_t rows, hsize_t columns,
                          hsize_t chunk_rows, hsize_t chunk_columns) {
    hsize_t dims[2] = {rows, columns}, chunk[2] = {chunk_rows, chunk_columns};
    float* data = malloc(rows * columns * sizeof *data);
    assert_non_null(data);
    for (hsize_t i = 0; i < rows * columns; i++) data[i] = (float)(i % 1000);
    hid_t space = H5Screate_simple(rank, dims, NULL), layout = H5Pcreate(H5P_DATASET_CREATE);
    if (chunk_rows) {
        H5Pset_chunk(layout, rank, chunk);
        H5Pset_deflate(layout, 1);
    }
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(dataset);
    H5Pclose(layout);
    H5Sclose(space);
    free(data);
}

// Every way of cutting a dataset into blocks lands each number in its place and touches nothing between.
static void test_h5_strided(void** state) {
    (void)state;
    const struct {
        hsize_t rows, columns, chunk_rows, chunk_columns;
        int rank;
        bool doubles;
    } cases[] = {{1, 1, 0, 0, 2, false},           {700, 3, 0, 0, 2, true},
                 {700, 3, 64, 1, 2, false},        {700, 3, 64, 3, 2, true},
                 {700, 1, 64, 0, 1, false},        {300000, 5, 0, 0, 2, false},
                 {300000, 5, 7777, 1, 2, false},   {300000, 5, 290000, 2, 2, true},
                 {300000, 5, 300000, 5, 2, false}, {1500000, 1, 1500000, 0, 1, true}};
    UfH5 h5;
    assert_ok(uf_h5_create(&h5, in_folder("strided.h5")));
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char name[16];
        snprintf(name, sizeof name, "%zu", k);
        write_chunked(h5.file, name, cases[k].doubles ? H5T_IEEE_F64LE : H5T_IEEE_F32LE, cases[k].rank,
                      cases[k].rows, cases[k].columns, cases[k].chunk_rows, cases[k].chunk_columns);
    }
    assert_ok(uf_h5_close(&h5));
    assert_ok(uf_h5_open(&h5, in_folder("strided.h5")));
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char name[16];
        size_t rows = cases[k].rows, columns = cases[k].columns, stride = columns + 2, wrong = 0;
        float* data = malloc(rows * stride * sizeof *data);
        assert_non_null(data);
        for (size_t i = 0; i < rows * stride; i++) data[i] = -1;
        snprintf(name, sizeof name, "%zu", k);
        assert_ok(uf_h5_read_strided(&h5, name, data, (int64_t)rows, (int64_t)columns, (int64_t)stride));
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < stride; j++)
                wrong += data[i * stride + j] != (j < columns ? (float)((i * columns + j) % 1000) : -1);
        free(data);
        if (wrong) fail_msg("case %zu: %zu numbers are wrong", k, wrong);
    }
    assert_int_equal(H5Fget_obj_count(h5.file, H5F_OBJ_ALL), 1);
    float one;
    assert_int_equal(uf_h5_read_strided(&h5, "1", &one, 700, 4, 4), UF_ERR_FORMAT);
    assert_error("has shape (700, 3), expected (700, 4)");
    assert_ok(uf_h5_close(&h5));
}

// ---- D4RL rules ----

// Ten rows of two observations and one action: obs (i, -i), action i / 10, reward i.
enum { ROWS = 10 };
typedef struct Small {
    float observations[2 * ROWS], actions[ROWS], rewards[ROWS], next_observations[2 * ROWS];
    uint8_t terminals[ROWS], timeouts[ROWS];
} Small;

static Small make_small(void) {
    Small s = {0};
    for (int i = 0; i < ROWS; i++) {
        s.observations[2 * i] = s.rewards[i] = (float)i;
        s.observations[2 * i + 1] = (float)-i;
        s.actions[i] = 0.1f * (float)i;
        s.next_observations[2 * i] = 100 + (float)i;
    }
    return s;
}

static UfDataset* open_small(const Small* s, bool with_timeouts, bool with_next, const char* task) {
    UfDataset* d;
    UfDatasetWriter w = {.num_rows = ROWS,
                         .obs_dim = 2,
                         .action_dim = 1,
                         .observations = s->observations,
                         .actions = s->actions,
                         .rewards = s->rewards,
                         .terminals = s->terminals,
                         .timeouts = with_timeouts ? s->timeouts : NULL,
                         .next_observations = with_next ? s->next_observations : NULL,
                         .env_id = "Some-v0"};
    assert_ok(uf_dataset_write(in_folder("small.hdf5"), &w));
    assert_ok(uf_dataset_open(&d, in_folder("small.hdf5"), task));
    assert_int_equal(access(in_folder("small.hdf5.tmp"), F_OK), -1);
    return d;
}

// Rows by the index of their records, in order; has_next of each.
static void check_rows(const UfDataset* d, int num, const int* records, const int* has_next) {
    assert_int_equal(uf_dataset_num_rows(d), num);
    for (int k = 0; k < num; k++) {
        const float* r = uf_record(d, k);
        assert_int_equal((r - d->records) / d->stride, records[k]);
        assert_int_equal((int)r[0], records[k]);
        assert_near(r[2], 0.1 * records[k], 1e-6);
        if ((int)r[5] != has_next[k]) fail_msg("row %d: has_next %g, not %d", k, (double)r[5], has_next[k]);
    }
}

static void test_d4rl_rules(void** state) {
    (void)state;
    Small s = make_small();
    s.terminals[2] = 1;
    s.timeouts[5] = 1;
    s.timeouts[7] = s.terminals[7] = 1;  // both: D4RL looks at the timeout first
    UfDataset* d = open_small(&s, true, false, NULL);
    check_rows(d, 7, (int[]){0, 1, 2, 3, 4, 6, 8}, (int[]){1, 1, 0, 1, 1, 1, 1});
    assert_true(uf_record(d, 2)[4] == 1 && uf_record(d, 3)[4] == 0);
    assert_null(d->next_obs);
    assert_int_equal(d->num_dropped, 3);
    assert_int_equal(d->num_episodes, 4);
    assert_true(d->unfinished_tail && d->has_timeouts && !d->is_minari);
    assert_int_equal(d->num_terminals, 2);
    assert_int_equal(d->num_timeouts, 2);
    const int lengths[] = {3, 3, 2, 2}, returns[] = {3, 12, 13, 17};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(d->episode_lengths[i], lengths[i]);
        assert_near(d->episode_returns[i], returns[i], 0);
    }
    assert_near(d->obs_mean[0], 24.0 / 7, 1e-6);
    assert_near(d->obs_std[1], sqrt(130.0 / 7 - 24.0 * 24 / 49), 1e-6);
    assert_string_equal(d->env_id, "Some-v0");
    assert_int_equal(strlen(d->hash), 64);
    uf_dataset_free(d);

    // Stored next observations keep every row; a row cut by a timeout has no next action.
    d = open_small(&s, true, true, NULL);
    check_rows(d, 10, (int[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, (int[]){1, 1, 0, 1, 1, 0, 1, 0, 1, 0});
    assert_null(d->rows);
    assert_true(d->next_obs[2 * 5] == 105 && uf_record(d, 7)[4] == 1 && uf_record(d, 5)[4] == 0);
    assert_int_equal(d->num_dropped, 0);
    uf_dataset_free(d);

    // A terminal in the last row does not keep it.
    s = make_small();
    s.terminals[9] = 1;
    d = open_small(&s, true, false, NULL);
    check_rows(d, 9, (int[]){0, 1, 2, 3, 4, 5, 6, 7, 8}, (int[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    assert_null(d->rows);
    assert_false(d->unfinished_tail);
    assert_int_equal(d->num_episodes, 1);
    uf_dataset_free(d);
}

// Without timeouts: no limit is known of Some-v0; a limit of 4 cuts after 4 steps, counted from a terminal
// too.
static void test_step_limit(void** state) {
    (void)state;
    Small s = make_small();
    s.terminals[1] = 1;
    UfDataset* d = open_small(&s, false, false, NULL);
    assert_int_equal(uf_dataset_num_rows(d), 9);
    assert_false(d->has_timeouts);
    uf_dataset_free(d);
    UfArrays a = {.num_rows = ROWS,
                  .obs_dim = 2,
                  .action_dim = 1,
                  .observations = s.observations,
                  .actions = s.actions,
                  .rewards = s.rewards,
                  .terminals = s.terminals,
                  .step_limit = 4};
    assert_ok(uf_dataset_from_arrays(&d, &a));
    check_rows(d, 8, (int[]){0, 1, 2, 3, 4, 6, 7, 8}, (int[]){1, 0, 1, 1, 1, 1, 1, 1});
    assert_int_equal(d->num_episodes, 3);
    uf_dataset_free(d);
    s.terminals[5] = 1;  // terminal at the limit: D4RL drops it
    assert_ok(uf_dataset_from_arrays(&d, &a));
    check_rows(d, 8, (int[]){0, 1, 2, 3, 4, 6, 7, 8}, (int[]){1, 0, 1, 1, 1, 1, 1, 1});
    uf_dataset_free(d);
}

// Which name gives the limit: the argument, else env_id, else the file's name.
static void test_step_limit_by_name(void** state) {
    (void)state;
    enum { LONG = 650 };
    static float observations[LONG], actions[LONG], rewards[LONG];
    static uint8_t terminals[LONG];
    const struct {
        const char *file, *env_id, *task;
        int rows;
    } cases[] = {{"maze2d-umaze-v1.hdf5", NULL, NULL, LONG - 3},
                 {"a.hdf5", "maze2d-umaze-v1", NULL, LONG - 3},
                 {"hopper-v2.hdf5", "maze2d-medium-v1", NULL, LONG - 2},
                 {"a.hdf5", "Hopper-v2", "maze2d-umaze-v1", LONG - 3},
                 {"a.hdf5", NULL, NULL, LONG - 1},
                 {"maze2d-umaze-v1.hdf5", NULL, "Unknown-v0", LONG - 1},
                 {"pendulum-random.hdf5", NULL, NULL, LONG - 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        UfDataset* d;
        UfDatasetWriter w = {.num_rows = LONG,
                             .obs_dim = 1,
                             .action_dim = 1,
                             .observations = observations,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals,
                             .env_id = cases[i].env_id};
        assert_ok(uf_dataset_write(in_folder(cases[i].file), &w));
        assert_ok(uf_dataset_open(&d, in_folder(cases[i].file), cases[i].task));
        if (d->num_rows != cases[i].rows)
            fail_msg("case %zu: %d rows, not %d", i, (int)d->num_rows, cases[i].rows);
        uf_dataset_free(d);
    }
}

// float64, (N, 1), integer flags and narrow chunks read as the plain file does.
static void test_odd_types(void** state) {
    (void)state;
    enum { N = 100 };
    UfH5 h5;
    UfDataset* d;
    double rewards[N];
    int8_t small[N] = {0};
    int64_t terminals[N] = {0}, column[2] = {N, 1};
    for (int i = 0; i < N; i++) rewards[i] = 0.5 * i;
    terminals[9] = 1;
    small[49] = 1;
    assert_ok(uf_h5_create(&h5, in_folder("odd.hdf5")));
    write_chunked(h5.file, "observations", H5T_IEEE_F64BE, 2, N, 7, 30, 2);
    float actions[2 * N] = {0};
    actions[2 * 99 + 1] = -1.0000005f;  // within the tolerance
    assert_ok(uf_h5_write(&h5, "actions", UF_H5_FLOAT, actions, 2, (int64_t[]){N, 2}, 0, false));
    assert_ok(uf_h5_write(&h5, "rewards", UF_H5_DOUBLE, rewards, 2, column, 3, false));
    assert_ok(uf_h5_write(&h5, "terminals", UF_H5_INT64, terminals, 2, column, 0, false));
    assert_ok(uf_h5_write(&h5, "timeouts", UF_H5_UINT8, small, 1, column, 2, false));
    assert_ok(uf_h5_write(&h5, "infos/qpos", UF_H5_UINT8, small, 1, column, 2, false));
    assert_ok(uf_h5_close(&h5));
    assert_ok(uf_dataset_open(&d, in_folder("odd.hdf5"), NULL));
    assert_int_equal(d->file_item_bytes, 8);
    assert_int_equal(uf_dataset_obs_dim(d), 7);
    assert_int_equal(uf_dataset_action_dim(d), 2);
    assert_int_equal(d->num_rows, N - 2);
    assert_int_equal(d->num_terminals, 1);
    const float* r = uf_record(d, 60);  // row 49 is dropped
    assert_true(r[0] == 61 * 7 && r[6] == 61 * 7 + 6 && r[9] == 30.5f && uf_record(d, 9)[10] == 1);
    assert_string_equal(d->env_id, "");
    uf_dataset_free(d);
}

// ---- arrays ----

static void test_arrays(void** state) {
    (void)state;
    Small s = make_small();
    s.timeouts[4] = 1;
    UfDataset *d, *from_file = open_small(&s, true, true, NULL);
    UfArrays a = {.num_rows = ROWS,
                  .obs_dim = 2,
                  .action_dim = 1,
                  .observations = s.observations,
                  .actions = s.actions,
                  .rewards = s.rewards,
                  .terminals = s.terminals,
                  .timeouts = s.timeouts,
                  .next_observations = s.next_observations};
    assert_ok(uf_dataset_from_arrays(&d, &a));
    assert_int_equal(d->num_rows, from_file->num_rows);
    assert_memory_equal(d->records, from_file->records, ROWS * (size_t)d->stride * sizeof(float));
    assert_memory_equal(d->next_obs, from_file->next_obs, sizeof s.next_observations);
    assert_memory_equal(d->obs_mean, from_file->obs_mean, 2 * sizeof(float));
    char hash[65];
    strcpy(hash, d->hash);
    assert_int_equal(strlen(hash), 64);
    uf_dataset_free(d);
    uf_dataset_free(from_file);
    s.rewards[3] += 1;
    assert_ok(uf_dataset_from_arrays(&d, &a));
    assert_string_not_equal(d->hash, hash);
    uf_dataset_free(d);

    s.actions[3] = 1.5f;
    assert_int_equal(uf_dataset_from_arrays(&d, &a), UF_ERR_FORMAT);
    assert_null(d);
    assert_error("arrays: 1 of 10 numbers in 'actions' are beyond [-1, 1], the worst is 1.5");
    s.next_observations[7] = NAN;
    assert_int_equal(uf_dataset_from_arrays(&d, &a), UF_ERR_FORMAT);
    assert_error("arrays: dataset 'next_observations' has NaN at row 3, column 1");
    a.rewards = NULL;
    assert_int_equal(uf_dataset_from_arrays(&d, &a), UF_ERR_ARGUMENT);
    assert_error("'rewards' is null");
    a.rewards = s.rewards;
    a.num_rows = 0;
    assert_int_equal(uf_dataset_from_arrays(&d, &a), UF_ERR_ARGUMENT);
    assert_int_equal(uf_dataset_from_arrays(&d, NULL), UF_ERR_ARGUMENT);
    assert_int_equal(uf_dataset_from_arrays(NULL, &a), UF_ERR_ARGUMENT);
    uf_dataset_free(NULL);
}

// ---- Minari ----

static void test_minari(void** state) {
    (void)state;
    static const char* const paths[] = {"tests/data/minari/main_data.hdf5", "tests/data/minari"};
    for (int i = 0; i < 2; i++) {
        UfDataset* d;
        UfH5 h5;
        float obs[3], action;
        assert_ok(uf_dataset_open(&d, paths[i], NULL));
        assert_int_equal(d->num_rows, 2257);
        assert_int_equal(d->num_records, 2257 + 12);
        assert_int_equal(d->num_episodes, 12);
        assert_int_equal(d->num_dropped, 0);
        assert_int_equal(d->episode_lengths[11], 57);
        assert_int_equal(d->num_timeouts, 12);
        assert_true(d->is_minari && d->has_timeouts);
        assert_string_equal(d->env_id, "Pendulum-v1");
        assert_true(d->action_low[0] == -2 && d->action_high[0] == 2);
        // Numeric order: rows 400..599 are episode_2, not episode_10. The next state of an episode's last row
        // is its own.
        float all_obs[201 * 3], all_actions[200];
        assert_ok(uf_h5_open(&h5, "tests/data/minari/main_data.hdf5"));
        assert_ok(uf_h5_read(&h5, "episode_2/observations", UF_H5_FLOAT, all_obs, 201 * 3));
        assert_ok(uf_h5_read(&h5, "episode_2/actions", UF_H5_FLOAT, all_actions, 200));
        assert_ok(uf_h5_close(&h5));
        for (int t = 0; t < 200; t++) {
            const float* r = uf_record(d, 400 + t);
            memcpy(obs, r + d->stride, sizeof obs);  // the next record
            action = r[3];
            assert_memory_equal(r, all_obs + 3 * t, sizeof obs);
            assert_memory_equal(obs, all_obs + 3 * (t + 1), sizeof obs);
            assert_near(action, all_actions[t] / 2, 1e-7);
            assert_true(r[d->stride - 1] == (t < 199) && r[d->stride - 2] == 0);
        }
        uf_dataset_free(d);
    }
}

static void write_text(const char* path, const char* text) {
    FILE* file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

#define SPACE(type, shape, low, high)                                                                        \
    "\"{\\\"type\\\": \\\"" type "\\\", \\\"shape\\\": " shape ", \\\"low\\\": " low ", \\\"high\\\": " high \
    "}\""

// One episode of three steps, with a metadata.json of the given spaces.
static UfStatus open_minari(const char* obs_space, const char* action_space, const char* format,
                            int obs_rows) {
    UfH5 h5;
    UfDataset* d = NULL;
    float numbers[8] = {0};
    char json[1024];
    assert_ok(uf_make_folder(in_folder("set/data")));
    assert_ok(uf_h5_create(&h5, in_folder("set/data/main_data.hdf5")));
    assert_ok(uf_h5_write(&h5, "episode_0/observations", UF_H5_FLOAT, numbers, 2, (int64_t[]){obs_rows, 2}, 0,
                          false));
    assert_ok(uf_h5_write(&h5, "episode_0/actions", UF_H5_FLOAT, numbers, 2, (int64_t[]){3, 1}, 0, false));
    static const char* const vectors[] = {"episode_0/rewards", "episode_0/terminations",
                                          "episode_0/truncations"};
    for (int i = 0; i < 3; i++)
        assert_ok(uf_h5_write(&h5, vectors[i], UF_H5_FLOAT, numbers, 1, (int64_t[]){3}, 0, false));
    assert_ok(uf_h5_close(&h5));
    snprintf(json, sizeof json,
             "{\"data_format\": \"%s\", \"score\": -Infinity, \"observation_space\": %s, \"action_space\": "
             "%s}",
             format, obs_space, action_space);
    write_text(in_folder("set/data/metadata.json"), json);
    UfStatus status = uf_dataset_open(&d, in_folder("set"), NULL);
    if (status == UF_OK) {
        assert_true(d->unfinished_tail && d->num_rows == 3 && d->env_id[0] == 0);
        assert_null(d->action_low);
    }
    uf_dataset_free(d);
    return status;
}

static void test_minari_spaces(void** state) {
    (void)state;
    const char* box = SPACE("Box", "[2]", "[-Infinity, -1]", "[Infinity, 1]");
    const char* unit = SPACE("Box", "[1]", "[-1.0]", "[1.0]");
    assert_ok(open_minari(box, unit, "hdf5", 4));
    assert_int_equal(open_minari(box, unit, "hdf5", 3), UF_ERR_FORMAT);
    assert_error("'episode_0/observations' has 3 rows for 3 actions, expected one more");
    assert_int_equal(open_minari(box, unit, "arrow", 4), UF_ERR_FORMAT);
    assert_error("the data format is 'arrow', expected hdf5");
    assert_int_equal(unlink(in_folder("set/data/main_data.hdf5")), 0);
    UfDataset* d;
    assert_int_equal(uf_dataset_open(&d, in_folder("set"), NULL), UF_ERR_FORMAT);
    assert_error("'arrow'");
    assert_int_equal(open_minari(SPACE("Dict", "[2]", "[0]", "[1]"), unit, "hdf5", 4), UF_ERR_FORMAT);
    assert_error("'observation_space' is a Dict space, expected a Box of one dimension");
    assert_int_equal(open_minari(SPACE("Box", "[64, 64, 3]", "[0]", "[255]"), unit, "hdf5", 4),
                     UF_ERR_FORMAT);
    assert_error("images are not read");
    assert_int_equal(open_minari(SPACE("Discrete", "[1]", "[0]", "[1]"), unit, "hdf5", 4), UF_ERR_FORMAT);
    assert_error("'observation_space' is a Discrete space, expected a Box of one dimension");
    assert_int_equal(open_minari(box, SPACE("MultiBinary", "[1]", "[0]", "[1]"), "hdf5", 4), UF_ERR_FORMAT);
    assert_error("'action_space' is a MultiBinary space, expected a Box of one dimension or Discrete");
    assert_int_equal(open_minari(box, SPACE("Box", "[1]", "[-Infinity]", "[Infinity]"), "hdf5", 4),
                     UF_ERR_FORMAT);
    assert_error("finite bounds are needed");
    assert_int_equal(open_minari(box, SPACE("Box", "[1]", "[-1, -1]", "[1, 1]"), "hdf5", 4), UF_ERR_FORMAT);
    assert_error("'action_space' has 2 bounds, 'actions' has 1 columns");
    assert_int_equal(open_minari(box, "17", "hdf5", 4), UF_ERR_FORMAT);
    assert_int_equal(open_minari(box, "}", "hdf5", 4), UF_ERR_FORMAT);
    assert_error("is not valid JSON");
    assert_int_equal(uf_dataset_open(&d, folder, NULL), UF_ERR_IO);
    assert_error("is a folder without main_data.hdf5");
}

// ---- discrete actions ----

enum { KIND_ROWS = 6 };

// A D4RL file with actions as given, of any type; kinds 0: no attribute num_actions.
static UfStatus open_kinds(UfDataset** d, UfH5Type type, const void* actions, int rank, double kinds,
                           const char* env_id) {
    const int64_t rows = KIND_ROWS, dims[2] = {rows, 1}, obs_dims[2] = {rows, 2};
    float obs[2 * KIND_ROWS], rewards[KIND_ROWS] = {1, 2, 3, 4, 5, 6};
    const uint8_t terminals[KIND_ROWS] = {0, 0, 0, 1, 0, 0};
    const char* path = in_folder("kinds.hdf5");
    UfH5 h5;
    for (int i = 0; i < 2 * KIND_ROWS; i++) obs[i] = (float)i;
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_write(&h5, "observations", UF_H5_FLOAT, obs, 2, obs_dims, 0, false));
    assert_ok(uf_h5_write(&h5, "actions", type, actions, rank, dims, 0, false));
    assert_ok(uf_h5_write(&h5, "rewards", UF_H5_FLOAT, rewards, 1, &rows, 0, false));
    assert_ok(uf_h5_write(&h5, "terminals", UF_H5_UINT8, terminals, 1, &rows, 0, false));
    if (kinds != 0) assert_ok(uf_h5_write_number(&h5, "", "num_actions", kinds));
    if (env_id) assert_ok(uf_h5_write_string(&h5, "", "env_id", env_id));
    assert_ok(uf_h5_close(&h5));
    return uf_dataset_open(d, path, NULL);
}

static void expect_kinds(const UfDataset* d, int kinds) {
    static const int taken[KIND_ROWS] = {2, 0, 1, 2, 1, 0};
    assert_true(d->discrete && d->action_dim == kinds && d->num_rows == KIND_ROWS - 1);
    for (int i = 0; i < KIND_ROWS; i++)
        for (int a = 0; a < kinds; a++)
            assert_true(d->records[i * d->stride + d->obs_dim + a] == (a == taken[i]));
    assert_true(d->records[d->stride] == 2 && d->records[d->stride + d->obs_dim + kinds] == 2);
}

static void test_kinds(void** state) {
    (void)state;
    const int32_t ints[KIND_ROWS] = {2, 0, 1, 2, 1, 0};
    const int64_t longs[KIND_ROWS] = {2, 0, 1, 2, 1, 0};
    const uint8_t bytes[KIND_ROWS] = {2, 0, 1, 2, 1, 0};
    const float floats[KIND_ROWS] = {2, 0, 1, 2, 1, 0};
    const struct {
        UfH5Type type;
        const void* actions;
        double said;
        const char* env_id;
        int kinds;
    } cases[] = {
        {UF_H5_INT32, ints, 0, NULL, 3},      {UF_H5_INT64, longs, 0, NULL, 3},
        {UF_H5_UINT8, bytes, 0, NULL, 3},     {UF_H5_FLOAT, floats, 0, NULL, 3},
        {UF_H5_INT32, ints, 7, NULL, 7},      {UF_H5_INT32, ints, 0, "MountainCar-v0", 3},
        {UF_H5_INT32, ints, 0, "unknown", 3}, {UF_H5_INT32, ints, 4, "MountainCar-v0", 4},
    };
    UfDataset* d = NULL;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_ok(open_kinds(&d, cases[k].type, cases[k].actions, 1, cases[k].said, cases[k].env_id));
        expect_kinds(d, cases[k].kinds);
        assert_ok(uf_dataset_check_one_hot(d));
        uf_dataset_free(d);
    }
    // An environment has more kinds than occur.
    const int32_t few[KIND_ROWS] = {0, 0, 1, 0, 1, 0};
    assert_ok(open_kinds(&d, UF_H5_INT32, few, 1, 0, "Acrobot-v1"));
    assert_int_equal(d->action_dim, 3);
    uf_dataset_free(d);
    char* text = NULL;
    assert_ok(uf_dataset_info(in_folder("kinds.hdf5"), &text));
    assert_non_null(strstr(text, "actions       3 kinds\n"));
    uf_free(text);
    // A column is continuous, as it always was.
    assert_ok(open_kinds(&d, UF_H5_INT32, few, 2, 0, NULL));
    assert_true(!d->discrete && d->action_dim == 1);
    assert_int_equal(uf_dataset_check_one_hot(d), UF_ERR_CONFIG);
    uf_dataset_free(d);
}

static void test_bad_kinds(void** state) {
    (void)state;
    const struct {
        float actions[KIND_ROWS];
        double said;
        const char* piece;
    } cases[] = {
        {{2, 0, -1, 2, 1, 0},
         0,
         "dataset 'actions' has -1 at row 2; a vector of actions holds numbers of discrete"},
        {{2, 0, 1, 2, 0.25f, 0}, 0, "'actions' has 0.25 at row 4"},
        {{2, 0, 1, 2, NAN, 0}, 0, "'actions' has nan at row 4"},
        {{2, 0, 1, 5000, 1, 0},
         0,
         "'actions' has 5000 at row 3; a vector of actions holds numbers of discrete ones, 0"},
        {{2, 0, 1, 2, 1, 0}, 2, "attribute 'num_actions' is 2, but 'actions' has numbers up to 2"},
        {{2, 0, 1, 2, 1, 0}, 3.5, "attribute 'num_actions' is 3.5"},
        {{2, 0, 1, 2, 1, 0}, -1, "attribute 'num_actions' is -1"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        UfDataset* d = (UfDataset*)1;
        assert_int_equal(open_kinds(&d, UF_H5_FLOAT, cases[k].actions, 1, cases[k].said, NULL),
                         UF_ERR_FORMAT);
        assert_null(d);
        assert_error(cases[k].piece);
    }
}

// Two episodes of a Minari file, the second's actions of another rank where `mixed`.
static UfStatus open_minari_kinds(UfDataset** d, const char* space, bool mixed) {
    static const int32_t actions[2][3] = {{2, 0, 1}, {1, 1, 0}};
    const float zeros[8] = {0};
    char name[64], json[512];
    UfH5 h5;
    assert_ok(uf_make_folder(in_folder("kinds")));
    assert_ok(uf_make_folder(in_folder("kinds/data")));
    assert_ok(uf_h5_create(&h5, in_folder("kinds/data/main_data.hdf5")));
    for (int e = 0; e < 2; e++) {
        const char* parts[] = {"rewards", "terminations", "truncations"};
        snprintf(name, sizeof name, "episode_%d/observations", e);
        assert_ok(uf_h5_write(&h5, name, UF_H5_FLOAT, zeros, 2, (int64_t[]){4, 2}, 0, false));
        snprintf(name, sizeof name, "episode_%d/actions", e);
        assert_ok(
            uf_h5_write(&h5, name, UF_H5_INT32, actions[e], mixed && e ? 2 : 1, (int64_t[]){3, 1}, 0, false));
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "episode_%d/%s", e, parts[i]);
            assert_ok(uf_h5_write(&h5, name, UF_H5_FLOAT, zeros, 1, (int64_t[]){3}, 0, false));
        }
    }
    assert_ok(uf_h5_close(&h5));
    unlink(in_folder("kinds/data/metadata.json"));
    snprintf(json, sizeof json,
             "{\"data_format\": \"hdf5\", \"observation_space\": %s, \"action_space\": %s}",
             SPACE("Box", "[2]", "[-9, -9]", "[9, 9]"), space ? space : "");
    if (space) write_text(in_folder("kinds/data/metadata.json"), json);
    return uf_dataset_open(d, in_folder("kinds"), NULL);
}

#define DISCRETE(n, start) "\"{\\\"type\\\": \\\"Discrete\\\", \\\"n\\\": " n ", \\\"start\\\": " start "}\""

static void test_minari_kinds(void** state) {
    (void)state;
    static const int taken[8] = {2, 0, 1, -1, 1, 1, 0, -1};  // the last row of an episode is no transition
    UfDataset* d = NULL;
    for (int k = 0; k < 2; k++) {
        const int kinds = k ? 5 : 3;
        assert_ok(open_minari_kinds(&d, k ? DISCRETE("5", "0") : NULL, false));
        assert_true(d->discrete && d->action_dim == kinds && d->num_rows == 6 && !d->action_low);
        for (int i = 0; i < 8; i++)
            for (int a = 0; a < kinds; a++) assert_true(d->records[i * d->stride + 2 + a] == (a == taken[i]));
        uf_dataset_free(d);
    }
    const struct {
        const char *space, *piece;
        bool mixed;
    } cases[] = {
        {DISCRETE("2", "0"), "'action_space' has 2 actions, but the file has numbers up to 2", false},
        {DISCRETE("5", "1"), "does not start at 0", false},
        {DISCRETE("2.5", "0"), "has no 'n'", false},
        {SPACE("Box", "[1]", "[-1]", "[1]"), "'action_space' is a Box, but the actions in the file are not",
         false},
        {NULL, "'episode_1' has continuous actions, episodes before it do not", true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_int_equal(open_minari_kinds(&d, cases[k].space, cases[k].mixed), UF_ERR_FORMAT);
        assert_error(cases[k].piece);
    }
    // Columns, though the space is Discrete.
    assert_int_equal(open_minari(SPACE("Box", "[2]", "[-9, -9]", "[9, 9]"), DISCRETE("2", "0"), "hdf5", 4),
                     UF_ERR_FORMAT);
    assert_error("'action_space' is Discrete, but the actions in the file are not");
}

// ---- tasks and info ----

static void test_tasks(void** state) {
    (void)state;
    const struct {
        const char *name, *task;
        int max_steps;
    } cases[] = {{"hopper-medium-v2.hdf5", "hopper", 1000},
                 {"HalfCheetah-v4", "halfcheetah", 1000},
                 {"/ant/pen-human-v1", "pen", 100},
                 {"maze2d-umaze-v1", "maze2d-umaze", 300},
                 {"maze2d-umaze-dense-v1", "maze2d-umaze-dense", 300},
                 {"walker2d_random.hdf5", "walker2d", 1000},
                 {"antmaze-umaze-diverse-v2", "antmaze-umaze", 700},
                 {"Ant_maze_u-maze_noisy.hdf5", "ant-maze-u-maze", 700},
                 {"antmaze-large-play-v2", "antmaze", 1000},
                 {"D4RL/door/human-v2", "door", 200},
                 {"kitchen-mixed-v0", "kitchen", 280},
                 {"ant-v2", "ant", 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const UfTaskSpec* task = uf_task_find(cases[i].name);
        if (!task) fail_msg("%s: no task", cases[i].name);
        assert_string_equal(task->name, cases[i].task);
        assert_int_equal(task->max_steps, cases[i].max_steps);
        assert_int_equal(uf_task_max_steps(cases[i].name), cases[i].max_steps);
    }
    assert_null(uf_task_find("Pendulum-v1"));
    assert_null(uf_task_find("hoppers-v1"));
    assert_null(uf_task_find("hopper/x.hdf5"));
    assert_null(uf_task_find(NULL));
    double low, high;
    assert_int_equal(uf_task_max_steps("Pendulum-v1"), 200);
    assert_true(uf_task_scores("hopper-v2", &low, &high) && high == 3234.3 &&
                !uf_task_scores("none", &low, &high));
}

static void assert_line(const char* text, const char* line) {
    if (!strstr(text, line)) fail_msg("'%s' is not in:\n%s", line, text);
}

static void test_info(void** state) {
    (void)state;
    char* text;
    assert_ok(uf_dataset_info("tests/data/minari", &text));
    assert_line(text, "layout        Minari, float32\n");
    assert_line(text, "environment   Pendulum-v1\n");
    assert_line(text, "rows          2257 transitions, 0 more without a next state\n");
    assert_line(text, "episodes      12: 0 terminals, 12 timeouts\n");
    assert_line(text, "\nscore ");
    assert_line(text, "length        min 57  25% 200  median 200  75% 200  max 200  mean 188.083\n");
    assert_line(text, "not finite    0 numbers\n");
    assert_line(text, "sha256        8beee6f0e4e3b2896e2471cdffba21422cdb0d4421b0288d73eae487bc7f8a23\n");
    uf_free(text);

    // What a run refuses, info counts.
    Small s = make_small();
    s.observations[5] = NAN;
    s.rewards[9] = INFINITY;
    s.actions[2] = -3;
    UfDataset* d;
    UfDatasetWriter w = {.num_rows = ROWS,
                         .obs_dim = 2,
                         .action_dim = 1,
                         .observations = s.observations,
                         .actions = s.actions,
                         .rewards = s.rewards,
                         .terminals = s.terminals,
                         .timeouts = s.timeouts,
                         .env_id = "two\nlines"};
    assert_ok(uf_dataset_write(in_folder("wild.hdf5"), &w));
    assert_ok(uf_dataset_info(in_folder("wild.hdf5"), &text));
    assert_line(text, "environment   two?lines\n");
    assert_line(text, "episodes      1 (the last is unfinished)");
    assert_line(text, "not finite    2 numbers; dataset 'observations' has NaN at row 2, column 1\n");
    assert_line(text, "out of range  1 numbers in actions beyond [-1, 1], the worst 3\n");
    uf_free(text);
    assert_int_equal(uf_dataset_open(&d, in_folder("wild.hdf5"), NULL), UF_ERR_FORMAT);
    assert_error("wild.hdf5: dataset 'observations' has NaN at row 2, column 1 (2 such numbers in all)");
}

// ---- converting ----

static UfDataset* convert(const char* input) {
    UfDataset* d;
    assert_ok(uf_dataset_convert(input, in_folder("converted.hdf5")));
    assert_ok(uf_dataset_open(&d, in_folder("converted.hdf5"), NULL));
    return d;
}

static void test_convert_csv(void** state) {
    (void)state;
    write_text(in_folder("t.csv"),
               "\xEF\xBB\xBF,\"obs_1\",obs_0,actions_0,Reward,terminal,timeout\r\n"
               "0,1.5,2,0.5,-1e-1,0,false\r\n\r\n"
               "1, 3 ,4,-0.5,2,True,0\r\n"
               "2,5,6,1,3,0,1\n"
               "3,7,8,-1,4,0,0");
    UfDataset* d = convert(in_folder("t.csv"));
    assert_int_equal(d->num_records, 4);
    assert_int_equal(d->num_rows, 2);
    const float* r = uf_record(d, 0);
    assert_true(r[0] == 2 && r[1] == 1.5f && r[2] == 0.5f && r[3] == -0.1f && uf_record(d, 1)[4] == 1);
    uf_dataset_free(d);

    write_text(in_folder("n.csv"),
               "observations_0,actions_0,rewards,terminals,next_observations_0\n1,0,0,0,2\n3,0,0,0,4\n");
    d = convert(in_folder("n.csv"));
    assert_true(d->num_rows == 2 && d->next_obs[1] == 4 && !d->has_timeouts);
    uf_dataset_free(d);
}

static void test_convert_csv_errors(void** state) {
    (void)state;
#define HEAD "obs_0,action_0,reward,done\n"
    const struct {
        const char *text, *error;
    } cases[] = {
        {HEAD "1,0,0,0\n2,zero,0,0\n", "line 3, column 2 (actions): 'zero' is not a finite number"},
        {HEAD "1,0,nan,0\n", "line 2, column 3 (rewards): 'nan'"},
        {HEAD "1,0,,0\n", "line 2, column 3 (rewards): ''"},
        {HEAD "1,1e99,0,0\n", "'1e99' is not a finite number"},
        {HEAD "1,1 2,0,0\n", "'1 2' is not a finite number"},
        {HEAD "\n1,0,0\n", "line 3 has 3 cells, expected 4"},
        {HEAD "1,0,0,0,0\n", "line 2 has more than 4 cells"},
        {HEAD, "there are no rows below the header"},
        {"", "there is no column for observations"},
        {"obs_0,action_0,reward\n1,1,1\n", "there is no column for terminals"},
        {"obs_0,obs_2,action_0,reward,done\n1,1,1,1,1\n", "observations_2 is there, but only 2 columns"},
        {"obs_0,obs_0,action_0,reward,done\n1,1,1,1,1\n", "columns 1 and 2 are both observations 0"},
        {"obs,action_0,reward,done\n1,1,1,1\n", "line 1, column 1: unknown name 'obs'"},
        {"obs_0,action_0,reward,done,speed\n1,1,1,1,1\n", "line 1, column 5: unknown name 'speed'"},
        {"obs_0,action_0,reward,done,next_obs_0,next_obs_1\n1,1,1,1,1,1\n",
         "2 columns of next_observations, 1 of"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(in_folder("bad.csv"), cases[i].text);
        assert_int_equal(uf_dataset_convert(in_folder("bad.csv"), in_folder("bad.hdf5")), UF_ERR_FORMAT);
        assert_error(cases[i].error);
        assert_int_equal(access(in_folder("bad.hdf5"), F_OK), -1);
    }
    assert_int_equal(uf_dataset_convert(in_folder("none.csv"), in_folder("bad.hdf5")), UF_ERR_IO);
    assert_int_equal(uf_dataset_convert("tests", in_folder("bad.hdf5")), UF_ERR_ARGUMENT);
    assert_error("expected a .csv or .npz file");
}

// All three files hold the same 12 rows of 3 observations and 2 actions.
static void test_convert_npz(void** state) {
    (void)state;
    UfDataset* d =
        convert("tests/data/npz/d4rl.npz");  // float64, Fortran order, (N, 1), int64 flags; deflated
    const float* r = uf_record(d, 1);
    assert_int_equal(d->num_records, 12);
    assert_int_equal(d->num_rows, 10);
    assert_near(r[0], -0.89059186, 1e-7);
    assert_near(r[4], -0.11123968, 1e-7);
    assert_near(r[5], -0.4633076, 1e-7);
    assert_true(uf_record(d, 3)[6] == 1 && d->num_terminals == 1 && d->num_timeouts == 1);
    uf_dataset_free(d);

    d = convert("tests/data/npz/neorl.npz");  // stored; trajectories start at 0, 4, 9; done at 3
    r = uf_record(d, 1);
    assert_int_equal(d->num_rows, 12);
    assert_near(r[4], -0.11123968, 1e-7);
    assert_near(d->next_obs[3], r[0] + 1, 1e-7);
    assert_true(uf_record(d, 3)[6] == 1 && uf_record(d, 8)[7] == 0 && uf_record(d, 7)[7] == 1);
    assert_int_equal(d->num_episodes, 3);
    assert_int_equal(d->num_timeouts, 2);
    assert_false(d->unfinished_tail);
    uf_dataset_free(d);

    d = convert("tests/data/npz/ogbench.npz");  // states end at 4 and 11; masks 0 at 9 and 10
    assert_int_equal(d->num_rows, 10);
    assert_true(d->next_obs != NULL && uf_record(d, 3)[6] == 0 && uf_record(d, 3)[7] == 0);
    assert_near(d->next_obs[3 * 0], -0.89059186, 1e-7);
    const int lengths[] = {4, 5, 1};
    assert_int_equal(d->num_episodes, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(d->episode_lengths[i], lengths[i]);
    assert_true(d->num_terminals == 2 && d->num_timeouts == 1);
    uf_dataset_free(d);

    d = convert("tests/data/npz/ogbench_cut.npz");  // the last state is not marked: its row has no next one
    assert_int_equal(d->num_rows, 10);
    assert_int_equal(d->num_timeouts, 1);
    uf_dataset_free(d);

    d = convert("tests/data/npz/zip64.npz");  // neorl.npz with every size and place in zip64 fields
    assert_int_equal(d->num_rows, 12);
    assert_near(uf_record(d, 1)[4], -0.11123968, 1e-7);
    uf_dataset_free(d);

    assert_int_equal(uf_dataset_convert("tests/data/npz/pickled.npz", in_folder("x.hdf5")), UF_ERR_FORMAT);
    assert_error("array 'observations' holds pickled Python objects");
}

// ---- ../shared ----

static void test_shared(void** state) {
    (void)state;
    const struct {
        const char* name;
        int rows, records, episodes, next_actions;
        double mean, std;
    } files[] = {
        {"halfcheetah-best", 50000, 50000, 50, 49950, 0.03306028545939716, 0.06999206767815735},
        {"halfcheetah-medium-replay", 112000, 112000, 112, 111888, 0.2000915600268513, 0.6686418400700787},
        {"halfcheetah-medium", 79920, 80000, 80, 79920, 0.05308475531732353, 0.35748502689612893},
        {"hopper-medium-replay", 119923, 119923, 1032, 118891, 0.011022948752695116, 0.09604922033128734},
        {"hopper-medium", 79999, 80000, 304, 79696, -0.008690646082280162, 0.08234003165842796},
        {"walker2d-medium-replay", 119930, 119930, 836, 119094, 0.22584043206891663, 0.39063658068746093},
        {"walker2d-medium", 79994, 80000, 166, 79834, 0.2910166221547644, 0.2661802276834777}};
    if (access("../shared/datasets/hopper-medium.hdf5", R_OK) != 0) {
        print_message("SKIP test_shared: ../shared/datasets not there\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[128];
        UfDataset* d;
        int next_actions = 0;
        snprintf(path, sizeof path, "../shared/datasets/%s.hdf5", files[i].name);
        assert_ok(uf_dataset_open(&d, path, NULL));
        for (int64_t row = 0; row < d->num_rows; row++) next_actions += uf_record(d, row)[d->stride - 1] != 0;
        if (d->num_rows != files[i].rows || d->num_records != files[i].records ||
            d->num_episodes != files[i].episodes || next_actions != files[i].next_actions)
            fail_msg("%s: %d rows of %d, %d episodes, %d next actions", path, (int)d->num_rows,
                     (int)d->num_records, (int)d->num_episodes, next_actions);
        assert_near(d->obs_mean[1], files[i].mean, 1e-8 + 1e-7 * fabs(files[i].mean));  // float32 rounding
        assert_near(d->obs_std[1], files[i].std, 1e-7 * files[i].std);
        uf_dataset_free(d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_h5_round_trip),
                                       cmocka_unit_test(test_h5_list),
                                       cmocka_unit_test(test_h5_strided),
                                       cmocka_unit_test(test_d4rl_rules),
                                       cmocka_unit_test(test_step_limit),
                                       cmocka_unit_test(test_step_limit_by_name),
                                       cmocka_unit_test(test_odd_types),
                                       cmocka_unit_test(test_arrays),
                                       cmocka_unit_test(test_minari),
                                       cmocka_unit_test(test_minari_spaces),
                                       cmocka_unit_test(test_kinds),
                                       cmocka_unit_test(test_bad_kinds),
                                       cmocka_unit_test(test_minari_kinds),
                                       cmocka_unit_test(test_tasks),
                                       cmocka_unit_test(test_info),
                                       cmocka_unit_test(test_convert_csv),
                                       cmocka_unit_test(test_convert_csv_errors),
                                       cmocka_unit_test(test_convert_npz),
                                       cmocka_unit_test(test_shared)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
