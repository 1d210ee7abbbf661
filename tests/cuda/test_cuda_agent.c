// test_cuda_agent.c: agents on a CUDA device beside agents on the CPU. What both promise (resuming, populations, members
// that stop) test_agent and test_model show with UF_TEST_DEVICE=cuda. Without a device every case is skipped.
#include "../support.h"

#include <hdf5.h>
#include <math.h>

#include "core/agents/agent.h"
#include "core/agents/dynamics.h"  // UfModel
#include "core/data/h5.h"
#include "core/data/loaded.h"
#include "core/runs/online.h"
#include "core/verify/verify.h"
#include "../same_member.h"
#ifdef UF_HOST_CUDA
#include "../cuda_host/host_cuda.h"
#endif

enum { OBS = 5, ACT = 2, ROWS = 600 };

// One for each family of terms. A single critic update with a small rate: Adam's division would enlarge rounding.
static const char* const families[] = {
    "{\"use_awr\": true, \"awr_temperature\": 3}",
    "{\"deterministic\": false, \"use_tanh_mean\": false, \"use_entropy_loss\": true, "
    "\"actor_entropy_coef\": 1,"
    " \"critic_entropy_coef\": 1, \"num_critics\": 5, \"diversity_coef\": 1, \"use_target_actor\": false}",
    "{\"deterministic\": false, \"use_log_std_param\": true, \"num_critics\": 3, \"cql_min_q_weight\": 5,"
    " \"critic_ln\": false}",
    "{\"use_awr\": true, \"use_value_target\": true, \"aggregate_q\": \"first\", \"batch_size\": 300}",
    "{\"dataset_sample_ratio\": 0.3, \"rollout_batch_size\": 700, \"rollout_length\": 2, \"model_path\": "
    "\"-\"}",
};
enum { NUM_FAMILIES = sizeof families / sizeof *families };

static UfDataset* data;

static int setup(void** state) {
    static float obs[ROWS * OBS], actions[ROWS * ACT], rewards[ROWS];
    static uint8_t terminals[ROWS];
    UfRandom random = uf_random(7, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS * ACT; i++) actions[i] = (float)uf_random_uniform(&random, -1, 1);
    for (int i = 0; i < ROWS; i++) rewards[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS; i++) terminals[i] = i % 50 == 49;
    const UfArrays arrays = {.num_rows = ROWS,
                             .obs_dim = OBS,
                             .action_dim = ACT,
                             .observations = obs,
                             .actions = actions,
                             .rewards = rewards,
                             .terminals = terminals};
    assert_ok(uf_dataset_from_arrays(&data, &arrays));
    return make_folder(state);
}

static int teardown(void** state) {
    uf_dataset_free(data);
    return remove_folder(state);
}

static void need_device_of(const char* precision) {
    UfBackend* be = NULL;
    if (uf_backend_open(&be, "cuda", precision, 1) != UF_OK) {
        print_message("SKIP %s\n", uf_error());
        unsetenv("UNIFLORAL_CUDA_PASSES");
        skip();
    }
    uf_backend_close(be);
}

static void need_device(void) { need_device_of("fp32"); }

static UfConfig* config_on(int family, const char* device) {
    UfConfig* config = NULL;
    assert_ok(uf_config_create(&config));
    assert_ok(uf_config_parse(
        config,
        "{\"batch_size\": 64, \"actor_layer_width\": 37, \"critic_layer_width\": 24, "
        "\"actor_num_layers\": 2, \"critic_num_layers\": 2, \"num_updates\": 100, \"lr\": 1e-6, "
        "\"actor_lr\": 1e-6, \"num_critic_updates_per_step\": 1, \"precision\": \"fp32\"}",
        "small"));
    assert_ok(uf_config_parse(config, families[family], "family"));
    assert_ok(uf_config_set(config, "device", device));
    return config;
}

// Three networks with small random weights, so that rollouts stay finite.
static void give_model(UfAgent* agent, int width) {
    UfModel m = {.obs_dim = OBS, .action_dim = ACT, .num_networks = 3, .min_reward = -1, .discrepancy = 1};
    UfRandom random = uf_random(9, UF_STREAM_CONTROLLER, 0);
    m.mlp = uf_mlp_shape(OBS + ACT, width, 2, 2 * (OBS + 1), false, 0);
    snprintf(m.termination, sizeof m.termination, "never");
    const size_t count = 3 * m.mlp.size;
    m.params = test_malloc(count * sizeof(real));
    m.bounds = test_malloc(2 * (OBS + 1) * sizeof(real));
    for (size_t i = 0; i < count; i++) m.params[i] = 0.1f * uf_random_normal(&random);
    for (int d = 0; d <= OBS; d++) {
        m.bounds[d] = 0.5f;
        m.bounds[OBS + 1 + d] = -10;
    }
    assert_ok(uf_agent_set_model(agent, &m));
    test_free(m.params);
    test_free(m.bounds);
}

static UfAgent* bare_agent(const UfConfig* config, int model_width) {
    UfAgent* agent = NULL;
    real norm[2 * OBS];
    for (int i = 0; i < OBS; i++) {
        norm[i] = data->obs_mean[i];
        norm[OBS + i] = data->obs_std[i];
    }
    assert_ok(uf_agent_create_bare(&agent, &config, 1, OBS, ACT, norm, norm + OBS, 1));
    if (config->dataset_sample_ratio < 1) give_model(agent, model_width);
    return agent;
}

static UfAgent* agent_on(int family, const char* device, int64_t updates) {
    UfConfig* config = config_on(family, device);
    UfAgent* agent = bare_agent(config, 20);
    assert_ok(uf_train(agent, data, updates, NULL, NULL));
    uf_config_free(config);
    return agent;
}

// Gradients (Adam's first moment is a tenth of them) agree within the rounding of a pass: 1e-4 of a tensor's largest,
// which is what LayerNorm over 24 units makes of float's. Normal numbers differ by their last bits.
static void compare_gradients(UfAgent* a, UfAgent* b, int family) {
    for (int i = 0; i < uf_agent_num_tensors(a); i++) {
        const UfTensor* t = uf_agent_tensor(a, i);
        const size_t count = uf_tensor_count(t);
        if (t->is_target) continue;
        real *x = test_malloc(count * sizeof(real)), *y = test_malloc(count * sizeof(real)), largest = 0;
        assert_ok(uf_agent_get_tensor(a, t, UF_TENSOR_ADAM_M, 0, x));
        assert_ok(uf_agent_get_tensor(b, t, UF_TENSOR_ADAM_M, 0, y));
        for (size_t k = 0; k < count; k++) largest = (real)fmax(largest, fabs(x[k]));
        for (size_t k = 0; k < count; k++)
            if (!(fabs(x[k] - y[k]) <= 1e-4 * largest))
                fail_msg("family %d, %s[%zu]: %g on the CPU, %g on the device, the largest is %g", family,
                         t->name, k, (double)x[k], (double)y[k], (double)largest);
        test_free(x);
        test_free(y);
    }
}

static void compare_metrics(UfAgent* a, UfAgent* b, int family) {
    const char* const* names;
    const double *x, *y;
    int count;
    assert_ok(uf_agent_metrics(a, 0, &count, &names, &x));
    assert_ok(uf_agent_metrics(b, 0, &count, &names, &y));
    for (int i = 0; i < count; i++)
        if (!(fabs(x[i] - y[i]) <= 1e-5 + 1e-4 * fabs(x[i])))
            fail_msg("family %d, %s: %g on the CPU, %g on the device", family, names[i], x[i], y[i]);
}

static void test_first_update(void** state) {
    (void)state;
    need_device();
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfAgent *cpu = agent_on(f, "cpu", 1), *cuda = agent_on(f, "cuda", 1);
        assert_string_equal(uf_agent_backend(cuda)->name, "cuda");
        compare_gradients(cpu, cuda, f);
        compare_metrics(cpu, cuda, f);
        uf_agent_free(cpu);
        uf_agent_free(cuda);
    }
}

static void test_repeats(void** state) {
    (void)state;
    need_device();
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfAgent *one = agent_on(f, "cuda", 4), *other = agent_on(f, "cuda", 4);
        assert_same_member(one, 0, other, 0);
        uf_agent_free(one);
        uf_agent_free(other);
    }
}

// A recorded update that is repeated does what updates that are launched one by one do: an agent that is saved and
// loaded after each never repeats one. A learning rate that falls and two critic updates are counted along.
static void test_recorded_updates(void** state) {
    (void)state;
    const char* path = in_folder("steps.h5");
    need_device();
    for (int f = 0; f < NUM_FAMILIES - 1; f++) {  // the last has a model, which no file holds
        UfConfig* config = config_on(f, "cuda");
        UfAgent *straight = NULL, *stepwise = NULL;
        assert_ok(uf_config_parse(config,
                                  "{\"lr_schedule\": \"cosine\", \"num_updates\": 9, \"lr\": 1e-3, "
                                  "\"num_critic_updates_per_step\": 2}",
                                  "schedule"));
        assert_ok(uf_agent_create(&straight, config, data, 1));
        assert_ok(uf_agent_create(&stepwise, config, data, 1));
        assert_ok(uf_train(straight, data, 8, NULL, NULL));
        for (int k = 0; k < 8; k++) {
            assert_ok(uf_train(stepwise, data, 1, NULL, NULL));
            assert_ok(uf_agent_save(stepwise, path));
            uf_agent_free(stepwise);
            assert_ok(uf_agent_load(&stepwise, path, 1));
        }
        assert_same_member(straight, 0, stepwise, 0);
        uf_agent_free(straight);
        uf_agent_free(stepwise);
        uf_config_free(config);
    }
}

// However many rows of a tile passes over networks take: the same bits, op by op and recorded.
static void test_cuts(void** state) {
    (void)state;
    static const char* const cuts[] = {"rule", "16", "32", "64"};
    enum { NUM_CUTS = sizeof cuts / sizeof *cuts };
    need_device();
    UfAgent* agents[NUM_CUTS] = {0};
    UfConfig* config = config_on(0, "cuda");
    assert_ok(uf_config_parse(config,
                              "{\"actor_layer_width\": 100, \"critic_layer_width\": 72, \"lr\": 1e-3, "
                              "\"precision\": \"tf32\"}",
                              "wider"));
    for (int i = 0; i < NUM_CUTS; i++) {
        assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", cuts[i], 1), 0);
        assert_ok(uf_agent_create(&agents[i], config, data, 1));
        assert_ok(uf_train(agents[i], data, 3, NULL, NULL));
    }
    assert_int_equal(unsetenv("UNIFLORAL_CUDA_PASSES"), 0);
    for (int i = 1; i < NUM_CUTS; i++) assert_same_member(agents[0], 0, agents[i], 0);
    for (int i = 0; i < NUM_CUTS; i++) uf_agent_free(agents[i]);
    uf_config_free(config);
}

// Kernels of warpgroups read a copy of the networks in bf16, which follows the parameters: an agent that comes from a file,
// whose copy is made anew, goes on with the same bits; and with the numbers of the other kernels, but for rounding.
static void test_warpgroups(void** state) {
    (void)state;
    enum { RULE, WARPGROUPS, LOADED, NUM_AGENTS };
    const char* path = in_folder("warpgroups.h5");
    assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", "warpgroups", 1), 0);
    need_device_of("bf16");
    // With LayerNorm, critics without, with a model.
    for (int family = 0; family < NUM_FAMILIES; family += 2) {
        UfAgent* agents[NUM_AGENTS] = {0};
        UfConfig* config = config_on(family, "cuda");
        assert_ok(uf_config_parse(config,
                                  "{\"actor_layer_width\": 132, \"critic_layer_width\": 136, \"lr\": 1e-3, "
                                  "\"actor_lr\": 1e-3, \"polyak_step_size\": 0.5, \"precision\": \"bf16\"}",
                                  "wide"));
        const int num_agents =
            config->dataset_sample_ratio < 1 ? LOADED : NUM_AGENTS;  // no file holds a model
        for (int i = 0; i < num_agents; i++) {
            assert_int_equal(setenv("UNIFLORAL_CUDA_PASSES", i == RULE ? "rule" : "warpgroups", 1), 0);
            if (i == LOADED) {
                assert_ok(uf_agent_load(&agents[i], path, 1));
            } else {
                agents[i] = bare_agent(config, 140);
                assert_ok(uf_train(agents[i], data, 2, NULL, NULL));
            }
            if (i == WARPGROUPS && num_agents > LOADED) assert_ok(uf_agent_save(agents[i], path));
            uf_agent_clear_metrics(agents[i]);
            assert_ok(uf_train(agents[i], data, 1, NULL, NULL));
        }
        assert_int_equal(unsetenv("UNIFLORAL_CUDA_PASSES"), 0);
        if (num_agents > LOADED) assert_same_member(agents[WARPGROUPS], 0, agents[LOADED], 0);
        const char* const* names;
        const double *x, *y;
        int num_metrics;
        assert_ok(uf_agent_metrics(agents[RULE], 0, &num_metrics, &names, &x));
        assert_ok(uf_agent_metrics(agents[WARPGROUPS], 0, &num_metrics, &names, &y));
        for (int i = 0; i < num_metrics; i++)
            if (!(fabs(x[i] - y[i]) <= 2e-3 * (1 + fabs(x[i]))))
                fail_msg("family %d: %s is %.9g, by the other kernels %.9g", family, names[i], y[i], x[i]);
        for (int i = 0; i < num_agents; i++) uf_agent_free(agents[i]);
        uf_config_free(config);
    }
}

#ifdef UF_HOST_CUDA
static bool has_same_numbers(UfAgent* a, UfAgent* b) {
    const char* const* names;
    const double *x, *y;
    int num_metrics;
    bool same = true;
    for (int i = 0; i < uf_agent_num_tensors(a); i++) {
        const UfTensor* t = uf_agent_tensor(a, i);
        const size_t bytes = uf_tensor_count(t) * sizeof(real);
        real *one = test_malloc(bytes), *other = test_malloc(bytes);
        for (int kind = UF_TENSOR_VALUE; kind <= (t->is_target ? UF_TENSOR_VALUE : UF_TENSOR_ADAM_V);
             kind++) {
            assert_ok(uf_agent_get_tensor(a, t, (UfTensorKind)kind, 0, one));
            assert_ok(uf_agent_get_tensor(b, t, (UfTensorKind)kind, 0, other));
            same = same && memcmp(one, other, bytes) == 0;
        }
        test_free(one);
        test_free(other);
    }
    assert_ok(uf_agent_metrics(a, 0, &num_metrics, &names, &x));
    assert_ok(uf_agent_metrics(b, 0, &num_metrics, &names, &y));
    return same && memcmp(x, y, (size_t)num_metrics * sizeof *x) == 0;
}

// The six orders in which three branches may go ahead of one another, and one by chance.
enum { NUM_TURNS = 7 };

// Races are found in any order, and so is what the address sanitizer looks for.
static int num_turns(void) {
#ifdef __SANITIZE_ADDRESS__
    return 1;
#else
    return uf_host_cuda.finds_races ? 1 : NUM_TURNS;
#endif
}

static void set_turn(int turn) {
    uf_host_cuda.order = turn == NUM_TURNS - 1 ? UF_HOST_SHUFFLED
                         : turn % 2            ? UF_HOST_REVERSE
                                               : UF_HOST_FORWARD;
    uf_host_cuda.held_stream = turn == NUM_TURNS - 1 ? -1 : turn / 2;
}

static void unset_turn(void) {
    uf_host_cuda.order = UF_HOST_FORWARD;
    uf_host_cuda.held_stream = -1;
}

// Branches in any order that they allow give the same bits, op by op and recorded.
static void test_branches(void** state) {
    (void)state;
    for (int f = 0; f < NUM_FAMILIES; f++) {
        UfAgent* forward = agent_on(f, "cuda", 3);
        for (int turn = 0; turn < num_turns(); turn++) {
            set_turn(turn);
            UfAgent* other = agent_on(f, "cuda", 3);
            if (!has_same_numbers(forward, other))
                fail_msg("family %d: turn %d gives other numbers", f, turn);
            uf_agent_free(other);
        }
        unset_turn();
        uf_agent_free(forward);
    }
}

#ifndef __SANITIZE_ADDRESS__  // it takes all orders
// Each wait of a branch for another that is left out shows: in one order or another numbers are others. But for those
// that follow from others: where the targets wait for the new actor, or the critics do (CQL), the branches are a chain.
// Where races are looked for, they are what shows, in any order.
static void test_missing_waits(void** state) {
    (void)state;
    static const int num_implied[NUM_FAMILIES] = {0, 2, 3, 0, 0};
    for (int f = 0; f < NUM_FAMILIES; f++) {
        uf_host_cuda.num_waits = 0;
        UfAgent* right = agent_on(f, "cuda", 1);
        const int64_t num_waits = uf_host_cuda.num_waits;
        int missed = 0;
        assert_true(num_waits >= 5);
        for (int64_t skip = 0; skip < num_waits; skip++) {
            for (int turn = 0, shows = 0; turn < num_turns() && !shows; turn++) {
                set_turn(turn);
                uf_host_cuda.num_waits = 0;
                uf_host_cuda.skip_wait = skip;
                uf_host_cuda.expect_races = true;
                const int64_t num_races = uf_host_cuda.num_races;
                UfAgent* wrong = agent_on(f, "cuda", 1);
                uf_host_cuda.skip_wait = -1;
                const bool same = has_same_numbers(right, wrong);
                uf_agent_free(wrong);
                uf_host_cuda.expect_races = false;
                shows = uf_host_cuda.finds_races ? uf_host_cuda.num_races > num_races : !same;
                missed += shows;
            }
            unset_turn();
        }
        if (missed != num_waits - num_implied[f])
            fail_msg("family %d: %d of %lld waits are missed when they are left out, expected %lld", f,
                     missed, (long long)num_waits, (long long)num_waits - num_implied[f]);
        uf_agent_free(right);
    }
}
#endif
// Launches of a recorded update, which is what an update costs where networks are small; bench/cuda.md has the numbers.
// How many rows a batch has does not change them.
static void test_launches(void** state) {
    (void)state;
    static const struct {
        const char* file;
        int launches, products;
    } presets[] = {{"configs/td3_awr.json", 37, 0}, {"configs/td3_bc.json", 30, 0}};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        UfConfig* config = NULL;
        UfAgent* agent = NULL;
        assert_ok(uf_config_create(&config));
        assert_ok(uf_config_load(config, presets[i].file));
        assert_ok(uf_config_parse(
            config, "{\"batch_size\": 32, \"device\": \"cuda\", \"precision\": \"fp32\"}", "few"));
        assert_ok(uf_agent_create(&agent, config, data, 1));
        assert_ok(uf_train(agent, data, 1, NULL, NULL));
        const int64_t launches = uf_host_cuda.num_launches, products = uf_host_cuda.num_products;
        assert_ok(uf_train(agent, data, 1, NULL, NULL));  // records
        if (uf_host_cuda.num_launches - launches != presets[i].launches ||
            uf_host_cuda.num_products - products != presets[i].products)
            fail_msg("%s: %lld launches and %lld of cuBLAS", presets[i].file,
                     (long long)(uf_host_cuda.num_launches - launches),
                     (long long)(uf_host_cuda.num_products - products));
        uf_agent_free(agent);
        uf_config_free(config);
    }
}
#endif

// A checkpoint of one device goes on on the other, from the same bits; and with its own configuration's device.
static void test_checkpoints_move(void** state) {
    (void)state;
    const char* path = in_folder("moves.h5");
    need_device();
    for (int k = 0; k < 4; k++) {
        const char *from = k % 2 ? "cpu" : "cuda", *to = k % 2 ? "cuda" : "cpu";
        UfAgent *saved = agent_on(k / 2, from, 3), *moved = NULL, *stayed = NULL;
        assert_ok(uf_agent_save(saved, path));
        assert_ok(uf_agent_load_on(&moved, &path, 1, to, NULL, 1));
        assert_ok(uf_agent_load(&stayed, path, 1));
        assert_string_equal(uf_agent_backend(moved)->name, to);
        assert_string_equal(uf_agent_backend(stayed)->name, from);
        assert_same_member(saved, 0, moved, 0);
        compare_metrics(saved, moved, k / 2);
        assert_ok(uf_train(moved, data, 2, NULL, NULL));
        assert_ok(uf_train(stayed, data, 2, NULL, NULL));
        assert_ok(uf_train(saved, data, 2, NULL, NULL));
        assert_same_member(saved, 0, stayed, 0);
        uf_agent_free(saved);
        uf_agent_free(moved);
        uf_agent_free(stayed);
    }
}

// Turns the sign of every number of a dataset in a file.
static void negate(const char* path, const char* name) {
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(set);
    const size_t count = (size_t)H5Sget_simple_extent_npoints(space);
    double* values = test_malloc(count * sizeof *values);
    assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    for (size_t i = 0; i < count; i++) values[i] *= -1;
    assert_true(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    test_free(values);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
}

static void copy_file(const char* from, const char* to) {
    char* bytes;
    size_t num_bytes;
    assert_ok(uf_read_file(from, &bytes, &num_bytes));
    assert_ok(uf_write_file(to, bytes, num_bytes));
    uf_free(bytes);
}

static bool verifies(const char* path, const char* precision) {
    bool passed = false;
    char* report;
    assert_ok(uf_verify_on(path, "cuda", precision, &report, &passed));
    uf_free(report);
    return passed;
}

// A recorded world model in every precision, and with an input of the other sign.
static void test_recorded_model(void** state) {
    (void)state;
    static const char* const recorded = "../shared/oracle/dynamics.h5";
    static const char* const precisions[] = {"fp32", "tf32", "bf16"};
    static const char* const inputs[] = {"train0/target", "train3/obs",     "train0/action",  "rollout/obs",
                                         "rollout/noise", "rollout/action", "predict/logvar", "predict/mse"};
    const char* path = in_folder("wrong_model.h5");
    need_device();
    if (access(recorded, R_OK) != 0) {
        print_message("SKIP test_recorded_model: %s is not there\n", recorded);
        skip();
    }
    for (int k = 0; k < 3; k++) {
        if (!verifies(recorded, precisions[k])) fail_msg("%s in %s", recorded, precisions[k]);
        for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
            copy_file(recorded, path);
            negate(path, inputs[i]);
            if (verifies(path, precisions[k]))
                fail_msg("%s of the other sign went unnoticed in %s", inputs[i], precisions[k]);
        }
    }
}

// The bounds for tensor cores are wide, but a wrong input leaves them: rewards reach critics and through them the actor.
static void test_wrong_recordings(void** state) {
    (void)state;
    static const char* const precisions[] = {"fp32", "tf32", "bf16"};
    static const char* const inputs[] = {"step0/batch/reward", "step0/batch/action", "step0/batch/obs"};
    const char* path = in_folder("wrong.h5");
    need_device();
    for (int i = 0; i < 3; i++) {
        char* report;
        copy_file("tests/data/update_td3_awr.h5", path);
        negate(path, inputs[i]);
        for (int k = 0; k < 3; k++) {
            bool passed = true;
            assert_ok(uf_verify_on(path, "cuda", precisions[k], &report, &passed));
            if (passed)
                fail_msg("%s of the other sign went unnoticed in %s: %s", inputs[i], precisions[k], report);
            uf_free(report);
        }
    }
}

static void write_config(const char* path, const char* json) {
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), type = H5Tcopy(H5T_C_S1);
    const hid_t space = H5Screate(H5S_SCALAR);
    assert_true(H5Tset_size(type, strlen(json) + 1) >= 0 && H5Adelete(file, "config") >= 0);
    const hid_t attribute = H5Acreate2(file, "config", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, json) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    H5Fclose(file);
}

// And so does a term that is wrong on the device alone: a coefficient that the replay in double precision does not have.
static void test_wrong_terms(void** state) {
    (void)state;
    static const char* const precisions[] = {"fp32", "tf32", "bf16"};
    static const struct {
        const char *recording, *name, *value;
    } faults[] = {{"tests/data/update_td3_awr.h5", "actor_bc_coef", "0.6"},
                  {"tests/data/update_td3_awr.h5", "actor_q_coef", "0.5"},
                  {"tests/data/update_td3_awr.h5", "lr", "0.0015"},
                  {"tests/data/update_td3_awr.h5", "value_expectile", "0.6"},
                  {"tests/data/update_td3_awr.h5", "awr_temperature", "30"},
                  {"tests/data/update_td3_awr.h5", "polyak_step_size", "0.01"},
                  {"tests/data/update_td3_awr.h5", "critic_bc_coef", "0.5"},
                  {"tests/data/update_cql.h5", "cql_min_q_weight", "2"},
                  {"tests/data/update_sac_n.h5", "critic_entropy_coef", "0"},
                  {"tests/data/update_sac_n.h5", "actor_entropy_coef", "0"},
                  {"tests/data/update_edac.h5", "diversity_coef", "0.1"},
                  {"tests/data/update_edac_layernorm.h5", "diversity_coef", "0.1"}};
    const char* path = in_folder("wrong_term.h5");
    need_device();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char *bytes, *json, *report, value[64];
        size_t num_bytes;
        UfConfig* config = NULL;
        UfH5 h5;
        assert_ok(uf_read_file(faults[i].recording, &bytes, &num_bytes));
        assert_ok(uf_write_file(path, bytes, num_bytes));
        uf_free(bytes);
        assert_ok(uf_h5_open(&h5, path));
        assert_ok(uf_h5_read_string(&h5, "/", "config", &json));
        uf_h5_close(&h5);
        assert_ok(uf_config_create(&config));
        assert_ok(uf_config_parse(config, json, "recorded"));
        assert_ok(uf_config_get(config, faults[i].name, value, sizeof value));
        assert_ok(uf_config_set(config, faults[i].name, faults[i].value));
        uf_free(json);
        assert_ok(uf_config_json(config, &json));
        write_config(path, json);
        uf_free(json);
        uf_config_free(config);
        for (int k = 0; k < 3; k++) {
            bool passed = true;
            assert_ok(uf_verify_apart(path, faults[i].recording, "cuda", precisions[k], &report, &passed));
            if (passed)
                fail_msg("%s %s for %s went unnoticed in %s: %s", faults[i].name, faults[i].value, value,
                         precisions[k], report);
            uf_free(report);
        }
    }
}

// A policy acts on the host, whatever device it was trained on, and with those parameters.
static void test_policy(void** state) {
    (void)state;
    const char* path = in_folder("policy.h5");
    need_device();
    UfAgent* agent = agent_on(0, "cuda", 3);
    UfPolicy *policy = NULL, *loaded = NULL;
    float x[2][ACT], obs[OBS] = {0.1f, -0.2f, 0.3f, 0, 1};
    assert_ok(uf_agent_save(agent, path));
    assert_ok(uf_policy_create(&policy, agent, 0));
    assert_ok(uf_policy_load(&loaded, path, 0));
    assert_ok(uf_policy_act(policy, x[0], obs, 1, NULL));
    assert_ok(uf_policy_act(loaded, x[1], obs, 1, NULL));
    assert_memory_equal(x[0], x[1], sizeof x[0]);
    uf_policy_free(policy);
    uf_policy_free(loaded);
    uf_agent_free(agent);
}

static void test_auto(void** state) {
    (void)state;
    need_device();
    UfAgent* agent = agent_on(0, "auto", 1);
    assert_string_equal(uf_agent_backend(agent)->name, "cuda");
    uf_agent_free(agent);
#ifdef UF_HOST_CUDA
    uf_host_cuda.driver_version = 0;
    agent = agent_on(0, "auto", 1);
    uf_host_cuda.driver_version = 13000;
    assert_string_equal(uf_agent_backend(agent)->name, "cpu");
    assert_non_null(strstr(uf_agent_backend(agent)->about, "no NVIDIA driver"));
    uf_agent_free(agent);
#endif
}

// ---- online ----

// A dataset that grows: what is on the device is what is on the host, though only what is new is sent, with the last
// record of before, which may go on now.
static void test_growing_copy(void** state) {
    (void)state;
    enum { CAPACITY = 9, STRIDE = 3 + 2 + 3, O = 3 };
    float records[CAPACITY * STRIDE], next_obs[CAPACITY * O], back[CAPACITY * STRIDE];
    UfDataset d = {.obs_dim = O,
                   .action_dim = 2,
                   .stride = STRIDE,
                   .capacity = CAPACITY,
                   .records = records,
                   .next_obs = next_obs};
    UfLoaded copy = {0};
    UfSource source;
    UfBackend* be;
    need_device();
    assert_ok(uf_backend_open(&be, "cuda", "fp32", 1));
    for (int i = 0; i < CAPACITY * STRIDE; i++) records[i] = (float)i;
    for (int i = 0; i < CAPACITY * O; i++) next_obs[i] = (float)-i;
    const float* first = NULL;
    static const int64_t counts[] = {1, 2, 2, 5, 9};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        if (k) records[counts[k - 1] * STRIDE - 1] = -5;  // the last one goes on
        d.num_records = d.num_rows = counts[k];
        if (k > 1 && counts[k] == counts[k - 1]) continue;
        assert_ok(uf_loaded_source(&copy, be, &d, &source));
        assert_int_equal(source.num_rows, counts[k]);
        if (k) assert_ptr_equal(source.records, first);  // what is recorded goes on reading there
        first = source.records;
        be->download(be, back, source.records, (size_t)counts[k] * STRIDE * sizeof(float));
        assert_ok(be->sync(be));
        assert_memory_equal(back, records, (size_t)counts[k] * STRIDE * sizeof(float));
        be->download(be, back, source.next_obs, (size_t)counts[k] * O * sizeof(float));
        assert_ok(be->sync(be));
        assert_memory_equal(back, next_obs, (size_t)counts[k] * O * sizeof(float));
    }
    d.num_records = d.num_rows = 3;  // taken back: anew
    records[0] = 100;
    assert_ok(uf_loaded_source(&copy, be, &d, &source));
    be->download(be, back, source.records, 3 * STRIDE * sizeof(float));
    assert_ok(be->sync(be));
    assert_memory_equal(back, records, 3 * STRIDE * sizeof(float));
    uf_loaded_free(&copy, be);
    uf_backend_close(be);
}

// An online run that is saved on one device and goes on on the other: what was is as it was, and what comes is near what
// the first device would have made of it.
static void test_online_moves(void** state) {
    (void)state;
    const char *agent_path = in_folder("online.h5"), *buffer_path = in_folder("online.hdf5");
    need_device();
    for (int k = 0; k < 2; k++) {
        const char *from = k ? "cpu" : "cuda", *to = k ? "cuda" : "cpu";
        UfConfig* c = config_on(0, from);
        UfOnline *straight, *moved;
        UfAgent *a, *b;
        assert_ok(uf_config_parse(
            c,
            "{\"online\": true, \"env\": \"pendulum\", \"start_steps\": 210, \"num_updates\": 24, "
            "\"updates_per_step\": 2, \"exploration_noise\": 0.1, \"precision\": \"fp32\"}",
            "online"));
        assert_ok(uf_online_create(&straight, c));
        assert_ok(uf_online_start(straight));
        const UfDataset* d = uf_online_buffer(straight);
        assert_ok(uf_agent_create(&a, c, d, 1));
        assert_ok(uf_online_train(straight, a, 11, NULL, NULL));
        assert_ok(uf_agent_save(a, agent_path));
        assert_ok(uf_online_save(straight, buffer_path));
        assert_ok(uf_online_train(straight, a, 13, NULL, NULL));
        assert_ok(uf_online_create(&moved, c));
        assert_ok(uf_agent_load_on(&b, &agent_path, 1, to, "fp32", 1));
        assert_string_equal(uf_agent_backend(b)->name, to);
        assert_ok(uf_online_load(moved, buffer_path, uf_online_steps(c, 11)));
        assert_ok(uf_online_train(moved, b, 13, NULL, NULL));
        const UfDataset* e = uf_online_buffer(moved);
        const size_t known = (size_t)uf_online_steps(c, 11) - 1;  // whether the last goes on is news
        assert_int_equal(e->num_rows, d->num_rows);
        assert_memory_equal(e->records, d->records, known * (size_t)d->stride * sizeof(float));
        // Six steps of actions that gradients of another order of sums have moved: Adam makes of that up to 1e-6 a
        // weight and update, some 1e-5 of an action, and a step may double what a state is off by.
        for (size_t i = known * (size_t)d->stride; i < (size_t)(d->num_rows * d->stride); i++)
            if (!(fabsf(e->records[i] - d->records[i]) <= 6e-4f * (1 + fabsf(d->records[i]))))
                fail_msg("from %s to %s: number %zu of the buffer is %g, not %g", from, to, i,
                         (double)e->records[i], (double)d->records[i]);
        uf_agent_free(a);
        uf_agent_free(b);
        uf_online_free(straight);
        uf_online_free(moved);
        uf_config_free(c);
    }
}

// Steps of off-policy agents that are recorded once and repeated count along: on either backend the last of REPEATS steps
// finds its place in the ring, and its epsilon.
enum { MEMBERS = 2, ENVS = 3, CAPACITY = 7, KINDS = 4, REPEATS = 5, STRIDE = 2 + 1 + 2 };
typedef struct OffSteps {
    float records[MEMBERS * CAPACITY * STRIDE], actions[MEMBERS * ENVS];
    uint8_t kinds[MEMBERS * ENVS];
    int64_t fill[MEMBERS];
} OffSteps;

static void* reserved(UfBackend* be, const void* from, size_t bytes) {
    void* to;
    assert_ok(be->reserve(be, &to, bytes, "a test"));
    if (from) be->upload(be, to, from, bytes);
    return to;
}

static void off_steps(OffSteps* out, const char* device) {
    UfBackend* be;
    enum { ROWS_ALL = MEMBERS * ENVS };
    float obs[ROWS_ALL * 2], reward[ROWS_ALL], heads[ROWS_ALL * (KINDS + 1)], noise[ROWS_ALL];
    uint8_t done[ROWS_ALL];
    UfRandom random = uf_random(11, UF_STREAM_CONTROLLER, 0);
    for (int i = 0; i < ROWS_ALL * 2; i++) obs[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS_ALL * (KINDS + 1); i++) heads[i] = uf_random_normal(&random);
    for (int i = 0; i < ROWS_ALL; i++) {
        reward[i] = (float)i;
        done[i] = i % 2;
        noise[i] = -0.9F + 0.3F * (float)i;
    }
    const UfOffHyper hyper[MEMBERS] = {{.eps_end = 0.05F}, {.eps_end = 0.5F}};
    assert_ok(uf_backend_open(&be, device, "fp32", 1));
    UfOffRing ring = {.P = MEMBERS,
                      .N = ENVS,
                      .O = 2,
                      .A = KINDS,
                      .discrete = true,
                      .items = 1,
                      .stride = STRIDE,
                      .capacity = CAPACITY};
    ring.records = reserved(be, NULL, sizeof out->records);
    ring.fill = reserved(be, NULL, sizeof out->fill);
    real *action = reserved(be, NULL, sizeof out->actions), *on_obs = reserved(be, obs, sizeof obs),
         *on_reward = reserved(be, reward, sizeof reward);
    uint8_t *kinds = reserved(be, NULL, sizeof out->kinds), *on_done = reserved(be, done, sizeof done);
    const UfOffHeads h = {.kind = UF_OFF_GREEDY,
                          .P = MEMBERS,
                          .R = ENVS,
                          .A = KINDS,
                          .H = KINDS + 1,
                          .head = reserved(be, heads, sizeof heads),
                          .hyper = reserved(be, hyper, sizeof hyper)};
    UfOffAct how = {
        .noise = reserved(be, noise, sizeof noise), .step = {1, ENVS}, .fall = 14, .kinds = kinds};
    for (int i = 0; i < REPEATS; i++) {
        if (be->record && i == 0) be->record(be);
        if (!be->record || i == 0) {
            be->off_act(be, action, &h, &how);
            be->off_store(be, &ring, how.step, on_obs, action, on_reward, on_done, NULL, NULL);
            how.step.now += how.step.each;
        }
        if (be->record && i == 0) be->end_record(be);
        if (be->record) be->repeat(be);
    }
    be->download(be, out->records, ring.records, sizeof out->records);
    be->download(be, out->fill, ring.fill, sizeof out->fill);
    be->download(be, out->actions, action, sizeof out->actions);
    be->download(be, out->kinds, kinds, sizeof out->kinds);
    assert_ok(be->sync(be));
    void* all[] = {ring.records, ring.fill, action,        on_obs,         on_reward,
                   kinds,        on_done,   (void*)h.head, (void*)h.hyper, (void*)how.noise};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) be->release(be, all[i]);
    uf_backend_close(be);
}

static void test_off_policy_steps(void** state) {
    (void)state;
    need_device();
    static OffSteps cpu, device;
    off_steps(&cpu, "cpu");
    off_steps(&device, "cuda");
    assert_memory_equal(cpu.records, device.records, sizeof cpu.records);
    assert_memory_equal(cpu.fill, device.fill, sizeof cpu.fill);
    assert_memory_equal(cpu.actions, device.actions, sizeof cpu.actions);
    for (int i = 0; i < MEMBERS * ENVS; i++) assert_int_equal(device.kinds[i], (int)cpu.actions[i]);
}

// What does not fit together says so.
static void test_refusals(void** state) {
    (void)state;
    UfConfig *cuda = config_on(0, "cuda"), *cpu = config_on(0, "cpu");
    assert_int_equal(uf_config_fit_together(cuda, cpu), UF_ERR_CONFIG);
    assert_error("share a device");
    uf_config_free(cuda);
    uf_config_free(cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_update),     cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_recorded_updates), cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_warpgroups),
#ifdef UF_HOST_CUDA
        cmocka_unit_test(test_branches),         cmocka_unit_test(test_launches),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(test_missing_waits),
#endif
#endif
        cmocka_unit_test(test_checkpoints_move), cmocka_unit_test(test_wrong_recordings),
        cmocka_unit_test(test_wrong_terms),      cmocka_unit_test(test_recorded_model),
        cmocka_unit_test(test_policy),           cmocka_unit_test(test_auto),
        cmocka_unit_test(test_growing_copy),     cmocka_unit_test(test_online_moves),
        cmocka_unit_test(test_off_policy_steps), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("cuda agent", tests, setup, teardown);
}
