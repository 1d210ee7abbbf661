// test_cuda_trials.c: trials of small policies on a CUDA device against those of the host. Without a device it skips.
//
// Of networks with few numbers, all powers of two, every sum has one rounding whatever its order: there, where the device is
// the host that plays one (tests/cuda_host), both are equal to the bit. A GPU's sine and exponential have other last bits.
#include "device.h"

#include <math.h>

#include "core/search/hades_search.h"
#include "core/search/trials.h"

static UfBackend *device, *host;

static int open_both(void** state) {
    look_for_device(state);
    if (has_device && uf_backend_open(&device, "cuda", "fp32", 1) != UF_OK) return -1;
    return uf_backend_open(&host, "cpu", "fp32", 2) == UF_OK ? 0 : -1;
}
static int close_both(void** state) {
    (void)state;
    uf_backend_close(device);
    uf_backend_close(host);
    return 0;
}

#ifdef UF_HOST_CUDA
enum { IS_EXACT = true };
#else
enum { IS_EXACT = false };
#endif

static int64_t most_cases(int64_t all) {
    const char* cases = getenv("UF_TEST_CASES");  // where it is slow
    return cases && atoi(cases) * 4 < all ? atoi(cases) * 4 : all;
}

// ---- what is played ----

enum { MOST_POLICIES = 3, NUM_ENVS = 7 };
static const struct {
    const char* name;
    int64_t steps;  // episodes end in them
} envs[NUM_ENVS] = {{"CartPole-v1", 300}, {"MountainCar-v0", 410}, {"MountainCarContinuous-v0", 270},
                    {"Pendulum-v1", 410}, {"Acrobot-v1", 510},     {"PointMaze-UMaze", 310},
                    {"GridWorld-5x5", 70}};

typedef struct Case {
    UfTrialOptions o;
    UfCloneNet net;
    int P, steps;  // steps: less than o.num_steps.   0: all of them
    real* params;  // (P, size)
    uint64_t keys[MOST_POLICIES];
    float mean[UF_RULE_MAX_OBS], divisor[UF_RULE_MAX_OBS];
} Case;

static const UfEnvSpec* spec_of(int env) {
    const UfEnvSpec* spec = uf_env_find(envs[env].name);
    assert_non_null(spec);
    return spec;
}

// Networks of `pad` more inputs than there are observations, in front and behind, and outputs.
static void make_case(Case* c, const UfEnvSpec* spec, int width, int layers, int activation, bool layer_norm,
                      int pad) {
    *c = (Case){.P = MOST_POLICIES};
    c->net = uf_clone_net(NULL, spec->obs_dim + 2 * pad, width, layers, spec->action_dim + pad, activation,
                          layer_norm, !spec->discrete);
    c->params = test_calloc((size_t)c->P * c->net.size, sizeof *c->params);
    c->o = (UfTrialOptions){.spec = spec, .first_obs = pad, .num_keys = 2, .rule = UF_TRIAL_FIRST};
    for (int i = 0; i < MOST_POLICIES; i++) c->keys[i] = 7001 + 13 * (uint64_t)i;
    for (int j = 0; j < spec->obs_dim; j++) {
        c->mean[j] = 0.01f * (float)j;
        c->divisor[j] = 0.6f + 0.1f * (float)j;
    }
}

static void set_norm(Case* c, int norm) {
    c->o.running = norm == 2;
    c->o.mean = norm == 1 ? c->mean : NULL;
    c->o.divisor = norm == 1 ? c->divisor : NULL;
}

// Every unit reads one number, every output two.
static void fill_exact(Case* c) {
    const UfMlp* m = &c->net.mlp;
    const int S = c->o.spec->obs_dim, W = m->width, L = m->layers;
    for (int p = 0; p < c->P; p++) {
        real* w = c->params + (size_t)p * c->net.size;
        UfRandom random = uf_random(55 + (uint64_t)p, UF_STREAM_INIT, 0);
        for (int l = 0; l < L; l++)
            for (int j = 0; j < W; j++) {
                const int from = l ? (j * 3 + 1) % W : c->o.first_obs + (j + p) % S;
                const uint32_t bits = uf_random_u32(&random);
                const real size = (bits & 2 ? 2 : bits & 4 ? 1 : 0.5f);
                w[m->kernel[l] + (size_t)from * (size_t)W + (size_t)j] = l || bits & 1 ? size : -size;
                w[m->bias[l] + (size_t)j] = bits & 8 ? 0.25f : 0;
            }
        for (int i = 0; i < m->out; i++)
            for (int k = 0; k < 2; k++) {
                const int from = (int)(uf_random_u32(&random) % (uint32_t)W);
                w[m->kernel[L] + (size_t)from * (size_t)m->out + (size_t)i] = k ? 0.5f : -1;
            }
        for (int i = 0; i < m->out && c->net.has_log_std; i++)
            w[m->log_std + (size_t)i] = -0.5f - 0.1f * (float)i;
    }
}

static void fill_any(Case* c) {
    const UfMlp* m = &c->net.mlp;
    UfRandom random = uf_random(99, UF_STREAM_INIT, 0);
    for (size_t i = 0; i < (size_t)c->P * c->net.size; i++) c->params[i] = 0.4f * uf_random_normal(&random);
    for (int p = 0; p < c->P; p++)
        for (int l = 0; l < m->layers && m->layer_norm; l++)
            for (int j = 0; j < m->width; j++)
                c->params[(size_t)p * c->net.size + m->scale[l] + (size_t)j] += 1;
}

// ---- playing ----

typedef struct Played {
    UfTrial* trials;  // (P, E)
    double* moments;  // (P, 2, S)
} Played;

static void free_played(Played* x) {
    test_free(x->trials);
    test_free(x->moments);
}

// Policies [first, first + count) on one of the backends.
static Played play(const Case* c, UfBackend* be, int first, int count) {
    const int S = c->o.spec->obs_dim;
    const size_t size = c->net.size, bytes = (size_t)count * size * sizeof(real);
    Played x = {test_calloc((size_t)(count * c->o.num_envs), sizeof *x.trials),
                test_calloc((size_t)(2 * count * S), sizeof *x.moments)};
    UfTrialOptions o = c->o;
    UfTrials* trials;
    void* params;
    o.backend = be;
    o.net = &c->net;
    assert_ok(uf_trials_create(&trials, &o, be->pool));
    assert_int_equal(uf_trials_apart(trials), be == device);
    if (c->steps) assert_ok(uf_trials_set_num_steps(trials, c->steps));
    assert_ok(be->reserve(be, &params, bytes, "policies"));
    be->upload(be, params, c->params + (size_t)first * size, bytes);
    uf_trials_set_keys(trials, c->keys);
    // Once more, from the start again and where there was room for fewer.
    if (be == device && count > 1) assert_ok(uf_trials_play(trials, params, 1, x.trials, NULL));
    assert_ok(uf_trials_play(trials, params, count, x.trials, o.running ? x.moments : NULL));
    be->release(be, params);
    uf_trials_free(trials);
    return x;
}

static void check_number(const char* what, int at, double a, double b, double bound) {
    const bool equal = (isnan(a) && isnan(b)) || (bound > 0 ? fabs(a - b) <= bound * (1 + fabs(b)) : a == b);
    if (!equal) fail_msg("%s, %d: %.17g, expected %.17g", what, at, a, b);
}

// bound 0: to the bit.
static void compare(const char* what, const Case* c, const Played* a, const Played* b, int policies,
                    double bound) {
    const int n = policies * c->o.num_envs;
    for (int i = 0; i < n; i++) {
        if (a->trials[i].steps != b->trials[i].steps || a->trials[i].count != b->trials[i].count)
            fail_msg("%s, %d: %lld steps and %lld returns, expected %lld and %lld", what, i,
                     (long long)a->trials[i].steps, (long long)a->trials[i].count,
                     (long long)b->trials[i].steps, (long long)b->trials[i].count);
        check_number(what, i, a->trials[i].sum, b->trials[i].sum, bound);
    }
    for (int i = 0; i < policies * 2 * c->o.spec->obs_dim; i++)
        check_number(what, -i, a->moments[i], b->moments[i], bound);
}

static void compare_with_host(const char* what, const Case* c, double bound) {
    Played ours = play(c, device, 0, c->P), theirs = play(c, host, 0, c->P);
    compare(what, c, &ours, &theirs, c->P, bound);
    free_played(&ours);
    free_played(&theirs);
}

// Rounding of a sum of up to 50 products, 3e-6, in units of the action or of logits, which 12 steps let grow less than tenfold.
// That a kind is drawn within that of a border has a chance of one in thousands for all cases together.
#define ROUNDING 1e-4
enum { FEW_STEPS = 12 };

static double exact(Case* c) {
    if (!IS_EXACT) c->o.num_steps = FEW_STEPS;
    return IS_EXACT ? 0 : ROUNDING;
}

// ---- tests ----

static void test_rules(void** state) {
    static const int sizes[] = {3, 1, 4, 20};
    NEEDS_DEVICE();
    int64_t returns = 0, ended = 0;
    const int64_t all = NUM_ENVS * 4 * 4, most = most_cases(all);
    for (int64_t i = 0; i < most; i++) {
        // a part of the cases has all environments and rules too
        const int at = (int)i, env = at % NUM_ENVS, rule = at / NUM_ENVS % 4,
                  size = (at / NUM_ENVS / 4 + at) % 4;
        char what[128];
        Case c;
        make_case(&c, spec_of(env), 8 + at % 3 * 4, 1 + at % 3, UF_RELU, false, at % 2);
        fill_exact(&c);
        c.o.num_envs = sizes[size];
        c.o.num_steps = envs[env].steps;
        c.o.rule = (UfTrialRule)rule;
        c.o.greedy = at / 5 % 2;
        c.o.grid = env < 5 && at / 7 % 2;  // mazes and cells have no box of starts
        set_norm(&c, (at + at / NUM_ENVS) % 3);
        const double bound = exact(&c);
        change_order(i);
        snprintf(what, sizeof what, "%s, rule %d, %d environments%s%s%s", envs[env].name, rule, c.o.num_envs,
                 c.o.greedy ? ", greedy" : "", c.o.grid ? ", grid" : "", c.o.running ? ", running" : "");
        Played ours = play(&c, device, 0, c.P), theirs = play(&c, host, 0, c.P);
        compare(what, &c, &ours, &theirs, c.P, bound);
        for (int k = 0; k < c.P * c.o.num_envs; k++) {
            returns += theirs.trials[k].sum != 0;
            ended += rule == UF_TRIAL_ENDED && theirs.trials[k].count > 1;
        }
        free_played(&ours);
        free_played(&theirs);
        test_free(c.params);
    }
    if (!IS_EXACT) return;
    assert_true(returns > most);  // nothing is compared where nothing happens
    assert_true(ended > 10);
}

// What a network says, one way after the other; episodes past the environment's own limit, and T changed in between.
static void test_policies(void** state) {
    static const int played[] = {2, 3, 5, 6, 1};
    NEEDS_DEVICE();
    const int all = 5 * 4 * 2, most = (int)most_cases(all);
    int64_t longest = 0;
    for (int i = 0; i < most; i++) {
        const int at = most < all ? i * 7 % all : i, env = played[at % 5], policy = at / 5 % 4;
        const UfEnvSpec* spec = spec_of(env);
        char what[96];
        Case c;
        make_case(&c, spec, 8, 1, UF_RELU, false, spec->action_dim);  // twice as many outputs as actions
        fill_exact(&c);
        c.o.policy = (UfTrialPolicy)policy;
        c.o.num_envs = 2 + at % 3 * 3;  // more than a tile too
        c.o.num_steps = envs[env].steps;
        c.steps = at % 3 ? 0 : envs[env].steps - 57;
        c.o.any_length = true;
        c.o.rule = at % 4 ? UF_TRIAL_FIRST : UF_TRIAL_ENDED;
        c.o.greedy = at / 20;
        const double bound = exact(&c);
        if (!IS_EXACT) c.steps = 0;
        change_order(i);
        snprintf(what, sizeof what, "%s, policy %d%s", envs[env].name, policy, c.o.greedy ? ", greedy" : "");
        Played ours = play(&c, device, 0, c.P), theirs = play(&c, host, 0, c.P);
        compare(what, &c, &ours, &theirs, c.P, bound);
        for (int k = 0; k < c.P * c.o.num_envs; k++)
            if (theirs.trials[k].steps - spec->max_steps > longest)
                longest = theirs.trials[k].steps - spec->max_steps;
        free_played(&ours);
        free_played(&theirs);
        test_free(c.params);
    }
    if (IS_EXACT && most == all) assert_true(longest >= 200);
}

static void test_networks(void** state) {
    static const struct {
        int layers, width, activation;
        bool layer_norm;
    } nets[] = {{1, 8, UF_TANH, false},  {2, 32, UF_TANH, false}, {3, 40, UF_RELU, false},
                {3, 40, UF_TANH, false}, {2, 32, UF_RELU, true},  {1, 33, UF_TANH, true},
                {2, 16, UF_RELU, false}, {16, 5, UF_TANH, false}};
    NEEDS_DEVICE();
    for (int i = 0; i < (int)(sizeof nets / sizeof nets[0]) * NUM_ENVS; i++) {
        const int n = i / NUM_ENVS, env = i % NUM_ENVS;
        char what[96];
        Case c;
        make_case(&c, spec_of(env), nets[n].width, nets[n].layers, nets[n].activation, nets[n].layer_norm,
                  i % 3);
        fill_any(&c);
        c.o.num_envs = 1 + i % 5;
        c.o.num_steps = FEW_STEPS;
        c.o.greedy = n % 2;
        c.o.rule = UF_TRIAL_RUNNING;
        set_norm(&c, i % 2);
        change_order(i);
        snprintf(what, sizeof what, "%s, %d layers of %d", envs[env].name, nets[n].layers, nets[n].width);
        compare_with_host(what, &c, ROUNDING);
        test_free(c.params);
    }
}

// More than shared memory holds: parameters, rows, and activations that go through the layers in turns.
static void test_large(void** state) {
    static const struct {
        int width, layers, num_envs;
    } cases[] = {{600, 2, 18}, {4, 1, 450}, {100, 2, 70}, {1000, 1, 5}};
    NEEDS_DEVICE();
    for (int i = 0; i < 4; i++) {
        Case c;
        make_case(&c, spec_of(i % 2 ? 0 : 3), cases[i].width, cases[i].layers, UF_RELU, false, 1);
        fill_exact(&c);
        c.P = 2;
        c.o.num_envs = cases[i].num_envs;
        c.o.num_steps = i == 1 ? 30 : 5;
        set_norm(&c, 2);
        change_order(i);
        compare_with_host("large", &c, exact(&c));
        test_free(c.params);
    }
}

// Between launches: rows in global memory that go on.
static void test_many_steps(void** state) {
    NEEDS_DEVICE();
    if (!IS_EXACT) skip();
    Case c;
    make_case(&c, spec_of(1), 4, 1, UF_RELU, false, 0);
    fill_exact(&c);
    c.P = 1;
    c.o.num_envs = 400;
    c.o.num_steps = 258;
    c.o.rule = UF_TRIAL_ENDED;
    set_norm(&c, 2);
    compare_with_host("many steps", &c, 0);
    test_free(c.params);
}

static void test_alone(void** state) {
    NEEDS_DEVICE();
    Case c;
    make_case(&c, spec_of(4), 32, 2, UF_TANH, false, 0);
    fill_any(&c);
    c.o.num_envs = 3;
    c.o.num_steps = 120;
    c.o.num_keys = 1;
    set_norm(&c, 2);
    Played all = play(&c, device, 0, c.P);
    for (int p = 0; p < c.P; p++) {
        Played one = play(&c, device, p, 1);
        const Played part = {all.trials + p * c.o.num_envs, all.moments + 2 * p * c.o.spec->obs_dim};
        change_order(p);
        compare("alone", &c, &one, &part, 1, 0);
        free_played(&one);
    }
    free_played(&all);
    test_free(c.params);
}

// Policies that answer with a number that is none: at once, or where the first of their environments gets somewhere.
static void test_no_number(void** state) {
    NEEDS_DEVICE();
    for (int rule = 0; rule < 4; rule++) {
        Case c;
        make_case(&c, spec_of(0), 8, 1, UF_RELU, false, 1);
        fill_exact(&c);
        const UfMlp* m = &c.net.mlp;
        real* late = c.params + c.net.size;
        for (int j = 0; j < 8; j++) {  // above 0.14 of the angle or the position
            late[m->kernel[0] + (size_t)(1 + j % 2 * 2) * 8 + (size_t)j] = 1024;
            late[m->bias[0] + (size_t)j] = -128;
        }
        for (size_t i = 0; i < 8 * (size_t)m->out; i++) late[m->kernel[1] + i] = ldexpf(1, 127);
        c.params[2 * c.net.size + m->kernel[0]] = NAN;  // of an input that is always 0
        c.o.num_envs = 5;
        c.o.num_steps = 100;
        c.o.rule = (UfTrialRule)rule;
        change_order(rule);
        Played ours = play(&c, device, 0, c.P), theirs = play(&c, host, 0, c.P);
        const UfTrial *first = ours.trials + c.o.num_envs, *nan = ours.trials + 2 * c.o.num_envs;
        compare("no number", &c, &ours, &theirs, c.P, 0);
        assert_false(isnan(ours.trials[0].sum));
        assert_true(isnan(first[0].sum) && isnan(first[4].sum) && first[4].steps > 3);
        assert_true(isnan(nan[0].sum) && nan[0].steps == 0);
        free_played(&ours);
        free_played(&theirs);
        test_free(c.params);
    }
    Case c;  // an action that is none though all outputs are
    make_case(&c, spec_of(3), 8, 1, UF_RELU, false, 0);
    fill_exact(&c);
    c.params[c.net.size + c.net.mlp.log_std] = 100;
    c.o.num_envs = 3;
    c.o.num_steps = 10;
    compare_with_host("no action", &c, exact(&c));
    test_free(c.params);
}

// What a device cannot play the host does: it says so.
static void test_apart(void** state) {
    NEEDS_DEVICE();
    const UfConv conv = {10, 10, 4, 3};
    const UfEnvSpec *game = uf_env_find("Breakout-MinAtar"), *pole = uf_env_find("CartPole-v1");
    const UfCloneNet plain = uf_clone_net(NULL, game->obs_dim, 8, 1, game->action_dim, UF_RELU, false, false),
                     picture = uf_clone_net(&conv, 400, 8, 1, 3, UF_RELU, false, false),
                     small = uf_clone_net(NULL, 4, 8, 1, 2, UF_RELU, false, false),
                     most = uf_clone_net(NULL, 4, 1022, 1, 2, UF_RELU, false, false),
                     wide = uf_clone_net(NULL, 4, 1023, 1, 2, UF_RELU, false, false);
    const struct {
        UfBackend* backend;
        const UfEnvSpec* spec;
        const UfCloneNet* net;
        bool apart;
    } cases[] = {{device, game, &plain, false}, {device, pole, &picture, false}, {device, pole, &small, true},
                 {device, pole, &most, true},   {device, pole, &wide, false},    {host, pole, &small, false},
                 {NULL, pole, &small, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        UfTrialOptions o = {.backend = cases[i].backend,
                            .spec = cases[i].spec,
                            .net = cases[i].net,
                            .num_envs = 2,
                            .num_steps = 10,
                            .num_keys = 1};
        UfTrials* trials;
        assert_ok(uf_trials_create(&trials, &o, host->pool));
        if (uf_trials_apart(trials) != cases[i].apart) fail_msg("case %zu", i);
        uf_trials_free(trials);
    }
}

static size_t most_downloaded;
static void (*plain_download)(UfBackend*, void*, const void*, size_t);
static void watched_download(UfBackend* be, void* to, const void* from, size_t bytes) {
    if (bytes > most_downloaded) most_downloaded = bytes;
    plain_download(be, to, from, bytes);
}

// A search on the device: MountainCarContinuous's return is smooth in the actions, so its fitness is near the host's.
static void test_search(void** state) {
    static const char* const fields[][2] = {{"env", "MountainCarContinuous-v0"},
                                            {"obs_norm", "running"},
                                            {"rollout_steps", "300"},
                                            {"popsize", "6"},
                                            {"rows", "4"},
                                            {"num_steps", "10"},
                                            {"fitness", "running"},
                                            {"num_threads", "1"}};
    enum { COUNT = 3 };
    NEEDS_DEVICE();
    double fitness[2][COUNT], mean[2];
    for (int side = 0; side < 2; side++) {
        HdConfig* c;
        HdSearch* s;
        HdRating rating;
        UfDistilled* data;
        float x[COUNT * 12];
        assert_ok(hd_config_create(&c));
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            assert_ok(hd_config_set(c, fields[i][0], fields[i][1]));
        assert_ok(hd_config_set(c, "device", side ? "cuda" : "cpu"));
        assert_ok(hd_search_create(&s, c));
        UfRandom random = uf_random(3, UF_STREAM_ES_NOISE, 0);
        for (int i = 0; i < COUNT * 12; i++) x[i] = uf_random_normal(&random);
        UfBackend* be = hd_search_backend(s);
        most_downloaded = 0;
        plain_download = be->download;
        be->download = watched_download;
        assert_ok(hd_search_rate(s, x, COUNT, fitness[side]));
        be->download = plain_download;
        if (side) assert_int_equal(most_downloaded, COUNT * 2 * 4 * sizeof(UfTrial));  // no parameters
        assert_ok(hd_search_step(s, NULL));
        assert_ok(hd_search_dataset(s, &data));  // whose normaliser is of policies that play
        for (int j = 0; j < data->obs_dim; j++)
            assert_true(isfinite(data->mean[j]) && data->mean[j] != 0 && data->divisor[j] > 1e-3f);
        const HdRateOptions o = {.config = c, .num_inits = 2, .num_episodes = 2, .seed = 4};
        assert_ok(hd_rate(&rating, data, &o));
        mean[side] = rating.mean;
        hd_rating_free(&rating);
        uf_distilled_free(data);
        hd_search_free(s);
        hd_config_free(c);
    }
    // Clones differ by rounding that 10 steps of Adam let grow to some 1e-5 of a weight.
    for (int i = 0; i < COUNT; i++) check_number("fitness", i, fitness[1][i], fitness[0][i], 2e-3);
    assert_true(isfinite(mean[0]) && isfinite(mean[1]));
}

// The last test: a device that failed stays so.
static void test_failure(void** state) {
    NEEDS_DEVICE();
#ifdef UF_HOST_CUDA
    Case c;
    make_case(&c, spec_of(0), 8, 1, UF_RELU, false, 0);
    fill_exact(&c);
    c.o.num_envs = 2;
    c.o.num_steps = 600;
    c.o.backend = device;
    c.o.net = &c.net;
    UfTrials* trials;
    UfTrial out[2 * MOST_POLICIES];
    void* params;
    assert_ok(uf_trials_create(&trials, &c.o, device->pool));
    assert_ok(device->reserve(device, &params, 3 * c.net.size * sizeof(real), "policies"));
    uf_trials_set_keys(trials, c.keys);
    uf_host_cuda.fail_launch = uf_host_cuda.num_launches;
    assert_int_equal(uf_trials_play(trials, params, c.P, out, NULL), UF_ERR_DEVICE);
    assert_error("play_trials (population 3, networks 1, rows 2, width 8)");
    uf_host_cuda.fail_launch = -1;
    device->release(device, params);
    uf_trials_free(trials);
    test_free(c.params);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),     cmocka_unit_test(test_policies), cmocka_unit_test(test_networks),
        cmocka_unit_test(test_large),     cmocka_unit_test(test_alone),    cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_no_number), cmocka_unit_test(test_apart),    cmocka_unit_test(test_search),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
