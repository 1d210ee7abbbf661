// test_report.c: the page of many runs against the files of those runs.
#include "support.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config.h"
#include "core/data/dataset.h"
#include "core/data/h5.h"
#include "core/results/report.h"
#include "core/runs/run.h"

// ---- datasets, runs, pages ----

static const char* make_dataset(const char* name, int64_t rows, int obs_dim, int action_dim) {
    const char* path = in_folder(name);
    if (access(path, F_OK) == 0) return path;
    float *obs, *actions, *rewards;
    uint8_t *terminals, *timeouts;
    assert_ok(UF_ALLOC(&obs, rows * obs_dim, "test"));
    assert_ok(UF_ALLOC(&actions, rows * action_dim, "test"));
    assert_ok(UF_ALLOC(&rewards, rows, "test"));
    assert_ok(UF_ALLOC(&terminals, rows, "test"));
    assert_ok(UF_ALLOC(&timeouts, rows, "test"));
    for (int64_t i = 0; i < rows * obs_dim; i++) obs[i] = (float)(i % 97) / 97;
    for (int64_t i = 0; i < rows * action_dim; i++) actions[i] = (float)(i % 13) / 13 - 0.5f;
    for (int64_t i = 0; i < rows; i++) {
        rewards[i] = (float)(i % 7);
        timeouts[i] = i % 200 == 199;
    }
    UfDatasetWriter writer = {.num_rows = rows,
                              .obs_dim = obs_dim,
                              .action_dim = action_dim,
                              .observations = obs,
                              .actions = actions,
                              .rewards = rewards,
                              .terminals = terminals,
                              .timeouts = timeouts};
    assert_ok(uf_dataset_write(path, &writer));
    uf_free(obs);
    uf_free(actions);
    uf_free(rewards);
    uf_free(terminals);
    uf_free(timeouts);
    return path;
}

// Two updates of a tiny network in FOLDER/name; a run that is there is kept.
static const char* make_run(const char* name, const char* dataset, const char* algorithm, int64_t seed,
                            int64_t episodes) {
    const char* path = in_folder(name);
    UfConfig* c;
    UfRunResult result;
    if (access(path, F_OK) == 0) return path;
    assert_ok(uf_config_create(&c));
    snprintf(c->dataset, sizeof c->dataset, "%s", dataset);
    snprintf(c->algorithm, sizeof c->algorithm, "%s", algorithm);
    c->seed = seed;
    c->batch_size = 8;
    c->actor_layer_width = c->critic_layer_width = 8;
    c->actor_num_layers = c->critic_num_layers = 1;
    c->num_updates = c->eval_interval = 2;
    c->eval_workers = 1;
    c->eval_final_episodes = episodes;
    c->num_threads = 1;
    UfRunOptions run = {.config = c, .out = path};
    assert_ok(uf_run_train(&run, &result));
    uf_config_free(c);
    return path;
}

static const char* pendulum(void) { return make_dataset("pendulum-test.hdf5", 1000, 3, 1); }

static UfReportCounts counts;

static UfStatus report(const char* const* folders, int count, const char* csv) {
    UfReportOptions options = {
        .folders = folders, .num_folders = count, .output = in_folder("page.md"), .csv = csv};
    unlink(options.output);
    return uf_report(&options, &counts);
}

static char* read_text(const char* name) {
    char* text;
    size_t bytes;
    assert_ok(uf_read_file(in_folder(name), &text, &bytes));
    return text;
}

static void assert_has(const char* text, const char* piece) {
    if (!strstr(text, piece)) fail_msg("'%s' is not in:\n%s", piece, text);
}

static void assert_lacks(const char* text, const char* piece) {
    if (strstr(text, piece)) fail_msg("'%s' is in:\n%s", piece, text);
}

// The mean over the episodes that final.h5 lists, not the attribute that the report reads.
static double mean_score(const char* run) {
    UfH5 h5;
    UfH5Shape shape;
    char path[256];
    double scores[64], sum = 0;
    snprintf(path, sizeof path, "%s/final.h5", run);
    assert_ok(uf_h5_open(&h5, path));
    assert_ok(uf_h5_shape(&h5, "scores", &shape));
    assert_ok(uf_h5_read(&h5, "scores", UF_H5_DOUBLE, scores, shape.count));
    uf_h5_close(&h5);
    for (int64_t i = 0; i < shape.count; i++) sum += scores[i] / (double)shape.count;
    return sum;
}

// ---- figures ----

static void mean_and_error_over_seeds(void** state) {
    (void)state;
    const char* runs[3];
    double x[3], mean = 0, squares = 0;
    for (int s = 0; s < 3; s++) {
        char name[32];
        snprintf(name, sizeof name, "three/bc_%d", s);
        runs[s] = make_run(name, pendulum(), "bc", s, 5);
        x[s] = mean_score(runs[s]);
        mean += x[s] / 3;
    }
    for (int s = 0; s < 3; s++) squares += (x[s] - mean) * (x[s] - mean);
    assert_true(squares > 1);  // seeds differ, or the error proves nothing
    const char* shuffled[] = {runs[2], runs[0], runs[1]};
    assert_ok(report(shuffled, 3, in_folder("page.csv")));
    assert_int_equal(counts.num_results, 3);
    assert_int_equal(counts.num_missing, 0);
    char *page = read_text("page.md"), *csv = read_text("page.csv"), row[128];
    snprintf(row, sizeof row, "| pendulum-test.hdf5 | bc | %.1f ± %.1f | 3 | 2 |\n", mean,
             sqrt(squares / 2 / 3));
    assert_has(page, row);
    for (int s = 0; s < 3; s++) {
        snprintf(row, sizeof row, "\n| bc | %d | %.1f ± ", s, x[s]);
        assert_has(page, row);
        snprintf(row, sizeof row, ",%d,2,5,%.6g", s, x[s]);
        row[strlen(row) - 1] = 0;  // its last digit may be rounded
        assert_has(csv, row);
    }
    assert_has(page, "| 5 of Pendulum-v1 | 2 | 0:0");
    assert_lacks(page, "published");
    assert_lacks(page, "Missing");
    uf_free(page);
    uf_free(csv);
}

static void a_folder_stands_for_its_runs(void** state) {
    (void)state;
    const char* runs[] = {make_run("tree/set/bc_0", pendulum(), "bc", 0, 3),
                          make_run("tree/set/iql_0", pendulum(), "iql", 0, 3)};
    const char* tree[] = {in_folder("tree")};
    assert_ok(report(runs, 2, NULL));
    char* given = read_text("page.md");
    assert_ok(report(tree, 1, NULL));
    char* found = read_text("page.md");
    assert_string_equal(given, found);
    uf_free(given);
    uf_free(found);
}

// Runs that differ in more than the seed are not averaged.
static void other_settings_are_another_row(void** state) {
    (void)state;
    const char* runs[] = {make_run("rows/a", pendulum(), "bc", 0, 3),
                          make_run("rows/b", pendulum(), "bc", 1, 4)};
    assert_ok(report(runs, 2, NULL));
    char *page = read_text("page.md"), row[128];
    for (int i = 0; i < 2; i++) {
        snprintf(row, sizeof row, "| pendulum-test.hdf5 | bc | %.1f | 1 | 2 |\n", mean_score(runs[i]));
        assert_has(page, row);
    }
    assert_has(page, "--set eval_final_episodes=3 ");
    assert_has(page, "--set eval_final_episodes=4 ");
    uf_free(page);
}

// Runs of no preset have their own config.json in the command, and share a row all the same.
static void settings_of_no_preset(void** state) {
    (void)state;
    const char* runs[] = {make_run("own/0", pendulum(), "of my own", 0, 3),
                          make_run("own/1", pendulum(), "of my own", 1, 3)};
    char* page;
    assert_ok(report(runs, 2, NULL));
    page = read_text("page.md");
    assert_has(page, "| of my own | ");
    assert_has(page, " | 2 | 2 |\n");
    assert_has(page, "own/0/config.json --dataset ");
    assert_lacks(page, "own/1/config.json");
    uf_free(page);
}

static void a_run_without_evaluation(void** state) {
    (void)state;
    const char* runs[] = {make_run("plain_0", make_dataset("plain.hdf5", 500, 4, 2), "bc", 0, 3)};
    assert_ok(report(runs, 1, NULL));
    char* page = read_text("page.md");
    assert_has(page, "| plain.hdf5 | bc | not evaluated | 1 | 2 |\n");
    assert_has(page, "| bc | 0 |  |  | none | 2 |");
    uf_free(page);
}

// ---- published figures ----

static void published_beside_a_real_file(void** state) {
    (void)state;
    const char* data = make_dataset("halfcheetah_medium_replay-v2.hdf5", 202000, 17, 6);
    const char* runs[] = {make_run("real/bc_0", data, "bc", 0, 2),
                          make_run("real/td3_awr_0", data, "td3_awr", 0, 2)};
    assert_ok(report(runs, 2, NULL));
    char* page = read_text("page.md");
    assert_has(page, "| 1 | 2 | CORL 35.7 ± 2.3 |\n");
    assert_has(page, "| 1 | 2 |  |\n");  // nobody published TD3-AWR on it
    assert_has(page, "D4RL's halfcheetah-medium-replay-v2 by its name and its 202000 rows.");
    assert_has(page, " mopo 72.1 ± 3.8 (OfflineRL-Kit),");
    assert_has(page, " rebrac 51.0 ± 0.8 (ReBRAC's authors),");
    assert_lacks(page, " bc 35.7");  // stands in the summary
    assert_has(page, "(https://github.com/corl-team/CORL)");
    uf_free(page);
}

static void not_beside_a_file_of_that_name(void** state) {
    (void)state;
    const char* runs[] = {make_run("small_0", make_dataset("hopper-medium-v2.hdf5", 600, 11, 3), "bc", 0, 2)};
    assert_ok(report(runs, 1, NULL));
    char* page = read_text("page.md");
    assert_has(page,
               "Called after D4RL's hopper-medium-v2, which has 1000000 rows; this file has 600: no "
               "published figures.");
    assert_lacks(page, "CORL");
    uf_free(page);
}

// The averages that CORL prints below its columns find slips in ours; they are rounded to 0.01.
static void corl_columns_have_their_averages(void** state) {
    (void)state;
    typedef struct Row {
        const char* set;
        double score[7];
    } Row;
#define UF_D4RL_SET(name, rows, file)
#define UF_PUBLISHED_SOURCE(id, name, url)
#define UF_PUBLISHED(source, set, algorithm, score, spread)
#define UF_KIT(...)
#define UF_CORL(set, bc, a, td3_bc, b, cql, c, iql, d, rebrac, e, sac_n, f, edac, g) \
    {set, {bc, td3_bc, cql, iql, rebrac, sac_n, edac}},
    static const Row rows[] = {
#include "core/results/published.def"
    };
    static const struct {
        int first, count;
        double mean[7];
    } blocks[] = {{0, 9, {50.40, 76.45, 78.28, 81.63, 89.74, 83.52, 92.92}},
                  {9, 3, {1.13, 61.99, 33.65, 46.23, 96.77, 141.32, 82.64}},
                  {12, 6, {17.21, 19.33, 50.71, 57.17, 78.42, 0, 0}},
                  {18, 12, {48.18, 10.40, 1.53, 53.43, 59.39, 12.43, 18.78}}};
    assert_int_equal(sizeof rows / sizeof rows[0], 30);
    for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
        for (int k = 0; k < 7; k++) {
            double mean = 0;
            for (int i = 0; i < blocks[b].count; i++)
                mean += rows[blocks[b].first + i].score[k] / blocks[b].count;
            if (fabs(mean - blocks[b].mean[k]) > 0.0101)
                fail_msg("from %s, column %d: mean %g, CORL says %g", rows[blocks[b].first].set, k, mean,
                         blocks[b].mean[k]);
        }
    }
}

// ---- what is not there ----

static void no_results_is_an_error(void** state) {
    (void)state;
    const char* nothing[] = {in_folder("nowhere")};
    assert_int_equal(report(nothing, 1, NULL), UF_ERR_ARGUMENT);
    assert_error("nowhere: no result to report (is not there)");
    mkdir(in_folder("hollow"), 0777);
    nothing[0] = in_folder("hollow");
    assert_int_equal(report(nothing, 1, NULL), UF_ERR_ARGUMENT);
    assert_error("hollow: no result to report (holds no run)");
    assert_int_not_equal(access(in_folder("page.md"), F_OK), 0);
}

static void missing_runs_are_said(void** state) {
    (void)state;
    const char* runs[] = {make_run("some/bc_0", pendulum(), "bc", 0, 3),
                          make_run("some/bc_1", pendulum(), "bc", 1, 3), in_folder("some/bc_2")};
    unlink(in_folder("some/bc_1/final.h5"));
    assert_ok(report(runs, 3, NULL));
    assert_int_equal(counts.num_results, 1);
    assert_int_equal(counts.num_missing, 2);
    char* page = read_text("page.md");
    assert_has(page, "some/bc_1`: not finished: its log ends at update 2 of 2\n");
    assert_has(page, "some/bc_2`: is not there\n");
    uf_free(page);
}

static void a_broken_result_is_one_sentence(void** state) {
    (void)state;
    const char* runs[] = {make_run("broken/bc_0", pendulum(), "bc", 0, 3),
                          make_run("broken/bc_1", pendulum(), "bc", 1, 3)};
    char* data;
    size_t bytes;
    assert_ok(uf_read_file(in_folder("broken/bc_0/final.h5"), &data, &bytes));
    assert_ok(uf_write_file(in_folder("broken/bc_0/final.h5"), data, bytes / 2));
    uf_free(data);
    assert_int_equal(report(runs, 1, NULL), UF_ERR_FORMAT);  // nothing else: no page
    assert_error("broken/bc_0/final.h5: ");
    assert_int_not_equal(access(in_folder("page.md"), F_OK), 0);
    assert_int_equal(report(runs, 2, NULL), UF_ERR_FORMAT);
    assert_error("broken/bc_0/final.h5: ");
    assert_null(strchr(uf_error(), '\n'));
    assert_int_equal(counts.num_results, 1);
    assert_int_equal(counts.num_missing, 1);
    char* page = read_text("page.md");
    assert_has(page, "\n| bc | 1 | ");
    assert_has(page, "broken/bc_0`: ");
    uf_free(page);
}

static void another_file_is_no_result(void** state) {
    (void)state;
    const char* runs[] = {make_run("swapped_0", pendulum(), "bc", 0, 3)};
    assert_int_equal(rename(in_folder("swapped_0/checkpoint.h5"), in_folder("swapped_0/final.h5")), 0);
    assert_int_equal(report(runs, 1, NULL), UF_ERR_FORMAT);
    assert_error("swapped_0/final.h5: is not the result of a run");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_error_over_seeds),       cmocka_unit_test(a_folder_stands_for_its_runs),
        cmocka_unit_test(other_settings_are_another_row),  cmocka_unit_test(settings_of_no_preset),
        cmocka_unit_test(a_run_without_evaluation),        cmocka_unit_test(published_beside_a_real_file),
        cmocka_unit_test(not_beside_a_file_of_that_name),  cmocka_unit_test(corl_columns_have_their_averages),
        cmocka_unit_test(no_results_is_an_error),          cmocka_unit_test(missing_runs_are_said),
        cmocka_unit_test(a_broken_result_is_one_sentence), cmocka_unit_test(another_file_is_no_result),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
