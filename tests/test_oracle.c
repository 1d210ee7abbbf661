// test_oracle.c: recorded updates are reproduced, and a recording with a changed value is not.
#include "support.h"
#include "h5_change.h"

#include <dirent.h>
#include <math.h>

#include "../core/h5.h"
#include "../core/replay.h"
#include "../core/replay_rollout.h"
#include "../core/verify.h"

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
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
