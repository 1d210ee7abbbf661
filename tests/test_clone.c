// test_clone.c: recordings of behaviour cloning (kind bc-inner): they pass, changed ones do not, odd ones are one sentence.
// The op itself is in test_kernels.c.
#include "support.h"
#include "h5_change.h"

#include <math.h>

#include "core/bench/bench.h"
#include "core/verify/verify.h"
#include "../kernels.h"

// ---- a recording of our own ----

enum { ROWS = 3, IN = 4, WIDTH = 6, OUT = 2, STEPS = 4 };

static void write_reals(const UfH5* h5, const char* side, const char* name, const real* values, int rows,
                        int columns) {
    char path[100];
    const int64_t matrix[] = {rows, columns}, vector[] = {columns};
    snprintf(path, sizeof path, "one/%s%s", side, name);
    assert_ok(uf_h5_write(h5, path, UF_H5_FLOAT, values, rows ? 2 : 1, rows ? matrix : vector, 0, false));
}

static void write_network(const UfH5* h5, const char* side, const UfMlp* m, const real* w) {
    char name[32];
    for (int l = 0; l <= m->layers; l++) {
        const int in = l ? m->width : m->in, out = l < m->layers ? m->width : m->out;
        snprintf(name, sizeof name, "net/%d/kernel", l);
        write_reals(h5, side, name, w + m->kernel[l], in, out);
        snprintf(name, sizeof name, "net/%d/bias", l);
        write_reals(h5, side, name, w + m->bias[l], 0, out);
    }
    write_reals(h5, side, "log_std", w + m->log_std, 0, m->out);
}

// Of what the op does itself, with `layers` hidden layers.
static void write_recording(const char* path, int layers) {
    const UfCloneNet net = uf_clone_net(NULL, IN, WIDTH, layers, OUT, UF_TANH, false, true);
    real states[ROWS * IN], labels[ROWS * OUT], losses[STEPS];
    real *init = calloc(net.size, sizeof *init), *params = calloc(net.size, sizeof *params);
    assert_true(init && params);
    UfRandom r = uf_random(7, 0, 0);
    for (int i = 0; i < ROWS * IN; i++) states[i] = uf_random_normal(&r);
    for (int i = 0; i < ROWS * OUT; i++) labels[i] = uf_random_normal(&r);
    for (int l = 0; l <= layers; l++)
        uf_fill_lecun_normal(init + net.mlp.kernel[l], (size_t)(l ? WIDTH : IN) * (l < layers ? WIDTH : OUT),
                             l ? WIDTH : IN, &r);
    const UfClone clone = {.net = &net,
                           .sets = 1,
                           .inits = 1,
                           .rows = ROWS,
                           .states = states,
                           .labels = labels,
                           .init = init,
                           .params = params,
                           .loss = UF_CLONE_GAUSSIAN_NLL,
                           .optimizer = UF_CLONE_ADAM,
                           .num_steps = STEPS,
                           .lr = 0.01,
                           .eps = 1e-5,
                           .clip = 0.5,
                           .losses = losses};
    UfBackend* be;
    UfH5 h5;
    char config[300];
    assert_ok(uf_backend_open(&be, "cpu", "fp32", 1));
    assert_ok(be->plan_clone(be, &net, 1, ROWS));
    be->clone(be, &clone);
    uf_backend_close(be);
    snprintf(config, sizeof config,
             "{\"rows\": %d, \"obs_dim\": %d, \"action_dim\": %d, \"steps\": %d, \"loss\": \"gaussian_nll\", "
             "\"activation\": \"tanh\", \"optimizer\": \"adam\", \"lr\": 0.01, \"clip\": 0.5}",
             ROWS, IN, OUT, STEPS);
    assert_ok(uf_h5_create(&h5, path));
    assert_ok(uf_h5_write_string(&h5, "/", "kind", "bc-inner"));
    write_reals(&h5, "", "states", states, ROWS, IN);
    write_reals(&h5, "", "labels", labels, ROWS, OUT);
    write_reals(&h5, "", "losses", losses, 0, STEPS);
    write_network(&h5, "init/", &net.mlp, init);
    write_network(&h5, "after/", &net.mlp, params);
    assert_ok(uf_h5_write_string(&h5, "one", "config", config));
    assert_ok(uf_h5_close(&h5));
    free(init);
    free(params);
}

static bool passes(const char* path, const char* expected_line) {
    char* report;
    bool passed;
    assert_ok(uf_verify_on(path, on_device() ? getenv("UF_TEST_DEVICE") : "cpu", NULL, &report, &passed));
    if (!strstr(report, expected_line)) fail_msg("no '%s' in\n%s", expected_line, report);
    uf_free(report);
    return passed;
}

static void test_own_recordings(void** state) {
    (void)state;
    const char* path = in_folder("own.h5");
    for (int layers = 1; layers <= 3; layers += 2) {
        write_recording(path, layers);
        assert_true(passes(path, "  net            PASS"));
        // Every step moves a parameter by lr at most, so 4e-4 is more than 2e-3 of what four can.
        alter_file(path, "one/after/net/0/kernel", 5, 4e-4);
        assert_false(passes(path, "  net            FAIL"));
    }
    write_recording(path, 2);
    alter_file(path, "one/after/log_std", 1, -4e-4);
    assert_false(passes(path, "  log_std        FAIL"));
    write_recording(path, 2);
    alter_file(path, "one/losses", 2, 0.05);
    assert_false(passes(path, "  losses         FAIL"));
}

// Another rule than the recorded one.
static void test_other_rules(void** state) {
    (void)state;
    static const char* const changes[][2] = {
        {"\"clip\": 0.5", "\"clip\": 0"},
        {"\"lr\": 0.01", "\"lr\": 0.011"},
        {"\"lr\": 0.01", "\"lr\": 0.01, \"eps\": 0.01"},
        {"tanh", "relu"},
        {"adam", "sgd"},
    };
    const char* path = in_folder("rules.h5");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_recording(path, 2);
        set_config(path, "one", changes[i][0], changes[i][1]);
        if (passes(path, "FAIL")) fail_msg("%s instead of %s passed", changes[i][1], changes[i][0]);
    }
}

// A file that is not what it should be is one sentence with the place.
static void test_odd_recordings(void** state) {
    (void)state;
    static const struct {
        const char *from, *to, *removed, *said;
    } cases[] = {
        {"gaussian_nll", "mse", NULL,
         "group 'one': config: loss is 'mse'; expected gaussian_nll, ce or ce_over_actions"},
        {"adam", "lion", NULL, "config: optimizer is 'lion'; expected adam or sgd"},
        {"tanh", "gelu", NULL, "config: activation is 'gelu'; expected relu or tanh"},
        {"\"rows\": 3", "\"rows\": 0", NULL, "config: rows is no whole number from 1 to"},
        {"\"rows\": 3", "\"rows\": 2.5", NULL, "config: rows is no whole number from 1 to"},
        {"\"rows\": 3", "\"rows\": 4", NULL, "'one/states' is not of shape (4, 4)"},
        {"\"obs_dim\": 4", "\"obs_dim\": 5", NULL, "'one/init/net/0/kernel' is not of shape (5, 6)"},
        {"\"action_dim\": 2", "\"action_dim\": 3", NULL, "'one/init/net/2/kernel' is not of shape (6, 3)"},
        {"\"steps\": 4", "\"steps\": 5", NULL, "one/losses"},
        {"\"lr\": 0.01", "\"lr\": -1", NULL, "config: lr is no number from 0 to 1e6"},
        {"\"lr\": 0.01, ", "", NULL, "config: lr is missing"},
        {"\"lr\": 0.01", "\"lr\": 0.01, \"momentum\": 0.9", NULL, "config: 'momentum' is unknown here"},
        {"{", "[", NULL, "attribute 'config' is no JSON object"},
        {NULL, NULL, "one/init/net/1", "init/net has 1 layer(s); expected 2 to 17"},
        {NULL, NULL, "one/after/net/2/bias", "one/after/net/2/bias"},
        {NULL, NULL, "one/init/log_std", "one/init/log_std"},
        {NULL, NULL, "one/labels", "one/labels"},
        {NULL, NULL, "one", "no recorded cloning; expected a group each"},
    };
    const char* path = in_folder("odd.h5");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char* report;
        bool passed;
        write_recording(path, 2);
        if (cases[i].removed) {
            hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
            assert_true(H5Ldelete(file, cases[i].removed, H5P_DEFAULT) >= 0);
            H5Fclose(file);
        } else {
            set_config(path, "one", cases[i].from, cases[i].to);
        }
        if (uf_verify(path, &report, &passed) == UF_OK) fail_msg("case %zu: no error", i);
        assert_error(cases[i].said);
        assert_error(path);
    }
}

// ---- the shared recording ----

static void test_shared_recording(void** state) {
    (void)state;
    static const char recording[] = "../shared/oracle/bc_inner.h5";
    static const struct {
        const char* dataset;
        int64_t index;
        double change;
        const char* found;
    } cases[] = {
        {"continuous/after/log_std", 1, 1e-3, "log_std"}, {"discrete/after/net/1/kernel", 70, 2e-3, "net"},
        {"cross_entropy/labels", 3, 0.5, "losses"},       {"sgd/states", 2, 1, "net"},
        {"sgd/after/net/2/bias", 0, 2e-3, "net"},
    };
    if (access(recording, R_OK) != 0) {
        print_message("SKIP test_shared_recording: %s not there\n", recording);
        skip();
    }
    assert_true(passes(recording, "  25 steps replayed"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64];
        const char* path = copy_in_folder(recording, "changed.h5");
        alter_file(path, cases[i].dataset, cases[i].index, cases[i].change);
        snprintf(line, sizeof line, "  %-14s FAIL", cases[i].found);
        if (passes(path, line)) fail_msg("%s was changed, and verify passed", cases[i].dataset);
    }
}

// ---- bench ----

static void test_bench(void** state) {
    (void)state;
    char* json = NULL;
    const UfCloneBenchOptions options = {.num_threads = 1, .num_networks = 2, .num_windows = 5};
    assert_ok(uf_bench_clone(&options, &json));
    assert_non_null(strstr(json, "\"us_per_step\""));
    uf_free(json);
    const UfCloneBenchOptions none = {.num_threads = 1, .num_networks = 0, .num_windows = 5};
    assert_int_equal(uf_bench_clone(&none, &json), UF_ERR_ARGUMENT);
    assert_error("networks 0");
    assert_null(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_recordings), cmocka_unit_test(test_other_rules),
        cmocka_unit_test(test_odd_recordings), cmocka_unit_test(test_shared_recording),
        cmocka_unit_test(test_bench),
    };
    return cmocka_run_group_tests_name("clone", tests, make_folder, remove_folder);
}
