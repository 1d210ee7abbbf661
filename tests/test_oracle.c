// test_oracle.c: recorded updates are reproduced, and a recording with a changed value is not.
#include "support.h"
#include "h5_change.h"

#include <dirent.h>
#include <math.h>

#include "core/data/h5.h"
#include "core/philox.h"
#include "core/verify/replay.h"
#include "core/verify/replay_rollout.h"
#include "core/verify/verify.h"

// ---- replay ----

typedef void FileCheck(const char* path);

// Runs check on every update_*.h5 of a folder; the number of files.
static int each_recording(const char* folder, FileCheck* check) {
    struct dirent** entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort), seen = 0;
    for (int i = 0; i < count; i++) {
        const char* ending = strrchr(entries[i]->d_name, '.');
        if (strncmp(entries[i]->d_name, "update_", 7) == 0 && ending && strcmp(ending, ".h5") == 0) {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            check(path);
            seen++;
        }
        free(entries[i]);
    }
    free(entries);
    return seen;
}

static void check_passes(const char* path) {
    char* report = NULL;
    bool passed = false;
    if (uf_verify(path, &report, &passed) != UF_OK) fail_msg("%s", uf_error());
    if (!passed) fail_msg("%s", report);
    uf_free(report);
}

// In double precision only the recording's own rounding is left: initial parameters are stored as float32,
// which moves values of order 1 by 3e-8, and Adam can enlarge that a few times. A recording whose initial
// values are exact agrees far closer.
static void check_double(const char* path) {
    UfReplay replay;
    if (uf_replay_update_double(path, (UfMove){0, 0}, &replay) != UF_OK) fail_msg("%s", uf_error());
    for (int i = 0; i < replay.num_tensors; i++)
        if (!(replay.tensors[i].max_error < 3e-7))
            fail_msg("%s: %s, step %d: error %g in double", path, replay.tensors[i].tensor,
                     replay.tensors[i].step, replay.tensors[i].max_error);
    uf_replay_free(&replay);
}

static void test_recordings_pass(void** state) {
    (void)state;
    assert_in_range(each_recording("tests/data", check_passes), 10, 1000);
}

static void test_recordings_pass_in_double(void** state) {
    (void)state;
    assert_in_range(each_recording("tests/data", check_double), 10, 1000);
}

static void test_shared_recordings_pass(void** state) {
    (void)state;
    if (each_recording("../shared/oracle/unifloral", check_passes) == 0) {
        print_message("SKIP test_shared_recordings_pass: ../shared/oracle/unifloral not there\n");
        skip();
    }
}

// ---- rollouts ----

static const char* const recorded_model = "../shared/oracle/dynamics.h5";

static double relative(UfReplayedNumbers n) { return n.max_error / (1 + n.max_value); }

static bool rollout_agrees(const char* path) {
    UfReplayRollout r;
    if (uf_replay_rollout_double(path, &r) != UF_OK) fail_msg("%s", uf_error());
    return r.num_wrong_done == 0 && relative(r.next_obs) < 1e-12 && relative(r.reward) < 1e-12 &&
           relative(r.disagreement) < 1e-12;
}

// Sums of 24 products in float32, five deep, are off by some 1e-6 of their size; the recording is exact in
// double.
static void test_rollout(void** state) {
    (void)state;
    UfReplayRollout single;
    if (access(recorded_model, R_OK) != 0) {
        print_message("SKIP test_rollout: %s not there\n", recorded_model);
        skip();
    }
    if (uf_replay_rollout(recorded_model, "cpu", NULL, &single) != UF_OK) fail_msg("%s", uf_error());
    assert_int_equal(single.num_rows, 64);
    assert_int_equal(single.num_wrong_done, 0);
    assert_true(relative(single.next_obs) < 1e-5 && relative(single.reward) < 1e-5);
    assert_true(relative(single.disagreement) < 1e-5);
    assert_true(rollout_agrees(recorded_model));
}

// ---- changed recordings ----

static void copy_file(const char* from, const char* to) {
    char* data = NULL;
    size_t bytes = 0;
    assert_int_equal(uf_read_file(from, &data, &bytes), UF_OK);
    assert_int_equal(uf_write_file(to, data, bytes), UF_OK);
    uf_free(data);
}

static void change_element(const char* path, const char* name, int64_t index, double change) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    alter(file, name, index, change);
    H5Fclose(file);
}

static bool passes(const char* path) {
    char* report = NULL;
    bool passed = false;
    if (uf_verify(path, &report, &passed) != UF_OK) fail_msg("%s", uf_error());
    uf_free(report);
    return passed;
}

// One changed element of any network's expected values is found, in either step, and so is NaN.
static void test_changed_values_fail(void** state) {
    (void)state;
    static const struct {
        const char *file, *dataset;
    } cases[] = {
        {"td3_awr", "step0/after/actor/hidden/1/kernel"},
        {"td3_awr", "step1/after/actor/mean/bias"},
        {"td3_awr", "step1/after/critic/hidden/0/scale"},
        {"td3_awr", "step0/after/critic_target/out/kernel"},
        {"td3_awr", "step0/after/actor_target/mean/kernel"},
        {"td3_awr", "step1/after/value/hidden/2/shift"},
        {"td3_awr", "step1/losses/actor_loss"},
        {"edac", "step0/losses/diversity_loss"},
        {"cql", "step0/after/log_alpha"},
        {"cql", "step1/after/critic/out/bias"},
        {"iql", "step1/after/actor/log_std_param"},
        {"edac_layernorm", "step1/after/critic/hidden/2/kernel"},
    };
    char path[256], source[256];
    snprintf(path, sizeof path, "%s/changed.h5", folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 2; k++) {
            snprintf(source, sizeof source, "tests/data/update_%s.h5", cases[i].file);
            copy_file(source, path);
            change_element(path, cases[i].dataset, 5,
                           k == 1                               ? NAN
                           : strstr(cases[i].dataset, "losses") ? 0.1
                                                                : 2e-5);
            if (passes(path)) fail_msg("%s: a change of %s went unnoticed", cases[i].file, cases[i].dataset);
        }
}

static void delete_link(const char* path, const char* name) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0 && H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    H5Fclose(file);
}

static void test_changed_rollouts(void** state) {
    (void)state;
    static const char* const numbers[] = {
        "rollout/obs",    "rollout/action",           "rollout/noise",    "rollout/next_obs",
        "rollout/reward", "rollout/max_disagreement", "after/min_logvar", "after/max_logvar",
        "after/out/bias", "after/hidden/2/bias"};
    static const char* const missing[] = {"rollout/elite", "rollout/done", "elites", "after/hidden/1/bias"};
    const char* path = in_folder("rollout.h5");
    UfReplayRollout r;
    if (access(recorded_model, R_OK) != 0) {
        print_message("SKIP test_changed_rollouts: %s not there\n", recorded_model);
        skip();
    }
    int64_t elites[5];
    UfH5 h5;
    assert_int_equal(uf_h5_open(&h5, recorded_model), UF_OK);
    assert_int_equal(uf_h5_read(&h5, "elites", UF_H5_INT64, elites, 5), UF_OK);
    uf_h5_close(&h5);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        // an element of a network that is an elite
        const int64_t at = strstr(numbers[i], "bias") ? elites[0] * 24 : 0;
        const double change = strstr(numbers[i], "hidden") ? 10 : 1e-3;  // enough to wake a unit
        copy_file(recorded_model, path);
        change_element(path, numbers[i], at, change);
        if (rollout_agrees(path)) fail_msg("a change of %s went unnoticed", numbers[i]);
    }
    copy_file(recorded_model, path);
    delete_link(path, "rollout/done");
    const uint8_t none[64] = {0};
    h5.file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_int_equal(uf_h5_write(&h5, "rollout/done", UF_H5_UINT8, none, 1, (int64_t[]){64}, 0, true), UF_OK);
    uf_h5_close(&h5);
    assert_int_equal(uf_replay_rollout(path, "cpu", NULL, &r), UF_OK);
    assert_in_range(r.num_wrong_done, 1, 63);  // some rows of the recording end, some do not
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        copy_file(recorded_model, path);
        delete_link(path, missing[i]);
        assert_int_equal(uf_replay_rollout(path, "cpu", NULL, &r), UF_ERR_FORMAT);
        assert_error(missing[i]);
    }
    copy_file(recorded_model, path);
    change_element(path, "rollout/elite", 2, 5);
    assert_int_equal(uf_replay_rollout(path, "cpu", NULL, &r), UF_ERR_FORMAT);
    assert_error("rollout/elite");
}

// The program says so by its exit status.
static void test_exit_status(void** state) {
    (void)state;
    const char *path = in_folder("status.h5"),
               *program = getenv("UNIFLORAL") ? getenv("UNIFLORAL") : "./unifloral";
    char command[512];
    copy_file("tests/data/update_bc.h5", path);
    snprintf(command, sizeof command, "%s verify tests/data/update_bc.h5 %s >/dev/null", program, path);
    assert_int_equal(WEXITSTATUS(system(command)), 0);
    change_element(path, "step1/after/actor/mean/bias", 0, 1e-3);
    assert_int_equal(WEXITSTATUS(system(command)), 1);
}

// A changed input moves many expected values.
static void test_changed_inputs_fail(void** state) {
    (void)state;
    static const char* const datasets[] = {"step0/batch/reward",    "step0/batch/next_action",
                                           "step1/batch/obs",       "step0/batch/done",
                                           "step0/noise/smoothing", "init/critic_target/hidden/0/kernel"};
    const char* path = in_folder("input.h5");
    for (size_t i = 0; i < sizeof datasets / sizeof *datasets; i++) {
        copy_file("tests/data/update_td3_awr.h5", path);
        change_element(path, datasets[i], 3, 0.5);
        if (passes(path)) fail_msg("a change of %s went unnoticed", datasets[i]);
    }
}

// ---- files that cannot be checked ----

static void expect_error(const char* path, const char* piece) {
    char* report = NULL;
    bool passed = true;
    assert_int_not_equal(uf_verify(path, &report, &passed), UF_OK);
    assert_null(report);
    assert_false(passed);
    if (!strstr(uf_error(), piece)) fail_msg("'%s' does not say '%s'", uf_error(), piece);
    assert_null(strchr(uf_error(), '\n'));
}

static void test_bad_recordings(void** state) {
    (void)state;
    static const char* const missing[] = {"step1/after/critic/hidden/1/bias", "step0/noise/next_action",
                                          "init/actor", "norm/std", "step0/batch/done"};
    const char* path = in_folder("bad.h5");
    expect_error("tests/data/none.h5", "none.h5");
    expect_error("unifloral.h", "unifloral.h");
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        copy_file("tests/data/update_sac_n.h5", path);
        delete_link(path, missing[i]);
        expect_error(path, missing[i]);
    }
    copy_file("tests/data/update_sac_n.h5", path);
    delete_link(path, "step0");
    expect_error(path, "step0");
    // A network that the configuration does not have.
    copy_file("tests/data/update_bc.h5", path);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t group = H5Gcreate2(file, "init/value", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
    H5Fclose(file);
    expect_error(path, "value");
    // Cut off.
    char* data = NULL;
    size_t bytes = 0;
    assert_int_equal(uf_read_file("tests/data/update_bc.h5", &data, &bytes), UF_OK);
    assert_int_equal(uf_write_file(path, data, bytes / 2), UF_OK);
    uf_free(data);
    expect_error(path, path);
}

// ---- what rounding may do ----

// A recording of kind bc-inner that rounding leads far: 15 rows, 2 x 8 units of ReLU, so many steps of cloning. Parameters
// are stored as `stored`; `recorder` is what its recorder knew of them: {0, 0} what is stored.
typedef struct Cloned {
    int steps;
    UfH5Type stored;
    UfMove recorder;
    uint64_t seed;
} Cloned;

enum { CLONED_ROWS = 15, CLONED_ACTIONS = 5, CLONED_WIDTH = 8 };

static void write_matrix(const UfH5* h5, const char* name, UfH5Type type, const double* values, int rank,
                         int rows, int columns) {
    float single[256];
    const int64_t dims[2] = {rank == 2 ? rows : columns, columns};
    assert_in_range(rows * columns, 1, 256);
    for (int i = 0; i < rows * columns; i++) single[i] = (float)values[i];
    assert_ok(uf_h5_write(h5, name, type, type == UF_H5_FLOAT ? (const void*)single : values, rank, dims, 0,
                          false));
}

static void write_cloned(const char* path, const Cloned* c) {
    static const int sizes[] = {1, CLONED_WIDTH, CLONED_WIDTH, CLONED_ACTIONS};
    UfRandom random = uf_random(c->seed, UF_STREAM_INIT, 0);
    double values[256], losses[256] = {0};
    char name[64], config[256];
    UfH5 h5;
    assert_ok(uf_h5_create(&h5, path));
    for (int i = 0; i < CLONED_ROWS; i++) values[i] = (double)uf_random_normal(&random);
    write_matrix(&h5, "cloned/states", UF_H5_DOUBLE, values, 2, CLONED_ROWS, 1);
    for (int i = 0; i < CLONED_ROWS * CLONED_ACTIONS; i++)
        values[i] = i % CLONED_ACTIONS == i / CLONED_ACTIONS % CLONED_ACTIONS;
    write_matrix(&h5, "cloned/labels", UF_H5_DOUBLE, values, 2, CLONED_ROWS, CLONED_ACTIONS);
    write_matrix(&h5, "cloned/losses", UF_H5_DOUBLE, losses, 1, 1, c->steps);
    for (int l = 0; l < 3; l++) {
        const int in = sizes[l], out = sizes[l + 1];
        for (int i = 0; i < in * out; i++) values[i] = (double)uf_random_normal(&random) * sqrt(2.0 / in);
        snprintf(name, sizeof name, "cloned/init/net/%d/kernel", l);
        write_matrix(&h5, name, c->stored, values, 2, in, out);
        snprintf(name, sizeof name, "cloned/after/net/%d/kernel", l);
        write_matrix(&h5, name, UF_H5_DOUBLE, values, 2, in, out);
        for (int i = 0; i < out; i++) values[i] = 0;
        snprintf(name, sizeof name, "cloned/init/net/%d/bias", l);
        write_matrix(&h5, name, c->stored, values, 1, 1, out);
        snprintf(name, sizeof name, "cloned/after/net/%d/bias", l);
        write_matrix(&h5, name, UF_H5_DOUBLE, values, 1, 1, out);
    }
    snprintf(
        config, sizeof config,
        "{\"rows\": %d, \"obs_dim\": 1, \"action_dim\": %d, \"steps\": %d, \"loss\": \"ce\", \"activation\": "
        "\"relu\", \"optimizer\": \"adam\", \"lr\": 0.03, \"clip\": 0}",
        CLONED_ROWS, CLONED_ACTIONS, c->steps);
    assert_ok(uf_h5_write_string(&h5, "", "kind", "bc-inner"));
    assert_ok(uf_h5_write_string(&h5, "cloned", "config", config));
    uf_h5_close(&h5);
}

static void overwrite(hid_t file, const char* name, const double* values) {
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(dataset >= 0);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
}

// What the double replay makes of it is what is expected.
static void record_cloned(const char* path, const Cloned* c) {
    UfReplay replay;
    char name[128];
    double losses[256];
    write_cloned(path, c);
    assert_ok(uf_replay_bc_double(path, "cloned", c->recorder, &replay));
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    for (int i = 0; i < replay.num_tensors; i++) {
        const UfReplayed* t = &replay.tensors[i];
        snprintf(name, sizeof name, "cloned/after/%s", t->tensor);
        if (strncmp(t->tensor, "losses/", 7) == 0)
            losses[t->step] = t->ours[0];
        else
            overwrite(file, name, t->ours);
    }
    overwrite(file, "cloned/losses", losses);
    H5Fclose(file);
    uf_replay_free(&replay);
}

static bool cloned_passes(const char* path, bool* spreads) {
    char* report = NULL;
    bool passed = false;
    assert_ok(uf_verify(path, &report, &passed));
    if (spreads) *spreads |= strstr(report, " spreads") != NULL;
    uf_free(report);
    return passed;
}

// Which of them the plain rule refuses depends on the processor's order of sums: some, in which case the report says how
// far they are off, in spreads.
static void test_rounding(void** state) {
    (void)state;
    static const uint64_t seeds[] = {9, 14, 17, 19, 25, 28, 49};
    const char* path = in_folder("cloned.h5");
    bool single = false, exact = false;
    int refused = 0;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        const Cloned right = {250, UF_H5_DOUBLE, {0, 0}, seeds[i]},
                     digits = {250, UF_H5_FLOAT, {0x1p-24, 9}, seeds[i]},
                     claimed = {250, UF_H5_DOUBLE, {0x1p-24, 9}, seeds[i]};
        record_cloned(path, &right);
        if (!cloned_passes(path, &single)) fail_msg("seed %d: rounding is held against it", (int)seeds[i]);
        // parameters that are stored with fewer digits than the recorder had are no fault of the rule
        record_cloned(path, &digits);
        if (!cloned_passes(path, &exact)) fail_msg("seed %d: storage is held against it", (int)seeds[i]);
        // all digits are there, and others come out
        record_cloned(path, &claimed);
        refused += !cloned_passes(path, NULL);
    }
    assert_true(single && exact);
    assert_in_range(refused, 1, 7);
}

// Rounding explains no other number: not one of the parameters, not one of the losses, none that is not finite.
static void test_rounding_explains_no_change(void** state) {
    (void)state;
    static const struct {
        const char* name;
        double change;
    } changes[] = {{"cloned/after/net/1/kernel", 3},
                   {"cloned/after/net/0/bias", -3},
                   {"cloned/losses", 0.1},
                   {"cloned/after/net/2/bias", NAN},
                   {"cloned/after/net/2/kernel", INFINITY},
                   {"cloned/losses", INFINITY}};
    const Cloned right = {250, UF_H5_DOUBLE, {0, 0}, 9}, digits = {250, UF_H5_FLOAT, {0x1p-24, 9}, 19};
    const char* path = in_folder("cloned.h5");
    for (size_t i = 0; i < 2 * sizeof changes / sizeof *changes; i++) {
        record_cloned(path, i % 2 ? &right : &digits);
        alter_file(path, changes[i / 2].name, 3, changes[i / 2].change);
        if (cloned_passes(path, NULL))
            fail_msg("a change of %s by %g went unnoticed", changes[i / 2].name, changes[i / 2].change);
    }
}

// Float32 has seven digits of an advantage, whatever its size.
static void test_large_rewards(void** state) {
    (void)state;
    static const char* const recording = "../shared/oracle/ppo_update.h5";
    enum { ROWS = 128, STEPS = 8 };
    const char* path = in_folder("rewards.h5");
    double values[ROWS], losses[STEPS][4];
    char name[128];
    UfReplay replay;
    UfH5 h5;
    if (!is_there(recording, "test_large_rewards")) skip();
    copy_file(recording, path);
    assert_ok(uf_h5_open(&h5, path));
    assert_ok(uf_h5_read(&h5, "continuous/reward", UF_H5_DOUBLE, values, ROWS));
    uf_h5_close(&h5);
    for (int i = 0; i < ROWS; i++) values[i] *= 1e4;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    overwrite(file, "continuous/reward", values);
    H5Fclose(file);
    assert_ok(uf_replay_ppo_double(path, "continuous", (UfMove){0, 0}, &replay));
    assert_int_equal(replay.num_steps, STEPS);
    file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    for (int i = 0, loss = 0; i < replay.num_tensors; i++) {
        const UfReplayed* t = &replay.tensors[i];
        if (strncmp(t->tensor, "losses/", 7) == 0) {
            losses[loss / 4][loss % 4] = t->ours[0];
            loss++;
            continue;
        }
        snprintf(name, sizeof name, "continuous/%s%s", t->moment ? "after/" : "", t->tensor);
        overwrite(file, name, t->ours);
    }
    overwrite(file, "continuous/losses", losses[0]);
    H5Fclose(file);
    uf_replay_free(&replay);
    check_passes(path);
    change_element(path, "continuous/advantage", 5, 0.5);  // of some 1e4
    assert_false(passes(path));
}

// The recorded curves are those of the recorded weight of exploration.
static void test_exploration(void** state) {
    (void)state;
    const char* path = in_folder("exploration.h5");
    if (!is_there(recorded_model, "test_exploration")) skip();
    copy_file(recorded_model, path);
    set_config(path, "/", "\"ucb_alpha\": 2.0", "\"ucb_alpha\": 20000");
    assert_false(passes(path));
    set_config(path, "/", "\"ucb_alpha\": 20000", "\"ucb_alpha\": -1");
    expect_error(path, "ucb_alpha");
}

// An error after parts that pass is no pass.
static void test_errors_after_passing_parts(void** state) {
    (void)state;
    static const struct {
        const char *recording, *missing;
    } cases[] = {{"bc_inner", "sgd/losses"},
                 {"bc_inner", "continuous/after/log_std"},
                 {"ppo_update", "unnormalised/reward"},
                 {"ppo_update", "continuous/after/log_std"},
                 {"dynamics", "rollout/noise"},
                 {"dynamics", "bandit/stderr_8"}};
    const char *path = in_folder("parts.h5"),
               *program = getenv("UNIFLORAL") ? getenv("UNIFLORAL") : "./unifloral";
    char recording[128], command[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(recording, sizeof recording, "../shared/oracle/%s.h5", cases[i].recording);
        if (!is_there(recording, "test_errors_after_passing_parts")) skip();
        copy_file(recording, path);
        delete_link(path, cases[i].missing);
        expect_error(path, cases[i].missing);
        snprintf(command, sizeof command, "%s verify %s >/dev/null 2>&1", program, path);
        assert_int_equal(WEXITSTATUS(system(command)), 1);
    }
}

// Nor is a tensor of a known network that its configuration does not have.
static void test_unknown_tensor(void** state) {
    (void)state;
    static const char* const names[] = {"init/actor/hidden/2/kernel", "init/critic/hidden/0/scale",
                                        "init/actor/log_std_param"};
    const char* path = in_folder("tensor.h5");
    const double number = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        UfH5 h5 = {0};
        copy_file("tests/data/update_bc.h5", path);
        h5.file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        assert_ok(uf_h5_write(&h5, names[i], UF_H5_DOUBLE, &number, 1, (int64_t[]){1}, 0, false));
        uf_h5_close(&h5);
        expect_error(path, strcmp(names[i], "init/actor/hidden/2/kernel") == 0 ? "actor/hidden/2"
                                                                               : names[i] + strlen("init/"));
    }
}

// A step that is missing before others is not the end.
static void test_missing_step(void** state) {
    (void)state;
    const char* path = in_folder("steps.h5");
    copy_file("tests/data/update_bc.h5", path);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Lmove(file, "step1", file, "step2", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    expect_error(path, "'step1' is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recordings_pass),
        cmocka_unit_test(test_recordings_pass_in_double),
        cmocka_unit_test(test_shared_recordings_pass),
        cmocka_unit_test(test_rollout),
        cmocka_unit_test(test_changed_values_fail),
        cmocka_unit_test(test_changed_rollouts),
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_changed_inputs_fail),
        cmocka_unit_test(test_bad_recordings),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_rounding_explains_no_change),
        cmocka_unit_test(test_large_rewards),
        cmocka_unit_test(test_exploration),
        cmocka_unit_test(test_errors_after_passing_parts),
        cmocka_unit_test(test_unknown_tensor),
        cmocka_unit_test(test_missing_step),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
