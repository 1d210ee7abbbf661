// test_memory.c: reading a dataset of 1,000,000 rows of 17 observations and training on it stays below 1.3
// times its float32 arrays plus 200 MB of resident memory.
#include "support.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "core/data/dataset.h"
#include "core/philox.h"

enum { ROWS = 1000000, OBS = 17, ACT = 6 };

// Peak resident bytes of a command; fails the test if the command fails.
static double peak_bytes(char* const arguments[]) {
    struct rusage usage;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execv(arguments[0], arguments);
        _exit(127);
    }
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) fail_msg("%s %s failed", arguments[0], arguments[1]);
    return 1024.0 * (double)usage.ru_maxrss;
}

static void write_rows(const char* path) {
    UfRandom random = uf_random(1, UF_STREAM_CONTROLLER, 0);
    float *obs = test_malloc((size_t)ROWS * OBS * sizeof(float)),
          *actions = test_malloc((size_t)ROWS * ACT * sizeof(float)),
          *rewards = test_malloc(ROWS * sizeof(float));
    uint8_t *terminals = test_calloc(ROWS, 1), *timeouts = test_calloc(ROWS, 1);
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = (float)(uf_random_u32(&random) & 1023) / 512;
    for (int i = 0; i < ROWS * ACT; i++) actions[i] = (float)(uf_random_u32(&random) & 255) / 128 - 1;
    for (int i = 0; i < ROWS; i++) rewards[i] = obs[i * OBS];
    for (int i = 999; i < ROWS; i += 1000) timeouts[i] = 1;
    const UfDatasetWriter writer = {.num_rows = ROWS,
                                    .obs_dim = OBS,
                                    .action_dim = ACT,
                                    .observations = obs,
                                    .actions = actions,
                                    .rewards = rewards,
                                    .terminals = terminals,
                                    .timeouts = timeouts};
    if (uf_dataset_write(path, &writer) != UF_OK) fail_msg("%s", uf_error());
    test_free(obs);
    test_free(actions);
    test_free(rewards);
    test_free(terminals);
    test_free(timeouts);
}

static void test_resident_memory(void** state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    print_message("SKIP test_resident_memory: the address sanitizer's shadow counts as memory\n");
    skip();
#endif
    char folder[] = "/tmp/uf_memory_XXXXXX", path[64], out[64], command[128];
    char* program = getenv("UNIFLORAL") ? getenv("UNIFLORAL") : "./unifloral";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/rows.hdf5", folder);
    snprintf(out, sizeof out, "%s/run", folder);
    write_rows(path);
    const double arrays = 4.0 * ROWS * (OBS + ACT + 1 + 1), limit = 1.3 * arrays + 200e6;
    char* info[] = {program, "info", path, NULL};
    char* train[] = {program,
                     "train",
                     "configs/td3_awr.json",
                     "--dataset",
                     path,
                     "--set",
                     "num_updates=2",
                     "--out",
                     out,
                     "--threads",
                     "1",
                     "--quiet",
                     NULL};
    const double of_info = peak_bytes(info), of_train = peak_bytes(train);
    print_message("arrays %.0f MB, limit %.0f MB: info %.0f MB, train %.0f MB\n", arrays / 1e6, limit / 1e6,
                  of_info / 1e6, of_train / 1e6);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    assert_true(of_info < limit);
    assert_true(of_train < limit);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resident_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
