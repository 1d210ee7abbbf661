// test_store.c: the result store: keys, writers at once, bad files; .npz in and out; run folders; matrices.
#include "support.h"

#include <math.h>
#include <sys/wait.h>

#include "core/config.h"
#include "core/data/h5.h"
#include "core/data/npz.h"
#include "core/results/results.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char* config_json(double lr, const char* dataset, int64_t threads) {
    UfConfig* config;
    char *json, text[32];
    assert_ok(uf_config_create(&config));
    snprintf(text, sizeof text, "%.17g", lr);
    assert_ok(uf_config_set(config, "lr", text));
    assert_ok(uf_config_set(config, "dataset", dataset));
    config->num_threads = threads;
    snprintf(config->sbatch_options, sizeof config->sbatch_options, "--time=%d", (int)threads);
    assert_ok(uf_config_json(config, &json));
    uf_config_free(config);
    return json;
}

// A row of its own memory, with two episodes.
static UfStoreRow make_row(const char* algorithm, double lr, int64_t seed) {
    UfStoreRow r = {.seed = seed, .num_updates = 100, .seconds = 1.25, .num_episodes = 2, .dataset_rows = 7};
    assert_ok(uf_strdup(&r.algorithm, algorithm));
    assert_ok(uf_strdup(&r.dataset, "hopper-medium-v2"));
    assert_ok(uf_strdup(&r.dataset_hash, HASH));
    assert_ok(uf_strdup(&r.env, "Hopper-v2"));
    assert_ok(uf_strdup(&r.version, "1.2.3"));
    assert_ok(uf_strdup(&r.source, "runs/x"));
    assert_ok(uf_strdup(&r.message, ""));
    r.config = config_json(lr, "data/hopper-medium-v2.hdf5", 0);
    assert_ok(UF_ALLOC(&r.returns, 2, "returns"));
    assert_ok(UF_ALLOC(&r.scores, 2, "scores"));
    assert_ok(UF_ALLOC(&r.lengths, 2, "lengths"));
    r.returns[0] = 0.1 + (double)seed;
    r.returns[1] = -1e300;
    r.scores[0] = 1.0 / 3;
    r.scores[1] = 100;
    r.lengths[0] = 5;
    r.lengths[1] = 1000;
    return r;
}

static void replace(char** text, const char* by) {
    uf_free(*text);
    assert_ok(uf_strdup(text, by));
}

static UfStore* open_new(const char* name) {
    UfStore* store;
    assert_ok(uf_store_open(&store, in_folder(name), true));
    return store;
}

static UfStoreRows rows_of(UfStore* store, const char* where) {
    UfStoreRows rows;
    assert_ok(uf_store_rows(store, &where, where ? 1 : 0, &rows));
    return rows;
}

static int count_rows(UfStore* store, const char* where) {
    UfStoreRows rows = rows_of(store, where);
    int count = rows.count;
    uf_store_rows_free(&rows);
    return count;
}

static void assert_same_row(const UfStoreRow* a, const UfStoreRow* b) {
    assert_string_equal(a->algorithm, b->algorithm);
    assert_string_equal(a->dataset, b->dataset);
    assert_string_equal(a->dataset_hash, b->dataset_hash);
    assert_string_equal(a->env, b->env);
    assert_string_equal(a->config, b->config);
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->dataset_rows, b->dataset_rows);
    assert_int_equal(a->seed, b->seed);
    assert_int_equal(a->num_updates, b->num_updates);
    assert_true(a->seconds == b->seconds);
    assert_int_equal(a->num_episodes, b->num_episodes);
    size_t n = (size_t)a->num_episodes;
    assert_memory_equal(a->returns, b->returns, n * sizeof(double));
    assert_memory_equal(a->scores, b->scores, n * sizeof(double));
    assert_memory_equal(a->lengths, b->lengths, n * sizeof(int32_t));
}

static void test_twice_is_one_row(void** state) {
    (void)state;
    UfStore* store = open_new("twice/deep/store.sqlite");
    UfStoreRow row = make_row("iql", 0.001, 3);
    assert_ok(uf_store_put(store, &row));
    assert_ok(uf_store_put(store, &row));
    uf_free(row.config);
    row.config = config_json(0.001, "elsewhere/other.hdf5", 8);  // the hash stands for the file
    replace(&row.source, "runs/y");
    assert_ok(uf_store_put(store, &row));
    UfStoreRows rows = rows_of(store, NULL);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.rows[0].source, "runs/y");
    uf_free(row.config);
    row.config = strdup(rows.rows[0].config);  // as it was put first
    assert_same_row(&rows.rows[0], &row);
    assert_int_equal(strlen(rows.rows[0].added), 19);
    uf_store_rows_free(&rows);

    row.seed = 4;
    assert_ok(uf_store_put(store, &row));
    replace(&row.version, "1.2.4");
    assert_ok(uf_store_put(store, &row));
    replace(&row.dataset_hash, "another");
    assert_ok(uf_store_put(store, &row));
    assert_int_equal(count_rows(store, NULL), 4);
    uf_store_close(store);
    uf_store_row_free(&row);
}

static void test_failures(void** state) {
    (void)state;
    UfStore* store = open_new("failures.sqlite");
    UfStoreRow row = make_row("iql", 0.001, 0);
    row.scores[1] = NAN;
    assert_int_equal(uf_store_put(store, &row), UF_ERR_NONFINITE);
    assert_error("runs/x: score 1 of 2 is not finite");
    row.scores[1] = 1;
    row.returns[0] = INFINITY;
    assert_int_equal(uf_store_put(store, &row), UF_ERR_NONFINITE);
    assert_error("runs/x: return 0 of 2 is not finite");
    assert_int_equal(count_rows(store, NULL), 0);

    row.returns[0] = 1;
    row.num_episodes = 0;
    replace(&row.message, "it broke");
    replace(&row.env, "");  // not known yet
    UfStoreRow done = make_row("iql", 0.001, 0);
    assert_ok(uf_store_put(store, &row));
    assert_int_equal(count_rows(store, "status=failed"), 1);
    replace(&row.version, "9");
    assert_ok(uf_store_put(store, &row));  // of the same run: takes its place
    assert_int_equal(count_rows(store, "status=failed"), 1);
    assert_ok(uf_store_put(store, &done));
    assert_int_equal(count_rows(store, NULL), 1);
    assert_int_equal(count_rows(store, "status=done"), 1);
    replace(&row.version, "1.2.3");
    assert_ok(uf_store_put(store, &row));  // a failure takes no result's place
    UfStoreRows rows = rows_of(store, NULL);
    assert_int_equal(rows.count, 1);
    assert_same_row(&rows.rows[0], &done);
    uf_store_rows_free(&rows);
    uf_store_close(store);
    uf_store_row_free(&row);
    uf_store_row_free(&done);
}

enum { WRITERS = 4, EACH = 25 };

// Each makes the store if it is the first, and half of what they write is the same.
static void write_many(const char* path, int writer) {
    UfStore* store;
    if (uf_store_open(&store, path, true) != UF_OK) _exit(1);
    for (int i = 0; i < EACH; i++) {
        UfStoreRow row = make_row("iql", 0.001, i % 2 ? 1000 + i : writer * EACH + i);
        UfStatus status = uf_store_put(store, &row);
        uf_store_row_free(&row);
        if (status != UF_OK) _exit(2);
    }
    uf_store_close(store);
    _exit(0);
}

static void test_writers_at_once(void** state) {
    (void)state;
    const char* path = in_folder("many.sqlite");
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (!writers[i]) write_many(path, i);
        assert_true(writers[i] > 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    UfStore* store;
    assert_ok(uf_store_open(&store, path, false));
    assert_int_equal(count_rows(store, NULL), WRITERS * (EACH + 1) / 2 + EACH / 2);
    for (int i = 0; i < WRITERS; i++) {
        char where[32];
        snprintf(where, sizeof where, "seed=%d", i * EACH + 24);
        assert_int_equal(count_rows(store, where), 1);
    }
    uf_store_close(store);
}

static void test_conditions(void** state) {
    (void)state;
    UfStore* store = open_new("where.sqlite");
    UfStoreRows rows;
    for (int i = 0; i < 6; i++) {
        UfStoreRow row = make_row(i % 2 ? "iql" : "bc", i < 3 ? 0.001 : 0.0003, i);
        assert_ok(uf_store_put(store, &row));
        uf_store_row_free(&row);
    }
    assert_int_equal(count_rows(store, "algorithm=iql"), 3);
    assert_int_equal(count_rows(store, "lr=1e-3"), 3);  // compared as numbers
    assert_int_equal(count_rows(store, "lr=0.00030"), 3);
    assert_int_equal(count_rows(store, "lr=0.5"), 0);
    assert_int_equal(count_rows(store, "actor_ln=true"), 6);
    assert_int_equal(count_rows(store, "aggregate_q=min"), 6);
    assert_int_equal(count_rows(store, "dataset=hopper-medium-v2"), 6);
    const char* const both[] = {"algorithm=iql", "lr=0.001"};
    assert_ok(uf_store_rows(store, both, 2, &rows));
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].seed, 1);
    uf_store_rows_free(&rows);
    static const char* const wrong[][2] = {{"algoritm=iql", "did you mean 'algorithm'?"},
                                           {"lr=fast", "lr: fast is not a number"},
                                           {"=3", "expected name=value"},
                                           {"lr", "expected name=value"}};
    for (size_t i = 0; i < 4; i++) {
        assert_true(uf_store_rows(store, &wrong[i][0], 1, &rows) != UF_OK);
        assert_error(wrong[i][1]);
        assert_int_equal(rows.count, 0);
    }
    uf_store_close(store);
}

static void test_bad_stores(void** state) {
    (void)state;
    UfStore* store;
    assert_int_equal(uf_store_open(&store, in_folder("nowhere.sqlite"), false), UF_ERR_IO);
    assert_error("nowhere.sqlite: cannot open the result store");
    assert_null(store);
    assert_ok(uf_write_file(in_folder("text"), "this is no database, but it is long enough to be one", 52));
    assert_int_equal(uf_store_open(&store, in_folder("text"), true), UF_ERR_FORMAT);
    assert_error("text: is not a result store");
    assert_ok(uf_write_file(in_folder("empty"), "", 0));
    assert_int_equal(uf_store_open(&store, in_folder("empty"), false), UF_ERR_FORMAT);
    assert_error("is empty");
    assert_int_equal(uf_store_open(&store, folder, true), UF_ERR_IO);

    UfScoreTable table = {0};
    store = open_new("nothing.sqlite");
    uf_store_close(store);
    assert_int_equal(uf_results_add_scores(&table, in_folder("nothing.sqlite")), UF_ERR_ARGUMENT);
    assert_error("nothing.sqlite: holds no evaluated policy");
    uf_scores_free(&table);

    // A store cut short is refused when it is read.
    char* data;
    size_t size;
    store = open_new("cut.sqlite");
    UfStoreRow row = make_row("iql", 0.001, 0);
    assert_ok(uf_store_put(store, &row));
    uf_store_close(store);
    uf_store_row_free(&row);
    assert_ok(uf_read_file(in_folder("cut.sqlite"), &data, &size));
    assert_ok(uf_write_file(in_folder("cut.sqlite"), data, size / 2));
    uf_free(data);
    UfStatus status = uf_store_open(&store, in_folder("cut.sqlite"), false);
    UfStoreRows rows = {0};
    if (status == UF_OK) status = uf_store_rows(store, NULL, 0, &rows);
    assert_int_equal(status, UF_ERR_FORMAT);
    uf_store_close(store);
}

static void test_round_trip(void** state) {
    (void)state;
    UfStore *store = open_new("out.sqlite"), *again = open_new("back.sqlite");
    UfImportCounts counts;
    int written;
    for (int i = 0; i < 3; i++) {
        UfStoreRow row = make_row(i ? "td3_awr" : "bc", 0.001, i);
        if (i == 2) replace(&row.dataset, "my_own_set");  // underscores: the name alone would not do
        assert_ok(uf_store_put(store, &row));
        uf_store_row_free(&row);
    }
    UfStoreRow failed = make_row("bc", 0.1, 9);
    replace(&failed.message, "it broke");
    failed.num_episodes = 0;
    assert_ok(uf_store_put(store, &failed));
    uf_store_row_free(&failed);
    UfStoreRows rows = rows_of(store, NULL), back;
    assert_ok(uf_results_npz(&rows, in_folder("npz"), &written));
    assert_int_equal(written, 3);
    const char* path = in_folder("npz");
    assert_ok(uf_results_import(again, &path, 1, &counts));
    assert_int_equal(counts.num_stored, 3);
    assert_ok(uf_results_import(again, &path, 1, &counts));
    back = rows_of(again, NULL);
    assert_int_equal(back.count, 3);
    for (int i = 0, k = 0; i < rows.count; i++) {
        if (rows.rows[i].message[0]) continue;
        assert_same_row(&rows.rows[i], &back.rows[k]);
        assert_string_equal(rows.rows[i].key, back.rows[k++].key);
    }
    uf_store_rows_free(&rows);
    uf_store_rows_free(&back);
    uf_store_close(store);
    uf_store_close(again);
}

static void test_reference_files(void** state) {
    (void)state;
    static const char* const paths[] = {"tests/data/results"};
    static const char mark[] = "/tmp/unifloral-unpickled";  // what unpickling args would leave behind
    unlink(mark);
    UfStore* store = open_new("reference.sqlite");
    UfImportCounts counts;
    assert_ok(uf_results_import(store, paths, 1, &counts));
    assert_ok(uf_results_import(store, paths, 1, &counts));
    assert_int_equal(counts.num_stored, 2);
    UfStoreRows rows = rows_of(store, NULL);
    assert_int_equal(rows.count, 2);
    const UfStoreRow *rebrac = &rows.rows[0], *awr = &rows.rows[1];
    assert_string_equal(awr->algorithm, "td3_awr");
    assert_string_equal(awr->dataset, "hopper-medium-v2");
    assert_string_equal(awr->added, "2025-04-20 12:34:56");
    assert_string_equal(rebrac->algorithm, "rebrac");
    assert_string_equal(rebrac->dataset, "pen-human-v1");
    assert_int_equal(awr->num_episodes, 24);
    assert_int_equal(rebrac->num_episodes, 16);
    for (int i = 0; i < 24; i++) {
        assert_true(awr->scores[i] == i);
        assert_true(awr->returns[i] == i * 30 - 20);
    }
    assert_int_equal(access(mark, F_OK), -1);
    uf_store_rows_free(&rows);
    uf_store_close(store);
}

static void test_bad_imports(void** state) {
    (void)state;
    static const char good[] = "tests/data/results/rebrac_pen-human-v1_2025-04-21_01-02-03.npz";
    UfStore* store = open_new("bad.sqlite");
    UfImportCounts counts;
    double nan[2] = {1, NAN}, three[3] = {1, 2, 3};
    char* data;
    size_t size;
    UfNpyData with_nan[] = {{"final_returns", "<f8", 8, 2, {1, 2}, nan}},
              unequal[] = {{"final_returns", "<f8", 8, 1, {3}, three},
                           {"final_scores", "<f8", 8, 1, {2}, three}},
              none[] = {{"returns", "<f8", 8, 1, {3}, three}};
    assert_ok(uf_npz_write(in_folder("bc_pen-human-v1_2025-04-21_01-02-03.npz"), with_nan, 1));
    assert_ok(uf_npz_write(in_folder("bc_pen-human-v1_2025-04-21_01-02-04.npz"), unequal, 2));
    assert_ok(uf_npz_write(in_folder("bc_pen-human-v1_2025-04-21_01-02-05.npz"), none, 1));
    assert_ok(uf_npz_write(in_folder("bc_pen-human-v1.npz"), unequal, 1));
    assert_ok(uf_read_file(good, &data, &size));
    assert_ok(uf_write_file(in_folder("bc_cut-v1_2025-04-21_01-02-05.npz"), data, size / 2));
    uf_free(data);
    const struct {
        const char *path, *said;
    } cases[] = {
        {"bc_pen-human-v1_2025-04-21_01-02-04.npz", "'final_scores' has 2 numbers, 'final_returns' 3"},
        {"bc_pen-human-v1_2025-04-21_01-02-05.npz", "there is no array 'final_returns'"},
        {"bc_pen-human-v1.npz", "expected <algorithm>_<dataset>_<YYYY"},
        {"bc_cut-v1_2025-04-21_01-02-05.npz", "is the file complete?"},
        {"nowhere", "holds no run and no .npz file"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char* paths[] = {in_folder(cases[i].path), good};  // the other is stored all the same
        assert_true(uf_results_import(store, paths, 2, &counts) != UF_OK);
        assert_error(cases[i].said);
        assert_int_equal(counts.num_refused, 1);
        assert_int_equal(counts.num_stored, 1);
    }
    const char* path = in_folder("bc_pen-human-v1_2025-04-21_01-02-03.npz");
    assert_ok(uf_results_import(store, &path, 1, &counts));
    assert_int_equal(counts.num_failed, 1);
    UfStoreRows rows = rows_of(store, "status=failed");
    assert_int_equal(rows.count, 1);
    assert_non_null(strstr(rows.rows[0].message, "return 1 of 2 is not finite"));
    uf_store_rows_free(&rows);
    uf_store_close(store);
}

static void test_run_folders(void** state) {
    (void)state;
    UfStore* store = open_new("runs.sqlite");
    UfStoreRow row;
    UfH5 h5;
    int64_t n = 3;
    int32_t lengths[3] = {10, 20, 30};
    double returns[3] = {1, 2.5, -3};
    bool failed;
    char* json = config_json(0.25, "data/pendulum-medium.hdf5", 1);
    assert_ok(uf_make_folder(in_folder("runs/a")));
    assert_int_equal(uf_results_put_run(store, in_folder("runs/a"), NULL, &failed), UF_ERR_ARGUMENT);
    assert_error("has no final.h5");
    assert_ok(uf_h5_create(&h5, in_folder("runs/a/final.h5")));
    assert_ok(uf_h5_write_string(&h5, "/", "config", json));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "unifloral-result"));
    assert_ok(uf_h5_write_string(&h5, "/", "version", "0.9"));
    assert_ok(uf_h5_write_string(&h5, "/", "dataset_hash", HASH));
    assert_ok(uf_h5_write_string(&h5, "/", "env", "Pendulum-v1"));
    assert_ok(uf_h5_write_integer(&h5, "/", "seed", 5));
    assert_ok(uf_h5_write_integer(&h5, "/", "num_updates", 77));
    assert_ok(uf_h5_write(&h5, "returns", UF_H5_DOUBLE, returns, 1, &n, 0, false));
    assert_ok(uf_h5_write(&h5, "lengths", UF_H5_INT32, lengths, 1, &n, 0, false));
    assert_ok(uf_h5_close(&h5));
    static const char log[] =
        "{\"update\": 50, \"seconds\": 1.5}\n{\"update\": 77, \"seconds\": 2.5}\n{\"upd";
    assert_ok(uf_write_file(in_folder("runs/a/log.jsonl"), log, sizeof log - 1));
    assert_ok(uf_results_put_run(store, in_folder("runs/a"), &row, &failed));
    assert_false(failed);
    assert_string_equal(row.dataset, "pendulum-medium");
    uf_store_row_free(&row);
    UfStoreRows rows = rows_of(store, "lr=0.25");
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].seed, 5);
    assert_int_equal(rows.rows[0].num_updates, 77);
    assert_true(rows.rows[0].seconds == 2.5);
    assert_null(rows.rows[0].scores);  // the environment has none
    assert_memory_equal(rows.rows[0].returns, returns, sizeof returns);
    assert_memory_equal(rows.rows[0].lengths, lengths, sizeof lengths);
    char *table, *csv;
    size_t size;
    assert_ok(uf_results_table(&rows, &table));
    assert_non_null(strstr(table, "pendulum-medium"));
    assert_ok(uf_results_csv(&rows, in_folder("one.csv")));
    assert_ok(uf_read_file(in_folder("one.csv"), &csv, &size));
    assert_non_null(strstr(csv, ",5,77,3,,,0.166666667,1.6414763,2.5\n"));
    uf_free(table);
    uf_free(csv);
    uf_free(json);
    uf_store_rows_free(&rows);
    uf_store_close(store);
}

// What the bandit protocol gets.
static void test_scores(void** state) {
    (void)state;
    UfStore* store = open_new("scores.sqlite");
    UfScoreTable table = {0};
    for (int i = 4; i >= 0; i--) {
        UfStoreRow row = make_row(i < 3 ? "bc" : "iql", 0.001, i);
        assert_ok(uf_store_put(store, &row));
        uf_store_row_free(&row);
    }
    UfStoreRow failed = make_row("bc", 0.1, 9);
    failed.num_episodes = 0;
    replace(&failed.message, "it broke");
    assert_ok(uf_store_put(store, &failed));
    uf_store_row_free(&failed);
    uf_store_close(store);
    const char* path = in_folder("scores.sqlite");
    assert_ok(uf_results_add_scores(&table, path));
    assert_ok(uf_scores_group(&table));
    assert_int_equal(table.num_scores, 2);
    assert_string_equal(table.scores[0].algorithm, "bc");
    assert_string_equal(table.scores[0].dataset, "hopper-medium-v2");
    assert_int_equal(table.scores[0].num_policies, 3);
    assert_int_equal(table.scores[0].num_rollouts, 2);
    assert_true(table.scores[0].values[3] == 100);
    assert_int_equal(table.scores[1].num_policies, 2);
    assert_non_null(strstr(table.notes.data, "1 policies without final returns"));
    assert_int_equal(uf_results_add_scores(&table, path), UF_ERR_ARGUMENT);  // each policy counts once
    assert_error("given twice");
    uf_scores_free(&table);
}

int main(void) {
#ifdef UF_NO_SQLITE
    UfStore* store;
    if (uf_store_open(&store, "x", true) != UF_ERR_UNSUPPORTED || !strstr(uf_error(), "libsqlite3-dev"))
        return 1;
    printf("SKIP the result store: built without SQLite\nskip store\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_is_one_row), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_writers_at_once),  cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_bad_stores),       cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_reference_files),  cmocka_unit_test(test_bad_imports),
        cmocka_unit_test(test_run_folders),      cmocka_unit_test(test_scores),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
