// test_cuda_errors.c: what a CUDA device can refuse, on the device that is none (host_cuda.h): each is a status with
// a sentence that names it and the remedy, and nothing is left behind.
#include "../support.h"

#include <signal.h>
#include <sys/wait.h>

#include "core/bench/bench.h"
#include "host_cuda.h"
#include "kernels.h"
#include "navix.h"

static UfHostCuda healthy;

static int keep_healthy(void** state) {
    (void)state;
    healthy = uf_host_cuda;
    return 0;
}

static int heal(void** state) {
    (void)state;
    const size_t used = uf_host_cuda.used_bytes;
    uf_host_cuda = healthy;
    return used == 0 ? 0 : -1;  // every test closes what it opens
}

static void expect_refused(const char* precision, UfStatus status, const char* piece, const char* remedy) {
    UfBackend* be = NULL;
    assert_int_equal(uf_backend_open(&be, "cuda", precision, 1), status);
    assert_null(be);
    assert_error(piece);
    assert_error(remedy);
}

static void test_no_driver(void** state) {
    (void)state;
    uf_host_cuda.driver_version = 0;
    expect_refused("fp32", UF_ERR_DEVICE, "no NVIDIA driver", "set device to cpu");
}

static void test_old_driver(void** state) {
    (void)state;
    uf_host_cuda.driver_version = 12040;
    uf_host_cuda.device_count = -1;
    expect_refused("fp32", UF_ERR_DEVICE, "driver is for CUDA 12.4, this program needs 13.0",
                   "update the driver");
}

static void test_no_device(void** state) {
    (void)state;
    uf_host_cuda.device_count = 0;
    expect_refused("fp32", UF_ERR_DEVICE, "shows no GPU", "CUDA_VISIBLE_DEVICES");
}

static void test_old_device(void** state) {
    (void)state;
    uf_host_cuda.compute_major = 7;
    expect_refused("fp32", UF_ERR_DEVICE, "compute capability 7.0", "needs 8.0");
}

static void test_no_blas(void** state) {
    (void)state;
    UfBackend* be = NULL;
    uf_host_cuda.no_blas = true;
    expect_refused("tf32", UF_ERR_DEVICE, "libcublas.so.13 cannot be loaded", "precision to fp32");
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));  // does without
    uf_backend_close(be);
}

// A recorded update holds kernels of cuBLAS: it goes before the library does.
static void test_graph_of_blas(void** state) {
    (void)state;
    UfBackend* be = NULL;
    void* all[3] = {NULL};
    float c = 0;
    const float two = 2, three = 3;
    assert_ok(uf_backend_open(&be, "cuda", "tf32", 1));
    for (int i = 0; i < 3; i++) assert_ok(be->reserve(be, &all[i], sizeof c, "a number"));
    be->upload(be, all[1], &two, sizeof two);
    be->upload(be, all[2], &three, sizeof three);
    be->record(be);
    be->product(be, all[0], all[1], all[2], 1, 1, 1);
    be->end_record(be);
    be->repeat(be);
    be->download(be, &c, all[0], sizeof c);
    assert_ok(be->sync(be));
    assert_true(c == 6);
    for (int i = 0; i < 3; i++) be->release(be, all[i]);
    uf_backend_close(be);
}

static void test_precision(void** state) {
    (void)state;
    expect_refused("fp16", UF_ERR_ARGUMENT, "precision 'fp16'", "expected fp32, tf32 or bf16");
}

// What only who measures sets.
static void test_passes(void** state) {
    (void)state;
    UfBackend* be = NULL;
    static const char* const good[] = {"", "rule", "layers", "16", "32", "64"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", good[i], 1), 0);
        assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
        uf_backend_close(be);
    }
    assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", "whole", 1), 0);
    expect_refused("fp32", UF_ERR_ARGUMENT, "UNIFLORAL_CUDA_PASSES is 'whole'",
                   "expected rule, layers, warpgroups, 2 warpgroups, or 16");
    static const char* const groups[] = {"warpgroups", "2 warpgroups"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", groups[i], 1), 0);
        assert_ok(uf_backend_open(&be, "cuda", "bf16", 1));
        uf_backend_close(be);
        expect_refused("tf32", UF_ERR_ARGUMENT, "warpgroups'", "bf16 and compute capability 9.0");
        uf_host_cuda.compute_major = 8;
        expect_refused("bf16", UF_ERR_ARGUMENT, "warpgroups'", "bf16 and compute capability 9.0");
        uf_host_cuda.compute_major = 9;
    }
    assert_int_equal(unsetenv("UNIFLORAL_CUDA_PASSES"), 0);
}

// The copy of networks that warpgroups read: no room for it, and more of them than are kept.
static void test_announced(void** state) {
    (void)state;
    enum { MANY = 40 };
    UfBackend* be = NULL;
    void* params[MANY];
    const UfMlp mlp = uf_mlp_shape(17, 256, 2, 1, true, 0);
    assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", "warpgroups", 1), 0);
    assert_ok(uf_backend_open(&be, "cuda", "bf16", 1));
    for (int i = 0; i < MANY; i++) {
        assert_ok(be->reserve(be, &params[i], mlp.size * sizeof(real), "parameters"));
        assert_ok(be->announce(be, &mlp, 1, params[i]));
    }
    for (int i = 0; i < MANY; i++) {
        assert_ok(be->announce(be, &mlp, 0, params[i]));
        be->release(be, params[i]);
    }
    assert_ok(be->reserve(be, &params[0], mlp.size * sizeof(real), "parameters"));
    assert_int_equal(be->announce(be, &mlp, 200000, params[0]), UF_ERR_MEMORY);
    assert_error("networks in bf16: ");
    assert_error("lower the population");
    be->release(be, params[0]);
    uf_backend_close(be);
    assert_int_equal(unsetenv("UNIFLORAL_CUDA_PASSES"), 0);
}

static void test_memory(void** state) {
    (void)state;
    UfBackend* be = NULL;
    void* memory = NULL;
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    assert_int_equal(be->reserve(be, &memory, (size_t)40 << 30, "parameters"), UF_ERR_MEMORY);
    assert_error("parameters: 40.00 GiB asked of the device, which has 16.00 of 16.00 GiB free");
    assert_error("lower the population, the widths, or what there is of batch_size");
    const UfMlp wide = uf_mlp_shape(8, 8192, 2, 1, true, 0), wider = uf_mlp_shape(8, 8193, 2, 1, true, 0);
    assert_int_equal(be->plan(be, &wide, 64, 64, 1024), UF_ERR_MEMORY);
    assert_error("scratch");
    assert_int_equal(be->plan(be, &wider, 1, 1, 1), UF_ERR_UNSUPPORTED);
    assert_error("8193 units");
    assert_ok(be->reserve(be, &memory, 1024, "a little"));  // nothing of that sticks
    be->release(be, memory);
    assert_ok(be->sync(be));
    uf_backend_close(be);
    uf_host_cuda.total_bytes = 1 << 20;
    expect_refused("bf16", UF_ERR_MEMORY, "workspace of cuBLAS", "lower");
}

// A network of 3 inputs, 5 units and 2 outputs on the device, all zeros.
typedef struct Net {
    UfMlp mlp;
    UfNets nets;
    void *params, *x, *out;
} Net;

static void make_net(Net* n, UfBackend* be) {
    n->mlp = uf_mlp_shape(3, 5, 1, 2, true, 0);
    assert_ok(be->reserve(be, &n->params, n->mlp.size * sizeof(real), "parameters"));
    assert_ok(be->reserve(be, &n->x, 7 * 3 * sizeof(real), "x"));
    assert_ok(be->reserve(be, &n->out, 7 * 2 * sizeof(real), "out"));
    n->nets = (UfNets){&n->mlp, 1, 1, 1, n->params, false};
}

static void forward(Net* n, UfBackend* be) {
    be->mlp_forward(be, &n->nets, n->out, NULL, (UfInput){n->x, 3, 7}, (UfRows){0, 7, 7});
}

static void free_net(Net* n, UfBackend* be) {
    be->release(be, n->params);
    be->release(be, n->x);
    be->release(be, n->out);
}

static void test_launch(void** state) {
    (void)state;
    UfBackend* be = NULL;
    Net n;
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    make_net(&n, be);
    assert_ok(be->plan(be, &n.mlp, 1, 1, 7));
    forward(&n, be);
    assert_ok(be->sync(be));
    uf_host_cuda.fail_launch = uf_host_cuda.num_launches + 1;  // the second kernel of the pass
    forward(&n, be);
    const int64_t launched = uf_host_cuda.num_launches;
    be->entropy_coef(be, n.out, n.params, 1, 1, n.x);  // later ops do nothing, and the first failure stays
    assert_int_equal(uf_host_cuda.num_launches, launched);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(be->sync(be), UF_ERR_DEVICE);
        assert_error("mlp_forward (population 1, networks 1, rows 7, width 5): unspecified launch failure");
    }
    free_net(&n, be);
    uf_backend_close(be);
}

static void test_fault(void** state) {
    (void)state;
    UfBackend* be = NULL;
    Net n;
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    make_net(&n, be);
    assert_ok(be->plan(be, &n.mlp, 1, 1, 7));
    uf_host_cuda.fail_sync = uf_host_cuda.num_launches + 1;
    forward(&n, be);
    assert_int_equal(be->sync(be), UF_ERR_DEVICE);
    assert_error("mlp_forward (population 1, networks 1, rows 7, width 5): an illegal memory access");
    assert_error("CUDA_LAUNCH_BLOCKING=1");
    free_net(&n, be);
    uf_backend_close(be);
}

// An op whose scratch nobody planned says so instead of writing somewhere.
static void test_no_plan(void** state) {
    (void)state;
    UfBackend* be = NULL;
    Net n;
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    make_net(&n, be);
    forward(&n, be);
    assert_int_equal(be->sync(be), UF_ERR_DEVICE);
    assert_error("were planned");
    free_net(&n, be);
    uf_backend_close(be);
}

// ---- bench ----

typedef struct Lines {
    int measured, refused;
} Lines;

static void count_line(void* user, const char* line) {
    Lines* lines = user;
    lines->measured += strstr(line, "us_per_") != NULL;
    lines->refused +=
        strstr(line, "\"population\": 64, \"error\": \"") && strstr(line, "lower the population");
}

// A population that does not fit is a line that says so; the others are measured, and the end is a failure.
static void test_list_without_room(void** state) {
    (void)state;
    static const char* const presets[] = {"td3_awr", "td3_bc", "iql", "rebrac", "mobrac"};
    char start[1024], name[64];
    UfConfig* config;
    Lines lines = {0, 0};
    assert_int_equal(make_folder(NULL), 0);
    assert_non_null(getcwd(start, sizeof start));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(system("mkdir configs"), 0);
    for (int i = 0; i < 5; i++) {
        const char* text =
            "{\"batch_size\": 16, \"actor_layer_width\": 8, \"critic_layer_width\": 8, \"actor_num_layers\": "
            "1, \"critic_num_layers\": 1}";
        snprintf(name, sizeof name, "configs/%s.json", presets[i]);
        if (i == 4)
            text =
                "{\"batch_size\": 16, \"actor_layer_width\": 8, \"critic_layer_width\": 8, \"model_path\": "
                "\"-\", "
                "\"dataset_sample_ratio\": 0.5, \"rollout_batch_size\": 32, \"layer_size\": 8, "
                "\"rollout_interval\": 1, "
                "\"model_retain_epochs\": 1}";
        assert_ok(uf_write_file(name, text, strlen(text)));
    }
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_set(config, "device", "cuda"));
    assert_ok(uf_config_set(config, "precision", "fp32"));
    const UfBenchOptions options = {
        .config = config, .obs_dim = 3, .action_dim = 1, .num_threads = 1, .num_steps = 1, .num_windows = 5};
    uf_host_cuda.total_bytes = 3700000;  // rows of the dataset take 2.8 MB, 64 members more than the rest
    const UfStatus status = uf_bench_list(&options, count_line, &lines);
    assert_int_equal(chdir(start), 0);
    assert_int_equal(status, UF_ERR_MEMORY);
    assert_error("4 of the populations did not fit");
    assert_int_equal(lines.refused, 4);
    assert_int_equal(lines.measured, 9);
    uf_config_free(config);
    remove_folder(NULL);
}

// More launches than the clock holds are an error, and the clock is gone.
static void test_clock(void** state) {
    (void)state;
    UfBackend* be;
    UfLaunchTimes times = {0};
    void* x;
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    assert_ok(be->reserve(be, &x, 64 * sizeof(real), "x"));
    for (int k = 0; k < 2; k++) {
        assert_ok(be->start_clock(be));
        for (int i = 0; i < (k ? 17000 : 3); i++)
            be->entropy_coef(be, (real*)x + 32, x, 1, 1, (double*)x + 10);
        assert_int_equal(be->stop_clock(be, &times), k ? UF_ERR_UNSUPPORTED : UF_OK);
        if (k) assert_error("more than 16384 launches");
        if (k) continue;
        assert_int_equal(times.num_launches, 3);
        assert_int_equal(times.num_recorded, 0);
        assert_true(times.busy_seconds >= 0 && times.empty_seconds >= 0 && times.empty_seconds < 1);
    }
    assert_ok(be->start_clock(be));  // closed with a clock that runs
    be->release(be, x);
    uf_backend_close(be);
}

// ---- gridworlds ----

static void expect_no_grids(int64_t n, NxObservation observation, UfStatus status, const char* piece) {
    NxBatch* batch = NULL;
    NxOptions options;
    nx_default_options(&options);
    options.device = "cuda";
    options.observation = observation;
    options.autoreset = NX_SAME_STEP;
    assert_int_equal(nx_create(&batch, "MiniGrid-Empty-8x8-v0", n, 0, &options), status);
    assert_null(batch);
    assert_error(piece);
    assert_int_equal(uf_host_cuda.used_bytes, 0);
}

static void test_grids(void** state) {
    (void)state;
    NxBatch* batch;
    NxOptions options;
    nx_default_options(&options);
    options.device = "auto";
    uf_host_cuda.driver_version = 0;
    expect_no_grids(10, NX_OBS_FULL, UF_ERR_DEVICE, "no NVIDIA driver");
    assert_ok(nx_create(&batch, "MiniGrid-Empty-8x8-v0", 3, 0, &options));
    assert_int_equal(nx_on_device(batch), 0);
    nx_free(batch);
    uf_host_cuda = healthy;
    expect_no_grids(0, NX_OBS_FULL, UF_ERR_ARGUMENT, "0 environments; expected at least 1");
    uf_host_cuda.total_bytes = 1 << 20;
    expect_no_grids(
        10000, NX_OBS_FULL, UF_ERR_MEMORY,
        "MiniGrid-Empty-8x8-v0: 10000 environments need 0.00128 GB for their state; the device has");
    assert_error("lower the number of environments");
    // each of the arrays of pictures, one after another
    for (size_t total = 1 << 18; total < 8 << 20; total += 1 << 18) {
        uf_host_cuda.total_bytes = total;
        if (nx_create(&batch, "MiniGrid-Empty-8x8-v0", 2000, 0,
                      &(NxOptions){.see_through_walls = -1, .device = "cuda", .observation = NX_OBS_RGB}) ==
            UF_OK) {
            void* array;
            assert_int_equal(nx_reserve(batch, &array, 1 << 30), UF_ERR_MEMORY);
            assert_error("lower the number of environments");
            assert_null(array);
            nx_free(batch);
            assert_true(total > 1 << 20);
        } else {
            assert_error("lower the number of environments");
            assert_true(total < 4 << 20);
        }
        assert_int_equal(uf_host_cuda.used_bytes, 0);
    }
    uf_host_cuda = healthy;
    // a launch that fails is heard of when somebody waits, and then for good
    options.device = "cuda";
    assert_ok(nx_create(&batch, "MiniGrid-Empty-8x8-v0", 3, 0, &options));
    uf_host_cuda.fail_launch = uf_host_cuda.num_launches;
    assert_ok(nx_reset(batch, &(NxOutput){0}));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nx_sync(batch), UF_ERR_DEVICE);
        assert_error("reset gridworlds");
    }
    nx_free(batch);
    uf_host_cuda.fail_launch = uf_host_cuda.num_launches + 1;  // the first is a trial
    expect_no_grids(10, NX_OBS_FULL, UF_ERR_DEVICE, "gridworlds");
}

// The signal that ends a process which reads one byte, or writes it.   0: none
static int signal_of(uint8_t* at, bool write) {
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        volatile uint8_t* byte = at;
        signal(SIGSEGV, SIG_DFL);
        if (write) *byte = 1;
        _exit(*byte == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

// What a GPU does not allow the program to do is not allowed here either: at either end of what was reserved, with work
// that is still to be done and after it, and in what was given back.
static void test_device_memory(void** state) {
    (void)state;
    enum { BYTES = 3000000 };
    UfBackend* be = NULL;
    void *first, *second;
    uint8_t own = 1, copy = 0;
    if (!uf_host_cuda.closes_memory) skip();
    assert_int_equal(signal_of(&own, true), 0);
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    assert_ok(be->reserve(be, &first, BYTES, "bytes"));
    assert_ok(be->reserve(be, &second, 1, "a byte"));
    be->upload(be, second, &own, 1);
    for (int synced = 0; synced < 2; synced++) {
        for (int write = 0; write < 2; write++) {
            assert_int_equal(signal_of(first, write), SIGSEGV);
            assert_int_equal(signal_of((uint8_t*)first + BYTES - 1, write), SIGSEGV);
            assert_int_equal(signal_of(second, write), SIGSEGV);
        }
        be->download(be, &copy, second, 1);
        assert_ok(be->sync(be));
        assert_int_equal(copy, 1);
    }
    be->release(be, first);
    be->release(be, second);
    assert_int_equal(signal_of(first, false), SIGSEGV);
    uf_backend_close(be);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, NULL, heal)
    const struct CMUnitTest tests[] = {
        TEST(test_no_driver),  TEST(test_old_driver),    TEST(test_no_device),
        TEST(test_old_device), TEST(test_no_blas),       TEST(test_graph_of_blas),
        TEST(test_precision),  TEST(test_memory),        TEST(test_launch),
        TEST(test_fault),      TEST(test_no_plan),       TEST(test_list_without_room),
        TEST(test_clock),      TEST(test_announced),     TEST(test_passes),
        TEST(test_grids),      TEST(test_device_memory),
    };
    return cmocka_run_group_tests_name("cuda errors", tests, keep_healthy, NULL);
}
