// test_cuda_ppo.c: PPO on a CUDA device: what it trains is what the CPU trains but for rounding, members of a population
// equal single runs to the bit, a run goes on where it stopped, there or on the other device, and recorded updates are
// reproduced. Environments on the host and on the device. Without a device it skips.
#include "device.h"

#include <math.h>

#include "core/grid/grid_device.h"
#include "core/runs/ppo_run.h"
#include "core/synth/synth.h"
#include "core/verify/verify.h"

enum { MAX_P = 3, NUM_KINDS = 6, SYNTHETIC = 2 };

static char synthetic[96];  // a file of one

// Episodes end by themselves and after 9 steps.
static int write_synthetic(void) {
    const SeOptions o = {.mode = SE_MDP,
                         .latent = SE_UNIFORM,
                         .obs_dim = 5,
                         .action_dim = 3,
                         .discrete = 1,
                         .width = 20,
                         .max_steps = 9};
    SeEnv* env;
    snprintf(synthetic, sizeof synthetic, "%s/synthetic.h5", folder);
    if (se_create(&env, &o, 4) != UF_OK) return -1;
    const UfStatus status = se_write(env, synthetic, NULL);
    se_free(env);
    return status == UF_OK ? 0 : -1;
}

static int set_up(void** state) {
    look_for_device(state);
    return make_folder(state) == 0 ? write_synthetic() : -1;
}

// ---- agents ----

// Name and value in turn; the last name is NULL.
static UfPpoConfig* config_of(const char* const* settings) {
    UfPpoConfig* config;
    assert_ok(uf_table_create(&uf_ppo_table, (void**)&config));
    for (; *settings; settings += 2) assert_ok(uf_table_set(&uf_ppo_table, config, settings[0], settings[1]));
    return config;
}
#define CONFIG(...) config_of((const char* const[]){__VA_ARGS__, NULL})

// All but the last have their environments on the device.
static UfPpoConfig* small_config(int kind) {
    switch (kind) {
        case 0:
            return CONFIG("env", "MiniGrid-Empty-5x5-v0", "num_envs", "5", "num_steps", "12",
                          "num_minibatches", "3", "update_epochs", "2", "budget", "600", "layer_width", "17",
                          "lr", "0.003");
        case 1:
            return CONFIG("env", "MiniGrid-Dynamic-Obstacles-5x5-v0", "num_envs", "3", "num_steps", "16",
                          "num_minibatches", "1", "budget", "480", "layer_width", "12", "shared_trunk",
                          "true", "gae", "navix", "clip_value", "navix", "observation", "full", "max_steps",
                          "7", "layer_norm", "true");
        case SYNTHETIC:
            return CONFIG("env", synthetic, "num_envs", "4", "num_steps", "15", "num_minibatches", "2",
                          "budget", "600", "layer_width", "9", "lr", "0.001");
        case 3:
            return CONFIG("env", "pendulum", "num_envs", "3", "num_steps", "20", "num_minibatches", "2",
                          "budget", "600", "layer_width", "8", "activation", "relu", "hidden_init",
                          "orthogonal", "gamma", "0.9", "normalize_advantage", "false", "clip_value", "none");
        case 4:
            return CONFIG("env", "cartpole", "num_envs", "3", "num_steps", "12", "num_minibatches", "2",
                          "budget", "360", "layer_width", "8", "num_layers", "1", "shared_trunk", "true",
                          "anneal_lr", "false");
        default:
            return CONFIG("env", "Breakout-MinAtar", "num_envs", "2", "num_steps", "8", "num_minibatches",
                          "2", "budget", "240", "layer_width", "8", "num_layers", "1");
    }
}

static void use(UfPpoConfig* c, const char* device, const char* precision) {
    assert_ok(uf_table_set(&uf_ppo_table, c, "device", device));
    assert_ok(uf_table_set(&uf_ppo_table, c, "precision", precision));
}

typedef struct Training {
    UfPpo* ppo;
    UfTrainEnvs* envs;
    const UfPpoConfig* config;  // of the first member
} Training;

static void free_training(Training* t) {
    uf_train_envs_free(t->envs);
    uf_ppo_free(t->ppo);
}

static UfTrainEnvs* envs_of(const UfPpoConfig* const* configs, int P) {
    int64_t seeds[MAX_P];
    const UfEnvSpec* spec;
    UfTrainEnvs* envs;
    for (int p = 0; p < P; p++) seeds[p] = configs[p]->seed;
    const UfPpoEnvsOptions options = {configs[0]->env, configs[0], (int)configs[0]->num_envs,
                                      seeds,           P,          UF_PPO_TRAINING};
    assert_ok(uf_ppo_envs_create(&envs, &spec, &options));
    return envs;
}

static void go_on(Training* t, int iterations) {
    for (int i = 0; i < iterations; i++) assert_ok(uf_ppo_iterate(t->ppo, t->envs));
    assert_ok(uf_ppo_check(t->ppo));
}

static Training train(const UfPpoConfig* const* configs, int P, int iterations) {
    Training t = {.envs = envs_of(configs, P), .config = configs[0]};
    assert_ok(uf_ppo_create(&t.ppo, configs, P, &t.envs->space, 1));
    go_on(&t, iterations);
    return t;
}

static Training load(const UfPpoConfig* const* configs, int P, const char* path) {
    Training t = {.envs = envs_of(configs, P), .config = configs[0]};
    assert_ok(uf_ppo_load(&t.ppo, path, configs[0], 1, false));
    assert_ok(uf_ppo_load_envs(t.ppo, t.envs, path));
    return t;
}

static real* tensor_of(const Training* t, const UfTensor* tensor, UfTensorKind kind, int p) {
    real* x = test_malloc((size_t)tensor->rows * (size_t)tensor->columns * sizeof(real));
    assert_ok(uf_ppo_get_tensor(t->ppo, tensor, kind, p, x));
    return x;
}

// Exact or, where other sums have other last bits: of continuous actions not at all, of a synthetic environment draws and
// steps alone, and observations that have grown apart over 9 steps at most, each of which adds 1e-6 and may double what was.
static void assert_same_states(const Training* a, int p, const Training* b, int q, bool exact,
                               const char* what) {
    const size_t bytes = a->envs->ops->state_bytes(a->envs),
                 counts = sizeof(uint64_t) + (size_t)a->config->num_envs * sizeof(int32_t);
    const bool is_synthetic = strcmp(a->config->env, synthetic) == 0;
    assert_int_equal(bytes, b->envs->ops->state_bytes(b->envs));
    char *s = test_malloc(bytes), *u = test_malloc(bytes);
    assert_ok(a->envs->ops->get_state(a->envs, p, s));
    assert_ok(b->envs->ops->get_state(b->envs, q, u));
    const size_t same = exact ? bytes : is_synthetic ? counts : a->envs->space.discrete ? bytes : 0;
    if (memcmp(s, u, same) != 0) fail_msg("%s: environments of members %d and %d differ", what, p, q);
    for (size_t at = counts; is_synthetic && at < bytes; at += sizeof(float)) {
        float x, y;
        memcpy(&x, s + at, sizeof x);
        memcpy(&y, u + at, sizeof y);
        if (!(fabsf(x - y) <= 5e-4f * (1 + fabsf(y))))
            fail_msg("%s: a number of an observation is %g and %g", what, (double)x, (double)y);
    }
    test_free(s);
    test_free(u);
}

// Environments and what happened in them.
static void assert_same_world(const Training* a, int p, const Training* b, int q, bool exact,
                              const char* what) {
    UfPpoMetrics x, y;
    assert_ok(uf_ppo_metrics(a->ppo, p, &x));
    assert_ok(uf_ppo_metrics(b->ppo, q, &y));
    if (x.episodes != y.episodes || (x.episodes > 0 && fabs(x.mean_return - y.mean_return) > 1e-5))
        fail_msg("%s: %g episodes with %g, %g with %g", what, x.episodes, x.mean_return, y.episodes,
                 y.mean_return);
    assert_same_states(a, p, b, q, exact, what);
}

static void assert_same_bits(const Training* a, int p, const Training* b, int q, const char* what) {
    static const UfTensorKind kinds[] = {UF_TENSOR_VALUE, UF_TENSOR_ADAM_M, UF_TENSOR_ADAM_V};
    for (int i = 0; i < uf_ppo_num_tensors(a->ppo); i++)
        for (int k = 0; k < 3; k++) {
            const UfTensor* t = uf_ppo_tensor(a->ppo, i);
            real *x = tensor_of(a, t, kinds[k], p), *y = tensor_of(b, t, kinds[k], q);
            if (memcmp(x, y, (size_t)t->rows * (size_t)t->columns * sizeof *x) != 0)
                fail_msg("%s: %s of members %d and %d differ", what, t->name, p, q);
            test_free(x);
            test_free(y);
        }
    UfPpoMetrics x, y;
    assert_ok(uf_ppo_metrics(a->ppo, p, &x));
    assert_ok(uf_ppo_metrics(b->ppo, q, &y));
    assert_memory_equal(x.values, y.values, sizeof x.values);
    assert_same_world(a, p, b, q, true, what);
}

// Adam divides a gradient by its size, so a relative error e of gradients moves parameters by 2 sqrt(2 e) of what they
// move, as core/verify/verify.c derives. In fp32 gradients of these sizes are off by at most 1e-5 of themselves (sums of up to
// 147 products and 60 rows, 200 roundings of 6e-8): 0.01 of the way from the initial values.
static const double allowed_share = 0.01;
static void assert_near(const Training* a, const Training* b, const Training* initial, const char* what) {
    for (int i = 0; i < uf_ppo_num_tensors(a->ppo); i++) {
        const UfTensor* t = uf_ppo_tensor(a->ppo, i);
        real *x = tensor_of(a, t, UF_TENSOR_VALUE, 0), *y = tensor_of(b, t, UF_TENSOR_VALUE, 0),
             *z = tensor_of(initial, t, UF_TENSOR_VALUE, 0);
        double errors = 0, moved = 0;
        for (int k = 0; k < t->rows * t->columns; k++) {
            errors += pow((double)x[k] - (double)y[k], 2);
            moved += pow((double)x[k] - (double)z[k], 2);
        }
        if (!(moved > 0) || !(sqrt(errors) <= allowed_share * sqrt(moved)))
            fail_msg("%s: %s is off by %g, has moved by %g", what, t->name, sqrt(errors), sqrt(moved));
        test_free(x);
        test_free(y);
        test_free(z);
    }
}

// ---- tests ----

// The same world to the bit, and parameters but for rounding; another order of threads and another time: the same bits.
static void test_equals_the_cpu(void** state) {
    NEEDS_DEVICE();
    for (int kind = 0; kind < NUM_KINDS; kind++) {
        UfPpoConfig *there = small_config(kind), *here = small_config(kind);
        const UfPpoConfig *const *t = (const UfPpoConfig*const*)&there, *const *h =
                                                                            (const UfPpoConfig*const*)&here;
        use(there, "cuda", "fp32");
        Training initial = train(h, 1, 0), cpu = train(h, 1, 3), first = train(t, 1, 3);
        assert_same_world(&cpu, 0, &first, 0, false, here->env);
        assert_near(&cpu, &first, &initial, here->env);
        for (int order = 1; order < 3; order++) {
            change_order(order);
            Training again = train(t, 1, 3);
            change_order(0);
            assert_same_bits(&first, 0, &again, 0, here->env);
            free_training(&again);
        }
        free_training(&initial);
        free_training(&cpu);
        free_training(&first);
        uf_free(there);
        uf_free(here);
    }
}

// Members that differ in everything that members may differ in.
static void vary(UfPpoConfig* c, int p) {
    c->seed = 100 + 7 * p;
    c->lr *= 1 + 0.3 * p;
    c->gamma -= 0.01 * p;
    c->gae_lambda -= 0.02 * p;
    c->clip_eps += 0.05 * p;
    c->ent_coef += 0.02 * p;
    c->vf_coef += 0.1 * p;
    c->max_grad_norm *= 1 + p;
}

static void test_members_equal_single_runs(void** state) {
    NEEDS_DEVICE();
    for (int kind = 0; kind < NUM_KINDS; kind++) {
        UfPpoConfig* configs[MAX_P];
        for (int p = 0; p < MAX_P; p++) {
            vary(configs[p] = small_config(kind), p);
            use(configs[p], "cuda", "fp32");
        }
        Training all = train((const UfPpoConfig* const*)configs, MAX_P, 2);
        for (int p = 0; p < MAX_P; p++) {
            Training alone = train((const UfPpoConfig* const*)&configs[p], 1, 2);
            assert_same_bits(&all, p, &alone, 0, configs[0]->env);
            free_training(&alone);
        }
        free_training(&all);
        for (int p = 0; p < MAX_P; p++) uf_free(configs[p]);
    }
}

// Saved on the device after two iterations: resumed there it ends in the same bits, on the CPU nearly so, and what the CPU
// saves the device takes.
static void test_resumed(void** state) {
    NEEDS_DEVICE();
    const char *there_file = in_folder("there.h5"), *here_file = in_folder("here.h5");
    for (int kind = 0; kind < NUM_KINDS; kind++) {
        UfPpoConfig *there = small_config(kind), *here = small_config(kind);
        const UfPpoConfig *const *t = (const UfPpoConfig*const*)&there, *const *h =
                                                                            (const UfPpoConfig*const*)&here;
        use(there, "cuda", "fp32");
        Training initial = train(h, 1, 0), straight = train(t, 1, 4), stopped = train(t, 1, 2);
        assert_ok(uf_ppo_save(stopped.ppo, stopped.envs, there_file));
        free_training(&stopped);
        Training resumed = load(t, 1, there_file);
        assert_int_equal(uf_ppo_iteration(resumed.ppo), 2);
        go_on(&resumed, 2);
        assert_same_bits(&straight, 0, &resumed, 0, here->env);
        free_training(&resumed);
        resumed = load(h, 1, there_file);
        assert_ok(uf_ppo_save(resumed.ppo, resumed.envs, here_file));
        go_on(&resumed, 2);
        assert_same_world(&straight, 0, &resumed, 0, false, here->env);
        assert_near(&straight, &resumed, &initial, here->env);
        free_training(&resumed);
        resumed = load(t, 1, here_file);
        go_on(&resumed, 2);
        assert_same_bits(&straight, 0, &resumed, 0, "by way of the CPU");
        free_training(&resumed);
        free_training(&straight);
        free_training(&initial);
        uf_free(there);
        uf_free(here);
    }
}

// Environments that move to the device are stepped there: an iteration is recorded, and the host launches nothing else.
static void test_is_recorded(void** state) {
    NEEDS_DEVICE();
    for (int kind = 0; kind <= SYNTHETIC; kind += SYNTHETIC) {
        UfPpoConfig* c = small_config(kind);
        use(c, "cuda", "fp32");
        Training t = train((const UfPpoConfig* const*)&c, 1, 2);
        UfBackend* be = uf_ppo_backend(t.ppo);
        UfLaunchTimes times;
        assert_ok(be->start_clock(be));
        go_on(&t, 1);
        assert_ok(be->stop_clock(be, &times));
        assert_true(times.num_launches <= 1 && times.num_recorded > 12 * 5);
        free_training(&t);
        uf_free(c);
    }
}

static void test_nonfinite(void** state) {
    NEEDS_DEVICE();
    UfPpoConfig* c = small_config(0);
    c->lr = 1e3;
    c->actor_init_gain = 1e6;
    use(c, "cuda", "fp32");
    Training t = {.envs = envs_of((const UfPpoConfig* const*)&c, 1)};
    assert_ok(uf_ppo_create(&t.ppo, (const UfPpoConfig* const*)&c, 1, &t.envs->space, 1));
    const UfTensor* bias = uf_ppo_tensor(t.ppo, 1);
    real* nan = test_malloc((size_t)bias->columns * sizeof *nan);
    for (int i = 0; i < bias->columns; i++) nan[i] = NAN;
    assert_ok(uf_ppo_set_tensor(t.ppo, bias, UF_TENSOR_VALUE, 0, nan));
    assert_ok(uf_ppo_iterate(t.ppo, t.envs));
    assert_int_equal(uf_ppo_check(t.ppo), UF_ERR_NONFINITE);
    assert_error("iteration 1, member 0: ");
    assert_error("is not finite; try a smaller lr");
    assert_int_equal(uf_ppo_save(t.ppo, t.envs, in_folder("nan.h5")), UF_ERR_NONFINITE);
    test_free(nan);
    free_training(&t);
    uf_free(c);
}

static void test_verify(void** state) {
    NEEDS_DEVICE();
    static const char* const precisions[] = {"fp32", "tf32", "bf16"};
    const char* path = "../shared/oracle/ppo_update.h5";
    if (!uf_file_exists(path)) skip();
    for (int i = 0; i < 3; i++) {
        char* report;
        bool passed;
        assert_ok(uf_verify_on(path, "cuda", precisions[i], &report, &passed));
        if (!passed) fail_msg("%s: %s", precisions[i], report);
        uf_free(report);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_cpu), cmocka_unit_test(test_members_equal_single_runs),
        cmocka_unit_test(test_resumed),        cmocka_unit_test(test_is_recorded),
        cmocka_unit_test(test_nonfinite),      cmocka_unit_test(test_verify),
    };
    return cmocka_run_group_tests_name("cuda_ppo", tests, set_up, remove_folder);
}
